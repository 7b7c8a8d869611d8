/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The admins: each signs what follows the bundle in force at the node where he sits, so two of them
 * on two sides of a partition sign one serial twice. And who would like to be one: another key.
 */
#include "tests/simcluster/swarm.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void member_print(struct world *w, FILE *f, int i)
{
	char key[96];
	int a = i + 1;

	policy_key_print(&w->nodes[i].key, key, sizeof(key));
	if (i < 14 && w->n_tokens > 1 && w->core.seed % 4 == 0) /* a token has that range, too */
		a = 0x200000 | (i + 1);
	fprintf(f, "  %s: { key: \"%s\", address: 10.%d.%d.%d, site: s, roles: [node%s]",
	        w->nodes[i].name, key, 64 + (a >> 16), a >> 8 & 255, a & 255,
	        w->nodes[i].seed && !w->no_seed[i] ? ", seed" : "");
	keys_print(&w->nodes[i], f);
	fputs(" }\n", f);
}

static char *policy_write(struct world *w, uint64_t serial)
{
	char *text = NULL;
	size_t len = 0;
	FILE *f = need(open_memstream(&text, &len));

	fprintf(f,
	        "cluster: swarm\nserial: %llu\noverlay: 10.64.0.0/10\nenforce: enforce\n%s"
	        "sites:\n  s: { timezone: UTC }\nservices:\n  svc: { ports: [tcp/%d] }\n"
	        "allow:\n  - { from: node, to: node, service: svc }\npeers:\n",
	        (unsigned long long)serial, w->n_tokens ? "join: true\n" : "",
	        1000 + (int)(w->content++ % 60000));
	for (int i = 0; i < w->n_nodes; i++)
		if (w->in[i])
			member_print(w, f, i);
	tokens_print(w, f);
	fclose(f);
	return text;
}

static struct policy *policy_read(char *text)
{
	struct policy_file file = {"policy.yaml", text, strlen(text)};
	struct policy_report report;
	struct policy *p = NULL;

	policy_report_init(&report);
	if (policy_parse(&file, 1, &p, &report)) {
		policy_report_print(&report, stderr, false);
		abort();
	}
	policy_report_clear(&report);
	free(text);
	return p;
}

static struct signed_bundle *bundle_new(struct world *w)
{
	struct signed_bundle *b;

	if (w->n_bundles == w->cap_bundles) {
		w->cap_bundles = w->cap_bundles ? 2 * w->cap_bundles : 32;
		w->bundles = need(realloc(w->bundles, w->cap_bundles * sizeof(*w->bundles)));
	}
	b = &w->bundles[w->n_bundles++];
	memset(b, 0, sizeof(*b));
	return b;
}

int admin_sign(struct world *w, int base, uint64_t serial, bool genuine)
{
	struct bundle_head parent;
	struct policy *p = policy_read(policy_write(w, serial));
	struct signed_bundle *b = bundle_new(w);
	int64_t issued = EPOCH_S + w->core.now / US;
	char err[BUNDLE_ERROR_MAX], *text;

	if (base >= 0) {
		parent = w->bundles[base].head;
		if (parent.issued > issued)
			issued = parent.issued;
	}
	if (chance(w, 0.1)) /* an admin's clock is wrong, too */
		issued += (int64_t)rnd_below(w, 4 * 366 * 86400);
	if (bundle_make(
	            p, base >= 0 ? &parent : NULL, issued, &text, &b->text_len, err, sizeof(err)) ||
	        bundle_seal(text, b->text_len, genuine ? &w->key : &w->other_key, &b->file, &b->len,
	                err, sizeof(err)) ||
	        bundle_head_read(text, b->text_len, &b->head, err, sizeof(err))) {
		fprintf(stderr, "simcluster: %s\n", err);
		abort();
	}
	b->genuine = genuine;
	memcpy(b->policy_digest, p->digest, 32);
	free(text);
	b->policy = p;
	return (int)w->n_bundles - 1;
}

int bundle_find(const struct world *w, const uint8_t digest[32])
{
	for (int i = (int)w->n_bundles - 1; i >= 0; i--)
		if (w->bundles[i].genuine && !memcmp(w->bundles[i].head.digest, digest, 32))
			return i;
	return -1;
}

int bundle_same(const struct world *w, const char *file, size_t len)
{
	for (int i = (int)w->n_bundles - 1; i >= 0; i--)
		if (w->bundles[i].genuine && w->bundles[i].len == len &&
		        !memcmp(w->bundles[i].file, file, len))
			return i;
	return -1;
}

int bundle_newest(const struct world *w)
{
	int best = -1;

	for (int i = 0; i < (int)w->n_bundles; i++)
		if (w->bundles[i].genuine &&
		        (best < 0 || w->bundles[i].head.serial >= w->bundles[best].head.serial))
			best = i;
	return best;
}

void admin_give(struct world *w, struct node *n, int bundle)
{
	if (!n->cl)
		return;
	say(w, n, "an admin gives serial %llu (bundle %d)",
	        (unsigned long long)w->bundles[bundle].head.serial, bundle);
	node_begin(w, n);
	cluster_bundle(n->cl, ENGINE_BUNDLE_ADMIN, w->bundles[bundle].file, w->bundles[bundle].len);
	node_end(w, n);
}

/* Revokes a member or two, hostile ones too, or approves who was revoked. */
static void members_change(struct world *w)
{
	int times = (int)rnd_below(w, 3);

	while (times--) {
		int i = (int)rnd_below(w, (uint64_t)w->n_nodes);

		if (chance(w, 0.7)) /* one that is out comes back */
			for (int k = 0; k < w->n_nodes && w->in[i]; k++)
				i = (i + 1) % w->n_nodes;
		if (!w->nodes[i].seed || !w->in[i] || chance(w, 0.2))
			w->in[i] = !w->in[i];
	}
	w->in[0] = true;
	tokens_change(w);
	keys_change(w);
}

void admin_change(struct world *w, struct node *n)
{
	uint64_t serial = n->force < 0 ? 1 : w->bundles[n->force].head.serial + 1;
	int was = n->force, b;

	if (!n->cl)
		return;
	if (chance(w, 0.1))
		serial += rnd_below(w, 3);
	members_change(w);
	b = admin_sign(w, chance(w, 0.9) ? was : -1, serial, true);
	admin_give(w, n, b);
	if (n->force != b)
		broken(w, "rule 4", "%s: serial %llu, signed here, is not in force at once",
		        n->name, (unsigned long long)serial);
}

void admin_start(struct world *w)
{
	sign_make_cluster_key(w, &w->key);
	sign_make_cluster_key(w, &w->other_key);
	if (chance(w, 0.5)) /* only chance tells ids apart */
		memcpy(w->other_key.pub.id, w->key.pub.id, sizeof(w->key.pub.id));
	tokens_start(w);
	w->rotates = !w->peaceful && chance(w, 0.3);
	w->local = policy_read(policy_write(w, 1));
}

void admin_end(struct world *w)
{
	for (size_t i = 0; i < w->n_bundles; i++) {
		policy_unref(w->bundles[i].policy);
		free(w->bundles[i].file);
	}
	free(w->bundles);
	free(w->in);
	tokens_end(w);
	policy_unref(w->local);
}

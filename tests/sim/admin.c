/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The admin: writes policies as text, which libpolicy reads, and gives them to nodes in his time.
 */
#include "tests/sim/guest.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const char *const roles[] = {"alpha", "beta", "gamma"};

void node_new_key(struct world *w, struct node *n)
{
	if (n->key + 1 >= KEYS_MAX)
		return;
	n->key++;
	session_key(w, n->secrets[n->key], n->keys[n->key].raw);
}

static void when_print(int64_t wall_s, char *buf, size_t size)
{
	time_t t = (time_t)wall_s;
	struct tm tm;

	gmtime_r(&t, &tm);
	strftime(buf, size, "%Y-%m-%dT%H:%MZ", &tm);
}

static void member_print(struct world *w, FILE *f, int i)
{
	const struct member *m = &w->members[i];
	char key[96], text[64];
	const char *sep = "";

	policy_key_print(&w->nodes[i].keys[m->key], key, sizeof(key));
	fprintf(f, "  n%d: { key: \"%s\", address: 10.77.0.%d, site: s, roles: [", i, key,
	        m->address);
	for (int r = 0; r < 3; r++) {
		if (m->roles >> r & 1) {
			fprintf(f, "%s%s", sep, roles[r]);
			sep = ", ";
		}
	}
	fprintf(f, "%s]", m->seed ? ", seed" : "");
	if (m->endpoints == 1)
		fprintf(f, ", endpoints: [192.0.2.%d]", i + 1);
	if (m->endpoints == 2)
		fprintf(f, ", endpoints: [198.51.100.%d, 192.0.2.%d]", i + 1, i + 1);
	if (m->endpoints == 3)
		fprintf(f, ", endpoints: [h%d.example]", i);
	if (m->until) {
		when_print(m->until, text, sizeof(text));
		fprintf(f, ", until: %s", text);
	}
	if (m->hours >= 0)
		fprintf(f, ", hours: \"Mon-Sun %02d:%02d-%02d:%02d\"", m->hours / 60 % 24,
		        m->hours % 60, (m->hours + 40) / 60 % 24, (m->hours + 40) % 60);
	fprintf(f, " }\n");
}

static char *policy_write(struct world *w)
{
	static const char *const lines[RULES] = {"from: alpha, to: beta", "from: beta, to: alpha",
	        "from: alpha, to: alpha", "from: gamma, to: \"*\"", "from: beta, to: gamma",
	        "from: \"*\", to: beta"};
	static const char *const meshes[] = {"full", "ondemand", "auto"};
	char *text = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&text, &len);

	if (!f)
		abort();
	fprintf(f,
	        "cluster: sim\nserial: %llu\noverlay: 10.77.0.0/16\nenforce: enforce\n"
	        "firewall: %s\nmesh: %s\n%ssites:\n  s: { timezone: UTC }\nservices:\n",
	        (unsigned long long)++w->serial, w->lockdown ? "lockdown" : "guard",
	        meshes[w->mesh], w->joins ? "join: true\n" : "");
	for (int r = 0; r < RULES; r++)
		fprintf(f, "  svc%d: { ports: [tcp/%d] }\n", r, 1000 + r);
	fprintf(f, "allow:\n");
	for (int r = 0; r < RULES; r++)
		if (w->rules >> r & 1)
			fprintf(f, "  - { %s, service: svc%d }\n", lines[r], r);
	fprintf(f, "peers:\n");
	for (int i = 0; i < w->n_nodes; i++)
		if (w->members[i].in)
			member_print(w, f, i);
	/* Every role is somebody's, and somebody is always there. */
	fprintf(f, "  zz: { key: \"ssh-ed25519 "
	           "AAAAC3NzaC1lZDI1NTE5AAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAB\", "
	           "address: 10.77.9.9, site: s, roles: [alpha, beta, gamma] }\n");
	guest_print(w, f);
	fclose(f);
	return text;
}

static const struct policy *policy_read(char *text)
{
	struct policy_file file = {"policy.yaml", text, strlen(text)};
	struct policy_report report;
	struct policy *p = NULL;

	policy_report_init(&report);
	if (policy_parse(&file, 1, &p, &report)) {
		policy_report_print(&report, stderr, false);
		fputs(text, stderr);
		abort();
	}
	policy_report_clear(&report);
	free(text);
	return p;
}

static void received(struct world *w, struct node *n, void *data)
{
	const struct policy *p = *(const struct policy **)data;

	if (!n->stranger && (!n->files || p->serial > n->files->serial)) {
		policy_unref(n->files);
		n->files = p;
		host_read_files(w, n, NULL);
	} else {
		policy_unref(p);
	}
}

void admin_publish(struct world *w, int64_t within)
{
	policy_unref(w->policy);
	w->policy = policy_read(policy_write(w));
	say(w, NULL, "the admin publishes serial %llu", (unsigned long long)w->serial);
	if (w->is_signed && w->serial > 1) { /* the first are the files of each node */
		session_publish(w, within);
		return;
	}
	for (int i = 0; i < w->n_nodes; i++) {
		const struct policy *p = policy_ref(w->policy);

		at(w, w->core.now + rnd_us(w, 1000, within), &w->nodes[i], received,
		        dup_mem(&p, sizeof(struct policy *)));
	}
}

static int free_address(struct world *w)
{
	for (;;) {
		int a = 1 + (int)rnd_below(w, 2 * (uint64_t)w->n_nodes);
		bool used = false;

		for (int i = 0; i < w->n_nodes; i++)
			used |= w->members[i].in && w->members[i].address == a;
		if (!used)
			return a;
	}
}

static void member_random(struct world *w, int i)
{
	struct member *m = &w->members[i];

	m->address = free_address(w);
	m->in = true;
	m->roles = 1U + (uint32_t)rnd_below(w, 7);
	m->endpoints = (int)rnd_below(w, 4);
	m->seed = chance(w, 0.2);
	m->key = w->nodes[i].key;
	m->hours = -1;
	m->until = 0;
}

static void swap_addresses(struct world *w, int a, int b)
{
	int t = w->members[a].address;

	if (!w->members[a].in || !w->members[b].in)
		return;
	w->members[a].address = w->members[b].address;
	w->members[b].address = t;
}

static void own_key(struct world *w, struct node *n, void *data)
{
	struct engine_event ev = {.type = ENGINE_EV_OWN_KEY, .own_key = n->keys[n->key]};
	(void)data;

	if (!n->engine)
		return;
	n->told_key = n->key;
	host_event(w, n, &ev);
}

static int minute_now(struct world *w)
{
	return (int)((EPOCH_S / 60 + w->core.now / US / 60) % 1440);
}

static void change_one(struct world *w, int i)
{
	struct member *m = &w->members[i];
	int64_t wall = EPOCH_S + w->core.now / US;

	if (!m->in) {
		if (!w->guests || i + 1 < w->n_nodes || chance(w, 0.2)) /* else a token may */
			member_random(w, i);
		return;
	}
	switch (rnd_below(w, 9)) {
	case 0:
	case 1:
		m->in = false;
		break;
	case 2:
		node_new_key(w, &w->nodes[i]);
		m->key = w->nodes[i].key;
		w->nodes[i].key_at = w->core.now + 5 * US;
		at(w, w->core.now + rnd_us(w, 1000, 5 * US), &w->nodes[i], own_key, NULL);
		break;
	case 3:
		m->roles = 1U + (uint32_t)rnd_below(w, 7);
		break;
	case 4:
		swap_addresses(w, i, (int)rnd_below(w, (uint64_t)w->n_nodes));
		break;
	case 5:
		m->until = m->until ? 0 : wall + 60 + (int64_t)rnd_below(w, 1200);
		break;
	case 6:
		m->hours =
		        m->hours >= 0 ? -1 : (minute_now(w) + 1410 + (int)rnd_below(w, 60)) % 1440;
		break;
	case 7:
		m->endpoints = (int)rnd_below(w, 4);
		break;
	case 8: { /* leaves, and its address goes to somebody new */
		int j = (int)rnd_below(w, (uint64_t)w->n_nodes), a = m->address;

		if (w->members[j].in)
			break;
		m->in = false;
		member_random(w, j);
		w->members[j].address = a;
		break;
	}
	}
}

void admin_change(struct world *w)
{
	int n = 1 + (int)rnd_below(w, 2);

	while (n--)
		change_one(w, (int)rnd_below(w, (uint64_t)w->n_nodes));
	if (chance(w, 0.2))
		w->rules ^= 1U << rnd_below(w, RULES);
	if (!w->rules)
		w->rules = 1;
	guest_change(w);
	if (chance(w, 0.1))
		w->lockdown = !w->lockdown;
	if (chance(w, 0.1))
		w->mesh = (enum policy_mesh)rnd_below(w, 3);
	admin_publish(w, chance(w, 0.5) ? 2 * US : 90 * US);
}

void admin_start(struct world *w)
{
	w->lockdown = chance(w, 0.3);
	w->mesh = chance(w, 0.5) ? POLICY_MESH_ONDEMAND : (enum policy_mesh)rnd_below(w, 3);
	w->rules = 1U + (uint32_t)rnd_below(w, (1U << RULES) - 1);
	for (int i = 0; i < w->n_nodes; i++)
		if (chance(w, 0.8) && !w->nodes[i].stranger)
			member_random(w, i);
	admin_publish(w, 10 * US);
}

void admin_approve(struct world *w, int i)
{
	if (w->core.calm)
		return;
	member_random(w, i);
	admin_publish(w, 2 * US);
}

void admin_make_seed(struct world *w, int below)
{
	int i = (int)rnd_below(w, (uint64_t)below);

	if (!w->members[i].in)
		member_random(w, i);
	w->members[i].seed = true;
	w->members[i].until = 0;
	w->members[i].hours = -1;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Signed mode: sessions and notes over the fake tunnels, bundles from the admin, the disk. Packets
 * between two nodes pass only while both have an SA with the other and admit it (session_path).
 */
#include "policy/guests.h"
#include "tests/sim/guest.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HOST_ID (1ULL << 63) /* ids of sessions that others opened */

struct fsession {
	struct fsession *next;
	int end[2]; /* [0] opened it */
	uint64_t id[2], epoch[2];
	bool known[2], up[2], broken;
	int64_t floor[2]; /* what comes next to this end is not before */
};

struct side {
	struct fsession *s;
	int i;
};

struct parcel {
	struct side to;
	struct session_msg msg;
	struct session_statement statements[]; /* then the payload */
};

/* ---- keys ---- */

void session_key(struct world *w, uint8_t seed[32], uint8_t public[32])
{
	size_t len = 32;
	EVP_PKEY *key;

	for (int i = 0; i < 32; i++)
		seed[i] = (uint8_t)rnd(w);
	key = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, seed, 32);
	if (!key || EVP_PKEY_get_raw_public_key(key, public, &len) != 1)
		abort();
	EVP_PKEY_free(key);
}

static void sign(const struct node *n, struct session_statement *s)
{
	EVP_PKEY *key =
	        EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, n->secrets[n->told_key], 32);
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	uint8_t text[SESSION_STATEMENT_MAX];
	size_t len = session_statement_text(s, text), sig_len = sizeof(s->signature);

	if (!key || !ctx || EVP_DigestSignInit(ctx, NULL, NULL, NULL, key) != 1 ||
	        EVP_DigestSign(ctx, s->signature, &sig_len, text, len) != 1)
		abort();
	EVP_MD_CTX_free(ctx);
	EVP_PKEY_free(key);
}

/* ---- who reaches whom ---- */

static bool reaches(const struct node *n, const struct node *o)
{
	const struct elem *el = NULL;
	char conn[ENGINE_CONN_MAX];

	if (!n->engine || !n->charon.up)
		return false;
	for (size_t i = 0; i < n->kernel.n_elems; i++)
		if (!strcmp(n->kernel.elems[i].peer, o->name))
			el = &n->kernel.elems[i];
	snprintf(conn, sizeof(conn), "ovl.%s", o->name);
	for (size_t i = 0; el && i < n->charon.n_sas; i++) {
		const struct fsa *sa = &n->charon.sas[i];

		if (!strcmp(sa->conn, conn) && sa->child && sa->other == o->index &&
		        same_addr(&sa->r4, &el->a4))
			return true;
	}
	return false;
}

static bool session_path(const struct world *w, int a, int b)
{
	return reaches(&w->nodes[a], &w->nodes[b]) && reaches(&w->nodes[b], &w->nodes[a]);
}

static struct node *node_of(struct world *w, const char *name)
{
	for (int i = 0; i < w->n_nodes; i++)
		if (!strcmp(w->nodes[i].name, name))
			return &w->nodes[i];
	return NULL;
}

/* ---- ends ---- */

static bool is_there(const struct world *w, const struct side *t)
{
	const struct node *n = &w->nodes[t->s->end[t->i]];

	return n->engine && t->s->known[t->i] && t->s->epoch[t->i] == n->epoch;
}

static void say_session(struct world *w, const struct side *t, bool up)
{
	struct engine_event ev = {.type = ENGINE_EV_SESSION};

	t->s->up[t->i] = up;
	t->s->known[t->i] = up;
	ev.session.id = t->s->id[t->i];
	ev.session.peer = w->nodes[t->s->end[!t->i]].name;
	ev.session.up = up;
	ev.session.ours = t->i == 0;
	ev.session.text = up ? "0.1.0" : "the connection broke";
	host_event(w, &w->nodes[t->s->end[t->i]], &ev);
}

static void went_down(struct world *w, struct node *n, void *data)
{
	(void)n;
	if (is_there(w, data))
		say_session(w, data, false);
}

static void session_break(struct world *w, struct fsession *s)
{
	if (s->broken)
		return;
	s->broken = true;
	for (int i = 0; i < 2; i++) {
		struct side t = {s, i};

		if (s->known[i])
			at(w, w->core.now + rnd_us(w, 1000, trouble(w, 0.3) ? 15 * US : US),
			        &w->nodes[s->end[i]], went_down, dup_mem(&t, sizeof(t)));
	}
}

/* What no packet passes any more ends, at the latest by the host's timeouts. */
static void sweep(struct world *w, struct node *n, void *data)
{
	(void)data;
	for (struct fsession *s = w->sessions; s; s = s->next)
		if (!s->broken && !session_path(w, s->end[0], s->end[1]))
			session_break(w, s);
	at(w, w->core.now + 2 * US, n, sweep, NULL);
}

static int64_t arrival(struct world *w, struct fsession *s, int to)
{
	int64_t when = w->core.now + rnd_us(w, 200, trouble(w, 0.03) ? 3 * US : 30000);

	if (when <= s->floor[to])
		when = s->floor[to] + 1;
	return s->floor[to] = when;
}

static void came_up(struct world *w, struct node *n, void *data)
{
	const struct side *t = data;
	(void)n;

	if (is_there(w, t) && !t->s->broken)
		say_session(w, t, true);
}

static void arrive(struct world *w, struct node *n, void *data)
{
	struct fsession *s = *(struct fsession **)data;
	struct side opener = {s, 0}, here = {s, 1};

	if (s->broken || !session_path(w, s->end[0], s->end[1]) || trouble(w, 0.05)) {
		session_break(w, s);
		return;
	}
	s->known[1] = true;
	s->epoch[1] = n->epoch;
	s->id[1] = HOST_ID | ++w->n_accepted;
	at(w, arrival(w, s, 0), &w->nodes[s->end[0]], came_up, dup_mem(&opener, sizeof(opener)));
	came_up(w, n, &here);
}

static void session_open(struct world *w, struct node *n, const struct engine_effect *fx)
{
	struct fsession *s = calloc(1, sizeof(*s));
	struct node *o = node_of(w, fx->session.peer);

	if (!s)
		abort();
	s->next = w->sessions;
	w->sessions = s;
	s->end[0] = n->index;
	s->end[1] = o ? o->index : n->index;
	s->id[0] = fx->id;
	s->epoch[0] = n->epoch;
	s->known[0] = true;
	if (o) /* somebody of the policy who never was started: nobody answers */
		at(w, arrival(w, s, 1), o, arrive, dup_mem(&s, sizeof(s)));
	else
		session_break(w, s);
}

static bool session_find(struct world *w, const struct node *n, uint64_t id, struct side *out)
{
	for (struct fsession *s = w->sessions; s; s = s->next)
		for (int i = 0; i < 2; i++)
			if (s->known[i] && s->end[i] == n->index && s->id[i] == id &&
			        s->epoch[i] == n->epoch) {
				*out = (struct side){s, i};
				return true;
			}
	return false;
}

static void session_close(struct world *w, struct node *n, uint64_t id)
{
	struct side t;

	if (!session_find(w, n, id, &t))
		return;
	t.s->known[t.i] = t.s->up[t.i] = false;
	session_break(w, t.s);
}

/* ---- messages ---- */

static void deliver(struct world *w, struct node *n, void *data)
{
	struct parcel *p = data;
	struct engine_event ev = {.type = ENGINE_EV_SESSION_MSG};

	if (p->to.s->broken || !is_there(w, &p->to) || !p->to.s->up[p->to.i])
		return;
	if (!session_path(w, p->to.s->end[0], p->to.s->end[1])) {
		session_break(w, p->to.s);
		return;
	}
	ev.session_msg.id = p->to.s->id[p->to.i];
	ev.session_msg.msg = &p->msg;
	host_event(w, n, &ev);
}

/* It says that it is where others are. */
static void elsewhere(struct world *w, struct session_statement *s)
{
	struct session_links links;

	if (!session_links_read(s->body, s->body_len, &links) || !links.n)
		return;
	links.addrs[0] = w->nodes[rnd_below(w, (uint64_t)w->n_nodes)].underlay;
	s->body_len = (uint16_t)session_links_make(&links, s->body);
}

static void session_send(struct world *w, struct node *n, const struct engine_session_fx *fx)
{
	const struct session_msg *m = fx->msg;
	size_t size = m->n_statements * sizeof(*m->statements);
	struct parcel *p;
	struct side t;

	if (!session_find(w, n, fx->session, &t) || t.s->broken)
		return;
	p = calloc(1, sizeof(*p) + size + m->len);
	if (!p)
		abort();
	p->to = (struct side){t.s, !t.i};
	p->msg = *m;
	if (m->type == SESSION_HERE && trouble(w, 0.1))
		elsewhere(w, &p->msg.statement);
	if (m->type == SESSION_STATE || m->type == SESSION_HERE)
		sign(n, &p->msg.statement);
	if (size)
		memcpy(p->statements, m->statements, size);
	p->msg.statements = p->statements;
	if (m->len)
		memcpy((uint8_t *)p->statements + size, m->data, m->len);
	p->msg.data = (const uint8_t *)p->statements + size;
	at(w, arrival(w, t.s, !t.i), &w->nodes[t.s->end[!t.i]], deliver, p);
}

struct letter {
	int from;
	struct session_head head;
};

static void note_in(struct world *w, struct node *n, void *data)
{
	struct letter *l = data;
	struct engine_event ev = {.type = ENGINE_EV_NOTE};

	if (!n->engine || !session_path(w, l->from, n->index))
		return;
	ev.note.peer = w->nodes[l->from].name;
	ev.note.head = l->head;
	host_event(w, n, &ev);
}

static void note_send(struct world *w, struct node *n, const struct engine_note_fx *fx)
{
	struct letter l = {n->index, fx->head};
	struct node *o = node_of(w, fx->peer);

	if (!o || trouble(w, 0.2))
		return;
	for (int i = 0; i < 1 + trouble(w, 0.1); i++)
		at(w, w->core.now + rnd_us(w, 200, 50000), o, note_in, dup_mem(&l, sizeof(l)));
}

/* ---- bundles ---- */

static int bundle_of(const struct world *w, const uint8_t digest[32])
{
	for (int i = w->n_bundles - 1; i >= 0; i--)
		if (!memcmp(w->bundles[i].head.digest, digest, 32))
			return i;
	return -1;
}

struct stored {
	uint64_t epoch, id;
	int bundle, error;
};

static void stored(struct world *w, struct node *n, void *data)
{
	const struct stored *s = data;

	if (n->epoch != s->epoch || !n->engine)
		return;
	if (!s->error)
		n->disk = s->bundle;
	host_result(w, n, w->core.now, s->id, s->error);
}

static void store(struct world *w, struct node *n, const struct engine_effect *fx)
{
	struct stored s = {.epoch = n->epoch, .id = fx->id, .bundle = n->force};
	struct bundle_head head;
	size_t len;

	if (bundle_split(fx->bundle.file, fx->bundle.len, &len, NULL, 0) ||
	        bundle_head_read(fx->bundle.file, len, &head, NULL, 0) ||
	        (s.bundle = bundle_of(w, head.digest)) < 0) {
		broken(w, "rule 4", "%s: it stores what nobody signed", n->name);
		return;
	}
	s.error = trouble(w, 0.2) ? -ENOSPC : 0;
	at(w, w->core.now + rnd_us(w, 1000, 50000), n, stored, dup_mem(&s, sizeof(s)));
}

void session_do(struct world *w, struct node *n, const struct engine_effect *fx)
{
	if (!w->is_signed)
		broken(w, "engine.h", "%s: without a cluster key it speaks", n->name);
	else if (fx->type == ENGINE_FX_BUNDLE_STORE)
		store(w, n, fx);
	else if (fx->type == ENGINE_FX_SESSION_OPEN)
		session_open(w, n, fx);
	else if (fx->type == ENGINE_FX_SESSION_SEND)
		session_send(w, n, &fx->session);
	else if (fx->type == ENGINE_FX_SESSION_CLOSE)
		session_close(w, n, fx->session.session);
	else
		note_send(w, n, &fx->note);
}

/* After each step: what is in force. */
void session_look(struct world *w, struct node *n, bool by_session)
{
	struct engine_bundle_view v;
	struct engine_view e;
	int now;

	engine_bundle_look(n->engine, &v);
	engine_look(n->engine, &e);
	now = v.head.serial ? bundle_of(w, v.head.digest) : -1;
	if (v.head.serial && now < 0)
		broken(w, "rule 4", "%s: what nobody signed is in force", n->name);
	if (now < n->force)
		broken(w, "rule 4", "%s: bundle %d is in force after bundle %d", n->name, now,
		        n->force);
	w->n_by_session += now > n->force && by_session;
	if (now > n->force)
		say(w, n, "bundle %d, serial %llu", now, (unsigned long long)v.head.serial);
	n->force = now;
	if (now >= 0 &&
	        (!e.policy || memcmp(policy_written(e.policy)->digest, w->bundles[now].policy, 32)))
		broken(w, "rule 3", "%s: it does not act by the bundle in force", n->name);
	if (e.policy)
		host_hold(w, n, e.policy);
	if (now >= 0)
		host_learn_issue(w, n, v.head.issued);
	guest_look(w, n);
}

static void given(struct world *w, struct node *n, void *data)
{
	const struct fbundle *b = &w->bundles[*(int *)data];
	struct engine_event ev = {.type = ENGINE_EV_BUNDLE};

	if (!n->engine || n->stranger)
		return;
	ev.bundle.source = ENGINE_BUNDLE_ADMIN;
	ev.bundle.file = b->file;
	ev.bundle.len = b->len;
	host_event(w, n, &ev);
}

/* To one node at once; to the others by hand, for those whom no session reaches. */
void session_publish(struct world *w, int64_t within)
{
	int first = (int)rnd_below(w, (uint64_t)w->n_nodes), index = w->n_bundles;
	struct fbundle *b;
	char err[BUNDLE_ERROR_MAX], *text;
	size_t len;

	w->bundles = realloc(w->bundles, (size_t)(index + 1) * sizeof(*w->bundles));
	if (!w->bundles)
		abort();
	b = &w->bundles[w->n_bundles++];
	if (bundle_make(w->policy, index ? &w->bundles[index - 1].head : NULL,
	            EPOCH_S + w->core.now / US, &text, &len, err, sizeof(err)) ||
	        bundle_seal(text, len, &w->secret, &b->file, &b->len, err, sizeof(err)) ||
	        bundle_head_read(text, len, &b->head, err, sizeof(err))) {
		fprintf(stderr, "sim: %s\n", err);
		abort();
	}
	free(text);
	memcpy(b->policy, w->policy->digest, 32);
	b->parsed = policy_ref(w->policy);
	for (int i = 0; i < w->n_nodes; i++)
		at(w, w->core.now + (i == first ? 1000 : rnd_us(w, within, within + 60 * US)),
		        &w->nodes[i], given, dup_mem(&index, sizeof(index)));
}

void session_start(struct world *w, struct node *n)
{
	struct engine_event key = {.type = ENGINE_EV_CLUSTER_KEY},
	                    kept = {.type = ENGINE_EV_BUNDLE};

	n->force = -1;
	if (n->stranger)
		return;
	key.cluster_key = w->secret.pub;
	host_event(w, n, &key);
	if (n->disk < 0)
		return;
	kept.bundle.source = ENGINE_BUNDLE_KEPT;
	kept.bundle.file = w->bundles[n->disk].file;
	kept.bundle.len = w->bundles[n->disk].len;
	host_event(w, n, &kept);
	if (n->force != n->disk)
		broken(w, "rule 9", "%s: bundle %d was kept, bundle %d is in force", n->name,
		        n->disk, n->force);
	guest_start(w, n);
}

void session_mode(struct world *w)
{
	session_key(w, w->secret.seed, w->secret.pub.key);
	w->is_signed = true;
	at(w, US, NULL, sweep, NULL);
}

void session_free(struct world *w)
{
	struct fsession *s;

	while ((s = w->sessions)) {
		w->sessions = s->next;
		free(s);
	}
	for (int i = 0; i < w->n_bundles; i++) {
		policy_unref(w->bundles[i].parsed);
		free(w->bundles[i].file);
	}
	free(w->bundles);
}

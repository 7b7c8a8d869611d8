/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A few cluster machines and a network between them that delivers all in order after a millisecond,
 * or what a test makes of it. A node without a machine is a puppet: what is sent to it is kept, and
 * the test speaks for it.
 */
#ifndef TESTS_UNIT_CLUSTER_BED_H
#define TESTS_UNIT_CLUSTER_BED_H

#include "tests/unit/signed_bed.h"

#include "engine/cluster.h"

#define US 1000000LL
#define NODES 26
#define LINK_US 1000

enum item_type { ITEM_UP, ITEM_DOWN, ITEM_MSG, ITEM_NOTE, ITEM_STORED, ITEM_SIGNED };
struct item {
	struct item *next;
	int64_t at;
	enum item_type type;
	int from, to;
	uint64_t id; /* at `to` */
	struct session_msg msg;
	struct session_head head;
};

struct pair {     /* a session */
	int a, b; /* a opened it */
	uint64_t id_a, id_b;
	bool open;
};
#define PAIRS 4096

struct told {
	int64_t at;
	int node;
	enum engine_notice_code code;
	char peer[64], text[400];
};
#define TOLD 4096

struct cnode {
	struct cluster *c;
	const struct policy *policy;
	uint64_t next_id;
	bool puppet;
	uint64_t stored, next_store; /* serial on disk; id of the last effect */
	int store_error;
	bool store_hangs;
	unsigned n_stores;
	uint8_t *guests; /* on disk */
	size_t guests_len;
	unsigned n_guest_stores, n_policies, n_signed;
	bool no_sign;
	/* of a puppet: what came last of each type, and how many */
	struct session_msg last[SESSION_TYPES];
	unsigned got[SESSION_TYPES], opened, closed, notes;
	uint64_t session; /* last one that came to it, or that it opened: its pair + 1 */
};

struct cbed {
	struct cnode n[NODES];
	int64_t now;
	struct item *head, *tail;
	struct pair pairs[PAIRS];
	size_t n_pairs;
	struct told told[TOLD];
	size_t n_told;
	bool cut[NODES][NODES]; /* nothing passes */
	/* false: it is lost; may change it (the data is the item's own) */
	bool (*tamper)(struct cbed *b, int from, int to, struct session_msg *msg);
	unsigned sent[SESSION_TYPES];
	size_t bytes[SESSION_TYPES];
	unsigned n_notes;
	bool no_notes;  /* all are lost */
	bool deaf;      /* calls get no answer */
	bool may_short; /* a step may run out of memory */
	const struct cluster_hooks *hooks;
};

static inline int node_of(const char *name)
{
	assert_true(name && strlen(name) == 1);
	return *name - 'a';
}

static inline const char *name_of(int i)
{
	static char names[NODES][2];

	names[i][0] = (char)('a' + i);
	return names[i];
}

/* ---- the network ---- */

static inline struct item *item_put(struct cbed *b, enum item_type type, int from, int to)
{
	struct item *it = calloc(1, sizeof(*it));

	it->type = type;
	it->from = from;
	it->to = to;
	it->at = b->now + LINK_US;
	if (b->tail)
		b->tail->next = it;
	else
		b->head = it;
	b->tail = it;
	return it;
}

static inline void msg_copy(struct session_msg *out, const struct session_msg *msg)
{
	*out = *msg;
	out->data = NULL;
	out->statements = NULL;
	if (msg->len) {
		out->data = malloc(msg->len);
		memcpy((void *)(uintptr_t)out->data, msg->data, msg->len);
	}
	if (msg->n_statements) {
		out->statements = malloc(msg->n_statements * sizeof(*msg->statements));
		memcpy((void *)(uintptr_t)out->statements, msg->statements,
		        msg->n_statements * sizeof(*msg->statements));
	}
}

static inline void msg_free(struct session_msg *msg)
{
	free((void *)(uintptr_t)msg->data);
	free((void *)(uintptr_t)msg->statements);
	*msg = (struct session_msg){0};
}

static inline struct pair *pair_of(struct cbed *b, int node, uint64_t id)
{
	for (size_t i = b->n_pairs; i-- > 0;) {
		struct pair *p = &b->pairs[i];

		if ((p->a == node && p->id_a == id) || (p->b == node && p->id_b == id))
			return p;
	}
	return NULL;
}

static inline void net_send(struct cbed *b, int from, uint64_t id, const struct session_msg *msg)
{
	struct pair *p = pair_of(b, from, id);
	struct item *it;
	int to;

	if (!p || !p->open)
		return;
	to = p->a == from ? p->b : p->a;
	b->sent[msg->type]++;
	b->bytes[msg->type] += msg->len;
	if (b->cut[from][to])
		return;
	it = item_put(b, ITEM_MSG, from, to);
	it->id = p->a == from ? p->id_b : p->id_a;
	msg_copy(&it->msg, msg);
	if (msg->type == SESSION_STATE && !b->n[from].puppet) {
		it->msg.statement.body_len = 3;
		memcpy(it->msg.statement.body, "1.2", 3);
		node_sign(from, &it->msg.statement);
	}
	if (msg->type == SESSION_HERE && !b->n[from].puppet)
		node_sign(from, &it->msg.statement);
	if (b->tamper && !b->tamper(b, from, to, &it->msg))
		it->to = -1;
}

static inline struct pair *net_open(struct cbed *b, int from, int to, uint64_t id)
{
	struct pair *p = &b->pairs[b->n_pairs++];

	assert_true(b->n_pairs < PAIRS);
	*p = (struct pair){from, to, id, (1ULL << 40) + b->n_pairs, true};
	if (b->deaf) {
		p->open = false;
		return p;
	}
	if (b->cut[from][to]) {
		p->open = false;
		item_put(b, ITEM_DOWN, to, from)->id = id;
		return p;
	}
	item_put(b, ITEM_UP, to, from)->id = p->id_a;
	item_put(b, ITEM_UP, from, to)->id = p->id_b;
	return p;
}

static inline void net_close(struct cbed *b, int node, uint64_t id)
{
	struct pair *p = pair_of(b, node, id);

	if (!p || !p->open)
		return;
	p->open = false;
	item_put(b, ITEM_DOWN, node, p->a == node ? p->b : p->a)->id =
	        p->a == node ? p->id_b : p->id_a;
}

/* ---- nodes ---- */

static inline void tell_keep(struct cbed *b, int node, const struct engine_notice *notice)
{
	struct told *t = &b->told[b->n_told < TOLD ? b->n_told++ : TOLD - 1];

	t->at = b->now;
	t->node = node;
	t->code = notice->code;
	snprintf(t->peer, sizeof(t->peer), "%s", notice->peer ? notice->peer : "");
	snprintf(t->text, sizeof(t->text), "%s", notice->text);
}

static inline void guests_keep(struct cnode *n, const uint8_t *data, size_t len)
{
	free(n->guests);
	n->guests = malloc(len + 1);
	n->guests_len = len;
	if (len)
		memcpy(n->guests, data, len);
}

/* By a node's key, or one that comes after it: of node i, i + 50. */
static inline void words_sign(const struct engine_admit_fx *fx, uint8_t sig[64])
{
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	struct policy_key key;
	EVP_PKEY *pkey;
	size_t n = 64;
	int i = 0;

	for (node_key(i, &key); memcmp(&key, &fx->by, sizeof(key)) != 0; node_key(++i, &key))
		assert_true(i < 100);
	pkey = node_pkey(i);
	assert_int_equal(EVP_DigestSignInit(md, NULL, NULL, NULL, pkey), 1);
	assert_int_equal(EVP_DigestSign(md, sig, &n, fx->words, fx->len), 1);
	EVP_MD_CTX_free(md);
	EVP_PKEY_free(pkey);
}

static inline void carry_out(struct cbed *b, int i, const struct engine_effect *fx)
{
	struct cnode *n = &b->n[i];
	struct item *it;

	switch (fx->type) {
	case ENGINE_FX_NOTICE:
		tell_keep(b, i, &fx->notice);
		break;
	case ENGINE_FX_BUNDLE_STORE:
		n->n_stores++;
		n->next_store = fx->id;
		if (n->store_hangs)
			break;
		if (!n->store_error)
			n->stored = fx->bundle.serial;
		item_put(b, ITEM_STORED, i, i)->id = fx->id;
		break;
	case ENGINE_FX_ADMISSIONS_STORE:
		n->n_guest_stores++;
		if (n->store_hangs)
			break;
		if (!n->store_error)
			guests_keep(n, fx->admissions.data, fx->admissions.len);
		item_put(b, ITEM_STORED, i, i)->id = fx->id;
		break;
	case ENGINE_FX_ADMIT_SIGN:
		n->n_signed++;
		it = item_put(b, ITEM_SIGNED, i, i);
		it->id = fx->id;
		words_sign(&fx->admit, it->msg.statement.signature);
		break;
	case ENGINE_FX_SESSION_OPEN:
		assert_int_equal(fx->session.session, fx->id);
		assert_true(fx->session.addr.family && fx->session.from.family);
		net_open(b, i, node_of(fx->session.peer), fx->id);
		break;
	case ENGINE_FX_SESSION_SEND:
		net_send(b, i, fx->session.session, fx->session.msg);
		break;
	case ENGINE_FX_SESSION_CLOSE:
		net_close(b, i, fx->session.session);
		break;
	case ENGINE_FX_NOTE_SEND:
		b->n_notes++;
		if (b->no_notes || b->cut[i][node_of(fx->note.peer)])
			break;
		it = item_put(b, ITEM_NOTE, i, node_of(fx->note.peer));
		it->head = fx->note.head;
		break;
	default:
		fail_msg("an effect of type %d", (int)fx->type);
	}
}

static inline void step_begin(struct cbed *b, int i)
{
	cluster_step_begin(
	        b->n[i].c, (struct engine_time){b->now, ISSUED + b->now / US}, &b->n[i].next_id);
}

static inline void step_end(struct cbed *b, int i)
{
	struct cnode *n = &b->n[i];
	struct policy *p = cluster_policy(n->c);
	const struct engine_effects *fx;

	if (p) {
		n->n_policies++;
		policy_unref(n->policy);
		n->policy = p;
		cluster_members(n->c, p, policy_peer_by_name(p, name_of(i)));
	}
	if (cluster_tick(n->c))
		assert_true(b->may_short);
	fx = cluster_effects(n->c);
	for (size_t k = 0; k < fx->n; k++)
		carry_out(b, i, &fx->v[k]);
}

static inline void node_reach(struct cbed *b, int i, int other, enum cluster_reach reach)
{
	if (!b->n[i].c)
		return;
	step_begin(b, i);
	cluster_peer(b->n[i].c, name_of(other), reach);
	step_end(b, i);
}

/* A node that has just started, with the cluster's key and a local policy; kept may be NULL. */
static inline void node_start(
        struct cbed *b, int i, const struct policy *local, const struct signed_file *kept)
{
	struct cnode *n = &b->n[i];

	assert_int_equal(cluster_new(&n->c, 77 + (uint64_t)i, b->hooks), 0);
	n->policy = policy_ref(local);
	step_begin(b, i);
	cluster_members(n->c, local, policy_peer_by_name(local, name_of(i)));
	cluster_key(n->c, &cluster_secret(0)->pub);
	if (n->guests_len)
		cluster_admissions(n->c, n->guests, n->guests_len);
	if (kept)
		cluster_bundle(n->c, ENGINE_BUNDLE_KEPT, kept->data, kept->len);
	step_end(b, i);
	for (int k = 0; k < NODES; k++)
		if (k != i)
			node_reach(b, i, k, CLUSTER_UP);
}

static inline void node_stop(struct cbed *b, int i)
{
	struct cnode *n = &b->n[i];

	for (size_t k = 0; k < b->n_pairs; k++)
		if (b->pairs[k].open && (b->pairs[k].a == i || b->pairs[k].b == i))
			net_close(b, i, b->pairs[k].a == i ? b->pairs[k].id_a : b->pairs[k].id_b);
	cluster_free(n->c);
	policy_unref(n->policy);
	n->c = NULL;
	n->policy = NULL;
}

static inline void node_give(struct cbed *b, int i, const struct signed_file *f)
{
	step_begin(b, i);
	cluster_bundle(b->n[i].c, ENGINE_BUNDLE_ADMIN, f->data, f->len);
	step_end(b, i);
}

static inline struct engine_bundle_view node_look(struct cbed *b, int i)
{
	struct engine_bundle_view v;

	cluster_look(b->n[i].c, &v);
	return v;
}

static inline uint64_t serial_of(struct cbed *b, int i)
{
	return node_look(b, i).head.serial;
}

/* ---- puppets ---- */

static inline void puppet_open(struct cbed *b, int from, int to)
{
	struct pair *p = net_open(b, from, to, (1ULL << 50) + b->n_pairs);

	b->n[from].session = (uint64_t)(p - b->pairs) + 1;
}

static inline void puppet_says(struct cbed *b, int from, const struct session_msg *msg)
{
	struct pair *p = &b->pairs[b->n[from].session - 1];

	assert_true(b->n[from].session);
	net_send(b, from, p->a == from ? p->id_a : p->id_b, msg);
}

static inline void puppet_state(struct cbed *b, int from, const struct session_head *head)
{
	struct session_msg msg = {.type = SESSION_STATE, .head = *head};

	msg.statement = node_says(from, head);
	puppet_says(b, from, &msg);
}

static inline void puppet_bundle(struct cbed *b, int from, const struct signed_file *f)
{
	puppet_says(b, from,
	        &(struct session_msg){.type = SESSION_BUNDLE,
	                .head = f->short_head,
	                .data = (const uint8_t *)f->data,
	                .len = f->len});
}

static inline void puppet_note(struct cbed *b, int from, int to, const struct session_head *head)
{
	item_put(b, ITEM_NOTE, from, to)->head = *head;
}

static inline bool puppet_open_now(struct cbed *b, int i)
{
	return b->n[i].session && b->pairs[b->n[i].session - 1].open;
}

static inline void puppet_take(struct cbed *b, struct item *it)
{
	struct cnode *n = &b->n[it->to];

	switch (it->type) {
	case ITEM_UP:
		n->opened++;
		n->session = (uint64_t)(pair_of(b, it->to, it->id) - b->pairs) + 1;
		break;
	case ITEM_DOWN:
		n->closed++;
		break;
	case ITEM_MSG:
		n->got[it->msg.type]++;
		msg_free(&n->last[it->msg.type]);
		n->last[it->msg.type] = it->msg;
		it->msg = (struct session_msg){0};
		break;
	case ITEM_NOTE:
		n->notes++;
		break;
	case ITEM_STORED:
	case ITEM_SIGNED:
		break;
	}
}

/* ---- time ---- */

static inline void item_deliver(struct cbed *b, struct item *it)
{
	struct engine_event ev = {.type = ENGINE_EV_SESSION};
	struct cnode *n = &b->n[it->to];
	struct pair *p;

	if (n->puppet) {
		puppet_take(b, it);
		return;
	}
	if (!n->c)
		return;
	step_begin(b, it->to);
	switch (it->type) {
	case ITEM_UP:
	case ITEM_DOWN:
		p = pair_of(b, it->to, it->id);
		ev.session.id = it->id;
		ev.session.peer = name_of(it->from);
		ev.session.up = it->type == ITEM_UP;
		ev.session.ours = p && p->a == it->to;
		ev.session.text = ev.session.up ? "1.2" : "closed";
		cluster_session(n->c, &ev);
		break;
	case ITEM_MSG:
		cluster_session_msg(n->c, it->id, &it->msg);
		break;
	case ITEM_NOTE:
		cluster_note(n->c, name_of(it->from), &it->head);
		break;
	case ITEM_SIGNED:
		if (n->no_sign)
			assert_true(cluster_result(n->c, it->id, -EACCES, "no key"));
		else
			assert_true(cluster_signed(n->c, it->id, it->msg.statement.signature));
		break;
	case ITEM_STORED:
		assert_true(cluster_result(n->c, it->id, n->store_error, "no space left"));
		break;
	}
	step_end(b, it->to);
}

static inline bool due_next(struct cbed *b, int64_t end, int *node)
{
	int64_t at = b->head ? b->head->at : INT64_MAX;

	*node = -1;
	for (int i = 0; i < NODES; i++) {
		int64_t w = b->n[i].c ? cluster_wakeup(b->n[i].c) : INT64_MAX;

		if (w < at) {
			at = w;
			*node = i;
		}
	}
	if (at > end)
		return false;
	if (at > b->now)
		b->now = at;
	return true;
}

static inline void pass(struct cbed *b, int64_t us)
{
	int64_t end = b->now + us;
	int node, spins = 0;
	int64_t last = b->now;

	while (due_next(b, end, &node)) {
		spins = b->now == last ? spins + 1 : 0;
		last = b->now;
		assert_true(spins < 100000); /* it wakes up again and again for nothing */
		if (node >= 0) {
			step_begin(b, node);
			step_end(b, node);
		} else {
			struct item *it = b->head;

			b->head = it->next;
			if (!b->head)
				b->tail = NULL;
			if (it->to >= 0)
				item_deliver(b, it);
			msg_free(&it->msg);
			free(it);
		}
	}
	b->now = end;
}

static inline unsigned told_count(struct cbed *b, int node, enum engine_notice_code code)
{
	unsigned n = 0;

	for (size_t i = 0; i < b->n_told; i++)
		n += (node < 0 || b->told[i].node == node) && b->told[i].code == code;
	return n;
}

static inline const char *told_last(struct cbed *b, int node, enum engine_notice_code code)
{
	for (size_t i = b->n_told; i-- > 0;)
		if (b->told[i].node == node && b->told[i].code == code)
			return b->told[i].text;
	return "";
}

static inline struct cbed *cbed_new(void)
{
	struct cbed *b = calloc(1, sizeof(*b));

	b->now = 5 * US;
	return b;
}

static inline void cbed_free(struct cbed *b)
{
	for (int i = 0; i < NODES; i++) {
		cluster_free(b->n[i].c);
		policy_unref(b->n[i].policy);
		free(b->n[i].guests);
		for (int t = 0; t < (int)SESSION_TYPES; t++)
			msg_free(&b->n[i].last[t]);
	}
	while (b->head) {
		struct item *it = b->head;

		b->head = it->next;
		msg_free(&it->msg);
		free(it);
	}
	free(b);
}

/* ---- four nodes ---- */

#define ALL4 0xfU

struct scene {
	struct cbed *b;
	struct policy *local;
	struct signed_file f[8]; /* serial i, each following the one before; f[7]: not made */
};

/* Nodes a and b are seeds, c and d members; all of serial 1. puppets: bits. */
static inline void begin(struct scene *s, unsigned puppets)
{
	struct recipe r = {.members = ALL4, .seeds = 2, .spare = 20};

	memset(s, 0, sizeof(*s));
	for (int i = 1; i < 7; i++) {
		r.serial = (uint64_t)i;
		s->f[i] = bundle_of(&r, i > 1 ? &s->f[i - 1] : NULL);
	}
	r.serial = 1;
	s->local = recipe_policy(&r);
	s->b = cbed_new();
	for (int i = 0; i < 4; i++) {
		s->b->n[i].puppet = puppets >> i & 1;
		if (!s->b->n[i].puppet)
			node_start(s->b, i, s->local, &s->f[1]);
	}
	pass(s->b, 3 * US);
}

static inline void end(struct scene *s)
{
	cbed_free(s->b);
	policy_unref(s->local);
	for (int i = 0; i < 8; i++)
		free(s->f[i].data);
}

static inline void all_have(struct scene *s, uint64_t serial)
{
	for (int i = 0; i < 4; i++)
		if (s->b->n[i].c)
			assert_int_equal(serial_of(s->b, i), serial);
}

#endif

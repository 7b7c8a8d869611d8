/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Joining with a token: engines of seeds a and b, and of newcomer z, with real keys throughout. The
 * test is their hosts: it signs, stores, or does neither.
 */
#ifndef TESTS_UNIT_TOKEN_BED_H
#define TESTS_UNIT_TOKEN_BED_H

#include "tests/unit/join_bed.h"

#include "policy/guests.h"
#include "policy/ticket.h"

#define TOKEN 60 /* the key of token lab */
#define OTHER 61 /* of token two */
#define Z 25

struct host {
	struct bed b;
	int key;
	bool no_sign, no_store; /* asked, and not answered yet */
	bool sign_fails, store_fails;
	size_t signed_for, stored;
	uint8_t store[4096]; /* the last that was on disk */
	size_t store_len;
	uint8_t said[4096];
	size_t said_len;
};

static struct host *present; /* whose step it is */

static inline void seen(struct bed *b, const struct engine_effect *fx)
{
	const char *peer = bed_peer_of(fx);

	if (!peer || !*peer) /* of peers there are many, and nothing is looked for */
		wish_keep(b, fx);
	if (fx->type == ENGINE_FX_ADMISSIONS_STORE && fx->admissions.len <= sizeof(present->said)) {
		present->said_len = fx->admissions.len;
		if (fx->admissions.len)
			memcpy(present->said, fx->admissions.data, fx->admissions.len);
	}
}

/* ---- hosts ---- */

static inline void answer_sign(struct host *h, uint64_t id)
{
	struct engine_event ev = {.type = ENGINE_EV_ADMIT_SIGNED};

	for (size_t i = 0; i < n_wishes; i++) {
		if (wish[i].type != ENGINE_FX_ADMIT_SIGN || wish[i].id != id)
			continue;
		ev.admit_signed.effect_id = id;
		sign_with(h->key, wish[i].words, wish[i].n_words, ev.admit_signed.by_seed);
		h->signed_for++;
		bed_step(&h->b, &ev);
		return;
	}
	fail();
}

static inline void answer_result(struct host *h, uint64_t id, int error, const char *text)
{
	struct engine_event ev = {.type = ENGINE_EV_RESULT};

	ev.result.effect_id = id;
	ev.result.error = error;
	ev.result.text = text;
	bed_step(&h->b, &ev);
}

/* False: it is left where it is. */
static inline bool answer_one(
        struct host *h, uint64_t id, enum engine_effect_type type, const char *peer)
{
	if (type == ENGINE_FX_ADMIT_SIGN && h->no_sign)
		return false;
	if (type == ENGINE_FX_ADMISSIONS_STORE && h->no_store)
		return false;
	if (type == ENGINE_FX_ADMIT_SIGN && h->sign_fails) {
		answer_result(h, id, -EACCES, "node.key cannot be read");
	} else if (type == ENGINE_FX_ADMIT_SIGN) {
		answer_sign(h, id);
	} else if (type == ENGINE_FX_ADMISSIONS_STORE && h->store_fails) {
		answer_result(h, id, -ENOSPC, "No space left on device");
	} else if (type == ENGINE_FX_ADMISSIONS_STORE) {
		memcpy(h->store, h->said, h->said_len);
		h->store_len = h->said_len;
		h->stored++;
		answer_result(h, id, 0, NULL);
	} else {
		bed_answer(&h->b, id, type, peer);
	}
	return true;
}

static inline void settle(struct host *h)
{
	struct bed *b = &h->b;

	present = h;
	for (size_t i = 0, round = 0; i < b->n_pending && round < 10000; round++) {
		uint64_t id = b->pending[i].id;
		enum engine_effect_type type = b->pending[i].type;
		char peer[64];

		snprintf(peer, sizeof(peer), "%s", b->pending[i].peer);
		if (type == ENGINE_FX_JOIN_ASK || type == ENGINE_FX_JOIN_STOP || !id ||
		        !answer_one(h, id, type, peer)) {
			i++;
			continue;
		}
		/* What came meanwhile is behind it. */
		memmove(&b->pending[i], &b->pending[i + 1],
		        (--b->n_pending - i) * sizeof(b->pending[0]));
		i = 0;
	}
}

static inline void pass(struct host *h, int64_t us)
{
	present = h;
	for (int64_t end = h->b.now.mono_us + us; h->b.now.mono_us < end;) {
		struct engine_event tick = {.type = ENGINE_EV_TICK};
		int64_t wake = engine_next_wakeup(h->b.e), least = h->b.now.mono_us + 5000;
		int64_t before = h->b.now.mono_us;

		settle(h);
		h->b.now.mono_us = wake > end ? end : wake > least ? wake : least;
		h->b.now.wall_s += h->b.now.mono_us / US - before / US;
		bed_step(&h->b, &tick);
	}
	settle(h);
}

/* The policy with its guests is made ten times a second at most, and kept once a second. */
static inline void await(struct host *h)
{
	settle(h);
	pass(h, 3 * US / 2);
}

/* ---- policies ---- */

static inline void real_key(int i, struct policy_key *key)
{
	if (i < 2)
		node_key(i, key);
	else
		join_key(i, key);
}

/* a and b are seeds with keys that can sign; c and d are members. */
static inline struct recipe with_key(uint64_t serial, const char *text, int lab)
{
	static char tokens[4][2048];
	static size_t at;
	char key[96], other[96];
	struct policy_key raw;
	struct recipe r = {
	        .serial = serial, .members = 0xf, .seeds = 2, .key = real_key, .join = true};

	node_key(lab, &raw);
	policy_key_print(&raw, key, sizeof(key));
	node_key(OTHER, &raw);
	policy_key_print(&raw, other, sizeof(other));
	at = (at + 1) % 4;
	snprintf(tokens[at], sizeof(tokens[at]),
	        "tokens:\n  lab: { key: \"%s\", roles: [r], site: s, %s }\n"
	        "  two: { key: \"%s\", roles: [r], site: s, range: 10.9.9.0/24, count: 5, until: "
	        "2026-12-01 }\n",
	        key, text, other);
	r.more = tokens[at];
	return r;
}

static inline struct recipe with_tokens(uint64_t serial, const char *text)
{
	return with_key(serial, text, TOKEN);
}

#define LAB "range: 10.8.0.0/24, count: 2, until: 2026-07-02T00:00:00Z"

static inline struct recipe usual_tokens(void)
{
	return with_tokens(1, LAB);
}

static inline struct signed_file bundle_give(struct host *h, const struct recipe *r)
{
	struct signed_file f = bundle_of(r, NULL);
	struct engine_event ev = {.type = ENGINE_EV_BUNDLE};

	present = h;
	ev.bundle.source = ENGINE_BUNDLE_ADMIN;
	ev.bundle.file = f.data;
	ev.bundle.len = f.len;
	policy_unref(h->b.policy);
	h->b.policy = recipe_policy(r);
	bed_step(&h->b, &ev);
	return f;
}

static inline void bundle_new(struct host *h, const struct recipe *r)
{
	free(bundle_give(h, r).data);
}

/* Seed number i, as it starts: with what was on disk. */
static inline void seed_start(
        struct host *h, int i, const struct recipe *r, const uint8_t *kept, size_t kept_len)
{
	struct engine_event ev = {.type = ENGINE_EV_OWN_KEY};

	memset(h, 0, sizeof(*h));
	present = h;
	h->key = i;
	h->b.now = (struct engine_time){5 * US, NOON_2026};
	h->b.carry_out = seen;
	n_wishes = 0;
	assert_int_equal(engine_new(&h->b.e, NULL), 0);
	node_key(i, &ev.own_key);
	bed_step(&h->b, &ev);
	give_key(&h->b);
	bundle_new(h, r);
	if (kept_len) {
		ev = (struct engine_event){.type = ENGINE_EV_ADMISSIONS};
		ev.admissions.data = kept;
		ev.admissions.len = kept_len;
		bed_step(&h->b, &ev);
	}
	plane_up(&h->b);
	bed_charon(&h->b, true);
	h->b.refuse = true; /* tunnels are of no interest here */
	pass(h, 3 * US);
	assert_true(join_look(&h->b).serving);
	n_wishes = h->b.n_said = 0;
}

static inline void seed_new(struct host *h)
{
	struct recipe r = usual_tokens();

	seed_start(h, 0, &r, NULL, 0);
}

/* ---- calls ---- */

static inline void vouch(struct join_request *r, const char *token, int by)
{
	struct policy_admission a = {.key = r->key};
	uint8_t words[POLICY_ADMISSION_WORDS_MAX];
	size_t len;

	snprintf(r->token, sizeof(r->token), "%s", token);
	snprintf(a.cluster, sizeof(a.cluster), "%s", r->cluster);
	snprintf(a.token, sizeof(a.token), "%s", token);
	snprintf(a.name, sizeof(a.name), "%s", r->name);
	len = policy_admission_words_token(&a, words);
	sign_with(by, words, len, r->by_token);
}

/* Signs what r says with key i, and asks; the call's id. */
static int one_source; /* 0: each call is from another */

static inline uint64_t ask(struct host *h, struct join_request *r, int i)
{
	static uint64_t id = 5000;
	uint8_t nonce[32] = {0}, words[JOIN_WORDS_MAX];
	struct policy_key seed;

	id++;
	memcpy(nonce, &id, sizeof(id));
	node_key(h->key, &seed);
	assert_int_equal(join_request_words(r, &cluster_secret(0)->pub, &seed, nonce, words), 0);
	sign_with(i, words, sizeof(words), r->signature);
	present = h;
	/* By a join SA of its own, from a source of its own; it is needed no longer than that. */
	join_sa(&h->b, (int)(id % 200), one_source ? one_source : (int)id);
	call_with(&h->b, id, (int)(id % 200), nonce, r);
	join_sa_down(&h->b, (int)(id % 200));
	return id;
}

static inline uint64_t ask_as(struct host *h, int i, const char *name, const char *token, int by)
{
	struct join_request r = request_of(i, name);

	vouch(&r, token, by);
	return ask(h, &r, i);
}

static inline struct wish *answer_of(uint64_t id)
{
	for (size_t i = n_wishes; i-- > 0;)
		if (wish[i].type == ENGINE_FX_JOIN_ANSWER && wish[i].call == id)
			return &wish[i];
	return NULL;
}

static inline struct policy_admission expect_member(uint64_t id)
{
	const struct wish *w = answer_of(id);
	struct policy_admission a;

	assert_non_null(w);
	if (w->status != JOIN_MEMBER)
		fail_msg("%s: %s", join_status_name(w->status), w->text);
	assert_int_equal(w->n_admissions, 1);
	assert_true(w->len > 100);
	assert_int_equal(policy_admission_parse(w->admission, w->admission_len, &a), 0);
	return a;
}

static inline void expect_text(uint64_t id, enum join_status status, const char *text)
{
	const struct wish *w = answer_of(id);

	assert_non_null(w);
	if (w->status != status || !strstr(w->text, text))
		fail_msg("%s: %s", join_status_name(w->status), w->text);
	assert_int_equal(w->n_admissions, 0);
	assert_int_equal(w->len, 0);
}

static inline uint64_t let_in(struct host *h, int i, const char *name)
{
	uint64_t id = ask_as(h, i, name, "lab", TOKEN);

	await(h);
	expect_member(id);
	return id;
}

static inline void refuse(struct host *h, int i, const char *name, const char *text)
{
	uint64_t id = ask_as(h, i, name, "lab", TOKEN);

	settle(h);
	expect_text(id, JOIN_REFUSED, text);
}

static inline bool is_peer(struct host *h, const char *name)
{
	struct engine_peer_view v;

	return !engine_peer_find(h->b.e, name, &v);
}

/* ---- newcomers ---- */

/* A ticket of seeds a and b, with token lab. */
static inline void ticket_give(struct host *z)
{
	struct engine_event ev = {.type = ENGINE_EV_TICKET};
	struct policy_ticket ticket;

	ticket = (struct policy_ticket){.cluster = "t", .port = 4500, .n_seeds = 2};
	ticket.cluster_key = cluster_secret(0)->pub;
	ticket.has_token = true;
	memcpy(ticket.token, "lab", 4);
	for (int i = 0; i < 2; i++) {
		ticket.seeds[i] =
		        (struct policy_ticket_seed){.name = {(char)('a' + i)}, .port = 4500};
		node_key(i, &ticket.seeds[i].key);
		snprintf(ticket.seeds[i].host, sizeof(ticket.seeds[i].host), "seed%d.example", i);
	}
	present = z;
	ev.ticket.ticket = &ticket;
	ev.ticket.name = "z";
	ev.ticket.site = "s";
	bed_step(&z->b, &ev);
}

static inline void newcomer_new(struct host *z)
{
	struct engine_event ev = {.type = ENGINE_EV_OWN_KEY};

	n_wishes = 0;
	memset(z, 0, sizeof(*z));
	present = z;
	z->key = Z;
	z->b.now = (struct engine_time){5 * US, NOON_2026};
	z->b.carry_out = seen;
	z->b.refuse = true;
	assert_int_equal(engine_new(&z->b.e, NULL), 0);
	node_key(Z, &ev.own_key);
	bed_step(&z->b, &ev);
	plane_up(&z->b);
	bed_charon(&z->b, true);
	ticket_give(z);
}

/* What it asks the next seed; the request as its host signs it. */
static inline struct wish asked(struct host *z)
{
	struct wish w;
	size_t i;

	for (int n = 0; n < 3000 && wish_find(ENGINE_FX_JOIN_ASK) == SIZE_MAX; n++)
		pass(z, US / 5);
	i = wish_find(ENGINE_FX_JOIN_ASK);
	assert_true(i != SIZE_MAX);
	w = wish[i];
	n_wishes = 0;
	return w;
}

static inline void answered(struct host *z, uint64_t id, const struct join_answer *a)
{
	struct engine_event ev = {.type = ENGINE_EV_JOIN_ANSWERED};

	ev.join_answered.effect_id = id;
	ev.join_answered.answer = a;
	present = z;
	bed_step(&z->b, &ev);
	settle(z);
}

static inline void is_nobody(struct host *z)
{
	struct engine_bundle_view v;
	struct engine_view w;

	engine_bundle_look(z->b.e, &v);
	engine_look(z->b.e, &w);
	assert_false(v.key);
	assert_int_equal(v.head.serial, 0);
	assert_null(w.policy);
	assert_int_equal(z->stored, 0);
}

/* The seed's answer to what z asks, as its wire would bring it. */
static inline struct wish seed_answers(struct host *seed, const struct wish *w)
{
	struct join_request r = w->ask.request;
	uint64_t id;

	assert_string_equal(r.token, "lab");
	vouch(&r, "lab", TOKEN);
	n_wishes = 0;
	id = ask(seed, &r, Z);
	await(seed);
	assert_non_null(answer_of(id));
	return *answer_of(id);
}

static inline void gives(
        struct host *z, uint64_t ask_id, const struct wish *w, const struct signed_file *f)
{
	struct join_record record = {w->admission, w->admission_len};
	struct join_answer a = {.status = w->status,
	        .text = w->text,
	        .retry_s = w->retry_s,
	        .admissions = &record,
	        .n_admissions = w->n_admissions};

	if (w->status == JOIN_MEMBER) {
		a.file = f->data;
		a.len = f->len;
	}
	answered(z, ask_id, &a);
}

static inline void record_make(
        struct wish *w, const struct policy_admission *from, int token, int by)
{
	struct policy_admission a = *from;
	uint8_t words[POLICY_ADMISSION_WORDS_MAX];
	size_t len = policy_admission_words_token(&a, words);

	sign_with(token, words, len, a.by_token);
	len = policy_admission_words_seed(&a, words);
	sign_with(by, words, len, a.by_seed);
	w->admission_len = policy_admission_print(&a, w->admission);
}

#endif

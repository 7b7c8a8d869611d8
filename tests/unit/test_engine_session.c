/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Cluster machines that talk: how a bundle gets to everybody, past seeds that hold it back too. */
#include "tests/unit/cluster_bed.h"

#include "engine/cluster_internal.h"

/* ---- how it spreads ---- */

static void test_spread(void **state)
{
	struct engine_bundle_view v;
	struct scene s;

	(void)state;
	begin(&s, 0);
	all_have(&s, 1);
	v = node_look(s.b, 0);
	assert_int_equal(v.n_sessions, 3);
	assert_int_equal(node_look(s.b, 2).n_sessions, 2);
	memset(s.b->bytes, 0, sizeof(s.b->bytes));
	memset(s.b->sent, 0, sizeof(s.b->sent));
	node_give(s.b, 2, &s.f[2]);
	pass(s.b, 20000);
	all_have(&s, 2);
	/* to two seeds, and each seed to the others: differences only */
	assert_in_range(s.b->bytes[SESSION_BUNDLE], 1, 8 * 800);
	assert_int_equal(s.b->sent[SESSION_WANT], 0);
	/* c to both seeds; a to b and d, and b to a and d, for neither knows of the other yet */
	assert_int_equal(s.b->sent[SESSION_BUNDLE], 2 + 2 + 2);
	pass(s.b, US);
	v = node_look(s.b, 0);
	assert_int_equal(v.n_members, 4 + 20);
	assert_int_equal(v.n_applied, 4);
	for (int i = 0; i < 4; i++)
		assert_int_equal(s.b->n[i].stored, 2);
	end(&s);
}

/* A member that has nothing fetches the whole; one that missed some gets the difference. */
static void test_late(void **state)
{
	struct scene s;

	(void)state;
	begin(&s, 0);
	node_stop(s.b, 3);
	node_give(s.b, 0, &s.f[2]);
	pass(s.b, US);
	node_give(s.b, 0, &s.f[3]);
	pass(s.b, US);
	memset(s.b->bytes, 0, sizeof(s.b->bytes));
	node_start(s.b, 3, s.local, &s.f[1]); /* two behind */
	pass(s.b, 2 * US);
	all_have(&s, 3);
	assert_in_range(s.b->bytes[SESSION_BUNDLE], 1, 1500);
	node_stop(s.b, 3);
	memset(s.b->bytes, 0, sizeof(s.b->bytes));
	node_start(s.b, 3, s.local, NULL);
	pass(s.b, 2 * US);
	all_have(&s, 3);
	assert_int_equal(s.b->bytes[SESSION_BUNDLE], s.f[3].len);
	assert_int_equal(s.b->n[3].stored, 3);
	end(&s);
}

/* What the puppet got makes the one out of the other. */
static void delta_leads(struct scene *s, int from, int to)
{
	const struct session_msg *got = &s->b->n[3].last[SESSION_BUNDLE];
	size_t base, delta, whole, len;
	char err[BUNDLE_ERROR_MAX], *text;

	assert_true(got->delta && got->len < s->f[to].len / 2);
	assert_int_equal(got->base.serial, from);
	bundle_split(s->f[from].data, s->f[from].len, &base, NULL, 0);
	bundle_split((const char *)got->data, got->len, &delta, NULL, 0);
	if (bundle_patch(s->f[from].data, base, (const char *)got->data, delta, &text, &len, err,
	            sizeof(err)))
		fail_msg("%s", err);
	bundle_split(s->f[to].data, s->f[to].len, &whole, NULL, 0);
	assert_int_equal(len, whole);
	assert_memory_equal(text, s->f[to].data, len);
	free(text);
}

/* Only the last few texts are kept: who is further behind gets the whole. */
static void test_far_behind(void **state)
{
	struct scene s;

	(void)state;
	begin(&s, 8);
	puppet_open(s.b, 3, 0);
	pass(s.b, US);
	for (int i = 2; i < 7; i++) {
		node_give(s.b, 0, &s.f[i]);
		pass(s.b, 2 * US);
		puppet_says(s.b, 3,
		        &(struct session_msg){.type = SESSION_WANT, .head = s.f[i - 1].short_head});
		pass(s.b, US);
		delta_leads(&s, i - 1, i);
	}
	for (int i = 6; i > 0; i--) {
		const struct session_msg *got = &s.b->n[3].last[SESSION_BUNDLE];

		pass(s.b, 2 * US);
		puppet_says(s.b, 3,
		        &(struct session_msg){.type = SESSION_WANT, .head = s.f[i].short_head});
		pass(s.b, US);
		assert_int_equal(got->head.serial, 6);
		assert_int_equal(got->delta, i < 6 && i > 2);
		if (got->delta)
			delta_leads(&s, i, 6);
	}
	end(&s);
}

static struct signed_file naming_of(const struct recipe *r, const struct signed_file *parent)
{
	struct policy *p = recipe_policy(r);
	struct signed_file f = {0};
	char *text;
	size_t len;

	assert_int_equal(bundle_make_next(p, &parent->head, ISSUED, &cluster_secret(1)->pub, &text,
	                         &len, NULL, 0),
	        0);
	assert_int_equal(bundle_seal(text, len, cluster_secret(0), &f.data, &f.len, NULL, 0), 0);
	assert_int_equal(bundle_head_read(text, len, &f.head, NULL, 0), 0);
	free(text);
	policy_unref(p);
	return f;
}

/*
 * The cluster's key changed while one was away for long: its seeds have the bundle that names the
 * new key. Whoever knows that key already is not held up by it.
 */
static void key_missed(unsigned spare)
{
	struct recipe r = {.members = ALL4, .seeds = 2, .spare = spare};
	struct signed_file f[8] = {{0}};
	struct scene s;

	begin(&s, 0);
	node_stop(s.b, 3);
	s.b->cut[1][3] = s.b->cut[3][1] = s.b->cut[2][3] = s.b->cut[3][2] = true;
	for (uint64_t i = 2; i < 8; i++) {
		r.serial = i;
		f[i] = i == 2 ? naming_of(&r, &s.f[1]) : bundle_by(&r, &f[i - 1], 1);
		node_give(s.b, 0, &f[i]);
		pass(s.b, US);
	}
	for (int knows = 0; knows < 2; knows++) {
		node_start(s.b, 3, s.local, &s.f[1]);
		if (knows) {
			step_begin(s.b, 3);
			cluster_key(s.b->n[3].c, &cluster_secret(1)->pub);
			step_end(s.b, 3);
		}
		pass(s.b, 5 * US);
		all_have(&s, 7);
		assert_int_equal(told_count(s.b, 3, ENGINE_N_REFUSED_BUNDLE), 0);
		node_stop(s.b, 3);
	}
	for (int i = 2; i < 8; i++)
		free(f[i].data);
	end(&s);
}

static void test_key_missed(void **state)
{
	(void)state;
	key_missed(20);
	key_missed(700); /* too large to be pushed */
}

/* A large bundle is not sent unasked; one is asked for, from one seed. */
static void test_large(void **state)
{
	struct recipe r = {.serial = 7, .members = ALL4, .seeds = 2, .spare = 700};
	struct signed_file large;
	struct scene s;

	(void)state;
	begin(&s, 0);
	large = bundle_of(&r, NULL);
	assert_true(large.len > SESSION_SMALL_MAX);
	memset(s.b->bytes, 0, sizeof(s.b->bytes));
	node_give(s.b, 0, &large);
	pass(s.b, US);
	all_have(&s, 7);
	assert_int_equal(s.b->bytes[SESSION_BUNDLE], 3 * large.len);
	assert_int_equal(s.b->sent[SESSION_WANT], 3);
	free(large.data);
	end(&s);
}

static bool lose_bundles_of_a(struct cbed *b, int from, int to, struct session_msg *msg)
{
	(void)b;
	(void)to;
	return from != 0 || msg->type != SESSION_BUNDLE;
}

/* A seed that does not deliver is given up after five seconds, and another is asked. */
static void test_other_seed(void **state)
{
	struct recipe r = {.serial = 7, .members = ALL4, .seeds = 2, .spare = 700};
	struct signed_file large;
	struct scene s;

	(void)state;
	begin(&s, 0);
	large = bundle_of(&r, NULL);
	s.b->cut[1][2] = s.b->cut[2][1] = true; /* b comes later */
	s.b->tamper = lose_bundles_of_a;
	node_give(s.b, 1, &large);
	pass(s.b, US / 2);
	assert_int_equal(serial_of(s.b, 0), 7);
	assert_int_equal(serial_of(s.b, 2), 1);
	node_reach(s.b, 2, 1, CLUSTER_GONE);
	s.b->cut[1][2] = s.b->cut[2][1] = false;
	node_reach(s.b, 2, 1, CLUSTER_UP);
	pass(s.b, 4 * US);
	assert_int_equal(serial_of(s.b, 2), 1);
	pass(s.b, 2 * US);
	assert_int_equal(serial_of(s.b, 2), 7);
	assert_int_equal(told_count(s.b, 2, ENGINE_N_WITHHELD), 1);
	assert_string_equal(told_last(s.b, 2, ENGINE_N_WITHHELD),
	        "a says that serial 7 is in force there, and does not send it.");
	free(large.data);
	end(&s);
}

/* ---- sessions ---- */

static void test_calls(void **state)
{
	struct scene s;
	unsigned n;

	(void)state;
	begin(&s, 2);
	/* a calls b, c and d call both */
	assert_int_equal(s.b->n[1].opened, 3);
	assert_int_equal(s.b->n_pairs, 5);
	/* the seed hangs up: called again, ever more seldom */
	s.b->cut[2][1] = true;
	net_close(s.b, 1, s.b->pairs[s.b->n[1].session - 1].id_b);
	for (size_t i = 0; i < s.b->n_pairs; i++)
		if (s.b->pairs[i].b == 1)
			net_close(s.b, 1, s.b->pairs[i].id_b);
	n = (unsigned)s.b->n_pairs;
	pass(s.b, 10 * US);
	assert_in_range(s.b->n_pairs - n, 8, 16); /* two come up at once */
	n = (unsigned)s.b->n_pairs;
	pass(s.b, 300 * US);
	assert_in_range(s.b->n_pairs - n, 15, 40);
	n = (unsigned)s.b->n_pairs;
	pass(s.b, 300 * US);
	assert_in_range(s.b->n_pairs - n, 7, 14);
	s.b->cut[2][1] = false;
	pass(s.b, 40 * US);
	assert_int_equal(node_look(s.b, 2).n_sessions, 2);
	assert_int_equal(told_count(s.b, 2, ENGINE_N_SESSION_DOWN), 1);
	/* the tunnel is gone: so is the session, and nobody calls */
	node_reach(s.b, 2, 1, CLUSTER_GONE);
	assert_int_equal(node_look(s.b, 2).n_sessions, 1);
	n = (unsigned)s.b->n_pairs;
	pass(s.b, 60 * US);
	assert_int_equal(s.b->n_pairs, n);
	assert_int_equal(node_look(s.b, 2).n_sessions, 1);
	node_reach(s.b, 2, 1, CLUSTER_UP);
	pass(s.b, US);
	assert_int_equal(node_look(s.b, 2).n_sessions, 2);
	end(&s);
}

/* A seed that is started anew is met again soon, and again when that happens once more. */
static void test_restarts(void **state)
{
	struct scene s;

	(void)state;
	begin(&s, 0);
	for (int i = 0; i < 12; i++) {
		for (int k = 0; k < 4; k++)
			s.b->cut[k][1] = true;
		node_stop(s.b, 1);
		pass(s.b, 4 * US);
		node_start(s.b, 1, s.local, &s.f[1]);
		for (int k = 0; k < 4; k++)
			s.b->cut[k][1] = false;
		pass(s.b, i % 2 ? 2 * US : 8 * US); /* only just, or to stay */
		assert_int_equal(node_look(s.b, 1).n_sessions, 3);
	}
	end(&s);
}

/* No answer to a call at all: given up after a while, and tried again. */
static void test_call_hangs(void **state)
{
	struct scene s;
	size_t n;

	(void)state;
	begin(&s, 2);
	node_reach(s.b, 2, 1, CLUSTER_GONE);
	pass(s.b, US);
	s.b->deaf = true;
	node_reach(s.b, 2, 1, CLUSTER_UP);
	n = s.b->n_pairs;
	pass(s.b, 19 * US);
	assert_int_equal(s.b->n_pairs, n);
	pass(s.b, 2 * US);
	assert_int_equal(s.b->n_pairs, n + 1);
	assert_string_equal(told_last(s.b, 2, ENGINE_N_SESSION_DOWN),
	        "No session with b: it did not open in time; it is tried again.");
	s.b->deaf = false;
	pass(s.b, 30 * US);
	assert_int_equal(node_look(s.b, 2).n_sessions, 2);
	end(&s);
}

/* At most two of a peer; the newest stay. Of no peer of the policy: none. */
static void test_incoming(void **state)
{
	struct engine_event ev = {.type = ENGINE_EV_SESSION};
	struct scene s;

	(void)state;
	begin(&s, 8);
	for (int i = 0; i < 4; i++) {
		puppet_open(s.b, 3, 0);
		pass(s.b, US);
	}
	assert_int_equal(s.b->n[3].closed, 2);
	assert_true(puppet_open_now(s.b, 3));
	assert_int_equal(node_look(s.b, 0).n_sessions, 2 + 2);
	/* over and over: only so often */
	s.b->n[3].got[SESSION_STATE] = 0;
	for (int i = 0; i < 200; i++) {
		puppet_open(s.b, 3, 0);
		pass(s.b, 10000);
	}
	assert_in_range(s.b->n[3].got[SESSION_STATE], 3, 13);
	step_begin(s.b, 0);
	ev.session.id = 4711;
	ev.session.peer = "stranger";
	ev.session.up = true;
	cluster_session(s.b->n[0].c, &ev);
	assert_int_equal(cluster_tick(s.b->n[0].c), 0);
	assert_int_equal(cluster_effects(s.b->n[0].c)->n, 1);
	assert_int_equal(cluster_effects(s.b->n[0].c)->v[0].type, ENGINE_FX_SESSION_CLOSE);
	assert_int_equal(cluster_effects(s.b->n[0].c)->v[0].session.session, 4711);
	end(&s);
}

/* Whoever is not in the new policy has no session any more, nor are its words kept. */
static void test_revoked(void **state)
{
	struct recipe r = {.serial = 2, .members = 7, .seeds = 2, .spare = 20};
	struct signed_file f;
	struct scene s;
	size_t n;

	(void)state;
	begin(&s, 0);
	f = bundle_of(&r, &s.f[1]);
	node_give(s.b, 2, &f);
	pass(s.b, US);
	for (int i = 0; i < 3; i++)
		assert_int_equal(serial_of(s.b, i), 2);
	assert_int_equal(node_look(s.b, 0).n_sessions, 2);
	assert_int_equal(node_look(s.b, 0).n_members, 23);
	assert_int_equal(node_look(s.b, 0).n_applied, 3);
	/* it tries again, and is not let in */
	n = s.b->n_pairs;
	pass(s.b, 10 * US);
	assert_true(s.b->n_pairs > n);
	assert_int_equal(node_look(s.b, 0).n_sessions, 2);
	free(f.data);
	end(&s);
}

/* ---- statements ---- */

static struct engine_member_view member(struct cbed *b, int node, int i)
{
	struct engine_member_view v;

	assert_int_equal(cluster_member_at(b->n[node].c, (size_t)i, &v), 0);
	assert_string_equal(v.name, name_of(i));
	return v;
}

static void who(struct cbed *b, int i)
{
	step_begin(b, i);
	cluster_who(b->n[i].c);
	step_end(b, i);
	pass(b, 100000);
}

/* Members learn from seeds what others have in force; only what is new is sent. */
static void test_who(void **state)
{
	struct engine_member_view v;
	struct scene s;

	(void)state;
	begin(&s, 0);
	assert_int_equal(member(s.b, 2, 3).applied.serial, 0);
	who(s.b, 2);
	v = member(s.b, 2, 3);
	assert_int_equal(v.applied.serial, 1);
	assert_string_equal(v.release, "1.2");
	assert_false(v.session);
	assert_true(member(s.b, 2, 2).self);
	assert_true(member(s.b, 2, 0).seed);
	assert_true(member(s.b, 2, 0).session);
	assert_int_equal(node_look(s.b, 2).n_applied, 4);
	s.b->sent[SESSION_WHO] = 0;
	for (int i = 0; i < 100; i++) { /* bounded */
		step_begin(s.b, 2);
		cluster_who(s.b->n[2].c);
		step_end(s.b, 2);
		pass(s.b, 1000);
	}
	assert_in_range(s.b->sent[SESSION_WHO], 2, 6);
	node_stop(s.b, 3);
	node_give(s.b, 0, &s.f[2]);
	pass(s.b, US);
	who(s.b, 2);
	assert_int_equal(node_look(s.b, 2).n_applied, 3);
	assert_int_equal(member(s.b, 2, 3).applied.serial, 1);
	/* it lost its disk: on its own session it is believed */
	node_start(s.b, 3, s.local, &s.f[2]);
	pass(s.b, US);
	assert_int_equal(member(s.b, 0, 3).applied.serial, 2);
	node_stop(s.b, 3);
	s.b->tamper = lose_bundles_of_a;
	s.b->cut[1][3] = s.b->cut[3][1] = true;
	node_start(s.b, 3, s.local, &s.f[1]);
	pass(s.b, US);
	assert_int_equal(member(s.b, 0, 3).applied.serial, 1);
	end(&s);
}

/* The one that the other opened. */
static void session_of(struct cbed *b, int puppet, int other)
{
	for (size_t i = 0; i < b->n_pairs; i++)
		if (b->pairs[i].a == other && b->pairs[i].b == puppet)
			b->n[puppet].session = i + 1;
}

/* What a seed passes on: forged, and stale. */
static void test_passed_on(void **state)
{
	struct session_statement st[2];
	struct session_msg msg = {
	        .type = SESSION_STATEMENTS, .statements = st, .n_statements = 2, .since = 2};
	struct scene s;

	(void)state;
	begin(&s, 1); /* a is hostile, and c calls it */
	session_of(s.b, 0, 2);
	st[0] = node_says(3, &s.f[3].short_head);
	st[1] = node_says(3, &s.f[2].short_head);
	puppet_says(s.b, 0, &msg); /* unasked: not looked at */
	pass(s.b, US);
	assert_int_equal(member(s.b, 2, 3).applied.serial, 0);
	who(s.b, 2);
	assert_int_equal(member(s.b, 2, 3).applied.serial, 1); /* from b */
	puppet_says(s.b, 0, &msg);
	pass(s.b, US);
	assert_int_equal(member(s.b, 2, 3).applied.serial, 3); /* the higher */
	who(s.b, 2);
	st[0] = node_says(3, &s.f[4].short_head);
	st[0].head.serial = 5;
	session_of(s.b, 0, 2);
	puppet_says(s.b, 0, &msg);
	pass(s.b, US);
	assert_int_equal(member(s.b, 2, 3).applied.serial, 3);
	assert_true(member(s.b, 2, 0).session); /* by another policy it might be good */
	end(&s);
}

/* ---- seeds that change ---- */

/* Two that do not agree on who is a seed, or who calls, find each other all the same. */
static void test_other_seeds(void **state)
{
	struct recipe r = {.serial = 2, .members = 3, .seeds = 2};
	struct signed_file both, only_a, none;
	struct scene s;

	(void)state;
	memset(&s, 0, sizeof(s));
	both = bundle_of(&r, NULL);
	r.serial = 3;
	r.seeds = 1;
	only_a = bundle_of(&r, &both);
	r.serial = 4;
	r.seeds = 0;
	none = bundle_of(&r, &only_a);
	s.local = recipe_policy(&r);
	s.b = cbed_new();
	node_start(s.b, 0, s.local, &both);
	node_start(s.b, 1, s.local, &both);
	pass(s.b, US);
	node_give(s.b, 0, &only_a); /* a was the one to call */
	pass(s.b, US);
	assert_int_equal(serial_of(s.b, 1), 3);
	pass(s.b, 60 * US);
	assert_int_equal(node_look(s.b, 0).n_sessions, 1); /* now b calls */
	node_stop(s.b, 1);
	s.b->no_notes = true;
	node_start(s.b, 1, s.local, &both); /* and waits to be called */
	pass(s.b, 10 * US);
	assert_int_equal(serial_of(s.b, 1), 3);
	s.b->no_notes = false;
	/* nobody is a seed any more for one, and for the other that one is */
	node_stop(s.b, 0);
	node_start(s.b, 0, s.local, &none);
	pass(s.b, 10 * US);
	assert_int_equal(serial_of(s.b, 1), 4);
	/* the other way round: nobody calls; it takes a note */
	pass(s.b, 60 * US);
	node_stop(s.b, 1);
	r.serial = 5;
	free(both.data);
	both = bundle_of(&r, &none);
	node_give(s.b, 0, &both);
	node_start(s.b, 1, s.local, &none);
	pass(s.b, 65 * US);
	assert_int_equal(serial_of(s.b, 1), 5);
	free(both.data);
	free(only_a.data);
	free(none.data);
	end(&s);
}

/* ---- keeping it ---- */

static void test_store(void **state)
{
	struct scene s;
	unsigned n;
	uint64_t late;

	(void)state;
	begin(&s, 0);
	s.b->n[2].store_error = -ENOSPC;
	s.b->n[3].store_hangs = true;
	node_give(s.b, 0, &s.f[2]);
	pass(s.b, 30 * US);
	all_have(&s, 2);
	assert_false(node_look(s.b, 2).stored);
	assert_string_equal(node_look(s.b, 2).store_text, "no space left");
	assert_string_equal(told_last(s.b, 2, ENGINE_N_STORE),
	        "The bundle of serial 2 is in force and could not be kept on disk: no space left; "
	        "it is tried again.");
	assert_in_range(s.b->n[2].n_stores, 3, 8);
	assert_int_equal(told_count(s.b, 2, ENGINE_N_STORE), 1);
	assert_string_equal(node_look(s.b, 3).store_text, "no answer in time");
	n = s.b->n[2].n_stores;
	pass(s.b, 600 * US);
	assert_in_range(s.b->n[2].n_stores - n, 8, 20);
	s.b->n[2].store_error = 0;
	pass(s.b, 80 * US);
	assert_int_equal(s.b->n[2].stored, 2);
	assert_true(node_look(s.b, 2).stored);
	assert_int_equal(told_count(s.b, 2, ENGINE_N_STORE), 2);
	/* what is kept is not what is in force by now */
	s.b->n[2].store_hangs = true;
	node_give(s.b, 2, &s.f[4]);
	late = s.b->n[2].next_store;
	node_give(s.b, 2, &s.f[5]);
	n = s.b->n[2].n_stores;
	item_put(s.b, ITEM_STORED, 2, 2)->id = late;
	s.b->n[2].store_hangs = false;
	pass(s.b, 10000);
	assert_int_equal(s.b->n[2].n_stores, n + 1);
	assert_int_equal(s.b->n[2].stored, 5);
	/* the hung one gets the next at once when it wakes up */
	node_give(s.b, 0, &s.f[6]);
	pass(s.b, US);
	assert_int_equal(serial_of(s.b, 3), 6);
	s.b->n[3].store_hangs = false;
	pass(s.b, 100 * US);
	assert_int_equal(s.b->n[3].stored, 6);
	end(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(test_spread),
	        cmocka_unit_test(test_late),
	        cmocka_unit_test(test_far_behind),
	        cmocka_unit_test(test_key_missed),
	        cmocka_unit_test(test_large),
	        cmocka_unit_test(test_other_seed),
	        cmocka_unit_test(test_calls),
	        cmocka_unit_test(test_restarts),
	        cmocka_unit_test(test_call_hangs),
	        cmocka_unit_test(test_incoming),
	        cmocka_unit_test(test_revoked),
	        cmocka_unit_test(test_who),
	        cmocka_unit_test(test_passed_on),
	        cmocka_unit_test(test_other_seeds),
	        cmocka_unit_test(test_store),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

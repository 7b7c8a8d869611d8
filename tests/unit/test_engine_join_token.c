/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A seed, and whom tokens vouch for: who is let in, who is told what, and nothing by halves. */
#include "tests/unit/token_bed.h"

/* ---- let in ---- */

static void test_let_in(void **state)
{
	uint8_t words[POLICY_ADMISSION_WORDS_MAX];
	struct engine_view v;
	const struct policy_peer *peer;
	struct policy_admission a, again;
	struct policy_key key;
	struct host h;
	uint64_t id;
	size_t len;

	(void)state;
	seed_new(&h);
	h.no_sign = h.no_store = true;
	id = ask_as(&h, NEW, "u", "lab", TOKEN);
	settle(&h);
	assert_int_equal(wish_count(ENGINE_FX_ADMIT_SIGN), 1);
	assert_null(answer_of(id));
	assert_false(is_peer(&h, "u"));
	h.no_sign = false;
	await(&h);
	assert_null(answer_of(id)); /* not before it is on disk */
	assert_true(is_peer(&h, "u"));
	assert_int_equal(wish_count(ENGINE_FX_ADMISSIONS_STORE), 1);
	h.no_store = false;
	await(&h);
	a = expect_member(id);
	assert_string_equal(a.cluster, "t");
	assert_string_equal(a.token, "lab");
	assert_string_equal(a.name, "u");
	assert_string_equal(a.seed, "a");
	assert_int_equal(a.number, 1);
	node_key(NEW, &key);
	assert_memory_equal(&a.key, &key, sizeof(key));
	node_key(TOKEN, &key);
	len = policy_admission_words_token(&a, words);
	assert_int_equal(policy_key_verify(&key, words, len, a.by_token), 0);
	node_key(0, &key);
	len = policy_admission_words_seed(&a, words);
	assert_int_equal(policy_key_verify(&key, words, len, a.by_seed), 0);
	engine_look(h.b.e, &v);
	peer = policy_peer_by_name(v.policy, "u");
	assert_non_null(peer);
	assert_true(peer->guest);
	assert_memory_equal(&peer->addr4, &a.addr4, sizeof(a.addr4));
	assert_non_null(strstr(told(&h.b, ENGINE_N_JOIN_GUEST), "The token lab let in the node u"));
	assert_int_equal(join_look(&h.b).n_pending, 0);
	/* It did not hear it: the same again, at once, and nothing is used up by that. */
	n_wishes = 0;
	for (int i = 0; i < 3; i++) {
		again = expect_member(ask_as(&h, NEW, "u", "lab", TOKEN));
		assert_memory_equal(&again, &a, sizeof(a));
	}
	assert_int_equal(wish_count(ENGINE_FX_ADMIT_SIGN), 0);
	let_in(&h, NEW + 1, "v");
	/* Nor by another name, or without the token. */
	id = ask_as(&h, NEW, "w", "lab", TOKEN);
	again = expect_member(id);
	assert_string_equal(again.name, "u");
	assert_string_equal(answer_of(id)->text, "The cluster knows this key as u, not as w.");
	{
		struct join_request r = request_of(NEW, "u");

		expect_member(ask(&h, &r, NEW));
	}
	bed_end(&h.b);
}

/* What two want at once, one gets: their limits are not looked at before the other's turn is over. */
static void test_last_place(void **state)
{
	struct host h;
	uint64_t id[3];

	(void)state;
	seed_new(&h);
	let_in(&h, NEW, "u");
	h.no_sign = true;
	id[0] = ask_as(&h, NEW + 1, "v", "lab", TOKEN);
	id[1] = ask_as(&h, NEW + 2, "w", "lab", TOKEN);
	id[2] = ask_as(&h, NEW + 3, "w", "two", OTHER);
	await(&h);
	for (int i = 0; i < 3; i++)
		assert_null(answer_of(id[i]));
	assert_int_equal(wish_count(ENGINE_FX_ADMIT_SIGN), 2); /* u's, and v's */
	h.no_sign = false;
	await(&h);
	assert_int_equal(expect_member(id[0]).number, 2);
	expect_text(id[1], JOIN_REFUSED,
	        "The token 'lab' has let in its 2 nodes: make another, or raise its count.");
	assert_string_equal(expect_member(id[2]).token, "two");
	assert_true(is_peer(&h, "w"));
	assert_int_equal(h.signed_for, 3); /* once for each */
	refuse(&h, NEW + 4, "x", "has let in its 2 nodes");
	bed_end(&h.b);
}

/* Of two that want one name, the one that comes first. */
static void test_one_name(void **state)
{
	struct host h;
	uint64_t id[2];

	(void)state;
	seed_new(&h);
	h.no_sign = true;
	id[0] = ask_as(&h, NEW, "u", "lab", TOKEN);
	id[1] = ask_as(&h, NEW + 1, "U", "lab", TOKEN);
	h.no_sign = false;
	await(&h);
	expect_member(id[0]);
	expect_text(id[1], JOIN_REFUSED, "The name U is taken: ask again with another");
	bed_end(&h.b);
}

/* Behind one NAT, in a cluster whose bundle is large: it is not the source that pays for it. */
static void test_one_site(void **state)
{
	struct recipe r =
	        with_tokens(1, "range: 10.8.0.0/24, count: 40, until: 2026-07-02T00:00:00Z");
	struct host h;
	uint64_t id;
	size_t busy = 0;

	(void)state;
	r.spare = 2000;
	seed_start(&h, 0, &r, NULL, 0);
	one_source = 77;
	for (int i = 0; i < 40; i++) {
		char name[16];

		snprintf(name, sizeof(name), "n%d", i);
		let_in(&h, 3000 + i, name);
	}
	/* but for the same again it does */
	for (int i = 0; i < 40; i++) {
		id = ask_as(&h, 3000, "n0", "lab", TOKEN);
		await(&h);
		busy += answer_of(id)->status == JOIN_BUSY;
	}
	one_source = 0;
	assert_true(busy > 0);
	bed_end(&h.b);
}

static void test_refused(void **state)
{
	struct recipe r =
	        with_tokens(2, "range: 10.8.0.0/30, count: 2, until: 2026-07-02T00:00:00Z");
	char except[160], fingerprint[POLICY_FINGERPRINT_LEN];
	struct policy_key key;
	struct host h;

	(void)state;
	seed_new(&h);
	refuse(&h, NEW, "b", "The name b is taken");
	refuse(&h, NEW, "LocalHost", "is taken");
	refuse(&h, NEW, "www.example", "A name with a dot");
	assert_int_equal(wish_count(ENGINE_FX_ADMIT_SIGN), 0);
	{
		uint64_t id = ask_as(&h, NEW, "u", "none", TOKEN);

		await(&h);
		expect_text(id, JOIN_REFUSED,
		        "There is no token 'none' in the policy in force: it was revoked");
	}
	/* revoked before */
	node_key(NEW + 5, &key);
	policy_key_fingerprint(&key, fingerprint);
	snprintf(except, sizeof(except), LAB ", except: [\"%s\"]", fingerprint);
	r = with_tokens(2, except);
	bundle_new(&h, &r);
	refuse(&h, NEW + 5, "u", "let in by the token 'lab' before, and then revoked");
	/* That one counts too. */
	let_in(&h, NEW, "u");
	refuse(&h, NEW + 1, "v", "has let in its 2 nodes");
	/* raised, and no address left */
	r = with_tokens(3, "range: 10.8.0.0/31, count: 9, until: 2026-07-02T00:00:00Z");
	bundle_new(&h, &r);
	await(&h);
	for (int i = 1; i < 3; i++)
		if (!is_peer(&h, "u") || i > 1) {
			char name[] = {'v', (char)('0' + i), 0};
			uint64_t id = ask_as(&h, NEW + i, name, "lab", TOKEN);

			await(&h);
			if (answer_of(id)->status != JOIN_MEMBER)
				break;
		}
	refuse(&h, NEW + 4, "y", "No address of the range of token 'lab' is free");
	/* revoked altogether */
	r = with_tokens(4, LAB);
	r.more = NULL;
	bundle_new(&h, &r);
	await(&h);
	assert_false(is_peer(&h, "u"));
	refuse(&h, NEW, "u", "There is no token 'lab' in the policy in force: it was revoked");
	bed_end(&h.b);
}

static void test_expired(void **state)
{
	struct host h;
	uint64_t id;

	(void)state;
	seed_new(&h);
	h.b.now.wall_s += 43199 - 10; /* 2026-07-02 is noon and twelve hours */
	h.b.now.mono_us += (43199 - 10) * US;
	bed_step(&h.b, &(struct engine_event){.type = ENGINE_EV_TICK});
	await(&h);
	let_in(&h, NEW, "u");
	/* while our key signs */
	h.no_sign = true;
	id = ask_as(&h, NEW + 1, "v", "lab", TOKEN);
	h.b.now.wall_s += 20;
	h.b.now.mono_us += 5 * US;
	h.no_sign = false;
	await(&h);
	expect_text(id, JOIN_REFUSED, "The time of the token 'lab' is over");
	assert_false(is_peer(&h, "v"));
	h.b.now.mono_us += 20 * US;
	h.b.now.wall_s += 20;
	refuse(&h, NEW + 2, "w", "The time of the token 'lab' is over: make another");
	/* who is in is told what is to be done */
	id = ask_as(&h, NEW, "u", "lab", TOKEN);
	await(&h);
	expect_text(
	        id, JOIN_REFUSED, "The time of the token 'lab', which let this key in, is over");
	bed_end(&h.b);
}

/* ---- stolen words ---- */

static void test_replays(void **state)
{
	struct join_request good = request_of(NEW, "u"), bad;
	static const char text[] = "The token 'lab' did not sign this name and key";
	struct host h;

	(void)state;
	seed_new(&h);
	vouch(&good, "lab", TOKEN);
	/* for another key */
	bad = good;
	node_key(NEW + 1, &bad.key);
	expect_text(ask(&h, &bad, NEW + 1), JOIN_REFUSED, text);
	/* another name */
	bad = good;
	memcpy(bad.name, "v", 2);
	expect_text(ask(&h, &bad, NEW), JOIN_REFUSED, text);
	/* another token, even with a key of its own that vouches for it */
	bad = good;
	memcpy(bad.token, "two", 4);
	expect_text(ask(&h, &bad, NEW), JOIN_REFUSED, "The token 'two' did not sign");
	bad = good;
	vouch(&bad, "two", TOKEN);
	expect_text(ask(&h, &bad, NEW), JOIN_REFUSED, "The token 'two' did not sign");
	/* of another cluster */
	bad = good;
	memcpy(bad.cluster, "u", 2);
	vouch(&bad, "lab", TOKEN);
	memcpy(bad.cluster, "t", 2);
	expect_text(ask(&h, &bad, NEW), JOIN_REFUSED, text);
	/* somebody else's word */
	bad = good;
	vouch(&bad, "lab", NEW);
	expect_text(ask(&h, &bad, NEW), JOIN_REFUSED, text);
	/* without the key itself */
	bad = good;
	expect_text(ask(&h, &bad, NEW + 1), JOIN_REFUSED, "not signed by the key in it");
	await(&h);
	assert_int_equal(wish_count(ENGINE_FX_ADMIT_SIGN), 0);
	assert_false(is_peer(&h, "u"));
	expect_text(ask_as(&h, NEW, "u", "two", TOKEN), JOIN_REFUSED, "did not sign");
	let_in(&h, NEW, "u");
	bed_end(&h.b);
}

static void test_rejected(void **state)
{
	struct engine_event ev = {.type = ENGINE_EV_JOIN_REJECT};
	struct host h;
	uint64_t id;

	(void)state;
	seed_new(&h);
	node_key(NEW, &ev.own_key);
	bed_step(&h.b, &ev);
	refuse(&h, NEW, "u", "An admin refused this key.");
	/* while our key signs */
	h.no_sign = true;
	id = ask_as(&h, NEW + 1, "v", "lab", TOKEN);
	node_key(NEW + 1, &ev.own_key);
	bed_step(&h.b, &ev);
	h.no_sign = false;
	await(&h);
	expect_text(id, JOIN_REFUSED, "An admin refused this key.");
	assert_false(is_peer(&h, "v"));
	bed_end(&h.b);
}

/* ---- trouble ---- */

static void test_disk(void **state)
{
	struct host h;
	uint64_t id;

	(void)state;
	seed_new(&h);
	h.store_fails = true;
	id = ask_as(&h, NEW, "u", "lab", TOKEN);
	await(&h);
	expect_text(id, JOIN_BUSY,
	        "This seed cannot keep on disk whom it lets in (No space left on device)");
	assert_true(answer_of(id)->retry_s > 0);
	/* nobody else is let in meanwhile */
	id = ask_as(&h, NEW + 1, "v", "lab", TOKEN);
	await(&h);
	expect_text(id, JOIN_BUSY, "cannot keep on disk");
	assert_int_equal(h.signed_for, 1);
	h.store_fails = false;
	pass(&h, 90 * US);
	assert_true(h.stored > 0);
	let_in(&h, NEW, "u");
	let_in(&h, NEW + 1, "v");
	bed_end(&h.b);
	/* a disk that hangs */
	seed_new(&h);
	h.no_store = true;
	id = ask_as(&h, NEW, "u", "lab", TOKEN);
	await(&h);
	assert_null(answer_of(id));
	pass(&h, 11 * US);
	assert_int_equal(answer_of(id)->status, JOIN_BUSY);
	bed_end(&h.b);
}

static void signs_lose(struct host *h)
{
	for (size_t i = 0; i < h->b.n_pending; i++)
		if (h->b.pending[i].type == ENGINE_FX_ADMIT_SIGN)
			h->b.pending[i].id = 0;
}

static void test_no_key(void **state)
{
	struct host h;
	uint64_t id;

	(void)state;
	seed_new(&h);
	h.sign_fails = true;
	id = ask_as(&h, NEW, "u", "lab", TOKEN);
	await(&h);
	expect_text(id, JOIN_BUSY, "This seed cannot sign for it (node.key cannot be read)");
	h.sign_fails = false;
	pass(&h, 5 * US);
	let_in(&h, NEW, "u");
	/* whose host says nothing */
	h.no_sign = true;
	id = ask_as(&h, NEW + 1, "v", "lab", TOKEN);
	pass(&h, 11 * US);
	assert_int_equal(answer_of(id)->status, JOIN_BUSY);
	pass(&h, 60 * US);
	h.no_sign = false;
	await(&h); /* too late, and nobody is there any more */
	assert_false(is_peer(&h, "v"));
	/* or nothing ever */
	h.no_sign = true;
	ask_as(&h, NEW + 1, "v", "lab", TOKEN);
	pass(&h, 11 * US);
	signs_lose(&h);
	h.no_sign = false;
	pass(&h, 60 * US);
	let_in(&h, NEW + 1, "v");
	bed_end(&h.b);
}

/* A key that signs for nobody: it is not this node's in the policy. */
static void test_wrong_key(void **state)
{
	struct host h;
	uint64_t id;

	(void)state;
	seed_new(&h);
	h.key = 0;
	h.no_sign = true;
	id = ask_as(&h, NEW, "u", "lab", TOKEN);
	h.no_sign = false;
	h.key = 7;
	await(&h);
	expect_text(id, JOIN_BUSY, "its key is changing");
	assert_false(is_peer(&h, "u"));
	bed_end(&h.b);
}

/* It hung up while our key signed: nothing is used up. */
static void test_hung_up(void **state)
{
	struct engine_event ev = {.type = ENGINE_EV_JOIN_GONE};
	struct host h;

	(void)state;
	seed_new(&h);
	let_in(&h, NEW, "u");
	h.no_sign = true;
	ev.join_call.id = ask_as(&h, NEW + 1, "v", "lab", TOKEN);
	bed_step(&h.b, &ev);
	h.no_sign = false;
	await(&h);
	assert_false(is_peer(&h, "v"));
	let_in(&h, NEW + 2, "w");
	bed_end(&h.b);
}

/* The token is revoked, or the newcomer approved, while our key signs or the disk is written. */
static void test_meanwhile(void **state)
{
	struct recipe r = usual_tokens(), without = with_tokens(2, LAB);
	struct host h;
	uint64_t id;

	(void)state;
	without.more = NULL;
	for (int i = 0; i < 2; i++) {
		seed_start(&h, 0, &r, NULL, 0);
		h.no_sign = !i;
		h.no_store = true;
		id = ask_as(&h, NEW, "u", "lab", TOKEN);
		await(&h);
		assert_int_equal(is_peer(&h, "u"), i);
		bundle_new(&h, &without);
		h.no_sign = h.no_store = false;
		await(&h);
		expect_text(id, JOIN_REFUSED, "There is no token 'lab'");
		assert_false(is_peer(&h, "u"));
		bed_end(&h.b);
	}
	/* or is another of the same name */
	seed_start(&h, 0, &r, NULL, 0);
	h.no_sign = true;
	id = ask_as(&h, NEW, "u", "lab", TOKEN);
	r = with_key(2, LAB, TOKEN + 9);
	bundle_new(&h, &r);
	h.no_sign = false;
	await(&h);
	expect_text(id, JOIN_REFUSED, "The token 'lab' did not sign this name and key");
	assert_false(is_peer(&h, "u"));
	bed_end(&h.b);
	r = usual_tokens();
	without.members |= 1 << NEW;
	seed_start(&h, 0, &r, NULL, 0);
	h.no_sign = true;
	id = ask_as(&h, NEW, "x", "lab", TOKEN);
	bundle_new(&h, &without);
	h.no_sign = false;
	await(&h);
	assert_int_equal(answer_of(id)->status, JOIN_MEMBER);
	assert_int_equal(answer_of(id)->n_admissions, 0);
	assert_string_equal(answer_of(id)->text, "The cluster knows this key as u, not as x.");
	bed_end(&h.b);
}

/* Killed: what was stored is there, what was not has never been. */
static void test_killed(void **state)
{
	struct recipe r = usual_tokens();
	struct policy_admission a, b;
	uint8_t kept[4096];
	struct host h;
	uint64_t id;
	size_t len;

	(void)state;
	seed_new(&h);
	a = expect_member(let_in(&h, NEW, "u"));
	h.no_store = true;
	id = ask_as(&h, NEW + 1, "v", "lab", TOKEN);
	await(&h);
	assert_null(answer_of(id));
	len = h.store_len;
	assert_true(len > 0);
	memcpy(kept, h.store, len);
	bed_end(&h.b);
	seed_start(&h, 0, &r, kept, len);
	assert_true(is_peer(&h, "u"));
	assert_false(is_peer(&h, "v"));
	b = expect_member(let_in(&h, NEW, "u"));
	assert_memory_equal(&a, &b, sizeof(a));
	let_in(&h, NEW + 2, "w");
	refuse(&h, NEW + 1, "v", "has let in its 2 nodes");
	bed_end(&h.b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(test_let_in),
	        cmocka_unit_test(test_last_place),
	        cmocka_unit_test(test_one_name),
	        cmocka_unit_test(test_one_site),
	        cmocka_unit_test(test_refused),
	        cmocka_unit_test(test_expired),
	        cmocka_unit_test(test_replays),
	        cmocka_unit_test(test_rejected),
	        cmocka_unit_test(test_disk),
	        cmocka_unit_test(test_no_key),
	        cmocka_unit_test(test_wrong_key),
	        cmocka_unit_test(test_hung_up),
	        cmocka_unit_test(test_meanwhile),
	        cmocka_unit_test(test_killed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A guest is a peer to the whole engine: it is admitted as any, stays through bundles that grant it,
 * and is revoked in the order of all when one does not.
 */
#include "tests/unit/token_bed.h"

static size_t said_at(const struct bed *b, enum engine_effect_type type, const char *peer)
{
	for (size_t i = 0; i < b->n_said; i++)
		if (b->said[i].type == type && !strcmp(b->said[i].peer, peer))
			return i;
	return SIZE_MAX;
}

static bool is_touched(const struct bed *b, const char *peer)
{
	return said_at(b, ENGINE_FX_FW_REVOKE, peer) != SIZE_MAX ||
	       said_at(b, ENGINE_FX_KILL_SOCKETS, peer) != SIZE_MAX ||
	       said_at(b, ENGINE_FX_UNLOAD_CONN, peer) != SIZE_MAX ||
	       said_at(b, ENGINE_FX_TERMINATE, peer) != SIZE_MAX;
}

static bool is_admitted(struct host *h, const char *peer)
{
	struct engine_peer_view v;

	return !engine_peer_find(h->b.e, peer, &v) && v.admitted;
}

static void test_stays_and_goes(void **state)
{
	struct recipe r = with_tokens(2, LAB ", except: []");
	char fingerprint[POLICY_FINGERPRINT_LEN], text[256];
	struct engine_token_view token;
	struct policy_key key;
	struct host h;

	(void)state;
	seed_new(&h);
	join_sa(&h.b, 1, 1);
	assert_int_equal(engine_token_at(h.b.e, 0, &token), 0);
	assert_string_equal(token.token->name, "lab");
	assert_int_equal(token.used, 0);
	let_in(&h, NEW, "u");
	pass(&h, 3 * US);
	assert_true(is_admitted(&h, "u"));
	assert_int_equal(engine_token_at(h.b.e, 0, &token), 0);
	assert_int_equal(token.used, 1);
	assert_false(token.over);
	assert_int_equal(engine_token_at(h.b.e, 2, &token), -ENOENT);
	/* one more: an element, and not a whole table */
	join_sa(&h.b, 2, 2);
	h.b.n_said = 0;
	let_in(&h, NEW + 1, "v");
	pass(&h, 3 * US);
	assert_true(is_admitted(&h, "v"));
	assert_true(said_at(&h.b, ENGINE_FX_FW_BASE, "") == SIZE_MAX);
	assert_true(said_at(&h.b, ENGINE_FX_FW_ADMIT, "v") != SIZE_MAX);
	/* the next bundle grants it: nothing happens to it */
	h.b.n_said = 0;
	bundle_new(&h, &r);
	pass(&h, 3 * US);
	assert_int_equal(h.b.policy->serial, 2);
	assert_false(is_touched(&h.b, "u"));
	assert_true(is_admitted(&h, "u"));
	/* the one behind that does not: it is cut in that step, and all of it goes in order */
	real_key(NEW, &key);
	policy_key_fingerprint(&key, fingerprint);
	snprintf(text, sizeof(text), LAB ", except: [\"%s\"]", fingerprint);
	r = with_tokens(3, text);
	h.b.n_said = 0;
	bundle_new(&h, &r);
	assert_true(said_at(&h.b, ENGINE_FX_FW_REVOKE, "u") != SIZE_MAX);
	assert_true(said_at(&h.b, ENGINE_FX_UNLOAD_CONN, "u") == SIZE_MAX);
	pass(&h, 3 * US);
	assert_true(said_at(&h.b, ENGINE_FX_FW_REVOKE, "u") <
	            said_at(&h.b, ENGINE_FX_UNLOAD_CONN, "u"));
	assert_true(said_at(&h.b, ENGINE_FX_UNLOAD_CONN, "u") <
	            said_at(&h.b, ENGINE_FX_TERMINATE, "u"));
	assert_true(said_at(&h.b, ENGINE_FX_TERMINATE, "u") != SIZE_MAX);
	assert_false(is_admitted(&h, "u"));
	assert_int_equal(engine_token_at(h.b.e, 0, &token), 0);
	assert_int_equal(token.used, 2); /* of its count, for good */
	bed_end(&h.b);
}

/* By the trusted clock a token is over, and its guests with it. */
static void test_over(void **state)
{
	struct engine_event tick = {.type = ENGINE_EV_TICK};
	struct engine_token_view token;
	struct host h;

	(void)state;
	seed_new(&h);
	join_sa(&h.b, 1, 1);
	let_in(&h, NEW, "u");
	pass(&h, 3 * US);
	assert_true(is_admitted(&h, "u"));
	h.b.now.wall_s += 2 * 86400;
	bed_step(&h.b, &tick);
	pass(&h, 3 * US);
	assert_int_equal(engine_token_at(h.b.e, 0, &token), 0);
	assert_true(token.over);
	assert_false(is_admitted(&h, "u"));
	/* and no clock that is set back brings them again */
	h.b.now.wall_s -= 2 * 86400;
	bed_step(&h.b, &tick);
	pass(&h, 3 * US);
	assert_int_equal(engine_token_at(h.b.e, 0, &token), 0);
	assert_true(token.over);
	assert_false(is_admitted(&h, "u"));
	bed_end(&h.b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(test_stays_and_goes),
	        cmocka_unit_test(test_over),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

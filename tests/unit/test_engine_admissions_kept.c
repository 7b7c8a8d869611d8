/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Guests as time goes by: gone when the bundle in force does not grant them any more, signed for anew
 * when their seed changes its key, and kept on disk. What a seed asks of them.
 */
#include "tests/unit/admissions_bed.h"

/* ---- with each bundle ---- */

static void fingerprint_of(int i, char buf[POLICY_FINGERPRINT_LEN])
{
	struct policy_key key;

	node_key(i, &key);
	policy_key_fingerprint(&key, buf);
}

/* Revoked one by one, with the token, with its seed: gone everywhere, in the bundle's step. */
static void test_dropped(void **state)
{
	char except[POLICY_FINGERPRINT_LEN];
	struct policy_admission g = guest_of(G, 0), h = guest_of(G + 1, 0), i = guest_of(G + 2, 1);
	struct scene s = guests_begin(0, 10);
	struct recipe r;

	(void)state;
	assert_int_equal(admit(s.b, 0, &g, true), 0);
	assert_int_equal(admit(s.b, 0, &h, true), 0);
	assert_int_equal(admit(s.b, 1, &i, true), 0);
	pass(s.b, 3 * US);
	all_know(&s, "g", true);
	all_know(&s, "h", true);
	all_know(&s, "i", true);
	fingerprint_of(G, except);
	r = with_tokens(2, 10, except);
	bundle_next(&s, &r);
	assert_int_equal(s.b->n[0].n_policies, 4); /* one more, and it has the others */
	assert_false(is_guest(s.b, 0, "g"));
	assert_true(is_guest(s.b, 0, "h"));
	pass(s.b, 3 * US);
	all_know(&s, "g", false);
	all_know(&s, "h", true);
	assert_int_equal(admit(s.b, 0, &g, true), -EINVAL);
	r = with_tokens(3, 10, except);
	r.seeds = 0;
	r.seed_bits = 2; /* a is none any more */
	bundle_next(&s, &r);
	pass(s.b, 3 * US);
	all_know(&s, "h", false);
	all_know(&s, "i", true);
	r = (struct recipe){.serial = 4, .members = ALL4, .seed_bits = 2};
	bundle_next(&s, &r);
	pass(s.b, 3 * US);
	all_know(&s, "i", false);
	for (int k = 0; k < 4; k++)
		assert_int_equal(s.b->n[k].guests_len, 0); /* no file */
	end(&s);
}

/* The token gets another key: whoever came with the old one goes. */
static void test_token_rekeyed(void **state)
{
	struct policy_admission g = guest_of(G, 0);
	struct scene s = guests_begin(0, 10);
	struct recipe r = with_tokens(2, 10, NULL);
	char old[96], new[96], *at;
	struct policy_key key;

	(void)state;
	assert_int_equal(admit(s.b, 0, &g, true), 0);
	pass(s.b, US);
	node_key(TOKEN, &key);
	policy_key_print(&key, old, sizeof(old));
	node_key(TOKEN + 5, &key);
	policy_key_print(&key, new, sizeof(new));
	at = strstr(r.more, old);
	assert_non_null(at);
	memcpy(at, new, strlen(new));
	bundle_next(&s, &r);
	pass(s.b, 3 * US);
	all_know(&s, "g", false);
	end(&s);
}

static void b_rekeyed(int i, struct policy_key *key)
{
	node_key(i == 1 ? 51 : i, key);
}

/* Seed b changes its key: until bundle 3 its old one counts too. */
static void b_changes(struct scene *s)
{
	struct recipe r = with_tokens(2, 100, NULL);
	char until[256], old[96];
	struct policy_key key;

	node_key(1, &key);
	policy_key_print(&key, old, sizeof(old));
	snprintf(until, sizeof(until),
	        "2036-12-01, old_key: \"%s\", old_until: \"2023-11-14T22:15:00Z\"", old);
	r.until = until;
	r.key = b_rekeyed;
	bundle_next(s, &r);
	pass(s->b, 30 * US);
}

/* And that is over. */
static void b_changed(struct scene *s)
{
	struct recipe r = with_tokens(3, 100, NULL);

	r.key = b_rekeyed;
	bundle_next(s, &r);
	pass(s->b, 3 * US);
}

/* What its old key signed is signed by the new one in time. */
static void test_seed_rekeyed(void **state)
{
	struct policy_admission v[40], h = let_in(G + 90, "h", 0, 1);
	struct scene s = guests_begin(0, 100);
	struct policy_key key;

	(void)state;
	for (int i = 0; i < 40; i++) {
		char name[16];

		snprintf(name, sizeof(name), "g%d", i);
		v[i] = let_in(G + i, name, 1, (uint32_t)i + 1);
		assert_int_equal(admit(s.b, 1, &v[i], true), 0);
	}
	assert_int_equal(admit(s.b, 0, &h, true), 0);
	pass(s.b, 3 * US);
	b_changes(&s);
	b_changed(&s);
	node_key(51, &key);
	for (int i = 0; i < 4; i++) {
		const struct policy_admission *a = cluster_admission_of(s.b->n[i].c, &v[7].key);
		uint8_t words[POLICY_ADMISSION_WORDS_MAX];

		assert_int_equal(s.b->n[i].policy->n_peers, 4 + 40 + 1);
		assert_non_null(a);
		assert_int_equal(policy_key_verify(&key, words,
		                         policy_admission_words_seed(a, words), a->by_seed),
		        0);
		assert_true(cluster_admission_stored(s.b->n[i].c, &v[7].key));
	}
	assert_int_equal(s.b->n[1].n_signed, 40);
	assert_int_equal(s.b->n[0].n_signed, 0);
	/* the old key lets nobody in any more */
	h = let_in(G + 91, "x", 1, 91);
	assert_int_equal(admit(s.b, 2, &h, false), -EKEYREJECTED);
	end(&s);
}

/* While both keys count either may sign; the old one ends by the clock. */
static void test_old_key(void **state)
{
	struct policy_admission g = guest_of(G, 1), h = guest_of(G + 1, 1);
	struct scene s = guests_begin(0, 100);

	(void)state;
	b_changes(&s);
	assert_int_equal(admit(s.b, 2, &g, false), 0);
	pass(s.b, 100 * US);
	assert_true(is_guest(s.b, 2, "g"));
	assert_int_equal(admit(s.b, 2, &h, false), -EKEYREJECTED);
	sign_both(&h, TOKEN, 51);
	assert_int_equal(admit(s.b, 2, &h, false), 0);
	end(&s);
}

/* A seed that cannot sign: its guests end with its old key. */
static void test_seed_lost_its_key(void **state)
{
	struct policy_admission g = guest_of(G, 1), h = guest_of(G + 1, 0);
	struct scene s = guests_begin(0, 100);

	(void)state;
	s.b->n[1].no_sign = true;
	assert_int_equal(admit(s.b, 1, &g, true), 0);
	assert_int_equal(admit(s.b, 0, &h, true), 0);
	pass(s.b, US);
	b_changes(&s);
	assert_in_range(s.b->n[1].n_signed, 3, 8);
	b_changed(&s);
	all_know(&s, "g", false);
	all_know(&s, "h", true);
	end(&s);
}

/* ---- the disk ---- */

/* Started again, the guests are there in the first policy, and nobody needs to tell of them. */
static void test_restart(void **state)
{
	struct policy_admission g = guest_of(G, 0), h = guest_of(G + 1, 1);
	struct scene s = guests_begin(0, 10);
	unsigned before;

	(void)state;
	s.b->hooks = &counting;
	assert_int_equal(admit(s.b, 0, &g, true), 0);
	assert_int_equal(admit(s.b, 1, &h, true), 0);
	pass(s.b, 3 * US);
	node_stop(s.b, 2);
	pass(s.b, US);
	s.b->n[2].n_policies = s.b->n[2].n_guest_stores = 0;
	s.b->n_told = 0;
	before = verified;
	node_start(s.b, 2, s.local, &s.f[1]);
	assert_int_equal(s.b->n[2].n_policies, 1);
	assert_true(is_guest(s.b, 2, "g") && is_guest(s.b, 2, "h"));
	assert_int_equal(verified, before + 4);
	assert_true(cluster_admission_stored(s.b->n[2].c, &g.key));
	s.b->bytes[SESSION_ADMISSIONS] = 0;
	for (int i = 0; i < 4; i++)
		if (i != 2)
			node_reach(s.b, i, 2, CLUSTER_UP);
	pass(s.b, 60 * US);
	assert_int_equal(s.b->bytes[SESSION_ADMISSIONS], 0);
	assert_int_equal(s.b->n[2].n_policies, 1);
	assert_int_equal(s.b->n[2].n_guest_stores, 0);
	assert_int_equal(told_count(s.b, 2, ENGINE_N_JOIN_GUEST), 0);
	end(&s);
}

/* A guest itself: by what it kept it is a member, and its seeds take its sessions. */
static void test_guest_restarts(void **state)
{
	struct policy_admission g = guest_of(G, 0);
	struct scene s = guests_begin(0, 10);

	(void)state;
	assert_int_equal(admit(s.b, 0, &g, true), 0);
	pass(s.b, 3 * US);
	guests_keep(&s.b->n[G], s.b->n[0].guests, s.b->n[0].guests_len);
	node_start(s.b, G, s.local, &s.f[1]);
	assert_true(is_guest(s.b, G, "g"));
	for (int i = 0; i < 4; i++)
		node_reach(s.b, i, G, CLUSTER_UP);
	pass(s.b, 3 * US);
	assert_int_equal(node_look(s.b, G).n_sessions, 2);
	/* it hears of others as any member does */
	g = guest_of(G + 1, 1);
	assert_int_equal(admit(s.b, 1, &g, true), 0);
	pass(s.b, US);
	assert_true(is_guest(s.b, G, "h"));
	assert_int_equal(s.b->n[G].n_guest_stores, 1);
	node_stop(s.b, G);
	end(&s);
}

/* Whatever is damaged costs what it held, and is told of once. */
static void test_damaged(void **state)
{
	struct policy_admission g = guest_of(G, 0), h = guest_of(G + 1, 0);
	struct scene s = guests_begin(0, 10);
	unsigned seen[3] = {0}, told = 0;
	uint8_t file[1024];
	size_t len;

	(void)state;
	assert_int_equal(admit(s.b, 0, &g, true), 0);
	assert_int_equal(admit(s.b, 0, &h, true), 0);
	pass(s.b, 3 * US);
	node_stop(s.b, 2);
	pass(s.b, US);
	len = s.b->n[2].guests_len;
	assert_in_range(len, 200, sizeof(file));
	memcpy(file, s.b->n[2].guests, len);
	for (size_t i = 0; i < len; i += 1 + len / 40) {
		unsigned n;

		guests_keep(&s.b->n[2], file, len);
		s.b->n[2].guests[i] ^= 0x20;
		s.b->n_told = 0;
		node_start(s.b, 2, s.local, &s.f[1]);
		n = (unsigned)is_guest(s.b, 2, "g") + (unsigned)is_guest(s.b, 2, "h");
		seen[n]++;
		assert_true(n < 2);
		/* by a name that is not known it could be of an earlier bundle */
		told += told_count(s.b, 2, ENGINE_N_STORE);
		assert_true(told <= seen[0] + seen[1]);
		node_stop(s.b, 2);
		pass(s.b, 10 * LINK_US);
	}
	assert_true(seen[1] > 10 && told > seen[1] / 2);
	assert_non_null(strstr(told_last(s.b, 2, ENGINE_N_STORE), "damaged"));
	for (size_t cut = 1; cut < len; cut += 7) {
		guests_keep(&s.b->n[2], file, len - cut);
		node_start(s.b, 2, s.local, &s.f[1]);
		assert_true(!is_guest(s.b, 2, "g") || !is_guest(s.b, 2, "h"));
		node_stop(s.b, 2);
		pass(s.b, 10 * LINK_US);
	}
	/* the others bring it back, and the file is whole again */
	guests_keep(&s.b->n[2], file, len - 3);
	node_start(s.b, 2, s.local, &s.f[1]);
	for (int i = 0; i < 4; i++)
		if (i != 2)
			node_reach(s.b, i, 2, CLUSTER_UP);
	pass(s.b, 10 * US);
	all_know(&s, "g", true);
	all_know(&s, "h", true);
	assert_int_equal(s.b->n[2].guests_len, len);
	end(&s);
}

static void test_full_disk(void **state)
{
	struct policy_admission g = guest_of(G, 0), h = guest_of(G + 1, 0);
	struct scene s = guests_begin(0, 10);

	(void)state;
	s.b->n[0].store_error = -ENOSPC;
	assert_int_equal(admit(s.b, 0, &g, true), 0);
	pass(s.b, 10 * LINK_US);
	all_know(&s, "g", true); /* it counts, whatever the disk says */
	assert_false(cluster_admission_stored(s.b->n[0].c, &g.key));
	assert_string_equal(cluster_admissions_store_text(s.b->n[0].c), "no space left");
	pass(s.b, 60 * US);
	assert_in_range(s.b->n[0].n_guest_stores, 4, 12);
	assert_int_equal(told_count(s.b, 0, ENGINE_N_STORE), 1);
	s.b->n[0].store_error = 0;
	pass(s.b, 60 * US);
	assert_true(cluster_admission_stored(s.b->n[0].c, &g.key));
	assert_string_equal(cluster_admissions_store_text(s.b->n[0].c), "");
	assert_int_equal(told_count(s.b, 0, ENGINE_N_STORE), 2);
	s.b->n[0].store_hangs = true;
	s.b->n[0].n_guest_stores = 0;
	assert_int_equal(admit(s.b, 0, &h, true), 0);
	pass(s.b, 15 * US);
	assert_int_equal(s.b->n[0].n_guest_stores, 1); /* not before it is given up */
	assert_false(cluster_admission_stored(s.b->n[0].c, &h.key));
	assert_true(cluster_admission_stored(s.b->n[0].c, &g.key));
	pass(s.b, 10 * US);
	assert_in_range(s.b->n[0].n_guest_stores, 2, 3);
	end(&s);
}

/* ---- what a seed asks ---- */

static void test_admit(void **state)
{
	struct policy_admission g = guest_of(G, 0), h, old;
	struct scene s = guests_begin(0, 3);
	const struct cluster *c = s.b->n[0].c;

	(void)state;
	assert_int_equal(cluster_admission_number(c, "lab"), 1);
	assert_int_equal(cluster_admission_number(c, "nobody"), 0);
	assert_int_equal(cluster_admissions_used(c, "lab"), 0);
	assert_int_equal(admit(s.b, 0, &g, true), 0);
	assert_int_equal(admit(s.b, 0, &g, true), 0); /* known, and counts */
	assert_int_equal(admit(s.b, 0, &g, false), 0);
	assert_int_equal(cluster_admission_number(c, "lab"), 2);
	assert_int_equal(cluster_admission_number(c, "two"), 1);
	assert_int_equal(cluster_admissions_used(c, "lab"), 1);
	assert_int_equal(cluster_admissions_used(c, "two"), 0);
	assert_memory_equal(cluster_admission_of(c, &g.key)->by_seed, g.by_seed, sizeof(g.by_seed));
	pass(s.b, US);
	/* of another seed the numbers are its own */
	assert_int_equal(cluster_admission_number(s.b->n[1].c, "lab"), 1);
	assert_int_equal(cluster_admissions_used(s.b->n[1].c, "lab"), 1);
	/* whoever wants what is taken */
	h = let_in(G + 1, "G", 0, 2);
	assert_int_equal(admit(s.b, 0, &h, true), -EEXIST);
	h = let_in(G + 1, "c", 0, 2);
	assert_int_equal(admit(s.b, 0, &h, true), -EEXIST);
	h = let_in(G, "h", 0, 2);
	assert_int_equal(admit(s.b, 0, &h, true), -EEXIST);
	h = let_in(G + 1, "h", 0, 2);
	h.addr4 = g.addr4;
	sign_both(&h, TOKEN, 0);
	assert_int_equal(admit(s.b, 0, &h, true), -EEXIST);
	h = let_in(2, "h", 0, 2); /* c's key */
	assert_int_equal(admit(s.b, 0, &h, true), -EEXIST);
	/* and what is not granted or signed */
	h = let_in(G + 1, "h", 0, 4);
	assert_int_equal(admit(s.b, 0, &h, true), -EINVAL);
	h = let_in(G + 1, "h", 2, 2);
	assert_int_equal(admit(s.b, 0, &h, true), -EINVAL);
	h = old = let_in(G + 1, "h", 0, 2);
	sign_both(&h, TOKEN, 1);
	assert_int_equal(admit(s.b, 0, &h, true), -EKEYREJECTED);
	sign_both(&h, TOKEN + 1, 0);
	assert_int_equal(admit(s.b, 0, &h, false), -EKEYREJECTED);
	assert_null(cluster_admission_of(c, &h.key));
	assert_int_equal(admit(s.b, 0, &old, true), 0);
	h = guest_of(G + 2, 0);
	assert_int_equal(admit(s.b, 0, &h, true), 0);
	assert_int_equal(cluster_admission_number(c, "lab"), 0);
	assert_int_equal(cluster_admissions_used(c, "lab"), 3);
	end(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(test_dropped),
	        cmocka_unit_test(test_token_rekeyed),
	        cmocka_unit_test(test_seed_rekeyed),
	        cmocka_unit_test(test_old_key),
	        cmocka_unit_test(test_seed_lost_its_key),
	        cmocka_unit_test(test_restart),
	        cmocka_unit_test(test_guest_restarts),
	        cmocka_unit_test(test_damaged),
	        cmocka_unit_test(test_full_disk),
	        cmocka_unit_test(test_admit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Guests in the cluster machine: the same everywhere in whatever order they came, told to everybody
 * and not twice, kept on disk, and gone when the bundle in force does not grant them any more.
 */
#include "tests/unit/admissions_bed.h"

/* ---- spread ---- */

/* Seed a lets one in: everybody acts on it within milliseconds, and then all is quiet. */
static void test_spread(void **state)
{
	struct scene s = guests_begin(0, 10);
	struct policy_admission g = guest_of(G, 0);
	unsigned sent;

	(void)state;
	sent = s.b->sent[SESSION_ADMISSIONS];
	assert_int_equal(admit(s.b, 0, &g, true), 0);
	pass(s.b, 10 * LINK_US);
	all_know(&s, "g", true);
	all_same(&s);
	pass(s.b, 60 * US);
	/* a to b, c, d; b to c and d: nobody says a word more */
	assert_int_equal(s.b->sent[SESSION_ADMISSIONS] - sent, 5);
	for (int i = 0; i < 4; i++) {
		assert_int_equal(s.b->n[i].n_guest_stores, 1);
		assert_true(cluster_admission_stored(s.b->n[i].c, &g.key));
		assert_int_equal(s.b->n[i].n_policies, 2);
		/* who let it in tells that itself, with more words */
		assert_int_equal(told_count(s.b, i, ENGINE_N_JOIN_GUEST), i > 0);
	}
	assert_string_equal(
	        told_last(s.b, 3, ENGINE_N_JOIN_GUEST), "g is let in by token lab, at seed a.");
	end(&s);
}

/* A member learns of one in a seed's answer, and tells its seeds when they ask for its sum. */
static void test_from_member(void **state)
{
	struct scene s = guests_begin(0, 10);
	struct policy_admission g = guest_of(G, 1);

	(void)state;
	assert_int_equal(admit(s.b, 2, &g, false), 0);
	pass(s.b, 5 * US);
	all_know(&s, "g", true);
	end(&s);
}

/* Not one word of it where the policy has no tokens: the release before knows nothing of it. */
static void test_no_tokens(void **state)
{
	struct policy_admission g = guest_of(G, 0);
	struct scene s;

	(void)state;
	begin(&s, 0);
	assert_int_equal(admit(s.b, 0, &g, true), -EINVAL);
	node_give(s.b, 0, &s.f[2]);
	pass(s.b, 60 * US);
	assert_int_equal(s.b->sent[SESSION_ADMISSIONS], 0);
	for (int i = 0; i < 4; i++)
		assert_int_equal(s.b->n[i].n_guest_stores, 0);
	end(&s);
}

/* c was away while the token was made and its guest let in. */
static void test_late(void **state)
{
	struct recipe r = with_tokens(2, 10, NULL);
	struct policy_admission g = guest_of(G, 0), h = guest_of(G + 1, 1);
	struct scene s;

	(void)state;
	begin(&s, 0);
	free(s.f[2].data);
	node_stop(s.b, 2);
	bundle_next(&s, &r);
	pass(s.b, US);
	assert_int_equal(admit(s.b, 0, &g, true), 0);
	pass(s.b, US);
	node_start(s.b, 2, s.local, &s.f[1]);
	for (int i = 0; i < 4; i++)
		if (i != 2)
			node_reach(s.b, i, 2, CLUSTER_UP);
	pass(s.b, US);
	assert_int_equal(serial_of(s.b, 2), 2);
	all_know(&s, "g", true);
	/* and what comes next comes to it at once */
	assert_int_equal(admit(s.b, 1, &h, true), 0);
	pass(s.b, 300000);
	all_know(&s, "h", true);
	end(&s);
}

static bool lose_c(struct cbed *b, int from, int to, struct session_msg *msg)
{
	(void)b, (void)from;
	return to != 2 || msg->type != SESSION_ADMISSIONS || !msg->len;
}

/* Messages that went missing: the sums tell, and it is sent again. */
static void test_missed(void **state)
{
	struct scene s = guests_begin(0, 10);
	struct policy_admission g = guest_of(G, 0), h = guest_of(G + 1, 0);

	(void)state;
	s.b->tamper = lose_c;
	assert_int_equal(admit(s.b, 0, &g, true), 0);
	pass(s.b, US);
	assert_false(is_guest(s.b, 2, "g"));
	s.b->tamper = NULL;
	assert_int_equal(admit(s.b, 0, &h, true), 0);
	pass(s.b, 10 * US);
	all_know(&s, "g", true);
	all_know(&s, "h", true);
	all_same(&s);
	end(&s);
}

static bool spoil_c(struct cbed *b, int from, int to, struct session_msg *msg)
{
	(void)b, (void)from;
	if (to == 2 && msg->type == SESSION_ADMISSIONS && msg->len)
		((uint8_t *)(uintptr_t)msg->data)[msg->len - 1] ^= 1;
	return true;
}

/* c takes none of it, for whatever reason: it is sent again, ever less often. */
static void test_missed_all(void **state)
{
	struct scene s = guests_begin(0, 10);
	struct policy_admission g = guest_of(G, 0);
	size_t bytes;

	(void)state;
	s.b->tamper = spoil_c;
	assert_int_equal(admit(s.b, 0, &g, true), 0);
	pass(s.b, 3600 * US);
	bytes = s.b->bytes[SESSION_ADMISSIONS];
	assert_in_range(bytes, 10 * 181, 60 * 181);
	assert_false(is_guest(s.b, 2, "g"));
	s.b->tamper = NULL;
	pass(s.b, 2 * 3600 * US);
	all_know(&s, "g", true);
	assert_in_range(s.b->bytes[SESSION_ADMISSIONS] - bytes, 181, 10 * 181);
	bytes = s.b->bytes[SESSION_ADMISSIONS];
	pass(s.b, 10 * 3600 * US);
	assert_int_equal(s.b->bytes[SESSION_ADMISSIONS], bytes);
	end(&s);
}

/* ---- the same in any order ---- */

#define DECK 24U

/* Such that many want the same name, key, address or number. */
static void deck_make(struct policy_admission deck[DECK])
{
	for (unsigned i = 0; i < DECK; i++) {
		char name[8];

		snprintf(name, sizeof(name), "%s%u", i % 3 ? "N" : "n", i % 7);
		deck[i] = let_in((int)(G + i % 13), name, (int)(i % 2), i % 5 + 1);
		deck[i].addr4.bytes[3] = (uint8_t)(1 + i % 11);
		sign_both(&deck[i], TOKEN, (int)(i % 2));
	}
}

static void shuffle(struct policy_admission *v, size_t n, unsigned *x)
{
	for (size_t i = n; i-- > 1;) {
		struct policy_admission t = v[i];
		size_t k = (*x = *x * 1103515245U + 12345U) / 65536 % (i + 1);

		v[i] = v[k];
		v[k] = t;
	}
}

static void test_any_order(void **state)
{
	struct policy_admission deck[DECK];
	uint8_t sum[32], digest[32], zero[32] = {0};
	unsigned x = 7;

	(void)state;
	deck_make(deck);
	for (int round = 0; round < 12; round++) {
		struct scene s = guests_begin(1 << 1, 5); /* b is a puppet */
		size_t at = 0;

		shuffle(deck, DECK, &x);
		puppet_open(s.b, 1, 2);
		pass(s.b, US);
		while (at < DECK) {
			size_t n = 1 + x / 7 % 4;

			n = at + n > DECK ? DECK - at : n;
			puppet_admissions(s.b, 1, &s.f[1].short_head, deck + at, n);
			at += n;
			if (x / 31 % 2)
				pass(s.b, US);
		}
		pass(s.b, 60 * US);
		if (!round) {
			memcpy(sum, s.b->n[1].last[SESSION_ADMISSIONS].sum, 32);
			memcpy(digest, s.b->n[2].policy->digest, 32);
			assert_memory_not_equal(sum, zero, 32);
			assert_true(s.b->n[2].policy->n_peers > 6);
		}
		assert_memory_equal(s.b->n[1].last[SESSION_ADMISSIONS].sum, sum, 32);
		assert_memory_equal(s.b->n[2].policy->digest, digest, 32);
		all_same(&s); /* a and d have it from c */
		end(&s);
	}
}

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
		char name[8];

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

static unsigned verified;

static int count_verify(void *user, const struct policy_key *key, const void *text, size_t len,
        const uint8_t sig[64])
{
	(void)user;
	verified++;
	return policy_key_verify(key, text, len, sig);
}

static const struct cluster_hooks counting = {.verify = count_verify};

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

/* ---- liars ---- */

/* d tells c of guests that nobody let in: a few signatures looked at, and then d is not heard. */
static void test_forged(void **state)
{
	struct policy_admission v[40];
	struct scene s = guests_begin(1 << 3 | 1, 4000);
	unsigned before;

	(void)state;
	node_stop(s.b, 2);
	s.b->hooks = &counting;
	node_start(s.b, 2, s.local, &s.f[1]);
	puppet_open(s.b, 3, 2);
	pass(s.b, US);
	for (int i = 0; i < 40; i++) {
		char name[16];

		snprintf(name, sizeof(name), "x%d", i);
		v[i] = let_in(200 + i, name, 0, (uint32_t)i + 1);
		switch (i % 4) {
		case 0: /* by a token it does not hold */
			sign_both(&v[i], 200, 0);
			break;
		case 1: /* by a token it holds, and no seed */
			sign_both(&v[i], TOKEN, 3);
			break;
		case 2:
			v[i].by_seed[7] ^= 1;
			break;
		case 3: /* signed for another */
			v[i].addr4.bytes[3] ^= 1;
			break;
		}
	}
	before = verified;
	for (int i = 0; i < 30; i++) {
		puppet_admissions(s.b, 3, &s.f[1].short_head, v, 40);
		pass(s.b, 100000);
	}
	assert_in_range(verified - before, 3, 6); /* two signatures each */
	assert_int_equal(s.b->n[2].policy->n_peers, 4);
	assert_int_equal(told_count(s.b, 2, ENGINE_N_JOIN_REFUSED), 1);
	/* by a bundle that we have not, it may be no fault of its own: for a while */
	pass(s.b, 20 * 60 * US);
	before = verified;
	for (int i = 0; i < 100; i++) {
		struct session_head other = {.serial = 99, .digest = {1}};

		puppet_admissions(s.b, 3, &other, v, 40);
		pass(s.b, 100000);
	}
	assert_in_range(verified - before, 20, 80);
	/* it is heard again when it says what is so */
	pass(s.b, 20 * 60 * US);
	v[0] = let_in(G, "g", 0, 1);
	puppet_admissions(s.b, 3, &s.f[1].short_head, v, 1);
	pass(s.b, US);
	assert_true(is_guest(s.b, 2, "g"));
	end(&s);
}

/* What the bundle does not grant costs no signature, and is nobody's fault. */
static void test_not_granted(void **state)
{
	struct policy_admission v[4];
	struct scene s = guests_begin(1 << 3, 5);
	unsigned before;

	(void)state;
	node_stop(s.b, 2);
	s.b->hooks = &counting;
	node_start(s.b, 2, s.local, &s.f[1]);
	pass(s.b, US);
	puppet_open(s.b, 3, 2);
	pass(s.b, US);
	v[0] = let_in(G, "g", 0, 6); /* beyond the count */
	v[1] = let_in(G, "g", 2, 1); /* c is no seed */
	v[2] = let_in(G, "g", 0, 1);
	snprintf(v[2].cluster, sizeof(v[2].cluster), "other");
	sign_both(&v[2], TOKEN, 0);
	v[3] = let_in(G, "g", 0, 1);
	snprintf(v[3].token, sizeof(v[3].token), "three");
	sign_both(&v[3], TOKEN, 0);
	before = verified;
	for (int i = 0; i < 10; i++)
		puppet_admissions(s.b, 3, &s.f[1].short_head, v, 4);
	pass(s.b, US);
	assert_int_equal(verified, before);
	assert_false(is_guest(s.b, 2, "g"));
	v[0] = let_in(G, "g", 0, 1);
	puppet_admissions(s.b, 3, &s.f[1].short_head, v, 1);
	pass(s.b, US);
	assert_true(is_guest(s.b, 2, "g"));
	end(&s);
}

/* A token's holder and a seed together: number by number is all they get, however they sort keys. */
static void test_replacing(void **state)
{
	struct policy_admission v[200];
	struct scene s = guests_begin(1 << 1, 5);

	(void)state;
	puppet_open(s.b, 1, 2);
	pass(s.b, US);
	for (int i = 0; i < 200; i++)
		v[i] = let_in(G + i, "g", 0, 1);
	for (int i = 1; i < 200; i++) /* the one that goes first comes last */
		for (int k = i; k && policy_key_compare(&v[k].key, &v[k - 1].key) > 0; k--) {
			struct policy_admission t = v[k];

			v[k] = v[k - 1];
			v[k - 1] = t;
		}
	s.b->n[2].n_policies = 0;
	for (int i = 0; i < 200; i++) {
		puppet_admissions(s.b, 1, &s.f[1].short_head, &v[i], 1);
		pass(s.b, 200000);
	}
	assert_in_range(s.b->n[2].n_policies, 10, 25);
	end(&s);
}

static int trust(void *user, const struct policy_key *key, const void *text, size_t len,
        const uint8_t sig[64])
{
	(void)user, (void)key, (void)text, (void)len, (void)sig;
	return 0;
}

static const struct cluster_hooks trusting = {.verify = trust};

/* Number n of a token at a seed, unsigned, each with its own name, key and address. */
static struct policy_admission nth(const char *token, int seed, unsigned n)
{
	struct policy_admission a = {.number = n, .cluster = "t"};
	unsigned net = !strcmp(token, "lab") ? 8 : 9;

	snprintf(a.token, sizeof(a.token), "%s", token);
	snprintf(a.name, sizeof(a.name), "%s-%d-%u", token, seed, n);
	snprintf(a.seed, sizeof(a.seed), "%c", 'a' + seed);
	node_key((int)(1000 + n + net * 10000 + (unsigned)seed * 5000), &a.key);
	a.addr4 = (struct policy_addr){.family = 2,
	        .bytes = {10, (uint8_t)net, (uint8_t)((n >> 8) + (unsigned)seed * 64), (uint8_t)n}};
	a.by_seed[0] = (uint8_t)n;
	return a;
}

/* c that trusts all, and puppet b. */
static struct scene only_c_and_b(void)
{
	struct scene s = guests_begin(1 << 1, 4096);

	node_stop(s.b, 0);
	node_stop(s.b, 2);
	node_stop(s.b, 3);
	pass(s.b, US);
	s.b->hooks = &trusting;
	node_start(s.b, 2, s.local, &s.f[1]);
	puppet_open(s.b, 1, 2);
	pass(s.b, US);
	return s;
}

static bool told_full(const struct cbed *b)
{
	bool full = false;

	for (size_t i = 0; i < b->n_told; i++)
		full |= strstr(b->told[i].text, "which is the most") != NULL;
	return full;
}

/* All that two tokens and two seeds can make: the most there is room for, and no more. */
static void test_many(void **state)
{
	struct policy_admission v[100];
	struct scene s;
	size_t memory;

	(void)state;
	s = only_c_and_b();
	for (int part = 0; part < 3; part++) {
		s.b->n_told = 0;
		for (unsigned i = 1; i <= 4096;) {
			size_t n = 0;

			while (n < 100 && i <= 4096)
				v[n++] = nth(part == 2 ? "two" : "lab", part == 1, i++);
			puppet_admissions(s.b, 1, &s.f[1].short_head, v, n);
			pass(s.b, 100000);
		}
	}
	pass(s.b, 3 * US);
	assert_int_equal(cluster_admissions_used(s.b->n[2].c, "lab"), ENGINE_ADMISSIONS_MAX);
	assert_int_equal(cluster_admissions_used(s.b->n[2].c, "two"), 0);
	assert_true(told_full(s.b));
	memory = cluster_memory(s.b->n[2].c);
	assert_true(memory < 8 << 20);
	assert_int_equal(s.b->n[2].policy->n_peers, 4 + ENGINE_ADMISSIONS_MAX);
	/* a token that is revoked makes room */
	{
		struct recipe r = with_tokens(2, 100, NULL);

		s.f[2] = bundle_of(&r, &s.f[1]);
		node_give(s.b, 2, &s.f[2]);
		assert_int_equal(cluster_admissions_used(s.b->n[2].c, "lab"), 200);
		assert_true(cluster_memory(s.b->n[2].c) < memory / 4);
	}
	end(&s);
}

/* Thousands one by one, as a site with cloud-init does: not a policy for each. */
static void test_one_by_one(void **state)
{
	struct policy_admission a;
	struct scene s;
	int64_t from;

	(void)state;
	s = only_c_and_b();
	s.b->n[2].n_policies = s.b->n[2].n_guest_stores = 0;
	from = s.b->now;
	for (unsigned i = 1; i <= 4096; i++) {
		a = nth("lab", 0, i);
		puppet_admissions(s.b, 1, &s.f[1].short_head, &a, 1);
		pass(s.b, 10000);
		if (i == 1)
			assert_int_equal(s.b->n[2].n_policies, 1); /* the first at once */
	}
	assert_true(s.b->n[2].n_policies <= 10 * (s.b->now - from) / US);
	assert_true(s.b->n[2].n_guest_stores <= (s.b->now - from) / US + 1);
	pass(s.b, US);
	assert_int_equal(s.b->n[2].policy->n_peers, 4 + 4096);
	end(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(test_spread),
	        cmocka_unit_test(test_from_member),
	        cmocka_unit_test(test_no_tokens),
	        cmocka_unit_test(test_late),
	        cmocka_unit_test(test_missed),
	        cmocka_unit_test(test_missed_all),
	        cmocka_unit_test(test_any_order),
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
	        cmocka_unit_test(test_forged),
	        cmocka_unit_test(test_not_granted),
	        cmocka_unit_test(test_replacing),
	        cmocka_unit_test(test_many),
	        cmocka_unit_test(test_one_by_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

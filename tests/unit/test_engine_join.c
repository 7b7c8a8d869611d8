/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A seed's side of joining: who is pending, who gets the bundle, and who lies. */
#include "tests/unit/join_bed.h"

/* ---- asking ---- */

static void test_pending(void **state)
{
	struct engine_pending_view p;
	struct recipe r = usual;
	char key[POLICY_FINGERPRINT_LEN], from[64];
	struct bed b;
	size_t i;

	(void)state;
	seed_begin(&b, &usual, NULL);
	assert_int_equal(engine_pending_at(b.e, 0, &p), -ENOENT);
	join_sa(&b, 1, 1);
	b.n_said = 0;
	i = call(&b, NEW, "u", 1);
	assert_int_equal(wish[i].status, JOIN_PENDING);
	assert_int_equal(wish[i].len, 0);
	assert_int_equal(wish[i].retry_s, 2);
	assert_int_equal(engine_pending_at(b.e, 0, &p), 0);
	assert_string_equal(p.name, "u");
	assert_string_equal(p.site, "s");
	assert_string_equal(p.release, "1.2");
	assert_int_equal(p.n_links, 1);
	policy_addr_print(&p.source, from, sizeof(from));
	assert_string_equal(from, "203.0.0.1");
	assert_false(p.same_name || p.other_names || p.taken);
	policy_key_fingerprint(&p.key, key);
	assert_non_null(strstr(told(&b, ENGINE_N_JOIN_PENDING), key));
	assert_non_null(strstr(wish[i].text, "overlayctl approve u SHA256:"));
	/* again, elsewhere: the same entry */
	b.now.mono_us += 5 * US;
	join_sa(&b, 2, 2);
	b.n_said = 0;
	call(&b, NEW, "u", 2);
	assert_int_equal(join_look(&b).n_pending, 1);
	assert_int_equal(engine_pending_at(b.e, 0, &p), 0);
	assert_int_equal(p.last_mono_us - p.first_mono_us, 5 * US);
	assert_string_equal(told(&b, ENGINE_N_JOIN_PENDING), "");
	/* approved */
	r.serial = 2;
	r.members |= 1 << NEW;
	give_bundle(&b, &r, NULL);
	assert_int_equal(join_look(&b).n_pending, 0);
	join_sa(&b, 3, 2);
	i = call(&b, NEW, "u", 3);
	assert_int_equal(wish[i].status, JOIN_MEMBER);
	assert_true(wish[i].len > 100);
	assert_string_equal(wish[i].text, "");
	i = call(&b, NEW, "x", 3); /* whatever it calls itself now */
	assert_int_equal(wish[i].status, JOIN_MEMBER);
	assert_string_equal(wish[i].text, "The cluster knows this key as u, not as x.");
	assert_int_equal(join_look(&b).n_pending, 0);
	bed_end(&b);
}

static void test_marks(void **state)
{
	struct engine_pending_view p[4];
	struct bed b;

	(void)state;
	seed_begin(&b, &usual, NULL);
	join_sa(&b, 1, 1);
	call(&b, NEW, "x", 1);
	call(&b, NEW + 1, "x", 1); /* two for one name */
	call(&b, NEW + 2, "b", 1); /* a member's name */
	call(&b, NEW, "y", 1);     /* one key, two names */
	assert_int_equal(join_look(&b).n_pending, 4);
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(engine_pending_at(b.e, i, &p[i]), 0);
	assert_string_equal(p[0].name, "b");
	assert_true(p[0].taken && !p[0].same_name && !p[0].other_names);
	assert_string_equal(p[1].name, "x");
	assert_string_equal(p[2].name, "x");
	assert_true(policy_key_compare(&p[1].key, &p[2].key) < 0);
	for (size_t i = 1; i < 3; i++) {
		struct policy_key key;

		node_key(NEW, &key);
		assert_true(p[i].same_name && !p[i].taken);
		assert_int_equal(p[i].other_names, !memcmp(&p[i].key, &key, sizeof(key)));
	}
	assert_string_equal(p[3].name, "y");
	assert_true(p[3].other_names && !p[3].same_name);
	bed_end(&b);
}

static void test_reject(void **state)
{
	struct engine_event ev = {.type = ENGINE_EV_JOIN_REJECT};
	struct bed b;
	size_t i;

	(void)state;
	seed_begin(&b, &usual, NULL);
	join_sa(&b, 1, 1);
	call(&b, NEW, "x", 1);
	call(&b, NEW, "y", 1);
	call(&b, NEW + 1, "x", 1);
	node_key(NEW, &ev.own_key);
	bed_step(&b, &ev);
	assert_int_equal(join_look(&b).n_pending, 1);
	i = call(&b, NEW, "x", 1);
	assert_int_equal(wish[i].status, JOIN_REFUSED);
	assert_string_equal(wish[i].text, "An admin refused this key.");
	assert_int_equal(join_look(&b).n_pending, 1);
	assert_int_equal(wish[call(&b, NEW + 1, "x", 1)].status, JOIN_PENDING);
	b.now.mono_us += 86401 * US;
	bed_step(&b, &(struct engine_event){.type = ENGINE_EV_TICK});
	join_sa(&b, 2, 1);
	assert_int_equal(wish[call(&b, NEW, "x", 2)].status, JOIN_PENDING);
	bed_end(&b);
}

/* The host is heard before charon: the call waits for its SA, and not for ever. */
static void test_early(void **state)
{
	struct join_request r = request_of(NEW, "u");
	uint8_t nonce[32] = {1};
	struct bed b;

	(void)state;
	seed_begin(&b, &usual, NULL);
	request_sign(&r, NEW, &cluster_secret(0)->pub, nonce);
	n_wishes = 0;
	call_with(&b, 1, 7, nonce, &r);
	call_with(&b, 2, 8, nonce, &r);
	call_with(&b, 3, 9, nonce, &r);
	assert_true(wish_find(ENGINE_FX_JOIN_ANSWER) == SIZE_MAX);
	join_sa(&b, 7, 1);
	assert_int_equal(wish_last(ENGINE_FX_JOIN_ANSWER)->call, 1);
	assert_int_equal(wish_last(ENGINE_FX_JOIN_ANSWER)->status, JOIN_PENDING);
	bed_step(&b, &(struct engine_event){.type = ENGINE_EV_JOIN_GONE, .join_call = {.id = 2}});
	n_wishes = 0;
	bed_pass(&b, 3 * US);
	assert_int_equal(wish_count(ENGINE_FX_JOIN_ANSWER), 1);
	assert_int_equal(wish_last(ENGINE_FX_JOIN_ANSWER)->call, 3);
	assert_int_equal(wish_last(ENGINE_FX_JOIN_ANSWER)->status, JOIN_BUSY);
	/* it is not of the pool at all */
	n_wishes = 0;
	{
		struct engine_event ev = {.type = ENGINE_EV_JOIN_CALL};

		ev.join_call.id = 4;
		ev.join_call.from = policy_peer_by_name(b.policy, "b")->addr6;
		ev.join_call.request = &r;
		bed_step(&b, &ev);
	}
	assert_int_equal(wish_last(ENGINE_FX_JOIN_ANSWER)->status, JOIN_BUSY);
	bed_end(&b);
}

/* ---- who is in the policy already ---- */

static void test_known(void **state)
{
	struct recipe r = usual;
	struct bed b;
	size_t i;

	(void)state;
	r.members |= 1 << NEW;
	r.key = join_key;
	seed_begin(&b, &r, NULL);
	join_sa(&b, 1, 1);
	assert_int_equal(wish[call(&b, NEW, "u", 1)].status, JOIN_MEMBER);
	/* a bundle costs its bearer: nobody can have it again and again */
	for (i = 0; i < 200 && wish[call(&b, NEW, "u", 1)].status == JOIN_MEMBER; i++)
		;
	assert_int_equal(i, 63);
	assert_int_equal(wish_last(ENGINE_FX_JOIN_ANSWER)->status, JOIN_BUSY);
	bed_end(&b);
	/* and of a large one still less */
	r.spare = 2000;
	seed_begin(&b, &r, NULL);
	join_sa(&b, 1, 1);
	for (i = 0; i < 200 && wish[call(&b, NEW, "u", 1)].status == JOIN_MEMBER; i++)
		;
	assert_in_range(i, 5, 30);
	b.now.mono_us += 60 * US;
	join_sa(&b, 2, 1);
	assert_int_equal(wish[call(&b, NEW, "u", 2)].status, JOIN_MEMBER);
	bed_end(&b);
}

static void key_until(int i, struct policy_key *key)
{
	if (i == 1) /* whose `until` a recipe can set */
		node_key(NEW, key);
	else
		bed_key(i, key);
}

static void test_time_over(void **state)
{
	struct recipe r = usual;
	struct bed b;
	size_t i;

	(void)state;
	r.key = key_until;
	r.until = "2026-06-01";
	seed_begin(&b, &r, NULL);
	join_sa(&b, 1, 1);
	i = call(&b, NEW, "b", 1);
	assert_int_equal(wish[i].status, JOIN_REFUSED);
	assert_non_null(strstr(wish[i].text, "its time is over"));
	assert_int_equal(wish[i].len, 0);
	bed_end(&b);
}

/* ---- liars ---- */

static size_t call_lie(struct bed *b, const struct join_request *r, const uint8_t nonce[32])
{
	static uint64_t id = 1;

	n_wishes = 0;
	call_with(b, ++id, 1, nonce, r);
	assert_true(wish_find(ENGINE_FX_JOIN_ANSWER) != SIZE_MAX);
	return wish_find(ENGINE_FX_JOIN_ANSWER);
}

static void refused(
        struct bed *b, const struct join_request *r, const uint8_t nonce[32], const char *text)
{
	size_t i = call_lie(b, r, nonce), n = join_look(b).n_pending;

	assert_int_equal(wish[i].status, JOIN_REFUSED);
	assert_int_equal(wish[i].len, 0);
	if (!strstr(wish[i].text, text))
		fail_msg("%s", wish[i].text);
	assert_int_equal(n, 0);
}

static void test_liars(void **state)
{
	struct minisign_public key = cluster_secret(0)->pub, other = cluster_secret(1)->pub;
	uint8_t nonce[32] = {1, 2, 3}, later[32] = {1, 2, 4}, words[JOIN_WORDS_MAX];
	static const char unsigned_text[] = "is not signed";
	struct join_request r, bad;
	struct policy_key seed;
	struct bed b;

	(void)state;
	seed_begin(&b, &usual, NULL);
	join_sa(&b, 1, 1);
	r = request_of(NEW, "u");
	request_sign(&r, NEW, &key, nonce);
	/* replayed: the nonce is another */
	refused(&b, &r, later, unsigned_text);
	/* made for another cluster's key, or for another seed */
	bad = r;
	request_sign(&bad, NEW, &other, nonce);
	refused(&b, &bad, nonce, unsigned_text);
	bed_key(1, &seed);
	assert_int_equal(join_request_words(&r, &key, &seed, nonce, words), 0);
	bad = r;
	sign_with(NEW, words, sizeof(words), bad.signature);
	refused(&b, &bad, nonce, unsigned_text);
	/* another's key, or a member's, that it does not hold */
	bad = r;
	request_sign(&bad, NEW + 1, &key, nonce);
	refused(&b, &bad, nonce, unsigned_text);
	bad = request_of(1, "b");
	request_sign(&bad, NEW, &key, nonce);
	refused(&b, &bad, nonce, unsigned_text);
	/* changed on the way, each field */
	for (size_t i = 0; i < sizeof(r); i++) {
		uint8_t buf[JOIN_REQUEST_MAX], was[JOIN_REQUEST_MAX];
		size_t n = join_request_bytes(&r, was), m;

		bad = r;
		((uint8_t *)&bad)[i] ^= 1;
		m = join_request_bytes(&bad, buf);
		if (m == n && !memcmp(buf, was, n))
			continue; /* a byte that says nothing, or the signature's */
		b.now.mono_us += US;
		join_sa(&b, 1, (int)i); /* no source may ask so often */
		assert_int_equal(wish[call_lie(&b, &bad, nonce)].status, JOIN_REFUSED);
	}
	bad = r;
	bad.signature[63] ^= 0x10;
	refused(&b, &bad, nonce, unsigned_text);
	/* another cluster by name */
	bad = r;
	memcpy(bad.cluster, "u", 2);
	refused(&b, &bad, nonce, "not of cluster u");
	/* not formed at all */
	bad = r;
	memset(bad.name, 'x', sizeof(bad.name));
	refused(&b, &bad, nonce, "not well-formed");
	bad = r;
	memcpy(bad.name, "a/b", 4);
	refused(&b, &bad, nonce, "not well-formed");
	bad = r;
	bad.n_links = 255;
	refused(&b, &bad, nonce, "not well-formed");
	bad = r;
	memcpy(bad.release, "\x1b[2J", 5);
	refused(&b, &bad, nonce, "not well-formed");
	/* and the first, which was right all the time */
	join_sa(&b, 1, 4711);
	assert_int_equal(wish[call_lie(&b, &r, nonce)].status, JOIN_PENDING);
	bed_end(&b);
}

/* Each field says something, so that nobody on the way can change it. */
static void test_bytes(void **state)
{
	struct join_request r = request_of(NEW, "u"), v[12];
	uint8_t was[JOIN_REQUEST_MAX], buf[JOIN_REQUEST_MAX];
	size_t n;

	(void)state;
	memcpy(r.token, "t", 2);
	n = join_request_bytes(&r, was);
	assert_true(n > 100 && n <= JOIN_REQUEST_MAX);
	for (size_t i = 0; i < 12; i++)
		v[i] = r;
	v[0].cluster[0] = 'u';
	v[1].name[0] = 'v';
	v[2].site[0] = 'v';
	v[3].release[0] = 'v';
	v[4].token[0] = 'v';
	v[5].by_token[63] ^= 1;
	v[6].key.raw[31] ^= 1;
	v[7].nonce[31] ^= 1;
	v[8].links[0].bytes[3] ^= 1;
	v[9].n_links = 0;
	v[10].links[0].family = 10;
	v[11].token[0] = 0;
	for (size_t i = 0; i < 12; i++) {
		size_t m = join_request_bytes(&v[i], buf);

		assert_true(m && (m != n || memcmp(buf, was, n)));
	}
	r.n_links = JOIN_LINKS_MAX;
	for (size_t i = 0; i < JOIN_LINKS_MAX; i++)
		r.links[i].family = 10;
	memset(r.name, 'n', POLICY_NAME_MAX);
	memset(r.cluster, 'n', POLICY_NAME_MAX);
	memset(r.site, 'n', POLICY_NAME_MAX);
	memset(r.token, 'n', POLICY_NAME_MAX);
	memset(r.release, 'n', JOIN_RELEASE_MAX);
	assert_in_range(join_request_bytes(&r, buf), 500, JOIN_REQUEST_MAX);
}

static int yes(void *user, const struct policy_key *key, const void *text, size_t len,
        const uint8_t sig[64])
{
	(void)key, (void)text, (void)len, (void)sig;
	(*(unsigned *)user)++;
	return 0;
}

/* A copy of the seed's own disk. */
static void test_own_key(void **state)
{
	unsigned n = 0;
	struct engine_config cfg = {.verify = yes, .verify_user = &n};
	struct join_request r = request_of(0, "a");
	struct bed b;
	uint8_t nonce[32] = {0};
	size_t i;

	(void)state;
	seed_begin(&b, &usual, &cfg);
	join_sa(&b, 1, 1);
	i = call_lie(&b, &r, nonce);
	assert_int_equal(wish[i].status, JOIN_REFUSED);
	assert_non_null(strstr(wish[i].text, "own key"));
	bed_end(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(test_pending),
	        cmocka_unit_test(test_marks),
	        cmocka_unit_test(test_reject),
	        cmocka_unit_test(test_early),
	        cmocka_unit_test(test_known),
	        cmocka_unit_test(test_time_over),
	        cmocka_unit_test(test_bytes),
	        cmocka_unit_test(test_liars),
	        cmocka_unit_test(test_own_key),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A seed's side of joining: when it serves, who is pending, who gets the bundle, and who lies. */
#include "tests/unit/join_bed.h"

/* ---- serving ---- */

static void test_serves(void **state)
{
	struct policy_key key;
	struct policy_addr first = inner(0);
	char id[ENGINE_ID_MAX];
	struct bed b;
	size_t i;

	(void)state;
	seed_begin(&b, &usual, NULL);
	i = wish_find(ENGINE_FX_JOIN_SERVE);
	assert_true(i != SIZE_MAX);
	assert_true(wish[i].serve.on && wish[i].serve.open);
	assert_memory_equal(&wish[i].serve.pool.addr, &first, sizeof(first));
	assert_int_equal(wish[i].serve.pool.len, JOIN_POOL_LEN);
	bed_key(0, &key);
	assert_memory_equal(&wish[i].serve.own_key, &key, sizeof(key));
	policy_ula_address("t", &key, &first);
	assert_memory_equal(&wish[i].serve.addr6, &first, sizeof(first));
	assert_int_equal(wish[i].serve.port, 4500);
	bed_id(0, id);
	assert_true(join_look(&b).serving && join_look(&b).complete);
	i = wish_find(ENGINE_FX_FW_BASE);
	assert_true(wish[i].join);
	assert_int_equal(wish[i].join_pool.len, JOIN_POOL_LEN);
	/* charon's end takes it away, and its return brings it back */
	n_wishes = 0;
	bed_charon(&b, false);
	assert_false(join_look(&b).serving);
	bed_pass(&b, US);
	bed_charon(&b, true);
	bed_pass(&b, 3 * US);
	assert_true(wish_last(ENGINE_FX_JOIN_SERVE)->serve.on);
	assert_true(join_look(&b).serving);
	bed_end(&b);
}

static void not_served(const struct recipe *r, const char *why)
{
	struct bed b;

	seed_begin(&b, r, NULL);
	assert_true(wish_find(ENGINE_FX_JOIN_SERVE) == SIZE_MAX);
	assert_false(wish_last(ENGINE_FX_FW_BASE)->join);
	if (!strstr(join_look(&b).serving_text, why))
		fail_msg("%s", join_look(&b).serving_text);
	bed_end(&b);
}

static void test_not_served(void **state)
{
	struct recipe r = usual;
	struct bed b;

	(void)state;
	r.join = false;
	not_served(&r, "join: false");
	r = usual;
	r.seeds = 0;
	r.seed_bits = 2;
	not_served(&r, "role seed");
	/* without a bundle, whatever the local files say */
	bed_begin(&b, recipe_policy(&usual), NULL, NOON_2026);
	b.carry_out = wish_keep;
	n_wishes = 0;
	plane_up(&b);
	bed_pass(&b, 3 * US);
	assert_true(wish_find(ENGINE_FX_JOIN_SERVE) == SIZE_MAX);
	give_key(&b);
	bed_pass(&b, 3 * US);
	assert_true(wish_find(ENGINE_FX_JOIN_SERVE) == SIZE_MAX);
	bed_end(&b);
}

/* A new policy turns it off: table, connection and SAs. */
static void test_turned_off(void **state)
{
	struct recipe r = usual;
	struct bed b;

	(void)state;
	seed_begin(&b, &usual, NULL);
	join_sa(&b, 1, 1);
	n_wishes = 0;
	r.join = false;
	r.serial = 2;
	give_bundle(&b, &r, NULL);
	bed_pass(&b, 8 * US);
	assert_false(wish_last(ENGINE_FX_JOIN_SERVE)->serve.on);
	assert_false(wish_last(ENGINE_FX_FW_BASE)->join);
	assert_int_equal(wish_last(ENGINE_FX_TERMINATE)->ended, 60001);
	assert_false(join_look(&b).serving);
	bed_end(&b);
}

/* One that is left from an earlier run, and is not wanted, is taken down. */
static void conns_say(struct bed *b, bool loaded)
{
	struct engine_event ev = {.type = ENGINE_EV_RESYNC};
	static const char *const names[] = {JOIN_CONN, "ovl.b", "ovl.c", "ovl.d"};

	bed_step(b, &ev);
	for (size_t i = 0; i < b->n_pending; i++) {
		if (b->pending[i].type != ENGINE_FX_LIST_CONNS)
			continue;
		ev = (struct engine_event){.type = ENGINE_EV_CONNS};
		ev.conns.effect_id = b->pending[i].id;
		ev.conns.names = loaded ? names : names + 1;
		ev.conns.n = loaded ? 4 : 3;
		b->pending[i].id = 0;
		bed_step(b, &ev);
		return;
	}
	fail();
}

static void test_listed(void **state)
{
	struct recipe r = usual;
	struct bed b;

	(void)state;
	r.join = false;
	seed_begin(&b, &r, NULL);
	n_wishes = b.n_said = 0;
	conns_say(&b, true);
	assert_false(wish_last(ENGINE_FX_JOIN_SERVE)->serve.on);
	assert_true(wish_find(ENGINE_FX_JOIN_SERVE) != SIZE_MAX);
	assert_string_equal(told(&b, ENGINE_N_UNKNOWN_CONN), "");
	bed_end(&b);
	/* another program unloads it */
	seed_begin(&b, &usual, NULL);
	n_wishes = 0;
	conns_say(&b, true);
	bed_answer_all(&b);
	assert_true(wish_find(ENGINE_FX_JOIN_SERVE) == SIZE_MAX);
	bed_pass(&b, 2 * US);
	n_wishes = 0;
	conns_say(&b, false);
	assert_true(wish_last(ENGINE_FX_JOIN_SERVE)->serve.open);
	bed_end(&b);
}

/* ---- join SAs ---- */

static bool ended(int n)
{
	for (size_t i = 0; i < n_wishes; i++)
		if (wish[i].type == ENGINE_FX_TERMINATE && wish[i].ended == 60000 + (uint32_t)n)
			return true;
	return false;
}

static void test_sas(void **state)
{
	struct policy_prefix wide = {inner(3), 116}, peer = {{0}, 128};
	struct engine_view v;
	struct bed b;

	(void)state;
	seed_begin(&b, &usual, NULL);
	n_wishes = b.n_said = 0;
	join_sa(&b, 1, 1);
	assert_int_equal(join_look(&b).n_join_sas, 1);
	bed_step(&b, &(struct engine_event){.type = ENGINE_EV_TICK});
	assert_false(ended(1));
	/* without a child */
	join_sa_as(&b, 2, 1, ENGINE_SA_UP, NULL);
	/* selectors that are not one address of the pool */
	join_sa_as(&b, 3, 1, ENGINE_SA_UP, &wide);
	assert_true(ended(3));
	peer.addr = policy_peer_by_name(b.policy, "b")->addr6;
	join_sa_as(&b, 4, 1, ENGINE_SA_UP, &peer);
	assert_true(ended(4));
	b.now.mono_us += JOIN_SA_CHILDLESS_US - 1;
	bed_step(&b, &(struct engine_event){.type = ENGINE_EV_TICK});
	assert_false(ended(2));
	b.now.mono_us += 2;
	bed_step(&b, &(struct engine_event){.type = ENGINE_EV_TICK});
	assert_true(ended(2));
	assert_false(ended(1));
	b.now.mono_us += JOIN_SA_MAX_US - JOIN_SA_CHILDLESS_US;
	bed_step(&b, &(struct engine_event){.type = ENGINE_EV_TICK});
	assert_true(ended(1));
	bed_answer_all(&b);
	bed_pass(&b, 2 * US);
	assert_int_equal(join_look(&b).n_join_sas, 0);
	/* nobody else was in the way: none of the others lost anything */
	engine_look(b.e, &v);
	assert_int_equal(v.n_admitted, 3);
	bed_end(&b);
}

/* Members are admitted while odd join SAs come and go, and keep what they have. */
static void test_members_first(void **state)
{
	struct recipe r = usual;
	struct engine_view v;
	struct bed b;

	(void)state;
	seed_begin(&b, &usual, NULL);
	for (int i = 1; i < 40; i++)
		join_sa(&b, i, i);
	for (int i = 40; i < 60; i++)
		join_sa_as(&b, i, i, ENGINE_SA_UP, NULL);
	r.serial = 2;
	r.members |= 1 << 4;
	give_bundle(&b, &r, NULL);
	bed_pass(&b, 2 * US);
	engine_look(b.e, &v);
	assert_int_equal(v.n_admitted, 4);
	assert_int_equal(v.n_up, 4);
	bed_end(&b);
}

static void test_full(void **state)
{
	struct bed b;

	(void)state;
	seed_begin(&b, &usual, NULL);
	n_wishes = 0;
	for (int i = 0; i < (int)JOIN_SAS_MAX - 1; i++)
		join_sa(&b, i, i);
	assert_true(wish_find(ENGINE_FX_JOIN_SERVE) == SIZE_MAX);
	join_sa(&b, 63, 63);
	assert_true(wish_last(ENGINE_FX_JOIN_SERVE)->serve.on);
	assert_false(wish_last(ENGINE_FX_JOIN_SERVE)->serve.open);
	bed_answer_all(&b);
	for (int i = 0; i < 31; i++)
		join_sa_down(&b, i);
	assert_false(wish_last(ENGINE_FX_JOIN_SERVE)->serve.open);
	join_sa_down(&b, 31);
	assert_true(wish_last(ENGINE_FX_JOIN_SERVE)->serve.open);
	/* however many come at once */
	for (int i = 100; i < 400; i++)
		join_sa(&b, i, i);
	assert_true(join_look(&b).n_join_sas <= 2 * JOIN_SAS_MAX);
	bed_answer_all(&b);
	assert_true(ended(399));
	bed_end(&b);
}

/* Of an earlier run, without a child: nobody's admission waits until it is gone. */
static void test_left_over(void **state)
{
	struct engine_sa_row row = {.conn = JOIN_CONN,
	        .id = 60001,
	        .state = ENGINE_IKE_ESTABLISHED,
	        .local_id = "a.x",
	        .remote_id = JOIN_IDENTITY,
	        .remote_host = source(1)};
	struct engine_event ev = {.type = ENGINE_EV_SAS};
	struct engine_view v;
	struct bed b;

	(void)state;
	n_wishes = 0;
	bed_begin(&b, recipe_policy(&usual), NULL, NOON_2026);
	b.carry_out = wish_keep;
	plane_up(&b);
	give_key(&b);
	for (int round = 0; round < 400; round++) {
		uint64_t id = b.pending[0].id;
		enum engine_effect_type type = b.pending[0].type;

		if (!b.n_pending) {
			b.now.mono_us += 5000;
			bed_step(&b, &(struct engine_event){.type = ENGINE_EV_TICK});
			continue;
		}
		memmove(&b.pending[0], &b.pending[1], --b.n_pending * sizeof(b.pending[0]));
		if (type == ENGINE_FX_LIST_SAS) {
			ev.sas.effect_id = id;
			ev.sas.rows = &row;
			ev.sas.n = 1;
			bed_step(&b, &ev);
		} else if (type != ENGINE_FX_TERMINATE && type != ENGINE_FX_INITIATE) {
			bed_answer(&b, id, type, "");
		}
	}
	engine_look(b.e, &v);
	assert_int_equal(v.n_admitted, 3);
	assert_true(ended(1)); /* it is not served here */
	bed_end(&b);
}

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

/* ---- floods ---- */

/* Request number n, whose signature counts for everything. */
static enum join_status flood(struct bed *b, int n, int sa)
{
	static uint64_t id = 1 << 20;
	struct join_request r = request_of(NEW, "x");
	uint8_t nonce[32] = {0};

	memcpy(r.key.raw, &n, sizeof(n));
	snprintf(r.name, sizeof(r.name), "n%d", n);
	n_wishes = 0;
	call_with(b, ++id, sa, nonce, &r);
	return wish_last(ENGINE_FX_JOIN_ANSWER)->status;
}

static void test_one_source(void **state)
{
	unsigned verified = 0;
	struct engine_config cfg = {.verify = yes, .verify_user = &verified};
	size_t before, busy = 0;
	struct bed b;

	(void)state;
	seed_begin(&b, &usual, &cfg);
	join_sa(&b, 1, 1);
	join_sa(&b, 2, 2);
	flood(&b, 0, 1);
	before = engine_memory(b.e);
	b.n_said = 0;
	for (int i = 1; i < 10000; i++)
		busy += flood(&b, i, 1) == JOIN_BUSY;
	assert_int_equal(busy, 10000 - 8); /* what may wait from one source */
	assert_int_equal(join_look(&b).n_pending, 8);
	assert_true(verified <= 64);
	assert_true(engine_memory(b.e) < before + 8192);
	/* somebody else */
	assert_int_equal(flood(&b, 20000, 2), JOIN_PENDING);
	/* those who wait may ask again as time passes */
	b.now.mono_us += 10 * US;
	join_sa(&b, 3, 1);
	verified = 0;
	assert_int_equal(flood(&b, 0, 3), JOIN_PENDING);
	for (int i = 0; i < 1000; i++)
		flood(&b, 0, 3);
	assert_in_range(verified, 10, 25);
	bed_end(&b);
}

/* Who has just begun to ask hears soon that it was approved, as far as its source's rate allows. */
static void test_retry(void **state)
{
	unsigned verified = 0;
	struct engine_config cfg = {.verify = yes, .verify_user = &verified};
	struct bed b;

	(void)state;
	seed_begin(&b, &usual, &cfg);
	join_sa(&b, 1, 1);
	for (int i = 0; i < 8; i++) {
		assert_int_equal(flood(&b, i, 1), JOIN_PENDING);
		assert_int_equal(wish_last(ENGINE_FX_JOIN_ANSWER)->retry_s, i < 2 ? 2 : i + 1);
	}
	for (int i = 8; i < 60; i++) {
		join_sa(&b, 2, i);
		assert_int_equal(flood(&b, i, 2), JOIN_PENDING);
	}
	assert_int_equal(wish_last(ENGINE_FX_JOIN_ANSWER)->retry_s, 10);
	b.now.mono_us += 301 * US;
	join_sa(&b, 3, 1);
	assert_int_equal(flood(&b, 0, 3), JOIN_PENDING);
	assert_int_equal(wish_last(ENGINE_FX_JOIN_ANSWER)->retry_s, 20);
	bed_end(&b);
}

static void test_many_sources(void **state)
{
	unsigned verified = 0;
	struct engine_config cfg = {.verify = yes, .verify_user = &verified};
	size_t before;
	struct bed b;

	(void)state;
	seed_begin(&b, &usual, &cfg);
	join_sa(&b, 1, 1);
	flood(&b, 0, 1);
	before = engine_memory(b.e);
	n_told_pending = 0;
	for (int i = 1; i < 10000; i++) {
		join_sa(&b, 1, i + 2);
		flood(&b, i, 1);
		if (i % 100 == 0)
			b.now.mono_us += US / 10;
	}
	assert_int_equal(join_look(&b).n_pending, 256);
	assert_in_range(n_told_pending, 7, 9); /* of all these, so many are told */
	assert_true(verified <= 512 + 10 * 50 + 1);
	print_message("%zu bytes for 256 pending\n", engine_memory(b.e) - before);
	assert_true(engine_memory(b.e) < before + 256 * 640);
	/* half a minute later an honest one finds no room: nobody has gone yet */
	b.now.mono_us += 30 * US;
	join_sa(&b, 2, 1 << 20);
	assert_int_equal(flood(&b, 20000, 2), JOIN_BUSY);
	/* those that do not go on asking lose their place */
	b.now.mono_us += 271 * US;
	join_sa(&b, 3, 1 << 20);
	assert_int_equal(flood(&b, 20000, 3), JOIN_PENDING);
	bed_end(&b);
}

/* Whoever has a whole /64 is one source all the same. */
static void test_six(void **state)
{
	unsigned verified = 0;
	struct engine_config cfg = {.verify = yes, .verify_user = &verified};
	struct bed b;

	(void)state;
	seed_begin(&b, &usual, &cfg);
	for (int i = 0; i < 1000; i++) {
		join_sa(&b, 1, SIX + i);
		flood(&b, i, 1);
	}
	assert_int_equal(join_look(&b).n_pending, 8);
	assert_int_equal(verified, 64);
	join_sa(&b, 2, SIX + 65536); /* another */
	assert_int_equal(flood(&b, 2000, 2), JOIN_PENDING);
	bed_end(&b);
}

/* Thirty-two sources with eight each fill the queue; whoever else comes takes one of theirs. */
static void test_fair(void **state)
{
	unsigned verified = 0;
	struct engine_config cfg = {.verify = yes, .verify_user = &verified};
	struct engine_pending_view p;
	struct bed b;
	size_t mine = 0;

	(void)state;
	seed_begin(&b, &usual, &cfg);
	for (int s = 0; s < 32; s++) {
		join_sa(&b, 1, 100 + s);
		for (int i = 0; i < 8; i++) {
			b.now.mono_us += 20000;
			assert_int_equal(flood(&b, s * 8 + i, 1), JOIN_PENDING);
		}
	}
	assert_int_equal(join_look(&b).n_pending, 256);
	join_sa(&b, 2, 7);
	for (int i = 0; i < 4; i++)
		assert_int_equal(flood(&b, 1000 + i, 2), JOIN_PENDING);
	assert_int_equal(join_look(&b).n_pending, 256);
	for (size_t i = 0; i < 256; i++) {
		assert_int_equal(engine_pending_at(b.e, i, &p), 0);
		mine += p.source.bytes[3] == 7;
	}
	assert_int_equal(mine, 4);
	/* and the first of each is still there */
	assert_int_equal(flood(&b, 0, 2), JOIN_PENDING);
	assert_int_equal(join_look(&b).n_pending, 256);
	bed_end(&b);
}

/* A day without asking: forgotten, and all of it given back. */
static void test_forgotten(void **state)
{
	unsigned verified = 0;
	struct engine_config cfg = {.verify = yes, .verify_user = &verified};
	size_t before;
	struct bed b;

	(void)state;
	seed_begin(&b, &usual, &cfg);
	join_sa(&b, 1, 1);
	flood(&b, 0, 1);
	bed_step(&b, &(struct engine_event){.type = ENGINE_EV_TICK});
	before = engine_memory(b.e);
	for (int i = 1; i < 8; i++)
		flood(&b, i, 1);
	for (int i = 0; i < 25 * 60; i++) {
		b.now.mono_us += 60 * US;
		bed_step(&b, &(struct engine_event){.type = ENGINE_EV_TICK});
		b.n_pending = 0;
		if (i == 24 * 60 - 2)
			assert_int_equal(join_look(&b).n_pending, 8);
	}
	assert_int_equal(join_look(&b).n_pending, 0);
	assert_true(engine_memory(b.e) < before + 4096);
	bed_end(&b);
}

/* Calls that nobody answers yet are bounded too. */
static void test_parked(void **state)
{
	struct join_request r = request_of(NEW, "x");
	uint8_t nonce[32] = {0};
	struct bed b;
	size_t before;

	(void)state;
	seed_begin(&b, &usual, NULL);
	before = engine_memory(b.e);
	n_wishes = 0;
	for (int i = 0; i < 1000; i++)
		call_with(&b, 1 + (uint64_t)i, i, nonce, &r);
	assert_int_equal(wish_count(ENGINE_FX_JOIN_ANSWER), 1000 - 64);
	assert_true(engine_memory(b.e) < before + 64 * 1200 + 32768);
	bed_pass(&b, 3 * US);
	assert_int_equal(wish_count(ENGINE_FX_JOIN_ANSWER), 1000);
	bed_end(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(test_serves),
	        cmocka_unit_test(test_not_served),
	        cmocka_unit_test(test_turned_off),
	        cmocka_unit_test(test_listed),
	        cmocka_unit_test(test_sas),
	        cmocka_unit_test(test_members_first),
	        cmocka_unit_test(test_full),
	        cmocka_unit_test(test_left_over),
	        cmocka_unit_test(test_pending),
	        cmocka_unit_test(test_marks),
	        cmocka_unit_test(test_reject),
	        cmocka_unit_test(test_early),
	        cmocka_unit_test(test_known),
	        cmocka_unit_test(test_time_over),
	        cmocka_unit_test(test_bytes),
	        cmocka_unit_test(test_liars),
	        cmocka_unit_test(test_own_key),
	        cmocka_unit_test(test_one_source),
	        cmocka_unit_test(test_retry),
	        cmocka_unit_test(test_many_sources),
	        cmocka_unit_test(test_six),
	        cmocka_unit_test(test_fair),
	        cmocka_unit_test(test_forgotten),
	        cmocka_unit_test(test_parked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

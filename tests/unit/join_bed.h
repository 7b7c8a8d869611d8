/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Joining in a whole engine: node "a" is a seed of cluster t, or it is nobody yet. Members b, c and d
 * have keys of bed_key(); newcomers are numbers 20 and above, with real keys that can sign.
 */
#ifndef TESTS_UNIT_JOIN_BED_H
#define TESTS_UNIT_JOIN_BED_H

#include "tests/unit/engine_bed.h"
#include "tests/unit/signed_bed.h"

#define NOON_2026 1782907200LL
#define NEW 20        /* the first newcomer */
#define SIX (1 << 22) /* the first source with an IPv6 address */

/* What was asked for, in its order; of the last step that asked at all, if cleared before. */
static struct wish {
	enum engine_effect_type type;
	uint64_t id;
	struct engine_join_serve serve;
	struct engine_join_ask ask;
	char text[JOIN_TEXT_MAX], host[64], seed[64], remote_id[ENGINE_ID_MAX];
	uint64_t call;
	enum join_status status;
	uint32_t retry_s;
	size_t len, n_admissions;
	uint8_t admission[JOIN_ADMISSION_MAX];
	size_t admission_len;
	uint8_t words[512];
	size_t n_words;
	bool join;
	struct policy_prefix join_pool;
	struct minisign_public cluster_key;
	uint32_t ended;
} wish[4096];
static size_t n_wishes, n_told_pending;

static inline void wish_answer(const struct engine_effect *fx, size_t i)
{
	const struct join_answer *a = &fx->join_answer.answer;

	wish[i].call = fx->join_answer.call;
	wish[i].status = a->status;
	wish[i].retry_s = a->retry_s;
	wish[i].len = a->len;
	wish[i].n_admissions = a->n_admissions;
	snprintf(wish[i].text, sizeof(wish[i].text), "%s", a->text);
	if (a->n_admissions) {
		wish[i].admission_len = a->admissions[0].len;
		memcpy(wish[i].admission, a->admissions[0].data, a->admissions[0].len);
	}
}

static inline void wish_keep(struct bed *b, const struct engine_effect *fx)
{
	size_t i = n_wishes < 4096 ? n_wishes++ : 4095;

	(void)b;
	n_told_pending += fx->type == ENGINE_FX_NOTICE && fx->notice.code == ENGINE_N_JOIN_PENDING;
	memset(&wish[i], 0, sizeof(wish[i]));
	wish[i].type = fx->type;
	wish[i].id = fx->id;
	switch (fx->type) {
	case ENGINE_FX_JOIN_SERVE:
		wish[i].serve = fx->join_serve;
		break;
	case ENGINE_FX_JOIN_ANSWER:
		wish_answer(fx, i);
		break;
	case ENGINE_FX_JOIN_ASK:
		wish[i].ask = *fx->join_ask;
		snprintf(wish[i].host, sizeof(wish[i].host), "%s", fx->join_ask->host);
		snprintf(wish[i].seed, sizeof(wish[i].seed), "%s", fx->join_ask->seed);
		snprintf(wish[i].remote_id, ENGINE_ID_MAX, "%s", fx->join_ask->remote_id);
		break;
	case ENGINE_FX_ADMIT_SIGN:
		wish[i].n_words = fx->admit.len;
		memcpy(wish[i].words, fx->admit.words, fx->admit.len);
		break;
	case ENGINE_FX_CLUSTER_KEY:
		wish[i].cluster_key = fx->cluster_key;
		break;
	case ENGINE_FX_FW_BASE:
		wish[i].join = fx->fw_base.join;
		wish[i].join_pool = fx->fw_base.join_pool;
		break;
	case ENGINE_FX_TERMINATE:
		wish[i].ended = fx->terminate.conn ? 0 : fx->terminate.ike_id;
		break;
	case ENGINE_FX_JOIN_STOP:
		wish[i].call = fx->join_stop;
		break;
	default:
		break;
	}
}

/* The last of this kind; SIZE_MAX: none. */
static inline size_t wish_find(enum engine_effect_type type)
{
	for (size_t i = n_wishes; i-- > 0;)
		if (wish[i].type == type)
			return i;
	return SIZE_MAX;
}

static inline struct wish *wish_last(enum engine_effect_type type)
{
	size_t i = wish_find(type);

	if (i == SIZE_MAX)
		fail_msg("nothing of type %d was asked for", type);
	return &wish[i];
}

static inline size_t wish_count(enum engine_effect_type type)
{
	size_t n = 0;

	for (size_t i = 0; i < n_wishes; i++)
		n += wish[i].type == type;
	return n;
}

static inline const char *told(struct bed *b, enum engine_notice_code code)
{
	for (size_t i = b->n_said; i-- > 0;)
		if (b->said[i].type == ENGINE_FX_NOTICE && b->said[i].code == code)
			return b->said[i].text;
	return "";
}

static inline void join_key(int i, struct policy_key *key)
{
	if (i < NEW)
		bed_key(i, key);
	else
		node_key(i, key);
}

static inline struct engine_join_view join_look(struct bed *b)
{
	struct engine_join_view v;

	engine_join_look(b->e, &v);
	return v;
}

static inline void plane_up(struct bed *b)
{
	struct engine_event ev = {.type = ENGINE_EV_PLANE};

	ev.plane.up = true;
	ev.plane.name = "ipsec0";
	bed_step(b, &ev);
}

static inline void give_key(struct bed *b)
{
	struct engine_event ev = {.type = ENGINE_EV_CLUSTER_KEY};

	ev.cluster_key = cluster_secret(0)->pub;
	bed_step(b, &ev);
}

static inline void give_bundle(
        struct bed *b, const struct recipe *r, const struct signed_file *parent)
{
	struct signed_file f = bundle_of(r, parent);
	struct engine_event ev = {.type = ENGINE_EV_BUNDLE};

	ev.bundle.source = ENGINE_BUNDLE_ADMIN;
	ev.bundle.file = f.data;
	ev.bundle.len = f.len;
	policy_unref(b->policy);
	b->policy = recipe_policy(r);
	bed_step(b, &ev);
	free(f.data);
}

/* ---- the seed's side ---- */

static inline struct policy_addr inner(int n)
{
	struct policy_prefix p;

	policy_ula_prefix("t", &p);
	p.addr.bytes[14] = (uint8_t)(0x10 + n / 256);
	p.addr.bytes[15] = (uint8_t)n;
	return p.addr;
}

static inline struct policy_addr source(int n)
{
	if (n >= SIX) /* many of each /64 */
		return (struct policy_addr){
		        10, {0x20, 1, 0xd, 0xb8, 0, 0, 0, (uint8_t)(n / 65536), (uint8_t)n, 0, 0, 0,
		                    0, (uint8_t)(n / 256), 1, (uint8_t)n}};
	return (struct policy_addr){2, {203, (uint8_t)(n / 65536), (uint8_t)(n / 256), (uint8_t)n}};
}

/* Join SA number n from source number s. */
static inline void join_sa_as(
        struct bed *b, int n, int s, enum engine_sa_change change, const struct policy_prefix *ts)
{
	struct engine_child_row child = {.id = 70000 + (uint32_t)n,
	        .state = ENGINE_CHILD_INSTALLED,
	        .n_remote_ts = 1,
	        .odd_ts = true}; /* a port in the local one */
	struct engine_sa_row row = {.conn = JOIN_CONN,
	        .id = 60000 + (uint32_t)n,
	        .state = ENGINE_IKE_ESTABLISHED,
	        .local_id = "a.x",
	        .remote_id = JOIN_IDENTITY,
	        .remote_host = source(s),
	        .remote_port = 4500,
	        .children = &child,
	        .n_children = ts != NULL};
	struct engine_event ev = {.type = ENGINE_EV_SA};

	if (ts)
		child.remote_ts[0] = *ts;
	ev.sa.change = change;
	ev.sa.row = &row;
	bed_step(b, &ev);
}

static inline void join_sa(struct bed *b, int n, int s)
{
	struct policy_prefix ts = {inner(n), 128};

	join_sa_as(b, n, s, ENGINE_SA_UP, &ts);
}

static inline void join_sa_down(struct bed *b, int n)
{
	join_sa_as(b, n, 0, ENGINE_SA_DOWN, NULL);
}

static inline void sign_with(int i, const void *text, size_t len, uint8_t sig[64])
{
	EVP_PKEY *pkey = node_pkey(i);
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	size_t n = 64;

	assert_int_equal(EVP_DigestSignInit(md, NULL, NULL, NULL, pkey), 1);
	assert_int_equal(EVP_DigestSign(md, sig, &n, text, len), 1);
	EVP_MD_CTX_free(md);
	EVP_PKEY_free(pkey);
}

static inline struct join_request request_of(int i, const char *name)
{
	struct join_request r = {.cluster = "t", .site = "s", .release = "1.2", .n_links = 1};

	snprintf(r.name, sizeof(r.name), "%s", name);
	join_key(i, &r.key);
	r.links[0] = (struct policy_addr){2, {10, 9, 8, 7}};
	memset(r.nonce, 0x33, sizeof(r.nonce));
	return r;
}

static inline void request_sign(
        struct join_request *r, int i, const struct minisign_public *key, const uint8_t nonce[32])
{
	uint8_t words[JOIN_WORDS_MAX];
	struct policy_key seed;

	bed_key(0, &seed);
	assert_int_equal(join_request_words(r, key, &seed, nonce, words), 0);
	sign_with(i, words, sizeof(words), r->signature);
}

static inline void call_with(
        struct bed *b, uint64_t id, int sa, const uint8_t nonce[32], const struct join_request *r)
{
	struct engine_event ev = {.type = ENGINE_EV_JOIN_CALL};

	ev.join_call.id = id;
	ev.join_call.from = inner(sa);
	memcpy(ev.join_call.nonce, nonce, 32);
	ev.join_call.request = r;
	bed_step(b, &ev);
}

/* Newcomer i asks by that SA; its index among the wishes, which it must have been answered in. */
static inline size_t call(struct bed *b, int i, const char *name, int sa)
{
	static uint64_t next_id = 1000;
	struct join_request r = request_of(i, name);
	uint8_t nonce[32] = {(uint8_t)next_id, (uint8_t)(next_id >> 8)};

	request_sign(&r, i, &cluster_secret(0)->pub, nonce);
	n_wishes = 0;
	call_with(b, next_id, sa, nonce, &r);
	i = (int)wish_find(ENGINE_FX_JOIN_ANSWER);
	assert_true(i >= 0);
	assert_int_equal(wish[i].call, next_id++);
	return (size_t)i;
}

/* a and b are seeds; c and d are members. */
static const struct recipe usual = {
        .serial = 1, .members = 0xf, .seeds = 2, .key = join_key, .join = true};

static inline void seed_begin(
        struct bed *b, const struct recipe *r, const struct engine_config *config)
{
	n_wishes = 0;
	bed_begin(b, recipe_policy(r), config, NOON_2026);
	b->carry_out = wish_keep;
	plane_up(b);
	give_key(b);
	give_bundle(b, r, NULL);
	bed_pass(b, 3 * US);
}

#endif

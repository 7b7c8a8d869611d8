/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Admissions become peers: sorted so that whoever goes before comes first, taken one by one as far
 * as nobody before has the same, then merged with what was written.
 */
#include "policy/guests.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

#include "policy/guests_internal.h"

struct candidate {
	const struct policy_admission *admission;
	size_t place; /* among the admissions */
	uint16_t token;
	uint8_t digest[32]; /* of the key: its fingerprint */
	struct policy_addr addr6;
};

struct making {
	jmp_buf oom;
	struct pol_arena keep, scratch;
	const struct policy *written;
	struct candidate *candidates;
	size_t n_candidates;
	struct pol_names taken; /* names (lower case), addresses and numbers, each with its mark */
	struct policy_peer *guests;
	size_t n_guests;
	uint32_t *now; /* where the written peers stand among all */
	struct pol_full *full;
};

/* ---- who goes before whom */

static int candidate_compare(const void *a, const void *b)
{
	const struct candidate *x = a, *y = b;
	int order = memcmp(x->digest, y->digest, sizeof(x->digest));
	uint8_t record_x[POLICY_ADMISSION_MAX], record_y[POLICY_ADMISSION_MAX];
	size_t len_x, len_y;

	if (order)
		return order;
	len_x = policy_admission_print(x->admission, record_x);
	len_y = policy_admission_print(y->admission, record_y);
	order = memcmp(record_x, record_y, len_x < len_y ? len_x : len_y);
	if (order || len_x != len_y)
		return order ? order : len_x < len_y ? -1 : 1;
	return x->place < y->place ? -1 : x->place > y->place;
}

static void candidates_take(
        struct making *m, const struct policy_admission *const *admissions, size_t n)
{
	m->candidates = pol_array(&m->scratch, n, sizeof(*m->candidates));
	for (size_t i = 0; i < n; i++) {
		const struct policy_admission *a = admissions[i];
		struct candidate *c = &m->candidates[m->n_candidates];

		if (policy_admission_check(m->written, a, NULL, 0))
			continue;
		m->n_candidates++;
		c->admission = a;
		c->place = i;
		c->token =
		        (uint16_t)(policy_token_by_name(m->written, a->token) - m->written->tokens);
		policy_key_digest(&a->key, c->digest);
		pol_ula_in_prefix(m->written->cluster, &m->written->overlay6, &a->key, &c->addr6);
	}
	pol_sort(m->candidates, m->n_candidates, sizeof(*m->candidates), candidate_compare);
}

/* ---- what is taken already */

static void mark(struct making *m, const char *text)
{
	pol_names_put(&m->scratch, &m->taken, pol_strndup(&m->scratch, text, strlen(text)), 0);
}

/* Whole, and without the cluster's behind it. */
static void name_mark(struct making *m, const char *name)
{
	char lower[POLICY_NAME_MAX + 1], head[POLICY_NAME_MAX + 1];

	pol_name_lower(name, lower);
	mark(m, lower);
	if (pol_name_head(m->written, lower, head))
		mark(m, head);
}

static void written_names_mark(struct making *m)
{
	for (size_t i = 0; i < m->written->n_failovers; i++)
		name_mark(m, m->written->failovers[i].name);
	for (size_t i = 0; i < m->written->n_peers; i++)
		name_mark(m, m->written->peers[i].name);
}

/* A name has no slash, so the others are none. One key has one addr6, so it needs no mark. */
struct marks {
	char name[POLICY_NAME_MAX + 1];
	char addr4[16], addr6[40], number[2 * POLICY_NAME_MAX + 16];
};

static void addr_mark(const struct policy_addr *addr, size_t n, char *to)
{
	static const char hex[] = "0123456789abcdef";

	*to++ = '/';
	for (size_t i = 0; i < n; i++) {
		*to++ = hex[addr->bytes[i] >> 4];
		*to++ = hex[addr->bytes[i] & 15];
	}
	*to = '\0';
}

static void marks_make(struct marks *marks, const struct candidate *c)
{
	const struct policy_admission *a = c->admission;

	pol_name_lower(a->name, marks->name);
	addr_mark(&a->addr4, 4, marks->addr4);
	addr_mark(&c->addr6, 16, marks->addr6);
	snprintf(marks->number, sizeof(marks->number), "%s/%s/%" PRIu32, a->token, a->seed,
	        a->number);
}

static bool is_free(const struct making *m, const struct candidate *c, const struct marks *marks)
{
	const char *const texts[] = {marks->name, marks->addr4, marks->addr6, marks->number};
	const struct policy_key *key = &c->admission->key;

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		if (pol_names_get(&m->taken, texts[i]) != POL_NONE)
			return false;
	return !policy_peer_by_key(m->written, key) && !policy_peer_by_old_key(m->written, key) &&
	       !policy_peer_by_addr(m->written, &c->admission->addr4) &&
	       !policy_peer_by_addr(m->written, &c->addr6);
}

static void guest_add(struct making *m, const struct candidate *c)
{
	const struct policy_token *token = &m->written->tokens[c->token];
	const struct policy_admission *a = c->admission;

	m->guests[m->n_guests++] = (struct policy_peer){
	        .name = pol_strndup(&m->keep, a->name, strlen(a->name)),
	        .key = a->key,
	        .addr4 = a->addr4,
	        .addr6 = c->addr6,
	        .site = token->site,
	        .roles = token->roles,
	        .n_roles = token->n_roles,
	        .has_until = true,
	        .until = token->until,
	        .comment = "",
	        .guest = true,
	        .token = c->token,
	        .where = token->where,
	};
}

static void guests_pick(struct making *m, bool *used)
{
	struct marks marks;

	written_names_mark(m);
	m->guests = pol_array(&m->scratch, m->n_candidates, sizeof(*m->guests));
	for (size_t i = 0; i < m->n_candidates; i++) {
		const struct candidate *c = &m->candidates[i];

		if (m->written->n_peers + m->n_guests >= POLICY_PEERS_MAX)
			break;
		marks_make(&marks, c);
		if (!is_free(m, c, &marks))
			continue;
		mark(m, marks.name);
		mark(m, marks.addr4);
		mark(m, marks.addr6);
		mark(m, marks.number);
		guest_add(m, c);
		used[c->place] = true;
	}
}

/* ---- the policy with them */

static int peer_compare(const void *a, const void *b)
{
	const struct policy_peer *x = a, *y = b;

	return strcmp(x->name, y->name);
}

static void peers_merge(struct making *m)
{
	const struct policy *written = m->written;
	size_t n = written->n_peers + m->n_guests, i = 0, j = 0;
	struct policy_peer *peers = pol_array(&m->keep, n, sizeof(*peers));

	pol_sort(m->guests, m->n_guests, sizeof(*m->guests), peer_compare);
	m->now = pol_array(&m->scratch, written->n_peers, sizeof(*m->now));
	for (size_t k = 0; k < n; k++) {
		bool guest =
		        i == written->n_peers ||
		        (j < m->n_guests && peer_compare(&m->guests[j], &written->peers[i]) < 0);

		if (!guest)
			m->now[i] = (uint32_t)k;
		peers[k] = guest ? m->guests[j++] : written->peers[i++];
	}
	m->full->pub.peers = peers;
	m->full->pub.n_peers = n;
}

struct field {
	const struct policy_peer *peers;
	size_t offset, size;
};

static int field_compare(const void *a, const void *b, void *arg)
{
	const struct field *field = arg;
	const struct policy_peer *x = &field->peers[*(const uint32_t *)a];
	const struct policy_peer *y = &field->peers[*(const uint32_t *)b];

	return memcmp(
	        (const char *)x + field->offset, (const char *)y + field->offset, field->size);
}

/* The written index is sorted already: only the guests are, and merged into it. */
static const uint32_t *index_merge(
        struct making *m, const uint32_t *written, size_t offset, size_t size)
{
	size_t n_all = m->full->pub.n_peers, n = m->written->n_peers, g = 0, i = 0, j = 0;
	struct field field = {m->full->pub.peers, offset, size};
	uint32_t *guests = pol_array(&m->scratch, m->n_guests, sizeof(*guests));
	uint32_t *index = pol_array(&m->keep, n_all, sizeof(*index));

	for (uint32_t k = 0; k < n_all; k++)
		if (field.peers[k].guest)
			guests[g++] = k;
	qsort_r(guests, g, sizeof(*guests), field_compare, &field);
	for (size_t k = 0; k < n_all; k++) {
		uint32_t old = i < n ? m->now[written[i]] : 0;

		if (i == n || (j < g && field_compare(&guests[j], &old, &field) < 0)) {
			index[k] = guests[j++];
		} else {
			index[k] = old;
			i++;
		}
	}
	return index;
}

static void indexes_make(struct making *m)
{
	const struct pol_full *was = (const struct pol_full *)m->written;
	const size_t key = sizeof(struct policy_key), addr = sizeof(struct policy_addr);

	m->full->by_key = index_merge(m, was->by_key, offsetof(struct policy_peer, key), key);
	if (was->by_old_key)
		m->full->by_old_key =
		        index_merge(m, was->by_old_key, offsetof(struct policy_peer, old_key), key);
	m->full->by_addr4 =
	        index_merge(m, was->by_addr4, offsetof(struct policy_peer, addr4), addr);
	m->full->by_addr6 =
	        index_merge(m, was->by_addr6, offsetof(struct policy_peer, addr6), addr);
}

/* What names peers by their places. */
static void places_move(struct making *m)
{
	const struct policy *written = m->written;
	struct policy_failover *failovers =
	        pol_array(&m->keep, written->n_failovers, sizeof(*failovers));
	struct policy_test *tests = pol_array(&m->keep, written->n_tests, sizeof(*tests));

	for (size_t i = 0; i < written->n_failovers; i++) {
		const struct policy_failover *f = &written->failovers[i];
		uint32_t *holders = pol_array(&m->keep, f->n_holders, sizeof(*holders));

		for (size_t j = 0; j < f->n_holders; j++)
			holders[j] = m->now[f->holders[j]];
		failovers[i] = *f;
		failovers[i].holders = holders;
	}
	for (size_t i = 0; i < written->n_tests; i++) {
		tests[i] = written->tests[i];
		tests[i].from = m->now[tests[i].from];
		tests[i].to = m->now[tests[i].to];
	}
	m->full->pub.failovers = failovers;
	m->full->pub.tests = tests;
}

/* What was written, and what of each guest is not in that. */
static int digest_make(const struct making *m, uint8_t digest[32])
{
	static const char label[] = "overlayd guests v1";
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	int ok;

	if (!ctx)
		return -ENOMEM;
	ok = EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) == 1 &&
	     EVP_DigestUpdate(ctx, label, sizeof(label)) == 1 &&
	     EVP_DigestUpdate(ctx, m->written->digest, sizeof(m->written->digest)) == 1;
	for (size_t i = 0; i < m->n_guests && ok; i++) {
		const struct policy_peer *guest = &m->guests[i];
		const char *token = m->written->tokens[guest->token].name;

		ok = EVP_DigestUpdate(ctx, guest->name, strlen(guest->name) + 1) == 1 &&
		     EVP_DigestUpdate(ctx, token, strlen(token) + 1) == 1 &&
		     EVP_DigestUpdate(ctx, guest->key.raw, sizeof(guest->key.raw)) == 1 &&
		     EVP_DigestUpdate(ctx, guest->addr4.bytes, 4) == 1;
	}
	ok = ok && EVP_DigestFinal_ex(ctx, digest, NULL) == 1;
	EVP_MD_CTX_free(ctx);
	return ok ? 0 : -EIO;
}

/* Runs under setjmp: what m holds is all there is. */
static int making_run(struct making *m, const struct policy_admission *const *admissions, size_t n,
        bool *used, size_t used_size)
{
	const struct pol_full *was = (const struct pol_full *)m->written;
	bool *mine;

	if (setjmp(m->oom))
		return -ENOMEM;
	mine = pol_array(&m->scratch, n, sizeof(*mine));
	candidates_take(m, admissions, n);
	guests_pick(m, mine);
	if (m->n_guests) {
		int ret;

		m->full = pol_alloc(&m->keep, sizeof(*m->full));
		m->full->pub = *m->written;
		m->full->zones = was->zones;
		m->full->role_declared = was->role_declared;
		peers_merge(m);
		indexes_make(m);
		places_move(m);
		ret = digest_make(m, m->full->pub.digest);
		if (ret)
			return ret;
	}
	if (used)
		memcpy(used, mine, used_size);
	return 0;
}

int policy_with_guests(const struct policy *policy,
        const struct policy_admission *const *admissions, size_t n, bool *used, struct policy **out)
{
	struct making *m;
	int ret;

	if (policy_written(policy) != policy)
		return -EINVAL;
	m = calloc(1, sizeof(*m));
	if (!m)
		return -ENOMEM;
	m->written = policy;
	m->keep.oom = m->scratch.oom = &m->oom;
	ret = making_run(m, admissions, n, used, n * sizeof(*used));
	if (ret == 0 && m->full) {
		m->full->arena = m->keep;
		m->full->arena.oom = NULL;
		m->full->written = policy_ref(policy);
		atomic_init(&m->full->refs, 1);
		*out = &m->full->pub;
	} else {
		pol_arena_free(&m->keep);
		if (ret == 0)
			*out = policy_ref(policy);
	}
	pol_arena_free(&m->scratch);
	free(m);
	return ret;
}

const struct policy *policy_written(const struct policy *policy)
{
	const struct pol_full *full = (const struct pol_full *)policy;

	return full && full->written ? full->written : policy;
}

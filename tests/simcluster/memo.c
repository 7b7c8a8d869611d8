/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Thousands of nodes open the same few bundles. Each distinct file is opened once, by the real
 * bundle_open(), each delta applied once and each signature verified once, and of one bundle and
 * the same guests one policy is made; the answers are remembered, failures of the first two, too.
 * Texts are kept once for all.
 */
#include "tests/simcluster/swarm.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define REMEMBERED 64 /* of each kind; then from the start */

struct piece {
	uint64_t hash;
	char *data;
	size_t len;
};

struct opened {
	struct piece file;
	struct minisign_public key;
	int ret;
	struct bundle_head head;
	struct policy *policy;
};

struct patched {
	struct piece base, delta;
	int ret;
	char *out;
	size_t out_len;
};

struct with { /* a policy with guests */
	struct policy *written, *all;
	struct policy_admission *v;
	size_t n;
	bool *used;
};

struct kept { /* one text for all who keep it */
	UT_hash_handle by_text, by_place;
	uint64_t hash;
	char *data;
	size_t len, refs;
};

struct verified { /* a good signature */
	UT_hash_handle hh;
	uint64_t hash;
	struct policy_key key;
	uint8_t sig[64];
	size_t len;
	uint8_t text[];
};

struct memo {
	struct verified *verified;
	struct kept *by_text, *by_place;
	struct opened opened[REMEMBERED];
	struct patched patched[REMEMBERED];
	struct with with[REMEMBERED];
	size_t next_opened, next_patched, next_with;
};

static uint64_t hash_more(uint64_t h, const void *data, size_t len)
{
	const uint8_t *p = data;
	uint64_t v;

	for (; len >= 8; p += 8, len -= 8) {
		memcpy(&v, p, 8);
		h = (h ^ v) * 0x9e3779b97f4a7c15ULL;
		h ^= h >> 29;
	}
	for (; len; p++, len--)
		h = (h ^ *p) * 0x100000001b3ULL;
	return h;
}

/* Of large ones the head and the signature are enough to find it; then all is compared. */
static uint64_t hash(const char *p, size_t len)
{
	uint64_t h = 0xcbf29ce484222325ULL ^ len;

	if (len <= 4096)
		return hash_more(h, p, len);
	return hash_more(hash_more(h, p, 1024), p + len - 1024, 1024);
}

static bool piece_is(const struct piece *p, uint64_t h, const char *data, size_t len)
{
	return p->data && p->hash == h && p->len == len && !memcmp(p->data, data, len);
}

static void piece_set(struct piece *p, uint64_t h, const char *data, size_t len)
{
	free(p->data);
	*p = (struct piece){h, dup_mem(data, len), len};
}

static struct opened *open_once(
        struct memo *m, const char *file, size_t len, const struct minisign_public *key)
{
	uint64_t h = hash(file, len);
	struct policy_report report;
	struct opened *o;

	for (size_t i = 0; i < REMEMBERED; i++)
		if (piece_is(&m->opened[i].file, h, file, len) &&
		        minisign_public_same(&m->opened[i].key, key))
			return &m->opened[i];
	o = &m->opened[m->next_opened++ % REMEMBERED];
	policy_unref(o->policy);
	o->policy = NULL;
	piece_set(&o->file, h, file, len);
	o->key = *key;
	policy_report_init(&report);
	o->ret = bundle_open(file, len, key, &o->head, &o->policy, &report);
	policy_report_clear(&report);
	return o;
}

static int memo_open(void *user, const char *file, size_t len, const struct minisign_public *key,
        struct bundle_head *head, struct policy **policy, struct policy_report *report)
{
	struct world *w = user;
	struct opened *o = open_once(w->memo, file, len, key);

	if (o->ret) /* the reasons are for people: they are made anew */
		return bundle_open(file, len, key, head, policy, report);
	if (head)
		*head = o->head;
	if (policy)
		*policy = policy_ref(o->policy);
	return 0;
}

static int memo_patch(void *user, const char *base, size_t base_len, const char *delta,
        size_t delta_len, char **out, size_t *out_len, char *err, size_t err_size)
{
	struct memo *m = ((struct world *)user)->memo;
	uint64_t hb = hash(base, base_len), hd = hash(delta, delta_len);
	struct patched *p = NULL;

	for (size_t i = 0; i < REMEMBERED && !p; i++)
		if (piece_is(&m->patched[i].delta, hd, delta, delta_len) &&
		        piece_is(&m->patched[i].base, hb, base, base_len))
			p = &m->patched[i];
	if (!p) {
		p = &m->patched[m->next_patched++ % REMEMBERED];
		free(p->out);
		p->out = NULL;
		piece_set(&p->base, hb, base, base_len);
		piece_set(&p->delta, hd, delta, delta_len);
		p->ret = bundle_patch(
		        base, base_len, delta, delta_len, &p->out, &p->out_len, NULL, 0);
	}
	if (p->ret)
		return bundle_patch(base, base_len, delta, delta_len, out, out_len, err, err_size);
	*out = need(malloc(p->out_len + 1));
	memcpy(*out, p->out, p->out_len);
	(*out)[p->out_len] = '\0';
	*out_len = p->out_len;
	return 0;
}

static bool same_admission(const struct policy_admission *a, const struct policy_admission *b)
{
	uint8_t x[POLICY_ADMISSION_MAX], y[POLICY_ADMISSION_MAX];

	return !memcmp(a->by_seed, b->by_seed, sizeof(a->by_seed)) &&
	       policy_admission_print(a, x) == policy_admission_print(b, y) &&
	       !memcmp(x, y, policy_admission_print(a, x));
}

static bool with_is(const struct with *p, const struct policy *written,
        const struct policy_admission *const *v, size_t n)
{
	if (p->written != written || p->n != n)
		return false;
	for (size_t i = 0; i < n; i++)
		if (!same_admission(&p->v[i], v[i]))
			return false;
	return true;
}

static void with_clear(struct with *p)
{
	policy_unref(p->written);
	policy_unref(p->all);
	free(p->v);
	free(p->used);
	*p = (struct with){0};
}

static struct with *with_make(struct memo *m, const struct policy *written,
        const struct policy_admission *const *v, size_t n)
{
	struct with *p = &m->with[m->next_with++ % REMEMBERED];

	with_clear(p);
	p->v = need(calloc(n + 1, sizeof(*p->v)));
	p->used = need(calloc(n + 1, sizeof(*p->used)));
	for (size_t i = 0; i < n; i++)
		p->v[i] = *v[i];
	if (policy_with_guests(written, v, n, p->used, &p->all))
		abort();
	p->written = policy_ref(written);
	p->n = n;
	return p;
}

static int memo_guests(void *user, const struct policy *written,
        const struct policy_admission *const *v, size_t n, bool *used, struct policy **out)
{
	struct memo *m = ((struct world *)user)->memo;
	struct with *p = NULL;

	for (size_t i = 0; i < REMEMBERED && !p; i++)
		if (with_is(&m->with[i], written, v, n))
			p = &m->with[i];
	if (!p)
		p = with_make(m, written, v, n);
	if (used && n)
		memcpy(used, p->used, n * sizeof(*used));
	*out = policy_ref(p->all);
	return 0;
}

static int memo_verify(void *user, const struct policy_key *key, const void *text, size_t len,
        const uint8_t sig[64])
{
	struct memo *m = ((struct world *)user)->memo;
	struct node *n = ((struct world *)user)->stepping;
	uint64_t h = hash_more(hash_more(len, text, len), sig, 64);
	struct verified *v;
	int ret;

	n->n_verified += len > 18 && (!memcmp(text, "overlayd token v1\n", 18) ||
	                                     !memcmp(text, "overlayd admission", 18));
	HASH_FIND(hh, m->verified, &h, sizeof(h), v);
	if (v && v->len == len && !memcmp(v->text, text, len) && !memcmp(v->sig, sig, 64) &&
	        !memcmp(&v->key, key, sizeof(*key)))
		return 0;
	ret = policy_key_verify(key, text, len, sig);
	if (ret || v)
		return ret;
	v = need(malloc(sizeof(*v) + len));
	v->hash = h;
	v->key = *key;
	v->len = len;
	memcpy(v->sig, sig, 64);
	memcpy(v->text, text, len);
	HASH_ADD(hh, m->verified, hash, sizeof(v->hash), v);
	return 0;
}

static const char *memo_keep(void *user, const char *file, size_t len)
{
	struct memo *m = ((struct world *)user)->memo;
	uint64_t h = hash(file, len);
	struct kept *k;

	HASH_FIND(by_text, m->by_text, &h, sizeof(h), k);
	while (k && (k->len != len || memcmp(k->data, file, len))) {
		h++; /* another of the same hash */
		HASH_FIND(by_text, m->by_text, &h, sizeof(h), k);
	}
	if (k) {
		k->refs++;
		return k->data;
	}
	k = need(calloc(1, sizeof(*k)));
	k->hash = h;
	k->data = need(malloc(len + 1));
	memcpy(k->data, file, len);
	k->data[len] = '\0';
	k->len = len;
	k->refs = 1;
	HASH_ADD(by_text, m->by_text, hash, sizeof(k->hash), k);
	HASH_ADD_KEYPTR(by_place, m->by_place, &k->data, sizeof(k->data), k);
	return k->data;
}

static void memo_drop(void *user, const char *file, size_t len)
{
	struct memo *m = ((struct world *)user)->memo;
	struct kept *k;
	(void)len;

	HASH_FIND(by_place, m->by_place, &file, sizeof(file), k);
	if (!k)
		abort(); /* it was never kept */
	if (--k->refs)
		return;
	HASH_DELETE(by_text, m->by_text, k);
	HASH_DELETE(by_place, m->by_place, k);
	free(k->data);
	free(k);
}

struct cluster_hooks memo_hooks(struct world *w)
{
	if (!w->memo)
		w->memo = need(calloc(1, sizeof(*w->memo)));
	return (struct cluster_hooks){.open = memo_open,
	        .patch = memo_patch,
	        .guests = memo_guests,
	        .verify = memo_verify,
	        .keep = memo_keep,
	        .drop = memo_drop,
	        .user = w};
}

void memo_free(struct memo *m)
{
	struct verified *v, *after;

	if (!m)
		return;
	for (size_t i = 0; i < REMEMBERED; i++) {
		free(m->opened[i].file.data);
		policy_unref(m->opened[i].policy);
		free(m->patched[i].base.data);
		free(m->patched[i].delta.data);
		free(m->patched[i].out);
		with_clear(&m->with[i]);
	}
	HASH_ITER(hh, m->verified, v, after) {
		HASH_DELETE(hh, m->verified, v);
		free(v);
	}
	if (m->by_text)
		abort(); /* somebody did not drop what it kept */
	free(m);
}

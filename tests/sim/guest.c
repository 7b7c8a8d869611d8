/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "tests/sim/guest.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "policy/ticket.h"
#include "tests/sim/grant.h"

#define TOKEN "tk"
#define EXCEPT_MAX 8
#define SEED_LABEL "overlayd admission v1\n"
#define BURST 12

struct guests {
	uint8_t secret[32];
	struct policy_key key;
	bool in;
	uint32_t count, roles;
	int64_t until; /* 0: far away */
	struct policy_key except[EXCEPT_MAX];
	size_t n_except;
	bool stolen;
	struct grant *issued;
	size_t n_issued;
	struct policy_key ghost; /* the last that asked with it, and is no node */
	uint8_t ghost_secret[32];
};

static void sign(const uint8_t secret[32], const void *words, size_t len, uint8_t sig[64])
{
	EVP_PKEY *key = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, secret, 32);
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	size_t sig_len = 64;

	if (!key || !ctx || EVP_DigestSignInit(ctx, NULL, NULL, NULL, key) != 1 ||
	        EVP_DigestSign(ctx, sig, &sig_len, words, len) != 1)
		abort();
	EVP_MD_CTX_free(ctx);
	EVP_PKEY_free(key);
}

/* Unless the token never said so. */
static void issue(struct world *w, const struct policy_admission *a, const struct policy_key *seed)
{
	struct guests *g = w->guests;
	uint8_t words[POLICY_ADMISSION_WORDS_MAX];

	if (policy_key_verify(&g->key, words, policy_admission_words_token(a, words), a->by_token))
		return;
	g->issued = need(realloc(g->issued, (g->n_issued + 1) * sizeof(*g->issued)));
	g->issued[g->n_issued++] = (struct grant){*a, g->key, *seed};
}

/* ---- the admin ---- */

void guest_print(struct world *w, FILE *f)
{
	static const char *const roles[] = {"alpha", "beta", "gamma"};
	struct guests *g = w->guests;
	char text[POLICY_FINGERPRINT_LEN + 64];
	time_t until;
	struct tm tm;

	if (!g || !g->in)
		return;
	policy_key_print(&g->key, text, sizeof(text));
	fprintf(f, "tokens:\n  " TOKEN ": { key: \"%s\", site: s, roles: [", text);
	for (int r = 0, n = 0; r < 3; r++)
		if (g->roles >> r & 1)
			fprintf(f, "%s%s", n++ ? ", " : "", roles[r]);
	until = (time_t)(g->until ? g->until : EPOCH_S + 40LL * 366 * 86400);
	gmtime_r(&until, &tm);
	strftime(text, sizeof(text), "%Y-%m-%dT%H:%MZ", &tm);
	fprintf(f, "], range: 10.77.8.0/24, count: %u, until: %s, except: [", g->count, text);
	for (size_t i = 0; i < g->n_except; i++) {
		policy_key_fingerprint(&g->except[i], text);
		fprintf(f, "%s\"%s\"", i ? ", " : "", text);
	}
	fputs("] }\n", f);
}

static void except(struct guests *g, const struct policy_key *key)
{
	for (size_t i = 0; i < g->n_except; i++)
		if (!memcmp(&g->except[i], key, sizeof(*key)))
			return;
	if (g->n_except < EXCEPT_MAX)
		g->except[g->n_except++] = *key;
}

void guest_change(struct world *w)
{
	struct guests *g = w->guests;

	if (!g || !chance(w, 0.4))
		return;
	switch (rnd_below(w, 7)) {
	case 0:
		g->in = !g->in;
		return;
	case 6: /* another of the same name: whom the first one let in is a stranger to it */
		session_key(w, g->secret, g->key.raw);
		return;
	case 1: /* revoked: it comes back with another key, if it comes */
		if (g->n_issued)
			except(g, &g->issued[rnd_below(w, g->n_issued)].a.key);
		return;
	case 2:
		g->n_except = 0;
		return;
	case 3:
		g->until = g->until ? 0
		                    : EPOCH_S + w->core.now / US + 60 + (int64_t)rnd_below(w, 1200);
		return;
	case 4:
		g->count = 1 + (uint32_t)rnd_below(w, 8);
		return;
	case 5:
		g->roles = 1U + (uint32_t)rnd_below(w, 7);
		return;
	}
}

void guest_calm(struct world *w)
{
	struct guests *g = w->guests;

	if (!g)
		return;
	g->in = true;
	g->until = 0;
	g->n_except = 0;
	g->count = 250;
}

/* ---- the newcomer's host ---- */

bool guest_ticket(struct world *w, struct policy_ticket *t)
{
	if (!w->guests)
		return false;
	t->has_token = true;
	snprintf(t->token, sizeof(t->token), TOKEN);
	memcpy(t->secret, w->guests->secret, sizeof(t->secret));
	return true;
}

void guest_vouch(struct world *w, struct join_request *r)
{
	struct policy_admission a = {.key = r->key};
	uint8_t words[POLICY_ADMISSION_WORDS_MAX];

	memcpy(a.cluster, r->cluster, sizeof(a.cluster));
	memcpy(a.token, r->token, sizeof(a.token));
	memcpy(a.name, r->name, sizeof(a.name));
	sign(w->guests->secret, words, policy_admission_words_token(&a, words), r->by_token);
}

bool guest_is_lost(struct world *w, const struct node *n)
{
	struct engine_view v;

	if (!w->guests || !n->engine)
		return false;
	engine_look(n->engine, &v);
	return !v.self;
}

/* ---- the seed's host ---- */

struct signing {
	uint64_t epoch, id;
	int key;
	uint8_t record[POLICY_ADMISSION_MAX];
	size_t len;
};

static void revive(struct world *w, struct node *n, void *data)
{
	(void)data;
	if (!n->engine)
		host_start(w, n);
}

static void dies(struct world *w, struct node *n, void *data)
{
	(void)data;
	host_kill(w, n);
	at(w, w->core.now + rnd_us(w, 100000, 20 * US), n, revive, NULL);
}

static void signed_now(struct world *w, struct node *n, void *data)
{
	struct signing *s = data;
	struct engine_event ev = {.type = ENGINE_EV_ADMIT_SIGNED};
	uint8_t words[POLICY_ADMISSION_WORDS_MAX];
	struct policy_admission a;
	size_t label = strlen(SEED_LABEL);

	if (!n->engine || n->epoch != s->epoch)
		return;
	memcpy(words, SEED_LABEL, label);
	memcpy(words + label, s->record, s->len);
	ev.admit_signed.effect_id = s->id;
	sign(n->secrets[s->key], words, label + s->len, ev.admit_signed.by_seed);
	memcpy(s->record + s->len, ev.admit_signed.by_seed, 64);
	if (policy_admission_parse(s->record, s->len + 64, &a))
		broken(w, "design 8", "%s: it signs what is no admission", n->name);
	else
		issue(w, &a, &n->keys[s->key]);
	host_event(w, n, &ev);
}

/* It lets nobody in beyond the count, as far as it knows of guests. */
static void check_room(struct world *w, struct node *n)
{
	const struct policy_token *t;
	struct engine_view v;
	size_t guests = 0;

	engine_look(n->engine, &v);
	t = v.policy ? grant_token(v.policy, TOKEN) : NULL;
	for (size_t i = 0; t && i < v.policy->n_peers; i++)
		guests += v.policy->peers[i].guest;
	if (!t || guests + t->n_except >= t->count)
		broken(w, "design 8", "%s: it lets somebody in, and knows of %zu already", n->name,
		        guests);
}

void guest_sign(struct world *w, struct node *n, const struct engine_effect *fx)
{
	struct signing s = {.epoch = n->epoch, .id = fx->id, .key = n->told_key};
	size_t label = strlen(SEED_LABEL);

	check_room(w, n);
	if (!w->guests || fx->admit.len <= label || fx->admit.len - label + 64 > sizeof(s.record) ||
	        memcmp(fx->admit.words, SEED_LABEL, label)) {
		broken(w, "design 8", "%s: it signs what is no admission", n->name);
		return;
	}
	s.len = fx->admit.len - label;
	memcpy(s.record, fx->admit.words + label, s.len);
	if (trouble(w, 0.1))
		host_result(w, n, w->core.now + 1000, fx->id, -EIO);
	else if (!trouble(w, 0.05))
		at(w, w->core.now + rnd_us(w, 100, 20000), n, signed_now, dup_mem(&s, sizeof(s)));
	if (trouble(w, 0.2)) /* between signing and storing, or a little before or after */
		at(w, w->core.now + rnd_us(w, 100, 60000), n, dies, NULL);
}

struct storing {
	uint64_t epoch, id;
	int error;
	size_t len;
	uint8_t data[];
};

static void stored(struct world *w, struct node *n, void *data)
{
	struct storing *s = data;
	bool lives = n->engine && n->epoch == s->epoch;

	if (!s->error && n->epoch == s->epoch && (lives || chance(w, 0.5))) {
		free(n->guests);
		n->guests = dup_mem(s->data, s->len);
		n->n_guests = s->len;
	}
	if (lives)
		host_result(w, n, w->core.now, s->id, s->error);
}

void guest_store(struct world *w, struct node *n, const struct engine_effect *fx)
{
	size_t len = fx->admissions.len;
	struct storing *s;

	if (!w->guests) {
		broken(w, "engine.h", "%s: keeps guests, and no policy has tokens", n->name);
		return;
	}
	s = need(calloc(1, sizeof(*s) + len));
	s->epoch = n->epoch;
	s->id = fx->id;
	s->error = trouble(w, 0.2) ? -ENOSPC : 0;
	s->len = len;
	if (len)
		memcpy(s->data, fx->admissions.data, len);
	if (n->disk_at < w->core.now)
		n->disk_at = w->core.now;
	n->disk_at += rnd_us(w, 1000, trouble(w, 0.1) ? 5 * US : 50000);
	at(w, n->disk_at, n, stored, s);
}

void guest_start(struct world *w, struct node *n)
{
	struct engine_event ev = {.type = ENGINE_EV_ADMISSIONS};

	if (!w->guests || !n->n_guests)
		return;
	ev.admissions.data = n->guests;
	ev.admissions.len = n->n_guests;
	host_event(w, n, &ev);
}

void guest_check_answer(struct world *w, struct node *n, const struct join_answer *a)
{
	for (size_t i = 0; i < a->n_admissions; i++)
		if (!n->n_guests || !memmem(n->guests, n->n_guests, a->admissions[i].data,
		                            a->admissions[i].len))
			broken(w, "rule 9", "%s: says MEMBER, and would forget it if it died now",
			        n->name);
	w->n_let_in += a->n_admissions;
}

/* Signed by that seed, but beyond what the token grants. */
static void overdo(struct world *w, struct node *n, struct policy_admission *a)
{
	uint8_t words[POLICY_ADMISSION_WORDS_MAX];

	switch (rnd_below(w, 3)) {
	case 0:
		a->number = 5000 + (uint32_t)rnd_below(w, 100);
		break;
	case 1:
		a->addr4.bytes[2] = 0; /* a node's, maybe */
		a->addr4.bytes[3] = (uint8_t)(1 + rnd_below(w, 10));
		break;
	case 2:
		a->addr4.bytes[2] = 200;
		break;
	}
	sign(n->secrets[n->told_key], words, policy_admission_words_seed(a, words), a->by_seed);
}

void guest_lie(struct world *w, struct node *n, uint8_t record[JOIN_ADMISSION_MAX], size_t *len)
{
	struct policy_admission a;

	if (!*len || policy_admission_parse(record, *len, &a))
		return;
	switch (rnd_below(w, 4)) {
	case 0:
		record[rnd_below(w, *len)] ^= (uint8_t)(1 + rnd_below(w, 255));
		return;
	case 1:
		*len = rnd_below(w, *len);
		return;
	case 2: /* somebody else's */
		a = w->guests->issued[rnd_below(w, w->guests->n_issued)].a;
		break;
	case 3:
		overdo(w, n, &a);
		break;
	}
	*len = policy_admission_print(&a, record);
}

/* ---- the rules ---- */

void guest_look(struct world *w, struct node *n)
{
	const struct policy *p = n->force >= 0 ? w->bundles[n->force].parsed : NULL;
	struct engine_view v;

	engine_look(n->engine, &v);
	for (size_t i = 0; v.policy && i < v.policy->n_peers && !w->core.rule; i++) {
		const struct policy_peer *pp = &v.policy->peers[i];
		bool good = false;

		if (!pp->guest)
			continue;
		for (size_t j = 0; p && w->guests && j < w->guests->n_issued && !good; j++)
			good = grant_fits(p, pp, &w->guests->issued[j]) &&
			       grant_is_all(v.policy, pp, grant_token(p, TOKEN)) &&
			       !grant_peer(p, pp->name);
		if (!good)
			broken(w, "rules 2 and 3",
			        "%s: the guest %s is in force, and bundle %d grants it not",
			        n->name, pp->name, n->force);
	}
}

static bool was_guest(const struct policy *p, const struct elem *el)
{
	for (size_t i = 0; i < p->n_peers; i++)
		if (p->peers[i].guest && !strcmp(p->peers[i].name, el->peer) &&
		        same_addr(&p->peers[i].addr4, &el->a4))
			return true;
	return false;
}

void guest_check(struct world *w, struct node *n)
{
	for (size_t i = 0; w->guests && i < n->kernel.n_elems; i++) {
		const struct elem *el = &n->kernel.elems[i];
		bool good = el->a4.bytes[1] != 77 || el->a4.bytes[2] != 8;

		for (size_t j = n->n_held; j-- > 0 && !good && n->held[j].to >= n->ref;)
			good = was_guest(n->held[j].policy, el);
		if (!good)
			broken(w, "rule 2",
			        "%s: the firewall admits %s, and no policy in force does", n->name,
			        el->peer);
	}
}

const struct policy *guest_final(struct world *w)
{
	const struct policy *all = NULL;

	for (int i = 0; i < w->n_nodes && w->guests; i++) {
		struct engine_view v;

		engine_look(w->nodes[i].engine, &v);
		if (!v.self || !v.self_active ||
		        memcmp(policy_written(v.policy)->digest, w->policy->digest, 32))
			continue;
		if (all && memcmp(all->digest, v.policy->digest, 32))
			broken(w, "settling", "%s: at the end it has other guests than others",
			        w->nodes[i].name);
		all = v.policy;
	}
	return all ? all : w->policy;
}

/* ---- newcomers that lie ---- */

struct liar {
	uint64_t call, epoch;
	uint32_t sa;
	struct policy_addr inner;
	struct join_request request;
	uint8_t nonce[32];
};

/* With the token, if it was stolen; or as if. */
static void claim(struct world *w, struct join_request *r, struct policy_key *key)
{
	struct guests *g = w->guests;
	const struct node *victim = &w->nodes[rnd_below(w, (uint64_t)w->n_nodes)];

	snprintf(r->name, sizeof(r->name), "x%d", (int)rnd_below(w, 1000));
	if (chance(w, 0.2))
		snprintf(r->name, sizeof(r->name), "%s", victim->name);
	if (chance(w, 0.2)) /* who holds it could prove it, and does not ask */
		*key = victim->keys[victim->key];
	r->key = *key;
	if (chance(w, 0.7))
		snprintf(r->token, sizeof(r->token), TOKEN);
	if (r->token[0] && g->stolen && chance(w, 0.7))
		guest_vouch(w, r);
	else if (g->n_issued && chance(w, 0.5)) /* what it said for somebody else */
		memcpy(r->by_token, g->issued[rnd_below(w, g->n_issued)].a.by_token, 64);
}

static void lies(struct world *w, struct node *n, void *data)
{
	struct liar *l = data;
	struct engine_event ev = {.type = ENGINE_EV_JOIN_CALL};

	if (!n->engine || n->epoch != l->epoch || !n->serves || !charon_join_has(n, l->sa))
		return;
	ev.join_call.id = l->call;
	ev.join_call.from = l->inner;
	memcpy(ev.join_call.nonce, l->nonce, 32);
	ev.join_call.request = &l->request;
	host_event(w, n, &ev);
}

static void lie_begin(struct world *w, struct node *n)
{
	struct guests *g = w->guests;
	struct liar l = {.epoch = n->epoch, .inner = w->policy->overlay6.addr};
	struct policy_key seed_key = n->keys[n->told_key];
	uint8_t words[JOIN_WORDS_MAX];
	bool proven;

	l.inner.bytes[14] = 0x10 + (uint8_t)rnd_below(w, 16);
	l.inner.bytes[15] = (uint8_t)rnd(w);
	if (chance(w, 0.7)) /* or it is the last one again */
		session_key(w, g->ghost_secret, g->ghost.raw);
	l.request.key = g->ghost;
	snprintf(l.request.cluster, sizeof(l.request.cluster), "sim");
	claim(w, &l.request, &l.request.key);
	for (int i = 0; i < 32; i++)
		l.request.nonce[i] = l.nonce[i] = (uint8_t)rnd(w);
	if (join_request_words(&l.request, &w->secret.pub, &seed_key, l.nonce, words))
		return;
	proven = !memcmp(&l.request.key, &g->ghost, sizeof(g->ghost)) && chance(w, 0.9);
	if (proven)
		sign(g->ghost_secret, words, sizeof(words), l.request.signature);
	l.call = join_stranger(w, n, &l.request.key, proven, &l.sa, &l.inner);
	at(w, w->core.now + rnd_us(w, 1, 20000), n, lies, dup_mem(&l, sizeof(l)));
}

static void pester(struct world *w, struct node *unused, void *data)
{
	struct node *n = &w->nodes[rnd_below(w, (uint64_t)w->n_nodes)];
	int times = chance(w, 0.05) ? BURST : 1;
	(void)unused;
	(void)data;

	if (w->core.calm)
		return;
	while (times-- && n->engine && n->serves_open && n->charon.up)
		lie_begin(w, n);
	at(w, w->core.now + rnd_us(w, 100000, 40 * US), NULL, pester, NULL);
}

/* ---- beginning and end ---- */

void guest_mode(struct world *w)
{
	struct guests *g = w->guests = need(calloc(1, sizeof(*w->guests)));

	session_key(w, g->secret, g->key.raw);
	g->in = true;
	g->count = 1 + (uint32_t)rnd_below(w, 6);
	g->roles = 1U + (uint32_t)rnd_below(w, 7);
	g->stolen = chance(w, 0.5);
	at(w, 20 * US, NULL, pester, NULL);
}

size_t guest_room(const struct world *w)
{
	return w->guests ? 65536 + 8192 * w->guests->n_issued : 0;
}

void guest_free(struct world *w)
{
	for (int i = 0; i < w->n_nodes; i++)
		free(w->nodes[i].guests);
	if (w->guests)
		free(w->guests->issued);
	free(w->guests);
}

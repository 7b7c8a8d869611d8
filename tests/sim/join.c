/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Newcomers in signed mode: the last node of some worlds begins as a stranger with a ticket. Its host
 * asks seeds over join SAs that break, seeds that die and seeds that lie; the admin approves whom a
 * seed has pending, or somebody whom none has. All that may be in force at it is what he signed, and
 * once the trouble is over it is a member as any other.
 */
#include "tests/sim/sim.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "policy/ticket.h"
#include "tests/sim/guest.h"

#define ASK_MAX 4096

/* One JOIN_ASK, from the newcomer's host to its end. */
struct fask {
	int from, seed;
	uint64_t epoch, id; /* of the newcomer, of the effect */
	uint64_t seed_epoch, call;
	uint32_t sa; /* at the seed; 0: none */
	struct policy_key pinned;
	struct policy_addr inner;
	struct join_request request;
	uint8_t nonce[32];
	bool over;
	bool proven; /* it signed with the key that it names */
};

struct joins {
	struct fask asks[ASK_MAX];
	uint64_t n;
	struct policy_ticket ticket;
};

static struct fask *ask_of(struct world *w, uint64_t call)
{
	struct fask *a = call ? &w->joins->asks[call % ASK_MAX] : NULL;

	return a && a->call == call ? a : NULL;
}

/* ---- tickets ---- */

static void give(struct world *w, struct node *n)
{
	struct engine_event ev = {.type = ENGINE_EV_TICKET};

	ev.ticket.ticket = &w->joins->ticket;
	ev.ticket.name = n->name;
	ev.ticket.site = "s";
	n->ticket = true;
	if (n->engine)
		host_event(w, n, &ev);
}

/* The seeds that there are now; an admin makes one where there is none. */
static void ticket_new(struct world *w, struct node *n, void *data)
{
	struct policy_ticket new = {.port = 0}, *t = &new;
	(void)data;

	if (!n->stranger && !guest_is_lost(w, n))
		return;
	snprintf(t->cluster, sizeof(t->cluster), "sim");
	t->port = 4500;
	t->cluster_key = w->secret.pub;
	for (int i = 0; i < n->index; i++) {
		struct policy_ticket_seed *s = &t->seeds[t->n_seeds];

		if (!w->members[i].in || !w->members[i].seed ||
		        t->n_seeds == POLICY_TICKET_SEEDS_MAX)
			continue;
		snprintf(s->name, sizeof(s->name), "n%d", i);
		snprintf(s->host, sizeof(s->host), "192.0.2.%d", i + 1);
		s->key = w->nodes[i].keys[w->members[i].key];
		t->n_seeds++;
	}
	if (!t->n_seeds)
		return; /* it keeps the one that it has */
	guest_ticket(w, t);
	w->joins->ticket = new;
	give(w, n);
}

/* ---- the newcomer's host ---- */

static void answer(struct world *w, struct fask *a, int error, const struct join_answer *said)
{
	struct engine_event ev = {.type = ENGINE_EV_JOIN_ANSWERED};
	struct node *n;

	if (a->over)
		return;
	a->over = true;
	n = &w->nodes[a->from];
	if (!n->engine || n->epoch != a->epoch)
		return;
	ev.join_answered.effect_id = a->id;
	ev.join_answered.error = error;
	ev.join_answered.answer = error ? NULL : said;
	host_event(w, n, &ev);
}

static void gave_up(struct world *w, struct node *n, void *data)
{
	struct fask *a = ask_of(w, *(uint64_t *)data);
	(void)n;

	if (!a)
		return;
	charon_join_end(w, &w->nodes[a->seed], a->sa);
	answer(w, a, -ETIMEDOUT, NULL);
}

static void sign(const struct node *n, struct fask *a, const struct minisign_public *key,
        const struct policy_key *seed)
{
	EVP_PKEY *pkey =
	        EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, n->secrets[n->told_key], 32);
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	uint8_t words[JOIN_WORDS_MAX];
	size_t len = 64;

	if (!pkey || !ctx || join_request_words(&a->request, key, seed, a->nonce, words) ||
	        EVP_DigestSignInit(ctx, NULL, NULL, NULL, pkey) != 1 ||
	        EVP_DigestSign(ctx, a->request.signature, &len, words, sizeof(words)) != 1)
		abort();
	EVP_MD_CTX_free(ctx);
	EVP_PKEY_free(pkey);
}

/* The join SA is up: the request goes through it. */
static void called(struct world *w, struct node *n, void *data)
{
	struct fask *a = ask_of(w, *(uint64_t *)data);
	struct engine_event ev = {.type = ENGINE_EV_JOIN_CALL};

	if (!a || a->over || !n->engine || !n->serves || !charon_join_has(n, a->sa))
		return;
	a->seed_epoch = n->epoch;
	ev.join_call.id = a->call;
	ev.join_call.from = a->inner;
	memcpy(ev.join_call.nonce, a->nonce, 32);
	ev.join_call.request = &a->request;
	host_event(w, n, &ev);
}

static void arrived(struct world *w, struct node *n, void *data)
{
	struct fask *a = ask_of(w, *(uint64_t *)data);

	if (!a || a->over)
		return;
	if (!n->charon.up || !n->charon.has_key || trouble(w, 0.2))
		return; /* nobody answers; the host gives up */
	if (memcmp(&n->charon.key, &a->pinned, 32) || !n->serves_open) {
		answer(w, a, n->serves_open ? -EKEYREJECTED : -ECONNREFUSED, NULL);
		return;
	}
	a->sa = charon_join_begin(w, n, a->from, &a->inner);
	if (!trouble(w, 0.1))
		at(w, w->core.now + rnd_us(w, 1, 20000), n, called, dup_mem(data, 8));
}

static void ask(struct world *w, struct node *n, const struct engine_effect *fx)
{
	const struct engine_join_ask *want = fx->join_ask;
	uint64_t call = ++w->joins->n;
	struct fask *a = &w->joins->asks[call % ASK_MAX];
	struct node *seed = &w->nodes[atoi(want->seed + 1)];

	*a = (struct fask){.from = n->index,
	        .seed = seed->index,
	        .epoch = n->epoch,
	        .id = fx->id,
	        .call = call,
	        .inner = want->pool.addr,
	        .pinned = want->key,
	        .request = want->request};
	a->inner.bytes[15] = (uint8_t)call;
	for (int i = 0; i < 32; i++) {
		a->nonce[i] = (uint8_t)rnd(w);
		a->request.nonce[i] = (uint8_t)rnd(w);
	}
	if (a->request.token[0])
		guest_vouch(w, &a->request);
	a->proven = true;
	sign(n, a, &want->cluster_key, &want->key);
	w->n_asks++;
	at(w, w->core.now + rnd_us(w, 5 * US, 19 * US), n, gave_up, dup_mem(&call, 8));
	at(w, w->core.now + rnd_us(w, 1000, US), seed, arrived, dup_mem(&call, 8));
}

/* ---- the seed's host ---- */

struct post {
	uint64_t call;
	enum join_status status;
	uint32_t retry_s;
	uint8_t record[JOIN_ADMISSION_MAX];
	size_t record_len;
	size_t len;
	char file[];
};

static void posted(struct world *w, struct node *n, void *data)
{
	struct post *p = data;
	struct fask *a = ask_of(w, p->call);
	struct join_answer said = {.status = p->status,
	        .text = "",
	        .retry_s = p->retry_s,
	        .file = p->file,
	        .len = p->len};
	struct join_record record = {p->record, p->record_len};
	(void)n;

	said.admissions = &record;
	said.n_admissions = p->record_len > 0;

	if (!a)
		return;
	charon_join_end(w, &w->nodes[a->seed], a->sa);
	answer(w, a, 0, &said);
}

/* A seed can say what it wants: an old bundle, one of its own making, that we are a member. */
static void lie(struct world *w, struct node *n, struct post *p)
{
	const struct fbundle *b = &w->bundles[rnd_below(w, (uint64_t)w->n_bundles)];

	w->n_lies++;
	p->status = JOIN_MEMBER;
	if (p->record_len && chance(w, 0.7)) {
		guest_lie(w, n, p->record, &p->record_len);
		return;
	}
	switch (rnd_below(w, 3)) {
	case 0:
		if (p->len)
			p->file[rnd_below(w, p->len)] ^= 4;
		return;
	case 1:
		p->len /= 2;
		return;
	case 2:
		if (b->len <= p->len)
			memcpy(p->file, b->file, p->len = b->len);
		return;
	}
}

static void say_answer(struct world *w, struct node *n, const struct engine_join_answer_fx *fx)
{
	struct fask *a = ask_of(w, fx->call);
	size_t room = fx->answer.len + 16384;
	struct engine_view v;
	struct post *p;

	if (!a || a->seed != n->index || a->seed_epoch != n->epoch)
		return;
	p = calloc(1, sizeof(*p) + room);
	if (!p)
		abort();
	p->call = fx->call;
	p->status = fx->answer.status;
	p->retry_s = fx->answer.retry_s;
	p->len = fx->answer.len;
	if (p->len)
		memcpy(p->file, fx->answer.file, p->len);
	if (fx->answer.n_admissions) {
		p->record_len = fx->answer.admissions[0].len;
		memcpy(p->record, fx->answer.admissions[0].data, p->record_len);
		guest_check_answer(w, n, &fx->answer);
	}
	engine_look(n->engine, &v);
	if (fx->answer.len && !a->proven)
		broken(w, "design 8", "%s: it shows the policy to who proved no key", n->name);
	if (fx->answer.len && !policy_peer_by_key(v.policy, &a->request.key))
		broken(w, "design 8", "%s: it shows the policy to who is no member", n->name);
	if (w->n_bundles && trouble(w, 0.3))
		lie(w, n, p);
	if (trouble(w, 0.1))
		free(p); /* the connection broke */
	else
		at(w, w->core.now + rnd_us(w, 1000, US), n, posted, p);
}

/* The admin sees it, and compares fingerprints. */
static void approve(struct world *w, struct node *n, void *data)
{
	struct engine_pending_view v;
	(void)data;

	for (size_t i = 0; n->engine && !engine_pending_at(n->engine, i, &v); i++) {
		int who = v.name[0] == 'n' ? atoi(v.name + 1) : NODES_MAX;

		if (who >= w->n_nodes || w->members[who].in ||
		        memcmp(&v.key, &w->nodes[who].keys[w->nodes[who].key], 32))
			continue;
		admin_approve(w, who);
		return;
	}
}

/* ---- effects ---- */

struct kept {
	uint64_t epoch, id;
	bool key;
};

static void kept(struct world *w, struct node *n, void *data)
{
	const struct kept *k = data;

	if (!n->engine || n->epoch != k->epoch)
		return;
	if (k->key)
		n->stranger = false;
	else
		n->ticket = false;
	host_result(w, n, w->core.now, k->id, 0);
}

static void keep(struct world *w, struct node *n, const struct engine_effect *fx)
{
	struct kept k = {n->epoch, fx->id, fx->type == ENGINE_FX_CLUSTER_KEY};

	if (k.key && !minisign_public_same(&fx->cluster_key, &w->secret.pub))
		broken(w, "rule 4", "%s: it keeps another cluster's key", n->name);
	if (!k.key && (n->stranger || n->disk < 0))
		broken(w, "rule 9", "%s: it forgets its ticket before it keeps the rest", n->name);
	if (trouble(w, 0.2))
		host_result(w, n, w->core.now + 1000, fx->id, -ENOSPC);
	else
		at(w, w->core.now + rnd_us(w, 1000, 50000), n, kept, dup_mem(&k, sizeof(k)));
}

static void serve(struct world *w, struct node *n, const struct engine_effect *fx)
{
	int error = trouble(w, 0.05) ? -EIO : 0;

	if (fx->join_serve.on && !w->joins)
		broken(w, "join", "%s: joins are served, and the policy says no", n->name);
	if (!error) {
		n->serves = fx->join_serve.on;
		n->serves_open = fx->join_serve.on && fx->join_serve.open && n->charon.up;
	}
	if (!error && !n->serves)
		charon_join_end_all(w, n);
	if (!trouble(w, 0.02))
		host_result(w, n, w->core.now + rnd_us(w, 1000, 20000), fx->id, error);
}

void join_do(struct world *w, struct node *n, const struct engine_effect *fx)
{
	if (fx->type == ENGINE_FX_JOIN_SERVE) {
		serve(w, n, fx);
	} else if (!w->joins) {
		broken(w, "join", "%s: it speaks of joining", n->name);
	} else if (fx->type == ENGINE_FX_JOIN_ASK) {
		ask(w, n, fx);
	} else if (fx->type == ENGINE_FX_JOIN_ANSWER) {
		say_answer(w, n, &fx->join_answer);
		if (fx->join_answer.answer.status == JOIN_PENDING)
			at(w, w->core.now + rnd_us(w, US, 60 * US), n, approve, NULL);
	} else if (fx->type == ENGINE_FX_ADMIT_SIGN) {
		guest_sign(w, n, fx);
	} else if (fx->type == ENGINE_FX_JOIN_STOP) {
		for (size_t i = 0; i < ASK_MAX; i++)
			if (w->joins->asks[i].id == fx->join_stop &&
			        w->joins->asks[i].from == n->index)
				w->joins->asks[i].over = true;
	} else {
		keep(w, n, fx);
	}
}

uint64_t join_stranger(struct world *w, struct node *seed, const struct policy_key *key,
        bool proven, uint32_t *sa, const struct policy_addr *inner)
{
	uint64_t call = ++w->joins->n;
	struct fask *a = &w->joins->asks[call % ASK_MAX];

	*a = (struct fask){.from = -1,
	        .seed = seed->index,
	        .call = call,
	        .seed_epoch = seed->epoch,
	        .over = true, /* nobody waits for what comes of it */
	        .proven = proven};
	a->request.key = *key;
	a->sa = *sa = charon_join_begin(w, seed, EVIL + 1 + (int)rnd_below(w, 200), inner);
	return call;
}

/* ---- beginning and end ---- */

static void tickets(struct world *w, struct node *n, void *data)
{
	(void)data;
	if (!n->stranger && !w->guests)
		return;
	ticket_new(w, n, NULL);
	at(w, w->core.now + rnd_us(w, 20 * US, 200 * US), n, tickets, NULL);
}

void join_mode(struct world *w)
{
	struct node *n = &w->nodes[w->n_nodes - 1];

	w->joins = calloc(1, sizeof(*w->joins));
	if (!w->joins)
		abort();
	n->stranger = true;
	at(w, 20 * US, n, tickets, NULL);
}

void join_start(struct world *w, struct node *n)
{
	if (w->joins && n->ticket && w->joins->ticket.n_seeds)
		give(w, n);
}

/* The trouble is over: there is a seed, and a ticket that names it. */
void join_calm(struct world *w)
{
	struct node *n = &w->nodes[w->n_nodes - 1];
	bool seed = false;

	if (!w->joins)
		return;
	for (int i = 0; i < n->index; i++) {
		seed |= w->members[i].in && w->members[i].seed && !w->members[i].until &&
		        w->members[i].hours < 0;
		if (w->members[i].in && w->members[i].key != w->nodes[i].key)
			w->members[i].key = w->nodes[i].key;
	}
	if (!seed)
		admin_make_seed(w, n->index);
	at(w, w->core.now + 90 * US, n, ticket_new, NULL);
}

void join_settled(struct world *w)
{
	const struct node *n = &w->nodes[w->n_nodes - 1];
	const struct member *m = &w->members[n->index];
	struct engine_join_view v;

	if (!w->joins)
		return;
	engine_join_look(n->engine, &v);
	if (guest_is_lost(w, n) && !m->in)
		broken(w, "settle", "%s: its token is good, and has not let it in: %s", n->name,
		        v.text);
	if (n->stranger && m->in && (!m->until || m->until > EPOCH_S + w->core.now / US))
		broken(w, "settle", "%s: it is a member, and has not got in: %s", n->name, v.text);
	if (!n->stranger && n->ticket)
		broken(w, "settle", "%s: it keeps a ticket that it does not need", n->name);
	for (int i = 0; i < w->n_nodes; i++)
		if (charon_join_lives(w, &w->nodes[i]))
			broken(w, "settle", "%s: a join SA lives on", w->nodes[i].name);
	w->n_joined += !n->stranger;
}

void join_free(struct world *w)
{
	free(w->joins);
}

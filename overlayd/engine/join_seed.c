/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A seed's answers to newcomers. Nothing is told of the policy before the caller proved a key that
 * is in it; nothing costs a signature before its source may ask.
 */
#include "engine/join_internal.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int engine_verify(const struct engine *e, const struct policy_key *key, const void *text,
        size_t len, const uint8_t sig[64])
{
	if (e->cfg.verify)
		return e->cfg.verify(e->cfg.verify_user, key, text, len, sig);
	return policy_key_verify(key, text, len, sig);
}

static void call_free(struct engine *e, struct join_call *c)
{
	struct join *j = e->join;

	for (size_t i = 0; i < j->n_calls; i++) {
		if (j->calls[i] != c)
			continue;
		j->n_calls--;
		memmove(&j->calls[i], &j->calls[i + 1], (j->n_calls - i) * sizeof(j->calls[0]));
		break;
	}
	mem_free(e, c, sizeof(*c));
}

struct join_call *join_call_find(struct engine *e, uint64_t id)
{
	for (size_t i = 0; i < e->join->n_calls; i++)
		if (e->join->calls[i]->id == id)
			return e->join->calls[i];
	return NULL;
}

void join_calls_free(struct engine *e)
{
	while (e->join->n_calls)
		call_free(e, e->join->calls[0]);
}

static struct join_answer *say(struct engine *e, uint64_t call, enum join_status status)
{
	struct engine_effect *fx =
	        arena_reserve(e) ? out_effect(e, ENGINE_FX_JOIN_ANSWER, ++e->next_id) : NULL;

	if (!fx)
		return NULL; /* the host gives the caller up by itself */
	fx->join_answer.call = call;
	fx->join_answer.answer = (struct join_answer){.status = status, .text = ""};
	return &fx->join_answer.answer;
}

/* The call is over. */
void join_answer(struct engine *e, struct join_call *c, enum join_status status, uint32_t retry_s,
        const char *fmt, ...)
{
	struct join_answer *a = say(e, c->id, status);
	struct join_slot *s = join_slot_of(e, &c->from);
	char text[JOIN_TEXT_MAX];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (a) {
		a->retry_s = retry_s;
		a->text = arena_str(e, text);
	}
	if (s)
		join_slot_end(e, s, e->now.mono_us + HANGUP_US);
	call_free(e, c);
}

void join_answer_member(struct engine *e, struct join_call *c, const struct policy_peer *peer)
{
	struct join_answer *a;
	const char *file;
	size_t len;
	char text[JOIN_TEXT_MAX] = "";

	if (cluster_file(e->cluster, &file, &len)) {
		join_answer(e, c, JOIN_BUSY, RETRY_BUSY_S, "This seed has no signed bundle yet.");
		return;
	}
	a = say(e, c->id, JOIN_MEMBER);
	if (strcmp(peer->name, c->request.name))
		snprintf(text, sizeof(text), "The cluster knows this key as %s, not as %s.",
		        peer->name, c->request.name);
	if (a) {
		a->text = arena_str(e, text);
		a->file = file;
		a->len = len;
		if (peer->guest && !guest_record(e, a, peer)) {
			*a = (struct join_answer){
			        .status = JOIN_BUSY, .text = "This seed is out of memory."};
			a->retry_s = RETRY_BUSY_S;
		}
	}
	/* A guest's first is paid for by its token: a site of them may come at once, behind one NAT. */
	join_gave(e, c->admitted ? NULL : &c->source, len);
	call_free(e, c);
}

/* ---- judging ---- */

/* 0: with the cluster's present key; 1: with one that was or will be; <0: not at all. */
static int proof(struct engine *e, const struct join_call *c)
{
	struct minisign_public keys[CLUSTER_KEYS_MAX];
	size_t n = cluster_keys(e->cluster, keys);
	uint8_t words[JOIN_WORDS_MAX];

	for (size_t i = 0; i < n; i++)
		if (!join_request_words(&c->request, &keys[i], &e->own_key, c->nonce, words) &&
		        !engine_verify(
		                e, &c->request.key, words, sizeof(words), c->request.signature))
			return i > 0;
	return -1;
}

static bool is_proven(struct engine *e, struct join_call *c)
{
	int by = c->proven ? 0 : proof(e, c);

	c->proven = !by;
	if (by < 0)
		join_answer(e, c, JOIN_REFUSED, 0,
		        "The request is not signed by the key in it, for this cluster's key and "
		        "this seed.");
	else if (by)
		join_answer(e, c, JOIN_REFUSED, 0,
		        "The ticket names a cluster key that is not in use here: make a new one.");
	return !by;
}

static void answer_over(struct engine *e, struct join_call *c, const struct policy_peer *peer)
{
	if (peer->guest)
		join_answer(e, c, JOIN_REFUSED, 0,
		        "The time of the token '%s', which let this key in, is over: an admin has "
		        "to extend its `until`, or to revoke it before another can.",
		        e->policy->tokens[peer->token].name);
	else
		join_answer(e, c, JOIN_REFUSED, 0,
		        "The cluster knows this key as %s, and its time is over (until): an admin "
		        "has to extend it.",
		        peer->name);
}

/* A guest is told so when its admission would outlive a crash of this seed. */
static bool is_kept(struct engine *e, struct join_call *c, const struct policy_peer *peer)
{
	const char *why = cluster_admissions_store_text(e->cluster);

	if (!peer->guest || cluster_admission_stored(e->cluster, &peer->key))
		return true;
	if (*why)
		join_answer_unkept(e, c, why);
	return false;
}

/* It is in the policy in force. False: it is not; else it was answered, or waits. */
static bool answer_known(struct engine *e, struct join_call *c)
{
	const struct policy_peer *peer = policy_peer_by_key(e->policy, &c->request.key);
	int64_t next;

	if (!peer)
		return false;
	if (peer == e->self)
		join_answer(e, c, JOIN_REFUSED, 0,
		        "This is the seed's own key: was /etc/overlayd copied from it? Every node "
		        "makes a key of its own.");
	else if (!policy_until_active(peer, clock_wall_s(e), &next))
		answer_over(e, c, peer);
	else if (is_kept(e, c, peer))
		join_answer_member(e, c, peer);
	return true;
}

/* Its source, and may it ask now? False: answered, or its turn is yet to come. */
static bool call_admitted(struct engine *e, struct join_call *c)
{
	const struct join_slot *s;

	if (c->counted)
		return true;
	s = join_slot_of(e, &c->from);
	if (!s && e->now.mono_us < c->since_us + CALL_SA_US)
		return false; /* charon's word that it is there is on its way */
	if (!s) {
		join_answer(e, c, JOIN_BUSY, RETRY_BUSY_S, "Your join SA is not known here.");
		return false;
	}
	c->source = s->source;
	c->counted = true;
	if (join_may_ask(e, &c->source))
		return true;
	join_answer(e, c, JOIN_BUSY, RETRY_BUSY_S, "Too many ask at the moment.");
	return false;
}

static void call_judge(struct engine *e, struct join_call *c)
{
	uint8_t buf[JOIN_REQUEST_MAX];

	if (e->now.mono_us >= c->since_us + CALL_MAX_US) {
		join_answer(e, c, JOIN_BUSY, RETRY_BUSY_S, "It took this seed too long.");
		return;
	}
	if (!call_admitted(e, c))
		return;
	if (!join_request_bytes(&c->request, buf))
		join_answer(e, c, JOIN_REFUSED, 0, "The request is not well-formed.");
	else if (strcmp(c->request.cluster, e->policy->cluster))
		join_answer(e, c, JOIN_REFUSED, 0,
		        "This seed is not of cluster %s: make a new ticket.", c->request.cluster);
	else if (!is_proven(e, c) || answer_known(e, c))
		return;
	else if (pending_is_rejected(e, &c->request.key))
		join_answer(e, c, JOIN_REFUSED, 0, "An admin refused this key.");
	else if (c->request.token[0])
		join_token(e, c);
	else
		pending_ask(e, c);
}

/* ---- events ---- */

static bool in_pool(const struct engine *e, const struct policy_addr *addr)
{
	struct policy_prefix pool;

	join_pool(e, &pool);
	return policy_prefix_contains(&pool, addr);
}

void join_called(struct engine *e, const struct engine_event *ev)
{
	struct join *j = e->join;
	struct join_call *c;
	struct join_answer *a;

	if (!join_why_not(e) && in_pool(e, &ev->join_call.from) && j->n_calls < JOIN_CALLS_MAX) {
		c = mem_alloc(e, sizeof(*c));
		if (c) {
			c->id = ev->join_call.id;
			c->from = ev->join_call.from;
			c->since_us = e->now.mono_us;
			memcpy(c->nonce, ev->join_call.nonce, sizeof(c->nonce));
			c->request = *ev->join_call.request;
			j->calls[j->n_calls++] = c;
			return; /* join_calls_step() of this step looks at it */
		}
	}
	a = say(e, ev->join_call.id, JOIN_BUSY);
	if (!a)
		return;
	a->retry_s = RETRY_BUSY_S;
	a->text = j->n_calls < JOIN_CALLS_MAX ? "This seed takes no joins at the moment."
	                                      : "Too many ask at the moment.";
}

void join_hung_up(struct engine *e, uint64_t id)
{
	struct join_call *c = join_call_find(e, id);

	if (c)
		call_free(e, c);
}

void join_calls_step(struct engine *e)
{
	struct join *j = e->join;

	for (size_t i = 0; i < j->n_calls;) {
		struct join_call *c = j->calls[i];

		if (join_why_not(e))
			join_answer(e, c, JOIN_BUSY, RETRY_BUSY_S,
			        "This seed takes no joins at the moment.");
		else
			call_judge(e, c);
		if (i < j->n_calls && j->calls[i] == c)
			i++; /* it waits */
	}
}

int64_t join_calls_wakeup(const struct engine *e)
{
	int64_t at = ENGINE_NEVER;

	for (size_t i = 0; i < e->join->n_calls; i++) {
		const struct join_call *c = e->join->calls[i];
		int64_t t = c->since_us + (c->counted ? CALL_MAX_US : CALL_SA_US);

		if (c->again_us > e->now.mono_us && c->again_us < t)
			t = c->again_us;
		at = t < at ? t : at;
	}
	return at;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A seed lets in whom a token vouches for.
 *
 * One at a time: it is judged by the policy in force and by all admissions that are known here, gets
 * a number and an address, our key signs for it, and it counts from then on; only then the next
 * one's turn comes. So no two can be given the last place. It hears that it is a member when its
 * admission is on disk: answer_known() of join_seed.c, by which everybody goes that is in the policy.
 * What goes wrong before that leaves nothing behind; the newcomer asks again, here or elsewhere.
 *
 * Of a token nobody is told more than whether there is one, unless its signature is good.
 */
#include "engine/join_internal.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "policy/guests.h"

#define TRIES_MAX 3U    /* signatures made for one call */
#define AGAIN_US 300000 /* between them; by then the policy has whoever was first */

struct verdict {
	enum join_status status; /* MEMBER: it may be let in */
	char text[JOIN_TEXT_MAX];
};

static struct verdict refused(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static struct verdict refused(const char *fmt, ...)
{
	struct verdict v = {.status = JOIN_REFUSED};
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(v.text, sizeof(v.text), fmt, ap);
	va_end(ap);
	return v;
}

/* ---- judging ---- */

/* Its signature, once for each call, as long as the token's key is the same. */
static bool is_vouched(
        const struct engine *e, struct join_call *c, const struct policy_token *token)
{
	struct policy_admission a = {.key = c->request.key};
	uint8_t words[POLICY_ADMISSION_WORDS_MAX];
	size_t len;

	if (c->vouched && !memcmp(&c->vouched_by, &token->key, sizeof(token->key)))
		return true;
	memcpy(a.cluster, c->request.cluster, sizeof(a.cluster));
	memcpy(a.token, c->request.token, sizeof(a.token));
	memcpy(a.name, c->request.name, sizeof(a.name));
	len = policy_admission_words_token(&a, words);
	c->vouched = IMPAIRED(IMPAIR_TRUST_TOKENS) ||
	             !engine_verify(e, &token->key, words, len, c->request.by_token);
	c->vouched_by = token->key;
	return c->vouched;
}

/* Does this node or address go by that name? Names are host names: capitals make no other, and
 * "a.CLUSTER" is "a". */
static bool is_called(const struct engine *e, const char *its, const char *name)
{
	size_t len = strlen(name);

	return !strncasecmp(its, name, len) &&
	       (!its[len] || (its[len] == '.' && !strcasecmp(its + len + 1, e->policy->cluster)));
}

static bool is_taken(const struct engine *e, const char *name)
{
	for (size_t i = 0; i < e->policy->n_peers; i++)
		if (is_called(e, e->policy->peers[i].name, name))
			return true;
	for (size_t i = 0; i < e->policy->n_failovers; i++)
		if (is_called(e, e->policy->failovers[i].name, name))
			return true;
	return !strcasecmp(name, "localhost");
}

static struct verdict judge_name(const struct engine *e, const char *name)
{
	if (strchr(name, '.'))
		return refused("A name with a dot is nothing that a token can give (%s): ask "
		               "again with overlayctl join --name.",
		        name);
	if (is_taken(e, name))
		return refused("The name %s is taken: ask again with another, "
		               "overlayctl join --name.",
		        name);
	return (struct verdict){.status = JOIN_MEMBER};
}

static struct verdict judge_room(const struct engine *e, const struct policy_token *token)
{
	size_t used = cluster_admissions_used(e->cluster, token->name);

	if (used < token->count && cluster_admission_number(e->cluster, token->name))
		return (struct verdict){.status = JOIN_MEMBER};
	return refused("The token '%s' has let in its %u nodes: make another, or raise its count.",
	        token->name, token->count);
}

static struct verdict judge(struct engine *e, struct join_call *c)
{
	const struct join_request *r = &c->request;
	const struct policy_token *token = policy_token_by_name(e->policy, r->token);
	struct verdict v;

	if (!token)
		return refused("There is no token '%s' in the policy in force: it was revoked, or "
		               "it is too new to be known here. If it stays so, make another.",
		        r->token);
	if (!is_vouched(e, c, token))
		return refused("The token '%s' did not sign this name and key: is there a newer "
		               "one of that name? Make another ticket.",
		        r->token);
	if (policy_token_excepts(token, &r->key))
		return refused("This key was let in by the token '%s' before, and then revoked: "
		               "it has to be approved, or taken off `except`.",
		        r->token);
	if (clock_wall_s(e) >= token->until)
		return refused("The time of the token '%s' is over: make another, or extend its "
		               "`until`.",
		        r->token);
	v = judge_name(e, r->name);
	return v.status == JOIN_MEMBER ? judge_room(e, token) : v;
}

/* ---- signing ---- */

static bool fill(struct engine *e, const struct join_call *c, struct policy_admission *a)
{
	const struct join_request *r = &c->request;
	const struct policy_token *token = policy_token_by_name(e->policy, r->token);

	memset(a, 0, sizeof(*a));
	memcpy(a->cluster, r->cluster, sizeof(a->cluster));
	memcpy(a->token, r->token, sizeof(a->token));
	memcpy(a->name, r->name, sizeof(a->name));
	memcpy(a->by_token, r->by_token, sizeof(a->by_token));
	text_set(a->seed, sizeof(a->seed), e->self->name);
	a->key = r->key;
	a->number = cluster_admission_number(e->cluster, r->token);
	return !policy_admission_address(e->policy, token, &r->key, &a->addr4);
}

static void sign(struct engine *e, const struct join_call *c)
{
	struct join *j = e->join;
	uint8_t *words = arena_alloc(e, POLICY_ADMISSION_WORDS_MAX);
	struct engine_effect *fx =
	        words ? op_start(e, &j->admit_op, OP_ADMIT, ENGINE_FX_ADMIT_SIGN, NULL, 0) : NULL;

	if (!fx)
		return; /* no memory: it waits */
	fx->admit.by = e->self->key;
	fx->admit.words = words;
	fx->admit.len = policy_admission_words_seed(&j->admitting, words);
	j->admit_call = c->id;
}

void join_token(struct engine *e, struct join_call *c)
{
	struct join *j = e->join;
	char text[POLICY_GUEST_TEXT_MAX];
	struct verdict v;
	const char *why;

	if (cluster_admission_of(e->cluster, &c->request.key))
		return; /* it is let in, and in the policy in a moment */
	if (!op_ready(e, &j->admit_op) || e->now.mono_us < c->again_us)
		return; /* another's turn */
	v = judge(e, c);
	why = cluster_admissions_store_text(e->cluster);
	if (v.status != JOIN_MEMBER)
		join_answer(e, c, v.status, 0, "%s", v.text);
	else if (*why)
		join_answer_unkept(e, c, why);
	else if (!fill(e, c, &j->admitting))
		join_answer(e, c, JOIN_REFUSED, 0,
		        "No address of the range of token '%s' is free: make another with a larger "
		        "range.",
		        c->request.token);
	else if (policy_admission_check(e->policy, &j->admitting, text, sizeof(text)))
		join_answer(e, c, JOIN_REFUSED, 0, "The token '%s' cannot let it in: %.150s.",
		        c->request.token, text);
	else
		sign(e, c);
}

void join_answer_unkept(struct engine *e, struct join_call *c, const char *why)
{
	join_answer(e, c, JOIN_BUSY, RETRY_BUSY_S,
	        "This seed cannot keep on disk whom it lets in (%.120s): mend that, or ask another "
	        "seed.",
	        why);
}

/* ---- signed ---- */

static void tell(struct engine *e, const struct policy_admission *a)
{
	char key[POLICY_FINGERPRINT_LEN], addr[64];

	if (!rate_take(&e->join->notices, e->now.mono_us, NOTICE_US, NOTICE_BURST, 1))
		return;
	policy_key_fingerprint(&a->key, key);
	policy_addr_print(&a->addr4, addr, sizeof(addr));
	notice(e, ENGINE_NOTICE, ENGINE_N_JOIN_GUEST, NULL,
	        "The token %s let in the node %s with the key %s, at %s.", a->token, a->name, key,
	        addr);
}

/* Somebody else was quicker, or the policy changed: it is judged anew. */
static void again(struct engine *e, struct join_call *c, int error)
{
	if (error != -EINVAL && error != -EEXIST && error != -EALREADY)
		join_answer(e, c, JOIN_BUSY, RETRY_BUSY_S,
		        "This seed cannot let anybody in at the moment (%s): ask another.",
		        error == -EKEYREJECTED ? "its key is changing"
		        : error == -ENOSPC     ? "it knows as many guests as it can"
		                               : "out of memory");
	else if (++c->tries == TRIES_MAX)
		join_answer(e, c, JOIN_BUSY, RETRY_BUSY_S,
		        "Somebody else goes before it, by name, address or number.");
	else
		c->again_us = e->now.mono_us + AGAIN_US;
}

void guest_signed(struct engine *e, const struct engine_event *ev)
{
	struct join *j = e->join;
	struct join_call *c = join_call_find(e, j->admit_call);
	int err;

	if (!j->admit_op.id || ev->admit_signed.effect_id != j->admit_op.id)
		return;
	op_ok(e, &j->admit_op);
	/* It went away (also: was answered otherwise), or what it wants is no more to be had. */
	if (!c || judge(e, c).status != JOIN_MEMBER)
		return;
	memcpy(j->admitting.by_seed, ev->admit_signed.by_seed, sizeof(j->admitting.by_seed));
	err = cluster_admit(e->cluster, &j->admitting, true);
	c->admitted = !err;
	if (err)
		again(e, c, err);
	else
		tell(e, &j->admitting);
}

void guest_unsigned(struct engine *e, const char *text)
{
	struct join *j = e->join;
	struct join_call *c = join_call_find(e, j->admit_call);

	op_fail(e, &j->admit_op);
	if (c)
		join_answer(e, c, JOIN_BUSY, RETRY_BUSY_S,
		        "This seed cannot sign for it (%.120s): mend that, or ask another seed.",
		        text);
}

void guest_step(struct engine *e)
{
	if (op_late(e, &e->join->admit_op))
		guest_unsigned(e, "no answer in time");
}

int64_t guest_wakeup(const struct engine *e)
{
	const struct op *op = &e->join->admit_op;

	bool waits = op->fails && e->join->n_calls && op->at > e->now.mono_us;

	return op->id || waits ? op->at : ENGINE_NEVER;
}

/* ---- the answer ---- */

/* A guest's own record goes with the bundle, which does not name it. */
bool guest_record(struct engine *e, struct join_answer *a, const struct policy_peer *peer)
{
	const struct policy_admission *admission = cluster_admission_of(e->cluster, &peer->key);
	struct join_record *record = admission ? arena_alloc(e, sizeof(*record)) : NULL;
	uint8_t *data = record ? arena_alloc(e, POLICY_ADMISSION_MAX) : NULL;

	if (!data)
		return false;
	*record = (struct join_record){data, policy_admission_print(admission, data)};
	a->admissions = record;
	a->n_admissions = 1;
	return record->len > 0;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Asking to be let in: one seed after the other, until one gives the bundle. A seed is believed
 * nothing but what the ticket's cluster key signed; until then nothing here changes.
 */
#include "engine/join_internal.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "policy/ticket.h"

#define ASK_GRACE_US 5000000 /* the host is given up after its own time */
#define NEXT_SEED_US 250000  /* between two seeds of one round */
#define ROUND_MIN_US 1000000 /* between rounds in which nobody let us in; doubles */
#define ROUND_MAX_US 60000000
#define REFUSED_MIN_US 10000000 /* all said no; doubles */
#define REFUSED_MAX_US 300000000
#define RETRY_MIN_US 1000000 /* what a seed may ask for */
#define RETRY_MAX_US 300000000

struct newcomer {
	char cluster[POLICY_NAME_MAX + 1], name[POLICY_NAME_MAX + 1], site[POLICY_NAME_MAX + 1];
	char token[POLICY_NAME_MAX + 1]; /* "": none. Its secret is the host's alone */
	struct minisign_public key;
	struct policy_ticket_seed seeds[JOIN_SEEDS_MAX];
	size_t n_seeds;

	enum engine_newcomer_state state;
	struct engine_time since;
	char text[JOIN_TEXT_MAX * 2];
	size_t seed;        /* asked now, or last */
	uint32_t fails;     /* seeds in a row that did not help */
	uint32_t refused;   /* of them */
	int64_t refused_us; /* the pause when all refuse */
	struct op ask_op;
	int64_t ask_at;
	bool taken; /* the bundle is in force: what is left is to keep it */
	bool key_kept, forgotten;
	struct op key_op, forget_op;
};

/* ---- telling ---- */

static void set_state(struct engine *e, enum engine_newcomer_state state)
{
	struct newcomer *n = e->join->newcomer;

	if (n->state == state)
		return;
	n->state = state;
	n->since = (struct engine_time){e->now.mono_us, clock_present_s(e)};
}

/* The same sentence again is no news. */
static __attribute__((format(printf, 4, 5))) void say(struct engine *e,
        enum engine_severity severity, enum engine_notice_code code, const char *fmt, ...)
{
	struct newcomer *n = e->join->newcomer;
	char text[sizeof(n->text)], clean[sizeof(n->text)];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	text_set(clean, sizeof(clean), text);
	if (!strcmp(n->text, clean))
		return;
	memcpy(n->text, clean, sizeof(n->text));
	notice(e, severity, code, NULL, "%s", n->text);
}

/* ---- the ticket ---- */

static void ask_stop(struct engine *e)
{
	struct newcomer *n = e->join->newcomer;
	struct engine_effect *fx;
	uint64_t id = n->ask_op.id;

	e->join->asking = false;
	op_drop(e, &n->ask_op);
	fx = id ? out_effect(e, ENGINE_FX_JOIN_STOP, ++e->next_id) : NULL;
	if (fx)
		fx->join_stop = id;
}

void newcomer_free(struct engine *e)
{
	struct newcomer *n = e->join->newcomer;

	if (!n)
		return;
	ask_stop(e);
	op_drop(e, &n->key_op);
	op_drop(e, &n->forget_op);
	e->join->newcomer = NULL;
	mem_free(e, n, sizeof(*n));
}

static void take_ticket(struct newcomer *n, const struct engine_event *ev)
{
	const struct policy_ticket *t = ev->ticket.ticket;

	text_set(n->cluster, sizeof(n->cluster), t->cluster);
	text_set(n->name, sizeof(n->name), ev->ticket.name);
	text_set(n->site, sizeof(n->site), ev->ticket.site);
	if (t->has_token)
		text_set(n->token, sizeof(n->token), t->token);
	n->key = t->cluster_key;
	for (size_t i = 0; i < t->n_seeds && i < JOIN_SEEDS_MAX; i++) {
		n->seeds[i] = t->seeds[i];
		if (!n->seeds[i].port)
			n->seeds[i].port = t->port;
		n->n_seeds++;
	}
}

/* Why this ticket cannot be used here at all; NULL: it can. */
static const char *unusable(struct engine *e, const struct newcomer *n)
{
	struct minisign_public keys[CLUSTER_KEYS_MAX];
	size_t n_keys = cluster_keys(e->cluster, keys);
	bool same = !n_keys;

	for (size_t i = 0; i < n_keys; i++)
		same |= minisign_public_same(&keys[i], &n->key);
	if (!same)
		return "this node has another cluster's key (cluster.pub): remove that first, if "
		       "it is to change";
	if (e->policy && strcmp(e->policy->cluster, n->cluster))
		return "this node has a policy of another cluster: remove policy.yaml first, if it "
		       "is to change";
	if (!n->n_seeds)
		return "the ticket names no seed";
	return NULL;
}

static bool is_member(const struct engine *e)
{
	const char *file;
	size_t len;
	int64_t next;

	return e->is_signed && !cluster_file(e->cluster, &file, &len) && e->policy && e->self &&
	       policy_until_active(e->self, clock_wall_s(e), &next);
}

/* A restart after the bundle was kept; or it came in another way. */
static void is_in(struct engine *e)
{
	struct newcomer *n = e->join->newcomer;

	n->taken = true;
	set_state(e, ENGINE_NEWCOMER_JOINED);
	say(e, ENGINE_INFO, ENGINE_N_JOINED, "This node is a member of cluster %s.", n->cluster);
}

void newcomer_ticket(struct engine *e, const struct engine_event *ev)
{
	struct newcomer *n = e->join->newcomer;
	const char *why;

	if (n && n->taken && !ev->ticket.ticket)
		return; /* too late: it is in, and what is left is to keep the key */
	newcomer_free(e);
	if (!ev->ticket.ticket)
		return;
	n = mem_alloc(e, sizeof(*n));
	if (!n)
		return;
	e->join->newcomer = n;
	take_ticket(n, ev);
	n->since = (struct engine_time){e->now.mono_us, clock_present_s(e)};
	n->state = ENGINE_NEWCOMER_ASKING;
	n->ask_at = e->now.mono_us;
	why = unusable(e, n);
	if (why) {
		n->n_seeds = 0; /* nobody is asked */
		set_state(e, ENGINE_NEWCOMER_REFUSED);
		say(e, ENGINE_ERROR, ENGINE_N_JOIN_REFUSED, "The ticket of cluster %s: %s.",
		        n->cluster, why);
	} else if (is_member(e)) {
		is_in(e);
	}
}

/* ---- asking ---- */

static void ask_fill(struct engine *e, struct engine_join_ask *a)
{
	const struct newcomer *n = e->join->newcomer;
	struct join_request *r = &a->request;
	char id[ENGINE_ID_MAX];

	a->seed = arena_str(e, n->seeds[n->seed].name);
	a->key = n->seeds[n->seed].key;
	peer_remote_id(&a->key, n->seeds[n->seed].name, id);
	a->remote_id = arena_str(e, id);
	a->host = arena_str(e, n->seeds[n->seed].host);
	a->port = n->seeds[n->seed].port;
	policy_ula_address(n->cluster, &a->key, &a->addr6);
	policy_ula_prefix(n->cluster, &a->overlay6);
	join_pool_of(&a->overlay6, &a->pool);
	a->cluster_key = n->key;
	memcpy(r->cluster, n->cluster, sizeof(r->cluster));
	memcpy(r->name, n->name, sizeof(r->name));
	memcpy(r->site, n->site, sizeof(r->site));
	memcpy(r->token, n->token, sizeof(r->token));
	r->key = e->own_key;
	for (size_t i = 0; i < e->n_underlay && r->n_links < JOIN_LINKS_MAX; i++)
		r->links[r->n_links++] = e->underlay[i];
}

static void ask(struct engine *e)
{
	struct newcomer *n = e->join->newcomer;
	struct engine_join_ask *a = arena_alloc(e, sizeof(*a));
	struct engine_effect *fx;

	if (!a)
		return;
	fx = op_start(e, &n->ask_op, OP_JOIN_ASK, ENGINE_FX_JOIN_ASK, NULL, 0);
	if (!fx)
		return;
	ask_fill(e, a);
	fx->join_ask = a;
	n->ask_op.at = e->now.mono_us + JOIN_ASK_MAX_US + ASK_GRACE_US;
	e->join->asking = true;
}

static int64_t spread(struct engine *e, int64_t d)
{
	return d - d / 4 + jitter_us(e, d / 2 + 1);
}

static int64_t round_us(const struct newcomer *n)
{
	uint32_t rounds = n->fails / (uint32_t)n->n_seeds;
	int64_t d = ROUND_MIN_US;

	for (uint32_t i = 1; i < rounds && d < ROUND_MAX_US; i++)
		d *= 2;
	return d < ROUND_MAX_US ? d : ROUND_MAX_US;
}

/* What they refuse may be mended there in a minute, by a bundle on its way or an admin, or never. */
static int64_t refused_pause(struct newcomer *n, int64_t d)
{
	bool all = n->refused >= n->n_seeds;

	n->refused = 0;
	if (!all) {
		n->refused_us = 0;
		return d;
	}
	n->refused_us = n->refused_us ? 2 * n->refused_us : REFUSED_MIN_US;
	if (n->refused_us > REFUSED_MAX_US)
		n->refused_us = REFUSED_MAX_US;
	return n->refused_us;
}

/* This seed did not let us in: the next one's turn, at once or after a whole round. */
static void ask_next(struct engine *e, int64_t at_least_us)
{
	struct newcomer *n = e->join->newcomer;
	int64_t d = NEXT_SEED_US;

	n->fails += n->fails < UINT32_MAX;
	n->seed = (n->seed + 1) % n->n_seeds;
	if (n->fails % n->n_seeds == 0) {
		d = round_us(n);
		d = at_least_us > d ? at_least_us : d;
		d = refused_pause(n, d);
	}
	n->ask_at = e->now.mono_us + spread(e, d);
}

/* ---- answers ---- */

static const char *trouble(int error)
{
	switch (error) {
	case -EKEYREJECTED:
		return "does not hold the key that the ticket names: is it another machine now, or "
		       "is somebody in the way?";
	case -ECONNREFUSED:
		return "takes no joins: `join: true` has to be in the policy, and its role is seed";
	case -EHOSTUNREACH:
	case -ETIMEDOUT:
		return "does not answer: is its address right, and UDP let through?";
	}
	return "could not be asked";
}

/* One seed's no is not the cluster's: the next may have a bundle that this one has not yet. */
static void round_judge(struct engine *e)
{
	struct newcomer *n = e->join->newcomer;
	bool last = (n->fails + 1) % n->n_seeds == 0;

	if (last && n->refused)
		set_state(e, ENGINE_NEWCOMER_REFUSED);
	else if (!n->refused && n->state == ENGINE_NEWCOMER_REFUSED)
		set_state(e, ENGINE_NEWCOMER_ASKING);
}

static void failed(struct engine *e, int error, const char *text)
{
	struct newcomer *n = e->join->newcomer;

	round_judge(e);
	say(e, ENGINE_WARNING, ENGINE_N_JOINING, "Seed %s (%s port %u) %s%s%s%s",
	        n->seeds[n->seed].name, n->seeds[n->seed].host, n->seeds[n->seed].port,
	        trouble(error), text && *text ? " (" : "", text ? text : "",
	        text && *text ? ")" : "");
	ask_next(e, 0);
}

static void pending(struct engine *e, const struct join_answer *a)
{
	struct newcomer *n = e->join->newcomer;
	int64_t d = (int64_t)a->retry_s * 1000000;

	n->fails = n->refused = 0;
	n->refused_us = 0;
	set_state(e, ENGINE_NEWCOMER_PENDING);
	say(e, ENGINE_NOTICE, ENGINE_N_JOINING, "%s",
	        a->text && *a->text ? a->text : "Waiting for an admin's approval.");
	d = d < RETRY_MIN_US ? RETRY_MIN_US : d > RETRY_MAX_US ? RETRY_MAX_US : d;
	n->ask_at = e->now.mono_us + spread(e, d);
}

static void refused(struct engine *e, const struct join_answer *a)
{
	struct newcomer *n = e->join->newcomer;

	n->refused++;
	round_judge(e);
	say(e, ENGINE_WARNING, ENGINE_N_JOIN_REFUSED, "Seed %s refused: %s", n->seeds[n->seed].name,
	        a->text && *a->text ? a->text : "it does not say why.");
	ask_next(e, 0);
}

static void busy(struct engine *e, const struct join_answer *a)
{
	struct newcomer *n = e->join->newcomer;
	int64_t d = (int64_t)a->retry_s * 1000000;

	if (n->state != ENGINE_NEWCOMER_PENDING)
		say(e, ENGINE_INFO, ENGINE_N_JOINING, "Seed %s is busy: %s", n->seeds[n->seed].name,
		        a->text && *a->text ? a->text : "it does not say why.");
	ask_next(e, d > RETRY_MAX_US ? RETRY_MAX_US : d);
}

/* ---- let in ---- */

static const char *bundle_trouble(int error)
{
	switch (error) {
	case -ENOKEY:
		return "gave a bundle that another key signed than the ticket names: if the "
		       "cluster's key was changed, make a new ticket";
	case -EKEYREJECTED:
		return "gave a bundle that the cluster key did not sign";
	case -EPROTONOSUPPORT:
		return "gave a bundle of another release: update this node";
	}
	return "gave what is no bundle";
}

/* What an answer makes of us. */
struct gift {
	struct policy *policy; /* with us in it; one reference */
	bool guest;
	struct policy_admission own; /* of a guest */
};

/* Does what the seed gave make us a member? If not, text says why. */
static bool gift_take(
        struct engine *e, const struct join_answer *a, struct gift *g, char *text, size_t size)
{
	const struct newcomer *n = e->join->newcomer;
	struct policy_report report;
	struct bundle_head head;
	int err;

	policy_report_init(&report);
	err = bundle_open(a->file, a->len, &n->key, &head, &g->policy, &report);
	policy_report_clear(&report);
	if (err) {
		snprintf(text, size, "%s", bundle_trouble(err));
		return false;
	}
	if (strcmp(head.cluster, n->cluster) != 0) {
		snprintf(text, size, "gave another cluster's bundle");
	} else {
		g->guest = !policy_peer_by_key(g->policy, &e->own_key);
		if (!g->guest || own_check(e, a, &g->policy, &g->own, text, size))
			return true;
	}
	policy_unref(g->policy);
	return false;
}

/* In one step: its bundle in force, and we are in it. */
static bool gift_keep(struct engine *e, const struct join_answer *a, const struct gift *g,
        char *text, size_t size)
{
	struct engine_bundle_view v;
	int err;

	engine_cluster_key(e, &e->join->newcomer->key);
	cluster_bundle(e->cluster, ENGINE_BUNDLE_ADMIN, a->file, a->len);
	cluster_look(e->cluster, &v);
	if (v.verdict_error || (v.verdict != BUNDLE_APPLY && v.verdict != BUNDLE_SAME &&
	                               v.verdict != BUNDLE_OLDER)) {
		snprintf(text, size, "gave a bundle that cannot follow the one in force here: %s",
		        v.verdict_text);
		return false;
	}
	err = g->guest ? cluster_admit(e->cluster, &g->own, false) : 0;
	if (!err || err == -EALREADY)
		return true;
	snprintf(text, size, "gave an admission that does not count by the bundle in force here");
	return false;
}

static void let_in(struct engine *e, const struct join_answer *a)
{
	struct newcomer *n = e->join->newcomer;
	struct gift g = {.policy = NULL};
	char why[JOIN_TEXT_MAX + BUNDLE_ERROR_MAX];
	bool in = gift_take(e, a, &g, why, sizeof(why));

	if (in && gift_keep(e, a, &g, why, sizeof(why))) {
		n->taken = true;
		set_state(e, ENGINE_NEWCOMER_JOINING);
		say(e, ENGINE_NOTICE, ENGINE_N_JOINED,
		        "Cluster %s let this node in, as %s; it connects to the others now.",
		        n->cluster, policy_peer_by_key(g.policy, &e->own_key)->name);
		complete_begin(e);
	} else {
		say(e, ENGINE_WARNING, ENGINE_N_JOIN_REFUSED, "Seed %s %s.", n->seeds[n->seed].name,
		        why);
		ask_next(e, 0);
	}
	if (in)
		policy_unref(g.policy);
}

void newcomer_answered(struct engine *e, const struct engine_event *ev)
{
	struct newcomer *n = e->join->newcomer;
	const struct join_answer *a = ev->join_answered.answer;

	if (!n || !n->ask_op.id || ev->join_answered.effect_id != n->ask_op.id)
		return;
	op_drop(e, &n->ask_op);
	e->join->asking = false;
	if (ev->join_answered.error || !a) {
		failed(e, ev->join_answered.error ? ev->join_answered.error : -EPROTO,
		        ev->join_answered.text);
		return;
	}
	switch (a->status) {
	case JOIN_PENDING:
		pending(e, a);
		return;
	case JOIN_MEMBER:
		let_in(e, a);
		return;
	case JOIN_REFUSED:
		refused(e, a);
		return;
	case JOIN_BUSY:
		busy(e, a);
		return;
	}
	failed(e, -EPROTO, "it gave an answer of another release");
}

/* No seed is to blame: the same one again, soon. */
void newcomer_not_begun(struct engine *e)
{
	struct newcomer *n = e->join->newcomer;

	op_drop(e, &n->ask_op);
	e->join->asking = false;
	n->ask_at = e->now.mono_us + NEXT_SEED_US;
}

/* ---- what is left when we are in ---- */

static void keep_key(struct engine *e)
{
	struct newcomer *n = e->join->newcomer;
	struct engine_effect *fx;

	if (op_late(e, &n->key_op))
		op_fail(e, &n->key_op);
	if (n->key_kept || !op_ready(e, &n->key_op))
		return;
	fx = op_start(e, &n->key_op, OP_CLUSTER_KEY, ENGINE_FX_CLUSTER_KEY, NULL, 0);
	if (fx)
		fx->cluster_key = n->key;
}

static void forget_ticket(struct engine *e)
{
	struct newcomer *n = e->join->newcomer;
	struct engine_bundle_view v;

	if (!n->key_kept || n->forgotten)
		return;
	if (op_late(e, &n->forget_op))
		op_fail(e, &n->forget_op);
	if (!op_ready(e, &n->forget_op))
		return;
	cluster_look(e->cluster, &v);
	if (v.stored && own_kept(e))
		op_start(e, &n->forget_op, OP_TICKET, ENGINE_FX_TICKET_FORGET, NULL, 0);
	else
		n->forget_op.at = e->now.mono_us + 1000000; /* look again */
}

void newcomer_result(struct engine *e, enum op_kind kind, int error, const char *text)
{
	struct newcomer *n = e->join->newcomer;
	struct op *op = kind == OP_CLUSTER_KEY ? &n->key_op : &n->forget_op;

	if (error) {
		if (!op->fails)
			notice(e, ENGINE_ERROR, ENGINE_N_DEGRADED, NULL,
			        "%s: %s; it is tried again.",
			        kind == OP_CLUSTER_KEY
			                ? "The cluster's key could not be written to cluster.pub"
			                : "The ticket that was used could not be removed from disk",
			        text);
		op_fail(e, op);
		return;
	}
	op_ok(e, op);
	*(kind == OP_CLUSTER_KEY ? &n->key_kept : &n->forgotten) = true;
}

void newcomer_step(struct engine *e)
{
	struct newcomer *n = e->join->newcomer;

	if (!n || !n->n_seeds)
		return;
	if (n->taken) {
		if (n->state == ENGINE_NEWCOMER_JOINING && !e->join->joining)
			set_state(e, ENGINE_NEWCOMER_JOINED);
		keep_key(e);
		forget_ticket(e);
		return;
	}
	if (op_late(e, &n->ask_op)) {
		ask_stop(e);
		failed(e, -ETIMEDOUT, NULL);
	}
	if (n->ask_op.id)
		return;
	if (is_member(e))
		is_in(e);
	else if (e->now.mono_us >= n->ask_at && e->have_key && e->charon != ENGINE_CHARON_DOWN)
		ask(e);
}

int64_t newcomer_wakeup(const struct engine *e)
{
	const struct newcomer *n = e->join->newcomer;
	int64_t at;

	if (!n || !n->n_seeds || n->forgotten)
		return ENGINE_NEVER;
	if (n->taken)
		return n->key_kept ? n->forget_op.at : n->key_op.at;
	if (n->ask_op.id)
		return n->ask_op.at;
	at = e->have_key && e->charon != ENGINE_CHARON_DOWN ? n->ask_at : ENGINE_NEVER;
	return at;
}

/* ---- looking ---- */

bool join_is_asking(const struct engine *e)
{
	return e->join->asking;
}

void newcomer_look(const struct engine *e, struct engine_join_view *out)
{
	const struct newcomer *n = e->join->newcomer;

	if (!n)
		return;
	out->state = n->state;
	out->cluster = n->cluster;
	out->name = n->name;
	out->seed = n->n_seeds ? n->seeds[n->seed].name : "";
	out->text = n->text;
	out->since = n->since;
}

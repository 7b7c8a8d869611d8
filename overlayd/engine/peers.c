/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Records of peers: made from the policy, reconciled one by one, and their states. */
#include "engine/internal.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static size_t peer_place(const struct engine *e, const char *name, bool *found)
{
	size_t lo = 0, hi = e->n_peers;

	*found = false;
	while (lo < hi) {
		size_t mid = (lo + hi) / 2;
		int c = strcmp(name, e->peers[mid]->name);

		if (!c) {
			*found = true;
			return mid;
		}
		if (c < 0)
			hi = mid;
		else
			lo = mid + 1;
	}
	return lo;
}

struct peer *peer_find(const struct engine *e, const char *name, size_t len)
{
	bool found;
	size_t i;

	if (!len || len > 255)
		return NULL;
	i = peer_place(e, name, &found);
	return found ? e->peers[i] : NULL;
}

static struct peer *peer_new(struct engine *e, const char *name)
{
	struct peer *p = mem_alloc(e, sizeof(*p));

	if (!p)
		return NULL;
	p->name = mem_strdup(e, name);
	if (!p->name) {
		mem_free(e, p, sizeof(*p));
		return NULL;
	}
	p->change_mono_us = p->change_wall_s = p->warn_mono_us = p->due = ENGINE_NEVER;
	p->since = e->now;
	return p;
}

static void peer_free(struct engine *e, struct peer *p)
{
	struct op *ops[] = {&p->fw_op, &p->sockets_op, &p->conn_op, &p->term_op, &p->init_op,
	        &p->resolve_op, &p->under_op};

	for (size_t i = 0; i < sizeof(ops) / sizeof(ops[0]); i++)
		op_drop(e, ops[i]);
	tunnel_stop(e, p);
	tunnel_count_refused(e, p, 0);
	claim_unblock(e, &p->stale4);
	claim_unblock(e, &p->stale6);
	e->n_stale -= p->stale_conn;
	e->n_on_demand -= p->on_demand;
	timer_cancel(e, p);
	for (int q = 0; q < Q_N; q++)
		queue_remove(e, q, p);
	while (p->sas) {
		struct sa *sa = p->sas;

		p->sas = sa->next;
		sa->peer = NULL;
		sa->next = NULL;
	}
	if (e->list_peer == p)
		e->list_peer = NULL;
	rivals_forget(e, p);
	mem_free(e, p->rivals, sizeof(*p->rivals));
	mem_strfree(e, p->reason);
	mem_strfree(e, p->name);
	mem_free(e, p->names, sizeof(*p->names));
	mem_free(e, p->there, sizeof(*p->there));
	mem_free(e, p, sizeof(*p));
}

static bool peers_reserve(struct engine *e, size_t n)
{
	struct peer **v;

	if (n <= e->cap_peers)
		return true;
	n += n / 4 + 16;
	v = mem_alloc(e, n * sizeof(struct peer *));
	if (!v)
		return false;
	if (e->peers)
		memcpy(v, e->peers, e->n_peers * sizeof(*v));
	mem_free(e, e->peers, e->cap_peers * sizeof(struct peer *));
	e->peers = v;
	e->cap_peers = n;
	return true;
}

/* A record for a connection that charon has and the policy has not. */
struct peer *peer_ghost(struct engine *e, const char *name)
{
	struct peer *p;
	bool found;
	size_t i;

	if (e->n_peers >= POLICY_PEERS_MAX + ENGINE_CONNS_MAX || !peers_reserve(e, e->n_peers + 1))
		return NULL;
	p = peer_new(e, name);
	if (!p)
		return NULL;
	i = peer_place(e, name, &found);
	memmove(&e->peers[i + 1], &e->peers[i], (e->n_peers - i) * sizeof(struct peer *));
	e->peers[i] = p;
	e->n_peers++;
	return p;
}

void peer_dirty(struct engine *e, struct peer *p)
{
	queue_add(e, Q_DIRTY, p);
}

void peers_dirty_all(struct engine *e)
{
	for (size_t i = 0; i < e->n_peers; i++)
		peer_dirty(e, e->peers[i]);
}

/* "<peer>.<the key's first 16 bytes>": a listed SA tells which key built it. */
void peer_remote_id(const struct policy_key *key, const char *name, char buf[ENGINE_ID_MAX])
{
	static const char hex[] = "0123456789abcdef";
	size_t n = strlen(name);

	if (n > POLICY_NAME_MAX)
		n = POLICY_NAME_MAX;
	memcpy(buf, name, n);
	buf[n++] = '.';
	for (size_t i = 0; i < 16; i++) {
		buf[n++] = hex[key->raw[i] >> 4];
		buf[n++] = hex[key->raw[i] & 15];
	}
	buf[n] = 0;
}

/* ---- policy ---- */

static uint64_t eps_digest(const struct policy_peer *pp)
{
	uint64_t h = DIGEST_START;

	for (size_t i = 0; i < pp->n_endpoints; i++) {
		h = digest_addr(digest_str(h, pp->endpoints[i].host), &pp->endpoints[i].addr);
		h = digest_u64(h, pp->endpoints[i].port);
	}
	return h;
}

static void peer_want(struct engine *e, struct peer *p, const struct policy_peer *want)
{
	uint64_t h;

	p->want = want;
	if (!want) {
		tunnel_stop(e, p);
		op_drop(e, &p->resolve_op);
		queue_remove(e, Q_RESOLVE, p);
		return;
	}
	h = eps_digest(want);
	if (h == p->eps_digest)
		return;
	p->eps_digest = h;
	p->ep = 0;
	mem_free(e, p->names, sizeof(*p->names));
	p->names = NULL;
	p->resolve_next = 0;
	op_drop(e, &p->resolve_op);
	tunnel_reset(e, p);
}

static void self_find(struct engine *e)
{
	if (rotation_self(e))
		e->self_epoch++;
}

/* One walk over two sorted lists: what is in both stays, the rest is new or no longer wanted. */
static int merge(struct engine *e)
{
	const struct policy *pol = e->policy;
	size_t cap = e->n_peers + pol->n_peers + 1, n = 0, i = 0, j = 0;
	struct peer **v = mem_alloc(e, cap * sizeof(struct peer *));

	if (!v)
		return -ENOMEM;
	while (i < e->n_peers || j < pol->n_peers) {
		const struct policy_peer *pp = j < pol->n_peers ? &pol->peers[j] : NULL;
		struct peer *p = i < e->n_peers ? e->peers[i] : NULL;
		int c = !p ? 1 : !pp ? -1 : strcmp(p->name, pp->name);

		if (c <= 0) {
			peer_want(e, p, c == 0 && pp != e->self ? pp : NULL);
			i++;
		} else if (pp != e->self) {
			p = peer_new(e, pp->name);
			if (p)
				peer_want(e, p, pp);
		} else {
			p = NULL;
		}
		j += c >= 0;
		if (p)
			v[n++] = p;
	}
	mem_free(e, e->peers, e->cap_peers * sizeof(struct peer *));
	e->peers = v;
	e->n_peers = n;
	e->cap_peers = cap;
	return 0;
}

static void self_tell(struct engine *e)
{
	bool missing = !e->self_active;

	if (missing == e->self_told_missing)
		return;
	e->self_told_missing = missing;
	if (missing)
		notice(e, ENGINE_ERROR, ENGINE_N_NOT_MEMBER, NULL,
		        e->self ? "This node's time in the policy is over: nothing is admitted and "
		                  "no "
		                  "tunnels are kept."
		                : "This node's key is not in the policy: nothing is admitted and "
		                  "no "
		                  "tunnels are kept; add the line that `overlayctl id` prints.");
	else
		notice(e, ENGINE_NOTICE, ENGINE_N_MEMBER, NULL, "This node is %s in cluster %s.",
		        e->self->name, e->policy->cluster);
}

/* Without memory for its classes nobody is let in: fail closed, and try again in a second. */
static void take_failed(struct engine *e)
{
	e->oom = true;
	e->retry_policy = true;
	e->retry_policy_us = e->now.mono_us + 1000000;
	classes_free(e, &e->in);
	classes_free(e, &e->out);
	e->rules_digest = 0;
	for (size_t i = 0; i < e->n_peers; i++)
		e->peers[i]->class_in = e->peers[i]->class_out = e->peers[i]->seeded = 0;
	peers_dirty_all(e);
}

static void seeds_mark(struct engine *e)
{
	bool us = e->is_signed && e->self && policy_is_seed(e->policy, e->self);

	for (size_t i = 0; i < e->n_peers; i++) {
		struct peer *p = e->peers[i];

		p->seeded = p->want && e->self &&
		            (us || (e->is_signed && policy_is_seed(e->policy, p->want)));
	}
}

/* The policy or our own key changed, or there is a cluster key now. */
void peers_take_policy(struct engine *e)
{
	int err;

	if (!e->policy || !e->have_key)
		return;
	self_find(e);
	err = merge(e);
	e->merged |= !err;
	if (err || classes_make(e)) {
		take_failed(e);
		return;
	}
	e->retry_policy = false;
	seeds_mark(e);
	peers_judge_all(e);
	cluster_members(e->cluster, e->policy, e->self);
	paths_own(e);
}

void peers_judge_all(struct engine *e)
{
	if (!e->policy || !e->have_key)
		return;
	clock_judge_self(e);
	self_tell(e);
	for (size_t i = 0; i < e->n_peers; i++) {
		clock_judge_peer(e, e->peers[i]);
		peer_dirty(e, e->peers[i]);
	}
	fw_policy_changed(e);
}

/* ---- states ---- */

static bool has_no_path(const struct engine *e, const struct peer *p)
{
	return p->desired && !p->best && e->self && !e->self->n_endpoints &&
	       !p->want->n_endpoints && !p->ep_addr.family;
}

static bool is_troubled(const struct engine *e, const struct peer *p)
{
	return p->fw_op.fails || p->under_op.fails || p->conn_op.fails || p->term_op.fails ||
	       p->sockets_op.fails || (p->attempts && !p->best) ||
	       (p->resolve_op.fails && !p->best) || (p->best && sa_narrow(p->best)) ||
	       rivals_troubled(e, p) || has_no_path(e, p);
}

void peer_degrade(struct engine *e, struct peer *p, const char *fmt, ...)
{
	char text[REASON_MAX], clean[REASON_MAX];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	text_set(clean, sizeof(clean), text);
	if (!p->reason || strcmp(p->reason, clean)) {
		mem_strfree(e, p->reason);
		p->reason = mem_strdup(e, clean);
	}
	if (p->degraded)
		return;
	p->degraded = true;
	notice(e, ENGINE_WARNING, ENGINE_N_DEGRADED, p->name, "%s: %s.", p->name, clean);
}

static enum engine_peer_state peer_state(const struct engine *e, const struct peer *p)
{
	if (p->revoking)
		return ENGINE_PEER_REVOKING;
	if (!p->desired)
		return ENGINE_PEER_INACTIVE;
	if (p->best)
		return ENGINE_PEER_UP;
	if (e->charon != ENGINE_CHARON_READY || p->fw != FW_YES ||
	        (p->conn != CONN_LOADED && !p->conn_op.id))
		return ENGINE_PEER_WAITING;
	if (p->on_demand && p->ep_addr.family)
		return ENGINE_PEER_ONDEMAND;
	if (p->trying || (p->ep_addr.family && (p->rule_us || p->attempts)))
		return ENGINE_PEER_CONNECTING;
	return ENGINE_PEER_LISTENING;
}

static void tell_change(struct engine *e, struct peer *p, enum engine_peer_state old)
{
	size_t n = e->n_fx;

	notice(e, ENGINE_DEBUG, ENGINE_N_TRACE, p->name, "%s: %s%s -> %s%s", p->name,
	        engine_peer_state_name(old), p->told_degraded ? " (degraded)" : "",
	        engine_peer_state_name(p->state), p->degraded ? " (degraded)" : "");
	if (e->n_fx == n)
		return; /* no memory */
	e->fx[n].notice.old_state = old;
	e->fx[n].notice.old_degraded = p->told_degraded;
}

/* An SA of it passes the firewall, or would as soon as a packet brings it up. */
static void tell_reach(struct engine *e, struct peer *p, enum engine_peer_state state)
{
	enum cluster_reach reach = CLUSTER_GONE;

	if (!e->is_signed)
		return;
	if (p->fw == FW_YES && state == ENGINE_PEER_UP)
		reach = p->on_demand ? CLUSTER_AWAKE : CLUSTER_UP;
	else if (p->fw == FW_YES && state == ENGINE_PEER_ONDEMAND)
		reach = CLUSTER_COULD;
	if (reach == p->reach)
		return;
	p->reach = reach;
	cluster_peer(e->cluster, p->name, reach);
}

static void tell_state(struct engine *e, struct peer *p)
{
	enum engine_peer_state old = p->state, state = peer_state(e, p);

	tell_reach(e, p, state);
	if (p->degraded && !is_troubled(e, p)) {
		p->degraded = false;
		mem_strfree(e, p->reason);
		p->reason = NULL;
		notice(e, ENGINE_INFO, ENGINE_N_RECOVERED, p->name, "%s has recovered.", p->name);
	}
	if (old == state && p->degraded == p->told_degraded)
		return;
	p->state = state;
	tell_change(e, p, old);
	p->told_degraded = p->degraded;
	if (old == state)
		return;
	p->since = e->now;
	if (state == ENGINE_PEER_UP)
		notice(e, ENGINE_INFO, ENGINE_N_UP, p->name, "%s is up.", p->name);
	else if (old == ENGINE_PEER_UP && state == ENGINE_PEER_ONDEMAND)
		notice(e, ENGINE_INFO, ENGINE_N_DOWN, p->name,
		        "%s has no tunnel any more; the next packet brings it up.", p->name);
	else if (old == ENGINE_PEER_UP && state != ENGINE_PEER_REVOKING)
		notice(e, ENGINE_WARNING, ENGINE_N_DOWN, p->name, "%s is down.", p->name);
}

/* Once a step, when all is said: what a peer went through within it is nobody's business. */
void peers_tell(struct engine *e)
{
	struct peer *p;

	while ((p = queue_pop(e, Q_TELL)))
		tell_state(e, p);
}

/* ---- reconcile ---- */

static void late_answers(struct engine *e, struct peer *p)
{
	int error = IMPAIRED(IMPAIR_TRUST_SILENCE) ? 0 : -ETIMEDOUT;
	const char *text = "no answer in time";

	if (op_late(e, &p->fw_op))
		fw_peer_result(e, p, error, text);
	if (op_late(e, &p->sockets_op))
		revoke_sockets_result(e, p, error, text);
	if (op_late(e, &p->conn_op))
		conn_result(e, p, error, text);
	if (op_late(e, &p->under_op))
		underlay_result(e, p, error, text);
	if (op_late(e, &p->term_op))
		revoke_terminate_result(e, p, error, text);
	if (op_late(e, &p->init_op))
		tunnel_result(e, p, -ETIMEDOUT, text);
	if (op_late(e, &p->resolve_op))
		names_resolved(e, p, &(struct engine_event){.type = ENGINE_EV_TICK});
	if (p->fw_op.id)
		peer_wake(p, p->fw_op.at);
	if (p->sockets_op.id)
		peer_wake(p, p->sockets_op.at);
	if (p->conn_op.id)
		peer_wake(p, p->conn_op.at);
	if (p->term_op.id)
		peer_wake(p, p->term_op.at);
	if (p->resolve_op.id)
		peer_wake(p, p->resolve_op.at);
	if (p->under_op.id)
		peer_wake(p, p->under_op.at);
}

static void judge_desired(struct engine *e, struct peer *p)
{
	if (p->want && e->now.mono_us >= p->change_mono_us)
		clock_judge_peer(e, p);
	p->desired = p->want && e->self_active && p->active && peer_joined(p);
	rotation_judge(e, p);
	demand_judge(e, p);
	if (p->want)
		peer_wake(p, p->change_mono_us);
}

void peer_reconcile(struct engine *e, struct peer *p)
{
	timer_cancel(e, p);
	p->due = ENGINE_NEVER;
	late_answers(e, p);
	judge_desired(e, p);
	names_step(e, p);
	if (!p->revoking && revoke_needed(e, p))
		revoke_begin(e, p);
	if (p->revoking) {
		sas_judge_peer(e, p);
		p->best = NULL;
		revoke_step(e, p);
	} else if (p->desired && claim_take(e, p)) {
		fw_step(e, p);
		conn_step(e, p);
		tunnel_step(e, p);
	} else {
		sas_judge_peer(e, p);
		p->best = NULL;
	}
	underlay_step(e, p);
	clock_warn(e, p);
	queue_add(e, Q_TELL, p);
	if (!p->want && !p->revoking && !revoke_needed(e, p) && p->under == FW_NO) {
		p->dead = e->any_dead = true;
		return;
	}
	timer_set(e, p, p->due);
}

void peers_sweep(struct engine *e)
{
	size_t n = 0;

	if (!e->any_dead)
		return;
	for (size_t i = 0; i < e->n_peers; i++) {
		if (e->peers[i]->dead)
			peer_free(e, e->peers[i]);
		else
			e->peers[n++] = e->peers[i];
	}
	e->n_peers = n;
	e->any_dead = false;
}

void peers_free(struct engine *e)
{
	for (size_t i = 0; i < e->n_peers; i++)
		peer_free(e, e->peers[i]);
	mem_free(e, e->peers, e->cap_peers * sizeof(struct peer *));
	mem_free(e, e->heap, e->cap_heap * sizeof(struct peer *));
	e->peers = NULL;
	e->n_peers = 0;
}

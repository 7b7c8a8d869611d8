/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The SAs that charon has under our names, from lists and events. Both arrive over connections of
 * their own, so a list may be older than an event: what an event told after the list was asked for
 * wins, and what it ended is remembered (`gone`) until that list is in.
 */
#include "engine/internal.h"

#include <string.h>

#define UNNAMED "(unnamed)"

struct sa *sa_find(const struct engine *e, uint32_t id)
{
	return (struct sa *)map_find(&e->sas, id);
}

static bool has_fit(const struct sa *sa, enum child_fit least)
{
	for (size_t i = 0; i < sa->n_children; i++)
		if (sa->children[i].state == ENGINE_CHILD_INSTALLED && sa->children[i].fit >= least)
			return true;
	return false;
}

bool sa_up(const struct sa *sa)
{
	return !sa->gone && !sa->fault && sa->ids_good && sa->state == ENGINE_IKE_ESTABLISHED &&
	       has_fit(sa, CHILD_NARROW);
}

bool sa_narrow(const struct sa *sa)
{
	return !has_fit(sa, CHILD_WHOLE);
}

static void unlink_peer(struct sa *sa)
{
	struct sa **s;

	if (!sa->peer)
		return;
	for (s = &sa->peer->sas; *s && *s != sa; s = &(*s)->next)
		;
	if (*s)
		*s = sa->next;
	if (sa->peer->best == sa)
		sa->peer->best = NULL;
	sa->peer = NULL;
	sa->next = NULL;
}

static void link_peer(struct sa *sa, struct peer *p)
{
	struct sa **s = &p->sas;

	while (*s && (*s)->id < sa->id)
		s = &(*s)->next;
	sa->next = *s;
	*s = sa;
	sa->peer = p;
}

void sa_free(struct engine *e, struct sa *sa)
{
	struct peer *p = sa->peer;

	unlink_peer(sa);
	if (p)
		peer_dirty(e, p);
	if (sa->fault)
		e->n_bad--;
	claim_drop_sa(e, sa);
	map_remove(&e->sas, &sa->node);
	if (sa->all_prev)
		sa->all_prev->all_next = sa->all_next;
	else
		e->sa_head = sa->all_next;
	if (sa->all_next)
		sa->all_next->all_prev = sa->all_prev;
	else
		e->sa_tail = sa->all_prev;
	e->n_sas--;
	e->n_foreign -= sa->foreign;
	if (sa->join)
		join_sa_gone(e, sa);
	op_drop(e, &sa->op);
	mem_free(e, sa->children, sa->cap_children * sizeof(*sa->children));
	mem_free(e, sa, sizeof(*sa));
}

void sas_forget(struct engine *e)
{
	while (e->sa_head)
		sa_free(e, e->sa_head);
}

/* ---- one row ---- */

static bool is_ours(const char *conn)
{
	return conn && (!strncmp(conn, ENGINE_CONN_PREFIX, strlen(ENGINE_CONN_PREFIX)) ||
	                       !strcmp(conn, UNNAMED));
}

/* What we ask a seed by: the host made it, and ends it. */
static bool is_asking(const struct engine *e, const char *conn)
{
	return join_is_asking(e) && !strcmp(conn, JOIN_ASK_CONN);
}

struct sa *sa_new(struct engine *e, uint32_t id)
{
	struct sa *sa;

	if (e->n_sas >= ENGINE_SAS_MAX)
		return NULL;
	sa = mem_alloc(e, sizeof(*sa));
	if (!sa)
		return NULL;
	if (map_add(&e->sas, &sa->node, id)) {
		mem_free(e, sa, sizeof(*sa));
		e->oom = true;
		return NULL;
	}
	sa->id = id;
	sa->since_us = sa->childless_us = e->now.mono_us;
	sa->established_us = -1;
	sa->rekey_us = ENGINE_NEVER;
	sa->all_prev = e->sa_tail;
	if (e->sa_tail)
		e->sa_tail->all_next = sa;
	else
		e->sa_head = sa;
	e->sa_tail = sa;
	e->n_sas++;
	return sa;
}

static void take_name(struct engine *e, struct sa *sa, const char *conn)
{
	struct peer *p;
	bool old;

	sa->unnamed = !strcmp(conn, UNNAMED);
	sa->join |= !strcmp(conn, JOIN_CONN);
	if (sa->unnamed || sa->join)
		return;
	p = conn_peer(e, conn + strlen(ENGINE_CONN_PREFIX), &old);
	if (p)
		p->twin |= old;
	if (p == sa->peer)
		return;
	unlink_peer(sa);
	if (p)
		link_peer(sa, p);
}

static void take_ids(struct engine *e, struct sa *sa, const struct engine_sa_row *row)
{
	const struct peer *p = sa->peer;

	if (row->state != ENGINE_IKE_ESTABLISHED || !row->remote_id || !*row->remote_id)
		return;
	sa->ids_known = true;
	sa->ids_good = false;
	sa->self_epoch = e->self_epoch;
	if (!p || (!p->claimed && !p->want))
		return;
	sa->ids_good = row->local_id && rotation_ids(e, p, sa, row->local_id, row->remote_id);
}

static bool prefix_is(const struct policy_prefix *x, const struct policy_addr *a)
{
	return a->family && x->len == (a->family == 2 /* AF_INET */ ? 32 : 128) &&
	       addr_equal(&x->addr, a);
}

bool ts_exact(const struct policy_prefix *ts, size_t n, const struct policy_addr *a4,
        const struct policy_addr *a6)
{
	bool has4 = !a4->family, has6 = !a6->family;

	for (size_t i = 0; i < n; i++) {
		bool is4 = prefix_is(&ts[i], a4), is6 = prefix_is(&ts[i], a6);

		if (!is4 && !is6)
			return false;
		has4 |= is4;
		has6 |= is6;
	}
	return has4 && has6;
}

/* Which of the two addresses: bit 0 is a4, bit 1 is a6; -1: another is among them. */
static int ts_which(const struct policy_prefix *ts, size_t n, const struct policy_addr *a4,
        const struct policy_addr *a6)
{
	int which = 0;

	for (size_t i = 0; i < n; i++) {
		if (prefix_is(&ts[i], a4))
			which |= 1;
		else if (prefix_is(&ts[i], a6))
			which |= 2;
		else
			return -1;
	}
	return which;
}

/*
 * Where the two policies differ in one address, IKE narrows the selectors to the other: what such a
 * child carries is that peer's all the same, and by it the newer policy gets to the other end.
 */
static enum child_fit child_fit(
        const struct engine *e, const struct sa *sa, const struct engine_child_row *c)
{
	const struct peer *p = sa->peer;
	const struct policy_addr *r4, *r6;
	int local, remote;

	if (!p || !e->self || c->odd_ts || c->n_local_ts > ENGINE_TS_MAX ||
	        c->n_remote_ts > ENGINE_TS_MAX || (!p->claimed && !p->want))
		return CHILD_BAD;
	r4 = p->claimed ? &p->addr4 : &p->want->addr4;
	r6 = p->claimed ? &p->addr6 : &p->want->addr6;
	if (ts_exact(c->local_ts, c->n_local_ts, &e->self->addr4, &e->self->addr6) &&
	        ts_exact(c->remote_ts, c->n_remote_ts, r4, r6))
		return CHILD_WHOLE;
	local = ts_which(c->local_ts, c->n_local_ts, &e->self->addr4, &e->self->addr6);
	remote = ts_which(c->remote_ts, c->n_remote_ts, r4, r6);
	return local > 0 && remote > 0 && (local & remote) ? CHILD_NARROW : CHILD_BAD;
}

static struct child *child_slot(struct engine *e, struct sa *sa, uint32_t id)
{
	for (size_t i = 0; i < sa->n_children; i++)
		if (sa->children[i].id == id)
			return &sa->children[i];
	if (sa->n_children >= ENGINE_CHILDREN_MAX) {
		sa->crowded = true;
		return NULL;
	}
	if (sa->n_children == sa->cap_children) {
		size_t cap = sa->cap_children ? sa->cap_children * 2 : 1;
		struct child *v = mem_alloc(e, cap * sizeof(*v));

		if (!v)
			return NULL;
		if (sa->children)
			memcpy(v, sa->children, sa->n_children * sizeof(*v));
		mem_free(e, sa->children, sa->cap_children * sizeof(*v));
		sa->children = v;
		sa->cap_children = cap;
	}
	return &sa->children[sa->n_children++];
}

static void child_take(struct engine *e, struct sa *sa, const struct engine_child_row *c)
{
	struct child *slot = child_slot(e, sa, c->id);

	if (slot)
		*slot = (struct child){.id = c->id,
		        .state = c->state,
		        .fit = sa->join ? join_child_fit(e, sa, c) : child_fit(e, sa, c),
		        .bytes_in = c->bytes_in,
		        .bytes_out = c->bytes_out};
}

static void child_drop(struct sa *sa, uint32_t id)
{
	for (size_t i = 0; i < sa->n_children; i++) {
		if (sa->children[i].id == id) {
			sa->children[i] = sa->children[--sa->n_children];
			return;
		}
	}
}

static bool has_child(const struct sa *sa)
{
	for (size_t i = 0; i < sa->n_children; i++)
		if (sa->children[i].state == ENGINE_CHILD_INSTALLED)
			return true;
	return false;
}

static void take_row(struct engine *e, struct sa *sa, const struct engine_sa_row *row)
{
	take_name(e, sa, row->conn);
	sa->state = row->state;
	sa->initiator = row->initiator;
	sa->local_host = row->local_host;
	sa->remote_host = row->remote_host;
	sa->remote_port = row->remote_port;
	if (row->established_s >= 0 && row->established_s < INT32_MAX)
		sa->established_us = e->now.mono_us - row->established_s * 1000000;
	if (row->state == ENGINE_IKE_ESTABLISHED && !sa->begun_us) {
		sa->begun_here = row->initiator;
		sa->begun_us = sa->established_us >= 0 ? sa->established_us : e->now.mono_us;
	}
	sa->rekey_us = ENGINE_NEVER;
	if (row->rekey_s > INT32_MIN && row->rekey_s < INT32_MAX)
		sa->rekey_us = e->now.mono_us + row->rekey_s * 1000000;
	sa->crowded |= row->truncated;
	if (sa->join)
		join_sa_seen(e, sa, &row->remote_host);
	take_ids(e, sa, row);
}

static void settle(struct engine *e, struct sa *sa, const struct engine_sa_row *row)
{
	bool had_child = sa->known_child;

	sa->known_child = has_child(sa);
	if (sa->known_child || had_child)
		sa->childless_us = e->now.mono_us; /* since now, if it has none any more */
	sa_judge(e, sa);
	if ((sa->fault == SA_UNKNOWN || sa->fault == SA_IDENTITY || sa->fault == SA_SELECTORS ||
	            sa->fault == SA_CROWDED) &&
	        row)
		claim_by_sa(e, sa, row);
	if (sa->peer)
		peer_dirty(e, sa->peer);
}

/* ---- lists ---- */

static void list_row(struct engine *e, const struct engine_sa_row *row)
{
	struct sa *sa;

	if (!row->conn)
		return;
	if (!is_ours(row->conn)) {
		foreign_listed(e, row);
		return;
	}
	if (is_asking(e, row->conn))
		return;
	sa = sa_find(e, row->id);
	if (sa && (sa->gone || sa->touched > e->list_seq)) {
		sa->listed = e->list_seq;
		return;
	}
	if (!sa)
		sa = sa_new(e, row->id);
	if (!sa)
		return;
	sa->listed = e->list_seq;
	sa->seen_us = e->now.mono_us;
	sa->lost = false;
	take_row(e, sa, row);
	sa->n_children = 0;
	sa->crowded = row->truncated;
	for (size_t i = 0; i < row->n_children && i < ENGINE_CHILDREN_MAX; i++)
		child_take(e, sa, &row->children[i]);
	if (!e->snapshot && row->state == ENGINE_IKE_CONNECTING)
		sa->inherited = true;
	if (!e->snapshot && row->state == ENGINE_IKE_ESTABLISHED && !row->n_children &&
	        !sa->unnamed && !sa->join && !IMPAIRED(IMPAIR_ADMIT_BEFORE_GONE)) {
		/* An earlier run's, and nobody knows which selectors its next child will have. */
		sa->asked = true;
		claim_everything(e, sa);
	}
	settle(e, sa, row);
}

/*
 * A peer can grow its SA until charon cannot tell of it any more: then it is in no list, and
 * carries on. Only charon's word that it ended it (or the event that it ended) is proof. What never
 * was up, or was about to go, ends without an event.
 */
static bool is_proven_gone(const struct engine *e, const struct sa *sa)
{
	if (sa->gone || sa->unnamed || sa->state != ENGINE_IKE_ESTABLISHED ||
	        IMPAIRED(IMPAIR_TRUST_LISTS))
		return true;
	if (sa->peer && sa->peer->revoking)
		return sa->peer->ended && sa->peer->ended_seq < e->list_seq;
	return sa->ended_seq && sa->ended_seq < e->list_seq;
}

static void forget_unlisted(struct engine *e, bool complete)
{
	struct sa *sa = e->sa_head, *next;

	for (; sa; sa = next) {
		next = sa->all_next;
		if (sa->gone)
			sa_free(e, sa);
		else if (complete && sa->listed != e->list_seq && sa->touched <= e->list_seq &&
		         (!e->list_peer || sa->peer == e->list_peer)) {
			if (sa->peer && sa->initiator && sa->state == ENGINE_IKE_CONNECTING)
				demand_failed(e, sa->peer);
			if (is_proven_gone(e, sa))
				sa_free(e, sa);
			else
				sa_lost(e, sa);
		}
	}
}

void sas_snapshot(struct engine *e, const struct engine_event *ev)
{
	bool complete = !ev->sas.truncated && ev->sas.n <= ENGINE_SAS_MAX;
	bool flush = IMPAIRED(IMPAIR_FLUSH_ON_START) && !e->snapshot;

	for (size_t i = 0; i < ev->sas.n && i < ENGINE_SAS_MAX; i++)
		list_row(e, &ev->sas.rows[i]);
	if (e->oom)
		complete = false; /* not all of it could be noted */
	forget_unlisted(e, complete);
	for (struct sa *sa = e->sa_head; flush && sa; sa = sa->all_next) {
		sa->asked = true;
		sa_judge(e, sa);
	}
	if (complete)
		revoke_verified(e, e->list_peer);
}

/* ---- events ---- */

void sa_down(struct engine *e, uint32_t id)
{
	struct sa *sa = sa_find(e, id);

	if (!sa && e->list_op.id)
		sa = sa_new(e, id); /* the list under way may still show it */
	if (!sa)
		return;
	if (!e->list_op.id) {
		sa_free(e, sa);
		return;
	}
	sa->gone = true;
	sa->touched = e->seq;
	sa->n_children = 0;
	claim_drop_sa(e, sa);
	if (sa->peer)
		peer_dirty(e, sa->peer);
}

/*
 * If nobody deleted it, its other end went silent. Where there is another way, that goes first.
 */
static void sa_ended(struct engine *e, const struct engine_sa_row *row)
{
	const struct sa *sa = sa_find(e, row->id);

	if (sa && sa->peer && sa == sa->peer->best && row->state == ENGINE_IKE_ESTABLISHED)
		sa->peer->ep++;
	else if (sa && row->state == ENGINE_IKE_LEAVING)
		turned_away(e, sa);
}

static struct sa *event_sa(struct engine *e, const struct engine_sa_row *row)
{
	struct sa *sa = sa_find(e, row->id);

	if (!sa)
		sa = sa_new(e, row->id);
	if (!sa)
		return NULL;
	sa->touched = e->seq;
	sa->gone = false;
	take_row(e, sa, row);
	return sa;
}

static void rekeyed(struct engine *e, struct sa *sa, uint32_t old_id)
{
	struct sa *old = sa_find(e, old_id);

	if (!old || old == sa)
		return;
	sa->begun_here = old->begun_here;
	sa->begun_us = old->begun_us;
	sa->rival_us = old->rival_us;
	sa->alive_us = e->now.mono_us;
	if (!sa->n_children && sa->cap_children == 0) {
		sa->children = old->children;
		sa->n_children = old->n_children;
		sa->cap_children = old->cap_children;
		old->children = NULL;
		old->n_children = old->cap_children = 0;
	}
	sa_down(e, old_id);
}

void sas_event(struct engine *e, const struct engine_event *ev)
{
	const struct engine_sa_row *row = ev->sa.row;
	struct sa *sa;

	if (!row || !row->conn || e->charon == ENGINE_CHARON_DOWN || !e->policy)
		return;
	if (!is_ours(row->conn)) {
		foreign_event(e, ev);
		return;
	}
	if (is_asking(e, row->conn))
		return;
	if (ev->sa.change == ENGINE_SA_DOWN) {
		sa_ended(e, row);
		sa_down(e, row->id);
		return;
	}
	if (IMPAIRED(IMPAIR_LEAK))
		e->memory += 1024; /* counted as held, for ever */
	sa = event_sa(e, row);
	if (!sa)
		return;
	switch (ev->sa.change) {
	case ENGINE_SA_UP:
		sa_not_stale(e, sa);
		__attribute__((fallthrough));
	case ENGINE_SA_CHILD_UP:
		for (size_t i = 0; i < row->n_children && i < ENGINE_CHILDREN_MAX; i++)
			child_take(e, sa, &row->children[i]);
		break;
	case ENGINE_SA_REKEYED:
		rekeyed(e, sa, ev->sa.old_id);
		for (size_t i = 0; i < row->n_children && i < ENGINE_CHILDREN_MAX; i++)
			child_take(e, sa, &row->children[i]);
		break;
	case ENGINE_SA_CHILD_DOWN:
		for (size_t i = 0; i < row->n_children && i < ENGINE_CHILDREN_MAX; i++)
			child_drop(sa, row->children[i].id);
		break;
	case ENGINE_SA_CHILD_REKEYED:
		sa->alive_us = e->now.mono_us;
		child_drop(sa, ev->sa.old_id);
		for (size_t i = 0; i < row->n_children && i < ENGINE_CHILDREN_MAX; i++)
			child_take(e, sa, &row->children[i]);
		break;
	case ENGINE_SA_UPDATED:
	case ENGINE_SA_DOWN:
		break;
	}
	settle(e, sa, row);
}

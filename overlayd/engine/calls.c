/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Calls: who opens a session to whom, and when again. Every node calls every seed; of two seeds the
 * one with the lower name calls the other.
 */
#include "engine/cluster_internal.h"

#include <string.h>

void call_again(struct cluster *c, struct member *m)
{
	if (m->dial_at < m->deaf_until)
		m->dial_at = m->deaf_until;
	if (m->seed && m->dial_at < c->dial_due)
		c->dial_due = m->dial_at;
}

struct sess *sess_open(struct cluster *c, struct member *m, bool extra)
{
	struct policy_addr addr, from;
	struct engine_effect *fx;
	struct sess *s;

	if (!c->self || !member_addrs(c, m, &addr, &from))
		return NULL;
	s = sess_new(c, m, *c->next_id + 1);
	if (!s)
		return NULL;
	s->ours = true;
	s->extra = extra;
	s->deadline = c->now.mono_us + OPEN_US;
	fx = cl_effect(c, ENGINE_FX_SESSION_OPEN, true);
	if (!fx) {
		s->ours = false;
		sess_close(c, s, false);
		return NULL;
	}
	fx->session.session = fx->id;
	fx->session.peer = cl_str(c, m->name);
	fx->session.addr = addr;
	fx->session.from = from;
	return s;
}

static bool is_caller(const struct cluster *c, const struct member *m)
{
	return m->seed && (!c->self_seed || strcmp(c->self->name, m->name) < 0);
}

/* The other one does not call: it may know of another policy, by which it need not. */
static bool is_left_alone(struct cluster *c, struct member *m)
{
	if (sess_up(m)) {
		m->alone_us = 0;
		return false;
	}
	if (!m->alone_us)
		m->alone_us = c->now.mono_us;
	if (c->now.mono_us >= m->alone_us + OTHER_CALLS_US)
		return true;
	if (m->alone_us + OTHER_CALLS_US < c->dial_due)
		c->dial_due = m->alone_us + OTHER_CALLS_US;
	return false;
}

/*
 * A session that the new policy does not provide for ends, but not before the other could hear of
 * that policy on it. Who is called is looked at again.
 */
void calls_members(struct cluster *c)
{
	for (struct sess *s = c->sess_head; s; s = s->next)
		if (s->ours && !s->m->seed && s->deadline == ENGINE_NEVER) {
			s->deadline = c->now.mono_us + EXTRA_US;
			if (s->deadline < c->ending_due)
				c->ending_due = s->deadline;
		}
	c->dial_due = c->now.mono_us;
}

static void dial(struct cluster *c, struct member *m)
{
	if (m->reach != CLUSTER_UP || sess_any(m, true))
		return;
	if (!is_caller(c, m) && !is_left_alone(c, m))
		return;
	if (m->dial_at > c->now.mono_us) {
		if (m->dial_at < c->dial_due)
			c->dial_due = m->dial_at;
	} else if (!sess_open(c, m, false)) {
		m->dial_at = c->now.mono_us + DIAL_MIN_US;
		call_again(c, m);
	}
}

static void overdue(struct cluster *c, struct sess *s)
{
	struct member *m = s->m;

	if (c->now.mono_us < s->deadline)
		return;
	if (!s->up)
		sess_lost(c, s, "it did not open in time");
	sess_close(c, s, true);
	call_again(c, m);
}

/* Those with the seeds of an earlier policy. */
static void endings_tick(struct cluster *c)
{
	if (c->now.mono_us < c->ending_due)
		return;
	c->ending_due = ENGINE_NEVER;
	for (struct sess *s = c->sess_head, *next; s; s = next) {
		next = s->next;
		if (!s->ours || s->m->seed || s->extra)
			continue;
		if (c->now.mono_us >= s->deadline)
			overdue(c, s);
		else if (s->deadline < c->ending_due)
			c->ending_due = s->deadline;
	}
}

void calls_tick(struct cluster *c)
{
	if (c->extra)
		overdue(c, c->extra);
	endings_tick(c);
	if (c->now.mono_us < c->dial_due)
		return;
	c->dial_due = ENGINE_NEVER;
	for (size_t i = 0; i < c->n_seeds; i++) {
		struct sess *s = sess_any(c->seeds[i], true);

		if (s)
			overdue(c, s);
		dial(c, c->seeds[i]);
		s = sess_any(c->seeds[i], true);
		if (s && s->deadline < c->dial_due)
			c->dial_due = s->deadline;
	}
}

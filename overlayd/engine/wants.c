/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Wants: a bundle that is too large to be pushed, or that nobody pushes, is asked for: from one
 * session at a time, seeds first; who does not deliver is not asked again for a while. And the
 * other side: what others ask of us, within what we are willing to send.
 */
#include "engine/cluster_internal.h"

/* ---- asking ---- */

static bool may_ask(const struct cluster *c, const struct sess *s)
{
	return s->up && s->has_state && c->now.mono_us >= s->m->unasked_until &&
	       head_interesting(c, &s->theirs);
}

static void want_send(struct cluster *c, struct sess *s)
{
	struct session_msg *msg = cl_arena(c, sizeof(*msg));

	if (!msg)
		return;
	*msg = (struct session_msg){.type = SESSION_WANT};
	/* Of a fork there is no difference to be had, and of a faulty one no second. */
	if (!s->no_delta && s->theirs.serial != c->head.serial)
		msg->head = c->head;
	if (!sess_send(c, s, msg, true))
		return;
	s->large_ok = true;
	c->want = s;
	c->want_head = s->theirs;
	c->want_deadline = c->now.mono_us + WANT_US;
}

void want_consider(struct cluster *c, struct sess *s)
{
	if (!c->want && may_ask(c, s))
		want_send(c, s);
	else if (head_interesting(c, &s->theirs) && s->m->unasked_until < c->want_scan_at)
		c->want_scan_at = s->m->unasked_until;
}

void want_done(struct cluster *c, struct sess *s)
{
	if (c->want != s)
		return;
	c->want = NULL;
	c->want_scan_at = c->now.mono_us;
}

static bool is_better(const struct sess *a, const struct sess *b)
{
	if (!b)
		return true;
	if (a->m->seed != b->m->seed)
		return a->m->seed;
	return a->theirs.serial > b->theirs.serial;
}

/* Whoever has something; and when the first of those that are not asked now may be. */
static void want_scan(struct cluster *c)
{
	struct sess *best = NULL;

	c->want_scan_at = ENGINE_NEVER;
	for (struct sess *s = c->sess_head; s; s = s->next) {
		if (may_ask(c, s)) {
			if (is_better(s, best))
				best = s;
		} else if (s->up && s->has_state && head_interesting(c, &s->theirs) &&
		           s->m->unasked_until < c->want_scan_at) {
			c->want_scan_at = s->m->unasked_until;
		}
	}
	if (best)
		want_send(c, best);
}

static void want_failed(struct cluster *c)
{
	struct member *m = c->want->m;

	m->shuns += m->shuns < 30;
	m->unasked_until = c->now.mono_us + cl_backoff(c, m->shuns, SHUN_MIN_US, SHUN_MAX_US);
	if (head_interesting(c, &c->want_head) && member_may_tell(c, m))
		cl_notice(c, ENGINE_WARNING, ENGINE_N_WITHHELD, m,
		        "%s says that serial %llu is in force there, and does not send it.",
		        m->name, (unsigned long long)c->want_head.serial);
	want_done(c, c->want);
}

void wants_tick(struct cluster *c)
{
	if (c->want && !head_interesting(c, &c->want_head))
		want_done(c, c->want); /* it came another way */
	if (c->want && c->now.mono_us >= c->want_deadline)
		want_failed(c);
	if (!c->want && c->now.mono_us >= c->want_scan_at)
		want_scan(c);
}

int64_t wants_wakeup(const struct cluster *c)
{
	return c->want ? c->want_deadline : c->want_scan_at;
}

/* ---- being asked ---- */

static bool serve_budget(struct cluster *c, size_t len)
{
	int64_t passed = c->now.mono_us - c->serve_us;

	c->serve_us = c->now.mono_us;
	if (passed < SERVE_BURST / SERVE_RATE * 1000000) /* else it would be full, or overflow */
		c->serve_budget += passed * SERVE_RATE / 1000000;
	else
		c->serve_budget = SERVE_BURST;
	if (c->serve_budget > SERVE_BURST)
		c->serve_budget = SERVE_BURST;
	if (c->serve_budget <= 0)
		return false;
	c->serve_budget -= (int64_t)len; /* may go below: the next one waits longer */
	return true;
}

void want_serve(struct cluster *c, struct sess *s)
{
	int64_t again = s->m->served_us + SERVE_GAP_US;
	struct session_msg *msg;
	bool naming;

	if (s->m->served_us && c->now.mono_us < again) {
		sessions_slow(c, s, again);
		return;
	}
	msg = cl_arena(c, sizeof(*msg));
	naming = msg && !s->named && s->has_state && naming_payload(c, &s->theirs, msg);
	if (!msg || (!naming && !bundle_payload(c, &s->want_base, true, msg))) {
		s->wanted = false;
		return;
	}
	if (!serve_budget(c, msg->len)) {
		sessions_slow(c, s, c->now.mono_us + 1000000);
		return;
	}
	s->wanted = false;
	s->m->served_us = s->served_us = c->now.mono_us;
	if (!sess_send(c, s, msg, false))
		return;
	if (naming) { /* once: whoever knows the key already has no use for it */
		s->named = true;
		s->greeted = false; /* what is in force here is said again behind it */
		return;
	}
	s->served = c->head;
	s->served_base = s->want_base;
}

/* It is under way, on a slow link; what is sent is not lost unless the session is. */
static bool is_under_way(const struct cluster *c, const struct sess *s)
{
	return head_same(&s->served, &c->head) && head_same(&s->served_base, &s->want_base) &&
	       c->now.mono_us < s->served_us + SERVE_AGAIN_US;
}

void want_asked(struct cluster *c, struct sess *s, const struct session_head *base)
{
	if (!c->head.serial)
		return;
	s->want_base = *base;
	s->wanted = !is_under_way(c, s);
	sess_dirty(c, s);
}

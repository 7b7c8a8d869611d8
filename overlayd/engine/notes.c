/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Notes: members that can reach each other anyway compare serials, past the seeds. Who hears of a
 * bundle that its seeds do not deliver within DOUBT_US fetches it where it heard of it, and says
 * so once that bundle has proven itself: a note alone is nobody's fault.
 *
 * Who has a session gets none, so seeds hardly send any. A tunnel on demand is to sleep when its
 * users do: it takes one note soon after it came up, one of those that follow a bundle, and no other.
 */
#include "engine/cluster_internal.h"

#include <stdio.h>
#include <string.h>

/* ---- sending ---- */

static void note_send(struct cluster *c, const struct member *m)
{
	struct policy_addr addr, from;
	struct engine_effect *fx;

	if (!member_addrs(c, m, &addr, &from))
		return;
	fx = cl_effect(c, ENGINE_FX_NOTE_SEND, true);
	if (!fx)
		return;
	fx->note.peer = cl_str(c, m->name);
	fx->note.addr = addr;
	fx->note.from = from;
	fx->note.head = c->head;
}

/*
 * Up to n that are connected, at least so, and that we do not talk to anyway, each with the same
 * chance (reservoir).
 */
static void notes_send(struct cluster *c, int n, enum cluster_reach least)
{
	const struct member *chosen[NOTES_AFTER];
	int64_t seen = 0;
	int have = 0;

	if (!c->self || IMPAIRED(IMPAIR_NO_NOTES))
		return;
	for (const struct member *m = c->member_head; m; m = m->next) {
		int64_t at;

		if (m->reach < least || sess_up(m))
			continue;
		seen++;
		if (have < n) {
			chosen[have++] = m;
			continue;
		}
		at = cl_jitter(c, seen);
		if (at < n)
			chosen[at] = m;
	}
	for (int i = 0; i < have; i++)
		note_send(c, chosen[i]);
}

void notes_changed(struct cluster *c)
{
	c->note_burst_at = c->now.mono_us + NOTE_AFTER_US;
}

/* In a while: the other end has to have let us in. */
void notes_woke(struct cluster *c, struct member *m)
{
	m->woke = true;
	if (c->note_woke_at > c->now.mono_us + NOTE_AFTER_US)
		c->note_woke_at = c->now.mono_us + NOTE_AFTER_US;
}

/* One that woke meanwhile has its note early, and both ends send one. */
static void woke_tick(struct cluster *c)
{
	if (c->now.mono_us < c->note_woke_at)
		return;
	c->note_woke_at = ENGINE_NEVER;
	for (struct member *m = c->member_head; m; m = m->next) {
		if (!m->woke)
			continue;
		m->woke = false;
		if (c->has_key && c->self && c->head.serial && !sess_up(m) &&
		        !IMPAIRED(IMPAIR_NO_NOTES))
			note_send(c, m);
	}
}

/* ---- hearing ---- */

void notes_forget(struct cluster *c, struct member *m)
{
	for (size_t i = 0; i < c->n_tellers; i++)
		if (c->tellers[i] == m) {
			c->tellers[i] = c->tellers[--c->n_tellers];
			break;
		}
	m->noted = (struct session_head){0};
}

static void teller_add(struct cluster *c, struct member *m, const struct session_head *head)
{
	bool known = m->noted.serial != 0;

	if (!known && c->n_tellers == TELLERS)
		return; /* those who know of it say it again */
	if (!known) {
		c->tellers[c->n_tellers++] = m;
		m->noted_us = c->now.mono_us;
	}
	m->noted = *head;
	if (c->doubt_at > m->noted_us + DOUBT_US)
		c->doubt_at = m->noted_us + DOUBT_US;
}

void cluster_note(struct cluster *c, const char *peer, const struct session_head *head)
{
	struct member *m = c->has_key && c->self && peer ? member_get(c, peer) : NULL;

	if (!m || IMPAIRED(IMPAIR_NO_NOTES))
		return;
	if (head->serial < c->head.serial) {
		if (c->now.mono_us < m->note_reply_at || m->reach < CLUSTER_AWAKE)
			return;
		m->note_reply_at = c->now.mono_us + NOTE_GAP_US;
		note_send(c, m);
	} else if (head_interesting(c, head) && c->now.mono_us >= m->unasked_until) {
		teller_add(c, m, head);
	}
}

/* ---- seeds that hold back ---- */

/* A session is opened with one teller at a time; the others wait until that came to an end. */
static void doubt(struct cluster *c)
{
	c->doubt_at = ENGINE_NEVER;
	for (size_t i = 0; i < c->n_tellers;) {
		struct member *m = c->tellers[i];
		int64_t due = m->noted_us + DOUBT_US;

		if (!head_interesting(c, &m->noted) || m->reach == CLUSTER_GONE ||
		        c->now.mono_us < m->unasked_until) {
			notes_forget(c, m);
			continue;
		}
		i++;
		if (due > c->now.mono_us) {
			if (due < c->doubt_at)
				c->doubt_at = due;
		} else if (!c->extra && !sess_any(m, true)) {
			c->extra = sess_open(c, m, true);
		}
	}
	if (c->n_tellers && c->doubt_at > c->now.mono_us + DOUBT_US)
		c->doubt_at = c->now.mono_us + DOUBT_US;
}

static size_t name_add(char *buf, size_t size, size_t n, const struct member *m)
{
	int k = snprintf(buf + n, size - n, "%s%s", n ? ", " : "", m->name);

	return k < 0 || (size_t)k >= size - n ? n : n + (size_t)k;
}

/*
 * A bundle came from s, signed and in force. If a note told of it a while ago and its teller had to
 * bring it: which of our seeds, with whom there is a session for as long, did not?
 */
void notes_delivered(struct cluster *c, struct sess *s)
{
	struct member *m = s->m;
	int64_t since = m->noted_us;
	char names[256] = "";
	size_t n = 0, left = 0;

	if (m->seed || c->self_seed || !m->noted.serial || c->now.mono_us < since + DOUBT_US)
		return;
	for (size_t i = 0; i < c->n_seeds; i++) {
		struct sess *up = sess_up(c->seeds[i]);
		size_t was = n;

		if (!up || up->since_us > since)
			continue;
		n = name_add(names, sizeof(names), n, c->seeds[i]);
		left += n == was;
	}
	if (n)
		cl_notice(c, ENGINE_WARNING, ENGINE_N_WITHHELD, m,
		        "Serial %llu came from %s and was not passed on by %s%s: see whether that "
		        "seed can be trusted.",
		        (unsigned long long)c->head.serial, m->name, names,
		        left ? " and others" : "");
}

/* It gave what it had, or that came another way; or it does not give it, or never had it. */
static bool is_served(const struct cluster *c, const struct sess *s)
{
	return s->up && s->has_state &&
	       (!head_interesting(c, &s->theirs) || c->now.mono_us < s->m->unasked_until);
}

void notes_tick(struct cluster *c)
{
	if (c->now.mono_us >= c->note_burst_at) {
		c->note_burst_at = ENGINE_NEVER;
		notes_send(c, NOTES_AFTER, CLUSTER_AWAKE);
	}
	if (c->now.mono_us >= c->note_next) {
		c->note_next = c->now.mono_us + NOTE_MIN_US + cl_jitter(c, NOTE_JITTER_US);
		notes_send(c, 1, CLUSTER_UP);
	}
	woke_tick(c);
	if (c->now.mono_us >= c->doubt_at)
		doubt(c);
	if (c->extra && is_served(c, c->extra))
		sess_close(c, c->extra, true);
}

int64_t notes_wakeup(const struct cluster *c)
{
	int64_t at = c->note_burst_at < c->note_next ? c->note_burst_at : c->note_next;

	at = c->note_woke_at < at ? c->note_woke_at : at;
	return c->doubt_at < at ? c->doubt_at : at;
}

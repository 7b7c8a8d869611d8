/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Sessions: to every seed, opened again when they end; of two seeds the one with the lower name
 * opens. Others come to us. What is said on them follows from one comparison: what we have in
 * force, what the other said it has, and what it was told.
 */
#include "engine/cluster_internal.h"

#include <errno.h>
#include <string.h>

static struct sess *sess_find(const struct cluster *c, uint64_t id)
{
	return id ? (struct sess *)map_find(&c->sessions, id) : NULL;
}

struct sess *sess_up(const struct member *m)
{
	for (struct sess *s = m->sessions; s; s = s->peer_next)
		if (s->up)
			return s;
	return NULL;
}

struct sess *sess_any(const struct member *m, bool ours)
{
	for (struct sess *s = m->sessions; s; s = s->peer_next)
		if (s->ours == ours)
			return s;
	return NULL;
}

void sess_dirty(struct cluster *c, struct sess *s)
{
	if (s->dirty)
		return;
	s->dirty = true;
	s->dirty_next = c->dirty;
	c->dirty = s;
}

static void dirty_drop(struct cluster *c, struct sess *s)
{
	struct sess **p = &c->dirty;

	if (!s->dirty)
		return;
	while (*p != s)
		p = &(*p)->dirty_next;
	*p = s->dirty_next;
	s->dirty = false;
}

/* ---- begin and end ---- */

struct sess *sess_new(struct cluster *c, struct member *m, uint64_t id)
{
	struct sess *s = cl_alloc(c, sizeof(*s));

	if (!s)
		return NULL;
	if (map_add(&c->sessions, &s->node, id)) {
		c->oom = true;
		cl_free(c, s, sizeof(*s));
		return NULL;
	}
	s->m = m;
	s->deadline = ENGINE_NEVER;
	s->since_us = c->now.mono_us;
	s->budget = MSG_BURST;
	s->budget_us = c->now.mono_us;
	s->peer_next = m->sessions;
	m->sessions = s;
	s->prev = c->sess_tail;
	if (s->prev)
		s->prev->next = s;
	else
		c->sess_head = s;
	c->sess_tail = s;
	return s;
}

/* Without memory now it is said later. */
static void close_unknown(struct cluster *c, uint64_t id)
{
	struct engine_effect *fx = cl_effect(c, ENGINE_FX_SESSION_CLOSE, true);

	if (fx)
		fx->session.session = id;
	else
		c->unclosed[c->n_unclosed++ % UNCLOSED] = id;
}

static void unclosed_tick(struct cluster *c)
{
	size_t n = c->n_unclosed < UNCLOSED ? c->n_unclosed : UNCLOSED;

	c->n_unclosed = 0;
	for (size_t i = 0; i < n; i++)
		close_unknown(c, c->unclosed[i]);
}

void sess_close(struct cluster *c, struct sess *s, bool tell_host)
{
	struct member *m = s->m;
	struct sess **p = &m->sessions;

	if (tell_host && c->next_id)
		close_unknown(c, s->node.key);
	while (*p != s)
		p = &(*p)->peer_next;
	*p = s->peer_next;
	dirty_drop(c, s);
	c->n_up -= s->up;
	if (c->extra == s)
		c->extra = NULL;
	if (s->extra)
		notes_forget(c, m);
	if (c->want == s)
		want_done(c, s);
	map_remove(&c->sessions, &s->node);
	*(s->prev ? &s->prev->next : &c->sess_head) = s->next;
	*(s->next ? &s->next->prev : &c->sess_tail) = s->prev;
	if (s->ours || m->seed)
		call_again(c, m);
	cl_free(c, s, sizeof(*s));
}

/* True: it is another than before. */
static bool member_text(struct cluster *c, struct member *m, const char *text)
{
	char clean[ENGINE_TEXT_MAX];
	size_t n;

	text_set(clean, sizeof(clean), text);
	n = strlen(clean) + 1;
	if (m->text && !strcmp(m->text, clean))
		return false;
	if (m->text)
		cl_free(c, m->text, strlen(m->text) + 1);
	m->text = cl_alloc(c, n);
	if (m->text)
		memcpy(m->text, clean, n);
	return true;
}

/*
 * Its tunnel is up, so its overlayd is most likely being started anew: it is called until it
 * answers, ever less often. Each delay is a part of the time gone by, so it is at most that much
 * later that it is met again.
 */
static int64_t call_delay(struct cluster *c, const struct member *m)
{
	int64_t most = (c->now.mono_us - m->away_us) / DIAL_AWAY;

	if (most < DIAL_SOON_US)
		most = DIAL_SOON_US;
	return cl_backoff(c, m->dial_fails, DIAL_MIN_US, most < DIAL_MAX_US ? most : DIAL_MAX_US);
}

/*
 * It came down, or did not come up. Sessions to seeds are news; each reason once, until one is up
 * again. How often that can be, the time between two calls says.
 */
void sess_lost(struct cluster *c, struct sess *s, const char *text)
{
	struct member *m = s->m;
	bool changed;

	if (s->up && c->now.mono_us > s->since_us + STEADY_US)
		m->dial_fails = 0;
	if (!m->dial_fails)
		m->away_us = c->now.mono_us;
	if (s->ours) /* odd and even are two ways: member_addrs() */
		m->dial_fails += m->dial_fails < 64 ? 1 : -1;
	if (s->ours)
		m->dial_at = c->now.mono_us + call_delay(c, m);
	changed = member_text(c, m, text && *text ? text : "no reason given");
	if (s->up || changed || !m->told_down)
		cl_notice(c, m->seed ? ENGINE_NOTICE : ENGINE_DEBUG, ENGINE_N_SESSION_DOWN, m,
		        s->up ? "The session with %s ended: %s."
		              : "No session with %s: %s; it is tried again.",
		        m->name, m->text ? m->text : "");
	m->told_down = true;
}

/* What no overlayd does: the peer is not listened to for a while. */
void sess_violation(struct cluster *c, struct sess *s, const char *what)
{
	struct member *m = s->m;

	member_strike(c, m, STRIKES);
	member_text(c, m, what);
	if (member_may_tell(c, m))
		cl_notice(c, ENGINE_WARNING, ENGINE_N_SESSION_DOWN, m,
		        "%s %s: its sessions are closed for a while.", m->name, what);
	while (m->sessions)
		sess_close(c, m->sessions, true);
}

static void came_up(struct cluster *c, struct sess *s, const char *release)
{
	struct member *m = s->m;

	s->up = true;
	s->since_us = c->now.mono_us;
	s->deadline = s->extra ? c->now.mono_us + EXTRA_US : ENGINE_NEVER;
	c->n_up++;
	voucher_forget(c, m); /* said anew, if it still wants it */
	m->told_down = false;
	m->alone_us = 0;
	if (m->text)
		cl_free(c, m->text, strlen(m->text) + 1);
	m->text = NULL;
	cl_notice(c, m->seed ? ENGINE_INFO : ENGINE_DEBUG, ENGINE_N_SESSION_UP, m,
	        "A session with %s is open%s%s.", m->name, release && *release ? ", overlayd " : "",
	        release ? release : "");
	sess_dirty(c, s);
}

/* A few at once, then one a second: each is greeted, and may be sent something. */
static bool may_come(struct cluster *c, struct member *m)
{
	int64_t more = (c->now.mono_us - m->came_us) / 1000000;

	m->came_us += more * 1000000;
	m->came = more < m->came ? m->came - (uint32_t)more : 0;
	return m->came < CAME_BURST && ++m->came;
}

/* The newest of a peer's stay: an older one may be dead, and nobody noticed yet. */
static void came_in(struct cluster *c, const struct engine_event *ev)
{
	struct member *m = c->has_key && ev->session.peer ? member_get(c, ev->session.peer) : NULL;
	struct sess *s, *oldest = NULL;
	unsigned n = 0;

	if (!m || c->now.mono_us < m->deaf_until || !may_come(c, m)) {
		close_unknown(c, ev->session.id);
		return;
	}
	for (s = m->sessions; s; s = s->peer_next) {
		if (s->ours)
			continue;
		oldest = s;
		n++;
	}
	if (n >= IN_MAX)
		sess_close(c, oldest, true);
	s = sess_new(c, m, ev->session.id);
	if (!s)
		close_unknown(c, ev->session.id);
	else
		came_up(c, s, ev->session.text);
}

void cluster_session(struct cluster *c, const struct engine_event *ev)
{
	struct sess *s = sess_find(c, ev->session.id);

	if (!s && ev->session.up && !ev->session.ours)
		came_in(c, ev);
	else if (!s && ev->session.up)
		close_unknown(c, ev->session.id); /* we gave it up meanwhile */
	else if (s && ev->session.up && !s->up)
		came_up(c, s, ev->session.text);
	else if (s && !ev->session.up) {
		sess_lost(c, s, ev->session.text);
		sess_close(c, s, false);
	}
}

/* ---- what is said ---- */

bool sess_send(struct cluster *c, struct sess *s, const struct session_msg *msg, bool large)
{
	struct engine_effect *fx = cl_effect(c, ENGINE_FX_SESSION_SEND, true);

	if (!fx)
		return false;
	fx->session.session = s->node.key;
	fx->session.peer = cl_str(c, s->m->name);
	fx->session.large = large;
	fx->session.msg = msg;
	return true;
}

/*
 * Seeds push what is new, and so does the node where an admin gave it; everybody else only says
 * what it has, or each seed would get it from every member at once. And to those only that had
 * what we had: who comes late asks one of its seeds.
 */
static void push(struct cluster *c, struct sess *s)
{
	struct session_msg *msg = c->push_msg, naming;

	if (!s->named && naming_payload(c, &s->theirs, &naming))
		return; /* it has to know the key first, and asks */
	if (!s->has_state || s->theirs.serial >= c->head.serial || !(c->self_seed || c->from_admin))
		return;
	if (!msg || !head_same(&c->push_base, &s->theirs)) { /* nearly all have the same */
		msg = cl_arena(c, sizeof(*msg));
		if (!msg || !bundle_payload(c, &s->theirs, true, msg))
			return;
		c->push_msg = msg;
		c->push_base = s->theirs;
	}
	if (msg->len <= SESSION_SMALL_MAX)
		sess_send(c, s, msg, false);
}

/* The push first: who hears of a higher serial and has it not yet, asks for it. */
static void sess_sync(struct cluster *c, struct sess *s)
{
	if (!s->up || !c->self)
		return;
	if (s->greeted && head_same(&s->told, &c->head)) {
		admissions_greet(c, s);
		voucher_say(c, s);
		here_say(c, s);
		return;
	}
	push(c, s);
	if (!c->state_msg) {
		c->state_msg = cl_arena(c, sizeof(*c->state_msg));
		if (!c->state_msg)
			return;
		statements_state(c, c->state_msg);
	}
	if (!sess_send(c, s, c->state_msg, false))
		return;
	s->greeted = true;
	s->told = c->head;
	s->adm_said = false;
	admissions_greet(c, s);
	voucher_say(c, s);
	here_say(c, s);
}

/* What the old key signed nobody can verify who hears it from now on. */
void cluster_key_moved(struct cluster *c)
{
	for (struct sess *s = c->sess_head; s; s = s->next)
		s->greeted = false;
	c->sync_all = true;
}

/* ---- what is heard ---- */

static bool budget_take(struct cluster *c, struct sess *s)
{
	int64_t more = (c->now.mono_us - s->budget_us) / (1000000 / MSG_RATE);

	s->budget_us += more * (1000000 / MSG_RATE);
	s->budget = s->budget + more > MSG_BURST ? MSG_BURST : s->budget + more;
	return s->budget-- > 0;
}

static void on_state(struct cluster *c, struct sess *s, const struct session_msg *msg)
{
	const struct session_statement *st = &msg->statement;
	int ret;

	if (st->kind != SESSION_APPLIED || strcmp(st->node, s->m->name) != 0 ||
	        !head_same(&st->head, &msg->head)) {
		sess_violation(c, s, "sent a state that is not its own");
		return;
	}
	ret = statement_take(c, st, true);
	if (ret == -ENOMEM) {
		sess_close(c, s, true); /* the next one begins with a state again */
		return;
	}
	if (ret) {
		sess_violation(c, s, "sent a state that its key did not sign");
		return;
	}
	s->has_state = true;
	s->theirs = msg->head;
	sess_dirty(c, s);
	want_consider(c, s);
}

static void on_bundle(struct cluster *c, struct sess *s, const struct session_msg *msg)
{
	if (msg->len > SESSION_SMALL_MAX && !s->large_ok) {
		sess_violation(c, s, "sent a large bundle that was not asked for");
		return;
	}
	s->large_ok = false;
	if (c->want == s)
		want_done(c, s);
	bundle_from_session(c, s, msg);
}

void cluster_session_msg(struct cluster *c, uint64_t id, const struct session_msg *msg)
{
	struct sess *s = sess_find(c, id);

	if (!s) {
		close_unknown(c, id);
		return;
	}
	if (!s->up || !c->has_key)
		return;
	if (!budget_take(c, s)) {
		sess_violation(c, s, "sent too many messages");
		return;
	}
	switch (msg->type) {
	case SESSION_STATE:
		on_state(c, s, msg);
		break;
	case SESSION_BUNDLE:
		on_bundle(c, s, msg);
		break;
	case SESSION_WANT:
		want_asked(c, s, &msg->head);
		break;
	case SESSION_WHO:
		statements_asked(c, s, msg->since);
		break;
	case SESSION_STATEMENTS:
		statements_come(c, s, msg);
		break;
	case SESSION_VOUCHER:
		voucher_come(c, s, msg);
		break;
	case SESSION_ADMISSIONS:
		admissions_come(c, s, msg);
		break;
	case SESSION_HERE:
		here_come(c, s, msg);
		break;
	case SESSION_WHERE:
		where_asked(c, s, msg->since);
		break;
	case SESSION_MAP:
		map_come(c, s, msg);
		break;
	}
}

/* ---- the end of the step ---- */

void sessions_slow(struct cluster *c, struct sess *s, int64_t at)
{
	s->slow = true;
	if (at < c->now.mono_us + SLOW_US)
		at = c->now.mono_us + SLOW_US;
	if (at < c->slow_due)
		c->slow_due = at;
}

static void sess_serve(struct cluster *c, struct sess *s)
{
	s->slow = false;
	if (s->wanted)
		want_serve(c, s);
	if (s->who)
		statements_serve(c, s);
	if (s->where)
		where_serve(c, s);
}

/* Was it sent something? */
static bool slow_serve(struct cluster *c, struct sess *s)
{
	size_t before = c->n_fx;

	if (!s->slow)
		return false;
	sess_serve(c, s);
	if (c->n_fx == before)
		return false;
	c->slow_last = s->node.key;
	return true;
}

/* A few at a time, each in its turn: an answer to WHO can be a third of a megabyte. */
static void slow_tick(struct cluster *c)
{
	struct sess *from;
	unsigned n = 0;

	if (c->now.mono_us < c->slow_due)
		return;
	c->slow_due = ENGINE_NEVER;
	from = sess_find(c, c->slow_last);
	from = from && from->next ? from->next : c->sess_head;
	for (struct sess *s = from; s && n < SLOW_MOST; s = s->next)
		n += slow_serve(c, s);
	for (struct sess *s = c->sess_head; s && s != from && n < SLOW_MOST; s = s->next)
		n += slow_serve(c, s);
	if (n == SLOW_MOST)
		c->slow_due = c->now.mono_us + SLOW_US;
}

void sessions_tick(struct cluster *c)
{
	if (c->n_unclosed)
		unclosed_tick(c);
	calls_tick(c);
	if (c->sync_all) {
		c->sync_all = false;
		for (struct sess *s = c->sess_head; s; s = s->next)
			sess_sync(c, s);
	}
	while (c->dirty) {
		struct sess *s = c->dirty;

		c->dirty = s->dirty_next;
		s->dirty = false;
		sess_sync(c, s);
		if (!s->slow)
			sess_serve(c, s);
	}
	slow_tick(c);
}

int64_t sessions_wakeup(const struct cluster *c)
{
	int64_t at = c->dial_due < c->slow_due ? c->dial_due : c->slow_due;

	if (c->dirty || c->sync_all)
		return c->now.mono_us;
	at = c->ending_due < at ? c->ending_due : at;
	return c->extra && c->extra->deadline < at ? c->extra->deadline : at;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The map: where members are on the underlay, by their own signed words. Each tells its seeds, and
 * a seed all that have a session with it; who has no way to a peer asks one of its seeds, the next
 * time another. So a node that comes costs each other at most a few questions and answers, and those
 * that have a way to it nothing.
 *
 * Which one of a member counts: on its own session always the last; of those passed on one with a
 * higher count, and none while it is here itself. A node that was started anew may count from less
 * than others have heard of it: who knows better sends it its own last word, and it goes beyond.
 */
#include "engine/cluster_internal.h"

#include <errno.h>
#include <string.h>

static bool links_same(const struct session_links *a, const struct session_links *b)
{
	if (a->port != b->port || a->n != b->n)
		return false;
	for (size_t i = 0; i < a->n; i++)
		if (!addr_equal(&a->addrs[i], &b->addrs[i]))
			return false;
	return true;
}

/* ---- ours ---- */

void cluster_links(struct cluster *c, const struct policy_addr *addrs, size_t n, uint16_t port)
{
	struct session_links *next = &c->links.next;

	*next = (struct session_links){.port = port};
	for (size_t i = 0; i < n && next->n < SESSION_LINKS_MAX; i++) {
		bool twice = false;

		for (size_t j = 0; j < next->n; j++)
			twice |= addr_equal(&next->addrs[j], &addrs[i]);
		if (session_link_usable(&addrs[i]) && !twice)
			next->addrs[next->n++] = addrs[i];
	}
	c->links.due = port && (!c->links.gen || !links_same(next, &c->links.now));
}

static bool is_due(const struct cluster *c)
{
	return c->self && (c->links.due || c->links.above);
}

static void say_again(struct cluster *c)
{
	struct own_links *own = &c->links;

	own->gen++;
	own->gen += !own->gen;
	own->again_at = c->now.mono_us + LINKS_AGAIN_US + cl_jitter(c, LINKS_AGAIN_US / 4);
	own->key = c->self->key;
	c->sync_all = true;
}

static void change(struct cluster *c)
{
	struct own_links *own = &c->links;
	uint64_t count = own->now.count, wall = c->now.wall_s > 0 ? (uint64_t)c->now.wall_s : 0;

	if (own->due)
		own->now = own->next;
	own->now.count = !count && wall ? wall : count + 1;
	if (own->now.count <= own->above)
		own->now.count = own->above + 1;
	own->due = false;
	own->above = 0;
	own->at = c->now.mono_us + LINKS_GAP_US;
	own->head = c->head;
	say_again(c);
}

void here_say(struct cluster *c, struct sess *s)
{
	struct session_statement *st;

	if (!(s->m->seed || c->self_seed) || !c->links.gen || s->here_gen == c->links.gen)
		return;
	if (!c->here_msg) {
		c->here_msg = cl_arena(c, sizeof(*c->here_msg));
		if (!c->here_msg)
			return;
		c->here_msg->type = SESSION_HERE;
		st = &c->here_msg->statement;
		st->kind = SESSION_LINKS;
		memcpy(st->node, c->self->name, strnlen(c->self->name, POLICY_NAME_MAX));
		st->head = c->links.head;
		st->body_len = (uint16_t)session_links_make(&c->links.now, st->body);
	}
	if (sess_send(c, s, c->here_msg, false))
		s->here_gen = c->links.gen;
}

/* A word of ours that others hold to be newer than our last. */
static void own_word(struct cluster *c, const struct session_statement *st)
{
	struct session_links links;

	if (st->kind != SESSION_LINKS || !c->links.gen ||
	        !session_links_read(st->body, st->body_len, &links) ||
	        links.count < c->links.now.count || links.count <= c->links.above ||
	        (links.count == c->links.now.count && links_same(&links, &c->links.now)) ||
	        !statement_is_good(c, c->self, st))
		return;
	c->links.above = links.count;
}

/* ---- what others say ---- */

static void fresh(struct cluster *c, struct member *m)
{
	if (m->links_fresh)
		return;
	m->links_fresh = true;
	m->fresh_next = c->fresh_links;
	c->fresh_links = m;
}

static void fresh_drop(struct cluster *c, struct member *m)
{
	struct member **p = &c->fresh_links;

	if (!m->links_fresh)
		return;
	while (*p != m)
		p = &(*p)->fresh_next;
	*p = m->fresh_next;
	m->links_fresh = false;
}

const char *cluster_links_news(struct cluster *c)
{
	struct member *m = c->fresh_links;

	if (!m)
		return NULL;
	fresh_drop(c, m);
	return m->name;
}

bool cluster_links_of(const struct cluster *c, const char *name, struct session_links *out)
{
	const struct member *m = member_find(c, name);

	return m && m->links.seq && session_links_read(m->links.body, m->links.body_len, out);
}

static int keep(struct cluster *c, struct member *m, const struct session_statement *st,
        const struct session_links *links)
{
	int ret = statement_put(c, &m->links, st);

	if (ret)
		return ret;
	m->links_count = links->count;
	m->links.said_us = c->now.mono_us;
	fresh(c, m);
	return 0;
}

/* What we had of it from others, so that it goes beyond. */
static void send_back(struct cluster *c, struct sess *s)
{
	struct session_msg *msg = cl_arena(c, sizeof(*msg));
	struct session_statement *st = cl_arena(c, sizeof(*st));

	if (!msg || !st)
		return;
	statement_fill(st, &s->m->links);
	*msg = (struct session_msg){.type = SESSION_MAP, .statements = st, .n_statements = 1};
	sess_send(c, s, msg, false);
}

static bool here_may(struct cluster *c, struct sess *s)
{
	int64_t more = (c->now.mono_us - s->here_us) / LINKS_GAP_US;

	s->here_us += more * LINKS_GAP_US;
	s->n_here = more < s->n_here ? (uint8_t)(s->n_here - more) : 0;
	return s->n_here < HERE_BURST && ++s->n_here;
}

void here_come(struct cluster *c, struct sess *s, const struct session_msg *msg)
{
	const struct session_statement *st = &msg->statement;
	struct member *m = s->m;
	struct session_links links;

	if (st->kind != SESSION_LINKS || strcmp(st->node, m->name) != 0 ||
	        !session_links_read(st->body, st->body_len, &links)) {
		sess_violation(c, s, "sent links that are not its own");
		return;
	}
	if (!here_may(c, s))
		return;
	if (statement_is_known(&m->links, st)) {
		s->here = true;
		return;
	}
	if (!statement_is_good(c, m->peer, st))
		return; /* of a key that one of us does not know yet, or no longer */
	s->here = true;
	if (m->links.seq && links.count <= m->links_count)
		send_back(c, s);
	keep(c, m, st, &links);
}

static bool is_here(const struct member *m)
{
	for (const struct sess *s = m->sessions; s; s = s->peer_next)
		if (s->up && s->here)
			return true;
	return false;
}

/* False: it was of no use, and under another policy it may be. */
static bool passed_on(struct cluster *c, const struct session_statement *st)
{
	struct session_links links;
	struct member *m;

	if (st->kind != SESSION_LINKS || !session_links_read(st->body, st->body_len, &links))
		return false;
	m = member_get(c, st->node);
	if (!m)
		return false;
	if (is_here(m) || (m->links.seq && links.count <= m->links_count))
		return true;
	return statement_is_good(c, m->peer, st) && !keep(c, m, st, &links);
}

static bool is_ours(const struct cluster *c, const struct session_statement *st)
{
	return c->self && !strcmp(st->node, c->self->name);
}

static void where_say(struct cluster *c, struct sess *s)
{
	struct session_msg *msg = cl_arena(c, sizeof(*msg));

	if (!msg)
		return;
	*msg = (struct session_msg){.type = SESSION_WHERE, .since = s->map_since};
	s->where_out = sess_send(c, s, msg, false);
}

void map_come(struct cluster *c, struct sess *s, const struct session_msg *msg)
{
	unsigned bad = 0;
	bool more;

	if (msg->n_statements > SESSION_STATEMENTS_MAX) {
		sess_violation(c, s, "sent too many statements");
		return;
	}
	if (msg->n_statements == 1 && is_ours(c, &msg->statements[0])) {
		if (here_may(c, s))
			own_word(c, &msg->statements[0]);
		return;
	}
	if (!s->where_out)
		return;
	s->where_out = false;
	for (size_t i = 0; i < msg->n_statements && bad < BAD_STATEMENTS; i++)
		bad += !passed_on(c, &msg->statements[i]);
	c->map_missed |= bad > 0;
	more = msg->n_statements + 1 >= SESSION_STATEMENTS_MAX && msg->since > s->map_since;
	s->map_since = msg->since;
	if (more)
		where_say(c, s);
}

/* ---- asked for ---- */

void where_asked(struct cluster *c, struct sess *s, uint64_t since)
{
	s->where = true;
	s->where_since = since;
	sess_dirty(c, s);
}

void where_serve(struct cluster *c, struct sess *s)
{
	struct session_msg *msg;

	if (c->now.mono_us < s->where_at) {
		sessions_slow(c, s, s->where_at);
		return;
	}
	s->where = false;
	msg = statements_since(c, SESSION_LINKS, s->where_since, s->m);
	if (!msg)
		return;
	msg->type = SESSION_MAP;
	sess_send(c, s, msg, false);
	s->where_at = c->now.mono_us + WHO_GAP_US;
}

/* ---- asking ---- */

static void map_again(struct cluster *c)
{
	for (struct sess *s = c->sess_head; s; s = s->next)
		s->map_since = 0;
	c->map_missed = false;
}

void cluster_where(struct cluster *c, bool all)
{
	c->where = true;
	if (all)
		map_again(c);
}

/* It stays wanted until a seed can be asked. */
void where_ask(struct cluster *c)
{
	for (size_t i = 0; i < c->n_seeds && c->where; i++) {
		struct sess *s = sess_up(c->seeds[c->where_next++ % c->n_seeds]);

		if (!s || !s->greeted)
			continue;
		where_say(c, s);
		c->where = false;
	}
}

void where_tick(struct cluster *c)
{
	if (is_due(c) && c->now.mono_us >= c->links.at)
		change(c);
	else if (c->self && c->links.gen && c->now.mono_us >= c->links.again_at)
		say_again(c);
}

int64_t where_wakeup(const struct cluster *c)
{
	if (!c->self)
		return ENGINE_NEVER;
	if (is_due(c))
		return c->links.at;
	return c->links.gen ? c->links.again_at : ENGINE_NEVER;
}

/* ---- who there is ---- */

void where_forget(struct cluster *c, struct member *m)
{
	fresh_drop(c, m);
	statement_forget(c, &m->links);
}

/* A new key of ours signs anew; and what could not be judged by the old policy is asked for again. */
void where_members(struct cluster *c)
{
	if (c->map_missed)
		map_again(c);
	if (c->self && c->links.gen && memcmp(&c->links.key, &c->self->key, sizeof(c->links.key)))
		say_again(c);
}

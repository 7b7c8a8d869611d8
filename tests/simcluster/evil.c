/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What hostile seeds and members do, to the very end: they run the same machine, but bend what it
 * says, swallow it, and say things of their own. They have their own keys, and everything that they
 * ever heard; the cluster's key and others' node keys they have not.
 */
#include "tests/simcluster/swarm.h"

#include <stdlib.h>
#include <string.h>

#define OVERHEARD_MAX 256
#define JUNK_MAX 100000 /* more than is taken unasked */

static const unsigned habits[] = {EVIL_WITHHOLD, EVIL_REPLAY, EVIL_CORRUPT, EVIL_REORDER,
        EVIL_GARBAGE, EVIL_BOAST, EVIL_FLOOD, EVIL_FORGE, EVIL_ADMIT};
#define N_HABITS (sizeof(habits) / sizeof(habits[0]))

static unsigned habits_random(struct world *w)
{
	unsigned evil = 0;

	for (int i = 0; i < 3; i++)
		evil |= habits[rnd_below(w, N_HABITS)];
	return evil;
}

/* Of the seeds all, all but one, or some withhold; one member in ten is hostile. */
void evil_choose(struct world *w)
{
	int honest = (int)rnd_below(w, (uint64_t)w->n_seeds);

	w->all_withhold = chance(w, 0.25);
	for (int i = 0; i < w->n_seeds; i++) {
		if (w->all_withhold)
			w->nodes[i].evil = EVIL_WITHHOLD | (chance(w, 0.5) ? habits_random(w) : 0);
		else if (i != honest && chance(w, 0.5))
			w->nodes[i].evil = habits_random(w) | (chance(w, 0.5) ? EVIL_WITHHOLD : 0);
	}
	for (int i = w->n_seeds; i < w->n_nodes; i++)
		if (chance(w, 0.1))
			w->nodes[i].evil = habits_random(w);
	for (int i = 0; i < w->n_nodes; i++)
		w->n_evil += w->nodes[i].evil != 0;
}

void evil_overhears(struct world *w, const struct session_msg *msg)
{
	if (!w->overheard)
		w->overheard = need(calloc(OVERHEARD_MAX, sizeof(*w->overheard)));
	for (size_t i = 0; i < msg->n_statements; i++)
		w->overheard[w->n_overheard++ % OVERHEARD_MAX] = msg->statements[i];
	if (msg->type == SESSION_STATE || msg->type == SESSION_HERE)
		w->overheard[w->n_overheard++ % OVERHEARD_MAX] = msg->statement;
}

static void noise(struct world *w, void *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		((uint8_t *)p)[i] = (uint8_t)rnd(w);
}

static struct session_head head_boast(struct world *w)
{
	struct session_head h = {.serial = rnd(w) >> rnd_below(w, 64)};

	noise(w, h.digest, sizeof(h.digest));
	return h;
}

static struct session_head head_of(const struct world *w, int bundle)
{
	struct session_head h = {.serial = w->bundles[bundle].head.serial};

	memcpy(h.digest, w->bundles[bundle].head.digest, sizeof(h.digest));
	return h;
}

/* Any that ever was, forged ones among them. */
static void bundle_any(struct world *w, struct session_msg *m)
{
	int b = (int)rnd_below(w, w->n_bundles);

	m->type = SESSION_BUNDLE;
	m->delta = false;
	m->data = (const uint8_t *)w->bundles[b].file;
	m->len = w->bundles[b].len;
	if (chance(w, 0.7)) /* else it goes as what the receiver waits for */
		m->head = head_of(w, b);
}

static void corrupt(struct world *w, struct session_msg *m)
{
	static uint8_t data[1 << 20];

	if (!m->len || m->len > sizeof(data))
		return;
	memcpy(data, m->data, m->len);
	for (int i = 0; i < 3; i++)
		data[rnd_below(w, m->len)] ^= (uint8_t)(1 + rnd_below(w, 255));
	if (chance(w, 0.2))
		m->len = rnd_below(w, m->len);
	m->data = data;
}

static struct session_statement statement_forge(struct world *w)
{
	struct session_statement s = {.kind = SESSION_APPLIED};
	const struct node *victim = &w->nodes[rnd_below(w, (uint64_t)w->n_nodes)];

	if (w->n_overheard && chance(w, 0.7)) /* one that was true, and is bent a little */
		s = w->overheard[rnd_below(
		        w, w->n_overheard < OVERHEARD_MAX ? w->n_overheard : OVERHEARD_MAX)];
	else
		memcpy(s.node, victim->name, sizeof(victim->name));
	if (chance(w, 0.3)) /* replayed as it was */
		return s;
	if (s.kind == SESSION_LINKS && s.body_len)
		noise(w, s.body + rnd_below(w, s.body_len), 1);
	if (chance(w, 0.7))
		s.head = head_boast(w);
	else if (w->n_bundles)
		s.head = head_of(w, (int)rnd_below(w, w->n_bundles));
	if (chance(w, 0.3))
		noise(w, s.signature, sizeof(s.signature));
	return s;
}

static void statements_forge(struct world *w, struct session_msg *m)
{
	static struct session_statement list[8];

	m->type = chance(w, 0.4) ? SESSION_MAP : SESSION_STATEMENTS;
	m->n_statements = 1 + rnd_below(w, 8);
	for (size_t i = 0; i < m->n_statements; i++)
		list[i] = statement_forge(w);
	m->statements = list;
	m->since = rnd(w) >> rnd_below(w, 64);
}

/* As if the last change had not come. */
static bool hide(struct world *w, struct node *n, struct session_msg *m)
{
	int old = -1;

	if (m->type == SESSION_BUNDLE || m->type == SESSION_ADMISSIONS)
		return false;
	if (m->type != SESSION_STATE || n->force < 0)
		return true;
	for (int i = n->force - 1; i >= 0 && old < 0; i--)
		if (w->bundles[i].genuine &&
		        w->bundles[i].head.serial < w->bundles[n->force].head.serial)
			old = i;
	m->head = old >= 0 ? head_of(w, old) : (struct session_head){0};
	m->statement.head = m->head;
	sign_statement(w, n, &m->statement);
	return true;
}

bool evil_tampers(struct world *w, struct node *n, struct session_msg *m)
{
	if ((n->evil & EVIL_WITHHOLD) && !hide(w, n, m))
		return false;
	if ((n->evil & EVIL_REPLAY) && m->type == SESSION_BUNDLE && chance(w, 0.5))
		bundle_any(w, m);
	if ((n->evil & EVIL_CORRUPT) && chance(w, 0.5))
		corrupt(w, m);
	if ((n->evil & EVIL_BOAST) && m->type == SESSION_STATE && chance(w, 0.3))
		m->head = head_boast(w);
	if ((n->evil & EVIL_FORGE) && (m->type == SESSION_STATEMENTS || m->type == SESSION_MAP) &&
	        chance(w, 0.5))
		statements_forge(w, m);
	return !(n->evil & EVIL_GARBAGE) || !chance(w, 0.1);
}

/* ---- what nobody made it say ---- */

static void junk(struct world *w, struct session_msg *m)
{
	static uint8_t bytes[JUNK_MAX];

	m->type = 1 + (enum session_msg_type)rnd_below(w, 5);
	m->head = head_boast(w);
	m->base = head_boast(w);
	m->delta = chance(w, 0.5);
	m->since = rnd(w);
	if (m->type == SESSION_STATE) /* the codec lets no other pass */
		m->statement = statement_forge(w);
	if (m->type != SESSION_BUNDLE)
		return;
	m->len = rnd_below(w, chance(w, 0.1) ? JUNK_MAX : 2000);
	noise(w, bytes, m->len < 64 ? m->len : 64);
	m->data = bytes;
}

static void say_one(struct world *w, struct node *n, struct sess_end *e)
{
	struct session_msg m = {0};
	unsigned habit = habits[rnd_below(w, N_HABITS)] & n->evil;

	if (habit & EVIL_REPLAY && w->n_bundles) {
		bundle_any(w, &m);
	} else if (habit & EVIL_CORRUPT && w->n_bundles) {
		bundle_any(w, &m);
		corrupt(w, &m);
	} else if (habit & (EVIL_BOAST | EVIL_FLOOD)) {
		m.type = chance(w, 0.5) ? SESSION_WANT : SESSION_STATE;
		m.head = head_boast(w);
		m.statement = statement_forge(w);
	} else if (habit & EVIL_FORGE) {
		statements_forge(w, &m);
	} else if (habit & EVIL_GARBAGE) {
		junk(w, &m);
	} else if (habit & EVIL_ADMIT && w->n_tokens) {
		liars_act(w, n, e);
		return;
	} else {
		return;
	}
	net_inject(w, e, &m);
}

static struct sess_end *session_any(struct world *w, struct node *n)
{
	struct link *l = n->links[rnd_below(w, n->n_links)];

	for (struct sess *s = l->live; s; s = s->next_live)
		for (int i = 0; i < 2; i++)
			if (s->end[i].known && s->end[i].up &&
			        s->end[i].name.node == (uint64_t)n->index)
				return &s->end[i];
	return NULL;
}

static void note_one(struct world *w, struct node *n)
{
	struct link *l = n->links[rnd_below(w, n->n_links)];
	struct session_head head = head_boast(w);

	if (w->n_bundles && chance(w, 0.3))
		head = head_of(w, (int)rnd_below(w, w->n_bundles));
	if (link_up(w, l))
		net_note(w, n, &w->nodes[l->end[!link_side(l, n)]], &head);
}

static void act(struct world *w, struct node *n, void *data)
{
	struct sess_end *e;
	int times = n->evil & EVIL_FLOOD && chance(w, 0.05) ? 300 : 1;

	if (!n->cl || n->epoch != *(uint64_t *)data)
		return;
	e = session_any(w, n);
	for (int i = 0; i < times && e; i++)
		say_one(w, n, e);
	for (int i = 0; i < times && n->evil & (EVIL_BOAST | EVIL_FLOOD | EVIL_REPLAY); i++)
		note_one(w, n);
	at(w, w->core.now + rnd_us(w, 100000, 5 * US), n, act,
	        dup_mem(&n->epoch, sizeof(n->epoch)));
}

void evil_start(struct world *w, struct node *n)
{
	at(w, w->core.now + rnd_us(w, 1000, 5 * US), n, act, dup_mem(&n->epoch, sizeof(n->epoch)));
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The cluster machine: memory, effects, time, and what status sees. */
#include "engine/cluster_internal.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK 4096U
#define RESERVE 1536U /* what the words of one effect take at most */
#define KEEP_EFFECTS 1024U
#define RECOVER_US 1000000

struct cluster_block {
	struct cluster_block *next;
	size_t size, used;
	max_align_t data[];
};

/* ---- memory ---- */

void *cl_alloc(struct cluster *c, size_t size)
{
	void *p = calloc(1, size ? size : 1);

	if (!p)
		c->oom = true;
	else
		c->memory += size;
	return p;
}

void cl_free(struct cluster *c, void *p, size_t size)
{
	if (!p)
		return;
	c->memory -= size;
	free(p);
}

/* A block with that much left; NULL: out of memory. */
static struct cluster_block *arena_room(struct cluster *c, size_t want)
{
	struct cluster_block *b = c->arena;
	size_t room = want > BLOCK ? want : BLOCK;

	if (b && b->size - b->used >= want)
		return b;
	b = cl_alloc(c, sizeof(*b) + room);
	if (!b)
		return NULL;
	b->size = room;
	b->next = c->arena;
	c->arena = b;
	return b;
}

void *cl_arena(struct cluster *c, size_t size)
{
	size_t unit = sizeof(max_align_t), want = (size + unit - 1) / unit * unit;
	struct cluster_block *b = arena_room(c, want);
	void *p;

	if (!b)
		return NULL;
	p = (char *)b->data + b->used;
	b->used += want;
	return p; /* zeroed: blocks are used once */
}

const char *cl_str(struct cluster *c, const char *s)
{
	size_t n = strlen(s) + 1;
	char *p = cl_arena(c, n);

	return p ? memcpy(p, s, n) : "";
}

static void arena_free(struct cluster *c)
{
	while (c->arena) {
		struct cluster_block *b = c->arena;

		c->arena = b->next;
		cl_free(c, b, sizeof(*b) + b->size);
	}
}

/* ---- effects ---- */

struct engine_effect *cl_effect(struct cluster *c, enum engine_effect_type type, bool with_id)
{
	struct engine_effect *fx;

	if (!arena_room(c, RESERVE))
		return NULL; /* its words would not find room */
	if (c->n_fx == c->cap_fx) {
		size_t cap = c->cap_fx ? c->cap_fx * 2 : 8;
		struct engine_effect *v = cl_alloc(c, cap * sizeof(*v));

		if (!v)
			return NULL;
		if (c->n_fx)
			memcpy(v, c->fx, c->n_fx * sizeof(*v));
		cl_free(c, c->fx, c->cap_fx * sizeof(*v));
		c->fx = v;
		c->cap_fx = cap;
	}
	fx = &c->fx[c->n_fx++];
	memset(fx, 0, sizeof(*fx));
	fx->type = type;
	fx->id = with_id ? ++*c->next_id : 0;
	return fx;
}

void cl_notice(struct cluster *c, enum engine_severity severity, enum engine_notice_code code,
        const struct member *m, const char *fmt, ...)
{
	char text[ENGINE_TEXT_MAX * 4], clean[ENGINE_TEXT_MAX * 4];
	struct engine_effect *fx;
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	text_set(clean, sizeof(clean), text);
	fx = cl_effect(c, ENGINE_FX_NOTICE, false);
	if (!fx)
		return;
	fx->notice.severity = severity;
	fx->notice.code = code;
	fx->notice.peer = m ? cl_str(c, m->name) : NULL;
	fx->notice.text = cl_str(c, clean);
}

int64_t cl_jitter(struct cluster *c, int64_t below)
{
	uint64_t x = c->rng; /* xorshift64* */

	x ^= x >> 12;
	x ^= x << 25;
	x ^= x >> 27;
	c->rng = x;
	return (int64_t)((x * 0x2545f4914f6cdd1dULL >> 32) % (uint64_t)below);
}

/* Doubles from the least to the most, then plus or minus a quarter. */
int64_t cl_backoff(struct cluster *c, uint32_t fails, int64_t min, int64_t max)
{
	int64_t d = min;

	for (uint32_t i = 1; i < fails && d < max; i++)
		d *= 2;
	if (d > max)
		d = max;
	return d - d / 4 + cl_jitter(c, d / 2 + 1);
}

/* ---- the machine ---- */

int cluster_new(struct cluster **out, uint64_t seed, const struct cluster_hooks *hooks)
{
	struct cluster *c = calloc(1, sizeof(*c));

	if (!c)
		return -ENOMEM;
	c->memory = sizeof(*c);
	c->rng = seed * 0x9e3779b97f4a7c15ULL;
	if (!c->rng)
		c->rng = 1;
	if (hooks)
		c->hooks = *hooks;
	c->recover_at = c->dial_due = c->ending_due = c->slow_due = c->want_scan_at = ENGINE_NEVER;
	c->note_burst_at = c->note_next = c->note_woke_at = c->doubt_at = ENGINE_NEVER;
	c->adm_due = ENGINE_NEVER;
	c->serve_budget = SERVE_BURST;
	*out = c;
	return 0;
}

void cluster_free(struct cluster *c)
{
	if (!c)
		return;
	while (c->member_head)
		member_drop(c, c->member_head);
	texts_free(c);
	admissions_free(c);
	arena_free(c);
	map_clear(&c->members);
	map_clear(&c->sessions);
	policy_unref(c->policy);
	free(c->seeds);
	free(c->fx);
	free(c);
}

void cluster_step_begin(struct cluster *c, struct engine_time now, uint64_t *next_id)
{
	if (now.mono_us > c->now.mono_us)
		c->now.mono_us = now.mono_us;
	c->now.wall_s = now.wall_s;
	c->next_id = next_id;
	c->oom = false;
	arena_free(c);
	c->state_msg = c->push_msg = c->here_msg = c->adm_msg = NULL;
	if (c->adm_parted)
		memset(c->adm_parts, 0, sizeof(c->adm_parts));
	c->adm_parted = false;
	c->n_fx = 0;
	if (c->cap_fx > KEEP_EFFECTS) {
		cl_free(c, c->fx, c->cap_fx * sizeof(*c->fx));
		c->fx = NULL;
		c->cap_fx = 0;
	}
}

int cluster_tick(struct cluster *c)
{
	if (c->now.mono_us >= c->recover_at) {
		c->recover_at = ENGINE_NEVER;
		if (c->seeds_short)
			members_seeds(c);
		c->sync_all = true;
		c->dial_due = c->want_scan_at = c->slow_due = c->now.mono_us;
	}
	if (c->has_key) {
		store_tick(c);
		admissions_store_tick(c);
		admissions_sign_tick(c);
		notes_tick(c);
		statements_tick(c);
		where_tick(c);
		sessions_tick(c);
		admissions_tick(c);
		wants_tick(c);
		where_ask(c);
	}
	if (c->oom)
		c->recover_at = c->now.mono_us + RECOVER_US;
	return c->oom ? -ENOMEM : 0;
}

static void sooner(int64_t *at, int64_t other)
{
	if (other < *at)
		*at = other;
}

int64_t cluster_wakeup(const struct cluster *c)
{
	int64_t at = c->recover_at;

	if (!c->has_key)
		return at;
	sooner(&at, store_wakeup(c));
	sooner(&at, admissions_store_wakeup(c));
	sooner(&at, admissions_sign_wakeup(c));
	sooner(&at, admissions_make_wakeup(c));
	sooner(&at, admissions_wakeup(c));
	sooner(&at, sessions_wakeup(c));
	sooner(&at, wants_wakeup(c));
	sooner(&at, notes_wakeup(c));
	sooner(&at, statements_wakeup(c));
	sooner(&at, where_wakeup(c));
	return at;
}

const struct engine_effects *cluster_effects(struct cluster *c)
{
	c->out = (struct engine_effects){c->fx, c->n_fx};
	return &c->out;
}

void cluster_unsaid(struct cluster *c)
{
	for (struct sess *s = c->sess_head; s; s = s->next) {
		s->greeted = s->where_out = false;
		s->here_gen = 0;
		s->adm_all = 0;
	}
	for (size_t i = 0; i < c->n_fx; i++)
		if (c->fx[i].type == ENGINE_FX_SESSION_CLOSE)
			c->unclosed[c->n_unclosed++ % UNCLOSED] = c->fx[i].session.session;
	c->recover_at = c->now.mono_us + RECOVER_US;
}

/* ---- looking ---- */

void cluster_look(const struct cluster *c, struct engine_bundle_view *out)
{
	memset(out, 0, sizeof(*out));
	out->key = c->has_key;
	out->head = c->full;
	out->stored = c->stored;
	out->store_text = c->store_text;
	out->guests_text = c->adm_store_text;
	out->verdict = c->verdict;
	out->verdict_error = c->verdict_error;
	out->verdict_text = c->verdict_text;
	out->fork = c->fork;
	out->n_sessions = c->n_up;
	if (!c->policy || !c->self)
		return;
	out->n_members = c->policy->n_peers;
	out->n_applied = c->head.serial != 0;
	for (const struct member *m = c->member_head; m; m = m->next)
		out->n_applied +=
		        m->applied.seq && c->head.serial && head_same(&m->applied.head, &c->head);
}

static void member_fill(
        const struct cluster *c, const struct member *m, struct engine_member_view *v)
{
	if (m->applied.seq) {
		v->applied = m->applied.head;
		v->said_mono_us = m->applied.said_us;
		v->release = m->applied.body ? (const char *)m->applied.body : "";
	}
	v->has_links = cluster_links_of(c, m->name, &v->links);
	v->session = sess_up(m) != NULL;
	if (!v->session && m->text)
		v->session_text = m->text;
	else if (!v->session && m->reach == CLUSTER_GONE && (m->seed || c->self_seed))
		v->session_text = "its tunnel is not up";
}

int cluster_member_at(const struct cluster *c, size_t index, struct engine_member_view *out)
{
	const struct policy_peer *peer;
	const struct member *m;

	if (!c->policy || index >= c->policy->n_peers)
		return -ENOENT;
	peer = &c->policy->peers[index];
	memset(out, 0, sizeof(*out));
	out->name = peer->name;
	out->said_mono_us = -1;
	out->release = out->session_text = "";
	out->seed = policy_is_seed(c->policy, peer);
	out->self = peer == c->self;
	m = member_find(c, peer->name);
	if (out->self) {
		out->applied = c->head;
		out->said_mono_us = c->now.mono_us;
		out->has_links = c->links.gen != 0;
		out->links = c->links.now;
	} else if (m) {
		member_fill(c, m, out);
	}
	return 0;
}

size_t cluster_memory(const struct cluster *c)
{
	return c->memory + map_memory(&c->members) + map_memory(&c->sessions) +
	       map_memory(&c->adm_numbers);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What leaves the engine: effects, their strings, notices; and the count of memory. */
#include "engine/internal.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#ifndef ARENA_BLOCK
#define ARENA_BLOCK 16384U
#endif
#define ARENA_RESERVE 4096U /* what the words of one effect take at most, the table excepted */
#define KEEP_EFFECTS 1024U  /* a larger array is given back at the next step */

struct arena_block {
	struct arena_block *next;
	size_t size, used;
	max_align_t data[];
};

void *mem_alloc(struct engine *e, size_t size)
{
	void *p = calloc(1, size ? size : 1);

	if (!p)
		e->oom = true;
	else
		e->memory += size;
	return p;
}

void mem_free(struct engine *e, void *p, size_t size)
{
	if (!p)
		return;
	e->memory -= size;
	free(p);
}

char *mem_strdup(struct engine *e, const char *s)
{
	size_t n = strlen(s) + 1;
	char *p = mem_alloc(e, n);

	if (p)
		memcpy(p, s, n);
	return p;
}

void mem_strfree(struct engine *e, char *s)
{
	if (s)
		mem_free(e, s, strlen(s) + 1);
}

/* A block with that much left; NULL: out of memory. */
static struct arena_block *arena_room(struct engine *e, size_t want)
{
	struct arena_block *b = e->arena;
	size_t room = want > ARENA_BLOCK ? want : ARENA_BLOCK;

	if (b && b->size - b->used >= want)
		return b;
	b = mem_alloc(e, sizeof(*b) + room);
	if (!b)
		return NULL;
	b->size = room;
	b->next = e->arena;
	e->arena = b;
	return b;
}

bool arena_reserve(struct engine *e)
{
	return arena_room(e, ARENA_RESERVE) != NULL;
}

void *arena_alloc(struct engine *e, size_t size)
{
	size_t unit = sizeof(max_align_t), want = (size + unit - 1) / unit * unit;
	struct arena_block *b = arena_room(e, want);
	void *p;

	if (!b)
		return NULL;
	p = (char *)b->data + b->used;
	b->used += want;
	memset(p, 0, want);
	return p;
}

const char *arena_str(struct engine *e, const char *s)
{
	size_t n = strlen(s) + 1;
	char *p = arena_alloc(e, n);

	if (!p)
		return "";
	memcpy(p, s, n);
	return p;
}

static void arena_free(struct engine *e, struct arena_block *b)
{
	while (b) {
		struct arena_block *next = b->next;

		mem_free(e, b, sizeof(*b) + b->size);
		b = next;
	}
}

/* One ordinary block is kept, so that quiet steps allocate nothing. */
void out_reset(struct engine *e)
{
	struct arena_block *b = e->arena;

	if (b) {
		arena_free(e, b->next);
		b->next = NULL;
		b->used = 0;
		if (b->size > ARENA_BLOCK) {
			arena_free(e, b);
			e->arena = NULL;
		}
	}
	e->n_fx = 0;
	if (e->cap_fx > KEEP_EFFECTS) {
		mem_free(e, e->fx, e->cap_fx * sizeof(*e->fx));
		e->fx = NULL;
		e->cap_fx = 0;
	}
}

void out_free(struct engine *e)
{
	arena_free(e, e->arena);
	e->arena = NULL;
	mem_free(e, e->fx, e->cap_fx * sizeof(*e->fx));
	e->fx = NULL;
	e->cap_fx = e->n_fx = 0;
}

struct engine_effect *out_effect(struct engine *e, enum engine_effect_type type, uint64_t id)
{
	struct engine_effect *fx;

	if (e->n_fx == e->cap_fx) {
		size_t cap = e->cap_fx ? e->cap_fx * 2 : 32;
		struct engine_effect *v = mem_alloc(e, cap * sizeof(*v));

		if (!v)
			return NULL;
		if (e->fx)
			memcpy(v, e->fx, e->n_fx * sizeof(*v));
		mem_free(e, e->fx, e->cap_fx * sizeof(*v));
		e->fx = v;
		e->cap_fx = cap;
	}
	fx = &e->fx[e->n_fx++];
	memset(fx, 0, sizeof(*fx));
	fx->type = type;
	fx->id = id;
	return fx;
}

void notice(struct engine *e, enum engine_severity severity, enum engine_notice_code code,
        const char *peer, const char *fmt, ...)
{
	char text[ENGINE_TEXT_MAX * 2];
	struct engine_effect *fx;
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	fx = out_effect(e, ENGINE_FX_NOTICE, 0);
	if (!fx)
		return;
	fx->notice.severity = severity;
	fx->notice.code = code;
	fx->notice.peer = peer ? arena_str(e, peer) : NULL;
	fx->notice.text = arena_str(e, text);
}

/* Texts come from charon or the kernel: one line of printable characters is kept. */
void text_set(char *buf, size_t size, const char *text)
{
	size_t n = 0;

	for (; text && *text && n + 1 < size; text++)
		buf[n++] = (unsigned char)*text < 0x20 || *text == 0x7f ? ' ' : *text;
	buf[n] = 0;
}

uint64_t digest_bytes(uint64_t h, const void *p, size_t n)
{
	const uint8_t *b = p;

	for (size_t i = 0; i < n; i++)
		h = (h ^ b[i]) * 0x100000001b3ULL;
	return h;
}

uint64_t digest_u64(uint64_t h, uint64_t v)
{
	return digest_bytes(h, &v, sizeof(v));
}

static size_t addr_len(const struct policy_addr *a)
{
	return a->family == 0 ? 0 : a->family == 2 /* AF_INET */ ? 4 : 16;
}

uint64_t digest_addr(uint64_t h, const struct policy_addr *a)
{
	h = digest_u64(h, a->family);
	return digest_bytes(h, a->bytes, addr_len(a));
}

uint64_t digest_str(uint64_t h, const char *s)
{
	return s ? digest_bytes(h, s, strlen(s) + 1) : digest_u64(h, 1);
}

bool addr_equal(const struct policy_addr *a, const struct policy_addr *b)
{
	return a->family == b->family && memcmp(a->bytes, b->bytes, addr_len(a)) == 0;
}

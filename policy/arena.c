/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "policy/arena.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK_SIZE 32768U
#define ALIGN 8U

struct pol_chunk {
	struct pol_chunk *next;
	size_t size;
	size_t used;
	_Alignas(16) unsigned char data[];
};

static struct pol_chunk *chunk_new(struct pol_arena *arena, size_t size)
{
	size_t room = size > CHUNK_SIZE / 4 ? size : CHUNK_SIZE;
	struct pol_chunk *chunk;

	if (size > SIZE_MAX / 2)
		longjmp(*arena->oom, 1);
	chunk = calloc(1, sizeof(*chunk) + room);
	if (!chunk)
		longjmp(*arena->oom, 1);
	chunk->size = room;
	/* A big piece has a chunk of its own behind the current one, which may have room left. */
	if (room != CHUNK_SIZE && arena->chunks) {
		chunk->next = arena->chunks->next;
		arena->chunks->next = chunk;
	} else {
		chunk->next = arena->chunks;
		arena->chunks = chunk;
	}
	return chunk;
}

void *pol_alloc(struct pol_arena *arena, size_t size)
{
	struct pol_chunk *chunk = arena->chunks;
	void *piece;

	if (size > SIZE_MAX / 2)
		longjmp(*arena->oom, 1);
	size = (size + ALIGN - 1) & ~(size_t)(ALIGN - 1);
	if (!chunk || chunk->size - chunk->used < size)
		chunk = chunk_new(arena, size);
	piece = chunk->data + chunk->used;
	chunk->used += size;
	return piece;
}

void *pol_array(struct pol_arena *arena, size_t n, size_t size)
{
	size_t bytes;

	if (__builtin_mul_overflow(n, size, &bytes))
		longjmp(*arena->oom, 1);
	return pol_alloc(arena, bytes);
}

char *pol_strndup(struct pol_arena *arena, const char *text, size_t len)
{
	char *copy = pol_alloc(arena, len + 1);

	memcpy(copy, text, len);
	return copy;
}

void *pol_grow(struct pol_arena *arena, void *items, size_t n, size_t *cap, size_t size)
{
	void *more;

	if (n < *cap)
		return items;
	*cap = *cap ? *cap * 2 : 8;
	more = pol_array(arena, *cap, size);
	if (n)
		memcpy(more, items, n * size);
	return more;
}

void pol_arena_reset(struct pol_arena *arena)
{
	struct pol_chunk *chunk = arena->chunks, *kept = NULL;

	while (chunk) {
		struct pol_chunk *next = chunk->next;

		if (!kept && chunk->size == CHUNK_SIZE) {
			memset(chunk->data, 0, chunk->used);
			chunk->used = 0;
			chunk->next = NULL;
			kept = chunk;
		} else {
			free(chunk);
		}
		chunk = next;
	}
	arena->chunks = kept;
}

void pol_arena_free(struct pol_arena *arena)
{
	while (arena->chunks) {
		struct pol_chunk *chunk = arena->chunks;

		arena->chunks = chunk->next;
		free(chunk);
	}
}

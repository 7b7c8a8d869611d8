/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * An arena: memory that is given out piece by piece and taken back at once.
 *
 * A policy is one arena, and so is what parsing needs for a while. When memory ends, the arena
 * jumps to where parsing began (`oom`), which frees the arenas and returns -ENOMEM: so no
 * function between has half-built objects to clean up, and none can forget to. Nothing but
 * arenas (and the report, which owns itself) may be held across an allocation.
 */
#ifndef OVERLAYD_POLICY_ARENA_H
#define OVERLAYD_POLICY_ARENA_H

#include <setjmp.h>
#include <stddef.h>

struct pol_chunk;

struct pol_arena {
	struct pol_chunk *chunks;
	jmp_buf *oom; /* where to go when memory ends; must be set while allocating */
};

/* Zeroed memory, aligned for any pointer or 64-bit number. Never returns NULL. */
void *pol_alloc(struct pol_arena *arena, size_t size);
/* An array of n; overflow counts as out of memory. */
void *pol_array(struct pol_arena *arena, size_t n, size_t size);
/* A copy of len bytes, and a NUL. */
char *pol_strndup(struct pol_arena *arena, const char *text, size_t len);
/* Room for one more item in `items`, which has n of *cap; returns the (moved) items. */
void *pol_grow(struct pol_arena *arena, void *items, size_t n, size_t *cap, size_t size);
/* Takes everything back, but keeps a chunk for the next use. */
void pol_arena_reset(struct pol_arena *arena);
void pol_arena_free(struct pol_arena *arena);

#endif

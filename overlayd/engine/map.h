/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A small intrusive hash: nodes live in their owners, keys are 64 bits. Several nodes may share a
 * key (map_next_same() walks them). Growing may fail; then chains get longer and nothing else.
 * Iteration is never needed, so no order of ours depends on it.
 */
#ifndef OVERLAYD_ENGINE_MAP_H
#define OVERLAYD_ENGINE_MAP_H

#include <stddef.h>
#include <stdint.h>

struct map_node {
	struct map_node *next;
	uint64_t key;
};

struct map {
	struct map_node **slots;
	size_t n_slots; /* power of two, or 0 */
	size_t n;
};

/* -ENOMEM only while the map has no slots at all. */
int map_add(struct map *map, struct map_node *node, uint64_t key);
void map_remove(struct map *map, struct map_node *node);
struct map_node *map_find(const struct map *map, uint64_t key);
struct map_node *map_next_same(const struct map_node *node);
void map_clear(struct map *map); /* frees the slots, not the nodes */
size_t map_memory(const struct map *map);

#endif

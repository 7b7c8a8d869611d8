/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "engine/map.h"

#include <errno.h>
#include <stdlib.h>

static size_t slot_of(const struct map *map, uint64_t key)
{
	return (size_t)((key * 0x9e3779b97f4a7c15ULL) >> 20) & (map->n_slots - 1);
}

static int map_grow(struct map *map, size_t n_slots)
{
	struct map_node **slots = calloc(n_slots, sizeof(*slots));
	struct map old = *map;

	if (!slots)
		return -ENOMEM;
	map->slots = slots;
	map->n_slots = n_slots;
	for (size_t i = 0; i < old.n_slots; i++) {
		struct map_node *node = old.slots[i];

		while (node) {
			struct map_node *next = node->next;
			size_t s = slot_of(map, node->key);

			node->next = slots[s];
			slots[s] = node;
			node = next;
		}
	}
	free(old.slots);
	return 0;
}

int map_add(struct map *map, struct map_node *node, uint64_t key)
{
	size_t s;

	if (map->n >= map->n_slots) {
		int err = map_grow(map, map->n_slots ? map->n_slots * 2 : 64);

		if (err && !map->n_slots)
			return err;
	}
	s = slot_of(map, key);
	node->key = key;
	node->next = map->slots[s];
	map->slots[s] = node;
	map->n++;
	return 0;
}

void map_remove(struct map *map, struct map_node *node)
{
	struct map_node **p;

	if (!map->n_slots)
		return;
	for (p = &map->slots[slot_of(map, node->key)]; *p; p = &(*p)->next) {
		if (*p == node) {
			*p = node->next;
			node->next = NULL;
			map->n--;
			return;
		}
	}
}

struct map_node *map_find(const struct map *map, uint64_t key)
{
	struct map_node *node;

	if (!map->n_slots)
		return NULL;
	for (node = map->slots[slot_of(map, key)]; node; node = node->next)
		if (node->key == key)
			return node;
	return NULL;
}

struct map_node *map_next_same(const struct map_node *node)
{
	uint64_t key = node->key;

	for (node = node->next; node; node = node->next)
		if (node->key == key)
			return (struct map_node *)node;
	return NULL;
}

void map_clear(struct map *map)
{
	free(map->slots);
	*map = (struct map){0};
}

size_t map_memory(const struct map *map)
{
	return map->n_slots * sizeof(*map->slots);
}

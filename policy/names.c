/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "policy/names.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "policy/internal.h"

#define GUESS_LEN 64U

static uint32_t name_hash(const char *text)
{
	uint32_t hash = 2166136261U; /* FNV-1a */

	for (; *text; text++)
		hash = (hash ^ (unsigned char)*text) * 16777619U;
	return hash;
}

/* The slot that holds the name, or the free one where it would go. */
static struct pol_name *name_slot(const struct pol_names *names, const char *text, uint32_t hash)
{
	uint32_t i = hash & (names->size - 1);

	while (names->slots[i].text &&
	        (names->slots[i].hash != hash || strcmp(names->slots[i].text, text) != 0))
		i = (i + 1) & (names->size - 1);
	return &names->slots[i];
}

uint32_t pol_names_get(const struct pol_names *names, const char *text)
{
	const struct pol_name *slot;

	if (!names->size)
		return POL_NONE;
	slot = name_slot(names, text, name_hash(text));
	return slot->text ? slot->value : POL_NONE;
}

static void names_double(struct pol_arena *arena, struct pol_names *names)
{
	struct pol_names more = {.size = names->size ? names->size * 2 : 16, .used = names->used};

	more.slots = pol_array(arena, more.size, sizeof(*more.slots));
	for (uint32_t i = 0; i < names->size; i++) {
		const struct pol_name *old = &names->slots[i];

		if (old->text)
			*name_slot(&more, old->text, old->hash) = *old;
	}
	*names = more;
}

uint32_t pol_names_put(
        struct pol_arena *arena, struct pol_names *names, const char *text, uint32_t value)
{
	uint32_t hash = name_hash(text);
	struct pol_name *slot;

	if (names->used + 1 > names->size / 2)
		names_double(arena, names);
	slot = name_slot(names, text, hash);
	if (slot->text)
		return slot->value;
	*slot = (struct pol_name){.text = text, .hash = hash, .value = value};
	names->used++;
	return value;
}

static unsigned min3(unsigned a, unsigned b, unsigned c)
{
	unsigned m = a < b ? a : b;

	return m < c ? m : c;
}

/* Edits (insert, delete, replace, swap neighbours) between two short strings. */
static unsigned edit_distance(const char *a, size_t n, const char *b, size_t m)
{
	unsigned rows[3][GUESS_LEN + 1];
	unsigned *before = rows[0], *above = rows[1], *row = rows[2];

	for (size_t j = 0; j <= m; j++)
		above[j] = (unsigned)j;
	for (size_t i = 1; i <= n; i++) {
		unsigned *oldest = before;

		row[0] = (unsigned)i;
		for (size_t j = 1; j <= m; j++) {
			unsigned change = a[i - 1] != b[j - 1];

			row[j] = min3(above[j] + 1, row[j - 1] + 1, above[j - 1] + change);
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
			        before[j - 2] + 1 < row[j])
				row[j] = before[j - 2] + 1;
		}
		before = above;
		above = row;
		row = oldest;
	}
	return above[m];
}

void pol_sort(void *items, size_t n, size_t size, int (*compare)(const void *, const void *))
{
	if (n > 1)
		qsort(items, n, size, compare);
}

void pol_guess_init(struct pol_guess *guess, const char *wanted)
{
	size_t len = strlen(wanted);

	guess->wanted = wanted;
	guess->best = NULL;
	/* The first distance that is too far: a third of the name may be wrong, at most 3. */
	guess->distance = len < 3 ? 2 : len / 3 + 1 > 3 ? 4 : (unsigned)(len / 3 + 1);
}

void pol_guess_offer(struct pol_guess *guess, const char *candidate)
{
	size_t n = strnlen(guess->wanted, GUESS_LEN + 1), m = strnlen(candidate, GUESS_LEN + 1);
	unsigned distance;

	if (n > GUESS_LEN || m > GUESS_LEN || n == 0)
		return;
	if (strcasecmp(guess->wanted, candidate) == 0)
		distance = 0;
	else if ((n > m ? n - m : m - n) >= guess->distance)
		return;
	else
		distance = edit_distance(guess->wanted, n, candidate, m);
	/* "a" is not near "b": all of a short name may not be replaced. */
	if (distance >= guess->distance || (distance && distance >= n))
		return;
	guess->distance = distance;
	guess->best = candidate;
}

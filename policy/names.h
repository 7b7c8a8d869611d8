/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A table from names to numbers (open addressing, in an arena), and the search for the name that
 * somebody may have meant. Names are not copied: they must outlive the table.
 */
#ifndef OVERLAYD_POLICY_NAMES_H
#define OVERLAYD_POLICY_NAMES_H

#include <stdbool.h>
#include <stdint.h>

#include "policy/arena.h"

#define POL_NONE UINT32_MAX

struct pol_name {
	const char *text; /* NULL: free slot */
	uint32_t hash;
	uint32_t value;
};

struct pol_names {
	struct pol_name *slots;
	uint32_t size; /* a power of two, or 0 */
	uint32_t used;
};

/* The value of a name, or POL_NONE. */
uint32_t pol_names_get(const struct pol_names *names, const char *text);
/* Adds the name, unless it is there: then returns its value and changes nothing. */
uint32_t pol_names_put(
        struct pol_arena *arena, struct pol_names *names, const char *text, uint32_t value);

/* Search for the nearest of some candidates, offered one by one. */
struct pol_guess {
	const char *wanted;
	const char *best; /* NULL: none is near enough */
	unsigned distance;
};
void pol_guess_init(struct pol_guess *guess, const char *wanted);
void pol_guess_offer(struct pol_guess *guess, const char *candidate);

#endif

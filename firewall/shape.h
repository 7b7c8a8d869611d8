/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The shape of a table: everything but its peers, in a form that can be compared, made either from
 * what is wanted or from the kernel's dump. And the smallest transaction from one to the other.
 */
#ifndef FIREWALL_SHAPE_H
#define FIREWALL_SHAPE_H

#include "firewall/message.h"

struct shape_chain {
	char name[FW_CHAIN_MAX];
	bool base;
	int hook;
	int prio;
	bool drop;
	unsigned sets; /* observed classes: 1: has its IPv4 set, 2: its IPv6 set */
	char *rules;   /* canonical text, a line each; owned */
};

struct shape {
	bool exists;
	bool foreign; /* holds what we would never make: replace the whole */
	struct shape_chain *chains;
	size_t n;
	char *statics[SET_STATIC]; /* content of SET_OVERLAY4 … SET_UDP as text; owned */
};

void shape_clear(struct shape *s);
struct shape_chain *shape_chain_find(const struct shape *s, const char *name);
/* -ENOMEM */
int shape_from_table(const struct table *t, struct shape *out);

/* Sorts `s` and writes them as text; malloc'd, NULL: no memory. */
char *spans_text(struct span *s, size_t n, size_t len);

/* What is there, and what it takes to get from there to `t`. */
struct have {
	const struct shape *shape;
	struct elem_list *elems; /* sorted in place */
	uint64_t slack_ms;       /* ends that differ by less are the same */
};
struct change {
	bool replaced;
	unsigned added;
	unsigned removed;
};
/* Writes into a batch that was begun. -ENOMEM. */
int diff_table(struct batch *b, const struct have *have, const struct table *t,
        const struct shape *want, uint64_t now_ms, struct change *out);

/* Elements only; both lists are sorted in place. `want` holds none whose time is over. */
int diff_elems(struct batch *b, struct elem_list *have, struct elem_list *want, uint64_t slack_ms,
        uint64_t now_ms, struct change *out);

#endif

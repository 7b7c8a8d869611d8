/* SPDX-License-Identifier: GPL-2.0-or-later */
/* From the kernel's dump to a shape and its elements. Takes any bytes: what it cannot understand
 * makes the table "foreign", so that it is replaced. */
#ifndef FIREWALL_OBSERVE_H
#define FIREWALL_OBSERVE_H

#include "firewall/shape.h"

struct nlmsghdr;
struct seen_set;

struct observed {
	struct shape shape;
	struct elem_list elems;     /* class points into shape.chains' names */
	bool extra[SET_COUNT];      /* sets we have seen defined as they should be */
	struct seen_set *anonymous; /* and the classes' sets */
	size_t n_anonymous;
	uint64_t now_ms;
	struct elem_list points; /* of interval sets: .until_ms is 1 for an end mark */
	size_t points_sorted;
};

void observed_init(struct observed *o, uint64_t now_ms);
void observed_clear(struct observed *o);

/* One message of a dump (NEWTABLE, NEWCHAIN, NEWSET, NEWSETELEM, NEWRULE; others are passed over),
 * in this order of kinds. -ENOMEM; never fails on content. */
int observed_feed(struct observed *o, const struct nlmsghdr *nlh);
/* After the last: is every set there, are the interval sets as text? */
int observed_finish(struct observed *o);

/* Reads the whole table. `*generation` is that of the ruleset it was read from. */
struct nlsock;
int observe(struct nlsock *s, struct observed *out, uint32_t *generation, struct fw_error *err);

#endif

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * SAs of others in the same charon. They are none of our business, but for one case: where the
 * plane carries all SAs in one device (ENGINE_EV_PLANE, `shared`), whoever holds one whose
 * selectors cover a peer's overlay address is taken for that peer, and gets what is meant for it.
 * So such an SA is ended, and until it is gone the peers that it covers are cut.
 */
#include "engine/internal.h"

#include <string.h>

/* Some address of the range is the overlay's: its first is not behind it, its last not before. */
static bool in_prefix(const struct engine_range *r, const struct policy_prefix *x)
{
	size_t size = x->addr.family == 2 /* AF_INET */ ? 4 : 16;
	uint8_t lo[16], hi[16];

	if (!x->addr.family || r->first.family != x->addr.family)
		return false;
	for (size_t i = 0; i < size; i++) {
		uint8_t mask = x->len >= 8 * (i + 1) ? 0xff
		               : x->len <= 8 * i     ? 0
		                                     : (uint8_t)(0xff << (8 * (i + 1) - x->len));

		lo[i] = x->addr.bytes[i] & mask;
		hi[i] = (uint8_t)(lo[i] | (uint8_t)~mask);
	}
	return memcmp(r->first.bytes, hi, size) <= 0 && memcmp(r->last.bytes, lo, size) >= 0;
}

static bool in_overlay(const struct engine *e, const struct engine_range *r)
{
	return in_prefix(r, &e->policy->overlay4) || in_prefix(r, &e->policy->overlay6);
}

static bool is_danger(const struct engine *e, const struct engine_sa_row *row)
{
	if (!e->plane_shared || IMPAIRED(IMPAIR_IGNORE_FOREIGN))
		return false;
	for (size_t i = 0; i < row->n_foreign; i++)
		if (in_overlay(e, &row->foreign[i]))
			return true;
	return row->foreign_more;
}

static void claim(struct engine *e, struct sa *sa, const struct engine_sa_row *row)
{
	for (size_t i = 0; i < row->n_foreign; i++) {
		const struct engine_range *r = &row->foreign[i];

		if (!in_overlay(e, r))
			continue;
		if (addr_equal(&r->first, &r->last))
			claim_add_sa(e, sa, &r->first);
		else
			claim_cut_all(e, sa);
	}
	if (row->foreign_more)
		claim_cut_all(e, sa);
}

static void take(struct engine *e, struct sa *sa, const struct engine_sa_row *row)
{
	sa->state = row->state;
	if (!sa->foreign) {
		sa->foreign = true;
		e->n_foreign++;
	}
	claim(e, sa, row);
	if (sa->fault)
		return;
	sa->fault = SA_FOREIGN;
	e->n_bad++;
	e->bad_due = 0;
	notice(e, ENGINE_ERROR, ENGINE_N_FOREIGN_SA, NULL,
	        "IKE_SA number %u of connection %s is ended: its remote traffic selectors cover "
	        "overlay addresses, so its other end could pass for a peer; narrow that "
	        "connection's remote_ts.",
	        sa->id, row->conn);
}

void foreign_listed(struct engine *e, const struct engine_sa_row *row)
{
	struct sa *sa = sa_find(e, row->id);

	if (sa && (sa->gone || sa->touched > e->list_seq)) {
		sa->listed = e->list_seq;
		return;
	}
	if (!is_danger(e, row)) {
		if (sa)
			sa_free(e, sa);
		return;
	}
	if (!sa)
		sa = sa_new(e, row->id);
	if (!sa)
		return;
	sa->listed = e->list_seq;
	sa->seen_us = e->now.mono_us;
	take(e, sa, row);
}

void foreign_event(struct engine *e, const struct engine_event *ev)
{
	const struct engine_sa_row *row = ev->sa.row;
	struct sa *sa;

	if (!e->plane_shared)
		return;
	if (ev->sa.change == ENGINE_SA_DOWN) {
		sa_down(e, row->id);
		return;
	}
	if (ev->sa.change == ENGINE_SA_REKEYED && sa_find(e, ev->sa.old_id)) {
		sa_down(e, ev->sa.old_id);
		charon_want_list(e); /* its children go on under the new number */
	}
	if (ev->sa.change == ENGINE_SA_CHILD_DOWN || !is_danger(e, row))
		return;
	sa = sa_find(e, row->id);
	if (!sa)
		sa = sa_new(e, row->id);
	if (!sa)
		return;
	sa->touched = e->seq;
	sa->gone = false;
	take(e, sa, row);
}

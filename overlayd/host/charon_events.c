/* SPDX-License-Identifier: GPL-2.0-or-later */
/* charon's events, told to the engine. */
#include "host/charon_private.h"

void charon_event(void *user, const struct vici_event *ve)
{
	struct charon *charon = ((struct link *)user)->charon;
	struct engine_child_row children[ENGINE_CHILDREN_MAX];
	struct charon_ranges ranges;
	struct engine_sa_row row;
	struct engine_event ev = {.type = ENGINE_EV_SA};

	if (!charon->told || !ve->sa)
		return; /* the list that follows tells it all */
	charon_row_view(ve->sa, &row, children);
	charon_ranges_view(ve->sa, &row, &ranges);
	ev.sa.row = &row;
	switch (ve->type) {
	case VICI_EV_IKE_UPDOWN:
		ev.sa.change = ve->up ? ENGINE_SA_UP : ENGINE_SA_DOWN;
		if (ve->up)
			attempts_up(charon->attempts, ve->sa->name);
		break;
	case VICI_EV_IKE_REKEY:
		ev.sa.change = ENGINE_SA_REKEYED;
		ev.sa.old_id = ve->old_sa ? ve->old_sa->uniqueid : 0;
		break;
	case VICI_EV_IKE_UPDATE:
		ev.sa.change = ENGINE_SA_UPDATED;
		(void)policy_addr_parse(ve->local_host ? ve->local_host : "", &row.local_host);
		(void)policy_addr_parse(ve->remote_host ? ve->remote_host : "", &row.remote_host);
		row.remote_port = ve->remote_port;
		break;
	case VICI_EV_CHILD_UPDOWN:
		ev.sa.change = ve->up ? ENGINE_SA_CHILD_UP : ENGINE_SA_CHILD_DOWN;
		break;
	case VICI_EV_CHILD_REKEY:
		if (!ve->child)
			return;
		ev.sa.change = ENGINE_SA_CHILD_REKEYED;
		ev.sa.old_id = ve->old_child ? ve->old_child->uniqueid : 0;
		charon_child_view(ve->child, &children[0]);
		row.n_children = 1;
		if (row.foreign)
			charon_ranges_add(&ranges, ve->child);
		row.n_foreign = ranges.n;
		row.foreign_more = ranges.more;
		break;
	case VICI_EV_OTHER:
	case VICI_EV_LOG:
		return;
	}
	world_event(charon->world, &ev);
	charon_shut_event(charon, ve);
}

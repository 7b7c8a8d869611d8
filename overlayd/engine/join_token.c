/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Guests: newcomers for whom a token vouches. */
#include "engine/join_internal.h"

void join_token(struct engine *e, struct join_call *c)
{
	join_answer(e, c, JOIN_REFUSED, 0,
	        "This seed's release takes no tokens: get a ticket without one.");
}

void guest_signed(struct engine *e, const struct engine_event *ev)
{
	(void)e, (void)ev;
}

void guest_unsigned(struct engine *e, const char *text)
{
	(void)e, (void)text;
}

void guest_admission(struct engine *e, struct join_answer *a, const struct policy_peer *peer)
{
	(void)e, (void)a, (void)peer;
}

const char *guest_check(struct engine *e, const struct join_answer *a, struct policy **policy)
{
	(void)e, (void)a, (void)policy;
	return "says that this node is a member, and its bundle does not name our key";
}

void guest_take(struct engine *e, const struct join_answer *a)
{
	(void)e, (void)a;
}

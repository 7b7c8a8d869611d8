/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How large a packet the overlay's device may take, so that nothing of it is fragmented beneath.
 *
 * Of ESP in UDP a firewall that lets UDP 4500 through and keeps no state sees the first fragment
 * only: on a path narrower than ours the small packets pass and the large ones vanish. So we ask
 * the kernel for the route to each peer's underlay address in use: it knows the route's MTU, the
 * device's, and what an ICMP error has told of the path (which no event tells: so we ask again from
 * time to time). The smallest one, less what ESP adds, is the limit. TCP follows the device's MTU.
 *
 * A path's MTU that was learned is forgotten by the kernel after ten minutes, and only then is
 * found to be what it was, by packets that vanish: so a limit holds as long as its peer uses that
 * address, unless a device or an address of ours changes. Source: RFC 4303, RFC 3948, RFC 1191.
 */
#ifndef OVERLAYD_HOST_PATHMTU_H
#define OVERLAYD_HOST_PATHMTU_H

#include "engine/engine.h"
#include "host/rtnl.h"

#define PATHMTU_LEAST 1280U /* below, the device would lose IPv6 (RFC 8200) */
#define PATHMTU_MOST 1500U  /* of the underlay: beyond our own devices nobody promises more */

/* Bytes that ESP in UDP adds to a packet over this family: IP, UDP, ESP with IV, padding, ICV. */
uint32_t pathmtu_overhead(int family);

struct pathmtu {
	/* The narrowest path that is known: family 0: none. */
	struct policy_addr addr;
	uint32_t path; /* what the underlay carries to it */
	/* the round under way */
	size_t at, n;
	struct policy_addr round_addr;
	uint32_t round_path;
	bool held_seen; /* addr is still in use */
	struct pathmtu_link {
		uint32_t index, mtu; /* the device that was asked for last in this batch */
	} link;
};

/* What the device may take at most by what is known; `otherwise` if nothing is. */
uint32_t pathmtu_limit(const struct pathmtu *pm, uint32_t otherwise);
/* Our devices or addresses have changed: what was learned need not hold. */
void pathmtu_forget(struct pathmtu *pm);
/*
 * What the underlay carries to addr, in bytes; 0: there is no route, or none that leaves this node.
 * *link: zeroed, or from a moment ago.
 */
uint32_t pathmtu_ask(struct rtnl *rt, const struct policy_addr *addr, struct pathmtu_link *link);
/* For a round: begin, each address in use, end. Lower than what is known counts at once, higher
 * only at the end. */
void pathmtu_round_begin(struct pathmtu *pm);
void pathmtu_round_add(struct pathmtu *pm, const struct policy_addr *addr, uint32_t path);
void pathmtu_round_end(struct pathmtu *pm);
/* Looks at some of the engine's peers that are up, at most PATHMTU_BATCH; the next call goes on
 * where this one ended. False: the round is over. */
#define PATHMTU_BATCH 128U
bool pathmtu_look(struct pathmtu *pm, struct rtnl *rt, const struct engine *engine);

#endif

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Our addresses, our rules, our routing table.
 *
 *	lo:          10.77.0.1/32, fdxx::1/128                    (marked with our IFA_PROTO)
 *	rule 210:    to 10.77.0.0/16 lookup 4510                   (before strongSwan's 220)
 *	table 4510:  10.77.0.0/16 dev ipsec0 src 10.77.0.1
 *	             unreachable 10.77.0.0/16 metric 4294967295
 *
 * The addresses are on lo because the device comes and goes with charon: programs that are bound
 * to them must not notice. libipsec adds routes of its own (table 220, its own idea of a source
 * address): rule 210 comes first and always answers, as beneath lies "unreachable": without an SA
 * a packet has nowhere to go. routes_apply() marks what exists, unmarks what is wanted and removes
 * the rest; what is not ours (by protocol number, table and rule number) is never touched.
 */
#ifndef OVERLAYD_HOST_ROUTES_H
#define OVERLAYD_HOST_ROUTES_H

#include "host/rtnl.h"
#include "policy/policy.h"

#define ROUTES_TABLE 4510U
#define ROUTES_RULE_PRIORITY 210U
#define ROUTES_PROTOCOL 79U /* on routes, rules and addresses: "made by overlayd" */

/* family 0: none of that kind. device 0: there is none now, only "unreachable" is set. */
struct routes_spec {
	struct policy_addr addr4, addr6;
	struct policy_prefix prefix4, prefix6;
	uint32_t device;
	bool guest; /* without an address of ours the prefixes lead to the device all the same */
};

/* What had to be done. */
struct routes_changes {
	unsigned int all;       /* things added or removed */
	unsigned int addresses; /* addresses added */
};

/*
 * Makes it so; *changes may be NULL. On failure err says
 * which step failed; what is there already stays, "unreachable" is always set first.
 */
int routes_apply(struct rtnl *rt, const struct routes_spec *spec, struct routes_changes *changes,
        char *err, size_t err_size);
/* Takes all of ours away; *changes as above. */
int routes_flush(struct rtnl *rt, struct routes_changes *changes, char *err, size_t err_size);

#endif

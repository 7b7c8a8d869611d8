/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * grant: whom a bundle lets in as a guest, by its text and by who really signed what; for the rules
 * of both simulators, so nothing here asks policy_admission_check() or the engine.
 */
#ifndef TESTS_SIM_GRANT_H
#define TESTS_SIM_GRANT_H

#include "policy/guests.h"

/* An admission that is signed as it says, whoever it was that had the keys. */
struct grant {
	struct policy_admission a;
	struct policy_key token_key, seed_key; /* whose signatures these are */
};

const struct policy_token *grant_token(const struct policy *p, const char *name);
const struct policy_peer *grant_peer(const struct policy *p, const char *name);
bool grant_has_role(const struct policy *p, const struct policy_peer *pp, const char *role);
bool grant_same_addr(const struct policy_addr *a, const struct policy_addr *b);
/* p: as it was written. */
bool grant_holds(const struct policy *p, const struct grant *g);
/* The same, and the guest pp is the one it is for. */
bool grant_fits(const struct policy *p, const struct policy_peer *pp, const struct grant *g);
/* pp, a guest in `all`, has what that token grants, and no more. */
bool grant_is_all(
        const struct policy *all, const struct policy_peer *pp, const struct policy_token *t);

#endif

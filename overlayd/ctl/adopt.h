/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What an approval has to do with guests: one of them may be meant, or be in the way. */
#ifndef OVERLAYD_CTL_ADOPT_H
#define OVERLAYD_CTL_ADOPT_H

#include <netinet/in.h>

#include "ctl/ctl.h"
#include "policy/policy_edit.h"

/* The key of the guest of that name whose fingerprint begins so; false: there is none. tokens, here
 * and below: of guests_ask(), and may be NULL. */
bool adopt_key(
        const json_t *tokens, const char *name, const char *fingerprint, char *key, size_t size);
/*
 * The approval is of a guest's key: it keeps its address, site and roles, where no others were
 * given, and that is told. Or of a guest's name and another key: what that does to the guest is
 * told. roles: the approval's, room for max. What is filled in lives as long as tokens.
 */
void adopt_guest(struct ctl *ctl, const json_t *tokens, struct policy_approval *approval,
        const char **roles, size_t max);
/* Without an address: the lowest free one that no guest has, in buf; the policy's own peers go
 * before guests, so it would put one out. CTL_OK, or told. */
int adopt_address(struct ctl *ctl, const struct policy *policy, const json_t *tokens,
        struct policy_approval *approval, char buf[INET6_ADDRSTRLEN]);

#endif

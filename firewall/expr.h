/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A rule of the table as libnftnl's expressions, and its canonical text for comparison. */
#ifndef FIREWALL_EXPR_H
#define FIREWALL_EXPR_H

#include "firewall/table.h"

struct nftnl_rule;

/* The statement of `r` whose ports need an anonymous set, or NULL. */
const struct stmt *rule_anonymous(const struct rule *r);

/* Makes `r` of `chain`. `set_id` names its anonymous set within the batch. NULL: -ENOMEM; nothing
 * is ever left out of a rule. The caller frees it by nftnl_rule_free(). */
struct nftnl_rule *rule_compile(const struct rule *r, const char *chain, uint32_t set_id);

/* Appends one line that is equal for rules that do the same, from a NEWRULE message: expressions
 * without counts, with anonymous sets by content, and the comment. `anonymous` gives the content
 * for a set's name (NULL: unknown). -ENOMEM. -EINVAL: it is no rule of ours. */
struct nlmsghdr;
typedef const char *(*anonymous_fn)(void *ctx, const char *set);
int rule_canonical(const struct nlmsghdr *nlh, anonymous_fn anonymous, void *ctx, FILE *to);

#endif

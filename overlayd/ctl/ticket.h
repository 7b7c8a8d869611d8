/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What `overlayctl ticket` is made of: the ticket's fields, and the token that may be in it. */
#ifndef OVERLAYD_CTL_TICKET_H
#define OVERLAYD_CTL_TICKET_H

#include "ctl/edit.h"
#include "policy/ticket.h"

/* The key that newcomers are to trust: that of this directory. CTL_OK, or told. */
int ticket_key(struct ctl *ctl, struct minisign_public *out);
/* Whom a newcomer may ask, by this policy; where: what it is called. Told if there is nobody. */
int ticket_fill(struct ctl *ctl, const struct policy *policy, const char *where,
        struct policy_ticket *ticket);
/* The line, or the fields as JSON; an exit code. */
int ticket_text(
        struct ctl *ctl, const struct policy_ticket *ticket, char text[POLICY_TICKET_TEXT_MAX]);
json_t *ticket_json(const struct policy_ticket *ticket, const char *text);

/* ---- grant.c: --token */

#define GRANT_ROLES_MAX 64
#define GRANT_TTL_S 7200
#define GRANT_TTL_MAX_S (366 * 86400)

struct grant {
	const char *name; /* NULL: one is made up */
	uint32_t count;
	int64_t ttl;                      /* seconds */
	const char *until, *site, *range; /* as typed; NULL: not given */
	char *roles[GRANT_ROLES_MAX];
	size_t n_roles;
};

/* "20s", "90m", "2h", "7d", "1d12h": seconds; -1: it is no such time, or too long. */
int64_t grant_ttl_parse(const char *text);
/* "exec,gpu", cut at its commas in place. False: too many. */
bool grant_roles_add(struct grant *grant, char *text);

/*
 * Makes the token's key pair, writes the token into the policy's files, signs and loads them; prints
 * the ticket. Its secret is on stdout alone, and is wiped from memory. The edit is begun by
 * edit_init() and its options. An exit code.
 */
int grant_run(struct edit *edit, const struct grant *grant, int argc, char **argv);

#endif

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * guests: nodes that a token let in. The policy's files do not name them, so the daemon is asked:
 * what it answers to `tokens` (control/control.h), and who is in that.
 */
#ifndef OVERLAYD_CTL_GUESTS_H
#define OVERLAYD_CTL_GUESTS_H

#include "ctl/ctl.h"

/* NULL where no daemon answers, or an older one; nothing is said then. The caller's. */
json_t *guests_ask(struct ctl *ctl);

/* The row of that token; NULL is fine, and says none. Borrowed. */
const json_t *guests_token(const json_t *tokens, const char *name);
/* The row of the guest with that name; *token (may be NULL) is its token's row. Borrowed. */
const json_t *guests_by_name(const json_t *tokens, const char *name, const json_t **token);
/* The same by its key, "ssh-ed25519 AAAA...", with or without a comment; or by its fingerprint,
 * which may be cut short. */
const json_t *guests_by_key(const json_t *tokens, const char *key, const json_t **token);
/* The same by its overlay address. */
const json_t *guests_by_address(const json_t *tokens, const char *address, const json_t **token);

/* "n1, n2, n3", "n1, n2 and 5 more"; "" of none. */
void guests_names(const json_t *guests, char *buf, size_t size);
/* A list of texts: "exec, gpu". */
void guests_list(const json_t *texts, char *buf, size_t size);

#endif

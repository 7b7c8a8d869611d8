/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of bundle share. */
#ifndef OVERLAYD_POLICY_BUNDLE_INTERNAL_H
#define OVERLAYD_POLICY_BUNDLE_INTERNAL_H

#include "policy/bundle.h"
#include "policy/internal.h"

#define BUN_FILE "bundle" /* the name of the file in faults */

/* ret, and one sentence. */
__attribute__((format(printf, 4, 5))) int bun_fail(
        int ret, char *err, size_t err_size, const char *format, ...);
int bun_digest(const char *data, size_t len, uint8_t digest[32]);
/* The length of the line at `at`, without its newline; false: it has none, or is too long. */
bool bun_line(const char *at, const char *end, size_t *len);

/* Heads are read word by word: each returns false and stays where it was when it is not there. */
struct bun_cursor {
	const char *at, *end;
};
bool bun_literal(struct bun_cursor *c, const char *text);
bool bun_number(struct bun_cursor *c, uint64_t max, uint64_t *out);
bool bun_hex(struct bun_cursor *c, uint8_t out[32]);
/* The cluster's key in base64. */
#define BUN_KEY_LEN 56U
bool bun_key(struct bun_cursor *c, struct minisign_public *out);

/* Writes the text, whatever the policy holds. 0, -ENOMEM. */
int bun_write(const struct policy *policy, const struct bundle_head *head, char **out, size_t *len);

/* Lines of tokens, and of their revoked guests. -ENOMEM. */
void bun_tokens_write(FILE *out, const struct policy *policy);
int bun_excepts_write(FILE *out, const struct policy *policy);

/*
 * The lines of ctx->source behind the head, as the tree that policy.yaml would have given, and
 * `builtin` lines as ctx->builtins, `except` lines as ctx->excepts; NULL after a fault.
 * pol_parse() calls it.
 */
struct pol_node *bun_tree(struct pol_ctx *ctx, bool *empty);

#endif

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of minisign share. */
#ifndef OVERLAYD_POLICY_MINISIGN_INTERNAL_H
#define OVERLAYD_POLICY_MINISIGN_INTERNAL_H

#include "policy/minisign.h"

#define MSIG_UNTRUSTED "untrusted comment: "
#define MSIG_TRUSTED "trusted comment: "
#define MSIG_BASE64(n) (((n) + 2) / 3 * 4)

/* One line of a text, without its newline. */
struct msig_line {
	const char *text;
	size_t len;
};
/* Takes the next line; false: there is none, or it has no newline (unless lax). */
bool msig_line_take(const char **at, const char *end, bool lax, struct msig_line *out);
bool msig_line_begins(const struct msig_line *line, const char *prefix);
/* Is this UTF-8 without control characters (tabs are fine)? */
bool msig_text_valid(const char *text, size_t len);
/* A line with a prefix and at most max valid bytes behind it. */
bool msig_comment_valid(const struct msig_line *line, const char *prefix, size_t max);
/* Exactly `size` bytes, written in the one canonical way; out is untouched when not. */
bool msig_base64_take(const struct msig_line *line, void *out, size_t size);
/* buf of MSIG_BASE64(size) + 1 bytes. */
void msig_base64_print(const void *data, size_t size, char *buf);

/* ret, and one sentence. */
__attribute__((format(printf, 4, 5))) int msig_fail(
        int ret, char *err, size_t err_size, const char *format, ...);

/* Ed25519; -EIO: libcrypto failed, which it does only without memory or when misbuilt. */
int msig_public_of(const uint8_t seed[32], uint8_t key[32]);
int msig_ed25519_sign(const uint8_t seed[32], const void *data, size_t len, uint8_t sig[64]);
/* -EKEYREJECTED: it is not good. */
int msig_ed25519_verify(const uint8_t key[32], const void *data, size_t len, const uint8_t sig[64]);

/*
 * BLAKE2b without a key (RFC 7693), for the sum inside secret keys: libcrypto 3.0 makes digests
 * of 64 bytes only, and the length is part of the hash. n: 1 to 64 bytes.
 */
void msig_blake2b(const void *data, size_t len, uint8_t *out, size_t n);

#endif

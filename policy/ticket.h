/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ticket: what a newcomer needs to find a cluster, as one line of text.
 *
 *   ovl1-BASE64URL            without a token
 *   ovl1-secret-BASE64URL     with one
 *
 * The text is base64url without padding (RFC 4648, section 5) of
 *
 *   u8 flags (1: with a token) | u16 port | str cluster | cluster key: id(8) key(32)
 *   | u8 seeds | each: str name, key(32), str host, u16 port
 *   | with a token: str name, secret(32) | the first 8 bytes of SHA-256 of all before
 *
 * where str is a u8 length and so many bytes, and numbers are big-endian. The sum is there for
 * people: one wrong character is told as such. White space is passed over: terminals wrap lines.
 *
 * Without a token nothing in it is secret, and having it admits nobody. With one its secret is, as a
 * password is: whoever has it may let in as many nodes as the policy grants that token.
 */
#ifndef OVERLAYD_POLICY_TICKET_H
#define OVERLAYD_POLICY_TICKET_H

#include "policy/minisign.h"
#include "policy/policy.h"

#define POLICY_TICKET_SEEDS_MAX 8U
#define POLICY_TICKET_HOST_MAX 253U
#define POLICY_TICKET_TEXT_MAX 4096U /* with its NUL, without newline */
#define POLICY_TICKET_BEGIN "ovl1-"
#define POLICY_TICKET_BEGIN_SECRET "ovl1-secret-"

struct policy_ticket_seed {
	char name[POLICY_NAME_MAX + 1];
	struct policy_key key;                 /* pinned: who does not hold it is not asked */
	char host[POLICY_TICKET_HOST_MAX + 1]; /* address or name */
	uint16_t port;                         /* udp */
};

struct policy_ticket {
	char cluster[POLICY_NAME_MAX + 1];
	uint16_t port; /* the cluster's own UDP port */
	struct minisign_public cluster_key;
	struct policy_ticket_seed seeds[POLICY_TICKET_SEEDS_MAX];
	size_t n_seeds; /* at least one */
	bool has_token;
	char token[POLICY_NAME_MAX + 1];
	uint8_t secret[32]; /* of the token's Ed25519 key (RFC 8032) */
};

/* The line, without newline. -EINVAL: a field that no ticket can hold; -EIO: libcrypto. */
int policy_ticket_print(const struct policy_ticket *ticket, char buf[POLICY_TICKET_TEXT_MAX]);
/*
 * -EINVAL: it is no ticket; -EBADMSG: it is one and was damaged (a character is wrong, missing or
 * too many); -EPROTONOSUPPORT: of a newer release. err (may be NULL): one sentence. Outputs are
 * untouched then.
 */
int policy_ticket_parse(
        const char *text, size_t len, struct policy_ticket *out, char *err, size_t err_size);
/* All of it; NULL is fine. */
void policy_ticket_wipe(struct policy_ticket *ticket);
/* Is there a secret in this text? By how it begins, be the rest damaged or not. */
bool policy_ticket_is_secret(const char *text, size_t len);

#endif

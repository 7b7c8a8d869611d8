/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * voucher: a node's word that it changes its key. One line of text, made on the node (overlayctl
 * rotate), taken by the signer (overlayctl approve --voucher):
 *
 *   overlayd-rotate-v1 CLUSTER NAME BASE64
 *
 * where BASE64 is 32 bytes of old key, 32 of new key, 64 of signature by the old one and 64 by the
 * new one, both over
 *
 *   "overlayd rotate v1\n" CLUSTER 00 NAME 00 old-key new-key
 *
 * so the old key vouches for the new, and the new one's owner holds it. It is no secret, and admits
 * nobody: that does the admin, who signs what follows from it.
 */
#ifndef OVERLAYD_POLICY_VOUCHER_H
#define OVERLAYD_POLICY_VOUCHER_H

#include "policy/policy.h"

#define POLICY_VOUCHER_LINE_MAX 512U  /* with its NUL */
#define POLICY_VOUCHER_WORDS_MAX 256U /* what is signed */

struct policy_voucher {
	char cluster[POLICY_NAME_MAX + 1];
	char name[POLICY_NAME_MAX + 1];
	struct policy_key old_key, key;
	uint8_t by_old[64], by_new[64];
};

/* The bytes to sign: how many are in buf. */
size_t policy_voucher_words(
        const struct policy_voucher *voucher, uint8_t buf[POLICY_VOUCHER_WORDS_MAX]);
/* The line, with its newline. */
void policy_voucher_print(const struct policy_voucher *voucher, char buf[POLICY_VOUCHER_LINE_MAX]);
/* Reads the line and verifies both signatures. -EINVAL: it is none; -EKEYREJECTED; err: why. */
int policy_voucher_parse(
        const char *text, size_t len, struct policy_voucher *out, char *err, size_t err_size);

#endif

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * admission: a token's word for a newcomer's key, countersigned by the seed that took it.
 *
 * The token's holder signs what the newcomer is to be (by_token), and the seed what it gave it
 * (by_seed): a number below the token's count, and an address of the token's range. Neither counts
 * without the other, and both only as far as the policy in force grants the token. The words:
 *
 *   by_token  "overlayd token v1\n" CLUSTER 00 TOKEN 00 NAME 00 key(32)
 *   by_seed   "overlayd admission v1\n" CLUSTER 00 TOKEN 00 NAME 00 key(32)
 *             by_token(64) SEED 00 family(1: 4) address(4) number(4, big-endian)
 *
 * A record is what by_seed is over, without its first line, and by_seed(64) behind it.
 */
#ifndef OVERLAYD_POLICY_ADMISSION_H
#define OVERLAYD_POLICY_ADMISSION_H

#include "policy/policy.h"

#define POLICY_ADMISSION_WORDS_MAX 448U /* of either signature */
#define POLICY_ADMISSION_MAX 512U       /* bytes of a record */

struct policy_admission {
	char cluster[POLICY_NAME_MAX + 1];
	char token[POLICY_NAME_MAX + 1];
	char name[POLICY_NAME_MAX + 1]; /* the newcomer's */
	char seed[POLICY_NAME_MAX + 1]; /* who let it in */
	struct policy_key key;          /* the newcomer's */
	struct policy_addr addr4;       /* IPv4 */
	uint32_t number;                /* from 1 on, of this token at this seed */
	uint8_t by_token[64], by_seed[64];
};

/* What is signed: how many bytes are in buf. */
size_t policy_admission_words_token(
        const struct policy_admission *admission, uint8_t buf[POLICY_ADMISSION_WORDS_MAX]);
size_t policy_admission_words_seed(
        const struct policy_admission *admission, uint8_t buf[POLICY_ADMISSION_WORDS_MAX]);
/* The record: how many bytes are in buf. 0: a field cannot be (a name, the address, number 0). */
size_t policy_admission_print(
        const struct policy_admission *admission, uint8_t buf[POLICY_ADMISSION_MAX]);
/*
 * Both signatures: the token's, and the seed's by its key (or, while it changes that, by its old
 * one). verify: as policy_key_verify(), for simulators (NULL: that one). -EKEYREJECTED: one is not;
 * -EIO. Whether the policy grants it: policy_admission_check().
 */
typedef int (*policy_verify_fn)(void *user, const struct policy_key *key, const void *text,
        size_t len, const uint8_t sig[64]);
int policy_admission_verify(const struct policy_admission *admission,
        const struct policy_key *token_key, const struct policy_peer *seed, policy_verify_fn verify,
        void *user);
/* All of it, and nothing behind; the signatures are not looked at. -EINVAL: it is no record. */
int policy_admission_parse(const uint8_t *data, size_t len, struct policy_admission *out);

#endif

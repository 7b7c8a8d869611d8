/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * guests: peers that a token's word let in, and the policy does not name.
 *
 * Tour. A node holds a set of admissions (admission.h). With each bundle, and each admission that
 * comes, it makes the policy that it acts by: what the admin wrote, and the guests as peers beside
 * it, with what the token grants. Everybody who has the same bundle and the same admissions, in
 * whatever order they came, makes the same.
 *
 *	policy_admission_check()    may it count, by this policy? (no signatures: admission_verify)
 *	policy_admission_taken()    and does what it wants belong to the policy's own?
 *	policy_with_guests()        the policy with them
 *	policy_admission_address()  for a seed: which address the next one gets
 *
 * Where two want the same, what the admin wrote is first: a name, key (the old one too) or address
 * of the policy's own is nobody else's. Among guests the lower fingerprint wins
 * (policy_key_compare()): of one key, one name, one address, or one number of one token and seed; of
 * one key, the lower record. They are taken in that order, so who lost stands in nobody's way.
 *
 * Names are host names, so HEAD1 and head1 are one; and names of failover addresses, and the NAME of
 * a peer called NAME.CLUSTER, are the policy's own too. A guest's name has no dot (it could be one
 * of the internet) and is not localhost: nobody approved it beforehand.
 */
#ifndef OVERLAYD_POLICY_GUESTS_H
#define OVERLAYD_POLICY_GUESTS_H

#include "policy/admission.h"
#include "policy/policy.h"

#define POLICY_GUEST_TEXT_MAX 256U

/*
 * By what the policy grants now: cluster, a name as above, a token of that name that does not except
 * the key, a sound key that is no token's, a seed of that name with its role (and no guest), number
 * <= count, an address of the range that can be a node's and is no failover's. Nothing of time:
 * `until` is for who has a clock. -EINVAL, with one sentence in text (may be NULL).
 */
int policy_admission_check(const struct policy *policy, const struct policy_admission *admission,
        char *text, size_t size);

/*
 * Has what the admin wrote its name, key or address already? Then it becomes no guest, ever. Guests
 * in `policy` are left out. -EEXIST, with one sentence in text (may be NULL).
 */
int policy_admission_taken(const struct policy *policy, const struct policy_admission *admission,
        char *text, size_t size);
/* The name alone: is it free for a guest? A sentence as above; also -EINVAL: it can be no guest's. */
int policy_guest_name_check(const struct policy *policy, const char *name, char *text, size_t size);

/*
 * A new policy, one reference: `policy` (without guests) and those of the admissions that
 * policy_admission_check() takes and nobody goes before. It keeps a reference of `policy` and copies
 * what it needs of the admissions. used[i] (may be NULL): whether admissions[i] became a peer.
 * Peers in all: at most POLICY_PEERS_MAX, in the order of the keys. With no guest it is `policy`
 * itself. The digest covers the guests. What policy_print() and bundle_make() write is what was
 * written, without them. -EINVAL: policy has guests already; -ENOMEM.
 */
int policy_with_guests(const struct policy *policy,
        const struct policy_admission *const *admissions, size_t n, bool *used,
        struct policy **out);

/* The policy as it was written: itself, or the one that the guests were added to; borrowed. */
const struct policy *policy_written(const struct policy *policy);

/*
 * An address of the token's range that no peer (guests too) and no failover address has, nor the
 * overlay itself (network, broadcast; those of the range are as good as others): the one that the
 * key's hash points to, or the next free one after it, so that two seeds which do not hear of each
 * other seldom give the same. -ENOSPC: none is free.
 */
int policy_admission_address(const struct policy *policy, const struct policy_token *token,
        const struct policy_key *key, struct policy_addr *out);

#endif

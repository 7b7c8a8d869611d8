/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * join: how a node that nobody knows yet gets into a cluster.
 *
 * Tour. A newcomer has a ticket: the cluster's name and key, and a few seeds by their own keys.
 *
 *	newcomer                                   seed
 *	ENGINE_EV_TICKET                           ENGINE_FX_JOIN_SERVE {on, open}
 *	ENGINE_FX_JOIN_ASK {seed, request}
 *	  the host brings a join SA up, in which the seed proves the key that the ticket names;
 *	  TCP inside it, from the pool's address to JOIN_PORT of the seed's address
 *	                                  <------- a fresh nonce
 *	  request, signed  -------------------->   ENGINE_EV_JOIN_CALL {from, nonce, request}
 *	                                           ENGINE_FX_ADMIT_SIGN, if a token vouches for it
 *	                                  <------- ENGINE_FX_JOIN_ANSWER
 *	  the join SA goes, and all that was made for it
 *	ENGINE_EV_JOIN_ANSWERED
 *
 * PENDING: an admin is to approve the key; the newcomer asks again after retry_s. MEMBER: its key is
 * in the bundle that comes with the answer (or in an admission beside it). The newcomer verifies
 * that by the ticket's cluster key, and nothing of it changed until then: now ENGINE_FX_CLUSTER_KEY
 * keeps that key, the bundle is in force, and as soon as both are on disk ENGINE_FX_TICKET_FORGET.
 * From then on it is a member as any other, but it counts as complete, and serves as a seed if its
 * role says so, only when it is connected with all that it should be, or after JOIN_COMPLETE_US:
 * then a notice names those missing.
 *
 * What the newcomer says of itself opens nothing: its name, site and links are for the admin's eyes.
 * That it holds its key is proven by a signature over words that nobody else chooses:
 *
 *	"overlayd join v1\n" SHA-256(cluster key(32) seed's node key(32) seed's nonce(32)
 *	                             newcomer's nonce(32) request bytes)
 *
 * with the request bytes of join_request_bytes(). A replay fails by the seed's nonce, one that was
 * meant for another seed or cluster by their keys.
 *
 * A token vouches for a key: by_token is the token's signature over policy_admission_words_token().
 * The seed gives the guest a number and an address, countersigns, and answers MEMBER as soon as it
 * has that admission on disk: the newcomer gets it beside the bundle, and believes it by the bundle
 * alone, which names token and seed. Whatever cannot be mended by asking again is REFUSED, with a
 * sentence that says who is to mend it; what may, is BUSY.
 */
#ifndef OVERLAYD_ENGINE_JOIN_H
#define OVERLAYD_ENGINE_JOIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "policy/minisign.h"
#include "policy/policy.h"

#define JOIN_PORT 451U              /* tcp, in join SAs only; below 1024 */
#define JOIN_LINKS_MAX 8U           /* underlay addresses that a newcomer names */
#define JOIN_RELEASE_MAX 63U        /* bytes, printable ASCII */
#define JOIN_TEXT_MAX 256U          /* bytes of an answer's sentence incl. NUL */
#define JOIN_SECRET "overlayd join" /* well known: it keeps nobody out */
#define JOIN_IDENTITY "join"        /* the newcomer's IKE identity; no node's has no dot */
#define JOIN_CONN "ovl./join"       /* the seed's connection; no peer's name begins with / */
#define JOIN_ASK_CONN "ovl./ask"    /* the newcomer's; its SAs are the host's own affair */
#define JOIN_POOL "ovl-join"        /* name of the pool */
#define JOIN_POOL_LEN 116U          /* the cluster's ULA /48, zeros, then ::1000 to ::1fff */
#define JOIN_POOL_FIRST 0x1000U
#define JOIN_SAS_MAX 64U /* join SAs at a time; then the connection goes until half are gone */
#define JOIN_SA_MAX_US 30000000      /* a join SA lives at most so long */
#define JOIN_SA_CHILDLESS_US 5000000 /* and at most so long without its one child */
#define JOIN_ASK_MAX_US 20000000     /* an ENGINE_FX_JOIN_ASK is over by then, come what may */
#define JOIN_COMPLETE_US 30000000
#define JOIN_ADMISSIONS_MAX 8U  /* records in one answer */
#define JOIN_ADMISSION_MAX 512U /* bytes of one: policy_admission's */
#define JOIN_SEEDS_MAX 8U

/* What a newcomer says of itself. Strings are NUL-terminated; "" where there is nothing to say. */
struct join_request {
	char cluster[POLICY_NAME_MAX + 1];
	char name[POLICY_NAME_MAX + 1]; /* wanted */
	struct policy_key key;
	char site[POLICY_NAME_MAX + 1]; /* wanted */
	struct policy_addr links[JOIN_LINKS_MAX];
	uint8_t n_links;
	uint8_t nonce[32];                  /* the newcomer's, fresh */
	char release[JOIN_RELEASE_MAX + 1]; /* for people */
	char token[POLICY_NAME_MAX + 1];    /* "": an admin is to approve it */
	uint8_t by_token[64];               /* with a token */
	uint8_t signature[64];
};

/* The bytes of all fields but the signature, one way to write them; at most this many. */
#define JOIN_REQUEST_MAX 768U
/* How many are in buf. 0: a field is not well-formed (a name, the number of links, a release). */
size_t join_request_bytes(const struct join_request *request, uint8_t buf[JOIN_REQUEST_MAX]);
/* What the newcomer's node key signs. 0, -EINVAL as above, -EIO: libcrypto. */
#define JOIN_WORDS_MAX 49U /* 17 and 32 bytes: all of them count */
int join_request_words(const struct join_request *request,
        const struct minisign_public *cluster_key, const struct policy_key *seed_key,
        const uint8_t seed_nonce[32], uint8_t words[JOIN_WORDS_MAX]);

enum join_status {
	JOIN_PENDING, /* ask again after retry_s: an admin is to approve */
	JOIN_MEMBER,  /* file (and admissions) */
	JOIN_REFUSED, /* text says why; asking again soon is of no use */
	JOIN_BUSY,    /* ask again after retry_s, or another seed */
};
const char *join_status_name(enum join_status status); /* "pending", ... */

struct join_record {
	const uint8_t *data; /* policy_admission's strict binary record */
	size_t len;
};

struct join_answer {
	enum join_status status;
	const char *text; /* one sentence for people, below JOIN_TEXT_MAX; "" */
	uint32_t retry_s; /* PENDING, BUSY */
	const char *file; /* MEMBER: the bundle in force, text and signature, see bundle.h */
	size_t len;
	const struct join_record *admissions; /* MEMBER: those without which it is none */
	size_t n_admissions;
};

#endif

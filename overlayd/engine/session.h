/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * session: what nodes of one cluster say to each other about their policy.
 *
 * A session is a TCP connection inside the SA of two peers, to SESSION_PORT of the other's overlay
 * address. Every node keeps one to every seed (of two seeds the one with the lower name opens it);
 * to another member only for as long as it fetches a bundle there. After the hello of client/wire.h,
 * in which the host agrees on a version, both sides send these messages, in any order:
 *
 *   STATE      which bundle I have in force, signed by my node key; first thing said, and again
 *              whenever it changed. It tells the other what to send, and is kept (see STATEMENT).
 *   BUNDLE     a higher bundle: a delta from `base` where the receiver is known to have that, else
 *              whole. A small delta is sent unasked; anything larger after a WANT.
 *   WANT       send me yours; I have `head` (serial 0: nothing).
 *   WHO        tell me what the nodes said of themselves since `since` (0: all).
 *   STATEMENTS the answer: signed statements, and `since` for the next time.
 *   VOUCHER    to a seed: I want to change my key, see policy/voucher.h; or, empty: not any more.
 *   ADMISSIONS guests that tokens let in (policy/admission.h), by the grants of `head`; or, without
 *              any, only the sum of all that I know of: if yours is another, send me what you have.
 *   HERE       to or from a seed: where I am on the underlay, signed by my node key (engine/links.h).
 *   WHERE      tell me where the nodes said they are since `since` (0: all).
 *   MAP        the answer: signed statements, and `since` for the next time. Unasked, with since 0
 *              and one statement that the receiver made: a newer one than what it says now.
 *
 * A NOTE is a datagram (UDP, same port, inside the SA): the serial and digest in force. A node sends
 * one to a few connected peers after each change and to one at random from time to time, so that
 * seeds which hold a revocation back are found out: who learns of a higher serial so and is not
 * given it by its seeds, opens a session to the teller and fetches it there.
 *
 * Nobody is believed: a bundle counts by the cluster key's signature, a statement by its node's.
 * The wire (JSON headers, payloads) is the host's, see host/session_wire.h; here are its meanings.
 */
#ifndef OVERLAYD_ENGINE_SESSION_H
#define OVERLAYD_ENGINE_SESSION_H

#include "policy/bundle.h"
#include "policy/policy.h"
#include "policy/voucher.h"

#define SESSION_PORT 450U             /* tcp and udp; below 1024, so only root listens there */
#define SESSION_SMALL_MAX (64U << 10) /* payload bytes that are taken unasked */
#define SESSION_STATEMENTS_MAX 512U   /* in one message; more come with the next WHO */
#define SESSION_RELEASE_MAX 64U       /* bytes of an applied statement's body */
#define SESSION_BODY_MAX 512U         /* bytes of any statement's body */

/* A bundle by name. serial 0: none. */
struct session_head {
	uint64_t serial;
	uint8_t digest[32];
};

/*
 * What a node says of itself, signed with its node key over
 *   "overlayd statement v1\n" kind(1 byte) name "\0" serial(8 bytes, big-endian) digest(32) body
 * so that a seed can pass it on and cannot make it up. A later one of its kind replaces it.
 */
enum session_statement_kind {
	SESSION_APPLIED = 1, /* `head` is in force here; body: the release, for people */
	SESSION_LINKS,       /* I am there on the underlay; body: see engine/links.h */
};
#define SESSION_KINDS (SESSION_LINKS + 1U)

struct session_statement {
	enum session_statement_kind kind;
	char node[POLICY_NAME_MAX + 1];
	struct session_head head;
	uint8_t body[SESSION_BODY_MAX];
	uint16_t body_len;
	uint8_t signature[64];
};
#define SESSION_STATEMENT_MAX (32U + POLICY_NAME_MAX + 40U + SESSION_BODY_MAX)
/* The bytes that are signed: how many are in buf. */
size_t session_statement_text(
        const struct session_statement *statement, uint8_t buf[SESSION_STATEMENT_MAX]);

enum session_msg_type {
	SESSION_STATE = 1,
	SESSION_BUNDLE,
	SESSION_WANT,
	SESSION_WHO,
	SESSION_STATEMENTS,
	SESSION_VOUCHER,
	SESSION_ADMISSIONS,
	SESSION_HERE,
	SESSION_WHERE,
	SESSION_MAP,
};
#define SESSION_TYPES (SESSION_MAP + 1U)

struct session_msg {
	enum session_msg_type type;
	struct session_head head;           /* STATE, ADMISSIONS: in force; BUNDLE: the new one;
	                                       WANT: have */
	struct session_statement statement; /* STATE, HERE: own, signed by the host as it is sent */
	bool delta;                         /* BUNDLE: data is a delta from base, then signature */
	struct session_head base;           /* BUNDLE with delta */
	const uint8_t *data; /* BUNDLE: payload, see bundle.h; VOUCHER: a line; ADMISSIONS: records,
	                        each behind its length in two bytes, big-endian; borrowed */
	size_t len;
	uint8_t sum[32]; /* ADMISSIONS: of all that are known, see engine/admissions.c */
	uint64_t since;  /* WHO, STATEMENTS, WHERE, MAP */
	const struct session_statement *statements; /* STATEMENTS, MAP; borrowed */
	size_t n_statements;
};

#endif

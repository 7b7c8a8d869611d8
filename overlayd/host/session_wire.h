/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * session_wire: what engine/session.h says, as bytes of client/wire.h. No I/O.
 *
 *   hello       {"hello":"overlayd-session","lowest":1,"highest":1,"release":"0.1.0",
 *                "cluster":"hpc","node":"node17"}
 *   STATE       {"msg":"state","head":HEAD}              payload: one RECORD, the sender's own
 *   BUNDLE      {"msg":"bundle","head":HEAD}             payload: the file, text and signature
 *               {"msg":"bundle","head":HEAD,"base":HEAD} payload: delta from base, and signature
 *   WANT        {"msg":"want","head":HEAD}
 *   WHO         {"msg":"who","since":"0123456789abcdef"}
 *   STATEMENTS  {"msg":"statements","since":"..."}       payload: RECORDs, one behind the other
 *   VOUCHER     {"msg":"voucher"}                        payload: a line of policy/voucher.h, or none
 *   ADMISSIONS  {"msg":"admissions","head":HEAD,"sum":64 hex digits}
 *                payload: records of policy/admission.h, each behind its length (u16), or none
 *   note        {"note":"overlayd-session","cluster":"hpc","head":HEAD}: one datagram
 *
 *   HEAD        {"serial":7,"digest":64 lower-case hex digits}; serial 0, digest all 0: none
 *   RECORD      u16 length of what follows | what was signed | signature (64 bytes)
 *
 * Keys that are not known are passed over, messages and statements of an unknown kind too: so a
 * newer release may say more without another version. A version is another only when the same
 * bytes would mean something else; one release back always stays spoken.
 */
#ifndef OVERLAYD_HOST_SESSION_WIRE_H
#define OVERLAYD_HOST_SESSION_WIRE_H

#include "client/wire.h"
#include "engine/session.h"

#define SESSION_VERSION_LOWEST 1
#define SESSION_VERSION_HIGHEST 1

#define SESSION_HELLO_RELEASE 64U
#define SESSION_ANSWER_MAX (512U << 10) /* payload bytes of STATEMENTS that were asked for */
#define SESSION_NOTE_MAX 512U           /* bytes of a datagram */
#define SESSION_TEXT_MAX 256U           /* room for any sentence here */

/* Who speaks: the first message of each side. */
struct session_hello {
	int64_t lowest, highest;
	char release[SESSION_HELLO_RELEASE + 1]; /* for people; printable */
	char cluster[POLICY_NAME_MAX + 1];
	char node[POLICY_NAME_MAX + 1]; /* as it calls itself; who it is, its address says */
};

/* A new reference; NULL: no memory. */
json_t *session_hello_make(const struct session_hello *hello);
/* -EBADMSG */
int session_hello_read(const struct wire_msg *wire, struct session_hello *out);
/*
 * The version to speak with a peer: > 0. -EPROTONOSUPPORT: none in common; -EXDEV: it is of another
 * cluster; text then says so, who is to be updated, or what to compare.
 */
int session_hello_judge(const struct session_hello *mine, const struct session_hello *theirs,
        const char *peer, char text[SESSION_TEXT_MAX]);

/* A message to send: all of `bytes`, then `tail` (a bundle, borrowed from the message). */
struct session_out {
	uint8_t *bytes;
	size_t len;
	const uint8_t *tail;
	size_t tail_len;
};
void session_out_clear(struct session_out *out);

int session_encode_hello(const struct session_hello *hello, struct session_out *out);
/* -EINVAL: a message that cannot be; -EMSGSIZE: beyond the limits; -ENOMEM. */
int session_encode(const struct session_msg *msg, struct session_out *out);

/* A message that came; its data points into the wire message, which must outlive it. */
struct session_in {
	struct session_msg msg;
	struct session_statement *statements; /* its own */
};
void session_in_clear(struct session_in *in);
/* 1: a message; 0: of a type that this release does not know; -EBADMSG, -EMSGSIZE, -ENOMEM. */
int session_decode(const struct wire_msg *wire, struct session_in *in);

/* A datagram. buf gets *len bytes. Errors as above; -EXDEV: of another cluster. */
int session_note_encode(const char *cluster, const struct session_head *head,
        uint8_t buf[SESSION_NOTE_MAX], size_t *len);
int session_note_decode(
        const char *cluster, const uint8_t *data, size_t len, struct session_head *out);

#endif

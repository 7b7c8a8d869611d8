/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * wire: the one format that overlayd speaks with its own kind, whatever carries it.
 *
 * A message is
 *
 *     u32 header length | u32 payload length | header: one JSON object | payload: raw bytes
 *
 * with both lengths big-endian. The header is strict JSON: an object, UTF-8, no duplicate key,
 * no NUL, at most WIRE_DEPTH_MAX levels, at most WIRE_HEADER_MAX bytes. What the payload is, the
 * header says; in the local API it is the JSON text of a result, which may be much larger than
 * a header.
 *
 * The first message of each side is its hello: {"hello":"overlayd","lowest":1,"highest":1,...}.
 * Both then speak the highest version that both know (wire_hello_agree). Unknown keys in a
 * header are ignored, so that a newer side may say more.
 *
 * This file does no I/O. A reader is fed whatever bytes came (one or a thousand) and hands out
 * whole messages; it holds only bytes that really arrived, never what a length promised. An
 * error is final: the stream has no place to start again, close it.
 */
#ifndef OVERLAYD_CLIENT_WIRE_H
#define OVERLAYD_CLIENT_WIRE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WIRE_PREFIX 8U                  /* bytes before the header */
#define WIRE_HEADER_MAX (64U << 10)     /* bytes of JSON header */
#define WIRE_PAYLOAD_MAX (16U << 20)    /* bytes of payload the daemon may send */
#define WIRE_PAYLOAD_MAX_IN (64U << 10) /* bytes of payload a client may send */
#define WIRE_DEPTH_MAX 16U              /* nested arrays and objects, also in payloads */

#define WIRE_VERSION_LOWEST 1
#define WIRE_VERSION_HIGHEST 1

/* A whole message. The receiver owns both: wire_msg_clear() releases them. */
struct wire_msg {
	json_t *header;
	uint8_t *payload; /* NULL when empty; one NUL byte follows it, not counted */
	size_t payload_len;
};

void wire_msg_clear(struct wire_msg *msg);

/* An incremental parser. All fields are its own. */
struct wire_reader {
	uint32_t payload_max;
	uint8_t prefix[WIRE_PREFIX];
	size_t n_prefix;
	json_t *header; /* as soon as it is whole */
	uint8_t *body;
	size_t body_len; /* bytes that arrived */
	size_t body_cap; /* bytes allocated */
	uint32_t header_len;
	uint32_t payload_len;
	int error; /* sticky */
};

void wire_reader_init(struct wire_reader *reader, uint32_t payload_max);
void wire_reader_clear(struct wire_reader *reader);

/*
 * Feed bytes. *used gets how many were taken; stop and feed the rest again after each message.
 *   1  *msg is a whole message
 *   0  all was taken, more is needed
 *   -EMSGSIZE  a length beyond its limit     -EBADMSG  not a header as described above
 *   -ENOMEM
 */
int wire_reader_feed(struct wire_reader *reader, const void *data, size_t len, size_t *used,
        struct wire_msg *msg);
/* Is a message begun and not whole? (An end of stream is then a loss, not an end.) */
bool wire_reader_pending(const struct wire_reader *reader);

/*
 * Encode one message; *out is malloc()ed, *out_len its length. payload may be NULL with 0.
 * -EMSGSIZE beyond the limits, -EINVAL when the header is no object, -ENOMEM.
 */
int wire_encode(const json_t *header, const void *payload, size_t payload_len, uint8_t **out,
        size_t *out_len);

/*
 * Strict JSON text -> value (any kind), with the same rules as headers. *out is a new reference.
 * -EBADMSG: err (may be NULL) says why in one sentence.
 */
int wire_json_parse(const char *text, size_t len, json_t **out, char *err, size_t err_size);

/* A new reference to this side's hello; `version` is the program's, for people. */
json_t *wire_hello(const char *version);
/*
 * The version to speak with the sender of this hello: > 0. -EBADMSG: no hello at all;
 * -EPROTONOSUPPORT: no common version.
 */
int wire_hello_agree(const json_t *hello);

#endif

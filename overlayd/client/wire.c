/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "client/wire.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define BODY_FIRST 512U /* first allocation of a body; it then doubles with what arrives */

void wire_msg_clear(struct wire_msg *msg)
{
	if (!msg)
		return;
	json_decref(msg->header);
	free(msg->payload);
	*msg = (struct wire_msg){0};
}

void wire_reader_init(struct wire_reader *reader, uint32_t payload_max)
{
	*reader = (struct wire_reader){.payload_max = payload_max};
}

/* Some of it is secret (a ticket with a token). */
static void body_free(struct wire_reader *reader)
{
	if (reader->body)
		explicit_bzero(reader->body, reader->body_len);
	free(reader->body);
}

/* Ready for the next message. */
static void reader_restart(struct wire_reader *reader)
{
	json_decref(reader->header);
	body_free(reader);
	wire_reader_init(reader, reader->payload_max);
}

void wire_reader_clear(struct wire_reader *reader)
{
	if (reader)
		reader_restart(reader);
}

bool wire_reader_pending(const struct wire_reader *reader)
{
	return reader->n_prefix > 0;
}

static uint32_t be32_at(const uint8_t *bytes)
{
	uint32_t value;

	memcpy(&value, bytes, sizeof(value));
	return be32toh(value);
}

/* Take prefix bytes; lengths are judged before anything is allocated for them. */
static int reader_prefix(struct wire_reader *reader, const uint8_t *data, size_t len, size_t *used)
{
	size_t take = WIRE_PREFIX - reader->n_prefix;

	if (take > len)
		take = len;
	memcpy(reader->prefix + reader->n_prefix, data, take);
	reader->n_prefix += take;
	*used += take;
	if (reader->n_prefix < WIRE_PREFIX)
		return 0;
	reader->header_len = be32_at(reader->prefix);
	reader->payload_len = be32_at(reader->prefix + 4);
	if (reader->header_len > WIRE_HEADER_MAX || reader->payload_len > reader->payload_max)
		return -EMSGSIZE;
	return reader->header_len < 2 ? -EBADMSG : 0;
}

/* Room for `len` more bytes that are here, and for the NUL behind the last one. */
static int body_reserve(struct wire_reader *reader, size_t len)
{
	size_t want = reader->body_len + len + 1;
	size_t cap = reader->body_cap ? reader->body_cap : BODY_FIRST;
	uint8_t *body;

	if (want <= reader->body_cap)
		return 0;
	while (cap < want)
		cap *= 2;
	body = malloc(cap);
	if (!body)
		return -ENOMEM;
	if (reader->body_len)
		memcpy(body, reader->body, reader->body_len);
	body_free(reader);
	reader->body = body;
	reader->body_cap = cap;
	return 0;
}

static int header_parse(const uint8_t *text, size_t len, json_t **out)
{
	json_t *header;
	int rc = wire_json_parse((const char *)text, len, &header, NULL, 0);

	if (rc < 0)
		return rc;
	if (!json_is_object(header)) {
		json_decref(header);
		return -EBADMSG;
	}
	*out = header;
	return 0;
}

/* Take bytes of the part (header or payload) that ends at `end` of the body. */
static int reader_body(
        struct wire_reader *reader, size_t end, const uint8_t *data, size_t len, size_t *used)
{
	size_t take = end - reader->body_len;
	int rc;

	if (take > len)
		take = len;
	rc = body_reserve(reader, take);
	if (rc < 0)
		return rc;
	if (take)
		memcpy(reader->body + reader->body_len, data, take);
	reader->body_len += take;
	*used += take;
	return 0;
}

/* The body is whole: hand it out. The payload moves to the front of the buffer it came in. */
static int reader_finish(struct wire_reader *reader, struct wire_msg *msg)
{
	msg->header = reader->header;
	msg->payload = NULL;
	msg->payload_len = reader->payload_len;
	reader->header = NULL;
	if (msg->payload_len) {
		memmove(reader->body, reader->body + reader->header_len, msg->payload_len);
		reader->body[msg->payload_len] = 0;
		msg->payload = reader->body;
		reader->body = NULL;
	}
	reader_restart(reader);
	return 1;
}

static int reader_step(struct wire_reader *reader, const uint8_t *data, size_t len, size_t *used,
        struct wire_msg *msg)
{
	int rc = 0;

	if (reader->n_prefix < WIRE_PREFIX)
		rc = reader_prefix(reader, data, len, used);
	if (rc < 0 || reader->n_prefix < WIRE_PREFIX)
		return rc;
	if (!reader->header) {
		rc = reader_body(reader, reader->header_len, data + *used, len - *used, used);
		if (rc < 0 || reader->body_len < reader->header_len)
			return rc;
		rc = header_parse(reader->body, reader->header_len, &reader->header);
		if (rc < 0)
			return rc;
	}
	rc = reader_body(reader, (size_t)reader->header_len + reader->payload_len, data + *used,
	        len - *used, used);
	if (rc < 0 || reader->body_len < (size_t)reader->header_len + reader->payload_len)
		return rc;
	return reader_finish(reader, msg);
}

int wire_reader_feed(struct wire_reader *reader, const void *data, size_t len, size_t *used,
        struct wire_msg *msg)
{
	int rc;

	*used = 0;
	if (reader->error)
		return reader->error;
	if (!len)
		return 0;
	rc = reader_step(reader, data, len, used, msg);
	if (rc < 0) {
		reader_restart(reader);
		reader->error = rc;
	}
	return rc;
}

int wire_encode(const json_t *header, const void *payload, size_t payload_len, uint8_t **out,
        size_t *out_len)
{
	uint32_t lens[2];
	size_t header_len;
	uint8_t *bytes;

	if (!json_is_object(header))
		return -EINVAL;
	header_len = json_dumpb(header, NULL, 0, JSON_COMPACT);
	if (!header_len)
		return -ENOMEM;
	if (header_len > WIRE_HEADER_MAX || payload_len > WIRE_PAYLOAD_MAX)
		return -EMSGSIZE;
	bytes = malloc(WIRE_PREFIX + header_len + payload_len);
	if (!bytes)
		return -ENOMEM;
	lens[0] = htobe32((uint32_t)header_len);
	lens[1] = htobe32((uint32_t)payload_len);
	memcpy(bytes, lens, sizeof(lens));
	if (json_dumpb(header, (char *)bytes + WIRE_PREFIX, header_len, JSON_COMPACT) !=
	        header_len) {
		free(bytes);
		return -ENOMEM;
	}
	if (payload_len)
		memcpy(bytes + WIRE_PREFIX + header_len, payload, payload_len);
	*out = bytes;
	*out_len = WIRE_PREFIX + header_len + payload_len;
	return 0;
}

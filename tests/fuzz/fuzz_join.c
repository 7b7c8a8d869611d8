/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What strangers and seeds say inside a join SA. No crash, nothing read beyond what came, and what
 * was taken must mean the same when it is said again.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "host/join_wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* One message out of bytes that we made, and what goes behind them. */
static void read_back(
        uint8_t *bytes, size_t len, const void *tail, size_t tail_len, struct wire_msg *wire)
{
	struct wire_reader reader;
	size_t used;
	int rc;

	wire_reader_init(&reader, JOIN_PAYLOAD_MAX);
	rc = wire_reader_feed(&reader, bytes, len, &used, wire);
	if (!rc && tail_len)
		rc = wire_reader_feed(&reader, tail, tail_len, &used, wire);
	if (rc != 1)
		abort();
	wire_reader_clear(&reader);
	free(bytes);
}

static void try_challenge(const struct wire_msg *wire)
{
	struct join_challenge in, twice;
	char text[JOIN_TEXT_MAX];
	struct wire_msg again;
	uint8_t *bytes;
	size_t len;

	if (join_decode_challenge(wire, &in))
		return;
	(void)join_challenge_judge(&in, text);
	if (join_encode_challenge(&in, &bytes, &len))
		abort();
	read_back(bytes, len, NULL, 0, &again);
	if (join_decode_challenge(&again, &twice) || in.lowest != twice.lowest ||
	        in.highest != twice.highest || memcmp(in.nonce, twice.nonce, sizeof(in.nonce)))
		abort();
	wire_msg_clear(&again);
}

static void try_request(const struct wire_msg *wire)
{
	uint8_t x[JOIN_REQUEST_MAX], y[JOIN_REQUEST_MAX];
	struct join_request in, twice;
	struct wire_msg again;
	uint8_t *bytes;
	size_t len;

	if (join_decode_request(wire, &in))
		return;
	if (join_encode_request(&in, JOIN_VERSION_LOWEST, &bytes, &len))
		abort();
	read_back(bytes, len, NULL, 0, &again);
	if (join_decode_request(&again, &twice))
		abort();
	len = join_request_bytes(&in, x);
	if (!len || join_request_bytes(&twice, y) != len || memcmp(x, y, len) ||
	        memcmp(in.signature, twice.signature, sizeof(in.signature)))
		abort();
	wire_msg_clear(&again);
}

static void try_answer(const struct wire_msg *wire)
{
	struct join_answer_in in, twice;
	struct wire_msg again;
	uint8_t *bytes;
	size_t len;

	if (join_decode_answer(wire, &in))
		return;
	if (join_encode_answer(&in.answer, &bytes, &len))
		abort();
	read_back(bytes, len, wire->payload, wire->payload_len, &again);
	if (join_decode_answer(&again, &twice) || in.answer.status != twice.answer.status ||
	        strcmp(in.text, twice.text) || in.answer.len != twice.answer.len ||
	        in.answer.n_admissions != twice.answer.n_admissions)
		abort();
	wire_msg_clear(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct wire_reader reader;
	struct wire_msg wire = {0};
	size_t at = 0;
	int rc = 0;

	wire_reader_init(&reader, JOIN_PAYLOAD_MAX);
	while (at < size && rc >= 0) {
		size_t used;

		rc = wire_reader_feed(&reader, data + at, size - at, &used, &wire);
		at += used;
		if (rc != 1)
			continue;
		try_challenge(&wire);
		try_request(&wire);
		try_answer(&wire);
		wire_msg_clear(&wire);
	}
	wire_reader_clear(&reader);
	return 0;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The wire reader: whatever comes, no crash, bounded memory, and the same messages however the
 * bytes were cut. What was taken must encode and parse again to the same.
 */
#include <jansson.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "client/wire.h"

#define MSGS_MAX 64

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct run {
	struct wire_msg msgs[MSGS_MAX];
	size_t n;
	int rc; /* 0 or the error that ended it */
};

static void run_feed(struct run *run, const uint8_t *data, size_t size, size_t chunk)
{
	struct wire_reader reader;
	size_t at = 0;

	*run = (struct run){0};
	wire_reader_init(&reader, WIRE_PAYLOAD_MAX_IN);
	while (at < size && run->n < MSGS_MAX) {
		size_t len = chunk < size - at ? chunk : size - at, used;
		int rc = wire_reader_feed(&reader, data + at, len, &used, &run->msgs[run->n]);

		at += used;
		if (reader.body_cap > 2 * (reader.body_len + 512))
			abort(); /* memory for what did not come */
		if (rc < 0) {
			run->rc = rc;
			break;
		}
		run->n += rc;
	}
	wire_reader_clear(&reader);
}

static void check_same(const struct run *a, const struct run *b)
{
	if (a->n != b->n || a->rc != b->rc)
		abort();
	for (size_t i = 0; i < a->n; i++) {
		const struct wire_msg *x = &a->msgs[i], *y = &b->msgs[i];

		if (!json_equal(x->header, y->header) || x->payload_len != y->payload_len)
			abort();
		if (x->payload_len && memcmp(x->payload, y->payload, x->payload_len))
			abort();
	}
}

/* Numbers may print longer than they came: a header at its limit may not fit again. */
static void check_again(const struct wire_msg *msg)
{
	struct run again;
	uint8_t *out;
	size_t len;

	if (wire_encode(msg->header, msg->payload, msg->payload_len, &out, &len) < 0)
		return;
	run_feed(&again, out, len, len);
	if (again.n != 1 || !json_equal(again.msgs[0].header, msg->header))
		abort();
	wire_msg_clear(&again.msgs[0]);
	free(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct run whole, cut;

	if (size < 1)
		return 0;
	run_feed(&whole, data + 1, size - 1, size);
	run_feed(&cut, data + 1, size - 1, 1 + data[0] % 13);
	check_same(&whole, &cut);
	for (size_t i = 0; i < whole.n; i++) {
		check_again(&whole.msgs[i]);
		wire_hello_agree(whole.msgs[i].header);
		wire_msg_clear(&whole.msgs[i]);
		wire_msg_clear(&cut.msgs[i]);
	}
	return 0;
}

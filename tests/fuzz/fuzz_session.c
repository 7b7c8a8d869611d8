/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What other nodes say: hellos, messages and datagrams. No crash, nothing read beyond what came, and
 * what was taken must mean the same when it is said again.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "host/session_wire.h"
#include "policy/admission.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void same_head(const struct session_head *a, const struct session_head *b)
{
	if (a->serial != b->serial || memcmp(a->digest, b->digest, sizeof(a->digest)))
		abort();
}

static void same_statement(const struct session_statement *a, const struct session_statement *b)
{
	uint8_t x[SESSION_STATEMENT_MAX], y[SESSION_STATEMENT_MAX];
	size_t n = session_statement_text(a, x);

	if (session_statement_text(b, y) != n || memcmp(x, y, n) ||
	        memcmp(a->signature, b->signature, sizeof(a->signature)))
		abort();
}

static void same(const struct session_msg *a, const struct session_msg *b)
{
	if (a->type != b->type || a->delta != b->delta || a->len != b->len ||
	        a->since != b->since || a->n_statements != b->n_statements)
		abort();
	same_head(&a->head, &b->head);
	same_head(&a->base, &b->base);
	if (a->type == SESSION_ADMISSIONS && memcmp(a->sum, b->sum, sizeof(a->sum)))
		abort();
	if (a->type == SESSION_STATE || a->type == SESSION_HERE)
		same_statement(&a->statement, &b->statement);
	if (a->len && memcmp(a->data, b->data, a->len))
		abort();
	for (size_t i = 0; i < a->n_statements; i++)
		same_statement(&a->statements[i], &b->statements[i]);
}

/* What is a record has one way to be written. */
static void try_records(const struct session_msg *msg)
{
	size_t left = msg->type == SESSION_ADMISSIONS ? msg->len : 0;
	uint8_t again[POLICY_ADMISSION_MAX];
	struct policy_admission a;

	for (const uint8_t *at = msg->data; left;) {
		size_t len = (size_t)at[0] << 8 | at[1];

		if (!policy_admission_parse(at + 2, len, &a) &&
		        (policy_admission_print(&a, again) != len || memcmp(again, at + 2, len)))
			abort();
		at += 2 + len;
		left -= 2 + len;
	}
}

/* One message out of bytes that we made. */
static void read_back(const struct session_out *out, struct wire_msg *wire)
{
	struct wire_reader reader;
	size_t used;
	int rc;

	wire_reader_init(&reader, BUNDLE_FILE_MAX);
	rc = wire_reader_feed(&reader, out->bytes, out->len, &used, wire);
	if (!rc)
		rc = wire_reader_feed(&reader, out->tail, out->tail_len, &used, wire);
	if (rc != 1)
		abort();
	wire_reader_clear(&reader);
}

static void try_message(const struct wire_msg *wire)
{
	struct wire_msg again = {0};
	struct session_in in, twice;
	struct session_out out;

	if (session_decode(wire, &in) != 1)
		return;
	if (session_encode(&in.msg, &out))
		abort();
	read_back(&out, &again);
	if (session_decode(&again, &twice) != 1)
		abort();
	same(&in.msg, &twice.msg);
	try_records(&in.msg);
	session_in_clear(&twice);
	session_in_clear(&in);
	wire_msg_clear(&again);
	session_out_clear(&out);
}

static void try_hello(const struct wire_msg *wire)
{
	static const struct session_hello mine = {
	        .lowest = 2, .highest = 3, .release = "1", .cluster = "hpc", .node = "n1"};
	char text[SESSION_TEXT_MAX];
	struct session_hello theirs;

	if (!session_hello_read(wire, &theirs) &&
	        session_hello_judge(&mine, &theirs, "n2", text) > 3)
		abort();
}

static void try_note(const uint8_t *data, size_t size)
{
	struct session_head head, again;
	uint8_t buf[SESSION_NOTE_MAX];
	size_t len;

	if (session_note_decode("hpc", data, size, &head))
		return;
	if (session_note_encode("hpc", &head, buf, &len) ||
	        session_note_decode("hpc", buf, len, &again))
		abort();
	same_head(&head, &again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct wire_reader reader;
	struct wire_msg wire = {0};
	size_t at = 0;
	int rc = 0;

	try_note(data, size);
	wire_reader_init(&reader, SESSION_ANSWER_MAX);
	while (at < size && rc >= 0) {
		size_t used;

		rc = wire_reader_feed(&reader, data + at, size - at, &used, &wire);
		at += used;
		if (rc != 1)
			continue;
		try_hello(&wire);
		try_message(&wire);
		wire_msg_clear(&wire);
	}
	wire_reader_clear(&reader);
	return 0;
}

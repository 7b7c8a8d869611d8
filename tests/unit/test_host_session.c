/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Sessions as bytes: every message, made at random, comes back as it was; whatever is cut, longer
 * than its limit or of another type is an error, what is only new is passed over.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host/session_private.h"

/* ---- chance --------------------------------------------------------------------------------- */

static uint64_t chance = 88172645463325252u;

static uint64_t draw(void)
{
	chance ^= chance << 13;
	chance ^= chance >> 7;
	chance ^= chance << 17;
	return chance;
}

static void draw_bytes(uint8_t *out, size_t len)
{
	for (size_t i = 0; i < len; i++)
		out[i] = (uint8_t)draw();
}

static struct session_head draw_head(bool some)
{
	struct session_head head = {0};

	if (!some && draw() % 4 == 0)
		return head;
	head.serial = 1 + draw() % INT64_MAX;
	draw_bytes(head.digest, sizeof(head.digest));
	return head;
}

static struct session_statement draw_statement(void)
{
	struct session_statement s = {.kind = 1 + draw() % (SESSION_KINDS - 1)};
	size_t len = 1 + draw() % POLICY_NAME_MAX;

	for (size_t i = 0; i < len; i++)
		s.node[i] = "abcXYZ019"[draw() % 9];
	s.head = draw_head(false);
	s.body_len = (uint16_t)(draw() % (SESSION_BODY_MAX + 1));
	draw_bytes(s.body, s.body_len);
	draw_bytes(s.signature, sizeof(s.signature));
	return s;
}

static struct session_statement statements[SESSION_STATEMENTS_MAX + 1];
static uint8_t bundle[100000];

static struct session_msg draw_msg(enum session_msg_type type)
{
	struct session_msg msg = {.type = type};

	switch (type) {
	case SESSION_STATE:
		msg.head = draw_head(false);
		msg.statement = draw_statement();
		break;
	case SESSION_BUNDLE:
		msg.head = draw_head(true);
		msg.delta = draw() % 2;
		if (msg.delta)
			msg.base = draw_head(true);
		msg.data = bundle;
		msg.len = 1 + draw() % sizeof(bundle);
		draw_bytes(bundle, 64);
		break;
	case SESSION_WANT:
		msg.head = draw_head(false);
		break;
	case SESSION_HERE:
		msg.statement = draw_statement();
		break;
	case SESSION_WHO:
	case SESSION_WHERE:
		msg.since = draw();
		break;
	case SESSION_VOUCHER:
		msg.data = bundle;
		msg.len = draw() % POLICY_VOUCHER_LINE_MAX;
		draw_bytes(bundle, msg.len);
		break;
	case SESSION_ADMISSIONS:
		msg.head = draw_head(true);
		draw_bytes(msg.sum, sizeof(msg.sum));
		msg.data = bundle;
		for (size_t n = draw() % 20; n; n--) {
			size_t len = 1 + draw() % POLICY_ADMISSION_MAX;

			bundle[msg.len] = (uint8_t)(len >> 8);
			bundle[msg.len + 1] = (uint8_t)len;
			draw_bytes(bundle + msg.len + 2, len);
			msg.len += 2 + len;
		}
		break;
	case SESSION_STATEMENTS:
	case SESSION_MAP:
		msg.since = draw();
		msg.n_statements = draw() % 20;
		for (size_t i = 0; i < msg.n_statements; i++)
			statements[i] = draw_statement();
		msg.statements = statements;
		break;
	}
	return msg;
}

/* ---- through the wire ------------------------------------------------------------------------ */

/* All bytes of a message; free() them. */
static uint8_t *flat(const struct session_out *out, size_t *len)
{
	uint8_t *bytes = malloc(out->len + out->tail_len + 1);

	assert_non_null(bytes);
	memcpy(bytes, out->bytes, out->len);
	if (out->tail_len)
		memcpy(bytes + out->len, out->tail, out->tail_len);
	*len = out->len + out->tail_len;
	return bytes;
}

static void wire_from(const uint8_t *bytes, size_t len, struct wire_msg *wire)
{
	struct wire_reader reader;
	size_t used;

	wire_reader_init(&reader, BUNDLE_FILE_MAX);
	assert_int_equal(wire_reader_feed(&reader, bytes, len, &used, wire), 1);
	assert_int_equal(used, len);
	wire_reader_clear(&reader);
}

static void msg_pass(const struct session_msg *msg, struct wire_msg *wire)
{
	struct session_out out;
	uint8_t *bytes;
	size_t len;

	assert_int_equal(session_encode(msg, &out), 0);
	bytes = flat(&out, &len);
	wire_from(bytes, len, wire);
	free(bytes);
	session_out_clear(&out);
}

static void head_equal(const struct session_head *a, const struct session_head *b)
{
	assert_int_equal(a->serial, b->serial);
	assert_memory_equal(a->digest, b->digest, sizeof(a->digest));
}

static void statement_equal(const struct session_statement *a, const struct session_statement *b)
{
	assert_int_equal(a->kind, b->kind);
	assert_string_equal(a->node, b->node);
	head_equal(&a->head, &b->head);
	assert_int_equal(a->body_len, b->body_len);
	assert_memory_equal(a->body, b->body, a->body_len);
	assert_memory_equal(a->signature, b->signature, sizeof(a->signature));
}

static void msg_equal(const struct session_msg *a, const struct session_msg *b)
{
	assert_int_equal(a->type, b->type);
	head_equal(&a->head, &b->head);
	head_equal(&a->base, &b->base);
	assert_int_equal(a->delta, b->delta);
	assert_int_equal(a->len, b->len);
	if (a->len)
		assert_memory_equal(a->data, b->data, a->len);
	assert_memory_equal(a->sum, b->sum, sizeof(a->sum));
	assert_int_equal(a->since, b->since);
	assert_int_equal(a->n_statements, b->n_statements);
	for (size_t i = 0; i < a->n_statements; i++)
		statement_equal(&a->statements[i], &b->statements[i]);
	if (a->type == SESSION_STATE || a->type == SESSION_HERE)
		statement_equal(&a->statement, &b->statement);
}

static void test_round_trip(void **state)
{
	(void)state;
	for (int i = 0; i < 500; i++) {
		struct session_msg msg =
		        draw_msg((enum session_msg_type)(1 + i % (SESSION_TYPES - 1)));
		struct wire_msg wire = {0};
		struct session_in in;

		msg_pass(&msg, &wire);
		assert_int_equal(session_decode(&wire, &in), 1);
		msg_equal(&msg, &in.msg);
		session_in_clear(&in);
		wire_msg_clear(&wire);
	}
}

/* The largest answer fits what is taken of one. */
static void test_most_statements(void **state)
{
	struct session_msg msg = {.type = SESSION_STATEMENTS, .statements = statements};
	struct wire_msg wire = {0};
	struct session_out out;
	struct session_in in;

	(void)state;
	msg.n_statements = SESSION_STATEMENTS_MAX;
	for (size_t i = 0; i < SESSION_STATEMENTS_MAX; i++) {
		statements[i] = draw_statement();
		memset(statements[i].node, 'n', POLICY_NAME_MAX);
		statements[i].body_len = SESSION_BODY_MAX;
	}
	msg_pass(&msg, &wire);
	assert_true(wire.payload_len <= SESSION_ANSWER_MAX);
	assert_int_equal(session_decode(&wire, &in), 1);
	msg_equal(&msg, &in.msg);
	session_in_clear(&in);
	/* one more, by hand: the last once again */
	wire.payload = realloc(wire.payload, 2 * wire.payload_len);
	memcpy(wire.payload + wire.payload_len, wire.payload, SESSION_RECORD_MAX);
	wire.payload_len += SESSION_RECORD_MAX;
	assert_int_equal(session_decode(&wire, &in), -EMSGSIZE);
	wire_msg_clear(&wire);
	msg.n_statements = SESSION_STATEMENTS_MAX + 1;
	assert_int_equal(session_encode(&msg, &out), -EINVAL);
}

static void test_cannot_be_said(void **state)
{
	struct session_msg msg = draw_msg(SESSION_BUNDLE);
	struct session_out out;

	(void)state;
	msg.delta = true;
	msg.base = (struct session_head){0};
	assert_int_equal(session_encode(&msg, &out), -EINVAL);
	msg.delta = false;
	msg.len = 0;
	assert_int_equal(session_encode(&msg, &out), -EINVAL);
	msg.len = BUNDLE_FILE_MAX + 1;
	assert_int_equal(session_encode(&msg, &out), -EMSGSIZE);
	msg = draw_msg(SESSION_WANT);
	msg.head.serial = (uint64_t)INT64_MAX + 1;
	assert_int_equal(session_encode(&msg, &out), -EINVAL);
	msg.type = (enum session_msg_type)99;
	assert_int_equal(session_encode(&msg, &out), -EINVAL);
}

/* ---- what is wrong -------------------------------------------------------------------------- */

static int decode_text(const char *json, const void *payload, size_t len)
{
	struct wire_msg wire = {0};
	struct session_in in;
	int rc;

	wire.header = json_loads(json, 0, NULL);
	assert_non_null(wire.header);
	if (len) {
		wire.payload = malloc(len + 1);
		memcpy(wire.payload, payload, len);
		wire.payload_len = len;
	}
	rc = session_decode(&wire, &in);
	if (rc == 1)
		session_in_clear(&in);
	wire_msg_clear(&wire);
	return rc;
}

#define ZEROS "0000000000000000000000000000000000000000000000000000000000000000"
#define ONES "1111111111111111111111111111111111111111111111111111111111111111"
#define HEAD "{\"serial\":7,\"digest\":\"" ONES "\"}"

static void test_wrong_headers(void **state)
{
	static const char *const wrong[] = {
	        "{}",
	        "{\"msg\":1}",
	        "{\"msg\":\"want\"}",
	        "{\"msg\":\"want\",\"head\":7}",
	        "{\"msg\":\"want\",\"head\":{\"serial\":-1,\"digest\":\"" ONES "\"}}",
	        "{\"msg\":\"want\",\"head\":{\"serial\":1.0,\"digest\":\"" ONES "\"}}",
	        "{\"msg\":\"want\",\"head\":{\"serial\":\"1\",\"digest\":\"" ONES "\"}}",
	        "{\"msg\":\"want\",\"head\":{\"serial\":1,\"digest\":\"" ONES "1\"}}",
	        "{\"msg\":\"want\",\"head\":{\"serial\":1,\"digest\":\"11\"}}",
	        "{\"msg\":\"want\",\"head\":{\"serial\":1}}",
	        "{\"msg\":\"want\",\"head\":{\"serial\":1,\"digest\":\"G" ZEROS "\"}}",
	        "{\"msg\":\"want\",\"head\":{\"serial\":0,\"digest\":\"" ONES "\"}}",
	        "{\"msg\":\"who\"}",
	        "{\"msg\":\"who\",\"since\":5}",
	        "{\"msg\":\"who\",\"since\":\"00000000000000FF\"}",
	        "{\"msg\":\"bundle\",\"head\":" HEAD "}", /* without a payload */
	        "{\"msg\":\"state\",\"head\":" HEAD "}",
	        "{\"msg\":\"statements\"}",
	        "{\"msg\":\"admissions\",\"head\":" HEAD "}",
	        "{\"msg\":\"admissions\",\"sum\":\"" ONES "\"}",
	        "{\"msg\":\"admissions\",\"head\":" HEAD ",\"sum\":\"" ONES "1\"}",
	        "{\"msg\":\"admissions\",\"head\":" HEAD ",\"sum\":\"11\"}",
	        "{\"msg\":\"admissions\",\"head\":" HEAD ",\"sum\":7}",
	        "{\"msg\":\"admissions\",\"head\":{\"serial\":0,\"digest\":\"" ZEROS
	        "\"},\"sum\":\"" ONES "\"}",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		assert_int_equal(decode_text(wrong[i], NULL, 0), -EBADMSG);
	assert_int_equal(decode_text("{\"msg\":\"want\",\"head\":" HEAD "}", "x", 1), -EBADMSG);
	assert_int_equal(
	        decode_text("{\"msg\":\"who\",\"since\":\"0000000000000001\"}", "x", 1), -EBADMSG);
	assert_int_equal(
	        decode_text("{\"msg\":\"bundle\",\"head\":" HEAD ",\"base\":0}", "x", 1), -EBADMSG);
	assert_int_equal(decode_text("{\"msg\":\"bundle\",\"head\":" HEAD
	                             ",\"base\":{\"serial\":0,\"digest\":\"" ZEROS "\"}}",
	                         "x", 1),
	        -EBADMSG);
}

static void test_new_things_pass(void **state)
{
	(void)state;
	assert_int_equal(decode_text("{\"msg\":\"weather\",\"rain\":true}", "abc", 3), 0);
	assert_int_equal(
	        decode_text("{\"msg\":\"want\",\"more\":[1],\"head\":" HEAD "}", NULL, 0), 1);
}

/* Any byte less, any count off: never a message, never a read beyond the end (ASan looks). */
static void test_truncated_records(void **state)
{
	struct session_msg msg = draw_msg(SESSION_STATE);
	struct wire_msg wire = {0};
	size_t whole;

	(void)state;
	msg_pass(&msg, &wire);
	whole = wire.payload_len;
	for (size_t len = 0; len < whole; len++) {
		struct wire_msg cut = {.header = wire.header, .payload_len = len};
		struct session_in in;

		cut.payload = malloc(len ? len : 1);
		memcpy(cut.payload, wire.payload, len);
		assert_int_equal(session_decode(&cut, &in), -EBADMSG);
		free(cut.payload);
	}
	wire.payload[whole] = 0;
	wire.payload_len = whole + 1; /* the NUL behind it */
	assert_int_equal(session_decode(&wire, &(struct session_in){0}), -EBADMSG);
	wire_msg_clear(&wire);
}

/* A record of its own, changed by one thing. */
static int record_decode(uint8_t *record, size_t len)
{
	record[0] = (uint8_t)((len - 2) >> 8);
	record[1] = (uint8_t)(len - 2);
	return decode_text("{\"msg\":\"statements\",\"since\":\"0000000000000000\"}", record, len);
}

static void test_wrong_records(void **state)
{
	struct session_statement s = {.kind = SESSION_APPLIED, .node = "node17"};
	uint8_t record[SESSION_RECORD_MAX + 8], copy[SESSION_RECORD_MAX + 8];
	size_t len = session_record_write(&s, record);

	(void)state;
	assert_int_equal(record_decode(record, len), 1);
	memcpy(copy, record, len);
	copy[5] ^= 1; /* the opening words */
	assert_int_equal(record_decode(copy, len), -EBADMSG);
	memcpy(copy, record, len);
	copy[2 + 22 + 1] = ' '; /* the name */
	assert_int_equal(record_decode(copy, len), -EBADMSG);
	copy[2 + 22 + 1] = 0;
	assert_int_equal(record_decode(copy, len), -EBADMSG);
	memcpy(copy, record, len);
	copy[2 + 22 + 1 + 7] = 0x80; /* the serial */
	assert_int_equal(record_decode(copy, len), -EBADMSG);
	memcpy(copy, record, len);
	copy[2 + 22] = 77; /* a kind of another release: passed over */
	assert_int_equal(record_decode(copy, len), 1);
	memset(s.node, 'n', POLICY_NAME_MAX);
	s.body_len = SESSION_BODY_MAX;
	len = session_record_write(&s, record);
	assert_true(len <= SESSION_RECORD_MAX);
	assert_int_equal(record_decode(record, len), 1);
	assert_int_equal(record_decode(record, len + 1), -EBADMSG); /* a longer body */
}

#define ADMISSIONS "{\"msg\":\"admissions\",\"head\":" HEAD ",\"sum\":\"" ZEROS "\"}"

/* Their lengths must be those of records, and end where the payload does. */
static void test_admissions(void **state)
{
	static uint8_t many[SESSION_SMALL_MAX + 2];
	uint8_t one[2 + POLICY_ADMISSION_MAX + 1] = {POLICY_ADMISSION_MAX >> 8, 0};
	struct session_msg msg = {.type = SESSION_ADMISSIONS, .head.serial = 1, .data = many};
	struct session_out out;

	(void)state;
	assert_int_equal(decode_text(ADMISSIONS, NULL, 0), 1);
	assert_int_equal(decode_text(ADMISSIONS, one, 2 + POLICY_ADMISSION_MAX), 1);
	for (size_t len = 1; len < sizeof(one); len++)
		if (len != 2 + POLICY_ADMISSION_MAX)
			assert_int_equal(decode_text(ADMISSIONS, one, len), -EBADMSG);
	one[1] = 1; /* longer than any */
	assert_int_equal(decode_text(ADMISSIONS, one, sizeof(one)), -EBADMSG);
	assert_int_equal(decode_text(ADMISSIONS, "\0\0", 2), -EBADMSG);
	for (size_t i = 0; i < sizeof(many); i += 64)
		many[i + 1] = 62;
	assert_int_equal(decode_text(ADMISSIONS, many, SESSION_SMALL_MAX), 1);
	assert_int_equal(decode_text(ADMISSIONS, many, sizeof(many)), -EMSGSIZE);
	msg.len = SESSION_SMALL_MAX;
	assert_int_equal(session_encode(&msg, &out), 0);
	session_out_clear(&out);
	msg.len -= 1;
	assert_int_equal(session_encode(&msg, &out), -EINVAL);
	msg.len = sizeof(many);
	assert_int_equal(session_encode(&msg, &out), -EINVAL);
	msg.len = 64;
	msg.head.serial = 0;
	assert_int_equal(session_encode(&msg, &out), -EINVAL);
}

/* ---- hello ---------------------------------------------------------------------------------- */

static const struct session_hello mine = {
        .lowest = 1, .highest = 2, .release = "0.1.0", .cluster = "hpc", .node = "n1"};

static int judge(int64_t lowest, int64_t highest, const char *cluster, char *text)
{
	struct session_hello theirs = mine, read;
	struct wire_msg wire = {0};
	struct session_out out;

	theirs.lowest = lowest;
	theirs.highest = highest;
	snprintf(theirs.cluster, sizeof(theirs.cluster), "%s", cluster);
	assert_int_equal(session_encode_hello(&theirs, &out), 0);
	wire_from(out.bytes, out.len, &wire);
	assert_int_equal(session_hello_read(&wire, &read), 0);
	assert_string_equal(read.node, theirs.node);
	assert_string_equal(read.release, theirs.release);
	wire_msg_clear(&wire);
	session_out_clear(&out);
	return session_hello_judge(&mine, &read, "node17", text);
}

static void test_hello(void **state)
{
	char text[SESSION_TEXT_MAX] = "";

	(void)state;
	assert_int_equal(judge(1, 1, "hpc", text), 1);
	assert_int_equal(judge(1, 9, "hpc", text), 2);
	assert_int_equal(judge(2, INT64_MAX, "hpc", text), 2);
	assert_int_equal(judge(3, 5, "hpc", text), -EPROTONOSUPPORT);
	assert_string_equal(text,
	        "node17 (release 0.1.0) speaks session versions 3-5, this release "
	        "versions 1-2: update overlayd on this node");
	assert_int_equal(judge(1, 1, "hpd", text), -EXDEV);
	assert_non_null(strstr(text, "hpd"));
}

static void test_hello_behind(void **state)
{
	struct session_hello newer = mine, older = mine;
	char text[SESSION_TEXT_MAX];

	(void)state;
	newer.lowest = newer.highest = 3;
	assert_int_equal(session_hello_judge(&newer, &older, "n2", text), -EPROTONOSUPPORT);
	assert_non_null(strstr(text, "update overlayd on n2"));
}

static void test_wrong_hello(void **state)
{
	static const char *const wrong[] = {
	        "{\"hello\":\"overlayd\",\"lowest\":1,\"highest\":1,\"release\":\"\",\"cluster\":"
	        "\"c\","
	        "\"node\":\"n\"}",
	        "{\"hello\":\"overlayd-session\",\"lowest\":2,\"highest\":1,\"release\":\"\","
	        "\"cluster\":\"c\",\"node\":\"n\"}",
	        "{\"hello\":\"overlayd-session\",\"lowest\":0,\"highest\":1,\"release\":\"\","
	        "\"cluster\":\"c\",\"node\":\"n\"}",
	        "{\"hello\":\"overlayd-session\",\"lowest\":1,\"highest\":1,\"release\":\"\\u001b["
	        "2J\","
	        "\"cluster\":\"c\",\"node\":\"n\"}",
	        "{\"hello\":\"overlayd-session\",\"lowest\":1,\"highest\":1,\"cluster\":\"c\","
	        "\"node\":\"n\"}",
	        "{\"hello\":\"overlayd-session\",\"lowest\":1,\"highest\":1,\"release\":\"\","
	        "\"cluster\":7,\"node\":\"n\"}",
	};
	struct session_hello out;

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		struct wire_msg wire = {.header = json_loads(wrong[i], 0, NULL)};

		assert_non_null(wire.header);
		assert_int_equal(session_hello_read(&wire, &out), -EBADMSG);
		wire_msg_clear(&wire);
	}
}

/* ---- notes ---------------------------------------------------------------------------------- */

static void test_notes(void **state)
{
	char longest[POLICY_NAME_MAX + 1] = "";
	uint8_t buf[SESSION_NOTE_MAX];
	struct session_head head, got;
	size_t len;

	(void)state;
	memset(longest, 'c', POLICY_NAME_MAX);
	for (int i = 0; i < 50; i++) {
		head = draw_head(false);
		assert_int_equal(session_note_encode(longest, &head, buf, &len), 0);
		assert_int_equal(session_note_decode(longest, buf, len, &got), 0);
		head_equal(&head, &got);
	}
	assert_int_equal(session_note_decode("another", buf, len, &got), -EXDEV);
	for (size_t cut = 0; cut < len; cut++)
		assert_int_equal(session_note_decode(longest, buf, cut, &got), -EBADMSG);
	buf[len] = 0;
	assert_int_equal(session_note_decode(longest, buf, len + 1, &got), -EBADMSG);
	assert_int_equal(session_note_decode(longest, buf, SESSION_NOTE_MAX + 1, &got), -EMSGSIZE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(test_round_trip),
	        cmocka_unit_test(test_most_statements),
	        cmocka_unit_test(test_cannot_be_said),
	        cmocka_unit_test(test_wrong_headers),
	        cmocka_unit_test(test_new_things_pass),
	        cmocka_unit_test(test_truncated_records),
	        cmocka_unit_test(test_wrong_records),
	        cmocka_unit_test(test_admissions),
	        cmocka_unit_test(test_hello),
	        cmocka_unit_test(test_hello_behind),
	        cmocka_unit_test(test_wrong_hello),
	        cmocka_unit_test(test_notes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What release 0.1.0 really said, byte for byte: tests/unit/session-v1, recorded by t_versions.sh
 * (RECORD=DIR) from its overlayd. It must mean the same to each release that is to live beside it,
 * and be said the same way as long as version 1 is spoken. Never record it anew.
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

#define RECORDS "tests/unit/session-v1/"
#define RECORD_MAX 8192

struct record {
	uint8_t bytes[RECORD_MAX + 1];
	size_t len;
	struct wire_msg wire;
	struct session_in in;
};

static void record_read(const char *name, struct record *out)
{
	char path[128];
	FILE *in;

	memset(out, 0, sizeof(*out));
	snprintf(path, sizeof(path), RECORDS "%s", name);
	in = fopen(path, "re");
	if (!in)
		fail_msg("%s: %s (run it in the repository's root)", path, strerror(errno));
	out->len = fread(out->bytes, 1, RECORD_MAX, in);
	fclose(in);
	assert_in_range(out->len, 1, RECORD_MAX - 1);
}

/* One whole message, and nothing behind it. */
static void record_wire(const char *name, struct record *out)
{
	struct wire_reader reader;
	size_t used = 0;

	record_read(name, out);
	wire_reader_init(&reader, RECORD_MAX);
	assert_int_equal(wire_reader_feed(&reader, out->bytes, out->len, &used, &out->wire), 1);
	assert_int_equal(used, out->len);
	wire_reader_clear(&reader);
}

static void record_decode(const char *name, enum session_msg_type type, struct record *out)
{
	record_wire(name, out);
	assert_int_equal(session_decode(&out->wire, &out->in), 1);
	assert_int_equal(out->in.msg.type, type);
}

/* Said by this release it is the same, byte for byte. */
static void same_again(struct record *record)
{
	struct session_out out;

	assert_int_equal(session_encode(&record->in.msg, &out), 0);
	assert_int_equal(out.len + out.tail_len, record->len);
	assert_memory_equal(out.bytes, record->bytes, out.len);
	if (out.tail_len)
		assert_memory_equal(out.tail, record->bytes + out.len, out.tail_len);
	session_out_clear(&out);
}

static void record_clear(struct record *record)
{
	session_in_clear(&record->in);
	wire_msg_clear(&record->wire);
}

static void key_read(struct minisign_public *out)
{
	struct record text;

	record_read("cluster.pub", &text);
	assert_int_equal(
	        minisign_public_parse((const char *)text.bytes, text.len, out, NULL, 0), 0);
}

static struct policy *bundle_read(const char *file, size_t len, const struct session_head *head)
{
	struct minisign_public key;
	struct policy_report report;
	struct bundle_head got;
	struct policy *policy = NULL;

	key_read(&key);
	policy_report_init(&report);
	assert_int_equal(bundle_open(file, len, &key, &got, &policy, &report), 0);
	policy_report_clear(&report);
	if (head) {
		assert_int_equal(got.serial, head->serial);
		assert_memory_equal(got.digest, head->digest, sizeof(got.digest));
	}
	return policy;
}

/* By the key that the policy gives that node. */
static void signed_by(const struct policy *policy, const struct session_statement *statement)
{
	uint8_t text[SESSION_STATEMENT_MAX];
	size_t len = session_statement_text(statement, text);
	size_t found = 0;

	for (size_t i = 0; i < policy->n_peers; i++) {
		if (strcmp(policy->peers[i].name, statement->node))
			continue;
		found++;
		assert_int_equal(
		        policy_key_verify(&policy->peers[i].key, text, len, statement->signature),
		        0);
	}
	assert_int_equal(found, 1);
}

static struct policy *base_policy(void)
{
	struct record base;

	record_read("base", &base);
	return bundle_read((const char *)base.bytes, base.len, NULL);
}

/* ---- */

static void test_hello(void **state)
{
	struct session_hello theirs, mine = {
	                                     SESSION_VERSION_LOWEST,
	                                     SESSION_VERSION_HIGHEST,
	                                     "x",
	                                     "demo",
	                                     "me",
	                             };
	char text[SESSION_TEXT_MAX];
	struct record r;

	(void)state;
	record_wire("hello", &r);
	assert_int_equal(session_hello_read(&r.wire, &theirs), 0);
	assert_string_equal(theirs.release, "0.1.0");
	assert_string_equal(theirs.cluster, "demo");
	/* Whatever else this release speaks: with that one, version 1. */
	assert_int_equal(session_hello_judge(&mine, &theirs, "peer", text), 1);
	record_clear(&r);
}

static void test_state(void **state)
{
	struct policy *policy = base_policy();
	struct record r;

	(void)state;
	record_decode("state", SESSION_STATE, &r);
	assert_int_equal(r.in.msg.head.serial, 1);
	assert_int_equal(r.in.msg.statement.kind, SESSION_APPLIED);
	assert_int_equal(r.in.msg.statement.head.serial, 1);
	assert_int_equal(r.in.msg.statement.body_len, strlen("0.1.0"));
	assert_memory_equal(r.in.msg.statement.body, "0.1.0", strlen("0.1.0"));
	signed_by(policy, &r.in.msg.statement);
	same_again(&r);
	record_clear(&r);
	policy_unref(policy);
}

static void test_statements(void **state)
{
	struct policy *policy = base_policy();
	struct record r;

	(void)state;
	record_decode("statements", SESSION_STATEMENTS, &r);
	assert_in_range(r.in.msg.n_statements, 1, 3);
	for (size_t i = 0; i < r.in.msg.n_statements; i++)
		signed_by(policy, &r.in.msg.statements[i]);
	same_again(&r);
	record_clear(&r);
	policy_unref(policy);
}

static void test_questions(void **state)
{
	struct record r;

	(void)state;
	record_decode("want", SESSION_WANT, &r);
	assert_int_equal(r.in.msg.head.serial, 3);
	same_again(&r);
	record_clear(&r);
	record_decode("who", SESSION_WHO, &r);
	assert_int_equal(r.in.msg.since, 0);
	same_again(&r);
	record_clear(&r);
}

static void test_bundle(void **state)
{
	struct record r;
	struct policy *policy;

	(void)state;
	record_decode("bundle", SESSION_BUNDLE, &r);
	assert_false(r.in.msg.delta);
	policy = bundle_read((const char *)r.in.msg.data, r.in.msg.len, &r.in.msg.head);
	assert_int_equal(policy->n_peers, 3);
	assert_string_equal(policy->cluster, "demo");
	policy_unref(policy);
	same_again(&r);
	record_clear(&r);
}

static void test_difference(void **state)
{
	size_t base_len, delta_len, text_len, len;
	struct record base, r;
	const char *data;
	struct policy *policy;
	char *text, *file;

	(void)state;
	record_read("base", &base);
	record_decode("difference", SESSION_BUNDLE, &r);
	assert_true(r.in.msg.delta);
	assert_int_equal(r.in.msg.base.serial, 1);
	assert_int_equal(r.in.msg.head.serial, 2);
	data = (const char *)r.in.msg.data;
	assert_int_equal(bundle_split((const char *)base.bytes, base.len, &base_len, NULL, 0), 0);
	assert_int_equal(bundle_split(data, r.in.msg.len, &delta_len, NULL, 0), 0);
	assert_int_equal(bundle_patch((const char *)base.bytes, base_len, data, delta_len, &text,
	                         &text_len, NULL, 0),
	        0);
	len = text_len + r.in.msg.len - delta_len;
	file = realloc(text, len + 1);
	assert_non_null(file);
	memcpy(file + text_len, data + delta_len, r.in.msg.len - delta_len);
	policy = bundle_read(file, len, &r.in.msg.head);
	assert_int_equal(policy->serial, 2);
	policy_unref(policy);
	free(file);
	same_again(&r);
	record_clear(&r);
}

static void test_note(void **state)
{
	uint8_t buf[SESSION_NOTE_MAX];
	struct session_head head;
	struct record r;
	size_t len;

	(void)state;
	record_read("note", &r);
	assert_int_equal(session_note_decode("demo", r.bytes, r.len, &head), 0);
	assert_int_equal(head.serial, 5);
	assert_int_equal(session_note_encode("demo", &head, buf, &len), 0);
	assert_int_equal(len, r.len);
	assert_memory_equal(buf, r.bytes, len);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(test_hello),
	        cmocka_unit_test(test_state),
	        cmocka_unit_test(test_statements),
	        cmocka_unit_test(test_questions),
	        cmocka_unit_test(test_bundle),
	        cmocka_unit_test(test_difference),
	        cmocka_unit_test(test_note),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

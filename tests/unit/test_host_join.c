/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Joining as bytes: every message, made at random, comes back as it was; whatever is cut, changed
 * or longer than its limit is an error, what is only new is passed over.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host/join_wire.h"

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

static void draw_name(char *out)
{
	size_t len = 1 + draw() % POLICY_NAME_MAX;

	for (size_t i = 0; i < len; i++)
		out[i] = "abcxyz019"[draw() % 9];
	out[len] = 0;
}

static struct join_request draw_request(void)
{
	struct join_request r = {0};

	draw_name(r.cluster);
	draw_name(r.name);
	if (draw() % 2)
		draw_name(r.site);
	if (draw() % 2) {
		draw_name(r.token);
		draw_bytes(r.by_token, sizeof(r.by_token));
	}
	r.n_links = (uint8_t)(draw() % (JOIN_LINKS_MAX + 1));
	for (size_t i = 0; i < r.n_links; i++) {
		r.links[i].family = draw() % 2 ? AF_INET : AF_INET6;
		draw_bytes(r.links[i].bytes, r.links[i].family == AF_INET ? 4 : 16);
		if (r.links[i].family == AF_INET6)
			r.links[i].bytes[0] = 0x20;
	}
	snprintf(r.release, sizeof(r.release), "1.%u", (unsigned)(draw() % 100));
	draw_bytes(r.key.raw, sizeof(r.key.raw));
	draw_bytes(r.nonce, sizeof(r.nonce));
	draw_bytes(r.signature, sizeof(r.signature));
	return r;
}

/* ---- bytes to messages ---------------------------------------------------------------------- */

/* One message out of a head and what goes behind it. */
static int parse(
        const uint8_t *head, size_t len, const void *tail, size_t tail_len, struct wire_msg *out)
{
	struct wire_reader reader;
	size_t used;
	int rc;

	wire_reader_init(&reader, JOIN_PAYLOAD_MAX);
	rc = wire_reader_feed(&reader, head, len, &used, out);
	if (!rc && tail_len)
		rc = wire_reader_feed(&reader, tail, tail_len, &used, out);
	wire_reader_clear(&reader);
	return rc;
}

static struct wire_msg from_text(const char *text)
{
	struct wire_msg wire = {.header = json_loads(text, 0, NULL)};

	assert_non_null(wire.header);
	return wire;
}

/* ---- challenge ------------------------------------------------------------------------------ */

static void challenge_comes_back(void **state)
{
	struct join_challenge made = {.lowest = 1, .highest = 7, .release = "0.1"}, got;
	struct wire_msg wire;
	uint8_t *bytes;
	size_t len;

	(void)state;
	draw_bytes(made.nonce, sizeof(made.nonce));
	assert_int_equal(join_encode_challenge(&made, &bytes, &len), 0);
	assert_int_equal(parse(bytes, len, NULL, 0, &wire), 1);
	assert_int_equal(join_decode_challenge(&wire, &got), 0);
	assert_int_equal(got.lowest, 1);
	assert_int_equal(got.highest, 7);
	assert_string_equal(got.release, "0.1");
	assert_memory_equal(got.nonce, made.nonce, sizeof(got.nonce));
	wire_msg_clear(&wire);
	free(bytes);
}

static void challenge_versions(void **state)
{
	static const struct {
		int64_t lowest, highest;
		int agreed;
		const char *says;
	} cases[] = {
	        {1, 1, 1, NULL},
	        {1, 9, JOIN_VERSION_HIGHEST, NULL},
	        {JOIN_VERSION_HIGHEST + 1, 99, -EPROTONOSUPPORT, "update overlayd on this node"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct join_challenge c = {.lowest = cases[i].lowest, .highest = cases[i].highest};
		char text[JOIN_TEXT_MAX] = "";

		assert_int_equal(join_challenge_judge(&c, text), cases[i].agreed);
		if (cases[i].says)
			assert_non_null(strstr(text, cases[i].says));
	}
}

/* ---- request -------------------------------------------------------------------------------- */

static void same_request(const struct join_request *a, const struct join_request *b)
{
	uint8_t x[JOIN_REQUEST_MAX], y[JOIN_REQUEST_MAX];
	size_t n = join_request_bytes(a, x);

	assert_int_not_equal(n, 0);
	assert_int_equal(join_request_bytes(b, y), n);
	assert_memory_equal(x, y, n);
	assert_memory_equal(a->signature, b->signature, sizeof(a->signature));
	assert_string_equal(a->release, b->release);
}

static void requests_come_back(void **state)
{
	(void)state;
	for (int i = 0; i < 500; i++) {
		struct join_request made = draw_request(), got;
		struct wire_msg wire;
		uint8_t *bytes;
		size_t len;

		assert_int_equal(join_encode_request(&made, 1, &bytes, &len), 0);
		assert_true(len < 4096);
		assert_int_equal(parse(bytes, len, NULL, 0, &wire), 1);
		assert_int_equal(join_decode_request(&wire, &got), 0);
		same_request(&made, &got);
		wire_msg_clear(&wire);
		free(bytes);
	}
}

/* Each key alone, gone or of another type. */
static void requests_need_all(void **state)
{
	static const char *const keys[] = {"join", "version", "cluster", "name", "key", "site",
	        "links", "nonce", "release", "signature", "by_token", "token"};

	(void)state;
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		struct join_request made = draw_request(), got = {0};
		struct wire_msg wire;
		uint8_t *bytes;
		size_t len;

		draw_name(made.token);
		assert_int_equal(join_encode_request(&made, 1, &bytes, &len), 0);
		assert_int_equal(parse(bytes, len, NULL, 0, &wire), 1);
		assert_int_equal(json_object_del(wire.header, keys[i]), 0);
		assert_int_equal(join_decode_request(&wire, &got), -EBADMSG);
		json_object_set_new(wire.header, keys[i], json_real(1.5));
		assert_int_equal(join_decode_request(&wire, &got), -EBADMSG);
		assert_string_equal(got.name, ""); /* untouched */
		wire_msg_clear(&wire);
		free(bytes);
	}
}

static void requests_have_limits(void **state)
{
	struct join_request made = draw_request(), got;
	struct wire_msg wire;
	uint8_t *bytes;
	json_t *links;
	size_t len;

	(void)state;
	assert_int_equal(join_encode_request(&made, 1, &bytes, &len), 0);
	assert_int_equal(parse(bytes, len, NULL, 0, &wire), 1);
	json_object_set_new(wire.header, "new", json_true());
	assert_int_equal(join_decode_request(&wire, &got), 0);
	json_object_set_new(wire.header, "version", json_integer(JOIN_VERSION_HIGHEST + 1));
	assert_int_equal(join_decode_request(&wire, &got), -EBADMSG);
	json_object_set_new(wire.header, "version", json_integer(1));
	links = json_array();
	for (size_t i = 0; i <= JOIN_LINKS_MAX; i++)
		json_array_append_new(links, json_string("192.0.2.1"));
	json_object_set_new(wire.header, "links", links);
	assert_int_equal(join_decode_request(&wire, &got), -EBADMSG);
	json_array_remove(links, 0);
	assert_int_equal(join_decode_request(&wire, &got), 0);
	json_array_set_new(links, 0, json_string("192.0.2"));
	assert_int_equal(join_decode_request(&wire, &got), -EBADMSG);
	json_array_clear(links);
	json_object_set_new(wire.header, "name", json_string("no name\n"));
	assert_int_equal(join_decode_request(&wire, &got), -EBADMSG);
	wire_msg_clear(&wire);
	free(bytes);
}

/* ---- answer --------------------------------------------------------------------------------- */

static uint8_t file[70000], records[JOIN_ADMISSIONS_MAX][JOIN_ADMISSION_MAX];

static void answers_come_back(void **state)
{
	(void)state;
	for (int i = 0; i < 200; i++) {
		struct join_record recs[JOIN_ADMISSIONS_MAX];
		struct join_answer made = {.status = (enum join_status[]){JOIN_PENDING, JOIN_MEMBER,
		                                   JOIN_REFUSED, JOIN_BUSY}[draw() % 4],
		        .text = "One sentence.",
		        .retry_s = (uint32_t)draw(),
		        .admissions = recs};
		static uint8_t tail[sizeof(file) + sizeof(records)];
		struct join_answer_in got;
		struct wire_msg wire;
		size_t len, tail_len = 0;
		uint8_t *bytes;

		if (made.status == JOIN_MEMBER) {
			made.file = (const char *)file;
			made.len = 1 + draw() % sizeof(file);
			draw_bytes(file, made.len < 100 ? made.len : 100);
			memcpy(tail, file, made.len);
			tail_len = made.len;
			made.n_admissions = draw() % (JOIN_ADMISSIONS_MAX + 1);
		}
		for (size_t k = 0; k < made.n_admissions; k++) {
			recs[k].len = 1 + draw() % JOIN_ADMISSION_MAX;
			recs[k].data = records[k];
			draw_bytes(records[k], recs[k].len);
			memcpy(tail + tail_len, records[k], recs[k].len);
			tail_len += recs[k].len;
		}
		assert_int_equal(join_encode_answer(&made, &bytes, &len), 0);
		assert_int_equal(parse(bytes, len, tail, tail_len, &wire), 1);
		assert_int_equal(join_decode_answer(&wire, &got), 0);
		assert_int_equal(got.answer.status, made.status);
		assert_string_equal(got.answer.text, made.text);
		assert_int_equal(got.answer.retry_s, made.retry_s);
		assert_int_equal(got.answer.len, made.len);
		assert_int_equal(got.answer.n_admissions, made.n_admissions);
		if (made.len)
			assert_memory_equal(got.answer.file, file, made.len);
		for (size_t k = 0; k < made.n_admissions; k++) {
			assert_int_equal(got.answer.admissions[k].len, recs[k].len);
			assert_memory_equal(
			        got.answer.admissions[k].data, recs[k].data, recs[k].len);
		}
		wire_msg_clear(&wire);
		free(bytes);
	}
}

/* The parts must fill the payload, and only a member has one. */
static void answers_fit_their_payload(void **state)
{
	static const struct {
		const char *text;
		size_t payload;
		int rc;
	} cases[] = {
	        {"\"status\":\"member\",\"bundle\":10,\"admissions\":[]", 10, 0},
	        {"\"status\":\"member\",\"bundle\":6,\"admissions\":[3,1]", 10, 0},
	        {"\"status\":\"member\",\"bundle\":6,\"admissions\":[3]", 10, -EBADMSG},
	        {"\"status\":\"member\",\"bundle\":6,\"admissions\":[3,2]", 10, -EBADMSG},
	        {"\"status\":\"member\",\"bundle\":6,\"admissions\":[4,0]", 10, -EBADMSG},
	        {"\"status\":\"member\",\"bundle\":6,\"admissions\":[-1,5]", 10, -EBADMSG},
	        {"\"status\":\"member\",\"bundle\":11,\"admissions\":[]", 10, -EBADMSG},
	        {"\"status\":\"member\",\"bundle\":0,\"admissions\":[]", 0, -EBADMSG},
	        {"\"status\":\"member\",\"bundle\":-1,\"admissions\":[]", 10, -EBADMSG},
	        {"\"status\":\"member\",\"bundle\":1,\"admissions\":[1,1,1,1,1,1,1,1,1]", 10,
	                -EBADMSG},
	        {"\"status\":\"member\",\"bundle\":10", 10, -EBADMSG},
	        {"\"status\":\"member\"", 10, -EBADMSG},
	        {"\"status\":\"pending\"", 0, 0},
	        {"\"status\":\"pending\"", 10, -EBADMSG},
	        {"\"status\":\"refused\"", 1, -EBADMSG},
	        {"\"status\":\"maybe\"", 0, -EBADMSG},
	        {"\"status\":7", 0, -EBADMSG},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct join_answer_in got;
		struct wire_msg wire;
		char text[256];

		snprintf(text, sizeof(text), "{\"join\":\"answer\",\"text\":\"\",\"retry\":1,%s}",
		        cases[i].text);
		wire = from_text(text);
		wire.payload = calloc(1, cases[i].payload + 1);
		wire.payload_len = cases[i].payload;
		if (join_decode_answer(&wire, &got) != cases[i].rc)
			fail_msg("%s with %zu", text, cases[i].payload);
		wire_msg_clear(&wire);
	}
}

static void answers_that_cannot_be_said(void **state)
{
	struct join_record rec = {records[0], JOIN_ADMISSION_MAX + 1};
	char longer[JOIN_TEXT_MAX + 1];
	uint8_t *bytes = NULL;
	size_t len;

	(void)state;
	memset(longer, 'a', JOIN_TEXT_MAX);
	longer[JOIN_TEXT_MAX] = 0;
	assert_int_equal(
	        join_encode_answer(&(struct join_answer){.status = JOIN_PENDING, .text = longer},
	                &bytes, &len),
	        -EINVAL);
	assert_int_equal(
	        join_encode_answer(
	                &(struct join_answer){.status = JOIN_MEMBER, .text = ""}, &bytes, &len),
	        -EINVAL);
	assert_int_equal(join_encode_answer(
	                         &(struct join_answer){
	                                 .status = JOIN_REFUSED, .text = "", .file = "a", .len = 1},
	                         &bytes, &len),
	        -EINVAL);
	assert_int_equal(join_encode_answer(&(struct join_answer){.status = JOIN_MEMBER,
	                                            .text = "",
	                                            .file = "a",
	                                            .len = 1,
	                                            .admissions = &rec,
	                                            .n_admissions = 1},
	                         &bytes, &len),
	        -EINVAL);
	assert_null(bytes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(challenge_comes_back),
	        cmocka_unit_test(challenge_versions),
	        cmocka_unit_test(requests_come_back),
	        cmocka_unit_test(requests_need_all),
	        cmocka_unit_test(requests_have_limits),
	        cmocka_unit_test(answers_come_back),
	        cmocka_unit_test(answers_fit_their_payload),
	        cmocka_unit_test(answers_that_cannot_be_said),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The wire codec: golden bytes, chunks, limits, and all that a header must not be. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <errno.h>
#include <arpa/inet.h>
#include <cmocka.h>

#include "client/wire.h"

/* A message by hand: lengths as told, bytes as given. */
static size_t frame(uint8_t *out, uint32_t header_len, uint32_t payload_len, const char *header,
        size_t n_header, const char *payload, size_t n_payload)
{
	uint32_t lens[2] = {htonl(header_len), htonl(payload_len)};

	memcpy(out, lens, 8);
	memcpy(out + 8, header, n_header);
	memcpy(out + 8 + n_header, payload, n_payload);
	return 8 + n_header + n_payload;
}

/* Feed a whole buffer; the last return value of the reader. */
static int feed_all(const void *data, size_t len, struct wire_msg *msg)
{
	struct wire_reader reader;
	size_t used;
	int rc;

	wire_reader_init(&reader, WIRE_PAYLOAD_MAX_IN);
	rc = wire_reader_feed(&reader, data, len, &used, msg);
	if (rc < 0) { /* errors are final */
		assert_int_equal(wire_reader_feed(&reader, "x", 1, &used, msg), rc);
		assert_int_equal(used, 0);
	}
	wire_reader_clear(&reader);
	return rc;
}

static int feed_header_n(const char *header, size_t len)
{
	uint8_t *bytes = malloc(8 + len);
	struct wire_msg msg = {0};
	size_t n = frame(bytes, (uint32_t)len, 0, header, len, "", 0);
	int rc = feed_all(bytes, n, &msg);

	assert_int_equal(rc == 1, msg.header != NULL);
	wire_msg_clear(&msg);
	free(bytes);
	return rc;
}

static int feed_header(const char *header)
{
	return feed_header_n(header, strlen(header));
}

static void test_golden(void **state)
{
	static const uint8_t golden[] = "\0\0\0\x17\0\0\0\5{\"id\":3,\"method\":\"abc\"}hello";
	json_t *header = json_pack("{s:i, s:s}", "id", 3, "method", "abc");
	uint8_t *out;
	size_t len;

	(void)state;
	assert_int_equal(wire_encode(header, "hello", 5, &out, &len), 0);
	assert_int_equal(len, sizeof(golden) - 1);
	assert_memory_equal(out, golden, len);
	free(out);
	json_decref(header);
}

/* Three messages in a row, fed in chunks of every size from one byte on. */
static void test_chunks(void **state)
{
	static const char *payloads[] = {"", "x", "a longer payload \xff with any bytes"};
	uint8_t stream[4096];
	size_t total = 0;

	(void)state;
	for (int i = 0; i < 3; i++) {
		json_t *header = json_pack("{s:i, s:s}", "id", i, "text", "\xc3\xa9t\xc3\xa9");
		uint8_t *out;
		size_t len;

		assert_int_equal(
		        wire_encode(header, payloads[i], strlen(payloads[i]), &out, &len), 0);
		memcpy(stream + total, out, len);
		total += len;
		free(out);
		json_decref(header);
	}
	for (size_t chunk = 1; chunk <= total; chunk++) {
		struct wire_reader reader;
		struct wire_msg msg = {0};
		int seen = 0;

		wire_reader_init(&reader, WIRE_PAYLOAD_MAX_IN);
		for (size_t at = 0; at < total;) {
			size_t len = chunk < total - at ? chunk : total - at, used;
			int rc = wire_reader_feed(&reader, stream + at, len, &used, &msg);

			assert_true(rc >= 0);
			assert_true(rc == 1 || used == len);
			assert_int_equal(wire_reader_pending(&reader), rc == 0);
			at += used;
			if (!rc)
				continue;
			assert_int_equal(
			        json_integer_value(json_object_get(msg.header, "id")), seen);
			assert_int_equal(msg.payload_len, strlen(payloads[seen]));
			if (msg.payload_len)
				assert_string_equal((char *)msg.payload, payloads[seen]);
			else
				assert_null(msg.payload);
			wire_msg_clear(&msg);
			seen++;
		}
		assert_int_equal(seen, 3);
		assert_false(wire_reader_pending(&reader));
		wire_reader_clear(&reader);
	}
}

static void test_limits(void **state)
{
	uint8_t bytes[64];
	struct wire_msg msg = {0};
	size_t n;

	(void)state;
	/* Told by the prefix alone, before any body came or was allocated. */
	n = frame(bytes, WIRE_HEADER_MAX + 1, 0, "", 0, "", 0);
	assert_int_equal(feed_all(bytes, n, &msg), -EMSGSIZE);
	n = frame(bytes, WIRE_HEADER_MAX, 0, "", 0, "", 0);
	assert_int_equal(feed_all(bytes, n, &msg), 0);
	n = frame(bytes, 2, WIRE_PAYLOAD_MAX_IN + 1, "", 0, "", 0);
	assert_int_equal(feed_all(bytes, n, &msg), -EMSGSIZE);
	n = frame(bytes, 2, WIRE_PAYLOAD_MAX_IN, "", 0, "", 0);
	assert_int_equal(feed_all(bytes, n, &msg), 0);
	n = frame(bytes, UINT32_MAX, UINT32_MAX, "", 0, "", 0);
	assert_int_equal(feed_all(bytes, n, &msg), -EMSGSIZE);
	n = frame(bytes, 0, 0, "", 0, "", 0);
	assert_int_equal(feed_all(bytes, n, &msg), -EBADMSG);
	assert_null(msg.header);
}

/* A length that promises much makes the reader hold only what came. */
static void test_promise_costs_nothing(void **state)
{
	struct wire_reader reader;
	struct wire_msg msg;
	uint8_t bytes[64];
	size_t used, n = frame(bytes, 2, WIRE_PAYLOAD_MAX, "{}", 2, "abc", 3);

	(void)state;
	wire_reader_init(&reader, WIRE_PAYLOAD_MAX);
	assert_int_equal(wire_reader_feed(&reader, bytes, n, &used, &msg), 0);
	assert_int_equal(used, n);
	assert_true(reader.body_cap <= 4096);
	wire_reader_clear(&reader);
}

static void test_largest(void **state)
{
	char *text = malloc(WIRE_HEADER_MAX + 1);
	json_t *header;
	uint8_t *out = NULL;
	size_t len = 0;

	(void)state;
	memset(text, 'a', WIRE_HEADER_MAX);
	text[WIRE_HEADER_MAX - 8] = '\0'; /* {"k":"..."} */
	header = json_pack("{s:s}", "k", text);
	assert_int_equal(wire_encode(header, NULL, 0, &out, &len), 0);
	assert_int_equal(len, 8 + WIRE_HEADER_MAX);
	assert_int_equal(feed_header_n((char *)out + 8, len - 8), 1);
	free(out);
	json_decref(header);

	out = NULL;
	text[WIRE_HEADER_MAX - 8] = 'a';
	text[WIRE_HEADER_MAX - 7] = '\0';
	header = json_pack("{s:s}", "k", text);
	assert_int_equal(wire_encode(header, NULL, 0, &out, &len), -EMSGSIZE);
	assert_null(out);
	assert_int_equal(wire_encode(json_null(), NULL, 0, &out, &len), -EINVAL);
	json_object_clear(header);
	assert_int_equal(wire_encode(header, text, WIRE_PAYLOAD_MAX + 1U, &out, &len), -EMSGSIZE);
	json_decref(header);
	free(text);
}

static void test_strict(void **state)
{
	static const char *const bad[] = {
	        "[]", "17", "\"x\"", "null",      /* no object */
	        "{\"a\":1,\"a\":2}",              /* duplicate key */
	        "{\"a\":{\"b\":1,\"b\":1}}",      /* deeper too */
	        "{\"a\":\"\xff\"}",               /* no UTF-8 */
	        "{\"a\":\"\xc0\xaf\"}",           /* overlong */
	        "{\"a\":\"\xed\xa0\x80\"}",       /* surrogate */
	        "{\"a\":\"\\u0000\"}",            /* NUL */
	        "{\"a\\u0000b\":1}",              /* NUL in a key */
	        "{} {}", "{}x", "{", "  ",        /* more, or less, than one value */
	        "{\"a\":99999999999999999999}",   /* no integer of ours */
	        "{'a':1}", "{\"a\":01}", "{a:1}", /* no JSON */
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (feed_header(bad[i]) != -EBADMSG)
			fail_msg("taken: %s", bad[i]);
	assert_int_equal(feed_header_n("{}\0", 3), -EBADMSG);
	assert_int_equal(feed_header_n("{\"a\":\"b\0c\"}", 11), -EBADMSG);
	assert_int_equal(feed_header("{}"), 1);
	assert_int_equal(feed_header(" {\"a\":\"[[[[[[[[[[[[[[[[[[[[[[[[[\\\"{{{\"} "), 1);
}

static void test_depth(void **state)
{
	char text[4 * WIRE_DEPTH_MAX];

	(void)state;
	for (unsigned levels = 1; levels <= WIRE_DEPTH_MAX + 1; levels++) {
		char *at = text;

		at += sprintf(at, "{\"a\":");
		for (unsigned i = 1; i < levels; i++)
			*at++ = '[';
		if (levels == 1)
			*at++ = '1';
		for (unsigned i = 1; i < levels; i++)
			*at++ = ']';
		strcpy(at, "}");
		assert_int_equal(feed_header(text), levels <= WIRE_DEPTH_MAX ? 1 : -EBADMSG);
	}
}

static void test_parse_says_why(void **state)
{
	char err[160] = "";
	json_t *value = NULL;

	(void)state;
	assert_int_equal(
	        wire_json_parse("{\"a\":1,\"a\":2}", 13, &value, err, sizeof(err)), -EBADMSG);
	assert_non_null(strstr(err, "duplicate"));
	assert_int_equal(
	        wire_json_parse("[[[[[[[[[[[[[[[[[", 17, &value, err, sizeof(err)), -EBADMSG);
	assert_non_null(strstr(err, "deeper"));
	assert_null(value);
	assert_int_equal(wire_json_parse("[1]", 3, &value, NULL, 0), 0);
	assert_int_equal(json_array_size(value), 1);
	json_decref(value);
}

static int agree(const char *text)
{
	json_t *hello = json_loads(text, 0, NULL);
	int rc = wire_hello_agree(hello);

	json_decref(hello);
	return rc;
}

static void test_hello(void **state)
{
	json_t *hello = wire_hello("9.9");

	(void)state;
	assert_int_equal(wire_hello_agree(hello), WIRE_VERSION_HIGHEST);
	assert_string_equal(json_string_value(json_object_get(hello, "version")), "9.9");
	json_decref(hello);
	/* A peer of the future that still knows our version; one that does not. */
	assert_int_equal(
	        agree("{\"hello\":\"overlayd\",\"lowest\":1,\"highest\":9,\"new\":[]}"), 1);
	assert_int_equal(
	        agree("{\"hello\":\"overlayd\",\"lowest\":2,\"highest\":9}"), -EPROTONOSUPPORT);
	assert_int_equal(agree("{\"hello\":\"overlayd\",\"lowest\":0,\"highest\":0}"), -EBADMSG);
	assert_int_equal(agree("{\"hello\":\"overlayd\",\"lowest\":3,\"highest\":1}"), -EBADMSG);
	assert_int_equal(
	        agree("{\"hello\":\"overlayd\",\"lowest\":\"1\",\"highest\":1}"), -EBADMSG);
	assert_int_equal(agree("{\"hello\":\"http\",\"lowest\":1,\"highest\":1}"), -EBADMSG);
	assert_int_equal(agree("{\"lowest\":1,\"highest\":1}"), -EBADMSG);
	assert_int_equal(wire_hello_agree(NULL), -EBADMSG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(test_golden),
	        cmocka_unit_test(test_chunks),
	        cmocka_unit_test(test_limits),
	        cmocka_unit_test(test_promise_costs_nothing),
	        cmocka_unit_test(test_largest),
	        cmocka_unit_test(test_strict),
	        cmocka_unit_test(test_depth),
	        cmocka_unit_test(test_parse_says_why),
	        cmocka_unit_test(test_hello),
	};

	return cmocka_run_group_tests_name("client_wire", tests, NULL, NULL);
}

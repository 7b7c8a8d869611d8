/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Small words of policy/: keys, fingerprints, addresses, ULA, ports. */
#include "policy_bed.h"

#include <sys/socket.h>

/* RFC 8032 7.1, test 1; its fingerprint as ssh-keygen -lf prints it. */
#define RFC_KEY "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAINdamAGCsQq31Uv+08lkBzoO4XLz2qYjJa8CGmj3B1Ea"
#define RFC_PRINT "SHA256:bbXpuKG6zhzdmnxq256TlqzFBzRl2f6OOg722cYNbU8"

static void test_key(void **state)
{
	static const uint8_t start[] = {0xd7, 0x5a, 0x98, 0x01, 0x82, 0xb1, 0x0a, 0xb7};
	char print[POLICY_FINGERPRINT_LEN], text[96];
	const char *comment;
	struct policy_key key;

	(void)state;
	assert_int_equal(policy_key_parse(RFC_KEY " a comment", &key, &comment), 0);
	assert_string_equal(comment, "a comment");
	assert_memory_equal(key.raw, start, sizeof(start));
	policy_key_print(&key, text, sizeof(text));
	assert_string_equal(text, RFC_KEY);
	policy_key_fingerprint(&key, print);
	assert_string_equal(print, RFC_PRINT);
	assert_int_equal(policy_key_parse(RFC_KEY, &key, NULL), 0);
	assert_int_equal(policy_key_parse(RFC_KEY, &key, &comment), 0);
	assert_string_equal(comment, "");
}

static void test_key_untouched(void **state)
{
	struct policy_key key, before;

	(void)state;
	memset(&key, 0x5a, sizeof(key));
	before = key;
	assert_int_equal(policy_key_parse("ssh-rsa AAAA", &key, NULL), -EINVAL);
	assert_int_equal(policy_key_parse("", &key, NULL), -EINVAL);
	assert_memory_equal(&key, &before, sizeof(key));
}

static void test_key_order(void **state)
{
	char a_print[POLICY_FINGERPRINT_LEN], b_print[POLICY_FINGERPRINT_LEN];
	struct policy_key a, b;

	(void)state;
	assert_int_equal(policy_key_parse(KEY1, &a, NULL), 0);
	assert_int_equal(policy_key_parse(KEY2, &b, NULL), 0);
	assert_int_equal(policy_key_compare(&a, &a), 0);
	assert_true((policy_key_compare(&a, &b) < 0) != (policy_key_compare(&b, &a) < 0));
	policy_key_fingerprint(&a, a_print);
	policy_key_fingerprint(&b, b_print);
	assert_string_not_equal(a_print, b_print);
}

static void test_addr(void **state)
{
	struct policy_prefix prefix = {.len = 20};
	struct policy_addr addr, before;
	char text[64];

	(void)state;
	assert_int_equal(policy_addr_parse("10.77.16.0", &prefix.addr), 0);
	assert_int_equal(policy_addr_parse("10.77.31.255", &addr), 0);
	assert_true(policy_prefix_contains(&prefix, &addr));
	assert_int_equal(policy_addr_parse("10.77.32.0", &addr), 0);
	assert_false(policy_prefix_contains(&prefix, &addr));
	assert_int_equal(policy_addr_parse("fd00::1", &addr), 0);
	assert_false(policy_prefix_contains(&prefix, &addr));
	policy_addr_print(&addr, text, sizeof(text));
	assert_string_equal(text, "fd00::1");
	before = addr;
	assert_int_equal(policy_addr_parse("10.77.0.256", &addr), -EINVAL);
	assert_int_equal(policy_addr_parse("10.77.0", &addr), -EINVAL);
	assert_int_equal(policy_addr_parse("", &addr), -EINVAL);
	assert_memory_equal(&addr, &before, sizeof(addr));
	memset(&addr, 0, sizeof(addr));
	policy_addr_print(&addr, text, sizeof(text));
	assert_string_equal(text, "");
	prefix = (struct policy_prefix){0};
	assert_false(policy_prefix_contains(&prefix, &addr)); /* unset holds nothing */
}

/* Fixed for ever: other releases and other languages must derive the same. */
static void test_ula(void **state)
{
	struct policy_prefix prefix;
	struct policy_addr addr;
	struct policy_key key;
	char text[64];

	(void)state;
	policy_ula_prefix("hpc", &prefix);
	policy_addr_print(&prefix.addr, text, sizeof(text));
	assert_int_equal(prefix.len, 48);
	assert_string_equal(text, "fd2e:8e71:fefa::");
	assert_int_equal(policy_key_parse(RFC_KEY, &key, NULL), 0);
	policy_ula_address("hpc", &key, &addr);
	policy_addr_print(&addr, text, sizeof(text));
	assert_string_equal(text, "fd2e:8e71:fefa:f1f1:dda1:297a:b1f1:e10b");
	assert_true(policy_prefix_contains(&prefix, &addr));
	policy_ula_prefix("hpc2", &prefix);
	assert_false(policy_prefix_contains(&prefix, &addr));
}

static void test_ports(void **state)
{
	struct policy_ports ports, before;
	char err[128];

	(void)state;
	assert_int_equal(policy_ports_parse("tcp/22", &ports, NULL, 0), 0);
	assert_int_equal(ports.proto, POLICY_TCP);
	assert_int_equal(ports.first, 22);
	assert_int_equal(ports.last, 22);
	assert_int_equal(policy_ports_parse("udp/1-65535", &ports, err, sizeof(err)), 0);
	assert_int_equal(ports.proto, POLICY_UDP);
	assert_int_equal(ports.first, 1);
	assert_int_equal(ports.last, 65535);
	before = ports;
	assert_int_equal(policy_ports_parse("udp/2-1", &ports, err, sizeof(err)), -EINVAL);
	assert_string_equal(err, "the range 2-1 is reversed: write 1-2");
	assert_int_equal(policy_ports_parse("tcp/022", &ports, err, sizeof(err)), -EINVAL);
	assert_int_equal(policy_ports_parse("", &ports, NULL, 0), -EINVAL);
	assert_memory_equal(&ports, &before, sizeof(ports));
	assert_int_equal(policy_ports_parse("icmp", &ports, NULL, 0), 0);
	assert_int_equal(ports.proto, POLICY_ICMP);
	assert_int_equal(ports.first, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(test_key),
	        cmocka_unit_test(test_key_untouched),
	        cmocka_unit_test(test_key_order),
	        cmocka_unit_test(test_addr),
	        cmocka_unit_test(test_ula),
	        cmocka_unit_test(test_ports),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

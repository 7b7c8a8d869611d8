/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The ruleset as data, and as text: what is refused, what is merged, what is printed. */
#include <netinet/in.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "firewall/firewall.h"

static struct fw_addr addr(const char *text)
{
	struct fw_addr a;

	assert_int_equal(fw_addr_parse(text, &a), 0);
	return a;
}

static void test_addresses(void **state)
{
	static const char *const good[] = {
	        "10.77.0.1", "10.77.0.0/16", "fd77::/64", "::/0", "fd77::1"};
	static const char *const bad[] = {"", "10.77.0.1/16", "10.0.0.0/33", "fd77::1/64",
	        "10.0.0.0/", "10.0.0.0/8x", "10.0.0", "x", "10.0.0.0/-1"};
	char buf[FW_ADDR_TEXT];
	struct fw_addr a;

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++) {
		a = addr(good[i]);
		assert_string_equal(fw_addr_text(&a, buf), good[i]);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		assert_int_equal(fw_addr_parse(bad[i], &a), -EINVAL);
}

static void test_refusals(void **state)
{
	struct fw_peer p = {.name = "n", .v4 = addr("10.77.0.2"), .in = "exec"};
	struct fw_ports bad = {IPPROTO_TCP, 9, 8}, zero = {IPPROTO_UDP, 0, 8},
	                ok = {IPPROTO_TCP, 1, 1};
	struct fw_ruleset *rs;
	struct fw_addr a;

	(void)state;
	assert_int_equal(fw_ruleset_new(&rs), 0);
	assert_int_equal(fw_ruleset_set_device(rs, "ovl*"), -EINVAL);
	assert_int_equal(fw_ruleset_set_device(rs, "a\"b"), -EINVAL);
	assert_int_equal(fw_ruleset_set_device(rs, "sixteen-bytes-xx"), -EINVAL);
	assert_int_equal(fw_ruleset_set_port(rs, 0), -EINVAL);
	a = addr("0.0.0.0/0");
	assert_int_equal(fw_ruleset_add_prefix(rs, &a), -EINVAL);
	a = addr("10.77.0.0/16");
	assert_int_equal(fw_ruleset_add_prefix(rs, &a), 0);
	a = addr("10.0.0.0/8");
	assert_int_equal(fw_ruleset_add_prefix(rs, &a), -EEXIST);
	assert_int_equal(fw_ruleset_add_self(rs, &a, 0), -EINVAL);
	assert_int_equal(fw_ruleset_add_allow(rs, FW_IN, "exec", &bad, 1, ""), -EINVAL);
	assert_int_equal(fw_ruleset_add_allow(rs, FW_IN, "exec", &zero, 1, ""), -EINVAL);
	assert_int_equal(fw_ruleset_add_allow(rs, FW_IN, "ex;ec", &ok, 1, ""), -EINVAL);
	assert_int_equal(fw_ruleset_add_allow(rs, FW_IN, "exec", &ok, 1, "a\"; drop"), -EINVAL);
	assert_int_equal(fw_ruleset_set_peer(rs, &p), -ENOENT);
	assert_int_equal(fw_ruleset_add_class(rs, FW_IN, "exec"), 0);
	assert_int_equal(fw_ruleset_set_peer(rs, &p), 0);
	assert_int_equal(fw_ruleset_set_peer(rs, &p), 0);
	p.name = "other";
	assert_int_equal(fw_ruleset_set_peer(rs, &p), -EEXIST);
	assert_int_equal(fw_ruleset_peer_count(rs), 1);
	assert_int_equal(fw_ruleset_del_peer(rs, "other"), -ENOENT);
	assert_int_equal(fw_ruleset_del_peer(rs, "n"), 0);
	assert_int_equal(fw_ruleset_set_peer(rs, &p), 0);
	fw_ruleset_free(rs);
	fw_ruleset_free(NULL);
}

static char *text_of(const struct fw_ruleset *rs)
{
	char *text;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	assert_int_equal(fw_ruleset_print(rs, f), 0);
	fclose(f);
	return text;
}

static void test_text(void **state)
{
	struct fw_ports ports[] = {{IPPROTO_TCP, 17001, 17001}, {IPPROTO_TCP, 15003, 15004},
	        {IPPROTO_TCP, 15001, 15002}, {IPPROTO_UDP, 5, 5}};
	struct fw_peer late = {
	        .name = "late", .v4 = addr("10.77.0.3"), .in = "exec", .until_ms = 1};
	struct fw_peer p = {.name = "n", .v4 = addr("10.77.0.2"), .in = "exec"};
	struct fw_ruleset *rs, *copy, *guard;
	struct fw_addr a = addr("10.77.0.0/16");
	char *text, *again;

	(void)state;
	assert_int_equal(fw_ruleset_new(&rs), 0);
	assert_int_equal(fw_ruleset_set_device(rs, "ovl0"), 0);
	assert_int_equal(fw_ruleset_add_prefix(rs, &a), 0);
	assert_int_equal(
	        fw_ruleset_add_allow(rs, FW_IN, "exec", ports, 4, "allow p.yaml:1 pbs"), 0);
	assert_int_equal(fw_ruleset_set_peer(rs, &p), 0);
	assert_int_equal(fw_ruleset_set_peer(rs, &late), 0);
	text = text_of(rs);
	assert_non_null(
	        strstr(text, "meta l4proto tcp ct original proto-dst { 15001-15004, 17001 } "
	                     "counter accept comment \"allow p.yaml:1 pbs\""));
	assert_non_null(strstr(text, "meta l4proto udp ct original proto-dst 5 counter accept"));
	assert_non_null(
	        strstr(text, "\t\tct original ip saddr . ip saddr @in4_exec jump in_exec\n"));
	assert_non_null(strstr(text, "elements = { 10.77.0.2 . 10.77.0.2 }"));
	assert_null(strstr(text, "10.77.0.3")); /* its time is over */
	assert_non_null(strstr(text, "\t\tiifname \"ovl0\" goto overlay_in\n"));
	free(text);
	fw_ruleset_set_device_type(rs, 65534);
	text = text_of(rs);
	assert_non_null(strstr(text, "\t\tmeta iiftype 65534 iifname \"ovl0\" goto overlay_in\n"));
	assert_int_equal(fw_ruleset_clone(rs, &copy), 0);
	again = text_of(copy);
	assert_string_equal(text, again);
	free(again);
	assert_int_equal(fw_guard_ruleset(rs, &guard), 0);
	again = text_of(guard);
	assert_null(strstr(again, "ovl0"));
	assert_null(strstr(again, "10.77.0.2"));
	assert_non_null(strstr(again, "elements = { 10.77.0.0-10.77.255.255 }"));
	free(again);
	free(text);
	fw_ruleset_free(rs);
	fw_ruleset_free(copy);
	fw_ruleset_free(guard);
}

/* One prefix of a family is compared in place, several are a set; our own UDP port is never a
 * protected one. */
static void test_prefixes_and_port(void **state)
{
	struct fw_ports ports[] = {
	        {IPPROTO_UDP, 4000, 5000}, {IPPROTO_TCP, 4000, 5000}, {IPPROTO_UDP, 4500, 4500}};
	struct fw_addr a = addr("10.77.0.0/16"), b = addr("10.64.0.0/13"), c = addr("fd77::/64");
	struct fw_ruleset *rs;
	char *text;

	(void)state;
	assert_int_equal(fw_ruleset_new(&rs), 0);
	assert_int_equal(fw_ruleset_add_prefix(rs, &a), 0);
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(fw_ruleset_add_protected(rs, &ports[i]), 0);
	assert_int_equal(fw_ruleset_add_tunnel_port(rs, 0), -EINVAL);
	text = text_of(rs);
	assert_non_null(strstr(text, "\t\t@nh,96,16 0x0a4d ip saddr 10.77.0.0/16 goto claimed\n"));
	assert_non_null(strstr(text, "\t\t@nh,128,16 0x0a4d ip daddr 10.77.0.0/16 oif != \"lo\" "
	                             "counter drop comment \"drop clear\"\n"));
	assert_null(strstr(text, " @overlay"));
	assert_non_null(strstr(text, "elements = { 4000-4499,"));
	assert_non_null(strstr(text, "4501-5000 }"));
	assert_non_null(strstr(text, "elements = { 4000-5000 }")); /* TCP */
	free(text);
	assert_int_equal(fw_ruleset_add_prefix(rs, &b), 0);
	assert_int_equal(fw_ruleset_add_prefix(rs, &c), 0);
	assert_int_equal(fw_ruleset_add_tunnel_port(rs, 4510), 0);
	assert_int_equal(fw_ruleset_add_tunnel_port(rs, 4510), 0);
	text = text_of(rs);
	assert_non_null(strstr(text, "\t\tip saddr @overlay4 goto claimed\n"));
	assert_non_null(
	        strstr(text, "\t\t@nh,192,32 0xfd770000 ip6 daddr fd77::/64 goto claimed\n"));
	assert_non_null(strstr(text, "udp sport 4500 udp dport 4510 accept"));
	free(text);
	fw_ruleset_free(rs);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(test_addresses),
	        cmocka_unit_test(test_refusals),
	        cmocka_unit_test(test_text),
	        cmocka_unit_test(test_prefixes_and_port),
	};

	return cmocka_run_group_tests_name("firewall_ruleset", tests, NULL, NULL);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* charon's words into the engine's, and the engine's into the firewall's; cleaning of text. */
#include "host/charon.h"
#include "host/fwadapt.h"
#include "host/log.h"

#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void text_is_cleaned(void **state)
{
	static const char *const rows[][2] = {
	        {"plain", "plain"},
	        {"a\nb\033[31mc\x7f", "a?b?[31mc?"},
	        {"K\xc3\xb6ln", "K\xc3\xb6ln"},
	        {"\xc2\x9b"
	         "31m",
	                "??31m"},
	        {"\xe2\x80\xae"
	         "abc",
	                "???abc"},
	        {"\xff\xc3", "??"},
	        {"\xc0\xaf", "??"},
	        {"\xed\xa0\x80", "???"},
	        {"", ""},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char buf[64];

		snprintf(buf, sizeof(buf), "%s", rows[i][0]);
		text_sanitise(buf);
		assert_string_equal(buf, rows[i][1]);
	}
}

static void selectors(void **state)
{
	static const char *const odd[] = {"10.77.0.1/32[tcp/80]", "dynamic", "10.77.0.1/33",
	        "10.77.0.1..10.77.0.9", "", "/32", "10.77.0.1/", "10.77.0.1/+1", "fd00::1/129",
	        "10.77.0.1/32 ",
	        "0000000000000000000000000000000000000000000000000000000000000000000"};
	struct policy_prefix prefix;

	(void)state;
	assert_int_equal(charon_selector_parse("10.77.0.1/32", &prefix), 0);
	assert_int_equal(prefix.len, 32);
	assert_int_equal(prefix.addr.family, AF_INET);
	assert_int_equal(charon_selector_parse("fd00::1/128", &prefix), 0);
	assert_int_equal(prefix.len, 128);
	assert_int_equal(charon_selector_parse("0.0.0.0/0", &prefix), 0);
	assert_int_equal(prefix.len, 0);
	for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++)
		if (charon_selector_parse(odd[i], &prefix) != -EINVAL)
			fail_msg("\"%s\" was taken", odd[i]);
}

/* Of others' SAs: all that charon may say is understood, or is taken for everything. */
static void ranges(void **state)
{
	static const char *const odd[] = {"dynamic", "10.0.0.1..", "..10.0.0.1",
	        "10.0.0.1..fd00::1", "", "[tcp]", "10.0.0.0/33", "10.0.0.1...10.0.0.2"};
	static const struct {
		const char *text, *first, *last;
	} good[] = {
	        {"10.77.0.1/32[tcp/80]", "10.77.0.1", "10.77.0.1"},
	        {"10.77.13.1/12", "10.64.0.0", "10.79.255.255"},
	        {"0.0.0.0/0", "0.0.0.0", "255.255.255.255"},
	        {"10.77.0.1..10.77.0.9[udp]", "10.77.0.1", "10.77.0.9"},
	        {"fd00::/9", "fd00::", "fd7f:ffff:ffff:ffff:ffff:ffff:ffff:ffff"},
	};
	struct engine_range range;
	struct policy_addr addr;

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		assert_int_equal(charon_range_parse(good[i].text, &range), 0);
		assert_int_equal(policy_addr_parse(good[i].first, &addr), 0);
		assert_memory_equal(&addr, &range.first, sizeof(addr));
		assert_int_equal(policy_addr_parse(good[i].last, &addr), 0);
		assert_memory_equal(&addr, &range.last, sizeof(addr));
	}
	for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++)
		if (charon_range_parse(odd[i], &range) != -EINVAL)
			fail_msg("\"%s\" was taken", odd[i]);
}

static const char *const no_ts[] = {NULL};
static const char *const dynamic_ts[] = {"dynamic", NULL};
static const char *const our_ts[] = {"10.77.0.1/32", "fd00::1/128", NULL};
static const char *const peer_ts[] = {"10.77.0.17/32", "10.77.0.17/32[tcp]", NULL};

static void sa_rows(void **state)
{
	struct vici_child_sa children[ENGINE_CHILDREN_MAX + 1] = {0};
	struct vici_ike_sa sa = {.name = "ovl.node17",
	        .uniqueid = 7,
	        .state = "REKEYING",
	        .local_id = "head1.aa",
	        .remote_id = "node17.bb",
	        .remote_host = "198.51.100.17",
	        .remote_port = 4500,
	        .children = children,
	        .n_children = ENGINE_CHILDREN_MAX + 1};
	struct charon_rows rows = {0};

	(void)state;
	for (size_t i = 0; i < ENGINE_CHILDREN_MAX + 1; i++)
		children[i] = (struct vici_child_sa){.uniqueid = 40 + (uint32_t)i,
		        .state = i ? "DELETED" : "INSTALLED",
		        .local_ts = our_ts,
		        .remote_ts = i ? our_ts : peer_ts,
		        .bytes_in = VICI_NUM(5)};
	charon_rows_add(&rows, &sa);
	assert_int_equal(rows.rows[0].n_foreign, 0);
	sa.name = "office";
	charon_rows_add(&rows, &sa);
	assert_int_equal(rows.rows[1].n_foreign, 2); /* of the one child that is installed */
	assert_false(rows.rows[1].foreign_more);
	assert_int_equal(rows.rows[1].foreign[1].last.bytes[3], 17);
	children[3].state = "INSTALLED";
	children[3].remote_ts = dynamic_ts;
	charon_rows_add(&rows, &sa);
	assert_true(rows.rows[2].foreign_more);
	sa.name = "(unnamed)";
	sa.state = "something new";
	sa.remote_host = "%any";
	sa.n_children = 0;
	for (int i = 0; i < 1000; i++)
		charon_rows_add(&rows, &sa);
	assert_int_equal(rows.error, 0);
	assert_int_equal(rows.n, 1003);
	assert_string_equal(rows.rows[0].conn, "ovl.node17");
	assert_int_equal(rows.rows[0].state, ENGINE_IKE_ESTABLISHED);
	assert_int_equal(rows.rows[0].established_s, -1);
	assert_int_equal(rows.rows[0].rekey_s, INT64_MIN);
	assert_int_equal(rows.rows[0].n_children, ENGINE_CHILDREN_MAX);
	assert_true(rows.rows[0].truncated);
	assert_int_equal(rows.rows[0].children[0].state, ENGINE_CHILD_INSTALLED);
	assert_true(rows.rows[0].children[0].odd_ts);
	assert_int_equal(rows.rows[0].children[0].bytes_in, 5);
	assert_false(rows.rows[0].children[1].odd_ts);
	assert_int_equal(rows.rows[0].children[1].n_remote_ts, 2);
	assert_int_equal(rows.rows[0].children[1].state, ENGINE_CHILD_LEAVING);
	assert_string_equal(rows.rows[1002].conn, "(unnamed)");
	assert_int_equal(rows.rows[1002].state, ENGINE_IKE_OTHER);
	assert_int_equal(rows.rows[1002].remote_host.family, 0);
	charon_rows_clear(&rows);
	assert_null(rows.rows);
	(void)no_ts;
}

/* ---- firewall ----------------------------------------------------------------------------------
 */

static const char policy_text[] =
        "cluster: hpc\n"
        "serial: 1\n"
        "overlay: 10.77.0.0/16\n"
        "sites: { hq: {} }\n"
        "services:\n"
        "  pbs: { ports: [tcp/15001-15004] }\n"
        "  low: { ports: [tcp/20-30, udp/22] }\n"
        "allow:\n"
        "  - { from: exec, to: head, service: pbs }\n"
        "  - { from: exec, to: head, service: low }\n"
        "%s"
        "peers:\n"
        "  head1: { key: \"ssh-ed25519 "
        "AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f\", "
        "address: 10.77.0.1, site: hq, roles: [head] }\n"
        "  n1: { key: \"ssh-ed25519 "
        "AAAAC3NzaC1lZDI1NTE5AAAAICABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f\", "
        "address: 10.77.0.17, site: hq, roles: [exec] }\n";

static struct policy *policy_of(const char *more)
{
	struct policy_file file = {.name = "policy.yaml"};
	struct policy_report report;
	struct policy *policy = NULL;
	char *text;

	assert_true(asprintf(&text, policy_text, more) > 0);
	file.data = text;
	file.len = strlen(text);
	policy_report_init(&report);
	if (policy_parse(&file, 1, &policy, &report)) {
		policy_report_print(&report, stderr, false);
		fail_msg("the test's policy does not parse");
	}
	policy_report_clear(&report);
	free(text);
	return policy;
}

static char *ruleset_text(const struct engine_fw_base *base)
{
	struct fwrules_world world = {.device = "ipsec0"};
	struct fw_ruleset *rs;
	char err[256] = "";
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	if (fwrules_make(base, &world, &rs, err, sizeof(err)))
		fail_msg("%s", err);
	assert_int_equal(fw_ruleset_print(rs, out), 0);
	fclose(out);
	fw_ruleset_free(rs);
	return text;
}

static void class_names_are_the_sets_names(void **state)
{
	struct policy *one = policy_of("");
	struct policy *two = policy_of("  - { from: head, to: exec, service: pbs }\n");
	uint64_t none = 0, first = 1, both = 3;
	char a[FWRULES_CLASS_MAX], b[FWRULES_CLASS_MAX];

	(void)state;
	fwrules_class_name(one, &none, a);
	assert_string_equal(a, "none");
	fwrules_class_name(one, &first, a);
	fwrules_class_name(two, &first, b);
	assert_string_equal(a, b);
	fwrules_class_name(two, &both, b);
	assert_string_not_equal(a, b);
	policy_unref(one);
	policy_unref(two);
}

/* In guard mode ssh is closed on the underlay only where `manage:` says who may come in. */
static void ssh_is_not_closed_by_accident(void **state)
{
	struct policy *policy = policy_of("");
	struct engine_fw_base base = {.policy = policy};
	char *text = ruleset_text(&base);

	(void)state;
	assert_non_null(strstr(text, "20-21"));
	assert_non_null(strstr(text, "23-30"));
	assert_null(strstr(text, "20-30"));
	assert_non_null(strstr(text, "15001-15004"));
	free(text);
	policy_unref(policy);
	policy = policy_of("manage:\n  - { from: 192.0.2.0/24, service: ssh }\n");
	base.policy = policy;
	text = ruleset_text(&base);
	assert_non_null(strstr(text, "20-30"));
	assert_non_null(strstr(text, "192.0.2.0/24"));
	free(text);
	policy_unref(policy);
}

static void rules_name_their_line(void **state)
{
	struct policy *policy = policy_of("");
	uint64_t none = 0, first = 1;
	struct engine_fw_class in[] = {{&none}, {&first}}, out[] = {{&none}};
	struct engine_fw_base base = {.policy = policy,
	        .self = policy_peer_by_name(policy, "head1"),
	        .in = in,
	        .out = out,
	        .n_in = 2,
	        .n_out = 1};
	char *text;

	(void)state;
	text = ruleset_text(&base);
	assert_non_null(strstr(text, "policy.yaml:9"));
	assert_non_null(strstr(text, "exec>head pbs"));
	assert_null(strstr(text, "exec>head low"));
	assert_non_null(strstr(text, "ipsec0"));
	free(text);
	/* Not a member: no device, no class. */
	base.self = NULL;
	text = ruleset_text(&base);
	assert_null(strstr(text, "policy.yaml:9"));
	assert_null(strstr(text, "ipsec0"));
	free(text);
	policy_unref(policy);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(text_is_cleaned),
	        cmocka_unit_test(selectors),
	        cmocka_unit_test(ranges),
	        cmocka_unit_test(sa_rows),
	        cmocka_unit_test(class_names_are_the_sets_names),
	        cmocka_unit_test(ssh_is_not_closed_by_accident),
	        cmocka_unit_test(rules_name_their_line),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What changes from one policy to the next, row by row; and that the schema knows every key. */
#include "policy_bed.h"

#include "policy/internal.h"

static const char *const changes[] = {
        "admitted", "evicted", "rekeyed", "readdressed", "opened", "closed", "setting"};

static void diff_is(const char *old, const char *new_text, const char *expected)
{
	struct policy *a = old ? policy_good(old) : NULL;
	struct policy *b = new_text ? policy_good(new_text) : NULL;
	struct policy_diff diff;
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	assert_int_equal(policy_diff(a, b, &diff), 0);
	for (size_t i = 0; i < diff.n_rows; i++)
		fprintf(out, "%s %s: %s\n", changes[diff.rows[i].change], diff.rows[i].subject,
		        diff.rows[i].text);
	fclose(out);
	assert_string_equal(text, expected);
	free(text);
	policy_diff_clear(&diff);
	policy_unref(a);
	policy_unref(b);
}

#define TOP(serial) "cluster: c\nserial: " serial "\noverlay: 10.0.0.0/24\nroles: [r, s]\n"
#define A(key, rest) "  a: { key: \"" key "\", " rest " }\n"

static void test_peers(void **state)
{
	(void)state;
	diff_is(TOP("1"), TOP("1"), "");
	diff_is(TOP("1"), TOP("2") "peers:\n" A(KEY1, "address: 10.0.0.1, roles: [r, s]"),
	        "admitted a: 10.0.0.1 SHA256:6PA5ARU/NfrB1rkG01cD7ysoGRne6QbyNrJhbQg8p+A, site "
	        "default, roles: r, s\n"
	        "setting policy: serial 1 -> 2\n");
	diff_is(TOP("1") "peers:\n" A(KEY1, "address: 10.0.0.1"), TOP("1"),
	        "evicted a: 10.0.0.1 SHA256:6PA5ARU/NfrB1rkG01cD7ysoGRne6QbyNrJhbQg8p+A, site "
	        "default, roles: none\n");
	diff_is(TOP("1") "peers:\n" A(KEY1, "address: 10.0.0.1"),
	        TOP("1") "peers:\n" A(KEY2, "address: 10.0.0.2"),
	        "rekeyed a: key SHA256:6PA5ARU/NfrB1rkG01cD7ysoGRne6QbyNrJhbQg8p+A -> "
	        "SHA256:0xW5MPG2K9bAp2Snl4yadgzZmXYNzhdTOQxEWG79Wxk\n"
	        "readdressed a: 10.0.0.1 -> 10.0.0.2\n");
	diff_is(TOP("1") "peers:\n" A(
	                KEY1, "address: 10.0.0.1, roles: [r], hours: \"08:00-09:00\""),
	        TOP("1") "peers:\n" A(KEY1, "address: 10.0.0.1, roles: [s], until: 2030-01-01, "
	                                    "endpoints: [192.0.2.1]"),
	        "opened a: gains the role s and what it allows\n"
	        "closed a: loses the role r and what it allows\n"
	        "setting a: endpoints 192.0.2.1:4500\n"
	        "setting a: no hours any more (was 08:00-09:00)\n"
	        "setting a: until 2030-01-02T00:00:00Z\n");
}

static void test_ports(void **state)
{
	(void)state;
	diff_is(TOP("1") "services: { x: { ports: [tcp/10-20, udp/5] } }\n"
	                 "allow: [{ from: r, to: s, service: x }]\n",
	        TOP("1") "services: { x: { ports: [tcp/12-15, tcp/30, icmp] }, y: { ports: "
	                 "[tcp/16] } }\n"
	                 "allow: [{ from: r, to: s, service: x }, { from: r, to: s, service: y "
	                 "}]\n",
	        "opened r -> s: icmp, tcp/30\nclosed r -> s: tcp/10-11, tcp/17-20, udp/5\n");
	/* Neighbours are one range. */
	diff_is(TOP("1"),
	        TOP("1") "services: { x: { ports: [tcp/6-10, tcp/1-5] } }\n"
	                 "allow: [{ from: r, to: s, service: x }]\n",
	        "opened r -> s: tcp/1-10\n");
	/* The same ports by another name: nothing opens or closes. */
	diff_is(TOP("1") "allow: [{ from: r, to: \"*\", service: ssh }]\n",
	        TOP("1") "services: { z: { ports: [tcp/22] } }\n"
	                 "allow: [{ from: r, to: \"*\", service: z }]\n",
	        "");
	diff_is(TOP("1") "allow: [{ from: r, to: \"*\", service: ssh }]\n", TOP("1"),
	        "closed r -> *: tcp/22\n");
	diff_is(TOP("1") "services: { x: { ports: [tcp/1-65535] } }\n"
	                 "allow: [{ from: r, to: s, service: x }]\n",
	        TOP("1") "services: { x: { ports: [tcp/1-9, tcp/11-65535] } }\n"
	                 "allow: [{ from: r, to: s, service: x }]\n",
	        "closed r -> s: tcp/10\n");
}

static void test_settings(void **state)
{
	(void)state;
	diff_is(NULL, TOP("1"),
	        "setting policy: cluster c\nsetting policy: firewall guard\n"
	        "setting policy: mesh full\n"
	        "setting policy: overlay 10.0.0.0/24\nsetting policy: port 4500\n"
	        "setting policy: serial 1\nsetting site default: behind_nat false\n"
	        "setting site default: timezone UTC\n");
	diff_is(NULL, NULL, "");
	diff_is(TOP("1") "sites: { x: }\nmanage: [{ from: 192.0.2.0/24, service: ssh }]\n",
	        TOP("1") "sites: { x: { behind_nat: true } }\nfirewall: lockdown\nmesh: auto\n"
	                 "port: 4501\n",
	        "setting manage 192.0.2.0/24: no from outside any more (was ssh)\n"
	        "setting policy: firewall guard -> lockdown\n"
	        "setting policy: mesh full -> auto\nsetting policy: port 4500 -> 4501\n"
	        "setting site x: behind_nat false -> true\n");
	diff_is(TOP("1") "peers:\n" A(KEY1, "address: 10.0.0.1"),
	        TOP("1") "peers:\n" A(
	                KEY1, "address: 10.0.0.1") "failover: { f: { address: 10.0.0.9, "
	                                           "holders: [a] } }\n",
	        "setting failover f: address 10.0.0.9\nsetting failover f: holders a\n");
}

/* Every key that the parser knows is in the schema, by its section. */
static void test_schema(void **state)
{
	static const struct {
		const struct pol_keys *keys;
		const char *section;
	} sections[] = {{&pol_keys_top, "  \"properties\": {"}, {&pol_keys_site, "\"site\": {"},
	        {&pol_keys_service, "\"service\": {\n      \"type\""},
	        {&pol_keys_allow, "\"allow\": {\n"}, {&pol_keys_manage, "\"manage\": {\n"},
	        {&pol_keys_failover,
	                "\"failover\": {\n      \"type\": \"object\",\n      \"additional"},
	        {&pol_keys_peer, "\"peer\": {"}, {&pol_keys_token, "\"token\": {"},
	        {&pol_keys_test, "\"test\": {"}};
	FILE *file = fopen("data/policy.schema.json", "r");
	static char text[40000];
	size_t len;

	(void)state;
	assert_non_null(file); /* tests run from the top directory */
	len = fread(text, 1, sizeof(text) - 1, file);
	assert_true(len < sizeof(text) - 1);
	fclose(file);
	assert_int_equal(system("python3 -m json.tool data/policy.schema.json > /dev/null"), 0);
	for (size_t i = 0; i < sizeof(sections) / sizeof(sections[0]); i++) {
		const char *at = strstr(text, sections[i].section), *end;

		assert_non_null(at);
		end = i ? strstr(at, "\n    }") : strstr(at, "\n  }");
		assert_non_null(end);
		for (const char *const *key = sections[i].keys->known; *key; key++) {
			char quoted[80];
			const char *found;

			snprintf(quoted, sizeof(quoted), "\"%s\": {", *key);
			found = strstr(at + 10, quoted);
			if (!found || found > end)
				fail_msg("%s: the schema has no %s", sections[i].keys->what, *key);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(test_peers),
	        cmocka_unit_test(test_ports),
	        cmocka_unit_test(test_settings),
	        cmocka_unit_test(test_schema),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Tokens as the policy grants them: what is read, what is refused, and where they stand. */
#include "policy_bed.h"

#include <arpa/inet.h>
#include <stdbool.h>

#define KEY4 "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKYzqoyeoo7X0BlCacWR8pK5SGCPyXtudaGP7lVOuzAm"
#define KEY5 "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAII4tVsjdFfqCC9rQq6hi3ZmElytlD9LTvnmZ+1XBLryf"
#define PRINT4 "SHA256:wrHy5voVktaaFHXg32HaeNxMTflcEBLDUC88q+WMVTk"
#define PRINT5 "SHA256:tIqbTMBh9dEoGDsf20Jp7xE2eFwov1zxRNjJCkj6oFc"
#define JOIN GOOD "join: true\n"
#define LAB(rest) "tokens:\n  lab: { key: \"" KEY4 "\", " rest " }\n"
#define REST "roles: [exec], site: aws, range: 10.77.8.0/24, count: 50, until: 2030-01-01T00:00Z"

static void test_read(void **state)
{
	struct policy *policy = policy_good(JOIN LAB(
	        REST ", except: [\"" PRINT5 "\", \"SHA256:VguJPvJHdIiufd7tWUEHUQM5DHhA2R3MIVFdk2"
	             "Ggl9o\"]"));
	const struct policy_token *token = policy_token_by_name(policy, "lab");
	char range[INET_ADDRSTRLEN];
	struct policy_key key;
	uint8_t digest[32];

	(void)state;
	assert_int_equal(policy->n_tokens, 1);
	assert_ptr_equal(token, &policy->tokens[0]);
	assert_null(policy_token_by_name(policy, "la"));
	assert_string_equal(token->name, "lab");
	assert_int_equal(policy_key_parse(KEY4, &key, NULL), 0);
	assert_memory_equal(&token->key, &key, sizeof(key));
	assert_int_equal(token->n_roles, 1);
	assert_string_equal(policy->roles[token->roles[0]], "exec");
	assert_string_equal(policy->sites[token->site].name, "aws");
	policy_addr_print(&token->range.addr, range, sizeof(range));
	assert_string_equal(range, "10.77.8.0");
	assert_int_equal(token->range.len, 24);
	assert_int_equal(token->count, 50);
	assert_int_equal(token->until, 1893456000);
	assert_int_equal(token->n_except, 2);
	assert_true(memcmp(token->except[0], token->except[1], 32) < 0);
	assert_false(policy_token_excepts(token, &key));
	assert_int_equal(policy_key_parse(KEY5, &key, NULL), 0);
	assert_true(policy_token_excepts(token, &key));
	policy_key_digest(&key, digest);
	assert_memory_equal(digest, token->except[1], sizeof(digest));
	assert_string_equal(token->where.file, "policy.yaml");
	assert_int_equal(token->where.line, 10);
	policy_unref(policy);
}

/* What is left out: the whole overlay, the only site. Roles of tokens are held; sorted by name. */
static void test_defaults(void **state)
{
	struct policy *policy = policy_good(
	        HEAD "join: true\nallow: [{ from: guest, to: zoo, service: ssh }]\n"
	             "peers: { zoo: { key: \"" KEY1 "\", address: 10.77.0.1, roles: "
	             "[zoo, big], endpoints: [192.0.2.1] } }\n"
	             "tokens:\n  z: { key: \"" KEY5 "\", roles: [zoo, guest, big], "
	             "count: 4096, until: 2030-01-01 }\n"
	             "  zoo: { key: \"" KEY4 "\", roles: [], count: 1, until: 2030-01-01 }\n");
	const struct policy_token *z = policy_token_by_name(policy, "z");

	(void)state;
	assert_int_equal(policy->n_tokens, 2);
	assert_ptr_equal(z, &policy->tokens[0]);
	assert_memory_equal(&z->range, &policy->overlay4, sizeof(z->range));
	assert_string_equal(policy->sites[z->site].name, "default");
	assert_int_equal(z->n_roles, 3);
	assert_string_equal(policy->roles[z->roles[0]], "big");
	assert_string_equal(policy->roles[z->roles[1]], "guest");
	assert_string_equal(policy->roles[z->roles[2]], "zoo");
	assert_int_equal(policy->tokens[1].n_roles, 0);
	policy_unref(policy);
}

#define AT "policy.yaml:10:3: "
#define IN(column) "policy.yaml:10:" column ": error: "
static const struct fault_case faults[] = {
        {"nothing in it", JOIN "tokens:\n  lab: {}\n", NULL,
                "policy.yaml:10:8: error: this token has no 'key': add key: \"ssh-ed25519 "
                "AAAA...\"; `overlayctl ticket --token` makes one\n"
                "policy.yaml:10:8: error: this token has no 'roles': add roles: [exec], those of "
                "its guests\n"
                "policy.yaml:10:8: error: this token has no 'site': add site: one of `sites:`\n"
                "policy.yaml:10:8: error: this token has no 'count': add count: how many may join "
                "with it\n"
                "policy.yaml:10:8: error: this token has no 'until': add until: when it, and all "
                "that it lets in, are over\n"},
        {"a seed", JOIN LAB("roles: [exec, seed], site: aws, count: 1, until: 2030-01-01"), NULL,
                IN("113") "a token may not grant the role 'seed', as whoever has it would have "
                          "the role: delete it here, and let such a node in by name with "
                          "`overlayctl approve`\n"},
        {"a voter", JOIN LAB("roles: [voter], site: aws, count: 1, until: 2030-01-01"), NULL,
                IN("107") "a token may not grant the role 'voter', as whoever has it would have "
                          "the role: delete it here, and let such a node in by name with "
                          "`overlayctl approve`\n"},
        {"slips of the pen", JOIN LAB("rolse: [exec], site: aws, cout: 1, until: 2030-01-01"), NULL,
                IN("8") "this token has no 'roles': add roles: [exec], those of its guests\n" IN(
                        "8") "this token has no 'count': add count: how many may join with "
                             "it\n" IN("99") "a token has no 'rolse' (did you mean "
                                             "'roles'?)\n" IN("125") "a token has no 'cout' (did "
                                                                     "you mean 'count'?)\n"},
};

static const struct fault_case value_faults[] = {
        {"keys",
                JOIN "tokens:\n  a: { key: \"" KEY1 "\", " REST " }\n  b: { key: \"" KEY4
                     "\", " REST " }\n  c: { key: \"" KEY4 "\", " REST " }\n",
                NULL,
                "policy.yaml:10:3: error: the token a has the key of the peer head1 "
                "(policy.yaml:6): make a key for it with `overlayctl ticket --token`\n"
                "policy.yaml:12:3: error: the tokens c and b (policy.yaml:11) have the same key: "
                "make another for one of them\n"},
        {"an old key", JOIN LAB(REST),
                "n3: { key: \"" KEY3 "\", old_key: \"" KEY4
                "\", old_until: 2030-01-01, address: 10.77.0.9, site: hq }\n",
                "policy.yaml:10:3: error: the token lab has the key of the peer n3 "
                "(peers.d/x.yaml:1): make a key for it with `overlayctl ticket --token`\n"},
        {"a key that is none", JOIN "tokens: { lab: { key: ssh-rsa, " REST " } }\n", NULL,
                "policy.yaml:9:23: error: this key is an ssh-rsa key\n"},
        {"no overlay",
                "cluster: c\nserial: 1\njoin: true\n"
                "tokens: { t: { key: \"" KEY4 "\", roles: [], count: 1, until: "
                "2030-01-01 } }\n",
                NULL,
                "policy.yaml:4:11: error: guests of a token get IPv4 addresses, and there is no "
                "overlay: add `overlay: NETWORK` to policy.yaml, or delete the token\n"},
        {"a peer's", JOIN LAB(REST ", hours: x"), NULL,
                IN("183") "a token has no 'hours': only a peer has it: delete it, or let such a "
                          "node in by name with `overlayctl approve`\n"},
        {"a token's", GOOD "  n: { key: \"" KEY4 "\", address: 10.77.0.9, site: aws, count: 1 }\n",
                NULL,
                "policy.yaml:8:128: error: a peer has no 'count': only a token has it, under "
                "`tokens:` or in tokens.d\n"},
        {"more than the overlay",
                "cluster: c\nserial: 1\njoin: true\noverlay: 10.0.0.0/16\n"
                "tokens: { t: { key: \"" KEY4 "\", roles: [], count: 1, until: 2030-01-01, "
                "range: 10.0.0.0/8 } }\n",
                NULL,
                "policy.yaml:5:152: error: the range 10.0.0.0/8 is not inside the overlay "
                "10.0.0.0/16\n"},
        {"no path to the only peer",
                HEAD "join: true\nallow: [{ from: exec, to: head, service: ssh }]\n"
                     "peers: { h: { key: \"" KEY1 "\", address: 10.77.0.1, roles: [head] } }\n"
                     "tokens:\n  t: { key: \"" KEY4
                     "\", roles: [exec], count: 1, until: 2030-01-01 }\n",
                NULL,
                "policy.yaml:6:10: warning: h has no endpoints, and neither has any peer that it "
                "may talk with: no tunnel can begin; give one of them `endpoints`\n"
                "policy.yaml:8:3: warning: guests of the token t have no endpoints, and neither "
                "has any peer that they may talk with: no tunnel can begin; give one of those "
                "`endpoints`\n"},
        {"sites behind NAT",
                "cluster: c\nserial: 1\njoin: true\noverlay: 10.77.0.0/16\n"
                "sites: { a: { behind_nat: true }, b: { behind_nat: true }, c: }\n"
                "allow: [{ from: r, to: r, service: ssh }]\n"
                "peers: { p: { key: \"" KEY1 "\", address: 10.77.0.1, site: a, roles: [r] },\n"
                "  q: { key: \"" KEY2 "\", address: 10.77.0.2, site: c, roles: [r], endpoints: "
                "[192.0.2.1] } }\n"
                "tokens: { t: { key: \"" KEY4 "\", roles: [r], site: b, count: 1, until: "
                "2030-01-01 } }\n",
                NULL,
                "policy.yaml:5:35: warning: the sites a and b are both behind NAT and line 6 "
                "lets them talk, but peers without endpoints have no path between them without "
                "a gateway: give those of one site endpoints\n"},
        {"nobody may join", GOOD LAB(REST), NULL,
                "policy.yaml:9:3: warning: nobody can join with a token, as no seed takes "
                "requests: write `join: true` in policy.yaml\n"},
        {"a site that is not", JOIN LAB("roles: [], site: asw, count: 1, until: 2030-01-01"), NULL,
                IN("116") "there is no site 'asw' (did you mean 'aws'?)\n"},
        {"nothing is a list",
                JOIN LAB("roles: exec, site: aws, count: 1, until: 2030-01-01, "
                         "except: x"),
                NULL,
                IN("106") "roles must be a list: [exec]\n" IN(
                        "160") "except must be a list: [\"SHA256:...\"]\n"},
        {"any peer", JOIN LAB("roles: ['*'], site: aws, count: 1, until: 2030-01-01"), NULL,
                IN("107") "'*' means any peer: it is no role to hold\n"},
        {"until when", JOIN LAB("roles: [], site: aws, count: 1, until: soon"), NULL,
                IN("138") "'soon' is no date: write 2026-12-31, 2026-12-31T18:00 (the site's "
                          "time) or 2026-12-31T17:00Z\n"},
};

static void test_value_faults(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(value_faults) / sizeof(value_faults[0]); i++)
		fault_case_run(&value_faults[i]);
}

/* The sentence of one bad value, wherever it stands. */
static void value_says(const char *rest, const char *expected)
{
	struct policy_report report;
	struct policy *policy = NULL;
	char *text;
	int ret;

	assert_true(asprintf(&text, JOIN LAB("roles: [exec], site: aws, until: 2030-01-01, %s"),
	                    rest) > 0);
	ret = text_parse(text, NULL, &policy, &report);
	if (!expected) {
		assert_int_equal(ret, 0);
		assert_int_equal(report.n_faults, 0);
	} else if (report.n_faults != 1 || strcmp(report.faults[0].message, expected) != 0) {
		fail_msg("%s: %zu faults: %s", rest, report.n_faults,
		        report.n_faults ? report.faults[0].message : "");
	}
	free(text);
	policy_unref(policy);
	policy_report_clear(&report);
}

static void test_values(void **state)
{
	static const char *const counts[] = {"0", "4097", "-1", "1.5", "many", "007", "''"};
	char rest[200], expected[200];

	(void)state;
	for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
		snprintf(rest, sizeof(rest), "count: %s", counts[i]);
		snprintf(expected, sizeof(expected),
		        "'%s' guests cannot be: a whole number from 1 to 4096",
		        strcmp(counts[i], "''") ? counts[i] : "");
		value_says(rest, expected);
	}
	value_says("count: 1", NULL);
	value_says("count: 4096", NULL);
	value_says("count: 1, range: 10.77.0.0/16", NULL);
	value_says("count: 1, range: 10.77.8.9", NULL);      /* one address */
	value_says("count: 254, range: 10.77.0.0/24", NULL); /* only the first is the network's */
	value_says("count: 256, range: 10.77.0.0/24",
	        "the range 10.77.0.0/24 has 255 addresses, so of 256 guests not all can join: take "
	        "a larger one, or lower `count`");
	value_says("count: 256, range: 10.77.255.0/24",
	        "the range 10.77.255.0/24 has 255 addresses, so of 256 guests not all can join: "
	        "take a larger one, or lower `count`");
	value_says("count: 1, range: 10.77.0.0/32",
	        "the range 10.77.0.0/32 has no address for a node: take a larger one");
	value_says("count: 1, range: 10.77.255.255/32",
	        "the range 10.77.255.255/32 has no address for a node: take a larger one");
	value_says("count: 1, range: 10.78.8.0/24",
	        "the range 10.78.8.0/24 is not inside the overlay 10.77.0.0/16");
	value_says("count: 1, range: 10.76.0.0/15",
	        "the range 10.76.0.0/15 is not inside the overlay 10.77.0.0/16");
	value_says("count: 1, range: 0.0.0.0/0",
	        "the range 0.0.0.0/0 is not inside the overlay 10.77.0.0/16");
	value_says("count: 1, range: 10.77.8.1/24",
	        "'10.77.8.1/24' has bits set after its prefix: did you mean 10.77.8.0/24?");
	value_says("count: 1, range: 'fd00::/48'",
	        "'fd00::/48' is no IPv4 network: write one such as 10.77.8.0/24");
	value_says(
	        "count: 1, range: all", "'all' is no IPv4 network: write one such as 10.77.8.0/24");
#define NO_PRINT(text)                                                                             \
	"'" text                                                                                   \
	"' is no fingerprint: write it as `overlayctl token list` or ssh-keygen -l shows it, "     \
	"\"SHA256:\" and 43 characters"
	value_says("count: 9, except: []", NULL);
	value_says("count: 9, except: ['" PRINT4 "']", NULL);
	value_says("count: 9, except: ['" PRINT4 "', '" PRINT5 "', '" PRINT4 "']",
	        PRINT4 " is listed twice: delete one");
	value_says("count: 9, except: [node1]", NO_PRINT("node1"));
	value_says("count: 9, except: ['SHA256:wrHy5voVktaaFHXg32HaeNxMTflcEBLDUC88q+WMVT']",
	        NO_PRINT("SHA256:wrHy5voVktaaFHXg32HaeNxMTflcEBLDUC88q+WMVT"));
	/* The same bytes, written in another way. */
	value_says("count: 9, except: ['SHA256:wrHy5voVktaaFHXg32HaeNxMTflcEBLDUC88q+WMVTl']",
	        NO_PRINT("SHA256:wrHy5voVktaaFHXg32HaeNxMTflcEBLDUC88q+WMVTl"));
	value_says("count: 9, except: ['SHA256:wrHy5voVktaaFHXg32HaeNxMTflcEBLDUC88q+WMV.k']",
	        NO_PRINT("SHA256:wrHy5voVktaaFHXg32HaeNxMTflcEBLDUC88q+WMV.k"));
	value_says("count: 9, except: ['" PRINT4 "=']", NO_PRINT(PRINT4 "="));
	value_says("count: 9, except: [[]]", "a key's fingerprint is wanted here, not a list");
}

static void test_faults(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++)
		fault_case_run(&faults[i]);
}

/* In tokens.d, as peers are in peers.d. */
static void file_case_run(const struct fault_case *c)
{
	const struct policy_file files[] = {{"policy.yaml", c->main, strlen(c->main)},
	        {"tokens.d/x.yaml", c->peers, strlen(c->peers)}};
	struct policy *policy = NULL;
	struct policy_report report;
	char *text;
	int ret;

	policy_report_init(&report);
	ret = policy_parse(files, 2, &policy, &report);
	text = report_text(&report);
	source_lines_drop(text);
	if (strcmp(text, c->expected) != 0)
		fail_msg("%s:\n%s--- expected:\n%s", c->title, text, c->expected);
	assert_int_equal(ret, *c->expected ? -EINVAL : 0);
	if (policy) {
		assert_int_equal(policy->n_tokens, 1);
		assert_string_equal(policy->tokens[0].where.file, "tokens.d/x.yaml");
	}
	free(text);
	policy_unref(policy);
	policy_report_clear(&report);
}

static const struct fault_case file_faults[] = {
        {"good", JOIN, "lab: { key: \"" KEY4 "\", " REST " }\n", ""},
        {"empty", JOIN, "# nothing\n",
                "tokens.d/x.yaml:1:1: error: this file holds no token: delete it if the token is "
                "to go\n"},
        {"with tokens:", JOIN, LAB(REST),
                "tokens.d/x.yaml:1:1: error: a file in tokens.d holds tokens directly: delete "
                "the line `tokens:` and indent one step less\n"},
        {"without a name", JOIN, "key: \"" KEY4 "\"\nroles: [exec]\n",
                "tokens.d/x.yaml:1:1: error: a file in tokens.d begins with the token's name: "
                "NAME: { key: ..., roles: ... }\n"},
        {"a list", JOIN, "- lab\n",
                "tokens.d/x.yaml:1:1: error: a file of tokens must be a mapping: { key: value, "
                "... }\n"},
        {"there already", JOIN LAB(REST), "lab: { key: \"" KEY5 "\", " REST " }\n",
                "tokens.d/x.yaml:1:1: error: there is a token 'lab' already, at "
                "policy.yaml:10\n"},
        {"no YAML", JOIN, "lab: { key\n",
                "tokens.d/x.yaml:2:1: error: this is no valid YAML: missing comma in flow "
                "mapping\n"},
};

static void test_files(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(file_faults) / sizeof(file_faults[0]); i++)
		file_case_run(&file_faults[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(test_read),
	        cmocka_unit_test(test_defaults),
	        cmocka_unit_test(test_faults),
	        cmocka_unit_test(test_value_faults),
	        cmocka_unit_test(test_values),
	        cmocka_unit_test(test_files),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

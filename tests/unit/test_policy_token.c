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
                "AAAA...\"; `overlayctl token` makes one\n"
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

static void test_faults(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++)
		fault_case_run(&faults[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(test_read),
	        cmocka_unit_test(test_defaults),
	        cmocka_unit_test(test_faults),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

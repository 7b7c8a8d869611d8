/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Many tokens, tokens in a bundle, and what changes from one policy's tokens to the next. */
#include "policy_bed.h"

#include "policy/bundle.h"

#define KEY4 "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKYzqoyeoo7X0BlCacWR8pK5SGCPyXtudaGP7lVOuzAm"
#define KEY5 "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAII4tVsjdFfqCC9rQq6hi3ZmElytlD9LTvnmZ+1XBLryf"
#define PRINT4 "SHA256:wrHy5voVktaaFHXg32HaeNxMTflcEBLDUC88q+WMVTk"
#define PRINT5 "SHA256:tIqbTMBh9dEoGDsf20Jp7xE2eFwov1zxRNjJCkj6oFc"
#define JOIN GOOD "join: true\n"
#define LAB(rest) "tokens:\n  lab: { key: \"" KEY4 "\", " rest " }\n"
#define REST "roles: [exec], site: aws, range: 10.77.8.0/24, count: 50, until: 2030-01-01T00:00Z"

/* ---- limits */

/* n tokens, each with n_except revoked guests from `first` on. */
static char *many(unsigned n, unsigned n_except)
{
	unsigned next = 0;
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	fputs(JOIN "tokens:\n", out);
	for (unsigned i = 0; i < n; i++) {
		struct policy_key key = {{9, (uint8_t)i, (uint8_t)(i >> 8), 1}};
		char print[96];

		policy_key_print(&key, print, sizeof(print));
		fprintf(out, "  t%u: { key: \"%s\", " REST ", except: [", i, print);
		for (unsigned j = 0; j < n_except; j++, next++) {
			key.raw[4] = (uint8_t)next;
			key.raw[5] = (uint8_t)(next >> 8);
			key.raw[6] = (uint8_t)(next >> 16);
			policy_key_fingerprint(&key, print);
			fprintf(out, "%s\n    \"%s\"", j ? "," : "", print);
		}
		fputs("] }\n", out);
	}
	fclose(out);
	return text;
}

static void limit_is(unsigned n, unsigned n_except, const char *expected)
{
	struct policy_report report;
	struct policy *policy = NULL;
	char *text = many(n, n_except), *said;
	int ret = text_parse(text, NULL, &policy, &report);

	said = report_text(&report);
	source_lines_drop(said);
	assert_int_equal(strncmp(said, expected, strlen(expected)), 0); /* then the line */
	assert_int_equal(ret, *expected ? -EINVAL : 0);
	if (policy)
		assert_int_equal(policy->n_tokens, n);
	free(said);
	free(text);
	policy_unref(policy);
	policy_report_clear(&report);
}

static void test_limits(void **state)
{
	(void)state;
	limit_is(POLICY_TOKENS_MAX, 1, "");
	limit_is(POLICY_TOKENS_MAX + 1, 0,
	        "policy.yaml:74:3: error: a policy may have 64 tokens; this is one more\n");
	limit_is(1, POLICY_TOKEN_EXCEPT_MAX, "");
	limit_is(1, POLICY_TOKEN_EXCEPT_MAX + 1,
	        "policy.yaml:10:190: error: a token may except 4096 guests, not 4097: revoke the "
	        "token, and make another\n");
	limit_is(5, 4000, "");
	limit_is(5, 4001,
	        "policy.yaml:16018:190: error: the tokens of a policy may except 20000 guests "
	        "together: revoke a token, and make another\n");
}

/* ---- in a bundle */

static void there_and_back(const char *text)
{
	struct policy *policy = policy_good(text), *again = NULL;
	char err[BUNDLE_ERROR_MAX] = "", *bundle, *print = policy_print(policy), *twice;
	struct policy_report report;
	size_t len;

	policy_report_init(&report);
	if (bundle_make(policy, NULL, 1700000000, &bundle, &len, err, sizeof(err)))
		fail_msg("%s", err);
	assert_int_equal(bundle_parse(bundle, len, NULL, &again, &report), 0);
	assert_memory_equal(policy->digest, again->digest, sizeof(policy->digest));
	twice = policy_print(again);
	assert_string_equal(print, twice);
	policy_unref(again);
	again = policy_good(print);
	assert_memory_equal(policy->digest, again->digest, sizeof(policy->digest));
	free(print);
	free(twice);
	free(bundle);
	policy_unref(policy);
	policy_unref(again);
	policy_report_clear(&report);
}

static char *bundle_of(const char *text)
{
	struct policy *policy = policy_good(text);
	char err[BUNDLE_ERROR_MAX] = "", *bundle;
	size_t len;

	if (bundle_make(policy, NULL, 1700000000, &bundle, &len, err, sizeof(err)))
		fail_msg("%s", err);
	policy_unref(policy);
	return bundle;
}

/* Also the order of names that have others in front, and where base64 is in another order. */
static void test_bundle(void **state)
{
	char *bundle = bundle_of(
	        JOIN "tokens:\n  lab.2: { key: \"" KEY5 "\", " REST ", except: ['" PRINT4
	             "', 'SHA256:+b+PdGWi8HVkz4sZG9Z0C7uw+CJx971FwDcKFwiF6DY'] }\n"
	             "  lab: { key: \"" KEY4 " comment\", " REST ", except: ['" PRINT5 "'] }\n");
	const char *except = strstr(bundle, "{\"except"), *token = strstr(bundle, "{\"token");
	static const char excepts[] =
	        "{\"except\":\"lab\",\"guest\":\"" PRINT5 "\"}\n"
	        "{\"except\":\"lab.2\",\"guest\":\"SHA256:+b+PdGWi8HVkz4sZG9Z0C7uw+"
	        "CJx971FwDcKFwiF6DY"
	        "\"}\n{\"except\":\"lab.2\",\"guest\":\"" PRINT4 "\"}\n{\"peer\"";
	char *many_text = many(5, 4000);

	(void)state;
	assert_int_equal(strncmp(bundle, "{\"overlayd-bundle\":2,", 21), 0);
	assert_int_equal(strncmp(except, excepts, strlen(excepts)), 0);
	assert_string_equal(token,
	        "{\"token\":\"lab\",\"key\":\"" KEY4
	        "\",\"roles\":[\"exec\"],\"site\":\"aws\",\"range\":\"10.77.8.0/24\",\"count\":50,"
	        "\"until\":\"2030-01-01T00:00:00Z\"}\n"
	        "{\"token\":\"lab.2\",\"key\":\"" KEY5
	        "\",\"roles\":[\"exec\"],\"site\":\"aws\",\"range\":\"10.77.8.0/24\",\"count\":50,"
	        "\"until\":\"2030-01-01T00:00:00Z\"}\n");
	free(bundle);
	there_and_back(many_text);
	free(many_text);
	there_and_back(GOOD LAB(REST));
	bundle = bundle_of(GOOD LAB(REST)); /* even where nobody may join yet */
	assert_int_equal(strncmp(bundle, "{\"overlayd-bundle\":2,", 21), 0);
	free(bundle);
	there_and_back(GOOD "tokens: {}\n");
}

/* A bundle of one token, with one piece of its text replaced by another, is refused with that. */
static void replaced_is(const char *from, const char *to, const char *expected)
{
	char *bundle = bundle_of(JOIN LAB(REST ", except: [\"" PRINT5 "\"]")), *at, *other, *said;
	struct policy_report report;
	struct policy *policy = NULL;

	policy_report_init(&report);
	at = strstr(bundle, from);
	assert_non_null(at);
	assert_true(asprintf(&other, "%.*s%s%s", (int)(at - bundle), bundle, to,
	                    at + strlen(from)) > 0);
	assert_int_equal(bundle_parse(other, strlen(other), NULL, &policy, &report), -EINVAL);
	assert_null(policy);
	said = report_text(&report);
	source_lines_drop(said);
	assert_string_equal(said, expected);
	free(said);
	free(bundle);
	free(other);
	policy_report_clear(&report);
}

#define STRANGE(line)                                                                              \
	"bundle:" line ":1: error: this line is not written as overlayd writes it, so the bundle " \
	"is not taken\n"

static void test_bundle_refused(void **state)
{
	char *plain = bundle_of(GOOD), *join = bundle_of(JOIN);

	(void)state;
	assert_int_equal(strncmp(plain, "{\"overlayd-bundle\":1,", 21), 0);
	assert_int_equal(strncmp(join, "{\"overlayd-bundle\":2,", 21), 0);
	free(plain);
	free(join);
	/* Of the format that has no such words. */
	replaced_is("overlayd-bundle\":2", "overlayd-bundle\":1", STRANGE("1"));
	/* Another order, another way to write the same. */
	replaced_is("\"site\":\"aws\",\"range\":\"10.77.8.0/24\"",
	        "\"range\":\"10.77.8.0/24\",\"site\":\"aws\"", STRANGE("20"));
	replaced_is("\"count\":50", "\"count\":\"50\"", STRANGE("20"));
	replaced_is("10.77.8.0/24\",\"count", "10.77.8.1/24\",\"count",
	        "bundle:20:143: error: '10.77.8.1/24' has bits set after its prefix: did you mean "
	        "10.77.8.0/24?\n");
	replaced_is("00:00Z\"}", "00:00Z\",\"except\":[\"" PRINT4 "\"]}", STRANGE("20"));
	/* Whose guests? */
	replaced_is("{\"except\":\"lab\"", "{\"except\":\"bal\"", STRANGE("9"));
	replaced_is(",\"guest\":\"" PRINT5 "\"", "",
	        "bundle:9:11: error: of which guest is not said\n");
	replaced_is("\"guest\":\"" PRINT5 "\"", "\"guest\":[\"" PRINT5 "\"]",
	        "bundle:9:11: error: of which guest is not said\n");
	replaced_is(PRINT5 "\"}", PRINT5 "\",\"why\":\"x\"}",
	        "bundle:9:11: error: of which guest is not said\n");
	replaced_is("\"guest\"", "\"key\"", "bundle:9:11: error: of which guest is not said\n");
	replaced_is(PRINT5, "SHA256:abc",
	        "bundle:9:25: error: 'SHA256:abc' is no fingerprint: write it as `overlayctl "
	        "token list` "
	        "or ssh-keygen -l shows it, \"SHA256:\" and 43 characters\n");
	replaced_is("{\"except\":\"lab\",\"guest\":\"" PRINT5 "\"}\n",
	        "{\"except\":\"lab\",\"guest\":\"" PRINT5
	        "\"}\n{\"except\":\"lab\",\"guest\":\"" PRINT5 "\"}\n",
	        "bundle:10:1: error: the lines are not sorted from here on\n");
	replaced_is("\"roles\":[\"exec\"],\"site\":\"aws\",\"range",
	        "\"roles\":[\"seed\"],\"site\":\"aws\",\"range",
	        "bundle:20:114: error: a token may not grant the role 'seed', as whoever has it "
	        "would have the role: delete it here, and let such a node in by name with "
	        "`overlayctl approve`\n");
}

/* ---- what changes */

static void diff_is(const char *old, const char *new_text, const char *expected)
{
	struct policy *a = policy_good(old), *b = policy_good(new_text);
	struct policy_diff diff;
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	assert_int_equal(policy_diff(a, b, &diff), 0);
	for (size_t i = 0; i < diff.n_rows; i++)
		fprintf(out, "%s %s: %s\n", policy_change_name(diff.rows[i].change),
		        diff.rows[i].subject, diff.rows[i].text);
	fclose(out);
	assert_string_equal(text, expected);
	free(text);
	policy_diff_clear(&diff);
	policy_unref(a);
	policy_unref(b);
}

#define OTHER "roles: [head], site: hq, range: 10.77.9.0/24, count: 51, until: 2030-01-02T00:00Z"

static void test_diff(void **state)
{
	(void)state;
	diff_is(JOIN LAB(REST), JOIN LAB(REST), "");
	diff_is(JOIN, JOIN LAB(REST),
	        "admitted token lab: " PRINT4 " lets in up to 50 guests until "
	        "2030-01-01T00:00:00Z, site aws, addresses of 10.77.8.0/24, roles: exec\n");
	diff_is(JOIN LAB(REST), JOIN,
	        "evicted token lab: revoked, and all guests that it let in with it\n");
	diff_is(JOIN LAB(REST), JOIN LAB(OTHER),
	        "setting token lab: addresses of 10.77.8.0/24 -> 10.77.9.0/24\n"
	        "setting token lab: count 50 -> 51\n"
	        "setting token lab: roles of its guests exec -> head\n"
	        "setting token lab: site aws -> hq\n"
	        "setting token lab: until 2030-01-01T00:00:00Z -> 2030-01-02T00:00:00Z\n");
	diff_is(JOIN LAB(REST), JOIN "tokens: { lab: { key: \"" KEY5 "\", " REST " } }\n",
	        "rekeyed token lab: key " PRINT4 " -> " PRINT5
	        ": the guests of the former are revoked\n");
	diff_is(JOIN LAB(REST ", except: [\"" PRINT4 "\"]"),
	        JOIN LAB(REST ", except: [\"" PRINT5 "\"]"),
	        "admitted token lab: its guest " PRINT4 " is revoked no longer\n"
	        "evicted token lab: its guest " PRINT5 " is revoked\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(test_limits),
	        cmocka_unit_test(test_bundle),
	        cmocka_unit_test(test_bundle_refused),
	        cmocka_unit_test(test_diff),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

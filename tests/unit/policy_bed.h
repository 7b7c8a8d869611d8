/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the tests of policy/ share: keys, a good policy, and a way to see a report as text. */
#ifndef TESTS_POLICY_BED_H
#define TESTS_POLICY_BED_H

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "policy/policy.h"

/* Made from SHA-256 of small words; nobody has their secret halves. */
#define KEY1 "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGq58euPfTOI9PnVhvZumf1UCA3yxEbw5YZosJwIoW1Q"
#define KEY2 "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAFffmvFrq9INyQInpJSzBO1CVGmtpQSUidlz/TXgDBu"
#define KEY3 "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIC9QUsn9FbGaGMWE0BNjVoGYYT8MNOhECe95OHCaFZ5C"
#define HEAD                                                                                       \
	"cluster: hpc\n"                                                                           \
	"serial: 7\n"                                                                              \
	"overlay: 10.77.0.0/16\n"
#define SITES "sites: { hq: { timezone: Europe/Brussels }, aws: { behind_nat: true } }\n"
#define GOOD                                                                                       \
	HEAD SITES "peers:\n"                                                                      \
	           "  head1: { key: \"" KEY1                                                       \
	           "\", address: 10.77.0.1, site: hq, roles: [head], endpoints: [192.0.2.10] }\n"  \
	           "  node1: { key: \"" KEY2                                                       \
	           "\", address: 10.77.0.17, site: aws, roles: [exec] }\n"

struct fault_case {
	const char *title;
	const char *main;
	const char *peers;    /* peers.d/x.yaml, or NULL */
	const char *expected; /* the report, without the lines that show the source */
};

/* The report as printed; free() it. */
static inline char *report_text(const struct policy_report *report)
{
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	policy_report_print(report, out, false);
	fclose(out);
	return text;
}

/* Takes out the source lines and carets: all lines that begin with a blank. */
static inline void source_lines_drop(char *text)
{
	char *to = text;

	while (*text) {
		size_t len = strcspn(text, "\n") + 1;

		if (*text != ' ') {
			memmove(to, text, len);
			to += len;
		}
		text += len;
	}
	*to = '\0';
}

static inline int text_parse(
        const char *main_text, const char *peers, struct policy **out, struct policy_report *report)
{
	const struct policy_file files[] = {{"policy.yaml", main_text, strlen(main_text)},
	        {"peers.d/x.yaml", peers, peers ? strlen(peers) : 0}};

	policy_report_init(report);
	return policy_parse(files, peers ? 2 : 1, out, report);
}

static inline void fault_case_run(const struct fault_case *c)
{
	struct policy *policy = NULL;
	struct policy_report report;
	int ret = text_parse(c->main, c->peers, &policy, &report);
	char *text = report_text(&report);

	source_lines_drop(text);
	if (strcmp(text, c->expected) != 0)
		fail_msg("%s:\n%s--- expected:\n%s", c->title, text, c->expected);
	if (strstr(c->expected, "error:")) {
		assert_int_equal(ret, -EINVAL);
		assert_null(policy);
	} else {
		assert_int_equal(ret, 0);
		assert_non_null(policy);
	}
	free(text);
	policy_unref(policy);
	policy_report_clear(&report);
}

/* A policy that must be good. */
static inline struct policy *policy_good(const char *text)
{
	struct policy *policy = NULL;
	struct policy_report report;

	if (text_parse(text, NULL, &policy, &report)) {
		char *faults = report_text(&report);

		fail_msg("%s", faults);
	}
	policy_report_clear(&report);
	return policy;
}

#endif

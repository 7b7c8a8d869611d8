/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * policy_parse: whatever the files hold, a report or a policy, never both and never half; what is
 * taken prints, and its print parses to the same print. A line "%%%" separates policy.yaml from a
 * file in peers.d, and another that from one in tokens.d.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "policy/policy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
const char *__asan_default_options(void);

/*
 * libfyaml 0.7.12 forgets 4 KiB when a quoted text of many quotes ends in an error. That is an
 * admin's broken file, not a peer's; our own leaks are looked for by the unit tests under ASan.
 */
const char *__asan_default_options(void)
{
	return "detect_leaks=0";
}

static void roundtrip(const struct policy *policy)
{
	struct policy_report report;
	struct policy_file file = {.name = "policy.yaml"};
	struct policy_diff diff;
	struct policy *again;
	char *text = policy_print(policy), *text_again;

	if (!text)
		abort();
	file.data = text;
	file.len = strlen(text);
	policy_report_init(&report);
	if (policy_parse(&file, 1, &again, &report))
		abort(); /* what we print must be good */
	text_again = policy_print(again);
	if (strcmp(text, text_again) != 0 || memcmp(policy->digest, again->digest, 32) != 0)
		abort();
	if (policy_diff(policy, again, &diff) || diff.n_rows)
		abort();
	policy_diff_clear(&diff);
	policy_unref(again);
	policy_report_clear(&report);
	free(text);
	free(text_again);
}

static void ask(const struct policy *policy)
{
	uint64_t bits[POLICY_ALLOWS_MAX / 64 + 1];

	for (size_t i = 0; i < policy->n_tokens; i++) {
		const struct policy_token *token = &policy->tokens[i];

		if (policy_token_by_name(policy, token->name) != token || !token->count ||
		        policy_peer_by_key(policy, &token->key) ||
		        !policy_prefix_contains(&policy->overlay4, &token->range.addr))
			abort();
	}

	for (size_t i = 0; i < policy->n_peers && i < 8; i++) {
		const struct policy_peer *a = &policy->peers[i];
		int64_t next;

		policy_peer_active(policy, a, 1800000000, &next);
		if (next <= 1800000000 || policy_peer_by_name(policy, a->name) != a ||
		        policy_peer_by_key(policy, &a->key) != a ||
		        policy_peer_by_addr(policy, &a->addr6) != a)
			abort();
		for (size_t j = 0; j < policy->n_peers && j < 8; j++) {
			struct policy_verdict verdict;
			size_t n = policy_allows_between(policy, a, &policy->peers[j], bits);

			if (i != j && (policy_explain(policy, a, &policy->peers[j], POLICY_TCP, 22,
			                       POLICY_ANY_TIME, &verdict) ||
			                      (verdict.allow && !n)))
				abort();
		}
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct policy_file files[3] = {{"policy.yaml", (const char *)data, size},
	        {"peers.d/a.yaml", NULL, 0}, {"tokens.d/a.yaml", NULL, 0}};
	struct policy *policy = NULL;
	struct policy_report report;
	size_t n = 1;
	int ret;

	for (; n < 3; n++) {
		struct policy_file *file = &files[n - 1];
		const char *cut = file->len ? memmem(file->data, file->len, "\n%%%\n", 5) : NULL;

		if (!cut)
			break;
		files[n].data = cut + 5;
		files[n].len = file->len - (size_t)(cut + 5 - file->data);
		file->len = (size_t)(cut - file->data) + 1;
	}
	policy_report_init(&report);
	ret = policy_parse(files, n, &policy, &report);
	if ((ret == 0) != (policy != NULL) || (ret == 0) != (report.n_errors == 0))
		abort();
	if (report.n_faults > POLICY_FAULTS_MAX)
		abort();
	if (policy) {
		roundtrip(policy);
		ask(policy);
	}
	policy_unref(policy);
	policy_report_clear(&report);
	return 0;
}

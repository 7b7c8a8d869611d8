/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Tokens as lines of a bundle. Their revoked guests have lines of their own, so that a token with
 * thousands of them keeps to the length of a line, and the next revocation is a small delta. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "policy/bundle_internal.h"

static void token_write(FILE *out, const struct policy *policy, const struct policy_token *token)
{
	char text[96];

	policy_key_print(&token->key, text, sizeof(text));
	fprintf(out, "{\"token\":\"%s\",\"key\":\"%s\",\"roles\":[", token->name, text);
	for (size_t i = 0; i < token->n_roles; i++)
		fprintf(out, "%s\"%s\"", i ? "," : "", policy->roles[token->roles[i]]);
	pol_prefix_print(&token->range, text, sizeof(text));
	fprintf(out, "],\"site\":\"%s\",\"range\":\"%s\",\"count\":%u",
	        policy->sites[token->site].name, text, token->count);
	pol_until_print(token->until, text, sizeof(text));
	fprintf(out, ",\"until\":\"%s\"}\n", text);
}

void bun_tokens_write(FILE *out, const struct policy *policy)
{
	for (size_t i = 0; i < policy->n_tokens; i++)
		token_write(out, policy, &policy->tokens[i]);
}

/* Base64 has another order than the bytes. */
static int print_compare(const void *a, const void *b)
{
	return strcmp(a, b);
}

int bun_excepts_write(FILE *out, const struct policy *policy)
{
	for (size_t i = 0; i < policy->n_tokens; i++) {
		const struct policy_token *token = &policy->tokens[i];
		char(*prints)[POLICY_FINGERPRINT_LEN] =
		        calloc(token->n_except + 1, sizeof(*prints));

		if (!prints)
			return -ENOMEM;
		for (size_t j = 0; j < token->n_except; j++)
			pol_fingerprint_print(token->except[j], prints[j]);
		pol_sort(prints, token->n_except, sizeof(*prints), print_compare);
		for (size_t j = 0; j < token->n_except; j++)
			fprintf(out, "{\"except\":\"%s\",\"guest\":\"%s\"}\n", token->name,
			        prints[j]);
		free(prints);
	}
	return 0;
}

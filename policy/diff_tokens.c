/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What changes in the tokens. Both sides are sorted by name: one walk. */
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "policy/diff.h"

struct words {
	char s[POL_PEER_ROLES_MAX * (POLICY_NAME_MAX + 2) + 8];
};

static struct words roles_words(const struct policy *policy, const struct policy_token *token)
{
	struct words words = {"none"};
	size_t len = 0;

	for (size_t i = 0; i < token->n_roles; i++)
		len += (size_t)snprintf(words.s + len, sizeof(words.s) - len, "%s%s", i ? ", " : "",
		        policy->roles[token->roles[i]]);
	return words;
}

static struct words range_words(const struct policy_token *token)
{
	struct words words;

	pol_prefix_print(&token->range, words.s, sizeof(words.s));
	return words;
}

static struct words until_words(const struct policy_token *token)
{
	struct words words;

	pol_until_print(token->until, words.s, sizeof(words.s));
	return words;
}

static void change_row(struct pol_differ *d, const char *subject, const char *what,
        struct words before, struct words after)
{
	if (strcmp(before.s, after.s) != 0)
		pol_row(d, POLICY_SETTING, subject, "%s %s -> %s", what, before.s, after.s);
}

static void added_row(struct pol_differ *d, const char *subject, const struct policy_token *token)
{
	char print[POLICY_FINGERPRINT_LEN];

	policy_key_fingerprint(&token->key, print);
	pol_row(d, POLICY_ADMITTED, subject,
	        "%s lets in %s%u guest%s until %s, site %s, addresses of %s, roles: %s", print,
	        token->count > 1 ? "up to " : "", token->count, token->count > 1 ? "s" : "",
	        until_words(token).s, d->new->sites[token->site].name, range_words(token).s,
	        roles_words(d->new, token).s);
}

/* Guests that are revoked now, or no longer. */
static void excepts_diff(struct pol_differ *d, const char *subject, const struct policy_token *a,
        const struct policy_token *b)
{
	size_t i = 0, j = 0;

	while (i < a->n_except || j < b->n_except) {
		char print[POLICY_FINGERPRINT_LEN];
		int order = i == a->n_except   ? 1
		            : j == b->n_except ? -1
		                               : memcmp(a->except[i], b->except[j], 32);

		if (order)
			pol_fingerprint_print(order < 0 ? a->except[i] : b->except[j], print);
		if (order > 0)
			pol_row(d, POLICY_EVICTED, subject, "its guest %s is revoked", print);
		else if (order < 0)
			pol_row(d, POLICY_ADMITTED, subject, "its guest %s is revoked no longer",
			        print);
		i += order <= 0;
		j += order >= 0;
	}
}

static void token_diff(struct pol_differ *d, const char *subject, const struct policy_token *a,
        const struct policy_token *b)
{
	char x[POLICY_FINGERPRINT_LEN], y[POLICY_FINGERPRINT_LEN];

	policy_key_fingerprint(&a->key, x);
	policy_key_fingerprint(&b->key, y);
	if (strcmp(x, y) != 0)
		pol_row(d, POLICY_REKEYED, subject,
		        "key %s -> %s: the guests of the former are revoked", x, y);
	change_row(
	        d, subject, "roles of its guests", roles_words(d->old, a), roles_words(d->new, b));
	change_row(d, subject, "addresses of", range_words(a), range_words(b));
	change_row(d, subject, "until", until_words(a), until_words(b));
	if (a->count != b->count)
		pol_row(d, POLICY_SETTING, subject, "count %u -> %u", a->count, b->count);
	if (strcmp(d->old->sites[a->site].name, d->new->sites[b->site].name) != 0)
		pol_row(d, POLICY_SETTING, subject, "site %s -> %s", d->old->sites[a->site].name,
		        d->new->sites[b->site].name);
	excepts_diff(d, subject, a, b);
}

void pol_tokens_diff(struct pol_differ *d)
{
	size_t i = 0, j = 0;

	while (i < d->old->n_tokens || j < d->new->n_tokens) {
		const struct policy_token *a = i < d->old->n_tokens ? &d->old->tokens[i] : NULL;
		const struct policy_token *b = j < d->new->n_tokens ? &d->new->tokens[j] : NULL;
		int order = !a ? 1 : !b ? -1 : strcmp(a->name, b->name);
		char subject[POLICY_NAME_MAX + 8];

		snprintf(subject, sizeof(subject), "token %s", order < 0 ? a->name : b->name);
		if (order < 0)
			pol_row(d, POLICY_EVICTED, subject,
			        "revoked, and all guests that it let in with it");
		else if (order > 0)
			added_row(d, subject, b);
		else
			token_diff(d, subject, a, b);
		i += order <= 0;
		j += order >= 0;
	}
}

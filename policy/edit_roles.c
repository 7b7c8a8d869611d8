/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A revocation is never refused for tidiness: where it takes the last peer or token of a role that
 * rules still name, the role is declared under `roles:`, which keeps the rules for the next one.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "policy/files.h"
#include "policy/internal.h"

static bool is_named(const struct policy *policy, uint16_t role)
{
	for (size_t i = 0; i < policy->n_allows; i++)
		if (policy->allows[i].from == role || policy->allows[i].to == role)
			return true;
	return false;
}

static bool holds(const uint16_t *roles, size_t n, uint16_t role)
{
	for (size_t i = 0; i < n; i++)
		if (roles[i] == role)
			return true;
	return false;
}

static bool is_held_by_others(const struct policy *policy, const struct policy_peer *but_peer,
        const struct policy_token *but_token, uint16_t role)
{
	for (size_t i = 0; i < policy->n_peers; i++) {
		const struct policy_peer *peer = &policy->peers[i];

		if (peer != but_peer && holds(peer->roles, peer->n_roles, role))
			return true;
	}
	for (size_t i = 0; i < policy->n_tokens; i++) {
		const struct policy_token *token = &policy->tokens[i];

		if (token != but_token && holds(token->roles, token->n_roles, role))
			return true;
	}
	return false;
}

/* Where to write: behind the last name of `roles: [a, b]` on one line, else a line of its own. */
static bool place_find(
        const struct policy_file *file, size_t *at, const char **before, const char **after)
{
	size_t serial = 0;

	for (size_t pos = 0; pos < file->len;) {
		const char *line = file->data + pos, *nl = memchr(line, '\n', file->len - pos);
		size_t len = nl ? (size_t)(nl - line) : file->len - pos;

		if (len > 6 && memcmp(line, "roles:", 6) == 0) {
			const char *open = memchr(line, '[', len), *close = memchr(line, ']', len);

			if (!open || !close || close < open)
				return false; /* a list of another shape: the check will say so */
			*at = (size_t)(close - file->data);
			*before = "";
			for (const char *c = open + 1; c < close; c++)
				if (*c != ' ')
					*before = ", ";
			*after = "";
			return true;
		}
		if (len > 7 && memcmp(line, "serial:", 7) == 0)
			serial = pos + len + (nl ? 1 : 0);
		pos += len + 1;
	}
	*at = serial;
	*before = "roles: [";
	*after = "]\n";
	return serial > 0 && file->data[serial - 1] == '\n';
}

int pol_roles_keep(struct policy_file *file, const struct policy *policy,
        const struct policy_peer *peer, const struct policy_token *token)
{
	const uint16_t *roles = peer ? peer->roles : token->roles;
	size_t n = peer ? peer->n_roles : token->n_roles;
	const struct pol_full *full = (const struct pol_full *)policy;
	int ret = 0;

	for (size_t i = 0; ret == 0 && i < n; i++) {
		uint16_t role = roles[i];
		const char *before, *after;
		char text[POLICY_NAME_MAX + 16];
		size_t at;

		if (full->role_declared[role] || !is_named(policy, role) ||
		        is_held_by_others(policy, peer, token, role) ||
		        !place_find(file, &at, &before, &after))
			continue;
		snprintf(text, sizeof(text), "%s%s%s", before, policy->roles[role], after);
		ret = pol_file_splice(file, at, 0, text);
	}
	return ret;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Tokens: granted, revoked, and one of their guests revoked. */
#include "policy/edit_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* The token, or NULL after a fault. */
static const struct policy_token *token_find(struct pol_edit *edit, const char *name)
{
	const struct policy_token *token = policy_token_by_name(edit->old, name);
	struct policy_where where = {POL_MAIN_FILE, 0, 0};
	struct pol_guess guess;

	if (token)
		return token;
	pol_guess_init(&guess, name);
	for (size_t i = 0; i < edit->old->n_tokens; i++)
		pol_guess_offer(&guess, edit->old->tokens[i].name);
	pol_report_fault(
	        edit->report, where, "there is no token '%.63s'%s", name, pol_hint(&guess).text);
	return NULL;
}

/* ---- add */

static int token_text(
        const struct policy_token_grant *g, const char *site, char **text, size_t *len)
{
	FILE *out = open_memstream(text, len);

	if (!out)
		return -ENOMEM;
	fprintf(out, "%s:\n", g->name);
	pol_pair_write(out, "key", g->key);
	if (g->n_roles)
		pol_list_write(out, "roles", g->roles, g->n_roles);
	else
		fputs("  roles: []\n", out);
	pol_pair_write(out, "site", site);
	pol_pair_write(out, "range", g->range);
	pol_pair_write(out, "count", g->count);
	pol_pair_write(out, "until", g->until);
	if (fclose(out)) {
		free(*text);
		return -ENOMEM;
	}
	return 0;
}

static int add_prepare(
        struct pol_edit *edit, const struct policy_token_grant *grant, const char *shown)
{
	const struct policy_token *token = policy_token_by_name(edit->old, grant->name);
	struct policy_where where = {shown, 0, 0};
	const char *site = grant->site;
	size_t len;
	char *text;
	int ret;

	if (token || pol_edit_file(edit, shown)) {
		pol_report_fault(edit->report, token ? token->where : where,
		        "%s is there already: revoke it first, or take another name",
		        token ? token->name : shown);
		return -EEXIST;
	}
	if (!site && edit->old->n_sites == 1 && edit->old->sites[0].where.line)
		site = edit->old->sites[0].name;
	ret = token_text(grant, site, &text, &len);
	if (ret)
		return pol_report_errno(edit->report, shown, ret, "this token cannot be written");
	ret = pol_edit_add(edit, shown, text, len);
	if (ret == 0)
		ret = pol_edit_serial(edit);
	return ret ? ret : pol_edit_check(edit);
}

int policy_edit_token_add(const char *dir, const struct policy_token_grant *grant,
        struct policy **out, struct policy_report *report)
{
	char shown[POLICY_NAME_MAX + sizeof("tokens.d/.yaml")];
	struct policy_where where = {"tokens.d", 0, 0};
	struct pol_edit edit;
	int ret;

	if (!grant->name || !pol_name_valid(grant->name)) {
		pol_report_fault(report, where,
		        "'%.70s' is no name for a token: up to %u letters and digits, with . _ - "
		        "between",
		        grant->name ? grant->name : "", POLICY_NAME_MAX);
		return -EINVAL;
	}
	snprintf(shown, sizeof(shown), "tokens.d/%s.yaml", grant->name);
	ret = pol_edit_open(&edit, dir, report);
	if (ret == 0)
		ret = add_prepare(&edit, grant, shown);
	if (ret == 0)
		ret = pol_edit_write(&edit, shown, false);
	if (ret == 0)
		pol_edit_done(&edit, out);
	pol_edit_close(&edit);
	return ret;
}

/* ---- revoke */

static int revoke_by_hand(struct pol_edit *edit, const struct policy_token *token)
{
	pol_report_fault(edit->report, token->where,
	        "%s stands here among others and cannot be cut out safely: delete it by hand, and "
	        "raise `serial`",
	        token->name);
	return -EINVAL;
}

/* Is it all that its file holds, and the file none that must stay? */
static bool is_alone(const struct policy *policy, const struct policy_token *token)
{
	for (size_t i = 0; i < policy->n_tokens; i++)
		if (&policy->tokens[i] != token &&
		        strcmp(policy->tokens[i].where.file, token->where.file) == 0)
			return false;
	return strcmp(token->where.file, POL_MAIN_FILE) != 0;
}

static int revoke_prepare(struct pol_edit *edit, const struct policy_token *token, bool alone)
{
	struct policy_file *file = pol_edit_file(edit, token->where.file);
	int ret;

	if (alone)
		pol_edit_drop(edit, file);
	else if (pol_entry_cut(file, &token->where))
		return revoke_by_hand(edit, token);
	ret = pol_roles_keep(pol_edit_file(edit, POL_MAIN_FILE), edit->old, NULL, token);
	if (ret)
		return pol_report_errno(
		        edit->report, POL_MAIN_FILE, ret, "this token cannot be revoked");
	ret = pol_edit_serial(edit);
	if (ret == 0)
		ret = pol_edit_check(edit);
	if (ret)
		return ret;
	/* Exactly this one is gone, and nothing else of the entry's neighbours. */
	if (edit->new->n_tokens != edit->old->n_tokens - 1 ||
	        edit->new->n_peers != edit->old->n_peers ||
	        policy_token_by_name(edit->new, token->name))
		return revoke_by_hand(edit, token);
	return 0;
}

int policy_edit_token_revoke(
        const char *dir, const char *name, struct policy **out, struct policy_report *report)
{
	const struct policy_token *token;
	struct pol_edit edit;
	bool alone;
	int ret = pol_edit_open(&edit, dir, report);

	if (ret)
		goto out;
	token = token_find(&edit, name);
	ret = -ENOENT;
	if (!token)
		goto out;
	alone = is_alone(edit.old, token);
	ret = revoke_prepare(&edit, token, alone);
	if (ret == 0)
		ret = pol_edit_write(&edit, token->where.file, alone);
	if (ret == 0)
		pol_edit_done(&edit, out);
out:
	pol_edit_close(&edit);
	return ret;
}

/* ---- except */

static int except_by_hand(
        struct pol_edit *edit, const struct policy_token *token, const char *print)
{
	pol_report_fault(edit->report, token->where,
	        "`except` of the token %s cannot be changed safely in these lines: write \"%s\" "
	        "into it by hand, and raise `serial`",
	        token->name, print);
	return -EINVAL;
}

/* All that changed is that the guest is revoked; and the serial. */
static bool is_only_excepted(const struct pol_edit *edit, const char *name, const char *print)
{
	const struct policy_token *token = policy_token_by_name(edit->new, name);
	uint8_t digest[32];
	struct policy_diff diff;
	bool only;

	if (!token || pol_fingerprint_parse(print, digest) ||
	        policy_diff(edit->old, edit->new, &diff))
		return false;
	only = diff.n_rows == 2;
	policy_diff_clear(&diff);
	return only && pol_token_excepts(token, digest);
}

static int except_prepare(
        struct pol_edit *edit, const struct policy_token *token, const char *print)
{
	struct policy_file *file = pol_edit_file(edit, token->where.file);
	uint8_t digest[32];
	int ret;

	if (pol_fingerprint_parse(print, digest)) {
		pol_report_fault(edit->report, token->where,
		        "'%.60s' is no fingerprint: write it as `overlayctl token list` or "
		        "ssh-keygen "
		        "-l shows it, \"SHA256:\" and 43 characters",
		        print);
		return -EINVAL;
	}
	if (pol_token_excepts(token, digest)) {
		pol_report_fault(edit->report, token->where,
		        "the guest %s of token %s is revoked already", print, token->name);
		return -EEXIST;
	}
	ret = pol_except_text(file, token, print);
	if (ret == -EINVAL)
		return except_by_hand(edit, token, print);
	if (ret)
		return pol_report_errno(
		        edit->report, token->where.file, ret, "this file cannot be changed");
	ret = pol_edit_serial(edit);
	if (ret == 0)
		ret = pol_edit_check(edit);
	if (ret == 0 && !is_only_excepted(edit, token->name, print))
		ret = except_by_hand(edit, token, print);
	return ret;
}

int policy_edit_token_except(const char *dir, const char *name, const char *fingerprint,
        struct policy **out, struct policy_report *report)
{
	const struct policy_token *token;
	struct pol_edit edit;
	int ret = pol_edit_open(&edit, dir, report);

	if (ret)
		goto out;
	token = token_find(&edit, name);
	ret = -ENOENT;
	if (!token)
		goto out;
	ret = except_prepare(&edit, token, fingerprint);
	if (ret == 0)
		ret = pol_edit_write(&edit, token->where.file, false);
	if (ret == 0)
		pol_edit_done(&edit, out);
out:
	pol_edit_close(&edit);
	return ret;
}

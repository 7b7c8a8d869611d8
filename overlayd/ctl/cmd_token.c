/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "ctl/edit.h"
#include "ctl/guests.h"
#include "ctl/table.h"

#define TEXT_MAX 2048

/* ---- list ---- */

/* "2026-12-01 12:00:00 UTC" */
static void when_print(int64_t when, char *buf, size_t size)
{
	time_t t = (time_t)when;
	struct tm tm;

	*buf = '\0';
	if (when >= 0 && gmtime_r(&t, &tm))
		strftime(buf, size, "%Y-%m-%d %H:%M:%S UTC", &tm);
}

static void token_add(struct table *table, const json_t *token, int64_t now)
{
	int64_t until = ctl_integer(token, "until", -1), used = ctl_integer(token, "used", 0);
	int64_t count = ctl_integer(token, "count", 0);
	bool over = json_is_true(json_object_get(token, "over"));
	char text[TEXT_MAX];

	table_cell(table, TABLE_PLAIN, ctl_string(token, "name", "?"));
	guests_list(json_object_get(token, "roles"), text, sizeof(text));
	table_cell(table, TABLE_PLAIN, text);
	table_cell(table, TABLE_PLAIN, ctl_string(token, "site", ""));
	table_cell(table, TABLE_PLAIN, ctl_string(token, "range", ""));
	snprintf(text, sizeof(text), "%" PRId64 " of %" PRId64, used, count);
	table_cell(table, used >= count ? TABLE_YELLOW : TABLE_PLAIN, text);
	when_print(until, text, sizeof(text));
	table_cell(table, TABLE_PLAIN, text);
	table_cell(table, over ? TABLE_RED : TABLE_PLAIN,
	        over ? "over" : ctl_duration(until > now ? until - now : 0, (char[16]){0}));
	guests_names(json_object_get(token, "guests"), text, sizeof(text));
	table_cell(table, TABLE_PLAIN, text);
}

static void tell(const struct ctl *ctl, const json_t *answer)
{
	static const char *const heads[] = {
	        "TOKEN", "ROLES", "SITE", "RANGE", ">USED", "UNTIL", ">LEFT", "GUESTS"};
	const json_t *tokens = json_object_get(answer, "tokens"), *token;
	struct table *table = table_new(heads, 8);
	size_t i;

	json_array_foreach(tokens, i, token) {
		token_add(table, token, ctl_integer(answer, "now", time(NULL)));
	}
	if (!json_array_size(tokens))
		puts("the policy in force grants no token; overlayctl ticket --token makes one");
	table_print(table, stdout, ctl_colour(ctl, stdout), table_terminal(stdout));
	table_free(table);
}

/* ---- revoke ---- */

/* "token t1 is revoked, and with it 2 guests: n1, n2" */
static void written_print(const json_t *tokens, const char *name, char *buf, size_t size)
{
	const json_t *guests = json_object_get(guests_token(tokens, name), "guests");
	size_t n = json_array_size(guests);
	char names[TEXT_MAX];

	guests_names(guests, names, sizeof(names));
	if (!tokens)
		snprintf(buf, size,
		        "token %s is revoked, and with it all its guests (who they are only a "
		        "daemon can tell, and none answers here)",
		        name);
	else if (!n)
		snprintf(buf, size, "token %s is revoked; it has no guests", name);
	else
		snprintf(buf, size, "token %s is revoked, and with it %zu guest%s: %s", name, n,
		        n == 1 ? "" : "s", names);
	ctl_clean(buf);
}

/* A guest of the token that signs here would cut itself off, and nobody would hear of it. */
static bool has_own(struct ctl *ctl, const json_t *tokens, const char *name)
{
	json_t *status = ctl_ask_quietly(ctl, "status");
	const char *own = ctl_string(json_object_get(status, "node"), "name", "");
	const json_t *token = NULL;
	bool has;

	has = guests_by_name(tokens, own, &token) && !strcmp(ctl_string(token, "name", ""), name);
	json_decref(status);
	return has;
}

static int token_revoke(struct edit *edit, const char *name, const json_t *tokens)
{
	char written[TEXT_MAX + 256];

	if (has_own(edit->ctl, tokens, name)) {
		ctl_error(edit->ctl,
		        "this node is a guest of %s: without it it can tell nobody, so run this on "
		        "another node",
		        name);
		return edit_end(edit, -EINVAL, "");
	}
	written_print(tokens, name, written, sizeof(written));
	return edit_end(edit,
	        policy_edit_token_revoke(edit->ctl->config, name, &edit->new_policy, &edit->report),
	        written);
}

static int run_token(struct ctl *ctl, int argc, char **argv)
{
	struct edit edit;
	json_t *tokens;
	int option, rc, n;

	edit_init(ctl, &edit);
	while ((option = ctl_option(ctl, argc, argv)) != -1)
		if (edit_option(&edit, option) < 0)
			return CTL_USAGE;
	n = argc - optind;
	if (n == 1 && !strcmp(argv[optind], "list"))
		return ctl_show(ctl, "tokens", tell);
	if (n < 1 || strcmp(argv[optind], "revoke") != 0)
		return ctl_usage(ctl, "list or revoke?");
	if (n != 2)
		return ctl_usage(ctl, "revoke takes one NAME: see overlayctl token list");
	rc = edit_begin_token(&edit, argv[optind + 1], argc, argv);
	if (rc)
		return rc;
	tokens = guests_ask(ctl);
	rc = token_revoke(&edit, argv[optind + 1], tokens);
	json_decref(tokens);
	return rc;
}

static const struct option options[] = {EDIT_OPTIONS, {0}};

const struct ctl_command ctl_cmd_token = {
        .name = "token",
        .args = "list | revoke NAME [OPTION...]",
        .summary = "the tokens that let nodes in by themselves, and their guests",
        .help = EDIT_HELP
        "list: what each token grants, how much of it is used, and who came in by it, as this "
        "node knows it.\n"
        "USED counts guests that were revoked, too.\n"
        "revoke: takes the token out of the policy: nobody comes in by it any more, and all its "
        "guests are\n"
        "out at once, on every node. One guest alone: overlayctl revoke GUEST.\n"
        "Tokens are made by overlayctl ticket --token.\n",
        .options = options,
        .run = run_token,
};

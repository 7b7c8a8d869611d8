/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>
#include <time.h>

#include "ctl/ctl.h"
#include "ctl/pending.h"
#include "ctl/table.h"

/* Each list as one text: "a; b". */
static void join_texts(const json_t *list, const char *between, char *buf, size_t size)
{
	const json_t *item;
	size_t i, len = 0;

	buf[0] = '\0';
	json_array_foreach(list, i, item) {
		const char *text = json_string_value(item);

		len += (size_t)snprintf(
		        buf + len, size - len, "%s%s", i ? between : "", text ? text : "?");
		if (len >= size)
			return;
	}
}

static void entry_add(struct table *table, const json_t *entry, int64_t now)
{
	int64_t asked = ctl_integer(entry, "asked", -1);
	char text[512];

	table_cell(table, TABLE_PLAIN, ctl_string(entry, "name", "?"));
	table_cell(table, TABLE_PLAIN,
	        !strcmp(ctl_string(entry, "kind", ""), "rotate") ? "change its key" : "join");
	table_cell(table, TABLE_PLAIN, ctl_string(entry, "fingerprint", "?"));
	table_cell(table, TABLE_PLAIN, ctl_string(entry, "site", ""));
	table_cell(table, TABLE_PLAIN, ctl_string(entry, "source", ""));
	table_cell(table, TABLE_PLAIN,
	        ctl_duration(now - ctl_integer(entry, "since", now), (char[16]){0}));
	table_cell(table, TABLE_PLAIN, asked < 0 ? "" : ctl_duration(now - asked, (char[16]){0}));
	table_cell(table, TABLE_PLAIN, ctl_string(entry, "release", ""));
	join_texts(json_object_get(entry, "marks"), "; ", text, sizeof(text));
	table_cell(table, TABLE_RED, text);
}

static void tell(const struct ctl *ctl, const json_t *answer)
{
	static const char *const heads[] = {
	        "NAME", "TO", "FINGERPRINT", "SITE", "FROM", ">AGE", ">ASKED", "RELEASE", "BEWARE"};
	const json_t *pending = json_object_get(answer, "pending"), *entry;
	struct table *table = table_new(heads, 9);
	char seeds[512];
	size_t i;

	json_array_foreach(pending, i, entry) {
		entry_add(table, entry, ctl_integer(answer, "now", time(NULL)));
	}
	join_texts(json_object_get(answer, "seeds"), ", ", seeds, sizeof(seeds));
	if (!json_is_true(json_object_get(answer, "seed")))
		printf("newcomers cannot ask here: %s%s%s\n",
		        ctl_string(answer, "why", "this node is no seed"),
		        *seeds ? "; the seeds are " : "", seeds);
	else if (!json_array_size(pending))
		puts("nobody waits");
	table_print(table, stdout, ctl_colour(ctl, stdout), table_terminal(stdout));
	table_free(table);
}

static int run_pending(struct ctl *ctl, int argc, char **argv)
{
	ctl_arguments(ctl, argc, argv, 0, 0);
	return ctl_show(ctl, "pending", tell);
}

const struct ctl_command ctl_cmd_pending = {
        .name = "pending",
        .args = "",
        .summary = "who waits for approval: newcomers, and members that change their keys",
        .help = "NAME and SITE are what the newcomer says of itself; FROM is where its request "
                "came from. Only\n"
                "the fingerprint says who it is: compare it with what the newcomer's own console "
                "shows, then\n"
                "`overlayctl approve NAME FINGERPRINT`, or `overlayctl reject FINGERPRINT`.\n"
                "A member's next key is vouched for by its present one. Each seed has its own "
                "list.\n",
        .run = run_pending,
};

/* ---- reject ---- */

static int run_reject(struct ctl *ctl, int argc, char **argv)
{
	json_t *entry, *answer;
	int rc;

	ctl_arguments(ctl, argc, argv, 1, 1);
	rc = pending_find(ctl, NULL, argv[optind], &entry);
	if (rc)
		return rc;
	rc = ctl_ask(ctl, "reject",
	        json_pack("{s:s}", "fingerprint", ctl_string(entry, "fingerprint", "")), &answer);
	if (!rc && ctl->json)
		ctl_print_json(json_incref(answer));
	else if (!rc)
		printf("%s with the key %s is refused here for a day\n",
		        ctl_string(entry, "name", "?"), ctl_string(entry, "fingerprint", "?"));
	if (!rc)
		json_decref(answer);
	json_decref(entry);
	return rc;
}

const struct ctl_command ctl_cmd_reject = {
        .name = "reject",
        .args = "FINGERPRINT",
        .summary = "turn a newcomer away that waits for approval",
        .help = "FINGERPRINT: at least the first eight letters behind SHA256:, as overlayctl "
                "pending shows it.\n"
                "That key is refused for a day, on this seed; approving it later works all the "
                "same.\n",
        .run = run_reject,
};

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "ctl/ctl.h"
#include "ctl/table.h"

static enum table_colour serial_colour(const json_t *member)
{
	if (json_is_true(json_object_get(member, "applied")))
		return TABLE_GREEN;
	return ctl_integer(member, "serial", -1) < 0 ? TABLE_DIM : TABLE_RED;
}

static void member_add(struct table *table, const json_t *member, int64_t now)
{
	int64_t serial = ctl_integer(member, "serial", -1), said = ctl_integer(member, "said", -1);
	bool seed = json_is_true(json_object_get(member, "seed"));
	const char *guest = ctl_string(member, "guest", "");
	char buf[128];

	table_cell(table, TABLE_PLAIN, ctl_string(member, "name", "?"));
	table_cell(table, TABLE_PLAIN,
	        ctl_string(member, "address4", ctl_string(member, "address6", "")));
	table_cell(table, TABLE_PLAIN, ctl_string(member, "site", ""));
	snprintf(buf, sizeof(buf), "%" PRId64, serial);
	table_cell(table, serial_colour(member), serial < 0 ? "unknown" : buf);
	table_cell(
	        table, TABLE_PLAIN, said < 0 ? "" : ctl_duration(now > said ? now - said : 0, buf));
	table_cell(table, TABLE_PLAIN, ctl_string(member, "state", ""));
	snprintf(buf, sizeof(buf), "%s%s", *guest ? "guest of " : seed ? "seed" : "", guest);
	table_cell(table, TABLE_PLAIN, buf);
	table_cell(
	        table, TABLE_PLAIN, json_is_true(json_object_get(member, "session")) ? "yes" : "");
	table_cell(table, TABLE_PLAIN, ctl_string(member, "release", ""));
	table_cell(table, TABLE_PLAIN, ctl_string(member, "why", ""));
}

static void table_tell(const struct ctl *ctl, const json_t *members, int64_t now)
{
	static const char *const heads[] = {"MEMBER", "ADDRESS", "SITE", ">SERIAL", ">HEARD",
	        "STATE", "ROLE", "SESSION", "RELEASE", "WHY"};
	struct table *table = table_new(heads, sizeof(heads) / sizeof(heads[0]));
	const json_t *member;
	size_t i;

	json_array_foreach(members, i, member) {
		member_add(table, member, now);
	}
	table_print(table, stdout, ctl_colour(ctl, stdout), table_terminal(stdout));
	table_free(table);
}

/* Beneath its name, one thing a line. */
static void long_line(const char *name, const char *text)
{
	char clean[1024];

	if (!*text)
		return;
	snprintf(clean, sizeof(clean), "%s", text);
	ctl_clean(clean);
	printf("  %-9s ", name);
	table_wrap(stdout, clean, 12, table_terminal(stdout));
	putchar('\n');
}

static void long_pair(const char *name, const char *a, const char *b)
{
	char text[512];

	snprintf(text, sizeof(text), "%s%s%s", a, *a && *b ? ", " : "", b);
	long_line(name, text);
}

static void long_links(const json_t *member)
{
	const json_t *links = json_object_get(member, "links"), *link;
	char text[1024] = "";
	size_t i;

	json_array_foreach(links, i, link) {
		size_t at = strlen(text);

		snprintf(text + at, sizeof(text) - at, "%s%s", at ? ", " : "",
		        json_is_string(link) ? json_string_value(link) : "");
	}
	if (json_is_array(links))
		long_line("links", *text ? text : "none");
}

/* The tunnel, the bundle, who it is, and where. */
static void long_tell(const json_t *member, int64_t now)
{
	int64_t serial = ctl_integer(member, "serial", -1), said = ctl_integer(member, "said", -1);
	const char *guest = ctl_string(member, "guest", "");
	char text[256], age[128];

	snprintf(text, sizeof(text), "%s", ctl_string(member, "name", "?"));
	ctl_clean(text);
	printf("%s\n", text);
	long_pair("tunnel", ctl_string(member, "state", ""),
	        json_is_true(json_object_get(member, "session")) ? "session" : "");
	long_line("why", ctl_string(member, "why", ""));
	snprintf(text, sizeof(text), "%" PRId64, serial);
	if (said >= 0 && !json_is_true(json_object_get(member, "self")))
		snprintf(text, sizeof(text), "%" PRId64 ", heard %s ago", serial,
		        ctl_duration(now > said ? now - said : 0, age));
	long_line("serial", serial < 0 ? "unknown" : text);
	long_line("release", ctl_string(member, "release", ""));
	snprintf(text, sizeof(text), "guest of %s", guest);
	long_pair("role", json_is_true(json_object_get(member, "seed")) ? "seed" : "",
	        *guest ? text : "");
	long_line("site", ctl_string(member, "site", ""));
	long_line("key", ctl_string(member, "fingerprint", ""));
	long_pair(
	        "address", ctl_string(member, "address4", ""), ctl_string(member, "address6", ""));
	long_links(member);
}

static void tell(const struct ctl *ctl, const json_t *answer, bool wide)
{
	const json_t *members = json_object_get(answer, "members"), *member;
	int64_t now = ctl_integer(answer, "now", time(NULL));
	size_t i;

	if (ctl_integer(answer, "serial", 0))
		printf("serial %" PRId64 ", applied by %" PRId64 " of %" PRId64 " members\n",
		        ctl_integer(answer, "serial", 0), ctl_integer(answer, "n_applied", 0),
		        ctl_integer(answer, "n_members", 0));
	else
		puts("no signed bundle is in force here");
	if (json_array_size(members))
		putchar('\n');
	if (!wide) {
		table_tell(ctl, members, now);
		return;
	}
	json_array_foreach(members, i, member) {
		long_tell(member, now);
	}
}

static int exit_of(const json_t *answer)
{
	return ctl_integer(answer, "serial", 0) && ctl_integer(answer, "n_applied", 0) ==
	                                                   ctl_integer(answer, "n_members", -1)
	               ? CTL_OK
	               : CTL_NO;
}

static int run_members(struct ctl *ctl, int argc, char **argv)
{
	bool wide = false;
	json_t *answer;
	int rc;

	while (ctl_option(ctl, argc, argv) != -1)
		wide = true;
	ctl_arguments(ctl, argc, argv, 0, 0);
	rc = ctl_ask(ctl, "members", json_pack("{s:b}", "refresh", 1), &answer);
	if (rc)
		return rc;
	rc = exit_of(answer);
	if (ctl->json) {
		ctl_print_json(answer);
		return rc;
	}
	tell(ctl, answer, wide);
	json_decref(answer);
	return rc;
}

static const struct option options[] = {{"long", no_argument, NULL, 'l'}, {0}};

const struct ctl_command ctl_cmd_members = {
        .name = "members",
        .args = "[--long]",
        .options = options,
        .summary = "who has which policy in force, by each node's own signed word",
        .help = "SERIAL is what the member has applied, HEARD how long ago that was heard here.\n\n"
                "  --long  more of each: its key, all addresses, and its links, which are where\n"
                "          it says it is on the underlay\n\n"
                "Exit code 0: all active members have the bundle that is in force here; 1: some "
                "have not.\nROLE: a seed, or a guest of that token "
                "(overlayctl token list).\n",
        .run = run_members,
};

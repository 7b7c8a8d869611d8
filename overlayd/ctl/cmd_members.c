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

static void tell(const struct ctl *ctl, const json_t *answer)
{
	static const char *const heads[] = {
	        "MEMBER", ">SERIAL", ">HEARD", "STATE", "ROLE", "SESSION", "RELEASE", "WHY"};
	const json_t *members = json_object_get(answer, "members"), *member;
	struct table *table = table_new(heads, 8);
	size_t i;

	if (ctl_integer(answer, "serial", 0))
		printf("serial %" PRId64 ", applied by %" PRId64 " of %" PRId64 " members\n",
		        ctl_integer(answer, "serial", 0), ctl_integer(answer, "n_applied", 0),
		        ctl_integer(answer, "n_members", 0));
	else
		puts("no signed bundle is in force here");
	json_array_foreach(members, i, member) {
		member_add(table, member, ctl_integer(answer, "now", time(NULL)));
	}
	if (json_array_size(members))
		putchar('\n');
	table_print(table, stdout, ctl_colour(ctl, stdout), table_terminal(stdout));
	table_free(table);
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
	json_t *answer;
	int rc;

	ctl_arguments(ctl, argc, argv, 0, 0);
	rc = ctl_ask(ctl, "members", json_pack("{s:b}", "refresh", 1), &answer);
	if (rc)
		return rc;
	rc = exit_of(answer);
	if (ctl->json) {
		ctl_print_json(answer);
		return rc;
	}
	tell(ctl, answer);
	json_decref(answer);
	return rc;
}

const struct ctl_command ctl_cmd_members = {
        .name = "members",
        .args = "",
        .summary = "who has which policy in force, by each node's own signed word",
        .help = "SERIAL is what the member has applied, HEARD how long ago that was heard here.\n\n"
                "Exit code 0: all active members have the bundle that is in force here; 1: some "
                "have not.\nROLE: a seed, or a guest of that token "
                "(overlayctl token list).\n",
        .run = run_members,
};

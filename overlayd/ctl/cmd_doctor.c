/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdarg.h>
#include <string.h>

#include "ctl/ctl.h"
#include "ctl/doctor.h"
#include "ctl/table.h"

void doctor_add(json_t *checks, const char *name, const char *level, const char *mend,
        const char *format, ...)
{
	char text[1024];
	json_t *check;
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	ctl_clean(text);
	check = json_pack(
	        "{s:s, s:s, s:s, s:s}", "name", name, "level", level, "text", text, "mend", mend);
	if (!check) /* a path or a name that is not UTF-8 */
		check = json_pack("{s:s, s:s, s:s, s:s}", "name", name, "level", level, "text",
		        "(the text of this check is not UTF-8)", "mend", mend);
	json_array_append_new(checks, check);
}

/* What only the daemon sees; without one that is a finding itself. Did it tell? */
static bool daemon_checks(struct ctl *ctl, json_t *checks)
{
	struct overlay *overlay;
	json_t *answer = NULL;
	bool told;

	if (overlay_connect(&overlay, ctl->socket, 5000) < 0)
		doctor_add(checks, "overlayd", "bad",
		        "systemctl start overlayd; it says why not in: journalctl -u overlayd",
		        "%s", overlay_error(overlay));
	else if (ctl_request(ctl, overlay, "doctor", NULL, &answer))
		doctor_add(checks, "overlayd", "bad", "journalctl -u overlayd",
		        "runs, but does not tell its own checks");
	else
		json_array_extend(checks, json_object_get(answer, "checks"));
	overlay_close(overlay);
	told = answer != NULL;
	json_decref(answer);
	return told;
}

static enum table_colour level_colour(const char *level)
{
	if (!strcmp(level, "ok"))
		return TABLE_GREEN;
	return strcmp(level, "warn") ? TABLE_RED : TABLE_YELLOW;
}

static size_t count(const json_t *checks, const char *level)
{
	const json_t *check;
	size_t i, n = 0;

	json_array_foreach(checks, i, check) {
		n += !strcmp(ctl_string(check, "level", ""), level);
	}
	return n;
}

static void tell(const struct ctl *ctl, const json_t *checks)
{
	static const char *const heads[] = {"", "CHECK", "FOUND"};
	struct table *table = table_new(heads, 3);
	const json_t *check;
	size_t i;

	json_array_foreach(checks, i, check) {
		const char *level = ctl_string(check, "level", "bad"),
		           *mend = ctl_string(check, "mend", "");

		table_cell(table, level_colour(level), level);
		table_cell(table, TABLE_PLAIN, ctl_string(check, "name", ""));
		table_cell(table, TABLE_PLAIN, ctl_string(check, "text", ""));
		if (!*mend)
			continue;
		table_cell(table, TABLE_PLAIN, "");
		table_cell(table, TABLE_DIM, "  to mend");
		table_cell(table, TABLE_DIM, mend);
	}
	table_print(table, stdout, ctl_colour(ctl, stdout), table_terminal(stdout));
	table_free(table);
	printf("\n%zu ok, %zu to look at, %zu bad\n", count(checks, "ok"), count(checks, "warn"),
	        count(checks, "bad"));
}

static int run_doctor(struct ctl *ctl, int argc, char **argv)
{
	json_t *checks = json_array();
	int rc;

	ctl_arguments(ctl, argc, argv, 0, 0);
	if (!daemon_checks(ctl, checks))
		doctor_port(checks, doctor_policy_port(ctl));
	doctor_charon(checks);
	doctor_files(ctl, checks);
	doctor_machine(checks);
	rc = count(checks, "bad") ? CTL_NO : CTL_OK;
	if (ctl->json)
		ctl_print_json(json_pack("{s:b, s:O}", "ok", rc == CTL_OK, "checks", checks));
	else
		tell(ctl, checks);
	json_decref(checks);
	return rc;
}

const struct ctl_command ctl_cmd_doctor = {
        .name = "doctor",
        .args = "",
        .summary = "what is wrong on this node, and how to mend it",
        .help = "Asks the daemon (data plane, charon, foreign connections, firewall) and looks at "
                "files,\n"
                "rights, kernel, ports, MTU and clock itself; also useful while the daemon is "
                "down.\n"
                "Exit code 0: nothing is bad (there may be warnings); 1: something is.\n",
        .run = run_doctor,
};

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/ctl.h"

#define OPTIONS_MAX 24 /* of a subcommand and the global ones together */

enum { OPT_CONFIG = 1000, OPT_SOCKET, OPT_STATE, OPT_JSON, OPT_NO_COLOR, OPT_HELP, OPT_VERSION };

static const struct option global_options[] = {
        {"config", required_argument, NULL, OPT_CONFIG},
        {"socket", required_argument, NULL, OPT_SOCKET},
        {"state", required_argument, NULL, OPT_STATE},
        {"json", no_argument, NULL, OPT_JSON},
        {"no-color", no_argument, NULL, OPT_NO_COLOR},
        {"help", no_argument, NULL, OPT_HELP},
        {"version", no_argument, NULL, OPT_VERSION},
};
#define N_GLOBAL (sizeof(global_options) / sizeof(global_options[0]))

const struct ctl_command *const ctl_commands[] = {
        &ctl_cmd_status,
        &ctl_cmd_explain,
        &ctl_cmd_denied,
        &ctl_cmd_doctor,
        &ctl_cmd_check,
        &ctl_cmd_diff,
        &ctl_cmd_members,
        &ctl_cmd_reload,
        &ctl_cmd_ticket,
        &ctl_cmd_join,
        &ctl_cmd_pending,
        &ctl_cmd_approve,
        &ctl_cmd_reject,
        &ctl_cmd_token,
        &ctl_cmd_revoke,
        &ctl_cmd_init,
        &ctl_cmd_id,
        &ctl_cmd_key,
        &ctl_cmd_rotate,
        &ctl_cmd_sign,
        &ctl_cmd_load,
        &ctl_cmd_bundle,
        &ctl_cmd_firewall,
        &ctl_cmd_version,
        &ctl_cmd_help,
        NULL,
};

const struct ctl_command *ctl_command_find(const char *name)
{
	for (size_t i = 0; ctl_commands[i]; i++)
		if (!strcmp(ctl_commands[i]->name, name))
			return ctl_commands[i];
	return NULL;
}

void ctl_help_all(FILE *out)
{
	fputs("Usage: overlayctl [OPTION...] COMMAND [ARGUMENT...]\n\nCommands:\n", out);
	for (size_t i = 0; ctl_commands[i]; i++)
		fprintf(out, "  %-9s %s\n", ctl_commands[i]->name, ctl_commands[i]->summary);
	fputs("\nOptions, before or after the command:\n"
	      "  --config DIR   the policy's directory (/etc/overlayd)\n"
	      "  --socket PATH  the daemon's admin socket (/run/overlayd/admin.sock)\n"
	      "  --state DIR    where node.key is (/var/lib/overlayd)\n"
	      "  --json         answer in JSON\n"
	      "  --no-color     no colours on a terminal (also: NO_COLOR=1)\n"
	      "  --help         this text; after a command: more about it\n"
	      "\nExit codes: 0 yes or done, 1 no, 2 usage, 3 overlayd unreachable, 4 not allowed,\n"
	      "5 failed. More: man overlayctl\n",
	        out);
}

void ctl_help_one(const struct ctl_command *command, FILE *out)
{
	fprintf(out, "Usage: overlayctl %s%s%s\n\n%s.\n", command->name, *command->args ? " " : "",
	        command->args, command->summary);
	if (*command->help)
		fprintf(out, "\n%s", command->help);
}

int ctl_usage(struct ctl *ctl, const char *format, ...)
{
	const char *name = ctl->command ? ctl->command->name : NULL;
	va_list args;

	fprintf(stderr, "overlayctl%s%s: ", name ? " " : "", name ? name : "");
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fprintf(stderr, "; see: overlayctl %s%s\n", name ? name : "help", name ? " --help" : "");
	if (name)
		fprintf(stderr, "Usage: overlayctl %s %s\n", name, ctl->command->args);
	return CTL_USAGE;
}

/* 0: it was a global one and is dealt with. */
static int global_option(struct ctl *ctl, int option)
{
	switch (option) {
	case OPT_CONFIG:
		ctl->config = optarg;
		return 0;
	case OPT_SOCKET:
		ctl->socket = optarg;
		return 0;
	case OPT_STATE:
		ctl->state = optarg;
		return 0;
	case OPT_JSON:
		ctl->json = true;
		return 0;
	case OPT_NO_COLOR:
		ctl->no_colour = true;
		return 0;
	case OPT_VERSION:
		puts("overlayctl " OVERLAYD_VERSION);
		exit(CTL_OK);
	case OPT_HELP:
		if (ctl->command)
			ctl_help_one(ctl->command, stdout);
		else
			ctl_help_all(stdout);
		exit(CTL_OK);
	case '?': /* getopt has said what */
		fprintf(stderr, "See: overlayctl %s%s--help\n",
		        ctl->command ? ctl->command->name : "", ctl->command ? " " : "");
		exit(CTL_USAGE);
	}
	return option;
}

static int next_option(struct ctl *ctl, int argc, char **argv, const char *order)
{
	struct option all[OPTIONS_MAX + 1] = {0};
	const struct option *own = ctl->command ? ctl->command->options : NULL;
	size_t n = N_GLOBAL;
	int option;

	memcpy(all, global_options, sizeof(global_options));
	while (own && own->name && n < OPTIONS_MAX)
		all[n++] = *own++;
	do {
		option = getopt_long(argc, argv, order, all, NULL);
		if (option == -1)
			return -1;
		option = global_option(ctl, option);
	} while (!option);
	return option;
}

int ctl_option(struct ctl *ctl, int argc, char **argv)
{
	return next_option(ctl, argc, argv, "");
}

void ctl_global_options(struct ctl *ctl, int argc, char **argv)
{
	while (next_option(ctl, argc, argv, "+") != -1)
		;
}

int ctl_arguments(struct ctl *ctl, int argc, char **argv, int min, int max)
{
	int n;

	while (ctl_option(ctl, argc, argv) != -1)
		;
	n = argc - optind;
	if (n < min)
		exit(ctl_usage(ctl, "an argument is missing"));
	if (n > max)
		exit(ctl_usage(ctl, "\"%s\" is one argument too many", argv[optind + max]));
	return n;
}

static int run_help(struct ctl *ctl, int argc, char **argv)
{
	const struct ctl_command *command;

	if (!ctl_arguments(ctl, argc, argv, 0, 1)) {
		ctl_help_all(stdout);
		return CTL_OK;
	}
	command = ctl_command_find(argv[optind]);
	if (!command)
		return ctl_usage(ctl, "there is no command \"%s\"", argv[optind]);
	ctl_help_one(command, stdout);
	return CTL_OK;
}

const struct ctl_command ctl_cmd_help = {
        .name = "help",
        .args = "[COMMAND]",
        .summary = "list the commands, or say more about one",
        .help = "",
        .run = run_help,
};

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ctl: overlayctl, the admin's command.
 *
 * main.c reads the global options and runs one row of the table in commands.c; each subcommand
 * has a file of its own (cmd_NAME.c). The daemon is reached only by ask.c, through liboverlay;
 * what needs no daemon (check, diff, explain, id, init, key, sign) reads the policy's files itself.
 *
 * Results go to stdout, complaints to stderr, and the exit code is the answer for scripts.
 */
#ifndef OVERLAYD_CTL_CTL_H
#define OVERLAYD_CTL_CTL_H

#include <getopt.h>
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "client/overlay.h"
#include "policy/policy.h"

/* As told in overlayctl(8). */
enum ctl_exit {
	CTL_OK = 0,
	CTL_NO = 1,          /* a negative answer: denied, faults found, they differ, degraded */
	CTL_USAGE = 2,       /* the command line is wrong */
	CTL_UNREACHABLE = 3, /* overlayd does not run, does not answer, or is too different */
	CTL_PERMISSION = 4,  /* not allowed: be root or in the group */
	CTL_FAILED = 5,      /* it could not be done, for the reason told */
};

struct ctl {
	const char *config;          /* --config */
	const char *socket;          /* --socket */
	const char *state;           /* --state */
	const char *passphrase_file; /* --passphrase-file, of those that need the cluster key */
	bool json;                   /* --json */
	bool no_colour;              /* --no-color, NO_COLOR */
	bool answer_only;            /* stdout is for the answer, all else goes to stderr */
	const struct ctl_command *command;
};

struct ctl_command {
	const char *name;
	const char *args;    /* behind the name in its usage line */
	const char *summary; /* one line of `overlayctl help` */
	const char *help;    /* the rest of `overlayctl NAME --help`; ends with a newline */
	const struct option *options; /* its own, ended by a zero row, or NULL */
	int (*run)(
	        struct ctl *ctl, int argc, char **argv); /* -> enum ctl_exit; argv[0] is its name */
};

extern const struct ctl_command *const ctl_commands[]; /* ended by NULL */

extern const struct ctl_command ctl_cmd_init, ctl_cmd_id, ctl_cmd_check, ctl_cmd_diff,
        ctl_cmd_explain, ctl_cmd_status, ctl_cmd_firewall, ctl_cmd_denied, ctl_cmd_reload,
        ctl_cmd_approve, ctl_cmd_revoke, ctl_cmd_doctor, ctl_cmd_key, ctl_cmd_sign, ctl_cmd_load,
        ctl_cmd_bundle, ctl_cmd_rotate, ctl_cmd_members, ctl_cmd_ticket, ctl_cmd_join,
        ctl_cmd_pending, ctl_cmd_reject, ctl_cmd_token, ctl_cmd_version, ctl_cmd_help;

/* options.c */
const struct ctl_command *ctl_command_find(const char *name);
/*
 * The next option of a subcommand: its own one's val, or -1 at the end (optind is the first
 * argument). Global options, --help and mistakes are dealt with inside; the last two exit.
 */
int ctl_option(struct ctl *ctl, int argc, char **argv);
/* Options in front of the subcommand; leaves optind at it. */
void ctl_global_options(struct ctl *ctl, int argc, char **argv);
/* Take options and exactly min..max arguments, or exit with usage. Returns how many. */
int ctl_arguments(struct ctl *ctl, int argc, char **argv, int min, int max);
void ctl_help_all(FILE *out);
void ctl_help_one(const struct ctl_command *command, FILE *out);
/* "overlayctl NAME: text", a hint at --help, CTL_USAGE. */
__attribute__((format(printf, 2, 3))) int ctl_usage(struct ctl *ctl, const char *format, ...);

/* say.c */
__attribute__((format(printf, 2, 3))) void ctl_error(struct ctl *ctl, const char *format, ...);
/* A negative errno as an exit code. */
int ctl_exit_of(int error);
/* Where to tell what is done on the way: stdout, or stderr where stdout is for the answer alone. */
FILE *ctl_out(const struct ctl *ctl);
/* Print JSON as text and let go of it; CTL_OK. */
int ctl_print_json(json_t *value);
/* May we use colours on this stream? */
bool ctl_colour(const struct ctl *ctl, FILE *out);
/* Change control characters to '?', in place: texts of others reach the admin's terminal. */
void ctl_clean(char *text);
/* Print a text of others, cleaned of all control characters but newlines and tabs. */
void ctl_print_text(FILE *out, const char *text);
/* "4d3h", "2h05m", "3m12s", "45s"; "-" when negative. buf: 16 bytes. */
const char *ctl_duration(int64_t seconds, char buf[16]);
/* "512 B", "1.4 KiB", "23 GiB". buf: 16 bytes. */
const char *ctl_bytes(int64_t bytes, char buf[16]);

/* ask.c: each returns CTL_OK or has told why not. */
int ctl_connect(struct ctl *ctl, struct overlay **out);
/* One request on a connection; params are let go of, *out is the caller's. */
int ctl_request(
        struct ctl *ctl, struct overlay *overlay, const char *method, json_t *params, json_t **out);
/* Connect, ask, close. */
int ctl_ask(struct ctl *ctl, const char *method, json_t *params, json_t **out);
/* Ask, and show the answer: as JSON, or as `tell` tells it. */
int ctl_show(struct ctl *ctl, const char *method,
        void (*tell)(const struct ctl *ctl, const json_t *answer));
/* The same with a file beside the request. */
int ctl_ask_file(struct ctl *ctl, const char *method, const char *data, size_t len, json_t **out);
/* The answer to a question that need not be answered: NULL, and not a word, where it is not. */
json_t *ctl_ask_quietly(struct ctl *ctl, const char *method);
/* Is there an overlayd behind the socket? True also when it cannot be told. */
bool ctl_daemon_runs(struct ctl *ctl);
/* A string, an integer of an object; what is missing or null gets the default. */
const char *ctl_string(const json_t *object, const char *key, const char *missing);
int64_t ctl_integer(const json_t *object, const char *key, int64_t missing);

/* policy.c */
/* Load a directory's policy; faults are printed to stderr. NULL: *exit_code says why. */
struct policy *ctl_policy(struct ctl *ctl, const char *dir, int *exit_code);
json_t *ctl_report_json(const struct policy_report *report);
/* Rows as reload gives them: [{"change", "subject", "text"}]; NULL: no memory. */
json_t *ctl_changes(const struct policy *old, const struct policy *new_policy);
void ctl_print_changes(const struct ctl *ctl, const json_t *rows, FILE *out);
/* STATE/node.key; buf of PATH_MAX. */
const char *ctl_key_path(const struct ctl *ctl, char *buf, size_t size);
/* This host's name as far as it may be a peer's name: buf of POLICY_NAME_MAX + 1. */
void ctl_host_name(char *name);
/*
 * After files were changed: tell the daemon if it runs. *answer (NULL: it does not run) is its
 * answer to reload, for --json; otherwise one line is printed.
 */
int ctl_apply(struct ctl *ctl, json_t **answer);

#endif

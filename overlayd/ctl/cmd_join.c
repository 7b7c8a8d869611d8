/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "ctl/ctl.h"
#include "ctl/secret.h"
#include "policy/ticket.h"

#define LOOK_MS 300

struct wish {
	const char *file, *name, *site;
	bool cancel, no_wait;
	char *ticket; /* the text; wiped and freed */
};

/* ---- the ticket ---- */

/* From argv, where others can see it in the list of processes: only until here. */
static char *argument_take(char *argument)
{
	char *text = strdup(argument);

	if (policy_ticket_is_secret(argument, strlen(argument)))
		memset(argument, '*', strlen(argument));
	return text;
}

static int ticket_take(struct ctl *ctl, struct wish *wish, struct policy_ticket *ticket)
{
	char err[256];
	int rc = CTL_OK;
	size_t len;

	if (wish->file)
		rc = secret_file_read(
		        ctl, wish->file, 2 * POLICY_TICKET_TEXT_MAX, &wish->ticket, &len);
	if (rc || !wish->ticket)
		return rc ? rc : CTL_FAILED;
	if (!policy_ticket_parse(wish->ticket, strlen(wish->ticket), ticket, err, sizeof(err)))
		return CTL_OK;
	ctl_error(ctl, "%s", err);
	return CTL_FAILED;
}

/* ---- telling ---- */

/* What the admin compares before approving it. */
static int fingerprint_ask(struct ctl *ctl, char buf[POLICY_FINGERPRINT_LEN])
{
	json_t *status;
	int rc = ctl_ask(ctl, "status", NULL, &status);

	if (rc)
		return rc;
	snprintf(buf, POLICY_FINGERPRINT_LEN, "%s",
	        ctl_string(json_object_get(status, "node"), "fingerprint", ""));
	json_decref(status);
	return CTL_OK;
}

static void tell(struct ctl *ctl, const json_t *join, const char *fingerprint)
{
	const char *state = ctl_string(join, "state", ""), *why = ctl_string(join, "why", "");
	char text[1024];

	if (!strcmp(state, "pending"))
		snprintf(text, sizeof(text),
		        "%s has the request; an admin is to compare the key and approve it there:\n"
		        "  overlayctl approve %s %s",
		        ctl_string(join, "seed", "?"), ctl_string(join, "name", "?"), fingerprint);
	else
		snprintf(text, sizeof(text), "%s%s%s", state, *why ? ": " : "", why);
	ctl_print_text(ctl->json ? stderr : stdout, text);
	fputc('\n', ctl->json ? stderr : stdout);
	fflush(stdout);
}

static bool same(const json_t *a, const json_t *b)
{
	static const char *const fields[] = {"state", "why", "seed"};
	bool pending = !strcmp(ctl_string(a, "state", ""), "pending");

	if (!a || !b)
		return false;
	for (size_t i = 0; i < 3; i++)
		if ((i == 0 || !pending) &&
		        strcmp(ctl_string(a, fields[i], ""), ctl_string(b, fields[i], "")) != 0)
			return false;
	return true;
}

/* CTL_OK: a member; CTL_FAILED: refused; -1: not yet. */
static int outcome(const json_t *join)
{
	const char *state = ctl_string(join, "state", "");

	if (!strcmp(state, "joined"))
		return CTL_OK;
	if (!strcmp(state, "refused") || !strcmp(state, "none"))
		return CTL_FAILED;
	return -1;
}

static int wait_for(struct ctl *ctl, json_t *join, const char *fingerprint)
{
	const struct timespec pause = {0, LOOK_MS * 1000000L};
	json_t *told = NULL, *status;
	int rc;

	for (;;) {
		if (!same(join, told))
			tell(ctl, join, fingerprint);
		json_decref(told);
		told = join;
		rc = outcome(join);
		if (rc >= 0)
			break;
		nanosleep(&pause, NULL);
		rc = ctl_ask(ctl, "status", NULL, &status);
		if (rc)
			break;
		join = json_incref(json_object_get(status, "join"));
		json_decref(status);
	}
	if (rc == CTL_FAILED)
		ctl_error(ctl, "the daemon asks again now and then, until it is told not to: "
		               "overlayctl join --cancel");
	if (ctl->json && rc != CTL_UNREACHABLE)
		ctl_print_json(json_incref(told));
	json_decref(told);
	return rc;
}

/* ---- the command ---- */

static int ask(struct ctl *ctl, const struct wish *wish, const struct policy_ticket *ticket)
{
	char fingerprint[POLICY_FINGERPRINT_LEN] = "";
	json_t *join;
	int rc = fingerprint_ask(ctl, fingerprint);

	if (rc)
		return rc;
	rc = ctl_ask(ctl, "join",
	        json_pack("{s:s, s:s, s:s}", "ticket", wish->ticket, "name",
	                wish->name ? wish->name : "", "site", wish->site ? wish->site : ""),
	        &join);

	if (rc)
		return rc;
	if (!ctl->json) {
		printf("joining %s by %zu seed%s; this node's key is %s\n", ticket->cluster,
		        ticket->n_seeds, ticket->n_seeds == 1 ? "" : "s", fingerprint);
		fflush(stdout);
	}
	if (!wish->no_wait)
		return wait_for(ctl, join, fingerprint);
	if (ctl->json)
		return ctl_print_json(join);
	puts("the daemon goes on with it: overlayctl status");
	json_decref(join);
	return CTL_OK;
}

static int cancel(struct ctl *ctl)
{
	json_t *join;
	int rc = ctl_ask(ctl, "join", json_pack("{s:b}", "cancel", 1), &join);

	if (rc)
		return rc;
	if (ctl->json)
		return ctl_print_json(join);
	puts("this node asks no more, and its ticket is forgotten");
	json_decref(join);
	return CTL_OK;
}

static int run_join(struct ctl *ctl, int argc, char **argv)
{
	struct policy_ticket ticket = {.n_seeds = 0};
	struct wish wish = {0};
	int option, n, rc;

	while ((option = ctl_option(ctl, argc, argv)) != -1) {
		switch (option) {
		case 'f':
			wish.file = optarg;
			break;
		case 'n':
			wish.name = optarg;
			break;
		case 's':
			wish.site = optarg;
			break;
		case 'c':
			wish.cancel = true;
			break;
		case 'w':
			wish.no_wait = true;
			break;
		}
	}
	n = argc - optind;
	secret_guard(); /* the ticket may hold one */
	if (wish.cancel)
		return n || wish.file ? ctl_usage(ctl, "--cancel stands alone") : cancel(ctl);
	if (n + (wish.file != NULL) != 1)
		return ctl_usage(ctl, n > 1 ? "a ticket is one word" : "TICKET is needed");
	if (n && !strcmp(argv[optind], "-"))
		wish.file = "-";
	else if (n)
		wish.ticket = argument_take(argv[optind]);
	rc = ticket_take(ctl, &wish, &ticket);
	if (!rc)
		rc = ask(ctl, &wish, &ticket);
	if (wish.ticket)
		OPENSSL_cleanse(wish.ticket, strlen(wish.ticket));
	free(wish.ticket);
	policy_ticket_wipe(&ticket);
	return rc;
}

static const struct option options[] = {
        {"file", required_argument, NULL, 'f'},
        {"name", required_argument, NULL, 'n'},
        {"site", required_argument, NULL, 's'},
        {"no-wait", no_argument, NULL, 'w'},
        {"cancel", no_argument, NULL, 'c'},
        {0},
};

const struct ctl_command ctl_cmd_join = {
        .name = "join",
        .args = "TICKET|--file FILE|--cancel [OPTION...]",
        .summary = "ask a cluster to let this machine in",
        .help = "TICKET is what `overlayctl ticket` printed there; \"-\" reads it from stdin.\n\n"
                "  --file FILE   the ticket is in a file\n"
                "  --name NAME   the name it wants (this host's)\n"
                "  --site SITE   the site where it stands, as the policy names it\n"
                "  --no-wait     do not wait for the admin\n"
                "  --cancel      ask no more, and forget the ticket\n\n"
                "Prints this node's key, which the admin compares: overlayctl pending, overlayctl "
                "approve.\n"
                "The daemon asks the seeds in turn until this node is a member, also after a "
                "restart; ^C only\n"
                "ends the waiting here. Exit code 0: it is a member; 5: it was refused.\n",
        .options = options,
        .run = run_join,
};

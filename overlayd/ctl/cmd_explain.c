/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <string.h>
#include <time.h>

#include "ctl/ctl.h"
#include "ctl/guests.h"

/* The sentence begins with the verdict, one word; only that is coloured. */
static void tell_text(const struct ctl *ctl, const char *text, bool allow)
{
	size_t verdict = strcspn(text, " :");

	if (ctl_colour(ctl, stdout))
		printf("%s%.*s\033[0m", allow ? "\033[32m" : "\033[31m", (int)verdict, text);
	else
		verdict = 0;
	ctl_print_text(stdout, text + verdict);
	putchar('\n');
}

static int tell(struct ctl *ctl, json_t *answer)
{
	bool allow = json_is_true(json_object_get(answer, "allow"));

	if (ctl->json) {
		ctl_print_json(answer);
		return allow ? CTL_OK : CTL_NO;
	}
	tell_text(ctl, ctl_string(answer, "text", allow ? "allowed" : "denied"), allow);
	json_decref(answer);
	return allow ? CTL_OK : CTL_NO;
}

/* By the policy that the daemon has in force. */
static int explain_in_force(struct ctl *ctl, const char *from, const char *to, const char *port)
{
	json_t *answer;
	int rc = ctl_ask(ctl, "explain",
	        json_pack("{s:s, s:s, s:s}", "from", from, "to", to, "port", port), &answer);

	return rc ? rc : tell(ctl, answer);
}

/*
 * A guest is in no file: only the daemon can tell. Who it is, and what it may by its token, is told;
 * *word becomes its name.
 */
static bool is_guest(
        struct ctl *ctl, const struct policy *policy, const json_t *tokens, const char **word)
{
	const json_t *token = NULL, *guest;
	char roles[512];

	if (policy_peer_by_name(policy, *word))
		return false;
	guest = guests_by_name(tokens, *word, &token);
	if (!guest)
		guest = guests_by_address(tokens, *word, &token);
	if (!guest)
		return false;
	guests_list(json_object_get(token, "roles"), roles, sizeof(roles));
	*word = ctl_string(guest, "name", "?");
	ctl_error(ctl,
	        "%s is a guest of token %s, with what its roles may (%s); the daemon answers, by "
	        "the policy in force",
	        *word, ctl_string(token, "name", "?"), roles);
	return true;
}

static const struct policy_peer *peer_of(
        struct ctl *ctl, const struct policy *policy, const char *word)
{
	const struct policy_peer *peer = policy_peer_by_name(policy, word);
	struct policy_addr addr;

	if (!peer && !policy_addr_parse(word, &addr))
		peer = policy_peer_by_addr(policy, &addr);
	if (!peer)
		ctl_error(ctl, "the policy knows no peer \"%s\"", word);
	return peer;
}

/* By the files, as they are now. */
static int explain_files(
        struct ctl *ctl, const char *from, const char *to, const struct policy_ports *ports)
{
	const struct policy_peer *a, *b;
	struct policy_verdict verdict;
	struct policy *policy;
	int rc = CTL_FAILED;

	policy = ctl_policy(ctl, ctl->config, &rc);
	if (!policy)
		return rc;
	a = peer_of(ctl, policy, from);
	b = a ? peer_of(ctl, policy, to) : NULL;
	if (b && policy_explain(policy, a, b, ports->proto, ports->first, time(NULL), &verdict) < 0)
		ctl_error(ctl, "out of memory");
	else if (b)
		rc = tell(ctl, json_pack("{s:b, s:s, s:s?, s:o}", "allow", verdict.allow, "text",
		                       verdict.text, "file",
		                       verdict.rule ? verdict.rule->where.file : NULL, "line",
		                       verdict.rule ? json_integer(verdict.rule->where.line)
		                                    : json_null()));
	policy_unref(policy);
	return rc;
}

/* By the files, where they name both; a guest is the daemon's. */
static int explain(struct ctl *ctl, const char *from, const char *to, const char *port,
        const struct policy_ports *ports)
{
	struct policy_report report;
	struct policy *policy = NULL;
	json_t *tokens = NULL;
	bool guest = false;
	int rc;

	policy_report_init(&report);
	if (policy_load(ctl->config, &policy, &report) >= 0 && policy->n_tokens &&
	        !(policy_peer_by_name(policy, from) && policy_peer_by_name(policy, to)))
		tokens = guests_ask(ctl);
	if (tokens) {
		guest = is_guest(ctl, policy, tokens, &from);
		guest |= is_guest(ctl, policy, tokens, &to);
	}
	rc = guest ? explain_in_force(ctl, from, to, port) : explain_files(ctl, from, to, ports);
	json_decref(tokens);
	policy_unref(policy);
	policy_report_clear(&report);
	return rc;
}

static int run_explain(struct ctl *ctl, int argc, char **argv)
{
	struct policy_ports ports;
	bool in_force = false;
	char why[256];
	int option;

	while ((option = ctl_option(ctl, argc, argv)) != -1)
		in_force = option == 'f';
	if (argc - optind != 3)
		return ctl_usage(ctl, "FROM, TO and PORT are needed");
	if (policy_ports_parse(argv[optind + 2], &ports, why, sizeof(why)) < 0)
		return ctl_usage(ctl, "%s", why);
	if (ports.first != ports.last)
		return ctl_usage(ctl, "%s: one port at a time", argv[optind + 2]);
	if (in_force)
		return explain_in_force(ctl, argv[optind], argv[optind + 1], argv[optind + 2]);
	return explain(ctl, argv[optind], argv[optind + 1], argv[optind + 2], &ports);
}

static const struct option options[] = {{"in-force", no_argument, NULL, 'f'}, {0}};

const struct ctl_command ctl_cmd_explain = {
        .name = "explain",
        .args = "[--in-force] FROM TO PORT",
        .summary = "may FROM open PORT of TO, and which line says so",
        .help = "FROM and TO are peers' names or overlay addresses; PORT is tcp/17001, udp/53 or "
                "icmp.\n"
                "The policy's files answer, as they are now and for this moment (until, hours); "
                "of a token's\n"
                "guest, which they do not name, the daemon does.\n\n"
                "  --in-force     let the daemon answer, by the policy it has in force\n\n"
                "Exit code 0: allow; 1: deny.\n",
        .options = options,
        .run = run_explain,
};

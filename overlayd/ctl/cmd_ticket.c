/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "client/paths.h"
#include "ctl/secret.h"
#include "ctl/ticket.h"
#include "policy/bundle.h"

int ticket_key(struct ctl *ctl, struct minisign_public *out)
{
	char path[PATH_MAX], err[MINISIGN_ERROR_MAX], *text;
	size_t len;
	int rc;

	snprintf(path, sizeof(path), "%s/" OVERLAY_CLUSTER_PUB, ctl->config);
	rc = secret_file_read(ctl, path, MINISIGN_TEXT_MAX, &text, &len);
	if (rc) {
		ctl_error(ctl, "only a cluster with a key can be joined: make one with "
		               "`overlayctl key`, and sign the policy");
		return rc;
	}
	if (minisign_public_parse(text, len, out, err, sizeof(err))) {
		ctl_error(ctl, "%s: %s", path, err);
		rc = CTL_FAILED;
	}
	free(text);
	return rc;
}

/* What is in force, not what the files say: the seeds answer by that. */
static int policy_ask(struct ctl *ctl, const struct minisign_public *key, struct policy **out)
{
	struct policy_report report;
	json_t *answer, *file;
	int ret, rc = ctl_ask(ctl, "bundle", NULL, &answer);

	if (rc)
		return rc;
	file = json_object_get(answer, "file");
	policy_report_init(&report);
	ret = bundle_open(json_string_length(file) ? json_string_value(file) : "",
	        json_string_length(file), key, NULL, out, &report);
	if (ret == -ENOKEY)
		ctl_error(ctl,
		        "the bundle in force was not signed by the key in %s/" OVERLAY_CLUSTER_PUB
		        ": bring the cluster's present public key there",
		        ctl->config);
	else if (ret)
		ctl_error(ctl, "the bundle in force cannot be used: %s",
		        report.n_faults ? report.faults[0].message : strerror(-ret));
	policy_report_clear(&report);
	json_decref(answer);
	return ret ? CTL_FAILED : CTL_OK;
}

static void seed_add(struct policy_ticket *ticket, const struct policy_peer *peer)
{
	struct policy_ticket_seed *seed = &ticket->seeds[ticket->n_seeds];
	const struct policy_endpoint *endpoint = &peer->endpoints[0];

	if (ticket->n_seeds == POLICY_TICKET_SEEDS_MAX || !peer->n_endpoints ||
	        strlen(endpoint->host) >= sizeof(seed->host))
		return;
	snprintf(seed->name, sizeof(seed->name), "%s", peer->name);
	snprintf(seed->host, sizeof(seed->host), "%s", endpoint->host);
	seed->key = peer->key;
	seed->port = endpoint->port;
	ticket->n_seeds++;
}

int ticket_fill(struct ctl *ctl, const struct policy *policy, const char *where,
        struct policy_ticket *ticket)
{
	size_t seeds = 0;

	snprintf(ticket->cluster, sizeof(ticket->cluster), "%s", policy->cluster);
	ticket->port = policy->port;
	for (size_t i = 0; i < policy->n_peers; i++)
		if (policy_is_seed(policy, &policy->peers[i])) {
			seeds++;
			seed_add(ticket, &policy->peers[i]);
		}
	if (!policy->join)
		ctl_error(ctl,
		        "joining is off in %s: write `join: true` into policy.yaml, then "
		        "`overlayctl sign --load`",
		        where);
	else if (!seeds)
		ctl_error(ctl,
		        "no peer has the role seed, so nobody takes requests: give it to one "
		        "with an endpoint that newcomers can reach, then `overlayctl sign --load`");
	else if (!ticket->n_seeds)
		ctl_error(ctl, "no seed has an endpoint, so newcomers cannot reach any: give one "
		               "`endpoints: [ADDRESS]`, then `overlayctl sign --load`");
	return policy->join && ticket->n_seeds ? CTL_OK : CTL_FAILED;
}

int ticket_text(
        struct ctl *ctl, const struct policy_ticket *ticket, char text[POLICY_TICKET_TEXT_MAX])
{
	if (!policy_ticket_print(ticket, text))
		return CTL_OK;
	ctl_error(ctl, "this policy's seeds do not fit into a ticket");
	return CTL_FAILED;
}

json_t *ticket_json(const struct policy_ticket *ticket, const char *text)
{
	json_t *seeds = json_array();

	for (size_t i = 0; i < ticket->n_seeds; i++)
		json_array_append_new(
		        seeds, json_pack("{s:s, s:s, s:i}", "name", ticket->seeds[i].name, "host",
		                       ticket->seeds[i].host, "port", ticket->seeds[i].port));
	return json_pack(
	        "{s:s, s:s, s:o}", "ticket", text, "cluster", ticket->cluster, "seeds", seeds);
}

/* Without a token: of what is in force. */
static int plain_run(struct ctl *ctl)
{
	struct policy_ticket ticket = {.n_seeds = 0};
	char text[POLICY_TICKET_TEXT_MAX];
	struct policy *policy = NULL;
	int rc = ticket_key(ctl, &ticket.cluster_key);

	if (!rc)
		rc = policy_ask(ctl, &ticket.cluster_key, &policy);
	if (!rc)
		rc = ticket_fill(ctl, policy, "the policy in force", &ticket);
	if (!rc)
		rc = ticket_text(ctl, &ticket, text);
	policy_unref(policy);
	if (rc)
		return rc;
	if (ctl->json)
		return ctl_print_json(ticket_json(&ticket, text));
	puts(text);
	return CTL_OK;
}

/* Of --token; the text of a mistake, or NULL. */
static const char *option_take(int option, struct grant *grant)
{
	char *end;
	long count;

	switch (option) {
	case 'c':
		count = strtol(optarg, &end, 10);
		if (*optarg < '0' || *optarg > '9' || *end || count < 1 ||
		        count > (long)POLICY_TOKEN_COUNT_MAX)
			return "--count takes a number from 1 to 4096";
		grant->count = (uint32_t)count;
		return NULL;
	case 't':
		grant->ttl = grant_ttl_parse(optarg);
		return grant->ttl < 0 ? "--ttl takes a time up to 366d, as 20s, 90m, 2h, 7d" : NULL;
	case 'u':
		grant->until = optarg;
		return NULL;
	case 'r':
		return grant_roles_add(grant, optarg) ? NULL : "more roles than a token can have";
	case 's':
		grant->site = optarg;
		return NULL;
	case 'n':
		grant->range = optarg;
		return NULL;
	}
	return "?";
}

static int run_ticket(struct ctl *ctl, int argc, char **argv)
{
	struct grant grant = {.count = 1};
	bool token = false, granted = false;
	const char *wrong;
	struct edit edit;
	int option, n;

	edit_init(ctl, &edit);
	while ((option = ctl_option(ctl, argc, argv)) != -1) {
		if (option == 'T') {
			token = true;
			grant.name = optarg ? optarg : grant.name;
			continue;
		}
		granted = true;
		n = edit_option(&edit, option);
		if (n == -2)
			return CTL_USAGE;
		wrong = n ? option_take(option, &grant) : NULL;
		if (wrong)
			return ctl_usage(ctl, "%s", wrong);
	}
	n = argc - optind;
	if (!token && (granted || n))
		return ctl_usage(ctl, "%s goes with --token: a ticket without one lets nobody in",
		        n ? "a NAME" : "such an option");
	if (!token)
		return plain_run(ctl);
	if (n + (grant.name != NULL) > 1)
		return ctl_usage(ctl, "a token has one NAME");
	if (grant.ttl && grant.until)
		return ctl_usage(ctl, "--ttl and --until say the same twice: give one");
	grant.ttl = grant.ttl ? grant.ttl : GRANT_TTL_S;
	grant.name = n ? argv[optind] : grant.name;
	return grant_run(&edit, &grant, argc, argv);
}

static const struct option options[] = {
        {"token", optional_argument, NULL, 'T'},
        {"count", required_argument, NULL, 'c'},
        {"ttl", required_argument, NULL, 't'},
        {"until", required_argument, NULL, 'u'},
        {"role", required_argument, NULL, 'r'},
        {"site", required_argument, NULL, 's'},
        {"range", required_argument, NULL, 'n'},
        EDIT_OPTIONS,
        {0},
};

const struct ctl_command ctl_cmd_ticket = {
        .name = "ticket",
        .args = "[--token [NAME] --role ROLE[,ROLE] [OPTION...]]",
        .summary = "the line with which a new machine asks to join",
        .help = "Give it to `overlayctl join` there. It names the cluster, its public key and up "
                "to eight seeds\n"
                "with endpoints; nothing in it is secret, and it lets nobody in: an admin "
                "approves each\n"
                "newcomer (overlayctl pending). It is good for as long as one of those seeds "
                "keeps its key.\n\n"
                "  --token [NAME]   with a secret that lets nodes in by itself, as guests: they "
                "are out when\n"
                "                   the token's time is over, or it is revoked (overlayctl "
                "token)\n"
                "  --role ROLE,...  what they may do; may be given several times\n"
                "  --count N        how many may come in by it (1)\n"
                "  --ttl TIME       for how long, they too: 20s, 90m, 2h, 7d (2h)\n"
                "  --until DATE     until then instead: 2026-12-31, 2026-12-31T18:00\n"
                "  --site SITE      their site (the only one, if there is only one)\n"
                "  --range NET      where their overlay addresses are from (the "
                "overlay)\n\n" EDIT_HELP
                "With --token it writes tokens.d/NAME.yaml, raises the serial, signs the policy "
                "and loads it.\n"
                "The ticket is all that stdout gets, and the secret is nowhere else: it cannot be "
                "shown again.\n",
        .options = options,
        .run = run_ticket,
};

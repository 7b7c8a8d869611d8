/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "client/paths.h"
#include "ctl/ctl.h"
#include "ctl/secret.h"
#include "policy/bundle.h"
#include "policy/ticket.h"

/* The key that newcomers are to trust: that of this directory. */
static int cluster_key_read(struct ctl *ctl, struct minisign_public *out)
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

/* Whom a newcomer may ask; told if there is nobody. */
static int ticket_fill(struct ctl *ctl, const struct policy *policy, struct policy_ticket *ticket)
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
		ctl_error(ctl, "joining is off in the policy in force: write `join: true` into "
		               "policy.yaml, then `overlayctl sign --load`");
	else if (!seeds)
		ctl_error(ctl,
		        "no peer has the role seed, so nobody takes requests: give it to one "
		        "with an endpoint that newcomers can reach, then `overlayctl sign --load`");
	else if (!ticket->n_seeds)
		ctl_error(ctl, "no seed has an endpoint, so newcomers cannot reach any: give one "
		               "`endpoints: [ADDRESS]`, then `overlayctl sign --load`");
	return policy->join && ticket->n_seeds ? CTL_OK : CTL_FAILED;
}

static json_t *ticket_json(const struct policy_ticket *ticket, const char *text)
{
	json_t *seeds = json_array();

	for (size_t i = 0; i < ticket->n_seeds; i++)
		json_array_append_new(
		        seeds, json_pack("{s:s, s:s, s:i}", "name", ticket->seeds[i].name, "host",
		                       ticket->seeds[i].host, "port", ticket->seeds[i].port));
	return json_pack(
	        "{s:s, s:s, s:o}", "ticket", text, "cluster", ticket->cluster, "seeds", seeds);
}

static int run_ticket(struct ctl *ctl, int argc, char **argv)
{
	struct policy_ticket ticket = {.n_seeds = 0};
	char text[POLICY_TICKET_TEXT_MAX];
	struct policy *policy = NULL;
	int rc;

	ctl_arguments(ctl, argc, argv, 0, 0);
	rc = cluster_key_read(ctl, &ticket.cluster_key);
	if (!rc)
		rc = policy_ask(ctl, &ticket.cluster_key, &policy);
	if (!rc)
		rc = ticket_fill(ctl, policy, &ticket);
	if (!rc && policy_ticket_print(&ticket, text)) {
		ctl_error(ctl, "this policy's seeds do not fit into a ticket");
		rc = CTL_FAILED;
	}
	policy_unref(policy);
	if (rc)
		return rc;
	if (ctl->json)
		return ctl_print_json(ticket_json(&ticket, text));
	puts(text);
	return CTL_OK;
}

const struct ctl_command ctl_cmd_ticket = {
        .name = "ticket",
        .args = "",
        .summary = "the line with which a new machine asks to join",
        .help = "Give it to `overlayctl join` there. It names the cluster, its public key and up "
                "to eight seeds\n"
                "with endpoints; nothing in it is secret, and it lets nobody in: an admin "
                "approves each\n"
                "newcomer (overlayctl pending). It is good for as long as one of those seeds "
                "keeps its key.\n",
        .run = run_ticket,
};

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The canonical text: what was said, in one way only. Parsing it gives the same policy again. */
#include <inttypes.h>
#include <netinet/in.h>
#include <stdlib.h>

#include "policy/guests.h"
#include "policy/internal.h"

/* Inside double quotes; control characters were refused when parsing. */
static void escaped(FILE *out, const char *text)
{
	for (; *text; text++) {
		if (*text == '"' || *text == '\\')
			fputc_unlocked('\\', out);
		fputc_unlocked(*text, out);
	}
}

static void sites_print(FILE *out, const struct policy *policy)
{
	fputs("sites:\n", out);
	for (size_t i = 0; i < policy->n_sites; i++)
		fprintf(out, "  %s: { timezone: %s, behind_nat: %s }\n", policy->sites[i].name,
		        policy->sites[i].timezone, policy->sites[i].behind_nat ? "true" : "false");
}

static void services_print(FILE *out, const struct policy *policy)
{
	const char *head = "services:\n";

	for (size_t i = 0; i < policy->n_services; i++) {
		const struct policy_service *service = &policy->services[i];
		char ports[32];

		if (service->builtin)
			continue;
		fprintf(out, "%s  %s: { ports: [", head, service->name);
		head = "";
		for (size_t j = 0; j < service->n_ports; j++) {
			pol_ports_print(&service->ports[j], ports, sizeof(ports));
			fprintf(out, "%s%s", j ? ", " : "", ports);
		}
		fputs("] }\n", out);
	}
}

static void role_print(FILE *out, const struct policy *policy, uint16_t role)
{
	if (role == POLICY_ANY)
		fputs("\"*\"", out);
	else
		fputs(policy->roles[role], out);
}

static void rules_print(FILE *out, const struct policy *policy)
{
	char prefix[INET6_ADDRSTRLEN + 4];

	if (policy->n_allows)
		fputs("allow:\n", out);
	for (size_t i = 0; i < policy->n_allows; i++) {
		const struct policy_allow *allow = &policy->allows[i];

		fputs("  - { from: ", out);
		role_print(out, policy, allow->from);
		fputs(", to: ", out);
		role_print(out, policy, allow->to);
		fprintf(out, ", service: %s }\n", policy->services[allow->service].name);
	}
	if (policy->n_manage)
		fputs("manage:\n", out);
	for (size_t i = 0; i < policy->n_manage; i++) {
		pol_prefix_print(&policy->manage[i].from, prefix, sizeof(prefix));
		fprintf(out, "  - { from: \"%s\", service: %s }\n", prefix,
		        policy->services[policy->manage[i].service].name);
	}
}

static void failovers_print(FILE *out, const struct policy *policy)
{
	char address[INET6_ADDRSTRLEN];

	if (policy->n_failovers)
		fputs("failover:\n", out);
	for (size_t i = 0; i < policy->n_failovers; i++) {
		const struct policy_failover *f = &policy->failovers[i];

		policy_addr_print(&f->address, address, sizeof(address));
		fprintf(out, "  %s: { address: %s, holders: [", f->name, address);
		for (size_t j = 0; j < f->n_holders; j++)
			fprintf(out, "%s%s", j ? ", " : "", policy->peers[f->holders[j]].name);
		fputs("] }\n", out);
	}
}

static void peer_print(FILE *out, const struct policy *policy, const struct policy_peer *peer)
{
	char text[300];

	policy_key_print(&peer->key, text, sizeof(text));
	fprintf(out, "  %s: { key: \"%s", peer->name, text);
	if (*peer->comment)
		fputc_unlocked(' ', out);
	escaped(out, peer->comment);
	fputc_unlocked('"', out);
	if (peer->has_old_key) {
		policy_key_print(&peer->old_key, text, sizeof(text));
		fprintf(out, ", old_key: \"%s\"", text);
		pol_until_print(peer->old_until, text, sizeof(text));
		fprintf(out, ", old_until: \"%s\"", text);
	}
	if (peer->addr4.family) {
		policy_addr_print(&peer->addr4, text, sizeof(text));
		fprintf(out, ", address: %s", text);
	}
	if (peer->addr6_given) {
		policy_addr_print(&peer->addr6, text, sizeof(text));
		fprintf(out, ", address6: \"%s\"", text);
	}
	fprintf(out, ", site: %s", policy->sites[peer->site].name);
	for (size_t i = 0; i < peer->n_roles; i++)
		fprintf(out, "%s%s", i ? ", " : ", roles: [", policy->roles[peer->roles[i]]);
	fputs(peer->n_roles ? "]" : "", out);
	for (size_t i = 0; i < peer->n_endpoints; i++) {
		pol_endpoint_print(&peer->endpoints[i], text, sizeof(text));
		fprintf(out, "%s\"%s\"", i ? ", " : ", endpoints: [", text);
	}
	fputs(peer->n_endpoints ? "]" : "", out);
	if (peer->has_until) {
		pol_until_print(peer->until, text, sizeof(text));
		fprintf(out, ", until: \"%s\"", text);
	}
	if (peer->hours)
		fprintf(out, ", hours: \"%s\"", peer->hours_text);
	fputs(" }\n", out);
}

static void token_print(FILE *out, const struct policy *policy, const struct policy_token *token)
{
	char text[96];

	policy_key_print(&token->key, text, sizeof(text));
	fprintf(out, "  %s: { key: \"%s\", roles: [", token->name, text);
	for (size_t i = 0; i < token->n_roles; i++)
		fprintf(out, "%s%s", i ? ", " : "", policy->roles[token->roles[i]]);
	pol_prefix_print(&token->range, text, sizeof(text));
	fprintf(out, "], site: %s, range: %s, count: %u", policy->sites[token->site].name, text,
	        token->count);
	pol_until_print(token->until, text, sizeof(text));
	fprintf(out, ", until: \"%s\"", text);
	for (size_t i = 0; i < token->n_except; i++) {
		pol_fingerprint_print(token->except[i], text);
		fprintf(out, "%s\"%s\"", i ? ", " : ", except: [", text);
	}
	fputs(token->n_except ? "] }\n" : " }\n", out);
}

static void tests_print(FILE *out, const struct policy *policy)
{
	if (policy->n_tests)
		fputs("tests:\n", out);
	for (size_t i = 0; i < policy->n_tests; i++) {
		const struct policy_test *test = &policy->tests[i];
		const struct policy_ports ports = {
		        test->proto, test->port, test->port, {NULL, 0, 0}};
		char text[32];

		pol_ports_print(&ports, text, sizeof(text));
		fprintf(out, "  - { from: %s, to: %s, port: %s, expect: %s }\n",
		        policy->peers[test->from].name, policy->peers[test->to].name, text,
		        test->expect_allow ? "allow" : "deny");
	}
}

static void policy_write(FILE *out, const struct policy *policy)
{
	const struct pol_full *full = (const struct pol_full *)policy;
	char prefix[INET6_ADDRSTRLEN + 4];
	const char *head = "roles: [";

	fprintf(out, "cluster: %s\nserial: %" PRIu64 "\n", policy->cluster, policy->serial);
	if (policy->overlay4.addr.family) {
		pol_prefix_print(&policy->overlay4, prefix, sizeof(prefix));
		fprintf(out, "overlay: %s\n", prefix);
	}
	/* join: only where it is on, so that older policies keep their digests. */
	fprintf(out, "enforce: %s\nfirewall: %s\n%smesh: %s\nport: %u\n",
	        pol_enforce_words[policy->enforce], pol_firewall_words[policy->firewall],
	        policy->join ? "join: true\n" : "", pol_mesh_words[policy->mesh], policy->port);
	sites_print(out, policy);
	services_print(out, policy);
	for (size_t i = 0; i < policy->n_roles; i++) {
		if (!full->role_declared[i])
			continue;
		fprintf(out, "%s%s", head, policy->roles[i]);
		head = ", ";
	}
	fputs(*head == ',' ? "]\n" : "", out);
	rules_print(out, policy);
	failovers_print(out, policy);
	if (policy->n_peers)
		fputs("peers:\n", out);
	for (size_t i = 0; i < policy->n_peers; i++)
		peer_print(out, policy, &policy->peers[i]);
	if (policy->n_tokens)
		fputs("tokens:\n", out);
	for (size_t i = 0; i < policy->n_tokens; i++)
		token_print(out, policy, &policy->tokens[i]);
	tests_print(out, policy);
}

char *policy_print(const struct policy *policy)
{
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);
	int failed;

	if (!out)
		return NULL;
	policy_write(out, policy_written(policy));
	failed = ferror(out);
	if (fclose(out) || failed) {
		free(text);
		return NULL;
	}
	return text;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * From a policy to the text. Sections come in the order of their words and items in the order of
 * their names (which the policy's tables have), so that the lines are sorted as they are written:
 * the quote behind a name is below all that a name may hold.
 */
#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "policy/bundle_internal.h"
#include "policy/guests.h"

static void string_write(FILE *out, const char *text)
{
	fputc_unlocked('"', out);
	for (; *text; text++) {
		if (*text == '"' || *text == '\\')
			fputc_unlocked('\\', out);
		fputc_unlocked(*text, out);
	}
	fputc_unlocked('"', out);
}

/* ,"key":"text" */
static void field_write(FILE *out, const char *key, const char *text)
{
	fprintf(out, ",\"%s\":", key);
	string_write(out, text);
}

static const char *role_text(const struct policy *policy, uint16_t role)
{
	return role == POLICY_ANY ? "*" : policy->roles[role];
}

static void allows_write(FILE *out, const struct policy *policy)
{
	for (size_t i = 0; i < policy->n_allows; i++) {
		const struct policy_allow *allow = &policy->allows[i];

		fprintf(out, "{\"allow\":\"%05zu\"", i);
		field_write(out, "from", role_text(policy, allow->from));
		field_write(out, "to", role_text(policy, allow->to));
		field_write(out, "service", policy->services[allow->service].name);
		fputs("}\n", out);
	}
}

static void services_write(FILE *out, const struct policy *policy, bool builtin)
{
	for (size_t i = 0; i < policy->n_services; i++) {
		const struct policy_service *service = &policy->services[i];
		char ports[32];

		if (service->builtin != builtin)
			continue;
		fprintf(out, "{\"%s\":\"%s\",\"ports\":[", builtin ? "builtin" : "service",
		        service->name);
		for (size_t j = 0; j < service->n_ports; j++) {
			pol_ports_print(&service->ports[j], ports, sizeof(ports));
			fprintf(out, "%s\"%s\"", j ? "," : "", ports);
		}
		fputs("]}\n", out);
	}
}

static void failovers_write(FILE *out, const struct policy *policy)
{
	char address[INET6_ADDRSTRLEN];

	for (size_t i = 0; i < policy->n_failovers; i++) {
		const struct policy_failover *f = &policy->failovers[i];

		policy_addr_print(&f->address, address, sizeof(address));
		fprintf(out, "{\"failover\":\"%s\",\"address\":\"%s\",\"holders\":[", f->name,
		        address);
		for (size_t j = 0; j < f->n_holders; j++)
			fprintf(out, "%s\"%s\"", j ? "," : "", policy->peers[f->holders[j]].name);
		fputs("]}\n", out);
	}
}

static void manage_write(FILE *out, const struct policy *policy)
{
	char prefix[INET6_ADDRSTRLEN + 4];

	for (size_t i = 0; i < policy->n_manage; i++) {
		pol_prefix_print(&policy->manage[i].from, prefix, sizeof(prefix));
		fprintf(out, "{\"manage\":\"%05zu\",\"from\":\"%s\",\"service\":\"%s\"}\n", i,
		        prefix, policy->services[policy->manage[i].service].name);
	}
}

static void peer_write(FILE *out, const struct policy *policy, const struct policy_peer *peer)
{
	char text[96 + POL_COMMENT_MAX + 1];
	size_t len;

	fprintf(out, "{\"peer\":\"%s\"", peer->name);
	policy_key_print(&peer->key, text, sizeof(text));
	len = strlen(text);
	if (*peer->comment)
		snprintf(text + len, sizeof(text) - len, " %s", peer->comment);
	field_write(out, "key", text);
	if (peer->has_old_key) {
		policy_key_print(&peer->old_key, text, sizeof(text));
		field_write(out, "old_key", text);
		pol_until_print(peer->old_until, text, sizeof(text));
		field_write(out, "old_until", text);
	}
	if (peer->addr4.family) {
		policy_addr_print(&peer->addr4, text, sizeof(text));
		field_write(out, "address", text);
	}
	if (peer->addr6_given) {
		policy_addr_print(&peer->addr6, text, sizeof(text));
		field_write(out, "address6", text);
	}
	field_write(out, "site", policy->sites[peer->site].name);
	for (size_t i = 0; i < peer->n_roles; i++)
		fprintf(out, "%s\"%s\"", i ? "," : ",\"roles\":[", policy->roles[peer->roles[i]]);
	fputs(peer->n_roles ? "]" : "", out);
	for (size_t i = 0; i < peer->n_endpoints; i++) {
		pol_endpoint_print(&peer->endpoints[i], text, sizeof(text));
		fprintf(out, "%s\"%s\"", i ? "," : ",\"endpoints\":[", text);
	}
	fputs(peer->n_endpoints ? "]" : "", out);
	if (peer->has_until) {
		pol_until_print(peer->until, text, sizeof(text));
		field_write(out, "until", text);
	}
	if (peer->hours)
		field_write(out, "hours", peer->hours_text);
	fputs("}\n", out);
}

static void roles_write(FILE *out, const struct policy *policy)
{
	const struct pol_full *full = (const struct pol_full *)policy;

	for (size_t i = 0; i < policy->n_roles; i++)
		if (full->role_declared[i])
			fprintf(out, "{\"role\":\"%s\"}\n", policy->roles[i]);
}

static void settings_write(FILE *out, const struct policy *policy)
{
	char prefix[INET6_ADDRSTRLEN + 4];

	fprintf(out,
	        "{\"setting\":\"enforce\",\"value\":\"%s\"}\n"
	        "{\"setting\":\"firewall\",\"value\":\"%s\"}\n"
	        "%s"
	        "{\"setting\":\"mesh\",\"value\":\"%s\"}\n",
	        pol_enforce_words[policy->enforce], pol_firewall_words[policy->firewall],
	        policy->join ? "{\"setting\":\"join\",\"value\":true}\n" : "",
	        pol_mesh_words[policy->mesh]);
	if (policy->overlay4.addr.family) {
		pol_prefix_print(&policy->overlay4, prefix, sizeof(prefix));
		fprintf(out, "{\"setting\":\"overlay\",\"value\":\"%s\"}\n", prefix);
	}
	fprintf(out, "{\"setting\":\"port\",\"value\":%u}\n", policy->port);
}

static void sites_write(FILE *out, const struct policy *policy)
{
	for (size_t i = 0; i < policy->n_sites; i++) {
		fprintf(out, "{\"site\":\"%s\"", policy->sites[i].name);
		field_write(out, "timezone", policy->sites[i].timezone);
		fprintf(out, ",\"behind_nat\":%s}\n",
		        policy->sites[i].behind_nat ? "true" : "false");
	}
}

static void tests_write(FILE *out, const struct policy *policy)
{
	for (size_t i = 0; i < policy->n_tests; i++) {
		const struct policy_test *test = &policy->tests[i];
		const struct policy_ports ports = {
		        test->proto, test->port, test->port, {NULL, 0, 0}};
		char text[32];

		pol_ports_print(&ports, text, sizeof(text));
		fprintf(out,
		        "{\"test\":\"%05zu\",\"from\":\"%s\",\"to\":\"%s\",\"port\":\"%s\","
		        "\"expect\":\"%s\"}\n",
		        i, policy->peers[test->from].name, policy->peers[test->to].name, text,
		        test->expect_allow ? "allow" : "deny");
	}
}

/* The lowest format that has words for all that the policy says. */
static unsigned format_of(const struct policy *policy)
{
	return policy->join || policy->n_tokens ? 2 : 1;
}

static void head_write(FILE *out, const struct bundle_head *head, unsigned format)
{
	char parent[65], key[57];

	fprintf(out, "{\"overlayd-bundle\":%u,\"cluster\":\"%s\",\"issued\":%" PRId64, format,
	        head->cluster, head->issued);
	if (head->has_next_key) {
		minisign_public_line(&head->next_key, key);
		field_write(out, "next_key", key);
	}
	if (head->has_parent) {
		bundle_digest_print(head->parent, parent);
		fprintf(out, ",\"parent_serial\":%" PRIu64 ",\"parent\":\"%s\"",
		        head->parent_serial, parent);
	}
	fprintf(out, ",\"serial\":%" PRIu64 "}\n", head->serial);
}

int bun_write(const struct policy *policy, const struct bundle_head *head, char **out, size_t *len)
{
	char *text = NULL;
	size_t size;
	FILE *stream = open_memstream(&text, &size);
	int failed, ret;

	if (!stream)
		return -ENOMEM;
	head_write(stream, head, format_of(policy));
	allows_write(stream, policy);
	services_write(stream, policy, true);
	ret = bun_excepts_write(stream, policy);
	failovers_write(stream, policy);
	manage_write(stream, policy);
	for (size_t i = 0; i < policy->n_peers; i++)
		peer_write(stream, policy, &policy->peers[i]);
	roles_write(stream, policy);
	services_write(stream, policy, false);
	settings_write(stream, policy);
	sites_write(stream, policy);
	tests_write(stream, policy);
	bun_tokens_write(stream, policy);
	failed = ferror(stream);
	if (fclose(stream) || failed || ret) {
		free(text);
		return -ENOMEM;
	}
	*out = text;
	*len = size;
	return 0;
}

/* ---- made for nodes */

/* What cannot be parsed to the same policy again is never signed. */
static int made_check(
        const struct policy *policy, const char *text, size_t len, char *err, size_t err_size)
{
	struct policy_report report;
	struct policy *again = NULL;
	int ret;

	policy_report_init(&report);
	ret = bundle_parse(text, len, NULL, &again, &report);
	if (ret == 0 && memcmp(again->digest, policy->digest, sizeof(again->digest)) != 0)
		ret = bun_fail(-EINVAL, err, err_size,
		        "this policy cannot be written as a bundle: it would read differently");
	else if (ret)
		bun_fail(ret, err, err_size,
		        "this policy cannot be written as a bundle: line %u: %s",
		        report.n_faults ? report.faults[0].where.line : 0,
		        report.n_faults ? report.faults[0].message : "?");
	policy_unref(again);
	policy_report_clear(&report);
	return ret;
}

static int parent_check(const struct policy *policy, const struct bundle_head *parent,
        int64_t issued, char *err, size_t err_size)
{
	if (strcmp(parent->cluster, policy->cluster) != 0)
		return bun_fail(-EINVAL, err, err_size,
		        "the policy is of cluster %s, and the bundle in force of cluster %s",
		        policy->cluster, parent->cluster);
	if (policy->serial <= parent->serial)
		return bun_fail(-EINVAL, err, err_size,
		        "the policy has serial %" PRIu64 ", and the bundle in force has %" PRIu64
		        ": raise it above that",
		        policy->serial, parent->serial);
	if (issued < parent->issued)
		return bun_fail(-EINVAL, err, err_size,
		        "the bundle in force was issued later than this one: set the clock of this "
		        "host");
	return 0;
}

int bundle_make(const struct policy *policy, const struct bundle_head *parent, int64_t issued,
        char **out, size_t *len, char *err, size_t err_size)
{
	return bundle_make_next(policy, parent, issued, NULL, out, len, err, err_size);
}

int bundle_make_next(const struct policy *policy, const struct bundle_head *parent, int64_t issued,
        const struct minisign_public *next_key, char **out, size_t *len, char *err, size_t err_size)
{
	struct bundle_head head = {.serial = policy->serial, .issued = issued};
	char *text;
	size_t size;
	int ret = parent ? parent_check(policy, parent, issued, err, err_size) : 0;

	policy = policy_written(policy); /* guests are no part of a bundle */
	if (ret == 0 && issued < 0)
		ret = bun_fail(-EINVAL, err, err_size, "the time of issue lies before 1970");
	if (ret)
		return ret;
	snprintf(head.cluster, sizeof(head.cluster), "%s", policy->cluster);
	if (parent) {
		head.has_parent = true;
		head.parent_serial = parent->serial;
		memcpy(head.parent, parent->digest, sizeof(head.parent));
	}
	head.has_next_key = next_key != NULL;
	if (next_key)
		head.next_key = *next_key;
	ret = bun_write(policy, &head, &text, &size);
	if (ret)
		return bun_fail(ret, err, err_size, "there is not enough memory for the bundle");
	ret = made_check(policy, text, size, err, err_size);
	if (ret) {
		free(text);
		return ret;
	}
	*out = text;
	*len = size;
	return 0;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ctl/adopt.h"

#include <arpa/inet.h>
#include <string.h>

#include "ctl/guests.h"
#include "ctl/pending.h"

#define BEGIN "SHA256:"

bool adopt_key(
        const json_t *tokens, const char *name, const char *fingerprint, char *key, size_t size)
{
	bool whole = !strncmp(fingerprint, BEGIN, strlen(BEGIN));
	const json_t *guest;
	char text[128];

	if (strlen(fingerprint) < PENDING_PREFIX_MIN + (whole ? strlen(BEGIN) : 0))
		return false;
	snprintf(text, sizeof(text), "%s%s", whole ? "" : BEGIN, fingerprint);
	guest = guests_by_key(tokens, text, NULL);
	if (!guest || strcmp(ctl_string(guest, "name", ""), name) != 0)
		return false;
	snprintf(key, size, "%s %s", ctl_string(guest, "key", ""), name);
	return true;
}

static void roles_keep(
        const json_t *token, struct policy_approval *approval, const char **roles, size_t max)
{
	const json_t *role;
	size_t i;

	if (approval->n_roles)
		return;
	json_array_foreach(json_object_get(token, "roles"), i, role) {
		if (approval->n_roles < max && json_string_value(role))
			roles[approval->n_roles++] = json_string_value(role);
	}
}

void adopt_guest(struct ctl *ctl, const json_t *tokens, struct policy_approval *approval,
        const char **roles, size_t max)
{
	const json_t *token = NULL, *guest = guests_by_key(tokens, approval->key, &token);
	const char *was = ctl_string(guest, "name", "");

	if (!guest && guests_by_name(tokens, approval->name, &token))
		ctl_error(ctl,
		        "warning: a guest of token %s with another key is called %s: that guest is "
		        "out with this",
		        ctl_string(token, "name", "?"), approval->name);
	if (!guest)
		return;
	if (!approval->address)
		approval->address = ctl_string(guest, "address", NULL);
	if (!approval->site)
		approval->site = ctl_string(token, "site", NULL);
	roles_keep(token, approval, roles, max);
	ctl_error(ctl,
	        "%s is a guest of token %s; with this it is a peer of the policy's own, which is "
	        "not over with that token%s%s",
	        was, ctl_string(token, "name", "?"),
	        strcmp(was, approval->name) ? ", under another name: " : "",
	        strcmp(was, approval->name) ? approval->name : "");
}

static bool is_taken(
        const struct policy *policy, const json_t *tokens, const struct policy_addr *addr)
{
	char text[INET6_ADDRSTRLEN];

	for (size_t i = 0; i < policy->n_failovers; i++)
		if (!memcmp(&policy->failovers[i].address, addr, sizeof(*addr)))
			return true;
	policy_addr_print(addr, text, sizeof(text));
	return policy_peer_by_addr(policy, addr) || guests_by_address(tokens, text, NULL);
}

int adopt_address(struct ctl *ctl, const struct policy *policy, const json_t *tokens,
        struct policy_approval *approval, char buf[INET6_ADDRSTRLEN])
{
	struct policy_addr addr;
	uint32_t network, n;

	if (!tokens || approval->address || !policy || !policy->overlay4.addr.family)
		return CTL_OK;
	addr = policy->overlay4.addr;
	n = policy->overlay4.len ? UINT32_MAX >> policy->overlay4.len : 0;
	memcpy(&network, addr.bytes, sizeof(network));
	for (uint32_t host = 1; host < n; host++) {
		uint32_t bytes = htonl(ntohl(network) + host);

		memcpy(addr.bytes, &bytes, sizeof(bytes));
		if (is_taken(policy, tokens, &addr))
			continue;
		policy_addr_print(&addr, buf, INET6_ADDRSTRLEN);
		approval->address = buf;
		return CTL_OK;
	}
	ctl_error(ctl, "the overlay has no free address left");
	return CTL_FAILED;
}

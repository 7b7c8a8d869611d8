/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Who may reach whom: allow, manage, failover, tests. Peers and services are known by now. */
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "policy/internal.h"

static bool count_check(
        struct pol_ctx *ctx, const struct pol_node *node, size_t n, size_t max, const char *what)
{
	if (n <= max)
		return true;
	pol_error(ctx, pol_at(ctx, node), "a policy may have %zu %s, not %zu", max, what, n);
	return false;
}

/* ---- allow */

static bool allow_role(
        struct pol_ctx *ctx, const struct pol_node *body, const char *key, uint16_t *out)
{
	const struct pol_node *node =
	        pol_need(ctx, body, key, "this rule", "a role, or \"*\" for any peer");
	const char *text = node ? pol_text(ctx, node, "a role's name") : NULL;
	uint32_t role;

	if (!text)
		return false;
	*out = POLICY_ANY;
	if (strcmp(text, "*") == 0)
		return true;
	if (!pol_name(ctx, node, "a role's name"))
		return false;
	role = pol_names_get(&ctx->role_names, text);
	if (role != POL_NONE && (ctx->role_held[role] || ctx->role_declared[role])) {
		*out = (uint16_t)role;
		return true;
	}
	if (ctx->torn)
		return false;
	pol_error(ctx, pol_at(ctx, node),
	        "no peer has the role '%.63s'%s: give it to a peer, or list it under `roles:` if "
	        "it "
	        "is to be empty for now",
	        text, pol_hint_names(ctx, &ctx->role_names, text).text);
	return false;
}

static void allow_duplicate(struct pol_ctx *ctx, const struct policy_allow *all, size_t n,
        const struct policy_allow *new)
{
	for (size_t i = 0; i < n; i++)
		if (all[i].from == new->from &&
		        all[i].to == new->to &&all[i].service == new->service) {
			pol_warning(ctx, new->where, "the same rule stands in line %u already",
			        all[i].where.line);
			return;
		}
}

void pol_allows_parse(struct pol_ctx *ctx, const struct pol_node *node)
{
	struct policy_allow *all;
	size_t n = 0;

	if (!node || !pol_is_seq(ctx, node, "allow", "- { from: exec, to: head, service: pbs }") ||
	        !count_check(ctx, node, node->n, POLICY_ALLOWS_MAX, "allow rules"))
		return;
	all = pol_array(&ctx->keep, node->n, sizeof(*all));
	for (const struct pol_node *item = node->child; item; item = item->next) {
		struct policy_allow allow = {.where = pol_at(ctx, item)};
		const struct pol_node *service;
		uint32_t found;
		bool good;

		if (!pol_keys_check(ctx, item, &pol_keys_allow))
			continue;
		good = allow_role(ctx, item, "from", &allow.from);
		good = allow_role(ctx, item, "to", &allow.to) && good;
		service = pol_need(ctx, item, "service", "this rule", "service: NAME");
		found = service ? pol_service_find(ctx, service) : POL_NONE;
		if (!good || found == POL_NONE)
			continue;
		allow.service = (uint16_t)found;
		allow_duplicate(ctx, all, n, &allow);
		all[n++] = allow;
	}
	ctx->policy->allows = all;
	ctx->policy->n_allows = n;
}

/* ---- manage */

static bool manage_from(struct pol_ctx *ctx, const struct pol_node *item, struct policy_prefix *out)
{
	const struct pol_node *node =
	        pol_need(ctx, item, "from", "this rule", "from: a network such as 192.0.2.0/24");
	const char *text = node ? pol_text(ctx, node, "a network such as 192.0.2.0/24") : NULL;
	struct policy_prefix masked;
	char print[INET6_ADDRSTRLEN + 4];

	if (!text)
		return false;
	if (pol_prefix_parse(text, out)) {
		pol_error(ctx, pol_at(ctx, node),
		        "'%.50s' is no network: write 192.0.2.0/24, 2001:db8::/32 or one address",
		        text);
		return false;
	}
	masked = *out;
	pol_prefix_mask(&masked);
	if (!pol_addr_is_network(&out->addr, out->len)) {
		pol_prefix_print(&masked, print, sizeof(print));
		pol_error(ctx, pol_at(ctx, node),
		        "'%.50s' has bits set after its prefix: did you mean %s?", text, print);
		return false;
	}
	return true;
}

void pol_manage_parse(struct pol_ctx *ctx, const struct pol_node *node)
{
	struct policy_manage *all;
	size_t n = 0;

	if (!node || !pol_is_seq(ctx, node, "manage", "- { from: 192.0.2.0/24, service: ssh }") ||
	        !count_check(ctx, node, node->n, POL_MANAGE_MAX, "manage rules"))
		return;
	all = pol_array(&ctx->keep, node->n, sizeof(*all));
	for (const struct pol_node *item = node->child; item; item = item->next) {
		struct policy_manage manage = {.where = pol_at(ctx, item)};
		const struct pol_node *service;
		uint32_t found;
		bool good;

		if (!pol_keys_check(ctx, item, &pol_keys_manage))
			continue;
		good = manage_from(ctx, item, &manage.from);
		service = pol_need(ctx, item, "service", "this rule", "service: ssh");
		found = service ? pol_service_find(ctx, service) : POL_NONE;
		manage.service = (uint16_t)found;
		if (good && found != POL_NONE)
			all[n++] = manage;
	}
	ctx->policy->manage = all;
	ctx->policy->n_manage = n;
}

/* ---- failover */

/* The index of a peer named here, or POL_NONE after an error. */
static uint32_t peer_find(struct pol_ctx *ctx, const struct pol_node *node)
{
	const char *text = pol_text(ctx, node, "a peer's name");
	uint32_t peer = text ? pol_names_get(&ctx->peer_names, text) : POL_NONE;

	if (text && peer == POL_NONE && !ctx->torn)
		pol_error(ctx, pol_at(ctx, node), "there is no peer '%.63s'%s", text,
		        pol_hint_names(ctx, &ctx->peer_names, text).text);
	return peer;
}

static void failover_address(
        struct pol_ctx *ctx, const struct pol_node *body, struct policy_failover *failover)
{
	const struct policy_prefix *overlay = &ctx->policy->overlay4;
	const struct pol_node *node = pol_need(ctx, body, "address", "this failover address",
	        "address: a free one of the overlay");
	const char *text = node ? pol_text(ctx, node, "an address") : NULL;
	char network[INET6_ADDRSTRLEN + 4];
	struct policy_addr addr;

	if (!text)
		return;
	if (policy_addr_parse(text, &addr) || addr.family != AF_INET) {
		pol_error(ctx, pol_at(ctx, node),
		        "'%.50s' is no IPv4 address: write one of the overlay, such as 10.77.255.1",
		        text);
		return;
	}
	pol_prefix_print(overlay, network, sizeof(network));
	if (!overlay->addr.family) {
		if (!pol_get(ctx->top, "overlay"))
			pol_error(ctx, pol_at(ctx, node),
			        "this address belongs to no overlay: add `overlay: NETWORK`");
	} else if (!policy_prefix_contains(overlay, &addr)) {
		pol_error(ctx, pol_at(ctx, node), "%s is outside the overlay %s", text, network);
	} else if (pol_addr_is_network(&addr, overlay->len) ||
	           pol_addr_is_broadcast(&addr, overlay->len)) {
		pol_error(ctx, pol_at(ctx, node), "%s is the %s address of the overlay %s", text,
		        pol_addr_is_network(&addr, overlay->len) ? "network" : "broadcast",
		        network);
	} else {
		failover->address = addr;
	}
}

static void failover_holders(
        struct pol_ctx *ctx, const struct pol_node *body, struct policy_failover *failover)
{
	const struct pol_node *list =
	        pol_need(ctx, body, "holders", "this failover address", "holders: [PEER, PEER]");
	uint32_t *holders;

	if (!list || !pol_is_seq(ctx, list, "holders", "[head1, head2]"))
		return;
	if (list->n == 0 || list->n > POL_HOLDERS_MAX) {
		pol_error(ctx, pol_at(ctx, list), "a failover address has 1 to %u holders, not %u",
		        POL_HOLDERS_MAX, list->n);
		return;
	}
	holders = pol_array(&ctx->keep, list->n, sizeof(*holders));
	for (const struct pol_node *item = list->child; item; item = item->next) {
		uint32_t peer = peer_find(ctx, item);

		for (size_t i = 0; peer != POL_NONE && i < failover->n_holders; i++) {
			if (holders[i] != peer)
				continue;
			pol_error(ctx, pol_at(ctx, item),
			        "holder '%.63s' is listed twice: delete one", item->text);
			peer = POL_NONE;
		}
		if (peer != POL_NONE)
			holders[failover->n_holders++] = peer;
	}
	failover->holders = holders;
}

static int failover_compare(const void *a, const void *b)
{
	const struct policy_failover *x = a, *y = b;

	return strcmp(x->name, y->name);
}

void pol_failovers_parse(struct pol_ctx *ctx, const struct pol_node *node)
{
	struct policy_failover *all;
	size_t n = 0;

	if (!node || !pol_is_map(ctx, node, "failover") ||
	        !count_check(ctx, node, node->n / 2, POL_FAILOVERS_MAX, "failover addresses"))
		return;
	all = pol_array(&ctx->keep, node->n / 2, sizeof(*all));
	for (const struct pol_node *k = node->child; k; k = k->next->next) {
		struct policy_failover failover = {.where = pol_at(ctx, k)};
		const char *name = pol_name(ctx, k, "a failover address's name");

		if (!pol_keys_check(ctx, k->next, &pol_keys_failover))
			continue;
		failover_address(ctx, k->next, &failover);
		failover_holders(ctx, k->next, &failover);
		failover.name = name ? pol_keep(ctx, name) : NULL;
		if (name)
			all[n++] = failover;
	}
	pol_sort(all, n, sizeof(*all), failover_compare);
	ctx->policy->failovers = all;
	ctx->policy->n_failovers = n;
}

/* ---- tests */

static bool test_port(struct pol_ctx *ctx, const struct pol_node *item, struct policy_test *test)
{
	const struct pol_node *node = pol_need(ctx, item, "port", "this test", "port: tcp/22");
	const char *text = node ? pol_text(ctx, node, "a port such as tcp/22") : NULL;
	struct policy_ports ports;
	char err[128];

	if (!text)
		return false;
	if (policy_ports_parse(text, &ports, err, sizeof(err))) {
		pol_error(ctx, pol_at(ctx, node), "%s", err);
		return false;
	}
	if (ports.first != ports.last) {
		pol_error(ctx, pol_at(ctx, node), "a test asks for one port, not a range");
		return false;
	}
	test->proto = ports.proto;
	test->port = ports.first;
	return true;
}

static bool test_parse(struct pol_ctx *ctx, const struct pol_node *item, struct policy_test *test)
{
	static const char *const words[] = {"allow", "deny", NULL};
	const struct pol_node *from, *to, *expect;
	int word;

	if (!pol_keys_check(ctx, item, &pol_keys_test))
		return false;
	test->where = pol_at(ctx, item);
	from = pol_need(ctx, item, "from", "this test", "from: PEER");
	to = pol_need(ctx, item, "to", "this test", "to: PEER");
	expect = pol_need(ctx, item, "expect", "this test", "expect: allow, or expect: deny");
	test->from = from ? peer_find(ctx, from) : POL_NONE;
	test->to = to ? peer_find(ctx, to) : POL_NONE;
	word = expect ? pol_word(ctx, expect, "expect", words) : -1;
	test->expect_allow = word == 0;
	if (!test_port(ctx, item, test) || word < 0 || test->from == POL_NONE ||
	        test->to == POL_NONE)
		return false;
	if (test->from != test->to)
		return true;
	pol_error(ctx, test->where, "this test asks whether a peer reaches itself: name two peers");
	return false;
}

void pol_tests_parse(struct pol_ctx *ctx, const struct pol_node *node)
{
	struct policy_test *all;
	size_t n = 0;

	if (!node ||
	        !pol_is_seq(ctx, node, "tests",
	                "- { from: PEER, to: PEER, port: tcp/22, expect: deny }") ||
	        !count_check(ctx, node, node->n, POL_TESTS_MAX, "tests"))
		return;
	all = pol_array(&ctx->keep, node->n, sizeof(*all));
	for (const struct pol_node *item = node->child; item; item = item->next) {
		struct policy_test test = {0};

		if (test_parse(ctx, item, &test))
			all[n++] = test;
	}
	ctx->policy->tests = all;
	ctx->policy->n_tests = n;
}

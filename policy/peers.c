/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Peers, and the roles they hold. */
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "policy/internal.h"

#define KEY_EXAMPLE "key: \"ssh-ed25519 AAAA...\", as `overlayctl id` prints on that node"

/* ---- roles */

/* The index of a role, made when new; POLICY_ANY after an error. */
uint16_t pol_role_intern(struct pol_ctx *ctx, const struct pol_node *node, const char *name)
{
	uint32_t known = pol_names_get(&ctx->role_names, name);

	if (known != POL_NONE)
		return (uint16_t)known;
	if (ctx->n_roles == POLICY_ROLES_MAX) {
		pol_error(ctx, pol_at(ctx, node),
		        "role '%.63s' is one too many: a policy may have %u", name,
		        POLICY_ROLES_MAX);
		return POLICY_ANY;
	}
	if (!ctx->roles) {
		ctx->roles = pol_array(&ctx->scratch, POLICY_ROLES_MAX, sizeof(*ctx->roles));
		ctx->role_declared = pol_alloc(&ctx->scratch, POLICY_ROLES_MAX);
		ctx->role_held = pol_alloc(&ctx->scratch, POLICY_ROLES_MAX);
	}
	name = pol_keep(ctx, name);
	ctx->roles[ctx->n_roles] = name;
	pol_names_put(&ctx->scratch, &ctx->role_names, name, (uint32_t)ctx->n_roles);
	return (uint16_t)ctx->n_roles++;
}

/* A role's name; "*" stands for any peer and cannot be held. */
static const char *role_text(struct pol_ctx *ctx, const struct pol_node *node)
{
	if (node->kind == POL_SCALAR && strcmp(node->text, "*") == 0) {
		pol_error(ctx, pol_at(ctx, node), "'*' means any peer: it is no role to hold");
		return NULL;
	}
	return pol_name(ctx, node, "a role's name");
}

void pol_roles_parse(struct pol_ctx *ctx, const struct pol_node *node)
{
	if (!node || !pol_is_seq(ctx, node, "roles", "[exec, head]"))
		return;
	for (const struct pol_node *item = node->child; item; item = item->next) {
		const char *name = role_text(ctx, item);
		uint16_t role = name ? pol_role_intern(ctx, item, name) : POLICY_ANY;

		if (role == POLICY_ANY)
			continue;
		if (ctx->role_declared[role])
			pol_error(ctx, pol_at(ctx, item), "role '%s' is listed twice: delete one",
			        name);
		ctx->role_declared[role] = true;
	}
}

/* Is it among the n? */
static bool role_listed(const uint16_t *roles, size_t n, uint16_t role)
{
	for (size_t i = 0; i < n; i++)
		if (roles[i] == role)
			return true;
	return false;
}

size_t pol_held_roles_parse(
        struct pol_ctx *ctx, const struct pol_node *list, const char *who, const uint16_t **out)
{
	uint16_t *roles;
	size_t n = 0;

	if (!pol_is_seq(ctx, list, "roles", "[exec]"))
		return 0;
	if (list->n > POL_PEER_ROLES_MAX) {
		pol_error(ctx, pol_at(ctx, list), "%s may have %u roles, not %u", who,
		        POL_PEER_ROLES_MAX, list->n);
		return 0;
	}
	roles = pol_array(&ctx->keep, list->n, sizeof(*roles));
	for (const struct pol_node *item = list->child; item; item = item->next) {
		const char *name = role_text(ctx, item);
		uint16_t role = name ? pol_role_intern(ctx, item, name) : POLICY_ANY;

		if (role == POLICY_ANY)
			continue;
		if (role_listed(roles, n, role)) {
			pol_error(ctx, pol_at(ctx, item), "role '%s' is listed twice: delete one",
			        name);
			continue;
		}
		ctx->role_held[role] = true;
		roles[n++] = role;
	}
	*out = roles;
	return n;
}

/* ---- endpoints */

static bool label_valid(const char *label, size_t len)
{
	if (len == 0 || len > 63 || label[0] == '-' || label[len - 1] == '-')
		return false;
	for (size_t i = 0; i < len; i++)
		if (!((label[i] >= 'a' && label[i] <= 'z') ||
		            (label[i] >= 'A' && label[i] <= 'Z') ||
		            (label[i] >= '0' && label[i] <= '9') || label[i] == '-'))
			return false;
	return true;
}

/* RFC 1123; the last label must not be a number, or a mistyped address would be a name. */
static bool host_name_valid(const char *host)
{
	size_t len = strlen(host), label;
	bool number = true;

	if (len == 0 || len > 253)
		return false;
	for (;; host += label + 1) {
		label = strcspn(host, ".");
		if (!label_valid(host, label))
			return false;
		if (!host[label])
			break;
	}
	for (size_t i = 0; i < label; i++)
		number = number && host[i] >= '0' && host[i] <= '9';
	return !number;
}

/* "host", "host:port", "[v6]:port", "v6" -> host in buf and port; NULL or what is wrong. */
static const char *endpoint_split(const char *text, char *buf, size_t size, uint16_t *port)
{
	const char *colon = strrchr(text, ':'), *end = colon;
	uint64_t n;

	if (*text == '[') {
		end = strchr(text, ']');
		if (!end || (end[1] && end[1] != ':'))
			return "write [2001:db8::1]:4500";
		colon = end[1] ? end + 1 : NULL;
		text++;
	} else if (colon && strchr(text, ':') != colon) {
		colon = end = NULL; /* several colons: an IPv6 address alone */
	}
	if (!end)
		end = text + strlen(text);
	if ((size_t)(end - text) >= size)
		return "too long";
	memcpy(buf, text, (size_t)(end - text));
	buf[end - text] = '\0';
	if (!colon)
		return NULL;
	if (pol_number_parse(colon + 1, strlen(colon + 1), UINT16_MAX, &n) || n == 0)
		return "its port must be a number from 1 to 65535";
	*port = (uint16_t)n;
	return NULL;
}

static const char *endpoint_address_fault(struct pol_ctx *ctx, const struct policy_addr *addr)
{
	static const struct {
		const char *prefix, *fault;
	} ranges[] = {{"0.0.0.0/8", "it means this host"}, {"224.0.0.0/4", "it is multicast"},
	        {"255.255.255.255/32", "it is broadcast"}, {"::/128", "it means this host"},
	        {"ff00::/8", "it is multicast"},
	        {"fe80::/10", "it is link-local and says not by which interface"}};
	struct policy_prefix prefix;

	for (size_t i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++) {
		pol_prefix_parse(ranges[i].prefix, &prefix);
		if (policy_prefix_contains(&prefix, addr))
			return ranges[i].fault;
	}
	if (policy_prefix_contains(&ctx->policy->overlay4, addr) ||
	        policy_prefix_contains(&ctx->policy->overlay6, addr))
		return "it is inside the overlay; give the address outside the tunnel";
	return NULL;
}

static bool endpoint_parse(
        struct pol_ctx *ctx, const struct pol_node *item, struct policy_endpoint *endpoint)
{
	const char *text = pol_text(ctx, item, "an endpoint such as 192.0.2.10"), *fault;
	char host[256];

	if (!text)
		return false;
	endpoint->where = pol_at(ctx, item);
	endpoint->port = ctx->policy->port;
	fault = endpoint_split(text, host, sizeof(host), &endpoint->port);
	if (!fault && policy_addr_parse(host, &endpoint->addr) == 0)
		fault = endpoint_address_fault(ctx, &endpoint->addr);
	else if (!fault && (*text == '[' || !host_name_valid(host)))
		fault = "write an address, or a name, and if need be a port: 192.0.2.10, "
		        "[2001:db8::1]:4500, head.example.org";
	if (fault) {
		pol_error(
		        ctx, pol_at(ctx, item), "'%.100s' cannot be an endpoint: %s", text, fault);
		return false;
	}
	endpoint->host = pol_keep(ctx, host);
	return true;
}

void pol_endpoint_print(const struct policy_endpoint *endpoint, char *buf, size_t size)
{
	if (endpoint->addr.family == AF_INET6)
		snprintf(buf, size, "[%s]:%u", endpoint->host, endpoint->port);
	else
		snprintf(buf, size, "%s:%u", endpoint->host, endpoint->port);
}

static void peer_endpoints(
        struct pol_ctx *ctx, const struct pol_node *list, struct policy_peer *peer)
{
	struct policy_endpoint *all;

	if (!pol_is_seq(ctx, list, "endpoints", "[192.0.2.10]"))
		return;
	if (list->n > POLICY_ENDPOINTS_MAX) {
		pol_error(ctx, pol_at(ctx, list), "a peer may have %u endpoints, not %u",
		        POLICY_ENDPOINTS_MAX, list->n);
		return;
	}
	all = pol_array(&ctx->keep, list->n, sizeof(*all));
	for (const struct pol_node *item = list->child; item; item = item->next) {
		struct policy_endpoint endpoint = {0};
		bool good = endpoint_parse(ctx, item, &endpoint);

		for (size_t i = 0; good && i < peer->n_endpoints; i++) {
			if (all[i].port != endpoint.port || strcmp(all[i].host, endpoint.host) != 0)
				continue;
			pol_error(ctx, pol_at(ctx, item),
			        "endpoint '%.100s' is listed twice: delete one", item->text);
			good = false;
		}
		if (good)
			all[peer->n_endpoints++] = endpoint;
	}
	peer->endpoints = all;
}

/* ---- the rest of a peer */

static bool comment_valid(const char *comment)
{
	if (strlen(comment) > POL_COMMENT_MAX)
		return false;
	for (const unsigned char *s = (const unsigned char *)comment; *s;) {
		size_t left = strlen((const char *)s), len = pol_utf8_len(s, left);

		/* An escape of YAML can bring in what the text itself may not hold. */
		if (*s < 0x20 || pol_char_fault(s, len, left))
			return false;
		s += len;
	}
	return true;
}

static void peer_key(struct pol_ctx *ctx, const struct pol_node *body, struct policy_peer *peer)
{
	const struct pol_node *node = pol_need(ctx, body, "key", "this peer", KEY_EXAMPLE);
	const char *text = node ? pol_text(ctx, node, "a public key") : NULL, *fault;
	const char *comment = "";

	if (!text)
		return;
	fault = pol_key_fault(text, &peer->key, &comment);
	if (fault) {
		pol_error(ctx, pol_at(ctx, node), "this key %s%s", fault,
		        strncmp(fault, "is an ", 6) == 0 || strncmp(fault, "is a sec", 8) == 0
		                ? ": a node has an ssh-ed25519 key, made by overlayd at its first "
		                  "start"
		                : "");
		return;
	}
	if (!comment_valid(comment)) {
		pol_error(ctx, pol_at(ctx, node),
		        "the comment of this key is longer than %u bytes, more than one line, or "
		        "holds characters that cannot be seen: change it",
		        POL_COMMENT_MAX);
		return;
	}
	peer->comment = pol_keep(ctx, comment);
	pol_ula_in_prefix(ctx->policy->cluster, &ctx->policy->overlay6, &peer->key, &peer->addr6);
}

static void peer_address(struct pol_ctx *ctx, const struct pol_node *body, struct policy_peer *peer)
{
	const struct policy_prefix *overlay = &ctx->policy->overlay4;
	const struct pol_node *node = pol_get(body, "address");
	const char *text = node ? pol_text(ctx, node, "an address") : NULL;
	char network[INET6_ADDRSTRLEN + 4];
	struct policy_addr addr;

	if (!node && overlay->addr.family)
		pol_need(ctx, body, "address", "this peer", "address: a free one of the overlay");
	if (!text)
		return;
	if (policy_addr_parse(text, &addr)) {
		pol_error(ctx, pol_at(ctx, node),
		        "'%.50s' is no address: write one such as 10.77.0.1", text);
		return;
	}
	if (addr.family != AF_INET) {
		pol_error(ctx, pol_at(ctx, node),
		        "IPv6 addresses follow from the key: give an IPv4 address of the overlay");
		return;
	}
	if (!overlay->addr.family) {
		if (pol_get(ctx->top, "overlay") == NULL)
			pol_error(ctx, pol_at(ctx, node),
			        "this address belongs to no overlay: add `overlay: NETWORK` to "
			        "policy.yaml, or delete it");
		return;
	}
	pol_prefix_print(overlay, network, sizeof(network));
	if (!policy_prefix_contains(overlay, &addr))
		pol_error(ctx, pol_at(ctx, node), "%s is outside the overlay %s", text, network);
	else if (pol_addr_is_network(&addr, overlay->len))
		pol_error(ctx, pol_at(ctx, node), "%s is the network address of the overlay %s",
		        text, network);
	else if (pol_addr_is_broadcast(&addr, overlay->len))
		pol_error(ctx, pol_at(ctx, node), "%s is the broadcast address of the overlay %s",
		        text, network);
	else
		peer->addr4 = addr;
}

/* Kept from a former key; else it follows from the key. */
static void peer_address6(
        struct pol_ctx *ctx, const struct pol_node *body, struct policy_peer *peer)
{
	const struct policy_prefix *overlay = &ctx->policy->overlay6;
	const struct pol_node *node = pol_get(body, "address6");
	const char *text = node ? pol_text(ctx, node, "an IPv6 address") : NULL;
	char network[INET6_ADDRSTRLEN + 4];
	struct policy_addr addr;

	if (!text)
		return;
	pol_prefix_print(overlay, network, sizeof(network));
	if (policy_addr_parse(text, &addr) || addr.family != AF_INET6 ||
	        !policy_prefix_contains(overlay, &addr) ||
	        pol_addr_is_network(&addr, overlay->len)) {
		pol_error(ctx, pol_at(ctx, node),
		        "'%.60s' is no address of this cluster's IPv6 overlay %s: delete the line, "
		        "unless it keeps the address of a former key",
		        text, network);
		return;
	}
	peer->addr6 = addr;
	peer->addr6_given = true;
}

uint16_t pol_site_parse(struct pol_ctx *ctx, const struct pol_node *body, const char *what)
{
	const struct pol_node *node = pol_get(body, "site");
	const char *text;
	uint32_t site;

	if (ctx->torn_main)
		return UINT16_MAX;
	if (!node && ctx->n_sites && !ctx->sites[0].where.line)
		return 0;
	node = node ? node : pol_need(ctx, body, "site", what, "site: one of `sites:`");
	text = node ? pol_text(ctx, node, "a site's name") : NULL;
	site = text ? pol_names_get(&ctx->site_names, text) : POL_NONE;
	if (site != POL_NONE)
		return (uint16_t)site;
	if (text)
		pol_error(ctx, pol_at(ctx, node), "there is no site '%.63s'%s", text,
		        pol_hint_names(ctx, &ctx->site_names, text).text);
	return UINT16_MAX;
}

static void peer_until(struct pol_ctx *ctx, const struct pol_node *body, struct policy_peer *peer)
{
	const struct pol_node *node = pol_get(body, "until");
	const char *text = node ? pol_text(ctx, node, "a date such as 2026-12-31") : NULL;

	if (!text)
		return;
	peer->has_until = pol_until_parse(text, pol_site_zone(ctx, peer->site), &peer->until);
	if (!peer->has_until)
		pol_error(ctx, pol_at(ctx, node),
		        "'%.40s' is no date: write 2026-12-31, 2026-12-31T18:00 (the site's time) "
		        "or "
		        "2026-12-31T17:00Z",
		        text);
}

/* The key before this one, and until when it counts. */
static void peer_old_key(struct pol_ctx *ctx, const struct pol_node *body, struct policy_peer *peer)
{
	const struct pol_node *node = pol_get(body, "old_key"), *until = pol_get(body, "old_until");
	const char *text = node ? pol_text(ctx, node, "a public key") : NULL, *fault, *date;

	if (!text) {
		if (until && !node)
			pol_error(ctx, pol_at(ctx, until), "there is no old_key: delete old_until");
		return;
	}
	fault = pol_key_fault(text, &peer->old_key, NULL);
	if (fault) {
		pol_error(ctx, pol_at(ctx, node), "this key %s", fault);
		return;
	}
	if (memcmp(&peer->old_key, &peer->key, sizeof(peer->key)) == 0)
		pol_error(ctx, pol_at(ctx, node),
		        "the old key is the same as the key: delete old_key and old_until");
	until = pol_need(ctx, body, "old_until", "this old_key", "old_until: a time, soon");
	date = until ? pol_text(ctx, until, "a time such as 2026-12-31T18:00Z") : NULL;
	if (!date)
		return;
	peer->has_old_key = pol_until_parse(date, pol_site_zone(ctx, peer->site), &peer->old_until);
	if (!peer->has_old_key)
		pol_error(ctx, pol_at(ctx, until),
		        "'%.40s' is no date: write 2026-12-31T18:00 (the site's time) or "
		        "2026-12-31T17:00Z",
		        date);
}

static void peer_parse(struct pol_ctx *ctx, const struct pol_node *key)
{
	struct policy_peer peer = {.comment = "", .where = pol_at(ctx, key), .site = UINT16_MAX};
	const struct pol_node *body = key->next, *node;
	const char *name = pol_name(ctx, key, "a peer's name");
	uint32_t before;

	if (pol_keys_check(ctx, body, &pol_keys_peer)) {
		peer_key(ctx, body, &peer);
		peer.site = pol_site_parse(ctx, body, "this peer");
		peer_address(ctx, body, &peer);
		peer_address6(ctx, body, &peer);
		peer_old_key(ctx, body, &peer);
		node = pol_get(body, "roles");
		if (node)
			peer.n_roles = pol_held_roles_parse(ctx, node, "a peer", &peer.roles);
		node = pol_get(body, "endpoints");
		if (node)
			peer_endpoints(ctx, node, &peer);
		peer_until(ctx, body, &peer);
		node = pol_get(body, "hours");
		if (node)
			peer.hours = pol_hours_parse(ctx, node, peer.site);
		if (peer.hours)
			peer.hours_text = peer.hours->text;
	}
	if (!name)
		return;
	before = pol_names_get(&ctx->peer_names, name);
	if (before != POL_NONE) {
		const struct policy_where *where = &ctx->peers[before].where;

		pol_error(ctx, peer.where, "there is a peer '%s' already, at %s:%u", name,
		        where->file, where->line);
		return;
	}
	peer.name = pol_keep(ctx, name);
	ctx->peers = pol_grow(
	        &ctx->scratch, ctx->peers, ctx->n_peers, &ctx->cap_peers, sizeof(*ctx->peers));
	pol_names_put(&ctx->scratch, &ctx->peer_names, peer.name, (uint32_t)ctx->n_peers);
	ctx->peers[ctx->n_peers++] = peer;
}

/* `peers:` of policy.yaml, or all of a file in peers.d. */
void pol_peers_parse(struct pol_ctx *ctx, const struct pol_node *map, bool own_file)
{
	if (!pol_is_map(ctx, map, own_file ? "a file of peers" : "peers"))
		return;
	for (const struct pol_node *key = map->child; key; key = key->next->next) {
		if (own_file && key->next->kind != POL_MAP) {
			pol_error(ctx, pol_at(ctx, key),
			        "a file in peers.d begins with the peer's name: NAME: { key: ..., "
			        "address: ... }");
			return;
		}
		if (own_file && strcmp(key->text, "peers") == 0 && map->n == 2) {
			pol_error(ctx, pol_at(ctx, key),
			        "a file in peers.d holds peers directly: delete the line `peers:` "
			        "and "
			        "indent one step less");
			return;
		}
		if (ctx->n_peers == POLICY_PEERS_MAX) {
			pol_error(ctx, pol_at(ctx, key),
			        "a policy may have %u peers; this is one more", POLICY_PEERS_MAX);
			return;
		}
		peer_parse(ctx, key);
	}
}

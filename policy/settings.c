/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The policy's single values: cluster, serial, overlay, enforce, firewall, join, mesh, port; and
 * sites. */
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "policy/internal.h"

const char *const pol_enforce_words[] = {"observe", "prefer", "enforce", NULL};
const char *const pol_firewall_words[] = {"guard", "lockdown", NULL};
static const char *const bool_words[] = {"false", "true", NULL};
const char *const pol_mesh_words[] = {"full", "ondemand", "auto", NULL};

static void cluster_parse(struct pol_ctx *ctx, const struct pol_node *top)
{
	const struct pol_node *node = pol_need(
	        ctx, top, "cluster", "the policy", "cluster: NAME, the same on every node");
	const char *name = node ? pol_name(ctx, node, "the cluster's name") : NULL;

	ctx->policy->cluster = name ? pol_keep(ctx, name) : "?";
	policy_ula_prefix(ctx->policy->cluster, &ctx->policy->overlay6);
}

static void serial_parse(struct pol_ctx *ctx, const struct pol_node *top)
{
	const struct pol_node *node = pol_need(
	        ctx, top, "serial", "the policy", "serial: 1, and raise it with every change");
	const char *text = node ? pol_text(ctx, node, "a number") : NULL;
	uint64_t n;
	int ret;

	if (!text)
		return;
	ret = pol_number_parse(text, strlen(text), INT64_MAX, &n);
	if (ret == -ERANGE)
		pol_error(ctx, pol_at(ctx, node), "this serial is too large: at most %lld",
		        (long long)INT64_MAX);
	else if (ret || n == 0)
		pol_error(ctx, pol_at(ctx, node),
		        "'%.40s' is no serial: a whole number from 1 on, rising with every change",
		        text);
	else
		ctx->policy->serial = n;
}

struct special {
	const char *prefix, *what;
};

static const struct special unusable[] = {{"0.0.0.0/8", "means this host"},
        {"127.0.0.0/8", "is every host's loopback"}, {"169.254.0.0/16", "is link-local"},
        {"224.0.0.0/4", "is multicast"}, {"240.0.0.0/4", "is reserved"}};
static const struct special private[] = {{"10.0.0.0/8", ""}, {"172.16.0.0/12", ""},
        {"192.168.0.0/16", ""}, {"100.64.0.0/10", ""}, {"198.18.0.0/15", ""}};

static bool prefixes_meet(const struct policy_prefix *a, const struct policy_prefix *b)
{
	return policy_prefix_contains(a, &b->addr) || policy_prefix_contains(b, &a->addr);
}

static bool overlay_range_check(
        struct pol_ctx *ctx, struct policy_where where, const struct policy_prefix *overlay)
{
	struct policy_prefix special;

	if (overlay->len < 8 || overlay->len > 30) {
		pol_error(ctx, where, "an overlay of /%u is too %s: between /8 and /30, often /16",
		        overlay->len, overlay->len < 8 ? "large" : "small");
		return false;
	}
	for (size_t i = 0; i < sizeof(unusable) / sizeof(unusable[0]); i++) {
		pol_prefix_parse(unusable[i].prefix, &special);
		if (!prefixes_meet(&special, overlay))
			continue;
		pol_error(ctx, where,
		        "the overlay cannot use %s, which %s: take a private network such as "
		        "10.77.0.0/16",
		        unusable[i].prefix, unusable[i].what);
		return false;
	}
	for (size_t i = 0; i < sizeof(private) / sizeof(private[0]); i++) {
		pol_prefix_parse(private[i].prefix, &special);
		if (special.len <= overlay->len && prefixes_meet(&special, overlay))
			return true;
	}
	pol_warning(ctx, where,
	        "the overlay is no private network: Internet hosts with these addresses cannot be "
	        "reached any more");
	return true;
}

static void overlay_parse(struct pol_ctx *ctx, const struct pol_node *top)
{
	const struct pol_node *node = pol_get(top, "overlay");
	const char *text = node ? pol_text(ctx, node, "a network such as 10.77.0.0/16") : NULL;
	struct policy_prefix overlay, masked;
	char print[INET6_ADDRSTRLEN + 4];

	if (!text)
		return;
	if (pol_prefix_parse(text, &overlay) || !strchr(text, '/')) {
		pol_error(ctx, pol_at(ctx, node),
		        "'%.50s' is no network: write one such as 10.77.0.0/16", text);
		return;
	}
	if (overlay.addr.family != AF_INET) {
		pol_error(ctx, pol_at(ctx, node),
		        "the overlay's IPv6 network follows from the cluster's name: give an IPv4 "
		        "network here, or none");
		return;
	}
	masked = overlay;
	pol_prefix_mask(&masked);
	if (!pol_addr_is_network(&overlay.addr, overlay.len)) {
		pol_prefix_print(&masked, print, sizeof(print));
		pol_error(ctx, pol_at(ctx, node),
		        "'%.50s' has bits set after its prefix: did you mean %s?", text, print);
	}
	if (overlay_range_check(ctx, pol_at(ctx, node), &masked))
		ctx->policy->overlay4 = masked;
}

static void modes_parse(struct pol_ctx *ctx, const struct pol_node *top)
{
	struct policy *policy = ctx->policy;
	const struct pol_node *node;
	int word;

	node = pol_get(top, "enforce");
	word = node ? pol_word(ctx, node, "enforce", pol_enforce_words) : POLICY_ENFORCE;
	if (word == POLICY_OBSERVE || word == POLICY_PREFER)
		pol_error(ctx, pol_at(ctx, node),
		        "enforce: %s is not supported yet by this release: write enforce: enforce",
		        pol_enforce_words[word]);
	policy->enforce = POLICY_ENFORCE;
	node = pol_get(top, "firewall");
	word = node ? pol_word(ctx, node, "firewall", pol_firewall_words) : POLICY_GUARD;
	policy->firewall = word == POLICY_LOCKDOWN ? POLICY_LOCKDOWN : POLICY_GUARD;
	node = pol_get(top, "join");
	policy->join = node && pol_word(ctx, node, "join", bool_words) == 1;
	node = pol_get(top, "mesh");
	word = node ? pol_word(ctx, node, "mesh", pol_mesh_words) : POLICY_MESH_FULL;
	policy->mesh = word < 0 ? POLICY_MESH_FULL : (enum policy_mesh)word;
}

static void port_parse(struct pol_ctx *ctx, const struct pol_node *top)
{
	const struct pol_node *node = pol_get(top, "port");
	const char *text = node ? pol_text(ctx, node, "a port") : NULL;
	uint64_t n;

	ctx->policy->port = 4500;
	if (!text)
		return;
	if (pol_number_parse(text, strlen(text), UINT16_MAX, &n) || n == 0)
		pol_error(ctx, pol_at(ctx, node),
		        "'%.40s' is no port: a number from 1 to 65535; usual is 4500", text);
	else if (n == 500)
		pol_error(ctx, pol_at(ctx, node),
		        "port 500 carries IKE without the marker that lets ESP share it: usual is "
		        "4500");
	else
		ctx->policy->port = (uint16_t)n;
}

void pol_settings_parse(struct pol_ctx *ctx, const struct pol_node *top)
{
	cluster_parse(ctx, top);
	serial_parse(ctx, top);
	overlay_parse(ctx, top);
	modes_parse(ctx, top);
	port_parse(ctx, top);
}

/* ---- sites */

static void site_timezone(
        struct pol_ctx *ctx, const struct pol_node *body, struct policy_site *site)
{
	const struct pol_node *node = pol_get(body, "timezone");
	const char *text = node ? pol_text(ctx, node, "a timezone such as Europe/Brussels") : NULL;
	const struct pol_tz *tz;
	int ret;

	if (!text)
		return;
	ret = pol_tz_load(&ctx->scratch, text, &tz);
	if (ret == 0)
		site->timezone = pol_keep(ctx, text);
	else if (ret == -ENOENT)
		pol_error(ctx, pol_at(ctx, node),
		        "there is no timezone '%.63s' on this host: write one such as "
		        "Europe/Brussels, "
		        "as in /usr/share/zoneinfo (package tzdata)",
		        text);
	else
		pol_error(ctx, pol_at(ctx, node), "the timezone file of '%.63s' cannot be used: %s",
		        text, ret == -EINVAL ? "it is damaged" : strerror(-ret));
}

static void site_nat(struct pol_ctx *ctx, const struct pol_node *body, struct policy_site *site)
{
	const struct pol_node *node = pol_get(body, "behind_nat");

	site->behind_nat = node && pol_word(ctx, node, "behind_nat", bool_words) == 1;
}

static int site_compare(const void *a, const void *b)
{
	const struct policy_site *x = a, *y = b;

	return strcmp(x->name, y->name);
}

static void site_put(struct pol_ctx *ctx, const struct policy_site *site)
{
	ctx->sites = pol_grow(
	        &ctx->scratch, ctx->sites, ctx->n_sites, &ctx->cap_sites, sizeof(*ctx->sites));
	ctx->sites[ctx->n_sites++] = *site;
}

/* Zones are loaded once more, into the policy, in the final order of the sites. */
static void sites_finish(struct pol_ctx *ctx)
{
	pol_sort(ctx->sites, ctx->n_sites, sizeof(*ctx->sites), site_compare);
	ctx->full->zones = pol_array(&ctx->keep, ctx->n_sites, sizeof(*ctx->full->zones));
	for (size_t i = 0; i < ctx->n_sites; i++) {
		pol_names_put(&ctx->scratch, &ctx->site_names, ctx->sites[i].name, (uint32_t)i);
		for (size_t j = 0; j < i && !ctx->full->zones[i]; j++)
			if (strcmp(ctx->sites[j].timezone, ctx->sites[i].timezone) == 0)
				ctx->full->zones[i] = ctx->full->zones[j];
		if (!ctx->full->zones[i] &&
		        pol_tz_load(&ctx->keep, ctx->sites[i].timezone, &ctx->full->zones[i]))
			pol_tz_load(&ctx->keep, "UTC", &ctx->full->zones[i]);
	}
}

void pol_sites_parse(struct pol_ctx *ctx, const struct pol_node *node)
{
	if (!node || !pol_is_map(ctx, node, "sites")) {
		const struct policy_site site = {
		        .name = "default", .timezone = "UTC", .where = {"(built in)", 0, 0}};

		site_put(ctx, &site); /* a policy without sites has this one */
	} else if (node->n / 2 > POL_SITES_MAX) {
		pol_error(ctx, pol_at(ctx, node), "a policy may have %u sites, not %u",
		        POL_SITES_MAX, node->n / 2);
	} else {
		for (const struct pol_node *k = node->child; k; k = k->next->next) {
			const char *name = pol_name(ctx, k, "a site's name");
			struct policy_site site = {.timezone = "UTC", .where = pol_at(ctx, k)};

			/* `hq:` alone is a site with nothing special. */
			if (!(k->next->kind == POL_SCALAR && k->next->plain && !*k->next->text) &&
			        pol_keys_check(ctx, k->next, &pol_keys_site)) {
				site_timezone(ctx, k->next, &site);
				site_nat(ctx, k->next, &site);
			}
			site.name = name ? pol_keep(ctx, name) : NULL;
			if (name)
				site_put(ctx, &site);
		}
	}
	sites_finish(ctx);
}

const struct pol_tz *pol_site_zone(const struct pol_ctx *ctx, uint16_t site)
{
	static const struct pol_tz utc = {0};

	return site < ctx->n_sites ? ctx->full->zones[site] : &utc;
}

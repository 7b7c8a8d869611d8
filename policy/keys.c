/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which keys a mapping may have, and how values of nodes are taken. */
#include <string.h>

#include "policy/internal.h"

#define LIST(...) ((const char *const[]){__VA_ARGS__, NULL})

const struct pol_keys pol_keys_top = {.what = "the policy",
        .known = LIST("cluster", "serial", "overlay", "enforce", "firewall", "join", "mesh", "port",
                "sites", "services", "roles", "allow", "manage", "failover", "peers", "tests",
                "tokens"),
        .later = LIST("grace", "clients", "gateways")};
const struct pol_keys pol_keys_site = {
        .what = "a site", .known = LIST("timezone", "behind_nat"), .later = LIST("gateway")};
const struct pol_keys pol_keys_service = {
        .what = "a service", .known = LIST("ports"), .later = LIST("protect")};
const struct pol_keys pol_keys_allow = {
        .what = "an allow rule", .known = LIST("from", "to", "service"), .later = LIST("protect")};
const struct pol_keys pol_keys_manage = {.what = "a manage rule", .known = LIST("from", "service")};
const struct pol_keys pol_keys_failover = {
        .what = "a failover address", .known = LIST("address", "holders"), .later = LIST("lease")};
const struct pol_keys pol_keys_peer = {.what = "a peer",
        .known = LIST("key", "old_key", "old_until", "address", "address6", "site", "roles",
                "endpoints", "until", "hours"),
        .later = LIST("subnets", "gateway"),
        .others = LIST("range", "count", "except"),
        .whose = "only a token has it, under `tokens:` or in tokens.d"};
const struct pol_keys pol_keys_token = {.what = "a token",
        .known = LIST("key", "roles", "site", "range", "count", "until", "except"),
        .others = LIST("address", "address6", "endpoints", "hours", "old_key", "old_until"),
        .whose = "only a peer has it: delete it, or let such a node in by name with `overlayctl "
                 "approve`"};
const struct pol_keys pol_keys_test = {
        .what = "a test", .known = LIST("from", "to", "port", "expect")};

static bool listed(const char *const *list, const char *text)
{
	for (; list && *list; list++)
		if (strcmp(*list, text) == 0)
			return true;
	return false;
}

bool pol_is_map(struct pol_ctx *ctx, const struct pol_node *node, const char *what)
{
	if (node->kind == POL_MAP)
		return true;
	pol_error(ctx, pol_at(ctx, node), "%s must be a mapping: { key: value, ... }", what);
	return false;
}

bool pol_is_seq(
        struct pol_ctx *ctx, const struct pol_node *node, const char *what, const char *example)
{
	if (node->kind == POL_SEQ)
		return true;
	pol_error(ctx, pol_at(ctx, node), "%s must be a list: %s", what, example);
	return false;
}

bool pol_keys_check(struct pol_ctx *ctx, const struct pol_node *map, const struct pol_keys *keys)
{
	if (!pol_is_map(ctx, map, keys->what))
		return false;
	for (const struct pol_node *key = map->child; key; key = key->next->next) {
		if (listed(keys->known, key->text))
			continue;
		if (listed(keys->later, key->text))
			pol_error(ctx, pol_at(ctx, key),
			        "'%s' is not supported yet by this release: delete it", key->text);
		else if (listed(keys->others, key->text))
			pol_error(ctx, pol_at(ctx, key), "%s has no '%s': %s", keys->what,
			        key->text, keys->whose);
		else
			pol_error(ctx, pol_at(ctx, key), "%s has no '%.63s'%s", keys->what,
			        key->text, pol_hint_list(keys->known, key->text).text);
	}
	return true;
}

static bool is_null(const struct pol_node *node)
{
	return node->kind == POL_SCALAR && node->plain &&
	       (!*node->text || strcmp(node->text, "~") == 0 || strcmp(node->text, "null") == 0);
}

const struct pol_node *pol_get(const struct pol_node *map, const char *key)
{
	for (const struct pol_node *k = map->child; k; k = k->next->next)
		if (strcmp(k->text, key) == 0)
			return is_null(k->next) ? NULL : k->next;
	return NULL;
}

const struct pol_node *pol_need(struct pol_ctx *ctx, const struct pol_node *map, const char *key,
        const char *what, const char *example)
{
	const struct pol_node *node = pol_get(map, key);

	if (!node)
		pol_error(ctx, pol_at(ctx, map), "%s has no '%s': add %s", what, key, example);
	return node;
}

const char *pol_text(struct pol_ctx *ctx, const struct pol_node *node, const char *wanted)
{
	if (node->kind == POL_SCALAR && !is_null(node))
		return node->text;
	pol_error(ctx, pol_at(ctx, node), "%s is wanted here, not %s", wanted,
	        node->kind == POL_SCALAR ? "nothing"
	        : node->kind == POL_SEQ  ? "a list"
	                                 : "a mapping");
	return NULL;
}

static bool is_alnum(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

bool pol_name_valid(const char *text)
{
	size_t len = strlen(text);

	if (len == 0 || len > POLICY_NAME_MAX || !is_alnum(text[0]) || !is_alnum(text[len - 1]))
		return false;
	for (; *text; text++)
		if (!is_alnum(*text) && !strchr("._-", *text))
			return false;
	return true;
}

const char *pol_name(struct pol_ctx *ctx, const struct pol_node *node, const char *wanted)
{
	const char *text = pol_text(ctx, node, wanted);

	if (text && !pol_name_valid(text)) {
		pol_error(ctx, pol_at(ctx, node),
		        "'%.70s' is no name: up to %u letters and digits, with . _ - between", text,
		        POLICY_NAME_MAX);
		return NULL;
	}
	return text;
}

int pol_word(struct pol_ctx *ctx, const struct pol_node *node, const char *what,
        const char *const *words)
{
	const char *text = pol_text(ctx, node, "a word");
	char list[128] = "";

	if (!text)
		return -1;
	for (int i = 0; words[i]; i++) {
		if (strcmp(words[i], text) == 0)
			return i;
		snprintf(list + strlen(list), sizeof(list) - strlen(list), "%s%s",
		        !i             ? ""
		        : words[i + 1] ? ", "
		                       : " or ",
		        words[i]);
	}
	pol_error(ctx, pol_at(ctx, node), "%s cannot be '%.63s': it is %s%s", what, text, list,
	        pol_hint_list(words, text).text);
	return -1;
}

const char *pol_keep(struct pol_ctx *ctx, const char *text)
{
	return *text ? pol_strndup(&ctx->keep, text, strlen(text)) : "";
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Tokens: key pairs that vouch for new nodes, and what the policy grants them. */
#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "policy/internal.h"

#define KEY_EXAMPLE "key: \"ssh-ed25519 AAAA...\"; `overlayctl ticket --token` makes one"

static void token_key(struct pol_ctx *ctx, const struct pol_node *body, struct policy_token *token)
{
	const struct pol_node *node = pol_need(ctx, body, "key", "this token", KEY_EXAMPLE);
	const char *text = node ? pol_text(ctx, node, "a public key") : NULL;
	const char *fault = text ? pol_key_fault(text, &token->key, NULL) : NULL;

	if (fault)
		pol_error(ctx, pol_at(ctx, node), "this key %s", fault);
}

/* What a stranger may not become by a ticket that was left lying about. */
static void token_roles(
        struct pol_ctx *ctx, const struct pol_node *body, struct policy_token *token)
{
	static const char *const refused[] = {POLICY_ROLE_SEED, POLICY_ROLE_VOTER};
	const struct pol_node *list =
	        pol_need(ctx, body, "roles", "this token", "roles: [exec], those of its guests");

	if (!list)
		return;
	token->n_roles = pol_held_roles_parse(ctx, list, "a token", &token->roles);
	for (const struct pol_node *item = list->kind == POL_SEQ ? list->child : NULL; item;
	        item = item->next)
		for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
			if (item->kind == POL_SCALAR && strcmp(item->text, refused[i]) == 0)
				pol_error(ctx, pol_at(ctx, item),
				        "a token may not grant the role '%s', as whoever has it "
				        "would have the role: delete it here, and let such a node "
				        "in by name with `overlayctl approve`",
				        refused[i]);
}

/* ---- range and count */

/* Addresses of the range that can be a node's. */
static uint64_t range_size(const struct policy_prefix *range, const struct policy_prefix *overlay)
{
	struct policy_addr last = range->addr;
	uint32_t bits, hosts = range->len ? UINT32_MAX >> (range->len - 1) >> 1 : UINT32_MAX;

	memcpy(&bits, last.bytes, sizeof(bits));
	bits = htonl(ntohl(bits) | hosts);
	memcpy(last.bytes, &bits, sizeof(bits));
	return (uint64_t)hosts + 1 - pol_addr_is_network(&range->addr, overlay->len) -
	       pol_addr_is_broadcast(&last, overlay->len);
}

static bool range_read(struct pol_ctx *ctx, const struct pol_node *node, struct policy_prefix *out)
{
	const char *text = pol_text(ctx, node, "a network such as 10.77.8.0/24");
	const struct policy_prefix *overlay = &ctx->policy->overlay4;
	char print[INET6_ADDRSTRLEN + 4];
	struct policy_prefix range;

	if (!text)
		return false;
	if (pol_prefix_parse(text, &range) || range.addr.family != AF_INET) {
		pol_error(ctx, pol_at(ctx, node),
		        "'%.50s' is no IPv4 network: write one such as 10.77.8.0/24", text);
		return false;
	}
	*out = range;
	pol_prefix_mask(out);
	if (!pol_addr_is_network(&range.addr, range.len)) {
		pol_prefix_print(out, print, sizeof(print));
		pol_error(ctx, pol_at(ctx, node),
		        "'%.50s' has bits set after its prefix: did you mean %s?", text, print);
		return false;
	}
	pol_prefix_print(overlay, print, sizeof(print));
	if (range.len >= overlay->len && policy_prefix_contains(overlay, &range.addr))
		return true;
	pol_error(ctx, pol_at(ctx, node), "the range %.50s is not inside the overlay %s", text,
	        print);
	return false;
}

static void token_range(
        struct pol_ctx *ctx, const struct pol_node *body, struct policy_token *token)
{
	const struct policy_prefix *overlay = &ctx->policy->overlay4;
	const struct pol_node *node = pol_get(body, "range");
	char print[INET6_ADDRSTRLEN + 4];
	uint64_t size;

	if (!overlay->addr.family) {
		if (!ctx->torn_main && !pol_get(ctx->top, "overlay"))
			pol_error(ctx, token->where,
			        "guests of a token get IPv4 addresses, and there is no overlay: "
			        "add `overlay: NETWORK` to policy.yaml, or delete the token");
		return;
	}
	token->range = *overlay;
	if (node && !range_read(ctx, node, &token->range))
		return;
	size = range_size(&token->range, overlay);
	pol_prefix_print(&token->range, print, sizeof(print));
	if (!size)
		pol_error(ctx, pol_at(ctx, node ? node : body),
		        "the range %s has no address for a node: take a larger one", print);
	else if (size < token->count)
		pol_warning(ctx, pol_at(ctx, node ? node : body),
		        "the range %s has %llu addresses, so of %u guests not all can join: take a "
		        "larger one, or lower `count`",
		        print, (unsigned long long)size, token->count);
}

static void token_count(
        struct pol_ctx *ctx, const struct pol_node *body, struct policy_token *token)
{
	const struct pol_node *node =
	        pol_need(ctx, body, "count", "this token", "count: how many may join with it");
	const char *text = node ? pol_text(ctx, node, "a number") : NULL;
	uint64_t n = 0;

	if (!text)
		return;
	if (pol_number_parse(text, strlen(text), POLICY_TOKEN_COUNT_MAX, &n) || !n)
		pol_error(ctx, pol_at(ctx, node),
		        "'%.40s' guests cannot be: a whole number from 1 to %u", text,
		        POLICY_TOKEN_COUNT_MAX);
	token->count = (uint32_t)n;
}

static void token_until(
        struct pol_ctx *ctx, const struct pol_node *body, struct policy_token *token)
{
	const struct pol_node *node = pol_need(ctx, body, "until", "this token",
	        "until: when it, and all that it lets in, are over");
	const char *text = node ? pol_text(ctx, node, "a date such as 2026-12-31") : NULL;

	if (text && !pol_until_parse(text, pol_site_zone(ctx, token->site), &token->until))
		pol_error(ctx, pol_at(ctx, node),
		        "'%.40s' is no date: write 2026-12-31, 2026-12-31T18:00 (the site's time) "
		        "or 2026-12-31T17:00Z",
		        text);
}

/* ---- except */

struct revoked {
	uint8_t digest[32];
	const struct pol_node *node;
};

static int revoked_compare(const void *a, const void *b)
{
	const struct revoked *x = a, *y = b;
	int order = memcmp(x->digest, y->digest, sizeof(x->digest));

	if (order || x->node->line == y->node->line)
		return order ? order : (x->node->column > y->node->column) * 2 - 1;
	return x->node->line < y->node->line ? -1 : 1;
}

static bool revoked_count_check(struct pol_ctx *ctx, const struct pol_node *list)
{
	if (list->n > POLICY_TOKEN_EXCEPT_MAX)
		pol_error(ctx, pol_at(ctx, list),
		        "a token may except %u guests, not %u: revoke the token, and make another",
		        POLICY_TOKEN_EXCEPT_MAX, list->n);
	else if (list->n > POLICY_EXCEPTS_MAX - ctx->n_excepts)
		pol_error(ctx, pol_at(ctx, list),
		        "the tokens of a policy may except %u guests together: revoke a token, and "
		        "make another",
		        POLICY_EXCEPTS_MAX);
	else
		return true;
	return false;
}

/* Those that can be read, in the written order; how many. */
static size_t revoked_read(struct pol_ctx *ctx, const struct pol_node *list, struct revoked *all)
{
	size_t n = 0;

	for (const struct pol_node *item = list->child; item; item = item->next) {
		const char *text = pol_text(ctx, item, "a key's fingerprint");

		if (!text)
			continue;
		all[n].node = item;
		if (pol_fingerprint_parse(text, all[n].digest) == 0)
			n++;
		else
			pol_error(ctx, pol_at(ctx, item),
			        "'%.60s' is no fingerprint: write it as `overlayctl token list` or "
			        "ssh-keygen -l shows it, \"SHA256:\" and 43 characters",
			        text);
	}
	return n;
}

static void token_except(struct pol_ctx *ctx, const struct pol_node *body, const char *name,
        struct policy_token *token)
{
	const struct pol_node *list =
	        ctx->excepts ? name ? pol_get(ctx->excepts, name) : NULL : pol_get(body, "except");
	struct revoked *all;
	uint8_t(*kept)[32];
	size_t n;

	if (!list || !pol_is_seq(ctx, list, "except", "[\"SHA256:...\"]") ||
	        !revoked_count_check(ctx, list))
		return;
	all = pol_array(&ctx->tree, list->n, sizeof(*all));
	n = revoked_read(ctx, list, all);
	pol_sort(all, n, sizeof(*all), revoked_compare);
	kept = pol_array(&ctx->keep, n, sizeof(*kept));
	for (size_t i = 0; i < n; i++) {
		if (i && memcmp(all[i].digest, all[i - 1].digest, sizeof(all[i].digest)) == 0)
			pol_error(ctx, pol_at(ctx, all[i].node), "%s is listed twice: delete one",
			        all[i].node->text);
		else
			memcpy(kept[token->n_except++], all[i].digest, sizeof(all[i].digest));
	}
	token->except = (const uint8_t(*)[32])kept;
	ctx->n_excepts += token->n_except;
}

/* ---- a token */

static void token_parse(struct pol_ctx *ctx, const struct pol_node *key)
{
	struct policy_token token = {.where = pol_at(ctx, key), .site = UINT16_MAX};
	const struct pol_node *body = key->next;
	const char *name = pol_name(ctx, key, "a token's name");

	if (pol_keys_check(ctx, body, &pol_keys_token)) {
		token_key(ctx, body, &token);
		token_roles(ctx, body, &token);
		token.site = pol_site_parse(ctx, body, "this token");
		token_count(ctx, body, &token);
		token_range(ctx, body, &token);
		token_until(ctx, body, &token);
		token_except(ctx, body, name, &token);
	}
	if (!name)
		return;
	for (size_t i = 0; i < ctx->n_tokens; i++) {
		const struct policy_where *where = &ctx->tokens[i].where;

		if (strcmp(ctx->tokens[i].name, name) != 0)
			continue;
		pol_error(ctx, token.where, "there is a token '%s' already, at %s:%u", name,
		        where->file, where->line);
		return;
	}
	token.name = pol_keep(ctx, name);
	ctx->tokens = pol_grow(
	        &ctx->scratch, ctx->tokens, ctx->n_tokens, &ctx->cap_tokens, sizeof(*ctx->tokens));
	ctx->tokens[ctx->n_tokens++] = token;
}

/* `tokens:` of policy.yaml, or all of a file in tokens.d. */
void pol_tokens_parse(struct pol_ctx *ctx, const struct pol_node *map, bool own_file)
{
	if (!pol_is_map(ctx, map, own_file ? "a file of tokens" : "tokens"))
		return;
	for (const struct pol_node *key = map->child; key; key = key->next->next) {
		if (own_file && strcmp(key->text, "tokens") == 0 && map->n == 2) {
			pol_error(ctx, pol_at(ctx, key),
			        "a file in tokens.d holds tokens directly: delete the line "
			        "`tokens:` and indent one step less");
			return;
		}
		if (own_file && key->next->kind != POL_MAP) {
			pol_error(ctx, pol_at(ctx, key),
			        "a file in tokens.d begins with the token's name: NAME: { key: "
			        "..., roles: ... }");
			return;
		}
		if (ctx->n_tokens == POLICY_TOKENS_MAX) {
			pol_error(ctx, pol_at(ctx, key),
			        "a policy may have %u tokens; this is one more", POLICY_TOKENS_MAX);
			return;
		}
		token_parse(ctx, key);
	}
}

/* ---- among the others */

/* A key is a node or a token, and one of them. */
static void key_check(struct pol_ctx *ctx, size_t at)
{
	static const struct policy_key no_key;
	const struct policy *policy = ctx->policy;
	const struct policy_token *token = &policy->tokens[at];
	const struct policy_peer *peer = policy_peer_by_key(policy, &token->key);

	if (memcmp(&token->key, &no_key, sizeof(no_key)) == 0)
		return; /* told already */
	peer = peer ? peer : policy_peer_by_old_key(policy, &token->key);
	if (peer)
		pol_error(ctx, token->where,
		        "the token %s has the key of the peer %s (%s:%u): make a key for it with "
		        "`overlayctl ticket --token`",
		        token->name, peer->name, peer->where.file, peer->where.line);
	for (size_t i = 0; i < at; i++)
		if (memcmp(&policy->tokens[i].key, &token->key, sizeof(token->key)) == 0)
			pol_error(ctx, token->where,
			        "the tokens %s and %s (%s:%u) have the same key: make another for "
			        "one of them",
			        token->name, policy->tokens[i].name, policy->tokens[i].where.file,
			        policy->tokens[i].where.line);
}

void pol_check_tokens(struct pol_ctx *ctx)
{
	const struct policy *policy = ctx->policy;

	for (size_t i = 0; i < policy->n_tokens; i++)
		key_check(ctx, i);
	if (policy->n_tokens && !policy->join && !ctx->torn_main)
		pol_warning(ctx, policy->tokens[0].where,
		        "nobody can join with a token, as no seed takes requests: write `join: "
		        "true` in policy.yaml");
}

const struct policy_token *policy_token_by_name(const struct policy *policy, const char *name)
{
	for (size_t i = 0; i < policy->n_tokens; i++)
		if (strcmp(policy->tokens[i].name, name) == 0)
			return &policy->tokens[i];
	return NULL;
}

static int digest_compare(const void *a, const void *b)
{
	return memcmp(a, b, 32);
}

bool pol_token_excepts(const struct policy_token *token, const uint8_t digest[32])
{
	return token->n_except &&
	       bsearch(digest, token->except, token->n_except, 32, digest_compare);
}

bool policy_token_excepts(const struct policy_token *token, const struct policy_key *key)
{
	uint8_t digest[32];

	policy_key_digest(key, digest);
	return pol_token_excepts(token, digest);
}

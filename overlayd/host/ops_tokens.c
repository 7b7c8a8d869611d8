/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Tokens and their guests as the local API tells them; fields as control/control.h lists them. */
#include "host/ops.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>

#include "host/state.h"

const char *ops_guest_of(const struct policy *policy, const struct policy_peer *peer)
{
	return policy && peer && peer->guest && peer->token < policy->n_tokens
	               ? policy->tokens[peer->token].name
	               : NULL;
}

/* Who let it in: its admission says so. */
static const char *seed_of(const struct world *world, const struct policy_peer *guest)
{
	const struct policy_admission *admission = engine_admission_of(world->engine, &guest->key);

	return admission ? admission->seed : NULL;
}

static json_t *guest_json(const struct world *world, const struct policy_peer *guest)
{
	char fingerprint[POLICY_FINGERPRINT_LEN], key[96], addr[INET6_ADDRSTRLEN];

	policy_key_fingerprint(&guest->key, fingerprint);
	policy_key_print(&guest->key, key, sizeof(key));
	policy_addr_print(&guest->addr4, addr, sizeof(addr));
	return json_pack("{s:s, s:s, s:s, s:s, s:s?}", "name", guest->name, "fingerprint",
	        fingerprint, "key", key, "address", addr, "seed", seed_of(world, guest));
}

static json_t *guests_json(
        const struct world *world, const struct policy *policy, const char *token)
{
	json_t *guests = json_array();

	for (size_t i = 0; policy && i < policy->n_peers; i++) {
		const char *of = ops_guest_of(policy, &policy->peers[i]);

		if (of && !strcmp(of, token))
			json_array_append_new(guests, guest_json(world, &policy->peers[i]));
	}
	return guests;
}

static json_t *token_json(const struct world *world, const struct engine_view *all,
        const struct engine_token_view *view)
{
	const struct policy_token *token = view->token;
	char fingerprint[POLICY_FINGERPRINT_LEN], addr[INET6_ADDRSTRLEN];
	json_t *roles = json_array();

	for (size_t i = 0; i < token->n_roles; i++)
		json_array_append_new(roles, json_string(all->policy->roles[token->roles[i]]));
	policy_key_fingerprint(&token->key, fingerprint);
	policy_addr_print(&token->range.addr, addr, sizeof(addr));
	return json_pack("{s:s, s:s, s:o, s:s, s:o, s:I, s:I, s:I, s:b, s:o}", "name", token->name,
	        "fingerprint", fingerprint, "roles", roles, "site",
	        all->policy->sites[token->site].name, "range",
	        json_sprintf("%s/%u", addr, (unsigned)token->range.len), "count",
	        (json_int_t)token->count, "used", (json_int_t)view->used, "until",
	        (json_int_t)token->until, "over", view->over, "guests",
	        guests_json(world, all->policy, token->name));
}

int ops_tokens(struct world *world, json_t **out)
{
	json_t *tokens = json_array();
	struct engine_token_view view;
	struct engine_view all;

	engine_look(world->engine, &all);
	for (size_t i = 0; all.policy && !engine_token_at(world->engine, i, &view); i++)
		json_array_append_new(tokens, token_json(world, &all, &view));
	*out = json_pack(
	        "{s:I, s:o}", "now", (json_int_t)state_clock_now(&world->clock), "tokens", tokens);
	world_trim_soon(world);
	return *out ? 0 : -ENOMEM;
}

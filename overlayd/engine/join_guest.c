/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A newcomer that a token let in is a guest: its own admission makes it a member, beside the bundle
 * that names the token. What a seed says is looked at here before anything follows from it. And
 * later a bundle may take away what the token gave: who was a guest is told why it is none.
 */
#include "engine/join_internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "policy/guests.h"

/* ---- let in ---- */

static bool own_find(
        const struct engine *e, const struct join_answer *a, struct policy_admission *own)
{
	for (size_t i = 0; i < a->n_admissions; i++) {
		if (policy_admission_parse(a->admissions[i].data, a->admissions[i].len, own))
			continue;
		if (!memcmp(&own->key, &e->own_key, sizeof(own->key)))
			return true;
	}
	return false;
}

/* By that policy, which has the token and the seed: policy_admission_check() was there before. */
static bool is_signed(
        const struct engine *e, const struct policy *policy, const struct policy_admission *own)
{
	const struct policy_token *token = policy_token_by_name(policy, own->token);
	const struct policy_peer *seed = policy_peer_by_name(policy, own->seed);
	uint8_t words[POLICY_ADMISSION_WORDS_MAX];
	size_t len = policy_admission_words_token(own, words);

	if (engine_verify(e, &token->key, words, len, own->by_token))
		return false;
	len = policy_admission_words_seed(own, words);
	return !engine_verify(e, &seed->key, words, len, own->by_seed) ||
	       (seed->has_old_key && !engine_verify(e, &seed->old_key, words, len, own->by_seed));
}

bool own_check(struct engine *e, const struct join_answer *a, struct policy **policy,
        struct policy_admission *own, char *text, size_t size)
{
	const struct policy_admission *all[] = {own};
	char why[POLICY_GUEST_TEXT_MAX];
	struct policy *with;
	bool used = false;

	if (!a->n_admissions)
		snprintf(text, size,
		        "says that this node is a member, and its bundle does not name our key");
	else if (!own_find(e, a, own))
		snprintf(text, size,
		        "says that a token let this node in, and shows no admission of our key");
	else if (policy_admission_check(*policy, own, why, sizeof(why)))
		snprintf(text, size, "gave an admission that its own bundle does not grant: %s",
		        why);
	else if (!is_signed(e, *policy, own))
		snprintf(text, size,
		        "gave an admission that the token or the seed in it did not sign");
	else if (policy_with_guests(*policy, all, 1, &used, &with))
		snprintf(text, size, "could not be understood: out of memory");
	else {
		policy_unref(*policy);
		*policy = with;
		if (used)
			return true;
		snprintf(text, size,
		        "gave an admission with a name or an address that is another member's");
	}
	return false;
}

bool own_kept(const struct engine *e)
{
	return !cluster_admission_of(e->cluster, &e->own_key) ||
	       cluster_admission_stored(e->cluster, &e->own_key);
}

/* ---- and out again ---- */

static void tell_out(struct engine *e)
{
	const struct policy_admission *own = &e->join->own;
	char why[POLICY_GUEST_TEXT_MAX] =
	        "a node that goes before it has its name, its address or its number";

	policy_admission_check(e->policy, own, why, sizeof(why));
	notice(e, ENGINE_ERROR, ENGINE_N_NOT_MEMBER, NULL,
	        "The token %s, which let this node in as %s, does so no more: %s. To come back it "
	        "needs a new ticket: overlayctl join.",
	        own->token, own->name, why);
}

static void tell_over(struct engine *e)
{
	notice(e, ENGINE_ERROR, ENGINE_N_NOT_MEMBER, NULL,
	        "The time of the token %s, which let this node in as %s, is over: an admin has to "
	        "extend its `until`; or to revoke it, and this node joins with a new ticket.",
	        e->join->own.token, e->join->own.name);
}

void own_step(struct engine *e)
{
	struct join *j = e->join;
	const struct policy_admission *own;
	bool over = j->is_guest && e->self && !e->self_active;

	if (e->policy && memcmp(e->policy->digest, j->guest_policy, sizeof(j->guest_policy)) != 0) {
		memcpy(j->guest_policy, e->policy->digest, sizeof(j->guest_policy));
		own = e->self && e->self->guest ? cluster_admission_of(e->cluster, &e->own_key)
		                                : NULL;
		if (j->is_guest && !e->self)
			tell_out(e);
		j->is_guest = own != NULL;
		if (own)
			j->own = *own;
		over = own && !e->self_active;
	}
	if (over && !j->told_over)
		tell_over(e);
	j->told_over = over;
}

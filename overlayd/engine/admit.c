/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a seed that lets guests in, and a newcomer that was let in, ask of the admissions. */
#include "engine/cluster_internal.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

static bool counts(const struct admission *adm)
{
	return adm->used || adm->fresh;
}

/* ---- what is taken ---- */

static bool same_addr(const struct policy_addr *a, const struct policy_addr *b)
{
	return a->family == b->family && !memcmp(a->bytes, b->bytes, sizeof(a->bytes));
}

static bool clash(const struct policy_admission *a, const struct policy_admission *b)
{
	return !strcasecmp(a->name, b->name) || !memcmp(&a->key, &b->key, sizeof(a->key)) ||
	       same_addr(&a->addr4, &b->addr4);
}

/* Somebody is there already; with only_before: who goes before it. */
static bool is_taken(const struct cluster *c, const struct policy_admission *a, bool only_before)
{
	if (policy_admission_taken(c->written, a, NULL, 0))
		return true;
	for (size_t i = 0; i < c->n_adms; i++) {
		const struct admission *adm = c->adms[i];

		if (!counts(adm) || !clash(&adm->a, a) ||
		        !memcmp(adm->a.by_seed, a->by_seed, sizeof(a->by_seed)))
			continue;
		if (!only_before || policy_key_compare(&adm->a.key, &a->key) <= 0)
			return true;
	}
	return false;
}

/* ---- for a seed, and a newcomer ---- */

int cluster_admit(struct cluster *c, const struct policy_admission *a, bool ours)
{
	uint8_t record[POLICY_ADMISSION_MAX];
	size_t len = policy_admission_print(a, record);
	struct admission *adm = NULL;
	int ret;

	if (!c->written)
		return -ENOENT;
	if (!len || policy_admission_check(c->written, a, NULL, 0))
		return -EINVAL;
	if (ours && is_taken(c, a, false))
		return -EEXIST;
	ret = admission_take(c, record, len, NULL, &adm);
	if (ret == -EALREADY)
		return counts(adm) ? 0 : -EEXIST;
	if (ret == -EKEYEXPIRED || ret == -EBADMSG)
		return -EKEYREJECTED;
	if (ret)
		return ret;
	adm->push = adm->ours = ours;
	adm->quiet = true;
	return ours || !is_taken(c, a, true) ? 0 : -EEXIST;
}

size_t cluster_admissions_used(const struct cluster *c, const char *name)
{
	const struct policy_token *token =
	        c->written ? policy_token_by_name(c->written, name) : NULL;
	size_t n = token ? token->n_except : 0;

	for (size_t i = 0; token && i < c->n_adms && !IMPAIRED(IMPAIR_NO_COUNT); i++)
		n += counts(c->adms[i]) && !strcmp(c->adms[i]->a.token, name);
	return n;
}

uint32_t cluster_admission_number(const struct cluster *c, const char *name)
{
	const struct policy_token *token =
	        c->written && c->self ? policy_token_by_name(c->written, name) : NULL;
	uint8_t taken[POLICY_TOKEN_COUNT_MAX / 8 + 1] = {0};

	for (size_t i = 0; token && i < c->n_adms; i++) {
		const struct policy_admission *a = &c->adms[i]->a;

		if (!strcmp(a->seed, c->self->name) && !strcmp(a->token, name))
			taken[a->number / 8] |= (uint8_t)(1U << a->number % 8);
	}
	for (uint32_t i = 1; token && i <= token->count; i++)
		if (!(taken[i / 8] & 1U << i % 8))
			return i;
	return 0;
}

static const struct admission *of_key(const struct cluster *c, const struct policy_key *key)
{
	for (size_t i = 0; i < c->n_adms; i++)
		if (counts(c->adms[i]) && !memcmp(&c->adms[i]->a.key, key, sizeof(*key)))
			return c->adms[i];
	return NULL;
}

const struct policy_admission *cluster_admission_of(
        const struct cluster *c, const struct policy_key *key)
{
	const struct admission *adm = of_key(c, key);

	return adm ? &adm->a : NULL;
}

bool cluster_admission_stored(const struct cluster *c, const struct policy_key *key)
{
	const struct admission *adm = of_key(c, key);

	return adm && (adm->gen <= c->adm_stored || IMPAIRED(IMPAIR_ADMIT_UNSTORED));
}

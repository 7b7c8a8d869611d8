/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A seed that changes its key signs for its guests anew, one by one: what its old key signed is
 * worth nothing as soon as no bundle names that key any more.
 */
#include "engine/cluster_internal.h"

#include <string.h>

static struct admission *next(const struct cluster *c)
{
	for (size_t i = 0; i < c->n_adms; i++)
		if (c->adms[i]->old_key && !strcmp(c->adms[i]->a.seed, c->self->name))
			return c->adms[i];
	return NULL;
}

static void failed(struct cluster *c)
{
	c->adm_sign_op.id = 0;
	c->adm_sign_op.fails += c->adm_sign_op.fails < UINT32_MAX;
	c->adm_sign_op.at =
	        c->now.mono_us + cl_backoff(c, c->adm_sign_op.fails, STORE_MIN_US, STORE_MAX_US);
}

void admissions_sign_tick(struct cluster *c)
{
	const struct admission *adm;
	struct engine_effect *fx;
	uint8_t *words;

	if (c->adm_sign_op.id && c->now.mono_us >= c->adm_sign_op.at)
		failed(c);
	if (!c->adm_resign || !c->self || c->adm_sign_op.id || c->now.mono_us < c->adm_sign_op.at)
		return;
	adm = next(c);
	c->adm_resign = adm != NULL;
	words = adm ? cl_arena(c, POLICY_ADMISSION_WORDS_MAX) : NULL;
	fx = words ? cl_effect(c, ENGINE_FX_ADMIT_SIGN, true) : NULL;
	if (!fx)
		return;
	fx->admit.by = c->self->key;
	fx->admit.words = words;
	fx->admit.len = policy_admission_words_seed(&adm->a, words);
	c->adm_signing = adm->a;
	c->adm_sign_op.id = fx->id;
	c->adm_sign_op.at = c->now.mono_us + STORE_US;
}

int64_t admissions_sign_wakeup(const struct cluster *c)
{
	return c->self && (c->adm_resign || c->adm_sign_op.id) ? c->adm_sign_op.at : ENGINE_NEVER;
}

bool cluster_signed(struct cluster *c, uint64_t id, const uint8_t by_seed[64])
{
	uint8_t record[POLICY_ADMISSION_MAX];
	struct admission *adm = NULL;
	size_t len;

	if (!id || id != c->adm_sign_op.id)
		return false;
	memcpy(c->adm_signing.by_seed, by_seed, 64);
	len = policy_admission_print(&c->adm_signing, record);
	if (!c->written || admission_take(c, record, len, NULL, &adm)) {
		failed(c);
		return true;
	}
	adm->push = adm->ours = adm->quiet = true;
	c->adm_sign_op = (struct op){0};
	return true;
}

bool admissions_sign_result(struct cluster *c, uint64_t id, int error)
{
	if (!id || id != c->adm_sign_op.id)
		return false;
	if (error)
		failed(c); /* else its signature is on its way */
	return true;
}

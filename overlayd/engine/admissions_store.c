/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Keeping admissions on disk, all of them each time they changed, at most once in GAP_US; and taking
 * them up again. As with the bundle, what is in force waits for no disk; but a seed tells a newcomer
 * that it is a member only when that is kept (cluster_admission_stored()).
 */
#include "engine/cluster_internal.h"

#include <errno.h>
#include <string.h>

#define GAP_US 1000000

/* ---- from disk ---- */

void cluster_admissions(struct cluster *c, const uint8_t *data, size_t len)
{
	cl_free(c, c->adm_kept, c->adm_kept_len);
	c->adm_kept_len = len > ENGINE_ADMISSIONS_BYTES ? ENGINE_ADMISSIONS_BYTES : len;
	c->adm_kept = cl_alloc(c, c->adm_kept_len);
	if (!c->adm_kept)
		return;
	if (len)
		memcpy(c->adm_kept, data, c->adm_kept_len);
	if (c->written)
		admissions_wake(c);
}

/* False: no more can be read. */
static bool wake_one(struct cluster *c, const uint8_t **at, size_t *left, size_t *n)
{
	size_t len = *left < 2 ? 0 : (size_t)(*at)[0] << 8 | (*at)[1];
	struct admission *adm;
	int ret;

	if (!len || *left - 2 < len)
		return false;
	ret = admission_take(c, *at + 2, len, NULL, &adm);
	*at += 2 + len;
	*left -= 2 + len;
	if (!ret)
		adm->quiet = true;
	*n += !ret;
	return ret != -EBADMSG && ret != -EKEYREJECTED;
}

void admissions_wake(struct cluster *c)
{
	const uint8_t *at = c->adm_kept;
	size_t left = c->adm_kept_len, bad = 0, n = 0, all = 0;

	while (left) {
		size_t before = left;

		all++;
		bad += !wake_one(c, &at, &left, &n);
		if (left == before)
			break;
	}
	cl_free(c, c->adm_kept, c->adm_kept_len);
	c->adm_kept = NULL;
	c->adm_kept_len = 0;
	if (bad)
		cl_notice(c, ENGINE_WARNING, ENGINE_N_STORE, NULL,
		        "What was kept on disk of the guests that tokens let in is damaged: %zu of "
		        "them %s read; the seeds tell of the others again, and if this node is "
		        "such a guest itself it may have to join again.",
		        n, n == 1 ? "was" : "were");
	if (n == all && n == c->n_adms)
		c->adm_stored = c->adm_gen;
	else
		c->adm_gen++; /* the file is another */
}

/* ---- to disk ---- */

static void failed(struct cluster *c, const char *text)
{
	c->adm_op.id = 0;
	c->adm_op.fails += c->adm_op.fails < UINT32_MAX;
	c->adm_op.at = c->now.mono_us + cl_backoff(c, c->adm_op.fails, STORE_MIN_US, STORE_MAX_US);
	text_set(c->adm_store_text, sizeof(c->adm_store_text), text);
	if (c->adm_store_told)
		return;
	c->adm_store_told = true;
	cl_notice(c, ENGINE_ERROR, ENGINE_N_STORE, NULL,
	        "The guests that tokens let in could not be kept on disk: %s; it is tried again.",
	        c->adm_store_text);
}

/* False: no memory. */
static bool records(struct cluster *c, struct engine_admissions_fx *out)
{
	uint8_t *data = c->n_adms ? cl_arena(c, c->n_adms * (2 + POLICY_ADMISSION_MAX)) : NULL;
	size_t at = 0;

	if (c->n_adms && !data)
		return false;
	for (size_t i = 0; i < c->n_adms; i++)
		at += admission_put(&c->adms[i]->a, data + at);
	*out = (struct engine_admissions_fx){data, at};
	return true;
}

void admissions_store_tick(struct cluster *c)
{
	struct engine_admissions_fx what;
	struct engine_effect *fx;

	if (c->adm_op.id && c->now.mono_us >= c->adm_op.at)
		failed(c, "no answer in time");
	if (c->adm_stored == c->adm_gen || !c->written || c->adm_op.id ||
	        c->now.mono_us < c->adm_op.at)
		return;
	fx = records(c, &what) ? cl_effect(c, ENGINE_FX_ADMISSIONS_STORE, true) : NULL;
	if (!fx)
		return;
	fx->admissions = what;
	c->adm_op.id = fx->id;
	c->adm_op.at = c->now.mono_us + STORE_US;
	c->adm_storing = c->adm_gen;
}

int64_t admissions_store_wakeup(const struct cluster *c)
{
	if (c->adm_op.id || (c->written && c->adm_stored != c->adm_gen))
		return c->adm_op.at;
	return ENGINE_NEVER;
}

bool admissions_result(struct cluster *c, uint64_t id, int error, const char *text)
{
	if (!id || id != c->adm_op.id)
		return false;
	if (error) {
		failed(c, text && *text ? text : "no reason given");
		return true;
	}
	c->adm_op = (struct op){.at = c->now.mono_us + GAP_US};
	c->adm_store_text[0] = 0;
	c->adm_stored = c->adm_storing;
	if (c->adm_store_told)
		cl_notice(c, ENGINE_NOTICE, ENGINE_N_STORE, NULL,
		        "The guests that tokens let in are kept on disk now.");
	c->adm_store_told = false;
	return true;
}

const char *cluster_admissions_store_text(const struct cluster *c)
{
	return c->adm_store_text;
}

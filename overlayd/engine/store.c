/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Keeping the bundle in force on disk, beside everything else: however long that takes and however
 * often it fails, what is in force stays so.
 */
#include "engine/cluster_internal.h"

static void store_failed(struct cluster *c, const char *text)
{
	c->store_op.id = 0;
	c->store_op.fails += c->store_op.fails < UINT32_MAX;
	c->store_op.at =
	        c->now.mono_us + cl_backoff(c, c->store_op.fails, STORE_MIN_US, STORE_MAX_US);
	text_set(c->store_text, sizeof(c->store_text), text);
	if (c->store_told)
		return;
	c->store_told = true;
	cl_notice(c, ENGINE_ERROR, ENGINE_N_STORE, NULL,
	        "The bundle of serial %llu is in force and could not be kept on disk: %s; it is "
	        "tried again.",
	        (unsigned long long)c->head.serial, c->store_text);
}

/* One at a time, or an older one might be written over a newer. */
void store_tick(struct cluster *c)
{
	char line[BUNDLE_KEPT_LINE_MAX];
	struct engine_effect *fx;

	if (c->store_op.id && c->now.mono_us >= c->store_op.at)
		store_failed(c, "no answer in time");
	if (c->stored || !c->head.serial || c->store_op.id || c->now.mono_us < c->store_op.at)
		return;
	fx = cl_effect(c, ENGINE_FX_BUNDLE_STORE, true);
	if (!fx)
		return;
	bundle_kept_line(&c->trust, line);
	fx->bundle.line = cl_str(c, line);
	fx->bundle.file = c->hist[0].file;
	fx->bundle.len = c->hist[0].len;
	fx->bundle.serial = c->head.serial;
	c->store_op.id = fx->id;
	c->store_op.at = c->now.mono_us + STORE_US;
	c->storing = c->head;
}

int64_t store_wakeup(const struct cluster *c)
{
	if (c->store_op.id || (!c->stored && c->head.serial))
		return c->store_op.at;
	return ENGINE_NEVER;
}

bool cluster_result(struct cluster *c, uint64_t id, int error, const char *text)
{
	if (admissions_result(c, id, error, text) || admissions_sign_result(c, id, error))
		return true;
	if (!id || id != c->store_op.id)
		return false;
	if (error) {
		store_failed(c, text && *text ? text : "no reason given");
		return true;
	}
	c->store_op = (struct op){0};
	c->store_text[0] = 0;
	c->stored = head_same(&c->storing, &c->head);
	if (c->stored && c->store_told) {
		c->store_told = false;
		cl_notice(c, ENGINE_NOTICE, ENGINE_N_STORE, NULL,
		        "The bundle of serial %llu is kept on disk now.",
		        (unsigned long long)c->head.serial);
	}
	return true;
}

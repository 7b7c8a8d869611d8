/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Texts: the last few bundles that were in force here, as they were signed, and the differences
 * from each to the newest. Differences are made when one is wanted, and once.
 */
#include "engine/cluster_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int do_patch(struct cluster *c, const struct text *base, const char *delta, size_t delta_len,
        char **out, size_t *out_len, char *err, size_t err_size)
{
	if (c->hooks.patch)
		return c->hooks.patch(c->hooks.user, base->file, base->text_len, delta, delta_len,
		        out, out_len, err, err_size);
	return bundle_patch(
	        base->file, base->text_len, delta, delta_len, out, out_len, err, err_size);
}

static const char *do_keep(struct cluster *c, const char *file, size_t len)
{
	char *copy;

	if (c->hooks.keep) {
		const char *kept = c->hooks.keep(c->hooks.user, file, len);

		c->oom |= !kept;
		return kept;
	}
	copy = cl_alloc(c, len + 1);
	return copy ? memcpy(copy, file, len) : NULL;
}

static void do_drop(struct cluster *c, const char *file, size_t len)
{
	if (c->hooks.drop && file)
		c->hooks.drop(c->hooks.user, file, len);
	else
		cl_free(c, (void *)(uintptr_t)file, len + 1);
}

static void delta_free(struct cluster *c, struct text *t)
{
	cl_free(c, t->delta, t->delta_len + 1);
	t->delta = NULL;
	t->delta_len = 0;
	t->no_delta = false;
}

static void text_free(struct cluster *c, struct text *t)
{
	delta_free(c, t);
	if (t->file)
		do_drop(c, t->file, t->len);
	*t = (struct text){0};
}

void texts_free(struct cluster *c)
{
	for (size_t i = 0; i < HIST_MAX; i++)
		text_free(c, &c->hist[i]);
	text_free(c, &c->naming);
}

struct text *text_find(struct cluster *c, const struct session_head *head)
{
	for (size_t i = 0; i < HIST_MAX; i++)
		if (c->hist[i].file && head_same(&c->hist[i].head, head))
			return &c->hist[i];
	return NULL;
}

/* Made once for each base; worth it when it is at most half of the whole. */
static void delta_make(struct cluster *c, struct text *t)
{
	const struct text *now = &c->hist[0];
	size_t sig = now->len - now->text_len, len;
	char *delta;

	if (t == now || t->delta || t->no_delta)
		return;
	t->no_delta = true;
	if (bundle_diff(t->file, t->text_len, now->file, now->text_len, &delta, &len))
		return;
	if (len + sig <= now->len / 2) {
		t->delta = cl_alloc(c, len + sig + 1);
		if (t->delta) {
			memcpy(t->delta, delta, len);
			memcpy(t->delta + len, now->file + now->text_len, sig);
			t->delta_len = len + sig;
		}
		t->no_delta = !t->delta;
	}
	free(delta);
}

bool bundle_payload(struct cluster *c, const struct session_head *base, bool allow_delta,
        struct session_msg *out)
{
	struct text *t = base->serial && allow_delta ? text_find(c, base) : NULL;

	if (!c->head.serial)
		return false;
	*out = (struct session_msg){.type = SESSION_BUNDLE, .head = c->head};
	if (t)
		delta_make(c, t);
	if (t && t->delta) {
		out->delta = true;
		out->base = t->head;
		out->data = (const uint8_t *)t->delta;
		out->len = t->delta_len;
	} else {
		out->data = (const uint8_t *)c->hist[0].file;
		out->len = c->hist[0].len;
	}
	return true;
}

bool text_push(struct cluster *c, const char *file, size_t len)
{
	struct text t = {.head = c->head, .len = len};

	if (bundle_split(file, len, &t.text_len, NULL, 0))
		return false;
	t.file = do_keep(c, file, len);
	if (!t.file)
		return false;
	text_free(c, &c->hist[HIST_MAX - 1]);
	memmove(&c->hist[1], &c->hist[0], (HIST_MAX - 1) * sizeof(c->hist[0]));
	c->hist[0] = t;
	for (size_t i = 1; i < HIST_MAX; i++)
		delta_free(c, &c->hist[i]);
	return true;
}

void text_name(struct cluster *c)
{
	const struct text *now = &c->hist[0];
	struct text t = {.head = now->head, .len = now->len, .text_len = now->text_len};

	t.file = do_keep(c, now->file, now->len);
	if (!t.file)
		return; /* as after a restart: an admin brings them the key */
	text_free(c, &c->naming);
	c->naming = t;
}

bool naming_payload(
        const struct cluster *c, const struct session_head *theirs, struct session_msg *out)
{
	const struct text *t = &c->naming;

	if (!t->file || !theirs->serial || theirs->serial >= t->head.serial)
		return false;
	*out = (struct session_msg){.type = SESSION_BUNDLE,
	        .head = t->head,
	        .data = (const uint8_t *)t->file,
	        .len = t->len};
	return true;
}

/* A delta becomes a file, to be freed; NULL: not possible, err says why (0: ask for the whole). */
char *text_rebuild(struct cluster *c, const struct session_msg *msg, size_t *len, int *error,
        char *err, size_t err_size)
{
	const struct text *base = text_find(c, &msg->base);
	const char *data = (const char *)msg->data;
	char *text = NULL, *file;
	size_t delta_len, text_len = 0, sig;

	*error = 0;
	if (!base)
		return NULL;
	*error = bundle_split(data, msg->len, &delta_len, err, err_size);
	if (!*error)
		*error = do_patch(c, base, data, delta_len, &text, &text_len, err, err_size);
	if (*error)
		return NULL;
	sig = msg->len - delta_len;
	file = realloc(text, text_len + sig + 1);
	if (!file) {
		free(text);
		*error = -ENOMEM;
		return NULL;
	}
	memcpy(file + text_len, data + delta_len, sig);
	*len = text_len + sig;
	file[*len] = 0;
	return file;
}

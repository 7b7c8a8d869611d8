/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Connections of others in the same charon, as far as they concern us: for the doctor. */
#include "host/charon_private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define FOREIGN_MAX 64

struct foreign {
	charon_foreign_fn *done;
	void *user;
	struct policy_prefix overlay[2]; /* family 0: none */
	struct charon_foreign_row rows[FOREIGN_MAX];
	size_t n;
};

static bool overlaps(const struct policy_prefix *a, const struct policy_prefix *b)
{
	return a->addr.family && b->addr.family &&
	       policy_prefix_contains(
	               a->len < b->len ? a : b, a->len < b->len ? &b->addr : &a->addr);
}

/*
 * "10.77.0.0/16", perhaps with "[tcp/80]" behind it; a range or what else we cannot read may cover
 * anything. "dynamic" is the peer's own address, or one that charon gave it: it cannot choose.
 */
static bool selector_covers(const struct foreign *foreign, const char *text)
{
	struct policy_prefix prefix;
	char plain[64];
	size_t len = strcspn(text, "[");

	if (strncmp(text, "dynamic", 7) == 0)
		return false;
	if (len >= sizeof(plain))
		return true;
	memcpy(plain, text, len);
	plain[len] = 0;
	if (charon_selector_parse(plain, &prefix))
		return true;
	return overlaps(&prefix, &foreign->overlay[0]) || overlaps(&prefix, &foreign->overlay[1]);
}

static bool covers(const struct foreign *foreign, const struct vici_conn_row *row)
{
	for (size_t i = 0; i < row->n_children; i++)
		for (const char *const *ts = row->children[i].remote_ts; ts && *ts; ts++)
			if (selector_covers(foreign, *ts))
				return true;
	return false;
}

/* Only public keys can be stood in for by a raw key that charon knows. */
static bool unpinned(const struct vici_conn_row *row)
{
	return !row->n_remote_certs &&
	       vici_find_section(row->raw, "remote-1.cacerts", &(struct vici_blob){0}) != 0 &&
	       strstr(row->remote_class, "public key");
}

static void on_row(void *user, const struct vici_conn_row *row)
{
	struct charon_foreign_row found = {.unpinned = unpinned(row)};
	struct foreign *foreign = user;

	if (strncmp(row->name, ENGINE_CONN_PREFIX, strlen(ENGINE_CONN_PREFIX)) == 0 ||
	        foreign->n == FOREIGN_MAX)
		return;
	found.covers = covers(foreign, row);
	if (!found.unpinned && !found.covers)
		return;
	found.name = strdup(row->name);
	if (found.name)
		foreign->rows[foreign->n++] = found;
}

static void on_rows(void *user, const struct vici_result *r)
{
	struct foreign *foreign = user;

	foreign->done(foreign->user, r->error, foreign->rows, foreign->n);
	for (size_t i = 0; i < foreign->n; i++)
		free(foreign->rows[i].name);
	free(foreign);
}

int charon_list_foreign(struct charon *charon, charon_foreign_fn *done, void *user)
{
	struct engine_view view;
	struct foreign *foreign;
	int err;

	if (!charon->told)
		return -ENOTCONN;
	foreign = calloc(1, sizeof(*foreign));
	if (!foreign)
		return -ENOMEM;
	engine_look(charon->world->engine, &view);
	if (view.policy) {
		foreign->overlay[0] = view.policy->overlay4;
		foreign->overlay[1] = view.policy->overlay6;
	}
	foreign->done = done;
	foreign->user = user;
	err = vici_list_conns(
	        charon->links[LINK_COMMANDS].v, NULL, on_row, on_rows, foreign, 0, charon_now());
	if (err)
		free(foreign);
	charon_link_update(&charon->links[LINK_COMMANDS]);
	return err;
}

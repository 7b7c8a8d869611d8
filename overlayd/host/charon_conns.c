/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which connections of ours charon has, and for whom: what an earlier run left. */
#include "host/charon.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void charon_conns_clear(struct charon_conns *conns)
{
	for (size_t i = 0; i < conns->n; i++) {
		free((char *)conns->names[i]);
		free((char *)conns->rows[i].remote_id);
	}
	free(conns->names);
	free(conns->rows);
	memset(conns, 0, sizeof(*conns));
}

static int conns_grow(struct charon_conns *conns)
{
	size_t cap = conns->cap ? conns->cap * 2 : 64;
	struct engine_conn_row *rows;
	const char **names;

	if (conns->n < conns->cap)
		return 0;
	names = realloc(conns->names, cap * sizeof(*names));
	if (!names)
		return -ENOMEM;
	conns->names = names;
	rows = realloc(conns->rows, cap * sizeof(*rows));
	if (!rows)
		return -ENOMEM;
	conns->rows = rows;
	conns->cap = cap;
	return 0;
}

static void row_read(struct engine_conn_row *out, const struct vici_conn_row *row)
{
	out->pinned = row->n_remote == 1 && row->n_remote_certs == 1;
	out->odd_ts = row->n_children != 1;
	if (row->n_children == 1 && row->children[0].remote_ts)
		charon_selectors_read(row->children[0].remote_ts, out->remote_ts, &out->n_remote_ts,
		        &out->odd_ts);
}

void charon_conns_add(struct charon_conns *conns, const struct vici_conn_row *row)
{
	struct engine_conn_row read = {0};
	char *name, *remote_id;

	if (conns->truncated || conns->error ||
	        strncmp(row->name, ENGINE_CONN_PREFIX, strlen(ENGINE_CONN_PREFIX)) != 0)
		return;
	if (conns->n >= ENGINE_CONNS_MAX) {
		conns->truncated = true;
		return;
	}
	row_read(&read, row);
	name = strdup(row->name);
	remote_id = strdup(row->remote_id);
	if (!name || !remote_id || conns_grow(conns)) {
		free(name);
		free(remote_id);
		conns->error = -ENOMEM;
		return;
	}
	read.remote_id = remote_id;
	conns->names[conns->n] = name;
	conns->rows[conns->n++] = read;
}

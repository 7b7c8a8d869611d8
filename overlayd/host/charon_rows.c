/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What charon tells of its SAs, in the engine's words. */
#include "host/charon.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

/* ---- one row ------------------------------------------------------------------------------ */

static enum engine_ike_state ike_state(const char *state)
{
	static const struct {
		const char *name;
		enum engine_ike_state state;
	} names[] = {
	        {"CREATED", ENGINE_IKE_CONNECTING},
	        {"CONNECTING", ENGINE_IKE_CONNECTING},
	        {"ESTABLISHED", ENGINE_IKE_ESTABLISHED},
	        {"REKEYING", ENGINE_IKE_ESTABLISHED},
	        {"PASSIVE", ENGINE_IKE_OTHER},
	        {"REKEYED", ENGINE_IKE_LEAVING},
	        {"DELETING", ENGINE_IKE_LEAVING},
	        {"DESTROYING", ENGINE_IKE_LEAVING},
	};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strcmp(state, names[i].name) == 0)
			return names[i].state;
	return ENGINE_IKE_OTHER;
}

static enum engine_child_state child_state(const char *state)
{
	static const struct {
		const char *name;
		enum engine_child_state state;
	} names[] = {
	        {"CREATED", ENGINE_CHILD_PENDING},
	        {"ROUTED", ENGINE_CHILD_PENDING},
	        {"INSTALLING", ENGINE_CHILD_PENDING},
	        {"RETRYING", ENGINE_CHILD_PENDING},
	        {"INSTALLED", ENGINE_CHILD_INSTALLED},
	        {"UPDATING", ENGINE_CHILD_INSTALLED},
	        {"REKEYING", ENGINE_CHILD_INSTALLED},
	        {"REKEYED", ENGINE_CHILD_LEAVING},
	        {"DELETING", ENGINE_CHILD_LEAVING},
	        {"DELETED", ENGINE_CHILD_LEAVING},
	        {"DESTROYING", ENGINE_CHILD_LEAVING},
	};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strcmp(state, names[i].name) == 0)
			return names[i].state;
	return ENGINE_CHILD_OTHER;
}

int charon_selector_parse(const char *text, struct policy_prefix *out)
{
	const char *slash = strchr(text, '/');
	struct policy_prefix prefix = {0};
	char addr[64];
	size_t len = slash ? (size_t)(slash - text) : strlen(text);
	unsigned long bits;
	char *end;

	if (len >= sizeof(addr))
		return -EINVAL;
	memcpy(addr, text, len);
	addr[len] = 0;
	if (policy_addr_parse(addr, &prefix.addr))
		return -EINVAL;
	bits = prefix.addr.family == AF_INET ? 32 : 128;
	if (slash) {
		unsigned long most = bits;

		if (slash[1] < '0' || slash[1] > '9')
			return -EINVAL;
		bits = strtoul(slash + 1, &end, 10);
		if (*end || bits > most)
			return -EINVAL;
	}
	prefix.len = (uint8_t)bits;
	*out = prefix;
	return 0;
}

void charon_selectors_read(
        const char *const *texts, struct policy_prefix *out, uint8_t *n, bool *odd)
{
	*n = 0;
	for (; *texts; texts++) {
		if (*n == ENGINE_TS_MAX || charon_selector_parse(*texts, &out[*n])) {
			*odd = true;
			return;
		}
		(*n)++;
	}
}

void charon_child_view(const struct vici_child_sa *sa, struct engine_child_row *child)
{
	memset(child, 0, sizeof(*child));
	child->id = sa->uniqueid;
	child->state = child_state(sa->state);
	charon_selectors_read(sa->local_ts, child->local_ts, &child->n_local_ts, &child->odd_ts);
	charon_selectors_read(sa->remote_ts, child->remote_ts, &child->n_remote_ts, &child->odd_ts);
	child->bytes_in = sa->bytes_in.set ? (uint64_t)sa->bytes_in.v : 0;
	child->bytes_out = sa->bytes_out.set ? (uint64_t)sa->bytes_out.v : 0;
}

void charon_row_view(
        const struct vici_ike_sa *sa, struct engine_sa_row *row, struct engine_child_row *children)
{
	size_t n = sa->n_children < ENGINE_CHILDREN_MAX ? sa->n_children : ENGINE_CHILDREN_MAX;

	memset(row, 0, sizeof(*row));
	row->conn = sa->name;
	row->id = sa->uniqueid;
	row->state = ike_state(sa->state);
	row->local_id = sa->local_id;
	row->remote_id = sa->remote_id;
	(void)policy_addr_parse(sa->local_host ? sa->local_host : "", &row->local_host);
	(void)policy_addr_parse(sa->remote_host, &row->remote_host);
	row->remote_port = sa->remote_port;
	row->initiator = sa->initiator;
	row->established_s = sa->established.set ? sa->established.v : -1;
	row->rekey_s = sa->rekey_time.set ? sa->rekey_time.v : INT64_MIN;
	row->children = children;
	row->n_children = n;
	row->truncated = sa->n_children > n;
	for (size_t i = 0; i < n; i++)
		charon_child_view(&sa->children[i], &children[i]);
}

/* ---- many, copied ---------------------------------------------------------------------------- */

#define CHUNK_SIZE 65536U

struct charon_chunk {
	struct charon_chunk *next;
	size_t used;
	_Alignas(8) char data[CHUNK_SIZE];
};

static void *chunk_alloc(struct charon_rows *rows, size_t size)
{
	struct charon_chunk *chunk = rows->chunks;
	void *at;

	size = (size + 7) & ~(size_t)7;
	if (size > CHUNK_SIZE)
		return NULL;
	if (!chunk || chunk->used + size > CHUNK_SIZE) {
		chunk = malloc(sizeof(*chunk));
		if (!chunk)
			return NULL;
		chunk->used = 0;
		chunk->next = rows->chunks;
		rows->chunks = chunk;
	}
	at = chunk->data + chunk->used;
	chunk->used += size;
	return at;
}

static const char *chunk_text(struct charon_rows *rows, const char *text)
{
	size_t len = strlen(text) + 1;
	char *copy = chunk_alloc(rows, len);

	return copy ? memcpy(copy, text, len) : NULL;
}

void charon_rows_clear(struct charon_rows *rows)
{
	while (rows->chunks) {
		struct charon_chunk *next = rows->chunks->next;

		free(rows->chunks);
		rows->chunks = next;
	}
	free(rows->rows);
	memset(rows, 0, sizeof(*rows));
}

static int rows_grow(struct charon_rows *rows)
{
	size_t cap = rows->cap ? rows->cap * 2 : 64;
	struct engine_sa_row *grown;

	if (rows->n < rows->cap)
		return 0;
	grown = realloc(rows->rows, cap * sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	rows->rows = grown;
	rows->cap = cap;
	return 0;
}

void charon_rows_add(struct charon_rows *rows, const struct vici_ike_sa *sa)
{
	struct engine_child_row children[ENGINE_CHILDREN_MAX];
	struct charon_ranges ranges;
	struct engine_sa_row row;
	struct engine_range *foreign;
	size_t size;
	void *copy;

	if (rows->n >= ENGINE_SAS_MAX)
		rows->truncated = true;
	if (rows->truncated || rows->error)
		return;
	charon_row_view(sa, &row, children);
	charon_ranges_view(sa, &row, &ranges);
	size = row.n_children * sizeof(children[0]);
	copy = chunk_alloc(rows, size ? size : 1);
	foreign = chunk_alloc(rows, row.n_foreign * sizeof(*foreign) + 1);
	row.conn = chunk_text(rows, row.conn);
	row.local_id = chunk_text(rows, row.local_id);
	row.remote_id = chunk_text(rows, row.remote_id);
	if (!copy || !foreign || !row.conn || !row.local_id || !row.remote_id || rows_grow(rows)) {
		rows->error = -ENOMEM;
		return;
	}
	memcpy(copy, children, size);
	row.children = copy;
	if (row.n_foreign)
		memcpy(foreign, row.foreign, row.n_foreign * sizeof(*foreign));
	row.foreign = foreign;
	rows->rows[rows->n++] = row;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Connections as list-conn rows tell them (README.md, "list-conn"). */
#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "vici-client/private.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define CONN(name, kind, field)                                                                    \
	{                                                                                          \
		name, VICI_F_##kind, offsetof(struct vici_conn_row, field)                         \
	}
#define CHILD(name, kind, field)                                                                   \
	{                                                                                          \
		name, VICI_F_##kind, offsetof(struct vici_child_row, field)                        \
	}
#define AUTH(name, kind, field)                                                                    \
	{                                                                                          \
		name, VICI_F_##kind, offsetof(struct auth, field)                                  \
	}

struct auth {
	const char *class, *id;
	const char *const *certs;
};

static const struct vici_field conn_fields[] = {
        CONN("version", STR, version),
        CONN("local_addrs", LIST, local_addrs),
        CONN("remote_addrs", LIST, remote_addrs),
        CONN("local_port", NUM, local_port),
        CONN("remote_port", NUM, remote_port),
        CONN("reauth_time", NUM, reauth_time),
        CONN("rekey_time", NUM, rekey_time),
        CONN("unique", STR, unique),
};

static const struct vici_field child_fields[] = {
        CHILD("mode", STR, mode),
        CHILD("rekey_time", NUM, rekey_time),
        CHILD("local-ts", LIST, local_ts),
        CHILD("remote-ts", LIST, remote_ts),
};

static const struct vici_field auth_fields[] = {
        AUTH("class", STR, class),
        AUTH("id", STR, id),
        AUTH("certs", LIST, certs),
};

static int decode_child(
        struct vici_arena *a, void *out, const struct vici_element *name, struct vici_blob inside)
{
	struct vici_child_row *child = out;
	int r = vici_decode(a, inside, child_fields, COUNT(child_fields), child);

	child->name = vici_arena_text(a, name->name, name->name_len);
	return r;
}

static bool begins(const struct vici_element *e, const char *with)
{
	return e->name_len >= strlen(with) && !memcmp(e->name, with, strlen(with));
}

static int decode_auth(struct vici_arena *a, struct vici_conn_row *row,
        const struct vici_element *name, struct vici_blob inside)
{
	bool local = begins(name, "local-"), remote = begins(name, "remote-");
	struct auth auth = {0};

	if (!local && !remote)
		return 0;
	if (remote && row->n_remote++)
		return 0;
	if (local && *row->local_class)
		return 0;
	if (vici_decode(a, inside, auth_fields, COUNT(auth_fields), &auth))
		return -EBADMSG;
	if (local) {
		row->local_class = auth.class;
		row->local_id = auth.id;
		return 0;
	}
	row->remote_class = auth.class;
	row->remote_id = auth.id;
	while (auth.certs[row->n_remote_certs])
		row->n_remote_certs++;
	return 0;
}

static int decode_auths(struct vici_arena *a, struct vici_conn_row *row, struct vici_blob conn)
{
	struct vici_blob inside;
	struct vici_element e;
	struct vici_iter it;
	int r;

	row->local_class = row->local_id = row->remote_class = row->remote_id = "";
	vici_iter_init(&it, conn);
	while ((r = vici_iter_next(&it, &e)) > 0) {
		if (e.type == VICI_LIST_START)
			r = vici_iter_skip(&it);
		else if (e.type == VICI_SECTION_START)
			r = vici_iter_section(&it, &inside);
		if (r >= 0 && e.type == VICI_SECTION_START)
			r = decode_auth(a, row, &e, inside);
		if (r < 0)
			return -EBADMSG;
	}
	return r;
}

static int decode_conn(struct vici_arena *a, struct vici_conn_row *row,
        const struct vici_element *name, struct vici_blob inside, struct vici_blob children)
{
	if (vici_decode(a, inside, conn_fields, COUNT(conn_fields), row) ||
	        decode_auths(a, row, inside))
		return -EBADMSG;
	row->name = vici_arena_text(a, name->name, name->name_len);
	row->raw = inside;
	row->children = vici_decode_sections(
	        a, children, sizeof(*row->children), decode_child, &row->n_children);
	return row->children ? 0 : -EBADMSG;
}

int vici_decode_conns(struct vici_blob message, vici_conn_row_fn *fn, void *user)
{
	struct vici_blob inside, children = {0};
	struct vici_conn_row row = {0};
	struct vici_element name;
	struct vici_arena a;
	int n, r = vici_only_section(message, &name, &inside);

	if (r)
		return r;
	vici_find_section(inside, "children", &children);
	n = vici_count_sections(children);
	if (n < 0 || n > VICI_CHILDREN_MAX)
		return -EBADMSG;
	r = vici_arena_init(&a, message, n * sizeof(*row.children));
	if (r)
		return r;
	r = decode_conn(&a, &row, &name, inside, children);
	if (!r && fn)
		fn(user, &row);
	vici_arena_fini(&a);
	return r;
}

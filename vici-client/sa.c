/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* IKE_SAs and CHILD_SAs as list-sa rows and events tell them (README.md, "list-sa"). */
#include <errno.h>
#include <stddef.h>

#include "vici-client/private.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define IKE(name, kind, field)                                                                     \
	{                                                                                          \
		name, VICI_F_##kind, offsetof(struct vici_ike_sa, field)                           \
	}
#define CHILD(name, kind, field)                                                                   \
	{                                                                                          \
		name, VICI_F_##kind, offsetof(struct vici_child_sa, field)                         \
	}

static const struct vici_field ike_fields[] = {
        IKE("uniqueid", U32, uniqueid),
        IKE("version", NUM, version),
        IKE("state", STR, state),
        IKE("local-host", STR, local_host),
        IKE("local-port", U16, local_port),
        IKE("local-id", STR, local_id),
        IKE("remote-host", STR, remote_host),
        IKE("remote-port", U16, remote_port),
        IKE("remote-id", STR, remote_id),
        IKE("initiator", YES, initiator),
        IKE("initiator-spi", HEX64, initiator_spi),
        IKE("responder-spi", HEX64, responder_spi),
        IKE("nat-local", YES, nat_local),
        IKE("nat-remote", YES, nat_remote),
        IKE("nat-fake", YES, nat_fake),
        IKE("nat-any", YES, nat_any),
        IKE("if-id-in", HEX32, if_id_in),
        IKE("if-id-out", HEX32, if_id_out),
        IKE("encr-alg", STR, encr_alg),
        IKE("encr-keysize", NUM, encr_keysize),
        IKE("integ-alg", STR, integ_alg),
        IKE("prf-alg", STR, prf_alg),
        IKE("dh-group", STR, dh_group),
        IKE("established", NUM, established),
        IKE("rekey-time", NUM, rekey_time),
        IKE("reauth-time", NUM, reauth_time),
        IKE("local-vips", LIST, local_vips),
        IKE("remote-vips", LIST, remote_vips),
        IKE("tasks-queued", LIST, tasks_queued),
        IKE("tasks-active", LIST, tasks_active),
        IKE("tasks-passive", LIST, tasks_passive),
};

static const struct vici_field child_fields[] = {
        CHILD("name", STR, name),
        CHILD("uniqueid", U32, uniqueid),
        CHILD("reqid", U32, reqid),
        CHILD("state", STR, state),
        CHILD("mode", STR, mode),
        CHILD("protocol", STR, protocol),
        CHILD("encap", YES, encap),
        CHILD("spi-in", HEX32, spi_in),
        CHILD("spi-out", HEX32, spi_out),
        CHILD("if-id-in", HEX32, if_id_in),
        CHILD("if-id-out", HEX32, if_id_out),
        CHILD("encr-alg", STR, encr_alg),
        CHILD("encr-keysize", NUM, encr_keysize),
        CHILD("integ-alg", STR, integ_alg),
        CHILD("dh-group", STR, dh_group),
        CHILD("bytes-in", NUM, bytes_in),
        CHILD("packets-in", NUM, packets_in),
        CHILD("use-in", NUM, use_in),
        CHILD("bytes-out", NUM, bytes_out),
        CHILD("packets-out", NUM, packets_out),
        CHILD("use-out", NUM, use_out),
        CHILD("rekey-time", NUM, rekey_time),
        CHILD("life-time", NUM, life_time),
        CHILD("install-time", NUM, install_time),
        CHILD("local-ts", LIST, local_ts),
        CHILD("remote-ts", LIST, remote_ts),
};

int vici_decode_child_sa(struct vici_arena *a, struct vici_child_sa *c,
        const struct vici_element *name, struct vici_blob inside)
{
	int r = vici_decode(a, inside, child_fields, COUNT(child_fields), c);

	c->key = vici_arena_text(a, name->name, name->name_len);
	return r;
}

static int decode_child(
        struct vici_arena *a, void *out, const struct vici_element *name, struct vici_blob inside)
{
	return vici_decode_child_sa(a, out, name, inside);
}

/* child-rekey's children hold "old" and "new" instead of the values: they come out empty here. */
int vici_decode_ike_sa(struct vici_arena *a, struct vici_ike_sa *sa,
        const struct vici_element *name, struct vici_blob inside)
{
	int r = vici_decode(a, inside, ike_fields, COUNT(ike_fields), sa);
	struct vici_blob children;

	if (r)
		return r;
	sa->name = vici_arena_text(a, name->name, name->name_len);
	sa->raw = inside;
	r = vici_find_section(inside, "child-sas", &children);
	if (r == -ENOENT)
		return 0;
	if (r)
		return -EBADMSG;
	sa->children = vici_decode_sections(
	        a, children, sizeof(*sa->children), decode_child, &sa->n_children);
	return sa->children ? 0 : -EBADMSG;
}

int vici_decode_sas(struct vici_blob row, vici_ike_sa_fn *fn, void *user)
{
	struct vici_blob inside, children = {0};
	struct vici_ike_sa sa = {0};
	struct vici_element name;
	struct vici_arena a;
	int n = 0, r = vici_only_section(row, &name, &inside);

	if (r)
		return r;
	if (!vici_find_section(inside, "child-sas", &children))
		n = vici_count_sections(children);
	if (n < 0 || n > VICI_CHILDREN_MAX)
		return -EBADMSG;
	r = vici_arena_init(&a, row, n * sizeof(*sa.children));
	if (r)
		return r;
	r = vici_decode_ike_sa(&a, &sa, &name, inside);
	if (!r && fn)
		fn(user, &sa);
	vici_arena_fini(&a);
	return r;
}

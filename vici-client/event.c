/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Typed events (README.md, "Server-issued events"). */
#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "vici-client/private.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define EVENT(name, kind, field)                                                                   \
	{                                                                                          \
		name, VICI_F_##kind, offsetof(struct vici_event, field)                            \
	}

static const struct vici_field updown_fields[] = {
        EVENT("up", YES, up),
};

static const struct vici_field update_fields[] = {
        EVENT("local-host", STR, local_host),
        EVENT("local-port", U16, local_port),
        EVENT("remote-host", STR, remote_host),
        EVENT("remote-port", U16, remote_port),
};

static const struct vici_field log_fields[] = {
        EVENT("group", STR, log_group),
        EVENT("level", NUM, log_level),
        EVENT("ikesa-name", STR, log_sa),
        EVENT("msg", STR, log_text),
};

/* What an event is decoded into, all in one place so that it lives as long as the callback. */
struct decoded {
	struct vici_event event;
	struct vici_ike_sa sa, old_sa;
	struct vici_child_sa child, old_child;
	struct vici_arena arena;
};

static int decode_sa(struct decoded *d, struct vici_blob message)
{
	struct vici_element name;
	struct vici_blob inside;

	if (vici_only_section(message, &name, &inside) ||
	        vici_decode_ike_sa(&d->arena, &d->sa, &name, inside))
		return -EBADMSG;
	d->event.sa = &d->sa;
	return 0;
}

static int decode_ike_updown(struct decoded *d, struct vici_blob message)
{
	int r = vici_decode(&d->arena, message, updown_fields, COUNT(updown_fields), &d->event);

	return r ? r : decode_sa(d, message);
}

static int decode_ike_update(struct decoded *d, struct vici_blob message)
{
	int r = vici_decode(&d->arena, message, update_fields, COUNT(update_fields), &d->event);

	return r ? r : decode_sa(d, message);
}

static int decode_ike_rekey(struct decoded *d, struct vici_blob message)
{
	struct vici_blob inside, old_inside, new_inside;
	struct vici_element name;

	if (vici_only_section(message, &name, &inside) ||
	        vici_find_section(inside, "old", &old_inside) ||
	        vici_find_section(inside, "new", &new_inside) ||
	        vici_decode_ike_sa(&d->arena, &d->old_sa, &name, old_inside) ||
	        vici_decode_ike_sa(&d->arena, &d->sa, &name, new_inside))
		return -EBADMSG;
	d->event.sa = &d->sa;
	d->event.old_sa = &d->old_sa;
	return 0;
}

static int decode_child_updown(struct decoded *d, struct vici_blob message)
{
	int r = decode_ike_updown(d, message);

	if (r || d->sa.n_children != 1)
		return -EBADMSG;
	d->event.child = &d->sa.children[0];
	return 0;
}

static int decode_child_rekey(struct decoded *d, struct vici_blob message)
{
	struct vici_blob inside, children, both, old_inside, new_inside;
	struct vici_element sa_name, name;

	if (decode_sa(d, message) || vici_only_section(message, &sa_name, &inside) ||
	        vici_find_section(inside, "child-sas", &children) ||
	        vici_only_section(children, &name, &both) ||
	        vici_find_section(both, "old", &old_inside) ||
	        vici_find_section(both, "new", &new_inside) ||
	        vici_decode_child_sa(&d->arena, &d->old_child, &name, old_inside) ||
	        vici_decode_child_sa(&d->arena, &d->child, &name, new_inside))
		return -EBADMSG;
	d->sa.children = NULL;
	d->sa.n_children = 0;
	d->event.child = &d->child;
	d->event.old_child = &d->old_child;
	return 0;
}

static int decode_log(struct decoded *d, struct vici_blob message)
{
	return vici_decode(&d->arena, message, log_fields, COUNT(log_fields), &d->event);
}

static int decode_other(struct decoded *d, struct vici_blob message)
{
	(void)d;
	(void)message;
	return 0;
}

static const struct event_kind {
	const char *name;
	enum vici_event_type type;
	int (*decode)(struct decoded *d, struct vici_blob message);
} kinds[] = {
        {"ike-updown", VICI_EV_IKE_UPDOWN, decode_ike_updown},
        {"ike-rekey", VICI_EV_IKE_REKEY, decode_ike_rekey},
        {"ike-update", VICI_EV_IKE_UPDATE, decode_ike_update},
        {"child-updown", VICI_EV_CHILD_UPDOWN, decode_child_updown},
        {"child-rekey", VICI_EV_CHILD_REKEY, decode_child_rekey},
        {"log", VICI_EV_LOG, decode_log},
        {NULL, VICI_EV_OTHER, decode_other},
};

/* An event tells of one CHILD_SA; the names of an IKE_SA may be said twice, for its old and its new
 * self. */
int vici_decode_event(const char *name, struct vici_blob message,
        void (*fn)(void *user, const struct vici_event *event), void *user)
{
	const struct event_kind *kind = kinds;
	struct decoded d = {.event = {.name = name, .raw = message}};
	int r;

	while (kind->name && strcmp(kind->name, name))
		kind++;
	d.event.type = kind->type;
	r = vici_arena_init(&d.arena, message, sizeof(struct vici_child_sa));
	if (r)
		return r;
	r = kind->decode(&d, message);
	if (!r)
		fn(user, &d.event);
	vici_arena_fini(&d.arena);
	return r;
}

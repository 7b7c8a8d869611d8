/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* struct vici_connection -> load-conn's message (swanctl.conf(5), "connections"). */
#include <errno.h>
#include <string.h>

#include "vici-client/private.h"

static void put_str(struct vici_builder *b, const char *key, const char *value)
{
	if (value)
		vici_add_str(b, key, value);
}

static void put_num(struct vici_builder *b, const char *key, struct vici_num value)
{
	if (value.set)
		vici_add_i64(b, key, value.v);
}

static void put_tri(struct vici_builder *b, const char *key, enum vici_tri value)
{
	if (value != VICI_UNSET)
		vici_add_bool(b, key, value == VICI_YES);
}

static void put_blobs(
        struct vici_builder *b, const char *key, const struct vici_blob *blobs, size_t n)
{
	size_t i;

	if (!n)
		return;
	vici_add_list(b, key);
	for (i = 0; i < n; i++)
		vici_add_item_blob(b, blobs[i].data, blobs[i].len);
	vici_end_list(b);
}

/* Neither or both of value and list is a mistake that must not pass in silence. */
void vici_add_extra(struct vici_builder *b, const struct vici_extra *extra, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++) {
		if (!extra[i].value == !extra[i].list)
			vici_add_str(b, extra[i].key, NULL);
		else if (extra[i].value)
			vici_add_str(b, extra[i].key, extra[i].value);
		else
			vici_add_strings(b, extra[i].key, extra[i].list);
	}
}

static void put_auth(struct vici_builder *b, const char *section, const struct vici_auth *a)
{
	if (!a->auth && !a->id && !a->n_pubkeys && !a->n_certs && !a->n_cacerts && !a->n_extra)
		return;
	vici_add_section(b, section);
	put_str(b, "auth", a->auth);
	put_str(b, "id", a->id);
	put_blobs(b, "pubkeys", a->pubkeys, a->n_pubkeys);
	put_blobs(b, "certs", a->certs, a->n_certs);
	put_blobs(b, "cacerts", a->cacerts, a->n_cacerts);
	vici_add_extra(b, a->extra, a->n_extra);
	vici_end_section(b);
}

static void put_child(struct vici_builder *b, const struct vici_child *c)
{
	vici_add_section(b, c->name);
	vici_add_strings(b, "local_ts", c->local_ts);
	vici_add_strings(b, "remote_ts", c->remote_ts);
	vici_add_strings(b, "esp_proposals", c->esp_proposals);
	put_str(b, "mode", c->mode);
	put_str(b, "start_action", c->start_action);
	put_str(b, "dpd_action", c->dpd_action);
	put_str(b, "close_action", c->close_action);
	put_num(b, "rekey_time", c->rekey_time);
	put_num(b, "life_time", c->life_time);
	put_num(b, "rand_time", c->rand_time);
	put_num(b, "rekey_bytes", c->rekey_bytes);
	put_num(b, "life_bytes", c->life_bytes);
	put_num(b, "rekey_packets", c->rekey_packets);
	put_num(b, "life_packets", c->life_packets);
	put_tri(b, "policies", c->policies);
	put_num(b, "reqid", c->reqid);
	put_num(b, "priority", c->priority);
	put_num(b, "replay_window", c->replay_window);
	put_num(b, "inactivity", c->inactivity);
	put_num(b, "if_id_in", c->if_id_in);
	put_num(b, "if_id_out", c->if_id_out);
	vici_add_extra(b, c->extra, c->n_extra);
	vici_end_section(b);
}

static void put_ike(struct vici_builder *b, const struct vici_connection *c)
{
	put_num(b, "version", c->version);
	vici_add_strings(b, "local_addrs", c->local_addrs);
	vici_add_strings(b, "remote_addrs", c->remote_addrs);
	put_num(b, "local_port", c->local_port);
	put_num(b, "remote_port", c->remote_port);
	vici_add_strings(b, "proposals", c->proposals);
	put_tri(b, "encap", c->encap);
	put_tri(b, "mobike", c->mobike);
	put_tri(b, "aggressive", c->aggressive);
	put_tri(b, "pull", c->pull);
	put_tri(b, "send_certreq", c->send_certreq);
	put_num(b, "dpd_delay", c->dpd_delay);
	put_num(b, "dpd_timeout", c->dpd_timeout);
	put_num(b, "rekey_time", c->rekey_time);
	put_num(b, "reauth_time", c->reauth_time);
	put_num(b, "over_time", c->over_time);
	put_num(b, "rand_time", c->rand_time);
	put_num(b, "keyingtries", c->keyingtries);
	put_str(b, "unique", c->unique);
	put_str(b, "fragmentation", c->fragmentation);
	put_str(b, "childless", c->childless);
	put_str(b, "send_cert", c->send_cert);
	put_num(b, "if_id_in", c->if_id_in);
	put_num(b, "if_id_out", c->if_id_out);
	vici_add_strings(b, "vips", c->vips);
	vici_add_strings(b, "pools", c->pools);
}

void vici_connection_encode(struct vici_builder *b, const struct vici_connection *c)
{
	size_t i;

	vici_add_section(b, c->name);
	put_ike(b, c);
	put_auth(b, "local", &c->local);
	put_auth(b, "remote", &c->remote);
	if (c->n_children) {
		vici_add_section(b, "children");
		for (i = 0; i < c->n_children; i++)
			put_child(b, &c->children[i]);
		vici_end_section(b);
	}
	vici_add_extra(b, c->extra, c->n_extra);
	vici_end_section(b);
}

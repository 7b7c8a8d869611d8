/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The two ends of a join SA, in charon's words. Names: swanctl.conf(5).
 *
 * The seed proves its key; the newcomer proves nothing but a secret that everybody knows, under an
 * identity that is no node's: so it gets this connection and no other, an address of the pool, and a
 * selector that is one TCP port of one address. Neither end rekeys: no such SA grows that old.
 */
#include "host/charon_private.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#define DPD 5 /* seconds */

int charon_join_secret(struct vici *v, const char *id, vici_done_fn *done, void *user)
{
	static const char *const owners[] = {"@" JOIN_IDENTITY, NULL};
	struct vici_shared secret = {.id = id,
	        .type = "IKE",
	        .data = JOIN_SECRET,
	        .len = sizeof(JOIN_SECRET) - 1,
	        .owners = owners};

	return vici_load_shared(v, &secret, done, user, 0, charon_now());
}

int charon_join_pool(
        struct vici *v, const struct policy_prefix *prefix, vici_done_fn *done, void *user)
{
	char addr[64], addrs[80];
	struct vici_pool pool = {.name = JOIN_POOL, .addrs = addrs};

	policy_addr_print(&prefix->addr, addr, sizeof(addr));
	snprintf(addrs, sizeof(addrs), "%s/%u", addr, prefix->len);
	return vici_load_pool(v, &pool, done, user, 0, charon_now());
}

/* What both ends have alike. */
static void common(struct vici_connection *c, struct vici_child *child, uint32_t if_id, bool mlkem)
{
	child->name = JOIN_CHILD;
	child->esp_proposals = charon_esp_proposals(mlkem);
	child->mode = "tunnel";
	child->start_action = child->dpd_action = child->close_action = "none";
	child->rekey_time = VICI_NUM(0);
	c->version = VICI_NUM(2);
	c->proposals = charon_ike_proposals(mlkem);
	c->encap = VICI_YES;
	c->mobike = VICI_NO;
	c->send_certreq = VICI_NO;
	c->send_cert = "never";
	c->dpd_delay = VICI_NUM(DPD);
	c->rekey_time = VICI_NUM(0);
	c->keyingtries = VICI_NUM(1);
	c->unique = "never";
	c->children = child;
	c->n_children = 1;
	if (if_id) {
		c->if_id_in = c->if_id_out = VICI_NUM(if_id);
		child->if_id_in = child->if_id_out = VICI_NUM(if_id);
	}
}

int charon_join_serve(struct vici *v, const struct engine_join_serve *serve, uint32_t if_id,
        bool mlkem, vici_done_fn *done, void *user)
{
	static const char *const anywhere[] = {"0.0.0.0/0", "::/0", NULL};
	static const char *const dynamic[] = {"dynamic", NULL};
	static const char *const pools[] = {JOIN_POOL, NULL};
	uint8_t own[CHARON_SPKI];
	struct vici_blob own_blob = {own, sizeof(own)};
	char local_id[ENGINE_ID_MAX + 1], addr[64], ts[96];
	const char *local_ts[] = {ts, NULL};
	struct vici_child child = {.local_ts = local_ts, .remote_ts = dynamic};
	struct vici_connection c = {
	        .name = JOIN_CONN,
	        .remote_addrs = anywhere,
	        .local_port = VICI_NUM(serve->port),
	        .pools = pools,
	        .local = {.auth = "pubkey", .id = local_id, .pubkeys = &own_blob, .n_pubkeys = 1},
	        .remote = {.auth = "psk", .id = "@" JOIN_IDENTITY},
	};

	charon_spki(serve->own_key.raw, own);
	snprintf(local_id, sizeof(local_id), "@%s", serve->local_id);
	policy_addr_print(&serve->addr6, addr, sizeof(addr));
	snprintf(ts, sizeof(ts), "%s/128[tcp/%u]", addr, JOIN_PORT);
	common(&c, &child, if_id, mlkem);
	return vici_load_conn(v, &c, done, user, 0, charon_now());
}

int charon_join_ask(struct vici *v, const struct engine_join_ask *ask, uint16_t local_port,
        uint32_t if_id, bool mlkem, vici_done_fn *done, void *user)
{
	static const char *const vips[] = {"::", NULL};
	static const char *const dynamic[] = {"dynamic", NULL};
	uint8_t key[CHARON_SPKI];
	struct vici_blob key_blob = {key, sizeof(key)};
	char remote_id[ENGINE_ID_MAX + 1], addr[64], ts[96];
	const char *remote_ts[] = {ts, NULL}, *remote_addrs[] = {ask->host, NULL};
	struct vici_child child = {.local_ts = dynamic, .remote_ts = remote_ts};
	struct vici_connection c = {
	        .name = JOIN_ASK_CONN,
	        .remote_addrs = remote_addrs,
	        .local_port = VICI_NUM(local_port),
	        .remote_port = VICI_NUM(ask->port),
	        .vips = vips,
	        .local = {.auth = "psk", .id = "@" JOIN_IDENTITY},
	        .remote = {.auth = "pubkey", .id = remote_id, .pubkeys = &key_blob, .n_pubkeys = 1},
	};

	charon_spki(ask->key.raw, key);
	snprintf(remote_id, sizeof(remote_id), "@%s", ask->remote_id);
	/* The seed narrows it to its own address. */
	policy_addr_print(&ask->overlay6.addr, addr, sizeof(addr));
	snprintf(ts, sizeof(ts), "%s/%u[tcp/%u]", addr, ask->overlay6.len, JOIN_PORT);
	common(&c, &child, if_id, mlkem);
	return vici_load_conn(v, &c, done, user, 0, charon_now());
}

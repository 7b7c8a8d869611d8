/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a peer's connection is, in charon's words. Names: swanctl.conf(5).
 *
 * Everything that charon could decide by itself is switched off: it starts nothing, closes nothing,
 * moves nothing, prefers none of two SAs; the engine does. But for tunnels on demand: there the
 * kernel asks charon for an SA with the first packet, and charon ends the child when it is idle. Both public keys are given inline: ours,
 * so that charon finds the private key for our identity; the peer's, so that no other key that
 * charon may know can stand in for it.
 */
#include "host/charon.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

/* Seconds. */
#define IKE_REKEY (4 * 3600)
#define CHILD_REKEY 3600

/*
 * Packets of one SA that several CPUs handle overtake each other; what falls behind the window is
 * dropped as a replay. charon's default of 32 loses packets of a busy machine.
 */
#define REPLAY_WINDOW 2048

/*
 * A silent peer is asked after this many seconds; with charon's retransmissions (see the drop-in)
 * it is known to be dead 8 s later. Idle peers cost a question each time, so that many are asked
 * less often: never more than a hundred questions a second.
 */
static int64_t dpd_delay(size_t n_peers)
{
	return 3 + (int64_t)(n_peers / 100);
}

/* A fixed head and the 32 bytes. */
void charon_spki(const uint8_t raw[32], uint8_t out[CHARON_SPKI])
{
	static const uint8_t head[CHARON_SPKI - 32] = {
	        0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00};

	memcpy(out, head, sizeof(head));
	memcpy(out + sizeof(head), raw, 32);
}

/* Hybrid first; the classical one for peers whose charon has no ML-KEM. */
const char *const *charon_ike_proposals(bool mlkem)
{
	static const char *const hybrid[] = {
	        "aes256gcm16-prfsha256-x25519-ke1_mlkem768", "aes256gcm16-prfsha256-x25519", NULL};

	return mlkem ? hybrid : hybrid + 1;
}

const char *const *charon_esp_proposals(bool mlkem)
{
	static const char *const hybrid[] = {
	        "aes256gcm16-x25519-ke1_mlkem768", "aes256gcm16-x25519", NULL};

	return mlkem ? hybrid : hybrid + 1;
}

/* "10.77.0.1/32" and "fd...::1/128"; list ends with NULL. */
struct selectors {
	char text[2][64];
	const char *list[3];
};

static void selectors_make(
        struct selectors *ts, const struct policy_addr *addr4, const struct policy_addr *addr6)
{
	const struct policy_addr *addrs[] = {addr4, addr6};
	size_t n = 0;

	for (size_t i = 0; i < 2; i++) {
		char addr[INET6_ADDRSTRLEN];

		if (!addrs[i]->family)
			continue;
		policy_addr_print(addrs[i], addr, sizeof(addr));
		snprintf(ts->text[n], sizeof(ts->text[n]), "%s/%d", addr,
		        addrs[i]->family == AF_INET ? 32 : 128);
		ts->list[n] = ts->text[n];
		n++;
	}
	ts->list[n] = NULL;
}

/* The leading "@" says: a name (FQDN), whatever it looks like. */
static void identity_make(char *buf, size_t size, const char *id)
{
	snprintf(buf, size, "@%s", id);
}

int charon_load_conn(struct vici *v, const struct charon_load *load, vici_done_fn *done, void *user,
        uint64_t now_us)
{
	const struct engine_conn *conn = load->conn;
	struct selectors local_ts, remote_ts;
	uint8_t own[CHARON_SPKI], peer[CHARON_SPKI];
	struct vici_blob own_blob = {own, sizeof(own)}, peer_blob = {peer, sizeof(peer)};
	char local_id[ENGINE_ID_MAX + 1], remote_id[ENGINE_ID_MAX + 1];
	char endpoint[INET6_ADDRSTRLEN];
	const char *remote_addrs[4];
	size_t n = 0;

	selectors_make(&local_ts, &conn->local4, &conn->local6);
	selectors_make(&remote_ts, &conn->remote4, &conn->remote6);
	charon_spki(conn->own_key.raw, own);
	charon_spki(conn->key.raw, peer);
	identity_make(local_id, sizeof(local_id), conn->local_id);
	identity_make(remote_id, sizeof(remote_id), conn->remote_id);
	if (conn->endpoint.family) {
		policy_addr_print(&conn->endpoint, endpoint, sizeof(endpoint));
		remote_addrs[n++] = endpoint;
	}
	remote_addrs[n++] = "0.0.0.0/0";
	remote_addrs[n++] = "::/0";
	remote_addrs[n] = NULL;

	bool trap = conn->trap && load->traps;
	struct vici_child child = {
	        .name = ENGINE_CHILD_NAME,
	        .local_ts = local_ts.list,
	        .remote_ts = remote_ts.list,
	        .esp_proposals = charon_esp_proposals(load->mlkem),
	        .mode = "tunnel",
	        .start_action = trap ? "trap" : "none",
	        .dpd_action = "none",
	        .close_action = "none",
	        .rekey_time = VICI_NUM(CHILD_REKEY),
	        .replay_window = VICI_NUM(REPLAY_WINDOW),
	};
	struct vici_connection c = {
	        .name = conn->name,
	        .version = VICI_NUM(2),
	        .remote_addrs = remote_addrs,
	        .local_port = VICI_NUM(conn->port),
	        .remote_port = VICI_NUM(conn->endpoint_port),
	        .proposals = charon_ike_proposals(load->mlkem),
	        .encap = VICI_YES,
	        .mobike = VICI_NO,
	        .send_certreq = VICI_NO,
	        .send_cert = "never",
	        .dpd_delay = VICI_NUM(dpd_delay(load->n_peers)),
	        .rekey_time = VICI_NUM(IKE_REKEY),
	        .keyingtries = VICI_NUM(1),
	        .unique = "never",
	        .local = {.auth = "pubkey", .id = local_id, .pubkeys = &own_blob, .n_pubkeys = 1},
	        .remote = {.auth = "pubkey",
	                .id = remote_id,
	                .pubkeys = &peer_blob,
	                .n_pubkeys = 1},
	        .children = &child,
	        .n_children = 1,
	};
	if (trap)
		child.inactivity = VICI_NUM(load->idle_s);
	if (load->if_id) {
		c.if_id_in = c.if_id_out = VICI_NUM(load->if_id);
		child.if_id_in = child.if_id_out = VICI_NUM(load->if_id);
	}
	return vici_load_conn(v, &c, done, user, VICI_TIMEOUT_DEFAULT, now_us);
}

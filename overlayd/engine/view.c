/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Looking in from outside: status, and names for people. */
#include "engine/internal.h"

#include <errno.h>
#include <string.h>

static const char *waiting_for(const struct engine *e, const struct peer *p)
{
	if (p->reason)
		return p->reason;
	switch (p->state) {
	case ENGINE_PEER_INACTIVE:
		if (!e->self_active)
			return "this node is not an active member";
		return p->active ? "nothing is allowed between it and this node"
		                 : "outside its time (until or hours)";
	case ENGINE_PEER_WAITING:
		if (e->charon == ENGINE_CHARON_DOWN)
			return "waiting for charon";
		if (e->charon == ENGINE_CHARON_SYNCING)
			return "reading charon's SAs and connections";
		if (!p->claimed)
			return "its address is held by a peer that is being revoked";
		if (p->fw != FW_YES)
			return claim_blocked(e, p)
			               ? "another key's SA for its address is being ended"
			               : "waiting for the firewall";
		return "its connection waits to be loaded";
	case ENGINE_PEER_LISTENING:
		return p->want && p->want->n_endpoints ? "it should connect to us; we try later"
		                                       : "it has to connect to us";
	case ENGINE_PEER_ONDEMAND:
		return "on demand: the first packet brings its tunnel up";
	case ENGINE_PEER_REVOKING:
		return p->fw != FW_NO ? "being cut in the firewall" : "its SAs are being ended";
	case ENGINE_PEER_CONNECTING:
	case ENGINE_PEER_UP:
		return "";
	}
	return "";
}

static void fill_sa(struct engine_peer_view *v, const struct sa *sa)
{
	v->sa_id = sa->id;
	v->sa_initiator = sa->initiator;
	v->remote_host = sa->remote_host;
	v->remote_port = sa->remote_port;
	v->established_mono_us = sa->established_us;
	v->rekey_mono_us = sa->rekey_us;
	for (size_t i = 0; i < sa->n_children; i++) {
		v->bytes_in += sa->children[i].bytes_in;
		v->bytes_out += sa->children[i].bytes_out;
	}
}

static void fill(const struct engine *e, const struct peer *p, struct engine_peer_view *v)
{
	memset(v, 0, sizeof(*v));
	v->name = p->name;
	v->key = p->claimed || !p->want ? p->key : p->want->key;
	v->addr4 = p->claimed || !p->want ? p->addr4 : p->want->addr4;
	v->addr6 = p->claimed || !p->want ? p->addr6 : p->want->addr6;
	v->state = p->state;
	v->degraded = p->degraded;
	v->admitted = p->fw == FW_YES;
	v->reason = waiting_for(e, p);
	v->since = p->since;
	v->initiator_is_us = p->rule_us;
	v->endpoint = p->ep_addr;
	v->endpoint_port = p->ep_port;
	v->established_mono_us = -1;
	v->rekey_mono_us = ENGINE_NEVER;
	v->expires_wall_s = p->timed && p->active ? p->change_wall_s : ENGINE_NEVER;
	if (p->desired && e->self_change_wall_s < v->expires_wall_s)
		v->expires_wall_s = e->self_change_wall_s;
	v->attempts = p->attempts;
	v->old_key = (p->peer_old || p->own_old) && (!p->best || sa_is_old(p->best));
	if (p->best)
		fill_sa(v, p->best);
}

int engine_peer_at(const struct engine *e, size_t index, struct engine_peer_view *out)
{
	if (index >= e->n_peers)
		return -ENOENT;
	fill(e, e->peers[index], out);
	return 0;
}

int engine_peer_find(const struct engine *e, const char *name, struct engine_peer_view *out)
{
	const struct peer *p = peer_find(e, name, strlen(name));

	if (!p)
		return -ENOENT;
	fill(e, p, out);
	return 0;
}

/* Its SA, or the trap that will bring it up. */
static bool is_there(const struct engine *e, const struct peer *p)
{
	return p->best || (p->on_demand && p->conn == CONN_LOADED && !p->conn_op.id &&
	                          p->conn_digest == conn_digest_wanted(e, p));
}

static bool is_settled(const struct engine *e, const struct engine_view *v)
{
	if (!e->policy || !e->have_key || v->n_in_flight || e->base_dirty || e->plane_dirty ||
	        e->n_bad || e->charon != ENGINE_CHARON_READY || e->want_list || e->want_conns)
		return false;
	for (size_t i = 0; i < e->n_peers; i++) {
		const struct peer *p = e->peers[i];

		if (p->revoking || (p->desired && (!is_there(e, p) || p->fw != FW_YES)))
			return false;
	}
	return true;
}

void engine_look(const struct engine *e, struct engine_view *v)
{
	memset(v, 0, sizeof(*v));
	v->policy = e->policy;
	v->self = e->self;
	v->self_active = e->self_active;
	v->own_key = e->own_key;
	v->own_old = e->self_old;
	v->charon = e->charon;
	v->firewall = e->fw;
	v->plane = e->plane_done && e->plane_up ? ENGINE_PLANE_READY
	           : e->plane_up                ? ENGINE_PLANE_PENDING
	                                        : ENGINE_PLANE_DOWN;
	v->charon_text = e->charon_text;
	v->firewall_text = e->fw_text;
	v->plane_text = e->plane_text;
	v->wall_s = e->started ? clock_wall_s(e) : e->cfg.wall_floor_s;
	v->present_s = e->started ? clock_present_s(e) : v->wall_s;
	v->n_peers = e->n_peers;
	for (size_t i = 0; i < e->n_peers; i++) {
		const struct peer *p = e->peers[i];

		v->n_desired += p->desired;
		v->n_up += p->best != NULL;
		v->n_admitted += p->fw == FW_YES;
		v->n_degraded += p->degraded && (p->desired || p->revoking);
		v->n_revoking += p->revoking;
		v->n_on_demand += p->on_demand;
		v->n_no_traps += p->no_traps;
	}
	v->n_in_flight = e->flights.n;
	v->n_sas = e->n_sas - e->n_foreign;
	v->settled = is_settled(e, v);
}

/* Members whose time it is not are not waited for. */
void engine_bundle_look(const struct engine *e, struct engine_bundle_view *out)
{
	struct engine_member_view m;

	cluster_look(e->cluster, out);
	if (!out->n_members)
		return;
	out->n_members = out->n_applied = 0;
	for (size_t i = 0; !cluster_member_at(e->cluster, i, &m); i++) {
		const struct peer *p = m.self ? NULL : peer_find(e, m.name, strlen(m.name));

		if (p && !p->active)
			continue;
		out->n_members++;
		out->n_applied +=
		        m.applied.serial == out->head.serial && m.applied.serial &&
		        !memcmp(m.applied.digest, out->head.digest, sizeof(m.applied.digest));
	}
}

int engine_bundle_file(const struct engine *e, const char **file, size_t *len)
{
	return cluster_file(e->cluster, file, len);
}

size_t engine_vouchers(const struct engine *e, struct engine_voucher_view *v, size_t max)
{
	return cluster_vouchers(e->cluster, v, max);
}

int engine_token_at(const struct engine *e, size_t index, struct engine_token_view *out)
{
	const struct policy_token *token;

	if (!e->policy || index >= e->policy->n_tokens)
		return -ENOENT;
	token = &e->policy->tokens[index];
	*out = (struct engine_token_view){
	        .token = token,
	        .used = cluster_admissions_used(e->cluster, token->name),
	        .over = clock_wall_s(e) >= token->until,
	};
	return 0;
}

const struct policy_admission *engine_admission_of(
        const struct engine *e, const struct policy_key *key)
{
	return cluster_admission_of(e->cluster, key);
}

int engine_member_at(const struct engine *e, size_t index, struct engine_member_view *out)
{
	return cluster_member_at(e->cluster, index, out);
}

size_t engine_memory(const struct engine *e)
{
	return e->memory + cluster_memory(e->cluster) + map_memory(&e->sas) +
	       map_memory(&e->flights) + map_memory(&e->claims);
}

const char *engine_peer_state_name(enum engine_peer_state state)
{
	switch (state) {
	case ENGINE_PEER_INACTIVE:
		return "inactive";
	case ENGINE_PEER_WAITING:
		return "waiting";
	case ENGINE_PEER_LISTENING:
		return "listening";
	case ENGINE_PEER_CONNECTING:
		return "connecting";
	case ENGINE_PEER_ONDEMAND:
		return "ondemand";
	case ENGINE_PEER_UP:
		return "up";
	case ENGINE_PEER_REVOKING:
		return "revoking";
	}
	return "?";
}

const char *engine_notice_name(enum engine_notice_code code)
{
	switch (code) {
	case ENGINE_N_POLICY:
		return "policy";
	case ENGINE_N_NOT_MEMBER:
		return "not-member";
	case ENGINE_N_MEMBER:
		return "member";
	case ENGINE_N_ADMITTED:
		return "admitted";
	case ENGINE_N_REVOKING:
		return "revoking";
	case ENGINE_N_REVOKED:
		return "revoked";
	case ENGINE_N_UP:
		return "up";
	case ENGINE_N_DOWN:
		return "down";
	case ENGINE_N_DEGRADED:
		return "degraded";
	case ENGINE_N_RECOVERED:
		return "recovered";
	case ENGINE_N_TIME_SOON:
		return "time-soon";
	case ENGINE_N_TIME_OVER:
		return "time-over";
	case ENGINE_N_TIME_OPEN:
		return "time-open";
	case ENGINE_N_DUPLICATE:
		return "duplicate";
	case ENGINE_N_TWO_HOSTS:
		return "two-hosts";
	case ENGINE_N_UNKNOWN_SA:
		return "unknown-sa";
	case ENGINE_N_UNKNOWN_CONN:
		return "unknown-conn";
	case ENGINE_N_FOREIGN_SA:
		return "foreign-sa";
	case ENGINE_N_FW_REPAIRED:
		return "firewall-repaired";
	case ENGINE_N_FW_FAILED:
		return "firewall-failed";
	case ENGINE_N_KEY_LOST:
		return "key-lost";
	case ENGINE_N_CHARON_UP:
		return "charon-up";
	case ENGINE_N_CHARON_DOWN:
		return "charon-down";
	case ENGINE_N_PLANE_FAILED:
		return "plane-failed";
	case ENGINE_N_NO_TRAPS:
		return "no-traps";
	case ENGINE_N_BUNDLE:
		return "bundle";
	case ENGINE_N_REFUSED_BUNDLE:
		return "bundle-refused";
	case ENGINE_N_FORK:
		return "fork";
	case ENGINE_N_WITHHELD:
		return "withheld";
	case ENGINE_N_STORE:
		return "store";
	case ENGINE_N_SESSION_UP:
		return "session-up";
	case ENGINE_N_SESSION_DOWN:
		return "session-down";
	case ENGINE_N_JOIN_SERVING:
		return "join-serving";
	case ENGINE_N_JOIN_PENDING:
		return "join-pending";
	case ENGINE_N_JOIN_GUEST:
		return "join-guest";
	case ENGINE_N_JOIN_REFUSED:
		return "join-refused";
	case ENGINE_N_JOINING:
		return "joining";
	case ENGINE_N_JOINED:
		return "joined";
	case ENGINE_N_NEXT_KEY:
		return "next-key";
	case ENGINE_N_OWN_KEY:
		return "own-key";
	case ENGINE_N_TRACE:
		return "trace";
	}
	return "?";
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The status as JSON; fields as control/control.h lists them. */
#include "host/ops.h"

#include "host/charon.h"
#include "host/dataplane.h"
#include "host/policyload.h"
#include "policy/guests.h"

#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

json_t *status_addr_json(const struct policy_addr *addr)
{
	char text[INET6_ADDRSTRLEN];

	if (!addr->family)
		return json_null();
	policy_addr_print(addr, text, sizeof(text));
	return json_string(text);
}

json_t *status_link_json(const struct policy_addr *addr, uint16_t port)
{
	char text[INET6_ADDRSTRLEN];

	if (!addr->family)
		return json_null();
	policy_addr_print(addr, text, sizeof(text));
	return json_sprintf(addr->family == AF_INET6 ? "[%s]:%u" : "%s:%u", text, port);
}

json_t *status_fingerprint_json(const struct policy_key *key)
{
	char text[POLICY_FINGERPRINT_LEN];

	policy_key_fingerprint(key, text);
	return json_string(text);
}

json_t *status_text_json(const char *text)
{
	char clean[1024];

	snprintf(clean, sizeof(clean), "%s", text ? text : "");
	text_sanitise(clean);
	return json_string(clean);
}

/* ---- peers ---------------------------------------------------------------------------------- */

const char *status_peer_state(enum engine_peer_state state, bool degraded)
{
	if (state == ENGINE_PEER_INACTIVE)
		return "inactive";
	if (degraded)
		return "degraded";
	switch (state) {
	case ENGINE_PEER_UP:
		return "up";
	case ENGINE_PEER_ONDEMAND:
		return "ondemand";
	case ENGINE_PEER_CONNECTING:
	case ENGINE_PEER_WAITING:
	case ENGINE_PEER_LISTENING: /* it is the peer's turn, and "why" says so */
		return "connecting";
	case ENGINE_PEER_REVOKING:
	case ENGINE_PEER_INACTIVE:
		break;
	}
	return "down";
}

static json_t *roles_json(const struct policy *policy, const struct policy_peer *peer)
{
	json_t *roles = json_array();

	for (size_t i = 0; peer && i < peer->n_roles; i++)
		json_array_append_new(roles, json_string(policy->roles[peer->roles[i]]));
	return roles;
}

static json_t *guest_json(const struct policy *policy, const struct policy_peer *peer)
{
	const char *token = ops_guest_of(policy, peer);

	return token ? json_string(token) : json_null();
}

json_t *status_peer_json(const struct policy *policy, const struct engine_peer_view *view)
{
	int64_t left_s = (view->rekey_mono_us - world_now_us()) / 1000000;
	const struct policy_peer *peer = NULL;
	json_t *out;

	if (policy)
		peer = policy_peer_by_name(policy, view->name);
	out = json_pack("{s:s, s:o, s:o, s:o, s:o, s:s, s:I, s:o}", "name", view->name,
	        "fingerprint", status_fingerprint_json(&view->key), "address4",
	        status_addr_json(&view->addr4), "address6", status_addr_json(&view->addr6), "roles",
	        roles_json(policy, peer), "state", status_peer_state(view->state, view->degraded),
	        "since", (json_int_t)view->since.wall_s, "why", status_text_json(view->reason));
	if (!out)
		return NULL;
	json_object_set_new(
	        out, "site", peer ? json_string(policy->sites[peer->site].name) : json_null());
	json_object_set_new(out, "guest", guest_json(policy, peer));
	json_object_set_new(out, "admitted", json_boolean(view->admitted));
	json_object_set_new(out, "link",
	        view->sa_id ? status_link_json(&view->remote_host, view->remote_port)
	                    : json_null());
	json_object_set_new(
	        out, "endpoint", status_link_json(&view->endpoint, view->endpoint_port));
	json_object_set_new(out, "bytes_in", json_integer((json_int_t)view->bytes_in));
	json_object_set_new(out, "bytes_out", json_integer((json_int_t)view->bytes_out));
	json_object_set_new(out, "rekey_s",
	        view->sa_id && view->rekey_mono_us != ENGINE_NEVER ? json_integer(left_s)
	                                                           : json_null());
	json_object_set_new(out, "old_key", json_boolean(view->old_key));
	json_object_set_new(out, "until",
	        view->expires_wall_s != ENGINE_NEVER ? json_integer(view->expires_wall_s)
	                                             : json_null());
	return out;
}

static json_t *peers_json(struct world *world, const struct engine_view *view)
{
	json_t *peers = json_array();

	for (size_t i = 0; i < view->n_peers; i++) {
		struct engine_peer_view peer;

		if (engine_peer_at(world->engine, i, &peer) == 0)
			json_array_append_new(peers, status_peer_json(view->policy, &peer));
	}
	return peers;
}

/* ---- the node ------------------------------------------------------------------------------- */

static json_t *node_json(const struct engine_view *view)
{
	return json_pack("{s:o, s:o, s:o, s:o, s:o, s:b, s:b}", "name",
	        view->self ? json_string(view->self->name) : json_null(), "fingerprint",
	        status_fingerprint_json(&view->own_key), "address4",
	        view->self ? status_addr_json(&view->self->addr4) : json_null(), "address6",
	        view->self ? status_addr_json(&view->self->addr6) : json_null(), "guest",
	        guest_json(view->policy, view->self), "active", view->self_active, "old_key",
	        view->own_old);
}

static json_t *plane_json(const struct world *world, const struct engine_view *view)
{
	struct dataplane_view plane;
	const char *why;

	dataplane_look(world->dataplane, &plane);
	why = plane.trouble[0] ? plane.trouble : view->plane_text[0] ? view->plane_text : plane.why;
	return json_pack("{s:s, s:o, s:o, s:o, s:o, s:o}", "kind",
	        plane.plane ? plane.plane->name : "none", "device",
	        plane.device ? json_string(plane.device) : json_null(), "mtu",
	        plane.device ? json_integer(plane.mtu) : json_null(), "path_mtu",
	        plane.path ? json_integer(plane.path) : json_null(), "path_to",
	        status_addr_json(&plane.path_to), "why", status_text_json(why));
}

static const char *files_word(const struct world *world, bool bundle)
{
	if (world->files == WORLD_FILES_NONE)
		return "none";
	if (world->files == WORLD_FILES_BROKEN)
		return "broken";
	return bundle && policyload_files_differ(world) ? "differ" : "in force";
}

static json_t *policy_json(const struct world *world, const struct engine_view *view)
{
	struct engine_bundle_view bundle;

	engine_bundle_look(world->engine, &bundle);
	return json_pack("{s:b, s:s, s:o, s:o, s:b}", "in_force", view->policy != NULL, "files",
	        files_word(world, bundle.head.serial != 0), "loaded",
	        view->policy ? json_integer(world->policy_loaded_s) : json_null(), "error",
	        world->policy_error ? json_string(world->policy_error) : json_null(), "last_good",
	        world->policy_last_good);
}

/* A new machine. */
static void no_cluster(const struct world *world, char *why, size_t size)
{
	struct engine_join_view join;

	engine_join_look(world->engine, &join);
	if (join.state == ENGINE_NEWCOMER_NONE)
		snprintf(why, size,
		        "this node is in no cluster, and lets nobody in: overlayctl join TICKET, "
		        "or "
		        "overlayctl init for a new cluster");
	else
		snprintf(why, size, "joining cluster %s: %s", join.cluster,
		        *join.text ? join.text : "its seeds are asked");
}

/* One word and one sentence for all of it. */
static const char *node_state(
        const struct world *world, const struct engine_view *view, char *why, size_t size)
{
	const struct charon_facts *charon = charon_facts(world->charon);
	struct engine_bundle_view bundle;

	engine_bundle_look(world->engine, &bundle);
	why[0] = 0;
	if (world->cluster_error)
		snprintf(why, size, "%s%s", world->cluster_error,
		        view->policy ? "" : "; until then no peer is let in");
	else if (!view->policy && bundle.key && world->files == WORLD_FILES_NONE)
		snprintf(why, size,
		        "no signed bundle was loaded here yet, and there are no policy files: no "
		        "peer is let in until one is (overlayctl bundle on another node, "
		        "overlayctl load here)");
	else if (!view->policy && world->files == WORLD_FILES_NONE)
		no_cluster(world, why, size);
	else if (!view->policy)
		snprintf(why, size,
		        "there is no valid policy and none was kept: no peer is let in and all "
		        "tunnels are ended until %s is mended",
		        world->options.config_dir);
	else if (world->policy_error)
		snprintf(why, size, "the policy's files are broken, an older policy is in force");
	else if (bundle.fork)
		snprintf(why, size,
		        "FORK: two different bundles of serial %llu were signed, some nodes may "
		        "have the other one: sign the policy that is wanted anew (overlayctl sign "
		        "--alone --load)",
		        (unsigned long long)bundle.head.serial);
	else if (bundle.head.serial && !bundle.stored && bundle.store_text && bundle.store_text[0])
		snprintf(why, size,
		        "the signed bundle in force is not kept, a restart would forget it: %s",
		        bundle.store_text);
	else if (bundle.guests_text && bundle.guests_text[0])
		snprintf(why, size,
		        "the guests that tokens let in are not kept, a restart would know of them "
		        "only when a seed tells: %s",
		        bundle.guests_text);
	else if (!view->self)
		snprintf(why, size, "the policy does not know this node's key");
	else if (view->self->guest && !view->self_active)
		snprintf(why, size,
		        "the time of the token %s, which let this node in, is over: an admin has "
		        "to "
		        "extend its `until`, or to revoke it, and this node joins with a new "
		        "ticket",
		        ops_guest_of(view->policy, view->self));
	else if (view->firewall == ENGINE_FWS_FAILED)
		snprintf(why, size, "firewall: %s", view->firewall_text);
	else if (!charon->connected)
		snprintf(why, size, "%s", charon->why);
	else if (view->plane == ENGINE_PLANE_DOWN)
		snprintf(why, size, "data plane: %s", view->plane_text);
	else if (view->n_degraded)
		snprintf(why, size, "%zu of %zu peers are degraded", view->n_degraded,
		        view->n_desired);
	if (why[0])
		return "degraded";
	if (view->charon != ENGINE_CHARON_READY || view->firewall != ENGINE_FWS_READY)
		return "starting";
	return "ready";
}

static void digest_text(const struct policy *policy, char buf[65])
{
	for (size_t i = 0; i < 32; i++)
		snprintf(buf + 2 * i, 3, "%02x", policy->digest[i]);
}

json_t *status_head_json(struct world *world)
{
	struct engine_view view;
	char why[1024];
	const char *state;

	engine_look(world->engine, &view);
	state = node_state(world, &view, why, sizeof(why));
	return json_pack("{s:s, s:o}", "state", state, "why", status_text_json(why));
}

json_t *status_json(struct world *world)
{
	const struct charon_facts *charon = charon_facts(world->charon);
	struct engine_view view;
	char digest[65];
	char why[1024];
	const char *state;
	json_t *out;

	engine_look(world->engine, &view);
	state = node_state(world, &view, why, sizeof(why));
	out = json_pack("{s:s, s:I, s:I, s:s, s:o}", "version", OVERLAYD_VERSION, "started",
	        (json_int_t)world->started_s, "now", (json_int_t)state_clock_now(&world->clock),
	        "state", state, "why", status_text_json(why));
	if (!out)
		return NULL;
	if (view.policy)
		digest_text(policy_written(view.policy), digest);
	json_object_set_new(
	        out, "cluster", view.policy ? json_string(view.policy->cluster) : json_null());
	json_object_set_new(out, "serial",
	        view.policy ? json_integer((json_int_t)view.policy->serial) : json_null());
	json_object_set_new(out, "digest", view.policy ? json_string(digest) : json_null());
	json_object_set_new(out, "node", node_json(&view));
	json_object_set_new(out, "policy", policy_json(world, &view));
	json_object_set_new(out, "bundle", ops_bundle_status(world));
	json_object_set_new(out, "join", ops_join_status(world));
	json_object_set_new(out, "plane", plane_json(world, &view));
	json_object_set_new(out, "charon",
	        json_pack("{s:b, s:o, s:o}", "connected", charon->connected, "version",
	                charon->version[0] ? json_string(charon->version) : json_null(), "why",
	                status_text_json(charon->why)));
	json_object_set_new(out, "firewall",
	        json_pack("{s:b, s:s, s:o}", "in_force", view.firewall == ENGINE_FWS_READY, "mode",
	                view.policy && view.policy->firewall == POLICY_LOCKDOWN ? "lockdown"
	                                                                        : "guard",
	                "why", status_text_json(view.firewall_text)));
	json_object_set_new(out, "settled", json_boolean(view.settled));
	json_object_set_new(out, "peers", peers_json(world, &view));
	return out;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Signed bundles and members as the local API tells them; fields as control/control.h lists them. */
#include "host/ops.h"

#include "host/policyload.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static json_t *digest_json(const uint8_t digest[32])
{
	char text[65];

	bundle_digest_print(digest, text);
	return json_string(text);
}

/* ---- what came ------------------------------------------------------------------------------ */

json_t *ops_rows_json(const struct policy_diff *diff)
{
	json_t *rows = json_array();

	for (size_t i = 0; i < diff->n_rows; i++) {
		const struct policy_diff_row *row = &diff->rows[i];

		json_array_append_new(rows,
		        json_pack("{s:s, s:s, s:s}", "change", policy_change_name(row->change),
		                "subject", row->subject, "text", row->text));
	}
	return rows;
}

void ops_bundle_told(struct world *world, const struct policy *old, const struct policy *policy)
{
	struct policy_diff diff = {0};
	json_t *event;

	(void)policy_diff(old, policy, &diff);
	/* At start all is new: nobody wants to read that. */
	for (size_t i = 0; old && i < diff.n_rows; i++)
		log_info("policy: %s: %s", diff.rows[i].subject, diff.rows[i].text);
	if (world->control && control_has_subscribers(world->control, "policy")) {
		event = json_pack("{s:I, s:b, s:o, s:s}", "serial", (json_int_t)policy->serial,
		        "changed", 1, "rows", ops_rows_json(&diff), "warnings", "");
		if (event)
			control_publish(world->control, "policy", event);
		json_decref(event);
	}
	policy_diff_clear(&diff);
}

/* ---- load ----------------------------------------------------------------------------------- */

static int load_file(struct control_call *call, char **file, size_t *len)
{
	int err = control_call_file(call, BUNDLE_FILE_MAX, file, len);

	if (err == -ENODATA || err == -EINVAL)
		control_call_why(call, "load needs the bundle as sealed memory beside the request");
	else if (err == -EFBIG)
		control_call_why(call, "this is no bundle: it is larger than %u bytes",
		        (unsigned)BUNDLE_FILE_MAX);
	return err == -ENODATA ? -EINVAL : err;
}

/* What the engine made of it. */
static int load_verdict(
        struct world *world, struct control_call *call, struct engine_bundle_view *view)
{
	int err;

	engine_bundle_look(world->engine, view);
	if (!view->verdict_error && (view->verdict == BUNDLE_APPLY || view->verdict == BUNDLE_SAME))
		return 0;
	control_call_why(call, "the bundle is refused: %s",
	        view->verdict_text && view->verdict_text[0] ? view->verdict_text : "no reason");
	err = view->verdict_error ? view->verdict_error : -ESTALE;
	/* To a client these would mean something else. */
	return err == -ENOENT || err == -EACCES || err == -EPERM ? -EINVAL : err;
}

static json_t *load_result(const struct engine_bundle_view *view, const struct policy *old,
        const struct policy *policy)
{
	bool changed = view->verdict == BUNDLE_APPLY;
	struct policy_diff diff = {0};
	json_t *result;

	if (changed && policy)
		(void)policy_diff(old, policy, &diff);
	result = json_pack("{s:s, s:I, s:o, s:b, s:o, s:s}", "verdict",
	        changed ? "applied" : "same", "serial", (json_int_t)view->head.serial, "digest",
	        digest_json(view->head.digest), "changed", changed, "rows", ops_rows_json(&diff),
	        "warnings", "");
	policy_diff_clear(&diff);
	return result;
}

int ops_load(struct world *world, struct control_call *call, json_t **result)
{
	struct engine_event ev = {.type = ENGINE_EV_BUNDLE};
	const struct policy *old;
	struct engine_bundle_view view;
	struct engine_view all;
	char *file = NULL;
	int err;

	engine_bundle_look(world->engine, &view);
	if (!view.key) {
		control_call_why(call,
		        "this node has no cluster key, so it takes no bundle: bring the signer's "
		        "cluster.pub to %s/cluster.pub first",
		        world->options.config_dir);
		return -ENOKEY;
	}
	err = load_file(call, &file, &ev.bundle.len);
	if (err)
		return err;
	engine_look(world->engine, &all);
	old = all.policy ? policy_ref(all.policy) : NULL;
	ev.bundle.source = ENGINE_BUNDLE_ADMIN;
	ev.bundle.file = file;
	world_event(world, &ev);
	free(file);
	err = load_verdict(world, call, &view);
	if (!err) {
		engine_look(world->engine, &all);
		*result = load_result(&view, old, all.policy);
		err = *result ? 0 : -ENOMEM;
	}
	policy_unref(old);
	world_trim_soon(world);
	return err;
}

/* ---- bundle --------------------------------------------------------------------------------- */

int ops_bundle(struct world *world, struct control_call *call, json_t **out)
{
	struct engine_bundle_view view;
	const char *file;
	size_t len;

	engine_bundle_look(world->engine, &view);
	if (!view.head.serial || engine_bundle_file(world->engine, &file, &len)) {
		control_call_why(call, view.key ? "no signed bundle is in force yet: the policy's "
		                                  "files are"
		                                : "this node has no cluster key: the policy's "
		                                  "files are in force");
		return -ENOENT;
	}
	*out = json_pack("{s:I, s:o, s:I, s:o}", "serial", (json_int_t)view.head.serial, "digest",
	        digest_json(view.head.digest), "issued", (json_int_t)view.head.issued, "file",
	        json_stringn(file, len));
	world_trim_soon(world);
	return *out ? 0 : -ENOMEM;
}

json_t *ops_bundle_status(const struct world *world)
{
	struct engine_bundle_view view;
	bool any;
	char id[17];

	engine_bundle_look(world->engine, &view);
	if (!view.key)
		return json_null();
	any = view.head.serial != 0;
	minisign_id_print(&world->cluster_key, id);
	return json_pack("{s:s, s:I, s:o, s:o, s:b, s:s, s:b, s:I, s:I, s:I}", "key", id, "serial",
	        (json_int_t)view.head.serial, "digest",
	        any ? digest_json(view.head.digest) : json_null(), "issued",
	        any ? json_integer(view.head.issued) : json_null(), "stored", any && view.stored,
	        "why", any && view.store_text ? view.store_text : "", "fork", view.fork,
	        "n_members", (json_int_t)view.n_members, "n_applied", (json_int_t)view.n_applied,
	        "sessions", (json_int_t)view.n_sessions);
}

/* ---- members -------------------------------------------------------------------------------- */

static const char *member_state(const struct world *world, const struct engine_member_view *member)
{
	struct engine_peer_view peer;

	if (member->self)
		return "self";
	if (engine_peer_find(world->engine, member->name, &peer))
		return "indirect";
	if (peer.state == ENGINE_PEER_INACTIVE)
		return "indirect";
	return status_peer_state(peer.state, peer.degraded);
}

/* Who it is, by the policy in force. */
static void member_who(json_t *out, const struct world *world, const char *name)
{
	const struct policy_peer *peer;
	struct engine_view view;
	const char *guest;

	engine_look(world->engine, &view);
	peer = view.policy ? policy_peer_by_name(view.policy, name) : NULL;
	if (!peer)
		return;
	guest = ops_guest_of(view.policy, peer);
	json_object_set_new(out, "guest", guest ? json_string(guest) : json_null());
	json_object_set_new(out, "fingerprint", status_fingerprint_json(&peer->key));
	json_object_set_new(out, "address4", status_addr_json(&peer->addr4));
	json_object_set_new(out, "address6", status_addr_json(&peer->addr6));
	json_object_set_new(out, "site", json_string(view.policy->sites[peer->site].name));
}

static json_t *member_links(const struct engine_member_view *member)
{
	json_t *out = member->has_links ? json_array() : json_null();

	for (size_t i = 0; member->has_links && i < member->links.n; i++)
		json_array_append_new(
		        out, status_link_json(&member->links.addrs[i], member->links.port));
	return out;
}

static json_t *member_json(const struct world *world, const struct engine_member_view *member,
        const struct bundle_head *head)
{
	bool said = member->applied.serial != 0;
	int64_t age_s = (world_now_us() - member->said_mono_us) / 1000000;
	json_t *out = json_pack("{s:s, s:b, s:b, s:s, s:b}", "name", member->name, "self",
	        member->self, "seed", member->seed, "state", member_state(world, member), "session",
	        member->session);

	if (!out)
		return NULL;
	member_who(out, world, member->name);
	json_object_set_new(out, "links", member_links(member));
	json_object_set_new(out, "serial",
	        said ? json_integer((json_int_t)member->applied.serial) : json_null());
	json_object_set_new(out, "applied",
	        json_boolean(said && member->applied.serial == head->serial &&
	                     !memcmp(member->applied.digest, head->digest, sizeof(head->digest))));
	json_object_set_new(out, "said",
	        member->said_mono_us >= 0 ? json_integer(time(NULL) - age_s) : json_null());
	json_object_set_new(out, "release",
	        status_text_json(member->self ? OVERLAYD_VERSION : member->release));
	json_object_set_new(out, "why", status_text_json(member->session_text));
	return out;
}

json_t *ops_members_json(struct world *world)
{
	struct engine_bundle_view view;
	struct engine_member_view member;
	json_t *members = json_array();
	bool any;

	engine_bundle_look(world->engine, &view);
	any = view.head.serial != 0;
	for (size_t i = 0; !engine_member_at(world->engine, i, &member); i++)
		json_array_append_new(members, member_json(world, &member, &view.head));
	return json_pack("{s:I, s:o, s:I, s:I, s:I, s:o}", "serial", (json_int_t)view.head.serial,
	        "digest", any ? digest_json(view.head.digest) : json_null(), "n_members",
	        (json_int_t)view.n_members, "n_applied", (json_int_t)view.n_applied, "now",
	        (json_int_t)time(NULL), "members", members);
}

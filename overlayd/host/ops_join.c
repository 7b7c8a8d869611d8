/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Joining as the local API tells it; fields as control/control.h lists them. */
#include "host/join.h"
#include "host/ops.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <time.h>

#define VOUCHERS_MAX 256 /* of them that are shown */

/* When that was, by the wall clock as it stands now. */
static json_int_t when(int64_t mono_us)
{
	return (json_int_t)(time(NULL) - (world_now_us() - mono_us) / 1000000);
}

json_t *ops_join_status(const struct world *world)
{
	struct engine_join_view view;

	engine_join_look(world->engine, &view);
	return json_pack("{s:s, s:s, s:s, s:s, s:o, s:I, s:b, s:b, s:o, s:I}", "state",
	        engine_newcomer_name(view.state), "cluster", view.cluster, "name", view.name,
	        "seed", view.seed, "why", status_text_json(view.text), "since",
	        when(view.since.mono_us), "complete", view.complete, "serving", view.serving,
	        "serving_why", status_text_json(view.serving_text), "pending",
	        (json_int_t)view.n_pending);
}

int ops_join(struct world *world, struct control_call *call, const json_t *params, json_t **out)
{
	const char *ticket = json_string_value(json_object_get(params, "ticket"));
	bool cancel = json_is_true(json_object_get(params, "cancel"));
	char why[CONTROL_TEXT_MAX] = "";
	int err = -EINVAL;

	if (cancel && !ticket)
		err = join_cancel(world, why, sizeof(why));
	else if (ticket && !cancel)
		err = join_start(world, ticket, json_string_value(json_object_get(params, "name")),
		        json_string_value(json_object_get(params, "site")), why, sizeof(why));
	else
		snprintf(why, sizeof(why), "join needs a ticket, or cancel");
	if (err) {
		control_call_why(call, "%s", why);
		return err;
	}
	*out = ops_join_status(world);
	return *out ? 0 : -ENOMEM;
}

/* ---- who waits ------------------------------------------------------------------------------ */

static json_t *marks_json(const struct engine_pending_view *view)
{
	json_t *marks = json_array();

	if (view->taken)
		json_array_append_new(
		        marks, json_string("a peer of this name is in the policy already"));
	if (view->same_name)
		json_array_append_new(marks, json_string("another key asks for this name too"));
	if (view->other_names)
		json_array_append_new(marks, json_string("this key asks under another name too"));
	return marks;
}

static json_t *pending_json(const struct engine_pending_view *view)
{
	char fingerprint[POLICY_FINGERPRINT_LEN], key[96], addr[INET6_ADDRSTRLEN] = "";
	json_t *links = json_array();

	for (size_t i = 0; i < view->n_links; i++) {
		policy_addr_print(&view->links[i], addr, sizeof(addr));
		json_array_append_new(links, json_string(addr));
	}
	policy_key_fingerprint(&view->key, fingerprint);
	policy_key_print(&view->key, key, sizeof(key));
	addr[0] = '\0';
	if (view->source.family)
		policy_addr_print(&view->source, addr, sizeof(addr));
	return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:o, s:o, s:I, s:I, s:o}", "kind", "join",
	        "name", view->name, "fingerprint", fingerprint, "key", key, "source", addr, "site",
	        view->site, "links", links, "release", status_text_json(view->release), "since",
	        when(view->first_mono_us), "asked", when(view->last_mono_us), "marks",
	        marks_json(view));
}

/* Members that change their keys. */
static void vouchers_add(const struct world *world, json_t *pending)
{
	static struct engine_voucher_view views[VOUCHERS_MAX];
	size_t n = engine_vouchers(world->engine, views, VOUCHERS_MAX);

	for (size_t i = 0; i < n; i++) {
		char fingerprint[POLICY_FINGERPRINT_LEN], key[96];

		policy_key_fingerprint(&views[i].key, fingerprint);
		policy_key_print(&views[i].key, key, sizeof(key));
		json_array_append_new(pending,
		        json_pack("{s:s, s:s, s:s, s:s, s:s, s:I, s:[]}", "kind", "rotate", "name",
		                views[i].name, "fingerprint", fingerprint, "key", key, "voucher",
		                views[i].line, "since", when(views[i].said_mono_us), "marks"));
	}
}

static json_t *seeds_json(const struct policy *policy)
{
	json_t *seeds = json_array();

	for (size_t i = 0; policy && i < policy->n_peers; i++)
		if (policy_is_seed(policy, &policy->peers[i]))
			json_array_append_new(seeds, json_string(policy->peers[i].name));
	return seeds;
}

int ops_pending(struct world *world, json_t **out)
{
	struct engine_pending_view view;
	struct engine_join_view join;
	json_t *pending = json_array();
	struct engine_view all;

	engine_look(world->engine, &all);
	engine_join_look(world->engine, &join);
	for (size_t i = 0; !engine_pending_at(world->engine, i, &view); i++)
		json_array_append_new(pending, pending_json(&view));
	vouchers_add(world, pending);
	*out = json_pack("{s:I, s:b, s:o, s:o, s:o}", "now", (json_int_t)time(NULL), "seed",
	        join.serving, "seeds", seeds_json(all.policy), "why",
	        status_text_json(join.serving_text), "pending", pending);
	return *out ? 0 : -ENOMEM;
}

int ops_reject(struct world *world, struct control_call *call, const json_t *params, json_t **out)
{
	const char *wanted = json_string_value(json_object_get(params, "fingerprint"));
	struct engine_event ev = {.type = ENGINE_EV_JOIN_REJECT};
	char fingerprint[POLICY_FINGERPRINT_LEN];
	struct engine_pending_view view;

	for (size_t i = 0; wanted && !engine_pending_at(world->engine, i, &view); i++) {
		policy_key_fingerprint(&view.key, fingerprint);
		if (strcmp(fingerprint, wanted) != 0)
			continue;
		*out = json_pack("{s:s}", "name", view.name);
		ev.own_key = view.key;
		world_event(world, &ev);
		return *out ? 0 : -ENOMEM;
	}
	control_call_why(
	        call, "no newcomer with the key %s waits here", wanted ? wanted : "(none)");
	return wanted ? -ENOENT : -EINVAL;
}

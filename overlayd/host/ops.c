/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/ops.h"

#include "client/paths.h"
#include "host/fwadapt.h"
#include "host/ownkeys.h"
#include "host/policyload.h"

#include <errno.h>
#include <limits.h>
#include <malloc.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <systemd/sd-daemon.h>
#include <time.h>
#include <utlist.h>

#define RELOAD_WAIT_US 5000000 /* for the plan that follows a reload */
#define STATUS_WAIT_US 500000  /* for fresh counters */
#define COUNTERS_US 2000000    /* counters of this age are fresh */
#define MEMBERS_WAIT_US 300000 /* for what seeds answer */
#define TRIM_PEERS 100

/* A call that is answered when the plan is done, or its time is over. */
struct pending {
	struct control_call *call;
	json_t *result; /* NULL: made then */
	bool members;   /* of members, when its time is over; else status, when the plan is done */
	int64_t until_us;
	struct pending *prev, *next;
};

struct ops {
	struct world *world;
	struct pending *pending;
	sd_event_source *timer;
	int64_t counters_us;
	char *state_told; /* last "status" event */
};

/* ---- waiting for the plan
 * ------------------------------------------------------------------------ */

static bool plan_done(const struct world *world)
{
	struct engine_view view;

	engine_look(world->engine, &view);
	return view.settled || (!view.n_in_flight && !view.n_revoking);
}

static void pending_end(struct ops *ops, struct pending *pending)
{
	json_t *result = pending->result;

	if (!result)
		result = pending->members ? ops_members_json(ops->world) : status_json(ops->world);
	DL_DELETE(ops->pending, pending);
	if (result)
		control_call_reply(pending->call, result);
	else
		control_call_fail(pending->call, -ENOMEM);
	free(pending);
	world_trim_soon(ops->world);
	/* A thousand peers as JSON are megabytes in small pieces: not to be kept for a second. */
	if (ops->world->n_policy_peers > TRIM_PEERS)
		malloc_trim(0);
}

static void pending_check(struct ops *ops)
{
	struct pending *pending, *next;
	int64_t earliest = INT64_MAX;
	bool done = plan_done(ops->world);

	DL_FOREACH_SAFE(ops->pending, pending, next) {
		if ((done && !pending->members) || pending->until_us <= world_now_us())
			pending_end(ops, pending);
		else if (pending->until_us < earliest)
			earliest = pending->until_us;
	}
	if (earliest == INT64_MAX) {
		sd_event_source_set_enabled(ops->timer, SD_EVENT_OFF);
		return;
	}
	sd_event_source_set_time(ops->timer, (uint64_t)earliest);
	sd_event_source_set_enabled(ops->timer, SD_EVENT_ONESHOT);
}

static int on_timer(sd_event_source *source, uint64_t usec, void *user)
{
	(void)source, (void)usec;
	pending_check(user);
	return 0;
}

static int pending_new(
        struct ops *ops, struct control_call *call, json_t *result, bool members, int64_t wait_us)
{
	struct pending *pending = calloc(1, sizeof(*pending));

	if (!pending) {
		json_decref(result);
		return -ENOMEM;
	}
	pending->members = members;
	pending->call = call;
	pending->result = result;
	pending->until_us = world_now_us() + wait_us;
	DL_APPEND(ops->pending, pending);
	/* Not at once: control must learn first that the call was kept. */
	sd_event_source_set_time(ops->timer, 0);
	sd_event_source_set_enabled(ops->timer, SD_EVENT_ONESHOT);
	return CONTROL_LATER;
}

/* Takes over result; NULL: the status. */
static int pending_add(struct ops *ops, struct control_call *call, json_t *result, int64_t wait_us)
{
	return pending_new(ops, call, result, false, wait_us);
}

/* The seeds' answers have no end that could be awaited. */
static int pending_members(struct ops *ops, struct control_call *call)
{
	return pending_new(ops, call, NULL, true, MEMBERS_WAIT_US);
}

/* ---- methods
 * ----------------------------------------------------------------------------------------- */

static int op_status(void *user, struct control_call *call, const json_t *params, json_t **out)
{
	struct engine_event ev = {.type = ENGINE_EV_RESYNC};
	struct ops *ops = user;

	(void)params, (void)out;
	if (world_now_us() - ops->counters_us > COUNTERS_US) {
		ops->counters_us = world_now_us();
		world_event(ops->world, &ev);
		return pending_add(ops, call, NULL, STATUS_WAIT_US);
	}
	return pending_add(ops, call, NULL, 0);
}

static int op_firewall(void *user, struct control_call *call, const json_t *params, json_t **out)
{
	struct ops *ops = user;
	const struct fw_ruleset *rs = fw_applied(fwadapt_fw(ops->world->firewall));
	char *text = NULL;
	size_t len = 0;
	FILE *to;
	int err;

	(void)params;
	if (!rs) {
		control_call_why(call, "the firewall's table is being made: try again");
		return -EAGAIN;
	}
	to = open_memstream(&text, &len);
	if (!to)
		return -ENOMEM;
	err = fw_ruleset_print(rs, to);
	if (fclose(to) && !err)
		err = -ENOMEM;
	if (!err) {
		*out = json_pack("{s:s#}", "text", text, (int)len);
		err = *out ? 0 : -ENOMEM;
	}
	free(text);
	world_trim_soon(ops->world);
	return err;
}

static int op_denied(void *user, struct control_call *call, const json_t *params, json_t **out)
{
	struct ops *ops = user;
	char why[256] = "";
	int err = denied_json(ops->world, out, why, sizeof(why));

	(void)params;
	if (err)
		control_call_why(call, "%s", why);
	return err;
}

int64_t ops_when(const struct engine_view *view, const struct policy_peer *from,
        const struct policy_peer *to)
{
	int64_t next;

	return policy_until_active(from, view->wall_s, &next) &&
	                       policy_until_active(to, view->wall_s, &next)
	               ? view->present_s
	               : view->wall_s;
}

/* By its name, or an overlay address of it. */
static const struct policy_peer *peer_of(const struct policy *policy, const char *word)
{
	const struct policy_peer *peer = policy_peer_by_name(policy, word);
	struct policy_addr addr;

	return peer || policy_addr_parse(word, &addr) ? peer : policy_peer_by_addr(policy, &addr);
}

static int op_explain(void *user, struct control_call *call, const json_t *params, json_t **out)
{
	const char *from_name = json_string_value(json_object_get(params, "from"));
	const char *to_name = json_string_value(json_object_get(params, "to"));
	const char *port = json_string_value(json_object_get(params, "port"));
	struct ops *ops = user;
	const struct policy_peer *from, *to;
	struct policy_verdict verdict;
	struct policy_ports ports;
	struct engine_view view;
	char why[256] = "";
	int err;

	engine_look(ops->world->engine, &view);
	if (!from_name || !to_name || !port) {
		control_call_why(call, "explain needs from, to and port");
		return -EINVAL;
	}
	if (!view.policy) {
		control_call_why(call, "there is no policy in force");
		return -ENOENT;
	}
	if (policy_ports_parse(port, &ports, why, sizeof(why))) {
		control_call_why(call, "%s", why);
		return -EINVAL;
	}
	from = peer_of(view.policy, from_name);
	to = peer_of(view.policy, to_name);
	if (!from || !to) {
		control_call_why(call, "the policy has no peer \"%s\"", from ? to_name : from_name);
		return -ENOENT;
	}
	err = policy_explain(view.policy, from, to, ports.proto, ports.first,
	        ops_when(&view, from, to), &verdict);
	if (err)
		return err;
	*out = json_pack("{s:b, s:s, s:o, s:o}", "allow", verdict.allow, "text", verdict.text,
	        "file", verdict.rule ? json_string(verdict.rule->where.file) : json_null(), "line",
	        verdict.rule ? json_integer(verdict.rule->where.line) : json_null());
	return *out ? 0 : -ENOMEM;
}

/* ---- reload ---- */

static json_t *outcome_json(const struct world *world, const struct policyload_outcome *outcome)
{
	struct engine_view view;

	engine_look(world->engine, &view);
	return json_pack("{s:I, s:b, s:o, s:s}", "serial",
	        (json_int_t)(view.policy ? view.policy->serial : 0), "changed", outcome->changed,
	        "rows", ops_rows_json(&outcome->diff), "warnings",
	        outcome->report ? outcome->report : "");
}

static void notify_reloading(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%lld",
	        (long long)ts.tv_sec * 1000000 + ts.tv_nsec / 1000);
}

/* 0 and *result (a new reference), or the error and the report as *result. */
static int reload_do(struct world *world, json_t **result)
{
	struct policyload_outcome outcome = {0};
	int err;

	notify_reloading();
	ownkeys_look(world);
	err = policyload_reload(world, &outcome);
	if (err) {
		*result = json_pack("{s:s}", "report", outcome.report ? outcome.report : "");
	} else {
		for (size_t i = 0; i < outcome.diff.n_rows; i++)
			log_info("policy: %s: %s", outcome.diff.rows[i].subject,
			        outcome.diff.rows[i].text);
		*result = outcome_json(world, &outcome);
	}
	policyload_outcome_clear(&outcome);
	sd_notify(0, "READY=1");
	if (world->control && *result) {
		json_t *event =
		        err ? json_pack("{s:O}", "error", json_object_get(*result, "report"))
		            : json_incref(*result);

		if (event)
			control_publish(world->control, "policy", event);
		json_decref(event);
	}
	return err;
}

int ops_reload(struct world *world)
{
	json_t *result = NULL;
	int err = reload_do(world, &result);

	json_decref(result);
	return err;
}

static int op_reload(void *user, struct control_call *call, const json_t *params, json_t **out)
{
	struct ops *ops = user;
	json_t *result = NULL;

	(void)params, (void)out;
	if (reload_do(ops->world, &result)) {
		control_call_why(call, "the new policy is refused, the old one stays in force");
		control_call_detail(call, result);
		return -EINVAL;
	}
	if (!result)
		return -ENOMEM;
	return pending_add(ops, call, result, RELOAD_WAIT_US);
}

/* ---- signed bundles ---- */

static int op_load(void *user, struct control_call *call, const json_t *params, json_t **out)
{
	struct ops *ops = user;
	json_t *result = NULL;
	int err = ops_load(ops->world, call, &result);

	(void)params, (void)out;
	return err ? err : pending_add(ops, call, result, RELOAD_WAIT_US);
}

static int op_bundle(void *user, struct control_call *call, const json_t *params, json_t **out)
{
	struct ops *ops = user;

	(void)params;
	return ops_bundle(ops->world, call, out);
}

static int op_members(void *user, struct control_call *call, const json_t *params, json_t **out)
{
	struct engine_event ev = {.type = ENGINE_EV_WHO};
	struct ops *ops = user;

	if (json_is_true(json_object_get(params, "refresh"))) {
		world_event(ops->world, &ev);
		return pending_members(ops, call);
	}
	*out = ops_members_json(ops->world);
	return *out ? 0 : -ENOMEM;
}

static int op_join(void *user, struct control_call *call, const json_t *params, json_t **out)
{
	struct ops *ops = user;

	return ops_join(ops->world, call, params, out);
}

static int op_pending(void *user, struct control_call *call, const json_t *params, json_t **out)
{
	struct ops *ops = user;

	(void)call, (void)params;
	return ops_pending(ops->world, out);
}

static int op_reject(void *user, struct control_call *call, const json_t *params, json_t **out)
{
	struct ops *ops = user;

	return ops_reject(ops->world, call, params, out);
}

static int op_tokens(void *user, struct control_call *call, const json_t *params, json_t **out)
{
	struct ops *ops = user;

	(void)call, (void)params;
	return ops_tokens(ops->world, out);
}

static int op_doctor(void *user, struct control_call *call, const json_t *params, json_t **out)
{
	struct ops *ops = user;

	(void)params;
	return doctor_run(ops->world, call, out);
}

/* ---- what the engine notices
 * ---------------------------------------------------------------------------- */

static int severity_priority(enum engine_severity severity)
{
	switch (severity) {
	case ENGINE_DEBUG:
		return LOG_DEBUG;
	case ENGINE_INFO:
		return LOG_INFO;
	case ENGINE_NOTICE:
		return LOG_NOTICE;
	case ENGINE_WARNING:
		return LOG_WARNING;
	case ENGINE_ERROR:
		return LOG_ERR;
	}
	return LOG_INFO;
}

/* Each change of the word that is shown is told once, with all that belongs to it. */
static void publish_peer(struct world *world, const struct engine_notice *notice)
{
	struct engine_peer_view view;
	struct engine_view all;
	json_t *event;

	if (!control_has_subscribers(world->control, "peer") ||
	        engine_peer_find(world->engine, notice->peer, &view))
		return;
	if (!strcmp(status_peer_state(notice->old_state, notice->old_degraded),
	            status_peer_state(view.state, view.degraded)))
		return;
	engine_look(world->engine, &all);
	event = status_peer_json(all.policy, &view);
	if (event)
		control_publish(world->control, "peer", event);
	json_decref(event);
}

static void publish_warning(struct world *world, const struct engine_notice *notice)
{
	char text[ENGINE_TEXT_MAX];
	json_t *event;

	snprintf(text, sizeof(text), "%s", notice->text);
	text_sanitise(text);
	event = json_pack("{s:o, s:s, s:s}", "peer",
	        notice->peer ? json_string(notice->peer) : json_null(), "text", text, "code",
	        engine_notice_name(notice->code));
	if (event)
		control_publish(world->control, "warning", event);
	json_decref(event);
}

void ops_notice(struct world *world, const struct engine_notice *notice)
{
	size_t len = notice->peer ? strlen(notice->peer) : 0;
	bool named = len == 0 || strncmp(notice->text, notice->peer, len) == 0;

	log_print(severity_priority(notice->severity), "%s%s%s", named ? "" : notice->peer,
	        named ? "" : ": ", notice->text);
	if (!world->control)
		return;
	if (notice->code == ENGINE_N_TRACE)
		publish_peer(world, notice);
	if (notice->severity >= ENGINE_WARNING || notice->code == ENGINE_N_TIME_SOON ||
	        notice->code == ENGINE_N_TIME_OVER || notice->code == ENGINE_N_TIME_OPEN)
		publish_warning(world, notice);
}

static void status_tell(struct ops *ops)
{
	struct world *world = ops->world;
	json_t *status;
	json_t *event;
	char *text;

	if (!world->control || !control_has_subscribers(world->control, "status"))
		return;
	status = status_head_json(world);
	text = status ? json_dumps(status, JSON_COMPACT | JSON_SORT_KEYS) : NULL;
	if (text && (!ops->state_told || strcmp(text, ops->state_told) != 0)) {
		event = status;
		control_publish(world->control, "status", event);
		free(ops->state_told);
		ops->state_told = text;
		text = NULL;
	}
	free(text);
	json_decref(status);
}

void ops_changed(struct world *world)
{
	if (!world->ops)
		return;
	status_tell(world->ops);
	if (world->ops->pending)
		pending_check(world->ops);
}

static void on_log(void *user, int priority, const char *text)
{
	(void)user;
	log_print(priority, "control: %s", text);
}

/* ---- begin and end
 * ---------------------------------------------------------------------------------------- */

int ops_new(struct world *world, struct ops **out, char *err, size_t err_size)
{
	struct ops *ops = calloc(1, sizeof(*ops));
	int ret;

	(void)err, (void)err_size;
	if (!ops)
		return -ENOMEM;
	ops->world = world;
	ret = sd_event_add_time(
	        world->event, &ops->timer, CLOCK_BOOTTIME, UINT64_MAX, 1000, on_timer, ops);
	if (ret >= 0)
		ret = sd_event_source_set_enabled(ops->timer, SD_EVENT_OFF);
	if (ret < 0) {
		free(ops);
		return ret;
	}
	*out = ops;
	return 0;
}

int ops_start(struct ops *ops, char *err, size_t err_size)
{
	static const struct control_ops methods = {
	        .status = op_status,
	        .firewall = op_firewall,
	        .denied = op_denied,
	        .reload = op_reload,
	        .load = op_load,
	        .bundle = op_bundle,
	        .members = op_members,
	        .join = op_join,
	        .pending = op_pending,
	        .reject = op_reject,
	        .tokens = op_tokens,
	        .explain = op_explain,
	        .doctor = op_doctor,
	        .log = on_log,
	};
	char path[PATH_MAX];
	struct control_options options = {.path = path, .group = ops->world->options.group};

	/* 0711: the socket itself says who may come in. */
	if (mkdir(ops->world->options.run_dir, 0755) < 0 && errno != EEXIST) {
		int ret = -errno;

		snprintf(err, err_size, "%s: cannot make this directory: %s",
		        ops->world->options.run_dir, strerror(-ret));
		return ret;
	}
	(void)chmod(ops->world->options.run_dir, 0755);
	snprintf(path, sizeof(path), "%s/" OVERLAY_ADMIN_SOCKET, ops->world->options.run_dir);
	return control_new(
	        ops->world->event, &options, &methods, ops, &ops->world->control, err, err_size);
}

void ops_free(struct ops *ops)
{
	struct pending *pending, *next;

	if (!ops)
		return;
	DL_FOREACH_SAFE(ops->pending, pending, next) {
		DL_DELETE(ops->pending, pending);
		control_call_fail(pending->call, -ECANCELED);
		json_decref(pending->result);
		free(pending);
	}
	control_free(ops->world->control);
	ops->world->control = NULL;
	sd_event_source_disable_unref(ops->timer);
	free(ops->state_told);
	ops->world->ops = NULL;
	free(ops);
}

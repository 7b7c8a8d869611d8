/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The host of one engine: carries its effects out on the fakes, brings their answers back. */
#include "tests/sim/guest.h"
#include "tests/sim/sim.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct engine_time host_time(const struct world *w, const struct node *n)
{
	return (struct engine_time){w->core.now, EPOCH_S + (w->core.now + n->wall_skew_us) / US};
}

static void tick(struct world *w, struct node *n, void *data)
{
	struct engine_event ev = {.type = ENGINE_EV_TICK};
	(void)data;

	if (!n->engine || n->tick_at != w->core.now)
		return;
	n->tick_at = 0;
	host_event(w, n, &ev);
}

struct answer {
	uint64_t epoch, id;
	int error;
};

static void deliver(struct world *w, struct node *n, void *data)
{
	struct answer *a = data;
	struct engine_event ev = {.type = ENGINE_EV_RESULT};

	if (!n->engine || n->epoch != a->epoch)
		return;
	ev.result.effect_id = a->id;
	ev.result.error = a->error;
	ev.result.text = a->error ? "made to fail" : NULL;
	host_event(w, n, &ev);
}

void host_result(struct world *w, struct node *n, int64_t when, uint64_t id, int error)
{
	struct answer a = {n->epoch, id, error};

	at(w, when, n, deliver, dup_mem(&a, sizeof(a)));
}

static void resolved(struct world *w, struct node *n, void *data)
{
	struct answer *a = data;
	struct engine_event ev = {.type = ENGINE_EV_RESOLVED};

	if (!n->engine || n->epoch != a->epoch)
		return;
	ev.resolved.effect_id = a->id;
	ev.resolved.error = a->error < 0 ? -ENOENT : 0;
	if (a->error >= 0) {
		ev.resolved.addrs = &w->nodes[a->error].underlay;
		ev.resolved.n = 1;
	}
	host_event(w, n, &ev);
}

static void resolve(struct world *w, struct node *n, const struct engine_effect *fx)
{
	struct answer a = {n->epoch, fx->id, atoi(fx->resolve.host + 1)};

	if (trouble(w, 0.2))
		a.error = -1;
	if (!trouble(w, 0.05))
		at(w, w->core.now + rnd_us(w, 1000, 2 * US), n, resolved, dup_mem(&a, sizeof(a)));
}

static void carry_out(struct world *w, struct node *n, const struct engine_effect *fx)
{
	int64_t late = trouble(w, 0.05) ? 3 * US : 20000;
	int error;

	trace(w, fx->type);
	trace(w, fx->id);
	switch (fx->type) {
	case ENGINE_FX_LOAD_KEY:
	case ENGINE_FX_LOAD_CONN:
	case ENGINE_FX_UNLOAD_CONN:
	case ENGINE_FX_INITIATE:
	case ENGINE_FX_LIST_SAS:
	case ENGINE_FX_LIST_CONNS:
		charon_do(w, n, fx);
		return;
	case ENGINE_FX_TERMINATE:
	case ENGINE_FX_PROBE:
		charon_do(w, n, fx);
		return;
	case ENGINE_FX_FW_BASE:
	case ENGINE_FX_FW_ADMIT:
	case ENGINE_FX_FW_REVOKE:
	case ENGINE_FX_FW_UNDERLAY:
	case ENGINE_FX_KILL_SOCKETS:
	case ENGINE_FX_PLANE:
		error = kernel_do(w, n, fx);
		if (!trouble(w, error ? 0.4 : 0.02))
			host_result(w, n, w->core.now + rnd_us(w, 100, late), fx->id, error);
		return;
	case ENGINE_FX_RESOLVE:
		resolve(w, n, fx);
		return;
	case ENGINE_FX_NOTICE:
		say(w, n, "%s", fx->notice.text);
		trace_str(w, fx->notice.text);
		check_notice(w, n, &fx->notice);
		return;
	case ENGINE_FX_BUNDLE_STORE:
	case ENGINE_FX_SESSION_OPEN:
	case ENGINE_FX_SESSION_SEND:
	case ENGINE_FX_SESSION_CLOSE:
	case ENGINE_FX_NOTE_SEND:
		session_do(w, n, fx);
		return;
	case ENGINE_FX_ADMISSIONS_STORE:
		guest_store(w, n, fx);
		return;
	case ENGINE_FX_JOIN_SERVE:
	case ENGINE_FX_JOIN_ANSWER:
	case ENGINE_FX_JOIN_ASK:
	case ENGINE_FX_JOIN_STOP:
	case ENGINE_FX_ADMIT_SIGN:
	case ENGINE_FX_CLUSTER_KEY:
	case ENGINE_FX_TICKET_FORGET:
		join_do(w, n, fx);
		return;
	}
}

static void clocks_set(struct world *w, struct node *n, struct clocks now)
{
	struct clocks *c = &n->clocks;

	if (now.trusted - c->trusted > US || now.present - c->present > US ||
	        c->present - now.present > US) {
		memmove(&n->former[1], &n->former[0], (FORMER_MAX - 1) * sizeof(n->former[0]));
		n->former[0] = *c;
		n->former[0].until = w->core.now;
	}
	*c = now;
}

/* What the node may know of the time. */
static void learn_time(struct world *w, struct node *n, int64_t off)
{
	struct clocks c = n->clocks;

	if (off > c.trusted)
		c.trusted = off;
	if (off > c.present || off < c.present - US)
		c.present = off;
	clocks_set(w, n, c);
}

/* When it was signed: so late it is at least. */
void host_learn_issue(struct world *w, struct node *n, int64_t issued_s)
{
	struct clocks c = n->clocks;

	if (issued_s * US - w->core.now > c.trusted)
		c.trusted = issued_s * US - w->core.now;
	clocks_set(w, n, c);
}

void host_event(struct world *w, struct node *n, struct engine_event *ev)
{
	struct engine_effects out;
	size_t memory;
	int64_t wake;

	ev->now = host_time(w, n);
	trace(w, (uint64_t)w->core.now);
	trace(w, ((uint64_t)n->index << 8) | ev->type);
	learn_time(w, n, ev->now.wall_s * US - w->core.now);
	if (engine_step(n->engine, ev, &out))
		broken(w, "rule 8", "%s: engine_step failed", n->name);
	for (size_t i = 0; i < out.n; i++)
		carry_out(w, n, &out.v[i]);
	if (w->is_signed)
		session_look(w, n, ev->type == ENGINE_EV_SESSION_MSG);
	memory = engine_memory(n->engine);
	if (memory > w->memory_max)
		w->memory_max = memory;
	wake = engine_next_wakeup(n->engine);
	n->spins = wake <= w->core.now ? n->spins + 1 : 0;
	if (n->spins > 100)
		broken(w, "rule 8", "%s: the engine spins", n->name);
	if (wake <= w->core.now)
		wake = w->core.now + 1;
	if (wake != ENGINE_NEVER && (!n->tick_at || wake < n->tick_at)) {
		n->tick_at = wake;
		at(w, wake, n, tick, NULL);
	}
}

void host_fw_seen(struct world *w, struct node *n, void *data)
{
	struct engine_event ev = {.type = ENGINE_EV_FIREWALL};

	if (!n->engine || n->epoch != *(uint64_t *)data)
		return;
	ev.firewall.seen = !n->kernel.table              ? ENGINE_FW_MISSING
	                   : n->up_since == w->core.now  ? ENGINE_FW_UNKNOWN
	                   : n->kernel.broken_since >= 0 ? ENGINE_FW_FOREIGN
	                                                 : ENGINE_FW_AS_LEFT;
	host_event(w, n, &ev);
}

static void told_charon(struct world *w, struct node *n, void *data)
{
	struct engine_event ev = {.type = ENGINE_EV_CHARON}, plane = {.type = ENGINE_EV_PLANE};

	if (!n->engine || n->epoch != *(uint64_t *)data)
		return;
	ev.charon.connected = n->charon.up;
	ev.charon.generation = n->charon.gen;
	plane.plane.up = n->charon.up;
	plane.plane.shared = plane_shared(n);
	plane.plane.traps = n->traps;
	host_event(w, n, &ev);
	if (n->engine)
		host_event(w, n, &plane);
}

void host_tell_charon(struct world *w, struct node *n)
{
	if (n->engine)
		at(w, w->core.now + rnd_us(w, 1000, 50000), n, told_charon, dup_mem(&n->epoch, 8));
}

void host_hold(struct world *w, struct node *n, const struct policy *p)
{
	if (n->n_held && !memcmp(n->held[n->n_held - 1].policy->digest, p->digest, 32))
		return;
	if (n->n_held)
		n->held[n->n_held - 1].to = w->core.now;
	if (n->n_held == HELD_MAX) {
		policy_unref(n->held[0].policy);
		memmove(&n->held[0], &n->held[1], (HELD_MAX - 1) * sizeof(n->held[0]));
		n->n_held--;
	}
	n->held[n->n_held++] = (struct held){policy_ref(p), w->core.now, INT64_MAX};
}

void host_read_files(struct world *w, struct node *n, void *data)
{
	struct engine_event ev = {.type = ENGINE_EV_POLICY};
	(void)data;

	if (!n->engine || !n->files)
		return;
	if (!w->is_signed)
		host_hold(w, n, n->files);
	ev.policy = n->files;
	host_event(w, n, &ev);
}

void host_start(struct world *w, struct node *n)
{
	struct engine_config cfg = {
	        .seed = rnd(w) | 1, .effect_timeout_us = 5 * US, .wall_floor_s = n->floor_s};
	struct engine_event ev = {.type = ENGINE_EV_OWN_KEY, .own_key = n->keys[n->key]};
	struct engine_event here = {.type = ENGINE_EV_UNDERLAY};

	here.underlay.addrs = &n->underlay;
	here.underlay.n = 1;
	if (engine_new(&n->engine, &cfg))
		abort();
	n->epoch++;
	n->tick_at = 0;
	clocks_set(w, n, (struct clocks){.trusted = n->floor_s * US - w->core.now});
	n->up_since = w->core.now;
	charon_show(n); /* overlayd cannot know what it never saw in a list */
	say(w, n, "overlayd starts");
	if (w->is_signed) {
		session_start(w, n);
		host_event(w, n, &here);
	}
	n->told_key = n->key;
	host_event(w, n, &ev);
	if (n->files)
		host_read_files(w, n, NULL);
	join_start(w, n);
	at(w, w->core.now, n, host_fw_seen, dup_mem(&n->epoch, 8));
	if (n->charon.up)
		host_tell_charon(w, n);
}

void host_kill(struct world *w, struct node *n)
{
	struct engine_view v;

	if (!n->engine)
		return;
	engine_look(n->engine, &v);
	n->floor_s = v.wall_s;
	engine_free(n->engine);
	n->engine = NULL;
	n->serves = false;
	n->down_since = w->core.now;
	say(w, n, "overlayd is killed");
}

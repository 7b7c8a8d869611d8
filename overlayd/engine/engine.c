/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The step: one event is taken in, which makes peers dirty; then whatever is dirty or due is
 * reconciled until nothing is left to say.
 */
#include "engine/internal.h"
#include "policy/guests.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define RECOVER_US 1000000

#ifdef ENGINE_IMPAIR
unsigned engine_impair;
#endif

static void default_to(int64_t *v, int64_t d)
{
	if (*v <= 0)
		*v = d;
}

static void config_defaults(struct engine_config *c)
{
	if (!c->seed)
		c->seed = 1;
	if (!c->load_window)
		c->load_window = 16;
	if (!c->initiate_window)
		c->initiate_window = 50;
	if (!c->end_window)
		c->end_window = 32;
	if (!c->mtu)
		c->mtu = 1400;
	if (c->wall_floor_s < 0 || c->wall_floor_s > INT64_MAX / 4000000)
		c->wall_floor_s = 0;
	default_to(&c->effect_timeout_us, 20000000);
	default_to(&c->initiate_timeout_us, 10000000);
	default_to(&c->second_grace_us, 1000000);
	default_to(&c->backoff_min_us, 250000);
	default_to(&c->backoff_max_us, 30000000);
	default_to(&c->resync_us, 30000000);
	default_to(&c->conns_us, 5000000);
	default_to(&c->halfopen_max_us, 30000000);
	default_to(&c->start_grace_us, 2000000);
	default_to(&c->warn_us, 600000000);
}

int engine_new(struct engine **out, const struct engine_config *config)
{
	struct engine *e = calloc(1, sizeof(*e));

	if (!e)
		return -ENOMEM;
	e->memory = sizeof(*e);
	if (config)
		e->cfg = *config;
	config_defaults(&e->cfg);
	if (cluster_new(&e->cluster, e->cfg.seed, NULL)) {
		free(e);
		return -ENOMEM;
	}
	if (joins_new(e)) {
		cluster_free(e->cluster);
		free(e);
		return -ENOMEM;
	}
	e->rng = e->cfg.seed;
	e->self_change_us = e->self_change_wall_s = e->self_old_us = ENGINE_NEVER;
	e->where_at = ENGINE_NEVER;
	e->base_dirty = true;
	e->plane_dirty = true;
	text_set(e->charon_text, sizeof(e->charon_text), "not connected yet");
	*out = e;
	return 0;
}

void engine_free(struct engine *e)
{
	if (!e)
		return;
	sas_forget(e);
	joins_free(e);
	peers_free(e);
	claims_free(e);
	flights_free(e);
	map_clear(&e->sas);
	classes_free(e, &e->in);
	classes_free(e, &e->out);
	out_free(e);
	policy_unref(e->policy_old);
	policy_unref(e->policy);
	cluster_free(e->cluster);
	free(e);
}

/* ---- events ---- */

static void policy_tell(struct engine *e, const struct policy *policy, const struct policy *before)
{
	if (before && policy_written(policy) == policy_written(before))
		notice(e, ENGINE_INFO, ENGINE_N_POLICY, NULL,
		        "There are other guests now: %zu peers.", policy->n_peers);
	else
		notice(e, ENGINE_NOTICE, ENGINE_N_POLICY, NULL,
		        "Policy of cluster %s, serial %llu, is in force: %zu peers.",
		        policy->cluster, (unsigned long long)policy->serial, policy->n_peers);
}

static void on_policy(struct engine *e, const struct policy *policy)
{
	if (!policy)
		return;
	if (e->policy && !memcmp(e->policy->digest, policy->digest, sizeof(policy->digest)))
		return;
	policy_tell(e, policy, e->policy);
	if (e->merged) {
		policy_unref(e->policy_old);
		e->policy_old = e->policy;
	} else {
		policy_unref(e->policy); /* records still point into the one before it */
	}
	e->merged = false;
	e->policy = policy_ref(policy);
	peers_take_policy(e);
}

/* Local files are but the signer's source once a bundle is in force. */
static void on_local_policy(struct engine *e, const struct policy *policy)
{
	struct engine_bundle_view v;

	cluster_look(e->cluster, &v);
	if (!v.head.serial)
		on_policy(e, policy);
}

static void on_bundle_policy(struct engine *e)
{
	struct policy *policy = cluster_policy(e->cluster);
	struct engine_bundle_view v;

	if (!policy)
		return;
	cluster_look(e->cluster, &v);
	clock_learn(e, v.head.issued);
	on_policy(e, policy);
	policy_unref(policy);
}

void engine_cluster_key(struct engine *e, const struct minisign_public *key)
{
	cluster_key(e->cluster, key);
	if (e->is_signed)
		return;
	e->is_signed = true;
	peers_take_policy(e);
}

static void on_own_key(struct engine *e, const struct policy_key *key)
{
	if (e->have_key && !memcmp(&e->own_key, key, sizeof(*key)))
		return;
	e->own_key = *key;
	e->have_key = true;
	e->key_loaded = false;
	if (e->charon == ENGINE_CHARON_READY)
		e->charon = ENGINE_CHARON_SYNCING;
	peers_take_policy(e);
}

static void on_flight(struct engine *e, const struct flight *f, int error, const char *text)
{
	struct peer *p = f->peer;

	switch (f->kind) {
	case OP_FW:
		fw_peer_result(e, p, error, text);
		break;
	case OP_SOCKETS:
		revoke_sockets_result(e, p, error, text);
		break;
	case OP_LOAD:
	case OP_UNLOAD:
		conn_result(e, p, error, text);
		break;
	case OP_TERMINATE:
		revoke_terminate_result(e, p, error, text);
		break;
	case OP_INITIATE:
		tunnel_result(e, p, error, text);
		break;
	case OP_SA_TERMINATE:
		sa_end_result(e, f->sa_id, error);
		break;
	case OP_PROBE:
		rivals_probe_result(e, p, error);
		break;
	case OP_KEY:
		charon_result(e, OP_KEY, error, text);
		break;
	case OP_BASE:
		fw_base_result(e, error, text);
		break;
	case OP_PLANE:
		plane_result(e, error, text);
		break;
	case OP_UNDERLAY:
		underlay_result(e, p, error, text);
		break;
	case OP_JOIN_SERVE:
	case OP_JOIN_ASK:
	case OP_ADMIT:
	case OP_CLUSTER_KEY:
	case OP_TICKET:
		joins_result(e, f->kind, error, text);
		break;
	case OP_RESOLVE:
	case OP_LIST_SAS:
	case OP_LIST_CONNS:
	case OP_N:
		break; /* have events of their own */
	}
}

static void on_result(struct engine *e, const struct engine_event *ev)
{
	struct flight *found = flight_find(e, ev->result.effect_id), f;
	const char *text = ev->result.text ? ev->result.text : "no reason given";

	if (!found) {
		cluster_result(e->cluster, ev->result.effect_id, ev->result.error, text);
		return;
	}
	f = *found;
	if (f.peer)
		peer_dirty(e, f.peer);
	if (ev->result.error && f.kind == OP_RESOLVE)
		names_resolved(e, f.peer, ev);
	else if (ev->result.error && (f.kind == OP_LIST_SAS || f.kind == OP_LIST_CONNS))
		charon_result(e, f.kind, ev->result.error, text);
	else
		on_flight(e, &f, ev->result.error, text);
}

static bool answers(struct engine *e, uint64_t id, enum op_kind kind)
{
	struct flight *f = flight_find(e, id);

	return f && f->kind == kind;
}

static void on_resolved(struct engine *e, const struct engine_event *ev)
{
	struct flight *f = flight_find(e, ev->resolved.effect_id);

	if (!f || f->kind != OP_RESOLVE)
		return;
	peer_dirty(e, f->peer);
	names_resolved(e, f->peer, ev);
}

static void on_underlay(struct engine *e, const struct engine_event *ev)
{
	underlay_own(e, ev->underlay.addrs, ev->underlay.n);
	for (size_t i = 0; i < e->n_peers; i++)
		if (e->peers[i]->want)
			tunnel_reset(e, e->peers[i]);
	peers_dirty_all(e);
	e->underlay_known = true;
	paths_own(e);
}

static void on_reconnect(struct engine *e, const char *name)
{
	struct peer *p = name ? peer_find(e, name, strlen(name)) : NULL;

	for (struct sa *sa = e->sa_head; sa; sa = sa->all_next) {
		if (!sa->peer || (name && sa->peer != p))
			continue;
		sa->asked = true;
		sa_judge(e, sa);
		peer_dirty(e, sa->peer);
	}
	for (size_t i = 0; i < e->n_peers; i++)
		if (!name || e->peers[i] == p)
			tunnel_reset(e, e->peers[i]);
}

static void take_in(struct engine *e, const struct engine_event *ev)
{
	switch (ev->type) {
	case ENGINE_EV_TICK:
		break;
	case ENGINE_EV_POLICY:
		on_local_policy(e, ev->policy);
		break;
	case ENGINE_EV_OWN_KEY:
		on_own_key(e, &ev->own_key);
		break;
	case ENGINE_EV_NEXT_KEY:
		rotation_other_key(e, &ev->own_key);
		break;
	case ENGINE_EV_CHARON:
		charon_changed(e, ev);
		break;
	case ENGINE_EV_SAS:
		if (answers(e, ev->sas.effect_id, OP_LIST_SAS)) {
			sas_snapshot(e, ev);
			charon_result(e, OP_LIST_SAS, e->oom ? -ENOMEM : 0, "out of memory");
		}
		break;
	case ENGINE_EV_CONNS:
		if (answers(e, ev->conns.effect_id, OP_LIST_CONNS)) {
			conns_snapshot(e, ev);
			charon_result(e, OP_LIST_CONNS, e->oom ? -ENOMEM : 0, "out of memory");
		}
		break;
	case ENGINE_EV_KEY_LOST:
		charon_key_lost(e);
		break;
	case ENGINE_EV_SA:
		sas_event(e, ev);
		break;
	case ENGINE_EV_PLANE:
		if (ev->plane.up && !e->plane_up)
			e->plane_dirty = true;
		e->plane_up = ev->plane.up;
		if (ev->plane.up && ev->plane.shared != e->plane_shared) {
			e->plane_shared = ev->plane.shared;
			e->want_list |= e->charon != ENGINE_CHARON_DOWN;
		}
		if (ev->plane.up)
			demand_plane(e, ev->plane.traps);
		break;
	case ENGINE_EV_FIREWALL:
		fw_seen(e, ev->firewall.seen);
		break;
	case ENGINE_EV_RESULT:
		on_result(e, ev);
		break;
	case ENGINE_EV_RESOLVED:
		on_resolved(e, ev);
		break;
	case ENGINE_EV_UNDERLAY:
		on_underlay(e, ev);
		break;
	case ENGINE_EV_RECONNECT:
		on_reconnect(e, ev->peer);
		break;
	case ENGINE_EV_RESYNC:
		e->want_list = e->want_conns = true;
		break;
	case ENGINE_EV_CLUSTER_KEY:
		engine_cluster_key(e, &ev->cluster_key);
		break;
	case ENGINE_EV_BUNDLE:
		cluster_bundle(e->cluster, ev->bundle.source, ev->bundle.file, ev->bundle.len);
		break;
	case ENGINE_EV_ADMISSIONS:
		cluster_admissions(e->cluster, ev->admissions.data, ev->admissions.len);
		break;
	case ENGINE_EV_SESSION:
		cluster_session(e->cluster, ev);
		break;
	case ENGINE_EV_SESSION_MSG:
		cluster_session_msg(e->cluster, ev->session_msg.id, ev->session_msg.msg);
		break;
	case ENGINE_EV_NOTE:
		cluster_note(e->cluster, ev->note.peer, &ev->note.head);
		break;
	case ENGINE_EV_VOUCHER:
		cluster_voucher(e->cluster, ev->voucher.line, ev->voucher.len);
		break;
	case ENGINE_EV_WHO:
		cluster_who(e->cluster);
		break;
	case ENGINE_EV_TICKET:
	case ENGINE_EV_JOIN_ANSWERED:
	case ENGINE_EV_JOIN_CALL:
	case ENGINE_EV_JOIN_GONE:
	case ENGINE_EV_JOIN_REJECT:
		joins_event(e, ev);
		break;
	case ENGINE_EV_ADMIT_SIGNED:
		if (!cluster_signed(
		            e->cluster, ev->admit_signed.effect_id, ev->admit_signed.by_seed))
			joins_event(e, ev);
		break;
	}
	on_bundle_policy(e);
}

/* ---- the run after it ---- */

static void due_peers(struct engine *e)
{
	struct peer *p;

	while ((p = timer_first(e)) && p->due <= e->now.mono_us) {
		timer_cancel(e, p);
		peer_dirty(e, p);
	}
}

/* As many as have a turn now; each takes its slot or no longer wants one. */
static void admit_waiting(struct engine *e, enum queue_kind q, size_t used, size_t window)
{
	while (used < window) {
		struct peer *p = queue_pop(e, q);

		if (!p)
			return;
		peer_dirty(e, p);
		used++;
	}
}

/* Whatever was left out when memory ran out: records, timers, what charon told. */
static void recover(struct engine *e)
{
	e->recover_us = 0;
	if (!e->retry_policy)
		peers_take_policy(e);
	peers_dirty_all(e);
	if (e->charon != ENGINE_CHARON_DOWN)
		e->want_list = e->want_conns = true;
}

static void run(struct engine *e)
{
	struct peer *p;

	if (e->recover_us && e->now.mono_us >= e->recover_us)
		recover(e);
	if (e->retry_policy && e->now.mono_us >= e->retry_policy_us)
		peers_take_policy(e);
	if (e->now.mono_us >= e->self_change_us || e->now.mono_us >= e->self_old_us)
		peers_judge_all(e);
	due_peers(e);
	paths_step(e);
	plane_step(e); /* charon must know our address before it hears of connections */
	do {
		while ((p = queue_pop(e, Q_DIRTY)))
			if (!p->dead)
				peer_reconcile(e, p);
		admit_waiting(e, Q_LOAD, e->n_flights[OP_LOAD], e->cfg.load_window);
		admit_waiting(e, Q_INITIATE, e->n_trying, e->cfg.initiate_window);
		admit_waiting(e, Q_RESOLVE, e->n_flights[OP_RESOLVE], RESOLVE_WINDOW);
		admit_waiting(e, Q_END, e->n_flights[OP_UNLOAD] + e->n_flights[OP_TERMINATE],
		        e->cfg.end_window);
	} while (e->queues[Q_DIRTY].n);
	peers_tell(e);
	peers_sweep(e);
	demand_tell(e);
	joins_step(e);
	fw_base_step(e);
	sas_end_bad(e);
	charon_step(e);
}

/* Ours first: a cut here waits for nothing, and then others hear of it. */
static void cluster_run(struct engine *e)
{
	const struct engine_effects *more;

	if (cluster_tick(e->cluster))
		e->oom = true;
	more = cluster_effects(e->cluster);
	for (size_t i = 0; i < more->n; i++) {
		struct engine_effect *fx = out_effect(e, more->v[i].type, more->v[i].id);

		if (!fx) {
			cluster_unsaid(e->cluster);
			return;
		}
		*fx = more->v[i];
	}
}

int engine_step(struct engine *e, const struct engine_event *event, struct engine_effects *out)
{
	out_reset(e);
	if (e->merged) {
		policy_unref(e->policy_old);
		e->policy_old = NULL;
	}
	e->oom = false;
	e->seq++;
	clock_take(e, event->now);
	cluster_step_begin(e->cluster, e->now, &e->next_id);
	take_in(e, event);
	run(e);
	cluster_run(e);
	if (e->oom)
		e->recover_us = e->now.mono_us + RECOVER_US;
	out->v = e->fx;
	out->n = e->n_fx;
	return e->oom ? -ENOMEM : 0;
}

int64_t engine_next_wakeup(const struct engine *e)
{
	const struct peer *p = timer_first(e);
	int64_t at = p ? p->due : ENGINE_NEVER, t;

	if (e->queues[Q_DIRTY].n)
		return e->now.mono_us;
	if (e->retry_policy && e->retry_policy_us < at)
		at = e->retry_policy_us;
	if (e->recover_us && e->recover_us < at)
		at = e->recover_us;
	t = fw_wakeup(e);
	at = t < at ? t : at;
	t = charon_wakeup(e);
	at = t < at ? t : at;
	t = cluster_wakeup(e->cluster);
	at = t < at ? t : at;
	t = joins_wakeup(e);
	at = t < at ? t : at;
	at = e->where_at < at ? e->where_at : at;
	at = e->self_old_us < at ? e->self_old_us : at;
	return e->self_change_us < at ? e->self_change_us : at;
}

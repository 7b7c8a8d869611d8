/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The host of one machine: its clocks, its disk, its step, its effects. */
#include "tests/simcluster/swarm.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct node *node_by_name(struct world *w, const char *name)
{
	int i = name && name[0] == 'n' ? atoi(name + 1) : -1;

	return i >= 0 && i < w->n_nodes && !strcmp(w->nodes[i].name, name) ? &w->nodes[i] : NULL;
}

void node_begin(struct world *w, struct node *n)
{
	struct engine_time now = {w->core.now + n->mono_us, EPOCH_S + w->core.now / US + n->skew_s};

	n->n_fx = n->n_sent = 0;
	w->stepping = n;
	cluster_step_begin(n->cl, now, &n->next_id);
}

static void tick(struct world *w, struct node *n, void *data)
{
	(void)data;
	if (!n->cl || n->tick_at != w->core.now)
		return;
	n->tick_at = 0;
	node_begin(w, n);
	node_end(w, n);
}

/* ---- the disk ---- */

static void to_disk(struct node *n, const struct store *s)
{
	if (s->error)
		return;
	if (s->kept) {
		free(n->kept.data);
		n->kept = *s->kept;
		s->kept->data = NULL;
	} else {
		n->disk = s->bundle;
	}
}

static void stored(struct world *w, struct node *n, struct store *s)
{
	to_disk(n, s);
	if (!n->cl || n->epoch != s->epoch || s->silent)
		return;
	if (!s->error && n->disk >= 0)
		n->floor = n->disk;
	node_begin(w, n);
	cluster_result(n->cl, s->id, s->error, s->error ? "made to fail" : NULL);
	node_end(w, n);
}

/* What is on its way when overlayd dies may come to the disk or not. */
static void stored_or_lost(struct world *w, struct node *n, void *data)
{
	struct store *s = data;

	if (n->epoch == s->epoch && n->cl)
		stored(w, n, s);
	else if (n->epoch == s->epoch && chance(w, 0.5))
		to_disk(n, s);
	if (s->kept)
		free(s->kept->data);
	free(s->kept);
}

void node_store(struct world *w, struct node *n, uint64_t id, int bundle, struct on_disk *kept)
{
	struct store s = {.epoch = n->epoch, .id = id, .bundle = bundle, .kept = kept};
	int64_t took = rnd_us(w, 500, 50000);

	if (trouble(w, 0.2))
		s.error = chance(w, 0.5) ? -ENOSPC : -EIO;
	if (trouble(w, 0.1))
		took = rnd_us(w, US, 60 * US);
	s.silent = trouble(w, 0.05);
	if (n->disk_at < w->core.now)
		n->disk_at = w->core.now;
	n->disk_at += took; /* one after the other */
	at(w, n->disk_at, n, stored_or_lost, dup_mem(&s, sizeof(s)));
}

static void store(struct world *w, struct node *n, const struct engine_effect *fx)
{
	int bundle = bundle_same(w, fx->bundle.file, fx->bundle.len);

	if (bundle < 0)
		broken(w, "rule 4", "%s: it stores a bundle that nobody signed", n->name);
	else
		node_store(w, n, fx->id, bundle, NULL);
}

/* ---- effects ---- */

static void carry_out(struct world *w, struct node *n, const struct engine_effect *fx)
{
	trace(w, (uint64_t)fx->type << 32 | (uint32_t)fx->id);
	check_effect(w, n, fx);
	if (w->core.rule)
		return;
	n->n_fx++;
	switch (fx->type) {
	case ENGINE_FX_BUNDLE_STORE:
		store(w, n, fx);
		return;
	case ENGINE_FX_ADMISSIONS_STORE:
		guests_store(w, n, fx);
		return;
	case ENGINE_FX_ADMIT_SIGN:
		keys_resign(w, n, fx);
		return;
	case ENGINE_FX_SESSION_OPEN:
		net_open(w, n, fx);
		return;
	case ENGINE_FX_SESSION_SEND:
		n->n_sent++;
		net_send(w, n, fx->session.session, fx->session.msg);
		return;
	case ENGINE_FX_SESSION_CLOSE:
		net_close(w, n, fx->session.session);
		return;
	case ENGINE_FX_NOTE_SEND:
		n->n_sent++;
		if (!(n->evil & EVIL_WITHHOLD))
			net_note(w, n, node_by_name(w, fx->note.peer), &fx->note.head);
		return;
	case ENGINE_FX_NOTICE:
		say(w, n, "%s", fx->notice.text);
		check_notice(w, n, &fx->notice);
		trace_str(w, fx->notice.text);
		w->n_fork_told += fx->notice.code == ENGINE_N_FORK;
		w->n_withheld_told += fx->notice.code == ENGINE_N_WITHHELD;
		w->n_refused_told += fx->notice.code == ENGINE_N_REFUSED_BUNDLE;
		return;
	case ENGINE_FX_JOIN_SERVE:
	case ENGINE_FX_JOIN_ANSWER:
	case ENGINE_FX_JOIN_ASK:
	case ENGINE_FX_JOIN_STOP:
	case ENGINE_FX_CLUSTER_KEY:
	case ENGINE_FX_TICKET_FORGET:
	case ENGINE_FX_LOAD_KEY:
	case ENGINE_FX_LOAD_CONN:
	case ENGINE_FX_UNLOAD_CONN:
	case ENGINE_FX_INITIATE:
	case ENGINE_FX_TERMINATE:
	case ENGINE_FX_PROBE:
	case ENGINE_FX_LIST_SAS:
	case ENGINE_FX_LIST_CONNS:
	case ENGINE_FX_FW_BASE:
	case ENGINE_FX_FW_ADMIT:
	case ENGINE_FX_FW_REVOKE:
	case ENGINE_FX_FW_UNDERLAY:
	case ENGINE_FX_KILL_SOCKETS:
	case ENGINE_FX_PLANE:
	case ENGINE_FX_RESOLVE:
		broken(w, "cluster.h", "%s: effect %d is not its own", n->name, (int)fx->type);
	}
}

/* As the engine does: what the bundle brought is taken over within the step. */
static bool take_over(struct world *w, struct node *n)
{
	struct policy *p = cluster_policy(n->cl);
	const struct policy *old;

	if (!p)
		return false;
	old = n->policy;
	n->policy = p;
	n->self = policy_peer_by_name(p, n->name);
	cluster_members(n->cl, p, n->self);
	links_cut_own(w, n, old);
	keys_taken_over(w, n);
	policy_unref(old);
	return true;
}

static void wake(struct world *w, struct node *n)
{
	int64_t when = cluster_wakeup(n->cl);

	if (when == ENGINE_NEVER)
		return;
	when -= n->mono_us;
	n->spins = when <= w->core.now ? n->spins + 1 : 0;
	if (n->spins > 100)
		broken(w, "rule 8", "%s: the machine spins", n->name);
	if (when <= w->core.now)
		when = w->core.now + 1;
	if (!n->tick_at || when < n->tick_at) {
		n->tick_at = when;
		at(w, when, n, tick, NULL);
	}
}

void node_end(struct world *w, struct node *n)
{
	const struct engine_effects *fx;
	bool changed = false;

	trace(w, (uint64_t)w->core.now ^ (uint64_t)n->index << 48);
	changed = take_over(w, n);
	cluster_tick(n->cl);
	while (take_over(w, n)) {
		changed = true;
		cluster_tick(n->cl);
	}
	fx = cluster_effects(n->cl);
	for (size_t i = 0; i < fx->n && !w->core.rule; i++)
		carry_out(w, n, &fx->v[i]);
	check_step(w, n);
	if (w->core.rule)
		return;
	wake(w, n);
	if (changed)
		links_review(w, n);
}

/* ---- life and death ---- */

void node_start(struct world *w, struct node *n, void *data)
{
	struct cluster_hooks hooks = memo_hooks(w);
	(void)data;

	if (n->cl)
		return;
	if (cluster_new(&n->cl, rnd(w) | 1, &hooks))
		abort();
	n->epoch++;
	n->next_id = 0;
	n->tick_at = 0;
	n->spins = 0;
	n->started_at = n->rate_from = w->core.now;
	n->mono_us = rnd_us(w, US, 1000000 * US) - w->core.now;
	n->force = -1;
	n->seen_file = NULL;
	n->seen_policy = NULL;
	n->kept_whole = false;
	w->n_restarts++;
	say(w, n, "overlayd starts");
	node_begin(w, n);
	cluster_key(n->cl, &w->key.pub);
	map_start(n);
	if (n->disk >= 0) {
		w->n_kept++;
		cluster_bundle(n->cl, ENGINE_BUNDLE_KEPT, w->bundles[n->disk].file,
		        w->bundles[n->disk].len);
	}
	guests_start(w, n);
	policy_unref(n->policy);
	n->policy = NULL;
	n->self = NULL;
	if (n->disk < 0) {
		n->policy = policy_ref(w->local);
		n->self = policy_peer_by_name(n->policy, n->name);
		cluster_members(n->cl, n->policy, n->self);
	}
	node_end(w, n);
	check_start(w, n);
	links_review(w, n);
	if (n->evil)
		evil_start(w, n);
}

void node_crash(struct world *w, struct node *n, bool lose_disk)
{
	if (!n->cl)
		return;
	say(w, n, "overlayd is killed%s", lose_disk ? " and its disk is lost" : "");
	net_break_node(w, n);
	cluster_free(n->cl);
	n->cl = NULL;
	if (lose_disk) {
		n->disk = n->floor = -1;
		free(n->kept.data);
		n->kept = (struct on_disk){0};
		guests_lost(w, n);
		n->epoch++; /* nothing that is on its way arrives */
	} else {
		n->floor = n->disk;
	}
	for (size_t i = 0; i < n->n_links; i++)
		n->links[i]->told[link_side(n->links[i], n)] = CLUSTER_GONE;
	links_review(w, n);
}

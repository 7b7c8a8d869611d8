/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The rules of design section 10 that this floor can break: 4 (what is in force was signed, and
 * never goes back), 3 (whom the policy in force lacks is not spoken to), 8 (bounds), 9 (a kept disk
 * brings back the same state); and that all who can reach each other come to one policy.
 */
#include "tests/simcluster/swarm.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MANY 100
#define WINDOW_US (10 * US)
#define ANSWERS 8                /* to WHO, in one step */
#define GUESTS_ROOM (20 * 17000) /* parts of what it is sending of its guests, for all */
#define EXTRAS_MAX 12            /* sessions beside those to seeds that a node may have opened */

/* May b follow a? By the words of design section 5, not by bundle_judge(). */
static bool may_follow(const struct bundle_head *a, const struct bundle_head *b)
{
	if (b->serial <= a->serial || (b->has_parent && b->parent_serial < a->serial))
		return false;
	return !b->has_parent || b->parent_serial != a->serial ||
	       !memcmp(b->parent, a->digest, sizeof(b->parent));
}

static void said(struct node *n, int bundle)
{
	size_t need_cap = (size_t)bundle + 1;

	if (need_cap > n->said_cap) {
		need_cap += 32;
		n->said = need(realloc(n->said, need_cap));
		memset(n->said + n->said_cap, 0, need_cap - n->said_cap);
		n->said_cap = need_cap;
	}
	n->said[bundle] = 1;
}

static void comes_into_force(struct world *w, struct node *n, int now)
{
	const struct signed_bundle *b = &w->bundles[now];
	unsigned long long serial = b->head.serial;
	const char *file = NULL;
	size_t len = 0;

	if (n->force >= 0 && !may_follow(&w->bundles[n->force].head, &b->head))
		broken(w, "rule 4", "%s: serial %llu (bundle %d) replaced serial %llu (bundle %d)",
		        n->name, serial, now, (unsigned long long)w->bundles[n->force].head.serial,
		        n->force);
	if (cluster_file(n->cl, &file, &len) || len != b->len || memcmp(file, b->file, len))
		broken(w, "rule 4", "%s: the file in force is not what was signed as serial %llu",
		        n->name, serial);
	n->force = now;
	n->changes++;
	said(n, now);
	say(w, n, "serial %llu (bundle %d) is in force", serial, now);
	trace(w, (uint64_t)now);
	if (now == w->final) {
		n->converged_at = w->core.now;
		if (!n->evil && w->core.now - w->final_at > w->slowest_us)
			w->slowest_us = w->core.now - w->final_at;
	}
}

static void check_force(struct world *w, struct node *n, const struct engine_bundle_view *v)
{
	int now = v->head.serial ? bundle_find(w, v->head.digest) : -1;

	if (v->head.serial && now < 0) {
		broken(w, "rule 4",
		        "%s: serial %llu is in force, which the cluster key never "
		        "signed",
		        n->name, (unsigned long long)v->head.serial);
		return;
	}
	if (now < 0 && n->force >= 0)
		broken(w, "rule 4", "%s: no bundle is in force any more", n->name);
	if (now >= 0 && now != n->force)
		comes_into_force(w, n, now);
	if (w->core.rule || now < 0)
		return;
	if (!n->policy ||
	        memcmp(policy_written(n->policy)->digest, w->bundles[now].policy_digest, 32))
		broken(w, "rule 3", "%s: it does not act by the policy of serial %llu", n->name,
		        (unsigned long long)v->head.serial);
	if (v->stored && n->disk != now)
		broken(w, "rule 9", "%s: says that serial %llu is on disk, and it is not", n->name,
		        (unsigned long long)v->head.serial);
}

/* What it believes of others, they have said. */
static void check_views(struct world *w, struct node *n)
{
	struct engine_member_view m;
	const struct node *o;
	int b;

	if (!n->policy || cluster_member_at(n->cl, rnd_below(w, n->policy->n_peers), &m))
		return;
	o = node_by_name(w, m.name);
	if (!m.applied.serial || !o || o->evil)
		return;
	b = bundle_find(w, m.applied.digest);
	if (b < 0 || w->bundles[b].head.serial != m.applied.serial || (size_t)b >= o->said_cap ||
	        !o->said[b])
		broken(w, "design 4", "%s believes that %s applied serial %llu, which it never did",
		        n->name, o->name, (unsigned long long)m.applied.serial);
}

/* Signatures of admissions in ten seconds: those that are new, and a few of each who makes them up. */
static uint64_t verified_max(const struct world *w)
{
	return 48 + 3 * w->n_issued + 16 * (uint64_t)w->n_evil;
}

/* Whatever comes in, what goes out in ten seconds is in proportion. */
static void check_rate(struct world *w, struct node *n)
{
	uint64_t in, out, changes;

	if (w->core.now - n->rate_from < WINDOW_US)
		return;
	in = n->traffic.in + n->traffic.notes_in - n->window.in - n->window.notes_in;
	out = n->traffic.out + n->traffic.notes_out - n->window.out - n->window.notes_out;
	changes = n->changes - n->window_changes;
	if (!n->evil && out > 40 + 2 * in + (2 + 2 * changes) * (8 + n->n_links))
		broken(w, "rule 8", "%s: said %llu things in %lld s, heard %llu", n->name,
		        (unsigned long long)out, (long long)((w->core.now - n->rate_from) / US),
		        (unsigned long long)in);
	if (!n->evil && n->n_verified - n->window_verified > verified_max(w))
		broken(w, "rule 8", "%s: verified %llu signatures of guests in %lld s", n->name,
		        (unsigned long long)(n->n_verified - n->window_verified),
		        (long long)((w->core.now - n->rate_from) / US));
	n->window_verified = n->n_verified;
	n->rate_from = w->core.now;
	n->window = n->traffic;
	n->window_changes = n->changes;
}

static void check_bounds(struct world *w, struct node *n)
{
	size_t memory = cluster_memory(n->cl), largest = 0, answers;

	answers = (size_t)w->n_nodes;
	answers = answers < SESSION_STATEMENTS_MAX ? answers : SESSION_STATEMENTS_MAX;
	answers *= ANSWERS * sizeof(struct session_statement);
	for (size_t i = 0; i < w->n_bundles; i++)
		if (w->bundles[i].len > largest)
			largest = w->bundles[i].len;
	if (memory > w->memory_max)
		w->memory_max = memory;
	if (memory > 65536 + 10 * largest + 2048 * ((size_t)w->n_nodes + w->n_issued) +
	                     GUESTS_ROOM + answers)
		broken(w, "rule 8", "%s: the machine holds %zu bytes", n->name, memory);
	if (n->n_fx > 64 + 4 * (n->n_sessions + n->n_links))
		broken(w, "rule 8", "%s: %zu effects of one event", n->name, n->n_fx);
	check_rate(w, n);
}

/* Looking counts the members, so where there are many it is done when there is something to see. */
static bool is_due(struct world *w, struct node *n)
{
	const char *file = NULL;
	size_t len = 0;
	bool same;

	if (cluster_file(n->cl, &file, &len))
		file = NULL;
	same = file == n->seen_file && n->force >= 0;
	n->seen_file = file;
	return !same || w->n_nodes <= MANY || w->core.steps % 64 == 0;
}

void check_step(struct world *w, struct node *n)
{
	struct engine_bundle_view v;

	if (w->core.rule)
		return;
	if (is_due(w, n)) {
		cluster_look(n->cl, &v);
		check_force(w, n, &v);
	}
	check_guests(w, n);
	map_check(w, n);
	check_views(w, n);
	check_bounds(w, n);
}

/* Rule 9: it is where its disk was. */
void check_start(struct world *w, struct node *n)
{
	if (!w->core.rule && n->force != n->disk)
		broken(w, "rule 9",
		        "%s: bundle %d was kept, and bundle %d is in force after a "
		        "start",
		        n->name, n->disk, n->force);
	if (!w->core.rule && n->kept_whole && n->force >= 0)
		check_guests_kept(w, n);
}

/* ---- what it does ---- */

/* reached: it was told that it can; who opened a session to it may be known of before. */
static bool may_speak(struct world *w, struct node *n, const char *peer, bool reached)
{
	const struct node *o = node_by_name(w, peer);
	const struct link *l = o ? link_find(w, n, o) : NULL;
	const struct policy_peer *pp = n->policy && o ? policy_peer_by_name(n->policy, peer) : NULL;

	if (l && pp && n->self && o != n && (!reached || l->told[link_side(l, n)] != CLUSTER_GONE))
		return true;
	broken(w, "rule 3", "%s speaks to %s, which it cannot or must not reach", n->name, peer);
	return false;
}

static void check_message(struct world *w, struct node *n, const struct engine_session_fx *fx)
{
	const struct session_msg *m = fx->msg;
	struct sess_end *e = net_end(w, n, fx->session);
	int b;

	if (!e || !e->up) {
		broken(w, "cluster.h", "%s: it sends on session %llu, which is not up", n->name,
		        (unsigned long long)fx->session);
		return;
	}
	if (!may_speak(w, n, end_node(w, end_other(e))->name, false))
		return;
	if (m->type == SESSION_STATE &&
	        (strcmp(m->statement.node, n->name) || m->statement.kind != SESSION_APPLIED ||
	                m->statement.head.serial != m->head.serial))
		broken(w, "session.h", "%s: it speaks for %s", n->name, m->statement.node);
	if (m->n_statements > SESSION_STATEMENTS_MAX)
		broken(w, "rule 8", "%s: %zu statements in one message", n->name, m->n_statements);
	if (m->type != SESSION_BUNDLE)
		return;
	b = bundle_find(w, m->head.digest);
	if (b < 0 || w->bundles[b].head.serial != m->head.serial)
		broken(w, "rule 4", "%s: it passes on what the cluster key never signed", n->name);
	else if (m->delta && m->len >= w->bundles[b].len)
		broken(w, "session.h", "%s: a delta of %zu bytes for %zu", n->name, m->len,
		        w->bundles[b].len);
}

static void check_open(struct world *w, struct node *n, const struct engine_session_fx *fx)
{
	const struct policy_peer *pp;
	size_t extras = 0;

	if (!may_speak(w, n, fx->peer, true))
		return;
	pp = policy_peer_by_name(n->policy, fx->peer);
	if (fx->addr.family != pp->addr4.family ||
	        memcmp(fx->addr.bytes, pp->addr4.bytes, sizeof(pp->addr4.bytes)) ||
	        memcmp(fx->from.bytes, n->self->addr4.bytes, sizeof(pp->addr4.bytes)))
		if (memcmp(fx->addr.bytes, pp->addr6.bytes, sizeof(pp->addr6.bytes)))
			broken(w, "engine.h", "%s: %s has not that address", n->name, fx->peer);
	for (size_t i = 0; i < n->n_links; i++)
		for (const struct sess *s = n->links[i]->live; s; s = s->next_live)
			extras += s->end[0].known && s->end[0].name.node == (uint64_t)n->index &&
			          !w->nodes[s->end[1].name.node].seed;
	if (extras > EXTRAS_MAX)
		broken(w, "rule 8", "%s: %zu sessions to members", n->name, extras);
}

void check_effect(struct world *w, struct node *n, const struct engine_effect *fx)
{
	if (fx->type == ENGINE_FX_SESSION_SEND)
		check_message(w, n, &fx->session);
	if (fx->type == ENGINE_FX_SESSION_OPEN)
		check_open(w, n, &fx->session);
	if (fx->type != ENGINE_FX_NOTE_SEND || !may_speak(w, n, fx->note.peer, true))
		return;
	if (n->force >= 0 && bundle_find(w, fx->note.head.digest) < 0)
		broken(w, "rule 4", "%s: its note names what nobody signed", n->name);
}

/* ---- the end ---- */

static void settled_seeds(struct world *w, struct node *n)
{
	struct engine_bundle_view v;
	struct engine_member_view m;

	for (int s = 0; s < w->n_seeds; s++) {
		const struct node *o = &w->nodes[s];
		size_t i = 0;

		while (!cluster_member_at(n->cl, i, &m) && strcmp(m.name, o->name))
			i++;
		if (!o->evil && o != n && !m.session)
			broken(w, "settling", "%s: at the end it has no session to the seed %s: %s",
			        n->name, o->name, m.session_text);
	}
	cluster_look(n->cl, &v);
	if (!v.stored || n->disk != w->final)
		broken(w, "settling", "%s: at the end the disk has bundle %d (%s)", n->name,
		        n->disk, v.store_text ? v.store_text : "");
}

/* And no guest that has its name. */
static bool is_node(const struct node *n, const struct node *o)
{
	const struct policy_peer *pp = policy_peer_by_name(n->policy, o->name);

	return pp && keys_holds(o, &pp->key);
}

/* Who asks any honest seed learns what each honest node has in force. */
static void settled_views(struct world *w, struct node *n)
{
	struct engine_member_view m;

	for (size_t i = 0; !cluster_member_at(n->cl, i, &m); i++) {
		const struct node *o = node_by_name(w, m.name);

		if (o && !o->evil && is_node(n, o) &&
		        memcmp(m.applied.digest, w->bundles[w->final].head.digest, 32))
			broken(w, "settling",
			        "%s: at the end it believes that %s applied serial "
			        "%llu",
			        n->name, o->name, (unsigned long long)m.applied.serial);
	}
}

void check_settled(struct world *w)
{
	bool honest_seed = false;

	for (int s = 0; s < w->n_seeds; s++)
		honest_seed |= !w->nodes[s].evil;
	for (int i = 0; i < w->n_nodes && !w->core.rule; i++) {
		struct node *n = &w->nodes[i];

		if (n->evil)
			continue;
		if (n->force != w->final) {
			broken(w, "settling", "%s: at the end bundle %d is in force, not %d",
			        n->name, n->force, w->final);
			return;
		}
		settled_seeds(w, n);
		map_settled(w, n);
		if (honest_seed)
			settled_views(w, n);
	}
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The rules of design section 10 that this floor can break: 2 and 3 (what passes is what the
 * policy in force gives that key, timed authority included), 8 (bounds), 9 (a restart of overlayd
 * drops no tunnel and no authority outlives its time); and that everything settles.
 */
#include "tests/sim/guest.h"

#include <stdio.h>
#include <string.h>

#define SLOW_US (20 * US) /* how long a change may take while effects fail: back-off included */
#define ON_TIME_S 2
#define SEEN_US (SLOW_US + 30 * US) /* the same, for what only the next list shows */
#define SETTLE_S 200

uint32_t rules_of(const struct policy *p, const uint64_t *bits)
{
	uint32_t rules = 0;

	for (size_t i = 0; i < p->n_allows; i++)
		if (bits[i / 64] >> (i % 64) & 1)
			rules |= 1U << (p->services[p->allows[i].service].name[3] - '0');
	return rules;
}

uint32_t rules_between(
        const struct policy *p, const struct policy_peer *from, const struct policy_peer *to)
{
	uint64_t bits[POLICY_ALLOWS_MAX / 64];

	policy_allows_between(p, from, to, bits);
	return rules_of(p, bits);
}

static bool active_at(
        const struct world *w, const struct policy_peer *pp, const struct clocks *c, int64_t ago_s)
{
	int64_t next;

	return policy_until_active(pp, (w->core.now + c->trusted) / US - ago_s, &next) &&
	       policy_hours_active(pp, (w->core.now + c->present) / US - ago_s, &next);
}

/* Active now or a moment ago, by what the node may know of the time. */
static bool active(struct world *w, const struct node *n, const struct policy_peer *pp)
{
	if (active_at(w, pp, &n->clocks, 0) || active_at(w, pp, &n->clocks, ON_TIME_S))
		return true;
	for (int i = 0; i < FORMER_MAX; i++)
		if (w->core.now - n->former[i].until <= SLOW_US &&
		        (active_at(w, pp, &n->former[i], 0) ||
		                active_at(w, pp, &n->former[i], ON_TIME_S)))
			return true;
	return false;
}

static bool allowed_by(struct world *w, const struct node *n, const struct policy *p,
        const struct elem *el, const struct fsa *sa)
{
	const struct policy_peer *self = policy_peer_by_name(p, n->name);
	const struct policy_peer *pp = policy_peer_by_key(p, &sa->other_key);

	if (!self || !pp || !active(w, n, self) || !active(w, n, pp))
		return false;
	return !(el->in & ~rules_between(p, pp, self)) && !(el->out & ~rules_between(p, self, pp));
}

static bool addresses_by(const struct policy *p, const struct elem *el, const struct fsa *sa)
{
	const struct policy_peer *pp = policy_peer_by_key(p, &sa->other_key);

	return pp && same_addr(&pp->addr4, &el->a4) && same_addr(&pp->addr6, &el->a6);
}

/*
 * One policy that is or was in force a moment ago says both. Signed mode has one exception: a key
 * that stays may have the addresses of the policy before for a moment, with what the next one
 * allows it.
 */
static bool allowed_lately(const struct world *w, const struct node *n, size_t i,
        const struct elem *el, const struct fsa *sa)
{
	if (addresses_by(n->held[i].policy, el, sa))
		return true;
	while (w->is_signed && i-- > 0 && n->held[i].to >= n->ref)
		if (addresses_by(n->held[i].policy, el, sa))
			return true;
	return false;
}

static void check_passing(
        struct world *w, struct node *n, const struct elem *el, const struct fsa *sa)
{
	char key[POLICY_FINGERPRINT_LEN];

	for (size_t i = n->n_held; i-- > 0;) {
		if (n->held[i].to < n->ref)
			break;
		if (allowed_by(w, n, n->held[i].policy, el, sa) && allowed_lately(w, n, i, el, sa))
			return;
	}
	policy_key_fingerprint(&sa->other_key, key);
	broken(w, "rules 2 and 3",
	        "%s: packets of key %s pass as %s (10.77.%u.%u, rules in %x out %x, SA %u), which "
	        "no "
	        "policy in force allows; overlayd is %s",
	        n->name, key, el->peer, el->a4.bytes[2], el->a4.bytes[3], el->in, el->out, sa->id,
	        n->engine ? "alive" : "dead");
}

/* Policies that were replaced before `ref` must have no effect any more. */
static void move_ref(struct world *w, struct node *n)
{
	if (n->engine && w->core.now - n->up_since >= SLOW_US)
		n->ref = w->core.now - SLOW_US;
}

static bool is_shut(const struct node *n, const struct policy_addr *a)
{
	for (size_t i = 0; i < n->kernel.n_under; i++)
		for (size_t j = 0; j < n->kernel.under[i].n; j++)
			if (same_addr(&n->kernel.under[i].addrs[j], a))
				return true;
	return false;
}

/* Nothing for a port of the cluster goes to a peer's endpoint in clear, whoever we are. */
static void check_clear(struct world *w, struct node *n)
{
	const struct held *h = n->n_held ? &n->held[n->n_held - 1] : NULL;
	int64_t since = h && h->from > n->up_since ? h->from : n->up_since;

	if (!n->engine || !h || w->core.now - since < SLOW_US || n->kernel.broken_since >= 0)
		return;
	for (size_t i = 0; i < h->policy->n_peers; i++) {
		const struct policy_peer *pp = &h->policy->peers[i];

		if (!memcmp(&pp->key, &n->keys[n->key], sizeof(pp->key)) ||
		        w->core.now - n->key_at < SLOW_US)
			continue;
		for (size_t j = 0; j < pp->n_endpoints; j++) {
			const struct policy_addr *a = &pp->endpoints[j].addr;

			if (a->family && !same_addr(a, &n->underlay) && !is_shut(n, a))
				broken(w, "rule 1", "%s: packets to %s's endpoint go in clear",
				        n->name, pp->name);
		}
	}
}

static void check_repaired(struct world *w, struct node *n)
{
	int64_t since = n->kernel.broken_since;

	if (!n->engine || since < 0)
		return;
	if (since < n->up_since)
		since = n->up_since;
	if (w->joins && n->index + 1 == w->n_nodes) { /* without a policy it has no table */
		struct engine_view v;

		engine_look(n->engine, &v);
		if (!v.policy)
			return;
		if (n->n_held && since < n->held[0].from)
			since = n->held[0].from;
	}
	if (w->core.now - since > SLOW_US)
		broken(w, "rules 1 and 2", "%s: a table that a stranger changed is not repaired",
		        n->name);
}

bool plane_shared(const struct node *n)
{
	return n->index % 2 == 0;
}

/* A foreign SA that covers a peer is ended soon; where its event was lost, by the next list. */
static void check_foreign(
        struct world *w, struct node *n, const struct elem *el, const struct fsa *sa)
{
	if (n->engine && plane_shared(n) && w->core.now - sa->since > SEEN_US &&
	        w->core.now - n->up_since > SEEN_US && (sa->covers || same_addr(&sa->r4, &el->a4)))
		broken(w, "rule 2", "%s: a foreign SA passes as %s", n->name, el->peer);
}

/* What overlayd once saw and no list shows any more is not taken for gone. */
static void check_hidden(struct world *w, struct node *n)
{
	for (size_t i = 0; n->engine && i < n->charon.n_sas; i++)
		if (n->charon.sas[i].hidden && w->core.now - n->charon.sas[i].hidden_at > 120 * US)
			broken(w, "rule 8", "%s: SA %u, which no list shows, lives on", n->name,
			        n->charon.sas[i].id);
}

void check_node(struct world *w, struct node *n)
{
	struct fkernel *k = &n->kernel;

	move_ref(w, n);
	kernel_expire(w, n);
	check_repaired(w, n);
	check_hidden(w, n);
	if (n->engine && w->core.now - n->up_since > 120 * US && charon_join_lives(w, n))
		broken(w, "rule 8", "%s: a join SA lives on", n->name);
	if (n->engine && engine_memory(n->engine) > 73728 + (w->is_signed ? 65536 : 0) +
	                                                    4096 * (size_t)w->n_nodes +
	                                                    guest_room(w))
		broken(w, "rule 8", "%s: the engine holds %zu bytes", n->name,
		        engine_memory(n->engine));
	if (k->broken_since >= 0)
		return;
	check_clear(w, n);
	guest_check(w, n);
	for (size_t i = 0; i < k->n_elems; i++) {
		for (size_t j = 0; j < n->charon.n_sas; j++) {
			const struct fsa *sa = &n->charon.sas[j];

			if (!strcmp(sa->conn, FOREIGN))
				check_foreign(w, n, &k->elems[i], sa);
			else if (sa->child &&
			         ((sa->r4.family && same_addr(&sa->r4, &k->elems[i].a4)) ||
			                 (sa->r6.family && same_addr(&sa->r6, &k->elems[i].a6))))
				check_passing(w, n, &k->elems[i], sa);
		}
	}
}

void check_notice(struct world *w, struct node *n, const struct engine_notice *notice)
{
	char conn[ENGINE_CONN_MAX];

	if (notice->code != ENGINE_N_REVOKED)
		return;
	snprintf(conn, sizeof(conn), "ovl.%s", notice->peer);
	for (size_t i = 0; i < n->kernel.n_elems; i++)
		if (!strcmp(n->kernel.elems[i].peer, notice->peer) && n->kernel.broken_since < 0)
			broken(w, "rule 3", "%s says that %s is revoked, and it is in the firewall",
			        n->name, notice->peer);
	if (demand_conn(n, notice->peer))
		broken(w, "rule 3", "%s says that %s is revoked, and its connection is loaded",
		        n->name, notice->peer);
	for (size_t i = 0; i < n->charon.n_sas; i++)
		if (!strcmp(n->charon.sas[i].conn, conn))
			broken(w, "rule 3", "%s says that %s is revoked, and it has an SA", n->name,
			        notice->peer);
}

/* Nobody else can build an SA for an address at the moment in which it is let in. */
void check_admit(struct world *w, struct node *n, const struct engine_fw_peer *p)
{
	const struct held *h = n->n_held ? &n->held[n->n_held - 1] : NULL;
	const struct policy_peer *pp = h ? policy_peer_by_addr(h->policy, &p->addr4) : NULL;

	for (size_t i = 0; pp && i < n->charon.n_conns; i++) {
		const struct fconn *c = &n->charon.conns[i];

		if (same_addr(&c->r4, &p->addr4) && memcmp(&c->key, &pp->key, 32))
			broken(w, "rule 2",
			        "%s admits %s while %s is for its address, with another key",
			        n->name, p->peer, c->name);
	}
}

/* ---- rule 9: nothing good is ended because overlayd started again ---- */

static bool is_good(struct world *w, const struct node *n, const struct fsa *sa)
{
	const struct held *h = n->n_held ? &n->held[n->n_held - 1] : NULL;
	const struct policy_peer *self, *pp;

	if (!h || h->from > n->down_since || sa->state != ENGINE_IKE_ESTABLISHED || !sa->child ||
	        sa->since > n->down_since || sa->child_since > n->down_since)
		return false;
	self = policy_peer_by_name(h->policy, n->name);
	pp = policy_peer_by_key(h->policy, &sa->other_key);
	return self && pp && active(w, n, self) && active(w, n, pp) && !self->has_until &&
	       !self->hours && !pp->has_until && !pp->hours && same_addr(&self->addr4, &sa->l4) &&
	       same_addr(&pp->addr4, &sa->r4) && same_addr(&self->addr6, &sa->l6) &&
	       same_addr(&pp->addr6, &sa->r6) && !memcmp(&self->key, &n->keys[n->key], 32) &&
	       !strcmp(sa->conn + 4, pp->name) && strstr(sa->local_id, self->name) &&
	       (rules_between(h->policy, pp, self) || rules_between(h->policy, self, pp));
}

static bool is_only(const struct node *n, const struct fsa *sa)
{
	size_t same = 0;

	for (size_t i = 0; i < n->charon.n_sas; i++)
		same += !strcmp(n->charon.sas[i].conn, sa->conn);
	return same == 1;
}

/* Others' tunnels are left alone. */
static void check_theirs(struct world *w, struct node *n, const struct engine_terminate *t)
{
	const struct fsa *sa = t->conn ? NULL : charon_sa(n, t->ike_id);

	if ((t->conn && !strcmp(t->conn, FOREIGN)) ||
	        (sa && !strcmp(sa->conn, FOREIGN) &&
	                (!plane_shared(n) || (!sa->covers && sa->r4.bytes[0] != 10))))
		broken(w, "design 7", "%s: a harmless foreign tunnel is ended", n->name);
}

void check_terminate(struct world *w, struct node *n, const struct engine_terminate *t)
{
	check_theirs(w, n, t);
	if (!n->engine || !n->down_since || w->core.now - n->up_since > SLOW_US ||
	        n->asked_at >= n->up_since || n->key_at >= n->down_since - SLOW_US)
		return;
	for (size_t i = 0; i < n->charon.n_sas; i++) {
		const struct fsa *sa = &n->charon.sas[i];

		if ((t->conn ? !strcmp(sa->conn, t->conn) : sa->id == t->ike_id) &&
		        is_good(w, n, sa) && is_only(n, sa))
			broken(w, "rule 9",
			        "%s: overlayd started again and ended the good SA %u of %s",
			        n->name, sa->id, sa->conn);
	}
}

/* ---- the end: all is as the policy says ---- */

/* Both nodes agree on it, by what each knows of the time, and have done so for a while. */
static bool steady(const struct world *w, const struct node *n, const struct node *o,
        const struct policy_peer *pp, bool *is_active)
{
	*is_active = active_at(w, pp, &n->clocks, 0);
	return *is_active == active_at(w, pp, &n->clocks, SETTLE_S) &&
	       *is_active == active_at(w, pp, &o->clocks, 0) &&
	       *is_active == active_at(w, pp, &o->clocks, SETTLE_S);
}

static void unsettled(struct world *w, const struct node *n, const char *peer, const char *what)
{
	struct engine_peer_view v = {.reason = "no record"};

	if (peer)
		engine_peer_find(n->engine, peer, &v);
	broken(w, "settling", "%s: at the end %s %s (%s%s%s)", n->name, peer ? peer : "it", what,
	        engine_peer_state_name(v.state), *v.reason ? ": " : "", v.reason);
}

/* A pair on demand has its trap; an SA may be there or not. */
static void settled_trap(struct world *w, struct node *n, struct node *o)
{
	const struct fconn *c = demand_conn(n, o->name);

	if (!c || !c->trap)
		unsettled(w, n, o->name, "has no trap");
}

static void settled_sas(struct world *w, struct node *n, struct node *o, bool wanted, bool demand)
{
	char conn[ENGINE_CONN_MAX];
	size_t count = 0, good = 0;

	snprintf(conn, sizeof(conn), "ovl.%s", o->name);
	for (size_t i = 0; i < n->charon.n_sas; i++) {
		const struct fsa *sa = &n->charon.sas[i];

		if (strcmp(sa->conn, conn))
			continue;
		count++;
		good += sa->child && sa->r4.family && sa->r6.family &&
		        !memcmp(&sa->other_key, &o->keys[o->key], 32);
	}
	if (wanted && demand)
		settled_trap(w, n, o);
	else if (wanted && demand_conn(n, o->name) && demand_conn(n, o->name)->trap)
		unsettled(w, n, o->name, "has a trap");
	if (!wanted && demand_conn(n, o->name))
		unsettled(w, n, o->name, "has a connection");
	if (wanted && good == 0 && !demand)
		unsettled(w, n, o->name, "has no tunnel");
	else if (wanted && count > 1)
		unsettled(w, n, o->name, "has too many SAs");
	else if (!wanted && count)
		unsettled(w, n, o->name, "has an SA");
}

static const struct elem *elem_find(const struct node *n, const struct policy_peer *pp)
{
	for (size_t i = 0; i < n->kernel.n_elems; i++)
		if (same_addr(&n->kernel.elems[i].a4, &pp->addr4))
			return &n->kernel.elems[i];
	return NULL;
}

static void settled_pair(struct world *w, const struct policy *all, struct node *n, struct node *o)
{
	const struct policy_peer *self = policy_peer_by_name(all, n->name);
	const struct policy_peer *pp = policy_peer_by_name(all, o->name);
	const struct elem *el = pp ? elem_find(n, pp) : NULL;
	bool a = false, b = false, wanted;
	uint32_t in, out;

	if (!self || !pp) {
		settled_sas(w, n, o, false, false);
		if (el && !strcmp(el->peer, o->name))
			unsettled(w, n, o->name, "is admitted");
		return;
	}
	if (!steady(w, n, o, self, &a) || !steady(w, n, o, pp, &b))
		return;
	in = rules_between(all, pp, self);
	out = rules_between(all, self, pp);
	wanted = a && b &&
	         (in || out ||
	                 (w->is_signed && (policy_is_seed(all, self) || policy_is_seed(all, pp))));
	if (wanted && (!el || el->in != in || el->out != out))
		unsettled(w, n, o->name, "is not admitted as the policy says");
	if (!wanted && el && !strcmp(el->peer, o->name))
		unsettled(w, n, o->name, "is admitted");
	if (!wanted || self->n_endpoints || pp->n_endpoints)
		settled_sas(w, n, o, wanted, demand_pair(w, n, self, pp));
}

/* Nothing hangs: what is being revoked now began a moment ago. */
static void settled_records(struct world *w, struct node *n)
{
	struct engine_peer_view v;

	for (size_t i = 0; !engine_peer_at(n->engine, i, &v); i++)
		if (v.state == ENGINE_PEER_REVOKING && w->core.now - v.since.mono_us > 60 * US)
			unsettled(w, n, v.name, "is still revoking");
}

/* Also those that are names: by now all are known. */
static void settled_names(struct world *w, struct node *n)
{
	for (int j = 0; j < w->n_nodes; j++)
		if (w->members[j].in && w->members[j].endpoints == 3 && j != n->index &&
		        !is_shut(n, &w->nodes[j].underlay))
			unsettled(w, n, w->nodes[j].name, "is reached in clear by its name");
}

void check_settled(struct world *w)
{
	const struct policy *all = guest_final(w);

	join_settled(w);
	for (int i = 0; i < w->n_nodes && !w->core.rule; i++) {
		struct node *n = &w->nodes[i];
		struct engine_view v;

		if (n->stranger)
			continue; /* nobody let it in */
		engine_look(n->engine, &v);
		if (v.charon != ENGINE_CHARON_READY)
			unsettled(w, n, NULL, "is not ready");
		if (n->kernel.lockdown != w->lockdown)
			unsettled(w, n, NULL, "has not the firewall's mode");
		settled_records(w, n);
		settled_names(w, n);
		if (v.self_active != n->kernel.plane_set)
			unsettled(w, n, NULL, "has no overlay addresses, or too many");
		if (!n->charon.has_key)
			unsettled(w, n, NULL, "has lost its key");
		for (size_t j = 0; j < n->charon.n_sas; j++)
			if (!strcmp(n->charon.sas[j].conn, "(unnamed)") ||
			        !strcmp(n->charon.sas[j].conn, "ovl.nobody"))
				unsettled(w, n, NULL, "has an SA of nobody");
		for (int j = 0; j < w->n_nodes && !w->core.rule; j++)
			if (j != i)
				settled_pair(w, all, n, &w->nodes[j]);
	}
}

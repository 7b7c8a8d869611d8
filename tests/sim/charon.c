/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The fake charons and the network between them. They keep to what the real one does: pins are
 * checked when an SA is built and never again; unloading a connection leaves its SAs; a connection
 * that is loaded again replaces the old one for new SAs only.
 */
#include "tests/sim/sim.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct command {
	uint64_t epoch, gen, id;
	enum engine_effect_type type;
	bool lost, fails, by_conn;
	uint32_t sa;
	char conn[ENGINE_CONN_MAX];
	struct fconn load;
};

struct fsa *charon_sa(struct node *n, uint32_t id)
{
	for (size_t i = 0; i < n->charon.n_sas; i++)
		if (n->charon.sas[i].id == id)
			return &n->charon.sas[i];
	return NULL;
}

static struct fconn *conn_find(struct node *n, const char *name)
{
	for (size_t i = 0; i < n->charon.n_conns; i++)
		if (!strcmp(n->charon.conns[i].name, name))
			return &n->charon.conns[i];
	return NULL;
}

/* ---- what the engine is told ---- */

struct told {
	uint64_t epoch, gen;
	enum engine_sa_change change;
	uint32_t old_id;
	struct fsa sa;
	bool with_child;
};

static void prefix(struct policy_prefix *v, uint8_t *n, const struct policy_addr *a)
{
	if (!a->family)
		return;
	v[*n].addr = *a;
	v[(*n)++].len = a->family == 2 ? 32 : 128;
}

/* What a foreign SA covers. */
static void range_fill(const struct fsa *sa, struct engine_sa_row *row, struct engine_range *range)
{
	if (strcmp(sa->conn, FOREIGN) || !sa->child)
		return;
	range->first = range->last = sa->r4;
	if (sa->covers) {
		memset(range->first.bytes, 0, 4);
		memset(range->last.bytes, 0xff, 4);
	}
	row->foreign = range;
	row->n_foreign = 1;
}

static void row_fill(struct world *w, const struct fsa *sa, struct engine_sa_row *row,
        struct engine_child_row *child, struct engine_range *range)
{
	memset(row, 0, sizeof(*row));
	memset(child, 0, sizeof(*child));
	row->conn = sa->conn;
	row->id = sa->id;
	row->state = sa->state;
	row->local_id = sa->state == ENGINE_IKE_ESTABLISHED ? sa->local_id : "";
	row->remote_id = sa->state == ENGINE_IKE_ESTABLISHED ? sa->remote_id : "";
	if (sa->other >= 0 && sa->other < w->n_nodes)
		row->remote_host = w->nodes[sa->other].underlay;
	else if (sa->other > EVIL)
		row->remote_host =
		        (struct policy_addr){2, {203, 0, 113, (uint8_t)(sa->other - EVIL)}};
	row->remote_port = 4500;
	row->initiator = sa->initiator;
	row->established_s = (w->core.now - sa->since) / US;
	row->rekey_s = 3600;
	row->children = child;
	child->id = sa->child_id;
	child->state = ENGINE_CHILD_INSTALLED;
	prefix(child->local_ts, &child->n_local_ts, &sa->l4);
	prefix(child->local_ts, &child->n_local_ts, &sa->l6);
	prefix(child->remote_ts, &child->n_remote_ts, &sa->r4);
	prefix(child->remote_ts, &child->n_remote_ts, &sa->r6);
	row->n_children = sa->child;
	range_fill(sa, row, range);
}

static void told(struct world *w, struct node *n, void *data)
{
	struct told *t = data;
	struct engine_sa_row row;
	struct engine_child_row child;
	struct engine_range range;
	struct engine_event ev = {.type = ENGINE_EV_SA};

	if (!n->engine || n->epoch != t->epoch || n->charon.gen != t->gen || !n->charon.up)
		return;
	row_fill(w, &t->sa, &row, &child, &range);
	row.n_children = t->with_child;
	row.n_foreign *= t->with_child;
	ev.sa.change = t->change;
	ev.sa.row = &row;
	ev.sa.old_id = t->old_id;
	host_event(w, n, &ev);
}

static void tell(struct world *w, struct node *n, enum engine_sa_change change,
        const struct fsa *sa, bool with_child, uint32_t old_id)
{
	struct told t = {n->epoch, n->charon.gen, change, old_id, *sa, with_child};

	/*
	 * charon tells all it says; that some is lost stands for a reader that is too slow. Not so
	 * just after a start: an SA that was half-open in the first list is ended, as no try of
	 * this run's; if it came up meanwhile and that is not heard, rule 9 would call it good.
	 */
	if (!n->engine || (trouble(w, 0.02) && w->core.now - n->up_since > 20 * US))
		return;
	at(w, w->core.now + 500, n, told, dup_mem(&t, sizeof(t)));
}

/* ---- SAs ---- */

static void sa_remove(struct node *n, struct fsa *sa)
{
	*sa = n->charon.sas[--n->charon.n_sas];
}

static struct fsa *sa_add(struct world *w, struct node *n, const char *conn)
{
	struct fsa *sa;

	if (n->charon.n_sas >= SAS_MAX) {
		broken(w, "rule 8", "%s: more than %d SAs pile up", n->name, SAS_MAX);
		n->charon.n_sas = 0;
	}
	sa = &n->charon.sas[n->charon.n_sas++];
	memset(sa, 0, sizeof(*sa));
	snprintf(sa->conn, sizeof(sa->conn), "%s", conn);
	sa->id = ++n->charon.next_id;
	sa->other = -1;
	sa->since = w->core.now;
	sa->deaf_since = -1;
	say(w, n, "charon has SA %u of %s", sa->id, conn);
	return sa;
}

struct twin {
	uint64_t gen;
	uint32_t id;
};

/* The other end's DELETE arrived. */
static void deleted(struct world *w, struct node *n, void *data)
{
	struct twin *t = data;
	struct fsa *sa = charon_sa(n, t->id), copy;

	if (!sa || n->charon.gen != t->gen)
		return;
	copy = *sa;
	sa_remove(n, sa);
	tell(w, n, ENGINE_SA_DOWN, &copy, false, 0);
}

static void sa_end(struct world *w, struct node *n, struct fsa *sa)
{
	struct fsa copy = *sa;

	sa_remove(n, sa);
	if (copy.state == ENGINE_IKE_ESTABLISHED)
		tell(w, n, ENGINE_SA_DOWN, &copy, false, 0);
	if (copy.other >= 0 && copy.other < w->n_nodes && copy.other_id && !trouble(w, 0.1)) {
		struct node *o = &w->nodes[copy.other];
		struct twin t = {o->charon.gen, copy.other_id};

		at(w, w->core.now + rnd_us(w, 2000, 60000), o, deleted, dup_mem(&t, sizeof(t)));
	}
}

/* Dead peer detection: the other end no longer has it. */
void charon_dpd(struct world *w, struct node *n, void *data)
{
	struct fcharon *c = &n->charon;
	(void)data;

	for (size_t i = 0; c->up && i < c->n_sas; i++) {
		struct fsa *sa = &c->sas[i];
		struct node *o;

		if (sa->state != ENGINE_IKE_ESTABLISHED || sa->other < 0 ||
		        sa->other >= w->n_nodes || !strcmp(sa->conn, JOIN_CONN))
			continue;
		o = &w->nodes[sa->other];
		if (o->charon.up && charon_sa(o, sa->other_id) &&
		        charon_sa(o, sa->other_id)->other_id == sa->id) {
			sa->deaf_since = -1;
		} else if (sa->deaf_since < 0) {
			sa->deaf_since = w->core.now;
		} else if (w->core.now - sa->deaf_since > 15 * US) {
			sa_end(w, n, sa);
			break;
		}
	}
	at(w, w->core.now + 10 * US + 1000 * n->index, n, charon_dpd, NULL);
}

/* ---- building one ---- */

struct setup {
	uint64_t gen, other_gen;
	uint32_t id, other_id;
	int other, tries;
	uint64_t epoch, effect; /* who is told how it went */
	char remote[ENGINE_ID_MAX];
};

static void narrow(
        struct policy_addr *out, const struct policy_addr *mine, const struct policy_addr *theirs)
{
	*out = mine->family && same_addr(mine, theirs) ? *mine : (struct policy_addr){0};
}

static void child_make(
        struct node *n, struct fsa *sa, const struct fconn *mine, const struct fconn *theirs)
{
	narrow(&sa->l4, &mine->l4, &theirs->r4);
	narrow(&sa->l6, &mine->l6, &theirs->r6);
	narrow(&sa->r4, &mine->r4, &theirs->l4);
	narrow(&sa->r6, &mine->r6, &theirs->l6);
	sa->child = (sa->l4.family && sa->r4.family) || (sa->l6.family && sa->r6.family);
	sa->child_id = sa->child ? ++n->charon.next_id : 0;
}

static bool agree(const struct fcharon *a, const struct fconn *ca, const struct fcharon *b,
        const struct fconn *cb)
{
	return a->has_key && b->has_key && !strcmp(ca->local_id, cb->remote_id) &&
	       !strcmp(ca->remote_id, cb->local_id) && !memcmp(&ca->key, &b->key, 32) &&
	       !memcmp(&cb->key, &a->key, 32);
}

static void establish(struct world *w, struct node *n, struct fsa *sa, const struct fconn *mine,
        const struct fconn *theirs, int other, uint32_t other_id)
{
	sa->state = ENGINE_IKE_ESTABLISHED;
	sa->since = sa->child_since = w->core.now;
	sa->other = other;
	sa->other_id = other_id;
	sa->other_key = mine->key;
	snprintf(sa->local_id, sizeof(sa->local_id), "%s", mine->local_id);
	snprintf(sa->remote_id, sizeof(sa->remote_id), "%s", mine->remote_id);
	child_make(n, sa, mine, theirs);
	tell(w, n, ENGINE_SA_UP, sa, false, 0);
	if (sa->child)
		tell(w, n, ENGINE_SA_CHILD_UP, sa, true, 0);
}

/* As the host does: what became of it is the answer to `initiate`. */
static void setup_end(struct world *w, struct node *n, const struct setup *s, int error)
{
	if (n->epoch == s->epoch && !trouble(w, 0.05))
		host_result(w, n, w->core.now + rnd_us(w, 1000, 200000), s->effect, error);
}

/* The answer came back to the initiator. */
static void answered(struct world *w, struct node *n, void *data)
{
	struct setup *s = data;
	struct fsa *sa = charon_sa(n, s->id), *theirs;
	struct node *o = &w->nodes[s->other];
	struct fconn *mine, *ct;

	if (!sa || n->charon.gen != s->gen || sa->state != ENGINE_IKE_CONNECTING)
		return;
	theirs = charon_sa(o, s->other_id);
	mine = conn_find(n, sa->conn);
	ct = theirs ? conn_find(o, theirs->conn) : NULL;
	if (!theirs || !mine || !ct || o->charon.gen != s->other_gen ||
	        memcmp(&mine->key, &o->charon.key, 32)) {
		sa_remove(n, sa);
		setup_end(w, n, s, -ECONNREFUSED);
		return;
	}
	setup_end(w, n, s, 0);
	establish(w, n, sa, mine, ct, s->other, s->other_id);
	theirs->other_id = sa->id;
}

static void arrived(struct world *w, struct node *n, void *data);

static void send_init(struct world *w, struct node *n, const struct setup *s)
{
	at(w, w->core.now + rnd_us(w, 5000, 40000), n, arrived, dup_mem(s, sizeof(*s)));
}

/* IKE_SA_INIT and IKE_AUTH at the responder, in one. */
static void arrived(struct world *w, struct node *n, void *data)
{
	struct setup s = *(struct setup *)data;
	struct node *o = s.other >= 0 ? &w->nodes[s.other] : NULL;
	struct fsa *sa = charon_sa(n, s.id), *theirs;
	const struct fconn *mine;

	if (!sa || n->charon.gen != s.gen || sa->state != ENGINE_IKE_CONNECTING)
		return;
	mine = conn_find(n, sa->conn);
	if (!o || !o->charon.up || trouble(w, 0.15) || !mine) {
		if (s.tries++ < 4)
			at(w, w->core.now + s.tries * US, n, arrived, dup_mem(&s, sizeof(s)));
		else
			sa_remove(n, sa);
		return;
	}
	for (size_t i = 0; i < o->charon.n_conns; i++) {
		const struct fconn *ct = &o->charon.conns[i];

		if (!agree(&n->charon, mine, &o->charon, ct))
			continue;
		theirs = sa_add(w, o, ct->name);
		establish(w, o, theirs, ct, mine, n->index, s.id);
		s.other_id = theirs->id;
		s.other_gen = o->charon.gen;
		if (!trouble(w, 0.05))
			at(w, w->core.now + rnd_us(w, 5000, 40000), n, answered,
			        dup_mem(&s, sizeof(s)));
		return;
	}
	sa_remove(n, sa); /* AUTHENTICATION_FAILED */
	setup_end(w, n, &s, -ECONNREFUSED);
}

static int endpoint_node(struct world *w, const struct policy_addr *a)
{
	for (int i = 0; i < w->n_nodes; i++)
		if (same_addr(&w->nodes[i].underlay, a))
			return i;
	return -1;
}

/* 1: the answer comes later. */
static int initiate(struct world *w, struct node *n, const struct command *cmd)
{
	const char *name = cmd->conn;
	const struct fconn *c = conn_find(n, name);
	struct setup s = {.gen = n->charon.gen, .epoch = cmd->epoch, .effect = cmd->id};
	struct fsa *sa;

	if (!c || !c->endpoint.family)
		return -ENOENT;
	for (size_t i = 0; i < n->charon.n_sas; i++) {
		struct fsa *twin;

		sa = &n->charon.sas[i];
		if (strcmp(sa->conn, name) || sa->state != ENGINE_IKE_ESTABLISHED || sa->child ||
		        sa->other < 0 || sa->other >= w->n_nodes)
			continue;
		twin = charon_sa(&w->nodes[sa->other], sa->other_id);
		if (!twin || trouble(w, 0.3))
			return 0;
		sa->child = twin->child = true;
		sa->child_since = twin->child_since = w->core.now;
		sa->child_id = ++n->charon.next_id;
		twin->child_id = ++w->nodes[sa->other].charon.next_id;
		tell(w, n, ENGINE_SA_CHILD_UP, sa, true, 0);
		tell(w, &w->nodes[sa->other], ENGINE_SA_CHILD_UP, twin, true, 0);
		return 0;
	}
	sa = sa_add(w, n, name);
	sa->state = ENGINE_IKE_CONNECTING;
	sa->initiator = true;
	s.id = sa->id;
	s.other = endpoint_node(w, &c->endpoint);
	send_init(w, n, &s);
	return 1;
}

/* The kernel's acquire: as `initiate`, and nobody waits for what becomes of it. */
void charon_acquire(struct world *w, struct node *n, const struct fconn *c)
{
	struct command cmd = {.epoch = 0};

	snprintf(cmd.conn, sizeof(cmd.conn), "%s", c->name);
	say(w, n, "a packet wakes the trap of %s", c->name);
	initiate(w, n, &cmd);
}

/* Both ends lose the child of this SA, and hear of it. */
void charon_child_end(struct world *w, struct node *n, struct fsa *sa)
{
	struct node *o = &w->nodes[sa->other];
	struct fsa *twin = charon_sa(o, sa->other_id);

	if (!twin || !sa->child || !twin->child)
		return;
	tell(w, n, ENGINE_SA_CHILD_DOWN, sa, true, 0);
	tell(w, o, ENGINE_SA_CHILD_DOWN, twin, true, 0);
	sa->child = twin->child = false;
}

/* ---- commands, one after the other ---- */

static int load(struct world *w, struct node *n, const struct fconn *c)
{
	struct fconn *old = conn_find(n, c->name);

	if (!old && n->charon.n_conns >= CONNS_MAX) {
		broken(w, "rule 8", "%s: more than %d connections pile up", n->name, CONNS_MAX);
		return -ENOMEM;
	}
	if (!old)
		old = &n->charon.conns[n->charon.n_conns++];
	*old = *c;
	return 0;
}

static void unload(struct node *n, const char *name)
{
	struct fconn *c = conn_find(n, name);

	if (c)
		*c = n->charon.conns[--n->charon.n_conns];
}

static void terminate(struct world *w, struct node *n, const struct command *c)
{
	struct engine_terminate t = {.conn = c->by_conn ? c->conn : NULL, .ike_id = c->sa};

	if (c->epoch == n->epoch)
		check_terminate(w, n, &t);
	for (size_t i = 0; i < n->charon.n_sas;) {
		struct fsa *sa = &n->charon.sas[i];

		if (c->by_conn ? !strcmp(sa->conn, c->conn) : sa->id == c->sa)
			sa_end(w, n, sa);
		else
			i++;
	}
}

struct listing {
	uint64_t epoch, gen, id;
	size_t n;
	struct fsa sas[SAS_MAX];
};

static void listed(struct world *w, struct node *n, void *data)
{
	struct listing *l = data;
	struct engine_sa_row rows[SAS_MAX];
	struct engine_child_row children[SAS_MAX];
	struct engine_range ranges[SAS_MAX];
	struct engine_event ev = {.type = ENGINE_EV_SAS};

	if (!n->engine || n->epoch != l->epoch || n->charon.gen != l->gen)
		return;
	for (size_t i = 0; i < l->n; i++)
		row_fill(w, &l->sas[i], &rows[i], &children[i], &ranges[i]);
	ev.sas.effect_id = l->id;
	ev.sas.rows = rows;
	ev.sas.n = l->n;
	host_event(w, n, &ev);
}

static void list_sas(struct world *w, struct node *n, const struct command *c)
{
	struct listing l = {.epoch = n->epoch, .gen = n->charon.gen, .id = c->id};

	for (size_t i = 0; i < n->charon.n_sas; i++)
		if (!n->charon.sas[i].hidden &&
		        (!c->by_conn || !strcmp(n->charon.sas[i].conn, c->conn)))
			l.sas[l.n++] = n->charon.sas[i];
	at(w, w->core.now + (trouble(w, 0.1) ? 800000 : 3000), n, listed, dup_mem(&l, sizeof(l)));
}

struct conn_listing {
	uint64_t epoch, gen, id;
	size_t n;
	bool with_rows;
	struct fconn conns[CONNS_MAX];
};

static void conns_listed(struct world *w, struct node *n, void *data)
{
	struct conn_listing *l = data;
	struct engine_conn_row rows[CONNS_MAX + 1] = {0};
	const char *names[CONNS_MAX + 1];
	struct engine_event ev = {.type = ENGINE_EV_CONNS};

	if (!n->engine || n->epoch != l->epoch || n->charon.gen != l->gen)
		return;
	names[0] = "office-vpn"; /* somebody else's */
	for (size_t i = 0; i < l->n; i++) {
		names[i + 1] = l->conns[i].name;
		rows[i + 1].pinned = true;
		rows[i + 1].remote_id = l->conns[i].remote_id;
		prefix(rows[i + 1].remote_ts, &rows[i + 1].n_remote_ts, &l->conns[i].r4);
		prefix(rows[i + 1].remote_ts, &rows[i + 1].n_remote_ts, &l->conns[i].r6);
	}
	ev.conns.rows = l->with_rows ? rows : NULL;
	ev.conns.effect_id = l->id;
	ev.conns.names = names;
	ev.conns.n = l->n + 1;
	host_event(w, n, &ev);
}

static void list_conns(struct world *w, struct node *n, const struct command *c)
{
	struct conn_listing l = {.epoch = n->epoch, .gen = n->charon.gen, .id = c->id};

	for (size_t i = 0; i < n->charon.n_conns; i++)
		l.conns[l.n++] = n->charon.conns[i];
	if (n->serves_open && l.n < CONNS_MAX)
		snprintf(l.conns[l.n++].name, ENGINE_CONN_MAX, "%s", JOIN_CONN);
	l.with_rows = c->by_conn;
	at(w, w->core.now + 2000, n, conns_listed, dup_mem(&l, sizeof(l)));
}

static const char *command_name(enum engine_effect_type type)
{
	return type == ENGINE_FX_LOAD_KEY      ? "load-key"
	       : type == ENGINE_FX_LOAD_CONN   ? "load-conn"
	       : type == ENGINE_FX_UNLOAD_CONN ? "unload-conn"
	       : type == ENGINE_FX_INITIATE    ? "initiate"
	       : type == ENGINE_FX_TERMINATE   ? "terminate"
	       : type == ENGINE_FX_PROBE       ? "rekey"
	       : type == ENGINE_FX_LIST_SAS    ? "list-sas"
	                                       : "get-conns";
}

/* Both ends' child is a new one, if the other end is there still. */
static void probe(struct world *w, struct node *n, uint32_t id)
{
	struct fsa *sa = charon_sa(n, id);
	struct node *o =
	        sa && sa->other >= 0 && sa->other < w->n_nodes ? &w->nodes[sa->other] : NULL;
	struct fsa *twin = o ? charon_sa(o, sa->other_id) : NULL;
	uint32_t old;

	if (!twin || !sa->child || !twin->child)
		return;
	old = sa->child_id;
	sa->child_id = ++n->charon.next_id;
	tell(w, n, ENGINE_SA_CHILD_REKEYED, sa, true, old);
	old = twin->child_id;
	twin->child_id = ++o->charon.next_id;
	tell(w, o, ENGINE_SA_CHILD_REKEYED, twin, true, old);
}

static void run(struct world *w, struct node *n, void *data)
{
	struct command *c = data;
	int error = 0;

	/* A command that is sent is carried out also when overlayd dies, as charon has it. */
	if (n->charon.gen != c->gen || !n->charon.up)
		return;
	say(w, n, "charon does #%llu: %s %s%u%s%s", (unsigned long long)c->id,
	        command_name(c->type), c->type == ENGINE_FX_LOAD_CONN ? c->load.name : c->conn,
	        c->sa, c->fails ? ", fails" : "", c->lost ? ", answer lost" : "");
	if (c->fails && c->lost)
		return; /* neither done nor answered */
	if (c->fails) {
		host_result(w, n, w->core.now + 1000, c->id, -EREMOTEIO);
		return;
	}
	switch (c->type) {
	case ENGINE_FX_LOAD_KEY:
		n->charon.has_key = true;
		n->charon.key = c->load.key;
		break;
	case ENGINE_FX_LOAD_CONN:
		error = load(w, n, &c->load);
		break;
	case ENGINE_FX_UNLOAD_CONN:
		unload(n, c->conn);
		break;
	case ENGINE_FX_INITIATE:
		error = initiate(w, n, c);
		break;
	case ENGINE_FX_TERMINATE:
		terminate(w, n, c);
		break;
	case ENGINE_FX_PROBE:
		probe(w, n, c->sa);
		break;
	case ENGINE_FX_LIST_SAS:
		if (!c->lost)
			list_sas(w, n, c);
		return;
	case ENGINE_FX_LIST_CONNS:
		if (!c->lost)
			list_conns(w, n, c);
		return;
	case ENGINE_FX_FW_BASE:
	case ENGINE_FX_FW_ADMIT:
	case ENGINE_FX_FW_REVOKE:
	case ENGINE_FX_FW_UNDERLAY:
	case ENGINE_FX_KILL_SOCKETS:
	case ENGINE_FX_PLANE:
	case ENGINE_FX_RESOLVE:
	case ENGINE_FX_NOTICE:
	case ENGINE_FX_BUNDLE_STORE:
	case ENGINE_FX_ADMISSIONS_STORE:
	case ENGINE_FX_SESSION_OPEN:
	case ENGINE_FX_SESSION_SEND:
	case ENGINE_FX_SESSION_CLOSE:
	case ENGINE_FX_NOTE_SEND:
	case ENGINE_FX_JOIN_SERVE:
	case ENGINE_FX_JOIN_ANSWER:
	case ENGINE_FX_JOIN_ASK:
	case ENGINE_FX_JOIN_STOP:
	case ENGINE_FX_ADMIT_SIGN:
	case ENGINE_FX_CLUSTER_KEY:
	case ENGINE_FX_TICKET_FORGET:
		return;
	}
	if (!c->lost && n->epoch == c->epoch && error <= 0)
		host_result(w, n, w->core.now + rnd_us(w, 200, 2000), c->id, error);
}

void charon_do(struct world *w, struct node *n, const struct engine_effect *fx)
{
	struct command c = {
	        .epoch = n->epoch, .gen = n->charon.gen, .id = fx->id, .type = fx->type};

	c.lost = trouble(w, 0.03);
	c.fails = trouble(w, 0.04);
	c.lost |= c.fails && trouble(w, 0.4);
	switch (fx->type) {
	case ENGINE_FX_LOAD_KEY:
		c.load.key = n->keys[n->key];
		break;
	case ENGINE_FX_LOAD_CONN:
		snprintf(c.load.name, sizeof(c.load.name), "%s", fx->load.name);
		snprintf(c.load.local_id, sizeof(c.load.local_id), "%s", fx->load.local_id);
		snprintf(c.load.remote_id, sizeof(c.load.remote_id), "%s", fx->load.remote_id);
		c.load.key = fx->load.key;
		c.load.l4 = fx->load.local4;
		c.load.l6 = fx->load.local6;
		c.load.r4 = fx->load.remote4;
		c.load.r6 = fx->load.remote6;
		c.load.endpoint = fx->load.endpoint;
		c.load.trap = fx->load.trap && n->traps;
		if (fx->load.trap && !fx->load.endpoint.family)
			broken(w, "traps", "%s: %s has a trap to nowhere", n->name, fx->load.name);
		break;
	case ENGINE_FX_UNLOAD_CONN:
	case ENGINE_FX_INITIATE:
		snprintf(c.conn, sizeof(c.conn), "%s", fx->conn);
		break;
	case ENGINE_FX_TERMINATE:
		c.by_conn = fx->terminate.conn != NULL;
		c.sa = fx->terminate.ike_id;
		if (c.by_conn)
			snprintf(c.conn, sizeof(c.conn), "%s", fx->terminate.conn);
		break;
	case ENGINE_FX_PROBE:
		c.sa = fx->probe.ike_id;
		break;
	case ENGINE_FX_LIST_SAS:
		c.by_conn = fx->list.conn != NULL;
		if (c.by_conn)
			snprintf(c.conn, sizeof(c.conn), "%s", fx->list.conn);
		break;
	case ENGINE_FX_LIST_CONNS:
		c.by_conn = fx->rows;
		break;
	case ENGINE_FX_FW_BASE:
	case ENGINE_FX_FW_ADMIT:
	case ENGINE_FX_FW_REVOKE:
	case ENGINE_FX_FW_UNDERLAY:
	case ENGINE_FX_KILL_SOCKETS:
	case ENGINE_FX_PLANE:
	case ENGINE_FX_RESOLVE:
	case ENGINE_FX_NOTICE:
	case ENGINE_FX_BUNDLE_STORE:
	case ENGINE_FX_ADMISSIONS_STORE:
	case ENGINE_FX_SESSION_OPEN:
	case ENGINE_FX_SESSION_SEND:
	case ENGINE_FX_SESSION_CLOSE:
	case ENGINE_FX_NOTE_SEND:
	case ENGINE_FX_JOIN_SERVE:
	case ENGINE_FX_JOIN_ANSWER:
	case ENGINE_FX_JOIN_ASK:
	case ENGINE_FX_JOIN_STOP:
	case ENGINE_FX_ADMIT_SIGN:
	case ENGINE_FX_CLUSTER_KEY:
	case ENGINE_FX_TICKET_FORGET:
		break;
	}
	if (!n->charon.up)
		return;
	if (n->charon.busy_until < w->core.now)
		n->charon.busy_until = w->core.now;
	n->charon.busy_until += trouble(w, 0.02) ? 2 * US : rnd_us(w, 200, 3000);
	at(w, n->charon.busy_until, n, run, dup_mem(&c, sizeof(c)));
}

/* ---- life ---- */

void charon_start(struct world *w, struct node *n)
{
	n->charon.up = true;
	n->charon.gen++;
	host_tell_charon(w, n);
}

void charon_kill(struct world *w, struct node *n)
{
	n->charon.up = false;
	n->charon.gen++;
	n->charon.n_conns = n->charon.n_sas = 0;
	n->charon.has_key = false;
	n->serves_open = false;
	n->charon.busy_until = 0;
	say(w, n, "charon is killed");
	host_tell_charon(w, n);
}

/* An SA is lost, loses its child, or is rekeyed. */
void charon_trouble(struct world *w, struct node *n)
{
	struct fcharon *c = &n->charon;
	struct fsa *sa, *twin, copy;
	uint32_t old;

	if (!c->n_sas)
		return;
	sa = &c->sas[rnd_below(w, c->n_sas)];
	if (!strcmp(sa->conn, JOIN_CONN)) {
		charon_join_end(w, n, sa->id);
		return;
	}
	if (sa->state != ENGINE_IKE_ESTABLISHED || sa->other < 0 || sa->other >= w->n_nodes)
		return;
	twin = charon_sa(&w->nodes[sa->other], sa->other_id);
	switch (rnd_below(w, 3)) {
	case 0:
		copy = *sa;
		sa_remove(n, sa);
		tell(w, n, ENGINE_SA_DOWN, &copy, false, 0);
		break;
	case 1:
		charon_child_end(w, n, sa);
		break;
	case 2:
		if (!twin)
			break;
		old = sa->id;
		sa->id = twin->other_id = ++c->next_id;
		sa->initiator = true;
		tell(w, n, ENGINE_SA_REKEYED, sa, false, old);
		old = twin->id;
		twin->id = sa->other_id = ++w->nodes[sa->other].charon.next_id;
		twin->initiator = false;
		tell(w, &w->nodes[sa->other], ENGINE_SA_REKEYED, twin, false, old);
		break;
	}
}

/* Somebody with a node's former key, its old names and addresses, tries all who still pin it. */
void charon_impostor(struct world *w)
{
	struct node *v = &w->nodes[rnd_below(w, (uint64_t)w->n_nodes)];
	struct node *n = &w->nodes[rnd_below(w, (uint64_t)w->n_nodes)];
	const struct policy_key *old;

	if (v == n || !v->key || !n->charon.up)
		return;
	old = &v->keys[rnd_below(w, (uint64_t)v->key)];
	for (size_t i = 0; i < n->charon.n_conns; i++) {
		const struct fconn *c = &n->charon.conns[i];
		struct fsa *sa;

		if (memcmp(&c->key, old, 32))
			continue;
		sa = sa_add(w, n, c->name);
		establish(w, n, sa, c,
		        &(struct fconn){.l4 = c->r4, .l6 = c->r6, .r4 = c->l4, .r6 = c->l6}, EVIL,
		        0);
		say(w, n, "an impostor of %s gets an SA", v->name);
		return;
	}
}

void charon_unnamed(struct world *w, struct node *n)
{
	struct fsa *sa;

	if (!n->charon.up || n->charon.n_sas > SAS_MAX / 2)
		return;
	sa = sa_add(w, n, chance(w, 0.5) ? "(unnamed)" : "ovl.nobody");
	sa->state = ENGINE_IKE_CONNECTING;
}

/*
 * Somebody's road warrior: asks for a peer's address, for all there is, or for one that is none of
 * the overlay's.
 */
void charon_foreign(struct world *w, struct node *n)
{
	struct node *v = &w->nodes[rnd_below(w, (uint64_t)w->n_nodes)];
	const struct member *m = &w->members[v->index];
	bool outside = chance(w, 0.3);
	struct fsa *sa;
	int theirs = 0;

	for (size_t i = 0; i < n->charon.n_sas; i++)
		theirs += !strcmp(n->charon.sas[i].conn, FOREIGN);
	if (!n->charon.up || theirs > 3)
		return;
	sa = sa_add(w, n, FOREIGN);
	sa->state = ENGINE_IKE_ESTABLISHED;
	sa->other = EVIL;
	sa->r4 = sa->l4 = (struct policy_addr){2, {172, 16, 0, 1}};
	if (!outside)
		sa->r4 = (struct policy_addr){2, {10, 77, 0, (uint8_t)m->address}};
	sa->covers = !outside && chance(w, 0.3);
	sa->child = true;
	sa->child_id = ++n->charon.next_id;
	tell(w, n, ENGINE_SA_UP, sa, false, 0);
	tell(w, n, ENGINE_SA_CHILD_UP, sa, true, 0);
	say(w, n, "a foreign SA comes up: %s",
	        outside      ? "none of the overlay's"
	        : sa->covers ? "for everything"
	                     : "for a peer's address");
}

/* A peer makes its SA so large that charon can tell of it in no list. */
void charon_hide(struct world *w, struct node *n)
{
	struct fsa *sa;

	if (!n->charon.n_sas)
		return;
	sa = &n->charon.sas[rnd_below(w, n->charon.n_sas)];
	if (!n->engine || w->core.now - n->up_since < 60 * US ||
	        w->core.now - sa->since < 60 * US || sa->hidden ||
	        sa->state != ENGINE_IKE_ESTABLISHED || !strcmp(sa->conn, FOREIGN) ||
	        !strcmp(sa->conn, JOIN_CONN))
		return;
	sa->hidden = true;
	sa->hidden_at = w->core.now;
	say(w, n, "SA %u is listed no more", sa->id);
}

/* The host looks for the key from time to time. */
static void key_looked(struct world *w, struct node *n, void *data)
{
	struct engine_event ev = {.type = ENGINE_EV_KEY_LOST};
	(void)data;

	if (n->charon.up && n->engine && !n->charon.has_key)
		host_event(w, n, &ev);
}

/* `swanctl --load-all` with nothing of ours in its files: our key and connections go, unsaid. */
void charon_swanctl(struct world *w, struct node *n)
{
	if (!n->charon.up)
		return;
	n->charon.n_conns = 0;
	n->charon.has_key = false;
	n->serves_open = false;
	at(w, w->core.now + rnd_us(w, 0, 5 * US), n, key_looked, NULL);
	say(w, n, "swanctl --load-all unloads all that is ours");
}

void charon_show(struct node *n)
{
	for (size_t i = 0; i < n->charon.n_sas; i++)
		n->charon.sas[i].hidden = false;
}

/* ---- join SAs: the newcomer's end is its host's own affair, and not here ---- */

uint32_t charon_join_begin(
        struct world *w, struct node *n, int from, const struct policy_addr *inner)
{
	struct fsa *sa = sa_add(w, n, JOIN_CONN);

	sa->state = ENGINE_IKE_ESTABLISHED;
	sa->other = from;
	sa->child_id = ++n->charon.next_id;
	sa->child_since = w->core.now;
	sa->child = !trouble(w, 0.1);
	sa->r6 = *inner;
	snprintf(sa->remote_id, sizeof(sa->remote_id), JOIN_IDENTITY);
	tell(w, n, ENGINE_SA_UP, sa, false, 0);
	if (sa->child)
		tell(w, n, ENGINE_SA_CHILD_UP, sa, true, 0);
	return sa->id;
}

bool charon_join_has(struct node *n, uint32_t id)
{
	const struct fsa *sa = n->charon.up ? charon_sa(n, id) : NULL;

	return sa && sa->child && !strcmp(sa->conn, JOIN_CONN);
}

void charon_join_end(struct world *w, struct node *n, uint32_t id)
{
	struct fsa *sa = n->charon.up ? charon_sa(n, id) : NULL, copy;

	if (!sa || strcmp(sa->conn, JOIN_CONN) || trouble(w, 0.2))
		return; /* its DELETE is lost: overlayd sees to it */
	copy = *sa;
	sa_remove(n, sa);
	tell(w, n, ENGINE_SA_DOWN, &copy, false, 0);
}

void charon_join_end_all(struct world *w, struct node *n)
{
	for (size_t i = n->charon.n_sas; i-- > 0;)
		if (!strcmp(n->charon.sas[i].conn, JOIN_CONN))
			charon_join_end(w, n, n->charon.sas[i].id);
}

bool charon_join_lives(const struct world *w, const struct node *n)
{
	for (size_t i = 0; i < n->charon.n_sas; i++)
		if (!strcmp(n->charon.sas[i].conn, JOIN_CONN) &&
		        w->core.now - n->charon.sas[i].since > JOIN_SA_MAX_US + 70 * US)
			return true;
	return false;
}

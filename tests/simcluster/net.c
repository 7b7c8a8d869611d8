/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Sessions are streams: what one end says arrives at the other in order, or the stream breaks and
 * all that was under way is lost. Notes are datagrams: lost, late, twice, in any order. What the
 * real host refuses before the machine sees it (a large payload that nobody wanted) is refused here.
 */
#include "tests/simcluster/swarm.h"

#include <stdlib.h>
#include <string.h>

struct blob { /* one payload for all to whom it is on its way */
	struct blob *next;
	size_t refs, len;
	uint8_t data[];
};

struct parcel {
	struct sess_end *to;
	struct session_msg msg;
	struct blob *blob;
	size_t bytes;
	struct session_statement statements[];
};

struct letter {
	int from;
	struct session_head head;
};

static struct blob *blob_of(struct world *w, const uint8_t *data, size_t len)
{
	struct blob *b = w->blobs;

	for (int i = 0; b && i < 8; i++, b = b->next)
		if (b->refs && b->len == len && !memcmp(b->data, data, len)) {
			b->refs++;
			return b;
		}
	b = need(malloc(sizeof(*b) + len));
	b->next = w->blobs;
	b->refs = 1;
	b->len = len;
	memcpy(b->data, data, len);
	w->blobs = b;
	return b;
}

static void blob_drop(struct world *w, struct blob *b)
{
	struct blob **p = &w->blobs;

	if (!b || --b->refs)
		return;
	while (*p != b)
		p = &(*p)->next;
	*p = b->next;
	free(b);
}

void blobs_free(struct world *w)
{
	struct blob *b;

	while ((b = w->blobs)) {
		w->blobs = b->next;
		free(b);
	}
}

struct node *end_node(struct world *w, const struct sess_end *e)
{
	return &w->nodes[e->name.node];
}

struct sess_end *end_other(struct sess_end *e)
{
	return &e->sess->end[e == &e->sess->end[0]];
}

struct sess_end *net_end(struct world *w, const struct node *n, uint64_t id)
{
	struct sess_name name = {id, (uint64_t)n->index};
	struct sess_end *e;

	HASH_FIND(hh, w->ends, &name, sizeof(name), e);
	return e;
}

static void end_know(struct world *w, struct sess_end *e, struct node *n, uint64_t id)
{
	e->name = (struct sess_name){id, (uint64_t)n->index};
	e->epoch = n->epoch;
	e->known = true;
	n->n_sessions++;
	HASH_ADD(hh, w->ends, name, sizeof(e->name), e);
}

static void end_forget(struct world *w, struct sess_end *e)
{
	if (!e->known)
		return;
	e->known = e->up = false;
	end_node(w, e)->n_sessions--;
	HASH_DELETE(hh, w->ends, e);
}

static int64_t delay(struct world *w)
{
	if (w->peaceful)
		return rnd_us(w, 200, 2000);
	return trouble(w, 0.03) ? rnd_us(w, 100000, 5 * US) : rnd_us(w, 200, 30000);
}

/* When the next thing comes to this end: never before what was said earlier. */
static int64_t arrival(struct world *w, struct sess_end *to, bool in_order)
{
	int64_t when = w->core.now + delay(w);

	if (!in_order)
		return when;
	if (when <= to->floor)
		when = to->floor + 1;
	return to->floor = when;
}

/* ---- ends ---- */

static void down(struct world *w, struct node *n, void *data)
{
	struct sess_end *e = *(struct sess_end **)data;
	struct engine_event ev = {.type = ENGINE_EV_SESSION};

	if (!e->known || e->epoch != n->epoch || !n->cl)
		return;
	end_forget(w, e);
	if (!end_other(e)->known)
		net_break(w, e->sess);
	ev.session.id = e->name.id;
	ev.session.peer = end_node(w, end_other(e))->name;
	ev.session.ours = e == &e->sess->end[0];
	ev.session.text = "the connection broke";
	node_begin(w, n);
	cluster_session(n->cl, &ev);
	node_end(w, n);
}

static void down_later(struct world *w, struct sess_end *e, int64_t when)
{
	if (e->known)
		at(w, when, end_node(w, e), down, dup_mem(&e, sizeof(e)));
}

void net_break(struct world *w, struct sess *s)
{
	if (s->broken)
		return;
	s->broken = true;
	if (s->prev_live)
		s->prev_live->next_live = s->next_live;
	else if (s->link->live == s)
		s->link->live = s->next_live;
	if (s->next_live)
		s->next_live->prev_live = s->prev_live;
	for (int i = 0; i < 2; i++)
		down_later(w, &s->end[i],
		        w->core.now +
		                (trouble(w, 0.3) ? rnd_us(w, US, 15 * US) : rnd_us(w, 100, 50000)));
}

void net_break_link(struct world *w, struct link *l)
{
	while (l->live)
		net_break(w, l->live);
}

void net_break_node(struct world *w, struct node *n)
{
	for (size_t i = 0; i < n->n_links; i++) {
		struct sess *next;

		for (struct sess *s = n->links[i]->live; s; s = next) {
			next = s->next_live;
			net_break(w, s);
		}
	}
	for (struct sess_end *e = w->ends, *after; e; e = after) {
		after = e->hh.next;
		if (e->name.node == (uint64_t)n->index)
			end_forget(w, e);
	}
}

/* ---- opening ---- */

static void opened(struct world *w, struct node *n, void *data)
{
	struct sess_end *e = *(struct sess_end **)data;
	struct engine_event ev = {.type = ENGINE_EV_SESSION};

	if (!e->known || e->epoch != n->epoch || !n->cl || e->sess->broken)
		return;
	e->up = true;
	ev.session.id = e->name.id;
	ev.session.peer = end_node(w, end_other(e))->name;
	ev.session.up = true;
	ev.session.ours = e == &e->sess->end[0];
	ev.session.text = "0.1.0";
	node_begin(w, n);
	cluster_session(n->cl, &ev);
	node_end(w, n);
}

static void arrive(struct world *w, struct node *n, void *data)
{
	struct sess *s = *(struct sess **)data;
	struct sess_end *e = &s->end[1], *opener = &s->end[0];

	if (s->broken)
		return;
	if (!link_up(w, s->link) || trouble(w, 0.05)) {
		net_break(w, s);
		return;
	}
	end_know(w, e, n, HOST_ID | ++n->n_accepted);
	at(w, arrival(w, opener, true), end_node(w, opener), opened,
	        dup_mem(&opener, sizeof(opener)));
	opened(w, n, &e);
}

void net_open(struct world *w, struct node *n, const struct engine_effect *fx)
{
	struct node *o = node_by_name(w, fx->session.peer);
	struct sess *s = need(calloc(1, sizeof(*s)));

	s->end[0].sess = s->end[1].sess = s;
	s->next = w->sessions;
	w->sessions = s;
	s->end[1].name.node = (uint64_t)o->index;
	s->link = link_find(w, n, o);
	s->next_live = s->link->live;
	if (s->next_live)
		s->next_live->prev_live = s;
	s->link->live = s;
	end_know(w, &s->end[0], n, fx->id);
	at(w, w->core.now + delay(w), o, arrive, dup_mem(&s, sizeof(s)));
}

void net_close(struct world *w, struct node *n, uint64_t id)
{
	struct sess_end *e = net_end(w, n, id), *o;

	if (!e)
		return;
	o = end_other(e);
	end_forget(w, e);
	if (e->sess->broken)
		return;
	if (o->known) /* what was said before still arrives, then the end */
		down_later(w, o, arrival(w, o, true) + 1);
	else
		net_break(w, e->sess);
}

/* ---- messages ---- */

/*
 * As the host: one large payload for a WANT, or the session ends. Of two answers that crossed the
 * second ends it, too; what nobody ever asked for is a fault.
 */
static bool take_large(struct world *w, struct sess_end *e)
{
	const struct node *from = end_node(w, end_other(e));

	if (!e->asked && !from->evil && !end_node(w, e)->evil)
		broken(w, "rule 8", "%s sends a large bundle unasked", from->name);
	e->asked -= e->asked > 0;
	if (!e->large)
		net_break(w, e->sess);
	e->large = false;
	return !e->sess->broken;
}

static void deliver(struct world *w, struct node *n, void *data)
{
	struct parcel *p = data;
	struct sess_end *e = p->to;

	if (!e->known || e->epoch != n->epoch || !n->cl || e->sess->broken || !e->up)
		goto out;
	if (p->msg.type == SESSION_BUNDLE && p->msg.len > SESSION_SMALL_MAX && !take_large(w, e))
		goto out;
	n->traffic.in++;
	n->traffic.bytes_in += p->bytes;
	if (n->evil)
		evil_overhears(w, &p->msg);
	trace(w, (uint64_t)p->msg.type << 56 | p->msg.head.serial);
	node_begin(w, n);
	cluster_session_msg(n->cl, e->name.id, &p->msg);
	node_end(w, n);
out:
	blob_drop(w, p->blob);
}

static void post(struct world *w, struct sess_end *from, const struct session_msg *msg)
{
	struct sess_end *to = end_other(from);
	struct node *n = end_node(w, from);
	size_t size = msg->n_statements * sizeof(*msg->statements);
	struct parcel *p = need(calloc(1, sizeof(*p) + size));

	n->traffic.out++;
	p->bytes = w->count_bytes ? msg_bytes(msg) : 0;
	n->traffic.bytes_out += p->bytes;
	p->to = to;
	p->msg = *msg;
	if (size)
		memcpy(p->statements, msg->statements, size);
	p->msg.statements = p->statements;
	if (msg->len) {
		p->blob = blob_of(w, msg->data, msg->len);
		p->msg.data = p->blob->data;
	}
	at(w, arrival(w, to, !(n->evil & EVIL_REORDER) || chance(w, 0.7)), end_node(w, to), deliver,
	        p);
}

void net_inject(struct world *w, struct sess_end *from, const struct session_msg *msg)
{
	if (from->known && from->up && !from->sess->broken)
		post(w, from, msg);
}

void net_send(struct world *w, struct node *n, uint64_t id, const struct session_msg *msg)
{
	struct sess_end *e = net_end(w, n, id);
	struct session_msg m = *msg;

	if (!e || e->sess->broken)
		return;
	if (m.type == SESSION_STATE || m.type == SESSION_HERE)
		sign_statement(w, n, &m.statement);
	if (m.type == SESSION_WANT) {
		e->large = true;
		e->asked++;
	}
	if (trouble(w, 0.002)) { /* what is not sent ends the session */
		net_break(w, e->sess);
		return;
	}
	if (!n->evil || evil_tampers(w, n, &m))
		post(w, e, &m);
}

/* ---- notes ---- */

static void note_in(struct world *w, struct node *n, void *data)
{
	struct letter *l = data;
	struct link *link = link_find(w, n, &w->nodes[l->from]);

	if (!n->cl || !link_up(w, link))
		return;
	say(w, n, "a note of %s: serial %llu", w->nodes[l->from].name,
	        (unsigned long long)l->head.serial);
	n->traffic.notes_in++;
	n->traffic.bytes_in += w->count_bytes ? note_bytes(&l->head) : 0;
	node_begin(w, n);
	cluster_note(n->cl, w->nodes[l->from].name, &l->head);
	node_end(w, n);
}

void net_note(struct world *w, struct node *n, struct node *to, const struct session_head *head)
{
	struct letter l = {n->index, *head};

	n->traffic.notes_out++;
	n->traffic.bytes_out += w->count_bytes ? note_bytes(head) : 0;
	if ((!w->peaceful && chance(w, 0.02)) || trouble(w, 0.2))
		return;
	at(w, w->core.now + delay(w), to, note_in, dup_mem(&l, sizeof(l)));
	if (trouble(w, 0.1))
		at(w, w->core.now + delay(w), to, note_in, dup_mem(&l, sizeof(l)));
}

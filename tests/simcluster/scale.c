/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Requirement C1: what one approval costs, in clusters of 10 to 10,000 nodes with three seeds. An
 * admin on a member approves one more peer; until all have it and a minute beyond, everything is
 * counted that nodes say to each other about their policy: session messages and notes, in bytes as
 * they are written. A member's share must not grow with the cluster, nor a seed's per session. The
 * same for a guest that a token lets in.
 */
#include "tests/simcluster/swarm.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SCALE_SEEDS 3
#define SETTLE_S 90 /* all sessions are up */
#define COUNT_S 60  /* after the approval */
/* What is promised for any size: */
#define MEMBER_MESSAGES 24.0
#define MEMBER_BYTES 12000.0
#define SESSION_MESSAGES 4.0 /* of a seed, for each of its sessions */
#define SESSION_BYTES 3000.0

struct cost {
	double member_msgs, member_msgs_max, member_bytes, member_bytes_max, member_notes;
	double session_msgs, session_bytes; /* the busiest seed's, divided by its sessions */
	double delta_bytes, whole_bytes, last_ms, median_ms;
	double guest_msgs, guest_msgs_max, guest_bytes, guest_session_msgs, guest_ms;
	bool complete;
};

static int by_size(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static double median_of(double *v, size_t n)
{
	qsort(v, n, sizeof(*v), by_size);
	return v[n / 2];
}

static double messages_of(const struct traffic *t)
{
	return (double)(t->in + t->out + t->notes_in + t->notes_out);
}

static double bytes_of(const struct traffic *t)
{
	return (double)(t->bytes_in + t->bytes_out);
}

/* Everybody has serial 1 on disk, and is up; the last node is not known yet and never starts. */
static bool settle(struct world *w, uint64_t seed, int nodes)
{
	swarm_init(w, seed, nodes + 1);
	w->n_seeds = SCALE_SEEDS;
	w->core.calm = w->peaceful = w->count_bytes = true;
	for (int i = 0; i < w->n_nodes; i++)
		w->nodes[i].seed = i < w->n_seeds;
	links_make(w);
	admin_start(w);
	w->in[nodes] = false;
	admin_sign(w, -1, 1, true);
	for (int i = 0; i < nodes; i++) {
		w->nodes[i].disk = 0;
		at(w, rnd_us(w, 0, 5 * US), &w->nodes[i], node_start, NULL);
	}
	return core_run(w, SETTLE_S * US, NULL);
}

static void count(struct world *w, struct cost *c)
{
	size_t n = (size_t)(w->n_nodes - 1 - w->n_seeds);
	double *msgs = need(calloc(n, sizeof(double))), *bytes = need(calloc(n, sizeof(double)));
	double *ms = need(calloc(n, sizeof(double)));

	for (size_t i = 0; i < n; i++) {
		const struct node *m = &w->nodes[w->n_seeds + (int)i];

		msgs[i] = messages_of(&m->traffic);
		bytes[i] = bytes_of(&m->traffic);
		ms[i] = (double)(m->converged_at - w->final_at) / 1000;
		c->complete = c->complete && m->force == w->final;
		c->member_notes += (double)(m->traffic.notes_in + m->traffic.notes_out) / (double)n;
	}
	c->member_msgs = median_of(msgs, n);
	c->member_msgs_max = msgs[n - 1];
	c->member_bytes = median_of(bytes, n);
	c->member_bytes_max = bytes[n - 1];
	c->median_ms = median_of(ms, n);
	c->last_ms = ms[n - 1];
	for (int s = 0; s < w->n_seeds; s++) {
		const struct node *m = &w->nodes[s];
		double per = (double)m->n_sessions;

		if (messages_of(&m->traffic) / per > c->session_msgs)
			c->session_msgs = messages_of(&m->traffic) / per;
		if (bytes_of(&m->traffic) / per > c->session_bytes)
			c->session_bytes = bytes_of(&m->traffic) / per;
	}
	free(msgs);
	free(bytes);
	free(ms);
}

static void from_now(struct world *w)
{
	for (int i = 0; i < w->n_nodes; i++)
		w->nodes[i].traffic = w->nodes[i].window = (struct traffic){0};
}

/* One more peer is named. */
static bool approve(struct world *w, struct cost *c)
{
	char *delta = NULL;
	size_t len = 0;

	from_now(w);
	w->in[w->n_nodes - 1] = true;
	w->content--; /* nothing else changes */
	w->final = admin_sign(w, 0, 2, true);
	w->final_at = w->core.now;
	if (bundle_diff(w->bundles[0].file, w->bundles[0].text_len, w->bundles[1].file,
	            w->bundles[1].text_len, &delta, &len))
		abort();
	c->delta_bytes = (double)(len + w->bundles[1].len - w->bundles[1].text_len);
	c->whole_bytes = (double)w->bundles[1].len;
	free(delta);
	admin_give(w, &w->nodes[w->n_nodes - 2], w->final);
	if (!core_run(w, w->core.now + COUNT_S * US, NULL))
		return false;
	count(w, c);
	return true;
}

/* A token comes with the next bundle; when all is still again, it lets one in. */
static bool let_in(struct world *w, struct cost *c)
{
	struct cost guest = {.complete = true};

	tokens_one(w);
	w->final = admin_sign(w, 1, 3, true);
	admin_give(w, &w->nodes[w->n_nodes - 2], w->final);
	if (!core_run(w, w->core.now + SETTLE_S * US, NULL))
		return false;
	from_now(w);
	guest_asks(w, -1, 0);
	if (!core_run(w, w->core.now + COUNT_S * US, NULL))
		return false;
	for (int i = 0; i < w->n_nodes - 1; i++) {
		const struct node *n = &w->nodes[i];
		double ms = (double)(n->changed_at - w->issued[0].at) / 1000;

		guest.complete = guest.complete && n->n_guests == 1;
		c->guest_ms = ms > c->guest_ms ? ms : c->guest_ms;
	}
	count(w, &guest);
	c->complete = c->complete && guest.complete;
	c->guest_msgs = guest.member_msgs;
	c->guest_msgs_max = guest.member_msgs_max;
	c->guest_bytes = guest.member_bytes;
	c->guest_session_msgs = guest.session_msgs;
	return true;
}

static bool measure(uint64_t seed, int nodes, struct cost *c)
{
	static struct world w;
	bool ok;

	memset(c, 0, sizeof(*c));
	c->complete = true;
	ok = settle(&w, seed, nodes) && approve(&w, c) && let_in(&w, c);
	if (!ok)
		printf("%d nodes, %.3f s: %s broken: %s\n", nodes, (double)w.core.now / US,
		        w.core.rule, w.core.what);
	swarm_free(&w);
	return ok && c->complete;
}

static bool within(const struct cost *c)
{
	return c->member_msgs <= MEMBER_MESSAGES && c->member_bytes <= MEMBER_BYTES &&
	       c->session_msgs <= SESSION_MESSAGES && c->session_bytes <= SESSION_BYTES &&
	       c->guest_msgs <= MEMBER_MESSAGES && c->guest_bytes <= MEMBER_BYTES &&
	       c->guest_session_msgs <= SESSION_MESSAGES;
}

static void row(int nodes, const char *what, double value, const char *unit, double target)
{
	printf("{\"part\":\"scale\",\"what\":\"%d nodes: %s\",\"value\":%.6g,\"unit\":\"%s\"",
	        nodes, what, value, unit);
	if (target > 0)
		printf(",\"op\":\"<=\",\"target\":%.6g", target);
	puts("}");
}

static void rows(int nodes, const struct cost *c)
{
	row(nodes, "messages of a member (median)", c->member_msgs, "", MEMBER_MESSAGES);
	row(nodes, "bytes of a member (median)", c->member_bytes, "B", MEMBER_BYTES);
	row(nodes, "messages of the busiest seed per session", c->session_msgs, "",
	        SESSION_MESSAGES);
	row(nodes, "bytes of the busiest seed per session", c->session_bytes, "B", SESSION_BYTES);
	row(nodes, "the bundle as a whole", c->whole_bytes, "B", 0);
	row(nodes, "messages of a member for a guest (median)", c->guest_msgs, "", MEMBER_MESSAGES);
	row(nodes, "bytes of a member for a guest (median)", c->guest_bytes, "B", MEMBER_BYTES);
	row(nodes, "messages of the busiest seed per session for a guest", c->guest_session_msgs,
	        "", SESSION_MESSAGES);
}

static void line(int nodes, const struct cost *c)
{
	printf("%6d  %8.0f %6.0f  %8.0f %8.0f  %8.2f %8.0f  %8.0f %9.0f  %6.1f %6.1f  %6.0f %6.0f "
	       "%6.0f %7.2f %6.1f%s\n",
	        nodes, c->member_msgs, c->member_msgs_max, c->member_bytes, c->member_bytes_max,
	        c->session_msgs, c->session_bytes, c->delta_bytes, c->whole_bytes, c->median_ms,
	        c->last_ms, c->guest_msgs, c->guest_msgs_max, c->guest_bytes, c->guest_session_msgs,
	        c->guest_ms, within(c) ? "" : "  MISSED");
	fflush(stdout);
}

int scale_run(uint64_t seed, int largest, bool json)
{
	static const int sizes[] = {10, 100, 1000, 3000, 10000};
	bool ok = true;

	if (json)
		printf("{\"part\":\"scale\",\"title\":\"One approval, by the size of the cluster\","
		       "\"method\":\"simulated: every node runs overlayd's own cluster machine, %d "
		       "seeds; all that nodes say about their policy in %d s, in and out, notes "
		       "too, in bytes as written\"}\n",
		        SCALE_SEEDS, COUNT_S);
	else
		printf("One approval, %d seeds, all that is said in %d s (in and out, notes too); "
		       "and "
		       "one guest:\n"
		       " nodes  messages of a    bytes of a member  a seed, for each    bundle: "
		       "delta,     ms till it is   a guest: messages of a\n"
		       "        member   max     median      max  session   bytes         whole "
		       "bytes     in force (.., last)  member, max, bytes; a seed's; ms\n",
		        SCALE_SEEDS, COUNT_S);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]) && sizes[i] <= largest; i++) {
		struct cost c;

		if (!measure(seed, sizes[i], &c))
			return 1;
		if (json)
			rows(sizes[i], &c);
		else
			line(sizes[i], &c);
		ok = ok && within(&c);
	}
	return ok ? 0 : 1;
}

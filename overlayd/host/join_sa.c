/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A newcomer's join SA: brought up, looked at, taken down.
 *
 * charon tells why an initiation failed in words of its log alone; `initiate` streams them while it
 * waits. They are its own (5.9 and 6.0), and only pick the sentence that people get: what is not
 * recognised is told as it is.
 */
#include "host/join_private.h"

#include "host/charon.h"
#include "host/dataplane.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#define INITIATE_MS 11000 /* more than charon's own retransmissions take (see the drop-in) */
#define DOWN_NOW_US 1500000

struct join_sa {
	struct world *world;
	struct vici *v;
	sd_event_source *io, *deadline, *later;
	unsigned int down_left; /* answers that are awaited */
	join_sa_up_fn *up_done;
	join_sa_down_fn *down_done;
	void *user;
	char *host;
	uint16_t port;
	char *seed;
	uint32_t id; /* of the IKE_SA that is up */
	struct join_sa_up up;
	int error; /* by what charon's log said so far */
	char said[256];
};

/* ---- the connection ------------------------------------------------------------------------- */

static void sa_update(struct join_sa *sa)
{
	uint64_t deadline;

	if (!sa->v || !sa->io)
		return;
	sd_event_source_set_io_events(sa->io, (uint32_t)vici_events(sa->v));
	deadline = vici_deadline(sa->v);
	sd_event_source_set_time(sa->deadline, deadline);
	sd_event_source_set_enabled(
	        sa->deadline, deadline == VICI_DEADLINE_NONE ? SD_EVENT_OFF : SD_EVENT_ONESHOT);
}

static void sa_close(struct join_sa *sa)
{
	struct vici *v = sa->v;

	sa->io = sd_event_source_disable_unref(sa->io);
	sa->deadline = sd_event_source_disable_unref(sa->deadline);
	sa->v = NULL;
	vici_free(v);
}

/* What is to be told is told from the loop: neither from an effect nor from libviciclient. */
static int on_later(sd_event_source *source, void *user)
{
	struct join_sa *sa = user;
	join_sa_down_fn *down = sa->down_done;
	join_sa_up_fn *up = sa->up_done;

	(void)source;
	if (down && !sa->down_left) {
		sa->down_done = NULL;
		sa_close(sa);
		down(sa->user);
	} else if (up) {
		sa->up_done = NULL;
		up(sa->user, &sa->up);
	}
	return 0;
}

static void later(struct join_sa *sa)
{
	sd_event_source_set_enabled(sa->later, SD_EVENT_ONESHOT);
}

static void up_end(struct join_sa *sa, int error, const char *text)
{
	if (!sa->up_done)
		return;
	sa->up.error = error;
	if (error)
		snprintf(sa->said, sizeof(sa->said), "%s", text);
	text_sanitise(sa->said);
	sa->up.text = sa->said;
	later(sa);
}

static void sa_process(struct join_sa *sa, short revents)
{
	if (vici_process(sa->v, revents, (uint64_t)world_now_us()) < 0) {
		/* Its callbacks were called with an error. */
		up_end(sa, -ENOTCONN, "charon went away");
		sa->down_left = 0;
		later(sa);
		sd_event_source_set_enabled(sa->io, SD_EVENT_OFF);
		sd_event_source_set_enabled(sa->deadline, SD_EVENT_OFF);
		return;
	}
	sa_update(sa);
}

static int on_io(sd_event_source *source, int fd, uint32_t revents, void *user)
{
	(void)source, (void)fd;
	sa_process(user, (short)(revents & (EPOLLIN | EPOLLOUT | EPOLLHUP | EPOLLERR)));
	return 0;
}

static int on_deadline(sd_event_source *source, uint64_t usec, void *user)
{
	(void)source, (void)usec;
	sa_process(user, 0);
	return 0;
}

static int sa_open(struct join_sa *sa)
{
	struct vici_config cfg = {.path = sa->world->options.vici_path};
	int ret = vici_open(&sa->v, &cfg);

	if (!ret)
		ret = sd_event_add_io(
		        sa->world->event, &sa->io, vici_fd(sa->v), EPOLLIN, on_io, sa);
	if (ret >= 0)
		ret = sd_event_add_time(sa->world->event, &sa->deadline, CLOCK_BOOTTIME, UINT64_MAX,
		        1000, on_deadline, sa);
	if (ret < 0)
		sa_close(sa);
	return ret < 0 ? ret : 0;
}

/* ---- up ------------------------------------------------------------------------------------- */

/* What charon says while it tries, and what it means; the last one that is known counts. */
static const struct {
	const char *says;
	int error;
} meanings[] = {
        {"giving up after", -ETIMEDOUT},
        {"peer not responding", -ETIMEDOUT},
        {"unable to resolve", -EHOSTUNREACH},
        {"error writing to socket", -EHOSTUNREACH},
        {"no trusted", -EKEYREJECTED},
        {"signature validation failed", -EKEYREJECTED},
        {"constraint check failed", -EKEYREJECTED},
        {"does not match to", -EKEYREJECTED},
        {"AUTHENTICATION_FAILED", -ECONNREFUSED},
        {"NO_PROPOSAL_CHOSEN", -ECONNREFUSED},
        {"TS_UNACCEPTABLE", -ECONNREFUSED},
        {"INTERNAL_ADDRESS_FAILURE", -ECONNREFUSED},
        {"FAILED_CP_REQUIRED", -ECONNREFUSED},
};

static void log_take(struct join_sa *sa, const struct vici_blob *msg)
{
	char text[256];

	snprintf(text, sizeof(text), "%.*s", (int)(msg->len < 255 ? msg->len : 255),
	        (const char *)msg->data);
	for (size_t i = 0; i < sizeof(meanings) / sizeof(meanings[0]); i++)
		if (strstr(text, meanings[i].says) && sa->error != -EKEYREJECTED)
			sa->error = meanings[i].error;
}

static void on_log(void *user, struct vici_blob row)
{
	struct vici_element e;
	struct vici_iter it;

	vici_iter_init(&it, row);
	while (vici_iter_next(&it, &e) > 0)
		if (e.type == VICI_KEY_VALUE && vici_name_is(&e, "msg"))
			log_take(user, &e.value);
}

static void failure_text(const struct join_sa *sa, const char *charon, char *buf, size_t size)
{
	switch (sa->error) {
	case -ETIMEDOUT:
		snprintf(buf, size, "nobody answers at %s, UDP port %u", sa->host, sa->port);
		return;
	case -EHOSTUNREACH:
		snprintf(buf, size, "%s cannot be reached, or its name not be found", sa->host);
		return;
	case -EKEYREJECTED:
		snprintf(buf, size,
		        "who answers at %s does not hold the key that the ticket names for %s",
		        sa->host, sa->seed);
		return;
	case -ECONNREFUSED:
		snprintf(buf, size,
		        "%s answers, but takes nobody in as %s: joining is off there, or it does "
		        "not hold the key that the ticket names",
		        sa->host, sa->seed);
		return;
	default:
		snprintf(buf, size, "no tunnel to %s: %s", sa->host, charon);
	}
}

/* Of the seed's selector only one address may be left. */
static bool child_take(struct join_sa *sa, const struct vici_child_sa *child)
{
	struct policy_prefix own;
	struct engine_range seed;

	if (strcmp(child->state, "INSTALLED") != 0 || !child->local_ts[0] || child->local_ts[1] ||
	        !child->remote_ts[0] || child->remote_ts[1] ||
	        charon_selector_parse(child->local_ts[0], &own) || own.len != 128 ||
	        charon_range_parse(child->remote_ts[0], &seed) ||
	        memcmp(&seed.first, &seed.last, sizeof(seed.first)) != 0)
		return false;
	sa->up.own = own.addr;
	sa->up.seed = seed.first;
	return true;
}

static void on_row(void *user, const struct vici_ike_sa *row)
{
	struct join_sa *sa = user;

	if (strcmp(row->name, JOIN_ASK_CONN) != 0 || strcmp(row->state, "ESTABLISHED") != 0)
		return;
	for (size_t i = 0; i < row->n_children; i++)
		if (child_take(sa, &row->children[i]))
			sa->id = row->uniqueid;
}

static void on_listed(void *user, const struct vici_result *r)
{
	struct join_sa *sa = user;

	if (r->error)
		up_end(sa, r->error, r->errmsg);
	else if (!sa->id)
		up_end(sa, -EPROTO, "the seed ended the tunnel at once");
	else
		up_end(sa, 0, "");
}

static void on_initiated(void *user, const struct vici_result *r)
{
	struct vici_select which = {.ike = JOIN_ASK_CONN};
	struct join_sa *sa = user;
	char text[sizeof(sa->said)];

	if (!r->error) {
		if (vici_list_sas(
		            sa->v, &which, on_row, on_listed, sa, 0, (uint64_t)world_now_us()))
			up_end(sa, -ENOMEM, "out of memory");
		return;
	}
	/* Its own limit was over: nobody said anything. */
	if (!sa->error && strstr(r->errmsg, "not established after"))
		sa->error = -ETIMEDOUT;
	failure_text(sa, r->errmsg, text, sizeof(text));
	up_end(sa, sa->error ? sa->error : -EIO, text);
}

static void on_loaded(void *user, const struct vici_result *r)
{
	if (r->error)
		up_end(user, r->error, r->errmsg);
}

static int initiate(struct join_sa *sa)
{
	struct vici_call call = {.command = "initiate",
	        .stream = "control-log",
	        .row = on_log,
	        .done = on_initiated,
	        .user = sa,
	        .timeout_us = (INITIATE_MS + 2000) * 1000};
	struct vici_builder b;
	int ret;

	vici_builder_init(&b);
	vici_add_str(&b, "ike", JOIN_ASK_CONN);
	vici_add_str(&b, "child", JOIN_CHILD);
	vici_add_i64(&b, "timeout", INITIATE_MS);
	vici_add_i64(&b, "loglevel", 1);
	ret = vici_call(sa->v, &call, &b, (uint64_t)world_now_us());
	vici_builder_fini(&b);
	return ret;
}

static int up_queue(struct join_sa *sa, const struct engine_join_ask *ask, uint16_t port)
{
	const struct charon_facts *facts = charon_facts(sa->world->charon);
	uint32_t if_id = dataplane_if_id(sa->world->dataplane);
	int ret = sa_open(sa);

	if (!ret)
		ret = charon_join_secret(sa->v, JOIN_ASK_SECRET, on_loaded, sa);
	if (!ret)
		ret = charon_join_ask(sa->v, ask, port, if_id, facts->mlkem768, on_loaded, sa);
	if (!ret)
		ret = initiate(sa);
	sa_update(sa);
	return ret;
}

void join_sa_up(struct join_sa *sa, const struct engine_join_ask *ask, uint16_t port,
        join_sa_up_fn *done, void *user)
{
	int ret;

	sa_close(sa);
	free(sa->host);
	free(sa->seed);
	sa->host = strdup(ask->host);
	sa->seed = strdup(ask->seed);
	sa->port = ask->port;
	sa->id = 0;
	sa->error = 0;
	sa->up = (struct join_sa_up){0};
	sa->up_done = done;
	sa->user = user;
	ret = sa->host && sa->seed ? up_queue(sa, ask, port) : -ENOMEM;
	if (ret)
		up_end(sa, ret, "charon does not answer");
}

/* ---- down ----------------------------------------------------------------------------------- */

static void down_part(struct join_sa *sa)
{
	if (sa->down_left && !--sa->down_left)
		later(sa);
}

/* What is not there is gone. */
static void on_gone(void *user, const struct vici_result *r)
{
	(void)r;
	down_part(user);
}

static void on_ended(void *user, const struct vici_result *r, uint64_t matches, uint64_t ended)
{
	(void)r, (void)matches, (void)ended;
	down_part(user);
}

/* One connection of its own: the other may wait for an initiation still. No charon, no SA. */
static void down_queue(struct join_sa *sa)
{
	struct vici_select which = {.ike = JOIN_ASK_CONN};
	uint64_t now = (uint64_t)world_now_us();

	sa->down_left = 3;
	if (vici_unload_conn(sa->v, JOIN_ASK_CONN, on_gone, sa, 0, now))
		sa->down_left--;
	if (vici_terminate(sa->v, &which, true, (struct vici_num){0}, on_ended, sa, 0, now))
		sa->down_left--;
	if (vici_unload_shared(sa->v, JOIN_ASK_SECRET, on_gone, sa, 0, now))
		sa->down_left--;
	sa_update(sa);
}

void join_sa_down(struct join_sa *sa, join_sa_down_fn *done, void *user)
{
	sa->up_done = NULL;
	sa->down_done = done;
	sa->user = user;
	sa->down_left = 0;
	sa_close(sa);
	if (!sa_open(sa))
		down_queue(sa);
	if (!sa->down_left)
		later(sa);
}

void join_sa_down_now(struct join_sa *sa)
{
	struct vici_config cfg = {.path = sa->world->options.vici_path};
	int64_t until = world_now_us() + DOWN_NOW_US;

	sa->up_done = NULL;
	sa->down_done = NULL;
	sa_close(sa);
	/* The loop has ended: it takes no more sources. */
	if (!vici_open(&sa->v, &cfg))
		down_queue(sa);
	while (sa->v && sa->down_left && world_now_us() < until) {
		struct pollfd pfd = {.fd = vici_fd(sa->v), .events = vici_events(sa->v)};

		(void)poll(&pfd, 1, 100);
		if (vici_process(sa->v, pfd.revents, (uint64_t)world_now_us()) < 0)
			break;
	}
}

/* ---- begin and end -------------------------------------------------------------------------- */

int join_sa_new(struct world *world, struct join_sa **out)
{
	struct join_sa *sa = calloc(1, sizeof(*sa));
	int ret;

	if (!sa)
		return -ENOMEM;
	sa->world = world;
	ret = sd_event_add_defer(world->event, &sa->later, on_later, sa);
	if (ret >= 0)
		ret = sd_event_source_set_enabled(sa->later, SD_EVENT_OFF);
	if (ret < 0) {
		join_sa_free(sa);
		return ret;
	}
	*out = sa;
	return 0;
}

void join_sa_free(struct join_sa *sa)
{
	if (!sa)
		return;
	sa->up_done = NULL;
	sa->down_done = NULL;
	sa_close(sa);
	sd_event_source_disable_unref(sa->later);
	free(sa->host);
	free(sa->seed);
	free(sa);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/session_private.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <utlist.h>

#define TICK_US 1000000
#define OWN_IDS (UINT64_C(1) << 63) /* effects' ids never get there */

/* ---- what others ask ------------------------------------------------------------------------ */

bool session_hello_own(struct sessions *all, struct session_hello *out)
{
	struct engine_view view;

	engine_look(all->world->engine, &view);
	if (!view.policy || !view.self)
		return false;
	*out = (struct session_hello){
	        .lowest = SESSION_VERSION_LOWEST, .highest = SESSION_VERSION_HIGHEST};
	snprintf(out->release, sizeof(out->release), "%s", OVERLAYD_VERSION);
	snprintf(out->cluster, sizeof(out->cluster), "%s", view.policy->cluster);
	snprintf(out->node, sizeof(out->node), "%s", view.self->name);
	return true;
}

int session_peer_at(struct sessions *all, const struct policy_addr *addr, char *name)
{
	const struct policy_peer *peer = NULL;
	struct engine_peer_view has;
	struct engine_view view;

	engine_look(all->world->engine, &view);
	if (view.policy)
		peer = policy_peer_by_addr(view.policy, addr);
	/* The policy may be ahead of who has that address now. */
	if (!peer || engine_peer_find(all->world->engine, peer->name, &has) || !has.admitted ||
	        (memcmp(addr, &has.addr4, sizeof(*addr)) != 0 &&
	                memcmp(addr, &has.addr6, sizeof(*addr)) != 0))
		return -ENOENT;
	snprintf(name, POLICY_NAME_MAX + 1, "%s", peer->name);
	return 0;
}

bool session_bucket_take(struct sessions *all, struct session_bucket *buckets,
        const struct policy_addr *addr, unsigned most, int64_t each_us)
{
	uint64_t hash = all->salt;
	struct session_bucket *bucket;
	int64_t now_us = world_now_us();

	for (size_t i = 0; i < sizeof(addr->bytes); i++)
		hash = (hash ^ addr->bytes[i]) * UINT64_C(0x100000001b3);
	bucket = &buckets[(hash >> 32) % SESSION_BUCKETS];
	if (bucket->full_us < now_us)
		bucket->full_us = now_us;
	if (bucket->full_us - now_us > (int64_t)(most - 1) * each_us)
		return false;
	bucket->full_us += each_us;
	return true;
}

/* ---- time ----------------------------------------------------------------------------------- */

void session_tick_soon(struct sessions *all)
{
	int enabled = SD_EVENT_OFF;

	sd_event_source_get_enabled(all->tick, &enabled);
	if (enabled != SD_EVENT_OFF)
		return;
	sd_event_source_set_time(all->tick, (uint64_t)(world_now_us() + TICK_US));
	sd_event_source_set_enabled(all->tick, SD_EVENT_ONESHOT);
}

static int on_tick(sd_event_source *source, uint64_t usec, void *user)
{
	struct sessions *all = user;
	struct session_conn *conn, *next;
	int64_t now_us = world_now_us();
	bool again = false;

	(void)source, (void)usec;
	DL_FOREACH_SAFE(all->conns, conn, next)
		again |= session_conn_tick(conn, now_us);
	for (size_t i = 0; i < 2; i++)
		again |= session_listen_tick(&all->listeners[i], all);
	if (again)
		session_tick_soon(all);
	return 0;
}

/* The engine is told here, and not where it ended: that may have been within an effect. */
static int on_reap(sd_event_source *source, void *user)
{
	struct sessions *all = user;

	(void)source;
	while (all->ended) {
		struct session_conn *conn = all->ended;
		struct engine_event ev = {.type = ENGINE_EV_SESSION};

		DL_DELETE(all->ended, conn);
		ev.session.id = conn->id;
		ev.session.peer = conn->peer;
		ev.session.ours = conn->ours;
		ev.session.text = conn->text;
		text_sanitise(conn->text);
		if (!conn->silent)
			world_event(all->world, &ev);
		session_conn_free(conn);
	}
	return 0;
}

/* ---- effects -------------------------------------------------------------------------------- */

static struct session_conn *conn_find(struct sessions *all, uint64_t id)
{
	struct session_conn *conn;

	HASH_FIND(hh, all->by_id, &id, sizeof(id), conn);
	return conn;
}

static void conn_close(struct session_conn *conn)
{
	conn->silent = true;
	session_conn_end(conn, "closed here");
}

/* It may have ended by itself, and the engine not know yet. */
static void ended_forget(struct sessions *all, uint64_t id)
{
	struct session_conn *conn;

	DL_FOREACH(all->ended, conn)
		if (conn->id == id)
			conn->silent = true;
}

void sessions_run(struct sessions *all, const struct engine_effect *fx)
{
	struct session_conn *conn;

	if (fx->type == ENGINE_FX_NOTE_SEND) {
		session_note_send(all, &fx->note);
		return;
	}
	if (fx->type == ENGINE_FX_SESSION_OPEN) {
		session_conn_open(all, &fx->session);
		return;
	}
	conn = conn_find(all, fx->session.session);
	if (fx->type == ENGINE_FX_SESSION_SEND && conn)
		session_conn_send(conn, fx->session.msg, fx->session.large);
	else if (fx->type == ENGINE_FX_SESSION_CLOSE && conn)
		conn_close(conn);
	else if (fx->type == ENGINE_FX_SESSION_CLOSE)
		ended_forget(all, fx->session.session);
}

static bool addr_same(const struct policy_addr *a, const struct policy_addr *b)
{
	return a->family == b->family && !memcmp(a->bytes, b->bytes, sizeof(a->bytes));
}

void sessions_base(struct sessions *all, const struct engine_fw_base *base)
{
	static const struct policy_addr none;
	bool open = base->sessions && base->self;
	const struct policy_addr *own[] = {
	        open ? &base->self->addr4 : &none,
	        open ? &base->self->addr6 : &none,
	};
	struct session_conn *conn, *next;
	bool moved = false;

	for (size_t i = 0; i < 2; i++) {
		if (addr_same(&all->listeners[i].addr, own[i]))
			continue;
		moved |= all->listeners[i].addr.family != 0;
		session_listen(&all->listeners[i], all, own[i]);
	}
	if (moved)
		DL_FOREACH_SAFE(all->conns, conn, next)
			session_conn_end(conn, "this node's own address has changed");
}

/* ---- life ----------------------------------------------------------------------------------- */

/* A seed has one descriptor for each member, and the usual limit is 1,024. */
static void descriptors_raise(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) || limit.rlim_cur >= 2 * SESSION_ALL_MAX)
		return;
	limit.rlim_cur =
	        limit.rlim_max < 2 * SESSION_ALL_MAX ? limit.rlim_max : 2 * SESSION_ALL_MAX;
	(void)setrlimit(RLIMIT_NOFILE, &limit);
}

static int sources_make(struct sessions *all)
{
	int rc = sd_event_add_time(
	        all->world->event, &all->tick, CLOCK_BOOTTIME, UINT64_MAX, 100000, on_tick, all);

	if (rc >= 0)
		rc = sd_event_source_set_enabled(all->tick, SD_EVENT_OFF);
	if (rc >= 0)
		rc = sd_event_add_defer(all->world->event, &all->reap, on_reap, all);
	if (rc >= 0)
		rc = sd_event_source_set_enabled(all->reap, SD_EVENT_OFF);
	return rc < 0 ? rc : 0;
}

int sessions_new(struct world *world, struct sessions **out)
{
	struct sessions *all = calloc(1, sizeof(*all));
	int rc;

	if (!all)
		return -ENOMEM;
	all->world = world;
	all->next_id = OWN_IDS;
	for (size_t i = 0; i < 2; i++)
		all->listeners[i].tcp = all->listeners[i].udp = -1;
	if (getrandom(&all->salt, sizeof(all->salt), 0) != sizeof(all->salt))
		all->salt = (uint64_t)world_now_us();
	descriptors_raise();
	rc = sources_make(all);
	if (rc) {
		sessions_free(all);
		return rc;
	}
	*out = all;
	return 0;
}

void sessions_free(struct sessions *all)
{
	struct session_conn *conn, *next;

	if (!all)
		return;
	for (size_t i = 0; i < 2; i++)
		session_listen_end(&all->listeners[i]);
	DL_FOREACH_SAFE(all->conns, conn, next)
		session_conn_end(conn, "this node's overlayd ends");
	DL_FOREACH_SAFE(all->ended, conn, next) {
		DL_DELETE(all->ended, conn);
		session_conn_free(conn);
	}
	sd_event_source_disable_unref(all->tick);
	sd_event_source_disable_unref(all->reap);
	free(all);
}

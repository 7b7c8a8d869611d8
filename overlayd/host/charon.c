/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/charon_private.h"

#include "host/dataplane.h"
#include "host/join.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>

#define RETRY_MIN_US 250000
#define RETRY_MAX_US 500000            /* a failed connect(2) costs nothing */
#define TOLD_AGAIN_US (60 * 1000000LL) /* "still waiting" */

static void charon_fail(struct charon *charon, const char *why);

/* ---- the connections ---------------------------------------------------------------------------
 */

/* Not from within a vici callback: the loop calls it with nothing of libviciclient on the stack. */
static void link_close(struct link *link)
{
	link->io = sd_event_source_disable_unref(link->io);
	link->deadline = sd_event_source_disable_unref(link->deadline);
	struct vici *v = link->v;
	link->v = NULL;
	vici_free(v);
}

static void link_process(struct link *link, short revents)
{
	struct charon *charon = link->charon;
	char why[256];

	if (vici_process(link->v, revents, charon_now()) < 0) {
		snprintf(why, sizeof(why), "%s", vici_error_text(link->v));
		charon_fail(charon, why);
		return;
	}
	charon_link_update(link);
	/* What it told may have made the engine ask on the other one. */
	charon_link_update(&charon->links[LINK_COMMANDS]);
}

static int on_io(sd_event_source *source, int fd, uint32_t revents, void *user)
{
	(void)source, (void)fd;
	link_process(user, (short)(revents & (EPOLLIN | EPOLLOUT | EPOLLHUP | EPOLLERR)));
	return 0;
}

static int on_deadline(sd_event_source *source, uint64_t usec, void *user)
{
	(void)source, (void)usec;
	link_process(user, 0);
	return 0;
}

void charon_link_update(struct link *link)
{
	struct charon *charon = link->charon;
	bool commands = link == &charon->links[LINK_COMMANDS];
	int64_t settles = dataplane_settles_us(charon->world->dataplane);
	uint64_t deadline;

	if (!link->v || !link->io)
		return;
	/* What is to be sent waits until charon knows our address. */
	if (commands && charon->told && settles > world_now_us()) {
		vici_hold(link->v, true, charon_now());
		sd_event_source_set_io_events(link->io, 0);
		sd_event_source_set_time(link->deadline, (uint64_t)settles);
		sd_event_source_set_enabled(link->deadline, SD_EVENT_ONESHOT);
		return;
	}
	vici_hold(link->v, false, charon_now());
	/* poll(2) and epoll(7) have the same bits for in and out. */
	sd_event_source_set_io_events(link->io, (uint32_t)vici_events(link->v));
	deadline = vici_deadline(link->v);
	if (deadline == VICI_DEADLINE_NONE) {
		sd_event_source_set_enabled(link->deadline, SD_EVENT_OFF);
		return;
	}
	sd_event_source_set_time(link->deadline, deadline);
	sd_event_source_set_enabled(link->deadline, SD_EVENT_ONESHOT);
}

void charon_pause(struct charon *charon)
{
	charon_link_update(&charon->links[LINK_COMMANDS]);
}

static int link_open(struct link *link)
{
	struct charon *charon = link->charon;
	struct vici_config cfg = {.path = charon->path,
	        .on_event = charon_event,
	        .user = link,
	        .max_requests = 65536,
	        .max_bytes = 64U << 20};
	int err = vici_open(&link->v, &cfg);

	if (err)
		return err;
	err = sd_event_add_io(
	        charon->world->event, &link->io, vici_fd(link->v), EPOLLIN, on_io, link);
	if (err >= 0)
		err = sd_event_add_time(charon->world->event, &link->deadline, CLOCK_BOOTTIME,
		        UINT64_MAX, 1000, on_deadline, link);
	return err < 0 ? err : 0;
}

/* ---- opening: subscribe, and learn what charon can do
 * -------------------------------------------- */

static void awaited_done(struct charon *charon, const struct vici_result *r)
{
	struct engine_event ev = {.type = ENGINE_EV_CHARON};

	/* An older charon may lack an event or a command: we do without. The connection's end is
	 * told elsewhere. */
	if (r->error == -ENOENT || r->error == -EOPNOTSUPP || r->error == -EREMOTEIO)
		log_debug("charon: %s", r->errmsg);
	else if (r->error)
		return;
	if (!charon->opening || --charon->awaited)
		return;
	charon->opening = false;
	charon->backoff_us = RETRY_MIN_US;
	charon->told_at_us = 0;
	charon->next.connected = true;
	charon->next.why[0] = 0;
	charon->facts = charon->next;
	charon->generation++;
	charon->told = true;
	charon->has_ours = false;
	log_info("connected to charon %s at %s", charon->facts.version, charon->path);
	dataplane_charon_known(charon->world->dataplane);
	ev.charon.connected = true;
	ev.charon.generation = charon->generation;
	world_event(charon->world, &ev);
	join_charon(charon->world->join);
	charon_shut(charon);
}

static void on_subscribed(void *user, const struct vici_result *r)
{
	awaited_done(user, r);
}

static void on_version(void *user, const struct vici_result *r, const struct vici_version *version)
{
	struct charon *charon = user;

	if (version) {
		snprintf(
		        charon->next.version, sizeof(charon->next.version), "%s", version->version);
		text_sanitise(charon->next.version);
	}
	awaited_done(charon, r);
}

static void on_stats(void *user, const struct vici_result *r, const struct vici_stats *stats)
{
	struct charon *charon = user;
	struct charon_facts *next = &charon->next;
	size_t len = 0;

	for (size_t i = 0; stats && stats->plugins[i]; i++) {
		size_t room = sizeof(next->plugins) - len;
		int n = snprintf(next->plugins + len, room, "%s ", stats->plugins[i]);

		if (strcmp(stats->plugins[i], "kernel-libipsec") == 0)
			next->libipsec = true;
		if (n > 0 && (size_t)n < room)
			len += (size_t)n;
		else
			next->plugins[len] = 0;
	}
	if (stats) {
		next->ike_sas = stats->ike_sas;
		next->half_open = stats->ike_sas_half_open;
		text_sanitise(next->plugins);
	}
	awaited_done(charon, r);
}

static void on_algorithm(void *user, const char *type, const char *name, const char *plugin)
{
	struct charon *charon = user;
	struct charon_facts *next = &charon->next;

	(void)plugin, (void)type;
	next->x25519 |= strcmp(name, "CURVE_25519") == 0;
	next->aes_gcm |= strcmp(name, "AES_GCM_16") == 0;
	next->mlkem768 |= strcmp(name, "ML_KEM_768") == 0;
}

static void on_algorithms(void *user, const struct vici_result *r)
{
	awaited_done(user, r);
}

static int charon_ask(struct charon *charon)
{
	static const char *const events[] = {
	        "ike-updown", "child-updown", "ike-rekey", "child-rekey", "ike-update"};
	struct vici *commands = charon->links[LINK_COMMANDS].v;
	int err = 0;

	charon->awaited = 0;
	for (size_t i = 0; i < sizeof(events) / sizeof(events[0]) && !err; i++) {
		err = vici_subscribe(charon->links[LINK_EVENTS].v, events[i], 0, on_subscribed,
		        charon, charon_now());
		charon->awaited++;
	}
	if (!err)
		err = vici_get_version(commands, on_version, charon, 0, charon_now());
	if (!err)
		err = vici_get_stats(commands, on_stats, charon, 0, charon_now());
	if (!err)
		err = vici_get_algorithms(
		        commands, on_algorithm, on_algorithms, charon, 0, charon_now());
	charon->awaited += 3;
	return err;
}

static int charon_open(struct charon *charon)
{
	int err = 0;

	memset(&charon->next, 0, sizeof(charon->next));
	for (int i = 0; i < LINKS && !err; i++)
		err = link_open(&charon->links[i]);
	if (err)
		return err;
	charon->opening = true;
	err = charon_ask(charon);
	for (int i = 0; i < LINKS; i++)
		charon_link_update(&charon->links[i]);
	return err;
}

static void open_why(const struct charon *charon, int err, char *why, size_t size)
{
	if (err == -ENOENT || err == -ECONNREFUSED)
		snprintf(why, size,
		        "charon does not answer at %s: start it (systemctl start "
		        "strongswan-starter, or "
		        "strongswan), with the vici plugin loaded",
		        charon->path);
	else if (err == -EAGAIN)
		snprintf(why, size,
		        "charon at %s takes no connections: it hangs, or is stopped; restart it",
		        charon->path);
	else if (err == -EACCES)
		snprintf(why, size, "charon's socket %s: permission denied; run overlayd as root",
		        charon->path);
	else
		snprintf(why, size, "charon's socket %s: %s", charon->path, strerror(-err));
}

static int on_retry(sd_event_source *source, uint64_t usec, void *user)
{
	struct charon *charon = user;
	char why[256];
	int err;

	(void)source, (void)usec;
	err = charon_open(charon);
	if (err) {
		open_why(charon, err, why, sizeof(why));
		charon_fail(charon, why);
	}
	return 0;
}

/* The one way out of a connection: both are closed, the engine is told, and we try again. */
static void charon_fail(struct charon *charon, const char *why)
{
	struct engine_event ev = {.type = ENGINE_EV_CHARON};
	bool told = charon->told;
	int64_t at = world_now_us();

	charon->told = false;
	charon->opening = false;
	charon->shutting = false;
	for (int i = 0; i < LINKS; i++)
		link_close(&charon->links[i]);
	attempts_fail(charon->attempts);
	charon_keys_forget(charon);
	charon->facts.connected = false;
	snprintf(charon->facts.why, sizeof(charon->facts.why), "%s", why);
	text_sanitise(charon->facts.why);
	if (told || !charon->told_at_us || at - charon->told_at_us > TOLD_AGAIN_US) {
		/* The end of a connection is the engine's to tell. */
		if (!told)
			log_warning("%s; waiting for it", charon->facts.why);
		charon->told_at_us = at;
		ev.charon.text = charon->facts.why;
		ev.charon.generation = charon->generation;
		world_event(charon->world, &ev);
	}
	sd_event_source_set_time(charon->retry, (uint64_t)(at + charon->backoff_us));
	sd_event_source_set_enabled(charon->retry, SD_EVENT_ONESHOT);
	charon->backoff_us *= 2;
	if (charon->backoff_us > RETRY_MAX_US)
		charon->backoff_us = RETRY_MAX_US;
}

int charon_new(struct world *world, const char *path, struct charon **out)
{
	struct charon *charon = calloc(1, sizeof(*charon));
	int err;

	if (!charon)
		return -ENOMEM;
	charon->world = world;
	charon->path = strdup(path);
	charon->backoff_us = RETRY_MIN_US;
	for (int i = 0; i < LINKS; i++)
		charon->links[i].charon = charon;
	snprintf(charon->facts.why, sizeof(charon->facts.why), "not connected to charon yet");
	err = charon->path ? sd_event_add_time(world->event, &charon->retry, CLOCK_BOOTTIME,
	                             UINT64_MAX, 10000, on_retry, charon)
	                   : -ENOMEM;
	if (err >= 0)
		err = sd_event_source_set_enabled(charon->retry, SD_EVENT_OFF);
	if (err >= 0)
		err = attempts_new(charon, &charon->attempts);
	if (err >= 0)
		err = charon_keys_new(charon);
	if (err < 0) {
		charon_free(charon);
		return err;
	}
	*out = charon;
	return 0;
}

void charon_free(struct charon *charon)
{
	if (!charon)
		return;
	charon->told = false;
	charon->opening = false;
	for (int i = 0; i < LINKS; i++)
		link_close(&charon->links[i]);
	attempts_free(charon->attempts);
	sd_event_source_disable_unref(charon->retry);
	sd_event_source_disable_unref(charon->keys_timer);
	free(charon->path);
	free(charon);
}

void charon_start(struct charon *charon)
{
	sd_event_source_set_time(charon->retry, 0);
	sd_event_source_set_enabled(charon->retry, SD_EVENT_ONESHOT);
}

const struct charon_facts *charon_facts(const struct charon *charon)
{
	return &charon->facts;
}

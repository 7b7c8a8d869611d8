/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files charon*.c share: charon.c (connections), charon_run.c (effects), charon_events.c
 * (events), charon_attempts.c (initiations), charon_keys.c (is our key still there),
 * charon_shut.c (without a policy). */
#ifndef OVERLAYD_HOST_CHARON_PRIVATE_H
#define OVERLAYD_HOST_CHARON_PRIVATE_H

#include "host/charon.h"
#include "host/world.h"

enum link_kind { LINK_COMMANDS, LINK_EVENTS, LINKS };

/* One vici connection in the loop. */
struct link {
	struct charon *charon;
	struct vici *v;
	sd_event_source *io;
	sd_event_source *deadline;
};

struct charon {
	struct world *world;
	char *path;
	struct link links[LINKS];
	sd_event_source *retry;
	int64_t backoff_us;
	int64_t told_at_us; /* when the log last said that charon is not there */
	uint64_t generation;
	unsigned int awaited; /* answers that are needed before the engine is told */
	bool opening;
	bool told;     /* the engine knows it as connected */
	bool shutting; /* charon_shut() is under way */
	bool has_ours; /* it had SAs or connections of ours when we came, or we gave it some */
	struct charon_facts facts;
	struct charon_facts next; /* of the connection that is being opened */
	struct attempts *attempts;
	sd_event_source *keys_timer;
	int64_t key_loaded_us;
	char key_ids[2][64]; /* of our keys, as charon names them */
	size_t n_keys;       /* 0 before they are loaded */
};

static inline uint64_t charon_now(void)
{
	return (uint64_t)world_now_us();
}

/* After a request: what the loop must wait for has changed. */
void charon_link_update(struct link *link);
/* libviciclient's on_event */
void charon_event(void *user, const struct vici_event *event);

/* ---- charon_shut.c ---- */

/* Without a policy: unloads our connections and ends our SAs. With one: nothing. */
void charon_shut(struct charon *charon);
void charon_shut_event(struct charon *charon, const struct vici_event *event);

/* ---- charon_keys.c ---- */

int charon_keys_new(struct charon *charon);
/* charon has it, under this id, beside those it has: from now on they are looked after, */
void charon_keys_loaded(struct charon *charon, const char *id);
/* and no longer: the connection is gone. */
void charon_keys_forget(struct charon *charon);

/* ---- charon_attempts.c ---- */

struct attempts;
int attempts_new(struct charon *charon, struct attempts **out);
void attempts_free(struct attempts *attempts);
/* charon took the initiation of this connection; the effect's result is told when it is known. */
void attempts_add(struct attempts *attempts, const char *conn, uint64_t effect_id);
/* An IKE_SA of this connection came up. */
void attempts_up(struct attempts *attempts, const char *conn);
/* The connection to charon is gone: all have failed. */
void attempts_fail(struct attempts *attempts);

#endif

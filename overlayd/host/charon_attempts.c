/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Initiations that charon took and that may have failed.
 *
 * charon tells when an IKE_SA is up, but nothing when it gives one up that never was: refused by
 * the peer (it does not know us yet, it has another key for us), or without an answer. Its own
 * blocking `initiate` would hold up the connection. So we look: while there are attempts without an
 * IKE_SA, one list-sas for all of them, a tenth of a second after they began, and then ever more
 * seldom. An attempt that is no longer listed has failed: the engine is told at once and need not
 * wait for its own deadline. One that is still being tried after a while is left to that.
 */
#include "host/charon_private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <utlist.h>

#define FIRST_US 100000    /* from the beginning to the first look, and between two */
#define GIVE_UP_US 4000000 /* then the engine's own deadline sees to it */
#define LOAD_FACTOR 10     /* looking takes a tenth of the time at most */

struct attempt {
	char conn[ENGINE_CONN_MAX];
	uint64_t id;
	int64_t began_us;
	bool listed; /* in the list that is running */
	bool up;
	struct attempt *prev, *next;
};

struct attempts {
	struct charon *charon;
	struct attempt *list; /* oldest first */
	sd_event_source *timer;
	bool looking;
	int64_t look_began_us;
	int64_t pause_us; /* until the next look */
};

/* NULL: it is up, or may yet be. */
static void attempt_end(struct attempts *attempts, struct attempt *attempt, const char *why)
{
	DL_DELETE(attempts->list, attempt);
	world_result(attempts->charon->world, attempt->id, why ? -ECONNREFUSED : 0, why ? why : "");
	free(attempt);
}

static void look_at(struct attempts *attempts, int64_t when)
{
	sd_event_source_set_time(attempts->timer, (uint64_t)when);
	sd_event_source_set_enabled(attempts->timer, SD_EVENT_ONESHOT);
}

static void on_row(void *user, const struct vici_ike_sa *sa)
{
	struct attempts *attempts = user;
	bool leaving = strcmp(sa->state, "DELETING") == 0 || strcmp(sa->state, "DESTROYING") == 0;
	struct attempt *attempt;

	DL_FOREACH(attempts->list, attempt) {
		if (leaving || strcmp(attempt->conn, sa->name) != 0)
			continue;
		attempt->listed = true;
		attempt->up = strcmp(sa->state, "ESTABLISHED") == 0;
	}
}

static void on_rows(void *user, const struct vici_result *r)
{
	struct attempts *attempts = user;
	struct attempt *attempt, *next;
	int64_t now = world_now_us();

	attempts->looking = false;
	attempts->pause_us = (now - attempts->look_began_us) * LOAD_FACTOR;
	if (attempts->list && attempts->pause_us < (now - attempts->list->began_us) / 2)
		attempts->pause_us = (now - attempts->list->began_us) / 2;
	if (attempts->pause_us < FIRST_US)
		attempts->pause_us = FIRST_US;
	DL_FOREACH_SAFE(attempts->list, attempt, next) {
		if (!r->error && !attempt->listed && attempt->began_us < attempts->look_began_us)
			attempt_end(attempts, attempt,
			        "charon gave up: the peer refused it (does its policy have our "
			        "key?) "
			        "or does not answer");
		else if (attempt->up || now - attempt->began_us > GIVE_UP_US)
			attempt_end(attempts, attempt, NULL);
	}
	if (attempts->list)
		look_at(attempts, now + attempts->pause_us);
}

static int on_timer(sd_event_source *source, uint64_t usec, void *user)
{
	struct attempts *attempts = user;
	struct link *link = &attempts->charon->links[LINK_COMMANDS];
	struct vici_select which = {0};
	struct attempt *attempt;
	int64_t now = world_now_us();

	(void)source, (void)usec;
	if (!attempts->list || attempts->looking || !link->v)
		return 0;
	if (attempts->list->began_us + FIRST_US > now) {
		look_at(attempts, attempts->list->began_us + FIRST_US);
		return 0;
	}
	DL_FOREACH(attempts->list, attempt)
		attempt->listed = attempt->up = false;
	if (!attempts->list->next)
		which.ike = attempts->list->conn;
	attempts->looking = vici_list_sas(link->v, which.ike ? &which : NULL, on_row, on_rows,
	                            attempts, VICI_TIMEOUT_DEFAULT, (uint64_t)now) == 0;
	attempts->look_began_us = now;
	charon_link_update(link);
	return 0;
}

void attempts_add(struct attempts *attempts, const char *conn, uint64_t effect_id)
{
	struct attempt *attempt = calloc(1, sizeof(*attempt));

	if (!attempt) {
		world_result(attempts->charon->world, effect_id, 0, "");
		return;
	}
	snprintf(attempt->conn, sizeof(attempt->conn), "%s", conn);
	attempt->id = effect_id;
	attempt->began_us = world_now_us();
	if (!attempts->list && !attempts->looking)
		look_at(attempts, attempt->began_us + FIRST_US);
	DL_APPEND(attempts->list, attempt);
}

void attempts_up(struct attempts *attempts, const char *conn)
{
	struct attempt *attempt, *next;

	DL_FOREACH_SAFE(attempts->list, attempt, next) {
		if (strcmp(attempt->conn, conn) == 0)
			attempt_end(attempts, attempt, NULL);
	}
}

void attempts_fail(struct attempts *attempts)
{
	while (attempts->list)
		attempt_end(attempts, attempts->list, "the connection to charon is gone");
}

int attempts_new(struct charon *charon, struct attempts **out)
{
	struct attempts *attempts = calloc(1, sizeof(*attempts));
	int err;

	if (!attempts)
		return -ENOMEM;
	attempts->charon = charon;
	err = sd_event_add_time(charon->world->event, &attempts->timer, CLOCK_BOOTTIME, UINT64_MAX,
	        10000, on_timer, attempts);
	if (err >= 0)
		err = sd_event_source_set_enabled(attempts->timer, SD_EVENT_OFF);
	if (err < 0) {
		free(attempts);
		return err;
	}
	*out = attempts;
	return 0;
}

void attempts_free(struct attempts *attempts)
{
	struct attempt *attempt, *next;

	if (!attempts)
		return;
	DL_FOREACH_SAFE(attempts->list, attempt, next) {
		DL_DELETE(attempts->list, attempt);
		free(attempt);
	}
	sd_event_source_disable_unref(attempts->timer);
	free(attempts);
}

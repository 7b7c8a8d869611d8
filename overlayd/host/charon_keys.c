/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Is our key still in charon? `swanctl --load-all` unloads every key and connection that is not in
 * its own files, and Debian's strongswan.service runs it after each start of charon and at each
 * reload: shortly after we have loaded ours. charon tells nobody. So we look, often at first,
 * and if the key is gone, the engine loads again what is ours; SAs are not touched.
 */
#include "host/charon_private.h"

#include <stdio.h>
#include <string.h>

#define FIRST_US (30 * 1000000LL) /* swanctl comes within this time of charon's start, */
#define OFTEN_US (1 * 1000000LL)  /* and then we look this often; */
#define SELDOM_US (5 * 1000000LL) /* later only an admin runs it */

static void look_in(struct charon *charon, int64_t delay_us)
{
	sd_event_source_set_time(charon->keys_timer, (uint64_t)(world_now_us() + delay_us));
	sd_event_source_set_enabled(charon->keys_timer, SD_EVENT_ONESHOT);
}

static bool is_listed(const char *id, const char *const *names, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(names[i], id) == 0)
			return true;
	return false;
}

static void on_keys(void *user, const struct vici_result *r, const char *const *names, size_t n)
{
	struct charon *charon = user;
	struct engine_event ev = {.type = ENGINE_EV_KEY_LOST};
	bool found = true;

	for (size_t i = 0; i < charon->n_keys && !r->error; i++)
		found &= is_listed(charon->key_ids[i], names, n);
	if (!found)
		world_event(charon->world, &ev);
	look_in(charon, world_now_us() < charon->key_loaded_us + FIRST_US ? OFTEN_US : SELDOM_US);
}

static int on_look(sd_event_source *source, uint64_t usec, void *user)
{
	struct charon *charon = user;
	struct link *link = &charon->links[LINK_COMMANDS];

	(void)source, (void)usec;
	if (!charon->told || !link->v || !charon->n_keys)
		return 0;
	if (vici_get_keys(link->v, on_keys, charon, 0, charon_now()) < 0)
		look_in(charon, SELDOM_US);
	charon_link_update(link);
	return 0;
}

int charon_keys_new(struct charon *charon)
{
	int err = sd_event_add_time(charon->world->event, &charon->keys_timer, CLOCK_BOOTTIME,
	        UINT64_MAX, 100000, on_look, charon);

	return err < 0 ? err : sd_event_source_set_enabled(charon->keys_timer, SD_EVENT_OFF);
}

void charon_keys_loaded(struct charon *charon, const char *id)
{
	if (charon->n_keys == sizeof(charon->key_ids) / sizeof(charon->key_ids[0]))
		return;
	snprintf(charon->key_ids[charon->n_keys++], sizeof(charon->key_ids[0]), "%s", id);
	charon->key_loaded_us = world_now_us();
	look_in(charon, OFTEN_US);
}

void charon_keys_forget(struct charon *charon)
{
	charon->n_keys = 0;
	sd_event_source_set_enabled(charon->keys_timer, SD_EVENT_OFF);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/guestsfile.h"

#include "host/store.h"
#include "host/world.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_LINE "overlayd-admissions 1\n"
#define FIRST_LEN (sizeof(FIRST_LINE) - 1)

void guestsfile_begin(struct world *world)
{
	struct engine_event ev = {.type = ENGINE_EV_ADMISSIONS};
	const char *dir = world->options.state_dir, *why = NULL;
	char *file = NULL;
	size_t len = 0;
	int ret =
	        state_read(dir, STATE_ADMISSIONS, FIRST_LEN + ENGINE_ADMISSIONS_BYTES, &file, &len);

	if (ret == -ENOENT)
		return;
	if (ret)
		why = strerror(-ret);
	else if (len < FIRST_LEN || memcmp(file, FIRST_LINE, FIRST_LEN) != 0)
		why = "it does not begin as such a file does";
	if (why) {
		log_warning("%s/" STATE_ADMISSIONS ": the guests that were kept cannot be read "
		            "(%s): the seeds tell of them again",
		        dir, why);
	} else {
		ev.admissions.data = (const uint8_t *)file + FIRST_LEN;
		ev.admissions.len = len - FIRST_LEN;
		world_event(world, &ev);
	}
	free(file);
}

static void on_stored(void *user, uint64_t id, int error)
{
	char text[ENGINE_TEXT_MAX] = "";
	struct world *world = user;

	if (error)
		snprintf(text, sizeof(text), "%s/" STATE_ADMISSIONS ": %s",
		        world->options.state_dir,
		        error == -ECANCELED ? "a later one came" : strerror(-error));
	world_result(world, id, error, text);
}

void guestsfile_store(struct world *world, const struct engine_effect *fx)
{
	size_t len = FIRST_LEN + fx->admissions.len;
	char *copy;

	if (!fx->admissions.len) {
		store_remove_then(world->store, STATE_ADMISSIONS, on_stored, world, fx->id);
		return;
	}
	copy = malloc(len);
	if (copy) {
		memcpy(copy, FIRST_LINE, FIRST_LEN);
		memcpy(copy + FIRST_LEN, fx->admissions.data, fx->admissions.len);
	}
	store_write_then(world->store, STATE_ADMISSIONS, copy, len, on_stored, world, fx->id);
}

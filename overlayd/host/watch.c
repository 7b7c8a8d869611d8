/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/watch.h"

#include "client/paths.h"

#include <errno.h>
#include <libgen.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <time.h>
#include <unistd.h>

#define QUIET_US 100000U
#define AT_MOST_US 2000000U

enum { WATCH_PARENT, WATCH_DIR, WATCH_PEERS, WATCH_TOKENS, WATCHES };

struct watch {
	int fd;
	char *paths[WATCHES];
	char *base; /* the directory's name in its parent */
	int wd[WATCHES];
	sd_event_source *io;
	sd_event_source *timer;
	uint64_t first_us; /* of the changes that are not told yet; 0: none */
	void (*changed)(void *user);
	void *user;
};

/* Directories may have been replaced: the same path, another inode. Adding again is harmless. */
static void watch_arm(struct watch *watch)
{
	for (int i = 0; i < WATCHES; i++) {
		int wd = inotify_add_watch(watch->fd, watch->paths[i],
		        IN_CLOSE_WRITE | IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO |
		                IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR);

		if (watch->wd[i] >= 0 && wd != watch->wd[i])
			(void)inotify_rm_watch(watch->fd, watch->wd[i]);
		watch->wd[i] = wd;
	}
}

static bool name_matters(const struct watch *watch, const struct inotify_event *ev)
{
	size_t len = ev->len ? strlen(ev->name) : 0;

	if (ev->mask & (IN_Q_OVERFLOW | IN_DELETE_SELF | IN_MOVE_SELF | IN_UNMOUNT))
		return true;
	if (ev->mask & IN_IGNORED)
		return false;
	if (ev->wd == watch->wd[WATCH_PARENT] && len && strcmp(ev->name, watch->base) == 0)
		return true;
	if (ev->wd == watch->wd[WATCH_PARENT] && ev->wd != watch->wd[WATCH_DIR])
		return false;
	if (len && (strcmp(ev->name, OVERLAY_PEERS_DIR) == 0 ||
	                   strcmp(ev->name, OVERLAY_TOKENS_DIR) == 0))
		return true;
	if (len && strcmp(ev->name, OVERLAY_CLUSTER_PUB) == 0)
		return true;
	return len > 5 && strcmp(ev->name + len - 5, ".yaml") == 0;
}

static int on_quiet(sd_event_source *source, uint64_t usec, void *user)
{
	struct watch *watch = user;

	(void)source, (void)usec;
	watch->first_us = 0;
	watch_arm(watch);
	watch->changed(watch->user);
	return 0;
}

static void wait_for_quiet(struct watch *watch)
{
	uint64_t now = 0;
	uint64_t when;

	sd_event_now(sd_event_source_get_event(watch->io), CLOCK_MONOTONIC, &now);
	if (!watch->first_us)
		watch->first_us = now;
	when = now + QUIET_US;
	if (when > watch->first_us + AT_MOST_US)
		when = watch->first_us + AT_MOST_US;
	sd_event_source_set_time(watch->timer, when);
	sd_event_source_set_enabled(watch->timer, SD_EVENT_ONESHOT);
}

static int on_inotify(sd_event_source *source, int fd, uint32_t revents, void *user)
{
	char buf[4096] __attribute__((aligned(__alignof__(struct inotify_event))));
	struct watch *watch = user;
	bool matters = false;
	ssize_t n;

	(void)source, (void)revents;
	n = read(fd, buf, sizeof(buf));
	for (ssize_t at = 0; at < n;) {
		const struct inotify_event *ev = (const void *)(buf + at);

		matters |= name_matters(watch, ev);
		at += (ssize_t)(sizeof(*ev) + ev->len);
	}
	if (matters)
		wait_for_quiet(watch);
	return 0;
}

static int paths_make(struct watch *watch, const char *dir)
{
	char full[PATH_MAX];
	char *copy;

	/* The parent of "etc" or "." is only known from the whole path. */
	if (!realpath(dir, full) && snprintf(full, sizeof(full), "%s", dir) >= (int)sizeof(full))
		return -ENAMETOOLONG;
	watch->paths[WATCH_DIR] = strdup(dir);
	copy = strdup(full);
	watch->paths[WATCH_PARENT] = copy ? strdup(dirname(copy)) : NULL;
	free(copy);
	copy = strdup(full);
	watch->base = copy ? strdup(basename(copy)) : NULL;
	free(copy);
	if (asprintf(&watch->paths[WATCH_PEERS], "%s/" OVERLAY_PEERS_DIR, dir) < 0)
		watch->paths[WATCH_PEERS] = NULL;
	if (asprintf(&watch->paths[WATCH_TOKENS], "%s/" OVERLAY_TOKENS_DIR, dir) < 0)
		watch->paths[WATCH_TOKENS] = NULL;
	for (int i = 0; i < WATCHES; i++)
		if (!watch->paths[i])
			return -ENOMEM;
	return watch->base ? 0 : -ENOMEM;
}

int watch_new(sd_event *event, const char *dir, void (*changed)(void *user), void *user,
        struct watch **out)
{
	struct watch *watch = calloc(1, sizeof(*watch));
	int err;

	if (!watch)
		return -ENOMEM;
	watch->changed = changed;
	watch->user = user;
	memset(watch->wd, -1, sizeof(watch->wd));
	watch->fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	err = watch->fd < 0 ? -errno : paths_make(watch, dir);
	if (!err)
		err = sd_event_add_io(event, &watch->io, watch->fd, EPOLLIN, on_inotify, watch);
	if (err >= 0)
		err = sd_event_add_time(
		        event, &watch->timer, CLOCK_MONOTONIC, UINT64_MAX, 1000, on_quiet, watch);
	if (err >= 0)
		err = sd_event_source_set_enabled(watch->timer, SD_EVENT_OFF);
	if (err < 0) {
		watch_free(watch);
		return err;
	}
	watch_arm(watch);
	*out = watch;
	return 0;
}

void watch_free(struct watch *watch)
{
	if (!watch)
		return;
	sd_event_source_disable_unref(watch->io);
	sd_event_source_disable_unref(watch->timer);
	if (watch->fd >= 0)
		close(watch->fd);
	for (int i = 0; i < WATCHES; i++)
		free(watch->paths[i]);
	free(watch->base);
	free(watch);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Watches the policy's directory (inotify): policy.yaml, peers.d/, tokens.d/ and what is in them.
 *
 * `changed` is called from the loop once things have been quiet for 100 ms (but at most 2 s after
 * the first change), so that an rsync or a git checkout is one change. Directories that are
 * replaced (moved away, made anew, or made later) are found again by their parent. What matters is
 * a name that ends in ".yaml"; an editor's swap files do not wake us.
 */
#ifndef OVERLAYD_HOST_WATCH_H
#define OVERLAYD_HOST_WATCH_H

#include <systemd/sd-event.h>

struct watch;

int watch_new(sd_event *event, const char *dir, void (*changed)(void *user), void *user,
        struct watch **out);
void watch_free(struct watch *watch);

#endif

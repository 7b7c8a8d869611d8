/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Tells when somebody sets the wall clock: peers' hours go by it. */
#ifndef OVERLAYD_HOST_CLOCKSET_H
#define OVERLAYD_HOST_CLOCKSET_H

#include <systemd/sd-event.h>

struct clockset;

/* `changed` is called from the loop after each jump (settimeofday, a step of NTP), not for slewing.
 * Errors: those of timerfd_create(2) and sd_event_add_io(3). */
int clockset_new(sd_event *event, void (*changed)(void *user), void *user, struct clockset **out);
void clockset_free(struct clockset *clockset);

#endif

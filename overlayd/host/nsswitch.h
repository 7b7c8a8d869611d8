/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Whom the C library asks for names of hosts (nsswitch.conf(5)), and how one service is left out.
 *
 * A peer's endpoint may be a name, and often the one that libnss_overlay knows too: there it means
 * the address inside, to which no tunnel can be built. So who looks up endpoints does not ask it.
 */
#ifndef OVERLAYD_HOST_NSSWITCH_H
#define OVERLAYD_HOST_NSSWITCH_H

#include <stdbool.h>

/*
 * text: of nsswitch.conf. Returns what its hosts line names, without this service and the actions
 * behind it; "files" if that is all. NULL: the service is not in it, or out of memory. free() it.
 */
char *nsswitch_hosts_without(const char *text, const char *service);

/* Does this machine ask the service for hosts? */
bool nsswitch_asks(const char *service);
/* From here on this process does not ask the service for hosts. */
void nsswitch_leave_out(const char *service);

#endif

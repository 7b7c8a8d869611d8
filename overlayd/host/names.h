/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Names to addresses, without holding up the loop.
 *
 * Each look-up is a short-lived process of its own that calls getaddrinfo(), so that all of the
 * system's ways (hosts file, DNS, mDNS) count. Not getaddrinfo_a(): its threads cannot be ended at
 * a deadline and leave their memory arenas in the daemon. The helper has no rights, no open files
 * but its pipe and ends after 10 s at the latest. At most 4 run at a time, the others wait in line.
 */
#ifndef OVERLAYD_HOST_NAMES_H
#define OVERLAYD_HOST_NAMES_H

#include "engine/engine.h"

struct world;
struct names;

int names_new(struct world *world, struct names **out);
void names_free(struct names *names);
/* ENGINE_FX_RESOLVE */
void names_run(struct names *names, const struct engine_effect *fx);
/* Some are not answered yet. */
bool names_busy(const struct names *names);

#endif

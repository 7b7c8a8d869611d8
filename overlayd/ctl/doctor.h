/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * doctor: what overlayctl can see by itself. Each function adds checks
 * {"name", "level", "text", "mend"} to a JSON array, as the daemon's "doctor" does.
 */
#ifndef OVERLAYD_CTL_DOCTOR_H
#define OVERLAYD_CTL_DOCTOR_H

#include "ctl/ctl.h"

__attribute__((format(printf, 5, 6))) void doctor_add(json_t *checks, const char *name,
        const char *level, const char *mend, const char *format, ...);

void doctor_files(struct ctl *ctl, json_t *checks); /* doctor_files.c: rights, policy, zoneinfo */
void doctor_machine(
        struct ctl *ctl, json_t *checks); /* doctor_machine.c: kernel, ports, MTU, clock */

#endif

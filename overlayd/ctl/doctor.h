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

/* Rights, node key, policy, time zones: doctor_files.c */
void doctor_files(struct ctl *ctl, json_t *checks);
/* The UDP port of the policy's files, or the usual one. */
uint16_t doctor_policy_port(struct ctl *ctl);

/* charon's settings, as its files have them: doctor_charon.c */
void doctor_charon(json_t *checks);

/* Kernel, MTU, clock: doctor_machine.c */
void doctor_machine(json_t *checks);
/* Is that port bound? Only asked where no daemon tells it. */
void doctor_port(json_t *checks, uint16_t port);

#endif

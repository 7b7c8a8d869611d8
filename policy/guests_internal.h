/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What guests.c and guests_check.c share. */
#ifndef OVERLAYD_POLICY_GUESTS_INTERNAL_H
#define OVERLAYD_POLICY_GUESTS_INTERNAL_H

#include "policy/guests.h"
#include "policy/internal.h"

/* As host names are compared: A to Z are a to z. */
void pol_name_lower(const char *name, char lower[POLICY_NAME_MAX + 1]);
/* NAME of NAME.CLUSTER; false: it is none. */
bool pol_name_head(const struct policy *policy, const char *name, char head[POLICY_NAME_MAX + 1]);

#endif

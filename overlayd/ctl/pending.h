/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Newcomers that wait for an admin, found by what the admin types. */
#ifndef OVERLAYD_CTL_PENDING_H
#define OVERLAYD_CTL_PENDING_H

#include "ctl/ctl.h"

#define PENDING_PREFIX_MIN 8 /* letters of a fingerprint behind "SHA256:" */

/* Is it meant as a fingerprint, or the beginning of one, and not as a key? */
bool pending_is_fingerprint(const char *text);
/*
 * The one key whose fingerprint begins so, and whose name this is (NULL: any of its names): an entry
 * of it, the caller's. An exit code: CTL_USAGE: too short; CTL_FAILED: none, or several; told.
 */
int pending_find(struct ctl *ctl, const char *name, const char *prefix, json_t **entry);

#endif

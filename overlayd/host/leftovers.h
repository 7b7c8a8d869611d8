/* SPDX-License-Identifier: GPL-2.0-or-later */
/* SAs in the kernel whose charon is gone. */
#ifndef OVERLAYD_HOST_LEFTOVERS_H
#define OVERLAYD_HOST_LEFTOVERS_H

#include <stdint.h>

/*
 * Ends the outbound ESP SAs that bear this if_id. To be called only while no charon has SAs or
 * connections of ours, so that none of these is in use. How many, or a negative errno.
 */
int leftovers_end(uint32_t if_id);

#endif

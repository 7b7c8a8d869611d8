/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a struct fw remembers between calls. */
#ifndef FIREWALL_COMMIT_H
#define FIREWALL_COMMIT_H

#include "firewall/netlink.h"
#include "firewall/shape.h"

struct fw {
	struct nlsock s;
	struct fw_ruleset *applied; /* what the kernel confirmed, or NULL: not known */
	struct shape shape;         /* its shape */
};

#endif

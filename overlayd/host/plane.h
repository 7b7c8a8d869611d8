/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The data plane: the device through which overlay packets go into their SAs and come out.
 *
 * Two kinds, alike from above: kernel ESP behind an XFRM interface (ovl0, bound to its SAs by
 * if_id), or strongSwan's kernel-libipsec, a TUN device (ipsec0) that charon makes and that goes
 * away with it. What only one can do is asked, not assumed. Which one is in use follows from what
 * the kernel can and what charon has loaded: see plane_choose().
 */
#ifndef OVERLAYD_HOST_PLANE_H
#define OVERLAYD_HOST_PLANE_H

#include "host/rtnl.h"
#include <stddef.h>

struct plane {
	const char *name; /* "xfrm", "libipsec" */
	uint32_t if_id;   /* for every SA and policy; 0: none */
	uint32_t mtu;     /* the most that its device may have */
	bool traps;       /* can make a tunnel when the first packet wants one */
	bool integrity;   /* can do integrity without encryption (GMAC) */
	bool shared;      /* all of charon's SAs end in its device, those of others too */
	bool secpath;     /* the kernel itself knows which packets came out of an SA */
	/* Can this kernel do it? 0, or a negative errno and one sentence that says what lacks. */
	int (*probe)(struct rtnl *rt, char *why, size_t size);
	/*
	 * The device, made if that is ours to do, up and with this MTU. *out comes with the one
	 * in use, index 0: none. 1: *out filled; 0: not there now (wait for RTNL_CHANGED_LINK);
	 * negative errno, why in one sentence.
	 */
	int (*ensure)(struct rtnl *rt, uint32_t mtu, struct rtnl_link *out, char *why, size_t size);
	/* As leftovers.h says; NULL: nothing outlives charon. */
	int (*leftovers)(uint32_t if_id);
	/* Takes away what ensure made. */
	int (*remove)(struct rtnl *rt);
};

extern const struct plane plane_libipsec;
extern const struct plane plane_xfrm;

enum plane_wish { PLANE_AUTO, PLANE_LIBIPSEC, PLANE_XFRM };

/* "auto", "libipsec", "xfrm"; -EINVAL. */
int plane_wish_parse(const char *text);

/*
 * charon_libipsec: charon has kernel-libipsec loaded, so its SAs are there and nowhere else.
 * NULL if none will do. `why` always gets one sentence: why this one, or what lacks.
 */
const struct plane *plane_choose(
        struct rtnl *rt, enum plane_wish wish, bool charon_libipsec, char *why, size_t size);

#endif

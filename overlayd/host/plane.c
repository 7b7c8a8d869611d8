/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/plane.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

int plane_wish_parse(const char *text)
{
	if (strcmp(text, "auto") == 0)
		return PLANE_AUTO;
	if (strcmp(text, "libipsec") == 0)
		return PLANE_LIBIPSEC;
	if (strcmp(text, "xfrm") == 0)
		return PLANE_XFRM;
	return -EINVAL;
}

static const struct plane *choose_libipsec(
        bool charon_libipsec, enum plane_wish wish, char *why, size_t size, const char *kernel_why)
{
	if (charon_libipsec) {
		snprintf(why, size, "kernel-libipsec, because %s",
		        wish == PLANE_LIBIPSEC ? "--plane libipsec asks for it" : kernel_why);
		return &plane_libipsec;
	}
	snprintf(why, size,
	        "%s, and charon has not loaded kernel-libipsec: set "
	        "charon.plugins.kernel-libipsec.load = yes and restart charon",
	        wish == PLANE_LIBIPSEC ? "--plane libipsec asks for it" : kernel_why);
	return NULL;
}

const struct plane *plane_choose(
        struct rtnl *rt, enum plane_wish wish, bool charon_libipsec, char *why, size_t size)
{
	char lacks[256] = "";
	int err;

	if (wish == PLANE_LIBIPSEC)
		return choose_libipsec(charon_libipsec, wish, why, size, "");
	err = plane_xfrm.probe(rt, lacks, sizeof(lacks));
	if (charon_libipsec) {
		/* Its SAs never reach the kernel, whatever the kernel could do. */
		if (wish == PLANE_XFRM) {
			snprintf(why, size,
			        "--plane xfrm asks for kernel ESP, but charon has kernel-libipsec "
			        "loaded: set charon.plugins.kernel-libipsec.load = no and restart "
			        "charon");
			return NULL;
		}
		return choose_libipsec(true, wish, why, size,
		        err ? lacks : "charon has it loaded (kernel ESP would be faster)");
	}
	if (!err) {
		snprintf(why, size, "kernel ESP: the kernel offers ESP and XFRM interfaces");
		return &plane_xfrm;
	}
	if (wish == PLANE_XFRM) {
		snprintf(why, size, "--plane xfrm asks for kernel ESP, but %s", lacks);
		return NULL;
	}
	return choose_libipsec(false, wish, why, size, lacks);
}

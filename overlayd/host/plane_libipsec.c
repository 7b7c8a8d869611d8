/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * strongSwan's kernel-libipsec: ESP in charon's own process, behind a TUN device.
 *
 * charon makes the device when it starts and the kernel takes it away when charon ends; its name
 * is compiled in: "ipsec" and the first free number. So all we do is find it, and set it right
 * each time it comes. Traps and GMAC do not work there (5.9.8: tried).
 */
#include "host/plane.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int libipsec_probe(struct rtnl *rt, char *why, size_t size)
{
	(void)rt;
	if (access("/dev/net/tun", F_OK) == 0)
		return 0;
	snprintf(why, size, "there is no /dev/net/tun (modprobe tun)");
	return -ENODEV;
}

/* The one in use stays ours, whatever else comes up beside it. */
static int device_find(struct rtnl *rt, struct rtnl_link *out)
{
	struct rtnl_link link;

	if (rtnl_link_by_index(rt, out->index, &link) == 1 && link.carrier && !link.lent &&
	        strcmp(link.kind, "tun") == 0 && strcmp(link.name, out->name) == 0) {
		*out = link;
		return 1;
	}
	return rtnl_link_by_kind(rt, "tun", "ipsec", out);
}

static int libipsec_ensure(
        struct rtnl *rt, uint32_t mtu, struct rtnl_link *out, char *why, size_t size)
{
	int ret = device_find(rt, out);
	int err;

	if (ret == -ENOTUNIQ) {
		snprintf(why, size,
		        "there are several TUN devices named ipsec0, ipsec1, ...: which one is "
		        "charon's cannot be told; end the other program that has one (another "
		        "VPN), then restart charon");
		return ret;
	}
	if (ret < 0) {
		snprintf(why, size, "cannot look for charon's TUN device: %s", strerror(-ret));
		return ret;
	}
	if (ret == 0) {
		snprintf(why, size, "charon's TUN device (ipsec0) is not there");
		return 0;
	}
	err = rtnl_link_adjust(rt, out, mtu);
	if (err < 0) {
		snprintf(why, size, "cannot set %s up with MTU %u: %s", out->name, mtu,
		        strerror(-err));
		return err == -ENODEV ? 0 : err;
	}
	out->mtu = mtu;
	out->up = true;
	return 1;
}

static int libipsec_remove(struct rtnl *rt)
{
	(void)rt; /* it is charon's */
	return 0;
}

const struct plane plane_libipsec = {
        .name = "libipsec",
        .mtu = 1400, /* charon reads no more from its TUN: what is larger would be cut off */
        .shared = true,
        .probe = libipsec_probe,
        .ensure = libipsec_ensure,
        .remove = libipsec_remove,
};

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Kernel ESP behind an XFRM interface, "ovl0", whose if_id every SA and policy of ours bears.
 *
 * Whether the kernel can is found by trying: an interface and an SA (AES-GCM in UDP, on lo) are
 * made and taken away at once; that loads the modules, too. Source: linux/xfrm.h, linux/if_link.h.
 */
#include "host/plane.h"

#include "host/leftovers.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_link.h>
#include <linux/ip.h>
#include <linux/udp.h>
#include <linux/xfrm.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define XFRM_DEVICE "ovl0"
#define XFRM_PROBE "ovlprobe"
#define XFRM_IF_ID 0x4f564cU /* "OVL" */
#define XFRM_PROBE_IF_ID 0x4f5650U
#define PROBE_SPI 0x4f565001U

static int device_add(struct rtnl *rt, const char *name, uint32_t if_id)
{
	struct rtnl_request req;
	struct ifinfomsg *ifi;
	struct nlattr *info;
	struct nlattr *data;

	ifi = rtnl_request_init(&req, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, sizeof(*ifi));
	ifi->ifi_family = AF_UNSPEC;
	mnl_attr_put_strz(req.nlh, IFLA_IFNAME, name);
	info = mnl_attr_nest_start(req.nlh, IFLA_LINKINFO);
	mnl_attr_put_strz(req.nlh, IFLA_INFO_KIND, "xfrm");
	data = mnl_attr_nest_start(req.nlh, IFLA_INFO_DATA);
	mnl_attr_put_u32(req.nlh, IFLA_XFRM_IF_ID, if_id);
	mnl_attr_nest_end(req.nlh, data);
	mnl_attr_nest_end(req.nlh, info);
	return rtnl_request_send(rt, &req);
}

/* Whether device_no_foreign() is still to be done. */
static bool device_has_foreign(void)
{
	char c = 0;
	int fd = open("/proc/sys/net/ipv4/conf/" XFRM_DEVICE "/disable_xfrm", O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return false;
	if (read(fd, &c, 1) != 1)
		c = 0;
	close(fd);
	return c == '0';
}

/*
 * What is routed into the device is for our policies alone. The kernel would ask those of others
 * (without an if_id) first: one for 0.0.0.0/0 takes all that is for the overlay, and our table then
 * drops it. Source: ip-sysctl, disable_xfrm; there is none for IPv6.
 */
static int device_no_foreign(struct rtnl *rt, uint32_t index)
{
	struct rtnl_request req;
	struct ifinfomsg *ifi = rtnl_request_init(&req, RTM_SETLINK, 0, sizeof(*ifi));
	struct nlattr *spec, *family, *conf;

	ifi->ifi_family = AF_UNSPEC;
	ifi->ifi_index = (int)index;
	spec = mnl_attr_nest_start(req.nlh, IFLA_AF_SPEC);
	family = mnl_attr_nest_start(req.nlh, AF_INET);
	conf = mnl_attr_nest_start(req.nlh, IFLA_INET_CONF);
	mnl_attr_put_u32(req.nlh, IPV4_DEVCONF_NOXFRM, 1);
	mnl_attr_nest_end(req.nlh, conf);
	mnl_attr_nest_end(req.nlh, family);
	mnl_attr_nest_end(req.nlh, spec);
	return rtnl_request_send(rt, &req);
}

static int device_del(struct rtnl *rt, const char *name)
{
	struct rtnl_request req;
	struct ifinfomsg *ifi;

	ifi = rtnl_request_init(&req, RTM_DELLINK, 0, sizeof(*ifi));
	ifi->ifi_family = AF_UNSPEC;
	mnl_attr_put_strz(req.nlh, IFLA_IFNAME, name);
	return rtnl_request_send(rt, &req);
}

/* ---- probe ------------------------------------------------------------------------------ */

static int xfrm_ask(struct mnl_socket *sock, struct nlmsghdr *nlh)
{
	char buf[8192];
	ssize_t n;

	nlh->nlmsg_seq = 1;
	if (mnl_socket_sendto(sock, nlh, nlh->nlmsg_len) < 0)
		return -errno;
	n = mnl_socket_recvfrom(sock, buf, sizeof(buf));
	if (n < 0)
		return -errno;
	return mnl_cb_run(buf, (size_t)n, 1, mnl_socket_get_portid(sock), NULL, NULL) < 0 ? -errno
	                                                                                  : 0;
}

static struct nlmsghdr *sa_message(char *buf, uint16_t type)
{
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);

	nlh->nlmsg_type = type;
	nlh->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
	return nlh;
}

static int sa_add(struct mnl_socket *sock)
{
	/* The key is all zero: it exists for a moment, between addresses that nobody has. */
	_Alignas(struct xfrm_algo_aead) char room[sizeof(struct xfrm_algo_aead) + 36] = {0};
	struct xfrm_algo_aead *aead = (void *)room;
	struct xfrm_encap_tmpl encap = {.encap_type = UDP_ENCAP_ESPINUDP,
	        .encap_sport = htons(4500),
	        .encap_dport = htons(4500)};
	char buf[1024];
	struct nlmsghdr *nlh = sa_message(buf, XFRM_MSG_NEWSA);
	struct xfrm_usersa_info *sa = mnl_nlmsg_put_extra_header(nlh, sizeof(*sa));

	snprintf(aead->alg_name, sizeof(aead->alg_name), "rfc4106(gcm(aes))");
	aead->alg_key_len = 36 * 8;
	aead->alg_icv_len = 128;
	sa->id.daddr.a4 = htonl(0x7f4f564c);
	sa->saddr.a4 = htonl(0x7f4f564d);
	sa->id.spi = htonl(PROBE_SPI);
	sa->id.proto = IPPROTO_ESP;
	sa->family = AF_INET;
	sa->mode = XFRM_MODE_TUNNEL;
	sa->lft.soft_byte_limit = sa->lft.hard_byte_limit = XFRM_INF;
	sa->lft.soft_packet_limit = sa->lft.hard_packet_limit = XFRM_INF;
	mnl_attr_put(nlh, XFRMA_ALG_AEAD, sizeof(room), room);
	mnl_attr_put(nlh, XFRMA_ENCAP, sizeof(encap), &encap);
	mnl_attr_put_u32(nlh, XFRMA_IF_ID, XFRM_PROBE_IF_ID);
	return xfrm_ask(sock, nlh);
}

static int sa_del(struct mnl_socket *sock)
{
	char buf[256];
	struct nlmsghdr *nlh = sa_message(buf, XFRM_MSG_DELSA);
	struct xfrm_usersa_id *id = mnl_nlmsg_put_extra_header(nlh, sizeof(*id));

	id->daddr.a4 = htonl(0x7f4f564c);
	id->spi = htonl(PROBE_SPI);
	id->proto = IPPROTO_ESP;
	id->family = AF_INET;
	return xfrm_ask(sock, nlh);
}

static int probe_esp(void)
{
	struct mnl_socket *sock = mnl_socket_open2(NETLINK_XFRM, SOCK_CLOEXEC);
	struct timeval limit = {.tv_sec = 5};
	int err;

	if (!sock)
		return -errno;
	setsockopt(mnl_socket_get_fd(sock), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	err = mnl_socket_bind(sock, 0, MNL_SOCKET_AUTOPID) < 0 ? -errno : sa_add(sock);
	if (!err)
		(void)sa_del(sock);
	mnl_socket_close(sock);
	return err;
}

static int xfrm_probe(struct rtnl *rt, char *why, size_t size)
{
	struct rtnl_link link;
	int err = rtnl_link_by_name(rt, XFRM_DEVICE, &link) == 1 ? 0 : -ENODEV;

	if (err) {
		err = device_add(rt, XFRM_PROBE, XFRM_PROBE_IF_ID);
		if (!err || err == -EEXIST)
			err = device_del(rt, XFRM_PROBE);
	}
	if (err) {
		snprintf(why, size, "the kernel has no XFRM interfaces (%s)", strerror(-err));
		return err;
	}
	err = probe_esp();
	if (err && err != -EEXIST) {
		snprintf(why, size, "the kernel has no ESP with AES-GCM (%s)", strerror(-err));
		return err;
	}
	return 0;
}

/* ---- the device --------------------------------------------------------------------------- */

static int xfrm_ensure(struct rtnl *rt, uint32_t mtu, struct rtnl_link *out, char *why, size_t size)
{
	int ret = rtnl_link_by_name(rt, XFRM_DEVICE, out);
	int err;

	if (ret == 1 && (strcmp(out->kind, "xfrm") != 0 || out->if_id != XFRM_IF_ID)) {
		snprintf(why, size,
		        "there is another device named " XFRM_DEVICE
		        ": remove it (ip link del " XFRM_DEVICE ")");
		return -EEXIST;
	}
	if (ret == 0) {
		err = device_add(rt, XFRM_DEVICE, XFRM_IF_ID);
		if (err && err != -EEXIST) {
			snprintf(why, size, "cannot make the XFRM interface " XFRM_DEVICE ": %s",
			        strerror(-err));
			return err;
		}
		ret = rtnl_link_by_name(rt, XFRM_DEVICE, out);
	}
	if (ret < 0) {
		snprintf(why, size, "cannot look at " XFRM_DEVICE ": %s", strerror(-ret));
		return ret;
	}
	if (ret == 0)
		return 0;
	err = rtnl_link_adjust(rt, out, mtu);
	if (err < 0) {
		snprintf(why, size, "cannot set " XFRM_DEVICE " up with MTU %u: %s", mtu,
		        strerror(-err));
		return err;
	}
	if (device_has_foreign())
		(void)device_no_foreign(rt, out->index); /* without it nothing leaks */
	out->mtu = mtu;
	out->up = true;
	return 1;
}

static int xfrm_remove(struct rtnl *rt)
{
	struct rtnl_link link;

	if (rtnl_link_by_name(rt, XFRM_DEVICE, &link) != 1 || strcmp(link.kind, "xfrm") != 0 ||
	        link.if_id != XFRM_IF_ID)
		return 0;
	return device_del(rt, XFRM_DEVICE);
}

const struct plane plane_xfrm = {
        .name = "xfrm",
        .if_id = XFRM_IF_ID,
        .mtu = 1415, /* 1500 less what ESP in UDP over IPv6 adds */
        .traps = true,
        .integrity = true,
        .secpath = true,
        .probe = xfrm_probe,
        .ensure = xfrm_ensure,
        .leftovers = leftovers_end,
        .remove = xfrm_remove,
};

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/rtnl.h"

#include <errno.h>
#include <linux/fib_rules.h>
#include <linux/if_link.h>
#include <linux/netlink.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

struct rtnl {
	struct mnl_socket *ask;
	struct mnl_socket *hear;
	uint32_t ask_port;
	uint32_t table;
	uint32_t seq;
	char buf[32768]; /* the kernel sends dumps in pieces of at most this */
};

static int monitor_open(struct rtnl *rt)
{
	static const unsigned int groups[] = {RTNLGRP_LINK, RTNLGRP_IPV4_IFADDR,
	        RTNLGRP_IPV6_IFADDR, RTNLGRP_IPV4_ROUTE, RTNLGRP_IPV6_ROUTE, RTNLGRP_IPV4_RULE,
	        RTNLGRP_IPV6_RULE};

	rt->hear = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (!rt->hear || mnl_socket_bind(rt->hear, 0, MNL_SOCKET_AUTOPID) < 0)
		return -errno;
	for (size_t i = 0; i < sizeof(groups) / sizeof(groups[0]); i++) {
		int group = (int)groups[i];

		if (mnl_socket_setsockopt(rt->hear, NETLINK_ADD_MEMBERSHIP, &group, sizeof(group)) <
		        0)
			return -errno;
	}
	return 0;
}

int rtnl_open(struct rtnl **out, uint32_t table)
{
	struct rtnl *rt = calloc(1, sizeof(*rt));
	struct timeval limit = {.tv_sec = 5};
	int one = 1;
	int err = 0;

	if (!rt)
		return -ENOMEM;
	rt->table = table;
	rt->ask = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
	if (!rt->ask || mnl_socket_bind(rt->ask, 0, MNL_SOCKET_AUTOPID) < 0)
		err = -errno;
	if (!err) {
		/* The kernel answers at once; the limit is for the day it does not. */
		setsockopt(
		        mnl_socket_get_fd(rt->ask), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
		/* Lets the kernel filter dumps by table; without it we filter ourselves. */
		mnl_socket_setsockopt(rt->ask, NETLINK_GET_STRICT_CHK, &one, sizeof(one));
		rt->ask_port = mnl_socket_get_portid(rt->ask);
		err = monitor_open(rt);
	}
	if (err) {
		rtnl_close(rt);
		return err;
	}
	*out = rt;
	return 0;
}

void rtnl_close(struct rtnl *rt)
{
	if (!rt)
		return;
	if (rt->ask)
		mnl_socket_close(rt->ask);
	if (rt->hear)
		mnl_socket_close(rt->hear);
	free(rt);
}

int rtnl_monitor_fd(const struct rtnl *rt)
{
	return mnl_socket_get_fd(rt->hear);
}

static uint32_t route_table(const struct nlmsghdr *nlh)
{
	const struct rtmsg *rtm = mnl_nlmsg_get_payload(nlh);
	const struct nlattr *attr;

	mnl_attr_for_each(attr, nlh, sizeof(*rtm))
		if (mnl_attr_get_type(attr) == RTA_TABLE)
			return mnl_attr_get_u32(attr);
	return rtm->rtm_table;
}

static unsigned int monitor_one(const struct rtnl *rt, const struct nlmsghdr *nlh)
{
	if (nlh->nlmsg_pid == rt->ask_port && nlh->nlmsg_pid != 0)
		return 0;
	switch (nlh->nlmsg_type) {
	case RTM_NEWLINK:
	case RTM_DELLINK:
		return RTNL_CHANGED_LINK;
	case RTM_NEWADDR:
	case RTM_DELADDR:
		return RTNL_CHANGED_ADDR;
	case RTM_NEWROUTE:
	case RTM_DELROUTE:
		if (mnl_nlmsg_get_payload_len(nlh) < sizeof(struct rtmsg))
			return 0;
		if (route_table(nlh) == RT_TABLE_MAIN)
			return RTNL_CHANGED_MAIN;
		return route_table(nlh) == rt->table ? RTNL_CHANGED_ROUTE : 0;
	case RTM_NEWRULE:
	case RTM_DELRULE:
		return RTNL_CHANGED_RULE;
	}
	return 0;
}

unsigned int rtnl_monitor_read(struct rtnl *rt)
{
	unsigned int changed = 0;

	/* Bounded, so that a storm of routes cannot hold up the loop: level-triggered, we return.
	 */
	for (int i = 0; i < 64; i++) {
		ssize_t n = mnl_socket_recvfrom(rt->hear, rt->buf, sizeof(rt->buf));
		const struct nlmsghdr *nlh = (const void *)rt->buf;
		int len = (int)n;

		if (n < 0 && (errno == ENOBUFS || errno == ENOSPC)) {
			changed |= RTNL_CHANGED_ALL;
			continue;
		}
		if (n <= 0)
			break;
		for (; mnl_nlmsg_ok(nlh, len); nlh = mnl_nlmsg_next(nlh, &len))
			changed |= monitor_one(rt, nlh);
	}
	return changed;
}

void *rtnl_request_init(struct rtnl_request *req, uint16_t type, uint16_t flags, size_t extra)
{
	req->nlh = mnl_nlmsg_put_header(req->buf);
	req->nlh->nlmsg_type = type;
	req->nlh->nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags);
	return mnl_nlmsg_put_extra_header(req->nlh, extra);
}

/* Reads until the answer to this sequence number is complete. */
static int answer_read(struct rtnl *rt, uint32_t seq, mnl_cb_t row, void *user)
{
	for (;;) {
		ssize_t n = mnl_socket_recvfrom(rt->ask, rt->buf, sizeof(rt->buf));
		const struct nlmsghdr *nlh = (const void *)rt->buf;
		int ret;

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN ? -ETIMEDOUT : -errno;
		/* What is left of an earlier request that was given up. */
		if ((size_t)n >= sizeof(*nlh) && nlh->nlmsg_seq != seq)
			continue;
		ret = mnl_cb_run(rt->buf, (size_t)n, seq, rt->ask_port, row, user);
		if (ret < 0)
			return -errno;
		if (ret == MNL_CB_STOP)
			return 0;
	}
}

int rtnl_request_query(struct rtnl *rt, struct rtnl_request *req, mnl_cb_t row, void *user)
{
	req->nlh->nlmsg_flags |= NLM_F_ACK;
	req->nlh->nlmsg_seq = ++rt->seq;
	if (mnl_socket_sendto(rt->ask, req->nlh, req->nlh->nlmsg_len) < 0)
		return -errno;
	return answer_read(rt, rt->seq, row, user);
}

int rtnl_request_send(struct rtnl *rt, struct rtnl_request *req)
{
	return rtnl_request_query(rt, req, NULL, NULL);
}

int rtnl_request_dump(struct rtnl *rt, struct rtnl_request *req, mnl_cb_t row, void *user)
{
	req->nlh->nlmsg_flags |= NLM_F_DUMP;
	req->nlh->nlmsg_seq = ++rt->seq;
	if (mnl_socket_sendto(rt->ask, req->nlh, req->nlh->nlmsg_len) < 0)
		return -errno;
	return answer_read(rt, rt->seq, row, user);
}

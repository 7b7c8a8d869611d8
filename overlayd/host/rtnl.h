/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * rtnetlink: ask the kernel for links, addresses, routes and rules, and hear when they change.
 *
 * One `struct rtnl` has two sockets. Requests go over the first and wait for the kernel's answer
 * (the kernel answers within the system call, so the loop is not held up). The second one listens;
 * changes that we made ourselves are not told. If the kernel lost notes for us (ENOBUFS), all
 * RTNL_CHANGED_* bits are told: look again. Source: rtnetlink(7), linux/rtnetlink.h.
 */
#ifndef OVERLAYD_HOST_RTNL_H
#define OVERLAYD_HOST_RTNL_H

#include <libmnl/libmnl.h>
#include <linux/rtnetlink.h>
#include <stdbool.h>
#include <stdint.h>

#define RTNL_CHANGED_LINK 1U
#define RTNL_CHANGED_ADDR 2U
#define RTNL_CHANGED_ROUTE 4U /* only of the table that was asked for */
#define RTNL_CHANGED_RULE 8U
#define RTNL_CHANGED_MAIN 16U /* routes of the main table */
#define RTNL_CHANGED_ALL 31U

struct rtnl;

/* table: the routing table whose changes are told. 0 or a negative errno. */
int rtnl_open(struct rtnl **out, uint32_t table);
void rtnl_close(struct rtnl *rt);
/* Readable when something changed. */
int rtnl_monitor_fd(const struct rtnl *rt);
/* Reads all that is there; RTNL_CHANGED_* bits (0: only what does not matter). */
unsigned int rtnl_monitor_read(struct rtnl *rt);

/* A request in the making; `nlh` is where attributes are put (mnl_attr_put...). */
struct rtnl_request {
	char buf[2048];
	struct nlmsghdr *nlh;
};
/* A message of `type` with `extra` zeroed bytes of family header, which it returns. */
void *rtnl_request_init(struct rtnl_request *req, uint16_t type, uint16_t flags, size_t extra);
/* Sends it and waits for the kernel's answer: 0 or its errno, negative. */
int rtnl_request_send(struct rtnl *rt, struct rtnl_request *req);
/* The same for a question with one answer: `row` is called for it. */
int rtnl_request_query(struct rtnl *rt, struct rtnl_request *req, mnl_cb_t row, void *user);
/*
 * Dumps; `row` is called for each message and returns 0 to go on. A dump that changed while it was
 * read (NLM_F_DUMP_INTR) is -EINTR: nothing of it may be used, read it again.
 */
int rtnl_request_dump(struct rtnl *rt, struct rtnl_request *req, mnl_cb_t row, void *user);

/* What the daemon needs to know of a link. */
struct rtnl_link {
	uint32_t index;
	uint32_t mtu;
	uint32_t if_id; /* of an XFRM interface */
	bool up;
	bool carrier; /* of a TUN: a process has it open */
	bool lent;    /* a TUN for an ordinary user, or one that stays without a process */
	char name[16];
	char kind[16]; /* "tun", "xfrm", ... or "" */
};
/* 1 found and *out filled; 0 no such link; negative errno. */
int rtnl_link_by_name(struct rtnl *rt, const char *name, struct rtnl_link *out);
int rtnl_link_by_index(struct rtnl *rt, uint32_t index, struct rtnl_link *out);
/* The one link of this kind, with carrier and not lent, whose name is prefix and digits. As above;
 * -ENOTUNIQ: there are several. */
int rtnl_link_by_kind(struct rtnl *rt, const char *kind, const char *prefix, struct rtnl_link *out);
/* Sets MTU and "up" if they differ. 1 changed, 0 not, negative errno. */
int rtnl_link_adjust(struct rtnl *rt, const struct rtnl_link *link, uint32_t mtu);

#endif

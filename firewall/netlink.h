/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Talking to nf_tables: one socket, batches that are one transaction each, dumps that are whole.
 * The kernel works off a batch inside sendmsg() and its answers are queued when that returns, so
 * "synchronous" costs no waiting; a deadline guards against what we did not foresee.
 */
#ifndef FIREWALL_NETLINK_H
#define FIREWALL_NETLINK_H

#include "firewall/firewall.h"

#include <sys/socket.h>
#include <linux/netlink.h>

struct mnl_socket;

/* mnl_nlmsg_ok() takes lengths of 2 GiB and more for negative, and so for good. */
static inline bool nl_message_ok(const struct nlmsghdr *nlh, int left)
{
	return left >= (int)sizeof(*nlh) && nlh->nlmsg_len >= sizeof(*nlh) &&
	       nlh->nlmsg_len <= (uint32_t)left;
}

struct nlsock {
	struct mnl_socket *nl;
	uint32_t portid;
	uint32_t seq;
};

int nlsock_open(struct nlsock *s, int bus, struct fw_error *err);
void nlsock_close(struct nlsock *s);

/* A batch grows as messages are put; `failed` is sticky (-ENOMEM). */
struct batch {
	char *buf;
	size_t len;
	size_t cap;
	uint32_t seq_first; /* of BATCH_BEGIN; messages follow one by one */
	uint32_t seq;
	unsigned messages; /* without begin and end */
	uint32_t set_id;   /* the last id given to a set of this batch */
	bool failed;
};

/* `generation` 0: any; else the kernel refuses (-ERESTART) if the ruleset changed since. */
void batch_begin(struct batch *b, uint32_t seq, uint32_t generation);
/* Room for one message of up to BATCH_ROOM bytes; NULL: failed. */
struct nlmsghdr *batch_put(struct batch *b, uint16_t type, uint16_t flags);
/* Ends the message that batch_put() gave, after its payload was written. */
void batch_seal(struct batch *b, const struct nlmsghdr *nlh);
void batch_clear(struct batch *b);
#define BATCH_ROOM ((size_t)1 << 17)

/* Sends the batch as one transaction and checks each acknowledgement. Nothing in it: sends nothing.
 * -ENOBUFS: answers were lost, the outcome is unknown. -ETIMEDOUT likewise. -ERESTART: see above.
 * Otherwise the kernel has done all of it (0) or nothing (its errno). */
int nlsock_commit(struct nlsock *s, struct batch *b, struct fw_error *err);

/* One dump: `type` (NFT_MSG_GET…), filtered by what `fill` adds. `cb` sees each message; its
 * non-zero return stops and is returned. -EINTR: the ruleset changed meanwhile (what `cb` saw is
 * void). */
struct dump {
	uint16_t type;
	bool single; /* not a dump: one object */
	void (*fill)(void *ctx, struct nlmsghdr *nlh);
	int (*cb)(void *ctx, const struct nlmsghdr *nlh);
	void *ctx;
};
int nlsock_dump(struct nlsock *s, const struct dump *d, struct fw_error *err);

/* The ruleset's generation now. */
int nlsock_generation(struct nlsock *s, uint32_t *out, struct fw_error *err);

#endif

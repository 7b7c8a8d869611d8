/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The nfnetlink socket: transactions with every answer checked, dumps read whole. */
/* libc's before the kernel's */
#include <netinet/in.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "firewall/netlink.h"
#include "firewall/ruleset.h"

#define ANSWER_MS 5000
#define RECV_SIZE (1 << 16)

int nlsock_open(struct nlsock *s, int bus, struct fw_error *err)
{
	struct nlsock n = {.seq = (uint32_t)fw_now_ms()};
	int on = 1, rc;

	n.nl = mnl_socket_open2(bus, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (!n.nl) {
		rc = -errno;
		return fw_fail(err, rc,
		        rc == -EPROTONOSUPPORT || rc == -EAFNOSUPPORT
		                ? "this kernel (or its syscall filter) has no netlink for "
		                  "nf_tables (%s): load the module nf_tables, allow AF_NETLINK"
		                : "cannot open a netlink socket: %s",
		        strerror(-rc));
	}
	if (mnl_socket_bind(n.nl, 0, MNL_SOCKET_AUTOPID) < 0) {
		rc = -errno;
		mnl_socket_close(n.nl);
		return fw_fail(err, rc, "cannot bind a netlink socket: %s", strerror(-rc));
	}
	n.portid = mnl_socket_get_portid(n.nl);
	/* Both only make answers better: an error need not repeat the message, and says what it
	 * meant. */
	mnl_socket_setsockopt(n.nl, NETLINK_CAP_ACK, &on, sizeof(on));
	mnl_socket_setsockopt(n.nl, NETLINK_EXT_ACK, &on, sizeof(on));
	*s = n;
	return 0;
}

void nlsock_close(struct nlsock *s)
{
	if (s->nl)
		mnl_socket_close(s->nl);
	s->nl = NULL;
}

/* ---- batches ---- */

static bool batch_reserve(struct batch *b, size_t room)
{
	size_t cap = b->cap ? b->cap : 4 * room;
	char *bigger;

	while (cap - b->len < room)
		cap *= 2;
	if (cap == b->cap)
		return true;
	bigger = realloc(b->buf, cap);
	if (!bigger) {
		b->failed = true;
		return false;
	}
	b->buf = bigger;
	b->cap = cap;
	return true;
}

static struct nlmsghdr *put_header(
        struct batch *b, uint16_t type, uint16_t flags, uint16_t res_id, uint8_t family)
{
	struct nlmsghdr *nlh;
	struct nfgenmsg *g;

	if (b->failed || !batch_reserve(b, BATCH_ROOM))
		return NULL;
	memset(b->buf + b->len, 0, NLMSG_HDRLEN + NLMSG_ALIGN(sizeof(*g)));
	nlh = mnl_nlmsg_put_header(b->buf + b->len);
	nlh->nlmsg_type = type;
	nlh->nlmsg_flags = NLM_F_REQUEST | flags;
	nlh->nlmsg_seq = b->seq++;
	g = mnl_nlmsg_put_extra_header(nlh, sizeof(*g));
	g->nfgen_family = family;
	g->version = NFNETLINK_V0;
	g->res_id = htons(res_id);
	return nlh;
}

void batch_seal(struct batch *b, const struct nlmsghdr *nlh)
{
	if (!b->failed)
		b->len += NLMSG_ALIGN(nlh->nlmsg_len);
}

void batch_begin(struct batch *b, uint32_t seq, uint32_t generation)
{
	struct nlmsghdr *nlh;

	*b = (struct batch){.seq = seq, .seq_first = seq};
	nlh = put_header(b, NFNL_MSG_BATCH_BEGIN, 0, NFNL_SUBSYS_NFTABLES, AF_UNSPEC);
	if (!nlh)
		return;
	if (generation)
		mnl_attr_put_u32(nlh, NFNL_BATCH_GENID, htonl(generation));
	batch_seal(b, nlh);
}

struct nlmsghdr *batch_put(struct batch *b, uint16_t type, uint16_t flags)
{
	b->messages++;
	return put_header(b, (uint16_t)(NFNL_SUBSYS_NFTABLES << 8 | type), NLM_F_ACK | flags, 0,
	        NFPROTO_INET);
}

void batch_clear(struct batch *b)
{
	free(b->buf);
	memset(b, 0, sizeof(*b));
}

static const char *message_name(const struct batch *b, uint32_t seq)
{
	static const char *const names[] = {
	        [NFT_MSG_NEWTABLE] = "make the table",
	        [NFT_MSG_DELTABLE] = "delete the table",
	        [NFT_MSG_NEWCHAIN] = "make a chain",
	        [NFT_MSG_DELCHAIN] = "delete a chain",
	        [NFT_MSG_NEWRULE] = "add a rule",
	        [NFT_MSG_DELRULE] = "empty a chain",
	        [NFT_MSG_NEWSET] = "make a set",
	        [NFT_MSG_DELSET] = "delete a set",
	        [NFT_MSG_NEWSETELEM] = "add set elements",
	        [NFT_MSG_DELSETELEM] = "delete set elements",
	};
	const struct nlmsghdr *nlh = (const void *)b->buf;
	int left = (int)b->len;

	for (; nl_message_ok(nlh, left); nlh = mnl_nlmsg_next(nlh, &left)) {
		unsigned type = nlh->nlmsg_type & 0xff;

		if (nlh->nlmsg_seq == seq && nlh->nlmsg_type >> 8 == NFNL_SUBSYS_NFTABLES &&
		        type < sizeof(names) / sizeof(*names) && names[type])
			return names[type];
	}
	return "run the transaction";
}

static const char *extended_text(const struct nlmsghdr *nlh)
{
	const struct nlmsgerr *e = mnl_nlmsg_get_payload(nlh);
	const struct nlattr *attr;
	size_t skip = sizeof(*e), room = nlh->nlmsg_len - NLMSG_HDRLEN;

	if (!(nlh->nlmsg_flags & NLM_F_ACK_TLVS))
		return NULL;
	if (!(nlh->nlmsg_flags & NLM_F_CAPPED) && e->msg.nlmsg_len > sizeof(e->msg))
		skip += e->msg.nlmsg_len - sizeof(e->msg);
	if (room < skip)
		return NULL;
	mnl_attr_for_each(attr, nlh, skip) {
		if (mnl_attr_get_type(attr) == NLMSGERR_ATTR_MSG &&
		        mnl_attr_validate(attr, MNL_TYPE_NUL_STRING) == 0)
			return mnl_attr_get_str(attr);
	}
	return NULL;
}

static int explain(const struct batch *b, const struct nlmsghdr *nlh, int rc, struct fw_error *err)
{
	const char *more = extended_text(nlh);

	if (rc == -EPERM)
		return fw_fail(err, rc,
		        "no right to change nftables: run as root or with CAP_NET_ADMIN in this "
		        "network namespace");
	if (rc == -ERESTART)
		return fw_fail(err, rc, "another program changed nftables at the same time");
	return fw_fail(err, rc, "the kernel refused to %s of table inet %s: %s%s%s",
	        message_name(b, nlh->nlmsg_seq), FW_TABLE, strerror(-rc), more ? ": " : "",
	        more ? more : "");
}

/* Waits until there is something to read, up to the deadline. */
static int await_answer(const struct nlsock *s, uint64_t deadline)
{
	struct pollfd p = {.fd = mnl_socket_get_fd(s->nl), .events = POLLIN};
	uint64_t now = fw_now_ms();
	int n;

	if (now >= deadline)
		return -ETIMEDOUT;
	n = poll(&p, 1, (int)(deadline - now));
	if (n < 0)
		return errno == EINTR ? 0 : -errno;
	return n ? 0 : -ETIMEDOUT;
}

/* One datagram from the kernel. -EAGAIN is waited for. */
static ssize_t receive(const struct nlsock *s, void *buf, size_t size, uint64_t deadline)
{
	for (;;) {
		ssize_t n = mnl_socket_recvfrom(s->nl, buf, size);
		int rc;

		if (n >= 0)
			return n;
		if (errno != EAGAIN && errno != EINTR)
			return -errno;
		rc = await_answer(s, deadline);
		if (rc < 0)
			return rc;
	}
}

static int send_batch(struct nlsock *s, const struct batch *b)
{
	int fd = mnl_socket_get_fd(s->nl);
	struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
	/* The kernel takes a transaction only as one datagram, and answers each message at once. */
	int out = (int)(b->len + b->len / 4 + 65536), in = (int)(b->messages * 1024 + (1 << 20));

	if (b->len > (size_t)1 << 29)
		return -EOVERFLOW;
	if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &out, sizeof(out)) < 0)
		setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &out, sizeof(out));
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &in, sizeof(in)) < 0)
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &in, sizeof(in));
	for (;;) {
		ssize_t n = sendto(fd, b->buf, b->len, 0, (void *)&kernel, sizeof(kernel));

		if (n == (ssize_t)b->len)
			return 0;
		if (n >= 0)
			return -EIO;
		if (errno != EINTR)
			return -errno;
	}
}

struct answers {
	const struct batch *b;
	struct fw_error *err;
	unsigned seen;
	int rc;    /* the first refusal */
	bool over; /* the kernel spoke of the whole batch */
};

static void take_answer(struct answers *a, const struct nlmsghdr *nlh)
{
	uint32_t index = nlh->nlmsg_seq - a->b->seq_first;
	const struct nlmsgerr *e;

	if (nlh->nlmsg_type != NLMSG_ERROR || index > a->b->messages + 1 ||
	        nlh->nlmsg_len < NLMSG_HDRLEN + sizeof(*e))
		return; /* not of this batch */
	e = mnl_nlmsg_get_payload(nlh);
	if (e->error && !a->rc)
		a->rc = explain(a->b, nlh, e->error, a->err);
	if (index == 0 || index == a->b->messages + 1)
		a->over = true;
	else
		a->seen++;
}

static int collect(struct nlsock *s, struct answers *a)
{
	uint64_t deadline = fw_now_ms() + ANSWER_MS;
	char buf[8192];

	while (a->seen < a->b->messages && !a->over) {
		ssize_t n = receive(s, buf, sizeof(buf), deadline);
		int left = (int)n;

		if (n < 0)
			return (int)n;
		for (const struct nlmsghdr *nlh = (void *)buf; nl_message_ok(nlh, left);
		        nlh = mnl_nlmsg_next(nlh, &left))
			if (mnl_nlmsg_portid_ok(nlh, s->portid))
				take_answer(a, nlh);
	}
	return a->rc;
}

int nlsock_commit(struct nlsock *s, struct batch *b, struct fw_error *err)
{
	struct answers a = {.b = b, .err = err};
	struct nlmsghdr *nlh;
	int rc;

	if (!b->messages && !b->failed)
		return 0;
	nlh = put_header(b, NFNL_MSG_BATCH_END, 0, NFNL_SUBSYS_NFTABLES, AF_UNSPEC);
	if (!nlh)
		return fw_fail(err, -ENOMEM, "out of memory for the firewall's transaction");
	batch_seal(b, nlh);
	s->seq = b->seq;
	rc = send_batch(s, b);
	if (rc < 0)
		return fw_fail(err, rc == -EMSGSIZE ? -EOVERFLOW : rc,
		        "cannot send the firewall's transaction of %zu bytes: %s", b->len,
		        strerror(-rc));
	rc = collect(s, &a);
	if (rc < 0 && rc != a.rc)
		fw_fail(err, rc, "lost the kernel's answers to the firewall's transaction: %s",
		        strerror(-rc));
	return rc;
}

/* ---- dumps ---- */

/* 1: go on. 0: the dump is complete. */
static int take_dumped(
        const struct nlsock *s, const struct dump *d, const struct nlmsghdr *nlh, uint32_t seq)
{
	const struct nlmsgerr *e = mnl_nlmsg_get_payload(nlh);
	int rc;

	if (!mnl_nlmsg_seq_ok(nlh, seq) || !mnl_nlmsg_portid_ok(nlh, s->portid))
		return 1; /* a late answer to something older */
	if (nlh->nlmsg_flags & NLM_F_DUMP_INTR)
		return -EINTR;
	if (nlh->nlmsg_type == NLMSG_DONE)
		return 0;
	if (nlh->nlmsg_type == NLMSG_ERROR)
		return nlh->nlmsg_len < NLMSG_HDRLEN + sizeof(*e) ? -EBADMSG : e->error;
	rc = d->cb(d->ctx, nlh);
	return rc ? rc : d->single ? 0 : 1;
}

static int read_dump(struct nlsock *s, const struct dump *d, uint32_t seq)
{
	uint64_t deadline = fw_now_ms() + ANSWER_MS;
	char *buf = malloc(RECV_SIZE);
	int rc = buf ? 1 : -ENOMEM;

	while (rc == 1) {
		ssize_t n = receive(s, buf, RECV_SIZE, deadline);
		int left = (int)n;

		if (n < 0)
			rc = (int)n;
		for (const struct nlmsghdr *nlh = (void *)buf; rc == 1 && nl_message_ok(nlh, left);
		        nlh = mnl_nlmsg_next(nlh, &left))
			rc = take_dumped(s, d, nlh, seq);
	}
	free(buf);
	return rc;
}

/* An aborted dump goes on pushing into the socket: throw away what is there. */
static void drain(struct nlsock *s)
{
	char buf[8192];

	for (int i = 0; i < 100000; i++) {
		ssize_t n =
		        recv(mnl_socket_get_fd(s->nl), buf, sizeof(buf), MSG_DONTWAIT | MSG_TRUNC);

		if (n < 0 && errno != EINTR && errno != ENOBUFS)
			return;
	}
}

int nlsock_dump(struct nlsock *s, const struct dump *d, struct fw_error *err)
{
	char buf[1024];
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(memset(buf, 0, sizeof(buf)));
	struct nfgenmsg *g;
	int rc;

	nlh->nlmsg_type = (uint16_t)(NFNL_SUBSYS_NFTABLES << 8 | d->type);
	nlh->nlmsg_flags = NLM_F_REQUEST | (d->single ? 0 : NLM_F_DUMP);
	nlh->nlmsg_seq = ++s->seq;
	g = mnl_nlmsg_put_extra_header(nlh, sizeof(*g));
	g->nfgen_family = NFPROTO_INET;
	g->version = NFNETLINK_V0;
	if (d->fill)
		d->fill(d->ctx, nlh);
	if (mnl_socket_sendto(s->nl, nlh, nlh->nlmsg_len) < 0)
		return fw_fail(err, -errno, "cannot ask the kernel for the firewall's state: %s",
		        strerror(errno));
	rc = read_dump(s, d, nlh->nlmsg_seq);
	if (rc < 0 && rc != -ENOENT)
		drain(s);
	if (rc == -EPERM)
		return fw_fail(err, rc,
		        "no right to read nftables: run as root or with CAP_NET_ADMIN in this "
		        "network namespace");
	if (rc < 0)
		return fw_fail(err, rc, "cannot read the firewall's state from the kernel: %s",
		        strerror(-rc));
	return rc;
}

static int generation_cb(void *ctx, const struct nlmsghdr *nlh)
{
	const struct nlattr *attr;
	uint32_t *out = ctx;

	mnl_attr_for_each(attr, nlh, sizeof(struct nfgenmsg)) {
		if (mnl_attr_get_type(attr) == NFTA_GEN_ID &&
		        mnl_attr_validate(attr, MNL_TYPE_U32) == 0)
			*out = ntohl(mnl_attr_get_u32(attr));
	}
	return 0;
}

int nlsock_generation(struct nlsock *s, uint32_t *out, struct fw_error *err)
{
	uint32_t id = 0;
	struct dump d = {.type = NFT_MSG_GETGEN, .single = true, .cb = generation_cb, .ctx = &id};
	int rc = nlsock_dump(s, &d, err);

	if (rc < 0)
		return rc;
	*out = id;
	return 0;
}

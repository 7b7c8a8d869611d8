/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Who else touches our table? The kernel tells a group of each change, and ends each transaction
 * with a new generation that names the process.
 */
#include <stdio.h>
#include "firewall/commit.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

struct fw_monitor {
	struct nlsock s;
	uint32_t own;    /* port id of our own changes */
	bool touched;    /* in the transaction that is being told */
	size_t len, pos; /* what of the last datagram is still to be read */
	char buf[65536];
};

int fw_monitor_open(struct fw_monitor **out, const struct fw *fw, struct fw_error *err)
{
	struct fw_monitor *m = calloc(1, sizeof(*m));
	int group = NFNLGRP_NFTABLES, size = 1 << 20, fd, rc;

	if (!m)
		return fw_fail(err, -ENOMEM, "out of memory");
	rc = nlsock_open(&m->s, NETLINK_NETFILTER, err);
	if (rc < 0) {
		free(m);
		return rc;
	}
	m->own = fw->s.portid;
	fd = mnl_socket_get_fd(m->s.nl);
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) < 0)
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	if (mnl_socket_setsockopt(m->s.nl, NETLINK_ADD_MEMBERSHIP, &group, sizeof(group)) < 0) {
		rc = fw_fail(err, -errno, "cannot watch nftables for others' changes: %s",
		        strerror(errno));
		fw_monitor_close(m);
		return rc;
	}
	*out = m;
	return 0;
}

void fw_monitor_close(struct fw_monitor *m)
{
	if (!m)
		return;
	nlsock_close(&m->s);
	free(m);
}

int fw_monitor_fd(const struct fw_monitor *m)
{
	return mnl_socket_get_fd(m->s.nl);
}

/* In all of nf_tables' messages but NEWGEN the first attribute names the table. */
static bool names_our_table(const struct nlmsghdr *nlh)
{
	const struct nfgenmsg *g = mnl_nlmsg_get_payload(nlh);
	const struct nlattr *attr;

	if (g->nfgen_family != NFPROTO_INET)
		return false;
	mnl_attr_for_each(attr, nlh, sizeof(*g)) {
		if (mnl_attr_get_type(attr) == NFTA_TABLE_NAME)
			return mnl_attr_validate(attr, MNL_TYPE_NUL_STRING) == 0 &&
			       !strcmp(mnl_attr_get_str(attr), FW_TABLE);
	}
	return false;
}

static void read_generation(const struct nlmsghdr *nlh, struct fw_change *out)
{
	const struct nlattr *attr;

	mnl_attr_for_each(attr, nlh, sizeof(struct nfgenmsg)) {
		uint16_t type = mnl_attr_get_type(attr);

		if (type == NFTA_GEN_PROC_PID && mnl_attr_validate(attr, MNL_TYPE_U32) == 0)
			out->pid = ntohl(mnl_attr_get_u32(attr));
		if (type != NFTA_GEN_PROC_NAME || mnl_attr_validate(attr, MNL_TYPE_NUL_STRING) < 0)
			continue;
		snprintf(out->comm, sizeof(out->comm), "%s", mnl_attr_get_str(attr));
		for (char *c = out->comm; *c; c++)
			if (*c < ' ' || *c == 127)
				*c = '?';
	}
}

/* 1: a foreign transaction on our table ended here. */
static int take(struct fw_monitor *m, const struct nlmsghdr *nlh, struct fw_change *out)
{
	struct fw_change change = {0};

	if (nlh->nlmsg_type >> 8 != NFNL_SUBSYS_NFTABLES ||
	        nlh->nlmsg_len < NLMSG_HDRLEN + sizeof(struct nfgenmsg))
		return 0;
	if ((nlh->nlmsg_type & 0xff) != NFT_MSG_NEWGEN) {
		if (nlh->nlmsg_pid != m->own && names_our_table(nlh))
			m->touched = true;
		return 0;
	}
	if (!m->touched)
		return 0;
	m->touched = false;
	read_generation(nlh, &change);
	*out = change;
	return 1;
}

static int take_buffered(struct fw_monitor *m, struct fw_change *out)
{
	while (m->pos < m->len) {
		const struct nlmsghdr *nlh = (const void *)(m->buf + m->pos);
		int left = (int)(m->len - m->pos);

		if (!nl_message_ok(nlh, left))
			break;
		m->pos += NLMSG_ALIGN(nlh->nlmsg_len);
		if (take(m, nlh, out))
			return 1;
	}
	m->len = m->pos = 0;
	return 0;
}

int fw_monitor_process(struct fw_monitor *m, struct fw_change *out)
{
	for (;;) {
		ssize_t n;

		if (take_buffered(m, out))
			return 1;
		n = mnl_socket_recvfrom(m->s.nl, m->buf, sizeof(m->buf));
		if (n >= 0) {
			m->len = (size_t)n;
			continue;
		}
		if (errno == EINTR)
			continue;
		if (errno == EAGAIN)
			return 0;
		if (errno != ENOBUFS && errno != ENOSPC)
			return -errno;
		m->touched = false;
		*out = (struct fw_change){.lost = true};
		return 1;
	}
}

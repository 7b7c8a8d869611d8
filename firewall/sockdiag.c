/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Stuck sockets of a peer that was revoked, or may do less than before: found by a dump of the
 * kernel's TCP sockets, filtered in the kernel by a byte code on the remote address, and destroyed
 * one by one (SOCK_DESTROY; linux/inet_diag.h).
 */
#include <netinet/in.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "firewall/netlink.h"
#include "firewall/ruleset.h"

#define ANSWER_MS 3000
#define ROUNDS 4 /* a program may reconnect, and a handshake may end, while we look */

/* All but those without a program at this end of a connection: listeners, and TIME_WAIT. */
#define STATES (((1u << 13) - 1) & ~(1u << TCP_LISTEN | 1u << TCP_TIME_WAIT | 1u))

struct found {
	struct inet_diag_sockid *ids;
	uint8_t *families;
	size_t n;
	const struct fw_addr *peer; /* or a prefix, with `rs` */
	const struct fw_addr *local;
	const struct fw_ruleset *rs; /* only what this denies */
	const struct peer *only;     /* and of this peer, unless NULL */
};

static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff}; /* ::ffff:0:0/96 */

static bool addr_matches(uint8_t family, const void *raw, const struct fw_addr *want)
{
	const uint8_t *b = raw;

	if (want->family == family)
		return !memcmp(b, want->bytes, family == AF_INET ? 4 : 16);
	return want->family == AF_INET && family == AF_INET6 && !memcmp(b, mapped, 12) &&
	       !memcmp(b + 12, want->bytes, 4);
}

static bool class_has(const struct fw_ruleset *rs, enum fw_dir dir, const char *name, uint16_t port)
{
	const struct fw_class *class = name ? fw_class_find(rs, dir, name) : NULL;

	for (size_t i = 0; class && i < class->n; i++)
		for (size_t k = 0; k < class->allows[i].n; k++) {
			const struct fw_ports *p = &class->allows[i].ports[k];

			if (p->proto == IPPROTO_TCP && p->first <= port && port <= p->last)
				return true;
		}
	return false;
}

/* Of a peer that is admitted, and not to be opened by either end. */
static bool is_denied(const struct found *f, const struct inet_diag_msg *d)
{
	const uint8_t *b = (const uint8_t *)d->id.idiag_dst;
	bool v4 = d->idiag_family == AF_INET || f->peer->family == AF_INET;
	const struct peer *p;

	if (d->idiag_family == AF_INET6 && v4) {
		if (memcmp(b, mapped, 12) != 0)
			return false;
		b += 12;
	}
	p = fw_peer_at(f->rs, v4 ? AF_INET : AF_INET6, b);
	if (!p || (f->only && p != f->only))
		return false;
	return !class_has(f->rs, FW_IN, p->pub.in, ntohs(d->id.idiag_sport)) &&
	       !class_has(f->rs, FW_OUT, p->pub.out, ntohs(d->id.idiag_dport));
}

static bool is_wanted(const struct found *f, const struct inet_diag_msg *d)
{
	if (f->rs)
		return is_denied(f, d);
	return addr_matches(d->idiag_family, d->id.idiag_dst, f->peer) &&
	       (!f->local || addr_matches(d->idiag_family, d->id.idiag_src, f->local));
}

static int note_socket(struct found *f, const struct inet_diag_msg *d)
{
	struct inet_diag_sockid *ids;
	uint8_t *families;

	if (!is_wanted(f, d))
		return 0;
	ids = reallocarray(f->ids, f->n + 1, sizeof(*ids));
	if (!ids)
		return -ENOMEM;
	f->ids = ids;
	families = reallocarray(f->families, f->n + 1, 1);
	if (!families)
		return -ENOMEM;
	f->families = families;
	f->ids[f->n] = d->id;
	f->families[f->n++] = d->idiag_family;
	return 0;
}

static ssize_t receive(const struct nlsock *s, void *buf, size_t size)
{
	struct pollfd p = {.fd = mnl_socket_get_fd(s->nl), .events = POLLIN};
	uint64_t deadline = fw_now_ms() + ANSWER_MS;

	for (;;) {
		ssize_t n = mnl_socket_recvfrom(s->nl, buf, size);
		uint64_t now;

		if (n >= 0)
			return n;
		if (errno != EAGAIN && errno != EINTR)
			return -errno;
		now = fw_now_ms();
		if (now >= deadline || (poll(&p, 1, (int)(deadline - now)) == 0))
			return -ETIMEDOUT;
	}
}

static struct nlmsghdr *request(struct nlsock *s, char *buf, uint16_t type, uint16_t flags,
        uint8_t family, const struct inet_diag_sockid *id)
{
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
	struct inet_diag_req_v2 *r = mnl_nlmsg_put_extra_header(nlh, sizeof(*r));

	nlh->nlmsg_type = type;
	nlh->nlmsg_flags = NLM_F_REQUEST | flags;
	nlh->nlmsg_seq = ++s->seq;
	r->sdiag_family = family;
	r->sdiag_protocol = IPPROTO_TCP;
	r->idiag_states = STATES;
	if (id)
		r->id = *id;
	return nlh;
}

/* The kernel compares, so that a host with 100,000 sockets tells us of a few. It knows an IPv4
 * condition to mean v4-mapped sockets too. yes/no are offsets: 4 past the end is "no match". */
static void put_filter(struct nlmsghdr *nlh, const struct fw_addr *peer)
{
	uint8_t code[sizeof(struct inet_diag_bc_op) + sizeof(struct inet_diag_hostcond) + 16] = {0};
	size_t len = sizeof(code) - (peer->family == AF_INET ? 12 : 0);
	struct inet_diag_bc_op op = {
	        .code = INET_DIAG_BC_D_COND, .yes = (uint8_t)len, .no = (uint16_t)(len + 4)};
	struct inet_diag_hostcond cond = {
	        .family = peer->family, .prefix_len = peer->bits, .port = -1};

	memcpy(code, &op, sizeof(op));
	memcpy(code + sizeof(op), &cond, sizeof(cond));
	memcpy(code + sizeof(op) + sizeof(cond), peer->bytes, peer->family == AF_INET ? 4 : 16);
	mnl_attr_put(nlh, INET_DIAG_REQ_BYTECODE, len, code);
}

static int take(struct found *f, const struct nlsock *s, const struct nlmsghdr *nlh, uint32_t seq)
{
	const struct nlmsgerr *e = mnl_nlmsg_get_payload(nlh);

	if (!mnl_nlmsg_seq_ok(nlh, seq) || !mnl_nlmsg_portid_ok(nlh, s->portid))
		return 1;
	if (nlh->nlmsg_type == NLMSG_DONE)
		return 0;
	if (nlh->nlmsg_type == NLMSG_ERROR)
		return nlh->nlmsg_len < NLMSG_HDRLEN + sizeof(*e) ? -EBADMSG : e->error;
	if (nlh->nlmsg_len < NLMSG_HDRLEN + sizeof(struct inet_diag_msg))
		return 1;
	return note_socket(f, mnl_nlmsg_get_payload(nlh)) < 0 ? -ENOMEM : 1;
}

static int find_sockets(struct nlsock *s, struct found *f, uint8_t family)
{
	char req[256] = {0}, *buf;
	struct nlmsghdr *nlh = request(s, req, SOCK_DIAG_BY_FAMILY, NLM_F_DUMP, family, NULL);
	int rc = 1;

	put_filter(nlh, f->peer);
	if (mnl_socket_sendto(s->nl, nlh, nlh->nlmsg_len) < 0)
		return -errno;
	buf = malloc(65536);
	if (!buf)
		return -ENOMEM;
	while (rc == 1) {
		ssize_t n = receive(s, buf, 65536);
		int left = (int)n;

		if (n < 0)
			rc = (int)n;
		for (const struct nlmsghdr *m = (void *)buf; rc == 1 && nl_message_ok(m, left);
		        m = mnl_nlmsg_next(m, &left))
			rc = take(f, s, m, nlh->nlmsg_seq);
	}
	free(buf);
	return rc;
}

/* 1: destroyed. 0: it was gone already. */
static int destroy(struct nlsock *s, uint8_t family, const struct inet_diag_sockid *id)
{
	char buf[8192] = {0};
	struct nlmsghdr *nlh = request(s, buf, SOCK_DESTROY, NLM_F_ACK, family, id);
	uint32_t seq = nlh->nlmsg_seq;

	if (mnl_socket_sendto(s->nl, nlh, nlh->nlmsg_len) < 0)
		return -errno;
	for (;;) {
		ssize_t n = receive(s, buf, sizeof(buf));
		const struct nlmsgerr *e;

		if (n < 0)
			return (int)n;
		nlh = (void *)buf;
		e = mnl_nlmsg_get_payload(nlh);
		if (!nl_message_ok(nlh, (int)n) || nlh->nlmsg_type != NLMSG_ERROR ||
		        nlh->nlmsg_seq != seq || nlh->nlmsg_len < NLMSG_HDRLEN + sizeof(*e))
			continue;
		return e->error == -ENOENT ? 0 : e->error ? e->error : 1;
	}
}

/* One look and its kills. Returns how many. */
static int destroy_round(struct nlsock *s, struct found *f)
{
	int killed = 0, rc = 0;

	if (f->peer->family == AF_INET)
		rc = find_sockets(s, f, AF_INET);
	if (!rc)
		rc = find_sockets(s, f, AF_INET6);
	for (size_t i = 0; i < f->n && rc >= 0; i++) {
		rc = destroy(s, f->families[i], &f->ids[i]);
		killed += rc > 0;
	}
	free(f->ids);
	free(f->families);
	return rc < 0 ? rc : killed;
}

static int destroy_all(const struct found *what, struct fw_error *err)
{
	struct nlsock s;
	int killed = 0, rc = nlsock_open(&s, NETLINK_SOCK_DIAG, err);

	if (rc < 0)
		return rc;
	for (int i = 0; i < ROUNDS; i++) {
		struct found f = *what;

		rc = destroy_round(&s, &f);
		if (rc <= 0)
			break;
		killed += rc;
	}
	nlsock_close(&s);
	if (rc == -EOPNOTSUPP)
		return fw_fail(err, rc,
		        "this kernel cannot destroy sockets (CONFIG_INET_DIAG_DESTROY): programs "
		        "notice a revoked peer only by their own timeouts");
	if (rc == -EPERM)
		return fw_fail(err, rc, "no right to destroy sockets: CAP_NET_ADMIN is missing");
	if (rc < 0)
		return fw_fail(err, rc, "cannot destroy a peer's sockets: %s", strerror(-rc));
	return killed;
}

int sockdiag_destroy_peer(
        const struct fw_addr *peer, const struct fw_addr *local, struct fw_error *err)
{
	if (!fw_is_host(peer) || (local && !fw_is_host(local)))
		return fw_fail(err, -EINVAL, "sockets are found by single addresses, not prefixes");
	return destroy_all(&(struct found){.peer = peer, .local = local}, err);
}

int sockdiag_destroy_denied(const struct fw_ruleset *rs, const char *peer, struct fw_error *err)
{
	struct found f = {.rs = rs, .only = peer ? fw_peer_find(rs, peer) : NULL};
	int killed = 0;

	if (peer && !f.only)
		return fw_fail(err, -ENOENT, "no such peer: %s", peer);
	for (size_t i = 0; i < rs->n_prefixes; i++) {
		int rc;

		f.peer = &rs->prefixes[i];
		rc = destroy_all(&f, err);
		if (rc < 0)
			return rc;
		killed += rc;
	}
	return killed;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Flows and datagrams between the two namespaces, and who sees them. */
#ifndef TESTS_NETNS_FIREWALL_FLOW_H
#define TESTS_NETNS_FIREWALL_FLOW_H

#include "firewall_rules.h"

#include <net/if.h>
#include <linux/if_ether.h>
#include <netpacket/packet.h>

struct flow {
	int near, far, listener;
};

static inline struct flow flow_open(int ns, const char *from, const char *to, uint16_t port)
{
	struct flow f = {.listener = socket_at(ns == we ? they : we, SOCK_STREAM, to, port)};

	f.near = dial(ns, from, to, port);
	if (!connected(f.near, WAIT_MS))
		fail_msg("%s does not reach %s:%u", from, to, port);
	f.far = accepted(f.listener);
	return f;
}

static inline void flow_close(struct flow *f)
{
	close(f->near);
	close(f->far);
	close(f->listener);
}

/* A few bytes each way. */
static inline void flows_on(const struct flow *f)
{
	char buf[8];

	assert_int_equal(write(f->near, "ping", 4), 4);
	assert_true(await(f->far, POLLIN, WAIT_MS));
	assert_int_equal(read(f->far, buf, sizeof(buf)), 4);
	assert_int_equal(write(f->far, "pong", 4), 4);
	assert_true(await(f->near, POLLIN, WAIT_MS));
	assert_int_equal(read(f->near, buf, sizeof(buf)), 4);
}

/* All that comes out at the other end of a cable: "p0" of the overlay's, "u0" of the other. */
static inline int wire_tap(const char *dev)
{
	struct sockaddr_ll sa = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL)};
	int fd;

	enter(they);
	sa.sll_ifindex = (int)if_nametoindex(dev);
	fd = socket(AF_PACKET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, htons(ETH_P_ALL));
	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (void *)&sa, sizeof(sa)), 0);
	enter(we);
	return fd;
}

/* Did a packet for `port` (or any ICMP) pass, before one that is let through for certain? */
static inline bool on_wire(int tap, uint16_t port)
{
	struct sockaddr_ll from;
	socklen_t len = sizeof(from);
	uint8_t p[2048];
	ssize_t n;
	bool seen = false;

	while ((n = recvfrom(tap, p, sizeof(p), 0, (void *)&from, &len)) > 0) {
		size_t skip = p[0] >> 4 == 4 ? 20 : 40;
		uint8_t proto = p[0] >> 4 == 4 ? p[9] : p[6];

		if (n < (ssize_t)skip + 4 || from.sll_pkttype == PACKET_OUTGOING)
			continue;
		if (proto == IPPROTO_ICMP || (proto == IPPROTO_ICMPV6 && p[skip] < 128))
			seen = true;
		if ((proto == IPPROTO_TCP || proto == IPPROTO_UDP) &&
		        (p[skip + 2] << 8 | p[skip + 3]) == port)
			seen = true;
		len = sizeof(from);
	}
	return seen;
}

struct end {
	int ns;
	const char *addr;
	uint16_t port;
};

static inline int udp(const struct end *e)
{
	return socket_at(e->ns, SOCK_DGRAM, e->addr, e->port);
}

static inline void throw(int fd, const struct end *to)
{
	struct sockaddr_storage sa;
	socklen_t len = sockaddr_of(to->addr, to->port, &sa);

	if (sendto(fd, "hello", 5, 0, (void *)&sa, len) < 0 && errno != EPERM)
		fail_msg("send to %s:%u: %s", to->addr, to->port, strerror(errno));
}

static inline bool caught(int fd, int ms)
{
	char buf[16];

	return await(fd, POLLIN, ms) && read(fd, buf, sizeof(buf)) == 5;
}

/* One datagram from `a` to `b` arrives; with `answer`, one back, too. */
static inline void arrives(struct end a, struct end b, bool answer)
{
	int from = udp(&a), to = udp(&b);

	throw(from, &b);
	if (!caught(to, WAIT_MS))
		fail_msg("%s:%u does not reach %s:%u", a.addr, a.port, b.addr, b.port);
	if (answer) {
		throw(to, &a);
		if (!caught(from, WAIT_MS))
			fail_msg("no answer from %s:%u", b.addr, b.port);
	}
	close(from);
	close(to);
}

static inline void falls(struct end a, struct end b, const char *reason)
{
	int from = udp(&a), to = udp(&b);
	uint64_t before = count_of(fw, FW_COUNT_DROP, reason);

	throw(from, &b);
	await_drop(fw, reason, before);
	if (caught(to, 0))
		fail_msg("%s:%u reaches %s:%u", a.addr, a.port, b.addr, b.port);
	close(from);
	close(to);
}
#define WE(port) ((struct end){we, "192.0.2.1", port})
#define THEY(port) ((struct end){they, "192.0.2.2", port})
#define WE6(port) ((struct end){we, "2001:db8::1", port})
#define THEY6(port) ((struct end){they, "2001:db8::2", port})

#endif

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The firewall against the real kernel: what passes, what stops, and when. firewall_bed.h draws the
 * bed. */
#include "firewall_rules.h"

#include <sys/fsuid.h>

static void test_exact_ports(void **state)
{
	(void)state;
	passes(they, "10.77.0.2", "10.77.0.1", 15001);
	passes(they, "10.77.0.2", "10.77.0.1", 15004);
	passes(they, "10.77.0.2", "10.77.0.1", 17001);
	passes(they, "fd77::2", "fd77::1", 17001);
	drops(they, "10.77.0.2", "10.77.0.1", 15000, "denied-in");
	drops(they, "10.77.0.2", "10.77.0.1", 15005, "denied-in");
	drops(they, "10.77.0.2", "10.77.0.1", 22, "denied-in");
	drops(they, "fd77::2", "fd77::1", 22, "denied-in");
	drops(they, "10.77.0.3", "10.77.0.1", 17001, "denied-in");
	drops(they, "fd77::3", "fd77::1", 17001, "denied-in");
	passes(we, "10.77.0.1", "10.77.0.2", 9000);
	passes(we, "fd77::1", "fd77::2", 9000);
	drops(we, "10.77.0.1", "10.77.0.2", 9001, "denied-out");
	drops(we, "10.77.0.1", "10.77.0.3", 9000, "denied-out");
	drops(we, "fd77::1", "fd77::3", 9000, "denied-out");
	assert_true(count_of(fw, FW_COUNT_ALLOW, "allow policy.yaml:14 pbs") > 0);
	assert_true(count_of(fw, FW_COUNT_PEER, "exec") > 0);
}

/* Another device that has the overlay device's name is none: closed, both ways. */
static void test_device_type(void **state)
{
	struct fw_ruleset *rs = base_ruleset();
	struct fw_peer p = node17(0);

	(void)state;
	OK(fw_ruleset_set_peer(rs, &p));
	fw_ruleset_set_device_type(rs, ARPHRD_NONE);
	OK(fw_commit(fw, rs, NULL, &err));
	drops(they, "10.77.0.2", "10.77.0.1", 17001, "spoofed");
	drops(they, "fd77::2", "fd77::1", 17001, "spoofed");
	drops(we, "10.77.0.1", "10.77.0.2", 9000, "clear");
	fw_ruleset_set_device_type(rs, ARPHRD_ETHER);
	OK(fw_commit(fw, rs, NULL, &err));
	passes(they, "10.77.0.2", "10.77.0.1", 17001);
	fw_ruleset_set_device_type(rs, 0);
	OK(fw_commit(fw, rs, NULL, &err));
	passes(we, "10.77.0.1", "10.77.0.2", 9000);
	fw_ruleset_free(rs);
}

/* What comes by the overlay device must have come out of an SA; nothing has, by a veth. */
static void test_secpath(void **state)
{
	struct fw_ruleset *rs = base_ruleset();
	struct fw_peer p = node17(0);

	(void)state;
	OK(fw_ruleset_set_peer(rs, &p));
	fw_ruleset_set_secpath(rs, true);
	OK(fw_commit(fw, rs, NULL, &err));
	drops(they, "10.77.0.2", "10.77.0.1", 17001, "unsecure");
	drops(they, "fd77::2", "fd77::1", 17001, "unsecure");
	fw_ruleset_free(rs);
}

/* A datagram of ours to the peer's port; true if it came. */
static bool told(const char *from, const char *to, uint16_t port)
{
	int l = socket_at(they, SOCK_DGRAM, to, port), s = socket_at(we, SOCK_DGRAM, from, 0);
	uint64_t before = count_of(fw, FW_COUNT_DROP, "denied-out");
	struct sockaddr_storage sa;
	socklen_t len = sockaddr_of(to, port, &sa);
	bool came;

	if (sendto(s, "x", 1, 0, (void *)&sa, len) < 0)
		await_drop(fw, "denied-out", before);
	came = await(l, POLLIN, count_of(fw, FW_COUNT_DROP, "denied-out") > before ? 0 : WAIT_MS);
	close(s);
	close(l);
	return came;
}

/* A port of the peers that is one user's here, though an allow opens it to all; those of the other
 * end are judged there. What was open when it came to be so runs on. */
static void test_own_port(void **state)
{
	static const struct fw_ports low[] = {{IPPROTO_TCP, 1, 1023}, {IPPROTO_UDP, 1, 1023}};
	struct fw_ruleset *rs = base_ruleset();
	struct fw_peer p = node17(0);
	int l, c, s;

	(void)state;
	OK(fw_ruleset_set_peer(rs, &p));
	OK(fw_ruleset_add_allow(rs, FW_OUT, "head", low, 2, "low"));
	OK(fw_ruleset_add_allow(rs, FW_IN, "exec", low, 2, "low"));
	OK(fw_commit(fw, rs, NULL, &err));
	setfsuid(1000); /* whose the sockets are that we make now */
	passes(we, "10.77.0.1", "10.77.0.2", 450);
	l = socket_at(they, SOCK_STREAM, "10.77.0.2", 450);
	c = dial(we, "10.77.0.1", "10.77.0.2", 450);
	assert_true(connected(c, WAIT_MS));
	s = accepted(l);
	close(l);
	fw_ruleset_set_own(rs, 450, 0);
	OK(fw_commit(fw, rs, NULL, &err));
	drops(we, "10.77.0.1", "10.77.0.2", 450, "denied-out");
	drops(we, "fd77::1", "fd77::2", 450, "denied-out");
	assert_false(told("10.77.0.1", "10.77.0.2", 450));
	passes(we, "10.77.0.1", "10.77.0.2", 451);
	assert_true(told("10.77.0.1", "10.77.0.2", 451));
	passes(they, "10.77.0.2", "10.77.0.1", 450);
	setfsuid(0);
	passes(we, "10.77.0.1", "10.77.0.2", 450);
	passes(we, "fd77::1", "fd77::2", 450);
	assert_true(told("10.77.0.1", "10.77.0.2", 450));
	assert_int_equal(send(c, "x", 1, 0), 1);
	assert_true(await(s, POLLIN, WAIT_MS));
	close(c);
	close(s);
	fw_ruleset_free(rs);
}

/* Who is in nobody's set reaches the join port, and nothing else; nobody reaches it. */
static void test_join_served(void **state)
{
	struct fw_join join = {.role = FW_JOIN_SERVE, .net = addr("fd77::/116"), .port = 451};
	struct fw_ruleset *rs = base_ruleset();

	(void)state;
	OK(fw_commit(fw, rs, NULL, &err));
	drops(they, "fd77::2", "fd77::1", 451, "denied-in");
	OK(fw_ruleset_set_join(rs, &join));
	OK(fw_commit(fw, rs, NULL, &err));
	passes(they, "fd77::2", "fd77::1", 451);
	drops(they, "fd77::2", "fd77::1", 450, "denied-in");
	drops(they, "fd77::2", "fd77::1", 452, "denied-in");
	drops(they, "10.77.0.2", "10.77.0.1", 451, "denied-in");
	drops(we, "fd77::1", "fd77::2", 451, "denied-out");
	drops(we, "fd77::1", "fd77::2", 17001, "denied-out");
	join.net = addr("fd77::1000/116");
	OK(fw_ruleset_set_join(rs, &join));
	OK(fw_commit(fw, rs, NULL, &err));
	drops(they, "fd77::2", "fd77::1", 451, "denied-in");
	fw_ruleset_free(rs);
}

/* The other end: root asks, and nobody else does; nothing comes but answers. */
static void test_join_asked(void **state)
{
	struct fw_join join = {.role = FW_JOIN_ASK, .net = addr("fd77::/64"), .port = 451};
	struct fw_ruleset *rs = base_ruleset();

	(void)state;
	OK(fw_ruleset_set_join(rs, &join));
	OK(fw_commit(fw, rs, NULL, &err));
	passes(we, "fd77::1", "fd77::2", 451);
	drops(we, "fd77::1", "fd77::2", 450, "denied-out");
	drops(they, "fd77::2", "fd77::1", 451, "denied-in");
	drops(they, "fd77::2", "fd77::1", 17001, "denied-in");
	setfsuid(1000);
	drops(we, "fd77::1", "fd77::2", 451, "denied-out");
	setfsuid(0);
	join.port = 0;
	assert_int_equal(fw_ruleset_set_join(rs, &join), -EINVAL);
	join = (struct fw_join){.role = FW_JOIN_ASK, .net = addr("10.77.0.0/16"), .port = 451};
	assert_int_equal(fw_ruleset_set_join(rs, &join), -EINVAL);
	fw_ruleset_free(rs);
}

/* One echo request by hand; true if it is answered. */
static bool ping(int ns, const char *from, const char *to, int ms)
{
	struct sockaddr_storage sa, at;
	socklen_t len = sockaddr_of(to, 0, &sa);
	bool v4 = sa.ss_family == AF_INET;
	/* type, code, checksum (the kernel's business in IPv6), id, sequence */
	uint8_t echo[8] = {v4 ? 8 : 128, 0, 0, 0, 0x12, 0x34, 0, 1}, buf[256];
	uint16_t sum = (uint16_t) ~(0x0800 + 0x1234 + 1);
	uint64_t end = now_ms() + (uint64_t)ms;
	bool answered = false;
	int fd;

	if (v4) {
		echo[2] = sum >> 8;
		echo[3] = sum & 0xff;
	}
	enter(ns);
	fd = socket(sa.ss_family, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC,
	        v4 ? IPPROTO_ICMP : IPPROTO_ICMPV6);
	enter(we);
	assert_true(fd >= 0);
	len = sockaddr_of(from, 0, &at);
	assert_int_equal(bind(fd, (void *)&at, len), 0);
	len = sockaddr_of(to, 0, &sa);
	if (sendto(fd, echo, 8, 0, (void *)&sa, len) < 0)
		assert_int_equal(errno, EPERM);
	while (!answered && now_ms() < end && await(fd, POLLIN, (int)(end - now_ms()))) {
		ssize_t n = read(fd, buf, sizeof(buf));
		size_t skip = v4 ? 20 : 0;

		answered = n >= (ssize_t)skip + 8 && buf[skip] == (v4 ? 0 : 129);
	}
	close(fd);
	return answered;
}

static void test_ping(void **state)
{
	uint64_t before;

	(void)state;
	assert_true(ping(they, "10.77.0.2", "10.77.0.1", WAIT_MS));
	assert_true(ping(they, "fd77::2", "fd77::1", WAIT_MS));
	before = count_of(fw, FW_COUNT_DROP, "denied-in");
	assert_false(ping(they, "10.77.0.3", "10.77.0.1", 0));
	await_drop(fw, "denied-in", before);
	before = count_of(fw, FW_COUNT_DROP, "denied-out");
	assert_false(ping(we, "10.77.0.1", "10.77.0.2", 0));
	assert_true(count_of(fw, FW_COUNT_DROP, "denied-out") > before);
}

/* "Fragmentation needed" about the flow we -> 10.77.0.2:9000, as `from` tells it. */
static void too_big(const char *from, uint16_t sport)
{
	uint8_t p[8 + 28] = {3, 4, 0, 0, 0, 0, 1200 >> 8, 1200 & 0xff, 0x45, 0, 0, 40, 0, 0, 0x40,
	        0, 64, IPPROTO_TCP, 0, 0, 10, 77, 0, 1, 10, 77, 0, 2, sport >> 8, sport & 0xff,
	        9000 >> 8, 9000 & 0xff};
	struct sockaddr_storage sa;
	socklen_t len = sockaddr_of(from, 0, &sa);
	uint16_t sum = checksum(p + 8, 20);
	int fd;

	p[18] = sum >> 8;
	p[19] = sum & 0xff;
	sum = checksum(p, sizeof(p));
	p[2] = sum >> 8;
	p[3] = sum & 0xff;
	enter(they);
	fd = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_ICMP);
	enter(we);
	assert_int_equal(bind(fd, (void *)&sa, len), 0);
	len = sockaddr_of("10.77.0.1", 0, &sa);
	assert_int_equal(sendto(fd, p, sizeof(p), 0, (void *)&sa, len), sizeof(p));
	close(fd);
}

/* Path MTU works; but an error about a peer's flow counts only if that peer sends it, not another.
 */
static void test_icmp_errors(void **state)
{
	static const char allowed[] = "errors of allowed flows";
	struct fw_peer other = {
	        .name = "node18", .v4 = addr("10.77.0.3"), .in = "exec", .out = "head"};
	int l = socket_at(they, SOCK_STREAM, "10.77.0.2", 9000);
	int c = dial(we, "10.77.0.1", "10.77.0.2", 9000), s;
	uint64_t before, end = now_ms() + WAIT_MS;
	struct sockaddr_in me;
	socklen_t len = sizeof(me);

	(void)state;
	OK(fw_peer_admit(fw, &other, NULL, &err));
	assert_true(connected(c, WAIT_MS));
	s = accepted(l);
	assert_int_equal(getsockname(c, (void *)&me, &len), 0);
	before = count_of(fw, FW_COUNT_DROP, "denied-in");
	too_big("10.77.0.3", ntohs(me.sin_port));
	await_drop(fw, "denied-in", before);
	assert_int_equal(count_of(fw, FW_COUNT_ALLOW, allowed), 0);
	too_big("10.77.0.2", ntohs(me.sin_port));
	while (count_of(fw, FW_COUNT_ALLOW, allowed) != 1) {
		assert_true(now_ms() < end);
		poll(NULL, 0, 10);
	}
	close(c);
	close(s);
	close(l);
}

struct denied_seen {
	uint16_t port;
	enum fw_dir dir;
	const char *addr;
	bool found;
};

static int see_denied(void *ctx, const struct fw_denied *d)
{
	struct denied_seen *s = ctx;
	struct fw_addr a = addr(s->addr);

	if (d->port == s->port && d->dir == s->dir && d->proto == IPPROTO_TCP &&
	        fw_addr_equal(&a, &d->addr) && d->packets > 0 && d->last_ms_ago < 60000)
		s->found = true;
	return 0;
}

static void test_denied_log(void **state)
{
	struct denied_seen in4 = {4444, FW_IN, "10.77.0.3", false};
	struct denied_seen in6 = {4445, FW_IN, "fd77::3", false};
	struct denied_seen out = {4446, FW_OUT, "10.77.0.2", false};
	struct denied_seen never = {4447, FW_OUT, "10.77.0.2", false};

	(void)state;
	drops(they, "10.77.0.3", "10.77.0.1", 4444, "denied-in");
	drops(they, "fd77::3", "fd77::1", 4445, "denied-in");
	drops(we, "10.77.0.1", "10.77.0.2", 4446, "denied-out");
	OK(fw_denied_read(fw, see_denied, &in4, &err));
	OK(fw_denied_read(fw, see_denied, &in6, &err));
	OK(fw_denied_read(fw, see_denied, &out, &err));
	OK(fw_denied_read(fw, see_denied, &never, &err));
	assert_true(in4.found && in6.found && out.found);
	assert_false(never.found);
}

/* A flow is open; its peer is revoked; not one byte more arrives, either way. */
static void flow_dies(int from_ns, const char *from, const char *to, uint16_t port)
{
	int l = socket_at(from_ns == we ? they : we, SOCK_STREAM, to, port);
	int c = dial(from_ns, from, to, port), s;
	struct fw_peer p = node17(0);
	struct fw_result r;
	uint64_t in, out;
	char buf[16];

	assert_true(connected(c, WAIT_MS));
	s = accepted(l);
	assert_int_equal(write(c, "before", 6), 6);
	assert_true(await(s, POLLIN, WAIT_MS));
	assert_int_equal(read(s, buf, sizeof(buf)), 6);
	OK(fw_peer_revoke(fw, "node17", &r, &err));
	assert_int_equal(r.elements_removed, 4);
	in = count_of(fw, FW_COUNT_DROP, "denied-in");
	out = count_of(fw, FW_COUNT_DROP, "denied-out");
	assert_int_equal(write(c, "after", 5), 5);
	assert_int_equal(write(s, "after", 5), 5);
	await_drop(fw, "denied-in", in);
	await_drop(fw, "denied-out", out);
	assert_int_equal(read(s, buf, sizeof(buf)), -1);
	assert_int_equal(read(c, buf, sizeof(buf)), -1);
	OK(fw_peer_admit(fw, &p, &r, &err)); /* and lives on, once admitted again */
	assert_true(await(s, POLLIN, WAIT_MS));
	assert_int_equal(read(s, buf, sizeof(buf)), 5);
	close(c);
	close(s);
	close(l);
}

static void test_revoke_kills_theirs(void **state)
{
	(void)state;
	flow_dies(they, "10.77.0.2", "10.77.0.1", 17001);
	flow_dies(they, "fd77::2", "fd77::1", 17001);
}

static void test_revoke_kills_ours(void **state)
{
	(void)state;
	flow_dies(we, "10.77.0.1", "10.77.0.2", 9000);
	flow_dies(we, "fd77::1", "fd77::2", 9000);
}

/* Time ends by the kernel's own clock; nobody need be alive to see to it. */
static void test_timeouts(void **state)
{
	struct fw_peer p = node17(now_ms() + 1500);
	struct fw_result r;
	uint64_t end = now_ms() + WAIT_MS;
	char *list;

	(void)state;
	OK(fw_peer_admit(fw, &p, &r, &err));
	passes(they, "10.77.0.2", "10.77.0.1", 17001);
	for (;;) {
		list = output_of(we, "nft list set inet overlayd in4_exec");
		if (!strstr(list, "10.77.0.2"))
			break;
		assert_true(now_ms() < end);
		free(list);
		poll(NULL, 0, 20);
	}
	free(list);
	drops(they, "10.77.0.2", "10.77.0.1", 17001, "denied-in");
	p = node17(now_ms() + 60000); /* renewed after its end: the old one is no obstacle */
	OK(fw_peer_admit(fw, &p, &r, &err));
	passes(they, "10.77.0.2", "10.77.0.1", 17001);
	p = node17(now_ms() + 120000); /* and before it */
	OK(fw_peer_admit(fw, &p, &r, &err));
	assert_true(r.messages > 0);
	list = output_of(we, "nft list set inet overlayd in4_exec");
	assert_true(strstr(list, "expires 1m5") || strstr(list, "expires 2m"));
	free(list);
}

/* An own address is ours while its lease lasts, for them and for us. */
static void lease(const char *text, const char *peer, const char *host)
{
	struct fw_addr a = addr(text);
	struct fw_result r;

	run(we, "ip addr add %s/%s dev ipsec0 %s", text, host, *text == 'f' ? "nodad" : "");
	neighbour(they, "p0", we, "ipsec0", text);
	drops(they, peer, text, 17001, "not-self");
	drops(we, text, peer, 9000, "not-self");
	OK(fw_self_add(fw, &a, now_ms() + 60000, &r, &err));
	assert_int_equal(r.messages, 1);
	passes(they, peer, text, 17001);
	passes(we, text, peer, 9000);
	OK(fw_self_remove(fw, &a, &r, &err));
	drops(they, peer, text, 17001, "not-self");
	drops(we, text, peer, 9000, "not-self");
	assert_int_equal(fw_self_remove(fw, &a, &r, &err), -ENOENT);
	run(we, "ip addr del %s/%s dev ipsec0", text, host);
}

static void test_self_lease(void **state)
{
	(void)state;
	lease("10.77.255.1", "10.77.0.2", "32");
	lease("fd77::ff:1", "fd77::2", "128");
}

static void test_forward(void **state)
{
	uint64_t before = count_of(fw, FW_COUNT_DROP, "forward");
	int c;

	(void)state;
	run(we, "sysctl -qw net.ipv4.ip_forward=1");
	run(they, "ip route add 192.0.2.99/32 via 10.77.0.1 dev p0");
	c = dial(they, "10.77.0.2", "192.0.2.99", 80);
	await_drop(fw, "forward", before);
	close(c);
	before = count_of(fw, FW_COUNT_DROP, "forward"); /* nor in anybody else's name */
	c = dial(they, "192.0.2.2", "192.0.2.99", 80);
	await_drop(fw, "forward", before);
	close(c);
	run(they, "ip route del 192.0.2.99/32");
	run(they, "ip route add 203.0.113.9/32 via 192.0.2.1 dev u0");
	run(we, "ip route add 203.0.113.9/32 via 10.77.0.2 dev ipsec0");
	before = count_of(fw, FW_COUNT_DROP, "forward"); /* nor through us to the device */
	c = dial(they, "192.0.2.2", "203.0.113.9", 80);
	await_drop(fw, "forward", before);
	close(c);
	run(they, "ip route del 203.0.113.9/32");
	run(we, "ip route del 203.0.113.9/32");
	run(we, "sysctl -qw net.ipv4.ip_forward=0");
}

static void test_boot_guard(void **state)
{
	struct fw_ruleset *guard;
	struct fw_result r;

	(void)state;
	OK(fw_guard_ruleset(fw_applied(fw), &guard));
	OK(fw_commit(fw, guard, &r, &err));
	drops(they, "10.77.0.2", "10.77.0.1", 17001, "spoofed");
	drops(we, "10.77.0.1", "10.77.0.2", 9000, "clear");
	drops(they, "192.0.2.2", "192.0.2.1", 17001, "underlay");
	passes(they, "192.0.2.2", "192.0.2.1", 8080);
	fw_ruleset_free(guard);
}

/* A blocked reader is told at once. */
static void test_sock_destroy(void **state)
{
	static const char *const ends[][2] = {{"10.77.0.2", "10.77.0.1"}, {"fd77::2", "fd77::1"}};

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct fw_addr peer = addr(ends[i][0]), other = addr("10.77.0.9");
		int l = socket_at(we, SOCK_STREAM, ends[i][1], 17001), c, s;
		char buf[4];

		/* What the tests before have left may not be gone yet. */
		assert_true(sockdiag_destroy_peer(&peer, NULL, &err) >= 0);
		c = dial(they, ends[i][0], ends[i][1], 17001);
		assert_true(connected(c, WAIT_MS));
		s = accepted(l);
		assert_int_equal(sockdiag_destroy_peer(&other, NULL, &err), 0);
		assert_int_equal(read(s, buf, 4), -1);
		assert_int_equal(errno, EAGAIN);
		assert_int_equal(sockdiag_destroy_peer(&peer, NULL, &err), 1);
		assert_true(await(s, POLLIN | POLLERR | POLLHUP, WAIT_MS));
		assert_int_equal(read(s, buf, 4), -1);
		assert_int_equal(errno, ECONNABORTED);
		close(s);
		close(c);
		close(l);
	}
}

/* Half-open ones too, and IPv4 inside an IPv6 socket. */
static void test_sock_destroy_odd(void **state)
{
	struct fw_addr dead = addr("192.0.2.77"), peer = addr("10.77.0.2");
	struct sockaddr_in6 sa = {
	        .sin6_family = AF_INET6, .sin6_port = htons(17002), .sin6_addr = IN6ADDR_ANY_INIT};
	int c, s, l, e = 0, on = 0;
	socklen_t len = sizeof(e);

	(void)state;
	c = socket_at(we, SOCK_STREAM, "192.0.2.1", 0);
	/* nobody there: SYN_SENT */
	{
		struct sockaddr_storage to;
		socklen_t n = sockaddr_of("192.0.2.77", 8080, &to);

		assert_int_equal(connect(c, (void *)&to, n), -1);
	}
	assert_int_equal(sockdiag_destroy_peer(&dead, NULL, &err), 1);
	assert_true(await(c, POLLERR | POLLHUP | POLLOUT, WAIT_MS));
	assert_int_equal(getsockopt(c, SOL_SOCKET, SO_ERROR, &e, &len), 0);
	assert_int_equal(e, ECONNABORTED);
	close(c);

	l = socket(AF_INET6, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	setsockopt(l, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
	sa.sin6_port = htons(15002);
	assert_int_equal(bind(l, (void *)&sa, sizeof(sa)), 0);
	assert_int_equal(listen(l, 4), 0);
	c = dial(they, "10.77.0.2", "10.77.0.1", 15002);
	assert_true(connected(c, WAIT_MS));
	s = accepted(l);
	assert_int_equal(sockdiag_destroy_peer(&peer, NULL, &err), 1);
	assert_true(await(s, POLLIN | POLLERR | POLLHUP, WAIT_MS));
	close(s);
	close(c);
	close(l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        T(test_exact_ports),
	        T(test_device_type),
	        T(test_secpath),
	        T(test_own_port),
	        T(test_join_served),
	        T(test_join_asked),
	        T(test_ping),
	        T(test_icmp_errors),
	        T(test_denied_log),
	        T(test_revoke_kills_theirs),
	        T(test_revoke_kills_ours),
	        T(test_timeouts),
	        T(test_self_lease),
	        T(test_forward),
	        T(test_boot_guard),
	        T(test_sock_destroy),
	        T(test_sock_destroy_odd),
	};

	RUN_ALL("firewall_kernel", tests);
}

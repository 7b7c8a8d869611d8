/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Beside the overlay: what guard shuts, what lockdown leaves open, and that nothing of the overlay
 * passes there. */
#include "firewall_flow.h"

static void test_guard_underlay(void **state)
{
	(void)state;
	drops(they, "192.0.2.2", "192.0.2.1", 17001, "underlay");
	drops(they, "192.0.2.2", "192.0.2.1", 22, "underlay");
	passes(they, "192.0.2.3", "192.0.2.1", 22); /* manage */
	passes(they, "192.0.2.2", "192.0.2.1", 8080);
	drops(we, "192.0.2.1", "192.0.2.2", 17001, "underlay-out"); /* a known endpoint */
	passes(we, "192.0.2.1", "192.0.2.3", 17001); /* a stranger is not ours to guard */
	drops(they, "2001:db8::2", "2001:db8::1", 17001, "underlay");
	drops(they, "2001:db8::2", "2001:db8::1", 22, "underlay");
	passes(they, "2001:db8::3", "2001:db8::1", 22);
	passes(they, "2001:db8::2", "2001:db8::1", 8080);
	drops(we, "2001:db8::1", "2001:db8::2", 17001, "underlay-out");
	passes(we, "2001:db8::1", "2001:db8::3", 17001);
}

/* A packet on the wrong wire: an overlay source by the underlay, and our overlay traffic by it. */
static void test_no_clear_text(void **state)
{
	uint64_t before = count_of(fw, FW_COUNT_DROP, "spoofed");
	int c, l;

	(void)state;
	l = socket_at(we, SOCK_STREAM, "192.0.2.1", 8081);
	run(they, "ip rule add from 10.77.0.2 to 192.0.2.1 lookup 99 && ip route add default dev "
	          "u0 table 99");
	c = dial(they, "10.77.0.2", "192.0.2.1", 8081);
	await_drop(fw, "spoofed", before);
	assert_false(await(l, POLLIN, 0));
	close(c);
	close(l);
	run(we, "ip route add 10.77.0.2/32 via 192.0.2.2");
	drops(we, "10.77.0.1", "10.77.0.2", 9000, "clear");
	run(we, "ip route del 10.77.0.2/32 via 192.0.2.2");
	passes(we, "10.77.0.1", "10.77.0.2", 9000);
}

static void test_no_clear_text6(void **state)
{
	uint64_t before = count_of(fw, FW_COUNT_DROP, "spoofed");
	int c, l;

	(void)state;
	l = socket_at(we, SOCK_STREAM, "2001:db8::1", 8081);
	run(they, "ip -6 rule add from fd77::2 to 2001:db8::1 lookup 99 && ip -6 route add default "
	          "via 2001:db8::1 dev u0 table 99");
	c = dial(they, "fd77::2", "2001:db8::1", 8081);
	await_drop(fw, "spoofed", before);
	assert_false(await(l, POLLIN, 0));
	close(c);
	close(l);
	run(we, "ip route add fd77::2/128 via 2001:db8::2 dev eth0");
	drops(we, "fd77::1", "fd77::2", 9000, "clear");
	run(we, "ip route del fd77::2/128 via 2001:db8::2 dev eth0");
	passes(we, "fd77::1", "fd77::2", 9000);
}

/* Not even to an overlay address of ours that is asked for by the underlay. */
static void test_no_way_round(void **state)
{
	uint64_t before = count_of(fw, FW_COUNT_DROP, "spoofed");
	int c, l = socket_at(we, SOCK_STREAM, "10.77.0.1", 8082);

	(void)state;
	run(they, "ip route add 10.77.0.1/32 via 192.0.2.1 dev u0 src 192.0.2.2");
	c = dial(they, "192.0.2.2", "10.77.0.1", 8082);
	await_drop(fw, "spoofed", before);
	assert_false(await(l, POLLIN, 0));
	run(they, "ip route del 10.77.0.1/32 via 192.0.2.1 dev u0 src 192.0.2.2");
	close(c);
	close(l);
}

/* We dial out from a port of our own that is spoken for. */
static int dial_from(uint16_t port, const char *to, uint16_t to_port)
{
	struct sockaddr_storage sa;
	socklen_t len = sockaddr_of("192.0.2.1", port, &sa);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1;

	assert_true(fd >= 0);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	assert_int_equal(bind(fd, (void *)&sa, len), 0);
	len = sockaddr_of(to, to_port, &sa);
	assert_int_equal(connect(fd, (void *)&sa, len), -1);
	return fd;
}

/* Answers to it come, though their port is a protected one. */
static void test_answers_to_protected_ports(void **state)
{
	int l = socket_at(they, SOCK_STREAM, "192.0.2.3", 8083);
	int c = dial_from(17001, "192.0.2.3", 8083);

	(void)state;
	assert_true(connected(c, WAIT_MS));
	close(c);
	close(l);
}

/* ---- lockdown ---- */

static int locked(void **state)
{
	struct fw_ruleset *rs = base_ruleset();
	struct fw_peer p = node17(0);
	struct fw_result r;

	if (fresh(state) != 0)
		return -1;
	fw_ruleset_set_mode(rs, FW_LOCKDOWN);
	OK(fw_ruleset_set_peer(rs, &p));
	OK(fw_commit(fw, rs, &r, &err));
	assert_int_equal(r.outcome, FW_UPDATED);
	fw_ruleset_free(rs);
	return 0;
}

static void test_lockdown_life(void **state)
{
	(void)state;
	arrives(THEY(4500), WE(4500), true); /* IKE and ESP */
	arrives(WE(4500), THEY(4500), true);
	arrives(THEY(31000), WE(4500), true); /* behind NAT */
	arrives(WE6(4500), THEY6(4500), true);
	falls(THEY(500), WE(500), "ike500");
	arrives(WE(68), THEY(67), true); /* DHCP */
	arrives(THEY(67), WE(68), false);
	arrives(WE6(546), THEY6(547), true);
	arrives(THEY6(547), WE6(546), false);
	falls(THEY(68), WE(67), "lockdown-in");   /* we are no server */
	falls(THEY(547), WE(546), "lockdown-in"); /* nor is it one of the other family */
	falls(THEY6(67), WE6(68), "lockdown-in");
	falls(WE(67), THEY(68), "lockdown-out");
	arrives(WE(32000), THEY(53), true); /* names and time: answers only */
	arrives(WE6(32000), THEY6(53), true);
	falls(THEY(53), WE(32001), "lockdown-in");
	falls(THEY(32000), WE(53), "lockdown-in");
	arrives(WE(32000), THEY(123), true);
	arrives(WE6(123), THEY6(123), true);
	falls(THEY(123), WE(32001), "lockdown-in");
	falls(THEY(32000), WE(123), "lockdown-in");
	falls(WE(53), THEY(32000), "lockdown-out");
	passes(we, "192.0.2.1", "192.0.2.2", 53); /* long names come by TCP */
	drops(they, "192.0.2.2", "192.0.2.1", 53, "lockdown-in");
}

static void test_lockdown_manage(void **state)
{
	uint64_t before;
	int c;

	(void)state;
	passes(they, "192.0.2.3", "192.0.2.1", 22);
	passes(they, "2001:db8::3", "2001:db8::1", 22);
	drops(they, "192.0.2.2", "192.0.2.1", 22, "lockdown-in");
	drops(they, "2001:db8::2", "2001:db8::1", 22, "lockdown-in");
	drops(they, "192.0.2.3", "192.0.2.1", 23, "lockdown-in");
	drops(we, "192.0.2.1", "192.0.2.3", 22, "lockdown-out"); /* it manages us, not we it */
	before = count_of(fw, FW_COUNT_DROP, "lockdown-out");    /* nor from its port */
	c = dial_from(22, "192.0.2.3", 8084);
	await_drop(fw, "lockdown-out", before);
	close(c);
	passes(they, "10.77.0.2", "10.77.0.1", 17001); /* the overlay goes on */
	passes(we, "fd77::1", "fd77::2", 9000);
}

/* Neighbours are found and lost as ever: all is forgotten, and found again both ways. */
static void test_lockdown_neighbours(void **state)
{
	(void)state;
	run(we, "ip neigh flush dev eth0");
	run(they, "ip neigh flush dev u0");
	arrives(WE6(4500), THEY6(4500), true);
	run(we, "ip neigh flush dev eth0");
	run(they, "ip neigh flush dev u0");
	arrives(THEY6(4500), WE6(4500), true);
}

/* "Fragmentation needed" for the flow 192.0.2.1:`port` -> 192.0.2.2:53, told by 192.0.2.2. */
static void too_big(uint16_t port)
{
	uint8_t p[8 + 28] = {3, 4, 0, 0, 0, 0, 1200 >> 8, 1200 & 0xff, 0x45, 0, 0, 128, 0, 0, 0x40,
	        0, 64, IPPROTO_UDP, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2, port >> 8, port & 0xff, 0, 53,
	        0, 108, 0, 0};
	struct sockaddr_storage sa;
	socklen_t len = sockaddr_of("192.0.2.1", 0, &sa);
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
	assert_int_equal(sendto(fd, p, sizeof(p), 0, (void *)&sa, len), sizeof(p));
	close(fd);
}

static int mtu_of(int fd)
{
	int mtu = 0;
	socklen_t len = sizeof(mtu);

	assert_int_equal(getsockopt(fd, IPPROTO_IP, IP_MTU, &mtu, &len), 0);
	return mtu;
}

static void test_lockdown_path_mtu(void **state)
{
	struct end a = WE(32005), b = THEY(53);
	int fd = udp(&a), to = udp(&b);
	uint64_t before = count_of(fw, FW_COUNT_DROP, "lockdown-in"), end = now_ms() + WAIT_MS;
	struct sockaddr_storage sa;
	socklen_t len = sockaddr_of(b.addr, b.port, &sa);

	(void)state;
	too_big(32005); /* about a flow that is not */
	await_drop(fw, "lockdown-in", before);
	assert_int_equal(connect(fd, (void *)&sa, len), 0);
	assert_int_equal(mtu_of(fd), 1500);
	throw(fd, &b);
	assert_true(caught(to, WAIT_MS));
	too_big(32005);
	while (mtu_of(fd) != 1200) {
		assert_true(now_ms() < end);
		poll(NULL, 0, 10);
	}
	close(fd);
	close(to);
}

/* A sample of ports in both families and directions, TCP and UDP: none is open. */
static const uint16_t sample[] = {1, 7, 21, 22, 23, 25, 53, 67, 68, 80, 111, 123, 139, 161, 443,
        445, 546, 547, 631, 873, 2049, 3306, 4499, 4501, 5353, 5405, 6443, 6817, 8080, 9000, 10250,
        15001, 17001, 22000, 30000, 32768, 49152, 60999, 65535};
#define SAMPLES (sizeof(sample) / sizeof(*sample))

static void nothing_open(struct end from, struct end to, const char *reason, bool dns)
{
	int l[2][SAMPLES], c[2][SAMPLES];
	uint64_t before = count_of(fw, FW_COUNT_DROP, reason), end = now_ms() + 2 * WAIT_MS;
	size_t thrown = 0;

	for (size_t i = 0; i < SAMPLES; i++) {
		bool asks = dns && (sample[i] == 53 || sample[i] == 123 || sample[i] == 67 ||
		                           sample[i] == 547);

		l[0][i] = c[0][i] = l[1][i] = c[1][i] = -1;
		if (asks)
			continue;
		to.port = sample[i];
		from.port = 0;
		l[0][i] = socket_at(to.ns, SOCK_STREAM, to.addr, to.port);
		l[1][i] = udp(&to);
		c[0][i] = dial(from.ns, from.addr, to.addr, to.port);
		c[1][i] = udp(&from);
		throw(c[1][i], &to);
		thrown += 2;
	}
	while (count_of(fw, FW_COUNT_DROP, reason) < before + thrown) {
		if (now_ms() > end)
			fail_msg("not all of %zu dropped as %s", thrown, reason);
		poll(NULL, 0, 10);
	}
	for (size_t i = 0; i < SAMPLES; i++)
		for (size_t k = 0; k < 2 && l[k][i] >= 0; k++) {
			if (await(l[k][i], POLLIN, 0) || (!k && connected(c[k][i], 0)))
				fail_msg("%s %u is open", k ? "udp" : "tcp", sample[i]);
			close(l[k][i]);
			close(c[k][i]);
		}
}

static void test_lockdown_shuts_the_rest(void **state)
{
	(void)state;
	nothing_open(THEY(0), WE(0), "lockdown-in", false);
	nothing_open(THEY6(0), WE6(0), "lockdown-in", false);
	nothing_open(WE(0), THEY(0), "lockdown-out", true);
	nothing_open(WE6(0), THEY6(0), "lockdown-out", true);
}

#define L(f) cmocka_unit_test_setup_teardown(f, locked, gone)

int main(void)
{
	const struct CMUnitTest tests[] = {
	        T(test_guard_underlay),
	        T(test_no_clear_text),
	        T(test_no_clear_text6),
	        T(test_no_way_round),
	        T(test_answers_to_protected_ports),
	        L(test_lockdown_life),
	        L(test_lockdown_manage),
	        L(test_lockdown_neighbours),
	        L(test_lockdown_path_mtu),
	        L(test_lockdown_shuts_the_rest),
	};

	RUN_ALL("firewall_underlay", tests);
}

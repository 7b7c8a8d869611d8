/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What is older than the rules that forbid it: flows whose entry in conntrack was never there, or
 * is there no more. Whoever spoke first is no reason to let them live.
 */
#include "firewall_flow.h"

#define STRANGER(port) ((struct end){they, "192.0.2.3", port})

/* The base ruleset, and what `more` adds to it. */
static void commit(void (*more)(struct fw_ruleset *rs))
{
	struct fw_ruleset *rs = base_ruleset();
	struct fw_peer p = node17(0);

	OK(fw_ruleset_set_peer(rs, &p));
	if (more)
		more(rs);
	OK(fw_commit(fw, rs, NULL, &err));
	fw_ruleset_free(rs);
}

/* A flow that conntrack has not seen, and then the table. */
static struct flow flow_before(
        int ns, const char *from, const char *to, uint16_t port, void (*more)(struct fw_ruleset *))
{
	struct flow f;

	OK(fw_remove(fw, &err));
	run(we, "nft 'table inet blind { chain i { type filter hook prerouting priority -400; "
	        "notrack; }; chain o { type filter hook output priority -400; notrack; }; }'");
	f = flow_open(ns, from, to, port);
	flows_on(&f);
	commit(more);
	run(we, "nft delete table inet blind");
	return f;
}

static bool hears(int fd)
{
	char buf[64];

	return read(fd, buf, sizeof(buf)) > 0;
}

/* `first` speaks before the other: neither is heard. */
static void is_dead(int first, int second, const char *why_first, const char *why_second)
{
	uint64_t before = count_of(fw, FW_COUNT_DROP, why_first);

	assert_int_equal(write(first, "one", 3), 3);
	await_drop(fw, why_first, before);
	before = count_of(fw, FW_COUNT_DROP, why_second);
	assert_int_equal(write(second, "two", 3), 3);
	await_drop(fw, why_second, before);
	assert_false(hears(first) || hears(second));
}

/* ---- on the overlay ---- */

static void less(struct fw_ruleset *rs)
{
	static const struct fw_ports pbs_less[] = {{IPPROTO_TCP, 15001, 15004}};

	OK(fw_ruleset_add_allow(rs, FW_IN, "less", pbs_less, 1, "allow policy.yaml:20 less"));
}

static bool is_tracked(uint16_t port)
{
	char cmd[128], *text;
	bool is;

	snprintf(cmd, sizeof(cmd), "grep 'dport=%u ' /proc/self/net/nf_conntrack || true", port);
	text = output_of(we, cmd);
	is = *text;
	free(text);
	return is;
}

static int dial_with(const char *from, uint16_t from_port, const char *to, uint16_t port)
{
	struct sockaddr_storage sa;
	socklen_t len = sockaddr_of(from, from_port, &sa);
	int fd, on = 1;

	enter(they);
	fd = socket(sa.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	enter(we);
	assert_true(fd >= 0);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	assert_int_equal(bind(fd, (void *)&sa, len), 0);
	len = sockaddr_of(to, port, &sa);
	assert_int_equal(connect(fd, (void *)&sa, len), -1);
	assert_int_equal(errno, EINPROGRESS);
	return fd;
}

/* A peer reaches 17001 from a port that we may open there (9000); the allow goes; the peer has the
 * entry end by a RST that our socket never sees. Our server's next word is not a new flow to 9000.
 */
static void turned_round(const char *peer, const char *us)
{
	int l = socket_at(we, SOCK_STREAM, us, 17001), far, c = dial_with(peer, 9000, us, 17001);
	struct linger now = {1, 0};
	struct fw_peer p = node17(0);
	uint64_t before, end = now_ms() + WAIT_MS;

	commit(less);
	assert_true(connected(c, WAIT_MS));
	far = accepted(l);
	p.in = "less";
	OK(fw_peer_admit(fw, &p, NULL, &err));
	run(we, "sysctl -qw net.netfilter.nf_conntrack_tcp_timeout_close=1");
	assert_true(is_tracked(17001));
	before = count_of(fw, FW_COUNT_DROP, "denied-in");
	setsockopt(c, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	close(c);
	await_drop(fw, "denied-in", before);
	while (is_tracked(17001)) {
		assert_true(now_ms() < end);
		poll(NULL, 0, 50);
	}
	before = count_of(fw, FW_COUNT_DROP, "midstream");
	assert_int_equal(write(far, "prompt", 6), 6);
	await_drop(fw, "midstream", before);
	assert_false(is_tracked(9000));
	close(far);
	close(l);
}

static void test_entry_that_ended(void **state)
{
	(void)state;
	turned_round("10.77.0.2", "10.77.0.1");
}

static void test_entry_that_ended6(void **state)
{
	(void)state;
	turned_round("fd77::2", "fd77::1");
}

/* Nor does an allowed flow go on that has no entry, whoever speaks; but those that have, do, when
 * the table goes and comes. */
static void test_table_that_came_back(void **state)
{
	struct flow known, unknown;
	uint64_t before;

	(void)state;
	unknown = flow_before(they, "10.77.0.2", "10.77.0.1", 15001, NULL);
	known = flow_open(they, "10.77.0.2", "10.77.0.1", 15002);
	run(we, "nft flush ruleset");
	flows_on(&known);
	fw_forget(fw);
	commit(NULL);
	flows_on(&known);
	assert_int_equal(count_of(fw, FW_COUNT_DROP, "midstream"), 0);
	is_dead(unknown.far, unknown.near, "midstream", "midstream");
	before = count_of(fw, FW_COUNT_DROP, "midstream");
	flows_on(&known);
	assert_true(count_of(fw, FW_COUNT_DROP, "midstream") >= before);
	flow_close(&known);
	flow_close(&unknown);
}

/* ---- in clear ---- */

static void clear_flow(bool server_first, const char *them, const char *us)
{
	struct flow f = flow_before(they, them, us, 17001, NULL);

	if (server_first)
		is_dead(f.far, f.near, "midstream", "underlay");
	else
		is_dead(f.near, f.far, "underlay", "midstream");
	flow_close(&f);
}

static void test_clear_flow_to_us(void **state)
{
	(void)state;
	for (int first = 0; first < 2; first++) {
		clear_flow(first, "192.0.2.3", "192.0.2.1"); /* a stranger's */
		clear_flow(first, "192.0.2.2", "192.0.2.1"); /* a peer's */
		clear_flow(first, "2001:db8::3", "2001:db8::1");
	}
}

/* Ours to a peer ends; to a stranger it is not ours to end. */
static void test_clear_flow_of_ours(void **state)
{
	struct flow f = flow_before(we, "192.0.2.1", "192.0.2.2", 17001, NULL);

	(void)state;
	is_dead(f.far, f.near, "midstream", "underlay-out");
	flow_close(&f);
	f = flow_before(we, "2001:db8::1", "2001:db8::2", 17001, NULL);
	is_dead(f.far, f.near, "midstream", "underlay-out");
	flow_close(&f);
	f = flow_before(we, "192.0.2.1", "192.0.2.3", 17001, NULL);
	flows_on(&f);
	flow_close(&f);
}

static void locked(struct fw_ruleset *rs)
{
	fw_ruleset_set_mode(rs, FW_LOCKDOWN);
}

/* The manager's own session survives the table's beginning, even if we speak first. */
static void test_managers_flow(void **state)
{
	static const char *const ends[][2] = {
	        {"192.0.2.3", "192.0.2.1"}, {"2001:db8::3", "2001:db8::1"}};
	char buf[8];

	(void)state;
	for (int i = 0; i < 4; i++) {
		struct flow f = flow_before(
		        they, ends[i % 2][0], ends[i % 2][1], 22, i < 2 ? locked : NULL);

		for (int k = 0; k < 2; k++) {
			assert_int_equal(write(f.far, "motd", 4), 4);
			assert_true(await(f.near, POLLIN, WAIT_MS));
			assert_int_equal(read(f.near, buf, sizeof(buf)), 4);
		}
		flows_on(&f);
		flow_close(&f);
	}
	passes(they, "192.0.2.3", "192.0.2.1", 22);
}

/* In lockdown our words to a port that we may ask (53) could begin such a flow, too. */
static void test_lockdown_asks_nobody_midstream(void **state)
{
	struct flow f = {.listener = socket_at(we, SOCK_STREAM, "192.0.2.1", 17001)};

	(void)state;
	OK(fw_remove(fw, &err));
	run(we, "nft 'table inet blind { chain i { type filter hook prerouting priority -400; "
	        "notrack; }; chain o { type filter hook output priority -400; notrack; }; }'");
	f.near = dial_with("192.0.2.3", 53, "192.0.2.1", 17001);
	assert_true(connected(f.near, WAIT_MS));
	f.far = accepted(f.listener);
	commit(locked);
	run(we, "nft delete table inet blind");
	is_dead(f.far, f.near, "midstream", "lockdown-in");
	flow_close(&f);
}

/* UDP: a service's word from its port is not the first of a flow; what has a service's port by
 * chance may ask. */
static void datagrams(struct fw_ruleset *rs)
{
	static const struct fw_ports udp_ports[] = {{IPPROTO_UDP, 123, 123},
	        {IPPROTO_UDP, 694, 694}, {IPPROTO_UDP, 4000, 5000}, {IPPROTO_UDP, 40000, 41000}};

	for (size_t i = 0; i < 4; i++)
		OK(fw_ruleset_add_protected(rs, &udp_ports[i]));
	OK(fw_ruleset_add_tunnel_port(rs, 4510));
}

static void test_datagrams_in_clear(void **state)
{
	(void)state;
	commit(datagrams);
	falls(WE(694), STRANGER(5100), "midstream");
	falls(WE(4321), STRANGER(53), "midstream");
	falls(WE(694), THEY(5100), "midstream");
	falls(WE(40001), THEY(5100), "midstream");
	falls(WE6(40001), THEY6(5100), "midstream");
	falls(THEY(694), WE(5100), "midstream"); /* a peer's answer to what is older */
	falls(THEY6(40001), WE6(5100), "midstream");
	falls(STRANGER(5100), WE(694), "underlay");
	arrives(STRANGER(694), WE(5100), true); /* a stranger's service is not ours */
	arrives(WE(40001), STRANGER(5100), true);
	arrives(WE(40001), THEY(53), true); /* a resolver that is a peer */
	arrives(THEY(40001), WE(53), true);
	arrives(WE(123), STRANGER(123), true); /* ntp asks from its own port */
}

/* Our port is for tunnels, whoever has it: not to peers' protected ports. */
static void test_our_port(void **state)
{
	(void)state;
	for (int lock = 0; lock < 2; lock++) {
		commit(datagrams);
		if (lock) {
			struct fw_ruleset *rs;

			OK(fw_ruleset_clone(fw_applied(fw), &rs));
			fw_ruleset_set_mode(rs, FW_LOCKDOWN);
			OK(fw_commit(fw, rs, NULL, &err));
			fw_ruleset_free(rs);
		}
		falls(WE(4500), THEY(694), "underlay-out");
		falls(WE(4500), THEY(4501), "underlay-out");
		falls(WE6(4500), THEY6(694), "underlay-out");
		arrives(WE(4500), THEY(4500), true); /* which the range does not protect */
		arrives(STRANGER(4500), WE(4500), true);
		arrives(WE(4500), THEY(4510), true); /* forwarded to a peer's charon */
		arrives(THEY(4602), WE(4500), true); /* behind NAT: it speaks first */
		arrives(WE(4500), STRANGER(3999), true);
	}
}

/* ---- to all at once ---- */

/* By eth0, whatever the routes say. */
static void shout(const char *to, uint16_t port)
{
	struct sockaddr_storage sa;
	socklen_t len = sockaddr_of(to, port, &sa);
	int on = 1, fd = socket(sa.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	setsockopt(fd, SOL_SOCKET, SO_BROADCAST, &on, sizeof(on));
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, "eth0", 5), 0);
	if (sendto(fd, "secret", 6, 0, (void *)&sa, len) < 0 && errno != EPERM)
		fail_msg("to %s: %s", to, strerror(errno));
	close(fd);
}

static void test_nothing_to_all(void **state)
{
	static const char *const all[] = {
	        "192.0.2.255", "255.255.255.255", "239.1.1.1", "224.0.0.1", "ff02::1", "ff05::2"};

	(void)state;
	commit(datagrams);
	for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++) {
		uint64_t before = count_of(fw, FW_COUNT_DROP, "underlay-out");
		int tap = wire_tap("u0");

		shout(all[i], 694);
		if (count_of(fw, FW_COUNT_DROP, "underlay-out") != before + 1)
			fail_msg("udp/694 to %s is not dropped", all[i]);
		if (on_wire(tap, 694))
			fail_msg("udp/694 to %s is on the wire", all[i]);
		shout(all[i], 695); /* the tap sees what is nobody's secret */
		if (!on_wire(tap, 695))
			fail_msg("udp/695 to %s is not on the wire", all[i]);
		close(tap);
	}
}

/* ---- sockets that the table has killed ---- */

static bool has_ended(int fd)
{
	char c;

	return await(fd, POLLIN | POLLHUP | POLLERR, WAIT_MS) && read(fd, &c, 1) == -1 &&
	       errno == ECONNABORTED;
}

static void narrowed(const char *peer, const char *us, bool by_name)
{
	struct flow kept, lost, ours;
	struct fw_peer p = node17(0), q = {.name = "other", .in = "exec", .out = "head"};

	q.v4 = addr("10.77.0.3");
	q.v6 = addr("fd77::3");
	OK(sockdiag_destroy_peer(&p.v4, NULL, &err)); /* of the tests before */
	OK(sockdiag_destroy_peer(&p.v6, NULL, &err));
	commit(less);
	OK(fw_peer_admit(fw, &q, NULL, &err));
	kept = flow_open(they, peer, us, 15002);
	lost = flow_open(they, peer, us, 17001);
	ours = flow_open(we, us, peer, 9000);
	assert_int_equal(sockdiag_destroy_denied(fw_applied(fw), NULL, &err), 0);
	p.in = "less";
	OK(fw_peer_admit(fw, &p, NULL, &err));
	if (by_name)
		assert_int_equal(sockdiag_destroy_denied(fw_applied(fw), "other", &err), 0);
	assert_int_equal(
	        sockdiag_destroy_denied(fw_applied(fw), by_name ? "node17" : NULL, &err), 1);
	assert_true(has_ended(lost.far));
	flows_on(&kept);
	flows_on(&ours);
	OK(fw_peer_revoke(
	        fw, "node17", NULL, &err)); /* who is not admitted is another's business */
	assert_int_equal(sockdiag_destroy_denied(fw_applied(fw), NULL, &err), 0);
	OK(fw_peer_admit(fw, &p, NULL, &err));
	p.out = NULL;
	p.in = NULL;
	OK(fw_peer_admit(fw, &p, NULL, &err));
	assert_int_equal(sockdiag_destroy_denied(fw_applied(fw), NULL, &err), 2);
	assert_true(has_ended(ours.near) && has_ended(kept.far));
	flow_close(&kept);
	flow_close(&lost);
	flow_close(&ours);
}

static void test_narrowed_class(void **state)
{
	(void)state;
	narrowed("10.77.0.2", "10.77.0.1", true);
	narrowed("fd77::2", "fd77::1", false);
	assert_int_equal(sockdiag_destroy_denied(fw_applied(fw), "nobody", &err), -ENOENT);
}

/* ---- several prefixes: a set instead of a comparison ---- */

static void two_prefixes(struct fw_ruleset *rs)
{
	struct fw_addr a = addr("10.78.0.0/16"), b = addr("fd78::/64");

	OK(fw_ruleset_add_prefix(rs, &a));
	OK(fw_ruleset_add_prefix(rs, &b));
}

static void test_prefixes(void **state)
{
	static const char *const dst[] = {"10.77.9.9", "10.78.0.9", "fd77::9", "fd78::9"};

	(void)state;
	run(we, "ip route add 10.77.9.9/32 via 192.0.2.2; ip route add 10.78.0.9/32 via 192.0.2.2; "
	        "ip route add fd77::9/128 via 2001:db8::2; ip route add fd78::9/128 via "
	        "2001:db8::2");
	for (int two = 0; two < 2; two++) {
		commit(two ? two_prefixes : NULL);
		for (size_t i = 0; i < 4; i++) {
			uint64_t before = count_of(fw, FW_COUNT_DROP, "clear");

			shout(dst[i], 7);
			assert_int_equal(
			        count_of(fw, FW_COUNT_DROP, "clear"), before + (two || i % 2 == 0));
		}
	}
	run(we, "ip route del 10.77.9.9/32; ip route del 10.78.0.9/32; ip route del fd77::9/128; "
	        "ip route del fd78::9/128");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        T(test_entry_that_ended),
	        T(test_entry_that_ended6),
	        T(test_table_that_came_back),
	        T(test_clear_flow_to_us),
	        T(test_clear_flow_of_ours),
	        T(test_managers_flow),
	        T(test_lockdown_asks_nobody_midstream),
	        T(test_datagrams_in_clear),
	        T(test_our_port),
	        T(test_nothing_to_all),
	        T(test_narrowed_class),
	        T(test_prefixes),
	};

	RUN_ALL("firewall_stale", tests);
}

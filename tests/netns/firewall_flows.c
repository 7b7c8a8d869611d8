/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Flows and the programs that have them: what stops when, and who is told. */
#include "firewall_flow.h"

/* Not one byte more, either way; and nobody is told. */
static void has_stopped(const struct flow *f)
{
	uint64_t in = count_of(fw, FW_COUNT_DROP, "denied-in");
	uint64_t out = count_of(fw, FW_COUNT_DROP, "denied-out");
	char buf[8];

	assert_int_equal(write(f->near, "ping", 4), 4);
	assert_int_equal(write(f->far, "pong", 4), 4);
	await_drop(fw, "denied-in", in);
	await_drop(fw, "denied-out", out);
	assert_int_equal(read(f->far, buf, sizeof(buf)), -1);
	assert_int_equal(errno, EAGAIN);
	assert_int_equal(read(f->near, buf, sizeof(buf)), -1);
	assert_int_equal(errno, EAGAIN);
}

/* The peer keeps an allow and loses another, by another class. */
static void class_changes(const char *peer, const char *us)
{
	static const struct fw_ports one[] = {{IPPROTO_TCP, 15001, 15001}};
	struct fw_ruleset *rs;
	struct fw_peer p = node17(0);
	struct flow kept, lost;
	struct fw_result r;

	OK(fw_ruleset_clone(fw_applied(fw), &rs));
	OK(fw_ruleset_add_allow(rs, FW_IN, "lite", one, 1, "allow policy.yaml:20 one"));
	OK(fw_commit(fw, rs, &r, &err));
	kept = flow_open(they, peer, us, 15001);
	lost = flow_open(they, peer, us, 17001);
	p.in = "lite";
	OK(fw_peer_admit(fw, &p, &r, &err));
	assert_int_equal(r.elements_removed, 2);
	assert_int_equal(r.elements_added, 2);
	has_stopped(&lost);
	flows_on(&kept);
	drops(they, peer, us, 17002, "denied-in");
	p.in = "exec";
	OK(fw_peer_admit(fw, &p, &r, &err));
	flows_on(&kept);
	flow_close(&kept);
	flow_close(&lost);
	fw_ruleset_free(rs);
}

static void test_class_changes(void **state)
{
	(void)state;
	class_changes("10.77.0.2", "10.77.0.1");
}

static void test_class_changes6(void **state)
{
	(void)state;
	class_changes("fd77::2", "fd77::1");
}

/* The same by a policy whose class loses an allow: a commit of the whole. Ours is the one that
 * goes on. */
static void test_allow_removed(void **state)
{
	static const struct fw_ports less[] = {{IPPROTO_TCP, 15001, 15004}};
	static const struct fw_ports nine[] = {{IPPROTO_TCP, 9000, 9000}};
	struct flow kept = flow_open(they, "10.77.0.2", "10.77.0.1", 15002);
	struct flow lost = flow_open(they, "10.77.0.2", "10.77.0.1", 17001);
	struct flow ours = flow_open(we, "10.77.0.1", "10.77.0.2", 9000);
	struct fw_addr a = addr("10.77.0.0/16"), self = addr("10.77.0.1");
	struct fw_peer p = node17(0);
	struct fw_ruleset *rs;
	struct fw_result r;

	(void)state;
	OK(fw_ruleset_new(&rs));
	OK(fw_ruleset_set_device(rs, "ipsec0"));
	OK(fw_ruleset_add_prefix(rs, &a));
	OK(fw_ruleset_add_self(rs, &self, 0));
	OK(fw_ruleset_add_allow(rs, FW_IN, "exec", less, 1, "allow policy.yaml:14 pbs"));
	OK(fw_ruleset_add_allow(rs, FW_OUT, "head", nine, 1, "allow policy.yaml:15 nine"));
	OK(fw_ruleset_set_peer(rs, &p));
	OK(fw_commit(fw, rs, &r, &err));
	assert_int_equal(r.outcome, FW_UPDATED);
	has_stopped(&lost);
	flows_on(&kept);
	flows_on(&ours);
	p.out = NULL;
	OK(fw_peer_admit(fw, &p, &r, &err));
	has_stopped(&ours);
	flows_on(&kept);
	flow_close(&kept);
	flow_close(&lost);
	flow_close(&ours);
	fw_ruleset_free(rs);
}

/* ---- our own programs are told ---- */

static int error_of(int fd)
{
	int e = 0;
	socklen_t len = sizeof(e);

	assert_true(await(fd, POLLOUT | POLLERR | POLLHUP, 500));
	assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_ERROR, &e, &len), 0);
	return e;
}

static void is_refused(const char *from, const char *to, uint16_t port)
{
	uint64_t before = count_of(fw, FW_COUNT_DROP, "denied-out"), start = now_ms();
	int tap = wire_tap("p0"), fd = dial(we, from, to, port);

	assert_int_equal(error_of(fd), ECONNREFUSED);
	assert_true(now_ms() - start < 500); /* not by a timeout: the first is 1 s */
	assert_int_equal(count_of(fw, FW_COUNT_DROP, "denied-out"), before + 1);
	assert_false(on_wire(tap, port));
	close(fd);
	close(tap);
}

static void test_connect_is_refused(void **state)
{
	int tap, l, c;

	(void)state;
	is_refused("10.77.0.1", "10.77.0.2", 9001); /* not this port */
	is_refused("10.77.0.1", "10.77.0.3", 9000); /* nobody admitted */
	is_refused("fd77::1", "fd77::2", 9001);
	is_refused("fd77::1", "fd77::3", 9000);
	OK(fw_peer_revoke(fw, "node17", NULL, &err));
	is_refused("10.77.0.1", "10.77.0.2", 9000);
	tap = wire_tap("p0"); /* the tap sees what passes: else it proves nothing */
	OK(fw_peer_admit(fw, &(struct fw_peer[]){node17(0)}[0], NULL, &err));
	l = socket_at(they, SOCK_STREAM, "10.77.0.2", 9000);
	c = dial(we, "10.77.0.1", "10.77.0.2", 9000);
	assert_true(connected(c, WAIT_MS));
	assert_true(on_wire(tap, 9000));
	close(c);
	close(l);
	close(tap);
}

/* A datagram fails at once, each time; and a connected socket hears why. */
static void test_datagrams_are_refused(void **state)
{
	static const struct {
		const char *from, *to;
		int why;
	} ends[] = {{"10.77.0.1", "10.77.0.3", EHOSTUNREACH}, {"fd77::1", "fd77::3", EACCES}};

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct sockaddr_storage sa;
		socklen_t len = sockaddr_of(ends[i].to, 9000, &sa);
		int tap = wire_tap("p0"), fd = socket_at(we, SOCK_DGRAM, ends[i].from, 0);
		uint64_t before = count_of(fw, FW_COUNT_DROP, "denied-out");

		assert_int_equal(connect(fd, (void *)&sa, len), 0);
		for (unsigned k = 1; k <= 3; k++) {
			assert_int_equal(send(fd, "x", 1, 0), -1);
			assert_int_equal(errno, EPERM);
			assert_true(await(fd, POLLERR, WAIT_MS)); /* where softirqs lag */
			assert_int_equal(error_of(fd), ends[i].why);
			assert_int_equal(count_of(fw, FW_COUNT_DROP, "denied-out"), before + k);
		}
		assert_false(on_wire(tap, 9000));
		close(fd);
		close(tap);
	}
}

/* A peer that knocks in vain hears nothing. */
static void test_peers_are_not_told(void **state)
{
	uint64_t before = count_of(fw, FW_COUNT_DROP, "denied-in");
	uint64_t out = count_of(fw, FW_COUNT_DROP, "denied-out");
	int c = dial(they, "10.77.0.2", "10.77.0.1", 23); /* where nobody listens */

	(void)state;
	await_drop(fw, "denied-in", before);
	assert_false(await(c, POLLOUT | POLLERR | POLLHUP, 100));
	assert_int_equal(count_of(fw, FW_COUNT_DROP, "denied-out"), out);
	close(c);
}

/* What is half open when its peer is revoked is refused by the next try to open it. */
static void test_half_open_is_refused(void **state)
{
	int fd;

	(void)state;
	run(they, "nft 'table inet hush { chain c { type filter hook prerouting priority -400; "
	          "tcp dport 9000 drop; }; }'");
	fd = dial(we, "10.77.0.1", "10.77.0.2", 9000);
	assert_false(await(fd, POLLOUT | POLLERR | POLLHUP, 50));
	OK(fw_peer_revoke(fw, "node17", NULL, &err));
	assert_true(await(fd, POLLOUT | POLLERR | POLLHUP, WAIT_MS)); /* at TCP's next, after 1 s */
	assert_int_equal(error_of(fd), ECONNREFUSED);
	run(they, "nft delete table inet hush");
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        T(test_class_changes),
	        T(test_class_changes6),
	        T(test_allow_removed),
	        T(test_connect_is_refused),
	        T(test_datagrams_are_refused),
	        T(test_peers_are_not_told),
	        T(test_half_open_is_refused),
	};

	RUN_ALL("firewall_flows", tests);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * When the kernel says no, says too much, or says it while others change things: missing rights,
 * lost answers and events, interrupted dumps, full sets, untracked packets, half-open sockets.
 */
#include "firewall_rules.h"

#include <linux/capability.h>
#include <linux/netlink.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "firewall/message.h"

/* The firewall asks for large receive buffers, so that answers are not lost. This lets the kernel
 * lose them: it takes the place of libc's, in this program only. */
static bool tiny_buffers;

int setsockopt(int fd, int level, int name, const void *value, socklen_t len)
{
	int tiny = 1;

	if (tiny_buffers && level == SOL_SOCKET && (name == SO_RCVBUF || name == SO_RCVBUFFORCE)) {
		value = &tiny;
		len = sizeof(tiny);
	}
	return (int)syscall(SYS_setsockopt, fd, level, name, value, len);
}

/* ---- rights ---- */

static void drop_net_admin(void)
{
	struct __user_cap_header_struct h = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct d[2];

	if (syscall(SYS_capget, &h, d) < 0)
		_exit(90);
	d[0].effective &= ~(1u << CAP_NET_ADMIN);
	d[0].permitted &= ~(1u << CAP_NET_ADMIN);
	if (syscall(SYS_capset, &h, d) < 0)
		_exit(91);
}

/* In a child without CAP_NET_ADMIN: 0 if each call gave -EPERM and a sentence that names it. */
static int without_rights(void)
{
	struct fw_ruleset *rs = base_ruleset();
	struct fw_addr peer = addr("10.77.0.2");
	struct fw *mine;

	drop_net_admin();
	if (fw_open(&mine, &err) < 0)
		return 1;
	if (fw_commit(mine, rs, NULL, &err) != -EPERM || !strstr(err.text, "CAP_NET_ADMIN"))
		return 2;
	err.text[0] = '\0';
	if (fw_remove(mine, &err) != -EPERM || !strstr(err.text, "CAP_NET_ADMIN"))
		return 3;
	err.text[0] = '\0';
	if (sockdiag_destroy_peer(&peer, NULL, &err) != -EPERM ||
	        !strstr(err.text, "CAP_NET_ADMIN"))
		return 4;
	fw_close(mine);
	fw_ruleset_free(rs);
	return 0;
}

static void test_no_rights(void **state)
{
	int l = socket_at(we, SOCK_STREAM, "10.77.0.1", 17001), status, c, s;
	char *before = output_of(we, "nft -a list table inet overlayd"), *after;
	pid_t child;

	(void)state;
	c = dial(they, "10.77.0.2", "10.77.0.1", 17001);
	assert_true(connected(c, WAIT_MS));
	s = accepted(l); /* a socket that would be destroyed */
	free(before);
	before = output_of(we, "nft list chains");
	child = fork();
	if (!child)
		_exit(without_rights());
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	after = output_of(we, "nft list chains");
	assert_string_equal(before, after);
	assert_int_equal(write(c, "x", 1), 1);
	assert_true(await(s, POLLIN, WAIT_MS)); /* and which lives */
	free(before);
	free(after);
	close(c);
	close(s);
	close(l);
}

/* ---- lost answers, lost events ---- */

static struct fw_ruleset *with_classes(unsigned n)
{
	struct fw_ruleset *rs = base_ruleset();
	struct fw_peer p = node17(0);

	for (unsigned i = 0; i < n; i++) {
		char name[16];

		snprintf(name, sizeof(name), "c%u", i);
		OK(fw_ruleset_add_allow(rs, FW_IN, name, ssh, 1, "allow policy.yaml:1 ssh"));
	}
	OK(fw_ruleset_set_peer(rs, &p));
	return rs;
}

/* The kernel did it, but its answers are lost: the commit looks, and finds that all is well. */
static void test_lost_answers(void **state)
{
	struct fw_ruleset *rs = with_classes(30);
	struct nlsock s;
	struct batch b;
	struct fw_result r;

	(void)state;
	OK(nlsock_open(&s, NETLINK_NETFILTER, &err));
	batch_begin(&b, 1, 0);
	for (int i = 0; i < 200; i++)
		put_table(&b, NFT_MSG_NEWTABLE);
	tiny_buffers = true;
	assert_int_equal(nlsock_commit(&s, &b, &err), -ENOBUFS); /* they are lost indeed */
	assert_non_null(strstr(err.text, "lost the kernel's answers"));
	batch_clear(&b);
	nlsock_close(&s);
	OK(fw_commit(fw, rs, &r, &err));
	tiny_buffers = false;
	assert_ptr_not_equal(fw_applied(fw), NULL);
	fw_forget(fw);
	OK(fw_commit(fw, rs, &r, &err));
	assert_int_equal(r.messages, 0);
	assert_false(r.was_foreign);
	passes(they, "10.77.0.2", "10.77.0.1", 17001);
	fw_ruleset_free(rs);
}

static void test_lost_events(void **state)
{
	struct fw_change c = {0};
	struct fw_monitor *m;
	struct fw *other;
	struct fw_ruleset *rs = with_classes(60);

	(void)state;
	tiny_buffers = true;
	OK(fw_monitor_open(&m, fw, &err));
	tiny_buffers = false;
	OK(fw_open(&other, &err)); /* a program that is not us */
	OK(fw_commit(other, rs, NULL, &err));
	assert_true(await(fw_monitor_fd(m), POLLIN | POLLERR, WAIT_MS));
	assert_int_equal(fw_monitor_process(m, &c), 1);
	assert_true(c.lost);
	while (fw_monitor_process(m, &c) == 1)
		;
	OK(fw_remove(other, &err)); /* and it goes on watching */
	assert_true(await(fw_monitor_fd(m), POLLIN, WAIT_MS));
	assert_int_equal(fw_monitor_process(m, &c), 1);
	fw_monitor_close(m);
	fw_close(other);
	fw_ruleset_free(rs);
}

/* ---- others' changes while we read ---- */

static pid_t changing;

static void start_changing(void)
{
	struct fw_addr a = addr("192.0.2.200");
	struct fw *other;

	changing = fork();
	assert_true(changing >= 0);
	if (changing)
		return;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (fw_open(&other, NULL) < 0)
		_exit(1);
	for (;;) {
		struct fw_ruleset *rs = with_classes(1);

		if (fw_commit(other, rs, NULL, NULL) < 0)
			fw_forget(other);
		for (int i = 0; i < 50 && fw_applied(other); i++) {
			fw_endpoint_add(other, &a, NULL, NULL);
			fw_endpoint_remove(other, &a, NULL, NULL);
		}
		fw_ruleset_free(rs);
	}
}

static void stop_changing(void)
{
	if (changing > 0) {
		kill(changing, SIGKILL);
		waitpid(changing, NULL, 0);
	}
	changing = 0;
}

static int calm(void **state)
{
	stop_changing();
	return gone(state);
}

static int pass_over(void *ctx, const struct nlmsghdr *nlh)
{
	(void)nlh;
	poll(NULL, 0, *(int *)ctx); /* a slow reader */
	return 0;
}

static int count_in_vain(void *ctx, const struct fw_counter *c)
{
	(void)c;
	(*(unsigned *)ctx)++;
	return 0;
}

/* Under a storm of changes each call ends, well or with -EINTR; commits get through; after it, all
 * is as wanted. */
static void test_interrupted_dumps(void **state)
{
	struct fw_ruleset *rs = with_classes(40);
	uint64_t end = now_ms() + 4 * WAIT_MS, start;
	unsigned told = 0;
	struct nlsock s;
	unsigned replaced = 0;
	int slow_ms = 1, rc = 0;
	struct dump d = {.type = NFT_MSG_GETRULE, .cb = pass_over, .ctx = &slow_ms};
	struct fw_result r;
	(void)state;
	OK(fw_commit(fw, rs, NULL, &err));
	OK(nlsock_open(&s, NETLINK_NETFILTER, &err));
	start_changing();
	while (rc != -EINTR) { /* a dump that was interrupted is never taken for whole */
		assert_true(now_ms() < end);
		rc = nlsock_dump(&s, &d, &err);
		assert_true(rc == 0 || rc == -EINTR);
	}
	nlsock_close(&s);
	for (int i = 0; i < 4; i++) {
		start = now_ms();
		rc = fw_counters_read(fw, count_in_vain, &told, &err);
		/* -ENOENT: a class' set went away in between */
		assert_true(rc == 0 || rc == -EINTR || rc == -ENOENT);
		fw_forget(fw);
		rc = fw_commit(fw, rs, &r, &err);
		if (rc < 0)
			fail_msg("commit: %s", err.text);
		replaced += r.outcome == FW_REPLACED;
		assert_true(now_ms() - start < 6 * WAIT_MS);
	}
	print_message("# %u of 4 commits replaced the table\n", replaced);
	stop_changing();
	fw_forget(fw);
	OK(fw_commit(fw, rs, &r, &err));
	fw_forget(fw);
	OK(fw_commit(fw, rs, &r, &err));
	assert_int_equal(r.messages, 0);
	passes(they, "10.77.0.2", "10.77.0.1", 17001);
	fw_ruleset_free(rs);
}

/* ---- bounds ---- */

struct denied_seen {
	unsigned n;
	bool late; /* the one that came when the set was full */
};

static int see_denied(void *ctx, const struct fw_denied *d)
{
	struct denied_seen *seen = ctx;

	seen->n++;
	if (d->port == 5000)
		seen->late = true;
	return 0;
}

/* A full set takes no more; what it cannot note is dropped and counted all the same. */
static void test_denied_is_bounded(void **state)
{
	struct denied_seen seen = {0};

	(void)state;
	run(we, "{ printf 'add element inet overlayd denied_in4 { '; "
	        "for i in $(seq 6001 7024); do printf '10.77.0.9 . tcp . %%d, ' $i; done; "
	        "echo '}'; } | nft -f -");
	run(we, "! nft add element inet overlayd denied_in4 '{ 10.77.0.9 . tcp . 9 }' 2>&-");
	drops(they, "10.77.0.3", "10.77.0.1", 5000, "denied-in");
	OK(fw_denied_read(fw, see_denied, &seen, &err));
	assert_int_equal(seen.n, 1024);
	assert_false(seen.late);
	run(we, "nft delete element inet overlayd denied_in4 '{ 10.77.0.9 . tcp . 6001 }'");
	drops(they, "10.77.0.3", "10.77.0.1", 5000, "denied-in"); /* there is room again */
	seen = (struct denied_seen){0};
	OK(fw_denied_read(fw, see_denied, &seen, &err));
	assert_int_equal(seen.n, 1024);
	assert_true(seen.late);
}

/* Packets that another table takes out of connection tracking are nobody's flow. */
static void test_untracked(void **state)
{
	(void)state;
	run(we, "nft 'table inet raw { chain p { type filter hook prerouting priority -310; "
	        "iifname ipsec0 notrack; }; chain o { type filter hook output priority -310; "
	        "oifname ipsec0 notrack; }; }'");
	drops(they, "10.77.0.2", "10.77.0.1", 17001, "invalid");
	drops(they, "fd77::2", "fd77::1", 17001, "invalid");
	drops(we, "10.77.0.1", "10.77.0.2", 9000, "invalid");
	drops(we, "fd77::1", "fd77::2", 9000, "invalid");
	run(we, "nft 'delete table inet raw'");
	passes(they, "10.77.0.2", "10.77.0.1", 17001);
}

/* ---- sockets ---- */

static unsigned half_open(void)
{
	char *list = output_of(we, "ss -Htn state syn-recv | wc -l");
	unsigned n = (unsigned)strtoul(list, NULL, 10);

	free(list);
	return n;
}

/* A peer that never ends its handshakes leaves nothing when it is revoked. */
static void test_half_open_sockets(void **state)
{
	static const char *const ends[][2] = {{"10.77.0.2", "10.77.0.1"}, {"fd77::2", "fd77::1"}};

	(void)state;
	run(they, "nft 'table inet hush { chain c { type filter hook prerouting priority -400; "
	          "tcp flags & (syn | ack) == (syn | ack) drop; }; "
	          "chain o { type filter hook output priority 0; }; }'");
	for (size_t i = 0; i < 2; i++) {
		int l = socket_at(we, SOCK_STREAM, ends[i][1], 17001);
		int c = dial(they, ends[i][0], ends[i][1], 17001);
		struct fw_addr peer = addr(ends[i][0]), other = addr("10.77.0.9");
		uint64_t end = now_ms() + WAIT_MS;

		while (half_open() != 1) {
			assert_true(now_ms() < end);
			poll(NULL, 0, 10);
		}
		/* No new handshake meanwhile. Ours must be able to send: a half-open socket that
		 * cannot answer again goes by itself, after a second. */
		run(they, "nft add rule inet hush o tcp flags syn drop");
		assert_int_equal(sockdiag_destroy_peer(&other, NULL, &err), 0);
		assert_int_equal(half_open(), 1);
		assert_int_equal(sockdiag_destroy_peer(&peer, NULL, &err), 1);
		assert_int_equal(half_open(), 0);
		run(they, "nft flush chain inet hush o");
		close(c);
		close(l);
	}
	run(they, "nft delete table inet hush");
}

/* Only the sockets of the one own address, if one is given. */
static void test_sockets_of_one_address(void **state)
{
	int l = socket_at(we, SOCK_STREAM, "10.77.0.1", 17001);
	int c = dial(they, "10.77.0.2", "10.77.0.1", 17001), s;
	struct fw_addr peer = addr("10.77.0.2"), us = addr("10.77.0.1"), not = addr("10.77.0.8");
	struct fw_addr all = addr("10.77.0.0/16");

	(void)state;
	assert_true(connected(c, WAIT_MS));
	s = accepted(l);
	assert_int_equal(sockdiag_destroy_peer(&all, NULL, &err), -EINVAL);
	assert_int_equal(sockdiag_destroy_peer(&peer, &not, &err), 0);
	assert_int_equal(sockdiag_destroy_peer(&peer, &us, &err), 1);
	close(s);
	close(c);
	close(l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        T(test_no_rights),
	        T(test_lost_answers),
	        T(test_lost_events),
	        cmocka_unit_test_setup_teardown(test_interrupted_dumps, fresh, calm),
	        T(test_denied_is_bounded),
	        T(test_untracked),
	        T(test_half_open_sockets),
	        T(test_sockets_of_one_address),
	};

	RUN_ALL("firewall_trouble", tests);
}

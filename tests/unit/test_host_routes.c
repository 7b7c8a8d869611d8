/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Addresses, rules, routes and devices against the real kernel, in a network namespace of its own.
 */
#include "host/plane.h"
#include "host/routes.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static struct rtnl *rt;
static char why[256];

static int run(const char *command)
{
	return system(command);
}

/* The whole output of a command, in a buffer that the next call uses again. */
static const char *said(const char *command)
{
	static char buf[8192];
	FILE *in = popen(command, "r");
	size_t n;

	assert_non_null(in);
	n = fread(buf, 1, sizeof(buf) - 1, in);
	buf[n] = 0;
	pclose(in);
	return buf;
}

static void expect_said(const char *command, const char *text)
{
	const char *out = said(command);

	if (!strstr(out, text))
		fail_msg("`%s` lacks \"%s\":\n%s", command, text, out);
}

static void expect_not_said(const char *command, const char *text)
{
	const char *out = said(command);

	if (strstr(out, text))
		fail_msg("`%s` has \"%s\":\n%s", command, text, out);
}

/* As charon makes it. The device lives as long as the fd. */
static int tun_open(const char *name)
{
	struct ifreq ifr = {.ifr_flags = IFF_TUN | IFF_NO_PI};
	int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);

	assert_true(fd >= 0);
	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", name);
	assert_int_equal(ioctl(fd, TUNSETIFF, &ifr), 0);
	return fd;
}

static struct policy_addr addr_of(const char *text)
{
	struct policy_addr addr;

	assert_int_equal(policy_addr_parse(text, &addr), 0);
	return addr;
}

static struct routes_spec spec_of(const char *a4, const char *a6, uint32_t device)
{
	struct routes_spec spec = {.device = device, .addr4 = addr_of(a4), .addr6 = addr_of(a6)};

	spec.prefix4 = (struct policy_prefix){.addr = addr_of("10.77.0.0"), .len = 16};
	spec.prefix6 = (struct policy_prefix){.addr = addr_of("fd12:3456:789a::"), .len = 48};
	return spec;
}

static void apply(const struct routes_spec *spec, unsigned int want)
{
	struct routes_changes changes = {99, 99};

	if (routes_apply(rt, spec, &changes, why, sizeof(why)))
		fail_msg("%s", why);
	assert_int_equal(changes.all, want);
	assert_true(changes.addresses <= want && (want != 8 || changes.addresses == 2));
}

static int setup(void **state)
{
	(void)state;
	if (unshare(CLONE_NEWNET) < 0)
		return -1;
	run("ip link set lo up");
	return rtnl_open(&rt, ROUTES_TABLE);
}

static int teardown(void **state)
{
	(void)state;
	rtnl_close(rt);
	rt = NULL;
	return 0;
}

static void all_is_set_and_idempotent(void **state)
{
	int tun = tun_open("ipsec0");
	struct routes_spec spec;
	struct rtnl_link link = {0};

	(void)state;
	assert_int_equal(plane_libipsec.ensure(rt, 1380, &link, why, sizeof(why)), 1);
	assert_string_equal(link.name, "ipsec0");
	expect_said("ip link show ipsec0", "mtu 1380");
	expect_said("ip link show ipsec0", "UP");
	spec = spec_of("10.77.0.1", "fd12:3456:789a::1", link.index);
	apply(&spec, 8);
	apply(&spec, 0);
	expect_said("ip -4 addr show lo", "10.77.0.1/32");
	expect_said("ip -6 addr show lo", "fd12:3456:789a::1/128");
	expect_said("ip rule", "210:\tfrom all to 10.77.0.0/16 lookup 4510");
	expect_said("ip -6 rule", "210:\tfrom all to fd12:3456:789a::/48 lookup 4510");
	expect_said("ip route get 10.77.0.17", "dev ipsec0 table 4510 src 10.77.0.1");
	expect_said("ip route get fd12:3456:789a::17", "dev ipsec0");
	expect_said("ip route show table 4510", "unreachable 10.77.0.0/16");
	/* The device goes, and with it its routes; what is beneath answers. */
	close(tun);
	assert_int_not_equal(run("ip route get 10.77.0.17 >/dev/null 2>&1"), 0);
	assert_int_equal(plane_libipsec.ensure(rt, 1380, &link, why, sizeof(why)), 0);
	spec.device = 0;
	apply(&spec, 0);
	assert_int_not_equal(run("ip route get fd12:3456:789a::17 >/dev/null 2>&1"), 0);
}

static void other_address_replaces_the_old(void **state)
{
	int tun = tun_open("ipsec0");
	struct routes_spec spec;
	struct rtnl_link link = {0};

	(void)state;
	run("ip addr add 10.99.0.1/32 dev lo");
	run("ip route add unreachable 10.98.0.0/16 table 4510");
	run("ip rule add pref 210 to 10.98.0.0/16 lookup 4510");
	assert_int_equal(plane_libipsec.ensure(rt, 1400, &link, why, sizeof(why)), 1);
	spec = spec_of("10.77.0.1", "fd12:3456:789a::1", link.index);
	apply(&spec, 8);
	spec = spec_of("10.77.0.2", "fd12:3456:789a::2", link.index);
	/* two addresses and two routes, off and on; the routes may go with their source */
	if (routes_apply(rt, &spec, NULL, why, sizeof(why)))
		fail_msg("%s", why);
	apply(&spec, 0);
	expect_not_said("ip addr show lo", "10.77.0.1/32");
	expect_not_said("ip addr show lo", "789a::1/128");
	expect_said("ip route get 10.77.0.17", "src 10.77.0.2");
	expect_said("ip route get fd12:3456:789a::17", "src fd12:3456:789a::2");
	/* What is not ours by its protocol number is never touched. */
	assert_int_equal(routes_flush(rt, NULL, why, sizeof(why)), 0);
	expect_said("ip addr show lo", "10.99.0.1/32");
	expect_said("ip route show table 4510", "unreachable 10.98.0.0/16");
	expect_said("ip rule", "to 10.98.0.0/16 lookup 4510");
	expect_not_said("ip route show table 4510", "10.77.0.0");
	expect_not_said("ip rule", "10.77.0.0");
	expect_not_said("ip addr show lo", "10.77.0");
	close(tun);
}

static unsigned int heard(void)
{
	struct pollfd pfd = {.fd = rtnl_monitor_fd(rt), .events = POLLIN};
	unsigned int changed = 0;

	while (poll(&pfd, 1, 200) > 0)
		changed |= rtnl_monitor_read(rt);
	return changed;
}

static void monitor_tells_others_changes_only(void **state)
{
	struct routes_spec spec = spec_of("10.77.0.1", "fd12:3456:789a::1", 0);

	(void)state;
	(void)heard();
	apply(&spec, 6);
	/* Our requests are not told; that an address makes a local route elsewhere does not count.
	 */
	assert_int_equal(heard() & (RTNL_CHANGED_ROUTE | RTNL_CHANGED_RULE), 0);
	run("ip route flush table 4510");
	assert_int_equal(heard(), RTNL_CHANGED_ROUTE);
	apply(&spec, 1 + 0); /* the IPv4 one; `ip` without -6 leaves the other */
	run("ip rule del pref 210");
	assert_int_equal(heard(), RTNL_CHANGED_RULE);
	apply(&spec, 1);
	run("ip route add 10.55.0.0/16 dev lo table 99");
	assert_int_equal(heard(), 0);
}

static void without_rights_it_says_so(void **state)
{
	struct routes_spec spec = spec_of("10.77.0.1", "fd12:3456:789a::1", 0);
	pid_t pid = fork();
	int status;

	(void)state;
	if (pid == 0) {
		struct rtnl *mine;

		if (setuid(65534) || rtnl_open(&mine, ROUTES_TABLE))
			_exit(2);
		_exit(routes_apply(mine, &spec, NULL, why, sizeof(why)) == -EPERM &&
		                        strstr(why, "CAP_NET_ADMIN")
		                ? 0
		                : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static void plane_follows_charon_and_kernel(void **state)
{
	char lacks[256] = "";
	bool kernel = plane_xfrm.probe(rt, lacks, sizeof(lacks)) == 0;

	(void)state;
	assert_ptr_equal(plane_choose(rt, PLANE_AUTO, true, why, sizeof(why)), &plane_libipsec);
	assert_true(why[0]);
	assert_ptr_equal(
	        plane_choose(rt, PLANE_AUTO, false, why, sizeof(why)), kernel ? &plane_xfrm : NULL);
	if (!kernel)
		assert_non_null(strstr(why, lacks));
	assert_null(plane_choose(rt, PLANE_XFRM, true, why, sizeof(why)));
	assert_null(plane_choose(rt, PLANE_LIBIPSEC, false, why, sizeof(why)));
	assert_non_null(strstr(why, "kernel-libipsec"));
	/* The probe leaves nothing behind. */
	expect_not_said("ip link", "ovlprobe");
}

static void another_tun_is_not_ours(void **state)
{
	int other = tun_open("ipsecvpn");
	struct rtnl_link link = {0};
	int lent, second;

	(void)state;
	assert_int_equal(plane_libipsec.ensure(rt, 1400, &link, why, sizeof(why)), 0);
	close(other);
	/* Nor is one that nobody has open, left by whom ever. */
	assert_int_equal(run("ip tuntap add dev ipsec0 mode tun"), 0);
	assert_int_equal(plane_libipsec.ensure(rt, 1400, &link, why, sizeof(why)), 0);
	other = tun_open("ipsec3");
	assert_int_equal(plane_libipsec.ensure(rt, 1400, &link, why, sizeof(why)), 1);
	assert_string_equal(link.name, "ipsec3");
	/* One for an ordinary user, with any number: never charon's. */
	lent = tun_open("ipsec1");
	assert_int_equal(ioctl(lent, TUNSETOWNER, 65534), 0);
	assert_int_equal(plane_libipsec.ensure(rt, 1400, &link, why, sizeof(why)), 1);
	assert_string_equal(link.name, "ipsec3");
	/* Two that could be: the one in use stays; where none is, none is taken. */
	second = tun_open("ipsec2");
	assert_int_equal(plane_libipsec.ensure(rt, 1400, &link, why, sizeof(why)), 1);
	assert_string_equal(link.name, "ipsec3");
	link = (struct rtnl_link){0};
	assert_int_equal(plane_libipsec.ensure(rt, 1400, &link, why, sizeof(why)), -ENOTUNIQ);
	assert_non_null(strstr(why, "several TUN devices"));
	close(second);
	assert_int_equal(plane_libipsec.ensure(rt, 1400, &link, why, sizeof(why)), 1);
	close(lent);
	close(other);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test_setup_teardown(all_is_set_and_idempotent, setup, teardown),
	        cmocka_unit_test_setup_teardown(other_address_replaces_the_old, setup, teardown),
	        cmocka_unit_test_setup_teardown(monitor_tells_others_changes_only, setup, teardown),
	        cmocka_unit_test_setup_teardown(without_rights_it_says_so, setup, teardown),
	        cmocka_unit_test_setup_teardown(plane_follows_charon_and_kernel, setup, teardown),
	        cmocka_unit_test_setup_teardown(another_tun_is_not_ours, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

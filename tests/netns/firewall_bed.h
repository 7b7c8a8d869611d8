/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Two network namespaces for firewall_kernel.c, joined by two cables:
 *
 *	we                                        they
 *	ipsec0  10.77.0.1 fd77::1  ---- veth ---- p0  10.77.0.2 .3  fd77::2 ::3   the overlay
 *	eth0    192.0.2.1          ---- veth ---- u0  192.0.2.2 .3                the underlay
 *	        2001:db8::1                           2001:db8::2 ::3
 *
 * The firewall does not care what the overlay device is. The process moves between the namespaces
 * (setns), and a socket stays in the one where it was made. The namespaces have no names: they
 * vanish with the process.
 */
#ifndef TESTS_NETNS_FIREWALL_BED_H
#define TESTS_NETNS_FIREWALL_BED_H

#include <netinet/in.h>
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#include "firewall/firewall.h"

#define WAIT_MS 5000

static int we = -1, they = -1; /* namespaces */

static inline uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static inline void enter(int ns)
{
	if (setns(ns, CLONE_NEWNET) < 0)
		abort();
}

static inline void run(int ns, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static inline void run(int ns, const char *fmt, ...)
{
	char cmd[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(cmd, sizeof(cmd), fmt, ap);
	va_end(ap);
	enter(ns);
	if (system(cmd) != 0)
		fail_msg("failed: %s", cmd);
	enter(we);
}

/* What a command prints; the caller frees it. */
static inline char *output_of(int ns, const char *cmd)
{
	char *text = NULL, buf[4096];
	size_t len, n;
	FILE *to = open_memstream(&text, &len), *from;

	enter(ns);
	from = popen(cmd, "r");
	assert_non_null(from);
	while ((n = fread(buf, 1, sizeof(buf), from)) > 0)
		fwrite(buf, 1, n, to);
	assert_int_equal(pclose(from), 0);
	enter(we);
	fclose(to);
	return text;
}

static inline int new_namespace(void)
{
	int fd;

	if (unshare(CLONE_NEWNET) < 0)
		return -1;
	fd = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	return fd;
}

static inline void cable(const char *ours, const char *theirs)
{
	run(we, "ip link add %s type veth peer name %s netns /proc/%d/fd/%d", ours, theirs,
	        getpid(), they);
	run(we, "ip link set %s up", ours);
	run(they, "ip link set %s up", theirs);
}

/* Neighbours are fixed: an overlay device has no neighbour discovery, and the firewall lets none
 * pass. */
static inline void neighbour(
        int ns, const char *dev, int other, const char *other_dev, const char *addr)
{
	char cmd[128], *mac;

	snprintf(cmd, sizeof(cmd), "ip -o link show %s | sed 's/.*ether \\([0-9a-f:]*\\).*/\\1/'",
	        other_dev);
	mac = output_of(other, cmd);
	mac[strcspn(mac, "\n")] = '\0';
	run(ns, "ip neigh replace %s lladdr %s nud permanent dev %s", addr, mac, dev);
	free(mac);
}

static inline void addresses(int ns, const char *dev, const char *list)
{
	char copy[512], *save = NULL;

	snprintf(copy, sizeof(copy), "%s", list);
	for (char *a = strtok_r(copy, " ", &save); a; a = strtok_r(NULL, " ", &save))
		run(ns, "ip addr add %s dev %s %s", a, dev, strchr(a, ':') ? "nodad" : "");
}

static inline int bed_up(void)
{
	we = new_namespace();
	if (we < 0)
		return -1;
	they = new_namespace();
	enter(we);
	run(we, "ip link set lo up");
	run(they, "ip link set lo up");
	cable("ipsec0", "p0");
	cable("eth0", "u0");
	addresses(we, "ipsec0", "10.77.0.1/16 fd77::1/64");
	addresses(they, "p0", "10.77.0.2/16 10.77.0.3/16 fd77::2/64 fd77::3/64");
	addresses(we, "eth0", "192.0.2.1/24 2001:db8::1/64");
	addresses(they, "u0", "192.0.2.2/24 192.0.2.3/24 2001:db8::2/64 2001:db8::3/64");
	neighbour(we, "ipsec0", they, "p0", "10.77.0.2");
	neighbour(we, "ipsec0", they, "p0", "10.77.0.3");
	neighbour(we, "ipsec0", they, "p0", "fd77::2");
	neighbour(we, "ipsec0", they, "p0", "fd77::3");
	neighbour(they, "p0", we, "ipsec0", "10.77.0.1");
	neighbour(they, "p0", we, "ipsec0", "fd77::1");
	return 0;
}

static inline struct fw_addr addr(const char *text)
{
	struct fw_addr a;

	if (fw_addr_parse(text, &a) < 0)
		fail_msg("not an address: %s", text);
	return a;
}

/* ---- sockets ---- */

static inline socklen_t sockaddr_of(const char *text, uint16_t port, struct sockaddr_storage *out)
{
	struct fw_addr a = addr(text);

	memset(out, 0, sizeof(*out));
	if (a.family == AF_INET) {
		struct sockaddr_in *in = (void *)out;

		in->sin_family = AF_INET;
		in->sin_port = htons(port);
		memcpy(&in->sin_addr, a.bytes, 4);
		return sizeof(*in);
	}
	struct sockaddr_in6 *in6 = (void *)out;

	in6->sin6_family = AF_INET6;
	in6->sin6_port = htons(port);
	memcpy(&in6->sin6_addr, a.bytes, 16);
	return sizeof(*in6);
}

static inline int socket_at(int ns, int type, const char *at, uint16_t port)
{
	struct sockaddr_storage sa;
	socklen_t len = sockaddr_of(at, port, &sa);
	int on = 1, fd;

	enter(ns);
	fd = socket(sa.ss_family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	assert_true(fd >= 0);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	assert_int_equal(bind(fd, (void *)&sa, len), 0);
	if (type == SOCK_STREAM && port)
		assert_int_equal(listen(fd, 8), 0);
	enter(we);
	return fd;
}

static inline int dial(int ns, const char *from, const char *to, uint16_t port)
{
	struct sockaddr_storage sa;
	socklen_t len = sockaddr_of(to, port, &sa);
	int fd = socket_at(ns, SOCK_STREAM, from, 0);

	if (connect(fd, (void *)&sa, len) < 0 && errno != EINPROGRESS && errno != EPERM &&
	        errno != ECONNREFUSED)
		fail_msg("connect %s:%u: %s", to, port, strerror(errno));
	return fd;
}

static inline bool await(int fd, short events, int ms)
{
	struct pollfd p = {.fd = fd, .events = events};

	return poll(&p, 1, ms) > 0 && (p.revents & events);
}

static inline bool connected(int fd, int ms)
{
	int e = 0;
	socklen_t len = sizeof(e);

	return await(fd, POLLOUT, ms) && getsockopt(fd, SOL_SOCKET, SO_ERROR, &e, &len) == 0 && !e;
}

static inline int accepted(int listener)
{
	int fd;

	assert_true(await(listener, POLLIN, WAIT_MS));
	fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	assert_true(fd >= 0);
	return fd;
}

/* The Internet checksum of an even number of bytes (RFC 1071). */
static inline uint16_t checksum(const uint8_t *p, size_t n)
{
	uint32_t sum = 0;

	for (size_t i = 0; i + 1 < n; i += 2)
		sum += (uint32_t)p[i] << 8 | p[i + 1];
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

/* ---- what the firewall says ---- */

struct wanted_count {
	enum fw_counter_kind kind;
	const char *name;
	uint64_t packets;
};

static inline int add_count(void *ctx, const struct fw_counter *c)
{
	struct wanted_count *w = ctx;

	if (c->kind == w->kind && !strcmp(c->name, w->name))
		w->packets += c->packets;
	return 0;
}

static inline uint64_t count_of(struct fw *fw, enum fw_counter_kind kind, const char *name)
{
	struct wanted_count w = {kind, name, 0};
	struct fw_error err = {""};

	if (fw_counters_read(fw, add_count, &w, &err) != 0)
		fail_msg("%s", err.text);
	return w.packets;
}

/* Waits until more packets were dropped for this reason than `before`. */
static inline void await_drop(struct fw *fw, const char *reason, uint64_t before)
{
	uint64_t end = now_ms() + WAIT_MS;

	while (count_of(fw, FW_COUNT_DROP, reason) <= before) {
		if (now_ms() > end)
			fail_msg("nothing was dropped as %s", reason);
		poll(NULL, 0, 10);
	}
}

#define OK(call)                                                                                   \
	do {                                                                                       \
		int ok_rc = (call);                                                                \
		if (ok_rc < 0)                                                                     \
			fail_msg("%s: %s: %s", #call, strerror(-ok_rc), err.text);                 \
	} while (0)

#endif

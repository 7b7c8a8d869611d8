/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How long a revoked node is still heard. It sends datagrams to all others, without end; every
 * other node has a socket, all of them read by one program, by one clock:
 *
 *	revoke send MICROSECONDS PORT ADDRESS...	to each ADDRESS one every MICROSECONDS
 *	revoke hear PORT PID=ADDRESS...	until all of them hear it
 *	revoke cut PORT SECONDS PID=ADDRESS... -- COMMAND...
 *
 * `cut` reads PORT of each ADDRESS in the network namespace of process PID. When all of them hear
 * the node it takes the time, runs COMMAND (which revokes it), and waits until none of them has
 * heard anything for two seconds, at most SECONDS. Every tenth datagram is answered. It prints milliseconds from that time on: the
 * last datagram of all, the last of the node that was silent first, and COMMAND's end.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include "tests/bench/bench.h"

#define HEARERS_MAX 256
#define HEARD_BEFORE 20 /* datagrams at each, before the command */
#define BEFORE_S 60
#define ANSWER_EACH 10 /* traffic goes both ways, as a connection's does */
#define SILENCE_NS UINT64_C(2000000000)
#define MS 1000000.0

static struct hearer {
	const char *name;
	unsigned int heard;
	uint64_t last;
} hearers[HEARERS_MAX];
static struct pollfd sockets[HEARERS_MAX];
static size_t n_hearers;

static unsigned int number(const char *text, unsigned int max)
{
	char *end;
	unsigned long v = strtoul(text, &end, 10);

	if (*end || end == text || !v || v > max)
		die("%s: a number from 1 to %u is wanted", text, max);
	return (unsigned int)v;
}

static struct sockaddr_in address(const char *text, unsigned int port)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};

	if (inet_pton(AF_INET, text, &a.sin_addr) != 1)
		die("%s: not an IPv4 address", text);
	return a;
}

/* ---- the node that is to be revoked ---- */

static _Noreturn void run_send(unsigned int gap_us, unsigned int port, char **to, int n)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	uint64_t gap = gap_us * UINT64_C(1000) / (unsigned int)n, next = now_ns();
	char data[64] = "not to be heard", answer[64];

	if (fd < 0)
		die("socket: %s", strerror(errno));
	for (int i = 0;; i = (i + 1) % n) {
		struct sockaddr_in a = address(to[i], port);
		struct timespec until;

		/* What is refused here is as silent as what is dropped there. */
		(void)!sendto(fd, data, sizeof(data), 0, (struct sockaddr *)&a, sizeof(a));
		while (recv(fd, answer, sizeof(answer), 0) >= 0)
			;
		next += gap;
		if (next + 10 * gap < now_ns())
			next = now_ns();
		until = (struct timespec){.tv_sec = (time_t)(next / 1000000000u),
		        .tv_nsec = (long)(next % 1000000000u)};
		clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
	}
}

/* ---- all others ---- */

static int socket_in(const char *pid, const char *addr, unsigned int port)
{
	struct sockaddr_in a = address(addr, port);
	char path[64];
	int fd, ns, home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);

	snprintf(path, sizeof(path), "/proc/%s/ns/net", pid);
	ns = open(path, O_RDONLY | O_CLOEXEC);
	if (ns < 0 || home < 0 || setns(ns, CLONE_NEWNET))
		die("%s: %s", path, strerror(errno));
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof(a)))
		die("%s port %u: %s", addr, port, strerror(errno));
	if (setns(home, CLONE_NEWNET))
		die("back home: %s", strerror(errno));
	close(ns);
	close(home);
	return fd;
}

static void hearer_add(char *text, unsigned int port)
{
	char *addr = strchr(text, '=');

	if (!addr || n_hearers == HEARERS_MAX)
		die("%s: PID=ADDRESS is wanted, %d at most", text, HEARERS_MAX);
	*addr++ = '\0';
	sockets[n_hearers] = (struct pollfd){.fd = socket_in(text, addr, port), .events = POLLIN};
	hearers[n_hearers++].name = addr;
}

static void hear(int timeout_ms)
{
	struct sockaddr_in from;
	char data[256];
	ssize_t len;

	if (poll(sockets, n_hearers, timeout_ms) < 0 && errno != EINTR)
		die("poll: %s", strerror(errno));
	for (size_t i = 0; i < n_hearers; i++) {
		if (!(sockets[i].revents & POLLIN))
			continue;
		while ((len = recvfrom(sockets[i].fd, data, sizeof(data), 0,
		                (struct sockaddr *)&from, &(socklen_t){sizeof(from)})) >= 0) {
			hearers[i].last = now_ns();
			if (hearers[i].heard++ % ANSWER_EACH == 0)
				(void)!sendto(sockets[i].fd, data, (size_t)len, 0,
				        (struct sockaddr *)&from, sizeof(from));
		}
	}
}

static void hear_all(void)
{
	uint64_t end = now_ns() + BEFORE_S * UINT64_C(1000000000);

	for (size_t i = 0; i < n_hearers;) {
		if (hearers[i].heard >= HEARD_BEFORE) {
			i++;
			continue;
		}
		if (now_ns() > end)
			die("%s hears nothing of it (%u datagrams)", hearers[i].name,
			        hearers[i].heard);
		hear(100);
	}
}

static pid_t command_start(char **argv)
{
	pid_t pid = fork();

	if (pid < 0)
		die("fork: %s", strerror(errno));
	if (pid)
		return pid;
	dup2(STDERR_FILENO, STDOUT_FILENO);
	execvp(argv[0], argv);
	fprintf(stderr, "bench: %s: %s\n", argv[0], strerror(errno));
	_exit(127);
}

static uint64_t last_of_all(void)
{
	uint64_t last = 0;

	for (size_t i = 0; i < n_hearers; i++)
		last = hearers[i].last > last ? hearers[i].last : last;
	return last;
}

static int run_cut(unsigned int limit_s, char **command)
{
	uint64_t start, ended = 0, now, first = UINT64_MAX;
	int status = 0;
	pid_t pid;

	hear_all();
	start = now_ns();
	pid = command_start(command);
	do {
		hear(5);
		now = now_ns();
		if (!ended && waitpid(pid, &status, WNOHANG) == pid)
			ended = now;
		if (now - start > limit_s * UINT64_C(1000000000))
			die("after %u s it is still heard, or the command runs", limit_s);
	} while (!ended || now < last_of_all() + SILENCE_NS || now < start + SILENCE_NS);
	if (status)
		die("%s failed: status %d", command[0], status);
	for (size_t i = 0; i < n_hearers; i++) {
		uint64_t last = hearers[i].last > start ? hearers[i].last : start;

		fprintf(stderr, "%s: %.1f ms\n", hearers[i].name, (double)(last - start) / MS);
		first = last < first ? last : first;
	}
	printf("%.2f %.2f %.2f\n", last_of_all() > start ? (double)(last_of_all() - start) / MS : 0,
	        (double)(first - start) / MS, (double)(ended - start) / MS);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc > 4 && !strcmp(argv[1], "send"))
		run_send(number(argv[2], 1000000), number(argv[3], 65535), argv + 4, argc - 4);
	if (argc > 6 && !strcmp(argv[1], "cut")) {
		int i = 4;

		for (; i < argc && strcmp(argv[i], "--"); i++)
			hearer_add(argv[i], number(argv[2], 65535));
		if (i + 1 < argc && n_hearers)
			return run_cut(number(argv[3], 3600), argv + i + 1);
	}
	if (argc > 3 && !strcmp(argv[1], "hear")) {
		for (int i = 3; i < argc; i++)
			hearer_add(argv[i], number(argv[2], 65535));
		hear_all();
		return 0;
	}
	die("usage: revoke send MICROSECONDS PORT ADDRESS... | revoke hear PORT PID=ADDRESS... | "
	    "revoke cut PORT SECONDS "
	    "PID=ADDRESS... -- "
	    "COMMAND...");
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The hub's tunnels to n peers, which all live in one other charon (each with its own key, address
 * and endpoint there). The hub's charon is driven by overlayd, or by the barest loop:
 *
 *	up responder SOCKET N		loads the peers' keys and connections into their charon
 *	up bare SOCKET N		loads the hub's connections, initiates them all
 *	up command SOCKET N COMMAND	runs COMMAND, which makes overlayd do the same
 *
 * The last two print the seconds from the first byte to the n-th CHILD_SA, as the same observer (a
 * vici connection that counts child-updown) sees them.
 */
#include "tests/bench/bare.h"

#define LIMIT_MS 40000
#define NODES_MAX 2001

static struct node nodes[NODES_MAX];

static void load_responder(const char *path, unsigned int n)
{
	int fd = bare_connect(path);

	for (unsigned int i = 1; i <= n; i++) {
		struct node hub = nodes[0];
		struct packet p;

		/* All to the hub, under names that differ. */
		memcpy(hub.conn, nodes[i].conn, sizeof(hub.conn));
		p = bare_capture(&nodes[i], &hub, false, n);
		bare_load_key(fd, i);
		bare_call(fd, &p);
		free(p.data);
	}
	close(fd);
}

static int observer_open(const char *path)
{
	int fd = bare_connect(path);

	bare_register(fd, "child-updown");
	return fd;
}

/* Waits for n children to come up. */
static void observe(int fd, unsigned int n)
{
	static uint8_t buf[VICI_SEGMENT_MAX];
	uint64_t end = now_ns() + LIMIT_MS * UINT64_C(1000000);
	unsigned int up = 0;

	while (up < n) {
		struct pollfd p = {.fd = fd, .events = POLLIN};
		uint64_t now = now_ns();
		size_t len;

		if (now > end || poll(&p, 1, (int)((end - now) / 1000000) + 1) <= 0)
			die("%u of %u tunnels came up", up, n);
		len = bare_packet(fd, buf);
		if (buf[0] != BARE_EVENT || len < 2u + buf[1])
			die("vici: not an event");
		up += vici_find_yes((struct vici_blob){buf + 2 + buf[1], len - 2 - buf[1]}, "up");
	}
}

static void drive_bare(int fd, const struct packet *packets, unsigned int n)
{
	for (unsigned int i = 1; i <= n; i++)
		bare_call(fd, &packets[i]);
	for (unsigned int i = 1; i <= n; i++)
		bare_command(fd, "initiate",
		        (const char *const[]){"child", ENGINE_CHILD_NAME, "ike", nodes[i].conn,
		                "timeout", "-1", NULL});
}

static double run_bare(const char *path, unsigned int n)
{
	static struct packet packets[NODES_MAX];
	int events = observer_open(path), fd = bare_connect(path);
	uint64_t t0;

	for (unsigned int i = 1; i <= n; i++)
		packets[i] = bare_capture(&nodes[0], &nodes[i], true, n);
	bare_load_key(fd, 0);
	t0 = now_ns();
	drive_bare(fd, packets, n);
	observe(events, n);
	return (double)(now_ns() - t0) / 1e9;
}

static double run_command(const char *path, unsigned int n, const char *command)
{
	int events = observer_open(path);
	uint64_t t0 = now_ns();

	shell("%s", command);
	observe(events, n);
	return (double)(now_ns() - t0) / 1e9;
}

int main(int argc, char **argv)
{
	unsigned int n = argc > 3 ? (unsigned int)strtoul(argv[3], NULL, 10) : 0;

	if (argc < 4 || !n || n >= NODES_MAX)
		die("usage: up responder|bare SOCKET N, up command SOCKET N COMMAND");
	for (unsigned int i = 0; i <= n; i++)
		node_make(i, &nodes[i]);
	if (!strcmp(argv[1], "responder"))
		load_responder(argv[2], n);
	else if (!strcmp(argv[1], "bare"))
		printf("%.4f\n", run_bare(argv[2], n));
	else if (!strcmp(argv[1], "command") && argc == 5)
		printf("%.4f\n", run_command(argv[2], n, argv[4]));
	else
		die("unknown: %s", argv[1]);
	return 0;
}

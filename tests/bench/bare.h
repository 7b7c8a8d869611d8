/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The barest vici client there can be: blocking, one packet out, one packet in, nothing checked
 * that need not be. What our own client is measured against. The protocol: strongSwan,
 * src/libcharon/plugins/vici/README.md.
 */
#ifndef TESTS_BENCH_BARE_H
#define TESTS_BENCH_BARE_H

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "tests/bench/cluster.h"
#include "vici-client/vici.h"

enum { BARE_REQUEST = 0, BARE_RESPONSE = 1, BARE_REGISTER = 3, BARE_CONFIRM = 5, BARE_EVENT = 7 };

struct packet { /* with its length in front, as on the wire */
	uint8_t *data;
	size_t len;
};

static inline int bare_connect(const char *path)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(sa.sun_path, sizeof(sa.sun_path), "%s", path);
	if (fd < 0 || connect(fd, (void *)&sa, sizeof(sa)) < 0)
		die("%s: %s", path, strerror(errno));
	return fd;
}

static inline void bare_write(int fd, const uint8_t *data, size_t len)
{
	while (len) {
		ssize_t n = write(fd, data, len);

		if (n <= 0)
			die("vici: write: %s", strerror(errno));
		data += n;
		len -= (size_t)n;
	}
}

static inline void bare_read(int fd, uint8_t *data, size_t len)
{
	while (len) {
		ssize_t n = read(fd, data, len);

		if (n <= 0)
			die("vici: read: %s", n ? strerror(errno) : "charon closed the socket");
		data += n;
		len -= (size_t)n;
	}
}

/* One packet into buf (VICI_SEGMENT_MAX bytes); its length. */
static inline size_t bare_packet(int fd, uint8_t *buf)
{
	uint8_t head[4];
	size_t len;

	bare_read(fd, head, sizeof(head));
	len = (size_t)head[0] << 24 | (size_t)head[1] << 16 | (size_t)head[2] << 8 | head[3];
	if (!len || len > VICI_SEGMENT_MAX)
		die("vici: a packet of %zu bytes", len);
	bare_read(fd, buf, len);
	return len;
}

static inline struct packet packet_make(uint8_t kind, const char *name, struct vici_blob body)
{
	size_t n = strlen(name), len = 2 + n + body.len;
	struct packet p = {.data = malloc(4 + len), .len = 4 + len};

	if (!p.data)
		die("out of memory");
	p.data[0] = (uint8_t)(len >> 24);
	p.data[1] = (uint8_t)(len >> 16);
	p.data[2] = (uint8_t)(len >> 8);
	p.data[3] = (uint8_t)len;
	p.data[4] = kind;
	p.data[5] = (uint8_t)n;
	memcpy(p.data + 6, name, n);
	if (body.len)
		memcpy(p.data + 6 + n, body.data, body.len);
	return p;
}

/* Sends it and waits for its answer, which must not be a refusal. */
static inline void bare_call(int fd, const struct packet *p)
{
	static uint8_t answer[VICI_SEGMENT_MAX];
	char text[200];
	size_t len;

	bare_write(fd, p->data, p->len);
	len = bare_packet(fd, answer);
	if (answer[0] != BARE_RESPONSE)
		die("vici: answer of type %u", answer[0]);
	text[0] = 0;
	vici_find_text((struct vici_blob){answer + 1, len - 1}, "errmsg", text, sizeof(text));
	if (text[0])
		die("charon refused %.20s: %s", (char *)p->data + 6, text);
}

/* command with up to three pairs of texts, NULL-terminated */
static inline void bare_command(int fd, const char *command, const char *const *pairs)
{
	struct vici_builder b;
	struct packet p;

	vici_builder_init(&b);
	for (size_t i = 0; pairs && pairs[i]; i += 2)
		vici_add_str(&b, pairs[i], pairs[i + 1]);
	p = packet_make(BARE_REQUEST, command, vici_builder_view(&b));
	vici_builder_fini(&b);
	bare_call(fd, &p);
	free(p.data);
}

static inline void bare_register(int fd, const char *event)
{
	struct packet p = packet_make(BARE_REGISTER, event, (struct vici_blob){NULL, 0});
	static uint8_t answer[VICI_SEGMENT_MAX];

	bare_write(fd, p.data, p.len);
	bare_packet(fd, answer);
	if (answer[0] != BARE_CONFIRM)
		die("vici: cannot register for %s", event);
	free(p.data);
}

static inline void bare_load_key(int fd, unsigned int node)
{
	char pem[512];

	node_secret_pem(node, pem, sizeof(pem));
	bare_command(fd, "load-key", (const char *const[]){"type", "any", "data", pem, NULL});
}

/* The very bytes that overlayd's own code sends for this connection. */
static inline struct packet bare_capture(
        const struct node *self, const struct node *peer, bool endpoint, size_t n_peers)
{
	struct vici_config cfg = {0};
	static uint8_t buf[VICI_SEGMENT_MAX];
	struct engine_conn conn;
	struct charon_load load = {.conn = &conn, .n_peers = n_peers};
	struct packet p;
	struct vici *v;
	int fds[2];

	node_connection(self, peer, &conn);
	if (endpoint)
		node_endpoint((unsigned int)strtoul(peer->name + 1, NULL, 10), &conn.endpoint);
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0 ||
	        vici_open_fd(&v, &cfg, fds[0]) < 0)
		die("cannot open a pair of sockets");
	if (charon_load_conn(v, &load, NULL, NULL, 0) < 0 || vici_process(v, POLLOUT, 1) < 0)
		die("cannot encode %s", conn.name);
	p.len = bare_packet(fds[1], buf) + 4;
	p.data = malloc(p.len);
	if (!p.data)
		die("out of memory");
	memcpy(p.data + 4, buf, p.len - 4);
	for (int i = 0; i < 4; i++)
		p.data[i] = (uint8_t)((p.len - 4) >> (24 - 8 * i));
	vici_free(v);
	close(fds[1]);
	return p;
}

#endif

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The other end of a vici connection, for faults that a real charon does not make. What a real one
 * does is tested against it (tests/netns/vici_charon.sh).
 */
#ifndef VICI_PEER_H
#define VICI_PEER_H

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#include "vici-client/private.h"

struct peer {
	struct vici *v; /* the client; NULL once freed */
	int fd;         /* our end */
	uint64_t now;
	char log[4096]; /* what was called back, in order: "name=error " */
	int closed;     /* on_closed's error */
	unsigned int n_closed;
};

static inline void peer_note(struct peer *p, const char *what, int error)
{
	size_t len = strlen(p->log);

	snprintf(p->log + len, sizeof(p->log) - len, "%s=%d ", what, error);
}

static inline void peer_closed(void *user, int error, const char *what)
{
	struct peer *p = user;

	assert_true(what[0]);
	p->closed = error;
	p->n_closed++;
	peer_note(p, "closed", error);
}

static inline void peer_open(struct peer *p, struct vici_config cfg)
{
	int fds[2];

	*p = (struct peer){.now = 1000};
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	p->fd = fds[1];
	cfg.user = p;
	if (!cfg.on_closed)
		cfg.on_closed = peer_closed;
	assert_int_equal(vici_open_fd(&p->v, &cfg, fds[0]), 0);
}

static inline void peer_end(struct peer *p)
{
	vici_free(p->v);
	if (p->fd >= 0)
		close(p->fd);
}

static inline void peer_hang_up(struct peer *p)
{
	close(p->fd);
	p->fd = -1;
}

/* Lets the client do what it can do now; what vici_process() said last. */
static inline int peer_turn(struct peer *p)
{
	struct pollfd fd = {.fd = vici_fd(p->v), .events = vici_events(p->v)};

	poll(&fd, 1, 0);
	return vici_process(p->v, fd.revents, p->now);
}

static inline void peer_send_raw(struct peer *p, const void *data, size_t len)
{
	assert_int_equal(send(p->fd, data, len, MSG_NOSIGNAL | MSG_DONTWAIT), len);
}

/* A packet of any kind; name NULL for unnamed ones. */
static inline void peer_send(struct peer *p, int op, const char *name, struct vici_blob message)
{
	size_t name_len = name ? 1 + strlen(name) : 0, len = 1 + name_len + message.len;
	uint8_t *packet = malloc(4 + len);

	packet[0] = len >> 24;
	packet[1] = len >> 16;
	packet[2] = len >> 8;
	packet[3] = len;
	packet[4] = op;
	if (name) {
		packet[5] = strlen(name);
		memcpy(packet + 6, name, strlen(name));
	}
	if (message.len)
		memcpy(packet + 5 + name_len, message.data, message.len);
	peer_send_raw(p, packet, 4 + len);
	free(packet);
}

#define NOTHING ((struct vici_blob){0})

/* A message of key/values: pairs of strings up to a NULL. Overwritten by the next call. */
static inline struct vici_blob peer_message(const char *key, ...)
{
	static uint8_t bytes[8192];
	struct vici_builder b;
	struct vici_blob view;
	va_list ap;

	vici_builder_init(&b);
	va_start(ap, key);
	for (; key; key = va_arg(ap, const char *))
		vici_add_str(&b, key, va_arg(ap, const char *));
	va_end(ap);
	view = vici_builder_view(&b);
	assert_true(view.len <= sizeof(bytes));
	memcpy(bytes, view.data, view.len);
	vici_builder_fini(&b);
	return (struct vici_blob){bytes, view.len};
}

static inline void peer_read(struct peer *p, uint8_t *at, size_t len)
{
	while (len) {
		ssize_t n = recv(p->fd, at, len, MSG_DONTWAIT);

		assert_true(n > 0);
		at += n;
		len -= n;
	}
}

/* The client must have sent exactly this packet next; its message is returned, and overwritten by
 * the next call. */
static inline struct vici_blob peer_expect(struct peer *p, int op, const char *name)
{
	static uint8_t packet[VICI_SEGMENT_MAX];
	uint8_t length[4];
	size_t len, name_len = strlen(name);

	peer_read(p, length, 4);
	len = (size_t)length[1] << 16 | length[2] << 8 | length[3];
	peer_read(p, packet, len);
	assert_int_equal(packet[0], op);
	assert_int_equal(packet[1], name_len);
	assert_memory_equal(packet + 2, name, name_len);
	return (struct vici_blob){packet + 2 + name_len, len - 2 - name_len};
}

static inline void peer_expect_silence(struct peer *p)
{
	char c;

	assert_int_equal(recv(p->fd, &c, 1, MSG_DONTWAIT), -1);
	assert_int_equal(errno, EAGAIN);
}

#define CALLER_US 1000000ull

/* One request's caller: its name goes to the peer's log; `then` is done in the callback. */
struct caller {
	struct peer *p;
	const char *name;
	void (*then)(struct caller *c);
	struct caller *next;
	int next_result;
	char errmsg[VICI_TEXT_MAX];
};

static inline void caller_done(void *user, const struct vici_result *r)
{
	struct caller *c = user;

	peer_note(c->p, c->name, r->error);
	snprintf(c->errmsg, sizeof(c->errmsg), "%s", r->errmsg);
	if (c->then)
		c->then(c);
}

static inline int caller_ask(
        struct caller *c, const char *command, const char *stream, vici_row_fn *row)
{
	const struct vici_call call = {.command = command,
	        .stream = stream,
	        .row = row,
	        .done = caller_done,
	        .user = c,

	        .timeout_us = CALLER_US};

	return vici_call(c->p->v, &call, NULL, c->p->now);
}

/* A row's "row" goes to the log; then next's `then` is done. */
static inline void caller_row(void *user, struct vici_blob row)
{
	struct caller *c = user;
	char text[16] = "?";

	vici_find_text(row, "row", text, sizeof(text));
	peer_note(c->p, text, 0);
	if (c->next)
		c->next->then(c->next);
}

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The connection's life: its socket, its time, its end. What packets mean is request.c's. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "vici-client/private.h"

#define TIMEOUT_US 10000000
#define REQUESTS_MAX 4096
#define BYTES_MAX (16 * 1024 * 1024)
#define READS_PER_CALL                                                                             \
	16 /* then the caller's loop has its turn: a flood of events must not starve it */

static int set_flags(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
		return -errno;
	if (fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
		return -errno;
	return 0;
}

int vici_open_fd(struct vici **out, const struct vici_config *cfg, int fd)
{
	struct vici *v;
	int r = set_flags(fd);

	if (r)
		return r;
	v = calloc(1, sizeof(*v));
	if (!v)
		return -ENOMEM;
	v->fd = fd;
	v->cfg = *cfg;
	v->cfg.path = NULL;
	if (!v->cfg.timeout_us)
		v->cfg.timeout_us = TIMEOUT_US;
	if (!v->cfg.max_requests)
		v->cfg.max_requests = REQUESTS_MAX;
	if (!v->cfg.max_bytes)
		v->cfg.max_bytes = BYTES_MAX;
	v->tail = &v->head;
	v->deadline = VICI_DEADLINE_NONE;
	*out = v;
	return 0;
}

/* A UNIX socket connects at once, or its listener's queue is full: there is no "in progress". */
int vici_open(struct vici **out, const struct vici_config *cfg)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int fd, r;

	if (!cfg->path || !*cfg->path)
		return -EINVAL;
	if (strlen(cfg->path) >= sizeof(addr.sun_path))
		return -ENAMETOOLONG;
	memcpy(addr.sun_path, cfg->path, strlen(cfg->path));
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (connect(fd, (const struct sockaddr *)&addr, sizeof(addr)) < 0)
		r = -errno;
	else
		r = vici_open_fd(out, cfg, fd);
	if (r)
		close(fd);
	return r;
}

static void destroy(struct vici *v)
{
	size_t i;

	for (i = 0; i < v->n_subs; i++)
		free(v->subs[i].name);
	vici_stream_fini(&v->in);
	close(v->fd);
	free(v);
}

static void enter(struct vici *v)
{
	v->busy++;
}

static void leave(struct vici *v)
{
	if (!--v->busy && v->freed)
		destroy(v);
}

/* Callbacks in here may close and free again: whoever comes later finds a shorter line, and nobody
 * is called twice. */
static void drain(struct vici *v, int rest)
{
	struct vici_result result;

	while (v->head) {
		bool first = v->head->phase != VICI_WAITING;

		result = vici_result_error(first ? v->error : rest, v->text);
		vici_finish(v, &result);
	}
}

int vici_fail(struct vici *v, int error, const char *what, const char *arg)
{
	if (v->error)
		return v->error;
	v->error = error;
	snprintf(v->text, sizeof(v->text), "%s%s%s", what, arg ? ": " : "", arg ? arg : "");
	v->out_len = 0;
	v->deadline = VICI_DEADLINE_NONE;
	shutdown(v->fd, SHUT_RDWR);
	enter(v);
	drain(v, error == -ECANCELED ? -ECANCELED : -ECONNRESET);
	if (error != -ECANCELED && !v->freed && v->cfg.on_closed)
		v->cfg.on_closed(v->cfg.user, error, v->text);
	leave(v);
	return error;
}

void vici_close(struct vici *v)
{
	if (!v)
		return;
	vici_fail(v, -ECANCELED, "the connection to charon was closed by us", NULL);
}

void vici_free(struct vici *v)
{
	if (!v || v->freed)
		return;
	enter(v);
	v->freed = true;
	vici_close(v);
	drain(v, -ECANCELED); /* what is left if a callback of an earlier end called us */
	leave(v);
}

int vici_fd(const struct vici *v)
{
	return v->fd;
}

short vici_events(const struct vici *v)
{
	if (v->error)
		return 0;
	return POLLIN | (v->out_len && !v->broken ? POLLOUT : 0);
}

uint64_t vici_deadline(const struct vici *v)
{
	if (v->error)
		return VICI_DEADLINE_NONE;
	return v->broken ? 0 : v->deadline;
}

int vici_error(const struct vici *v)
{
	return v->error;
}

const char *vici_error_text(const struct vici *v)
{
	return v->error ? v->text : "";
}

size_t vici_pending(const struct vici *v)
{
	return v->n_requests;
}

/* An error is only noted: callbacks must not come from within the caller's request. */
void vici_flush(struct vici *v)
{
	ssize_t n;

	while (v->out_len && !v->broken) {
		n = send(v->fd, v->out, v->out_len, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n >= 0) {
			v->out += n;
			v->out_len -= n;
			if (!v->out_len)
				vici_sent(v);
		} else if (errno == EAGAIN || errno == EWOULDBLOCK) {
			return;
		} else if (errno != EINTR) {
			v->broken = errno == EPIPE ? -ECONNRESET : -errno;
		}
	}
}

static int stream_error(struct vici *v, int error)
{
	switch (error) {
	case -EMSGSIZE:
		return vici_fail(v, error, "charon sent a packet longer than 512 KiB", NULL);
	case -EPROTO:
		return vici_fail(v, error, "charon sent a packet of unknown type", NULL);
	default:
		return vici_fail(v, error, "charon sent a malformed packet", NULL);
	}
}

static int take_packets(struct vici *v)
{
	struct vici_packet p;
	int r;

	while ((r = vici_stream_next(&v->in, &p)) > 0) {
		vici_dispatch(v, &p);
		if (v->error)
			return v->error;
	}
	return r < 0 ? stream_error(v, r) : 0;
}

/* A short read means that the socket is empty: no second call to hear EAGAIN. */
static int receive(struct vici *v)
{
	unsigned int reads;
	uint8_t *at;
	size_t room;
	ssize_t n;
	int r;

	for (reads = 0; reads < READS_PER_CALL; reads++) {
		at = vici_stream_room(&v->in, &room);
		if (!at)
			return vici_fail(v, -ENOMEM, "no memory to receive from charon", NULL);
		n = recv(v->fd, at, room, MSG_DONTWAIT);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			return 0;
		if (n < 0 && errno != ECONNRESET)
			return vici_fail(
			        v, -errno, "receiving from charon failed", strerror(errno));
		if (n <= 0)
			return vici_fail(v, -ECONNRESET, "charon closed the connection", NULL);
		vici_stream_filled(&v->in, n);
		r = take_packets(v);
		if (r || (size_t)n < room)
			return r;
	}
	return 0;
}

static void time_out(struct vici *v)
{
	char what[VICI_NAME_MAX + 64];

	snprintf(what, sizeof(what), "charon did not answer \"%s\" in time", v->head->command);
	vici_fail(v, -ETIMEDOUT, what, NULL);
}

/* Reading comes first: an answer that is here is not late, and a peer that hung up may have said
 * why. */
int vici_process(struct vici *v, short revents, uint64_t now_us)
{
	bool late = now_us >= vici_deadline(v);
	int r;

	if (v->busy)
		return -EBUSY;
	if (v->error)
		return v->error;
	enter(v);
	v->now = now_us;
	if (revents & POLLOUT)
		vici_flush(v);
	if (late || v->broken || (revents & (POLLIN | POLLHUP | POLLERR)))
		receive(v);
	if (!v->error && v->broken)
		vici_fail(v, v->broken, "sending to charon failed", strerror(-v->broken));
	if (!v->error && v->head && now_us >= v->deadline)
		time_out(v);
	r = v->error;
	leave(v);
	return r;
}

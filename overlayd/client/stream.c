/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "client/stream.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define BACKLOG_RETRY_MS 20

static int64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

int64_t stream_deadline(int timeout_ms)
{
	return timeout_ms < 0 ? STREAM_FOREVER : now_ms() + timeout_ms;
}

static int left_ms(int64_t deadline)
{
	int64_t left;

	if (deadline == STREAM_FOREVER)
		return -1;
	left = deadline - now_ms();
	return left < 0 ? 0 : left > INT_MAX ? INT_MAX : (int)left;
}

/* Wait for events on fd; -ETIMEDOUT at the deadline. Errors of the fd show in the next call. */
static int await(int fd, short events, int64_t deadline)
{
	struct pollfd pfd = {.fd = fd, .events = events};

	for (;;) {
		int rc = poll(&pfd, 1, left_ms(deadline));

		if (rc > 0)
			return 0;
		if (!rc)
			return -ETIMEDOUT;
		if (errno != EINTR)
			return -errno;
	}
}

/* A UNIX socket whose backlog is full says EAGAIN and cannot be polled for room: try again. */
static int connect_until(int fd, const struct sockaddr_un *addr, int64_t deadline)
{
	while (connect(fd, (const struct sockaddr *)addr, sizeof(*addr)) < 0) {
		int left = left_ms(deadline);

		if (errno == EISCONN)
			return 0;
		if (errno != EAGAIN && errno != EINTR)
			return -errno;
		if (!left)
			return -ETIMEDOUT;
		poll(NULL, 0, left > 0 && left < BACKLOG_RETRY_MS ? left : BACKLOG_RETRY_MS);
	}
	return 0;
}

int stream_connect(struct stream *stream, const char *path, int64_t deadline)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int fd, rc;

	stream->fd = -1;
	wire_reader_init(&stream->reader, WIRE_PAYLOAD_MAX);
	if (strlen(path) >= sizeof(addr.sun_path))
		return -ENAMETOOLONG;
	strcpy(addr.sun_path, path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	rc = connect_until(fd, &addr, deadline);
	if (rc < 0) {
		close(fd);
		return rc;
	}
	stream->fd = fd;
	return 0;
}

void stream_close(struct stream *stream)
{
	if (stream->fd >= 0)
		close(stream->fd);
	stream->fd = -1;
	wire_reader_clear(&stream->reader);
}

/* send(), with the descriptor where there is one. */
static ssize_t send_some(int fd, const uint8_t *bytes, size_t len, int file)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int))];
		struct cmsghdr head;
	} room = {{0}};
	struct iovec iov = {(void *)(uintptr_t)bytes, len};
	struct msghdr head = {.msg_iov = &iov, .msg_iovlen = 1};

	if (file >= 0) {
		head.msg_control = room.bytes;
		head.msg_controllen = sizeof(room.bytes);
		room.head = (struct cmsghdr){
		        .cmsg_len = CMSG_LEN(sizeof(int)),
		        .cmsg_level = SOL_SOCKET,
		        .cmsg_type = SCM_RIGHTS,
		};
		memcpy(CMSG_DATA(&room.head), &file, sizeof(int));
	}
	return sendmsg(fd, &head, MSG_NOSIGNAL);
}

int stream_send(
        struct stream *stream, const json_t *header, int file, int64_t deadline, bool *partly)
{
	uint8_t *bytes;
	size_t len, at = 0;
	int rc = wire_encode(header, NULL, 0, &bytes, &len);

	*partly = false;
	if (rc < 0)
		return rc;
	while (at < len) {
		ssize_t n = send_some(stream->fd, bytes + at, len - at, at ? -1 : file);

		if (n > 0)
			at += (size_t)n;
		else if (errno == EAGAIN)
			rc = await(stream->fd, POLLOUT, deadline);
		else if (errno != EINTR)
			rc = errno == EPIPE ? -ECONNRESET : -errno;
		if (rc < 0)
			break;
	}
	*partly = rc < 0 && at > 0;
	free(bytes);
	return rc;
}

/* More bytes into in[], which is empty. */
static int stream_fill(struct stream *stream, int64_t deadline)
{
	for (;;) {
		ssize_t n = recv(stream->fd, stream->in, sizeof(stream->in), 0);
		int rc;

		if (n > 0) {
			stream->at = 0;
			stream->len = (size_t)n;
			return 0;
		}
		if (!n)
			return -ECONNRESET;
		if (errno == EINTR)
			continue;
		if (errno != EAGAIN)
			return -errno;
		rc = await(stream->fd, POLLIN, deadline);
		if (rc < 0)
			return rc;
	}
}

int stream_receive(struct stream *stream, struct wire_msg *msg, int64_t deadline)
{
	for (;;) {
		size_t used;
		int rc;

		if (stream->at == stream->len) {
			rc = stream_fill(stream, deadline);
			if (rc < 0)
				return rc;
		}
		rc = wire_reader_feed(&stream->reader, stream->in + stream->at,
		        stream->len - stream->at, &used, msg);
		stream->at += used;
		if (rc)
			return rc < 0 ? rc : 0;
	}
}

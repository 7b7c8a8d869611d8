/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * stream: whole wire messages over one non-blocking UNIX socket, with deadlines.
 * Inside liboverlay only. Deadlines are CLOCK_MONOTONIC milliseconds; STREAM_FOREVER is none.
 */
#ifndef OVERLAYD_CLIENT_STREAM_H
#define OVERLAYD_CLIENT_STREAM_H

#include <stdint.h>

#include "client/wire.h"

#define STREAM_FOREVER INT64_MAX

struct stream {
	int fd;
	struct wire_reader reader;
	size_t at; /* bytes of in[] that the reader took */
	size_t len;
	uint8_t in[16384];
};

/* Now plus a timeout in ms (negative: STREAM_FOREVER). */
int64_t stream_deadline(int timeout_ms);

/* 0 or what socket() and connect() say; -ETIMEDOUT. stream->fd is -1 on failure. */
int stream_connect(struct stream *stream, const char *path, int64_t deadline);
void stream_close(struct stream *stream);

/* file: a descriptor that goes with the first byte, or -1; borrowed. -ETIMEDOUT leaves a part of the
 * message sent when *partly is set: the stream is lost then. */
int stream_send(
        struct stream *stream, const json_t *header, int file, int64_t deadline, bool *partly);

/* The next message, from what was read before or from the socket. -ETIMEDOUT, -ECONNRESET (also
 * for a clean end of stream), or what wire_reader_feed() says. */
int stream_receive(struct stream *stream, struct wire_msg *msg, int64_t deadline);

#endif

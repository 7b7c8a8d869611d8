/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What waits to be sent. A bundle that goes to many sessions is kept once: whatever its size, a
 * thousand members that fetch it at once need it only once in memory.
 */
#include "host/session_private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <utlist.h>

void session_queue_init(struct session_queue *queue)
{
	*queue = (struct session_queue){0};
	queue->last = &queue->first;
}

/* ---- blobs ---------------------------------------------------------------------------------- */

static bool head_same(const struct session_head *a, const struct session_head *b)
{
	return a->serial == b->serial && !memcmp(a->digest, b->digest, sizeof(a->digest));
}

static struct session_blob *blob_find(
        struct session_blob *blobs, const struct session_msg *msg, const struct session_head *base)
{
	/* Of one bundle there may be several signatures; they stand at its end. */
	size_t end = msg->len < MINISIGN_TEXT_MAX ? msg->len : MINISIGN_TEXT_MAX;
	struct session_blob *blob;

	DL_FOREACH(blobs, blob)
		if (blob->len == msg->len && head_same(&blob->head, &msg->head) &&
		        head_same(&blob->base, base) &&
		        !memcmp(blob->bytes + msg->len - end, msg->data + msg->len - end, end))
			return blob;
	return NULL;
}

static struct session_blob *blob_take(struct session_blob **blobs, const struct session_msg *msg)
{
	struct session_head base = msg->delta ? msg->base : (struct session_head){0};
	struct session_blob *blob = blob_find(*blobs, msg, &base);

	if (blob) {
		blob->refs++;
		return blob;
	}
	blob = malloc(sizeof(*blob) + msg->len);
	if (!blob)
		return NULL;
	*blob = (struct session_blob){.refs = 1, .head = msg->head, .base = base, .len = msg->len};
	memcpy(blob->bytes, msg->data, msg->len);
	DL_APPEND(*blobs, blob);
	return blob;
}

static void blob_drop(struct session_blob **blobs, struct session_blob *blob)
{
	if (!blob || --blob->refs)
		return;
	DL_DELETE(*blobs, blob);
	free(blob);
}

/* ---- chunks --------------------------------------------------------------------------------- */

static bool chunk_is_large(const struct session_chunk *chunk)
{
	return chunk->blob && chunk->len > SESSION_SMALL_MAX;
}

static void queue_pop(struct session_queue *queue, struct session_blob **blobs)
{
	struct session_chunk *chunk = queue->first;

	queue->first = chunk->next;
	if (!queue->first)
		queue->last = &queue->first;
	queue->n--;
	queue->n_large -= chunk_is_large(chunk);
	if (chunk->own)
		queue->bytes -= chunk->len;
	blob_drop(blobs, chunk->blob);
	free(chunk->own);
	free(chunk);
}

void session_queue_clear(struct session_queue *queue, struct session_blob **blobs)
{
	while (queue->first)
		queue_pop(queue, blobs);
}

static void queue_append(struct session_queue *queue, struct session_chunk *chunk)
{
	*queue->last = chunk;
	queue->last = &chunk->next;
	queue->n++;
	queue->n_large += chunk_is_large(chunk);
	if (chunk->own)
		queue->bytes += chunk->len;
}

/* -ENOBUFS: it drains slower than it fills. */
static int queue_room(const struct session_queue *queue, const struct session_out *out)
{
	if (!queue->first)
		return 0;
	if (queue->bytes + out->len > SESSION_QUEUE_MAX || queue->n + 2 > SESSION_QUEUE_CHUNKS ||
	        (out->tail_len > SESSION_SMALL_MAX && queue->n_large >= SESSION_QUEUE_LARGE))
		return -ENOBUFS;
	return 0;
}

/* Keeps what is behind the first `at` bytes; out->bytes is taken over. */
static int queue_keep(struct session_queue *queue, struct session_blob **blobs,
        struct session_out *out, const struct session_msg *msg, size_t at)
{
	struct session_chunk *head = calloc(1, sizeof(*head)), *tail = NULL;

	if (out->tail_len)
		tail = calloc(1, sizeof(*tail));
	if (tail)
		tail->blob = blob_take(blobs, msg);
	if (!head || (out->tail_len && (!tail || !tail->blob))) {
		if (tail)
			blob_drop(blobs, tail->blob);
		free(tail);
		free(head);
		session_out_clear(out);
		return -ENOMEM;
	}
	head->own = out->bytes;
	head->len = out->len;
	head->at = at < out->len ? at : out->len;
	queue_append(queue, head);
	if (tail) {
		tail->len = out->tail_len;
		tail->at = at - head->at;
		queue_append(queue, tail);
	}
	return 0;
}

/* What the socket takes; 0 where it takes nothing now. */
static ssize_t bytes_send(int fd, struct iovec *iov, size_t n)
{
	struct msghdr msg = {.msg_iov = iov, .msg_iovlen = n};
	ssize_t sent;

	do
		sent = sendmsg(fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
	while (sent < 0 && errno == EINTR);
	if (sent < 0)
		return errno == EAGAIN ? 0 : -errno;
	return sent;
}

int session_queue_add(struct session_queue *queue, struct session_blob **blobs, int fd,
        struct session_out *out, const struct session_msg *msg, size_t *sent)
{
	struct iovec iov[2] = {{out->bytes, out->len}, {(void *)out->tail, out->tail_len}};
	ssize_t n = 0;
	int rc = queue_room(queue, out);

	if (!rc && !queue->first)
		n = bytes_send(fd, iov, out->tail_len ? 2 : 1);
	if (rc || n < 0 || (size_t)n == out->len + out->tail_len) {
		*sent += n > 0 ? (size_t)n : 0;
		session_out_clear(out);
		return n < 0 ? (int)n : rc;
	}
	*sent += (size_t)n;
	return queue_keep(queue, blobs, out, msg, (size_t)n);
}

int session_queue_send(
        struct session_queue *queue, struct session_blob **blobs, int fd, size_t *sent)
{
	while (queue->first) {
		struct session_chunk *chunk = queue->first;
		uint8_t *bytes = chunk->own ? chunk->own : chunk->blob->bytes;
		struct iovec iov = {bytes + chunk->at, chunk->len - chunk->at};
		ssize_t n = iov.iov_len ? bytes_send(fd, &iov, 1) : 0;

		if (n < 0)
			return (int)n;
		*sent += (size_t)n;
		chunk->at += (size_t)n;
		if (chunk->at < chunk->len)
			return 0;
		queue_pop(queue, blobs);
	}
	return 0;
}

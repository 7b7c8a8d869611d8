/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What waits to be sent on sessions: all of it arrives, in order; a bundle for many is in memory
 * once; who does not read is told apart before it costs more than it may.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <utlist.h>

#include "host/session_private.h"

#define LARGE (3U << 20)
#define PEERS 20

static uint8_t file[LARGE];
static struct session_blob *blobs;

struct end {
	struct session_queue queue;
	int fd, other;
	size_t got, sent;
};

static void end_open(struct end *end)
{
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
	*end = (struct end){.fd = fds[0], .other = fds[1]};
	session_queue_init(&end->queue);
}

static void end_close(struct end *end)
{
	session_queue_clear(&end->queue, &blobs);
	close(end->fd);
	close(end->other);
}

static struct session_msg bundle_msg(uint64_t serial, size_t len)
{
	struct session_msg msg = {.type = SESSION_BUNDLE, .data = file, .len = len};

	msg.head.serial = serial;
	msg.head.digest[0] = (uint8_t)serial;
	return msg;
}

static int put(struct end *end, const struct session_msg *msg)
{
	struct session_out out;

	assert_int_equal(session_encode(msg, &out), 0);
	return session_queue_add(&end->queue, &blobs, end->fd, &out, msg, &end->sent);
}

/* Reads all that is there, and compares it with the file from `skip` bytes on. */
static void read_on(struct end *end, size_t skip)
{
	static uint8_t buf[65536];
	ssize_t n;

	while ((n = recv(end->other, buf, sizeof(buf), MSG_DONTWAIT)) > 0)
		for (ssize_t i = 0; i < n; i++, end->got++)
			if (end->got >= skip)
				assert_int_equal(buf[i], file[end->got - skip]);
}

static size_t n_blobs(void)
{
	struct session_blob *blob;
	size_t n;

	DL_COUNT(blobs, blob, n);
	return n;
}

static int setup(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(file); i++)
		file[i] = (uint8_t)(i * 31 + i / 255);
	return 0;
}

static void test_one_copy(void **state)
{
	struct session_msg msg = bundle_msg(7, LARGE), other = bundle_msg(8, LARGE);
	struct session_out out;
	struct end ends[PEERS];
	size_t header;

	(void)state;
	assert_int_equal(session_encode(&msg, &out), 0);
	header = out.len;
	session_out_clear(&out);
	for (size_t i = 0; i < PEERS; i++) {
		end_open(&ends[i]);
		assert_int_equal(put(&ends[i], &msg), 0);
	}
	assert_int_equal(n_blobs(), 1);
	assert_int_equal(blobs->refs, PEERS);
	/* another is another's, also while the first is still on its way */
	assert_int_equal(put(&ends[0], &other), 0);
	assert_int_equal(n_blobs(), 2);
	for (size_t i = 1; i < PEERS; i++) {
		while (ends[i].queue.first) {
			read_on(&ends[i], header);
			assert_int_equal(session_queue_send(
			                         &ends[i].queue, &blobs, ends[i].fd, &ends[i].sent),
			        0);
		}
		read_on(&ends[i], header);
		assert_int_equal(ends[i].got, header + LARGE);
		assert_int_equal(ends[i].sent, header + LARGE);
	}
	assert_int_equal(n_blobs(), 2);
	for (size_t i = 0; i < PEERS; i++)
		end_close(&ends[i]);
	assert_int_equal(n_blobs(), 0);
}

/* Two signatures of one bundle are two files. */
static void test_other_signature(void **state)
{
	static uint8_t again[LARGE];
	struct session_msg a = bundle_msg(7, LARGE), b = a;
	struct end ends[2];

	(void)state;
	memcpy(again, file, LARGE);
	again[LARGE - 100] ^= 1;
	b.data = again;
	for (size_t i = 0; i < 2; i++)
		end_open(&ends[i]);
	assert_int_equal(put(&ends[0], &a), 0);
	assert_int_equal(put(&ends[1], &b), 0);
	assert_int_equal(n_blobs(), 2);
	for (size_t i = 0; i < 2; i++)
		end_close(&ends[i]);
}

static void test_bounds(void **state)
{
	struct session_msg small = {.type = SESSION_WHO}, large = bundle_msg(7, LARGE);
	struct end end;
	size_t n = 0;
	int rc = 0;

	(void)state;
	end_open(&end);
	for (size_t i = 0; i < SESSION_QUEUE_LARGE; i++) {
		large.head.serial++;
		assert_int_equal(put(&end, &large), 0);
	}
	large.head.serial++;
	assert_int_equal(put(&end, &large), -ENOBUFS);
	while (!rc && n++ < SESSION_QUEUE_CHUNKS + 1)
		rc = put(&end, &small);
	assert_int_equal(rc, -ENOBUFS);
	assert_true(end.queue.n <= SESSION_QUEUE_CHUNKS);
	assert_true(end.queue.bytes <= SESSION_QUEUE_MAX);
	assert_int_equal(n_blobs(), SESSION_QUEUE_LARGE);
	end_close(&end);
	assert_int_equal(n_blobs(), 0);
}

static void test_broken(void **state)
{
	struct session_msg small = {.type = SESSION_WHO}, large = bundle_msg(7, LARGE);
	struct end end;

	(void)state;
	end_open(&end);
	assert_int_equal(put(&end, &large), 0);
	close(end.other);
	assert_int_equal(session_queue_send(&end.queue, &blobs, end.fd, &end.sent), -EPIPE);
	session_queue_clear(&end.queue, &blobs);
	assert_int_equal(put(&end, &small), -EPIPE);
	assert_null(end.queue.first);
	end.other = dup(end.fd);
	end_close(&end);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(test_one_copy),
	        cmocka_unit_test(test_other_signature),
	        cmocka_unit_test(test_bounds),
	        cmocka_unit_test(test_broken),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Files that come with a request, as descriptors. */
#include "control_bed.h"

#include <dirent.h>
#include <sys/mman.h>

static int load(struct overlay *o, const char *params, const void *data, size_t len, json_t **out)
{
	char *text = NULL;
	int rc = overlay_request_file(o, "load", params, data, len, &text, WAIT_MS);

	*out = rc < 0 ? NULL : json_loads(text, 0, NULL);
	free(text);
	return rc;
}

/* Descriptors that the server holds. */
static int server_fds(const struct bed *bed)
{
	char path[64];
	DIR *dir;
	int n = 0;

	snprintf(path, sizeof(path), "/proc/%d/fd", (int)bed->server);
	dir = opendir(path);
	assert_non_null(dir);
	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

static void await_fds(const struct bed *bed, int want)
{
	int have = -1;

	for (int i = 0; i < WAIT_MS / 5; i++) {
		have = server_fds(bed);
		if (have == want)
			return;
		poll(NULL, 0, 5);
	}
	fail_msg("the server holds %d descriptors, not %d", have, want);
}

static void test_file(void **state)
{
	size_t len = 20U << 20;
	char *data = malloc(len), *text = NULL;
	struct overlay *o;
	struct bed bed;
	json_t *value;
	int fds;

	(void)state;
	memset(data, 'a', len);
	data[len - 1] = 'z';
	bed_start(&bed, (struct control_options){0});
	o = bed_connect(&bed);
	assert_int_equal(bed_number(o, "status", NULL, "clients"), 1); /* it has started */
	fds = server_fds(&bed);
	for (int i = 0; i < 5; i++) {
		assert_int_equal(load(o, NULL, data, len, &value), 0);
		assert_int_equal(json_integer_value(json_object_get(value, "len")), len);
		assert_int_equal(json_integer_value(json_object_get(value, "last")), 'z');
		json_decref(value);
	}
	assert_int_equal(load(o, NULL, data, 0, &value), 0);
	assert_int_equal(json_integer_value(json_object_get(value, "len")), 0);
	json_decref(value);
	assert_int_equal(load(o, "{\"max\":9}", data, 10, &value), -EFBIG);
	/* Without a file; and one that comes with a method that takes none goes with its client. */
	assert_int_equal(overlay_request(o, "load", NULL, &text, WAIT_MS), -ENODATA);
	await_fds(&bed, fds);
	assert_int_equal(overlay_request_file(o, "status", NULL, data, 5, &text, WAIT_MS), 0);
	free(text);
	await_fds(&bed, fds + 1);
	overlay_close(o);
	o = bed_connect(&bed);
	await_fds(&bed, fds);
	overlay_close(o);
	bed_stop(&bed);
	free(data);
}

/* Bytes of `header`, with descriptors. */
static void raw_send_files(int fd, const char *header, const int *files, size_t n)
{
	union {
		char bytes[CMSG_SPACE(8 * sizeof(int))];
		struct cmsghdr head;
	} room = {{0}};
	json_t *value = json_loads(header, 0, NULL);
	struct iovec iov;
	struct msghdr head = {.msg_iov = &iov,
	        .msg_iovlen = 1,
	        .msg_control = room.bytes,
	        .msg_controllen = CMSG_SPACE(n * sizeof(int))};
	uint8_t *bytes;
	size_t len;

	assert_int_equal(wire_encode(value, NULL, 0, &bytes, &len), 0);
	iov = (struct iovec){bytes, len};
	room.head = (struct cmsghdr){.cmsg_len = CMSG_LEN(n * sizeof(int)),
	        .cmsg_level = SOL_SOCKET,
	        .cmsg_type = SCM_RIGHTS};
	memcpy(CMSG_DATA(&room.head), files, n * sizeof(int));
	assert_int_equal(sendmsg(fd, &head, MSG_NOSIGNAL), len);
	free(bytes);
	json_decref(value);
}

#define LOAD "{\"id\":1,\"method\":\"load\"}"

/* What might hang the daemon or change under it is not read: a pipe, a file, memory not sealed. */
static void test_unsealed(void **state)
{
	char error[256];
	struct bed bed;
	int files[3], ends[2];

	(void)state;
	assert_int_equal(pipe(ends), 0);
	files[0] = ends[0];
	files[1] = open("/proc/self/exe", O_RDONLY);
	files[2] = memfd_create("x", MFD_ALLOW_SEALING);
	assert_int_equal(fcntl(files[2], F_ADD_SEALS, F_SEAL_SHRINK), 0);
	bed_start(&bed, (struct control_options){0});
	for (int i = 0; i < 3; i++) {
		int fd = raw_connect(&bed);

		raw_send(fd, RAW_HELLO);
		raw_send_files(fd, LOAD, &files[i], 1);
		assert_int_equal(shutdown(fd, SHUT_WR), 0);
		assert_int_equal(raw_drain(fd, error, sizeof(error)), 2);
		assert_string_equal(error, "load: Invalid argument");
		close(fd);
		close(files[i]);
	}
	close(ends[1]);
	bed_stop(&bed);
}

/* Nobody fills the server's table of descriptors. */
static void test_many(void **state)
{
	int files[8], fds, fd;
	struct overlay *o;
	char error[256];
	struct bed bed;

	(void)state;
	for (int i = 0; i < 8; i++)
		files[i] = memfd_create("x", 0);
	bed_start(&bed, (struct control_options){0});
	o = bed_connect(&bed);
	assert_int_equal(bed_number(o, "status", NULL, "clients"), 1); /* it has started */
	fds = server_fds(&bed);
	fd = raw_connect(&bed);
	raw_send_files(fd, RAW_HELLO, files, 8);
	/* The client, and one of its eight. */
	await_fds(&bed, fds + 2);
	raw_send_files(fd, "{\"id\":1,\"method\":\"status\"}", files, 1);
	raw_drain(fd, error, sizeof(error));
	assert_string_equal(error, "a second file came before the first was asked for");
	close(fd);
	await_fds(&bed, fds);
	for (int i = 0; i < 8; i++)
		close(files[i]);
	overlay_close(o);
	bed_stop(&bed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(test_file),
	        cmocka_unit_test(test_unsealed),
	        cmocka_unit_test(test_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

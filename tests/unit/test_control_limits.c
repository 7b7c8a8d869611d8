/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The local API under clients without manners, and the socket file under loose modes. */
#include "control_bed.h"

/* What is sent ends with that farewell; the server serves on. */
static void expect_farewell(const struct bed *bed, const void *bytes, size_t len, const char *want)
{
	struct overlay *o;
	char error[256];
	int fd = raw_connect(bed);

	assert_int_equal(send(fd, bytes, len, MSG_NOSIGNAL), len);
	raw_drain(fd, error, sizeof(error));
	if (!strstr(error, want))
		fail_msg("not \"%s\": \"%s\"", want, error);
	close(fd);
	o = bed_connect(bed);
	bed_await(o, "clients", 1);
	overlay_close(o);
}

static void test_garbage(void **state)
{
	static const char http[] = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
	static const char zero[64];
	struct bed bed;
	int fd;
	char error[256];
	static const char *const bad[] = {
	        "{\"method\":\"status\"}",
	        "{\"id\":\"1\",\"method\":\"status\"}",
	        "{\"id\":1}",
	        "{\"id\":1,\"method\":7}",
	        "{\"id\":1,\"method\":\"status\",\"params\":[]}",
	};

	(void)state;
	bed_start(&bed, (struct control_options){0});
	expect_farewell(&bed, http, sizeof(http) - 1, "beyond the limits");
	expect_farewell(&bed, zero, sizeof(zero), "wire's rules");
	expect_farewell(&bed, "\0\0\0\4\0\0\0\0{]]}", 12, "wire's rules");
	expect_farewell(&bed, "\0\0\0\xd\0\0\0\0{\"a\":1,\"a\":1}", 21, "wire's rules");
	expect_farewell(&bed, "\0\0\0\2\0\0\0\0{}", 10, "must be a hello");
	expect_farewell(
	        &bed, "\0\0\0\2\0\1\0\1{}", 10, "beyond the limits"); /* payload 64 KiB + 1 */
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		fd = raw_connect(&bed);
		raw_send(fd, RAW_HELLO);
		raw_send(fd, bad[i]);
		assert_int_equal(raw_drain(fd, error, sizeof(error)), 2);
		assert_non_null(strstr(error, "a request needs"));
		close(fd);
	}
	fd = raw_connect(&bed);
	raw_send(fd, "{\"hello\":\"overlayd\",\"lowest\":7,\"highest\":9}");
	raw_drain(fd, error, sizeof(error));
	assert_string_equal(error, "no protocol version that both know");
	close(fd);
	bed_stop(&bed);
}

static void test_slow_to_speak(void **state)
{
	struct bed bed;

	(void)state;
	bed_start(&bed, (struct control_options){.hello_ms = 60, .message_ms = 60, .idle_ms = 60});
	expect_farewell(&bed, "", 0, "said no hello");
	bed_stop(&bed);
	bed_start(&bed, (struct control_options){.message_ms = 60});
	expect_farewell(&bed, "\0\0\0", 3, "too long to say a message");
	expect_farewell(&bed, "\0\0\0\7\0\0\0\0{\"a\"", 12, "too long to say a message");
	bed_stop(&bed);
}

static void test_idle(void **state)
{
	struct bed bed;
	struct overlay *idle, *subscriber;
	char *topic, *event, *text = NULL;

	(void)state;
	bed_start(&bed, (struct control_options){.idle_ms = 60});
	subscriber = bed_connect(&bed);
	assert_int_equal(overlay_subscribe(subscriber, NULL, WAIT_MS), 0);
	idle = bed_connect(&bed);
	assert_int_equal(overlay_event(idle, &topic, &event, WAIT_MS), -ETIMEDOUT);
	assert_string_equal(overlay_error(idle), "this client was idle for too long");
	assert_int_equal(overlay_request(idle, "status", NULL, &text, 0), -ETIMEDOUT);
	overlay_close(idle);
	/* One that listens may be silent. */
	assert_int_equal(bed_number(subscriber, "status", NULL, "clients"), 1);
	overlay_close(subscriber);
	bed_stop(&bed);
}

static void test_slow_to_read(void **state)
{
	struct bed bed;
	struct overlay *o;
	int fd;
	char error[256];

	(void)state;
	bed_start(&bed, (struct control_options){.write_ms = 80});
	o = bed_connect(&bed);
	fd = raw_connect(&bed);
	raw_send(fd, RAW_HELLO);
	raw_send(fd, "{\"id\":1,\"method\":\"firewall\",\"params\":{\"size\":8000000}}");
	bed_await(o, "clients", 2);
	bed_await(o, "clients", 1);
	{
		json_t *value = bed_ask(o, "status", NULL);
		const char *log = json_string_value(json_object_get(value, "log"));

		assert_non_null(strstr(log, "does not read its answers"));
		json_decref(value);
	}
	close(fd);
	/* Many answers that nobody reads: bounded by bytes, before any time is over. */
	bed_stop(&bed);
	bed_start(&bed, (struct control_options){.queue_max = 1 << 20});
	overlay_close(o);
	o = bed_connect(&bed);
	fd = raw_connect(&bed);
	raw_send(fd, RAW_HELLO);
	for (int i = 0; i < 8; i++)
		raw_send(fd, "{\"id\":1,\"method\":\"firewall\",\"params\":{\"size\":400000}}");
	bed_await(o, "clients", 1);
	raw_drain(fd, error, sizeof(error));
	close(fd);
	overlay_close(o);
	bed_stop(&bed);
}

static void test_too_many(void **state)
{
	struct bed bed;
	struct overlay *o[3], *extra;

	(void)state;
	bed_start(&bed, (struct control_options){.clients_max = 3});
	for (int i = 0; i < 3; i++)
		o[i] = bed_connect(&bed);
	assert_int_equal(bed_number(o[0], "status", NULL, "clients"), 3);
	assert_int_equal(overlay_connect(&extra, bed.path, WAIT_MS), -EUSERS);
	assert_string_equal(
	        overlay_error(extra), "overlayd serves as many clients as it may; try again later");
	overlay_close(extra);
	overlay_close(o[2]);
	bed_await(o[0], "clients", 2);
	o[2] = bed_connect(&bed);
	for (int i = 0; i < 3; i++)
		overlay_close(o[i]);
	bed_stop(&bed);
}

/* No descriptor left: accept pauses (no spinning), those inside are served, then it resumes. */
static void test_emfile(void **state)
{
	struct bed bed;
	struct overlay *a, *b, *c;

	(void)state;
	bed_start_spare(&bed, (struct control_options){.accept_pause_ms = 100}, 2);
	a = bed_connect(&bed);
	b = bed_connect(&bed);
	assert_int_equal(overlay_connect(&c, bed.path, 250), -ETIMEDOUT);
	assert_in_range(bed_number(a, "status", NULL, "refused"), 1, 5);
	overlay_close(c);
	overlay_close(b);
	c = bed_connect(&bed);
	assert_int_equal(bed_number(c, "status", NULL, "clients"), 2);
	overlay_close(c);
	overlay_close(a);
	bed_stop(&bed);
}

/* More requests than may be open wait in the socket; each is answered in the end. */
static void test_calls_max(void **state)
{
	struct bed bed;
	struct overlay *o;
	char error[256];
	int fd, ended = 0;

	(void)state;
	bed_start(&bed, (struct control_options){.calls_max = 2, .message_ms = 50});
	o = bed_connect(&bed);
	fd = raw_connect(&bed);
	raw_send(fd, RAW_HELLO);
	for (int i = 0; i < 7; i++)
		raw_send(fd, "{\"id\":9,\"method\":\"reload\"}");
	shutdown(fd, SHUT_WR); /* all said; the answers are still wanted */
	while (ended < 7) {
		int left = 7 - ended, now;

		bed_await(o, "kept", left < 2 ? left : 2);
		now = bed_number(o, "explain", NULL, "ended");
		assert_int_equal(now, left < 2 ? left : 2);
		ended += now;
	}
	assert_int_equal(
	        raw_drain(fd, error, sizeof(error)), 8); /* hello + 7 answers, then closed */
	assert_string_equal(error, "");
	bed_await(o, "clients", 1);
	close(fd);
	overlay_close(o);
	bed_stop(&bed);
}

/* ---- the socket file ------------------------------------------------------------------ */

static int try_new(const char *path, char *err, size_t size)
{
	struct control_options options = {.path = path};
	struct control *control = NULL;
	sd_event *event;
	int rc;

	assert_true(sd_event_new(&event) >= 0);
	rc = control_new(event, &options, &bed_ops, NULL, &control, err, size);
	if (rc < 0)
		assert_null(control);
	control_free(control);
	sd_event_unref(event);
	return rc;
}

static void test_directory_modes(void **state)
{
	static const mode_t bad[] = {0777, 01777, 0775, 0720, 0702};
	struct bed bed;
	char err[256];

	(void)state;
	bed_dir(&bed);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(chmod(bed.dir, bad[i]), 0);
		assert_int_equal(try_new(bed.path, err, sizeof(err)), -EPERM);
		assert_non_null(strstr(err, "chmod 755"));
		assert_int_equal(access(bed.path, F_OK), -1);
	}
	assert_int_equal(chmod(bed.dir, 0700), 0);
	if (!getuid()) {
		assert_int_equal(chown(bed.dir, 65534, 0), 0);
		assert_int_equal(try_new(bed.path, err, sizeof(err)), -EPERM);
		assert_non_null(strstr(err, "belongs to user 65534"));
		assert_int_equal(chown(bed.dir, 0, 0), 0);
	}
	assert_int_equal(chmod(bed.dir, 0755), 0);
	assert_int_equal(try_new(bed.path, err, sizeof(err)), 0);
	bed_stop(&bed);
	assert_int_equal(try_new(bed.path, err, sizeof(err)), -ENOENT);
}

static void test_stale_socket(void **state)
{
	struct bed bed, other;
	struct overlay *o;
	char err[256], long_path[200];
	int fd, status;

	(void)state;
	bed_start(&bed, (struct control_options){0});
	/* One that answers is never removed. */
	assert_int_equal(try_new(bed.path, err, sizeof(err)), -EADDRINUSE);
	assert_non_null(strstr(err, "another overlayd answers"));
	o = bed_connect(&bed);
	overlay_close(o);
	/* One whose daemon was killed is. */
	kill(bed.server, SIGKILL);
	waitpid(bed.server, &status, 0);
	bed.server = 0;
	assert_int_equal(access(bed.path, F_OK), 0);
	assert_int_equal(try_new(bed.path, err, sizeof(err)), 0);
	/* What is no socket is not ours to remove. */
	fd = open(bed.path, O_CREAT | O_WRONLY, 0600);
	close(fd);
	assert_int_equal(try_new(bed.path, err, sizeof(err)), -EEXIST);
	assert_int_equal(access(bed.path, F_OK), 0);
	bed_stop(&bed);

	bed_dir(&other);
	memset(long_path, 'a', sizeof(long_path));
	memcpy(long_path, other.dir, strlen(other.dir));
	long_path[strlen(other.dir)] = '/';
	long_path[150] = '\0';
	assert_int_equal(try_new(long_path, err, sizeof(err)), -ENAMETOOLONG);
	bed_stop(&other);
}

/* One that lives but is too busy to take us in is no stale one. */
static void test_busy_socket(void **state)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	struct bed bed;
	char err[256];
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), waiting[16], n = 0, rc;

	(void)state;
	bed_dir(&bed);
	strcpy(addr.sun_path, bed.path);
	assert_int_equal(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	assert_int_equal(listen(fd, 0), 0);
	do { /* until the backlog is full */
		assert_true(n < 16);
		waiting[n] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		rc = connect(waiting[n++], (struct sockaddr *)&addr, sizeof(addr));
	} while (!rc);
	assert_int_equal(errno, EAGAIN);
	assert_int_equal(try_new(bed.path, err, sizeof(err)), -EADDRINUSE);
	assert_int_equal(access(bed.path, F_OK), 0);
	while (n)
		close(waiting[--n]);
	close(fd);
	bed_stop(&bed);
}

/* At the end only our own file goes: another daemon's, put there meanwhile, stays. */
static void test_not_our_socket(void **state)
{
	struct control_options options = {0};
	struct control *first = NULL, *second = NULL;
	struct bed bed;
	sd_event *event;
	char err[256];

	(void)state;
	bed_dir(&bed);
	options.path = bed.path;
	assert_true(sd_event_new(&event) >= 0);
	assert_int_equal(control_new(event, &options, &bed_ops, NULL, &first, err, sizeof(err)), 0);
	assert_int_equal(unlink(bed.path), 0);
	assert_int_equal(
	        control_new(event, &options, &bed_ops, NULL, &second, err, sizeof(err)), 0);
	control_free(first);
	assert_int_equal(access(bed.path, F_OK), 0);
	control_free(second);
	assert_int_equal(access(bed.path, F_OK), -1);
	control_free(NULL);
	sd_event_unref(event);
	bed_stop(&bed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(test_garbage),
	        cmocka_unit_test(test_slow_to_speak),
	        cmocka_unit_test(test_idle),
	        cmocka_unit_test(test_slow_to_read),
	        cmocka_unit_test(test_too_many),
	        cmocka_unit_test(test_emfile),
	        cmocka_unit_test(test_calls_max),
	        cmocka_unit_test(test_directory_modes),
	        cmocka_unit_test(test_stale_socket),
	        cmocka_unit_test(test_busy_socket),
	        cmocka_unit_test(test_not_our_socket),
	};

	return cmocka_run_group_tests_name("control_limits", tests, NULL, NULL);
}

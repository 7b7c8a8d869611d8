/* SPDX-License-Identifier: GPL-2.0-or-later */
/* liboverlay against servers that are not what they should be. (The real one: test_control_*.) */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <errno.h>
#include <arpa/inet.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "client/overlay.h"

#define WAIT_MS 10000

static char dir[64], path[100];

static int setup(void **state)
{
	(void)state;
	strcpy(dir, "/tmp/ovl-client-XXXXXX");
	if (!mkdtemp(dir))
		return -1;
	snprintf(path, sizeof(path), "%s/s", dir);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	unlink(path);
	return rmdir(dir);
}

/* Serve one client: send that at once; hold the line until the client goes, if told so. */
static pid_t serve(const void *bytes, size_t len, bool hold)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	pid_t child;
	char sink[4096];

	unlink(path);
	strcpy(addr.sun_path, path);
	assert_int_equal(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	assert_int_equal(listen(fd, 1), 0);
	fflush(NULL);
	child = fork();
	if (!child) {
		int conn;

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		conn = accept(fd, NULL, NULL);
		if (send(conn, bytes, len, MSG_NOSIGNAL) != (ssize_t)len)
			_exit(1);
		if (!hold)
			shutdown(conn, SHUT_WR);
		while (read(conn, sink, sizeof(sink)) > 0)
			;
		_exit(0);
	}
	close(fd);
	return child;
}

static void ended(pid_t child)
{
	int status;

	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
}

static void expect_connect(
        const void *bytes, size_t len, bool hold, int timeout_ms, int rc, const char *why)
{
	struct overlay *o;
	pid_t child = serve(bytes, len, hold);

	assert_int_equal(overlay_connect(&o, path, timeout_ms), rc);
	if (!strstr(overlay_error(o), why))
		fail_msg("not \"%s\": %s", why, overlay_error(o));
	overlay_close(o);
	ended(child);
}

#define HELLO(low, high) "{\"hello\":\"overlayd\",\"lowest\":" low ",\"highest\":" high "}"

static size_t frame(char *out, const char *header, const char *payload)
{
	uint32_t lens[2] = {htonl((uint32_t)strlen(header)), htonl((uint32_t)strlen(payload))};

	memcpy(out, lens, 8);
	return 8 + (size_t)sprintf(out + 8, "%s%s", header, payload);
}

static void test_connect(void **state)
{
	char bytes[256];

	(void)state;
	expect_connect("SSH-2.0-OpenSSH_9\r\n", 19, true, WAIT_MS, -EBADMSG, "not overlayd");
	expect_connect(bytes, frame(bytes, "{}", ""), true, WAIT_MS, -EBADMSG, "not overlayd");
	expect_connect("", 0, false, WAIT_MS, -ECONNRESET, "closed the connection");
	expect_connect("\0\0\0\2", 4, false, WAIT_MS, -ECONNRESET, "closed the connection");
	expect_connect("\0\0\0\2", 4, true, 50, -ETIMEDOUT, "does not answer");
	expect_connect(bytes, frame(bytes, HELLO("7", "9"), ""), true, WAIT_MS, -EPROTONOSUPPORT,
	        "no protocol version");
	expect_connect(bytes, frame(bytes, "{\"error\":{\"errno\":87,\"text\":\"full\"}}", ""),
	        false, WAIT_MS, -EUSERS, "full");
	expect_connect(bytes, frame(bytes, HELLO("1", "1"), ""), true, WAIT_MS, 0, "");
}

/* A hello, then this in answer to a request. */
static void expect_answer(
        const char *header, const char *payload, int timeout_ms, int rc, const char *why)
{
	char bytes[512], *text = NULL;
	struct overlay *o;
	pid_t child;
	size_t len = frame(bytes, HELLO("1", "1"), "");

	len += frame(bytes + len, header, payload);
	child = serve(bytes, len, true);
	assert_int_equal(overlay_connect(&o, path, WAIT_MS), 0);
	assert_int_equal(overlay_request(o, "status", NULL, &text, timeout_ms), rc);
	if (!strstr(overlay_error(o), why))
		fail_msg("not \"%s\": %s", why, overlay_error(o));
	assert_int_equal(text != NULL, rc == 0);
	if (text)
		assert_string_equal(text, payload);
	if (rc == -EINVAL)
		assert_string_equal(overlay_error_detail(o), payload);
	free(text);
	overlay_close(o);
	ended(child);
}

static void test_answers(void **state)
{
	(void)state;
	expect_answer("{\"id\":1,\"ok\":true}", "{\"a\":1}", WAIT_MS, 0, "");
	expect_answer("{\"id\":1}", "", WAIT_MS, -EBADMSG, "without a result");
	/* Not for us, or nothing that we know: dropped. */
	expect_answer("{\"id\":2}", "{}", 50, -ETIMEDOUT, "no answer in time");
	expect_answer("{\"unknown\":1}", "", 50, -ETIMEDOUT, "no answer in time");
	expect_answer("{\"event\":17}", "", 50, -ETIMEDOUT, "no answer in time");
	expect_answer("{\"event\":\"peer\"}", "", 50, -ETIMEDOUT, "no answer in time");
	expect_answer("[]", "", WAIT_MS, -EBADMSG, "not overlayd");
	expect_answer("{\"id\":1,\"id\":1}", "{}", WAIT_MS, -EBADMSG, "not overlayd");
	/* Errors, also such with numbers that are none. */
	expect_answer("{\"id\":1,\"error\":{\"errno\":22,\"text\":\"bad\"}}", "[17]", WAIT_MS,
	        -EINVAL, "bad");
	expect_answer("{\"id\":1,\"error\":{\"errno\":99999}}", "", WAIT_MS, -EPROTO, "Protocol");
	expect_answer("{\"id\":1,\"error\":{\"errno\":0}}", "", WAIT_MS, -EPROTO, "Protocol");
	expect_answer("{\"id\":1,\"error\":{\"errno\":-22}}", "", WAIT_MS, -EPROTO, "Protocol");
	expect_answer("{\"id\":1,\"error\":17}", "", WAIT_MS, -EPROTO, "Protocol");
	/* A farewell that looks like our own timeout. */
	expect_answer("{\"error\":{\"errno\":110,\"text\":\"enough\"}}", "", WAIT_MS, -ETIMEDOUT,
	        "enough");
}

static void test_path_too_long(void **state)
{
	char longer[200];
	struct overlay *o;

	(void)state;
	memset(longer, 'x', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\0';
	assert_int_equal(overlay_connect(&o, longer, 0), -ENAMETOOLONG);
	overlay_close(o);
	overlay_close(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test_setup_teardown(test_connect, setup, teardown),
	        cmocka_unit_test_setup_teardown(test_answers, setup, teardown),
	        cmocka_unit_test(test_path_too_long),
	};

	return cmocka_run_group_tests_name("client_overlay", tests, NULL, NULL);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A real control server in a child process, on a real socket in a directory of its own, with a
 * host that is played by a few small ops. The tests are its clients.
 */
#ifndef OVERLAYD_TESTS_CONTROL_BED_H
#define OVERLAYD_TESTS_CONTROL_BED_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "client/overlay.h"
#include "client/wire.h"
#include "control/control.h"

#define WAIT_MS 10000 /* a deadline, not a delay: nothing here takes that long */
#define KEPT_MAX 64

struct bed {
	char dir[64];
	char path[96];
	pid_t server;
};

/* ---- the host, in the child ----------------------------------------------------------- */

struct bed_host {
	struct control *control;
	struct control_call *kept[KEPT_MAX];
	int n_kept;
	int reloads;
	int refused_accepts; /* "cannot accept" lines logged */
	char last_log[256];
};

static int bed_status(void *user, struct control_call *call, const json_t *params, json_t **out)
{
	struct bed_host *host = user;

	(void)params;
	*out = json_pack("{s:i, s:i, s:i, s:i, s:i, s:s}", "clients",
	        control_clients(host->control), "reloads", host->reloads, "kept", host->n_kept,
	        "refused", host->refused_accepts, "uid", (int)control_call_caller(call)->uid, "log",
	        host->last_log);
	return 0;
}

/* {"size": n}: a text of that many bytes. */
static int bed_firewall(void *user, struct control_call *call, const json_t *params, json_t **out)
{
	size_t size = (size_t)json_integer_value(json_object_get(params, "size"));
	char *text = malloc(size + 1);

	(void)user;
	(void)call;
	memset(text, 'x', size);
	text[size] = '\0';
	*out = json_pack("{s:s}", "text", text);
	free(text);
	return 0;
}

/* {"topic": t, "count": n, "size": s}: publish n events. */
static int bed_denied(void *user, struct control_call *call, const json_t *params, json_t **out)
{
	struct bed_host *host = user;
	const char *topic = json_string_value(json_object_get(params, "topic"));
	size_t size = (size_t)json_integer_value(json_object_get(params, "size"));
	char *pad = calloc(1, size + 1);

	(void)call;
	memset(pad, 'p', size);
	for (int i = 0; i < json_integer_value(json_object_get(params, "count")); i++) {
		json_t *event = json_pack("{s:i, s:s}", "n", i, "pad", pad);

		control_publish(host->control, topic, event);
		json_decref(event);
	}
	free(pad);
	*out = json_pack("{s:b}", "heard", control_has_subscribers(host->control, topic));
	return 0;
}

/* Kept until somebody calls explain. */
static int bed_reload(void *user, struct control_call *call, const json_t *params, json_t **out)
{
	struct bed_host *host = user;

	(void)params;
	(void)out;
	host->reloads++;
	host->kept[host->n_kept++] = call;
	return CONTROL_LATER;
}

/* End all kept calls: well, or with {"fail": errno}. Tells how many of their clients were gone. */
static int bed_explain(void *user, struct control_call *call, const json_t *params, json_t **out)
{
	struct bed_host *host = user;
	int error = (int)json_integer_value(json_object_get(params, "fail"));
	int gone = 0, n = host->n_kept;

	(void)call;
	host->n_kept = 0;
	for (int i = 0; i < n; i++) {
		gone += control_call_gone(host->kept[i]);
		if (error) {
			control_call_why(host->kept[i], "policy.yaml is not what it should be");
			control_call_detail(
			        host->kept[i], json_pack("{s:s}", "report", "1:2: error"));
			control_call_fail(host->kept[i], -error);
		} else {
			control_call_reply(host->kept[i], json_pack("{s:i}", "serial", 7));
		}
	}
	*out = json_pack("{s:i, s:i}", "ended", n, "gone", gone);
	return 0;
}

/* {"max": n}: what came as a file, by its length and last byte. */
static int bed_load(void *user, struct control_call *call, const json_t *params, json_t **out)
{
	size_t max = (size_t)json_integer_value(json_object_get(params, "max")), len;
	char *data;
	int rc = control_call_file(call, max ? max : 1 << 25, &data, &len);

	(void)user;
	if (rc)
		return rc;
	*out = json_pack("{s:I, s:i}", "len", (json_int_t)len, "last", len ? data[len - 1] : -1);
	free(data);
	return 0;
}

static void bed_log(void *user, int priority, const char *text)
{
	struct bed_host *host = user;

	if (strstr(text, "cannot accept"))
		host->refused_accepts++;
	if (priority < 7)
		snprintf(host->last_log, sizeof(host->last_log), "%s", text);
}

static const struct control_ops bed_ops = {
        .status = bed_status,
        .firewall = bed_firewall,
        .denied = bed_denied,
        .reload = bed_reload,
        .load = bed_load,
        .explain = bed_explain,
        .log = bed_log,
};

/* spare_fds >= 0: leave the server room for so many more descriptors. */
static void bed_serve(const struct control_options *options, int spare_fds, int ready)
{
	struct bed_host host = {0};
	struct rlimit limit;
	sd_event *event;
	char err[256];
	int rc;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (sd_event_new(&event) < 0)
		_exit(3);
	rc = control_new(event, options, &bed_ops, &host, &host.control, err, sizeof(err));
	if (rc < 0) {
		fprintf(stderr, "server: %s\n", err);
		_exit(4);
	}
	if (spare_fds >= 0) {
		int next = dup(0);

		close(next);
		getrlimit(RLIMIT_NOFILE, &limit);
		limit.rlim_cur = (rlim_t)(next + spare_fds);
		setrlimit(RLIMIT_NOFILE, &limit);
	}
	/* SIGTERM ends the loop: what leaks is told by the sanitizer, in the child too. */
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, NULL);
	sd_event_add_signal(event, NULL, SIGTERM, NULL, NULL);
	if (write(ready, "r", 1) != 1)
		_exit(5);
	close(ready);
	rc = sd_event_loop(event);
	for (int i = 0; i < host.n_kept; i++)
		control_call_fail(host.kept[i], -ECANCELED);
	control_free(host.control);
	sd_event_unref(event);
	exit(rc < 0 ? 6 : 0);
}

/* ---- the bed, in the test ------------------------------------------------------------- */

static void bed_dir(struct bed *bed)
{
	strcpy(bed->dir, "/tmp/ovl-control-XXXXXX");
	assert_non_null(mkdtemp(bed->dir));
	snprintf(bed->path, sizeof(bed->path), "%s/admin.sock", bed->dir);
	bed->server = 0;
}

static void bed_start_spare(struct bed *bed, struct control_options options, int spare_fds)
{
	int ready[2];
	char byte;

	bed_dir(bed);
	options.path = bed->path;
	if (options.group)
		assert_int_equal(chmod(bed->dir, 0755), 0);
	assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
	fflush(NULL);
	bed->server = fork();
	assert_true(bed->server >= 0);
	if (!bed->server)
		bed_serve(&options, spare_fds, ready[1]);
	close(ready[1]);
	assert_int_equal(read(ready[0], &byte, 1), 1);
	close(ready[0]);
}

static inline void bed_start(struct bed *bed, struct control_options options)
{
	bed_start_spare(bed, options, -1);
}

/* The server must have lived until now, and end cleanly, with its socket gone. */
static void bed_stop(struct bed *bed)
{
	int status = 0;

	if (bed->server) {
		kill(bed->server, SIGTERM);
		assert_int_equal(waitpid(bed->server, &status, 0), bed->server);
		assert_true(WIFEXITED(status));
		assert_int_equal(WEXITSTATUS(status), 0);
		assert_int_equal(access(bed->path, F_OK), -1);
	}
	unlink(bed->path);
	assert_int_equal(rmdir(bed->dir), 0);
}

static inline struct overlay *bed_connect(const struct bed *bed)
{
	struct overlay *o;
	int rc = overlay_connect(&o, bed->path, WAIT_MS);

	if (rc < 0)
		fail_msg("connect: %s", overlay_error(o));
	return o;
}

/* The result of a request that must succeed, parsed; the caller's. */
static json_t *bed_ask(struct overlay *o, const char *method, const char *params)
{
	char *text = NULL;
	json_t *value;
	int rc = overlay_request(o, method, params, &text, WAIT_MS);

	if (rc < 0)
		fail_msg("%s: %s", method, overlay_error(o));
	value = json_loads(text, 0, NULL);
	assert_non_null(value);
	free(text);
	return value;
}

static inline int bed_number(
        struct overlay *o, const char *method, const char *params, const char *key)
{
	json_t *value = bed_ask(o, method, params);
	int number = (int)json_integer_value(json_object_get(value, key));

	assert_non_null(json_object_get(value, key));
	json_decref(value);
	return number;
}

/* Ask again and again until a number of status is as wanted. */
static inline void bed_await(struct overlay *o, const char *key, int want)
{
	int have = -1;

	for (int i = 0; i < WAIT_MS / 5; i++) {
		have = bed_number(o, "status", NULL, key);
		if (have == want)
			return;
		poll(NULL, 0, 5);
	}
	fail_msg("%s is %d, not %d", key, have, want);
}

/* A client without manners: a plain socket. */
static inline int raw_connect(const struct bed *bed)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	strcpy(addr.sun_path, bed->path);
	assert_int_equal(connect(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	return fd;
}

static inline void raw_send(int fd, const char *header)
{
	json_t *value = json_loads(header, 0, NULL);
	uint8_t *bytes;
	size_t len;

	assert_non_null(value);
	assert_int_equal(wire_encode(value, NULL, 0, &bytes, &len), 0);
	assert_int_equal(send(fd, bytes, len, MSG_NOSIGNAL), len);
	free(bytes);
	json_decref(value);
}

#define RAW_HELLO "{\"hello\":\"overlayd\",\"lowest\":1,\"highest\":1}"

/* All until the server closes: the last message's error text, and how many messages came. */
static inline int raw_drain(int fd, char *error, size_t size)
{
	struct wire_reader reader;
	uint8_t bytes[4096];
	int count = 0;

	*error = '\0';
	wire_reader_init(&reader, WIRE_PAYLOAD_MAX);
	for (;;) {
		struct pollfd pfd = {.fd = fd, .events = POLLIN};
		ssize_t n;

		assert_int_equal(poll(&pfd, 1, WAIT_MS), 1);
		n = recv(fd, bytes, sizeof(bytes), 0);
		if (n <= 0)
			break;
		for (size_t at = 0; at < (size_t)n;) {
			struct wire_msg msg = {0};
			size_t used;
			int rc = wire_reader_feed(&reader, bytes + at, (size_t)n - at, &used, &msg);
			const char *text;

			assert_true(rc >= 0);
			at += used;
			if (!rc)
				continue;
			text = json_string_value(
			        json_object_get(json_object_get(msg.header, "error"), "text"));
			snprintf(error, size, "%s", text ? text : "");
			wire_msg_clear(&msg);
			count++;
		}
	}
	wire_reader_clear(&reader);
	return count;
}

#endif

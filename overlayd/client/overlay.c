/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "client/overlay.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "client/paths.h"
#include "client/stream.h"

#define EVENTS_MAX 1024U /* kept while a request waits; more: dropped, with a gap told */

struct event {
	char *topic;
	char *text;
};

struct overlay {
	struct stream stream;
	char path[128];
	char server_version[64];
	json_int_t last_id;
	struct event events[EVENTS_MAX]; /* a ring */
	size_t first_event;
	size_t n_events;
	bool gap; /* events were dropped, here or by the daemon */
	int dead; /* the errno that ended the stream, negative */
	char error[1024];
	char *detail;
};

__attribute__((format(printf, 3, 4))) static int fail(
        struct overlay *o, int rc, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(o->error, sizeof(o->error), format, args);
	va_end(args);
	return rc;
}

/* The stream is of no more use. */
static int fail_dead(struct overlay *o, int rc, const char *what)
{
	o->dead = rc;
	return fail(o, rc, "%s: %s", o->path, what);
}

static void call_begin(struct overlay *o)
{
	o->error[0] = '\0';
	free(o->detail);
	o->detail = NULL;
}

static int refuse_dead(struct overlay *o)
{
	return o->dead ? fail(o, o->dead, "%s: the connection is over", o->path) : 0;
}

/* The daemon's {"errno", "text"} as our own error. */
static int take_error(struct overlay *o, const json_t *error, struct wire_msg *msg)
{
	json_int_t number = json_integer_value(json_object_get(error, "errno"));
	const char *text = json_string_value(json_object_get(error, "text"));

	if (number < 1 || number > 4095)
		number = EPROTO;
	if (msg->payload_len) {
		o->detail = (char *)msg->payload;
		msg->payload = NULL;
	}
	return fail(o, (int)-number, "%s", text && *text ? text : strerror((int)number));
}

/* Keep an event for overlay_event(). */
static void take_event(struct overlay *o, const char *topic, struct wire_msg *msg)
{
	struct event *event = &o->events[(o->first_event + o->n_events) % EVENTS_MAX];
	char *name;

	if (!strcmp(topic, "gap") || o->n_events == EVENTS_MAX || !msg->payload_len) {
		o->gap = true;
		return;
	}
	name = strdup(topic);
	if (!name) {
		o->gap = true;
		return;
	}
	event->topic = name;
	event->text = (char *)msg->payload;
	msg->payload = NULL;
	o->n_events++;
}

/*
 * Receive one message. Events are kept; 1: *msg is an answer, 0: it was something else and is
 * gone. A message with an error and no id is the daemon's farewell: it may be -ETIMEDOUT too, but
 * then the stream is dead.
 */
static int receive(struct overlay *o, struct wire_msg *msg, int64_t deadline)
{
	const char *topic;
	json_t *error;
	int rc = stream_receive(&o->stream, msg, deadline);

	if (rc == -ETIMEDOUT)
		return rc;
	if (rc == -ECONNRESET)
		return fail_dead(o, rc, "overlayd closed the connection");
	if (rc < 0)
		return fail_dead(o, rc == -EMSGSIZE ? -EBADMSG : rc,
		        rc == -EBADMSG || rc == -EMSGSIZE ? "what answers is not overlayd"
		                                          : strerror(-rc));
	error = json_object_get(msg->header, "error");
	topic = json_string_value(json_object_get(msg->header, "event"));
	if (json_object_get(msg->header, "id"))
		return 1;
	if (topic)
		take_event(o, topic, msg);
	else if (error)
		rc = o->dead = take_error(o, error, msg);
	wire_msg_clear(msg);
	return rc;
}

/* A failed send may have a farewell behind it that says why: prefer that. */
static int send_failed(struct overlay *o, int rc, bool partly)
{
	struct wire_msg msg = {0};

	if (rc == -ETIMEDOUT && !partly)
		return fail(o, rc, "%s: overlayd takes no requests now", o->path);
	if (rc == -EMSGSIZE)
		return fail(o, rc, "the request is too large");
	while (rc == -ECONNRESET && !o->dead) {
		if (receive(o, &msg, stream_deadline(0)) < 0)
			break;
		wire_msg_clear(&msg);
	}
	if (o->dead)
		return o->dead;
	return fail_dead(o, rc, rc == -ETIMEDOUT ? "overlayd stopped reading" : strerror(-rc));
}

static int hello_send(struct overlay *o, int64_t deadline)
{
	json_t *hello = wire_hello(OVERLAYD_VERSION);
	bool partly;
	int rc;

	if (!hello)
		return fail(o, -ENOMEM, "out of memory");
	rc = stream_send(&o->stream, hello, -1, deadline, &partly);
	json_decref(hello);
	return rc < 0 ? send_failed(o, rc, partly) : 0;
}

static int hello_receive(struct overlay *o, int64_t deadline)
{
	struct wire_msg msg = {0};
	const json_t *error;
	const char *version;
	int rc = stream_receive(&o->stream, &msg, deadline);

	if (rc == -ETIMEDOUT)
		return fail_dead(o, rc, "overlayd does not answer; see: journalctl -u overlayd");
	if (rc < 0)
		return fail_dead(o, rc == -EMSGSIZE ? -EBADMSG : rc,
		        rc == -ECONNRESET ? "overlayd closed the connection"
		                          : "what answers is not overlayd");
	error = json_object_get(msg.header, "error");
	if (error) {
		rc = o->dead = take_error(o, error, &msg);
		wire_msg_clear(&msg);
		return rc;
	}
	rc = wire_hello_agree(msg.header);
	version = json_string_value(json_object_get(msg.header, "version"));
	snprintf(o->server_version, sizeof(o->server_version), "%s", version ? version : "");
	wire_msg_clear(&msg);
	if (rc == -EPROTONOSUPPORT)
		return fail_dead(
		        o, rc, "overlayd speaks no protocol version that this program knows");
	return rc < 0 ? fail_dead(o, rc, "what answers is not overlayd") : 0;
}

static int connect_failed(struct overlay *o, int rc)
{
	o->dead = rc;
	if (rc == -ENOENT || rc == -ECONNREFUSED)
		return fail(o, rc,
		        "%s: overlayd does not run here; start it: systemctl start overlayd",
		        o->path);
	if (rc == -EACCES)
		return fail(o, rc,
		        "%s: permission denied; be root or in the socket's group (" OVERLAY_GROUP
		        ")",
		        o->path);
	if (rc == -ETIMEDOUT)
		return fail(o, rc, "%s: overlayd takes no connection; see: journalctl -u overlayd",
		        o->path);
	return fail(o, rc, "%s: %s", o->path, strerror(-rc));
}

int overlay_connect(struct overlay **out, const char *path, int timeout_ms)
{
	int64_t deadline = stream_deadline(timeout_ms);
	struct overlay *o = calloc(1, sizeof(*o));
	int rc;

	*out = o;
	if (!o)
		return -ENOMEM;
	path = path ? path : OVERLAY_SOCKET;
	snprintf(o->path, sizeof(o->path), "%s", path);
	rc = stream_connect(&o->stream, path, deadline);
	if (rc < 0)
		return connect_failed(o, rc);
	rc = hello_send(o, deadline);
	return rc < 0 ? rc : hello_receive(o, deadline);
}

void overlay_close(struct overlay *o)
{
	if (!o)
		return;
	for (size_t i = 0; i < o->n_events; i++) {
		struct event *event = &o->events[(o->first_event + i) % EVENTS_MAX];

		free(event->topic);
		free(event->text);
	}
	stream_close(&o->stream);
	free(o->detail);
	free(o);
}

static int request_send(
        struct overlay *o, const char *method, const char *params, int file, int64_t deadline)
{
	json_t *header, *value = NULL;
	char why[256];
	bool partly;
	int rc;

	if (params && wire_json_parse(params, strlen(params), &value, why, sizeof(why)) < 0)
		return fail(o, -EINVAL, "params: %s", why);
	header = json_pack(
	        "{s:I, s:s, s:o*}", "id", o->last_id + 1, "method", method, "params", value);
	if (!header)
		return fail(o, -EINVAL, "the method's name is not UTF-8");
	o->last_id++;
	rc = stream_send(&o->stream, header, file, deadline, &partly);
	json_decref(header);
	return rc < 0 ? send_failed(o, rc, partly) : 0;
}

/* The answer to last_id; answers to requests that timed out before are dropped. */
static int answer_await(struct overlay *o, char **result, int64_t deadline)
{
	for (;;) {
		struct wire_msg msg = {0};
		json_t *error;
		int rc = receive(o, &msg, deadline);

		if (rc == -ETIMEDOUT && !o->dead)
			return fail(o, rc, "%s: no answer in time", o->path);
		if (rc < 0)
			return rc;
		if (!rc || json_integer_value(json_object_get(msg.header, "id")) != o->last_id) {
			wire_msg_clear(&msg);
			continue;
		}
		error = json_object_get(msg.header, "error");
		if (error) {
			rc = take_error(o, error, &msg);
		} else if (!msg.payload_len) {
			rc = fail_dead(o, -EBADMSG, "an answer without a result");
		} else {
			*result = (char *)msg.payload;
			msg.payload = NULL;
			rc = 0;
		}
		wire_msg_clear(&msg);
		return rc;
	}
}

int overlay_request(
        struct overlay *o, const char *method, const char *params, char **result, int timeout_ms)
{
	int64_t deadline = stream_deadline(timeout_ms);
	int rc;

	call_begin(o);
	rc = refuse_dead(o);
	if (!rc)
		rc = request_send(o, method, params, -1, deadline);
	return rc < 0 ? rc : answer_await(o, result, deadline);
}

/* Memory that nobody can change any more: the daemon reads it without a wait. */
static int file_make(const void *data, size_t len)
{
	int fd = memfd_create("overlay-request", MFD_CLOEXEC | MFD_ALLOW_SEALING), rc = 0;

	if (fd < 0)
		return -errno;
	for (size_t at = 0; at < len && !rc;) {
		ssize_t n = write(fd, (const char *)data + at, len - at);

		if (n < 0 && errno != EINTR)
			rc = -errno;
		at += n > 0 ? (size_t)n : 0;
	}
	if (!rc && fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW) < 0)
		rc = -errno;
	if (!rc)
		return fd;
	close(fd);
	return rc;
}

int overlay_request_file(struct overlay *o, const char *method, const char *params,
        const void *data, size_t len, char **result, int timeout_ms)
{
	int64_t deadline = stream_deadline(timeout_ms);
	int fd, rc;

	call_begin(o);
	rc = refuse_dead(o);
	if (rc < 0)
		return rc;
	fd = file_make(data, len);
	if (fd < 0)
		return fail(o, fd, "the file cannot be passed on: %s", strerror(-fd));
	rc = request_send(o, method, params, fd, deadline);
	close(fd);
	return rc < 0 ? rc : answer_await(o, result, deadline);
}

int overlay_subscribe(struct overlay *o, const char *topics, int timeout_ms)
{
	char *result, *params = NULL;
	int rc;

	if (topics && asprintf(&params, "{\"topics\":%s}", topics) < 0)
		return -ENOMEM;
	rc = overlay_request(o, "subscribe", params, &result, timeout_ms);
	free(params);
	if (rc < 0)
		return rc;
	free(result);
	return 0;
}

int overlay_event(struct overlay *o, char **topic, char **event, int timeout_ms)
{
	int64_t deadline = stream_deadline(timeout_ms);

	call_begin(o);
	while (!o->n_events && !o->gap) {
		struct wire_msg msg = {0};
		int rc = refuse_dead(o);

		if (!rc)
			rc = receive(o, &msg, deadline);
		wire_msg_clear(&msg);
		if (rc == -ETIMEDOUT && !o->dead)
			return fail(o, -EAGAIN, "no event yet");
		if (rc < 0)
			return rc;
	}
	/* What came before the gap first: the ring is older than the flag. */
	if (!o->n_events) {
		o->gap = false;
		return fail(o, -EOVERFLOW, "events were lost");
	}
	*topic = o->events[o->first_event].topic;
	*event = o->events[o->first_event].text;
	o->events[o->first_event] = (struct event){0};
	o->first_event = (o->first_event + 1) % EVENTS_MAX;
	o->n_events--;
	return 0;
}

int overlay_fd(const struct overlay *o)
{
	return o->stream.fd;
}

const char *overlay_error(const struct overlay *o)
{
	return o ? o->error : "out of memory";
}

const char *overlay_error_detail(const struct overlay *o)
{
	return o ? o->detail : NULL;
}

const char *overlay_server_version(const struct overlay *o)
{
	return o->server_version;
}

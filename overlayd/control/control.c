/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>
#include <utlist.h>

#include "control/server.h"

#define ACCEPTS_PER_TURN 16

/* Their order is that of the bits in client->topics. */
static const char *const topics[] = {"peer", "status", "policy", "denied", "warning"};

_Static_assert(sizeof(topics) / sizeof(topics[0]) <= CONTROL_TOPICS_MAX, "topics fit their bits");

int control_topic(const char *name)
{
	for (size_t i = 0; i < sizeof(topics) / sizeof(topics[0]); i++)
		if (!strcmp(topics[i], name))
			return (int)i;
	return -1;
}

void control_log(struct control *control, int priority, const char *format, ...)
{
	char text[CONTROL_TEXT_MAX];
	va_list args;

	if (!control->ops.log)
		return;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	control->ops.log(control->user, priority, text);
}

uint64_t control_now(struct control *control)
{
	uint64_t now = 0;

	sd_event_now(control->event, CLOCK_MONOTONIC, &now);
	return now;
}

static int on_reap(sd_event_source *source, void *userdata)
{
	struct control *control = userdata;
	struct client *client, *next;

	(void)source;
	DL_FOREACH_SAFE(control->clients, client, next) {
		if (!client->dead)
			continue;
		DL_DELETE(control->clients, client);
		client_free(client);
	}
	return 0;
}

void control_reap_later(struct control *control)
{
	sd_event_source_set_enabled(control->reap, SD_EVENT_ONESHOT);
}

static int on_resume(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct control *control = userdata;

	(void)source;
	(void)usec;
	sd_event_source_set_enabled(control->io, SD_EVENT_ON);
	return 0;
}

/*
 * No descriptor or memory for another client: the one that waits stays in the backlog and keeps
 * the socket readable, so stop looking, or the loop would spin.
 */
static void accept_pause(struct control *control, int error)
{
	uint64_t usec = (uint64_t)control->options.accept_pause_ms * 1000;

	control_log(control, LOG_WARNING, "%s: cannot accept: %s; trying again in %u ms",
	        control->path, strerror(error), control->options.accept_pause_ms);
	sd_event_source_set_enabled(control->io, SD_EVENT_OFF);
	sd_event_source_set_time(control->resume, control_now(control) + usec);
	sd_event_source_set_enabled(control->resume, SD_EVENT_ONESHOT);
}

/* One too many: it is told so, without becoming a client. */
static void client_refuse(struct control *control, int fd)
{
	json_t *farewell = json_pack("{s:{s:i, s:s}}", "error", "errno", EUSERS, "text",
	        "overlayd serves as many clients as it may; try again later");
	uint8_t *bytes;
	size_t len;

	if (farewell && !wire_encode(farewell, NULL, 0, &bytes, &len)) {
		if (send(fd, bytes, len, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
			control_log(control, LOG_DEBUG, "a client too many left by itself");
		free(bytes);
	}
	json_decref(farewell);
	close(fd);
}

static int on_accept(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
	struct control *control = userdata;

	(void)source;
	(void)events;
	for (int i = 0; i < ACCEPTS_PER_TURN; i++) {
		int conn = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		int rc;

		if (conn < 0) {
			if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS ||
			        errno == ENOMEM)
				accept_pause(control, errno);
			if (errno == EINTR || errno == ECONNABORTED)
				continue;
			break;
		}
		if (control->n_clients >= control->options.clients_max) {
			client_refuse(control, conn);
			continue;
		}
		rc = client_new(control, conn);
		if (rc < 0)
			control_log(control, LOG_WARNING, "%s: a client was lost: %s",
			        control->path, strerror(-rc));
	}
	return 0;
}

static void options_default(struct control_options *options)
{
	static const struct control_options defaults = {
	        .version = OVERLAYD_VERSION,
	        .clients_max = 64,
	        .calls_max = 16,
	        .hello_ms = 5000,
	        .message_ms = 10000,
	        .idle_ms = 600000,
	        .write_ms = 15000,
	        .queue_max = 24U << 20,
	        .accept_pause_ms = 1000,
	        .rights = CONTROL_MAY_ALL,
	};

	if (!options->version)
		options->version = defaults.version;
#define DEFAULT(field)                                                                             \
	if (!options->field)                                                                       \
	options->field = defaults.field
	DEFAULT(clients_max);
	DEFAULT(calls_max);
	DEFAULT(hello_ms);
	DEFAULT(message_ms);
	DEFAULT(idle_ms);
	DEFAULT(write_ms);
	DEFAULT(queue_max);
	DEFAULT(accept_pause_ms);
	DEFAULT(rights);
#undef DEFAULT
}

static int sources_add(struct control *control)
{
	int rc = sd_event_add_io(
	        control->event, &control->io, control->fd, EPOLLIN, on_accept, control);

	if (rc >= 0)
		rc = sd_event_add_time(control->event, &control->resume, CLOCK_MONOTONIC, 0, 0,
		        on_resume, control);
	if (rc >= 0)
		rc = sd_event_source_set_enabled(control->resume, SD_EVENT_OFF);
	if (rc >= 0)
		rc = sd_event_add_defer(control->event, &control->reap, on_reap, control);
	if (rc >= 0)
		rc = sd_event_source_set_enabled(control->reap, SD_EVENT_OFF);
	return rc < 0 ? rc : 0;
}

int control_new(sd_event *event, const struct control_options *options,
        const struct control_ops *ops, void *user, struct control **out, char *err, size_t err_size)
{
	struct control *control = calloc(1, sizeof(*control));
	int rc = -ENOMEM;

	if (!control)
		goto out;
	control->fd = -1;
	control->event = sd_event_ref(event);
	control->options = *options;
	options_default(&control->options);
	control->ops = *ops;
	control->user = user;
	control->path = strdup(options->path);
	control->version = strdup(control->options.version);
	if (!control->path || !control->version)
		goto out;
	rc = listener_open(control, err, err_size);
	if (rc < 0)
		goto out_said;
	rc = sources_add(control);
	if (rc < 0)
		goto out;
	control->options.path = control->path;
	control->options.version = control->version;
	control->options.group = NULL; /* the caller's string: not needed any more */
	*out = control;
	return 0;
out:
	snprintf(err, err_size, "%s: %s", options->path, strerror(-rc));
out_said:
	control_free(control);
	return rc;
}

void control_free(struct control *control)
{
	struct client *client, *next;

	if (!control)
		return;
	DL_FOREACH_SAFE(control->clients, client, next) {
		DL_DELETE(control->clients, client);
		client_free(client);
	}
	sd_event_source_disable_unref(control->io);
	sd_event_source_disable_unref(control->resume);
	sd_event_source_disable_unref(control->reap);
	listener_close(control);
	sd_event_unref(control->event);
	free(control->path);
	free(control->version);
	free(control);
}

bool control_has_subscribers(const struct control *control, const char *topic)
{
	int bit = control_topic(topic);
	const struct client *client;

	DL_FOREACH(control->clients, client)
		if (bit >= 0 && !client->dead && client->topics & 1U << bit)
			return true;
	return false;
}

void control_publish(struct control *control, const char *topic, const json_t *event)
{
	json_t *header = NULL;
	char *text = NULL;
	uint8_t *bytes = NULL;
	struct client *client;
	size_t len = 0;
	int bit = control_topic(topic);

	if (bit < 0 || !control_has_subscribers(control, topic))
		return;
	header = json_pack("{s:s}", "event", topic);
	text = json_dumps(event, JSON_COMPACT);
	/* Too large or no memory: bytes stays NULL, and the subscribers get a gap. */
	if (header && text)
		wire_encode(header, text, strlen(text), &bytes, &len);
	DL_FOREACH(control->clients, client)
		if (!client->dead && client->topics & 1U << bit)
			client_event(client, bytes, len);
	free(bytes);
	free(text);
	json_decref(header);
}

unsigned control_clients(const struct control *control)
{
	return control->n_clients;
}

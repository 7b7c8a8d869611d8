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

#define EVENTS_SHARE 16U /* events may fill that part of the queue; the rest is for answers */
#define TOTAL_SHARE 4U   /* all clients together may queue as much as that many of them */

static void client_drop(struct client *client);

/* ---- deadlines ------------------------------------------------------------------------ */

struct deadline {
	uint64_t at;
	const char *why; /* NULL: nothing to say to one that only idles */
};

static void nearer(struct deadline *nearest, uint64_t from, unsigned ms, const char *why)
{
	uint64_t at = from + (uint64_t)ms * 1000;

	if (at < nearest->at)
		*nearest = (struct deadline){at, why};
}

static struct deadline client_deadline(const struct client *client)
{
	const struct control_options *options = &client->control->options;
	struct deadline nearest = {UINT64_MAX, NULL};

	if (!client->said_hello)
		nearer(&nearest, client->active, options->hello_ms, "said no hello in time");
	if (wire_reader_pending(&client->reader) && client->n_calls < options->calls_max)
		nearer(&nearest, client->begun, options->message_ms,
		        "took too long to say a message");
	if (client->out)
		nearer(&nearest, client->written, options->write_ms, "does not read its answers");
	if (client->said_hello && !client->topics && !client->n_calls && !client->out)
		nearer(&nearest, client->active, options->idle_ms, "was idle for too long");
	return nearest;
}

static void client_arm(struct client *client)
{
	struct deadline nearest = client_deadline(client);

	if (client->dead)
		return;
	if (nearest.at == UINT64_MAX) {
		sd_event_source_set_enabled(client->timer, SD_EVENT_OFF);
		return;
	}
	sd_event_source_set_time(client->timer, nearest.at);
	sd_event_source_set_enabled(client->timer, SD_EVENT_ONESHOT);
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct client *client = userdata;
	struct deadline nearest = client_deadline(client);

	(void)source;
	(void)usec;
	if (nearest.at <= control_now(client->control))
		client_end(client, ETIMEDOUT, "this client %s", nearest.why);
	else
		client_arm(client);
	return 0;
}

/* ---- out ------------------------------------------------------------------------------ */

/* What the loop should wake us for. Nothing is read while it has enough calls open. */
static void client_watch(struct client *client)
{
	uint32_t events = 0;

	if (client->dead)
		return;
	if (!client->at_eof && client->in_at == client->in_len &&
	        client->n_calls < client->control->options.calls_max)
		events |= EPOLLIN;
	if (client->out)
		events |= EPOLLOUT;
	sd_event_source_set_io_events(client->io, events);
	client_arm(client);
}

/* Takes over bytes, also on failure. */
static int queue_append(struct client *client, uint8_t *bytes, size_t len)
{
	struct chunk *chunk = malloc(sizeof(*chunk));

	if (!chunk) {
		free(bytes);
		return -ENOMEM;
	}
	*chunk = (struct chunk){.bytes = bytes, .len = len};
	if (!client->out)
		client->written = control_now(client->control);
	*client->out_last = chunk;
	client->out_last = &chunk->next;
	client->out_bytes += len;
	client->control->out_bytes += len;
	return 0;
}

static void queue_pop(struct client *client)
{
	struct chunk *chunk = client->out;

	client->out = chunk->next;
	if (!client->out)
		client->out_last = &client->out;
	client->out_bytes -= chunk->len;
	client->control->out_bytes -= chunk->len;
	free(chunk->bytes);
	free(chunk);
}

static bool queue_full(const struct client *client, size_t len, size_t max)
{
	return len > max || client->out_bytes > max - len ||
	       client->control->out_bytes + len > TOTAL_SHARE * client->control->options.queue_max;
}

/* Events were dropped: say so as soon as there is room, before the next event. */
static void gap_tell(struct client *client)
{
	json_t *header = json_pack("{s:s}", "event", "gap");
	uint8_t *bytes;
	size_t len;

	if (header && !wire_encode(header, NULL, 0, &bytes, &len) &&
	        !queue_append(client, bytes, len))
		client->gap = false;
	json_decref(header);
}

static void client_write(struct client *client)
{
	while (client->out) {
		struct chunk *chunk = client->out;
		ssize_t n = send(client->fd, chunk->bytes + chunk->at, chunk->len - chunk->at,
		        MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return;
		if (n < 0) {
			client_drop(client);
			return;
		}
		client->written = client->active = control_now(client->control);
		chunk->at += (size_t)n;
		if (chunk->at == chunk->len)
			queue_pop(client);
		if (!client->out && client->gap)
			gap_tell(client);
	}
}

void client_answer(struct client *client, const json_t *header, const char *payload, size_t len)
{
	uint8_t *bytes;
	size_t total;
	int rc;

	if (client->dead)
		return;
	rc = header ? wire_encode(header, payload, len, &bytes, &total) : -ENOMEM;
	if (rc < 0) {
		client_end(client, -rc, "an answer could not be made");
		return;
	}
	if (queue_full(client, total, client->control->options.queue_max)) {
		free(bytes);
		client_end(client, ENOBUFS, "this client leaves too many answers unread");
		return;
	}
	if (queue_append(client, bytes, total) < 0)
		client_end(client, ENOMEM, "out of memory");
	client_watch(client);
}

void client_event(struct client *client, const uint8_t *bytes, size_t len)
{
	uint8_t *copy;

	if (client->gap && !client->out)
		gap_tell(client);
	copy = bytes && !client->gap &&
	                       !queue_full(client, len,
	                               client->control->options.queue_max / EVENTS_SHARE)
	               ? malloc(len)
	               : NULL;
	if (copy) {
		memcpy(copy, bytes, len);
		if (queue_append(client, copy, len) < 0)
			copy = NULL;
	}
	if (!copy)
		client->gap = true;
	client_watch(client);
}

/* ---- in ------------------------------------------------------------------------------- */

static void hello_answer(struct client *client, const struct wire_msg *msg)
{
	int version = wire_hello_agree(msg->header);

	if (version < 0) {
		client_end(client, -version, "%s",
		        version == -EPROTONOSUPPORT ? "no protocol version that both know"
		                                    : "the first message must be a hello");
		return;
	}
	client->said_hello = true;
}

/* Ours goes out at once: neither side waits for the other's. */
static void hello_say(struct client *client)
{
	json_t *hello = wire_hello(client->control->version);

	client_answer(client, hello, NULL, 0);
	json_decref(hello);
}

static void client_message(struct client *client, struct wire_msg *msg)
{
	client->active = control_now(client->control);
	if (!client->said_hello)
		hello_answer(client, msg);
	else
		call_request(client, msg);
	wire_msg_clear(msg);
}

/* Messages out of in[], as many as may be open at once. */
static void client_parse(struct client *client)
{
	while (!client->dead && client->in_at < client->in_len &&
	        client->n_calls < client->control->options.calls_max) {
		struct wire_msg msg = {0};
		bool pending = wire_reader_pending(&client->reader);
		size_t used;
		int rc = wire_reader_feed(&client->reader, client->in + client->in_at,
		        client->in_len - client->in_at, &used, &msg);

		explicit_bzero(client->in + client->in_at, used); /* it may be secret */
		client->in_at += used;
		if (rc < 0)
			client_end(client, -rc, "%s",
			        rc == -EMSGSIZE ? "a message beyond the limits"
			                        : "a message is not what "
			                          "the wire's rules say");
		else if (rc)
			client_message(client, &msg);
		else if (!pending)
			client->begun = control_now(client->control);
	}
}

static void client_read(struct client *client)
{
	ssize_t n = file_receive(client);

	if (n > 0) {
		client->in_at = 0;
		client->in_len = (size_t)n;
		client_parse(client);
	} else if (!n) {
		client->at_eof = true;
	} else if (errno == EPROTO) {
		client_end(client, EPROTO, "a second file came before the first was asked for");
	} else if (errno != EAGAIN && errno != EINTR) {
		client_drop(client);
	}
}

/* All is said and all is read: a client that closed its end is done. */
static void client_pump(struct client *client)
{
	if (client->dead)
		return;
	if (client->at_eof && client->in_at == client->in_len && !client->n_calls && !client->out)
		client_drop(client);
	else
		client_watch(client);
}

static int on_again(sd_event_source *source, void *userdata)
{
	struct client *client = userdata;

	(void)source;
	client_parse(client);
	client_pump(client);
	return 0;
}

void client_call_ended(struct client *client)
{
	if (client->dead)
		return;
	client->active = client->begun = control_now(client->control);
	sd_event_source_set_enabled(client->again, SD_EVENT_ONESHOT);
}

static int on_io(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
	struct client *client = userdata;

	(void)source;
	(void)fd;
	if (events & EPOLLIN)
		client_read(client);
	if (!client->dead && events & EPOLLOUT)
		client_write(client);
	if (!client->dead && events & (EPOLLHUP | EPOLLERR) && !(events & EPOLLIN))
		client_drop(client);
	client_pump(client);
	return 0;
}

/* ---- life ----------------------------------------------------------------------------- */

/* One last message behind what waits, as far as the socket takes it now: nobody waits for it. */
static void farewell(struct client *client, int error, const char *text)
{
	json_t *header = json_pack("{s:{s:i, s:s}}", "error", "errno", error, "text", text);
	uint8_t *bytes;
	size_t len;

	if (header && !wire_encode(header, NULL, 0, &bytes, &len) &&
	        !queue_append(client, bytes, len))
		client_write(client);
	json_decref(header);
}

/* Nothing more is read or sent; the loop's next turn frees it. */
static void client_drop(struct client *client)
{
	if (client->dead)
		return;
	client->dead = true;
	client->control->n_clients--;
	sd_event_source_set_enabled(client->io, SD_EVENT_OFF);
	sd_event_source_set_enabled(client->timer, SD_EVENT_OFF);
	sd_event_source_set_enabled(client->again, SD_EVENT_OFF);
	control_reap_later(client->control);
}

void client_end(struct client *client, int error, const char *format, ...)
{
	char text[CONTROL_TEXT_MAX];
	va_list args;

	if (client->dead)
		return;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	control_log(client->control, LOG_INFO, "a client of user %u (process %d) was closed: %s",
	        (unsigned)client->caller.uid, (int)client->caller.pid, text);
	farewell(client, error, text);
	client_drop(client);
}

void client_free(struct client *client)
{
	if (!client)
		return;
	if (!client->dead)
		client->control->n_clients--;
	client->dead = true;
	while (client->calls)
		call_detach(client->calls);
	while (client->out)
		queue_pop(client);
	sd_event_source_disable_unref(client->io);
	sd_event_source_disable_unref(client->timer);
	sd_event_source_disable_unref(client->again);
	wire_reader_clear(&client->reader);
	file_close(&client->file);
	close(client->fd);
	free(client);
}

/* Who it is, the kernel tells: of the moment of connect(). */
static int client_identify(struct client *client)
{
	struct ucred cred;
	socklen_t len = sizeof(cred);

	if (getsockopt(client->fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0)
		return -errno;
	client->caller = (struct control_caller){
	        .uid = cred.uid,
	        .gid = cred.gid,
	        .pid = cred.pid,
	        .rights = client->control->options.rights,
	};
	if (!cred.uid || cred.uid == geteuid())
		client->caller.rights = CONTROL_MAY_ALL;
	return 0;
}

static int client_sources(struct client *client)
{
	sd_event *event = client->control->event;
	int rc = sd_event_add_io(event, &client->io, client->fd, EPOLLIN, on_io, client);

	if (rc >= 0)
		rc = sd_event_add_time(
		        event, &client->timer, CLOCK_MONOTONIC, UINT64_MAX, 0, on_timer, client);
	if (rc >= 0)
		rc = sd_event_add_defer(event, &client->again, on_again, client);
	if (rc >= 0)
		rc = sd_event_source_set_enabled(client->again, SD_EVENT_OFF);
	return rc < 0 ? rc : 0;
}

int client_new(struct control *control, int fd)
{
	struct client *client = calloc(1, sizeof(*client));
	int rc;

	if (!client) {
		close(fd);
		return -ENOMEM;
	}
	client->control = control;
	client->fd = fd;
	client->file = -1;
	client->out_last = &client->out;
	client->active = client->begun = control_now(control);
	wire_reader_init(&client->reader, WIRE_PAYLOAD_MAX_IN);
	control->n_clients++;
	rc = client_identify(client);
	if (!rc)
		rc = client_sources(client);
	if (rc < 0) {
		client_free(client);
		return rc;
	}
	DL_APPEND(control->clients, client);
	hello_say(client);
	return 0;
}

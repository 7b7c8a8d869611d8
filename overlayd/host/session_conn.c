/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One connection: connect or accept, hello, messages, and an end, told at the loop's next turn. */
#include "host/session_private.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <utlist.h>

#define READ_TURN 8 /* reads of one connection before others have their turn */

static void conn_watch(struct session_conn *conn)
{
	uint32_t events = 0;

	if (conn->stage == SESSION_ENDED)
		return;
	if (conn->stage != SESSION_CONNECTING && conn->credit > 0)
		events |= EPOLLIN;
	if (conn->stage == SESSION_CONNECTING || conn->queue.first)
		events |= EPOLLOUT;
	sd_event_source_set_io_events(conn->io, events);
	if (conn->queue.first || conn->credit < SESSION_CREDIT_MAX ||
	        wire_reader_pending(&conn->reader))
		session_tick_soon(conn->all);
}

static void stage_set(struct session_conn *conn, enum session_stage stage)
{
	conn->stage = stage;
	conn->since_us = world_now_us();
	session_tick_soon(conn->all);
}

void session_conn_end(struct session_conn *conn, const char *format, ...)
{
	struct sessions *all = conn->all;
	va_list args;

	if (conn->stage == SESSION_ENDED)
		return;
	va_start(args, format);
	vsnprintf(conn->text, sizeof(conn->text), format, args);
	va_end(args);
	log_debug("session with %s ends: %s", conn->peer, conn->text);
	conn->stage = SESSION_ENDED;
	conn->io = sd_event_source_disable_unref(conn->io);
	close(conn->fd);
	conn->fd = -1;
	session_queue_clear(&conn->queue, &all->blobs);
	wire_reader_clear(&conn->reader);
	HASH_DEL(all->by_id, conn);
	DL_DELETE(all->conns, conn);
	all->n_conns--;
	DL_APPEND(all->ended, conn);
	sd_event_source_set_enabled(all->reap, SD_EVENT_ONESHOT);
}

void session_conn_free(struct session_conn *conn)
{
	free(conn);
}

/* ---- out ------------------------------------------------------------------------------------ */

/* What is on its way is begun, or moved. */
static void conn_sent(struct session_conn *conn, size_t bytes, bool began)
{
	if (began) {
		conn->out_us = world_now_us();
		conn->out_bytes = 0;
	}
	conn->out_bytes += bytes;
	conn_watch(conn);
}

static void conn_put(
        struct session_conn *conn, struct session_out *out, const struct session_msg *msg)
{
	bool began = !conn->queue.first;
	size_t sent = 0;
	int rc = session_queue_add(&conn->queue, &conn->all->blobs, conn->fd, out, msg, &sent);

	if (rc == -ENOBUFS)
		session_conn_end(conn, "%s does not take what it is sent", conn->peer);
	else if (rc)
		session_conn_end(conn, "cannot send to %s: %s", conn->peer, strerror(-rc));
	else
		conn_sent(conn, sent, began);
}

static void hello_say(struct session_conn *conn)
{
	struct session_hello own;
	struct session_out out;

	if (!session_hello_own(conn->all, &own))
		session_conn_end(conn, "this node is no member now");
	else if (session_encode_hello(&own, &out))
		session_conn_end(conn, "out of memory");
	else
		conn_put(conn, &out, NULL);
}

void session_conn_send(struct session_conn *conn, const struct session_msg *msg, bool large)
{
	struct session_msg copy = *msg;
	int64_t until = world_now_us() + SESSION_ASKED_US;
	char err[ENGINE_TEXT_MAX];
	struct session_out out;
	int rc = 0;

	if (conn->stage != SESSION_UP)
		return;
	if (msg->type == SESSION_STATE || msg->type == SESSION_HERE)
		rc = session_sign(conn->all, &copy.statement, err, sizeof(err));
	if (rc) {
		session_conn_end(conn, "%s", err);
		return;
	}
	rc = session_encode(&copy, &out);
	if (rc) {
		session_conn_end(
		        conn, "a message to %s cannot be made: %s", conn->peer, strerror(-rc));
		return;
	}
	if (msg->type == SESSION_WANT && large) {
		conn->large_until_us = until;
		conn->reader.payload_max = BUNDLE_FILE_MAX;
	}
	if (msg->type == SESSION_WHO || msg->type == SESSION_WHERE) {
		*(msg->type == SESSION_WHO ? &conn->answer_until_us : &conn->map_until_us) = until;
		if (conn->reader.payload_max < SESSION_ANSWER_MAX)
			conn->reader.payload_max = SESSION_ANSWER_MAX;
	}
	conn_put(conn, &out, &copy);
}

/* ---- in ------------------------------------------------------------------------------------- */

/* What was asked for came, or did not come: back to what is taken unasked. */
static void bounds_set(struct session_conn *conn)
{
	conn->reader.payload_max = conn->large_until_us ? BUNDLE_FILE_MAX
	                           : conn->answer_until_us || conn->map_until_us
	                                   ? SESSION_ANSWER_MAX
	                                   : SESSION_SMALL_MAX;
}

static void bounds_judge(struct session_conn *conn, const struct session_msg *msg)
{
	if (msg->type == SESSION_BUNDLE && msg->len > SESSION_SMALL_MAX && !conn->large_until_us)
		session_conn_end(conn, "%s sent a bundle that nobody asked for", conn->peer);
	else if (msg->type == SESSION_BUNDLE && (!msg->delta || msg->len > SESSION_SMALL_MAX))
		conn->large_until_us = 0; /* small deltas come unasked: not the answer */
	else if (msg->type == SESSION_STATEMENTS)
		conn->answer_until_us = 0;
	else if (msg->type == SESSION_MAP && (msg->since || !msg->n_statements))
		conn->map_until_us = 0; /* since 0: what we said ourselves, unasked */
	if (conn->stage == SESSION_UP)
		bounds_set(conn);
}

static void conn_up(struct session_conn *conn, const char *release)
{
	struct engine_event ev = {.type = ENGINE_EV_SESSION};

	snprintf(conn->text, sizeof(conn->text), "%s", release);
	stage_set(conn, SESSION_UP);
	conn->silent = false;
	bounds_set(conn);
	ev.session.id = conn->id;
	ev.session.peer = conn->peer;
	ev.session.up = true;
	ev.session.ours = conn->ours;
	ev.session.text = conn->text;
	world_event(conn->all->world, &ev);
}

static void hello_take(struct session_conn *conn, const struct wire_msg *wire)
{
	char text[SESSION_TEXT_MAX];
	struct session_hello own, theirs;
	int rc;

	if (session_hello_read(wire, &theirs)) {
		session_conn_end(conn, "%s does not speak as a node does", conn->peer);
		return;
	}
	if (!session_hello_own(conn->all, &own)) {
		session_conn_end(conn, "this node is no member now");
		return;
	}
	rc = session_hello_judge(&own, &theirs, conn->peer, text);
	if (rc < 0) {
		if (!conn->ours) /* the engine knows nothing of it */
			log_warning("session refused: %s", text);
		session_conn_end(conn, "%s", text);
		return;
	}
	conn->version = rc;
	conn_up(conn, theirs.release);
}

static void message_take(struct session_conn *conn, const struct wire_msg *wire)
{
	struct engine_event ev = {.type = ENGINE_EV_SESSION_MSG};
	struct session_in in;
	int rc = session_decode(wire, &in);

	if (rc < 0) {
		session_conn_end(conn, "%s sent a message that is not as it must be", conn->peer);
		return;
	}
	if (!rc) {
		if (++conn->unknown > SESSION_UNKNOWN_MAX)
			session_conn_end(
			        conn, "%s sends nothing that this release knows", conn->peer);
		return;
	}
	conn->unknown = 0;
	bounds_judge(conn, &in.msg);
	if (conn->stage == SESSION_UP) {
		ev.session_msg.id = conn->id;
		ev.session_msg.msg = &in.msg;
		world_event(conn->all->world, &ev);
	}
	session_in_clear(&in);
}

/* Whole messages out of what was read; those beyond the credit too: the next read waits for it. */
static void conn_feed(struct session_conn *conn, size_t len)
{
	size_t at = 0;

	while (conn->stage != SESSION_ENDED && at < len) {
		bool pending = wire_reader_pending(&conn->reader);
		struct wire_msg wire = {0};
		size_t used;
		int rc =
		        wire_reader_feed(&conn->reader, conn->all->in + at, len - at, &used, &wire);

		at += used;
		if (!pending) {
			conn->in_us = world_now_us();
			conn->in_bytes = 0;
		}
		conn->in_bytes += used;
		if (rc < 0) {
			session_conn_end(conn, "%s sent %s", conn->peer,
			        rc == -EMSGSIZE ? "more than it was asked for"
			                        : "what is no message");
		} else if (rc) {
			conn->credit--;
			if (conn->stage == SESSION_HELLO)
				hello_take(conn, &wire);
			else
				message_take(conn, &wire);
			wire_msg_clear(&wire);
		}
	}
}

static void conn_read(struct session_conn *conn)
{
	for (int i = 0; i < READ_TURN && conn->stage != SESSION_ENDED && conn->credit > 0; i++) {
		ssize_t n = recv(conn->fd, conn->all->in, sizeof(conn->all->in), MSG_DONTWAIT);

		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n < 0)
			session_conn_end(conn, "the connection with %s broke: %s", conn->peer,
			        strerror(errno));
		else if (!n)
			session_conn_end(conn, "%s has closed the session", conn->peer);
		else
			conn_feed(conn, (size_t)n);
	}
}

/* ---- events --------------------------------------------------------------------------------- */

static void conn_connected(struct session_conn *conn)
{
	socklen_t len = sizeof(int);
	int error = 0;

	if (getsockopt(conn->fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
		error = errno;
	if (error) {
		session_conn_end(conn, "cannot connect to %s: %s", conn->peer, strerror(error));
		return;
	}
	stage_set(conn, SESSION_HELLO);
	hello_say(conn);
}

static int on_io(sd_event_source *source, int fd, uint32_t events, void *user)
{
	struct session_conn *conn = user;
	size_t sent = 0;
	int rc;

	(void)source, (void)fd;
	if (conn->stage == SESSION_CONNECTING) {
		conn_connected(conn);
		conn_watch(conn);
		return 0;
	}
	if (events & EPOLLOUT) {
		rc = session_queue_send(&conn->queue, &conn->all->blobs, conn->fd, &sent);
		if (rc)
			session_conn_end(conn, "cannot send to %s: %s", conn->peer, strerror(-rc));
		else
			conn_sent(conn, sent, false);
	}
	if (conn->stage == SESSION_ENDED)
		return 0;
	if (events & (EPOLLHUP | EPOLLERR) && conn->credit <= 0)
		session_conn_end(conn, "%s sent too much, and is gone", conn->peer);
	else if (events & (EPOLLIN | EPOLLHUP | EPOLLERR))
		conn_read(conn);
	conn_watch(conn);
	return 0;
}

static bool stalled(int64_t now_us, int64_t *since_us, size_t *bytes)
{
	if (now_us - *since_us < SESSION_STALL_US)
		return false;
	if (*bytes < SESSION_STALL_BYTES)
		return true;
	*since_us = now_us;
	*bytes = 0;
	return false;
}

static void conn_judge(struct session_conn *conn, int64_t now_us)
{
	int64_t stage_us = now_us - conn->since_us;

	if (conn->stage == SESSION_CONNECTING && stage_us >= SESSION_CONNECT_US)
		session_conn_end(conn, "%s did not answer", conn->peer);
	else if (conn->stage == SESSION_HELLO && stage_us >= SESSION_HELLO_US)
		session_conn_end(conn, "%s said no hello in time", conn->peer);
	else if (conn->queue.first && stalled(now_us, &conn->out_us, &conn->out_bytes))
		session_conn_end(conn, "%s does not take what it is sent", conn->peer);
	else if (wire_reader_pending(&conn->reader) && conn->credit > 0 &&
	         stalled(now_us, &conn->in_us, &conn->in_bytes))
		session_conn_end(conn, "%s does not come to the end of a message", conn->peer);
}

bool session_conn_tick(struct session_conn *conn, int64_t now_us)
{
	conn_judge(conn, now_us);
	if (conn->stage == SESSION_ENDED)
		return false;
	conn->credit += SESSION_CREDIT_S;
	if (conn->credit > SESSION_CREDIT_MAX)
		conn->credit = SESSION_CREDIT_MAX;
	if (!wire_reader_pending(&conn->reader) && conn->stage == SESSION_UP) {
		if (conn->large_until_us && now_us >= conn->large_until_us)
			conn->large_until_us = 0;
		if (conn->answer_until_us && now_us >= conn->answer_until_us)
			conn->answer_until_us = 0;
		if (conn->map_until_us && now_us >= conn->map_until_us)
			conn->map_until_us = 0;
		bounds_set(conn);
	}
	conn_watch(conn);
	return conn->stage != SESSION_UP || conn->large_until_us || conn->answer_until_us ||
	       conn->map_until_us;
}

/* ---- begin ---------------------------------------------------------------------------------- */

static struct session_conn *conn_new(
        struct sessions *all, uint64_t id, const char *peer, enum session_stage stage)
{
	struct session_conn *conn = calloc(1, sizeof(*conn));

	if (!conn)
		return NULL;
	conn->all = all;
	conn->id = id;
	conn->fd = -1;
	conn->credit = SESSION_CREDIT_MAX;
	snprintf(conn->peer, sizeof(conn->peer), "%s", peer);
	wire_reader_init(&conn->reader, 0); /* a hello has no payload */
	session_queue_init(&conn->queue);
	HASH_ADD(hh, all->by_id, id, sizeof(conn->id), conn);
	DL_APPEND(all->conns, conn);
	all->n_conns++;
	stage_set(conn, stage);
	return conn;
}

static int conn_begin(struct session_conn *conn, int fd)
{
	int rc;

	conn->fd = fd;
	rc = sd_event_add_io(conn->all->world->event, &conn->io, fd, EPOLLIN, on_io, conn);
	if (rc < 0)
		session_conn_end(
		        conn, "cannot watch the connection with %s: %s", conn->peer, strerror(-rc));
	else
		conn_watch(conn);
	return rc < 0 ? rc : 0;
}

int session_conn_accept(struct sessions *all, int fd, const char *peer)
{
	struct session_conn *conn = conn_new(all, all->next_id++, peer, SESSION_HELLO);

	if (!conn) {
		close(fd);
		return -ENOMEM;
	}
	conn->silent = true;
	if (!conn_begin(conn, fd))
		hello_say(conn);
	return 0;
}

/* Connects, or says why not. */
static int socket_open(const struct engine_session_fx *fx)
{
	struct sockaddr_storage from, to;
	socklen_t from_len, to_len;
	int fd = socket(fx->addr.family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int rc = fd < 0 ? -errno : session_socket_set(fd);

	session_sockaddr(&fx->from, 0, &from, &from_len);
	session_sockaddr(&fx->addr, SESSION_PORT, &to, &to_len);
	if (!rc && bind(fd, (struct sockaddr *)&from, from_len) < 0)
		rc = -errno;
	if (!rc && connect(fd, (struct sockaddr *)&to, to_len) < 0 && errno != EINPROGRESS)
		rc = -errno;
	if (!rc)
		return fd;
	if (fd >= 0)
		close(fd);
	return rc;
}

void session_conn_open(struct sessions *all, const struct engine_session_fx *fx)
{
	struct session_conn *conn = conn_new(all, fx->session, fx->peer, SESSION_CONNECTING);
	int fd;

	if (!conn)
		return; /* the engine's own deadline will see to it */
	conn->ours = true;
	fd = socket_open(fx);
	if (fd < 0)
		session_conn_end(conn, "cannot connect to %s: %s", fx->peer, strerror(-fd));
	else
		(void)conn_begin(conn, fd);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A seed's join port: who comes gets a challenge, may say one request, gets one answer.
 *
 * Whoever gets here has a join SA and nothing else; so a caller costs no more than a few hundred
 * bytes, a message of WIRE_HEADER_MAX, and a place for CALL_US. The bundle is in memory once for
 * all to whom it is being sent.
 */
#include "host/join_private.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>
#include <utlist.h>

#define CALLS_MAX (2 * JOIN_SAS_MAX)
#define CALLS_EACH 2     /* of one address of the pool */
#define CALL_US 20000000 /* from its beginning to its end */
#define BACKLOG 64
#define FIRST_ID (UINT64_C(1) << 62)

struct blob {
	size_t refs, len;
	char bytes[];
};

enum call_stage { CALL_REQUEST, CALL_JUDGED, CALL_ANSWER };

struct call {
	struct join_serve *serve;
	uint64_t id;
	struct policy_addr from;
	enum call_stage stage;
	int fd;
	sd_event_source *io, *limit;
	uint8_t nonce[32];
	struct wire_reader reader;
	uint8_t *head; /* the message but for its payload */
	size_t head_len;
	struct blob *bundle;
	uint8_t tail[JOIN_ADMISSIONS_MAX * JOIN_ADMISSION_MAX]; /* admissions */
	size_t tail_len;
	size_t sent; /* of all three */
	struct call *prev, *next;
};

struct join_serve {
	struct world *world;
	struct policy_addr addr;
	struct policy_prefix pool;
	int fd;
	sd_event_source *io;
	struct call *calls;
	size_t n_calls;
	uint64_t next_id;
	struct blob *last; /* what was sent last, for the next one */
};

/* ---- the bundle, once */

static void blob_put(struct blob *blob)
{
	if (blob && !--blob->refs)
		free(blob);
}

static struct blob *blob_get(struct join_serve *serve, const char *file, size_t len)
{
	struct blob *blob = serve->last;

	if (!blob || blob->len != len || memcmp(blob->bytes, file, len) != 0) {
		blob = malloc(sizeof(*blob) + len);
		if (!blob)
			return NULL;
		blob->refs = 1;
		blob->len = len;
		memcpy(blob->bytes, file, len);
		blob_put(serve->last);
		serve->last = blob;
	}
	blob->refs++;
	return blob;
}

/* ---- one call ------------------------------------------------------------------------------- */

/* tell: the engine waits for nothing more from it. Not from within an effect. */
static void call_free(struct call *call, bool tell)
{
	struct engine_event ev = {.type = ENGINE_EV_JOIN_GONE};
	struct join_serve *serve = call->serve;

	ev.join_call.id = call->id;
	tell &= call->stage == CALL_JUDGED;
	DL_DELETE(serve->calls, call);
	serve->n_calls--;
	sd_event_source_disable_unref(call->io);
	sd_event_source_disable_unref(call->limit);
	close(call->fd);
	wire_reader_clear(&call->reader);
	free(call->head);
	blob_put(call->bundle);
	free(call);
	if (!serve->n_calls) {
		blob_put(serve->last);
		serve->last = NULL;
	}
	if (tell)
		world_event(serve->world, &ev);
}

/* The part in which byte `at` of the answer is. */
static const void *part_at(const struct call *call, size_t at, size_t *left)
{
	size_t bundle = call->bundle ? call->bundle->len : 0;

	if (at < call->head_len) {
		*left = call->head_len - at;
		return call->head + at;
	}
	at -= call->head_len;
	if (at < bundle) {
		*left = bundle - at;
		return call->bundle->bytes + at;
	}
	at -= bundle;
	*left = call->tail_len - at;
	return call->tail + at;
}

/* 1: all is sent; 0: not yet; -errno. */
static int call_send(struct call *call)
{
	for (;;) {
		size_t left;
		const void *part = part_at(call, call->sent, &left);
		ssize_t n;

		if (!left)
			return 1;
		n = send(call->fd, part, left, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN ? 0 : -errno;
		call->sent += (size_t)n;
	}
}

/* It was all said: the newcomer hangs up. Until then its SA may have packets to repeat. */
static void call_said(struct call *call)
{
	(void)shutdown(call->fd, SHUT_WR);
	sd_event_source_set_io_events(call->io, EPOLLIN);
}

static void request_take(struct call *call, const struct wire_msg *wire)
{
	struct engine_event ev = {.type = ENGINE_EV_JOIN_CALL};
	struct join_request request;

	if (join_decode_request(wire, &request)) {
		log_debug("a newcomer said what is no request");
		call_free(call, false);
		return;
	}
	call->stage = CALL_JUDGED;
	sd_event_source_set_io_events(call->io, 0); /* it has nothing more to say */
	ev.join_call.id = call->id;
	ev.join_call.from = call->from;
	memcpy(ev.join_call.nonce, call->nonce, sizeof(call->nonce));
	ev.join_call.request = &request;
	world_event(call->serve->world, &ev); /* call may be gone when this returns */
}

/* What a newcomer says before it is asked, or after its request, is not read. */
static void call_read(struct call *call)
{
	uint8_t in[4096];
	struct wire_msg wire = {0};
	ssize_t n = recv(call->fd, in, sizeof(in), MSG_DONTWAIT);
	size_t used;
	int rc;

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0 || call->stage == CALL_ANSWER) {
		call_free(call, true);
		return;
	}
	rc = wire_reader_feed(&call->reader, in, (size_t)n, &used, &wire);
	if (rc < 0 || (rc && used < (size_t)n))
		call_free(call, false);
	else if (rc)
		request_take(call, &wire);
	wire_msg_clear(&wire);
}

static int on_call(sd_event_source *source, int fd, uint32_t events, void *user)
{
	struct call *call = user;
	int rc = 0;

	(void)source, (void)fd;
	if (events & EPOLLOUT && (rc = call_send(call)) == 1) {
		if (call->stage == CALL_ANSWER)
			call_said(call);
		else
			sd_event_source_set_io_events(call->io, EPOLLIN);
	}
	if (rc < 0 || (events & (EPOLLHUP | EPOLLERR) && !(events & EPOLLIN)))
		call_free(call, true);
	else if (events & EPOLLIN)
		call_read(call);
	return 0;
}

static int on_limit(sd_event_source *source, uint64_t usec, void *user)
{
	(void)source, (void)usec;
	call_free(user, true);
	return 0;
}

void join_serve_answer(struct join_serve *serve, const struct engine_join_answer_fx *fx)
{
	const struct join_answer *answer = &fx->answer;
	struct call *call;
	int rc;

	DL_FOREACH(serve->calls, call)
		if (call->id == fx->call && call->stage == CALL_JUDGED)
			break;
	if (!call)
		return; /* it hung up */
	free(call->head);
	call->head = NULL;
	call->head_len = call->sent = 0;
	call->stage = CALL_ANSWER;
	rc = join_encode_answer(answer, &call->head, &call->head_len);
	if (!rc && answer->len) {
		call->bundle = blob_get(serve, answer->file, answer->len);
		rc = call->bundle ? 0 : -ENOMEM;
	}
	for (size_t i = 0; i < answer->n_admissions && !rc; i++) {
		memcpy(call->tail + call->tail_len, answer->admissions[i].data,
		        answer->admissions[i].len);
		call->tail_len += answer->admissions[i].len;
	}
	if (rc) {
		log_warning("a newcomer's answer cannot be said: %s", strerror(-rc));
		call_free(call, false);
		return;
	}
	/* From the loop. */
	sd_event_source_set_io_events(call->io, EPOLLIN | EPOLLOUT);
}

/* ---- who comes ------------------------------------------------------------------------------ */

static size_t calls_of(const struct join_serve *serve, const struct policy_addr *from)
{
	const struct call *call;
	size_t n = 0;

	DL_FOREACH(serve->calls, call)
		n += memcmp(&call->from, from, sizeof(*from)) == 0;
	return n;
}

/*
 * Who had that address before, and was answered, hung up: that word went with its join SA. It holds
 * no place for those who get the address next.
 */
static void calls_past_free(struct join_serve *serve, const struct policy_addr *from)
{
	struct call *call, *next;

	DL_FOREACH_SAFE(serve->calls, call, next)
		if (call->stage == CALL_ANSWER && memcmp(&call->from, from, sizeof(*from)) == 0)
			call_free(call, false);
}

static int challenge_make(struct call *call)
{
	struct join_challenge challenge = {
	        .lowest = JOIN_VERSION_LOWEST, .highest = JOIN_VERSION_HIGHEST};

	if (getrandom(call->nonce, sizeof(call->nonce), 0) != sizeof(call->nonce))
		return -EIO;
	memcpy(challenge.nonce, call->nonce, sizeof(challenge.nonce));
	snprintf(challenge.release, sizeof(challenge.release), "%s", OVERLAYD_VERSION);
	return join_encode_challenge(&challenge, &call->head, &call->head_len);
}

/* Takes over fd. */
static void call_new(struct join_serve *serve, int fd, const struct policy_addr *from)
{
	struct call *call = calloc(1, sizeof(*call));
	sd_event *event = serve->world->event;
	int one = 1, stall_ms = CALL_US / 1000, ret;

	if (!call) {
		close(fd);
		return;
	}
	call->serve = serve;
	call->id = serve->next_id++;
	call->from = *from;
	call->fd = fd;
	wire_reader_init(&call->reader, 0);
	DL_APPEND(serve->calls, call);
	serve->n_calls++;
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	(void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &stall_ms, sizeof(stall_ms));
	ret = challenge_make(call);
	if (ret >= 0)
		ret = sd_event_add_io(event, &call->io, fd, EPOLLOUT, on_call, call);
	if (ret >= 0)
		ret = sd_event_add_time_relative(
		        event, &call->limit, CLOCK_BOOTTIME, CALL_US, 10000, on_limit, call);
	if (ret < 0)
		call_free(call, false);
}

static int on_comer(sd_event_source *source, int fd, uint32_t events, void *user)
{
	struct join_serve *serve = user;

	(void)source, (void)events;
	for (int i = 0; i < 16; i++) {
		struct sockaddr_in6 from;
		socklen_t len = sizeof(from);
		struct policy_addr addr = {.family = AF_INET6};
		int new = accept4(fd, (struct sockaddr *)&from, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (new < 0 && (errno == ECONNABORTED || errno == EINTR))
			continue;
		if (new < 0)
			break;
		memcpy(addr.bytes, &from.sin6_addr, sizeof(from.sin6_addr));
		calls_past_free(serve, &addr);
		if (serve->n_calls >= CALLS_MAX || !policy_prefix_contains(&serve->pool, &addr) ||
		        calls_of(serve, &addr) >= CALLS_EACH)
			close(new);
		else
			call_new(serve, new, &addr);
	}
	return 0;
}

/* ---- begin and end -------------------------------------------------------------------------- */

static void serve_close(struct join_serve *serve)
{
	struct call *call, *next;

	/* The engine ended it: it wants to hear nothing of them. */
	DL_FOREACH_SAFE(serve->calls, call, next)
		call_free(call, false);
	serve->io = sd_event_source_disable_unref(serve->io);
	if (serve->fd >= 0)
		close(serve->fd);
	serve->fd = -1;
}

static int serve_open(struct join_serve *serve)
{
	struct sockaddr_in6 at = {.sin6_family = AF_INET6, .sin6_port = htons(JOIN_PORT)};
	int one = 1, ret;

	memcpy(&at.sin6_addr, serve->addr.bytes, sizeof(at.sin6_addr));
	serve->fd = socket(AF_INET6, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (serve->fd < 0 ||
	        setsockopt(serve->fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0 ||
	        setsockopt(serve->fd, IPPROTO_IP, IP_FREEBIND, &one, sizeof(one)) < 0 ||
	        bind(serve->fd, (struct sockaddr *)&at, sizeof(at)) < 0 ||
	        listen(serve->fd, BACKLOG) < 0)
		return -errno;
	ret = sd_event_add_io(serve->world->event, &serve->io, serve->fd, EPOLLIN, on_comer, serve);
	return ret < 0 ? ret : 0;
}

int join_serve_set(struct join_serve *serve, const struct engine_join_serve *spec)
{
	int ret;

	if (spec->on && serve->fd >= 0 &&
	        memcmp(&serve->addr, &spec->addr6, sizeof(serve->addr)) == 0) {
		serve->pool = spec->pool;
		return 0;
	}
	serve_close(serve);
	if (!spec->on)
		return 0;
	serve->addr = spec->addr6;
	serve->pool = spec->pool;
	ret = serve_open(serve);
	if (ret)
		serve_close(serve);
	return ret;
}

int join_serve_new(struct world *world, struct join_serve **out)
{
	struct join_serve *serve = calloc(1, sizeof(*serve));

	if (!serve)
		return -ENOMEM;
	serve->world = world;
	serve->fd = -1;
	serve->next_id = FIRST_ID;
	*out = serve;
	return 0;
}

void join_serve_free(struct join_serve *serve)
{
	if (!serve)
		return;
	serve_close(serve);
	free(serve);
}

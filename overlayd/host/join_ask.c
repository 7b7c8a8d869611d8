/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A newcomer's question to one seed, from the first route to the last trace:
 *
 *	the cluster's overlay leads to the device, and is shut in the firewall
 *	the join SA comes up; its inner address is ours in the firewall
 *	TCP, challenge, request, answer
 *	the join SA goes, then the routes, then the firewall's part
 *
 * Whatever fails on the way, the last line is gone through. Only then the engine is told.
 */
#include "host/join_private.h"

#include "host/dataplane.h"
#include "host/fwadapt.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define TALK_US (JOIN_ASK_MAX_US - 4000000) /* then it is taken down, which has its time too */
#define DOWN_US 3000000

enum ask_stage { ASK_IDLE, ASK_TUNNEL, ASK_CONNECT, ASK_CHALLENGE, ASK_ANSWER, ASK_DOWN };

struct join_ask {
	struct world *world;
	struct join_sa *sa;
	enum ask_stage stage;
	uint64_t id; /* of the effect; 0: nobody wants to know */
	struct engine_join_ask what;
	char *strings[3];
	uint8_t secret[32];
	bool has_secret;
	uint16_t port; /* our own, UDP */

	int fd;
	sd_event_source *io, *limit;
	struct wire_reader reader;
	uint8_t *out; /* what is still to be sent */
	size_t out_at, out_len;

	int error;
	char text[JOIN_TEXT_MAX];
	struct wire_msg wire; /* of the answer */
	struct join_answer_in answer;
	bool answered;
};

/* ---- the end -------------------------------------------------------------------------------- */

static void ask_forget(struct join_ask *ask)
{
	for (size_t i = 0; i < 3; i++) {
		free(ask->strings[i]);
		ask->strings[i] = NULL;
	}
	explicit_bzero(ask->secret, sizeof(ask->secret));
	ask->has_secret = false;
	wire_msg_clear(&ask->wire);
	ask->wire = (struct wire_msg){0};
	ask->answered = false;
	ask->stage = ASK_IDLE;
	ask->id = 0;
}

static void talk_end(struct join_ask *ask)
{
	ask->io = sd_event_source_disable_unref(ask->io);
	if (ask->fd >= 0)
		close(ask->fd);
	ask->fd = -1;
	wire_reader_clear(&ask->reader);
	free(ask->out);
	ask->out = NULL;
	ask->out_at = ask->out_len = 0;
}

static void ways_end(struct join_ask *ask)
{
	char err[256];

	if (dataplane_guest(ask->world->dataplane, NULL, err, sizeof(err)))
		log_error("data plane: %s", err);
	if (fwadapt_guest(ask->world->firewall, NULL, err, sizeof(err)))
		log_error("%s", err);
}

static void ask_tell(struct join_ask *ask)
{
	struct engine_event ev = {.type = ENGINE_EV_JOIN_ANSWERED};
	struct wire_msg wire = ask->wire;
	char text[JOIN_TEXT_MAX];
	struct join_answer_in answer = ask->answer;
	bool answered = ask->answered;

	ev.join_answered.effect_id = ask->id;
	ev.join_answered.error = answered ? 0 : ask->error ? ask->error : -EIO;
	snprintf(text, sizeof(text), "%s", ask->text);
	text_sanitise(text);
	ev.join_answered.text = text;
	if (answered) {
		answer.answer.text = answer.text;
		answer.answer.admissions = answer.admissions;
		ev.join_answered.answer = &answer.answer;
	}
	/* It may ask again at once. */
	ask->wire = (struct wire_msg){0};
	ask_forget(ask);
	if (ev.join_answered.effect_id)
		world_event(ask->world, &ev);
	wire_msg_clear(&wire);
}

static void on_down(void *user)
{
	struct join_ask *ask = user;

	sd_event_source_set_enabled(ask->limit, SD_EVENT_OFF);
	ways_end(ask);
	ask_tell(ask);
}

static void limit_set(struct join_ask *ask, int64_t after_us)
{
	sd_event_source_set_time(ask->limit, (uint64_t)(world_now_us() + after_us));
	sd_event_source_set_enabled(ask->limit, SD_EVENT_ONESHOT);
}

static void ask_end(struct join_ask *ask, int error, const char *format, ...)
        __attribute__((format(printf, 3, 4)));
static void ask_end(struct join_ask *ask, int error, const char *format, ...)
{
	va_list args;

	if (ask->stage == ASK_IDLE || ask->stage == ASK_DOWN)
		return;
	ask->error = error;
	va_start(args, format);
	vsnprintf(ask->text, sizeof(ask->text), format, args);
	va_end(args);
	ask->stage = ASK_DOWN;
	talk_end(ask);
	limit_set(ask, DOWN_US);
	join_sa_down(ask->sa, on_down, ask);
}

static int on_limit(sd_event_source *source, uint64_t usec, void *user)
{
	struct join_ask *ask = user;

	(void)source, (void)usec;
	if (ask->stage == ASK_DOWN) {
		log_warning("charon does not say whether it ended the tunnel of joining");
		on_down(ask);
	} else {
		ask_end(ask, -ETIMEDOUT, "%s did not answer in time", ask->what.seed);
	}
	return 0;
}

/* ---- in the tunnel -------------------------------------------------------------------------- */

static void ask_watch(struct join_ask *ask)
{
	if (ask->io)
		sd_event_source_set_io_events(
		        ask->io, EPOLLIN | (ask->out || ask->stage == ASK_CONNECT ? EPOLLOUT : 0));
}

static void out_send(struct join_ask *ask)
{
	while (ask->out) {
		ssize_t n = send(ask->fd, ask->out + ask->out_at, ask->out_len - ask->out_at,
		        MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n < 0) {
			ask_end(ask, -errno, "the connection with %s broke: %s", ask->what.seed,
			        strerror(errno));
			return;
		}
		ask->out_at += (size_t)n;
		if (ask->out_at < ask->out_len)
			continue;
		free(ask->out);
		ask->out = NULL;
	}
}

static void challenge_take(struct join_ask *ask, const struct wire_msg *wire)
{
	struct join_challenge challenge;
	struct join_request request;
	char text[JOIN_TEXT_MAX] = "";
	int version, ret;

	if (join_decode_challenge(wire, &challenge)) {
		ask_end(ask, -EPROTO, "%s does not speak as a seed does", ask->what.seed);
		return;
	}
	version = join_challenge_judge(&challenge, text);
	if (version < 0) {
		ask_end(ask, version, "%s", text);
		return;
	}
	ret = join_sign_request(ask->world, &ask->what, ask->has_secret ? ask->secret : NULL,
	        challenge.nonce, &request, text, sizeof(text));
	explicit_bzero(ask->secret, sizeof(ask->secret)); /* it is worth nothing more here */
	if (!ret)
		ret = join_encode_request(&request, version, &ask->out, &ask->out_len);
	if (ret) {
		ask_end(ask, ret, "%s", text[0] ? text : strerror(-ret));
		return;
	}
	ask->out_at = 0;
	ask->stage = ASK_ANSWER;
	ask->reader.payload_max = JOIN_PAYLOAD_MAX;
	out_send(ask);
}

static void answer_take(struct join_ask *ask, struct wire_msg *wire)
{
	if (join_decode_answer(wire, &ask->answer)) {
		ask_end(ask, -EPROTO, "%s gave an answer that is not as it must be",
		        ask->what.seed);
		return;
	}
	ask->wire = *wire;
	*wire = (struct wire_msg){0};
	ask->answered = true;
	ask_end(ask, 0, "%s", ask->answer.text);
}

static void ask_feed(struct join_ask *ask, const uint8_t *data, size_t len)
{
	size_t at = 0;

	while (at < len && (ask->stage == ASK_CHALLENGE || ask->stage == ASK_ANSWER)) {
		struct wire_msg wire = {0};
		size_t used;
		int rc = wire_reader_feed(&ask->reader, data + at, len - at, &used, &wire);

		at += used;
		if (rc < 0)
			ask_end(ask, -EPROTO, "%s sent what is no message", ask->what.seed);
		else if (rc && ask->stage == ASK_CHALLENGE)
			challenge_take(ask, &wire);
		else if (rc)
			answer_take(ask, &wire);
		wire_msg_clear(&wire);
	}
}

static void ask_read(struct join_ask *ask)
{
	static uint8_t in[65536];

	for (int i = 0; i < 16 && ask->fd >= 0; i++) {
		ssize_t n = recv(ask->fd, in, sizeof(in), MSG_DONTWAIT);

		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n < 0)
			ask_end(ask, -errno, "the connection with %s broke: %s", ask->what.seed,
			        strerror(errno));
		else if (!n)
			ask_end(ask, -ECONNRESET, "%s hung up before it gave an answer",
			        ask->what.seed);
		else
			ask_feed(ask, in, (size_t)n);
	}
}

static void ask_connected(struct join_ask *ask)
{
	socklen_t len = sizeof(int);
	int error = 0;

	if (getsockopt(ask->fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
		error = errno;
	if (error) {
		ask_end(ask, error == ECONNREFUSED ? -ECONNREFUSED : -error,
		        "%s has a tunnel for newcomers, but nobody listens in it: %s",
		        ask->what.seed, strerror(error));
		return;
	}
	ask->stage = ASK_CHALLENGE;
}

static int on_io(sd_event_source *source, int fd, uint32_t events, void *user)
{
	struct join_ask *ask = user;

	(void)source, (void)fd;
	if (ask->stage == ASK_CONNECT)
		ask_connected(ask);
	else if (events & EPOLLOUT)
		out_send(ask);
	if (events & (EPOLLIN | EPOLLHUP | EPOLLERR))
		ask_read(ask);
	ask_watch(ask);
	return 0;
}

static int connect_begin(
        struct join_ask *ask, const struct policy_addr *own, const struct policy_addr *seed)
{
	struct sockaddr_in6 from = {.sin6_family = AF_INET6}, to = from;
	/* Closed, it is gone: a last word repeated when the tunnel is no more would go in clear. */
	struct linger linger = {.l_onoff = 1};
	int ret;

	memcpy(&from.sin6_addr, own->bytes, 16);
	memcpy(&to.sin6_addr, seed->bytes, 16);
	to.sin6_port = htons(JOIN_PORT);
	ask->fd = socket(AF_INET6, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (ask->fd < 0 ||
	        setsockopt(ask->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)) < 0 ||
	        bind(ask->fd, (struct sockaddr *)&from, sizeof(from)) < 0 ||
	        (connect(ask->fd, (struct sockaddr *)&to, sizeof(to)) < 0 && errno != EINPROGRESS))
		return -errno;
	ret = sd_event_add_io(ask->world->event, &ask->io, ask->fd, EPOLLOUT, on_io, ask);
	return ret < 0 ? ret : 0;
}

static void on_up(void *user, const struct join_sa_up *up)
{
	struct join_ask *ask = user;
	struct fwadapt_guest guest = {.overlay6 = ask->what.overlay6, .own = up->own};
	char err[256];
	int ret;

	if (up->error) {
		ask_end(ask, up->error, "%s", up->text);
		return;
	}
	if (!policy_prefix_contains(&ask->what.pool, &up->own) ||
	        !policy_prefix_contains(&ask->what.overlay6, &up->seed)) {
		ask_end(ask, -EPROTO, "%s gave an address that newcomers do not get",
		        ask->what.seed);
		return;
	}
	ret = fwadapt_guest(ask->world->firewall, &guest, err, sizeof(err));
	if (ret) {
		ask_end(ask, ret, "%s", err);
		return;
	}
	ask->stage = ASK_CONNECT;
	wire_reader_init(&ask->reader, 0);
	ret = connect_begin(ask, &up->own, &up->seed);
	if (ret)
		ask_end(ask, ret, "cannot connect to %s: %s", ask->what.seed, strerror(-ret));
}

/* ---- the beginning -------------------------------------------------------------------------- */

static int what_copy(struct join_ask *ask, const struct engine_join_ask *what,
        const struct policy_ticket *ticket)
{
	ask->what = *what;
	ask->strings[0] = strdup(what->seed);
	ask->strings[1] = strdup(what->remote_id);
	ask->strings[2] = strdup(what->host);
	if (!ask->strings[0] || !ask->strings[1] || !ask->strings[2])
		return -ENOMEM;
	ask->what.seed = ask->strings[0];
	ask->what.remote_id = ask->strings[1];
	ask->what.host = ask->strings[2];
	ask->port = ticket ? ticket->port : what->port;
	ask->has_secret = ticket && ticket->has_token;
	if (ask->has_secret)
		memcpy(ask->secret, ticket->secret, sizeof(ask->secret));
	return 0;
}

/* Before the first packet: it goes into the SA, or nowhere. */
static int ways_begin(struct join_ask *ask, char *err, size_t err_size)
{
	struct fwadapt_guest guest = {.overlay6 = ask->what.overlay6};
	int ret = dataplane_guest(ask->world->dataplane, &ask->what.overlay6, err, err_size);

	return ret ? ret : fwadapt_guest(ask->world->firewall, &guest, err, err_size);
}

void join_ask_start(struct join_ask *ask, uint64_t id, const struct engine_join_ask *what,
        const struct policy_ticket *ticket)
{
	char err[256] = "";
	int ret;

	if (ask->stage != ASK_IDLE) {
		world_result(ask->world, id, -EBUSY, "another question is on its way");
		return;
	}
	ret = what_copy(ask, what, ticket);
	if (ret) {
		ask_forget(ask);
		world_result(ask->world, id, ret, "out of memory");
		return;
	}
	ask->id = id;
	ask->stage = ASK_TUNNEL;
	ret = ways_begin(ask, err, sizeof(err));
	if (ret) {
		ask_end(ask, ret, "%s", err);
		return;
	}
	limit_set(ask, TALK_US);
	join_sa_up(ask->sa, &ask->what, ask->port, on_up, ask);
}

void join_ask_stop(struct join_ask *ask, uint64_t id)
{
	if (ask->id != id)
		return;
	ask->id = 0;
	ask_end(ask, -ECANCELED, "given up here");
}

void join_ask_clean(struct join_ask *ask)
{
	if (ask->stage != ASK_IDLE)
		return;
	ask->stage = ASK_TUNNEL;
	ask_end(ask, -ECANCELED, "of an earlier run");
}

int join_ask_new(struct world *world, struct join_ask **out)
{
	struct join_ask *ask = calloc(1, sizeof(*ask));
	int ret;

	if (!ask)
		return -ENOMEM;
	ask->world = world;
	ask->fd = -1;
	ret = join_sa_new(world, &ask->sa);
	if (!ret)
		ret = sd_event_add_time(
		        world->event, &ask->limit, CLOCK_BOOTTIME, UINT64_MAX, 1000, on_limit, ask);
	if (ret >= 0)
		ret = sd_event_source_set_enabled(ask->limit, SD_EVENT_OFF);
	if (ret < 0) {
		join_ask_free(ask);
		return ret;
	}
	*out = ask;
	return 0;
}

void join_ask_free(struct join_ask *ask)
{
	if (!ask)
		return;
	if (ask->stage != ASK_IDLE) {
		talk_end(ask);
		join_sa_down_now(ask->sa);
		ways_end(ask);
	}
	ask_forget(ask);
	join_sa_free(ask->sa);
	sd_event_source_disable_unref(ask->limit);
	free(ask);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The connection: order, once-ness, deadlines, limits, and every protocol fault. */
#include "vici_peer.h"

static void replies_come_in_order_one_at_a_time(void **state)
{
	struct peer p;
	struct caller a = {.p = &p, .name = "a"}, b = {.p = &p, .name = "b"},
	              c = {.p = &p, .name = "c"};

	(void)state;
	peer_open(&p, (struct vici_config){0});
	assert_int_equal(caller_ask(&a, "version", NULL, NULL), 0);
	assert_int_equal(caller_ask(&b, "stats", NULL, NULL), 0);
	assert_int_equal(caller_ask(&c, "get-conns", NULL, NULL), 0);
	assert_int_equal(vici_pending(p.v), 3);
	assert_int_equal(peer_expect(&p, VICI_CMD_REQUEST, "version").len, 0);
	peer_expect_silence(&p);
	assert_int_equal(peer_turn(&p), 0);
	assert_string_equal(p.log, "");
	peer_send(&p, VICI_CMD_RESPONSE, NULL, NOTHING);
	assert_int_equal(peer_turn(&p), 0);
	assert_string_equal(p.log, "a=0 ");
	peer_expect(&p, VICI_CMD_REQUEST, "stats");
	peer_expect_silence(&p);
	peer_send(&p, VICI_CMD_RESPONSE, NULL,
	        peer_message("success", "no", "errmsg", "two\nlines\x7f", NULL));
	peer_turn(&p);
	assert_string_equal(b.errmsg, "two lines ");
	peer_send(&p, VICI_CMD_UNKNOWN, NULL, NOTHING);
	peer_turn(&p);
	assert_string_equal(p.log, "a=0 b=-121 c=-95 ");
	assert_int_equal(vici_pending(p.v), 0);
	assert_true(vici_deadline(p.v) == VICI_DEADLINE_NONE);
	assert_int_equal(p.n_closed, 0);
	peer_end(&p);
	assert_int_equal(p.n_closed, 0);
}

static void event_noted(void *user, const struct vici_event *e)
{
	peer_note(user, e->name, e->log_level.set ? (int)e->log_level.v : -1);
}

static void subscribe(struct peer *p, const char *event)
{
	struct caller c = {.p = p, .name = "on"};

	assert_int_equal(vici_subscribe(p->v, event, CALLER_US, caller_done, &c, p->now), 0);
	peer_expect(p, VICI_EVENT_REGISTER, event);
	peer_send(p, VICI_EVENT_CONFIRM, NULL, NOTHING);
	assert_int_equal(peer_turn(p), 0);
	assert_string_equal(p->log, "on=0 ");
	p->log[0] = '\0';
}

/* The same bytes, cut at every size: an event between request and reply, a reply, an event after
 * it. */
static void chunks_of_any_size_make_no_difference(void **state)
{
	static const size_t sizes[] = {1, 2, 3, 7, 64, 4096};
	size_t i, at, n;

	(void)state;
	for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct peer p, source;
		struct caller a = {.p = &p, .name = "a"};
		uint8_t bytes[4096];
		ssize_t len;

		peer_open(&source, (struct vici_config){0});
		peer_send(&source, VICI_EVENT, "log",
		        peer_message("level", "1", "msg", "m", "group", "g", NULL));
		peer_send(&source, VICI_CMD_RESPONSE, NULL, peer_message("success", "yes", NULL));
		peer_send(&source, VICI_EVENT, "log", peer_message("level", "2", NULL));
		len = recv(vici_fd(source.v), bytes, sizeof(bytes), 0);
		assert_true(len > 50);
		peer_end(&source);

		peer_open(&p, (struct vici_config){.on_event = event_noted});
		subscribe(&p, "log");
		assert_int_equal(caller_ask(&a, "version", NULL, NULL), 0);
		for (at = 0; at < (size_t)len; at += n) {
			n = sizes[i] < len - at ? sizes[i] : len - at;
			peer_send_raw(&p, bytes + at, n);
			assert_int_equal(peer_turn(&p), 0);
		}
		assert_string_equal(p.log, "log=1 a=0 log=2 ");
		peer_end(&p);
	}
}

static void event_counted(void *user, const struct vici_event *e)
{
	struct peer *p = user;

	assert_int_equal(e->log_level.v, p->closed++); /* none lost, none twice, in order */
}

/* More at once than the first buffer holds, with the packets lying across its end. */
static void floods_are_taken_in_order(void **state)
{
	struct peer p;
	int i, round, sent = 0;
	char text[32], padding[300];

	(void)state;
	memset(padding, 'x', sizeof(padding));
	peer_open(&p, (struct vici_config){.on_event = event_counted});
	subscribe(&p, "log");
	for (round = 0; round < 100; round++) {
		padding[sizeof(padding) - 1 - round] = '\0';
		for (i = 0; i < 130; i++) {
			snprintf(text, sizeof(text), "%d", sent++);
			peer_send(&p, VICI_EVENT, "log",
			        peer_message("level", text, "msg", padding, NULL));
		}
		assert_int_equal(peer_turn(&p), 0);
		assert_int_equal(p.closed, sent);
	}
	peer_end(&p);
}

static void subscriptions_end_with_their_confirmation(void **state)
{
	struct peer p;
	struct caller a = {.p = &p, .name = "a"};

	(void)state;
	peer_open(
	        &p, (struct vici_config){.on_event = event_noted}); /* failed: may be tried again */
	assert_int_equal(vici_subscribe(p.v, "log", CALLER_US, caller_done, &a, p.now), 0);
	peer_send(&p, VICI_EVENT_UNKNOWN, NULL, NOTHING);
	assert_int_equal(peer_turn(&p), 0);
	assert_int_equal(vici_subscribe(p.v, "log", CALLER_US, caller_done, &a, p.now), 0);
	peer_send(&p, VICI_EVENT_CONFIRM, NULL, NOTHING);
	peer_send(&p, VICI_EVENT, "log", peer_message("level", "1", NULL));
	assert_int_equal(peer_turn(&p), 0);
	assert_int_equal(vici_unsubscribe(p.v, "log", CALLER_US, caller_done, &a, p.now), 0);
	assert_int_equal(vici_unsubscribe(p.v, "log", CALLER_US, caller_done, &a, p.now), -ENOENT);
	assert_int_equal(vici_subscribe(p.v, "log", CALLER_US, caller_done, &a, p.now), -EALREADY);
	peer_send(
	        &p, VICI_EVENT, "log", peer_message("level", "2", NULL)); /* crosses our request */
	peer_send(&p, VICI_EVENT_CONFIRM, NULL, NOTHING);
	assert_int_equal(peer_turn(&p), 0);
	assert_string_equal(p.log, "a=-2 a=0 log=1 log=2 a=0 ");
	peer_send(&p, VICI_EVENT, "log", peer_message("level", "3", NULL));
	assert_int_equal(peer_turn(&p), -EPROTO);
	peer_end(&p);

	peer_open(&p,
	        (struct vici_config){.on_event = event_noted}); /* in line: not registered yet */
	assert_int_equal(caller_ask(&a, "version", NULL, NULL), 0);
	assert_int_equal(vici_subscribe(p.v, "log", CALLER_US, caller_done, &a, p.now), 0);
	peer_send(&p, VICI_EVENT, "log", peer_message("level", "1", NULL));
	assert_int_equal(peer_turn(&p), -EPROTO);
	peer_end(&p);
}

/* Each of two streaming requests gets its own rows; other events go their own way. */
static void rows_belong_to_their_request(void **state)
{
	struct peer p;
	struct caller a = {.p = &p, .name = "a"}, b = {.p = &p, .name = "b"};
	int i;

	(void)state;
	peer_open(&p, (struct vici_config){.on_event = event_noted});
	subscribe(&p, "log");
	assert_int_equal(caller_ask(&a, "list-sas", "list-sa", caller_row), 0);
	assert_int_equal(caller_ask(&b, "list-sas", "list-sa", caller_row), 0);
	for (i = 0; i < 2; i++) {
		peer_expect(&p, VICI_EVENT_REGISTER, "list-sa");
		peer_expect_silence(&p);
		peer_send(&p, VICI_EVENT_CONFIRM, NULL, NOTHING);
		peer_turn(&p);
		peer_expect(&p, VICI_CMD_REQUEST, "list-sas");
		peer_send(&p, VICI_EVENT, "list-sa", peer_message("row", i ? "r2" : "r1", NULL));
		peer_send(&p, VICI_EVENT, "log", peer_message("level", "3", NULL));
		peer_send(&p, VICI_CMD_RESPONSE, NULL,
		        peer_message("success", i ? "yes" : "no", NULL));
		peer_turn(&p);
		peer_expect(&p, VICI_EVENT_UNREGISTER, "list-sa");
		peer_send(&p, VICI_EVENT_CONFIRM, NULL, NOTHING);
		peer_turn(&p);
	}
	assert_string_equal(p.log, "r1=0 log=3 a=-121 r2=0 log=3 b=0 ");
	assert_string_equal(a.errmsg, "charon says it failed, and not why");
	peer_send(&p, VICI_EVENT, "list-sa", peer_message("row", "r3", NULL));
	assert_int_equal(peer_turn(&p), -EPROTO); /* nobody's any more */
	peer_end(&p);
}

/* What the peer sends instead of a reply, and how it ends. */
static void every_fault_ends_the_connection(void **state)
{
	static const struct {
		const char *what;
		uint8_t bytes[16];
		size_t len;
		int error;
	} faults[] = {
	        {"empty packet", {0, 0, 0, 0}, 4, -EBADMSG},
	        {"oversized packet", {0, 8, 0, 1, 1}, 5, -EMSGSIZE},
	        {"huge packet", {255, 255, 255, 255}, 4, -EMSGSIZE},
	        {"a client's request", {0, 0, 0, 3, 0, 1, 'a'}, 7, -EPROTO},
	        {"a client's registration", {0, 0, 0, 3, 3, 1, 'a'}, 7, -EPROTO},
	        {"a client's deregistration", {0, 0, 0, 3, 4, 1, 'a'}, 7, -EPROTO},
	        {"type 8", {0, 0, 0, 1, 8}, 5, -EPROTO},
	        {"type 255", {0, 0, 0, 1, 255}, 5, -EPROTO},
	        {"a confirmation", {0, 0, 0, 1, 5}, 5, -EPROTO},
	        {"unknown event", {0, 0, 0, 1, 6}, 5, -EPROTO},
	        {"an event nobody wants", {0, 0, 0, 5, 7, 3, 'l', 'o', 'g'}, 9, -EPROTO},
	        {"truncated message", {0, 0, 0, 4, 1, 3, 1, 'k'}, 8, -EBADMSG},
	        {"unbalanced message", {0, 0, 0, 4, 1, 1, 1, 's'}, 8, -EBADMSG},
	        {"unknown element", {0, 0, 0, 2, 1, 9}, 6, -EBADMSG},
	        {"event without a name", {0, 0, 0, 2, 7, 0}, 6, -EBADMSG},
	        {"event's name cut", {0, 0, 0, 4, 7, 9, 'l', 'o'}, 8, -EBADMSG},
	        {"event's name with NUL", {0, 0, 0, 4, 7, 2, 'l', 0}, 8, -EBADMSG},
	        {"more behind unknown command", {0, 0, 0, 2, 2, 0}, 6, -EBADMSG},
	};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
		struct peer p;
		struct caller a = {.p = &p, .name = "a"}, b = {.p = &p, .name = "b"};
		char expected[64];

		peer_open(&p, (struct vici_config){0});
		assert_int_equal(caller_ask(&a, "version", NULL, NULL), 0);
		assert_int_equal(caller_ask(&b, "stats", NULL, NULL), 0);
		peer_send_raw(&p, faults[i].bytes, faults[i].len);
		if (peer_turn(&p) != faults[i].error)
			fail_msg("%s: ended with %d", faults[i].what, vici_error(p.v));
		snprintf(expected, sizeof(expected), "a=%d b=%d closed=%d ", faults[i].error,
		        -ECONNRESET, faults[i].error);
		assert_string_equal(p.log, expected);
		assert_int_equal(vici_process(p.v, POLLIN, p.now), faults[i].error);
		assert_int_equal(vici_events(p.v), 0);
		assert_true(vici_error_text(p.v)[0]);
		assert_int_equal(caller_ask(&a, "version", NULL, NULL), -ENOTCONN);
		peer_end(&p);
		assert_int_equal(p.n_closed, 1);
	}
}

static void packets_out_of_turn_end_the_connection(void **state)
{
	struct peer p;
	struct caller a = {.p = &p, .name = "a"};

	(void)state;
	peer_open(&p, (struct vici_config){0}); /* a reply to nothing */
	peer_send(&p, VICI_CMD_RESPONSE, NULL, NOTHING);
	assert_int_equal(peer_turn(&p), -EPROTO);
	assert_string_equal(p.log, "closed=-71 ");
	peer_end(&p);

	peer_open(&p, (struct vici_config){0}); /* a reply before the registration's confirmation */
	assert_int_equal(caller_ask(&a, "list-sas", "list-sa", caller_row), 0);
	peer_send(&p, VICI_CMD_RESPONSE, NULL, NOTHING);
	assert_int_equal(peer_turn(&p), -EPROTO);
	peer_end(&p);

	peer_open(&p, (struct vici_config){0}); /* an unknown event when it is unregistered */
	assert_int_equal(caller_ask(&a, "list-sas", "list-sa", caller_row), 0);
	peer_send(&p, VICI_EVENT_CONFIRM, NULL, NOTHING);
	peer_send(&p, VICI_CMD_RESPONSE, NULL, NOTHING);
	peer_send(&p, VICI_EVENT_UNKNOWN, NULL, NOTHING);
	assert_int_equal(peer_turn(&p), -EPROTO);
	assert_string_equal(p.log, "a=-71 closed=-71 ");
	peer_end(&p);
}

static void unknown_stream_is_only_that_requests_error(void **state)
{
	struct peer p;
	struct caller a = {.p = &p, .name = "a"}, b = {.p = &p, .name = "b"};

	(void)state;
	peer_open(&p, (struct vici_config){0});
	assert_int_equal(caller_ask(&a, "list-x", "x", caller_row), 0);
	assert_int_equal(vici_subscribe(p.v, "y", CALLER_US, caller_done, &b, p.now), 0);
	peer_send(&p, VICI_EVENT_UNKNOWN, NULL, NOTHING);
	peer_turn(&p);
	peer_send(&p, VICI_EVENT_UNKNOWN, NULL, NOTHING);
	assert_int_equal(peer_turn(&p), 0);
	assert_string_equal(p.log, "a=-2 b=-2 ");
	peer_end(&p);
}

static void a_dropped_connection_reaches_everyone(void **state)
{
	struct peer p;
	struct caller a = {.p = &p, .name = "a"}, b = {.p = &p, .name = "b"};

	(void)state;
	peer_open(&p, (struct vici_config){0}); /* in the middle of a reply */
	assert_int_equal(caller_ask(&a, "version", NULL, NULL), 0);
	assert_int_equal(caller_ask(&b, "stats", NULL, NULL), 0);
	peer_send_raw(&p, "\0\0\0\11\1\3", 6);
	assert_int_equal(peer_turn(&p), 0);
	peer_hang_up(&p);
	assert_int_equal(peer_turn(&p), -ECONNRESET);
	assert_string_equal(p.log, "a=-104 b=-104 closed=-104 ");
	peer_end(&p);

	peer_open(
	        &p, (struct vici_config){0}); /* before the request: it is taken, and fails later */
	peer_hang_up(&p);
	assert_int_equal(caller_ask(&a, "version", NULL, NULL), 0);
	assert_string_equal(p.log, "");
	assert_true(vici_deadline(p.v) == 0);
	assert_int_equal(vici_process(p.v, 0, p.now), -ECONNRESET);
	assert_string_equal(p.log, "a=-104 closed=-104 ");
	peer_end(&p);
}

static void a_late_reply_ends_the_connection(void **state)
{
	struct peer p;
	struct caller a = {.p = &p, .name = "a"}, b = {.p = &p, .name = "b"},
	              c = {.p = &p, .name = "c"};

	(void)state;
	peer_open(&p, (struct vici_config){0});
	assert_int_equal(caller_ask(&a, "version", NULL, NULL), 0);
	assert_int_equal(caller_ask(&b, "stats", NULL, NULL), 0);
	assert_int_equal(caller_ask(&c, "stats", NULL, NULL), 0);
	assert_true(vici_deadline(p.v) == p.now + CALLER_US);
	p.now += CALLER_US - 1;
	assert_int_equal(peer_turn(&p), 0);
	p.now += 5; /* the answer was there before we looked at the clock: not late */
	peer_send(&p, VICI_CMD_RESPONSE, NULL, NOTHING);
	assert_int_equal(vici_process(p.v, 0, p.now), 0);
	assert_true(vici_deadline(p.v) == p.now + CALLER_US); /* b's time began with its turn */
	p.now += CALLER_US;
	assert_int_equal(peer_turn(&p), -ETIMEDOUT);
	assert_string_equal(p.log, "a=0 b=-110 c=-104 closed=-110 ");
	assert_non_null(strstr(b.errmsg, "\"stats\""));
	assert_true(vici_deadline(p.v) == VICI_DEADLINE_NONE);
	peer_end(&p);
}

static void the_line_is_bounded(void **state)
{
	struct peer p;
	struct caller a = {.p = &p, .name = "a"};
	const struct vici_call call = {.command = "x", .done = caller_done, .user = &a};
	struct vici_builder b;
	char big[1000] = {0};

	(void)state;
	peer_open(&p, (struct vici_config){.max_requests = 2});
	assert_int_equal(caller_ask(&a, "x", NULL, NULL), 0);
	assert_int_equal(caller_ask(&a, "x", NULL, NULL), 0);
	assert_int_equal(caller_ask(&a, "x", NULL, NULL), -ENOBUFS);
	assert_int_equal(vici_subscribe(p.v, "log", CALLER_US, caller_done, &a, p.now), -ENOBUFS);
	peer_send(&p, VICI_CMD_RESPONSE, NULL, NOTHING);
	peer_turn(&p);
	assert_int_equal(caller_ask(&a, "x", NULL, NULL), 0);
	peer_end(&p);

	peer_open(&p, (struct vici_config){.max_bytes = 1500});
	vici_builder_init(&b);
	vici_add_blob(&b, "k", big, sizeof(big));
	assert_int_equal(vici_call(p.v, &call, &b, p.now), 0);
	vici_builder_fini(&b);
	vici_builder_init(&b);
	vici_add_blob(&b, "k", big, sizeof(big));
	assert_int_equal(vici_call(p.v, &call, &b, p.now), -ENOBUFS);
	assert_int_equal(vici_builder_check(&b), 0); /* left as it was */
	peer_send(&p, VICI_CMD_RESPONSE, NULL, NOTHING);
	peer_turn(&p);
	assert_int_equal(vici_call(p.v, &call, &b, p.now), 0);
	vici_builder_fini(&b);
	peer_end(&p);
}

static void bad_arguments_are_refused(void **state)
{
	struct peer p;
	struct caller a = {.p = &p, .name = "a"};
	char name[VICI_NAME_MAX + 2];
	struct vici_builder b;
	const struct vici_call call = {.command = "x", .done = caller_done, .user = &a};
	int i;

	(void)state;
	memset(name, 'n', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	peer_open(&p, (struct vici_config){0});
	assert_int_equal(caller_ask(&a, name, NULL, NULL), -EINVAL);
	assert_int_equal(caller_ask(&a, "", NULL, NULL), -EINVAL);
	assert_int_equal(caller_ask(&a, "x", name, NULL), -EINVAL);
	vici_builder_init(&b);
	vici_add_section(&b, "open");
	assert_int_equal(vici_call(p.v, &call, &b, p.now), -EINVAL);
	vici_builder_fini(&b);
	assert_int_equal(vici_subscribe(p.v, NULL, CALLER_US, caller_done, &a, p.now), -EINVAL);
	assert_int_equal(vici_subscribe(p.v, name, CALLER_US, caller_done, &a, p.now), -EINVAL);
	assert_int_equal(vici_unsubscribe(p.v, "log", CALLER_US, caller_done, &a, p.now), -ENOENT);
	assert_int_equal(
	        caller_ask(&a, "x", "list-sa", NULL), 0); /* charon would send each row twice */
	assert_int_equal(
	        vici_subscribe(p.v, "list-sa", CALLER_US, caller_done, &a, p.now), -EINVAL);
	for (i = 0; i < VICI_SUBSCRIPTIONS_MAX; i++) {
		snprintf(name, sizeof(name), "event-%d", i);
		assert_int_equal(vici_subscribe(p.v, name, CALLER_US, caller_done, &a, p.now), 0);
		assert_int_equal(
		        vici_subscribe(p.v, name, CALLER_US, caller_done, &a, p.now), -EALREADY);
	}
	assert_int_equal(caller_ask(&a, "x", "event-1", NULL), -EINVAL);
	assert_int_equal(
	        vici_subscribe(p.v, "one-more", CALLER_US, caller_done, &a, p.now), -ENOBUFS);
	peer_expect(&p, VICI_EVENT_REGISTER, "list-sa");
	peer_expect_silence(&p);
	peer_end(&p);
}

/* A request larger than the socket takes goes out in parts, and a reply before its end is none. */
static void large_requests_are_sent_in_parts(void **state)
{
	static uint8_t big[60000];
	struct peer p;
	struct caller a = {.p = &p, .name = "a"};
	const struct vici_call call = {.command = "x", .done = caller_done, .user = &a};
	struct vici_builder b;
	uint8_t *got = malloc(VICI_SEGMENT_MAX);
	size_t len = 0, expected = 4 + 1 + 1 + 1 + 8 * (2 + 1 + 2 + sizeof(big));
	int small = 4096, i;
	ssize_t n;

	(void)state;
	peer_open(&p, (struct vici_config){0});
	assert_int_equal(setsockopt(vici_fd(p.v), SOL_SOCKET, SO_SNDBUF, &small, sizeof(small)), 0);
	vici_builder_init(&b);
	for (i = 0; i < 8; i++) {
		memset(big, i, sizeof(big));
		vici_add_blob(&b, "k", big, sizeof(big));
	}
	assert_int_equal(vici_call(p.v, &call, &b, p.now), 0);
	vici_builder_fini(&b);
	assert_int_equal(vici_events(p.v), POLLIN | POLLOUT);
	while (vici_events(p.v) & POLLOUT) {
		while ((n = recv(p.fd, got + len, VICI_SEGMENT_MAX - len, MSG_DONTWAIT)) > 0)
			len += n;
		assert_int_equal(peer_turn(&p), 0);
	}
	while ((n = recv(p.fd, got + len, VICI_SEGMENT_MAX - len, MSG_DONTWAIT)) > 0)
		len += n;
	assert_int_equal(len, expected);
	assert_int_equal(got[expected - 1], 7);
	assert_int_equal(vici_message_check((struct vici_blob){got + 7, len - 7}), 0);
	free(got);
	peer_send(&p, VICI_CMD_RESPONSE, NULL, NOTHING);
	peer_turn(&p);
	assert_string_equal(p.log, "a=0 ");

	vici_builder_init(&b);
	for (i = 0; i < 8; i++)
		vici_add_blob(&b, "k", big, sizeof(big));
	assert_int_equal(vici_call(p.v, &call, &b, p.now), 0);
	vici_builder_fini(&b);
	peer_send(&p, VICI_CMD_RESPONSE, NULL, NOTHING);
	assert_int_equal(peer_turn(&p), -EPROTO);
	peer_end(&p);
}

static void open_says_why_it_failed(void **state)
{
	char path[200];
	struct vici_config cfg = {.path = "/nonexistent/charon.vici"};
	struct vici *v = (void *)&cfg;

	(void)state;
	assert_int_equal(vici_open(&v, &cfg), -ENOENT);
	memset(path, 'x', sizeof(path) - 1);
	path[sizeof(path) - 1] = '\0';
	cfg.path = path;
	assert_int_equal(vici_open(&v, &cfg), -ENAMETOOLONG);
	cfg.path = "";
	assert_int_equal(vici_open(&v, &cfg), -EINVAL);
	assert_ptr_equal(v, &cfg); /* untouched */
	assert_int_equal(vici_open_fd(&v, &cfg, -1), -EBADF);
	vici_close(NULL);
	vici_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(replies_come_in_order_one_at_a_time),
	        cmocka_unit_test(chunks_of_any_size_make_no_difference),
	        cmocka_unit_test(floods_are_taken_in_order),
	        cmocka_unit_test(subscriptions_end_with_their_confirmation),
	        cmocka_unit_test(rows_belong_to_their_request),
	        cmocka_unit_test(every_fault_ends_the_connection),
	        cmocka_unit_test(packets_out_of_turn_end_the_connection),
	        cmocka_unit_test(unknown_stream_is_only_that_requests_error),
	        cmocka_unit_test(a_dropped_connection_reaches_everyone),
	        cmocka_unit_test(a_late_reply_ends_the_connection),
	        cmocka_unit_test(the_line_is_bounded),
	        cmocka_unit_test(bad_arguments_are_refused),
	        cmocka_unit_test(large_requests_are_sent_in_parts),
	        cmocka_unit_test(open_says_why_it_failed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Callbacks that close, free and ask again, at every place where they may. */
#include "vici_peer.h"

static void caller_close(struct caller *c)
{
	vici_close(c->p->v);
}

static void caller_free(struct caller *c)
{
	vici_free(c->p->v);
	c->p->v = NULL;
}

static void caller_ask_next(struct caller *c)
{
	c->next_result = caller_ask(c->next, "stats", NULL, NULL);
}

static void caller_process(struct caller *c)
{
	c->next_result = vici_process(c->p->v, POLLIN, c->p->now);
}

static void closing_calls_everyone_back_once(void **state)
{
	void (*const ways[])(struct caller *) = {caller_close, caller_free};
	size_t i;

	(void)state;
	for (i = 0; i < 2; i++) {
		struct peer p;
		struct caller a = {.p = &p, .name = "a", .then = ways[i]},
		              b = {.p = &p, .name = "b", .then = ways[i]},
		              c = {.p = &p, .name = "c"};

		peer_open(&p, (struct vici_config){0}); /* from outside */
		assert_int_equal(caller_ask(&b, "version", NULL, NULL), 0);
		assert_int_equal(caller_ask(&c, "version", NULL, NULL), 0);
		b.then = NULL;
		ways[i](&a);
		assert_string_equal(p.log, "b=-125 c=-125 ");
		peer_end(&p);

		peer_open(&p, (struct vici_config){0}); /* from a callback of a reply */
		assert_int_equal(caller_ask(&a, "version", NULL, NULL), 0);
		assert_int_equal(caller_ask(&b, "version", NULL, NULL), 0);
		assert_int_equal(caller_ask(&c, "version", NULL, NULL), 0);
		peer_send(&p, VICI_CMD_RESPONSE, NULL, NOTHING);
		assert_int_equal(peer_turn(&p), -ECANCELED);
		assert_string_equal(p.log, "a=0 b=-125 c=-125 ");
		assert_int_equal(p.n_closed, 0);
		peer_end(&p);
	}
}

/* How many bytes have come to the other end and were not read. */
static ssize_t heard(const struct peer *p)
{
	char buf[512];

	return recv(p->fd, buf, sizeof(buf), MSG_PEEK | MSG_DONTWAIT);
}

static void held_requests_wait_and_go_at_the_release(void **state)
{
	struct peer p;
	struct caller a = {.p = &p, .name = "a"}, b = {.p = &p, .name = "b"};

	(void)state;
	peer_open(&p, (struct vici_config){0});
	vici_hold(p.v, true, p.now);
	assert_int_equal(caller_ask(&a, "version", NULL, NULL), 0);
	assert_int_equal(caller_ask(&b, "version", NULL, NULL), 0);
	assert_true(vici_deadline(p.v) == VICI_DEADLINE_NONE);
	assert_int_equal(heard(&p), -1);
	vici_hold(p.v, false, p.now);
	assert_true(heard(&p) > 0);
	/* Held again: the one in flight ends, with its deadline, and the next stays. */
	vici_hold(p.v, true, p.now);
	assert_true(vici_deadline(p.v) != VICI_DEADLINE_NONE);
	while (heard(&p) > 0) {
		char buf[512];

		assert_true(recv(p.fd, buf, sizeof(buf), 0) > 0);
	}
	peer_send(&p, VICI_CMD_RESPONSE, NULL, NOTHING);
	assert_int_equal(peer_turn(&p), 0);
	assert_string_equal(p.log, "a=0 ");
	assert_int_equal(heard(&p), -1);
	vici_hold(p.v, false, p.now);
	assert_true(heard(&p) > 0);
	peer_send(&p, VICI_CMD_RESPONSE, NULL, NOTHING);
	assert_int_equal(peer_turn(&p), 0);
	assert_string_equal(p.log, "a=0 b=0 ");
	peer_end(&p);
}

static void freeing_while_it_fails_is_safe(void **state)
{
	struct peer p;
	struct caller a = {.p = &p, .name = "a", .then = caller_free}, b = {.p = &p, .name = "b"};

	(void)state;
	peer_open(&p, (struct vici_config){0});
	assert_int_equal(caller_ask(&a, "version", NULL, NULL), 0);
	assert_int_equal(caller_ask(&b, "version", NULL, NULL), 0);
	peer_send_raw(&p, "\377\377\377\377", 4);
	assert_int_equal(peer_turn(&p), -EMSGSIZE);
	assert_string_equal(p.log, "a=-90 b=-125 ");
	assert_null(p.v);
	peer_end(&p);
}

static void closed_frees(void *user, int error, const char *what)
{
	struct peer *p = user;

	peer_closed(user, error, what);
	vici_free(p->v);
	p->v = NULL;
}

static void freeing_in_on_closed_is_safe(void **state)
{
	struct peer p;

	(void)state;
	peer_open(&p, (struct vici_config){.on_closed = closed_frees});
	peer_hang_up(&p);
	assert_int_equal(peer_turn(&p), -ECONNRESET);
	assert_int_equal(p.n_closed, 1);
	assert_null(p.v);
	peer_end(&p);
}

static void freeing_in_a_row_is_safe(void **state)
{
	struct peer p;
	struct caller killer = {.p = &p, .name = "killer", .then = caller_free};
	struct caller a = {.p = &p, .name = "a", .next = &killer};

	(void)state;
	peer_open(&p, (struct vici_config){0});
	assert_int_equal(caller_ask(&a, "list-sas", "list-sa", caller_row), 0);
	peer_send(&p, VICI_EVENT_CONFIRM, NULL, NOTHING);
	peer_send(&p, VICI_EVENT, "list-sa", peer_message("row", "r1", NULL));
	peer_send(&p, VICI_EVENT, "list-sa", peer_message("row", "r2", NULL));
	assert_int_equal(peer_turn(&p), -ECANCELED);
	assert_string_equal(p.log, "r1=0 a=-125 ");
	peer_end(&p);
}

static void callbacks_may_ask_again(void **state)
{
	struct peer p;
	struct caller b = {.p = &p, .name = "b"},
	              a = {.p = &p, .name = "a", .then = caller_ask_next, .next = &b};

	(void)state;
	peer_open(&p, (struct vici_config){0});
	assert_int_equal(caller_ask(&a, "version", NULL, NULL), 0);
	peer_expect(&p, VICI_CMD_REQUEST, "version");
	peer_send(&p, VICI_CMD_RESPONSE, NULL, NOTHING);
	assert_int_equal(peer_turn(&p), 0);
	assert_int_equal(a.next_result, 0);
	peer_expect(&p, VICI_CMD_REQUEST, "stats"); /* sent within the same turn */
	vici_close(p.v);
	assert_string_equal(p.log, "a=0 b=-125 ");
	p.log[0] = '\0';
	peer_end(&p);

	peer_open(&p, (struct vici_config){0});
	a.then = caller_process;
	assert_int_equal(caller_ask(&a, "version", NULL, NULL), 0);
	peer_send(&p, VICI_CMD_RESPONSE, NULL, NOTHING);
	assert_int_equal(peer_turn(&p), 0);
	assert_int_equal(a.next_result, -EBUSY);
	a.then = caller_ask_next; /* in the callback of its end nothing is taken any more */
	assert_int_equal(caller_ask(&a, "version", NULL, NULL), 0);
	vici_close(p.v);
	assert_int_equal(a.next_result, -ENOTCONN);
	peer_end(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(closing_calls_everyone_back_once),
	        cmocka_unit_test(held_requests_wait_and_go_at_the_release),
	        cmocka_unit_test(freeing_while_it_fails_is_safe),
	        cmocka_unit_test(freeing_in_on_closed_is_safe),
	        cmocka_unit_test(freeing_in_a_row_is_safe),
	        cmocka_unit_test(callbacks_may_ask_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

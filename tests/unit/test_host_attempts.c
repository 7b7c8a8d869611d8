/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Initiations that charon took: how each ends is told once, whatever charon's list says. charon is
 * at the other end of a socket here and says what it seldom says; the clock and the loop are real.
 */
#include "host/charon_attempts.c"

#include <poll.h>

#include "vici_peer.h"

static struct world world;
static struct charon charon;
static struct peer peer;

/* What the rest of the daemon would hear. */
static struct told {
	uint64_t id;
	int error;
} told[16];
static size_t n_told;

int64_t world_now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_BOOTTIME, &ts);
	return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

void world_result(struct world *w, uint64_t id, int error, const char *text)
{
	assert_ptr_equal(w, &world);
	assert_true(n_told < sizeof(told) / sizeof(told[0]));
	assert_int_equal(error != 0, text[0] != 0);
	told[n_told++] = (struct told){id, error};
}

void charon_link_update(struct link *link)
{
	assert_ptr_equal(link, &charon.links[LINK_COMMANDS]);
}

static int setup(void **state)
{
	(void)state;
	memset(&world, 0, sizeof(world));
	memset(&charon, 0, sizeof(charon));
	n_told = 0;
	peer_open(&peer, (struct vici_config){0});
	charon.world = &world;
	charon.links[LINK_COMMANDS].v = peer.v;
	if (sd_event_new(&world.event) < 0)
		return -1;
	return attempts_new(&charon, &charon.attempts);
}

static int teardown(void **state)
{
	(void)state;
	attempts_free(charon.attempts);
	sd_event_unref(world.event);
	peer_end(&peer);
	return 0;
}

/* Runs the loop until the client asks for a list; its `ike`, or "". Returns after how many ms. */
static int64_t await_list(char *ike, size_t size)
{
	int64_t began = world_now_us();
	struct vici_blob request;
	struct pollfd pfd = {.fd = peer.fd, .events = POLLIN};

	while (poll(&pfd, 1, 0) == 0) {
		assert_true(world_now_us() - began < 10000000);
		assert_true(sd_event_run(world.event, 50000) >= 0);
		assert_int_equal(peer_turn(&peer), 0);
	}
	peer_expect(&peer, VICI_EVENT_REGISTER, "list-sa");
	peer_send(&peer, VICI_EVENT_CONFIRM, NULL, NOTHING);
	assert_int_equal(peer_turn(&peer), 0);
	assert_int_equal(peer_turn(&peer), 0);
	request = peer_expect(&peer, VICI_CMD_REQUEST, "list-sas");
	ike[0] = 0;
	(void)vici_find_text(request, "ike", ike, size);
	return (world_now_us() - began) / 1000;
}

static void send_row(const char *conn, const char *state)
{
	struct vici_builder b;

	vici_builder_init(&b);
	vici_add_section(&b, conn);
	vici_add_str(&b, "uniqueid", "7");
	vici_add_str(&b, "version", "2");
	vici_add_str(&b, "state", state);
	vici_end_section(&b);
	peer_send(&peer, VICI_EVENT, "list-sa", vici_builder_view(&b));
	vici_builder_fini(&b);
}

static void end_list(void)
{
	peer_send(&peer, VICI_CMD_RESPONSE, NULL, NOTHING);
	assert_int_equal(peer_turn(&peer), 0);
	assert_int_equal(peer_turn(&peer), 0);
	peer_expect(&peer, VICI_EVENT_UNREGISTER, "list-sa");
	peer_send(&peer, VICI_EVENT_CONFIRM, NULL, NOTHING);
	assert_int_equal(peer_turn(&peer), 0);
}

static void not_listed_has_failed(void **state)
{
	char ike[72];

	(void)state;
	attempts_add(charon.attempts, "ovl.a", 1);
	assert_true(await_list(ike, sizeof(ike)) >= 90);
	assert_string_equal(ike, "ovl.a"); /* one alone is asked for alone */
	assert_int_equal(n_told, 0);
	end_list();
	assert_int_equal(n_told, 1);
	assert_int_equal(told[0].id, 1);
	assert_int_equal(told[0].error, -ECONNREFUSED);
}

static void one_list_for_all(void **state)
{
	char ike[72];

	(void)state;
	attempts_add(charon.attempts, "ovl.a", 1);
	attempts_add(charon.attempts, "ovl.b", 2);
	attempts_add(charon.attempts, "ovl.c", 3);
	attempts_add(charon.attempts, "ovl.d", 4);
	await_list(ike, sizeof(ike));
	assert_string_equal(ike, "");
	send_row("ovl.a", "ESTABLISHED");
	send_row("ovl.b", "CONNECTING");
	send_row("ovl.c", "DELETING");
	/* What began after the question is not answered by it. */
	attempts_add(charon.attempts, "ovl.e", 5);
	end_list();
	assert_int_equal(n_told, 3);
	for (size_t i = 0; i < n_told; i++)
		assert_int_equal(told[i].error, told[i].id == 1 ? 0 : -ECONNREFUSED);
	/* The others go on: the next list is about them. */
	await_list(ike, sizeof(ike));
	send_row("ovl.b", "CONNECTING");
	send_row("ovl.e", "CONNECTING");
	end_list();
	assert_int_equal(n_told, 3);
	attempts_up(charon.attempts, "ovl.b"); /* charon's event */
	assert_int_equal(n_told, 4);
	assert_int_equal(told[3].id, 2);
	assert_int_equal(told[3].error, 0);
	attempts_up(charon.attempts, "ovl.b"); /* once is enough */
	attempts_up(charon.attempts, "ovl.x");
	assert_int_equal(n_told, 4);
}

static void long_tries_are_left_to_the_engine(void **state)
{
	char ike[72];
	int lists = 0;

	(void)state;
	attempts_add(charon.attempts, "ovl.a", 1);
	for (; !n_told; lists++) {
		await_list(ike, sizeof(ike));
		send_row("ovl.a", "CONNECTING");
		end_list();
	}
	assert_int_equal(told[0].error, 0);
	/* Ever more seldom: a dead peer is not asked for ten times a second. */
	assert_in_range(lists, 3, 14);
}

static void charon_gone_all_failed(void **state)
{
	char ike[72];

	(void)state;
	attempts_add(charon.attempts, "ovl.a", 1);
	attempts_add(charon.attempts, "ovl.b", 2);
	await_list(ike, sizeof(ike));
	attempts_fail(charon.attempts);
	assert_int_equal(n_told, 2);
	assert_int_equal(told[0].error, -ECONNREFUSED);
	assert_int_equal(told[1].error, -ECONNREFUSED);
	end_list(); /* its answer finds nobody */
	assert_int_equal(n_told, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test_setup_teardown(not_listed_has_failed, setup, teardown),
	        cmocka_unit_test_setup_teardown(one_list_for_all, setup, teardown),
	        cmocka_unit_test_setup_teardown(long_tries_are_left_to_the_engine, setup, teardown),
	        cmocka_unit_test_setup_teardown(charon_gone_all_failed, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * When things happen: tries after refusals, who goes first and who waits, the two clocks, and that
 * each change of a state is told once.
 */
#include <sys/socket.h>

#include "tests/unit/engine_bed.h"

#define MS 1000LL
#define NOON_2026 1782907200LL /* 2026-07-01 12:00 UTC */
#define YEAR_2031 1940673600LL /* 2031-07-01 12:00 UTC */
#define HOUR 3600

static const char *const both[] = {"", ", endpoints: [192.0.2.2]"};
#define HERE ", endpoints: [192.0.2.9]"
static const char *const mutual[] = {HERE, HERE, HERE, HERE, HERE, HERE, HERE, HERE};

static size_t times_of(const struct bed *b, enum engine_effect_type type, const char *peer,
        int64_t *at, size_t max)
{
	size_t n = 0;

	for (size_t i = 0; i < b->n_said; i++)
		if (b->said[i].type == type && !strcmp(b->said[i].peer, peer) && n < max)
			at[n++] = b->said[i].at;
	return n;
}

static size_t notices_of(const struct bed *b, enum engine_notice_code code, const char *peer)
{
	size_t n = 0;

	for (size_t i = 0; i < b->n_said; i++)
		n += b->said[i].type == ENGINE_FX_NOTICE && b->said[i].code == code &&
		     !strcmp(b->said[i].peer, peer);
	return n;
}

/* A peer that has to try us first, by the keys' fingerprints. */
static const char *first_one(struct bed *b)
{
	static const char *const names[] = {"b", "c", "d", "e", "f", "g", "h"};

	for (size_t i = 0; i < 7; i++)
		if (!bed_look(b, names[i]).initiator_is_us)
			return names[i];
	fail();
	return NULL;
}

/* Approvals reach the two ends at different times: many tries soon, then one every five
 * seconds, so that an approval that comes late still takes effect soon. */
static void refused_is_tried_soon(void **state)
{
	static struct bed b;
	int64_t at[64];
	size_t n;
	(void)state;

	bed_begin(&b, bed_policy(both, 2, 1), NULL, NOON_2026);
	b.refuse = true;
	bed_pass(&b, 60 * US);
	n = times_of(&b, ENGINE_FX_INITIATE, "b", at, 64);
	assert_true(n > 15 && n < 25);
	for (size_t i = 1; i <= 8; i++)
		assert_in_range(at[i] - at[i - 1], 180 * MS, 330 * MS);
	assert_true(at[12] - at[11] > 1500 * MS);
	for (size_t i = n - 4; i < n; i++)
		assert_in_range(at[i] - at[i - 1], 4 * US, 6 * US);
	assert_true(bed_look(&b, "b").degraded);
	b.refuse = false;
	bed_pass(&b, 6 * US);
	assert_int_equal(bed_look(&b, "b").state, ENGINE_PEER_UP);
	assert_false(bed_look(&b, "b").degraded);
	bed_end(&b);
}

/* Half a second apart is no trouble: up at once, and nothing is said to be wrong. */
static void late_approval_is_quiet(void **state)
{
	static struct bed b;
	(void)state;

	bed_begin(&b, bed_policy(both, 2, 1), NULL, NOON_2026);
	b.refuse = true;
	bed_pass(&b, 500 * MS);
	b.refuse = false;
	bed_pass(&b, 350 * MS);
	assert_int_equal(bed_look(&b, "b").state, ENGINE_PEER_UP);
	assert_int_equal(notices_of(&b, ENGINE_N_DEGRADED, "b"), 0);
	bed_end(&b);
}

/* A tunnel that went silent: the next endpoint goes first; one that was deleted: the same. */
static void silent_goes_elsewhere(void **state)
{
	static const char *const two[] = {"", ", endpoints: [192.0.2.2, 192.0.2.3]"};
	static struct bed b;
	(void)state;

	bed_begin(&b, bed_policy(two, 2, 1), NULL, NOON_2026);
	bed_pass(&b, 2 * US);
	bed_sa(&b, 1, true);
	bed_sa(&b, 1, false);
	bed_pass(&b, US);
	assert_int_equal(bed_look(&b, "b").endpoint.bytes[3], 2);
	bed_sa(&b, 1, true);
	bed_sa_silent(&b, 1);
	bed_pass(&b, US);
	assert_int_equal(bed_look(&b, "b").endpoint.bytes[3], 3);
	bed_end(&b);
}

/* One that answers nothing is a different case: told, and the next endpoint. */
static void silence_goes_on(void **state)
{
	static const char *const two[] = {"", ", endpoints: [192.0.2.2, 192.0.2.3]"};
	static struct bed b;
	(void)state;

	bed_begin(&b, bed_policy(two, 2, 1), NULL, NOON_2026);
	b.deaf = true;
	bed_pass(&b, 9 * US);
	assert_int_equal(bed_look(&b, "b").endpoint.bytes[3], 2);
	assert_false(bed_look(&b, "b").degraded);
	bed_pass(&b, 2 * US);
	assert_int_equal(bed_look(&b, "b").endpoint.bytes[3], 3);
	assert_true(bed_look(&b, "b").degraded);
	bed_end(&b);
}

/* An endpoint of a family that this node has no address of is left out, unless it is all there is. */
static void family_without_address(void **state)
{
	static const char *const two[] = {"", ", endpoints: [\"2001:db8::2\", 192.0.2.3]"};
	const struct policy_addr six = {AF_INET6, {0x20, 1, 0xd, 0xb8, [15] = 1}};
	struct engine_event ev = {.type = ENGINE_EV_UNDERLAY};
	static struct bed b;
	(void)state;

	bed_begin(&b, bed_policy(two, 2, 1), NULL, NOON_2026);
	bed_pass(&b, 2 * US);
	assert_int_equal(bed_look(&b, "b").endpoint.family, AF_INET6); /* nothing was told yet */
	bed_sa(&b, 1, false);
	ev.underlay.addrs = &(struct policy_addr){AF_INET, {192, 0, 2, 1}};
	ev.underlay.n = 1;
	bed_step(&b, &ev);
	bed_pass(&b, 2 * US);
	assert_int_equal(bed_look(&b, "b").endpoint.bytes[3], 3);
	bed_sa(&b, 1, false);
	ev.underlay.addrs = &six;
	bed_step(&b, &ev);
	bed_pass(&b, 2 * US);
	assert_int_equal(bed_look(&b, "b").endpoint.family, AF_INET6);
	bed_end(&b);
}

static void second_waits_a_second(void **state)
{
	static struct bed b;
	const char *peer;
	int64_t at[8];
	(void)state;

	bed_begin(&b, bed_policy(mutual, 8, 1), NULL, NOON_2026);
	bed_pass(&b, 900 * MS);
	peer = first_one(&b);
	assert_int_equal(bed_look(&b, peer).state, ENGINE_PEER_LISTENING);
	bed_pass(&b, 300 * MS);
	assert_int_equal(times_of(&b, ENGINE_FX_INITIATE, peer, at, 8), 1);
	assert_int_equal(bed_look(&b, peer).state, ENGINE_PEER_UP);
	bed_end(&b);
}

/* Our charon lost all it had, the peers do not know: no grace for them. */
static void lost_goes_at_once(void **state)
{
	static struct bed b;
	const char *peer;
	int64_t from;
	(void)state;

	bed_begin(&b, bed_policy(mutual, 8, 1), NULL, NOON_2026);
	bed_pass(&b, 3 * US);
	peer = first_one(&b);
	assert_int_equal(bed_look(&b, peer).state, ENGINE_PEER_UP);
	bed_charon(&b, false);
	bed_charon(&b, false);
	bed_charon(&b, true);
	from = b.now.mono_us;
	bed_pass(&b, 150 * MS);
	assert_int_equal(bed_look(&b, peer).state, ENGINE_PEER_UP);
	assert_true(bed_look(&b, peer).since.mono_us - from <= 110 * MS);
	/* The same for one SA. */
	bed_sa(&b, *peer - 'a', false);
	bed_pass(&b, 10 * MS);
	assert_int_not_equal(bed_look(&b, peer).state, ENGINE_PEER_UP);
	bed_pass(&b, 120 * MS);
	assert_int_equal(bed_look(&b, peer).state, ENGINE_PEER_UP);
	bed_end(&b);
}

/* The clock once stood in 2031: `until` never comes back, `hours` follow what it says now. */
static void two_clocks(void **state)
{
	static const char *const timed[] = {"",
	        ", endpoints: [192.0.2.2], until: 2027-01-01T00:00Z",
	        ", endpoints: [192.0.2.3], hours: \"13:00-14:00\""};
	struct engine_config cfg = {.wall_floor_s = YEAR_2031 + 80 * 60};
	static struct bed b;
	(void)state;

	bed_begin(&b, bed_policy(timed, 3, 1), &cfg, NOON_2026);
	bed_pass(&b, 2 * US);
	assert_int_equal(bed_look(&b, "b").state, ENGINE_PEER_INACTIVE);
	assert_int_equal(bed_look(&b, "c").state, ENGINE_PEER_INACTIVE);
	b.now.mono_us += (HOUR - 5) * US;
	b.now.wall_s += HOUR - 5;
	bed_pass(&b, 10 * US);
	assert_int_equal(bed_look(&b, "b").state, ENGINE_PEER_INACTIVE);
	assert_int_equal(bed_look(&b, "c").state, ENGINE_PEER_UP);
	assert_true(bed_look(&b, "c").expires_wall_s == NOON_2026 + 2 * HOUR);
	/* Set back by half an hour: hours that were open are shut, at the next step. */
	b.now.wall_s -= HOUR / 2;
	bed_pass(&b, 2 * US);
	assert_int_equal(bed_look(&b, "c").state, ENGINE_PEER_INACTIVE);
	/* Forward again. Timers follow: it ends when the clock says so. */
	b.now.wall_s += HOUR / 2;
	bed_pass(&b, 2 * US);
	assert_int_equal(bed_look(&b, "c").state, ENGINE_PEER_UP);
	b.now.mono_us += (HOUR - 30) * US;
	b.now.wall_s += HOUR - 30;
	bed_pass(&b, 30 * US);
	assert_int_equal(bed_look(&b, "c").state, ENGINE_PEER_INACTIVE);
	bed_end(&b);
}

/* What the kernel ends by itself is the earlier of the two. */
static void expiry_is_the_earlier(void **state)
{
	static const char *const until_first[] = {"",
	        ", endpoints: [192.0.2.2], until: 2026-07-01T12:20Z, hours: \"11:00-13:00\"",
	        ", endpoints: [192.0.2.2], until: 2026-07-01T18:00Z, hours: \"11:00-13:00\""};
	struct engine_config cfg = {.wall_floor_s = NOON_2026 + 600};
	static struct bed b;
	(void)state;

	bed_begin(&b, bed_policy(until_first, 3, 1), &cfg, NOON_2026);
	bed_pass(&b, 2 * US);
	assert_true(bed_look(&b, "b").expires_wall_s == NOON_2026 + 1200);
	assert_true(bed_look(&b, "c").expires_wall_s == NOON_2026 + HOUR);
	bed_pass(&b, 590 * US);
	assert_int_equal(bed_look(&b, "b").state, ENGINE_PEER_UP);
	bed_pass(&b, 15 * US); /* 20 past by the trusted clock, 10 past by the present one */
	assert_int_equal(bed_look(&b, "b").state, ENGINE_PEER_INACTIVE);
	assert_int_equal(bed_look(&b, "c").state, ENGINE_PEER_UP);
	bed_end(&b);
}

/* An approval that is half a second late, a lost tunnel, a revocation: each change is told once. */
static void changes_are_told_once(void **state)
{
	static struct bed b;
	enum engine_peer_state last = ENGINE_PEER_INACTIVE;
	size_t traces = 0;
	(void)state;

	bed_begin(&b, bed_policy(both, 1, 1), NULL, NOON_2026);
	bed_pass(&b, US);
	b.refuse = true;
	bed_swap(&b, bed_policy(both, 2, 2));
	bed_pass(&b, 500 * MS);
	b.refuse = false;
	bed_pass(&b, US);
	bed_sa(&b, 1, false);
	bed_pass(&b, US);
	bed_swap(&b, bed_policy(both, 1, 3));
	bed_pass(&b, US);
	for (size_t i = 0; i < b.n_said; i++) {
		const struct said *s = &b.said[i];

		if (s->type != ENGINE_FX_NOTICE || s->code != ENGINE_N_TRACE || *s->peer != 'b')
			continue;
		assert_int_equal(s->old_state, last);
		assert_false(s->old_degraded);
		assert_string_equal(strrchr(s->text, ' ') + 1, engine_peer_state_name(s->state));
		last = s->state;
		traces++;
	}
	/* waiting, connecting, up, connecting, up, revoking, inactive */
	assert_int_equal(traces, 7);
	assert_int_equal(last, ENGINE_PEER_INACTIVE);
	assert_int_equal(notices_of(&b, ENGINE_N_UP, "b"), 2);
	assert_int_equal(notices_of(&b, ENGINE_N_DOWN, "b"), 1);
	bed_end(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(refused_is_tried_soon),
	        cmocka_unit_test(late_approval_is_quiet),
	        cmocka_unit_test(silence_goes_on),
	        cmocka_unit_test(silent_goes_elsewhere),
	        cmocka_unit_test(family_without_address),
	        cmocka_unit_test(second_waits_a_second),
	        cmocka_unit_test(lost_goes_at_once),
	        cmocka_unit_test(two_clocks),
	        cmocka_unit_test(expiry_is_the_earlier),
	        cmocka_unit_test(changes_are_told_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

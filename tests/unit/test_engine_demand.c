/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Tunnels on demand: who gets a trap instead of an initiation, what an acquire does, and that an
 * end of one is no fault.
 */
#include "engine_bed.h"

#define MS 1000LL
#define NOON_2026 1767268800LL

/* a is this node, c is a seed; b has two endpoints, d has none. */
static const struct policy *demand_policy(const char *mesh, int serial)
{
	static const char *const more[] = {
	        "roles: [r], endpoints: [192.0.2.1]",
	        "roles: [r], endpoints: [192.0.2.2, 192.0.2.12]",
	        "roles: [r, seed], endpoints: [192.0.2.3]",
	        "roles: [r]",
	};
	struct policy_report report;
	struct policy *p = NULL;
	char *text = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&text, &len);

	fprintf(f,
	        "cluster: t\nserial: %d\noverlay: 10.0.0.0/8\nmesh: %s\n"
	        "allow:\n  - { from: r, to: r, service: ssh }\npeers:\n",
	        serial, mesh);
	for (int i = 0; i < 4; i++) {
		struct policy_key raw;
		char key[96];

		bed_key(i, &raw);
		policy_key_print(&raw, key, sizeof(key));
		fprintf(f, "  %c: { key: \"%s\", address: 10.1.0.%d, %s }\n", 'a' + i, key, i + 1,
		        more[i]);
	}
	fclose(f);
	policy_report_init(&report);
	if (policy_parse(&(struct policy_file){"policy.yaml", text, len}, 1, &p, &report)) {
		policy_report_print(&report, stderr, false);
		fail();
	}
	policy_report_clear(&report);
	free(text);
	return p;
}

/* What was loaded last, by peer. */
static struct {
	int loads;
	bool trap;
	uint8_t endpoint;
} loaded[8];

static void note_loads(struct bed *b, const struct engine_effect *fx)
{
	(void)b;
	if (fx->type != ENGINE_FX_LOAD_CONN || strlen(fx->load.peer) != 1)
		return;
	loaded[*fx->load.peer - 'a'].loads++;
	loaded[*fx->load.peer - 'a'].trap = fx->load.trap;
	loaded[*fx->load.peer - 'a'].endpoint = fx->load.endpoint.bytes[3];
}

static void plane(struct bed *b, bool up, bool traps)
{
	struct engine_event ev = {.type = ENGINE_EV_PLANE};

	ev.plane.up = up;
	ev.plane.traps = traps;
	bed_step(b, &ev);
}

static void begin(struct bed *b, const char *mesh)
{
	memset(loaded, 0, sizeof(loaded));
	bed_begin(b, demand_policy(mesh, 1), NULL, NOON_2026);
	b->carry_out = note_loads;
	bed_step(b, &(struct engine_event){.type = ENGINE_EV_TICK});
}

static size_t count(const struct bed *b, enum engine_effect_type type, const char *peer)
{
	size_t n = 0;

	for (size_t i = 0; i < b->n_said; i++)
		n += b->said[i].type == type && !strcmp(b->said[i].peer, peer);
	return n;
}

static size_t told(const struct bed *b, enum engine_notice_code code)
{
	size_t n = 0;

	for (size_t i = 0; i < b->n_said; i++)
		n += b->said[i].type == ENGINE_FX_NOTICE && b->said[i].code == code;
	return n;
}

static bool settled(const struct bed *b)
{
	struct engine_view v;

	engine_look(b->e, &v);
	return v.settled;
}

static void trap_instead_of_initiation(void **state)
{
	static struct bed b;
	(void)state;

	begin(&b, "ondemand");
	plane(&b, true, true);
	bed_sa(&b, 3, true); /* d cannot be reached: it comes */
	bed_pass(&b, 40 * US);
	assert_true(loaded[1].trap);
	assert_false(loaded[2].trap); /* a seed */
	assert_false(loaded[3].trap); /* without an endpoint: always connected */
	assert_int_equal(count(&b, ENGINE_FX_INITIATE, "b"), 0);
	assert_true(count(&b, ENGINE_FX_INITIATE, "c") > 0);
	assert_int_equal(bed_look(&b, "b").state, ENGINE_PEER_ONDEMAND);
	assert_true(bed_look(&b, "b").admitted);
	assert_false(bed_look(&b, "b").degraded);
	assert_int_equal(bed_look(&b, "c").state, ENGINE_PEER_UP);
	assert_true(settled(&b));
	bed_end(&b);
}

/* Up by an acquire, down when idle: neither is ours to mend. */
static void comes_and_goes(void **state)
{
	static struct bed b;
	(void)state;

	begin(&b, "ondemand");
	plane(&b, true, true);
	bed_pass(&b, 2 * US);
	bed_sa(&b, 1, true);
	bed_pass(&b, 1 * US);
	assert_int_equal(bed_look(&b, "b").state, ENGINE_PEER_UP);
	assert_int_equal(count(&b, ENGINE_FX_TERMINATE, "b"), 0);
	bed_sa(&b, 1, false);
	bed_pass(&b, 60 * US);
	assert_int_equal(bed_look(&b, "b").state, ENGINE_PEER_ONDEMAND);
	assert_false(bed_look(&b, "b").degraded);
	assert_int_equal(count(&b, ENGINE_FX_INITIATE, "b"), 0);
	assert_int_equal(loaded[1].endpoint, 2); /* the trap is still the same */
	assert_true(loaded[1].trap);
	bed_end(&b);
}

/* One listing in which charon is still trying, and then none: nobody answers there. */
static void acquire_fails(struct bed *b, uint32_t id)
{
	struct engine_event ev = {.type = ENGINE_EV_SA};
	struct engine_sa_row row = {.conn = "ovl.b",
	        .id = id,
	        .state = ENGINE_IKE_CONNECTING,
	        .local_id = "",
	        .remote_id = "",
	        .initiator = true,
	        .established_s = -1,
	        .rekey_s = INT64_MIN};

	ev.sa.change = ENGINE_SA_UPDATED;
	ev.sa.row = &row;
	bed_step(b, &ev);
}

static void next_endpoint_after_a_failure(void **state)
{
	static struct bed b;
	(void)state;

	begin(&b, "ondemand");
	plane(&b, true, true);
	bed_pass(&b, 2 * US);
	assert_int_equal(loaded[1].endpoint, 2);
	acquire_fails(&b, 70);
	bed_pass(&b, 1 * US);
	assert_int_equal(count(&b, ENGINE_FX_TERMINATE, ""), 0); /* it has its time */
	bed_pass(&b, 35 * US);
	assert_int_equal(loaded[1].endpoint, 12);
	assert_true(loaded[1].trap);
	assert_true(bed_look(&b, "b").degraded);
	assert_int_equal(bed_look(&b, "b").state, ENGINE_PEER_ONDEMAND);
	/* It comes up: all is well. */
	bed_sa(&b, 1, true);
	bed_pass(&b, 1 * US);
	assert_false(bed_look(&b, "b").degraded);
	bed_sa(&b, 1, false);
	/* Or nobody asks any more. */
	acquire_fails(&b, 71);
	bed_pass(&b, 35 * US);
	assert_int_equal(loaded[1].endpoint, 2);
	assert_true(bed_look(&b, "b").degraded);
	bed_pass(&b, 300 * US);
	assert_false(bed_look(&b, "b").degraded);
	bed_end(&b);
}

static size_t lists(const struct bed *b)
{
	size_t n = 0;

	for (size_t i = 0; i < b->n_said; i++)
		n += b->said[i].type == ENGINE_FX_LIST_SAS;
	return n;
}

/* No event tells of an acquire: it is looked for, more often than one lasts. */
static void looks_often(void **state)
{
	static struct bed b;
	size_t before;
	(void)state;

	for (int demand = 0; demand < 2; demand++) {
		begin(&b, demand ? "ondemand" : "full");
		plane(&b, true, true);
		bed_sa(&b, 3, true);
		bed_pass(&b, 5 * US);
		before = lists(&b);
		bed_pass(&b, 25 * US);
		assert_in_range(lists(&b) - before, demand ? 3 : 0, demand ? 6 : 2);
		bed_end(&b);
	}
}

static void full_without_traps(void **state)
{
	static struct bed b;
	struct engine_view v;
	(void)state;

	begin(&b, "ondemand");
	plane(&b, true, false);
	bed_pass(&b, 5 * US);
	assert_false(loaded[1].trap);
	assert_true(count(&b, ENGINE_FX_INITIATE, "b") > 0);
	assert_int_equal(bed_look(&b, "b").state, ENGINE_PEER_UP);
	plane(&b, false, false);
	plane(&b, true, false);
	bed_pass(&b, 5 * US);
	assert_int_equal(told(&b, ENGINE_N_NO_TRAPS), 1);
	engine_look(b.e, &v);
	assert_int_equal(v.n_no_traps, 1);
	assert_int_equal(v.n_on_demand, 0);
	bed_end(&b);
}

static void policy_changes_its_mind(void **state)
{
	static struct bed b;
	(void)state;

	begin(&b, "ondemand");
	plane(&b, true, true);
	bed_pass(&b, 2 * US);
	bed_swap(&b, demand_policy("full", 2));
	bed_pass(&b, 5 * US);
	assert_false(loaded[1].trap);
	assert_int_equal(bed_look(&b, "b").state, ENGINE_PEER_UP);
	bed_swap(&b, demand_policy("ondemand", 3));
	bed_pass(&b, 5 * US);
	assert_true(loaded[1].trap);
	assert_int_equal(bed_look(&b, "b").state, ENGINE_PEER_UP); /* not cut off */
	assert_int_equal(count(&b, ENGINE_FX_TERMINATE, "b"), 0);
	bed_end(&b);
}

static void charon_comes_again(void **state)
{
	static struct bed b;
	int loads;
	(void)state;

	begin(&b, "ondemand");
	plane(&b, true, true);
	bed_pass(&b, 2 * US);
	loads = loaded[1].loads;
	bed_charon(&b, false);
	plane(&b, false, false);
	bed_pass(&b, 2 * US);
	bed_charon(&b, true);
	bed_pass(&b, 3 * US);
	assert_true(loaded[1].loads > loads);
	assert_true(loaded[1].trap);
	assert_int_equal(count(&b, ENGINE_FX_INITIATE, "b"), 0);
	bed_end(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(trap_instead_of_initiation),
	        cmocka_unit_test(comes_and_goes),
	        cmocka_unit_test(next_endpoint_after_a_failure),
	        cmocka_unit_test(looks_often),
	        cmocka_unit_test(full_without_traps),
	        cmocka_unit_test(policy_changes_its_mind),
	        cmocka_unit_test(charon_comes_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

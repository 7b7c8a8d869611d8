/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The plan's order as properties over random policies: what goes out for a peer that is revoked
 * comes in the order of design section 8, admissions wait for the table, windows hold, and an
 * unchanged policy says nothing. The seed is printed; OVERLAYD_TEST_SEED repeats a run.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "engine/engine.h"

#define PEERS 40
#define US 1000000LL

enum stage { NOTHING, CUT, SOCKETS, UNLOADED, ENDED };

struct bed {
	struct engine *e;
	struct engine_time now;
	const struct policy *policy;
	uint64_t ids[65536]; /* effects to be answered, in order */
	enum engine_effect_type types[65536];
	size_t head, tail;
	enum stage stage[PEERS];
	bool loaded[PEERS], admitted[PEERS], cut_done[PEERS];
	size_t loads_in_flight, n_effects;
	bool base_done;
};

static uint64_t rng;

static uint64_t rnd(uint64_t n)
{
	rng = rng * 6364136223846793005ULL + 1442695040888963407ULL;
	return (rng >> 33) % n;
}

static int number(const char *name)
{
	const char *digits = strrchr(name, 'n');

	return digits ? atoi(digits + 1) : 0;
}

static void key_text(int i, int version, char *buf, size_t size)
{
	struct policy_key key = {{0}};

	key.raw[0] = (uint8_t)i;
	key.raw[1] = (uint8_t)(i >> 8);
	key.raw[2] = (uint8_t)version;
	key.raw[31] = 7;
	policy_key_print(&key, buf, size);
}

static const struct policy *policy_of(int peers, uint64_t in, const int *versions)
{
	char *text = NULL, key[96];
	size_t len = 0;
	FILE *f = open_memstream(&text, &len);
	struct policy_report report;
	struct policy *p = NULL;

	fprintf(f, "cluster: t\nserial: 1\noverlay: 10.0.0.0/8\nsites:\n  s: {}\nallow:\n"
	           "  - { from: a, to: b, service: ssh }\n  - { from: b, to: a, service: ssh }\n"
	           "peers:\n");
	for (int i = 0; i < peers; i++) {
		if (i && peers <= PEERS && !(in >> i & 1))
			continue;
		key_text(i, versions ? versions[i] : 0, key, sizeof(key));
		fprintf(f,
		        "  n%d: { key: \"%s\", address: 10.1.%d.%d, site: s, roles: [%s], "
		        "endpoints: [192.0.2.1] }\n",
		        i, key, i / 250, 1 + i % 250, i ? "b" : "a");
	}
	fprintf(f, "  z: { key: \"ssh-ed25519 "
	           "AAAAC3NzaC1lZDI1NTE5AAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAB\", "
	           "address: 10.9.9.9, site: s, roles: [a, b] }\n");
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

static void seen(struct bed *b, const struct engine_effect *fx)
{
	int i;

	switch (fx->type) {
	case ENGINE_FX_FW_BASE:
		for (size_t k = 0; k < fx->fw_base.n_peers; k++)
			if ((i = number(fx->fw_base.peers[k].peer)))
				b->stage[i] = NOTHING;
		break;
	case ENGINE_FX_FW_ADMIT:
		assert_true(b->base_done);
		assert_true(fx->fw_peer.class_in || fx->fw_peer.class_out);
		i = number(fx->fw_peer.peer);
		assert_true(!i || b->stage[i] == NOTHING || b->stage[i] == ENDED);
		b->stage[i] = NOTHING;
		break;
	case ENGINE_FX_FW_REVOKE:
		b->stage[number(fx->fw_peer.peer)] = CUT;
		break;
	case ENGINE_FX_KILL_SOCKETS:
		assert_int_equal(b->stage[number(fx->fw_peer.peer)], CUT);
		b->stage[number(fx->fw_peer.peer)] = SOCKETS;
		break;
	case ENGINE_FX_UNLOAD_CONN:
		assert_int_equal(b->stage[number(fx->conn)], SOCKETS);
		b->stage[number(fx->conn)] = UNLOADED;
		break;
	case ENGINE_FX_TERMINATE:
		assert_non_null(fx->terminate.conn);
		assert_int_equal(b->stage[number(fx->terminate.conn)], UNLOADED);
		b->stage[number(fx->terminate.conn)] = ENDED;
		break;
	case ENGINE_FX_LOAD_CONN:
		assert_true(++b->loads_in_flight <= 16);
		i = number(fx->load.peer);
		assert_true(!i || b->stage[i] == NOTHING || b->stage[i] == ENDED);
		break;
	case ENGINE_FX_LOAD_KEY:
	case ENGINE_FX_FW_UNDERLAY:
	case ENGINE_FX_INITIATE:
	case ENGINE_FX_LIST_SAS:
	case ENGINE_FX_PROBE:
	case ENGINE_FX_LIST_CONNS:
	case ENGINE_FX_PLANE:
	case ENGINE_FX_RESOLVE:
	case ENGINE_FX_BUNDLE_STORE:
	case ENGINE_FX_ADMISSIONS_STORE:
	case ENGINE_FX_SESSION_OPEN:
	case ENGINE_FX_SESSION_SEND:
	case ENGINE_FX_SESSION_CLOSE:
	case ENGINE_FX_NOTE_SEND:
	case ENGINE_FX_JOIN_SERVE:
	case ENGINE_FX_JOIN_ANSWER:
	case ENGINE_FX_JOIN_ASK:
	case ENGINE_FX_JOIN_STOP:
	case ENGINE_FX_ADMIT_SIGN:
	case ENGINE_FX_CLUSTER_KEY:
	case ENGINE_FX_TICKET_FORGET:
	case ENGINE_FX_NOTICE:
		break;
	}
}

static void step(struct bed *b, struct engine_event *ev, bool judge)
{
	struct engine_effects out;

	ev->now = b->now;
	assert_int_equal(engine_step(b->e, ev, &out), 0);
	for (size_t i = 0; i < out.n; i++) {
		if (out.v[i].type != ENGINE_FX_NOTICE) {
			b->n_effects++;
			b->ids[b->tail % 65536] = out.v[i].id;
			b->types[b->tail++ % 65536] = out.v[i].type;
		}
		if (judge)
			seen(b, &out.v[i]);
	}
}

/* Answers everything with success, and lists that are empty. */
static void answer_all(struct bed *b, bool judge)
{
	while (b->head != b->tail) {
		uint64_t id = b->ids[b->head % 65536];
		enum engine_effect_type type = b->types[b->head++ % 65536];
		struct engine_event ev = {.type = ENGINE_EV_RESULT};

		b->now.mono_us += 10;
		ev.result.effect_id = id;
		if (type == ENGINE_FX_LOAD_CONN)
			b->loads_in_flight--;
		if (type == ENGINE_FX_FW_BASE)
			b->base_done = true;
		if (type == ENGINE_FX_LIST_SAS) {
			ev = (struct engine_event){.type = ENGINE_EV_SAS};
			ev.sas.effect_id = id;
		} else if (type == ENGINE_FX_LIST_CONNS) {
			ev = (struct engine_event){.type = ENGINE_EV_CONNS};
			ev.conns.effect_id = id;
		}
		step(b, &ev, judge);
	}
}

static void swap(struct bed *b, const struct policy *p, bool judge)
{
	struct engine_event ev = {.type = ENGINE_EV_POLICY, .policy = p};

	step(b, &ev, judge);
	policy_unref(b->policy);
	b->policy = p;
}

static void begin(struct bed *b, const struct policy *p)
{
	struct engine_event key = {.type = ENGINE_EV_OWN_KEY};
	struct engine_event charon = {.type = ENGINE_EV_CHARON};

	memset(b, 0, sizeof(*b));
	b->now = (struct engine_time){5 * US, 1800000000};
	assert_int_equal(engine_new(&b->e, NULL), 0);
	key.own_key.raw[31] = 7;
	charon.charon.connected = true;
	charon.charon.generation = 1;
	step(b, &key, true);
	swap(b, p, true);
	step(b, &charon, true);
}

static void end(struct bed *b)
{
	engine_free(b->e);
	policy_unref(b->policy);
}

/* Time passes until the engine wants nothing more for a while. */
static void settle(struct bed *b)
{
	for (int i = 0; i < 20; i++) {
		struct engine_event tick = {.type = ENGINE_EV_TICK};

		answer_all(b, true);
		b->now.mono_us += 100000;
		step(b, &tick, true);
	}
	answer_all(b, true);
}

static void order_holds(void **state)
{
	static struct bed b;
	int versions[PEERS] = {0};
	(void)state;

	for (int round = 0; round < 30; round++) {
		begin(&b, policy_of(PEERS, rnd(1ULL << PEERS), versions));
		settle(&b);
		for (int k = 0; k < 6; k++) {
			uint64_t in = rnd(1ULL << 31) << 9 | rnd(512);
			struct engine_view v;

			if (rnd(2))
				versions[1 + rnd(PEERS - 1)]++;
			swap(&b, policy_of(PEERS, in, versions), true);
			settle(&b);
			engine_look(b.e, &v);
			assert_int_equal(v.n_revoking, 0);
			assert_int_equal(v.n_admitted, v.n_desired);
			for (int i = 1; i < PEERS; i++) {
				struct engine_peer_view pv;
				char name[16];

				snprintf(name, sizeof(name), "n%d", i);
				assert_int_equal(
				        engine_peer_find(b.e, name, &pv) == 0, in >> i & 1);
			}
		}
		end(&b);
	}
}

static void unchanged_is_silent(void **state)
{
	static struct bed b;
	size_t before;
	(void)state;

	begin(&b, policy_of(PEERS, UINT64_MAX, NULL));
	settle(&b);
	before = b.n_effects;
	swap(&b, policy_of(PEERS, UINT64_MAX, NULL), true);
	assert_int_equal(b.n_effects, before);
	end(&b);
}

static void not_a_member(void **state)
{
	static struct bed b;
	struct engine_event other = {.type = ENGINE_EV_OWN_KEY};
	struct engine_view v;
	(void)state;

	begin(&b, policy_of(PEERS, UINT64_MAX, NULL));
	settle(&b);
	other.own_key.raw[0] = 0xee;
	step(&b, &other, true);
	settle(&b);
	engine_look(b.e, &v);
	assert_null(v.self);
	assert_int_equal(v.n_admitted + v.n_desired + v.n_revoking, 0);
	end(&b);
}

/* Neither garbage answers nor rows that make no sense do any harm. */
static void garbage_is_ignored(void **state)
{
	static struct bed b;
	struct engine_child_row child = {.id = 1, .n_local_ts = 200, .n_remote_ts = 200};
	struct engine_sa_row row = {.conn = "ovl.",
	        .state = ENGINE_IKE_ESTABLISHED,
	        .local_id = NULL,
	        .established_s = INT64_MAX,
	        .rekey_s = INT64_MIN,
	        .children = &child,
	        .n_children = 1};
	(void)state;

	begin(&b, policy_of(PEERS, UINT64_MAX, NULL));
	settle(&b);
	for (uint32_t i = 0; i < 2000; i++) {
		struct engine_event ev = {.type = ENGINE_EV_SA};

		row.id = (uint32_t)rnd(64);
		row.conn = rnd(2) ? "ovl." : rnd(2) ? "office" : "(unnamed)";
		ev.sa.row = &row;
		ev.sa.change = (enum engine_sa_change)rnd(7);
		ev.sa.old_id = (uint32_t)rnd(64);
		step(&b, &ev, false);
		ev = (struct engine_event){.type = ENGINE_EV_RESULT};
		ev.result.effect_id = rnd(1000000);
		step(&b, &ev, false);
		b.head = b.tail;
	}
	assert_true(engine_memory(b.e) < 512 * 1024);
	end(&b);
}

static double cpu_ms(struct timespec from)
{
	struct timespec to;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &to);
	return (double)(to.tv_sec - from.tv_sec) * 1e3 + (double)(to.tv_nsec - from.tv_nsec) / 1e6;
}

/* Ten thousand peers: bounded time for the plan, bounded memory, and one revocation costs little.
 */
static void ten_thousand(void **state)
{
	static struct bed b;
	const struct policy *p = policy_of(10000, 0, NULL), *less = policy_of(9999, 0, NULL);
	struct engine_event tick = {.type = ENGINE_EV_TICK};
	struct timespec from;
	double first, swapped;
	size_t before;
	(void)state;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &from);
	memset(&b, 0, sizeof(b));
	b.now = (struct engine_time){5 * US, 1800000000};
	assert_int_equal(engine_new(&b.e, NULL), 0);
	step(&b, &(struct engine_event){.type = ENGINE_EV_OWN_KEY, .own_key = {{[31] = 7}}}, false);
	swap(&b, p, false);
	first = cpu_ms(from);
	step(&b,
	        &(struct engine_event){
	                .type = ENGINE_EV_CHARON, .charon = {.connected = true, .generation = 1}},
	        false);
	answer_all(&b, false);
	before = b.n_effects;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &from);
	swap(&b, less, false);
	swapped = cpu_ms(from);
	for (int i = 0; i < 5; i++) {
		answer_all(&b, false);
		b.now.mono_us += 100000;
		step(&b, &tick, false);
	}
	print_message("10,000 peers: plan %.1f ms, swap %.1f ms, %zu bytes a peer, %zu effects to "
	              "revoke one\n",
	        first, swapped, engine_memory(b.e) / 10000, b.n_effects - before);
	assert_true(b.n_effects - before < 12);
	assert_true(engine_memory(b.e) < 10000 * 1200);
	end(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(order_holds),
	        cmocka_unit_test(unchanged_is_silent),
	        cmocka_unit_test(not_a_member),
	        cmocka_unit_test(garbage_is_ignored),
	        cmocka_unit_test(ten_thousand),
	};
	const char *seed = getenv("OVERLAYD_TEST_SEED");

	rng = seed ? strtoull(seed, NULL, 0) : (uint64_t)time(NULL);
	printf("OVERLAYD_TEST_SEED=%llu\n", (unsigned long long)rng);
	return cmocka_run_group_tests(tests, NULL, NULL);
}

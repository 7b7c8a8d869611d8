/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Memory: how much a peer with a tunnel takes, and what becomes of a day in an engine's life when
 * an allocation fails: the first, the second, ... the last, once or for a while. It never crashes,
 * lets nobody in who is not meant to be, and all is well a while after memory is back.
 *
 * The three files that allocate are built in here, with our calloc.
 */
#include <stddef.h>
#include <stdlib.h>

static void *short_calloc(size_t n, size_t size);
#define ARENA_BLOCK 512U /* so that words need memory in each step */
#define calloc short_calloc
#include "engine/engine.c"
#include "engine/map.c"
#include "engine/out.c"
#undef calloc

#undef US
#include "tests/unit/engine_bed.h"

#define NOON_2026 1782907200LL
#define PEERS 8

static size_t only_from;                /* smaller ones are neither counted nor failed */
static long countdown, fail_for, calls; /* fails the countdown-th and those fail_for after it */

static void *short_calloc(size_t n, size_t size)
{
	if (n * size >= only_from)
		calls++;
	if (countdown > 0 && n * size < only_from)
		return calloc(n, size);
	if (countdown > 0 && calls >= countdown && calls < countdown + fail_for)
		return NULL;
	return calloc(n, size);
}

/* ---- a firewall that remembers ---- */

static bool in_table[PEERS];

static bool may_be(struct bed *b, int i)
{
	char name[2] = {(char)('a' + i), 0};

	return policy_peer_by_name(b->policy, name) != NULL;
}

static void admitted(struct bed *b, const struct engine_fw_peer *p, const char *why)
{
	int i = *p->peer - 'a';

	if (i < 1 || i >= PEERS || !may_be(b, i))
		fail_msg("%s: \"%s\" is admitted", why, p->peer);
	if (b->stranger && i == b->stranger)
		fail_msg("%s: %s is admitted beside another key's SA", why, p->peer);
	assert_int_equal(p->addr4.bytes[3], i + 1);
	assert_true(p->class_in && p->class_out);
	in_table[i] = true;
}

/* Called for every effect, before it is answered. */
static void carry_out(struct bed *b, const struct engine_effect *fx)
{
	switch (fx->type) {
	case ENGINE_FX_FW_BASE:
		memset(in_table, 0, sizeof(in_table));
		assert_true(fx->fw_base.n_in == 2 || !fx->fw_base.n_peers);
		assert_true(fx->fw_base.n_out == 2 || !fx->fw_base.n_peers);
		for (size_t i = 0; i < fx->fw_base.n_peers; i++)
			admitted(b, &fx->fw_base.peers[i], "table");
		break;
	case ENGINE_FX_FW_ADMIT:
		admitted(b, &fx->fw_peer, "element");
		break;
	case ENGINE_FX_FW_REVOKE:
		assert_in_range(*fx->fw_peer.peer, 'b', 'a' + PEERS - 1);
		in_table[*fx->fw_peer.peer - 'a'] = false;
		break;
	case ENGINE_FX_LOAD_CONN:
		assert_int_equal(strncmp(fx->load.name, "ovl.", 4), 0);
		assert_string_equal(fx->load.name + 4, fx->load.peer);
		assert_int_equal(strlen(fx->load.remote_id), 34);
		assert_int_equal(strlen(fx->load.local_id), 34);
		break;
	case ENGINE_FX_UNLOAD_CONN:
	case ENGINE_FX_INITIATE:
		assert_int_equal(strncmp(fx->conn, "ovl.", 4), 0);
		break;
	case ENGINE_FX_TERMINATE:
		if (fx->terminate.ike_id == BED_STRANGER ||
		        (fx->terminate.conn && fx->terminate.conn[4] == 'a' + b->stranger))
			b->stranger = 0;
		assert_true(!fx->terminate.conn || !strncmp(fx->terminate.conn, "ovl.", 4));
		break;
	case ENGINE_FX_LIST_SAS:
		assert_true(!fx->list.conn || !strncmp(fx->list.conn, "ovl.", 4));
		break;
	case ENGINE_FX_RESOLVE:
		assert_string_equal(fx->resolve.host, "d.example");
		break;
	case ENGINE_FX_FW_UNDERLAY:
		assert_in_range(*fx->fw_underlay.peer, 'b', 'a' + PEERS - 1);
		break;
	case ENGINE_FX_LOAD_KEY:
	case ENGINE_FX_PROBE:
	case ENGINE_FX_LIST_CONNS:
	case ENGINE_FX_KILL_SOCKETS:
	case ENGINE_FX_PLANE:
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

/* ---- a day ---- */

#define AT(n) ", endpoints: [192.0.2." #n "]"
static const char *const morning[PEERS] = {
        AT(1), AT(2), AT(3), ", endpoints: [d.example]", AT(5), AT(6), AT(7), NULL};
static const char *const evening[PEERS] = {
        AT(1), AT(2), NULL, ", endpoints: [d.example]", AT(15), AT(6), NULL, AT(8)};

static void stranger(struct bed *b)
{
	struct engine_event ev = {.type = ENGINE_EV_SA};
	struct bed_row r;

	bed_row(b, 4, &r);
	r.remote[5] = r.remote[5] == '0' ? '1' : '0'; /* another key */
	r.row.id = r.row.id + 7;
	ev.sa.change = ENGINE_SA_UP;
	ev.sa.row = &r.row;
	bed_step(b, &ev);
	ev.sa.change = ENGINE_SA_DOWN;
	bed_step(b, &ev);
}

static void day(struct bed *b)
{
	struct engine_event ev = {.type = ENGINE_EV_FIREWALL};

	bed_own_key(b);
	bed_swap(b, bed_policy(morning, PEERS, 1));
	b->stranger = 4;
	bed_charon(b, true);
	bed_pass(b, 3 * US);
	stranger(b);
	bed_pass(b, US);
	bed_swap(b, bed_policy(evening, PEERS, 2));
	bed_pass(b, 2 * US);
	bed_charon(b, false);
	ev.firewall.seen = ENGINE_FW_FOREIGN;
	bed_step(b, &ev);
	bed_pass(b, US);
	bed_charon(b, true);
	bed_pass(b, 2 * US);
}

static void all_is_well(struct bed *b, const char *what)
{
	struct engine_view v;

	engine_look(b->e, &v);
	if (!v.settled || v.n_up != 5 || v.n_admitted != 5 || v.n_revoking) {
		for (int i = 1; i < PEERS; i++) {
			struct engine_peer_view p;
			char name[2] = {(char)('a' + i), 0};

			if (!engine_peer_find(b->e, name, &p))
				print_message("%s: %s: %s %s\n", what, name,
				        engine_peer_state_name(p.state), p.reason);
		}
		fail_msg("%s: settled %d, %zu up, %zu admitted, %zu revoking", what, v.settled,
		        v.n_up, v.n_admitted, v.n_revoking);
	}
	assert_int_equal(b->stranger, 0);
	for (int i = 1; i < PEERS; i++) {
		assert_int_equal(in_table[i], may_be(b, i));
		assert_int_equal(b->up[i], may_be(b, i));
	}
}

/* Returns false once the day no longer gets as far as that allocation. */
static bool try_day(long n, long times)
{
	static struct bed b;
	char what[64];
	bool reached;

	snprintf(what, sizeof(what), "allocation %ld, %ld times", n, times);
	memset(&b, 0, sizeof(b));
	memset(in_table, 0, sizeof(in_table));
	b.carry_out = carry_out;
	b.now = (struct engine_time){5 * US, NOON_2026};
	calls = 0;
	countdown = n;
	fail_for = times;
	if (engine_new(&b.e, NULL)) {
		assert_true(n <= 2);
		return true;
	}
	day(&b);
	reached = n && calls >= n;
	countdown = 0;
	assert_true(!reached || b.enomem);
	bed_pass(&b, 75 * US);
	all_is_well(&b, what);
	bed_end(&b);
	return reached;
}

static void one_after_the_other(void **state)
{
	long n = 1;
	(void)state;

	assert_false(try_day(0, 0));
	while (try_day(n, 1))
		n++;
	print_message("%ld allocations in a day, each failed once\n", n - 1);
	assert_true(n > 100);
}

static void for_a_while(void **state)
{
	static const long lengths[] = {2, 5, 30, 200};
	(void)state;

	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++)
		for (long n = 2; try_day(n, lengths[i]); n += 1 + (long)i)
			;
}

/* ---- how much ---- */

#define MANY 1000

static const struct policy *many_policy(void)
{
	char *text = NULL, key[96];
	size_t len = 0;
	FILE *f = open_memstream(&text, &len);
	struct policy_report report;
	struct policy_key raw = {{0}};
	struct policy *p = NULL;

	fprintf(f, "cluster: t\nserial: 1\noverlay: 10.0.0.0/8\nsites:\n  s: {}\n"
	           "allow:\n  - { from: r, to: r, service: ssh }\npeers:\n");
	for (int i = 0; i <= MANY; i++) {
		raw.raw[0] = (uint8_t)i;
		raw.raw[1] = (uint8_t)(i >> 8);
		raw.raw[31] = 7;
		policy_key_print(&raw, key, sizeof(key));
		fprintf(f,
		        "  n%d: { key: \"%s\", address: 10.1.%d.%d, site: s, roles: [r], "
		        "endpoints: [198.18.%d.%d] }\n",
		        i, key, i / 250, 1 + i % 250, i / 250, 1 + i % 250);
	}
	fclose(f);
	policy_report_init(&report);
	assert_int_equal(
	        policy_parse(&(struct policy_file){"policy.yaml", text, len}, 1, &p, &report), 0);
	policy_report_clear(&report);
	free(text);
	return p;
}

static void sa_of(struct bed *b, const struct policy_peer *pp, uint32_t id)
{
	const struct policy_peer *self = policy_peer_by_name(b->policy, "n0");
	struct engine_event ev = {.type = ENGINE_EV_SA};
	char conn[ENGINE_CONN_MAX], local[ENGINE_ID_MAX], remote[ENGINE_ID_MAX];
	struct engine_child_row child = {.id = id + 1,
	        .state = ENGINE_CHILD_INSTALLED,
	        .local_ts = {{self->addr4, 32}, {self->addr6, 128}},
	        .remote_ts = {{pp->addr4, 32}, {pp->addr6, 128}},
	        .n_local_ts = 2,
	        .n_remote_ts = 2};
	struct engine_sa_row row = {.conn = conn,
	        .id = id,
	        .state = ENGINE_IKE_ESTABLISHED,
	        .local_id = local,
	        .remote_id = remote,
	        .initiator = true,
	        .rekey_s = 3600,
	        .children = &child,
	        .n_children = 1};

	snprintf(conn, sizeof(conn), "ovl.%s", pp->name);
	peer_remote_id(&self->key, "n0", local);
	peer_remote_id(&pp->key, pp->name, remote);
	ev.sa.change = ENGINE_SA_UP;
	ev.sa.row = &row;
	bed_step(b, &ev);
}

static void a_peer_with_a_tunnel(void **state)
{
	static struct bed b;
	size_t idle, up;
	struct engine_view v;
	(void)state;

	countdown = 0;
	memset(&b, 0, sizeof(b));
	b.deaf = true;
	bed_begin(&b, many_policy(), NULL, NOON_2026);
	bed_pass(&b, 50 * 1000);
	idle = engine_memory(b.e);
	for (size_t i = 0; i < b.policy->n_peers; i++)
		if (strcmp(b.policy->peers[i].name, "n0") != 0)
			sa_of(&b, &b.policy->peers[i], 10 * (uint32_t)i + 1);
	bed_step(&b, &(struct engine_event){.type = ENGINE_EV_TICK});
	up = engine_memory(b.e);
	engine_look(b.e, &v);
	assert_int_equal(v.n_up, MANY);
	print_message("%zu bytes a peer, %zu with its tunnel up\n", idle / MANY, up / MANY);
	assert_true(up / MANY < 1700);
	bed_end(&b);
}

static void check_table(struct bed *b, const struct engine_effect *fx)
{
	const struct engine_fw_base *t = &fx->fw_base;

	if (fx->type != ENGINE_FX_FW_BASE)
		return;
	assert_int_equal(t->n_underlays, b->policy->n_peers - 1);
	for (size_t i = 0; i < t->n_underlays; i++)
		assert_int_equal(t->underlays[i].n, 1);
	assert_true(t->n_in == 2 && t->n_out == 2);
	b->shut_told = true;
}

/* The table of many peers is the one effect whose words may not find room: all of it, or none. */
static void table_is_whole_or_none(void **state)
{
	static struct bed b;
	long n = 1;
	(void)state;

	only_from = 16384;
	for (bool reached = true; reached; n++) {
		countdown = 0;
		memset(&b, 0, sizeof(b));
		b.deaf = true;
		b.now = (struct engine_time){5 * US, NOON_2026};
		assert_int_equal(engine_new(&b.e, NULL), 0);
		b.carry_out = check_table;
		bed_own_key(&b);
		bed_swap(&b, many_policy());
		bed_charon(&b, true);
		calls = 0;
		countdown = n;
		fail_for = 1;
		bed_pass(&b, 30 * 1000);
		reached = calls >= n;
		countdown = 0;
		bed_pass(&b, 2 * US);
		assert_true(b.shut_told);
		bed_end(&b);
	}
	only_from = 0;
	print_message("%ld large allocations, each failed once\n", n - 2);
	assert_true(n > 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(a_peer_with_a_tunnel),
	        cmocka_unit_test(one_after_the_other),
	        cmocka_unit_test(for_a_while),
	        cmocka_unit_test(table_is_whole_or_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

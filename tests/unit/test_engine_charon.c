/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What charon may have behind our back: SAs of others for our addresses, a peer that hides its SA
 * or makes children without end, a key and connections that another program unloaded, a try that
 * an earlier run left.
 */
#include "tests/unit/engine_bed.h"

#define MS 1000LL
#define NOON_2026 1782907200LL /* 2026-07-01 12:00 UTC */
#define HERE ", endpoints: [192.0.2.9]"
static const char *const three[] = {"", HERE, HERE};
#define ROAD 4711 /* its IKE_SA */

static size_t said(const struct bed *b, enum engine_effect_type type, const char *peer)
{
	size_t n = 0;

	for (size_t i = 0; i < b->n_said; i++)
		n += b->said[i].type == type && !strcmp(b->said[i].peer, peer);
	return n;
}

static size_t noticed(const struct bed *b, enum engine_notice_code code)
{
	size_t n = 0;

	for (size_t i = 0; i < b->n_said; i++)
		n += b->said[i].type == ENGINE_FX_NOTICE && b->said[i].code == code;
	return n;
}

static uint32_t ended[64];
static size_t n_ended;

static void note_ended(struct bed *b, const struct engine_effect *fx)
{
	(void)b;
	if (fx->type == ENGINE_FX_TERMINATE && !fx->terminate.conn && n_ended < 64)
		ended[n_ended++] = fx->terminate.ike_id;
}

static bool was_ended(uint32_t id)
{
	for (size_t i = 0; i < n_ended; i++)
		if (ended[i] == id)
			return true;
	return false;
}

static void begin(struct bed *b, bool shared)
{
	struct engine_event ev = {.type = ENGINE_EV_PLANE};

	bed_begin(b, bed_policy(three, 3, 1), NULL, NOON_2026);
	b->carry_out = note_ended;
	n_ended = 0;
	ev.plane.up = true;
	ev.plane.name = "ipsec0";
	ev.plane.shared = shared;
	bed_step(b, &ev);
	bed_pass(b, 2 * US);
	assert_int_equal(bed_look(b, "b").state, ENGINE_PEER_UP);
	assert_int_equal(bed_look(b, "c").state, ENGINE_PEER_UP);
	b->n_said = 0;
}

/* A foreign SA whose remote selector is first..last; none: first NULL. */
static void road(struct bed *b, const char *first, const char *last, bool more, bool up)
{
	struct engine_event ev = {.type = ENGINE_EV_SA};
	struct engine_range range;
	struct engine_sa_row row = {.conn = "road",
	        .id = ROAD,
	        .state = ENGINE_IKE_ESTABLISHED,
	        .local_id = "",
	        .remote_id = "",
	        .foreign = &range,
	        .foreign_more = more};

	if (first) {
		assert_int_equal(policy_addr_parse(first, &range.first), 0);
		assert_int_equal(policy_addr_parse(last, &range.last), 0);
		row.n_foreign = 1;
	}
	ev.sa.change = up ? ENGINE_SA_CHILD_UP : ENGINE_SA_DOWN;
	ev.sa.row = &row;
	bed_step(b, &ev);
}

static void foreign_is_ended(void **state)
{
	static const struct {
		const char *first, *last;
		bool more, cuts_b, cuts_c;
	} rows[] = {
	        {"10.1.0.2", "10.1.0.2", false, true, false}, /* b's own */
	        {"0.0.0.0", "255.255.255.255", false, true, true},
	        {"9.255.255.255", "10.0.0.0", false, true, true}, /* only its edge */
	        {"10.255.255.255", "11.0.0.0", false, true, true},
	        {"::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", false, true, true},
	        {NULL, NULL, true, true, true}, /* nobody knows what */
	};
	static struct bed b;
	(void)state;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		begin(&b, true);
		road(&b, rows[i].first, rows[i].last, rows[i].more, true);
		assert_true(was_ended(ROAD));
		assert_int_equal(noticed(&b, ENGINE_N_FOREIGN_SA), 1);
		assert_int_equal(said(&b, ENGINE_FX_FW_REVOKE, "b"), rows[i].cuts_b);
		assert_int_equal(said(&b, ENGINE_FX_FW_REVOKE, "c"), rows[i].cuts_c);
		assert_int_equal(said(&b, ENGINE_FX_UNLOAD_CONN, "b"), 0);
		for (size_t k = 0; k < b.n_pending; k++) /* its end is not answered yet */
			if (b.pending[k].type == ENGINE_FX_TERMINATE)
				b.pending[k--] = b.pending[--b.n_pending];
		bed_answer_all(&b);
		assert_int_equal(bed_look(&b, "b").admitted, !rows[i].cuts_b);
		road(&b, NULL, NULL, false, false);
		bed_pass(&b, US);
		assert_true(bed_look(&b, "b").admitted);
		assert_true(bed_look(&b, "c").admitted);
		assert_int_equal(bed_look(&b, "b").state, ENGINE_PEER_UP);
		bed_end(&b);
	}
}

/* The next list has it, and no event told of it. */
static void road_listed(struct bed *b)
{
	struct engine_event ev = {.type = ENGINE_EV_SAS}, ask = {.type = ENGINE_EV_RESYNC};
	struct engine_sa_row row = {.conn = "road",
	        .id = ROAD,
	        .state = ENGINE_IKE_ESTABLISHED,
	        .local_id = "",
	        .remote_id = "",
	        .foreign_more = true};

	bed_step(b, &ask);
	for (size_t k = 0; k < b->n_pending; k++)
		if (b->pending[k].type == ENGINE_FX_LIST_SAS)
			ev.sas.effect_id = b->pending[k].id;
	assert_true(ev.sas.effect_id);
	ev.sas.rows = &row;
	ev.sas.n = 1;
	ev.sas.truncated = true;
	bed_step(b, &ev);
}

static void foreign_is_left_alone(void **state)
{
	static struct bed b;
	(void)state;

	begin(&b, true);
	road(&b, "172.16.0.0", "172.31.255.255", false, true);
	road(&b, "0.0.0.0", "9.255.255.255", false, true);
	road(&b, "11.0.0.0", "255.255.255.255", false, true);
	road(&b, NULL, NULL, false, true);
	bed_pass(&b, US);
	assert_int_equal(n_ended, 0);
	road_listed(&b);
	assert_true(was_ended(ROAD));
	bed_end(&b);
	/* Where each SA has its own device the selectors are nobody's business. */
	begin(&b, false);
	road(&b, "0.0.0.0", "255.255.255.255", true, true);
	road_listed(&b);
	bed_pass(&b, US);
	assert_int_equal(n_ended, 0);
	assert_int_equal(said(&b, ENGINE_FX_FW_REVOKE, "b"), 0);
	bed_end(&b);
}

static void child_up(struct bed *b, int i, uint32_t id)
{
	struct engine_event ev = {.type = ENGINE_EV_SA};
	struct bed_row r;

	bed_row(b, i, &r);
	r.child.id = id;
	ev.sa.change = ENGINE_SA_CHILD_UP;
	ev.sa.row = &r.row;
	bed_step(b, &ev);
}

/* The tunnel with b goes, and one comes whose child has only these selectors. */
static void comes_with(struct bed *b, uint32_t id, unsigned local, unsigned remote)
{
	struct engine_event ev = {.type = ENGINE_EV_SA};
	struct bed_row r;

	bed_row(b, 1, &r);
	r.row.id = id;
	r.child.id = id + 50;
	r.child.n_local_ts = r.child.n_remote_ts = 0;
	for (unsigned k = 0; k < 2; k++) {
		if (local & 1U << k)
			r.child.local_ts[r.child.n_local_ts++] = r.child.local_ts[k];
		if (remote & 1U << k)
			r.child.remote_ts[r.child.n_remote_ts++] = r.child.remote_ts[k];
	}
	ev.sa.change = ENGINE_SA_UP;
	ev.sa.row = &r.row;
	bed_step(b, &ev);
}

/*
 * One end heard of a policy that changes an address before the other: IKE narrows the selectors to
 * the other family. It carries what is right, and is told; a whole one is better.
 */
static void narrow_will_do(void **state)
{
	struct engine_peer_view v;
	static struct bed b;
	(void)state;

	begin(&b, true);
	bed_sa(&b, 1, false);
	comes_with(&b, 901, 3, 2);
	v = bed_look(&b, "b");
	assert_int_equal(v.state, ENGINE_PEER_UP);
	assert_int_equal(v.sa_id, 901);
	assert_true(v.degraded && strstr(v.reason, "only one of IPv4 and IPv6"));
	comes_with(&b, 900, 3, 3);
	v = bed_look(&b, "b");
	assert_int_equal(v.sa_id, 900);
	assert_false(v.degraded);
	bed_pass(&b, 10 * US);
	assert_true(was_ended(901));
	bed_end(&b);
}

/* The policies agree by and by, and nobody says so: it is built anew, ever more seldom. */
static void narrow_for_a_while(void **state)
{
	static struct bed b;
	struct engine_event tick = {.type = ENGINE_EV_TICK};
	(void)state;

	begin(&b, true);
	bed_sa(&b, 1, false);
	for (uint32_t id = 910; id < 913; id++) {
		int64_t least = 60 * US << (id - 910);

		comes_with(&b, id, 3, 2);
		assert_int_equal(bed_look(&b, "b").sa_id, id);
		b.now.mono_us += least - 1;
		bed_step(&b, &tick);
		assert_false(was_ended(id));
		b.now.mono_us += least + 16 * US; /* the other end goes first, or we do */
		bed_step(&b, &tick);
		assert_true(was_ended(id));
	}
	bed_end(&b);
}

/* No packet would fit it; or it is for an address that is not the peer's. */
static void narrow_must_fit(void **state)
{
	static struct bed b;
	(void)state;

	begin(&b, true);
	bed_sa(&b, 1, false);
	comes_with(&b, 902, 1, 2);
	assert_int_not_equal(bed_look(&b, "b").state, ENGINE_PEER_UP);
	bed_pass(&b, US);
	assert_true(was_ended(902));
	bed_end(&b);
	begin(&b, true);
	bed_sa(&b, 1, false);
	comes_with(&b, 903, 0, 3);
	bed_pass(&b, US);
	assert_true(was_ended(903));
	bed_end(&b);
}

static void narrow_is_no_other(void **state)
{
	struct engine_event ev = {.type = ENGINE_EV_SA};
	struct policy_prefix others[2];
	static struct bed b;
	struct bed_row r;
	uint8_t n;
	(void)state;

	begin(&b, true);
	bed_sa(&b, 1, false);
	bed_row(&b, 1, &r);
	r.row.id = 904;
	bed_ts(&b, others, &n, 2);
	r.child.remote_ts[0] = others[0]; /* beside its own IPv6 address */
	ev.sa.change = ENGINE_SA_UP;
	ev.sa.row = &r.row;
	bed_step(&b, &ev);
	assert_int_not_equal(bed_look(&b, "b").state, ENGINE_PEER_UP);
	bed_pass(&b, US);
	assert_true(was_ended(904));
	bed_end(&b);
}

/* Rekeying has two for a moment, or four where both ends began; nobody needs eight. */
static void crowded_is_ended(void **state)
{
	static struct bed b;
	(void)state;

	begin(&b, true);
	for (uint32_t k = 0; k < 3; k++)
		child_up(&b, 1, 1000 + k);
	assert_int_equal(n_ended, 0);
	for (uint32_t k = 3; k < ENGINE_CHILDREN_MAX; k++)
		child_up(&b, 1, 1000 + k);
	assert_true(was_ended(101));
	assert_int_equal(n_ended, 1);
	bed_end(&b);
}

static void hidden_is_ended(void **state)
{
	static struct bed b;
	(void)state;

	begin(&b, false);
	b.up[1] = false; /* in no list from now on, and nothing says that it ended */
	bed_pass(&b, 31 * US);
	assert_true(was_ended(101));
	assert_false(was_ended(102));
	bed_pass(&b, 2 * US);
	assert_int_equal(bed_look(&b, "b").state, ENGINE_PEER_UP);
	assert_int_equal(n_ended, 1);
	bed_end(&b);
}

static void lists(const struct bed *b, int64_t *at, size_t *n)
{
	*n = 0;
	for (size_t i = 0; i < b->n_said && *n < 32; i++)
		if (b->said[i].type == ENGINE_FX_LIST_CONNS)
			at[(*n)++] = b->said[i].at;
}

static void connections_are_looked_at(void **state)
{
	static struct bed b;
	int64_t at[32];
	size_t n;
	(void)state;

	bed_begin(&b, bed_policy(three, 3, 1), NULL, NOON_2026);
	bed_pass(&b, 40 * US);
	lists(&b, at, &n);
	assert_in_range(n, 9, 12);
	for (size_t i = 1; i < 5; i++)
		assert_in_range(at[i] - at[i - 1], 900 * MS, 4500 * MS);
	assert_in_range(at[1] - at[0], 900 * MS, 1200 * MS);
	assert_in_range(at[n - 1] - at[n - 2], 4900 * MS, 5600 * MS);
	bed_end(&b);
}

/* Names that charon lists: all but b's. */
static void listed_without_b(struct bed *b, uint64_t id)
{
	static const char *const names[] = {"ovl.c"};
	struct engine_event ev = {.type = ENGINE_EV_CONNS};

	ev.conns.effect_id = id;
	ev.conns.names = names;
	ev.conns.n = 1;
	bed_step(b, &ev);
}

static void unloaded_is_loaded_again(void **state)
{
	struct engine_event ev = {.type = ENGINE_EV_KEY_LOST};
	static struct bed b;
	(void)state;

	begin(&b, false);
	bed_step(&b, &ev);
	bed_step(&b, &ev); /* told twice, loaded once */
	assert_int_equal(said(&b, ENGINE_FX_LOAD_KEY, ""), 1);
	assert_int_equal(said(&b, ENGINE_FX_LIST_CONNS, ""), 1);
	for (size_t k = 0; k < b.n_pending; k++) {
		if (b.pending[k].type != ENGINE_FX_LIST_CONNS)
			continue;
		uint64_t id = b.pending[k].id;

		b.pending[k] = b.pending[--b.n_pending];
		listed_without_b(&b, id);
		break;
	}
	assert_int_equal(said(&b, ENGINE_FX_LOAD_CONN, "b"), 1);
	assert_int_equal(said(&b, ENGINE_FX_LOAD_CONN, "c"), 0);
	assert_int_equal(n_ended, 0);
	assert_int_equal(bed_look(&b, "b").state, ENGINE_PEER_UP);
	bed_end(&b);
}

/* "config not found": the connections are listed at once, not at the next turn. */
static void not_found_is_looked_at(void **state)
{
	struct engine_event ev = {.type = ENGINE_EV_RESULT};
	static struct bed b;
	(void)state;

	begin(&b, false);
	bed_pass(&b, 20 * US);
	b.deaf = true;
	bed_sa(&b, 1, false);
	for (int k = 0; k < 100 && !said(&b, ENGINE_FX_INITIATE, "b"); k++) {
		struct engine_event tick = {.type = ENGINE_EV_TICK};

		b.now.mono_us += 10 * MS;
		bed_step(&b, &tick);
	}
	b.n_said = 0;
	for (size_t k = 0; k < b.n_pending; k++)
		if (b.pending[k].type == ENGINE_FX_INITIATE)
			ev.result.effect_id = b.pending[k].id;
	assert_true(ev.result.effect_id);
	ev.result.error = -ENOENT;
	ev.result.text = "CHILD_SA config 'ovl' not found";
	bed_step(&b, &ev);
	b.n_pending = 0;
	b.now.mono_us += 300 * MS;
	bed_step(&b, &(struct engine_event){.type = ENGINE_EV_TICK});
	assert_int_equal(said(&b, ENGINE_FX_LIST_CONNS, ""), 1);
	bed_end(&b);
}

/* Given up, its end not yet asked for, and then it comes up: it stays. */
static void given_up_too_early(void **state)
{
	const struct engine_config config = {.end_window = 1};
	struct engine_event ev = {.type = ENGINE_EV_SA};
	static struct bed b;
	struct bed_row r;
	(void)state;

	bed_begin(&b, bed_policy(three, 2, 1), &config, NOON_2026);
	b.carry_out = note_ended;
	bed_pass(&b, 2 * US);
	n_ended = 0;
	bed_row(&b, 1, &r);
	snprintf(r.conn, sizeof(r.conn), "ovl.nobody");
	r.row.id = 900;
	ev.sa.change = ENGINE_SA_UP;
	ev.sa.row = &r.row;
	bed_step(&b, &ev);
	assert_true(was_ended(900)); /* which takes the only slot */
	bed_row(&b, 1, &r);
	r.row.id = 901;
	r.row.state = ENGINE_IKE_CONNECTING;
	r.row.n_children = 0;
	ev.sa.change = ENGINE_SA_UPDATED;
	bed_step(&b, &ev);
	r.row.state = ENGINE_IKE_ESTABLISHED;
	r.row.n_children = 1;
	ev.sa.change = ENGINE_SA_UP;
	bed_step(&b, &ev);
	bed_sa(&b, 1, false);
	assert_int_equal(bed_look(&b, "b").state, ENGINE_PEER_UP);
	assert_int_equal(bed_look(&b, "b").sa_id, 901);
	assert_false(was_ended(901));
	bed_end(&b);
}

/* A try that an earlier run began and that comes up is as good as one of ours. */
static void inherited_try_may_come_up(void **state)
{
	static struct bed b;
	struct engine_event ev = {.type = ENGINE_EV_SAS};
	struct bed_row r;
	(void)state;

	bed_begin(&b, bed_policy(three, 2, 1), NULL, NOON_2026);
	b.carry_out = note_ended;
	n_ended = 0;
	b.deaf = true;
	for (size_t k = 0; k < b.n_pending; k++) {
		if (b.pending[k].type != ENGINE_FX_LIST_SAS)
			continue;
		bed_row(&b, 1, &r);
		r.row.state = ENGINE_IKE_CONNECTING;
		r.row.n_children = 0;
		ev.sas.effect_id = b.pending[k].id;
		ev.sas.rows = &r.row;
		ev.sas.n = 1;
		b.pending[k] = b.pending[--b.n_pending];
	}
	assert_true(ev.sas.effect_id);
	bed_step(&b, &ev);
	for (int k = 0; k < 20; k++) { /* lists apart, all is answered */
		for (size_t j = 0; j < b.n_pending; j++)
			if (b.pending[j].type == ENGINE_FX_LIST_SAS)
				b.pending[j--] = b.pending[--b.n_pending];
		bed_answer_all(&b);
	}
	assert_int_equal(n_ended, 0);
	assert_int_equal(said(&b, ENGINE_FX_INITIATE, "b"), 0);
	bed_sa(&b, 1, true);
	bed_pass(&b, US);
	assert_int_equal(n_ended, 0);
	assert_int_equal(bed_look(&b, "b").state, ENGINE_PEER_UP);
	assert_int_equal(said(&b, ENGINE_FX_INITIATE, "b"), 0);
	bed_end(&b);
}

/* The answers to what is asked at a start: `names` with their rows, no SAs; the rest is answered. */
static void left_by_a_run(
        struct bed *b, const char *const *names, const struct engine_conn_row *rows, size_t n)
{
	struct engine_event ev = {.type = ENGINE_EV_CONNS};

	for (size_t k = 0; k < b->n_pending; k++) {
		if (b->pending[k].type != ENGINE_FX_LIST_CONNS)
			continue;
		ev.conns.effect_id = b->pending[k].id;
		b->pending[k] = b->pending[--b->n_pending];
		break;
	}
	assert_true(ev.conns.effect_id);
	ev.conns.names = names;
	ev.conns.rows = rows;
	ev.conns.n = n;
	bed_step(b, &ev);
}

static void answer_but(struct bed *b, enum engine_effect_type type)
{
	for (int round = 0; round < 200; round++) {
		size_t k = 0;
		char peer[64];
		uint64_t id;

		while (k < b->n_pending && b->pending[k].type == type)
			k++;
		if (k == b->n_pending)
			return;
		enum engine_effect_type asked = b->pending[k].type;

		id = b->pending[k].id;
		snprintf(peer, sizeof(peer), "%s", b->pending[k].peer);
		memmove(&b->pending[k], &b->pending[k + 1],
		        (--b->n_pending - k) * sizeof(b->pending[0]));
		bed_answer(b, id, asked, peer);
	}
}

/*
 * A connection of an earlier run: as wanted, it keeps nobody waiting; for an address that now is
 * another's, it keeps that one out until it is unloaded; of unknown content, all.
 */
static void left_connections(void **state)
{
	static const char *const names[] = {"ovl.b", "ovl.x"};
	struct engine_conn_row rows[2];
	static struct bed b;
	char id[ENGINE_ID_MAX];
	(void)state;

	for (int variant = 0; variant < 5; variant++) {
		bed_begin(&b, bed_policy(three, 3, 1), NULL, NOON_2026);
		b.deaf = true;
		memset(rows, 0, sizeof(rows));
		bed_id(1, id);
		rows[0].remote_id = id;
		rows[0].pinned = variant != 4;
		bed_ts(&b, rows[0].remote_ts, &rows[0].n_remote_ts, 1);
		rows[1].remote_id = "x.00";
		bed_ts(&b, rows[1].remote_ts, &rows[1].n_remote_ts, 2); /* c's */
		if (variant == 1)
			rows[1].odd_ts = true;
		if (variant == 2) /* b's, with another key */
			bed_ts(&b, rows[1].remote_ts, &rows[1].n_remote_ts, 1);
		left_by_a_run(&b, names, rows, variant >= 3 ? 1 : 2);
		answer_but(&b, variant >= 3 ? ENGINE_FX_LOAD_CONN : ENGINE_FX_UNLOAD_CONN);
		assert_int_equal(bed_look(&b, "b").admitted, variant == 0 || variant == 3);
		assert_int_equal(bed_look(&b, "c").admitted, variant >= 2);
		bed_pass(&b, US);
		assert_true(bed_look(&b, "b").admitted);
		assert_true(bed_look(&b, "c").admitted);
		bed_end(&b);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(foreign_is_ended),
	        cmocka_unit_test(foreign_is_left_alone),
	        cmocka_unit_test(narrow_will_do),
	        cmocka_unit_test(narrow_for_a_while),
	        cmocka_unit_test(narrow_must_fit),
	        cmocka_unit_test(narrow_is_no_other),
	        cmocka_unit_test(crowded_is_ended),
	        cmocka_unit_test(hidden_is_ended),
	        cmocka_unit_test(connections_are_looked_at),
	        cmocka_unit_test(unloaded_is_loaded_again),
	        cmocka_unit_test(not_found_is_looked_at),
	        cmocka_unit_test(left_connections),
	        cmocka_unit_test(given_up_too_early),
	        cmocka_unit_test(inherited_try_may_come_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

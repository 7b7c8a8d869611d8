/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One key on two hosts: the first that lives keeps its tunnel, whatever the second does; one that
 * is dead does not hold up its successor; and who is turned away does not try without end.
 */
#include "tests/unit/engine_bed.h"

#define MS 1000LL
#define NOON_2026 1782907200LL /* 2026-07-01 12:00 UTC */
#define SAS_MAX 16
#define DEAD_US (8 * US) /* charon has then asked four times */

/* Peer b's SAs as this charon has them. */
static struct fake {
	uint32_t id, child;
	int64_t since_us, dies_us;
	struct policy_addr host;
	uint16_t port;
	bool ours;
	bool alive; /* its other end answers */
} fake[SAS_MAX];
static size_t n_fake, n_probes, n_ended;
static uint32_t next_id, last_ended;
static uint32_t argument[BED_PENDING]; /* of an effect, by its id */

static struct fake *fake_find(uint32_t id)
{
	for (size_t i = 0; i < n_fake; i++)
		if (fake[i].id == id)
			return &fake[i];
	return NULL;
}

static void row(struct bed *b, const struct fake *f, struct bed_row *r)
{
	bed_row(b, 1, r);
	r->row.id = f->id;
	r->row.children = &r->child;
	r->row.initiator = f->ours;
	r->row.remote_host = f->host;
	r->row.remote_port = f->port;
	r->row.established_s = (b->now.mono_us - f->since_us) / US;
	r->child.id = f->child;
}

static void tell(struct bed *b, const struct fake *f, enum engine_sa_change change, uint32_t old_id)
{
	struct engine_event ev = {.type = ENGINE_EV_SA};
	struct bed_row r;

	row(b, f, &r);
	ev.sa.change = change;
	ev.sa.old_id = old_id;
	ev.sa.row = &r.row;
	bed_step(b, &ev);
}

/* A new one; from 192.0.2.<host>. */
static uint32_t come(struct bed *b, uint8_t host, bool ours)
{
	struct fake *f = &fake[n_fake++];

	assert_true(n_fake < SAS_MAX);
	next_id++;
	*f = (struct fake){.id = next_id,
	        .child = next_id + 500,
	        .since_us = b->now.mono_us,
	        .host = {2, {192, 0, 2, host}},
	        .port = 4500,
	        .ours = ours,
	        .alive = true};
	tell(b, f, ENGINE_SA_UP, 0);
	return f->id;
}

/* Ended by the other end, or, silent, by charon itself. */
static void go(struct bed *b, uint32_t id, bool silent)
{
	struct fake *f = fake_find(id), was;
	struct engine_event ev = {.type = ENGINE_EV_SA};
	struct bed_row r;

	assert_non_null(f);
	was = *f;
	*f = fake[--n_fake];
	row(b, &was, &r);
	r.row.state = silent ? ENGINE_IKE_ESTABLISHED : ENGINE_IKE_LEAVING;
	ev.sa.change = ENGINE_SA_DOWN;
	ev.sa.row = &r.row;
	bed_step(b, &ev);
}

static void listed(struct bed *b, uint64_t id)
{
	static struct bed_row rows[SAS_MAX];
	struct engine_sa_row all[SAS_MAX];
	struct engine_event ev = {.type = ENGINE_EV_SAS};

	for (size_t i = 0; i < n_fake; i++) {
		row(b, &fake[i], &rows[i]);
		all[i] = rows[i].row;
	}
	ev.sas.effect_id = id;
	ev.sas.rows = all;
	ev.sas.n = n_fake;
	bed_step(b, &ev);
}

static void keep(struct bed *b, const struct engine_effect *fx)
{
	(void)b;
	assert_true(fx->id < BED_PENDING);
	if (fx->type == ENGINE_FX_TERMINATE)
		argument[fx->id] = fx->terminate.ike_id;
	if (fx->type == ENGINE_FX_PROBE)
		argument[fx->id] = fx->probe.ike_id;
}

static void probed(struct bed *b, uint32_t id)
{
	struct fake *f = fake_find(id);
	uint32_t old;

	n_probes++;
	assert_non_null(f);
	if (!f->alive) {
		f->dies_us = f->dies_us ? f->dies_us : b->now.mono_us + DEAD_US;
		return;
	}
	old = f->child;
	f->child = ++next_id + 500;
	tell(b, f, ENGINE_SA_CHILD_REKEYED, old);
}

static void answer_all(struct bed *b)
{
	while (b->n_pending) {
		uint64_t id = b->pending[0].id;
		enum engine_effect_type type = b->pending[0].type;
		char peer[64];

		snprintf(peer, sizeof(peer), "%s", b->pending[0].peer);
		memmove(&b->pending[0], &b->pending[1], --b->n_pending * sizeof(b->pending[0]));
		if (type == ENGINE_FX_LIST_SAS) {
			listed(b, id);
			continue;
		}
		bed_answer(b, id, type, peer);
		if (type == ENGINE_FX_PROBE)
			probed(b, argument[id]);
		if (type == ENGINE_FX_TERMINATE && fake_find(argument[id])) {
			n_ended++;
			last_ended = argument[id];
			go(b, argument[id], false);
		}
	}
}

static void pass(struct bed *b, int64_t us)
{
	for (int64_t end = b->now.mono_us + us; b->now.mono_us < end;) {
		struct engine_event tick = {.type = ENGINE_EV_TICK};

		answer_all(b);
		b->now.mono_us += 10 * MS;
		if (!(b->now.mono_us % US))
			b->now.wall_s++;
		for (size_t i = 0; i < n_fake; i++)
			if (fake[i].dies_us && b->now.mono_us >= fake[i].dies_us)
				go(b, fake[i].id, true);
		if (engine_next_wakeup(b->e) <= b->now.mono_us)
			bed_step(b, &tick);
	}
	answer_all(b);
}

static size_t noticed(const struct bed *b, enum engine_notice_code code)
{
	size_t n = 0;

	assert_true(b->n_said < BED_SAID);
	for (size_t i = 0; i < b->n_said; i++)
		n += b->said[i].type == ENGINE_FX_NOTICE && b->said[i].code == code;
	return n;
}

static size_t initiated(const struct bed *b)
{
	size_t n = 0;

	for (size_t i = 0; i < b->n_said; i++)
		n += b->said[i].type == ENGINE_FX_INITIATE;
	return n;
}

/* b has endpoints or not: then it is ours to begin, or its. */
static void begin(struct bed *b, const char *extra)
{
	const char *const two[] = {", endpoints: [192.0.2.1]", extra};

	memset(fake, 0, sizeof(fake));
	n_fake = n_probes = n_ended = 0;
	next_id = 10;
	bed_begin(b, bed_policy(two, 2, 1), NULL, NOON_2026);
	b->carry_out = keep;
	b->deaf = true;
	pass(b, 2 * US);
}

static bool is_up(struct bed *b)
{
	return bed_look(b, "b").state == ENGINE_PEER_UP;
}

/* A first one, long since. */
static uint32_t first(struct bed *b)
{
	uint32_t id;

	begin(b, "");
	id = come(b, 17, false);
	pass(b, 60 * US);
	assert_true(is_up(b));
	assert_int_equal(n_probes + n_ended, 0);
	b->n_said = 0;
	return id;
}

static void living_first_stays(void **state)
{
	static struct bed b;
	uint32_t a = first(&b), second;
	(void)state;

	second = come(&b, 66, false);
	pass(&b, 20 * MS);
	assert_int_equal(n_probes, 1); /* and by it the first is the newest again */
	pass(&b, 9 * US);
	assert_int_equal(n_ended, 0); /* it may yet end one of the two itself */
	assert_int_equal(bed_look(&b, "b").sa_id, a);
	pass(&b, 2 * US);
	assert_int_equal(n_ended, 1);
	assert_int_equal(last_ended, second);
	assert_int_equal(bed_look(&b, "b").sa_id, a);
	assert_true(is_up(&b));
	assert_true(bed_look(&b, "b").degraded);
	assert_non_null(strstr(bed_look(&b, "b").reason, "192.0.2.17 keeps the tunnel"));
	assert_non_null(strstr(bed_look(&b, "b").reason, "192.0.2.66 is turned away"));
	assert_int_equal(noticed(&b, ENGINE_N_TWO_HOSTS), 1);

	/* Known by now: it is asked whether the first lives, and no more. */
	for (unsigned i = 2; i <= 11; i++) {
		pass(&b, 20 * US);
		come(&b, 66, false);
		pass(&b, 50 * MS);
		assert_int_equal(n_probes, i);
		assert_int_equal(n_ended, i);
		assert_int_equal(bed_look(&b, "b").sa_id, a);
	}
	assert_int_equal(noticed(&b, ENGINE_N_TWO_HOSTS), 1);
	assert_int_equal(noticed(&b, ENGINE_N_DOWN), 0);
	pass(&b, 250 * US);
	assert_true(bed_look(&b, "b").degraded);
	pass(&b, 60 * US);
	assert_false(bed_look(&b, "b").degraded);
	assert_int_equal(noticed(&b, ENGINE_N_RECOVERED), 1);
	bed_end(&b);
}

static void dead_first_goes(void **state)
{
	static struct bed b;
	uint32_t a = first(&b), second;
	(void)state;

	fake_find(a)->alive = false;
	second = come(&b, 66, false);
	pass(&b, 7 * US);
	assert_true(is_up(&b));
	assert_int_equal(n_ended, 0);
	pass(&b, 30 * US);
	assert_null(fake_find(a));
	assert_int_equal(n_ended, 0);
	assert_int_equal(bed_look(&b, "b").sa_id, second);
	assert_false(bed_look(&b, "b").degraded);
	assert_int_equal(noticed(&b, ENGINE_N_TWO_HOSTS) + noticed(&b, ENGINE_N_DOWN), 0);
	assert_in_range(n_probes, 1, 5);

	/* Now this one holds it, also against who was here before. */
	a = come(&b, 17, false);
	pass(&b, 15 * US);
	assert_int_equal(last_ended, a);
	assert_int_equal(bed_look(&b, "b").sa_id, second);
	assert_non_null(strstr(bed_look(&b, "b").reason, "192.0.2.66 keeps"));
	/* Until it goes. */
	go(&b, second, false);
	second = come(&b, 17, false);
	pass(&b, 15 * US);
	assert_int_equal(bed_look(&b, "b").sa_id, second);
	assert_false(bed_look(&b, "b").degraded);
	bed_end(&b);
}

/* It ends its older one itself: it is one host. */
static void two_links_of_one_host(void **state)
{
	static struct bed b;
	uint32_t a = first(&b), second;
	(void)state;

	second = come(&b, 66, false);
	pass(&b, US);
	go(&b, a, false);
	pass(&b, 60 * US);
	assert_int_equal(bed_look(&b, "b").sa_id, second);
	assert_int_equal(n_ended + noticed(&b, ENGINE_N_TWO_HOSTS), 0);

	/* And back, by one that we begin: then it is ours to end the older. */
	a = come(&b, 17, true);
	pass(&b, 3 * US);
	assert_int_equal(n_ended, 1);
	assert_int_equal(last_ended, second);
	assert_int_equal(bed_look(&b, "b").sa_id, a);
	assert_int_equal(noticed(&b, ENGINE_N_TWO_HOSTS), 0);
	bed_end(&b);
}

static void restarted_at_the_same_place(void **state)
{
	static struct bed b;
	uint32_t a = first(&b), second;
	(void)state;

	second = come(&b, 17, false);
	pass(&b, 15 * US);
	assert_int_equal(n_probes, 0);
	assert_int_equal(last_ended, a);
	assert_int_equal(bed_look(&b, "b").sa_id, second);
	bed_end(&b);
}

static void behind_one_nat(void **state)
{
	static struct bed b;
	uint32_t a = first(&b);
	struct fake *f;
	(void)state;

	f = &fake[n_fake++];
	*f = *fake_find(a);
	f->id = ++next_id;
	f->child = next_id + 500;
	f->since_us = b.now.mono_us;
	f->port = 1234;
	tell(&b, f, ENGINE_SA_UP, 0);
	pass(&b, 12 * US);
	assert_int_equal(bed_look(&b, "b").sa_id, a);
	assert_non_null(strstr(bed_look(&b, "b").reason, "192.0.2.17 port 1234 is turned away"));
	bed_end(&b);
}

/* An IKE_SA that is rekeyed has a new number, and is the same. */
static void rekeyed_meanwhile(void **state)
{
	static struct bed b;
	uint32_t a = first(&b), old;
	struct fake *f;
	(void)state;

	come(&b, 66, false);
	pass(&b, 3 * US);
	for (int i = 0; i < 2; i++) {
		f = &fake[i];
		old = f->id;
		a = old == a ? next_id + 1 : a;
		f->id = ++next_id;
		f->since_us = b.now.mono_us;
		tell(&b, f, ENGINE_SA_REKEYED, old);
	}
	pass(&b, 9 * US);
	assert_int_equal(n_ended, 1);
	assert_int_equal(bed_look(&b, "b").sa_id, a);
	assert_int_equal(noticed(&b, ENGINE_N_TWO_HOSTS), 1);
	bed_end(&b);
}

/* Whoever has the key can do much; not without end. */
static void crowd(void **state)
{
	static struct bed b;
	uint32_t a = first(&b);
	(void)state;

	for (uint8_t i = 0; i < 100; i++) {
		come(&b, (uint8_t)(66 + i), false);
		pass(&b, 10 * MS);
		assert_in_range(n_fake, 1, 5);
	}
	assert_in_range(n_probes, 1, 4);
	pass(&b, 12 * US);
	assert_int_equal(n_fake, 1);
	assert_int_equal(bed_look(&b, "b").sa_id, a);
	assert_in_range(noticed(&b, ENGINE_N_TWO_HOSTS), 1, 2);
	bed_end(&b);
}

/* Two that crossed: the lower fingerprint's stays, and both ends know it. */
static void crossing_is_no_rival(void **state)
{
	static struct bed b;
	struct policy_key ka, kb;
	uint32_t ours, theirs;
	(void)state;

	bed_key(0, &ka);
	bed_key(1, &kb);
	begin(&b, ", endpoints: [192.0.2.17]");
	ours = come(&b, 17, true);
	theirs = come(&b, 18, false);
	pass(&b, 15 * US);
	assert_int_equal(n_ended, 1);
	assert_int_equal(last_ended, policy_key_compare(&ka, &kb) < 0 ? theirs : ours);
	assert_true(is_up(&b));
	bed_end(&b);
}

static void turned_away_backs_off(void **state)
{
	static struct bed b;
	size_t before;
	(void)state;

	begin(&b, ", endpoints: [192.0.2.17]");
	b.n_said = 0;
	for (int i = 0; i < 12; i++) {
		come(&b, 17, true);
		pass(&b, 100 * MS);
		assert_true(is_up(&b));
		before = initiated(&b);
		go(&b, fake[0].id, false);
		for (int k = 0; initiated(&b) == before; k++) {
			pass(&b, 100 * MS);
			assert_true(k < 400);
		}
	}
	assert_true(b.now.mono_us > 120 * US);
	assert_int_equal(noticed(&b, ENGINE_N_DEGRADED), 1);
	assert_non_null(strstr(bed_look(&b, "b").reason, "key is in use on another host"));
	pass(&b, 40 * US);
	come(&b, 17, true);
	pass(&b, 25 * US);
	assert_true(bed_look(&b, "b").degraded);
	pass(&b, 10 * US);
	assert_false(bed_look(&b, "b").degraded);

	/* Once is nothing: a restart there. */
	b.n_said = 0;
	go(&b, fake[0].id, false);
	pass(&b, 2 * US);
	assert_in_range(initiated(&b), 1, 10);
	assert_false(bed_look(&b, "b").degraded);
	bed_end(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(living_first_stays),
	        cmocka_unit_test(dead_first_goes),
	        cmocka_unit_test(two_links_of_one_host),
	        cmocka_unit_test(restarted_at_the_same_place),
	        cmocka_unit_test(behind_one_nat),
	        cmocka_unit_test(rekeyed_meanwhile),
	        cmocka_unit_test(crowd),
	        cmocka_unit_test(crossing_is_no_rival),
	        cmocka_unit_test(turned_away_backs_off),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

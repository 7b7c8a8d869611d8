/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Keys that change, and a charon that knows connections by their identities: node a (ourselves) and
 * b. Whether b's end answers to an identity is up to the test.
 */
#include "tests/unit/engine_bed.h"

#include <time.h>

#define NOON_2026 1782907200LL /* 2026-07-01 12:00 UTC */
#define SAS 16

enum { OWN_OLD, OWN_NEW, PEER_OLD, PEER_NEW, KEYS };

struct conn {
	bool there;
	char local[ENGINE_ID_MAX], remote[ENGINE_ID_MAX];
};

struct sa_row {
	bool there;
	uint32_t id;
	bool old; /* of the connection of that name */
	char local[ENGINE_ID_MAX], remote[ENGINE_ID_MAX];
};

struct charon {
	struct engine *e;
	struct engine_time now;
	const struct policy *policy;
	struct conn conns[2]; /* ovl.b and ovl.b/old */
	struct sa_row sas[SAS];
	uint32_t next_id;
	bool answers[KEYS]; /* b has or accepts that key, as PEER_* and OWN_* */
	unsigned loads, initiated, ended, revokes, twins;
	unsigned notices[ENGINE_N_TRACE + 1];
	struct engine_fw_peer admitted;
	uint64_t todo[256];
	struct engine_effect fx[256];
	char conn_of[256][ENGINE_CONN_MAX];
	size_t n_todo;
};

static void key_of(int i, struct policy_key *key)
{
	bed_key(i + 1, key);
}

static void id_of(int i, char buf[ENGINE_ID_MAX])
{
	struct policy_key key;
	int n = snprintf(buf, ENGINE_ID_MAX, "%c.", i < PEER_OLD ? 'a' : 'b');

	key_of(i, &key);
	for (int k = 0; k < 16; k++)
		n += snprintf(buf + n, ENGINE_ID_MAX - (size_t)n, "%02x", key.raw[k]);
}

/* key, old key (or -1), until when */
struct entry {
	int key, old;
	int64_t until;
};

static void entry_write(FILE *f, const char *name, int host, const struct entry *e, int first)
{
	struct policy_addr addr6;
	struct policy_key raw;
	char key[96], six[64];
	time_t until = (time_t)e->until;
	struct tm tm;

	key_of(e->key, &raw);
	policy_key_print(&raw, key, sizeof(key));
	fprintf(f, "  %s: { key: \"%s\", address: 10.1.0.%d, roles: [r]", name, key, host);
	key_of(first, &raw);
	policy_ula_address("t", &raw, &addr6);
	policy_addr_print(&addr6, six, sizeof(six));
	fprintf(f, ", address6: \"%s\", endpoints: [192.0.2.%d]", six, host);
	if (e->old >= 0) {
		key_of(e->old, &raw);
		policy_key_print(&raw, key, sizeof(key));
		gmtime_r(&until, &tm);
		fprintf(f, ", old_key: \"%s\", old_until: \"%04d-%02d-%02dT%02d:%02d:%02dZ\"", key,
		        tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min,
		        tm.tm_sec);
	}
	fputs(" }\n", f);
}

static const struct policy *policy_of(int serial, struct entry a, struct entry b)
{
	struct policy_report report;
	struct policy *p = NULL;
	char *text = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&text, &len);

	fprintf(f,
	        "cluster: t\nserial: %d\noverlay: 10.0.0.0/8\n"
	        "allow:\n  - { from: r, to: r, service: ssh }\npeers:\n",
	        serial);
	entry_write(f, "a", 1, &a, OWN_OLD);
	if (b.key >= 0)
		entry_write(f, "b", 2, &b, PEER_OLD);
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

/* ---- charon */

static void step(struct charon *c, struct engine_event *ev)
{
	struct engine_effects out;

	ev->now = c->now;
	assert_int_equal(engine_step(c->e, ev, &out), 0);
	for (size_t i = 0; i < out.n; i++) {
		const struct engine_effect *fx = &out.v[i];

		if (fx->type == ENGINE_FX_NOTICE) {
			c->notices[fx->notice.code]++;
			continue;
		}
		assert_true(c->n_todo < 256);
		c->fx[c->n_todo] = *fx;
		c->conn_of[c->n_todo][0] = 0;
		if (fx->type == ENGINE_FX_INITIATE)
			snprintf(c->conn_of[c->n_todo], ENGINE_CONN_MAX, "%s", fx->conn);
		if (fx->type == ENGINE_FX_LOAD_CONN) { /* its strings live for this step only */
			struct engine_conn *conn = &c->fx[c->n_todo].load;

			c->loads++;
			c->conns[0].there = true;
			snprintf(c->conns[0].local, ENGINE_ID_MAX, "%s", conn->local_id);
			snprintf(c->conns[0].remote, ENGINE_ID_MAX, "%s", conn->remote_id);
			if (conn->old) {
				snprintf(
				        c->conns[1].local, ENGINE_ID_MAX, "%s", conn->old_local_id);
				snprintf(c->conns[1].remote, ENGINE_ID_MAX, "%s",
				        conn->old_remote_id);
			}
			c->conns[1].there = conn->old || (c->conns[1].there && !conn->old_gone);
		}
		c->n_todo++;
	}
}

static bool is_id(const char *id, int i)
{
	char buf[ENGINE_ID_MAX];

	id_of(i, buf);
	return !strcmp(id, buf);
}

/* Would b's end have it so? */
static bool is_answered(const struct charon *c, const char *local, const char *remote)
{
	bool own = false, peer = false;

	for (int i = OWN_OLD; i <= OWN_NEW; i++)
		own |= c->answers[i] && is_id(local, i);
	for (int i = PEER_OLD; i <= PEER_NEW; i++)
		peer |= c->answers[i] && is_id(remote, i);
	return own && peer;
}

static void row_of(struct charon *c, const struct sa_row *sa, struct engine_sa_row *row,
        struct engine_child_row *child)
{
	const struct policy_peer *a = policy_peer_by_name(c->policy, "a");
	const struct policy_peer *b = policy_peer_by_name(c->policy, "b");

	*child = (struct engine_child_row){.id = sa->id + 1000, .state = ENGINE_CHILD_INSTALLED};
	if (a && b) {
		child->local_ts[0] = (struct policy_prefix){a->addr4, 32};
		child->local_ts[1] = (struct policy_prefix){a->addr6, 128};
		child->remote_ts[0] = (struct policy_prefix){b->addr4, 32};
		child->remote_ts[1] = (struct policy_prefix){b->addr6, 128};
		child->n_local_ts = child->n_remote_ts = 2;
	}
	*row = (struct engine_sa_row){.conn = sa->old ? "ovl.b/old" : "ovl.b",
	        .id = sa->id,
	        .state = ENGINE_IKE_ESTABLISHED,
	        .local_id = sa->local,
	        .remote_id = sa->remote,
	        .initiator = true,
	        .established_s = 0,
	        .rekey_s = 3600,
	        .children = child,
	        .n_children = 1};
}

static void sa_event(struct charon *c, const struct sa_row *sa, enum engine_sa_change change)
{
	struct engine_event ev = {.type = ENGINE_EV_SA};
	struct engine_child_row child;
	struct engine_sa_row row;

	row_of(c, sa, &row, &child);
	ev.sa.change = change;
	ev.sa.row = &row;
	step(c, &ev);
}

static void sa_make(struct charon *c, bool old, const char *local, const char *remote)
{
	for (int i = 0; i < SAS; i++) {
		struct sa_row *sa = &c->sas[i];

		if (sa->there)
			continue;
		*sa = (struct sa_row){.there = true, .id = ++c->next_id, .old = old};
		snprintf(sa->local, ENGINE_ID_MAX, "%s", local);
		snprintf(sa->remote, ENGINE_ID_MAX, "%s", remote);
		sa_event(c, sa, ENGINE_SA_UP);
		return;
	}
	fail_msg("too many SAs");
}

static void sa_end(struct charon *c, struct sa_row *sa)
{
	if (!sa->there)
		return;
	sa->there = false;
	c->ended++;
	sa_event(c, sa, ENGINE_SA_DOWN);
}

static void terminate(struct charon *c, const struct engine_effect *fx)
{
	bool by_conn = fx->terminate.ike_id == 0;

	c->twins += by_conn && fx->twin;
	for (int i = 0; i < SAS; i++)
		if (by_conn ? !c->sas[i].old || fx->twin : c->sas[i].id == fx->terminate.ike_id)
			sa_end(c, &c->sas[i]);
}

static void list(struct charon *c, uint64_t id)
{
	struct engine_event ev = {.type = ENGINE_EV_SAS};
	struct engine_child_row children[SAS];
	struct engine_sa_row rows[SAS];

	for (int i = 0; i < SAS; i++)
		if (c->sas[i].there) {
			row_of(c, &c->sas[i], &rows[ev.sas.n], &children[ev.sas.n]);
			ev.sas.n++;
		}
	ev.sas.effect_id = id;
	ev.sas.rows = rows;
	step(c, &ev);
}

static void conns_list(struct charon *c, uint64_t id)
{
	struct engine_event ev = {.type = ENGINE_EV_CONNS};
	const char *names[2];

	if (c->conns[0].there)
		names[ev.conns.n++] = "ovl.b";
	if (c->conns[1].there)
		names[ev.conns.n++] = "ovl.b/old";
	ev.conns.effect_id = id;
	ev.conns.names = names;
	step(c, &ev);
}

static void initiate(struct charon *c, const char *conn, struct engine_event *ev)
{
	bool old = strstr(conn, "/old") != NULL;
	const struct conn *cn = &c->conns[old];

	c->initiated++;
	if (!cn->there) {
		ev->result.error = -ENOENT;
		ev->result.text = "CHILD_SA config not found";
	} else if (is_answered(c, cn->local, cn->remote)) {
		sa_make(c, old, cn->local, cn->remote);
	} else {
		ev->result.error = -ECONNREFUSED;
		ev->result.text = "refused";
	}
}

static void answer_all(struct charon *c)
{
	while (c->n_todo) {
		struct engine_effect fx = c->fx[0];
		struct engine_event ev = {.type = ENGINE_EV_RESULT};
		char conn[ENGINE_CONN_MAX];

		memcpy(conn, c->conn_of[0], sizeof(conn));
		c->n_todo--;
		memmove(&c->fx[0], &c->fx[1], c->n_todo * sizeof(fx));
		memmove(&c->conn_of[0], &c->conn_of[1], c->n_todo * sizeof(c->conn_of[0]));
		ev.result.effect_id = fx.id;
		if (fx.type == ENGINE_FX_LIST_SAS) {
			list(c, fx.id);
			continue;
		}
		if (fx.type == ENGINE_FX_LIST_CONNS) {
			conns_list(c, fx.id);
			continue;
		}
		if (fx.type == ENGINE_FX_INITIATE)
			initiate(c, conn, &ev);
		if (fx.type == ENGINE_FX_TERMINATE)
			terminate(c, &fx);
		if (fx.type == ENGINE_FX_UNLOAD_CONN) {
			c->conns[0].there = false;
			c->conns[1].there &= !fx.twin;
		}
		if (fx.type == ENGINE_FX_FW_ADMIT)
			c->admitted = fx.fw_peer;
		c->revokes += fx.type == ENGINE_FX_FW_REVOKE;
		step(c, &ev);
	}
}

static void pass(struct charon *c, int64_t us)
{
	for (int64_t end = c->now.mono_us + us; c->now.mono_us < end;) {
		struct engine_event tick = {.type = ENGINE_EV_TICK};
		int64_t next = c->now.mono_us + 10000;

		answer_all(c);
		c->now.wall_s += next / US - c->now.mono_us / US;
		c->now.mono_us = next;
		step(c, &tick);
	}
	answer_all(c);
}

/* ---- the tests */

static void swap(struct charon *c, int serial, struct entry a, struct entry b)
{
	struct engine_event ev = {.type = ENGINE_EV_POLICY, .policy = policy_of(serial, a, b)};

	policy_unref(c->policy);
	c->policy = ev.policy;
	step(c, &ev);
	answer_all(c);
}

static void own(struct charon *c, enum engine_event_type type, int key)
{
	struct engine_event ev = {.type = type};

	key_of(key, &ev.own_key);
	step(c, &ev);
}

static const struct entry a0 = {OWN_OLD, -1, 0}, b0 = {PEER_OLD, -1, 0};

static void connect_charon(struct charon *c, uint64_t generation)
{
	struct engine_event ev = {.type = ENGINE_EV_CHARON};

	ev.charon.connected = true;
	ev.charon.generation = generation;
	step(c, &ev);
	pass(c, 3 * US);
}

static bool is_up(struct charon *c)
{
	struct engine_peer_view v;

	return !engine_peer_find(c->e, "b", &v) && v.state == ENGINE_PEER_UP && v.admitted;
}

static void begin(struct charon *c)
{
	memset(c, 0, sizeof(*c));
	c->now = (struct engine_time){5 * US, NOON_2026};
	c->answers[OWN_OLD] = c->answers[PEER_OLD] = true;
	assert_int_equal(engine_new(&c->e, NULL), 0);
	own(c, ENGINE_EV_OWN_KEY, OWN_OLD);
	swap(c, 1, a0, b0);
	connect_charon(c, 1);
	assert_true(is_up(c));
	assert_false(c->conns[1].there);
	c->loads = c->initiated = c->ended = c->revokes = 0;
}

static void finish(struct charon *c)
{
	engine_free(c->e);
	policy_unref(c->policy);
}

static int n_of(struct charon *c, int own_key, int peer_key)
{
	int n = 0;

	for (int i = 0; i < SAS; i++)
		n += c->sas[i].there && is_id(c->sas[i].local, own_key) &&
		     is_id(c->sas[i].remote, peer_key);
	return n;
}

static int n_all(const struct charon *c)
{
	int n = 0;

	for (int i = 0; i < SAS; i++)
		n += c->sas[i].there;
	return n;
}

/* b changes its key: it moves when it can, and is never cut. */
static void peer_moves(void **state)
{
	static struct charon c;
	struct entry b1 = {PEER_NEW, PEER_OLD, NOON_2026 + 600};
	(void)state;

	begin(&c);
	swap(&c, 2, a0, b1);
	pass(&c, 5 * US);
	assert_true(c.conns[1].there);
	assert_true(is_id(c.conns[0].remote, PEER_NEW));
	assert_true(is_id(c.conns[1].remote, PEER_OLD));
	assert_true(is_up(&c)); /* b has not heard of it yet */
	assert_int_equal(n_of(&c, OWN_OLD, PEER_OLD), 1);
	assert_int_equal(c.admitted.expires_wall_s, NOON_2026 + 600); /* the kernel knows too */
	c.answers[PEER_NEW] = true;
	pass(&c, 40 * US);
	assert_int_equal(n_of(&c, OWN_OLD, PEER_NEW), 1);
	assert_int_equal(n_all(&c), 1);
	assert_false(c.conns[1].there); /* seen on the new key: the old one counts no more */
	assert_int_equal(c.admitted.expires_wall_s, ENGINE_NEVER);
	assert_true(is_up(&c));
	assert_int_equal(c.revokes, 0);
	/* So an SA of it is ended at once, and the peer cut until it is gone. */
	{
		char local[ENGINE_ID_MAX], remote[ENGINE_ID_MAX];

		id_of(OWN_OLD, local);
		id_of(PEER_OLD, remote);
		sa_make(&c, true, local, remote);
	}
	pass(&c, 2 * US);
	assert_int_equal(n_of(&c, OWN_OLD, PEER_OLD), 0);
	assert_true(c.revokes > 0);
	assert_true(is_up(&c));
	finish(&c);
}

/* Lost in between, and b has its old key still: it comes back with that. */
static void peer_comes_back_old(void **state)
{
	static struct charon c;
	struct entry b1 = {PEER_NEW, PEER_OLD, NOON_2026 + 600};
	(void)state;

	begin(&c);
	swap(&c, 2, a0, b1);
	pass(&c, US);
	for (int i = 0; i < SAS; i++)
		sa_end(&c, &c.sas[i]);
	pass(&c, 5 * US);
	assert_int_equal(n_of(&c, OWN_OLD, PEER_OLD), 1);
	assert_true(is_up(&c));
	finish(&c);
}

/* Another program unloads one of the two connections: it is back soon. */
static void half_unloaded(void **state)
{
	static struct charon c;
	struct entry b1 = {PEER_NEW, PEER_OLD, NOON_2026 + 600};
	(void)state;

	begin(&c);
	swap(&c, 2, a0, b1);
	pass(&c, US);
	for (int i = 0; i < 2; i++) {
		c.conns[i].there = false;
		pass(&c, 12 * US);
		assert_true(c.conns[0].there && c.conns[1].there);
	}
	assert_true(is_up(&c));
	assert_int_equal(c.revokes, 0);
	finish(&c);
}

/* b never moves: when its old key's time is over it is cut, and only the new key lets it in. */
static void peer_time_over(void **state)
{
	static struct charon c;
	struct entry b1 = {PEER_NEW, PEER_OLD, NOON_2026 + 60};
	(void)state;

	begin(&c);
	swap(&c, 2, a0, b1);
	pass(&c, 40 * US);
	assert_true(is_up(&c));
	assert_int_equal(c.revokes, 0);
	pass(&c, 30 * US);
	assert_false(is_up(&c));
	assert_true(c.revokes > 0);
	assert_true(c.twins > 0);
	assert_int_equal(n_all(&c), 0);
	assert_false(c.conns[1].there);
	c.answers[PEER_NEW] = true;
	pass(&c, 40 * US);
	assert_true(is_up(&c));
	assert_int_equal(n_of(&c, OWN_OLD, PEER_NEW), 1);
	finish(&c);
}

/* Revoked in the middle of it: both keys are out, and all that they built. */
static void peer_revoked(void **state)
{
	static struct charon c;
	struct entry b1 = {PEER_NEW, PEER_OLD, NOON_2026 + 600}, none = {-1, -1, 0};
	(void)state;

	begin(&c);
	swap(&c, 2, a0, b1);
	pass(&c, US);
	for (int i = 0; i < SAS; i++)
		sa_end(&c, &c.sas[i]);
	pass(&c, 5 * US);
	assert_int_equal(n_of(&c, OWN_OLD, PEER_OLD), 1); /* by ovl.b/old */
	swap(&c, 3, a0, none);
	pass(&c, 5 * US);
	assert_int_equal(n_all(&c), 0);
	assert_false(c.conns[0].there || c.conns[1].there);
	assert_true(c.revokes > 0);
	finish(&c);
}

/* Another key, and nothing says that it is the same node: cut first, as ever. */
static void peer_is_another(void **state)
{
	static struct charon c;
	struct entry b1 = {PEER_NEW, -1, 0};
	(void)state;

	begin(&c);
	swap(&c, 2, a0, b1);
	pass(&c, 5 * US);
	assert_true(c.revokes > 0);
	assert_int_equal(n_all(&c), 0);
	finish(&c);
}

/* We change ours: at once when the policy says so, and without a cut. */
static void own_moves(void **state)
{
	static struct charon c;
	struct entry a1 = {OWN_NEW, OWN_OLD, NOON_2026 + 60};
	struct engine_view v;
	struct policy_key key;
	(void)state;

	begin(&c);
	own(&c, ENGINE_EV_NEXT_KEY, OWN_NEW);
	pass(&c, 5 * US);
	assert_int_equal(c.initiated, 0); /* nobody has confirmed it */
	swap(&c, 2, a1, b0);
	pass(&c, 5 * US);
	engine_look(c.e, &v);
	key_of(OWN_NEW, &key);
	assert_memory_equal(&v.own_key, &key, sizeof(key));
	assert_true(v.own_old);
	assert_int_equal(c.notices[ENGINE_N_OWN_KEY], 1);
	assert_true(is_id(c.conns[0].local, OWN_NEW));
	assert_true(is_id(c.conns[1].local, OWN_OLD));
	assert_true(is_up(&c)); /* b has not heard of it yet */
	assert_int_equal(n_of(&c, OWN_OLD, PEER_OLD), 1);
	c.answers[OWN_NEW] = true;
	pass(&c, 40 * US);
	assert_int_equal(n_of(&c, OWN_NEW, PEER_OLD), 1);
	assert_int_equal(n_all(&c), 1);
	assert_true(is_up(&c));
	assert_int_equal(c.revokes, 0);
	pass(&c, 30 * US);
	engine_look(c.e, &v);
	assert_false(v.own_old);
	assert_int_equal(c.notices[ENGINE_N_OWN_KEY], 2);
	assert_true(is_up(&c));
	assert_int_equal(c.revokes, 0);
	finish(&c);
}

/* Both at once. */
static void both_move(void **state)
{
	static struct charon c;
	struct entry a1 = {OWN_NEW, OWN_OLD, NOON_2026 + 600};
	struct entry b1 = {PEER_NEW, PEER_OLD, NOON_2026 + 600};
	(void)state;

	begin(&c);
	own(&c, ENGINE_EV_NEXT_KEY, OWN_NEW);
	swap(&c, 2, a1, b1);
	pass(&c, 5 * US);
	assert_true(is_up(&c));
	assert_int_equal(n_of(&c, OWN_OLD, PEER_OLD), 1);
	c.answers[OWN_NEW] = c.answers[PEER_NEW] = true;
	pass(&c, 40 * US);
	assert_int_equal(n_of(&c, OWN_NEW, PEER_NEW), 1);
	assert_int_equal(n_all(&c), 1);
	assert_int_equal(c.revokes, 0);
	finish(&c);
}

/* overlayd starts again in the middle of it: what is there is known, and moves. */
static void restart(void **state)
{
	static struct charon c;
	struct entry a1 = {OWN_NEW, OWN_OLD, NOON_2026 + 600};
	struct entry b1 = {PEER_NEW, PEER_OLD, NOON_2026 + 600};
	(void)state;

	begin(&c);
	own(&c, ENGINE_EV_NEXT_KEY, OWN_NEW);
	swap(&c, 2, a1, b1);
	pass(&c, 5 * US);
	engine_free(c.e);
	c.n_todo = 0;
	c.ended = 0;
	assert_int_equal(engine_new(&c.e, NULL), 0);
	own(&c, ENGINE_EV_OWN_KEY, OWN_OLD); /* the files are as they were */
	own(&c, ENGINE_EV_NEXT_KEY, OWN_NEW);
	swap(&c, 2, a1, b1);
	connect_charon(&c, 2);
	assert_true(is_up(&c));
	assert_int_equal(n_of(&c, OWN_OLD, PEER_OLD), 1);
	assert_int_equal(c.ended, 0);
	c.answers[OWN_NEW] = c.answers[PEER_NEW] = true;
	pass(&c, 40 * US);
	assert_int_equal(n_of(&c, OWN_NEW, PEER_NEW), 1);
	assert_int_equal(n_all(&c), 1);
	assert_false(c.conns[1].there);
	finish(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(peer_moves),
	        cmocka_unit_test(peer_comes_back_old),
	        cmocka_unit_test(half_unloaded),
	        cmocka_unit_test(peer_time_over),
	        cmocka_unit_test(peer_revoked),
	        cmocka_unit_test(peer_is_another),
	        cmocka_unit_test(own_moves),
	        cmocka_unit_test(both_move),
	        cmocka_unit_test(restart),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

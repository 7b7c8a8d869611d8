/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Signed bundles in a whole engine: from an admin or from disk, and what follows for peers. */
#include "tests/unit/engine_bed.h"
#include "tests/unit/signed_bed.h"

#define NOON_2026 1782907200LL
#define LOG 1024

/* What was asked for, in its order. */
static struct {
	enum engine_effect_type type;
	char peer[64];
	uint64_t id, session, serial;
	uint16_t class_in, class_out;
	bool sessions;
	enum session_msg_type msg;
	struct session_head head;
} wish[LOG];
static size_t n_wishes;

static void keep(struct bed *b, const struct engine_effect *fx);

/* Those that a table admits from the start, as if each was admitted by itself. */
static void keep_peers(struct bed *b, const struct engine_fw_base *base)
{
	for (size_t i = 0; i < base->n_peers; i++)
		keep(b, &(struct engine_effect){
		                .type = ENGINE_FX_FW_ADMIT, .fw_peer = base->peers[i]});
}

static void keep(struct bed *b, const struct engine_effect *fx)
{
	size_t i = n_wishes < LOG ? n_wishes++ : LOG - 1;

	memset(&wish[i], 0, sizeof(wish[i]));
	wish[i].type = fx->type;
	wish[i].id = fx->id;
	snprintf(wish[i].peer, sizeof(wish[i].peer), "%s", bed_peer_of(fx) ? bed_peer_of(fx) : "");
	switch (fx->type) {
	case ENGINE_FX_FW_ADMIT:
		wish[i].class_in = fx->fw_peer.class_in;
		wish[i].class_out = fx->fw_peer.class_out;
		break;
	case ENGINE_FX_FW_BASE:
		wish[i].sessions = fx->fw_base.sessions;
		keep_peers(b, &fx->fw_base);
		break;
	case ENGINE_FX_BUNDLE_STORE:
		wish[i].serial = fx->bundle.serial;
		break;
	case ENGINE_FX_SESSION_OPEN:
		snprintf(wish[i].peer, sizeof(wish[i].peer), "%s", fx->session.peer);
		wish[i].session = fx->session.session;
		break;
	case ENGINE_FX_SESSION_SEND:
		wish[i].msg = fx->session.msg->type;
		wish[i].head = fx->session.msg->head;
		wish[i].session = fx->session.session;
		break;
	case ENGINE_FX_SESSION_CLOSE:
		wish[i].session = fx->session.session;
		break;
	default:
		break;
	}
}

/* The last of this kind; SIZE_MAX: none. */
static size_t find(enum engine_effect_type type, const char *peer)
{
	for (size_t i = n_wishes; i-- > 0;)
		if (wish[i].type == type && (!peer || !strcmp(wish[i].peer, peer)))
			return i;
	return SIZE_MAX;
}

static int said_code(struct bed *b, enum engine_notice_code code)
{
	int n = 0;

	for (size_t i = 0; i < b->n_said; i++)
		if (b->said[i].type == ENGINE_FX_NOTICE && b->said[i].code == code)
			n++;
	return n;
}

static void give_key(struct bed *b)
{
	struct engine_event ev = {.type = ENGINE_EV_CLUSTER_KEY};

	ev.cluster_key = cluster_secret(0)->pub;
	bed_step(b, &ev);
}

static struct engine_bundle_view look(struct bed *b)
{
	struct engine_bundle_view v;

	engine_bundle_look(b->e, &v);
	return v;
}

static uint64_t in_force(struct bed *b)
{
	struct engine_view v;

	engine_look(b->e, &v);
	return v.policy ? v.policy->serial : 0;
}

static void give(struct bed *b, enum engine_bundle_source source, const struct signed_file *f)
{
	struct engine_event ev = {.type = ENGINE_EV_BUNDLE};

	ev.bundle.source = source;
	ev.bundle.file = f->data;
	ev.bundle.len = f->len;
	n_wishes = 0;
	bed_step(b, &ev);
}

/* a is a member, d the only seed, and b and c members. */
static const struct recipe usual = {.serial = 1, .members = 0xf, .seed_bits = 8, .key = bed_key};

/* The local files are of serial 1, and there is a key. */
static void begin(struct bed *b, const struct recipe *r)
{
	bed_begin(b, recipe_policy(r), NULL, NOON_2026);
	b->carry_out = keep;
	n_wishes = 0;
	bed_pass(b, 3 * US);
	give_key(b);
	bed_pass(b, 3 * US);
}

/* ---- signed mode ---- */

static void test_seeds_joined(void **state)
{
	struct bed b;
	size_t i;

	(void)state;
	bed_begin(&b, recipe_policy(&usual), NULL, NOON_2026);
	b.carry_out = keep;
	bed_pass(&b, 3 * US);
	assert_int_equal(bed_look(&b, "b").state, ENGINE_PEER_UP);
	assert_int_equal(bed_look(&b, "d").state, ENGINE_PEER_INACTIVE); /* nothing is allowed */
	n_wishes = 0;
	give_key(&b);
	bed_pass(&b, 3 * US);
	assert_int_equal(bed_look(&b, "d").state, ENGINE_PEER_UP);
	assert_true(bed_look(&b, "d").admitted);
	i = find(ENGINE_FX_FW_BASE, NULL);
	assert_true(i != SIZE_MAX && wish[i].sessions);
	i = find(ENGINE_FX_FW_ADMIT, "d");
	assert_true(i != SIZE_MAX);
	assert_int_equal(wish[i].class_in, 0);
	assert_int_equal(wish[i].class_out, 0);
	assert_int_equal(in_force(&b), 1);
	assert_true(look(&b).key);
	assert_int_equal(look(&b).head.serial, 0);
	bed_end(&b);
}

/* We are the seed: all others are joined with us. */
static void test_as_seed(void **state)
{
	struct recipe r = usual;
	struct bed b;

	(void)state;
	r.seed_bits = 1;
	begin(&b, &r);
	for (int i = 1; i < 4; i++) {
		char name[2] = {(char)('a' + i), 0};

		assert_int_equal(bed_look(&b, name).state, ENGINE_PEER_UP);
		assert_true(bed_look(&b, name).admitted);
	}
	bed_end(&b);
}

/* ---- an admin's ---- */

static void test_given(void **state)
{
	struct recipe r = usual;
	struct signed_file f2, f3;
	const char *file;
	struct bed b;
	size_t len;

	(void)state;
	begin(&b, &usual);
	r.serial = 2;
	f2 = bundle_of(&r, NULL);
	r.serial = 3;
	r.members = 0xb; /* without c */
	f3 = bundle_of(&r, &f2);
	assert_int_equal(engine_bundle_file(b.e, &file, &len), -ENOENT);
	give(&b, ENGINE_BUNDLE_ADMIN, &f2);
	assert_int_equal(look(&b).verdict, BUNDLE_APPLY);
	assert_int_equal(look(&b).verdict_error, 0);
	assert_int_equal(in_force(&b), 2);
	assert_false(look(&b).stored);
	assert_int_equal(wish[find(ENGINE_FX_BUNDLE_STORE, NULL)].serial, 2);
	bed_pass(&b, US);
	assert_true(look(&b).stored);
	assert_true(said_code(&b, ENGINE_N_BUNDLE));
	assert_int_equal(engine_bundle_file(b.e, &file, &len), 0);
	assert_int_equal(len, f2.len);
	assert_memory_equal(file, f2.data, len);
	assert_int_equal(look(&b).n_members, 4);
	assert_int_equal(look(&b).n_applied, 1);
	/* the local files count no more */
	r = usual;
	r.serial = 9;
	r.members = 1;
	bed_step(&b, &(struct engine_event){.type = ENGINE_EV_POLICY, .policy = b.policy});
	assert_int_equal(in_force(&b), 2);
	/* a cut is the first thing of all, and waits for no disk */
	assert_true(bed_look(&b, "c").admitted);
	give(&b, ENGINE_BUNDLE_ADMIN, &f3);
	assert_true(find(ENGINE_FX_FW_REVOKE, "c") < find(ENGINE_FX_BUNDLE_STORE, NULL));
	assert_int_equal(wish[find(ENGINE_FX_BUNDLE_STORE, NULL)].serial, 3);
	free(f2.data);
	free(f3.data);
	bed_end(&b);
}

static void not_taken(struct bed *b, const struct signed_file *f, int error,
        enum bundle_verdict verdict, const char *text)
{
	size_t n = b->n_said;

	give(b, ENGINE_BUNDLE_ADMIN, f);
	assert_int_equal(look(b).verdict_error, error);
	if (!error)
		assert_int_equal(look(b).verdict, verdict);
	if (!strstr(look(b).verdict_text, text))
		fail_msg("%s", look(b).verdict_text);
	assert_int_equal(in_force(b), 5);
	assert_int_equal(look(b).head.serial, 5);
	assert_true(find(ENGINE_FX_BUNDLE_STORE, NULL) == SIZE_MAX);
	for (; n < b->n_said && b->said[n].code != ENGINE_N_REFUSED_BUNDLE; n++)
		;
	assert_true(n < b->n_said);
}

static void test_not_taken(void **state)
{
	static const char future[] = "{\"overlayd-bundle\":9,\"cluster\":\"t\",\"serial\":6}\n";
	struct recipe r = usual;
	struct signed_file f4, f5, bad;
	struct bed b;

	(void)state;
	begin(&b, &usual);
	r.serial = 4;
	f4 = bundle_of(&r, NULL);
	r.serial = 5;
	f5 = bundle_of(&r, NULL);
	give(&b, ENGINE_BUNDLE_ADMIN, &f5);
	bed_pass(&b, US);
	not_taken(&b, &f4, 0, BUNDLE_OLDER, "a policy never goes back");
	r.serial = 6;
	bad = bundle_of(&r, &f4);
	not_taken(&b, &bad, 0, BUNDLE_BAD_PARENT, "would undo serial 5");
	bad.data[bad.len / 4] ^= 1;
	not_taken(&b, &bad, -EKEYREJECTED, 0, "");
	free(bad.data);
	bad = bundle_by(&r, &f5, 1);
	not_taken(&b, &bad, -ENOKEY, 0, "");
	free(bad.data);
	r.cluster = "u";
	bad = bundle_of(&r, NULL);
	not_taken(&b, &bad, 0, BUNDLE_OTHER_CLUSTER, "cluster u");
	free(bad.data);
	bad = signed_text(future, strlen(future));
	not_taken(&b, &bad, -EPROTONOSUPPORT, 0, "format");
	bad.len -= 5;
	not_taken(&b, &bad, -EINVAL, 0, "");
	free(bad.data);
	r = usual;
	r.serial = 5;
	r.members = 3;
	bad = bundle_of(&r, &f4);
	not_taken(&b, &bad, 0, BUNDLE_FORK, "FORK");
	not_taken(&b, &bad, 0, BUNDLE_FORK, "FORK");
	assert_true(look(&b).fork);
	assert_int_equal(said_code(&b, ENGINE_N_FORK), 1); /* once */
	free(bad.data);
	free(f4.data);
	free(f5.data);
	bed_end(&b);
}

static void test_without_key(void **state)
{
	struct signed_file f = bundle_of(&usual, NULL);
	struct bed b;

	(void)state;
	bed_begin(&b, recipe_policy(&usual), NULL, NOON_2026);
	give(&b, ENGINE_BUNDLE_ADMIN, &f);
	assert_int_equal(look(&b).verdict_error, -ENOKEY);
	assert_false(look(&b).key);
	assert_int_equal(look(&b).head.serial, 0);
	free(f.data);
	bed_end(&b);
}

/* ---- kept on disk ---- */

static void test_kept(void **state)
{
	struct recipe r = usual;
	struct signed_file f7, f6;
	struct bed b;

	(void)state;
	r.serial = 6;
	f6 = bundle_of(&r, NULL);
	r.serial = 7;
	f7 = bundle_of(&r, &f6);
	memset(&b, 0, sizeof(b));
	b.now = (struct engine_time){5 * US, NOON_2026};
	assert_int_equal(engine_new(&b.e, NULL), 0);
	b.policy = recipe_policy(&usual);
	b.carry_out = keep;
	bed_own_key(&b);
	give_key(&b);
	f7.data[100] ^= 1;
	give(&b, ENGINE_BUNDLE_KEPT, &f7); /* damaged: nothing is in force */
	assert_int_equal(look(&b).verdict_error, -EKEYREJECTED);
	assert_int_equal(in_force(&b), 0);
	f7.data[100] ^= 1;
	give(&b, ENGINE_BUNDLE_KEPT, &f7);
	assert_int_equal(in_force(&b), 7);
	assert_true(look(&b).stored);
	bed_pass(&b, US);
	assert_true(find(ENGINE_FX_BUNDLE_STORE, NULL) == SIZE_MAX);
	/* a restart is no way back */
	give(&b, ENGINE_BUNDLE_ADMIN, &f6);
	assert_int_equal(look(&b).verdict, BUNDLE_OLDER);
	assert_int_equal(in_force(&b), 7);
	give(&b, ENGINE_BUNDLE_ADMIN, &f7);
	assert_int_equal(look(&b).verdict, BUNDLE_SAME);
	free(f6.data);
	free(f7.data);
	bed_end(&b);
}

/* What the signer's clock said is the least that it can be now. */
static void test_issued(void **state)
{
	struct recipe r = usual;
	struct signed_file f2, f3;
	struct engine_view v;
	struct bed b;

	(void)state;
	r.until = "2026-12-31";
	begin(&b, &r);
	r.serial = 2;
	f2 = bundle_of(&r, NULL);
	r.serial = 3;
	r.issued = NOON_2026 + 365 * 86400;
	f3 = bundle_of(&r, &f2);
	give(&b, ENGINE_BUNDLE_ADMIN, &f2);
	bed_pass(&b, US);
	assert_true(bed_look(&b, "b").admitted);
	assert_int_equal(look(&b).n_members, 4);
	give(&b, ENGINE_BUNDLE_ADMIN, &f3);
	assert_true(find(ENGINE_FX_FW_REVOKE, "b") != SIZE_MAX);
	bed_pass(&b, US);
	engine_look(b.e, &v);
	assert_true(v.wall_s >= r.issued);
	assert_int_equal(bed_look(&b, "b").state, ENGINE_PEER_INACTIVE);
	assert_int_equal(look(&b).n_members, 3); /* nobody waits for it */
	free(f2.data);
	free(f3.data);
	bed_end(&b);
}

/* ---- sessions ---- */

static void session_event(struct bed *b, uint64_t id, bool up)
{
	struct engine_event ev = {.type = ENGINE_EV_SESSION};

	ev.session.id = id;
	ev.session.peer = "d";
	ev.session.up = up;
	ev.session.ours = true;
	ev.session.text = up ? "1.2" : "refused";
	bed_step(b, &ev);
}

static void test_session(void **state)
{
	struct recipe r = usual;
	struct signed_file f2;
	struct bed b;
	uint64_t id;
	size_t i;

	(void)state;
	begin(&b, &usual);
	i = find(ENGINE_FX_SESSION_OPEN, NULL);
	assert_true(i != SIZE_MAX);
	assert_string_equal(wish[i].peer, "d"); /* the only seed */
	id = wish[i].session;
	assert_int_equal(id, wish[i].id);
	n_wishes = 0;
	session_event(&b, id, true);
	i = find(ENGINE_FX_SESSION_SEND, NULL);
	assert_true(i != SIZE_MAX && wish[i].session == id);
	assert_int_equal(wish[i].msg, SESSION_STATE);
	assert_int_equal(look(&b).n_sessions, 1);
	r.serial = 2;
	f2 = bundle_of(&r, NULL);
	give(&b, ENGINE_BUNDLE_ADMIN, &f2);
	i = find(ENGINE_FX_SESSION_SEND, NULL);
	assert_int_equal(wish[i].msg, SESSION_STATE);
	assert_int_equal(wish[i].head.serial, 2);
	/* the tunnel goes, and the session with it */
	n_wishes = 0;
	bed_sa(&b, 3, false);
	i = find(ENGINE_FX_SESSION_CLOSE, NULL);
	assert_true(i != SIZE_MAX && wish[i].session == id);
	bed_pass(&b, 3 * US); /* it is back */
	i = find(ENGINE_FX_SESSION_OPEN, NULL);
	assert_true(i != SIZE_MAX && wish[i].session != id);
	/* revoked: before anything is said to others */
	session_event(&b, wish[i].session, true);
	id = wish[i].session;
	r.serial = 3;
	r.members = 7;
	free(f2.data);
	f2 = bundle_of(&r, NULL);
	give(&b, ENGINE_BUNDLE_ADMIN, &f2);
	assert_true(find(ENGINE_FX_FW_REVOKE, "d") < find(ENGINE_FX_SESSION_CLOSE, NULL));
	assert_int_equal(look(&b).n_sessions, 0);
	assert_true(find(ENGINE_FX_SESSION_SEND, NULL) == SIZE_MAX);
	free(f2.data);
	bed_end(&b);
}

/* Without a key there are none, whoever comes. */
static void test_unsigned(void **state)
{
	struct engine_event ev = {.type = ENGINE_EV_SESSION};
	struct bed b;

	(void)state;
	bed_begin(&b, recipe_policy(&usual), NULL, NOON_2026);
	b.carry_out = keep;
	n_wishes = 0;
	bed_pass(&b, 100 * US);
	assert_true(find(ENGINE_FX_SESSION_OPEN, NULL) == SIZE_MAX);
	assert_true(find(ENGINE_FX_NOTE_SEND, NULL) == SIZE_MAX);
	ev.session.id = 4711;
	ev.session.peer = "b";
	ev.session.up = true;
	bed_step(&b, &ev);
	assert_int_equal(wish[find(ENGINE_FX_SESSION_CLOSE, NULL)].session, 4711);
	bed_end(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(test_seeds_joined),
	        cmocka_unit_test(test_as_seed),
	        cmocka_unit_test(test_given),
	        cmocka_unit_test(test_not_taken),
	        cmocka_unit_test(test_without_key),
	        cmocka_unit_test(test_kept),
	        cmocka_unit_test(test_issued),
	        cmocka_unit_test(test_session),
	        cmocka_unit_test(test_unsigned),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What hostile peers of the policy achieve against a cluster machine: nothing, at a bounded price. */
#include "tests/unit/cluster_bed.h"

#include "engine/cluster_internal.h"

/* It stays as it was, and the peer was named. */
static void refused(struct scene *s, const char *text)
{
	assert_int_equal(serial_of(s->b, 0), 2);
	assert_int_equal(told_count(s->b, 0, ENGINE_N_BUNDLE), 2);
	if (text)
		assert_string_equal(told_last(s->b, 0, ENGINE_N_REFUSED_BUNDLE), text);
	else
		assert_int_equal(told_count(s->b, 0, ENGINE_N_REFUSED_BUNDLE), 0);
}

/* Node a is real and at serial 2, d is the puppet, with a session. */
static void begin_hostile(struct scene *s)
{
	begin(s, 8);
	node_give(s->b, 0, &s->f[2]);
	pass(s->b, US);
	puppet_open(s->b, 3, 0);
	pass(s->b, US);
}

static void test_bad_signature(void **state)
{
	struct scene s;

	(void)state;
	begin_hostile(&s);
	/* one byte of a good one, twice */
	s.f[3].data[s.f[3].len / 3] ^= 1;
	for (int i = 0; i < 2; i++) {
		puppet_bundle(s.b, 3, &s.f[3]);
		pass(s.b, US);
		assert_int_equal(serial_of(s.b, 0), 2);
	}
	assert_non_null(strstr(
	        told_last(s.b, 0, ENGINE_N_REFUSED_BUNDLE), "A bundle from d was refused: "));
	/* unsigned */
	s.f[3].data[s.f[3].len / 3] ^= 1;
	s.f[3].len -= 300;
	puppet_bundle(s.b, 3, &s.f[3]);
	pass(s.b, US);
	refused(&s, told_last(s.b, 0, ENGINE_N_REFUSED_BUNDLE));
	assert_int_equal(told_count(s.b, 0, ENGINE_N_REFUSED_BUNDLE), 1); /* a minute */
	/* three times: it is not listened to for a while, and then it is */
	s.f[3].len += 300;
	puppet_bundle(s.b, 3, &s.f[3]);
	pass(s.b, US);
	assert_int_equal(serial_of(s.b, 0), 2);
	pass(s.b, 10 * US);
	puppet_bundle(s.b, 3, &s.f[3]);
	pass(s.b, US);
	assert_int_equal(serial_of(s.b, 0), 3);
	end(&s);
}

/*
 * Of a key that we do not know: told once, no fault of who has it, and nothing that a head is
 * refused for; but it is not asked again soon. With that key it is taken.
 */
static void test_strange_key(void **state)
{
	struct recipe r = {.serial = 9, .members = ALL4, .seeds = 2};
	struct signed_file other, poison;
	struct scene s;
	unsigned n;

	(void)state;
	begin_hostile(&s);
	poison = other = bundle_by(&r, NULL, 1);
	poison.short_head = s.f[3].short_head;
	for (int i = 0; i < 10; i++) {
		puppet_bundle(s.b, 3, &other);
		pass(s.b, 10 * US);
	}
	assert_int_equal(told_count(s.b, 0, ENGINE_N_REFUSED_BUNDLE), 1);
	assert_non_null(strstr(
	        told_last(s.b, 0, ENGINE_N_REFUSED_BUNDLE), "which this node does not know"));
	n = s.b->n[3].got[SESSION_WANT];
	puppet_state(s.b, 3, &other.short_head);
	pass(s.b, 19 * US);
	assert_int_equal(s.b->n[3].got[SESSION_WANT], n);
	pass(s.b, 3 * US);
	assert_int_equal(s.b->n[3].got[SESSION_WANT], n + 1);
	/* below what it says it has, as the one that names a key is: asked once more, and no more */
	for (int i = 0; i < 5; i++) {
		puppet_bundle(s.b, 3, &poison);
		pass(s.b, US);
	}
	assert_int_equal(s.b->n[3].got[SESSION_WANT], n + 2);
	assert_int_equal(serial_of(s.b, 0), 2);
	puppet_bundle(s.b, 3, &s.f[3]);
	pass(s.b, US);
	assert_int_equal(serial_of(s.b, 0), 3);
	n = s.b->n[3].got[SESSION_WANT];
	/* what an admin then does */
	step_begin(s.b, 0);
	cluster_key(s.b->n[0].c, &cluster_secret(1)->pub);
	step_end(s.b, 0);
	puppet_state(s.b, 3, &other.short_head);
	pass(s.b, US);
	assert_int_equal(s.b->n[3].got[SESSION_WANT], n + 1);
	puppet_bundle(s.b, 3, &other);
	pass(s.b, US);
	assert_int_equal(serial_of(s.b, 0), 9);
	assert_int_equal(told_count(s.b, 0, ENGINE_N_REFUSED_BUNDLE), 1);
	free(other.data);
	end(&s);
}

static void test_roll_back(void **state)
{
	struct recipe r = {.serial = 1, .members = 8, .seeds = 0};
	struct signed_file old;
	struct scene s;

	(void)state;
	begin_hostile(&s);
	old = bundle_of(&r, NULL);
	puppet_bundle(s.b, 3, &s.f[1]); /* late, as it may happen: nothing to tell */
	pass(s.b, US);
	refused(&s, NULL);
	puppet_bundle(s.b, 3, &old);
	pass(s.b, US);
	refused(&s, "A bundle from d was refused: serial 1 is older than serial 2, which is in "
	            "force.");
	/* under a false name */
	old.short_head.serial = 9;
	pass(s.b, 60 * US);
	puppet_bundle(s.b, 3, &old);
	pass(s.b, US);
	assert_non_null(strstr(told_last(s.b, 0, ENGINE_N_REFUSED_BUNDLE), "a policy never goes "
	                                                                   "back"));
	refused(&s, told_last(s.b, 0, ENGINE_N_REFUSED_BUNDLE));
	free(old.data);
	end(&s);
}

static void test_bad_parent(void **state)
{
	struct recipe r = {.serial = 3, .members = ALL4, .seeds = 1};
	struct signed_file f;
	struct scene s;

	(void)state;
	begin_hostile(&s);
	f = bundle_of(&r, &s.f[1]); /* would undo serial 2 */
	puppet_state(s.b, 3, &f.short_head);
	pass(s.b, US);
	assert_int_equal(s.b->n[3].got[SESSION_WANT], 1);
	puppet_bundle(s.b, 3, &f);
	pass(s.b, US);
	refused(&s,
	        "A bundle from d was refused: serial 3 was made to follow serial 1 and would undo "
	        "serial 2, which is in force: make it again from that.");
	/* not fetched again, whoever has it */
	pass(s.b, 100 * US);
	puppet_state(s.b, 3, &f.short_head);
	pass(s.b, 100 * US);
	assert_int_equal(s.b->n[3].got[SESSION_WANT], 1);
	free(f.data);
	end(&s);
}

static void test_other_cluster(void **state)
{
	struct recipe r = {.serial = 3, .members = ALL4, .seeds = 1, .cluster = "u"};
	struct signed_file f;
	struct scene s;

	(void)state;
	begin_hostile(&s);
	f = bundle_of(&r, NULL);
	puppet_bundle(s.b, 3, &f);
	pass(s.b, US);
	refused(&s, "A bundle from d was refused: this bundle is of cluster u, and this node of "
	            "cluster t.");
	free(f.data);
	end(&s);
}

/* Another release's: refused, never half understood, and not the messenger's fault. */
static void test_format(void **state)
{
	static const char text[] = "{\"overlayd-bundle\":9,\"cluster\":\"t\",\"issued\":1,"
	                           "\"serial\":3}\n{\"new\":1}\n";
	struct signed_file f = signed_text(text, strlen(text));
	struct scene s;

	(void)state;
	f.short_head.serial = 3;
	begin_hostile(&s);
	for (int i = 0; i < 5; i++) {
		puppet_state(s.b, 3, &f.short_head);
		pass(s.b, US);
		puppet_bundle(s.b, 3, &f);
		pass(s.b, US);
	}
	refused(&s, told_last(s.b, 0, ENGINE_N_REFUSED_BUNDLE));
	assert_non_null(strstr(told_last(s.b, 0, ENGINE_N_REFUSED_BUNDLE), "format"));
	assert_int_equal(s.b->n[3].got[SESSION_WANT], 1);
	assert_int_equal(told_count(s.b, 0, ENGINE_N_REFUSED_BUNDLE), 1);
	puppet_bundle(s.b, 3, &s.f[3]); /* it is listened to */
	pass(s.b, US);
	assert_int_equal(serial_of(s.b, 0), 3);
	free(f.data);
	end(&s);
}

/* Of the same serial: asked for as a proof, told once, the first is kept. */
static void test_fork(void **state)
{
	struct recipe r = {.serial = 2, .members = ALL4, .seeds = 1, .spare = 1};
	struct signed_file fork;
	struct scene s;

	(void)state;
	begin_hostile(&s);
	fork = bundle_of(&r, &s.f[1]);
	puppet_state(s.b, 3, &fork.short_head);
	pass(s.b, US);
	assert_int_equal(told_count(s.b, 0, ENGINE_N_FORK), 0); /* nothing is proven */
	assert_false(node_look(s.b, 0).fork);
	assert_int_equal(s.b->n[3].got[SESSION_WANT], 1);
	assert_int_equal(s.b->n[3].last[SESSION_WANT].head.serial, 0);
	puppet_bundle(s.b, 3, &fork);
	pass(s.b, US);
	assert_int_equal(told_count(s.b, 0, ENGINE_N_FORK), 1);
	assert_true(node_look(s.b, 0).fork);
	refused(&s, NULL);
	assert_memory_equal(node_look(s.b, 0).head.digest, s.f[2].head.digest, 32);
	for (int i = 0; i < 3; i++) {
		puppet_state(s.b, 3, &fork.short_head);
		puppet_bundle(s.b, 3, &fork);
		pass(s.b, US);
	}
	assert_int_equal(told_count(s.b, 0, ENGINE_N_FORK), 1);
	assert_int_equal(s.b->n[3].got[SESSION_WANT], 1);
	/* how an admin ends it */
	r.serial = 3;
	free(fork.data);
	fork = bundle_of(&r, NULL);
	node_give(s.b, 0, &fork);
	pass(s.b, US);
	assert_int_equal(serial_of(s.b, 1), 3);
	assert_false(node_look(s.b, 0).fork);
	free(fork.data);
	end(&s);
}

/* A claim of a fork without one: asked for a few times, ever more seldom, and nothing is told. */
static void test_false_fork(void **state)
{
	struct session_head lie = {.serial = 2, .digest = {1}};
	struct scene s;

	(void)state;
	begin_hostile(&s);
	puppet_state(s.b, 3, &lie);
	pass(s.b, 300 * US);
	assert_int_equal(told_count(s.b, 0, ENGINE_N_FORK), 0);
	assert_in_range(s.b->n[3].got[SESSION_WANT], 3, 8);
	end(&s);
}

static void delta_says(struct scene *s, const char *data, size_t len)
{
	puppet_says(s->b, 3,
	        &(struct session_msg){.type = SESSION_BUNDLE,
	                .head = s->f[3].short_head,
	                .delta = true,
	                .base = s->f[2].short_head,
	                .data = (const uint8_t *)data,
	                .len = len});
}

/* Differences that are none: the whole is asked for; three times, and the peer is not heard. */
static void test_garbage(void **state)
{
	static const char junk[] = "{\"overlayd-delta\":1,\"base\":\"00\"}\nuntrusted comment: x\n";
	struct scene s;

	(void)state;
	begin_hostile(&s);
	delta_says(&s, junk, strlen(junk));
	puppet_state(s.b, 3, &s.f[3].short_head);
	pass(s.b, US);
	refused(&s, told_last(s.b, 0, ENGINE_N_REFUSED_BUNDLE));
	assert_int_equal(told_count(s.b, 0, ENGINE_N_REFUSED_BUNDLE), 1);
	assert_int_equal(s.b->n[3].got[SESSION_WANT], 1);
	assert_int_equal(s.b->n[3].last[SESSION_WANT].head.serial, 0); /* whole */
	for (int i = 0; i < 2; i++)
		delta_says(&s, junk, 4);
	pass(s.b, US);
	puppet_bundle(s.b, 3, &s.f[3]); /* too late */
	pass(s.b, US);
	assert_int_equal(serial_of(s.b, 0), 2);
	assert_int_equal(s.b->n[3].got[SESSION_WANT], 2);
	pass(s.b, 10 * US); /* and asked again after a while */
	assert_int_equal(s.b->n[3].got[SESSION_WANT], 3);
	puppet_bundle(s.b, 3, &s.f[3]);
	pass(s.b, US);
	assert_int_equal(serial_of(s.b, 0), 3);
	end(&s);
}

static void closed_and_shut_out(struct scene *s, const char *text)
{
	assert_false(puppet_open_now(s->b, 3));
	assert_string_equal(told_last(s->b, 0, ENGINE_N_SESSION_DOWN), text);
	puppet_open(s->b, 3, 0);
	pass(s->b, US);
	assert_false(puppet_open_now(s->b, 3));
	pass(s->b, 10 * US);
	puppet_open(s->b, 3, 0);
	pass(s->b, US);
	assert_true(puppet_open_now(s->b, 3));
}

static void test_flood(void **state)
{
	struct session_msg msg = {.type = SESSION_WHO};
	struct scene s;

	(void)state;
	begin_hostile(&s);
	for (int i = 0; i < 2000; i++) {
		puppet_says(s.b, 3, &msg); /* at 100 a second */
		pass(s.b, 10000);
	}
	assert_true(puppet_open_now(s.b, 3));
	for (int i = 0; i < 600; i++)
		puppet_says(s.b, 3, &msg);
	pass(s.b, US);
	closed_and_shut_out(&s, "d sent too many messages: its sessions are closed for a while.");
	end(&s);
}

static void test_large_unasked(void **state)
{
	struct recipe r = {.serial = 7, .members = ALL4, .seeds = 2, .spare = 700};
	struct signed_file large;
	struct scene s;

	(void)state;
	begin_hostile(&s);
	large = bundle_of(&r, NULL);
	puppet_bundle(s.b, 3, &large);
	pass(s.b, US);
	assert_int_equal(serial_of(s.b, 0), 2);
	closed_and_shut_out(&s, "d sent a large bundle that was not asked for: its sessions are "
	                        "closed for a while.");
	puppet_state(s.b, 3, &large.short_head);
	pass(s.b, US);
	puppet_bundle(s.b, 3, &large);
	pass(s.b, US);
	assert_int_equal(serial_of(s.b, 0), 7);
	free(large.data);
	end(&s);
}

static void test_served_rarely(void **state)
{
	struct session_msg msg = {.type = SESSION_WANT};
	struct scene s;

	(void)state;
	begin_hostile(&s);
	for (int i = 0; i < 100; i++) {
		msg.head = s.f[1 + i % 2].short_head;
		puppet_says(s.b, 3, &msg);
		pass(s.b, 100000);
	}
	assert_in_range(s.b->n[3].got[SESSION_BUNDLE], 2, 12);
	s.b->n[3].got[SESSION_BUNDLE] = 0;
	msg.head.serial = 0;
	for (int i = 0; i < 50; i++) { /* the same: it is under way */
		puppet_says(s.b, 3, &msg);
		pass(s.b, US);
	}
	assert_int_equal(s.b->n[3].got[SESSION_BUNDLE], 1);
	end(&s);
}

static void test_forged_state(void **state)
{
	struct session_msg msg = {.type = SESSION_STATE};
	struct scene s;

	(void)state;
	begin_hostile(&s);
	msg.head = s.f[3].short_head;
	msg.statement = node_says(3, &msg.head);
	msg.statement.signature[5] ^= 1;
	puppet_says(s.b, 3, &msg);
	pass(s.b, US);
	closed_and_shut_out(&s, "d sent a state that its key did not sign: its sessions are closed "
	                        "for a while.");
	pass(s.b, 100 * US);
	msg.statement = node_says(2, &msg.head); /* c's */
	puppet_says(s.b, 3, &msg);
	pass(s.b, US);
	assert_false(puppet_open_now(s.b, 3));
	assert_int_equal(s.b->n[3].got[SESSION_WANT], 0);
	end(&s);
}

/* Notes of what does not exist: calls ever more seldom, nobody is accused. */
static void test_false_notes(void **state)
{
	struct session_head lie = {.serial = 99, .digest = {9}};
	struct scene s;

	(void)state;
	begin(&s, 4);
	for (int i = 0; i < 300; i++) {
		puppet_note(s.b, 2, 3, &lie);
		pass(s.b, US);
		if (puppet_open_now(s.b, 2))
			puppet_state(s.b, 2, &lie);
	}
	assert_in_range(s.b->n[2].opened, 2, 10);
	assert_in_range(s.b->n[2].got[SESSION_WANT], 2, 10);
	for (size_t i = 0; i < s.b->n_told; i++)
		assert_false(s.b->told[i].code == ENGINE_N_WITHHELD &&
		             strstr(s.b->told[i].text, "passed on"));
	assert_int_equal(serial_of(s.b, 3), 1);
	/* and a bundle from the seeds is taken all the while */
	node_give(s.b, 0, &s.f[2]);
	pass(s.b, US);
	assert_int_equal(serial_of(s.b, 3), 2);
	end(&s);
}

/* ---- bounds ---- */

/* However much a peer says, what is kept of it does not grow. */
static void test_memory(void **state)
{
	struct session_head h = {.serial = 50};
	struct scene s;
	size_t before = 0;

	(void)state;
	begin_hostile(&s);
	for (int i = 0; i < 2000; i++) {
		struct session_msg msg = {.type = SESSION_STATE};

		h.digest[0] = (uint8_t)i;
		h.digest[1] = (uint8_t)(i >> 8);
		h.serial++;
		msg.head = h;
		msg.statement = node_says(3, &h);
		if (!puppet_open_now(s.b, 3))
			puppet_open(s.b, 3, 0);
		puppet_says(s.b, 3, &msg);
		puppet_note(s.b, 3, 0, &h);
		delta_says(&s, "x", 1);
		pass(s.b, 100000);
		if (i == 200)
			before = cluster_memory(s.b->n[0].c);
	}
	assert_in_range(cluster_memory(s.b->n[0].c), 1, before + 4096);
	end(&s);
}

/* More liars than are remembered at a time: one honest note gets through all the same. */
static void test_many_liars(void **state)
{
	struct recipe r = {.serial = 1, .members = 0x1fff, .seeds = 1};
	struct session_head lie = {.serial = 99, .digest = {9}};
	struct signed_file f1 = bundle_of(&r, NULL), f2;
	struct scene s;
	int64_t start;

	(void)state;
	memset(&s, 0, sizeof(s));
	s.local = recipe_policy(&r);
	r.serial = 2;
	f2 = bundle_of(&r, &f1);
	s.b = cbed_new();
	for (int i = 0; i < 13; i++)
		s.b->n[i].puppet = i != 1 && i != 2;
	node_start(s.b, 1, s.local, &f1);
	node_start(s.b, 2, s.local, &f2); /* the seed does not tell the one of the other's */
	start = s.b->now;
	while (serial_of(s.b, 1) == 1 && s.b->now < start + 300 * US) {
		for (int i = 3; i < 13; i++)
			puppet_note(s.b, i, 1, &lie);
		pass(s.b, US);
		for (int i = 3; i < 13; i++)
			if (puppet_open_now(s.b, i))
				puppet_state(s.b, i, &lie);
	}
	assert_int_equal(serial_of(s.b, 1), 2);
	free(f1.data);
	free(f2.data);
	end(&s);
}

/* ---- anything at all ---- */

static uint64_t chance_state = 20261121;

static uint32_t chance(uint32_t below)
{
	chance_state = chance_state * 6364136223846793005ULL + 1442695040888963407ULL;
	return (uint32_t)(chance_state >> 33) % below;
}

static struct session_head any_head(struct scene *s)
{
	struct session_head h = s->f[1 + chance(6)].short_head;

	if (!chance(4))
		h.serial = chance(2) ? chance(10) : UINT64_MAX - chance(2);
	if (!chance(8))
		h.digest[chance(32)] ^= 1;
	return h;
}

/* Part of a bundle or a difference, with a few bytes changed. */
static char *any_data(struct scene *s, size_t *len, bool *delta)
{
	const struct signed_file *f = &s->f[1 + chance(6)], *base = &s->f[1 + chance(6)];
	size_t text, base_text, n;
	char *data;

	bundle_split(f->data, f->len, &text, NULL, 0);
	bundle_split(base->data, base->len, &base_text, NULL, 0);
	*delta = chance(2);
	if (*delta) {
		assert_int_equal(bundle_diff(base->data, base_text, f->data, text, &data, &n), 0);
		data = realloc(data, n + f->len - text);
		memcpy(data + n, f->data + text, f->len - text);
		n += f->len - text;
	} else {
		n = f->len;
		data = malloc(n);
		memcpy(data, f->data, n);
	}
	for (uint32_t k = chance(3); k && chance(3); k--)
		data[chance((uint32_t)n)] ^= (char)(1 + chance(255));
	*len = chance(4) ? n : chance((uint32_t)n + 1);
	*delta ^= !chance(10);
	return data;
}

static void any_message(struct scene *s)
{
	struct session_statement st[8];
	struct session_msg msg = {.type = SESSION_STATE + chance(5), .head = any_head(s)};
	char *data = any_data(s, &msg.len, &msg.delta);

	msg.base = any_head(s);
	msg.since = chance(2) ? chance(20) : UINT64_MAX;
	msg.statement = node_says(chance(8) ? 3 : 2, &msg.head);
	if (!chance(8))
		msg.statement.kind = (enum session_statement_kind)chance(5);
	if (!chance(8))
		msg.statement.body_len = (uint16_t)chance(SESSION_BODY_MAX + 1);
	for (int i = 0; i < 8; i++) {
		struct session_head h = any_head(s);

		st[i] = node_says((int)chance(6), &h);
		st[i].signature[0] ^= !chance(4);
	}
	msg.statements = st;
	msg.n_statements = msg.type == SESSION_STATEMENTS ? chance(9) : 0;
	msg.data = (const uint8_t *)data;
	if (msg.type != SESSION_BUNDLE)
		msg.len = 0;
	puppet_says(s->b, 3, &msg);
	free(data);
}

/* Whatever a peer says: what is in force is signed, only rises, and all come to the newest. */
static void test_anything(void **state)
{
	unsigned brought = 0;
	struct scene s;

	(void)state;
	begin(&s, 8);
	puppet_open(s.b, 3, 0);
	for (int i = 0; i < 3000; i++) {
		struct session_head h = any_head(&s);
		uint64_t before, now;

		for (int k = 0; k < 3 && i % 20 == 0; k++) { /* from the start */
			brought += told_count(s.b, k, ENGINE_N_BUNDLE);
			node_stop(s.b, k);
			node_start(s.b, k, s.local, &s.f[1]);
		}
		if (i % 20 == 0) {
			s.b->n_told = 0;
			puppet_open(s.b, 3, (int)chance(2));
		}
		before = serial_of(s.b, 0);

		if (!chance(50))
			puppet_open(s.b, 3, (int)chance(2));
		if (!chance(10))
			puppet_note(s.b, 3, (int)chance(3), &h);
		if (!chance(40))
			net_close(s.b, 3, s.b->pairs[s.b->n[3].session - 1].id_a);
		if (i == 2990)
			node_give(s.b, 2, &s.f[6]);
		any_message(&s);
		pass(s.b, (int64_t)chance(chance(50) ? 20000 : 20 * US));
		now = serial_of(s.b, 0);
		assert_true(now >= before && now <= 6);
		assert_memory_equal(node_look(s.b, 0).head.digest, s.f[now].head.digest, 32);
	}
	pass(s.b, 60 * US);
	for (int i = 0; i < 3; i++)
		assert_int_equal(serial_of(s.b, i), 6);
	assert_true(brought > 50); /* some of it was good */
	end(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(test_bad_signature),
	        cmocka_unit_test(test_strange_key),
	        cmocka_unit_test(test_roll_back),
	        cmocka_unit_test(test_bad_parent),
	        cmocka_unit_test(test_other_cluster),
	        cmocka_unit_test(test_format),
	        cmocka_unit_test(test_fork),
	        cmocka_unit_test(test_false_fork),
	        cmocka_unit_test(test_garbage),
	        cmocka_unit_test(test_flood),
	        cmocka_unit_test(test_large_unasked),
	        cmocka_unit_test(test_served_rarely),
	        cmocka_unit_test(test_forged_state),
	        cmocka_unit_test(test_false_notes),
	        cmocka_unit_test(test_memory),
	        cmocka_unit_test(test_many_liars),
	        cmocka_unit_test(test_anything),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

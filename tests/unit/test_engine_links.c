/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The map: what is said of links, who hears of it, what counts, and what is bounded. */
#include "tests/unit/cluster_bed.h"

#include "engine/links.h"

/* ---- bytes ---- */

static struct policy_addr v4(int a, int b, int c, int d)
{
	return (struct policy_addr){2, {(uint8_t)a, (uint8_t)b, (uint8_t)c, (uint8_t)d}};
}

static struct policy_addr v6(int first, int second, int last)
{
	struct policy_addr a = {10, {(uint8_t)first, (uint8_t)second}};

	a.bytes[15] = (uint8_t)last;
	return a;
}

static struct session_links usual(uint64_t count, int host)
{
	return (struct session_links){count, 4500, 2, {v4(192, 0, 2, host), v6(0x20, 1, host)}};
}

static bool same(const struct session_links *a, const struct session_links *b)
{
	if (a->count != b->count || a->port != b->port || a->n != b->n)
		return false;
	for (size_t i = 0; i < a->n; i++)
		if (memcmp(&a->addrs[i], &b->addrs[i], sizeof(a->addrs[i])) != 0)
			return false;
	return true;
}

static void test_words(void **state)
{
	struct session_links l = usual(7, 1), out;
	uint8_t body[SESSION_BODY_MAX];
	size_t len = session_links_make(&l, body);

	(void)state;
	assert_int_equal(len, 11 + 5 + 17);
	assert_true(session_links_read(body, len, &out) && same(&l, &out));
	for (size_t i = 0; i < len; i++)
		assert_false(session_links_read(body, i, &out));
	body[len] = 0;
	assert_false(session_links_read(body, len + 1, &out));
	l.n = 0;
	assert_true(session_links_read(body, session_links_make(&l, body), &out) && !out.n);
	for (int i = 0; i < 8; i++)
		l.addrs[l.n++] = v6(0xfd, i, i);
	assert_true(session_links_read(body, session_links_make(&l, body), &out) && out.n == 8);
	body[10] = 9;
	assert_false(session_links_read(body, 11 + 9 * 17, &out));
}

static bool read_as(const struct session_links *l)
{
	struct session_links out = {.port = 99};
	uint8_t body[SESSION_BODY_MAX];
	bool ok = session_links_read(body, session_links_make(l, body), &out);

	assert_true(ok || out.port == 99);
	return ok;
}

/* What nobody can be called at, or what could be said in two ways. */
static void test_no_links(void **state)
{
	const struct policy_addr bad[] = {v4(127, 0, 0, 1), v4(0, 0, 0, 0), v4(0, 1, 2, 3),
	        v4(169, 254, 1, 1), v4(224, 0, 0, 1), v4(239, 1, 1, 1), v4(240, 0, 0, 1),
	        v4(255, 255, 255, 255), v6(0, 0, 0), v6(0, 0, 1), v6(0xfe, 0x80, 1), v6(0xff, 2, 1),
	        v6(0xfe, 0xc0, 1), v6(0x40, 0, 1),
	        {10, {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 0, 2, 1}}};
	struct session_links l = usual(7, 1);
	uint8_t body[SESSION_BODY_MAX];

	(void)state;
	assert_true(read_as(&l));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_false(session_link_usable(&bad[i]));
		l.addrs[1] = bad[i];
		assert_false(read_as(&l));
	}
	l.addrs[1] = l.addrs[0];
	assert_false(read_as(&l));
	l = usual(7, 1);
	l.port = 0;
	assert_false(read_as(&l));
	l = usual(0, 1);
	assert_false(read_as(&l));
	l = usual(1ULL << 63, 1);
	assert_false(read_as(&l));
	l = usual(7, 1);
	session_links_make(&l, body);
	body[11] = 5;
	assert_false(session_links_read(body, 11 + 5 + 17, &l));
}

/* ---- on sessions ---- */

static void is_at(struct scene *s, int node, const struct policy_addr *addrs, size_t n)
{
	step_begin(s->b, node);
	cluster_links(s->b->n[node].c, addrs, n, 4500);
	step_end(s->b, node);
}

static void is_at_host(struct scene *s, int node, int host)
{
	struct policy_addr a = v4(192, 0, 2, host);

	is_at(s, node, &a, 1);
}

static void asks(struct scene *s, int node)
{
	step_begin(s->b, node);
	cluster_where(s->b->n[node].c, false);
	step_end(s->b, node);
	pass(s->b, US / 10);
}

/* The last byte of its one address; 0: none is known, -1: more than one. */
static int host_of(struct scene *s, int node, int of)
{
	struct session_links l;

	if (!cluster_links_of(s->b->n[node].c, name_of(of), &l))
		return 0;
	return l.n == 1 ? l.addrs[0].bytes[3] : -1;
}

static uint64_t count_of(struct scene *s, int node, int of)
{
	struct session_links l = {0};

	cluster_links_of(s->b->n[node].c, name_of(of), &l);
	return l.count;
}

static int news(struct scene *s, int node)
{
	int n = 0;

	while (cluster_links_news(s->b->n[node].c))
		n++;
	return n;
}

/* Seeds hear of it, members only when they ask; and then each message is one. */
static void test_seeds_hear(void **state)
{
	struct scene s;

	(void)state;
	begin(&s, 0);
	is_at_host(&s, 2, 12);
	pass(s.b, US);
	assert_int_equal(host_of(&s, 0, 2), 12);
	assert_int_equal(host_of(&s, 1, 2), 12);
	assert_int_equal(host_of(&s, 3, 2), 0);
	assert_int_equal(s.b->sent[SESSION_HERE], 2);
	assert_int_equal(news(&s, 0), 1);
	assert_int_equal(news(&s, 0), 0);
	asks(&s, 3);
	assert_int_equal(host_of(&s, 3, 2), 12);
	assert_int_equal(news(&s, 3), 1);
	assert_int_equal(s.b->sent[SESSION_WHERE], 1);
	assert_int_equal(s.b->sent[SESSION_MAP], 1);
	asks(&s, 3); /* the other seed: nothing new in it */
	asks(&s, 3); /* the first: it sends only what is new, so nothing */
	assert_int_equal(s.b->sent[SESSION_MAP], 3);
	assert_int_equal(news(&s, 3), 0);
	is_at_host(&s, 2, 12);
	node_give(s.b, 0, &s.f[2]);
	pass(s.b, 60 * US);
	all_have(&s, 2);
	assert_int_equal(s.b->sent[SESSION_HERE], 2); /* nothing new, nothing said */
	end(&s);
}

/* What cannot be used is left out, what is there twice comes once, and no more than eight. */
static void test_which(void **state)
{
	struct policy_addr a[24];
	struct session_links l;
	struct scene s;
	size_t n = 0;

	(void)state;
	begin(&s, 0);
	a[n++] = v4(127, 0, 0, 1);
	a[n++] = v6(0xfe, 0x80, 1);
	for (int i = 0; i < 20; i++)
		a[n++] = v4(192, 0, 2, 1 + i / 2);
	is_at(&s, 2, a, n);
	pass(s.b, US);
	assert_true(cluster_links_of(s.b->n[0].c, "c", &l));
	assert_int_equal(l.n, 8);
	for (int i = 0; i < 8; i++)
		assert_int_equal(l.addrs[i].bytes[3], i + 1);
	end(&s);
}

/* A node that moves all the time tells it now and then, and in the end where it is. */
static void test_rate(void **state)
{
	struct scene s;

	(void)state;
	begin(&s, 0);
	for (int i = 0; i < 200; i++) {
		is_at_host(&s, 2, 1 + i);
		pass(s.b, US / 10);
	}
	assert_in_range(s.b->sent[SESSION_HERE], 2, 10);
	pass(s.b, 6 * US);
	assert_int_equal(host_of(&s, 0, 2), 200);
	assert_int_equal(host_of(&s, 1, 2), 200);
	end(&s);
}

/* Once an hour, as it was: that costs nobody a signature, and nobody hears of it. */
static void test_again(void **state)
{
	struct scene s;

	(void)state;
	begin(&s, 0);
	is_at_host(&s, 2, 12);
	pass(s.b, 4 * 3600 * US);
	assert_in_range(s.b->sent[SESSION_HERE], 6, 10);
	news(&s, 0);
	pass(s.b, 2 * 3600 * US);
	assert_int_equal(news(&s, 0), 0);
	end(&s);
}

/* A seed that hears of a member only by another seed. */
static void test_by_two_seeds(void **state)
{
	struct scene s;

	(void)state;
	begin(&s, 0);
	s.b->cut[1][2] = s.b->cut[2][1] = true;
	is_at_host(&s, 2, 12);
	pass(s.b, US);
	assert_int_equal(host_of(&s, 1, 2), 0);
	asks(&s, 1);
	assert_int_equal(host_of(&s, 1, 2), 12);
	end(&s);
}

/* ---- what counts ---- */

static struct session_statement links_say(int node, const struct session_links *l)
{
	struct session_statement st = {.kind = SESSION_LINKS};

	st.node[0] = (char)('a' + node);
	st.body_len = (uint16_t)session_links_make(l, st.body);
	node_sign(node, &st);
	return st;
}

static void says_here(struct scene *s, int from, const struct session_statement *st)
{
	puppet_says(s->b, from, &(struct session_msg){.type = SESSION_HERE, .statement = *st});
	pass(s->b, US / 10);
}

static void passes_on(struct scene *s, int from, const struct session_statement *st, size_t n)
{
	static uint64_t since;

	puppet_says(s->b, from,
	        &(struct session_msg){.type = SESSION_MAP,
	                .since = ++since,
	                .statements = st,
	                .n_statements = n});
	pass(s->b, US / 10);
}

static void sessions_end(struct cbed *b, int node)
{
	for (size_t k = 0; k < b->n_pairs; k++)
		if (b->pairs[k].open && (b->pairs[k].a == node || b->pairs[k].b == node))
			net_close(b, node,
			        b->pairs[k].a == node ? b->pairs[k].id_a : b->pairs[k].id_b);
}

/* Both seeds are puppets, and a is the only one that c reaches, and reaches only c. */
static void begin_with_c(struct scene *s)
{
	begin(s, 3);
	node_stop(s->b, 3);
	s->b->cut[2][1] = s->b->cut[1][2] = true;
	sessions_end(s->b, 1);
	puppet_open(s->b, 0, 2);
	pass(s->b, US);
	puppet_state(s->b, 0, &s->f[1].short_head);
	pass(s->b, US);
	assert_true(puppet_open_now(s->b, 0));
}

static void test_passed_on(void **state)
{
	struct session_links l = {5, 4500, 1, {v4(192, 0, 2, 44)}};
	struct session_statement st = links_say(3, &l), forged, old, next;
	struct scene s;

	(void)state;
	begin_with_c(&s);
	passes_on(&s, 0, &st, 1);
	assert_int_equal(host_of(&s, 2, 3), 0); /* nobody asked */
	asks(&s, 2);
	assert_int_equal(s.b->n[0].got[SESSION_WHERE], 1);
	forged = st;
	forged.body[14] ^= 1;
	passes_on(&s, 0, &forged, 1);
	assert_int_equal(host_of(&s, 2, 3), 0);
	asks(&s, 2);
	passes_on(&s, 0, &st, 1);
	assert_int_equal(host_of(&s, 2, 3), 44);
	l.addrs[0].bytes[3] = 40; /* an old word of it, and another of the same count */
	for (l.count = 4; l.count <= 5; l.count++) {
		old = links_say(3, &l);
		asks(&s, 2);
		passes_on(&s, 0, &old, 1);
		assert_int_equal(host_of(&s, 2, 3), 44);
	}
	next = links_say(3, &l);
	asks(&s, 2);
	passes_on(&s, 0, &next, 1);
	assert_int_equal(host_of(&s, 2, 3), 40);
	/* another's name under its key; a statement of another kind */
	old = links_say(3, &l);
	old.node[0] = 'b';
	asks(&s, 2);
	passes_on(&s, 0, &old, 1);
	assert_int_equal(host_of(&s, 2, 1), 0);
	old = links_say(1, &l);
	old.kind = SESSION_APPLIED;
	asks(&s, 2);
	passes_on(&s, 0, &old, 1);
	assert_int_equal(host_of(&s, 2, 1), 0);
	assert_true(puppet_open_now(s.b, 0)); /* a seed may not know better */
	end(&s);
}

/* Its own session goes before whatever others have, and it then counts on from there. */
static void test_direct_wins(void **state)
{
	struct session_links l = {1ULL << 40, 4500, 1, {v4(192, 0, 2, 66)}};
	struct session_statement old = links_say(2, &l);
	struct session_msg lie = {.type = SESSION_MAP, .since = 1};
	struct scene s;

	(void)state;
	begin(&s, 0);
	node_stop(s.b, 2);
	pass(s.b, US);
	/* In an earlier life c counted much higher, and seed a was told. */
	s.b->n[2].puppet = true;
	puppet_open(s.b, 2, 0);
	pass(s.b, US);
	puppet_state(s.b, 2, &s.f[1].short_head);
	says_here(&s, 2, &old);
	assert_int_equal(host_of(&s, 0, 2), 66);
	asks(&s, 3);
	asks(&s, 3);
	assert_int_equal(host_of(&s, 3, 2), 66);
	s.b->n[2].puppet = false;
	node_start(s.b, 2, s.local, &s.f[1]);
	is_at_host(&s, 2, 12);
	pass(s.b, 40 * US);
	assert_int_equal(host_of(&s, 0, 2), 12);
	assert_true(count_of(&s, 0, 2) > l.count);
	asks(&s, 3);
	asks(&s, 3);
	assert_int_equal(host_of(&s, 3, 2), 12);
	/* and what others pass on counts nothing here while c is here */
	l.count += 1000;
	old = links_say(2, &l);
	lie.statements = &old;
	lie.n_statements = 1;
	asks(&s, 0);
	s.b->n[1].puppet = true;
	for (size_t i = 0; i < s.b->n_pairs; i++)
		if (s.b->pairs[i].open && s.b->pairs[i].a == 0 && s.b->pairs[i].b == 1)
			s.b->n[1].session = i + 1;
	assert_true(s.b->n[1].session);
	step_begin(s.b, 0);
	cluster_where(s.b->n[0].c, false);
	step_end(s.b, 0);
	puppet_says(s.b, 1, &lie);
	pass(s.b, US / 10);
	assert_int_equal(host_of(&s, 0, 2), 12);
	end(&s);
}

/* Of a word that it never said nobody makes it count. */
static void test_no_echo(void **state)
{
	struct session_links l = {1ULL << 50, 4500, 1, {v4(192, 0, 2, 66)}};
	struct session_statement st = links_say(3, &l);
	struct session_msg echo = {.type = SESSION_MAP, .statements = &st, .n_statements = 1};
	struct scene s;

	(void)state;
	begin_with_c(&s);
	is_at_host(&s, 2, 12);
	pass(s.b, 6 * US);
	st.node[0] = 'c'; /* d's signature */
	s.b->n[0].got[SESSION_HERE] = 0;
	puppet_says(s.b, 0, &echo);
	pass(s.b, 20 * US);
	assert_int_equal(s.b->n[0].got[SESSION_HERE], 0);
	st = links_say(2, &l);
	for (int i = 0; i < 50; i++) {
		puppet_says(s.b, 0, &echo);
		pass(s.b, US / 10);
	}
	pass(s.b, 6 * US);
	assert_in_range(s.b->n[0].got[SESSION_HERE], 1, 2);
	assert_true(session_links_read(s.b->n[0].last[SESSION_HERE].statement.body,
	        s.b->n[0].last[SESSION_HERE].statement.body_len, &l));
	assert_true(l.count == (1ULL << 50) + 1 && l.addrs[0].bytes[3] == 12);
	end(&s);
}

/* c is a puppet, and speaks to seed a. */
static void begin_hostile(struct scene *s)
{
	begin(s, 1 << 2);
	puppet_open(s->b, 2, 0);
	pass(s->b, US);
	puppet_state(s->b, 2, &s->f[1].short_head);
	pass(s->b, US);
	assert_true(puppet_open_now(s->b, 2));
}

static void test_not_its_own(void **state)
{
	struct session_links l = usual(5, 66);
	struct session_statement st;
	struct scene s;

	(void)state;
	for (int i = 0; i < 4; i++) {
		begin_hostile(&s);
		st = links_say(i == 0 ? 3 : 2, &l);
		if (i == 1) {
			st.body_len--;
			node_sign(2, &st);
		} else if (i == 2) {
			st.kind = SESSION_APPLIED;
			node_sign(2, &st);
		} else if (i == 3) {
			st.body[12] = 127;
			node_sign(2, &st);
		}
		says_here(&s, 2, &st);
		assert_false(puppet_open_now(s.b, 2));
		assert_int_equal(host_of(&s, 0, 2), 0);
		assert_int_equal(host_of(&s, 0, 3), 0);
		end(&s);
	}
	begin_hostile(&s); /* not signed: its key may be another soon, so it stays */
	st = links_say(2, &l);
	st.signature[9] ^= 1;
	says_here(&s, 2, &st);
	assert_true(puppet_open_now(s.b, 2));
	assert_int_equal(host_of(&s, 0, 2), 0);
	end(&s);
}

static void test_flood(void **state)
{
	struct session_links l = {1, 4500, 1, {v4(192, 0, 2, 1)}};
	struct scene s;
	int n = 0;

	(void)state;
	begin_hostile(&s);
	news(&s, 0);
	for (int i = 0; i < 100; i++) {
		struct session_statement st;

		l.count++;
		l.addrs[0].bytes[3] = (uint8_t)l.count;
		st = links_say(2, &l);
		says_here(&s, 2, &st);
		n += news(&s, 0);
	}
	assert_true(puppet_open_now(s.b, 2));
	assert_in_range(n, 2, 12);
	end(&s);
}

/* What a seed passes on of somebody that we do not know yet is asked for again when we do. */
static void test_before_the_bundle(void **state)
{
	struct recipe r = {.members = ALL4 | 1 << 4, .seeds = 2, .spare = 20, .serial = 2};
	struct session_links l = {5, 4500, 1, {v4(192, 0, 2, 55)}};
	struct session_statement st = links_say(4, &l);
	struct signed_file f;
	struct scene s;

	(void)state;
	begin_with_c(&s);
	f = bundle_of(&r, &s.f[1]);
	asks(&s, 2);
	passes_on(&s, 0, &st, 1);
	assert_int_equal(host_of(&s, 2, 4), 0);
	asks(&s, 2);
	assert_true(s.b->n[0].last[SESSION_WHERE].since > 0);
	node_give(s.b, 2, &f);
	pass(s.b, US);
	asks(&s, 2);
	assert_int_equal(s.b->n[0].last[SESSION_WHERE].since, 0);
	passes_on(&s, 0, &st, 1);
	assert_int_equal(host_of(&s, 2, 4), 55);
	/* and who is no member any more is forgotten */
	r.members = ALL4;
	r.serial = 3;
	free(s.f[2].data);
	s.f[2] = bundle_of(&r, &f);
	node_give(s.b, 2, &s.f[2]);
	pass(s.b, US);
	assert_int_equal(host_of(&s, 2, 4), 0);
	assert_int_equal(news(&s, 2), 0);
	free(f.data);
	end(&s);
}

/* A seed of an earlier release answers nothing: another is asked the next time. */
static void test_no_answer(void **state)
{
	struct scene s;

	(void)state;
	begin(&s, 1);
	pass(s.b, 5 * US);
	is_at_host(&s, 2, 12);
	pass(s.b, US);
	asks(&s, 3);
	asks(&s, 3);
	assert_int_equal(host_of(&s, 3, 2), 12);
	end(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(test_words),
	        cmocka_unit_test(test_no_links),
	        cmocka_unit_test(test_seeds_hear),
	        cmocka_unit_test(test_which),
	        cmocka_unit_test(test_rate),
	        cmocka_unit_test(test_again),
	        cmocka_unit_test(test_by_two_seeds),
	        cmocka_unit_test(test_passed_on),
	        cmocka_unit_test(test_direct_wins),
	        cmocka_unit_test(test_no_echo),
	        cmocka_unit_test(test_not_its_own),
	        cmocka_unit_test(test_flood),
	        cmocka_unit_test(test_before_the_bundle),
	        cmocka_unit_test(test_no_answer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

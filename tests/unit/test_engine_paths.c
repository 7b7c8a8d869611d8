/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What an engine does with the map: a is this node, d the only seed, b and c are what a seed may tell
 * of. b and c sign with real keys, so no SA of theirs comes up here; what is looked at is who is
 * called where, and how often.
 */
#include "tests/unit/engine_bed.h"
#include "tests/unit/signed_bed.h"

#include "engine/links.h"

#define NOON_2026 1782907200LL
#define TRIES 4096

static struct {
	uint8_t at[8][4]; /* the last endpoint that was loaded, by peer */
	struct {
		int64_t at;
		int peer;
		uint8_t host;
	} tries[TRIES];
	size_t n_tries;
	uint64_t session;
	unsigned sent[SESSION_TYPES];
	struct session_links own;
	unsigned ended; /* SAs that charon was to end */
	unsigned shut;  /* of 203.0.113.x, where links are */
} saw;

static void look_at_underlays(const struct engine_fw_underlay *u, size_t n)
{
	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; k < u[i].n; k++)
			saw.shut += u[i].addrs[k].bytes[0] == 203;
}

static void take_note(struct bed *b, const struct engine_effect *fx)
{
	const char *peer = bed_peer_of(fx);
	int i = peer && strlen(peer) == 1 ? *peer - 'a' : 0;

	switch (fx->type) {
	case ENGINE_FX_LOAD_CONN:
		memcpy(saw.at[i], fx->load.endpoint.bytes, 4);
		break;
	case ENGINE_FX_INITIATE:
		assert_true(saw.n_tries < TRIES);
		saw.tries[saw.n_tries].at = b->now.mono_us;
		saw.tries[saw.n_tries].peer = i;
		saw.tries[saw.n_tries++].host = saw.at[i][0] == 203 ? saw.at[i][3] : 0;
		break;
	case ENGINE_FX_TERMINATE:
		saw.ended++;
		break;
	case ENGINE_FX_FW_BASE:
		look_at_underlays(fx->fw_base.underlays, fx->fw_base.n_underlays);
		break;
	case ENGINE_FX_FW_UNDERLAY:
		look_at_underlays(&fx->fw_underlay, 1);
		break;
	case ENGINE_FX_SESSION_OPEN:
		saw.session = fx->session.session;
		break;
	case ENGINE_FX_SESSION_SEND:
		saw.sent[fx->session.msg->type]++;
		if (fx->session.msg->type == SESSION_HERE)
			assert_true(session_links_read(fx->session.msg->statement.body,
			        fx->session.msg->statement.body_len, &saw.own));
		break;
	default:
		break;
	}
}

/* Tries of a peer; of those on links only where `links`. */
static size_t tries(int peer, bool links)
{
	size_t n = 0;

	for (size_t i = 0; i < saw.n_tries; i++)
		n += saw.tries[i].peer == peer && (!links || saw.tries[i].host);
	return n;
}

static int last_host(int peer)
{
	for (size_t i = saw.n_tries; i-- > 0;)
		if (saw.tries[i].peer == peer)
			return saw.tries[i].host;
	return -1;
}

/* more[i]: what follows a peer's roles; of a, b and c. */
static const struct policy *paths_policy(const char *const more[3])
{
	struct policy_report report;
	struct policy *p = NULL;
	char *text = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&text, &len);

	fprintf(f, "cluster: t\nserial: 1\noverlay: 10.0.0.0/8\n"
	           "sites:\n  s: {}\n  nat: { behind_nat: true }\n"
	           "allow:\n  - { from: r, to: r, service: ssh }\npeers:\n");
	for (int i = 0; i < 4; i++) {
		struct policy_key raw;
		char key[96];

		if (i == 1 || i == 2)
			node_key(i, &raw);
		else
			bed_key(i, &raw);
		policy_key_print(&raw, key, sizeof(key));
		fprintf(f, "  %c: { key: \"%s\", address: 10.1.0.%d, roles: [%s], %s }\n", 'a' + i,
		        key, i + 1, i == 3 ? "seed" : "r",
		        i == 3 ? "site: s, endpoints: [192.0.2.4]" : more[i]);
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

static void underlay(struct bed *b, int host)
{
	struct policy_addr a[] = {
	        {2, {127, 0, 0, 1}}, {2, {203, 0, 113, (uint8_t)host}}, {2, {10, 1, 0, 1}}};
	struct engine_event ev = {.type = ENGINE_EV_UNDERLAY};

	ev.underlay.addrs = a;
	ev.underlay.n = 3;
	bed_step(b, &ev);
}

/* Without a session yet. */
static void begin(struct bed *b, const char *us, const char *of_b, const char *of_c)
{
	struct engine_event ev = {.type = ENGINE_EV_CLUSTER_KEY};
	const char *const more[] = {us, of_b, of_c};

	memset(&saw, 0, sizeof(saw));
	bed_begin(b, paths_policy(more), NULL, NOON_2026);
	b->carry_out = take_note;
	b->deaf = true;
	underlay(b, 1);
	ev.cluster_key = cluster_secret(0)->pub;
	bed_step(b, &ev);
	bed_pass(b, US);
	bed_sa(b, 3, true);
	bed_pass(b, US);
	assert_int_equal(bed_look(b, "d").state, ENGINE_PEER_UP);
	assert_true(saw.session);
}

static void session(struct bed *b)
{
	struct engine_event ev = {.type = ENGINE_EV_SESSION};

	ev.session.id = saw.session;
	ev.session.peer = "d";
	ev.session.up = true;
	ev.session.ours = true;
	ev.session.text = "1.2";
	bed_step(b, &ev);
	bed_pass(b, US);
}

/* The seed answers: node i is at these hosts of 203.0.113. */
static void is_at(struct bed *b, int i, uint64_t count, const uint8_t *hosts, uint8_t n)
{
	struct session_statement st = {.kind = SESSION_LINKS, .node = {(char)('a' + i)}};
	struct session_links l = {.count = count, .port = 4500};
	struct engine_event ev = {.type = ENGINE_EV_SESSION_MSG};
	struct session_msg msg = {.type = SESSION_MAP, .since = count, .statements = &st};

	for (; l.n < n; l.n++)
		l.addrs[l.n] = (struct policy_addr){2, {203, 0, 113, hosts[l.n]}};
	st.body_len = (uint16_t)session_links_make(&l, st.body);
	node_sign(i, &st);
	msg.n_statements = 1;
	ev.session_msg.id = saw.session;
	ev.session_msg.msg = &msg;
	bed_step(b, &ev);
}

/* Waits until it is asked. */
static void answer(struct bed *b, int i, uint64_t count, uint8_t host)
{
	unsigned asked = saw.sent[SESSION_WHERE];

	for (int k = 0; k < 400 && saw.sent[SESSION_WHERE] == asked; k++)
		bed_pass(b, US / 10);
	assert_true(saw.sent[SESSION_WHERE] > asked);
	is_at(b, i, count, &host, 1);
}

static void test_found(void **state)
{
	struct bed b;

	(void)state;
	begin(&b, "site: s", "site: s", "site: s");
	assert_int_equal(bed_look(&b, "b").state, ENGINE_PEER_LISTENING);
	assert_true(bed_look(&b, "b").degraded);
	assert_true(!!strstr(bed_look(&b, "b").reason, "no seed has said where it is"));
	session(&b);
	assert_int_equal(saw.sent[SESSION_HERE], 1);
	assert_int_equal(saw.own.n, 1); /* not loopback, and not the overlay's own */
	assert_int_equal(saw.own.addrs[0].bytes[3], 1);
	assert_int_equal(saw.own.port, 4500);
	assert_true(saw.sent[SESSION_WHERE] >= 1);
	is_at(&b, 1, 7, (uint8_t[]){66}, 1);
	bed_pass(&b, 3 * US);
	assert_int_equal(tries(1, true), 1);
	assert_int_equal(last_host(1), 66);
	assert_int_equal(bed_look(&b, "b").state, ENGINE_PEER_CONNECTING);
	assert_int_equal(tries(2, false), 0);
	assert_int_equal(saw.shut, 0);
	bed_end(&b);
}

/* Of two the lower fingerprint begins; the other a moment later. */
static void test_who_begins(void **state)
{
	struct policy_key own, theirs;
	struct bed b;
	bool lower;

	(void)state;
	bed_key(0, &own);
	for (int i = 1; i < 3; i++) {
		node_key(i, &theirs);
		lower = policy_key_compare(&own, &theirs) < 0;
		begin(&b, "site: s", "site: s", "site: s");
		session(&b);
		is_at(&b, i, 7, (uint8_t[]){66}, 1);
		bed_pass(&b, US / 2);
		assert_int_equal(tries(i, true), lower);
		bed_pass(&b, US);
		assert_int_equal(tries(i, true), 1);
		bed_end(&b);
	}
}

/* Eight tries, and one a minute; nothing that it says makes it more. */
static void test_bound(void **state)
{
	const uint8_t all[] = {61, 62, 63, 64, 65, 66, 67, 68};
	uint64_t count = 7;
	struct bed b;

	(void)state;
	for (int lively = 0; lively < 2; lively++) {
		begin(&b, "site: s", "site: s", "site: s");
		b.refuse = lively; /* the victim speaks IKE: a try is over at once */
		session(&b);
		is_at(&b, 1, count++, all, 8);
		bed_pass(&b, 600 * US);
		assert_in_range(tries(1, true), 8, 8 + 11);
		for (int i = 0; i < 300; i++) {
			if (i % 10 == 9)
				underlay(&b, i % 20 == 9 ? 2 : 1);
			is_at(&b, 1, count++, all + i % 8, 1);
			bed_pass(&b, 2 * US);
		}
		assert_in_range(tries(1, true), 8 + 15, 8 + 22);
		bed_end(&b);
	}
}

static void test_sites(void **state)
{
	static const struct {
		const char *us, *them;
		bool tried;
	} t[] = {{"site: nat", "site: nat", true}, {"site: nat", "site: s", true},
	        {"site: s", "site: nat", false}};
	struct bed b;

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		begin(&b, t[i].us, t[i].them, "site: s");
		session(&b);
		is_at(&b, 1, 7, (uint8_t[]){66}, 1);
		bed_pass(&b, 30 * US);
		assert_int_equal(tries(1, true) > 0, t[i].tried);
		if (!t[i].tried)
			assert_true(!!strstr(bed_look(&b, "b").reason, "no way from here"));
		bed_end(&b);
	}
}

/* Ours, and what the overlay covers. */
static void test_not_there(void **state)
{
	struct session_statement st = {.kind = SESSION_LINKS, .node = "b"};
	struct session_links l = {7, 4501, 2, {{2, {203, 0, 113, 1}}, {2, {10, 9, 9, 9}}}};
	struct session_msg msg = {
	        .type = SESSION_MAP, .since = 1, .statements = &st, .n_statements = 1};
	struct engine_event ev = {.type = ENGINE_EV_SESSION_MSG};
	struct bed b;

	(void)state;
	begin(&b, "site: s", "site: s", "site: s");
	session(&b);
	st.body_len = (uint16_t)session_links_make(&l, st.body);
	node_sign(1, &st);
	ev.session_msg.id = saw.session;
	ev.session_msg.msg = &msg;
	bed_step(&b, &ev);
	bed_pass(&b, 30 * US);
	assert_int_equal(tries(1, false), 0);
	bed_end(&b);
}

/* The policy first; when all of that has failed the link too, and the policy's go on. */
static void test_behind_endpoints(void **state)
{
	size_t written = 0, first = 0;
	struct bed b;

	(void)state;
	begin(&b, "site: s", "site: s, endpoints: [192.0.2.2, 192.0.2.3]", "site: s");
	session(&b);
	assert_int_equal(saw.sent[SESSION_HERE], 1);
	answer(&b, 1, 7, 66);
	bed_pass(&b, 120 * US);
	for (size_t i = 0; i < saw.n_tries; i++) {
		if (saw.tries[i].peer != 1)
			continue;
		written += !saw.tries[i].host;
		if (saw.tries[i].host && !first)
			first = written;
	}
	assert_int_equal(first, 2);
	assert_true(written > 3);
	bed_end(&b);
}

/* We have an endpoint, it has none: it calls us, as ever. */
static void test_listens(void **state)
{
	struct bed b;

	(void)state;
	begin(&b, "site: s, endpoints: [192.0.2.1]", "site: s", "site: s");
	session(&b);
	bed_pass(&b, 60 * US);
	assert_int_equal(saw.sent[SESSION_WHERE], 0);
	is_at(&b, 1, 7, (uint8_t[]){66}, 1);
	bed_pass(&b, 60 * US);
	assert_int_equal(tries(1, false), 0);
	assert_int_equal(bed_look(&b, "b").state, ENGINE_PEER_LISTENING);
	assert_false(bed_look(&b, "b").degraded);
	bed_end(&b);
}

static void test_moves(void **state)
{
	struct bed b;

	(void)state;
	begin(&b, "site: s", "site: s", "site: s");
	session(&b);
	is_at(&b, 1, 7, (uint8_t[]){66}, 1);
	bed_pass(&b, 12 * US);
	assert_int_equal(last_host(1), 66);
	answer(&b, 1, 8, 77);
	bed_pass(&b, 15 * US);
	assert_int_equal(last_host(1), 77);
	answer(&b, 1, 6, 55); /* an old word of it */
	bed_pass(&b, 30 * US);
	assert_int_equal(last_host(1), 77);
	bed_end(&b);
}

/* As long as somebody has no way, ever less often; and no more when nobody has. */
static void test_asking(void **state)
{
	struct bed b;
	unsigned n;

	(void)state;
	begin(&b, "site: s", "site: s", "site: s");
	session(&b);
	bed_pass(&b, 30 * US);
	assert_in_range(saw.sent[SESSION_WHERE], 3, 6);
	bed_pass(&b, 600 * US);
	assert_in_range(saw.sent[SESSION_WHERE], 15, 26);
	bed_end(&b);
	begin(&b, "site: s", "site: s, endpoints: [192.0.2.2]", "site: s, endpoints: [192.0.2.3]");
	n = saw.sent[SESSION_WHERE];
	session(&b);
	assert_int_equal(saw.sent[SESSION_WHERE], n); /* they are being tried */
	bed_end(&b);
}

/* Our address goes: what began there is ended and built anew, and what began elsewhere is not. */
static void test_address_gone(void **state)
{
	static const struct policy_addr here = {2, {203, 0, 113, 1}}, other = {2, {203, 0, 113, 9}};
	struct bed b;
	size_t n;

	(void)state;
	for (int gone = 0; gone < 2; gone++) {
		begin(&b, "site: s", "site: s", "site: s");
		b.deaf = false;
		bed_sa(&b, 3, false);
		b.local = gone ? here : other;
		bed_pass(&b, 3 * US);
		assert_int_equal(bed_look(&b, "d").state, ENGINE_PEER_UP);
		n = tries(3, false);
		underlay(&b, 1); /* nothing is another */
		bed_pass(&b, 3 * US);
		assert_int_equal(tries(3, false), n);
		b.local = (struct policy_addr){2, {203, 0, 113, 2}};
		underlay(&b, 2);
		assert_int_equal(saw.ended, gone);
		if (gone)
			bed_sa(&b, 3, false);
		bed_pass(&b, 3 * US);
		assert_int_equal(tries(3, false), n + (gone ? 1 : 0));
		assert_int_equal(bed_look(&b, "d").state, ENGINE_PEER_UP);
		bed_end(&b);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(test_found),
	        cmocka_unit_test(test_who_begins),
	        cmocka_unit_test(test_bound),
	        cmocka_unit_test(test_sites),
	        cmocka_unit_test(test_not_there),
	        cmocka_unit_test(test_behind_endpoints),
	        cmocka_unit_test(test_listens),
	        cmocka_unit_test(test_moves),
	        cmocka_unit_test(test_asking),
	        cmocka_unit_test(test_address_gone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Typed calls: what is encoded, what a wrong answer does, that secrets are wiped, and hostile SAs
 * and events. */
#include "vici_peer.h"

/* ---- wiping: libviciclient's explicit_bzero() is ours here ---- */

static const char secret_text[] = "hush-hush-hush-hush";
static unsigned int wiped; /* buffers with the secret in them */

__attribute__((noinline)) static void wipe(void *data, size_t len)
{
	if (memmem(data, len, secret_text, sizeof(secret_text) - 1))
		wiped++;
	memset(data, 0, len);
	__asm__ volatile("" : : "r"(data) : "memory");
}

void explicit_bzero(void *data, size_t len);
void explicit_bzero(void *data, size_t len)
{
	wipe(data, len);
}

/* what explicit_bzero() is with _FORTIFY_SOURCE */
void __explicit_bzero_chk(void *data, size_t len, size_t room);
void __explicit_bzero_chk(void *data, size_t len, size_t room)
{
	(void)room;
	wipe(data, len);
}

static void key_done(void *user, const struct vici_result *r, const char *id)
{
	struct peer *p = user;

	peer_note(p, id, r->error);
}

static void secrets_are_wiped_when_sent_or_given_up(void **state)
{
	struct peer p;
	const struct vici_shared shared = {.data = secret_text, .len = sizeof(secret_text) - 1};
	char big[5000] = {0};
	struct vici_builder b;
	struct vici_blob m;

	(void)state;
	peer_open(&p, (struct vici_config){0});
	wiped = 0;
	assert_int_equal(vici_load_key(p.v, NULL, secret_text, sizeof(secret_text) - 1, key_done,
	                         &p, 0, p.now),
	        0);
	assert_int_equal(wiped, 1); /* sent at once, so there is none left before the answer */
	assert_int_equal(vici_load_shared(p.v, &shared, NULL, NULL, 0, p.now), 0);
	assert_int_equal(wiped, 1); /* in line */
	m = peer_expect(&p, VICI_CMD_REQUEST, "load-key");
	assert_non_null(memmem(m.data, m.len, secret_text, sizeof(secret_text) - 1));
	vici_close(p.v);
	assert_int_equal(wiped, 2);
	assert_int_equal(vici_load_shared(p.v, &shared, NULL, NULL, 0, p.now), -ENOTCONN);
	assert_int_equal(wiped, 3); /* refused */
	peer_end(&p);

	vici_builder_init_secret(&b); /* growing leaves nothing behind */
	vici_add_str(&b, "k", secret_text);
	vici_add_blob(&b, "k", big, sizeof(big));
	assert_int_equal(wiped, 4);
	vici_builder_fini(&b);
	assert_int_equal(wiped, 5);
}

static void load_key_insists_on_the_id(void **state)
{
	struct peer p;

	(void)state;
	peer_open(&p, (struct vici_config){0});
	assert_int_equal(vici_load_key(p.v, NULL, "k", 1, key_done, &p, 0, p.now), 0);
	peer_send(&p, VICI_CMD_RESPONSE, NULL, peer_message("success", "yes", "id", "abc", NULL));
	assert_int_equal(peer_turn(&p), 0);
	assert_string_equal(p.log, "abc=0 ");
	assert_int_equal(vici_load_key(p.v, NULL, "k", 1, key_done, &p, 0, p.now), 0);
	peer_send(&p, VICI_CMD_RESPONSE, NULL, peer_message("success", "yes", NULL));
	assert_int_equal(peer_turn(&p), -EBADMSG);
	assert_string_equal(p.log, "abc=0 =-74 closed=-74 ");
	peer_end(&p);
}

/* ---- load-conn ---- */

static const char *text_at(struct vici_blob m, const char *path)
{
	static char text[64];

	return vici_find_text(m, path, text, sizeof(text)) ? "(absent)" : text;
}

static void connection_fields_reach_the_message(void **state)
{
	static const char *const list[] = {"one", "two", NULL};
	const struct vici_blob pin = {"\0PIN", 4};
	const struct vici_extra extra[] = {{.key = "x", .value = "1"}, {.key = "l", .list = list}};
	const struct vici_child child = {.name = "net",
	        .local_ts = list,
	        .rekey_time = VICI_NUM(0),
	        .policies = VICI_NO,
	        .start_action = "none",
	        .if_id_in = VICI_NUM(42),
	        .extra = extra,
	        .n_extra = 2};
	const struct vici_connection c = {.name = "ovl.a",
	        .version = VICI_NUM(2),
	        .encap = VICI_YES,
	        .mobike = VICI_NO,
	        .dpd_delay = VICI_NUM(0),
	        .local_addrs = list,
	        .unique = "never",
	        .local = {.id = "me"},
	        .remote = {.auth = "pubkey", .pubkeys = &pin, .n_pubkeys = 1},
	        .children = &child,
	        .n_children = 1,
	        .extra = extra,
	        .n_extra = 1};
	struct vici_builder b;
	struct vici_blob m, remote;

	(void)state;
	vici_builder_init(&b);
	vici_connection_encode(&b, &c);
	assert_int_equal(vici_builder_check(&b), 0);
	m = vici_builder_view(&b);
	assert_string_equal(text_at(m, "ovl.a.version"), "2");
	assert_string_equal(text_at(m, "ovl.a.encap"), "yes");
	assert_string_equal(text_at(m, "ovl.a.mobike"), "no");
	assert_string_equal(text_at(m, "ovl.a.dpd_delay"), "0");          /* zero is a value ... */
	assert_string_equal(text_at(m, "ovl.a.dpd_timeout"), "(absent)"); /* ... unset is none */
	assert_string_equal(text_at(m, "ovl.a.aggressive"), "(absent)");
	assert_string_equal(text_at(m, "ovl.a.unique"), "never");
	assert_string_equal(text_at(m, "ovl.a.local.id"), "me");
	assert_string_equal(text_at(m, "ovl.a.remote.auth"), "pubkey");
	assert_string_equal(text_at(m, "ovl.a.children.net.rekey_time"), "0");
	assert_string_equal(text_at(m, "ovl.a.children.net.life_time"), "(absent)");
	assert_string_equal(text_at(m, "ovl.a.children.net.policies"), "no");
	assert_string_equal(text_at(m, "ovl.a.children.net.if_id_in"), "42");
	assert_string_equal(text_at(m, "ovl.a.children.net.x"), "1");
	assert_string_equal(text_at(m, "ovl.a.x"), "1");
	assert_int_equal(vici_find_section(m, "ovl.a.remote", &remote), 0);
	assert_non_null(memmem(remote.data, remote.len, "\4\7pubkeys\5\0\4\0PIN\6", 17));
	vici_builder_fini(&b);
}

static int encode_error(const struct vici_connection *c)
{
	struct vici_builder b;
	int r;

	vici_builder_init(&b);
	vici_connection_encode(&b, c);
	r = vici_builder_check(&b);
	vici_builder_fini(&b);
	return r;
}

static void nothing_of_a_connection_is_dropped_in_silence(void **state)
{
	static const char *const list[] = {"one", NULL};
	const struct vici_extra neither = {.key = "k"},
	                        both = {.key = "k", .value = "v", .list = list};
	const struct vici_blob no_pin = {NULL, 44};
	const struct vici_child nameless = {.mode = "tunnel"};

	(void)state;
	assert_int_equal(encode_error(&(struct vici_connection){.name = "n"}), 0);
	assert_int_equal(encode_error(&(struct vici_connection){0}), -EINVAL);
	assert_int_equal(encode_error(&(struct vici_connection){
	                         .name = "n", .extra = &neither, .n_extra = 1}),
	        -EINVAL);
	assert_int_equal(
	        encode_error(&(struct vici_connection){.name = "n", .extra = &both, .n_extra = 1}),
	        -EINVAL);
	assert_int_equal(encode_error(&(struct vici_connection){
	                         .name = "n", .remote = {.pubkeys = &no_pin, .n_pubkeys = 1}}),
	        -EINVAL);
	assert_int_equal(encode_error(&(struct vici_connection){
	                         .name = "n", .children = &nameless, .n_children = 1}),
	        -EINVAL);
}

/* ---- replies that are not as documented ---- */

static void version_done(
        void *user, const struct vici_result *r, const struct vici_version *version)
{
	assert_true(!r->error == !!version);
	peer_note(user, version ? version->version : "version", r->error);
}

static void stats_done(void *user, const struct vici_result *r, const struct vici_stats *stats)
{
	assert_true(!r->error == !!stats);
	peer_note(user, "stats", r->error);
}

static void names_done(void *user, const struct vici_result *r, const char *const *names, size_t n)
{
	assert_true(!r->error == !!names && (names || !n));
	peer_note(user, "names", r->error);
}

static void done(void *user, const struct vici_result *r)
{
	peer_note(user, "done", r->error);
}

static void algorithm_row(void *user, const char *type, const char *name, const char *plugin)
{
	(void)user;
	fail_msg("%s %s %s", type, name, plugin);
}

static void counter_row(void *user, const char *connection, const char *counter, uint64_t value)
{
	(void)user;
	fail_msg("%s %s %llu", connection, counter, (unsigned long long)value);
}

static int ask_typed(struct peer *p, int which)
{
	const struct vici_connection c = {.name = "n"};

	switch (which) {
	case 0:
		return vici_get_version(p->v, version_done, p, 0, p->now);
	case 1:
		return vici_get_stats(p->v, stats_done, p, 0, p->now);
	case 2:
		return vici_get_conns(p->v, names_done, p, 0, p->now);
	case 3:
		return vici_get_algorithms(p->v, algorithm_row, done, p, 0, p->now);
	case 4:
		return vici_get_counters(p->v, NULL, counter_row, done, p, 0, p->now);
	default:
		return vici_load_conn(p->v, &c, done, p, 0, p->now);
	}
}

/* Well-formed, but not what was asked for: the caller hears of it once, and the connection ends. */
static void unexpected_replies_end_the_connection(void **state)
{
	static const char *const logs[] = {"version=-74 closed=-74 ", "stats=-74 closed=-74 ",
	        "names=-74 closed=-74 ", "done=-74 closed=-74 ", "done=-74 closed=-74 ",
	        "done=-74 closed=-74 "};
	static const char *const failures[] = {"version=-121 ", "stats=-121 ", "names=-121 ",
	        "done=-121 ", "done=-121 ", "done=-121 "};
	int i;

	(void)state;
	for (i = 0; i < 6; i++) {
		struct peer p;

		peer_open(&p, (struct vici_config){0});
		assert_int_equal(ask_typed(&p, i), 0);
		peer_send(&p, VICI_CMD_RESPONSE, NULL,
		        peer_message("success", "no", "errmsg", "no", NULL));
		assert_int_equal(peer_turn(&p), 0);
		assert_string_equal(p.log, failures[i]);
		p.log[0] = '\0';
		assert_int_equal(ask_typed(&p, i), 0);
		peer_send(&p, VICI_CMD_RESPONSE, NULL, peer_message("something", "else", NULL));
		assert_int_equal(peer_turn(&p), -EBADMSG);
		assert_string_equal(p.log, logs[i]);
		peer_end(&p);
	}
}

/* ---- SAs ---- */

static unsigned int rows;

static void sa_row(void *user, const struct vici_ike_sa *sa)
{
	const char *const *expected = user;

	rows++;
	if (!expected)
		return;
	assert_string_equal(sa->name, expected[0]);
	assert_string_equal(sa->remote_id, expected[1]);
	assert_string_equal(sa->local_id, ""); /* not told: empty, never NULL */
	assert_null(sa->local_vips[0]);
	assert_false(sa->established.set);
}

static void begin_sa(struct vici_builder *b, const char *name)
{
	vici_builder_init(b);
	vici_add_section(b, name);
}

static int end_sa(struct vici_builder *b, const char *const *expected)
{
	int r;

	vici_end_section(b);
	assert_int_equal(vici_builder_check(b), 0);
	rows = 0;
	r = vici_decode_sas(vici_builder_view(b), sa_row, (void *)expected);
	assert_int_equal(rows, r ? 0 : 1);
	vici_builder_fini(b);
	return r;
}

static int number_error(const char *key, const char *value)
{
	struct vici_builder b;

	begin_sa(&b, "n");
	vici_add_str(&b, key, value);
	return end_sa(&b, NULL);
}

static void an_identity_with_a_nul_is_no_shorter_identity(void **state)
{
	static const char *const expected[] = {"(unnamed)", "head1?evil"};
	struct vici_builder b;

	(void)state;
	begin_sa(&b, "(unnamed)");
	vici_add_blob(&b, "remote-id", "head1\0evil", 10);
	assert_int_equal(end_sa(&b, expected), 0);
}

static void wrong_numbers_in_sas_are_errors(void **state)
{
	(void)state;
	assert_int_equal(number_error("uniqueid", "4294967295"), 0);
	assert_int_equal(number_error("uniqueid", "4294967296"), -EBADMSG);
	assert_int_equal(number_error("uniqueid", "-1"), -EBADMSG);
	assert_int_equal(number_error("uniqueid", ""), -EBADMSG);
	assert_int_equal(number_error("local-port", "65536"), -EBADMSG);
	assert_int_equal(number_error("if-id-in", "0000002a"), 0);
	assert_int_equal(number_error("if-id-in", "100000000"), -EBADMSG);
	assert_int_equal(number_error("initiator-spi", "ffffffffffffffff"), 0);
	assert_int_equal(number_error("initiator-spi", "1ffffffffffffffff"), -EBADMSG);
	assert_int_equal(number_error("rekey-time", "-5"), 0);
	assert_int_equal(number_error("rekey-time", "soon"), -EBADMSG);
	assert_int_equal(number_error("local-vips", "not a list"), -EBADMSG);
	assert_int_equal(number_error("something-new", "anything"), 0);
}

static int children_error(unsigned int n)
{
	struct vici_builder b;
	unsigned int i;

	begin_sa(&b, "n");
	vici_add_section(&b, "child-sas");
	for (i = 0; i < n; i++) {
		vici_add_section(&b, "c");
		vici_end_section(&b);
	}
	vici_end_section(&b);
	return end_sa(&b, NULL);
}

static void children_are_bounded(void **state)
{
	(void)state;
	assert_int_equal(children_error(0), 0);
	assert_int_equal(children_error(VICI_CHILDREN_MAX), 0);
	assert_int_equal(children_error(VICI_CHILDREN_MAX + 1), -EBADMSG);
}

static void rows_hold_exactly_one_sa(void **state)
{
	struct vici_builder b;

	(void)state;
	assert_int_equal(vici_decode_sas(NOTHING, sa_row, NULL), -EBADMSG);
	begin_sa(&b, "a");
	vici_end_section(&b);
	vici_add_section(&b, "b");
	assert_int_equal(end_sa(&b, NULL), -EBADMSG);
}

/* A row that is not as documented ends the connection; its request hears of it once. */
static void a_bad_row_ends_the_connection(void **state)
{
	struct peer p;

	(void)state;
	peer_open(&p, (struct vici_config){0});
	assert_int_equal(vici_list_sas(p.v, NULL, sa_row, done, &p, 0, p.now), 0);
	peer_send(&p, VICI_EVENT_CONFIRM, NULL, NOTHING);
	peer_send(&p, VICI_EVENT, "list-sa", peer_message("no", "section", NULL));
	assert_int_equal(peer_turn(&p), -EBADMSG);
	assert_string_equal(p.log, "done=-74 closed=-74 ");
	peer_end(&p);
}

/* ---- events ---- */

static void event_check(void *user, const struct vici_event *e)
{
	rows++;
	assert_int_equal(e->type, *(const enum vici_event_type *)user);
	if (e->type == VICI_EV_IKE_UPDOWN) {
		assert_true(e->up);
		assert_string_equal(e->sa->name, "up"); /* a connection may be called as a key is */
	}
	if (e->type == VICI_EV_CHILD_REKEY) {
		assert_int_equal(e->old_child->uniqueid, 1);
		assert_int_equal(e->child->uniqueid, 2);
		assert_int_equal(e->sa->n_children, 0);
	}
}

static int event_error(const char *name, enum vici_event_type type, struct vici_builder *b)
{
	int r;

	assert_int_equal(vici_builder_check(b), 0);
	rows = 0;
	r = vici_decode_event(name, vici_builder_view(b), event_check, &type);
	assert_int_equal(rows, r ? 0 : 1);
	vici_builder_fini(b);
	return r;
}

static void put_version_of_child(struct vici_builder *b, const char *which, uint64_t id)
{
	vici_add_section(b, which);
	vici_add_u64(b, "uniqueid", id);
	vici_end_section(b);
}

static void events_are_decoded(void **state)
{
	struct vici_builder b;

	(void)state;
	vici_builder_init(&b);
	vici_add_str(&b, "up", "yes");
	vici_add_section(&b, "up");
	vici_end_section(&b);
	assert_int_equal(event_error("ike-updown", VICI_EV_IKE_UPDOWN, &b), 0);
	vici_builder_init(&b);
	assert_int_equal(event_error("ike-updown", VICI_EV_IKE_UPDOWN, &b), -EBADMSG);
	vici_builder_init(&b);
	assert_int_equal(event_error("alert", VICI_EV_OTHER, &b), 0);
	begin_sa(&b, "n");
	vici_add_section(&b, "child-sas");
	vici_add_section(&b, "net");
	put_version_of_child(&b, "old", 1);
	put_version_of_child(&b, "new", 2);
	vici_end_section(&b);
	vici_end_section(&b);
	vici_end_section(&b);
	assert_int_equal(event_error("child-rekey", VICI_EV_CHILD_REKEY, &b), 0);
	begin_sa(&b, "n");
	put_version_of_child(&b, "old", 1);
	vici_end_section(&b);
	assert_int_equal(event_error("ike-rekey", VICI_EV_IKE_REKEY, &b), -EBADMSG);
	begin_sa(&b, "n");
	vici_end_section(&b);
	assert_int_equal(event_error("child-updown", VICI_EV_CHILD_UPDOWN, &b), -EBADMSG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(secrets_are_wiped_when_sent_or_given_up),
	        cmocka_unit_test(load_key_insists_on_the_id),
	        cmocka_unit_test(connection_fields_reach_the_message),
	        cmocka_unit_test(nothing_of_a_connection_is_dropped_in_silence),
	        cmocka_unit_test(unexpected_replies_end_the_connection),
	        cmocka_unit_test(an_identity_with_a_nul_is_no_shorter_identity),
	        cmocka_unit_test(wrong_numbers_in_sas_are_errors),
	        cmocka_unit_test(children_are_bounded),
	        cmocka_unit_test(rows_hold_exactly_one_sa),
	        cmocka_unit_test(a_bad_row_ends_the_connection),
	        cmocka_unit_test(events_are_decoded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

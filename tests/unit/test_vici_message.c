/* SPDX-License-Identifier: GPL-2.0-or-later */
/* vici messages: golden bytes, every limit, every kind of broken input, and random trees there and
 * back. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>

#include "vici-client/private.h"

/* strongSwan, src/libcharon/plugins/vici/README.md, "Encoding example" */
static const char golden[] = {
        /* key1 = value1 */
        3, 4, 'k', 'e', 'y', '1', 0, 6, 'v', 'a', 'l', 'u', 'e', '1',
        /* section1 */
        1, 8, 's', 'e', 'c', 't', 'i', 'o', 'n', '1',
        /* sub-section */
        1, 11, 's', 'u', 'b', '-', 's', 'e', 'c', 't', 'i', 'o', 'n',
        /* key2 = value2 */
        3, 4, 'k', 'e', 'y', '2', 0, 6, 'v', 'a', 'l', 'u', 'e', '2',
        /* sub-section end */
        2,
        /* list1 */
        4, 5, 'l', 'i', 's', 't', '1',
        /* item1 */
        5, 0, 5, 'i', 't', 'e', 'm', '1',
        /* item2 */
        5, 0, 5, 'i', 't', 'e', 'm', '2',
        /* list1 end */
        6,
        /* section1 end */
        2};
static const struct vici_blob golden_view = {golden, sizeof(golden)};

static void build_golden(struct vici_builder *b)
{
	static const char *const items[] = {"item1", "item2", NULL};

	vici_builder_init(b);
	vici_add_str(b, "key1", "value1");
	vici_add_section(b, "section1");
	vici_add_section(b, "sub-section");
	vici_add_str(b, "key2", "value2");
	vici_end_section(b);
	vici_add_strings(b, "list1", items);
	vici_end_section(b);
}

static void builder_makes_the_readme_bytes(void **state)
{
	struct vici_builder b;
	struct vici_blob view;

	(void)state;
	build_golden(&b);
	assert_int_equal(vici_builder_check(&b), 0);
	view = vici_builder_view(&b);
	assert_int_equal(view.len, sizeof(golden));
	assert_memory_equal(view.data, golden, sizeof(golden));
	vici_builder_fini(&b);
	vici_builder_fini(NULL);
}

static void iterator_reads_the_readme_bytes(void **state)
{
	static const struct {
		enum vici_type type;
		const char *name, *value;
	} expected[] = {{VICI_KEY_VALUE, "key1", "value1"}, {VICI_SECTION_START, "section1", NULL},
	        {VICI_SECTION_START, "sub-section", NULL}, {VICI_KEY_VALUE, "key2", "value2"},
	        {VICI_SECTION_END, NULL, NULL}, {VICI_LIST_START, "list1", NULL},
	        {VICI_LIST_ITEM, NULL, "item1"}, {VICI_LIST_ITEM, NULL, "item2"},
	        {VICI_LIST_END, NULL, NULL}, {VICI_SECTION_END, NULL, NULL}};
	struct vici_element e;
	struct vici_iter it;
	size_t i;

	(void)state;
	vici_iter_init(&it, golden_view);
	for (i = 0; i < sizeof(expected) / sizeof(expected[0]); i++) {
		assert_int_equal(vici_iter_next(&it, &e), 1);
		assert_int_equal(e.type, expected[i].type);
		assert_true(!expected[i].name || vici_name_is(&e, expected[i].name));
		assert_true(!expected[i].value || vici_value_is(e.value, expected[i].value));
	}
	assert_int_equal(vici_iter_next(&it, &e), 0);
	assert_int_equal(vici_iter_next(&it, &e), 0);
}

static void header_bytes_are_those_of_the_readme(void **state)
{
	static const uint8_t expected[] = {0, 0, 0, 12, 0, 7, 'v', 'e', 'r', 's', 'i', 'o', 'n'};
	uint8_t buf[VICI_HEADER_MAX];
	uint8_t *end = buf + sizeof(buf);

	(void)state;
	assert_int_equal(vici_header_put(end, VICI_CMD_REQUEST, "version", 3), sizeof(expected));
	assert_memory_equal(end - sizeof(expected), expected, sizeof(expected));
}

/* Cut anywhere, it is no message; but for the places where everything is closed. */
static void every_truncation_is_an_error(void **state)
{
	size_t len;

	(void)state;
	for (len = 0; len < sizeof(golden); len++) {
		/* a copy of just that length, so that a sanitizer sees each byte too far */
		char *copy = malloc(len + !len);
		struct vici_blob cut = {copy, len};
		bool whole = len == 0 || len == 14;

		memcpy(copy, golden, len);
		assert_int_equal(vici_message_check(cut), whole ? 0 : -EBADMSG);
		free(copy);
	}
	assert_int_equal(vici_message_check(golden_view), 0);
}

static void malformed_messages_are_errors(void **state)
{
	static const struct {
		const char *what;
		uint8_t bytes[16];
		size_t len;
	} cases[] = {
	        {"type 0", {0}, 1},
	        {"type 7", {7}, 1},
	        {"type 255", {255}, 1},
	        {"end without start", {2}, 1},
	        {"list end without start", {6}, 1},
	        {"item outside a list", {5, 0, 1, 'x'}, 4},
	        {"section left open", {1, 1, 'a'}, 3},
	        {"list left open", {4, 1, 'a'}, 3},
	        {"key in a list", {4, 1, 'a', 3, 1, 'k', 0, 0, 6}, 9},
	        {"section in a list", {4, 1, 'a', 1, 1, 'b', 2, 6}, 8},
	        {"list in a list", {4, 1, 'a', 4, 1, 'b', 6, 6}, 8},
	        {"section end in a list", {1, 1, 's', 4, 1, 'a', 2, 6}, 8},
	        {"name longer than the rest", {1, 9, 'a'}, 3},
	        {"value longer than the rest", {3, 1, 'a', 255, 255, 'x'}, 6},
	        {"no value length", {3, 1, 'a', 0}, 4},
	};
	struct vici_element e = {.name_len = 77};
	struct vici_iter it;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct vici_blob m = {cases[i].bytes, cases[i].len};

		if (vici_message_check(m) != -EBADMSG)
			fail_msg("%s was accepted", cases[i].what);
	}
	vici_iter_init(&it, (struct vici_blob){cases[0].bytes, 1});
	assert_int_equal(vici_iter_next(&it, &e), -EBADMSG);
	assert_int_equal(vici_iter_next(&it, &e), -EBADMSG);
	assert_int_equal(e.name_len, 77); /* untouched */
}

static int builder_depth(unsigned int depth)
{
	struct vici_builder b;
	unsigned int i;
	int r;

	vici_builder_init(&b);
	for (i = 0; i < depth; i++)
		vici_add_section(&b, "s");
	for (i = 0; i < depth; i++)
		vici_end_section(&b);
	r = vici_builder_check(&b);
	if (!r)
		assert_int_equal(vici_message_check(vici_builder_view(&b)), 0);
	vici_builder_fini(&b);
	return r;
}

static void depth_is_limited(void **state)
{
	uint8_t deep[3 * (VICI_DEPTH_MAX + 1)];
	size_t i;

	(void)state;
	assert_int_equal(builder_depth(VICI_DEPTH_MAX), 0);
	assert_int_equal(builder_depth(VICI_DEPTH_MAX + 1), -ELOOP);
	for (i = 0; i < sizeof(deep); i += 3)
		memcpy(deep + i, "\1\1s", 3);
	assert_int_equal(vici_message_check((struct vici_blob){deep, sizeof(deep)}), -ELOOP);
}

static int builder_lengths(size_t name_len, size_t value_len)
{
	char *name = malloc(name_len + 1), *value = calloc(1, value_len + 1);
	struct vici_builder b;
	int r;

	memset(name, 'n', name_len);
	name[name_len] = '\0';
	vici_builder_init(&b);
	vici_add_blob(&b, name, value, value_len);
	r = vici_builder_check(&b);
	vici_builder_fini(&b);
	free(name);
	free(value);
	return r;
}

static void lengths_are_limited(void **state)
{
	struct vici_builder b;
	char big[60000] = {0};
	int i;

	(void)state;
	assert_int_equal(builder_lengths(VICI_NAME_MAX, VICI_VALUE_MAX), 0);
	assert_int_equal(builder_lengths(VICI_NAME_MAX + 1, 0), -ENAMETOOLONG);
	assert_int_equal(builder_lengths(1, VICI_VALUE_MAX + 1), -EMSGSIZE);
	assert_int_equal(builder_lengths(0, 0), 0);
	vici_builder_init(&b);
	for (i = 0; i < 8; i++)
		vici_add_blob(&b, "k", big, sizeof(big));
	assert_int_equal(vici_builder_check(&b), 0);
	vici_add_blob(&b, "k", big, sizeof(big));
	assert_int_equal(vici_builder_check(&b), -EMSGSIZE);
	vici_add_str(&b, NULL, NULL);
	assert_int_equal(vici_builder_check(&b), -EMSGSIZE); /* the first error stays */
	assert_int_equal(vici_builder_view(&b).len, 0);
	vici_builder_fini(&b);
}

#define MISUSE(expected, ...)                                                                      \
	do {                                                                                       \
		struct vici_builder b;                                                             \
		vici_builder_init(&b);                                                             \
		__VA_ARGS__;                                                                       \
		assert_int_equal(vici_builder_check(&b), expected);                                \
		vici_builder_fini(&b);                                                             \
	} while (0)

static void misuse_is_an_error(void **state)
{
	(void)state;
	MISUSE(-EINVAL, vici_add_section(&b, "open"));
	MISUSE(-EINVAL, vici_add_list(&b, "open"));
	MISUSE(-EINVAL, vici_end_section(&b));
	MISUSE(-EINVAL, vici_end_list(&b));
	MISUSE(-EINVAL, vici_add_item(&b, "x"));
	MISUSE(-EINVAL, vici_add_list(&b, "l"); vici_add_str(&b, "k", "v"); vici_end_list(&b));
	MISUSE(-EINVAL, vici_add_list(&b, "l"); vici_add_list(&b, "m"); vici_end_list(&b));
	MISUSE(-EINVAL, vici_add_list(&b, "l"); vici_add_section(&b, "s"); vici_end_list(&b));
	MISUSE(-EINVAL, vici_add_section(&b, "s"); vici_add_list(&b, "l"); vici_end_section(&b));
	MISUSE(-EINVAL, vici_add_str(&b, "k", NULL));
	MISUSE(-EINVAL, vici_add_str(&b, NULL, "v"));
	MISUSE(-EINVAL, vici_add_blob(&b, "k", NULL, 1));
	MISUSE(0, vici_add_blob(&b, "k", NULL, 0));
	MISUSE(0, vici_add_strings(&b, "k", NULL));
}

static void numbers_are_text(void **state)
{
	struct vici_blob v;
	struct vici_builder b;
	uint64_t u = 5;
	int64_t i = 5;

	(void)state;
	vici_builder_init(&b);
	vici_add_u64(&b, "max", UINT64_MAX);
	vici_add_i64(&b, "minus", -1);
	vici_add_bool(&b, "yes", true);
	vici_add_bool(&b, "no", false);
	assert_int_equal(vici_find_u64(vici_builder_view(&b), "max", &u), 0);
	assert_true(u == UINT64_MAX);
	assert_int_equal(vici_find_value(vici_builder_view(&b), "minus", &v), 0);
	assert_int_equal(vici_parse_i64(v, &i), 0);
	assert_int_equal(i, -1);
	assert_int_equal(vici_parse_u64(v, &u), -EINVAL);
	assert_true(vici_find_yes(vici_builder_view(&b), "yes"));
	assert_false(vici_find_yes(vici_builder_view(&b), "no"));
	assert_false(vici_find_yes(vici_builder_view(&b), "absent"));
	vici_builder_fini(&b);
#define TEXT(s) ((struct vici_blob){s, strlen(s)})
	assert_int_equal(vici_parse_u64(TEXT(""), &u), -EINVAL);
	assert_int_equal(vici_parse_u64(TEXT("12x"), &u), -EINVAL);
	assert_int_equal(vici_parse_u64(TEXT("18446744073709551616"), &u), -ERANGE);
	assert_int_equal(vici_parse_i64(TEXT("-"), &i), -EINVAL);
	assert_int_equal(vici_parse_i64(TEXT("9223372036854775808"), &i), -ERANGE);
	assert_int_equal(vici_parse_i64((struct vici_blob){0}, &i), -EINVAL);
	assert_true(u == UINT64_MAX && i == -1); /* untouched */
	assert_int_equal(vici_parse_hex(TEXT("c0Ffee00"), &u), 0);
	assert_true(u == 0xc0ffee00);
	assert_int_equal(vici_parse_hex(TEXT("0x1"), &u), -EINVAL);
}

static void text_is_terminated_and_has_no_nul_inside(void **state)
{
	const struct vici_blob evil = {"a\0b", 3};
	char out[8] = "xxxxxxx";

	(void)state;
	assert_int_equal(vici_text(out, sizeof(out), evil), 3);
	assert_string_equal(out, "a?b");
	assert_int_equal(vici_text(out, 2, evil), 3);
	assert_string_equal(out, "a");
}

static void find_follows_paths(void **state)
{
	struct vici_blob v = {"untouched", 9}, sub;
	struct vici_builder b;

	(void)state;
	assert_int_equal(vici_find_value(golden_view, "section1.sub-section.key2", &v), 0);
	assert_true(vici_value_is(v, "value2"));
	assert_int_equal(vici_find_value(golden_view, "section1.sub-section.key", &v), -ENOENT);
	assert_int_equal(vici_find_value(golden_view, "section1xsub-section.key2", &v), -ENOENT);
	assert_int_equal(vici_find_value(golden_view, "section1.list1", &v), -ENOENT);
	assert_int_equal(vici_find_value(golden_view, "section1", &v), -ENOENT);
	assert_int_equal(vici_find_value(golden_view, "key1.key2", &v), -ENOENT);
	assert_true(vici_value_is(v, "value2"));
	assert_int_equal(vici_find_section(golden_view, "section1.sub-section", &sub), 0);
	assert_int_equal(sub.len, 14);
	assert_int_equal(vici_find_section(golden_view, "key1", &sub), -ENOENT);

	vici_builder_init(&b); /* names may hold dots */
	vici_add_section(&b, "ovl");
	vici_add_str(&b, "other", "0");
	vici_end_section(&b);
	vici_add_section(&b, "ovl.head1");
	vici_add_section(&b, "child-sas");
	vici_add_str(&b, "net.1.bytes", "7");
	vici_end_section(&b);
	vici_end_section(&b);
	assert_int_equal(
	        vici_find_value(vici_builder_view(&b), "ovl.head1.child-sas.net.1.bytes", &v), 0);
	assert_true(vici_value_is(v, "7"));
	vici_builder_fini(&b);
	v = (struct vici_blob){"\3\4a\0xy\0\1v", 9}; /* a NUL in a name is a byte like others */
	assert_int_equal(vici_find_value(v, "a", &v), -ENOENT);
	v = (struct vici_blob){"\1\1a\1\1b", 6};
	assert_int_equal(vici_find_value(v, "a.b", &sub), -EBADMSG);
}

/* ---- random trees, there and back ---- */

enum { NODES_MAX = 400, BYTES_MAX = 300 };

struct node {
	enum vici_type type;
	char name[VICI_NAME_MAX + 1];
	uint8_t value[BYTES_MAX];
	size_t value_len;
};

struct tree {
	struct node nodes[NODES_MAX + 2 * VICI_DEPTH_MAX];
	size_t n;
};

static uint64_t random_state;

static unsigned int random_below(unsigned int n)
{
	random_state = random_state * 6364136223846793005u + 1442695040888963407u;
	return (random_state >> 33) % n;
}

static void node_add(struct tree *t, enum vici_type type)
{
	bool named =
	        type == VICI_SECTION_START || type == VICI_LIST_START || type == VICI_KEY_VALUE;
	bool valued = type == VICI_LIST_ITEM || type == VICI_KEY_VALUE;
	struct node *node = &t->nodes[t->n++];
	size_t i, len = named ? random_below(random_below(20) ? 12 : VICI_NAME_MAX + 1) : 0;

	*node = (struct node){.type = type};
	for (i = 0; i < len; i++)
		node->name[i] = "abc.-_Z"[random_below(7)];
	node->value_len = valued ? random_below(BYTES_MAX) : 0;
	for (i = 0; i < node->value_len; i++)
		node->value[i] = random_below(256);
}

static void tree_make(struct tree *t)
{
	unsigned int depth = 0;
	bool list = false;

	t->n = 0;
	while (t->n < NODES_MAX && random_below(100)) {
		unsigned int what = random_below(4);

		if (list) {
			node_add(t, what ? VICI_LIST_ITEM : VICI_LIST_END);
			list = what;
		} else if (what == 0 && depth < VICI_DEPTH_MAX) {
			node_add(t, VICI_SECTION_START);
			depth++;
		} else if (what == 1 && depth) {
			node_add(t, VICI_SECTION_END);
			depth--;
		} else if (what == 2) {
			node_add(t, VICI_LIST_START);
			list = true;
		} else {
			node_add(t, VICI_KEY_VALUE);
		}
	}
	if (list)
		node_add(t, VICI_LIST_END);
	while (depth--)
		node_add(t, VICI_SECTION_END);
}

static void tree_build(const struct tree *t, struct vici_builder *b)
{
	size_t i;

	for (i = 0; i < t->n; i++) {
		const struct node *node = &t->nodes[i];

		switch (node->type) {
		case VICI_SECTION_START:
			vici_add_section(b, node->name);
			break;
		case VICI_SECTION_END:
			vici_end_section(b);
			break;
		case VICI_KEY_VALUE:
			vici_add_blob(b, node->name, node->value, node->value_len);
			break;
		case VICI_LIST_START:
			vici_add_list(b, node->name);
			break;
		case VICI_LIST_ITEM:
			vici_add_item_blob(b, node->value, node->value_len);
			break;
		case VICI_LIST_END:
			vici_end_list(b);
			break;
		}
	}
}

static bool tree_same(const struct tree *t, struct vici_blob m)
{
	struct vici_element e;
	struct vici_iter it;
	size_t i;

	vici_iter_init(&it, m);
	for (i = 0; i < t->n; i++) {
		const struct node *node = &t->nodes[i];

		if (vici_iter_next(&it, &e) != 1 || e.type != node->type)
			return false;
		if (e.name_len != strlen(node->name) || (e.name && !vici_name_is(&e, node->name)))
			return false;
		if (e.value.len != node->value_len ||
		        (e.value.len && memcmp(e.value.data, node->value, e.value.len)))
			return false;
	}
	return vici_iter_next(&it, &e) == 0;
}

static void random_trees_survive(void **state)
{
	static struct tree tree;
	const char *given = getenv("SEED");
	uint64_t seed = given ? strtoull(given, NULL, 0)
	                      : (uint64_t)time(NULL) * 1000003u ^ (uintptr_t)&tree;
	int round;

	(void)state;
	print_message("SEED=%llu\n", (unsigned long long)seed);
	random_state = seed;
	for (round = 0; round < 2000; round++) {
		struct vici_builder b;

		tree_make(&tree);
		if (round % 2)
			vici_builder_init_secret(&b);
		else
			vici_builder_init(&b);
		tree_build(&tree, &b);
		if (vici_builder_check(&b) || !tree_same(&tree, vici_builder_view(&b)))
			fail_msg("SEED=%llu: tree %d came back different", (unsigned long long)seed,
			        round);
		vici_builder_fini(&b);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(builder_makes_the_readme_bytes),
	        cmocka_unit_test(iterator_reads_the_readme_bytes),
	        cmocka_unit_test(header_bytes_are_those_of_the_readme),
	        cmocka_unit_test(every_truncation_is_an_error),
	        cmocka_unit_test(malformed_messages_are_errors),
	        cmocka_unit_test(depth_is_limited),
	        cmocka_unit_test(lengths_are_limited),
	        cmocka_unit_test(misuse_is_an_error),
	        cmocka_unit_test(numbers_are_text),
	        cmocka_unit_test(text_is_terminated_and_has_no_nul_inside),
	        cmocka_unit_test(find_follows_paths),
	        cmocka_unit_test(random_trees_survive),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Admissions as bytes: there and back, at every length, and nothing else is taken. */
#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "policy/admission.h"

static void name_of(char name[POLICY_NAME_MAX + 1], size_t len, char c)
{
	memset(name, c, len);
	name[len] = '\0';
}

static struct policy_admission make(size_t len)
{
	struct policy_admission a = {.addr4 = {AF_INET, {10, 77, 8, 9}}, .number = 70000};

	name_of(a.cluster, len, 'c');
	name_of(a.token, len, 't');
	name_of(a.name, len, 'n');
	name_of(a.seed, len, 's');
	memset(a.key.raw, 1, 32);
	memset(a.by_token, 2, 64);
	memset(a.by_seed, 3, 64);
	return a;
}

/* Behind its end nothing is readable: it has just its size. */
static int parse(const uint8_t *data, size_t len, struct policy_admission *out)
{
	uint8_t *copy = malloc(len ? len : 1);
	int ret;

	memcpy(copy, data, len);
	ret = policy_admission_parse(copy, len, out);
	free(copy);
	return ret;
}

static void there_and_back(void **state)
{
	(void)state;
	for (size_t len = 1; len <= POLICY_NAME_MAX; len++) {
		struct policy_admission a = make(len), back, none;
		uint8_t buf[POLICY_ADMISSION_MAX + 1];
		size_t n = policy_admission_print(&a, buf);

		assert_in_range(n, 1, POLICY_ADMISSION_MAX);
		memset(&back, 0, sizeof(back));
		assert_int_equal(parse(buf, n, &back), 0);
		assert_memory_equal(&back, &a, sizeof(a));
		memset(&none, 5, sizeof(none));
		back = none;
		for (size_t cut = 0; cut < n; cut++)
			assert_int_equal(parse(buf, cut, &back), -EINVAL);
		buf[n] = 0;
		assert_int_equal(parse(buf, n + 1, &back), -EINVAL);
		assert_memory_equal(&back, &none, sizeof(none));
	}
}

/* What is signed differs wherever a field does. */
static void words_hold_all(void **state)
{
	uint8_t seed[POLICY_ADMISSION_WORDS_MAX], other[POLICY_ADMISSION_WORDS_MAX];
	struct policy_admission a = make(POLICY_NAME_MAX), b;
	size_t n = policy_admission_words_seed(&a, seed);
	(void)state;

	assert_true(n <= POLICY_ADMISSION_WORDS_MAX);
	for (size_t i = 0; i < sizeof(a); i++) {
		bool counts = i < offsetof(struct policy_admission, addr4) ||
		              (i >= offsetof(struct policy_admission, addr4.bytes) &&
		                      i < offsetof(struct policy_admission, addr4.bytes) + 4) ||
		              (i >= offsetof(struct policy_admission, number) &&
		                      i < offsetof(struct policy_admission, by_seed));
		size_t m;

		b = a;
		((uint8_t *)&b)[i] ^= 1;
		if (!((uint8_t *)&a)[i])
			continue; /* a name's NUL */
		m = policy_admission_words_seed(&b, other);
		assert_int_equal(counts, m != n || memcmp(seed, other, n) != 0);
	}
	n = policy_admission_words_token(&a, seed);
	b = a;
	b.key.raw[31] ^= 1;
	assert_int_equal(policy_admission_words_token(&b, other), n);
	assert_memory_not_equal(seed, other, n);
	b = a;
	b.seed[0] = 'x';
	b.number = 1;
	policy_admission_words_token(&b, other);
	assert_memory_equal(seed, other, n);
}

static void what_cannot_be(void **state)
{
	struct policy_admission a = make(5);
	uint8_t buf[POLICY_ADMISSION_MAX];
	(void)state;

	a.name[0] = '/';
	assert_int_equal(policy_admission_print(&a, buf), 0);
	a = make(5);
	a.number = 0;
	assert_int_equal(policy_admission_print(&a, buf), 0);
	a = make(5);
	a.addr4.family = AF_INET6;
	assert_int_equal(policy_admission_print(&a, buf), 0);
	a = make(5);
	a.seed[0] = '\0';
	assert_int_equal(policy_admission_print(&a, buf), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(there_and_back),
	        cmocka_unit_test(words_hold_all),
	        cmocka_unit_test(what_cannot_be),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

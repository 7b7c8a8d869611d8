/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Tickets: what is printed is read back; what was copied badly is told, and never half believed. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "policy/ticket.h"

static void fill(void *buf, size_t len, uint8_t first)
{
	for (size_t i = 0; i < len; i++)
		((uint8_t *)buf)[i] = (uint8_t)(first + 7 * i);
}

static struct policy_ticket make(size_t seeds, bool token)
{
	struct policy_ticket t = {.cluster = "hpc", .port = 4500, .n_seeds = seeds};

	fill(t.cluster_key.id, sizeof(t.cluster_key.id), 1);
	fill(t.cluster_key.key, sizeof(t.cluster_key.key), 2);
	for (size_t i = 0; i < seeds; i++) {
		snprintf(t.seeds[i].name, sizeof(t.seeds[i].name), "head%zu", i);
		fill(t.seeds[i].key.raw, 32, (uint8_t)(3 + i));
		snprintf(t.seeds[i].host, sizeof(t.seeds[i].host), "h%zu.example", i);
		t.seeds[i].port = (uint16_t)(4500 + i);
	}
	t.has_token = token;
	if (token) {
		snprintf(t.token, sizeof(t.token), "burst");
		fill(t.secret, sizeof(t.secret), 200);
	}
	return t;
}

static void print(const struct policy_ticket *t, char buf[POLICY_TICKET_TEXT_MAX])
{
	assert_int_equal(policy_ticket_print(t, buf), 0);
	assert_true(strlen(buf) < POLICY_TICKET_TEXT_MAX);
}

static int parse(const char *text, char err[256])
{
	struct policy_ticket t = make(1, false), before = t;
	int ret = policy_ticket_parse(text, strlen(text), &t, err, 256);

	if (ret)
		assert_memory_equal(&t, &before, sizeof(t));
	return ret;
}

static void there_and_back(void **state)
{
	char text[POLICY_TICKET_TEXT_MAX], wrapped[2 * POLICY_TICKET_TEXT_MAX] = " \n";
	(void)state;

	for (size_t seeds = 1; seeds <= POLICY_TICKET_SEEDS_MAX; seeds++)
		for (int token = 0; token < 2; token++) {
			struct policy_ticket t = make(seeds, token), back;
			size_t n = 2;

			print(&t, text);
			memset(&back, 0, sizeof(back));
			assert_int_equal(
			        policy_ticket_parse(text, strlen(text), &back, NULL, 0), 0);
			assert_memory_equal(&back, &t, sizeof(t));
			assert_int_equal(policy_ticket_is_secret(text, strlen(text)), token);
			for (size_t i = 0; text[i]; i++) {
				wrapped[n++] = text[i];
				if (i > 20 && i % 79 == 0)
					wrapped[n++] = '\n';
			}
			wrapped[n++] = '\n';
			assert_int_equal(policy_ticket_parse(wrapped, n, &back, NULL, 0), 0);
			assert_memory_equal(&back, &t, sizeof(t));
		}
}

/* Every field at its longest. */
static void longest(void **state)
{
	struct policy_ticket t = make(POLICY_TICKET_SEEDS_MAX, true), back;
	char text[POLICY_TICKET_TEXT_MAX];
	(void)state;

	memset(t.cluster, 'c', POLICY_NAME_MAX);
	memset(t.token, 't', POLICY_NAME_MAX);
	for (size_t i = 0; i < t.n_seeds; i++) {
		memset(t.seeds[i].name, 'n', POLICY_NAME_MAX);
		memset(t.seeds[i].host, 'h', POLICY_TICKET_HOST_MAX);
	}
	print(&t, text);
	memset(&back, 0, sizeof(back));
	assert_int_equal(policy_ticket_parse(text, strlen(text), &back, NULL, 0), 0);
	assert_memory_equal(&back, &t, sizeof(t));
}

static void one_wrong_character(void **state)
{
	static const char others[] = "AZaz09-_+/=.!";
	char text[POLICY_TICKET_TEXT_MAX], bad[POLICY_TICKET_TEXT_MAX + 1], err[256];
	size_t begin = strlen(POLICY_TICKET_BEGIN_SECRET), len;
	struct policy_ticket t = make(2, true);
	(void)state;

	print(&t, text);
	len = strlen(text);
	for (size_t i = 0; i < len; i++) {
		for (const char *c = others; *c; c++) {
			if (text[i] == *c)
				continue;
			memcpy(bad, text, len + 1);
			bad[i] = *c;
			assert_int_not_equal(parse(bad, err), 0);
			if (i >= begin) {
				assert_int_equal(parse(bad, err), -EBADMSG);
				assert_non_null(strstr(err, "a character of it is wrong"));
			}
		}
		memcpy(bad, text, len + 1); /* one is missing */
		memmove(bad + i, bad + i + 1, len - i);
		assert_int_not_equal(parse(bad, err), 0);
		memcpy(bad, text, len + 1); /* cut short */
		bad[i] = '\0';
		assert_int_not_equal(parse(bad, err), 0);
		memcpy(bad, text, i); /* one too many */
		bad[i] = 'A';
		memcpy(bad + i + 1, text + i, len - i + 1);
		assert_int_not_equal(parse(bad, err), 0);
	}
}

static void no_ticket(void **state)
{
	char err[256];
	(void)state;

	assert_int_equal(parse("", err), -EINVAL);
	assert_int_equal(parse("hello", err), -EINVAL);
	assert_non_null(strstr(err, "no ticket"));
	assert_int_equal(parse("ovl1-", err), -EBADMSG);
	assert_int_equal(parse("ovl2-AAAA", err), -EPROTONOSUPPORT);
	assert_non_null(strstr(err, "newer release"));
}

static void cannot_be_made(void **state)
{
	char text[POLICY_TICKET_TEXT_MAX];
	struct policy_ticket t = make(1, false);
	(void)state;

	t.n_seeds = 0;
	assert_int_equal(policy_ticket_print(&t, text), -EINVAL);
	t = make(1, false);
	t.seeds[0].host[0] = '\n';
	assert_int_equal(policy_ticket_print(&t, text), -EINVAL);
	t = make(1, true);
	t.token[0] = '/';
	assert_int_equal(policy_ticket_print(&t, text), -EINVAL);
	t = make(1, false);
	t.cluster[0] = '\0';
	assert_int_equal(policy_ticket_print(&t, text), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(there_and_back),
	        cmocka_unit_test(longest),
	        cmocka_unit_test(one_wrong_character),
	        cmocka_unit_test(no_ticket),
	        cmocka_unit_test(cannot_be_made),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

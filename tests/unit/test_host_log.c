/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A log that nobody reads must not hold anything up. */
#include "host/log.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

static int64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* Reads all that is there into buf, as text. */
static size_t drain(int fd, char *buf, size_t size)
{
	size_t len = 0;
	ssize_t n;

	while (len < size - 1 && (n = read(fd, buf + len, size - 1 - len)) > 0)
		len += (size_t)n;
	buf[len] = 0;
	return len;
}

static void nobody_reads_it(void **state)
{
	static char text[1 << 20];
	int saved = dup(STDERR_FILENO);
	int64_t began;
	int ends[2];
	char *lost;

	(void)state;
	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	fcntl(ends[0], F_SETFL, O_NONBLOCK);
	assert_int_equal(dup2(ends[1], STDERR_FILENO), STDERR_FILENO);
	log_open(LOG_INFO);
	began = now_ms();
	for (int i = 0; i < 10000; i++)
		log_info("line %d of a log that nobody reads", i);
	assert_in_range(now_ms() - began, 0, 5000);
	assert_true(drain(ends[0], text, sizeof(text)) > 4096);
	assert_non_null(strstr(text, "<6>line 0 of"));
	assert_int_equal(text[strlen(text) - 1], '\n');
	/* Read again: what comes now is there, and how much is missing. */
	log_info("heard again");
	drain(ends[0], text, sizeof(text));
	lost = strstr(text, "lines of the log were lost");
	assert_non_null(lost);
	assert_true(strtoul(text + 3, NULL, 10) > 1000);
	assert_non_null(strstr(lost, "<6>heard again\n"));
	log_info("and no more of it");
	drain(ends[0], text, sizeof(text));
	assert_string_equal(text, "<6>and no more of it\n");
	dup2(saved, STDERR_FILENO);
	close(saved);
	close(ends[0]);
	close(ends[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(nobody_reads_it),
	};

	alarm(60); /* a log that waits would wait for ever */
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Run the built overlayctl, as an admin would, and look at what it said. */
#ifndef OVERLAYD_TESTS_RUN_CTL_H
#define OVERLAYD_TESTS_RUN_CTL_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#define RUN_ARGS_MAX 32

static char run_dir[64];
static int run_code;
static char run_out[65536], run_err[65536];

/* build/tests/unit/test_x -> build/overlayctl */
static void run_binary(char *path, size_t size)
{
	char self[PATH_MAX] = "";

	assert_true(readlink("/proc/self/exe", self, sizeof(self) - 1) > 0);
	for (int i = 0; i < 3; i++)
		*strrchr(self, '/') = '\0';
	assert_true(snprintf(path, size, "%s/overlayctl", self) < (int)size);
}

static void run_slurp(const char *path, char *text, size_t size)
{
	FILE *in = fopen(path, "r");
	size_t len;

	assert_non_null(in);
	len = fread(text, 1, size - 1, in);
	text[len] = '\0';
	fclose(in);
}

static void run_spit(const char *name, const char *text)
{
	char path[PATH_MAX];
	FILE *out;

	snprintf(path, sizeof(path), "%s/%s", run_dir, name);
	out = fopen(path, "w");
	assert_non_null(out);
	fputs(text, out);
	fclose(out);
}

/* Does this file of run_dir exist? */
static inline bool run_has(const char *name)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/%s", run_dir, name);
	return !access(path, F_OK);
}

static pid_t run_start(const char *out, const char *err, va_list list)
{
	char binary[PATH_MAX], *args[RUN_ARGS_MAX] = {(char *)"overlayctl"};
	pid_t child;
	int n = 1;

	for (char *arg; n < RUN_ARGS_MAX - 1 && (arg = va_arg(list, char *)); n++)
		args[n] = arg;
	run_binary(binary, sizeof(binary));
	fflush(NULL);
	child = fork();
	if (!child) {
		if (chdir(run_dir) < 0 || !freopen(out, "w", stdout) || !freopen(err, "w", stderr))
			_exit(98);
		execv(binary, args);
		_exit(99);
	}
	assert_true(child > 0);
	return child;
}

/* Run in run_dir; run_out, run_err and run_code are what came of it. End with NULL. */
__attribute__((sentinel)) static int run(const char *first, ...)
{
	char path[PATH_MAX];
	va_list list;
	pid_t child;
	int status;

	(void)first;
	va_start(list, first);
	child = run_start("../out", "../err", list);
	va_end(list);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	run_code = WEXITSTATUS(status);
	snprintf(path, sizeof(path), "%s/../out", run_dir);
	run_slurp(path, run_out, sizeof(run_out));
	snprintf(path, sizeof(path), "%s/../err", run_dir);
	run_slurp(path, run_err, sizeof(run_err));
	return run_code;
}

/* run() with this directory's files. */
#define RUN(...)                                                                                   \
	run("", "--config", "etc", "--state", "state", "--socket", "admin.sock", __VA_ARGS__, NULL)

/* A shell command in run_dir; $CTL is the program. */
static inline int run_shell(const char *command)
{
	char binary[PATH_MAX], line[2 * PATH_MAX];
	int status;

	run_binary(binary, sizeof(binary));
	snprintf(line, sizeof(line), "cd %s && CTL=%s && { %s; } >../out 2>../err", run_dir, binary,
	        command);
	status = system(line);
	assert_true(WIFEXITED(status));
	snprintf(line, sizeof(line), "%s/../out", run_dir);
	run_slurp(line, run_out, sizeof(run_out));
	snprintf(line, sizeof(line), "%s/../err", run_dir);
	run_slurp(line, run_err, sizeof(run_err));
	return WEXITSTATUS(status);
}

#define assert_says(text, part)                                                                    \
	do {                                                                                       \
		if (!strstr(text, part))                                                           \
			fail_msg("not \"%s\" in:\n%s", part, text);                                \
	} while (0)

static int run_setup(void **state)
{
	(void)state;
	strcpy(run_dir, "/tmp/ovl-ctl-XXXXXX");
	if (!mkdtemp(run_dir))
		return -1;
	strcat(run_dir, "/w");
	unsetenv("NO_COLOR");
	return mkdir(run_dir, 0755);
}

static int run_teardown(void **state)
{
	char command[128];

	(void)state;
	*strrchr(run_dir, '/') = '\0';
	snprintf(command, sizeof(command), "rm -rf %s", run_dir);
	return system(command);
}

#endif

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What all measurements share: a clock, samples, and rows.
 *
 * A program prints one JSON object per line (tests/bench/table.py makes tables of them):
 *	title()		what a table is about, and how it was measured
 *	row()		one measured value, beside its target if it has one
 *	skipped()	a value that could not be measured here, and why
 */
#ifndef TESTS_BENCH_BENCH_H
#define TESTS_BENCH_BENCH_H

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static inline _Noreturn void die(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static inline _Noreturn void die(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	fputs("bench: ", stderr);
	vfprintf(stderr, fmt, ap);
	fputc('\n', stderr);
	va_end(ap);
	exit(1);
}

static inline uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* ---- samples ---- */

#define SAMPLES_MAX 2048
struct samples {
	double v[SAMPLES_MAX];
	size_t n;
};

static inline void sample(struct samples *s, double v)
{
	if (s->n < SAMPLES_MAX)
		s->v[s->n++] = v;
}

static inline int compare_doubles(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

/* q = 0: the minimum, 0.5: the median. */
static inline double quantile(const struct samples *s, double q)
{
	struct samples sorted = *s;

	if (!s->n)
		die("no samples");
	qsort(sorted.v, sorted.n, sizeof(sorted.v[0]), compare_doubles);
	return sorted.v[(size_t)(q * (double)(sorted.n - 1) + 0.5)];
}

static inline double median(const struct samples *s)
{
	return quantile(s, 0.5);
}

static inline double minimum(const struct samples *s)
{
	return quantile(s, 0);
}

/* ---- rows; all texts are our own: nothing in them needs escaping ---- */

static inline void title(const char *part, const char *text, const char *method)
{
	printf("{\"part\":\"%s\",\"title\":\"%s\",\"method\":\"%s\"}\n", part, text, method);
	fflush(stdout);
}

/* op: "<=", ">=", "==", or NULL where there is no target. unit: "x", "us", "ms", "MB", ... */
static inline void row(const char *part, const char *what, double value, const char *unit,
        const char *op, double target)
{
	printf("{\"part\":\"%s\",\"what\":\"%s\",\"value\":%.6g,\"unit\":\"%s\"", part, what, value,
	        unit);
	if (op)
		printf(",\"op\":\"%s\",\"target\":%.6g", op, target);
	puts("}");
	fflush(stdout);
}

static inline void skipped(const char *part, const char *what, const char *why)
{
	printf("{\"part\":\"%s\",\"what\":\"%s\",\"skip\":\"%s\"}\n", part, what, why);
	fflush(stdout);
}

/* ---- namespaces ---- */

/* A fresh network namespace; this process is in it afterwards. */
static inline int namespace_new(void)
{
	int fd;

	if (unshare(CLONE_NEWNET) < 0)
		die("unshare: %s (bench needs root)", strerror(errno));
	fd = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		die("/proc/self/ns/net: %s", strerror(errno));
	return fd;
}

static inline void namespace_enter(int fd)
{
	if (setns(fd, CLONE_NEWNET) < 0)
		die("setns: %s", strerror(errno));
}

static inline void shell(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static inline void shell(const char *fmt, ...)
{
	char cmd[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(cmd, sizeof(cmd), fmt, ap);
	va_end(ap);
	if (system(cmd) != 0)
		die("failed: %s", cmd);
}

#endif

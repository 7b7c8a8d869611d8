/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/log.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static int log_level = LOG_INFO;
static bool log_terminal;

static const char *const level_names[] = {
        [LOG_EMERG] = "emerg",
        [LOG_ALERT] = "alert",
        [LOG_CRIT] = "crit",
        [LOG_ERR] = "err",
        [LOG_WARNING] = "warning",
        [LOG_NOTICE] = "notice",
        [LOG_INFO] = "info",
        [LOG_DEBUG] = "debug",
};

void log_open(int level)
{
	log_level = level;
	log_terminal = isatty(STDERR_FILENO);
}

bool log_wants(int priority)
{
	return priority <= log_level;
}

int log_level_parse(const char *name)
{
	for (int i = 0; i <= LOG_DEBUG; i++)
		if (strcmp(name, level_names[i]) == 0)
			return i;
	return -EINVAL;
}

/* Length of the well-formed UTF-8 sequence at s, 0 if there is none (RFC 3629). */
static size_t utf8_length(const unsigned char *s)
{
	size_t n = s[0] < 0x80                   ? 1
	           : s[0] >= 0xc2 && s[0] < 0xe0 ? 2
	           : (s[0] & 0xf0) == 0xe0       ? 3
	           : s[0] >= 0xf0 && s[0] < 0xf5 ? 4
	                                         : 0;

	for (size_t i = 1; i < n; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	if (n == 3 && ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] >= 0xa0)))
		return 0;
	if (n == 4 && ((s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] >= 0x90)))
		return 0;
	return n;
}

/* C0, DEL, C1, and the marks that turn the direction of text around (U+202A-E, U+2066-9). */
static bool is_control(const unsigned char *s, size_t n)
{
	if (n == 1)
		return s[0] < 0x20 || s[0] == 0x7f;
	if (n == 2)
		return s[0] == 0xc2 && s[1] < 0xa0;
	if (n == 3 && s[0] == 0xe2)
		return (s[1] == 0x80 && s[2] >= 0xa8 && s[2] <= 0xae) ||
		       (s[1] == 0x81 && s[2] >= 0xa6 && s[2] <= 0xa9);
	return false;
}

void text_sanitise(char *text)
{
	unsigned char *s = (unsigned char *)text;

	while (*s) {
		size_t n = utf8_length(s);

		if (n == 0 || is_control(s, n)) {
			n = n ? n : 1;
			memset(s, '?', n);
		}
		s += n;
	}
}

/*
 * Whoever reads the log may hang (journald, a stopped terminal, `| less`): we must not, as the line
 * may stand before a revocation. A slow reader is waited for, once; then lines are dropped and
 * counted until it reads again. A line fits PIPE_BUF: what poll(2) calls writable takes it whole.
 */
#define PATIENCE_MS 50

static bool log_stuck;
static unsigned long log_lost;

static bool line_write(const char *line, size_t len)
{
	struct pollfd pfd = {.fd = STDERR_FILENO, .events = POLLOUT};

	if (poll(&pfd, 1, log_stuck ? 0 : PATIENCE_MS) != 1 || !(pfd.revents & POLLOUT)) {
		log_stuck = true;
		return false;
	}
	log_stuck = false;
	return write(STDERR_FILENO, line, len) == (ssize_t)len;
}

static void line_print(int priority, const char *text)
{
	char line[PIPE_BUF];
	int len;

	if (log_terminal) {
		struct timespec ts;
		struct tm tm;

		clock_gettime(CLOCK_REALTIME, &ts);
		localtime_r(&ts.tv_sec, &tm);
		len = snprintf(line, sizeof(line), "%02d:%02d:%02d.%03ld %s: %s\n", tm.tm_hour,
		        tm.tm_min, tm.tm_sec, ts.tv_nsec / 1000000, level_names[priority], text);
	} else {
		len = snprintf(line, sizeof(line), "<%d>%s\n", priority, text);
	}
	if (len < 0 || len >= (int)sizeof(line) || !line_write(line, (size_t)len))
		log_lost++;
}

static void lost_print(void)
{
	unsigned long lost = log_lost;
	char text[64];

	snprintf(text, sizeof(text), "%lu lines of the log were lost: nobody read it", lost);
	line_print(LOG_WARNING, text);
	if (log_lost == lost)
		log_lost = 0;
	else
		log_lost = lost;
}

void log_print(int priority, const char *fmt, ...)
{
	char text[2048];
	va_list args;
	int saved = errno;

	if (priority > log_level)
		return;
	va_start(args, fmt);
	if (vsnprintf(text, sizeof(text), fmt, args) < 0)
		text[0] = 0;
	va_end(args);
	text_sanitise(text);
	if (log_lost)
		lost_print();
	line_print(priority, text);
	errno = saved;
}

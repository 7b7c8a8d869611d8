/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The daemon's log: one line a message, to stderr.
 *
 * Not on a terminal each line starts with its journal priority, "<6>", which journald and most
 * supervisors understand. All text is sanitised, as parts of it may come from peers: control
 * characters and what is not UTF-8 become '?'. Secrets are never logged. Only the host and main.c
 * log. It never waits for its reader: lines that nobody takes are dropped, and counted.
 */
#ifndef OVERLAYD_HOST_LOG_H
#define OVERLAYD_HOST_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <syslog.h>

/* level: least important priority that is still printed (LOG_ERR ... LOG_DEBUG). */
void log_open(int level);
bool log_wants(int priority);
void log_print(int priority, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* "err", "warning", "notice", "info", "debug" -> priority, or -EINVAL. */
int log_level_parse(const char *name);
/* In place: what a terminal or a log reader must not see becomes '?'. */
void text_sanitise(char *text);

#define log_error(...) log_print(LOG_ERR, __VA_ARGS__)
#define log_warning(...) log_print(LOG_WARNING, __VA_ARGS__)
#define log_notice(...) log_print(LOG_NOTICE, __VA_ARGS__)
#define log_info(...) log_print(LOG_INFO, __VA_ARGS__)
#define log_debug(...)                                                                             \
	do {                                                                                       \
		if (log_wants(LOG_DEBUG))                                                          \
			log_print(LOG_DEBUG, __VA_ARGS__);                                         \
	} while (0)

#endif

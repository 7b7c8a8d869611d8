/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Time zones, from TZif files (RFC 8536): which offset from UTC holds at a moment, and until
 * when. Read once when a policy is loaded; asking afterwards is pure.
 */
#ifndef OVERLAYD_POLICY_TZ_H
#define OVERLAYD_POLICY_TZ_H

#include <stdbool.h>
#include <stdint.h>

#include "policy/arena.h"

/* A rule of the footer for one switch of the year. */
struct pol_tz_rule {
	char kind; /* 'M' month.week.day, 'J' day 1-365 without leap day, 'N' day 0-365 */
	uint8_t month, week;
	uint16_t day;
	int32_t time; /* seconds after local midnight */
};

struct pol_tz {
	uint32_t n;
	int64_t *times;   /* transitions, rising */
	int32_t *offsets; /* offset from times[i] on */
	int32_t first;    /* before times[0] */
	/* After the last transition: the footer. */
	bool has_rules;
	int32_t standard;
	int32_t daylight;
	struct pol_tz_rule begins, ends; /* of daylight time */
};

/* The zone of this IANA name. -ENOENT: no such zone; -EINVAL: the file is bad; other errno. */
int pol_tz_load(struct pol_arena *arena, const char *name, const struct pol_tz **out);
/* From bytes, for tests and fuzzing. */
int pol_tz_parse(struct pol_arena *arena, const void *data, size_t len, const struct pol_tz **out);

/* Seconds east of UTC at t; *next is when that may change (INT64_MAX: never again). */
int32_t pol_tz_offset(const struct pol_tz *tz, int64_t t, int64_t *next);
/*
 * The first moment at which the clock on the wall shows `local` (seconds since 1970-01-01 00:00
 * local) or later: of two moments the earlier, of a skipped hour its end.
 */
int64_t pol_tz_local(const struct pol_tz *tz, int64_t local);

/* Days since 1970-01-01 of a date, and back. */
int64_t pol_days(int64_t year, unsigned month, unsigned day);
void pol_date(int64_t days, int64_t *year, unsigned *month, unsigned *day);
unsigned pol_month_days(int64_t year, unsigned month);

#endif

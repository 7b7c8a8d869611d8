/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "policy/tz.h"

#include <limits.h>

#define DAY 86400

/* Days from civil and back: Howard Hinnant's algorithms, with eras of 400 years. */
int64_t pol_days(int64_t year, unsigned month, unsigned day)
{
	int64_t y = year - (month <= 2), era = (y >= 0 ? y : y - 399) / 400;
	unsigned yoe = (unsigned)(y - era * 400);
	unsigned doy = (153 * (month + (month > 2 ? -3U : 9U)) + 2) / 5 + day - 1;
	unsigned doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;

	return era * 146097 + (int64_t)doe - 719468;
}

void pol_date(int64_t days, int64_t *year, unsigned *month, unsigned *day)
{
	int64_t z = days + 719468, era = (z >= 0 ? z : z - 146096) / 146097;
	unsigned doe = (unsigned)(z - era * 146097);
	unsigned yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
	unsigned doy = doe - (365 * yoe + yoe / 4 - yoe / 100), mp = (5 * doy + 2) / 153;

	*day = doy - (153 * mp + 2) / 5 + 1;
	*month = mp < 10 ? mp + 3 : mp - 9;
	*year = (int64_t)yoe + era * 400 + (*month <= 2);
}

static bool is_leap(int64_t year)
{
	return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

unsigned pol_month_days(int64_t year, unsigned month)
{
	static const uint8_t days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};

	return days[month - 1] + (month == 2 && is_leap(year));
}

/* When a rule strikes in a year, in local seconds since 1970. */
static int64_t rule_local(const struct pol_tz_rule *rule, int64_t year)
{
	int64_t day;

	switch (rule->kind) {
	case 'M': {
		int64_t first = pol_days(year, rule->month, 1);
		int64_t wday = ((first + 4) % 7 + 7) % 7; /* 1970-01-01 was a Thursday */
		int64_t add = (rule->day - wday + 7) % 7 + (rule->week - 1) * 7;

		if (add >= pol_month_days(year, rule->month)) /* week 5 means the last */
			add -= 7;
		day = first + add;
		break;
	}
	case 'J':
		day = pol_days(year, 1, 1) + rule->day - 1 + (is_leap(year) && rule->day >= 60);
		break;
	default:
		day = pol_days(year, 1, 1) + rule->day;
		break;
	}
	return day * DAY + rule->time;
}

/* The footer's switches around t, in order; the offset is that of the last one at or before. */
static int32_t rules_offset(const struct pol_tz *tz, int64_t t, int64_t *next)
{
	int64_t year, best = INT64_MIN;
	int32_t offset = tz->standard;
	unsigned month, day;

	pol_date((t >= 0 ? t : t - DAY + 1) / DAY, &year, &month, &day);
	*next = INT64_MAX;
	for (int64_t y = year - 1; y <= year + 1; y++) {
		int64_t begin = rule_local(&tz->begins, y) - tz->standard;
		int64_t end = rule_local(&tz->ends, y) - tz->daylight;

		/* When one ends as the other begins (all-year daylight time), the start wins. */
		if (end <= t && end > best) {
			best = end;
			offset = tz->standard;
		}
		if (begin <= t && begin >= best) {
			best = begin;
			offset = tz->daylight;
		}
		if (begin > t && begin < *next)
			*next = begin;
		if (end > t && end < *next)
			*next = end;
	}
	return offset;
}

int32_t pol_tz_offset(const struct pol_tz *tz, int64_t t, int64_t *next)
{
	uint32_t low = 0, high = tz->n;
	const int64_t bound = (int64_t)200000 * 366 * DAY;

	t = t > bound ? bound : t < -bound ? -bound : t;
	while (low < high) { /* first transition after t */
		uint32_t mid = low + (high - low) / 2;

		if (tz->times[mid] <= t)
			low = mid + 1;
		else
			high = mid;
	}
	if (low < tz->n) {
		*next = tz->times[low];
		return low ? tz->offsets[low - 1] : tz->first;
	}
	if (tz->has_rules)
		return rules_offset(tz, t, next);
	*next = INT64_MAX;
	return tz->standard;
}

int64_t pol_tz_local(const struct pol_tz *tz, int64_t local)
{
	int64_t t = local - (int64_t)3 * DAY; /* no offset is so large */

	for (;;) {
		int64_t next, candidate;
		int32_t offset = pol_tz_offset(tz, t, &next);

		candidate = local - offset > t ? local - offset : t;
		if (candidate < next)
			return candidate;
		t = next;
	}
}

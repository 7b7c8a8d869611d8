/* SPDX-License-Identifier: GPL-2.0-or-later */
/* When a peer may take part: `until` and `hours`, read and judged. */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "policy/internal.h"

#define DAY_MINUTES 1440
#define WEEK_MINUTES (7 * DAY_MINUTES)
#define WINDOWS_MAX 64U
#define YEAR_10000 253402300800 /* its first second */

/* ---- until */

static bool digits(const char **s, int n, unsigned *out)
{
	unsigned value = 0;

	for (; n > 0; n--, (*s)++) {
		if (**s < '0' || **s > '9')
			return false;
		value = value * 10 + (unsigned)(**s - '0');
	}
	*out = value;
	return true;
}

static bool until_read(const char *text, const struct pol_tz *tz, int64_t *out)
{
	unsigned year, month, day, hour, minute, second = 0;
	int64_t days, local;

	if (!digits(&text, 4, &year) || *text++ != '-' || !digits(&text, 2, &month) ||
	        *text++ != '-' || !digits(&text, 2, &day))
		return false;
	if (year < 1970 || month < 1 || month > 12 || day < 1 || day > pol_month_days(year, month))
		return false;
	days = pol_days(year, month, day);
	if (!*text) { /* through the end of that day */
		*out = pol_tz_local(tz, (days + 1) * 86400);
		return true;
	}
	if ((*text != 'T' && *text != ' ') || (text++, !digits(&text, 2, &hour)) ||
	        *text++ != ':' || !digits(&text, 2, &minute))
		return false;
	if (*text == ':' && (text++, !digits(&text, 2, &second)))
		return false;
	if (hour > 24 || minute > 59 || second > 59 || (hour == 24 && (minute || second)))
		return false;
	local = days * 86400 + hour * 3600 + minute * 60 + second;
	if (*text == 'Z' && !text[1])
		*out = local;
	else if (!*text)
		*out = pol_tz_local(tz, local);
	else
		return false;
	return true;
}

/* What would print as a year before 1970 or of five digits could not be read again. */
bool pol_until_parse(const char *text, const struct pol_tz *tz, int64_t *out)
{
	int64_t until;

	if (!until_read(text, tz, &until) || until < 0 || until >= YEAR_10000)
		return false;
	*out = until;
	return true;
}

void pol_until_print(int64_t until, char *buf, size_t size)
{
	int64_t days = (until >= 0 ? until : until - 86399) / 86400, rest = until - days * 86400,
	        year;
	unsigned month, day;

	pol_date(days, &year, &month, &day);
	snprintf(buf, size, "%04d-%02u-%02uT%02d:%02d:%02dZ", (int)year, month, day,
	        (int)(rest / 3600), (int)(rest / 60 % 60), (int)(rest % 60));
}

/* ---- hours, written */

struct windows {
	struct pol_window all[WINDOWS_MAX * 8];
	size_t n;
};

static const char *const day_names[] = {"Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"};

static void blanks(const char **s)
{
	while (**s == ' ')
		(*s)++;
}

static int day_read(const char **s)
{
	for (int i = 0; i < 7; i++) {
		if (strncasecmp(*s, day_names[i], 3) == 0) {
			*s += 3;
			return i;
		}
	}
	return -1;
}

/* "Mon-Fri", "Mon,Wed", "Sat-Mon,Wed": bits of days; none written means every day. */
static bool days_read(const char **s, unsigned *days)
{
	*days = 0;
	if (**s >= '0' && **s <= '9') {
		*days = 0x7f;
		return true;
	}
	for (;;) {
		int first = day_read(s), last = first;

		if (first < 0)
			return false;
		if (**s == '-') {
			(*s)++;
			last = day_read(s);
			if (last < 0)
				return false;
		}
		for (int d = first;; d = (d + 1) % 7) {
			*days |= 1U << d;
			if (d == last)
				break;
		}
		if (**s != ',')
			break;
		(*s)++;
		blanks(s);
	}
	if (**s != ' ')
		return false;
	blanks(s);
	return true;
}

static bool minute_read(const char **s, int *out)
{
	unsigned hour, minute;

	if (!digits(s, 2, &hour) || *(*s)++ != ':' || !digits(s, 2, &minute))
		return false;
	*out = (int)(hour * 60 + minute);
	return minute <= 59 && *out <= DAY_MINUTES;
}

static void window_add(struct windows *w, int start, int end)
{
	w->all[w->n++] = (struct pol_window){
	        (uint16_t)start, (uint16_t)(end > WEEK_MINUTES ? WEEK_MINUTES : end)};
	if (end > WEEK_MINUTES) /* Sunday's night ends on Monday */
		w->all[w->n++] = (struct pol_window){0, (uint16_t)(end - WEEK_MINUTES)};
}

static const char *hours_read(const char *s, struct windows *w)
{
	for (unsigned n = 0;; n++) {
		unsigned days;
		int start, end;

		if (n == WINDOWS_MAX)
			return "too many windows";
		blanks(&s);
		if (!days_read(&s, &days))
			return "days are Mon Tue Wed Thu Fri Sat Sun, as in Mon-Fri or Mon,Wed, "
			       "and then "
			       "the times";
		if (!minute_read(&s, &start) || *s++ != '-' || !minute_read(&s, &end))
			return "times are 00:00 to 24:00, as in 18:00-08:00";
		if (start == end || start == DAY_MINUTES)
			return "this window is empty; a whole day is 00:00-24:00";
		for (int d = 0; d < 7; d++)
			if (days >> d & 1)
				window_add(w, d * DAY_MINUTES + start,
				        d * DAY_MINUTES + end + (end < start ? DAY_MINUTES : 0));
		blanks(&s);
		if (!*s)
			return NULL;
		if (*s++ != ',')
			return "windows are separated by commas";
	}
}

static int window_compare(const void *a, const void *b)
{
	const struct pol_window *x = a, *y = b;

	return (int)x->start - (int)y->start;
}

static void windows_merge(struct windows *w)
{
	size_t n = 0;

	pol_sort(w->all, w->n, sizeof(w->all[0]), window_compare);
	for (size_t i = 1; i < w->n; i++) {
		if (w->all[i].start > w->all[n].end)
			w->all[++n] = w->all[i];
		else if (w->all[i].end > w->all[n].end)
			w->all[n].end = w->all[i].end;
	}
	w->n = n + 1;
}

/* One object for all peers with the same words in the same zone. */
const struct policy_hours *pol_hours_parse(
        struct pol_ctx *ctx, const struct pol_node *node, uint16_t site)
{
	const char *text = pol_text(ctx, node, "hours such as \"Mon-Fri 18:00-08:00\"");
	const struct pol_tz *tz = pol_site_zone(ctx, site);
	struct policy_hours *hours;
	struct windows w = {.n = 0};
	const char *fault;
	char key[600];
	uint32_t known;

	if (!text)
		return NULL;
	snprintf(key, sizeof(key), "%p %.512s", (const void *)tz, text);
	known = node->n <= 512 ? pol_names_get(&ctx->strings, key) : POL_NONE;
	if (known != POL_NONE)
		return ctx->hours[known];
	fault = node->n > 512 ? "too long" : hours_read(text, &w);
	if (fault) {
		pol_error(ctx, pol_at(ctx, node), "'%.80s' are no hours: %s", text, fault);
		return NULL;
	}
	windows_merge(&w);
	hours = pol_alloc(&ctx->keep, sizeof(*hours) + w.n * sizeof(w.all[0]));
	hours->tz = tz;
	hours->text = pol_keep(ctx, text);
	hours->n = w.n;
	memcpy(hours->windows, w.all, w.n * sizeof(w.all[0]));
	ctx->hours = pol_grow(
	        &ctx->scratch, ctx->hours, ctx->n_hours, &ctx->cap_hours, sizeof(*ctx->hours));
	ctx->hours[ctx->n_hours] = hours;
	pol_names_put(&ctx->scratch, &ctx->strings, pol_strndup(&ctx->scratch, key, strlen(key)),
	        (uint32_t)ctx->n_hours++);
	return hours;
}

/* ---- hours, judged */

/* Seconds since Monday 00:00 of a local time. */
static int64_t week_second(int64_t local)
{
	const int64_t week = (int64_t)WEEK_MINUTES * 60,
	              monday = (int64_t)4 * 86400; /* 1970-01-05 */

	return ((local - monday) % week + week) % week;
}

/* Is this second of the week in a window, and how many seconds until that changes? */
static bool week_active(const struct policy_hours *hours, int64_t second, int64_t *left)
{
	const int64_t week = (int64_t)WEEK_MINUTES * 60;
	const struct pol_window *w = hours->windows;
	size_t last = hours->n - 1;
	bool wraps = w[0].start == 0 && w[last].end == WEEK_MINUTES;

	for (size_t i = 0; i < hours->n; i++) {
		if (second < w[i].start * 60) {
			*left = w[i].start * 60 - second;
			return false;
		}
		if (second < w[i].end * 60) {
			*left = w[i].end * 60 - second;
			if (i == last && wraps)
				*left += w[0].end * 60;
			return true;
		}
	}
	*left = week - second + w[0].start * 60;
	return false;
}

bool pol_hours_active(const struct policy_hours *hours, int64_t now, int64_t *next)
{
	bool whole = hours->n == 1 && hours->windows[0].start == 0 &&
	             hours->windows[0].end == WEEK_MINUTES;
	bool active = true;
	int64_t t = now;

	*next = INT64_MAX;
	if (whole)
		return true;
	/*
	 * Stretch by stretch of one offset; where the clock jumps, look again. Within 8 days
	 * there is a change, unless the clock jumps about; the count bounds a strange zone file.
	 */
	for (int i = 0; i < 64; i++) {
		int64_t jump, left;
		int32_t offset = pol_tz_offset(hours->tz, t, &jump);
		bool is = week_active(hours, week_second(t + offset), &left);

		if (i == 0)
			active = is;
		else if (is != active) {
			*next = t;
			return active;
		}
		if (jump == INT64_MAX || left < jump - t) {
			*next = t + left;
			return active;
		}
		t = jump;
	}
	*next = t;
	return active;
}

bool policy_until_active(const struct policy_peer *peer, int64_t now, int64_t *next)
{
	bool active = !peer->has_until || now < peer->until;

	*next = peer->has_until && active ? peer->until : INT64_MAX;
	return active;
}

bool policy_hours_active(const struct policy_peer *peer, int64_t now, int64_t *next)
{
	const int64_t far = (int64_t)1 << 50;

	*next = INT64_MAX;
	return !peer->hours || pol_hours_active(peer->hours,
	                               now > far    ? far
	                               : now < -far ? -far
	                                            : now,
	                               next);
}

bool policy_peer_active(
        const struct policy *policy, const struct policy_peer *peer, int64_t now, int64_t *next)
{
	const int64_t far = (int64_t)1 << 50;
	bool active = true;
	int64_t change = INT64_MAX;

	(void)policy;
	now = now > far ? far : now < -far ? -far : now;
	if (peer->has_until && now >= peer->until) {
		active = false;
	} else {
		if (peer->hours)
			active = pol_hours_active(peer->hours, now, &change);
		/* An `until` in a window's pause changes nothing: the answer stays no. */
		if (peer->has_until && active && peer->until < change)
			change = peer->until;
		if (peer->has_until && !active && change >= peer->until)
			change = INT64_MAX;
	}
	if (next)
		*next = change;
	return active;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* until and hours: in the site's time, over midnight, over the days the clock jumps. */
#include "policy_bed.h"

#include <time.h>

#include "policy/internal.h"

static int64_t utc(const char *text)
{
	struct tm tm = {0};

	assert_non_null(strptime(text, "%Y-%m-%dT%H:%M:%S", &tm));
	return timegm(&tm);
}

static struct policy *with(const char *zone, const char *extra)
{
	char text[1000];

	snprintf(text, sizeof(text),
	        HEAD "sites: { hq: { timezone: %s } }\n"
	             "peers:\n  a: { key: \"" KEY1 "\", address: 10.77.0.1, site: hq, %s }\n",
	        zone, extra);
	return policy_good(text);
}

struct moment {
	const char *zone, *extra;
	const char *now; /* UTC */
	bool active;
	const char *next; /* UTC, NULL: never */
};

/* Brussels: UTC+1, in summer UTC+2 from 2026-03-29T01:00Z to 2026-10-25T01:00Z. */
#define BRU "Europe/Brussels"
#define NIGHT "hours: \"Mon-Fri 18:00-08:00\""
static const struct moment moments[] = {
        {BRU, "roles: []", "2026-06-01T12:00:00", true, NULL},
        {BRU, "until: 2026-12-31", "2026-12-31T22:59:59", true, "2026-12-31T23:00:00"},
        {BRU, "until: 2026-12-31", "2026-12-31T23:00:00", false, NULL},
        {BRU, "until: 2026-06-30", "2026-06-30T21:59:59", true, "2026-06-30T22:00:00"},
        {BRU, "until: 2026-12-31T18:00", "2026-12-31T16:59:59", true, "2026-12-31T17:00:00"},
        {BRU, "until: \"2026-12-31T18:00Z\"", "2026-12-31T17:59:59", true, "2026-12-31T18:00:00"},
        /* Monday 2026-06-01, summer: 18:00 is 16:00Z */
        {BRU, NIGHT, "2026-06-01T15:59:59", false, "2026-06-01T16:00:00"},
        {BRU, NIGHT, "2026-06-01T16:00:00", true, "2026-06-02T06:00:00"},
        {BRU, NIGHT, "2026-06-02T05:59:59", true, "2026-06-02T06:00:00"},
        {BRU, NIGHT, "2026-06-02T06:00:00", false, "2026-06-02T16:00:00"},
        /* Friday night ends on Saturday; the next is on Monday */
        {BRU, NIGHT, "2026-06-06T05:00:00", true, "2026-06-06T06:00:00"},
        {BRU, NIGHT, "2026-06-06T06:00:00", false, "2026-06-08T16:00:00"},
        /* Sunday's night ends on Monday: over the week's end */
        {"UTC", "hours: \"Sun 22:00-06:00\"", "2026-06-07T23:00:00", true, "2026-06-08T06:00:00"},
        {"UTC", "hours: \"Sun 22:00-06:00\"", "2026-06-08T05:00:00", true, "2026-06-08T06:00:00"},
        {"UTC", "hours: \"Sun 22:00-06:00\"", "2026-06-08T06:00:00", false, "2026-06-14T22:00:00"},
        {"UTC", "hours: \"Sat-Sun 00:00-24:00\"", "2026-06-06T00:00:00", true,
                "2026-06-08T00:00:00"},
        {"UTC", "hours: \"Sat-Mon 00:00-24:00\"", "2026-06-06T00:00:00", true,
                "2026-06-09T00:00:00"},
        {"UTC", "hours: \"00:00-24:00\"", "2026-06-06T00:00:00", true, NULL},
        {"UTC", "hours: \"00:00-12:00, 12:00-24:00\"", "2026-06-06T00:00:00", true, NULL},
        {"UTC", "hours: \"Mon,Wed 08:00-10:00, Fri 09:00-09:30\"", "2026-06-03T10:00:00", false,
                "2026-06-05T09:00:00"},
        {"UTC", "hours: \"mon 08:00-10:00\"", "2026-06-01T09:00:00", true, "2026-06-01T10:00:00"},
        /* The clock jumps from 02:00 to 03:00 on Sunday 2026-03-29: a shorter night */
        {BRU, "hours: \"Sat 22:00-06:00\"", "2026-03-28T21:00:00", true, "2026-03-29T04:00:00"},
        /* A window inside the skipped hour does not come at all that day */
        {BRU, "hours: \"Sun 02:00-03:00\"", "2026-03-28T12:00:00", false, "2026-04-05T00:00:00"},
        /* It begins in the skipped hour: at the jump */
        {BRU, "hours: \"Sun 02:30-05:00\"", "2026-03-29T00:59:59", false, "2026-03-29T01:00:00"},
        {BRU, "hours: \"Sun 02:30-05:00\"", "2026-03-29T01:00:00", true, "2026-03-29T03:00:00"},
        /* From 03:00 back to 02:00 on Sunday 2026-10-25: the hour comes twice */
        {BRU, "hours: \"Sun 02:00-03:00\"", "2026-10-25T00:00:00", true, "2026-10-25T02:00:00"},
        {BRU, "hours: \"Sun 02:00-02:30\"", "2026-10-25T00:00:00", true, "2026-10-25T00:30:00"},
        {BRU, "hours: \"Sun 02:00-02:30\"", "2026-10-25T00:30:00", false, "2026-10-25T01:00:00"},
        {BRU, "hours: \"Sun 02:00-02:30\"", "2026-10-25T01:00:00", true, "2026-10-25T01:30:00"},
        /* Far ahead the file's footer decides: 2060-03-28 is the last Sunday of March */
        {BRU, "hours: \"Sun 02:30-05:00\"", "2060-03-28T00:00:00", false, "2060-03-28T01:00:00"},
        {BRU, "until: 2060-07-01", "2060-07-01T00:00:00", true, "2060-07-01T22:00:00"},
        /* South of the equator, half an hour of daylight time */
        {"Australia/Lord_Howe", "until: 2026-12-31", "2026-12-31T00:00:00", true,
                "2026-12-31T13:00:00"},
        {"Australia/Lord_Howe", "until: 2040-07-01", "2040-07-01T00:00:00", true,
                "2040-07-01T13:30:00"},
        {"Asia/Kolkata", "hours: \"00:00-01:00\"", "2026-06-01T18:29:59", false,
                "2026-06-01T18:30:00"},
        /* Both: the nearer counts; after `until` nothing does */
        {"UTC", "until: 2026-06-01T20:00, hours: \"18:00-22:00\"", "2026-06-01T19:00:00", true,
                "2026-06-01T20:00:00"},
        {"UTC", "until: 2026-06-01T17:00, hours: \"18:00-22:00\"", "2026-06-01T16:00:00", false,
                NULL},
        {"UTC", "until: 2026-06-01T20:00, hours: \"18:00-22:00\"", "2026-06-01T16:00:00", false,
                "2026-06-01T18:00:00"},
};

static void test_moments(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(moments) / sizeof(moments[0]); i++) {
		const struct moment *m = &moments[i];
		struct policy *policy = with(m->zone, m->extra);
		int64_t next = 0, expected = m->next ? utc(m->next) : INT64_MAX;
		bool active = policy_peer_active(policy, &policy->peers[0], utc(m->now), &next);

		if (active != m->active || next != expected)
			fail_msg("%s %s at %s: active %d, next %lld; expected %d, %lld", m->zone,
			        m->extra, m->now, active, (long long)next, m->active,
			        (long long)expected);
		policy_unref(policy);
	}
}

/* Against libc's own zones: minute by minute where the clock jumps, and `next` is exact. */
static void test_against_libc(void **state)
{
	static const char *const zones[] = {"Europe/Brussels", "America/New_York",
	        "Australia/Lord_Howe", "Africa/Casablanca", "Asia/Kathmandu", "America/Nuuk",
	        "Antarctica/Troll", "Pacific/Apia"};
	unsigned seed = (unsigned)time(NULL);

	(void)state;
	print_message("seed %u\n", seed);
	for (size_t z = 0; z < sizeof(zones) / sizeof(zones[0]); z++) {
		struct policy *policy = with(zones[z], "roles: []");
		const struct pol_tz *tz = ((struct pol_full *)policy)->zones[0];

		setenv("TZ", zones[z], 1);
		tzset();
		for (int i = 0; i < 20000; i++) {
			time_t t = (time_t)(rand_r(&seed) % 200000) * 21600 + rand_r(&seed) % 21600;
			struct tm tm;
			int64_t next;

			t -= (time_t)5 * 365 * 86400;
			localtime_r(&t, &tm);
			if (pol_tz_offset(tz, t, &next) != tm.tm_gmtoff)
				fail_msg("%s at %lld: %d, libc %ld", zones[z], (long long)t,
				        pol_tz_offset(tz, t, &next), tm.tm_gmtoff);
			assert_true(next > t);
		}
		policy_unref(policy);
	}
	unsetenv("TZ");
	tzset();
}

/* Damaged zone files: each cut and each changed byte is refused or read, never a crash. */
static void test_tzif_damaged(void **state)
{
	struct pol_arena arena = {0};
	const struct pol_tz *tz;
	unsigned char data[8192], copy[8192];
	FILE *file = fopen("/usr/share/zoneinfo/Europe/Brussels", "rb");
	jmp_buf oom;
	size_t len;

	(void)state;
	assert_non_null(file);
	len = fread(data, 1, sizeof(data), file);
	fclose(file);
	if (setjmp(oom))
		fail();
	arena.oom = &oom;
	assert_int_equal(pol_tz_parse(&arena, data, len, &tz), 0);
	for (size_t i = 0; i < len; i++)
		assert_int_equal(pol_tz_parse(&arena, data, i, &tz), -EINVAL);
	for (size_t i = 0; i < len; i++) {
		int64_t next;

		memcpy(copy, data, len);
		copy[i] ^= 0x81;
		if (pol_tz_parse(&arena, copy, len, &tz) == 0) {
			pol_tz_offset(tz, 1780000000, &next);
			pol_tz_local(tz, 1780000000);
		}
		pol_arena_reset(&arena);
	}
	pol_arena_free(&arena);
}

/* Only what prints as a date can be read again. */
static void test_until_ends(void **state)
{
	const struct until_case {
		const char *zone, *until;
		bool good;
	} cases[] = {{"UTC", "9999-12-31T23:59:59Z", true}, {"UTC", "9999-12-31", false},
	        {"UTC", "1970-01-01T00:00Z", true}, {BRU, "1970-01-01T00:30", false}};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct policy_report report;
		struct policy *policy = NULL;
		char text[500];
		int ret;

		snprintf(text, sizeof(text),
		        HEAD "sites: { hq: { timezone: %s } }\npeers:\n  a: { key: \"" KEY1
		             "\", address: 10.77.0.1, site: hq, until: \"%s\" }\n",
		        cases[i].zone, cases[i].until);
		ret = text_parse(text, NULL, &policy, &report);
		if (ret != (cases[i].good ? 0 : -EINVAL))
			fail_msg("%s: %d", cases[i].until, ret);
		policy_unref(policy);
		policy_report_clear(&report);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(test_moments),
	        cmocka_unit_test(test_against_libc),
	        cmocka_unit_test(test_tzif_damaged),
	        cmocka_unit_test(test_until_ends),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

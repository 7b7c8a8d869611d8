/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The reader of TZif files (RFC 8536): version 2 or newer, 64-bit part and footer only. */
#include "policy/tz.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define ZONEINFO "/usr/share/zoneinfo"
#define TZIF_MAX 65536U
#define TIMES_MAX 4096U
#define OFFSET_MAX (26 * 3600) /* RFC 8536 3.2: -89999 to 93599 */
#define HEADER 44U

struct bytes {
	const unsigned char *at;
	size_t left;
};

struct counts {
	uint32_t isut, isstd, leap, time, type, chars;
};

static uint32_t be32(const unsigned char *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static int64_t be64(const unsigned char *p)
{
	return (int64_t)((uint64_t)be32(p) << 32 | be32(p + 4));
}

static bool header_read(struct bytes *in, unsigned char *version, struct counts *n)
{
	const unsigned char *p = in->at;

	if (in->left < HEADER || memcmp(p, "TZif", 4) != 0)
		return false;
	*version = p[4];
	*n = (struct counts){
	        be32(p + 20), be32(p + 24), be32(p + 28), be32(p + 32), be32(p + 36), be32(p + 40)};
	in->at += HEADER;
	in->left -= HEADER;
	return n->time <= TIMES_MAX && n->type >= 1 && n->type <= 256 && n->chars <= 4096 &&
	       n->leap <= 4096 && n->isut <= 256 && n->isstd <= 256;
}

static size_t block_size(const struct counts *n, size_t time_size)
{
	return n->time * (time_size + 1) + n->type * (size_t)6 + n->chars +
	       n->leap * (time_size + 4) + n->isstd + n->isut;
}

static bool number_read(const char **s, int32_t max, int32_t *out)
{
	int32_t n = 0;
	const char *p = *s;

	if (*p < '0' || *p > '9')
		return false;
	for (; *p >= '0' && *p <= '9'; p++) {
		n = n * 10 + (*p - '0');
		if (n > max)
			return false;
	}
	*s = p;
	*out = n;
	return true;
}

/* [+-]hh[:mm[:ss]] */
static bool time_read(const char **s, int32_t max_hours, int32_t *out)
{
	int32_t sign = 1, h, m = 0, sec = 0;

	if (**s == '-' || **s == '+')
		sign = *(*s)++ == '-' ? -1 : 1;
	if (!number_read(s, max_hours, &h))
		return false;
	if (**s == ':') {
		(*s)++;
		if (!number_read(s, 59, &m))
			return false;
		if (**s == ':') {
			(*s)++;
			if (!number_read(s, 59, &sec))
				return false;
		}
	}
	*out = sign * (h * 3600 + m * 60 + sec);
	return true;
}

static bool abbreviation_skip(const char **s)
{
	const char *p = *s;

	if (*p == '<') {
		while (*p && *p != '>')
			p++;
		if (!*p)
			return false;
		*s = p + 1;
		return true;
	}
	while ((*p >= 'A' && *p <= 'Z') || (*p >= 'a' && *p <= 'z'))
		p++;
	if (p - *s < 3)
		return false;
	*s = p;
	return true;
}

/* ",M3.2.0/2", ",J60", ",59/1:30" */
static bool rule_read(const char **s, struct pol_tz_rule *rule)
{
	int32_t a, b, c;

	if (*(*s)++ != ',')
		return false;
	rule->time = 2 * 3600;
	if (**s == 'M') {
		rule->kind = 'M';
		(*s)++;
		if (!number_read(s, 12, &a) || a < 1 || *(*s)++ != '.' || !number_read(s, 5, &b) ||
		        b < 1 || *(*s)++ != '.' || !number_read(s, 6, &c))
			return false;
		rule->month = (uint8_t)a;
		rule->week = (uint8_t)b;
		rule->day = (uint16_t)c;
	} else {
		rule->kind = **s == 'J' ? 'J' : 'N';
		*s += **s == 'J';
		if (!number_read(s, 365, &a) || (rule->kind == 'J' && a < 1))
			return false;
		rule->day = (uint16_t)a;
	}
	if (**s != '/')
		return true;
	(*s)++;
	return time_read(s, 167, &rule->time);
}

/* The POSIX TZ string between two newlines; its offsets count west, ours east. */
static bool footer_read(struct bytes *in, struct pol_tz *tz)
{
	char text[128];
	const char *s = text;
	const unsigned char *end;
	size_t len;

	if (in->left < 2 || in->at[0] != '\n')
		return false;
	end = memchr(in->at + 1, '\n', in->left - 1);
	if (!end || (len = (size_t)(end - in->at) - 1) >= sizeof(text))
		return false;
	memcpy(text, in->at + 1, len);
	text[len] = '\0';
	if (len == 0) { /* no rule: the last transition's offset stays */
		tz->standard = tz->n ? tz->offsets[tz->n - 1] : tz->first;
		return true;
	}
	if (!abbreviation_skip(&s) || !time_read(&s, 24, &tz->standard))
		return false;
	tz->standard = -tz->standard;
	if (!*s)
		return true;
	tz->daylight = -(tz->standard + 3600);
	if (!abbreviation_skip(&s) || (*s != ',' && !time_read(&s, 24, &tz->daylight)))
		return false;
	tz->daylight = -tz->daylight;
	tz->has_rules = true;
	return rule_read(&s, &tz->begins) && rule_read(&s, &tz->ends) && !*s;
}

static bool block_read(
        struct pol_arena *arena, struct bytes *in, const struct counts *n, struct pol_tz *tz)
{
	const unsigned char *times = in->at, *kinds = times + n->time * (size_t)8;
	const unsigned char *types = kinds + n->time;
	int32_t offsets[256];

	if (in->left < block_size(n, 8))
		return false;
	for (uint32_t i = 0; i < n->type; i++) {
		offsets[i] = (int32_t)be32(types + i * (size_t)6);
		if (offsets[i] > OFFSET_MAX || offsets[i] < -OFFSET_MAX)
			return false;
	}
	tz->n = n->time;
	tz->first = offsets[0];
	tz->times = pol_array(arena, n->time, sizeof(*tz->times));
	tz->offsets = pol_array(arena, n->time, sizeof(*tz->offsets));
	for (uint32_t i = 0; i < n->time; i++) {
		tz->times[i] = be64(times + i * (size_t)8);
		if (kinds[i] >= n->type || (i && tz->times[i] <= tz->times[i - 1]))
			return false;
		tz->offsets[i] = offsets[kinds[i]];
	}
	in->at += block_size(n, 8);
	in->left -= block_size(n, 8);
	return true;
}

int pol_tz_parse(struct pol_arena *arena, const void *data, size_t len, const struct pol_tz **out)
{
	struct bytes in = {data, len};
	struct pol_tz *tz = pol_alloc(arena, sizeof(*tz));
	unsigned char version;
	struct counts n;

	if (!header_read(&in, &version, &n) || version < '2' || in.left < block_size(&n, 4))
		return -EINVAL;
	in.at += block_size(&n, 4);
	in.left -= block_size(&n, 4);
	if (!header_read(&in, &version, &n) || !block_read(arena, &in, &n, tz) ||
	        !footer_read(&in, tz))
		return -EINVAL;
	*out = tz;
	return 0;
}

/* Letters, digits, _ + - . in parts between slashes, no part beginning with a dot. */
static bool zone_name_valid(const char *name)
{
	char before = '/';

	if (strlen(name) > 63 || !*name)
		return false;
	for (; *name; before = *name++) {
		bool letter = (*name >= 'A' && *name <= 'Z') || (*name >= 'a' && *name <= 'z');

		if (before == '/' && !letter)
			return false;
		if (!letter && !(*name >= '0' && *name <= '9') && !strchr("_+-/", *name))
			return false;
	}
	return before != '/';
}

static int file_read(const char *path, unsigned char *buf, size_t size, size_t *len)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK), ret = 0;
	struct stat st;

	if (fd < 0)
		return errno == ENOTDIR ? -ENOENT : -errno;
	*len = 0;
	if (fstat(fd, &st) || !S_ISREG(st.st_mode))
		ret = -ENOENT;
	while (!ret && *len < size) {
		ssize_t n = read(fd, buf + *len, size - *len);

		if (n < 0 && errno != EINTR)
			ret = -errno;
		if (n == 0)
			break;
		if (n > 0)
			*len += (size_t)n;
	}
	if (!ret && *len == size)
		ret = -EINVAL;
	close(fd);
	return ret;
}

int pol_tz_load(struct pol_arena *arena, const char *name, const struct pol_tz **out)
{
	char path[sizeof(ZONEINFO) + 64 + 1];
	unsigned char *buf;
	size_t len = 0;
	int ret;

	if (!zone_name_valid(name))
		return -ENOENT;
	if (strcmp(name, "UTC") == 0) { /* needs no file: small images have no tzdata */
		*out = pol_alloc(arena, sizeof(**out));
		return 0;
	}
	strcpy(path, ZONEINFO "/");
	strcat(path, name);
	buf = pol_alloc(arena, TZIF_MAX);
	ret = file_read(path, buf, TZIF_MAX, &len);
	if (ret)
		return ret;
	return pol_tz_parse(arena, buf, len, out);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <inttypes.h>
#include <openssl/crypto.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ctl/ctl.h"

void ctl_error(struct ctl *ctl, const char *format, ...)
{
	const char *name = ctl->command ? ctl->command->name : NULL;
	va_list args;

	fflush(stdout);
	fprintf(stderr, "overlayctl%s%s: ", name ? " " : "", name ? name : "");
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
}

int ctl_exit_of(int error)
{
	switch (error) {
	case 0:
		return CTL_OK;
	case -EACCES:
	case -EPERM:
		return CTL_PERMISSION;
	case -ENOENT:
	case -ECONNREFUSED:
	case -ECONNRESET:
	case -ETIMEDOUT:
	case -EUSERS:
	case -EBADMSG:
	case -EPROTONOSUPPORT:
		return CTL_UNREACHABLE;
	}
	return CTL_FAILED;
}

FILE *ctl_out(const struct ctl *ctl)
{
	return ctl->answer_only ? stderr : stdout;
}

int ctl_print_json(json_t *value)
{
	char *text = value ? json_dumps(value, JSON_INDENT(2) | JSON_ENCODE_ANY) : NULL;

	json_decref(value);
	if (!text)
		return CTL_FAILED;
	puts(text);
	OPENSSL_cleanse(text, strlen(text)); /* a ticket's secret may be in it */
	free(text);
	return CTL_OK;
}

bool ctl_colour(const struct ctl *ctl, FILE *out)
{
	const char *term = getenv("TERM");

	return !ctl->no_colour && !ctl->json && isatty(fileno(out)) && term && strcmp(term, "dumb");
}

/* C0 and DEL are one byte; C1 is two (0xc2 0x80..0x9f) and moves terminals just as well. */
void ctl_clean(char *text)
{
	for (unsigned char *at = (unsigned char *)text; *at; at++) {
		if (*at < 0x20 || *at == 0x7f)
			*at = '?';
		else if (at[0] == 0xc2 && at[1] >= 0x80 && at[1] < 0xa0)
			at[0] = at[1] = '?';
	}
}

void ctl_print_text(FILE *out, const char *text)
{
	while (*text) {
		size_t plain = strcspn(text, "\n\t");
		char *part = strndup(text, plain);

		if (!part)
			return;
		ctl_clean(part);
		fputs(part, out);
		free(part);
		text += plain;
		if (*text)
			fputc(*text++, out);
	}
}

const char *ctl_duration(int64_t s, char buf[16])
{
	if (s < 0)
		return "-";
	if (s < 60)
		snprintf(buf, 16, "%" PRId64 "s", s);
	else if (s < 3600)
		snprintf(buf, 16, "%" PRId64 "m%02" PRId64 "s", s / 60, s % 60);
	else if (s < 86400)
		snprintf(buf, 16, "%" PRId64 "h%02" PRId64 "m", s / 3600, s / 60 % 60);
	else if (s < 86400LL * 10000)
		snprintf(buf, 16, "%" PRId64 "d%02" PRId64 "h", s / 86400, s / 3600 % 24);
	else
		return "ages";
	return buf;
}

const char *ctl_bytes(int64_t bytes, char buf[16])
{
	static const char *const units[] = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
	double value = (double)bytes;
	size_t unit = 0;

	if (bytes < 0)
		return "-";
	if (bytes < 1024) {
		snprintf(buf, 16, "%d B", (int)bytes);
		return buf;
	}
	/* 1023.95 would print as 1024.0: that is one of the next unit. */
	for (value /= 1024; value >= 999.5 && unit < 5; value /= 1024)
		unit++;
	snprintf(buf, 16, value < 9.95 ? "%.1f %s" : "%.0f %s", value, units[unit]);
	return buf;
}

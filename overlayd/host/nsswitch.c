/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/nsswitch.h"

#include <ctype.h>
#include <nss.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FILE_MAX 65536
#define BLANKS " \t"

/* What stands behind "hosts:", and how long it is. */
static const char *hosts_line(const char *text, size_t *len)
{
	for (; *text; text += strcspn(text, "\n"), text += *text == '\n') {
		const char *at = text + strspn(text, BLANKS);

		if (strncmp(at, "hosts", 5) != 0)
			continue;
		at += 5;
		at += strspn(at, BLANKS);
		if (*at != ':')
			continue;
		*len = strcspn(++at, "#\n");
		return at;
	}
	return NULL;
}

/* A service's name, or an action in its brackets, blanks inside and all. */
static size_t word_len(const char *at, const char *end)
{
	const char *to = at;

	if (*at == '[') {
		while (to < end && *to != ']')
			to++;
		return (size_t)(to - at) + (to < end);
	}
	while (to < end && !isblank((unsigned char)*to) && *to != '[')
		to++;
	return (size_t)(to - at);
}

char *nsswitch_hosts_without(const char *text, const char *service)
{
	size_t len, size, n;
	const char *at = hosts_line(text, &len);
	const char *end = at ? at + len : NULL;
	bool found = false, skip = false;
	char *out = NULL;
	FILE *print = at ? open_memstream(&out, &size) : NULL;

	if (!print)
		return NULL;
	for (; at < end; at += n) {
		n = strspn(at, BLANKS);
		if (n)
			continue;
		n = word_len(at, end);
		if (*at != '[')
			skip = n == strlen(service) && memcmp(at, service, n) == 0;
		found |= skip;
		if (!skip)
			fprintf(print, "%s%.*s", ftell(print) ? " " : "", (int)n, at);
	}
	if (ftell(print) == 0)
		fputs("files", print);
	if (fclose(print) == 0 && found)
		return out;
	free(out);
	return NULL;
}

/* The machine's own. */
static char *file_read(void)
{
	FILE *in = fopen("/etc/nsswitch.conf", "re");
	char *text = in ? malloc(FILE_MAX + 1) : NULL;

	if (text)
		text[fread(text, 1, FILE_MAX, in)] = 0;
	if (in)
		fclose(in);
	return text;
}

/* What it names for hosts, without the service; NULL: it is not asked. */
static char *machine_without(const char *service)
{
	char *text = file_read();
	char *hosts = text ? nsswitch_hosts_without(text, service) : NULL;

	free(text);
	return hosts;
}

bool nsswitch_asks(const char *service)
{
	char *others = machine_without(service);
	bool asked = others != NULL;

	free(others);
	return asked;
}

void nsswitch_leave_out(const char *service)
{
	char *others = machine_without(service);

	if (others)
		(void)__nss_configure_lookup("hosts", others);
	free(others);
}

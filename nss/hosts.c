/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "nss/hosts.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- a line --------------------------------------------------------------------------------- */

const char *hosts_line_name(const struct hosts_line *line, size_t i)
{
	return line->text + line->names[i];
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

/* As names of hosts have them: not the locale's letters. */
static bool is_name(const char *word, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		char c = word[i];

		if (!(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') && !(c >= '0' && c <= '9') &&
		        c != '-' && c != '_' && c != '.')
			return false;
	}
	return len > 0 && len <= HOSTS_WORD_MAX;
}

static int addr_parse(const char *word, size_t len, struct hosts_addr *out)
{
	if (strlen(word) != len)
		return -EINVAL;
	memset(out, 0, sizeof(*out));
	out->family = strchr(word, ':') ? AF_INET6 : AF_INET;
	return inet_pton(out->family, word, out->bytes) == 1 ? 0 : -EINVAL;
}

static int name_add(struct hosts_line *line, size_t at, size_t len)
{
	if (line->n_names == HOSTS_NAMES_MAX || !is_name(line->text + at, len))
		return -EINVAL;
	line->names[line->n_names++] = (uint16_t)at;
	return 0;
}

int hosts_line_parse(const char *text, size_t len, struct hosts_line *out)
{
	const char *comment = memchr(text, '#', len);
	bool first = true;

	if (comment)
		len = (size_t)(comment - text);
	if (len >= sizeof(out->text))
		return -EINVAL;
	memcpy(out->text, text, len);
	out->text[len] = 0;
	out->n_names = 0;
	for (size_t at = 0, end; at < len; at = end) {
		while (at < len && is_blank(out->text[at]))
			at++;
		end = at;
		while (end < len && !is_blank(out->text[end]))
			end++;
		if (end == at)
			break;
		out->text[end] = 0;
		if (first ? addr_parse(out->text + at, end - at, &out->addr)
		          : name_add(out, at, end - at))
			return -EINVAL;
		first = false;
		end++;
	}
	return out->n_names ? 0 : -EINVAL;
}

/* ---- the file ------------------------------------------------------------------------------- */

int hosts_open(const char *path)
{
	/* Whatever stands there: never wait for it. */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
	struct stat st;
	int err = 0;

	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) < 0)
		err = -errno;
	else if (!S_ISREG(st.st_mode) || st.st_uid != 0 || (st.st_mode & (S_IWGRP | S_IWOTH)))
		err = -EPERM;
	else if (st.st_size > (off_t)HOSTS_FILE_MAX)
		err = -EFBIG;
	if (!err)
		return fd;
	close(fd);
	return err;
}

void hosts_begin(struct hosts_reader *reader, int fd, off_t offset)
{
	reader->fd = fd;
	reader->offset = offset;
	reader->skipping = false;
	reader->at = reader->len = 0;
}

/* More of the file behind what is not used yet. Returns what came; 0 at the end. */
static ssize_t reader_fill(struct hosts_reader *reader)
{
	ssize_t n;

	if (reader->at == 0 && reader->len == sizeof(reader->buf)) {
		/* A line longer than this is none of ours. */
		reader->skipping = true;
		reader->offset += (off_t)reader->len;
		reader->len = 0;
	}
	memmove(reader->buf, reader->buf + reader->at, reader->len - reader->at);
	reader->len -= reader->at;
	reader->at = 0;
	if (reader->offset > (off_t)HOSTS_FILE_MAX)
		return -EFBIG;
	do
		n = pread(reader->fd, reader->buf + reader->len, sizeof(reader->buf) - reader->len,
		        reader->offset + (off_t)reader->len);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	reader->len += (size_t)n;
	return n;
}

/* 1: *text is a line in buf, good until the next call. */
static int reader_line(struct hosts_reader *reader, const char **text, size_t *len)
{
	for (;;) {
		char *start = reader->buf + reader->at;
		char *end = memchr(start, '\n', reader->len - reader->at);
		bool skip = reader->skipping;
		ssize_t n;

		if (!end) {
			n = reader_fill(reader);
			if (n <= 0)
				return (int)n;
			continue;
		}
		*text = start;
		*len = (size_t)(end - start);
		reader->at += *len + 1;
		reader->offset += (off_t)*len + 1;
		reader->skipping = false;
		if (!skip)
			return 1;
	}
}

int hosts_next(struct hosts_reader *reader, struct hosts_line *out)
{
	for (;;) {
		const char *text = NULL;
		size_t len = 0;
		int rc = reader_line(reader, &text, &len);

		if (rc != 1)
			return rc;
		if (!hosts_line_parse(text, len, out))
			return 1;
	}
}

/* ---- a host --------------------------------------------------------------------------------- */

/* Not strcasecmp(): in Turkish an I is no i. */
static char lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static bool same_name(const char *a, const char *b)
{
	while (*a && lower(*a) == lower(*b))
		a++, b++;
	return *a == *b;
}

static bool line_has(const struct hosts_line *line, const char *name)
{
	for (size_t i = 0; i < line->n_names; i++)
		if (same_name(hosts_line_name(line, i), name))
			return true;
	return false;
}

static void host_add(struct hosts_host *host, const struct hosts_addr *addr)
{
	for (size_t i = 0; i < host->n_addrs; i++)
		if (memcmp(&host->addrs[i], addr, sizeof(*addr)) == 0)
			return;
	if (host->n_addrs < HOSTS_ADDRS_MAX)
		host->addrs[host->n_addrs++] = *addr;
}

int hosts_find_name(int fd, const char *name, int family, struct hosts_host *out)
{
	struct hosts_reader reader;
	struct hosts_line line;
	bool found = false;
	int rc;

	hosts_begin(&reader, fd, 0);
	out->n_addrs = 0;
	while ((rc = hosts_next(&reader, &line)) == 1) {
		/* Another host may have it as an alias: its addresses are not this one's. */
		if (found ? strcmp(hosts_line_name(&line, 0), hosts_line_name(&out->line, 0)) != 0
		          : !line_has(&line, name))
			continue;
		if (!found)
			out->line = line;
		found = true;
		if (family == AF_UNSPEC || family == line.addr.family)
			host_add(out, &line.addr);
	}
	return rc < 0 ? rc : found;
}

int hosts_find_addr(int fd, const struct hosts_addr *addr, struct hosts_host *out)
{
	struct hosts_reader reader;
	int rc;

	hosts_begin(&reader, fd, 0);
	while ((rc = hosts_next(&reader, &out->line)) == 1)
		if (memcmp(&out->line.addr, addr, sizeof(*addr)) == 0) {
			out->n_addrs = 1;
			out->addrs[0] = *addr;
			return 1;
		}
	return rc;
}

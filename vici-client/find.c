/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Finding by path, and reading values as text and numbers. */
#include <errno.h>
#include <string.h>

#include "vici-client/private.h"

bool vici_name_is(const struct vici_element *e, const char *name)
{
	return strlen(name) == e->name_len && !memcmp(e->name, name, e->name_len);
}

bool vici_value_is(struct vici_blob value, const char *text)
{
	return strlen(text) == value.len && (!value.len || !memcmp(value.data, text, value.len));
}

size_t vici_text(char *out, size_t size, struct vici_blob value)
{
	const char *in = value.data;
	size_t i;

	for (i = 0; i + 1 < size && i < value.len; i++)
		out[i] = in[i] ? in[i] : '?';
	if (size)
		out[i] = '\0';
	return value.len;
}

static int digit_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return 99;
}

static int parse(const char *in, size_t len, unsigned int base, uint64_t *out)
{
	uint64_t value = 0;
	size_t i;

	if (!len)
		return -EINVAL;
	for (i = 0; i < len; i++) {
		unsigned int digit = digit_value(in[i]);

		if (digit >= base)
			return -EINVAL;
		if (__builtin_mul_overflow(value, base, &value) ||
		        __builtin_add_overflow(value, digit, &value))
			return -ERANGE;
	}
	*out = value;
	return 0;
}

int vici_parse_u64(struct vici_blob value, uint64_t *out)
{
	return parse(value.data, value.len, 10, out);
}

int vici_parse_hex(struct vici_blob value, uint64_t *out)
{
	return parse(value.data, value.len, 16, out);
}

int vici_parse_i64(struct vici_blob value, int64_t *out)
{
	const char *in = value.data;
	bool minus = value.len && *in == '-';
	uint64_t n;
	int r;

	r = parse(in + minus, value.len - minus, 10, &n);
	if (r)
		return r;
	if (n > (uint64_t)INT64_MAX)
		return -ERANGE;
	*out = minus ? -(int64_t)n : (int64_t)n;
	return 0;
}

/* The path behind this name, if the path begins with it; NULL else. */
static const char *path_behind(const char *path, const struct vici_element *e)
{
	if (strnlen(path, e->name_len) < e->name_len || memcmp(path, e->name, e->name_len))
		return NULL; /* (strncmp() would take a NUL in the name for an end that both have)
		              */
	path += e->name_len;
	if (!*path)
		return path;
	return *path == '.' ? path + 1 : NULL;
}

/* Depth is bounded by the iterator's, as each step goes into a section. */
static int find(
        struct vici_blob message, const char *path, enum vici_type wanted, struct vici_blob *out)
{
	struct vici_blob inside;
	struct vici_element e;
	struct vici_iter it;
	const char *rest;
	int r;

	vici_iter_init(&it, message);
	while ((r = vici_iter_next(&it, &e)) > 0) {
		rest = e.name ? path_behind(path, &e) : NULL;
		if (e.type == VICI_KEY_VALUE && wanted == e.type && rest && !*rest) {
			*out = e.value;
			return 0;
		}
		if (e.type == VICI_LIST_START)
			r = vici_iter_skip(&it);
		if (e.type == VICI_SECTION_START) {
			r = vici_iter_section(&it, &inside);
			if (!r && rest && !*rest && wanted == VICI_SECTION_START) {
				*out = inside;
				return 0;
			}
			if (!r && rest && *rest)
				r = find(inside, rest, wanted, out);
			if (!r && rest && *rest)
				return 0;
			if (r == -ENOENT)
				continue;
		}
		if (r < 0)
			return r;
	}
	return r < 0 ? r : -ENOENT;
}

int vici_find_value(struct vici_blob message, const char *path, struct vici_blob *value)
{
	return find(message, path, VICI_KEY_VALUE, value);
}

int vici_find_section(struct vici_blob message, const char *path, struct vici_blob *inside)
{
	return find(message, path, VICI_SECTION_START, inside);
}

int vici_find_u64(struct vici_blob message, const char *path, uint64_t *out)
{
	struct vici_blob value;
	int r = vici_find_value(message, path, &value);

	return r ? r : vici_parse_u64(value, out);
}

int vici_find_text(struct vici_blob message, const char *path, char *out, size_t size)
{
	struct vici_blob value;
	int r = vici_find_value(message, path, &value);

	if (!r)
		vici_text(out, size, value);
	return r;
}

bool vici_find_yes(struct vici_blob message, const char *path)
{
	struct vici_blob value;

	return !vici_find_value(message, path, &value) && vici_value_is(value, "yes");
}

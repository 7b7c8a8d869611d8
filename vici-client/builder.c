/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Building messages; room for the packet's header is left in front, so that sending needs no copy.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vici-client/private.h"

void vici_builder_init(struct vici_builder *b)
{
	*b = (struct vici_builder){.len = VICI_HEADER_MAX};
}

void vici_builder_init_secret(struct vici_builder *b)
{
	vici_builder_init(b);
	b->secret = true;
}

void vici_builder_fini(struct vici_builder *b)
{
	if (!b)
		return;
	if (b->secret && b->buf)
		explicit_bzero(b->buf, b->cap);
	free(b->buf);
	*b = (struct vici_builder){.error = -EINVAL};
}

static void fail(struct vici_builder *b, int error)
{
	if (!b->error)
		b->error = error;
}

/* Secrets must not stay behind in memory that realloc() gave up. */
static int grow(struct vici_builder *b, size_t need)
{
	size_t cap = b->cap ? b->cap : 1024;
	uint8_t *mem;

	while (cap < need)
		cap *= 2;
	mem = b->secret ? malloc(cap) : realloc(b->buf, cap);
	if (!mem)
		return -ENOMEM;
	if (b->secret && b->buf) {
		memcpy(mem, b->buf, b->len);
		explicit_bzero(b->buf, b->cap);
		free(b->buf);
	}
	b->buf = mem;
	b->cap = cap;
	return 0;
}

/* Room for n more bytes, or NULL and the sticky error. */
static uint8_t *reserve(struct vici_builder *b, size_t n)
{
	uint8_t *at;

	if (b->error)
		return NULL;
	if (b->len + n > VICI_HEADER_MAX + VICI_MESSAGE_MAX) {
		fail(b, -EMSGSIZE);
		return NULL;
	}
	if (b->len + n > b->cap && grow(b, b->len + n)) {
		fail(b, -ENOMEM);
		return NULL;
	}
	at = b->buf + b->len;
	b->len += n;
	return at;
}

static bool name_fits(struct vici_builder *b, const char *name, size_t *len)
{
	if (!name) {
		fail(b, -EINVAL);
		return false;
	}
	*len = strlen(name);
	if (*len > VICI_NAME_MAX) {
		fail(b, -ENAMETOOLONG);
		return false;
	}
	return true;
}

static bool value_fits(struct vici_builder *b, const void *data, size_t len)
{
	if (len > VICI_VALUE_MAX)
		fail(b, -EMSGSIZE);
	else if (len && !data)
		fail(b, -EINVAL);
	return !b->error;
}

static uint8_t *put_name(uint8_t *at, enum vici_type type, const char *name, size_t len)
{
	*at++ = type;
	*at++ = len;
	memcpy(at, name, len);
	return at + len;
}

static void put_value(uint8_t *at, const void *data, size_t len)
{
	*at++ = len >> 8;
	*at++ = len & 0xff;
	if (len)
		memcpy(at, data, len);
}

static bool put_named(struct vici_builder *b, enum vici_type type, const char *name)
{
	size_t len;
	uint8_t *at;

	if (b->in_list)
		fail(b, -EINVAL);
	if (!name_fits(b, name, &len))
		return false;
	at = reserve(b, 2 + len);
	if (at)
		put_name(at, type, name, len);
	return at;
}

void vici_add_section(struct vici_builder *b, const char *name)
{
	if (b->depth >= VICI_DEPTH_MAX)
		fail(b, -ELOOP);
	if (put_named(b, VICI_SECTION_START, name))
		b->depth++;
}

void vici_end_section(struct vici_builder *b)
{
	uint8_t *at;

	if (b->in_list || !b->depth)
		fail(b, -EINVAL);
	at = reserve(b, 1);
	if (!at)
		return;
	*at = VICI_SECTION_END;
	b->depth--;
}

void vici_add_list(struct vici_builder *b, const char *name)
{
	if (put_named(b, VICI_LIST_START, name))
		b->in_list = true;
}

void vici_end_list(struct vici_builder *b)
{
	uint8_t *at;

	if (!b->in_list)
		fail(b, -EINVAL);
	at = reserve(b, 1);
	if (!at)
		return;
	*at = VICI_LIST_END;
	b->in_list = false;
}

void vici_add_blob(struct vici_builder *b, const char *key, const void *data, size_t len)
{
	size_t key_len;
	uint8_t *at;

	if (b->in_list)
		fail(b, -EINVAL);
	if (!name_fits(b, key, &key_len) || !value_fits(b, data, len))
		return;
	at = reserve(b, 2 + key_len + 2 + len);
	if (at)
		put_value(put_name(at, VICI_KEY_VALUE, key, key_len), data, len);
}

void vici_add_item_blob(struct vici_builder *b, const void *data, size_t len)
{
	uint8_t *at;

	if (!b->in_list)
		fail(b, -EINVAL);
	if (!value_fits(b, data, len))
		return;
	at = reserve(b, 3 + len);
	if (!at)
		return;
	*at++ = VICI_LIST_ITEM;
	put_value(at, data, len);
}

void vici_add_str(struct vici_builder *b, const char *key, const char *value)
{
	if (!value)
		fail(b, -EINVAL);
	else
		vici_add_blob(b, key, value, strlen(value));
}

void vici_add_item(struct vici_builder *b, const char *value)
{
	if (!value)
		fail(b, -EINVAL);
	else
		vici_add_item_blob(b, value, strlen(value));
}

void vici_add_u64(struct vici_builder *b, const char *key, uint64_t value)
{
	char text[24];

	vici_add_blob(b, key, text, snprintf(text, sizeof(text), "%" PRIu64, value));
}

void vici_add_i64(struct vici_builder *b, const char *key, int64_t value)
{
	char text[24];

	vici_add_blob(b, key, text, snprintf(text, sizeof(text), "%" PRId64, value));
}

void vici_add_bool(struct vici_builder *b, const char *key, bool value)
{
	vici_add_str(b, key, value ? "yes" : "no");
}

void vici_add_strings(struct vici_builder *b, const char *key, const char *const *values)
{
	if (!values)
		return;
	vici_add_list(b, key);
	for (; *values; values++)
		vici_add_item(b, *values);
	vici_end_list(b);
}

int vici_builder_check(const struct vici_builder *b)
{
	if (b->error)
		return b->error;
	return b->depth || b->in_list ? -EINVAL : 0;
}

struct vici_blob vici_builder_view(const struct vici_builder *b)
{
	if (b->error || !b->buf)
		return (struct vici_blob){0};
	return (struct vici_blob){b->buf + VICI_HEADER_MAX, b->len - VICI_HEADER_MAX};
}

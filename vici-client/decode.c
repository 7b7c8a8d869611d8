/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* From message sections to C structs, by tables of fields. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vici-client/private.h"

const char *const vici_no_strings[1] = {NULL};

/* An SA's name, said for its old and its new self. */
#define NAMES_TWICE (4 * (VICI_NAME_MAX + 1))

/*
 * A name or value has at least its NUL's room as overhead in the message, so all texts together fit
 * into the message's own length; a list needs a pointer for each item and one NULL.
 */
int vici_arena_init(struct vici_arena *a, struct vici_blob message, size_t n_extra)
{
	size_t objects = (n_extra + 7) & ~(size_t)7;
	struct vici_element e;
	struct vici_iter it;

	vici_iter_init(&it, message);
	while (vici_iter_next(&it, &e) > 0) {
		if (e.type == VICI_LIST_ITEM || e.type == VICI_LIST_START)
			objects += sizeof(char *);
	}
	*a = (struct vici_arena){.objects_end = objects,
	        .text = objects,
	        .text_end = objects + message.len + NAMES_TWICE};
	a->mem = malloc(a->text_end);
	return a->mem ? 0 : -ENOMEM;
}

void vici_arena_fini(struct vici_arena *a)
{
	free(a->mem);
	a->mem = NULL;
}

void *vici_arena_alloc(struct vici_arena *a, size_t size)
{
	char *at = a->mem + a->objects;

	size = (size + 7) & ~(size_t)7;
	if (size > a->objects_end - a->objects)
		return NULL;
	a->objects += size;
	return memset(at, 0, size);
}

const char *vici_arena_text(struct vici_arena *a, const void *data, size_t len)
{
	char *at = a->mem + a->text;

	if (!len || len + 1 > a->text_end - a->text)
		return "";
	a->text += len + 1;
	vici_text(at, len + 1, (struct vici_blob){data, len});
	return at;
}

const char *const *vici_decode_list(struct vici_arena *a, struct vici_iter *it, size_t *n)
{
	struct vici_iter count = *it;
	const char **list;
	struct vici_element e;
	size_t items = 0;

	while (vici_iter_next(&count, &e) > 0 && e.type == VICI_LIST_ITEM)
		items++;
	list = vici_arena_alloc(a, (items + 1) * sizeof(*list));
	if (!list)
		return NULL;
	*n = items;
	for (items = 0; vici_iter_next(it, &e) > 0 && e.type == VICI_LIST_ITEM; items++)
		list[items] = vici_arena_text(a, e.value.data, e.value.len);
	return it->error ? NULL : list;
}

static int decode_number(const struct vici_field *f, struct vici_blob value, void *at)
{
	bool hex = f->kind == VICI_F_HEX32 || f->kind == VICI_F_HEX64;
	uint64_t max = f->kind == VICI_F_HEX64 ? UINT64_MAX
	               : f->kind == VICI_F_U16 ? UINT16_MAX
	                                       : UINT32_MAX;
	uint64_t n;

	if ((hex ? vici_parse_hex(value, &n) : vici_parse_u64(value, &n)) || n > max)
		return -EBADMSG;
	if (f->kind == VICI_F_HEX64)
		memcpy(at, &n, sizeof(n));
	else if (f->kind == VICI_F_U16)
		*(uint16_t *)at = n;
	else
		*(uint32_t *)at = n;
	return 0;
}

static int decode_value(
        struct vici_arena *a, const struct vici_field *f, struct vici_blob value, void *at)
{
	struct vici_num num = {.set = true};

	switch (f->kind) {
	case VICI_F_STR:
		*(const char **)at = vici_arena_text(a, value.data, value.len);
		return 0;
	case VICI_F_YES:
		*(bool *)at = vici_value_is(value, "yes");
		return 0;
	case VICI_F_NUM:
		if (vici_parse_i64(value, &num.v))
			return -EBADMSG;
		*(struct vici_num *)at = num;
		return 0;
	case VICI_F_U16:
	case VICI_F_U32:
	case VICI_F_HEX32:
	case VICI_F_HEX64:
		return decode_number(f, value, at);
	case VICI_F_LIST:
		break;
	}
	return -EBADMSG;
}

static const struct vici_field *field_find(
        const struct vici_field *fields, size_t n, const struct vici_element *e)
{
	size_t i;

	for (i = 0; i < n; i++) {
		if (vici_name_is(e, fields[i].name))
			return &fields[i];
	}
	return NULL;
}

static void set_empty(const struct vici_field *fields, size_t n, void *out)
{
	size_t i;

	for (i = 0; i < n; i++) {
		void *at = (char *)out + fields[i].offset;

		if (fields[i].kind == VICI_F_STR)
			*(const char **)at = "";
		else if (fields[i].kind == VICI_F_LIST)
			*(const char *const **)at = vici_no_strings;
	}
}

static int decode_list_field(
        struct vici_arena *a, const struct vici_field *f, struct vici_iter *it, void *at)
{
	const char *const *list;
	size_t n;

	if (!f)
		return vici_iter_skip(it);
	if (f->kind != VICI_F_LIST)
		return -EBADMSG;
	list = vici_decode_list(a, it, &n);
	if (!list)
		return -EBADMSG;
	*(const char *const **)at = list;
	return 0;
}

int vici_decode(struct vici_arena *a, struct vici_blob section, const struct vici_field *fields,
        size_t n, void *out)
{
	const struct vici_field *f;
	struct vici_element e;
	struct vici_iter it;
	void *at;
	int r;

	set_empty(fields, n, out);
	vici_iter_init(&it, section);
	while ((r = vici_iter_next(&it, &e)) > 0) {
		f = field_find(fields, n, &e);
		at = f ? (char *)out + f->offset : NULL;
		if (e.type == VICI_LIST_START)
			r = decode_list_field(a, f, &it, at);
		else if (e.type == VICI_SECTION_START)
			r = vici_iter_skip(&it); /* a connection may be called as a field is */
		else
			r = f ? decode_value(a, f, e.value, at) : 0;
		if (r < 0)
			return -EBADMSG;
	}
	return r < 0 ? -EBADMSG : 0;
}

int vici_count_sections(struct vici_blob section)
{
	struct vici_element e;
	struct vici_iter it;
	int n = 0, r;

	vici_iter_init(&it, section);
	while ((r = vici_iter_next(&it, &e)) > 0) {
		if (e.type == VICI_SECTION_START)
			n++;
		if (e.type != VICI_KEY_VALUE)
			r = vici_iter_skip(&it);
		if (r < 0)
			return -EBADMSG;
	}
	return r < 0 ? -EBADMSG : n;
}

int vici_only_section(struct vici_blob row, struct vici_element *name, struct vici_blob *inside)
{
	struct vici_element e;
	struct vici_iter it;
	int n = 0, r;

	vici_iter_init(&it, row);
	while ((r = vici_iter_next(&it, &e)) > 0) {
		if (e.type == VICI_LIST_START)
			r = vici_iter_skip(&it);
		if (e.type == VICI_SECTION_START) {
			*name = e;
			r = vici_iter_section(&it, inside);
			n++;
		}
		if (r < 0)
			return -EBADMSG;
	}
	return r || n != 1 ? -EBADMSG : 0;
}

void *vici_decode_sections(struct vici_arena *a, struct vici_blob section, size_t size,
        int (*fn)(struct vici_arena *a, void *out, const struct vici_element *name,
                struct vici_blob inside),
        size_t *n)
{
	int count = vici_count_sections(section), done = 0;
	struct vici_blob inside;
	struct vici_element e;
	struct vici_iter it;
	char *array;

	if (count < 0 || count > VICI_CHILDREN_MAX)
		return NULL;
	array = vici_arena_alloc(a, count * size);
	if (!array)
		return NULL;
	vici_iter_init(&it, section);
	while (done < count && vici_iter_next(&it, &e) > 0) {
		if (e.type == VICI_LIST_START && vici_iter_skip(&it) < 0)
			return NULL;
		if (e.type != VICI_SECTION_START)
			continue;
		if (vici_iter_section(&it, &inside) || fn(a, array + done++ * size, &e, inside))
			return NULL;
	}
	*n = count;
	return array;
}

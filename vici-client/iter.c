/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Walking messages without copying; every length is checked against what is left. */
#include <errno.h>
#include <string.h>

#include "vici-client/private.h"

void vici_iter_init(struct vici_iter *it, struct vici_blob message)
{
	*it = (struct vici_iter){.pos = message.data, .end = message.data};
	if (message.len)
		it->end += message.len;
}

static int fail(struct vici_iter *it, int error)
{
	it->error = error;
	return error;
}

static bool take_name(const uint8_t **pos, const uint8_t *end, struct vici_element *e)
{
	size_t len;

	if (end - *pos < 1)
		return false;
	len = *(*pos)++;
	if ((size_t)(end - *pos) < len)
		return false;
	e->name = (const char *)*pos;
	e->name_len = len;
	*pos += len;
	return true;
}

static bool take_value(const uint8_t **pos, const uint8_t *end, struct vici_element *e)
{
	size_t len;

	if (end - *pos < 2)
		return false;
	len = (size_t)(*pos)[0] << 8 | (*pos)[1];
	*pos += 2;
	if ((size_t)(end - *pos) < len)
		return false;
	e->value = (struct vici_blob){*pos, len};
	*pos += len;
	return true;
}

/* Inside a list only items may come, and they only there. */
static int take(struct vici_iter *it, const uint8_t **pos, struct vici_element *e)
{
	e->type = *(*pos)++;
	if (it->in_list != (e->type == VICI_LIST_ITEM || e->type == VICI_LIST_END))
		return -EBADMSG;
	switch (e->type) {
	case VICI_SECTION_START:
		if (it->depth >= VICI_DEPTH_MAX)
			return -ELOOP;
		it->depth++;
		return take_name(pos, it->end, e) ? 1 : -EBADMSG;
	case VICI_SECTION_END:
		return it->depth-- ? 1 : -EBADMSG;
	case VICI_KEY_VALUE:
		return take_name(pos, it->end, e) && take_value(pos, it->end, e) ? 1 : -EBADMSG;
	case VICI_LIST_START:
		it->in_list = true;
		return take_name(pos, it->end, e) ? 1 : -EBADMSG;
	case VICI_LIST_ITEM:
		return take_value(pos, it->end, e) ? 1 : -EBADMSG;
	case VICI_LIST_END:
		it->in_list = false;
		return 1;
	}
	return -EBADMSG;
}

int vici_iter_next(struct vici_iter *it, struct vici_element *e)
{
	struct vici_element found = {0};
	const uint8_t *pos = it->pos;
	int r;

	if (it->error)
		return it->error;
	if (pos == it->end)
		return it->depth || it->in_list ? fail(it, -EBADMSG) : 0;
	r = take(it, &pos, &found);
	if (r < 0)
		return fail(it, r);
	it->pos = pos;
	*e = found;
	return 1;
}

int vici_iter_skip(struct vici_iter *it)
{
	unsigned int depth = it->depth;
	bool list = it->in_list;
	struct vici_element e;
	int r;

	while ((r = vici_iter_next(it, &e)) > 0) {
		if (list ? !it->in_list : it->depth < depth)
			return 0;
	}
	return r < 0 ? r : fail(it, -EBADMSG);
}

int vici_iter_section(struct vici_iter *it, struct vici_blob *inside)
{
	const uint8_t *start = it->pos;
	int r = vici_iter_skip(it);

	if (r < 0)
		return r;
	*inside = (struct vici_blob){start, it->pos - start - 1};
	return 0;
}

int vici_message_check(struct vici_blob message)
{
	struct vici_element e;
	struct vici_iter it;
	int r;

	vici_iter_init(&it, message);
	while ((r = vici_iter_next(&it, &e)) > 0)
		;
	return r;
}

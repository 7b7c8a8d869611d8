/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* From the socket's bytes to checked packets (README.md, "Transport protocol" and "Packet layer").
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vici-client/private.h"

#define ROOM_FIRST (32 * 1024)
#define ROOM_LEAST 4096
#define LENGTH_SIZE 4

static void put_u32(uint8_t *at, uint32_t n)
{
	at[0] = n >> 24;
	at[1] = n >> 16;
	at[2] = n >> 8;
	at[3] = n;
}

static uint32_t get_u32(const uint8_t *at)
{
	return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

size_t vici_header_put(uint8_t *end, enum vici_op op, const char *name, size_t message_len)
{
	size_t name_len = strlen(name), len = LENGTH_SIZE + 2 + name_len;
	uint8_t *at = end - len;

	put_u32(at, 2 + name_len + message_len);
	at[LENGTH_SIZE] = op;
	at[LENGTH_SIZE + 1] = name_len;
	memcpy(at + LENGTH_SIZE + 2, name, name_len);
	return len;
}

void vici_stream_fini(struct vici_stream *s)
{
	free(s->buf);
	*s = (struct vici_stream){0};
}

/* The whole size of the packet that begins at the head, as far as is known yet. */
static size_t wanted(const struct vici_stream *s)
{
	if (s->tail - s->head < LENGTH_SIZE)
		return LENGTH_SIZE;
	return LENGTH_SIZE + get_u32(s->buf + s->head);
}

/* A packet that was taken leaves nothing but the begin of the next one to move. */
uint8_t *vici_stream_room(struct vici_stream *s, size_t *room)
{
	size_t need = wanted(s), cap = need > ROOM_FIRST ? need : ROOM_FIRST;
	uint8_t *mem;

	if (s->head == s->tail)
		s->head = s->tail = 0;
	if (s->head && (s->cap - s->head < need || s->cap - s->tail < ROOM_LEAST)) {
		memmove(s->buf, s->buf + s->head, s->tail - s->head);
		s->tail -= s->head;
		s->head = 0;
	}
	if (s->cap < cap || (s->cap > cap && !s->tail)) {
		mem = realloc(s->buf, cap);
		if (!mem && s->cap < cap)
			return NULL;
		if (mem) {
			s->buf = mem;
			s->cap = cap;
		}
	}
	*room = s->cap - s->tail;
	return s->buf + s->tail;
}

void vici_stream_filled(struct vici_stream *s, size_t n)
{
	s->tail += n;
}

static int take_event(struct vici_packet *p, const uint8_t *at, size_t len)
{
	size_t name_len = len ? at[0] : 0;

	if (!name_len || len < 1 + name_len || memchr(at + 1, 0, name_len))
		return -EBADMSG;
	memcpy(p->name, at + 1, name_len);
	p->name[name_len] = '\0';
	p->message = (struct vici_blob){at + 1 + name_len, len - 1 - name_len};
	return vici_message_check(p->message) ? -EBADMSG : 1;
}

static int take_packet(struct vici_packet *p, const uint8_t *at, size_t len)
{
	p->op = *at++;
	len--;
	p->name[0] = '\0';
	p->message = (struct vici_blob){at, 0};
	switch (p->op) {
	case VICI_CMD_RESPONSE:
		p->message.len = len;
		return vici_message_check(p->message) ? -EBADMSG : 1;
	case VICI_CMD_UNKNOWN:
	case VICI_EVENT_CONFIRM:
	case VICI_EVENT_UNKNOWN:
		return len ? -EBADMSG : 1;
	case VICI_EVENT:
		return take_event(p, at, len);
	case VICI_CMD_REQUEST:
	case VICI_EVENT_REGISTER:
	case VICI_EVENT_UNREGISTER:
		return -EPROTO; /* only clients send these */
	}
	return -EPROTO;
}

int vici_stream_next(struct vici_stream *s, struct vici_packet *p)
{
	const uint8_t *at;
	uint32_t len;

	if (s->tail - s->head < LENGTH_SIZE)
		return 0;
	at = s->buf + s->head;
	len = get_u32(at);
	if (len > VICI_SEGMENT_MAX)
		return -EMSGSIZE;
	if (!len)
		return -EBADMSG;
	if (s->tail - s->head - LENGTH_SIZE < len)
		return 0;
	s->head += LENGTH_SIZE + len;
	return take_packet(p, at + LENGTH_SIZE, len);
}

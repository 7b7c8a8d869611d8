/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * vici messages: build them, walk them.
 *
 * A message is a tree of sections, each with key/values, lists and sections (strongSwan,
 * src/libcharon/plugins/vici/README.md, "Message format"). Values are blobs; charon prints numbers
 *and yes/no as text.
 *
 * Building: errors are sticky, so calls need no checks; ask once, at the end (vici_call() does
 *too):
 *
 *	struct vici_builder b;
 *	vici_builder_init(&b);
 *	vici_add_section(&b, "head1");
 *	vici_add_u64(&b, "version", 2);
 *	vici_end_section(&b);
 *	err = vici_builder_check(&b);
 *	vici_builder_fini(&b);
 *
 * Walking is without copies: names and values point into the message and are NOT NUL-terminated.
 *
 *	struct vici_iter it;
 *	struct vici_element e;
 *	vici_iter_init(&it, view);
 *	while ((r = vici_iter_next(&it, &e)) > 0)
 *		...
 *	if (r < 0) the message is broken
 *
 * Nothing here knows of sockets or time. Not thread-safe; no global state.
 */
#ifndef VICI_MESSAGE_H
#define VICI_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define VICI_SEGMENT_MAX (512 * 1024) /* bytes of one packet, charon's own limit */
#define VICI_NAME_MAX 255             /* bytes of a key, section, command or event name */
#define VICI_VALUE_MAX 65535          /* bytes of a value or list item */
#define VICI_DEPTH_MAX 32             /* nested sections; ours: charon has no limit */

/* Bytes that somebody else owns. data may be NULL if len is 0. */
struct vici_blob {
	const void *data;
	size_t len;
};

/* Element types, numbered as on the wire. */
enum vici_type {
	VICI_SECTION_START = 1,
	VICI_SECTION_END = 2,
	VICI_KEY_VALUE = 3,
	VICI_LIST_START = 4,
	VICI_LIST_ITEM = 5,
	VICI_LIST_END = 6,
};

/* ---- building ---- */

/* Fields are private. Zeroed is not valid: call vici_builder_init(). */
struct vici_builder {
	uint8_t *buf; /* with room in front for a packet's header */
	size_t len;   /* used, that room included */
	size_t cap;
	int error;
	unsigned int depth;
	bool in_list;
	bool secret; /* wiped whenever memory is given back */
};

void vici_builder_init(struct vici_builder *b);
/* For messages with keys or passwords: every copy of the bytes is wiped before its memory is freed.
 */
void vici_builder_init_secret(struct vici_builder *b);
/* Frees (wipes) the memory; b may be used again after an init only. NULL is accepted. */
void vici_builder_fini(struct vici_builder *b);

void vici_add_section(struct vici_builder *b, const char *name);
void vici_end_section(struct vici_builder *b);
void vici_add_list(struct vici_builder *b, const char *name);
void vici_end_list(struct vici_builder *b);
void vici_add_blob(struct vici_builder *b, const char *key, const void *data, size_t len);
void vici_add_str(struct vici_builder *b, const char *key, const char *value);
void vici_add_u64(struct vici_builder *b, const char *key, uint64_t value);
void vici_add_i64(struct vici_builder *b, const char *key, int64_t value);
void vici_add_bool(struct vici_builder *b, const char *key, bool value); /* "yes" or "no" */
void vici_add_item_blob(struct vici_builder *b, const void *data, size_t len);
void vici_add_item(struct vici_builder *b, const char *value);
/* A whole list: NULL-terminated array of strings. NULL adds nothing, an empty one adds an empty
 * list. */
void vici_add_strings(struct vici_builder *b, const char *key, const char *const *values);

/*
 * 0 if everything fit and all is closed, else the first error:
 *	-ENAMETOOLONG	a name is longer than VICI_NAME_MAX
 *	-EMSGSIZE	a value is longer than VICI_VALUE_MAX, or the message than VICI_SEGMENT_MAX
 *	-ELOOP		sections nested deeper than VICI_DEPTH_MAX
 *	-EINVAL		wrong order: item outside a list, key in a list, end without start,
 *something left open, NULL name -ENOMEM
 */
int vici_builder_check(const struct vici_builder *b);
/* The encoded message, owned by b and valid until b changes; empty after an error. */
struct vici_blob vici_builder_view(const struct vici_builder *b);

/* ---- walking ---- */

/* One element. name: of sections, lists, key/values. value: of key/values and items. */
struct vici_element {
	enum vici_type type;
	const char *name;
	size_t name_len;
	struct vici_blob value;
};

/* Fields are private. */
struct vici_iter {
	const uint8_t *pos, *end;
	unsigned int depth;
	bool in_list;
	int error;
};

/* The message's bytes must live as long as the iterator is used. */
void vici_iter_init(struct vici_iter *it, struct vici_blob message);
/*
 * 1 and *e filled; 0 at a well-formed end; negative on a broken message (sticky, *e untouched):
 *	-EBADMSG	truncated, unknown element type, unbalanced, item outside or other things
 *inside a list -ELOOP		deeper than VICI_DEPTH_MAX
 */
int vici_iter_next(struct vici_iter *it, struct vici_element *e);
/* After VICI_SECTION_START or VICI_LIST_START: goes behind its end. 0, or as vici_iter_next(). */
int vici_iter_skip(struct vici_iter *it);
/* After VICI_SECTION_START: its inside as a message of its own; it goes behind its end. */
int vici_iter_section(struct vici_iter *it, struct vici_blob *inside);

/* 0 if the whole message is well-formed, else as vici_iter_next(). */
int vici_message_check(struct vici_blob message);

bool vici_name_is(const struct vici_element *e, const char *name);
/* Text of at most size - 1 bytes, NUL-terminated; NUL bytes inside become '?'. The length of the
 * value. */
size_t vici_text(char *out, size_t size, struct vici_blob value);
/* Decimal number. 0; -EINVAL if it is none, -ERANGE if it does not fit; *out then untouched. */
int vici_parse_u64(struct vici_blob value, uint64_t *out);
int vici_parse_i64(struct vici_blob value, int64_t *out);
int vici_parse_hex(struct vici_blob value, uint64_t *out);
bool vici_value_is(struct vici_blob value, const char *text);

/*
 * Find by path, parts joined by dots: "child-sas.net-1.bytes-in". Names may contain dots themselves
 * (a connection "ovl.head1"): every way of cutting the path is tried, the first hit in message
 * order wins. 0, or -ENOENT, or as vici_iter_next(). Outputs untouched on failure.
 */
int vici_find_value(struct vici_blob message, const char *path, struct vici_blob *value);
int vici_find_section(struct vici_blob message, const char *path, struct vici_blob *inside);
/* As vici_find_value(), plus what vici_parse_u64() returns. */
int vici_find_u64(struct vici_blob message, const char *path, uint64_t *out);
/* As vici_find_value() and vici_text(). */
int vici_find_text(struct vici_blob message, const char *path, char *out, size_t size);
/* True only where the value is there and "yes". */
bool vici_find_yes(struct vici_blob message, const char *path);

#endif

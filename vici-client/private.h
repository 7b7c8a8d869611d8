/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What the files of libviciclient share, and its tests look at; not for callers.
 *
 *	builder.c, iter.c, find.c	messages (message.h)
 *	stream.c			bytes from the socket -> checked packets; pure
 *	conn.c				socket, time, life and death
 *	request.c			the line of requests and what a packet means to it
 *	decode.c			message sections -> C structs, by tables; pure
 *	sa.c, event.c, conns.c		the structs of vici.h
 *	connection.c			struct vici_connection -> message
 *	calls.c, query.c		the typed calls
 */
#ifndef VICI_PRIVATE_H
#define VICI_PRIVATE_H

#include "vici-client/vici.h"

/* ---- packets ---- */

enum vici_op {
	VICI_CMD_REQUEST = 0,
	VICI_CMD_RESPONSE = 1,
	VICI_CMD_UNKNOWN = 2,
	VICI_EVENT_REGISTER = 3,
	VICI_EVENT_UNREGISTER = 4,
	VICI_EVENT_CONFIRM = 5,
	VICI_EVENT_UNKNOWN = 6,
	VICI_EVENT = 7,
};

/* Segment length, packet type, name length, name: builders leave this much room in front. */
#define VICI_HEADER_MAX (4 + 1 + 1 + VICI_NAME_MAX)
#define VICI_MESSAGE_MAX (VICI_SEGMENT_MAX - 2 - VICI_NAME_MAX)

/* Writes a packet's header so that it ends at `end` (VICI_HEADER_MAX bytes before it are writable);
 * its length. */
size_t vici_header_put(uint8_t *end, enum vici_op op, const char *name, size_t message_len);

struct vici_packet {
	enum vici_op op;
	char name[VICI_NAME_MAX + 1]; /* of VICI_EVENT */
	struct vici_blob message;     /* well-formed; points into the stream's buffer */
};

struct vici_stream {
	uint8_t *buf;
	size_t cap, head, tail;
};

void vici_stream_fini(struct vici_stream *s);
/* Where to receive to, and how much; NULL: out of memory. Invalidates packets. */
uint8_t *vici_stream_room(struct vici_stream *s, size_t *room);
void vici_stream_filled(struct vici_stream *s, size_t n);
/* 1: a packet, valid until vici_stream_room(). 0: more bytes are needed. Negative: the stream is
 * broken. */
int vici_stream_next(struct vici_stream *s, struct vici_packet *p);

/* ---- requests ---- */

struct vici_request;

/* Between a request and its caller's typed callbacks. */
struct vici_ops {
	/* One row of the stream. Negative: it is not as documented, the connection must end. */
	int (*row)(struct vici_request *r, struct vici_blob row);
	/* The end: calls the caller back, once. Negative as above. */
	int (*done)(struct vici_request *r, const struct vici_result *result);
};

typedef void vici_any_fn(void); /* cast back by the ops that know its type */

enum vici_kind { VICI_COMMAND, VICI_SUBSCRIBE, VICI_UNSUBSCRIBE };
enum vici_phase { VICI_WAITING, VICI_REGISTERING, VICI_RUNNING, VICI_UNREGISTERING };

struct vici_request {
	struct vici_request *next;
	enum vici_kind kind;
	enum vici_phase phase;
	const struct vici_ops *ops;
	vici_any_fn *row, *done;
	void *user;
	uint64_t timeout_us;
	char *command; /* or the event to (un)subscribe */
	char *stream;  /* event of its rows, or NULL */
	/* the encoded packet, from mem + start on; freed as soon as it is sent */
	uint8_t *mem;
	size_t start, end, cap;
	bool secret;
	/* a streaming command's reply, kept until its event is unregistered */
	uint8_t *reply;
	size_t reply_len;
	int error;
};

/* What a typed call gives to vici_submit(). */
struct vici_submit {
	const char *command, *stream;
	const struct vici_ops *ops;
	vici_any_fn *row, *done;
	void *user;
	uint64_t timeout_us, now_us;
};

/* As vici_call(), with typed callbacks; always ends args' life (vici_builder_fini). */
int vici_submit(struct vici *v, const struct vici_submit *s, struct vici_builder *args);
void vici_request_free(struct vici_request *r);
int vici_dispatch(struct vici *v, const struct vici_packet *p);
/* The result as the ops' done wants it, for an error without a reply. */
struct vici_result vici_result_error(int error, const char *errmsg);
/* done is a vici_done_fn; vici_ops_yes also insists on success=yes */
extern const struct vici_ops vici_ops_plain, vici_ops_yes;

/* ---- the connection ---- */

#define VICI_SUBSCRIPTIONS_MAX 32
#define VICI_TEXT_MAX 512 /* of error messages */

struct vici_subscription {
	char *name;
	bool live; /* its registration was sent: events may come */
	bool going;
};

struct vici {
	int fd;
	int error;  /* why it ended */
	int broken; /* sending failed: it ends at the next vici_process() */
	char text[VICI_TEXT_MAX];
	struct vici_config cfg; /* path is not kept */
	struct vici_stream in;
	struct vici_request *head, **tail;
	size_t n_requests, n_bytes;
	uint64_t deadline; /* of the head */
	uint64_t now;
	const uint8_t *out; /* what is still to be sent */
	size_t out_len;
	uint8_t control[VICI_HEADER_MAX]; /* a register or unregister packet */
	struct vici_subscription subs[VICI_SUBSCRIPTIONS_MAX];
	size_t n_subs;
	unsigned int busy; /* calls of ours that are on the stack and use it */
	bool freed;
	bool held; /* nothing of the line begins */
};

/* Sends what it can of v->out. */
void vici_flush(struct vici *v);
/* All of v->out is on its way: the packet's memory (and secrets) need not wait for the answer. */
void vici_sent(struct vici *v);
/* Ends the connection: calls everybody back. Returns error. arg (or NULL) is said behind what. */
int vici_fail(struct vici *v, int error, const char *what, const char *arg);
/* Takes the head off the line and calls it back, then frees it. */
int vici_finish(struct vici *v, const struct vici_result *result);
/* Begins with the head of the line, if there is one. */
void vici_start(struct vici *v);

/* ---- decoding ---- */

/* Memory of one decoded message: as much as it can need is taken at once, given back at once. */
struct vici_arena {
	char *mem;
	size_t objects, objects_end, text, text_end;
};

/* Room for all strings and lists of the message, and n_extra bytes for arrays of structs. 0 or
 * -ENOMEM. */
int vici_arena_init(struct vici_arena *a, struct vici_blob message, size_t n_extra);
void vici_arena_fini(struct vici_arena *a);
void *vici_arena_alloc(
        struct vici_arena *a, size_t size); /* zeroed; NULL: more than was announced */
const char *vici_arena_text(struct vici_arena *a, const void *data, size_t len);

enum vici_field_kind {
	VICI_F_STR,  /* const char * */
	VICI_F_LIST, /* const char *const * */
	VICI_F_U16,
	VICI_F_U32,
	VICI_F_HEX32,
	VICI_F_HEX64,
	VICI_F_NUM, /* struct vici_num */
	VICI_F_YES, /* bool: "yes" is told */
};

struct vici_field {
	const char *name;
	enum vici_field_kind kind;
	size_t offset;
};

/*
 * Fills *out from the section's direct elements that the table knows, and strings and lists that
 * are not there with empty ones. 0; -EBADMSG: a known one is of another type, or no number.
 */
int vici_decode(struct vici_arena *a, struct vici_blob section, const struct vici_field *fields,
        size_t n, void *out);
/* How many sections lie directly in this one; negative if it is broken. */
int vici_count_sections(struct vici_blob section);
/* The only section of a row, with its name. 0 or -EBADMSG: there are none or several. */
int vici_only_section(struct vici_blob row, struct vici_element *name, struct vici_blob *inside);
/*
 * All sections in this one, each by fn into an array of structs of this size. At most
 * VICI_CHILDREN_MAX. NULL, and *n untouched, if it is broken.
 */
void *vici_decode_sections(struct vici_arena *a, struct vici_blob section, size_t size,
        int (*fn)(struct vici_arena *a, void *out, const struct vici_element *name,
                struct vici_blob inside),
        size_t *n);
/* The items of a list, as the iterator stands after its start; goes behind its end.
 * NULL-terminated; NULL: broken. */
const char *const *vici_decode_list(struct vici_arena *a, struct vici_iter *it, size_t *n);
extern const char *const vici_no_strings[1];

/* An IKE_SA's section. With its children. */
int vici_decode_ike_sa(struct vici_arena *a, struct vici_ike_sa *sa,
        const struct vici_element *name, struct vici_blob inside);
int vici_decode_child_sa(struct vici_arena *a, struct vici_child_sa *c,
        const struct vici_element *name, struct vici_blob inside);
/* Decodes a list-sa row and calls fn. 0 or negative. */
int vici_decode_sas(struct vici_blob row, vici_ike_sa_fn *fn, void *user);
int vici_decode_conns(struct vici_blob row, vici_conn_row_fn *fn, void *user);
/* Decodes an event's message and calls fn. 0 or negative. */
int vici_decode_event(const char *name, struct vici_blob message,
        void (*fn)(void *user, const struct vici_event *event), void *user);

/* ---- arguments ---- */

void vici_add_extra(struct vici_builder *b, const struct vici_extra *extra, size_t n);
void vici_add_select(struct vici_builder *b, const struct vici_select *which);

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The line of requests, and what each packet means to the one in flight.
 *
 *	command:            WAITING -> RUNNING -> done
 *	streaming command:  WAITING -> REGISTERING -> RUNNING (rows) -> UNREGISTERING -> done
 *	(un)subscribe:      WAITING -> (UN)REGISTERING -> done
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vici-client/private.h"

void vici_request_free(struct vici_request *r)
{
	if (!r)
		return;
	if (r->mem && r->secret)
		explicit_bzero(r->mem, r->cap);
	free(r->mem);
	free(r->reply);
	free(r->command);
	free(r->stream);
	free(r);
}

void vici_sent(struct vici *v)
{
	struct vici_request *r = v->head;

	if (!r || r->phase < VICI_RUNNING || !r->mem)
		return;
	if (r->secret)
		explicit_bzero(r->mem, r->cap);
	free(r->mem);
	r->mem = NULL;
}

/* ---- subscriptions ---- */

static struct vici_subscription *subscription_find(struct vici *v, const char *name)
{
	size_t i;

	for (i = 0; i < v->n_subs; i++) {
		if (!strcmp(v->subs[i].name, name))
			return &v->subs[i];
	}
	return NULL;
}

static void subscription_drop(struct vici *v, const char *name)
{
	struct vici_subscription *s = subscription_find(v, name);

	if (!s)
		return;
	free(s->name);
	*s = v->subs[--v->n_subs];
}

static bool stream_in_line(const struct vici *v, const char *event)
{
	const struct vici_request *r;

	for (r = v->head; r; r = r->next) {
		if (r->stream && !strcmp(r->stream, event))
			return true;
	}
	return false;
}

/* ---- sending ---- */

static void send_control(struct vici *v, enum vici_op op, const char *event)
{
	uint8_t *end = v->control + sizeof(v->control);

	v->out_len = vici_header_put(end, op, event, 0);
	v->out = end - v->out_len;
	vici_flush(v);
}

static void send_command(struct vici *v, struct vici_request *r)
{
	r->phase = VICI_RUNNING;
	v->out = r->mem + r->start;
	v->out_len = r->end - r->start;
	vici_flush(v);
}

static void start_subscription(struct vici *v, struct vici_request *r)
{
	struct vici_subscription *s = subscription_find(v, r->command);
	bool on = r->kind == VICI_SUBSCRIBE;

	if (s && on)
		s->live = true;
	r->phase = on ? VICI_REGISTERING : VICI_UNREGISTERING;
	send_control(v, on ? VICI_EVENT_REGISTER : VICI_EVENT_UNREGISTER, r->command);
}

void vici_start(struct vici *v)
{
	struct vici_request *r = v->head;

	v->deadline = VICI_DEADLINE_NONE;
	if (!r || v->error || v->held || r->phase != VICI_WAITING)
		return;
	if (__builtin_add_overflow(v->now, r->timeout_us, &v->deadline))
		v->deadline = VICI_DEADLINE_NONE;
	if (r->kind != VICI_COMMAND) {
		start_subscription(v, r);
	} else if (r->stream) {
		r->phase = VICI_REGISTERING;
		send_control(v, VICI_EVENT_REGISTER, r->stream);
	} else {
		send_command(v, r);
	}
}

void vici_hold(struct vici *v, bool hold, uint64_t now_us)
{
	if (v->held == hold)
		return;
	v->held = hold;
	if (hold || !v->head || v->head->phase != VICI_WAITING)
		return;
	v->now = now_us;
	vici_start(v);
}

static int enqueue(struct vici *v, struct vici_request *r, uint64_t now_us)
{
	bool idle = !v->head;

	*v->tail = r;
	v->tail = &r->next;
	v->n_requests++;
	v->n_bytes += r->end - r->start;
	if (idle) {
		v->now = now_us;
		vici_start(v);
	}
	return 0;
}

static int room_in_line(const struct vici *v, size_t bytes)
{
	if (v->error)
		return -ENOTCONN;
	if (v->n_requests >= v->cfg.max_requests || v->n_bytes + bytes > v->cfg.max_bytes)
		return -ENOBUFS;
	return 0;
}

static struct vici_request *request_new(const struct vici *v, const struct vici_submit *s)
{
	struct vici_request *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	r->ops = s->ops;
	r->row = s->row;
	r->done = s->done;
	r->user = s->user;
	r->timeout_us = s->timeout_us ? s->timeout_us : v->cfg.timeout_us;
	r->command = strdup(s->command);
	r->stream = s->stream ? strdup(s->stream) : NULL;
	if (r->command && (r->stream || !s->stream))
		return r;
	vici_request_free(r);
	return NULL;
}

static bool event_name_ok(const char *name)
{
	return name && *name && strlen(name) <= VICI_NAME_MAX;
}

/* The builder's memory, with the header written in front, becomes the packet. */
static int take_message(struct vici_request *r, struct vici_builder *b)
{
	uint8_t *mem = b->buf;

	if (!mem)
		mem = malloc(VICI_HEADER_MAX);
	if (!mem)
		return -ENOMEM;
	r->mem = mem;
	r->secret = b->secret;
	r->cap = b->buf ? b->cap : VICI_HEADER_MAX;
	r->end = b->len;
	r->start = VICI_HEADER_MAX - vici_header_put(mem + VICI_HEADER_MAX, VICI_CMD_REQUEST,
	                                     r->command, b->len - VICI_HEADER_MAX);
	*b = (struct vici_builder){.error = -EINVAL};
	return 0;
}

static int submit(struct vici *v, const struct vici_submit *s, struct vici_builder *args)
{
	struct vici_request *r;
	int err = vici_builder_check(args);

	if (!err)
		err = room_in_line(v, args->len);
	if (err)
		return err;
	if (!event_name_ok(s->command) || (s->stream && !event_name_ok(s->stream)))
		return -EINVAL;
	if (s->stream && subscription_find(v, s->stream))
		return -EINVAL;
	r = request_new(v, s);
	if (!r || take_message(r, args)) {
		vici_request_free(r);
		return -ENOMEM;
	}
	return enqueue(v, r, s->now_us);
}

int vici_submit(struct vici *v, const struct vici_submit *s, struct vici_builder *args)
{
	int r = submit(v, s, args);

	vici_builder_fini(args);
	return r;
}

int vici_call(
        struct vici *v, const struct vici_call *call, struct vici_builder *args, uint64_t now_us)
{
	const struct vici_submit s = {.command = call->command,
	        .stream = call->stream,
	        .ops = &vici_ops_plain,
	        .row = (vici_any_fn *)call->row,
	        .done = (vici_any_fn *)call->done,
	        .user = call->user,
	        .timeout_us = call->timeout_us,
	        .now_us = now_us};
	struct vici_builder none;

	vici_builder_init(&none);
	return submit(v, &s, args ? args : &none);
}

static int subscription_request(struct vici *v, enum vici_kind kind, const struct vici_submit *s)
{
	struct vici_request *r = request_new(v, s);

	if (!r)
		return -ENOMEM;
	r->kind = kind;
	return enqueue(v, r, s->now_us);
}

int vici_subscribe(struct vici *v, const char *event, uint64_t timeout_us, vici_done_fn *done,
        void *user, uint64_t now_us)
{
	const struct vici_submit s = {.command = event,
	        .ops = &vici_ops_plain,
	        .done = (vici_any_fn *)done,
	        .user = user,
	        .timeout_us = timeout_us,
	        .now_us = now_us};
	int r = room_in_line(v, 0);
	char *name;

	if (r)
		return r;
	if (!event_name_ok(event) || stream_in_line(v, event))
		return -EINVAL;
	if (subscription_find(v, event))
		return -EALREADY;
	if (v->n_subs == VICI_SUBSCRIPTIONS_MAX)
		return -ENOBUFS;
	name = strdup(event);
	if (!name)
		return -ENOMEM;
	v->subs[v->n_subs++] = (struct vici_subscription){.name = name};
	r = subscription_request(v, VICI_SUBSCRIBE, &s);
	if (r)
		subscription_drop(v, event);
	return r;
}

int vici_unsubscribe(struct vici *v, const char *event, uint64_t timeout_us, vici_done_fn *done,
        void *user, uint64_t now_us)
{
	const struct vici_submit s = {.command = event,
	        .ops = &vici_ops_plain,
	        .done = (vici_any_fn *)done,
	        .user = user,
	        .timeout_us = timeout_us,
	        .now_us = now_us};
	struct vici_subscription *sub;
	int r = room_in_line(v, 0);

	if (r)
		return r;
	sub = event ? subscription_find(v, event) : NULL;
	if (!sub || sub->going)
		return -ENOENT;
	r = subscription_request(v, VICI_UNSUBSCRIBE, &s);
	sub = subscription_find(v, event);
	if (!r && sub)
		sub->going = true;
	return r;
}

/* ---- ending ---- */

int vici_finish(struct vici *v, const struct vici_result *result)
{
	struct vici_request *r = v->head;
	int err;

	v->head = r->next;
	if (!v->head)
		v->tail = &v->head;
	v->n_requests--;
	v->n_bytes -= r->end - r->start;
	if (r->kind == VICI_UNSUBSCRIBE || (r->kind == VICI_SUBSCRIBE && result->error))
		subscription_drop(v, r->command);
	vici_start(v); /* charon works on the next one while our caller thinks about this one */
	err = r->ops->done(r, result);
	vici_request_free(r);
	return err;
}

/* Typed calls found a reply that is not as documented: then nothing that follows can be trusted. */
static int finish(struct vici *v, const struct vici_result *result)
{
	int err = vici_finish(v, result);

	if (err && !v->error)
		return vici_fail(v, err, "charon's reply is not as documented", NULL);
	return v->error;
}

static int finish_error(struct vici *v, int error, const char *what, const char *arg)
{
	char text[VICI_TEXT_MAX];
	struct vici_result result;

	snprintf(text, sizeof(text), "%s \"%s\"", what, arg);
	result = vici_result_error(error, text);
	return finish(v, &result);
}

struct vici_result vici_result_error(int error, const char *errmsg)
{
	return (struct vici_result){.error = error, .errmsg = errmsg};
}

/* One line of text, whatever charon put into it. */
static void take_errmsg(struct vici_blob reply, char *text, size_t size)
{
	if (vici_find_text(reply, "errmsg", text, size))
		snprintf(text, size, "charon says it failed, and not why");
	for (; *text; text++) {
		if ((unsigned char)*text < ' ' || *text == 0x7f)
			*text = ' ';
	}
}

/* success=no becomes an error here, for all commands alike. */
static int finish_reply(struct vici *v, struct vici_blob reply)
{
	struct vici_result result = {.errmsg = "", .reply = reply};
	char text[VICI_TEXT_MAX];
	struct vici_blob success;

	if (!vici_find_value(reply, "success", &success) && !vici_value_is(success, "yes")) {
		take_errmsg(reply, text, sizeof(text));
		result.error = -EREMOTEIO;
		result.errmsg = text;
	}
	return finish(v, &result);
}

/* ---- packets ---- */

static int unexpected(struct vici *v, const char *what)
{
	return vici_fail(v, -EPROTO, "charon sent a packet that was not expected", what);
}

static int keep_reply(struct vici_request *r, struct vici_blob reply)
{
	if (!reply.len)
		return 0;
	r->reply = malloc(reply.len);
	if (!r->reply)
		return -ENOMEM;
	memcpy(r->reply, reply.data, reply.len);
	r->reply_len = reply.len;
	return 0;
}

/* Ends the command's part; a stream is to be unregistered before the caller hears of it. */
static int command_over(struct vici *v, struct vici_request *r)
{
	r->phase = VICI_UNREGISTERING;
	send_control(v, VICI_EVENT_UNREGISTER, r->stream);
	return 0;
}

static int take_response(struct vici *v, struct vici_request *r, struct vici_blob reply)
{
	if (r->phase != VICI_RUNNING || v->out_len)
		return unexpected(v, "a reply");
	if (!r->stream)
		return finish_reply(v, reply);
	if (keep_reply(r, reply))
		return vici_fail(v, -ENOMEM, "no memory for charon's reply", NULL);
	return command_over(v, r);
}

static int take_unknown(struct vici *v, struct vici_request *r)
{
	if (r->phase != VICI_RUNNING || v->out_len)
		return unexpected(v, "\"unknown command\"");
	if (!r->stream)
		return finish_error(v, -EOPNOTSUPP, "charon does not know the command", r->command);
	r->error = -EOPNOTSUPP;
	return command_over(v, r);
}

static int finish_stream(struct vici *v, struct vici_request *r)
{
	uint8_t *reply = r->reply;
	int err;

	if (r->error)
		return finish_error(v, r->error, "charon does not know the command", r->command);
	r->reply = NULL; /* outlives the request, as its callback reads it */
	err = finish_reply(v, (struct vici_blob){reply, r->reply_len});
	free(reply);
	return err;
}

static int take_confirm(struct vici *v, struct vici_request *r, bool known)
{
	struct vici_result ok = vici_result_error(0, "");

	if ((r->phase != VICI_REGISTERING && r->phase != VICI_UNREGISTERING) || v->out_len)
		return unexpected(v, "an event's confirmation");
	if (!known && r->phase == VICI_UNREGISTERING)
		return unexpected(v, "a registered event is said to be unknown");
	if (!known)
		return finish_error(
		        v, -ENOENT, "charon has no event", r->stream ? r->stream : r->command);
	if (r->kind != VICI_COMMAND)
		return finish(v, &ok);
	if (r->phase == VICI_UNREGISTERING)
		return finish_stream(v, r);
	send_command(v, r);
	return 0;
}

static void tell_event(void *user, const struct vici_event *event)
{
	struct vici *v = user;

	if (v->cfg.on_event)
		v->cfg.on_event(v->cfg.user, event);
}

/* Rows belong to the command that runs; a straggler during (un)registration would be one of
 * nobody's. */
static int take_event(struct vici *v, struct vici_request *r, const struct vici_packet *p)
{
	const struct vici_subscription *s;
	int err;

	if (r && r->stream && r->phase != VICI_WAITING && !strcmp(r->stream, p->name)) {
		if (r->phase != VICI_RUNNING)
			return 0;
		err = r->ops->row(r, p->message);
	} else {
		s = subscription_find(v, p->name);
		if (!s || !s->live)
			return unexpected(v, p->name);
		err = vici_decode_event(p->name, p->message, tell_event, v);
	}
	if (err && !v->error)
		return vici_fail(v, err, "charon's event is not as documented", p->name);
	return v->error;
}

int vici_dispatch(struct vici *v, const struct vici_packet *p)
{
	struct vici_request *r = v->head;

	if (p->op != VICI_EVENT && !r)
		return unexpected(v, "a reply to nothing");
	switch (p->op) {
	case VICI_CMD_RESPONSE:
		return take_response(v, r, p->message);
	case VICI_CMD_UNKNOWN:
		return take_unknown(v, r);
	case VICI_EVENT_CONFIRM:
		return take_confirm(v, r, true);
	case VICI_EVENT_UNKNOWN:
		return take_confirm(v, r, false);
	case VICI_EVENT:
		return take_event(v, r, p);
	case VICI_CMD_REQUEST:
	case VICI_EVENT_REGISTER:
	case VICI_EVENT_UNREGISTER:
		break;
	}
	return unexpected(v, "a client's packet");
}

/* ---- callers without types ---- */

static int plain_row(struct vici_request *r, struct vici_blob row)
{
	if (r->row)
		((vici_row_fn *)r->row)(r->user, row);
	return 0;
}

static int plain_done(struct vici_request *r, const struct vici_result *result)
{
	if (r->done)
		((vici_done_fn *)r->done)(r->user, result);
	return 0;
}

static int yes_done(struct vici_request *r, const struct vici_result *result)
{
	struct vici_result bad = vici_result_error(-EBADMSG, "charon's reply lacks success=yes");
	bool ok = result->error || vici_find_yes(result->reply, "success");

	plain_done(r, ok ? result : &bad);
	return ok ? 0 : -EBADMSG;
}

const struct vici_ops vici_ops_plain = {.row = plain_row, .done = plain_done};
const struct vici_ops vici_ops_yes = {.row = plain_row, .done = yes_done};

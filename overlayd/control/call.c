/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <utlist.h>

#include "control/server.h"

const struct control_caller *control_call_caller(const struct control_call *call)
{
	return &call->caller;
}

bool control_call_gone(const struct control_call *call)
{
	return !call->client;
}

void control_call_why(struct control_call *call, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(call->why, sizeof(call->why), format, args);
	va_end(args);
}

void control_call_detail(struct control_call *call, json_t *detail)
{
	json_decref(call->detail);
	call->detail = detail;
}

void call_detach(struct control_call *call)
{
	DL_DELETE(call->client->calls, call);
	call->client->n_calls--;
	call->client = NULL;
}

static void call_free(struct control_call *call)
{
	struct client *client = call->client;

	if (client)
		call_detach(call);
	json_decref(call->detail);
	file_close(&call->file);
	free(call);
	if (client)
		client_call_ended(client);
}

/* *text is the payload, or NULL when there is none; -EMSGSIZE when it is beyond the wire's limit.
 */
static int payload_print(const json_t *value, char **text, size_t *len)
{
	*text = NULL;
	*len = 0;
	if (!value)
		return 0;
	*text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
	if (!*text)
		return -ENOMEM;
	*len = strlen(*text);
	if (*len <= WIRE_PAYLOAD_MAX)
		return 0;
	free(*text);
	*text = NULL;
	*len = 0;
	return -EMSGSIZE;
}

static void send_error(struct control_call *call, int error)
{
	json_t *header;
	char *text;
	size_t len;

	if (!call->why[0])
		snprintf(call->why, sizeof(call->why), "%s: %s", call->method->name,
		        strerror(-error));
	/* A detail that cannot be printed is left out: the sentence is what counts. json's %s
	 * refuses a text that is not UTF-8 or was cut inside a character. */
	payload_print(call->detail, &text, &len);
	header = json_pack(
	        "{s:I, s:{s:i, s:s}}", "id", call->id, "error", "errno", -error, "text", call->why);
	if (!header)
		header = json_pack("{s:I, s:{s:i, s:s}}", "id", call->id, "error", "errno", -error,
		        "text", strerror(-error));
	client_answer(call->client, header, text, len);
	json_decref(header);
	free(text);
}

void control_call_fail(struct control_call *call, int error)
{
	if (error >= 0)
		error = -EIO;
	if (call->method && call->method->logged && call->client)
		control_log(call->client->control, LOG_NOTICE,
		        "%s of user %u (process %d) failed: %s", call->method->name,
		        (unsigned)call->caller.uid, (int)call->caller.pid,
		        call->why[0] ? call->why : strerror(-error));
	if (call->client)
		send_error(call, error);
	call_free(call);
}

void control_call_reply(struct control_call *call, json_t *result)
{
	json_t *header;
	char *text;
	size_t len;
	int rc;

	if (!call->client) {
		json_decref(result);
		call_free(call);
		return;
	}
	rc = result ? payload_print(result, &text, &len) : -EIO;
	json_decref(result);
	if (rc < 0) {
		control_call_why(call, "%s: the answer %s", call->method->name,
		        rc == -EMSGSIZE ? "is too large" : "could not be made");
		control_call_fail(call, rc);
		return;
	}
	header = json_pack("{s:I, s:b}", "id", call->id, "ok", 1);
	client_answer(call->client, header, text, len);
	json_decref(header);
	free(text);
	call_free(call);
}

/* Why this caller may not have this method called; 0 when it may. */
static int call_refuse(struct control_call *call, const char *name, control_op *op)
{
	if (!call->method) {
		control_call_why(call, "there is no method \"%.64s\"", name);
		return -ENOSYS;
	}
	if (call->method->needs & ~call->caller.rights) {
		control_call_why(call, "%s: user %u has no right to do this here; be root",
		        call->method->name, (unsigned)call->caller.uid);
		return -EACCES;
	}
	if (!op) {
		control_call_why(call, "%s: not supported by this daemon", call->method->name);
		return -ENOSYS;
	}
	return 0;
}

static void call_run(struct control_call *call, const char *name, const json_t *params)
{
	struct control *control = call->client->control;
	control_op *op;
	json_t *result = NULL;
	int rc;

	call->method = method_find(name);
	op = call->method ? method_op(call->method, control) : NULL;
	rc = call_refuse(call, name, op);
	if (rc < 0) {
		control_call_fail(call, rc);
		return;
	}
	if (call->method->file) {
		call->file = call->client->file;
		call->client->file = -1;
	}
	control_log(control, call->method->logged ? LOG_NOTICE : LOG_DEBUG,
	        "%s asked by user %u (process %d)", name, (unsigned)call->caller.uid,
	        (int)call->caller.pid);
	rc = op(control->user, call, params, &result);
	if (rc < 0)
		control_call_fail(call, rc);
	else if (rc == 0)
		control_call_reply(call, result);
}

void call_request(struct client *client, const struct wire_msg *msg)
{
	const json_t *id = json_object_get(msg->header, "id");
	const char *name = json_string_value(json_object_get(msg->header, "method"));
	const json_t *params = json_object_get(msg->header, "params");
	struct control_call *call;
	json_t *none;

	if (!json_is_integer(id) || !name || (params && !json_is_object(params))) {
		client_end(client, EBADMSG,
		        "a request needs an integer id, a method and an object params");
		return;
	}
	call = calloc(1, sizeof(*call));
	none = json_object();
	if (!call || !none) {
		free(call);
		json_decref(none);
		client_end(client, ENOMEM, "out of memory");
		return;
	}
	call->client = client;
	call->file = -1;
	call->caller = client->caller;
	call->id = json_integer_value(id);
	DL_APPEND(client->calls, call);
	client->n_calls++;
	call_run(call, name, params ? params : none);
	json_decref(none);
}

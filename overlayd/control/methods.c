/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <string.h>

#include "control/server.h"

static int builtin_version(
        void *user, struct control_call *call, const json_t *params, json_t **out)
{
	(void)user;
	(void)params;
	*out = json_pack("{s:s, s:{s:i, s:i}}", "version", call->client->control->version,
	        "protocol", "lowest", WIRE_VERSION_LOWEST, "highest", WIRE_VERSION_HIGHEST);
	return *out ? 0 : -ENOMEM;
}

/* {"topics": ["peer", ...]}, all without it. A second subscribe replaces the first. */
static int builtin_subscribe(
        void *user, struct control_call *call, const json_t *params, json_t **out)
{
	const json_t *names = json_object_get(params, "topics");
	unsigned bits = 0;

	(void)user;
	if (names && !json_is_array(names)) {
		control_call_why(call, "topics: must be a list of names");
		return -EINVAL;
	}
	for (size_t i = 0; i < json_array_size(names); i++) {
		const char *name = json_string_value(json_array_get(names, i));
		int bit = name ? control_topic(name) : -1;

		if (bit < 0) {
			control_call_why(
			        call, "topics: there is no topic \"%s\"", name ? name : "?");
			return -EINVAL;
		}
		bits |= 1U << bit;
	}
	call->client->topics = names ? bits : (1U << CONTROL_TOPICS_MAX) - 1;
	*out = json_object();
	return *out ? 0 : -ENOMEM;
}

#define OP(field) .op = offsetof(struct control_ops, field)

static const struct method methods[] = {
        {"status", CONTROL_MAY_LOOK, OP(status)},
        {"denied", CONTROL_MAY_LOOK, OP(denied)},
        {"version", CONTROL_MAY_LOOK, .builtin = builtin_version},
        {"subscribe", CONTROL_MAY_LOOK, .builtin = builtin_subscribe},
        {"firewall", CONTROL_MAY_ASK, OP(firewall)},
        {"explain", CONTROL_MAY_ASK, OP(explain)},
        {"doctor", CONTROL_MAY_ASK, OP(doctor)},
        {"bundle", CONTROL_MAY_ASK, OP(bundle)},
        {"members", CONTROL_MAY_LOOK, OP(members)},
        {"pending", CONTROL_MAY_ASK, OP(pending)},
        {"tokens", CONTROL_MAY_ASK, OP(tokens)},
        {"join", CONTROL_MAY_CHANGE, OP(join), .logged = true},
        {"reject", CONTROL_MAY_CHANGE, OP(reject), .logged = true},
        {"reload", CONTROL_MAY_CHANGE, OP(reload), .logged = true},
        {"load", CONTROL_MAY_CHANGE, OP(load), .logged = true, .file = true},
};

const struct method *method_find(const char *name)
{
	for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++)
		if (!strcmp(methods[i].name, name))
			return &methods[i];
	return NULL;
}

control_op *method_op(const struct method *method, const struct control *control)
{
	control_op *op = method->builtin;

	if (!op)
		memcpy(&op, (const char *)&control->ops + method->op, sizeof(op));
	return op;
}

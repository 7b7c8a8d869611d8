/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Strict JSON, and the hello that opens every stream. */
#include "client/wire.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define HELLO_NAME "overlayd"

__attribute__((format(printf, 3, 4))) static void say(
        char *err, size_t err_size, const char *format, ...)
{
	va_list args;

	if (!err || !err_size)
		return;
	va_start(args, format);
	vsnprintf(err, err_size, format, args);
	va_end(args);
}

/*
 * Is the text nested deeper than we take? jansson's own limit (2048) costs stack before it
 * says no. Only brackets outside of strings count; whether they match is the parser's business.
 */
static bool too_deep(const char *text, size_t len)
{
	bool in_string = false;
	size_t depth = 0;

	for (size_t i = 0; i < len; i++) {
		char c = text[i];

		if (in_string) {
			if (c == '\\')
				i++;
			else if (c == '"')
				in_string = false;
		} else if (c == '"') {
			in_string = true;
		} else if (c == '[' || c == '{') {
			if (++depth > WIRE_DEPTH_MAX)
				return true;
		} else if ((c == ']' || c == '}') && depth) {
			depth--;
		}
	}
	return false;
}

int wire_json_parse(const char *text, size_t len, json_t **out, char *err, size_t err_size)
{
	json_error_t error;
	json_t *value;

	if (too_deep(text, len)) {
		say(err, err_size, "JSON nested deeper than %u levels", WIRE_DEPTH_MAX);
		return -EBADMSG;
	}
	/* What jansson refuses by itself: bad UTF-8, \u0000, text behind the value. */
	value = json_loadb(text, len, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &error);
	if (!value) {
		say(err, err_size, "not JSON: %s, line %d column %d", error.text, error.line,
		        error.column);
		return -EBADMSG;
	}
	*out = value;
	return 0;
}

json_t *wire_hello(const char *version)
{
	return json_pack("{s:s, s:i, s:i, s:s}", "hello", HELLO_NAME, "lowest", WIRE_VERSION_LOWEST,
	        "highest", WIRE_VERSION_HIGHEST, "version", version);
}

int wire_hello_agree(const json_t *hello)
{
	const json_t *low = json_object_get(hello, "lowest");
	const json_t *high = json_object_get(hello, "highest");
	const char *name = json_string_value(json_object_get(hello, "hello"));
	json_int_t lowest, highest;

	if (!name || strcmp(name, HELLO_NAME) || !json_is_integer(low) || !json_is_integer(high))
		return -EBADMSG;
	lowest = json_integer_value(low);
	highest = json_integer_value(high);
	if (lowest < 1 || highest < lowest)
		return -EBADMSG;
	if (lowest > WIRE_VERSION_HIGHEST || highest < WIRE_VERSION_LOWEST)
		return -EPROTONOSUPPORT;
	return highest < WIRE_VERSION_HIGHEST ? (int)highest : WIRE_VERSION_HIGHEST;
}

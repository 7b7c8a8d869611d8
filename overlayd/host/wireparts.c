/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/wireparts.h"

#include <stdio.h>
#include <string.h>

json_t *wirepart_hex(const uint8_t *bytes, size_t len)
{
	char text[2 * WIREPARTS_HEX_MAX + 1];

	if (len > WIREPARTS_HEX_MAX)
		return NULL;
	for (size_t i = 0; i < len; i++)
		snprintf(text + 2 * i, 3, "%02x", bytes[i]);
	return json_stringn(text, 2 * len);
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool wirepart_hex_read(const json_t *value, uint8_t *out, size_t len)
{
	const char *text = json_string_value(value);

	if (!text || json_string_length(value) != 2 * len)
		return false;
	for (size_t i = 0; i < len; i++) {
		int high = hex_digit(text[2 * i]), low = hex_digit(text[2 * i + 1]);

		if (high < 0 || low < 0)
			return false;
		out[i] = (uint8_t)(high << 4 | low);
	}
	return true;
}

bool wirepart_text_read(const json_t *value, char *out, size_t size)
{
	const char *text = json_string_value(value);

	if (!text || json_string_length(value) >= size)
		return false;
	for (const char *c = text; *c; c++)
		if (*c < ' ' || *c > '~')
			return false;
	snprintf(out, size, "%s", text);
	return true;
}

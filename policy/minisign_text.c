/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Lines, comments and base64, read strictly: there is one way to write each thing. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include "policy/minisign_internal.h"
#include "policy/yaml.h"

#define BINARY_MAX 160U /* the largest piece, a secret key, has 158 */

int msig_fail(int ret, char *err, size_t err_size, const char *format, ...)
{
	va_list args;

	if (!err || !err_size)
		return ret;
	va_start(args, format);
	vsnprintf(err, err_size, format, args);
	va_end(args);
	return ret;
}

bool msig_line_take(const char **at, const char *end, bool lax, struct msig_line *out)
{
	const char *newline = *at < end ? memchr(*at, '\n', (size_t)(end - *at)) : NULL;

	if (*at >= end || (!newline && !lax))
		return false;
	out->text = *at;
	out->len = (size_t)((newline ? newline : end) - *at);
	*at = newline ? newline + 1 : end;
	return true;
}

bool msig_line_begins(const struct msig_line *line, const char *prefix)
{
	size_t len = strlen(prefix);

	return line->len >= len && memcmp(line->text, prefix, len) == 0;
}

bool msig_text_valid(const char *text, size_t len)
{
	const unsigned char *s = (const unsigned char *)text;

	for (size_t i = 0; i < len;) {
		size_t n = pol_utf8_len(s + i, len - i);

		if (!n || (s[i] < 0x20 && s[i] != '\t') || s[i] == 0x7f ||
		        (s[i] == 0xc2 && s[i + 1] < 0xa0))
			return false;
		i += n;
	}
	return true;
}

bool msig_comment_valid(const struct msig_line *line, const char *prefix, size_t max)
{
	size_t skip = strlen(prefix);

	return msig_line_begins(line, prefix) && line->len - skip <= max &&
	       msig_text_valid(line->text + skip, line->len - skip);
}

void msig_base64_print(const void *data, size_t size, char *buf)
{
	EVP_EncodeBlock((unsigned char *)buf, data, (int)size);
}

/* libcrypto's reader is lenient (blanks, loose bits at the end): what it read is written again. */
bool msig_base64_take(const struct msig_line *line, void *out, size_t size)
{
	unsigned char data[BINARY_MAX + 3];
	char again[MSIG_BASE64(BINARY_MAX) + 1];
	bool good = size <= BINARY_MAX && line->len == MSIG_BASE64(size) &&
	            EVP_DecodeBlock(data, (const unsigned char *)line->text, (int)line->len) >= 0;

	if (good) {
		msig_base64_print(data, size, again);
		good = CRYPTO_memcmp(again, line->text, line->len) == 0;
	}
	if (good)
		memcpy(out, data, size);
	OPENSSL_cleanse(data, sizeof(data));
	OPENSSL_cleanse(again, sizeof(again));
	return good;
}

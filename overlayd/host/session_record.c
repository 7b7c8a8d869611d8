/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A signed statement as bytes: passed on as it was signed. */
#include "host/session_private.h"

#include <endian.h>
#include <errno.h>
#include <string.h>

static const char opening[] = "overlayd statement v1\n"; /* without its NUL */
#define OPENING (sizeof(opening) - 1)
#define SIGNATURE 64U
#define FIXED (8U + 32U) /* serial and digest */

size_t session_record_write(
        const struct session_statement *statement, uint8_t buf[SESSION_RECORD_MAX])
{
	size_t len = session_statement_text(statement, buf + 2);

	memcpy(buf + 2 + len, statement->signature, SIGNATURE);
	len += SIGNATURE;
	buf[0] = (uint8_t)(len >> 8);
	buf[1] = (uint8_t)len;
	return 2 + len;
}

static bool name_valid(const uint8_t *name, size_t len)
{
	if (!len || len > POLICY_NAME_MAX)
		return false;
	for (size_t i = 0; i < len; i++) {
		uint8_t c = name[i];
		bool inner = i && i + 1 < len && (c == '.' || c == '_' || c == '-');

		if (!inner && !(c >= '0' && c <= '9') && !(c >= 'A' && c <= 'Z') &&
		        !(c >= 'a' && c <= 'z'))
			return false;
	}
	return true;
}

/* What was signed; 1, 0: of another kind, -EBADMSG. */
static int signed_read(const uint8_t *at, size_t len, struct session_statement *out)
{
	const uint8_t *end = at + len, *nul;
	uint64_t serial;
	uint8_t kind;

	if (len < OPENING + 1 || memcmp(at, opening, OPENING))
		return -EBADMSG;
	kind = at[OPENING];
	at += OPENING + 1;
	if (kind < SESSION_APPLIED || kind >= SESSION_KINDS)
		return 0;
	nul = memchr(at, 0, (size_t)(end - at));
	if (!nul || !name_valid(at, (size_t)(nul - at)) || end - nul < 1 + (ptrdiff_t)FIXED ||
	        end - nul > 1 + (ptrdiff_t)(FIXED + SESSION_BODY_MAX))
		return -EBADMSG;
	memset(out, 0, sizeof(*out));
	out->kind = (enum session_statement_kind)kind;
	memcpy(out->node, at, (size_t)(nul - at));
	at = nul + 1;
	memcpy(&serial, at, sizeof(serial));
	out->head.serial = be64toh(serial);
	at += sizeof(serial);
	memcpy(out->head.digest, at, sizeof(out->head.digest));
	at += sizeof(out->head.digest);
	out->body_len = (uint16_t)(end - at);
	memcpy(out->body, at, out->body_len);
	return out->head.serial > INT64_MAX ? -EBADMSG : 1;
}

int session_record_read(const uint8_t **at, size_t *left, struct session_statement *out)
{
	size_t len;
	int rc;

	if (*left < 2)
		return -EBADMSG;
	len = (size_t)((*at)[0] << 8 | (*at)[1]);
	if (len > *left - 2 || len < SIGNATURE)
		return -EBADMSG;
	rc = signed_read(*at + 2, len - SIGNATURE, out);
	if (rc < 0)
		return rc;
	if (rc)
		memcpy(out->signature, *at + 2 + len - SIGNATURE, SIGNATURE);
	*at += 2 + len;
	*left -= 2 + len;
	return rc;
}

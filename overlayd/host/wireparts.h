/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What headers of sessions and joins are made of: bytes as hex digits, short texts. Internal. */
#ifndef OVERLAYD_HOST_WIREPARTS_H
#define OVERLAYD_HOST_WIREPARTS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WIREPARTS_HEX_MAX 64U /* bytes */

/* A new reference; NULL: out of memory, or more than WIREPARTS_HEX_MAX. */
json_t *wirepart_hex(const uint8_t *bytes, size_t len);
/* Exactly len bytes as lower-case hex digits; value may be NULL. */
bool wirepart_hex_read(const json_t *value, uint8_t *out, size_t len);
/* Printable ASCII that fits with its NUL; value may be NULL. */
bool wirepart_text_read(const json_t *value, char *out, size_t size);

#endif

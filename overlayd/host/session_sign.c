/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What this node says of itself, signed. The key's file is read each time and wiped: the key stays in
 * memory no longer than it takes. The same words have the same signature, which is kept.
 */
#include "host/session_private.h"

#include "client/nodekey.h"
#include "host/ownkeys.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

int session_sign(
        struct sessions *all, struct session_statement *statement, char *err, size_t err_size)
{
	uint8_t text[SESSION_STATEMENT_MAX], public_key[32], signature[64];
	size_t len;
	char *pem;
	int rc;

	/* Which release says so, for people. */
	if (statement->kind == SESSION_APPLIED && !statement->body_len) {
		statement->body_len = sizeof(OVERLAYD_VERSION) - 1;
		memcpy(statement->body, OVERLAYD_VERSION, statement->body_len);
	}
	len = session_statement_text(statement, text);
	ownkeys_signing(all->world, public_key);
	if (len == all->signed_len && !memcmp(text, all->signed_text, len) &&
	        !memcmp(public_key, all->signed_by, sizeof(public_key))) {
		memcpy(statement->signature, all->signature, sizeof(all->signature));
		return 0;
	}
	rc = ownkeys_pem(all->world, public_key, &pem, err, err_size);
	if (rc)
		return rc;
	rc = nodekey_sign(pem, text, len, signature);
	nodekey_pem_free(pem);
	if (rc) {
		snprintf(err, err_size, "libcrypto cannot sign with the node's key");
		return rc;
	}
	memcpy(all->signed_by, public_key, sizeof(public_key));
	memcpy(all->signed_text, text, len);
	all->signed_len = len;
	memcpy(all->signature, signature, sizeof(signature));
	memcpy(statement->signature, signature, sizeof(signature));
	return 0;
}

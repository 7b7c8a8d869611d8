/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What this node says of itself, signed. The key's file is read each time and wiped: the key stays in
 * memory no longer than it takes. The same words have the same signature, which is kept.
 */
#include "host/session_private.h"

#include "client/nodekey.h"
#include "client/paths.h"

#include <errno.h>
#include <limits.h>
#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <string.h>

static int pem_sign(const char *pem, const uint8_t *text, size_t len, uint8_t signature[64])
{
	BIO *bio = BIO_new_mem_buf(pem, -1);
	EVP_PKEY *key = bio ? PEM_read_bio_PrivateKey(bio, NULL, NULL, (void *)"") : NULL;
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	size_t n = 64;
	int rc = -EIO;

	if (key && ctx && EVP_DigestSignInit(ctx, NULL, NULL, NULL, key) == 1 &&
	        EVP_DigestSign(ctx, signature, &n, text, len) == 1 && n == 64)
		rc = 0;
	EVP_MD_CTX_free(ctx);
	EVP_PKEY_free(key); /* wipes it */
	BIO_free(bio);
	return rc;
}

int session_sign(
        struct sessions *all, struct session_statement *statement, char *err, size_t err_size)
{
	uint8_t text[SESSION_STATEMENT_MAX], public_key[32], signature[64];
	size_t len = session_statement_text(statement, text);
	char path[PATH_MAX], *pem;
	int rc;

	if (len == all->signed_len && !memcmp(text, all->signed_text, len)) {
		memcpy(statement->signature, all->signature, sizeof(all->signature));
		return 0;
	}
	snprintf(path, sizeof(path), "%s/" OVERLAY_NODE_KEY, all->world->options.state_dir);
	rc = nodekey_load_pem(path, &pem, public_key, err, err_size);
	if (rc)
		return rc;
	rc = pem_sign(pem, text, len, signature);
	nodekey_pem_free(pem);
	if (rc) {
		snprintf(err, err_size, "libcrypto cannot sign with %s", path);
		return rc;
	}
	memcpy(all->signed_text, text, len);
	all->signed_len = len;
	memcpy(all->signature, signature, sizeof(signature));
	memcpy(statement->signature, signature, sizeof(signature));
	return 0;
}

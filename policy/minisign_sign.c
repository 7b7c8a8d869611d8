/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Signatures: made and judged. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include "policy/minisign_internal.h"

#define HASH_LEN 64U

struct sig_file {
	uint8_t alg[2], id[8], sig[64];
};

_Static_assert(sizeof(struct sig_file) == 74, "no holes");

/* ---- Ed25519 */

int msig_public_of(const uint8_t seed[32], uint8_t key[32])
{
	EVP_PKEY *pkey = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, seed, 32);
	size_t len = 32;
	int ok = pkey ? EVP_PKEY_get_raw_public_key(pkey, key, &len) : 0;

	EVP_PKEY_free(pkey);
	return ok == 1 && len == 32 ? 0 : -EIO;
}

int msig_ed25519_sign(const uint8_t seed[32], const void *data, size_t len, uint8_t sig[64])
{
	EVP_PKEY *pkey = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, seed, 32);
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	size_t size = 64;
	int ok = pkey && md && EVP_DigestSignInit(md, NULL, NULL, NULL, pkey) == 1 &&
	         EVP_DigestSign(md, sig, &size, data, len) == 1 && size == 64;

	EVP_MD_CTX_free(md);
	EVP_PKEY_free(pkey);
	return ok ? 0 : -EIO;
}

int msig_ed25519_verify(const uint8_t key[32], const void *data, size_t len, const uint8_t sig[64])
{
	EVP_PKEY *pkey = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, key, 32);
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	int ret = -EIO;

	if (pkey && md && EVP_DigestVerifyInit(md, NULL, NULL, NULL, pkey) == 1)
		ret = EVP_DigestVerify(md, sig, 64, data, len) == 1 ? 0 : -EKEYREJECTED;
	EVP_MD_CTX_free(md);
	EVP_PKEY_free(pkey);
	return ret;
}

/* ---- what is signed */

/* The data, or its BLAKE2b-512 in hash. */
static int message_take(const void **data, size_t *len, bool legacy, uint8_t hash[HASH_LEN])
{
	unsigned int size = HASH_LEN;

	if (legacy)
		return 0;
	if (EVP_Digest(*data, *len, hash, &size, EVP_blake2b512(), NULL) != 1 || size != HASH_LEN)
		return -EIO;
	*data = hash;
	*len = HASH_LEN;
	return 0;
}

/* The second signature is over the first and the trusted comment; returns the bytes in buf. */
static size_t global_message(const uint8_t sig[64], const char *trusted, size_t len,
        uint8_t buf[64 + MINISIGN_TRUSTED_MAX])
{
	memcpy(buf, sig, 64);
	memcpy(buf + 64, trusted, len);
	return 64 + len;
}

/* ---- sign */

static bool comment_fits(const char *comment, size_t max)
{
	size_t len = strlen(comment);

	return len <= max && msig_text_valid(comment, len);
}

int minisign_sign(const struct minisign_secret *secret, const void *data, size_t len,
        const char *comment, const char *trusted, bool legacy, char **out)
{
	struct sig_file file = {.alg = {'E', legacy ? 'd' : 'D'}};
	uint8_t hash[HASH_LEN], global[64], message[64 + MINISIGN_TRUSTED_MAX];
	char line[MSIG_BASE64(sizeof(file)) + 1], global_line[MSIG_BASE64(sizeof(global)) + 1];
	size_t size;
	char *text;
	int ret;

	comment = comment ? comment : "signature from minisign secret key";
	if (!comment_fits(comment, MINISIGN_COMMENT_MAX - strlen(MSIG_UNTRUSTED)) ||
	        !comment_fits(trusted, MINISIGN_TRUSTED_MAX - strlen(MSIG_TRUSTED)))
		return -EINVAL;
	memcpy(file.id, secret->pub.id, sizeof(file.id));
	ret = message_take(&data, &len, legacy, hash);
	if (ret == 0)
		ret = msig_ed25519_sign(secret->seed, data, len, file.sig);
	if (ret)
		return ret;
	size = global_message(file.sig, trusted, strlen(trusted), message);
	ret = msig_ed25519_sign(secret->seed, message, size, global);
	if (ret)
		return ret;
	msig_base64_print(&file, sizeof(file), line);
	msig_base64_print(global, sizeof(global), global_line);
	if (asprintf(&text, MSIG_UNTRUSTED "%s\n%s\n" MSIG_TRUSTED "%s\n%s\n", comment, line,
	            trusted, global_line) < 0)
		return -ENOMEM;
	*out = text;
	return 0;
}

/* ---- verify */

struct parts {
	struct sig_file file;
	struct msig_line trusted; /* behind its prefix */
	uint8_t global[64];
};

static bool parts_take(const char *sig, size_t len, struct parts *parts)
{
	const char *at = sig, *end = sig + len;
	struct msig_line line;

	if (len > MINISIGN_TEXT_MAX || !msig_line_take(&at, end, false, &line) ||
	        !msig_comment_valid(&line, MSIG_UNTRUSTED, MINISIGN_COMMENT_MAX) ||
	        !msig_line_take(&at, end, false, &line) ||
	        !msig_base64_take(&line, &parts->file, sizeof(parts->file)) ||
	        !msig_line_take(&at, end, false, &line) ||
	        !msig_comment_valid(&line, MSIG_TRUSTED, MINISIGN_TRUSTED_MAX))
		return false;
	parts->trusted.text = line.text + strlen(MSIG_TRUSTED);
	parts->trusted.len = line.len - strlen(MSIG_TRUSTED);
	return msig_line_take(&at, end, false, &line) && at == end &&
	       msig_base64_take(&line, parts->global, sizeof(parts->global));
}

int minisign_signer(const char *sig, size_t sig_len, uint8_t id[8])
{
	struct parts parts;

	if (!parts_take(sig, sig_len, &parts))
		return -EINVAL;
	memcpy(id, parts.file.id, sizeof(parts.file.id));
	return 0;
}

static int parts_judge(const struct minisign_public *key, const void *data, size_t len,
        const struct parts *parts, char *err, size_t err_size)
{
	uint8_t hash[HASH_LEN], message[64 + MINISIGN_TRUSTED_MAX];
	size_t size;
	int ret = message_take(&data, &len, parts->file.alg[1] == 'd', hash);

	if (ret == 0)
		ret = msig_ed25519_verify(key->key, data, len, parts->file.sig);
	if (ret == -EKEYREJECTED)
		return msig_fail(ret, err, err_size,
		        "the signature is wrong: the data or the signature was changed");
	size = global_message(parts->file.sig, parts->trusted.text, parts->trusted.len, message);
	if (ret == 0)
		ret = msig_ed25519_verify(key->key, message, size, parts->global);
	if (ret == -EKEYREJECTED)
		return msig_fail(ret, err, err_size,
		        "the signature of the trusted comment is wrong: it was changed");
	return ret ? msig_fail(ret, err, err_size, "libcrypto cannot verify signatures") : 0;
}

int minisign_verify(const struct minisign_public *key, const void *data, size_t len,
        const char *sig, size_t sig_len, struct minisign_claim *claim, char *err, size_t err_size)
{
	char made[17], wanted[17];
	struct minisign_public maker = {0};
	struct parts parts;
	int ret;

	if (!parts_take(sig, sig_len, &parts) || parts.file.alg[0] != 'E' ||
	        (parts.file.alg[1] != 'd' && parts.file.alg[1] != 'D'))
		return msig_fail(-EINVAL, err, err_size,
		        "this is no signature of minisign: four lines, untrusted comment, "
		        "signature, trusted comment, its signature");
	memcpy(maker.id, parts.file.id, sizeof(maker.id));
	minisign_id_print(&maker, made);
	minisign_id_print(key, wanted);
	if (memcmp(maker.id, key->id, sizeof(maker.id)) != 0)
		return msig_fail(-ENOKEY, err, err_size, "this is signed by the key %s, not by %s",
		        made, wanted);
	ret = parts_judge(key, data, len, &parts, err, err_size);
	if (ret == 0 && claim) {
		claim->legacy = parts.file.alg[1] == 'd';
		memcpy(claim->trusted, parts.trusted.text, parts.trusted.len);
		claim->trusted[parts.trusted.len] = '\0';
	}
	return ret;
}

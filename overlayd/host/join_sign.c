/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What joining signs: with the node's key, whose file is read each time, and with a token's. */
#include "host/join_private.h"

#include "client/nodekey.h"
#include "host/ownkeys.h"
#include "policy/admission.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

static int sign_with(const struct world *world, const uint8_t public_key[32], const void *words,
        size_t len, uint8_t signature[64], char *err, size_t err_size)
{
	char *pem;
	int ret = ownkeys_pem(world, public_key, &pem, err, err_size);

	if (ret)
		return ret;
	ret = nodekey_sign(pem, words, len, signature);
	nodekey_pem_free(pem);
	if (ret)
		snprintf(err, err_size, "libcrypto cannot sign with the node's key");
	return ret;
}

int join_sign(const struct world *world, const struct engine_admit_fx *admit, uint8_t signature[64],
        char *err, size_t err_size)
{
	uint8_t key[32];
	int ret =
	        sign_with(world, admit->by.raw, admit->words, admit->len, signature, err, err_size);

	if (ret != -ESTALE)
		return ret;
	ownkeys_signing(world, key);
	return sign_with(world, key, admit->words, admit->len, signature, err, err_size);
}

static int token_sign(
        const uint8_t secret[32], const void *words, size_t len, uint8_t signature[64])
{
	EVP_PKEY *key = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, secret, 32);
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	size_t size = 64;
	int ok = key && ctx && EVP_DigestSignInit(ctx, NULL, NULL, NULL, key) == 1 &&
	         EVP_DigestSign(ctx, signature, &size, words, len) == 1;

	EVP_MD_CTX_free(ctx);
	EVP_PKEY_free(key);
	return ok ? 0 : -EIO;
}

static int vouch(const uint8_t *secret, struct join_request *request, char *err, size_t err_size)
{
	uint8_t words[POLICY_ADMISSION_WORDS_MAX];
	struct policy_admission admission = {0};
	size_t len;

	snprintf(admission.cluster, sizeof(admission.cluster), "%s", request->cluster);
	snprintf(admission.token, sizeof(admission.token), "%s", request->token);
	snprintf(admission.name, sizeof(admission.name), "%s", request->name);
	admission.key = request->key;
	len = policy_admission_words_token(&admission, words);
	if (len && !token_sign(secret, words, len, request->by_token))
		return 0;
	snprintf(err, err_size, "libcrypto cannot sign with the ticket's token");
	return -EIO;
}

int join_sign_request(const struct world *world, const struct engine_join_ask *ask,
        const uint8_t *secret, const uint8_t seed_nonce[32], struct join_request *request,
        char *err, size_t err_size)
{
	uint8_t words[JOIN_WORDS_MAX];
	int ret = 0;

	*request = ask->request;
	snprintf(request->release, sizeof(request->release), "%s", OVERLAYD_VERSION);
	if (getrandom(request->nonce, sizeof(request->nonce), 0) != sizeof(request->nonce)) {
		snprintf(err, err_size, "the kernel gives no random bytes");
		return -EIO;
	}
	if (request->token[0] && secret)
		ret = vouch(secret, request, err, err_size);
	if (ret)
		return ret;
	ret = join_request_words(request, &ask->cluster_key, &ask->key, seed_nonce, words);
	if (ret) {
		snprintf(err, err_size, "this node's wishes cannot be said: %s", strerror(-ret));
		return ret;
	}
	return sign_with(
	        world, request->key.raw, words, sizeof(words), request->signature, err, err_size);
}

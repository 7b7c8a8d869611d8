/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Keys that come from the swarm's chance, and statements signed as the host signs them. */
#include "tests/simcluster/swarm.h"

#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

static EVP_PKEY *key_make(struct world *w, uint8_t seed[32], uint8_t public[32])
{
	size_t len = 32;
	EVP_PKEY *key;

	for (int i = 0; i < 32; i++)
		seed[i] = (uint8_t)rnd(w);
	key = need(EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, seed, 32));
	if (EVP_PKEY_get_raw_public_key(key, public, &len) != 1)
		abort();
	return key;
}

void sign_new_key(struct world *w, struct node *n)
{
	uint8_t seed[32];

	n->secret = key_make(w, seed, n->key.raw);
}

void *sign_key(struct world *w, struct policy_key *public)
{
	uint8_t seed[32];

	return key_make(w, seed, public->raw);
}

void sign_key_free(void *secret)
{
	EVP_PKEY_free(secret);
}

void sign_words(void *secret, const void *words, size_t len, uint8_t sig[64])
{
	EVP_MD_CTX *ctx = need(EVP_MD_CTX_new());
	size_t sig_len = 64;

	if (EVP_DigestSignInit(ctx, NULL, NULL, NULL, secret) != 1 ||
	        EVP_DigestSign(ctx, sig, &sig_len, words, len) != 1)
		abort();
	EVP_MD_CTX_free(ctx);
}

void sign_free(struct node *n)
{
	EVP_PKEY_free(n->secret);
	EVP_PKEY_free(n->old_secret);
}

void sign_make_cluster_key(struct world *w, struct minisign_secret *out)
{
	EVP_PKEY_free(key_make(w, out->seed, out->pub.key));
	for (int i = 0; i < 8; i++)
		out->pub.id[i] = (uint8_t)rnd(w);
}

static bool same_content(const struct session_statement *a, const struct session_statement *b)
{
	return a->kind == b->kind && !strcmp(a->node, b->node) &&
	       a->head.serial == b->head.serial && !memcmp(a->head.digest, b->head.digest, 32) &&
	       a->body_len == b->body_len && !memcmp(a->body, b->body, a->body_len);
}

void sign_statement(struct world *w, struct node *n, struct session_statement *s)
{
	const struct policy_key *key = keys_signing(w, n);
	struct session_statement *last = &n->statements[s->kind == SESSION_LINKS];
	struct policy_key *by = &n->signed_by[s->kind == SESSION_LINKS];
	uint8_t text[SESSION_STATEMENT_MAX];

	if (!same_content(s, last) || memcmp(key, by, sizeof(*key))) {
		*last = *s;
		*by = *key;
		sign_words(keys_secret(n, key), text, session_statement_text(s, text),
		        last->signature);
	}
	memcpy(s->signature, last->signature, sizeof(s->signature));
}

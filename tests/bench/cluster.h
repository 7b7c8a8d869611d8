/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A cluster of any size, made of numbers: node 0 is the hub (role head, 10.77.0.1), nodes 1..n are
 * its peers (role exec). Everything follows from the number, the keys too, so that each program of
 * the bench can play every node without passing files around.
 */
#ifndef TESTS_BENCH_CLUSTER_H
#define TESTS_BENCH_CLUSTER_H

#include <arpa/inet.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/sha.h>

#include "engine/engine.h"
#include "host/charon.h"
#include "tests/bench/bench.h"

#define CLUSTER_NAME "bench"
#define CLUSTER_PORT 4500

struct node {
	char name[16];
	char id[ENGINE_ID_MAX];
	char conn[ENGINE_CONN_MAX];
	struct policy_key key;
	struct policy_addr addr4, addr6;
};

static inline EVP_PKEY *node_secret(unsigned int i)
{
	unsigned char seed[32];
	char text[64];
	EVP_PKEY *pkey;

	snprintf(text, sizeof(text), "overlayd bench node %u", i);
	SHA256((unsigned char *)text, strlen(text), seed);
	pkey = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, seed, sizeof(seed));
	if (!pkey)
		die("cannot make an Ed25519 key");
	return pkey;
}

static inline void node_address4(unsigned int i, struct policy_addr *out)
{
	uint32_t a = htonl(0x0a4d0001u + i);

	memset(out, 0, sizeof(*out));
	out->family = AF_INET;
	memcpy(out->bytes, &a, 4);
}

/* Where a peer listens, all of them on one machine: 198.18.0.1 + i. */
static inline void node_endpoint(unsigned int i, struct policy_addr *out)
{
	uint32_t a = htonl(0xc6120001u + i);

	memset(out, 0, sizeof(*out));
	out->family = AF_INET;
	memcpy(out->bytes, &a, 4);
}

static inline void node_make(unsigned int i, struct node *n)
{
	EVP_PKEY *pkey = node_secret(i);
	size_t len = sizeof(n->key.raw);

	memset(n, 0, sizeof(*n));
	if (!EVP_PKEY_get_raw_public_key(pkey, n->key.raw, &len))
		die("no public key");
	EVP_PKEY_free(pkey);
	if (i)
		snprintf(n->name, sizeof(n->name), "n%05u", i);
	else
		snprintf(n->name, sizeof(n->name), "hub");
	snprintf(n->conn, sizeof(n->conn), ENGINE_CONN_PREFIX "%s", n->name);
	/* as the engine names it: peer_remote_id() */
	snprintf(n->id, sizeof(n->id), "%s.", n->name);
	for (size_t b = 0; b < 16; b++)
		sprintf(n->id + strlen(n->id), "%02x", n->key.raw[b]);
	node_address4(i, &n->addr4);
	policy_ula_address(CLUSTER_NAME, &n->key, &n->addr6);
}

/* The connection of `self` to `peer`, as the engine orders it. Borrows both. */
static inline void node_connection(
        const struct node *self, const struct node *peer, struct engine_conn *c)
{
	memset(c, 0, sizeof(*c));
	c->name = peer->conn;
	c->peer = peer->name;
	c->local_id = self->id;
	c->remote_id = peer->id;
	c->own_key = self->key;
	c->key = peer->key;
	c->local4 = self->addr4;
	c->local6 = self->addr6;
	c->remote4 = peer->addr4;
	c->remote6 = peer->addr6;
	c->port = c->endpoint_port = CLUSTER_PORT;
}

/* PKCS#8 PEM of the node's private key, as in state/node.key. Returns its length. */
static inline size_t node_secret_pem(unsigned int i, char *buf, size_t size)
{
	EVP_PKEY *pkey = node_secret(i);
	BIO *bio = BIO_new(BIO_s_mem());
	int n;

	if (!bio || !PEM_write_bio_PKCS8PrivateKey(bio, pkey, NULL, NULL, 0, NULL, NULL))
		die("cannot write a key");
	n = BIO_read(bio, buf, (int)size - 1);
	if (n <= 0)
		die("cannot write a key");
	buf[n] = 0;
	BIO_free(bio);
	EVP_PKEY_free(pkey);
	return (size_t)n;
}

#endif

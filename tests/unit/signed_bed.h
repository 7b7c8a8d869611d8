/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Keys, policies and bundles for tests of the cluster: nodes a, b, c... with real Ed25519 keys, of
 * which the first few are seeds, and bundles signed with a real minisign key.
 */
#ifndef TESTS_UNIT_SIGNED_BED_H
#define TESTS_UNIT_SIGNED_BED_H

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <openssl/evp.h>

#include "engine/session.h"
#include "policy/bundle.h"

#define ISSUED 1700000000

struct signed_file {
	char *data;
	size_t len;
	struct bundle_head head;
	struct session_head short_head;
};

struct recipe {
	uint64_t serial;
	unsigned members;   /* bits */
	unsigned seeds;     /* the first so many */
	unsigned seed_bits; /* or these */
	unsigned moved;     /* bits: at another address */
	unsigned spare;     /* peers beside, to make it large */
	int64_t issued;     /* 0: ISSUED */
	const char *cluster;
	bool join;                                  /* newcomers may ask */
	const char *until;                          /* of b */
	const char *more;                           /* lines behind all others; may be NULL */
	void (*key)(int i, struct policy_key *key); /* NULL: node_key */
};

static inline EVP_PKEY *node_pkey(int i)
{
	uint8_t seed[32] = {(uint8_t)(i + 1), (uint8_t)((i + 1) >> 8), 0x5a};

	return EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, seed, sizeof(seed));
}

static inline void node_key(int i, struct policy_key *key)
{
	EVP_PKEY *pkey = node_pkey(i);
	size_t len = sizeof(key->raw);

	assert_int_equal(EVP_PKEY_get_raw_public_key(pkey, key->raw, &len), 1);
	EVP_PKEY_free(pkey);
}

static inline void node_sign(int i, struct session_statement *st)
{
	uint8_t text[SESSION_STATEMENT_MAX];
	size_t len = session_statement_text(st, text), sig = sizeof(st->signature);
	EVP_PKEY *pkey = node_pkey(i);
	EVP_MD_CTX *md = EVP_MD_CTX_new();

	assert_int_equal(EVP_DigestSignInit(md, NULL, NULL, NULL, pkey), 1);
	assert_int_equal(EVP_DigestSign(md, st->signature, &sig, text, len), 1);
	EVP_MD_CTX_free(md);
	EVP_PKEY_free(pkey);
}

static inline struct session_statement node_says(int i, const struct session_head *head)
{
	struct session_statement st = {.kind = SESSION_APPLIED, .head = *head};

	st.node[0] = (char)('a' + i);
	st.body_len = 3;
	memcpy(st.body, "1.2", 3);
	node_sign(i, &st);
	return st;
}

static inline void peer_write(
        FILE *f, const struct recipe *r, int i, const char *name, const char *roles)
{
	const char *until = i == 1 && r->until ? r->until : NULL;
	struct policy_key raw;
	char key[96];

	(r->key ? r->key : node_key)(i, &raw);
	policy_key_print(&raw, key, sizeof(key));
	fprintf(f,
	        "  %s: { key: \"%s\", address: 10.%d.%d.%d, site: s, roles: [%s], endpoints: "
	        "[192.0.2.%d]%s%s }\n",
	        name, key, i < 26 && r->moved >> i & 1 ? 2 : 1, i / 250, i % 250 + 1, roles,
	        i % 250 + 1, until ? ", until: " : "", until ? until : "");
}

static inline struct policy *recipe_policy(const struct recipe *r)
{
	char *text = NULL, name[16];
	struct policy_report report;
	struct policy *p = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&text, &len);

	fprintf(f,
	        "cluster: %s\nserial: %llu\noverlay: 10.0.0.0/8\nsites:\n  s: { timezone: UTC }\n"
	        "%sroles: [seed, r]\nallow:\n  - { from: r, to: r, service: ssh }\npeers:\n",
	        r->cluster ? r->cluster : "t", (unsigned long long)r->serial,
	        r->join ? "join: true\n" : "");
	for (int i = 0; i < 26; i++) {
		snprintf(name, sizeof(name), "%c", 'a' + i);
		if (r->members >> i & 1)
			peer_write(f, r, i, name,
			        i < (int)r->seeds || r->seed_bits >> i & 1 ? "seed" : "r");
	}
	for (unsigned i = 0; i < r->spare; i++) {
		snprintf(name, sizeof(name), "spare%u", i);
		peer_write(f, r, (int)i + 100, name, "r");
	}
	if (r->more)
		fputs(r->more, f);
	fclose(f);
	policy_report_init(&report);
	if (policy_parse(&(struct policy_file){"policy.yaml", text, len}, 1, &p, &report)) {
		policy_report_print(&report, stderr, false);
		fail();
	}
	policy_report_clear(&report);
	free(text);
	return p;
}

static inline const struct minisign_secret *cluster_secret(int which)
{
	static struct minisign_secret secrets[2];
	static bool made[2];

	if (!made[which])
		assert_int_equal(minisign_key_make(&secrets[which]), 0);
	made[which] = true;
	return &secrets[which];
}

static inline struct signed_file bundle_by(
        const struct recipe *r, const struct signed_file *parent, int signer)
{
	struct policy *p = recipe_policy(r);
	struct signed_file f = {0};
	char *text, err[BUNDLE_ERROR_MAX];
	size_t len;

	if (bundle_make(p, parent ? &parent->head : NULL, r->issued ? r->issued : ISSUED, &text,
	            &len, err, sizeof(err)))
		fail_msg("%s", err);
	if (bundle_seal(text, len, cluster_secret(signer), &f.data, &f.len, err, sizeof(err)))
		fail_msg("%s", err);
	assert_int_equal(bundle_head_read(text, len, &f.head, err, sizeof(err)), 0);
	f.short_head.serial = f.head.serial;
	memcpy(f.short_head.digest, f.head.digest, sizeof(f.head.digest));
	free(text);
	policy_unref(p);
	return f;
}

static inline struct signed_file bundle_of(const struct recipe *r, const struct signed_file *parent)
{
	return bundle_by(r, parent, 0);
}

/* Signed as it stands, be it a bundle or not. */
static inline struct signed_file signed_text(const char *text, size_t len)
{
	struct signed_file f = {0};
	char *sig;

	assert_int_equal(minisign_sign(cluster_secret(0), text, len, NULL, "x", false, &sig), 0);
	f.len = len + strlen(sig);
	f.data = malloc(f.len + 1);
	memcpy(f.data, text, len);
	memcpy(f.data + len, sig, strlen(sig) + 1);
	free(sig);
	return f;
}

#endif

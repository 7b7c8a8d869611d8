/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Ed25519 public keys as OpenSSH writes them (RFC 4253 6.6, RFC 8709), and their fingerprints. */
#include "policy/policy.h"

#include <errno.h>
#include <string.h>

#include <openssl/evp.h>

#include "policy/internal.h"
#include "policy/minisign_internal.h"

/* string "ssh-ed25519", string 32 bytes of key */
static const unsigned char blob_head[] = "\0\0\0\013ssh-ed25519\0\0\0\040";
#define BLOB_HEAD 19U
#define BLOB_LEN 51U
#define BLOB_BASE64 68U

static void key_blob(const struct policy_key *key, unsigned char blob[BLOB_LEN])
{
	memcpy(blob, blob_head, BLOB_HEAD);
	memcpy(blob + BLOB_HEAD, key->raw, sizeof(key->raw));
}

/*
 * Points of order 1, 2, 4 and 8 (y coordinates, little endian): a signature by such a key proves
 * nothing. And y must be below the field's prime 2^255 - 19, or one key could be written twice.
 */
static const unsigned char low_order[][32] = {
        {0},
        {1},
        {0xec, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
                0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
                0xff, 0xff, 0x7f},
        {0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98,
                0xf0, 0xd5, 0xdf, 0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d,
                0x53, 0xfc, 0x05},
        {0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67,
                0x0f, 0x2a, 0x20, 0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92,
                0xac, 0x03, 0x7a},
};

static const char *point_fault(const struct policy_key *key)
{
	unsigned char y[32];
	bool high = true;

	memcpy(y, key->raw, sizeof(y));
	y[31] &= 0x7f;
	for (size_t i = 0; i < sizeof(low_order) / sizeof(low_order[0]); i++)
		if (memcmp(y, low_order[i], sizeof(y)) == 0)
			return "is a point of low order, for which anybody can sign: make a new "
			       "key";
	for (size_t i = 1; i < 31; i++)
		high = high && y[i] == 0xff;
	if (high && y[31] == 0x7f && y[0] >= 0xed)
		return "is not in canonical form: make a new key";
	return NULL;
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

static bool is_base64(char c)
{
	return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
	       c == '+' || c == '/';
}

/* Which other kind of key this is, to say so by name. */
static const char *type_fault(const char *text, size_t len)
{
	static const char *const other[] = {"ssh-rsa", "ssh-dss", "ecdsa-sha2-nistp256",
	        "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521", "sk-ssh-ed25519@openssh.com",
	        "sk-ecdsa-sha2-nistp256@openssh.com", "ssh-ed448"};
	static const char *const says[] = {"is an ssh-rsa key", "is an ssh-dss key",
	        "is an ecdsa-sha2-nistp256 key", "is an ecdsa-sha2-nistp384 key",
	        "is an ecdsa-sha2-nistp521 key", "is a security key (sk-ssh-ed25519)",
	        "is a security key (sk-ecdsa-sha2-nistp256)", "is an ssh-ed448 key"};

	for (size_t i = 0; i < sizeof(other) / sizeof(other[0]); i++)
		if (strlen(other[i]) == len && memcmp(text, other[i], len) == 0)
			return says[i];
	if (len >= 5 && memcmp(text, "-----", 5) == 0)
		return "is a PEM block, perhaps a private key: give the public one, as "
		       "`overlayctl id` prints it";
	return "does not begin with ssh-ed25519";
}

const char *pol_key_fault(const char *text, struct policy_key *key, const char **comment)
{
	unsigned char blob[BLOB_LEN + 3];
	struct policy_key found;
	const char *fault;
	size_t len;

	len = strcspn(text, " \t");
	if (len != 11 || memcmp(text, "ssh-ed25519", 11) != 0)
		return type_fault(text, len);
	for (text += len; is_blank(*text); text++)
		;
	len = strcspn(text, " \t");
	if (len == 0)
		return "ends after ssh-ed25519: the key itself is missing";
	if (len != BLOB_BASE64)
		return len < BLOB_BASE64 ? "is too short: an Ed25519 key has 68 characters"
		                         : "is too long: an Ed25519 key has 68 characters";
	for (size_t i = 0; i < len; i++)
		if (!is_base64(text[i]))
			return "is not base64: copy it again";
	if (EVP_DecodeBlock(blob, (const unsigned char *)text, (int)len) != (int)BLOB_LEN)
		return "is not base64: copy it again";
	if (memcmp(blob, blob_head, BLOB_HEAD) != 0)
		return "does not hold an Ed25519 key: copy it again";
	memcpy(found.raw, blob + BLOB_HEAD, sizeof(found.raw));
	fault = point_fault(&found);
	if (fault)
		return fault;
	for (text += len; is_blank(*text); text++)
		;
	*key = found;
	if (comment)
		*comment = text;
	return NULL;
}

int policy_key_parse(const char *text, struct policy_key *key, const char **comment)
{
	return pol_key_fault(text, key, comment) ? -EINVAL : 0;
}

void policy_key_print(const struct policy_key *key, char *buf, size_t size)
{
	unsigned char blob[BLOB_LEN], text[BLOB_BASE64 + 1];

	key_blob(key, blob);
	EVP_EncodeBlock(text, blob, BLOB_LEN);
	snprintf(buf, size, "ssh-ed25519 %s", (const char *)text);
}

void policy_key_digest(const struct policy_key *key, uint8_t digest[32])
{
	unsigned char blob[BLOB_LEN];

	key_blob(key, blob);
	pol_sha256(digest, blob, sizeof(blob), NULL, 0, NULL, 0);
}

void pol_fingerprint_print(const uint8_t digest[32], char buf[POLICY_FINGERPRINT_LEN])
{
	unsigned char text[45];

	EVP_EncodeBlock(text, digest, 32);
	snprintf(buf, POLICY_FINGERPRINT_LEN, "SHA256:%.43s", (const char *)text);
}

int pol_fingerprint_parse(const char *text, uint8_t digest[32])
{
	unsigned char padded[45], bytes[33];
	char again[POLICY_FINGERPRINT_LEN];

	if (strlen(text) != POLICY_FINGERPRINT_LEN - 1 || memcmp(text, "SHA256:", 7) != 0)
		return -EINVAL;
	for (const char *c = text + 7; *c; c++)
		if (!is_base64(*c))
			return -EINVAL;
	snprintf((char *)padded, sizeof(padded), "%s=", text + 7);
	if (EVP_DecodeBlock(bytes, padded, 44) != 33)
		return -EINVAL;
	pol_fingerprint_print(bytes, again); /* the last character has bits to spare */
	if (strcmp(again, text) != 0)
		return -EINVAL;
	memcpy(digest, bytes, 32);
	return 0;
}

void policy_key_fingerprint(const struct policy_key *key, char buf[POLICY_FINGERPRINT_LEN])
{
	uint8_t digest[32];

	policy_key_digest(key, digest);
	pol_fingerprint_print(digest, buf);
}

int policy_key_compare(const struct policy_key *a, const struct policy_key *b)
{
	uint8_t digest_a[32], digest_b[32];

	policy_key_digest(a, digest_a);
	policy_key_digest(b, digest_b);
	return memcmp(digest_a, digest_b, sizeof(digest_a));
}

int policy_key_verify(
        const struct policy_key *key, const void *data, size_t len, const uint8_t sig[64])
{
	return msig_ed25519_verify(key->raw, data, len, sig);
}

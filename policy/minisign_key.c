/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Keys: made, written and read. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>

#include "policy/minisign_internal.h"

#define PUBLIC_COMMENT MSIG_UNTRUSTED "minisign public key "
#define SECRET_COMMENT MSIG_UNTRUSTED "minisign encrypted secret key\n"
#define CLEAR_COMMENT MSIG_UNTRUSTED "minisign secret key, not encrypted\n"

struct public_file {
	uint8_t alg[2];
	struct minisign_public key;
};

/* What a passphrase hides. */
struct secret_box {
	uint8_t id[8], seed[32], key[32], sum[32];
};

struct secret_file {
	uint8_t alg[2], kdf[2], sum_alg[2], salt[32], ops[8], mem[8];
	struct secret_box box;
};

_Static_assert(sizeof(struct public_file) == 42, "no holes");
_Static_assert(sizeof(struct secret_file) == 158, "no holes");

int minisign_key_make(struct minisign_secret *out)
{
	struct minisign_secret made;
	int ret = -EIO;

	if (RAND_bytes(made.pub.id, sizeof(made.pub.id)) == 1 &&
	        RAND_priv_bytes(made.seed, sizeof(made.seed)) == 1)
		ret = msig_public_of(made.seed, made.pub.key);
	if (ret == 0)
		*out = made;
	minisign_secret_wipe(&made);
	return ret;
}

void minisign_secret_wipe(struct minisign_secret *secret)
{
	if (secret)
		OPENSSL_cleanse(secret, sizeof(*secret));
}

/* ---- public */

bool minisign_public_same(const struct minisign_public *a, const struct minisign_public *b)
{
	return memcmp(a, b, sizeof(*a)) == 0;
}

void minisign_id_print(const struct minisign_public *key, char buf[17])
{
	for (unsigned i = 0; i < 8; i++)
		snprintf(buf + 2 * i, 3, "%02X", key->id[7 - i]);
}

void minisign_public_line(const struct minisign_public *key, char buf[57])
{
	const struct public_file file = {{'E', 'd'}, *key};

	msig_base64_print(&file, sizeof(file), buf);
}

void minisign_public_print(const struct minisign_public *key, char buf[128])
{
	char id[17], line[57];

	minisign_id_print(key, id);
	minisign_public_line(key, line);
	snprintf(buf, 128, PUBLIC_COMMENT "%s\n%s\n", id, line);
}

int minisign_public_parse(
        const char *text, size_t len, struct minisign_public *out, char *err, size_t err_size)
{
	const char *at = text, *end = text + len;
	struct msig_line line;
	struct public_file file;
	bool good = len <= MINISIGN_TEXT_MAX && msig_line_take(&at, end, true, &line);

	if (good && msig_line_begins(&line, MSIG_UNTRUSTED))
		good = msig_comment_valid(&line, MSIG_UNTRUSTED, MINISIGN_COMMENT_MAX) &&
		       msig_line_take(&at, end, true, &line);
	if (!good || at != end || !msig_base64_take(&line, &file, sizeof(file)) ||
	        memcmp(file.alg, "Ed", 2) != 0)
		return msig_fail(-EINVAL, err, err_size,
		        "this is no public key of minisign: a comment line and a line that begins "
		        "with RW, or that line alone");
	*out = file.key;
	return 0;
}

/* ---- secret */

static void le64_put(uint8_t at[8], uint64_t n)
{
	for (unsigned i = 0; i < 8; i++)
		at[i] = (uint8_t)(n >> 8 * i);
}

static uint64_t le64_get(const uint8_t at[8])
{
	uint64_t n = 0;

	for (unsigned i = 8; i-- > 0;)
		n = n << 8 | at[i];
	return n;
}

/* libsodium's way from a cost to scrypt's numbers (crypto_pwhash_scryptsalsa208sha256). */
static void scrypt_numbers(const struct minisign_cost *cost, uint64_t *n, uint64_t *p)
{
	bool by_mem = cost->ops >= cost->mem / 32;
	uint64_t max = by_mem ? cost->mem / (8 * 128) : cost->ops / (8 * 4);

	*n = 2;
	while (*n <= max / 2)
		*n *= 2;
	*p = by_mem ? cost->ops / 4 / *n / 8 : 1;
	*p = *p ? *p : 1;
}

static bool cost_valid(const struct minisign_cost *cost)
{
	const struct minisign_cost least = MINISIGN_COST_LEAST, usual = MINISIGN_COST_USUAL;

	return cost->ops >= least.ops && cost->ops <= usual.ops && cost->mem >= least.mem &&
	       cost->mem <= usual.mem;
}

/* Hide or show the box. */
static int box_turn(struct secret_file *file, const char *passphrase)
{
	const struct minisign_cost cost = {le64_get(file->ops), le64_get(file->mem)};
	uint8_t stream[sizeof(file->box)], *box = (uint8_t *)&file->box;
	uint64_t n, p, need;
	int ok;

	scrypt_numbers(&cost, &n, &p);
	/* libcrypto refuses above 32 MiB unless told how much this takes (RFC 7914, and slack). */
	need = 128 * 8 * (n + p + 4) + 65536;
	ok = EVP_PBE_scrypt(passphrase, strlen(passphrase), file->salt, sizeof(file->salt), n, 8, p,
	        need, stream, sizeof(stream));
	for (size_t i = 0; ok == 1 && i < sizeof(stream); i++)
		box[i] ^= stream[i];
	OPENSSL_cleanse(stream, sizeof(stream));
	return ok == 1 ? 0 : -ENOMEM;
}

static void box_sum(const struct secret_box *box, uint8_t sum[32])
{
	uint8_t data[2 + offsetof(struct secret_box, sum)] = {'E', 'd'};

	memcpy(data + 2, box, sizeof(data) - 2);
	msig_blake2b(data, sizeof(data), sum, 32);
	OPENSSL_cleanse(data, sizeof(data));
}

static int box_close(struct secret_file *file, const char *passphrase, struct minisign_cost cost,
        char *err, size_t err_size)
{
	int ret;

	if (!*passphrase || strlen(passphrase) > MINISIGN_PASSPHRASE_MAX)
		return msig_fail(-EINVAL, err, err_size, "a passphrase has 1 to %u bytes",
		        MINISIGN_PASSPHRASE_MAX);
	if (!cost_valid(&cost))
		return msig_fail(-E2BIG, err, err_size,
		        "this cost of guessing the passphrase is out of bounds");
	memcpy(file->kdf, "Sc", 2);
	le64_put(file->ops, cost.ops);
	le64_put(file->mem, cost.mem);
	if (RAND_bytes(file->salt, sizeof(file->salt)) != 1)
		return msig_fail(-EIO, err, err_size, "libcrypto gives no randomness");
	box_sum(&file->box, file->box.sum);
	ret = box_turn(file, passphrase);
	return ret ? msig_fail(ret, err, err_size,
	                     "encrypting the key takes %" PRIu64 " MiB of memory: free some",
	                     cost.mem >> 20)
	           : 0;
}

int minisign_secret_print(const struct minisign_secret *secret, const char *passphrase,
        struct minisign_cost cost, char buf[320], char *err, size_t err_size)
{
	struct secret_file file = {.alg = {'E', 'd'}, .sum_alg = {'B', '2'}};
	char line[MSIG_BASE64(sizeof(file)) + 1];
	int ret = 0;

	memcpy(file.box.id, secret->pub.id, sizeof(file.box.id));
	memcpy(file.box.seed, secret->seed, sizeof(file.box.seed));
	memcpy(file.box.key, secret->pub.key, sizeof(file.box.key));
	if (passphrase)
		ret = box_close(&file, passphrase, cost, err, err_size);
	if (ret == 0) {
		msig_base64_print(&file, sizeof(file), line);
		snprintf(buf, 320, "%s%s\n", passphrase ? SECRET_COMMENT : CLEAR_COMMENT, line);
	}
	OPENSSL_cleanse(&file, sizeof(file));
	OPENSSL_cleanse(line, sizeof(line));
	return ret;
}

static int secret_file_take(
        const char *text, size_t len, struct secret_file *file, char *err, size_t err_size)
{
	const char *at = text, *end = text + len;
	struct msig_line line;

	if (len > MINISIGN_TEXT_MAX || !msig_line_take(&at, end, false, &line) ||
	        !msig_comment_valid(&line, MSIG_UNTRUSTED, MINISIGN_COMMENT_MAX) ||
	        !msig_line_take(&at, end, true, &line) || at != end ||
	        !msig_base64_take(&line, file, sizeof(*file)) || memcmp(file->alg, "Ed", 2) != 0)
		return msig_fail(-EINVAL, err, err_size,
		        "this is no secret key of minisign: a comment line and a line that begins "
		        "with RW");
	if (memcmp(file->sum_alg, "B2", 2) != 0 ||
	        (memcmp(file->kdf, "Sc", 2) != 0 && memcmp(file->kdf, "\0\0", 2) != 0))
		return msig_fail(-EINVAL, err, err_size,
		        "this secret key is encrypted in a way that is not known");
	return 0;
}

static int box_open(struct secret_file *file, const char *passphrase, char *err, size_t err_size)
{
	const struct minisign_cost cost = {le64_get(file->ops), le64_get(file->mem)};
	uint8_t sum[32];
	int ret;

	if (!passphrase)
		return msig_fail(-ENOKEY, err, err_size,
		        "this secret key is encrypted: its passphrase is needed");
	if (!*passphrase || strlen(passphrase) > MINISIGN_PASSPHRASE_MAX)
		return msig_fail(-EKEYREJECTED, err, err_size,
		        "this is not the passphrase of this secret key");
	if (!cost_valid(&cost))
		return msig_fail(-E2BIG, err, err_size,
		        "this secret key asks for more work than any that minisign makes");
	ret = box_turn(file, passphrase);
	if (ret)
		return msig_fail(ret, err, err_size,
		        "decrypting the key takes %" PRIu64 " MiB of memory: free some",
		        cost.mem >> 20);
	box_sum(&file->box, sum);
	ret = CRYPTO_memcmp(sum, file->box.sum, sizeof(sum));
	OPENSSL_cleanse(sum, sizeof(sum));
	return ret ? msig_fail(-EKEYREJECTED, err, err_size,
	                     "this is not the passphrase of this secret key")
	           : 0;
}

int minisign_secret_parse(const char *text, size_t len, const char *passphrase,
        struct minisign_secret *out, char *err, size_t err_size)
{
	struct secret_file file;
	uint8_t key[32];
	int ret = secret_file_take(text, len, &file, err, err_size);

	if (ret == 0 && memcmp(file.kdf, "Sc", 2) == 0)
		ret = box_open(&file, passphrase, err, err_size);
	if (ret == 0 && msig_public_of(file.box.seed, key))
		ret = msig_fail(-EIO, err, err_size, "libcrypto has no Ed25519");
	/* A wrong public half would make signatures that give the secret one away. */
	if (ret == 0 && CRYPTO_memcmp(key, file.box.key, sizeof(key)) != 0)
		ret = msig_fail(-EINVAL, err, err_size,
		        "this secret key is damaged: its halves do not belong together");
	if (ret == 0) {
		memcpy(out->pub.id, file.box.id, sizeof(out->pub.id));
		memcpy(out->pub.key, file.box.key, sizeof(out->pub.key));
		memcpy(out->seed, file.box.seed, sizeof(out->seed));
	}
	OPENSSL_cleanse(&file, sizeof(file));
	return ret;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * minisign: keys and signatures in the files of the minisign tool (jedisct1/minisign, 0.11).
 *
 * A signer makes a key pair once (minisign_key_make), keeps the secret half in a file, with or
 * without a passphrase (minisign_secret_print, minisign_secret_parse), and hands out the public
 * half (minisign_public_print, minisign_public_parse). minisign_sign makes the text of a .minisig
 * file, minisign_verify judges one. `minisign -V` takes what this signs and the other way round.
 *
 * The formats; numbers are little-endian, each binary piece is one line of base64:
 *   public key   untrusted comment: TEXT / "Ed" id[8] key[32]
 *   secret key   untrusted comment: TEXT / "Ed" kdf[2] "B2" salt[32] ops[8] mem[8] box[104], where
 *                box = id[8] seed[32] key[32] BLAKE2b-256("Ed" id seed key)[32], xored with
 *                scrypt(passphrase) when kdf is "Sc"; clear and without the sum when it is 00 00
 *   signature    untrusted comment: TEXT / alg[2] id[8] sig[64] /
 *                trusted comment: TEXT / Ed25519(sig, TEXT)[64]
 *                alg "ED": sig is over BLAKE2b-512 of the data; "Ed" (legacy): over the data
 * The untrusted comment is signed by nobody: never show it as a fact.
 *
 * Nothing here reads files, clocks or terminals. Functions return 0 or a negative errno and, on
 * failure, one sentence in err (may be NULL); outputs are untouched then.
 */
#ifndef OVERLAYD_POLICY_MINISIGN_H
#define OVERLAYD_POLICY_MINISIGN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The tool's own limits of a line, prefix and all; its files are far below MINISIGN_TEXT_MAX. */
#define MINISIGN_COMMENT_MAX 1022U
#define MINISIGN_TRUSTED_MAX 8190U
#define MINISIGN_TEXT_MAX 16384U
#define MINISIGN_PASSPHRASE_MAX 1023U /* bytes */
#define MINISIGN_ERROR_MAX 200U       /* room for any sentence */

struct minisign_public {
	uint8_t id[8]; /* chance; tells keys apart, proves nothing */
	uint8_t key[32];
};

/* Wipe it when done. */
struct minisign_secret {
	struct minisign_public pub;
	uint8_t seed[32];
};

/* What guessing a passphrase costs, as libsodium counts it; mem is in bytes. */
struct minisign_cost {
	uint64_t ops, mem;
};
#define MINISIGN_COST_USUAL ((struct minisign_cost){1U << 25, 1U << 30}) /* the tool's: 1 GiB */
#define MINISIGN_COST_LEAST ((struct minisign_cost){1U << 15, 1U << 24})

/* A new key pair. -EIO: libcrypto gives no randomness. */
int minisign_key_make(struct minisign_secret *out);
void minisign_secret_wipe(struct minisign_secret *secret); /* NULL is fine */

/* The key id as the tool prints it: 16 hex digits, highest byte first; buf of 17 bytes. */
void minisign_id_print(const struct minisign_public *key, char buf[17]);
/* The key as one line of base64 ("RW...", as for `minisign -P`); buf of 57 bytes. */
void minisign_public_line(const struct minisign_public *key, char buf[57]);
/* The text of a .pub file; buf of 128 bytes. */
void minisign_public_print(const struct minisign_public *key, char buf[128]);
/* A .pub file, or the line of base64 alone; its last newline may be missing. -EINVAL. */
int minisign_public_parse(
        const char *text, size_t len, struct minisign_public *out, char *err, size_t err_size);
bool minisign_public_same(const struct minisign_public *a, const struct minisign_public *b);

/*
 * The text of a secret key file; wipe it with OPENSSL_cleanse() when written. passphrase NULL: not
 * encrypted. buf of 320 bytes. -EINVAL: an empty or too long passphrase; -E2BIG: a cost above the
 * usual or below the least; -ENOMEM: less memory than cost.mem is free (halve both, try again).
 */
int minisign_secret_print(const struct minisign_secret *secret, const char *passphrase,
        struct minisign_cost cost, char buf[320], char *err, size_t err_size);
/*
 * passphrase is not looked at where the file is not encrypted. -EINVAL: no such file or damaged;
 * -ENOKEY: it is encrypted and passphrase is NULL; -EKEYREJECTED: another passphrase, or damaged;
 * -E2BIG: a cost above the usual; -ENOMEM.
 */
int minisign_secret_parse(const char *text, size_t len, const char *passphrase,
        struct minisign_secret *out, char *err, size_t err_size);

/*
 * The text of a .minisig file; free() it. Comments are one line of UTF-8 without control
 * characters but tabs; comment NULL: the tool's. legacy: "Ed", for a minisign before 0.8.
 * -EINVAL: a comment that cannot be; -ENOMEM; -EIO.
 */
int minisign_sign(const struct minisign_secret *secret, const void *data, size_t len,
        const char *comment, const char *trusted, bool legacy, char **out);

/* Whose signature it claims to be. -EINVAL: it is none. */
int minisign_signer(const char *sig, size_t sig_len, uint8_t id[8]);
/* What a good signature says beside that it is good. */
struct minisign_claim {
	bool legacy;
	char trusted[MINISIGN_TRUSTED_MAX + 1]; /* signed, one line */
};
/*
 * -EINVAL: sig is no signature file; -ENOKEY: made by another key (by its id); -EKEYREJECTED: the
 * signature of the data or of the trusted comment is wrong; -ENOMEM, -EIO. claim may be NULL.
 */
int minisign_verify(const struct minisign_public *key, const void *data, size_t len,
        const char *sig, size_t sig_len, struct minisign_claim *claim, char *err, size_t err_size);

#endif

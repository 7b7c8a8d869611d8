/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * nodekey: the file that makes a node what it is, an Ed25519 private key (PKCS #8 in PEM, as
 * `openssl genpkey -algorithm ed25519` writes it), mode 0600, made on the node, never leaving it.
 *
 * overlayd makes it at its first start, `overlayctl init` and `overlayctl id` before that; both
 * by these functions. `err` gets one sentence on failure (size > 0).
 */
#ifndef OVERLAYD_CLIENT_NODEKEY_H
#define OVERLAYD_CLIENT_NODEKEY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NODEKEY_PEM_MAX 4096U

/*
 * Read a key's public half. -ENOENT: no file; -EPERM: readable or writable by others than its
 * owner, or owned by neither root nor us; -EBADMSG: not an Ed25519 key; -ELOOP: a symbolic link.
 */
int nodekey_load(const char *path, uint8_t public_key[32], char *err, size_t err_size);

/*
 * The private key as PEM text, for charon's load-key. *pem is NUL-terminated and mlock()ed where
 * allowed; release with nodekey_pem_free(), which wipes it. Errors as above.
 */
int nodekey_load_pem(
        const char *path, char **pem, uint8_t public_key[32], char *err, size_t err_size);
void nodekey_pem_free(char *pem);

/*
 * Load, or make it if there is none (its directory too, mode 0700). The new file appears whole
 * and synced or not at all; two makers at once end with one key. *made (may be NULL) says which.
 */
int nodekey_ensure(
        const char *path, uint8_t public_key[32], bool *made, char *err, size_t err_size);

/* What nodekey_load_pem() gave signs these bytes (plain Ed25519). -EIO: libcrypto cannot. */
int nodekey_sign(const char *pem, const void *data, size_t len, uint8_t signature[64]);

/* The key at `next` takes the place of the one at `path`, for good; both in one directory. */
int nodekey_replace(const char *next, const char *path, char *err, size_t err_size);

#endif

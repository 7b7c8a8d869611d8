/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "client/nodekey.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/bio.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define MADE_TRIES 3 /* somebody may make or remove the file between our looks */

__attribute__((format(printf, 4, 5))) static int fail(
        int rc, char *err, size_t err_size, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(err, err_size, format, args);
	va_end(args);
	return rc;
}

/* A private key counts only if nobody else can read or replace it. */
static int file_judge(int fd, const char *path, char *err, size_t err_size)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return fail(-errno, err, err_size, "%s: %s", path, strerror(errno));
	if (!S_ISREG(st.st_mode))
		return fail(-EBADMSG, err, err_size, "%s: is no regular file", path);
	if (st.st_uid && st.st_uid != geteuid())
		return fail(-EPERM, err, err_size,
		        "%s: belongs to user %u; a node's key must belong to root: chown root %s",
		        path, (unsigned)st.st_uid, path);
	if (st.st_mode & 077)
		return fail(-EPERM, err, err_size,
		        "%s: mode %04o lets others use the node's key: chmod 600 %s, and if others "
		        "may have read it, make a new one",
		        path, (unsigned)(st.st_mode & 07777), path);
	return 0;
}

static int file_open(const char *path, char *err, size_t err_size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	int rc;

	if (fd < 0 && errno == ENOENT)
		return fail(-ENOENT, err, err_size,
		        "%s: there is no node key yet; overlayd makes it at its first start, or: "
		        "overlayctl init",
		        path);
	if (fd < 0)
		return fail(-errno, err, err_size, "%s: %s", path,
		        errno == ELOOP ? "is a symbolic link" : strerror(errno));
	rc = file_judge(fd, path, err, err_size);
	if (rc < 0) {
		close(fd);
		return rc;
	}
	return fd;
}

void nodekey_pem_free(char *pem)
{
	if (!pem)
		return;
	OPENSSL_cleanse(pem, NODEKEY_PEM_MAX + 1);
	munlock(pem, NODEKEY_PEM_MAX + 1);
	free(pem);
}

/* *pem is always NODEKEY_PEM_MAX + 1 bytes, so that all of it can be wiped. */
static int pem_read(int fd, const char *path, char **pem, char *err, size_t err_size)
{
	char *text = calloc(1, NODEKEY_PEM_MAX + 1);
	size_t len = 0;
	ssize_t n = 0;

	if (!text)
		return fail(-ENOMEM, err, err_size, "%s: out of memory", path);
	mlock(text, NODEKEY_PEM_MAX + 1); /* best effort: keeps it out of swap */
	while (len <= NODEKEY_PEM_MAX) {
		n = read(fd, text + len, NODEKEY_PEM_MAX + 1 - len);
		if (!n || (n < 0 && errno != EINTR))
			break;
		len += n > 0 ? (size_t)n : 0;
	}
	if (n < 0 || len > NODEKEY_PEM_MAX) {
		int error = n < 0 ? errno : 0;

		nodekey_pem_free(text);
		return fail(error ? -error : -EBADMSG, err, err_size, "%s: %s", path,
		        error ? strerror(error) : "is too long for a key");
	}
	*pem = text;
	return 0;
}

static int no_password(char *buf, int size, int rwflag, void *user)
{
	(void)buf;
	(void)size;
	(void)rwflag;
	(void)user;
	return -1; /* never ask on the terminal */
}

static int pem_public(const char *pem, uint8_t public_key[32])
{
	BIO *bio = BIO_new_mem_buf(pem, -1);
	EVP_PKEY *key = bio ? PEM_read_bio_PrivateKey(bio, NULL, no_password, NULL) : NULL;
	uint8_t raw[32];
	size_t len = sizeof(raw);
	int rc = -EBADMSG;

	if (key && EVP_PKEY_id(key) == EVP_PKEY_ED25519 &&
	        EVP_PKEY_get_raw_public_key(key, raw, &len) == 1 && len == sizeof(raw)) {
		memcpy(public_key, raw, sizeof(raw));
		rc = 0;
	}
	EVP_PKEY_free(key);
	BIO_free(bio);
	return rc;
}

int nodekey_load_pem(
        const char *path, char **pem, uint8_t public_key[32], char *err, size_t err_size)
{
	char *text = NULL;
	int fd, rc;

	fd = file_open(path, err, err_size);
	if (fd < 0)
		return fd;
	rc = pem_read(fd, path, &text, err, err_size);
	close(fd);
	if (rc < 0)
		return rc;
	rc = pem_public(text, public_key);
	if (rc < 0) {
		nodekey_pem_free(text);
		return fail(rc, err, err_size,
		        "%s: holds no Ed25519 private key in PEM; move it away and a new one is "
		        "made",
		        path);
	}
	*pem = text;
	return 0;
}

int nodekey_load(const char *path, uint8_t public_key[32], char *err, size_t err_size)
{
	char *pem;
	int rc = nodekey_load_pem(path, &pem, public_key, err, err_size);

	if (rc < 0)
		return rc;
	nodekey_pem_free(pem);
	return 0;
}

/* A new key as PEM in a secure-heap BIO; NULL: libcrypto failed. */
static BIO *key_generate(void)
{
	EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	BIO *bio = key ? BIO_new(BIO_s_secmem()) : NULL;

	if (bio && PEM_write_bio_PKCS8PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL) != 1) {
		BIO_free(bio);
		bio = NULL;
	}
	EVP_PKEY_free(key);
	return bio;
}

static int write_synced(int fd, const char *data, size_t len)
{
	while (len) {
		ssize_t n = write(fd, data, len);

		if (n < 0 && errno != EINTR)
			return -errno;
		data += n > 0 ? n : 0;
		len -= n > 0 ? (size_t)n : 0;
	}
	return fsync(fd) < 0 ? -errno : 0;
}

/* "dir/node.key" -> an open fd of "dir", made if it is missing. */
static int dir_open(const char *path, char *err, size_t err_size)
{
	char dir[4096];
	const char *slash = strrchr(path, '/');
	int fd;

	snprintf(dir, sizeof(dir), "%.*s", slash ? (int)(slash - path) : 1, slash ? path : ".");
	if (mkdir(dir[0] ? dir : "/", 0700) < 0 && errno != EEXIST)
		return fail(-errno, err, err_size, "%s: cannot make the directory: %s", dir,
		        strerror(errno));
	fd = open(dir[0] ? dir : "/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return fail(-errno, err, err_size, "%s: %s", dir, strerror(errno));
	return fd;
}

/*
 * Write beside, sync, then link() into place: unlike rename() that never replaces a key that
 * another maker put there meanwhile (-EEXIST).
 */
static int key_place(int dir, const char *name, BIO *bio)
{
	char temp[256 + 64];
	char *data;
	long len = BIO_get_mem_data(bio, &data);
	int fd, rc;

	snprintf(temp, sizeof(temp), ".%.255s.%ld.new", name, (long)getpid());
	unlinkat(dir, temp, 0); /* left over by a crash of an earlier process of this id */
	fd = openat(dir, temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return -errno;
	rc = fchmod(fd, 0600) < 0 ? -errno : write_synced(fd, data, (size_t)len);
	if (close(fd) < 0 && !rc)
		rc = -errno;
	if (!rc && linkat(dir, temp, dir, name, 0) < 0)
		rc = -errno;
	unlinkat(dir, temp, 0);
	if (!rc && fsync(dir) < 0)
		rc = -errno;
	return rc;
}

static int key_make(const char *path, char *err, size_t err_size)
{
	const char *slash = strrchr(path, '/');
	int dir = dir_open(path, err, err_size);
	BIO *bio;
	int rc;

	if (dir < 0)
		return dir;
	bio = key_generate();
	rc = bio ? key_place(dir, slash ? slash + 1 : path, bio) : -EIO;
	BIO_free(bio);
	close(dir);
	if (rc < 0 && rc != -EEXIST)
		fail(rc, err, err_size, "%s: cannot make the node's key: %s", path,
		        bio ? strerror(-rc) : "libcrypto has no Ed25519");
	return rc;
}

int nodekey_ensure(const char *path, uint8_t public_key[32], bool *made, char *err, size_t err_size)
{
	int rc = -ENOENT;

	for (int i = 0; i < MADE_TRIES && rc == -ENOENT; i++) {
		int make = 0;

		rc = nodekey_load(path, public_key, err, err_size);
		if (rc != -ENOENT) {
			if (!rc && made)
				*made = false;
			return rc;
		}
		make = key_make(path, err, err_size);
		if (make < 0 && make != -EEXIST)
			return make;
		if (make == -EEXIST)
			continue; /* another maker was quicker: theirs counts */
		rc = nodekey_load(path, public_key, err, err_size);
		if (!rc && made)
			*made = true;
	}
	return rc;
}

int nodekey_sign(const char *pem, const void *data, size_t len, uint8_t signature[64])
{
	BIO *bio = BIO_new_mem_buf(pem, -1);
	EVP_PKEY *key = bio ? PEM_read_bio_PrivateKey(bio, NULL, no_password, NULL) : NULL;
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	size_t n = 64;
	int rc = -EIO;

	if (key && ctx && EVP_DigestSignInit(ctx, NULL, NULL, NULL, key) == 1 &&
	        EVP_DigestSign(ctx, signature, &n, data, len) == 1 && n == 64)
		rc = 0;
	EVP_MD_CTX_free(ctx);
	EVP_PKEY_free(key); /* wipes it */
	BIO_free(bio);
	return rc;
}

int nodekey_replace(const char *next, const char *path, char *err, size_t err_size)
{
	int dir = dir_open(path, err, err_size), rc = 0;

	if (dir < 0)
		return dir;
	if (rename(next, path) < 0 || fsync(dir) < 0)
		rc = fail(-errno, err, err_size, "%s: cannot take the place of %s: %s", next, path,
		        strerror(errno));
	close(dir);
	return rc;
}

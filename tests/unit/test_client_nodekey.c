/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The node's key file: made once, kept from others, never replaced. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <errno.h>
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "client/nodekey.h"

/* RFC 8032 section 7.1, test 1, as PKCS #8 (RFC 8410): a known pair. */
static const char known_pem[] = "-----BEGIN PRIVATE KEY-----\n"
                                "MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n"
                                "-----END PRIVATE KEY-----\n";
static const uint8_t known_public[32] = {0xd7, 0x5a, 0x98, 0x01, 0x82, 0xb1, 0x0a, 0xb7, 0xd5, 0x4b,
        0xfe, 0xd3, 0xc9, 0x64, 0x07, 0x3a, 0x0e, 0xe1, 0x72, 0xf3, 0xda, 0xa6, 0x23, 0x25, 0xaf,
        0x02, 0x1a, 0x68, 0xf7, 0x07, 0x51, 0x1a};
static const char rsa_like[] = "-----BEGIN PRIVATE KEY-----\n"
                               "MC4CAQAwBQYDK2VuBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n"
                               "-----END PRIVATE KEY-----\n"; /* an X25519 key */

static char dir[64], path[128];

static int setup(void **state)
{
	(void)state;
	strcpy(dir, "/tmp/ovl-nodekey-XXXXXX");
	if (!mkdtemp(dir))
		return -1;
	snprintf(path, sizeof(path), "%s/state/node.key", dir);
	return 0;
}

static int teardown(void **state)
{
	char sub[100];

	(void)state;
	unlink(path);
	snprintf(sub, sizeof(sub), "%s/state", dir);
	rmdir(sub);
	return rmdir(dir); /* fails if anything was left behind */
}

static void put(const char *text, size_t len, mode_t mode)
{
	char sub[100];
	int fd;

	snprintf(sub, sizeof(sub), "%s/state", dir);
	mkdir(sub, 0700);
	unlink(path);
	fd = open(path, O_CREAT | O_EXCL | O_WRONLY, 0600);
	assert_int_equal(write(fd, text, len), len);
	assert_int_equal(fchmod(fd, mode), 0);
	close(fd);
}

static void test_make(void **state)
{
	uint8_t a[32] = {0}, b[32] = {0}, c[32] = {0};
	char err[256], sub[100];
	struct stat st;
	bool made = false;

	(void)state;
	assert_int_equal(nodekey_load(path, a, err, sizeof(err)), -ENOENT);
	assert_non_null(strstr(err, "overlayctl init"));
	assert_memory_equal(a, b, 32); /* untouched */
	umask(0);
	assert_int_equal(nodekey_ensure(path, a, &made, err, sizeof(err)), 0);
	assert_true(made);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(st.st_nlink, 1);
	snprintf(sub, sizeof(sub), "%s/state", dir);
	assert_int_equal(stat(sub, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	assert_int_equal(nodekey_ensure(path, b, &made, err, sizeof(err)), 0);
	assert_false(made);
	assert_memory_equal(a, b, 32);
	unlink(path);
	assert_int_equal(nodekey_ensure(path, c, NULL, err, sizeof(err)), 0);
	assert_memory_not_equal(a, c, 32);
}

static void test_known(void **state)
{
	uint8_t key[32];
	char err[256], *pem = NULL;

	(void)state;
	put(known_pem, strlen(known_pem), 0600);
	assert_int_equal(nodekey_load_pem(path, &pem, key, err, sizeof(err)), 0);
	assert_memory_equal(key, known_public, 32);
	assert_string_equal(pem, known_pem);
	nodekey_pem_free(pem);
	nodekey_pem_free(NULL);
}

/* A file that is there is never replaced, however bad. */
static void expect_refused(int rc, const char *why)
{
	uint8_t key[32];
	struct stat before, after;
	char err[256], *pem = NULL;

	assert_int_equal(lstat(path, &before), 0);
	assert_int_equal(nodekey_ensure(path, key, NULL, err, sizeof(err)), rc);
	if (!strstr(err, why))
		fail_msg("not \"%s\": %s", why, err);
	assert_int_equal(nodekey_load_pem(path, &pem, key, err, sizeof(err)), rc);
	assert_null(pem);
	assert_int_equal(lstat(path, &after), 0);
	assert_int_equal(before.st_ino, after.st_ino);
}

static void test_refused(void **state)
{
	static const mode_t loose[] = {0640, 0604, 0660, 0610, 0602};
	char big[NODEKEY_PEM_MAX + 100];

	(void)state;
	for (size_t i = 0; i < sizeof(loose) / sizeof(loose[0]); i++) {
		put(known_pem, strlen(known_pem), loose[i]);
		expect_refused(-EPERM, "chmod 600");
	}
	put("", 0, 0600);
	expect_refused(-EBADMSG, "no Ed25519 private key");
	put(rsa_like, strlen(rsa_like), 0600);
	expect_refused(-EBADMSG, "no Ed25519 private key");
	put(known_pem, 80, 0600);
	expect_refused(-EBADMSG, "no Ed25519 private key");
	memset(big, 'A', sizeof(big));
	put(big, sizeof(big), 0600);
	expect_refused(-EBADMSG, "too long");
	unlink(path);
	assert_int_equal(symlink("/etc/hostname", path), 0);
	expect_refused(-ELOOP, "symbolic link");
	unlink(path);
	assert_int_equal(mkfifo(path, 0600), 0); /* and does not hang */
	expect_refused(-EBADMSG, "no regular file");
	if (getuid())
		return;
	put(known_pem, strlen(known_pem), 0600);
	assert_int_equal(chown(path, 65534, 65534), 0);
	expect_refused(-EPERM, "belongs to user 65534");
}

/* Makers at once: one key, and all tell it. */
static void test_race(void **state)
{
	int out[2];
	uint8_t first[32], key[32];
	char err[256];
	int made_count = 0;

	(void)state;
	assert_int_equal(pipe(out), 0);
	for (int i = 0; i < 8; i++) {
		if (!fork()) {
			uint8_t told[33];
			bool made = false;

			if (nodekey_ensure(path, told, &made, err, sizeof(err)) < 0)
				_exit(1);
			told[32] = made;
			_exit(write(out[1], told, 33) == 33 ? 0 : 1);
		}
	}
	for (int i = 0; i < 8; i++) {
		int status;

		wait(&status);
		assert_int_equal(status, 0);
	}
	assert_int_equal(nodekey_load(path, first, err, sizeof(err)), 0);
	for (int i = 0; i < 8; i++) {
		char made;

		assert_int_equal(read(out[0], key, 32), 32);
		assert_int_equal(read(out[0], &made, 1), 1);
		assert_memory_equal(key, first, 32);
		made_count += made;
	}
	assert_int_equal(made_count, 1);
	close(out[0]);
	close(out[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test_setup_teardown(test_make, setup, teardown),
	        cmocka_unit_test_setup_teardown(test_known, setup, teardown),
	        cmocka_unit_test_setup_teardown(test_refused, setup, teardown),
	        cmocka_unit_test_setup_teardown(test_race, setup, teardown),
	};

	return cmocka_run_group_tests_name("client_nodekey", tests, NULL, NULL);
}

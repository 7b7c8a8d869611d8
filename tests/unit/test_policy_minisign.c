/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Keys and signatures of minisign: what the tool made is read here, and the other way round. */
#include "policy_bed.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include "policy/minisign_internal.h"

/* Made by minisign 0.11 for this test, and good for nothing else. */
#define FIX_PUB                                                                                    \
	"untrusted comment: minisign public key 9C02BEB3C6B326C3\n"                                \
	"RWTDJrPGs74CnC6hRJ/YcjaxAyv+Vf178RQ5J/6Yb1vL2YEjgDlsEmtz\n"
#define FIX_KEY                                                                                    \
	"untrusted comment: minisign encrypted secret key\n"                                       \
	"RWRTY0Iy4vME/J1JOkK7c3Q9/EbXPtA+V1C8oI3ysq4lQn3ecO0AAAACAAAAAAAAAEAAAAAArOxhlHMEcD6AN1EC" \
	"jE0COdLqBanLdP97WXmJCX0/dgF7opdb0HrLqR+Ho1fnKIsLIEZCTaLshGaajbNYjOFcqZoT9ccKt8I3gdqz58iT" \
	"CRw80UfAeOW4Dgd8FnY6c0H3QmdL8EwhiGI=\n"
#define FIX_DATA "a policy\n"
#define FIX_SIG                                                                                    \
	"untrusted comment: signature from minisign secret key\n"                                  \
	"RUTDJrPGs74CnPLKeKstMLgqVjAO3Q/WpiCx4tQk3D/yPRmPCwwP7g58OwQ8A2sZHW9FGzHanwiWPCdsT1p30drm" \
	"hpy9rr/Q5gY=\n"                                                                           \
	"trusted comment: fixture\n"                                                               \
	"r0W9iiuGezHE/Wlu9mmtOiBWD+GaAwy64UbLad+lo1J1+EFI8gE8w0i0W4yWzu3mcZD6zNqrpNdDRcKeeGr9DA==" \
	"\n"
#define FIX_LEGACY                                                                                 \
	"untrusted comment: signature from minisign secret key\n"                                  \
	"RWTDJrPGs74CnEq0OJWTESCpz9yw++s73sIaU5mPhrfeMaXlGiI1sVyG0mmGGvS2T5jvHXqWmpjT11B/4V8vrYjb" \
	"jTxahGzD9QM=\n"                                                                           \
	"trusted comment: fixture legacy\n"                                                        \
	"ap2EF6LzdeyuAqbfCoJzOlVZ0mJAYvby0hqYXYX2CnoU9D3GkgI9FZ2lwcJ0SDct9bYiGCIzlOB+ql1UmYHxDA==" \
	"\n"

static struct minisign_public public_good(const char *text)
{
	struct minisign_public key;
	char err[MINISIGN_ERROR_MAX];

	if (minisign_public_parse(text, strlen(text), &key, err, sizeof(err)))
		fail_msg("%s", err);
	return key;
}

static int verify(const struct minisign_public *key, const char *data, const char *sig)
{
	return minisign_verify(key, data, strlen(data), sig, strlen(sig), NULL, NULL, 0);
}

/* ---- the sum inside secret keys */

static void test_blake2b(void **state)
{
	/* RFC 7693, appendix A, and of 32 bytes: `b2sum -l 256` of "abc". */
	static const uint8_t abc32[] = {0xbd, 0xdd, 0x81, 0x3c, 0x63, 0x42, 0x39, 0x72};
	uint8_t data[700], ours[64], theirs[64];
	unsigned int size;

	(void)state;
	msig_blake2b("abc", 3, ours, 32);
	assert_memory_equal(ours, abc32, sizeof(abc32));
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i * 7 + i / 256);
	for (size_t len = 0; len <= sizeof(data); len++) {
		size = sizeof(theirs);
		msig_blake2b(data, len, ours, 64);
		assert_int_equal(EVP_Digest(data, len, theirs, &size, EVP_blake2b512(), NULL), 1);
		assert_memory_equal(ours, theirs, 64);
	}
}

/* ---- what the tool made */

static void test_tool_files(void **state)
{
	const struct minisign_public key = public_good(FIX_PUB);
	const struct minisign_public line =
	        public_good("RWTDJrPGs74CnC6hRJ/YcjaxAyv+Vf178RQ5J/6Yb1vL2YEjgDlsEmtz");
	struct minisign_claim claim;
	char buf[128], id[17];

	(void)state;
	assert_true(minisign_public_same(&key, &line));
	minisign_id_print(&key, id);
	assert_string_equal(id, "9C02BEB3C6B326C3");
	minisign_public_print(&key, buf);
	assert_string_equal(buf, FIX_PUB);
	assert_int_equal(minisign_verify(&key, FIX_DATA, strlen(FIX_DATA), FIX_SIG, strlen(FIX_SIG),
	                         &claim, NULL, 0),
	        0);
	assert_false(claim.legacy);
	assert_string_equal(claim.trusted, "fixture");
	assert_int_equal(minisign_verify(&key, FIX_DATA, strlen(FIX_DATA), FIX_LEGACY,
	                         strlen(FIX_LEGACY), &claim, NULL, 0),
	        0);
	assert_true(claim.legacy);
	assert_string_equal(claim.trusted, "fixture legacy");
}

/* Decrypts with the tool's full cost: 1 GiB, some seconds. */
static void test_tool_secret(void **state)
{
	const struct minisign_public key = public_good(FIX_PUB);
	struct minisign_secret secret;
	char err[MINISIGN_ERROR_MAX], *sig = NULL;

	(void)state;
	if (minisign_secret_parse(
	            FIX_KEY, strlen(FIX_KEY), "correct horse", &secret, err, sizeof(err)))
		fail_msg("%s", err);
	assert_true(minisign_public_same(&key, &secret.pub));
	/* Ed25519 has no chance in it: the same key, data and comment make the same file. */
	assert_int_equal(
	        minisign_sign(&secret, FIX_DATA, strlen(FIX_DATA), NULL, "fixture", false, &sig),
	        0);
	assert_string_equal(sig, FIX_SIG);
	free(sig);
	assert_int_equal(minisign_sign(&secret, FIX_DATA, strlen(FIX_DATA), NULL, "fixture legacy",
	                         true, &sig),
	        0);
	assert_string_equal(sig, FIX_LEGACY);
	free(sig);
	minisign_secret_wipe(&secret);
	assert_int_equal(secret.seed[0] | secret.seed[31], 0);
}

/* ---- our own, there and back */

static void secret_trip(const char *passphrase)
{
	struct minisign_secret secret, again = {0};
	char buf[320], err[MINISIGN_ERROR_MAX] = "";

	assert_int_equal(minisign_key_make(&secret), 0);
	assert_int_equal(minisign_secret_print(
	                         &secret, passphrase, MINISIGN_COST_LEAST, buf, err, sizeof(err)),
	        0);
	assert_int_equal(
	        minisign_secret_parse(buf, strlen(buf), passphrase, &again, err, sizeof(err)), 0);
	assert_memory_equal(&secret, &again, sizeof(secret));
	if (!passphrase)
		return;
	assert_int_equal(
	        minisign_secret_parse(buf, strlen(buf), NULL, &again, err, sizeof(err)), -ENOKEY);
	assert_string_equal(err, "this secret key is encrypted: its passphrase is needed");
	assert_int_equal(minisign_secret_parse(buf, strlen(buf), "wrong", &again, err, sizeof(err)),
	        -EKEYREJECTED);
	assert_string_equal(err, "this is not the passphrase of this secret key");
	assert_memory_equal(&secret, &again, sizeof(secret)); /* untouched */
}

static void test_secret_trip(void **state)
{
	struct minisign_secret secret;
	char buf[320], long_one[MINISIGN_PASSPHRASE_MAX + 2];

	(void)state;
	secret_trip(NULL);
	secret_trip("p");
	memset(long_one, 'x', sizeof(long_one));
	long_one[sizeof(long_one) - 1] = '\0';
	assert_int_equal(minisign_key_make(&secret), 0);
	assert_int_equal(
	        minisign_secret_print(&secret, long_one, MINISIGN_COST_LEAST, buf, NULL, 0),
	        -EINVAL);
	assert_int_equal(
	        minisign_secret_print(&secret, "", MINISIGN_COST_LEAST, buf, NULL, 0), -EINVAL);
	assert_int_equal(minisign_secret_print(&secret, "p",
	                         (struct minisign_cost){1U << 25, 1ULL << 31}, buf, NULL, 0),
	        -E2BIG);
}

/* ---- what must be refused */

/* The one line whose text nobody signs: its prefix is checked, no more. */
static bool unsigned_text(const char *text, size_t at)
{
	return at >= strlen(MSIG_UNTRUSTED) && at < strcspn(text, "\n");
}

static void signature_flips(const char *good)
{
	const struct minisign_public key = public_good(FIX_PUB);
	char *bad = strdup(good);

	for (size_t i = 0; good[i]; i++) {
		for (unsigned bit = 0; bit < 8; bit++) {
			bad[i] = (char)(good[i] ^ (1 << bit));
			if (!unsigned_text(good, i) &&
			        minisign_verify(&key, FIX_DATA, strlen(FIX_DATA), bad, strlen(good),
			                NULL, NULL, 0) == 0)
				fail_msg("bit %u of byte %zu flipped, and still good", bit, i);
		}
		bad[i] = good[i];
		assert_true(minisign_verify(&key, FIX_DATA, strlen(FIX_DATA), good, i, NULL, NULL,
		                    0) < 0); /* cut */
	}
	assert_int_equal(verify(&key, FIX_DATA, bad), 0);
	bad = realloc(bad, strlen(good) + 2);
	strcat(bad, "\n"); /* nothing may stand behind it */
	assert_int_equal(verify(&key, FIX_DATA, bad), -EINVAL);
	free(bad);
}

static void test_flips(void **state)
{
	char data[] = FIX_DATA, pub[] = FIX_PUB;
	struct minisign_public key = public_good(FIX_PUB);

	(void)state;
	signature_flips(FIX_SIG);
	signature_flips(FIX_LEGACY);
	for (size_t i = 0; i < strlen(data); i++) {
		data[i] ^= 1;
		assert_int_equal(verify(&key, data, FIX_SIG), -EKEYREJECTED);
		assert_int_equal(verify(&key, data, FIX_LEGACY), -EKEYREJECTED);
		data[i] ^= 1;
	}
	for (size_t i = 0; i < strlen(pub); i++) {
		pub[i] ^= 1;
		assert_true(unsigned_text(pub, i) ||
		            minisign_public_parse(pub, strlen(pub), &key, NULL, 0) < 0 ||
		            verify(&key, FIX_DATA, FIX_SIG) < 0);
		pub[i] ^= 1;
	}
}

static void test_secret_flips(void **state)
{
	struct minisign_secret secret, other = {0};
	struct minisign_public key;
	char buf[320], err[MINISIGN_ERROR_MAX], *sig = NULL;

	(void)state;
	assert_int_equal(minisign_key_make(&secret), 0);
	key = secret.pub;
	assert_int_equal(
	        minisign_secret_print(&secret, NULL, MINISIGN_COST_LEAST, buf, NULL, 0), 0);
	for (size_t i = 0; i < strlen(buf); i++) {
		buf[i] ^= 1;
		/* Taken only where it is the same key: the salt of a clear one means nothing. */
		if (!unsigned_text(buf, i) && minisign_secret_parse(buf, strlen(buf), NULL, &other,
		                                      err, sizeof(err)) == 0) {
			assert_memory_equal(other.seed, secret.seed, sizeof(other.seed));
			assert_memory_equal(other.pub.key, key.key, sizeof(key.key));
		}
		buf[i] ^= 1;
	}
	/* Signed by another key with the same id, and by another key. */
	assert_int_equal(minisign_key_make(&other), 0);
	assert_int_equal(minisign_sign(&other, "x", 1, NULL, "t", false, &sig), 0);
	assert_int_equal(
	        minisign_verify(&key, "x", 1, sig, strlen(sig), NULL, err, sizeof(err)), -ENOKEY);
	free(sig);
	memcpy(other.pub.id, key.id, sizeof(key.id));
	assert_int_equal(minisign_sign(&other, "x", 1, NULL, "t", false, &sig), 0);
	assert_int_equal(verify(&key, "x", sig), -EKEYREJECTED);
	free(sig);
}

static void test_greedy_secret(void **state)
{
	struct minisign_secret secret, out;
	char buf[320], err[MINISIGN_ERROR_MAX];
	uint8_t file[158];
	struct msig_line line = {0};

	(void)state;
	assert_int_equal(minisign_key_make(&secret), 0);
	assert_int_equal(minisign_secret_print(&secret, "p", MINISIGN_COST_LEAST, buf, NULL, 0), 0);
	line.text = strchr(buf, '\n') + 1;
	line.len = strlen(line.text) - 1;
	assert_true(msig_base64_take(&line, file, sizeof(file)));
	file[2 + 2 + 2 + 32 + 7] = 0x10; /* the work: 2^60 */
	msig_base64_print(file, sizeof(file), strchr(buf, '\n') + 1);
	strcat(buf, "\n");
	assert_int_equal(
	        minisign_secret_parse(buf, strlen(buf), "p", &out, err, sizeof(err)), -E2BIG);
}

static void test_comments(void **state)
{
	char *sig = NULL, *long_one = calloc(1, MINISIGN_TRUSTED_MAX + 1);
	struct minisign_secret secret;

	(void)state;
	assert_int_equal(minisign_key_make(&secret), 0);
	assert_int_equal(minisign_sign(&secret, "x", 1, NULL, "two\nlines", false, &sig), -EINVAL);
	assert_int_equal(minisign_sign(&secret, "x", 1, "\033[2J", "t", false, &sig), -EINVAL);
	assert_int_equal(minisign_sign(&secret, "x", 1, NULL, "\xc3", false, &sig), -EINVAL);
	memset(long_one, 'x', MINISIGN_TRUSTED_MAX);
	assert_int_equal(minisign_sign(&secret, "x", 1, NULL, long_one, false, &sig), -EINVAL);
	assert_null(sig);
	long_one[MINISIGN_TRUSTED_MAX - strlen(MSIG_TRUSTED)] = '\0';
	assert_int_equal(minisign_sign(&secret, "", 0, "", long_one, false, &sig), 0);
	assert_int_equal(verify(&secret.pub, "", sig), 0);
	free(sig);
	free(long_one);
}

/* ---- the tool itself */

static char dir[] = "/tmp/test-minisign-XXXXXX";

static void spit(const char *name, const char *text, size_t len)
{
	char path[128];
	FILE *out;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	out = fopen(path, "w");
	assert_non_null(out);
	assert_int_equal(fwrite(text, 1, len, out), len);
	assert_int_equal(fclose(out), 0);
}

static char *slurp(const char *name)
{
	char path[128], *text = calloc(1, MINISIGN_TEXT_MAX + 1);
	FILE *in;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	in = fopen(path, "r");
	assert_non_null(in);
	assert_true(fread(text, 1, MINISIGN_TEXT_MAX, in) > 0);
	fclose(in);
	return text;
}

/* The exit code of a shell command, run in the directory. */
static int run(const char *command)
{
	char line[512];
	int status;

	snprintf(line, sizeof(line), "cd %s && { %s; } >out 2>&1", dir, command);
	status = system(line);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void run_good(const char *command)
{
	if (run(command) != 0)
		fail_msg("%s: %s", command, slurp("out"));
}

static void tool_verifies(const struct minisign_secret *secret, bool legacy, const char *trusted)
{
	char data[3000], pub[128], *sig, *said;

	memset(data, 0xa5, sizeof(data));
	assert_int_equal(
	        minisign_sign(secret, data, sizeof(data), "made here", trusted, legacy, &sig), 0);
	minisign_public_print(&secret->pub, pub);
	spit("ours", data, sizeof(data));
	spit("ours.minisig", sig, strlen(sig));
	spit("ours.pub", pub, strlen(pub));
	run_good("minisign -V -p ours.pub -m ours");
	said = slurp("out");
	assert_non_null(strstr(said, trusted));
	free(said);
	data[7] ^= 1;
	spit("ours", data, sizeof(data));
	assert_int_not_equal(run("minisign -V -p ours.pub -m ours"), 0);
	free(sig);
}

static void tool_signs(const struct minisign_secret *secret, const char *passphrase)
{
	char buf[320], command[256], *sig;
	const char *const data = "signed by the tool, with our key\n";

	assert_int_equal(
	        minisign_secret_print(secret, passphrase, MINISIGN_COST_LEAST, buf, NULL, 0), 0);
	spit("ours.key", buf, strlen(buf));
	spit("data", data, strlen(data));
	for (int legacy = 0; legacy < 2; legacy++) {
		snprintf(command, sizeof(command),
		        "printf '%s\\n' | minisign -S %s -s ours.key -m data -t stamp",
		        passphrase ? passphrase : "", legacy ? "-l" : "");
		run_good(command);
		sig = slurp("data.minisig");
		assert_int_equal(verify(&secret->pub, data, sig), 0);
		assert_int_equal(verify(&secret->pub, "signed by the tool", sig), -EKEYREJECTED);
		free(sig);
	}
}

static void test_tool(void **state)
{
	struct minisign_secret secret, theirs;
	struct minisign_public key;
	char *text;

	(void)state;
	if (system("command -v minisign >/dev/null")) {
		fail_msg("the tool minisign is missing: run tests/deps.sh");
		return;
	}
	assert_non_null(mkdtemp(dir));
	assert_int_equal(minisign_key_make(&secret), 0);
	tool_verifies(&secret, false, "overlayd bundle, serial 7");
	tool_verifies(&secret, true, "t\xc3\xa9\tx");
	tool_signs(&secret, NULL);
	tool_signs(&secret, "open sesame");
	run_good("minisign -G -W -p w.pub -s w.key");
	text = slurp("w.pub");
	key = public_good(text);
	free(text);
	text = slurp("w.key");
	assert_int_equal(minisign_secret_parse(text, strlen(text), NULL, &theirs, NULL, 0), 0);
	free(text);
	assert_true(minisign_public_same(&key, &theirs.pub));
	assert_int_equal(run("rm -f -- * && cd / && rmdir \"$OLDPWD\""), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(test_blake2b),
	        cmocka_unit_test(test_tool_files),
	        cmocka_unit_test(test_tool_secret),
	        cmocka_unit_test(test_secret_trip),
	        cmocka_unit_test(test_flips),
	        cmocka_unit_test(test_secret_flips),
	        cmocka_unit_test(test_greedy_secret),
	        cmocka_unit_test(test_comments),
	        cmocka_unit_test(test_tool),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The guests that tokens let in, and the daemon's state directory: there from the first policy of a
 * restart on, written anew as they change, and gone with their token.
 */
#include "world_bed.h"

#include <openssl/evp.h>

#include "policy/bundle.h"
#include "policy/guests.h"

#define TOKEN 1
#define SEED 2

static struct minisign_secret secret;

/* ---- keys ---- */

static EVP_PKEY *pkey_of(int i)
{
	uint8_t seed[32] = {(uint8_t)i, 0x77};

	return EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, seed, sizeof(seed));
}

static void key_of(int i, struct policy_key *key)
{
	EVP_PKEY *pkey = pkey_of(i);
	size_t len = sizeof(key->raw);

	assert_int_equal(EVP_PKEY_get_raw_public_key(pkey, key->raw, &len), 1);
	EVP_PKEY_free(pkey);
}

static void sign(int i, const uint8_t *words, size_t len, uint8_t sig[64])
{
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	EVP_PKEY *pkey = pkey_of(i);
	size_t n = 64;

	assert_int_equal(EVP_DigestSignInit(md, NULL, NULL, NULL, pkey), 1);
	assert_int_equal(EVP_DigestSign(md, sig, &n, words, len), 1);
	EVP_MD_CTX_free(md);
	EVP_PKEY_free(pkey);
}

/* ---- bundles ---- */

static void key_write(void)
{
	char path[160], text[128];
	FILE *out;

	snprintf(path, sizeof(path), "%s/cluster.pub", config_dir);
	out = fopen(path, "w");
	assert_non_null(out);
	minisign_public_print(&secret.pub, text);
	fputs(text, out);
	assert_int_equal(fclose(out), 0);
}

/* except: the guest of that key is revoked; 0: none; -1: so is the token. */
static void give(struct world *world, int serial, int except)
{
	char text[2048], key[2][96], gone[POLICY_FINGERPRINT_LEN + 16] = "", err[512], *data;
	struct policy_file file = {.name = "policy.yaml", .data = text};
	struct engine_event ev = {.type = ENGINE_EV_BUNDLE};
	struct engine_bundle_view view;
	struct policy_report report;
	struct policy_key raw;
	struct policy *policy;
	size_t n;

	for (int i = 0; i < 2; i++) {
		key_of(TOKEN + i, &raw);
		policy_key_print(&raw, key[i], sizeof(key[i]));
	}
	if (except > 0) {
		memcpy(gone, ", except: [\"", 12);
		key_of(except, &raw);
		policy_key_fingerprint(&raw, gone + 12);
		strcat(gone, "\"]");
	}
	n = (size_t)snprintf(text, sizeof(text),
	        "cluster: hpc\nserial: %d\njoin: true\noverlay: 10.77.0.0/16\nsites: { hq: {} }\n"
	        "roles: [seed, exec]\npeers:\n"
	        "  s: { key: \"%s\", address: 10.77.0.1, site: hq, roles: [seed] }\n",
	        serial, key[1]);
	if (except >= 0)
		n += (size_t)snprintf(text + n, sizeof(text) - n,
		        "tokens:\n  lab: { key: \"%s\", roles: [exec], site: hq, range: "
		        "10.77.8.0/24, count: "
		        "50, until: \"2036-12-01T00:00Z\"%s }\n",
		        key[0], gone);
	file.len = n;
	policy_report_init(&report);
	if (policy_parse(&file, 1, &policy, &report))
		fail_msg("%s", report.faults[0].message);
	policy_report_clear(&report);
	if (bundle_make(policy, NULL, 1700000000 + serial, &data, &n, err, sizeof(err)))
		fail_msg("%s", err);
	policy_unref(policy);
	{
		char *sealed;

		if (bundle_seal(data, n, &secret, &sealed, &n, err, sizeof(err)))
			fail_msg("%s", err);
		free(data);
		data = sealed;
	}
	ev.bundle.source = ENGINE_BUNDLE_ADMIN;
	ev.bundle.file = data;
	ev.bundle.len = n;
	world_event(world, &ev);
	free(data);
	engine_bundle_look(world->engine, &view);
	assert_int_equal(view.head.serial, serial);
}

/* ---- guests ---- */

/* Behind its length; how many bytes. */
static size_t record_of(int i, uint8_t *out)
{
	uint8_t words[POLICY_ADMISSION_WORDS_MAX];
	struct policy_admission a = {.cluster = "hpc",
	        .token = "lab",
	        .seed = "s",
	        .number = (uint32_t)i,
	        .addr4 = {.family = 2, .bytes = {10, 77, 8, (uint8_t)i}}};
	size_t len;

	snprintf(a.name, sizeof(a.name), "guest%d", i);
	key_of(i, &a.key);
	sign(TOKEN, words, policy_admission_words_token(&a, words), a.by_token);
	sign(SEED, words, policy_admission_words_seed(&a, words), a.by_seed);
	len = policy_admission_print(&a, out + 2);
	assert_true(len > 100);
	out[0] = (uint8_t)(len >> 8);
	out[1] = (uint8_t)len;
	return 2 + len;
}

static void file_write(const char *first, const void *records, size_t len)
{
	char path[160];
	FILE *out;

	snprintf(path, sizeof(path), "%s/" STATE_ADMISSIONS, state_dir);
	out = fopen(path, "w");
	assert_non_null(out);
	fputs(first, out);
	assert_int_equal(fwrite(records, 1, len, out), len);
	assert_int_equal(fclose(out), 0);
}

static size_t file_read(char *buf, size_t size)
{
	char path[160];
	size_t n;
	FILE *in;

	snprintf(path, sizeof(path), "%s/" STATE_ADMISSIONS, state_dir);
	in = fopen(path, "r");
	if (!in)
		return 0;
	n = fread(buf, 1, size, in);
	fclose(in);
	return n;
}

static bool is_guest(const struct world *world, int i)
{
	const struct policy_peer *peer;
	struct engine_view view;
	char name[16];

	snprintf(name, sizeof(name), "guest%d", i);
	engine_look(world->engine, &view);
	peer = view.policy ? policy_peer_by_name(view.policy, name) : NULL;
	return peer && peer->guest;
}

static bool bundle_stored(const struct world *world)
{
	struct engine_bundle_view view;

	engine_bundle_look(world->engine, &view);
	return view.stored;
}

#define FIRST "overlayd-admissions 1\n"

static void through_a_restart(void **state)
{
	uint8_t records[2048];
	size_t one = record_of(11, records), len = one + record_of(12, records + one), n;
	char before[4096], after[4096];
	struct world *world;

	(void)state;
	key_write();
	world = world_up();
	give(world, 1, 0);
	until(world, bundle_stored(world));
	assert_int_equal(file_read(before, sizeof(before)), 0); /* none, no file */
	world_free(world);
	file_write(FIRST, records, len);
	world = world_up();
	assert_true(is_guest(world, 11) && is_guest(world, 12));
	/* One is revoked: it is gone at once, and from the disk soon. */
	give(world, 2, 11);
	assert_true(!is_guest(world, 11) && is_guest(world, 12));
	until(world, bundle_stored(world) && file_read(after, sizeof(after)) < len);
	n = file_read(after, sizeof(after));
	assert_int_equal(n, strlen(FIRST) + len - one);
	assert_memory_equal(after, FIRST, strlen(FIRST));
	assert_memory_equal(after + strlen(FIRST), records + one, len - one);
	assert_int_equal(run("stat -c %%a %s/" STATE_ADMISSIONS " | grep -qx 600", state_dir), 0);
	until(world, !store_busy(world->store));
	world_free(world);
	world = world_up();
	assert_true(!is_guest(world, 11) && is_guest(world, 12));
	/* The token is revoked: so are its guests, and there is no file. */
	give(world, 3, -1);
	assert_false(is_guest(world, 12));
	until(world, file_read(after, sizeof(after)) == 0);
	world_free(world);
}

/* What cannot be read costs what it held, and nothing else. */
static void damaged(void **state)
{
	uint8_t records[2048];
	size_t one = record_of(11, records), len = one + record_of(12, records + one);
	struct world *world;

	(void)state;
	key_write();
	world = world_up();
	give(world, 1, 0);
	until(world, bundle_stored(world));
	world_free(world);
	file_write("overlayd-admissions 9\n", records, len);
	world = world_up();
	assert_int_equal(serial_in_force(world), 1);
	assert_false(is_guest(world, 11));
	world_free(world);
	file_write(FIRST, records, len - 1);
	world = world_up();
	assert_true(is_guest(world, 11) && !is_guest(world, 12));
	until(world, !store_busy(world->store));
	world_free(world);
	records[one - 1] ^= 1; /* of a signature */
	file_write(FIRST, records, len);
	world = world_up();
	assert_true(!is_guest(world, 11) && is_guest(world, 12));
	until(world, !store_busy(world->store));
	world_free(world);
	assert_int_equal(run("truncate -s 5M %s/" STATE_ADMISSIONS, state_dir), 0);
	world = world_up();
	assert_int_equal(serial_in_force(world), 1);
	assert_false(is_guest(world, 12));
	world_free(world);
	/* Without a cluster's key it is of no use. */
	records[one - 1] ^= 1;
	file_write(FIRST, records, len);
	assert_int_equal(run("rm %s/cluster.pub", config_dir), 0);
	files_write(4);
	world = world_up();
	assert_int_equal(serial_in_force(world), 4);
	assert_false(is_guest(world, 11));
	world_free(world);
}

static const char *why(struct world *world)
{
	static char text[2048];
	json_t *status = status_json(world);
	const char *said = json_string_value(json_object_get(status, "why"));

	snprintf(text, sizeof(text), "%s", said ? said : "");
	json_decref(status);
	return text;
}

/* A disk that takes none of it: they count, and it is tried again. */
static void full_disk(void **state)
{
	uint8_t records[2048];
	size_t one = record_of(11, records), len = one + record_of(12, records + one);
	char after[4096];
	struct world *world;

	(void)state;
	key_write();
	world = world_up();
	give(world, 1, 0);
	until(world, bundle_stored(world));
	world_free(world);
	file_write(FIRST, records, len);
	world = world_up();
	until(world, !store_busy(world->store));
	assert_int_equal(run("mkdir %s/." STATE_ADMISSIONS ".new", state_dir), 0);
	give(world, 2, 11);
	assert_false(is_guest(world, 11));
	until(world, bundle_stored(world) && !store_busy(world->store));
	assert_int_equal(file_read(after, sizeof(after)), strlen(FIRST) + len);
	until(world, strstr(why(world), "are not kept"));
	assert_int_equal(run("rmdir %s/." STATE_ADMISSIONS ".new", state_dir), 0);
	until(world, file_read(after, sizeof(after)) == strlen(FIRST) + len - one);
	until(world, !strstr(why(world), "are not kept"));
	world_free(world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test_setup_teardown(through_a_restart, setup, teardown),
	        cmocka_unit_test_setup_teardown(damaged, setup, teardown),
	        cmocka_unit_test_setup_teardown(full_disk, setup, teardown),
	};

	if (geteuid() != 0 || unshare(CLONE_NEWNET | CLONE_NEWNS)) {
		puts("1..0 # SKIP needs root (network namespaces)");
		return 0;
	}
	if (minisign_key_make(&secret))
		return 1;
	run("ip link set lo up");
	log_open(LOG_CRIT);
	return cmocka_run_group_tests(tests, NULL, NULL);
}

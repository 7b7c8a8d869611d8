/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Keys that change: a peer's old key and address, the cluster's next key and whose bundles count. */
#include "policy_bed.h"

#include <stdbool.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/evp.h>

#include "policy/bundle.h"
#include "policy/policy_edit.h"
#include "policy/voucher.h"

#define ADDR6 "fd2e:8e71:fefa:a1c3:9212:ec9d:cb9a:f791" /* of KEY1 in cluster hpc */

#define ISSUED 1700000000 /* 2023-11-14T22:13:20Z */
#define PEERS                                                                                      \
	HEAD SITES "peers:\n"                                                                      \
	           "  head1: { key: \"" KEY1 "\", address: 10.77.0.1, site: hq }\n"                \
	           "  node1: { key: \"" KEY2 "\", "
#define REST "address: 10.77.0.17, site: aws }\n"

/* ---- a peer */

static struct policy *rotating(const char *old_until)
{
	struct policy *plain = policy_good(PEERS REST), *policy;
	char text[1500], address[64];

	policy_addr_print(&policy_peer_by_name(plain, "head1")->addr6, address, sizeof(address));
	address[strlen(address) - 1] ^= 1; /* in the prefix, and nobody's */
	snprintf(text, sizeof(text),
	        PEERS "old_key: '" KEY3 " gone', old_until: '%s', address6: '%s', " REST, old_until,
	        address);
	policy = policy_good(text);
	policy_unref(plain);
	return policy;
}

static void test_fields(void **state)
{
	struct policy *policy = rotating("2023-11-15T01:00"), *again;
	const struct policy_peer *peer = policy_peer_by_name(policy, "node1");
	struct policy_key key, old, other;
	struct policy_addr derived;
	char *text = policy_print(policy);

	(void)state;
	assert_int_equal(policy_key_parse(KEY2, &key, NULL), 0);
	assert_int_equal(policy_key_parse(KEY3, &old, NULL), 0);
	assert_int_equal(policy_key_parse(KEY1, &other, NULL), 0);
	assert_true(peer->has_old_key);
	assert_memory_equal(&peer->old_key, &old, sizeof(old));
	assert_int_equal(peer->old_until, 1700010000);
	policy_ula_address("hpc", &key, &derived);
	assert_true(peer->addr6_given);
	assert_memory_not_equal(&peer->addr6, &derived, sizeof(derived));
	assert_ptr_equal(policy_peer_by_addr(policy, &peer->addr6), peer);
	assert_ptr_equal(policy_peer_by_key(policy, &key), peer);
	assert_null(policy_peer_by_key(policy, &old));
	assert_ptr_equal(policy_peer_by_old_key(policy, &old), peer);
	assert_null(policy_peer_by_old_key(policy, &key));
	assert_null(policy_peer_by_old_key(policy, &other));
	again = policy_good(text);
	assert_memory_equal(again->digest, policy->digest, sizeof(again->digest));
	free(text);
	policy_unref(again);
	policy_unref(policy);
}

static void test_faults(void **state)
{
	static const struct fault_case cases[] = {
	        {"an old key without an end", PEERS "old_key: '" KEY3 "', " REST, NULL,
	                "policy.yaml:7:10: error: this old_key has no 'old_until': add old_until: "
	                "a "
	                "time, soon\n"},
	        {"an end without an old key", PEERS "old_until: 2030-01-01, " REST, NULL,
	                "policy.yaml:7:112: error: there is no old_key: delete old_until\n"},
	        {"the same key", PEERS "old_key: '" KEY2 "', old_until: 2030-01-01, " REST, NULL,
	                "policy.yaml:7:110: error: the old key is the same as the key: delete "
	                "old_key "
	                "and old_until\n"},
	        {"no date", PEERS "old_key: '" KEY3 "', old_until: soon, " REST, NULL,
	                "policy.yaml:7:205: error: 'soon' is no date: write 2026-12-31T18:00 (the "
	                "site's time) or 2026-12-31T17:00Z\n"},
	        {"no key", PEERS "old_key: 'x', old_until: 2030-01-01, " REST, NULL,
	                "policy.yaml:7:110: error: this key does not begin with ssh-ed25519\n"},
	        {"another's key", PEERS "old_key: '" KEY1 "', old_until: 2030-01-01, " REST, NULL,
	                "policy.yaml:7:3: error: node1 has the key (here the old one) of head1 "
	                "(policy.yaml:6): a node is its key, so delete one of them\n"},
	        {"two of one old key",
	                HEAD "peers:\n"
	                     "  head1: { key: '" KEY1 "', old_key: '" KEY3
	                     "', old_until: 2030-01-01, address: 10.77.0.1 }\n"
	                     "  node1: { key: '" KEY2 "', old_key: '" KEY3
	                     "', old_until: 2030-01-01, address: 10.77.0.2 }\n",
	                NULL,
	                "policy.yaml:6:3: error: node1 has the old key of head1 (policy.yaml:5): a "
	                "node is its key, so delete one of them\n"},
	        {"an address of nobody's", PEERS "address6: 'fd00::1', " REST, NULL,
	                "policy.yaml:7:111: error: 'fd00::1' is no address of this cluster's IPv6 "
	                "overlay fd2e:8e71:fefa::/48: delete the line, unless it keeps the address "
	                "of "
	                "a former key\n"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		fault_case_run(&cases[i]);
}

/* Nobody gets another's address by writing it down. */
static void test_taken(void **state)
{
	struct policy *plain = policy_good(PEERS REST);
	struct fault_case c = {"another's address", NULL, NULL,
	        "policy.yaml:7:3: error: node1 has the IPv6 address of head1 (policy.yaml:6): "
	        "delete "
	        "the address6 of one of them\n"};
	char text[1500], address[64];

	(void)state;
	policy_addr_print(&policy_peer_by_name(plain, "head1")->addr6, address, sizeof(address));
	snprintf(text, sizeof(text), PEERS "address6: '%s', " REST, address);
	c.main = text;
	fault_case_run(&c);
	policy_unref(plain);
}

static void test_differs(void **state)
{
	struct policy *old = policy_good(HEAD SITES "peers:\n"
	                                            "  head1: { key: \"" KEY1
	                                            "\", address: 10.77.0.1, site: hq }\n"
	                                            "  node1: { key: '" KEY3 "', " REST),
	              *now = rotating("2023-11-15T01:00");
	struct policy_diff diff = {0};
	unsigned seen = 0;

	(void)state;
	assert_int_equal(policy_diff(old, now, &diff), 0);
	for (size_t i = 0; i < diff.n_rows; i++) {
		const struct policy_diff_row *row = &diff.rows[i];

		seen |= row->change == POLICY_REKEYED && strstr(row->text, "without a cut") ? 1 : 0;
		seen |= strstr(row->text, "old key until") ? 2 : 0;
		seen |= strstr(row->text, "IPv6 address") ? 4 : 0;
	}
	assert_int_equal(seen, 7);
	policy_diff_clear(&diff);
	policy_unref(old);
	policy_unref(now);
}

/* ---- in a bundle */

struct file {
	char *data;
	size_t len;
};

static struct file sealed(const struct policy *policy, const struct bundle_head *parent,
        const struct minisign_secret *secret, const struct minisign_public *next)
{
	char err[BUNDLE_ERROR_MAX], *text;
	struct file file = {0};
	size_t len;

	if (bundle_make_next(policy, parent, ISSUED, next, &text, &len, err, sizeof(err)) ||
	        bundle_seal(text, len, secret, &file.data, &file.len, err, sizeof(err)))
		fail_msg("%s", err);
	free(text);
	return file;
}

static void test_bundle(void **state)
{
	struct policy *policy = rotating("2023-11-15T01:00"), *again = NULL;
	struct minisign_secret key;
	struct policy_report report;
	struct file file;

	(void)state;
	assert_int_equal(minisign_key_make(&key), 0);
	file = sealed(policy, NULL, &key, NULL);
	assert_non_null(strstr(file.data, KEY2
	        "\",\"old_key\":\"" KEY3 "\",\"old_until\":\"2023-11-15T01:00:00Z\",\"address\":"
	        "\"10.77.0.17\",\"address6\":\"fd2e:"));
	policy_report_init(&report);
	assert_int_equal(bundle_open(file.data, file.len, &key.pub, NULL, &again, &report), 0);
	assert_memory_equal(again->digest, policy->digest, sizeof(again->digest));
	policy_report_clear(&report);
	policy_unref(again);
	policy_unref(policy);
	free(file.data);
}

/* An old key that is to count for ever is refused by the signer, and by the nodes. */
static void test_bounded(void **state)
{
	struct policy *day = rotating("2023-11-15T22:13:20Z"),
	              *longer = rotating("2023-11-15T22:13:21Z");
	char err[BUNDLE_ERROR_MAX], *text = NULL;
	struct policy_report report;
	size_t len;

	(void)state;
	assert_int_equal(bundle_make(day, NULL, ISSUED, &text, &len, err, sizeof(err)), 0);
	strstr(text, "22:13:20Z")[7] = '1';
	policy_report_init(&report);
	assert_int_equal(bundle_parse(text, len, NULL, NULL, &report), -EINVAL);
	assert_non_null(strstr(report.faults[0].message, "more than 24 h"));
	policy_report_clear(&report);
	free(text);
	assert_int_equal(bundle_make(longer, NULL, ISSUED, &text, &len, err, sizeof(err)), -EINVAL);
	assert_non_null(strstr(err, "old_until"));
	policy_unref(day);
	policy_unref(longer);
}

/* ---- the cluster's key */

static void serial_policy(struct policy **out, unsigned serial)
{
	char text[1500];

	snprintf(text, sizeof(text),
	        "cluster: hpc\nserial: %u\noverlay: 10.77.0.0/16\npeers:\n"
	        "  head1: { key: '" KEY1 "', address: 10.77.0.1 }\n",
	        serial);
	*out = policy_good(text);
}

/* As a node does: 0, or what bundle_open() says. */
static int taken(struct bundle_trust *trust, const char *file, size_t len)
{
	const struct minisign_public *key = bundle_trust_pick(trust, file, len);
	struct policy_report report;
	struct bundle_head head;
	int ret;

	policy_report_init(&report);
	ret = bundle_open(file, len, key, &head, NULL, &report);
	policy_report_clear(&report);
	if (!ret)
		bundle_trust_follow(trust, key, &head);
	return ret;
}

static void keep(const struct bundle_trust *trust, const struct file *file, char **out, size_t *len)
{
	char line[BUNDLE_KEPT_LINE_MAX];
	size_t n = bundle_kept_line(trust, line);

	assert_int_equal(strlen(line), n);
	*len = n + file->len;
	*out = malloc(*len);
	memcpy(*out, line, n);
	memcpy(*out + n, file->data, file->len);
}

/* A restart of the node: what it keeps, and what its admin's cluster.pub says then. */
static int restarted(struct bundle_trust *trust, const struct file *in_force,
        const struct minisign_public *first)
{
	struct bundle_trust before = *trust;
	struct minisign_public signer;
	struct policy_report report;
	struct bundle_head head;
	const char *file;
	size_t len, kept_len;
	char *kept;
	int ret;

	keep(&before, in_force, &kept, &kept_len);
	bundle_trust_begin(trust, first);
	ret = bundle_kept(trust, kept, kept_len, &signer, &file, &len, NULL, 0);
	assert_int_equal(ret, 0);
	assert_int_equal(len, in_force->len);
	assert_memory_equal(file, in_force->data, len);
	policy_report_init(&report);
	ret = bundle_open(file, len, &signer, &head, NULL, &report);
	policy_report_clear(&report);
	if (!ret)
		bundle_trust_follow(trust, &signer, &head);
	free(kept);
	return ret;
}

struct chain {
	struct minisign_secret a, b;
	struct file
	        files[5]; /* serials 1 .. 5: by a; by a and names b; by a, names b; by b; by a */
};

static void chain_make(struct chain *c)
{
	struct policy *policy;

	assert_int_equal(minisign_key_make(&c->a), 0);
	assert_int_equal(minisign_key_make(&c->b), 0);
	for (unsigned i = 0; i < 5; i++) {
		bool names = i == 1 || i == 2;

		serial_policy(&policy, i + 1);
		c->files[i] =
		        sealed(policy, NULL, i == 3 ? &c->b : &c->a, names ? &c->b.pub : NULL);
		policy_unref(policy);
	}
}

static void chain_free(struct chain *c)
{
	for (unsigned i = 0; i < 5; i++)
		free(c->files[i].data);
}

static int take(struct bundle_trust *trust, const struct chain *c, unsigned serial)
{
	return taken(trust, c->files[serial - 1].data, c->files[serial - 1].len);
}

static void test_trust(void **state)
{
	struct bundle_trust trust;
	struct bundle_head head;
	struct chain c;

	(void)state;
	chain_make(&c);
	assert_int_equal(bundle_head_read(c.files[1].data, c.files[1].len, &head, NULL, 0), 0);
	assert_true(head.has_next_key);
	assert_true(minisign_public_same(&head.next_key, &c.b.pub));
	bundle_trust_begin(&trust, &c.a.pub);
	assert_int_equal(take(&trust, &c, 4), -ENOKEY); /* nobody has named b yet */
	assert_int_equal(take(&trust, &c, 1), 0);
	assert_int_equal(take(&trust, &c, 4), -ENOKEY);
	assert_int_equal(take(&trust, &c, 2), 0);
	assert_int_equal(take(&trust, &c, 3), 0); /* the old one counts still */
	assert_int_equal(take(&trust, &c, 4), 0);
	assert_int_equal(take(&trust, &c, 5), -ENOKEY); /* and now no more */
	bundle_trust_begin(&trust, &c.a.pub);
	assert_int_equal(take(&trust, &c, 2), 0);
	assert_int_equal(take(&trust, &c, 1), 0); /* its signer thought better of it */
	assert_int_equal(take(&trust, &c, 4), -ENOKEY);
	chain_free(&c);
}

static void test_restarts(void **state)
{
	struct minisign_secret other;
	struct bundle_trust trust;
	struct chain c;

	(void)state;
	chain_make(&c);
	assert_int_equal(minisign_key_make(&other), 0);
	bundle_trust_begin(&trust, &c.a.pub);
	assert_int_equal(take(&trust, &c, 2), 0);
	assert_int_equal(restarted(&trust, &c.files[1], &c.a.pub), 0);
	assert_int_equal(take(&trust, &c, 4), 0);
	assert_int_equal(restarted(&trust, &c.files[3], &c.a.pub), 0);
	assert_int_equal(take(&trust, &c, 5), -ENOKEY);
	assert_int_equal(take(&trust, &c, 4), 0);
	/* cluster.pub follows at last: nothing changes. */
	assert_int_equal(restarted(&trust, &c.files[3], &c.b.pub), 0);
	assert_int_equal(take(&trust, &c, 4), 0);
	assert_int_equal(take(&trust, &c, 5), -ENOKEY);
	/* Its admin says otherwise: what is in force stays so, but nothing more of its signer. */
	assert_int_equal(restarted(&trust, &c.files[3], &other.pub), 0);
	assert_int_equal(take(&trust, &c, 4), -ENOKEY);
	/* cluster.pub is changed to the next key before its first bundle: both count. */
	bundle_trust_begin(&trust, &c.a.pub);
	assert_int_equal(take(&trust, &c, 2), 0);
	assert_int_equal(restarted(&trust, &c.files[1], &c.b.pub), 0);
	assert_int_equal(take(&trust, &c, 3), 0);
	assert_int_equal(take(&trust, &c, 4), 0);
	chain_free(&c);
}

static void test_kept(void **state)
{
	struct minisign_public signer, before;
	struct bundle_trust trust;
	struct chain c;
	size_t len, kept_len;
	const char *file;
	char *kept;

	(void)state;
	chain_make(&c);
	bundle_trust_begin(&trust, &c.a.pub);
	/* Without the line: a file that an admin put there. */
	assert_int_equal(
	        bundle_kept(&trust, c.files[0].data, c.files[0].len, &signer, &file, &len, NULL, 0),
	        0);
	assert_ptr_equal(file, c.files[0].data);
	assert_true(minisign_public_same(&signer, &c.a.pub));
	keep(&trust, &c.files[0], &kept, &kept_len);
	before = signer;
	for (size_t cut = strlen("{\"overlayd-kept\":"); cut < kept_len - c.files[0].len; cut++) {
		assert_int_equal(
		        bundle_kept(&trust, kept, cut, &signer, &file, &len, NULL, 0), -EINVAL);
		assert_memory_equal(&signer, &before, sizeof(before));
	}
	kept[40] ^= 0x80;
	assert_int_equal(
	        bundle_kept(&trust, kept, kept_len, &signer, &file, &len, NULL, 0), -EINVAL);
	free(kept);
	chain_free(&c);
}

/* Heads that name a key badly, and a signer that names itself. */
static void test_next_faults(void **state)
{
	struct minisign_secret key;
	char err[BUNDLE_ERROR_MAX], *text, *at, *file = NULL;
	struct bundle_head head;
	struct policy *policy;
	size_t len, file_len;

	(void)state;
	assert_int_equal(minisign_key_make(&key), 0);
	serial_policy(&policy, 1);
	assert_int_equal(
	        bundle_make_next(policy, NULL, ISSUED, &key.pub, &text, &len, err, sizeof(err)), 0);
	assert_int_equal(bundle_seal(text, len, &key, &file, &file_len, err, sizeof(err)), -EINVAL);
	assert_non_null(strstr(err, "the next key is the one that signs now"));
	assert_null(file);
	at = strstr(text, "RW");
	for (unsigned i = 0; i < 56; i++) {
		char was = at[i];

		at[i] = '"';
		assert_int_equal(bundle_head_read(text, len, &head, NULL, 0), -EINVAL);
		at[i] = was;
	}
	assert_int_equal(bundle_head_read(text, len, &head, NULL, 0), 0);
	assert_int_equal(bundle_head_read(text, (size_t)(at - text) + 30, &head, NULL, 0), -EINVAL);
	free(text);
	policy_unref(policy);
}

/* ---- vouchers */

static void raw_pair(unsigned char seed, uint8_t private_key[32], struct policy_key *key)
{
	EVP_PKEY *pkey;
	size_t len = sizeof(key->raw);

	memset(private_key, seed, 32);
	pkey = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, private_key, 32);
	assert_int_equal(EVP_PKEY_get_raw_public_key(pkey, key->raw, &len), 1);
	EVP_PKEY_free(pkey);
}

static void raw_sign(const uint8_t private_key[32], const void *data, size_t len, uint8_t sig[64])
{
	EVP_PKEY *pkey = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, private_key, 32);
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	size_t n = 64;

	assert_int_equal(EVP_DigestSignInit(ctx, NULL, NULL, NULL, pkey), 1);
	assert_int_equal(EVP_DigestSign(ctx, sig, &n, data, len), 1);
	EVP_MD_CTX_free(ctx);
	EVP_PKEY_free(pkey);
}

static void test_voucher(void **state)
{
	struct policy_voucher v = {.cluster = "hpc", .name = "node1"}, got, none = {0};
	uint8_t old[32], new_key[32], words[POLICY_VOUCHER_WORDS_MAX];
	char line[POLICY_VOUCHER_LINE_MAX], bad[POLICY_VOUCHER_LINE_MAX], err[256];
	size_t len, n;

	(void)state;
	raw_pair(1, old, &v.old_key);
	raw_pair(2, new_key, &v.key);
	n = policy_voucher_words(&v, words);
	assert_int_equal(n, strlen("overlayd rotate v1\n") + 4 + 6 + 64);
	raw_sign(old, words, n, v.by_old);
	raw_sign(new_key, words, n, v.by_new);
	policy_voucher_print(&v, line);
	len = strlen(line);
	assert_int_equal(policy_voucher_parse(line, len, &got, err, sizeof(err)), 0);
	assert_memory_equal(&got, &v, sizeof(v));
	assert_int_equal(policy_voucher_parse(line, len - 1, &got, err, sizeof(err)), 0);
	/* No byte of it can be changed, but the newline. */
	got = none;
	for (size_t i = 0; i + 1 < len; i++) {
		memcpy(bad, line, len + 1);
		bad[i] ^= 1;
		assert_int_not_equal(policy_voucher_parse(bad, len, &got, err, sizeof(err)), 0);
		assert_int_equal(policy_voucher_parse(line, i, &got, err, sizeof(err)), -EINVAL);
	}
	assert_memory_equal(&got, &none, sizeof(none));
	/* Who has the new key only, or the old one only, gets nowhere. */
	memcpy(v.by_old, v.by_new, sizeof(v.by_old));
	policy_voucher_print(&v, bad);
	assert_int_equal(
	        policy_voucher_parse(bad, strlen(bad), &got, err, sizeof(err)), -EKEYREJECTED);
	raw_sign(old, words, n, v.by_old);
	memcpy(v.by_new, v.by_old, sizeof(v.by_new));
	policy_voucher_print(&v, bad);
	assert_int_equal(
	        policy_voucher_parse(bad, strlen(bad), &got, err, sizeof(err)), -EKEYREJECTED);
}

/* ---- in the files */

static char *file_of(const char *path)
{
	char *text = calloc(1, 4096);
	FILE *in = fopen(path, "r");

	assert_non_null(in);
	assert_true(fread(text, 1, 4095, in) > 0);
	fclose(in);
	return text;
}

static void file_make(const char *path, const char *text)
{
	FILE *out = fopen(path, "w");

	assert_non_null(out);
	fputs(text, out);
	assert_int_equal(fclose(out), 0);
}

/* A peer's entry, twice given another key; what the file says then. */
static void rekeyed(const char *entry, const char *expected)
{
	char dir[] = "/tmp/ovl-rekey-XXXXXX", main_path[64], peers[64], path[64], *text;
	struct policy_rekey change = {"node1", .old_until = 1700000600};
	struct policy *policy = NULL;
	struct policy_report report;
	struct policy_addr addr6;

	assert_non_null(mkdtemp(dir));
	snprintf(main_path, sizeof(main_path), "%s/policy.yaml", dir);
	snprintf(peers, sizeof(peers), "%s/peers.d", dir);
	snprintf(path, sizeof(path), "%s/peers.d/node1.yaml", dir);
	assert_int_equal(mkdir(peers, 0700), 0);
	file_make(main_path, "cluster: hpc\nserial: 7\noverlay: 10.77.0.0/16\n");
	file_make(path, entry);
	assert_int_equal(policy_key_parse(KEY1, &change.old_key, NULL), 0);
	assert_int_equal(policy_key_parse(KEY2, &change.key, NULL), 0);
	policy_ula_address("hpc", &change.old_key, &addr6);
	policy_report_init(&report);
	assert_int_equal(policy_edit_rekey(dir, &change, &policy, &report), 0);
	assert_int_equal(policy->serial, 8);
	assert_memory_equal(&policy->peers[0].addr6, &addr6, sizeof(addr6));
	policy_unref(policy);
	/* That key is not there any more. */
	assert_int_equal(policy_edit_rekey(dir, &change, &policy, &report), -ENOENT);
	policy_report_clear(&report);
	change.old_key = change.key;
	assert_int_equal(policy_key_parse(KEY3, &change.key, NULL), 0);
	change.old_until += 60;
	policy_report_init(&report);
	assert_int_equal(policy_edit_rekey(dir, &change, &policy, &report), 0);
	assert_int_equal(policy->serial, 9);
	assert_memory_equal(&policy->peers[0].addr6, &addr6, sizeof(addr6));
	policy_unref(policy);
	policy_report_clear(&report);
	text = file_of(path);
	assert_string_equal(text, expected);
	free(text);
	unlink(path);
	rmdir(peers);
	unlink(main_path);
	rmdir(dir);
}

static void test_rekey(void **state)
{
	(void)state;
	rekeyed("# the node in the corner\nnode1:\n  key: \"" KEY1
	        " node1\" # its own\n  address: 10.77.0.17\n",
	        "# the node in the corner\nnode1:\n  key: \"" KEY3
	        " node1\" # its own\n  old_key: \"" KEY2
	        "\"\n  old_until: \"2023-11-14T22:24:20Z\"\n  address6: \"" ADDR6
	        "\"\n  address: 10.77.0.17\n");
	rekeyed("node1: { key: '" KEY1 " node1', address: 10.77.0.17 } # flow\n",
	        "node1: { key: '" KEY3 " node1', old_key: \"" KEY2
	        "\", old_until: \"2023-11-14T22:24:20Z\", address6: \"" ADDR6
	        "\", address: 10.77.0.17 } # flow\n");
	rekeyed("node1:\n    address: 10.77.0.17\n    key: " KEY1 "\n",
	        "node1:\n    address: 10.77.0.17\n    key: " KEY3 "\n    old_key: \"" KEY2
	        "\"\n    old_until: \"2023-11-14T22:24:20Z\"\n    address6: \"" ADDR6 "\"\n");
}

/* Where it cannot be done in place nothing is touched, and what to write is said. */
static void test_rekey_by_hand(void **state)
{
	static const char main_text[] = "cluster: hpc\nserial: 7\noverlay: 10.77.0.0/16\npeers:\n"
	                                "  # was " KEY1 "\n"
	                                "  node1: { key: '" KEY1 "', address: 10.77.0.17 }\n";
	char dir[] = "/tmp/ovl-rekey-XXXXXX", path[64], *text;
	struct policy_rekey change = {"node1", .old_until = 1700000600};
	struct policy *policy = NULL;
	struct policy_report report;

	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/policy.yaml", dir);
	file_make(path, main_text);
	assert_int_equal(policy_key_parse(KEY1, &change.old_key, NULL), 0);
	assert_int_equal(policy_key_parse(KEY2, &change.key, NULL), 0);
	policy_report_init(&report);
	assert_int_equal(policy_edit_rekey(dir, &change, &policy, &report), -EINVAL);
	assert_non_null(strstr(report.faults[0].message, "address6: \"" ADDR6 "\""));
	policy_report_clear(&report);
	text = file_of(path);
	assert_string_equal(text, main_text);
	free(text);
	unlink(path);
	rmdir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(test_fields),
	        cmocka_unit_test(test_faults),
	        cmocka_unit_test(test_taken),
	        cmocka_unit_test(test_differs),
	        cmocka_unit_test(test_bundle),
	        cmocka_unit_test(test_bounded),
	        cmocka_unit_test(test_trust),
	        cmocka_unit_test(test_restarts),
	        cmocka_unit_test(test_kept),
	        cmocka_unit_test(test_next_faults),
	        cmocka_unit_test(test_voucher),
	        cmocka_unit_test(test_rekey),
	        cmocka_unit_test(test_rekey_by_hand),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

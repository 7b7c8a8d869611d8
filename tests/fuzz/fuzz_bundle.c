/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What comes signed, before and after its signature is known to be good. By the first byte:
 *   b  a bundle: what is taken is written again to the same bytes, and gives a good policy
 *   d  a delta behind its first line, to a fixed base: never more than base and delta together
 *   f  a file with a signature; a public key; a secret key
 *   t  two bundles, "%%%" between: where both are taken, their delta leads from one to the other
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>

#include "policy/bundle.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define KEY "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGq58euPfTOI9PnVhvZumf1UCA3yxEbw5YZosJwIoW1Q"
static const char base_policy[] = "cluster: hpc\nserial: 7\noverlay: 10.77.0.0/16\npeers:\n"
                                  "  n1: { key: '" KEY "', address: 10.77.0.1 }\n";

static struct policy *parse(const char *data, size_t len, struct bundle_head *head)
{
	struct policy_report report;
	struct policy *policy = NULL;
	int ret;

	policy_report_init(&report);
	ret = bundle_parse(data, len, head, &policy, &report);
	if ((ret == 0) != (policy != NULL) || (ret == 0) != (report.n_errors == 0))
		abort();
	if (report.n_faults > POLICY_FAULTS_MAX)
		abort();
	policy_report_clear(&report);
	return policy;
}

static void bundle_fuzz(const char *data, size_t len)
{
	struct bundle_head head, parent;
	struct policy *policy = parse(data, len, &head);
	char *again;
	size_t again_len;

	if (!policy)
		return;
	parent = head;
	parent.serial = head.parent_serial;
	memcpy(parent.digest, head.parent, sizeof(parent.digest));
	if (bundle_make_next(policy, head.has_parent ? &parent : NULL, head.issued,
	            head.has_next_key ? &head.next_key : NULL, &again, &again_len, NULL, 0))
		abort();
	if (again_len != len || memcmp(again, data, len) != 0)
		abort();
	free(again);
	policy_unref(policy);
}

static void base_make(char **base, size_t *len)
{
	const struct policy_file file = {"policy.yaml", base_policy, strlen(base_policy)};
	struct policy_report report;
	struct policy *policy;

	policy_report_init(&report);
	if (policy_parse(&file, 1, &policy, &report) ||
	        bundle_make(policy, NULL, 1, base, len, NULL, 0))
		abort();
	policy_unref(policy);
	policy_report_clear(&report);
}

static void delta_fuzz(const char *data, size_t len)
{
	static char *base;
	static size_t base_len;
	struct bundle_head head;
	char hex[65], *delta, *out = NULL;
	size_t out_len;
	int n, ret;

	if (!base)
		base_make(&base, &base_len);
	if (bundle_head_read(base, base_len, &head, NULL, 0))
		abort();
	bundle_digest_print(head.digest, hex);
	/* It names the base as its result too: the only one that can be hit. */
	n = asprintf(&delta, "{\"overlayd-delta\":1,\"base\":\"%s\",\"digest\":\"%s\"}\n%.*s", hex,
	        hex, (int)len, data);
	if (n < 0)
		abort();
	ret = bundle_patch(base, base_len, delta, (size_t)n, &out, &out_len, NULL, 0);
	if (ret == 0 && (out_len != base_len || memcmp(out, base, base_len) != 0))
		abort();
	if (ret && (out || ret == -ESTALE))
		abort();
	free(out);
	free(delta);
}

static void file_fuzz(const char *data, size_t len)
{
	struct minisign_public key = {.id = {1}, .key = {2}};
	struct minisign_secret secret;
	struct policy_report report;
	char line[57];

	if (minisign_public_parse(data, len, &key, NULL, 0) == 0) {
		minisign_public_line(&key, line);
		if (!memmem(data, len, line, 56))
			abort(); /* one way to write it */
	}
	minisign_secret_parse(data, len, NULL, &secret, NULL, 0);
	policy_report_init(&report);
	if (bundle_open(data, len, &key, NULL, NULL, &report) == 0)
		abort(); /* forged */
	policy_report_clear(&report);
	/* Past the key's id. */
	if (len > 120)
		minisign_verify(&key, data, 8, data, len, NULL, NULL, 0);
}

static void two_fuzz(const char *data, size_t len)
{
	const char *cut = memmem(data, len, "%%%", 3), *b = cut ? cut + 3 : NULL;
	size_t b_len = cut ? len - (size_t)(b - data) : 0, a_len = cut ? (size_t)(cut - data) : 0;
	struct policy *x = cut ? parse(data, a_len, NULL) : NULL;
	struct policy *y = x ? parse(b, b_len, NULL) : NULL;
	char *delta, *out;
	size_t delta_len, out_len;

	if (y) {
		if (bundle_diff(data, a_len, b, b_len, &delta, &delta_len) ||
		        bundle_patch(data, a_len, delta, delta_len, &out, &out_len, NULL, 0))
			abort();
		if (out_len != b_len || memcmp(out, b, b_len) != 0)
			abort();
		free(delta);
		free(out);
	}
	policy_unref(x);
	policy_unref(y);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *)data + 1;

	if (!size)
		return 0;
	if (data[0] == 'b')
		bundle_fuzz(text, size - 1);
	if (data[0] == 'd')
		delta_fuzz(text, size - 1);
	if (data[0] == 'f')
		file_fuzz(text, size - 1);
	if (data[0] == 't')
		two_fuzz(text, size - 1);
	return 0;
}

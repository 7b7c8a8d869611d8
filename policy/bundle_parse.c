/* SPDX-License-Identifier: GPL-2.0-or-later */
/* From the text, or from a signed file, to a policy. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "policy/bundle_internal.h"

static const char sig_begin[] = "\nuntrusted comment: ";

/* There is one way to write a policy: the first line that is not written so, or 0. */
static uint32_t strange_line(const char *data, size_t len, const char *again, size_t again_len)
{
	size_t n = len < again_len ? len : again_len;
	uint32_t line = 1;

	if (len == again_len && memcmp(data, again, len) == 0)
		return 0;
	for (size_t i = 0; i < n && data[i] == again[i]; i++)
		line += data[i] == '\n';
	return line;
}

static int writing_check(const struct policy *policy, const struct bundle_head *head,
        const char *data, size_t len, struct policy_report *report)
{
	struct policy_where where = {BUN_FILE, 0, 0};
	char *again;
	size_t again_len;

	if (bun_write(policy, head, &again, &again_len))
		return pol_report_errno(report, BUN_FILE, -ENOMEM, "the bundle cannot be checked");
	where.line = strange_line(data, len, again, again_len);
	free(again);
	if (!where.line)
		return 0;
	where.column = 1;
	pol_report_fault(report, where,
	        "this line is not written as overlayd writes it, so the bundle is not taken");
	return -EINVAL;
}

/* An old key counts for a short time only, whatever the files say. */
static int rotations_check(
        const struct policy *policy, const struct bundle_head *head, struct policy_report *report)
{
	int ret = 0;

	for (size_t i = 0; i < policy->n_peers; i++) {
		const struct policy_peer *peer = &policy->peers[i];

		if (!peer->has_old_key || peer->old_until - POLICY_OLD_KEY_MAX_S <= head->issued)
			continue;
		pol_report_fault(report, peer->where,
		        "the old key of %s is to count for more than %u h after the bundle's "
		        "issue: "
		        "set its old_until to an earlier time",
		        peer->name, POLICY_OLD_KEY_MAX_S / 3600);
		ret = -EINVAL;
	}
	return ret;
}

int bundle_parse(const char *data, size_t len, struct bundle_head *head, struct policy **out,
        struct policy_report *report)
{
	const struct policy_file file = {BUN_FILE, data, len};
	struct policy_where where = {BUN_FILE, 1, 1};
	struct bundle_head read;
	struct policy *policy = NULL;
	char err[BUNDLE_ERROR_MAX];
	int ret = bundle_head_read(data, len, &read, err, sizeof(err));

	if (ret) {
		pol_report_fault(report, where, "%s", err);
		return ret;
	}
	ret = pol_parse(&file, 1, bun_tree, &read, &policy, report);
	if (ret == 0)
		ret = rotations_check(policy, &read, report);
	if (ret == 0)
		ret = writing_check(policy, &read, data, len, report);
	if (ret) {
		policy_unref(policy);
		return ret;
	}
	if (head)
		*head = read;
	*out = policy;
	return 0;
}

/* ---- signed */

int bundle_split(const char *file, size_t len, size_t *text_len, char *err, size_t err_size)
{
	const char *sig;

	if (len > BUNDLE_FILE_MAX)
		return bun_fail(-E2BIG, err, err_size, "a bundle may have %u MB, not %zu",
		        BUNDLE_MAX >> 20, len >> 20);
	/* Lines of a bundle begin with {: the first other one begins the signature. */
	sig = len ? memmem(file, len, sig_begin, strlen(sig_begin)) : NULL;
	if (!sig)
		return bun_fail(-EINVAL, err, err_size,
		        "there is no signature behind the bundle: it was cut, or not signed");
	*text_len = (size_t)(sig + 1 - file);
	return 0;
}

int bundle_verify(const char *data, size_t len, const char *sig, size_t sig_len,
        const struct minisign_public *key, char *err, size_t err_size)
{
	return minisign_verify(key, data, len, sig, sig_len, NULL, err, err_size);
}

int bundle_open(const char *file, size_t len, const struct minisign_public *key,
        struct bundle_head *head, struct policy **policy, struct policy_report *report)
{
	struct policy_where where = {BUN_FILE, 0, 0};
	char err[BUNDLE_ERROR_MAX];
	struct policy *read = NULL;
	size_t text = 0;
	int ret = bundle_split(file, len, &text, err, sizeof(err));

	if (ret == 0)
		ret = bundle_verify(file, text, file + text, len - text, key, err, sizeof(err));
	if (ret) {
		pol_report_fault(report, where, "%s", err);
		return ret;
	}
	ret = bundle_parse(file, text, head, &read, report);
	if (ret)
		return ret;
	if (policy)
		*policy = read;
	else
		policy_unref(read);
	return 0;
}

int bundle_seal(const char *data, size_t len, const struct minisign_secret *secret, char **out,
        size_t *out_len, char *err, size_t err_size)
{
	char trusted[128], *sig, *file;
	struct bundle_head head;
	size_t sig_len;
	int ret = bundle_head_read(data, len, &head, err, err_size);

	if (ret)
		return ret;
	if (head.has_next_key &&
	        memcmp(head.next_key.id, secret->pub.id, sizeof(secret->pub.id)) == 0)
		return bun_fail(-EINVAL, err, err_size,
		        "the next key is the one that signs now, or has its id: make another with "
		        "`overlayctl key`");
	snprintf(trusted, sizeof(trusted), "overlayd bundle: cluster %s, serial %" PRIu64,
	        head.cluster, head.serial);
	ret = minisign_sign(secret, data, len, "signature from overlayctl", trusted, false, &sig);
	if (ret)
		return bun_fail(
		        ret, err, err_size, "the bundle cannot be signed: %s", strerror(-ret));
	sig_len = strlen(sig);
	file = malloc(len + sig_len + 1);
	if (file) {
		memcpy(file, data, len);
		memcpy(file + len, sig, sig_len + 1);
		*out = file;
		*out_len = len + sig_len;
	} else {
		ret = bun_fail(-ENOMEM, err, err_size, "there is not enough memory to sign");
	}
	free(sig);
	return ret;
}

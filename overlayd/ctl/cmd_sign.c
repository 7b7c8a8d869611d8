/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <openssl/crypto.h>

#include "ctl/secret.h"
#include "policy/bundle.h"

/* The head of the bundle in force, which must be signed by the same key. */
static int parent_read(struct ctl *ctl, const char *path, const struct minisign_public *key,
        struct bundle_head *head)
{
	struct policy_report report;
	char *file;
	size_t len;
	int rc = secret_file_read(ctl, path, BUNDLE_FILE_MAX, &file, &len);

	if (rc)
		return rc;
	policy_report_init(&report);
	if (bundle_open(file, len, key, head, NULL, &report)) {
		ctl_error(ctl, "%s: it cannot be the parent: %s", path,
		        report.n_faults ? report.faults[0].message : "out of memory");
		rc = CTL_FAILED;
	}
	policy_report_clear(&report);
	free(file);
	return rc;
}

static int bundle_write(struct ctl *ctl, const struct policy *policy,
        const struct bundle_head *parent, const struct minisign_secret *secret)
{
	char err[BUNDLE_ERROR_MAX], *text = NULL, *file = NULL;
	size_t len, file_len;
	int rc = CTL_FAILED;

	if (bundle_make(policy, parent, time(NULL), &text, &len, err, sizeof(err)) ||
	        bundle_seal(text, len, secret, &file, &file_len, err, sizeof(err)))
		ctl_error(ctl, "%s", err);
	else if (fwrite(file, 1, file_len, stdout) == file_len)
		rc = CTL_OK;
	else
		ctl_error(ctl, "the bundle cannot be written: %s", strerror(errno));
	free(text);
	free(file);
	return rc;
}

static int run_sign(struct ctl *ctl, int argc, char **argv)
{
	const char *key = NULL, *parent_path = NULL;
	struct minisign_secret secret;
	struct bundle_head parent;
	struct policy *policy;
	int option, rc = CTL_FAILED;

	while ((option = ctl_option(ctl, argc, argv)) != -1)
		*(option == 'k' ? &key : &parent_path) = optarg;
	if (argc - optind > 1)
		return ctl_usage(ctl, "one directory is enough");
	if (!key)
		return ctl_usage(ctl, "--key is wanted");
	/* A policy with a fault is told before a passphrase is asked. */
	policy = ctl_policy(ctl, optind < argc ? argv[optind] : ctl->config, &rc);
	if (!policy)
		return rc;
	secret_guard();
	rc = secret_read(ctl, key, &secret);
	if (!rc && parent_path)
		rc = parent_read(ctl, parent_path, &secret.pub, &parent);
	if (!rc)
		rc = bundle_write(ctl, policy, parent_path ? &parent : NULL, &secret);
	minisign_secret_wipe(&secret);
	policy_unref(policy);
	return rc;
}

static const struct option options[] = {
        {"key", required_argument, NULL, 'k'},
        {"parent", required_argument, NULL, 'p'},
        {0},
};

const struct ctl_command ctl_cmd_sign = {
        .name = "sign",
        .args = "--key FILE [--parent BUNDLE] [DIR]",
        .summary = "a policy as a signed bundle, on stdout; needs no daemon",
        .help = "  --key FILE       the cluster's secret key, as `overlayctl key` makes it\n"
                "  --parent BUNDLE  the bundle in force, which this one is to follow\n\n"
                "DIR holds policy.yaml and peers.d/; default: --config. The policy's serial must "
                "be\n"
                "above the parent's. Without a parent the bundle stands by itself and replaces\n"
                "any of a lower serial. By hand, with the last four lines as its signature:\n"
                "  head -n -4 FILE > bundle; tail -n 4 FILE > bundle.minisig\n"
                "  minisign -V -p cluster.pub -m bundle\n",
        .options = options,
        .run = run_sign,
};

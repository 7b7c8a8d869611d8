/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ctl/secret.h"
#include "ctl/signer.h"

/* What minisign left beside the text. */
static int signature_add(struct ctl *ctl, const char *path, char **file, size_t *len)
{
	char *sig, *both;
	size_t sig_len;
	int rc = secret_file_read(ctl, path, MINISIGN_TEXT_MAX, &sig, &sig_len);

	if (rc)
		return rc;
	both = realloc(*file, *len + sig_len + 1);
	if (!both) {
		free(sig);
		ctl_error(ctl, "out of memory");
		return CTL_FAILED;
	}
	memcpy(both + *len, sig, sig_len + 1);
	*file = both;
	*len += sig_len;
	free(sig);
	return CTL_OK;
}

static int file_read(
        struct ctl *ctl, const char *path, const char *signature, char **file, size_t *len)
{
	bool input = !strcmp(path, "-");
	char beside[PATH_MAX], err[BUNDLE_ERROR_MAX];
	size_t text_len;
	int rc = secret_file_read(ctl, path, BUNDLE_FILE_MAX, file, len);

	if (rc)
		return rc;
	if (signature)
		return signature_add(ctl, signature, file, len);
	if (!bundle_split(*file, *len, &text_len, err, sizeof(err)))
		return CTL_OK;
	snprintf(beside, sizeof(beside), "%s.minisig", path);
	if (!input && !access(beside, F_OK))
		return signature_add(ctl, beside, file, len);
	ctl_error(ctl, "%s: %s", path, err);
	return CTL_FAILED;
}

static void tell(struct ctl *ctl, const json_t *answer)
{
	printf("overlayd: serial %" PRId64 " is in force%s\n", ctl_integer(answer, "serial", 0),
	        json_is_true(json_object_get(answer, "changed")) ? "" : " already");
	ctl_print_changes(ctl, json_object_get(answer, "rows"), stdout);
	fflush(stdout);
}

static int load(struct ctl *ctl, const char *file, size_t len, int wait)
{
	json_t *answer, *summary = NULL;
	int rc = ctl_ask_file(ctl, "load", file, len, &answer);

	if (rc)
		return rc;
	if (!ctl->json)
		tell(ctl, answer);
	if (wait >= 0)
		rc = load_wait(ctl, (uint64_t)ctl_integer(answer, "serial", 0), wait, &summary);
	if (summary)
		json_object_set_new(answer, "members", summary);
	if (ctl->json)
		ctl_print_json(json_incref(answer));
	json_decref(answer);
	return rc;
}

static int run_load(struct ctl *ctl, int argc, char **argv)
{
	const char *signature = NULL;
	int option, rc, wait = -1;
	char *file = NULL;
	size_t len;

	while ((option = ctl_option(ctl, argc, argv)) != -1) {
		if (option == 's')
			signature = optarg;
		else if ((wait = load_wait_parse(optarg)) < 0)
			return ctl_usage(ctl, "--wait takes a number of seconds");
	}
	if (argc - optind != 1)
		return ctl_usage(ctl, "one file is wanted");
	rc = file_read(ctl, argv[optind], signature, &file, &len);
	if (!rc)
		rc = load(ctl, file, len, wait);
	free(file);
	return rc;
}

static const struct option options[] = {
        {"signature", required_argument, NULL, 's'},
        {"wait", optional_argument, NULL, 'w'},
        {0},
};

const struct ctl_command ctl_cmd_load = {
        .name = "load",
        .args = "[--signature FILE] [--wait[=SECONDS]] FILE",
        .summary = "give the daemon a signed bundle, which it passes on to all",
        .help = "  --signature FILE  where the signature is not in FILE: what `minisign -S` wrote "
                "(FILE.minisig)\n"
                "  --wait[=SECONDS]  until all members that can be reached have it (10)\n\n"
                "FILE is what `overlayctl sign` or `overlayctl bundle` wrote; \"-\": stdin. "
                "Answers when it is\n"
                "in force here. One that is not signed by the cluster key, or older than the one "
                "in force,\n"
                "changes nothing: exit code 5.\n",
        .options = options,
        .run = run_load,
};

/* ---- bundle */

static int run_bundle(struct ctl *ctl, int argc, char **argv)
{
	json_t *answer;
	int rc;

	ctl_arguments(ctl, argc, argv, 0, 0);
	rc = ctl_ask(ctl, "bundle", NULL, &answer);
	if (rc)
		return rc;
	if (ctl->json)
		return ctl_print_json(answer);
	fputs(ctl_string(answer, "file", ""), stdout);
	json_decref(answer);
	return CTL_OK;
}

const struct ctl_command ctl_cmd_bundle = {
        .name = "bundle",
        .args = "",
        .summary = "the signed bundle in force, on stdout",
        .help = "For a new node (overlayctl load FILE there), or to verify it by hand:\n"
                "  overlayctl bundle > FILE; head -n -4 FILE > bundle; tail -n 4 FILE > "
                "bundle.minisig\n"
                "  minisign -V -p cluster.pub -m bundle\n",
        .run = run_bundle,
};

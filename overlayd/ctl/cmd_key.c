/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/crypto.h>

#include "ctl/secret.h"

/* cluster.key -> cluster.pub; any other name gets .pub behind it. */
static int public_path(const char *path, char buf[PATH_MAX])
{
	size_t len = strlen(path);
	bool key = len > 4 && !strcmp(path + len - 4, ".key");

	if (len + 5 > PATH_MAX)
		return -ENAMETOOLONG;
	snprintf(buf, PATH_MAX, "%.*s.pub", (int)(key ? len - 4 : len), path);
	return 0;
}

static int fail_file(struct ctl *ctl, const char *path, int error)
{
	if (error == -EEXIST)
		ctl_error(ctl, "%s: there is a key already; it is left as it is", path);
	else
		ctl_error(ctl, "%s: %s", path, strerror(-error));
	return error == -EACCES || error == -EPERM || error == -EROFS ? CTL_PERMISSION : CTL_FAILED;
}

/* With as much cost as this machine's memory allows, as minisign does it. */
static int text_make(struct ctl *ctl, const struct minisign_secret *secret, const char *passphrase,
        char text[320])
{
	struct minisign_cost cost = MINISIGN_COST_USUAL;
	char err[MINISIGN_ERROR_MAX];
	int ret;

	for (;; cost.ops /= 2, cost.mem /= 2) {
		ret = minisign_secret_print(secret, passphrase, cost, text, err, sizeof(err));
		if (ret != -ENOMEM || cost.mem / 2 < MINISIGN_COST_LEAST.mem)
			break;
	}
	if (ret) {
		ctl_error(ctl, "%s", err);
		return CTL_FAILED;
	}
	if (cost.mem < MINISIGN_COST_USUAL.mem)
		fprintf(stderr,
		        "overlayctl key: too little memory is free for the usual cost of guessing "
		        "the passphrase: make it a long one\n");
	return CTL_OK;
}

static int files_write(struct ctl *ctl, const char *path, const char *pub_path, const char *text,
        const struct minisign_public *pub)
{
	char pub_text[128];
	int ret = secret_file_make(path, 0600, text);

	if (ret)
		return fail_file(ctl, path, ret);
	minisign_public_print(pub, pub_text);
	ret = secret_file_make(pub_path, 0644, pub_text);
	if (!ret)
		return CTL_OK;
	unlink(path);
	return fail_file(ctl, pub_path, ret);
}

static int tell(
        struct ctl *ctl, const char *path, const char *pub_path, const struct minisign_public *pub)
{
	char line[57], id[17];

	minisign_public_line(pub, line);
	minisign_id_print(pub, id);
	if (ctl->json)
		return ctl_print_json(json_pack("{s:s, s:s, s:s, s:s}", "secret_key", path,
		        "public_key_file", pub_path, "public_key", line, "id", id));
	printf("%s: the cluster's secret key; it needs to be on no node\n"
	       "%s: its public half, %s\n"
	       "%s\n\n"
	       "Next: overlayctl sign --key %s > bundle\n",
	        path, pub_path, id, line, path);
	return CTL_OK;
}

static int key_make(struct ctl *ctl, const char *path, const char *pub_path, bool clear)
{
	char passphrase[MINISIGN_PASSPHRASE_MAX + 1], text[320];
	struct minisign_public pub;
	struct minisign_secret secret;
	int rc = clear ? CTL_OK : secret_ask(ctl, true, passphrase);

	if (!rc && minisign_key_make(&secret)) {
		ctl_error(ctl, "libcrypto cannot make an Ed25519 key");
		rc = CTL_FAILED;
	}
	if (!rc) {
		pub = secret.pub;
		rc = text_make(ctl, &secret, clear ? NULL : passphrase, text);
		minisign_secret_wipe(&secret);
	}
	OPENSSL_cleanse(passphrase, sizeof(passphrase));
	if (!rc)
		rc = files_write(ctl, path, pub_path, text, &pub);
	OPENSSL_cleanse(text, sizeof(text));
	return rc ? rc : tell(ctl, path, pub_path, &pub);
}

static int run_key(struct ctl *ctl, int argc, char **argv)
{
	char pub_path[PATH_MAX];
	const char *path;
	bool clear = false;

	while (ctl_option(ctl, argc, argv) != -1)
		clear = true;
	if (argc - optind != 1)
		return ctl_usage(ctl, "one file is wanted");
	path = argv[optind];
	if (public_path(path, pub_path))
		return fail_file(ctl, path, -ENAMETOOLONG);
	/* Before anybody types a passphrase. */
	if (!access(path, F_OK) || !access(pub_path, F_OK))
		return fail_file(ctl, access(path, F_OK) ? pub_path : path, -EEXIST);
	secret_guard();
	return key_make(ctl, path, pub_path, clear);
}

static const struct option options[] = {{"no-passphrase", no_argument, NULL, 'n'}, {0}};

const struct ctl_command ctl_cmd_key = {
        .name = "key",
        .args = "[--no-passphrase] FILE",
        .summary = "make the cluster's key, which signs policies",
        .help = "  --no-passphrase  do not encrypt the secret key\n\n"
                "Writes the secret key to FILE (mode 0600) and the public one beside it:\n"
                "cluster.key and cluster.pub. Both are files of minisign. What is there is never\n"
                "touched. The passphrase is asked on the terminal.\n",
        .options = options,
        .run = run_key,
};

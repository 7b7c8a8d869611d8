/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The cluster's key pair, as `key` and `init` make it. */
#include "ctl/clusterkey.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/crypto.h>

#include "ctl/secret.h"

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
		        "overlayctl: too little memory is free for the usual cost of guessing "
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

int clusterkey_make(struct ctl *ctl, const char *path, const char *pub_path, bool clear,
        struct minisign_public *pub_out)
{
	char passphrase[MINISIGN_PASSPHRASE_MAX + 1], text[320];
	struct minisign_public pub;
	struct minisign_secret secret;
	int rc;

	/* Before anybody types a passphrase. */
	if (!access(path, F_OK) || !access(pub_path, F_OK))
		return fail_file(ctl, access(path, F_OK) ? pub_path : path, -EEXIST);
	secret_guard();
	rc = clear ? CTL_OK : secret_ask(ctl, true, passphrase);

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
	if (!rc)
		*pub_out = pub;
	return rc;
}

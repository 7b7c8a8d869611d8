/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "client/nodekey.h"
#include "client/paths.h"
#include "ctl/ctl.h"
#include "policy/voucher.h"

struct rotate {
	const char *name, *cluster;
	bool cancel;
	char path[PATH_MAX], next[PATH_MAX];
	struct policy_voucher voucher;
};

/* Both private keys sign the same words. */
static int sign_with(struct ctl *ctl, const char *path, const struct policy_voucher *voucher,
        const struct policy_key *key, uint8_t signature[64])
{
	uint8_t words[POLICY_VOUCHER_WORDS_MAX], found[32];
	size_t len = policy_voucher_words(voucher, words);
	char err[512] = "", *pem;
	int rc = nodekey_load_pem(path, &pem, found, err, sizeof(err));

	if (!rc) {
		rc = memcmp(found, key->raw, sizeof(found))
		             ? -ESTALE
		             : nodekey_sign(pem, words, len, signature);
		nodekey_pem_free(pem);
	}
	if (rc)
		ctl_error(ctl, "%s", err[0] ? err : strerror(-rc));
	return rc ? CTL_FAILED : CTL_OK;
}

/* Who we are, by the daemon; unless it was said. */
static int names_ask(struct ctl *ctl, struct rotate *r)
{
	struct policy_voucher *v = &r->voucher;
	json_t *status = NULL;
	int rc = CTL_OK;

	if (!r->name || !r->cluster)
		rc = ctl_ask(ctl, "status", NULL, &status);
	if (rc)
		return rc;
	snprintf(v->name, sizeof(v->name), "%s",
	        r->name ? r->name : ctl_string(json_object_get(status, "node"), "name", ""));
	snprintf(v->cluster, sizeof(v->cluster), "%s",
	        r->cluster ? r->cluster : ctl_string(status, "cluster", ""));
	json_decref(status);
	if (*v->name && *v->cluster)
		return CTL_OK;
	ctl_error(ctl, "this node is no member of a cluster: there is nothing to change its key "
	               "for; `overlayctl id` shows the one it has");
	return CTL_FAILED;
}

static int keys_make(struct ctl *ctl, struct rotate *r)
{
	struct policy_voucher *v = &r->voucher;
	char err[512];
	bool made;
	int rc = nodekey_load(r->path, v->old_key.raw, err, sizeof(err));

	if (!rc)
		rc = nodekey_ensure(r->next, v->key.raw, &made, err, sizeof(err));
	if (rc) {
		ctl_error(ctl, "%s", err);
		return ctl_exit_of(rc) == CTL_PERMISSION ? CTL_PERMISSION : CTL_FAILED;
	}
	rc = sign_with(ctl, r->path, v, &v->old_key, v->by_old);
	return rc ? rc : sign_with(ctl, r->next, v, &v->key, v->by_new);
}

static int tell(struct ctl *ctl, const struct rotate *r)
{
	char line[POLICY_VOUCHER_LINE_MAX], fingerprint[POLICY_FINGERPRINT_LEN];
	json_t *answer = NULL;
	int rc = CTL_OK;

	policy_voucher_print(&r->voucher, line);
	policy_key_fingerprint(&r->voucher.key, fingerprint);
	/* The daemon is to know the key before the policy names it. */
	if (ctl_daemon_runs(ctl))
		rc = ctl_ask(ctl, "reload", NULL, &answer);
	json_decref(answer);
	if (ctl->json) {
		line[strcspn(line, "\n")] = '\0';
		ctl_print_json(json_pack("{s:s, s:s, s:s}", "name", r->voucher.name, "fingerprint",
		        fingerprint, "voucher", line));
		return rc;
	}
	fputs(line, stdout);
	fflush(stdout);
	fprintf(stderr,
	        "The next key of %s is %s. The seeds are told of it; approve it on one:\n"
	        "  overlayctl approve %s %s\n"
	        "or bring that line to the signer as a file: overlayctl approve %s --voucher "
	        "FILE\n",
	        r->voucher.name, fingerprint, r->voucher.name, fingerprint, r->voucher.name);
	return rc;
}

static int cancel(struct ctl *ctl, const struct rotate *r)
{
	json_t *answer = NULL;
	int rc = CTL_OK;

	if (unlink(r->next) && errno != ENOENT) {
		ctl_error(ctl, "%s: %s", r->next, strerror(errno));
		return ctl_exit_of(-errno) == CTL_PERMISSION ? CTL_PERMISSION : CTL_FAILED;
	}
	if (ctl_daemon_runs(ctl)) /* the seeds are told */
		rc = ctl_ask(ctl, "reload", NULL, &answer);
	json_decref(answer);
	return rc;
}

static int run_rotate(struct ctl *ctl, int argc, char **argv)
{
	struct rotate r = {0};
	int option, rc;

	while ((option = ctl_option(ctl, argc, argv)) != -1) {
		if (option == 'n')
			r.name = optarg;
		else if (option == 'c')
			r.cluster = optarg;
		else
			r.cancel = true;
	}
	if (argc > optind)
		return ctl_usage(ctl, "no arguments are taken");
	ctl_key_path(ctl, r.path, sizeof(r.path));
	snprintf(r.next, sizeof(r.next), "%s/" OVERLAY_NODE_KEY_NEXT, ctl->state);
	if (r.cancel)
		return cancel(ctl, &r);
	rc = names_ask(ctl, &r);
	if (!rc)
		rc = keys_make(ctl, &r);
	return rc ? rc : tell(ctl, &r);
}

static const struct option options[] = {
        {"name", required_argument, NULL, 'n'},
        {"cluster", required_argument, NULL, 'c'},
        {"cancel", no_argument, NULL, 'x'},
        {0},
};

const struct ctl_command ctl_cmd_rotate = {
        .name = "rotate",
        .args = "[--cancel]",
        .summary = "a new key for this node: make it, and let the old one vouch for it",
        .help = "  --cancel        not after all: forget the new key (before it is approved)\n"
                "  --name NAME     this node's name, and\n"
                "  --cluster NAME  its cluster's, where overlayd does not run\n\n"
                "Makes STATE/node.key.next and prints one line, the voucher, which the daemon\n"
                "also tells the seeds. An admin confirms the change: overlayctl approve NAME\n"
                "FINGERPRINT there, or --voucher FILE. From then on both\n"
                "keys count for a while, the tunnels move to the new one without a cut, and then\n"
                "the old one is worthless. The voucher is no secret.\n",
        .options = options,
        .run = run_rotate,
};

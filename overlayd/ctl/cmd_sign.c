/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/signer.h"
#include "policy/policy_edit.h"

struct sign {
	struct ctl *ctl;
	struct signer_options options;
	struct signer signer;
	const char *dir;
	struct policy *policy;
	struct policy_undo undo;
	bool load;
	int wait; /* seconds; -1: not */
};

/* And what is to be done about it. */
static void tell_key(const struct sign *sign, FILE *out)
{
	const struct signer *signer = &sign->signer;
	char id[17];

	minisign_id_print(&signer->next, id);
	if (sign->options.next_key)
		fprintf(out,
		        "the cluster's key changes: bundles of key %s count too; once all members "
		        "have this one (overlayctl members) sign with that key\n",
		        id);
	else if (signer->head.has_next_key && !signer->has_next)
		fprintf(out,
		        sign->options.no_next_key
		                ? "the cluster's key stays\n"
		                : "the cluster's key has changed: the one before counts no more; "
		                  "new nodes get the new cluster.pub\n");
}

/* What the new one changes; to stderr where the bundle itself goes to stdout. */
static void tell(const struct sign *sign)
{
	FILE *out = sign->load ? stdout : stderr;
	json_t *rows;

	if (sign->ctl->json || !sign->signer.file)
		return;
	tell_key(sign, out);
	fprintf(out, "serial %" PRIu64 " %s serial %" PRIu64 "\n", sign->policy->serial,
	        sign->options.alone ? "stands by itself and replaces" : "follows",
	        sign->signer.head.serial);
	rows = ctl_changes(sign->signer.policy, sign->policy);
	ctl_print_changes(sign->ctl, rows, out);
	json_decref(rows);
	fflush(out);
}

/* The serial in the files, raised where it has to be. */
static int serial_raise(struct sign *sign)
{
	struct policy *raised = NULL;
	struct policy_report report;
	int rc = signer_check_serial(&sign->signer, sign->policy), ret;

	if (rc || !sign->signer.file || sign->policy->serial > sign->signer.head.serial)
		return rc;
	policy_report_init(&report);
	ret = policy_edit_raise(sign->dir, &raised, &report);
	if (ret) {
		policy_report_print(&report, stderr, ctl_colour(sign->ctl, stderr));
		ctl_error(sign->ctl, "%s: the serial cannot be raised", sign->dir);
		rc = ret == -EACCES || ret == -EPERM || ret == -EROFS ? CTL_PERMISSION : CTL_FAILED;
	} else {
		policy_unref(sign->policy);
		sign->policy = raised;
	}
	policy_report_clear(&report);
	return rc;
}

static int file_write(struct ctl *ctl, const char *file, size_t len)
{
	if (fwrite(file, 1, len, stdout) == len && !fflush(stdout))
		return CTL_OK;
	ctl_error(ctl, "the bundle cannot be written: %s", strerror(errno));
	return CTL_FAILED;
}

static int file_load(const struct sign *sign, const char *file, size_t len)
{
	json_t *answer, *summary = NULL;
	int rc = load_or_keep(sign->ctl, sign->dir, file, len, &answer);

	if (rc || !answer)
		return rc;
	if (!sign->ctl->json)
		printf("overlayd: serial %" PRId64 " is in force\n",
		        ctl_integer(answer, "serial", 0));
	if (sign->wait >= 0)
		rc = load_wait(sign->ctl, sign->policy->serial, sign->wait, &summary);
	if (summary)
		json_object_set_new(answer, "members", summary);
	if (sign->ctl->json)
		ctl_print_json(json_incref(answer));
	json_decref(answer);
	return rc;
}

static int file_out(const struct sign *sign, const char *file, size_t len)
{
	return sign->load ? file_load(sign, file, len) : file_write(sign->ctl, file, len);
}

/* The files say what is in force already: that bundle is the answer. */
static int unchanged(const struct sign *sign)
{
	const struct signer *signer = &sign->signer;
	size_t len = signer->len;

	if (!sign->ctl->json)
		fprintf(stderr, "overlayctl sign: nothing has changed since serial %" PRIu64 "\n",
		        signer->head.serial);
	if (sign->options.text && bundle_split(signer->file, signer->len, &len, NULL, 0))
		return CTL_FAILED;
	return file_out(sign, signer->file, len);
}

static int sign_do(struct sign *sign)
{
	char *file = NULL;
	size_t len;
	int rc = signer_open(&sign->signer, sign->ctl, sign->dir, &sign->options);

	if (rc)
		return rc;
	if (!sign->options.alone && !signer_rotates(&sign->signer, &sign->options) &&
	        sign->policy->serial == sign->signer.head.serial &&
	        signer_same(&sign->signer, sign->policy))
		return unchanged(sign);
	if (policy_undo_take(&sign->undo, sign->dir, NULL, NULL)) {
		ctl_error(sign->ctl, "%s: its files cannot be read", sign->dir);
		return CTL_FAILED;
	}
	rc = serial_raise(sign);
	if (!rc)
		rc = signer_make(&sign->signer, sign->policy, &file, &len);
	if (!rc)
		tell(sign);
	if (!rc)
		rc = file_out(sign, file, len);
	/* 1: it is in force here, but not everywhere yet; 3: perhaps. */
	if (rc && rc != CTL_NO && rc != CTL_UNREACHABLE && policy_undo_run(&sign->undo))
		ctl_error(sign->ctl, "%s: the serial could not be put back", sign->dir);
	free(file);
	return rc;
}

static int option_take(struct sign *sign, int option)
{
	switch (option) {
	case 'k':
		sign->options.key = optarg;
		break;
	case 'p':
		sign->options.parent = optarg;
		break;
	case 'a':
		sign->options.alone = true;
		break;
	case 't':
		sign->options.text = true;
		break;
	case 'n':
		sign->options.next_key = optarg;
		break;
	case 'N':
		sign->options.no_next_key = true;
		break;
	case 'l':
		sign->load = true;
		break;
	case 'P':
		sign->ctl->passphrase_file = optarg;
		break;
	case 'w':
		sign->wait = load_wait_parse(optarg);
		return sign->wait < 0 ? -1 : 0;
	}
	return 0;
}

static int run_sign(struct ctl *ctl, int argc, char **argv)
{
	struct sign sign = {.ctl = ctl, .wait = -1, .signer = {.lock = -1}};
	int option, rc = CTL_FAILED;

	while ((option = ctl_option(ctl, argc, argv)) != -1)
		if (option_take(&sign, option))
			return ctl_usage(ctl, "--wait takes a number of seconds");
	if (argc - optind > 1)
		return ctl_usage(ctl, "one directory is enough");
	if (sign.options.text && (sign.load || sign.options.key))
		return ctl_usage(ctl, "--text is for minisign to sign: no --key, no --load");
	if (sign.wait >= 0 && !sign.load)
		return ctl_usage(ctl, "--wait goes with --load");
	sign.dir = optind < argc ? argv[optind] : ctl->config;
	/* A policy with a fault is told before a passphrase is asked. */
	sign.policy = ctl_policy(ctl, sign.dir, &rc);
	if (sign.policy)
		rc = sign_do(&sign);
	signer_close(&sign.signer);
	policy_undo_clear(&sign.undo);
	policy_unref(sign.policy);
	return rc;
}

static const struct option options[] = {
        {"key", required_argument, NULL, 'k'},
        {"parent", required_argument, NULL, 'p'},
        {"alone", no_argument, NULL, 'a'},
        {"next-key", required_argument, NULL, 'n'},
        {"no-next-key", no_argument, NULL, 'N'},
        {"text", no_argument, NULL, 't'},
        {"load", no_argument, NULL, 'l'},
        {"wait", optional_argument, NULL, 'w'},
        {"passphrase-file", required_argument, NULL, 'P'},
        {0},
};

const struct ctl_command ctl_cmd_sign = {
        .name = "sign",
        .args = "[--load [--wait[=SECONDS]]] [--key FILE] [--parent BUNDLE] [DIR]",
        .summary = "sign the policy's files: the next bundle for all nodes",
        .help = "  --load            hand it to the daemon, which passes it on; else: to stdout\n"
                "  --wait[=SECONDS]  until all members that can be reached have it (10)\n"
                "  --key FILE        the cluster's secret key (CONFIG/cluster.key)\n"
                "  --passphrase-file FILE  its passphrase, one line; \"-\": from stdin\n"
                "  --parent BUNDLE   the bundle in force, which the new one follows; else the\n"
                "                    daemon is asked, or DIR/cluster.bundle is taken\n"
                "  --alone           it stands by itself and replaces any of a lower serial: "
                "ends a FORK\n"
                "  --next-key PUB    the key that is to sign after this one: from now on "
                "bundles of both\n"
                "                    count, and once it has signed one only its own\n"
                "  --no-next-key     none is, after all\n"
                "  --text            only the text, for `minisign -S`; then: overlayctl load\n\n"
                "DIR holds policy.yaml and peers.d/; default: --config. Where the files say "
                "something\n"
                "else than the bundle in force, their serial is raised. By hand, the last four "
                "lines\n"
                "are the signature:\n"
                "  head -n -4 FILE > bundle; tail -n 4 FILE > bundle.minisig\n"
                "  minisign -V -p cluster.pub -m bundle\n",
        .options = options,
        .run = run_sign,
};

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "ctl/adopt.h"
#include "ctl/edit.h"
#include "ctl/guests.h"
#include "ctl/pending.h"
#include "ctl/secret.h"
#include "policy/voucher.h"

#define LIST_MAX 64

#define OVERLAP_S 600 /* an old key counts so long */

struct lists {
	const char *voucher;
	int64_t overlap;
	const char *roles[LIST_MAX];
	const char *endpoints[LIST_MAX];
	char key[1024];
};

static int option_take(int option, struct policy_approval *approval, struct lists *lists)
{
	char *end;

	switch (option) {
	case 'v':
		lists->voucher = optarg;
		return 0;
	case 'o':
		lists->overlap = strtol(optarg, &end, 10);
		return *end || lists->overlap < 1 || lists->overlap > POLICY_OLD_KEY_MAX_S ? -2 : 0;
	case 'a':
		approval->address = optarg;
		return 0;
	case 's':
		approval->site = optarg;
		return 0;
	case 'u':
		approval->until = optarg;
		return 0;
	case 'h':
		approval->hours = optarg;
		return 0;
	case 'r':
		if (approval->n_roles == LIST_MAX)
			return -1;
		lists->roles[approval->n_roles++] = optarg;
		return 0;
	case 'e':
		if (approval->n_endpoints == LIST_MAX)
			return -1;
		lists->endpoints[approval->n_endpoints++] = optarg;
		return 0;
	}
	return -1;
}

/* A key that was pasted without quotes comes as two or three words. */
static bool key_join(char *key, size_t size, char **words, int n)
{
	size_t len = 0;

	key[0] = '\0';
	for (int i = 0; i < n; i++)
		len += (size_t)snprintf(key + (len < size ? len : size - 1),
		        len < size ? size - len : 1, "%s%s", i ? " " : "", words[i]);
	return len < size;
}

static int voucher_read(struct ctl *ctl, const char *path, struct policy_voucher *out)
{
	char err[256];
	size_t len;
	char *text;
	int rc = secret_file_read(ctl, path, POLICY_VOUCHER_LINE_MAX, &text, &len);

	if (rc)
		return rc;
	if (policy_voucher_parse(text, len, out, err, sizeof(err))) {
		ctl_error(ctl, "%s: %s", path, err);
		rc = CTL_FAILED;
	}
	free(text);
	return rc;
}

/* The word of a node that it changes its key: what is asked of the admin is just to confirm it. */
static int rekey(struct edit *edit, const struct lists *lists, const struct policy_voucher *voucher,
        int argc, char **argv)
{
	char written[192], fingerprint[POLICY_FINGERPRINT_LEN];
	const char *name = argv[optind];
	const struct policy_rekey change = {
	        name, voucher->old_key, voucher->key, time(NULL) + lists->overlap};
	int rc;

	if (strcmp(voucher->name, name) != 0) {
		ctl_error(edit->ctl, "the voucher is of %s, not of %s", voucher->name, name);
		return CTL_FAILED;
	}
	rc = edit_begin(edit, name, argc, argv);
	if (rc)
		return rc;
	policy_key_fingerprint(&voucher->key, fingerprint);
	if (edit->old && strcmp(edit->old->cluster, voucher->cluster) != 0)
		ctl_error(edit->ctl, "warning: the voucher is of cluster %s", voucher->cluster);
	rc = policy_edit_rekey(edit->ctl->config, &change, &edit->new_policy, &edit->report);
	snprintf(written, sizeof(written), "%s has the new key %s", name, fingerprint);
	return edit_end(edit, rc, written);
}

/*
 * Who waits: a newcomer, whose key is that of the entry, with its name as the comment; or a member
 * that changes its key, which its voucher proves here once more.
 */
static int pending_take(struct ctl *ctl, const char *name, const char *prefix, char *key,
        size_t size, struct policy_voucher *voucher)
{
	const char *line;
	char err[256];
	json_t *entry;
	int rc = pending_find(ctl, name, prefix, &entry);

	if (rc)
		return rc;
	line = ctl_string(entry, "voucher", "");
	snprintf(key, size, "%s %s", ctl_string(entry, "key", ""), name);
	if (*line && policy_voucher_parse(line, strlen(line), voucher, err, sizeof(err))) {
		ctl_error(ctl, "its voucher: %s", err);
		rc = CTL_FAILED;
	}
	json_decref(entry);
	return rc;
}

static int approve(struct edit *edit, struct policy_approval *approval, struct lists *lists,
        const json_t *tokens, int argc, char **argv)
{
	char written[128], address[INET6_ADDRSTRLEN];
	int rc = edit_begin(edit, approval->name, argc, argv);

	if (rc)
		return rc;
	approval->key = lists->key;
	approval->roles = lists->roles;
	approval->endpoints = lists->endpoints;
	adopt_guest(edit->ctl, tokens, approval, lists->roles, LIST_MAX);
	rc = adopt_address(edit->ctl, edit->old, tokens, approval, address);
	if (rc)
		return edit_drop(edit, rc);
	rc = policy_edit_approve(edit->ctl->config, approval, &edit->new_policy, &edit->report);
	snprintf(written, sizeof(written), "%s is approved", approval->name);
	return edit_end(edit, rc, written);
}

/* Whose fingerprint it is: that of a guest, or of one that waits. */
static int fingerprint_take(struct ctl *ctl, const json_t *tokens, char **args, struct lists *lists,
        struct policy_voucher *voucher)
{
	if (adopt_key(tokens, args[0], args[1], lists->key, sizeof(lists->key)))
		return CTL_OK;
	return pending_take(ctl, args[0], args[1], lists->key, sizeof(lists->key), voucher);
}

/* The name and the key, or its fingerprint. */
static int arguments_take(struct edit *edit, struct policy_approval *approval, struct lists *lists,
        int argc, char **argv)
{
	struct policy_voucher voucher = {0};
	struct ctl *ctl = edit->ctl;
	json_t *tokens;
	int rc = CTL_OK;

	if (argc - optind == 1)
		return ctl_usage(ctl,
		        "a name alone is anybody's: give the key, or the fingerprint that the "
		        "newcomer's own console shows");
	if (argc - optind < 2)
		return ctl_usage(ctl, "NAME and KEY are needed");
	tokens = guests_ask(ctl);
	if (argc - optind == 2 && pending_is_fingerprint(argv[optind + 1]))
		rc = fingerprint_take(ctl, tokens, argv + optind, lists, &voucher);
	else if (argc - optind > 4 ||
	         !key_join(lists->key, sizeof(lists->key), argv + optind + 1, argc - optind - 1))
		rc = ctl_usage(ctl, "KEY is one text: put it into quotes");
	approval->name = argv[optind];
	if (!rc && *voucher.name)
		rc = rekey(edit, lists, &voucher, argc, argv);
	else if (!rc)
		rc = approve(edit, approval, lists, tokens, argc, argv);
	json_decref(tokens);
	return rc;
}

static int run_approve(struct ctl *ctl, int argc, char **argv)
{
	struct policy_approval approval = {0};
	struct lists lists = {.overlap = OVERLAP_S};
	struct policy_voucher voucher = {0};
	struct edit edit;
	int option, rc;

	edit_init(ctl, &edit);
	while ((option = ctl_option(ctl, argc, argv)) != -1) {
		rc = edit_option(&edit, option);
		if (rc == -2)
			return CTL_USAGE;
		if (rc == -1)
			rc = option_take(option, &approval, &lists);
		if (rc == -2)
			return ctl_usage(
			        ctl, "--overlap takes seconds, up to %u", POLICY_OLD_KEY_MAX_S);
		if (rc < 0)
			return ctl_usage(ctl, "more than %d roles or endpoints", LIST_MAX);
	}
	if (lists.voucher && argc - optind != 1)
		return ctl_usage(ctl, "--voucher goes with NAME alone");
	if (lists.voucher) {
		rc = voucher_read(ctl, lists.voucher, &voucher);
		return rc ? rc : rekey(&edit, &lists, &voucher, argc, argv);
	}
	return arguments_take(&edit, &approval, &lists, argc, argv);
}

static const struct option options[] = {
        {"address", required_argument, NULL, 'a'},
        {"site", required_argument, NULL, 's'},
        {"role", required_argument, NULL, 'r'},
        {"endpoint", required_argument, NULL, 'e'},
        {"until", required_argument, NULL, 'u'},
        {"hours", required_argument, NULL, 'h'},
        {"voucher", required_argument, NULL, 'v'},
        {"overlap", required_argument, NULL, 'o'},
        EDIT_OPTIONS,
        {0},
};

const struct ctl_command ctl_cmd_approve = {
        .name = "approve",
        .args = "NAME KEY|FINGERPRINT|--voucher FILE [OPTION...]",
        .summary = "let a node in: add it to the policy, and tell the daemon",
        .help = "KEY is the node's public key as overlayctl id prints it there: \"ssh-ed25519 "
                "AAAA...\"\n"
                "FINGERPRINT: of a newcomer, or of a member's next key, that waits (overlayctl "
                "pending), at least its first "
                "eight letters\nbehind SHA256:\n\n"
                "  --address ADDR   its overlay IPv4 address (the next free one)\n"
                "  --site SITE      its site (the only one, if there is only one)\n"
                "  --role ROLE      a role; may be given several times\n"
                "  --endpoint HOST  where others reach it; may be given several times\n"
                "  --until DATE     the last day it may take part: 2026-12-31\n"
                "  --hours HOURS    when it may take part: \"Mon-Fri 18:00-08:00\"\n"
                "  --voucher FILE   what `overlayctl rotate` printed there: it changes its key\n"
                "  --overlap SEC    then: so long its old key counts too (600)\n\n" EDIT_HELP
                "Writes peers.d/NAME.yaml and raises the serial, but only if the policy is good "
                "with it.\n"
                "With a key it is signed, and goes to all members. Without, the policy of other "
                "nodes is\n"
                "not changed: bring it there too.\n"
                "A guest of a token (overlayctl token list), by its key or fingerprint, becomes a "
                "peer of the\n"
                "policy's own, with the address, site and roles that it has, unless others are "
                "given.\n",
        .options = options,
        .run = run_approve,
};

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>

#include "ctl/edit.h"

#define LIST_MAX 64

struct lists {
	const char *roles[LIST_MAX];
	const char *endpoints[LIST_MAX];
	char key[1024];
};

static int option_take(int option, struct policy_approval *approval, struct lists *lists)
{
	switch (option) {
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

static int run_approve(struct ctl *ctl, int argc, char **argv)
{
	struct policy_approval approval = {0};
	struct lists lists = {0};
	struct edit edit;
	char written[128];
	int option, rc;

	edit_init(ctl, &edit);
	while ((option = ctl_option(ctl, argc, argv)) != -1) {
		rc = edit_option(&edit, option);
		if (rc == -2)
			return CTL_USAGE;
		if (rc == -1 && option_take(option, &approval, &lists) < 0)
			return ctl_usage(ctl, "more than %d roles or endpoints", LIST_MAX);
	}
	if (argc - optind < 2)
		return ctl_usage(ctl, "NAME and KEY are needed");
	if (argc - optind > 4 ||
	        !key_join(lists.key, sizeof(lists.key), argv + optind + 1, argc - optind - 1))
		return ctl_usage(ctl, "KEY is one text: put it into quotes");
	approval.name = argv[optind];
	approval.key = lists.key;
	approval.roles = lists.roles;
	approval.endpoints = lists.endpoints;
	rc = edit_begin(&edit, approval.name, argc, argv);
	if (rc)
		return rc;
	rc = policy_edit_approve(ctl->config, &approval, &edit.new_policy, &edit.report);
	snprintf(written, sizeof(written), "%s is approved", approval.name);
	return edit_end(&edit, rc, written);
}

static const struct option options[] = {
        {"address", required_argument, NULL, 'a'},
        {"site", required_argument, NULL, 's'},
        {"role", required_argument, NULL, 'r'},
        {"endpoint", required_argument, NULL, 'e'},
        {"until", required_argument, NULL, 'u'},
        {"hours", required_argument, NULL, 'h'},
        EDIT_OPTIONS,
        {0},
};

const struct ctl_command ctl_cmd_approve = {
        .name = "approve",
        .args = "NAME KEY [OPTION...]",
        .summary = "let a node in: add it to the policy, and tell the daemon",
        .help = "KEY is the node's public key as overlayctl id prints it there: \"ssh-ed25519 "
                "AAAA...\"\n\n"
                "  --address ADDR   its overlay IPv4 address (the next free one)\n"
                "  --site SITE      its site (the only one, if there is only one)\n"
                "  --role ROLE      a role; may be given several times\n"
                "  --endpoint HOST  where others reach it; may be given several times\n"
                "  --until DATE     the last day it may take part: 2026-12-31\n"
                "  --hours HOURS    when it may take part: \"Mon-Fri 18:00-08:00\"\n\n" EDIT_HELP
                "Writes peers.d/NAME.yaml and raises the serial, but only if the policy is good "
                "with it.\n"
                "With a key it is signed, and goes to all members. Without, the policy of other "
                "nodes is\n"
                "not changed: bring it there too.\n",
        .options = options,
        .run = run_approve,
};

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/clusterkey.h"

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

static int run_key(struct ctl *ctl, int argc, char **argv)
{
	char pub_path[PATH_MAX];
	struct minisign_public pub;
	const char *path;
	bool clear = false;
	int option, rc;

	while ((option = ctl_option(ctl, argc, argv)) != -1) {
		if (option == 'n')
			clear = true;
		else
			ctl->passphrase_file = optarg;
	}
	if (argc - optind != 1)
		return ctl_usage(ctl, "one file is wanted");
	path = argv[optind];
	if (public_path(path, pub_path)) {
		ctl_error(ctl, "%s: %s", path, strerror(ENAMETOOLONG));
		return CTL_FAILED;
	}
	rc = clusterkey_make(ctl, path, pub_path, clear, &pub);
	return rc ? rc : tell(ctl, path, pub_path, &pub);
}

static const struct option options[] = {
        {"no-passphrase", no_argument, NULL, 'n'},
        {"passphrase-file", required_argument, NULL, 'P'},
        {0},
};

const struct ctl_command ctl_cmd_key = {
        .name = "key",
        .args = "[--no-passphrase | --passphrase-file PATH] FILE",
        .summary = "make the cluster's key, which signs policies",
        .help = "  --no-passphrase         do not encrypt the secret key\n"
                "  --passphrase-file PATH  its passphrase is the first line there; \"-\": stdin\n\n"
                "Writes the secret key to FILE (mode 0600) and the public one beside it:\n"
                "cluster.key and cluster.pub. Both are files of minisign. What is there is never\n"
                "touched. The passphrase is asked on the terminal.\n",
        .options = options,
        .run = run_key,
};

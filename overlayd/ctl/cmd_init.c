/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client/nodekey.h"
#include "client/paths.h"
#include "ctl/ctl.h"
#include "policy/policy_edit.h"

static int fail_file(struct ctl *ctl, const char *path, int error)
{
	ctl_error(ctl, "%s: %s", path, strerror(-error));
	return error == -EACCES || error == -EPERM || error == -EROFS ? CTL_PERMISSION : CTL_FAILED;
}

static int write_all(int fd, const char *text)
{
	size_t len = strlen(text);

	while (len) {
		ssize_t n = write(fd, text, len);

		if (n < 0 && errno != EINTR)
			return -errno;
		text += n > 0 ? n : 0;
		len -= n > 0 ? (size_t)n : 0;
	}
	return fsync(fd) < 0 ? -errno : 0;
}

/* Whole or not at all, and never over a policy that is there: link() does not replace. */
static int policy_write(const char *path, const char *text)
{
	char temp[PATH_MAX + 8];
	int fd, rc;

	snprintf(temp, sizeof(temp), "%s.XXXXXX", path);
	fd = mkostemp(temp, O_CLOEXEC);
	if (fd < 0)
		return -errno;
	rc = fchmod(fd, 0644) < 0 ? -errno : write_all(fd, text);
	if (close(fd) < 0 && !rc)
		rc = -errno;
	if (!rc && link(temp, path) < 0)
		rc = -errno;
	unlink(temp);
	return rc;
}

static int directories_make(struct ctl *ctl)
{
	char peers[PATH_MAX];

	if (mkdir(ctl->config, 0755) < 0 && errno != EEXIST)
		return fail_file(ctl, ctl->config, -errno);
	snprintf(peers, sizeof(peers), "%s/" OVERLAY_PEERS_DIR, ctl->config);
	if (mkdir(peers, 0755) < 0 && errno != EEXIST)
		return fail_file(ctl, peers, -errno);
	return CTL_OK;
}

static int files_make(struct ctl *ctl, const struct policy_start *start)
{
	struct policy_report report;
	char path[PATH_MAX], *text;
	int rc;

	policy_report_init(&report);
	text = policy_init_text(start, &report);
	if (!text) {
		policy_report_print(&report, stderr, ctl_colour(ctl, stderr));
		ctl_error(ctl, "nothing was written");
		policy_report_clear(&report);
		return CTL_FAILED;
	}
	policy_report_clear(&report);
	snprintf(path, sizeof(path), "%s/" OVERLAY_POLICY_FILE, ctl->config);
	rc = directories_make(ctl);
	if (!rc) {
		rc = policy_write(path, text);
		rc = rc < 0 ? fail_file(ctl, path, rc) : CTL_OK;
	}
	free(text);
	return rc;
}

static int tell(struct ctl *ctl, const struct policy_start *start, const struct policy_key *key)
{
	char fingerprint[POLICY_FINGERPRINT_LEN], path[PATH_MAX];

	policy_key_fingerprint(key, fingerprint);
	ctl_key_path(ctl, path, sizeof(path));
	if (ctl->json)
		return ctl_print_json(json_pack("{s:s, s:s, s:s, s:s}", "policy", ctl->config,
		        "name", start->name, "key_file", path, "fingerprint", fingerprint));
	printf("%s/" OVERLAY_POLICY_FILE ": written, with this node as %s\n"
	       "%s: this node's key, %s\n\n"
	       "Next: say in it who may do what, then\n"
	       "  overlayctl check\n"
	       "  systemctl enable --now overlayd\n"
	       "On each other node: overlayctl id; here: overlayctl approve NAME KEY; then copy\n"
	       "%s to them all.\n",
	        ctl->config, start->name, path, fingerprint, ctl->config);
	return CTL_OK;
}

static int run_init(struct ctl *ctl, int argc, char **argv)
{
	char path[PATH_MAX], err[512], key_text[96], host[POLICY_NAME_MAX + 1];
	struct policy_start start = {0};
	struct policy_key key;
	int option, rc;

	while ((option = ctl_option(ctl, argc, argv)) != -1)
		*(option == 'c'         ? &start.cluster
		        : option == 'o' ? &start.overlay
		        : option == 'n' ? &start.name
		                        : &start.endpoint) = optarg;
	if (argc > optind)
		return ctl_usage(ctl, "no arguments are taken");
	snprintf(path, sizeof(path), "%s/" OVERLAY_POLICY_FILE, ctl->config);
	if (!access(path, F_OK)) {
		ctl_error(ctl, "%s: there is a policy already; it is left as it is", path);
		return CTL_FAILED;
	}
	rc = nodekey_ensure(ctl_key_path(ctl, path, sizeof(path)), key.raw, NULL, err, sizeof(err));
	if (rc < 0) {
		ctl_error(ctl, "%s", err);
		return rc == -EACCES || rc == -EPERM ? CTL_PERMISSION : CTL_FAILED;
	}
	ctl_host_name(host);
	start.name = start.name ? start.name : host;
	policy_key_print(&key, key_text, sizeof(key_text));
	start.key = key_text;
	rc = files_make(ctl, &start);
	return rc ? rc : tell(ctl, &start, &key);
}

static const struct option options[] = {
        {"cluster", required_argument, NULL, 'c'},
        {"overlay", required_argument, NULL, 'o'},
        {"name", required_argument, NULL, 'n'},
        {"endpoint", required_argument, NULL, 'e'},
        {0},
};

const struct ctl_command ctl_cmd_init = {
        .name = "init",
        .args = "[--cluster NAME] [--overlay NETWORK] [--name NAME] [--endpoint HOST]",
        .summary = "the first policy of a new cluster, and this node's key",
        .help = "  --cluster NAME     the cluster's name (cluster)\n"
                "  --overlay NETWORK  its IPv4 network (10.77.0.0/16)\n"
                "  --name NAME        this node's name (the host's)\n"
                "  --endpoint HOST    where others reach this node\n\n"
                "A policy that is there is never touched; neither is a key.\n",
        .options = options,
        .run = run_init,
};

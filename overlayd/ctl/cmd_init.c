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
#include "ctl/clusterkey.h"
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

static char *text_make(struct ctl *ctl, const struct policy_start *start)
{
	struct policy_report report;
	char *text;

	policy_report_init(&report);
	text = policy_init_text(start, &report);
	if (!text) {
		policy_report_print(&report, stderr, ctl_colour(ctl, stderr));
		ctl_error(ctl, "nothing was written");
	}
	policy_report_clear(&report);
	return text;
}

/* A name that cannot be is told before a key is made for it. */
static int text_check(struct ctl *ctl, const struct policy_start *start)
{
	char *text = text_make(ctl, start);

	free(text);
	return text ? CTL_OK : CTL_FAILED;
}

static int files_make(struct ctl *ctl, const struct policy_start *start)
{
	char path[PATH_MAX], *text = text_make(ctl, start);
	int rc;

	if (!text)
		return CTL_FAILED;
	snprintf(path, sizeof(path), "%s/" OVERLAY_POLICY_FILE, ctl->config);
	rc = policy_write(path, text);
	free(text);
	return rc < 0 ? fail_file(ctl, path, rc) : CTL_OK;
}

/* The cluster key that comes with it. */
struct init_key {
	const char *path; /* NULL: none is made */
	char pub_path[PATH_MAX];
	bool clear;
	struct minisign_public pub;
};

static int tell_json(struct ctl *ctl, const struct policy_start *start, const char *path,
        const char *fingerprint, const struct init_key *cluster)
{
	json_t *out = json_pack("{s:s, s:s, s:s, s:s}", "policy", ctl->config, "name", start->name,
	        "key_file", path, "fingerprint", fingerprint);
	char id[17];

	if (cluster->path) {
		minisign_id_print(&cluster->pub, id);
		json_object_set_new(out, "cluster_key",
		        json_pack("{s:s, s:s, s:s}", "secret_key", cluster->path, "public_key_file",
		                cluster->pub_path, "id", id));
	}
	return ctl_print_json(out);
}

static void tell_next(const struct ctl *ctl, const struct init_key *cluster)
{
	if (!cluster->path) {
		printf("Next: say in it who may do what, then\n"
		       "  overlayctl check\n"
		       "  systemctl enable --now overlayd\n"
		       "On each other node: overlayctl id; here: overlayctl approve NAME KEY; then "
		       "copy\n"
		       "%s to them all.\n",
		        ctl->config);
		return;
	}
	printf("Who has %s makes policies for the whole cluster: keep a copy\n"
	       "where it cannot be lost, and never on another node. You may move it away from "
	       "here, "
	       "and\n"
	       "name it with --key.\n\n"
	       "Next: say in the policy who may do what, then\n"
	       "  overlayctl check\n"
	       "  systemctl enable --now overlayd\n"
	       "  overlayctl sign --load\n"
	       "Then for each other node (this one needs an endpoint in the policy for that):\n"
	       "  overlayctl ticket                              here: prints a line\n"
	       "  overlayctl join LINE                           there: asks, and shows its key\n"
	       "  overlayctl pending                             here: compare that key\n"
	       "  overlayctl approve NAME SHA256:... --role ...  here: lets it in\n",
	        cluster->path);
}

static int tell(struct ctl *ctl, const struct policy_start *start, const struct policy_key *key,
        const struct init_key *cluster)
{
	char fingerprint[POLICY_FINGERPRINT_LEN], path[PATH_MAX];

	policy_key_fingerprint(key, fingerprint);
	ctl_key_path(ctl, path, sizeof(path));
	if (ctl->json)
		return tell_json(ctl, start, path, fingerprint, cluster);
	printf("%s/" OVERLAY_POLICY_FILE ": written, with this node as %s\n"
	       "%s: this node's key, %s\n",
	        ctl->config, start->name, path, fingerprint);
	if (cluster->path)
		printf("%s: the cluster's secret key, which signs policies%s\n"
		       "%s: its public half, for every node\n",
		        cluster->path, cluster->clear ? " (it has no passphrase)" : "",
		        cluster->pub_path);
	putchar('\n');
	tell_next(ctl, cluster);
	return CTL_OK;
}

static int cluster_key_make(struct ctl *ctl, struct init_key *cluster)
{
	static char path[PATH_MAX];

	snprintf(cluster->pub_path, sizeof(cluster->pub_path), "%s/" OVERLAY_CLUSTER_PUB,
	        ctl->config);
	if (!cluster->path) {
		snprintf(path, sizeof(path), "%s/" OVERLAY_CLUSTER_KEY, ctl->config);
		cluster->path = path;
	}
	return clusterkey_make(
	        ctl, cluster->path, cluster->pub_path, cluster->clear, &cluster->pub);
}

struct init {
	struct policy_start start;
	struct init_key cluster;
	bool no_key;
};

static void option_take(struct ctl *ctl, struct init *init, int option)
{
	switch (option) {
	case 'c':
		init->start.cluster = optarg;
		break;
	case 'o':
		init->start.overlay = optarg;
		break;
	case 'n':
		init->start.name = optarg;
		break;
	case 'e':
		init->start.endpoint = optarg;
		break;
	case 'k':
		init->cluster.path = optarg;
		break;
	case 'K':
		init->no_key = true;
		break;
	case 'p':
		init->cluster.clear = true;
		break;
	case 'P':
		ctl->passphrase_file = optarg;
		break;
	}
}

/* The policy last: where it stands, all is there. */
static int init_do(struct ctl *ctl, struct init *init)
{
	char path[PATH_MAX], err[512], key_text[96];
	struct policy_key key;
	int rc = nodekey_ensure(
	        ctl_key_path(ctl, path, sizeof(path)), key.raw, NULL, err, sizeof(err));

	if (rc < 0) {
		ctl_error(ctl, "%s", err);
		return rc == -EACCES || rc == -EPERM ? CTL_PERMISSION : CTL_FAILED;
	}
	policy_key_print(&key, key_text, sizeof(key_text));
	init->start.key = key_text;
	rc = text_check(ctl, &init->start);
	if (!rc)
		rc = directories_make(ctl);
	if (!rc && !init->no_key)
		rc = cluster_key_make(ctl, &init->cluster);
	if (!rc)
		rc = files_make(ctl, &init->start);
	return rc ? rc : tell(ctl, &init->start, &key, &init->cluster);
}

static int run_init(struct ctl *ctl, int argc, char **argv)
{
	char path[PATH_MAX], host[POLICY_NAME_MAX + 1];
	struct init init = {0};
	int option;

	while ((option = ctl_option(ctl, argc, argv)) != -1)
		option_take(ctl, &init, option);
	if (argc > optind)
		return ctl_usage(ctl, "no arguments are taken");
	if (init.no_key && (init.cluster.path || init.cluster.clear || ctl->passphrase_file))
		return ctl_usage(ctl, "--no-key makes no cluster key");
	snprintf(path, sizeof(path), "%s/" OVERLAY_POLICY_FILE, ctl->config);
	if (!access(path, F_OK)) {
		ctl_error(ctl, "%s: there is a policy already; it is left as it is", path);
		return CTL_FAILED;
	}
	ctl_host_name(host);
	init.start.name = init.start.name ? init.start.name : host;
	return init_do(ctl, &init);
}

static const struct option options[] = {
        {"cluster", required_argument, NULL, 'c'},
        {"overlay", required_argument, NULL, 'o'},
        {"name", required_argument, NULL, 'n'},
        {"endpoint", required_argument, NULL, 'e'},
        {"cluster-key", required_argument, NULL, 'k'},
        {"no-passphrase", no_argument, NULL, 'p'},
        {"passphrase-file", required_argument, NULL, 'P'},
        {"no-key", no_argument, NULL, 'K'},
        {0},
};

const struct ctl_command ctl_cmd_init = {
        .name = "init",
        .args = "[--cluster NAME] [--overlay NETWORK] [--name NAME] [--endpoint HOST] [OPTION...]",
        .summary = "the first policy of a new cluster, its key, and this node's key",
        .help = "  --cluster NAME     the cluster's name (cluster)\n"
                "  --overlay NETWORK  its IPv4 network (10.77.0.0/16)\n"
                "  --name NAME        this node's name (the host's)\n"
                "  --endpoint HOST    where others reach this node\n"
                "  --cluster-key FILE where the key that signs policies is to be "
                "(CONFIG/cluster.key)\n"
                "  --passphrase-file FILE  its passphrase, one line (\"-\": stdin); else it is "
                "asked\n"
                "  --no-passphrase    do not encrypt it\n"
                "  --no-key           no key: the policy is not signed, its files are brought to "
                "each node\n\n"
                "A policy that is there is never touched; neither is a key.\n",
        .options = options,
        .run = run_init,
};

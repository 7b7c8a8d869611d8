/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <dirent.h>
#include <errno.h>
#include <grp.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client/nodekey.h"
#include "client/paths.h"
#include "ctl/doctor.h"

/* Who may write a policy decides who is let in. */
static bool rights_good(json_t *checks, const char *path, mode_t never)
{
	char mend[PATH_MAX + 32];
	struct stat st;

	if (stat(path, &st) < 0) {
		doctor_add(checks, "rights", "bad", errno == ENOENT ? "overlayctl init" : "",
		        "%s: %s", path, strerror(errno));
		return false;
	}
	if (st.st_uid && st.st_uid != geteuid()) {
		snprintf(mend, sizeof(mend), "chown root %s", path);
		doctor_add(checks, "rights", "bad", mend, "%s: belongs to user %u, not to root",
		        path, (unsigned)st.st_uid);
		return false;
	}
	if (st.st_mode & never) {
		snprintf(mend, sizeof(mend), "chmod %s %s", never & 044 ? "go-rwx" : "go-w", path);
		doctor_add(checks, "rights", "bad", mend, "%s: mode %04o gives others too much",
		        path, (unsigned)(st.st_mode & 07777));
		return false;
	}
	return true;
}

static bool peers_good(json_t *checks, const char *dir)
{
	char path[PATH_MAX];
	DIR *stream = opendir(dir);
	struct dirent *entry;
	bool good = true;

	while (stream && good && (entry = readdir(stream))) {
		const char *dot = strrchr(entry->d_name, '.');

		if (entry->d_name[0] == '.' || !dot || strcmp(dot, ".yaml"))
			continue;
		if (snprintf(path, sizeof(path), "%s/%s", dir, entry->d_name) < (int)sizeof(path))
			good = rights_good(checks, path, 022);
	}
	if (stream)
		closedir(stream);
	return good;
}

/* A node of a cluster with a key gets its policy signed: it may have no files at all. */
static bool files_not_needed(const struct ctl *ctl)
{
	char path[PATH_MAX], pub[PATH_MAX];

	snprintf(path, sizeof(path), "%s/" OVERLAY_POLICY_FILE, ctl->config);
	snprintf(pub, sizeof(pub), "%s/" OVERLAY_CLUSTER_PUB, ctl->config);
	return access(path, F_OK) && errno == ENOENT && !access(pub, F_OK);
}

static void check_rights(struct ctl *ctl, json_t *checks)
{
	char path[PATH_MAX];
	struct stat st;
	bool good = rights_good(checks, ctl->config, 022);

	snprintf(path, sizeof(path), "%s/" OVERLAY_POLICY_FILE, ctl->config);
	good = good && (files_not_needed(ctl) || rights_good(checks, path, 022));
	snprintf(path, sizeof(path), "%s/" OVERLAY_CLUSTER_PUB, ctl->config);
	if (!stat(path, &st))
		good = rights_good(checks, path, 022) && good;
	snprintf(path, sizeof(path), "%s/" OVERLAY_CLUSTER_KEY, ctl->config);
	if (!stat(path, &st))
		good = rights_good(checks, path, 077) && good;
	snprintf(path, sizeof(path), "%s/" OVERLAY_PEERS_DIR, ctl->config);
	if (!stat(path, &st))
		good = rights_good(checks, path, 022) && peers_good(checks, path) && good;
	if (!stat(ctl->state, &st))
		good = rights_good(checks, ctl->state, 022) && good;
	if (good)
		doctor_add(checks, "rights", "ok", "",
		        "only root may change the policy and the state");
}

static void check_key(struct ctl *ctl, json_t *checks, struct policy_key *key, bool *have)
{
	char path[PATH_MAX], err[512], fingerprint[POLICY_FINGERPRINT_LEN];
	int rc = nodekey_load(ctl_key_path(ctl, path, sizeof(path)), key->raw, err, sizeof(err));

	*have = !rc;
	if (rc == -EACCES) {
		doctor_add(checks, "node key", "warn", "run this as root", "%s", err);
	} else if (rc < 0) {
		doctor_add(checks, "node key", rc == -ENOENT ? "warn" : "bad",
		        rc == -ENOENT ? "start overlayd, or: overlayctl id" : "see the text", "%s",
		        err);
	} else {
		policy_key_fingerprint(key, fingerprint);
		doctor_add(checks, "node key", "ok", "", "%s", fingerprint);
	}
}

static void check_zones(json_t *checks, const struct policy *policy)
{
	char path[PATH_MAX];

	if (access("/usr/share/zoneinfo/UTC", R_OK) < 0) {
		doctor_add(checks, "time zones", "warn", "apt install tzdata",
		        "there is no /usr/share/zoneinfo: `hours` of peers cannot be judged");
		return;
	}
	for (size_t i = 0; policy && i < policy->n_sites; i++) {
		snprintf(path, sizeof(path), "/usr/share/zoneinfo/%s", policy->sites[i].timezone);
		if (!access(path, R_OK))
			continue;
		doctor_add(checks, "time zones", "bad",
		        "apt install tzdata, or mend the site's timezone", "site %s: %s: %s",
		        policy->sites[i].name, path, strerror(errno));
		return;
	}
	doctor_add(checks, "time zones", "ok", "", "all that the policy names are installed");
}

static void check_policy(
        struct ctl *ctl, json_t *checks, const struct policy_key *key, struct policy **out)
{
	struct policy_report report;
	const struct policy_peer *self;
	int rc;

	if (files_not_needed(ctl)) {
		doctor_add(checks, "policy files", "ok", "",
		        "%s has none: the policy comes as a signed bundle", ctl->config);
		return;
	}
	policy_report_init(&report);
	rc = policy_load(ctl->config, out, &report);
	if (rc < 0)
		doctor_add(checks, "policy files", "bad", "overlayctl check",
		        "%s: errors: %zu; the first: %s", ctl->config, report.n_errors,
		        report.n_faults ? report.faults[0].message : strerror(-rc));
	else
		doctor_add(checks, "policy files", report.n_warnings ? "warn" : "ok",
		        report.n_warnings ? "overlayctl check" : "",
		        "serial %llu, peers: %zu, warnings: %zu",
		        (unsigned long long)(*out)->serial, (*out)->n_peers, report.n_warnings);
	policy_report_clear(&report);
	if (rc < 0 || !key)
		return;
	self = policy_peer_by_key(*out, key);
	if (self)
		doctor_add(checks, "this node", "ok", "", "is %s in the policy", self->name);
	else
		doctor_add(checks, "this node", "bad",
		        "overlayctl id prints the line that the policy needs, on every node",
		        "the policy does not know this node's key: it gets no tunnels");
}

static void check_group(json_t *checks)
{
	if (getgrnam(OVERLAY_GROUP))
		doctor_add(checks, "group", "ok", "",
		        "members of " OVERLAY_GROUP " may use overlayctl");
	else
		doctor_add(checks, "group", "ok", "",
		        "there is no group " OVERLAY_GROUP ": only root may use overlayctl");
}

void doctor_files(struct ctl *ctl, json_t *checks)
{
	struct policy *policy = NULL;
	struct policy_key key;
	bool have;

	check_rights(ctl, checks);
	check_group(checks);
	check_key(ctl, checks, &key, &have);
	check_policy(ctl, checks, have ? &key : NULL, &policy);
	check_zones(checks, policy);
	policy_unref(policy);
}

uint16_t doctor_policy_port(struct ctl *ctl)
{
	struct policy_report report;
	struct policy *policy = NULL;
	uint16_t port = 4500;

	policy_report_init(&report);
	if (!policy_load(ctl->config, &policy, &report))
		port = policy->port;
	policy_report_clear(&report);
	policy_unref(policy);
	return port;
}

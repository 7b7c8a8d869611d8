/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ctl/signer.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#include "client/paths.h"
#include "ctl/secret.h"

static const char *path_in(const char *dir, const char *name, char buf[PATH_MAX])
{
	snprintf(buf, PATH_MAX, "%s/%s", dir, name);
	return buf;
}

bool signer_wanted(const char *dir)
{
	char path[PATH_MAX];

	return !access(path_in(dir, OVERLAY_CLUSTER_PUB, path), F_OK);
}

/* ---- the key */

static int key_read(struct signer *signer, const char *given)
{
	char path[PATH_MAX];
	const char *key = given;

	if (!key)
		key = path_in(signer->ctl->config, OVERLAY_CLUSTER_KEY, path);
	if (!given && access(key, F_OK)) {
		ctl_error(signer->ctl,
		        "%s: the cluster's secret key is not here; name it with --key, or run "
		        "this where it is",
		        key);
		return CTL_FAILED;
	}
	secret_guard();
	return secret_read(signer->ctl, key, &signer->secret);
}

/* ---- the bundle in force */

static int bundle_ask(struct signer *signer)
{
	json_t *answer, *text;
	struct overlay *overlay;
	char *result = NULL;
	int rc = overlay_connect(&overlay, signer->ctl->socket, 5000);

	if (rc >= 0)
		rc = overlay_request(overlay, "bundle", NULL, &result, 60000);
	/* No daemon, or no bundle: there is no parent. */
	if (rc < 0 && rc != -ENOENT && rc != -ECONNREFUSED) {
		ctl_error(signer->ctl,
		        "overlayd cannot be asked which bundle is in force: %s; name it with "
		        "--parent",
		        overlay_error(overlay));
		overlay_close(overlay);
		return ctl_exit_of(rc);
	}
	overlay_close(overlay);
	if (rc < 0)
		return CTL_OK;
	answer = json_loads(result, 0, NULL);
	free(result);
	text = json_object_get(answer, "file");
	signer->len = json_string_length(text);
	if (signer->len)
		signer->file = strndup(json_string_value(text), signer->len);
	json_decref(answer);
	return signer->file ? CTL_OK : CTL_UNREACHABLE;
}

static int bundle_find(struct signer *signer, const char *given, const char **from)
{
	static char path[PATH_MAX];
	int rc;

	*from = given;
	if (given)
		return secret_file_read(
		        signer->ctl, given, BUNDLE_FILE_MAX, &signer->file, &signer->len);
	*from = "the bundle in force";
	rc = bundle_ask(signer);
	if (rc || signer->file)
		return rc;
	*from = path_in(signer->dir, SIGNER_BUNDLE, path);
	if (access(*from, F_OK))
		return CTL_OK;
	return secret_file_read(signer->ctl, *from, BUNDLE_FILE_MAX, &signer->file, &signer->len);
}

static bool public_read(const struct signer *signer, struct minisign_public *out)
{
	char path[PATH_MAX], text[MINISIGN_TEXT_MAX];
	FILE *in = fopen(path_in(signer->dir, OVERLAY_CLUSTER_PUB, path), "re");
	size_t len;

	if (!in)
		return false;
	len = fread(text, 1, sizeof(text), in);
	fclose(in);
	return !minisign_public_parse(text, len, out, NULL, 0);
}

/* The one before ours signed it and named ours, which is proof enough that they belong together. */
static bool is_named(const struct signer *signer)
{
	struct bundle_head head;
	size_t len;

	return !bundle_split(signer->file, signer->len, &len, NULL, 0) &&
	       !bundle_head_read(signer->file, len, &head, NULL, 0) && head.has_next_key &&
	       minisign_public_same(&head.next_key, &signer->secret.pub);
}

static int named_take(struct signer *signer, struct policy_report *report)
{
	char err[BUNDLE_ERROR_MAX];
	size_t len;
	int ret = bundle_split(signer->file, signer->len, &len, err, sizeof(err));

	return ret ? ret : bundle_parse(signer->file, len, &signer->head, &signer->policy, report);
}

/* Signed by our key; or, where the key changes, by the one that the nodes were told of. */
static int bundle_take(struct signer *signer, const char *from)
{
	struct policy_report report;
	struct minisign_public other;
	bool has_other = public_read(signer, &other);
	int ret = -ENOKEY;

	policy_report_init(&report);
	if (has_other)
		ret = bundle_open(
		        signer->file, signer->len, &other, &signer->head, &signer->policy, &report);
	if (ret && !signer->text) {
		policy_report_clear(&report);
		policy_report_init(&report);
		ret = bundle_open(signer->file, signer->len, &signer->secret.pub, &signer->head,
		        &signer->policy, &report);
	}
	if (ret && !signer->text && is_named(signer)) {
		policy_report_clear(&report);
		policy_report_init(&report);
		ret = named_take(signer, &report);
	}
	if (ret && signer->alone) {
		/* It is not followed, and where it cannot be compared with either, the files say. */
		free(signer->file);
		signer->file = NULL;
		ret = 0;
	}
	if (ret)
		ctl_error(signer->ctl, "%s: it cannot be the parent: %s", from,
		        report.n_faults ? report.faults[0].message : strerror(-ret));
	policy_report_clear(&report);
	return ret ? CTL_FAILED : CTL_OK;
}

/* Which key the new one names: the given one, or the one that the last named and that is not ours
 * yet: an approval in between must not take that back. */
static int next_take(struct signer *signer, const struct signer_options *options)
{
	const struct bundle_head *head = &signer->head;
	char err[MINISIGN_ERROR_MAX] = "", *text;
	size_t len;
	int rc;

	if (!options->next_key) {
		signer->has_next = signer->file && head->has_next_key && !options->no_next_key &&
		                   !minisign_public_same(&head->next_key, &signer->secret.pub);
		signer->next = head->next_key;
		return CTL_OK;
	}
	rc = secret_file_read(signer->ctl, options->next_key, MINISIGN_TEXT_MAX, &text, &len);
	if (rc)
		return rc;
	if (minisign_public_parse(text, len, &signer->next, err, sizeof(err))) {
		ctl_error(signer->ctl, "%s: it is no public key: %s", options->next_key, err);
		rc = CTL_FAILED;
	}
	signer->has_next = !rc;
	free(text);
	return rc;
}

int signer_open(struct signer *signer, struct ctl *ctl, const char *dir,
        const struct signer_options *options)
{
	char path[PATH_MAX];
	const char *from;
	int rc = CTL_OK;

	*signer = (struct signer){
	        .ctl = ctl,
	        .dir = dir,
	        .lock = -1,
	        .alone = options->alone,
	        .text = options->text,
	};
	/* The key first: who has none need not wait. */
	if (!options->text)
		rc = key_read(signer, options->key);
	if (rc)
		return rc;
	signer->lock = open(path_in(dir, OVERLAY_CLUSTER_PUB, path), O_RDONLY | O_CLOEXEC);
	if (signer->lock >= 0 && flock(signer->lock, LOCK_EX)) {
		ctl_error(ctl, "%s: %s", path, strerror(errno));
		return CTL_FAILED;
	}
	rc = bundle_find(signer, options->parent, &from);
	if (!rc && signer->file)
		rc = bundle_take(signer, from);
	if (!rc)
		rc = next_take(signer, options);
	return rc;
}

bool signer_rotates(const struct signer *signer, const struct signer_options *options)
{
	return options->next_key || options->no_next_key ||
	       (signer->file && signer->head.has_next_key && !signer->has_next);
}

void signer_close(struct signer *signer)
{
	minisign_secret_wipe(&signer->secret);
	free(signer->file);
	policy_unref(signer->policy);
	if (signer->lock >= 0)
		close(signer->lock);
	signer->file = NULL;
	signer->policy = NULL;
	signer->lock = -1;
}

/* ---- the next one */

bool signer_same(const struct signer *signer, const struct policy *policy)
{
	const struct bundle_head *head = &signer->head;
	char *text = NULL, *body;
	const char *old;
	size_t len, old_len;
	bool same = false;

	if (!signer->file || bundle_split(signer->file, signer->len, &old_len, NULL, 0) ||
	        bundle_make(policy, NULL, head->issued, &text, &len, NULL, 0))
		return false;
	/* Behind the first line, which is the head. */
	body = memchr(text, '\n', len);
	old = memchr(signer->file, '\n', old_len);
	if (body && old) {
		size_t body_len = len - (size_t)(body - text);

		same = body_len == old_len - (size_t)(old - signer->file) &&
		       !memcmp(body, old, body_len);
	}
	free(text);
	return same;
}

int signer_check_serial(const struct signer *signer, const struct policy *policy)
{
	if (!signer->file || policy->serial >= signer->head.serial)
		return CTL_OK;
	ctl_error(signer->ctl,
	        "%s: these files have serial %" PRIu64 ", and serial %" PRIu64
	        " is in force: signed, they would undo what came between; bring the newer files "
	        "here, or, to undo it, write `serial: %" PRIu64 "` into policy.yaml",
	        signer->dir, policy->serial, signer->head.serial, signer->head.serial);
	return CTL_FAILED;
}

static void seeds_warn(const struct policy *policy)
{
	if (policy->n_peers < 2)
		return;
	for (size_t i = 0; i < policy->n_peers; i++)
		if (policy_is_seed(policy, &policy->peers[i]))
			return;
	fputs("overlayctl: warning: no peer has the role seed, so nobody passes the bundle on: "
	      "load it on each node, or give that role to two or three\n",
	        stderr);
}

int signer_make(const struct signer *signer, const struct policy *policy, char **file, size_t *len)
{
	const struct bundle_head *parent = signer->file && !signer->alone ? &signer->head : NULL;
	char err[BUNDLE_ERROR_MAX] = "", *text = NULL;
	int64_t issued = time(NULL);
	size_t text_len;
	int ret;

	seeds_warn(policy);
	/* A clock that was set back must not stop a revocation. */
	if (signer->file && issued < signer->head.issued)
		issued = signer->head.issued;
	ret = bundle_make_next(policy, parent, issued, signer->has_next ? &signer->next : NULL,
	        &text, &text_len, err, sizeof(err));
	if (!ret && signer->text) {
		*file = text;
		*len = text_len;
		return CTL_OK;
	}
	if (!ret)
		ret = bundle_seal(text, text_len, &signer->secret, file, len, err, sizeof(err));
	free(text);
	if (ret)
		ctl_error(signer->ctl, "%s", err[0] ? err : strerror(-ret));
	return ret ? CTL_FAILED : CTL_OK;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A signed bundle to the daemon, and how far it has come. */
#include "ctl/signer.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define POLL_MS 50
#define REFRESH_MS 1000 /* so often the seeds are asked */
#define FIRST_MS 200    /* most have told by themselves by then */

/* ---- load */

/* Whole or not at all: a bundle that is cut short would be no use to anybody. */
static int bundle_keep_at(const char *path, const char *file, size_t len)
{
	char temp[PATH_MAX + 8];
	FILE *out;
	int fd, ret = 0;

	snprintf(temp, sizeof(temp), "%s.XXXXXX", path);
	fd = mkostemp(temp, O_CLOEXEC);
	if (fd < 0)
		return -errno;
	out = fdopen(fd, "w");
	if (!out) {
		close(fd);
		unlink(temp);
		return -ENOMEM;
	}
	if (fwrite(file, 1, len, out) != len || fflush(out) || fchmod(fd, 0644) || fsync(fd))
		ret = -errno;
	if (fclose(out) && !ret)
		ret = -errno;
	if (!ret && rename(temp, path))
		ret = -errno;
	if (ret)
		unlink(temp);
	return ret;
}

static int keep(struct ctl *ctl, const char *dir, const char *file, size_t len, const char *why)
{
	char path[PATH_MAX];
	int ret;

	snprintf(path, sizeof(path), "%s/" SIGNER_BUNDLE, dir);
	ret = bundle_keep_at(path, file, len);
	if (ret) {
		ctl_error(ctl, "%s: %s", path, strerror(-ret));
		return ret == -EACCES || ret == -EPERM || ret == -EROFS ? CTL_PERMISSION
		                                                        : CTL_FAILED;
	}
	fprintf(ctl->json ? stderr : ctl_out(ctl),
	        "%s: the signed bundle is in %s; on any node: overlayctl load %s\n", why, path,
	        SIGNER_BUNDLE);
	return CTL_OK;
}

int load_or_keep(struct ctl *ctl, const char *dir, const char *file, size_t len, json_t **answer)
{
	int rc;

	*answer = NULL;
	if (!ctl_daemon_runs(ctl))
		return keep(ctl, dir, file, len, "overlayd does not run here");
	rc = ctl_ask_file(ctl, "load", file, len, answer);
	/* It may have taken it, or not; to give it the same once more is harmless. */
	if (rc == CTL_UNREACHABLE && !keep(ctl, dir, file, len, "overlayd has not answered"))
		return CTL_UNREACHABLE;
	return rc == CTL_UNREACHABLE ? CTL_FAILED : rc;
}

/* ---- wait */

int load_wait_parse(const char *text)
{
	char *end;
	long seconds;

	if (!text)
		return LOAD_WAIT_S;
	seconds = strtol(text, &end, 10);
	return *text < '0' || *text > '9' || *end || seconds > 86400 ? -1 : (int)seconds;
}

static int64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* What is known of a member, as far as waiting goes. */
static const char *member_class(const json_t *member, uint64_t serial)
{
	const char *state = ctl_string(member, "state", "");
	int64_t has = ctl_integer(member, "serial", -1);

	if (has >= 0 && (uint64_t)has >= serial)
		return "applied";
	/* No tunnel of ours leads there: it is reachable if it was heard of at all. */
	if (!strcmp(state, "up") || !strcmp(state, "self") ||
	        json_is_true(json_object_get(member, "session")) ||
	        (!strcmp(state, "indirect") && has >= 0))
		return "missing";
	return "unreachable";
}

/* {"applied": [names], "missing": [...], "unreachable": [...]} */
static json_t *summary_make(const json_t *answer, uint64_t serial)
{
	json_t *summary = json_pack("{s:[], s:[], s:[]}", "applied", "missing", "unreachable");
	const json_t *member;
	size_t i;

	json_array_foreach(json_object_get(answer, "members"), i, member) {
		json_array_append_new(json_object_get(summary, member_class(member, serial)),
		        json_string(ctl_string(member, "name", "?")));
	}
	return summary;
}

static void names_print(FILE *out, const json_t *names)
{
	const json_t *name;
	size_t i;

	json_array_foreach(names, i, name) {
		if (i)
			fputs(", ", out);
		if (i == 20) {
			fprintf(out, "and %zu more", json_array_size(names) - i);
			break;
		}
		ctl_print_text(out, json_string_value(name));
	}
}

static size_t count(const json_t *summary, const char *key)
{
	return json_array_size(json_object_get(summary, key));
}

static void progress(const struct ctl *ctl, const json_t *summary, bool *shown)
{
	size_t done = count(summary, "applied"), missing = count(summary, "missing");

	if (ctl->json || !isatty(STDERR_FILENO))
		return;
	fprintf(stderr, "\r\033[K%zu of %zu members have it", done, done + missing);
	if (missing) {
		fputs("; waiting for ", stderr);
		names_print(stderr, json_object_get(summary, "missing"));
	}
	fflush(stderr);
	*shown = true;
}

static void tell(const struct ctl *ctl, const json_t *summary, uint64_t serial)
{
	size_t done = count(summary, "applied"), missing = count(summary, "missing");
	FILE *out = ctl_out(ctl);

	if (ctl->json)
		return;
	fprintf(out, "serial %llu is in force on %zu of %zu members that can be reached\n",
	        (unsigned long long)serial, done, done + missing);
	if (missing) {
		fputs("without it, in spite of a connection: ", out);
		names_print(out, json_object_get(summary, "missing"));
		fputc('\n', out);
	}
	if (count(summary, "unreachable")) {
		fputs("not reachable, each gets it when it comes back: ", out);
		names_print(out, json_object_get(summary, "unreachable"));
		fputc('\n', out);
	}
}

int load_wait(struct ctl *ctl, uint64_t serial, int seconds, json_t **out)
{
	int64_t end = now_ms() + (int64_t)seconds * 1000;
	int64_t refreshed = now_ms() - REFRESH_MS + FIRST_MS;
	json_t *summary = NULL, *answer;
	bool shown = false;
	int rc;

	for (;;) {
		bool refresh = now_ms() - refreshed >= REFRESH_MS;

		if (refresh)
			refreshed = now_ms();
		rc = ctl_ask(ctl, "members", json_pack("{s:b}", "refresh", refresh), &answer);
		if (rc)
			break;
		json_decref(summary);
		summary = summary_make(answer, serial);
		json_decref(answer);
		progress(ctl, summary, &shown);
		rc = count(summary, "missing") ? CTL_NO : CTL_OK;
		if (!rc || now_ms() >= end)
			break;
		poll(NULL, 0, POLL_MS);
	}
	if (shown)
		fputs("\r\033[K", stderr);
	if (summary && rc <= CTL_NO)
		tell(ctl, summary, serial);
	if (out)
		*out = json_incref(summary);
	json_decref(summary);
	return rc;
}

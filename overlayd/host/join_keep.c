/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Files of joining: the ticket, kept until it is worth nothing any more (0600: with a token it is
 * secret), and cluster.pub, which it ends with. Both are written at once, whole, before the answer:
 * they are small, and whoever asked is told what became of them.
 */
#include "host/join_private.h"

#include "client/paths.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The next line, without its end; false: there is none, or it does not fit. */
static bool line_take(const char **at, char *out, size_t size)
{
	const char *end = strchr(*at, '\n');
	size_t len = end ? (size_t)(end - *at) : 0;

	if (!end || len >= size)
		return false;
	memcpy(out, *at, len);
	out[len] = 0;
	*at = end + 1;
	return true;
}

int join_keep_read(const char *state_dir, struct join_kept *out, char *err, size_t err_size)
{
	struct join_kept kept;
	char *text = NULL;
	const char *at;
	size_t len = 0;
	int ret = state_read(state_dir, JOIN_KEPT, sizeof(kept) + 8, &text, &len);

	if (ret == -ENOENT)
		return ret;
	at = text;
	if (!ret && (strlen(text) != len || !line_take(&at, kept.ticket, sizeof(kept.ticket)) ||
	                    !line_take(&at, kept.name, sizeof(kept.name)) ||
	                    !line_take(&at, kept.site, sizeof(kept.site)) || *at))
		ret = -EBADMSG;
	if (text)
		explicit_bzero(text, len);
	free(text);
	if (!ret)
		*out = kept;
	else
		snprintf(err, err_size,
		        "%s/" JOIN_KEPT ": the ticket that was kept cannot be read (%s): this node "
		        "asks nobody to let it in; run overlayctl join again",
		        state_dir, strerror(-ret));
	explicit_bzero(&kept, sizeof(kept));
	return ret;
}

int join_keep_write(const char *state_dir, const struct join_kept *kept, char *err, size_t err_size)
{
	char text[sizeof(*kept) + 8];
	int len =
	        snprintf(text, sizeof(text), "%s\n%s\n%s\n", kept->ticket, kept->name, kept->site);
	int ret = state_write(state_dir, JOIN_KEPT, text, (size_t)len);

	explicit_bzero(text, sizeof(text));
	if (ret)
		snprintf(err, err_size, "%s/" JOIN_KEPT ": the ticket cannot be kept: %s",
		        state_dir, strerror(-ret));
	return ret;
}

int join_keep_forget(const char *state_dir)
{
	char path[4096];

	snprintf(path, sizeof(path), "%s/" JOIN_KEPT, state_dir);
	return unlink(path) < 0 && errno != ENOENT ? -errno : 0;
}

int join_keep_key(
        const struct world *world, const struct minisign_public *key, char *err, size_t err_size)
{
	const char *dir = world->options.config_dir;
	char text[128];
	int ret;

	minisign_public_print(key, text);
	(void)mkdir(dir, 0755); /* a node that is to join needs no files before */
	ret = state_write_for(dir, OVERLAY_CLUSTER_PUB, text, strlen(text), 0644);
	if (ret)
		snprintf(err, err_size, "%s/" OVERLAY_CLUSTER_PUB " cannot be written: %s", dir,
		        strerror(-ret));
	return ret;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Files as they were before an edit, to be put back when what it was made for is refused. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "policy/edit_internal.h"

static int undo_read(int dir, struct policy_undo_file *file)
{
	int fd = openat(dir, file->name, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK), ret = 0;
	struct stat st;

	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	if (fstat(fd, &st))
		ret = -errno;
	else if (!S_ISREG(st.st_mode) || st.st_size > (off_t)POLICY_FILE_MAX)
		ret = -EFBIG;
	if (!ret)
		file->data = malloc((size_t)st.st_size + 1);
	if (!ret && !file->data)
		ret = -ENOMEM;
	while (!ret && file->len < (size_t)st.st_size) {
		ssize_t n = read(fd, file->data + file->len, (size_t)st.st_size - file->len);

		if (n == 0 || (n < 0 && errno != EINTR))
			ret = n ? -errno : -EAGAIN;
		file->len += n > 0 ? (size_t)n : 0;
	}
	close(fd);
	return ret;
}

/* policy.yaml, and the file where it stands (NULL: nowhere yet), or would stand. */
static int undo_take(struct policy_undo *undo, const char *dir, const char *file, const char *part,
        const char *name)
{
	int fd, ret = 0;

	*undo = (struct policy_undo){.dir = strdup(dir)};
	undo->files[0].name = strdup(POL_MAIN_FILE);
	if (file)
		undo->files[1].name = strdup(file);
	else if (name && asprintf(&undo->files[1].name, "%s/%s.yaml", part, name) < 0)
		undo->files[1].name = NULL;
	if (!undo->dir || !undo->files[0].name || (name && !undo->files[1].name))
		return -ENOMEM;
	if (name && !strcmp(undo->files[1].name, undo->files[0].name)) {
		free(undo->files[1].name);
		undo->files[1].name = NULL;
	}
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	for (int i = 0; i < 2 && !ret; i++)
		if (undo->files[i].name)
			ret = undo_read(fd, &undo->files[i]);
	close(fd);
	return ret;
}

int policy_undo_take(
        struct policy_undo *undo, const char *dir, const struct policy *policy, const char *name)
{
	const struct policy_peer *peer = name && policy ? policy_peer_by_name(policy, name) : NULL;

	return undo_take(undo, dir, peer ? peer->where.file : NULL, "peers.d", name);
}

int policy_undo_take_token(
        struct policy_undo *undo, const char *dir, const struct policy *policy, const char *name)
{
	const struct policy_token *token =
	        name && policy ? policy_token_by_name(policy, name) : NULL;

	return undo_take(undo, dir, token ? token->where.file : NULL, "tokens.d", name);
}

int policy_undo_run(const struct policy_undo *undo)
{
	int fd = open(undo->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC), ret = 0;

	if (fd < 0)
		return -errno;
	/* The peer first, the serial last, as it was written. */
	for (int i = 1; i >= 0; i--) {
		const struct policy_undo_file *file = &undo->files[i];
		int failed = 0;

		if (file->name && file->data)
			failed = pol_file_replace(fd, file->name, file->data, file->len);
		else if (file->name && unlinkat(fd, file->name, 0) && errno != ENOENT)
			failed = -errno;
		ret = ret ? ret : failed;
	}
	close(fd);
	return ret;
}

void policy_undo_clear(struct policy_undo *undo)
{
	for (int i = 0; i < 2; i++) {
		free(undo->files[i].name);
		free(undo->files[i].data);
	}
	free(undo->dir);
	*undo = (struct policy_undo){0};
}

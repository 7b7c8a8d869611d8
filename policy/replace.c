/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Replacing one file at once: readers see the old or the new, also after a crash. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "policy/files.h"

static int all_write(int fd, const char *data, size_t len)
{
	while (len) {
		ssize_t n = write(fd, data, len);

		if (n < 0 && errno != EINTR)
			return -errno;
		if (n > 0) {
			data += n;
			len -= (size_t)n;
		}
	}
	return fsync(fd) ? -errno : 0;
}

/* The new file gets the old one's mode and owner, or 0644. */
static int rights_copy(int dir, const char *name, int fd)
{
	struct stat st;

	if (fstatat(dir, name, &st, 0))
		return fchmod(fd, 0644) ? -errno : 0;
	if (fchown(fd, st.st_uid, st.st_gid) && errno != EPERM)
		return -errno;
	return fchmod(fd, st.st_mode & 07777) ? -errno : 0;
}

static int dir_sync(int dir, const char *sub)
{
	int fd = openat(dir, *sub ? sub : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), ret;

	if (fd < 0)
		return -errno;
	ret = fsync(fd) ? -errno : 0;
	close(fd);
	return ret;
}

int pol_file_replace(int dir, const char *name, const char *data, size_t len)
{
	const char *slash = strchr(name, '/');
	char sub[64] = "", temp[512];
	int fd, ret;

	if (slash) { /* peers.d may not be there yet */
		snprintf(sub, sizeof(sub), "%.*s", (int)(slash - name), name);
		if (mkdirat(dir, sub, 0755) && errno != EEXIST)
			return -errno;
	}
	/* A dot in front: not read as a policy file; one editor at a time holds the lock. */
	snprintf(temp, sizeof(temp), "%s%s.%.300s.new", sub, slash ? "/" : "",
	        slash ? slash + 1 : name);
	if (unlinkat(dir, temp, 0) && errno != ENOENT)
		return -errno;
	fd = openat(dir, temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return -errno;
	ret = all_write(fd, data, len);
	if (ret == 0)
		ret = rights_copy(dir, name, fd);
	if (close(fd) && ret == 0)
		ret = -errno;
	if (ret == 0 && renameat(dir, temp, dir, name))
		ret = -errno;
	if (ret)
		unlinkat(dir, temp, 0);
	return ret ? ret : dir_sync(dir, sub);
}

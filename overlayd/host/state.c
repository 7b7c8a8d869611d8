/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/state.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

int state_ensure(const char *dir, char *err, size_t err_size)
{
	struct stat st;

	if (mkdir(dir, 0700) < 0 && errno != EEXIST) {
		int ret = -errno;

		snprintf(err, err_size, "%s: cannot make this directory: %s", dir, strerror(-ret));
		return ret;
	}
	if (stat(dir, &st) < 0) {
		int ret = -errno;

		snprintf(err, err_size, "%s: %s", dir, strerror(-ret));
		return ret;
	}
	if (!S_ISDIR(st.st_mode) || (st.st_mode & (S_IWGRP | S_IWOTH))) {
		snprintf(err, err_size, "%s: others may write here: chmod go-w %s", dir, dir);
		return -EPERM;
	}
	return 0;
}

static int write_all(int fd, const char *data, size_t len, unsigned int mode)
{
	if (fchmod(fd, mode) < 0)
		return -errno;
	while (len) {
		ssize_t n = write(fd, data, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		data += n;
		len -= (size_t)n;
	}
	return fsync(fd) < 0 ? -errno : 0;
}

int state_write_for(
        const char *dir, const char *name, const void *data, size_t len, unsigned int mode)
{
	char temp[NAME_MAX];
	int dirfd;
	int fd;
	int err;

	if (snprintf(temp, sizeof(temp), ".%s.new", name) >= (int)sizeof(temp))
		return -ENAMETOOLONG;
	dirfd = open(dir, O_DIRECTORY | O_RDONLY | O_CLOEXEC);
	if (dirfd < 0)
		return -errno;
	(void)unlinkat(dirfd, temp, 0); /* of a run that was killed */
	fd = openat(dirfd, temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	err = fd < 0 ? -errno : write_all(fd, data, len, mode);
	if (fd >= 0)
		close(fd);
	if (!err && renameat(dirfd, temp, dirfd, name) < 0)
		err = -errno;
	if (!err && fsync(dirfd) < 0)
		err = -errno;
	if (err && fd >= 0)
		(void)unlinkat(dirfd, temp, 0);
	close(dirfd);
	return err;
}

int state_write(const char *dir, const char *name, const void *data, size_t len)
{
	return state_write_for(dir, name, data, len, 0600);
}

int state_read(const char *dir, const char *name, size_t max, char **data, size_t *len)
{
	char path[PATH_MAX];
	struct stat st;
	char *buf = NULL;
	size_t got = 0;
	int err = 0;
	int fd;

	if (snprintf(path, sizeof(path), "%s/%s", dir, name) >= (int)sizeof(path))
		return -ENAMETOOLONG;
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) < 0)
		err = -errno;
	else if (!S_ISREG(st.st_mode))
		err = -EINVAL;
	else if (st.st_size < 0 || (uintmax_t)st.st_size > max)
		err = -EFBIG;
	else if (!(buf = malloc((size_t)st.st_size + 1)))
		err = -ENOMEM;
	while (!err && got < (size_t)st.st_size) {
		ssize_t n = read(fd, buf + got, (size_t)st.st_size - got);

		if (n < 0 && errno != EINTR)
			err = -errno;
		else if (n == 0)
			break;
		else if (n > 0)
			got += (size_t)n;
	}
	close(fd);
	if (err) {
		free(buf);
		return err;
	}
	buf[got] = 0;
	*data = buf;
	*len = got;
	return 0;
}

/* ---- the clock ---------------------------------------------------------------------------- */

#define CLOCK_STEP 600

void state_clock_load(struct state_clock *clock, const char *dir)
{
	char *text = NULL;
	size_t len;

	*clock = (struct state_clock){.dir = dir};
	if (state_read(dir, STATE_CLOCK, 64, &text, &len) == 0) {
		char *end;
		long long value;

		errno = 0;
		value = strtoll(text, &end, 10);
		if (!errno && end != text && value > 0)
			clock->floor = clock->written = value;
	}
	free(text);
}

int64_t state_clock_now(struct state_clock *clock)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	if (ts.tv_sec > clock->floor)
		clock->floor = ts.tv_sec;
	return clock->floor;
}

char *state_clock_due(struct state_clock *clock)
{
	int64_t now = state_clock_now(clock);
	char *text = NULL;

	if (now < clock->written + CLOCK_STEP || asprintf(&text, "%" PRId64 "\n", now) < 0)
		return NULL;
	clock->written = now;
	return text;
}

int state_clock_save(struct state_clock *clock)
{
	int64_t before = clock->written;
	char *text = state_clock_due(clock);
	int err;

	if (!text)
		return 0;
	err = state_write(clock->dir, STATE_CLOCK, text, strlen(text));
	if (err)
		clock->written = before;
	free(text);
	return err;
}

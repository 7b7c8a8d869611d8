/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reading the files of a policy directory: policy.yaml, peers.d/[*].yaml and tokens.d/[*].yaml. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "policy/files.h"
#include "policy/internal.h"

static struct policy_file *files_place(struct pol_files *files)
{
	struct policy_file *more;
	size_t cap = files->cap ? files->cap * 2 : 16;

	if (files->n == files->cap) {
		more = realloc(files->all, cap * sizeof(*more));
		if (!more)
			return NULL;
		files->all = more;
		files->cap = cap;
	}
	return &files->all[files->n];
}

int pol_files_put(struct pol_files *files, const char *name, char *data, size_t len)
{
	struct policy_file *file = files_place(files);
	char *copy = file ? strdup(name) : NULL;

	if (!copy)
		return -ENOMEM;
	*file = (struct policy_file){copy, data, len};
	files->n++;
	files->total += len;
	return 0;
}

void pol_files_clear(struct pol_files *files)
{
	for (size_t i = 0; i < files->n; i++) {
		free((char *)(uintptr_t)files->all[i].name);
		free((char *)(uintptr_t)files->all[i].data);
	}
	free(files->all);
	*files = (struct pol_files){0};
}

static int all_read(int fd, char *data, size_t size, size_t *len)
{
	*len = 0;
	while (*len < size) {
		ssize_t n = read(fd, data + *len, size - *len);

		if (n < 0 && errno != EINTR)
			return -errno;
		if (n > 0)
			*len += (size_t)n;
		/* A regular file: less than asked for is its end. */
		if (n == 0 || (n > 0 && *len < size))
			break;
	}
	return 0;
}

/* One byte more than allowed is read, so that the parser sees and names a file too large. */
static int file_read(int dir, const char *name, char **out, size_t *len)
{
	int fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY), ret;
	struct stat st;
	size_t size;
	char *data;

	if (fd < 0)
		return -errno;
	if (fstat(fd, &st)) {
		ret = -errno;
		goto out;
	}
	ret = -EISDIR;
	if (!S_ISREG(st.st_mode))
		goto out;
	size = st.st_size < (off_t)POLICY_FILE_MAX ? (size_t)st.st_size + 1 : POLICY_FILE_MAX + 1;
	ret = -ENOMEM;
	data = malloc(size);
	if (!data)
		goto out;
	ret = all_read(fd, data, size, len);
	/* Grown since fstat: somebody is writing it. */
	if (ret == 0 && *len == size && size <= POLICY_FILE_MAX)
		ret = -EAGAIN;
	if (ret == 0)
		*out = data;
	else
		free(data);
out:
	close(fd);
	return ret;
}

static int file_load(struct pol_files *files, int dir, const char *name, const char *shown,
        struct policy_report *report)
{
	char *data = NULL;
	size_t len = 0;
	int ret = file_read(dir, name, &data, &len);

	if (ret == 0 && files->total + len > POLICY_TOTAL_MAX)
		ret = -EFBIG;
	if (ret == 0)
		ret = pol_files_put(files, shown, data, len);
	if (ret == 0)
		return 0;
	free(data);
	if (ret == -EISDIR)
		return pol_report_errno(report, shown, ret, "this is no regular file");
	if (ret == -EAGAIN)
		return pol_report_errno(report, shown, ret, "this file is being written");
	if (ret == -EFBIG)
		return pol_report_errno(
		        report, shown, ret, "the policy's files are too large together");
	return pol_report_errno(report, shown, ret, "this file cannot be read");
}

bool pol_file_counts(const char *name)
{
	size_t len = strlen(name);

	return name[0] != '.' && len > 5 && strcmp(name + len - 5, ".yaml") == 0;
}

static int text_compare(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The names of files that count, sorted. */
static int names_read(DIR *dir, char ***out, size_t *n_out)
{
	char **names = NULL, **more;
	size_t n = 0, cap = 0;
	struct dirent *entry;

	while (errno = 0, (entry = readdir(dir))) {
		if (!pol_file_counts(entry->d_name))
			continue;
		if (n == cap) {
			cap = cap ? cap * 2 : 64;
			more = n > 2 * POLICY_PEERS_MAX ? NULL
			                                : realloc(names, cap * sizeof(*names));
			if (!more)
				goto fail;
			names = more;
		}
		names[n] = strdup(entry->d_name);
		if (!names[n])
			goto fail;
		n++;
	}
	if (errno)
		goto fail;
	if (n)
		pol_sort(names, n, sizeof(*names), text_compare);
	*out = names;
	*n_out = n;
	return 0;
fail:
	while (n)
		free(names[--n]);
	free(names);
	return errno ? -errno : -ENOMEM;
}

/* All files of peers.d, or of tokens.d, which need not be there. */
static int part_load(
        struct pol_files *files, int dir_fd, const char *part, struct policy_report *report)
{
	int fd = openat(dir_fd, part, O_RDONLY | O_DIRECTORY | O_CLOEXEC), ret;
	char **names = NULL, shown[sizeof("tokens.d/") + 256];
	size_t n = 0;
	DIR *dir;

	if (fd < 0)
		return errno == ENOENT ? 0
		                       : pol_report_errno(report, part, -errno,
		                                 "this directory cannot be read");
	dir = fdopendir(fd);
	if (!dir) {
		ret = -errno;
		close(fd);
		return pol_report_errno(report, part, ret, "this directory cannot be read");
	}
	ret = names_read(dir, &names, &n);
	if (ret)
		pol_report_errno(report, part, ret, "this directory cannot be read");
	for (size_t i = 0; i < n; i++) {
		int failed;

		snprintf(shown, sizeof(shown), "%.8s/%.256s", part, names[i]);
		failed = file_load(files, fd, names[i], shown, report);
		ret = ret ? ret : failed;
		free(names[i]);
	}
	free(names);
	closedir(dir);
	return ret;
}

int pol_files_read(struct pol_files *files, const char *dir, struct policy_report *report)
{
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC), ret, failed;

	if (fd < 0)
		return pol_report_errno(report, dir, -errno, "the policy directory cannot be read");
	ret = file_load(files, fd, "policy.yaml", "policy.yaml", report);
	for (size_t i = 0; i < 2; i++) {
		failed = part_load(files, fd, i ? "tokens.d" : "peers.d", report);
		ret = ret ? ret : failed;
	}
	close(fd);
	return ret;
}

int policy_load(const char *dir, struct policy **out, struct policy_report *report)
{
	struct pol_files files = {0};
	struct policy *policy;
	int ret = pol_files_read(&files, dir, report);

	if (ret == 0) {
		ret = policy_parse(files.all, files.n, &policy, report);
		if (ret == 0)
			*out = policy;
	}
	pol_files_clear(&files);
	return ret;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/store.h"

#include "host/log.h"
#include "host/state.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define FILES_MAX 4

struct file {
	const char *name;
	char *text; /* NULL: nothing to write */
	bool or_none;
};

struct store {
	sd_event *event;
	const char *dir;
	struct file files[FILES_MAX];
	struct file now; /* with the helper */
	pid_t pid;       /* 0: none */
	int fd;          /* its answer: an errno */
	sd_event_source *io;
};

static void store_next(struct store *store);

static void file_write(const char *dir, const struct file *file, int fd)
{
	int32_t err = state_write(dir, file->name, file->text, strlen(file->text));
	int dirfd;

	if (err && file->or_none) {
		dirfd = open(dir, O_DIRECTORY | O_RDONLY | O_CLOEXEC);
		if (dirfd >= 0)
			(void)unlinkat(dirfd, file->name, 0);
	}
	(void)!write(fd, &err, sizeof(err));
}

static _Noreturn void helper(const char *dir, const struct file *file, int fd)
{
	/* It ends when it has written, whatever becomes of the daemon; so it may hold nothing of
	 * the daemon's: not its socket above all. */
	signal(SIGHUP, SIG_IGN);
	if (dup2(fd, 3) == 3 && close_range(4, ~0U, 0) == 0)
		file_write(dir, file, 3);
	_exit(0);
}

static void helper_end(struct store *store, int32_t err)
{
	store->io = sd_event_source_disable_unref(store->io);
	close(store->fd);
	while (waitpid(store->pid, NULL, 0) < 0 && errno == EINTR)
		;
	store->pid = 0;
	if (err)
		log_error("cannot keep %s in %s: %s%s", store->now.name, store->dir, strerror(-err),
		        store->now.or_none ? "; the older copy is removed: a restart needs the "
		                             "files to be right"
		                           : "");
	free(store->now.text);
	store->now.text = NULL;
}

static int on_answer(sd_event_source *source, int fd, uint32_t revents, void *user)
{
	struct store *store = user;
	int32_t err = -EIO;

	(void)source, (void)revents;
	if (read(fd, &err, sizeof(err)) != sizeof(err))
		err = -EIO; /* it was killed */
	helper_end(store, err);
	store_next(store);
	return 0;
}

static int helper_start(struct store *store)
{
	int ends[2];
	int err;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return -errno;
	store->pid = fork();
	if (store->pid == 0)
		helper(store->dir, &store->now, ends[1]);
	err = store->pid < 0 ? -errno : 0;
	close(ends[1]);
	store->fd = ends[0];
	if (err) {
		store->pid = 0;
		close(ends[0]);
		return err;
	}
	err = sd_event_add_io(store->event, &store->io, store->fd, EPOLLIN, on_answer, store);
	return err < 0 ? err : 0;
}

static void store_next(struct store *store)
{
	for (size_t i = 0; i < FILES_MAX && !store->pid; i++) {
		struct file *file = &store->files[i];
		int err;

		if (!file->text)
			continue;
		store->now = *file;
		file->text = NULL;
		err = helper_start(store);
		if (!err)
			return;
		log_error("cannot keep %s in %s: %s", store->now.name, store->dir, strerror(-err));
		if (!store->pid) {
			free(store->now.text);
			store->now.text = NULL;
		}
	}
}

void store_write(struct store *store, const char *name, char *text, bool or_none)
{
	struct file *file = NULL;

	for (size_t i = 0; i < FILES_MAX && !file; i++)
		if (!store->files[i].name || strcmp(store->files[i].name, name) == 0)
			file = &store->files[i];
	if (!file || !text) {
		log_error("cannot keep %s in %s: out of memory", name, store->dir);
		free(text);
		return;
	}
	free(file->text);
	*file = (struct file){.name = name, .text = text, .or_none = or_none};
	if (!store->pid)
		store_next(store);
}

bool store_busy(const struct store *store)
{
	return store->pid != 0;
}

int store_new(sd_event *event, const char *dir, struct store **out)
{
	struct store *store = calloc(1, sizeof(*store));

	if (!store)
		return -ENOMEM;
	store->event = event;
	store->dir = dir;
	*out = store;
	return 0;
}

/* One that does not end in time goes on without us: it holds what it has to write. */
static bool helper_await(struct store *store)
{
	struct pollfd pfd = {.fd = store->fd, .events = POLLIN};

	if (poll(&pfd, 1, STORE_LAST_MS) != 1) {
		log_error("%s: the disk does not answer; %s may not be kept", store->dir,
		        store->now.name);
		return false;
	}
	(void)on_answer(NULL, store->fd, 0, store);
	return true;
}

void store_free(struct store *store)
{
	if (!store)
		return;
	while (store->pid && helper_await(store))
		;
	if (store->pid)
		close(store->fd);
	sd_event_source_disable_unref(store->io);
	for (size_t i = 0; i < FILES_MAX; i++)
		free(store->files[i].text);
	free(store->now.text);
	free(store);
}

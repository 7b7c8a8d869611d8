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
#include <sys/file.h>
#include <sys/wait.h>
#include <unistd.h>

#define FILES_MAX 4

struct file {
	const char *name;
	char *text; /* NULL: nothing to write, or to be removed */
	size_t len;
	bool or_none;
	bool remove;
	store_done *done; /* NULL: nobody wants to know; failures are logged */
	void *user;
	uint64_t id;
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

static int file_remove(const char *dir, const char *name)
{
	int fd = open(dir, O_DIRECTORY | O_RDONLY | O_CLOEXEC), err = 0;

	if (fd < 0)
		return -errno;
	if (unlinkat(fd, name, 0) < 0 ? errno != ENOENT : fsync(fd) < 0)
		err = -errno;
	close(fd);
	return err;
}

static void file_write(const char *dir, const struct file *file, int fd)
{
	int32_t err = file->remove ? file_remove(dir, file->name)
	                           : state_write(dir, file->name, file->text, file->len);

	if (err && file->or_none)
		(void)file_remove(dir, file->name);
	(void)!write(fd, &err, sizeof(err));
}

/*
 * One writes at a time, also where a disk hung and overlayd was started again meanwhile: what an
 * earlier run's helper still has to write is older, and must not come last. Until it ends.
 */
static void turn_await(const char *dir)
{
	int fd = open(dir, O_DIRECTORY | O_RDONLY | O_CLOEXEC);

	while (fd >= 0 && flock(fd, LOCK_EX) < 0 && errno == EINTR)
		;
}

static _Noreturn void helper(const char *dir, const struct file *file, int fd)
{
	/* It ends when it has written, whatever becomes of the daemon; so it may hold nothing of
	 * the daemon's: not its socket above all. */
	signal(SIGHUP, SIG_IGN);
	if (dup2(fd, 3) == 3 && close_range(4, ~0U, 0) == 0) {
		turn_await(dir);
		file_write(dir, file, 3);
	}
	_exit(0);
}

static bool file_waits(const struct file *file)
{
	return file->text || file->remove;
}

/* It is over: told to whoever wants to know, and forgotten. */
static void file_end(struct store *store, struct file *file, int32_t err)
{
	struct file ended = *file;

	free(file->text);
	*file = (struct file){.name = ended.name};
	if (ended.done)
		ended.done(ended.user, ended.id, err);
	else if (err)
		log_error("cannot %s %s in %s: %s%s", ended.remove ? "remove" : "keep", ended.name,
		        store->dir, strerror(-err),
		        ended.or_none ? "; the older copy is removed: a restart needs the files to "
		                        "be right"
		                      : "");
}

static void helper_end(struct store *store, int32_t err)
{
	store->io = sd_event_source_disable_unref(store->io);
	close(store->fd);
	while (waitpid(store->pid, NULL, 0) < 0 && errno == EINTR)
		;
	store->pid = 0;
	file_end(store, &store->now, err);
}

static int on_answer(sd_event_source *source, int fd, uint32_t revents, void *user)
{
	struct store *store = user;
	int32_t err = -EIO;

	(void)source, (void)revents;
	if (read(fd, &err, sizeof(err)) != sizeof(err))
		err = -EIO; /* it was killed */
	helper_end(store, err);
	if (!store->pid)
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

		if (!file_waits(file))
			continue;
		store->now = *file;
		*file = (struct file){.name = file->name};
		err = helper_start(store);
		if (!err)
			return;
		/* A helper that is there but cannot be waited for writes all the same. */
		if (!store->pid)
			file_end(store, &store->now, err);
		else
			log_error("cannot wait for %s in %s: %s", store->now.name, store->dir,
			        strerror(-err));
	}
}

/* Takes over file.text. */
static int file_add(struct store *store, struct file file)
{
	struct file *slot = NULL;

	for (size_t i = 0; i < FILES_MAX && !slot; i++)
		if (!store->files[i].name || strcmp(store->files[i].name, file.name) == 0)
			slot = &store->files[i];
	if (!slot) {
		free(file.text);
		return -ENOMEM;
	}
	if (file_waits(slot))
		file_end(store, slot, -ECANCELED);
	*slot = file;
	if (!store->pid)
		store_next(store);
	return 0;
}

void store_write(struct store *store, const char *name, char *text, bool or_none)
{
	struct file file = {.name = name, .text = text, .or_none = or_none};

	if (text)
		file.len = strlen(text);
	if (!text || file_add(store, file))
		log_error("cannot keep %s in %s: out of memory", name, store->dir);
}

void store_write_then(struct store *store, const char *name, char *data, size_t len,
        store_done *done, void *user, uint64_t id)
{
	struct file file = {
	        .name = name, .text = data, .len = len, .done = done, .user = user, .id = id};

	if (!data || file_add(store, file))
		done(user, id, -ENOMEM);
}

void store_remove(struct store *store, const char *name)
{
	(void)file_add(store, (struct file){.name = name, .remove = true});
}

void store_remove_then(
        struct store *store, const char *name, store_done *done, void *user, uint64_t id)
{
	struct file file = {.name = name, .remove = true, .done = done, .user = user, .id = id};

	if (file_add(store, file))
		done(user, id, -ENOMEM);
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

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * To freeze a process so that none of its threads does anything any more. SIGSTOP is sent long
 * before the last thread of a busy machine heeds it, and until then one may still answer.
 */
#ifndef TESTS_NETNS_FREEZE_H
#define TESTS_NETNS_FREEZE_H

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <time.h>

/* Of one thread; one that is gone meanwhile is as still as can be. */
static inline bool thread_stopped(pid_t pid, const char *tid)
{
	char path[320], state = 'T';
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/task/%s/stat", (int)pid, tid);
	f = fopen(path, "re");
	if (!f)
		return true;
	if (fscanf(f, "%*d (%*[^)]) %c", &state) != 1)
		state = 'T'; /* ended while it was read */
	fclose(f);
	return state == 'T' || state == 'Z' || state == 'X';
}

static inline bool process_stopped(pid_t pid)
{
	bool stopped = true;
	struct dirent *d;
	char path[64];
	DIR *tasks;

	snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
	tasks = opendir(path);
	if (!tasks)
		return true;
	while (stopped && (d = readdir(tasks)))
		stopped = *d->d_name == '.' || thread_stopped(pid, d->d_name);
	closedir(tasks);
	return stopped;
}

/* Returns once every thread stands (0), -errno if there is no such process, -ETIMEDOUT after 20 s.
 * SIGCONT sets it going again. */
static inline int process_freeze(pid_t pid)
{
	struct timespec pause = {.tv_nsec = 1000000};
	int tries;

	if (kill(pid, SIGSTOP))
		return -errno;
	for (tries = 0; tries < 20000; tries++) {
		if (process_stopped(pid))
			return 0;
		nanosleep(&pause, NULL); /* /proc cannot be waited for */
	}
	return -ETIMEDOUT;
}

#endif

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/clockset.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define FAR_S ((time_t)1 << 40)

struct clockset {
	int fd;
	sd_event_source *io;
	void (*changed)(void *user);
	void *user;
};

/* Never goes off by itself; the kernel cancels it when the clock is set (timerfd_create(2)). */
static int arm(const struct clockset *clockset)
{
	const struct itimerspec never = {.it_value.tv_sec = FAR_S};
	int flags = TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET;

	return timerfd_settime(clockset->fd, flags, &never, NULL) < 0 ? -errno : 0;
}

static int on_io(sd_event_source *source, int fd, uint32_t revents, void *user)
{
	struct clockset *clockset = user;
	uint64_t times;
	ssize_t n = read(fd, &times, sizeof(times));

	(void)revents;
	if (n < 0 && errno == EAGAIN)
		return 0;
	if (n >= 0) { /* the far end of time is reached: nothing to wait for any more */
		sd_event_source_set_enabled(source, SD_EVENT_OFF);
		return 0;
	}
	(void)arm(clockset);
	clockset->changed(clockset->user);
	return 0;
}

int clockset_new(sd_event *event, void (*changed)(void *user), void *user, struct clockset **out)
{
	struct clockset *clockset = calloc(1, sizeof(*clockset));
	int err;

	if (!clockset)
		return -ENOMEM;
	clockset->changed = changed;
	clockset->user = user;
	clockset->fd = timerfd_create(CLOCK_REALTIME, TFD_CLOEXEC | TFD_NONBLOCK);
	err = clockset->fd < 0 ? -errno : arm(clockset);
	if (!err)
		err = sd_event_add_io(event, &clockset->io, clockset->fd, EPOLLIN, on_io, clockset);
	if (err < 0) {
		clockset_free(clockset);
		return err;
	}
	*out = clockset;
	return 0;
}

void clockset_free(struct clockset *clockset)
{
	if (!clockset)
		return;
	sd_event_source_disable_unref(clockset->io);
	if (clockset->fd >= 0)
		close(clockset->fd);
	free(clockset);
}

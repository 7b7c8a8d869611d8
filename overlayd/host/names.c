/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/names.h"

#include "host/nsswitch.h"
#include "host/rights.h"
#include "host/world.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <netdb.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <utlist.h>

#define HELPERS_MAX 4
#define LINE_MAX_NAMES 4096
#define LIMIT_US 10000000

/* What the helper writes: this, once. */
struct answer {
	int32_t error; /* negative errno */
	uint32_t n;
	struct policy_addr addrs[ENGINE_RESOLVED_MAX];
};

struct lookup {
	struct names *names;
	char *host;
	uint64_t id;
	pid_t pid;
	int fd;
	struct answer answer;
	size_t got;
	sd_event_source *io;
	sd_event_source *deadline;
	struct lookup *prev, *next;
};

struct names {
	struct world *world;
	struct lookup *waiting;
	struct lookup *running;
	size_t n_waiting, n_running;
};

static void lookup_free(struct lookup *lookup)
{
	sd_event_source_disable_unref(lookup->io);
	sd_event_source_disable_unref(lookup->deadline);
	if (lookup->fd >= 0)
		close(lookup->fd);
	if (lookup->pid > 0) {
		/* It has said all; if not, nobody waits for it any more. */
		kill(lookup->pid, SIGKILL);
		while (waitpid(lookup->pid, NULL, 0) < 0 && errno == EINTR)
			;
	}
	free(lookup->host);
	free(lookup);
}

/* ---- in the helper ------------------------------------------------------------------------------
 */

static int32_t gai_errno(int code)
{
	switch (code) {
	case EAI_NONAME:
		return -ENOENT;
	case EAI_AGAIN:
		return -EAGAIN;
	case EAI_MEMORY:
		return -ENOMEM;
	case EAI_SYSTEM:
		return errno ? -errno : -EIO;
	}
	return -EIO;
}

static void answer_add(struct answer *answer, const struct sockaddr *sa)
{
	struct policy_addr *addr = &answer->addrs[answer->n];

	if (answer->n == ENGINE_RESOLVED_MAX)
		return;
	if (sa->sa_family == AF_INET)
		memcpy(addr->bytes, &((const struct sockaddr_in *)sa)->sin_addr, 4);
	else if (sa->sa_family == AF_INET6)
		memcpy(addr->bytes, &((const struct sockaddr_in6 *)sa)->sin6_addr, 16);
	else
		return;
	addr->family = (uint8_t)sa->sa_family;
	answer->n++;
}

static _Noreturn void helper(const char *host, int fd)
{
	struct addrinfo hints = {
	        .ai_family = AF_UNSPEC, .ai_socktype = SOCK_DGRAM, .ai_flags = AI_ADDRCONFIG};
	struct addrinfo *list = NULL;
	struct answer answer = {0};
	sigset_t none;
	int code;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGTERM, SIG_DFL);
	prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	alarm(LIMIT_US / 1000000 + 1);
	if (dup2(fd, 3) < 0 || close_range(4, ~0U, 0) < 0)
		_exit(1);
	rights_drop_all();
	nsswitch_leave_out("overlay");
	code = getaddrinfo(host, NULL, &hints, &list);
	if (code)
		answer.error = gai_errno(code);
	for (struct addrinfo *ai = list; !code && ai; ai = ai->ai_next)
		answer_add(&answer, ai->ai_addr);
	_exit(write(3, &answer, sizeof(answer)) == sizeof(answer) ? 0 : 1);
}

/* ---- in the daemon
 * -------------------------------------------------------------------------------- */

static void names_pump(struct names *names);

/* As /etc/hosts may have them: to an address inside of the tunnels none can be built. */
static void answer_outside(struct names *names, struct answer *answer)
{
	struct engine_view view;
	uint32_t n = 0;

	engine_look(names->world->engine, &view);
	for (uint32_t i = 0; view.policy && i < answer->n; i++)
		if (!policy_prefix_contains(&view.policy->overlay4, &answer->addrs[i]) &&
		        !policy_prefix_contains(&view.policy->overlay6, &answer->addrs[i]))
			answer->addrs[n++] = answer->addrs[i];
	if (answer->n && !n)
		answer->error = -EADDRNOTAVAIL;
	answer->n = n;
}

/* Tells the engine and makes room for the next one. */
static void lookup_end(struct lookup *lookup, int error)
{
	struct engine_event ev = {.type = ENGINE_EV_RESOLVED};
	struct names *names = lookup->names;

	DL_DELETE(names->running, lookup);
	names->n_running--;
	if (!error && lookup->answer.n > ENGINE_RESOLVED_MAX)
		error = -EBADMSG;
	if (!error)
		answer_outside(names, &lookup->answer);
	if (!error)
		error = lookup->answer.error;
	if (error)
		log_debug("cannot resolve %s: %s", lookup->host, strerror(-error));
	ev.resolved.effect_id = lookup->id;
	ev.resolved.error = error;
	ev.resolved.addrs = lookup->answer.addrs;
	ev.resolved.n = error ? 0 : lookup->answer.n;
	world_event(names->world, &ev);
	lookup_free(lookup);
	names_pump(names);
}

static int on_io(sd_event_source *source, int fd, uint32_t revents, void *user)
{
	struct lookup *lookup = user;
	ssize_t n = read(
	        fd, (char *)&lookup->answer + lookup->got, sizeof(lookup->answer) - lookup->got);

	(void)source, (void)revents;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (n <= 0) {
		lookup_end(lookup, -EIO);
		return 0;
	}
	lookup->got += (size_t)n;
	if (lookup->got == sizeof(lookup->answer))
		lookup_end(lookup, 0);
	return 0;
}

static int on_deadline(sd_event_source *source, uint64_t usec, void *user)
{
	(void)source, (void)usec;
	lookup_end(user, -ETIMEDOUT);
	return 0;
}

static int lookup_start(struct lookup *lookup)
{
	sd_event *event = lookup->names->world->event;
	int ends[2];
	int err;

	if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0)
		return -errno;
	lookup->fd = ends[0];
	lookup->pid = fork();
	if (lookup->pid == 0)
		helper(lookup->host, ends[1]);
	err = lookup->pid < 0 ? -errno : 0;
	close(ends[1]);
	if (!err)
		err = sd_event_add_io(event, &lookup->io, lookup->fd, EPOLLIN, on_io, lookup);
	if (err >= 0)
		err = sd_event_add_time(event, &lookup->deadline, CLOCK_BOOTTIME,
		        (uint64_t)world_now_us() + LIMIT_US, 100000, on_deadline, lookup);
	return err < 0 ? err : 0;
}

static void names_pump(struct names *names)
{
	while (names->waiting && names->n_running < HELPERS_MAX) {
		struct lookup *lookup = names->waiting;
		int err;

		DL_DELETE(names->waiting, lookup);
		names->n_waiting--;
		err = lookup_start(lookup);
		if (err) {
			world_result(names->world, lookup->id, err, "cannot start a look-up");
			lookup_free(lookup);
			continue;
		}
		DL_APPEND(names->running, lookup);
		names->n_running++;
	}
}

void names_run(struct names *names, const struct engine_effect *fx)
{
	struct lookup *lookup;

	lookup = names->n_waiting < LINE_MAX_NAMES ? calloc(1, sizeof(*lookup)) : NULL;
	if (lookup) {
		lookup->names = names;
		lookup->id = fx->id;
		lookup->fd = -1;
		lookup->host = strdup(fx->resolve.host);
	}
	if (!lookup || !lookup->host) {
		free(lookup);
		world_result(names->world, fx->id, -ENOBUFS, "too many names to look up at once");
		return;
	}
	DL_APPEND(names->waiting, lookup);
	names->n_waiting++;
	names_pump(names);
}

bool names_busy(const struct names *names)
{
	return names->running || names->waiting;
}

int names_new(struct world *world, struct names **out)
{
	struct names *names = calloc(1, sizeof(*names));

	if (!names)
		return -ENOMEM;
	names->world = world;
	*out = names;
	return 0;
}

void names_free(struct names *names)
{
	struct lookup *lookup, *next;

	if (!names)
		return;
	DL_FOREACH_SAFE(names->waiting, lookup, next)
		lookup_free(lookup);
	DL_FOREACH_SAFE(names->running, lookup, next)
		lookup_free(lookup);
	free(names);
}

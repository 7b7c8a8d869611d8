/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <grp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <syslog.h>
#include <unistd.h>

#include "control/server.h"

__attribute__((format(printf, 4, 5))) static int fail(
        int rc, char *err, size_t err_size, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(err, err_size, format, args);
	va_end(args);
	return rc;
}

/* Whoever may write the directory may put another socket in our place. */
static int dir_judge(const char *path, char *err, size_t err_size)
{
	const char *slash = strrchr(path, '/');
	char dir[sizeof(((struct sockaddr_un *)0)->sun_path)];
	struct stat st;

	snprintf(dir, sizeof(dir), "%.*s", slash ? (int)(slash - path) : 1, slash ? path : ".");
	if (!dir[0])
		strcpy(dir, "/");
	if (stat(dir, &st) < 0)
		return fail(-errno, err, err_size, "%s: the socket's directory: %s", dir,
		        strerror(errno));
	if (st.st_mode & 022)
		return fail(-EPERM, err, err_size,
		        "%s: mode %04o lets others replace the socket: chmod 755 %s", dir,
		        (unsigned)(st.st_mode & 07777), dir);
	if (st.st_uid && st.st_uid != geteuid())
		return fail(-EPERM, err, err_size,
		        "%s: belongs to user %u, who may replace the socket: chown root %s", dir,
		        (unsigned)st.st_uid, dir);
	return 0;
}

/* Remove what a daemon that died left behind, but never a living one's socket. */
static int stale_remove(const struct sockaddr_un *addr, char *err, size_t err_size)
{
	struct stat st;
	int fd, rc = 0;

	if (lstat(addr->sun_path, &st) < 0)
		return errno == ENOENT ? 0
		                       : fail(-errno, err, err_size, "%s: %s", addr->sun_path,
		                                 strerror(errno));
	if (!S_ISSOCK(st.st_mode))
		return fail(-EEXIST, err, err_size,
		        "%s: is no socket; remove it or choose another path", addr->sun_path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return fail(-errno, err, err_size, "socket: %s", strerror(errno));
	if (!connect(fd, (const struct sockaddr *)addr, sizeof(*addr)) || errno != ECONNREFUSED)
		rc = fail(-EADDRINUSE, err, err_size,
		        "%s: another overlayd answers here; stop it first (systemctl stop "
		        "overlayd)",
		        addr->sun_path);
	else if (unlink(addr->sun_path) < 0 && errno != ENOENT)
		rc = fail(-errno, err, err_size, "%s: cannot remove the stale socket: %s",
		        addr->sun_path, strerror(errno));
	close(fd);
	return rc;
}

/* 0660 for root and the group, or 0600 where there is no such group. Born 0600: no window. */
static int modes_set(struct control *control, char *err, size_t err_size)
{
	const char *name = control->options.group;
	struct group *group;

	if (!name)
		return 0;
	errno = 0;
	group = getgrnam(name);
	if (!group) {
		control_log(control, LOG_NOTICE, "%s: there is no group %s: only root may use it",
		        control->path, name);
		return 0;
	}
	if (chown(control->path, (uid_t)-1, group->gr_gid) < 0 || chmod(control->path, 0660) < 0)
		return fail(-errno, err, err_size, "%s: cannot give it to group %s: %s",
		        control->path, name, strerror(errno));
	return 0;
}

static int socket_bind(
        struct control *control, const struct sockaddr_un *addr, char *err, size_t err_size)
{
	struct stat st;
	mode_t old;
	int rc;

	old = umask(0177);
	rc = bind(control->fd, (const struct sockaddr *)addr, sizeof(*addr)) < 0 ? -errno : 0;
	umask(old);
	if (rc < 0)
		return fail(rc, err, err_size, "%s: %s", control->path, strerror(-rc));
	if (lstat(control->path, &st) < 0)
		return fail(-errno, err, err_size, "%s: %s", control->path, strerror(errno));
	control->dev = st.st_dev;
	control->ino = st.st_ino;
	rc = modes_set(control, err, err_size);
	if (rc < 0)
		return rc;
	if (listen(control->fd, 64) < 0)
		return fail(-errno, err, err_size, "%s: %s", control->path, strerror(errno));
	return 0;
}

int listener_open(struct control *control, char *err, size_t err_size)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int rc;

	if (strlen(control->path) >= sizeof(addr.sun_path))
		return fail(-ENAMETOOLONG, err, err_size,
		        "%s: a socket's path may have %zu bytes; choose a shorter one",
		        control->path, sizeof(addr.sun_path) - 1);
	strcpy(addr.sun_path, control->path);
	rc = dir_judge(control->path, err, err_size);
	if (!rc)
		rc = stale_remove(&addr, err, err_size);
	if (rc < 0)
		return rc;
	control->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (control->fd < 0)
		return fail(-errno, err, err_size, "socket: %s", strerror(errno));
	rc = socket_bind(control, &addr, err, err_size);
	if (rc < 0)
		listener_close(control);
	return rc;
}

void listener_close(struct control *control)
{
	struct stat st;

	if (control->fd < 0)
		return;
	/* Another daemon may have put its own there meanwhile. */
	if (control->ino && !lstat(control->path, &st) && st.st_ino == control->ino &&
	        st.st_dev == control->dev)
		unlink(control->path);
	close(control->fd);
	control->fd = -1;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A file that comes with a request, as a descriptor. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "control/server.h"

#define SEALS_WANTED (F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW)

void file_close(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

/* What the kernel has put into our table of descriptors must be taken, whatever it is. */
static int files_take(struct msghdr *head, int *file)
{
	int rc = 0;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(head); c; c = CMSG_NXTHDR(head, c)) {
		size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t i = 0; i < n; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(int));
			if (*file < 0) {
				*file = fd;
				continue;
			}
			close(fd);
			rc = -1;
		}
	}
	return rc;
}

ssize_t file_receive(struct client *client)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} room;
	struct iovec iov = {client->in, sizeof(client->in)};
	struct msghdr head = {
	        .msg_iov = &iov,
	        .msg_iovlen = 1,
	        .msg_control = room.bytes,
	        /* Not all of it: what is there for alignment would hold a second descriptor. */
	        .msg_controllen = CMSG_LEN(sizeof(int)),
	};
	ssize_t n = recvmsg(client->fd, &head, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

	if (n >= 0 && files_take(&head, &client->file)) {
		errno = EPROTO;
		return -1;
	}
	return n;
}

/* Only sealed memory: any other file might hang the loop, or change while it is read. */
static int file_check(int fd, size_t max, size_t *len)
{
	int seals = fcntl(fd, F_GET_SEALS);
	struct stat st;

	if (seals < 0 || (seals & SEALS_WANTED) != SEALS_WANTED)
		return -EINVAL;
	if (fstat(fd, &st))
		return -errno;
	if (st.st_size < 0 || (uintmax_t)st.st_size > max)
		return -EFBIG;
	*len = (size_t)st.st_size;
	return 0;
}

int control_call_file(struct control_call *call, size_t max, char **data, size_t *len)
{
	size_t size = 0, got = 0;
	char *buf;
	int rc;

	if (call->file < 0)
		return -ENODATA;
	rc = file_check(call->file, max, &size);
	if (rc)
		return rc;
	buf = malloc(size + 1);
	if (!buf)
		return -ENOMEM;
	while (got < size) {
		ssize_t n = pread(call->file, buf + got, size - got, (off_t)got);

		if (n <= 0 && !(n < 0 && errno == EINTR)) {
			free(buf);
			return -EIO;
		}
		got += n > 0 ? (size_t)n : 0;
	}
	buf[size] = '\0';
	*data = buf;
	*len = size;
	return 0;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The file of the cluster's names, as overlayd keeps it, read for the Name Service Switch.
 *
 * A line is `ADDRESS NAME ALIAS...` in words apart by blanks; what follows a # is a comment. overlayd
 * writes two for each peer, `10.77.0.17 node17 node17.hpc` and the same with its IPv6 address. Lines
 * that are anything else are passed over, and so is a last one without its newline: half a name
 * is another name.
 *
 * Programs of all kinds get this loaded into them, with small stacks, in any thread: nothing here
 * allocates memory, keeps anything, or logs. A reader and a line take about 5 KiB of the
 * caller's stack. Functions return 0 or more, or a negative errno.
 */
#ifndef NSS_HOSTS_H
#define NSS_HOSTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#ifndef HOSTS_PATH
#define HOSTS_PATH "/run/overlayd/hosts"
#endif

#define HOSTS_FILE_MAX (16U << 20) /* bytes; 20,000 peers with the longest names have 9 MiB */
#define HOSTS_LINE_MAX 512U        /* bytes; a longer line is passed over */
#define HOSTS_WORD_MAX 255U        /* bytes of one name */
#define HOSTS_NAMES_MAX 8U         /* in one line */
#define HOSTS_ADDRS_MAX 16U        /* of one host; more are passed over */

/* Network byte order; the rest of bytes[] is zero with AF_INET. */
struct hosts_addr {
	int family; /* AF_INET or AF_INET6 */
	uint8_t bytes[16];
};

struct hosts_line {
	struct hosts_addr addr;
	size_t n_names;                  /* 1 at least */
	uint16_t names[HOSTS_NAMES_MAX]; /* where in text each begins: hosts_line_name() */
	char text[HOSTS_LINE_MAX];
};

/* i < n_names; 0 is the host's own name, the others are aliases. Valid as long as the line. */
const char *hosts_line_name(const struct hosts_line *line, size_t i);
/* text: without its newline. -EINVAL: it is none; *out is undefined then. */
int hosts_line_parse(const char *text, size_t len, struct hosts_line *out);

struct hosts_reader {
	int fd;
	off_t offset; /* of the next line, in the file */
	bool skipping;
	size_t at, len; /* the next line, and what was read, in buf */
	char buf[4096];
};

/*
 * The file's descriptor. -EPERM: it is not a file of root's that nobody else may write: what it says
 * is worth nothing. -EFBIG; or why it cannot be opened.
 */
int hosts_open(const char *path);
/* From offset on, which is 0 or what reader.offset was. fd stays the caller's. */
void hosts_begin(struct hosts_reader *reader, int fd, off_t offset);
/* 1: *out is the next line. 0: there is none. */
int hosts_next(struct hosts_reader *reader, struct hosts_line *out);

/* What the file says of one host: its first line, and the addresses of all its lines. */
struct hosts_host {
	struct hosts_line line;
	size_t n_addrs;
	struct hosts_addr addrs[HOSTS_ADDRS_MAX];
};

/*
 * 1: *out is the first host that has this name or alias, upper and lower case being the same, with
 * its addresses of this family (AF_UNSPEC: both), of which there may be none. 0: no such host.
 */
int hosts_find_name(int fd, const char *name, int family, struct hosts_host *out);
/* The first host with this address, and that one alone. */
int hosts_find_addr(int fd, const struct hosts_addr *addr, struct hosts_host *out);

#endif

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The file of names as programs of all kinds read it, and what they get of it in buffers of any size:
 * the first two bytes are that size. No crash, no byte beyond a buffer; each line that was taken is
 * found again by its name and its address, and means the same when it is written anew.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "nss/hosts.h"
#include "nss/pack.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define LINES_ASKED 12 /* for each the whole file is read: memory of it is not what is looked for */

static void must(bool holds)
{
	if (!holds)
		abort();
}

static void same_again(const struct hosts_line *line)
{
	char text[2 * HOSTS_LINE_MAX], addr[INET6_ADDRSTRLEN];
	struct hosts_line again;
	size_t n;

	must(inet_ntop(line->addr.family, line->addr.bytes, addr, sizeof(addr)) != NULL);
	n = (size_t)snprintf(text, sizeof(text), "%s", addr);
	must(line->n_names >= 1 && line->n_names <= HOSTS_NAMES_MAX);
	for (size_t i = 0; i < line->n_names; i++) {
		const char *name = hosts_line_name(line, i);

		must(*name && strlen(name) <= HOSTS_WORD_MAX);
		n += (size_t)snprintf(text + n, sizeof(text) - n, " %s", name);
	}
	if (n >= HOSTS_LINE_MAX) /* an address may be longer than it was written */
		return;
	must(hosts_line_parse(text, n, &again) == 0);
	must(!memcmp(&again.addr, &line->addr, sizeof(again.addr)));
	must(again.n_names == line->n_names);
	for (size_t i = 0; i < line->n_names; i++)
		must(!strcmp(hosts_line_name(&again, i), hosts_line_name(line, i)));
}

static void try_pack(const struct hosts_host *host, int af, size_t size)
{
	struct gaih_addrtuple *pat = NULL;
	char *buffer = malloc(size ? size : 1);
	struct hostent he;
	size_t n = 0;
	int rc;

	must(buffer != NULL);
	if (af == AF_UNSPEC) {
		rc = pack_tuples(host, buffer, size, &pat);
		for (; pat; pat = pat->next, n++)
			must(!strcmp(pat->name, hosts_line_name(&host->line, 0)));
	} else {
		rc = pack_hostent(host, af, buffer, size, &he);
		while (!rc && he.h_addr_list[n])
			must(!memcmp(he.h_addr_list[n], host->addrs[n].bytes, (size_t)he.h_length)),
			        n++;
	}
	must(rc == -ERANGE || (rc == 0 && n == host->n_addrs));
	must(rc == 0 || size < 16384);
	free(buffer);
}

static void try_line(int fd, const struct hosts_line *line, size_t room)
{
	struct hosts_host host;

	for (size_t i = 0; i < line->n_names; i++) {
		must(hosts_find_name(fd, hosts_line_name(line, i), AF_UNSPEC, &host) == 1);
		must(host.n_addrs >= 1 && host.n_addrs <= HOSTS_ADDRS_MAX);
		try_pack(&host, AF_UNSPEC, room);
	}
	must(hosts_find_name(fd, hosts_line_name(line, 0), line->addr.family, &host) == 1);
	try_pack(&host, line->addr.family, room);
	must(hosts_find_addr(fd, &line->addr, &host) == 1);
	must(host.n_addrs == 1);
	try_pack(&host, line->addr.family, room);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct hosts_reader reader;
	struct hosts_line line;
	size_t room, asked = 0;
	off_t before = 0;
	int fd;

	if (size < 2)
		return 0;
	room = (size_t)(data[0] << 8 | data[1]);
	fd = memfd_create("hosts", MFD_CLOEXEC);
	must(fd >= 0 && write(fd, data + 2, size - 2) == (ssize_t)(size - 2));
	hosts_begin(&reader, fd, 0);
	while (hosts_next(&reader, &line) == 1) {
		must(reader.offset > before && reader.offset <= (off_t)size - 2);
		before = reader.offset;
		same_again(&line);
		if (asked++ < LINES_ASKED)
			try_line(fd, &line, room);
	}
	close(fd);
	return 0;
}

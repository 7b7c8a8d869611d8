/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vici_sas SOCKET [CONNECTION]: what `vici.py SOCKET sas` prints, one line per IKE_SA: name state
 * uniqueid I|R children. vici_sas SOCKET CONNECTION spis: one line per installed child, the SPI of
 * what comes in. The suites ask for it so often that starting Python would be most of what
 * an emulated machine does. It knows nothing of vici-client/, which is under test.
 */
#include <endian.h>
#include <err.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

enum packet { REQUEST, RESPONSE, UNKNOWN, REGISTER, UNREGISTER, CONFIRM, EVENT_UNKNOWN, EVENT };
enum element { SECTION = 1, SECTION_END, VALUE, LIST, ITEM, LIST_END };

static unsigned char packet[1 << 19]; /* charon's messages are no longer */
static size_t packet_len;

static void packet_send(
        int fd, enum packet type, const char *name, const char *key, const char *value)
{
	unsigned char b[512];
	size_t n = 4;

	b[n++] = (unsigned char)type;
	n += (size_t)snprintf((char *)b + n, sizeof(b) - n, "%c%s", (int)strlen(name), name);
	if (value) {
		b[n++] = VALUE;
		n += (size_t)snprintf((char *)b + n, sizeof(b) - n, "%c%s", (int)strlen(key), key);
		b[n++] = 0;
		if (strlen(value) > 255 || n + 1 + strlen(value) > sizeof(b))
			errx(1, "the connection's name is too long");
		n += (size_t)snprintf(
		        (char *)b + n, sizeof(b) - n, "%c%s", (int)strlen(value), value);
	}
	memcpy(b, &(uint32_t){htobe32((uint32_t)n - 4)}, 4);
	if (write(fd, b, n) != (ssize_t)n)
		err(1, "write");
}

static void read_all(int fd, void *to, size_t n)
{
	for (size_t got = 0; got < n;) {
		ssize_t r = read(fd, (char *)to + got, n - got);

		if (r <= 0)
			errx(1, "charon closed the vici socket");
		got += (size_t)r;
	}
}

static enum packet packet_receive(int fd)
{
	uint32_t n;

	read_all(fd, &n, 4);
	packet_len = be32toh(n);
	if (packet_len < 1 || packet_len > sizeof(packet))
		errx(1, "a message of %zu bytes", packet_len);
	read_all(fd, packet, packet_len);
	return packet[0];
}

/* ---- one list-sa event ---- */

struct text {
	char s[256];
};

struct reader {
	size_t at;
	struct text name, value;
};

static void take(struct reader *r, struct text *to, size_t length_bytes)
{
	size_t n = 0;

	for (size_t i = 0; i < length_bytes; i++)
		n = r->at < packet_len ? n << 8 | packet[r->at++] : n;
	if (n > packet_len - r->at)
		errx(1, "a message that ends in the middle");
	snprintf(to->s, sizeof(to->s), "%.*s", (int)n, (const char *)packet + r->at);
	r->at += n;
}

static enum element next(struct reader *r)
{
	enum element e = packet[r->at++];

	if (e == SECTION || e == VALUE || e == LIST)
		take(r, &r->name, 1);
	if (e == VALUE || e == ITEM)
		take(r, &r->value, 2);
	return e;
}

struct row {
	struct text ike, state, id;
	bool initiator;
	struct text child, reqid, child_state, spi;
	char children[4096];
};

static void row_value(struct row *row, int depth, const struct reader *r)
{
	const char *name = r->name.s;

	if (depth == 1 && !strcmp(name, "state"))
		row->state = r->value;
	else if (depth == 1 && !strcmp(name, "uniqueid"))
		row->id = r->value;
	else if (depth == 1 && !strcmp(name, "initiator"))
		row->initiator = true;
	else if (depth == 3 && !strcmp(name, "name"))
		row->child = r->value;
	else if (depth == 3 && !strcmp(name, "reqid"))
		row->reqid = r->value;
	else if (depth == 3 && !strcmp(name, "state"))
		row->child_state = r->value;
	else if (depth == 3 && !strcmp(name, "spi-in"))
		row->spi = r->value;
}

static void event_print(bool spis)
{
	struct reader r = {.at = 2u + packet[1]};
	static struct row row;
	int depth = 0;

	memset(&row, 0, sizeof(row));
	while (r.at < packet_len) {
		enum element e = next(&r);

		if (e == SECTION && ++depth == 1)
			row.ike = r.name;
		if (e == VALUE)
			row_value(&row, depth, &r);
		if (e != SECTION_END)
			continue;
		if (depth == 3) { /* of child-sas: a child */
			size_t n = strlen(row.children);

			snprintf(row.children + n, sizeof(row.children) - n, " %s:%s %s",
			        row.child.s, row.reqid.s, row.child_state.s);
			if (spis && !strcmp(row.child_state.s, "INSTALLED"))
				puts(row.spi.s);
		}
		if (--depth == 0 && !spis)
			printf("%s %s %s %c%s\n", row.ike.s, row.state.s, row.id.s,
			        row.initiator ? 'I' : 'R', *row.children ? row.children : " ");
	}
}

int main(int argc, char **argv)
{
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	struct timeval limit = {.tv_sec = 30};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	enum packet type;

	if (argc < 2 || argc > 4 || strlen(argv[1]) >= sizeof(to.sun_path))
		errx(2, "usage: vici_sas SOCKET [CONNECTION [spis]]");
	memcpy(to.sun_path, argv[1], strlen(argv[1]) + 1);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	if (connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0)
		err(1, "%s", argv[1]);
	packet_send(fd, REGISTER, "list-sa", NULL, NULL);
	while ((type = packet_receive(fd)) == EVENT)
		;
	if (type != CONFIRM)
		errx(1, "charon has no event list-sa");
	packet_send(fd, REQUEST, "list-sas", "ike", argv[2]);
	while ((type = packet_receive(fd)) == EVENT)
		event_print(argc > 3);
	if (type != RESPONSE)
		errx(1, "charon does not know list-sas");
	close(fd);
	return 0;
}

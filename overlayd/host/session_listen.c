/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Our own overlay addresses, and who comes to them. */
#include "host/session_private.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <utlist.h>

#define BACKLOG 512
#define ACCEPT_TURN 16
#define COMERS_MOST 8 /* connections of a peer at once; */
#define COMERS_EACH_US 1000000

void session_sockaddr(
        const struct policy_addr *addr, uint16_t port, struct sockaddr_storage *out, socklen_t *len)
{
	memset(out, 0, sizeof(*out));
	if (addr->family == AF_INET) {
		struct sockaddr_in *in = (struct sockaddr_in *)out;

		in->sin_family = AF_INET;
		in->sin_port = htons(port);
		memcpy(&in->sin_addr, addr->bytes, 4);
		*len = sizeof(*in);
	} else {
		struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)out;

		in6->sin6_family = AF_INET6;
		in6->sin6_port = htons(port);
		memcpy(&in6->sin6_addr, addr->bytes, 16);
		*len = sizeof(*in6);
	}
}

bool session_addr(const struct sockaddr_storage *from, struct policy_addr *out, uint16_t *port)
{
	*out = (struct policy_addr){.family = (uint8_t)from->ss_family};
	if (from->ss_family == AF_INET) {
		const struct sockaddr_in *in = (const struct sockaddr_in *)from;

		memcpy(out->bytes, &in->sin_addr, 4);
		*port = ntohs(in->sin_port);
	} else if (from->ss_family == AF_INET6) {
		const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)from;

		memcpy(out->bytes, &in6->sin6_addr, 16);
		*port = ntohs(in6->sin6_port);
	} else {
		return false;
	}
	return true;
}

static int option(int fd, int level, int name, int value)
{
	return setsockopt(fd, level, name, &value, sizeof(value)) < 0 ? -errno : 0;
}

/* A peer that is gone is noticed within 15 s, whether we speak or not. */
int session_socket_set(int fd)
{
	int rc = option(fd, IPPROTO_TCP, TCP_NODELAY, 1);

	rc = rc ? rc : option(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
	rc = rc ? rc : option(fd, IPPROTO_TCP, TCP_KEEPIDLE, 5);
	rc = rc ? rc : option(fd, IPPROTO_TCP, TCP_KEEPINTVL, 5);
	rc = rc ? rc : option(fd, IPPROTO_TCP, TCP_KEEPCNT, 2);
	rc = rc ? rc : option(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, 15000);
	/* A bundle waits here, once for all, not in the kernel for each. */
	return rc ? rc : option(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, 128 << 10);
}

/* ---- who comes ------------------------------------------------------------------------------ */

/* A peer that was started anew has an old connection that nobody speaks on: the oldest makes room. */
static void room_make(struct sessions *all, const char *peer)
{
	struct session_conn *conn, *oldest = NULL;
	size_t n = 0;

	DL_FOREACH(all->conns, conn) {
		if (strcmp(conn->peer, peer))
			continue;
		n++;
		if (!conn->ours && !oldest)
			oldest = conn;
	}
	if (n >= SESSION_PER_PEER && oldest)
		session_conn_end(oldest, "%s has opened another", peer);
}

static void comer_take(struct sessions *all, int fd, const struct sockaddr_storage *from)
{
	char peer[POLICY_NAME_MAX + 1];
	struct policy_addr addr;
	uint16_t port;

	if (!session_addr(from, &addr, &port) || all->n_conns >= SESSION_ALL_MAX ||
	        !session_bucket_take(all, all->comers, &addr, COMERS_MOST, COMERS_EACH_US) ||
	        session_peer_at(all, &addr, peer) || session_socket_set(fd)) {
		close(fd);
		return;
	}
	room_make(all, peer);
	if (session_conn_accept(all, fd, peer))
		log_warning("out of memory: a session of %s is not taken", peer);
}

static int on_comer(sd_event_source *source, int fd, uint32_t events, void *user)
{
	struct sessions *all = user;

	(void)events;
	for (int i = 0; i < ACCEPT_TURN; i++) {
		struct sockaddr_storage from;
		socklen_t len = sizeof(from);
		int new = accept4(fd, (struct sockaddr *)&from, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (new >= 0) {
			comer_take(all, new, &from);
			continue;
		}
		if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
			/* It would call us again and again: see session_listen_tick(). */
			sd_event_source_set_enabled(source, SD_EVENT_OFF);
			session_tick_soon(all);
		}
		if (errno != ECONNABORTED && errno != EINTR)
			break;
	}
	return 0;
}

/* ---- our addresses -------------------------------------------------------------------------- */

static int tcp_open(struct session_listener *l, struct sessions *all)
{
	struct sockaddr_storage at;
	socklen_t len;
	int rc;

	l->tcp = socket(l->addr.family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (l->tcp < 0)
		return -errno;
	session_sockaddr(&l->addr, SESSION_PORT, &at, &len);
	rc = option(l->tcp, SOL_SOCKET, SO_REUSEADDR, 1);
	/* The device may come later, and go and come again. */
	rc = rc ? rc : option(l->tcp, IPPROTO_IP, IP_FREEBIND, 1);
	if (!rc && (bind(l->tcp, (struct sockaddr *)&at, len) < 0 || listen(l->tcp, BACKLOG) < 0))
		rc = -errno;
	if (!rc)
		rc = sd_event_add_io(all->world->event, &l->tcp_io, l->tcp, EPOLLIN, on_comer, all);
	return rc < 0 ? rc : 0;
}

static void listener_close(struct session_listener *l)
{
	l->tcp_io = sd_event_source_disable_unref(l->tcp_io);
	l->udp_io = sd_event_source_disable_unref(l->udp_io);
	if (l->tcp >= 0)
		close(l->tcp);
	if (l->udp >= 0)
		close(l->udp);
	l->tcp = l->udp = -1;
}

static int listener_open(struct session_listener *l, struct sessions *all)
{
	int rc = tcp_open(l, all);

	if (!rc)
		rc = session_notes_open(l, all);
	if (rc)
		listener_close(l);
	return rc;
}

void session_listen(
        struct session_listener *l, struct sessions *all, const struct policy_addr *addr)
{
	char text[64];
	int rc;

	session_listen_end(l);
	if (!addr->family)
		return;
	l->addr = *addr;
	rc = listener_open(l, all);
	if (!rc)
		return;
	policy_addr_print(addr, text, sizeof(text));
	log_error("cannot listen at %s port %u (%s): other nodes cannot open sessions to this one; "
	          "is the port another program's?",
	        text, SESSION_PORT, strerror(-rc));
	session_tick_soon(all);
}

bool session_listen_tick(struct session_listener *l, struct sessions *all)
{
	if (l->tcp_io)
		sd_event_source_set_enabled(l->tcp_io, SD_EVENT_ON);
	return l->addr.family && l->tcp < 0 && listener_open(l, all);
}

void session_listen_end(struct session_listener *l)
{
	listener_close(l);
	l->addr = (struct policy_addr){0};
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Datagrams: may be lost, come twice or late, and mean little. */
#include "host/session_private.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#define NOTES_TURN 32
#define NOTES_MOST 8 /* of a peer at once; */
#define NOTES_EACH_US 500000

static void note_take(struct sessions *all, const struct sockaddr_storage *from, size_t len)
{
	struct engine_event ev = {.type = ENGINE_EV_NOTE};
	char peer[POLICY_NAME_MAX + 1];
	struct session_hello own;
	struct policy_addr addr;
	uint16_t port;

	/* What costs nothing comes first. */
	if (!session_addr(from, &addr, &port) || port != SESSION_PORT ||
	        !session_bucket_take(all, all->notes, &addr, NOTES_MOST, NOTES_EACH_US) ||
	        session_peer_at(all, &addr, peer) || !session_hello_own(all, &own) ||
	        session_note_decode(own.cluster, all->in, len, &ev.note.head))
		return;
	ev.note.peer = peer;
	world_event(all->world, &ev);
}

static int on_note(sd_event_source *source, int fd, uint32_t events, void *user)
{
	struct sessions *all = user;

	(void)source, (void)events;
	for (int i = 0; i < NOTES_TURN; i++) {
		struct sockaddr_storage from;
		socklen_t size = sizeof(from);
		ssize_t n = recvfrom(fd, all->in, SESSION_NOTE_MAX + 1, MSG_DONTWAIT,
		        (struct sockaddr *)&from, &size);

		if (n < 0 && errno == EAGAIN)
			break;
		if (n > 0)
			note_take(all, &from, (size_t)n);
		if (all->listeners[0].udp != fd && all->listeners[1].udp != fd)
			break; /* it went while the engine was told */
	}
	return 0;
}

int session_notes_open(struct session_listener *l, struct sessions *all)
{
	struct sockaddr_storage at;
	socklen_t len;
	int on = 1;
	int rc;

	l->udp = socket(l->addr.family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (l->udp < 0)
		return -errno;
	session_sockaddr(&l->addr, SESSION_PORT, &at, &len);
	if (setsockopt(l->udp, IPPROTO_IP, IP_FREEBIND, &on, sizeof(on)) < 0 ||
	        bind(l->udp, (struct sockaddr *)&at, len) < 0)
		return -errno;
	rc = sd_event_add_io(all->world->event, &l->udp_io, l->udp, EPOLLIN, on_note, all);
	return rc < 0 ? rc : 0;
}

void session_note_send(struct sessions *all, const struct engine_note_fx *note)
{
	uint8_t bytes[SESSION_NOTE_MAX];
	struct sockaddr_storage to;
	struct session_hello own;
	socklen_t to_len;
	size_t len;

	if (!session_hello_own(all, &own) ||
	        session_note_encode(own.cluster, &note->head, bytes, &len))
		return;
	session_sockaddr(&note->addr, SESSION_PORT, &to, &to_len);
	for (size_t i = 0; i < 2; i++)
		if (all->listeners[i].udp >= 0 &&
		        all->listeners[i].addr.family == note->addr.family)
			(void)sendto(all->listeners[i].udp, bytes, len, MSG_DONTWAIT | MSG_NOSIGNAL,
			        (struct sockaddr *)&to, to_len);
}

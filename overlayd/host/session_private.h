/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of host/session.h share. */
#ifndef OVERLAYD_HOST_SESSION_PRIVATE_H
#define OVERLAYD_HOST_SESSION_PRIVATE_H

#include "host/session.h"
#include "host/session_wire.h"
#include "host/world.h"

#include <netinet/in.h>
#include <sys/uio.h>
#include <uthash.h>

/* ---- limits */

#define SESSION_CONNECT_US 5000000 /* until the other end has answered: the next SYN is soon */
#define SESSION_HELLO_US 5000000   /* then until its hello */
#define SESSION_STALL_US 15000000  /* in this time at least SESSION_STALL_BYTES must move, */
#define SESSION_STALL_BYTES 16384U /* or all that there was, in either direction */
#define SESSION_ASKED_US 120000000 /* a large answer is taken so long after it was asked for */
#define SESSION_PER_PEER 2U
#define SESSION_ALL_MAX 20000U
#define SESSION_QUEUE_MAX (1U << 20) /* bytes that wait, without bundles */
#define SESSION_QUEUE_LARGE 2U       /* bundles that wait */
#define SESSION_QUEUE_CHUNKS 512U
#define SESSION_CREDIT_MAX 100  /* messages that may come at once, */
#define SESSION_CREDIT_S 20     /* and so many a second */
#define SESSION_UNKNOWN_MAX 64U /* messages of unknown types between two known ones */

/* ---- session_record.c */

#define SESSION_RECORD_MAX (2U + SESSION_STATEMENT_MAX + 64U)
#define SESSION_RECORD_MIN (2U + 22U + 1U + 64U) /* of an unknown kind */

/* Returns how many bytes. */
size_t session_record_write(
        const struct session_statement *statement, uint8_t buf[SESSION_RECORD_MAX]);
/* 1: *out is filled in; 0: of an unknown kind; both move on. -EBADMSG. */
int session_record_read(const uint8_t **at, size_t *left, struct session_statement *out);

/* ---- session_queue.c */

/* A bundle on its way to one session or to many. */
struct session_blob {
	size_t refs;
	struct session_head head, base; /* what it is: the same for all who get it */
	size_t len;
	struct session_blob *prev, *next;
	uint8_t bytes[];
};

struct session_chunk {
	uint8_t *own; /* or of the blob */
	struct session_blob *blob;
	size_t at, len;
	struct session_chunk *next;
};

struct session_queue {
	struct session_chunk *first, **last;
	size_t n, n_large, bytes; /* bytes: without blobs */
};

void session_queue_init(struct session_queue *queue);
void session_queue_clear(struct session_queue *queue, struct session_blob **blobs);
/*
 * Sends what the socket takes now and keeps the rest; out->bytes is taken over. msg: what the tail
 * is of. -ENOBUFS: too much waits already; -ENOMEM, or what send() says. *sent: bytes that went.
 */
int session_queue_add(struct session_queue *queue, struct session_blob **blobs, int fd,
        struct session_out *out, const struct session_msg *msg, size_t *sent);
/* 0: all that could be sent for now was, queue->first tells what is left. */
int session_queue_send(
        struct session_queue *queue, struct session_blob **blobs, int fd, size_t *sent);

/* ---- one connection (session_conn.c) */

enum session_stage { SESSION_CONNECTING, SESSION_HELLO, SESSION_UP, SESSION_ENDED };

struct session_conn {
	struct sessions *all;
	uint64_t id;
	char peer[POLICY_NAME_MAX + 1];
	enum session_stage stage;
	bool ours;
	bool silent; /* the engine has closed it, or never knew of it */
	int version; /* agreed */
	int fd;
	sd_event_source *io;
	int64_t since_us; /* the stage's begin */

	struct wire_reader reader;
	int64_t in_us;   /* the message that is coming: when it was last judged, */
	size_t in_bytes; /* and what came since */
	int credit;
	unsigned unknown;
	int64_t large_until_us, answer_until_us, map_until_us;

	struct session_queue queue;
	int64_t out_us;
	size_t out_bytes;

	char text[ENGINE_TEXT_MAX]; /* why it ended, or the other's release */
	UT_hash_handle hh;
	struct session_conn *prev, *next; /* of all->conns or all->ended */
};

/* A peer's that came: takes over fd, also on failure. */
int session_conn_accept(struct sessions *all, int fd, const char *peer);
/* One of ours, by the effect. */
void session_conn_open(struct sessions *all, const struct engine_session_fx *fx);
void session_conn_free(struct session_conn *conn); /* off its list already */
/* It is over; the engine learns of it at the loop's next turn. */
void session_conn_end(struct session_conn *conn, const char *format, ...)
        __attribute__((format(printf, 2, 3)));
void session_conn_send(struct session_conn *conn, const struct session_msg *msg, bool large);
/* Once a second while it wants it: its limits in time. True: it wants it again. */
bool session_conn_tick(struct session_conn *conn, int64_t now_us);

/* ---- all of them (session.c) */

/* So many a second of each address; addresses may share one, and cannot choose to. */
struct session_bucket {
	int64_t full_us; /* when it is full again */
};
#define SESSION_BUCKETS 1024U

struct session_listener {
	struct policy_addr addr; /* family 0: none */
	int tcp, udp;
	sd_event_source *tcp_io, *udp_io;
};

struct sessions {
	struct world *world;
	struct session_conn *conns; /* list */
	struct session_conn *by_id; /* hash of the same */
	struct session_conn *ended; /* to be told and freed */
	size_t n_conns;
	uint64_t next_id;
	struct session_listener listeners[2]; /* IPv4, IPv6 */
	bool open;                            /* there are sessions, as the firewall's base says */
	struct session_blob *blobs;
	sd_event_source *tick, *reap;
	uint64_t salt;
	struct session_bucket comers[SESSION_BUCKETS], notes[SESSION_BUCKETS];
	uint8_t in[65536]; /* what was just read; used by one at a time */

	/* the last statement that was signed, and its signature */
	uint8_t signed_text[SESSION_STATEMENT_MAX], signature[64];
	uint8_t signed_by[32];
	size_t signed_len;
};

void session_tick_soon(struct sessions *all);
/* Takes one of `most` tokens that come back one every each_us; false: there is none. */
bool session_bucket_take(struct sessions *all, struct session_bucket *buckets,
        const struct policy_addr *addr, unsigned most, int64_t each_us);
/* This node's hello; false: it is no member now. */
bool session_hello_own(struct sessions *all, struct session_hello *out);
void session_sockaddr(const struct policy_addr *addr, uint16_t port, struct sockaddr_storage *out,
        socklen_t *len);
/* False: neither IPv4 nor IPv6. */
bool session_addr(const struct sockaddr_storage *from, struct policy_addr *out, uint16_t *port);
/* Whose overlay address it is, by the policy in force; -ENOENT; name of POLICY_NAME_MAX + 1. */
int session_peer_at(struct sessions *all, const struct policy_addr *addr, char *name);

/* session_listen.c */
void session_listen(
        struct session_listener *l, struct sessions *all, const struct policy_addr *addr);
void session_listen_end(struct session_listener *l);
/* At each tick: what did not go is tried again. True: it still does not. */
bool session_listen_tick(struct session_listener *l, struct sessions *all);
int session_socket_set(int fd); /* what any TCP socket of ours needs */

/* session_notes.c */
int session_notes_open(struct session_listener *l, struct sessions *all);
void session_note_send(struct sessions *all, const struct engine_note_fx *note);

/* session_sign.c: signs with the node's key. -errno, and a sentence in err. */
int session_sign(
        struct sessions *all, struct session_statement *statement, char *err, size_t err_size);

#endif

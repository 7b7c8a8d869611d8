/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * server: what the files of this room share, and nobody else sees.
 *
 *   listener.c  the socket file: modes, stale sockets, clean removal
 *   control.c   the server: accept, limits, publish
 *   client.c    one connection: bytes in, bytes out, its deadlines
 *   call.c      one request: its answer, now or later
 *   file.c      the file that came with a request
 *   methods.c   the table of methods and what each needs
 */
#ifndef OVERLAYD_CONTROL_SERVER_H
#define OVERLAYD_CONTROL_SERVER_H

#include "client/wire.h"
#include "control/control.h"

#define CONTROL_TOPICS_MAX 8
#define CONTROL_IN 16384U /* bytes read at once from a client */

/* Bytes that wait for a client to read them. */
struct chunk {
	struct chunk *next;
	uint8_t *bytes;
	size_t len;
	size_t at;
};

struct client {
	struct client *prev, *next;
	struct control *control;
	int fd;
	int file; /* came with the bytes of a request that is not whole yet; -1: none */
	sd_event_source *io;
	sd_event_source *timer; /* one, for the nearest of all its deadlines */
	sd_event_source *again; /* handle what is left in in[] */
	struct control_caller caller;
	bool said_hello;
	bool at_eof; /* it will say no more; answers may still be read */
	bool dead;   /* waits to be reaped: nobody frees a client under its caller's feet */
	bool gap;    /* events were dropped since the last one it got */
	unsigned topics;
	struct control_call *calls; /* not answered yet */
	unsigned n_calls;
	struct wire_reader reader;
	size_t in_at, in_len;
	uint8_t in[CONTROL_IN];
	struct chunk *out, **out_last;
	size_t out_bytes;
	uint64_t active;  /* usec, monotonic: last request or answer */
	uint64_t begun;   /* when we began to wait for the rest of a message */
	uint64_t written; /* last time that it took a byte, or that a byte began to wait */
};

struct control {
	sd_event *event;
	struct control_options options;
	struct control_ops ops;
	void *user;
	char *path;
	char *version;
	int fd;
	uint64_t dev, ino; /* of the socket file that we made */
	sd_event_source *io;
	sd_event_source *resume; /* of a paused accept */
	sd_event_source *reap;
	struct client *clients;
	unsigned n_clients; /* dead ones not counted */
	size_t out_bytes;   /* of all clients */
};

/* A request. Detached (client NULL) when its client has gone. */
struct control_call {
	struct control_call *prev, *next;
	struct client *client;
	struct control_caller caller;
	json_int_t id;
	const struct method *method;
	int file; /* -1: none */
	json_t *detail;
	char why[CONTROL_TEXT_MAX];
};

/* listener.c */
int listener_open(struct control *control, char *err, size_t err_size);
void listener_close(struct control *control);

/* control.c */
__attribute__((format(printf, 3, 4))) void control_log(
        struct control *control, int priority, const char *format, ...);
uint64_t control_now(struct control *control);
/* Forget a dead client at the next turn of the loop. */
void control_reap_later(struct control *control);
/* The bit of a topic, or -1. */
int control_topic(const char *name);

/* client.c */
int client_new(struct control *control, int fd);
void client_free(struct client *client);
/* End it, with a farewell that says why. */
__attribute__((format(printf, 3, 4))) void client_end(
        struct client *client, int error, const char *format, ...);
/* Queue an answer; the client is ended when it cannot be. */
void client_answer(struct client *client, const json_t *header, const char *payload, size_t len);
/* Queue an event that is encoded already; dropped, with a gap, when too much waits. */
void client_event(struct client *client, const uint8_t *bytes, size_t len);
/* A call ended: there may be room for the next. */
void client_call_ended(struct client *client);

/* file.c */
/* Like recv(), into in[]; what file comes is the client's. -EPROTO: there is one already. */
ssize_t file_receive(struct client *client);
void file_close(int *fd);

/* call.c */
/* A whole request. One that is no request ends the client. */
void call_request(struct client *client, const struct wire_msg *msg);
void call_detach(struct control_call *call);

/* methods.c */
struct method {
	const char *name;
	unsigned needs; /* enum control_right */
	bool logged;    /* changes something: who did it stands in the journal */
	bool file;      /* takes a file */
	control_op *builtin;
	size_t op; /* offset in struct control_ops */
};
const struct method *method_find(const char *name);
control_op *method_op(const struct method *method, const struct control *control);

#endif

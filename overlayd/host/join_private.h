/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of host/join.h share. */
#ifndef OVERLAYD_HOST_JOIN_PRIVATE_H
#define OVERLAYD_HOST_JOIN_PRIVATE_H

#include "host/join.h"
#include "host/join_wire.h"
#include "host/world.h"

#include "policy/ticket.h"
#include "vici-client/vici.h"

/* ---- a seed's port: join_serve.c */

struct join_serve;
int join_serve_new(struct world *world, struct join_serve **out);
void join_serve_free(struct join_serve *serve);
/* Listens, or ends what it did. 0, or why not. */
int join_serve_set(struct join_serve *serve, const struct engine_join_serve *spec);
void join_serve_answer(struct join_serve *serve, const struct engine_join_answer_fx *fx);

/* ---- a newcomer's join SA: join_sa.c. One vici connection of its own, so that charon's blocking
 * `initiate` holds up nobody. */

struct join_sa;
struct join_sa_up {
	int error;                    /* as in ENGINE_EV_JOIN_ANSWERED; 0: it is up */
	const char *text;             /* why not, for people */
	struct policy_addr own, seed; /* inner addresses */
};
typedef void join_sa_up_fn(void *user, const struct join_sa_up *up);
typedef void join_sa_down_fn(void *user);
int join_sa_new(struct world *world, struct join_sa **out);
void join_sa_free(struct join_sa *sa);
/* Brings it up; done is told once, later, but not if it is taken down before. port: our own, UDP. */
void join_sa_up(struct join_sa *sa, const struct engine_join_ask *ask, uint16_t port,
        join_sa_up_fn *done, void *user);
/* Takes down whatever there may be; done is told once, later, when all of it is gone (or charon). */
void join_sa_down(struct join_sa *sa, join_sa_down_fn *done, void *user);
/* The same while the daemon ends: waits for it, but no longer than a second or two. */
void join_sa_down_now(struct join_sa *sa);

/* ---- a newcomer's question: join_ask.c */

struct join_ask;
int join_ask_new(struct world *world, struct join_ask **out);
void join_ask_free(struct join_ask *ask);
/* ticket: the one that it is about. */
void join_ask_start(struct join_ask *ask, uint64_t id, const struct engine_join_ask *what,
        const struct policy_ticket *ticket);
void join_ask_stop(struct join_ask *ask, uint64_t id);
/* charon is there: what an earlier run left goes. */
void join_ask_clean(struct join_ask *ask);

/* ---- keys: join_sign.c */

/* Fills in nonce, release, by_token (by the token's secret, if there is one) and signature. 0, or one
 * sentence in err. */
int join_sign_request(const struct world *world, const struct engine_join_ask *ask,
        const uint8_t *secret, const uint8_t seed_nonce[32], struct join_request *request,
        char *err, size_t err_size);
/* By the key that it names; if that is none of ours, by the one that this node signs with now. */
int join_sign(const struct world *world, const struct engine_admit_fx *admit, uint8_t signature[64],
        char *err, size_t err_size);

/* ---- files: join_keep.c */

#define JOIN_KEPT "join" /* in the state directory: three lines: ticket, name, site */

/* 0, -ENOENT: none is kept; else why it cannot be used. */
struct join_kept {
	char ticket[POLICY_TICKET_TEXT_MAX];
	char name[POLICY_NAME_MAX + 1], site[POLICY_NAME_MAX + 1];
};
int join_keep_read(const char *state_dir, struct join_kept *out, char *err, size_t err_size);
int join_keep_write(
        const char *state_dir, const struct join_kept *kept, char *err, size_t err_size);
int join_keep_forget(const char *state_dir); /* none is fine */
int join_keep_key(
        const struct world *world, const struct minisign_public *key, char *err, size_t err_size);

#endif

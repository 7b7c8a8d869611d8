/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Joining, as the engine sees it (engine/join.h): the host's part of both sides.
 *
 * A seed: a pool of inner addresses, a well-known secret and the connection JOIN_CONN in charon,
 * JOIN_PORT at its own overlay address, and what comes there. The firewall lets the pool's addresses
 * reach that port and nothing else, and nobody reach them.
 *
 * A newcomer: one seed at a time, all within JOIN_ASK_MAX_US: the cluster's overlay is routed to
 * the device and shut in the firewall, a join SA comes up, one question and one answer in it, and
 * all of it goes again, whatever became of it.
 *
 * Files: join.c (life, tickets, effects), join_keep.c (files), join_serve.c (a seed's port),
 * join_ask.c (a newcomer's question), join_sa.c (its join SA), charon_join.c (connections in
 * charon's words), join_sign.c (keys), join_wire.c (bytes).
 */
#ifndef OVERLAYD_HOST_JOIN_H
#define OVERLAYD_HOST_JOIN_H

#include "engine/engine.h"

#include <stdbool.h>
#include <stddef.h>

struct world;
struct join;

int join_new(struct world *world, struct join **out);
/* A question that is on its way is given up, and nothing of it stays; the ticket does. */
void join_free(struct join *join);
/* At start, when the policy is known: a ticket that was kept is gone on with. */
void join_begin(struct join *join);
/* charon is there (again): what an earlier run's question left there goes. */
void join_charon(struct join *join);
/* All effects ENGINE_FX_JOIN_*, _ADMIT_SIGN, _CLUSTER_KEY, _TICKET_FORGET. */
void join_run(struct join *join, const struct engine_effect *fx);

/*
 * For the control socket. The ticket (its text, policy/ticket.h) is checked, kept in the state
 * directory, and the engine asks its seeds until the node is a member. name: wanted; NULL or "": the
 * host's own. site: may be NULL or "". What becomes of it: engine_join_look(). err: one sentence.
 * -EINVAL: no ticket, or a bad name; -EALREADY: this node is a member; -EISCONN: of another cluster.
 */
int join_start(struct world *world, const char *ticket, const char *name, const char *site,
        char *err, size_t err_size);
/* Asks no more and forgets the ticket. -ENOENT: there was none. */
int join_cancel(struct world *world, char *err, size_t err_size);

#endif

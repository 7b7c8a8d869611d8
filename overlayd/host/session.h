/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Sessions with other nodes, as the engine sees them (engine/session.h): TCP connections and
 * datagrams inside the tunnels, from overlay address to overlay address, port SESSION_PORT.
 *
 * Who the other is, its address says: the firewall lets nothing else through with it than what came
 * by that peer's own SA. What it may cost is bounded, whatever it sends: two connections a peer, a
 * hello within seconds, a rate of messages and of datagrams, small payloads unless we asked, a
 * queue that drains or ends the session.
 *
 * Files: session.c (effects, life), session_listen.c (own addresses, who comes), session_conn.c
 * (one connection), session_queue.c (what waits to be sent; one copy of a bundle for all),
 * session_notes.c (datagrams), session_sign.c, session_wire.c and session_record.c (bytes).
 */
#ifndef OVERLAYD_HOST_SESSION_H
#define OVERLAYD_HOST_SESSION_H

#include "engine/engine.h"

struct world;
struct sessions;

int sessions_new(struct world *world, struct sessions **out);
/* Ends them all without a word. */
void sessions_free(struct sessions *all);
/* The firewall's new base: whether there are sessions, and our addresses. Before it is carried out. */
void sessions_base(struct sessions *all, const struct engine_fw_base *base);
/* ENGINE_FX_SESSION_OPEN, _SEND, _CLOSE, ENGINE_FX_NOTE_SEND */
void sessions_run(struct sessions *all, const struct engine_effect *fx);

#endif

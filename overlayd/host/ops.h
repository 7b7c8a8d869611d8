/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the host offers to control/: its methods (status.c, doctor.c, ops.c) and its events. And the
 * log of the engine's notices, as both are told the same.
 */
#ifndef OVERLAYD_HOST_OPS_H
#define OVERLAYD_HOST_OPS_H

#include "host/world.h"

struct ops;

int ops_new(struct world *world, struct ops **out, char *err, size_t err_size);
/* Opens the admin socket. */
int ops_start(struct ops *ops, char *err, size_t err_size);
void ops_free(struct ops *ops);
/* Logs it and tells subscribers. */
void ops_notice(struct world *world, const struct engine_notice *notice);
/* The engine has stepped: calls that wait for the plan to be done may end. */
void ops_changed(struct world *world);
/* Tells systemd and subscribers of a reload. */
int ops_reload(struct world *world);

/* ---- status.c ---- */
json_t *status_json(struct world *world);
/* {"state", "why"}: the node as a whole. */
json_t *status_head_json(struct world *world);
/* The word for people; several of the engine's states share one. */
const char *status_peer_state(enum engine_peer_state state, bool degraded);
json_t *status_peer_json(const struct policy *policy, const struct engine_peer_view *view);

/* The time at which a question between these two is judged: now; or the trusted time, where an
 * `until` is over by that alone. */
int64_t ops_when(const struct engine_view *view, const struct policy_peer *from,
        const struct policy_peer *to);

/* Text that may have come from elsewhere: never a reason to fail. NULL: "". */
json_t *status_text_json(const char *text);
/* null: none */
json_t *status_addr_json(const struct policy_addr *addr);
json_t *status_link_json(const struct policy_addr *addr, uint16_t port); /* ADDRESS:PORT */
json_t *status_fingerprint_json(const struct policy_key *key);

/* ---- ops_bundle.c ---- */
json_t *ops_rows_json(const struct policy_diff *diff);
/* By a bundle another policy is in force: logs and publishes what changed. old may be NULL. */
void ops_bundle_told(struct world *world, const struct policy *old, const struct policy *policy);
/* The file that came with the call, to the engine. 0: *result is for when the plan is done. */
int ops_load(struct world *world, struct control_call *call, json_t **result);
int ops_bundle(struct world *world, struct control_call *call, json_t **out);
json_t *ops_members_json(struct world *world);
/* null without a cluster key. */
json_t *ops_bundle_status(const struct world *world);

/* ---- ops_join.c: methods, and status' "join" ---- */
int ops_join(struct world *world, struct control_call *call, const json_t *params, json_t **out);
int ops_pending(struct world *world, json_t **out);
int ops_reject(struct world *world, struct control_call *call, const json_t *params, json_t **out);
json_t *ops_join_status(const struct world *world);

/* ---- ops_tokens.c ---- */
int ops_tokens(struct world *world, json_t **out);
/* The name of the token that let it in; NULL: it is no guest. */
const char *ops_guest_of(const struct policy *policy, const struct policy_peer *peer);

/* ---- denied.c ---- */
int denied_json(struct world *world, json_t **out, char *err, size_t err_size);

/* ---- doctor.c ---- */
/* Ends the call later (CONTROL_LATER), as charon is asked. */
int doctor_run(struct world *world, struct control_call *call, json_t **out);

#endif

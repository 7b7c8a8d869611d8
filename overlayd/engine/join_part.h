/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the rest of the engine calls of joining. Comes with internal.h; its inside: join_internal.h. */
#ifndef OVERLAYD_ENGINE_JOIN_PART_H
#define OVERLAYD_ENGINE_JOIN_PART_H

/* engine.c */
void engine_cluster_key(struct engine *e, const struct minisign_public *key);

/* join.c */
int joins_new(struct engine *e); /* -ENOMEM */
void joins_free(struct engine *e);
void joins_event(struct engine *e, const struct engine_event *ev);
void joins_result(struct engine *e, enum op_kind kind, int error, const char *text);
void joins_step(struct engine *e);
int64_t joins_wakeup(const struct engine *e);

/* join_newcomer.c */
bool join_is_asking(const struct engine *e); /* SAs of JOIN_ASK_CONN are the host's own */

/* join_serve.c */
bool join_in_table(const struct engine *e); /* the firewall lets them pass */
void join_pool(const struct engine *e, struct policy_prefix *out);
void join_charon_lost(struct engine *e);
/* A list that was asked for in step `seq` has JOIN_CONN, or not. */
void join_conn_listed(struct engine *e, bool listed, uint64_t seq);
void join_sa_seen(struct engine *e, struct sa *sa, const struct policy_addr *remote_host);
void join_sa_gone(struct engine *e, const struct sa *sa);
enum child_fit join_child_fit(
        struct engine *e, const struct sa *sa, const struct engine_child_row *c);
enum sa_fault join_sa_judge(const struct engine *e, const struct sa *sa);

#endif

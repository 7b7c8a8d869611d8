/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * cluster: which policy is in force, and how it gets to everybody; pure as the rest of the engine.
 *
 * A machine within the machine: it knows nothing of charon, the firewall or tunnels, only which
 * peers can be reached (cluster_peer). So the simulator can run ten thousand of it without their
 * tunnels. The engine feeds it and does what it says:
 *
 *	cluster_step_begin()	each step begins so
 *	cluster_*()		what happened
 *	cluster_policy()	the policy of the bundle in force and the guests of its tokens, when
 *				it is another: the engine takes it over, and says so:
 *				cluster_members()
 *	cluster_tick()		last: what is due, and what follows from all that happened
 *	cluster_effects()	ENGINE_FX_BUNDLE_STORE, _ADMISSIONS_STORE, _ADMIT_SIGN, _SESSION_*,
 *				_NOTE_SEND, _NOTICE of this step; what they point to is valid until
 *				the next one
 *	cluster_wakeup()	when the next step is wanted, if nothing happens before
 *
 * Files: members.c (whom there is), bundles.c (key, in force, judged), texts.c (the last few, and
 * differences), store.c (kept), calls.c (who opens sessions, when), sessions.c (what is said and
 * heard on them), wants.c (large bundles, asked for), notes.c (datagrams, seeds that hold back),
 * statements.c (what members said of themselves), where.c (where they are on the underlay),
 * vouchers.c (members that change their keys), admissions.c (guests that tokens let in),
 * admissions_say.c (on sessions), admissions_store.c (on disk), admissions_sign.c (by a seed's next
 * key), admit.c (asked for by a seed, and by a newcomer).
 */
#ifndef OVERLAYD_ENGINE_CLUSTER_H
#define OVERLAYD_ENGINE_CLUSTER_H

#include "engine/engine.h"
#include "engine/links.h"

struct cluster;

/*
 * The costly parts, so that a simulation of many nodes can do each once and share what comes of
 * it. What is NULL is done as usual: bundle_open(), bundle_patch(), policy_with_guests(),
 * policy_key_verify(), a copy.
 */
struct cluster_hooks {
	int (*open)(void *user, const char *file, size_t len, const struct minisign_public *key,
	        struct bundle_head *head, struct policy **policy, struct policy_report *report);
	int (*patch)(void *user, const char *base, size_t base_len, const char *delta,
	        size_t delta_len, char **out, size_t *out_len, char *err, size_t err_size);
	int (*guests)(void *user, const struct policy *policy,
	        const struct policy_admission *const *admissions, size_t n, bool *used,
	        struct policy **out);
	/* 0: `text` was signed by that node's key. */
	int (*verify)(void *user, const struct policy_key *key, const void *text, size_t len,
	        const uint8_t sig[64]);
	/* The same bytes (and a NUL), until dropped; NULL: out of memory. Up to six a node. */
	const char *(*keep)(void *user, const char *file, size_t len);
	void (*drop)(void *user, const char *file, size_t len);
	void *user;
};

int cluster_new(struct cluster **out, uint64_t seed, const struct cluster_hooks *hooks);
void cluster_free(struct cluster *cluster);

/* Before all else of a step: its time; the last step's effects go. next_id: where effect ids come
 * from, shared with the engine. */
void cluster_step_begin(struct cluster *cluster, struct engine_time now, uint64_t *next_id);

void cluster_key(struct cluster *cluster, const struct minisign_public *key);
void cluster_bundle(
        struct cluster *cluster, enum engine_bundle_source source, const char *file, size_t len);
/* The policy in force and this node in it (NULL: not a member): who are members and seeds. */
void cluster_members(
        struct cluster *cluster, const struct policy *policy, const struct policy_peer *self);
enum cluster_reach {
	CLUSTER_GONE,
	CLUSTER_COULD, /* admitted, and a packet brings its tunnel up (on demand) */
	CLUSTER_AWAKE, /* the same, and just now it is up: until it is idle */
	CLUSTER_UP,    /* admitted, and its tunnel is up, and is to stay so */
};
void cluster_peer(struct cluster *cluster, const char *name, enum cluster_reach reach);
void cluster_session(struct cluster *cluster, const struct engine_event *ev);
void cluster_session_msg(struct cluster *cluster, uint64_t id, const struct session_msg *msg);
void cluster_note(struct cluster *cluster, const char *peer, const struct session_head *head);
void cluster_who(struct cluster *cluster);
/* Our old key counts no more: what we have in force is said again, for the host to sign anew. */
void cluster_key_moved(struct cluster *cluster);
/* Where we are: of these the usable ones, as many as go. */
void cluster_links(
        struct cluster *cluster, const struct policy_addr *addrs, size_t n, uint16_t port);
/* A seed is asked where the others are; all: also for what it should have told before. */
void cluster_where(struct cluster *cluster, bool all);
/* The name of a member whose links are others than at the last call of it; NULL: of nobody. */
const char *cluster_links_news(struct cluster *cluster);
/* False: it has not said. */
bool cluster_links_of(const struct cluster *cluster, const char *name, struct session_links *out);
void cluster_voucher(struct cluster *cluster, const char *line, size_t len);
size_t cluster_vouchers(const struct cluster *cluster, struct engine_voucher_view *v, size_t max);
/*
 * Guests that tokens let in: policy/admission.h. Both signatures are checked. ours: this seed has
 * just signed it; nobody may have its name, key, address or number. Else it came with a seed's
 * answer, and what goes before whom is as for any (policy/guests.h). It is a peer from the next
 * cluster_policy() on that has one: at once, or a moment later where many come. 0, also if it was
 * known; -EINVAL: not granted by the bundle in force; -EKEYREJECTED: a signature; -EEXIST: somebody
 * goes before it; -ENOSPC: too many; -ENOMEM; -ENOENT: no bundle is in force.
 */
int cluster_admit(struct cluster *cluster, const struct policy_admission *admission, bool ours);
/* Of the token's count: guests that count, and those that were revoked. */
size_t cluster_admissions_used(const struct cluster *cluster, const char *token);
/* The next number that this seed may give; 0: none is left. */
uint32_t cluster_admission_number(const struct cluster *cluster, const char *token);
/* The one by which that key is a guest; NULL: it is none. Valid until the next step. */
const struct policy_admission *cluster_admission_of(
        const struct cluster *cluster, const struct policy_key *key);
/* Is it on disk? */
bool cluster_admission_stored(const struct cluster *cluster, const struct policy_key *key);
/* Why the last try to keep them there failed; "" */
const char *cluster_admissions_store_text(const struct cluster *cluster);
/* True if the id was one of its own (ENGINE_EV_ADMIT_SIGNED). */
bool cluster_signed(struct cluster *cluster, uint64_t id, const uint8_t by_seed[64]);
/* ENGINE_EV_ADMISSIONS */
void cluster_admissions(struct cluster *cluster, const uint8_t *data, size_t len);

/* Is this node a complete member? Until then it answers nobody as a seed does. True at first. */
void cluster_complete(struct cluster *cluster, bool complete);
/* Whose bundles count: the one in use, then any that was or will be. How many; 0: none is set. */
#define CLUSTER_KEYS_MAX 3U
size_t cluster_keys(const struct cluster *cluster, struct minisign_public keys[CLUSTER_KEYS_MAX]);
/* True if the id was one of its own (ENGINE_EV_RESULT). */
bool cluster_result(struct cluster *cluster, uint64_t id, int error, const char *text);
/* Last of every step: what is due, and what follows from all that happened in it. */
int cluster_tick(struct cluster *cluster); /* -ENOMEM: something was left out, tried again soon */

/*
 * A policy that is to be in force from now on, once; the caller owns the reference. NULL: no news.
 * Asked for in each step behind what happened: with guests, it is made then.
 */
struct policy *cluster_policy(struct cluster *cluster);
const struct engine_effects *cluster_effects(struct cluster *cluster);
/* This step's effects were not carried out (no memory): what they said is said again soon. */
void cluster_unsaid(struct cluster *cluster);
int64_t cluster_wakeup(const struct cluster *cluster);

void cluster_look(const struct cluster *cluster, struct engine_bundle_view *out);
int cluster_file(const struct cluster *cluster, const char **file, size_t *len);
int cluster_member_at(const struct cluster *cluster, size_t index, struct engine_member_view *out);
size_t cluster_memory(const struct cluster *cluster);

#endif

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Editing the files of a policy: what `overlayctl init`, `approve`, `revoke`, `token`, `sign` do.
 *
 * An edit is made in memory first and the whole policy that would result is checked; when it has
 * a fault, nothing is written and the report says why. Files are replaced whole (a temporary file
 * beside it, fsync, rename), so a daemon that reads meanwhile sees the old or the new. All of the
 * admin's comments and formatting stay. Edits of one directory wait for each other (flock).
 *
 * Errors: -EINVAL: a fault, in the report; -EEXIST: there is such a peer; -ENOENT: there is no
 * such peer, or no such directory; other errno of the files. The report always has a sentence.
 */
#ifndef OVERLAYD_POLICY_POLICY_EDIT_H
#define OVERLAYD_POLICY_POLICY_EDIT_H

#include "policy/policy.h"

/* The first policy of a new cluster. */
struct policy_start {
	const char *cluster;  /* NULL: "cluster" */
	const char *overlay;  /* NULL: "10.77.0.0/16" */
	const char *name;     /* the first peer; NULL: none */
	const char *key;      /* its key as OpenSSH writes it */
	const char *endpoint; /* NULL: none */
};
/* policy.yaml with comments that teach; free() it. It is checked: NULL, and report says why. */
char *policy_init_text(const struct policy_start *start, struct policy_report *report);

/* What to approve. Texts are as in the policy; NULL means not given. */
struct policy_approval {
	const char *name;
	const char *key;
	const char
	        *address; /* NULL: the lowest free one, outside of tokens' ranges if there is one */
	const char *site; /* NULL: the only site there is */
	const char *const *roles;
	size_t n_roles;
	const char *const *endpoints;
	size_t n_endpoints;
	const char *until;
	const char *hours;
};

/*
 * Writes peers.d/NAME.yaml and raises the serial. On success *out (may be NULL) is the new
 * policy, with one reference.
 */
int policy_edit_approve(const char *dir, const struct policy_approval *approval,
        struct policy **out, struct policy_report *report);

/*
 * Removes the peer's file, or its lines where a file holds more, and raises the serial. Where the
 * lines cannot be told apart it refuses and says which to delete by hand.
 */
int policy_edit_revoke(
        const char *dir, const char *name, struct policy **out, struct policy_report *report);

/*
 * A peer of that name and key gets another key, and keeps its addresses; the old key counts until
 * old_until (epoch seconds). Raises the serial. -ENOENT: there is no such peer, or it has another
 * key than old_key. Where the lines cannot be told apart it refuses and says which to write by hand.
 */
struct policy_rekey {
	const char *name;
	struct policy_key old_key, key;
	int64_t old_until;
};
int policy_edit_rekey(const char *dir, const struct policy_rekey *rekey, struct policy **out,
        struct policy_report *report);

/* What a token grants. Texts are as in the policy; NULL means not given. */
struct policy_token_grant {
	const char *name;
	const char *key; /* the public one, as OpenSSH writes it */
	const char *const *roles;
	size_t n_roles;
	const char *site;  /* NULL: the only site there is */
	const char *range; /* NULL: the whole overlay */
	const char *count;
	const char *until;
};
/* Writes tokens.d/NAME.yaml and raises the serial. -EEXIST: there is such a token. */
int policy_edit_token_add(const char *dir, const struct policy_token_grant *grant,
        struct policy **out, struct policy_report *report);
/* Removes the token, as policy_edit_revoke() does a peer: its guests go with it. */
int policy_edit_token_revoke(
        const char *dir, const char *name, struct policy **out, struct policy_report *report);
/*
 * Revokes one guest: its key's fingerprint ("SHA256:...") goes into `except` of the token. -ENOENT:
 * there is no such token; -EEXIST: it stands there already. Where the lines cannot be told apart it
 * refuses and says what to write by hand.
 */
int policy_edit_token_except(const char *dir, const char *name, const char *fingerprint,
        struct policy **out, struct policy_report *report);

/* Raises the serial in policy.yaml by one, and nothing else. */
int policy_edit_raise(const char *dir, struct policy **out, struct policy_report *report);

/*
 * To take an edit back: the two files that it may change, as they are now. name: the peer whose
 * file it would be, or NULL. 0 or a negative errno; policy_undo_clear() it in any case.
 */
struct policy_undo {
	char *dir;
	struct policy_undo_file {
		char *name, *data; /* data NULL: there was none */
		size_t len;
	} files[2];
};
int policy_undo_take(
        struct policy_undo *undo, const char *dir, const struct policy *policy, const char *name);
/* The same, where it is a token's. */
int policy_undo_take_token(
        struct policy_undo *undo, const char *dir, const struct policy *policy, const char *name);
/* 0, or the errno of the first that could not be put back. */
int policy_undo_run(const struct policy_undo *undo);
void policy_undo_clear(struct policy_undo *undo);

#endif

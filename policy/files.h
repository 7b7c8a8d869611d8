/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The files of a policy directory in memory, before they are parsed. */
#ifndef OVERLAYD_POLICY_FILES_H
#define OVERLAYD_POLICY_FILES_H

#include "policy/policy.h"

struct pol_files {
	struct policy_file *all; /* names and data are malloc'ed */
	size_t n, cap;
	size_t total;
};

/* Reads policy.yaml, peers.d and tokens.d; what fails is in the report. Clear it in any case. */
int pol_files_read(struct pol_files *files, const char *dir, struct policy_report *report);
/* Takes `data` over (on success). */
int pol_files_put(struct pol_files *files, const char *name, char *data, size_t len);
void pol_files_clear(struct pol_files *files);
/* Replaces (or makes) `name`, which may begin with a subdirectory, atomically and durably. */
int pol_file_replace(int dir, const char *name, const char *data, size_t len);
/* Replaces `n` bytes at `at` by text. -ENOMEM: nothing changed. */
int pol_file_splice(struct policy_file *file, size_t at, size_t n, const char *text);
/* Declares in `file` (policy.yaml) the roles that only who leaves held (a peer, or a token) and that
 * rules name. */
int pol_roles_keep(struct policy_file *file, const struct policy *policy,
        const struct policy_peer *peer, const struct policy_token *token);
/* The peer's key becomes its old one until then, `key` its key; its addresses stay. -EINVAL: the
 * text is not laid out so that it can be done; then it is of no use any more. */
int pol_rekey_text(struct policy_file *file, const struct policy_peer *peer,
        const struct policy_key *key, int64_t old_until);
/* One more fingerprint in the token's `except`. -EINVAL: as above. */
int pol_except_text(struct policy_file *file, const struct policy_token *token, const char *print);
/* Is this the name of a file that is read in peers.d and tokens.d? */
bool pol_file_counts(const char *name);

#endif

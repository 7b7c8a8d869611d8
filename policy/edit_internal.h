/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the edits of a policy share. One goes: open (locks, reads and parses what is there), change
 * the texts in memory, raise the serial, check the whole, write, done; and close in any case.
 */
#ifndef OVERLAYD_POLICY_EDIT_INTERNAL_H
#define OVERLAYD_POLICY_EDIT_INTERNAL_H

#include "policy/files.h"
#include "policy/internal.h"
#include "policy/policy_edit.h"

#define POL_MAIN_FILE "policy.yaml"

/* A directory under edit. */
struct pol_edit {
	struct policy_report *report;
	int dir;
	struct pol_files files;
	struct policy *old;
	struct policy *new;
};

/* All return 0 or a negative errno, and then the report has a sentence. */
int pol_edit_open(struct pol_edit *edit, const char *dir, struct policy_report *report);
void pol_edit_close(struct pol_edit *edit);
int pol_edit_serial(struct pol_edit *edit);
/* edit->new, with the next serial. */
int pol_edit_check(struct pol_edit *edit);
/* File `name`, which is gone or changed (or policy.yaml), and then policy.yaml. */
int pol_edit_write(struct pol_edit *edit, const char *name, bool gone);
void pol_edit_done(struct pol_edit *edit, struct policy **out);
/* NULL: there is none. */
struct policy_file *pol_edit_file(struct pol_edit *edit, const char *name);
/* Is a new file: takes `text` over, in any case. */
int pol_edit_add(struct pol_edit *edit, const char *name, char *text, size_t len);
void pol_edit_drop(struct pol_edit *edit, struct policy_file *file);

/* `key: value` and `key: [a, b]` of an entry, quoted where need be; nothing for NULL, or no items. */
void pol_pair_write(FILE *out, const char *key, const char *value);
void pol_list_write(FILE *out, const char *key, const char *const *items, size_t n);

/*
 * The lines of a block entry: its key's line and those below that are indented more. -EINVAL: it
 * is none. Cut: -ENOMEM too.
 */
int pol_entry_find(const struct policy_file *file, const struct policy_where *where, size_t *from,
        size_t *len_out);
int pol_entry_cut(struct policy_file *file, const struct policy_where *where);

#endif

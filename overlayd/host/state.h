/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Small files in the state directory, written whole or not at all (temporary file, fsync, rename,
 * fsync of the directory): a full disk or a power cut leaves the old one.
 */
#ifndef OVERLAYD_HOST_STATE_H
#define OVERLAYD_HOST_STATE_H

#include <stddef.h>
#include <stdint.h>

#define STATE_POLICY "policy.last.yaml" /* canonical text of the last good policy */
#define STATE_BUNDLE "bundle"         /* the signed bundle in force, as the engine wants it kept */
#define STATE_ADMISSIONS "admissions" /* guests, as the engine wants them kept: guestsfile.h */
#define STATE_CLOCK "clock"           /* the latest wall clock we trusted, in decimal */

/* Makes the directory (0700) if there is none; refuses one that others may write to (-EPERM). */
int state_ensure(const char *dir, char *err, size_t err_size);
int state_write(const char *dir, const char *name, const void *data, size_t len);
/* For others to read: mode is not 0600 but this. */
int state_write_for(
        const char *dir, const char *name, const void *data, size_t len, unsigned int mode);
/* *data is NUL-terminated behind len bytes; free() it. -EFBIG: longer than max. */
int state_read(const char *dir, const char *name, size_t max, char **data, size_t *len);

/*
 * The trusted wall clock, in seconds since the epoch: CLOCK_REALTIME, but never before a time that
 * an earlier run has written down, so that a clock set back does not bring a peer back whose time
 * is over.
 */
struct state_clock {
	const char *dir;
	int64_t floor;   /* latest known */
	int64_t written; /* on disk */
};
void state_clock_load(struct state_clock *clock, const char *dir);
int64_t state_clock_now(struct state_clock *clock);
/* What to write down, malloc()ed, if it has moved by ten minutes at least; else NULL. It then
 * counts as written. */
char *state_clock_due(struct state_clock *clock);
/* The same, and writes it. */
int state_clock_save(struct state_clock *clock);

#endif

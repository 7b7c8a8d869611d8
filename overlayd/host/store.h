/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Files of the state directory, written beside the loop.
 *
 * A disk may hang for minutes, and fsync(2) with it; a revocation may not wait for that. So a
 * forked helper writes (state_write()), one at a time; what is to be written meanwhile waits, and
 * of two of the same name the later one counts.
 */
#ifndef OVERLAYD_HOST_STORE_H
#define OVERLAYD_HOST_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <systemd/sd-event.h>

struct store;

/* dir is borrowed for life. */
int store_new(sd_event *event, const char *dir, struct store **out);
/* Waits for what is on its way, but no longer than STORE_LAST_MS. */
void store_free(struct store *store);
#define STORE_LAST_MS 3000
/*
 * name: a literal. text: malloc()ed, taken over (NULL: out of memory). If it cannot be written the
 * old file is removed where `or_none` says that none is better than an old one. Failures are
 * logged.
 */
void store_write(struct store *store, const char *name, char *text, bool or_none);
/*
 * The same for any bytes, and done(user, id, error) is told how it ended: error 0 or a negative
 * errno; -ECANCELED: a later one of the same name came before it was begun. What cannot be written
 * leaves the old file. It may be called from within, and by store_free(). Failures are not logged.
 */
typedef void store_done(void *user, uint64_t id, int error);
void store_write_then(struct store *store, const char *name, char *data, size_t len,
        store_done *done, void *user, uint64_t id);
/* Takes the file away; none is fine. */
void store_remove(struct store *store, const char *name);
void store_remove_then(
        struct store *store, const char *name, store_done *done, void *user, uint64_t id);
/* Something is on its way. */
bool store_busy(const struct store *store);

#endif

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The signer's secret key: its file, and the passphrase of it. */
#ifndef OVERLAYD_CTL_SECRET_H
#define OVERLAYD_CTL_SECRET_H

#include "ctl/ctl.h"
#include "policy/minisign.h"

/* From here on no core dump and no debugger of the same user sees this process. */
void secret_guard(void);
/*
 * Reads it from --passphrase-file, or asks on the terminal, twice the same when `twice`. CTL_OK, or the exit code after telling why:
 * there is no terminal, it was cancelled (^C) or empty, the two differ. Wipe buf.
 */
int secret_ask(struct ctl *ctl, bool twice, char buf[MINISIGN_PASSPHRASE_MAX + 1]);
/* Reads a secret key file, asks for its passphrase where it has one. CTL_OK, or told. */
int secret_read(struct ctl *ctl, const char *path, struct minisign_secret *out);
/* A whole file of at most max bytes, or stdin ("-"); free() it. CTL_OK, or told. */
int secret_file_read(struct ctl *ctl, const char *path, size_t max, char **data, size_t *len);
/* A new file, synced; one that is there is never touched. 0 or a negative errno. */
int secret_file_make(const char *path, unsigned mode, const char *text);

#endif

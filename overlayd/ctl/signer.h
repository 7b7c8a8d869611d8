/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * signer: from a directory of policy files to the next signed bundle. What sign, approve, revoke and
 * load have in common.
 */
#ifndef OVERLAYD_CTL_SIGNER_H
#define OVERLAYD_CTL_SIGNER_H

#include "ctl/ctl.h"
#include "policy/bundle.h"

/* Beside the policy, where no daemon runs: the last bundle that was signed here. */
#define SIGNER_BUNDLE "cluster.bundle"

struct signer_options {
	const char *key;    /* the secret key's file; NULL: CONFIG/cluster.key */
	const char *parent; /* a file; NULL: what the daemon has in force, else SIGNER_BUNDLE */
	bool alone;         /* the new one is to stand by itself */
	bool text;          /* no key: only the text, which minisign is to sign */
	const char
	        *next_key; /* a public key's file: it is to sign after this one; NULL: as before */
	bool no_next_key;  /* none is, after all */
};

struct signer {
	struct ctl *ctl;
	const char *dir;
	int lock;
	bool alone, text;
	struct minisign_secret secret;
	bool has_next;
	struct minisign_public next; /* named by the new one */
	char *file;                  /* the bundle in force, signed; NULL: none */
	size_t len;
	struct bundle_head head;
	struct policy *policy; /* what is in it */
};

/* Is this the directory of a cluster with a key? */
bool signer_wanted(const char *dir);
/*
 * Waits for other signers of this directory, reads the key (its passphrase is asked) and the bundle
 * in force, which must be signed by the same key, by that of dir's cluster.pub, or name this key as
 * the next. An exit code; signer_close() in any case.
 */
int signer_open(struct signer *signer, struct ctl *ctl, const char *dir,
        const struct signer_options *options);
void signer_close(struct signer *signer);
/* Is the new one about the cluster's key, even if it says nothing else that is new? */
bool signer_rotates(const struct signer *signer, const struct signer_options *options);
/* Does the bundle in force say exactly this, but for its serial? False without one. */
bool signer_same(const struct signer *signer, const struct policy *policy);
/* May the files, with this serial, be what the next one is made of? Told, if not. */
int signer_check_serial(const struct signer *signer, const struct policy *policy);
/* The new bundle: free() it. An exit code. */
int signer_make(const struct signer *signer, const struct policy *policy, char **file, size_t *len);

/* load.c */
/* To the daemon; *answer is its own. Where none runs it is kept as SIGNER_BUNDLE, and that is told:
 * then *answer is NULL. */
int load_or_keep(struct ctl *ctl, const char *dir, const char *file, size_t len, json_t **answer);
/* Until all members that can be reached have this serial, or the time is over: an exit code. */
int load_wait(struct ctl *ctl, uint64_t serial, int seconds, json_t **summary);
/* --wait[=SECONDS]; -1: not a number. */
int load_wait_parse(const char *text);
#define LOAD_WAIT_S 10

#endif

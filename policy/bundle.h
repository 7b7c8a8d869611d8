/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * bundle: the policy as it travels, signed.
 *
 * An admin's files become a bundle (bundle_make), which is signed whole (bundle_seal); nodes open
 * it with the cluster's public key (bundle_open), judge whether it may follow the one in force
 * (bundle_judge) and get the same `struct policy` that the files gave: its digest is equal. From
 * one bundle to the next a delta (bundle_diff, bundle_patch) is enough.
 *
 * The text is lines of compact JSON, each with one newline. The first is the head:
 *
 *   {"overlayd-bundle":1,"cluster":"hpc","issued":1700000000,"next_key":"RW...",
 *    "parent_serial":6,"parent":"HEX","serial":7}
 *                          (one line; a parent is both or none; next_key: see "whose bundles count")
 *
 * and the others are sorted by their bytes, each an object that begins with what it is:
 *
 *   {"allow":"00000","from":"exec","to":"head","service":"pbs"}      numbered as they were written
 *   {"builtin":"ssh","ports":["tcp/22"]}                  so that all releases mean the same ports
 *   {"except":"lab","guest":"SHA256:..."}         of format 2: a guest of that token was revoked
 *   {"failover":"pbs","address":"10.77.255.1","holders":["head1","head2"]}
 *   {"manage":"00000","from":"192.0.2.0/24","service":"ssh"}
 *   {"peer":"n1","key":"ssh-ed25519 AAAA... comment","old_key":"ssh-ed25519 AAAA...",
 *    "old_until":"2030-01-01T00:00:00Z","address":"10.77.0.17","address6":"fd12:...:17","site":"hq",
 *    "roles":["exec"],"endpoints":["192.0.2.1:4500"],"until":"2030-01-01T00:00:00Z","hours":"..."}
 *   {"role":"spare"}                                                       listed under `roles:`
 *   {"service":"web","ports":["tcp/80","tcp/443"]}
 *   {"setting":"port","value":4500}                      enforce, firewall, mesh, overlay and port
 *   {"setting":"join","value":true}                                       of format 2; never false
 *   {"site":"hq","timezone":"Europe/Brussels","behind_nat":false}
 *   {"test":"00000","from":"n1","to":"head1","port":"tcp/22","expect":"deny"}
 *   {"token":"lab","key":"ssh-ed25519 AAAA...","roles":["exec"],"site":"hq","range":"10.77.8.0/24",
 *    "count":50,"until":"2030-01-01T00:00:00Z"}                                       of format 2
 *
 * There is one way to write a policy: what is not written exactly so is refused, and what any
 * release writes under one format number never changes. The format is the lowest that can say what
 * the policy says, so that nodes of the release before need no update before it is made use of. A
 * file holds the bundle and behind it the four lines of its minisign signature; by hand:
 *
 *   head -n -4 FILE > bundle; tail -n 4 FILE > bundle.minisig; minisign -V -p cluster.pub -m bundle
 *
 * Functions return 0 or a negative errno; outputs are untouched on failure. err (may be NULL) gets
 * one sentence; BUNDLE_ERROR_MAX is room for any.
 */
#ifndef OVERLAYD_POLICY_BUNDLE_H
#define OVERLAYD_POLICY_BUNDLE_H

#include "policy/minisign.h"
#include "policy/policy.h"

#define BUNDLE_FORMAT_LOWEST 1U
#define BUNDLE_FORMAT_HIGHEST 2U
#define BUNDLE_MAX (32U << 20)  /* bytes, without the signature; 20,000 peers take 5 MB */
#define BUNDLE_LINE_MAX 16384U  /* bytes, without the newline */
#define BUNDLE_LINES_MAX 60000U /* what a policy's own limits allow, and slack */
#define BUNDLE_FILE_MAX (BUNDLE_MAX + MINISIGN_TEXT_MAX)
#define BUNDLE_ERROR_MAX 512U
#define BUNDLE_KEPT_MAX (BUNDLE_FILE_MAX + BUNDLE_KEPT_LINE_MAX)

struct bundle_head {
	char cluster[POLICY_NAME_MAX + 1];
	uint64_t serial;
	int64_t issued; /* epoch seconds, by the signer's clock */
	bool has_next_key;
	struct minisign_public next_key; /* bundles that it signs count too, from now on */
	bool has_parent;
	uint64_t parent_serial;
	uint8_t parent[32]; /* digest of the bundle that this one was made to follow */
	uint8_t digest[32]; /* SHA-256 of this one, all of it but the signature */
};

/* 64 hex digits and a NUL. */
void bundle_digest_print(const uint8_t digest[32], char buf[65]);

/* ---- the signer's side */

/*
 * The text of a policy. parent: the bundle in force, or NULL for one that stands by itself. issued
 * must not be before the parent's. *out: free() it; *len bytes (and a NUL). It was parsed again,
 * so no node will find a fault in it. -EINVAL: it cannot follow the parent (another cluster, the
 * serial was not raised), or cannot be written (err says what); -E2BIG: above BUNDLE_MAX; -ENOMEM.
 */
int bundle_make(const struct policy *policy, const struct bundle_head *parent, int64_t issued,
        char **out, size_t *len, char *err, size_t err_size);
/* The same, and it names the key that is to sign after this one; NULL: none. */
int bundle_make_next(const struct policy *policy, const struct bundle_head *parent, int64_t issued,
        const struct minisign_public *next_key, char **out, size_t *len, char *err,
        size_t err_size);
/*
 * The file: the text, and its signature; free() it. -EINVAL: this is no bundle, or it names the
 * signing key itself as the next one; -ENOMEM, -EIO.
 */
int bundle_seal(const char *data, size_t len, const struct minisign_secret *secret, char **out,
        size_t *out_len, char *err, size_t err_size);

/* ---- the nodes' side */

/*
 * A whole file: split, verified, then parsed. *policy has one reference and says "bundle" and the
 * line where things stand. On failure the report holds the reasons. -EINVAL: it is no bundle, or
 * its policy has a fault; -ENOKEY, -EKEYREJECTED: not signed by this key, or changed since;
 * -EPROTONOSUPPORT: a format of another release; -E2BIG, -ENOMEM, -EIO. head, policy may be NULL.
 */
int bundle_open(const char *file, size_t len, const struct minisign_public *key,
        struct bundle_head *head, struct policy **policy, struct policy_report *report);
/*
 * Its parts. Split: the bytes of the text, the signature is the rest. -EINVAL, -E2BIG. Verify: as
 * minisign_verify, for a signature that is kept or sent apart.
 */
int bundle_split(const char *file, size_t len, size_t *text_len, char *err, size_t err_size);
int bundle_verify(const char *data, size_t len, const char *sig, size_t sig_len,
        const struct minisign_public *key, char *err, size_t err_size);
/* The head alone, and the digest of all: cheap. -EINVAL, -EPROTONOSUPPORT, -E2BIG, -EIO. */
int bundle_head_read(
        const char *data, size_t len, struct bundle_head *out, char *err, size_t err_size);
/* Text -> policy, without a signature: verify first. head may be NULL. */
int bundle_parse(const char *data, size_t len, struct bundle_head *head, struct policy **out,
        struct policy_report *report);

/* ---- whose bundles count */

/*
 * The cluster key rotates: a bundle that the present key signed names the next one. From then on
 * a node takes bundles of both; as soon as it took one that the next key signed, only of that.
 * `first` is what the node was told by its admin (cluster.pub); the rest follows from the bundle
 * in force and is kept with it, so that cluster.pub need not be changed on any node. An admin who
 * changes it all the same is obeyed: then only bundles of that key count. A node that was away
 * from the naming of a key until the first bundle of it needs just that.
 */
struct bundle_trust {
	struct minisign_public first;
	struct minisign_public key; /* signed the one in force; before there is one: first */
	bool has_next;
	struct minisign_public next; /* named by the one in force */
};
void bundle_trust_begin(struct bundle_trust *trust, const struct minisign_public *first);
/* With which key bundle_open() is to open this file: by the key id in its signature. */
const struct minisign_public *bundle_trust_pick(
        const struct bundle_trust *trust, const char *file, size_t len);
/* It is in force now, and was opened with `signer` (which may be a part of trust). */
void bundle_trust_follow(struct bundle_trust *trust, const struct minisign_public *signer,
        const struct bundle_head *head);
/*
 * What is kept on disk: the file in force, behind this line (its length), so that both are
 * replaced at once:
 *   {"overlayd-kept":1,"first":"RW...","key":"RW..."}
 */
#define BUNDLE_KEPT_LINE_MAX 192U
size_t bundle_kept_line(const struct bundle_trust *trust, char buf[BUNDLE_KEPT_LINE_MAX]);
/*
 * At start, behind bundle_trust_begin(): the file in it (points into kept) and the key to open it
 * with; then bundle_trust_follow(). -EINVAL: the line is damaged. Without a line the file is taken
 * as it is.
 */
int bundle_kept(struct bundle_trust *trust, const char *kept, size_t len,
        struct minisign_public *signer, const char **file, size_t *file_len, char *err,
        size_t err_size);

/* ---- which one is in force */

enum bundle_verdict {
	BUNDLE_APPLY,      /* it follows the one in force, or this node missed what was between */
	BUNDLE_SAME,       /* it is the one in force */
	BUNDLE_OLDER,      /* roll-back: refused */
	BUNDLE_FORK,       /* same serial, other content: the first is kept, everyone is told */
	BUNDLE_BAD_PARENT, /* it was made without knowing the one in force: it would undo that */
	BUNDLE_OTHER_CLUSTER, /* refused */
};
/*
 * May the candidate (verified and parsed) replace the current one (NULL: there is none yet)?
 * text (may be NULL) gets one sentence. A bundle without a parent stands by itself and follows
 * any lower serial: this is how an admin ends a fork.
 */
enum bundle_verdict bundle_judge(const struct bundle_head *current,
        const struct bundle_head *candidate, char *text, size_t size);

/* ---- differences */

/*
 * What turns one bundle into another, as text; free() it. Both must be bundles that
 * bundle_parse() took. The text: a head, the new bundle's head, the numbers of the old one's lines
 * that go, the lines that come:
 *
 *   {"overlayd-delta":1,"base":"HEX","digest":"HEX"}
 *   {"overlayd-bundle":1,...}
 *   -17
 *   +{"peer":...}
 */
int bundle_diff(const char *base, size_t base_len, const char *data, size_t len, char **out,
        size_t *out_len);
/*
 * The new bundle's text, free() it, with exactly the digest that the delta names; it is not
 * verified yet. -EINVAL: this is no delta, or cannot be applied; -ESTALE: it starts from another
 * bundle; -EBADMSG: the result has another digest; -EPROTONOSUPPORT, -E2BIG, -ENOMEM, -EIO.
 */
int bundle_patch(const char *base, size_t base_len, const char *delta, size_t delta_len, char **out,
        size_t *out_len, char *err, size_t err_size);

#endif

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Bundles: which one is in force. Whoever brings one, it is opened with the cluster's key and judged
 * before anything follows from it. It counts at once; keeping it goes on beside that, as often as
 * it takes: a disk that hangs must not hold up a revocation.
 */
#include "engine/cluster_internal.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- the costly parts ---- */

static int do_open(struct cluster *c, const char *file, size_t len,
        const struct minisign_public *key, struct bundle_head *head, struct policy **policy,
        struct policy_report *report)
{
	size_t text;

	if (IMPAIRED(IMPAIR_SKIP_SIGNATURE) && !bundle_split(file, len, &text, NULL, 0))
		return bundle_parse(file, text, head, policy, report);
	if (c->hooks.open)
		return (*c->hooks.open)(c->hooks.user, file, len, key, head, policy, report);
	return bundle_open(file, len, key, head, policy, report);
}

/* ---- refused ---- */

static bool was_refused(const struct cluster *c, const struct session_head *head)
{
	for (size_t i = 0; i < c->n_refused && i < REFUSED_MAX; i++)
		if (head_same(&c->refused[i], head))
			return true;
	return false;
}

/* Signed and still of no use: it need not be fetched again from the next one who has it. */
static void refuse(struct cluster *c, const struct session_head *head)
{
	if (!was_refused(c, head))
		c->refused[c->n_refused++ % REFUSED_MAX] = *head;
}

bool head_interesting(const struct cluster *c, const struct session_head *head)
{
	if (!head->serial || head_same(head, &c->head) || was_refused(c, head))
		return false;
	return head->serial >= c->head.serial;
}

/* ---- in force ---- */

static struct session_head short_head(const struct bundle_head *head)
{
	struct session_head h = {.serial = head->serial};

	memcpy(h.digest, head->digest, sizeof(h.digest));
	return h;
}

/* The caller's reference of the policy is taken over. */
static int put_in_force(struct cluster *c, const char *file, size_t len,
        const struct bundle_head *head, struct policy *policy, const struct member *from, bool kept)
{
	struct session_head old = c->head;

	c->head = short_head(head);
	if (!text_push(c, file, len)) {
		c->head = old;
		policy_unref(policy);
		return -ENOMEM;
	}
	c->full = *head;
	admissions_bundle(c, policy);
	c->from_admin = !from && !kept;
	c->stored = kept;
	c->fork = false;
	c->n_refused = 0;
	c->sync_all = true;
	c->store_op.at = c->store_op.id ? c->store_op.at : 0;
	notes_changed(c);
	cl_notice(c, ENGINE_NOTICE, ENGINE_N_BUNDLE, from,
	        "The signed bundle of serial %llu is in force (%s%s).",
	        (unsigned long long)head->serial,
	        from   ? "from "
	        : kept ? "kept on disk"
	               : "given here",
	        from ? from->name : "");
	return 0;
}

static void fork_seen(struct cluster *c, const struct session_head *head, const struct member *from)
{
	refuse(c, head);
	c->fork = true;
	if (head_same(&c->fork_told, head))
		return;
	c->fork_told = *head;
	cl_notice(c, ENGINE_ERROR, ENGINE_N_FORK, from,
	        "FORK: two different bundles of serial %llu are signed, the other one came from "
	        "%s; "
	        "the first is kept here: sign the policy that is wanted with a higher serial and "
	        "without a parent.",
	        (unsigned long long)head->serial, from ? from->name : "an admin here");
}

static enum bundle_verdict judge(
        const struct cluster *c, const struct bundle_head *head, char *text, size_t size)
{
	const struct bundle_head *now = c->head.serial ? &c->full : NULL;
	enum bundle_verdict v = bundle_judge(now, head, text, size);

	if ((v == BUNDLE_OLDER && IMPAIRED(IMPAIR_TAKE_OLDER)) ||
	        (v == BUNDLE_FORK && IMPAIRED(IMPAIR_TAKE_FORK)))
		v = BUNDLE_APPLY;
	return v;
}

struct found {
	struct bundle_head head;
	enum bundle_verdict verdict;
	int error; /* not even judged */
	char text[BUNDLE_ERROR_MAX];
};

/* Whose bundles count from now on. */
static void trust_follow(
        struct cluster *c, const struct minisign_public *signer, const struct bundle_head *head)
{
	struct bundle_trust before = c->trust;
	char id[17];

	bundle_trust_follow(&c->trust, signer, head);
	minisign_id_print(&c->trust.key, id);
	if (!minisign_public_same(&before.key, &c->trust.key))
		cl_notice(c, ENGINE_NOTICE, ENGINE_N_BUNDLE, NULL,
		        "The cluster's key has changed: only bundles that key %s signed count now.",
		        id);
	if (!c->trust.has_next ||
	        (before.has_next && minisign_public_same(&before.next, &c->trust.next)))
		return;
	minisign_id_print(&c->trust.next, id);
	cl_notice(c, ENGINE_NOTICE, ENGINE_N_BUNDLE, NULL,
	        "The cluster's key is to change: bundles that key %s signed count too.", id);
}

/* Opens, judges, and puts it in force if it may be. from NULL: not from a peer. */
static void take(struct cluster *c, const char *file, size_t len,
        const struct minisign_public *signer, struct member *from, bool kept, struct found *f)
{
	struct policy_report report;
	struct policy *policy = NULL;

	memset(f, 0, sizeof(*f));
	policy_report_init(&report);
	f->error = do_open(c, file, len, signer, &f->head, &policy, &report);
	if (f->error)
		snprintf(f->text, sizeof(f->text), "%s",
		        report.n_faults ? report.faults[0].message : "it cannot be read");
	policy_report_clear(&report);
	if (f->error) {
		c->oom |= f->error == -ENOMEM;
		return;
	}
	f->verdict = judge(c, &f->head, f->text, sizeof(f->text));
	if (f->verdict == BUNDLE_APPLY) {
		if (c->head.serial && c->full.has_next_key &&
		        minisign_public_same(&c->full.next_key, signer) &&
		        !minisign_public_same(&c->trust.key, signer))
			text_name(c);
		f->error = put_in_force(c, file, len, &f->head, policy, from, kept);
		if (!f->error)
			trust_follow(c, signer, &f->head);
		return;
	}
	policy_unref(policy);
	if (f->verdict == BUNDLE_FORK) {
		struct session_head head = short_head(&f->head);

		fork_seen(c, &head, from);
	}
}

/* ---- from disk or an admin ---- */

void cluster_key(struct cluster *c, const struct minisign_public *key)
{
	struct minisign_public signer = c->trust.key;

	if (c->has_key && minisign_public_same(&c->trust.first, key))
		return;
	bundle_trust_begin(&c->trust, key);
	if (c->head.serial)
		bundle_trust_follow(&c->trust, &signer, &c->full);
	c->n_refused = c->n_strange = 0;
	for (struct member *m = c->member_head; m; m = m->next) {
		if (m->strange)
			m->unasked_until = m->deaf_until; /* it may be just this key */
		m->strange = false;
	}
	c->want_scan_at = c->now.mono_us;
	if (c->has_key)
		return;
	c->has_key = true;
	c->note_next = c->now.mono_us + NOTE_MIN_US + cl_jitter(c, NOTE_JITTER_US);
	c->dial_due = c->now.mono_us;
}

size_t cluster_keys(const struct cluster *c, struct minisign_public keys[CLUSTER_KEYS_MAX])
{
	size_t n = 0;

	if (!c->has_key)
		return 0;
	keys[n++] = c->trust.key;
	if (!minisign_public_same(&c->trust.first, &c->trust.key))
		keys[n++] = c->trust.first;
	if (c->trust.has_next)
		keys[n++] = c->trust.next;
	return n;
}

void cluster_bundle(
        struct cluster *c, enum engine_bundle_source source, const char *file, size_t len)
{
	bool kept = source == ENGINE_BUNDLE_KEPT;
	struct minisign_public signer;
	struct found f = {0};

	if (!c->has_key) {
		c->verdict_error = -ENOKEY;
		snprintf(c->verdict_text, sizeof(c->verdict_text),
		        "this node has no cluster key, so no bundle can be verified");
		return;
	}
	if (kept && bundle_kept(&c->trust, file, len, &signer, &file, &len, f.text, sizeof(f.text)))
		f.error = -EINVAL;
	else
		take(c, file, len, kept ? &signer : bundle_trust_pick(&c->trust, file, len), NULL,
		        kept, &f);
	c->verdict = f.verdict;
	c->verdict_error = f.error;
	text_set(c->verdict_text, sizeof(c->verdict_text), f.text);
	if (f.error || (f.verdict != BUNDLE_APPLY && f.verdict != BUNDLE_SAME))
		cl_notice(c, ENGINE_WARNING, ENGINE_N_REFUSED_BUNDLE, NULL,
		        "The bundle %s was refused: %s.", kept ? "kept on disk" : "given here",
		        c->verdict_text);
}

int cluster_file(const struct cluster *c, const char **file, size_t *len)
{
	if (!c->head.serial)
		return -ENOENT;
	*file = c->hist[0].file;
	*len = c->hist[0].len;
	return 0;
}

/* ---- from peers ---- */

static __attribute__((format(printf, 3, 4))) void tell_refused(
        struct cluster *c, struct member *m, const char *fmt, ...)
{
	char text[BUNDLE_ERROR_MAX];
	va_list ap;

	if (!member_may_tell(c, m))
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	cl_notice(c, ENGINE_WARNING, ENGINE_N_REFUSED_BUNDLE, m,
	        "A bundle from %s was refused: %s.", m->name, text);
}

/* Its signature is good, so what is wrong with it is the signer's affair and not the sender's. */
static bool is_signed(struct cluster *c, const char *file, size_t len)
{
	size_t text;

	return !bundle_split(file, len, &text, NULL, 0) &&
	       !bundle_verify(file, text, file + text, len - text,
	               bundle_trust_pick(&c->trust, file, len), NULL, 0);
}

static bool was_told(const struct cluster *c, const uint8_t id[8])
{
	for (size_t i = 0; i < c->n_strange && i < STRANGE_KEYS; i++)
		if (!memcmp(c->strange[i], id, sizeof(c->strange[i])))
			return true;
	return false;
}

/*
 * Signed by a key that we do not know: most likely we missed the bundle that names it. No fault of
 * who serves it; but it is asked for nothing for a while, as anybody can make such a thing. Nor is
 * its head refused, which nothing vouches for.
 */
static void strange_key(struct cluster *c, struct sess *s, const char *file, size_t len, bool older)
{
	struct minisign_public key = {0};
	size_t text;
	char id[17];

	/* The one that named a key, and we know that key already. The newest is asked for next. */
	if (older && !s->named_asked) {
		s->named_asked = true;
		return;
	}
	s->m->unasked_until = c->now.mono_us + STRANGE_US;
	s->m->strange = true;
	if (bundle_split(file, len, &text, NULL, 0) ||
	        minisign_signer(file + text, len - text, key.id) || was_told(c, key.id) ||
	        !member_may_tell(c, s->m))
		return;
	memcpy(c->strange[c->n_strange++ % STRANGE_KEYS], key.id, sizeof(key.id));
	minisign_id_print(&key, id);
	cl_notice(c, ENGINE_WARNING, ENGINE_N_REFUSED_BUNDLE, s->m,
	        "%s has a bundle that is signed by key %s, which this node does not know: if the "
	        "cluster's key has changed while this node was away, bring the new cluster.pub to "
	        "it (overlayctl(8), CHANGING KEYS).",
	        s->m->name, id);
}

static void after_take(struct cluster *c, struct sess *s, const struct session_msg *msg,
        const struct found *f, const char *file, size_t len)
{
	struct member *m = s->m;
	struct session_head real = short_head(&f->head);

	if (f->error == -ENOMEM)
		return;
	if (f->error == -ENOKEY) {
		strange_key(c, s, file, len, s->has_state && msg->head.serial < s->theirs.serial);
		return;
	}
	if (f->error) {
		tell_refused(c, m, "%s", f->text);
		if (f->error == -EPROTONOSUPPORT ||
		        (f->error == -EINVAL && is_signed(c, file, len)))
			refuse(c, &msg->head);
		else
			member_strike(c, m, 1);
		return;
	}
	if (!head_same(&real, &msg->head))
		member_strike(c, m, 1); /* another than it said */
	switch (f->verdict) {
	case BUNDLE_APPLY:
		m->strikes = m->shuns = 0;
		s->theirs = real;
		s->has_state = true;
		notes_delivered(c, s);
		break;
	case BUNDLE_BAD_PARENT:
	case BUNDLE_OTHER_CLUSTER:
		refuse(c, &real);
		tell_refused(c, m, "%s", f->text);
		break;
	case BUNDLE_OLDER:
		tell_refused(c, m, "%s", f->text);
		break;
	case BUNDLE_FORK: /* told already */
	case BUNDLE_SAME:
		break;
	}
}

/* Cheap: would a bundle of this head change anything? */
static bool worth_opening(struct cluster *c, struct sess *s, const struct session_head *head)
{
	if (head_interesting(c, head))
		return true;
	if (IMPAIRED(IMPAIR_TAKE_OLDER) && head->serial < c->head.serial)
		return true;
	if (head->serial < c->head.serial && !text_find(c, head))
		tell_refused(c, s->m, "serial %llu is older than serial %llu, which is in force",
		        (unsigned long long)head->serial, (unsigned long long)c->head.serial);
	return false;
}

void bundle_from_session(struct cluster *c, struct sess *s, const struct session_msg *msg)
{
	struct member *m = s->m;
	const char *file = (const char *)msg->data;
	char *built = NULL, err[BUNDLE_ERROR_MAX] = "";
	size_t len = msg->len;
	struct found f;
	int error = 0;

	if (c->now.mono_us < m->deaf_until || !worth_opening(c, s, &msg->head))
		return;
	if (msg->delta) {
		file = built = text_rebuild(c, msg, &len, &error, err, sizeof(err));
		if (!built && error != -ENOMEM) {
			s->no_delta = true; /* whole, then */
			s->theirs = msg->head;
			s->has_state = true;
		}
		if (error && error != -ENOMEM) {
			tell_refused(c, m, "%s", err);
			member_strike(c, m, 1);
		}
		c->oom |= error == -ENOMEM;
		if (!built)
			return;
	}
	take(c, file, len, bundle_trust_pick(&c->trust, file, len), m, false, &f);
	after_take(c, s, msg, &f, file, len);
	free(built);
}

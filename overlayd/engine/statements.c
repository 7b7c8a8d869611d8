/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Statements: what members say of themselves, by their own signature, so that seeds pass it on and
 * cannot make it up. Which one counts: on a member's own session always the last (it may have lost
 * its disk, and then has less than before); of those that others pass on only one with a higher
 * serial, and none while there is a session with the member itself: an old one stays true to its
 * signature for ever.
 */
#include "engine/cluster_internal.h"

#include <errno.h>
#include <string.h>

size_t session_statement_text(
        const struct session_statement *st, uint8_t buf[SESSION_STATEMENT_MAX])
{
	static const char begin[] = "overlayd statement v1\n";
	size_t n = sizeof(begin) - 1, name = strnlen(st->node, POLICY_NAME_MAX);
	size_t body = st->body_len < sizeof(st->body) ? st->body_len : sizeof(st->body);

	memcpy(buf, begin, n);
	buf[n++] = (uint8_t)st->kind;
	memcpy(buf + n, st->node, name);
	n += name;
	buf[n++] = 0;
	for (int i = 7; i >= 0; i--)
		buf[n++] = (uint8_t)(st->head.serial >> (8 * i));
	memcpy(buf + n, st->head.digest, sizeof(st->head.digest));
	n += sizeof(st->head.digest);
	memcpy(buf + n, st->body, body);
	return n + body;
}

static bool is_by(struct cluster *c, const struct policy_key *key, const uint8_t *text, size_t len,
        const struct session_statement *st)
{
	if (c->hooks.verify)
		return !c->hooks.verify(c->hooks.user, key, text, len, st->signature);
	return !policy_key_verify(key, text, len, st->signature);
}

bool statement_is_good(
        struct cluster *c, const struct policy_peer *peer, const struct session_statement *st)
{
	uint8_t text[SESSION_STATEMENT_MAX];
	size_t len = session_statement_text(st, text);

	if (IMPAIRED(IMPAIR_TRUST_STATEMENTS))
		return true;
	if (is_by(c, &peer->key, text, len, st))
		return true;
	/* A node signs with its old key for as long as that counts, so that all can verify it. */
	return peer->has_old_key && c->now.wall_s < peer->old_until + OLD_KEY_GRACE_S &&
	       is_by(c, &peer->old_key, text, len, st);
}

/* ---- what is known ---- */

static void unlink_kept(struct cluster *c, struct kept *k)
{
	struct said *said = &c->said[k->kind];

	if (!k->seq)
		return;
	*(k->prev ? &k->prev->next : &said->head) = k->next;
	*(k->next ? &k->next->prev : &said->tail) = k->prev;
	k->prev = k->next = NULL;
}

void statement_forget(struct cluster *c, struct kept *k)
{
	unlink_kept(c, k);
	cl_free(c, k->body, (size_t)k->body_len + 1);
	k->body = NULL;
	k->body_len = 0;
	k->seq = 0;
}

int statement_put(struct cluster *c, struct kept *k, const struct session_statement *st)
{
	struct said *said = &c->said[k->kind];
	uint8_t *body = cl_alloc(c, (size_t)st->body_len + 1); /* and a NUL: a release is text */

	if (!body)
		return -ENOMEM;
	memcpy(body, st->body, st->body_len);
	statement_forget(c, k);
	k->head = st->head;
	memcpy(k->signature, st->signature, sizeof(k->signature));
	k->body = body;
	k->body_len = st->body_len;
	k->seq = ++said->seq;
	k->prev = said->tail;
	*(k->prev ? &k->prev->next : &said->head) = k;
	said->tail = k;
	return 0;
}

bool statement_is_known(const struct kept *k, const struct session_statement *st)
{
	return k->seq && head_same(&k->head, &st->head) && k->body_len == st->body_len &&
	       !memcmp(k->signature, st->signature, sizeof(k->signature));
}

static bool has_state(const struct member *m)
{
	for (const struct sess *s = m->sessions; s; s = s->peer_next)
		if (s->up && s->has_state)
			return true;
	return false;
}

/* The release is shown to people. */
static bool is_text(const struct session_statement *st)
{
	for (size_t i = 0; i < st->body_len; i++)
		if (st->body[i] < 0x20 || st->body[i] > 0x7e)
			return false;
	return true;
}

static bool can_be(const struct session_statement *st)
{
	return st->kind == SESSION_APPLIED && st->body_len <= SESSION_RELEASE_MAX && is_text(st);
}

int statement_take(struct cluster *c, const struct session_statement *st, bool direct)
{
	struct member *m;
	struct kept *k;
	int ret;

	if (!can_be(st))
		return -EINVAL;
	m = member_get(c, st->node);
	if (!m)
		return c->oom ? -ENOMEM : 0; /* of ourselves, or of nobody */
	k = &m->applied;
	if (statement_is_known(k, st)) {
		k->said_us = direct ? c->now.mono_us : k->said_us;
		return 0;
	}
	if (!direct && ((k->seq && st->head.serial <= k->head.serial) || has_state(m)))
		return 0;
	if (!statement_is_good(c, m->peer, st))
		return -EKEYREJECTED;
	ret = statement_put(c, k, st);
	if (!ret)
		k->said_us = c->now.mono_us;
	return ret;
}

/* The host adds the release and signs it. */
void statements_state(struct cluster *c, struct session_msg *out)
{
	struct session_statement *st = &out->statement;

	out->type = SESSION_STATE;
	out->head = st->head = c->head;
	st->kind = SESSION_APPLIED;
	memcpy(st->node, c->self->name, strnlen(c->self->name, POLICY_NAME_MAX));
}

/* ---- asked for ---- */

void statements_asked(struct cluster *c, struct sess *s, uint64_t since)
{
	s->who = true;
	s->who_since = since;
	sess_dirty(c, s);
}

void statement_fill(struct session_statement *st, const struct kept *k)
{
	st->kind = k->kind;
	memcpy(st->node, k->m->name, strlen(k->m->name) + 1);
	st->head = k->head;
	memcpy(st->body, k->body, k->body_len);
	st->body_len = k->body_len;
	memcpy(st->signature, k->signature, sizeof(st->signature));
}

struct session_msg *statements_since(struct cluster *c, enum session_statement_kind kind,
        uint64_t since, const struct member *but)
{
	struct session_msg *msg = cl_arena(c, sizeof(*msg));
	const struct said *said = &c->said[kind];
	struct session_statement *v = NULL;
	struct kept *k = said->tail, *first = NULL;
	size_t n = 0;

	if (since > said->seq)
		since = 0; /* it was counted in an earlier life of ours */
	for (; k && k->seq > since; first = k, k = k->prev)
		n++;
	if (n > SESSION_STATEMENTS_MAX)
		n = SESSION_STATEMENTS_MAX;
	if (n)
		v = cl_arena(c, n * sizeof(*v));
	if (!msg || (n && !v))
		return NULL;
	msg->since = since;
	msg->statements = v;
	for (k = first; n--; k = k->next) {
		if (k->m != but)
			statement_fill(&v[msg->n_statements++], k);
		msg->since = k->seq;
	}
	return msg;
}

void statements_serve(struct cluster *c, struct sess *s)
{
	struct session_msg *msg;

	if (c->now.mono_us < s->who_at) {
		sessions_slow(c, s, s->who_at);
		return;
	}
	s->who = false;
	msg = statements_since(c, SESSION_APPLIED, s->who_since, NULL);
	if (!msg)
		return;
	msg->type = SESSION_STATEMENTS;
	sess_send(c, s, msg, false);
	s->who_at = c->now.mono_us + WHO_GAP_US;
}

/*
 * One that cannot be verified is left out, and is nobody's fault: where another policy is in force
 * its node may have another key. It signs anew with the next bundle.
 */
void statements_come(struct cluster *c, struct sess *s, const struct session_msg *msg)
{
	unsigned bad = 0;

	if (!s->who_out)
		return;
	s->who_out = false;
	if (msg->n_statements > SESSION_STATEMENTS_MAX) {
		sess_violation(c, s, "sent too many statements");
		return;
	}
	for (size_t i = 0; i < msg->n_statements && bad < BAD_STATEMENTS; i++)
		bad += statement_take(c, &msg->statements[i], false) != 0;
	s->since = msg->since;
	if (msg->n_statements == SESSION_STATEMENTS_MAX)
		c->who = true; /* there are more */
}

/* ---- asking ---- */

void cluster_who(struct cluster *c)
{
	c->who = c->where = true;
}

static void ask(struct cluster *c, struct sess *s)
{
	struct session_msg *msg = cl_arena(c, sizeof(*msg));

	if (!msg)
		return;
	*msg = (struct session_msg){.type = SESSION_WHO, .since = s->since};
	s->who_out = sess_send(c, s, msg, false);
}

void statements_tick(struct cluster *c)
{
	if (!c->who || c->now.mono_us < c->who_at)
		return;
	c->who = false;
	c->who_at = c->now.mono_us + WHO_ASK_GAP_US;
	for (size_t i = 0; i < c->n_seeds; i++) {
		struct sess *s = sess_up(c->seeds[i]);

		if (s)
			ask(c, s);
	}
}

int64_t statements_wakeup(const struct cluster *c)
{
	return c->who ? c->who_at : ENGINE_NEVER;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The firewall: the whole table when its rules change or somebody broke it, single elements
 * otherwise. Admissions wait until the table that they refer to is confirmed; cuts never wait.
 */
#include "engine/internal.h"

#include <errno.h>
#include <string.h>

#define REPAIR_GAP_US 100000

bool fw_table_ready(const struct engine *e)
{
	return e->fw == ENGINE_FWS_READY && !e->base_dirty && !e->base_op.id;
}

bool fw_wanted(const struct engine *e, const struct peer *p)
{
	return p->desired && !p->revoking && p->claimed && p->cleared && !claim_blocked(e, p);
}

/* When its time ends, or ours: either end may deny. */
static int64_t elem_expires(const struct engine *e, const struct peer *p, int64_t *wall_s)
{
	int64_t at = p->timed ? p->change_mono_us : ENGINE_NEVER;

	*wall_s = p->timed ? p->change_wall_s : ENGINE_NEVER;
	if (p->peer_old && p->old_mono_us < at) { /* until it is seen on its new key */
		at = p->old_mono_us;
		*wall_s = p->old_wall_s;
	}
	if (e->self_change_us < at) {
		at = e->self_change_us;
		*wall_s = e->self_change_wall_s;
	}
	return at;
}

static struct fw_elem elem_wanted(const struct engine *e, const struct peer *p)
{
	struct fw_elem el = {
	        .class_in = p->class_in,
	        .class_out = p->class_out,
	};
	int64_t wall_s;

	el.expires_mono_us = elem_expires(e, p, &wall_s);
	return el;
}

/* The wall clock is learned in ever smaller steps; those below a second are not worth an update. */
static bool elem_same(const struct fw_elem *a, const struct fw_elem *b)
{
	int64_t d = 0;

	if (a->expires_mono_us != b->expires_mono_us) {
		if (a->expires_mono_us == ENGINE_NEVER || b->expires_mono_us == ENGINE_NEVER)
			return false;
		d = a->expires_mono_us - b->expires_mono_us;
	}
	if (!IMPAIRED(IMPAIR_KEEP_CLASS) &&
	        (a->class_in != b->class_in || a->class_out != b->class_out))
		return false;
	return d > -1000000 && d < 1000000;
}

static void elem_fill(struct engine *e, struct peer *p, struct engine_fw_peer *out)
{
	out->peer = arena_str(e, p->name);
	out->addr4 = p->addr4;
	out->addr6 = p->addr6;
	out->class_in = p->class_in;
	out->class_out = p->class_out;
	out->expires_mono_us = elem_expires(e, p, &out->expires_wall_s);
	if (IMPAIRED(IMPAIR_EXPIRY_IN_DAEMON_ONLY))
		out->expires_mono_us = out->expires_wall_s = ENGINE_NEVER;
	p->fw_sent = elem_wanted(e, p);
}

static void emit_revoke(struct engine *e, struct peer *p)
{
	struct engine_effect *fx;

	if (IMPAIRED(IMPAIR_SKIP_FW_REVOKE)) {
		p->fw = FW_NO;
		return;
	}
	fx = op_start(e, &p->fw_op, OP_FW, ENGINE_FX_FW_REVOKE, p, 0);
	if (!fx)
		return;
	p->fw_op_admits = false;
	p->cut_after_base = true;
	p->fw = FW_MAYBE;
	fx->fw_peer.peer = arena_str(e, p->name);
	fx->fw_peer.addr4 = p->addr4;
	fx->fw_peer.addr6 = p->addr6;
	fx->fw_peer.expires_mono_us = fx->fw_peer.expires_wall_s = ENGINE_NEVER;
}

static void emit_admit(struct engine *e, struct peer *p)
{
	struct engine_effect *fx = op_start(e, &p->fw_op, OP_FW, ENGINE_FX_FW_ADMIT, p, 0);

	if (!fx)
		return;
	p->fw_op_admits = true;
	if (p->fw == FW_NO)
		p->fw = FW_MAYBE;
	elem_fill(e, p, &fx->fw_peer);
}

/*
 * Nobody else can build an SA for its address: no such SA is there, and no connection that an
 * earlier run loaded and that may still name this address for another key. A peer whose own good
 * SA is up has its address to itself since that earlier run saw to the same.
 */
static bool is_clear(const struct engine *e, const struct peer *p)
{
	if (!e->snapshot || !e->conns_seen || e->claims_all)
		return false;
	if (!e->n_stale)
		return true;
	for (const struct sa *sa = p->sas; sa; sa = sa->next)
		if (sa_up(sa))
			return true;
	return false;
}

void fw_step(struct engine *e, struct peer *p)
{
	bool wanted;
	struct fw_elem el;

	if (p->claimed && claim_blocked(e, p))
		p->cleared = false;
	else if (p->claimed && is_clear(e, p))
		p->cleared = true;
	if (p->claimed && IMPAIRED(IMPAIR_ADMIT_BEFORE_GONE))
		p->cleared = true;
	wanted = fw_wanted(e, p);
	if (!wanted && p->fw == FW_NO)
		return;
	if (p->fw_op.id && p->fw_op_admits == wanted)
		return;
	if (p->fw_op_admits != wanted)
		op_drop(e, &p->fw_op); /* what was under way is overtaken, and so is its back-off */
	p->fw_op_admits = wanted;
	el = elem_wanted(e, p);
	if (wanted && (!fw_table_ready(e) || (p->fw == FW_YES && elem_same(&el, &p->fw_has))))
		return;
	if (!op_ready(e, &p->fw_op))
		peer_wake(p, p->fw_op.at);
	else if (wanted)
		emit_admit(e, p);
	else
		emit_revoke(e, p);
}

static void admitted(struct engine *e, struct peer *p)
{
	p->fw = FW_YES;
	p->fw_has = p->fw_sent;
	if (p->told_admitted)
		return;
	p->told_admitted = true;
	notice(e, ENGINE_INFO, ENGINE_N_ADMITTED, p->name, "%s is admitted by the firewall.",
	        p->name);
}

void fw_peer_result(struct engine *e, struct peer *p, int error, const char *text)
{
	if (!error) {
		op_ok(e, &p->fw_op);
		if (p->fw_op_admits)
			admitted(e, p);
		else
			p->fw = FW_NO;
		return;
	}
	op_fail(e, &p->fw_op);
	peer_degrade(
	        e, p, "the firewall did not %s it: %s", p->fw_op_admits ? "admit" : "revoke", text);
	if (p->fw_op.fails == 2)
		e->base_dirty = true; /* maybe the table is not what we think: make it anew */
}

/* false: out of memory, and what is filled in is not to be used */
static bool base_fill(struct engine *e, struct engine_fw_base *b)
{
	struct engine_fw_class *in = arena_alloc(e, (e->in.n + 1) * sizeof(*in));
	struct engine_fw_class *out = arena_alloc(e, (e->out.n + 1) * sizeof(*out));
	struct engine_fw_peer *peers = arena_alloc(e, (e->n_peers + 1) * sizeof(*peers));

	b->policy = e->policy;
	b->self = e->self_active ? e->self : NULL;
	b->sessions = e->is_signed;
	b->join = join_in_table(e);
	if (b->join)
		join_pool(e, &b->join_pool);
	b->digest = e->base_digest;
	for (size_t i = 0; in && i < e->in.n; i++)
		in[b->n_in++].bits = e->in.bits + i * e->in.words;
	for (size_t i = 0; out && i < e->out.n; i++)
		out[b->n_out++].bits = e->out.bits + i * e->out.words;
	for (size_t i = 0; i < e->n_peers; i++) {
		struct peer *p = e->peers[i];

		p->cut_after_base = false;
		p->in_base = peers && fw_wanted(e, p);
		if (!p->in_base)
			continue;
		if (p->fw_op.id)
			op_drop(e, &p->fw_op);
		p->fw = FW_MAYBE;
		elem_fill(e, p, &peers[b->n_peers++]);
	}
	b->in = in;
	b->out = out;
	b->peers = peers;
	underlay_base_fill(e, b);
	return !e->oom;
}

/* At start an earlier run's table is left alone until charon's SAs are known, or for a moment. */
static bool base_may_go(const struct engine *e)
{
	return e->base_once || e->repair || (e->snapshot && e->conns_seen && !e->claims_all) ||
	       !e->self_active || e->now.mono_us >= e->started_us + e->cfg.start_grace_us;
}

void fw_base_step(struct engine *e)
{
	struct engine_effect *fx;

	if (op_late(e, &e->base_op))
		fw_base_result(e, -ETIMEDOUT, "no answer from the kernel in time");
	if (!e->policy || !e->have_key || !e->base_dirty || !op_ready(e, &e->base_op) ||
	        !base_may_go(e))
		return;
	if (e->repair && e->now.mono_us < e->last_repair_us + REPAIR_GAP_US)
		return;
	fx = op_start(e, &e->base_op, OP_BASE, ENGINE_FX_FW_BASE, NULL, 0);
	if (!fx)
		return;
	if (e->repair) {
		e->last_repair_us = e->now.mono_us;
		e->repair = false;
	}
	e->base_dirty = false;
	e->base_sent = e->base_digest;
	e->fw = ENGINE_FWS_PENDING;
	if (base_fill(e, &fx->fw_base))
		return;
	e->n_fx--; /* it is the last one */
	op_fail(e, &e->base_op);
	e->base_dirty = true;
	peers_dirty_all(e);
}

void fw_base_result(struct engine *e, int error, const char *text)
{
	if (error) {
		if (!e->base_op.fails)
			notice(e, ENGINE_ERROR, ENGINE_N_FW_FAILED, NULL,
			        "The firewall table could not be set: %s; it is tried again.",
			        text);
		op_fail(e, &e->base_op);
		e->base_dirty = true;
		e->fw = ENGINE_FWS_FAILED;
		text_set(e->fw_text, sizeof(e->fw_text), text);
		return;
	}
	op_ok(e, &e->base_op);
	e->base_once = true;
	e->fw = ENGINE_FWS_READY;
	e->fw_text[0] = 0;
	for (size_t i = 0; i < e->n_peers; i++) {
		struct peer *p = e->peers[i];

		if (p->in_base && !p->cut_after_base)
			admitted(e, p);
		else if (!p->in_base && !p->fw_op.id)
			p->fw = FW_NO;
		p->in_base = false;
		underlay_base_done(p);
	}
	if (e->base_notice) {
		e->base_notice = false;
		notice(e, ENGINE_WARNING, ENGINE_N_FW_REPAIRED, NULL,
		        "Another program changed or removed the table inet overlayd; it is back.");
	}
	peers_dirty_all(e);
}

void fw_seen(struct engine *e, enum engine_fw_seen seen)
{
	switch (seen) {
	case ENGINE_FW_AS_LEFT:
		return;
	case ENGINE_FW_MISSING:
	case ENGINE_FW_FOREIGN:
		e->base_notice = e->base_once;
		break;
	case ENGINE_FW_UNKNOWN:
		if (!e->base_once)
			return; /* an earlier run's: its turn comes anyway */
		break;
	}
	if (IMPAIRED(IMPAIR_NO_REPAIR) && e->base_once)
		return;
	e->base_dirty = true;
	e->repair = true;
	for (size_t i = 0; i < e->n_peers; i++)
		if (e->peers[i]->fw == FW_YES)
			e->peers[i]->fw = FW_MAYBE;
}

void fw_policy_changed(struct engine *e)
{
	uint64_t h = digest_u64(e->rules_digest, e->in.n);

	h = digest_u64(h, e->out.n);
	h = digest_bytes(h, e->in.bits, e->in.n * e->in.words * 8);
	h = digest_bytes(h, e->out.bits, e->out.n * e->out.words * 8);
	h = digest_u64(h, e->self_active);
	h = digest_u64(h, e->is_signed);
	h = digest_u64(h, join_in_table(e));
	e->base_digest = h;
	if (IMPAIRED(IMPAIR_KEEP_CLASS) && e->base_once)
		return;
	if (!e->base_once || h != e->base_sent)
		e->base_dirty = true;
}

int64_t fw_wakeup(const struct engine *e)
{
	int64_t at;

	if (e->base_op.id)
		return e->base_op.at;
	if (!e->base_dirty || !e->policy || !e->have_key)
		return ENGINE_NEVER;
	at = e->base_op.at;
	if (!base_may_go(e) && at < e->started_us + e->cfg.start_grace_us)
		at = e->started_us + e->cfg.start_grace_us;
	if (e->repair && at < e->last_repair_us + REPAIR_GAP_US)
		at = e->last_repair_us + REPAIR_GAP_US;
	return at;
}

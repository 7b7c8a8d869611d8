/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * An engine of node "a" in a small policy of text, a charon and a kernel that do all that is asked
 * at once, and time that a test moves. What the engine says is kept in a log of a few words.
 */
#ifndef TESTS_UNIT_ENGINE_BED_H
#define TESTS_UNIT_ENGINE_BED_H

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine/engine.h"

#define US 1000000LL
#define BED_PENDING 4096
#define BED_SAID 512
#define BED_STRANGER 9999 /* its IKE_SA */

struct said {
	int64_t at;
	enum engine_effect_type type;
	enum engine_notice_code code;
	char peer[64];
	char text[160];
	enum engine_peer_state old_state, state;
	bool old_degraded;
};

struct bed {
	void (*carry_out)(struct bed *b, const struct engine_effect *fx); /* may be NULL */
	struct engine *e;
	struct engine_time now;
	const struct policy *policy;
	struct {
		uint64_t id;
		enum engine_effect_type type;
		char peer[64];
	} pending[BED_PENDING];
	size_t n_pending;
	struct said said[BED_SAID];
	size_t n_said;
	bool refuse; /* initiations are refused, as by a peer that does not know us yet */
	bool deaf;   /* or get no answer */
	bool up[8];  /* SAs that charon has; [i]: of peer number i */
	uint64_t generation;
	bool shut_told;           /* some endpoint is shut in clear */
	int stranger;             /* an SA for this peer's addresses that another key built */
	struct policy_addr local; /* where SAs begin here */
	int enomem;               /* how many steps ran out of memory */
};

/* The peer's number i: its name's first letter, its key's first byte. */
static inline void bed_key(int i, struct policy_key *key)
{
	memset(key, 0, sizeof(*key));
	key->raw[0] = (uint8_t)i;
	key->raw[31] = 7;
}

/* One line for each peer: extra[i] is what follows "roles: [r]"; NULL: not there. */
static inline const struct policy *bed_policy(const char *const *extra, int n, int serial)
{
	char *text = NULL, key[96];
	size_t len = 0;
	FILE *f = open_memstream(&text, &len);
	struct policy_report report;
	struct policy_key raw;
	struct policy *p = NULL;

	fprintf(f,
	        "cluster: t\nserial: %d\noverlay: 10.0.0.0/8\nsites:\n  s: { timezone: UTC }\n"
	        "allow:\n  - { from: r, to: r, service: ssh }\npeers:\n",
	        serial);
	for (int i = 0; i < n; i++) {
		if (!extra[i])
			continue;
		bed_key(i, &raw);
		policy_key_print(&raw, key, sizeof(key));
		fprintf(f, "  %c: { key: \"%s\", address: 10.1.0.%d, site: s, roles: [r]%s }\n",
		        'a' + i, key, i + 1, extra[i]);
	}
	fclose(f);
	policy_report_init(&report);
	if (policy_parse(&(struct policy_file){"policy.yaml", text, len}, 1, &p, &report)) {
		policy_report_print(&report, stderr, false);
		fail();
	}
	policy_report_clear(&report);
	free(text);
	return p;
}

static inline void bed_step(struct bed *b, struct engine_event *ev);

static inline void bed_keep(struct bed *b, const struct engine_effect *fx, const char *peer)
{
	struct said *s = &b->said[b->n_said < BED_SAID ? b->n_said++ : BED_SAID - 1];

	struct engine_peer_view v;

	memset(s, 0, sizeof(*s));
	s->at = b->now.mono_us;
	s->type = fx->type;
	snprintf(s->peer, sizeof(s->peer), "%s", peer ? peer : "");
	if (fx->type != ENGINE_FX_NOTICE)
		return;
	s->code = fx->notice.code;
	s->old_state = fx->notice.old_state;
	s->old_degraded = fx->notice.old_degraded;
	if (peer && !engine_peer_find(b->e, peer, &v))
		s->state = v.state;
	snprintf(s->text, sizeof(s->text), "%s", fx->notice.text);
}

static inline const char *bed_peer_of(const struct engine_effect *fx)
{
	switch (fx->type) {
	case ENGINE_FX_LOAD_CONN:
		return fx->load.peer;
	case ENGINE_FX_UNLOAD_CONN:
	case ENGINE_FX_INITIATE:
		return *fx->conn ? fx->conn + strlen(ENGINE_CONN_PREFIX) : "";
	case ENGINE_FX_TERMINATE:
		return fx->terminate.conn && *fx->terminate.conn
		               ? fx->terminate.conn + strlen(ENGINE_CONN_PREFIX)
		               : "";
	case ENGINE_FX_FW_ADMIT:
	case ENGINE_FX_FW_REVOKE:
	case ENGINE_FX_KILL_SOCKETS:
		return fx->fw_peer.peer;
	case ENGINE_FX_FW_UNDERLAY:
		return fx->fw_underlay.peer;
	case ENGINE_FX_NOTICE:
		return fx->notice.peer;
	case ENGINE_FX_LOAD_KEY:
	case ENGINE_FX_PROBE:
	case ENGINE_FX_LIST_SAS:
	case ENGINE_FX_LIST_CONNS:
	case ENGINE_FX_FW_BASE:
	case ENGINE_FX_PLANE:
	case ENGINE_FX_RESOLVE:
	case ENGINE_FX_BUNDLE_STORE:
	case ENGINE_FX_ADMISSIONS_STORE:
	case ENGINE_FX_SESSION_OPEN:
	case ENGINE_FX_SESSION_SEND:
	case ENGINE_FX_SESSION_CLOSE:
	case ENGINE_FX_NOTE_SEND:
	case ENGINE_FX_JOIN_SERVE:
	case ENGINE_FX_JOIN_ANSWER:
	case ENGINE_FX_JOIN_ASK:
	case ENGINE_FX_JOIN_STOP:
	case ENGINE_FX_ADMIT_SIGN:
	case ENGINE_FX_CLUSTER_KEY:
	case ENGINE_FX_TICKET_FORGET:
		break;
	}
	return "";
}

static inline void bed_step(struct bed *b, struct engine_event *ev)
{
	struct engine_effects out;

	ev->now = b->now;
	if (engine_step(b->e, ev, &out))
		b->enomem++;
	for (size_t i = 0; i < out.n; i++) {
		const struct engine_effect *fx = &out.v[i];

		if (b->carry_out)
			b->carry_out(b, fx);
		bed_keep(b, fx, bed_peer_of(fx));
		b->shut_told |= fx->type == ENGINE_FX_FW_BASE && fx->fw_base.n_underlays;
		b->shut_told |= fx->type == ENGINE_FX_FW_UNDERLAY;
		if (fx->type == ENGINE_FX_NOTICE || b->n_pending == BED_PENDING)
			continue;
		b->pending[b->n_pending].id = fx->id;
		b->pending[b->n_pending].type = fx->type;
		snprintf(b->pending[b->n_pending++].peer, 64, "%s", bed_peer_of(fx));
	}
}

/* ---- charon's rows ---- */

struct bed_row {
	struct engine_sa_row row;
	struct engine_child_row child;
	char conn[32], local[ENGINE_ID_MAX], remote[ENGINE_ID_MAX];
};

static inline void bed_id(int i, char buf[ENGINE_ID_MAX])
{
	struct policy_key key;
	int n = snprintf(buf, ENGINE_ID_MAX, "%c.", 'a' + i);

	bed_key(i, &key);
	for (int k = 0; k < 16; k++)
		n += snprintf(buf + n, ENGINE_ID_MAX - (size_t)n, "%02x", key.raw[k]);
}

static inline void bed_ts(struct bed *b, struct policy_prefix *ts, uint8_t *n, int i)
{
	char name[2] = {(char)('a' + i), 0};
	const struct policy_peer *pp = policy_peer_by_name(b->policy, name);

	if (!pp)
		return;
	ts[0] = (struct policy_prefix){pp->addr4, 32};
	ts[1] = (struct policy_prefix){pp->addr6, 128};
	*n = 2;
}

static inline void bed_row(struct bed *b, int i, struct bed_row *r)
{
	memset(r, 0, sizeof(*r));
	snprintf(r->conn, sizeof(r->conn), "ovl.%c", 'a' + i);
	bed_id(0, r->local);
	bed_id(i, r->remote);
	r->row = (struct engine_sa_row){.conn = r->conn,
	        .id = (uint32_t)i + 100 * (uint32_t)b->generation,
	        .state = ENGINE_IKE_ESTABLISHED,
	        .local_id = r->local,
	        .remote_id = r->remote,
	        .local_host = b->local,
	        .initiator = true,
	        .rekey_s = 3600,
	        .children = &r->child,
	        .n_children = 1};
	r->child.id = r->row.id + 50;
	r->child.state = ENGINE_CHILD_INSTALLED;
	bed_ts(b, r->child.local_ts, &r->child.n_local_ts, 0);
	bed_ts(b, r->child.remote_ts, &r->child.n_remote_ts, i);
}

static inline void bed_sa_as(struct bed *b, int i, bool up, enum engine_ike_state state)
{
	struct engine_event ev = {.type = ENGINE_EV_SA};
	struct bed_row r;

	if (b->up[i] == up)
		return;
	bed_row(b, i, &r);
	b->up[i] = up;
	ev.sa.change = up ? ENGINE_SA_UP : ENGINE_SA_DOWN;
	r.row.state = state;
	ev.sa.row = &r.row;
	bed_step(b, &ev);
}

/* Down: one of the ends deleted it. */
static inline void bed_sa(struct bed *b, int i, bool up)
{
	bed_sa_as(b, i, up, up ? ENGINE_IKE_ESTABLISHED : ENGINE_IKE_LEAVING);
}

/* Its other end went silent. */
static inline void bed_sa_silent(struct bed *b, int i)
{
	bed_sa_as(b, i, false, ENGINE_IKE_ESTABLISHED);
}

/* ---- answers ---- */

static inline void bed_list(struct bed *b, uint64_t id)
{
	static struct bed_row rows[9];
	struct engine_sa_row all[9];
	struct engine_event ev = {.type = ENGINE_EV_SAS};
	size_t n = 0;

	for (int i = 0; i < 8; i++) {
		if (!b->up[i])
			continue;
		bed_row(b, i, &rows[i]);
		all[n++] = rows[i].row;
	}
	if (b->stranger) {
		bed_row(b, b->stranger, &rows[8]);
		rows[8].remote[5] = rows[8].remote[5] == '0' ? '1' : '0';
		rows[8].row.id = BED_STRANGER;
		all[n++] = rows[8].row;
	}
	ev.sas.effect_id = id;
	ev.sas.rows = all;
	ev.sas.n = n;
	bed_step(b, &ev);
}

static inline void bed_answer(
        struct bed *b, uint64_t id, enum engine_effect_type type, const char *peer)
{
	static const struct policy_addr resolved = {2, {192, 0, 2, 77}};
	struct engine_event ev = {.type = ENGINE_EV_RESULT};
	int i = strlen(peer) == 1 ? *peer - 'a' : 0;

	if (i < 0 || i >= (int)(sizeof(b->up) / sizeof(b->up[0])))
		i = 0; /* not of this bed */
	ev.result.effect_id = id;
	if (type == ENGINE_FX_LIST_SAS) {
		bed_list(b, id);
		return;
	}
	if (type == ENGINE_FX_LIST_CONNS) {
		ev = (struct engine_event){.type = ENGINE_EV_CONNS};
		ev.conns.effect_id = id;
	} else if (type == ENGINE_FX_RESOLVE) {
		ev = (struct engine_event){.type = ENGINE_EV_RESOLVED};
		ev.resolved.effect_id = id;
		ev.resolved.addrs = &resolved;
		ev.resolved.n = 1;
	} else if (type == ENGINE_FX_INITIATE && b->refuse) {
		ev.result.error = -ECONNREFUSED;
		ev.result.text = "refused";
	} else if (type == ENGINE_FX_INITIATE && !b->deaf) {
		bed_sa(b, i, true);
	} else if (type == ENGINE_FX_TERMINATE && i) {
		bed_sa(b, i, false);
	}
	bed_step(b, &ev);
}

static inline void bed_answer_all(struct bed *b)
{
	for (int round = 0; b->n_pending && round < 10000; round++) {
		uint64_t id = b->pending[0].id;
		enum engine_effect_type type = b->pending[0].type;
		char peer[64];

		snprintf(peer, sizeof(peer), "%s", b->pending[0].peer);
		memmove(&b->pending[0], &b->pending[1], --b->n_pending * sizeof(b->pending[0]));
		bed_answer(b, id, type, peer);
	}
}

/* Time passes in steps of 5 ms; all that is asked is answered. */
static inline void bed_pass(struct bed *b, int64_t us)
{
	for (int64_t end = b->now.mono_us + us, frac = 0; b->now.mono_us < end;) {
		struct engine_event tick = {.type = ENGINE_EV_TICK};
		int64_t wake;

		bed_answer_all(b);
		wake = engine_next_wakeup(b->e);
		if (wake < b->now.mono_us + 5000)
			wake = b->now.mono_us + 5000;
		if (wake > b->now.mono_us + US / 2)
			wake = b->now.mono_us + US / 2;
		if (wake > end)
			wake = end;
		frac = wake / US - b->now.mono_us / US;
		b->now.mono_us = wake;
		b->now.wall_s += frac;
		bed_step(b, &tick);
	}
	bed_answer_all(b);
}

static inline void bed_charon(struct bed *b, bool connected)
{
	struct engine_event ev = {.type = ENGINE_EV_CHARON};

	if (connected) {
		b->generation++;
		memset(b->up, 0, sizeof(b->up));
	}
	ev.charon.connected = connected;
	ev.charon.generation = b->generation;
	bed_step(b, &ev);
}

static inline void bed_swap(struct bed *b, const struct policy *p)
{
	struct engine_event ev = {.type = ENGINE_EV_POLICY, .policy = p};

	policy_unref(b->policy);
	b->policy = p;
	bed_step(b, &ev);
}

static inline void bed_own_key(struct bed *b)
{
	struct engine_event ev = {.type = ENGINE_EV_OWN_KEY};

	bed_key(0, &ev.own_key);
	bed_step(b, &ev);
}

static inline void bed_begin(
        struct bed *b, const struct policy *p, const struct engine_config *config, int64_t wall_s)
{
	memset(b, 0, sizeof(*b));
	b->now = (struct engine_time){5 * US, wall_s};
	assert_int_equal(engine_new(&b->e, config), 0);
	bed_own_key(b);
	bed_swap(b, p);
	bed_charon(b, true);
}

static inline void bed_end(struct bed *b)
{
	engine_free(b->e);
	policy_unref(b->policy);
}

static inline struct engine_peer_view bed_look(struct bed *b, const char *peer)
{
	struct engine_peer_view v;

	assert_int_equal(engine_peer_find(b->e, peer, &v), 0);
	return v;
}

#endif

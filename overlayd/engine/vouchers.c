/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Vouchers: members that change their keys say so to their seeds, where an admin approves it. A
 * voucher (policy/voucher.h) proves itself, so it needs no other signature; what it says about
 * anybody but the sender is passed over. It is said anew on each session, and kept for as long as
 * there is one: no list of old wishes grows.
 */
#include "engine/cluster_internal.h"

#include <string.h>

#define CHECK_BURST 8U /* two signatures each */
#define CHECK_US 30000000

/* ---- ours ---- */

void cluster_voucher(struct cluster *c, const char *line, size_t len)
{
	if (len >= sizeof(c->own_voucher) ||
	        (len == c->own_voucher_len && !memcmp(line, c->own_voucher, len)))
		return;
	memcpy(c->own_voucher, line, len);
	c->own_voucher_len = len;
	c->voucher_gen++;
	c->sync_all = true;
}

void voucher_say(struct cluster *c, struct sess *s)
{
	struct session_msg *msg;

	if (!s->greeted || !s->m->seed || s->voucher_gen == c->voucher_gen)
		return;
	msg = cl_arena(c, sizeof(*msg));
	if (!msg)
		return;
	*msg = (struct session_msg){.type = SESSION_VOUCHER,
	        .data = (const uint8_t *)c->own_voucher,
	        .len = c->own_voucher_len};
	if (sess_send(c, s, msg, false))
		s->voucher_gen = c->voucher_gen;
}

/* ---- theirs ---- */

void voucher_forget(struct cluster *c, struct member *m)
{
	if (m->voucher)
		cl_free(c, m->voucher, strlen(m->voucher) + 1);
	m->voucher = NULL;
}

static bool may_check(struct cluster *c, struct member *m)
{
	int64_t more = (c->now.mono_us - m->checked_us) / CHECK_US;

	m->checked_us += more * CHECK_US;
	m->checked = more < m->checked ? m->checked - (uint32_t)more : 0;
	return m->checked < CHECK_BURST && ++m->checked;
}

/* Its own, from the key that it has here to one that nobody has. */
static bool is_its_own(
        const struct cluster *c, const struct member *m, const struct policy_voucher *v)
{
	return !strcmp(v->name, m->name) && !strcmp(v->cluster, c->policy->cluster) &&
	       !memcmp(&v->old_key, &m->key, sizeof(m->key)) &&
	       !policy_peer_by_key(c->policy, &v->key);
}

void voucher_come(struct cluster *c, struct sess *s, const struct session_msg *msg)
{
	char fingerprint[POLICY_FINGERPRINT_LEN];
	struct member *m = s->m;
	struct policy_voucher v;

	if (!c->self_seed || (m->voucher && msg->len == strlen(m->voucher) &&
	                             !memcmp(msg->data, m->voucher, msg->len)))
		return;
	if (!msg->len) {
		voucher_forget(c, m);
		return;
	}
	if (!may_check(c, m))
		return;
	if (policy_voucher_parse((const char *)msg->data, msg->len, &v, NULL, 0)) {
		member_strike(c, m, 1);
		return;
	}
	if (!is_its_own(c, m, &v))
		return;
	voucher_forget(c, m);
	m->voucher = cl_alloc(c, msg->len + 1);
	if (!m->voucher)
		return;
	memcpy(m->voucher, msg->data, msg->len);
	m->next_key = v.key;
	m->voucher_us = c->now.mono_us;
	policy_key_fingerprint(&v.key, fingerprint);
	cl_notice(c, ENGINE_NOTICE, ENGINE_N_NEXT_KEY, m,
	        "%s asks to change its key to %s: overlayctl pending.", m->name, fingerprint);
}

size_t cluster_vouchers(const struct cluster *c, struct engine_voucher_view *v, size_t max)
{
	size_t n = 0;

	for (size_t i = 0; c->self && i < c->policy->n_peers && n < max; i++) {
		const struct member *m = member_find(c, c->policy->peers[i].name);

		if (m && m->voucher)
			v[n++] = (struct engine_voucher_view){
			        m->name, m->next_key, m->voucher, m->voucher_us};
	}
	return n;
}

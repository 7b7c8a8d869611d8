/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Newcomers that wait for an admin. An entry is a key and the name that it wants; what it says opens
 * nothing, and whoever fills the queue drives out nobody that goes on asking: of a full queue those
 * go that have not asked for minutes, or the youngest of the source that has most.
 */
#include "engine/join_internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static int compare(const struct pending *p, const char *name, const struct policy_key *key)
{
	int c = strcmp(p->name, name);

	return c ? c : policy_key_compare(&p->key, key);
}

/* Where it is or belongs. */
static size_t place(const struct join *j, const char *name, const struct policy_key *key)
{
	size_t low = 0, high = j->n_pending;

	while (low < high) {
		size_t mid = (low + high) / 2;

		if (compare(j->pending[mid], name, key) < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static void drop(struct engine *e, size_t i)
{
	struct join *j = e->join;

	mem_free(e, j->pending[i], sizeof(*j->pending[i]));
	j->n_pending--;
	memmove(&j->pending[i], &j->pending[i + 1], (j->n_pending - i) * sizeof(j->pending[0]));
}

void pending_free(struct engine *e)
{
	while (e->join->n_pending)
		drop(e, e->join->n_pending - 1);
}

void pending_drop_key(struct engine *e, const struct policy_key *key)
{
	for (size_t i = e->join->n_pending; i-- > 0;)
		if (!memcmp(&e->join->pending[i]->key, key, sizeof(*key)))
			drop(e, i);
}

/* ---- room ---- */

static size_t of_source(const struct join *j, const struct policy_addr *masked)
{
	uint64_t hash = digest_addr(DIGEST_START, masked);
	size_t n = 0;

	for (size_t i = 0; i < j->n_pending; i++)
		n += j->pending[i]->hash == hash && addr_equal(&j->pending[i]->masked, masked);
	return n;
}

static void forget(struct engine *e, int64_t older_us)
{
	for (size_t i = e->join->n_pending; i-- > 0;)
		if (e->now.mono_us >= e->join->pending[i]->last_us + older_us)
			drop(e, i);
}

/* The youngest entry of the source with most, if that has two more than whom it is for. */
static bool make_room(struct engine *e, size_t has)
{
	const struct join *j = e->join;
	size_t most = 0, victim = 0;

	for (size_t i = 0; i < j->n_pending; i++) {
		size_t n = of_source(j, &j->pending[i]->masked);

		if (n < most ||
		        (n == most && j->pending[i]->first_us <= j->pending[victim]->first_us))
			continue;
		most = n;
		victim = i;
	}
	if (most < has + 2)
		return false;
	drop(e, victim);
	return true;
}

static const char *no_room(struct engine *e, const struct policy_addr *masked)
{
	size_t has = of_source(e->join, masked);

	if (has >= PENDING_SOURCE_MAX)
		return "As many as may wait from one address do already: let an admin approve or "
		       "reject them.";
	if (e->join->n_pending == PENDING_MAX)
		forget(e, PENDING_CROWDED_US);
	if (e->join->n_pending == PENDING_MAX && !make_room(e, has))
		return "As many as may wait do already: let an admin approve or reject them.";
	return NULL;
}

/* ---- asking ---- */

static void fill(struct pending *p, const struct join_call *c, int64_t now)
{
	const struct join_request *r = &c->request;

	p->source = c->source;
	join_source_mask(&c->source, &p->masked);
	p->hash = digest_addr(DIGEST_START, &p->masked);
	memcpy(p->site, r->site, sizeof(p->site));
	memcpy(p->release, r->release, sizeof(p->release));
	memcpy(p->links, r->links, sizeof(p->links));
	p->n_links = r->n_links;
	p->last_us = now;
}

static struct pending *add(struct engine *e, const struct join_call *c)
{
	const struct join_request *r = &c->request;
	struct pending *p = mem_alloc(e, sizeof(*p));
	struct join *j = e->join;
	size_t i;

	if (!p)
		return NULL;
	memcpy(p->name, r->name, sizeof(p->name));
	p->key = r->key;
	p->first_us = e->now.mono_us;
	i = place(j, p->name, &p->key);
	memmove(&j->pending[i + 1], &j->pending[i], (j->n_pending - i) * sizeof(j->pending[0]));
	j->pending[i] = p;
	j->n_pending++;
	return p;
}

static void tell(struct engine *e, const struct pending *p)
{
	char key[POLICY_FINGERPRINT_LEN], from[64];

	if (!rate_take(&e->join->notices, e->now.mono_us, NOTICE_US, NOTICE_BURST, 1))
		return;
	policy_key_fingerprint(&p->key, key);
	policy_addr_print(&p->source, from, sizeof(from));
	notice(e, ENGINE_NOTICE, ENGINE_N_JOIN_PENDING, NULL,
	        "A node asks from %s to join as %s, with the key %s: overlayctl pending.", from,
	        p->name, key);
}

/*
 * While somebody may be sitting in front of it, often: it is a member at most so long after it was
 * approved. But all of a source no oftener than half its rate (SOURCE_US), and of all of them six a
 * second: each asking is a join SA.
 */
static uint32_t retry_s(const struct engine *e, const struct pending *p)
{
	size_t n = e->join->n_pending, of = of_source(e->join, &p->masked), s = n / 6;

	if (e->now.mono_us >= p->first_us + FRESH_US)
		return 5 + (uint32_t)(n / 4);
	s = s > of ? s : of;
	return s > 2 ? (uint32_t)s : 2;
}

void pending_ask(struct engine *e, struct join_call *c)
{
	const struct join_request *r = &c->request;
	struct join *j = e->join;
	size_t i = place(j, r->name, &r->key);
	struct pending *p = i < j->n_pending && !compare(j->pending[i], r->name, &r->key)
	                            ? j->pending[i]
	                            : NULL;
	bool is_new = !p;
	struct policy_addr masked;
	const char *why;
	char key[POLICY_FINGERPRINT_LEN];

	join_source_mask(&c->source, &masked);
	why = p ? NULL : no_room(e, &masked);
	p = p || why ? p : add(e, c);
	if (!p) {
		join_answer(e, c, JOIN_BUSY, 30, "%s", why ? why : "This seed is out of memory.");
		return;
	}
	fill(p, c, e->now.mono_us);
	if (is_new)
		tell(e, p);
	policy_key_fingerprint(&p->key, key);
	join_answer(e, c, JOIN_PENDING, retry_s(e, p),
	        "Waiting for an admin to compare the fingerprint, and then: overlayctl approve %s "
	        "%.20s",
	        p->name, key);
}

/* ---- refused by an admin ---- */

bool pending_is_rejected(struct engine *e, const struct policy_key *key)
{
	struct join *j = e->join;

	for (size_t i = 0; i < j->n_rejected; i++) {
		if (memcmp(&j->rejected[i].key, key, sizeof(*key)))
			continue;
		if (e->now.mono_us < j->rejected[i].until)
			return true;
		j->rejected[i] = j->rejected[--j->n_rejected];
		return false;
	}
	return false;
}

/* Of a full list the oldest goes. */
void pending_reject(struct engine *e, const struct policy_key *key)
{
	struct join *j = e->join;
	struct rejected *r = &j->rejected[0];

	pending_drop_key(e, key);
	if (pending_is_rejected(e, key))
		return;
	if (j->n_rejected < REJECTED_MAX)
		r = &j->rejected[j->n_rejected++];
	else
		for (size_t i = 1; i < j->n_rejected; i++)
			if (j->rejected[i].until < r->until)
				r = &j->rejected[i];
	*r = (struct rejected){.key = *key, .until = e->now.mono_us + REJECT_US};
}

/* ---- time, and a policy that names some of them now ---- */

#define LOOK_US 60000000

void pending_step(struct engine *e)
{
	struct join *j = e->join;

	if (!j->n_pending)
		return;
	if (e->now.mono_us >= j->pending_due) {
		forget(e, PENDING_FORGET_US);
		j->pending_due = e->now.mono_us + LOOK_US;
	}
	if (!e->policy || !memcmp(e->policy->digest, j->pending_policy, sizeof(j->pending_policy)))
		return;
	memcpy(j->pending_policy, e->policy->digest, sizeof(j->pending_policy));
	for (size_t i = j->n_pending; i-- > 0;)
		if (policy_peer_by_key(e->policy, &j->pending[i]->key))
			drop(e, i);
}

/* ---- looking ---- */

int engine_pending_at(const struct engine *e, size_t index, struct engine_pending_view *out)
{
	const struct join *j = e->join;
	const struct pending *p;

	if (index >= j->n_pending)
		return -ENOENT;
	p = j->pending[index];
	*out = (struct engine_pending_view){.name = p->name,
	        .key = p->key,
	        .source = p->source,
	        .site = p->site,
	        .release = p->release,
	        .links = p->links,
	        .n_links = p->n_links,
	        .first_mono_us = p->first_us,
	        .last_mono_us = p->last_us};
	out->same_name =
	        (index && !strcmp(j->pending[index - 1]->name, p->name)) ||
	        (index + 1 < j->n_pending && !strcmp(j->pending[index + 1]->name, p->name));
	for (size_t i = 0; i < j->n_pending; i++)
		out->other_names |= i != index && !memcmp(&j->pending[i]->key, &p->key, 32);
	out->taken = e->policy && policy_peer_by_name(e->policy, p->name);
	return 0;
}

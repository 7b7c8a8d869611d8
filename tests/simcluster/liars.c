/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Seeds that admit as they like, whoever stole a token's secret, and members that send admissions
 * which are none. A lying seed has its own node key, every request that came to it, and the stolen
 * tokens: with them it can sign for any key. Others' node keys and tokens it has not.
 */
#include "tests/simcluster/swarm.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RECORDS_MAX 60000 /* bytes: about what one message takes */

static struct token *token_stolen(struct world *w)
{
	for (int i = 0; i < 4 && w->n_tokens; i++) {
		struct token *t = &w->tokens[rnd_below(w, (uint64_t)w->n_tokens)];

		if (t->stolen)
			return t;
	}
	return NULL;
}

static struct token *token_named(struct world *w, const char *name)
{
	for (int i = 0; i < w->n_tokens; i++)
		if (!strcmp(w->tokens[i].name, name))
			return &w->tokens[i];
	return NULL;
}

static const struct policy_peer *peer_any(struct world *w, const struct node *n)
{
	return n->policy ? &n->policy->peers[rnd_below(w, n->policy->n_peers)] : NULL;
}

/* ---- what a seed signs ---- */

/* Something a stolen token vouches for: new keys, or what is somebody's already. */
static bool wish_stolen(struct world *w, const struct node *s, struct policy_admission *a)
{
	struct token *t = token_stolen(w);
	const struct policy_peer *victim = peer_any(w, s);
	uint8_t words[POLICY_ADMISSION_WORDS_MAX];

	if (!t || !victim)
		return false;
	guest_wish(w, -1, (int)(t - w->tokens), a);
	if (chance(w, 0.2) && !victim->guest && !w->core.calm)
		memcpy(a->name, victim->name, strlen(victim->name) + 1);
	if (chance(w, 0.2) && !victim->guest && !w->core.calm)
		a->key = victim->key;
	if (chance(w, 0.1) && t->n_except)
		a->key = t->except[rnd_below(w, t->n_except)];
	sign_words(t->secret, words, policy_admission_words_token(a, words), a->by_token);
	return true;
}

static void address_lie(struct world *w, const struct node *s, struct policy_admission *a)
{
	static const uint8_t none[][4] = {{10, 64, 0, 0}, {10, 127, 255, 255}, {192, 0, 2, 1},
	        {0, 0, 0, 0}, {127, 0, 0, 1}, {10, 96, 9, 9}};
	const struct policy_peer *victim = peer_any(w, s);

	if (chance(w, 0.5) && victim)
		a->addr4 = victim->addr4;
	else
		memcpy(a->addr4.bytes, none[rnd_below(w, sizeof(none) / sizeof(none[0]))], 4);
}

/* Fills in what a seed gives, one or two things of it wrong. */
static bool gift(struct world *w, struct node *s, struct policy_admission *a)
{
	const struct token *t = token_named(w, a->token);
	uint8_t words[POLICY_ADMISSION_WORDS_MAX];
	bool whole = true;

	a->addr4 = (struct policy_addr){2, {10, 96, (uint8_t)t->range, (uint8_t)rnd_below(w, 16)}};
	a->number = 1 + (uint32_t)rnd_below(w, t->count);
	memcpy(a->seed, s->name, sizeof(s->name));
	switch (rnd_below(w, 9)) {
	case 0:
	case 1: /* beyond the count */
		a->number = t->count + 1 + (uint32_t)rnd_below(w, 5);
		break;
	case 2:
	case 3:
		address_lie(w, s, a);
		break;
	case 4: /* in another seed's name */
		memcpy(a->seed, w->nodes[rnd_below(w, (uint64_t)w->n_nodes)].name, sizeof(s->name));
		whole = !strcmp(a->seed, s->name);
		break;
	case 5: /* a token that grants more */
		memcpy(a->token, w->tokens[rnd_below(w, (uint64_t)w->n_tokens)].name,
		        sizeof(t->name));
		whole = !strcmp(a->token, t->name);
		break;
	case 6: { /* somebody else than the token vouched for */
		const struct policy_peer *pp = peer_any(w, s);

		if (pp)
			a->key = pp->key;
		whole = false;
		break;
	}
	}
	sign_words(s->secret, words, policy_admission_words_seed(a, words), a->by_seed);
	return whole;
}

static void issue(struct world *w, const struct node *s, const struct policy_admission *a)
{
	const struct token *t = token_named(w, a->token);

	w->n_lies++;
	guest_issued(w, a, &t->key, &s->key, s);
}

bool liars_admit(struct world *w, struct node *s, struct policy_admission *wish)
{
	struct policy_admission a = *wish;

	if (w->core.calm || chance(w, 0.3)) /* it says that it is busy */
		return true;
	if (chance(w, 0.3))
		return false; /* this one is let in as it should be */
	if (gift(w, s, &a))
		issue(w, s, &a);
	if (chance(w, 0.5))
		guest_member(w, s, &a);
	return true;
}

/* ---- what is sent ---- */

struct letter {
	uint8_t data[RECORDS_MAX + 2 + POLICY_ADMISSION_MAX];
	size_t len;
};

static void put(struct letter *l, const uint8_t *record, size_t len)
{
	l->data[l->len++] = (uint8_t)(len >> 8);
	l->data[l->len++] = (uint8_t)len;
	memcpy(l->data + l->len, record, len);
	l->len += len;
}

/* Near the end nothing new that counts may come: all must have settled. */
static bool too_late(const struct world *w, const struct issued *is)
{
	return w->core.now > w->core.end - LATE_US &&
	       (w->final < 0 || grant_holds(w->bundles[w->final].policy, &is->grant));
}

static void put_any(struct world *w, struct node *n, struct letter *l)
{
	uint8_t record[POLICY_ADMISSION_MAX];
	struct policy_admission a;
	size_t len = 0;

	memset(&a, 0, sizeof(a));
	if (n->seed && w->core.now < w->core.end - LATE_US && chance(w, 0.3)) {
		if (wish_stolen(w, n, &a)) {
			if (gift(w, n, &a))
				issue(w, n, &a);
			len = policy_admission_print(&a, record);
		}
	} else if (w->n_issued && chance(w, 0.8)) {
		const struct issued *is = &w->issued[rnd_below(w, w->n_issued)];
		bool bad = too_late(w, is) || chance(w, 0.5);

		a = is->grant.a;
		if (bad && chance(w, 0.5)) /* foreign */
			strcpy(a.cluster, "other");
		len = policy_admission_print(&a, record);
		for (int i = 0; bad && len && i < 3; i++) /* and damaged */
			record[rnd_below(w, len)] ^= (uint8_t)(1 + rnd_below(w, 255));
	} else {
		len = rnd_below(w, sizeof(record));
		for (size_t i = 0; i < len; i++)
			record[i] = (uint8_t)rnd(w);
	}
	put(l, record, len);
}

/* As costly as can be: nothing but the signatures is wrong. */
static void put_costly(struct world *w, const struct node *n, struct letter *l)
{
	const struct token *t = &w->tokens[rnd_below(w, (uint64_t)w->n_tokens)];
	uint8_t record[POLICY_ADMISSION_MAX];
	struct policy_admission a;

	guest_wish(w, -1, (int)(t - w->tokens), &a);
	for (int i = 0; i < 64; i++)
		a.by_token[i] ^= t->stolen ? 0 : (uint8_t)rnd(w);
	a.addr4 = (struct policy_addr){2, {10, 96, (uint8_t)t->range, (uint8_t)rnd_below(w, 256)}};
	a.number = 1 + (uint32_t)rnd_below(w, t->count);
	memcpy(a.seed, w->nodes[rnd_below(w, (uint64_t)w->n_seeds)].name, sizeof(n->name));
	put(l, record, policy_admission_print(&a, record));
}

void liars_act(struct world *w, struct node *n, struct sess_end *e)
{
	static struct letter l;
	struct session_msg m = {.type = SESSION_ADMISSIONS};
	int many = 1 + (int)rnd_below(w, 4);
	bool endless = chance(w, 0.1);

	l.len = 0;
	if (chance(w, 0.2))
		many = 0;
	while (endless ? l.len < RECORDS_MAX : many-- > 0)
		if (endless)
			put_costly(w, n, &l);
		else
			put_any(w, n, &l);
	if (l.len && chance(w, 0.1)) /* cut off */
		l.len = rnd_below(w, l.len);
	if (n->force >= 0 && chance(w, 0.8)) {
		m.head.serial = w->bundles[n->force].head.serial;
		memcpy(m.head.digest, w->bundles[n->force].head.digest, 32);
	}
	for (int i = 0; i < 32; i++)
		m.sum[i] = (uint8_t)rnd(w);
	m.data = l.data;
	m.len = l.len;
	net_inject(w, e, &m);
}

/* Who has a token uses it at all seeds at once, for more than it is good for. */
void liars_thief(struct world *w)
{
	const struct token *t = token_stolen(w);

	if (!t)
		return;
	say(w, NULL, "somebody uses the stolen %s", t->name);
	for (uint32_t i = 0; i < t->count + 3; i++)
		guest_asks(w, -1, (int)(t - w->tokens));
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Tokens, as the admin grants them and takes them back: with every bundle one may come, go or come
 * again, lose a guest, get another count; and a seed may lose its role for a while, so that what it
 * signed counts no more. In one swarm of three there are none.
 */
#include "tests/simcluster/swarm.h"

#include <stdio.h>
#include <string.h>

static void token_new(struct world *w)
{
	struct token *t = &w->tokens[w->n_tokens];

	snprintf(t->name, sizeof(t->name), "t%d", w->n_tokens);
	t->secret = sign_key(w, &t->key);
	t->in = chance(w, 0.7);
	t->count = 1 + (uint32_t)rnd_below(w, chance(w, 0.3) ? 20 : 4);
	t->range = w->n_tokens / 2; /* two have one range */
	t->len = chance(w, 0.3) ? 29 : 24;
	t->stolen = chance(w, 0.3);
	w->n_tokens++;
}

void tokens_start(struct world *w)
{
	int n = w->peaceful || chance(w, 0.3) ? 0 : 1 + (int)rnd_below(w, TOKENS_MAX - 1);

	while (w->n_tokens < n)
		token_new(w);
}

void tokens_one(struct world *w)
{
	token_new(w);
	w->tokens[0].in = true;
	w->tokens[0].count = 1000;
	w->tokens[0].len = 24;
}

void tokens_end(struct world *w)
{
	for (int i = 0; i < w->n_tokens; i++)
		sign_key_free(w->tokens[i].secret);
}

static void except_one(struct world *w, struct token *t)
{
	const struct issued *is;

	if (!w->n_issued || t->n_except == EXCEPT_MAX)
		return;
	is = &w->issued[rnd_below(w, w->n_issued)];
	for (size_t i = 0; i < t->n_except; i++)
		if (!memcmp(&t->except[i], &is->grant.a.key, sizeof(is->grant.a.key)))
			return;
	if (!strcmp(is->grant.a.token, t->name))
		t->except[t->n_except++] = is->grant.a.key;
}

static void token_change(struct world *w, struct token *t)
{
	switch (rnd_below(w, 7)) {
	case 0:
	case 1:
		t->in = !t->in;
		return;
	case 2:
	case 3:
		for (int i = 0; i < 4; i++)
			except_one(w, t);
		return;
	case 4:
		t->count = 1 + (uint32_t)rnd_below(w, 6);
		return;
	case 6: /* another of the same name: whom the first one let in is a stranger to it */
		sign_key_free(t->secret);
		t->secret = sign_key(w, &t->key);
		return;
	case 5: /* who was revoked may come again */
		t->n_except = 0;
		return;
	}
}

void tokens_change(struct world *w)
{
	if (!w->n_tokens)
		return;
	for (int i = (int)rnd_below(w, 3); i > 0; i--)
		token_change(w, &w->tokens[rnd_below(w, (uint64_t)w->n_tokens)]);
	if (chance(w, 0.15)) {
		bool *no = &w->no_seed[rnd_below(w, (uint64_t)w->n_seeds)];

		*no = !*no;
	}
}

/* All seeds are seeds again, and one token is new, with room for so many. */
void tokens_last(struct world *w, int room)
{
	struct token *t = &w->tokens[w->n_tokens];

	memset(w->no_seed, 0, sizeof(w->no_seed));
	if (!w->n_tokens)
		return;
	token_new(w);
	t->in = true;
	t->stolen = false;
	t->count = room > 0 ? (uint32_t)room : 1;
	t->range = 50;
	t->len = 24;
}

static void token_print(const struct token *t, FILE *f)
{
	char key[96], print[POLICY_FINGERPRINT_LEN];

	policy_key_print(&t->key, key, sizeof(key));
	fprintf(f,
	        "  %s: { key: \"%s\", roles: [node], site: s, range: 10.96.%d.0/%d, count: %u, "
	        "until: 2090-01-01T00:00:00Z, except: [",
	        t->name, key, t->range, t->len, t->count);
	for (size_t i = 0; i < t->n_except; i++) {
		policy_key_fingerprint(&t->except[i], print);
		fprintf(f, "%s\"%s\"", i ? ", " : "", print);
	}
	fputs("] }\n", f);
}

void tokens_print(struct world *w, FILE *f)
{
	bool any = false;

	for (int i = 0; i < w->n_tokens; i++) {
		if (!w->tokens[i].in)
			continue;
		if (!any)
			fputs("tokens:\n", f);
		any = true;
		token_print(&w->tokens[i], f);
	}
}

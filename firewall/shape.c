/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The shape of what is wanted. (observe.c makes that of what the kernel holds.) */
#include <stdio.h>
#include "firewall/shape.h"

#include <errno.h>
#include <libnftnl/common.h>
#include <libnftnl/rule.h>
#include <linux/netfilter/nfnetlink.h>
#include <stdlib.h>
#include <string.h>

#include "firewall/expr.h"

void shape_clear(struct shape *s)
{
	for (size_t i = 0; i < s->n; i++)
		free(s->chains[i].rules);
	for (size_t i = 0; i < SET_STATIC; i++)
		free(s->statics[i]);
	free(s->chains);
	memset(s, 0, sizeof(*s));
}

struct shape_chain *shape_chain_find(const struct shape *s, const char *name)
{
	for (size_t i = 0; i < s->n; i++)
		if (!strcmp(s->chains[i].name, name))
			return &s->chains[i];
	return NULL;
}

static int span_order(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(((struct span *)0)->first));
}

char *spans_text(struct span *s, size_t n, size_t len)
{
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	if (!f)
		return NULL;
	if (n)
		qsort(s, n, sizeof(*s), span_order);
	for (size_t i = 0; i < n; i++) {
		for (size_t k = 0; k < len; k++)
			fprintf(f, "%02x", s[i].first[k]);
		fputc('-', f);
		for (size_t k = 0; k < len; k++)
			fprintf(f, "%02x", s[i].last[k]);
		fputc(' ', f);
	}
	if (fclose(f) != 0) {
		free(text);
		return NULL;
	}
	return text;
}

struct spans {
	struct span *s;
	size_t n;
	size_t len;
};

static int spans_add(void *ctx, const struct span *s, size_t len)
{
	struct spans *l = ctx;
	struct span *bigger = reallocarray(l->s, l->n + 1, sizeof(*bigger));

	if (!bigger)
		return -ENOMEM;
	l->s = bigger;
	l->s[l->n++] = *s;
	l->len = len;
	return 0;
}

static char *static_text(const struct fw_ruleset *rs, enum set_id id)
{
	struct spans l = {0};
	char *text = NULL;

	if (fw_static_each(rs, id, spans_add, &l) == 0)
		text = spans_text(l.s, l.n, l.len);
	free(l.s);
	return text;
}

static const char *anonymous_text(void *ctx, const char *set)
{
	(void)set;
	return ctx;
}

static char *ports_text(const struct stmt *s)
{
	struct spans l = {0};
	char *text = NULL;
	int rc = 0;

	for (size_t i = 0; i < s->n && !rc; i++) {
		const struct fw_ports *p = &s->ports[i];
		struct span sp = {.first = {p->first >> 8, p->first & 0xff},
		        .last = {p->last >> 8, p->last & 0xff}};

		rc = spans_add(&l, &sp, 2);
	}
	if (!rc)
		text = spans_text(l.s, l.n, 2);
	free(l.s);
	return text;
}

/* By way of the message that we would send, so that the kernel's compares with it. */
static int write_rule(const struct rule *r, const char *chain, char *room, FILE *f)
{
	const struct stmt *anonymous = rule_anonymous(r);
	char *content = anonymous ? ports_text(anonymous) : NULL;
	struct nftnl_rule *n = rule_compile(r, chain, 0);
	int rc = -ENOMEM;

	if (n && (content || !anonymous)) {
		struct nlmsghdr *nlh = nftnl_nlmsg_build_hdr(
		        room, NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_NEWRULE, NFPROTO_INET, 0, 0);

		nftnl_rule_nlmsg_build_payload(nlh, n);
		rc = rule_canonical(nlh, anonymous_text, content, f);
	}
	if (n)
		nftnl_rule_free(n);
	free(content);
	return rc;
}

static char *rules_text(const struct chain *c)
{
	char *text = NULL, *room = malloc(BATCH_ROOM);
	size_t size;
	FILE *f = room ? open_memstream(&text, &size) : NULL;
	int rc = 0;

	for (size_t i = 0; f && i < c->n && !rc; i++)
		rc = write_rule(&c->rules[i], c->name, room, f);
	free(room);
	if (!f)
		return NULL;
	if (fclose(f) != 0 || rc) {
		free(text);
		return NULL;
	}
	return text;
}

int shape_from_table(const struct table *t, struct shape *out)
{
	struct shape s = {.exists = true};
	bool ok = true;

	s.chains = calloc(t->n, sizeof(*s.chains));
	if (!s.chains)
		return -ENOMEM;
	for (; s.n < t->n && ok; s.n++) {
		const struct chain *c = &t->chains[s.n];
		struct shape_chain *to = &s.chains[s.n];

		*to = (struct shape_chain){
		        .base = c->base, .hook = c->hook, .prio = c->prio, .drop = c->drop};
		strcpy(to->name, c->name);
		to->rules = rules_text(c);
		ok = to->rules != NULL;
	}
	for (int id = SET_ELEMENTS; id < SET_STATIC && ok; id++) {
		s.statics[id] = static_text(t->rs, id);
		ok = s.statics[id] != NULL;
	}
	if (!ok) {
		shape_clear(&s);
		return -ENOMEM;
	}
	*out = s;
	return 0;
}

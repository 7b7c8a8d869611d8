/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The messages of a transaction: table, sets, chains, rules, elements. */
#include <stdio.h>
#include "firewall/message.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <libnftnl/chain.h>
#include <libnftnl/expr.h>
#include <libnftnl/rule.h>
#include <libnftnl/set.h>
#include <libnftnl/table.h>
#include <libnftnl/udata.h>
#include <stdlib.h>
#include <string.h>

#include "firewall/expr.h"

/* An element's attributes take at most about 200 bytes; 256 of them stay below an attribute's 64
 * KiB. */
#define ELEMS_PER_MESSAGE 256

static void put_comment(struct nftnl_table *t, struct batch *b)
{
	struct nftnl_udata_buf *u = nftnl_udata_buf_alloc(NFT_USERDATA_MAXLEN);

	if (!u || !nftnl_udata_put_strz(u, NFTNL_UDATA_TABLE_COMMENT, FW_TABLE_COMMENT) ||
	        nftnl_table_set_data(t, NFTNL_TABLE_USERDATA, nftnl_udata_buf_data(u),
	                nftnl_udata_buf_len(u)) < 0)
		b->failed = true;
	if (u)
		nftnl_udata_buf_free(u);
}

void put_table(struct batch *b, uint16_t type)
{
	struct nlmsghdr *nlh = batch_put(b, type, type == NFT_MSG_NEWTABLE ? NLM_F_CREATE : 0);
	struct nftnl_table *t = nftnl_table_alloc();

	if (!nlh || !t || nftnl_table_set_str(t, NFTNL_TABLE_NAME, FW_TABLE) < 0) {
		b->failed = true;
		nftnl_table_free(t);
		return;
	}
	if (type == NFT_MSG_NEWTABLE)
		put_comment(t, b);
	nftnl_table_nlmsg_build_payload(nlh, t);
	nftnl_table_free(t);
	batch_seal(b, nlh);
}

static struct nftnl_set *set_alloc(const char *name, struct batch *b)
{
	struct nftnl_set *s = nftnl_set_alloc();

	if (!s || nftnl_set_set_str(s, NFTNL_SET_TABLE, FW_TABLE) < 0 ||
	        nftnl_set_set_str(s, NFTNL_SET_NAME, name) < 0) {
		b->failed = true;
		if (s)
			nftnl_set_free(s);
		return NULL;
	}
	nftnl_set_set_u32(s, NFTNL_SET_FAMILY, NFPROTO_INET);
	return s;
}

/* nft keeps the key's byte order here; without it `nft list` shows ranges turned round. */
static void set_byteorder(struct nftnl_set *s, struct batch *b)
{
	struct nftnl_udata_buf *u = nftnl_udata_buf_alloc(NFT_USERDATA_MAXLEN);

	if (!u || !nftnl_udata_put_u32(u, NFTNL_UDATA_SET_KEYBYTEORDER, 2) ||
	        nftnl_set_set_data(
	                s, NFTNL_SET_USERDATA, nftnl_udata_buf_data(u), nftnl_udata_buf_len(u)) < 0)
		b->failed = true;
	if (u)
		nftnl_udata_buf_free(u);
}

static void send_set(struct batch *b, struct nftnl_set *s)
{
	struct nlmsghdr *nlh = batch_put(b, NFT_MSG_NEWSET, NLM_F_CREATE);

	if (!nlh)
		return;
	nftnl_set_nlmsg_build_payload(nlh, s);
	batch_seal(b, nlh);
}

void put_set(struct batch *b, enum set_id id, const char *class)
{
	const struct set_def *d = &fw_sets[id];
	char name[FW_CHAIN_MAX];
	struct nftnl_set *s;

	fw_set_name(id, class, name);
	s = set_alloc(name, b);

	if (!s)
		return;
	nftnl_set_set_u32(s, NFTNL_SET_FLAGS, d->flags | (d->counter ? NFT_SET_EXPR : 0));
	nftnl_set_set_u32(s, NFTNL_SET_KEY_TYPE, d->key_type);
	nftnl_set_set_u32(s, NFTNL_SET_KEY_LEN, d->key_len);
	nftnl_set_set_u32(s, NFTNL_SET_ID, ++b->set_id);
	if (d->flags & NFT_SET_EVAL) {
		nftnl_set_set_u32(s, NFTNL_SET_DESC_SIZE, DENIED_SIZE);
		nftnl_set_set_u64(s, NFTNL_SET_TIMEOUT, DENIED_TIMEOUT_MS);
	}
	if (d->counter) {
		struct nftnl_expr *e = nftnl_expr_alloc("counter");

		if (e)
			nftnl_set_add_expr(s, e);
		else
			b->failed = true;
	}
	set_byteorder(s, b);
	send_set(b, s);
	nftnl_set_free(s);
}

void put_chain(struct batch *b, const struct chain *c)
{
	struct nlmsghdr *nlh = batch_put(b, NFT_MSG_NEWCHAIN, NLM_F_CREATE);
	struct nftnl_chain *n = nftnl_chain_alloc();

	if (!nlh || !n || nftnl_chain_set_str(n, NFTNL_CHAIN_TABLE, FW_TABLE) < 0 ||
	        nftnl_chain_set_str(n, NFTNL_CHAIN_NAME, c->name) < 0)
		b->failed = true;
	if (c->base && !b->failed) {
		nftnl_chain_set_u32(n, NFTNL_CHAIN_HOOKNUM, (uint32_t)c->hook);
		nftnl_chain_set_s32(n, NFTNL_CHAIN_PRIO, c->prio);
		nftnl_chain_set_u32(n, NFTNL_CHAIN_POLICY, c->drop ? NF_DROP : NF_ACCEPT);
		if (nftnl_chain_set_str(n, NFTNL_CHAIN_TYPE, "filter") < 0)
			b->failed = true;
	}
	if (!b->failed) {
		nftnl_chain_nlmsg_build_payload(nlh, n);
		batch_seal(b, nlh);
	}
	nftnl_chain_free(n);
}

void del_chain(struct batch *b, const char *name)
{
	struct nlmsghdr *nlh = batch_put(b, NFT_MSG_DELCHAIN, 0);

	if (!nlh)
		return;
	mnl_attr_put_strz(nlh, NFTA_CHAIN_TABLE, FW_TABLE);
	mnl_attr_put_strz(nlh, NFTA_CHAIN_NAME, name);
	batch_seal(b, nlh);
}

static void del_set(struct batch *b, enum set_id id, const char *class)
{
	struct nlmsghdr *nlh = batch_put(b, NFT_MSG_DELSET, 0);
	char name[FW_CHAIN_MAX];

	if (!nlh)
		return;
	fw_set_name(id, class, name);
	mnl_attr_put_strz(nlh, NFTA_SET_TABLE, FW_TABLE);
	mnl_attr_put_strz(nlh, NFTA_SET_NAME, name);
	batch_seal(b, nlh);
}

static bool class_of(const char *chain, bool *out, const char **class)
{
	*out = !strncmp(chain, "out_", 4);
	*class = chain + (*out ? 4 : 3);
	return *out || !strncmp(chain, "in_", 3);
}

void put_class_sets(struct batch *b, const char *chain)
{
	const char *class;
	bool out;

	if (!class_of(chain, &out, &class))
		return;
	put_set(b, out ? SET_OUT4 : SET_IN4, class);
	put_set(b, out ? SET_OUT6 : SET_IN6, class);
}

void del_class(struct batch *b, const char *chain)
{
	const char *class;
	bool out;

	del_chain(b, chain);
	if (!class_of(chain, &out, &class))
		return;
	del_set(b, out ? SET_OUT4 : SET_IN4, class);
	del_set(b, out ? SET_OUT6 : SET_IN6, class);
}

void flush_chain(struct batch *b, const char *name)
{
	struct nlmsghdr *nlh = batch_put(b, NFT_MSG_DELRULE, 0);

	if (!nlh)
		return;
	mnl_attr_put_strz(nlh, NFTA_RULE_TABLE, FW_TABLE);
	mnl_attr_put_strz(nlh, NFTA_RULE_CHAIN, name);
	batch_seal(b, nlh);
}

static void set_add_key(
        struct nftnl_set *s, const void *key, uint32_t len, bool end, struct batch *b)
{
	struct nftnl_set_elem *e = nftnl_set_elem_alloc();

	if (!e || nftnl_set_elem_set(e, NFTNL_SET_ELEM_KEY, key, len) < 0) {
		b->failed = true;
		if (e)
			nftnl_set_elem_free(e);
		return;
	}
	if (end)
		nftnl_set_elem_set_u32(e, NFTNL_SET_ELEM_FLAGS, NFT_SET_ELEM_INTERVAL_END);
	nftnl_set_elem_add(s, e);
}

/* A range is its first key, and an end mark on the key after its last (none if that was the very
 * last). */
static void set_add_span(struct nftnl_set *s, const struct span *sp, size_t len, struct batch *b)
{
	uint8_t after[16];
	size_t i = len;

	memcpy(after, sp->last, len);
	while (i && ++after[i - 1] == 0)
		i--;
	set_add_key(s, sp->first, (uint32_t)len, false, b);
	if (i)
		set_add_key(s, after, (uint32_t)len, true, b);
}

static void send_elems(struct batch *b, uint16_t type, struct nftnl_set *s)
{
	struct nlmsghdr *nlh;

	if (b->failed)
		return;
	nlh = batch_put(b, type, type == NFT_MSG_NEWSETELEM ? NLM_F_CREATE : 0);
	if (!nlh)
		return;
	nftnl_set_elems_nlmsg_build_payload(nlh, s);
	batch_seal(b, nlh);
}

static void put_anonymous(struct batch *b, const struct stmt *st)
{
	struct nftnl_set *s = set_alloc("__set%d", b);

	if (!s)
		return;
	nftnl_set_set_u32(
	        s, NFTNL_SET_FLAGS, NFT_SET_ANONYMOUS | NFT_SET_CONSTANT | NFT_SET_INTERVAL);
	nftnl_set_set_u32(s, NFTNL_SET_KEY_TYPE, 13);
	nftnl_set_set_u32(s, NFTNL_SET_KEY_LEN, 2);
	nftnl_set_set_u32(s, NFTNL_SET_ID, ++b->set_id);
	set_byteorder(s, b);
	send_set(b, s);
	for (size_t i = 0; i < st->n; i++) {
		const struct fw_ports *p = &st->ports[i];
		struct span sp = {.first = {p->first >> 8, p->first & 0xff},
		        .last = {p->last >> 8, p->last & 0xff}};

		set_add_span(s, &sp, 2, b);
	}
	send_elems(b, NFT_MSG_NEWSETELEM, s);
	nftnl_set_free(s);
}

void put_rules(struct batch *b, const struct chain *c)
{
	for (size_t i = 0; i < c->n && !b->failed; i++) {
		const struct stmt *anonymous = rule_anonymous(&c->rules[i]);
		struct nftnl_rule *r;
		struct nlmsghdr *nlh;

		if (anonymous)
			put_anonymous(b, anonymous);
		r = rule_compile(&c->rules[i], c->name, b->set_id);
		nlh = batch_put(b, NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_APPEND);
		if (r && nlh) {
			nftnl_rule_nlmsg_build_payload(nlh, r);
			batch_seal(b, nlh);
		} else {
			b->failed = true;
		}
		if (r)
			nftnl_rule_free(r);
	}
}

static void flush_set(struct batch *b, const char *name)
{
	struct nlmsghdr *nlh = batch_put(b, NFT_MSG_DELSETELEM, 0);

	if (!nlh)
		return;
	mnl_attr_put_strz(nlh, NFTA_SET_ELEM_LIST_TABLE, FW_TABLE);
	mnl_attr_put_strz(nlh, NFTA_SET_ELEM_LIST_SET, name);
	batch_seal(b, nlh);
}

struct span_put {
	struct batch *b;
	struct nftnl_set *s;
	const char *name;
	size_t n;
};

static int put_span(void *ctx, const struct span *sp, size_t len)
{
	struct span_put *p = ctx;

	if (p->n == ELEMS_PER_MESSAGE / 2) {
		send_elems(p->b, NFT_MSG_NEWSETELEM, p->s);
		nftnl_set_free(p->s);
		p->s = set_alloc(p->name, p->b);
		p->n = 0;
	}
	if (p->b->failed)
		return -ENOMEM;
	set_add_span(p->s, sp, len, p->b);
	p->n++;
	return 0;
}

void put_static(struct batch *b, const struct fw_ruleset *rs, enum set_id id, bool flush)
{
	struct span_put p = {.b = b, .name = fw_sets[id].name, .s = set_alloc(fw_sets[id].name, b)};

	if (flush)
		flush_set(b, p.name);
	if (p.s)
		fw_static_each(rs, id, put_span, &p);
	if (p.s && p.n)
		send_elems(b, NFT_MSG_NEWSETELEM, p.s);
	if (p.s)
		nftnl_set_free(p.s);
}

int elem_list_add(struct elem_list *l, const struct elem *e)
{
	if (l->n == l->cap) {
		size_t cap = l->cap ? l->cap * 2 : 16;
		struct elem *bigger = reallocarray(l->e, cap, sizeof(*bigger));

		if (!bigger)
			return -ENOMEM;
		l->e = bigger;
		l->cap = cap;
	}
	l->e[l->n++] = *e;
	return 0;
}

void elem_list_clear(struct elem_list *l)
{
	free(l->e);
	memset(l, 0, sizeof(*l));
}

static int set_order(const struct elem *x, const struct elem *y)
{
	if (x->set != y->set)
		return x->set < y->set ? -1 : 1;
	return x->class && y->class ? strcmp(x->class, y->class) : 0;
}

static int elem_order(const void *a, const void *b)
{
	const struct elem *x = a, *y = b;
	int order = set_order(x, y);

	return order ? order : memcmp(x->key, y->key, x->len);
}

static void set_add_elem(
        struct nftnl_set *s, const struct elem *w, bool adding, uint64_t now_ms, struct batch *b)
{
	struct nftnl_set_elem *e = nftnl_set_elem_alloc();

	if (!e || nftnl_set_elem_set(e, NFTNL_SET_ELEM_KEY, w->key, w->len) < 0) {
		b->failed = true;
		if (e)
			nftnl_set_elem_free(e);
		return;
	}
	if (adding && w->until_ms)
		nftnl_set_elem_set_u64(
		        e, NFTNL_SET_ELEM_TIMEOUT, w->until_ms > now_ms ? w->until_ms - now_ms : 1);
	nftnl_set_elem_add(s, e);
}

void put_elems(struct batch *b, uint16_t type, struct elem_list *l, uint64_t now_ms)
{
	size_t i = 0;

	if (l->n)
		qsort(l->e, l->n, sizeof(*l->e), elem_order);
	while (i < l->n && !b->failed) {
		const struct elem *first = &l->e[i];
		size_t end = i + ELEMS_PER_MESSAGE;
		char name[FW_CHAIN_MAX];
		struct nftnl_set *s;

		fw_set_name(first->set, first->class, name);
		s = set_alloc(name, b);
		if (!s)
			return;
		for (; i < l->n && i < end && !set_order(&l->e[i], first); i++)
			set_add_elem(s, &l->e[i], type == NFT_MSG_NEWSETELEM, now_ms, b);
		send_elems(b, type, s);
		nftnl_set_free(s);
	}
}

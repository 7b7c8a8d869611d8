/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the kernel holds, as a shape that compares with what is wanted. */
#include <stdio.h>
#include "firewall/observe.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <libnftnl/chain.h>
#include <libnftnl/rule.h>
#include <libnftnl/set.h>
#include <libnftnl/table.h>
#include <libnftnl/udata.h>
#include <linux/netfilter/nfnetlink.h>
#include <stdlib.h>
#include <string.h>

#include "firewall/expr.h"
#include "firewall/netlink.h"

struct seen_set {
	char name[FW_CHAIN_MAX];
	const char *chain; /* of a class' set, else anonymous */
	char *text;
};

void observed_init(struct observed *o, uint64_t now_ms)
{
	memset(o, 0, sizeof(*o));
	o->now_ms = now_ms;
	o->filling = -1;
}

void observed_clear(struct observed *o)
{
	shape_clear(&o->shape);
	elem_list_clear(&o->elems);
	elem_list_clear(&o->points);
	for (size_t i = 0; i < o->n_anonymous; i++)
		free(o->anonymous[i].text);
	free(o->anonymous);
	o->anonymous = NULL;
	o->n_anonymous = 0;
}

static bool is_ours(const char *table, uint32_t family)
{
	return table && family == NFPROTO_INET && !strcmp(table, FW_TABLE);
}

/* ---- table ---- */

static int comment_cb(const struct nftnl_udata *attr, void *data)
{
	bool *same = data;

	if (nftnl_udata_type(attr) == NFTNL_UDATA_TABLE_COMMENT &&
	        nftnl_udata_len(attr) == sizeof(FW_TABLE_COMMENT) &&
	        !memcmp(nftnl_udata_get(attr), FW_TABLE_COMMENT, sizeof(FW_TABLE_COMMENT)))
		*same = true;
	return 0;
}

static int feed_table(struct observed *o, const struct nlmsghdr *nlh)
{
	struct nftnl_table *t = nftnl_table_alloc();
	bool same = false;
	const void *data;
	uint32_t len = 0;

	if (!t)
		return -ENOMEM;
	if (nftnl_table_nlmsg_parse(nlh, t) == 0 &&
	        is_ours(nftnl_table_get_str(t, NFTNL_TABLE_NAME),
	                nftnl_table_get_u32(t, NFTNL_TABLE_FAMILY))) {
		data = nftnl_table_get_data(t, NFTNL_TABLE_USERDATA, &len);
		if (data)
			nftnl_udata_parse(data, len, comment_cb, &same);
		o->shape.exists = true;
		if (!same || nftnl_table_get_u32(t, NFTNL_TABLE_FLAGS))
			o->shape.foreign = true;
	}
	nftnl_table_free(t);
	return 0;
}

/* ---- chains ---- */

static int add_chain(struct observed *o, const struct nftnl_chain *c)
{
	const char *name = nftnl_chain_get_str(c, NFTNL_CHAIN_NAME);
	const char *type = nftnl_chain_get_str(c, NFTNL_CHAIN_TYPE);
	struct shape *s = &o->shape;
	struct shape_chain *bigger, *to;

	if (!name || strlen(name) >= FW_CHAIN_MAX || (type && strcmp(type, "filter"))) {
		s->foreign = true;
		return 0;
	}
	/* Twice, or late: elements point at the chains' names, which must not move any more. */
	if (shape_chain_find(s, name) || o->elems.n) {
		s->foreign = true;
		return 0;
	}
	bigger = reallocarray(s->chains, s->n + 1, sizeof(*bigger));
	if (!bigger)
		return -ENOMEM;
	s->chains = bigger;
	to = &s->chains[s->n];
	memset(to, 0, sizeof(*to));
	strcpy(to->name, name);
	to->rules = strdup("");
	if (!to->rules)
		return -ENOMEM;
	to->base = nftnl_chain_is_set(c, NFTNL_CHAIN_HOOKNUM);
	if (to->base) {
		to->hook = (int)nftnl_chain_get_u32(c, NFTNL_CHAIN_HOOKNUM);
		to->prio = nftnl_chain_get_s32(c, NFTNL_CHAIN_PRIO);
		to->drop = nftnl_chain_get_u32(c, NFTNL_CHAIN_POLICY) == NF_DROP;
	}
	s->n++;
	return 0;
}

static int feed_chain(struct observed *o, const struct nlmsghdr *nlh)
{
	struct nftnl_chain *c = nftnl_chain_alloc();
	int rc = 0;

	if (!c)
		return -ENOMEM;
	if (nftnl_chain_nlmsg_parse(nlh, c) == 0 &&
	        is_ours(nftnl_chain_get_str(c, NFTNL_CHAIN_TABLE),
	                nftnl_chain_get_u32(c, NFTNL_CHAIN_FAMILY)))
		rc = add_chain(o, c);
	nftnl_chain_free(c);
	return rc;
}

/* ---- sets ---- */

static int add_named(struct observed *o, const char *name, const char *chain)
{
	struct seen_set *bigger;

	if (strlen(name) >= sizeof(bigger->name)) {
		o->shape.foreign = true;
		return 0;
	}
	bigger = reallocarray(o->anonymous, o->n_anonymous + 1, sizeof(*bigger));
	if (!bigger)
		return -ENOMEM;
	o->anonymous = bigger;
	memset(&bigger[o->n_anonymous], 0, sizeof(*bigger));
	bigger[o->n_anonymous].chain = chain;
	strcpy(bigger[o->n_anonymous++].name, name);
	return 0;
}

/* A class is a chain and two sets, or else the table is not of our making. */
static int add_class_set(struct observed *o, int id, const char *class, const char *name)
{
	bool out = id == SET_OUT4 || id == SET_OUT6;
	struct shape_chain *c = NULL;
	char chain[FW_CHAIN_MAX];

	if (strlen(class) <= FW_NAME_MAX) {
		snprintf(chain, sizeof(chain), "%s_%s", out ? "out" : "in", class);
		c = shape_chain_find(&o->shape, chain);
	}
	if (!c || o->elems.n) {
		o->shape.foreign = true;
		return 0;
	}
	c->sets |= id == SET_IN4 || id == SET_OUT4 ? 1 : 2;
	return add_named(o, name, c->name);
}

static int add_set(struct observed *o, const struct nftnl_set *s)
{
	const char *name = nftnl_set_get_str(s, NFTNL_SET_NAME);
	uint32_t flags = nftnl_set_get_u32(s, NFTNL_SET_FLAGS);
	const char *class = NULL;
	int id = name ? fw_set_by_name(name, &class) : -ENOENT;
	const struct set_def *d = &fw_sets[id < 0 ? 0 : id];

	if (name && (flags & NFT_SET_ANONYMOUS))
		return add_named(o, name, NULL);
	if (id < 0 || flags != (d->flags | (d->counter ? NFT_SET_EXPR : 0)) ||
	        nftnl_set_get_u32(s, NFTNL_SET_KEY_LEN) != d->key_len ||
	        (id >= SET_STATIC && nftnl_set_get_u32(s, NFTNL_SET_DESC_SIZE) != DENIED_SIZE))
		o->shape.foreign = true;
	else if (class)
		return add_class_set(o, id, class, name);
	else
		o->extra[id] = true;
	return 0;
}

static int feed_set(struct observed *o, const struct nlmsghdr *nlh)
{
	struct nftnl_set *s = nftnl_set_alloc();
	int rc = 0;

	if (!s)
		return -ENOMEM;
	if (nftnl_set_nlmsg_parse(nlh, s) == 0 && is_ours(nftnl_set_get_str(s, NFTNL_SET_TABLE),
	                                                  nftnl_set_get_u32(s, NFTNL_SET_FAMILY)))
		rc = add_set(o, s);
	nftnl_set_free(s);
	return rc;
}

/* ---- elements ---- */

/* libnftnl reads through NULL for what an element lacks. */
static uint32_t elem_u32(struct nftnl_set_elem *e, uint16_t attr)
{
	return nftnl_set_elem_is_set(e, attr) ? nftnl_set_elem_get_u32(e, attr) : 0;
}

/* The class whose set this is, as a part of its chain's name, which stays. */
static const char *class_of_set(const struct observed *o, const char *set)
{
	for (size_t i = 0; i < o->n_anonymous; i++)
		if (o->anonymous[i].chain && !strcmp(o->anonymous[i].name, set))
			return strchr(o->anonymous[i].chain, '_') + 1;
	return NULL;
}

struct feeding {
	struct observed *o;
	const char *class;
	int id; /* enum set_id, or -1: anonymous */
};

static int feed_elem(struct nftnl_set_elem *e, void *data)
{
	struct feeding *f = data;
	uint32_t want = f->id < 0 ? 2 : fw_sets[f->id].key_len, len = 0;
	const void *key = nftnl_set_elem_get(e, NFTNL_SET_ELEM_KEY, &len);
	struct elem x = {.set = f->id < 0 ? SET_COUNT : (enum set_id)f->id, .len = (uint8_t)want};

	if (!key || len != want || (f->id >= 0 && f->id >= SET_STATIC)) {
		if (f->id < SET_STATIC)
			f->o->shape.foreign = true;
		return 0;
	}
	memcpy(x.key, key, want);
	if (f->id < 0 || f->id >= SET_ELEMENTS) {
		uint32_t flags = elem_u32(e, NFTNL_SET_ELEM_FLAGS);

		x.until_ms = flags & NFT_SET_ELEM_INTERVAL_END ? 1 : 0;
		f->o->rc = elem_list_add(&f->o->points, &x);
		return f->o->rc;
	}
	if (nftnl_set_elem_is_set(e, NFTNL_SET_ELEM_EXPIRATION))
		x.until_ms = f->o->now_ms + nftnl_set_elem_get_u64(e, NFTNL_SET_ELEM_EXPIRATION);
	x.class = f->class;
	f->o->rc = elem_list_add(&f->o->elems, &x);
	return f->o->rc;
}

static int feed_elems(struct observed *o, const struct nlmsghdr *nlh)
{
	struct nftnl_set *s = nftnl_set_alloc();
	struct feeding f = {.o = o};
	const char *name, *class = NULL;

	if (!s)
		return -ENOMEM;
	if (nftnl_set_elems_nlmsg_parse(nlh, s) == 0 &&
	        is_ours(nftnl_set_get_str(s, NFTNL_SET_TABLE),
	                nftnl_set_get_u32(s, NFTNL_SET_FAMILY))) {
		name = nftnl_set_get_str(s, NFTNL_SET_NAME);
		f.id = name ? fw_set_by_name(name, &class) : -ENOENT;
		f.class = class ? class_of_set(o, name) : NULL;
		if (class && !f.class)
			o->shape.foreign = true;
		else if (f.id >= 0 || o->filling >= 0)
			nftnl_set_elem_foreach(s, feed_elem, &f);
	}
	nftnl_set_free(s);
	return o->rc;
}

static int point_order(const void *a, const void *b)
{
	const struct elem *x = a, *y = b;
	int d = memcmp(x->key, y->key, sizeof(x->key));

	if (x->set != y->set)
		return x->set < y->set ? -1 : 1;
	return d ? d : (int)y->until_ms - (int)x->until_ms; /* end marks first */
}

/* The points of `set`, paired up into ranges, as text. */
static char *points_text(struct elem_list *l, enum set_id set)
{
	struct span *s = calloc(l->n ? l->n : 1, sizeof(*s));
	size_t n = 0, len = 0;
	bool open = false;
	char *text;

	if (!s)
		return NULL;
	if (l->n)
		qsort(l->e, l->n, sizeof(*l->e), point_order);
	for (size_t i = 0; i < l->n; i++) {
		const struct elem *e = &l->e[i];

		if (e->set != set || e->len > 16)
			continue;
		len = e->len;
		if (!e->until_ms) {
			memcpy(s[n].first, e->key, len);
			memset(s[n++].last, 0xff, len);
			open = true;
		} else if (open) {
			size_t k = len;

			memcpy(s[n - 1].last, e->key, len);
			while (k && s[n - 1].last[k - 1]-- == 0)
				k--;
			open = false;
		}
	}
	text = spans_text(s, n, len);
	free(s);
	return text;
}

/* ---- rules ---- */

static const char *anonymous_text(void *ctx, const char *set)
{
	const struct observed *o = ctx;

	for (size_t i = 0; i < o->n_anonymous; i++)
		if (!strcmp(o->anonymous[i].name, set))
			return o->anonymous[i].text;
	return NULL;
}

static int add_rule(struct observed *o, const struct nftnl_rule *r)
{
	const char *name = nftnl_rule_get_str(r, NFTNL_RULE_CHAIN);
	struct shape_chain *c = name ? shape_chain_find(&o->shape, name) : NULL;
	char *text = NULL;
	size_t len;
	FILE *f;
	int rc;

	if (!c) {
		o->shape.foreign = true;
		return 0;
	}
	f = open_memstream(&text, &len);
	if (!f)
		return -ENOMEM;
	fputs(c->rules, f);
	rc = rule_canonical(r, anonymous_text, o, f);
	if (fclose(f) != 0)
		rc = -ENOMEM;
	if (rc == -ENOMEM) {
		free(text);
		return rc;
	}
	if (rc < 0)
		o->shape.foreign = true;
	free(c->rules);
	c->rules = text;
	return 0;
}

/* libnftnl (1.2) reads through NULL for an expression without a name. */
static bool expressions_have_names(const struct nlmsghdr *nlh)
{
	const struct nlattr *attr, *expr, *part;

	mnl_attr_for_each(attr, nlh, sizeof(struct nfgenmsg)) {
		if (mnl_attr_get_type(attr) != NFTA_RULE_EXPRESSIONS)
			continue;
		mnl_attr_for_each_nested(expr, attr) {
			bool named = false;

			mnl_attr_for_each_nested(part, expr) {
				if (mnl_attr_get_type(part) == NFTA_EXPR_NAME)
					named = mnl_attr_validate(part, MNL_TYPE_NUL_STRING) == 0;
			}
			if (!named)
				return false;
		}
	}
	return true;
}

static int feed_rule(struct observed *o, const struct nlmsghdr *nlh)
{
	struct nftnl_rule *r = nftnl_rule_alloc();
	int rc = 0;

	if (!r)
		return -ENOMEM;
	if (!expressions_have_names(nlh) || nftnl_rule_nlmsg_parse(nlh, r) < 0)
		o->shape.foreign = true;
	else if (is_ours(nftnl_rule_get_str(r, NFTNL_RULE_TABLE),
	                 nftnl_rule_get_u32(r, NFTNL_RULE_FAMILY)))
		rc = add_rule(o, r);
	nftnl_rule_free(r);
	return rc;
}

/* ---- all of it ---- */

int observed_feed(struct observed *o, const struct nlmsghdr *nlh)
{
	if (nlh->nlmsg_len < NLMSG_HDRLEN + sizeof(struct nfgenmsg) ||
	        nlh->nlmsg_type >> 8 != NFNL_SUBSYS_NFTABLES)
		return 0;
	switch (nlh->nlmsg_type & 0xff) {
	case NFT_MSG_NEWTABLE:
		return feed_table(o, nlh);
	case NFT_MSG_NEWCHAIN:
		return feed_chain(o, nlh);
	case NFT_MSG_NEWSET:
		return feed_set(o, nlh);
	case NFT_MSG_NEWSETELEM:
		return feed_elems(o, nlh);
	case NFT_MSG_NEWRULE:
		return feed_rule(o, nlh);
	default:
		return 0;
	}
}

int observed_finish(struct observed *o)
{
	for (int id = 0; id < SET_COUNT && o->shape.exists; id++)
		if (!set_is_of_class(id) && !o->extra[id])
			o->shape.foreign = true;
	for (size_t i = 0; i < o->shape.n; i++) {
		const struct shape_chain *c = &o->shape.chains[i];

		if ((!strncmp(c->name, "in_", 3) || !strncmp(c->name, "out_", 4)) && c->sets != 3)
			o->shape.foreign = true;
	}
	for (int id = SET_ELEMENTS; id < SET_STATIC; id++) {
		o->shape.statics[id] = points_text(&o->points, id);
		if (!o->shape.statics[id])
			return -ENOMEM;
	}
	return 0;
}

static int feed_cb(void *ctx, const struct nlmsghdr *nlh)
{
	return observed_feed(ctx, nlh);
}

struct reading {
	struct observed *o;
	const char *set;
};

static void fill_table(void *ctx, struct nlmsghdr *nlh)
{
	(void)ctx;
	mnl_attr_put_strz(
	        nlh, 1, FW_TABLE); /* NFTA_{TABLE_NAME,CHAIN_TABLE,SET_TABLE,RULE_TABLE} */
}

static void fill_set(void *ctx, struct nlmsghdr *nlh)
{
	struct reading *r = ctx;

	mnl_attr_put_strz(nlh, NFTA_SET_ELEM_LIST_TABLE, FW_TABLE);
	mnl_attr_put_strz(nlh, NFTA_SET_ELEM_LIST_SET, r->set);
}

static int feed_set_cb(void *ctx, const struct nlmsghdr *nlh)
{
	struct reading *r = ctx;

	return observed_feed(r->o, nlh);
}

static int read_set(struct nlsock *s, struct observed *o, const char *name, struct fw_error *err)
{
	struct reading r = {o, name};
	struct dump d = {
	        .type = NFT_MSG_GETSETELEM, .fill = fill_set, .cb = feed_set_cb, .ctx = &r};

	return nlsock_dump(s, &d, err);
}

static int read_sets(struct nlsock *s, struct observed *o, struct fw_error *err)
{
	int rc = 0;

	for (int id = 0; id < SET_STATIC && !rc; id++)
		if (o->extra[id])
			rc = read_set(s, o, fw_sets[id].name, err);
	for (size_t i = 0; i < o->n_anonymous && !rc; i++) {
		if (o->anonymous[i].chain) {
			rc = read_set(s, o, o->anonymous[i].name, err);
			continue;
		}
		o->filling = (int)i;
		for (size_t k = 0; k < o->points.n; k++) /* the last one's are done with */
			if (o->points.e[k].set == SET_COUNT)
				o->points.e[k].len = 255;
		rc = read_set(s, o, o->anonymous[i].name, err);
		if (!rc)
			o->anonymous[i].text = points_text(&o->points, SET_COUNT);
		if (!rc && !o->anonymous[i].text)
			rc = -ENOMEM;
	}
	o->filling = -1;
	return rc;
}

static int observe_once(
        struct nlsock *s, struct observed *o, uint32_t *generation, struct fw_error *err)
{
	struct dump table = {.type = NFT_MSG_GETTABLE,
	        .single = true,
	        .fill = fill_table,
	        .cb = feed_cb,
	        .ctx = o};
	struct dump d = {.fill = fill_table, .cb = feed_cb, .ctx = o};
	uint32_t before, after;
	int rc = nlsock_generation(s, &before, err);

	if (rc)
		return rc;
	rc = nlsock_dump(s, &table, err);
	if (rc == -ENOENT || (!rc && o->shape.foreign)) {
		*generation = before;
		return 0; /* nothing in it could save it */
	}
	d.type = NFT_MSG_GETCHAIN;
	rc = rc ? rc : nlsock_dump(s, &d, err);
	d.type = NFT_MSG_GETSET;
	rc = rc ? rc : nlsock_dump(s, &d, err);
	rc = rc ? rc : read_sets(s, o, err);
	d.type = NFT_MSG_GETRULE;
	rc = rc ? rc : nlsock_dump(s, &d, err);
	rc = rc ? rc : observed_finish(o);
	rc = rc ? rc : nlsock_generation(s, &after, err);
	if (!rc && after != before)
		return -EINTR;
	*generation = before;
	return rc;
}

int observe(struct nlsock *s, struct observed *out, uint32_t *generation, struct fw_error *err)
{
	uint64_t now_ms = out->now_ms;
	int rc;

	for (int i = 0; i < 10; i++) {
		rc = observe_once(s, out, generation, err);
		if (rc != -EINTR && rc != -ENOBUFS && rc != -ENOENT)
			return rc;
		observed_clear(out);
		observed_init(out, now_ms);
	}
	return fw_fail(err, -EAGAIN,
	        "nftables keeps changing: could not read the firewall's table in ten tries");
}

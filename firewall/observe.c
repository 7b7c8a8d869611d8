/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the kernel holds, as a shape that compares with what is wanted. */
#include <stdio.h>
#include "firewall/observe.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter/nfnetlink.h>
#include <stdlib.h>
#include <string.h>

#include "firewall/attr.h"
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

/* ---- table ---- */

static int add_table(struct observed *o, const struct attrs *a)
{
	const char *comment = attr_comment(a, NFTA_TABLE_USERDATA);

	o->shape.exists = true;
	if (!comment || strcmp(comment, FW_TABLE_COMMENT) || attr_u32(a, NFTA_TABLE_FLAGS, 0))
		o->shape.foreign = true;
	return 0;
}

/* ---- chains ---- */

static int add_chain(struct observed *o, const struct attrs *a)
{
	struct attrs hook = attrs_in(a->at[NFTA_CHAIN_HOOK]);
	const char *name = attr_str(a, NFTA_CHAIN_NAME);
	const char *type = attr_str(a, NFTA_CHAIN_TYPE);
	struct shape *s = &o->shape;
	struct shape_chain *bigger, *to;

	if (!name || strlen(name) >= FW_CHAIN_MAX || (type && strcmp(type, "filter"))) {
		s->foreign = true;
		return 0;
	}
	/* Twice, or late: sets and elements point at the chains' names, which must not move any
	 * more. */
	if (shape_chain_find(s, name) || o->n_anonymous) {
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
	to->base = a->at[NFTA_CHAIN_HOOK];
	if (to->base) {
		to->hook = (int)attr_u32(&hook, NFTA_HOOK_HOOKNUM, UINT32_MAX);
		to->prio = (int)attr_u32(&hook, NFTA_HOOK_PRIORITY, 0);
		to->drop = attr_u32(a, NFTA_CHAIN_POLICY, NF_ACCEPT) == NF_DROP;
	}
	s->n++;
	return 0;
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
	if (!c) {
		o->shape.foreign = true;
		return 0;
	}
	c->sets |= id == SET_IN4 || id == SET_OUT4 ? 1 : 2;
	return add_named(o, name, c->name);
}

static bool set_is_as_defined(const struct attrs *a, enum set_id id)
{
	const struct set_def *d = &fw_sets[id];
	struct attrs desc = attrs_in(a->at[NFTA_SET_DESC]);
	bool filled = id >= SET_STATIC; /* by the kernel */
	uint32_t flags = d->flags | (d->counter ? NFT_SET_EXPR : 0);

	return attr_u32(a, NFTA_SET_FLAGS, 0) == flags &&
	       attr_u32(a, NFTA_SET_KEY_TYPE, 0) == d->key_type &&
	       attr_u32(a, NFTA_SET_KEY_LEN, 0) == d->key_len &&
	       attr_u64(a, NFTA_SET_TIMEOUT, 0) == (filled ? DENIED_TIMEOUT_MS : 0) &&
	       attr_u32(&desc, NFTA_SET_DESC_SIZE, 0) == (filled ? DENIED_SIZE : 0);
}

static int add_set(struct observed *o, const struct attrs *a)
{
	const char *name = attr_str(a, NFTA_SET_NAME), *class = NULL;
	int id = name ? fw_set_by_name(name, &class) : -ENOENT;

	if (name && (attr_u32(a, NFTA_SET_FLAGS, 0) & NFT_SET_ANONYMOUS))
		return add_named(o, name, NULL);
	if (id < 0 || !set_is_as_defined(a, id))
		o->shape.foreign = true;
	else if (class)
		return add_class_set(o, id, class, name);
	else
		o->extra[id] = true;
	return 0;
}

/* ---- elements ---- */

struct feeding {
	struct observed *o;
	const char *class;
	int id; /* enum set_id, or from SET_COUNT on: an anonymous one */
};

static int feed_elem(void *ctx, const struct elem_seen *e)
{
	struct feeding *f = ctx;
	struct observed *o = f->o;
	uint32_t want = f->id < SET_COUNT ? fw_sets[f->id].key_len : 2;
	struct elem x = {.set = (enum set_id)f->id, .len = (uint8_t)want, .class = f->class};

	if (e->odd || e->len != want) {
		o->shape.foreign = true;
		return 0;
	}
	memcpy(x.key, e->key, want);
	if (f->id >= SET_ELEMENTS) {
		x.until_ms = e->flags & NFT_SET_ELEM_INTERVAL_END ? 1 : 0;
		return elem_list_add(&o->points, &x);
	}
	x.until_ms = e->ends ? o->now_ms + e->left_ms : 0;
	return elem_list_add(&o->elems, &x);
}

/* Which set is it? A class' one also tells the class, as a part of its chain's name, which stays.
 * -ENOENT: none that we have seen. */
static int set_find(const struct observed *o, const char *name, const char **class)
{
	int id;

	for (size_t i = 0; i < o->n_anonymous; i++) {
		const struct seen_set *s = &o->anonymous[i];

		if (strcmp(s->name, name))
			continue;
		if (!s->chain)
			return SET_COUNT + (int)i;
		id = fw_set_by_name(name, class);
		*class = strchr(s->chain, '_') + 1;
		return id;
	}
	id = fw_set_by_name(name, class);
	return id >= 0 && !*class ? id : -ENOENT;
}

static int add_elems(struct observed *o, const struct attrs *a)
{
	const char *name = attr_str(a, NFTA_SET_ELEM_LIST_SET);
	struct feeding f = {.o = o};
	int rc;

	f.id = name ? set_find(o, name, &f.class) : -ENOENT;
	if (f.id >= SET_STATIC && f.id < SET_COUNT)
		return 0; /* the kernel fills them */
	rc = f.id < 0 ? -EBADMSG : elems_seen(a, feed_elem, &f);
	if (rc != -EBADMSG)
		return rc;
	o->shape.foreign = true;
	return 0;
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
static char *points_text(struct elem_list *l, int set)
{
	struct span *s = calloc(l->n ? l->n : 1, sizeof(*s));
	size_t n = 0, len = 0;
	bool open = false;
	char *text;

	if (!s)
		return NULL;
	for (size_t i = 0; i < l->n; i++) {
		const struct elem *e = &l->e[i];

		if ((int)e->set != set)
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

/* Rules come after all elements: the anonymous sets can be told by their content then. */
static int points_close(struct observed *o)
{
	if (o->points.n > o->points_sorted)
		qsort(o->points.e, o->points.n, sizeof(*o->points.e), point_order);
	o->points_sorted = o->points.n;
	for (size_t i = 0; i < o->n_anonymous; i++) {
		struct seen_set *s = &o->anonymous[i];

		if (s->chain || s->text)
			continue;
		s->text = points_text(&o->points, SET_COUNT + (int)i);
		if (!s->text)
			return -ENOMEM;
	}
	return 0;
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

static int add_rule(struct observed *o, const struct nlmsghdr *nlh, const struct attrs *a)
{
	const char *name = attr_str(a, NFTA_RULE_CHAIN);
	struct shape_chain *c = name ? shape_chain_find(&o->shape, name) : NULL;
	char *text = NULL;
	size_t len;
	FILE *f;
	int rc = points_close(o);

	if (rc)
		return rc;
	if (!c) {
		o->shape.foreign = true;
		return 0;
	}
	f = open_memstream(&text, &len);
	if (!f)
		return -ENOMEM;
	fputs(c->rules, f);
	rc = rule_canonical(nlh, anonymous_text, o, f);
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

/* ---- all of it ---- */

int observed_feed(struct observed *o, const struct nlmsghdr *nlh)
{
	struct attrs a;

	if (nlh->nlmsg_type >> 8 != NFNL_SUBSYS_NFTABLES)
		return 0;
	a = attrs_of(nlh);
	if (!message_is_ours(nlh, &a))
		return 0;
	switch (nlh->nlmsg_type & 0xff) {
	case NFT_MSG_NEWTABLE:
		return add_table(o, &a);
	case NFT_MSG_NEWCHAIN:
		return add_chain(o, &a);
	case NFT_MSG_NEWSET:
		return add_set(o, &a);
	case NFT_MSG_NEWSETELEM:
		return add_elems(o, &a);
	case NFT_MSG_NEWRULE:
		return add_rule(o, nlh, &a);
	default:
		return 0;
	}
}

int observed_finish(struct observed *o)
{
	int rc = points_close(o);

	if (rc)
		return rc;
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
	for (size_t i = 0; i < o->n_anonymous && !rc; i++)
		rc = read_set(s, o, o->anonymous[i].name, err);
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

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the kernel counted: per peer, per allow, per reason to drop, and who was denied. */
#include <stdio.h>
#include "firewall/commit.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <stdlib.h>
#include <string.h>

#include "firewall/attr.h"

#define TRIES 10

/* Each dump is gathered first and told after, so that one that is interrupted is told once. */
struct told {
	struct fw_counter *c;
	size_t n;
	size_t cap;
};

static struct fw_counter *told_new(struct told *t)
{
	if (t->n == t->cap) {
		size_t cap = t->cap ? t->cap * 2 : 64;
		struct fw_counter *bigger = reallocarray(t->c, cap, sizeof(*bigger));

		if (!bigger)
			return NULL;
		t->c = bigger;
		t->cap = cap;
	}
	memset(&t->c[t->n], 0, sizeof(*t->c));
	return &t->c[t->n++];
}

/* ---- rules ---- */

static struct fw_counter *reason_find(struct told *t, const char *reason)
{
	for (size_t i = 0; i < t->n; i++)
		if (t->c[i].kind == FW_COUNT_DROP && !strcmp(t->c[i].name, reason))
			return &t->c[i];
	return NULL;
}

static bool class_of(const char *chain, struct fw_counter *c)
{
	bool out = !strncmp(chain, "out_", 4);

	if (!out && strncmp(chain, "in_", 3))
		return false;
	c->kind = FW_COUNT_ALLOW;
	c->dir = out ? FW_OUT : FW_IN;
	snprintf(c->class_name, sizeof(c->class_name), "%s", chain + (out ? 4 : 3));
	return true;
}

static int tell_rule(struct told *t, const struct attrs *a)
{
	const char *chain = attr_str(a, NFTA_RULE_CHAIN);
	const char *comment = attr_comment(a, NFTA_RULE_USERDATA);
	uint64_t packets = 0, bytes = 0;
	struct fw_counter probe = {0}, *c = NULL;

	if (!chain || !comment)
		return 0;
	attr_counter(a->at[NFTA_RULE_EXPRESSIONS], &packets, &bytes);
	if (!class_of(chain, &probe)) {
		if (strncmp(comment, "drop ", 5))
			return 0;
		comment += 5;
		probe.kind = FW_COUNT_DROP;
		probe.dir = strstr(chain, "out") ? FW_OUT : FW_IN;
		c = reason_find(t, comment);
	}
	if (!c) {
		c = told_new(t);
		if (!c)
			return -ENOMEM;
		*c = probe;
		snprintf(c->name, sizeof(c->name), "%s", comment);
	}
	c->packets += packets;
	c->bytes += bytes;
	return 0;
}

static int rule_cb(void *ctx, const struct nlmsghdr *nlh)
{
	struct attrs a = attrs_of(nlh);

	return message_is_ours(nlh, &a) ? tell_rule(ctx, &a) : 0;
}

static void fill_table(void *ctx, struct nlmsghdr *nlh)
{
	(void)ctx;
	mnl_attr_put_strz(nlh, NFTA_RULE_TABLE, FW_TABLE);
}

/* ---- elements ---- */

struct set_reading {
	struct told *t;
	enum set_id id;
	const char *class;
};

static void fill_set(void *ctx, struct nlmsghdr *nlh)
{
	struct set_reading *r = ctx;
	char name[FW_CHAIN_MAX];

	mnl_attr_put_strz(nlh, NFTA_SET_ELEM_LIST_TABLE, FW_TABLE);
	fw_set_name(r->id, r->class, name);
	mnl_attr_put_strz(nlh, NFTA_SET_ELEM_LIST_SET, name);
}

static bool key_addr(enum set_id id, const uint8_t *key, size_t len, struct fw_addr *out)
{
	bool v6 = id == SET_IN6 || id == SET_OUT6 || id == SET_DENIED_IN6 || id == SET_DENIED_OUT6;

	if (len != fw_sets[id].key_len)
		return false;
	*out = (struct fw_addr){.family = v6 ? AF_INET6 : AF_INET, .bits = v6 ? 128 : 32};
	memcpy(out->bytes, key, v6 ? 16 : 4);
	return true;
}

/* Denied ones travel in the same struct: class_name[0] is the protocol, `remaining_ms` the time
 * left. */
static int tell_elem(void *ctx, const struct elem_seen *e)
{
	struct set_reading *r = ctx;
	struct fw_counter c = {.kind = FW_COUNT_PEER}, *to;

	if (!key_addr(r->id, e->key, e->len, &c.addr))
		return 0;
	c.packets = e->packets;
	c.bytes = e->bytes;
	c.remaining_ms = e->left_ms;
	if (r->id >= SET_STATIC) {
		size_t at = c.addr.family == AF_INET ? 4 : 16;

		c.dir = r->id >= SET_DENIED_OUT4 ? FW_OUT : FW_IN;
		c.class_name[0] = (char)e->key[at];
		c.class_name[1] = (char)e->key[at + 4];
		c.class_name[2] = (char)e->key[at + 5];
	} else {
		c.dir = r->id >= SET_OUT4 ? FW_OUT : FW_IN;
		snprintf(c.name, sizeof(c.name), "%s", r->class);
	}
	to = told_new(r->t);
	if (!to)
		return -ENOMEM;
	*to = c;
	return 0;
}

static int elems_cb(void *ctx, const struct nlmsghdr *nlh)
{
	struct attrs a = attrs_of(nlh);

	return message_is_ours(nlh, &a) ? elems_seen(&a, tell_elem, ctx) : 0;
}

/* ---- one dump, again if it was interrupted ---- */

static int gather(struct fw *fw, struct told *t, const struct dump *d, struct fw_error *err)
{
	size_t before = t->n;
	int rc;

	for (int i = 0; i < TRIES; i++) {
		t->n = before;
		rc = nlsock_dump(&fw->s, d, err);
		if (rc != -EINTR && rc != -ENOBUFS)
			return rc;
	}
	return rc;
}

static int gather_set(
        struct fw *fw, struct told *t, enum set_id id, const char *class, struct fw_error *err)
{
	struct set_reading r = {.t = t, .id = id, .class = class};
	struct dump d = {.type = NFT_MSG_GETSETELEM, .fill = fill_set, .cb = elems_cb, .ctx = &r};

	return gather(fw, t, &d, err);
}

int fw_counters_read(struct fw *fw, fw_counter_fn fn, void *ctx, struct fw_error *err)
{
	struct told t = {0};
	struct dump d = {.type = NFT_MSG_GETRULE, .fill = fill_table, .cb = rule_cb, .ctx = &t};
	int rc = gather(fw, &t, &d, err);

	for (size_t i = 0; fw->applied && i < fw->applied->n_classes && !rc; i++) {
		const struct fw_class *c = fw->applied->classes[i];

		rc = gather_set(fw, &t, c->dir == FW_OUT ? SET_OUT4 : SET_IN4, c->name, err);
		if (!rc)
			rc = gather_set(
			        fw, &t, c->dir == FW_OUT ? SET_OUT6 : SET_IN6, c->name, err);
	}
	for (size_t i = 0; i < t.n && !rc; i++)
		rc = fn(ctx, &t.c[i]);
	free(t.c);
	return rc;
}

int fw_denied_read(struct fw *fw, fw_denied_fn fn, void *ctx, struct fw_error *err)
{
	struct told t = {0};
	int rc = 0;

	for (int id = SET_STATIC; id <= SET_DENIED_OUT6 && !rc; id++)
		rc = gather_set(fw, &t, id, NULL, err);
	for (size_t i = 0; i < t.n && !rc; i++) {
		const struct fw_counter *c = &t.c[i];
		const uint8_t *key = (const uint8_t *)c->class_name;
		struct fw_denied d = {.dir = c->dir,
		        .addr = c->addr,
		        .proto = key[0],
		        .port = (uint16_t)(key[1] << 8 | key[2]),
		        .packets = c->packets,
		        .bytes = c->bytes,
		        .last_ms_ago = c->remaining_ms < DENIED_TIMEOUT_MS
		                               ? DENIED_TIMEOUT_MS - c->remaining_ms
		                               : 0};

		if (d.proto == IPPROTO_ICMP || d.proto == IPPROTO_ICMPV6)
			d.port = 0;
		rc = fn(ctx, &d);
	}
	free(t.c);
	return rc;
}

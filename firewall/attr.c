/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Netlink attributes, validated as they are read. */
#include <endian.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter/nfnetlink.h>
#include <string.h>

#include "firewall/attr.h"

#define UDATA_COMMENT 0 /* NFTNL_UDATA_{TABLE,RULE}_COMMENT */

static void take(struct attrs *a, const struct nlattr *attr)
{
	uint16_t type = mnl_attr_get_type(attr);

	if (type >= ATTR_MAX || a->at[type])
		a->odd++;
	else
		a->at[type] = attr;
}

struct attrs attrs_of(const struct nlmsghdr *nlh)
{
	const struct nlattr *attr;
	struct attrs a = {.odd = 0};

	if (nlh->nlmsg_len < NLMSG_HDRLEN + sizeof(struct nfgenmsg))
		return a;
	mnl_attr_for_each(attr, nlh, sizeof(struct nfgenmsg))
		take(&a, attr);
	return a;
}

struct attrs attrs_in(const struct nlattr *nest)
{
	const struct nlattr *attr;
	struct attrs a = {.odd = 0};

	if (!nest)
		return a;
	mnl_attr_for_each_nested(attr, nest)
		take(&a, attr);
	return a;
}

const uint8_t *attr_bytes(const struct attrs *a, unsigned type, size_t *len)
{
	const struct nlattr *attr = a->at[type];

	if (!attr)
		return NULL;
	*len = mnl_attr_get_payload_len(attr);
	return mnl_attr_get_payload(attr);
}

const char *attr_str(const struct attrs *a, unsigned type)
{
	size_t len = 0;
	const uint8_t *s = attr_bytes(a, type, &len);

	return s && memchr(s, '\0', len) ? (const char *)s : NULL;
}

uint32_t attr_u32(const struct attrs *a, unsigned type, uint32_t otherwise)
{
	size_t len = 0;
	const uint8_t *b = attr_bytes(a, type, &len);
	uint32_t v;

	if (!b || len != sizeof(v))
		return otherwise;
	memcpy(&v, b, sizeof(v));
	return be32toh(v);
}

uint64_t attr_u64(const struct attrs *a, unsigned type, uint64_t otherwise)
{
	size_t len = 0;
	const uint8_t *b = attr_bytes(a, type, &len);
	uint64_t v;

	if (!b || len != sizeof(v))
		return otherwise;
	memcpy(&v, b, sizeof(v));
	return be64toh(v);
}

bool message_is_ours(const struct nlmsghdr *nlh, const struct attrs *a)
{
	const struct nfgenmsg *g = mnl_nlmsg_get_payload(nlh);
	const char *table;

	if (nlh->nlmsg_len < NLMSG_HDRLEN + sizeof(*g) || g->nfgen_family != NFPROTO_INET)
		return false;
	table = attr_str(a, 1); /* NFTA_{TABLE_NAME,CHAIN_TABLE,RULE_TABLE,SET_TABLE,…} */
	return table && !strcmp(table, FW_TABLE);
}

const char *attr_comment(const struct attrs *a, unsigned type)
{
	size_t len = 0;
	const uint8_t *b = attr_bytes(a, type, &len);

	while (b && len >= 2 && len - 2 >= b[1]) {
		if (b[0] == UDATA_COMMENT && b[1] && !b[1 + b[1]])
			return (const char *)b + 2;
		len -= 2u + b[1];
		b += 2 + b[1];
	}
	return NULL;
}

static bool take_counter(const struct nlattr *expr, uint64_t *packets, uint64_t *bytes)
{
	struct attrs e = attrs_in(expr), c = attrs_in(e.at[NFTA_EXPR_DATA]);
	const char *name = attr_str(&e, NFTA_EXPR_NAME);

	if (!name || strcmp(name, "counter"))
		return false;
	*packets = attr_u64(&c, NFTA_COUNTER_PACKETS, 0);
	*bytes = attr_u64(&c, NFTA_COUNTER_BYTES, 0);
	return true;
}

void attr_counter(const struct nlattr *list, uint64_t *packets, uint64_t *bytes)
{
	const struct nlattr *expr;

	if (!list)
		return;
	mnl_attr_for_each_nested(expr, list) {
		if (take_counter(expr, packets, bytes))
			return;
	}
}

static struct elem_seen elem_of(const struct nlattr *attr)
{
	struct attrs a = attrs_in(attr), key = attrs_in(a.at[NFTA_SET_ELEM_KEY]);
	struct elem_seen e = {
	        .flags = attr_u32(&a, NFTA_SET_ELEM_FLAGS, 0),
	        .odd = a.odd || a.at[NFTA_SET_ELEM_DATA] || a.at[NFTA_SET_ELEM_OBJREF] ||
	               a.at[NFTA_SET_ELEM_KEY_END],
	        .ends = a.at[NFTA_SET_ELEM_EXPIRATION],
	        .left_ms = attr_u64(&a, NFTA_SET_ELEM_EXPIRATION, 0),
	};

	e.key = attr_bytes(&key, NFTA_DATA_VALUE, &e.len);
	/* One expression stands alone, several in a list. */
	if (a.at[NFTA_SET_ELEM_EXPR])
		take_counter(a.at[NFTA_SET_ELEM_EXPR], &e.packets, &e.bytes);
	attr_counter(a.at[NFTA_SET_ELEM_EXPRESSIONS], &e.packets, &e.bytes);
	return e;
}

int elems_seen(const struct attrs *a, int (*fn)(void *ctx, const struct elem_seen *e), void *ctx)
{
	const struct nlattr *list = a->at[NFTA_SET_ELEM_LIST_ELEMENTS], *attr;
	bool odd = a->odd;

	if (!list)
		return 0;
	mnl_attr_for_each_nested(attr, list) {
		struct elem_seen e = elem_of(attr);
		int rc = e.key ? fn(ctx, &e) : 0;

		if (rc)
			return rc;
		odd = odd || !e.key;
	}
	return odd ? -EBADMSG : 0;
}

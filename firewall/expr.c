/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * From statements to the kernel's expressions. The same order and registers as nft 1.0.6 uses, so
 * that `nft list` reads it back as we print it. Any failure voids the whole rule: one that lost a
 * match would be broader than was meant.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <libnftnl/expr.h>
#include <libnftnl/rule.h>
#include <libnftnl/udata.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <string.h>

#include "firewall/expr.h"

/* Register 1 spans 16 bytes; the parts of a concatenation follow in registers of 4. */
#define REG NFT_REG_1
/* The n-th part of 4 bytes, as the kernel will name it when it dumps the rule. */
#define REG32(n) ((uint32_t)((n) % 4 ? NFT_REG32_00 + (n) : NFT_REG_1 + (n) / 4))

struct making {
	struct nftnl_rule *r;
	uint8_t family; /* already matched in this rule */
	int l4;
	uint32_t set_id;
	bool failed;
};

static struct nftnl_expr *expr(struct making *m, const char *name)
{
	struct nftnl_expr *e = nftnl_expr_alloc(name);

	if (e)
		nftnl_rule_add_expr(m->r, e);
	else
		m->failed = true;
	return e;
}

static void set32(struct nftnl_expr *e, uint16_t attr, uint32_t v)
{
	nftnl_expr_set_u32(e, attr, v);
}

static void load_meta(struct making *m, uint32_t key, uint32_t reg)
{
	struct nftnl_expr *e = expr(m, "meta");

	if (!e)
		return;
	set32(e, NFTNL_EXPR_META_KEY, key);
	set32(e, NFTNL_EXPR_META_DREG, reg);
}

static void load_ct(struct making *m, uint32_t key, int dir, uint32_t reg)
{
	struct nftnl_expr *e = expr(m, "ct");

	if (!e)
		return;
	set32(e, NFTNL_EXPR_CT_KEY, key);
	if (dir >= 0)
		nftnl_expr_set_u8(e, NFTNL_EXPR_CT_DIR, (uint8_t)dir);
	set32(e, NFTNL_EXPR_CT_DREG, reg);
}

static void load_payload(struct making *m, uint32_t base, uint32_t off, uint32_t len, uint32_t reg)
{
	struct nftnl_expr *e = expr(m, "payload");

	if (!e)
		return;
	set32(e, NFTNL_EXPR_PAYLOAD_BASE, base);
	set32(e, NFTNL_EXPR_PAYLOAD_OFFSET, off);
	set32(e, NFTNL_EXPR_PAYLOAD_LEN, len);
	set32(e, NFTNL_EXPR_PAYLOAD_DREG, reg);
}

static void cmp(struct making *m, uint32_t op, const void *data, uint32_t len)
{
	struct nftnl_expr *e = expr(m, "cmp");

	if (!e)
		return;
	set32(e, NFTNL_EXPR_CMP_SREG, REG);
	set32(e, NFTNL_EXPR_CMP_OP, op);
	if (nftnl_expr_set(e, NFTNL_EXPR_CMP_DATA, data, len) < 0)
		m->failed = true;
}

static void mask(struct making *m, const void *bits, uint32_t len)
{
	static const uint8_t zero[16];
	struct nftnl_expr *e = expr(m, "bitwise");

	if (!e)
		return;
	set32(e, NFTNL_EXPR_BITWISE_SREG, REG);
	set32(e, NFTNL_EXPR_BITWISE_DREG, REG);
	set32(e, NFTNL_EXPR_BITWISE_LEN, len);
	if (nftnl_expr_set(e, NFTNL_EXPR_BITWISE_MASK, bits, len) < 0 ||
	        nftnl_expr_set(e, NFTNL_EXPR_BITWISE_XOR, zero, len) < 0)
		m->failed = true;
}

static struct nftnl_expr *lookup(struct making *m, const char *set, bool negate)
{
	struct nftnl_expr *e = expr(m, "lookup");

	if (!e)
		return NULL;
	set32(e, NFTNL_EXPR_LOOKUP_SREG, REG);
	if (nftnl_expr_set_str(e, NFTNL_EXPR_LOOKUP_SET, set) < 0)
		m->failed = true;
	if (negate)
		set32(e, NFTNL_EXPR_LOOKUP_FLAGS, NFT_LOOKUP_F_INV);
	return e;
}

static void need_family(struct making *m, uint8_t family)
{
	uint8_t nfproto = family == AF_INET ? NFPROTO_IPV4 : NFPROTO_IPV6;

	if (m->family == family)
		return;
	load_meta(m, NFT_META_NFPROTO, REG);
	cmp(m, NFT_CMP_EQ, &nfproto, 1);
	m->family = family;
}

static void need_l4(struct making *m, int proto)
{
	uint8_t p = (uint8_t)proto;

	if (m->l4 == proto)
		return;
	load_meta(m, NFT_META_L4PROTO, REG);
	cmp(m, NFT_CMP_EQ, &p, 1);
	m->l4 = proto;
}

static void match_device(struct making *m, const struct stmt *s)
{
	char name[16] = {0}; /* the whole field: no prefix match */
	uint16_t type = (uint16_t)s->value;

	if (type) {
		load_meta(m, s->dst ? NFT_META_OIFTYPE : NFT_META_IIFTYPE, REG);
		cmp(m, NFT_CMP_EQ, &type, sizeof(type));
	}
	memcpy(name, s->name, strnlen(s->name, sizeof(name) - 1));
	load_meta(m, s->dst ? NFT_META_OIFNAME : NFT_META_IIFNAME, REG);
	cmp(m, NFT_CMP_EQ, name, sizeof(name));
}

/* Always the first device of its namespace: the kernel's LOOPBACK_IFINDEX. */
static void match_lo(struct making *m, const struct stmt *s)
{
	uint32_t lo = 1;

	load_meta(m, s->dst ? NFT_META_OIF : NFT_META_IIF, REG);
	cmp(m, s->negate ? NFT_CMP_NEQ : NFT_CMP_EQ, &lo, sizeof(lo));
}

static void match_ct8(struct making *m, uint32_t key, int value)
{
	uint8_t v = (uint8_t)value;

	load_ct(m, key, -1, REG);
	cmp(m, NFT_CMP_EQ, &v, 1);
}

static void match_ctstate(struct making *m, const struct stmt *s)
{
	uint32_t bits = (uint32_t)s->value, zero = 0;

	load_ct(m, NFT_CT_STATE, -1, REG);
	mask(m, &bits, 4);
	cmp(m, NFT_CMP_NEQ, &zero, 4);
}

/* A range of `width` bytes in network order that was loaded to REG. */
static void match_range(struct making *m, const struct fw_ports *p, uint32_t width)
{
	uint8_t first[2] = {p->first >> 8, p->first & 0xff};
	uint8_t last[2] = {p->last >> 8, p->last & 0xff};
	size_t skip = 2 - width;

	if (p->first == p->last) {
		cmp(m, NFT_CMP_EQ, first + skip, width);
		return;
	}
	cmp(m, NFT_CMP_GTE, first + skip, width);
	cmp(m, NFT_CMP_LTE, last + skip, width);
}

static void match_ctdport(struct making *m, const struct stmt *s)
{
	struct nftnl_expr *e;

	load_ct(m, NFT_CT_PROTO_DST, 0, REG);
	if (s->n <= 1) {
		match_range(m, &s->own, 2);
		return;
	}
	e = lookup(m, "__set%d", false);
	if (e)
		set32(e, NFTNL_EXPR_LOOKUP_SET_ID, m->set_id);
}

static void load_addr(struct making *m, uint8_t family, bool dst, uint32_t len, uint32_t reg)
{
	uint32_t off = family == AF_INET ? 12 : 8, width = family == AF_INET ? 4 : 16;

	load_payload(m, NFT_PAYLOAD_NETWORK_HEADER, dst ? off + width : off, len, reg);
}

static void match_addr(struct making *m, const struct stmt *s)
{
	uint32_t width = s->family == AF_INET ? 4 : 16, bits = s->addr->bits;
	uint8_t full[16] = {0};

	need_family(m, s->family);
	if (bits % 8 == 0) {
		load_addr(m, s->family, s->dst, bits / 8, REG);
		cmp(m, NFT_CMP_EQ, s->addr->bytes, bits / 8);
		return;
	}
	for (uint32_t i = 0; i < bits; i++)
		full[i / 8] |= (uint8_t)(0x80 >> i % 8);
	load_addr(m, s->family, s->dst, width, REG);
	mask(m, full, width);
	cmp(m, NFT_CMP_EQ, s->addr->bytes, width);
}

static void match_hint(struct making *m, const struct stmt *s)
{
	uint32_t off, len = stmt_hint(s, &off);

	load_payload(m, NFT_PAYLOAD_NETWORK_HEADER, off, len, REG);
	cmp(m, NFT_CMP_EQ, s->addr->bytes, len);
}

/* tcp flags & (fin | syn | rst | ack) != syn */
static void match_midstream(struct making *m)
{
	static const uint8_t flags = 0x17, syn = 0x02;

	need_l4(m, IPPROTO_TCP);
	load_payload(m, NFT_PAYLOAD_TRANSPORT_HEADER, 13, 1, REG);
	mask(m, &flags, 1);
	cmp(m, NFT_CMP_NEQ, &syn, 1);
}

static void match_skuid(struct making *m, const struct stmt *s)
{
	uint32_t uid = (uint32_t)s->value;

	load_meta(m, NFT_META_SKUID, REG);
	cmp(m, NFT_CMP_EQ, &uid, 4);
}

static void match_broadcast(struct making *m)
{
	struct nftnl_expr *e = expr(m, "fib");
	uint32_t type = RTN_BROADCAST;

	if (!e)
		return;
	set32(e, NFTNL_EXPR_FIB_DREG, REG);
	set32(e, NFTNL_EXPR_FIB_RESULT, NFT_FIB_RESULT_ADDRTYPE);
	set32(e, NFTNL_EXPR_FIB_FLAGS, NFTA_FIB_F_DADDR);
	cmp(m, NFT_CMP_EQ, &type, 4);
}

static void match_multicast(struct making *m, const struct stmt *s)
{
	static const struct fw_addr v4 = {AF_INET, 4, {224}}, v6 = {AF_INET6, 8, {0xff}};
	struct stmt a = {.kind = S_ADDR, .family = s->family, .dst = true};

	a.addr = s->family == AF_INET ? &v4 : &v6;
	match_addr(m, &a);
}

static void match_icmp(struct making *m, const struct stmt *s)
{
	need_l4(m, s->family == AF_INET ? IPPROTO_ICMP : IPPROTO_ICMPV6);
	load_payload(m, NFT_PAYLOAD_TRANSPORT_HEADER, 0, 1, REG);
	match_range(m, &s->own, 1);
}

/* Type and code: RFC 792, RFC 4443. */
static void match_unreach(struct making *m, const struct stmt *s)
{
	static const uint8_t host4[] = {3, 1}, host6[] = {1, 3};
	bool v4 = s->family == AF_INET;

	need_l4(m, v4 ? IPPROTO_ICMP : IPPROTO_ICMPV6);
	load_payload(m, NFT_PAYLOAD_TRANSPORT_HEADER, 0, 2, REG);
	cmp(m, NFT_CMP_EQ, v4 ? host4 : host6, 2);
}

static void match_peer(struct making *m, const struct stmt *s)
{
	bool v4 = s->family == AF_INET;
	uint32_t key = v4 ? (s->ct_dst ? NFT_CT_DST_IP : NFT_CT_SRC_IP)
	                  : (s->ct_dst ? NFT_CT_DST_IP6 : NFT_CT_SRC_IP6);

	need_family(m, s->family);
	load_ct(m, key, 0, REG);
	load_addr(m, s->family, s->dst, v4 ? 4 : 16, REG32(v4 ? 1 : 4));
	lookup(m, s->name, false);
}

static void limit(struct making *m, const struct stmt *s)
{
	struct nftnl_expr *e = expr(m, "limit");

	if (!e)
		return;
	nftnl_expr_set_u64(e, NFTNL_EXPR_LIMIT_RATE, (uint64_t)s->value);
	nftnl_expr_set_u64(e, NFTNL_EXPR_LIMIT_UNIT, 1);
	set32(e, NFTNL_EXPR_LIMIT_BURST, 5);
	set32(e, NFTNL_EXPR_LIMIT_TYPE, NFT_LIMIT_PKTS);
	set32(e, NFTNL_EXPR_LIMIT_FLAGS, 0);
}

static void denied(struct making *m, const struct stmt *s)
{
	bool v4 = s->family == AF_INET;
	struct nftnl_expr *e, *counter;
	int next = v4 ? 1 : 4;

	need_family(m, s->family);
	load_addr(m, s->family, s->dst, v4 ? 4 : 16, REG);
	load_meta(m, NFT_META_L4PROTO, REG32(next));
	if (s->port == PORT_FLOW)
		load_ct(m, NFT_CT_PROTO_DST, 0, REG32(next + 1));
	else
		load_payload(m, NFT_PAYLOAD_TRANSPORT_HEADER, s->port == PORT_SOURCE ? 0 : 2, 2,
		        REG32(next + 1));
	e = expr(m, "dynset");
	counter = nftnl_expr_alloc("counter");
	if (!e || !counter) {
		m->failed = true;
		if (counter)
			nftnl_expr_free(counter);
		return;
	}
	set32(e, NFTNL_EXPR_DYNSET_SREG_KEY, REG);
	set32(e, NFTNL_EXPR_DYNSET_OP, NFT_DYNSET_OP_UPDATE);
	if (nftnl_expr_set_str(e, NFTNL_EXPR_DYNSET_SET_NAME, fw_sets[s->set].name) < 0)
		m->failed = true;
	nftnl_expr_add_expr(e, NFTNL_EXPR_DYNSET_EXPRESSIONS, counter);
}

/* RFC 3948: an SPI is never 0; where IKE shares the port, four bytes of it come first. */
static void match_esp(struct making *m)
{
	static const uint8_t marker[4];

	load_payload(m, NFT_PAYLOAD_TRANSPORT_HEADER, 8, sizeof(marker), REG);
	cmp(m, NFT_CMP_NEQ, marker, sizeof(marker));
}

/* RFC 7296, 3.1: behind UDP (8) and the marker (4): our SPI, none yet; and the exchange. */
static void match_ike_init(struct making *m)
{
	static const uint8_t spi[8], exchange = 34;

	load_payload(m, NFT_PAYLOAD_TRANSPORT_HEADER, 20, sizeof(spi), REG);
	cmp(m, NFT_CMP_EQ, spi, sizeof(spi));
	load_payload(m, NFT_PAYLOAD_TRANSPORT_HEADER, 30, 1, REG);
	cmp(m, NFT_CMP_EQ, &exchange, 1);
}

static struct nftnl_expr *init_rate(void)
{
	struct nftnl_expr *e = nftnl_expr_alloc("limit");

	if (!e)
		return NULL;
	nftnl_expr_set_u64(e, NFTNL_EXPR_LIMIT_RATE, INIT_RATE);
	nftnl_expr_set_u64(e, NFTNL_EXPR_LIMIT_UNIT, 1);
	set32(e, NFTNL_EXPR_LIMIT_BURST, INIT_BURST);
	set32(e, NFTNL_EXPR_LIMIT_TYPE, NFT_LIMIT_PKTS);
	set32(e, NFTNL_EXPR_LIMIT_FLAGS, NFT_LIMIT_F_INV);
	return e;
}

static void init_limit(struct making *m, const struct stmt *s)
{
	static const uint8_t net64[16] = {255, 255, 255, 255, 255, 255, 255, 255};
	bool v4 = s->family == AF_INET;
	struct nftnl_expr *e, *rate;

	need_family(m, s->family);
	load_addr(m, s->family, false, v4 ? 4 : 16, REG);
	if (!v4)
		mask(m, net64, sizeof(net64));
	e = expr(m, "dynset");
	rate = init_rate();
	if (!e || !rate) {
		m->failed = true;
		if (rate)
			nftnl_expr_free(rate);
		return;
	}
	set32(e, NFTNL_EXPR_DYNSET_SREG_KEY, REG);
	set32(e, NFTNL_EXPR_DYNSET_OP, NFT_DYNSET_OP_UPDATE);
	if (nftnl_expr_set_str(e, NFTNL_EXPR_DYNSET_SET_NAME, fw_sets[s->set].name) < 0)
		m->failed = true;
	nftnl_expr_add_expr(e, NFTNL_EXPR_DYNSET_EXPRESSIONS, rate);
}

static void reject(struct making *m, const struct stmt *s)
{
	struct nftnl_expr *e = expr(m, "reject");

	if (!e)
		return;
	if (s->value == IPPROTO_TCP) {
		set32(e, NFTNL_EXPR_REJECT_TYPE, NFT_REJECT_TCP_RST);
		return;
	}
	set32(e, NFTNL_EXPR_REJECT_TYPE, NFT_REJECT_ICMPX_UNREACH);
	nftnl_expr_set_u8(e, NFTNL_EXPR_REJECT_CODE, NFT_REJECT_ICMPX_ADMIN_PROHIBITED);
}

static void verdict(struct making *m, const struct stmt *s)
{
	struct nftnl_expr *e = expr(m, "immediate");

	if (!e)
		return;
	set32(e, NFTNL_EXPR_IMM_DREG, NFT_REG_VERDICT);
	set32(e, NFTNL_EXPR_IMM_VERDICT, (uint32_t)s->value);
	if (s->name && nftnl_expr_set_str(e, NFTNL_EXPR_IMM_CHAIN, s->name) < 0)
		m->failed = true;
}

static bool is_port(const struct stmt *s, bool dst)
{
	return s->kind == S_PORT && s->dst == dst && s->own.first == s->own.last;
}

/* udp sport 4500 udp dport 4500: one comparison, as nft makes of it */
static bool match_both_ports(struct making *m, const struct stmt *s, const struct stmt *next)
{
	uint16_t ports[2] = {htons(s->own.first), htons(next->own.first)};

	if (!is_port(s, false) || !is_port(next, true) || s->value != next->value)
		return false;
	need_l4(m, s->value);
	load_payload(m, NFT_PAYLOAD_TRANSPORT_HEADER, 0, sizeof(ports), REG);
	cmp(m, NFT_CMP_EQ, ports, sizeof(ports));
	return true;
}

static void compile_stmt(struct making *m, const struct stmt *s)
{
	uint8_t there = s->value == 1;

	switch (s->kind) {
	case S_DEVICE:
		match_device(m, s);
		break;
	case S_LO:
		match_lo(m, s);
		break;
	case S_SECPATH:
		load_meta(m, NFT_META_SECPATH, REG);
		cmp(m, NFT_CMP_EQ, &there, 1);
		break;
	case S_CTSTATE:
		match_ctstate(m, s);
		break;
	case S_CTDIR:
		match_ct8(m, NFT_CT_DIRECTION, s->value);
		break;
	case S_CTPROTO:
		match_ct8(m, NFT_CT_PROTOCOL, s->value);
		break;
	case S_CTDPORT:
		match_ctdport(m, s);
		break;
	case S_L4PROTO:
		need_l4(m, s->value);
		break;
	case S_NFPROTO:
		need_family(m, s->family);
		break;
	case S_ADDR_SET:
		need_family(m, s->family);
		load_addr(m, s->family, s->dst, s->family == AF_INET ? 4 : 16, REG);
		lookup(m, fw_sets[s->set].name, s->negate);
		break;
	case S_ADDR:
		match_addr(m, s);
		break;
	case S_ADDR_HINT:
		match_hint(m, s);
		break;
	case S_MULTICAST:
		match_multicast(m, s);
		break;
	case S_BROADCAST:
		match_broadcast(m);
		break;
	case S_MIDSTREAM:
		match_midstream(m);
		break;
	case S_SKUID:
		match_skuid(m, s);
		break;
	case S_PORT:
	case S_PORT_SET:
		need_l4(m, s->value);
		load_payload(m, NFT_PAYLOAD_TRANSPORT_HEADER, s->dst ? 2 : 0, 2, REG);
		if (s->kind == S_PORT)
			match_range(m, &s->own, 2);
		else
			lookup(m, fw_sets[s->set].name, false);
		break;
	case S_ICMP:
		match_icmp(m, s);
		break;
	case S_UNREACH:
		match_unreach(m, s);
		break;
	case S_PEER:
		match_peer(m, s);
		break;
	case S_LIMIT:
		limit(m, s);
		break;
	case S_ESP:
		match_esp(m);
		break;
	case S_IKE_INIT:
		match_ike_init(m);
		break;
	case S_INIT_LIMIT:
		init_limit(m, s);
		break;
	case S_DENIED:
		denied(m, s);
		break;
	case S_COUNTER:
		expr(m, "counter");
		break;
	case S_REJECT:
		reject(m, s);
		break;
	case S_VERDICT:
		verdict(m, s);
		break;
	}
}

static int add_comment(struct nftnl_rule *r, const char *comment)
{
	struct nftnl_udata_buf *u;
	int rc = 0;

	if (!*comment)
		return 0;
	u = nftnl_udata_buf_alloc(NFT_USERDATA_MAXLEN);
	if (!u)
		return -ENOMEM;
	if (!nftnl_udata_put_strz(u, NFTNL_UDATA_RULE_COMMENT, comment) ||
	        nftnl_rule_set_data(r, NFTNL_RULE_USERDATA, nftnl_udata_buf_data(u),
	                nftnl_udata_buf_len(u)) < 0)
		rc = -ENOMEM;
	nftnl_udata_buf_free(u);
	return rc;
}

const struct stmt *rule_anonymous(const struct rule *r)
{
	for (size_t i = 0; i < r->n; i++)
		if (r->stmts[i].kind == S_CTDPORT && r->stmts[i].n > 1)
			return &r->stmts[i];
	return NULL;
}

struct nftnl_rule *rule_compile(const struct rule *r, const char *chain, uint32_t set_id)
{
	struct making m = {.r = nftnl_rule_alloc(), .set_id = set_id};

	if (!m.r)
		return NULL;
	nftnl_rule_set_u32(m.r, NFTNL_RULE_FAMILY, NFPROTO_INET);
	if (nftnl_rule_set_str(m.r, NFTNL_RULE_TABLE, FW_TABLE) < 0 ||
	        nftnl_rule_set_str(m.r, NFTNL_RULE_CHAIN, chain) < 0 ||
	        add_comment(m.r, r->comment) < 0)
		m.failed = true;
	for (size_t i = 0; i < r->n && !m.failed; i++)
		if (i + 1 < r->n && match_both_ports(&m, &r->stmts[i], &r->stmts[i + 1]))
			i++;
		else
			compile_stmt(&m, &r->stmts[i]);
	if (m.failed) {
		nftnl_rule_free(m.r);
		return NULL;
	}
	return m.r;
}

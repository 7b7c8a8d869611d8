/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The table as nft text: what an admin reads, and what `nft -f` loads to the same effect. */
#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "firewall/table.h"

static const char *ip(uint8_t family)
{
	return family == AF_INET ? "ip" : "ip6";
}

static const char *proto_name(int proto)
{
	switch (proto) {
	case IPPROTO_TCP:
		return "tcp";
	case IPPROTO_UDP:
		return "udp";
	case IPPROTO_ICMP:
		return "icmp";
	default:
		return "ipv6-icmp";
	}
}

static void print_ports(FILE *f, const struct stmt *s)
{
	const struct fw_ports *p = s->n > 1 ? s->ports : &s->own;
	size_t n = s->n > 1 ? s->n : 1;

	fputs(n > 1 ? "{ " : "", f);
	for (size_t i = 0; i < n; i++) {
		fprintf(f, "%s%u", i ? ", " : "", p[i].first);
		if (p[i].last != p[i].first)
			fprintf(f, "-%u", p[i].last);
	}
	fputs(n > 1 ? " }" : "", f);
}

static void print_ctstate(FILE *f, int bits)
{
	static const struct {
		int bit;
		const char *name;
	} states[] = {{NF_CT_STATE_INVALID_BIT, "invalid"}, {NF_CT_STATE_BIT(IP_CT_NEW), "new"},
	        {NF_CT_STATE_BIT(IP_CT_ESTABLISHED), "established"},
	        {NF_CT_STATE_BIT(IP_CT_RELATED), "related"},
	        {NF_CT_STATE_UNTRACKED_BIT, "untracked"}};
	const char *sep = "ct state ";

	for (size_t i = 0; i < sizeof(states) / sizeof(*states); i++) {
		if (!(bits & states[i].bit))
			continue;
		fprintf(f, "%s%s", sep, states[i].name);
		sep = ",";
	}
}

static void print_verdict(FILE *f, const struct stmt *s)
{
	switch (s->value) {
	case NF_ACCEPT:
		fputs("accept", f);
		return;
	case NF_DROP:
		fputs("drop", f);
		return;
	case NFT_RETURN:
		fputs("return", f);
		return;
	default:
		fprintf(f, "%s %s", s->value == NFT_GOTO ? "goto" : "jump", s->name);
	}
}

static void print_denied(FILE *f, const struct stmt *s)
{
	static const char *const ports[] = {
	        [PORT_SOURCE] = "th sport",
	        [PORT_DESTINATION] = "th dport",
	        [PORT_FLOW] = "ct original proto-dst",
	};

	fprintf(f, "update @%s { %s %s . meta l4proto . %s counter }", fw_sets[s->set].name,
	        ip(s->family), s->dst ? "daddr" : "saddr", ports[s->port]);
}

static void print_init(FILE *f, const struct stmt *s)
{
	fprintf(f, "update @%s { %s saddr%s limit rate over %d/second burst %d packets }",
	        fw_sets[s->set].name, ip(s->family),
	        s->family == AF_INET ? "" : " & ffff:ffff:ffff:ffff::", INIT_RATE, INIT_BURST);
}

static void print_hint(FILE *f, const struct stmt *s)
{
	uint32_t off, len = stmt_hint(s, &off);

	fprintf(f, "@nh,%u,%u 0x", 8 * off, 8 * len);
	for (uint32_t i = 0; i < len; i++)
		fprintf(f, "%02x", s->addr->bytes[i]);
}

static void print_stmt(FILE *f, const struct stmt *s)
{
	const char *addr = s->dst ? "daddr" : "saddr";
	char text[FW_ADDR_TEXT];

	switch (s->kind) {
	case S_DEVICE:
		if (s->value)
			fprintf(f, "meta %ciftype %d ", s->dst ? 'o' : 'i', s->value);
		fprintf(f, "%cifname \"%s\"", s->dst ? 'o' : 'i', s->name);
		break;
	case S_LO:
		fprintf(f, "%cif %s\"lo\"", s->dst ? 'o' : 'i', s->negate ? "!= " : "");
		break;
	case S_SECPATH:
		fprintf(f, "meta ipsec %s", s->value ? "exists" : "missing");
		break;
	case S_CTSTATE:
		print_ctstate(f, s->value);
		break;
	case S_CTDIR:
		fprintf(f, "ct direction %s", s->value ? "reply" : "original");
		break;
	case S_CTPROTO:
		fprintf(f, "ct protocol %s", proto_name(s->value));
		break;
	case S_CTDPORT:
		fputs("ct original proto-dst ", f);
		print_ports(f, s);
		break;
	case S_L4PROTO:
		fprintf(f, "meta l4proto %s", proto_name(s->value));
		break;
	case S_NFPROTO:
		fprintf(f, "meta nfproto %s", s->family == AF_INET ? "ipv4" : "ipv6");
		break;
	case S_ADDR_SET:
		fprintf(f, "%s %s %s@%s", ip(s->family), addr, s->negate ? "!= " : "",
		        fw_sets[s->set].name);
		break;
	case S_ADDR:
		fprintf(f, "%s %s %s", ip(s->family), addr, fw_addr_text(s->addr, text));
		break;
	case S_ADDR_HINT:
		print_hint(f, s);
		break;
	case S_MULTICAST:
		fprintf(f, "%s daddr %s", ip(s->family),
		        s->family == AF_INET ? "224.0.0.0/4" : "ff00::/8");
		break;
	case S_BROADCAST:
		fputs("fib daddr type broadcast", f);
		break;
	case S_MIDSTREAM:
		fputs("tcp flags & (fin | syn | rst | ack) != syn", f);
		break;
	case S_PORT:
		fprintf(f, "%s %s ", proto_name(s->value), s->dst ? "dport" : "sport");
		print_ports(f, s);
		break;
	case S_SKUID:
		fprintf(f, "meta skuid %u", (unsigned)s->value);
		break;
	case S_PORT_SET:
		fprintf(f, "%s %s @%s", proto_name(s->value), s->dst ? "dport" : "sport",
		        fw_sets[s->set].name);
		break;
	case S_ICMP:
		fputs(s->family == AF_INET ? "icmp type " : "icmpv6 type ", f);
		print_ports(f, s);
		break;
	case S_UNREACH:
		fputs(s->family == AF_INET ? "icmp type destination-unreachable icmp code 1"
		                           : "icmpv6 type destination-unreachable icmpv6 code 3",
		        f);
		break;
	case S_PEER:
		fprintf(f, "ct original %s %s . %s %s @%s", ip(s->family),
		        s->ct_dst ? "daddr" : "saddr", ip(s->family), addr, s->name);
		break;
	case S_LIMIT:
		fprintf(f, "limit rate %d/second", s->value);
		break;
	case S_ESP:
		fputs("@th,64,32 != 0", f);
		break;
	case S_IKE_INIT:
		fputs("@th,160,64 0 @th,240,8 34", f);
		break;
	case S_INIT_LIMIT:
		print_init(f, s);
		break;
	case S_DENIED:
		print_denied(f, s);
		break;
	case S_COUNTER:
		fputs("counter", f);
		break;
	case S_REJECT:
		fprintf(f, "reject with %s",
		        s->value == IPPROTO_TCP ? "tcp reset" : "icmpx type admin-prohibited");
		break;
	case S_VERDICT:
		print_verdict(f, s);
		break;
	}
}

static void print_chain(FILE *f, const struct chain *c)
{
	static const char *const hooks[] = {"prerouting", "input", "forward", "output"};

	fprintf(f, "\tchain %s {\n", c->name);
	if (c->base)
		fprintf(f, "\t\ttype filter hook %s priority %d; policy %s;\n", hooks[c->hook],
		        c->prio, c->drop ? "drop" : "accept");
	for (size_t i = 0; i < c->n; i++) {
		fputs("\t\t", f);
		for (size_t k = 0; k < c->rules[i].n; k++) {
			fputs(k ? " " : "", f);
			print_stmt(f, &c->rules[i].stmts[k]);
		}
		if (c->rules[i].comment[0])
			fprintf(f, " comment \"%s\"", c->rules[i].comment);
		fputc('\n', f);
	}
	fputs("\t}\n", f);
}

struct printing {
	FILE *f;
	enum set_id set;
	const char *class;
	size_t n;
	uint64_t now_ms;
};

static void print_key(FILE *f, const uint8_t *key, size_t len)
{
	char text[INET6_ADDRSTRLEN];

	if (len == 2) {
		fprintf(f, "%u", (unsigned)key[0] << 8 | key[1]);
		return;
	}
	inet_ntop(len == 4 ? AF_INET : AF_INET6, key, text, sizeof(text));
	fputs(text, f);
}

static void open_elements(struct printing *p)
{
	fputs(p->n++ ? ",\n\t\t\t     " : "\t\telements = { ", p->f);
}

static int print_span(void *ctx, const struct span *s, size_t len)
{
	struct printing *p = ctx;

	open_elements(p);
	print_key(p->f, s->first, len);
	if (memcmp(s->first, s->last, len)) {
		fputc('-', p->f);
		print_key(p->f, s->last, len);
	}
	return 0;
}

static int print_elem(void *ctx, const struct elem *e)
{
	struct printing *p = ctx;
	size_t len = set_is_of_class(e->set) ? e->len / 2u : e->len;

	if (e->set != p->set || (p->class && strcmp(p->class, e->class)) ||
	        (e->until_ms && e->until_ms <= p->now_ms))
		return 0;
	open_elements(p);
	print_key(p->f, e->key, len);
	if (set_is_of_class(e->set)) {
		fputs(" . ", p->f);
		print_key(p->f, e->key + len, len);
	}
	if (e->until_ms) {
		uint64_t left = e->until_ms - p->now_ms;

		fprintf(p->f, " timeout %" PRIu64 "s%" PRIu64 "ms", left / 1000, left % 1000);
	}
	return 0;
}

static void print_set(
        FILE *f, const struct fw_ruleset *rs, enum set_id id, const char *class, uint64_t now_ms)
{
	const struct set_def *d = &fw_sets[id];
	struct printing p = {.f = f, .set = id, .class = class, .now_ms = now_ms};
	char name[FW_CHAIN_MAX];

	fw_set_name(id, class, name);
	fprintf(f, "\tset %s {\n\t\ttype %s\n", name, d->type);
	if (id >= SET_STATIC)
		fputs("\t\tflags dynamic,timeout\n\t\tsize 1024\n\t\ttimeout 10m\n", f);
	else if (d->flags & NFT_SET_INTERVAL)
		fputs("\t\tflags interval\n", f);
	else if (d->flags & NFT_SET_TIMEOUT)
		fputs("\t\tflags timeout\n", f);
	if (d->counter)
		fputs("\t\tcounter\n", f);
	if (id < SET_ELEMENTS)
		fw_elems_each(rs, print_elem, &p);
	else if (id < SET_STATIC)
		fw_static_each(rs, id, print_span, &p);
	if (p.n)
		fputs(" }\n", f);
	fputs("\t}\n", f);
}

int fw_ruleset_print(const struct fw_ruleset *rs, FILE *to)
{
	uint64_t now_ms = fw_now_ms();
	struct table t;
	int rc = fw_table_build(rs, &t);

	if (rc < 0)
		return rc;
	fprintf(to, "add table inet %s\ndelete table inet %s\n", FW_TABLE, FW_TABLE);
	fprintf(to, "table inet %s {\n\tcomment \"%s\"\n", FW_TABLE, FW_TABLE_COMMENT);
	for (int i = 0; i < SET_COUNT; i++)
		if (!set_is_of_class(i))
			print_set(to, rs, i, NULL, now_ms);
	for (size_t i = 0; i < rs->n_classes; i++) {
		bool out = rs->classes[i]->dir == FW_OUT;

		print_set(to, rs, out ? SET_OUT4 : SET_IN4, rs->classes[i]->name, now_ms);
		print_set(to, rs, out ? SET_OUT6 : SET_IN6, rs->classes[i]->name, now_ms);
	}
	for (size_t i = 0; i < t.n; i++)
		print_chain(to, &t.chains[i]);
	fputs("}\n", to);
	fw_table_clear(&t);
	return ferror(to) ? -EIO : 0;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One chain per class, one rule per allow and protocol; and which elements a ruleset wants.
 *
 * An ICMP error about an allowed flow is judged by the flow's own protocol and port, so that path
 * MTU works. nft (1.0.6) takes `ct original proto-dst` only after `meta l4proto`, so the errors
 * have rules of their own, behind the allows: one per range of the class' ports, as they seldom
 * come.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "firewall/table.h"

static void accept_flow(struct table *t, struct chain *c, int l4, int flow,
        const struct fw_ports *ports, size_t n, const char *comment)
{
	struct rule *r = rule_new(t, c);
	struct stmt s = {.kind = S_CTDPORT, .ports = ports, .n = n, .value = flow};

	rule_add(t, r, (struct stmt){.kind = S_L4PROTO, .value = l4});
	if (l4 != flow || flow == IPPROTO_ICMP || flow == IPPROTO_ICMPV6)
		rule_add(t, r, (struct stmt){.kind = S_CTPROTO, .value = flow});
	if (n == 1)
		s.own = *ports; /* may be a temporary */
	rule_add(t, r, s);
	rule_add(t, r, (struct stmt){.kind = S_COUNTER});
	rule_end(t, r, NF_ACCEPT, NULL);
	if (r)
		snprintf(r->comment, sizeof(r->comment), "%s", comment);
}

/* meta l4proto tcp ct original proto-dst { 15001-15004, 17001 } counter accept comment "allow …" */
static void allow_rules(struct table *t, struct chain *c, const struct allow *a)
{
	/* An echo request has type 8 (128 in IPv6) and code 0: conntrack's "port" of a ping. */
	struct fw_ports ping4 = {IPPROTO_ICMP, 8 << 8, 8 << 8};
	struct fw_ports ping6 = {IPPROTO_ICMP, 128 << 8, 128 << 8};

	if (!a->n)
		return;
	if (a->ports[0].proto != IPPROTO_ICMP) {
		accept_flow(t, c, a->ports[0].proto, a->ports[0].proto, a->ports, a->n, a->comment);
		return;
	}
	accept_flow(t, c, IPPROTO_ICMP, IPPROTO_ICMP, &ping4, 1, a->comment);
	accept_flow(t, c, IPPROTO_ICMPV6, IPPROTO_ICMPV6, &ping6, 1, a->comment);
}

/* meta l4proto icmp ct protocol tcp ct original proto-dst 15001-15004 counter accept */
static void error_rules(
        struct table *t, struct chain *c, const struct fw_class *class, uint8_t proto)
{
	static const int icmp[] = {IPPROTO_ICMP, IPPROTO_ICMPV6};
	struct fw_ports *all;
	size_t n = 0;

	for (size_t i = 0; i < class->n; i++)
		n += class->allows[i].n;
	all = calloc(n ? n : 1, sizeof(*all));
	if (!all) {
		t->failed = true;
		return;
	}
	n = 0;
	for (size_t i = 0; i < class->n; i++)
		for (size_t k = 0; k < class->allows[i].n; k++)
			if (class->allows[i].ports[k].proto == proto)
				all[n++] = class->allows[i].ports[k];
	n = fw_ports_merge(all, n);
	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; k < 2; k++)
			accept_flow(t, c, icmp[k], proto, &all[i], 1, "errors of allowed flows");
	free(all);
}

void fw_build_classes(struct table *t)
{
	for (size_t i = 0; i < t->rs->n_classes; i++) {
		const struct fw_class *class = t->rs->classes[i];
		struct chain *c = chain_new(t, class->chain);

		if (!c)
			return;
		for (size_t k = 0; k < class->n; k++)
			allow_rules(t, c, &class->allows[k]);
		error_rules(t, c, class, IPPROTO_TCP);
		error_rules(t, c, class, IPPROTO_UDP);
	}
}

static struct elem pair_elem(
        enum set_id set, const struct fw_addr *a, const char *class, uint64_t until_ms)
{
	size_t width = a->family == AF_INET ? 4 : 16;
	struct elem e = {
	        .set = set, .len = (uint8_t)(2 * width), .class = class, .until_ms = until_ms};

	memcpy(e.key, a->bytes, width);
	memcpy(e.key + width, a->bytes, width);
	return e;
}

size_t fw_peer_elems(const struct fw_peer *p, struct elem out[static 4])
{
	size_t n = 0;

	if (p->in && p->v4.family)
		out[n++] = pair_elem(SET_IN4, &p->v4, p->in, p->until_ms);
	if (p->in && p->v6.family)
		out[n++] = pair_elem(SET_IN6, &p->v6, p->in, p->until_ms);
	if (p->out && p->v4.family)
		out[n++] = pair_elem(SET_OUT4, &p->v4, p->out, p->until_ms);
	if (p->out && p->v6.family)
		out[n++] = pair_elem(SET_OUT6, &p->v6, p->out, p->until_ms);
	return n;
}

struct elem fw_address_elem(const struct fw_addr *a, uint64_t until_ms, bool endpoint)
{
	bool v4 = a->family == AF_INET;
	struct elem e = {.len = v4 ? 4 : 16, .until_ms = until_ms};

	if (endpoint)
		e.set = v4 ? SET_ENDPOINT4 : SET_ENDPOINT6;
	else
		e.set = v4 ? SET_SELF4 : SET_SELF6;
	memcpy(e.key, a->bytes, e.len);
	return e;
}

int fw_elems_each(const struct fw_ruleset *rs, elem_fn fn, void *ctx)
{
	int rc = 0;

	for (const struct address *a = rs->self; a && !rc; a = a->hh.next)
		rc = fn(ctx, &(struct elem[]){fw_address_elem(&a->a, a->until_ms, false)}[0]);
	for (const struct address *a = rs->endpoints; a && !rc; a = a->hh.next)
		rc = fn(ctx, &(struct elem[]){fw_address_elem(&a->a, 0, true)}[0]);
	for (const struct peer *p = rs->peers; p && !rc; p = p->hh.next) {
		struct elem e[4];
		size_t n = fw_peer_elems(&p->pub, e);

		for (size_t i = 0; i < n && !rc; i++)
			rc = fn(ctx, &e[i]);
	}
	return rc;
}

static struct span prefix_span(const struct fw_addr *a)
{
	struct span s;

	memcpy(s.first, a->bytes, 16);
	memcpy(s.last, a->bytes, 16);
	for (unsigned i = a->bits; i < (a->family == AF_INET ? 32u : 128u); i++)
		s.last[i / 8] |= (uint8_t)(0x80 >> i % 8);
	return s;
}

static struct span port_span(uint16_t first, uint16_t last)
{
	return (struct span){.first = {first >> 8, first & 0xff}, .last = {last >> 8, last & 0xff}};
}

/* The cluster's own UDP port is never a protected one, whatever range covers it. */
static int ports_each(const struct fw_ports *p, uint16_t open,
        int (*fn)(void *ctx, const struct span *s, size_t len), void *ctx)
{
	int rc = 0;
	struct span s;

	if (p->proto != IPPROTO_UDP || open < p->first || open > p->last) {
		s = port_span(p->first, p->last);
		return fn(ctx, &s, 2);
	}
	if (p->first < open) {
		s = port_span(p->first, (uint16_t)(open - 1));
		rc = fn(ctx, &s, 2);
	}
	if (!rc && open < p->last) {
		s = port_span((uint16_t)(open + 1), p->last);
		rc = fn(ctx, &s, 2);
	}
	return rc;
}

int fw_static_each(const struct fw_ruleset *rs, enum set_id set,
        int (*fn)(void *ctx, const struct span *s, size_t len), void *ctx)
{
	uint8_t family = set == SET_OVERLAY4 ? AF_INET : set == SET_OVERLAY6 ? AF_INET6 : 0;
	uint8_t proto = set == SET_TCP ? IPPROTO_TCP : IPPROTO_UDP;
	int rc = 0;

	for (size_t i = 0; family && i < rs->n_prefixes && !rc; i++) {
		struct span s = prefix_span(&rs->prefixes[i]);

		if (rs->prefixes[i].family == family)
			rc = fn(ctx, &s, family == AF_INET ? 4 : 16);
	}
	for (size_t i = 0; !family && i < rs->n_protect && !rc; i++)
		if (rs->protect[i].proto == proto)
			rc = ports_each(&rs->protect[i], rs->port, fn, ctx);
	return rc;
}

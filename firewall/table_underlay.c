/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What may pass beside the overlay: almost anything but the cluster's own ports (guard), or
 * nothing but what the host needs to live and to be managed (lockdown).
 */
#include <string.h>

#include "firewall/table.h"

static struct rule *note(struct rule *r, const char *comment)
{
	if (r)
		snprintf(r->comment, sizeof(r->comment), "%s", comment);
	return r;
}

static void add_port(struct table *t, struct rule *r, int proto, bool dst, struct fw_ports p)
{
	rule_add(t, r, (struct stmt){.kind = S_PORT, .value = proto, .dst = dst, .own = p});
}

/* udp dport 4500 accept */
static void open_port(
        struct table *t, struct chain *c, int proto, bool dst, uint16_t port, const char *comment)
{
	struct rule *r = note(rule_new(t, c), comment);

	add_port(t, r, proto, dst, (struct fw_ports){IPPROTO_UDP, port, port});
	rule_end(t, r, NF_ACCEPT, NULL);
}

static void shut_port(struct table *t, struct chain *c, uint16_t port, const char *reason)
{
	struct rule *r = rule_new(t, c);

	add_port(t, r, IPPROTO_UDP, true, (struct fw_ports){IPPROTO_UDP, port, port});
	rule_drop(t, r, reason);
}

/* ip saddr 192.0.2.0/24 tcp dport 22 accept; the answers: ct direction reply, daddr and sport.
 * One rule per range: an anonymous set would save rules that only managers ever reach. */
static void manage_range(
        struct table *t, struct chain *c, const struct manage *m, size_t i, bool out)
{
	struct rule *r = rule_new(t, c);

	if (r)
		snprintf(r->comment, sizeof(r->comment), "%s",
		        m->comment[0] ? m->comment : "manage");
	if (out)
		rule_add(t, r, (struct stmt){.kind = S_CTDIR, .value = 1});
	if (m->from.bits)
		rule_add(t, r,
		        (struct stmt){.kind = S_ADDR,
		                .family = m->from.family,
		                .dst = out,
		                .addr = &m->from});
	else
		rule_add(t, r, (struct stmt){.kind = S_NFPROTO, .family = m->from.family});
	if (m->ports[i].proto == IPPROTO_ICMP) {
		uint8_t v4 = out ? 0 : 8, v6 = out ? 129 : 128;
		uint16_t type = m->from.family == AF_INET ? v4 : v6;

		rule_add(t, r,
		        (struct stmt){.kind = S_ICMP,
		                .family = m->from.family,
		                .own = {IPPROTO_ICMP, type, type}});
	} else {
		add_port(t, r, m->ports[i].proto, !out, m->ports[i]);
	}
	rule_end(t, r, NF_ACCEPT, NULL);
}

static void manage_rules(struct table *t, struct chain *c, bool out)
{
	for (size_t i = 0; i < t->rs->n_manage; i++)
		for (size_t k = 0; k < t->rs->manage[i].n; k++)
			manage_range(t, c, &t->rs->manage[i], k, out);
}

static void accept_icmp(struct table *t, struct chain *c, uint8_t family, bool related,
        uint16_t first, uint16_t last, const char *comment)
{
	struct rule *r = note(rule_new(t, c), comment);

	if (related) /* an error about a flow that conntrack knows */
		rule_add(t, r,
		        (struct stmt){.kind = S_CTSTATE, .value = NF_CT_STATE_BIT(IP_CT_RELATED)});
	rule_add(t, r,
	        (struct stmt){
	                .kind = S_ICMP, .family = family, .own = {IPPROTO_ICMP, first, last}});
	rule_end(t, r, NF_ACCEPT, NULL);
}

/* Neighbours, routers, group membership (switches drop neighbour discovery without), and errors. */
static void accept_life(struct table *t, struct chain *c)
{
	accept_icmp(t, c, AF_INET, true, 3, 3, "path MTU, unreachable");
	accept_icmp(t, c, AF_INET, true, 11, 12, "time exceeded, bad header");
	accept_icmp(t, c, AF_INET6, true, 1, 4, "path MTU, unreachable");
	accept_icmp(t, c, AF_INET6, false, 130, 132, "multicast listener");
	accept_icmp(t, c, AF_INET6, false, 133, 137, "neighbour discovery");
	accept_icmp(t, c, AF_INET6, false, 143, 143, "multicast listener");
}

static void accept_dhcp(struct table *t, struct chain *c, bool out)
{
	static const struct {
		uint8_t family;
		uint16_t server, client;
	} dhcp[] = {{AF_INET, 67, 68}, {AF_INET6, 547, 546}};

	for (size_t i = 0; i < 2; i++) {
		struct rule *r = note(rule_new(t, c), "dhcp");
		uint16_t from = out ? dhcp[i].client : dhcp[i].server;
		uint16_t to = out ? dhcp[i].server : dhcp[i].client;

		rule_add(t, r, (struct stmt){.kind = S_NFPROTO, .family = dhcp[i].family});
		add_port(t, r, IPPROTO_UDP, false, (struct fw_ports){IPPROTO_UDP, from, from});
		add_port(t, r, IPPROTO_UDP, true, (struct fw_ports){IPPROTO_UDP, to, to});
		rule_end(t, r, NF_ACCEPT, NULL);
	}
}

/* What the host asks of others: names, and the time (a policy's hours need a clock that is right,
 * and so does who joins). In: ct direction reply udp sport 53 accept. Out: udp dport 53 accept. */
static void accept_answers(struct table *t, struct chain *c, bool out)
{
	static const struct {
		const char *comment;
		uint8_t proto;
		uint16_t port;
	} asked[] = {{"dns", IPPROTO_UDP, 53}, {"dns", IPPROTO_TCP, 53}, {"ntp", IPPROTO_UDP, 123}};

	for (size_t i = 0; i < sizeof(asked) / sizeof(*asked); i++) {
		struct rule *r = note(rule_new(t, c), asked[i].comment);
		struct fw_ports p = {asked[i].proto, asked[i].port, asked[i].port};

		rule_add(t, r, (struct stmt){.kind = S_CTDIR, .value = out ? 0 : 1});
		add_port(t, r, p.proto, out, p);
		rule_end(t, r, NF_ACCEPT, NULL);
	}
}

static void lockdown(struct table *t, struct chain *c, bool out)
{
	accept_life(t, c);
	accept_dhcp(t, c, out);
	accept_answers(t, c, out);
	rule_drop(t, rule_new(t, c), out ? "lockdown-out" : "lockdown-in");
}

/* tcp dport @protected_tcp counter drop. Judged by the packet's own port: what is untracked is no
 * exception. */
static void shut_protected(struct table *t, struct chain *c)
{
	for (int i = 0; i < 2; i++) {
		struct rule *r = rule_new(t, c);

		rule_add(t, r,
		        (struct stmt){.kind = S_PORT_SET,
		                .value = i ? IPPROTO_UDP : IPPROTO_TCP,
		                .dst = true,
		                .set = i ? SET_UDP : SET_TCP});
		rule_drop(t, r, "underlay");
	}
}

/* ct direction reply accept: an answer may come to a port of ours that a service has elsewhere;
 * whether its flow may be is judged where it is opened, packet by packet. */
static void accept_replies(struct table *t, struct chain *c)
{
	struct rule *r = rule_new(t, c);

	rule_add(t, r, (struct stmt){.kind = S_CTDIR, .value = 1});
	rule_end(t, r, NF_ACCEPT, NULL);
}

static void build_in(struct table *t)
{
	struct chain *c = chain_new(t, "underlay_in");

	if (!c)
		return;
	open_port(t, c, IPPROTO_UDP, true, t->rs->port, "ike and esp");
	shut_port(t, c, 500, "ike500");
	manage_rules(t, c, false);
	if (t->rs->mode == FW_LOCKDOWN) {
		lockdown(t, c, false);
		return;
	}
	accept_replies(t, c);
	shut_protected(t, c);
}

/* ip daddr @endpoint4 tcp dport @protected_tcp counter drop */
static void shut_endpoints(struct table *t, struct chain *c, uint8_t family)
{
	for (int i = 0; i < 2; i++) {
		struct rule *r = rule_new(t, c);

		rule_add(t, r,
		        (struct stmt){.kind = S_ADDR_SET,
		                .family = family,
		                .dst = true,
		                .set = family == AF_INET ? SET_ENDPOINT4 : SET_ENDPOINT6});
		rule_add(t, r,
		        (struct stmt){.kind = S_PORT_SET,
		                .value = i ? IPPROTO_UDP : IPPROTO_TCP,
		                .dst = true,
		                .set = i ? SET_UDP : SET_TCP});
		rule_drop(t, r, "underlay-out");
	}
}

static void build_out(struct table *t)
{
	struct chain *c = chain_new(t, "underlay_out");

	if (!c)
		return;
	open_port(t, c, IPPROTO_UDP, false, t->rs->port, "ike and esp");
	if (t->rs->mode == FW_LOCKDOWN) {
		manage_rules(t, c, true);
		lockdown(t, c, true);
		return;
	}
	accept_replies(t, c);
	shut_endpoints(t, c, AF_INET);
	shut_endpoints(t, c, AF_INET6);
}

void fw_build_underlay(struct table *t)
{
	build_in(t);
	build_out(t);
}

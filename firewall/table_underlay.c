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

/* ip saddr 192.0.2.0/24 tcp dport 22 accept; the answers: daddr and sport, and, for TCP, anything
 * but the SYN that would open a flow, or else ct direction reply. So a manager's ssh goes on that
 * is older than the table, even if conntrack takes our end for the one that opened it. One rule per
 * range: an anonymous set would save rules that only managers ever reach. */
static void manage_range(
        struct table *t, struct chain *c, const struct manage *m, size_t i, bool out, int verdict)
{
	struct rule *r = rule_new(t, c);
	bool tcp = m->ports[i].proto == IPPROTO_TCP;

	if (r)
		snprintf(r->comment, sizeof(r->comment), "%s",
		        m->comment[0] ? m->comment : "manage");
	if (out && tcp)
		rule_add(t, r, (struct stmt){.kind = S_MIDSTREAM});
	else if (out)
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
	rule_end(t, r, verdict, NULL);
}

static void manage_rules(struct table *t, struct chain *c, bool out)
{
	for (size_t i = 0; i < t->rs->n_manage; i++)
		for (size_t k = 0; k < t->rs->manage[i].n; k++)
			manage_range(t, c, &t->rs->manage[i], k, out, NF_ACCEPT);
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

/* ct direction reply accept: an answer may come to a port of ours that a service has elsewhere;
 * whether its flow may be is judged where it is opened, packet by packet. */
static void accept_replies(struct table *t, struct chain *c)
{
	struct rule *r = rule_new(t, c);

	rule_add(t, r, (struct stmt){.kind = S_CTDIR, .value = 1});
	rule_end(t, r, NF_ACCEPT, NULL);
}

static struct rule *on_protected(struct table *t, struct chain *c, int proto, bool dst)
{
	struct rule *r = rule_new(t, c);

	rule_add(t, r,
	        (struct stmt){.kind = S_PORT_SET,
	                .value = proto,
	                .dst = dst,
	                .set = proto == IPPROTO_UDP ? SET_UDP : SET_TCP});
	return r;
}

/* tcp dport @protected_tcp counter drop. Judged by the packet's own port: what is untracked is no
 * exception. */
static void shut_protected(struct table *t, struct chain *c)
{
	rule_drop(t, on_protected(t, c, IPPROTO_TCP, true), "underlay");
	rule_drop(t, on_protected(t, c, IPPROTO_UDP, true), "underlay");
}

/* udp dport @protected_udp jump … */
static void lead(struct table *t, struct chain *c, int proto, bool dst, const char *to)
{
	rule_end(t, on_protected(t, c, proto, dst), NFT_JUMP, to);
}

/* udp dport 1024-65535 ip daddr @endpoint4 counter drop; ip6 … */
static void drop_endpoints(
        struct table *t, struct chain *c, bool dst, uint16_t port, const char *reason)
{
	for (int v6 = 0; v6 < 2; v6++) {
		struct rule *r = rule_new(t, c);

		if (port)
			add_port(t, r, IPPROTO_UDP, true,
			        (struct fw_ports){IPPROTO_UDP, port, 65535});
		rule_add(t, r,
		        (struct stmt){.kind = S_ADDR_SET,
		                .family = v6 ? AF_INET6 : AF_INET,
		                .dst = dst,
		                .set = v6 ? SET_ENDPOINT6 : SET_ENDPOINT4});
		rule_drop(t, r, reason);
	}
}

/*
 * Flows in clear that are older than the table, or than their entry in conntrack: what it picks up
 * midstream has as its "original" side whoever spoke first, and the other side's packets are then
 * "replies". If a server spoke first, its flow would live on for ever. So what looks like a
 * server's word, from a protected port, must not be a flow's first, ours to anybody and a peer's to
 * us:
 *
 *	ct state new tcp flags & (fin | syn | rst | ack) != syn tcp sport @protected_tcp jump
 * stale_out ct direction original udp sport @protected_udp jump served_out
 *
 * (If the client speaks first, its word goes to a protected port and is dropped for that.)
 */
static void shut_stale(struct table *t, struct chain *c, bool out)
{
	struct rule *r = rule_new(t, c);

	rule_add(t, r, (struct stmt){.kind = S_CTSTATE, .value = NF_CT_STATE_BIT(IP_CT_NEW)});
	rule_add(t, r, (struct stmt){.kind = S_MIDSTREAM});
	if (t->rs->mode == FW_LOCKDOWN) {
		rule_drop(t, r, "midstream"); /* whatever its port */
	} else {
		rule_add(t, r,
		        (struct stmt){.kind = S_PORT_SET, .value = IPPROTO_TCP, .set = SET_TCP});
		rule_end(t, r, NFT_JUMP, out ? "stale_out" : "stale_in");
	}
	r = rule_new(t, c);
	rule_add(t, r, (struct stmt){.kind = S_CTDIR, .value = 0});
	rule_add(t, r,
	        (struct stmt){
	                .kind = S_PORT_SET, .value = IPPROTO_UDP, .dst = false, .set = SET_UDP});
	rule_end(t, r, NFT_JUMP, out ? "served_out" : "served_in");
}

/* TCP, guard: a manager's session that is older than the table goes on. */
static void build_stale(struct table *t, bool out)
{
	struct chain *c = chain_new(t, out ? "stale_out" : "stale_in");

	if (!c)
		return;
	if (!out) {
		drop_endpoints(t, c, false, 0, "midstream");
		return;
	}
	for (size_t i = 0; i < t->rs->n_manage; i++)
		for (size_t k = 0; k < t->rs->manage[i].n; k++)
			if (t->rs->manage[i].ports[k].proto == IPPROTO_TCP)
				manage_range(t, c, &t->rs->manage[i], k, true, NFT_RETURN);
	rule_drop(t, rule_new(t, c), "midstream");
}

/* UDP has no SYN. Below Linux' ephemeral ports (32768, ip_local_port_range) a program has a port
 * because it wants it: it is a server there, or speaks from the port that it speaks to (ntp, 123).
 * Above, one may have a service's port by chance, to ask anybody anything; but not a peer on a port
 * that is not a well-known one. */
static void build_served(struct table *t, bool out)
{
	struct chain *c = chain_new(t, out ? "served_out" : "served_in");
	struct rule *r;

	if (!c)
		return;
	drop_endpoints(t, c, out, 1024, "midstream");
	if (!out)
		return;
	/* udp sport 1024-32767 counter drop */
	r = rule_new(t, c);
	add_port(t, r, IPPROTO_UDP, false, (struct fw_ports){IPPROTO_UDP, 1024, 32767});
	rule_drop(t, r, "midstream");
	/* udp sport 1-1023 udp dport 1024-65535 counter drop */
	r = rule_new(t, c);
	add_port(t, r, IPPROTO_UDP, false, (struct fw_ports){IPPROTO_UDP, 1, 1023});
	add_port(t, r, IPPROTO_UDP, true, (struct fw_ports){IPPROTO_UDP, 1024, 65535});
	rule_drop(t, r, "midstream");
}

/* udp sport 4500 udp dport 4500 accept. The cluster's port is never a protected one. */
static void open_tunnel(struct table *t, struct chain *c, uint16_t port)
{
	struct rule *r = note(rule_new(t, c), "ike and esp");

	add_port(
	        t, r, IPPROTO_UDP, false, (struct fw_ports){IPPROTO_UDP, t->rs->port, t->rs->port});
	add_port(t, r, IPPROTO_UDP, true, (struct fw_ports){IPPROTO_UDP, port, port});
	rule_end(t, r, NF_ACCEPT, NULL);
}

/*
 * Where strangers may ask to join, they may begin IKE_SAs, but not more than a site's worth. ESP is
 * let through first: it is nearly all there is, and pays with one comparison.
 *
 *	udp dport 4500 @th,64,32 != 0 accept
 *	udp dport 4500 goto ike_in
 */
static void lead_strangers(struct table *t, struct chain *c)
{
	struct rule *r = note(rule_new(t, c), "esp");
	struct fw_ports port = {IPPROTO_UDP, t->rs->port, t->rs->port};

	add_port(t, r, IPPROTO_UDP, true, port);
	rule_add(t, r, (struct stmt){.kind = S_ESP});
	rule_end(t, r, NF_ACCEPT, NULL);
	r = note(rule_new(t, c), "ike");
	add_port(t, r, IPPROTO_UDP, true, port);
	rule_end(t, r, NFT_GOTO, "ike_in");
}

/* @th,160,64 0 @th,240,8 34 update @init4 { ip saddr limit rate over 100/second … } drop; accept
 * A set that is full lets pass: charon's cookies are there, too. */
static void build_strangers(struct table *t)
{
	struct chain *c = chain_new(t, "ike_in");

	if (!c)
		return;
	for (int v6 = 0; v6 < 2; v6++) {
		struct rule *r = rule_new(t, c);

		rule_add(t, r, (struct stmt){.kind = S_IKE_INIT});
		rule_add(t, r,
		        (struct stmt){.kind = S_INIT_LIMIT,
		                .family = v6 ? AF_INET6 : AF_INET,
		                .set = v6 ? SET_INIT6 : SET_INIT4});
		rule_drop(t, r, "ike-flood");
	}
	rule_end(t, note(rule_new(t, c), "ike"), NF_ACCEPT, NULL);
}

void fw_accept_tunnel(struct table *t, struct chain *c, bool out)
{
	if (out)
		open_tunnel(t, c, t->rs->port);
	else if (t->rs->join.role == FW_JOIN_SERVE)
		lead_strangers(t, c);
	else
		open_port(t, c, IPPROTO_UDP, true, t->rs->port, "ike and esp");
}

/* What we send to a protected port of peers, or, by UDP, of all at once: any peer may hear it. */
static void build_shut(struct table *t)
{
	struct chain *c = chain_new(t, "shut_tcp");
	struct rule *r;

	if (!c)
		return;
	drop_endpoints(t, c, true, 0, "underlay-out");
	c = chain_new(t, "shut_udp");
	if (!c)
		return;
	for (size_t i = 0; i < t->rs->n_tunnels; i++)
		if (t->rs->tunnels[i] != t->rs->port)
			open_tunnel(t, c, t->rs->tunnels[i]);
	drop_endpoints(t, c, true, 0, "underlay-out");
	/* ip daddr 224.0.0.0/4 counter drop; ip6 daddr ff00::/8 counter drop */
	r = rule_new(t, c);
	rule_add(t, r, (struct stmt){.kind = S_MULTICAST, .family = AF_INET});
	rule_drop(t, r, "underlay-out");
	r = rule_new(t, c);
	rule_add(t, r, (struct stmt){.kind = S_MULTICAST, .family = AF_INET6});
	rule_drop(t, r, "underlay-out");
	/* fib daddr type broadcast counter drop */
	r = rule_new(t, c);
	rule_add(t, r, (struct stmt){.kind = S_BROADCAST});
	rule_drop(t, r, "underlay-out");
}

/*
 * Outer packets are tracked like all else, though they need no entry: a `notrack` for the one port
 * would save a look-up for each, and strangers could make no entries by spoofed datagrams. But the
 * verdict of a raw hook is everybody's: a host whose own firewall says "ct state
 * established,related accept; drop" would drop every answer to its charon. Their number is bounded
 * (nf_conntrack_max), and unanswered UDP entries are the first to be given up.
 */
static void build_in(struct table *t)
{
	struct chain *c = chain_new(t, "underlay_in");

	if (!c)
		return;
	shut_port(t, c, 500, "ike500");
	manage_rules(t, c, false);
	if (t->rs->mode == FW_LOCKDOWN) {
		/* Nobody's first word passes but a manager's: nothing is picked up here. */
		lockdown(t, c, false);
		return;
	}
	accept_replies(t, c);
	shut_protected(t, c);
	shut_stale(t, c, false);
}

/* ct direction reply udp sport 4500 accept: peers behind NAT have whatever port their router gives
 * them; and they speak first. */
static void answer_tunnel(struct table *t, struct chain *c)
{
	struct rule *r = note(rule_new(t, c), "ike and esp");

	rule_add(t, r, (struct stmt){.kind = S_CTDIR, .value = 1});
	add_port(
	        t, r, IPPROTO_UDP, false, (struct fw_ports){IPPROTO_UDP, t->rs->port, t->rs->port});
	rule_end(t, r, NF_ACCEPT, NULL);
}

/* Our port goes to any other, but not to a protected one of a peer: while charon is away any user
 * may have it. */
static void build_out(struct table *t)
{
	struct chain *c = chain_new(t, "underlay_out");
	bool lock = t->rs->mode == FW_LOCKDOWN;

	if (!c)
		return;
	if (lock) {
		answer_tunnel(t, c);
		manage_rules(t, c, true);
	} else {
		accept_replies(t, c);
	}
	shut_stale(t, c, true);
	lead(t, c, IPPROTO_TCP, true, "shut_tcp");
	lead(t, c, IPPROTO_UDP, true, "shut_udp");
	if (lock) {
		open_port(t, c, IPPROTO_UDP, false, t->rs->port, "ike and esp");
		lockdown(t, c, true);
	}
}

void fw_build_underlay(struct table *t)
{
	build_in(t);
	build_out(t);
	if (t->rs->join.role == FW_JOIN_SERVE)
		build_strangers(t);
	build_stale(t, false);
	build_stale(t, true);
	build_served(t, false);
	build_served(t, true);
	build_shut(t);
}

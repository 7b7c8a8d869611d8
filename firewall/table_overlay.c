/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What may pass on the overlay device, and that nothing of the overlay passes anywhere else.
 * Each rule's nft text stands above it.
 */
#include <stdio.h>
#include <string.h>

#include "firewall/table.h"

static struct rule *on_device(struct table *t, struct chain *c, bool out)
{
	struct rule *r = rule_new(t, c);

	rule_add(t, r,
	        (struct stmt){.kind = S_DEVICE,
	                .dst = out,
	                .value = t->rs->device_type,
	                .name = t->rs->device});
	return r;
}

static struct rule *on_lo(struct table *t, struct chain *c, bool out)
{
	struct rule *r = rule_new(t, c);

	rule_add(t, r, (struct stmt){.kind = S_LO, .dst = out});
	return r;
}

static struct rule *on_addr(
        struct table *t, struct chain *c, bool dst, uint8_t family, enum set_id set, bool negate)
{
	struct rule *r = rule_new(t, c);

	rule_add(t, r,
	        (struct stmt){.kind = S_ADDR_SET,
	                .family = family,
	                .dst = dst,
	                .set = set,
	                .negate = negate});
	return r;
}

/*
 * ip saddr 10.77.0.0/16, a rule not yet ended. Several prefixes: ip saddr @overlay4. NULL: none.
 *
 * Every packet of the host passes two or four such rules in each hook, and hardly any matches. So a
 * single prefix is compared in place, without a look into a set; and the address' first bytes
 * before anything else, which is less than half of the work of asking for the family first:
 * @nh,96,16 0x0a4d.
 */
static struct rule *on_overlay(struct table *t, struct chain *c, bool dst, uint8_t family)
{
	struct stmt s = {.family = family, .dst = dst};
	struct rule *r;
	uint32_t off;
	size_t n = 0;

	for (size_t i = 0; i < t->rs->n_prefixes; i++) {
		if (t->rs->prefixes[i].family != family)
			continue;
		s.addr = &t->rs->prefixes[i];
		n++;
	}
	if (!n)
		return NULL;
	if (n > 1)
		return on_addr(
		        t, c, dst, family, family == AF_INET ? SET_OVERLAY4 : SET_OVERLAY6, false);
	r = rule_new(t, c);
	s.kind = S_ADDR_HINT;
	if (stmt_hint(&s, &off))
		rule_add(t, r, s);
	s.kind = S_ADDR;
	rule_add(t, r, s);
	return r;
}

/* ip saddr 10.77.0.0/16 oif != "lo" counter drop */
static void drop_overlay(struct table *t, struct chain *c, const char *reason)
{
	for (int i = 0; i < 4; i++) {
		struct rule *r = on_overlay(t, c, i / 2, i % 2 ? AF_INET6 : AF_INET);

		if (r && c->hook == NF_INET_LOCAL_OUT)
			rule_add(t, r, (struct stmt){.kind = S_LO, .dst = true, .negate = true});
		if (r)
			rule_drop(t, r, reason);
	}
}

/* Before conntrack, so that spoofed packets cost no entry there and touch none. In front of input
 * and forward both. ip saddr 10.77.0.0/16 goto claimed */
static void build_prerouting(struct table *t)
{
	struct chain *c = chain_new(t, "prerouting");

	if (!c)
		return;
	c->base = true;
	c->hook = NF_INET_PRE_ROUTING;
	c->prio = -300;
	for (int i = 0; i < 4; i++) {
		struct rule *r = on_overlay(t, c, i / 2, i % 2 ? AF_INET6 : AF_INET);

		if (r)
			rule_end(t, r, NFT_GOTO, "claimed");
	}
}

/* What claims an overlay address comes by the overlay device, decrypted, or by lo. */
static void build_claimed(struct table *t)
{
	struct chain *c = chain_new(t, "claimed");
	struct rule *r;

	if (!c)
		return;
	/* iifname "ovl0" meta ipsec exists accept; iif "lo" accept */
	if (*t->rs->device) {
		r = on_device(t, c, false);
		if (t->rs->secpath)
			rule_add(t, r, (struct stmt){.kind = S_SECPATH, .value = 1});
		rule_end(t, r, NF_ACCEPT, NULL);
	}
	rule_end(t, on_lo(t, c, false), NF_ACCEPT, NULL);
	/* iifname "ovl0" counter drop; counter drop */
	if (*t->rs->device && t->rs->secpath)
		rule_drop(t, on_device(t, c, false), "unsecure");
	rule_drop(t, rule_new(t, c), "spoofed");
}

/* Nodes do not route: nothing goes through us to the overlay, from it, or in its name. */
static void build_forward(struct table *t)
{
	struct chain *c = chain_new(t, "forward");

	if (!c)
		return;
	c->base = true;
	c->hook = NF_INET_FORWARD;
	c->drop = t->rs->mode == FW_LOCKDOWN;
	if (*t->rs->device) {
		rule_drop(t, on_device(t, c, false), "forward");
		rule_drop(t, on_device(t, c, true), "forward");
	}
	drop_overlay(t, c, "forward");
	if (c->drop)
		rule_drop(t, rule_new(t, c), "lockdown-forward");
}

static void build_input(struct table *t)
{
	struct chain *c = chain_new(t, "input");

	if (!c)
		return;
	c->base = true;
	c->hook = NF_INET_LOCAL_IN;
	c->drop = t->rs->mode == FW_LOCKDOWN;
	/* iifname "ovl0" goto overlay_in; udp dport 4500 accept; iif "lo" accept; goto underlay_in */
	if (*t->rs->device)
		rule_end(t, on_device(t, c, false), NFT_GOTO, "overlay_in");
	fw_accept_tunnel(t, c, false);
	rule_end(t, on_lo(t, c, false), NF_ACCEPT, NULL);
	rule_end(t, rule_new(t, c), NFT_GOTO, "underlay_in");
}

/* oif "lo" icmp type destination-unreachable icmp code 1 ip saddr @self4 counter drop
 * An XFRM interface drops what wakes a trap and calls the host unreachable, by lo; a program that
 * connects would give up, a moment before the tunnel is there. Silence, and TCP tries again. */
static void hush(struct table *t, struct chain *c)
{
	static const uint8_t families[] = {AF_INET, AF_INET6};

	for (size_t i = 0; i < 2; i++) {
		struct rule *r = on_lo(t, c, true);
		bool v4 = families[i] == AF_INET;

		rule_add(t, r, (struct stmt){.kind = S_UNREACH, .family = families[i]});
		rule_add(t, r,
		        (struct stmt){.kind = S_ADDR_SET,
		                .family = families[i],
		                .set = v4 ? SET_SELF4 : SET_SELF6});
		rule_drop(t, r, "no-tunnel-yet");
	}
}

static void build_output(struct table *t)
{
	struct chain *c = chain_new(t, "output");

	if (!c)
		return;
	c->base = true;
	c->hook = NF_INET_LOCAL_OUT;
	c->drop = t->rs->mode == FW_LOCKDOWN;
	if (*t->rs->device)
		rule_end(t, on_device(t, c, true), NFT_GOTO, "overlay_out");
	drop_overlay(t, c, "clear");
	fw_accept_tunnel(t, c, true);
	if (t->rs->patient)
		hush(t, c);
	rule_end(t, on_lo(t, c, true), NF_ACCEPT, NULL);
	rule_end(t, rule_new(t, c), NFT_GOTO, "underlay_out");
}

/* ct original ip saddr . ip saddr @in4_exec jump in_exec */
static void judge(
        struct table *t, struct chain *c, bool out, const struct fw_class *class, uint8_t family)
{
	struct rule *r = rule_new(t, c);

	rule_add(t, r,
	        (struct stmt){.kind = S_PEER,
	                .family = family,
	                .ct_dst = class->dir == FW_OUT,
	                .dst = out,
	                .name = family == AF_INET ? class->set4 : class->set6});
	rule_end(t, r, NFT_JUMP, class->chain);
}

/* All classes of one direction, and nothing else. Those that allow nothing come last: their sets
 * only count, and who is allowed something is in another. */
static void judge_all(struct table *t, struct chain *c, bool out, bool reply, uint8_t family)
{
	enum fw_dir dir = out != reply ? FW_OUT : FW_IN; /* who opened this flow? */

	for (int empty = 0; empty < 2; empty++)
		for (size_t i = 0; i < t->rs->n_classes; i++) {
			const struct fw_class *class = t->rs->classes[i];

			if (class->dir == dir && (class->n == 0) == empty)
				judge(t, c, out, class, family);
		}
	rule_end(t, rule_new(t, c), NFT_GOTO, out ? "denied_out" : "denied_in");
}

/* meta l4proto tcp ct direction original limit rate 100/second update @denied_in4
 *	{ ip saddr . meta l4proto . th dport counter }
 * A reply is noted under the port that its flow had gone to. */
static void note_denied(struct table *t, struct chain *c, bool out, uint8_t family)
{
	static const int protos[] = {IPPROTO_TCP, IPPROTO_UDP, IPPROTO_ICMP};
	enum set_id set = out ? SET_DENIED_OUT4 : SET_DENIED_IN4;

	if (family == AF_INET6)
		set = out ? SET_DENIED_OUT6 : SET_DENIED_IN6;
	for (size_t i = 0; i < 3; i++) {
		int proto = protos[i];

		if (proto == IPPROTO_ICMP && family == AF_INET6)
			proto = IPPROTO_ICMPV6;
		for (int reply = 0; reply < (i == 2 ? 1 : 2); reply++) {
			struct rule *r = rule_new(t, c);

			rule_add(t, r, (struct stmt){.kind = S_L4PROTO, .value = proto});
			if (i != 2)
				rule_add(t, r, (struct stmt){.kind = S_CTDIR, .value = reply});
			rule_add(t, r, (struct stmt){.kind = S_LIMIT, .value = 100});
			rule_add(t, r,
			        (struct stmt){.kind = S_DENIED,
			                .family = family,
			                .dst = out,
			                .set = set,
			                .port = i == 2  ? PORT_FLOW
			                        : reply ? PORT_SOURCE
			                                : PORT_DESTINATION});
		}
	}
}

/* meta l4proto tcp ct state new counter reject with tcp reset; all else by an ICMP error.
 * A program of ours that may not open a flow is told at once instead of waiting for its timeouts:
 * the answer goes by lo and nothing leaves the host. A flow that was open is not told: it outlives
 * a lapse of its peer's admission, and the daemon ends the sockets of who was revoked. */
static void tell_programs(struct table *t, struct chain *c)
{
	static const int protos[] = {IPPROTO_TCP, 0};

	for (size_t i = 0; i < 2; i++) {
		struct rule *r = rule_new(t, c);

		if (protos[i])
			rule_add(t, r, (struct stmt){.kind = S_L4PROTO, .value = protos[i]});
		rule_add(t, r,
		        (struct stmt){.kind = S_CTSTATE, .value = NF_CT_STATE_BIT(IP_CT_NEW)});
		rule_add(t, r, (struct stmt){.kind = S_COUNTER});
		rule_add(t, r, (struct stmt){.kind = S_REJECT, .value = protos[i]});
		if (r)
			snprintf(r->comment, sizeof(r->comment), "drop denied-out");
	}
}

static void build_denied(struct table *t, bool out)
{
	struct chain *c = chain_new(t, out ? "denied_out" : "denied_in");

	if (!c)
		return;
	note_denied(t, c, out, AF_INET);
	note_denied(t, c, out, AF_INET6);
	if (out)
		tell_programs(t, c);
	rule_drop(t, rule_new(t, c), out ? "denied-out" : "denied-in");
}

/* oifname "ovl0" tcp dport 450 meta skuid 0 return
 * oifname "ovl0" tcp dport 450 goto denied_out; and both for udp
 * What has no socket (a closed one's last words) is never new. */
static void own_port(struct table *t, struct chain *c)
{
	static const uint8_t protos[] = {IPPROTO_TCP, IPPROTO_UDP};
	uint16_t port = t->rs->own_port;

	if (!port || !*t->rs->device)
		return;
	for (int i = 0; i < 4; i++) {
		struct rule *r = on_device(t, c, true);
		uint8_t proto = protos[i / 2];

		rule_add(t, r,
		        (struct stmt){.kind = S_PORT,
		                .value = proto,
		                .dst = true,
		                .own = {proto, port, port}});
		if (i % 2) {
			rule_end(t, r, NFT_GOTO, "denied_out");
			continue;
		}
		rule_add(t, r, (struct stmt){.kind = S_SKUID, .value = (int)t->rs->own_uid});
		rule_end(t, r, NFT_RETURN, NULL);
	}
}

/*
 * What is not a known flow's:
 *
 *	ct state invalid,untracked counter drop		who is nobody's flow is nobody's
 *	ct state new tcp flags & (fin | syn | rst | ack) != syn counter drop
 *
 * A TCP connection begins with its SYN, or it is not judged by who began it: conntrack picks up
 * what runs already (nf_conntrack_tcp_loose), and whoever speaks first then is the "original" side.
 * A peer could have the entry of a flow that is denied by now end (a RST that we drop, and 10 s),
 * wait for our server's next packet, and have the flow judged as one of ours to a port that it had
 * chosen. What is dropped here never becomes an entry. Established flows have theirs, also over a
 * change of the whole table; after 5 minutes with data on the way that nobody acknowledged it is
 * gone, and such a flow ends.
 *
 * UDP has no beginning. A peer's flow to a service of ours whose allow is gone may turn round as
 * soon as its entry is (30 s to 2 min of silence), if the service speaks of its own accord: from its
 * port to the peer's. This is then a flow of ours, and passes only if the policy lets us send to
 * that port of the peer: what we send there is legitimate whatever our port is, and so are its
 * answers.
 */
static void build_new(struct table *t)
{
	struct chain *c = chain_new(t, "overlay_new");
	struct rule *r;

	if (!c)
		return;
	r = rule_new(t, c);
	rule_add(t, r,
	        (struct stmt){.kind = S_CTSTATE,
	                .value = NF_CT_STATE_INVALID_BIT | NF_CT_STATE_UNTRACKED_BIT});
	rule_drop(t, r, "invalid");
	r = rule_new(t, c);
	rule_add(t, r, (struct stmt){.kind = S_CTSTATE, .value = NF_CT_STATE_BIT(IP_CT_NEW)});
	rule_add(t, r, (struct stmt){.kind = S_MIDSTREAM});
	rule_drop(t, r, "midstream");
	own_port(t, c);
}

/* ip6 saddr fd77:1:2::/116 tcp dport 451, a rule not yet ended; going out daddr; in replies sport. */
static struct rule *join_rule(struct table *t, struct chain *c, bool out, bool reply)
{
	const struct fw_join *join = &t->rs->join;
	struct rule *r = rule_new(t, c);

	rule_add(t, r,
	        (struct stmt){.kind = S_ADDR, .family = AF_INET6, .dst = out, .addr = &join->net});
	rule_add(t, r,
	        (struct stmt){.kind = S_PORT,
	                .value = IPPROTO_TCP,
	                .dst = !reply,
	                .own = {IPPROTO_TCP, join->port, join->port}});
	return r;
}

static void join_accept(struct table *t, struct rule *r)
{
	rule_add(t, r, (struct stmt){.kind = S_COUNTER});
	rule_end(t, r, NF_ACCEPT, NULL);
	if (r)
		snprintf(r->comment, sizeof(r->comment), "join");
}

/*
 * Newcomers at a seed's join port, and what we ask of a seed: nothing else passes, for these
 * addresses are nobody's in the sets.
 *
 *	ip6 saddr fd77:1:2::/116 tcp dport 451 counter accept	(serving; the answers in …_reply)
 *	ip6 daddr fd77:1:2::/48 tcp dport 451 ct state established counter accept
 *	ip6 daddr fd77:1:2::/48 tcp dport 451 meta skuid 0 counter accept	(asking)
 */
static void build_join(struct table *t, struct chain *c, bool out, bool reply)
{
	const struct fw_join *join = &t->rs->join;
	bool ours = join->role == FW_JOIN_ASK;
	struct rule *r;

	if (join->role == FW_JOIN_NONE || out != (ours != reply))
		return;
	r = join_rule(t, c, out, reply);
	if (!ours || reply) {
		join_accept(t, r);
		return;
	}
	rule_add(t, r,
	        (struct stmt){.kind = S_CTSTATE, .value = NF_CT_STATE_BIT(IP_CT_ESTABLISHED)});
	join_accept(t, r);
	r = join_rule(t, c, out, reply);
	rule_add(t, r, (struct stmt){.kind = S_SKUID, .value = (int)join->uid});
	join_accept(t, r);
}

/* The chains of one device direction and family: overlay_in4 and overlay_in4_reply. */
static void build_family(struct table *t, bool out, uint8_t family)
{
	bool v4 = family == AF_INET;
	static const char *const names[2][2][2] = {
	        {{"overlay_in6", "overlay_in6_reply"}, {"overlay_in4", "overlay_in4_reply"}},
	        {{"overlay_out6", "overlay_out6_reply"}, {"overlay_out4", "overlay_out4_reply"}},
	};
	const char *const *name = names[out][v4];
	struct chain *c = chain_new(t, name[0]);
	struct rule *r;

	if (!c)
		return;
	/* ip daddr != @self4 counter drop; going out: saddr */
	rule_drop(t, on_addr(t, c, !out, family, v4 ? SET_SELF4 : SET_SELF6, true), "not-self");
	/* ct direction reply goto overlay_in4_reply */
	r = rule_new(t, c);
	rule_add(t, r, (struct stmt){.kind = S_CTDIR, .value = 1});
	rule_end(t, r, NFT_GOTO, name[1]);
	/* ct state invalid,new,untracked jump overlay_new: of these no packet is a reply. */
	r = rule_new(t, c);
	rule_add(t, r,
	        (struct stmt){.kind = S_CTSTATE,
	                .value = NF_CT_STATE_INVALID_BIT | NF_CT_STATE_UNTRACKED_BIT |
	                         NF_CT_STATE_BIT(IP_CT_NEW)});
	rule_end(t, r, NFT_JUMP, "overlay_new");
	if (!v4)
		build_join(t, c, out, false);
	judge_all(t, c, out, false, family);
	c = chain_new(t, name[1]);
	if (!c)
		return;
	if (!v4)
		build_join(t, c, out, true);
	judge_all(t, c, out, true, family);
}

/* Few rules for each packet: by family, then by who opened the flow, then new ones aside. */
static void build_device(struct table *t, bool out)
{
	struct chain *c = chain_new(t, out ? "overlay_out" : "overlay_in");
	struct rule *r;

	if (!c)
		return;
	r = rule_new(t, c);
	rule_add(t, r, (struct stmt){.kind = S_NFPROTO, .family = AF_INET});
	rule_end(t, r, NFT_GOTO, out ? "overlay_out4" : "overlay_in4");
	rule_end(t, rule_new(t, c), NFT_GOTO, out ? "overlay_out6" : "overlay_in6");
	build_family(t, out, AF_INET);
	build_family(t, out, AF_INET6);
}

void fw_build_overlay(struct table *t)
{
	build_prerouting(t);
	build_input(t);
	build_forward(t);
	build_output(t);
	build_claimed(t);
	build_new(t);
	build_device(t, false);
	build_device(t, true);
	build_denied(t, false);
	build_denied(t, true);
}

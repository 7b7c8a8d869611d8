/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * firewall.h - one nftables table as plain data, committed whole or not at all
 *
 * A short tour
 * ------------
 * 1. Say what you want: a `struct fw_ruleset` (prefixes, own addresses, classes of
 *    allow rules, peers, endpoints, protected ports, who may manage). It owns copies
 *    of all it is given and touches no kernel.
 *
 *        fw_ruleset_new(&rs);
 *        fw_ruleset_set_device(rs, "ovl0");
 *        fw_ruleset_add_prefix(rs, &overlay);             10.77.0.0/16
 *        fw_ruleset_add_self(rs, &mine, 0);
 *        fw_ruleset_add_allow(rs, FW_IN, "exec", ports, 2, "allow policy.yaml:14 pbs");
 *        fw_ruleset_set_peer(rs, &(struct fw_peer){ .name = "node17", .v4 = a, .in = "exec" });
 *
 * 2. Look at it: fw_ruleset_print() writes what `nft -f` would load to the same effect.
 *
 * 3. Make it so: fw_open(), then fw_commit(). The first commit reads what the kernel holds
 *    and sends only the difference; later ones compare with what the kernel last confirmed.
 *    One commit is one netlink transaction. Nothing changed: no message.
 *
 * 4. One peer more or less: fw_peer_admit() / fw_peer_revoke(): a constant number of
 *    messages, and no work that grows with the number of peers.
 *
 * 5. Watch: fw_monitor_*() tells when another program touches the table; answer with
 *    fw_forget() and fw_commit(). Read: fw_counters_read(), fw_denied_read().
 *
 * How packets are judged: each one, established or not, by its connection's ORIGINAL
 * direction. A *class* is a chain with one rule per allow and protocol, and two sets of peers
 * ("in4_exec", "in6_exec") that lead to it. The sets' key is the pair (flow's peer, packet's peer):
 * an ICMP error counts only if it comes from the flow's own peer. Cost per packet grows with
 * classes, not with peers. (One verdict map would save the former, but the kernel walks every map
 * element whenever one that jumps is added: 6 ms instead of 0.2 to admit a peer beside 10,000.)
 *
 * Who is denied is not answered: packets are dropped and counted. Only our own programs are told,
 * at once and over lo: opening a flow that the policy denies gives ECONNREFUSED (TCP) or EPERM and
 * EHOSTUNREACH (others). A flow that was open before falls silent, both ways.
 *
 * Conventions: functions return 0 or a negative errno; `err` may be NULL, and is written only
 * on failure: one sentence for a human. Outputs are untouched on failure. All times are
 * milliseconds; `until_ms` is absolute on CLOCK_MONOTONIC and 0 means "no end".
 * Nothing here logs, exits, starts threads or keeps global state. Not thread safe per object.
 *
 * Sources: linux/netfilter/nf_tables.h, nfnetlink.h, inet_diag.h, sock_diag.h; libnftnl.
 */
#ifndef FIREWALL_FIREWALL_H
#define FIREWALL_FIREWALL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define FW_TABLE "overlayd"
#define FW_NAME_MAX 63     /* bytes in a class' name; a peer's name may have twice that */
#define FW_COMMENT_MAX 120 /* longer comments are cut: nft takes 128 bytes */
#define FW_ADDR_TEXT 52    /* "ffff:…/128" with its NUL */

struct fw_error {
	char text[256];
};

/* An address or prefix. `family` is AF_INET, AF_INET6, or 0 for "none". `bits` is the
 * prefix length (32 or 128: one address). `bytes` is in network order, the host part zero. */
struct fw_addr {
	uint8_t family;
	uint8_t bits;
	uint8_t bytes[16];
};

/* "10.77.0.1", "10.77.0.0/16", "fd00::1/128". -EINVAL: no such address, or host bits set. */
int fw_addr_parse(const char *text, struct fw_addr *out);
/* Writes into `buf` and returns it; "/bits" only where it is a prefix; "none" for family 0. */
const char *fw_addr_text(const struct fw_addr *a, char buf[static FW_ADDR_TEXT]);
bool fw_addr_equal(const struct fw_addr *a, const struct fw_addr *b);

/* A range of ports, both ends included. `proto` is IPPROTO_TCP, IPPROTO_UDP or IPPROTO_ICMP.
 * The last means "may ping", over IPv4 and IPv6; its ports are not looked at. */
struct fw_ports {
	uint8_t proto;
	uint16_t first;
	uint16_t last;
};

enum fw_mode {
	FW_GUARD, /* protects the cluster's ports and the overlay; all else is not ours */
	/* The whole host is default-drop. Open stay: the one UDP port, `manage`, DHCP, neighbour
	 * discovery and multicast listeners, ICMP errors about known flows (path MTU), and what the
	 * host asks of others with the answers: DNS (udp/53, tcp/53), NTP (udp/123; a policy's
	 * `hours` need a clock that is right). */
	FW_LOCKDOWN,
};

enum fw_dir {
	FW_IN,  /* what the peer may open to us */
	FW_OUT, /* what we may open to the peer */
};

/* One admitted peer address pair. `name` is its identity ("node17", "node17/pbs-server"), up to
 * 2 * FW_NAME_MAX bytes. No two peers may share an address. `in`/`out` name classes; NULL: nothing
 * that way. With `until_ms` the kernel forgets the peer by itself, even if the daemon is dead. */
struct fw_peer {
	const char *name;
	struct fw_addr v4;
	struct fw_addr v6;
	const char *in;
	const char *out;
	uint64_t until_ms;
};

/* ---- the ruleset as data ------------------------------------------------------------- */

struct fw_ruleset;

int fw_ruleset_new(struct fw_ruleset **out);
void fw_ruleset_free(struct fw_ruleset *rs);
int fw_ruleset_clone(const struct fw_ruleset *rs, struct fw_ruleset **out);

/* The guard: same prefixes, protected ports, endpoints, manage, mode and port as `rs`, but no
 * device, no own address, no class and no peer. Nothing of the overlay passes but on lo. For before
 * any daemon runs, and for what stays behind when it ends. */
int fw_guard_ruleset(const struct fw_ruleset *rs, struct fw_ruleset **out);

/* Defaults: FW_GUARD, no device, port 4500, no secpath check. */
void fw_ruleset_set_mode(struct fw_ruleset *rs, enum fw_mode mode);
/* The overlay device by name (it may come and go); NULL or "": none, all of the overlay is shut.
 * -EINVAL: not an interface name. */
int fw_ruleset_set_device(struct fw_ruleset *rs, const char *ifname);
/* Its hardware type (linux/if_arp.h; ARPHRD_NONE for TUN and XFRM interfaces), which it then must
 * have too. To compare it is far cheaper than a name, and the packets of other devices, the
 * tunnels' own among them, are done with that. 0, the default: any. */
void fw_ruleset_set_device_type(struct fw_ruleset *rs, uint16_t type);
/* The one UDP port that stays open on the underlay. -EINVAL: 0. */
int fw_ruleset_set_port(struct fw_ruleset *rs, uint16_t port);
/* Another UDP port at which a peer's charon is reached (its router forwards it): from our port to
 * this one passes, even where it is protected. -EINVAL: 0. */
int fw_ruleset_add_tunnel_port(struct fw_ruleset *rs, uint16_t port);
/* Kernel ESP only: what comes by the device must have been decrypted by the kernel. */
void fw_ruleset_set_secpath(struct fw_ruleset *rs, bool required);
/* A port of the peers, TCP and UDP, to which only programs of user `uid` may open flows, whatever an
 * allow says: other users of this host are denied. 0, the default: none. */
void fw_ruleset_set_own(struct fw_ruleset *rs, uint16_t port, uint32_t uid);
/*
 * Joining, over IPv6 on the overlay device alone, one TCP port, and nothing else for these addresses
 * either way. SERVE: who has an address of `net` may open flows to `port` here. ASK: programs of
 * user `uid` may open flows to `port` of addresses in `net`; `net` must be a prefix of the overlay.
 * -EINVAL: port 0, or `net` is not IPv6.
 */
enum fw_join_role { FW_JOIN_NONE, FW_JOIN_SERVE, FW_JOIN_ASK };
struct fw_join {
	enum fw_join_role role;
	struct fw_addr net;
	uint16_t port;
	uint32_t uid;
};
int fw_ruleset_set_join(struct fw_ruleset *rs, const struct fw_join *join);
/* Tunnels come up on demand: our own programs are not told "host unreachable" meanwhile. */
void fw_ruleset_set_patient(struct fw_ruleset *rs, bool patient);

/* Prefixes of the overlay. They must not overlap: -EEXIST. */
int fw_ruleset_add_prefix(struct fw_ruleset *rs, const struct fw_addr *prefix);
/* Our own overlay addresses, and known underlay addresses of peers. Adding one again replaces its
 * end. */
int fw_ruleset_add_self(struct fw_ruleset *rs, const struct fw_addr *addr, uint64_t until_ms);
int fw_ruleset_add_endpoint(struct fw_ruleset *rs, const struct fw_addr *addr);
/* Ports that must never be reached but through the overlay. IPPROTO_ICMP: ignored (returns 0).
 * Ranges may overlap; they are merged, and the one open UDP port is left out of them. -EINVAL:
 * first > last, port 0, other protocol. */
int fw_ruleset_add_protected(struct fw_ruleset *rs, const struct fw_ports *ports);
/* Who may come in on the underlay, whatever else is shut. `ports` is copied. `comment` may be NULL.
 */
int fw_ruleset_add_manage(struct fw_ruleset *rs, const struct fw_addr *from,
        const struct fw_ports *ports, size_t n, const char *comment);

/* A class with no rule is legal: its peers are known and may do nothing. Adding it twice is
 * harmless. Names: [A-Za-z0-9_.-], at most FW_NAME_MAX bytes, else -EINVAL. */
int fw_ruleset_add_class(struct fw_ruleset *rs, enum fw_dir dir, const char *name);
/* One allow of a class (made if missing). `comment` (policy line) must not hold '"' or control
 * characters: -EINVAL. Splits into one rule per protocol by itself. */
int fw_ruleset_add_allow(struct fw_ruleset *rs, enum fw_dir dir, const char *class_name,
        const struct fw_ports *ports, size_t n, const char *comment);

/* Adds or replaces by name. -ENOENT: unknown class. -EEXIST: another peer has this address.
 * -EINVAL: no address at all, a prefix, wrong family, bad name. */
int fw_ruleset_set_peer(struct fw_ruleset *rs, const struct fw_peer *peer);
int fw_ruleset_del_peer(struct fw_ruleset *rs, const char *name); /* -ENOENT */
size_t fw_ruleset_peer_count(const struct fw_ruleset *rs);
/* The ruleset's own copy, or NULL; valid until the next change of `rs`. */
const struct fw_peer *fw_ruleset_peer(const struct fw_ruleset *rs, const char *name);

/* The nft text: `add table; delete table; table inet overlayd { … }`, so that `nft -f` replaces the
 * table as atomically as a commit does. Peers whose time is over are left out. */
int fw_ruleset_print(const struct fw_ruleset *rs, FILE *to);

/* ---- the kernel's table ---------------------------------------------------------------- */

struct fw; /* one nfnetlink socket and what the kernel last confirmed */

enum fw_outcome {
	FW_UNCHANGED, /* nothing was sent */
	FW_UPDATED,   /* elements and chains changed; everything else kept counters and state */
	FW_REPLACED,  /* the table was made, or made anew */
};

struct fw_result {
	enum fw_outcome outcome;
	unsigned messages;       /* netlink messages sent, without the batch's begin and end */
	unsigned elements_added; /* set elements */
	unsigned elements_removed;
	bool was_foreign; /* the kernel's table was not what we had confirmed or expected */
};

/* Opens the socket in the calling thread's network namespace. Sends nothing. -EPERM and
 * -EAFNOSUPPORT are told with how to mend them. Blocking calls are bounded: the kernel answers at
 * once, and after 5 s of silence they give up with -ETIMEDOUT. */
int fw_open(struct fw **out, struct fw_error *err);
/* Closes the socket. The table stays: what is admitted stays so until its time ends. */
void fw_close(struct fw *fw);
uint32_t fw_port_id(const struct fw *fw); /* netlink port id: our own changes bear it */

/* Makes the kernel's table equal to `want` in one transaction (`want` is copied, not kept). Reads
 * the kernel's table first if it is not known: at the first call, after fw_forget(), and after a
 * failure. `res` may be NULL. On failure the kernel's table is as it was. -EPERM: no CAP_NET_ADMIN.
 * -EOVERFLOW: too big for one transaction. If other programs change nftables faster than
 * it can be read, the table is replaced without reading it. */
int fw_commit(
        struct fw *fw, const struct fw_ruleset *want, struct fw_result *res, struct fw_error *err);
/* Trust nothing: the next commit reads the kernel's table again (after a monitor's event). */
void fw_forget(struct fw *fw);
/* What was last confirmed; NULL before the first commit and after fw_forget(). Owned by `fw`. */
const struct fw_ruleset *fw_applied(const struct fw *fw);

/* One peer: at most three messages for each of its (up to four) elements, in one transaction.
 * -ESTALE: the table is not known or was changed by another program: fw_commit() the whole.
 * -ENOENT: no such class, or no such peer. */
int fw_peer_admit(
        struct fw *fw, const struct fw_peer *peer, struct fw_result *res, struct fw_error *err);
int fw_peer_revoke(struct fw *fw, const char *name, struct fw_result *res, struct fw_error *err);
/* The same for one own address (failover, leases). Adding again renews. -ENOENT: not there. */
int fw_self_add(struct fw *fw, const struct fw_addr *addr, uint64_t until_ms, struct fw_result *res,
        struct fw_error *err);
int fw_self_remove(
        struct fw *fw, const struct fw_addr *addr, struct fw_result *res, struct fw_error *err);
/* And for a peer's underlay address. */
int fw_endpoint_add(
        struct fw *fw, const struct fw_addr *addr, struct fw_result *res, struct fw_error *err);
int fw_endpoint_remove(
        struct fw *fw, const struct fw_addr *addr, struct fw_result *res, struct fw_error *err);

/* Takes the whole table away; 0 if there was none. */
int fw_remove(struct fw *fw, struct fw_error *err);
/* For who knows no ruleset (its policy is lost) beside a table that an earlier run left: no peer
 * and no own address is admitted any more, in one transaction; rules, prefixes and endpoints stay,
 * so that nothing of the overlay passes, and nothing in clear. 0 if there was no table. Forgets, as
 * fw_forget() does. */
int fw_shut(struct fw *fw, struct fw_error *err);

/* ---- reading ----------------------------------------------------------------------------- */

enum fw_counter_kind {
	FW_COUNT_PEER,  /* one peer address in a class' set: `addr`, `name` = class, `remaining_ms`
	                 */
	FW_COUNT_ALLOW, /* one rule of a class: `class_name`, `name` = the comment (policy line) */
	FW_COUNT_DROP,  /* one reason: `name` = "spoofed", "clear", "underlay", "midstream",
	                   "denied-in", … */
};

struct fw_counter {
	enum fw_counter_kind kind;
	enum fw_dir dir;
	struct fw_addr addr;
	char name[128];
	char class_name[FW_NAME_MAX + 1];
	uint64_t packets;
	uint64_t bytes;
	uint64_t remaining_ms; /* until the element expires; 0: never */
};

/* Called once for each; non-zero ends the reading and is returned. Drop reasons that have several
 * rules are summed. The struct is valid during the call only. */
typedef int (*fw_counter_fn)(void *ctx, const struct fw_counter *c);
int fw_counters_read(struct fw *fw, fw_counter_fn fn, void *ctx, struct fw_error *err);

struct fw_denied {
	enum fw_dir dir;     /* FW_IN: it came to us; FW_OUT: it was ours */
	struct fw_addr addr; /* the other end */
	uint8_t proto;       /* of the connection */
	uint16_t port;       /* the connection's destination port (ping: 0) */
	uint64_t packets;    /* at least: updates are limited to 100 a second */
	uint64_t bytes;
	uint64_t last_ms_ago; /* how long ago it was last seen */
};
typedef int (*fw_denied_fn)(void *ctx, const struct fw_denied *d);
/* At most 1,024 entries per family and direction, for 10 minutes after their last packet. */
int fw_denied_read(struct fw *fw, fw_denied_fn fn, void *ctx, struct fw_error *err);

/* ---- others' changes ------------------------------------------------------------------------ */

struct fw_monitor;

struct fw_change {
	bool lost;     /* the socket overflowed: something may have changed */
	uint32_t pid;  /* who did it; 0: the kernel did not say */
	char comm[17]; /* its program's name, printable, or "" */
};

/* `fw` tells which changes are our own; it must outlive the monitor. */
int fw_monitor_open(struct fw_monitor **out, const struct fw *fw, struct fw_error *err);
void fw_monitor_close(struct fw_monitor *m);
int fw_monitor_fd(const struct fw_monitor *m); /* poll for POLLIN; non-blocking */
/* Reads what is there. 1: `*out` tells of a change by another; call again. 0: nothing more. */
int fw_monitor_process(struct fw_monitor *m, struct fw_change *out);

/* ---- stuck sockets ------------------------------------------------------------------------------
 */

/* Destroys every TCP socket of this namespace whose remote address is `peer` (and whose local one
 * is `local`, unless NULL), in any state, half-open ones included; IPv4 also as v4-mapped IPv6.
 * Their programs see ECONNABORTED. Returns how many (≥ 0) or a negative errno: -EOPNOTSUPP: the
 * kernel lacks CONFIG_INET_DIAG_DESTROY. */
int sockdiag_destroy_peer(
        const struct fw_addr *peer, const struct fw_addr *local, struct fw_error *err);
/* For peers whose classes have become narrower: destroys the TCP sockets with a peer of `rs` (with
 * `peer`, by name, only this one's; NULL: all) that nobody could open now: neither is the local
 * port one that the peer may reach here, nor the remote one one that we may reach there. Who began
 * a flow is not known here, so where either may be, the socket stays (and the table judges its
 * packets). Sockets with others are left alone. One look at the kernel's sockets, however many
 * peers. Returns how many, or as above; -ENOENT: no such peer. */
int sockdiag_destroy_denied(const struct fw_ruleset *rs, const char *peer, struct fw_error *err);

#endif

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The table as a small language of statements, between the ruleset (what is wanted) and
 * its two renderings: nft text (text.c) and netlink expressions (expr.c). One switch in each;
 * what one can say the other can too, so the printed text cannot drift from what is committed.
 */
#ifndef FIREWALL_TABLE_H
#define FIREWALL_TABLE_H

/* libc's before the kernel's: they define the same names */
#include <netinet/in.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nf_tables.h>

#include "firewall/ruleset.h"

#define FW_TABLE_COMMENT "overlayd 2" /* raise it when sets or their keys change */
#define DENIED_TIMEOUT_MS 600000
#define DENIED_SIZE 1024
/*
 * New IKE_SAs from one source (an IPv6 /64): what a site of a thousand nodes behind one NAT begins
 * with at a power-on, all at once, passes whole, cookies and second tries included after a few
 * seconds; and a hundred a second cost charon a few percent of one CPU, whoever sends them.
 */
#define INIT_RATE 100
#define INIT_BURST 1000

enum set_id {
	SET_SELF4,
	SET_SELF6,
	SET_ENDPOINT4,
	SET_ENDPOINT6,
	SET_IN4, /* these four exist once per class: "in4_exec" */
	SET_IN6,
	SET_OUT4,
	SET_OUT6,
	SET_ELEMENTS, /* those above are diffed element by element, those below as a whole */
	SET_OVERLAY4 = SET_ELEMENTS,
	SET_OVERLAY6,
	SET_TCP,
	SET_UDP,
	SET_STATIC, /* those below are filled by the kernel */
	SET_DENIED_IN4 = SET_STATIC,
	SET_DENIED_IN6,
	SET_DENIED_OUT4,
	SET_DENIED_OUT6,
	SET_INIT4, /* who begins IKE_SAs; those above: who was denied */
	SET_INIT6,
	SET_COUNT,
};

struct set_def {
	const char *name;
	const char *type; /* as nft writes it */
	uint32_t key_type;
	uint32_t key_len;
	uint32_t flags; /* NFT_SET_* */
	bool counter;   /* each element counts */
};
extern const struct set_def fw_sets[SET_COUNT];
/* An enum set_id, or -ENOENT. `*class` becomes the class' name within `name`, or NULL. */
int fw_set_by_name(const char *name, const char **class);
/* The name of a set as the kernel knows it; `class` for the sets of classes, else NULL. */
void fw_set_name(enum set_id id, const char *class, char buf[static FW_CHAIN_MAX]);

enum stmt_kind {
	S_DEVICE,    /* dst: going out; name; value: its type, 0: any */
	S_LO,        /* dst: going out; negate */
	S_SECPATH,   /* value: 1 decrypted by the kernel, 0 not */
	S_CTSTATE,   /* value: bits */
	S_CTDIR,     /* value: 0 original, 1 reply */
	S_CTPROTO,   /* value */
	S_CTDPORT,   /* ports, n (of the original direction); IPPROTO_ICMP means an echo request */
	S_L4PROTO,   /* value */
	S_NFPROTO,   /* family */
	S_ADDR_SET,  /* family, dst, set, negate */
	S_ADDR,      /* family, dst, addr */
	S_ADDR_HINT, /* the same, but true also for some of the other family */
	S_MULTICAST, /* family: the destination */
	S_BROADCAST, /* to one of our networks' broadcast addresses (IPv4) */
	S_MIDSTREAM, /* TCP, but not the SYN that a connection begins with */
	S_PORT,      /* l4 protocol in value; dst; one range in ports */
	S_SKUID,     /* value: whose socket sends it; only where it is ours */
	S_PORT_SET,  /* l4 protocol in value; dst; set */
	S_ICMP,      /* family; one range of types in ports */
	S_UNREACH,   /* family; an ICMP error that says: host unreachable */
	S_PEER, /* family; ct_dst: flow's peer is its destination; dst: packet's peer; name: set */
	S_ESP,  /* UDP that carries it: it does not begin with RFC 3948's marker */
	S_IKE_INIT,   /* the first message of an IKE_SA, behind that marker */
	S_INIT_LIMIT, /* family, set: beyond INIT_RATE from this source */
	S_LIMIT,      /* value per second */
	S_DENIED,     /* family, dst: whose address; set; port: see enum */
	S_COUNTER,
	S_REJECT,  /* value: IPPROTO_TCP: a reset; else an ICMP error. To our own programs only. */
	S_VERDICT, /* value: NF_ACCEPT, NF_DROP, NFT_JUMP, NFT_GOTO, NFT_RETURN; name: chain */
};

enum denied_port { PORT_SOURCE, PORT_DESTINATION, PORT_FLOW };

struct stmt {
	enum stmt_kind kind;
	uint8_t family;
	bool dst;
	bool ct_dst;
	bool negate;
	int value;
	enum set_id set;
	enum denied_port port;
	const char *name; /* borrowed: from the ruleset, a literal, or the table's own chain */
	const struct fw_addr *addr;
	const struct fw_ports *ports; /* borrowed, or in `own` */
	size_t n;
	struct fw_ports own;
};

#define RULE_STMTS 8

struct rule {
	struct stmt stmts[RULE_STMTS];
	size_t n;
	char comment[128]; /* 127 bytes and NUL: nft's own limit */
};

struct chain {
	char name[FW_CHAIN_MAX];
	bool base;
	int hook; /* enum nf_inet_hooks */
	int prio;
	bool drop; /* policy */
	struct rule *rules;
	size_t n;
};

struct table {
	const struct fw_ruleset *rs; /* borrowed; must outlive the table */
	struct chain *chains; /* base chains first, then those they jump to, then the classes */
	size_t n;
	bool failed; /* a rule could not be made: the whole table is void */
};

/* -ENOMEM, or -EOVERFLOW if a rule does not fit its statements (our own bug). */
int fw_table_build(const struct fw_ruleset *rs, struct table *out);
void fw_table_clear(struct table *t);

/* Writing rules: rule_new() on a chain, then statements in order. Failures are sticky in `t`. */
struct chain *chain_new(struct table *t, const char *name);
struct rule *rule_new(struct table *t, struct chain *c);
void rule_add(struct table *t, struct rule *r, struct stmt s);
void rule_end(struct table *t, struct rule *r, int verdict, const char *chain);
/* counter, drop, and the comment "drop <reason>" by which counters are read back. */
void rule_drop(struct table *t, struct rule *r, const char *reason);

void fw_build_overlay(struct table *t); /* table_overlay.c */
/* The tunnels' own packets, nearly all of them: what comes to the cluster's port, and what goes
 * from it to the same port elsewhere. table_underlay.c */
void fw_accept_tunnel(struct table *t, struct chain *c, bool out);
void fw_build_underlay(struct table *t); /* table_underlay.c */
void fw_build_classes(struct table *t);  /* table_class.c */

/* The contents of a SET_OVERLAY4 … SET_UDP set: ranges of keys, both ends included. */
struct span {
	uint8_t first[16];
	uint8_t last[16];
};
/* Calls `fn` in ascending order for prefixes; non-zero ends and is returned. */
int fw_static_each(const struct fw_ruleset *rs, enum set_id set,
        int (*fn)(void *ctx, const struct span *s, size_t len), void *ctx);

/* One wanted element of an element set. */
struct elem {
	enum set_id set;
	uint8_t len;
	uint8_t key[32];
	const char *class; /* which of the classes' sets; else NULL */
	uint64_t until_ms;
};
typedef int (*elem_fn)(void *ctx, const struct elem *e);
int fw_elems_each(const struct fw_ruleset *rs, elem_fn fn, void *ctx);
/* At most four. Returns how many. */
size_t fw_peer_elems(const struct fw_peer *p, struct elem out[static 4]);
struct elem fw_address_elem(const struct fw_addr *a, uint64_t until_ms, bool endpoint);
/* The whole bytes of an S_ADDR_HINT that the kernel compares fast (1, 2 or 4 of them; 0: none), and
 * where they are in the network header. */
uint32_t stmt_hint(const struct stmt *s, uint32_t *off);
static inline bool set_is_of_class(enum set_id s)
{
	return s >= SET_IN4 && s <= SET_OUT6;
}
#endif

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * policy: what the admin wrote.
 *
 * A policy is read from a directory: `policy.yaml` plus `peers.d/[*].yaml`, one small file per
 * approved peer, and `tokens.d/[*].yaml`, one per token. policy_load() parses and checks all of it
 * and returns either one immutable `struct policy` or a report with every fault it could find
 * (`file:line:column: error: ...`); never half a policy. The room below explains a policy
 * (policy_explain), says which allow rules join two peers (policy_allows_between: the firewall and
 * the explanation use the same answer), compares two (policy_diff), prints one (policy_print:
 * canonical, print of parse is the identity) and edits the files (policy_edit.h).
 *
 * This room never logs, never exits, has no global state and reads no clock: times come in as
 * seconds since the epoch. All strings in a `struct policy` are NUL-terminated UTF-8, owned by
 * the policy and valid while a reference is held. Functions return 0 or a negative errno.
 */
#ifndef OVERLAYD_POLICY_POLICY_H
#define OVERLAYD_POLICY_POLICY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* Limits; one more is a fault in the report, never a crash. */
#define POLICY_FILE_MAX (4U << 20)   /* bytes of one file */
#define POLICY_TOTAL_MAX (64U << 20) /* bytes of all files */
#define POLICY_PEERS_MAX 20000U
#define POLICY_NAME_MAX 63U /* bytes of any name: [A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])? */
#define POLICY_ROLES_MAX 256U
#define POLICY_ALLOWS_MAX 1024U
#define POLICY_ENDPOINTS_MAX 8U
#define POLICY_FAULTS_MAX 200U /* faults kept; the rest are counted */
#define POLICY_TOKENS_MAX 64U
#define POLICY_TOKEN_COUNT_MAX 4096U  /* guests of one token */
#define POLICY_TOKEN_EXCEPT_MAX 4096U /* guests of one token that were revoked */
#define POLICY_EXCEPTS_MAX 20000U     /* of all tokens */

/* Where something was written; line and column count from 1, 0 when built in. */
struct policy_where {
	const char *file; /* relative to the policy directory: "policy.yaml", "peers.d/n1.yaml" */
	uint32_t line;
	uint32_t column;
};

/* An address; family is AF_INET or AF_INET6, or 0 when unset. Network byte order. */
struct policy_addr {
	uint8_t family;
	uint8_t bytes[16];
};

struct policy_prefix {
	struct policy_addr addr;
	uint8_t len;
};

/* A raw Ed25519 public key: a node is its key. */
struct policy_key {
	uint8_t raw[32];
};

#define POLICY_FINGERPRINT_LEN 51 /* "SHA256:" + 43 characters + NUL, as ssh-keygen -lf prints */

enum policy_enforce { POLICY_OBSERVE, POLICY_PREFER, POLICY_ENFORCE };
enum policy_firewall { POLICY_GUARD, POLICY_LOCKDOWN };
enum policy_mesh { POLICY_MESH_FULL, POLICY_MESH_ONDEMAND, POLICY_MESH_AUTO };
#define POLICY_MESH_AUTO_PEERS 200 /* auto: on demand where there are more */
#define POLICY_ROLE_SEED "seed"
#define POLICY_ROLE_VOTER "voter"
#define POLICY_OLD_KEY_MAX_S 86400U /* an old key counts at most so long after a bundle's issue */

/* Protocols a service can name; values are IP protocol numbers. icmp means echo, v4 and v6. */
enum policy_proto { POLICY_ICMP = 1, POLICY_TCP = 6, POLICY_UDP = 17 };

struct policy_ports {
	enum policy_proto proto;
	uint16_t first; /* 0 for icmp */
	uint16_t last;
	struct policy_where where;
};

struct policy_service {
	const char *name;
	const struct policy_ports *ports;
	size_t n_ports;
	bool builtin; /* shipped with overlayd; a policy may override it by name */
	struct policy_where where;
};

struct policy_site {
	const char *name;
	const char *timezone; /* IANA name; "UTC" when unset */
	bool behind_nat;
	struct policy_where where;
};

/* One role -> role -> service line. POLICY_ANY as a role index means "*". */
#define POLICY_ANY UINT16_MAX
struct policy_allow {
	uint16_t from; /* index into roles, or POLICY_ANY */
	uint16_t to;
	uint16_t service; /* index into services */
	struct policy_where where;
};

/* Who may reach which ports of this host in clear from outside the overlay (ssh, mostly). */
struct policy_manage {
	struct policy_prefix from;
	uint16_t service;
	struct policy_where where;
};

/* An endpoint is an address or a name to resolve; port is the cluster's unless given. */
struct policy_endpoint {
	const char *host;
	struct policy_addr addr; /* family 0: `host` is a name */
	uint16_t port;
	struct policy_where where;
};

struct policy_peer {
	const char *name;
	struct policy_key key;
	bool has_old_key; /* it changes its key: until then the old one counts too */
	struct policy_key old_key;
	int64_t old_until;        /* first second (epoch) at which the old key is worthless */
	struct policy_addr addr4; /* from the policy */
	struct policy_addr addr6; /* derived from cluster and key (ULA), unless given: */
	bool addr6_given;         /* it had another key once, and keeps that one's address */
	uint16_t site;            /* index into sites */
	const uint16_t *roles;    /* sorted indexes into roles */
	size_t n_roles;
	const struct policy_endpoint *endpoints;
	size_t n_endpoints;
	bool has_until;
	int64_t until; /* first second (epoch) at which the peer is no longer active */
	const struct policy_hours *hours; /* NULL: always; see policy_peer_active() */
	const char *hours_text;
	const char *comment; /* the key's comment, or "" */
	bool guest;     /* let in by a token, see policy/guests.h; the policy does not name it */
	uint16_t token; /* of a guest: index into tokens */
	struct policy_where where; /* of a guest: its token's */
};

/*
 * A key pair that vouches for new nodes, and what the policy grants it: guests with these roles, of
 * this site, with addresses of this range, up to `count` of them, until then. See policy/admission.h.
 */
struct policy_token {
	const char *name;
	struct policy_key key;
	const uint16_t *roles; /* sorted indexes into roles; neither seed nor voter */
	size_t n_roles;
	uint16_t site;               /* index into sites */
	struct policy_prefix range;  /* IPv4, inside overlay4 */
	uint32_t count;              /* 1 to POLICY_TOKEN_COUNT_MAX */
	int64_t until;               /* first second (epoch) at which it and its guests are over */
	const uint8_t (*except)[32]; /* sorted fingerprints of guests that were revoked */
	size_t n_except;
	struct policy_where where;
};

struct policy_failover {
	const char *name;
	struct policy_addr address;
	const uint32_t *holders; /* indexes into peers, in the written order */
	size_t n_holders;
	struct policy_where where;
};

struct policy_test {
	uint32_t from; /* index into peers */
	uint32_t to;
	enum policy_proto proto;
	uint16_t port;
	bool expect_allow;
	struct policy_where where;
};

struct policy {
	const char *cluster;
	uint64_t serial;
	struct policy_prefix overlay4; /* family 0: none */
	struct policy_prefix overlay6; /* fdXX:XXXX:XXXX::/48, derived from the cluster's name */
	enum policy_enforce enforce;
	enum policy_firewall firewall;
	enum policy_mesh mesh;
	bool join;     /* seeds take newcomers' requests, see engine/join.h; default false */
	uint16_t port; /* UDP, default 4500 */
	const struct policy_site *sites;
	size_t n_sites;
	const char *const *roles; /* sorted names */
	size_t n_roles;
	const struct policy_service *services; /* sorted by name, built-in ones included */
	size_t n_services;
	const struct policy_allow *allows; /* in the written order */
	size_t n_allows;
	const struct policy_manage *manage;
	size_t n_manage;
	const struct policy_failover *failovers;
	size_t n_failovers;
	const struct policy_peer *peers; /* sorted by name */
	size_t n_peers;
	const struct policy_test *tests;
	size_t n_tests;
	const struct policy_token *tokens; /* sorted by name */
	size_t n_tokens;
	uint8_t digest[32]; /* SHA-256 of the canonical text, and guests: equal is unchanged */
};

/* ---- reading ------------------------------------------------------------------------- */

enum policy_severity { POLICY_WARNING, POLICY_ERROR };

/* One finding. `source` is the offending line without its newline (may be ""). */
struct policy_fault {
	enum policy_severity severity;
	struct policy_where where;
	char *message; /* one sentence, with "did you mean" and how to mend it */
	char *source;
};

struct policy_report {
	struct policy_fault *faults;
	size_t n_faults;
	size_t n_errors; /* all errors found, also those beyond POLICY_FAULTS_MAX */
	size_t n_warnings;
	char **files; /* owns the file names that faults point to */
	size_t n_files;
};

void policy_report_init(struct policy_report *report);
void policy_report_clear(struct policy_report *report);
/* Print as gcc does: file:line:column: error: text, the line, a caret. colour: ANSI colours. */
void policy_report_print(const struct policy_report *report, FILE *out, bool colour);

/* A file already in memory, for tests, fuzzers and later the bundle. */
struct policy_file {
	const char *name;
	const char *data;
	size_t len;
};

/*
 * Parse and check. On success *out is a policy with one reference (the report may hold
 * warnings). -EINVAL: the report says why. -ENOENT, -EACCES, -ENOMEM...: also in the report,
 * as one sentence. *out is untouched on failure. The `tests:` of the policy are run; a failing
 * one is an error.
 */
int policy_load(const char *dir, struct policy **out, struct policy_report *report);
int policy_parse(const struct policy_file *files, size_t n_files, struct policy **out,
        struct policy_report *report);

struct policy *policy_ref(const struct policy *policy);
void policy_unref(const struct policy *policy);

/* Canonical YAML of the whole policy; free() it. NULL: out of memory. */
char *policy_print(const struct policy *policy);

/* ---- asking -------------------------------------------------------------------------- */

/* NULL when there is none. By name: binary search. */
const struct policy_peer *policy_peer_by_name(const struct policy *policy, const char *name);
const struct policy_peer *policy_peer_by_key(
        const struct policy *policy, const struct policy_key *key);
/* By the key that it had before, while the policy still names it. */
const struct policy_peer *policy_peer_by_old_key(
        const struct policy *policy, const struct policy_key *key);
const struct policy_peer *policy_peer_by_addr(
        const struct policy *policy, const struct policy_addr *addr);

/*
 * Is the peer active at `now` (epoch seconds), by its `until` and `hours`? *next gets the next
 * moment at which the answer changes (INT64_MAX: never). Hours are those of the peer's site.
 */
bool policy_peer_active(
        const struct policy *policy, const struct policy_peer *peer, int64_t now, int64_t *next);
/* Its two parts, for who judges them by different clocks. *next is not optional. */
bool policy_until_active(const struct policy_peer *peer, int64_t now, int64_t *next);
bool policy_hours_active(const struct policy_peer *peer, int64_t now, int64_t *next);

/* Does `mesh` say on demand, for so many peers? */
bool policy_mesh_on_demand(const struct policy *policy);

/* NULL when there is none. */
const struct policy_token *policy_token_by_name(const struct policy *policy, const char *name);
/* Was a guest with that key revoked (`except`)? */
bool policy_token_excepts(const struct policy_token *token, const struct policy_key *key);

/* Has it the role POLICY_ROLE_SEED? */
bool policy_is_seed(const struct policy *policy, const struct policy_peer *peer);

/*
 * Need these two no tunnel until a packet wants one? By `mesh`; a pair with a seed (its role)
 * always has one.
 */
bool policy_on_demand(
        const struct policy *policy, const struct policy_peer *a, const struct policy_peer *b);

/*
 * Which allow rules let `from` open connections to `to`: sets bit i of bits[] for allows[i];
 * bits has (n_allows + 63) / 64 words, cleared first. Returns how many are set.
 */
size_t policy_allows_between(const struct policy *policy, const struct policy_peer *from,
        const struct policy_peer *to, uint64_t *bits);

/* The answer to "may from open proto/port to to?", and the line that says so. */
struct policy_verdict {
	bool allow;
	const struct policy_allow *rule; /* the first that allows, or NULL */
	const struct policy_allow
	        *nearest; /* deny: a rule that misses only by port or by role, or NULL */
	char text[512];   /* one or two sentences for a human, naming file and line */
};
/* As `now`: judge without `until` and `hours`. */
#define POLICY_ANY_TIME INT64_MIN
/* -EINVAL: from and to are the same peer, or port 0 of tcp or udp. */
int policy_explain(const struct policy *policy, const struct policy_peer *from,
        const struct policy_peer *to, enum policy_proto proto, uint16_t port, int64_t now,
        struct policy_verdict *out);

/* What changes from old to new (either may be NULL). Rows are for people and for JSON. */
enum policy_change {
	POLICY_ADMITTED,
	POLICY_EVICTED,
	POLICY_REKEYED, /* same name, other key: evicted and admitted */
	POLICY_READDRESSED,
	POLICY_OPENED, /* from -> to: ports newly allowed */
	POLICY_CLOSED,
	POLICY_SETTING, /* anything else: serial, firewall, endpoints, hours... */
};
struct policy_diff_row {
	enum policy_change change;
	char *subject; /* peer, or "exec -> head" */
	char *text;    /* one line */
};
struct policy_diff {
	struct policy_diff_row *rows;
	size_t n_rows;
};
int policy_diff(const struct policy *old, const struct policy *new_policy, struct policy_diff *out);
void policy_diff_clear(struct policy_diff *diff);
/* "admitted", "evicted"...: the word of JSON and tables. */
const char *policy_change_name(enum policy_change change);

/* ---- small words ---------------------------------------------------------------------- */

/* "ssh-ed25519 AAAA... comment" -> key; *comment (may be NULL) points into text. -EINVAL. */
int policy_key_parse(const char *text, struct policy_key *key, const char **comment);
/* -> "ssh-ed25519 AAAA..." (buf of at least 96 bytes), no comment. */
void policy_key_print(const struct policy_key *key, char *buf, size_t size);
void policy_key_fingerprint(const struct policy_key *key, char buf[POLICY_FINGERPRINT_LEN]);
/* The fingerprint's 32 bytes, without "SHA256:" and base64. */
void policy_key_digest(const struct policy_key *key, uint8_t digest[32]);
/* Did this key sign these bytes (plain Ed25519)? -EKEYREJECTED: no; -EIO. */
int policy_key_verify(
        const struct policy_key *key, const void *data, size_t len, const uint8_t sig[64]);
/* Lower fingerprint first (by the printed text's bytes before base64): <0, 0, >0. */
int policy_key_compare(const struct policy_key *a, const struct policy_key *b);
/*
 * The ULA /48 of a cluster, and the address of a key in it (RFC 4193, with SHA-256 for chance):
 *   prefix:  0xfd, then bytes 0-4 of SHA-256("overlayd ula v1" 00 cluster)
 *   address: the prefix, then bytes 0-9 of SHA-256("overlayd ula address v1" 00 cluster 00 key)
 * where 00 is one zero byte and key the 32 raw bytes.
 */
void policy_ula_prefix(const char *cluster, struct policy_prefix *out);
void policy_ula_address(const char *cluster, const struct policy_key *key, struct policy_addr *out);
/* "10.0.0.1", "fd00::1"; buf of INET6_ADDRSTRLEN. Parse: -EINVAL. */
void policy_addr_print(const struct policy_addr *addr, char *buf, size_t size);
int policy_addr_parse(const char *text, struct policy_addr *out);
bool policy_prefix_contains(const struct policy_prefix *prefix, const struct policy_addr *addr);
/* "tcp/22", "udp/1-2", "icmp". Parse: -EINVAL, with one sentence in err (may be NULL). */
int policy_ports_parse(const char *text, struct policy_ports *out, char *err, size_t err_size);

#endif

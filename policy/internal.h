/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the files of this room share and nobody else sees.
 *
 * The way of a policy: load.c reads files -> parse.c drives -> yaml.c makes a light tree of each
 * file -> settings.c, sections.c and peers.c turn trees into data -> check.c compares what only
 * the whole shows -> finish in parse.c sorts and hands over. Faults go to fault.c.
 */
#ifndef OVERLAYD_POLICY_INTERNAL_H
#define OVERLAYD_POLICY_INTERNAL_H

#include <setjmp.h>
#include <stdatomic.h>

#include "policy/arena.h"
#include "policy/names.h"
#include "policy/policy.h"
#include "policy/tz.h"
#include "policy/yaml.h"

#define POL_SITES_MAX 256U
#define POL_SERVICES_MAX 512U
#define POL_PORTS_MAX 64U /* ranges of one service */
#define POL_MANAGE_MAX 256U
#define POL_FAILOVERS_MAX 256U
#define POL_HOLDERS_MAX 64U
#define POL_TESTS_MAX 10000U
#define POL_PEER_ROLES_MAX 64U
#define POL_COMMENT_MAX 255U
#define POL_ROLE_WORDS (POLICY_ROLES_MAX / 64)

/* A policy and what it rests on. The public part comes first, so that a cast leads here. */
struct pol_full {
	struct policy pub;
	atomic_uint refs;
	struct pol_arena arena;       /* holds everything, this struct included */
	const struct policy *written; /* with guests: what they were added to, a reference */
	const struct pol_tz **zones;  /* of sites[i] */
	const bool *role_declared;    /* of roles[i]: may be empty */
	const uint32_t *by_key;       /* peers, sorted by key */
	const uint32_t *by_old_key;   /* NULL: none has one */
	const uint32_t *by_addr4;
	const uint32_t *by_addr6;
};

struct policy_hours {
	const struct pol_tz *tz;
	const char *text;
	size_t n;
	struct pol_window {
		uint16_t start; /* minutes since Monday 00:00, local; merged, sorted */
		uint16_t end;   /* first minute no longer in it, up to 10080 */
	} windows[];
};

/* One file while parsing. */
struct pol_source {
	const char *name; /* in the policy's arena */
	const char *data;
	size_t len;
};

struct pol_ctx;
/* The tree of ctx->source in ctx->tree, or NULL: after a fault, or *empty. */
typedef struct pol_node *(*pol_read_fn)(struct pol_ctx *ctx, bool *empty);

/* Everything that parsing holds. */
struct pol_ctx {
	jmp_buf oom;
	pol_read_fn read_main;           /* of the first file: YAML, or a bundle */
	const void *read_arg;            /* the reader's own */
	const struct pol_node *builtins; /* a bundle's; NULL: those of this release */
	const struct pol_node *excepts;  /* a bundle's, by token; NULL: they stand in the tokens */
	struct pol_arena keep;           /* becomes the policy */
	struct pol_arena scratch;        /* until parsing ends */
	struct pol_arena tree;           /* the nodes of the file at hand */
	struct pol_arena main_tree;      /* those of policy.yaml, to the end */
	struct pol_node nothing;         /* an empty mapping */
	struct pol_yaml yaml;
	struct policy_report *report;
	size_t first_fault; /* faults before were there already */
	size_t errors;      /* found by this run */
	uint32_t orders[POLICY_FAULTS_MAX];
	unsigned guesses; /* budget for "did you mean" */
	struct pol_source *sources;
	size_t n_sources;
	const struct pol_source *source; /* the file at hand */
	const struct pol_node *top;      /* policy.yaml */
	bool torn_main;
	bool torn; /* a file could not be read as YAML: what it holds is unknown, not absent */
	struct pol_full *full;
	struct policy *policy; /* &full->pub */

	struct policy_site *sites;
	size_t n_sites, cap_sites;
	struct pol_names site_names;
	struct policy_service *services;
	size_t n_services, cap_services;
	struct pol_names service_names;
	const char **roles; /* in order of appearance; sorted at the end */
	bool *role_declared;
	bool *role_held;
	size_t n_roles;
	struct pol_names role_names;
	struct policy_peer *peers;
	size_t n_peers, cap_peers;
	struct pol_names peer_names;
	struct policy_token *tokens;
	size_t n_tokens, cap_tokens;
	size_t n_excepts;         /* of all tokens */
	struct pol_names strings; /* interned texts -> index into hours */
	const struct policy_hours **hours;
	size_t n_hours, cap_hours;
};

/* ---- fault.c */
__attribute__((format(printf, 4, 5))) void pol_fault(struct pol_ctx *ctx,
        enum policy_severity severity, struct policy_where where, const char *format, ...);
#define pol_error(ctx, where, ...) pol_fault(ctx, POLICY_ERROR, where, __VA_ARGS__)
#define pol_warning(ctx, where, ...) pol_fault(ctx, POLICY_WARNING, where, __VA_ARGS__)
void pol_faults_sort(struct pol_ctx *ctx);
/* Where a node stands. */
struct policy_where pol_at(const struct pol_ctx *ctx, const struct pol_node *node);
/* One sentence that belongs to no line. */
int pol_report_errno(struct policy_report *report, const char *file, int err, const char *what);
/* An error outside of parsing. */
__attribute__((format(printf, 3, 4))) void pol_report_fault(
        struct policy_report *report, struct policy_where where, const char *format, ...);
/* " (did you mean 'x'?)" or "". */
struct pol_hint {
	char text[POLICY_NAME_MAX + 24];
};
struct pol_hint pol_hint(const struct pol_guess *guess);
/* May another search be made? Bounds the work of a policy with thousands of faults. */
bool pol_may_guess(struct pol_ctx *ctx, size_t candidates);
struct pol_hint pol_hint_names(
        struct pol_ctx *ctx, const struct pol_names *names, const char *text);
struct pol_hint pol_hint_list(const char *const *list, const char *text);

/* ---- keys.c: which keys a mapping may have */
struct pol_keys {
	const char *what;          /* "a peer" */
	const char *const *known;  /* NULL at the end */
	const char *const *later;  /* known to the design, not to this release */
	const char *const *others; /* of something else, */
	const char *whose;         /* as this says */
};
extern const struct pol_keys pol_keys_top, pol_keys_site, pol_keys_service, pol_keys_allow,
        pol_keys_manage, pol_keys_failover, pol_keys_peer, pol_keys_test, pol_keys_token;
/* Reports unknown keys; false when the node is no mapping (reported too). */
bool pol_keys_check(struct pol_ctx *ctx, const struct pol_node *map, const struct pol_keys *keys);
/* The value of a key, NULL when absent or empty. */
const struct pol_node *pol_get(const struct pol_node *map, const char *key);
/* The same, and an error when it is missing. */
const struct pol_node *pol_need(struct pol_ctx *ctx, const struct pol_node *map, const char *key,
        const char *what, const char *example);
/* The text of a scalar, or NULL after an error that says what was wanted. */
const char *pol_text(struct pol_ctx *ctx, const struct pol_node *node, const char *wanted);
/* A text that is a name, or NULL after an error. */
const char *pol_name(struct pol_ctx *ctx, const struct pol_node *node, const char *wanted);
bool pol_is_seq(
        struct pol_ctx *ctx, const struct pol_node *node, const char *what, const char *example);
bool pol_is_map(struct pol_ctx *ctx, const struct pol_node *node, const char *what);
/* The index of the word in a NULL-terminated list, or -1 after an error. */
int pol_word(struct pol_ctx *ctx, const struct pol_node *node, const char *what,
        const char *const *words);
/* A copy in the policy. */
const char *pol_keep(struct pol_ctx *ctx, const char *text);

/* ---- parse.c */
/* Is it one of tokens.d? */
bool pol_is_token_file(const char *name);
/* As policy_parse(), with another reader of the first file. */
int pol_parse(const struct policy_file *files, size_t n_files, pol_read_fn read_main,
        const void *read_arg, struct policy **out, struct policy_report *report);

/* ---- settings.c, sections.c, peers.c, tokens.c, hours.c, services.c, check.c */
void pol_settings_parse(struct pol_ctx *ctx, const struct pol_node *top);
void pol_sites_parse(struct pol_ctx *ctx, const struct pol_node *node);
void pol_sites_default(struct pol_ctx *ctx);
void pol_services_parse(struct pol_ctx *ctx, const struct pol_node *node);
void pol_roles_parse(struct pol_ctx *ctx, const struct pol_node *node);
void pol_allows_parse(struct pol_ctx *ctx, const struct pol_node *node);
void pol_manage_parse(struct pol_ctx *ctx, const struct pol_node *node);
void pol_failovers_parse(struct pol_ctx *ctx, const struct pol_node *node);
void pol_tests_parse(struct pol_ctx *ctx, const struct pol_node *node);
void pol_peers_parse(struct pol_ctx *ctx, const struct pol_node *map, bool own_file);
void pol_tokens_parse(struct pol_ctx *ctx, const struct pol_node *map, bool own_file);
/* The roles of `who` ("a peer"), which count as held. How many. */
size_t pol_held_roles_parse(
        struct pol_ctx *ctx, const struct pol_node *list, const char *who, const uint16_t **out);
/* The `site` of `what` ("this peer"), or UINT16_MAX after an error. */
uint16_t pol_site_parse(struct pol_ctx *ctx, const struct pol_node *body, const char *what);
uint16_t pol_role_intern(struct pol_ctx *ctx, const struct pol_node *node, const char *name);
uint32_t pol_service_find(struct pol_ctx *ctx, const struct pol_node *node);
void pol_service_put(struct pol_ctx *ctx, const struct policy_service *service);
void pol_builtins_add(struct pol_ctx *ctx);
const struct policy_hours *pol_hours_parse(
        struct pol_ctx *ctx, const struct pol_node *node, uint16_t site);
/* "2026-12-31", "2026-12-31T18:00[:00][Z]" -> first second that is after it. */
bool pol_until_parse(const char *text, const struct pol_tz *tz, int64_t *out);
void pol_until_print(int64_t until, char *buf, size_t size);
bool pol_hours_active(const struct policy_hours *hours, int64_t now, int64_t *next);
void pol_check(struct pol_ctx *ctx);
void pol_check_paths(struct pol_ctx *ctx);
void pol_check_tests(struct pol_ctx *ctx);
void pol_check_tokens(struct pol_ctx *ctx);
void pol_index(struct pol_ctx *ctx);
const struct pol_tz *pol_site_zone(const struct pol_ctx *ctx, uint16_t site);

/* ---- small words */
/* NULL when good; else the end of a sentence that begins with "this key". */
const char *pol_key_fault(const char *text, struct policy_key *key, const char **comment);
/* "SHA256:..." as ssh-keygen prints it, and the 32 bytes. -EINVAL. */
int pol_fingerprint_parse(const char *text, uint8_t digest[32]);
bool pol_token_excepts(const struct policy_token *token, const uint8_t digest[32]);
void pol_fingerprint_print(const uint8_t digest[32], char buf[POLICY_FINGERPRINT_LEN]);
/* SHA-256 over up to three short pieces, 256 bytes in all. */
void pol_sha256(unsigned char out[32], const void *a, size_t n_a, const void *b, size_t n_b,
        const void *c, size_t n_c);
void pol_ula_in_prefix(const char *cluster, const struct policy_prefix *prefix,
        const struct policy_key *key, struct policy_addr *out);
int pol_prefix_parse(const char *text, struct policy_prefix *out);
void pol_prefix_print(const struct policy_prefix *prefix, char *buf, size_t size);
void pol_prefix_mask(struct policy_prefix *prefix);
bool pol_addr_is_network(const struct policy_addr *addr, uint8_t len);
bool pol_addr_is_broadcast(const struct policy_addr *addr, uint8_t len);
/* A decimal number without leading zeros. -EINVAL: no number; -ERANGE: above max. */
int pol_number_parse(const char *text, size_t len, uint64_t max, uint64_t *out);
bool pol_name_valid(const char *text);
/* qsort() that takes NULL for no items. */
void pol_sort(void *items, size_t n, size_t size, int (*compare)(const void *, const void *));
const char *pol_proto_name(enum policy_proto proto);
void pol_ports_print(const struct policy_ports *ports, char *buf, size_t size);
void pol_endpoint_print(const struct policy_endpoint *endpoint, char *buf, size_t size);
const char *pol_role_name(const struct policy *policy, uint16_t role);
/* policy_explain with the times left out when now is POLICY_ANY_TIME. */
extern const char *const pol_enforce_words[], *const pol_firewall_words[], *const pol_mesh_words[];

#endif

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a struct fw_ruleset holds; only this room looks inside. */
#ifndef FIREWALL_RULESET_H
#define FIREWALL_RULESET_H

#include "firewall/firewall.h"

/* A library must not exit(): a hash that cannot grow leaves hh.tbl NULL and we say -ENOMEM. */
#define HASH_NONFATAL_OOM 1
#define uthash_nonfatal_oom(obj) ((void)(obj))
#include <uthash.h>

struct allow {
	struct fw_ports *ports; /* one protocol; sorted and merged */
	size_t n;
	char comment[FW_COMMENT_MAX + 1];
};

#define FW_CHAIN_MAX (FW_NAME_MAX + 6)

struct fw_class {
	char name[FW_NAME_MAX + 1];
	char chain[FW_CHAIN_MAX]; /* "in_exec" */
	char set4[FW_CHAIN_MAX];  /* "in4_exec": its peers */
	char set6[FW_CHAIN_MAX];
	enum fw_dir dir;
	struct allow *allows;
	size_t n;
};

struct manage {
	struct fw_addr from;
	struct fw_ports *ports;
	size_t n;
	char comment[FW_COMMENT_MAX + 1];
};

/* Found by name, and by either address so that no two peers can share one. */
struct peer {
	struct fw_peer pub; /* .in/.out point at the class' own name */
	char name[2 * FW_NAME_MAX + 1];
	UT_hash_handle hh;
	UT_hash_handle hh4;
	UT_hash_handle hh6;
};

struct address {
	struct fw_addr a; /* the key: bytes only, no padding */
	uint64_t until_ms;
	UT_hash_handle hh;
};

struct fw_ruleset {
	enum fw_mode mode;
	char device[16];
	uint16_t device_type;
	uint16_t port;
	uint16_t *tunnels; /* other ports at which peers' charons are reached */
	size_t n_tunnels;
	bool secpath, patient;
	uint16_t own_port; /* only own_uid opens flows to it; 0: none */
	uint32_t own_uid;
	struct fw_join join;
	struct fw_addr *prefixes;
	size_t n_prefixes;
	struct fw_ports *protect;
	size_t n_protect;
	struct manage *manage;
	size_t n_manage;
	struct fw_class **classes;
	size_t n_classes;
	struct peer *peers;
	struct peer *peers4;
	struct peer *peers6;
	struct address *self;
	struct address *endpoints;
};

uint64_t fw_now_ms(void);
/* Writes the sentence and returns `rc`, so that `return fw_fail(err, -EINVAL, …)` reads well. */
int fw_fail(struct fw_error *err, int rc, const char *fmt, ...)
        __attribute__((format(printf, 3, 4)));

struct fw_class *fw_class_find(const struct fw_ruleset *rs, enum fw_dir dir, const char *name);
struct peer *fw_peer_find(const struct fw_ruleset *rs, const char *name);
/* Whose overlay address is this? IPv4 by 4 bytes, else by 16. */
struct peer *fw_peer_at(const struct fw_ruleset *rs, uint8_t family, const uint8_t *bytes);
/* Would fw_ruleset_set_peer() take it? */
int fw_peer_check(const struct fw_ruleset *rs, const struct fw_peer *p);

int fw_address_set(struct address **table, const struct fw_addr *a, uint64_t until_ms);
struct address *fw_address_find(struct address *table, const struct fw_addr *a);
void fw_address_del(struct address **table, struct address *a);

/* Sorts and merges in place (same proto throughout); returns the new count. */
size_t fw_ports_merge(struct fw_ports *ports, size_t n);
bool fw_is_host(const struct fw_addr *a);

#endif

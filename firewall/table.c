/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The table's fixed sets, and the tools with which its chains are written. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "firewall/table.h"

/* nft's numbers for its own data types (datatype.h); a concatenation shifts by six bits each. */
#define T_IP4 7u
#define T_IP6 8u
#define T_PROTO 12u
#define T_PORT 13u
#define PAIR(a) ((a) << 6 | (a))
#define DENIED(a) ((a) << 12 | T_PROTO << 6 | T_PORT)

#define DYN (NFT_SET_EVAL | NFT_SET_TIMEOUT)

const struct set_def fw_sets[SET_COUNT] = {
        [SET_SELF4] = {"self4", "ipv4_addr", T_IP4, 4, NFT_SET_TIMEOUT, false},
        [SET_SELF6] = {"self6", "ipv6_addr", T_IP6, 16, NFT_SET_TIMEOUT, false},
        [SET_ENDPOINT4] = {"endpoint4", "ipv4_addr", T_IP4, 4, 0, false},
        [SET_ENDPOINT6] = {"endpoint6", "ipv6_addr", T_IP6, 16, 0, false},
        [SET_IN4] = {"in4", "ipv4_addr . ipv4_addr", PAIR(T_IP4), 8, NFT_SET_TIMEOUT, true},
        [SET_IN6] = {"in6", "ipv6_addr . ipv6_addr", PAIR(T_IP6), 32, NFT_SET_TIMEOUT, true},
        [SET_OUT4] = {"out4", "ipv4_addr . ipv4_addr", PAIR(T_IP4), 8, NFT_SET_TIMEOUT, true},
        [SET_OUT6] = {"out6", "ipv6_addr . ipv6_addr", PAIR(T_IP6), 32, NFT_SET_TIMEOUT, true},
        [SET_OVERLAY4] = {"overlay4", "ipv4_addr", T_IP4, 4, NFT_SET_INTERVAL, false},
        [SET_OVERLAY6] = {"overlay6", "ipv6_addr", T_IP6, 16, NFT_SET_INTERVAL, false},
        [SET_TCP] = {"protected_tcp", "inet_service", T_PORT, 2, NFT_SET_INTERVAL, false},
        [SET_UDP] = {"protected_udp", "inet_service", T_PORT, 2, NFT_SET_INTERVAL, false},
        [SET_DENIED_IN4] = {"denied_in4", "ipv4_addr . inet_proto . inet_service", DENIED(T_IP4),
                12, DYN, false},
        [SET_DENIED_IN6] = {"denied_in6", "ipv6_addr . inet_proto . inet_service", DENIED(T_IP6),
                24, DYN, false},
        [SET_DENIED_OUT4] = {"denied_out4", "ipv4_addr . inet_proto . inet_service", DENIED(T_IP4),
                12, DYN, false},
        [SET_DENIED_OUT6] = {"denied_out6", "ipv6_addr . inet_proto . inet_service", DENIED(T_IP6),
                24, DYN, false},
        [SET_INIT4] = {"init4", "ipv4_addr", T_IP4, 4, DYN, false},
        [SET_INIT6] = {"init6", "ipv6_addr", T_IP6, 16, DYN, false},
};

int fw_set_by_name(const char *name, const char **class)
{
	for (int i = 0; i < SET_COUNT; i++) {
		size_t len = strlen(fw_sets[i].name);

		if (strncmp(fw_sets[i].name, name, len))
			continue;
		if (!set_is_of_class(i) && !name[len]) {
			*class = NULL;
			return i;
		}
		if (set_is_of_class(i) && name[len] == '_' && name[len + 1]) {
			*class = name + len + 1;
			return i;
		}
	}
	return -ENOENT;
}

void fw_set_name(enum set_id id, const char *class, char buf[static FW_CHAIN_MAX])
{
	snprintf(buf, FW_CHAIN_MAX, "%s%s%s", fw_sets[id].name, class ? "_" : "",
	        class ? class : "");
}

struct chain *chain_new(struct table *t, const char *name)
{
	struct chain *bigger = reallocarray(t->chains, t->n + 1, sizeof(*bigger));

	if (!bigger || strlen(name) >= FW_CHAIN_MAX) {
		t->chains = bigger ? bigger : t->chains;
		t->failed = true;
		return NULL;
	}
	t->chains = bigger;
	memset(&t->chains[t->n], 0, sizeof(*bigger));
	strcpy(t->chains[t->n].name, name);
	return &t->chains[t->n++];
}

struct rule *rule_new(struct table *t, struct chain *c)
{
	struct rule *bigger = c ? reallocarray(c->rules, c->n + 1, sizeof(*bigger)) : NULL;

	if (!bigger) {
		t->failed = true;
		return NULL;
	}
	c->rules = bigger;
	memset(&c->rules[c->n], 0, sizeof(*bigger));
	return &c->rules[c->n++];
}

/* A rule that loses a match becomes broader than was meant: so a lost statement voids the table. */
void rule_add(struct table *t, struct rule *r, struct stmt s)
{
	if (!r || r->n == RULE_STMTS) {
		t->failed = true;
		return;
	}
	r->stmts[r->n++] = s;
}

void rule_end(struct table *t, struct rule *r, int verdict, const char *chain)
{
	rule_add(t, r, (struct stmt){.kind = S_VERDICT, .value = verdict, .name = chain});
}

void rule_drop(struct table *t, struct rule *r, const char *reason)
{
	rule_add(t, r, (struct stmt){.kind = S_COUNTER});
	rule_end(t, r, NF_DROP, NULL);
	if (r)
		snprintf(r->comment, sizeof(r->comment), "drop %s", reason);
}

uint32_t stmt_hint(const struct stmt *s, uint32_t *off)
{
	uint32_t whole = s->addr->bits / 8;

	*off = s->family == AF_INET ? (s->dst ? 16 : 12) : (s->dst ? 24 : 8);
	return whole >= 4 ? 4 : whole == 3 ? 2 : whole;
}

void fw_table_clear(struct table *t)
{
	for (size_t i = 0; i < t->n; i++)
		free(t->chains[i].rules);
	free(t->chains);
	memset(t, 0, sizeof(*t));
}

int fw_table_build(const struct fw_ruleset *rs, struct table *out)
{
	struct table t = {.rs = rs};

	fw_build_overlay(&t);
	fw_build_underlay(&t);
	fw_build_classes(&t);
	if (t.failed) {
		fw_table_clear(&t);
		return -ENOMEM;
	}
	*out = t;
	return 0;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The messages of a transaction. Failures are sticky in the batch. */
#ifndef FIREWALL_MESSAGE_H
#define FIREWALL_MESSAGE_H

#include "firewall/netlink.h"
#include "firewall/table.h"

void put_table(struct batch *b, uint16_t type); /* NFT_MSG_NEWTABLE, NFT_MSG_DELTABLE */
void put_set(struct batch *b, enum set_id id, const char *class);
/* The sets that belong to a class' chain; nothing for other chains. */
void put_class_sets(struct batch *b, const char *chain);
void del_class(struct batch *b, const char *chain); /* the chain, and its sets */
void put_chain(struct batch *b, const struct chain *c);
void del_chain(struct batch *b, const char *name);
void flush_chain(struct batch *b, const char *name); /* its rules */
void put_rules(struct batch *b, const struct chain *c);
/* The contents of a SET_OVERLAY4 … SET_UDP. `flush` first, if it may hold anything. */
void put_static(struct batch *b, const struct fw_ruleset *rs, enum set_id id, bool flush);

/* Elements of one set, gathered into as few messages as netlink's 64 KiB per attribute allow. */
struct elem_list {
	struct elem *e;
	size_t n;
	size_t cap;
};
int elem_list_add(struct elem_list *l, const struct elem *e); /* -ENOMEM */
void elem_list_clear(struct elem_list *l);
/* `type`: NFT_MSG_NEWSETELEM or NFT_MSG_DELSETELEM. Sorts `l` by set. Ends at or before now become
 * 1 ms. */
void put_elems(struct batch *b, uint16_t type, struct elem_list *l, uint64_t now_ms);

#endif

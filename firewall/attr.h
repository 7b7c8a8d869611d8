/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Reading the kernel's attributes by libmnl alone. libnftnl's parsers end the program at an
 * attribute of a length they do not like, and lose memory at one that comes twice: a library that
 * never exits must not ask them. Here, what is absent and what is malformed are both "no", and no
 * pointer leaves the message.
 */
#ifndef FIREWALL_ATTR_H
#define FIREWALL_ATTR_H

#include "firewall/message.h"

#define ATTR_MAX 32 /* types above are passed over; nf_tables' own end below */

struct nlattr;

struct attrs {
	const struct nlattr *at[ATTR_MAX];
	uint32_t odd; /* given twice, or of a type too high: how many */
};

/* Those of an nf_tables message (behind its struct nfgenmsg), and of a nest (NULL: none). Borrowed
 * from the message. */
struct attrs attrs_of(const struct nlmsghdr *nlh);
struct attrs attrs_in(const struct nlattr *nest);

/* NULL: absent, or without its NUL. */
const char *attr_str(const struct attrs *a, unsigned type);
/* In host order; `otherwise` if absent or of another length. */
uint32_t attr_u32(const struct attrs *a, unsigned type, uint32_t otherwise);
uint64_t attr_u64(const struct attrs *a, unsigned type, uint64_t otherwise);
/* The bytes, or NULL. */
const uint8_t *attr_bytes(const struct attrs *a, unsigned type, size_t *len);

/* Is it about our table? All of nf_tables' messages that we read name their table first. */
bool message_is_ours(const struct nlmsghdr *nlh, const struct attrs *a);

/* The comment in a table's or rule's user data (type, length, value each), or NULL. */
const char *attr_comment(const struct attrs *a, unsigned type);

/* A set's element as the kernel tells it. */
struct elem_seen {
	const uint8_t *key;
	size_t len;
	uint32_t flags;
	bool odd; /* it bears what our elements never do */
	bool ends;
	uint64_t left_ms; /* if it ends */
	uint64_t packets;
	uint64_t bytes;
};
/* Calls `fn` for each element with a key; non-zero ends and is returned. -EBADMSG: malformed. */
int elems_seen(const struct attrs *a, int (*fn)(void *ctx, const struct elem_seen *e), void *ctx);

/* The counts of the first counter in a list of expressions; untouched if there is none. */
void attr_counter(const struct nlattr *list, uint64_t *packets, uint64_t *bytes);

#endif

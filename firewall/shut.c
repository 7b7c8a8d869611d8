/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A table whose ruleset nobody knows any more: its peers and own addresses go, all else stays. */
#include <stdio.h>
#include "firewall/commit.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <stdlib.h>
#include <string.h>

#include "firewall/attr.h"

#define TRIES 10

/* Names of the sets that let somebody in. */
struct names {
	char (*v)[FW_CHAIN_MAX];
	size_t n;
	size_t cap;
};

static bool lets_in(const char *name)
{
	const char *class;
	int id = fw_set_by_name(name, &class);

	return id == SET_SELF4 || id == SET_SELF6 || (id >= 0 && set_is_of_class(id));
}

static int set_cb(void *ctx, const struct nlmsghdr *nlh)
{
	struct attrs a = attrs_of(nlh);
	struct names *names = ctx;
	const char *name;

	if (!message_is_ours(nlh, &a))
		return 0;
	name = attr_str(&a, NFTA_SET_NAME);
	if (!name || strlen(name) >= FW_CHAIN_MAX || !lets_in(name))
		return 0;
	if (names->n == names->cap) {
		size_t cap = names->cap ? names->cap * 2 : 16;
		void *bigger = reallocarray(names->v, cap, sizeof(*names->v));

		if (!bigger)
			return -ENOMEM;
		names->v = bigger;
		names->cap = cap;
	}
	snprintf(names->v[names->n++], FW_CHAIN_MAX, "%s", name);
	return 0;
}

static void fill_table(void *ctx, struct nlmsghdr *nlh)
{
	(void)ctx;
	mnl_attr_put_strz(nlh, NFTA_SET_TABLE, FW_TABLE);
}

static int names_read(struct fw *fw, struct names *names, struct fw_error *err)
{
	struct dump d = {.type = NFT_MSG_GETSET, .fill = fill_table, .cb = set_cb, .ctx = names};
	int rc;

	for (int i = 0; i < TRIES; i++) {
		names->n = 0;
		rc = nlsock_dump(&fw->s, &d, err);
		if (rc != -EINTR && rc != -ENOBUFS)
			break;
	}
	return rc == -ENOENT ? 0 : rc; /* there is no table */
}

static void put_flush(struct batch *b, const char *name)
{
	struct nlmsghdr *nlh = batch_put(b, NFT_MSG_DELSETELEM, 0);

	if (!nlh)
		return;
	mnl_attr_put_strz(nlh, NFTA_SET_ELEM_LIST_TABLE, FW_TABLE);
	mnl_attr_put_strz(nlh, NFTA_SET_ELEM_LIST_SET, name);
	batch_seal(b, nlh);
}

static int shut_once(struct fw *fw, struct fw_error *err)
{
	struct names names = {0};
	struct batch b;
	int rc = names_read(fw, &names, err);

	if (!rc) {
		batch_begin(&b, fw->s.seq + 1, 0);
		for (size_t i = 0; i < names.n; i++)
			put_flush(&b, names.v[i]);
		rc = nlsock_commit(&fw->s, &b, err);
		batch_clear(&b);
	}
	free(names.v);
	return rc;
}

int fw_shut(struct fw *fw, struct fw_error *err)
{
	int rc = -ENOENT;

	fw_forget(fw);
	/* A set that went between the look and the transaction: look again. */
	for (int i = 0; i < TRIES && rc == -ENOENT; i++)
		rc = shut_once(fw, err);
	return rc;
}

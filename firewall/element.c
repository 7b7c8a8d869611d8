/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One peer or address more or less: a few elements in one transaction, and no work that
 * grows with the number of peers.
 */
#include <stdio.h>
#include "firewall/commit.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int stale(struct fw_error *err)
{
	return fw_fail(err, -ESTALE,
	        "the kernel's table is not known or was changed by another program: commit the "
	        "whole ruleset");
}

/* Sends the difference of a few elements. */
static int apply(struct fw *fw, struct elem_list *have, struct elem_list *want,
        struct fw_result *res, struct fw_error *err)
{
	struct change change = {0};
	struct batch b;
	int rc;

	batch_begin(&b, fw->s.seq + 1, 0);
	rc = diff_elems(&b, have, want, 0, fw_now_ms(), &change);
	if (rc < 0)
		fw_fail(err, rc, "out of memory for the firewall's transaction");
	else
		rc = nlsock_commit(&fw->s, &b, err);
	if (!rc && res)
		*res = (struct fw_result){.outcome = b.messages ? FW_UPDATED : FW_UNCHANGED,
		        .messages = b.messages,
		        .elements_added = change.added,
		        .elements_removed = change.removed};
	batch_clear(&b);
	switch (rc) {
	case -ENOENT: /* what we believed to be there is not */
	case -EEXIST:
	case -EBUSY:
	case -ENOBUFS: /* we do not know any more */
	case -ETIMEDOUT:
		fw_forget(fw);
		return stale(err);
	default:
		return rc;
	}
}

static void drop_expired(struct elem_list *l)
{
	uint64_t now_ms = fw_now_ms();
	size_t n = 0;

	for (size_t i = 0; i < l->n; i++)
		if (!l->e[i].until_ms || l->e[i].until_ms > now_ms)
			l->e[n++] = l->e[i];
	l->n = n;
}

int fw_peer_admit(
        struct fw *fw, const struct fw_peer *peer, struct fw_result *res, struct fw_error *err)
{
	struct elem had[4], wanted[4];
	struct elem_list have = {.e = had}, want = {.e = wanted};
	const struct fw_peer *old;
	int rc;

	if (!fw->applied)
		return stale(err);
	rc = fw_peer_check(fw->applied, peer);
	if (rc < 0)
		return fw_fail(err, rc, "cannot admit peer %s: %s",
		        peer->name ? peer->name : "(no name)",
		        rc == -ENOENT   ? "its class is not in the committed ruleset"
		        : rc == -EEXIST ? "another peer has its address"
		                        : "its name or address is not valid");
	old = fw_ruleset_peer(fw->applied, peer->name);
	have.n = old ? fw_peer_elems(old, had) : 0;
	want.n = fw_peer_elems(peer, wanted);
	drop_expired(&want);
	rc = apply(fw, &have, &want, res, err);
	if (!rc && fw_ruleset_set_peer(fw->applied, peer) < 0)
		fw_forget(fw); /* out of memory: the kernel has it, we could not note it */
	return rc;
}

int fw_peer_revoke(struct fw *fw, const char *name, struct fw_result *res, struct fw_error *err)
{
	struct elem had[4];
	struct elem_list have = {.e = had}, none = {0};
	const struct fw_peer *old;
	int rc;

	if (!fw->applied)
		return stale(err);
	old = fw_ruleset_peer(fw->applied, name);
	if (!old)
		return fw_fail(err, -ENOENT, "cannot revoke peer %s: it is not admitted", name);
	have.n = fw_peer_elems(old, had);
	rc = apply(fw, &have, &none, res, err);
	if (!rc)
		fw_ruleset_del_peer(fw->applied, name);
	return rc;
}

/* `until_ms` of an absent address is ignored: `add` says which way. */
static int change_address(struct fw *fw, const struct fw_addr *addr, bool endpoint, bool add,
        uint64_t until_ms, struct fw_result *res, struct fw_error *err)
{
	struct elem had, wanted;
	struct elem_list have = {.e = &had}, want = {.e = &wanted};
	struct address **table, *old;
	char text[FW_ADDR_TEXT];
	int rc;

	if (!fw->applied)
		return stale(err);
	if (!fw_is_host(addr))
		return fw_fail(
		        err, -EINVAL, "%s is not a single address", fw_addr_text(addr, text));
	table = endpoint ? &fw->applied->endpoints : &fw->applied->self;
	old = fw_address_find(*table, addr);
	if (!old && !add)
		return fw_fail(err, -ENOENT, "cannot remove %s: it is not there",
		        fw_addr_text(addr, text));
	if (old) {
		had = fw_address_elem(addr, old->until_ms, endpoint);
		have.n = 1;
	}
	if (add) {
		wanted = fw_address_elem(addr, until_ms, endpoint);
		want.n = 1;
		drop_expired(&want);
	}
	rc = apply(fw, &have, &want, res, err);
	if (rc)
		return rc;
	if (!add)
		fw_address_del(table, old);
	else if (fw_address_set(table, addr, until_ms) < 0)
		fw_forget(fw);
	return 0;
}

int fw_self_add(struct fw *fw, const struct fw_addr *addr, uint64_t until_ms, struct fw_result *res,
        struct fw_error *err)
{
	return change_address(fw, addr, false, true, until_ms, res, err);
}

int fw_self_remove(
        struct fw *fw, const struct fw_addr *addr, struct fw_result *res, struct fw_error *err)
{
	return change_address(fw, addr, false, false, 0, res, err);
}

int fw_endpoint_add(
        struct fw *fw, const struct fw_addr *addr, struct fw_result *res, struct fw_error *err)
{
	return change_address(fw, addr, true, true, 0, res, err);
}

int fw_endpoint_remove(
        struct fw *fw, const struct fw_addr *addr, struct fw_result *res, struct fw_error *err)
{
	return change_address(fw, addr, true, false, 0, res, err);
}

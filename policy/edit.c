/* SPDX-License-Identifier: GPL-2.0-or-later */
/* approve, revoke and rekey: edit in memory, check the whole, then put the files into place. */
#include "policy/edit_internal.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- approve */

static bool is_taken(const struct policy *policy, const struct policy_addr *addr)
{
	bool taken = policy_peer_by_addr(policy, addr) != NULL;

	for (size_t i = 0; !taken && i < policy->n_failovers; i++)
		taken = memcmp(&policy->failovers[i].address, addr, sizeof(*addr)) == 0;
	return taken;
}

/* Perhaps a guest's: it would lose it. Ranges as large as the overlay keep nothing apart. */
static bool in_range(const struct policy *policy, const struct policy_addr *addr)
{
	for (size_t i = 0; i < policy->n_tokens; i++)
		if (policy->tokens[i].range.len > policy->overlay4.len &&
		        policy_prefix_contains(&policy->tokens[i].range, addr))
			return true;
	return false;
}

static int address_free(const struct policy *policy, bool outside, char *buf, size_t size)
{
	struct policy_addr addr = policy->overlay4.addr;
	uint32_t network, n = policy->overlay4.len ? UINT32_MAX >> policy->overlay4.len : 0;

	memcpy(&network, addr.bytes, sizeof(network));
	network = ntohl(network);
	for (uint32_t host = 1; host < n; host++) {
		uint32_t bytes = htonl(network + host);

		memcpy(addr.bytes, &bytes, sizeof(bytes));
		if (is_taken(policy, &addr) || (outside && in_range(policy, &addr)))
			continue;
		policy_addr_print(&addr, buf, size);
		return 0;
	}
	return -ENOSPC;
}

static int peer_text(const struct policy_approval *a, const char *address, char **text, size_t *len)
{
	FILE *out = open_memstream(text, len);

	if (!out)
		return -ENOMEM;
	fprintf(out, "%s:\n", a->name);
	pol_pair_write(out, "key", a->key);
	pol_pair_write(out, "address", address);
	pol_pair_write(out, "site", a->site);
	pol_list_write(out, "roles", a->roles, a->n_roles);
	pol_list_write(out, "endpoints", a->endpoints, a->n_endpoints);
	pol_pair_write(out, "until", a->until);
	pol_pair_write(out, "hours", a->hours);
	if (fclose(out)) {
		free(*text);
		return -ENOMEM;
	}
	return 0;
}

static int approve_prepare(struct pol_edit *edit, struct policy_approval a, const char *shown)
{
	struct policy_where where = {shown, 0, 0};
	char address[INET6_ADDRSTRLEN], *text;
	size_t len;
	int ret;

	if (policy_peer_by_name(edit->old, a.name) || pol_edit_file(edit, shown)) {
		const struct policy_peer *peer = policy_peer_by_name(edit->old, a.name);

		pol_report_fault(edit->report, peer ? peer->where : where,
		        "%s is there already: revoke it first, or take another name",
		        peer ? peer->name : shown);
		return -EEXIST;
	}
	if (!a.address && edit->old->overlay4.addr.family) {
		if (address_free(edit->old, true, address, sizeof(address)) &&
		        address_free(edit->old, false, address, sizeof(address))) {
			pol_report_fault(
			        edit->report, where, "the overlay has no free address left");
			return -EINVAL;
		}
		a.address = address;
	}
	if (!a.site && edit->old->n_sites == 1 && edit->old->sites[0].where.line)
		a.site = edit->old->sites[0].name;
	ret = peer_text(&a, a.address, &text, &len);
	if (ret)
		return pol_report_errno(edit->report, shown, ret, "this peer cannot be written");
	ret = pol_edit_add(edit, shown, text, len);
	if (ret == 0)
		ret = pol_edit_serial(edit);
	return ret ? ret : pol_edit_check(edit);
}

int policy_edit_approve(const char *dir, const struct policy_approval *approval,
        struct policy **out, struct policy_report *report)
{
	char shown[POLICY_NAME_MAX + sizeof("peers.d/.yaml")];
	struct policy_where where = {"peers.d", 0, 0};
	struct pol_edit edit;
	int ret;

	if (!approval->name || !pol_name_valid(approval->name)) {
		pol_report_fault(report, where,
		        "'%.70s' is no name for a peer: up to %u letters and digits, with . _ - "
		        "between",
		        approval->name ? approval->name : "", POLICY_NAME_MAX);
		return -EINVAL;
	}
	snprintf(shown, sizeof(shown), "peers.d/%s.yaml", approval->name);
	ret = pol_edit_open(&edit, dir, report);
	if (ret == 0)
		ret = approve_prepare(&edit, *approval, shown);
	if (ret)
		goto out;
	ret = pol_edit_write(&edit, shown, false);
	if (ret == 0)
		pol_edit_done(&edit, out);
out:
	pol_edit_close(&edit);
	return ret;
}

/* ---- revoke */

static size_t peers_in_file(const struct policy *policy, const char *file)
{
	size_t n = 0;

	for (size_t i = 0; i < policy->n_peers; i++)
		n += strcmp(policy->peers[i].where.file, file) == 0;
	return n;
}

static int revoke_by_hand(struct pol_edit *edit, const struct policy_peer *peer)
{
	pol_report_fault(edit->report, peer->where,
	        "%s stands here among others and cannot be cut out safely: delete it by hand, and "
	        "raise "
	        "`serial`",
	        peer->name);
	return -EINVAL;
}

static int revoke_prepare(struct pol_edit *edit, const struct policy_peer *peer, bool *whole_file)
{
	struct policy_file *file = pol_edit_file(edit, peer->where.file);
	size_t n = edit->old->n_peers;
	int ret;

	*whole_file = strcmp(peer->where.file, POL_MAIN_FILE) != 0 &&
	              peers_in_file(edit->old, peer->where.file) == 1;
	if (*whole_file)
		pol_edit_drop(edit, file);
	else if (pol_entry_cut(file, &peer->where))
		return revoke_by_hand(edit, peer);
	ret = pol_roles_keep(pol_edit_file(edit, POL_MAIN_FILE), edit->old, peer, NULL);
	if (ret)
		return pol_report_errno(
		        edit->report, POL_MAIN_FILE, ret, "this peer cannot be revoked");
	ret = pol_edit_serial(edit);
	if (ret == 0)
		ret = pol_edit_check(edit);
	if (ret)
		return ret;
	/* Exactly this one is gone, and nothing else of the entry's neighbours. */
	if (edit->new->n_peers != n - 1 || edit->new->n_tokens != edit->old->n_tokens ||
	        policy_peer_by_name(edit->new, peer->name))
		return revoke_by_hand(edit, peer);
	return 0;
}

int policy_edit_revoke(
        const char *dir, const char *name, struct policy **out, struct policy_report *report)
{
	struct policy_where where = {POL_MAIN_FILE, 0, 0};
	const struct policy_peer *peer;
	struct pol_edit edit;
	bool whole_file;
	int ret = pol_edit_open(&edit, dir, report);

	if (ret)
		goto out;
	peer = policy_peer_by_name(edit.old, name);
	if (!peer) {
		struct pol_guess guess;

		pol_guess_init(&guess, name);
		for (size_t i = 0; i < edit.old->n_peers; i++)
			pol_guess_offer(&guess, edit.old->peers[i].name);
		pol_report_fault(
		        report, where, "there is no peer '%.63s'%s", name, pol_hint(&guess).text);
		ret = -ENOENT;
		goto out;
	}
	ret = revoke_prepare(&edit, peer, &whole_file);
	if (ret == 0)
		ret = pol_edit_write(&edit, peer->where.file, whole_file);
	if (ret == 0)
		pol_edit_done(&edit, out);
out:
	pol_edit_close(&edit);
	return ret;
}

/* ---- another key */

static bool is_rekeyed(const struct policy *policy, const struct policy_rekey *rekey,
        const struct policy_peer *before)
{
	const struct policy_peer *peer = policy_peer_by_name(policy, rekey->name);

	return peer && memcmp(&peer->key, &rekey->key, sizeof(peer->key)) == 0 &&
	       peer->has_old_key &&
	       memcmp(&peer->old_key, &rekey->old_key, sizeof(peer->key)) == 0 &&
	       peer->old_until == rekey->old_until &&
	       memcmp(&peer->addr4, &before->addr4, sizeof(peer->addr4)) == 0 &&
	       memcmp(&peer->addr6, &before->addr6, sizeof(peer->addr6)) == 0;
}

static int rekey_by_hand(struct pol_edit *edit, const struct policy_peer *peer)
{
	char address[INET6_ADDRSTRLEN];

	policy_addr_print(&peer->addr6, address, sizeof(address));
	pol_report_fault(edit->report, peer->where,
	        "the key of %s cannot be changed safely in these lines: write by hand key (the new "
	        "one), old_key (the present one), old_until (soon) and `address6: \"%s\"`, and "
	        "raise `serial`",
	        peer->name, address);
	return -EINVAL;
}

static int rekey_prepare(
        struct pol_edit *edit, const struct policy_rekey *rekey, const struct policy_peer *peer)
{
	struct policy_file *file = pol_edit_file(edit, peer->where.file);
	int ret = pol_rekey_text(file, peer, &rekey->key, rekey->old_until);

	if (ret == -EINVAL)
		return rekey_by_hand(edit, peer);
	if (ret)
		return pol_report_errno(
		        edit->report, peer->where.file, ret, "this file cannot be changed");
	ret = pol_edit_serial(edit);
	if (ret == 0)
		ret = pol_edit_check(edit);
	if (ret == 0 && !is_rekeyed(edit->new, rekey, peer))
		ret = rekey_by_hand(edit, peer);
	return ret;
}

int policy_edit_rekey(const char *dir, const struct policy_rekey *rekey, struct policy **out,
        struct policy_report *report)
{
	struct policy_where where = {POL_MAIN_FILE, 0, 0};
	const struct policy_peer *peer;
	struct pol_edit edit;
	int ret = pol_edit_open(&edit, dir, report);

	if (ret)
		goto out;
	peer = policy_peer_by_name(edit.old, rekey->name);
	if (!peer || memcmp(&peer->key, &rekey->old_key, sizeof(peer->key)) != 0) {
		pol_report_fault(report, peer ? peer->where : where,
		        peer ? "%s has another key than the one that is to be replaced: was it "
		               "changed already?"
		             : "there is no peer '%.63s'",
		        rekey->name);
		ret = -ENOENT;
		goto out;
	}
	ret = rekey_prepare(&edit, rekey, peer);
	if (ret == 0)
		ret = pol_edit_write(&edit, peer->where.file, false);
	if (ret == 0)
		pol_edit_done(&edit, out);
out:
	pol_edit_close(&edit);
	return ret;
}

/* ---- raise */

int policy_edit_raise(const char *dir, struct policy **out, struct policy_report *report)
{
	struct pol_edit edit;
	int ret = pol_edit_open(&edit, dir, report);

	if (ret == 0)
		ret = pol_edit_serial(&edit);
	if (ret == 0)
		ret = pol_edit_check(&edit);
	if (ret == 0)
		ret = pol_edit_write(&edit, POL_MAIN_FILE, false);
	if (ret == 0)
		pol_edit_done(&edit, out);
	pol_edit_close(&edit);
	return ret;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* approve and revoke: edit in memory, check the whole, then put the files into place. */
#include "policy/policy_edit.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "policy/files.h"
#include "policy/internal.h"

#define MAIN_FILE "policy.yaml"

/* A directory under edit. */
struct edit {
	struct policy_report *report;
	int dir;
	struct pol_files files;
	struct policy *old;
	struct policy *new;
};

static int edit_open(struct edit *edit, const char *dir, struct policy_report *report)
{
	int ret;

	*edit = (struct edit){.report = report, .dir = -1};
	edit->dir = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (edit->dir < 0 || flock(edit->dir, LOCK_EX))
		return pol_report_errno(report, dir, -errno, "the policy directory cannot be used");
	ret = pol_files_read(&edit->files, dir, report);
	if (ret)
		return ret;
	return policy_parse(edit->files.all, edit->files.n, &edit->old, report);
}

static void edit_close(struct edit *edit)
{
	pol_files_clear(&edit->files);
	policy_unref(edit->old);
	policy_unref(edit->new);
	if (edit->dir >= 0)
		close(edit->dir);
}

static struct policy_file *file_find(struct edit *edit, const char *name)
{
	for (size_t i = 0; i < edit->files.n; i++)
		if (strcmp(edit->files.all[i].name, name) == 0)
			return &edit->files.all[i];
	return NULL;
}

int pol_file_splice(struct policy_file *file, size_t at, size_t n, const char *text)
{
	size_t add = strlen(text);
	char *data = malloc(file->len - n + add + 1);

	if (!data)
		return -ENOMEM;
	memcpy(data, file->data, at);
	memcpy(data + at, text, add);
	memcpy(data + at + add, file->data + at + n, file->len - at - n);
	free((char *)(uintptr_t)file->data);
	file->data = data;
	file->len = file->len - n + add;
	return 0;
}

/* Finds the digits of `serial: 7`; the check afterwards proves that it was the right place. */
static int serial_raise(struct edit *edit)
{
	struct policy_file *file = file_find(edit, MAIN_FILE);
	const struct policy_where where = {MAIN_FILE, 0, 0};
	char number[24];

	snprintf(number, sizeof(number), "%llu", (unsigned long long)edit->old->serial + 1);
	for (size_t at = 0; at < file->len;) {
		const char *line = file->data + at, *nl = memchr(line, '\n', file->len - at);
		size_t len = nl ? (size_t)(nl - line) : file->len - at, i = 7, n = 0;

		if (len > 7 && memcmp(line, "serial:", 7) == 0) {
			while (i < len && (line[i] == ' ' || line[i] == '\t' || line[i] == '"' ||
			                          line[i] == '\''))
				i++;
			while (i + n < len && line[i + n] >= '0' && line[i + n] <= '9')
				n++;
			if (n)
				return pol_file_splice(file, at + i, n, number);
		}
		at += len + 1;
	}
	pol_report_fault(edit->report, where,
	        "the line `serial: %llu` was not found at the beginning of a line: write it so",
	        (unsigned long long)edit->old->serial);
	return -EINVAL;
}

static int edit_check(struct edit *edit)
{
	const struct policy_where where = {MAIN_FILE, 0, 0};
	int ret = policy_parse(edit->files.all, edit->files.n, &edit->new, edit->report);

	if (ret)
		return ret;
	if (edit->new->serial == edit->old->serial + 1)
		return 0;
	pol_report_fault(edit->report, where,
	        "the serial could not be raised in place: write `serial: %llu` by hand",
	        (unsigned long long)edit->old->serial + 1);
	return -EINVAL;
}

static int main_write(struct edit *edit)
{
	const struct policy_file *file = file_find(edit, MAIN_FILE);
	int ret = pol_file_replace(edit->dir, MAIN_FILE, file->data, file->len);

	return ret ? pol_report_errno(edit->report, MAIN_FILE, ret, "this file cannot be written")
	           : 0;
}

static void edit_done(struct edit *edit, struct policy **out)
{
	if (out) {
		*out = edit->new;
		edit->new = NULL;
	}
}

/* ---- approve */

static int address_free(const struct policy *policy, char *buf, size_t size)
{
	struct policy_addr addr = policy->overlay4.addr;
	uint32_t network, n = policy->overlay4.len ? UINT32_MAX >> policy->overlay4.len : 0;

	memcpy(&network, addr.bytes, sizeof(network));
	network = ntohl(network);
	for (uint32_t host = 1; host < n; host++) {
		uint32_t bytes = htonl(network + host);
		bool taken;

		memcpy(addr.bytes, &bytes, sizeof(bytes));
		taken = policy_peer_by_addr(policy, &addr) != NULL;
		for (size_t i = 0; !taken && i < policy->n_failovers; i++)
			taken = memcmp(&policy->failovers[i].address, &addr, sizeof(addr)) == 0;
		if (taken)
			continue;
		policy_addr_print(&addr, buf, size);
		return 0;
	}
	return -ENOSPC;
}

static void quote(FILE *out, const char *text)
{
	fputc('"', out);
	for (; *text; text++) {
		if (*text == '"' || *text == '\\')
			fputc('\\', out);
		if ((unsigned char)*text < 0x20 || *text == 0x7f)
			fprintf(out, "\\x%02x",
			        (unsigned char)*text); /* the check will refuse it */
		else
			fputc(*text, out);
	}
	fputc('"', out);
}

static void list_write(FILE *out, const char *key, const char *const *items, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (i == 0)
			fprintf(out, "  %s: [", key);
		else
			fputs(", ", out);
		if (pol_name_valid(items[i]))
			fputs(items[i], out);
		else
			quote(out, items[i]);
	}
	if (n)
		fputs("]\n", out);
}

static void pair_write(FILE *out, const char *key, const char *value)
{
	if (!value)
		return;
	fprintf(out, "  %s: ", key);
	if (pol_name_valid(value))
		fputs(value, out);
	else
		quote(out, value);
	fputc('\n', out);
}

static int peer_text(const struct policy_approval *a, const char *address, char **text, size_t *len)
{
	FILE *out = open_memstream(text, len);

	if (!out)
		return -ENOMEM;
	fprintf(out, "%s:\n", a->name);
	pair_write(out, "key", a->key);
	pair_write(out, "address", address);
	pair_write(out, "site", a->site);
	list_write(out, "roles", a->roles, a->n_roles);
	list_write(out, "endpoints", a->endpoints, a->n_endpoints);
	pair_write(out, "until", a->until);
	pair_write(out, "hours", a->hours);
	if (fclose(out)) {
		free(*text);
		return -ENOMEM;
	}
	return 0;
}

static int approve_prepare(struct edit *edit, struct policy_approval a, const char *shown)
{
	struct policy_where where = {shown, 0, 0};
	char address[INET6_ADDRSTRLEN], *text;
	size_t len;
	int ret;

	if (policy_peer_by_name(edit->old, a.name) || file_find(edit, shown)) {
		const struct policy_peer *peer = policy_peer_by_name(edit->old, a.name);

		pol_report_fault(edit->report, peer ? peer->where : where,
		        "%s is there already: revoke it first, or take another name",
		        peer ? peer->name : shown);
		return -EEXIST;
	}
	if (!a.address && edit->old->overlay4.addr.family) {
		if (address_free(edit->old, address, sizeof(address))) {
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
	ret = pol_files_put(&edit->files, shown, text, len);
	if (ret) {
		free(text);
		return pol_report_errno(edit->report, shown, ret, "this peer cannot be written");
	}
	ret = serial_raise(edit);
	return ret ? ret : edit_check(edit);
}

int policy_edit_approve(const char *dir, const struct policy_approval *approval,
        struct policy **out, struct policy_report *report)
{
	char shown[POLICY_NAME_MAX + sizeof("peers.d/.yaml")];
	struct policy_where where = {"peers.d", 0, 0};
	const struct policy_file *file;
	struct edit edit;
	int ret;

	if (!approval->name || !pol_name_valid(approval->name)) {
		pol_report_fault(report, where,
		        "'%.70s' is no name for a peer: up to %u letters and digits, with . _ - "
		        "between",
		        approval->name ? approval->name : "", POLICY_NAME_MAX);
		return -EINVAL;
	}
	snprintf(shown, sizeof(shown), "peers.d/%s.yaml", approval->name);
	ret = edit_open(&edit, dir, report);
	if (ret == 0)
		ret = approve_prepare(&edit, *approval, shown);
	if (ret)
		goto out;
	file = file_find(&edit, shown);
	ret = pol_file_replace(edit.dir, shown, file->data, file->len);
	if (ret)
		pol_report_errno(report, shown, ret, "this file cannot be written");
	else
		ret = main_write(&edit);
	if (ret == 0)
		edit_done(&edit, out);
out:
	edit_close(&edit);
	return ret;
}

/* ---- revoke */

static size_t indent_of(const char *line, size_t len)
{
	size_t n = 0;

	while (n < len && line[n] == ' ')
		n++;
	return n;
}

/* The lines of a block entry: its key's line and those below that are indented more. */
static int entry_cut(struct policy_file *file, const struct policy_peer *peer)
{
	size_t at = 0, begin = 0, end = 0, indent = 0;

	for (uint32_t line = 1; at < file->len; line++) {
		const char *text = file->data + at, *nl = memchr(text, '\n', file->len - at);
		size_t len = nl ? (size_t)(nl - text) : file->len - at, own = indent_of(text, len);
		bool blank = own == len || (own + 1 == len && text[own] == '\r');

		if (line == peer->where.line) {
			indent = own;
			begin = at;
			if (own + 1 != peer->where.column)
				return -EINVAL; /* something stands before it */
		} else if (line > peer->where.line && !blank && own <= indent) {
			break;
		}
		at += nl ? len + 1 : len;
		if (line == peer->where.line || (line > peer->where.line && !blank))
			end = at;
	}
	return end > begin ? pol_file_splice(file, begin, end - begin, "") : -EINVAL;
}

static size_t peers_in_file(const struct policy *policy, const char *file)
{
	size_t n = 0;

	for (size_t i = 0; i < policy->n_peers; i++)
		n += strcmp(policy->peers[i].where.file, file) == 0;
	return n;
}

static void file_drop(struct edit *edit, struct policy_file *file)
{
	free((char *)(uintptr_t)file->name);
	free((char *)(uintptr_t)file->data);
	*file = edit->files.all[--edit->files.n];
}

static int revoke_by_hand(struct edit *edit, const struct policy_peer *peer)
{
	pol_report_fault(edit->report, peer->where,
	        "%s stands here among others and cannot be cut out safely: delete it by hand, and "
	        "raise "
	        "`serial`",
	        peer->name);
	return -EINVAL;
}

static int revoke_prepare(struct edit *edit, const struct policy_peer *peer, bool *whole_file)
{
	struct policy_file *file = file_find(edit, peer->where.file);
	size_t n = edit->old->n_peers;
	int ret;

	*whole_file = strcmp(peer->where.file, MAIN_FILE) != 0 &&
	              peers_in_file(edit->old, peer->where.file) == 1;
	if (*whole_file)
		file_drop(edit, file);
	else if (entry_cut(file, peer))
		return revoke_by_hand(edit, peer);
	ret = pol_roles_keep(file_find(edit, MAIN_FILE), edit->old, peer);
	if (ret)
		return pol_report_errno(
		        edit->report, MAIN_FILE, ret, "this peer cannot be revoked");
	ret = serial_raise(edit);
	if (ret == 0)
		ret = edit_check(edit);
	if (ret)
		return ret;
	/* Exactly this one is gone, and nothing else of the entry's neighbours. */
	if (edit->new->n_peers != n - 1 || policy_peer_by_name(edit->new, peer->name))
		return revoke_by_hand(edit, peer);
	return 0;
}

static int revoke_write(struct edit *edit, const char *name, bool whole_file)
{
	const struct policy_file *file = file_find(edit, name);
	int ret = 0;

	if (whole_file) {
		if (unlinkat(edit->dir, name, 0))
			ret = -errno;
	} else if (strcmp(name, MAIN_FILE) != 0) {
		ret = pol_file_replace(edit->dir, name, file->data, file->len);
	}
	if (ret)
		return pol_report_errno(edit->report, name, ret, "this file cannot be changed");
	return main_write(edit);
}

int policy_edit_revoke(
        const char *dir, const char *name, struct policy **out, struct policy_report *report)
{
	struct policy_where where = {MAIN_FILE, 0, 0};
	const struct policy_peer *peer;
	struct edit edit;
	bool whole_file;
	int ret = edit_open(&edit, dir, report);

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
		ret = revoke_write(&edit, peer->where.file, whole_file);
	if (ret == 0)
		edit_done(&edit, out);
out:
	edit_close(&edit);
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

static int rekey_by_hand(struct edit *edit, const struct policy_peer *peer)
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
        struct edit *edit, const struct policy_rekey *rekey, const struct policy_peer *peer)
{
	struct policy_file *file = file_find(edit, peer->where.file);
	int ret = pol_rekey_text(file, peer, &rekey->key, rekey->old_until);

	if (ret == -EINVAL)
		return rekey_by_hand(edit, peer);
	if (ret)
		return pol_report_errno(
		        edit->report, peer->where.file, ret, "this file cannot be changed");
	ret = serial_raise(edit);
	if (ret == 0)
		ret = edit_check(edit);
	if (ret == 0 && !is_rekeyed(edit->new, rekey, peer))
		ret = rekey_by_hand(edit, peer);
	return ret;
}

int policy_edit_rekey(const char *dir, const struct policy_rekey *rekey, struct policy **out,
        struct policy_report *report)
{
	struct policy_where where = {MAIN_FILE, 0, 0};
	const struct policy_peer *peer;
	struct edit edit;
	int ret = edit_open(&edit, dir, report);

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
		ret = revoke_write(&edit, peer->where.file, false);
	if (ret == 0)
		edit_done(&edit, out);
out:
	edit_close(&edit);
	return ret;
}

/* ---- raise */

int policy_edit_raise(const char *dir, struct policy **out, struct policy_report *report)
{
	struct edit edit;
	int ret = edit_open(&edit, dir, report);

	if (ret == 0)
		ret = serial_raise(&edit);
	if (ret == 0)
		ret = edit_check(&edit);
	if (ret == 0)
		ret = main_write(&edit);
	if (ret == 0)
		edit_done(&edit, out);
	edit_close(&edit);
	return ret;
}

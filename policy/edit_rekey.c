/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A peer's new key, put into the text where the old one stands: all else stays as the admin wrote
 * it. Keys are found by their base64, so it does not matter how the entry is laid out. Whether it
 * came out as meant, the caller sees from the policy that it makes.
 */
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "policy/files.h"
#include "policy/internal.h"

static const char *blob_of(const struct policy_key *key, char buf[96])
{
	policy_key_print(key, buf, 96);
	return strchr(buf, ' ') + 1;
}

/* Where a text stands, once; -1: not, or more than once. */
static long place_of(const struct policy_file *file, const char *text)
{
	size_t n = strlen(text);
	const char *at = memmem(file->data, file->len, text, n);
	size_t left = at ? file->len - (size_t)(at + 1 - file->data) : 0;

	if (!at || memmem(at + 1, left, text, n))
		return -1;
	return at - file->data;
}

static int blob_replace(
        struct policy_file *file, const struct policy_key *from, const struct policy_key *to)
{
	char old[96], key[96];
	const char *blob = blob_of(from, old);
	long at = place_of(file, blob);

	return at < 0 ? -EINVAL : pol_file_splice(file, (size_t)at, strlen(blob), blob_of(to, key));
}

/* The value behind `word:`, to its end. */
static int value_replace(struct policy_file *file, const char *word, const char *value)
{
	long place = place_of(file, word);
	size_t at, n = 0;

	if (place < 0)
		return -EINVAL;
	at = (size_t)place + strlen(word);
	while (at < file->len && (file->data[at] == ' ' || file->data[at] == '\t'))
		at++;
	if (at < file->len && (file->data[at] == '"' || file->data[at] == '\'')) {
		for (n = 1; at + n < file->len && file->data[at + n] != file->data[at]; n++)
			;
		n++;
	} else {
		while (at + n < file->len && !strchr(",}\n\r# ", file->data[at + n]))
			n++;
	}
	return at + n > file->len ? -EINVAL : pol_file_splice(file, at, n, value);
}

/* The first character of the line, or of what comes behind { or a comma. */
static size_t item_begin(const struct policy_file *file, size_t at)
{
	while (at && !strchr("\n{,", file->data[at - 1]))
		at--;
	return at;
}

/* Behind the key's value: in a flow mapping there, in a block on lines of their own. */
static int fields_add(struct policy_file *file, const struct policy_key *key, const char *old_key,
        const char *until, const char *address6)
{
	char text[96 + 512], blob[96], indent[65] = "";
	long place = place_of(file, blob_of(key, blob));
	size_t begin, end, n = 0;
	bool flow;

	if (place < 0)
		return -EINVAL;
	begin = item_begin(file, (size_t)place);
	flow = begin && file->data[begin - 1] != '\n';
	end = (size_t)place;
	while (end < file->len && !strchr(flow ? "\"'\n,}" : "\n", file->data[end]))
		end++;
	if (flow && end < file->len && strchr("\"'", file->data[end]))
		end++;
	while (!flow && n < sizeof(indent) - 1 && file->data[begin + n] == ' ')
		indent[n++] = ' ';
	indent[n] = '\0';
	snprintf(text, sizeof(text), "%s%sold_key: \"%s\"%s%sold_until: \"%s\"%s%s%s%s%s",
	        flow ? ", " : "\n", indent, old_key, flow ? ", " : "\n", indent, until,
	        address6 ? flow ? ", " : "\n" : "", address6 ? indent : "",
	        address6 ? "address6: \"" : "", address6 ? address6 : "", address6 ? "\"" : "");
	return pol_file_splice(file, end, 0, text);
}

int pol_rekey_text(struct policy_file *file, const struct policy_peer *peer,
        const struct policy_key *key, int64_t old_until)
{
	char until[40], quoted[44], old_key[96], address6[INET6_ADDRSTRLEN];
	int ret = blob_replace(file, &peer->key, key);

	pol_until_print(old_until, until, sizeof(until));
	if (ret)
		return ret;
	if (!peer->has_old_key) {
		policy_key_print(&peer->key, old_key, sizeof(old_key));
		policy_addr_print(&peer->addr6, address6, sizeof(address6));
		return fields_add(file, key, old_key, until, peer->addr6_given ? NULL : address6);
	}
	snprintf(quoted, sizeof(quoted), "\"%s\"", until);
	ret = blob_replace(file, &peer->old_key, &peer->key);
	return ret ? ret : value_replace(file, "old_until:", quoted);
}

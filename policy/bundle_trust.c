/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Whose bundles count, over rotations of the cluster's key and over restarts. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "policy/bundle_internal.h"

#define KEPT_BEGIN "{\"overlayd-kept\":"

void bundle_trust_begin(struct bundle_trust *trust, const struct minisign_public *first)
{
	*trust = (struct bundle_trust){.first = *first, .key = *first};
}

const struct minisign_public *bundle_trust_pick(
        const struct bundle_trust *trust, const char *file, size_t len)
{
	size_t text = 0;
	uint8_t id[8];

	if (trust->has_next && bundle_split(file, len, &text, NULL, 0) == 0 &&
	        minisign_signer(file + text, len - text, id) == 0 &&
	        memcmp(id, trust->next.id, sizeof(id)) == 0)
		return &trust->next;
	return &trust->key;
}

/*
 * Of another signer is only what was kept before an admin changed cluster.pub: it stays in force,
 * and says nothing of what counts from now on; unless it named just that key.
 */
void bundle_trust_follow(struct bundle_trust *trust, const struct minisign_public *signer,
        const struct bundle_head *head)
{
	struct minisign_public key = *signer;

	if (!minisign_public_same(&key, &trust->key) &&
	        !(trust->has_next && minisign_public_same(&key, &trust->next)) &&
	        !(head->has_next_key && minisign_public_same(&head->next_key, &trust->first)))
		return;
	trust->key = key;
	trust->has_next = head->has_next_key;
	trust->next = head->next_key;
}

size_t bundle_kept_line(const struct bundle_trust *trust, char buf[BUNDLE_KEPT_LINE_MAX])
{
	char first[57], key[57];

	minisign_public_line(&trust->first, first);
	minisign_public_line(&trust->key, key);
	return (size_t)snprintf(buf, BUNDLE_KEPT_LINE_MAX,
	        KEPT_BEGIN "1,\"first\":\"%s\",\"key\":\"%s\"}\n", first, key);
}

int bundle_kept(struct bundle_trust *trust, const char *kept, size_t len,
        struct minisign_public *signer, const char **file, size_t *file_len, char *err,
        size_t err_size)
{
	struct bun_cursor c = {kept, kept + len};
	struct minisign_public first = trust->first, key = trust->key;

	if (bun_literal(&c, KEPT_BEGIN) &&
	        !(bun_literal(&c, "1,\"first\":\"") && bun_key(&c, &first) &&
	                bun_literal(&c, "\",\"key\":\"") && bun_key(&c, &key) &&
	                bun_literal(&c, "\"}\n")))
		return bun_fail(-EINVAL, err, err_size,
		        "the first line of the kept bundle is damaged: move the file away and load "
		        "the bundle of another node (overlayctl load)");
	if (minisign_public_same(&first, &trust->first))
		trust->key = key;
	*signer = key;
	*file = c.at;
	*file_len = (size_t)(c.end - c.at);
	return 0;
}

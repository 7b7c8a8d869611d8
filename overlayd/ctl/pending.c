/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ctl/pending.h"

#include <string.h>

#define BEGIN "SHA256:"

static const char *letters_of(const char *text)
{
	return strncmp(text, BEGIN, strlen(BEGIN)) == 0 ? text + strlen(BEGIN) : text;
}

bool pending_is_fingerprint(const char *text)
{
	return letters_of(text) != text || (strncmp(text, "ssh-", 4) && !strchr(text, ' '));
}

static bool is_it(const json_t *entry, const char *name, const char *letters)
{
	const char *fingerprint = letters_of(ctl_string(entry, "fingerprint", ""));

	return strncmp(fingerprint, letters, strlen(letters)) == 0 &&
	       (!name || !strcmp(ctl_string(entry, "name", ""), name));
}

/* Where to look instead. */
static void tell_none(struct ctl *ctl, const json_t *answer, const char *name, const char *prefix)
{
	const json_t *seeds = json_object_get(answer, "seeds");
	const char *first = json_string_value(json_array_get(seeds, 0));

	if (!json_is_true(json_object_get(answer, "seed")) && first)
		ctl_error(ctl, "newcomers do not ask this node but the seeds: run this on %s (%s)",
		        first, ctl_string(answer, "why", "this node is none"));
	else
		ctl_error(ctl, "no newcomer%s%s with a key %s%s waits here: see overlayctl pending",
		        name ? " " : "", name ? name : "", BEGIN, letters_of(prefix));
}

int pending_find(struct ctl *ctl, const char *name, const char *prefix, json_t **entry)
{
	const char *letters = letters_of(prefix);
	json_t *answer, *row, *found = NULL;
	size_t i, n = 0;
	int rc;

	if (strlen(letters) < PENDING_PREFIX_MIN)
		return ctl_usage(ctl,
		        "give at least %d letters of the fingerprint behind " BEGIN
		        ", as the newcomer's own console shows it",
		        PENDING_PREFIX_MIN);
	rc = ctl_ask(ctl, "pending", NULL, &answer);
	if (rc)
		return rc;
	json_array_foreach(json_object_get(answer, "pending"), i, row) {
		if (!is_it(row, name, letters))
			continue;
		n += !found || strcmp(ctl_string(found, "fingerprint", ""),
		                       ctl_string(row, "fingerprint", "")) != 0;
		found = row;
	}
	if (n == 1)
		*entry = json_incref(found);
	else if (n)
		ctl_error(ctl, "%zu newcomers match: give more of the fingerprint", n);
	else
		tell_none(ctl, answer, name, prefix);
	json_decref(answer);
	return n == 1 ? CTL_OK : CTL_FAILED;
}

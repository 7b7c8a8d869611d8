/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How a machine can be broken on purpose. */
#include "tests/simcluster/impair.h"

#include "engine/internal.h"

#include <string.h>

static const struct {
	const char *name;
	enum engine_impairment bit;
} impairments[] = {
        {"skip-signature", IMPAIR_SKIP_SIGNATURE},
        {"take-older", IMPAIR_TAKE_OLDER},
        {"take-fork", IMPAIR_TAKE_FORK},
        {"no-notes", IMPAIR_NO_NOTES},
        {"trust-statements", IMPAIR_TRUST_STATEMENTS},
        {"trust-tokens", IMPAIR_TRUST_TOKENS},
        {"trust-seeds", IMPAIR_TRUST_SEEDS},
        {"keep-guests", IMPAIR_KEEP_GUESTS},
        {"no-count", IMPAIR_NO_COUNT},
        {"no-sums", IMPAIR_NO_SUMS},
        {"admit-unstored", IMPAIR_ADMIT_UNSTORED},
        {"no-strikes", IMPAIR_NO_STRIKES},
};

const char *impair_name(size_t i)
{
	return i < sizeof(impairments) / sizeof(impairments[0]) ? impairments[i].name : NULL;
}

bool impair(const char *name)
{
	engine_impair = 0;
	for (size_t i = 0; name && impair_name(i); i++)
		if (!strcmp(impairments[i].name, name))
			engine_impair = 1U << impairments[i].bit;
	return engine_impair != 0;
}

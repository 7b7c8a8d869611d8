/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which of two bundles is in force. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "policy/bundle.h"

#define SAY(...) (text && size ? (void)snprintf(text, size, __VA_ARGS__) : (void)0)

/* The candidate has a higher serial and a parent. */
static enum bundle_verdict parent_judge(const struct bundle_head *current,
        const struct bundle_head *candidate, char *text, size_t size)
{
	bool known = memcmp(candidate->parent, current->digest, sizeof(current->digest)) == 0;

	if (candidate->parent_serial == current->serial && known) {
		SAY("serial %" PRIu64 " follows serial %" PRIu64, candidate->serial,
		        current->serial);
		return BUNDLE_APPLY;
	}
	if (candidate->parent_serial > current->serial) {
		SAY("serial %" PRIu64 " follows serial %" PRIu64 ", which this node missed",
		        candidate->serial, candidate->parent_serial);
		return BUNDLE_APPLY;
	}
	if (candidate->parent_serial == current->serial)
		SAY("serial %" PRIu64 " was made to follow another bundle of serial %" PRIu64
		    " than the one in force here: sign the policy that is wanted with a higher "
		    "serial and without a parent",
		        candidate->serial, current->serial);
	else
		SAY("serial %" PRIu64 " was made to follow serial %" PRIu64
		    " and would undo serial %" PRIu64
		    ", which is in force: make it again from that",
		        candidate->serial, candidate->parent_serial, current->serial);
	return BUNDLE_BAD_PARENT;
}

enum bundle_verdict bundle_judge(const struct bundle_head *current,
        const struct bundle_head *candidate, char *text, size_t size)
{
	if (!current) {
		SAY("serial %" PRIu64 " is the first bundle here", candidate->serial);
		return BUNDLE_APPLY;
	}
	if (strcmp(current->cluster, candidate->cluster) != 0) {
		SAY("this bundle is of cluster %s, and this node of cluster %s", candidate->cluster,
		        current->cluster);
		return BUNDLE_OTHER_CLUSTER;
	}
	if (memcmp(current->digest, candidate->digest, sizeof(current->digest)) == 0) {
		SAY("serial %" PRIu64 " is in force", current->serial);
		return BUNDLE_SAME;
	}
	if (candidate->serial == current->serial) {
		SAY("FORK: two different bundles of serial %" PRIu64
		    " are signed; the first that came is kept: sign the policy that is wanted with "
		    "a higher serial and without a parent",
		        current->serial);
		return BUNDLE_FORK;
	}
	if (candidate->serial < current->serial) {
		SAY("serial %" PRIu64 " is older than serial %" PRIu64
		    ", which is in force: a policy never goes back; raise the serial to return to "
		    "an old content",
		        candidate->serial, current->serial);
		return BUNDLE_OLDER;
	}
	if (candidate->has_parent)
		return parent_judge(current, candidate, text, size);
	SAY("serial %" PRIu64 " stands by itself and replaces serial %" PRIu64, candidate->serial,
	        current->serial);
	return BUNDLE_APPLY;
}

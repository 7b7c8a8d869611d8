/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which addresses the SAs of others may stand for, from charon's words for traffic selectors. */
#include "host/charon.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

/* Sets the bits behind the first len: all ones in *last, zeroes in *first. */
static void prefix_bounds(const struct policy_prefix *prefix, struct engine_range *range)
{
	size_t size = prefix->addr.family == AF_INET ? 4 : 16;

	range->first = range->last = prefix->addr;
	for (size_t bit = prefix->len; bit < size * 8; bit++) {
		uint8_t mask = (uint8_t)(0x80 >> (bit % 8));

		range->first.bytes[bit / 8] &= (uint8_t)~mask;
		range->last.bytes[bit / 8] |= mask;
	}
}

/* "10.0.0.1..10.0.0.9" */
static int range_bounds(char *text, char *dots, struct engine_range *range)
{
	*dots = 0;
	if (policy_addr_parse(text, &range->first) || policy_addr_parse(dots + 2, &range->last) ||
	        range->first.family != range->last.family)
		return -EINVAL;
	return 0;
}

int charon_range_parse(const char *text, struct engine_range *out)
{
	size_t len = strcspn(text, "["); /* protocol and ports: the addresses are the same */
	struct engine_range range;
	struct policy_prefix prefix;
	char plain[128], *dots;

	if (len >= sizeof(plain))
		return -EINVAL;
	memcpy(plain, text, len);
	plain[len] = 0;
	dots = strstr(plain, "..");
	if (dots ? range_bounds(plain, dots, &range) : charon_selector_parse(plain, &prefix))
		return -EINVAL;
	if (!dots)
		prefix_bounds(&prefix, &range);
	*out = range;
	return 0;
}

void charon_ranges_add(struct charon_ranges *ranges, const struct vici_child_sa *child)
{
	struct engine_child_row row;

	charon_child_view(child, &row);
	if (row.state != ENGINE_CHILD_INSTALLED && row.state != ENGINE_CHILD_OTHER)
		return;
	for (const char *const *ts = child->remote_ts; *ts; ts++) {
		if (ranges->n < ENGINE_FOREIGN_MAX &&
		        !charon_range_parse(*ts, &ranges->v[ranges->n]))
			ranges->n++;
		else
			ranges->more = true;
	}
}

void charon_ranges_view(
        const struct vici_ike_sa *sa, struct engine_sa_row *row, struct charon_ranges *ranges)
{
	ranges->n = 0;
	ranges->more = false;
	if (strncmp(sa->name, ENGINE_CONN_PREFIX, strlen(ENGINE_CONN_PREFIX)) == 0)
		return;
	for (size_t i = 0; i < sa->n_children; i++)
		charon_ranges_add(ranges, &sa->children[i]);
	row->foreign = ranges->v;
	row->n_foreign = ranges->n;
	row->foreign_more = ranges->more;
}

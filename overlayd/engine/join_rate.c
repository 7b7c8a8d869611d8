/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How often anybody may ask: by source, and all of them together. */
#include "engine/join_internal.h"

#include <string.h>

bool rate_take(struct rate *rate, int64_t now, int64_t gap, int burst, int64_t cost)
{
	int64_t from = rate->until > now ? rate->until : now;

	if (from - now > gap * (burst - 1))
		return false;
	rate->until = from + gap * cost;
	return true;
}

void join_source_mask(const struct policy_addr *addr, struct policy_addr *out)
{
	*out = *addr;
	if (addr->family != 2 /* AF_INET */)
		memset(out->bytes + 8, 0, 8);
}

/* A full table forgets who asked least lately; the limit of all holds for whom it forgot. */
static struct rate *source_rate(struct engine *e, const struct policy_addr *source)
{
	struct join *j = e->join;
	struct policy_addr masked;
	struct join_source *s = NULL;

	join_source_mask(source, &masked);
	for (size_t i = 0; i < j->n_sources; i++)
		if (addr_equal(&j->sources[i].addr, &masked))
			return &j->sources[i].rate;
	if (j->n_sources < JOIN_SOURCES)
		s = &j->sources[j->n_sources++];
	for (size_t i = 0; !s && i < JOIN_SOURCES; i++)
		if (j->sources[i].rate.until <= e->now.mono_us)
			s = &j->sources[i];
	if (!s) {
		s = &j->sources[0];
		for (size_t i = 1; i < JOIN_SOURCES; i++)
			if (j->sources[i].rate.until < s->rate.until)
				s = &j->sources[i];
	}
	*s = (struct join_source){.addr = masked};
	return &s->rate;
}

bool join_may_ask(struct engine *e, const struct policy_addr *source)
{
	return rate_take(source_rate(e, source), e->now.mono_us, SOURCE_US, SOURCE_BURST, 1) &&
	       rate_take(&e->join->all, e->now.mono_us, ALL_US, ALL_BURST, 1);
}

void join_gave(struct engine *e, const struct policy_addr *source, size_t bytes)
{
	struct rate *r = source ? source_rate(e, source) : NULL, *all = &e->join->all;
	int64_t more = (int64_t)(bytes / BUNDLE_UNIT), now = e->now.mono_us;

	if (r)
		r->until = (r->until > now ? r->until : now) + more * SOURCE_US;
	all->until = (all->until > now ? all->until : now) + more * ALL_US;
}

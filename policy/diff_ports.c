/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which ports open and close between roles: intervals, sorted and merged, then subtracted. */
#include <stdlib.h>
#include <string.h>

#include "policy/diff.h"

struct span {
	const char *from, *to;
	enum policy_proto proto;
	uint32_t first, last;
};

struct spans {
	struct span *all;
	size_t n, cap;
};

static int pair_compare(const struct span *x, const struct span *y)
{
	int order = strcmp(x->from, y->from);

	order = order ? order : strcmp(x->to, y->to);
	return order ? order : (int)x->proto - (int)y->proto;
}

static int span_compare(const void *a, const void *b)
{
	const struct span *x = a, *y = b;
	int order = pair_compare(x, y);

	return order ? order : x->first < y->first ? -1 : x->first > y->first;
}

static void spans_make(struct pol_differ *d, const struct policy *policy, struct spans *spans)
{
	size_t n = 0;

	for (size_t i = 0; i < policy->n_allows; i++) {
		const struct policy_allow *allow = &policy->allows[i];
		const struct policy_service *service = &policy->services[allow->service];

		for (size_t j = 0; j < service->n_ports; j++) {
			spans->all = pol_grow(
			        &d->arena, spans->all, spans->n, &spans->cap, sizeof(*spans->all));
			spans->all[spans->n++] = (struct span){pol_role_name(policy, allow->from),
			        pol_role_name(policy, allow->to), service->ports[j].proto,
			        service->ports[j].first, service->ports[j].last};
		}
	}
	if (!spans->n)
		return;
	pol_sort(spans->all, spans->n, sizeof(*spans->all), span_compare);
	for (size_t i = 1; i < spans->n; i++) {
		struct span *last = &spans->all[n], *span = &spans->all[i];

		if (pair_compare(last, span) != 0 || span->first > last->last + 1)
			spans->all[++n] = *span;
		else if (span->last > last->last)
			last->last = span->last;
	}
	spans->n = n + 1;
}

/* One row per pair of roles, however many spans it has. */
struct row {
	const struct span *pair;
	char text[900];
};

static void row_flush(struct pol_differ *d, struct row *row, enum policy_change change)
{
	char subject[2 * POLICY_NAME_MAX + 8];

	if (!row->pair)
		return;
	snprintf(subject, sizeof(subject), "%s -> %s", row->pair->from, row->pair->to);
	pol_row(d, change, subject, "%s", row->text);
	row->pair = NULL;
	row->text[0] = '\0';
}

static void row_add(struct pol_differ *d, struct row *row, enum policy_change change,
        const struct span *span, uint32_t first, uint32_t last)
{
	struct policy_ports ports = {span->proto, (uint16_t)first, (uint16_t)last, {NULL, 0, 0}};
	size_t len;
	char text[32];

	if (row->pair && (strcmp(row->pair->from, span->from) || strcmp(row->pair->to, span->to)))
		row_flush(d, row, change);
	row->pair = span;
	len = strlen(row->text);
	pol_ports_print(&ports, text, sizeof(text));
	snprintf(row->text + len, sizeof(row->text) - len, "%s%s", len ? ", " : "", text);
}

/* Rows for what is in a and not in b. */
static void spans_subtract(struct pol_differ *d, const struct spans *a, const struct spans *b,
        enum policy_change change)
{
	struct row row = {NULL, ""};
	size_t j = 0;

	for (size_t i = 0; i < a->n; i++) {
		const struct span *span = &a->all[i];
		uint32_t first = span->first;
		bool rest = true;

		while (j < b->n && (pair_compare(&b->all[j], span) < 0 ||
		                           (pair_compare(&b->all[j], span) == 0 &&
		                                   b->all[j].last < span->first)))
			j++;
		for (size_t k = j; k < b->n && pair_compare(&b->all[k], span) == 0 &&
		                   b->all[k].first <= span->last;
		        k++) {
			if (b->all[k].first > first)
				row_add(d, &row, change, span, first, b->all[k].first - 1);
			rest = b->all[k].last < span->last;
			first = b->all[k].last + 1;
		}
		if (rest)
			row_add(d, &row, change, span, first, span->last);
	}
	row_flush(d, &row, change);
}

void pol_ports_diff(struct pol_differ *d)
{
	struct spans before = {NULL, 0, 0}, after = {NULL, 0, 0};

	spans_make(d, d->old, &before);
	spans_make(d, d->new, &after);
	spans_subtract(d, &after, &before, POLICY_OPENED);
	spans_subtract(d, &before, &after, POLICY_CLOSED);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What changes from one policy to the next. Peers, sites, services and failovers are sorted, so
 * two are compared in one walk; open ports are compared as intervals per pair of roles.
 */
#include "policy/diff.h"

#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

void pol_row(struct pol_differ *d, enum policy_change change, const char *subject,
        const char *format, ...)
{
	char text[1024];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	d->rows = pol_grow(&d->arena, d->rows, d->n, &d->cap, sizeof(*d->rows));
	d->rows[d->n++] =
	        (struct policy_diff_row){change, pol_strndup(&d->arena, subject, strlen(subject)),
	                pol_strndup(&d->arena, text, strlen(text))};
}

/* A row when a value appears, goes or becomes another; "" is no value. */
static void value_row(struct pol_differ *d, const char *subject, const char *what,
        const char *before, const char *after)
{
	if (strcmp(before, after) == 0)
		return;
	if (!*before)
		pol_row(d, POLICY_SETTING, subject, "%s %s", what, after);
	else if (!*after)
		pol_row(d, POLICY_SETTING, subject, "no %s any more (was %s)", what, before);
	else
		pol_row(d, POLICY_SETTING, subject, "%s %s -> %s", what, before, after);
}

/* ---- peers */

struct text {
	char s[700];
};

static void text_add(struct text *text, const char *item)
{
	size_t len = strlen(text->s);

	snprintf(text->s + len, sizeof(text->s) - len, "%s%s", len ? ", " : "", item);
}

static struct text addr_text(const struct policy_addr *addr)
{
	struct text text = {""};

	policy_addr_print(addr, text.s, sizeof(text.s));
	return text;
}

static struct text endpoints_text(const struct policy_peer *peer)
{
	struct text text = {""};
	char item[300];

	for (size_t i = 0; i < peer->n_endpoints; i++) {
		pol_endpoint_print(&peer->endpoints[i], item, sizeof(item));
		text_add(&text, item);
	}
	return text;
}

static struct text until_text(const struct policy_peer *peer)
{
	struct text text = {""};

	if (peer->has_until)
		pol_until_print(peer->until, text.s, sizeof(text.s));
	return text;
}

static struct text old_until_text(const struct policy_peer *peer)
{
	struct text text = {""};

	if (peer->has_old_key)
		pol_until_print(peer->old_until, text.s, sizeof(text.s));
	return text;
}

static void roles_diff(
        struct pol_differ *d, const struct policy_peer *a, const struct policy_peer *b)
{
	size_t i = 0, j = 0;

	while (i < a->n_roles || j < b->n_roles) {
		const char *x = i < a->n_roles ? d->old->roles[a->roles[i]] : NULL;
		const char *y = j < b->n_roles ? d->new->roles[b->roles[j]] : NULL;
		int order = !x ? 1 : !y ? -1 : strcmp(x, y);

		if (order < 0)
			pol_row(d, POLICY_CLOSED, b->name, "loses the role %s and what it allows",
			        x);
		if (order > 0)
			pol_row(d, POLICY_OPENED, b->name, "gains the role %s and what it allows",
			        y);
		i += order <= 0;
		j += order >= 0;
	}
}

/* Whose guest; "": what the admin wrote. */
static const char *guest_text(const struct policy *policy, const struct policy_peer *peer)
{
	return peer->guest ? policy->tokens[peer->token].name : "";
}

static void peer_diff(
        struct pol_differ *d, const struct policy_peer *a, const struct policy_peer *b)
{
	char x[POLICY_FINGERPRINT_LEN], y[POLICY_FINGERPRINT_LEN];

	if (memcmp(&a->key, &b->key, sizeof(a->key)) != 0) {
		policy_key_fingerprint(&a->key, x);
		policy_key_fingerprint(&b->key, y);
		pol_row(d, POLICY_REKEYED, b->name, "key %s -> %s%s", x, y,
		        b->has_old_key && memcmp(&b->old_key, &a->key, sizeof(a->key)) == 0
		                ? ", without a cut: the old one counts for a while"
		                : "");
	}
	value_row(d, b->name, "guest of token", guest_text(d->old, a), guest_text(d->new, b));
	value_row(d, b->name, "old key until", old_until_text(a).s, old_until_text(b).s);
	if (a->addr6_given || b->addr6_given)
		value_row(
		        d, b->name, "IPv6 address", addr_text(&a->addr6).s, addr_text(&b->addr6).s);
	if (memcmp(&a->addr4, &b->addr4, sizeof(a->addr4)) != 0)
		pol_row(d, POLICY_READDRESSED, b->name, "%s -> %s",
		        a->addr4.family ? addr_text(&a->addr4).s : "none",
		        b->addr4.family ? addr_text(&b->addr4).s : "none");
	roles_diff(d, a, b);
	value_row(d, b->name, "site", d->old->sites[a->site].name, d->new->sites[b->site].name);
	if (a->n_endpoints || b->n_endpoints)
		value_row(d, b->name, "endpoints", endpoints_text(a).s, endpoints_text(b).s);
	value_row(d, b->name, "until", until_text(a).s, until_text(b).s);
	value_row(d, b->name, "hours", a->hours_text ? a->hours_text : "",
	        b->hours_text ? b->hours_text : "");
}

static void peer_row(struct pol_differ *d, enum policy_change change, const struct policy *policy,
        const struct policy_peer *peer)
{
	char fingerprint[POLICY_FINGERPRINT_LEN];
	const char *token = guest_text(policy, peer);
	struct text roles = {""};

	for (size_t i = 0; i < peer->n_roles; i++)
		text_add(&roles, policy->roles[peer->roles[i]]);
	policy_key_fingerprint(&peer->key, fingerprint);
	pol_row(d, change, peer->name, "%s %s, site %s, roles: %s%s%s",
	        addr_text(peer->addr4.family ? &peer->addr4 : &peer->addr6).s, fingerprint,
	        policy->sites[peer->site].name, *roles.s ? roles.s : "none",
	        *token ? ", guest of token " : "", token);
}

static void peers_diff(struct pol_differ *d)
{
	size_t i = 0, j = 0;

	while (i < d->old->n_peers || j < d->new->n_peers) {
		const struct policy_peer *a = i < d->old->n_peers ? &d->old->peers[i] : NULL;
		const struct policy_peer *b = j < d->new->n_peers ? &d->new->peers[j] : NULL;
		int order = !a ? 1 : !b ? -1 : strcmp(a->name, b->name);

		if (order < 0)
			peer_row(d, POLICY_EVICTED, d->old, a);
		else if (order > 0)
			peer_row(d, POLICY_ADMITTED, d->new, b);
		else
			peer_diff(d, a, b);
		i += order <= 0;
		j += order >= 0;
	}
}

/* ---- settings: named texts, sorted, compared in one walk */

struct setting {
	const char *subject, *what, *value;
};

struct settings {
	struct pol_differ *d;
	struct setting *all;
	size_t n, cap;
};

__attribute__((format(printf, 4, 5))) static void setting_add(
        struct settings *s, const char *subject, const char *what, const char *format, ...)
{
	char text[700];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	s->all = pol_grow(&s->d->arena, s->all, s->n, &s->cap, sizeof(*s->all));
	s->all[s->n++] = (struct setting){pol_strndup(&s->d->arena, subject, strlen(subject)), what,
	        pol_strndup(&s->d->arena, text, strlen(text))};
}

static void sections_list(struct settings *s, const struct policy *policy)
{
	char subject[160], prefix[INET6_ADDRSTRLEN + 4];

	for (size_t i = 0; i < policy->n_sites; i++) {
		snprintf(subject, sizeof(subject), "site %s", policy->sites[i].name);
		setting_add(s, subject, "timezone", "%s", policy->sites[i].timezone);
		setting_add(s, subject, "behind_nat", "%s",
		        policy->sites[i].behind_nat ? "true" : "false");
	}
	for (size_t i = 0; i < policy->n_manage; i++) {
		pol_prefix_print(&policy->manage[i].from, prefix, sizeof(prefix));
		snprintf(subject, sizeof(subject), "manage %s", prefix);
		setting_add(s, subject, "from outside", "%s",
		        policy->services[policy->manage[i].service].name);
	}
	for (size_t i = 0; i < policy->n_failovers; i++) {
		const struct policy_failover *f = &policy->failovers[i];
		struct text holders = {""};

		for (size_t j = 0; j < f->n_holders; j++)
			text_add(&holders, policy->peers[f->holders[j]].name);
		snprintf(subject, sizeof(subject), "failover %s", f->name);
		setting_add(s, subject, "address", "%s", addr_text(&f->address).s);
		setting_add(s, subject, "holders", "%s", holders.s);
	}
}

static int setting_compare(const void *a, const void *b)
{
	const struct setting *x = a, *y = b;
	int order = strcmp(x->subject, y->subject);

	return order ? order : strcmp(x->what, y->what);
}

static int setting_value_compare(const void *a, const void *b)
{
	int order = setting_compare(a, b);

	return order ? order
	             : strcmp(((const struct setting *)a)->value,
	                       ((const struct setting *)b)->value);
}

static void settings_list(struct settings *s, const struct policy *policy)
{
	char prefix[INET6_ADDRSTRLEN + 4];

	if (!policy->cluster) /* the policy that was not there */
		return;
	setting_add(s, "policy", "cluster", "%s", policy->cluster);
	setting_add(s, "policy", "serial", "%" PRIu64, policy->serial);
	if (policy->overlay4.addr.family) {
		pol_prefix_print(&policy->overlay4, prefix, sizeof(prefix));
		setting_add(s, "policy", "overlay", "%s", prefix);
	}
	setting_add(s, "policy", "firewall", "%s", pol_firewall_words[policy->firewall]);
	if (policy->join)
		setting_add(s, "policy", "join", "true");
	setting_add(s, "policy", "mesh", "%s", pol_mesh_words[policy->mesh]);
	setting_add(s, "policy", "port", "%u", policy->port);
	sections_list(s, policy);
	pol_sort(s->all, s->n, sizeof(*s->all), setting_value_compare);
}

static void settings_diff(struct pol_differ *d)
{
	struct settings a = {.d = d}, b = {.d = d};
	size_t i = 0, j = 0;

	settings_list(&a, d->old);
	settings_list(&b, d->new);
	while (i < a.n || j < b.n) {
		const struct setting *x = i < a.n ? &a.all[i] : NULL;
		const struct setting *y = j < b.n ? &b.all[j] : NULL;
		int order = !x ? 1 : !y ? -1 : setting_compare(x, y);

		if (order < 0)
			value_row(d, x->subject, x->what, x->value, "");
		else if (order > 0)
			value_row(d, y->subject, y->what, "", y->value);
		else
			value_row(d, y->subject, y->what, x->value, y->value);
		i += order <= 0;
		j += order >= 0;
	}
}

/* ---- together */

static int row_compare(const void *a, const void *b)
{
	const struct policy_diff_row *x = a, *y = b;
	int order;

	if (x->change != y->change)
		return x->change < y->change ? -1 : 1;
	order = strcmp(x->subject, y->subject);
	return order ? order : strcmp(x->text, y->text);
}

static int rows_hand_over(const struct pol_differ *d, struct policy_diff *out)
{
	struct policy_diff diff = {calloc(d->n + 1, sizeof(*diff.rows)), 0};

	if (!diff.rows)
		return -ENOMEM;
	for (; diff.n_rows < d->n; diff.n_rows++) {
		struct policy_diff_row *row = &diff.rows[diff.n_rows];

		*row = d->rows[diff.n_rows];
		row->subject = strdup(row->subject);
		row->text = strdup(row->text);
		if (!row->subject || !row->text) {
			diff.n_rows++;
			policy_diff_clear(&diff);
			return -ENOMEM;
		}
	}
	*out = diff;
	return 0;
}

static int diff_run(struct pol_differ *d, struct policy_diff *out)
{
	if (setjmp(d->oom))
		return -ENOMEM;
	peers_diff(d);
	pol_tokens_diff(d);
	pol_ports_diff(d);
	settings_diff(d);
	if (d->n)
		pol_sort(d->rows, d->n, sizeof(*d->rows), row_compare);
	return rows_hand_over(d, out);
}

int policy_diff(const struct policy *old, const struct policy *new_policy, struct policy_diff *out)
{
	static const struct policy none;
	struct pol_differ *d = calloc(1, sizeof(*d));
	int ret;

	if (!d)
		return -ENOMEM;
	d->arena.oom = &d->oom;
	d->old = old ? old : &none;
	d->new = new_policy ? new_policy : &none;
	ret = diff_run(d, out);
	pol_arena_free(&d->arena);
	free(d);
	return ret;
}

void policy_diff_clear(struct policy_diff *diff)
{
	if (!diff)
		return;
	for (size_t i = 0; i < diff->n_rows; i++) {
		free(diff->rows[i].subject);
		free(diff->rows[i].text);
	}
	free(diff->rows);
	*diff = (struct policy_diff){0};
}

const char *policy_change_name(enum policy_change change)
{
	switch (change) {
	case POLICY_ADMITTED:
		return "admitted";
	case POLICY_EVICTED:
		return "evicted";
	case POLICY_REKEYED:
		return "rekeyed";
	case POLICY_READDRESSED:
		return "readdressed";
	case POLICY_OPENED:
		return "opened";
	case POLICY_CLOSED:
		return "closed";
	case POLICY_SETTING:
		return "setting";
	}
	return "setting";
}

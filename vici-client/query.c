/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Typed calls that only ask. */
#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "vici-client/private.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static const struct vici_result bad_reply = {
        .error = -EBADMSG, .errmsg = "charon's reply is not as documented"};

/* A query without arguments or stream. */
static int ask(struct vici *v, const char *command, const struct vici_ops *ops, vici_any_fn *done,
        void *user, uint64_t timeout_us, uint64_t now_us)
{
	const struct vici_submit s = {.command = command,
	        .ops = ops,
	        .done = done,
	        .user = user,
	        .timeout_us = timeout_us,
	        .now_us = now_us};
	struct vici_builder none;

	vici_builder_init(&none);
	return vici_submit(v, &s, &none);
}

/* ---- version ---- */

static int version_done(struct vici_request *r, const struct vici_result *result)
{
	vici_version_fn *fn = (vici_version_fn *)r->done;
	struct vici_blob m = result->reply;
	struct vici_version version = {0};
	bool ok = true;

	if (!result->error) {
		ok = !vici_find_text(m, "daemon", version.daemon, sizeof(version.daemon)) &&
		     !vici_find_text(m, "version", version.version, sizeof(version.version));
		vici_find_text(m, "sysname", version.sysname, sizeof(version.sysname));
		vici_find_text(m, "release", version.release, sizeof(version.release));
		vici_find_text(m, "machine", version.machine, sizeof(version.machine));
	}
	if (fn)
		fn(r->user, ok ? result : &bad_reply, ok && !result->error ? &version : NULL);
	return ok ? 0 : -EBADMSG;
}

static const struct vici_ops version_ops = {.done = version_done};

int vici_get_version(
        struct vici *v, vici_version_fn *fn, void *user, uint64_t timeout_us, uint64_t now_us)
{
	return ask(v, "version", &version_ops, (vici_any_fn *)fn, user, timeout_us, now_us);
}

/* ---- stats ---- */

static const struct vici_field plugin_fields[] = {
        {"plugins", VICI_F_LIST, offsetof(struct vici_stats, plugins)},
};

static const struct number {
	const char *path;
	size_t offset;
} stats_numbers[] = {
        {"workers.total", offsetof(struct vici_stats, workers_total)},
        {"workers.idle", offsetof(struct vici_stats, workers_idle)},
        {"queues.critical", offsetof(struct vici_stats, queue_critical)},
        {"queues.high", offsetof(struct vici_stats, queue_high)},
        {"queues.medium", offsetof(struct vici_stats, queue_medium)},
        {"queues.low", offsetof(struct vici_stats, queue_low)},
        {"scheduled", offsetof(struct vici_stats, scheduled)},
        {"ikesas.total", offsetof(struct vici_stats, ike_sas)},
        {"ikesas.half-open", offsetof(struct vici_stats, ike_sas_half_open)},
};

static int decode_stats(struct vici_arena *a, struct vici_blob m, struct vici_stats *stats)
{
	size_t i;

	for (i = 0; i < COUNT(stats_numbers); i++) {
		if (vici_find_u64(m, stats_numbers[i].path,
		            (uint64_t *)((char *)stats + stats_numbers[i].offset)))
			return -EBADMSG;
	}
	if (vici_find_text(m, "uptime.running", stats->running, sizeof(stats->running)) ||
	        vici_find_text(m, "uptime.since", stats->since, sizeof(stats->since)))
		return -EBADMSG;
	return vici_decode(a, m, plugin_fields, COUNT(plugin_fields), stats);
}

static int stats_done(struct vici_request *r, const struct vici_result *result)
{
	vici_stats_fn *fn = (vici_stats_fn *)r->done;
	struct vici_stats stats = {0};
	struct vici_result bad;
	struct vici_arena a;
	int err = result->error ? 0 : vici_arena_init(&a, result->reply, 0);
	bool arena = !result->error && !err;

	if (arena)
		err = decode_stats(&a, result->reply, &stats);
	bad = vici_result_error(err, bad_reply.errmsg);
	if (fn)
		fn(r->user, err ? &bad : result, err || result->error ? NULL : &stats);
	if (arena)
		vici_arena_fini(&a);
	return err;
}

static const struct vici_ops stats_ops = {.done = stats_done};

int vici_get_stats(
        struct vici *v, vici_stats_fn *fn, void *user, uint64_t timeout_us, uint64_t now_us)
{
	return ask(v, "stats", &stats_ops, (vici_any_fn *)fn, user, timeout_us, now_us);
}

/* ---- lists of names ---- */

struct names {
	const char *const *list;
	size_t n;
};

/* The reply holds exactly one list, "conns" or "keys". */
static int decode_names(struct vici_arena *a, struct vici_blob m, struct names *names)
{
	struct vici_element e;
	struct vici_iter it;

	vici_iter_init(&it, m);
	if (vici_iter_next(&it, &e) <= 0 || e.type != VICI_LIST_START)
		return -EBADMSG;
	names->list = vici_decode_list(a, &it, &names->n);
	return names->list && !vici_iter_next(&it, &e) ? 0 : -EBADMSG;
}

static int names_done(struct vici_request *r, const struct vici_result *result)
{
	vici_names_fn *fn = (vici_names_fn *)r->done;
	struct names names = {0};
	struct vici_result bad;
	struct vici_arena a;
	int err = result->error ? 0 : vici_arena_init(&a, result->reply, 0);
	bool arena = !result->error && !err;

	if (arena)
		err = decode_names(&a, result->reply, &names);
	bad = vici_result_error(err, bad_reply.errmsg);
	if (fn)
		fn(r->user, err ? &bad : result, err ? NULL : names.list, err ? 0 : names.n);
	if (arena)
		vici_arena_fini(&a);
	return err;
}

static const struct vici_ops names_ops = {.done = names_done};

int vici_get_conns(
        struct vici *v, vici_names_fn *fn, void *user, uint64_t timeout_us, uint64_t now_us)
{
	return ask(v, "get-conns", &names_ops, (vici_any_fn *)fn, user, timeout_us, now_us);
}

int vici_get_keys(
        struct vici *v, vici_names_fn *fn, void *user, uint64_t timeout_us, uint64_t now_us)
{
	return ask(v, "get-keys", &names_ops, (vici_any_fn *)fn, user, timeout_us, now_us);
}

int vici_get_shared(
        struct vici *v, vici_names_fn *fn, void *user, uint64_t timeout_us, uint64_t now_us)
{
	return ask(v, "get-shared", &names_ops, (vici_any_fn *)fn, user, timeout_us, now_us);
}

/* ---- algorithms and counters: section { key = value } ---- */

struct pair {
	char section[VICI_NAME_MAX + 1], key[VICI_NAME_MAX + 1];
	struct vici_blob value;
};

/* Calls fn for each pair in each section; a first pass (fn NULL) finds what is not as documented.
 */
static int each_pair(struct vici_blob m, int (*fn)(struct vici_request *r, const struct pair *pair),
        struct vici_request *r)
{
	struct vici_element e;
	struct vici_iter it;
	unsigned int depth = 0;
	struct pair pair;
	int err = 0;

	vici_iter_init(&it, m);
	while (!err && vici_iter_next(&it, &e) > 0) {
		struct vici_blob name = {e.name, e.name_len};

		if (e.type == VICI_SECTION_START) {
			vici_text(pair.section, sizeof(pair.section), name);
			err = depth++ ? -EBADMSG : 0;
		} else if (e.type == VICI_SECTION_END) {
			depth--;
		} else if (e.type == VICI_KEY_VALUE && depth == 1) {
			vici_text(pair.key, sizeof(pair.key), name);
			pair.value = e.value;
			err = fn(r, &pair);
		} else {
			err = -EBADMSG;
		}
	}
	return err;
}

static int check_pair(struct vici_request *r, const struct pair *pair)
{
	(void)r;
	(void)pair;
	return 0;
}

static int algorithm_pair(struct vici_request *r, const struct pair *pair)
{
	char plugin[VICI_NAME_MAX + 1];

	vici_text(plugin, sizeof(plugin), pair->value);
	((vici_algorithm_fn *)r->row)(r->user, pair->section, pair->key, plugin);
	return 0;
}

static int check_counter(struct vici_request *r, const struct pair *pair)
{
	uint64_t n;

	(void)r;
	return vici_parse_u64(pair->value, &n) ? -EBADMSG : 0;
}

static int counter_pair(struct vici_request *r, const struct pair *pair)
{
	uint64_t n = 0;

	vici_parse_u64(pair->value, &n);
	((vici_counter_fn *)r->row)(r->user, pair->section, pair->key, n);
	return 0;
}

/* Checked as a whole before the first row is given out. */
static int pairs_done(struct vici_request *r, const struct vici_result *result,
        struct vici_blob pairs, int (*check)(struct vici_request *r, const struct pair *pair),
        int (*row)(struct vici_request *r, const struct pair *pair))
{
	int err = result->error ? 0 : each_pair(pairs, check, r);

	if (!err && !result->error && r->row)
		each_pair(pairs, row, r);
	if (r->done)
		((vici_done_fn *)r->done)(r->user, err ? &bad_reply : result);
	return err;
}

static int algorithms_done(struct vici_request *r, const struct vici_result *result)
{
	return pairs_done(r, result, result->reply, check_pair, algorithm_pair);
}

static const struct vici_ops algorithm_ops = {.done = algorithms_done};

int vici_get_algorithms(struct vici *v, vici_algorithm_fn *row, vici_done_fn *done, void *user,
        uint64_t timeout_us, uint64_t now_us)
{
	const struct vici_submit s = {.command = "get-algorithms",
	        .ops = &algorithm_ops,
	        .row = (vici_any_fn *)row,
	        .done = (vici_any_fn *)done,
	        .user = user,
	        .timeout_us = timeout_us,
	        .now_us = now_us};
	struct vici_builder none;

	vici_builder_init(&none);
	return vici_submit(v, &s, &none);
}

static int counters_done(struct vici_request *r, const struct vici_result *result)
{
	struct vici_blob pairs = {0};

	if (!result->error && vici_find_section(result->reply, "counters", &pairs)) {
		if (r->done)
			((vici_done_fn *)r->done)(r->user, &bad_reply);
		return -EBADMSG;
	}
	return pairs_done(r, result, pairs, check_counter, counter_pair);
}

static const struct vici_ops counter_ops = {.done = counters_done};

int vici_get_counters(struct vici *v, const char *connection, vici_counter_fn *row,
        vici_done_fn *done, void *user, uint64_t timeout_us, uint64_t now_us)
{
	const struct vici_submit s = {.command = "get-counters",
	        .ops = &counter_ops,
	        .row = (vici_any_fn *)row,
	        .done = (vici_any_fn *)done,
	        .user = user,
	        .timeout_us = timeout_us,
	        .now_us = now_us};
	struct vici_builder b;

	vici_builder_init(&b);
	if (connection && !strcmp(connection, "*"))
		vici_add_bool(&b, "all", true);
	else if (connection)
		vici_add_str(&b, "name", connection);
	return vici_submit(v, &s, &b);
}

/* ---- streams ---- */

static int stream_done(struct vici_request *r, const struct vici_result *result)
{
	if (r->done)
		((vici_done_fn *)r->done)(r->user, result);
	return 0;
}

static int sa_row(struct vici_request *r, struct vici_blob row)
{
	return vici_decode_sas(row, (vici_ike_sa_fn *)r->row, r->user);
}

static const struct vici_ops sa_ops = {.row = sa_row, .done = stream_done};

int vici_list_sas(struct vici *v, const struct vici_select *which, vici_ike_sa_fn *row,
        vici_done_fn *done, void *user, uint64_t timeout_us, uint64_t now_us)
{
	const struct vici_submit s = {.command = "list-sas",
	        .stream = "list-sa",
	        .ops = &sa_ops,
	        .row = (vici_any_fn *)row,
	        .done = (vici_any_fn *)done,
	        .user = user,
	        .timeout_us = timeout_us,
	        .now_us = now_us};
	struct vici_builder b;

	vici_builder_init(&b);
	if (which)
		vici_add_select(&b, which);
	if (which && which->noblock)
		vici_add_bool(&b, "noblock", true);
	return vici_submit(v, &s, &b);
}

static int conn_row(struct vici_request *r, struct vici_blob row)
{
	return vici_decode_conns(row, (vici_conn_row_fn *)r->row, r->user);
}

static const struct vici_ops conn_ops = {.row = conn_row, .done = stream_done};

int vici_list_conns(struct vici *v, const char *name, vici_conn_row_fn *row, vici_done_fn *done,
        void *user, uint64_t timeout_us, uint64_t now_us)
{
	const struct vici_submit s = {.command = "list-conns",
	        .stream = "list-conn",
	        .ops = &conn_ops,
	        .row = (vici_any_fn *)row,
	        .done = (vici_any_fn *)done,
	        .user = user,
	        .timeout_us = timeout_us,
	        .now_us = now_us};
	struct vici_builder b;

	vici_builder_init(&b);
	if (name)
		vici_add_str(&b, "ike", name);
	return vici_submit(v, &s, &b);
}

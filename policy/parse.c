/* SPDX-License-Identifier: GPL-2.0-or-later */
/* From files in memory to a policy, or to a report. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

#include "policy/internal.h"

#define MAIN_FILE "policy.yaml"

bool pol_is_token_file(const char *name)
{
	return strncmp(name, "tokens.d/", 9) == 0;
}

static int source_compare(const void *a, const void *b)
{
	const struct pol_source *x = a, *y = b;
	bool x_main = strcmp(x->name, MAIN_FILE) == 0, y_main = strcmp(y->name, MAIN_FILE) == 0;

	if (x_main != y_main)
		return x_main ? -1 : 1;
	return strcmp(x->name, y->name);
}

/* Our view of the files, policy.yaml first, without byte order marks. */
static void sources_take(struct pol_ctx *ctx, const struct policy_file *files, size_t n)
{
	ctx->sources = pol_array(&ctx->scratch, n, sizeof(*ctx->sources));
	ctx->n_sources = n;
	for (size_t i = 0; i < n; i++) {
		struct pol_source *source = &ctx->sources[i];

		source->name = pol_keep(ctx, files[i].name);
		source->data = files[i].data;
		source->len = files[i].len;
		if (source->len >= 3 && memcmp(source->data, "\xef\xbb\xbf", 3) == 0) {
			source->data += 3;
			source->len -= 3;
		}
	}
	pol_sort(ctx->sources, n, sizeof(*ctx->sources), source_compare);
}

static bool sizes_check(struct pol_ctx *ctx)
{
	struct policy_where where = {MAIN_FILE, 0, 0};
	size_t total = 0;

	for (size_t i = 0; i < ctx->n_sources; i++)
		total += ctx->sources[i].len < POLICY_TOTAL_MAX ? ctx->sources[i].len
		                                                : POLICY_TOTAL_MAX + 1;
	if (!ctx->n_sources || strcmp(ctx->sources[0].name, MAIN_FILE) != 0)
		pol_error(ctx, where, "there is no policy.yaml: make one with `overlayctl init`");
	else if (total > POLICY_TOTAL_MAX)
		pol_error(ctx, where, "the files of this policy have more than %u MB together",
		        POLICY_TOTAL_MAX >> 20);
	else
		return true;
	return false;
}

static void main_parse(struct pol_ctx *ctx)
{
	const struct pol_node *top;
	struct policy_where where;
	bool empty;

	ctx->source = &ctx->sources[0];
	top = ctx->read_main(ctx, &empty);
	/* This tree is needed to the end, the other files' only for a moment. */
	ctx->main_tree.chunks = ctx->tree.chunks;
	ctx->tree.chunks = NULL;
	where = (struct policy_where){ctx->source->name, 1, 1};
	if (empty)
		pol_error(
		        ctx, where, "this file is empty: `overlayctl init` writes a first policy");
	ctx->torn_main = !top || !pol_keys_check(ctx, top, &pol_keys_top);
	ctx->torn = ctx->torn_main;
	ctx->top = ctx->torn_main ? &ctx->nothing : top;
	if (ctx->torn_main) {
		ctx->policy->cluster = "?";
		ctx->policy->port = 4500;
		return;
	}
	pol_settings_parse(ctx, top);
	pol_sites_parse(ctx, pol_get(top, "sites"));
	pol_services_parse(ctx, pol_get(top, "services"));
	pol_roles_parse(ctx, pol_get(top, "roles"));
	if (pol_get(top, "peers"))
		pol_peers_parse(ctx, pol_get(top, "peers"), false);
	if (pol_get(top, "tokens"))
		pol_tokens_parse(ctx, pol_get(top, "tokens"), false);
}

/* Of peers.d, or of tokens.d. */
static void part_file_parse(struct pol_ctx *ctx, const struct pol_source *source)
{
	struct policy_where where = {source->name, 1, 1};
	bool empty, tokens = pol_is_token_file(source->name);
	const char *what = tokens ? "token" : "peer";
	const struct pol_node *top;

	ctx->source = source;
	top = pol_yaml_parse(ctx, &empty);
	if (top && tokens)
		pol_tokens_parse(ctx, top, true);
	else if (top)
		pol_peers_parse(ctx, top, true);
	else
		ctx->torn = true;
	if (empty) /* perhaps being written just now: its peer must not be evicted for that */
		pol_error(ctx, where, "this file holds no %s: delete it if the %s is to go", what,
		        what);
	pol_arena_reset(&ctx->tree);
}

/* ---- the final order of peers, tokens and roles */

static int peer_compare(const void *a, const void *b)
{
	const struct policy_peer *x = a, *y = b;

	return strcmp(x->name, y->name);
}

struct role_place {
	const char *name;
	uint16_t old;
};

static int role_compare(const void *a, const void *b)
{
	const struct role_place *x = a, *y = b;

	return strcmp(x->name, y->name);
}

static int index_compare(const void *a, const void *b)
{
	const uint16_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

static int token_compare(const void *a, const void *b)
{
	const struct policy_token *x = a, *y = b;

	return strcmp(x->name, y->name);
}

/* Their places in the sorted table. The list is ours still. */
static void roles_place(const uint16_t *list, size_t n, const uint16_t *now)
{
	uint16_t *roles = (uint16_t *)(uintptr_t)list;

	for (size_t i = 0; i < n; i++)
		roles[i] = now[roles[i]];
	pol_sort(roles, n, sizeof(*roles), index_compare);
}

static void roles_finish(struct pol_ctx *ctx)
{
	struct role_place places[POLICY_ROLES_MAX];
	uint16_t now[POLICY_ROLES_MAX];
	bool held[POLICY_ROLES_MAX], *declared = pol_alloc(&ctx->keep, ctx->n_roles + 1);
	const char **names = pol_array(&ctx->keep, ctx->n_roles, sizeof(*names));
	struct pol_names table = {0};

	for (size_t i = 0; i < ctx->n_roles; i++)
		places[i] = (struct role_place){ctx->roles[i], (uint16_t)i};
	pol_sort(places, ctx->n_roles, sizeof(places[0]), role_compare);
	for (size_t i = 0; i < ctx->n_roles; i++) {
		names[i] = places[i].name;
		now[places[i].old] = (uint16_t)i;
		held[i] = ctx->role_held[places[i].old];
		declared[i] = ctx->role_declared[places[i].old];
		pol_names_put(&ctx->scratch, &table, names[i], (uint32_t)i);
	}
	for (size_t i = 0; i < ctx->n_peers; i++)
		roles_place(ctx->peers[i].roles, ctx->peers[i].n_roles, now);
	for (size_t i = 0; i < ctx->n_tokens; i++)
		roles_place(ctx->tokens[i].roles, ctx->tokens[i].n_roles, now);
	if (ctx->n_roles)
		memcpy(ctx->role_held, held, ctx->n_roles * sizeof(held[0]));
	ctx->role_declared = declared;
	ctx->role_names = table;
	ctx->policy->roles = names;
	ctx->policy->n_roles = ctx->n_roles;
	ctx->full->role_declared = declared;
}

static void *kept(struct pol_ctx *ctx, const void *items, size_t n, size_t size)
{
	void *copy = pol_array(&ctx->keep, n, size);

	if (n)
		memcpy(copy, items, n * size);
	return copy;
}

/* From here on indexes of peers, roles, sites and services are those of the policy. */
static void tables_finish(struct pol_ctx *ctx)
{
	struct policy *policy = ctx->policy;
	struct pol_names table = {0};

	if (ctx->n_peers)
		pol_sort(ctx->peers, ctx->n_peers, sizeof(*ctx->peers), peer_compare);
	for (size_t i = 0; i < ctx->n_peers; i++)
		pol_names_put(&ctx->scratch, &table, ctx->peers[i].name, (uint32_t)i);
	ctx->peer_names = table;
	pol_sort(ctx->tokens, ctx->n_tokens, sizeof(*ctx->tokens), token_compare);
	roles_finish(ctx);
	policy->peers = kept(ctx, ctx->peers, ctx->n_peers, sizeof(*ctx->peers));
	policy->n_peers = ctx->n_peers;
	policy->tokens = kept(ctx, ctx->tokens, ctx->n_tokens, sizeof(*ctx->tokens));
	policy->n_tokens = ctx->n_tokens;
	policy->sites = kept(ctx, ctx->sites, ctx->n_sites, sizeof(*ctx->sites));
	policy->n_sites = ctx->n_sites;
	policy->services = kept(ctx, ctx->services, ctx->n_services, sizeof(*ctx->services));
	policy->n_services = ctx->n_services;
}

static void whole_parse(struct pol_ctx *ctx)
{
	const struct pol_node *top;

	if (ctx->read_main == pol_yaml_parse && !sizes_check(ctx))
		return;
	main_parse(ctx);
	for (size_t i = 1; i < ctx->n_sources; i++)
		part_file_parse(ctx, &ctx->sources[i]);
	tables_finish(ctx);
	ctx->source = &ctx->sources[0];
	top = ctx->top;
	if (!ctx->torn_main) {
		pol_allows_parse(ctx, pol_get(top, "allow"));
		pol_manage_parse(ctx, pol_get(top, "manage"));
		pol_failovers_parse(ctx, pol_get(top, "failover"));
		pol_tests_parse(ctx, pol_get(top, "tests"));
	}
	pol_check(ctx);
}

static int digest_make(struct policy *policy)
{
	char *text = policy_print(policy);
	unsigned int len = sizeof(policy->digest);
	int ok;

	if (!text)
		return -ENOMEM;
	ok = EVP_Digest(text, strlen(text), policy->digest, &len, EVP_sha256(), NULL);
	free(text);
	return ok == 1 ? 0 : -EIO;
}

/* Runs under setjmp: what ctx holds is all there is. */
static int parse_run(struct pol_ctx *ctx, const struct policy_file *files, size_t n)
{
	if (setjmp(ctx->oom))
		return -ENOMEM;
	ctx->full = pol_alloc(&ctx->keep, sizeof(*ctx->full));
	ctx->policy = &ctx->full->pub;
	sources_take(ctx, files, n);
	whole_parse(ctx);
	pol_faults_sort(ctx);
	return ctx->errors ? -EINVAL : digest_make(ctx->policy);
}

int pol_parse(const struct policy_file *files, size_t n_files, pol_read_fn read_main,
        const void *read_arg, struct policy **out, struct policy_report *report)
{
	struct pol_ctx *ctx = calloc(1, sizeof(*ctx));
	const char *name = read_main == pol_yaml_parse ? MAIN_FILE : files[0].name;
	int ret;

	if (!ctx)
		return pol_report_errno(report, name, -ENOMEM, "the policy cannot be read");
	ctx->read_main = read_main;
	ctx->read_arg = read_arg;
	ctx->report = report;
	ctx->first_fault = report->n_faults;
	ctx->nothing.kind = POL_MAP;
	ctx->keep.oom = ctx->scratch.oom = ctx->tree.oom = ctx->main_tree.oom = &ctx->oom;
	ret = parse_run(ctx, files, n_files);
	if (ret == 0) {
		ctx->full->arena = ctx->keep;
		ctx->full->arena.oom = NULL;
		atomic_init(&ctx->full->refs, 1);
		*out = ctx->policy;
	} else {
		pol_arena_free(&ctx->keep);
	}
	if (ret && ret != -EINVAL)
		pol_report_errno(report, name, ret, "the policy cannot be read");
	pol_yaml_done(&ctx->yaml);
	pol_arena_free(&ctx->scratch);
	pol_arena_free(&ctx->tree);
	pol_arena_free(&ctx->main_tree);
	free(ctx);
	return ret;
}

int policy_parse(const struct policy_file *files, size_t n_files, struct policy **out,
        struct policy_report *report)
{
	return pol_parse(files, n_files, pol_yaml_parse, NULL, out, report);
}

struct policy *policy_ref(const struct policy *policy)
{
	struct pol_full *full = (struct pol_full *)policy;

	if (full)
		atomic_fetch_add(&full->refs, 1);
	return (struct policy *)policy;
}

void policy_unref(const struct policy *policy)
{
	struct pol_full *full = (struct pol_full *)policy;
	const struct policy *written;
	struct pol_arena arena;

	if (!full || atomic_fetch_sub(&full->refs, 1) != 1)
		return;
	written = full->written;
	arena = full->arena; /* it holds `full` itself */
	pol_arena_free(&arena);
	policy_unref(written);
}

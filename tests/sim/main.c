/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * sim [--seed S] [--seeds N] [--nodes N] [--hours H] [--impair NAME] [--impairments] [--verbose]
 *
 * Exit status: 0 all rules held, 1 one was broken, 2 bad arguments. --impairments runs one engine
 * after the other that is broken on purpose, and fails if one of them is not caught.
 */
#include "engine/impair.h"
#include "tests/sim/guest.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define QUIET_US (420 * US)

/* The first ones in the order of enum engine_impairment. */
static const char *const impairments[] = {"skip-fw-revoke", "forget-expiry",
        "expiry-in-daemon-only", "ignore-unknown-sa", "unload-without-terminate", "no-reload",
        "leak-per-message", "admit-before-gone", "trust-silence", "no-fw-repair", "keep-old-key",
        "flush-on-start", "trust-clock", "keep-class", "guard-admitted-only", "hours-by-trusted",
        "ignore-foreign", "trust-lists", "forget-key",
        "trust-conns", [IMPAIR_TRUST_TOKENS] = "trust-tokens", [IMPAIR_KEEP_GUESTS] = "keep-guests",
        [IMPAIR_NO_COUNT] = "no-count", [IMPAIR_ADMIT_UNSTORED] = "admit-unstored"};
#define N_IMPAIRMENTS (sizeof(impairments) / sizeof(impairments[0]))

struct options {
	uint64_t seed, seeds;
	int nodes;
	double hours;
	bool verbose;
	const char *impair;
};

static void node_init(struct world *w, int i)
{
	struct node *n = &w->nodes[i];

	n->index = i;
	snprintf(n->name, sizeof(n->name), "n%d", i);
	n->key = n->disk = n->force = -1;
	node_new_key(w, n);
	n->underlay = (struct policy_addr){2, {192, 0, 2, (uint8_t)(i + 1)}};
	n->kernel.broken_since = -1;
	n->asked_at = n->key_at = -1000 * US;
	for (int f = 0; f < FORMER_MAX; f++)
		n->former[f].until = -1000 * US;
	n->floor_s = EPOCH_S - 100;
}

static bool run_one(const struct options *o, uint64_t seed, struct world *w)
{
	bool ok;

	memset(w, 0, sizeof(*w));
	core_init(&w->core, seed);
	w->n_nodes = o->nodes;
	w->core.verbose = o->verbose;
	w->core.end = (int64_t)(o->hours * 3600 * (double)US) + QUIET_US;
	w->core.quiet = w->core.end - QUIET_US;
	for (int i = 0; i < w->n_nodes; i++)
		node_init(w, i);
	if (seed % 3 == 0) /* the admin signs, and sessions carry it */
		session_mode(w);
	if (seed % 3 == 0) /* and somebody joins */
		join_mode(w);
	if (seed % 6 == 3) /* by a token */
		guest_mode(w);
	admin_start(w);
	trouble_start(w);
	ok = world_run(w);
	trace(w, w->core.rng);
	world_free(w);
	return ok;
}

static void report(const struct options *o, const struct world *w)
{
	printf("seed %llu, step %llu, %.3f s: %s broken: %s\n"
	       "replay: build/tests/sim --seed %llu --nodes %d --hours %g%s%s --verbose\n",
	        (unsigned long long)w->core.seed, (unsigned long long)w->core.steps,
	        (double)w->core.now / US, w->core.rule, w->core.what,
	        (unsigned long long)w->core.seed, o->nodes, o->hours, o->impair ? " --impair " : "",
	        o->impair ? o->impair : "");
}

static int run_seeds(const struct options *o)
{
	static struct world w;
	uint64_t steps = 0, trace_all = 0, last = 0, n_signed = 0, by_session = 0;
	uint64_t n_joins = 0, joined = 0, lies = 0, let_in = 0;
	clock_t from = clock();

	for (uint64_t s = 0; s < o->seeds; s++) {
		if (!run_one(o, o->seed + s, &w)) {
			report(o, &w);
			return 1;
		}
		steps += w.core.steps;
		n_signed += w.is_signed;
		by_session += w.n_by_session;
		n_joins += w.n_asks > 0;
		joined += w.n_joined;
		lies += w.n_lies;
		let_in += w.n_let_in;
		last = w.core.trace;
		trace_all = trace_all * 31 + w.core.trace;
	}
	if (!run_one(o, o->seed + o->seeds - 1, &w) || w.core.trace != last) {
		printf("seed %llu does not replay: trace %016llx, then %016llx\n",
		        (unsigned long long)w.core.seed, (unsigned long long)last,
		        (unsigned long long)w.core.trace);
		return 1;
	}
	if (n_signed > 4 && !by_session) {
		printf("no bundle came by a session in %llu seeds\n", (unsigned long long)n_signed);
		return 1;
	}
	if (n_joins > 4 && (!joined || !lies)) {
		printf("nobody joined, or no seed lied, in %llu seeds\n",
		        (unsigned long long)n_joins);
		return 1;
	}
	printf("%llu seeds from %llu, %d nodes, %g h each: all rules held; %llu steps, %.1f s of "
	       "CPU, largest engine %zu bytes, %llu with a cluster key: %llu bundles by session; "
	       "%llu of %llu strangers joined, and heard %llu lies; tokens let in %llu; trace "
	       "%016llx\n",
	        (unsigned long long)o->seeds, (unsigned long long)o->seed, o->nodes, o->hours,
	        (unsigned long long)steps, (double)(clock() - from) / CLOCKS_PER_SEC, w.memory_max,
	        (unsigned long long)n_signed, (unsigned long long)by_session,
	        (unsigned long long)joined, (unsigned long long)n_joins, (unsigned long long)lies,
	        (unsigned long long)let_in, (unsigned long long)trace_all);
	return 0;
}

static int impair_find(const char *name)
{
	for (size_t i = 0; i < N_IMPAIRMENTS; i++)
		if (impairments[i] && !strcmp(impairments[i], name))
			return (int)i;
	fprintf(stderr, "sim: no impairment is called '%s'; there are:", name);
	for (size_t i = 0; i < N_IMPAIRMENTS; i++)
		if (impairments[i])
			fprintf(stderr, " %s", impairments[i]);
	fprintf(stderr, "\n");
	return -1;
}

/* Each must be caught by some seed; and the same seed must be fine with a sound engine. */
static int run_impairments(struct options *o)
{
	static struct world w;
	int missed = 0;

	for (size_t i = 0; i < N_IMPAIRMENTS; i++) {
		uint64_t s;

		if (!impairments[i])
			continue;
		engine_impair = 1U << i;
		for (s = 0; s < o->seeds; s++)
			if (!run_one(o, o->seed + s, &w))
				break;
		engine_impair = 0;
		missed += s == o->seeds;
		if (s == o->seeds)
			printf("%-26s NOT CAUGHT by %llu seeds\n", impairments[i],
			        (unsigned long long)o->seeds);
		else
			printf("%-26s caught at seed %llu by %s: %s\n", impairments[i],
			        (unsigned long long)(o->seed + s), w.core.rule, w.core.what);
	}
	return missed ? 1 : 0;
}

static int usage(void)
{
	fprintf(stderr,
	        "usage: sim [--seed S] [--seeds N] [--nodes 2..%d] [--hours H] "
	        "[--impair NAME] [--impairments] [--verbose]\n",
	        NODES_MAX);
	return 2;
}

int main(int argc, char **argv)
{
	static const struct option longs[] = {{"seed", 1, NULL, 's'}, {"seeds", 1, NULL, 'S'},
	        {"nodes", 1, NULL, 'n'}, {"hours", 1, NULL, 'h'}, {"impair", 1, NULL, 'i'},
	        {"impairments", 0, NULL, 'I'}, {"verbose", 0, NULL, 'v'}, {NULL, 0, NULL, 0}};
	struct options o = {.seed = 1, .seeds = 1, .nodes = 5, .hours = 2};
	bool all = false;
	int c, bit;

	while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		if (c == 's')
			o.seed = strtoull(optarg, NULL, 0);
		else if (c == 'S')
			o.seeds = strtoull(optarg, NULL, 0);
		else if (c == 'n')
			o.nodes = atoi(optarg);
		else if (c == 'h')
			o.hours = atof(optarg);
		else if (c == 'v')
			o.verbose = true;
		else if (c == 'i')
			o.impair = optarg;
		else if (c == 'I')
			all = true;
		else
			return usage();
	}
	if (o.nodes < 2 || o.nodes > NODES_MAX || o.hours <= 0 || o.hours > 10000 || optind < argc)
		return usage();
	bit = o.impair ? impair_find(o.impair) : 0;
	if (bit < 0)
		return 2;
	if (o.impair)
		engine_impair = 1U << bit;
	return all ? run_impairments(&o) : run_seeds(&o);
}

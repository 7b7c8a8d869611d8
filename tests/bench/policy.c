/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A policy of 10,000 peers, from files to the complete plan: parse, check, the engine's decisions,
 * the firewall's ruleset, and every connection that charon is to be given. Each run is a fresh
 * process, whose peak resident memory counts. Both forms in turn: a file for each peer, and all in
 * one. Then the same policy once more: it must cause nothing.
 *
 *	policy				measure
 *	policy make DIR N FORM NET	write one: FORM files|one; NET endpoints|none
 *	policy plan DIR			one run
 */
#include "firewall/firewall.h"
#include "host/fwadapt.h"
#include "tests/bench/cluster.h"

#include <limits.h>
#include <sys/resource.h>
#include <sys/stat.h>

#define PART "policy"
#define PEERS 10000
#define ROUNDS 7

/* ---- writing a policy ---- */

static FILE *file_open(const char *dir, const char *name)
{
	char path[PATH_MAX];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "w");
	if (!f)
		die("%s: %s", path, strerror(errno));
	return f;
}

static void file_close(FILE *f)
{
	if (fclose(f))
		die("cannot write: %s", strerror(errno));
}

static void peer_write(FILE *f, const char *indent, unsigned int i, bool endpoints)
{
	char key[96], addr[INET6_ADDRSTRLEN], where[96] = "";
	struct policy_addr endpoint;
	struct node n;

	node_make(i, &n);
	policy_key_print(&n.key, key, sizeof(key));
	/* Somebody must be reachable: the peers, or the hub. */
	if (endpoints == (i > 0)) {
		node_endpoint(i, &endpoint);
		policy_addr_print(&endpoint, addr, sizeof(addr));
		snprintf(where, sizeof(where), ", endpoints: [%s]", addr);
	}
	policy_addr_print(&n.addr4, addr, sizeof(addr));
	fprintf(f, "%s%s: { key: \"%s %s\", address: %s, site: %s, roles: [%s]%s }\n", indent,
	        n.name, key, n.name, addr, i % 2 ? "aws" : "hq", i ? "exec" : "head", where);
}

static void policy_make(const char *dir, unsigned int n, bool files, bool endpoints)
{
	char path[PATH_MAX], name[64];
	FILE *f;

	snprintf(path, sizeof(path), "%s/peers.d", dir);
	if ((mkdir(dir, 0755) < 0 && errno != EEXIST) || (mkdir(path, 0755) < 0 && errno != EEXIST))
		die("%s: %s", path, strerror(errno));
	f = file_open(dir, "policy.yaml");
	fputs("cluster: " CLUSTER_NAME "\nserial: 1\noverlay: 10.77.0.0/16\n"
	      "sites:\n  hq: { timezone: Europe/Brussels }\n  aws: {}\n"
	      "services:\n  iperf: { ports: [tcp/5201] }\n"
	      "allow:\n  - { from: exec, to: head, service: pbs }\n"
	      "  - { from: head, to: exec, service: pbs }\n"
	      "  - { from: exec, to: head, service: iperf }\n"
	      "roles: [head, exec]\npeers:\n",
	        f);
	for (unsigned int i = 0; i <= n; i++) {
		FILE *to = f;

		if (files && i) {
			snprintf(name, sizeof(name), "peers.d/n%05u.yaml", i);
			to = file_open(dir, name);
		}
		peer_write(to, to == f ? "  " : "", i, endpoints);
		if (to != f)
			file_close(to);
	}
	file_close(f);
}

/* ---- one run ---- */

struct run {
	struct engine *engine;
	struct fw_ruleset *rs; /* of the last FW_BASE, with its peers */
	unsigned int loads, admits, other;
	uint64_t *answers; /* ids whose result is due */
	size_t n_answers, cap;
	uint64_t list_sas, list_conns;
};

static struct engine_time engine_now(void)
{
	struct timespec t, w;

	clock_gettime(CLOCK_BOOTTIME, &t);
	clock_gettime(CLOCK_REALTIME, &w);
	return (struct engine_time){(int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000, w.tv_sec};
}

static void peer_put(struct run *run, const struct policy *policy,
        const struct engine_fw_base *base, const struct engine_fw_peer *p)
{
	char in[FWRULES_CLASS_MAX], out[FWRULES_CLASS_MAX];
	struct fw_peer fp = {.name = p->peer, .in = in, .out = out};

	fwrules_class_name(policy, base->in[p->class_in].bits, in);
	fwrules_class_name(policy, base->out[p->class_out].bits, out);
	fwrules_addr(&p->addr4, &fp.v4);
	fwrules_addr(&p->addr6, &fp.v6);
	if (fw_ruleset_set_peer(run->rs, &fp))
		die("cannot put %s into the ruleset", p->peer);
}

static void base_build(struct run *run, const struct engine_fw_base *base)
{
	struct fwrules_world world = {.device = "ipsec0"};
	char err[256];

	fw_ruleset_free(run->rs);
	if (fwrules_make(base, &world, &run->rs, err, sizeof(err)))
		die("%s", err);
	for (size_t i = 0; i < base->n_peers; i++)
		peer_put(run, base->policy, base, &base->peers[i]);
}

static void answer_later(struct run *run, uint64_t id)
{
	if (run->n_answers == run->cap) {
		run->cap = run->cap ? 2 * run->cap : 64;
		run->answers = realloc(run->answers, run->cap * sizeof(*run->answers));
		if (!run->answers)
			die("out of memory");
	}
	run->answers[run->n_answers++] = id;
}

static void effect_take(struct run *run, const struct engine_effect *fx)
{
	switch (fx->type) {
	case ENGINE_FX_NOTICE:
		return;
	case ENGINE_FX_LIST_SAS:
		run->list_sas = fx->id;
		return;
	case ENGINE_FX_PROBE:
	case ENGINE_FX_LIST_CONNS:
		run->list_conns = fx->id;
		return;
	case ENGINE_FX_FW_BASE:
		base_build(run, &fx->fw_base);
		run->admits += (unsigned int)fx->fw_base.n_peers;
		break;
	case ENGINE_FX_FW_ADMIT:
		run->admits++;
		break;
	case ENGINE_FX_LOAD_CONN:
		run->loads++;
		break;
	default:
		run->other++;
	}
	answer_later(run, fx->id);
}

/* How many effects beside notices. */
static size_t step(struct run *run, struct engine_event *ev)
{
	struct engine_effects out;
	size_t n = 0;

	ev->now = engine_now();
	if (engine_step(run->engine, ev, &out))
		die("engine: out of memory");
	for (size_t i = 0; i < out.n; i++) {
		n += out.v[i].type != ENGINE_FX_NOTICE;
		effect_take(run, &out.v[i]);
	}
	return n;
}

/* charon and the kernel say yes to everything until nothing more is wanted. */
static void answer_all(struct run *run)
{
	size_t at = 0;

	while (at < run->n_answers || run->list_sas || run->list_conns) {
		struct engine_event ev = {.type = ENGINE_EV_RESULT};

		if (run->list_sas) {
			ev.type = ENGINE_EV_SAS;
			ev.sas.effect_id = run->list_sas;
			run->list_sas = 0;
		} else if (run->list_conns) {
			ev.type = ENGINE_EV_CONNS;
			ev.conns.effect_id = run->list_conns;
			run->list_conns = 0;
		} else {
			ev.result.effect_id = run->answers[at++];
		}
		step(run, &ev);
		if (at == run->n_answers)
			at = run->n_answers = 0;
	}
}

static double ms_since(uint64_t *t)
{
	uint64_t now = now_ns();
	double ms = (double)(now - *t) / 1e6;

	*t = now;
	return ms;
}

static struct policy *policy_read(const char *dir)
{
	struct policy_report report;
	struct policy *policy = NULL;

	policy_report_init(&report);
	if (policy_load(dir, &policy, &report)) {
		policy_report_print(&report, stderr, false);
		die("the policy of the bench is refused");
	}
	policy_report_clear(&report);
	return policy;
}

static void engine_begin(struct run *run)
{
	struct engine_event key = {.type = ENGINE_EV_OWN_KEY};
	struct engine_event plane = {
	        .type = ENGINE_EV_PLANE, .plane = {.up = true, .name = "ipsec0"}};
	struct engine_event charon = {
	        .type = ENGINE_EV_CHARON, .charon = {.connected = true, .generation = 1}};
	struct engine_event fw = {.type = ENGINE_EV_FIREWALL, .firewall = {ENGINE_FW_MISSING}};
	struct node hub;

	node_make(0, &hub);
	key.own_key = hub.key;
	if (engine_new(&run->engine, NULL))
		die("engine: out of memory");
	step(run, &key);
	step(run, &fw);
	step(run, &charon);
	step(run, &plane);
}

static double peak_mb(void)
{
	struct rusage use;

	getrusage(RUSAGE_SELF, &use);
	return (double)use.ru_maxrss / 1024;
}

/* The same again: netlink messages, of a real table. */
static unsigned int recommit(const struct run *run)
{
	struct fw_error err = {""};
	struct fw_result res;
	struct fw *fw;

	namespace_new();
	if (fw_open(&fw, &err) || fw_commit(fw, run->rs, NULL, &err) ||
	        fw_commit(fw, run->rs, &res, &err))
		die("%s", err.text);
	fw_close(fw);
	return res.messages;
}

/* Prints: load, plan, all (ms), peak (MB), reload (ms), effects, messages. */
static int plan(const char *dir)
{
	struct engine_event ev = {.type = ENGINE_EV_POLICY};
	double load, plan_ms, loads, peak, again;
	struct policy *policy, *same;
	struct run run = {0};
	uint64_t t;
	size_t effects;

	t = now_ns();
	policy = policy_read(dir);
	load = ms_since(&t);
	engine_begin(&run);
	ev.policy = policy;
	step(&run, &ev);
	answer_all(&run);
	plan_ms = ms_since(&t);
	peak = peak_mb();
	if (run.loads != policy->n_peers - 1 || run.admits < policy->n_peers - 1)
		die("planned %u connections and %u admissions for %zu peers", run.loads, run.admits,
		        policy->n_peers - 1);
	loads = load + plan_ms;
	t = now_ns();
	same = policy_read(dir);
	ev.policy = same;
	effects = step(&run, &ev);
	again = ms_since(&t);
	if (memcmp(policy->digest, same->digest, sizeof(same->digest)))
		die("read twice, and not the same");
	printf("%.3f %.3f %.3f %.3f %.3f %zu %u\n", load, plan_ms, loads, peak, again, effects,
	        run.rs ? recommit(&run) : 999);
	return 0;
}

/* ---- all runs ---- */

struct form {
	const char *label, *dir;
	struct samples load, plan, all, peak, again;
	double effects, messages;
};

static void form_run(struct form *form)
{
	double v[7];
	char cmd[PATH_MAX + 32], self[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	FILE *from;

	if (n <= 0)
		die("/proc/self/exe: %s", strerror(errno));
	self[n] = 0;
	snprintf(cmd, sizeof(cmd), "exec '%.2000s' plan %.1000s", self, form->dir);
	from = popen(cmd, "r");
	if (!from || fscanf(from, "%lf %lf %lf %lf %lf %lf %lf", &v[0], &v[1], &v[2], &v[3], &v[4],
	                     &v[5], &v[6]) != 7)
		die("%s did not say", cmd);
	pclose(from);
	sample(&form->load, v[0]);
	sample(&form->plan, v[1]);
	sample(&form->all, v[2]);
	sample(&form->peak, v[3]);
	sample(&form->again, v[4]);
	form->effects = v[5];
	form->messages = v[6];
}

static void form_report(const struct form *form)
{
	char what[96];

#define ROW(text, value, unit, op, target)                                                         \
	do {                                                                                       \
		snprintf(what, sizeof(what), "%s: %s", form->label, text);                         \
		row(PART, what, value, unit, op, target);                                          \
	} while (0)
	ROW("parse and check", minimum(&form->load), "ms", NULL, 0);
	ROW("plan (firewall and 10,000 connections)", minimum(&form->plan), "ms", NULL, 0);
	ROW("parse + check + plan", minimum(&form->all), "ms", "<=", 300);
	ROW("the same, median of the runs", median(&form->all), "ms", NULL, 0);
	ROW("peak resident memory", quantile(&form->peak, 1), "MB", "<=", 60);
	ROW("unchanged: effects of the engine", form->effects, "", "==", 0);
	ROW("unchanged: netlink messages", form->messages, "", "==", 0);
#undef ROW
}

int main(int argc, char **argv)
{
	static struct form forms[] = {{.label = "10,000 files"}, {.label = "one file"}};
	char dir[] = "/tmp/ovl-bench-XXXXXX", files[64], one[64], method[96];

	if (argc == 6 && !strcmp(argv[1], "make")) {
		policy_make(argv[2], (unsigned int)strtoul(argv[3], NULL, 10),
		        !strcmp(argv[4], "files"), !strcmp(argv[5], "endpoints"));
		return 0;
	}
	if (argc == 3 && !strcmp(argv[1], "plan"))
		return plan(argv[2]);
	if (!mkdtemp(dir))
		die("%s: %s", dir, strerror(errno));
	snprintf(files, sizeof(files), "%s/files", dir);
	snprintf(one, sizeof(one), "%s/one", dir);
	forms[0].dir = files;
	forms[1].dir = one;
	policy_make(files, PEERS, true, false);
	policy_make(one, PEERS, false, false);
	for (int r = 0; r < ROUNDS; r++)
		for (int i = 0; i < 2; i++)
			form_run(&forms[(i + r) % 2]);
	snprintf(method, sizeof(method),
	        "%d runs of each form in turn, each a fresh process; minima of times", ROUNDS);
	title(PART, "Policy: 10,000 peers, from files to the complete plan", method);
	form_report(&forms[0]);
	form_report(&forms[1]);
	shell("rm -rf %s", dir);
	return 0;
}

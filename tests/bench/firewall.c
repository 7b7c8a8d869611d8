/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One peer more, one peer less, beside 10, 1,000 and 10,000 others: how many netlink messages, how
 * long. Three namespaces, one of each size; every round goes through all of them, beginning with
 * another one each time. What overlayd does is done: the peer's two overlay addresses with their
 * classes, and its underlay address.
 */
#include "firewall/firewall.h"
#include "tests/bench/bench.h"

#include <netinet/in.h>

#define PART "firewall"
#define ROUNDS 301
#define WARM_UP 20
#define SIZES 3

static const unsigned int sizes[SIZES] = {10, 1000, 10000};

struct site {
	struct fw *fw;
	struct samples admit, revoke;
	unsigned int admit_messages, revoke_messages;
};

static struct fw_addr address(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static struct fw_addr address(const char *fmt, ...)
{
	va_list ap;
	struct fw_addr out;
	char text[64];

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (fw_addr_parse(text, &out) < 0)
		die("not an address: %s", text);
	return out;
}

static struct fw_peer peer(unsigned int i, char name[16])
{
	snprintf(name, 16, "n%05u", i);
	return (struct fw_peer){.name = name,
	        .v4 = address("10.77.%u.%u", (i + 1) >> 8, (i + 1) & 255),
	        .v6 = address("fd77::%x:%x", i >> 8, i & 255),
	        .in = "exec",
	        .out = "exec"};
}

static struct fw_ruleset *ruleset(unsigned int n)
{
	static const struct fw_ports ports[] = {
	        {IPPROTO_TCP, 15001, 15004}, {IPPROTO_TCP, 17001, 17001}};
	struct fw_addr overlay4 = address("10.77.0.0/16");
	struct fw_addr overlay6 = address("fd77::/48");
	struct fw_addr self = address("10.77.0.1");
	struct fw_ruleset *rs;
	int err = fw_ruleset_new(&rs);

	if (err)
		die("out of memory");
	err |= fw_ruleset_set_device(rs, "ipsec0");
	err |= fw_ruleset_add_prefix(rs, &overlay4) | fw_ruleset_add_prefix(rs, &overlay6);
	err |= fw_ruleset_add_self(rs, &self, 0);
	err |= fw_ruleset_add_allow(rs, FW_IN, "exec", ports, 2, "policy.yaml:9 exec>head pbs");
	err |= fw_ruleset_add_allow(rs, FW_OUT, "exec", ports, 2, "policy.yaml:10 head>exec pbs");
	for (unsigned int i = 1; i <= n && !err; i++) {
		struct fw_addr endpoint = address("198.18.%u.%u", i >> 8, i & 255);
		char name[16];
		struct fw_peer p = peer(i, name);

		err |= fw_ruleset_set_peer(rs, &p) | fw_ruleset_add_endpoint(rs, &endpoint);
	}
	if (err)
		die("cannot make a ruleset of %u peers", n);
	return rs;
}

static int count_peer(void *ctx, const struct fw_counter *c)
{
	*(unsigned int *)ctx += c->kind == FW_COUNT_PEER;
	return 0;
}

/* That they are really there, four elements each, the kernel itself must say. */
static void site_check(struct site *s, unsigned int n)
{
	unsigned int elements = 0;

	if (fw_counters_read(s->fw, count_peer, &elements, NULL) || elements != 4 * n)
		die("%u elements in the kernel for %u peers", elements, n);
}

static void site_begin(struct site *s, unsigned int n)
{
	struct fw_ruleset *rs = ruleset(n);
	struct fw_error err = {""};

	namespace_new(); /* lives as long as the socket */
	if (fw_open(&s->fw, &err) || fw_commit(s->fw, rs, NULL, &err))
		die("%s", err.text);
	fw_ruleset_free(rs);
	site_check(s, n);
}

/* A peer comes and goes. */
static void site_round(struct site *s, bool count)
{
	struct fw_addr endpoint = address("198.18.200.1");
	struct fw_result peer_res, ep_res;
	struct fw_error err = {""};
	char name[16];
	struct fw_peer p = peer(20000, name);
	uint64_t t0 = now_ns(), t1, t2;

	if (fw_peer_admit(s->fw, &p, &peer_res, &err) ||
	        fw_endpoint_add(s->fw, &endpoint, &ep_res, &err))
		die("admit: %s", err.text);
	t1 = now_ns();
	s->admit_messages = peer_res.messages + ep_res.messages;
	if (fw_peer_revoke(s->fw, name, &peer_res, &err) ||
	        fw_endpoint_remove(s->fw, &endpoint, &ep_res, &err))
		die("revoke: %s", err.text);
	t2 = now_ns();
	s->revoke_messages = peer_res.messages + ep_res.messages;
	if (count) {
		sample(&s->admit, (double)(t1 - t0) / 1e3);
		sample(&s->revoke, (double)(t2 - t1) / 1e3);
	}
}

static void report(const struct site s[SIZES])
{
	static const char *const labels[SIZES] = {"10", "1,000", "10,000"};
	char what[96];

	for (int i = 0; i < SIZES; i++) {
		snprintf(
		        what, sizeof(what), "netlink messages to admit beside %s peers", labels[i]);
		if (i)
			row(PART, what, s[i].admit_messages, "", "==", s[0].admit_messages);
		else
			row(PART, what, s[i].admit_messages, "", NULL, 0);
	}
	for (int i = 0; i < SIZES; i++) {
		snprintf(what, sizeof(what), "netlink messages to revoke beside %s peers",
		        labels[i]);
		if (i)
			row(PART, what, s[i].revoke_messages, "", "==", s[0].revoke_messages);
		else
			row(PART, what, s[i].revoke_messages, "", NULL, 0);
	}
	for (int i = 0; i < SIZES; i++) {
		snprintf(what, sizeof(what), "time to admit beside %s peers", labels[i]);
		row(PART, what, median(&s[i].admit), "us", NULL, 0);
		snprintf(what, sizeof(what), "time to revoke beside %s peers", labels[i]);
		row(PART, what, median(&s[i].revoke), "us", NULL, 0);
	}
	row(PART, "admit, 10,000 peers : 10 peers", median(&s[2].admit) / median(&s[0].admit), "x",
	        "<=", 1.3);
	row(PART, "revoke, 10,000 peers : 10 peers", median(&s[2].revoke) / median(&s[0].revoke),
	        "x", "<=", 1.3);
}

int main(void)
{
	static struct site sites[SIZES];
	char method[128];

	for (int i = 0; i < SIZES; i++)
		site_begin(&sites[i], sizes[i]);
	for (unsigned int r = 0; r < WARM_UP + ROUNDS; r++)
		for (unsigned int i = 0; i < SIZES; i++)
			site_round(&sites[(i + r) % SIZES], r >= WARM_UP);
	snprintf(method, sizeof(method), "%d rounds over the three sizes in turn, medians", ROUNDS);
	title(PART, "Firewall: one peer more, one less (libfirewall, real nf_tables)", method);
	report(sites);
	for (int i = 0; i < SIZES; i++)
		fw_close(sites[i].fw);
	return 0;
}

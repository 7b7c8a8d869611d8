/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The table itself against the real kernel: one transaction or nothing, recognised after a restart,
 * restored after others' changes, equal to its own nft text, and cheap with 10,000 peers.
 */
#include <net/if_arp.h>

#include "firewall_bed.h"

#include "firewall/message.h"

static struct fw *fw;
static struct fw_error err;

static int open_fw(void **state)
{
	(void)state;
	enter(we);
	OK(fw_open(&fw, &err));
	return 0;
}

static int close_fw(void **state)
{
	(void)state;
	OK(fw_remove(fw, &err));
	fw_close(fw);
	return 0;
}

static void restart(void)
{
	fw_close(fw);
	OK(fw_open(&fw, &err));
}

static struct fw_ruleset *skeleton(void)
{
	static const struct fw_ports web[] = {{IPPROTO_TCP, 80, 80}, {IPPROTO_TCP, 443, 450},
	        {IPPROTO_UDP, 53, 53}, {IPPROTO_ICMP, 0, 0}};
	struct fw_addr a = addr("10.0.0.0/8");
	struct fw_ruleset *rs;

	OK(fw_ruleset_new(&rs));
	OK(fw_ruleset_set_device(rs, "ovl0"));
	OK(fw_ruleset_add_prefix(rs, &a));
	a = addr("fd77::/64");
	OK(fw_ruleset_add_prefix(rs, &a));
	a = addr("10.77.0.1");
	OK(fw_ruleset_add_self(rs, &a, 0));
	OK(fw_ruleset_add_allow(rs, FW_IN, "web", web, 4, "allow policy.yaml:3 web"));
	OK(fw_ruleset_add_allow(rs, FW_OUT, "web", web, 1, "allow policy.yaml:4 web"));
	for (size_t i = 0; i < 4; i++)
		OK(fw_ruleset_add_protected(rs, &web[i]));
	return rs;
}

static struct fw_peer numbered(unsigned i, char name[static 16])
{
	struct fw_peer p = {.name = name, .in = "web", .out = "web"};

	snprintf(name, 16, "n%u", i);
	p.v4 = (struct fw_addr){AF_INET, 32, {10, 1, (uint8_t)(i >> 8), (uint8_t)i}};
	p.v6 = (struct fw_addr){AF_INET6, 128, {0xfd, 0x77, [14] = (uint8_t)(i >> 8), (uint8_t)i}};
	return p;
}

static struct fw_ruleset *with_peers(unsigned n)
{
	struct fw_ruleset *rs = skeleton();

	for (unsigned i = 0; i < n; i++) {
		char name[16];
		struct fw_peer p = numbered(i, name);

		OK(fw_ruleset_set_peer(rs, &p));
	}
	return rs;
}

static void test_restart_touches_nothing(void **state)
{
	struct fw_ruleset *rs = with_peers(300);
	struct fw_result r;
	char *before, *after;

	(void)state;
	OK(fw_commit(fw, rs, &r, &err));
	assert_int_equal(r.outcome, FW_REPLACED);
	assert_int_equal(r.elements_added, 1201);
	before = output_of(we, "nft -a list ruleset");
	OK(fw_commit(fw, rs, &r, &err));
	assert_int_equal(r.messages, 0);
	restart();
	OK(fw_commit(fw, rs, &r, &err));
	assert_int_equal(r.outcome, FW_UNCHANGED);
	assert_int_equal(r.messages, 0);
	assert_false(r.was_foreign);
	after = output_of(we, "nft -a list ruleset");
	assert_string_equal(before, after);
	free(before);
	free(after);
	fw_ruleset_free(rs);
}

/* What others do to the table while nobody looks is found and undone, with as little as it takes.
 */
static void test_tampering_is_undone(void **state)
{
	static const char *const deeds[] = {
	        "nft flush chain inet overlayd prerouting",
	        "nft insert rule inet overlayd input accept",
	        "nft add element inet overlayd in4_web '{ 10.9.9.9 . 10.9.9.9 }'",
	        "nft delete element inet overlayd in4_web '{ 10.1.0.1 . 10.1.0.1 }'",
	        "nft add element inet overlayd self4 '{ 10.9.9.9 timeout 1h }'",
	        "nft flush set inet overlayd protected_tcp",
	        "nft add chain inet overlayd in_extra",
	        "nft add chain inet overlayd other",
	        "nft add set inet overlayd other '{ type ipv4_addr; }'",
	        "nft add table inet overlayd '{ flags dormant; }'",
	        "nft flush ruleset",
	        "nft 'add chain inet overlayd input { policy drop; }'",
	        "nft flush chain inet overlayd in_web",
	};
	struct fw_ruleset *rs = with_peers(3);
	struct fw_result r;
	char *clean;

	(void)state;
	OK(fw_commit(fw, rs, &r, &err));
	clean = output_of(we, "nft list ruleset");
	for (size_t i = 0; i < sizeof(deeds) / sizeof(*deeds); i++) {
		char *now;

		run(we, "%s", deeds[i]);
		fw_forget(fw);
		OK(fw_commit(fw, rs, &r, &err));
		if (r.outcome == FW_UNCHANGED)
			fail_msg("not noticed: %s", deeds[i]);
		now = output_of(we, "nft list ruleset");
		if (strcmp(now, clean))
			fail_msg("not undone: %s\n%s", deeds[i], now);
		free(now);
	}
	free(clean);
	fw_ruleset_free(rs);
}

static void test_others_stay_untouched(void **state)
{
	struct fw_ruleset *rs = with_peers(5);
	char *before, *after;

	(void)state;
	run(we, "nft 'table inet other { set s { type ipv4_addr; elements = { 10.1.0.1 } }; chain "
	        "c { "
	        "type filter hook input priority 10; ip saddr @s counter accept; }; }; "
	        "table ip overlayd { chain c { }; }'");
	before = output_of(we, "nft -a list table inet other; nft -a list table ip overlayd");
	OK(fw_commit(fw, rs, NULL, &err));
	OK(fw_peer_revoke(fw, "n1", NULL, &err));
	restart();
	OK(fw_commit(fw, rs, NULL, &err));
	OK(fw_remove(fw, &err));
	after = output_of(we, "nft -a list table inet other; nft -a list table ip overlayd");
	assert_string_equal(before, after);
	run(we, "nft flush ruleset");
	free(before);
	free(after);
	fw_ruleset_free(rs);
}

/* A transaction whose last message fails has done nothing at all. */
static void test_all_or_nothing(void **state)
{
	struct fw_ruleset *rs = with_peers(5);
	struct nlsock s;
	struct batch b;
	char *before, *after;

	(void)state;
	OK(fw_commit(fw, rs, NULL, &err));
	before = output_of(we, "nft -a list ruleset");
	OK(nlsock_open(&s, 12 /* NETLINK_NETFILTER */, &err));
	batch_begin(&b, 1, 0);
	flush_chain(&b, "input");
	put_static(&b, rs, SET_TCP, true);
	del_chain(&b, "no_such_chain");
	assert_int_equal(nlsock_commit(&s, &b, &err), -ENOENT);
	assert_non_null(strstr(err.text, "delete a chain"));
	batch_clear(&b);
	batch_begin(&b, 100, 1); /* a generation long gone */
	flush_chain(&b, "input");
	assert_int_equal(nlsock_commit(&s, &b, &err), -ERESTART);
	batch_clear(&b);
	nlsock_close(&s);
	after = output_of(we, "nft -a list ruleset");
	assert_string_equal(before, after);
	free(before);
	free(after);
	fw_ruleset_free(rs);
}

static void test_monitor(void **state)
{
	struct fw_ruleset *rs = with_peers(5);
	struct fw_monitor *m;
	struct fw_change c = {0};
	struct fw_result r;

	(void)state;
	OK(fw_monitor_open(&m, fw, &err));
	OK(fw_commit(fw, rs, NULL, &err));
	OK(fw_peer_revoke(fw, "n1", NULL, &err));
	assert_true(await(fw_monitor_fd(m), POLLIN, WAIT_MS)); /* our own: seen and passed over */
	assert_int_equal(fw_monitor_process(m, &c), 0);
	run(we, "nft add table inet another");
	assert_int_equal(fw_monitor_process(m, &c), 0); /* not our table */
	run(we, "nft flush ruleset");
	assert_int_equal(fw_monitor_process(m, &c), 1);
	assert_string_equal(c.comm, "nft");
	assert_true(c.pid != 0 && !c.lost);
	assert_int_equal(fw_monitor_process(m, &c), 0);
	/* An element update finds out by itself; the next commit restores. */
	assert_int_equal(fw_peer_revoke(fw, "n2", &r, &err), -ESTALE);
	assert_int_equal(fw_peer_revoke(fw, "n2", &r, &err), -ESTALE);
	OK(fw_commit(fw, rs, &r, &err));
	assert_int_equal(r.outcome, FW_REPLACED);
	/* And a commit that believed to know the table looks again. */
	run(we, "nft flush ruleset");
	OK(fw_ruleset_del_peer(rs, "n3"));
	OK(fw_commit(fw, rs, &r, &err));
	assert_int_equal(r.outcome, FW_REPLACED);
	fw_monitor_close(m);
	fw_ruleset_free(rs);
}

/* A class' rules change: its peers' elements stay. A peer's class changes: one element each way. */
static void test_class_change(void **state)
{
	static const struct fw_ports ssh[] = {{IPPROTO_TCP, 22, 22}};
	struct fw_ruleset *rs = with_peers(50);
	struct fw_result r;
	struct fw_peer p;
	char name[16];

	(void)state;
	OK(fw_commit(fw, rs, &r, &err));
	OK(fw_ruleset_add_allow(rs, FW_IN, "web", ssh, 1, "allow policy.yaml:5 ssh"));
	OK(fw_commit(fw, rs, &r, &err));
	assert_int_equal(r.outcome, FW_UPDATED);
	assert_int_equal(r.elements_added + r.elements_removed, 0);
	OK(fw_ruleset_add_allow(rs, FW_IN, "admin", ssh, 1, "allow policy.yaml:6 ssh"));
	p = numbered(7, name);
	p.in = "admin";
	OK(fw_ruleset_set_peer(rs, &p));
	OK(fw_commit(fw, rs, &r, &err));
	assert_int_equal(r.elements_added, 2);
	assert_int_equal(r.elements_removed, 2);
	p.in = "no-such-class";
	assert_int_equal(fw_peer_admit(fw, &p, &r, &err), -ENOENT);
	fw_ruleset_free(rs);
}

/* A rule that moved to another line of the policy says so, and nothing else is touched. */
static void test_comment_change(void **state)
{
	static const struct fw_ports ssh[] = {{IPPROTO_TCP, 22, 22}};
	struct fw_result r;
	char *list;

	(void)state;
	for (int i = 0; i < 2; i++) {
		struct fw_ruleset *rs = with_peers(5);

		OK(fw_ruleset_add_allow(rs, FW_IN, "admin", ssh, 1,
		        i ? "allow policy.yaml:8 ssh" : "allow policy.yaml:7 ssh"));
		OK(fw_commit(fw, rs, &r, &err));
		fw_ruleset_free(rs);
	}
	assert_int_equal(r.outcome, FW_UPDATED);
	assert_int_equal(r.elements_added + r.elements_removed, 0);
	list = output_of(we, "nft list chain inet overlayd in_admin");
	assert_null(strstr(list, "policy.yaml:7"));
	assert_non_null(strstr(list, "policy.yaml:8"));
	free(list);
}

static uint64_t now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

static void test_ten_thousand(void **state)
{
	static const unsigned sizes[] = {10, 1000, 10000};
	uint64_t few = 0;

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		struct fw_ruleset *rs = with_peers(sizes[i]);
		struct fw_result r, in, out;
		uint64_t start = now_us(), loaded, best = UINT64_MAX;
		char name[16];
		struct fw_peer p = numbered(20000, name);

		OK(fw_commit(fw, rs, &r, &err));
		loaded = now_us() - start;
		assert_int_equal(r.elements_added, 4 * sizes[i] + 1);
		for (int k = 0; k < 20; k++) {
			start = now_us();
			OK(fw_peer_admit(fw, &p, &in, &err));
			OK(fw_peer_revoke(fw, name, &out, &err));
			best = now_us() - start < best ? now_us() - start : best;
		}
		assert_int_equal(in.messages, 4);
		assert_int_equal(out.messages, 4);
		if (!i)
			few = best;
		assert_true(best < 10 * few + 1000); /* not a thousand times as long */
		print_message("# %u peers: loaded in %llu ms, %u messages; admit + revoke %llu us, "
		              "%u + %u messages\n",
		        sizes[i], (unsigned long long)loaded / 1000, r.messages,
		        (unsigned long long)best, in.messages, out.messages);
		fw_ruleset_free(rs);
		OK(fw_remove(fw, &err));
	}
}

static struct fw_addr endpoint(unsigned i)
{
	uint8_t high = (uint8_t)(i >> 8), low = (uint8_t)i;

	if (i % 4)
		return (struct fw_addr){AF_INET, 32, {203, 0, high, low}};
	return (struct fw_addr){AF_INET6, 128, {0x20, 0x01, 0x0d, 0xb8, [14] = high, [15] = low}};
}

/* As many underlay addresses as a large cluster's peers have: one more or less is one message. */
static void test_twenty_thousand_endpoints(void **state)
{
	static const unsigned sizes[] = {10, 20000};
	uint64_t few = 0;

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct fw_ruleset *rs = skeleton();
		struct fw_addr one = endpoint(30001), a;
		uint64_t start, loaded, best = UINT64_MAX;
		struct fw_result r, in, out;

		for (unsigned k = 0; k < sizes[i]; k++) {
			a = endpoint(k);
			OK(fw_ruleset_add_endpoint(rs, &a));
		}
		start = now_us();
		OK(fw_commit(fw, rs, &r, &err));
		loaded = now_us() - start;
		assert_int_equal(r.elements_added, sizes[i] + 1);
		for (int k = 0; k < 20; k++) {
			start = now_us();
			OK(fw_endpoint_add(fw, &one, &in, &err));
			OK(fw_endpoint_remove(fw, &one, &out, &err));
			best = now_us() - start < best ? now_us() - start : best;
		}
		assert_int_equal(in.messages, 1);
		assert_int_equal(out.messages, 1);
		if (!i)
			few = best;
		assert_true(best < 10 * few + 1000);
		OK(fw_ruleset_add_endpoint(rs, &one)); /* a commit, too, sends only what differs */
		OK(fw_commit(fw, rs, &r, &err));
		assert_int_equal(r.messages, 1);
		fw_forget(fw);
		OK(fw_commit(fw, rs, &r, &err));
		assert_int_equal(r.messages, 0);
		print_message("# %u endpoints: loaded in %llu ms; one more and less %llu us\n",
		        sizes[i], (unsigned long long)loaded / 1000, (unsigned long long)best);
		fw_ruleset_free(rs);
		OK(fw_remove(fw, &err));
	}
}

/* ---- as text, and from anywhere to anywhere ---- */

static unsigned seed;

static unsigned pick(unsigned n)
{
	seed = seed * 1103515245u + 12345u;
	return (seed >> 16) % n;
}

static struct fw_ports random_ports(void)
{
	static const uint8_t protos[] = {IPPROTO_TCP, IPPROTO_TCP, IPPROTO_UDP, IPPROTO_ICMP};
	uint16_t first = (uint16_t)(1 + pick(65535)), more = (uint16_t)(pick(3) ? 0 : pick(300));

	if (pick(20) == 0)
		return (struct fw_ports){IPPROTO_TCP, 65000, 65535};
	return (struct fw_ports){
	        protos[pick(4)], first, first > 65535 - more ? 65535 : (uint16_t)(first + more)};
}

static void random_allows(struct fw_ruleset *rs)
{
	static const char *const names[] = {"a", "b", "c"};

	for (size_t i = 0; i < 3; i++) {
		OK(fw_ruleset_add_class(rs, FW_IN, names[i]));
		OK(fw_ruleset_add_class(rs, FW_OUT, names[i]));
	}
	for (unsigned i = pick(5); i; i--) {
		struct fw_ports p[4];
		char comment[32];

		for (size_t k = 0; k < 4; k++)
			p[k] = random_ports();
		snprintf(comment, sizeof(comment), "allow policy.yaml:%u", pick(30));
		OK(fw_ruleset_add_allow(
		        rs, pick(2) ? FW_IN : FW_OUT, names[pick(3)], p, 1 + pick(4), comment));
	}
}

static struct fw_ruleset *random_ruleset(void)
{
	static const char *const names[] = {"a", "b", "c"};
	static const char *const from[] = {
	        "192.0.2.0/25", "2001:db8::/33", "0.0.0.0/0", "::/0", "10.0.0.0/8"};
	struct fw_ruleset *rs;
	struct fw_addr a;

	OK(fw_ruleset_new(&rs));
	OK(fw_ruleset_set_device(rs, pick(4) ? "ovl0" : pick(2) ? "ipsec0" : NULL));
	fw_ruleset_set_mode(rs, pick(3) ? FW_GUARD : FW_LOCKDOWN);
	fw_ruleset_set_device_type(rs, pick(2) ? 0 : ARPHRD_NONE);
	fw_ruleset_set_secpath(rs, pick(2));
	fw_ruleset_set_patient(rs, pick(2));
	fw_ruleset_set_own(rs, pick(2) ? 0 : 450, pick(2) ? 0 : 1000);
	if (pick(2)) {
		struct fw_join join = {.role = pick(2) ? FW_JOIN_SERVE : FW_JOIN_ASK,
		        .net = addr(pick(2) ? "fd77::/116" : "fd77::/48"),
		        .port = 451,
		        .uid = pick(2) ? 0 : 1000};

		OK(fw_ruleset_set_join(rs, &join));
	}
	OK(fw_ruleset_set_port(rs, pick(3) ? 4500 : 4501));
	a = addr(pick(2) ? "10.77.0.0/16" : "10.76.0.0/14");
	OK(fw_ruleset_add_prefix(rs, &a));
	a = addr("fd77::/64");
	if (pick(3))
		OK(fw_ruleset_add_prefix(rs, &a));
	a = addr("10.9.0.0/17");
	if (!pick(3))
		OK(fw_ruleset_add_prefix(rs, &a));
	if (!pick(3))
		OK(fw_ruleset_add_tunnel_port(rs, 4510));
	a = addr("10.77.0.1");
	OK(fw_ruleset_add_self(rs, &a, pick(2) ? 0 : now_ms() + 3600000));
	for (unsigned i = pick(4); i; i--) {
		struct fw_ports p = random_ports();

		OK(fw_ruleset_add_protected(rs, &p));
		p = random_ports();
		a = addr(from[pick(5)]);
		OK(fw_ruleset_add_manage(rs, &a, &p, 1, NULL));
		a = (struct fw_addr){AF_INET, 32, {192, 0, 2, (uint8_t)pick(5)}};
		OK(fw_ruleset_add_endpoint(rs, &a));
	}
	random_allows(rs);
	for (unsigned i = pick(12); i; i--) {
		char name[16];
		struct fw_peer p = numbered(pick(16), name);

		p.in = pick(3) ? names[pick(3)] : NULL;
		p.out = pick(3) ? names[pick(3)] : NULL;
		p.until_ms = pick(3) ? 0 : now_ms() + 3600000 + 1000000 * pick(3);
		if (!pick(4))
			p.v6 = (struct fw_addr){0};
		OK(fw_ruleset_set_peer(rs, &p));
	}
	return rs;
}

/* The kernel's table as sorted lines without what passes (time, counts, handles); ports as numbers,
 * where nft does not know an anonymous set's type. */
static const char listing[] =
        "nft -j list ruleset | python3 -c '\n"
        "import json, sys, re\n"
        "skip = (\"handle\", \"expires\", \"packets\", \"bytes\", \"metainfo\")\n"
        "def clean(o):\n"
        "    if isinstance(o, dict): return {k: round(v / 100) if k == \"timeout\" else clean(v)\n"
        "                                    for k, v in o.items() if k not in skip}\n"
        "    if isinstance(o, list): return [clean(x) for x in o]\n"
        "    if isinstance(o, str) and o.endswith(\" [invalid type]\"): return int(o.split()[0], "
        "16)\n"
        "    return o\n"
        "def line(o):\n"
        "    for s in (o.get(\"map\"), o.get(\"set\")):\n"
        "        if s and \"elem\" in s: s[\"elem\"].sort(key=json.dumps)\n"
        "    return json.dumps(o, sort_keys=True)\n"
        "rules = {}\n"
        "out = []\n"
        "for o in clean(json.load(sys.stdin)[\"nftables\"]):\n"
        "    if \"rule\" in o:\n"
        "        c = o[\"rule\"][\"chain\"]; rules[c] = rules.get(c, 0) + 1; o[\"n\"] = rules[c]\n"
        "    out.append(line(o))\n"
        "print(\"\\n\".join(sorted(out)))'";

static void assert_same_table(const char *a, const char *b, unsigned with_seed, const char *what)
{
	if (!strcmp(a, b))
		return;
	FILE *f = fopen("/tmp/firewall_table.a", "w"), *g = fopen("/tmp/firewall_table.b", "w");

	fputs(a, f);
	fputs(b, g);
	fclose(f);
	fclose(g);
	run(we, "diff /tmp/firewall_table.a /tmp/firewall_table.b | cut -c1-600 | head -20 >&2 || "
	        "true");
	fail_msg("%s differ; SEED=%u", what, with_seed);
}

static void test_text_means_the_same(void **state)
{
	(void)state;
	for (int i = 0; i < 12; i++) {
		unsigned with_seed = seed;
		struct fw_ruleset *rs = random_ruleset();
		char path[] = "/tmp/firewall_table.XXXXXX", *ours, *text;
		FILE *f = fdopen(mkstemp(path), "w");
		int ns;

		OK(fw_commit(fw, rs, NULL, &err));
		OK(fw_ruleset_print(rs, f));
		fclose(f);
		ours = output_of(we, listing);
		ns = new_namespace();
		enter(we);
		run(ns, "nft -f %s", path);
		text = output_of(ns, listing);
		close(ns);
		assert_same_table(ours, text, with_seed, "text and commit");
		unlink(path);
		free(ours);
		free(text);
		fw_ruleset_free(rs);
	}
}

/* From A to B by update, by update after a restart, and B on a clean slate: the same table. */
static void test_any_to_any(void **state)
{
	(void)state;
	for (int i = 0; i < 25; i++) {
		unsigned with_seed = seed;
		struct fw_ruleset *rs = random_ruleset();
		struct fw_result r;
		char *updated, *anew;

		if (pick(2))
			fw_forget(fw);
		OK(fw_commit(fw, rs, &r, &err));
		updated = output_of(we, listing);
		fw_forget(fw);
		OK(fw_commit(fw, rs, &r, &err));
		if (r.messages)
			fail_msg("own table not recognised; SEED=%u", with_seed);
		OK(fw_remove(fw, &err));
		OK(fw_commit(fw, rs, &r, &err));
		anew = output_of(we, listing);
		assert_same_table(updated, anew, with_seed, "update and fresh commit");
		free(updated);
		free(anew);
		fw_ruleset_free(rs);
	}
}

static int bed(void **state)
{
	(void)state;
	we = new_namespace();
	seed = getenv("SEED") ? (unsigned)strtoul(getenv("SEED"), NULL, 10) : (unsigned)time(NULL);
	print_message("# SEED=%u\n", seed);
	return we < 0;
}

#define T(f) cmocka_unit_test_setup_teardown(f, open_fw, close_fw)

int main(void)
{
	const struct CMUnitTest tests[] = {
	        T(test_restart_touches_nothing),
	        T(test_tampering_is_undone),
	        T(test_others_stay_untouched),
	        T(test_all_or_nothing),
	        T(test_monitor),
	        T(test_class_change),
	        T(test_comment_change),
	        T(test_ten_thousand),
	        T(test_twenty_thousand_endpoints),
	        T(test_text_means_the_same),
	        T(test_any_to_any),
	};

	if (geteuid() != 0) {
		puts("1..0 # SKIP needs root");
		return 0;
	}
	return cmocka_run_group_tests_name("firewall_table", tests, bed, NULL);
}

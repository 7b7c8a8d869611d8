/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Bundles: made, parsed to the same policy, signed, told apart, judged. */
#include "policy_bed.h"
#include "policy_random.h"

#include <stdbool.h>
#include <time.h>

#include "policy/bundle.h"
#include "policy/policy_edit.h"

#define ISSUED 1700000000

struct text {
	char *data;
	size_t len;
};

static struct text made(const struct policy *policy, const struct bundle_head *parent)
{
	char err[BUNDLE_ERROR_MAX];
	struct text text = {0};

	if (bundle_make(policy, parent, ISSUED, &text.data, &text.len, err, sizeof(err)))
		fail_msg("%s", err);
	assert_int_equal(strlen(text.data), text.len);
	return text;
}

static struct text made_of(const char *yaml)
{
	struct policy *policy = policy_good(yaml);
	struct text text = made(policy, NULL);

	policy_unref(policy);
	return text;
}

static struct bundle_head head_of(const struct text *text)
{
	struct bundle_head head;

	assert_int_equal(bundle_head_read(text->data, text->len, &head, NULL, 0), 0);
	return head;
}

static struct policy *parsed(const struct text *text)
{
	struct policy_report report;
	struct policy *policy = NULL;

	policy_report_init(&report);
	if (bundle_parse(text->data, text->len, NULL, &policy, &report))
		fail_msg("%s", report_text(&report));
	policy_report_clear(&report);
	return policy;
}

/* What bundle_parse says about a text that it must refuse. */
static void refused(const char *title, const char *data, size_t len, int ret, const char *expected)
{
	struct policy_report report;
	struct policy *policy = NULL;
	char *said;
	int got;

	policy_report_init(&report);
	got = bundle_parse(data, len, NULL, &policy, &report);
	said = report_text(&report);
	source_lines_drop(said);
	if (got != ret || policy || (expected && strcmp(said, expected) != 0))
		fail_msg("%s: %d\n%s--- expected: %d\n%s", title, got, said, ret, expected);
	assert_true(report.n_errors > 0);
	free(said);
	policy_report_clear(&report);
}

/* ---- the text */

#define HEAD_LINE "{\"overlayd-bundle\":1,\"cluster\":\"hpc\",\"issued\":1700000000,\"serial\":7}\n"

static void test_text(void **state)
{
	struct text text = made_of(HEAD SITES
	        "services: { pbs: { ports: [tcp/15001-15004] } }\nroles: [spare]\n"
	        "allow: [{ from: exec, to: head, service: pbs }, { from: '*', to: '*', "
	        "service: pbs }]\n"
	        "manage: [{ from: 192.0.2.0/24, service: pbs }]\n"
	        "failover: { vip: { address: 10.77.255.1, holders: [head1, node1] } }\n"
	        "peers:\n"
	        "  node1: { key: '" KEY2 " a \"b\\c', address: 10.77.0.17, site: aws, roles: "
	        "[exec], until: 2030-01-01T00:00Z, hours: '18:00-08:00' }\n"
	        "  head1: { key: '" KEY1 "', address: 10.77.0.1, site: hq, roles: [head], "
	        "endpoints: [192.0.2.10, '2001:db8::1'] }\n"
	        "tests: [{ from: node1, to: head1, port: tcp/22, expect: deny }]\n");
	static const char begin[] = HEAD_LINE
	        "{\"allow\":\"00000\",\"from\":\"exec\",\"to\":\"head\",\"service\":\"pbs\"}\n"
	        "{\"allow\":\"00001\",\"from\":\"*\",\"to\":\"*\",\"service\":\"pbs\"}\n"
	        "{\"builtin\":\"corosync\",\"ports\":[\"udp/";
	const char *peers = strstr(text.data, "{\"failover");

	(void)state;
	assert_int_equal(strncmp(text.data, begin, strlen(begin)), 0);
	assert_string_equal(peers,
	        "{\"failover\":\"vip\",\"address\":\"10.77.255.1\",\"holders\":[\"head1\","
	        "\"node1\"]"
	        "}\n"
	        "{\"manage\":\"00000\",\"from\":\"192.0.2.0/24\",\"service\":\"pbs\"}\n"
	        "{\"peer\":\"head1\",\"key\":\"" KEY1
	        "\",\"address\":\"10.77.0.1\",\"site\":\"hq\",\"roles\":[\"head\"],\"endpoints\":["
	        "\"192.0.2.10:4500\",\"[2001:db8::1]:4500\"]}\n"
	        "{\"peer\":\"node1\",\"key\":\"" KEY2
	        " a \\\"b\\\\c\",\"address\":\"10.77.0.17\",\"site\":\"aws\",\"roles\":[\"exec\"],"
	        "\"until\":\"2030-01-01T00:00:00Z\",\"hours\":\"18:00-08:00\"}\n"
	        "{\"role\":\"spare\"}\n"
	        "{\"service\":\"pbs\",\"ports\":[\"tcp/15001-15004\"]}\n"
	        "{\"setting\":\"enforce\",\"value\":\"enforce\"}\n"
	        "{\"setting\":\"firewall\",\"value\":\"guard\"}\n"
	        "{\"setting\":\"mesh\",\"value\":\"full\"}\n"
	        "{\"setting\":\"overlay\",\"value\":\"10.77.0.0/16\"}\n"
	        "{\"setting\":\"port\",\"value\":4500}\n"
	        "{\"site\":\"aws\",\"timezone\":\"UTC\",\"behind_nat\":true}\n"
	        "{\"site\":\"hq\",\"timezone\":\"Europe/Brussels\",\"behind_nat\":false}\n"
	        "{\"test\":\"00000\",\"from\":\"node1\",\"to\":\"head1\",\"port\":\"tcp/22\","
	        "\"expect\":\"deny\"}\n");
	free(text.data);
}

/* What only format 2 has words for is written as that, and all else as before. */
static void test_format(void **state)
{
	static const char two[] = "{\"overlayd-bundle\":2,", one[] = "{\"overlayd-bundle\":1,";
	static const char line[] = "{\"setting\":\"join\",\"value\":true}\n";
	struct text text = made_of(GOOD "join: true\n");
	struct policy *policy = parsed(&text);

	(void)state;
	assert_int_equal(strncmp(text.data, two, strlen(two)), 0);
	assert_non_null(strstr(text.data, line));
	assert_true(policy->join);
	policy_unref(policy);
	free(text.data);
	text = made_of(GOOD "join: false\n");
	policy = parsed(&text);
	assert_int_equal(strncmp(text.data, one, strlen(one)), 0);
	assert_null(strstr(text.data, "join"));
	assert_false(policy->join);
	policy_unref(policy);
	free(text.data);
}

/* What is said about a thing names the bundle and its line. */
static void test_where(void **state)
{
	struct text text = made_of(GOOD);
	struct policy *policy = parsed(&text);
	const struct policy_peer *peer = policy_peer_by_name(policy, "node1");
	const char *line = text.data;

	(void)state;
	assert_string_equal(peer->where.file, "bundle");
	for (uint32_t i = 1; i < peer->where.line; i++)
		line = strchr(line, '\n') + 1;
	assert_int_equal(strncmp(line, "{\"peer\":\"node1\"", 15), 0);
	policy_unref(policy);
	free(text.data);
}

/* ---- there and back */

static void services_same(const struct policy *a, const struct policy *b)
{
	assert_int_equal(a->n_services, b->n_services);
	for (size_t i = 0; i < a->n_services; i++) {
		assert_string_equal(a->services[i].name, b->services[i].name);
		assert_int_equal(a->services[i].builtin, b->services[i].builtin);
		assert_int_equal(a->services[i].n_ports, b->services[i].n_ports);
		for (size_t j = 0; j < a->services[i].n_ports; j++) {
			const struct policy_ports *x = &a->services[i].ports[j];
			const struct policy_ports *y = &b->services[i].ports[j];

			assert_true(
			        x->proto == y->proto && x->first == y->first && x->last == y->last);
		}
	}
}

static void trip(const struct policy *policy)
{
	struct text text = made(policy, NULL), again;
	struct policy *back = parsed(&text);
	struct policy_diff diff;

	assert_memory_equal(policy->digest, back->digest, sizeof(back->digest));
	assert_int_equal(policy_diff(policy, back, &diff), 0);
	assert_int_equal(diff.n_rows, 0);
	policy_diff_clear(&diff);
	services_same(policy, back);
	again = made(back, NULL);
	assert_string_equal(text.data, again.data);
	free(again.data);
	free(text.data);
	policy_unref(back);
}

static void test_trip(void **state)
{
	unsigned first = (unsigned)time(NULL), seed;
	struct policy_report report;
	char *start;
	struct policy *policy;

	(void)state;
	print_message("seed %u\n", first);
	for (unsigned i = 0; i < 100; i++) {
		char *text;

		seed = first + i;
		text = random_policy(&seed);
		policy = policy_good(text);
		trip(policy);
		policy_unref(policy);
		free(text);
	}
	policy_report_init(&report);
	start = policy_init_text(&(struct policy_start){.name = "a", .key = KEY1}, &report);
	policy = policy_good(start);
	trip(policy); /* no sites, no peers but one */
	policy_unref(policy);
	free(start);
	policy = policy_good("cluster: c\nserial: 1\n");
	trip(policy);
	policy_unref(policy);
}

/* The last day of the last year, and a comment of quotes and brackets. */
static void test_corners(void **state)
{
	struct policy *policy =
	        policy_good("cluster: c\nserial: 9223372036854775807\noverlay: 10.0.0.0/8\n"
	                    "port: 65535\npeers:\n  a: { key: \"" KEY1
	                    "  \\\\\\\"{}[],:\", address: 10.0.0.1, until: 9999-12-30 }\n");

	(void)state;
	trip(policy);
	policy_unref(policy);
}

static char *many_peers(unsigned n)
{
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	fputs(HEAD SITES "peers:\n", out);
	for (unsigned i = 0; i < n; i++) {
		struct policy_key key = {{0}};
		char print[96];

		memcpy(key.raw, &i, sizeof(i));
		key.raw[20] = 7;
		policy_key_print(&key, print, sizeof(print));
		fprintf(out, "  n%u: { key: '%s', address: 10.77.%u.%u, site: hq, roles: [r%u] }\n",
		        i, print, i / 200, 1 + i % 200, i % 9);
	}
	fclose(out);
	return text;
}

static double seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void test_many_peers(void **state)
{
	char *yaml = many_peers(12000);
	struct policy *policy = policy_good(yaml), *back;
	double start = seconds();
	struct text text = made(policy, NULL);

	(void)state;
	print_message(
	        "12,000 peers: %zu bytes, made in %.0f ms, ", text.len, (seconds() - start) * 1e3);
	start = seconds();
	back = parsed(&text);
	print_message("parsed in %.0f ms\n", (seconds() - start) * 1e3);
	assert_int_equal(back->n_peers, 12000);
	assert_memory_equal(policy->digest, back->digest, sizeof(back->digest));
	policy_unref(back);
	policy_unref(policy);
	free(text.data);
	free(yaml);
}

/* ---- parents */

static void test_parents(void **state)
{
	struct policy *policy = policy_good(GOOD); /* serial 7 */
	struct text text = made(policy, NULL), next = {0};
	struct bundle_head head = head_of(&text), other;
	char err[BUNDLE_ERROR_MAX];

	(void)state;
	assert_string_equal(head.cluster, "hpc");
	assert_int_equal(head.serial, 7);
	assert_int_equal(head.issued, ISSUED);
	assert_false(head.has_parent);
	assert_int_equal(
	        bundle_make(policy, &head, ISSUED, &next.data, &next.len, err, sizeof(err)),
	        -EINVAL);
	assert_string_equal(err, "the policy has serial 7, and the bundle in force has 7: raise it "
	                         "above that");
	head.serial = 6;
	assert_int_equal(
	        bundle_make(policy, &head, ISSUED - 1, &next.data, &next.len, err, sizeof(err)),
	        -EINVAL);
	assert_string_equal(err,
	        "the bundle in force was issued later than this one: set the clock "
	        "of this host");
	other = head;
	strcpy(other.cluster, "web");
	assert_int_equal(
	        bundle_make(policy, &other, ISSUED, &next.data, &next.len, err, sizeof(err)),
	        -EINVAL);
	assert_string_equal(
	        err, "the policy is of cluster hpc, and the bundle in force of cluster web");
	assert_null(next.data);
	next = made(policy, &head);
	other = head_of(&next);
	assert_true(other.has_parent);
	assert_int_equal(other.parent_serial, 6);
	assert_memory_equal(other.parent, head.digest, sizeof(head.digest));
	policy_unref(parsed(&next));
	free(text.data);
	free(next.data);
	policy_unref(policy);
}

/* What would not parse to the same policy again is not made. */
static void test_made_is_checked(void **state)
{
	struct policy *policy = policy_good(GOOD);
	char err[BUNDLE_ERROR_MAX];
	struct text text = {0};

	(void)state;
	policy->digest[0] ^= 1; /* as if something were lost on the way */
	assert_int_equal(bundle_make(policy, NULL, ISSUED, &text.data, &text.len, err, sizeof(err)),
	        -EINVAL);
	assert_string_equal(
	        err, "this policy cannot be written as a bundle: it would read differently");
	policy->port = 500;
	assert_int_equal(bundle_make(policy, NULL, ISSUED, &text.data, &text.len, err, sizeof(err)),
	        -EINVAL);
	assert_string_equal(err, "this policy cannot be written as a bundle: line 15: port 500 "
	                         "carries IKE without the marker that lets ESP share it: usual is "
	                         "4500");
	assert_null(text.data);
	policy_unref(policy);
}

/* ---- what must be refused */

/* The text of GOOD with the first `old` replaced. */
static void changed(const char *old, const char *new_text, int ret, const char *expected)
{
	struct text text = made_of(GOOD);
	char *at = strstr(text.data, old), *bad = malloc(text.len + strlen(new_text) + 1);

	assert_non_null(at);
	sprintf(bad, "%.*s%s%s", (int)(at - text.data), text.data, new_text, at + strlen(old));
	refused(new_text, bad, strlen(bad), ret, expected);
	free(bad);
	free(text.data);
}

static void test_refused(void **state)
{
	(void)state;
	refused("empty", "", 0, -EINVAL,
	        "bundle:1:1: error: this is no bundle: it does not begin with "
	        "{\"overlayd-bundle\":\n");
	changed("bundle\":1", "bundle\":3", -EPROTONOSUPPORT,
	        "bundle:1:1: error: this bundle has format 3, and this release of overlayd knows "
	        "formats 1 to 2: update overlayd here\n");
	changed("bundle\":1", "bundle\":0", -EPROTONOSUPPORT, NULL);
	/* The lowest format that will do, and nothing in it that it has no word for. */
	changed("bundle\":1", "bundle\":2", -EINVAL,
	        "bundle:1:1: error: this line is not written as overlayd writes it, so the bundle "
	        "is "
	        "not taken\n");
	changed("{\"setting\":\"mesh\"",
	        "{\"setting\":\"join\",\"value\":true}\n{\"setting\":\"mesh\"", -EINVAL, NULL);
	changed("{\"setting\":\"mesh\"",
	        "{\"setting\":\"join\",\"value\":false}\n{\"setting\":\"mesh\"", -EINVAL, NULL);
	changed("bundle\":1", "bundle\":01", -EINVAL, NULL);
	changed("\"serial\":7}", "\"serial\":7,\"more\":1}", -EINVAL,
	        "bundle:1:1: error: the first line of this bundle is damaged at its byte 68\n");
	changed("\"serial\":7}", "\"serial\":0}", -EINVAL, NULL);
	changed("\"cluster\":\"hpc\"", "\"cluster\":\"h c\"", -EINVAL, NULL);
	changed("{\"setting\":\"port\"", "{\"settinh\":\"port\"", -EINVAL,
	        "bundle:15:1: error: there are no 'settinh' lines that this release of overlayd "
	        "knows\n");
	changed("{\"setting\":\"mesh\",\"value\":\"full\"}", "{\"setting\":\"mesi\",\"value\":1}",
	        -EINVAL,
	        "bundle:13:12: error: 'mesi' is no setting that this release of overlayd knows\n");
	changed("\"value\":\"guard\"", "\"value\":\"guard\",\"x\":1", -EINVAL, NULL);
	changed("\"value\":4500", "\"value\": 4500", -EINVAL,
	        "bundle:15:27: error: a text, a whole number, true or false is wanted here\n");
	changed("\"value\":4500", "\"value\":null", -EINVAL, NULL);
	changed("\"value\":4500", "\"value\":04500", -EINVAL, NULL);
	changed("\"value\":4500", "\"value\":\"4500\"", -EINVAL,
	        "bundle:15:1: error: this line is not written as overlayd writes it, so the bundle "
	        "is not taken\n");
	changed("\"value\":4500", "\"value\":0", -EINVAL, NULL);
	changed("\"behind_nat\":true", "\"behind_nat\":{}", -EINVAL, NULL);
	changed("10.77.0.17", "10.77.0.1", -EINVAL,
	        "bundle:10:9: error: node1 has the address of head1 (bundle:9): give one of "
	        "them "
	        "another\n");
	changed("\"node1\"", "\"head1\"", -EINVAL, NULL);
	changed("{\"peer\":\"head1\"", "{\"peer\":\"zead1\"", -EINVAL,
	        "bundle:10:1: error: the lines are not sorted from here on\n");
	changed("\"site\":\"aws\",\"roles\"", "\"colour\":\"red\",\"site\":\"aws\",\"roles\"",
	        -EINVAL, NULL);
	changed("\"roles\":[\"head\"]", "\"roles\":[\"head\",]", -EINVAL, NULL);
	changed("\"roles\":[\"head\"]", "\"roles\":[\"head\"", -EINVAL, NULL);
	changed("\"roles\":[\"head\"]", "\"roles\":[]", -EINVAL, NULL);
	changed("\"roles\":[\"head\"]", "\"roles\":[[\"head\"]]", -EINVAL, NULL);
	changed("\"roles\":[\"head\"]", "\"roles\":[\"h\\u0065ad\"]", -EINVAL,
	        "bundle:9:151: error: only \\\" and \\\\ are used in a bundle\n");
	changed("\"roles\":[\"head\"]", "\"roles\":[\"he\xff\"]", -EINVAL,
	        "bundle:9:152: error: a byte that no text of a bundle has\n");
	changed("\"roles\":[\"head\"]", "\"roles\":[\"he\tad\"]", -EINVAL,
	        "bundle:9:152: error: a byte that no text of a bundle has\n");
	changed("{\"site\":\"hq\"", "{\"site\":\"hq\",\"behind_nat\":true}\n{\"site\":\"hq\"",
	        -EINVAL, "bundle:18:9: error: site 'hq' is here twice\n");
	changed("\n{\"setting\":\"enforce\"", "\n\n{\"setting\":\"enforce\"", -EINVAL, NULL);
	changed("\n{\"setting\":\"enforce\"", "\r\n{\"setting\":\"enforce\"", -EINVAL, NULL);
	changed("{\"setting\":\"enforce\"",
	        "{\"service\":\"ssh\",\"ports\":[\"tcp/22\"]}\n{\"setting\":\"enforce\"", -EINVAL,
	        NULL);
}

/* Every byte changed or cut off: refused, or (where signatures are not looked at) another bundle.
 */
static void test_every_byte(void **state)
{
	struct text text = made_of(GOOD);
	struct bundle_head head = head_of(&text), other;
	struct policy_report report;
	struct policy *policy = NULL;

	(void)state;
	for (size_t i = 0; i < text.len; i++) {
		refused("cut", text.data, i, -EINVAL, NULL);
		text.data[i] ^= 1;
		policy_report_init(&report);
		if (bundle_parse(text.data, text.len, &other, &policy, &report) == 0) {
			struct text again = {0};

			assert_memory_not_equal(head.digest, other.digest, sizeof(head.digest));
			again = made(policy, NULL);
			/* The time of issue is not the policy's. */
			assert_string_equal(strchr(again.data, '\n'), strchr(text.data, '\n'));
			free(again.data);
			policy_unref(policy);
			policy = NULL;
		}
		policy_report_clear(&report);
		text.data[i] ^= 1;
	}
	free(text.data);
}

static void test_limits(void **state)
{
	size_t len = BUNDLE_MAX + 1;
	char *big = malloc(len), *at = big + strlen(HEAD_LINE);

	(void)state;
	memset(big, 'x', len);
	memcpy(big, HEAD_LINE, strlen(HEAD_LINE));
	refused("large", big, len, -E2BIG, "bundle:1:1: error: a bundle may have 32 MB, not 32\n");
	refused("one line", big, len - 1, -EINVAL,
	        "bundle:2:1: error: this line is too long, or cut\n");
	/* Lists without end, and more lines than any policy makes. */
	memcpy(at, "{\"role\":[", 9);
	for (size_t i = 9; i < 16000; i += 2)
		memcpy(at + i, "1,", 2);
	at[16000] = '\n';
	refused("list", big, len - 1, -EINVAL,
	        "bundle:2:1028: error: this line holds too many values\n");
	for (unsigned i = 0; i < 65000; i++)
		at += sprintf(at, "{\"manage\":\"%05u\",\"from\":\"::/0\",\"service\":\"x\"}\n", i);
	refused("lines", big, (size_t)(at - big), -EINVAL,
	        "bundle:60001:1: error: the bundle has too many lines\n60001 | {\"manage\":"
	        "\"59999\",\"from\":\"::/0\",\"service\":\"x\"}\n");
	free(big);
}

/* ---- signed */

static int opened(const char *file, size_t len, const struct minisign_public *key, char **said)
{
	struct policy_report report;
	struct policy *policy = NULL;
	struct bundle_head head;
	int ret;

	policy_report_init(&report);
	ret = bundle_open(file, len, key, &head, &policy, &report);
	assert_true((ret == 0) == (policy != NULL));
	assert_true((ret == 0) == (report.n_errors == 0));
	if (said)
		*said = report_text(&report);
	policy_unref(policy);
	policy_report_clear(&report);
	return ret;
}

static void opened_not(const char *file, size_t len, const struct minisign_public *key, int ret,
        const char *expected)
{
	char *said;

	assert_int_equal(opened(file, len, key, &said), ret);
	assert_string_equal(said, expected);
	free(said);
}

static void test_signed(void **state)
{
	struct text text = made_of(GOOD), file = {0};
	struct minisign_secret secret, other;
	char err[BUNDLE_ERROR_MAX];
	size_t comment;

	(void)state;
	assert_int_equal(minisign_key_make(&secret), 0);
	assert_int_equal(minisign_key_make(&other), 0);
	assert_int_equal(
	        bundle_seal(text.data, text.len, &secret, &file.data, &file.len, err, sizeof(err)),
	        0);
	assert_int_equal(opened(file.data, file.len, &secret.pub, NULL), 0);
	assert_non_null(strstr(file.data, "\ntrusted comment: overlayd bundle: cluster hpc, serial "
	                                  "7\n"));
	opened_not(text.data, text.len, &secret.pub, -EINVAL,
	        "bundle: error: there is no signature behind the bundle: it was cut, or not "
	        "signed\n");
	assert_int_equal(opened(file.data, file.len, &other.pub, NULL), -ENOKEY);
	memcpy(other.pub.id, secret.pub.id, sizeof(other.pub.id));
	opened_not(file.data, file.len, &other.pub, -EKEYREJECTED,
	        "bundle: error: the signature is wrong: the data or the signature was changed\n");
	comment = text.len + strlen("untrusted comment: ");
	for (size_t i = 0; i < file.len; i++) {
		assert_true(opened(file.data, i, &secret.pub, NULL) < 0);
		if (i >= comment && i < comment + strlen("signature from overlayctl"))
			continue; /* signed by nobody */
		file.data[i] ^= 1;
		assert_true(opened(file.data, file.len, &secret.pub, NULL) < 0);
		file.data[i] ^= 1;
	}
	assert_int_equal(
	        bundle_seal("x", 1, &secret, &file.data, &file.len, err, sizeof(err)), -EINVAL);
	free(text.data);
	free(file.data);
}

/* A good signature does not make a bad policy good. */
static void test_signed_bad(void **state)
{
	static const char bad[] = HEAD_LINE "{\"peer\":\"x\"}\n";
	struct minisign_secret secret;
	struct text file = {0};

	(void)state;
	assert_int_equal(minisign_key_make(&secret), 0);
	assert_int_equal(bundle_seal(bad, strlen(bad), &secret, &file.data, &file.len, NULL, 0), 0);
	assert_int_equal(opened(file.data, file.len, &secret.pub, NULL), -EINVAL);
	free(file.data);
}

/* ---- deltas */

static struct text delta_of(const struct text *a, const struct text *b)
{
	struct text delta = {0}, back = {0};
	char err[BUNDLE_ERROR_MAX];

	assert_int_equal(bundle_diff(a->data, a->len, b->data, b->len, &delta.data, &delta.len), 0);
	if (bundle_patch(a->data, a->len, delta.data, delta.len, &back.data, &back.len, err,
	            sizeof(err)))
		fail_msg("%s\n%s", err, delta.data);
	assert_int_equal(back.len, b->len);
	assert_string_equal(back.data, b->data);
	free(back.data);
	return delta;
}

static void test_delta(void **state)
{
	unsigned first = (unsigned)time(NULL), seed;

	(void)state;
	print_message("seed %u\n", first);
	for (unsigned i = 0; i < 50; i++) {
		char *yaml[2];
		struct text text[2], delta;

		seed = first + i;
		for (int j = 0; j < 2; j++) {
			yaml[j] = random_policy(&seed);
			text[j] = made_of(yaml[j]);
		}
		for (int j = 0; j < 3; j++) { /* there, back, and to itself */
			delta = delta_of(&text[j == 1], &text[j == 0]);
			free(delta.data);
		}
		for (int j = 0; j < 2; j++) {
			free(yaml[j]);
			free(text[j].data);
		}
	}
}

/* What one approval costs on the wire does not grow with the peers. */
static void test_delta_small(void **state)
{
	char *yaml = many_peers(2000), *at;
	struct text a = made_of(yaml), b, delta;

	(void)state;
	at = strstr(yaml, "  n1000:");
	memmove(at, strchr(at, '\n') + 1, strlen(strchr(at, '\n')));
	b = made_of(yaml);
	delta = delta_of(&a, &b); /* revoked: a number */
	print_message("one revoked of 2,000: %zu bytes of %zu\n", delta.len, b.len);
	assert_true(delta.len < 300);
	free(delta.data);
	delta = delta_of(&b, &a); /* approved: a line */
	print_message("one approved: %zu bytes\n", delta.len);
	assert_true(delta.len < 500);
	free(delta.data);
	free(a.data);
	free(b.data);
	free(yaml);
}

static void patch_refused(
        const struct text *base, const char *delta, size_t len, int ret, const char *expected)
{
	struct text out = {0};
	char err[BUNDLE_ERROR_MAX] = "";
	int got = bundle_patch(
	        base->data, base->len, delta, len, &out.data, &out.len, err, sizeof(err));

	if (got != ret || out.data || (expected && strcmp(err, expected) != 0))
		fail_msg("%d %s, expected %d %s", got, err, ret, expected);
}

/* The two heads of a good delta, and these lines. */
static void lines_refused(const struct text *base, const struct text *delta, const char *lines)
{
	const char *behind = strchr(strchr(delta->data, '\n') + 1, '\n') + 1;
	char bad[1000];

	snprintf(bad, sizeof(bad), "%.*s%s", (int)(behind - delta->data), delta->data, lines);
	patch_refused(base, bad, strlen(bad), -EINVAL,
	        "this delta is damaged, or larger than a bundle may be");
}

static void test_delta_refused(void **state)
{
	struct text a = made_of(GOOD), b = made_of(HEAD SITES), delta = delta_of(&a, &b);
	struct text out;

	(void)state;
	patch_refused(&b, delta.data, delta.len, -ESTALE,
	        "this delta starts from another bundle than the one in force here: ask for the "
	        "whole");
	patch_refused(&a, "", 0, -EINVAL, "this is no delta: it has no lines");
	patch_refused(&a, a.data, a.len, -EINVAL,
	        "this is no delta: it does not begin with {\"overlayd-delta\":");
	patch_refused(&a, "{\"overlayd-delta\":2}\n", 21, -EPROTONOSUPPORT,
	        "this delta has format 2, and this release of overlayd knows only format 1: ask "
	        "for the whole bundle");
	lines_refused(&a, &delta, "-3\n-2\n");
	lines_refused(&a, &delta, "-2\n-2\n");
	lines_refused(&a, &delta, "-1\n");
	lines_refused(&a, &delta, "-999\n");
	lines_refused(&a, &delta, "+b\n-2\n");
	lines_refused(&a, &delta, "-2\n*b\n");
	lines_refused(&a, &delta, "-2\n+\n");
	for (size_t i = 0; i < delta.len; i++) {
		for (unsigned bit = 0; bit < 8; bit++) {
			int ret;

			delta.data[i] ^= (char)(1 << bit);
			ret = bundle_patch(
			        a.data, a.len, delta.data, delta.len, &out.data, &out.len, NULL, 0);
			if (ret == 0)
				fail_msg("bit %u of byte %zu flipped, and still good", bit, i);
			delta.data[i] ^= (char)(1 << bit);
		}
		assert_true(bundle_patch(a.data, a.len, delta.data, i, &out.data, &out.len, NULL,
		                    0) < 0);
	}
	free(a.data);
	free(b.data);
	free(delta.data);
}

/* ---- which one is in force */

static struct bundle_head head_like(
        uint64_t serial, uint8_t content, uint64_t parent_serial, uint8_t parent)
{
	struct bundle_head head = {.cluster = "hpc",
	        .serial = serial,
	        .has_parent = parent_serial != 0,
	        .parent_serial = parent_serial,
	        .parent = {parent},
	        .digest = {content}};

	return head;
}

static void judged(const struct bundle_head *current, struct bundle_head candidate,
        enum bundle_verdict verdict, const char *expected)
{
	char text[BUNDLE_ERROR_MAX];

	assert_int_equal(bundle_judge(current, &candidate, text, sizeof(text)), verdict);
	assert_string_equal(text, expected);
	assert_int_equal(bundle_judge(current, &candidate, NULL, 0), verdict);
}

static void test_judge(void **state)
{
	const struct bundle_head now = head_like(7, 'a', 6, '6');
	struct bundle_head other = head_like(9, 'b', 0, 0);

	(void)state;
	judged(NULL, now, BUNDLE_APPLY, "serial 7 is the first bundle here");
	judged(&now, now, BUNDLE_SAME, "serial 7 is in force");
	judged(&now, head_like(8, 'b', 7, 'a'), BUNDLE_APPLY, "serial 8 follows serial 7");
	judged(&now, head_like(9, 'b', 8, 'x'), BUNDLE_APPLY,
	        "serial 9 follows serial 8, which this node missed");
	judged(&now, head_like(9, 'b', 0, 0), BUNDLE_APPLY,
	        "serial 9 stands by itself and replaces serial 7");
	judged(&now, head_like(6, 'b', 0, 0), BUNDLE_OLDER,
	        "serial 6 is older than serial 7, which is in force: a policy never goes back; "
	        "raise the serial to return to an old content");
	judged(&now, head_like(7, 'b', 6, '6'), BUNDLE_FORK,
	        "FORK: two different bundles of serial 7 are signed; the first that came is kept: "
	        "sign the policy that is wanted with a higher serial and without a parent");
	judged(&now, head_like(8, 'b', 7, 'b'), BUNDLE_BAD_PARENT,
	        "serial 8 was made to follow another bundle of serial 7 than the one in force "
	        "here: sign the policy that is wanted with a higher serial and without a parent");
	judged(&now, head_like(8, 'b', 6, '6'), BUNDLE_BAD_PARENT,
	        "serial 8 was made to follow serial 6 and would undo serial 7, which is in force: "
	        "make it again from that");
	strcpy(other.cluster, "web");
	judged(&now, other, BUNDLE_OTHER_CLUSTER,
	        "this bundle is of cluster web, and this node of cluster hpc");
}

/* Whatever comes, in whatever order: the serial in force only rises, and no fork is applied. */
static void test_judge_order(void **state)
{
	unsigned first = (unsigned)time(NULL), seed = first;
	struct bundle_head now = head_like(1, 1, 0, 0);

	(void)state;
	print_message("seed %u\n", first);
	for (unsigned i = 0; i < 100000; i++) {
		uint64_t serial = now.serial + pick(&seed, 4) - (now.serial > 1);
		uint64_t parent =
		        pick(&seed, 3) ? serial - 1 - pick(&seed, (unsigned)serial) % 3 : 0;
		struct bundle_head next;

		if (parent >= serial)
			parent = 0;
		next = head_like(serial, (uint8_t)(serial * 3 + pick(&seed, 2)), parent,
		        (uint8_t)(parent * 3 + pick(&seed, 2)));
		if (bundle_judge(&now, &next, NULL, 0) != BUNDLE_APPLY)
			continue;
		assert_true(next.serial > now.serial);
		assert_true(!next.has_parent || next.parent_serial > now.serial ||
		            memcmp(next.parent, now.digest, sizeof(now.digest)) == 0);
		now = next;
	}
	assert_true(now.serial > 1000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(test_text),
	        cmocka_unit_test(test_format),
	        cmocka_unit_test(test_where),
	        cmocka_unit_test(test_trip),
	        cmocka_unit_test(test_corners),
	        cmocka_unit_test(test_many_peers),
	        cmocka_unit_test(test_parents),
	        cmocka_unit_test(test_made_is_checked),
	        cmocka_unit_test(test_refused),
	        cmocka_unit_test(test_every_byte),
	        cmocka_unit_test(test_limits),
	        cmocka_unit_test(test_signed),
	        cmocka_unit_test(test_signed_bad),
	        cmocka_unit_test(test_delta),
	        cmocka_unit_test(test_delta_small),
	        cmocka_unit_test(test_delta_refused),
	        cmocka_unit_test(test_judge),
	        cmocka_unit_test(test_judge_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

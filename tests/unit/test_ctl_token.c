/* SPDX-License-Identifier: GPL-2.0-or-later */
/* overlayctl ticket --token and token, where no daemon runs: what they write, print and refuse. */
#include "run_ctl.h"

#include <openssl/evp.h>

#include "ctl/adopt.h"
#include "ctl/guests.h"
#include "ctl/ticket.h"

#define KEY_A "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAINdamAGCsQq31Uv+08lkBzoO4XLz2qYjJa8CGmj3B1Ea"
#define POLICY                                                                                     \
	"cluster: hpc\nserial: 7\njoin: true\noverlay: 10.77.0.0/16\nroles: [exec, lab]\n"         \
	"sites: { aws: {} }\npeers:\n"                                                             \
	"  head1: { key: \"" KEY_A "\", address: 10.77.0.1, endpoints: [192.0.2.10], site: aws, "  \
	"roles: [seed] }\n"

static int setup(void **state)
{
	char path[PATH_MAX];

	if (run_setup(state))
		return -1;
	snprintf(path, sizeof(path), "%s/etc", run_dir);
	if (mkdir(path, 0755))
		return -1;
	run_spit("etc/policy.yaml", POLICY);
	return RUN("key", "--no-passphrase", "etc/cluster.key");
}

static void file_get(const char *name, char *text, size_t size)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/%s", run_dir, name);
	run_slurp(path, text, size);
}

/* Nothing under etc is another than before. */
static void assert_untouched(void)
{
	char text[4096];

	file_get("etc/policy.yaml", text, sizeof(text));
	assert_string_equal(text, POLICY);
	assert_false(run_has("etc/tokens.d/t1.yaml"));
	assert_false(run_has("etc/cluster.bundle"));
}

/* Is any file under run_dir's parent this byte string's home? */
static bool is_on_disk(const void *bytes, size_t len)
{
	char command[PATH_MAX], path[PATH_MAX];
	static char data[1 << 18];
	bool found = false;
	FILE *list;

	snprintf(command, sizeof(command), "find %s -type f", run_dir);
	list = popen(command, "r");
	assert_non_null(list);
	while (fgets(path, sizeof(path), list)) {
		FILE *in;
		size_t n;

		*strchrnul(path, '\n') = '\0';
		in = fopen(path, "r");
		assert_non_null(in);
		n = fread(data, 1, sizeof(data), in);
		assert_true(n < sizeof(data));
		fclose(in);
		found |= memmem(data, n, bytes, len) != NULL;
	}
	pclose(list);
	return found;
}

static void ticket_read(const char *line, struct policy_ticket *ticket)
{
	char err[256] = "";

	if (policy_ticket_parse(line, strlen(line), ticket, err, sizeof(err)))
		fail_msg("%s: %s", line, err);
	assert_true(ticket->has_token);
}

/* The policy grants the key whose secret half is in the ticket, and the secret is nowhere. */
static void assert_fits(const struct policy_ticket *ticket, const char *file)
{
	EVP_PKEY *pair = EVP_PKEY_new_raw_private_key(
	        EVP_PKEY_ED25519, NULL, ticket->secret, sizeof(ticket->secret));
	char text[4096], line[96];
	struct policy_key key;
	size_t len = sizeof(key.raw);

	assert_non_null(pair);
	assert_int_equal(EVP_PKEY_get_raw_public_key(pair, key.raw, &len), 1);
	EVP_PKEY_free(pair);
	policy_key_print(&key, line, sizeof(line));
	file_get(file, text, sizeof(text));
	assert_says(text, line);
	assert_true(is_on_disk(line, strlen(line)));
	assert_false(is_on_disk(ticket->secret, sizeof(ticket->secret)));
}

static void test_token(void **state)
{
	struct policy_ticket ticket;
	char text[4096];

	(void)state;
	assert_int_equal(RUN("ticket", "--token", "--role", "exec,lab", "--count", "50", "--range",
	                         "10.77.8.0/24", "--until", "2096-12-31T12:00:00Z", "t1"),
	        0);
	/* One line, and no more. */
	assert_int_equal(strncmp(run_out, "ovl1-secret-", 12), 0);
	assert_ptr_equal(strchr(run_out, '\n'), run_out + strlen(run_out) - 1);
	assert_says(run_err, "etc: token t1 is granted, serial 8\n");
	assert_says(run_err, "This line is a secret: whoever has it can let in 50 nodes until "
	                     "2096-12-31T12:00:00Z.\n");
	assert_says(run_err, "overlayctl token revoke t1\n");
	assert_null(strstr(run_err, "ovl1-secret-"));
	ticket_read(run_out, &ticket);
	assert_string_equal(ticket.token, "t1");
	assert_string_equal(ticket.cluster, "hpc");
	assert_string_equal(ticket.seeds[0].name, "head1");
	assert_fits(&ticket, "etc/tokens.d/t1.yaml");
	/* Signed, and left for who brings it to a node. */
	file_get("etc/cluster.bundle", text, sizeof(text));
	assert_says(text, "t1");
	/* It is there now. */
	assert_int_equal(RUN("ticket", "--token", "t1", "--role", "exec"), 5);
	assert_string_equal(run_out, "");
	assert_says(run_err, "t1");
	assert_says(run_err, "nothing was changed");
}

static void test_defaults(void **state)
{
	struct policy_ticket ticket;
	char name[128], text[4096];
	json_t *answer;

	(void)state;
	assert_int_equal(RUN("ticket", "--token", "--role", "exec", "--json"), 0);
	answer = json_loads(run_out, 0, NULL);
	assert_non_null(answer);
	assert_int_equal(ctl_integer(answer, "count", 0), 1);
	assert_int_equal(ctl_integer(answer, "serial", 0), 8);
	ticket_read(ctl_string(answer, "ticket", ""), &ticket);
	assert_string_equal(ticket.token, ctl_string(answer, "token", ""));
	assert_int_equal(strncmp(ticket.token, "token-20", 8), 0);
	snprintf(name, sizeof(name), "etc/tokens.d/%s.yaml", ticket.token);
	assert_fits(&ticket, name);
	assert_says(run_err, "can let in one node until 20");
	json_decref(answer);
	/* Two of a day have two names and two keys. */
	file_get(name, text, sizeof(text));
	assert_int_equal(RUN("ticket", "--token", "--role", "exec", "--ttl", "1d12h"), 0);
	ticket_read(run_out, &ticket);
	assert_null(strstr(text, ticket.token));
}

static void test_refused(void **state)
{
	static const char *const wrong[][2] = {{"--count", "0"}, {"--count", "4097"},
	        {"--count", "3x"}, {"--ttl", "5"}, {"--ttl", "0s"}, {"--ttl", "367d"},
	        {"--ttl", "2h3"}, {"--ttl", "-2h"}};

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		assert_int_equal(
		        RUN("ticket", "--token", "t1", "--role", "exec", wrong[i][0], wrong[i][1]),
		        2);
		assert_says(run_err, wrong[i][0]);
	}
	assert_int_equal(RUN("ticket", "--role", "exec"), 2);
	assert_says(run_err, "goes with --token");
	assert_int_equal(RUN("ticket", "t1"), 2);
	assert_says(run_err, "a NAME goes with --token");
	assert_int_equal(RUN("ticket", "--token", "--role", "exec", "t1", "t2"), 2);
	assert_int_equal(RUN("ticket", "--token", "--role", "exec", "--ttl", "2h", "--until",
	                         "2096-12-31", "t1"),
	        2);
	assert_int_equal(RUN("ticket", "--token", "t1"), 2);
	assert_says(run_err, "--role is needed");
	assert_says(run_err, "the policy has exec, lab\n");
	assert_int_equal(RUN("ticket", "--token", "t1", "--role", "seed"), 5);
	assert_int_equal(RUN("ticket", "--token", "t1", "--role", "exce"), 5);
	assert_says(run_err, "no role 'exce'");
	assert_int_equal(
	        RUN("ticket", "--token", "t1", "--role", "exec", "--range", "10.9.0.0/24"), 5);
	assert_int_equal(RUN("ticket", "--token", "--role", "exec", "../t1"), 5);
	assert_says(run_err, "'../t1' is no name");
	assert_int_equal(
	        RUN("ticket", "--token", "t1", "--role", "exec", "--until", "2020-01-01"), 5);
	assert_says(run_err, "2020-01-02T00:00:00Z is over already");
	assert_says(run_err, "etc: nothing was changed");
	/* What cannot be signed is taken back. */
	run_spit("etc/cluster.bundle", "no bundle\n");
	assert_int_equal(RUN("ticket", "--token", "t1", "--role", "exec"), 5);
	assert_string_equal(run_out, "");
	assert_int_equal(RUN("token", "revoke", "t1"), 5);
	assert_int_equal(unlink("etc/cluster.bundle"), -1);
	{
		char path[PATH_MAX];

		snprintf(path, sizeof(path), "%s/etc/cluster.bundle", run_dir);
		assert_int_equal(unlink(path), 0);
	}
	assert_untouched();
}

/* Where nobody could come in by it, none is made. */
static void test_no_cluster(void **state)
{
	char path[PATH_MAX];

	(void)state;
	run_spit("etc/policy.yaml", "cluster: hpc\nserial: 7\noverlay: 10.77.0.0/16\n"
	                            "roles: [exec]\npeers:\n  head1: { key: \"" KEY_A
	                            "\", address: 10.77.0.1, roles: [seed] }\n");
	assert_int_equal(RUN("ticket", "--token", "t1", "--role", "exec"), 5);
	assert_says(run_err, "joining is off in the policy's files");
	snprintf(path, sizeof(path), "%s/etc/cluster.key", run_dir);
	run_spit("etc/policy.yaml", POLICY);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(RUN("ticket", "--token", "t1", "--role", "exec"), 5);
	assert_says(run_err, "the cluster's secret key is not on this machine");
	snprintf(path, sizeof(path), "%s/etc/cluster.pub", run_dir);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(RUN("ticket", "--token", "t1", "--role", "exec"), 5);
	assert_says(run_err, "only a cluster with a key can be joined");
	assert_untouched();
}

static void test_revoke(void **state)
{
	(void)state;
	assert_int_equal(RUN("token"), 2);
	assert_int_equal(RUN("token", "remove", "t1"), 2);
	assert_int_equal(RUN("token", "revoke"), 2);
	assert_int_equal(RUN("token", "list"), 3);
	assert_int_equal(RUN("ticket", "--token", "t1", "--role", "exec"), 0);
	assert_int_equal(RUN("ticket", "--token", "burst", "--role", "exec"), 0);
	assert_int_equal(RUN("revoke", "n1"), 5);
	assert_says(run_err, "there is no peer 'n1'");
	assert_says(run_err, "if n1 is a guest of a token: only a daemon knows guests");
	assert_int_equal(RUN("token", "revoke", "brust"), 5);
	assert_says(run_err, "burst");
	assert_true(run_has("etc/tokens.d/burst.yaml"));
	assert_int_equal(RUN("token", "revoke", "burst"), 0);
	assert_says(run_out, "etc: token burst is revoked, and with it all its guests");
	assert_says(run_out, "serial 10\n");
	assert_false(run_has("etc/tokens.d/burst.yaml"));
	assert_true(run_has("etc/tokens.d/t1.yaml"));
}

/* Many at a time: each waits for the others, and none undoes another. */
static void test_at_once(void **state)
{
	char text[4096];

	(void)state;
	assert_int_equal(
	        run_shell("for i in 1 2 3 4 5 6; do $CTL --config etc --socket none ticket "
	                  "--token t$i --role exec >ticket.$i 2>said.$i & pids=\"$pids $!\"; "
	                  "done; for p in $pids; do wait $p || exit 1; done"),
	        0);
	file_get("etc/policy.yaml", text, sizeof(text));
	assert_says(text, "serial: 13\n");
	for (char name[] = "etc/tokens.d/t1.yaml"; name[14] <= '6'; name[14]++)
		assert_true(run_has(name));
	file_get("etc/cluster.bundle", text, sizeof(text));
	assert_says(text, "t6");
}

/* ---- parts ---- */

static void test_ttl(void **state)
{
	(void)state;
	assert_int_equal(grant_ttl_parse("20s"), 20);
	assert_int_equal(grant_ttl_parse("90m"), 5400);
	assert_int_equal(grant_ttl_parse("1d12h"), 129600);
	assert_int_equal(grant_ttl_parse("2w"), 1209600);
	assert_int_equal(grant_ttl_parse("366d"), 366 * 86400);
	assert_int_equal(grant_ttl_parse("366d1s"), -1);
	assert_int_equal(grant_ttl_parse("99999999999999999999d"), -1);
	assert_int_equal(grant_ttl_parse(""), -1);
	assert_int_equal(grant_ttl_parse("h"), -1);
	assert_int_equal(grant_ttl_parse("2h "), -1);
	assert_int_equal(grant_ttl_parse("2H"), -1);
}

#define GUEST(name, print, key, addr)                                                              \
	"{\"name\":\"" name "\",\"fingerprint\":\"SHA256:" print "\",\"key\":\"ssh-ed25519 " key   \
	"\",\"address\":\"" addr "\",\"seed\":\"head1\"}"
#define TOKENS                                                                                     \
	"{\"tokens\":[{\"name\":\"t1\",\"roles\":[\"exec\",\"lab\"],\"site\":\"aws\",\"guests\":"  \
	"[" GUEST("n1", "abcdefghij", "AAAA1", "10.77.0.2") "," GUEST(                             \
	        "n2", "abcdefgxyz", "AAAA12", "10.77.0.3") "]},{\"name\":\"t2\",\"guests\":[]}]}"

static void test_guests(void **state)
{
	json_t *tokens = json_loads(TOKENS, 0, NULL);
	const json_t *token = NULL;
	char text[64];

	(void)state;
	assert_non_null(tokens);
	assert_string_equal(
	        ctl_string(guests_by_name(tokens, "n2", &token), "key", ""), "ssh-ed25519 AAAA12");
	assert_string_equal(ctl_string(token, "name", ""), "t1");
	assert_null(guests_by_name(tokens, "n3", &token));
	assert_null(guests_by_name(NULL, "n2", &token));
	/* A key is one word: none is another's beginning. */
	assert_string_equal(
	        ctl_string(guests_by_key(tokens, "ssh-ed25519 AAAA1", NULL), "name", ""), "n1");
	assert_string_equal(
	        ctl_string(guests_by_key(tokens, "ssh-ed25519 AAAA12 n2", NULL), "name", ""), "n2");
	assert_null(guests_by_key(tokens, "ssh-ed25519 AAAA123", NULL));
	assert_string_equal(
	        ctl_string(guests_by_key(tokens, "SHA256:abcdefgx", NULL), "name", ""), "n2");
	assert_non_null(guests_by_address(tokens, "10.77.0.3", NULL));
	assert_null(guests_by_address(tokens, "10.77.0.30", NULL));
	guests_names(json_object_get(token, "guests"), text, sizeof(text));
	assert_string_equal(text, "n1, n2");
	guests_list(json_object_get(token, "roles"), text, sizeof(text));
	assert_string_equal(text, "exec, lab");
	guests_names(json_object_get(token, "guests"), text, 5);
	assert_string_equal(text, "n1, ");
	json_decref(tokens);
}

/* The one whose name and fingerprint are both meant. */
static void test_adopt(void **state)
{
	json_t *tokens = json_loads(TOKENS, 0, NULL);
	char key[128] = "";

	(void)state;
	assert_true(adopt_key(tokens, "n2", "SHA256:abcdefgx", key, sizeof(key)));
	assert_string_equal(key, "ssh-ed25519 AAAA12 n2");
	assert_true(adopt_key(tokens, "n1", "abcdefgh", key, sizeof(key)));
	assert_string_equal(key, "ssh-ed25519 AAAA1 n1");
	assert_false(adopt_key(tokens, "n1", "abcdefg", key, sizeof(key)));
	assert_false(adopt_key(tokens, "n1", "SHA256:abcdefg", key, sizeof(key)));
	assert_false(adopt_key(tokens, "n1", "abcdefgx", key, sizeof(key)));
	assert_false(adopt_key(NULL, "n1", "abcdefgh", key, sizeof(key)));
	json_decref(tokens);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, run_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	        T(test_token),
	        T(test_defaults),
	        T(test_refused),
	        T(test_no_cluster),
	        T(test_revoke),
	        T(test_at_once),
	        cmocka_unit_test(test_ttl),
	        cmocka_unit_test(test_guests),
	        cmocka_unit_test(test_adopt),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

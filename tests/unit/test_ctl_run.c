/* SPDX-License-Identifier: GPL-2.0-or-later */
/* overlayctl without a daemon: what it says, what it writes, and its exit codes. */
#include "run_ctl.h"

#define KEY_A "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAINdamAGCsQq31Uv+08lkBzoO4XLz2qYjJa8CGmj3B1Ea"
#define KEY_B "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAID1AF8PoQ4lakrcKp00bfrycmCzPLsSWjMDNVfEq9GYM"

static const char policy_text[] = "cluster: hpc\n"
                                  "serial: 7\n"
                                  "overlay: 10.77.0.0/16\n"
                                  "sites:\n"
                                  "  hq: { timezone: UTC }\n"
                                  "roles: [exec]\n"
                                  "allow:\n"
                                  "  - { from: exec, to: head, service: pbs }\n"
                                  "peers:\n"
                                  "  head1: { key: \"" KEY_A "\", address: 10.77.0.1, site: hq,\n"
                                  "    roles: [head], endpoints: [192.0.2.10] }\n";

static void policy_put(void)
{
	char path[PATH_MAX];

	for (int i = 0; i < 2; i++) {
		snprintf(path, sizeof(path), "%s/etc%s", run_dir, i ? "/peers.d" : "");
		assert_int_equal(mkdir(path, 0755), 0);
	}
	run_spit("etc/policy.yaml", policy_text);
}

static void test_usage(void **state)
{
	(void)state;
	assert_int_equal(run("", NULL), 2);
	assert_says(run_err, "Usage: overlayctl");
	assert_int_equal(run("", "dance", NULL), 2);
	assert_says(run_err, "there is no command \"dance\"");
	assert_int_equal(run("", "--frobnicate", NULL), 2);
	assert_int_equal(run("", "status", "--frobnicate", NULL), 2);
	assert_says(run_err, "overlayctl status --help");
	assert_int_equal(run("", "status", "now", NULL), 2);
	assert_int_equal(run("", "check", "a", "b", NULL), 2);
	assert_says(run_err, "\"b\" is one argument too many");
	assert_int_equal(run("", "revoke", NULL), 2);
	assert_int_equal(run("", "explain", "a", "b", NULL), 2);
	assert_int_equal(run("", "explain", "a", "b", "tcp/0", NULL), 2);
	assert_int_equal(run("", "explain", "a", "b", "tcp/1-2", NULL), 2);
	assert_int_equal(run("", "approve", "a", NULL), 2);
	assert_int_equal(run("", "id", "--address", "fd00::1", NULL), 2);
	assert_string_equal(run_out, "");
}

static void test_help(void **state)
{
	static const char *const names[] = {"status", "explain", "denied", "doctor", "check",
	        "diff", "reload", "approve", "revoke", "init", "id", "key", "sign", "load",
	        "bundle", "members", "firewall", "version", "help"};
	char help[65536];

	(void)state;
	assert_int_equal(run("", "help", NULL), 0);
	strcpy(help, run_out);
	assert_int_equal(run("", "--help", NULL), 0);
	assert_string_equal(run_out, help);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		char line[64];

		snprintf(line, sizeof(line), "\n  %-9s ", names[i]);
		assert_says(help, line);
		snprintf(line, sizeof(line), "Usage: overlayctl %s", names[i]);
		assert_int_equal(run("", names[i], "--help", NULL), 0);
		assert_int_equal(strncmp(run_out, line, strlen(line)), 0);
		strcpy(run_err, run_out);
		assert_int_equal(run("", "help", names[i], NULL), 0);
		assert_int_equal(strncmp(run_out, line, strlen(line)), 0);
	}
	/* Nobody has more than 100 columns. */
	for (char *at = strtok(help, "\n"); at; at = strtok(NULL, "\n"))
		assert_true(strlen(at) <= 100);
	assert_int_equal(run("", "help", "dance", NULL), 2);
	assert_int_equal(run("", "--version", NULL), 0);
	assert_string_equal(run_out, "overlayctl " OVERLAYD_VERSION "\n");
}

static void test_no_daemon(void **state)
{
	static const char *const names[] = {"status", "denied", "reload", "firewall", "version"};

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		assert_int_equal(RUN(names[i]), 3);
		assert_says(run_err, "admin.sock: overlayd does not run here");
	}
	assert_int_equal(RUN("explain", "--in-force", "a", "b", "tcp/1"), 3);
}

static void test_check(void **state)
{
	(void)state;
	assert_int_equal(RUN("check"), 5);
	policy_put();
	assert_int_equal(RUN("check"), 0);
	assert_string_equal(run_out, "etc: good: cluster hpc, serial 7, 1 peer, 1 allow, 0 tests "
	                             "passed, 0 warnings\n");
	assert_int_equal(RUN("check", "--json"), 0);
	assert_says(run_out, "\"ok\": true");
	assert_says(run_out, "\"serial\": 7");
	run_spit("etc/peers.d/bad.yaml", "bad: { key: \"ssh-rsa AAAA\", address: 10.78.0.1 }\n");
	assert_int_equal(RUN("check"), 1);
	assert_says(run_err, "peers.d/bad.yaml:1:");
	assert_says(run_err, "error:");
	assert_says(run_out, "etc: refused: ");
	assert_int_equal(RUN("check", "--json"), 1);
	assert_says(run_out, "\"ok\": false");
	assert_says(run_out, "\"file\": \"peers.d/bad.yaml\"");
	assert_string_equal(run_err, "");
	assert_int_equal(RUN("check", "nowhere"), 5);
}

/* Without colours and escapes where nobody sees them: here all output is a file. */
static void test_no_escapes(void **state)
{
	(void)state;
	setenv("TERM", "xterm", 1);
	policy_put();
	run_spit("etc/peers.d/bad.yaml", "bad: { key: \"\033[2Jx\" }\n");
	assert_int_equal(RUN("check"), 1);
	assert_null(strchr(run_out, '\033'));
	assert_int_equal(RUN("doctor"), 1);
	assert_null(strchr(run_out, '\033'));
}

static void test_approve_revoke(void **state)
{
	char before[4096], path[PATH_MAX];

	(void)state;
	policy_put();
	assert_int_equal(
	        RUN("approve", "node17", KEY_B, "--role", "exec", "--until", "2099-12-31"), 0);
	assert_says(run_out, "node17 is approved, serial 8");
	assert_says(run_out, "admitted");
	assert_says(run_out, "10.77.0.2");
	assert_says(run_out, "overlayd does not run here");
	assert_true(run_has("etc/peers.d/node17.yaml"));
	assert_int_equal(RUN("check"), 0);
	assert_says(run_out, "serial 8, 2 peers");

	/* By name, by address, and the verdict as exit code. */
	assert_int_equal(RUN("explain", "node17", "head1", "tcp/17001"), 0);
	assert_int_equal(strncmp(run_out, "allowed", 7), 0);
	assert_says(run_out, "policy.yaml:8");
	assert_int_equal(RUN("explain", "10.77.0.2", "head1", "tcp/22"), 1);
	assert_int_equal(strncmp(run_out, "denied", 6), 0);
	assert_int_equal(RUN("explain", "node17", "head1", "tcp/17001", "--json"), 0);
	assert_says(run_out, "\"allow\": true");
	assert_says(run_out, "\"line\": 8");
	assert_int_equal(RUN("explain", "node18", "head1", "tcp/22"), 5);
	assert_says(run_err, "knows no peer \"node18\"");

	/* What is not good is not written. */
	snprintf(path, sizeof(path), "%s/etc/policy.yaml", run_dir);
	run_slurp(path, before, sizeof(before));
	assert_int_equal(RUN("approve", "node17", KEY_B, "--role", "exec"), 5);
	assert_int_equal(RUN("approve", "node18", KEY_B, "--role", "exec"), 5); /* key is taken */
	assert_says(run_err, "nothing was changed");
	assert_int_equal(RUN("approve", "node18", "ssh-rsa AAAA"), 5);
	assert_int_equal(RUN("approve", "../evil", KEY_A), 5);
	assert_false(run_has("etc/peers.d/node18.yaml"));
	run_slurp(path, run_out, sizeof(run_out));
	assert_string_equal(run_out, before);

	assert_int_equal(RUN("revoke", "node17"), 0);
	assert_says(run_out, "node17 is revoked, serial 9");
	assert_says(run_out, "evicted");
	assert_false(run_has("etc/peers.d/node17.yaml"));
	assert_int_equal(RUN("revoke", "node17"), 5);
	assert_says(run_err, "there is no peer 'node17'");

	/* A key pasted without quotes, with its comment. */
	assert_int_equal(
	        RUN("approve", "node17", "ssh-ed25519", &KEY_B[12], "node17", "--json"), 0);
	assert_says(run_out, "\"change\": \"admitted\"");
	assert_says(run_out, "\"overlayd\": null");
}

static void test_diff(void **state)
{
	(void)state;
	policy_put();
	{
		char command[256];

		snprintf(command, sizeof(command), "cp -r %s/etc %s/new", run_dir, run_dir);
		assert_int_equal(system(command), 0);
	}
	assert_int_equal(RUN("diff", "etc", "new"), 0);
	assert_string_equal(run_out, "no difference\n");
	assert_int_equal(run("", "approve", "--config", "new", "--socket", "x", "node17", KEY_B,
	                         "--role", "exec", NULL),
	        0);
	assert_int_equal(RUN("diff", "etc", "new"), 1);
	assert_says(run_out, "admitted");
	assert_int_equal(RUN("diff", "new"), 1); /* against --config */
	assert_says(run_out, "evicted");
	assert_int_equal(RUN("diff", "etc", "new", "--json"), 1);
	assert_says(run_out, "\"changed\": true");
	assert_says(run_out, "\"subject\": \"node17\"");
	assert_int_equal(RUN("diff", "etc", "nowhere"), 5);
	for (char *at = strtok(run_out, "\n"); at; at = strtok(NULL, "\n"))
		assert_true(at[strlen(at) - 1] != ' ');
}

static void test_init_id(void **state)
{
	char id[4096], path[PATH_MAX], key[200];
	struct stat st;

	(void)state;
	assert_int_equal(RUN("init", "--overlay", "10.99.0.0/16", "--name", "bad name"), 5);
	assert_false(run_has("etc/policy.yaml"));
	assert_false(run_has("etc/cluster.key"));
	assert_int_equal(RUN("init", "--cluster", "lab", "--overlay", "10.99.0.0/16", "--name",
	                         "first", "--endpoint", "192.0.2.1", "--no-key"),
	        0);
	assert_says(run_out, "SHA256:");
	assert_true(run_has("etc/peers.d"));
	assert_int_equal(RUN("check"), 0);
	assert_says(run_out, "cluster lab, serial 1, 1 peer");
	snprintf(path, sizeof(path), "%s/state/node.key", run_dir);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);

	/* A second time nothing is touched. */
	assert_int_equal(RUN("init", "--cluster", "other"), 5);
	assert_says(run_err, "there is a policy already");
	assert_int_equal(RUN("check"), 0);
	assert_says(run_out, "cluster lab");

	/* The policy has the key that id prints. */
	assert_int_equal(
	        RUN("id", "--name", "first", "--address", "10.99.0.1", "--site", "main"), 0);
	strcpy(id, run_out);
	assert_says(id, "first: { key: \"ssh-ed25519 AAAA");
	assert_says(id,
	        " first\", address: 10.99.0.1, site: main, roles: [] }\n# fingerprint: SHA256:");
	assert_string_equal(run_err, "");
	assert_int_equal(sscanf(strstr(id, "ssh-ed25519"), "ssh-ed25519 %199s", key), 1);
	snprintf(path, sizeof(path), "%s/etc/policy.yaml", run_dir);
	run_slurp(path, run_out, sizeof(run_out));
	assert_says(run_out, key);

	/* On a node without a key id makes one; it is no other's. */
	assert_int_equal(run("", "id", "--state", "other", "--json", NULL), 0);
	assert_says(run_out, "\"fingerprint\": \"SHA256:");
	assert_null(strstr(run_out, key));
	assert_true(run_has("other/node.key"));
	assert_int_equal(chmod(path, 0644), 0);
	snprintf(path, sizeof(path), "%s/state/node.key", run_dir);
	assert_int_equal(chmod(path, 0644), 0);
	assert_int_equal(RUN("id"), 4);
	assert_says(run_err, "chmod 600");
}

/* The line of id, filled in, is a good file for peers.d. */
static void test_id_is_yaml(void **state)
{
	(void)state;
	policy_put();
	assert_int_equal(RUN("id", "--name", "node3", "--address", "10.77.0.3", "--site", "hq"), 0);
	run_spit("etc/peers.d/node3.yaml", run_out);
	assert_int_equal(RUN("check"), 0);
	assert_says(run_out, "2 peers");
}

static void test_doctor(void **state)
{
	char path[PATH_MAX];

	(void)state;
	policy_put();
	assert_int_equal(RUN("doctor"), 1); /* no daemon: that is bad */
	assert_says(run_out, "systemctl start overlayd");
	assert_says(run_out, "only root may change the policy");
	assert_says(run_out, "node.key: there is no node key yet");
	snprintf(path, sizeof(path), "%s/etc/peers.d", run_dir);
	assert_int_equal(chmod(path, 0777), 0);
	assert_int_equal(RUN("doctor", "--json"), 1);
	assert_says(run_out, "etc/peers.d: mode 0777 gives others too much");
	assert_says(run_out, "\"mend\": \"chmod go-w etc/peers.d\"");
	run_spit("etc/policy.yaml", "cluster: [\n");
	assert_int_equal(RUN("doctor"), 1);
	assert_says(run_out, "overlayctl check");
}

static void expect_charon(const char *text, const char *level, const char *says)
{
	char line[64];

	run_spit("included.conf", text);
	assert_int_equal(RUN("doctor"), 1);
	assert_says(run_out, says);
	snprintf(line, sizeof(line), "\n%-4s  charon settings", level);
	assert_says(run_out, line);
}

static void test_doctor_charon(void **state)
{
	(void)state;
	policy_put();
	setenv("STRONGSWAN_CONF", "strongswan.conf", 1);
	assert_int_equal(RUN("doctor"), 1);
	assert_says(run_out, "strongswan.conf: No such file");
	run_spit("strongswan.conf", "charon {\n\tload_modular = yes\n}\ninclude incl*.conf\n");
	expect_charon("", "warn", "block_threshold is not set");
	expect_charon("charon {\n block_threshold = 0\n cookie_threshold_ip = 0\n}\n", "bad",
	        "are both 0");
	expect_charon("charon {\n block_threshold = 5000\n # ikesa_table_size = 1\n}\n", "warn",
	        "ikesa_table_size is not set");
	expect_charon("charon {\n block_threshold = 5000\n ikesa_table_size = 4096\n}\n", "warn",
	        "roam_events is not \"no\"");
	expect_charon("charon {\n block_threshold = 9\n ikesa_table_size = 1\n"
	              " roam_events = yes\n}\n",
	        "warn", "roam_events is not \"no\"");
	expect_charon("charon {\n block_threshold = 5000\n ikesa_table_size = 4096\n"
	              " plugins {\n kernel-netlink {\n roam_events = no\n}\n}\n}\n",
	        "ok", "half-open limit 5000, table of 4096, threads: 16");
	expect_charon("charon {\n threads = 2\n block_threshold = 9\n ikesa_table_size = 1\n"
	              " roam_events = no\n}\n",
	        "warn", "threads = 2");
	/* A file that includes itself ends somewhere. */
	expect_charon("include included.conf\n", "warn", "block_threshold is not set");
	unsetenv("STRONGSWAN_CONF");
}

/* A full disk is told, not taken for an answer. */
static void test_full(void **state)
{
	char command[PATH_MAX + 64], binary[PATH_MAX];

	(void)state;
	run_binary(binary, sizeof(binary));
	snprintf(command, sizeof(command), "%s help >/dev/full 2>/dev/null", binary);
	assert_int_equal(WEXITSTATUS(system(command)), 5);
}

#define T(name) cmocka_unit_test_setup_teardown(name, run_setup, run_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	        T(test_usage),
	        T(test_help),
	        T(test_no_daemon),
	        T(test_check),
	        T(test_no_escapes),
	        T(test_approve_revoke),
	        T(test_diff),
	        T(test_init_id),
	        T(test_id_is_yaml),
	        T(test_doctor),
	        T(test_doctor_charon),
	        T(test_full),
	};

	return cmocka_run_group_tests_name("ctl_run", tests, NULL, NULL);
}

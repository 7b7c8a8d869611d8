/* SPDX-License-Identifier: GPL-2.0-or-later */
/* overlayctl key and sign: what they write, what minisign says of it, what they refuse. */
#include "run_ctl.h"

#include <poll.h>
#include <pty.h>
#include <time.h>

#include "policy/bundle.h"

#define KEY_A "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAINdamAGCsQq31Uv+08lkBzoO4XLz2qYjJa8CGmj3B1Ea"
#define KEY_B "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAID1AF8PoQ4lakrcKp00bfrycmCzPLsSWjMDNVfEq9GYM"
#define POLICY(serial)                                                                             \
	"cluster: hpc\nserial: " serial "\noverlay: 10.77.0.0/16\npeers:\n"                        \
	"  head1: { key: \"" KEY_A "\", address: 10.77.0.1, endpoints: [192.0.2.10] }\n"

static int setup(void **state)
{
	char path[PATH_MAX];

	if (run_setup(state))
		return -1;
	snprintf(path, sizeof(path), "%s/etc", run_dir);
	if (mkdir(path, 0755))
		return -1;
	run_spit("etc/policy.yaml", POLICY("7"));
	return 0;
}

static void shell_good(const char *command)
{
	if (run_shell(command))
		fail_msg("%s\n%s%s", command, run_out, run_err);
}

static unsigned mode_of(const char *name)
{
	char path[PATH_MAX];
	struct stat st;

	snprintf(path, sizeof(path), "%s/%s", run_dir, name);
	assert_int_equal(stat(path, &st), 0);
	return st.st_mode & 07777;
}

static void test_key(void **state)
{
	(void)state;
	assert_int_equal(RUN("key", "--no-passphrase", "c.key"), 0);
	assert_says(run_out, "c.key: the cluster's secret key; it needs to be on no node\nc.pub: ");
	assert_int_equal(mode_of("c.key"), 0600);
	assert_int_equal(mode_of("c.pub"), 0644);
	assert_int_equal(RUN("key", "--no-passphrase", "c.key"), 5);
	assert_says(run_err, "c.key: there is a key already; it is left as it is");
	run_spit("d.pub", "");
	assert_int_equal(RUN("key", "--no-passphrase", "d.key"), 5);
	assert_says(run_err, "d.pub: there is a key already");
	assert_false(run_has("d.key"));
	assert_int_equal(RUN("key", "--no-passphrase", "no/such/c.key"), 5);
	assert_says(run_err, "no/such/c.key: No such file or directory");
	assert_int_equal(RUN("key"), 2);
	/* Without a terminal nobody can be asked. */
	assert_int_equal(run_shell("setsid -w $CTL key e.key"), 5);
	assert_says(run_err, "there is no terminal to ask for the passphrase of the key: "
	                     "--passphrase-file reads");
	assert_false(run_has("e.key"));
}

static void test_sign(void **state)
{
	(void)state;
	shell_good("$CTL key --no-passphrase c.key");
	shell_good("$CTL --config etc sign --key c.key > one");
	/* As the manual says. */
	shell_good("head -n -4 one > bundle; tail -n 4 one > bundle.minisig; "
	           "minisign -V -p c.pub -m bundle");
	assert_says(run_out, "Trusted comment: overlayd bundle: cluster hpc, serial 7");
	/* The other way round: signed by the tool. */
	shell_good("rm bundle.minisig; minisign -S -s c.key -m bundle; "
	           "cat bundle bundle.minisig > tool");
	run_spit("etc/policy.yaml", POLICY("8"));
	shell_good("$CTL sign --key c.key --parent tool etc > two && cat two");
	assert_says(run_out, ",\"parent_serial\":7,\"parent\":\"");
	shell_good(
	        "sha256sum bundle | cut -d ' ' -f 1 | xargs -I{} grep -c '\"parent\":\"{}\"' two");
}

/* What changed is given the next serial by itself, and it stands in the file, comments and all. */
static void test_serial(void **state)
{
	(void)state;
	shell_good("$CTL key --no-passphrase c.key && $CTL sign --key c.key etc > one");
	/* Nothing has changed: the same again. */
	shell_good("$CTL sign --key c.key --parent one etc | cmp - one");
	assert_says(run_err, "nothing has changed since serial 7");
	shell_good("sed -i 's/^serial: 7/serial: 7  # the seventh/; s/192.0.2.10/192.0.2.11/' "
	           "etc/policy.yaml; $CTL sign --key c.key --parent one etc > two; head -1 two");
	assert_says(run_out, "\"parent_serial\":7,\"parent\":\"");
	assert_says(run_out, "\"serial\":8}");
	assert_says(run_err, "serial 8 follows serial 7");
	shell_good("cat etc/policy.yaml");
	assert_says(run_out, "serial: 8  # the seventh\n");
	/* One that stands by itself, above what is in force: how a FORK is ended. */
	shell_good("$CTL sign --alone --key c.key --parent two etc > three; head -1 three");
	assert_null(strstr(run_out, "parent"));
	assert_says(run_out, "\"serial\":9}");
	/* What lies beside the policy is the parent where there is no daemon. */
	shell_good("cp three etc/cluster.bundle; cp c.pub etc/cluster.pub; "
	           "$CTL sign --key c.key etc | cmp - three");
}

/* The text alone, for the tool to sign. */
static void test_text(void **state)
{
	(void)state;
	shell_good("$CTL key --no-passphrase c.key && $CTL sign --text etc > text && "
	           "minisign -S -s c.key -m text && cat text text.minisig > one");
	shell_good("$CTL sign --key c.key etc | head -n -4 > two; "
	           "sed 's/\"issued\":[0-9]*//' text > a; sed 's/\"issued\":[0-9]*//' two > b; "
	           "cmp a b");
	assert_int_equal(run_shell("$CTL sign --text --key c.key etc"), 2);
	/* The tool's signature is as good as ours. */
	shell_good("$CTL sign --key c.key --parent one etc | cmp - one");
	assert_int_equal(run_shell("$CTL --socket none load text"), 3);
	assert_says(run_err, "overlayd does not run here");
	assert_int_equal(run_shell("rm text.minisig; $CTL --socket none load text"), 5);
}

/* Where no daemon runs: the files, and the bundle beside them. */
static void test_approve_signed(void **state)
{
	(void)state;
	shell_good("$CTL key --no-passphrase c.key && cp c.pub etc/cluster.pub");
	assert_int_equal(run_shell("$CTL --config etc revoke head1"), 5);
	assert_says(run_err, "etc/cluster.key: the cluster's secret key is not on this machine; "
	                     "nothing was changed.");
	assert_says(run_err, "  overlayctl --config DIR revoke head1 --key FILE\n"
	                     "  overlayctl load DIR/cluster.bundle\n");
	shell_good("cp c.key etc/cluster.key; $CTL --config etc --socket none approve node2 '" KEY_B
	           "'");
	assert_says(run_out, "etc: node2 is approved, serial 8");
	assert_says(run_out, "overlayd does not run here: the signed bundle is in "
	                     "etc/cluster.bundle; on any node: overlayctl load cluster.bundle");
	shell_good("$CTL --config etc --socket none revoke node2 && head -1 etc/cluster.bundle");
	assert_says(run_out, "\"parent_serial\":8,");
	assert_says(run_out, "\"serial\":9}");
	/* The bundle cannot be written: the files are as they were. */
	shell_good("cp -r etc before; rm etc/cluster.bundle; mkdir etc/cluster.bundle");
	assert_int_equal(
	        run_shell("$CTL --config etc --socket none approve node2 '" KEY_B "' --key c.key"),
	        5);
	shell_good("rmdir etc/cluster.bundle; cp before/cluster.bundle etc; diff -r before etc");
	assert_int_equal(run_shell("echo x >> etc/cluster.bundle; "
	                           "$CTL --config etc --socket none approve node2 '" KEY_B "'"),
	        5);
	assert_says(run_err, "etc/cluster.bundle: it cannot be the parent");
	shell_good("cp before/cluster.bundle etc; diff -r before etc");
}

static void test_init(void **state)
{
	(void)state;
	shell_good("$CTL --config new --state st init --name head1 --no-passphrase");
	assert_says(run_out,
	        "new/cluster.key: the cluster's secret key, which signs policies (it has "
	        "no passphrase)");
	assert_says(run_out, "overlayctl sign --load");
	assert_int_equal(mode_of("new/cluster.key"), 0600);
	assert_int_equal(mode_of("new/cluster.pub"), 0644);
	shell_good("$CTL --config new sign > one; head -1 one");
	assert_says(run_out, "\"serial\":1}");
	/* Without a terminal somebody has to say what about the passphrase; then nothing is left. */
	assert_int_equal(run_shell("setsid -w $CTL --config n2 --state st init --name head1"), 5);
	assert_false(run_has("n2/policy.yaml"));
	assert_false(run_has("n2/cluster.pub"));
	shell_good("echo 'open sesame' > pass; $CTL --config n2 --state st init --name head1 "
	           "--passphrase-file pass --cluster-key key --json");
	assert_says(run_out, "\"secret_key\": \"key\"");
	shell_good("$CTL --config n2 sign --key key --passphrase-file - < pass > one");
	assert_int_equal(
	        run_shell("echo wrong | $CTL --config n2 sign --key key --passphrase-file -"), 5);
	assert_int_equal(
	        run_shell("$CTL --config n2 sign --key key --passphrase-file - < /dev/null"), 5);
	assert_says(run_err, "-: there is no passphrase in its first line");
	shell_good("$CTL --config n3 --state st init --name head1 --no-key");
	assert_false(run_has("n3/cluster.pub"));
	assert_int_equal(run_shell("$CTL --config n4 init --no-key --no-passphrase"), 2);
}

static void test_sign_refused(void **state)
{
	(void)state;
	shell_good("$CTL key --no-passphrase c.key && $CTL key --no-passphrase d.key && "
	           "$CTL sign --key c.key etc > one");
	run_spit("etc/policy.yaml", POLICY("6"));
	assert_int_equal(run_shell("$CTL sign --key c.key --parent one etc"), 5);
	assert_says(run_err,
	        "etc: these files have serial 6, and serial 7 is in force: signed, they "
	        "would undo what came between");
	assert_string_equal(run_out, "");
	run_spit("etc/policy.yaml", POLICY("8"));
	assert_int_equal(run_shell("$CTL sign --key d.key --parent one etc"), 5);
	assert_says(run_err, "one: it cannot be the parent: this is signed by the key ");
	assert_int_equal(
	        run_shell("head -n -1 one > cut; $CTL sign --key c.key --parent cut etc"), 5);
	assert_says(run_err, "cut: it cannot be the parent: this is no signature");
	assert_int_equal(run_shell("$CTL --config etc sign"), 5);
	assert_says(run_err, "etc/cluster.key: the cluster's secret key is not here; name it with "
	                     "--key");
	assert_int_equal(run_shell("$CTL sign --key c.pub etc"), 5);
	assert_int_equal(run_shell("chmod 600 c.pub; $CTL sign --key c.pub etc"), 5);
	assert_says(run_err, "c.pub: this is no secret key of minisign");
	assert_int_equal(run_shell("chmod 640 c.key; $CTL sign --key c.key etc"), 5);
	assert_says(run_err, "c.key: others may read this secret key: chmod 600 c.key");
	run_spit("etc/policy.yaml", POLICY("0"));
	assert_int_equal(run_shell("chmod 600 c.key; $CTL sign --key c.key etc"), 5);
	assert_says(run_err, "etc: this policy cannot be used");
	assert_string_equal(run_out, "");
	assert_int_equal(run_shell("$CTL sign --key none etc"), 5);
}

/* ---- on a terminal */

/* Reads what is there until the prompt comes; deadline: 60 s for 1 GiB of scrypt. */
static void prompt_await(int tty, const char *prompt)
{
	char seen[4096] = "";
	size_t n = 0;
	time_t end = time(NULL) + 60;

	while (!strstr(seen, prompt)) {
		struct pollfd fd = {tty, POLLIN, 0};
		ssize_t got;

		if (time(NULL) > end || n == sizeof(seen) - 1)
			fail_msg("no \"%s\" in: %s", prompt, seen);
		if (poll(&fd, 1, 1000) <= 0)
			continue;
		got = read(tty, seen + n, sizeof(seen) - 1 - n);
		if (got <= 0)
			fail_msg("ended without \"%s\": %s", prompt, seen);
		n += (size_t)got;
		seen[n] = '\0';
	}
}

/* The same command with a terminal, on which these lines are typed. */
static int typed(const char *command, const char *first, const char *second)
{
	char binary[PATH_MAX], line[2 * PATH_MAX], rest[256];
	int tty, status;
	pid_t child;

	run_binary(binary, sizeof(binary));
	snprintf(line, sizeof(line), "cd %s && CTL=%s && { %s; } >../out 2>../err", run_dir, binary,
	        command);
	child = forkpty(&tty, NULL, NULL, NULL);
	if (!child) {
		execl("/bin/sh", "sh", "-c", line, NULL);
		_exit(99);
	}
	assert_true(child > 0);
	prompt_await(tty, "Passphrase of the cluster key: ");
	assert_int_equal(write(tty, first, strlen(first)), strlen(first));
	if (second) {
		prompt_await(tty, "The same again: ");
		assert_int_equal(write(tty, second, strlen(second)), strlen(second));
	}
	while (read(tty, rest, sizeof(rest)) > 0) /* until it ends */
		;
	assert_int_equal(waitpid(child, &status, 0), child);
	close(tty);
	snprintf(line, sizeof(line), "%s/../err", run_dir);
	run_slurp(line, run_err, sizeof(run_err));
	return WEXITSTATUS(status);
}

static void test_passphrase(void **state)
{
	(void)state;
	assert_int_equal(typed("$CTL key c.key", "one\n", "two\n"), 5);
	assert_says(run_err, "the two passphrases differ; nothing was done");
	assert_int_equal(typed("$CTL key c.key", "\n", NULL), 5);
	assert_says(run_err, "an empty passphrase protects nothing: --no-passphrase makes");
	assert_int_equal(typed("$CTL key c.key", "\003\n", NULL), 5);
	assert_says(run_err, "cancelled");
	assert_false(run_has("c.key"));
	if (typed("$CTL key c.key", "open sesame\n", "open sesame\n"))
		fail_msg("%s", run_err);
	if (typed("$CTL sign --key c.key etc > one", "open sesame\n", NULL))
		fail_msg("%s", run_err);
	shell_good("head -n -4 one > bundle; tail -n 4 one > bundle.minisig; "
	           "minisign -V -p c.pub -m bundle");
	assert_int_equal(typed("$CTL sign --key c.key etc", "open\n", NULL), 5);
	assert_says(run_err, "c.key: this is not the passphrase of this secret key");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test_setup_teardown(test_key, setup, run_teardown),
	        cmocka_unit_test_setup_teardown(test_sign, setup, run_teardown),
	        cmocka_unit_test_setup_teardown(test_sign_refused, setup, run_teardown),
	        cmocka_unit_test_setup_teardown(test_serial, setup, run_teardown),
	        cmocka_unit_test_setup_teardown(test_text, setup, run_teardown),
	        cmocka_unit_test_setup_teardown(test_approve_signed, setup, run_teardown),
	        cmocka_unit_test_setup_teardown(test_init, setup, run_teardown),
	        cmocka_unit_test_setup_teardown(test_passphrase, setup, run_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

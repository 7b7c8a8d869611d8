/* SPDX-License-Identifier: GPL-2.0-or-later */
/* overlayctl and guests, with a daemon that knows some: token list, revoke, approve, explain. */
#include "serve_ctl.h"

#define KEY_1 "AAAAC3NzaC1lZDI1NTE5AAAAIGq58euPfTOI9PnVhvZumf1UCA3yxEbw5YZosJwIoW1Q"
#define KEY_2 "AAAAC3NzaC1lZDI1NTE5AAAAIHq58euPfTOI9PnVhvZumf1UCA3yxEbw5YZosJwIoW1Q"
#define KEY_3 "AAAAC3NzaC1lZDI1NTE5AAAAINdamAGCsQq31Uv+08lkBzoO4XLz2qYjJa8CGmj3B1Ea"
#define KEY_H "AAAAC3NzaC1lZDI1NTE5AAAAID1AF8PoQ4lakrcKp00bfrycmCzPLsSWjMDNVfEq9GYM"
#define KEY_7 "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIPUAdyEgT4YZ/BEMj7rcqJJDCNMFcMUVsiTwlANcvxQf"
#define KEY_9 "ssh-ed25519 " KEY_H
/* No key's of ours, and as long as one is. */
#define PRINT_1 "SHA256:abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOP0"
#define PRINT_2 "SHA256:bcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQ4"
#define GUEST(name, print, key, addr)                                                              \
	"{\"name\":\"" name "\",\"fingerprint\":\"" print "\",\"key\":\"ssh-ed25519 " key          \
	"\",\"address\":\"" addr "\",\"seed\":\"head1\"}"
#define GUESTS GUEST("n1", PRINT_1, KEY_1, "10.77.0.2") "," GUEST("n2", PRINT_2, KEY_2, "10.77.0.4")
#define TOKEN(name, used, left, over, guests)                                                      \
	"{\"name\":\"" name                                                                        \
	"\",\"fingerprint\":\"SHA256:x\",\"roles\":[\"exec\",\"head\"],\"site\":\"main\","         \
	"\"range\":\"10.77.8.0/24\",\"count\":3,\"used\":" used ",\"until\":" left                 \
	",\"over\":" over ",\"guests\":[" guests "]}"
#define TOKENS(tokens) "{\"now\":1000000,\"tokens\":[" tokens "]}"
#define LOADED                                                                                     \
	"{\"verdict\":\"applied\",\"serial\":8,\"changed\":true,\"warnings\":\"\",\"rows\":[]}"

/* A signed cluster with a token t1, whose guests are n1 and n2; head1 is the one peer. */
static void begin(void)
{
	serve(NULL);
	status_put("ready", "", "[{\"name\":\"n1\"}]");
	run_spit("load.answer", LOADED);
	run_spit("tokens.answer", TOKENS(TOKEN("over", "0", "999999", "true", "") "," TOKEN(
	                                  "t1", "3", "1003600", "false", GUESTS)));
	assert_int_equal(
	        RUN("init", "--name", "head1", "--endpoint", "192.0.2.10", "--no-passphrase"), 0);
}

static void file_get(const char *name, char *text, size_t size)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/%s", run_dir, name);
	run_slurp(path, text, size);
}

/* t1 in the files too. */
static void token_put(void)
{
	char command[PATH_MAX];

	snprintf(command, sizeof(command), "mkdir -p %s/etc/tokens.d", run_dir);
	assert_int_equal(system(command), 0);
	run_spit("etc/tokens.d/t1.yaml",
	        "t1:\n  key: \"ssh-ed25519 " KEY_3
	        "\"\n  roles: [exec]\n  site: main\n  count: 3\n  until: 2096-12-31\n");
}

static void test_list(void **state)
{
	(void)state;
	serve(NULL);
	run_spit("tokens.answer", TOKENS(""));
	assert_int_equal(RUN("token", "list"), 0);
	assert_string_equal(run_out,
	        "the policy in force grants no token; overlayctl ticket --token "
	        "makes one\n");
	run_spit("tokens.answer", TOKENS(TOKEN("over", "0", "999999", "true", "") "," TOKEN(
	                                  "t1", "3", "1003600", "false", GUESTS)));
	assert_int_equal(RUN("token", "list"), 0);
	assert_string_equal(run_out,
	        "TOKEN  ROLES       SITE  RANGE           USED  UNTIL                     LEFT  "
	        "GUESTS\n"
	        "over   exec, head  main  10.77.8.0/24  0 of 3  1970-01-12 13:46:39 UTC   over\n"
	        "t1     exec, head  main  10.77.8.0/24  3 of 3  1970-01-12 14:46:40 UTC  1h00m  "
	        "n1, "
	        "n2\n");
	assert_int_equal(RUN("token", "list", "--json"), 0);
	assert_says(run_out, "\"seed\": \"head1\"");
	/* Nothing of an answer that is none is a crash, nor reaches a terminal. */
	run_spit("tokens.answer",
	        "{\"tokens\":[{\"name\":\"a\\u001b\",\"guests\":17,\"roles\":{}},3]}");
	assert_int_equal(RUN("token", "list"), 0);
	assert_says(run_out, "\na?");
}

static void test_revoke_guest(void **state)
{
	char text[4096];

	(void)state;
	begin();
	token_put();
	assert_int_equal(RUN("revoke", "n3"), 5);
	assert_says(run_err, "there is no peer 'n3'");
	assert_int_equal(RUN("revoke", "n1"), 0);
	assert_says(run_out, "etc: n1 is revoked, a guest of token t1, serial 2\n");
	assert_says(run_out, "overlayd: serial 8 is in force\n");
	file_get("etc/tokens.d/t1.yaml", text, sizeof(text));
	assert_says(text, PRINT_1);
	/* Refused: put back. */
	run_spit("load.answer", "!{}");
	assert_int_equal(RUN("revoke", "n2"), 5);
	assert_says(run_err, "nothing was changed");
	file_get("etc/tokens.d/t1.yaml", text, sizeof(text));
	assert_null(strstr(text, PRINT_2));
	/* The node itself: whom would it tell? */
	run_spit("load.answer", LOADED);
	run_spit("status.answer", "{\"node\":{\"name\":\"n2\"},\"peers\":[{\"name\":\"head1\"}]}");
	assert_int_equal(RUN("revoke", "n2"), 5);
	assert_says(run_err, "n2 is this node");
	assert_int_equal(RUN("token", "revoke", "t1"), 5);
	assert_says(run_err, "this node is a guest of t1");
	assert_true(run_has("etc/tokens.d/t1.yaml"));
}

static void test_revoke_token(void **state)
{
	(void)state;
	begin();
	token_put();
	run_spit("load.answer", "!{}");
	assert_int_equal(RUN("token", "revoke", "t1"), 5);
	assert_true(run_has("etc/tokens.d/t1.yaml"));
	run_spit("load.answer", LOADED);
	assert_int_equal(RUN("token", "revoke", "t1"), 0);
	assert_says(run_out, "token t1 is revoked, and with it 2 guests: n1, n2, serial 2\n");
	assert_false(run_has("etc/tokens.d/t1.yaml"));
}

/* A ticket whose bundle the daemon refuses is not shown, and nothing of it stays. */
static void test_refused(void **state)
{
	(void)state;
	begin();
	run_spit("load.answer", "!{}");
	assert_int_equal(RUN("ticket", "--token", "t2", "--role", "exec"), 5);
	assert_string_equal(run_out, "");
	assert_says(run_err, "nothing was changed");
	assert_false(run_has("etc/tokens.d/t2.yaml"));
	run_spit("load.answer", LOADED);
	assert_int_equal(RUN("ticket", "--token", "t2", "--role", "exec"), 0);
	assert_int_equal(strncmp(run_out, "ovl1-secret-", 12), 0);
	assert_says(run_err, "overlayd: serial 8 is in force\n");
	assert_true(run_has("etc/tokens.d/t2.yaml"));
}

static void test_approve(void **state)
{
	char text[4096];

	(void)state;
	begin();
	token_put();
	run_spit("pending.answer",
	        "{\"now\":100,\"seed\":true,\"seeds\":[],\"why\":\"\",\"pending\":[]}");
	/* Nobody gets a guest's address: 10.77.0.2 and .4 are theirs. */
	assert_int_equal(RUN("approve", "n7", KEY_7), 0);
	file_get("etc/peers.d/n7.yaml", text, sizeof(text));
	assert_says(text, "address: 10.77.0.3\n");
	assert_string_equal(run_err, "");
	assert_int_equal(RUN("approve", "n9", KEY_9), 0);
	file_get("etc/peers.d/n9.yaml", text, sizeof(text));
	assert_says(text, "address: 10.77.0.5\n");
	/* Only one that name and fingerprint together mean. */
	assert_int_equal(RUN("approve", "n2", "SHA256:abcdefghij"), 5);
	assert_says(run_err, "no newcomer n2");
	/* It keeps what it has. */
	assert_int_equal(RUN("approve", "n2", "SHA256:bcdefghijk"), 0);
	assert_says(
	        run_err, "n2 is a guest of token t1; with this it is a peer of the policy's own");
	file_get("etc/peers.d/n2.yaml", text, sizeof(text));
	assert_says(text, "address: 10.77.0.4\n");
	assert_says(text, "roles: [exec, head]\n");
	assert_says(text, KEY_2);
	/* Or what is given; by another name, which is told. */
	assert_int_equal(RUN("approve", "other", "ssh-ed25519 " KEY_1, "--role", "head",
	                         "--address", "10.77.0.99"),
	        0);
	assert_says(run_err, "n1 is a guest of token t1");
	assert_says(run_err, "under another name: other");
	file_get("etc/peers.d/other.yaml", text, sizeof(text));
	assert_says(text, "address: 10.77.0.99\n");
	assert_says(text, "roles: [head]\n");
}

/* Another key under a guest's name: that puts the guest out. */
static void test_approve_name(void **state)
{
	(void)state;
	begin();
	token_put();
	assert_int_equal(RUN("approve", "n1", KEY_7), 0);
	assert_says(run_err, "warning: a guest of token t1 with another key is called n1");
}

static void test_tables(void **state)
{
	(void)state;
	serve(NULL);
	status_put("ready", "",
	        "[{\"name\":\"n1\",\"guest\":\"t1\",\"state\":\"up\"},"
	        "{\"name\":\"n2\",\"guest\":null,\"state\":\"up\"}]");
	assert_int_equal(RUN("status"), 0);
	assert_says(run_out, "\nPEER  GUEST OF  STATE ");
	assert_says(run_out, "\nn1    t1        up ");
	assert_says(run_out, "\nn2              up ");
	run_spit("status.answer",
	        "{\"state\":\"ready\",\"node\":{\"name\":\"n1\",\"guest\":\"t1\"}}");
	assert_int_equal(RUN("status"), 0);
	assert_says(run_out, "\n  guest     of token t1\n");
	run_spit("members.answer",
	        "{\"serial\":8,\"n_members\":2,\"n_applied\":2,\"now\":100,\"members\":["
	        "{\"name\":\"head1\",\"seed\":true,\"guest\":null,\"serial\":8,\"state\":\"self\"},"
	        "{\"name\":\"n1\",\"seed\":false,\"guest\":\"t1\",\"serial\":8,\"state\":\"up\"}]"
	        "}");
	assert_int_equal(RUN("members"), 0);
	assert_says(run_out, "head1        8  self   seed\n");
	assert_says(run_out, "n1           8  up     guest of t1\n");
}

/* A guest is in no file: the daemon answers, and who it is is said. */
static void test_explain(void **state)
{
	(void)state;
	begin();
	assert_int_equal(RUN("explain", "n1", "head1", "tcp/1"), 5); /* the files have no token */
	token_put();
	assert_int_equal(RUN("explain", "n1", "head1", "tcp/1"), 0);
	assert_string_equal(run_out, "so says the daemon\n");
	assert_says(run_err, "n1 is a guest of token t1, with what its roles may (exec, head)");
	assert_int_equal(RUN("explain", "head1", "10.77.0.4", "tcp/2"), 1);
	assert_says(run_err, "n2 is a guest");
	assert_int_equal(RUN("explain", "head1", "n3", "tcp/1"), 5);
	assert_says(run_err, "the policy knows no peer \"n3\"");
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	        T(test_list),
	        T(test_revoke_guest),
	        T(test_revoke_token),
	        T(test_refused),
	        T(test_approve),
	        T(test_approve_name),
	        T(test_tables),
	        T(test_explain),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

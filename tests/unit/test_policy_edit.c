/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Files: reading a directory, approve, revoke, init; and what stays when an edit is refused. */
#include "policy_bed.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "policy/policy_edit.h"

#define MAIN                                                                                       \
	"# our cluster\ncluster: hpc\nserial:   41   # raise me\noverlay: 10.77.0.0/16\n" SITES    \
	"roles: [exec]\nallow:\n  - { from: exec, to: head, service: pbs }\n"                      \
	"peers:\n"                                                                                 \
	"  # the head\n"                                                                           \
	"  head1:\n    key: \"" KEY1 "\"   # from its console\n    address: 10.77.0.1\n"           \
	"    site: hq\n    roles: [head]\n    endpoints: [192.0.2.10]\n"                           \
	"  # a node\n"                                                                             \
	"  node1: { key: \"" KEY2 "\", address: 10.77.0.2,\n"                                      \
	"           site: hq, roles: [exec] }\n"                                                   \
	"\n# tests below\n"

static char dir[] = "/tmp/test_policy_edit_XXXXXX";

static void path_of(const char *name, char *path, size_t size)
{
	snprintf(path, size, "%s/%s", dir, name);
}

static void put(const char *name, const char *text)
{
	char path[200];
	FILE *file;

	path_of(name, path, sizeof(path));
	file = fopen(path, "w");
	assert_non_null(file);
	fputs(text, file);
	fclose(file);
}

/* The file's text, or NULL when there is none; free() it. */
static char *get(const char *name)
{
	char path[200], *text;
	size_t n;
	FILE *file;

	path_of(name, path, sizeof(path));
	file = fopen(path, "r");
	if (!file)
		return NULL;
	text = calloc(1, 20000);
	n = fread(text, 1, 19999, file);
	assert_true(n < 19999);
	fclose(file);
	return text;
}

static void file_is(const char *name, const char *expected)
{
	char *text = get(name);

	if (!expected) {
		assert_null(text);
		return;
	}
	assert_non_null(text);
	assert_string_equal(text, expected);
	free(text);
}

/* A shell command in the directory. */
static void command(const char *words)
{
	char text[400];

	snprintf(text, sizeof(text), "cd %s && %s", dir, words);
	assert_int_equal(system(text), 0);
}

static int setup(void **state)
{
	(void)state;
	strcpy(dir + strlen(dir) - 6, "XXXXXX");
	return mkdtemp(dir) ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	command("rm -rf \"$PWD\"");
	return 0;
}

static void report_is(struct policy_report *report, const char *expected)
{
	char *text = report_text(report);

	source_lines_drop(text);
	assert_string_equal(text, expected);
	free(text);
	policy_report_clear(report);
}

static void load_is(int expected_ret, const char *expected)
{
	struct policy *policy = NULL;
	struct policy_report report;

	policy_report_init(&report);
	assert_int_equal(policy_load(dir, &policy, &report), expected_ret);
	assert_int_equal(policy != NULL, expected_ret == 0);
	report_is(&report, expected);
	policy_unref(policy);
}

static void test_load(void **state)
{
	struct policy *policy = NULL;
	struct policy_report report;

	(void)state;
	load_is(-ENOENT,
	        "policy.yaml: error: this file cannot be read: No such file or directory\n");
	put("policy.yaml", MAIN);
	command("mkdir peers.d");
	put("peers.d/b.yaml", "b: { key: \"" KEY3 "\", address: 10.77.0.3, site: aws }\n");
	put("peers.d/.b.yaml.swp", "half");
	put("peers.d/.#b.yaml", "half");
	put("peers.d/b.yaml~", "half");
	put("peers.d/b.yml", "half");
	put("peers.d/.yaml", "half");
	policy_report_init(&report);
	assert_int_equal(policy_load(dir, &policy, &report), 0);
	assert_int_equal(policy->n_peers, 3);
	assert_string_equal(policy_peer_by_name(policy, "b")->where.file, "peers.d/b.yaml");
	report_is(&report, "");
	policy_unref(policy);
	put("peers.d/c.yaml", "c: x\n");
	put("peers.d/a.yaml", "a: x\n");
	load_is(-EINVAL, "peers.d/a.yaml:1:1: error: a file in peers.d begins with the peer's "
	                 "name: NAME: { key: "
	                 "..., address: ... }\n"
	                 "peers.d/c.yaml:1:1: error: a file in peers.d begins with the peer's "
	                 "name: NAME: { key: "
	                 "..., address: ... }\n");
	command("rm peers.d/[ac].yaml; mkdir peers.d/d.yaml");
	load_is(-EISDIR, "peers.d/d.yaml: error: this is no regular file: Is a directory\n");
	command("rmdir peers.d/d.yaml; mkfifo peers.d/d.yaml");
	load_is(-EISDIR, "peers.d/d.yaml: error: this is no regular file: Is a directory\n");
	command("rm peers.d/d.yaml; head -c 10000000 /dev/zero > peers.d/d.yaml");
	load_is(-EINVAL, "peers.d/d.yaml: error: the file has 4194305 bytes; a policy file may "
	                 "have 4194304\n");
}

static void test_approve(void **state)
{
	static const char *const roles[] = {"exec"}, *const endpoints[] = {"h.example.org:4501"};
	struct policy_approval approval = {.name = "node18",
	        .key = KEY3 " root@\"n18\"",
	        .site = "aws",
	        .roles = roles,
	        .n_roles = 1,
	        .endpoints = endpoints,
	        .n_endpoints = 1,
	        .until = "2030-01-01",
	        .hours = "Mon-Fri 18:00-08:00"};
	struct policy_report report;
	struct policy *policy = NULL;
	char path[200];
	struct stat st;

	(void)state;
	put("policy.yaml", MAIN);
	policy_report_init(&report);
	umask(077);
	assert_int_equal(policy_edit_approve(dir, &approval, &policy, &report), 0);
	report_is(&report, "");
	assert_int_equal(policy->serial, 42);
	assert_int_equal(policy->n_peers, 3);
	policy_unref(policy);
	file_is("peers.d/node18.yaml",
	        "node18:\n  key: \"" KEY3 " root@\\\"n18\\\"\"\n  address: 10.77.0.3\n  site: aws\n"
	        "  roles: [exec]\n  endpoints: [\"h.example.org:4501\"]\n  until: 2030-01-01\n"
	        "  hours: \"Mon-Fri 18:00-08:00\"\n");
	path_of("peers.d/node18.yaml", path, sizeof(path));
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0644);
	load_is(0, "");
	policy_report_init(&report);
	assert_int_equal(policy_edit_approve(dir, &approval, NULL, &report), -EEXIST);
	report_is(&report,
	        "peers.d/node18.yaml:1:1: error: node18 is there already: revoke it first, or take "
	        "another name\n");
}

/* The admin's words stay, but for the digits of the serial. */
static void main_is_with_serial(const char *serial)
{
	char expected[4000];
	const char *at = strstr(MAIN, "41");

	snprintf(expected, sizeof(expected), "%.*s%s%s", (int)(at - MAIN), MAIN, serial, at + 2);
	file_is("policy.yaml", expected);
}

static void test_approve_refused(void **state)
{
	struct policy_approval approval = {.name = "node18", .key = KEY2, .site = "hqq"};
	struct policy_report report;
	struct policy *policy = NULL;

	(void)state;
	put("policy.yaml", MAIN);
	policy_report_init(&report);
	assert_int_equal(policy_edit_approve(dir, &approval, &policy, &report), -EINVAL);
	report_is(&report,
	        "peers.d/node18.yaml:1:1: error: node18 has the key of node1 (policy.yaml:18): a "
	        "node "
	        "is its key, so delete one of them\n"
	        "peers.d/node18.yaml:4:9: error: there is no site 'hqq' (did you mean 'hq'?)\n");
	assert_null(policy);
	main_is_with_serial("41");
	file_is("peers.d/node18.yaml", NULL);
	approval.name = "../../x";
	policy_report_init(&report);
	assert_int_equal(policy_edit_approve(dir, &approval, &policy, &report), -EINVAL);
	report_is(&report, "peers.d: error: '../../x' is no name for a peer: up to 63 letters and "
	                   "digits, with . _ "
	                   "- between\n");
	/* What is given cannot smuggle in keys of its own. */
	approval = (struct policy_approval){
	        .name = "n", .key = KEY3, .site = "hq\"\n  roles: [head]\n  until: \""};
	policy_report_init(&report);
	assert_int_equal(policy_edit_approve(dir, &approval, &policy, &report), -EINVAL);
	policy_report_clear(&report);
	main_is_with_serial("41");
}

static void test_revoke(void **state)
{
	struct policy_report report;
	struct policy *policy = NULL;
	char *text, *at;

	(void)state;
	put("policy.yaml", MAIN);
	command("mkdir peers.d");
	put("peers.d/one.yaml", "b: { key: \"" KEY3 "\", address: 10.77.0.3, site: aws }\n");
	policy_report_init(&report);
	assert_int_equal(policy_edit_revoke(dir, "b", &policy, &report), 0);
	report_is(&report, "");
	assert_int_equal(policy->n_peers, 2);
	assert_int_equal(policy->serial, 42);
	policy_unref(policy);
	file_is("peers.d/one.yaml", NULL);
	main_is_with_serial("42");
	/* Out of policy.yaml: its lines go, all others stay. */
	policy_report_init(&report);
	assert_int_equal(policy_edit_revoke(dir, "node1", NULL, &report), 0);
	report_is(&report, "");
	text = get("policy.yaml");
	assert_null(strstr(text, "10.77.0.2"));
	assert_non_null(strstr(text, "  # a node\n\n# tests below\n"));
	assert_non_null(strstr(text, "serial:   43   # raise me\n"));
	at = strstr(text, "endpoints: [192.0.2.10]\n");
	assert_non_null(at);
	free(text);
	load_is(0, "");
}

static void test_revoke_several(void **state)
{
	struct policy_report report;

	(void)state;
	put("policy.yaml", MAIN);
	command("mkdir peers.d");
	put("peers.d/two.yaml",
	        "a:\n  key: \"" KEY3 "\"\n  address: 10.77.0.3\n\n  site: aws\n# b is new\n"
	        "b: { key: \"ssh-ed25519 "
	        "AAAAC3NzaC1lZDI1NTE5AAAAINdamAGCsQq31Uv+08lkBzoO4XLz2qYjJa8CGmj3B1Ea\", address: "
	        "10.77.0.4, site: aws }\n");
	policy_report_init(&report);
	assert_int_equal(policy_edit_revoke(dir, "a", NULL, &report), 0);
	report_is(&report, "");
	file_is("peers.d/two.yaml",
	        "# b is new\n"
	        "b: { key: \"ssh-ed25519 "
	        "AAAAC3NzaC1lZDI1NTE5AAAAINdamAGCsQq31Uv+08lkBzoO4XLz2qYjJa8CGmj3B1Ea\", address: "
	        "10.77.0.4, site: aws }\n");
	load_is(0, "");
}

static void test_revoke_refused(void **state)
{
	char *text;
	struct policy_report report;

	(void)state;
	put("policy.yaml", MAIN);
	command("mkdir peers.d");
	put("peers.d/flow.yaml",
	        "{ a: { key: \"" KEY3
	        "\", address: 10.77.0.3, site: aws },\n  b: { key: \"ssh-ed25519 "
	        "AAAAC3NzaC1lZDI1NTE5AAAAINdamAGCsQq31Uv+08lkBzoO4XLz2qYjJa8CGmj3B1Ea\","
	        " address: 10.77.0.4, site: aws } }\n");
	policy_report_init(&report);
	assert_int_equal(policy_edit_revoke(dir, "a", NULL, &report), -EINVAL);
	report_is(&report, "peers.d/flow.yaml:1:3: error: a stands here among others and cannot be "
	                   "cut out safely: "
	                   "delete it by hand, and raise `serial`\n");
	policy_report_init(&report);
	assert_int_equal(policy_edit_revoke(dir, "node2", NULL, &report), -ENOENT);
	report_is(
	        &report, "policy.yaml: error: there is no peer 'node2' (did you mean 'node1'?)\n");
	/* The last one of a role that rules name: the role is declared, the rules stay. */
	policy_report_init(&report);
	assert_int_equal(policy_edit_revoke(dir, "head1", NULL, &report), 0);
	policy_report_clear(&report);
	text = get("policy.yaml");
	assert_non_null(strstr(text, "\nroles: [exec, head]\n"));
	assert_null(strstr(text, "head1"));
	free(text);
	/* Where nothing is declared yet, a line of its own behind the serial. */
	command("rm peers.d/flow.yaml && sed -i '/^roles:/d' policy.yaml");
	put("peers.d/head2.yaml",
	        "head2: { key: \"" KEY3 "\", address: 10.77.0.3, site: hq, roles: [head] }\n");
	policy_report_init(&report);
	assert_int_equal(policy_edit_revoke(dir, "head2", NULL, &report), 0);
	policy_report_clear(&report);
	text = get("policy.yaml");
	assert_non_null(strstr(text, "serial:   43   # raise me\nroles: [head]\n"));
	free(text);
}

static void test_init(void **state)
{
	const struct policy_start starts[] = {{.cluster = NULL}, {.cluster = "hpc",
	                                                                 .overlay = "10.99.0.0/24",
	                                                                 .name = "head1",
	                                                                 .key = KEY1 " me",
	                                                                 .endpoint = "192.0.2.10"}};
	struct policy_approval approval = {.name = "node1", .key = KEY2};
	struct policy_report report;
	struct policy *policy = NULL;

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		char *text;

		policy_report_init(&report);
		text = policy_init_text(&starts[i], &report);
		report_is(&report, "");
		assert_non_null(text);
		put("policy.yaml", text);
		free(text);
		load_is(0, "");
	}
	policy_report_init(&report);
	assert_int_equal(policy_edit_approve(dir, &approval, &policy, &report), 0);
	report_is(&report, "");
	assert_string_equal(policy->sites[policy->peers[1].site].name, "main");
	policy_unref(policy);
	policy_report_init(&report);
	assert_null(policy_init_text(&(struct policy_start){.cluster = "a b"}, &report));
	report_is(&report, "policy.yaml:5:10: error: 'a b' is no name: up to 63 letters and "
	                   "digits, with . _ - "
	                   "between\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test_setup_teardown(test_load, setup, teardown),
	        cmocka_unit_test_setup_teardown(test_approve, setup, teardown),
	        cmocka_unit_test_setup_teardown(test_approve_refused, setup, teardown),
	        cmocka_unit_test_setup_teardown(test_revoke, setup, teardown),
	        cmocka_unit_test_setup_teardown(test_revoke_several, setup, teardown),
	        cmocka_unit_test_setup_teardown(test_revoke_refused, setup, teardown),
	        cmocka_unit_test_setup_teardown(test_init, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Files of tokens: reading tokens.d, add, revoke, except; and what stays when it is refused. */
#include "policy_bed.h"

#include <stdbool.h>
#include <sys/stat.h>
#include <unistd.h>

#include "policy/policy_edit.h"

#define KEY4 "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKYzqoyeoo7X0BlCacWR8pK5SGCPyXtudaGP7lVOuzAm"
#define KEY5 "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAII4tVsjdFfqCC9rQq6hi3ZmElytlD9LTvnmZ+1XBLryf"
#define KEY6 "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHKn5hX3UNCCBmKPHYlKnE94c+ve5SEJzWRKVxIccKqf"
#define PRINT4 "SHA256:wrHy5voVktaaFHXg32HaeNxMTflcEBLDUC88q+WMVTk"
#define PRINT5 "SHA256:tIqbTMBh9dEoGDsf20Jp7xE2eFwov1zxRNjJCkj6oFc"
#define PRINT6 "SHA256:VguJPvJHdIiufd7tWUEHUQM5DHhA2R3MIVFdk2Ggl9o"
#define REST "roles: [exec], site: aws, count: 50, until: 2030-01-01"

static char dir[] = "/tmp/test_policy_token_XXXXXX";

static void put(const char *name, const char *text)
{
	char path[200];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	file = fopen(path, "w");
	assert_non_null(file);
	fputs(text, file);
	fclose(file);
}

static void file_is(const char *name, const char *expected)
{
	char path[200], text[20000] = "";
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	file = fopen(path, "r");
	if (!expected) {
		assert_null(file);
		return;
	}
	assert_non_null(file);
	assert_true(fread(text, 1, sizeof(text) - 1, file) < sizeof(text) - 1);
	fclose(file);
	assert_string_equal(text, expected);
}

static void command(const char *words)
{
	char text[400];

	snprintf(text, sizeof(text), "cd %s && %s", dir, words);
	assert_int_equal(system(text), 0);
}

static int setup(void **state)
{
	static bool made;

	(void)state;
	if (!made && !mkdtemp(dir))
		return -1;
	made = true;
	command("rm -rf * && mkdir tokens.d peers.d");
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	command("rm -rf *");
	return rmdir(dir);
}

/* What was said, without the lines that show the source. */
static void report_is(struct policy_report *report, const char *expected)
{
	char *text = report_text(report);

	source_lines_drop(text);
	assert_string_equal(text, expected);
	free(text);
	policy_report_clear(report);
}

#define MAIN(serial) "cluster: hpc\nserial: " serial "\noverlay: 10.77.0.0/16\njoin: true\n" SITES

static void test_load(void **state)
{
	struct policy_report report;
	struct policy *policy = NULL;

	(void)state;
	put("policy.yaml", MAIN("1"));
	put("tokens.d/b.yaml", "b: { key: \"" KEY4 "\", " REST " }\n");
	put("tokens.d/.hidden.yaml", "{");
	put("tokens.d/c.yaml~", "{");
	policy_report_init(&report);
	assert_int_equal(policy_load(dir, &policy, &report), 0);
	assert_int_equal(policy->n_tokens, 1);
	assert_string_equal(policy->tokens[0].where.file, "tokens.d/b.yaml");
	policy_unref(policy);
	policy = NULL;
	command("ln -s /nowhere tokens.d/a.yaml");
	assert_int_equal(policy_load(dir, &policy, &report), -ENOENT);
	assert_null(policy);
	report_is(&report,
	        "tokens.d/a.yaml: error: this file cannot be read: No such file or directory\n");
	command("rm -r tokens.d && touch tokens.d");
	assert_int_equal(policy_load(dir, &policy, &report), -ENOTDIR);
	report_is(&report, "tokens.d: error: this directory cannot be read: Not a directory\n");
}

/* ---- add */

static int add(struct policy_token_grant grant, struct policy **out, struct policy_report *report)
{
	static const char *const roles[] = {"exec", "big"};

	grant.key = grant.key ? grant.key : KEY4 " lab";
	grant.until = grant.until ? grant.until : "2030-01-01T12:00Z";
	grant.count = grant.count ? grant.count : "50";
	if (!grant.roles) {
		grant.roles = roles;
		grant.n_roles = 2;
	}
	policy_report_init(report);
	return policy_edit_token_add(dir, &grant, out, report);
}

static void test_add(void **state)
{
	struct policy_report report;
	struct policy *policy = NULL;

	(void)state;
	put("policy.yaml", MAIN("41   # raise me"));
	command("rmdir tokens.d");
	assert_int_equal(add(
	                         (struct policy_token_grant){
	                                 .name = "lab", .site = "aws", .range = "10.77.8.0/24"},
	                         &policy, &report),
	        0);
	assert_int_equal(report.n_faults, 0);
	assert_int_equal(policy->serial, 42);
	assert_int_equal(policy_token_by_name(policy, "lab")->count, 50);
	policy_unref(policy);
	file_is("policy.yaml", MAIN("42   # raise me"));
	file_is("tokens.d/lab.yaml",
	        "lab:\n  key: \"" KEY4 " lab\"\n  roles: [exec, big]\n  site: aws\n  range: "
	        "\"10.77.8.0/24\"\n  count: 50\n"
	        "  until: \"2030-01-01T12:00Z\"\n");
	/* The least that can be said, at the only site; no roles are told as none. */
	put("policy.yaml", "cluster: hpc\nserial: 1\njoin: true\noverlay: 10.77.0.0/16\n"
	                   "sites: { hq: }\n");
	command("rm tokens.d/*");
	assert_int_equal(
	        add((struct policy_token_grant){.name = "x", .roles = (const char *const[]){NULL}},
	                NULL, &report),
	        0);
	file_is("tokens.d/x.yaml",
	        "x:\n  key: \"" KEY4 " lab\"\n  roles: []\n  site: hq\n  count: 50\n"
	        "  until: \"2030-01-01T12:00Z\"\n");
}

static void refused_is(struct policy_token_grant grant, int ret, const char *expected)
{
	struct policy_report report;
	struct policy *policy = NULL;

	assert_int_equal(add(grant, &policy, &report), ret);
	assert_null(policy);
	report_is(&report, expected);
}

static void test_add_refused(void **state)
{
	static const char *const seed[] = {"seed"};

	(void)state;
	put("policy.yaml", MAIN("7"));
	put("tokens.d/lab.yaml", "lab: { key: \"" KEY5 "\", " REST " }\n");
	put("tokens.d/odd.yaml", "even: { key: \"" KEY1 "\", " REST " }\n");
	refused_is((struct policy_token_grant){.name = "lab"}, -EEXIST,
	        "tokens.d/lab.yaml:1:1: error: lab is there already: revoke it first, or take "
	        "another name\n");
	refused_is((struct policy_token_grant){.name = "odd"}, -EEXIST,
	        "tokens.d/odd.yaml: error: tokens.d/odd.yaml is there already: revoke it first, or "
	        "take another name\n");
	refused_is((struct policy_token_grant){.name = "../x"}, -EINVAL,
	        "tokens.d: error: '../x' is no name for a token: up to 63 letters and digits, with "
	        ". _ - between\n");
	refused_is((struct policy_token_grant){.name = NULL}, -EINVAL,
	        "tokens.d: error: '' is no name for a token: up to 63 letters and digits, with . _ "
	        "- between\n");
	refused_is((struct policy_token_grant){.name = "x"}, -EINVAL,
	        "tokens.d/x.yaml:2:3: error: this token has no 'site': add site: one of "
	        "`sites:`\n");
	refused_is(
	        (struct policy_token_grant){
	                .name = "x", .site = "aws", .roles = seed, .n_roles = 1},
	        -EINVAL,
	        "tokens.d/x.yaml:3:11: error: a token may not grant the role 'seed', as whoever "
	        "has "
	        "it would have the role: delete it here, and let such a node in by name with "
	        "`overlayctl approve`\n");
	refused_is((struct policy_token_grant){.name = "x", .site = "aws", .key = KEY5}, -EINVAL,
	        "tokens.d/x.yaml:1:1: error: the tokens x and lab (tokens.d/lab.yaml:1) have the "
	        "same key: make another for one of them\n");
	refused_is((struct policy_token_grant){.name = "x", .site = "aws", .count = "x\n  y: z"},
	        -EINVAL, "tokens.d/x.yaml:5:10: error: 'x\n");
	file_is("policy.yaml", MAIN("7"));
	file_is("tokens.d/x.yaml", NULL);
}

/* A peer is given none that a guest may have, unless there is no other. */
static void test_addresses(void **state)
{
	struct policy_approval approval = {.name = "n1", .key = KEY1, .site = "hq"};
	struct policy_report report;
	struct policy *policy = NULL;
	char address[50];

	(void)state;
	put("policy.yaml", "cluster: hpc\nserial: 7\noverlay: 10.77.0.0/29\njoin: true\n" SITES
	                   "tokens:\n  all: { key: \"" KEY4 "\", " REST ", range: 10.77.0.0/29 }\n"
	                   "  half: { key: \"" KEY5 "\", " REST ", range: 10.77.0.0/30 }\n");
	for (int i = 0; i < 4; i++) {
		static const char *const keys[] = {KEY1, KEY2, KEY3, KEY6};
		static const char *const names[] = {"n4", "n5", "n6", "n1"};

		approval.name = names[i];
		approval.key = keys[i];
		policy_report_init(&report);
		assert_int_equal(policy_edit_approve(dir, &approval, &policy, &report), 0);
		policy_addr_print(
		        &policy_peer_by_name(policy, names[i])->addr4, address, sizeof(address));
		assert_string_equal(address + strlen("10.77.0."), names[i] + 1);
		policy_unref(policy);
		policy_report_clear(&report);
	}
}

/* ---- revoke */

static int token_revoke(const char *name, struct policy_report *report)
{
	policy_report_init(report);
	return policy_edit_token_revoke(dir, name, NULL, report);
}

#define TWO                                                                                        \
	"# ours\na:\n  key: \"" KEY4 "\" # a\n  roles: [exec]\n  site: aws\n  count: 1\n"          \
	"  until: 2030-01-01\n# the other\nb: { key: \"" KEY5 "\",\n     " REST " }\n"

static void test_revoke(void **state)
{
	struct policy_report report;

	(void)state;
	put("policy.yaml",
	        MAIN("7") "tokens:\n  # first\n  c: { key: \"" KEY1 "\", " REST " }\n  # last\n");
	put("tokens.d/x.yaml", TWO);
	assert_int_equal(token_revoke("d", &report), -ENOENT);
	report_is(&report, "policy.yaml: error: there is no token 'd'\n");
	assert_int_equal(token_revoke("a", &report), 0);
	file_is("tokens.d/x.yaml",
	        "# ours\n# the other\nb: { key: \"" KEY5 "\",\n     " REST " }\n");
	assert_int_equal(token_revoke("b", &report), 0); /* the last of its file */
	file_is("tokens.d/x.yaml", NULL);
	assert_int_equal(token_revoke("c", &report), 0);
	file_is("policy.yaml", MAIN("10") "tokens:\n  # first\n  # last\n");
}

/* A role that rules name stays, though nobody has it now. */
static void test_revoke_role(void **state)
{
	struct policy_report report;

	(void)state;
	put("policy.yaml", MAIN("7") "allow: [{ from: exec, to: big, service: ssh }]\n"
	                             "peers: { n: { key: \"" KEY1
	                             "\", address: 10.77.0.1, site: hq, roles: [big], endpoints: "
	                             "[192.0.2.1] } }\n");
	put("tokens.d/a.yaml", "a: { key: \"" KEY4 "\", " REST " }\n");
	assert_int_equal(token_revoke("a", &report), 0);
	file_is("policy.yaml",
	        "cluster: hpc\nserial: 8\nroles: [exec]\noverlay: 10.77.0.0/16\njoin: true\n" SITES
	        "allow: [{ from: exec, to: big, service: ssh }]\n"
	        "peers: { n: { key: \"" KEY1
	        "\", address: 10.77.0.1, site: hq, roles: [big], endpoints: [192.0.2.1] } }\n");
	/* And where a token has it, the last peer may go. */
	put("tokens.d/a.yaml", "a: { key: \"" KEY4 "\", roles: [big], site: aws, count: 1, until: "
	                       "2030-01-01 }\n");
	put("policy.yaml", MAIN("7") "roles: [exec]\n"
	                             "allow: [{ from: exec, to: big, service: ssh }]\n"
	                             "peers:\n  n: { key: \"" KEY1
	                             "\", address: 10.77.0.1, site: hq, roles: [big] }\n");
	policy_report_init(&report);
	assert_int_equal(policy_edit_revoke(dir, "n", NULL, &report), 0);
	policy_report_clear(&report);
	file_is("policy.yaml", MAIN("8") "roles: [exec]\n"
	                                 "allow: [{ from: exec, to: big, service: ssh }]\n"
	                                 "peers:\n");
}

static void test_revoke_refused(void **state)
{
#define FLOW                                                                                       \
	MAIN("7")                                                                                  \
	"tokens: { a: { key: \"" KEY4 "\", " REST " }, b: { key: \"" KEY5 "\", " REST " } }\n"
	struct policy_report report;

	(void)state;
	put("policy.yaml", FLOW);
	assert_int_equal(token_revoke("b", &report), -EINVAL);
	report_is(&report, "policy.yaml:6:163: error: b stands here among others and cannot be cut "
	                   "out safely: delete it by hand, and raise `serial`\n");
	file_is("policy.yaml", FLOW);
}

/* ---- except */

static int except(const char *name, const char *print, struct policy_report *report)
{
	struct policy *policy = NULL;
	int ret;

	policy_report_init(report);
	ret = policy_edit_token_except(dir, name, print, &policy, report);
	if (ret == 0) {
		assert_int_equal(policy->serial, 8);
		assert_int_equal(report->n_faults, 0);
	} else {
		assert_null(policy);
	}
	policy_unref(policy);
	return ret;
}

/* From one layout of the token `a` to the next. */
static void except_is(const char *before, const char *after)
{
	struct policy_report report;

	put("policy.yaml", MAIN("7"));
	put("tokens.d/a.yaml", before);
	if (except("a", PRINT6, &report) != 0)
		fail_msg("%s\n%s", before, report.n_faults ? report.faults[0].message : "?");
	file_is("tokens.d/a.yaml", after);
	file_is("policy.yaml", MAIN("8"));
	policy_report_clear(&report);
}

#define BLOCK "# the lab's\na:\n  key: \"" KEY4 " it's\"  # from the safe\n"
#define FIELDS "  roles: [exec] # \"two\"\n  site: aws\n  count: 50\n  until: 2030-01-01\n"

static void test_except(void **state)
{
	(void)state;
	/* None before: behind the key. */
	except_is(BLOCK FIELDS, BLOCK "  except: [\"" PRINT6 "\"]\n" FIELDS);
	except_is("a: { key: \"" KEY4 " it's, } mine\", " REST " }\n",
	        "a: { key: \"" KEY4 " it's, } mine\", except: [\"" PRINT6 "\"], " REST " }\n");
	except_is("a: { key: " KEY4 " mine, " REST " } # a\n",
	        "a: { key: " KEY4 " mine, except: [\"" PRINT6 "\"], " REST " } # a\n");
	except_is("\"a\": { " REST ",\n     key: '" KEY4 "' }\n",
	        "\"a\": { " REST ",\n     key: '" KEY4 "', except: [\"" PRINT6 "\"] }\n");
	except_is("a: { " REST ",\n  key: " KEY4 "\n  }\n",
	        "a: { " REST ",\n  key: " KEY4 ", except: [\"" PRINT6 "\"]\n  }\n");
	except_is(BLOCK "  # except: []\n" FIELDS,
	        BLOCK "  except: [\"" PRINT6 "\"]\n  # except: []\n" FIELDS);
	/* An empty list. */
	except_is(BLOCK "  except: [ ]  # none yet\n" FIELDS,
	        BLOCK "  except: [\"" PRINT6 "\"]  # none yet\n" FIELDS);
	/* Behind the last; those in comments are not meant. */
	except_is(BLOCK FIELDS "  except: [\"" PRINT5 "\", '" PRINT4 "' ] # and " PRINT4 "\n",
	        BLOCK FIELDS "  except: [\"" PRINT5 "\", '" PRINT4 "', \"" PRINT6
	                     "\" ] # and " PRINT4 "\n");
	except_is("a: { except: [" PRINT5 "], key: '" KEY4 "', " REST " }\n",
	        "a: { except: [" PRINT5 ", \"" PRINT6 "\"], key: '" KEY4 "', " REST " }\n");
	except_is(BLOCK "  except: [\n    \"" PRINT5 "\", # bob\n    \"" PRINT4
	                "\"  # alice\n    ]\n" FIELDS,
	        BLOCK "  except: [\n    \"" PRINT5 "\", # bob\n    \"" PRINT4 "\", \"" PRINT6
	              "\"  # alice\n    ]\n" FIELDS);
	/* A list of lines. */
	except_is(BLOCK "  except:\n    - \"" PRINT5 "\" # bob\n    - " PRINT4 "\n" FIELDS,
	        BLOCK "  except:\n    - \"" PRINT5 "\" # bob\n    - " PRINT4 "\n    - \"" PRINT6
	              "\"\n" FIELDS);
	except_is(BLOCK FIELDS "  except:\n  - \"" PRINT5 "\"",
	        BLOCK FIELDS "  except:\n  - \"" PRINT5 "\"\n  - \"" PRINT6 "\"");
	/* Among others. */
	except_is(TWO,
	        "# ours\na:\n  key: \"" KEY4 "\" # a\n  except: [\"" PRINT6
	        "\"]\n  roles: [exec]\n  site: aws\n  count: 1\n  until: 2030-01-01\n# the other\n"
	        "b: { key: \"" KEY5 "\",\n     " REST " }\n");
}

/* As many as there may be: and one more is told. */
static void test_except_many(void **state)
{
	struct policy_report report;
	struct policy *policy = NULL;
	char *text = NULL, print[60];
	size_t len;
	FILE *out = open_memstream(&text, &len);

	(void)state;
	fprintf(out, "a: { key: '" KEY4 "', " REST ", except: [");
	for (unsigned i = 1; i < POLICY_TOKEN_EXCEPT_MAX; i++) {
		struct policy_key key = {{2, (uint8_t)i, (uint8_t)(i >> 8)}};

		policy_key_fingerprint(&key, print);
		fprintf(out, "%s'%s'", i > 1 ? ", " : "", print);
	}
	fputs("] }\n", out);
	fclose(out);
	put("policy.yaml", MAIN("7"));
	put("tokens.d/a.yaml", text);
	free(text);
	assert_int_equal(except("a", PRINT6, &report), 0);
	policy_report_init(&report);
	assert_int_equal(policy_edit_token_except(dir, "a", PRINT5, &policy, &report), -EINVAL);
	assert_null(policy);
	assert_string_equal(report.faults[0].message,
	        "a token may except 4096 guests, not 4097: revoke the token, and make another");
	policy_report_clear(&report);
	file_is("policy.yaml", MAIN("8"));
}

/* In policy.yaml itself. */
static void test_except_main(void **state)
{
	struct policy_report report;

	(void)state;
	put("policy.yaml", MAIN("7") "tokens:\n  a: { key: \"" KEY4 "\", " REST " }\n");
	assert_int_equal(except("a", PRINT6, &report), 0);
	file_is("policy.yaml", MAIN("8") "tokens:\n  a: { key: \"" KEY4 "\", except: [\"" PRINT6
	                                 "\"], " REST " }\n");
}

static void except_refused_is(const char *name, const char *print, int ret, const char *expected)
{
	struct policy_report report;

	assert_int_equal(except(name, print, &report), ret);
	report_is(&report, expected);
}

static void test_except_refused(void **state)
{
	/* In a form that YAML has, and an admin seldom. */
#define ODD                                                                                        \
	"a: { key: \"" KEY4 "\", " REST                                                            \
	", except: [\"SHA256:tIqb\\x54MBh9dEoGDsf20Jp7xE2eFwov1zxRNjJCkj6oFc\"] }\n"
	(void)state;
	put("policy.yaml", FLOW);
	except_refused_is("lab", PRINT6, -ENOENT, "policy.yaml: error: there is no token 'lab'\n");
	except_refused_is("a", "SHA256:no", -EINVAL,
	        "policy.yaml:6:11: error: 'SHA256:no' is no fingerprint: write it as `overlayctl "
	        "token list` or ssh-keygen -l shows it, \"SHA256:\" and 43 characters\n");
	except_refused_is("b", PRINT6, -EINVAL,
	        "policy.yaml:6:163: error: `except` of the token b cannot be changed safely in "
	        "these lines: write \"" PRINT6 "\" into it by hand, and raise `serial`\n");
	file_is("policy.yaml", FLOW);
	put("policy.yaml", MAIN("7"));
	put("tokens.d/a.yaml", ODD);
	except_refused_is("a", PRINT5, -EEXIST,
	        "tokens.d/a.yaml:1:1: error: the guest " PRINT5 " of token a is revoked already\n");
	except_refused_is("a", PRINT6, -EINVAL,
	        "tokens.d/a.yaml:1:1: error: `except` of the token a cannot be changed safely in "
	        "these lines: write \"" PRINT6 "\" into it by hand, and raise `serial`\n");
	file_is("tokens.d/a.yaml", ODD);
	file_is("policy.yaml", MAIN("7"));
	/* The same, and it would land in the comment of the key. */
#define ODDER                                                                                      \
	"a:\n  key: " KEY4 " " PRINT5 "\n" FIELDS                                                  \
	"  except: [\"SHA256:tIqb\\x54MBh9dEoGDsf20Jp7xE2eFwov1zxRNjJCkj6oFc\"]\n"
	put("tokens.d/a.yaml", ODDER);
	except_refused_is("a", PRINT6, -EINVAL,
	        "tokens.d/a.yaml:1:1: error: `except` of the token a cannot be changed safely in "
	        "these lines: write \"" PRINT6 "\" into it by hand, and raise `serial`\n");
	file_is("tokens.d/a.yaml", ODDER);
}

/* ---- taking it back */

static void test_undo(void **state)
{
	struct policy_report report;
	struct policy *policy = NULL;
	struct policy_undo undo;

	(void)state;
	put("policy.yaml", MAIN("7"));
	put("tokens.d/x.yaml", TWO);
	policy_report_init(&report);
	assert_int_equal(policy_load(dir, &policy, &report), 0);
	/* Where it is, whatever the file is called. */
	assert_int_equal(policy_undo_take_token(&undo, dir, policy, "a"), 0);
	assert_int_equal(except("a", PRINT6, &report), 0);
	assert_int_equal(policy_undo_run(&undo), 0);
	policy_undo_clear(&undo);
	file_is("tokens.d/x.yaml", TWO);
	file_is("policy.yaml", MAIN("7"));
	/* What was not there goes again. */
	assert_int_equal(policy_undo_take_token(&undo, dir, policy, "new"), 0);
	assert_int_equal(add((struct policy_token_grant){.name = "new", .site = "aws", .key = KEY1},
	                         NULL, &report),
	        0);
	assert_int_equal(policy_undo_run(&undo), 0);
	policy_undo_clear(&undo);
	file_is("tokens.d/new.yaml", NULL);
	file_is("policy.yaml", MAIN("7"));
	/* What went is there again. */
	command("rm tokens.d/x.yaml");
	put("tokens.d/z.yaml", "z: { key: \"" KEY4 "\", " REST " }\n");
	policy_unref(policy);
	assert_int_equal(policy_load(dir, &policy, &report), 0);
	assert_int_equal(policy_undo_take_token(&undo, dir, policy, "z"), 0);
	assert_int_equal(token_revoke("z", &report), 0);
	file_is("tokens.d/z.yaml", NULL);
	assert_int_equal(policy_undo_run(&undo), 0);
	policy_undo_clear(&undo);
	file_is("tokens.d/z.yaml", "z: { key: \"" KEY4 "\", " REST " }\n");
	policy_unref(policy);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test_setup(test_load, setup),
	        cmocka_unit_test_setup(test_add, setup),
	        cmocka_unit_test_setup(test_add_refused, setup),
	        cmocka_unit_test_setup(test_addresses, setup),
	        cmocka_unit_test_setup(test_revoke, setup),
	        cmocka_unit_test_setup(test_revoke_role, setup),
	        cmocka_unit_test_setup(test_revoke_refused, setup),
	        cmocka_unit_test_setup(test_except, setup),
	        cmocka_unit_test_setup(test_except_many, setup),
	        cmocka_unit_test_setup(test_except_main, setup),
	        cmocka_unit_test_setup(test_except_refused, setup),
	        cmocka_unit_test_setup(test_undo, setup),
	};

	return cmocka_run_group_tests(tests, NULL, teardown);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The file of the cluster's names: what it says, and that it is kept current and whole. */
#include "world_bed.h"

#include "host/hostsfile.h"
#include "policy/guests.h"

#include <netinet/in.h>
#include <sys/stat.h>

#define KEY(c) "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4" c
#define HEADER "# Names of the overlay, kept by overlayd for libnss_overlay(8): changes are lost.\n"

static struct policy *parse_in(const char *cluster, const char *peers)
{
	struct policy_report report;
	struct policy *policy = NULL;
	struct policy_file file = {.name = "policy.yaml"};
	char *text;

	assert_true(asprintf(&text, "cluster: %s\nserial: 1\noverlay: 10.77.0.0/16\npeers:\n%s",
	                    cluster, peers) > 0);
	file.data = text;
	file.len = strlen(text);
	policy_report_init(&report);
	if (policy_parse(&file, 1, &policy, &report)) {
		policy_report_print(&report, stderr, false);
		fail();
	}
	policy_report_clear(&report);
	free(text);
	return policy;
}

static struct policy *parse(const char *peers)
{
	return parse_in("hpc", peers);
}

static char *text_of(const struct policy *policy)
{
	size_t len;
	char *text = hostsfile_text(policy, &len);

	assert_non_null(text);
	assert_int_equal(strlen(text), len);
	return text;
}

static bool has(const char *text, const char *line)
{
	char *whole;
	bool found;

	assert_true(asprintf(&whole, "\n%s\n", line) > 0);
	found = strstr(text, whole) != NULL;
	free(whole);
	return found;
}

static size_t lines(const char *text)
{
	size_t n = 0;

	for (; *text; text++)
		n += *text == '\n';
	return n;
}

static void two_lines_for_each(void **state)
{
	struct policy *policy = parse("  node17: { key: \"" KEY(
	        "f") "\", address: 10.77.0.17, roles: [a] }\n"
	             "  head1: { key: \"" KEY("g") "\", address: 10.77.0.1, roles: [b] }\n");
	char addr6[INET6_ADDRSTRLEN], line[128];
	char *text = text_of(policy);

	(void)state;
	assert_int_equal(strncmp(text, HEADER, strlen(HEADER)), 0);
	assert_int_equal(lines(text), 5);
	assert_true(has(text, "10.77.0.17 node17 node17.hpc"));
	assert_true(has(text, "10.77.0.1 head1 head1.hpc"));
	policy_addr_print(&policy_peer_by_name(policy, "node17")->addr6, addr6, sizeof(addr6));
	snprintf(line, sizeof(line), "%s node17 node17.hpc", addr6);
	assert_true(has(text, line));
	free(text);
	policy_unref(policy);
}

static void no_policy_is_a_comment(void **state)
{
	char *text = text_of(NULL);

	(void)state;
	assert_string_equal(text, HEADER);
	free(text);
}

/* A name means one peer, whatever letters it is asked in. */
static void no_name_twice(void **state)
{
	struct policy *policy = parse("  a: { key: \"" KEY(
	        "f") "\", address: 10.77.0.1, roles: [x] }\n"
	             "  A.hpc: { key: \"" KEY(
	                     "g") "\", address: 10.77.0.2, roles: [x] }\n"
	                          "  Node1: { key: \"" KEY(
	                                  "h") "\", address: 10.77.0.3, roles: [x] }\n"
	                                       "  NODE1: { key: \"" KEY(
	                                               "i") "\", address: 10.77.0.4, roles: [x] "
	                                                    "}\n");
	char *text = text_of(policy);

	(void)state;
	assert_true(has(text, "10.77.0.1 a"));
	assert_true(has(text, "10.77.0.2 A.hpc A.hpc.hpc"));
	assert_true(has(text, "10.77.0.4 NODE1 NODE1.hpc"));
	assert_null(strstr(text, "Node1"));
	assert_int_equal(lines(text), 7);
	free(text);
	policy_unref(policy);
}

/* Guests come last, whatever they are called, and are no names of the internet. */
static void guests_come_last(const char *cluster, const char *peer, const char *guest)
{
	struct policy_admission admissions[2] = {{.number = 1}, {.number = 2}};
	const struct policy_admission *list[] = {&admissions[0], &admissions[1]};
	struct policy *written = parse_in(cluster,
	        "  m1: { key: \"" KEY("f") "\", address: 10.77.0.1, roles: [seed] }\n"
	                                   "tokens: { t: { key: \"" KEY(
	                                           "g") "\", roles: [a], count: 9, until: "
	                                                "2030-01-01 } }\n");
	struct policy *policy = NULL;
	char *text;

	for (int i = 0; i < 2; i++) {
		struct policy_admission *a = &admissions[i];

		snprintf(a->cluster, sizeof(a->cluster), "%s", cluster);
		strcpy(a->token, "t");
		strcpy(a->seed, "m1");
		strcpy(a->name, i ? "M1" : "a1");
		memset(a->key.raw, 0x55 + i, sizeof(a->key.raw));
		a->addr4.family = AF_INET;
		memcpy(a->addr4.bytes, "\12\115\0\2", 4);
		a->addr4.bytes[3] += (uint8_t)i;
	}
	assert_int_equal(policy_with_guests(written, list, 2, NULL, &policy), 0);
	text = text_of(policy);
	assert_true(has(text, peer));
	assert_true(has(text, guest));
	assert_true(strstr(text, peer) < strstr(text, guest));
	assert_null(strstr(text, "M1"));
	assert_int_equal(lines(text), 5);
	free(text);
	policy_unref(policy);
	policy_unref(written);
}

static void of_guests(void **state)
{
	(void)state;
	guests_come_last("hpc", "10.77.0.1 m1 m1.hpc", "10.77.0.2 a1 a1.hpc");
	guests_come_last("example.org", "10.77.0.1 m1 m1.example.org", "10.77.0.2 a1");
}

/* ---- in the daemon -------------------------------------------------------------------------- */

static bool file_has(const char *line)
{
	char *text = NULL;
	size_t len;
	bool found = !state_read(run_dir, OVERLAY_HOSTS_FILE, 100000, &text, &len) &&
	             (line ? has(text, line) : !strcmp(text, HEADER));

	free(text);
	return found;
}

static struct stat file_stat(void)
{
	char path[160];
	struct stat st;

	snprintf(path, sizeof(path), "%s/" OVERLAY_HOSTS_FILE, run_dir);
	assert_int_equal(lstat(path, &st), 0);
	return st;
}

/* The loop has had the time to write what it would. */
static void pause_over(struct world *world)
{
	int64_t over = world_now_us() + 2 * HOSTSFILE_PAUSE_US;

	until(world, world_now_us() > over);
}

static void kept_current(void **state)
{
	struct world *world;
	struct stat st;

	(void)state;
	files_write(1);
	world = world_up();
	until(world, file_has("10.77.0.1 a a.hpc"));
	st = file_stat();
	assert_int_equal(st.st_mode, S_IFREG | 0644);

	/* Another serial is no other name. */
	files_write(2);
	assert_int_equal(policyload_reload(world, NULL), 0);
	assert_int_equal(serial_in_force(world), 2);
	pause_over(world);
	assert_int_equal(file_stat().st_ino, st.st_ino);
	assert_int_equal(file_stat().st_mtim.tv_nsec, st.st_mtim.tv_nsec);

	files_write(3);
	assert_int_equal(run("sed -i 's/10.77.0.1/10.77.0.9/' %s/policy.yaml", config_dir), 0);
	assert_int_equal(policyload_reload(world, NULL), 0);
	until(world, file_has("10.77.0.9 a a.hpc"));
	assert_false(file_has("10.77.0.1 a a.hpc"));

	/* Stopped, it stays; started again, it is the same file. */
	st = file_stat();
	world_free(world);
	assert_true(file_has("10.77.0.9 a a.hpc"));
	world = world_up();
	pause_over(world);
	assert_int_equal(file_stat().st_ino, st.st_ino);
	world_free(world);
}

static void without_a_policy_no_name(void **state)
{
	struct world *world;

	(void)state;
	assert_int_equal(mkdir(run_dir, 0755), 0);
	assert_int_equal(run("echo '10.77.0.1 old old.hpc' >%s/" OVERLAY_HOSTS_FILE, run_dir), 0);
	world = world_up();
	until(world, file_has(NULL));
	files_write(1);
	assert_int_equal(policyload_reload(world, NULL), 0);
	until(world, file_has("10.77.0.1 a a.hpc"));
	world_free(world);
}

/* Of the wrong mode it would be passed over by who reads it. */
static void mode_mended(void **state)
{
	struct world *world;

	(void)state;
	files_write(1);
	world = world_up();
	until(world, file_has("10.77.0.1 a a.hpc"));
	assert_int_equal(run("chmod 0666 %s/" OVERLAY_HOSTS_FILE, run_dir), 0);
	hostsfile_changed(world->hostsfile);
	until(world, file_stat().st_mode == (S_IFREG | 0644));
	world_free(world);
}

static void tried_again(void **state)
{
	struct world *world;

	(void)state;
	assert_int_equal(mkdir(run_dir, 0755), 0);
	assert_int_equal(run("mkdir -p %s/" OVERLAY_HOSTS_FILE "/full", run_dir), 0);
	files_write(1);
	world = world_up();
	pause_over(world);
	assert_int_equal(file_stat().st_mode & S_IFMT, S_IFDIR);
	assert_int_equal(run("rm -r %s/" OVERLAY_HOSTS_FILE, run_dir), 0);
	until(world, file_has("10.77.0.1 a a.hpc"));
	hostsfile_remove(run_dir);
	assert_false(file_has("10.77.0.1 a a.hpc"));
	world_free(world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(two_lines_for_each),
	        cmocka_unit_test(no_policy_is_a_comment),
	        cmocka_unit_test(no_name_twice),
	        cmocka_unit_test(of_guests),
	        cmocka_unit_test_setup_teardown(kept_current, setup, teardown),
	        cmocka_unit_test_setup_teardown(without_a_policy_no_name, setup, teardown),
	        cmocka_unit_test_setup_teardown(mode_mended, setup, teardown),
	        cmocka_unit_test_setup_teardown(tried_again, setup, teardown),
	};

	if (geteuid() != 0 || unshare(CLONE_NEWNET | CLONE_NEWNS)) {
		puts("1..0 # SKIP needs root (network namespaces)");
		return 0;
	}
	run("ip link set lo up");
	log_open(LOG_CRIT);
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* State files, the trusted clock, the watch over the policy's directory. */
#include "host/state.h"
#include "host/watch.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

static char dir[64];
static char err[256];

static int setup(void **state)
{
	(void)state;
	snprintf(dir, sizeof(dir), "/tmp/ovl-files-XXXXXX");
	return mkdtemp(dir) ? 0 : -1;
}

static int run(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static int run(const char *fmt, ...)
{
	char command[512];
	va_list args;

	va_start(args, fmt);
	vsnprintf(command, sizeof(command), fmt, args);
	va_end(args);
	return system(command);
}

static int teardown(void **state)
{
	(void)state;
	return run("rm -rf %s", dir);
}

/* ---- state ---------------------------------------------------------------------------------- */

static void expect_file(const char *name, const char *want)
{
	char *data;
	size_t len;

	assert_int_equal(state_read(dir, name, 1000, &data, &len), 0);
	assert_string_equal(data, want);
	assert_int_equal(len, strlen(want));
	free(data);
}

static void written_whole_and_private(void **state)
{
	char path[128];
	struct stat st;

	(void)state;
	assert_int_equal(state_write(dir, "x", "first", 5), 0);
	assert_int_equal(state_write(dir, "x", "second one", 10), 0);
	expect_file("x", "second one");
	snprintf(path, sizeof(path), "%s/x", dir);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(state_write(dir, "../x", "no", 2) < 0, 1);
}

static void limits_and_kinds(void **state)
{
	char *data = NULL;
	size_t len = 0;

	(void)state;
	assert_int_equal(state_read(dir, "none", 10, &data, &len), -ENOENT);
	assert_int_equal(state_write(dir, "big", "0123456789", 10), 0);
	assert_int_equal(state_read(dir, "big", 9, &data, &len), -EFBIG);
	assert_int_equal(run("ln -s big %s/link", dir), 0);
	assert_int_equal(state_read(dir, "link", 10, &data, &len), -ELOOP);
	assert_int_equal(run("mkfifo %s/pipe", dir), 0);
	assert_int_equal(state_read(dir, "pipe", 10, &data, &len), -EINVAL);
	assert_null(data);
}

static void full_disk_leaves_the_old_one(void **state)
{
	static char big[200000];

	(void)state;
	if (unshare(CLONE_NEWNS) < 0)
		fail_msg("needs root");
	mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL);
	assert_int_equal(mount("tmpfs", dir, "tmpfs", 0, "size=64k,mode=0700"), 0);
	memset(big, 'x', sizeof(big));
	assert_int_equal(state_write(dir, "x", "good", 4), 0);
	assert_int_equal(state_write(dir, "x", big, sizeof(big)), -ENOSPC);
	expect_file("x", "good");
	/* What was begun is gone: there is room again. */
	assert_int_equal(run("test ! -e %s/.x.new", dir), 0);
	assert_int_equal(state_write(dir, "x", "better", 6), 0);
	expect_file("x", "better");
	umount(dir);
}

static void directory_of_others_is_refused(void **state)
{
	char path[128];

	(void)state;
	snprintf(path, sizeof(path), "%s/state", dir);
	assert_int_equal(state_ensure(path, err, sizeof(err)), 0);
	assert_int_equal(state_ensure(path, err, sizeof(err)), 0);
	assert_int_equal(chmod(path, 0770), 0);
	assert_int_equal(state_ensure(path, err, sizeof(err)), -EPERM);
	assert_non_null(strstr(err, "chmod go-w"));
}

static void clock_never_goes_back(void **state)
{
	struct state_clock clock;
	int64_t now = time(NULL);
	char text[32];

	(void)state;
	state_clock_load(&clock, dir);
	assert_in_range(state_clock_now(&clock), now, now + 5);
	/* An earlier run has seen a later time. */
	snprintf(text, sizeof(text), "%" PRId64 "\n", now + 5000);
	assert_int_equal(state_write(dir, STATE_CLOCK, text, strlen(text)), 0);
	state_clock_load(&clock, dir);
	assert_int_equal(state_clock_now(&clock), now + 5000);
	/* Garbage does not stop it. */
	assert_int_equal(state_write(dir, STATE_CLOCK, "soon", 4), 0);
	state_clock_load(&clock, dir);
	assert_in_range(state_clock_now(&clock), now, now + 5);
	assert_int_equal(state_clock_save(&clock), 0);
	state_clock_load(&clock, dir);
	assert_in_range(clock.floor, now, now + 5);
}

/* ---- watch ------------------------------------------------------------------------------------
 */

static sd_event *event;
static struct watch *watch;
static int changes;

static void on_change(void *user)
{
	(void)user;
	changes++;
}

/* Runs the loop until there were `want` changes, and then long enough to see one too many. */
static int changes_seen(int want)
{
	struct timespec ts;
	int64_t start, now;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	start = ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
	do {
		sd_event_run(event, 50000);
		clock_gettime(CLOCK_MONOTONIC, &ts);
		now = ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
	} while (now - start < (changes < want ? 5000 : 400));
	want = changes;
	changes = 0;
	return want;
}

static int watch_setup(void **state)
{
	char path[128];

	if (setup(state))
		return -1;
	snprintf(path, sizeof(path), "%s/etc", dir);
	changes = 0;
	if (run("mkdir -p %s/etc/peers.d", dir) || sd_event_new(&event) < 0)
		return -1;
	return watch_new(event, path, on_change, NULL, &watch);
}

static int watch_teardown(void **state)
{
	watch_free(watch);
	event = sd_event_unref(event);
	return teardown(state);
}

static void many_changes_are_one(void **state)
{
	(void)state;
	run("cd %s/etc; echo a >policy.yaml; for i in 1 2 3 4 5; do echo b >peers.d/$i.yaml; done",
	        dir);
	assert_int_equal(changes_seen(1), 1);
	/* While we listen, too: each write is a process of its own. */
	run("cd %s/etc; (for i in 1 2 3 4 5 6 7 8 9; do sh -c \"echo b >peers.d/$i.yaml\"; done) &",
	        dir);
	assert_int_equal(changes_seen(1), 1);
	run("rm %s/etc/peers.d/3.yaml", dir);
	assert_int_equal(changes_seen(1), 1);
	run("cd %s/etc; echo c >new; mv new policy.yaml", dir);
	assert_int_equal(changes_seen(1), 1);
}

static void other_names_do_not_wake_us(void **state)
{
	(void)state;
	run("cd %s/etc; echo a >peers.d/.n1.yaml.swp; echo b >notes.txt; echo c >../other.yaml; "
	    "mkdir ../another; echo d >../another/policy.yaml",
	        dir);
	assert_int_equal(changes_seen(0), 0);
}

static void replaced_directories_are_found_again(void **state)
{
	(void)state;
	run("cd %s; mkdir -p new/peers.d; echo a >new/policy.yaml; mv etc old; mv new etc", dir);
	assert_int_equal(changes_seen(1), 1);
	run("echo b >%s/etc/peers.d/n1.yaml", dir);
	assert_int_equal(changes_seen(1), 1);
	run("echo b >%s/old/peers.d/n1.yaml", dir); /* no longer ours */
	assert_int_equal(changes_seen(0), 0);
	run("cd %s/etc; rm -r peers.d; mkdir peers.d", dir);
	assert_int_equal(changes_seen(1), 1);
	run("echo b >%s/etc/peers.d/n2.yaml", dir);
	assert_int_equal(changes_seen(1), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test_setup_teardown(written_whole_and_private, setup, teardown),
	        cmocka_unit_test_setup_teardown(limits_and_kinds, setup, teardown),
	        cmocka_unit_test_setup_teardown(full_disk_leaves_the_old_one, setup, teardown),
	        cmocka_unit_test_setup_teardown(directory_of_others_is_refused, setup, teardown),
	        cmocka_unit_test_setup_teardown(clock_never_goes_back, setup, teardown),
	        cmocka_unit_test_setup_teardown(many_changes_are_one, watch_setup, watch_teardown),
	        cmocka_unit_test_setup_teardown(
	                other_names_do_not_wake_us, watch_setup, watch_teardown),
	        cmocka_unit_test_setup_teardown(
	                replaced_directories_are_found_again, watch_setup, watch_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

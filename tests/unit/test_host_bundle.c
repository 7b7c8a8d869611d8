/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Signed bundles and the daemon's files: what counts at start, what is kept, what is refused, what a
 * restart makes of it. And the store, which tells how it ended.
 */
#include "world_bed.h"

#include <fcntl.h>
#include <sys/file.h>

#include "host/bundlefile.h"
#include "policy/bundle.h"

static struct minisign_secret secret, other;

struct signed_file {
	char *file;
	size_t len;
	struct bundle_head head;
};

/* The policy of files_write(serial), signed. */
static struct signed_file sign_at(const struct minisign_secret *by, int serial,
        const struct bundle_head *parent, int64_t issued)
{
	char text[1024], err[BUNDLE_ERROR_MAX] = "", *data;
	struct policy_file file = {.name = "policy.yaml", .data = text};
	struct signed_file out = {0};
	struct policy_report report;
	struct policy *policy;
	size_t len;

	file.len = (size_t)snprintf(text, sizeof(text), policy_text, serial);
	policy_report_init(&report);
	assert_int_equal(policy_parse(&file, 1, &policy, &report), 0);
	policy_report_clear(&report);
	if (bundle_make(policy, parent, issued, &data, &len, err, sizeof(err)) ||
	        bundle_head_read(data, len, &out.head, err, sizeof(err)) ||
	        bundle_seal(data, len, by, &out.file, &out.len, err, sizeof(err)))
		fail_msg("%s", err);
	free(data);
	policy_unref(policy);
	return out;
}

static struct signed_file sign(int serial, const struct bundle_head *parent)
{
	return sign_at(&secret, serial, parent, 1700000000);
}

static void key_write(const struct minisign_public *key)
{
	char path[160], text[128];
	FILE *out;

	snprintf(path, sizeof(path), "%s/cluster.pub", config_dir);
	out = fopen(path, "w");
	assert_non_null(out);
	minisign_public_print(key, text);
	fputs(text, out);
	assert_int_equal(fclose(out), 0);
}

/* As an admin's `load` does; lets go of the file. */
static int give(struct world *world, struct signed_file *given)
{
	struct engine_event ev = {.type = ENGINE_EV_BUNDLE};
	struct engine_bundle_view view;

	ev.bundle.source = ENGINE_BUNDLE_ADMIN;
	ev.bundle.file = given->file;
	ev.bundle.len = given->len;
	world_event(world, &ev);
	free(given->file);
	engine_bundle_look(world->engine, &view);
	return view.verdict_error ? view.verdict_error : (int)view.verdict;
}

static uint64_t bundle_in_force(const struct world *world)
{
	struct engine_bundle_view view;

	engine_bundle_look(world->engine, &view);
	return view.head.serial;
}

static bool stored(const struct world *world)
{
	struct engine_bundle_view view;

	engine_bundle_look(world->engine, &view);
	return view.stored;
}

/* A field of status, as text. */
static const char *said(struct world *world, const char *part, const char *name)
{
	static char text[2048];
	json_t *status = status_json(world);
	const json_t *value = part ? json_object_get(status, part) : status;
	char *dump = json_dumps(json_object_get(value, name), JSON_ENCODE_ANY);

	snprintf(text, sizeof(text), "%s", dump ? dump : "none");
	free(dump);
	json_decref(status);
	return text;
}

static void first_bundle_takes_over(void **state)
{
	struct policyload_outcome outcome = {0};
	struct signed_file one = sign(7, NULL), two = sign(9, &one.head), old = sign(8, NULL);
	struct world *world;

	(void)state;
	key_write(&secret.pub);
	files_write(7);
	world = world_up();
	/* A key, and no bundle yet: the files. */
	assert_int_equal(serial_in_force(world), 7);
	assert_int_equal(bundle_in_force(world), 0);
	assert_string_equal(said(world, "policy", "files"), "\"in force\"");
	assert_string_equal(said(world, "bundle", "serial"), "0");
	assert_int_equal(give(world, &one), BUNDLE_APPLY);
	assert_int_equal(give(world, &two), BUNDLE_APPLY);
	assert_int_equal(serial_in_force(world), 9);
	assert_int_equal(world->n_policy_peers, 1);
	until(world, stored(world) && !store_busy(world->store));
	/* What the files' last good policy was will never count again. */
	assert_int_not_equal(run("test -e %s/" STATE_POLICY, state_dir), 0);
	assert_int_equal(give(world, &old), BUNDLE_OLDER);
	/* Edits change nothing, and it is told; the same by the files is no difference. */
	files_write(10);
	assert_int_equal(policyload_reload(world, &outcome), 0);
	assert_false(outcome.changed);
	assert_non_null(strstr(outcome.report, "differ from the signed bundle"));
	policyload_outcome_clear(&outcome);
	assert_int_equal(serial_in_force(world), 9);
	assert_string_equal(said(world, "policy", "files"), "\"differ\"");
	files_write(9);
	assert_int_equal(policyload_reload(world, NULL), 0);
	assert_string_equal(said(world, "policy", "files"), "\"in force\"");
	files_break();
	assert_int_equal(policyload_reload(world, NULL), 0);
	assert_string_equal(said(world, "policy", "files"), "\"broken\"");
	assert_null(world->policy_error);
	assert_int_equal(run("rm %s/policy.yaml", config_dir), 0);
	assert_int_equal(policyload_reload(world, NULL), 0);
	assert_string_equal(said(world, "policy", "files"), "\"none\"");
	world_free(world);
	/* A restart: without any files, and not back. */
	world = world_up();
	assert_int_equal(serial_in_force(world), 9);
	assert_true(stored(world));
	old = sign(8, NULL);
	assert_int_equal(give(world, &old), BUNDLE_OLDER);
	old = sign_at(&secret, 9, &one.head, 1700000001);
	assert_int_equal(give(world, &old), BUNDLE_FORK);
	assert_string_equal(said(world, "bundle", "fork"), "true");
	assert_non_null(strstr(said(world, NULL, "why"), "FORK"));
	old = sign_at(&other, 11, NULL, 1700000001);
	assert_int_equal(give(world, &old), -ENOKEY);
	assert_int_equal(serial_in_force(world), 9);
	world_free(world);
}

/* Nobody knows who may come in: nobody may, until it is mended. */
static void damaged_ones_shut(void **state)
{
	struct signed_file one = sign(7, NULL), again = sign(7, NULL);
	struct world *world;

	(void)state;
	key_write(&secret.pub);
	files_write(3);
	world = world_up();
	assert_int_equal(give(world, &one), BUNDLE_APPLY);
	until(world, stored(world));
	world_free(world);
	assert_int_equal(run("truncate -s -1 %s/" STATE_BUNDLE, state_dir), 0);
	world = world_up();
	assert_int_equal(serial_in_force(world), 0);
	assert_string_equal(said(world, NULL, "state"), "\"degraded\"");
	assert_non_null(strstr(said(world, NULL, "why"), "overlayctl load FILE"));
	/* Not by reading the files again. */
	assert_int_not_equal(policyload_reload(world, NULL), 0);
	assert_int_equal(serial_in_force(world), 0);
	assert_int_equal(give(world, &again), BUNDLE_APPLY);
	assert_int_equal(serial_in_force(world), 7);
	assert_null(strstr(said(world, NULL, "why"), "cannot be used"));
	until(world, stored(world));
	world_free(world);

	/* A key that is none; mended, the kept bundle is in force. */
	assert_int_equal(run("echo x >%s/cluster.pub", config_dir), 0);
	world = world_up();
	assert_int_equal(serial_in_force(world), 0);
	assert_non_null(strstr(said(world, NULL, "why"), "cluster.pub: the cluster key cannot"));
	key_write(&secret.pub);
	assert_int_equal(policyload_reload(world, NULL), 0);
	assert_int_equal(serial_in_force(world), 7);
	/* Damaged or gone while it runs: what is in force stays. */
	assert_int_equal(run("echo x >%s/cluster.pub", config_dir), 0);
	assert_int_not_equal(policyload_reload(world, NULL), 0);
	assert_int_equal(serial_in_force(world), 7);
	assert_int_equal(run("rm %s/cluster.pub", config_dir), 0);
	assert_int_equal(policyload_reload(world, NULL), 0);
	assert_int_equal(bundle_in_force(world), 7);
	world_free(world);
	/* Then the files count. */
	world = world_up();
	assert_int_equal(serial_in_force(world), 3);
	assert_int_equal(bundle_in_force(world), 0);
	assert_string_equal(said(world, NULL, "bundle"), "null");
	/* The key comes while it runs. */
	key_write(&secret.pub);
	assert_int_equal(policyload_reload(world, NULL), 0);
	assert_int_equal(serial_in_force(world), 7);
	world_free(world);
	/* An admin changes the key: what is in force stays, and only the new key's replace it. */
	key_write(&other.pub);
	world = world_up();
	assert_int_equal(serial_in_force(world), 7);
	one = sign(8, NULL);
	assert_int_equal(give(world, &one), -ENOKEY);
	one = sign_at(&other, 8, NULL, 1700000000);
	assert_int_equal(give(world, &one), BUNDLE_APPLY);
	assert_int_equal(serial_in_force(world), 8);
	world_free(world);
}

/* It is in force at once; kept as soon as it can be, and told until then. */
static void full_disk(void **state)
{
	struct signed_file one = sign(7, NULL);
	struct world *world;

	(void)state;
	key_write(&secret.pub);
	files_write(3);
	world = world_up();
	until(world, !store_busy(world->store));
	assert_int_equal(run("mkdir %s/." STATE_BUNDLE ".new", state_dir), 0);
	assert_int_equal(give(world, &one), BUNDLE_APPLY);
	assert_int_equal(serial_in_force(world), 7);
	until(world, strlen(said(world, "bundle", "why")) > 2);
	assert_false(stored(world));
	assert_non_null(strstr(said(world, NULL, "why"), "is not kept"));
	assert_int_equal(run("rmdir %s/." STATE_BUNDLE ".new", state_dir), 0);
	until(world, stored(world));
	assert_string_equal(said(world, "bundle", "why"), "\"\"");
	world_free(world);
}

/* For the guard at boot: the bundle's policy, else the files'. */
static void guard_reads_the_bundle(void **state)
{
	struct signed_file one = sign(7, NULL);
	struct policy *policy;
	struct world *world;
	bool last_good;
	char *report;

	(void)state;
	key_write(&secret.pub);
	files_write(3);
	world = world_up();
	assert_int_equal(give(world, &one), BUNDLE_APPLY);
	until(world, stored(world));
	world_free(world);
	assert_int_equal(policyload_read(config_dir, state_dir, &policy, &last_good, &report), 0);
	assert_int_equal(policy->serial, 7);
	policy_unref(policy);
	free(report);
	assert_int_equal(run("truncate -s -1 %s/" STATE_BUNDLE, state_dir), 0);
	assert_int_equal(policyload_read(config_dir, state_dir, &policy, &last_good, &report), 0);
	assert_int_equal(policy->serial, 3);
	policy_unref(policy);
	free(report);
}

/* ---- the store ------------------------------------------------------------------------------ */

struct ended {
	int n;
	int errors[16]; /* by id */
};

static void on_done(void *user, uint64_t id, int error)
{
	struct ended *ended = user;

	ended->n++;
	ended->errors[id] = error;
}

static void write_then(struct store *store, struct ended *ended, const char *text, uint64_t id)
{
	store_write_then(store, "x", strdup(text), strlen(text), on_done, ended, id);
}

static void store_tells_how_it_ended(void **state)
{
	struct ended ended = {.n = 0};
	struct store *store;
	int fd;
	struct {
		sd_event *event;
	} loop;

	(void)state;
	assert_int_equal(mkdir(state_dir, 0700), 0);
	assert_true(sd_event_new(&loop.event) >= 0);
	assert_int_equal(store_new(loop.event, state_dir, &store), 0);
	/* One is on its way; of those that wait the last counts, and each is told. */
	for (uint64_t id = 0; id < 4; id++)
		write_then(store, &ended, id == 3 ? "last" : "first", id);
	until(&loop, ended.n == 4);
	assert_int_equal(ended.errors[0], 0);
	assert_int_equal(ended.errors[1], -ECANCELED);
	assert_int_equal(ended.errors[2], -ECANCELED);
	assert_int_equal(ended.errors[3], 0);
	assert_int_equal(run("grep -qx last %s/x", state_dir), 0);
	/* An earlier run's helper still writes: what is newer waits for it, and comes last. */
	fd = open(state_dir, O_DIRECTORY | O_RDONLY | O_CLOEXEC);
	assert_int_equal(flock(fd, LOCK_EX), 0);
	write_then(store, &ended, "newer", 5);
	assert_int_equal(sd_event_run(loop.event, 200000), 0);
	assert_int_equal(ended.n, 4);
	assert_int_equal(run("printf older >%s/x", state_dir), 0);
	close(fd);
	until(&loop, ended.n == 5);
	assert_int_equal(
	        run("grep -qx newer %s/x && printf 'last\\n' >%s/x", state_dir, state_dir), 0);
	ended.n = 4;
	/* What cannot be written leaves the old one. */
	assert_int_equal(run("mkdir %s/.x.new", state_dir), 0);
	write_then(store, &ended, "new", 4);
	until(&loop, ended.n == 5);
	assert_int_not_equal(ended.errors[4], 0);
	assert_int_equal(run("grep -qx last %s/x && rmdir %s/.x.new", state_dir, state_dir), 0);
	store_remove(store, "x");
	until(&loop, !store_busy(store));
	assert_int_not_equal(run("test -e %s/x", state_dir), 0);
	store_remove(store, "x"); /* nothing there is as good */
	store_free(store);
	sd_event_unref(loop.event);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test_setup_teardown(first_bundle_takes_over, setup, teardown),
	        cmocka_unit_test_setup_teardown(damaged_ones_shut, setup, teardown),
	        cmocka_unit_test_setup_teardown(full_disk, setup, teardown),
	        cmocka_unit_test_setup_teardown(guard_reads_the_bundle, setup, teardown),
	        cmocka_unit_test_setup_teardown(store_tells_how_it_ended, setup, teardown),
	};

	if (geteuid() != 0 || unshare(CLONE_NEWNET | CLONE_NEWNS)) {
		puts("1..0 # SKIP needs root (network namespaces)");
		return 0;
	}
	if (minisign_key_make(&secret) || minisign_key_make(&other))
		return 1;
	run("ip link set lo up");
	log_open(LOG_CRIT);
	return cmocka_run_group_tests(tests, NULL, NULL);
}

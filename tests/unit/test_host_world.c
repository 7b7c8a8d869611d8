/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The whole daemon but charon, in a network namespace of its own: which policy is in force with
 * which files, what is kept of it, what status says (control/control.h), names resolved.
 */
#include "world_bed.h"

static bool kept(void)
{
	char path[160];

	snprintf(path, sizeof(path), "%s/" STATE_POLICY, state_dir);
	return access(path, F_OK) == 0;
}

/* ---- which policy ------------------------------------------------------------------------- */

static void good_files_are_kept_and_outlive_broken_ones(void **state)
{
	struct policyload_outcome outcome = {0};
	struct world *world;

	(void)state;
	files_write(7);
	world = world_up();
	assert_int_equal(serial_in_force(world), 7);
	assert_false(world->policy_last_good);
	assert_null(world->policy_error);
	until(world, !store_busy(world->store));
	assert_true(kept());
	/* Broken while it runs: nothing changes. */
	files_break();
	assert_int_not_equal(policyload_reload(world, &outcome), 0);
	assert_non_null(strstr(outcome.report, "policy.yaml:"));
	policyload_outcome_clear(&outcome);
	assert_int_equal(serial_in_force(world), 7);
	assert_non_null(world->policy_error);
	world_free(world);
	/* And over a restart. */
	world = world_up();
	assert_int_equal(serial_in_force(world), 7);
	assert_true(world->policy_last_good);
	assert_non_null(world->policy_error);
	/* Mended, with nothing new in it: no longer the kept copy. */
	files_write(7);
	assert_int_equal(policyload_reload(world, &outcome), 0);
	assert_false(outcome.changed);
	policyload_outcome_clear(&outcome);
	assert_false(world->policy_last_good);
	assert_null(world->policy_error);
	files_write(8);
	assert_int_equal(policyload_reload(world, &outcome), 0);
	assert_true(outcome.changed);
	policyload_outcome_clear(&outcome);
	assert_int_equal(serial_in_force(world), 8);
	world_free(world); /* waits for what is to be kept */
	files_break();
	world = world_up();
	assert_int_equal(serial_in_force(world), 8);
	world_free(world);
}

static void without_any_there_is_none(void **state)
{
	struct world *world;
	json_t *status;

	(void)state;
	files_break();
	world = world_up();
	assert_int_equal(serial_in_force(world), 0);
	assert_false(kept());
	status = status_json(world);
	assert_string_equal(json_string_value(json_object_get(status, "state")), "degraded");
	assert_non_null(strstr(json_string_value(json_object_get(status, "why")), "none was kept"));
	json_decref(status);
	/* A copy that is itself broken is none. */
	world_free(world);
	assert_int_equal(run("echo 'serial: x' >%s/" STATE_POLICY, state_dir), 0);
	world = world_up();
	assert_int_equal(serial_in_force(world), 0);
	files_write(3);
	assert_int_equal(policyload_reload(world, NULL), 0);
	assert_int_equal(serial_in_force(world), 3);
	world_free(world);
}

/* An older copy might let somebody in again who was taken out since. */
static void what_cannot_be_kept_leaves_no_older_copy(void **state)
{
	struct world *world;

	(void)state;
	files_write(7);
	world = world_up();
	until(world, !store_busy(world->store));
	assert_true(kept());
	/* In the way of the new file, and not to be removed as a file. */
	assert_int_equal(run("mkdir %s/." STATE_POLICY ".new", state_dir), 0);
	files_write(8);
	assert_int_equal(policyload_reload(world, NULL), 0);
	assert_int_equal(serial_in_force(world), 8);
	until(world, !store_busy(world->store));
	assert_false(kept());
	assert_int_equal(run("rmdir %s/." STATE_POLICY ".new", state_dir), 0);
	/* Of several that come while one is being written the last counts. */
	for (int serial = 9; serial < 14; serial++) {
		files_write(serial);
		assert_int_equal(policyload_reload(world, NULL), 0);
	}
	until(world, !store_busy(world->store));
	assert_int_equal(run("grep -q 'serial: 13' %s/" STATE_POLICY, state_dir), 0);
	world_free(world);
}

/* ---- status -------------------------------------------------------------------------------- */

struct field {
	const char *path; /* "node.name" */
	char type;        /* s string, i integer, b boolean, a array, n null */
};

static char type_of(const json_t *value)
{
	switch (json_typeof(value)) {
	case JSON_STRING:
		return 's';
	case JSON_INTEGER:
		return 'i';
	case JSON_TRUE:
	case JSON_FALSE:
		return 'b';
	case JSON_ARRAY:
		return 'a';
	case JSON_NULL:
		return 'n';
	case JSON_OBJECT:
	case JSON_REAL:
		break;
	}
	return '?';
}

static void expect_fields(const json_t *object, const struct field *fields, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const json_t *at = object;
		char path[64], *part, *save = NULL;

		snprintf(path, sizeof(path), "%s", fields[i].path);
		for (part = strtok_r(path, ".", &save); part; part = strtok_r(NULL, ".", &save))
			at = json_object_get(at, part);
		if (!at)
			fail_msg("%s is missing", fields[i].path);
		if (type_of(at) != fields[i].type)
			fail_msg("%s is of type %c, not %c", fields[i].path, type_of(at),
			        fields[i].type);
	}
}

static void status_is_as_promised(void **state)
{
	static const struct field head[] = {{"version", 's'}, {"started", 'i'}, {"now", 'i'},
	        {"cluster", 's'}, {"serial", 'i'}, {"digest", 's'}, {"state", 's'}, {"why", 's'},
	        {"node.name", 'n'}, {"node.fingerprint", 's'}, {"node.address4", 'n'},
	        {"node.address6", 'n'}, {"policy.in_force", 'b'}, {"policy.loaded", 'i'},
	        {"policy.error", 'n'}, {"plane.kind", 's'}, {"plane.device", 'n'},
	        {"plane.mtu", 'n'}, {"plane.why", 's'}, {"plane.path_mtu", 'n'},
	        {"plane.path_to", 'n'}, {"charon.connected", 'b'}, {"charon.version", 'n'},
	        {"charon.why", 's'}, {"firewall.in_force", 'b'}, {"firewall.mode", 's'},
	        {"firewall.why", 's'}, {"peers", 'a'}};
	static const struct field peer[] = {{"name", 's'}, {"fingerprint", 's'}, {"address4", 's'},
	        {"address6", 's'}, {"site", 's'}, {"roles", 'a'}, {"state", 's'}, {"since", 'i'},
	        {"link", 'n'}, {"bytes_in", 'i'}, {"bytes_out", 'i'}, {"rekey_s", 'n'},
	        {"why", 's'}};
	struct world *world;
	json_t *status, *a;

	(void)state;
	files_write(7);
	world = world_up();
	status = status_json(world);
	assert_non_null(status);
	expect_fields(status, head, sizeof(head) / sizeof(head[0]));
	assert_int_equal(json_array_size(json_object_get(status, "peers")), 1);
	a = json_array_get(json_object_get(status, "peers"), 0);
	expect_fields(a, peer, sizeof(peer) / sizeof(peer[0]));
	assert_string_equal(json_string_value(json_object_get(a, "name")), "a");
	assert_string_equal(json_string_value(json_object_get(a, "address4")), "10.77.0.1");
	/* We are not in it, so nothing is allowed between us. */
	assert_string_equal(json_string_value(json_object_get(a, "state")), "inactive");
	assert_int_equal(strlen(json_string_value(json_object_get(status, "digest"))), 64);
	assert_string_equal(json_string_value(json_object_get(status, "why")),
	        "the policy does not know this node's key");
	json_decref(status);
	world_free(world);
}

/* ---- names --------------------------------------------------------------------------------- */

static void names_end_one_way_or_the_other(void **state)
{
	struct engine_effect fx = {.type = ENGINE_FX_RESOLVE, .resolve.host = "localhost"};
	struct world *world;

	(void)state;
	files_write(7);
	world = world_up();
	/* More at once than there are helpers; the engine does not know these and ignores them. */
	for (uint64_t id = 1000000; id < 1000020; id++) {
		fx.id = id;
		fx.resolve.host = id & 1 ? "localhost" : "no.such.name.invalid";
		names_run(world->names, &fx);
	}
	assert_true(names_busy(world->names));
	until(world, !names_busy(world->names));
	/* Stopped in the middle: no helper stays behind. */
	for (uint64_t id = 1000020; id < 1000040; id++) {
		fx.id = id;
		names_run(world->names, &fx);
	}
	world_free(world);
	assert_int_equal(run("test -z \"$(pgrep -P %d | grep -v $$)\"", getpid()), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test_setup_teardown(
	                good_files_are_kept_and_outlive_broken_ones, setup, teardown),
	        cmocka_unit_test_setup_teardown(without_any_there_is_none, setup, teardown),
	        cmocka_unit_test_setup_teardown(
	                what_cannot_be_kept_leaves_no_older_copy, setup, teardown),
	        cmocka_unit_test_setup_teardown(status_is_as_promised, setup, teardown),
	        cmocka_unit_test_setup_teardown(names_end_one_way_or_the_other, setup, teardown),
	};

	if (geteuid() != 0 || unshare(CLONE_NEWNET | CLONE_NEWNS)) {
		puts("1..0 # SKIP needs root (network namespaces)");
		return 0;
	}
	run("ip link set lo up");
	log_open(LOG_CRIT);
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which pairs need no tunnel until a packet wants one: by mesh, roles and the number of peers. */
#include "policy_bed.h"

/* A cluster of n peers: number 0 is a seed, the others are not. */
static struct policy *cluster(const char *mesh, int n)
{
	struct policy_report report;
	struct policy *p = NULL;
	char *text = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&text, &len);

	fprintf(f, "cluster: t\nserial: 1\noverlay: 10.0.0.0/8\n%speers:\n", mesh);
	for (int i = 0; i < n; i++) {
		struct policy_key raw = {{(uint8_t)i, (uint8_t)(i >> 8), 7}};
		char key[96];

		policy_key_print(&raw, key, sizeof(key));
		fprintf(f,
		        "  p%03d: { key: \"%s\", address: 10.0.%d.%d, roles: [%s], "
		        "endpoints: [192.0.%d.%d] }\n",
		        i, key, i / 250, 1 + i % 250, i ? "exec" : "exec, seed", i / 250,
		        1 + i % 250);
	}
	fclose(f);
	policy_report_init(&report);
	if (text_parse(text, NULL, &p, &report))
		policy_report_print(&report, stderr, false);
	policy_report_clear(&report);
	free(text);
	assert_non_null(p);
	return p;
}

static void mesh_is(const char *mesh, int n, enum policy_mesh want, bool on_demand)
{
	struct policy *p = cluster(mesh, n);
	const struct policy_peer *seed = policy_peer_by_name(p, "p000");
	const struct policy_peer *a = policy_peer_by_name(p, "p001");
	const struct policy_peer *b = policy_peer_by_name(p, "p002");

	assert_int_equal(p->mesh, want);
	assert_int_equal(policy_on_demand(p, a, b), on_demand);
	assert_int_equal(policy_on_demand(p, b, a), on_demand);
	assert_false(policy_on_demand(p, a, seed));
	assert_false(policy_on_demand(p, seed, a));
	policy_unref(p);
}

static void test_mesh(void **state)
{
	(void)state;
	mesh_is("", 3, POLICY_MESH_FULL, false);
	mesh_is("mesh: full\n", 3, POLICY_MESH_FULL, false);
	mesh_is("mesh: ondemand\n", 3, POLICY_MESH_ONDEMAND, true);
	mesh_is("mesh: auto\n", 3, POLICY_MESH_AUTO, false);
}

static void test_auto(void **state)
{
	(void)state;
	mesh_is("mesh: auto\n", POLICY_MESH_AUTO_PEERS, POLICY_MESH_AUTO, false);
	mesh_is("mesh: auto\n", POLICY_MESH_AUTO_PEERS + 1, POLICY_MESH_AUTO, true);
	mesh_is("mesh: full\n", POLICY_MESH_AUTO_PEERS + 1, POLICY_MESH_FULL, false);
}

static void test_printed(void **state)
{
	static const char *const words[] = {"full", "ondemand", "auto"};
	char line[32], *text;

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		struct policy *p;

		snprintf(line, sizeof(line), "mesh: %s\n", words[i]);
		p = cluster(line, 3);
		text = policy_print(p);
		assert_non_null(text);
		assert_non_null(strstr(text, line));
		free(text);
		policy_unref(p);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_mesh), cmocka_unit_test(test_auto),
	        cmocka_unit_test(test_printed)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

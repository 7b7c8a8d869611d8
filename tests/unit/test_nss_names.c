/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * libnss_overlay.so.2 itself, called as the C library calls it, with a /run of this test's own: its
 * path is part of the library. Every buffer lies at the end of a mapping, so that one byte too
 * many is a crash.
 */
#include "nss/hosts.h"
#include "nss/nss_overlay.h"

#include "host/hostsfile.h"
#include "policy/policy.h"

#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static struct {
	void *handle;
	__typeof__(&_nss_overlay_gethostbyname_r) byname;
	__typeof__(&_nss_overlay_gethostbyname2_r) byname2;
	__typeof__(&_nss_overlay_gethostbyname3_r) byname3;
	__typeof__(&_nss_overlay_gethostbyname4_r) byname4;
	__typeof__(&_nss_overlay_gethostbyaddr_r) byaddr;
	__typeof__(&_nss_overlay_gethostbyaddr2_r) byaddr2;
	__typeof__(&_nss_overlay_sethostent) set;
	__typeof__(&_nss_overlay_gethostent_r) next;
	__typeof__(&_nss_overlay_endhostent) end;
} so;

static char so_path[PATH_MAX];

static const char two_nodes[] = "# comment\n"
                                "10.77.0.1 head1 head1.hpc\n"
                                "fd00::1 head1 head1.hpc\n"
                                "10.77.0.17 node17 node17.hpc\n"
                                "fd00::17 node17 node17.hpc\n";

static void file_put(const char *text, size_t len)
{
	FILE *out = fopen("/run/overlayd/new", "w");

	assert_non_null(out);
	assert_int_equal(fwrite(text, 1, len, out), len);
	assert_int_equal(fclose(out), 0);
	assert_int_equal(chmod("/run/overlayd/new", 0644), 0);
	assert_int_equal(rename("/run/overlayd/new", HOSTS_PATH), 0);
}

static void file_says(const char *text)
{
	file_put(text, strlen(text));
}

/* ---- a buffer whose end is the end of memory -------------------------------------------------- */

#define AREA 65536

static char *area;

static char *buffer_of(size_t size)
{
	memset(area, 0xa5, AREA);
	return area + AREA - size;
}

static int area_make(void)
{
	area = mmap(NULL, AREA + 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	return area == MAP_FAILED || mprotect(area + AREA, 4096, PROT_NONE) ? -1 : 0;
}

/* ---- asking, and what is right of each answer ----------------------------------------------- */

static struct hostent he;
static int err, herr;

static const char *addr_text(int af, const void *addr)
{
	static char text[INET6_ADDRSTRLEN];

	return inet_ntop(af, addr, text, sizeof(text));
}

static void forward(const char *name, int af, enum nss_status want)
{
	err = herr = 1234;
	assert_int_equal(so.byname2(name, af, &he, buffer_of(1024), 1024, &err, &herr), want);
}

static void is_node17(int af, const char *addr)
{
	assert_string_equal(he.h_name, "node17");
	assert_string_equal(he.h_aliases[0], "node17.hpc");
	assert_null(he.h_aliases[1]);
	assert_int_equal(he.h_addrtype, af);
	assert_int_equal(he.h_length, af == AF_INET ? 4 : 16);
	assert_string_equal(addr_text(af, he.h_addr_list[0]), addr);
	assert_null(he.h_addr_list[1]);
}

static void names_forward(void **state)
{
	static const char *const asked[] = {
	        "node17", "node17.hpc", "NODE17", "Node17.HPC", "nOdE17.hPc"};

	(void)state;
	file_says(two_nodes);
	for (size_t i = 0; i < sizeof(asked) / sizeof(asked[0]); i++) {
		forward(asked[i], AF_INET, NSS_STATUS_SUCCESS);
		assert_int_equal(herr, NETDB_SUCCESS);
		is_node17(AF_INET, "10.77.0.17");
		forward(asked[i], AF_INET6, NSS_STATUS_SUCCESS);
		is_node17(AF_INET6, "fd00::17");
	}
	assert_int_equal(
	        so.byname("node17", &he, buffer_of(1024), 1024, &err, &herr), NSS_STATUS_SUCCESS);
	is_node17(AF_INET, "10.77.0.17");
}

static void ttl_and_canonical_name(void **state)
{
	char *canon = NULL;
	int32_t ttl = 77;

	(void)state;
	file_says(two_nodes);
	assert_int_equal(so.byname3("NODE17.hpc", AF_INET, &he, buffer_of(1024), 1024, &err, &herr,
	                         &ttl, &canon),
	        NSS_STATUS_SUCCESS);
	assert_int_equal(ttl, 0);
	assert_ptr_equal(canon, he.h_name);
	assert_string_equal(canon, "node17");
}

static void not_known(const char *name)
{
	static const int families[] = {AF_INET, AF_INET6};

	for (size_t i = 0; i < 2; i++) {
		forward(name, families[i], NSS_STATUS_NOTFOUND);
		assert_int_equal(err, ENOENT);
		assert_int_equal(herr, HOST_NOT_FOUND);
	}
}

static void other_names_are_not_known(void **state)
{
	static const char *const asked[] = {"node1", "node177", "node17.hp", "node17.hpc.", "hpc",
	        "", ".", "#", "# comment", "10.77.0.17", "node17 node17.hpc", "ode17"};
	char *longest = malloc(70000);

	(void)state;
	file_says(two_nodes);
	for (size_t i = 0; i < sizeof(asked) / sizeof(asked[0]); i++)
		not_known(asked[i]);
	memset(longest, 'a', 69999);
	longest[69999] = 0;
	not_known(longest);
	free(longest);
}

static void no_address_of_that_family(void **state)
{
	(void)state;
	file_says("10.77.0.5 only4 only4.hpc\n");
	forward("only4", AF_INET, NSS_STATUS_SUCCESS);
	forward("only4", AF_INET6, NSS_STATUS_NOTFOUND);
	assert_int_equal(herr, NO_DATA);
	forward("only4", AF_UNIX, NSS_STATUS_UNAVAIL);
	assert_int_equal(err, EAFNOSUPPORT);
}

static void both_families(void **state)
{
	struct gaih_addrtuple own, *pat = NULL;
	int32_t ttl = 77;

	(void)state;
	file_says(two_nodes);
	assert_int_equal(so.byname4("NODE17", &pat, buffer_of(1024), 1024, &err, &herr, &ttl),
	        NSS_STATUS_SUCCESS);
	assert_int_equal(ttl, 0);
	assert_string_equal(pat->name, "node17");
	assert_int_equal(pat->family, AF_INET);
	assert_int_equal(pat->scopeid, 0);
	assert_string_equal(addr_text(AF_INET, pat->addr), "10.77.0.17");
	assert_int_equal(pat->next->family, AF_INET6);
	assert_string_equal(addr_text(AF_INET6, pat->next->addr), "fd00::17");
	assert_null(pat->next->next);

	/* A first one of the caller's own is used. */
	memset(&own, 0xff, sizeof(own));
	pat = &own;
	assert_int_equal(so.byname4("head1", &pat, buffer_of(1024), 1024, &err, &herr, NULL),
	        NSS_STATUS_SUCCESS);
	assert_ptr_equal(pat, &own);
	assert_string_equal(own.name, "head1");
	assert_int_equal(own.next->family, AF_INET6);
	assert_null(own.next->next);

	pat = NULL;
	assert_int_equal(so.byname4("nobody", &pat, buffer_of(1024), 1024, &err, &herr, NULL),
	        NSS_STATUS_NOTFOUND);
	assert_null(pat);
}

static enum nss_status reverse(const char *text, int af, socklen_t len)
{
	uint8_t addr[16] = {0};

	assert_int_equal(inet_pton(af, text, addr), 1);
	return so.byaddr(addr, len, af, &he, buffer_of(1024), 1024, &err, &herr);
}

static void names_reverse(void **state)
{
	uint8_t addr[4] = {10, 77, 0, 17};
	int32_t ttl = 77;

	(void)state;
	file_says(two_nodes);
	assert_int_equal(reverse("10.77.0.17", AF_INET, 4), NSS_STATUS_SUCCESS);
	is_node17(AF_INET, "10.77.0.17");
	assert_int_equal(reverse("fd00::17", AF_INET6, 16), NSS_STATUS_SUCCESS);
	is_node17(AF_INET6, "fd00::17");
	/* As a socket of IPv6 that takes IPv4 too has it. */
	assert_int_equal(reverse("::ffff:10.77.0.17", AF_INET6, 16), NSS_STATUS_SUCCESS);
	is_node17(AF_INET6, "::ffff:10.77.0.17");
	assert_int_equal(
	        so.byaddr2(addr, 4, AF_INET, &he, buffer_of(1024), 1024, &err, &herr, &ttl),
	        NSS_STATUS_SUCCESS);
	assert_int_equal(ttl, 0);
	is_node17(AF_INET, "10.77.0.17");

	assert_int_equal(reverse("10.77.0.18", AF_INET, 4), NSS_STATUS_NOTFOUND);
	assert_int_equal(herr, HOST_NOT_FOUND);
	assert_int_equal(reverse("fd00::18", AF_INET6, 16), NSS_STATUS_NOTFOUND);
	/* The bytes of one family are no address of the other. */
	assert_int_equal(reverse("a4d:11::", AF_INET6, 16), NSS_STATUS_NOTFOUND);
	assert_int_equal(reverse("10.77.0.17", AF_INET, 16), NSS_STATUS_UNAVAIL);
	assert_int_equal(err, EAFNOSUPPORT);
	assert_int_equal(reverse("fd00::17", AF_INET6, 4), NSS_STATUS_UNAVAIL);
	assert_int_equal(so.byaddr(addr, 4, AF_UNIX, &he, buffer_of(1024), 1024, &err, &herr),
	        NSS_STATUS_UNAVAIL);
}

static void all_of_them(void **state)
{
	static const char *const want[] = {"10.77.0.1", "fd00::1", "10.77.0.17", "fd00::17"};
	int fd;

	(void)state;
	file_says(two_nodes);
	assert_int_equal(so.set(0), NSS_STATUS_SUCCESS);
	for (size_t i = 0; i < 4; i++) {
		/* One that is too small takes nothing away. */
		assert_int_equal(so.next(&he, buffer_of(8), 8, &err, &herr), NSS_STATUS_TRYAGAIN);
		assert_int_equal(err, ERANGE);
		assert_int_equal(
		        so.next(&he, buffer_of(1024), 1024, &err, &herr), NSS_STATUS_SUCCESS);
		assert_string_equal(addr_text(he.h_addrtype, he.h_addr_list[0]), want[i]);
		/* Another file has come: this list is still the one before. */
		if (i == 1)
			file_says("10.9.9.9 another\n");
	}
	for (int i = 0; i < 2; i++)
		assert_int_equal(
		        so.next(&he, buffer_of(1024), 1024, &err, &herr), NSS_STATUS_NOTFOUND);
	assert_int_equal(so.end(), NSS_STATUS_SUCCESS);
	assert_int_equal(so.end(), NSS_STATUS_SUCCESS);

	/* Without sethostent(): the new one, from its beginning. */
	assert_int_equal(so.next(&he, buffer_of(1024), 1024, &err, &herr), NSS_STATUS_SUCCESS);
	assert_string_equal(he.h_name, "another");
	/* The program closes all, and opens its own under that number: it is not read, nor closed. */
	closefrom(3);
	fd = open("/dev/zero", O_RDONLY);
	assert_int_equal(fd, 3);
	assert_int_equal(so.next(&he, buffer_of(1024), 1024, &err, &herr), NSS_STATUS_UNAVAIL);
	assert_int_equal(so.end(), NSS_STATUS_SUCCESS);
	assert_int_equal(fcntl(fd, F_GETFD), 0);
	close(fd);
}

/* ---- buffers that are too small --------------------------------------------------------------- */

typedef enum nss_status question(char *buffer, size_t size);

static enum nss_status ask_name(char *buffer, size_t size)
{
	return so.byname3("node17", AF_INET6, &he, buffer, size, &err, &herr, NULL, NULL);
}

static enum nss_status ask_tuples(char *buffer, size_t size)
{
	struct gaih_addrtuple *pat = NULL;
	enum nss_status status = so.byname4("node17", &pat, buffer, size, &err, &herr, NULL);

	assert_int_equal(pat != NULL, status == NSS_STATUS_SUCCESS);
	if (pat)
		assert_string_equal(pat->next->name, "node17");
	return status;
}

static enum nss_status ask_addr(char *buffer, size_t size)
{
	uint8_t addr[4] = {10, 77, 0, 17};

	return so.byaddr(addr, 4, AF_INET, &he, buffer, size, &err, &herr);
}

static enum nss_status ask_next(char *buffer, size_t size)
{
	so.set(0);
	return so.next(&he, buffer, size, &err, &herr);
}

/* Each size says ERANGE, and touches nothing else, or it is enough; and so is any larger one. */
static void every_size_of(question *ask)
{
	struct hostent untouched;
	bool enough = false;

	for (size_t size = 0; size < 300; size++) {
		enum nss_status status;

		memset(&he, 0x5a, sizeof(he));
		untouched = he;
		err = herr = 1234;
		status = ask(buffer_of(size), size);
		if (status == NSS_STATUS_SUCCESS) {
			enough = true;
			continue;
		}
		assert_false(enough);
		assert_int_equal(status, NSS_STATUS_TRYAGAIN);
		assert_int_equal(err, ERANGE);
		assert_int_equal(herr, NETDB_INTERNAL);
		assert_memory_equal(&he, &untouched, sizeof(he));
		for (const char *at = area; at < area + AREA - size; at++)
			assert_int_equal(*at, (char)0xa5);
	}
	assert_true(enough);
}

static void every_size(void **state)
{
	(void)state;
	file_says(two_nodes);
	every_size_of(ask_name);
	every_size_of(ask_tuples);
	every_size_of(ask_addr);
	every_size_of(ask_next);
	so.end();
}

/* Where a buffer begins is the caller's affair; pointers and addresses in it are in their places. */
static void every_beginning(void **state)
{
	(void)state;
	file_says(two_nodes);
	for (size_t shift = 0; shift < 16; shift++) {
		struct gaih_addrtuple *pat = NULL;
		char *buffer = buffer_of(2048) + shift;

		assert_int_equal(so.byname2("node17", AF_INET, &he, buffer, 1024, &err, &herr),
		        NSS_STATUS_SUCCESS);
		assert_int_equal((uintptr_t)he.h_addr_list % sizeof(char *), 0);
		assert_int_equal((uintptr_t)he.h_aliases % sizeof(char *), 0);
		assert_int_equal((uintptr_t)he.h_addr_list[0] % 4, 0);
		assert_int_equal(so.byname4("node17", &pat, buffer, 1024, &err, &herr, NULL),
		        NSS_STATUS_SUCCESS);
		assert_int_equal((uintptr_t)pat % __alignof__(*pat), 0);
	}
}

/* ---- files of all kinds --------------------------------------------------------------------- */

static void unavailable(int want)
{
	forward("node17", AF_INET, NSS_STATUS_UNAVAIL);
	assert_int_equal(err, want);
	assert_int_equal(herr, HOST_NOT_FOUND);
}

static void only_roots_own_word(void **state)
{
	(void)state;
	file_says(two_nodes);
	assert_int_equal(chmod(HOSTS_PATH, 0664), 0);
	unavailable(EPERM);
	assert_int_equal(chmod(HOSTS_PATH, 0646), 0);
	unavailable(EPERM);
	assert_int_equal(chmod(HOSTS_PATH, 0644), 0);
	forward("node17", AF_INET, NSS_STATUS_SUCCESS);
	/* In a namespace of one user only there is nobody else. */
	if (chown(HOSTS_PATH, 65534, 65534) == 0)
		unavailable(EPERM);
	assert_int_equal(unlink(HOSTS_PATH), 0);
	unavailable(ENOENT);
	assert_int_equal(so.set(0), NSS_STATUS_UNAVAIL);
	assert_int_equal(so.next(&he, buffer_of(1024), 1024, &err, &herr), NSS_STATUS_UNAVAIL);
	assert_int_equal(so.end(), NSS_STATUS_SUCCESS);

	file_says(two_nodes);
	assert_int_equal(rename(HOSTS_PATH, "/run/overlayd/real"), 0);
	assert_int_equal(symlink("real", HOSTS_PATH), 0);
	unavailable(ELOOP);
	assert_int_equal(unlink(HOSTS_PATH), 0);
	/* Nobody writes there: it must not wait. */
	assert_int_equal(mkfifo(HOSTS_PATH, 0644), 0);
	unavailable(EPERM);
	assert_int_equal(unlink(HOSTS_PATH), 0);
	assert_int_equal(mkdir(HOSTS_PATH, 0755), 0);
	unavailable(EPERM);
	assert_int_equal(rmdir(HOSTS_PATH), 0);
}

static void too_large_a_file(void **state)
{
	(void)state;
	file_says(two_nodes);
	assert_int_equal(truncate(HOSTS_PATH, HOSTS_FILE_MAX), 0);
	forward("node17", AF_INET, NSS_STATUS_SUCCESS);
	assert_int_equal(truncate(HOSTS_PATH, HOSTS_FILE_MAX + 1), 0);
	unavailable(EFBIG);
}

static void no_descriptor_left(void **state)
{
	struct rlimit before, none;

	(void)state;
	file_says(two_nodes);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	none = before;
	none.rlim_cur = 0;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	err = herr = 1234;
	assert_int_equal(
	        so.byname2("node17", AF_INET, &he, area, 1024, &err, &herr), NSS_STATUS_TRYAGAIN);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	assert_int_equal(err, EMFILE);
	assert_int_equal(herr, TRY_AGAIN);
}

/* What is no line of ours is passed over, and the lines around it count. */
static void broken_lines(void **state)
{
	static const char *const lines[] = {"", "#", " ", "\t", "node17", "10.77.0.17",
	        "10.77.0.17 ", "10.77.0.17 #node17", "10.77.0 node17", "10.77.0.256 node17",
	        "010.77.0.17 node17", "10.77.0.17x node17", "fd00::17::1 node17",
	        "fe80::1%lo node17", "10.77.0.17 node17 no/de", "10.77.0.17 n\303\266de17 node17",
	        "10.77.0.17 node17 \x01", "10.77.0.17 node17 a b c d e f g h",
	        "10.77.0.17 node17\r"};
	char text[256];

	(void)state;
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		snprintf(text, sizeof(text), "10.0.0.1 first\n%s\n10.0.0.2 last\n", lines[i]);
		file_says(text);
		not_known("node17");
		forward("first", AF_INET, NSS_STATUS_SUCCESS);
		forward("last", AF_INET, NSS_STATUS_SUCCESS);
	}
	file_put("10.0.0.1 first\n10.77.0.17\0x node17\n10.0.0.2 last\n", 49);
	not_known("node17");
	forward("last", AF_INET, NSS_STATUS_SUCCESS);
	/* Cut off: whose name this begins nobody knows. */
	file_says("10.0.0.1 first\n10.77.0.17 node17");
	not_known("node17");
	forward("first", AF_INET, NSS_STATUS_SUCCESS);
	file_says("  10.77.0.17\t \tnode17   node17.hpc \t# comment\n");
	forward("node17.hpc", AF_INET, NSS_STATUS_SUCCESS);
	is_node17(AF_INET, "10.77.0.17");
}

/* One line of `len` letters, before the one that is asked for. */
static void after_a_line_of(char *text, size_t len)
{
	size_t n = (size_t)sprintf(text, "10.0.0.1 ");

	memset(text + n, 'a', len);
	sprintf(text + n + len, "\n10.77.0.17 node17 node17.hpc\n");
	file_says(text);
	forward("node17", AF_INET, NSS_STATUS_SUCCESS);
	is_node17(AF_INET, "10.77.0.17");
	text[n + len] = 0;
	forward(text + n, AF_INET,
	        len <= HOSTS_WORD_MAX ? NSS_STATUS_SUCCESS : NSS_STATUS_NOTFOUND);
}

/* Around the limits of a name, of a line, and of what is read at once. */
static void long_lines(void **state)
{
	static const size_t around[] = {1, 255, 512, 4096, 8192, 12288};
	char *text = malloc(20000);

	(void)state;
	for (size_t i = 0; i < sizeof(around) / sizeof(around[0]); i++)
		for (size_t len = around[i] > 60 ? around[i] - 60 : 1; len < around[i] + 10; len++)
			after_a_line_of(text, len);
	free(text);
}

static void many_addresses(void **state)
{
	char text[4096];
	size_t at = 0, n = 0;

	(void)state;
	for (int i = 0; i < 40; i++)
		at += (size_t)sprintf(text + at, "10.1.0.%d many\n10.1.0.%d many\n", i, i);
	/* Its alias is another's name: their addresses do not mix. */
	sprintf(text + at, "10.2.0.1 other many\n");
	file_says(text);
	forward("many", AF_INET, NSS_STATUS_SUCCESS);
	while (he.h_addr_list[n])
		n++;
	assert_int_equal(n, HOSTS_ADDRS_MAX);
	assert_string_equal(addr_text(AF_INET, he.h_addr_list[n - 1]), "10.1.0.15");
	file_says("10.2.0.1 other many\n10.1.0.1 many\n");
	forward("many", AF_INET, NSS_STATUS_SUCCESS);
	assert_string_equal(he.h_name, "other");
	assert_null(he.h_addr_list[1]);
}

/* ---- the whole way: what overlayd writes of a large policy ------------------------------------- */

#define MANY 1000

static struct policy *policy_of_many(void)
{
	struct policy_report report;
	struct policy *policy = NULL;
	struct policy_file file = {.name = "policy.yaml"};
	char *text = NULL;
	FILE *out = open_memstream(&text, &file.len);

	fprintf(out, "cluster: hpc\nserial: 1\noverlay: 10.77.0.0/16\npeers:\n");
	for (unsigned int i = 0; i < MANY; i++) {
		struct policy_key key = {{[31] = 7}};
		char printed[96];

		memcpy(key.raw, &i, sizeof(i));
		policy_key_print(&key, printed, sizeof(printed));
		fprintf(out, "  n%u: { key: \"%s\", address: 10.77.%u.%u, roles: [x] }\n", i,
		        printed, 1 + i / 250, 1 + i % 250);
	}
	fclose(out);
	file.data = text;
	policy_report_init(&report);
	if (policy_parse(&file, 1, &policy, &report)) {
		policy_report_print(&report, stderr, false);
		fail();
	}
	policy_report_clear(&report);
	free(text);
	return policy;
}

static void what_overlayd_writes(void **state)
{
	struct policy *policy = policy_of_many();
	size_t len;
	char *text = hostsfile_text(policy, &len);

	(void)state;
	file_put(text, len);
	for (size_t i = 0; i < policy->n_peers; i += 7) {
		const struct policy_peer *peer = &policy->peers[i];

		forward(peer->name, AF_INET, NSS_STATUS_SUCCESS);
		assert_memory_equal(he.h_addr_list[0], peer->addr4.bytes, 4);
		assert_int_equal(so.byaddr(peer->addr6.bytes, 16, AF_INET6, &he, buffer_of(1024),
		                         1024, &err, &herr),
		        NSS_STATUS_SUCCESS);
		assert_string_equal(he.h_name, peer->name);
	}
	not_known("n1000");
	free(text);
	policy_unref(policy);
}

/* ---- threads, and what is seen from outside --------------------------------------------------- */

static void *asker(void *user)
{
	const int *own = user;
	char name[16], want[32], buffer[1024];
	struct hostent mine;
	int e, h;

	snprintf(name, sizeof(name), "n%d", *own);
	snprintf(want, sizeof(want), "10.77.1.%d", *own + 1);
	for (int i = 0; i < 300; i++) {
		char text[INET_ADDRSTRLEN];

		if (so.byname2(name, AF_INET, &mine, buffer, sizeof(buffer), &e, &h) !=
		        NSS_STATUS_SUCCESS)
			return (void *)"not found";
		inet_ntop(AF_INET, mine.h_addr_list[0], text, sizeof(text));
		if (strcmp(text, want) || strcmp(mine.h_name, name))
			return (void *)"another's";
		(void)so.next(&mine, buffer, sizeof(buffer), &e, &h);
		if (i % 50 == *own)
			so.end();
	}
	return NULL;
}

/* In small stacks, while the file is replaced. */
static void many_threads(void **state)
{
	struct policy *policy = policy_of_many();
	size_t len;
	char *text = hostsfile_text(policy, &len);
	pthread_t threads[8];
	pthread_attr_t attr;
	int own[8];

	(void)state;
	file_put(text, len);
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 65536);
	for (int i = 0; i < 8; i++) {
		own[i] = i;
		assert_int_equal(pthread_create(&threads[i], &attr, asker, &own[i]), 0);
	}
	for (int i = 0; i < 50; i++)
		file_put(text, len);
	for (int i = 0; i < 8; i++) {
		void *fault;

		pthread_join(threads[i], &fault);
		assert_null(fault);
	}
	so.end();
	pthread_attr_destroy(&attr);
	free(text);
	policy_unref(policy);
}

static void errno_is_the_callers(void **state)
{
	(void)state;
	file_says(two_nodes);
	errno = EXDEV;
	assert_int_equal(so.byname2("node17", AF_INET, &he, buffer_of(1024), 1024, &errno, &herr),
	        NSS_STATUS_SUCCESS);
	assert_int_equal(errno, EXDEV);
}

static void nothing_else_is_exported(void **state)
{
	char command[PATH_MAX + 128];
	char line[256];
	size_t n = 0;
	FILE *nm;

	(void)state;
	snprintf(command, sizeof(command), "nm -D --defined-only '%s'", so_path);
	nm = popen(command, "r");
	assert_non_null(nm);
	while (fgets(line, sizeof(line), nm)) {
		if (!strstr(line, " T _nss_overlay_"))
			fail_msg("%s", line);
		n++;
	}
	assert_int_equal(pclose(nm), 0);
	assert_int_equal(n, 9);
}

/* ---- begin ---------------------------------------------------------------------------------- */

static bool own_run(void)
{
	unsigned int uid = geteuid();
	char map[32];
	int fd;

	if (unshare(uid ? CLONE_NEWUSER | CLONE_NEWNS : CLONE_NEWNS))
		return false;
	if (uid) {
		snprintf(map, sizeof(map), "0 %u 1", uid);
		fd = open("/proc/self/uid_map", O_WRONLY | O_CLOEXEC);
		if (fd < 0 || write(fd, map, strlen(map)) < 0)
			return false;
		close(fd);
	}
	return mount("", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
	       mount("tmpfs", "/run", "tmpfs", 0, "mode=0755") == 0 &&
	       mkdir("/run/overlayd", 0755) == 0;
}

static void *symbol(const char *name)
{
	void *at = dlsym(so.handle, name);

	if (!at) {
		printf("Bail out! %s: %s\n", so_path, dlerror());
		exit(1);
	}
	return at;
}

/* It lies beside the programs: BUILD/tests/unit/this. */
static void so_open(void)
{
	char self[PATH_MAX - 64] = "";

	if (readlink("/proc/self/exe", self, sizeof(self) - 1) < 0)
		exit(1);
	snprintf(so_path, sizeof(so_path), "%s/libnss_overlay.so.2",
	        dirname(dirname(dirname(self))));
	so.handle = dlopen(so_path, RTLD_NOW | RTLD_LOCAL);
	if (!so.handle) {
		printf("Bail out! %s\n", dlerror());
		exit(1);
	}
	so.byname = symbol("_nss_overlay_gethostbyname_r");
	so.byname2 = symbol("_nss_overlay_gethostbyname2_r");
	so.byname3 = symbol("_nss_overlay_gethostbyname3_r");
	so.byname4 = symbol("_nss_overlay_gethostbyname4_r");
	so.byaddr = symbol("_nss_overlay_gethostbyaddr_r");
	so.byaddr2 = symbol("_nss_overlay_gethostbyaddr2_r");
	so.set = symbol("_nss_overlay_sethostent");
	so.next = symbol("_nss_overlay_gethostent_r");
	so.end = symbol("_nss_overlay_endhostent");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(names_forward),
	        cmocka_unit_test(ttl_and_canonical_name),
	        cmocka_unit_test(other_names_are_not_known),
	        cmocka_unit_test(no_address_of_that_family),
	        cmocka_unit_test(both_families),
	        cmocka_unit_test(names_reverse),
	        cmocka_unit_test(all_of_them),
	        cmocka_unit_test(every_size),
	        cmocka_unit_test(every_beginning),
	        cmocka_unit_test(only_roots_own_word),
	        cmocka_unit_test(too_large_a_file),
	        cmocka_unit_test(no_descriptor_left),
	        cmocka_unit_test(broken_lines),
	        cmocka_unit_test(long_lines),
	        cmocka_unit_test(many_addresses),
	        cmocka_unit_test(what_overlayd_writes),
	        cmocka_unit_test(many_threads),
	        cmocka_unit_test(errno_is_the_callers),
	        cmocka_unit_test(nothing_else_is_exported),
	};

	if (!own_run()) {
		puts("1..0 # SKIP needs root, or namespaces of users (a /run of its own)");
		return 0;
	}
	if (area_make())
		return 1;
	so_open();
	return cmocka_run_group_tests(tests, NULL, NULL);
}

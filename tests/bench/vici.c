/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * 1,000 connections into a real charon: through vici-client with overlayd's own code, by the barest
 * blocking loop with the same bytes, and by swanctl from files. And one connection more or less
 * beside 10, 1,000 and 10,000: charon's own part of an admission.
 *
 *	vici files DIR N		swanctl.conf and the public keys
 *	vici load SOCKET N [COMMAND]	the three sides in turn; COMMAND is swanctl's
 *	vici one SOCKET			one more, one less
 *
 * Between rounds everything is unloaded and charon's credentials are cleared: it searches them all
 * whenever a connection is loaded.
 */
#include "tests/bench/bare.h"

#include <limits.h>
#include <sys/stat.h>

#define PART "vici"
#define ROUNDS 6
#define NODES_MAX 10001

static struct node nodes[NODES_MAX];

static void nodes_make(unsigned int n)
{
	for (unsigned int i = 0; i <= n; i++)
		node_make(i, &nodes[i]);
}

/* ---- the three sides: seconds for n connections ---- */

struct progress {
	unsigned int done;
	int error;
};

static void on_done(void *user, const struct vici_result *r)
{
	struct progress *p = user;

	p->done++;
	if (r->error)
		p->error = r->error;
}

static double load_client(const char *path, unsigned int n)
{
	struct vici_config cfg = {.path = path, .max_requests = 65536, .max_bytes = 64 << 20};
	struct progress p = {0};
	struct vici *v;
	uint64_t t0 = now_ns(), t1;

	if (vici_open(&v, &cfg))
		die("cannot connect to %s", path);
	for (unsigned int i = 1; i <= n; i++) {
		struct engine_conn conn;
		struct charon_load load = {.conn = &conn, .n_peers = n};

		node_connection(&nodes[0], &nodes[i], &conn);
		if (charon_load_conn(v, &load, on_done, &p, now_ns() / 1000))
			die("cannot queue connection %u", i);
	}
	while (p.done < n && !p.error) {
		struct pollfd fd = {.fd = vici_fd(v), .events = vici_events(v)};

		if (poll(&fd, 1, 10000) <= 0 || vici_process(v, fd.revents, now_ns() / 1000))
			break;
	}
	t1 = now_ns();
	if (p.done < n || p.error)
		die("vici-client: %u of %u loaded: %s", p.done, n, vici_error_text(v));
	vici_free(v);
	return (double)(t1 - t0) / 1e9;
}

static double load_bare(const char *path, const struct packet *packets, unsigned int n)
{
	uint64_t t0 = now_ns(), t1;
	int fd = bare_connect(path);

	for (unsigned int i = 1; i <= n; i++)
		bare_call(fd, &packets[i]);
	t1 = now_ns();
	close(fd);
	return (double)(t1 - t0) / 1e9;
}

static double load_command(const char *command)
{
	uint64_t t0 = now_ns();

	shell("%s >/dev/null", command);
	return (double)(now_ns() - t0) / 1e9;
}

/* In swanctl's files a name has no dots: they would be sections. */
static void unload_all(const char *path, unsigned int n, bool swanctl)
{
	int fd = bare_connect(path);

	for (unsigned int i = 1; i <= n; i++)
		bare_command(fd, "unload-conn",
		        (const char *const[]){
		                "name", swanctl ? nodes[i].name : nodes[i].conn, NULL});
	bare_command(fd, "clear-creds", NULL);
	close(fd);
}

static int load(const char *path, unsigned int n, const char *command)
{
	static struct packet packets[NODES_MAX];
	static struct samples client, bare, swanctl;
	char method[160];
	struct samples ratio = {.n = 0};

	nodes_make(n);
	for (unsigned int i = 1; i <= n; i++)
		packets[i] = bare_capture(&nodes[0], &nodes[i], false, n);
	for (unsigned int r = 0; r < ROUNDS; r++)
		for (unsigned int side = 0; side < 3; side++) {
			unsigned int which = (r + side) % 3;

			if (which == 0)
				sample(&client, load_client(path, n));
			else if (which == 1)
				sample(&bare, load_bare(path, packets, n));
			else if (command)
				sample(&swanctl, load_command(command));
			else
				continue;
			unload_all(path, n, which == 2);
		}
	for (unsigned int r = 0; r < ROUNDS; r++)
		sample(&ratio, client.v[r] / bare.v[r]);
	snprintf(method, sizeof(method),
	        "%d rounds, the three in turn, charon emptied between; minima of times", ROUNDS);
	title(PART, "vici: 1,000 connections into charon", method);
	row(PART, "vici-client (overlayd's code, encoding included)", minimum(&client) * 1e3, "ms",
	        NULL, 0);
	row(PART, "barest blocking loop, the same bytes made before", minimum(&bare) * 1e3, "ms",
	        NULL, 0);
	row(PART, "vici-client : barest loop", minimum(&client) / minimum(&bare), "x", "<=", 1.05);
	row(PART, "the same, median of the rounds' ratios", median(&ratio), "x", NULL, 0);
	if (command) {
		row(PART, "swanctl --load-conns", minimum(&swanctl) * 1e3, "ms", NULL, 0);
		row(PART, "vici-client : swanctl", minimum(&client) / minimum(&swanctl), "x",
		        "<=", 1);
	} else {
		skipped(PART, "swanctl --load-conns", "swanctl is not installed");
	}
	return 0;
}

/* ---- one more, one less ---- */

static void one_beside(const char *path, unsigned int n, const char *label)
{
	static struct samples more, less;
	struct packet p = bare_capture(&nodes[0], &nodes[NODES_MAX - 1], false, n);
	int fd = bare_connect(path);
	char what[96];

	more.n = less.n = 0;
	for (int r = 0; r < 15; r++) {
		uint64_t t0 = now_ns(), t1;

		bare_call(fd, &p);
		t1 = now_ns();
		bare_command(fd, "unload-conn",
		        (const char *const[]){"name", nodes[NODES_MAX - 1].conn, NULL});
		sample(&more, (double)(t1 - t0) / 1e3);
		sample(&less, (double)(now_ns() - t1) / 1e3);
	}
	close(fd);
	free(p.data);
	snprintf(what, sizeof(what), "charon loads one connection beside %s", label);
	row(PART "1", what, median(&more), "us", NULL, 0);
	snprintf(what, sizeof(what), "charon unloads one beside %s", label);
	row(PART "1", what, median(&less), "us", NULL, 0);
}

static int one(const char *path)
{
	static const unsigned int sizes[] = {10, 1000, NODES_MAX - 2};
	static const char *const labels[] = {"10", "1,000", "10,000"};
	unsigned int loaded = 0;
	int fd = bare_connect(path);

	nodes_make(NODES_MAX - 1);
	title(PART "1", "charon's own part of admitting and revoking one peer",
	        "15 rounds, medians; for comparison with the firewall's part, no target");
	for (unsigned int s = 0; s < 3; s++) {
		while (loaded < sizes[s]) {
			struct packet p;

			loaded++;
			p = bare_capture(&nodes[0], &nodes[loaded], false, 10000);
			bare_call(fd, &p);
			free(p.data);
		}
		one_beside(path, sizes[s], labels[s]);
	}
	close(fd);
	return 0;
}

/* ---- what swanctl reads ---- */

static void key_write(const char *dir, const struct node *n)
{
	EVP_PKEY *pkey =
	        EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, n->key.raw, sizeof(n->key.raw));
	char path[PATH_MAX];
	FILE *f;

	snprintf(path, sizeof(path), "%s/pubkey/%s.pem", dir, n->name);
	f = fopen(path, "w");
	if (!f || !pkey || !PEM_write_PUBKEY(f, pkey) || fclose(f))
		die("cannot write %s", path);
	EVP_PKEY_free(pkey);
}

static void conn_write(FILE *f, const struct node *hub, const struct node *n, unsigned int peers)
{
	char in4[INET6_ADDRSTRLEN], in6[INET6_ADDRSTRLEN], to4[INET6_ADDRSTRLEN],
	        to6[INET6_ADDRSTRLEN];

	policy_addr_print(&hub->addr4, in4, sizeof(in4));
	policy_addr_print(&hub->addr6, in6, sizeof(in6));
	policy_addr_print(&n->addr4, to4, sizeof(to4));
	policy_addr_print(&n->addr6, to6, sizeof(to6));
	fprintf(f,
	        "  %s {\n    version = 2\n    remote_addrs = 0.0.0.0/0, ::/0\n"
	        "    local_port = 4500\n    remote_port = 4500\n"
	        "    proposals = aes256gcm16-prfsha256-x25519\n    encap = yes\n    mobike = no\n"
	        "    send_certreq = no\n    send_cert = never\n    dpd_delay = %us\n"
	        "    rekey_time = 4h\n    keyingtries = 1\n    unique = never\n"
	        "    local {\n      auth = pubkey\n      id = \"@%s\"\n      pubkeys = hub.pem\n   "
	        " }\n"
	        "    remote {\n      auth = pubkey\n      id = \"@%s\"\n      pubkeys = %s.pem\n   "
	        " }\n"
	        "    children {\n      ovl {\n        local_ts = %s/32, %s/128\n"
	        "        remote_ts = %s/32, %s/128\n        esp_proposals = aes256gcm16-x25519\n"
	        "        mode = tunnel\n        rekey_time = 1h\n      }\n    }\n  }\n",
	        n->name, 3 + peers / 100, hub->id, n->id, n->name, in4, in6, to4, to6);
}

static int files(const char *dir, unsigned int n)
{
	char path[PATH_MAX];
	FILE *f;

	snprintf(path, sizeof(path), "%s/pubkey", dir);
	if ((mkdir(dir, 0755) < 0 && errno != EEXIST) || (mkdir(path, 0755) < 0 && errno != EEXIST))
		die("%s: %s", path, strerror(errno));
	snprintf(path, sizeof(path), "%s/swanctl.conf", dir);
	f = fopen(path, "w");
	if (!f)
		die("%s: %s", path, strerror(errno));
	nodes_make(n);
	fputs("connections {\n", f);
	for (unsigned int i = 0; i <= n; i++) {
		key_write(dir, &nodes[i]);
		if (i)
			conn_write(f, &nodes[0], &nodes[i], n);
	}
	fputs("}\n", f);
	return fclose(f) ? 1 : 0;
}

int main(int argc, char **argv)
{
	unsigned int n = argc > 3 ? (unsigned int)strtoul(argv[3], NULL, 10) : 0;

	if (argc > 3 && (!n || n > NODES_MAX - 1))
		die("1 to %d connections", NODES_MAX - 1);
	if (argc == 4 && !strcmp(argv[1], "files"))
		return files(argv[2], n);
	if ((argc == 4 || argc == 5) && !strcmp(argv[1], "load"))
		return load(argv[2], n, argv[4]);
	if (argc == 3 && !strcmp(argv[1], "one"))
		return one(argv[2]);
	die("usage: vici files DIR N | load SOCKET N [COMMAND] | one SOCKET");
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* `overlayd --guard` and `overlayd --flush`: done and gone, no loop, no engine. */
#include "host/world.h"

#include "client/nodekey.h"
#include "client/paths.h"
#include "firewall/firewall.h"
#include "host/charon.h"
#include "host/fwadapt.h"
#include "host/hostsfile.h"
#include "host/policyload.h"
#include "host/routes.h"
#include "vici-client/vici.h"

#include <errno.h>
#include <limits.h>
#include <openssl/evp.h>
#include <openssl/sha.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* ---- guard
 * --------------------------------------------------------------------------------------- */

/* Where peers are in clear, names excepted: there is no network yet to ask for them. */
static int endpoints_add(
        struct fw_ruleset *rs, const struct policy *policy, const struct policy_key *own_key)
{
	int err = 0;

	for (size_t i = 0; i < policy->n_peers; i++) {
		const struct policy_peer *peer = &policy->peers[i];

		if (policy_key_compare(&peer->key, own_key) == 0)
			continue;
		for (size_t k = 0; k < peer->n_endpoints && !err; k++) {
			struct fw_addr addr;

			if (!peer->endpoints[k].addr.family)
				continue;
			fwrules_addr(&peer->endpoints[k].addr, &addr);
			err = fw_ruleset_add_endpoint(rs, &addr);
		}
	}
	return err;
}

static int guard_commit(
        const struct policy *policy, const struct policy_key *own_key, char *err, size_t err_size)
{
	struct engine_fw_base base = {.policy = policy};
	struct fwrules_world rules = {0};
	struct fw_ruleset *rs = NULL;
	struct fw_ruleset *guard = NULL;
	struct fw_error fe = {""};
	struct fw *fw = NULL;
	int ret;

	ret = fwrules_make(&base, &rules, &rs, err, err_size);
	if (!ret)
		ret = endpoints_add(rs, policy, own_key);
	if (!ret)
		ret = fw_guard_ruleset(rs, &guard);
	if (!ret)
		ret = fw_open(&fw, &fe);
	if (!ret && fwadapt_table_is_there(fw))
		log_notice("table inet " FW_TABLE " is there already: left as it is");
	else if (!ret)
		ret = fw_commit(fw, guard, NULL, &fe);
	fw_close(fw);
	fw_ruleset_free(guard);
	fw_ruleset_free(rs);
	if (fe.text[0])
		snprintf(err, err_size, "%s", fe.text);
	return ret;
}

int world_guard(const struct world_options *options, char *err, size_t err_size)
{
	struct policy_key own_key = {{0}};
	char path[PATH_MAX], why[256];
	struct policy *policy;
	char *report = NULL;
	bool last_good;
	int ret;

	ret = policyload_read(
	        options->config_dir, options->state_dir, &policy, &last_good, &report);
	free(report);
	if (ret) {
		snprintf(err, err_size,
		        "there is no valid policy in %s and none was kept: this host is NOT "
		        "guarded; mend the files and start overlayd",
		        options->config_dir);
		return ret;
	}
	/* Before the first start there is none: then no peer is us. */
	snprintf(path, sizeof(path), "%s/" OVERLAY_NODE_KEY, options->state_dir);
	(void)nodekey_load(path, own_key.raw, why, sizeof(why));
	ret = guard_commit(policy, &own_key, err, err_size);
	policy_unref(policy);
	return ret;
}

/* ---- flush: charon
 * --------------------------------------------------------------------------------- */

struct flush {
	const struct world_options *options;
	struct vici *v;
	int error;
	/* what was taken away */
	unsigned int conns, sas, things;
	bool key, table;
};

static bool is_ours(const char *name)
{
	return strncmp(name, ENGINE_CONN_PREFIX, strlen(ENGINE_CONN_PREFIX)) == 0;
}

static void on_conns(void *user, const struct vici_result *r, const char *const *names, size_t n)
{
	struct flush *flush = user;

	if (r->error)
		flush->error = r->error;
	for (size_t i = 0; i < n; i++)
		if (is_ours(names[i]) && vici_unload_conn(flush->v, names[i], NULL, NULL, 0,
		                                 (uint64_t)world_now_us()) == 0)
			flush->conns++;
}

static void on_sa(void *user, const struct vici_ike_sa *sa)
{
	struct vici_select which = {.ike_id = VICI_NUM(sa->uniqueid)};
	struct flush *flush = user;

	if (is_ours(sa->name) && vici_terminate(flush->v, &which, true, (struct vici_num){0}, NULL,
	                                 NULL, 0, (uint64_t)world_now_us()) == 0)
		flush->sas++;
}

/* What joining has there beside them, now that its SAs are ended; that it has not is the rule. */
static void on_sas(void *user, const struct vici_result *r)
{
	uint64_t now = (uint64_t)world_now_us();
	struct flush *flush = user;

	if (r->error)
		flush->error = r->error;
	(void)vici_unload_shared(flush->v, JOIN_POOL, NULL, NULL, 0, now);
	(void)vici_unload_shared(flush->v, JOIN_ASK_SECRET, NULL, NULL, 0, now);
	(void)vici_unload_pool(flush->v, JOIN_POOL, NULL, NULL, 0, now);
}

/* As charon names a key: SHA-1 of the public key's bits (RFC 5280, 4.2.1.2), in hex. */
static bool own_key_id(const char *state_dir, const char *name, char id[2 * SHA_DIGEST_LENGTH + 1])
{
	unsigned char digest[SHA_DIGEST_LENGTH];
	char path[PATH_MAX], why[256];
	uint8_t public_key[32];
	char *pem = NULL;

	snprintf(path, sizeof(path), "%s/%s", state_dir, name);
	if (nodekey_load_pem(path, &pem, public_key, why, sizeof(why)))
		return false;
	nodekey_pem_free(pem);
	if (!EVP_Digest(public_key, sizeof(public_key), digest, NULL, EVP_sha1(), NULL))
		return false;
	for (size_t i = 0; i < sizeof(digest); i++)
		snprintf(id + 2 * i, 3, "%02x", digest[i]);
	return true;
}

static void on_unloaded(void *user, const struct vici_result *r)
{
	struct flush *flush = user;

	flush->key = r->error == 0;
	if (r->error)
		flush->error = r->error;
}

static void on_keys(void *user, const struct vici_result *r, const char *const *names, size_t n)
{
	static const char *const own[] = {OVERLAY_NODE_KEY, OVERLAY_NODE_KEY_NEXT};
	char id[2 * SHA_DIGEST_LENGTH + 1];
	struct flush *flush = user;

	/* An older charon does not list its keys. While the node changes its key it has two. */
	for (size_t k = 0; k < 2 && !r->error; k++) {
		if (!own_key_id(flush->options->state_dir, own[k], id))
			continue;
		for (size_t i = 0; i < n; i++)
			if (strcasecmp(names[i], id) == 0)
				(void)vici_unload_key(flush->v, names[i], on_unloaded, flush, 0,
				        (uint64_t)world_now_us());
	}
}

static int vici_drain(struct vici *v)
{
	while (vici_pending(v)) {
		struct pollfd pfd = {.fd = vici_fd(v), .events = vici_events(v)};
		int err;

		if (poll(&pfd, 1, 1000) < 0 && errno != EINTR)
			return -errno;
		err = vici_process(v, pfd.revents, (uint64_t)world_now_us());
		if (err)
			return err;
	}
	return 0;
}

static int flush_charon(struct flush *flush, char *err, size_t err_size)
{
	const char *path = flush->options->vici_path;
	struct vici_config cfg = {.path = path};
	int ret = vici_open(&flush->v, &cfg);

	if (ret == -ENOENT || ret == -ECONNREFUSED)
		return 0; /* no charon, no SAs */
	if (!ret) {
		uint64_t now = (uint64_t)world_now_us();

		ret = vici_get_conns(flush->v, on_conns, flush, 0, now);
		if (!ret)
			ret = vici_list_sas(flush->v, NULL, on_sa, on_sas, flush, 0, now);
		if (!ret)
			ret = vici_get_keys(flush->v, on_keys, flush, 0, now);
		if (!ret)
			ret = vici_drain(flush->v);
		vici_free(flush->v);
	}
	if (!ret)
		ret = flush->error;
	if (ret)
		snprintf(err, err_size,
		        "charon at %s did not end all tunnels: %s; so addresses, routes and the "
		        "table stay: restart or stop charon and flush again",
		        path, strerror(-ret));
	return ret;
}

/* ---- flush: kernel
 * ------------------------------------------------------------------------------------ */

static int flush_routes(struct flush *flush, char *err, size_t err_size)
{
	struct routes_changes changes = {0};
	struct rtnl *rt = NULL;
	int ret = rtnl_open(&rt, ROUTES_TABLE);

	if (ret) {
		snprintf(err, err_size, "cannot open rtnetlink: %s", strerror(-ret));
		return ret;
	}
	ret = routes_flush(rt, &changes, err, err_size);
	flush->things = changes.all;
	if (!ret)
		ret = plane_xfrm.remove(rt);
	rtnl_close(rt);
	return ret;
}

static int flush_table(struct flush *flush, char *err, size_t err_size)
{
	struct fw_error fe = {""};
	struct fw *fw = NULL;
	int ret = fw_open(&fw, &fe);

	if (!ret) {
		bool there = fwadapt_table_is_there(fw);

		ret = fw_remove(fw, &fe);
		flush->table = there && !ret;
	}
	fw_close(fw);
	if (ret)
		snprintf(err, err_size, "%s", fe.text);
	return ret;
}

static int flush_kernel(struct flush *flush, char *err, size_t err_size)
{
	int ret = flush_routes(flush, err, err_size);

	return ret ? ret : flush_table(flush, err, err_size);
}

static bool daemon_runs(const char *run_dir)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	bool runs = false;
	int fd;

	if (snprintf(sa.sun_path, sizeof(sa.sun_path), "%s/" OVERLAY_ADMIN_SOCKET, run_dir) >=
	        (int)sizeof(sa.sun_path))
		return false;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd >= 0) {
		runs = connect(fd, (const struct sockaddr *)&sa, sizeof(sa)) == 0;
		close(fd);
	}
	return runs;
}

int world_flush(const struct world_options *options, char *err, size_t err_size)
{
	struct flush flush = {.options = options};
	int ret;

	if (daemon_runs(options->run_dir)) {
		snprintf(err, err_size,
		        "overlayd is running and would make it all again: stop it first (systemctl "
		        "stop "
		        "overlayd)");
		return -EBUSY;
	}
	/* Tunnels first: while they stand, so does the firewall. */
	ret = flush_charon(&flush, err, err_size);
	if (!ret)
		ret = flush_kernel(&flush, err, err_size);
	if (!ret)
		hostsfile_remove(options->run_dir);
	log_notice("taken away: %u tunnels, %u connections%s, %u addresses, rules and routes%s",
	        flush.sas, flush.conns, flush.key ? ", our key in charon's memory" : "",
	        flush.things, flush.table ? ", the table inet " FW_TABLE : "");
	return ret;
}

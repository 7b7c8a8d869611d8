/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What only the daemon can see, checked; each finding says how to mend it. charon is asked for
 * foreign connections that pin no key, so the answer comes later.
 */
#include "host/ops.h"

#include "host/charon.h"
#include "client/paths.h"
#include "host/dataplane.h"
#include "host/hostsfile.h"
#include "host/nsswitch.h"
#include "host/pathmtu.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct doctor {
	struct world *world;
	struct control_call *call;
	json_t *checks;
};

__attribute__((format(printf, 5, 6))) static void check_add(
        json_t *checks, const char *name, const char *level, const char *mend, const char *fmt, ...)
{
	char text[768];
	va_list args;

	va_start(args, fmt);
	if (vsnprintf(text, sizeof(text), fmt, args) < 0)
		text[0] = 0;
	va_end(args);
	text_sanitise(text);
	json_array_append_new(checks, json_pack("{s:s, s:s, s:s, s:s}", "name", name, "level",
	                                      level, "text", text, "mend", mend));
}

static void check_mtu(json_t *checks, const struct dataplane_view *plane)
{
	uint32_t over = pathmtu_overhead(plane->path_to.family);
	char addr[INET6_ADDRSTRLEN];

	if (!plane->device || !plane->path)
		return;
	policy_addr_print(&plane->path_to, addr, sizeof(addr));
	if (plane->path < PATHMTU_LEAST + over)
		check_add(checks, "path MTU", "bad",
		        "widen that path, or let fragments of UDP through its firewalls",
		        "the path to %s carries %u bytes; less than %u do not hold a packet of "
		        "%u bytes, the least for IPv6: large packets are sent in fragments",
		        addr, plane->path, PATHMTU_LEAST + over, PATHMTU_LEAST);
	else
		check_add(checks, "path MTU", "ok", "",
		        "%u; the narrowest path in use, to %s, carries %u bytes", plane->mtu, addr,
		        plane->path);
}

static void check_plane(json_t *checks, const struct world *world)
{
	struct dataplane_view plane;

	dataplane_look(world->dataplane, &plane);
	if (!plane.plane)
		check_add(checks, "data plane", "bad", "see the sentence", "none: %s", plane.why);
	else if (plane.trouble[0])
		check_add(checks, "data plane", "bad", "see the sentence", "%s: %s",
		        plane.plane->name, plane.trouble);
	else
		check_add(checks, "data plane", "ok", "", "%s, device %s, MTU %u: %s",
		        plane.plane->name, plane.device ? plane.device : "not there", plane.mtu,
		        plane.why);
	check_mtu(checks, &plane);
}

static void check_algorithms(json_t *checks, const struct charon_facts *charon)
{
	if (!charon->x25519 || !charon->aes_gcm)
		check_add(checks, "algorithms", "bad",
		        "load charon's openssl plugin (libstrongswan-standard-plugins), or gcm and "
		        "curve25519",
		        "charon lacks%s%s", charon->x25519 ? "" : " X25519",
		        charon->aes_gcm ? "" : " AES-GCM");
	else
		check_add(checks, "algorithms", "ok", "", "AES-GCM and X25519%s",
		        charon->mlkem768 ? ", hybrid with ML-KEM-768"
		                         : "; this charon offers no ML-KEM (needs strongSwan 6)");
}

static void check_charon(json_t *checks, const struct world *world)
{
	const struct charon_facts *charon = charon_facts(world->charon);

	if (!charon->connected) {
		check_add(checks, "charon", "bad", "start charon with the vici plugin", "%s",
		        charon->why);
		return;
	}
	check_add(checks, "charon", "ok", "", "strongSwan %s at %s, %llu IKE_SAs, %llu half-open",
	        charon->version, world->options.vici_path, (unsigned long long)charon->ike_sas,
	        (unsigned long long)charon->half_open);
	check_algorithms(checks, charon);
	if (!strstr(charon->plugins, "pubkey "))
		check_add(checks, "raw keys", "bad", "set charon.plugins.pubkey.load = yes",
		        "charon's pubkey plugin is not loaded: raw public keys do not work");
}

static void check_bundle(json_t *checks, const struct world *world)
{
	struct engine_bundle_view bundle;

	engine_bundle_look(world->engine, &bundle);
	if (!bundle.key || world->cluster_error)
		return;
	if (!bundle.head.serial)
		check_add(checks, "bundle", "warn", "overlayctl sign --load, where the key is",
		        "there is a cluster key, but no signed bundle yet: the files of each node "
		        "count by themselves");
	else if (bundle.fork)
		check_add(checks, "bundle", "bad",
		        "overlayctl sign --alone --load, with the policy that is wanted",
		        "FORK: two different bundles of serial %llu were signed",
		        (unsigned long long)bundle.head.serial);
	else if (!bundle.stored)
		check_add(checks, "bundle", "bad", "make room", "serial %llu is not kept: %s",
		        (unsigned long long)bundle.head.serial, bundle.store_text);
	else if (bundle.n_members > 1 && !bundle.n_sessions)
		check_add(checks, "bundle", "warn",
		        "overlayctl members; give two or three peers the role seed",
		        "serial %llu is in force, but there is no session with any member: nobody "
		        "passes a newer one on",
		        (unsigned long long)bundle.head.serial);
	else
		check_add(checks, "bundle", "ok", "",
		        "serial %llu is in force and kept, applied by %zu of %zu members",
		        (unsigned long long)bundle.head.serial, bundle.n_applied, bundle.n_members);
}

static void check_policy(json_t *checks, const struct world *world, const struct engine_view *view)
{
	if (world->cluster_error)
		check_add(checks, "policy", "bad", "", "%s%s", world->cluster_error,
		        view->policy ? "" : "; no policy is in force");
	else if (!view->policy)
		check_add(checks, "policy", "bad",
		        "mend the files; `overlayctl check` shows each fault",
		        "no policy is in force");
	else if (world->policy_error)
		check_add(checks, "policy", "bad",
		        "mend the files; `overlayctl check` shows each fault",
		        "the files in %s are broken; serial %llu stays in force%s",
		        world->options.config_dir, (unsigned long long)view->policy->serial,
		        world->policy_last_good ? " (the kept copy)" : "");
	else
		check_add(checks, "policy", "ok", "", "cluster %s, serial %llu is in force",
		        view->policy->cluster, (unsigned long long)view->policy->serial);
	if (view->policy && !view->self)
		check_add(checks, "membership", "bad",
		        "give the line that `overlayctl id` prints to the admin for peers.d/",
		        "the policy does not know this node's key");
}

static void check_firewall(json_t *checks, const struct engine_view *view)
{
	if (view->firewall == ENGINE_FWS_READY)
		check_add(checks, "firewall", "ok", "",
		        "table inet overlayd is in force, %zu of %zu "
		        "peers admitted",
		        view->n_admitted, view->n_desired);
	else
		check_add(checks, "firewall", "bad", "see the log (journalctl -u overlayd)",
		        "table inet overlayd is not as it should be%s%s",
		        view->firewall_text[0] ? ": " : "", view->firewall_text);
}

/* Somebody (charon, we hope) has the cluster's UDP port open. Source: proc(5). */
static bool port_is_open(const char *file, uint16_t port)
{
	char line[256];
	bool open = false;
	FILE *in = fopen(file, "re");

	while (in && !open && fgets(line, sizeof(line), in)) {
		const char *colon = strchr(line, ':');
		unsigned int local;

		/* "  sl  local_address": number, colon, address, colon, port in hex */
		colon = colon ? strchr(colon + 1, ':') : NULL;
		open = colon && sscanf(colon + 1, "%4x", &local) == 1 && local == port;
	}
	if (in)
		fclose(in);
	return open;
}

static void check_port(json_t *checks, const struct engine_view *view)
{
	uint16_t port = view->policy ? view->policy->port : 4500;

	if (port_is_open("/proc/net/udp", port) || port_is_open("/proc/net/udp6", port))
		check_add(checks, "UDP port", "ok", "", "UDP %u is open here", port);
	else
		check_add(checks, "UDP port", "bad",
		        "set charon.port_nat_t to the policy's port and restart charon",
		        "nothing listens on UDP %u, the cluster's port", port);
}

static void check_peers(json_t *checks, const struct world *world, const struct engine_view *view)
{
	for (size_t i = 0; i < view->n_peers; i++) {
		struct engine_peer_view peer;

		if (engine_peer_at(world->engine, i, &peer) == 0 && peer.degraded)
			check_add(checks, "peer", "warn", "", "%s: %s", peer.name, peer.reason);
	}
}

static void check_mesh(json_t *checks, const struct engine_view *view)
{
	if (view->n_no_traps)
		check_add(checks, "mesh", "warn",
		        "use kernel ESP, or write mesh: full in the policy",
		        "the policy wants %zu tunnels on demand, which this data plane cannot "
		        "make: they are kept up instead",
		        view->n_no_traps);
	else if (view->n_on_demand)
		check_add(checks, "mesh", "ok", "", "%zu of %zu tunnels come and go with traffic",
		        view->n_on_demand, view->n_desired);
}

static void check_clock(json_t *checks, struct world *world)
{
	int64_t behind = state_clock_now(&world->clock) - (int64_t)time(NULL);

	if (behind > 120)
		check_add(checks, "clock", "warn",
		        "set the clock (chronyc makestep); if it is right now and was wrong "
		        "before: stop overlayd, remove clock in its state directory, start it",
		        "the system's clock is %lld s behind a time this node has seen before; "
		        "`until` is judged by the later one",
		        (long long)behind);
	else
		check_add(checks, "clock", "ok", "", "not behind any time seen before");
}

/* With the kernel's default, an address on lo is answered for on every link: ip-sysctl. */
static void check_arp(json_t *checks, const struct engine_view *view)
{
	char text[8] = "";
	FILE *in = fopen("/proc/sys/net/ipv4/conf/all/arp_ignore", "re");

	if (in && !fgets(text, sizeof(text), in))
		text[0] = 0;
	if (in)
		fclose(in);
	if (text[0] == '0' && view->self && view->self->addr4.family)
		check_add(checks, "ARP", "warn", "sysctl net.ipv4.conf.all.arp_ignore=1",
		        "neighbours on the underlay can find out this node's overlay address by "
		        "asking for it; they cannot reach it");
	else if (text[0])
		check_add(checks, "ARP", "ok", "",
		        "this node does not answer for its overlay "
		        "address on the underlay");
}

static void check_names(json_t *checks, const struct world *world)
{
	const char *dir = world->options.run_dir;

	if (hostsfile_failed(world->hostsfile))
		check_add(checks, "names", "bad", "see the log (journalctl -u overlayd)",
		        "%s/" OVERLAY_HOSTS_FILE " cannot be written: names of the peers are not "
		        "those of the policy in force",
		        dir);
	else
		/* Not all want it. */
		check_add(checks, "names", "ok", "", "%s/" OVERLAY_HOSTS_FILE " is current; %s",
		        dir,
		        nsswitch_asks("overlay")
		                ? "programs know the peers by name (libnss_overlay)"
		                : "programs are not told: \"overlay\" is not in the hosts line of "
		                  "/etc/nsswitch.conf (package libnss-overlay)");
}

static json_t *doctor_json(json_t *checks)
{
	return json_pack("{s:o}", "checks", checks);
}

/* Kernel ESP knows our SAs by their if_id; of libipsec all come out of the one device. */
static void foreign_tell(
        json_t *checks, const struct charon_foreign_row *row, const struct dataplane_view *plane)
{
	if (row->covers && plane->plane && !plane->plane->secpath)
		check_add(checks, "foreign connections", "bad",
		        "narrow its remote_ts, or use kernel ESP (charon without kernel-libipsec)",
		        "connection %s lets its peer ask for addresses of the overlay: by "
		        "kernel-libipsec it could speak as any node",
		        row->name);
	if (row->unpinned)
		check_add(checks, "foreign connections", "warn",
		        "pin the peer's key (remote.pubkeys) or a CA (remote.cacerts)",
		        "connection %s pins no key: any key that charon trusts, an overlay peer's "
		        "too, is accepted there",
		        row->name);
}

static void on_foreign(void *user, int error, const struct charon_foreign_row *rows, size_t n)
{
	struct doctor *doctor = user;
	json_t *checks = doctor->checks;
	struct dataplane_view plane;
	size_t before;
	json_t *result;

	dataplane_look(doctor->world->dataplane, &plane);
	before = json_array_size(checks);
	if (error)
		check_add(checks, "foreign connections", "warn", "", "charon did not list them: %s",
		        strerror(-error));
	for (size_t i = 0; i < n; i++)
		foreign_tell(checks, &rows[i], &plane);
	if (json_array_size(checks) == before)
		check_add(checks, "foreign connections", "ok", "",
		        "none of charon's other connections can let anybody into the overlay");
	result = doctor_json(checks);
	if (result)
		control_call_reply(doctor->call, result);
	else
		control_call_fail(doctor->call, -ENOMEM);
	free(doctor);
}

int doctor_run(struct world *world, struct control_call *call, json_t **out)
{
	struct doctor *doctor = calloc(1, sizeof(*doctor));
	struct engine_view view;

	if (!doctor)
		return -ENOMEM;
	engine_look(world->engine, &view);
	doctor->world = world;
	doctor->call = call;
	doctor->checks = json_array();
	check_plane(doctor->checks, world);
	check_charon(doctor->checks, world);
	check_policy(doctor->checks, world, &view);
	check_bundle(doctor->checks, world);
	check_firewall(doctor->checks, &view);
	check_port(doctor->checks, &view);
	check_mesh(doctor->checks, &view);
	check_peers(doctor->checks, world, &view);
	check_clock(doctor->checks, world);
	check_arp(doctor->checks, &view);
	check_names(doctor->checks, world);
	if (charon_list_foreign(world->charon, on_foreign, doctor) == 0)
		return CONTROL_LATER;
	*out = doctor_json(doctor->checks);
	free(doctor);
	return *out ? 0 : -ENOMEM;
}

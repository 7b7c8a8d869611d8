/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/dataplane.h"

#include "host/charon.h"
#include "host/pathmtu.h"
#include "host/routes.h"
#include "host/world.h"

#include <errno.h>
#include <linux/if_addr.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#define SETTLE_US 50000        /* between two looks at least */
#define ADDRESS_US 200000      /* from adding an address to charon's knowing it */
#define RETRY_US 1000000       /* after a failure that no effect tells of */
#define PATHS_US 5000000       /* between two rounds of all paths in use */
#define PATHS_MORE_US 100000   /* between two parts of a round */
#define PATHS_AGAIN_US 1000000 /* after a change of the main table's routes */

struct dataplane {
	struct world *world;
	struct rtnl *rt;
	sd_event_source *io;
	sd_event_source *timer;
	sd_event_source *path_timer;
	const struct plane *plane;
	char why[256];
	char trouble[256];

	bool spec_known; /* the engine has spoken */
	bool wanted;
	struct routes_spec spec;
	struct routes_spec guest; /* while it is none, but asks: prefix6 */
	uint32_t mtu;             /* the engine's limit */
	uint32_t mtu_told;
	struct pathmtu paths;
	bool paths_hurry; /* a whole round soon */

	struct rtnl_link device;   /* index 0: not there */
	char expected[16];         /* its name, before it was ever seen */
	const struct plane *guess; /* by that name */
	bool told_up;
	char told_name[16];
	uint32_t told_index;
	int64_t looked_us;
	int64_t addressed_us; /* when an address was added last; 0: was not */

	struct policy_addr underlay[ENGINE_UNDERLAY_MAX];
	size_t n_underlay;
	bool underlay_told;
};

/* ---- the device and what leads to it ------------------------------------------------------- */

/* What the engine allows, the plane can, and the narrowest path carries. */
static uint32_t mtu_wanted(const struct dataplane *dp)
{
	uint32_t most = dp->plane->mtu < dp->mtu ? dp->plane->mtu : dp->mtu;

	return pathmtu_limit(&dp->paths, most);
}

/* Finds or makes the device; dp->device.index is 0 if it is not there. */
static int device_look(struct dataplane *dp)
{
	struct rtnl_link link = dp->device;
	int ret;

	if (!dp->plane) {
		/* Not known yet: what an earlier run has used goes on. */
		if (rtnl_link_by_name(dp->rt, dp->expected, &dp->device) != 1)
			dp->device.index = 0;
		return 0;
	}
	ret = dp->plane->ensure(dp->rt, mtu_wanted(dp), &link, dp->trouble, sizeof(dp->trouble));
	if (ret == 1) {
		dp->device = link;
		snprintf(dp->expected, sizeof(dp->expected), "%s", link.name);
	} else {
		dp->device.index = 0;
	}
	return ret < 0 ? ret : 0;
}

static const struct routes_spec *spec_now(const struct dataplane *dp)
{
	return !dp->wanted && dp->guest.guest ? &dp->guest : &dp->spec;
}

static int routes_sync(struct dataplane *dp)
{
	struct routes_spec spec = *spec_now(dp);
	struct routes_changes changes = {0};
	int ret;

	if (!dp->spec_known && !spec.guest)
		return 0; /* what an earlier run left stays until the engine has spoken */
	if (!dp->wanted && !spec.guest)
		return routes_flush(dp->rt, NULL, dp->trouble, sizeof(dp->trouble));
	spec.device = dp->device.index;
	ret = routes_apply(dp->rt, &spec, &changes, dp->trouble, sizeof(dp->trouble));
	if (changes.all)
		log_debug("%u routes, rules or addresses set right", changes.all);
	if (changes.addresses) {
		dp->addressed_us = world_now_us();
		charon_pause(dp->world->charon);
	}
	return ret;
}

static int dataplane_sync(struct dataplane *dp)
{
	int ret, err;

	dp->looked_us = world_now_us();
	dp->trouble[0] = 0;
	ret = device_look(dp);
	/* Without a device what leads to it must go all the same. */
	err = routes_sync(dp);
	return ret ? ret : err;
}

/* Not from within an effect. */
static void plane_tell(struct dataplane *dp)
{
	struct engine_event ev = {.type = ENGINE_EV_PLANE};
	bool up = dp->plane && dp->device.index != 0;

	if (up == dp->told_up && dp->device.index == dp->told_index &&
	        (!up || strcmp(dp->told_name, dp->device.name) == 0))
		return;
	if (up)
		log_info("data plane %s: device %s is up, MTU %u", dp->plane->name, dp->device.name,
		        dp->device.mtu);
	else if (dp->told_up)
		log_warning("data plane: device %s is gone", dp->told_name);
	/* The firewall knows the device by name. */
	if (up && strcmp(dp->told_name, dp->device.name) != 0 && dp->told_name[0]) {
		struct engine_event fw = {.type = ENGINE_EV_FIREWALL};

		fw.firewall.seen = ENGINE_FW_UNKNOWN;
		snprintf(dp->told_name, sizeof(dp->told_name), "%s", dp->device.name);
		world_event(dp->world, &fw);
	}
	dp->told_up = up;
	dp->told_index = dp->device.index;
	if (up)
		snprintf(dp->told_name, sizeof(dp->told_name), "%s", dp->device.name);
	ev.plane.up = up;
	ev.plane.shared = up && dp->plane->shared;
	ev.plane.name = up ? dp->device.name : NULL;
	ev.plane.traps = dataplane_has_traps(dp);
	world_event(dp->world, &ev);
}

static void look_at(struct dataplane *dp, int64_t when)
{
	sd_event_source_set_time(dp->timer, (uint64_t)when);
	sd_event_source_set_enabled(dp->timer, SD_EVENT_ONESHOT);
}

static void mtu_tell(struct dataplane *dp)
{
	char addr[64];

	if (!dp->device.index || dp->device.mtu == dp->mtu_told)
		return;
	if (dp->mtu_told && dp->paths.addr.family) {
		policy_addr_print(&dp->paths.addr, addr, sizeof(addr));
		log_notice("data plane: MTU %u instead of %u: the path to %s carries %u bytes",
		        dp->device.mtu, dp->mtu_told, addr, dp->paths.path);
	} else if (dp->mtu_told) {
		log_notice("data plane: MTU %u instead of %u", dp->device.mtu, dp->mtu_told);
	}
	dp->mtu_told = dp->device.mtu;
}

static void dataplane_check(struct dataplane *dp)
{
	if (dataplane_sync(dp)) {
		log_error("data plane: %s", dp->trouble);
		look_at(dp, world_now_us() + RETRY_US);
	}
	mtu_tell(dp);
	plane_tell(dp);
}

void dataplane_run(struct dataplane *dp, const struct engine_effect *fx)
{
	const struct engine_plane *plane = &fx->plane;
	int ret;

	dp->spec_known = true;
	dp->wanted = plane->wanted;
	dp->spec = (struct routes_spec){.addr4 = plane->addr4,
	        .addr6 = plane->addr6,
	        .prefix4 = plane->overlay4,
	        .prefix6 = plane->overlay6};
	if (plane->mtu)
		dp->mtu = plane->mtu;
	ret = dataplane_sync(dp);
	world_result(dp->world, fx->id, ret, dp->trouble);
	look_at(dp, world_now_us()); /* tells the engine if the device came or went */
}

int dataplane_guest(
        struct dataplane *dp, const struct policy_prefix *overlay6, char *err, size_t err_size)
{
	int ret;

	dp->guest = (struct routes_spec){0};
	if (overlay6) {
		dp->guest.prefix6 = *overlay6;
		dp->guest.guest = true;
	}
	/* Without any policy nobody else will take it back. */
	if (!overlay6 && !dp->spec_known && dp->world->files == WORLD_FILES_NONE)
		ret = routes_flush(dp->rt, NULL, dp->trouble, sizeof(dp->trouble));
	else
		ret = dataplane_sync(dp);
	look_at(dp, world_now_us());
	if (ret) {
		snprintf(err, err_size, "%s", dp->trouble);
		return ret;
	}
	if (!overlay6 || dp->device.index)
		return 0;
	snprintf(err, err_size, "%s", dp->trouble[0] ? dp->trouble : dp->why);
	return -ENODEV;
}

/* ---- how wide the paths beneath are ------------------------------------------------------------
 */

static void paths_at(struct dataplane *dp, int64_t when)
{
	sd_event_source_set_time(dp->path_timer, (uint64_t)when);
	sd_event_source_set_enabled(dp->path_timer, SD_EVENT_ONESHOT);
}

/*
 * One wakeup in 5 s as long as a tunnel is up: what an ICMP error has told the kernel of a path is
 * told by no event, and until it is seen large packets may vanish. Of more peers than
 * PATHMTU_BATCH each time the next ones are asked for: what it costs does not grow with them.
 */
static int on_paths(sd_event_source *source, uint64_t usec, void *user)
{
	struct dataplane *dp = user;
	struct engine_view view;
	bool more;

	(void)source, (void)usec;
	more = pathmtu_look(&dp->paths, dp->rt, dp->world->engine);
	if (dp->plane && dp->device.index && mtu_wanted(dp) != dp->device.mtu)
		dataplane_check(dp);
	engine_look(dp->world->engine, &view);
	dp->paths_hurry &= more;
	if (dp->paths_hurry)
		paths_at(dp, world_now_us() + PATHS_MORE_US);
	else if (view.n_up)
		paths_at(dp, world_now_us() + PATHS_US);
	return 0;
}

static void paths_soon(struct dataplane *dp, int64_t after)
{
	if (dp->paths_hurry)
		return; /* that round sees it, or the next */
	dp->paths_hurry = true;
	dp->paths.at = 0;
	paths_at(dp, world_now_us() + after);
}

void dataplane_paths_changed(struct dataplane *dp)
{
	paths_soon(dp, SETTLE_US);
}

/* ---- which plane ----------------------------------------------------------------------------- */

void dataplane_charon_known(struct dataplane *dp)
{
	const struct plane *before = dp->plane;

	dp->plane = plane_choose(dp->rt, dp->world->options.plane,
	        charon_facts(dp->world->charon)->libipsec, dp->why, sizeof(dp->why));
	if (!dp->plane)
		log_error("no data plane: %s", dp->why);
	else if (dp->plane != before)
		log_notice("data plane: %s", dp->why);
	dataplane_check(dp);
}

/* Before charon has told: what an earlier run has used, so that its table is not touched. */
static void device_guess(struct dataplane *dp)
{
	struct rtnl_link link;
	char why[256];

	if (dp->world->options.plane != PLANE_XFRM &&
	        rtnl_link_by_kind(dp->rt, "tun", "ipsec", &link) == 1)
		snprintf(dp->expected, sizeof(dp->expected), "%s", link.name);
	else if (dp->world->options.plane == PLANE_XFRM ||
	         rtnl_link_by_name(dp->rt, "ovl0", &link) == 1 ||
	         (dp->world->options.plane == PLANE_AUTO &&
	                 plane_xfrm.probe(dp->rt, why, sizeof(why)) == 0))
		snprintf(dp->expected, sizeof(dp->expected), "ovl0");
	else
		snprintf(dp->expected, sizeof(dp->expected), "ipsec0");
	snprintf(dp->told_name, sizeof(dp->told_name), "%s", dp->expected);
	dp->guess = strcmp(dp->expected, "ovl0") == 0 ? &plane_xfrm : &plane_libipsec;
}

int64_t dataplane_settles_us(const struct dataplane *dp)
{
	return dp->addressed_us ? dp->addressed_us + ADDRESS_US : 0;
}

uint32_t dataplane_if_id(const struct dataplane *dp)
{
	return dp->plane ? dp->plane->if_id : 0;
}

bool dataplane_has_traps(const struct dataplane *dp)
{
	return dp->plane && dp->plane->traps;
}

void dataplane_leftovers(const struct dataplane *dp)
{
	int n;

	if (!dp->plane || !dp->plane->leftovers)
		return;
	n = dp->plane->leftovers(dp->plane->if_id);
	if (n < 0)
		log_warning(
		        "cannot end the SAs that an earlier charon left in the kernel: %s; some "
		        "tunnels may not come up before they expire",
		        strerror(-n));
	else if (n > 0)
		log_info("%d SAs that an earlier charon left in the kernel are ended", n);
}

/* A table made before charon has told need not be made anew: the device's name says which. */
const struct plane *dataplane_expects(const struct dataplane *dp)
{
	return dp->plane ? dp->plane : dp->guess;
}

const char *dataplane_device(const struct dataplane *dp)
{
	return dp->expected;
}

void dataplane_look(const struct dataplane *dp, struct dataplane_view *out)
{
	*out = (struct dataplane_view){.plane = dp->plane,
	        .device = dp->device.index ? dp->device.name : NULL,
	        .mtu = dp->device.index ? dp->device.mtu : 0,
	        .path = dp->paths.path,
	        .path_to = dp->paths.addr,
	        .why = dp->why,
	        .trouble = dp->trouble};
}

/* ---- underlay addresses ------------------------------------------------------------------------
 */

struct underlay {
	const struct routes_spec *spec;
	struct policy_addr addrs[ENGINE_UNDERLAY_MAX];
	size_t n;
};

static bool is_overlay(const struct routes_spec *spec, const struct policy_addr *addr)
{
	return (spec->prefix4.addr.family && policy_prefix_contains(&spec->prefix4, addr)) ||
	       (spec->prefix6.addr.family && policy_prefix_contains(&spec->prefix6, addr));
}

static int underlay_row(const struct nlmsghdr *nlh, void *user)
{
	const struct ifaddrmsg *ifa = mnl_nlmsg_get_payload(nlh);
	struct underlay *found = user;
	struct policy_addr addr = {0};
	const struct nlattr *attr;
	bool local = false;

	if (nlh->nlmsg_type != RTM_NEWADDR || ifa->ifa_scope != RT_SCOPE_UNIVERSE ||
	        ifa->ifa_index == 1 || found->n == ENGINE_UNDERLAY_MAX ||
	        (ifa->ifa_family != AF_INET && ifa->ifa_family != AF_INET6))
		return MNL_CB_OK;
	mnl_attr_for_each(attr, nlh, sizeof(*ifa)) {
		uint16_t type = mnl_attr_get_type(attr);
		uint16_t len = mnl_attr_get_payload_len(attr);

		/* IFA_LOCAL is ours; IFA_ADDRESS may be the other end's. */
		if ((type != IFA_LOCAL && (type != IFA_ADDRESS || local)) ||
		        len != (ifa->ifa_family == AF_INET ? 4 : 16))
			continue;
		addr.family = ifa->ifa_family;
		memcpy(addr.bytes, mnl_attr_get_payload(attr), len);
		local = type == IFA_LOCAL;
	}
	if (addr.family && !is_overlay(found->spec, &addr))
		found->addrs[found->n++] = addr;
	return MNL_CB_OK;
}

static void underlay_tell(struct dataplane *dp)
{
	struct engine_event ev = {.type = ENGINE_EV_UNDERLAY};
	struct underlay found;
	struct rtnl_request req;
	struct ifaddrmsg *ifa;
	int err;
	int tries = 0;

	do {
		memset(&found, 0, sizeof(found));
		found.spec = spec_now(dp);
		ifa = rtnl_request_init(&req, RTM_GETADDR, 0, sizeof(*ifa));
		ifa->ifa_family = AF_UNSPEC;
		err = rtnl_request_dump(dp->rt, &req, underlay_row, &found);
	} while (err == -EINTR && ++tries < 10);
	if (err)
		return;
	if (dp->underlay_told && found.n == dp->n_underlay &&
	        memcmp(found.addrs, dp->underlay, sizeof(dp->underlay)) == 0)
		return;
	memcpy(dp->underlay, found.addrs, sizeof(dp->underlay));
	dp->n_underlay = found.n;
	dp->underlay_told = true;
	ev.underlay.addrs = dp->underlay;
	ev.underlay.n = dp->n_underlay;
	world_event(dp->world, &ev);
}

/* ---- the loop
 * ------------------------------------------------------------------------------------ */

static int on_timer(sd_event_source *source, uint64_t usec, void *user)
{
	(void)source, (void)usec;
	dataplane_check(user);
	return 0;
}

static int on_monitor(sd_event_source *source, int fd, uint32_t revents, void *user)
{
	struct dataplane *dp = user;
	unsigned int changed = rtnl_monitor_read(dp->rt);
	int64_t now = world_now_us();

	(void)source, (void)fd, (void)revents;
	if (changed & ~RTNL_CHANGED_MAIN) {
		int64_t earliest = dp->looked_us + SETTLE_US;

		look_at(dp, now > earliest ? now : earliest);
	}
	if (changed & RTNL_CHANGED_ADDR)
		underlay_tell(dp);
	if (changed & (RTNL_CHANGED_LINK | RTNL_CHANGED_ADDR | RTNL_CHANGED_MAIN)) {
		pathmtu_forget(&dp->paths);
		paths_soon(dp, changed == RTNL_CHANGED_MAIN ? PATHS_AGAIN_US : SETTLE_US);
	}
	return 0;
}

int dataplane_new(struct world *world, struct dataplane **out, char *err, size_t err_size)
{
	struct dataplane *dp = calloc(1, sizeof(*dp));
	int ret;

	if (!dp)
		return -ENOMEM;
	dp->world = world;
	dp->mtu = PATHMTU_MOST;
	snprintf(dp->why, sizeof(dp->why), "charon has not told yet what it can do");
	ret = rtnl_open(&dp->rt, ROUTES_TABLE);
	if (!ret)
		ret = sd_event_add_io(
		        world->event, &dp->io, rtnl_monitor_fd(dp->rt), EPOLLIN, on_monitor, dp);
	if (ret >= 0)
		ret = sd_event_add_time(
		        world->event, &dp->timer, CLOCK_BOOTTIME, UINT64_MAX, 1000, on_timer, dp);
	if (ret >= 0)
		ret = sd_event_source_set_enabled(dp->timer, SD_EVENT_OFF);
	if (ret >= 0)
		ret = sd_event_add_time(world->event, &dp->path_timer, CLOCK_BOOTTIME, UINT64_MAX,
		        SETTLE_US, on_paths, dp);
	if (ret >= 0)
		ret = sd_event_source_set_enabled(dp->path_timer, SD_EVENT_OFF);
	if (ret < 0) {
		snprintf(err, err_size, "cannot open rtnetlink: %s", strerror(-ret));
		dataplane_free(dp);
		return ret;
	}
	device_guess(dp);
	*out = dp;
	return 0;
}

void dataplane_free(struct dataplane *dp)
{
	if (!dp)
		return;
	sd_event_source_disable_unref(dp->io);
	sd_event_source_disable_unref(dp->timer);
	sd_event_source_disable_unref(dp->path_timer);
	rtnl_close(dp->rt);
	free(dp);
}

void dataplane_start(struct dataplane *dp)
{
	underlay_tell(dp);
}

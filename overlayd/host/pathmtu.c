/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/pathmtu.h"

#include <errno.h>
#include <linux/if_link.h>
#include <string.h>
#include <sys/socket.h>

uint32_t pathmtu_overhead(int family)
{
	/* IP 20 or 40, UDP 8, SPI and sequence 8, IV 8, trailer 2, padding 3 at most, ICV 16 */
	return family == AF_INET6 ? 85 : 65;
}

static uint32_t inner(const struct policy_addr *addr, uint32_t path)
{
	uint32_t over = pathmtu_overhead(addr->family);

	return path > over + PATHMTU_LEAST ? path - over : PATHMTU_LEAST;
}

uint32_t pathmtu_limit(const struct pathmtu *pm, uint32_t otherwise)
{
	uint32_t limit = pm->addr.family ? inner(&pm->addr, pm->path) : otherwise;

	return limit < otherwise ? limit : otherwise;
}

void pathmtu_forget(struct pathmtu *pm)
{
	memset(pm, 0, sizeof(*pm));
}

/* ---- the kernel's answer ----------------------------------------------------------------- */

struct route {
	uint8_t type;
	uint32_t device;
	uint32_t mtu; /* the route's own or the path's; 0: the device's */
};

static int route_row(const struct nlmsghdr *nlh, void *user)
{
	const struct rtmsg *rtm = mnl_nlmsg_get_payload(nlh);
	struct route *route = user;
	const struct nlattr *attr, *metric;

	if (nlh->nlmsg_type != RTM_NEWROUTE)
		return MNL_CB_OK;
	route->type = rtm->rtm_type;
	mnl_attr_for_each(attr, nlh, sizeof(*rtm)) {
		if (mnl_attr_get_type(attr) == RTA_OIF)
			route->device = mnl_attr_get_u32(attr);
		if (mnl_attr_get_type(attr) != RTA_METRICS)
			continue;
		mnl_attr_for_each_nested(metric, attr) {
			if (mnl_attr_get_type(metric) == RTAX_MTU)
				route->mtu = mnl_attr_get_u32(metric);
		}
	}
	return MNL_CB_OK;
}

/* Nearly all paths begin with the same device. */
static uint32_t link_mtu(struct rtnl *rt, uint32_t index, struct pathmtu_link *last)
{
	struct rtnl_link link;

	if (last->index != index && rtnl_link_by_index(rt, index, &link) == 1)
		*last = (struct pathmtu_link){.index = index, .mtu = link.mtu};
	return last->index == index ? last->mtu : 0;
}

uint32_t pathmtu_ask(struct rtnl *rt, const struct policy_addr *addr, struct pathmtu_link *link)
{
	size_t len = addr->family == AF_INET ? 4 : 16;
	struct route route = {0};
	struct rtnl_request req;
	struct rtmsg *rtm;
	uint32_t device;

	rtm = rtnl_request_init(&req, RTM_GETROUTE, 0, sizeof(*rtm));
	rtm->rtm_family = addr->family;
	rtm->rtm_dst_len = (uint8_t)(len * 8);
	mnl_attr_put(req.nlh, RTA_DST, (uint16_t)len, addr->bytes);
	if (rtnl_request_query(rt, &req, route_row, &route) || route.type != RTN_UNICAST ||
	        !route.device)
		return 0;
	device = link_mtu(rt, route.device, link);
	if (!device)
		return route.mtu;
	return route.mtu && route.mtu < device ? route.mtu : device;
}

/* ---- rounds ------------------------------------------------------------------------------- */

static bool is_same(const struct policy_addr *a, const struct policy_addr *b)
{
	return a->family == b->family && memcmp(a->bytes, b->bytes, sizeof(a->bytes)) == 0;
}

static bool is_narrower(
        const struct policy_addr *a, uint32_t a_path, const struct policy_addr *b, uint32_t b_path)
{
	return !b->family ||
	       a_path - pathmtu_overhead(a->family) < b_path - pathmtu_overhead(b->family);
}

void pathmtu_round_begin(struct pathmtu *pm)
{
	pm->at = 0;
	pm->round_addr.family = 0;
	pm->round_path = 0;
	pm->held_seen = false;
}

void pathmtu_round_add(struct pathmtu *pm, const struct policy_addr *addr, uint32_t path)
{
	if (path > PATHMTU_MOST)
		path = PATHMTU_MOST;
	if (!addr->family || path < 576)
		return; /* no route; or no path that a host must be able to use (RFC 1122) */
	if (is_same(addr, &pm->addr))
		pm->held_seen = true;
	if (is_narrower(addr, path, &pm->round_addr, pm->round_path)) {
		pm->round_addr = *addr;
		pm->round_path = path;
	}
	if (is_narrower(addr, path, &pm->addr, pm->path)) {
		pm->addr = *addr;
		pm->path = path;
		pm->held_seen = true;
	}
}

void pathmtu_round_end(struct pathmtu *pm)
{
	if (pm->held_seen)
		return;
	pm->addr = pm->round_addr;
	pm->path = pm->round_path;
}

bool pathmtu_look(struct pathmtu *pm, struct rtnl *rt, const struct engine *engine)
{
	struct engine_peer_view peer;
	struct engine_view view;

	engine_look(engine, &view);
	if (!pm->at || pm->n != view.n_peers)
		pathmtu_round_begin(pm); /* anew, if peers came or went meanwhile */
	pm->n = view.n_peers;
	pm->link.index = 0;
	for (size_t asked = 0; pm->at < pm->n && asked < PATHMTU_BATCH; pm->at++) {
		if (engine_peer_at(engine, pm->at, &peer) || !peer.sa_id)
			continue;
		pathmtu_round_add(
		        pm, &peer.remote_host, pathmtu_ask(rt, &peer.remote_host, &pm->link));
		asked++;
	}
	if (pm->at < pm->n)
		return true;
	pathmtu_round_end(pm);
	pm->at = 0;
	return false;
}

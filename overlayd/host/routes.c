/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/routes.h"

#include <errno.h>
#include <linux/fib_rules.h>
#include <linux/if_addr.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#define METRIC_DEVICE 1024U
#define METRIC_UNREACHABLE UINT32_MAX /* the last one asked */
#define LOOPBACK 1U                   /* lo is always link 1 of its namespace */
#define DUMP_TRIES 10

enum thing_kind { THING_ADDR, THING_RULE, THING_ROUTE };

/* One thing of ours, wanted or found. Plain data, compared whole: zero what does not apply. */
struct thing {
	enum thing_kind kind;
	uint8_t type; /* routes: RTN_UNICAST, RTN_UNREACHABLE */
	uint32_t device;
	uint32_t metric;
	struct policy_prefix prefix;
	struct policy_addr source;
};

#define THINGS_MAX 64 /* wanted: 8; more found are removed in several rounds */

struct things {
	struct thing list[THINGS_MAX];
	size_t n;
	bool more;
};

static uint8_t family_bits(int family)
{
	return family == AF_INET ? 32 : 128;
}

static size_t family_bytes(int family)
{
	return family == AF_INET ? 4 : 16;
}

static struct thing *things_add(struct things *things)
{
	struct thing *thing;

	if (things->n == THINGS_MAX) {
		things->more = true;
		return NULL;
	}
	thing = &things->list[things->n++];
	memset(thing, 0, sizeof(*thing));
	return thing;
}

/* ---- wanted ---------------------------------------------------------------------------- */

static void want_family(struct things *want, const struct routes_spec *spec,
        const struct policy_addr *addr, const struct policy_prefix *prefix)
{
	struct thing *thing;

	if (!prefix->addr.family)
		return;
	thing = things_add(want);
	thing->kind = THING_ROUTE;
	thing->type = RTN_UNREACHABLE;
	thing->prefix = *prefix;
	thing->metric = METRIC_UNREACHABLE;
	thing = things_add(want);
	thing->kind = THING_RULE;
	thing->prefix = *prefix;
	if (addr->family) {
		thing = things_add(want);
		thing->kind = THING_ADDR;
		thing->prefix.addr = *addr;
		thing->prefix.len = family_bits(addr->family);
	}
	if (!spec->device || (!addr->family && !spec->guest))
		return;
	thing = things_add(want);
	thing->kind = THING_ROUTE;
	thing->type = RTN_UNICAST;
	thing->prefix = *prefix;
	thing->device = spec->device;
	thing->metric = METRIC_DEVICE;
	thing->source = *addr;
}

/* ---- found ----------------------------------------------------------------------------- */

static void addr_get(const struct nlattr *attr, int family, struct policy_addr *out)
{
	size_t len = family_bytes(family);

	if (mnl_attr_get_payload_len(attr) != len)
		return;
	out->family = (uint8_t)family;
	memcpy(out->bytes, mnl_attr_get_payload(attr), len);
}

static int addr_row(const struct nlmsghdr *nlh, void *user)
{
	const struct ifaddrmsg *ifa = mnl_nlmsg_get_payload(nlh);
	struct things *found = user;
	struct policy_addr addr = {0};
	const struct nlattr *attr;
	struct thing *thing;
	uint8_t proto = 0;

	if (nlh->nlmsg_type != RTM_NEWADDR ||
	        (ifa->ifa_family != AF_INET && ifa->ifa_family != AF_INET6))
		return MNL_CB_OK;
	mnl_attr_for_each(attr, nlh, sizeof(*ifa)) {
		/* IPv4 tells IFA_LOCAL beside the point-to-point IFA_ADDRESS; on lo they are equal
		 */
		if (mnl_attr_get_type(attr) == IFA_ADDRESS)
			addr_get(attr, ifa->ifa_family, &addr);
		else if (mnl_attr_get_type(attr) == IFA_PROTO)
			proto = mnl_attr_get_u8(attr);
	}
	if (proto != ROUTES_PROTOCOL || ifa->ifa_index != LOOPBACK)
		return MNL_CB_OK;
	thing = things_add(found);
	if (!thing)
		return MNL_CB_OK;
	thing->kind = THING_ADDR;
	thing->prefix.addr = addr;
	thing->prefix.len = ifa->ifa_prefixlen;
	return MNL_CB_OK;
}

static int rule_row(const struct nlmsghdr *nlh, void *user)
{
	const struct fib_rule_hdr *frh = mnl_nlmsg_get_payload(nlh);
	struct things *found = user;
	struct policy_addr dst = {0};
	const struct nlattr *attr;
	struct thing *thing;
	uint32_t table = frh->table;
	uint32_t priority = 0;
	uint8_t proto = 0;

	if (nlh->nlmsg_type != RTM_NEWRULE)
		return MNL_CB_OK;
	mnl_attr_for_each(attr, nlh, sizeof(*frh)) {
		switch (mnl_attr_get_type(attr)) {
		case FRA_DST:
			addr_get(attr, frh->family, &dst);
			break;
		case FRA_TABLE:
			table = mnl_attr_get_u32(attr);
			break;
		case FRA_PRIORITY:
			priority = mnl_attr_get_u32(attr);
			break;
		case FRA_PROTOCOL:
			proto = mnl_attr_get_u8(attr);
			break;
		}
	}
	if (proto != ROUTES_PROTOCOL || table != ROUTES_TABLE || priority != ROUTES_RULE_PRIORITY)
		return MNL_CB_OK;
	thing = things_add(found);
	if (!thing)
		return MNL_CB_OK;
	thing->kind = THING_RULE;
	thing->prefix.addr = dst;
	thing->prefix.addr.family = frh->family;
	thing->prefix.len = frh->dst_len;
	return MNL_CB_OK;
}

static int route_row(const struct nlmsghdr *nlh, void *user)
{
	const struct rtmsg *rtm = mnl_nlmsg_get_payload(nlh);
	struct things *found = user;
	struct thing thing = {.kind = THING_ROUTE, .type = rtm->rtm_type};
	const struct nlattr *attr;
	struct thing *slot;
	uint32_t table = rtm->rtm_table;

	if (nlh->nlmsg_type != RTM_NEWROUTE || (rtm->rtm_flags & RTM_F_CLONED))
		return MNL_CB_OK;
	thing.prefix.addr.family = rtm->rtm_family;
	thing.prefix.len = rtm->rtm_dst_len;
	mnl_attr_for_each(attr, nlh, sizeof(*rtm)) {
		switch (mnl_attr_get_type(attr)) {
		case RTA_TABLE:
			table = mnl_attr_get_u32(attr);
			break;
		case RTA_DST:
			addr_get(attr, rtm->rtm_family, &thing.prefix.addr);
			break;
		case RTA_OIF:
			thing.device = mnl_attr_get_u32(attr);
			break;
		case RTA_PRIORITY:
			thing.metric = mnl_attr_get_u32(attr);
			break;
		case RTA_PREFSRC:
			addr_get(attr, rtm->rtm_family, &thing.source);
			break;
		}
	}
	if (table != ROUTES_TABLE || rtm->rtm_protocol != ROUTES_PROTOCOL)
		return MNL_CB_OK;
	/* An IPv6 reject route is told with lo as its device. */
	if (thing.type != RTN_UNICAST)
		thing.device = 0;
	slot = things_add(found);
	if (slot)
		*slot = thing;
	return MNL_CB_OK;
}

static int dump_once(struct rtnl *rt, enum thing_kind kind, int family, struct things *found)
{
	struct rtnl_request req;

	switch (kind) {
	case THING_ADDR: {
		struct ifaddrmsg *ifa = rtnl_request_init(&req, RTM_GETADDR, 0, sizeof(*ifa));

		ifa->ifa_family = (uint8_t)family;
		ifa->ifa_index = LOOPBACK;
		return rtnl_request_dump(rt, &req, addr_row, found);
	}
	case THING_RULE: {
		struct fib_rule_hdr *frh = rtnl_request_init(&req, RTM_GETRULE, 0, sizeof(*frh));

		frh->family = (uint8_t)family;
		return rtnl_request_dump(rt, &req, rule_row, found);
	}
	case THING_ROUTE: {
		struct rtmsg *rtm = rtnl_request_init(&req, RTM_GETROUTE, 0, sizeof(*rtm));

		rtm->rtm_family = (uint8_t)family;
		mnl_attr_put_u32(req.nlh, RTA_TABLE, ROUTES_TABLE);
		return rtnl_request_dump(rt, &req, route_row, found);
	}
	}
	return -EINVAL;
}

static int things_read(struct rtnl *rt, struct things *found)
{
	static const int families[] = {AF_INET, AF_INET6};

	for (int kind = THING_ADDR; kind <= THING_ROUTE; kind++)
		for (size_t f = 0; f < 2; f++) {
			size_t before = found->n;
			int tries = 0;
			int err;

			/* A dump that changed while it was read is read again. */
			do {
				found->n = before;
				err = dump_once(rt, (enum thing_kind)kind, families[f], found);
			} while (err == -EINTR && ++tries < DUMP_TRIES);
			/* No such family here, or the table is not there yet. */
			if (err && err != -EAFNOSUPPORT && err != -EOPNOTSUPP && err != -ENOENT)
				return err;
		}
	return 0;
}

/* ---- change ---------------------------------------------------------------------------- */

static void thing_text(const struct thing *thing, char *buf, size_t size)
{
	static const char *const kinds[] = {"address", "rule to", "route"};
	char addr[64];

	policy_addr_print(&thing->prefix.addr, addr, sizeof(addr));
	snprintf(buf, size, "%s%s %s/%u", thing->type == RTN_UNREACHABLE ? "unreachable " : "",
	        kinds[thing->kind], addr, thing->prefix.len);
}

static int thing_change(struct rtnl *rt, const struct thing *thing, bool add)
{
	uint16_t flags = add ? NLM_F_CREATE | NLM_F_EXCL : 0;
	uint8_t family = thing->prefix.addr.family;
	size_t len = family_bytes(family);
	struct rtnl_request req;

	switch (thing->kind) {
	case THING_ADDR: {
		struct ifaddrmsg *ifa = rtnl_request_init(
		        &req, add ? RTM_NEWADDR : RTM_DELADDR, flags, sizeof(*ifa));

		ifa->ifa_family = family;
		ifa->ifa_prefixlen = thing->prefix.len;
		ifa->ifa_index = LOOPBACK;
		ifa->ifa_scope = RT_SCOPE_UNIVERSE;
		mnl_attr_put(req.nlh, IFA_LOCAL, len, thing->prefix.addr.bytes);
		mnl_attr_put(req.nlh, IFA_ADDRESS, len, thing->prefix.addr.bytes);
		if (add) {
			/* Nobody else can have it: no duplicate address detection. */
			mnl_attr_put_u32(req.nlh, IFA_FLAGS, IFA_F_NODAD | IFA_F_NOPREFIXROUTE);
			mnl_attr_put_u8(req.nlh, IFA_PROTO, ROUTES_PROTOCOL);
		}
		break;
	}
	case THING_RULE: {
		struct fib_rule_hdr *frh = rtnl_request_init(
		        &req, add ? RTM_NEWRULE : RTM_DELRULE, flags, sizeof(*frh));

		frh->family = family;
		frh->dst_len = thing->prefix.len;
		frh->action = FR_ACT_TO_TBL;
		mnl_attr_put(req.nlh, FRA_DST, len, thing->prefix.addr.bytes);
		mnl_attr_put_u32(req.nlh, FRA_PRIORITY, ROUTES_RULE_PRIORITY);
		mnl_attr_put_u32(req.nlh, FRA_TABLE, ROUTES_TABLE);
		mnl_attr_put_u8(req.nlh, FRA_PROTOCOL, ROUTES_PROTOCOL);
		break;
	}
	case THING_ROUTE: {
		struct rtmsg *rtm = rtnl_request_init(
		        &req, add ? RTM_NEWROUTE : RTM_DELROUTE, flags, sizeof(*rtm));

		rtm->rtm_family = family;
		rtm->rtm_dst_len = thing->prefix.len;
		rtm->rtm_type = thing->type;
		rtm->rtm_protocol = ROUTES_PROTOCOL;
		rtm->rtm_scope =
		        thing->device && family == AF_INET ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE;
		mnl_attr_put_u32(req.nlh, RTA_TABLE, ROUTES_TABLE);
		mnl_attr_put(req.nlh, RTA_DST, len, thing->prefix.addr.bytes);
		mnl_attr_put_u32(req.nlh, RTA_PRIORITY, thing->metric);
		if (thing->device)
			mnl_attr_put_u32(req.nlh, RTA_OIF, thing->device);
		if (add && thing->source.family)
			mnl_attr_put(req.nlh, RTA_PREFSRC, len, thing->source.bytes);
		break;
	}
	}
	return rtnl_request_send(rt, &req);
}

static int change_tell(const struct thing *thing, bool add, int error, char *err, size_t err_size)
{
	char text[128];

	thing_text(thing, text, sizeof(text));
	snprintf(err, err_size, "cannot %s the %s: %s%s", add ? "add" : "remove", text,
	        strerror(-error),
	        error == -EPERM ? "; overlayd needs CAP_NET_ADMIN (run it as root)" : "");
	return error;
}

static bool things_have(const struct things *things, const struct thing *thing)
{
	for (size_t i = 0; i < things->n; i++)
		if (memcmp(&things->list[i], thing, sizeof(*thing)) == 0)
			return true;
	return false;
}

/* Removed in reverse: a route goes before the address that it has as its source. */
static int remove_unwanted(struct rtnl *rt, const struct things *want, const struct things *found,
        struct routes_changes *n, char *err, size_t err_size)
{
	for (size_t i = found->n; i-- > 0;) {
		const struct thing *thing = &found->list[i];
		int ret;

		if (things_have(want, thing))
			continue;
		ret = thing_change(rt, thing, false);
		/* Gone with its device or address in the meantime. */
		if (ret == -ESRCH || ret == -ENOENT || ret == -EADDRNOTAVAIL || ret == -ENODEV)
			continue;
		if (ret)
			return change_tell(thing, false, ret, err, err_size);
		n->all++;
	}
	return 0;
}

/* What stops packets: it must be there before anything is taken away. */
static bool is_stopper(const struct thing *thing)
{
	return thing->kind == THING_RULE || thing->type == RTN_UNREACHABLE;
}

static int add_missing(struct rtnl *rt, const struct things *want, const struct things *found,
        bool stoppers, struct routes_changes *n, char *err, size_t err_size)
{
	for (size_t i = 0; i < want->n; i++) {
		const struct thing *thing = &want->list[i];
		int ret;

		if (is_stopper(thing) != stoppers || things_have(found, thing))
			continue;
		ret = thing_change(rt, thing, true);
		/* Not marked as ours, yet there: an admin's own; it serves as well. */
		if (ret == -EEXIST)
			continue;
		if (ret)
			return change_tell(thing, true, ret, err, err_size);
		n->all++;
		n->addresses += thing->kind == THING_ADDR;
	}
	return 0;
}

static int things_sync(struct rtnl *rt, const struct things *want, struct routes_changes *changes,
        char *err, size_t err_size)
{
	struct routes_changes n = {0};
	bool more;
	int ret;

	do {
		struct things found = {.n = 0};

		ret = things_read(rt, &found);
		if (ret) {
			snprintf(err, err_size, "cannot read routes and addresses: %s",
			        strerror(-ret));
			break;
		}
		/*
		 * There is no moment without "unreachable". A route with another source address
		 * must go before its successor comes: the kernel sees no difference between them.
		 */
		ret = add_missing(rt, want, &found, true, &n, err, err_size);
		if (!ret)
			ret = remove_unwanted(rt, want, &found, &n, err, err_size);
		if (!ret)
			ret = add_missing(rt, want, &found, false, &n, err, err_size);
		more = found.more;
	} while (!ret && more);
	if (changes)
		*changes = n;
	return ret;
}

int routes_apply(struct rtnl *rt, const struct routes_spec *spec, struct routes_changes *changes,
        char *err, size_t err_size)
{
	struct things want = {.n = 0};

	want_family(&want, spec, &spec->addr4, &spec->prefix4);
	want_family(&want, spec, &spec->addr6, &spec->prefix6);
	return things_sync(rt, &want, changes, err, err_size);
}

int routes_flush(struct rtnl *rt, struct routes_changes *changes, char *err, size_t err_size)
{
	struct things want = {.n = 0};

	return things_sync(rt, &want, changes, err, err_size);
}

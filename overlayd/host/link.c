/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Links over rtnetlink: find one, set its MTU and bring it up. */
#include "host/rtnl.h"

#include <errno.h>
#include <linux/if_link.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>

/* A TUN that root made for an ordinary user, or that outlives its program. */
static bool tun_is_lent(const struct nlattr *data)
{
	const struct nlattr *attr;

	mnl_attr_for_each_nested(attr, data) {
		uint16_t type = mnl_attr_get_type(attr);

		if (type == IFLA_TUN_OWNER || type == IFLA_TUN_GROUP)
			return true;
		if (type == IFLA_TUN_PERSIST && mnl_attr_get_payload_len(attr) >= 1 &&
		        mnl_attr_get_u8(attr))
			return true;
	}
	return false;
}

static void info_read(const struct nlattr *info, struct rtnl_link *link)
{
	const struct nlattr *attr;
	const struct nlattr *data = NULL;

	mnl_attr_for_each_nested(attr, info) {
		if (mnl_attr_get_type(attr) == IFLA_INFO_KIND)
			snprintf(link->kind, sizeof(link->kind), "%s", mnl_attr_get_str(attr));
		else if (mnl_attr_get_type(attr) == IFLA_INFO_DATA)
			data = attr;
	}
	if (data && strcmp(link->kind, "tun") == 0)
		link->lent = tun_is_lent(data);
	if (!data || strcmp(link->kind, "xfrm") != 0)
		return;
	mnl_attr_for_each_nested(attr, data) {
		if (mnl_attr_get_type(attr) == IFLA_XFRM_IF_ID &&
		        mnl_attr_get_payload_len(attr) >= 4)
			link->if_id = mnl_attr_get_u32(attr);
	}
}

static void link_read(const struct nlmsghdr *nlh, struct rtnl_link *link)
{
	const struct ifinfomsg *ifi = mnl_nlmsg_get_payload(nlh);
	const struct nlattr *attr;

	memset(link, 0, sizeof(*link));
	link->index = (uint32_t)ifi->ifi_index;
	link->up = ifi->ifi_flags & IFF_UP;
	mnl_attr_for_each(attr, nlh, sizeof(*ifi)) {
		switch (mnl_attr_get_type(attr)) {
		case IFLA_IFNAME:
			snprintf(link->name, sizeof(link->name), "%s", mnl_attr_get_str(attr));
			break;
		case IFLA_MTU:
			link->mtu = mnl_attr_get_u32(attr);
			break;
		case IFLA_CARRIER:
			link->carrier = mnl_attr_get_u8(attr);
			break;
		case IFLA_LINKINFO:
			info_read(attr, link);
			break;
		}
	}
}

static int link_row(const struct nlmsghdr *nlh, void *user)
{
	if (nlh->nlmsg_type == RTM_NEWLINK)
		link_read(nlh, user);
	return MNL_CB_OK;
}

/* Index 0: by name. The answer is one link and an acknowledgement. */
static int link_ask(struct rtnl *rt, uint32_t index, const char *name, struct rtnl_link *out)
{
	struct rtnl_request req;
	struct rtnl_link link = {0};
	struct ifinfomsg *ifi;
	int err;

	ifi = rtnl_request_init(&req, RTM_GETLINK, NLM_F_ACK, sizeof(*ifi));
	ifi->ifi_family = AF_UNSPEC;
	ifi->ifi_index = (int)index;
	if (!index)
		mnl_attr_put_strz(req.nlh, IFLA_IFNAME, name);
	err = rtnl_request_query(rt, &req, link_row, &link);
	if (err == -ENODEV)
		return 0;
	if (err)
		return err;
	if (link.index == 0)
		return 0;
	*out = link;
	return 1;
}

int rtnl_link_by_name(struct rtnl *rt, const char *name, struct rtnl_link *out)
{
	return link_ask(rt, 0, name, out);
}

int rtnl_link_by_index(struct rtnl *rt, uint32_t index, struct rtnl_link *out)
{
	return index ? link_ask(rt, index, NULL, out) : 0;
}

struct link_search {
	const char *kind;
	const char *prefix;
	unsigned int count;
	struct rtnl_link found;
};

static int link_search_row(const struct nlmsghdr *nlh, void *user)
{
	struct link_search *search = user;
	size_t len = strlen(search->prefix);
	struct rtnl_link link;

	if (nlh->nlmsg_type != RTM_NEWLINK)
		return MNL_CB_OK;
	link_read(nlh, &link);
	if (!link.carrier || link.lent || strcmp(link.kind, search->kind) != 0 ||
	        strncmp(link.name, search->prefix, len) != 0 || !link.name[len] ||
	        link.name[len + strspn(link.name + len, "0123456789")])
		return MNL_CB_OK;
	search->count++;
	search->found = link;
	return MNL_CB_OK;
}

int rtnl_link_by_kind(struct rtnl *rt, const char *kind, const char *prefix, struct rtnl_link *out)
{
	struct link_search search = {.kind = kind, .prefix = prefix};
	struct rtnl_request req;
	struct ifinfomsg *ifi;
	int err;

	ifi = rtnl_request_init(&req, RTM_GETLINK, 0, sizeof(*ifi));
	ifi->ifi_family = AF_UNSPEC;
	err = rtnl_request_dump(rt, &req, link_search_row, &search);
	if (err)
		return err;
	if (search.count > 1)
		return -ENOTUNIQ;
	if (!search.count)
		return 0;
	*out = search.found;
	return 1;
}

int rtnl_link_adjust(struct rtnl *rt, const struct rtnl_link *link, uint32_t mtu)
{
	struct rtnl_request req;
	struct ifinfomsg *ifi;
	int err;

	if (link->up && link->mtu == mtu)
		return 0;
	ifi = rtnl_request_init(&req, RTM_NEWLINK, 0, sizeof(*ifi));
	ifi->ifi_family = AF_UNSPEC;
	ifi->ifi_index = (int)link->index;
	ifi->ifi_flags = IFF_UP;
	ifi->ifi_change = IFF_UP;
	mnl_attr_put_u32(req.nlh, IFLA_MTU, mtu);
	err = rtnl_request_send(rt, &req);
	return err ? err : 1;
}

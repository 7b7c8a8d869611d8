/* SPDX-License-Identifier: GPL-2.0-or-later */
/* From a policy and the engine's classes to the firewall's ruleset. Pure: no kernel here. */
#include "host/fwadapt.h"

#include <errno.h>
#include <net/if_arp.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SSH_PORT 22

void fwrules_addr(const struct policy_addr *in, struct fw_addr *out)
{
	memset(out, 0, sizeof(*out));
	out->family = in->family;
	if (in->family)
		out->bits = in->family == AF_INET ? 32 : 128;
	memcpy(out->bytes, in->bytes, sizeof(out->bytes));
}

static void prefix_convert(const struct policy_prefix *in, struct fw_addr *out)
{
	fwrules_addr(&in->addr, out);
	out->bits = in->len;
}

/* ---- names ---------------------------------------------------------------------------------- */

static void hash_text(uint64_t *hash, const char *text)
{
	/* FNV-1a; the NUL counts too, so that "ab","c" differs from "a","bc". */
	do {
		*hash = (*hash ^ (uint8_t)*text) * UINT64_C(0x100000001b3);
	} while (*text++);
}

static const char *role_name(const struct policy *policy, uint16_t role)
{
	return role == POLICY_ANY ? "*" : policy->roles[role];
}

static bool bit_get(const uint64_t *bits, size_t i)
{
	return bits[i / 64] >> (i % 64) & 1;
}

void fwrules_class_name(
        const struct policy *policy, const uint64_t *bits, char buf[FWRULES_CLASS_MAX])
{
	uint64_t hash = UINT64_C(0xcbf29ce484222325);
	bool any = false;

	for (size_t i = 0; i < policy->n_allows; i++) {
		const struct policy_allow *allow = &policy->allows[i];

		if (!bit_get(bits, i))
			continue;
		any = true;
		hash_text(&hash, role_name(policy, allow->from));
		hash_text(&hash, role_name(policy, allow->to));
		hash_text(&hash, policy->services[allow->service].name);
	}
	if (any)
		snprintf(buf, FWRULES_CLASS_MAX, "c%016llx", (unsigned long long)hash);
	else
		snprintf(buf, FWRULES_CLASS_MAX, "none");
}

/* ---- parts of the ruleset ---------------------------------------------------------------------
 */

static int ports_copy(const struct policy_service *service, struct fw_ports **out)
{
	struct fw_ports *ports = calloc(service->n_ports ? service->n_ports : 1, sizeof(*ports));

	if (!ports)
		return -ENOMEM;
	for (size_t i = 0; i < service->n_ports; i++)
		ports[i] = (struct fw_ports){.proto = (uint8_t)service->ports[i].proto,
		        .first = service->ports[i].first,
		        .last = service->ports[i].last};
	*out = ports;
	return 0;
}

static int class_add(struct fw_ruleset *rs, const struct policy *policy, enum fw_dir dir,
        const struct engine_fw_class *class)
{
	char name[FWRULES_CLASS_MAX];
	int err;

	fwrules_class_name(policy, class->bits, name);
	err = fw_ruleset_add_class(rs, dir, name);
	for (size_t i = 0; i < policy->n_allows && !err; i++) {
		const struct policy_allow *allow = &policy->allows[i];
		const struct policy_service *service = &policy->services[allow->service];
		char comment[FW_COMMENT_MAX];
		struct fw_ports *ports;

		if (!bit_get(class->bits, i))
			continue;
		err = ports_copy(service, &ports);
		if (err)
			break;
		snprintf(comment, sizeof(comment), "%s:%u %s>%s %s", allow->where.file,
		        allow->where.line, role_name(policy, allow->from),
		        role_name(policy, allow->to), service->name);
		err = fw_ruleset_add_allow(rs, dir, name, ports, service->n_ports, comment);
		free(ports);
	}
	return err;
}

/*
 * Ports of the cluster are closed on the underlay. But never ssh by accident: in guard mode tcp/22
 * is closed only where `manage:` says who may still come in.
 */
static int protect(struct fw_ruleset *rs, const struct policy *policy, const struct fw_ports *ports)
{
	struct fw_ports part = *ports;
	int err = 0;

	if (ports->proto != IPPROTO_TCP || policy->n_manage || ports->first > SSH_PORT ||
	        ports->last < SSH_PORT)
		return fw_ruleset_add_protected(rs, ports);
	part.last = SSH_PORT - 1;
	if (ports->first <= part.last)
		err = fw_ruleset_add_protected(rs, &part);
	part = *ports;
	part.first = SSH_PORT + 1;
	if (!err && part.first <= ports->last)
		err = fw_ruleset_add_protected(rs, &part);
	return err;
}

static int protect_all(struct fw_ruleset *rs, const struct policy *policy)
{
	int err = 0;

	for (size_t i = 0; i < policy->n_allows && !err; i++) {
		const struct policy_service *service = &policy->services[policy->allows[i].service];
		struct fw_ports *ports;

		err = ports_copy(service, &ports);
		if (err)
			break;
		for (size_t p = 0; p < service->n_ports && !err; p++)
			err = protect(rs, policy, &ports[p]);
		free(ports);
	}
	return err;
}

static int manage_all(struct fw_ruleset *rs, const struct policy *policy)
{
	int err = 0;

	for (size_t i = 0; i < policy->n_manage && !err; i++) {
		const struct policy_manage *manage = &policy->manage[i];
		const struct policy_service *service = &policy->services[manage->service];
		char comment[FW_COMMENT_MAX];
		struct fw_ports *ports;
		struct fw_addr from;

		err = ports_copy(service, &ports);
		if (err)
			break;
		prefix_convert(&manage->from, &from);
		snprintf(comment, sizeof(comment), "%s:%u manage %s", manage->where.file,
		        manage->where.line, service->name);
		err = fw_ruleset_add_manage(rs, &from, ports, service->n_ports, comment);
		free(ports);
	}
	return err;
}

static int overlay_all(struct fw_ruleset *rs, const struct policy *policy)
{
	const struct policy_prefix *prefixes[] = {&policy->overlay4, &policy->overlay6};
	int err = 0;

	for (size_t i = 0; i < 2 && !err; i++) {
		struct fw_addr prefix;

		if (!prefixes[i]->addr.family)
			continue;
		prefix_convert(prefixes[i], &prefix);
		err = fw_ruleset_add_prefix(rs, &prefix);
	}
	return err;
}

static int self_all(struct fw_ruleset *rs, const struct policy_peer *self)
{
	const struct policy_addr *addrs[] = {&self->addr4, &self->addr6};
	int err = 0;

	for (size_t i = 0; i < 2 && !err; i++) {
		struct fw_addr addr;

		if (!addrs[i]->family)
			continue;
		fwrules_addr(addrs[i], &addr);
		err = fw_ruleset_add_self(rs, &addr, 0);
	}
	return err;
}

/* Where a router forwards another port to a peer's charon. */
static int tunnel_ports_all(struct fw_ruleset *rs, const struct policy *policy)
{
	int err = 0;

	for (size_t i = 0; i < policy->n_peers && !err; i++) {
		const struct policy_peer *peer = &policy->peers[i];

		for (size_t k = 0; k < peer->n_endpoints && !err; k++)
			if (peer->endpoints[k].port && peer->endpoints[k].port != policy->port)
				err = fw_ruleset_add_tunnel_port(rs, peer->endpoints[k].port);
	}
	return err;
}

/* Who is admitted at all may speak to overlayd, and overlayd to it: whatever the policy allows. */
static int sessions_add(struct fw_ruleset *rs, const struct policy *policy, enum fw_dir dir,
        const struct engine_fw_class *class)
{
	static const struct fw_ports ports[] = {
	        {IPPROTO_TCP, SESSION_PORT, SESSION_PORT},
	        {IPPROTO_UDP, SESSION_PORT, SESSION_PORT},
	};
	char name[FWRULES_CLASS_MAX];

	fwrules_class_name(policy, class->bits, name);
	return fw_ruleset_add_allow(rs, dir, name, ports, 2, "overlayd's own sessions");
}

/* The first, which the policy allows nothing, comes last: packets find the others sooner. */
static int classes_of(struct fw_ruleset *rs, const struct engine_fw_base *base, enum fw_dir dir,
        const struct engine_fw_class *classes, size_t n)
{
	int err = 0;

	for (size_t i = 0; i < n && !err; i++) {
		const struct engine_fw_class *class = &classes[(i + 1) % n];

		err = class_add(rs, base->policy, dir, class);
		if (!err && base->sessions)
			err = sessions_add(rs, base->policy, dir, class);
	}
	return err;
}

static int classes_all(struct fw_ruleset *rs, const struct engine_fw_base *base)
{
	int err = classes_of(rs, base, FW_IN, base->in, base->n_in);

	if (base->sessions)
		fw_ruleset_set_own(rs, SESSION_PORT, geteuid());
	return err ? err : classes_of(rs, base, FW_OUT, base->out, base->n_out);
}

/* Newcomers, at this seed. */
static int join_all(struct fw_ruleset *rs, const struct engine_fw_base *base)
{
	struct fw_join join = {.role = FW_JOIN_SERVE, .port = JOIN_PORT};

	prefix_convert(&base->join_pool, &join.net);
	return fw_ruleset_set_join(rs, &join);
}

int fwrules_guest(
        struct fw_ruleset *rs, const struct fwadapt_guest *guest, const struct fwrules_world *world)
{
	struct fw_join join = {.role = FW_JOIN_ASK, .port = JOIN_PORT, .uid = geteuid()};
	struct fw_addr own;
	int err;

	prefix_convert(&guest->overlay6, &join.net);
	err = fw_ruleset_add_prefix(rs, &join.net);
	if (err == -EEXIST) /* of a policy that we are not in */
		err = 0;
	if (!err)
		err = fw_ruleset_set_device(rs, world->device);
	fw_ruleset_set_device_type(rs, ARPHRD_NONE);
	fw_ruleset_set_secpath(rs, world->secpath);
	if (!err)
		err = fw_ruleset_set_join(rs, &join);
	if (err || !guest->own.family)
		return err;
	fwrules_addr(&guest->own, &own);
	return fw_ruleset_add_self(rs, &own, 0);
}

static int policy_all(
        struct fw_ruleset *rs, const struct engine_fw_base *base, const struct fwrules_world *world)
{
	const struct policy *policy = base->policy;
	int err;

	fw_ruleset_set_mode(rs, policy->firewall == POLICY_LOCKDOWN ? FW_LOCKDOWN : FW_GUARD);
	fw_ruleset_set_secpath(rs, world->secpath);
	fw_ruleset_set_patient(rs, world->traps && policy_mesh_on_demand(policy));
	err = fw_ruleset_set_port(rs, policy->port);
	if (!err)
		err = tunnel_ports_all(rs, policy);
	if (!err)
		err = overlay_all(rs, policy);
	if (!err)
		err = protect_all(rs, policy);
	if (!err)
		err = manage_all(rs, policy);
	if (!err && base->self)
		err = fw_ruleset_set_device(rs, world->device);
	fw_ruleset_set_device_type(rs, ARPHRD_NONE); /* of either plane */
	if (!err && base->self)
		err = self_all(rs, base->self);
	if (!err && base->self)
		err = classes_all(rs, base);
	if (!err && base->self && base->join)
		err = join_all(rs, base);
	return err;
}

int fwrules_make(const struct engine_fw_base *base, const struct fwrules_world *world,
        struct fw_ruleset **out, char *err, size_t err_size)
{
	struct fw_ruleset *rs;
	int ret = fw_ruleset_new(&rs);

	if (!ret && base->policy) {
		ret = policy_all(rs, base, world);
		if (ret)
			fw_ruleset_free(rs);
	}
	if (ret) {
		snprintf(err, err_size, "cannot make the ruleset of this policy: %s",
		        strerror(-ret));
		return ret;
	}
	*out = rs;
	return 0;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Services: those that come built in, and those of the policy. */
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "policy/internal.h"

#define TCP(first, last)                                                                           \
	{                                                                                          \
		POLICY_TCP, first, last,                                                           \
		{                                                                                  \
			"(built in)", 0, 0                                                         \
		}                                                                                  \
	}
#define UDP(first, last)                                                                           \
	{                                                                                          \
		POLICY_UDP, first, last,                                                           \
		{                                                                                  \
			"(built in)", 0, 0                                                         \
		}                                                                                  \
	}

/*
 * pbs: the PBS Professional installation guide, "Ports used by PBS": server 15001, MoM 15002 and
 * its resource monitor 15003, scheduler 15004, pbs_comm 17001. The data service (15007) listens
 * for the server's own host only: who runs it elsewhere overrides pbs.
 */
static const struct policy_ports pbs[] = {TCP(15001, 15004), TCP(17001, 17001)};
/*
 * slurm: slurm.conf(5) and slurmdbd.conf(5): slurmctld 6817, slurmd 6818, slurmdbd 6819. srun takes
 * ephemeral ports unless SrunPortRange is set: set it, and override slurm with that range added.
 */
static const struct policy_ports slurm[] = {TCP(6817, 6819)};
/*
 * corosync: corosync.conf(5): mcastport 5405, and one below it; knet uses one port more for each
 * link (up to 8). firewalld's high-availability service names the same range.
 */
static const struct policy_ports corosync[] = {UDP(5404, 5412)};
/* pacemaker: pacemaker-remoted(8) 3121 (IANA pcmk-remote); pcsd 2224 joins the nodes for pcs. */
static const struct policy_ports pacemaker[] = {TCP(2224, 2224), TCP(3121, 3121)};
/* heartbeat: ha.cf's udpport, IANA ha-cluster 694. */
static const struct policy_ports heartbeat[] = {UDP(694, 694)};
/*
 * maas: MAAS's "communication" page: a rack reaches 5240 (HTTP), 5241-5247 (internal), 5248 (rack's
 * HTTP) and 5250-5270 (region workers' RPC). Not DHCP and TFTP: machines that boot have no tunnel.
 */
static const struct policy_ports maas[] = {TCP(5240, 5248), TCP(5250, 5270)};
static const struct policy_ports ssh[] = {TCP(22, 22)}; /* IANA */

#define BUILTIN(name)                                                                              \
	{                                                                                          \
#name, name, sizeof(name) / sizeof(name[0]), true,                                 \
		{                                                                                  \
			"(built in)", 0, 0                                                         \
		}                                                                                  \
	}
static const struct policy_service builtins[] = {BUILTIN(corosync), BUILTIN(heartbeat),
        BUILTIN(maas), BUILTIN(pacemaker), BUILTIN(pbs), BUILTIN(slurm), BUILTIN(ssh)};

void pol_service_put(struct pol_ctx *ctx, const struct policy_service *service)
{
	ctx->services = pol_grow(&ctx->scratch, ctx->services, ctx->n_services, &ctx->cap_services,
	        sizeof(*ctx->services));
	ctx->services[ctx->n_services++] = *service;
}

void pol_builtins_add(struct pol_ctx *ctx)
{
	for (size_t i = 0; i < sizeof(builtins) / sizeof(builtins[0]); i++) {
		bool overridden = false;

		for (size_t j = 0; j < ctx->n_services; j++)
			if (strcmp(ctx->services[j].name, builtins[i].name) == 0)
				overridden = true;
		if (!overridden)
			pol_service_put(ctx, &builtins[i]);
	}
}

static bool ports_overlap(const struct policy_ports *a, const struct policy_ports *b)
{
	return a->proto == b->proto && a->first <= b->last && b->first <= a->last;
}

static bool ports_item(
        struct pol_ctx *ctx, const struct pol_node *item, struct policy_ports *all, size_t n)
{
	const char *text = pol_text(ctx, item, "ports such as tcp/22");
	char err[128], before[32];

	if (!text)
		return false;
	if (policy_ports_parse(text, &all[n], err, sizeof(err))) {
		pol_error(ctx, pol_at(ctx, item), "%s", err);
		return false;
	}
	all[n].where = pol_at(ctx, item);
	for (size_t i = 0; i < n; i++) {
		if (!ports_overlap(&all[i], &all[n]))
			continue;
		pol_ports_print(&all[i], before, sizeof(before));
		pol_error(ctx, pol_at(ctx, item), "'%.40s' overlaps %s of the same service", text,
		        before);
		return false;
	}
	return true;
}

static void service_ports(
        struct pol_ctx *ctx, const struct pol_node *body, struct policy_service *service)
{
	const struct pol_node *list =
	        pol_need(ctx, body, "ports", "this service", "ports: [tcp/22]");
	struct policy_ports *ports;

	if (!list || !pol_is_seq(ctx, list, "ports", "[tcp/22, udp/5404-5412]"))
		return;
	if (list->n == 0 || list->n > POL_PORTS_MAX) {
		pol_error(ctx, pol_at(ctx, list), "a service has 1 to %u port ranges, not %u",
		        POL_PORTS_MAX, list->n);
		return;
	}
	ports = pol_array(&ctx->keep, list->n, sizeof(*ports));
	for (const struct pol_node *item = list->child; item; item = item->next)
		service->n_ports += ports_item(ctx, item, ports, service->n_ports);
	service->ports = ports;
}

static int service_compare(const void *a, const void *b)
{
	const struct policy_service *x = a, *y = b;

	return strcmp(x->name, y->name);
}

static void services_take(struct pol_ctx *ctx, const struct pol_node *map, bool builtin)
{
	if (map->n / 2 > POL_SERVICES_MAX) {
		pol_error(ctx, pol_at(ctx, map), "a policy may have %u services, not %u",
		        POL_SERVICES_MAX, map->n / 2);
		return;
	}
	for (const struct pol_node *k = map->child; k; k = k->next->next) {
		const char *name = pol_name(ctx, k, "a service's name");
		struct policy_service service = {.builtin = builtin, .where = pol_at(ctx, k)};

		if (pol_keys_check(ctx, k->next, &pol_keys_service))
			service_ports(ctx, k->next, &service);
		service.name = name ? pol_keep(ctx, name) : NULL;
		if (name)
			pol_service_put(ctx, &service);
	}
}

/* NULL: none of its own. Sorts them, so that their indexes are final. */
void pol_services_parse(struct pol_ctx *ctx, const struct pol_node *node)
{
	if (node && pol_is_map(ctx, node, "services"))
		services_take(ctx, node, false);
	/* A bundle brings its own, so that it means the same ports to every release. */
	if (ctx->builtins)
		services_take(ctx, ctx->builtins, true);
	else
		pol_builtins_add(ctx);
	pol_sort(ctx->services, ctx->n_services, sizeof(*ctx->services), service_compare);
	for (size_t i = 0; i < ctx->n_services; i++)
		if (pol_names_put(&ctx->scratch, &ctx->service_names, ctx->services[i].name,
		            (uint32_t)i) != i)
			pol_error(ctx, ctx->services[i].where, "service '%s' is here twice",
			        ctx->services[i].name);
}

uint32_t pol_service_find(struct pol_ctx *ctx, const struct pol_node *node)
{
	const char *text = pol_text(ctx, node, "a service's name");
	uint32_t service = text ? pol_names_get(&ctx->service_names, text) : POL_NONE;

	if (text && service == POL_NONE)
		pol_error(ctx, pol_at(ctx, node), "there is no service '%.63s'%s", text,
		        pol_hint_names(ctx, &ctx->service_names, text).text);
	return service;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the firewall has refused, for people. */
#include "host/ops.h"

#include "host/fwadapt.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROWS_MAX 1024

struct rows {
	struct fw_denied list[ROWS_MAX];
	size_t n;
	uint64_t total;
};

static int row_take(void *ctx, const struct fw_denied *denied)
{
	struct rows *rows = ctx;

	rows->total += denied->packets;
	if (rows->n < ROWS_MAX)
		rows->list[rows->n++] = *denied;
	return 0;
}

static int newest_first(const void *a, const void *b)
{
	uint64_t x = ((const struct fw_denied *)a)->last_ms_ago;
	uint64_t y = ((const struct fw_denied *)b)->last_ms_ago;

	return (x > y) - (x < y);
}

static const struct policy_peer *peer_of(const struct engine_view *view, const struct fw_addr *addr)
{
	struct policy_addr pa = {.family = addr->family};

	memcpy(pa.bytes, addr->bytes, sizeof(pa.bytes));
	return view->policy ? policy_peer_by_addr(view->policy, &pa) : NULL;
}

static void port_text(const struct fw_denied *denied, char *buf, size_t size)
{
	switch (denied->proto) {
	case IPPROTO_TCP:
		snprintf(buf, size, "tcp/%u", denied->port);
		break;
	case IPPROTO_UDP:
		snprintf(buf, size, "udp/%u", denied->port);
		break;
	case IPPROTO_ICMP:
	case IPPROTO_ICMPV6:
		snprintf(buf, size, "icmp");
		break;
	default:
		snprintf(buf, size, "protocol %u", denied->proto);
		break;
	}
}

/* Who forbids it, in a sentence: the policy's own words where both ends are known to it. */
static void why_text(const struct engine_view *view, const struct fw_denied *denied, bool sessions,
        const struct policy_peer *peer, char *buf, size_t size)
{
	const struct policy_peer *from = denied->dir == FW_IN ? peer : view->self;
	const struct policy_peer *to = denied->dir == FW_IN ? view->self : peer;
	struct policy_verdict verdict;

	if (!peer) {
		snprintf(buf, size, "the policy has no peer with this address");
		return;
	}
	if (sessions && denied->port == SESSION_PORT &&
	        (denied->proto == IPPROTO_TCP || denied->proto == IPPROTO_UDP)) {
		snprintf(buf, size, "%s",
		        denied->dir == FW_IN
		                ? "overlayd speaks only with peers that are admitted"
		                : "only overlayd itself speaks to other nodes' overlayd");
		return;
	}
	if (from && to &&
	        (denied->proto == IPPROTO_TCP || denied->proto == IPPROTO_UDP ||
	                denied->proto == IPPROTO_ICMP) &&
	        !policy_explain(view->policy, from, to, (enum policy_proto)denied->proto,
	                denied->port, ops_when(view, from, to), &verdict))
		snprintf(buf, size, "%s", verdict.text);
	else
		snprintf(buf, size, "no allow rule opens this");
}

static json_t *row_json(struct world *world, const struct engine_view *view, bool sessions,
        const struct fw_denied *denied)
{
	const struct policy_peer *peer = peer_of(view, &denied->addr);
	char other[FW_ADDR_TEXT];
	char self[64] = "";
	char port[32];
	char why[512];
	bool in = denied->dir == FW_IN;

	fw_addr_text(&denied->addr, other);
	if (view->self)
		policy_addr_print(
		        denied->addr.family == AF_INET6 ? &view->self->addr6 : &view->self->addr4,
		        self, sizeof(self));
	port_text(denied, port, sizeof(port));
	why_text(view, denied, sessions, peer, why, sizeof(why));
	return json_pack("{s:I, s:I, s:o, s:s, s:s, s:s, s:s}", "time",
	        (json_int_t)(state_clock_now(&world->clock) -
	                     (int64_t)(denied->last_ms_ago / 1000)),
	        "count", (json_int_t)denied->packets, "peer",
	        peer ? json_string(peer->name) : json_null(), "from", in ? other : self, "to",
	        in ? self : other, "port", port, "why", why);
}

int denied_json(struct world *world, json_t **out, char *err, size_t err_size)
{
	struct rows *rows = calloc(1, sizeof(*rows));
	struct engine_bundle_view bundle;
	struct engine_view view;
	struct fw_error fe = {""};
	json_t *list;
	int ret;

	if (!rows)
		return -ENOMEM;
	ret = fw_denied_read(fwadapt_fw(world->firewall), row_take, rows, &fe);
	if (ret) {
		snprintf(err, err_size, "%s", fe.text[0] ? fe.text : strerror(-ret));
		free(rows);
		return ret;
	}
	engine_look(world->engine, &view);
	engine_bundle_look(world->engine, &bundle);
	qsort(rows->list, rows->n, sizeof(rows->list[0]), newest_first);
	list = json_array();
	for (size_t i = 0; i < rows->n; i++)
		json_array_append_new(list, row_json(world, &view, bundle.key, &rows->list[i]));
	*out = json_pack("{s:I, s:I, s:o}", "total", (json_int_t)rows->total, "since",
	        (json_int_t)world->started_s, "denied", list);
	free(rows);
	return *out ? 0 : -ENOMEM;
}

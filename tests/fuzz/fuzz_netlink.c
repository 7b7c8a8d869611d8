/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Netlink dump bytes to an observed table: no crash, no leak, no exit; and whatever was observed, a
 * transaction to the wanted table can be made from it, that ends when the table is as wanted.
 */
#include <stdio.h>
#include "firewall/netlink.h"
#include "firewall/observe.h"

#include <libmnl/libmnl.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define NOW_MS 1000

static void require(bool holds)
{
	if (!holds)
		abort();
}

static struct fw_addr addr(const char *text)
{
	struct fw_addr a;

	require(fw_addr_parse(text, &a) == 0);
	return a;
}

static struct fw_ruleset *wanted(void)
{
	static const struct fw_ports ports[] = {
	        {IPPROTO_TCP, 22, 22}, {IPPROTO_TCP, 80, 90}, {IPPROTO_ICMP, 0, 0}};
	struct fw_addr overlay = addr("10.77.0.0/16"), self = addr("10.77.0.1");
	struct fw_peer p = {
	        .name = "n", .v4 = addr("10.77.0.2"), .v6 = addr("fd77::2"), .in = "exec"};
	struct fw_ruleset *rs;

	require(fw_ruleset_new(&rs) == 0);
	require(fw_ruleset_set_device(rs, "ipsec0") == 0);
	require(fw_ruleset_add_prefix(rs, &overlay) == 0);
	require(fw_ruleset_add_self(rs, &self, 0) == 0);
	require(fw_ruleset_add_protected(rs, &ports[1]) == 0);
	require(fw_ruleset_add_allow(rs, FW_IN, "exec", ports, 3, "allow p.yaml:1") == 0);
	require(fw_ruleset_set_peer(rs, &p) == 0);
	return rs;
}

/* From what was observed to what is wanted. */
static void compare(struct observed *o)
{
	static struct fw_ruleset *rs;
	static struct table table;
	static struct shape shape;
	struct have have = {.shape = &o->shape, .elems = &o->elems};
	struct change change = {0};
	struct batch b;

	if (!rs) {
		rs = wanted();
		require(fw_table_build(rs, &table) == 0);
		require(shape_from_table(&table, &shape) == 0);
	}
	batch_begin(&b, 1, 0);
	require(diff_table(&b, &have, &table, &shape, NOW_MS, &change) == 0);
	require(change.replaced || (o->shape.exists && !o->shape.foreign));
	require(!change.replaced || b.messages > 3);
	batch_clear(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *copy = malloc(size ? size : 1); /* aligned, and its end is watched */
	const struct nlmsghdr *nlh = (const void *)copy;
	struct observed o;
	int left = (int)size;

	require(copy && size <= (size_t)1 << 20);
	if (size)
		memcpy(copy, data, size);
	observed_init(&o, NOW_MS);
	for (; nl_message_ok(nlh, left); nlh = mnl_nlmsg_next(nlh, &left))
		require(observed_feed(&o, nlh) == 0);
	free(copy); /* nothing observed may point into it */
	require(observed_finish(&o) == 0);
	for (int id = SET_ELEMENTS; id < SET_STATIC; id++)
		require(o.shape.statics[id]);
	for (size_t i = 0; i < o.shape.n; i++)
		require(o.shape.chains[i].rules);
	compare(&o);
	observed_clear(&o);
	return 0;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Making the kernel's table equal to a ruleset, whole or not at all. */
#include <stdio.h>
#include "firewall/commit.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/netlink.h>
#include <stdlib.h>
#include <string.h>

#include "firewall/observe.h"

#define TRIES 5
/* The kernel counts in jiffies, and time passes while it dumps. */
#define DUMP_SLACK_MS 1000

int fw_open(struct fw **out, struct fw_error *err)
{
	struct fw *fw = calloc(1, sizeof(*fw));
	int rc;

	if (!fw)
		return fw_fail(err, -ENOMEM, "out of memory");
	rc = nlsock_open(&fw->s, NETLINK_NETFILTER, err);
	if (rc < 0) {
		free(fw);
		return rc;
	}
	*out = fw;
	return 0;
}

void fw_close(struct fw *fw)
{
	if (!fw)
		return;
	fw_forget(fw);
	nlsock_close(&fw->s);
	free(fw);
}

uint32_t fw_port_id(const struct fw *fw)
{
	return fw->s.portid;
}

void fw_forget(struct fw *fw)
{
	fw_ruleset_free(fw->applied);
	fw->applied = NULL;
	shape_clear(&fw->shape);
}

const struct fw_ruleset *fw_applied(const struct fw *fw)
{
	return fw->applied;
}

static int gather(void *ctx, const struct elem *e)
{
	return elem_list_add(ctx, e);
}

/* What the kernel holds: as it confirmed, or as it says now. Blind: nothing, so that the table is
 * replaced whatever it is. */
static int what_is_there(struct fw *fw, struct observed *o, bool blind, struct have *have,
        uint32_t *generation, struct fw_error *err)
{
	int rc;

	*generation = 0;
	have->shape = &fw->shape;
	have->elems = &o->elems;
	if (!fw->applied) {
		have->shape = &o->shape;
		have->slack_ms = DUMP_SLACK_MS;
		if (blind)
			return 0;
		return observe(&fw->s, o, generation, err);
	}
	rc = fw_elems_each(fw->applied, gather, &o->elems);
	return rc ? fw_fail(err, rc, "out of memory for the firewall's elements") : 0;
}

struct wanted {
	const struct fw_ruleset *rs;
	struct table table;
	struct shape shape;
	struct fw_ruleset *copy; /* becomes `applied` */
};

static int commit_once(
        struct fw *fw, struct wanted *w, bool blind, struct fw_result *res, struct fw_error *err)
{
	uint64_t now_ms = fw_now_ms();
	struct observed o;
	struct have have = {0};
	struct change change = {0};
	struct batch b = {0};
	uint32_t generation;
	int rc;

	observed_init(&o, now_ms);
	rc = what_is_there(fw, &o, blind, &have, &generation, err);
	if (rc < 0)
		goto out;
	batch_begin(&b, fw->s.seq + 1, generation);
	rc = diff_table(&b, &have, &w->table, &w->shape, now_ms, &change);
	if (rc < 0) {
		fw_fail(err, rc, "out of memory for the firewall's transaction");
		goto out;
	}
	*res = (struct fw_result){.messages = b.messages,
	        .elements_added = change.added,
	        .elements_removed = change.removed,
	        .was_foreign = b.messages && !fw->applied && o.shape.exists,
	        .outcome = change.replaced ? FW_REPLACED
	                   : b.messages    ? FW_UPDATED
	                                   : FW_UNCHANGED};
	rc = nlsock_commit(&fw->s, &b, err);
out:
	batch_clear(&b);
	observed_clear(&o);
	return rc;
}

/* Worth another look at what is there? Lost answers, a race, or a table that is not what we
 * believed. */
static bool look_again(const struct fw *fw, int rc)
{
	switch (rc) {
	case -ERESTART:
	case -ENOBUFS:
	case -ETIMEDOUT:
	case -EINTR:
	case -EAGAIN:
		return true;
	case -ENOENT:
	case -EEXIST:
	case -EBUSY:
	case -EINVAL:
		return fw->applied;
	default:
		return false;
	}
}

static int wanted_make(struct wanted *w, const struct fw_ruleset *rs, struct fw_error *err)
{
	int rc = fw_table_build(rs, &w->table);

	w->rs = rs;
	if (!rc)
		rc = shape_from_table(&w->table, &w->shape);
	if (!rc)
		rc = fw_ruleset_clone(rs, &w->copy);
	return rc ? fw_fail(err, rc, "cannot compile the firewall: %s", strerror(-rc)) : 0;
}

int fw_commit(
        struct fw *fw, const struct fw_ruleset *want, struct fw_result *res, struct fw_error *err)
{
	struct fw_result result = {0};
	struct wanted w = {0};
	bool foreign = false;
	int rc = wanted_make(&w, want, err);

	/* The last try does not look first: a storm of changes, of others' tables even, may keep us
	 * from reading, but must not keep the table away. It costs the counters. */
	for (int i = 0; i < TRIES && !rc; i++) {
		bool last = i == TRIES - 1;

		rc = commit_once(fw, &w, last, &result, err);
		if (last || !look_again(fw, rc))
			break;
		foreign = foreign || rc != -ENOBUFS;
		fw_forget(fw);
		if (rc == -EAGAIN) /* it has tried often enough */
			i = TRIES - 2;
		rc = 0;
	}
	if (!rc) {
		fw_forget(fw);
		fw->applied = w.copy;
		fw->shape = w.shape;
		w.copy = NULL;
		memset(&w.shape, 0, sizeof(w.shape));
		result.was_foreign = result.was_foreign || (foreign && result.messages);
		if (res)
			*res = result;
	}
	fw_table_clear(&w.table);
	shape_clear(&w.shape);
	fw_ruleset_free(w.copy);
	return rc;
}

int fw_remove(struct fw *fw, struct fw_error *err)
{
	struct batch b;
	int rc;

	batch_begin(&b, fw->s.seq + 1, 0);
	put_table(&b, NFT_MSG_NEWTABLE); /* so that deleting cannot fail for lack of it */
	put_table(&b, NFT_MSG_DELTABLE);
	rc = nlsock_commit(&fw->s, &b, err);
	batch_clear(&b);
	if (!rc)
		fw_forget(fw);
	return rc;
}

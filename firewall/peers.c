/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The peers of a ruleset, and copies of whole rulesets. */
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "firewall/ruleset.h"

struct peer *fw_peer_find(const struct fw_ruleset *rs, const char *name)
{
	struct peer *p;

	HASH_FIND(hh, rs->peers, name, strlen(name), p);
	return p;
}

static struct peer *find4(const struct fw_ruleset *rs, const struct fw_addr *a)
{
	struct peer *p;

	HASH_FIND(hh4, rs->peers4, a->bytes, 4, p);
	return p;
}

static struct peer *find6(const struct fw_ruleset *rs, const struct fw_addr *a)
{
	struct peer *p;

	HASH_FIND(hh6, rs->peers6, a->bytes, 16, p);
	return p;
}

struct peer *fw_peer_at(const struct fw_ruleset *rs, uint8_t family, const uint8_t *bytes)
{
	struct fw_addr a = {.family = family};

	memcpy(a.bytes, bytes, family == AF_INET ? 4 : 16);
	return family == AF_INET ? find4(rs, &a) : find6(rs, &a);
}

int fw_peer_check(const struct fw_ruleset *rs, const struct fw_peer *p)
{
	const struct peer *other;
	size_t len = p->name ? strlen(p->name) : 0;

	if (!len || len > 2 * FW_NAME_MAX)
		return -EINVAL;
	if (!p->v4.family && !p->v6.family)
		return -EINVAL;
	if (p->v4.family && (p->v4.family != AF_INET || p->v4.bits != 32))
		return -EINVAL;
	if (p->v6.family && (p->v6.family != AF_INET6 || p->v6.bits != 128))
		return -EINVAL;
	if ((p->in && !fw_class_find(rs, FW_IN, p->in)) ||
	        (p->out && !fw_class_find(rs, FW_OUT, p->out)))
		return -ENOENT;
	other = p->v4.family ? find4(rs, &p->v4) : NULL;
	if (other && strcmp(other->name, p->name))
		return -EEXIST;
	other = p->v6.family ? find6(rs, &p->v6) : NULL;
	if (other && strcmp(other->name, p->name))
		return -EEXIST;
	return 0;
}

static void peer_unlink(struct fw_ruleset *rs, struct peer *p)
{
	if (p->hh.tbl)
		HASH_DELETE(hh, rs->peers, p);
	if (p->pub.v4.family && p->hh4.tbl)
		HASH_DELETE(hh4, rs->peers4, p);
	if (p->pub.v6.family && p->hh6.tbl)
		HASH_DELETE(hh6, rs->peers6, p);
	free(p);
}

static int peer_link(struct fw_ruleset *rs, struct peer *p)
{
	HASH_ADD_KEYPTR(hh, rs->peers, p->name, strlen(p->name), p);
	if (!p->hh.tbl)
		goto fail;
	if (p->pub.v4.family) {
		HASH_ADD(hh4, rs->peers4, pub.v4.bytes, 4, p);
		if (!p->hh4.tbl)
			goto fail;
	}
	if (p->pub.v6.family) {
		HASH_ADD(hh6, rs->peers6, pub.v6.bytes, 16, p);
		if (!p->hh6.tbl)
			goto fail;
	}
	return 0;
fail:
	peer_unlink(rs, p);
	return -ENOMEM;
}

int fw_ruleset_set_peer(struct fw_ruleset *rs, const struct fw_peer *peer)
{
	struct peer *p, *old;
	int rc = fw_peer_check(rs, peer);

	if (rc < 0)
		return rc;
	p = calloc(1, sizeof(*p));
	if (!p)
		return -ENOMEM;
	strcpy(p->name, peer->name);
	p->pub = *peer;
	p->pub.name = p->name;
	p->pub.in = peer->in ? fw_class_find(rs, FW_IN, peer->in)->name : NULL;
	p->pub.out = peer->out ? fw_class_find(rs, FW_OUT, peer->out)->name : NULL;
	old = fw_peer_find(rs, p->name);
	if (old)
		peer_unlink(rs, old);
	return peer_link(rs, p);
}

int fw_ruleset_del_peer(struct fw_ruleset *rs, const char *name)
{
	struct peer *p = fw_peer_find(rs, name);

	if (!p)
		return -ENOENT;
	peer_unlink(rs, p);
	return 0;
}

size_t fw_ruleset_peer_count(const struct fw_ruleset *rs)
{
	return HASH_COUNT(rs->peers);
}

const struct fw_peer *fw_ruleset_peer(const struct fw_ruleset *rs, const char *name)
{
	const struct peer *p = fw_peer_find(rs, name);

	return p ? &p->pub : NULL;
}

static int copy_underlay(const struct fw_ruleset *rs, struct fw_ruleset *to)
{
	int rc = 0;

	to->mode = rs->mode;
	to->port = rs->port;
	for (size_t i = 0; i < rs->n_tunnels && !rc; i++)
		rc = fw_ruleset_add_tunnel_port(to, rs->tunnels[i]);
	for (size_t i = 0; i < rs->n_prefixes && !rc; i++)
		rc = fw_ruleset_add_prefix(to, &rs->prefixes[i]);
	for (size_t i = 0; i < rs->n_protect && !rc; i++)
		rc = fw_ruleset_add_protected(to, &rs->protect[i]);
	for (size_t i = 0; i < rs->n_manage && !rc; i++)
		rc = fw_ruleset_add_manage(to, &rs->manage[i].from, rs->manage[i].ports,
		        rs->manage[i].n, rs->manage[i].comment);
	for (const struct address *a = rs->endpoints; a && !rc; a = a->hh.next)
		rc = fw_ruleset_add_endpoint(to, &a->a);
	return rc;
}

static int copy_classes(const struct fw_ruleset *rs, struct fw_ruleset *to)
{
	int rc = 0;

	for (size_t i = 0; i < rs->n_classes && !rc; i++) {
		const struct fw_class *c = rs->classes[i];

		rc = fw_ruleset_add_class(to, c->dir, c->name);
		for (size_t k = 0; k < c->n && !rc; k++)
			rc = fw_ruleset_add_allow(to, c->dir, c->name, c->allows[k].ports,
			        c->allows[k].n, c->allows[k].comment);
	}
	return rc;
}

int fw_guard_ruleset(const struct fw_ruleset *rs, struct fw_ruleset **out)
{
	struct fw_ruleset *to;
	int rc = fw_ruleset_new(&to);

	if (rc < 0)
		return rc;
	rc = copy_underlay(rs, to);
	if (rc < 0) {
		fw_ruleset_free(to);
		return rc;
	}
	*out = to;
	return 0;
}

int fw_ruleset_clone(const struct fw_ruleset *rs, struct fw_ruleset **out)
{
	struct fw_ruleset *to;
	int rc = fw_guard_ruleset(rs, &to);

	if (rc < 0)
		return rc;
	memcpy(to->device, rs->device, sizeof(to->device));
	to->device_type = rs->device_type;
	to->secpath = rs->secpath;
	to->patient = rs->patient;
	to->own_port = rs->own_port;
	to->own_uid = rs->own_uid;
	to->join = rs->join;
	rc = copy_classes(rs, to);
	for (const struct address *a = rs->self; a && !rc; a = a->hh.next)
		rc = fw_ruleset_add_self(to, &a->a, a->until_ms);
	for (const struct peer *p = rs->peers; p && !rc; p = p->hh.next)
		rc = fw_ruleset_set_peer(to, &p->pub);
	if (rc < 0) {
		fw_ruleset_free(to);
		return rc;
	}
	*out = to;
	return 0;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The ruleset as plain data: what is wanted, owned and checked, far from any kernel. */
#include <errno.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "firewall/ruleset.h"

uint64_t fw_now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

int fw_fail(struct fw_error *err, int rc, const char *fmt, ...)
{
	va_list ap;

	if (!err)
		return rc;
	va_start(ap, fmt);
	vsnprintf(err->text, sizeof(err->text), fmt, ap);
	va_end(ap);
	return rc;
}

bool fw_is_host(const struct fw_addr *a)
{
	return (a->family == AF_INET && a->bits == 32) || (a->family == AF_INET6 && a->bits == 128);
}

int fw_ruleset_new(struct fw_ruleset **out)
{
	struct fw_ruleset *rs = calloc(1, sizeof(*rs));

	if (!rs)
		return -ENOMEM;
	rs->mode = FW_GUARD;
	rs->port = 4500;
	*out = rs;
	return 0;
}

static void addresses_free(struct address **table)
{
	struct address *a, *tmp;

	HASH_ITER(hh, *table, a, tmp)
		fw_address_del(table, a);
}

static void class_free(struct fw_class *c)
{
	if (!c)
		return;
	for (size_t i = 0; i < c->n; i++)
		free(c->allows[i].ports);
	free(c->allows);
	free(c);
}

void fw_ruleset_free(struct fw_ruleset *rs)
{
	struct peer *p, *tmp;

	if (!rs)
		return;
	HASH_CLEAR(hh4, rs->peers4);
	HASH_CLEAR(hh6, rs->peers6);
	HASH_ITER(hh, rs->peers, p, tmp) {
		HASH_DELETE(hh, rs->peers, p);
		free(p);
	}
	addresses_free(&rs->self);
	addresses_free(&rs->endpoints);
	for (size_t i = 0; i < rs->n_classes; i++)
		class_free(rs->classes[i]);
	for (size_t i = 0; i < rs->n_manage; i++)
		free(rs->manage[i].ports);
	free(rs->classes);
	free(rs->manage);
	free(rs->protect);
	free(rs->tunnels);
	free(rs->prefixes);
	free(rs);
}

void fw_ruleset_set_mode(struct fw_ruleset *rs, enum fw_mode mode)
{
	rs->mode = mode;
}

int fw_ruleset_set_device(struct fw_ruleset *rs, const char *ifname)
{
	size_t len = ifname ? strlen(ifname) : 0;

	if (len >= sizeof(rs->device))
		return -EINVAL;
	for (size_t i = 0; i < len; i++) /* '*' would be a wildcard to nft */
		if (ifname[i] <= ' ' || ifname[i] >= 127 || strchr("\"*/\\", ifname[i]))
			return -EINVAL;
	memset(rs->device, 0, sizeof(rs->device));
	if (len)
		memcpy(rs->device, ifname, len);
	return 0;
}

void fw_ruleset_set_device_type(struct fw_ruleset *rs, uint16_t type)
{
	rs->device_type = type;
}

int fw_ruleset_set_port(struct fw_ruleset *rs, uint16_t port)
{
	if (!port)
		return -EINVAL;
	rs->port = port;
	return 0;
}

void fw_ruleset_set_own(struct fw_ruleset *rs, uint16_t port, uint32_t uid)
{
	rs->own_port = port;
	rs->own_uid = uid;
}

int fw_ruleset_set_join(struct fw_ruleset *rs, const struct fw_join *join)
{
	if (join->role != FW_JOIN_NONE && (!join->port || join->net.family != AF_INET6))
		return -EINVAL;
	rs->join = *join;
	return 0;
}

int fw_ruleset_add_tunnel_port(struct fw_ruleset *rs, uint16_t port)
{
	uint16_t *bigger;

	if (!port)
		return -EINVAL;
	for (size_t i = 0; i < rs->n_tunnels; i++)
		if (rs->tunnels[i] == port)
			return 0;
	bigger = reallocarray(rs->tunnels, rs->n_tunnels + 1, sizeof(*bigger));
	if (!bigger)
		return -ENOMEM;
	rs->tunnels = bigger;
	rs->tunnels[rs->n_tunnels++] = port;
	return 0;
}

void fw_ruleset_set_patient(struct fw_ruleset *rs, bool patient)
{
	rs->patient = patient;
}

void fw_ruleset_set_secpath(struct fw_ruleset *rs, bool required)
{
	rs->secpath = required;
}

/* Appends one zeroed item to an array, or returns NULL and leaves it as it was. */
static void *array_grow(void *array, size_t n, size_t size)
{
	char *bigger = reallocarray(array, n + 1, size);

	if (bigger)
		memset(bigger + n * size, 0, size);
	return bigger;
}

static bool prefix_covers(const struct fw_addr *p, const struct fw_addr *a)
{
	if (p->family != a->family || p->bits > a->bits)
		return false;
	for (unsigned i = 0; i < p->bits; i++)
		if (((p->bytes[i / 8] ^ a->bytes[i / 8]) >> (7 - i % 8)) & 1)
			return false;
	return true;
}

int fw_ruleset_add_prefix(struct fw_ruleset *rs, const struct fw_addr *prefix)
{
	struct fw_addr *bigger;

	if (prefix->family != AF_INET && prefix->family != AF_INET6)
		return -EINVAL;
	if (prefix->bits == 0) /* would be the whole Internet: nothing else could pass */
		return -EINVAL;
	for (size_t i = 0; i < rs->n_prefixes; i++)
		if (prefix_covers(&rs->prefixes[i], prefix) ||
		        prefix_covers(prefix, &rs->prefixes[i]))
			return -EEXIST;
	bigger = array_grow(rs->prefixes, rs->n_prefixes, sizeof(*bigger));
	if (!bigger)
		return -ENOMEM;
	rs->prefixes = bigger;
	rs->prefixes[rs->n_prefixes++] = *prefix;
	return 0;
}

struct address *fw_address_find(struct address *table, const struct fw_addr *a)
{
	struct address *found;

	HASH_FIND(hh, table, a, sizeof(*a), found);
	return found;
}

int fw_address_set(struct address **table, const struct fw_addr *a, uint64_t until_ms)
{
	struct address *e;

	if (!fw_is_host(a))
		return -EINVAL;
	e = fw_address_find(*table, a);
	if (e) {
		e->until_ms = until_ms;
		return 0;
	}
	e = calloc(1, sizeof(*e));
	if (!e)
		return -ENOMEM;
	e->a = *a;
	e->until_ms = until_ms;
	HASH_ADD(hh, *table, a, sizeof(e->a), e);
	if (!e->hh.tbl) {
		free(e);
		return -ENOMEM;
	}
	return 0;
}

void fw_address_del(struct address **table, struct address *a)
{
	HASH_DELETE(hh, *table, a);
	free(a);
}

int fw_ruleset_add_self(struct fw_ruleset *rs, const struct fw_addr *addr, uint64_t until_ms)
{
	return fw_address_set(&rs->self, addr, until_ms);
}

int fw_ruleset_add_endpoint(struct fw_ruleset *rs, const struct fw_addr *addr)
{
	return fw_address_set(&rs->endpoints, addr, 0);
}

static int ports_check(const struct fw_ports *p)
{
	if (p->proto == IPPROTO_ICMP)
		return 0;
	if (p->proto != IPPROTO_TCP && p->proto != IPPROTO_UDP)
		return -EINVAL;
	return p->first && p->first <= p->last ? 0 : -EINVAL;
}

static int ports_order(const void *a, const void *b)
{
	const struct fw_ports *x = a, *y = b;

	if (x->proto != y->proto)
		return x->proto < y->proto ? -1 : 1;
	return x->first < y->first ? -1 : x->first > y->first;
}

size_t fw_ports_merge(struct fw_ports *ports, size_t n)
{
	size_t kept = 0;

	if (!n)
		return 0;
	qsort(ports, n, sizeof(*ports), ports_order);
	for (size_t i = 1; i < n; i++) {
		struct fw_ports *last = &ports[kept];

		if (ports[i].proto == last->proto &&
		        (uint32_t)ports[i].first <= (uint32_t)last->last + 1) {
			if (ports[i].last > last->last)
				last->last = ports[i].last;
		} else {
			ports[++kept] = ports[i];
		}
	}
	return kept + 1;
}

int fw_ruleset_add_protected(struct fw_ruleset *rs, const struct fw_ports *ports)
{
	struct fw_ports *bigger;

	if (ports_check(ports) < 0)
		return -EINVAL;
	if (ports->proto == IPPROTO_ICMP)
		return 0;
	bigger = array_grow(rs->protect, rs->n_protect, sizeof(*bigger));
	if (!bigger)
		return -ENOMEM;
	rs->protect = bigger;
	rs->protect[rs->n_protect] = *ports;
	rs->n_protect = fw_ports_merge(rs->protect, rs->n_protect + 1);
	return 0;
}

/* A comment is data inside quotes of somebody's terminal and of nft: no quotes, no controls. */
static int comment_copy(char out[static FW_COMMENT_MAX + 1], const char *comment)
{
	size_t n = 0;

	for (const char *c = comment ? comment : ""; *c; c++) {
		if ((unsigned char)*c < ' ' || *c == 127 || *c == '"' || *c == '\\')
			return -EINVAL;
		if (n < FW_COMMENT_MAX)
			out[n++] = *c;
	}
	out[n] = '\0';
	return 0;
}

/* The ranges of one protocol, sorted, merged; ICMP becomes a single "may ping". */
static int ports_pick(
        const struct fw_ports *from, size_t n, uint8_t proto, struct fw_ports **out, size_t *n_out)
{
	struct fw_ports *p = calloc(n ? n : 1, sizeof(*p));
	size_t k = 0;

	if (!p)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		if (from[i].proto == proto)
			p[k++] = proto == IPPROTO_ICMP ? (struct fw_ports){proto, 0, 0} : from[i];
	k = fw_ports_merge(p, k);
	if (!k) {
		free(p);
		p = NULL;
	}
	*out = p;
	*n_out = k;
	return 0;
}

int fw_ruleset_add_manage(struct fw_ruleset *rs, const struct fw_addr *from,
        const struct fw_ports *ports, size_t n, const char *comment)
{
	static const uint8_t protos[] = {IPPROTO_TCP, IPPROTO_UDP, IPPROTO_ICMP};
	char text[FW_COMMENT_MAX + 1];
	int rc;

	if ((from->family != AF_INET && from->family != AF_INET6) ||
	        comment_copy(text, comment) < 0)
		return -EINVAL;
	for (size_t i = 0; i < n; i++)
		if (ports_check(&ports[i]) < 0)
			return -EINVAL;
	for (size_t i = 0; i < sizeof(protos); i++) {
		struct manage *bigger;
		struct fw_ports *p;
		size_t k;

		rc = ports_pick(ports, n, protos[i], &p, &k);
		if (rc < 0)
			return rc;
		if (!k)
			continue;
		bigger = array_grow(rs->manage, rs->n_manage, sizeof(*bigger));
		if (!bigger) {
			free(p);
			return -ENOMEM;
		}
		rs->manage = bigger;
		rs->manage[rs->n_manage] = (struct manage){.from = *from, .ports = p, .n = k};
		memcpy(rs->manage[rs->n_manage++].comment, text, sizeof(text));
	}
	return 0;
}

static int name_check(const char *name, size_t max)
{
	size_t n = name ? strlen(name) : 0;

	if (!n || n > max)
		return -EINVAL;
	for (size_t i = 0; i < n; i++)
		if (!((name[i] >= '0' && name[i] <= '9') || (name[i] >= 'a' && name[i] <= 'z') ||
		            (name[i] >= 'A' && name[i] <= 'Z') || strchr("_.-", name[i])))
			return -EINVAL;
	return 0;
}

struct fw_class *fw_class_find(const struct fw_ruleset *rs, enum fw_dir dir, const char *name)
{
	for (size_t i = 0; i < rs->n_classes; i++)
		if (rs->classes[i]->dir == dir && !strcmp(rs->classes[i]->name, name))
			return rs->classes[i];
	return NULL;
}

static int class_order(const void *a, const void *b)
{
	return strcmp((*(struct fw_class *const *)a)->chain, (*(struct fw_class *const *)b)->chain);
}

int fw_ruleset_add_class(struct fw_ruleset *rs, enum fw_dir dir, const char *name)
{
	struct fw_class **bigger, *c;

	if (name_check(name, FW_NAME_MAX) < 0)
		return -EINVAL;
	if (fw_class_find(rs, dir, name))
		return 0;
	bigger = array_grow(rs->classes, rs->n_classes, sizeof(*bigger));
	if (!bigger)
		return -ENOMEM;
	rs->classes = bigger;
	c = calloc(1, sizeof(*c));
	if (!c)
		return -ENOMEM;
	strcpy(c->name, name);
	snprintf(c->chain, sizeof(c->chain), "%s_%s", dir == FW_OUT ? "out" : "in", name);
	snprintf(c->set4, sizeof(c->set4), "%s4_%s", dir == FW_OUT ? "out" : "in", name);
	snprintf(c->set6, sizeof(c->set6), "%s6_%s", dir == FW_OUT ? "out" : "in", name);
	c->dir = dir;
	rs->classes[rs->n_classes++] = c;
	/* Sorted: the same classes make the same table, in whatever order they came. */
	qsort(rs->classes, rs->n_classes, sizeof(struct fw_class *), class_order);
	return 0;
}

static int class_add_allow(struct fw_class *c, const struct fw_ports *ports, size_t n,
        uint8_t proto, const char *comment)
{
	struct allow *bigger;
	struct fw_ports *p;
	size_t k;
	int rc = ports_pick(ports, n, proto, &p, &k);

	if (rc < 0 || !k)
		return rc;
	bigger = array_grow(c->allows, c->n, sizeof(*bigger));
	if (!bigger) {
		free(p);
		return -ENOMEM;
	}
	c->allows = bigger;
	c->allows[c->n].ports = p;
	c->allows[c->n].n = k;
	strcpy(c->allows[c->n++].comment, comment);
	return 0;
}

int fw_ruleset_add_allow(struct fw_ruleset *rs, enum fw_dir dir, const char *class_name,
        const struct fw_ports *ports, size_t n, const char *comment)
{
	static const uint8_t protos[] = {IPPROTO_TCP, IPPROTO_UDP, IPPROTO_ICMP};
	char text[FW_COMMENT_MAX + 1];
	int rc = comment_copy(text, comment);

	for (size_t i = 0; i < n && !rc; i++)
		rc = ports_check(&ports[i]);
	if (!rc)
		rc = fw_ruleset_add_class(rs, dir, class_name);
	for (size_t i = 0; i < sizeof(protos) && !rc; i++)
		rc = class_add_allow(fw_class_find(rs, dir, class_name), ports, n, protos[i], text);
	return rc;
}

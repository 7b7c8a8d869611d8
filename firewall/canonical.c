/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * When are two rules the same? When this text of them is. It is made from the message: from the one
 * that we would send, and from the one that the kernel tells. What only one of them says though
 * both mean the same is left out here, all else is compared byte by byte: an attribute of a future
 * kernel makes a difference (and the rule is put anew) rather than being passed over.
 */
#include <errno.h>
#include <stdio.h>
#include <libmnl/libmnl.h>
#include <string.h>

#include "firewall/attr.h"
#include "firewall/expr.h"

#define DEPTH_MAX 4 /* a rule's dynset, its counter */

struct writing {
	anonymous_fn anonymous;
	void *ctx;
	FILE *to;
	bool odd; /* not of our making, whatever it is */
};

/* What is not compared, or only if it is not zero; and what has parts. */
enum how { AS_BYTES, LEAVE_OUT, UNLESS_ZERO, AS_NEST, AS_EXPRS, AS_EXPR, AS_SET };

static const struct {
	const char *expr;
	uint8_t type;
	uint8_t how;
} special[] = {
        {"cmp", NFTA_CMP_DATA, AS_NEST},
        {"bitwise", NFTA_BITWISE_MASK, AS_NEST},
        {"bitwise", NFTA_BITWISE_XOR, AS_NEST},
        {"bitwise", NFTA_BITWISE_OP, UNLESS_ZERO},
        {"lookup", NFTA_LOOKUP_SET, AS_SET},
        {"lookup", NFTA_LOOKUP_SET_ID, LEAVE_OUT}, /* its name within a batch */
        {"lookup", NFTA_LOOKUP_FLAGS, UNLESS_ZERO},
        {"dynset", NFTA_DYNSET_SET_ID, LEAVE_OUT},
        {"dynset", NFTA_DYNSET_TIMEOUT, UNLESS_ZERO},
        {"dynset", NFTA_DYNSET_FLAGS, LEAVE_OUT}, /* says that an expression follows */
        {"dynset", NFTA_DYNSET_EXPR, AS_EXPR},
        {"dynset", NFTA_DYNSET_EXPRESSIONS, AS_EXPRS},
        {"dynset", NFTA_DYNSET_PAD, LEAVE_OUT},
        {"limit", NFTA_LIMIT_PAD, LEAVE_OUT},
        {"counter", NFTA_COUNTER_PACKETS, LEAVE_OUT},
        {"counter", NFTA_COUNTER_BYTES, LEAVE_OUT},
        {"counter", NFTA_COUNTER_PAD, LEAVE_OUT},
        {"immediate", NFTA_IMMEDIATE_DATA, AS_NEST},
        {"reject", NFTA_REJECT_ICMP_CODE, UNLESS_ZERO},
};

static enum how how_to_write(const char *expr, unsigned type)
{
	for (size_t i = 0; i < sizeof(special) / sizeof(*special); i++)
		if (special[i].type == type && !strcmp(special[i].expr, expr))
			return special[i].how;
	return AS_BYTES;
}

static bool all_zero(const uint8_t *b, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (b[i])
			return false;
	return true;
}

/* A value, or a verdict, in which a chain's name has parts of its own. */
static void write_nest(struct writing *w, const struct nlattr *nest)
{
	struct attrs a = attrs_in(nest), v = attrs_in(a.at[NFTA_DATA_VERDICT]);
	size_t len = 0;
	const uint8_t *b = attr_bytes(&a, NFTA_DATA_VALUE, &len);

	w->odd = w->odd || a.odd || v.odd;
	for (size_t i = 0; b && i < len; i++)
		fprintf(w->to, "%02x", b[i]);
	if (!a.at[NFTA_DATA_VERDICT])
		return;
	fprintf(w->to, "verdict %d", (int32_t)attr_u32(&v, NFTA_VERDICT_CODE, 0));
	if (v.at[NFTA_VERDICT_CHAIN]) {
		const char *chain = attr_str(&v, NFTA_VERDICT_CHAIN);

		fprintf(w->to, " %s", chain ? chain : "?");
	}
}

static void write_set(struct writing *w, const struct attrs *a, unsigned type)
{
	const char *set = attr_str(a, type);

	if (set && !strncmp(set, "__", 2))
		set = w->anonymous(w->ctx, set); /* the kernel numbers them */
	fprintf(w->to, "%s", set ? set : "?");
}

static void write_expr(struct writing *w, const struct nlattr *expr, int depth);

static void write_exprs(struct writing *w, const struct nlattr *list, int depth)
{
	const struct nlattr *expr;

	if (list)
		mnl_attr_for_each_nested(expr, list)
			write_expr(w, expr, depth);
}

static void write_part(
        struct writing *w, enum how how, const struct attrs *a, unsigned type, int depth)
{
	size_t len = 0;
	const uint8_t *b = attr_bytes(a, type, &len);

	if (how == LEAVE_OUT || (how == UNLESS_ZERO && all_zero(b, len)))
		return;
	/* One expression may stand alone or in a list of one. */
	fprintf(w->to, " %u=", how == AS_EXPR ? (unsigned)NFTA_DYNSET_EXPRESSIONS : type);
	switch (how) {
	case AS_NEST:
		write_nest(w, a->at[type]);
		break;
	case AS_EXPR:
		write_expr(w, a->at[type], depth + 1);
		break;
	case AS_EXPRS:
		write_exprs(w, a->at[type], depth + 1);
		break;
	case AS_SET:
		write_set(w, a, type);
		break;
	default:
		for (size_t i = 0; i < len; i++)
			fprintf(w->to, "%02x", b[i]);
	}
}

static void write_expr(struct writing *w, const struct nlattr *expr, int depth)
{
	struct attrs e = attrs_in(expr), parts = attrs_in(e.at[NFTA_EXPR_DATA]);
	const char *name = attr_str(&e, NFTA_EXPR_NAME);

	if (!name || e.odd || parts.odd || depth > DEPTH_MAX) {
		w->odd = true;
		return;
	}
	fputs(name, w->to);
	for (unsigned type = 0; type < ATTR_MAX; type++)
		if (parts.at[type])
			write_part(w, how_to_write(name, type), &parts, type, depth);
	fputs("; ", w->to);
}

int rule_canonical(const struct nlmsghdr *nlh, anonymous_fn anonymous, void *ctx, FILE *to)
{
	struct writing w = {anonymous, ctx, to, false};
	struct attrs a = attrs_of(nlh);
	const char *comment = attr_comment(&a, NFTA_RULE_USERDATA);

	write_exprs(&w, a.at[NFTA_RULE_EXPRESSIONS], 0);
	fprintf(to, "\"%s\"\n", comment ? comment : "");
	if (ferror(to))
		return -ENOMEM;
	return w.odd || a.odd ? -EINVAL : 0;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* When are two rules the same? When this text of them is. Works on what we compile and on what the
 * kernel dumps. */
#include <errno.h>
#include <stdio.h>
#include <libnftnl/expr.h>
#include <libnftnl/rule.h>
#include <libnftnl/udata.h>
#include <stdlib.h>
#include <string.h>

#include "firewall/expr.h"

static int comment_cb(const struct nftnl_udata *attr, void *data)
{
	const char **out = data;
	uint8_t len = nftnl_udata_len(attr);
	const char *text = nftnl_udata_get(attr);

	if (nftnl_udata_type(attr) == NFTNL_UDATA_RULE_COMMENT && len && !text[len - 1])
		*out = text;
	return 0;
}

const char *rule_comment(const struct nftnl_rule *r)
{
	uint32_t len = 0;
	const void *data = nftnl_rule_get_data(r, NFTNL_RULE_USERDATA, &len);
	const char *comment = NULL;

	if (!data || nftnl_udata_parse(data, len, comment_cb, &comment) < 0)
		return NULL;
	return comment;
}

struct writing {
	anonymous_fn anonymous;
	void *ctx;
	FILE *to;
};

/* By hand, as the kernel tells flags that we need not give, and numbers its anonymous sets. */
static void write_lookup(struct nftnl_expr *e, const struct writing *w)
{
	const char *set = nftnl_expr_get_str(e, NFTNL_EXPR_LOOKUP_SET);
	uint32_t flags = 0;

	if (set && !strncmp(set, "__", 2))
		set = w->anonymous(w->ctx, set);
	if (nftnl_expr_is_set(e, NFTNL_EXPR_LOOKUP_FLAGS))
		flags = nftnl_expr_get_u32(e, NFTNL_EXPR_LOOKUP_FLAGS);
	fprintf(w->to, "lookup %u%s in %s%s; ", nftnl_expr_get_u32(e, NFTNL_EXPR_LOOKUP_SREG),
	        flags ? " not" : "", set ? set : "?",
	        nftnl_expr_is_set(e, NFTNL_EXPR_LOOKUP_DREG) ? " vmap" : "");
}

static int write_expr(struct nftnl_expr *e, void *data)
{
	struct writing *w = data;
	const char *name = nftnl_expr_get_str(e, NFTNL_EXPR_NAME);
	char text[512] = "";

	if (!name)
		return -1;
	if (!strcmp(name, "counter")) {
		fputs("counter; ", w->to);
	} else if (!strcmp(name, "lookup")) {
		write_lookup(e, w);
	} else {
		char *zero;

		nftnl_expr_snprintf(text, sizeof(text), e, NFTNL_OUTPUT_DEFAULT, 0);
		zero = strstr(text, " timeout 0ms"); /* dynset: the kernel tells the default */
		fprintf(w->to, "%s %.*s%s; ", name, zero ? (int)(zero - text) : (int)strlen(text),
		        text, zero ? zero + strlen(" timeout 0ms") : "");
	}
	return 0;
}

int rule_canonical(const struct nftnl_rule *r, anonymous_fn anonymous, void *ctx, FILE *to)
{
	struct writing w = {anonymous, ctx, to};
	const char *comment = rule_comment(r);

	if (nftnl_expr_foreach((struct nftnl_rule *)r, write_expr, &w) < 0)
		return -EINVAL;
	fprintf(to, "\"%s\"\n", comment ? comment : "");
	return ferror(to) ? -ENOMEM : 0;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What diff.c, diff_ports.c and diff_tokens.c share. */
#ifndef OVERLAYD_POLICY_DIFF_H
#define OVERLAYD_POLICY_DIFF_H

#include "policy/internal.h"

struct pol_differ {
	jmp_buf oom;
	struct pol_arena arena;
	const struct policy *old, *new; /* neither is NULL; all zero stands for none */
	struct policy_diff_row *rows;   /* texts in the arena */
	size_t n, cap;
};

__attribute__((format(printf, 4, 5))) void pol_row(struct pol_differ *d, enum policy_change change,
        const char *subject, const char *format, ...);
/* Ports that open and close, per pair of roles. */
void pol_ports_diff(struct pol_differ *d);
void pol_tokens_diff(struct pol_differ *d);

#endif

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One YAML file as a light tree with positions.
 *
 * libfyaml scans and tells events; nodes are ours and small, so 10,000 peers cost little. What a
 * policy has no use for is refused here with a clear sentence: anchors, aliases, tags, merge keys,
 * directives, several documents, duplicate keys, control characters, deep nesting.
 */
#ifndef OVERLAYD_POLICY_YAML_H
#define OVERLAYD_POLICY_YAML_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define POL_YAML_DEPTH 16U
#define POL_YAML_NODES 1000000U

enum pol_kind { POL_SCALAR, POL_SEQ, POL_MAP };

struct pol_node {
	const char *text;       /* scalar, NUL-terminated */
	struct pol_node *child; /* a mapping's children: key, value, key, value... */
	struct pol_node *next;
	uint32_t line, column;
	uint32_t n; /* children; bytes of a scalar */
	uint8_t kind;
	bool plain; /* a scalar without quotes */
};

struct fy_parser;
struct fy_diag;
struct fy_event;

/* A parser to use for many files. */
struct pol_yaml {
	struct fy_parser *parser;
	struct fy_diag *diag;
	struct fy_event *event; /* at hand, for when memory ends */
};

struct pol_ctx;

/*
 * The tree of ctx->source in ctx->tree, or NULL: after a fault, or for a file that holds nothing
 * (then *empty). Duplicate keys are reported and left out.
 */
struct pol_node *pol_yaml_parse(struct pol_ctx *ctx, bool *empty);
void pol_yaml_done(struct pol_yaml *yaml);

/* Bytes of the character at s, 0 when it is no valid UTF-8 (RFC 3629). */
size_t pol_utf8_len(const unsigned char *s, size_t left);
/* Why a policy may not hold this character of len bytes (of left), or NULL: a whole sentence. */
const char *pol_char_fault(const unsigned char *s, size_t len, size_t left);

#endif

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Lines of JSON as the tree that the policy's checks read. Less than JSON, on purpose: an object
 * of texts, whole numbers, true, false and lists of these; no blanks, no null, no escapes but of
 * quote and backslash. libfyaml never sees what came by network.
 */
#include <stdlib.h>
#include <string.h>

#include "policy/bundle_internal.h"

#define NODES_MAX 512U /* of one line */

struct line {
	struct pol_ctx *ctx;
	const char *start, *at, *end; /* end: where the newline stands */
	uint32_t number;
	unsigned nodes;
	bool bad; /* told already */
};

static void line_fault(struct line *line, const char *text)
{
	struct policy_where where = {
	        line->ctx->source->name, line->number, (uint32_t)(line->at - line->start) + 1};

	if (!line->bad)
		pol_error(line->ctx, where, "%s", text);
	line->bad = true;
}

static struct pol_node *node_new(struct line *line, enum pol_kind kind)
{
	struct pol_node *node = pol_alloc(&line->ctx->tree, sizeof(*node));

	node->kind = (uint8_t)kind;
	node->line = line->number;
	node->column = (uint32_t)(line->at - line->start) + 1;
	if (++line->nodes > NODES_MAX)
		line_fault(line, "this line holds too many values");
	return node;
}

/* Takes one character, if it is this one. */
static bool took(struct line *line, char c)
{
	if (line->at == line->end || *line->at != c)
		return false;
	line->at++;
	return true;
}

/* One character of a text into `to`; the bytes written, 0 after a fault. */
static size_t char_take(struct line *line, char *to)
{
	const unsigned char *s = (const unsigned char *)line->at;
	size_t left = (size_t)(line->end - line->at), len = pol_utf8_len(s, left);

	if (!len || s[0] < 0x20 || s[0] == 0x7f) {
		line_fault(line, "a byte that no text of a bundle has");
		return 0;
	}
	if (s[0] == '\\') {
		if (left < 2 || (s[1] != '"' && s[1] != '\\')) {
			line_fault(line, "only \\\" and \\\\ are used in a bundle");
			return 0;
		}
		line->at++;
	}
	memcpy(to, line->at, len);
	line->at += len;
	return len;
}

static struct pol_node *string_take(struct line *line)
{
	struct pol_node *node = node_new(line, POL_SCALAR);
	const char *quote;
	size_t n = 0, got;
	char *text;

	if (!took(line, '"')) {
		line_fault(line, "a text in quotes is wanted here");
		return node;
	}
	for (quote = line->at; quote < line->end && *quote != '"'; quote++)
		quote += *quote == '\\';
	if (quote >= line->end) {
		line_fault(line, "this text has no end");
		return node;
	}
	text = pol_alloc(&line->ctx->tree, (size_t)(quote - line->at) + 1);
	while (!line->bad && line->at < quote) {
		got = char_take(line, text + n);
		n += got;
	}
	if (!line->bad && !took(line, '"'))
		line_fault(line, "this text has no end");
	node->text = text;
	node->n = (uint32_t)n;
	return node;
}

/* A number, true or false. */
static struct pol_node *plain_take(struct line *line)
{
	struct pol_node *node = node_new(line, POL_SCALAR);
	struct bun_cursor c = {line->at, line->end};
	uint64_t n;

	if (!bun_literal(&c, "true") && !bun_literal(&c, "false") && !bun_number(&c, INT64_MAX, &n))
		line_fault(line, "a text, a whole number, true or false is wanted here");
	node->plain = true;
	node->n = (uint32_t)(c.at - line->at);
	node->text = pol_strndup(&line->ctx->tree, line->at, node->n);
	line->at = c.at;
	return node;
}

static struct pol_node *scalar_take(struct line *line)
{
	return line->at < line->end && *line->at == '"' ? string_take(line) : plain_take(line);
}

static struct pol_node *value_take(struct line *line)
{
	struct pol_node *list, **tail;

	if (line->at == line->end || *line->at != '[')
		return scalar_take(line);
	list = node_new(line, POL_SEQ);
	tail = &list->child;
	line->at++;
	if (took(line, ']'))
		return list;
	do {
		*tail = scalar_take(line);
		tail = &(*tail)->next;
		list->n++;
	} while (!line->bad && took(line, ','));
	if (!took(line, ']'))
		line_fault(line, "this list has no end");
	return list;
}

/* The whole line: a map whose first key is the kind; NULL after a fault. */
static struct pol_node *object_take(struct line *line)
{
	struct pol_node *map = node_new(line, POL_MAP), **tail = &map->child;

	if (!took(line, '{'))
		line_fault(line, "a line begins with {");
	while (!line->bad) {
		*tail = string_take(line);
		tail = &(*tail)->next;
		if (!line->bad && !took(line, ':'))
			line_fault(line, "a colon is wanted here");
		if (line->bad)
			break;
		*tail = value_take(line);
		tail = &(*tail)->next;
		map->n += 2;
		if (!took(line, ','))
			break;
	}
	if (!line->bad && !took(line, '}'))
		line_fault(line, "a comma or } is wanted here");
	if (!line->bad && line->at != line->end)
		line_fault(line, "a line ends behind its }");
	return line->bad ? NULL : map;
}

/* ---- the tree */

enum kind {
	KIND_ALLOW,
	KIND_BUILTIN,
	KIND_EXCEPT,
	KIND_FAILOVER,
	KIND_MANAGE,
	KIND_PEER,
	KIND_ROLE,
	KIND_SERVICE,
	KIND_SETTING,
	KIND_SITE,
	KIND_TEST,
	KIND_TOKEN,
	N_KINDS,
};

static const struct {
	const char *word;    /* in the bundle */
	const char *section; /* in the tree; NULL: not there */
	enum pol_kind form;  /* of the section */
} kinds[N_KINDS] = {
        [KIND_ALLOW] = {"allow", "allow", POL_SEQ},
        [KIND_BUILTIN] = {"builtin", NULL, POL_MAP},
        [KIND_EXCEPT] = {"except", NULL, POL_MAP},
        [KIND_FAILOVER] = {"failover", "failover", POL_MAP},
        [KIND_MANAGE] = {"manage", "manage", POL_SEQ},
        [KIND_PEER] = {"peer", "peers", POL_MAP},
        [KIND_ROLE] = {"role", "roles", POL_SEQ},
        [KIND_SERVICE] = {"service", "services", POL_MAP},
        [KIND_SETTING] = {"setting", NULL, POL_MAP},
        [KIND_SITE] = {"site", "sites", POL_MAP},
        [KIND_TEST] = {"test", "tests", POL_SEQ},
        [KIND_TOKEN] = {"token", "tokens", POL_MAP},
};

struct tree {
	struct pol_node *top, **top_tail;
	struct pol_node *sections[N_KINDS], **tails[N_KINDS];
	struct pol_node *guests, **guests_tail; /* of the token whose `except` lines are read */
	/* The line before. */
	enum kind kind;
	const char *name;
};

static struct pol_node *word_node(struct pol_ctx *ctx, const char *text)
{
	struct pol_node *node = pol_alloc(&ctx->tree, sizeof(*node));

	node->kind = POL_SCALAR;
	node->text = text;
	node->n = (uint32_t)strlen(text);
	node->line = node->column = 1;
	return node;
}

static void top_put(struct tree *tree, struct pol_node *key, struct pol_node *value)
{
	*tree->top_tail = key;
	key->next = value;
	value->next = NULL;
	tree->top_tail = &value->next;
	tree->top->n += 2;
}

static void tree_begin(struct pol_ctx *ctx, struct tree *tree, const struct bundle_head *head)
{
	char serial[24];
	struct pol_node *node;

	tree->top = pol_alloc(&ctx->tree, sizeof(*tree->top));
	tree->top->kind = POL_MAP;
	tree->top->line = tree->top->column = 1;
	tree->top_tail = &tree->top->child;
	tree->kind = N_KINDS;
	snprintf(serial, sizeof(serial), "%llu", (unsigned long long)head->serial);
	node = word_node(ctx, pol_strndup(&ctx->tree, serial, strlen(serial)));
	top_put(tree, word_node(ctx, "serial"), node);
	top_put(tree, word_node(ctx, "cluster"), word_node(ctx, head->cluster));
	for (unsigned i = 0; i < N_KINDS; i++) {
		node = pol_alloc(&ctx->tree, sizeof(*node));
		node->kind = (uint8_t)kinds[i].form;
		node->line = node->column = 1;
		tree->sections[i] = node;
		tree->tails[i] = &node->child;
		if (i == KIND_BUILTIN)
			ctx->builtins = node;
		else if (i == KIND_EXCEPT)
			ctx->excepts = node;
		else if (kinds[i].section)
			top_put(tree, word_node(ctx, kinds[i].section), node);
	}
}

static void section_put(struct tree *tree, enum kind kind, struct pol_node *node)
{
	*tree->tails[kind] = node;
	tree->tails[kind] = &node->next;
	node->next = NULL;
	tree->sections[kind]->n++;
}

static const struct pol_node *setting_value(struct line *line, const struct pol_node *body)
{
	static const char *const known[] = {
	        "enforce", "firewall", "join", "mesh", "overlay", "port", NULL};
	const struct pol_node *name = body->child->next, *key = name->next;

	for (size_t i = 0; known[i]; i++)
		if (strcmp(known[i], name->text) == 0 && key && strcmp(key->text, "value") == 0 &&
		        body->n == 4 && key->next->kind == POL_SCALAR)
			return key->next;
	pol_error(line->ctx, pol_at(line->ctx, name),
	        "'%.63s' is no setting that this release of overlayd knows", name->text);
	return NULL;
}

/* Many lines, one list: so that one more revocation is one more line. */
static void except_put(struct tree *tree, struct line *line, struct pol_node *body, bool first)
{
	struct pol_node *token = body->child->next, *key = token->next;

	if (!key || strcmp(key->text, "guest") != 0 || body->n != 4 ||
	        key->next->kind != POL_SCALAR) {
		pol_error(line->ctx, pol_at(line->ctx, token), "of which guest is not said");
		return;
	}
	if (first || !tree->guests) {
		tree->guests = pol_alloc(&line->ctx->tree, sizeof(*tree->guests));
		tree->guests->kind = POL_SEQ;
		tree->guests->line = token->line;
		tree->guests->column = token->column;
		tree->guests_tail = &tree->guests->child;
		section_put(tree, KIND_EXCEPT, token);
		section_put(tree, KIND_EXCEPT, tree->guests);
	}
	*tree->guests_tail = key->next;
	tree->guests_tail = &key->next->next;
	tree->guests->n++;
}

/* Where a line belongs; its first key and value are taken off and become its name. */
static void tree_put(struct tree *tree, struct line *line, enum kind kind, struct pol_node *body)
{
	struct pol_node *name = body->child->next;
	struct pol_node *rest = name->next;

	if (kind == KIND_SETTING) {
		const struct pol_node *value = setting_value(line, body);

		if (value)
			top_put(tree, name, (struct pol_node *)(uintptr_t)value);
		return;
	}
	if (kind == KIND_ROLE && !rest) {
		section_put(tree, kind, name);
		return;
	}
	body->child = rest;
	body->n -= 2;
	if (kinds[kind].form == POL_MAP)
		section_put(tree, kind, name);
	section_put(tree, kind, body);
}

static void line_take(struct tree *tree, struct line *line)
{
	struct pol_node *body = object_take(line), *name = body ? body->child->next : NULL;
	enum kind kind = 0;
	bool again;

	if (!body)
		return;
	if (name->kind != POL_SCALAR) {
		line->at = line->start;
		line_fault(line, "a line begins with what it is, and its name");
		return;
	}
	while (kind < N_KINDS && strcmp(kinds[kind].word, body->child->text) != 0)
		kind++;
	if (kind == N_KINDS) {
		pol_error(line->ctx, pol_at(line->ctx, body),
		        "there are no '%.63s' lines that this release of overlayd knows",
		        body->child->text);
		return;
	}
	/* Sorted lines: what has the same name stands next to each other. */
	again = tree->kind == kind && strcmp(tree->name, name->text) == 0;
	if (again && kind != KIND_EXCEPT)
		pol_error(line->ctx, pol_at(line->ctx, name), "%s '%.63s' is here twice",
		        kinds[kind].word, name->text);
	tree->kind = kind;
	tree->name = name->text;
	if (kind == KIND_EXCEPT)
		except_put(tree, line, body, !again);
	else
		tree_put(tree, line, kind, body);
}

static bool sorted(const struct line *before, const struct line *line)
{
	size_t a = (size_t)(before->end - before->start), b = (size_t)(line->end - line->start);
	int order = memcmp(before->start, line->start, a < b ? a : b);

	return order < 0 || (order == 0 && a < b);
}

struct pol_node *bun_tree(struct pol_ctx *ctx, bool *empty)
{
	const char *at = ctx->source->data, *end = at + ctx->source->len;
	struct line before = {0}, line = {.ctx = ctx, .number = 0};
	struct tree tree = {0};
	size_t len;

	*empty = false;
	tree_begin(ctx, &tree, ctx->read_arg);
	for (; at < end && !line.bad; at += len + 1) {
		before = line;
		line = (struct line){
		        .ctx = ctx, .start = at, .at = at, .end = at, .number = before.number + 1};
		if (!bun_line(at, end, &len)) {
			line_fault(&line, "this line is too long, or cut");
			break;
		}
		line.end = at + len;
		if (line.number == 1)
			continue; /* the head, read already */
		if (line.number > BUNDLE_LINES_MAX)
			line_fault(&line, "the bundle has too many lines");
		else if (line.number > 2 && !sorted(&before, &line))
			line_fault(&line, "the lines are not sorted from here on");
		else
			line_take(&tree, &line);
	}
	return line.bad ? NULL : tree.top;
}

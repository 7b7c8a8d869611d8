/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "policy/yaml.h"

#include <string.h>

#include <libfyaml.h>

#include "policy/internal.h"

/* Mappings larger than this get a table to find duplicate keys. */
#define FEW_KEYS 12U
#define OPEN_BRACKETS 64U

struct frame {
	struct pol_node *node;
	struct pol_node **tail;
};

struct builder {
	struct pol_ctx *ctx;
	struct frame stack[POL_YAML_DEPTH];
	unsigned depth;
	unsigned nodes;
	unsigned documents;
	struct pol_node *root;
	bool bad;
	/* Where the text has been walked to, to turn offsets into lines and columns in one pass. */
	size_t offset;
	uint32_t line, column;
};

/* ---- before libfyaml sees it */

size_t pol_utf8_len(const unsigned char *s, size_t left)
{
	static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
	size_t len = s[0] < 0x80 ? 1 : s[0] < 0xc2 ? 0 : s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : 4;
	uint32_t c;

	if (len <= 1)
		return len;
	if (len > left || s[0] > 0xf4)
		return 0;
	c = s[0] & (0x7fU >> len);
	for (size_t i = 1; i < len; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (s[i] & 0x3f);
	}
	return c < least[len] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff) ? 0 : len;
}

const char *pol_char_fault(const unsigned char *s, size_t len, size_t left)
{
	if (len == 0)
		return "this is not UTF-8: save the file as UTF-8";
	if (len == 1) {
		if (s[0] == '\0')
			return "a NUL byte: this is not a text file";
		if (s[0] == '\r')
			return left > 1 && s[1] == '\n' ? NULL
			                                : "a carriage return without a newline: "
			                                  "save the file with Unix line ends";
		if ((s[0] < 0x20 && s[0] != '\t' && s[0] != '\n') || s[0] == 0x7f)
			return "a control character: delete it";
		return NULL;
	}
	if (len == 2 && s[0] == 0xc2 && s[1] < 0xa0)
		return "a control character: delete it";
	if (len == 3 && s[0] == 0xe2 &&
	        ((s[1] == 0x80 && s[2] >= 0xa8 && s[2] <= 0xae) ||
	                (s[1] == 0x81 && s[2] >= 0xa6 && s[2] <= 0xa9)))
		return "an invisible character that changes how the text looks: delete it";
	if (len == 3 && s[0] == 0xef && s[1] == 0xbb && s[2] == 0xbf)
		return "a byte order mark inside the text: delete it";
	return NULL;
}

/* The end of what begins here and holds no brackets: a comment, a text in quotes; else i. */
static size_t opaque_end(const char *s, size_t i, size_t len)
{
	char before = i ? s[i - 1] : '\n';
	size_t end = i + 1;

	if (!strchr(" \t\n[{,:", before) || (s[i] != '#' && s[i] != '"' && s[i] != '\''))
		return i;
	while (end < len && s[end] != '\n' && (s[i] == '#' || s[end] != s[i]))
		end += 1 + (s[i] == '"' && s[end] == '\\');
	return end < len && (s[i] == '#' || s[end] == s[i]) ? end : i;
}

/*
 * libfyaml keeps every token behind an open bracket in memory, as it may turn out to be a key:
 * 4 MB of brackets would cost 1.4 GB before our own count of depth sees the first.
 */
static bool brackets_check(struct pol_ctx *ctx)
{
	const char *s = ctx->source->data;
	struct policy_where where = {ctx->source->name, 1, 1};
	unsigned open = 0;

	for (size_t i = 0; i < ctx->source->len; i++) {
		i = opaque_end(s, i, ctx->source->len);
		if (s[i] == '\n') {
			where.line++;
			/* A word at the very left is in no bracket. */
			if (i + 1 < ctx->source->len && !strchr(" \t\r\n[]{},#", s[i + 1]))
				open = 0;
		}
		open += s[i] == '[' || s[i] == '{';
		open -= open && (s[i] == ']' || s[i] == '}');
		if (open > OPEN_BRACKETS) {
			pol_error(ctx, where,
			        "more than %u brackets are open here: no policy needs that",
			        OPEN_BRACKETS);
			return false;
		}
	}
	return true;
}

static bool text_check(struct pol_ctx *ctx)
{
	const struct pol_source *source = ctx->source;
	const unsigned char *s = (const unsigned char *)source->data;
	struct policy_where where = {source->name, 1, 1};

	if (source->len > POLICY_FILE_MAX) {
		where.line = where.column = 0;
		pol_error(ctx, where, "the file has %zu bytes; a policy file may have %u",
		        source->len, POLICY_FILE_MAX);
		return false;
	}
	for (size_t i = 0; i < source->len;) {
		size_t left = source->len - i, len = pol_utf8_len(s + i, left);
		const char *fault = pol_char_fault(s + i, len, left);

		if (fault) {
			pol_error(ctx, where, "%s", fault);
			return false;
		}
		where.column++;
		if (s[i] == '\n') {
			where.line++;
			where.column = 1;
		}
		i += len;
	}
	return brackets_check(ctx);
}

/* ---- positions */

static void walk_to(struct builder *b, const struct fy_mark *mark)
{
	const char *data = b->ctx->source->data;
	size_t end = mark ? mark->input_pos : b->offset;

	if (end > b->ctx->source->len)
		end = b->ctx->source->len;
	for (; b->offset < end; b->offset++) {
		if (data[b->offset] == '\n') {
			b->line++;
			b->column = 1;
		} else if ((data[b->offset] & 0xc0) != 0x80) {
			b->column++;
		}
	}
}

static struct policy_where here(const struct builder *b)
{
	return (struct policy_where){b->ctx->source->name, b->line, b->column};
}

__attribute__((format(printf, 2, 3))) static void refuse(struct builder *b, const char *format, ...)
{
	char text[256];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	pol_error(b->ctx, here(b), "%s", text);
	b->bad = true;
}

/* ---- building */

static struct pol_node *node_add(struct builder *b, enum pol_kind kind)
{
	struct pol_node *node;

	if (++b->nodes > POL_YAML_NODES) {
		refuse(b, "the file holds more than %u values", POL_YAML_NODES);
		return NULL;
	}
	node = pol_alloc(&b->ctx->tree, sizeof(*node));
	node->kind = (uint8_t)kind;
	node->line = b->line;
	node->column = b->column;
	if (b->depth) {
		struct frame *top = &b->stack[b->depth - 1];

		*top->tail = node;
		top->tail = &node->next;
		top->node->n++;
	} else {
		b->root = node;
	}
	return node;
}

static bool node_open(struct builder *b, enum pol_kind kind)
{
	struct pol_node *node;

	if (b->depth == POL_YAML_DEPTH) {
		refuse(b, "nested more than %u deep: no policy needs that", POL_YAML_DEPTH);
		return false;
	}
	node = node_add(b, kind);
	if (!node)
		return false;
	b->stack[b->depth++] = (struct frame){node, &node->child};
	return true;
}

static void key_check(struct builder *b, const struct pol_node *key)
{
	struct policy_where where = pol_at(b->ctx, key);

	if (key->kind == POL_SCALAR && !(key->plain && strcmp(key->text, "<<") == 0))
		return;
	pol_error(b->ctx, where, "%s",
	        key->kind == POL_SCALAR
	                ? "merge keys (<<) are not used in a policy: write the values out"
	                : "a key must be a plain word");
	b->bad = true;
}

static const struct pol_node *key_before(const struct pol_node *map, const struct pol_node *key)
{
	for (const struct pol_node *k = map->child; k != key; k = k->next->next)
		if (strcmp(k->text, key->text) == 0)
			return k;
	return NULL;
}

/* Reports keys that were there before and takes them out. */
static void keys_check(struct builder *b, struct pol_node *map)
{
	struct pol_node **link = &map->child;
	struct pol_names names = {0};

	for (struct pol_node *key = map->child; key; key = key->next->next)
		key_check(b, key);
	if (b->bad)
		return;
	while (*link) {
		struct pol_node *key = *link;
		uint32_t line;

		if (map->n > 2 * FEW_KEYS) {
			line = pol_names_get(&names, key->text);
			if (line == POL_NONE)
				pol_names_put(&b->ctx->tree, &names, key->text, key->line);
		} else {
			const struct pol_node *before = key_before(map, key);

			line = before ? before->line : POL_NONE;
		}
		if (line == POL_NONE) {
			link = &key->next->next;
			continue;
		}
		pol_error(b->ctx, pol_at(b->ctx, key),
		        "'%.63s' is here twice: it was first given in line %u; delete one",
		        key->text, line);
		*link = key->next->next;
		map->n -= 2;
	}
}

static void scalar_add(struct builder *b, struct fy_token *token)
{
	struct pol_node *node = node_add(b, POL_SCALAR);
	size_t len = 0;
	const char *text;

	if (!node)
		return;
	text = token ? fy_token_get_text(token, &len) : "";
	if (!text || memchr(text, '\0', len)) {
		refuse(b, "this text cannot be used: it holds a NUL byte");
		return;
	}
	node->text = pol_strndup(&b->ctx->tree, text, len);
	node->n = (uint32_t)len;
	node->plain = !token || fy_token_scalar_style(token) == FYSS_PLAIN;
	/* The mark stands behind the opening quote. */
	if (token && node->column > 1 &&
	        (fy_token_scalar_style(token) == FYSS_SINGLE_QUOTED ||
	                fy_token_scalar_style(token) == FYSS_DOUBLE_QUOTED))
		node->column--;
}

static void props_check(struct builder *b, struct fy_token *anchor, struct fy_token *tag)
{
	if (anchor)
		refuse(b, "anchors (&name) are not used in a policy: write the value out");
	if (tag)
		refuse(b, "tags (!name) are not used in a policy: delete it");
}

static void document_start(struct builder *b, const struct fy_event *event)
{
	struct fy_document_state *state = event->document_start.document_state;

	if (b->documents++ > 0)
		refuse(b, "a second document (---) begins here: a policy file holds one");
	if (state && (fy_document_state_version_explicit(state) ||
	                     fy_document_state_tags_explicit(state)))
		refuse(b, "directives (%%YAML, %%TAG) are not used in a policy: delete them");
}

/* False: stop reading. */
static bool event_take(struct builder *b, struct fy_event *event)
{
	walk_to(b, fy_event_start_mark(event));
	switch (event->type) {
	case FYET_NONE:
	case FYET_STREAM_START:
	case FYET_STREAM_END:
	case FYET_DOCUMENT_END:
		return true;
	case FYET_DOCUMENT_START:
		document_start(b, event);
		return b->documents == 1;
	case FYET_MAPPING_START:
		props_check(b, event->mapping_start.anchor, event->mapping_start.tag);
		return node_open(b, POL_MAP);
	case FYET_SEQUENCE_START:
		props_check(b, event->sequence_start.anchor, event->sequence_start.tag);
		return node_open(b, POL_SEQ);
	case FYET_MAPPING_END:
		keys_check(b, b->stack[--b->depth].node);
		return true;
	case FYET_SEQUENCE_END:
		b->depth--;
		return true;
	case FYET_SCALAR:
		props_check(b, event->scalar.anchor, event->scalar.tag);
		scalar_add(b, event->scalar.value);
		return b->nodes <= POL_YAML_NODES;
	case FYET_ALIAS:
		refuse(b,
		        "aliases (*name) are not used in a policy: write the value out, and quote "
		        "the star of \"*\"");
		scalar_add(b, NULL);
		return b->nodes <= POL_YAML_NODES;
	}
	return false;
}

static void syntax_fault(struct builder *b)
{
	struct policy_where where = here(b);
	struct fy_diag_error *error;
	void *at = NULL;

	error = fy_diag_errors_iterate(b->ctx->yaml.diag, &at);
	if (error && error->line > 0) {
		where.line = (uint32_t)error->line;
		where.column = error->column > 0 ? (uint32_t)error->column : 1;
	}
	pol_error(
	        b->ctx, where, "this is no valid YAML: %s", error && error->msg ? error->msg : "?");
	b->bad = true;
}

static bool parser_open(struct pol_ctx *ctx)
{
	static const struct fy_diag_cfg diag_cfg = {.level = FYET_ERROR, .module_mask = ~0U};
	struct fy_parse_cfg cfg = {
	        .flags = FYPCF_QUIET | FYPCF_DEFAULT_VERSION_1_2 | FYPCF_JSON_NONE};
	struct pol_yaml *yaml = &ctx->yaml;

	if (yaml->parser) {
		fy_parser_reset(yaml->parser);
	} else {
		yaml->diag = fy_diag_create(&diag_cfg);
		if (!yaml->diag)
			return false;
		fy_diag_set_collect_errors(yaml->diag, true);
		cfg.diag = yaml->diag;
		yaml->parser = fy_parser_create(&cfg);
	}
	return yaml->parser &&
	       fy_parser_set_string(yaml->parser, ctx->source->data, ctx->source->len) == 0;
}

struct pol_node *pol_yaml_parse(struct pol_ctx *ctx, bool *empty)
{
	struct builder b = {.ctx = ctx, .line = 1, .column = 1};
	struct pol_yaml *yaml = &ctx->yaml;
	bool more = true;

	*empty = false;
	if (!text_check(ctx))
		return NULL;
	if (ctx->source->len == 0) {
		*empty = true;
		return NULL;
	}
	if (!parser_open(ctx))
		longjmp(ctx->oom, 1);
	while (more && (yaml->event = fy_parser_parse(yaml->parser))) {
		more = event_take(&b, yaml->event);
		fy_parser_event_free(yaml->parser, yaml->event);
		yaml->event = NULL;
	}
	if (more && fy_parser_get_stream_error(yaml->parser))
		syntax_fault(&b);
	if (!more || b.bad) /* a parser that stopped in the middle is not used again */
		pol_yaml_done(yaml);
	if (b.bad)
		return NULL;
	*empty = !b.root || (b.root->kind == POL_SCALAR && b.root->plain && !*b.root->text);
	return *empty ? NULL : b.root;
}

void pol_yaml_done(struct pol_yaml *yaml)
{
	if (yaml->event)
		fy_parser_event_free(yaml->parser, yaml->event);
	if (yaml->parser)
		fy_parser_destroy(yaml->parser);
	if (yaml->diag)
		fy_diag_destroy(yaml->diag);
	*yaml = (struct pol_yaml){0};
}

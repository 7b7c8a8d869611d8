/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What turns one bundle into another: one walk over two sorted lists. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "policy/bundle_internal.h"

#define DELTA_FORMAT 1U

/* A walk over lines. */
struct walk {
	const char *at, *end; /* the line at hand, at == end: none */
	size_t len;           /* without its newline */
	uint32_t number;
};

/* False: there are bytes, but no line. */
static bool walk_look(struct walk *w)
{
	w->len = 0;
	return w->at >= w->end || bun_line(w->at, w->end, &w->len);
}

static bool walk_begin(struct walk *w, const char *data, size_t len)
{
	*w = (struct walk){data, data + len, 0, 1};
	return len && walk_look(w);
}

static bool walk_next(struct walk *w)
{
	w->at += w->len + 1;
	w->number++;
	return walk_look(w);
}

static bool walk_ended(const struct walk *w)
{
	return w->at >= w->end;
}

static int text_compare(const char *a, size_t a_len, const char *b, size_t b_len)
{
	int order = memcmp(a, b, a_len < b_len ? a_len : b_len);

	return order ? order : a_len < b_len ? -1 : a_len > b_len;
}

/* ---- diff */

static void line_write(FILE *out, const char *sign, const struct walk *w)
{
	fputs(sign, out);
	fwrite(w->at, 1, w->len, out);
	fputc('\n', out);
}

/* Writes what goes, or what comes. */
static bool difference_write(FILE *out, struct walk a, struct walk b, bool coming)
{
	bool good = walk_next(&a) && walk_next(&b); /* behind the heads */

	while (good && !(walk_ended(&a) && walk_ended(&b))) {
		int order = walk_ended(&a)   ? 1
		            : walk_ended(&b) ? -1
		                             : text_compare(a.at, a.len, b.at, b.len);

		if (order < 0 && !coming)
			fprintf(out, "-%u\n", a.number);
		if (order > 0 && coming)
			line_write(out, "+", &b);
		good = (order > 0 || walk_next(&a)) && (order < 0 || walk_next(&b));
	}
	return good;
}

int bundle_diff(const char *base, size_t base_len, const char *data, size_t len, char **out,
        size_t *out_len)
{
	uint8_t from[32], to[32];
	char from_hex[65], to_hex[65], *text = NULL;
	struct walk a, b;
	size_t size;
	FILE *stream;
	bool good;

	if (base_len > BUNDLE_MAX || len > BUNDLE_MAX || !walk_begin(&a, base, base_len) ||
	        !walk_begin(&b, data, len))
		return -EINVAL;
	if (bun_digest(base, base_len, from) || bun_digest(data, len, to))
		return -EIO;
	stream = open_memstream(&text, &size);
	if (!stream)
		return -ENOMEM;
	bundle_digest_print(from, from_hex);
	bundle_digest_print(to, to_hex);
	fprintf(stream, "{\"overlayd-delta\":%u,\"base\":\"%s\",\"digest\":\"%s\"}\n", DELTA_FORMAT,
	        from_hex, to_hex);
	line_write(stream, "", &b);
	good = difference_write(stream, a, b, false) && difference_write(stream, a, b, true);
	if (ferror(stream) | fclose(stream)) {
		free(text);
		return -ENOMEM;
	}
	if (!good) {
		free(text);
		return -EINVAL;
	}
	*out = text;
	*out_len = size;
	return 0;
}

/* ---- patch */

struct patch {
	struct walk base, delta;
	uint8_t from[32], digest[32];
	char *out;
	size_t len, cap;
};

static bool patch_put(struct patch *p, const char *line, size_t len)
{
	if (len >= p->cap - p->len)
		return false;
	memcpy(p->out + p->len, line, len);
	p->out[p->len + len] = '\n';
	p->len += len + 1;
	return true;
}

static int head_take(struct patch *p, char *err, size_t err_size)
{
	struct bun_cursor c = {p->delta.at, p->delta.at + p->delta.len};
	uint64_t format;

	if (!bun_literal(&c, "{\"overlayd-delta\":") || !bun_number(&c, UINT32_MAX, &format))
		return bun_fail(-EINVAL, err, err_size,
		        "this is no delta: it does not begin with {\"overlayd-delta\":");
	if (format != DELTA_FORMAT)
		return bun_fail(-EPROTONOSUPPORT, err, err_size,
		        "this delta has format %u, and this release of overlayd knows only format "
		        "%u: ask for the whole bundle",
		        (unsigned)format, DELTA_FORMAT);
	if (!bun_literal(&c, ",\"base\":\"") || !bun_hex(&c, p->from) ||
	        !bun_literal(&c, "\",\"digest\":\"") || !bun_hex(&c, p->digest) ||
	        !bun_literal(&c, "\"}") || c.at != c.end || !walk_next(&p->delta))
		return bun_fail(-EINVAL, err, err_size, "the first line of this delta is damaged");
	return 0;
}

/* Marks the lines that go; their numbers rise. */
static bool going_take(struct walk *delta, uint32_t last, uint8_t *going, uint32_t lines)
{
	while (!walk_ended(delta) && *delta->at == '-') {
		struct bun_cursor c = {delta->at + 1, delta->at + delta->len};
		uint64_t n;

		if (!bun_number(&c, lines, &n) || c.at != c.end || n <= last)
			return false;
		last = (uint32_t)n;
		going[n / 8] |= (uint8_t)(1U << n % 8);
		if (!walk_next(delta))
			return false;
	}
	return true;
}

static bool kept_put(struct patch *p, const uint8_t *going)
{
	if (going[p->base.number / 8] >> p->base.number % 8 & 1)
		return true;
	return patch_put(p, p->base.at, p->base.len);
}

/* The lines that come, in between those that stay; both are sorted. */
static bool merge(struct patch *p, const uint8_t *going)
{
	struct walk *base = &p->base, *delta = &p->delta;

	for (;;) {
		bool take = !walk_ended(delta);

		if (!take && walk_ended(base))
			return true;
		if (take && (delta->len < 2 || *delta->at != '+'))
			return false;
		if (take && !walk_ended(base))
			take = text_compare(delta->at + 1, delta->len - 1, base->at, base->len) < 0;
		if (take && !patch_put(p, delta->at + 1, delta->len - 1))
			return false;
		if (!take && !kept_put(p, going))
			return false;
		if (!walk_next(take ? delta : base))
			return false;
	}
}

static int patch_run(struct patch *p, const char *base, size_t base_len, uint8_t *going,
        uint32_t lines, char *err, size_t err_size)
{
	uint8_t digest[32];

	/* The new head, then behind the old one. */
	if (walk_ended(&p->delta) || *p->delta.at != '{' ||
	        !patch_put(p, p->delta.at, p->delta.len) || !walk_next(&p->delta) ||
	        !walk_begin(&p->base, base, base_len) || !walk_next(&p->base) ||
	        !going_take(&p->delta, 1, going, lines) || !merge(p, going))
		return bun_fail(-EINVAL, err, err_size,
		        "this delta is damaged, or larger than a bundle may be");
	if (bun_digest(p->out, p->len, digest))
		return bun_fail(-EIO, err, err_size, "libcrypto cannot make SHA-256");
	if (memcmp(digest, p->digest, sizeof(digest)) != 0)
		return bun_fail(-EBADMSG, err, err_size,
		        "this delta does not lead to the bundle that it names: ask for the whole");
	return 0;
}

static uint32_t lines_count(const char *data, size_t len)
{
	uint32_t n = 0;

	for (size_t i = 0; i < len; i++)
		n += data[i] == '\n';
	return n;
}

int bundle_patch(const char *base, size_t base_len, const char *delta, size_t delta_len, char **out,
        size_t *out_len, char *err, size_t err_size)
{
	struct patch p = {0};
	uint8_t digest[32], *going;
	uint32_t lines;
	int ret;

	if (base_len > BUNDLE_MAX || delta_len > BUNDLE_MAX)
		return bun_fail(-E2BIG, err, err_size, "a delta may have %u MB", BUNDLE_MAX >> 20);
	if (!walk_begin(&p.delta, delta, delta_len))
		return bun_fail(-EINVAL, err, err_size, "this is no delta: it has no lines");
	ret = head_take(&p, err, err_size);
	if (ret)
		return ret;
	if (bun_digest(base, base_len, digest))
		return bun_fail(-EIO, err, err_size, "libcrypto cannot make SHA-256");
	if (memcmp(digest, p.from, sizeof(digest)) != 0)
		return bun_fail(-ESTALE, err, err_size,
		        "this delta starts from another bundle than the one in force here: ask for "
		        "the whole");
	lines = lines_count(base, base_len);
	p.cap = base_len + delta_len < BUNDLE_MAX ? base_len + delta_len : BUNDLE_MAX;
	p.out = malloc(p.cap + 1);
	going = calloc(1, lines / 8 + 1);
	if (!p.out || !going)
		ret = bun_fail(-ENOMEM, err, err_size, "there is not enough memory for the bundle");
	else
		ret = patch_run(&p, base, base_len, going, lines, err, err_size);
	free(going);
	if (ret) {
		free(p.out);
		return ret;
	}
	p.out[p.len] = '\0';
	*out = p.out;
	*out_len = p.len;
	return 0;
}

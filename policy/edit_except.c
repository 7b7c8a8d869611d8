/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One more revoked guest, put into a token's text: all else stays as the admin wrote it. Whether it
 * came out as meant, the caller sees from the policy that it makes.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "policy/edit_internal.h"

/* The lines of the token, in the file. */
struct span {
	size_t begin, end;
};

static size_t line_begin(const struct policy_file *file, size_t at)
{
	while (at && file->data[at - 1] != '\n')
		at--;
	return at;
}

/* Behind a # that begins a comment. */
static bool in_comment(const struct policy_file *file, size_t at)
{
	for (size_t i = line_begin(file, at); i < at; i++)
		if (file->data[i] == '#' && (!i || strchr(" \t\n", file->data[i - 1])))
			return true;
	return false;
}

/* Where the last `text` of the span stands, or -1. */
static long last_place(const struct policy_file *file, struct span span, const char *text)
{
	size_t n = strlen(text);
	long found = -1;

	for (size_t at = span.begin; at + n <= span.end; at++)
		if (memcmp(file->data + at, text, n) == 0 && !in_comment(file, at))
			found = (long)at;
	return found;
}

static size_t line_end(const struct policy_file *file, size_t at)
{
	while (at < file->len && file->data[at] != '\n')
		at++;
	return at;
}

static size_t blanks(const struct policy_file *file, size_t at)
{
	size_t n = 0;

	while (at + n < file->len && file->data[at + n] == ' ')
		n++;
	return n;
}

/* Behind the last of the list: in brackets there, else on a line of its own. */
static int behind_last(struct policy_file *file, size_t at, const char *print)
{
	size_t begin = line_begin(file, at), indent = blanks(file, begin), end;
	bool item = file->data[begin + indent] == '-';
	char text[256];

	if (indent > 100)
		return -EINVAL;
	if (item)
		snprintf(text, sizeof(text), "\n%*s- \"%s\"", (int)indent, "", print);
	else
		snprintf(text, sizeof(text), ", \"%s\"", print);
	end = at + strlen(print);
	if (end < file->len && strchr("\"'", file->data[end]))
		end++;
	return pol_file_splice(file, item ? line_end(file, end) : end, 0, text);
}

/* Into `except: []`. */
static int into_empty(struct policy_file *file, size_t at, const char *print)
{
	char text[64];
	size_t open;

	at += strlen("except:");
	open = at + blanks(file, at);
	if (open >= file->len || file->data[open] != '[')
		return -EINVAL;
	at = open + 1 + blanks(file, open + 1);
	if (at >= file->len || file->data[at] != ']')
		return -EINVAL;
	snprintf(text, sizeof(text), "\"%s\"", print);
	return pol_file_splice(file, open + 1, at - open - 1, text);
}

/* Is it `NAME: { ... }`? */
static bool is_flow(const struct policy_file *file, struct span span)
{
	const char *colon = memchr(file->data + span.begin, ':', span.end - span.begin);
	size_t at = colon ? (size_t)(colon + 1 - file->data) : span.end;

	at += blanks(file, at);
	return at < span.end && file->data[at] == '{';
}

/* The end of the key's value in a flow mapping, whose base64 stands at `at`. */
static size_t flow_end(const struct policy_file *file, struct span span, size_t at)
{
	size_t begin = at;
	char quote;

	while (begin > span.begin && strchr(" \t", file->data[begin - 1]))
		begin--;
	begin -= begin > span.begin + strlen("ssh-ed25519") ? strlen("ssh-ed25519") : 0;
	quote = begin > span.begin ? file->data[begin - 1] : ' ';
	if (quote == '"' || quote == '\'') {
		while (at < span.end && file->data[at] != quote)
			at++;
		return at + 1;
	}
	while (at < span.end && !strchr(",}\n", file->data[at]))
		at++;
	return at;
}

/* Behind the key: in a flow mapping there, in a block on a line of its own. */
static int behind_key(
        struct policy_file *file, struct span span, const char *blob, const char *print)
{
	long place = last_place(file, span, blob);
	bool flow = is_flow(file, span);
	size_t end, indent;
	char text[256];

	if (place < 0)
		return -EINVAL;
	indent = blanks(file, line_begin(file, (size_t)place));
	end = flow ? flow_end(file, span, (size_t)place) : line_end(file, (size_t)place);
	if (indent > 100 || end > span.end)
		return -EINVAL;
	if (flow)
		snprintf(text, sizeof(text), ", except: [\"%s\"]", print);
	else
		snprintf(text, sizeof(text), "\n%*sexcept: [\"%s\"]", (int)indent, "", print);
	return pol_file_splice(file, end, 0, text);
}

/* Where the last of the guests in `except` stands, or -1. */
static long last_guest(
        const struct policy_file *file, struct span span, const struct policy_token *token)
{
	const size_t n = POLICY_FINGERPRINT_LEN - 1;
	char print[POLICY_FINGERPRINT_LEN] = "";
	uint8_t digest[32];

	for (size_t at = span.end; at-- > span.begin;) {
		if (span.end - at < n || memcmp(file->data + at, "SHA256:", 7) != 0)
			continue;
		memcpy(print, file->data + at, n);
		if (pol_fingerprint_parse(print, digest) == 0 && pol_token_excepts(token, digest) &&
		        !in_comment(file, at))
			return (long)at;
	}
	return -1;
}

int pol_except_text(struct policy_file *file, const struct policy_token *token, const char *print)
{
	struct span span;
	char key[96];
	size_t len;
	long place;

	if (pol_entry_find(file, &token->where, &span.begin, &len))
		return -EINVAL;
	span.end = span.begin + len;
	place = last_guest(file, span, token);
	if (place >= 0)
		return behind_last(file, (size_t)place, print);
	place = last_place(file, span, "except:");
	if (place >= 0)
		return into_empty(file, (size_t)place, print);
	policy_key_print(&token->key, key, sizeof(key));
	return behind_key(file, span, strchr(key, ' ') + 1, print);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "policy/ticket.h"

#include <ctype.h>
#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <string.h>

#include "policy/internal.h"

#define FLAG_TOKEN 1U
#define SUM_LEN 8U
#define BODY_MAX 3040U /* every field at its longest */

static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/* ---- bytes ---- */

struct writer {
	uint8_t buf[BODY_MAX];
	size_t len;
};

static void put(struct writer *w, const void *data, size_t len)
{
	if (len > sizeof(w->buf) - w->len) /* cannot be: see BODY_MAX */
		return;
	memcpy(w->buf + w->len, data, len);
	w->len += len;
}

static void put_number(struct writer *w, unsigned value, unsigned bytes)
{
	for (unsigned i = bytes; i-- > 0;)
		put(w, &(uint8_t){(uint8_t)(value >> (8 * i))}, 1);
}

static void put_text(struct writer *w, const char *text)
{
	put_number(w, (unsigned)strlen(text), 1);
	put(w, text, strlen(text));
}

struct reader {
	const uint8_t *at, *end;
	bool bad;
};

static void take(struct reader *r, void *out, size_t len)
{
	if (r->bad || (size_t)(r->end - r->at) < len) {
		r->bad = true;
		memset(out, 0, len);
		return;
	}
	memcpy(out, r->at, len);
	r->at += len;
}

static unsigned take_number(struct reader *r, unsigned bytes)
{
	uint8_t v[2] = {0};

	take(r, v, bytes);
	return bytes == 2 ? (unsigned)v[0] << 8 | v[1] : v[0];
}

static void take_text(struct reader *r, char *out, size_t size)
{
	size_t len = take_number(r, 1);

	r->bad |= !len || len >= size;
	if (r->bad)
		len = 0;
	take(r, out, len);
	out[len] = '\0';
	r->bad |= strlen(out) != len;
}

/* ---- fields ---- */

/* What may stand in a name of the internet or an address: it goes to a resolver, and is shown. */
static bool is_host(const char *host)
{
	size_t n = strnlen(host, POLICY_TICKET_HOST_MAX + 1);

	for (const char *c = host; *c; c++)
		if (!isalnum((unsigned char)*c) && !strchr(".:-_%", *c))
			return false;
	return n && n <= POLICY_TICKET_HOST_MAX;
}

static bool is_sound(const struct policy_ticket *t)
{
	if (!pol_name_valid(t->cluster) || !t->port || !t->n_seeds ||
	        t->n_seeds > POLICY_TICKET_SEEDS_MAX || (t->has_token && !pol_name_valid(t->token)))
		return false;
	for (size_t i = 0; i < t->n_seeds; i++)
		if (!pol_name_valid(t->seeds[i].name) || !is_host(t->seeds[i].host) ||
		        !t->seeds[i].port)
			return false;
	return true;
}

static void body_write(const struct policy_ticket *t, struct writer *w)
{
	put_number(w, t->has_token ? FLAG_TOKEN : 0, 1);
	put_number(w, t->port, 2);
	put_text(w, t->cluster);
	put(w, t->cluster_key.id, sizeof(t->cluster_key.id));
	put(w, t->cluster_key.key, sizeof(t->cluster_key.key));
	put_number(w, (unsigned)t->n_seeds, 1);
	for (size_t i = 0; i < t->n_seeds; i++) {
		put_text(w, t->seeds[i].name);
		put(w, t->seeds[i].key.raw, sizeof(t->seeds[i].key.raw));
		put_text(w, t->seeds[i].host);
		put_number(w, t->seeds[i].port, 2);
	}
	if (t->has_token) {
		put_text(w, t->token);
		put(w, t->secret, sizeof(t->secret));
	}
}

static bool body_read(struct reader *r, struct policy_ticket *t)
{
	unsigned flags = take_number(r, 1);

	t->has_token = flags & FLAG_TOKEN;
	t->port = (uint16_t)take_number(r, 2);
	take_text(r, t->cluster, sizeof(t->cluster));
	take(r, t->cluster_key.id, sizeof(t->cluster_key.id));
	take(r, t->cluster_key.key, sizeof(t->cluster_key.key));
	t->n_seeds = take_number(r, 1);
	for (size_t i = 0; i < t->n_seeds && i < POLICY_TICKET_SEEDS_MAX && !r->bad; i++) {
		take_text(r, t->seeds[i].name, sizeof(t->seeds[i].name));
		take(r, t->seeds[i].key.raw, sizeof(t->seeds[i].key.raw));
		take_text(r, t->seeds[i].host, sizeof(t->seeds[i].host));
		t->seeds[i].port = (uint16_t)take_number(r, 2);
	}
	if (t->has_token) {
		take_text(r, t->token, sizeof(t->token));
		take(r, t->secret, sizeof(t->secret));
	}
	return !r->bad && r->at == r->end && !(flags & ~FLAG_TOKEN) && is_sound(t);
}

/* ---- text ---- */

static void base64_print(const uint8_t *data, size_t len, char *out)
{
	uint32_t bits = 0;
	unsigned have = 0;

	for (size_t i = 0; i < len; i++) {
		bits = bits << 8 | data[i];
		for (have += 8; have >= 6; have -= 6)
			*out++ = letters[bits >> (have - 6) & 63];
	}
	if (have)
		*out++ = letters[bits << (6 - have) & 63];
	*out = '\0';
}

/* Bytes in out; -1: a strange character, too much, or bits left over. White space is passed over. */
static ssize_t base64_take(const char *text, size_t len, uint8_t *out, size_t size)
{
	uint32_t bits = 0;
	unsigned have = 0;
	size_t n = 0;

	for (size_t i = 0; i < len; i++) {
		const char *letter = text[i] ? strchr(letters, text[i]) : NULL;

		if (isspace((unsigned char)text[i]))
			continue;
		if (!letter)
			return -1;
		bits = (bits << 6 | (uint32_t)(letter - letters)) & 0xffff;
		have += 6;
		if (have < 8)
			continue;
		have -= 8;
		if (n == size)
			return -1;
		out[n++] = (uint8_t)(bits >> have);
	}
	return have >= 6 || bits & ((1U << have) - 1) ? -1 : (ssize_t)n;
}

int policy_ticket_print(const struct policy_ticket *ticket, char buf[POLICY_TICKET_TEXT_MAX])
{
	const char *begin = ticket->has_token ? POLICY_TICKET_BEGIN_SECRET : POLICY_TICKET_BEGIN;
	uint8_t sum[SHA256_DIGEST_LENGTH];
	struct writer w = {.len = 0};

	if (!is_sound(ticket))
		return -EINVAL;
	body_write(ticket, &w);
	if (!SHA256(w.buf, w.len, sum))
		return -EIO;
	put(&w, sum, SUM_LEN);
	memcpy(buf, begin, strlen(begin));
	base64_print(w.buf, w.len, buf + strlen(begin));
	OPENSSL_cleanse(&w, sizeof(w));
	return 0;
}

static int fail(char *err, size_t size, int error, const char *text)
{
	if (err && size)
		snprintf(err, size, "%s", text);
	return error;
}

static bool begins(const char *text, size_t len, const char *with)
{
	return len >= strlen(with) && !memcmp(text, with, strlen(with));
}

static void trim(const char **text, size_t *len)
{
	for (; *len && isspace((unsigned char)**text); (*len)--)
		(*text)++;
	while (*len && isspace((unsigned char)(*text)[*len - 1]))
		(*len)--;
}

bool policy_ticket_is_secret(const char *text, size_t len)
{
	trim(&text, &len);
	return begins(text, len, POLICY_TICKET_BEGIN_SECRET);
}

static int parse(const char *text, size_t len, struct policy_ticket *t, uint8_t *body, size_t size,
        bool secret)
{
	uint8_t sum[SHA256_DIGEST_LENGTH];
	struct reader r = {.at = body};
	ssize_t n = base64_take(text, len, body, size);

	if (n <= (ssize_t)SUM_LEN)
		return -EBADMSG;
	r.end = body + n - SUM_LEN;
	if (!SHA256(body, (size_t)n - SUM_LEN, sum))
		return -EIO;
	if (CRYPTO_memcmp(sum, r.end, SUM_LEN) != 0)
		return -EBADMSG;
	return body_read(&r, t) && t->has_token == secret ? 0 : -EINVAL;
}

int policy_ticket_parse(
        const char *text, size_t len, struct policy_ticket *out, char *err, size_t err_size)
{
	bool secret = policy_ticket_is_secret(text, len);
	struct policy_ticket t = {.n_seeds = 0};
	uint8_t body[BODY_MAX];
	size_t begin;
	int ret;

	trim(&text, &len);
	if (!begins(text, len, POLICY_TICKET_BEGIN)) {
		if (len > 5 && begins(text, len, "ovl") && isdigit((unsigned char)text[3]))
			return fail(err, err_size, -EPROTONOSUPPORT,
			        "this ticket is of a newer release of overlayd: update this node, "
			        "or "
			        "ask for a ticket of its release");
		return fail(err, err_size, -EINVAL,
		        "this is no ticket: a ticket is one line that begins with "
		        "\"" POLICY_TICKET_BEGIN "\", as overlayctl ticket prints it");
	}
	begin = strlen(secret ? POLICY_TICKET_BEGIN_SECRET : POLICY_TICKET_BEGIN);
	ret = parse(text + begin, len - begin, &t, body, sizeof(body), secret);
	if (!ret)
		*out = t;
	OPENSSL_cleanse(body, sizeof(body));
	policy_ticket_wipe(&t);
	if (ret == -EBADMSG)
		return fail(err, err_size, ret,
		        "the ticket is damaged: a character of it is wrong, missing or too many; "
		        "copy "
		        "all of it again");
	if (ret == -EINVAL)
		return fail(err, err_size, ret,
		        "the ticket is whole, but makes no sense: it was not made by overlayctl");
	return ret ? fail(err, err_size, ret, "libcrypto failed") : 0;
}

void policy_ticket_wipe(struct policy_ticket *ticket)
{
	if (ticket)
		OPENSSL_cleanse(ticket, sizeof(*ticket));
}

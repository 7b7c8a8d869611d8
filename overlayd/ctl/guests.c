/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "ctl/guests.h"

#include <string.h>

#define NAMES_MAX 20
#define BEGIN "SHA256:"

json_t *guests_ask(struct ctl *ctl)
{
	json_t *answer = ctl_ask_quietly(ctl, "tokens");

	if (json_is_array(json_object_get(answer, "tokens")))
		return answer;
	json_decref(answer);
	return NULL;
}

const json_t *guests_token(const json_t *tokens, const char *name)
{
	const json_t *token;
	size_t i;

	json_array_foreach(json_object_get(tokens, "tokens"), i, token) {
		if (!strcmp(ctl_string(token, "name", ""), name))
			return token;
	}
	return NULL;
}

/* ---- one of them */

typedef bool matches(const json_t *guest, const char *wanted);

static const json_t *find(
        const json_t *tokens, matches *is_it, const char *wanted, const json_t **out)
{
	const json_t *token, *guest;
	size_t i, j;

	json_array_foreach(json_object_get(tokens, "tokens"), i, token) {
		json_array_foreach(json_object_get(token, "guests"), j, guest) {
			if (!is_it(guest, wanted))
				continue;
			if (out)
				*out = token;
			return guest;
		}
	}
	return NULL;
}

static bool is_named(const json_t *guest, const char *name)
{
	return !strcmp(ctl_string(guest, "name", ""), name);
}

static bool has_key(const json_t *guest, const char *key)
{
	const char *own = ctl_string(guest, "key", "");
	size_t len = strlen(own);

	return len && !strncmp(key, own, len) && (!key[len] || key[len] == ' ');
}

static bool has_fingerprint(const json_t *guest, const char *fingerprint)
{
	return !strncmp(ctl_string(guest, "fingerprint", ""), fingerprint, strlen(fingerprint));
}

static bool has_address(const json_t *guest, const char *address)
{
	return !strcmp(ctl_string(guest, "address", ""), address);
}

const json_t *guests_by_name(const json_t *tokens, const char *name, const json_t **token)
{
	return find(tokens, is_named, name, token);
}

const json_t *guests_by_key(const json_t *tokens, const char *key, const json_t **token)
{
	if (!strncmp(key, BEGIN, strlen(BEGIN)))
		return find(tokens, has_fingerprint, key, token);
	return find(tokens, has_key, key, token);
}

const json_t *guests_by_address(const json_t *tokens, const char *address, const json_t **token)
{
	return find(tokens, has_address, address, token);
}

/* ---- many of them */

static void list_add(char *buf, size_t size, const char *text)
{
	size_t len = strlen(buf);

	snprintf(buf + len, size - len, "%s%s", len ? ", " : "", text);
}

void guests_names(const json_t *guests, char *buf, size_t size)
{
	const json_t *guest;
	size_t i, n = json_array_size(guests);

	*buf = '\0';
	json_array_foreach(guests, i, guest) {
		if (i == NAMES_MAX) {
			size_t len = strlen(buf);

			snprintf(buf + len, size - len, " and %zu more", n - i);
			return;
		}
		list_add(buf, size, ctl_string(guest, "name", "?"));
	}
}

void guests_list(const json_t *texts, char *buf, size_t size)
{
	const json_t *text;
	size_t i;

	*buf = '\0';
	json_array_foreach(texts, i, text) {
		list_add(buf, size, json_string_value(text) ? json_string_value(text) : "?");
	}
}

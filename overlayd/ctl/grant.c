/* SPDX-License-Identifier: GPL-2.0-or-later */
/* ticket --token: a key pair whose public half the policy grants something, and whose secret one is
 * in the ticket and nowhere else. */
#include "ctl/ticket.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <string.h>
#include <time.h>

#include "ctl/secret.h"

/* ---- what was typed */

static int64_t unit_of(char c)
{
	switch (c) {
	case 's':
		return 1;
	case 'm':
		return 60;
	case 'h':
		return 3600;
	case 'd':
		return 86400;
	case 'w':
		return 7 * 86400;
	}
	return 0;
}

int64_t grant_ttl_parse(const char *text)
{
	int64_t sum = 0;

	do {
		int64_t n = 0, unit;

		if (*text < '0' || *text > '9')
			return -1;
		for (; *text >= '0' && *text <= '9' && n <= GRANT_TTL_MAX_S; text++)
			n = n * 10 + (*text - '0');
		unit = unit_of(*text++);
		if (!unit || n > GRANT_TTL_MAX_S)
			return -1;
		sum += n * unit;
		if (sum > GRANT_TTL_MAX_S)
			return -1;
	} while (*text);
	return sum ? sum : -1;
}

bool grant_roles_add(struct grant *grant, char *text)
{
	char *save, *role = strtok_r(text, ", ", &save);

	for (; role; role = strtok_r(NULL, ", ", &save)) {
		if (grant->n_roles == GRANT_ROLES_MAX)
			return false;
		grant->roles[grant->n_roles++] = role;
	}
	return true;
}

/* ---- before anything is changed */

/* A token for a role that nobody and nothing has would let in nodes that may do nothing. */
static bool is_role(const struct policy *policy, const char *role)
{
	for (size_t i = 0; i < policy->n_roles; i++)
		if (!strcmp(policy->roles[i], role))
			return true;
	return false;
}

static void roles_print(const struct policy *policy, char *buf, size_t size)
{
	size_t len = 0;

	*buf = '\0';
	for (size_t i = 0; i < policy->n_roles && len < size; i++)
		if (strcmp(policy->roles[i], POLICY_ROLE_SEED) != 0 &&
		        strcmp(policy->roles[i], POLICY_ROLE_VOTER) != 0)
			len += (size_t)snprintf(
			        buf + len, size - len, "%s%s", len ? ", " : "", policy->roles[i]);
}

/* What it is good for has to be said; what there is helps to say it. */
static int roles_check(struct ctl *ctl, const struct policy *policy, const struct grant *grant)
{
	char text[1024];

	roles_print(policy, text, sizeof(text));
	if (!grant->n_roles) {
		ctl_error(ctl,
		        "--role is needed: what those who come in by this token may do; the policy "
		        "has %s",
		        *text ? text : "no role yet that a token may give");
		return CTL_USAGE;
	}
	for (size_t i = 0; i < grant->n_roles; i++)
		if (!is_role(policy, grant->roles[i])) {
			ctl_error(ctl,
			        "the policy has no role '%s', so it would be good for nothing; it "
			        "has %s",
			        grant->roles[i], *text ? text : "none yet that a token may give");
			return CTL_FAILED;
		}
	return CTL_OK;
}

/* By the files, of which the bundle that makes the token good will be made. */
static int files_check(struct ctl *ctl, const struct grant *grant, struct policy_ticket *ticket)
{
	struct policy *policy;
	int rc = ticket_key(ctl, &ticket->cluster_key);

	if (rc)
		return rc;
	policy = ctl_policy(ctl, ctl->config, &rc);
	if (!policy)
		return rc;
	rc = ticket_fill(ctl, policy, "the policy's files", ticket);
	if (!rc)
		rc = roles_check(ctl, policy, grant);
	policy_unref(policy);
	return rc;
}

/* ---- the key pair */

/* The pair: its secret half goes into the ticket. */
static int pair_make(struct ctl *ctl, struct policy_ticket *ticket, struct policy_key *key)
{
	size_t len = sizeof(key->raw);
	EVP_PKEY *pair = NULL;
	bool made;

	made = RAND_priv_bytes(ticket->secret, sizeof(ticket->secret)) == 1;
	if (made)
		pair = EVP_PKEY_new_raw_private_key(
		        EVP_PKEY_ED25519, NULL, ticket->secret, sizeof(ticket->secret));
	made = pair && EVP_PKEY_get_raw_public_key(pair, key->raw, &len) == 1 &&
	       len == sizeof(key->raw);
	EVP_PKEY_free(pair);
	if (!made)
		ctl_error(ctl, "libcrypto cannot make the token's key; nothing was changed");
	return made ? CTL_OK : CTL_FAILED;
}

/* token-20261121-9f3c: when it was made helps in a list, the rest tells two of a day apart. */
static int name_make(struct ctl *ctl, char name[POLICY_NAME_MAX + 1])
{
	time_t now = time(NULL);
	unsigned char more[2];
	size_t len;
	struct tm tm;

	if (!gmtime_r(&now, &tm) || RAND_bytes(more, sizeof(more)) != 1) {
		ctl_error(ctl, "no name can be made up for the token: give it one");
		return CTL_FAILED;
	}
	len = strftime(name, POLICY_NAME_MAX, "token-%Y%m%d-", &tm);
	snprintf(name + len, POLICY_NAME_MAX + 1 - len, "%02x%02x", more[0], more[1]);
	return CTL_OK;
}

/* ---- the token */

static void until_print(int64_t until, char buf[32])
{
	time_t t = (time_t)until;
	struct tm tm;

	*buf = '\0';
	if (gmtime_r(&t, &tm))
		strftime(buf, 32, "%Y-%m-%dT%H:%M:%SZ", &tm);
}

static int token_add(struct edit *edit, const struct grant *grant, const char *name,
        const struct policy_key *key)
{
	char text[96], until[32], count[16];
	const struct policy_token_grant token = {
	        .name = name,
	        .key = text,
	        .roles = (const char *const *)grant->roles,
	        .n_roles = grant->n_roles,
	        .site = grant->site,
	        .range = grant->range,
	        .count = count,
	        .until = grant->until ? grant->until : until,
	};

	policy_key_print(key, text, sizeof(text));
	snprintf(count, sizeof(count), "%u", grant->count);
	until_print(time(NULL) + grant->ttl, until);
	return policy_edit_token_add(edit->ctl->config, &token, &edit->new_policy, &edit->report);
}

static json_t *more_make(const struct policy_ticket *ticket, const struct grant *grant,
        const char *until, const char *text)
{
	json_t *more = ticket_json(ticket, text);

	json_object_set_new(more, "token", json_string(ticket->token));
	json_object_set_new(more, "count", json_integer(grant->count));
	json_object_set_new(more, "until", json_string(until));
	return more;
}

static void warn(const struct policy_ticket *ticket, const struct grant *grant, const char *until)
{
	char nodes[32];

	snprintf(nodes, sizeof(nodes), grant->count == 1 ? "one node" : "%u nodes", grant->count);
	fprintf(stderr,
	        "This line is a secret: whoever has it can let in %s until %s.\n"
	        "Give it to the new node%s by stdin (overlayctl join -) or as a file, best once, "
	        "and "
	        "keep no copy.\n"
	        "To take it back, with all that came in by it: overlayctl token revoke %s\n",
	        nodes, until, grant->count == 1 ? "" : "s", ticket->token);
}

/* ---- all of it */

/* It is in the files: is it good, and does the ticket hold it? Else it is taken back. */
static int added_check(struct edit *edit, const struct policy_ticket *ticket, char until[32],
        char text[POLICY_TICKET_TEXT_MAX])
{
	const struct policy_token *token = policy_token_by_name(edit->new_policy, ticket->token);

	/* As it was read back: --until may have been a date of its site's zone. */
	until_print(token ? token->until : 0, until);
	if (token && token->until > time(NULL))
		return ticket_text(edit->ctl, ticket, text) ? edit_refuse(edit) : CTL_OK;
	ctl_error(edit->ctl, "--until: %s is over already", until);
	return edit_refuse(edit);
}

/* What of it is in jansson's memory. */
static void line_wipe(json_t *line)
{
	if (line)
		OPENSSL_cleanse(
		        (char *)(uintptr_t)json_string_value(line), json_string_length(line));
	json_decref(line);
}

static int add_and_sign(struct edit *edit, const struct grant *grant, const char *name,
        struct policy_ticket *ticket, char text[POLICY_TICKET_TEXT_MAX])
{
	struct ctl *ctl = edit->ctl;
	char written[128], until[32];
	struct policy_key key;
	json_t *line = NULL;
	int rc = pair_make(ctl, ticket, &key), ret;

	if (rc)
		return edit_drop(edit, rc);
	ret = token_add(edit, grant, name, &key);
	if (!ret) {
		rc = added_check(edit, ticket, until, text);
		if (rc)
			return rc;
		edit->more = more_make(ticket, grant, until, text);
		line = json_incref(json_object_get(edit->more, "ticket"));
	}
	snprintf(written, sizeof(written), "token %s is granted", ticket->token);
	rc = edit_end(edit, ret, written);
	/* Also where the daemon did not say yes or no: the files have the token. */
	if (!ret && (rc == CTL_OK || rc == CTL_NO || rc == CTL_UNREACHABLE)) {
		if (!ctl->json)
			puts(text);
		fflush(stdout);
		warn(ticket, grant, until);
	}
	line_wipe(line);
	return rc;
}

int grant_run(struct edit *edit, const struct grant *grant, int argc, char **argv)
{
	static char buffer[4 * POLICY_TICKET_TEXT_MAX]; /* stdout's, so that it can be wiped */
	struct policy_ticket ticket = {.has_token = true};
	char text[POLICY_TICKET_TEXT_MAX] = "";
	struct ctl *ctl = edit->ctl;
	const char *name;
	int rc = files_check(ctl, grant, &ticket);

	if (!rc && grant->name)
		snprintf(ticket.token, sizeof(ticket.token), "%s", grant->name);
	else if (!rc)
		rc = name_make(ctl, ticket.token);
	name = grant->name ? grant->name : ticket.token;
	if (!rc)
		rc = edit_begin_token(edit, name, argc, argv);
	if (rc)
		return rc;
	secret_guard();
	ctl->answer_only = true;
	setvbuf(stdout, buffer, _IOFBF, sizeof(buffer));
	rc = add_and_sign(edit, grant, name, &ticket, text);
	fflush(stdout);
	OPENSSL_cleanse(buffer, sizeof(buffer));
	OPENSSL_cleanse(text, sizeof(text));
	policy_ticket_wipe(&ticket);
	return rc;
}

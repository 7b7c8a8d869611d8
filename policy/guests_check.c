/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which guests the policy grants, and which address the next one gets. */
#include "policy/guests.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "policy/guests_internal.h"

void pol_name_lower(const char *name, char lower[POLICY_NAME_MAX + 1])
{
	size_t len = strnlen(name, POLICY_NAME_MAX);

	for (size_t i = 0; i < len; i++)
		lower[i] = (char)(name[i] >= 'A' && name[i] <= 'Z' ? name[i] - 'A' + 'a' : name[i]);
	lower[len] = '\0';
}

struct say {
	char *text;
	size_t size;
};

__attribute__((format(printf, 2, 3))) static int refuse(struct say say, const char *format, ...)
{
	va_list args;

	if (say.text && say.size) {
		va_start(args, format);
		vsnprintf(say.text, say.size, format, args);
		va_end(args);
	}
	return -EINVAL;
}

static bool addr_is_failover(const struct policy *policy, const struct policy_addr *addr)
{
	for (size_t i = 0; i < policy->n_failovers; i++)
		if (memcmp(&policy->failovers[i].address, addr, sizeof(*addr)) == 0)
			return true;
	return false;
}

static bool addr_is_edge(const struct policy *policy, const struct policy_addr *addr)
{
	return pol_addr_is_network(addr, policy->overlay4.len) ||
	       pol_addr_is_broadcast(addr, policy->overlay4.len);
}

/* Other than the names of the policy's own peers, those of guests are seen by nobody beforehand. */
static int name_check(const struct policy_admission *admission, struct say say)
{
	char lower[POLICY_NAME_MAX + 1];

	if (!pol_name_valid(admission->name))
		return refuse(say, "the newcomer's name is no name");
	if (strchr(admission->name, '.'))
		return refuse(say,
		        "the name %s has a dot, so it could be one of the internet: give the new "
		        "node one without",
		        admission->name);
	pol_name_lower(admission->name, lower);
	if (strcmp(lower, "localhost") == 0)
		return refuse(say, "the name %s means every host itself: give the new node another",
		        admission->name);
	return 0;
}

static int key_check(const struct policy *policy, const struct policy_token *token,
        const struct policy_key *key, struct say say)
{
	struct policy_key again;
	const char *fault;
	char text[96];

	policy_key_print(key, text, sizeof(text));
	fault = pol_key_fault(text, &again, NULL);
	if (fault)
		return refuse(say, "the newcomer's key %s", fault);
	if (policy_token_excepts(token, key))
		return refuse(say, "the newcomer's key was revoked: token %s (%s:%u) excepts it",
		        token->name, token->where.file, token->where.line);
	for (size_t i = 0; i < policy->n_tokens; i++)
		if (memcmp(&policy->tokens[i].key, key, sizeof(*key)) == 0)
			return refuse(say, "the newcomer's key is that of token %s: make a new key",
			        policy->tokens[i].name);
	return 0;
}

static int addr_check(const struct policy *policy, const struct policy_token *token,
        const struct policy_addr *addr, struct say say)
{
	char text[INET6_ADDRSTRLEN], range[INET6_ADDRSTRLEN + 4];

	policy_addr_print(addr, text, sizeof(text));
	pol_prefix_print(&token->range, range, sizeof(range));
	if (!policy_prefix_contains(&policy->overlay4, addr) ||
	        !policy_prefix_contains(&token->range, addr))
		return refuse(say, "%s is outside the range %s of token %s (%s:%u)", text, range,
		        token->name, token->where.file, token->where.line);
	if (addr_is_edge(policy, addr))
		return refuse(say, "%s is the network's or broadcast address of the overlay", text);
	if (addr_is_failover(policy, addr))
		return refuse(say, "%s is a failover address", text);
	return 0;
}

int policy_admission_check(const struct policy *policy, const struct policy_admission *admission,
        char *text, size_t size)
{
	const struct policy_token *token = policy_token_by_name(policy, admission->token);
	const struct policy_peer *seed = policy_peer_by_name(policy, admission->seed);
	struct say say = {text, size};
	int ret;

	if (strcmp(admission->cluster, policy->cluster) != 0)
		return refuse(say, "the admission is of cluster %s, and this is %s",
		        admission->cluster, policy->cluster);
	if (!token)
		return refuse(say,
		        "there is no token %s in the policy: it was revoked, or is not signed yet",
		        admission->token);
	if (!seed || seed->guest || !policy_is_seed(policy, seed))
		return refuse(say, "%s, which let the newcomer in, is no seed", admission->seed);
	if (admission->number < 1 || admission->number > token->count)
		return refuse(say, "token %s (%s:%u) is for %u guests, and this is number %u",
		        token->name, token->where.file, token->where.line, token->count,
		        admission->number);
	ret = name_check(admission, say);
	ret = ret ? ret : key_check(policy, token, &admission->key, say);
	return ret ? ret : addr_check(policy, token, &admission->addr4, say);
}

/* ---- the next address */

static uint64_t key_hash(const struct policy_key *key)
{
	static const char label[] = "overlayd guest address v1";
	unsigned char digest[32];
	uint64_t hash = 0;

	pol_sha256(digest, label, sizeof(label), key->raw, sizeof(key->raw), NULL, 0);
	for (int i = 0; i < 8; i++)
		hash = hash << 8 | digest[i];
	return hash;
}

static bool addr_is_free(const struct policy *policy, const struct policy_addr *addr)
{
	return policy_prefix_contains(&policy->overlay4, addr) && !addr_is_edge(policy, addr) &&
	       !policy_peer_by_addr(policy, addr) && !addr_is_failover(policy, addr);
}

int policy_admission_address(const struct policy *policy, const struct policy_token *token,
        const struct policy_key *key, struct policy_addr *out)
{
	struct policy_prefix range = token->range;
	uint64_t size, start;
	uint32_t first;

	if (range.addr.family != AF_INET || range.len > 32)
		return -ENOSPC;
	pol_prefix_mask(&range);
	memcpy(&first, range.addr.bytes, sizeof(first));
	first = ntohl(first);
	size = 1ULL << (32 - range.len);
	start = key_hash(key) % size;
	/* No more are tried than are taken, and one: those of the policy, not those of a /8. */
	for (uint64_t i = 0; i < size; i++) {
		uint32_t bits = htonl(first + (uint32_t)((start + i) % size));
		struct policy_addr addr = {.family = AF_INET};

		memcpy(addr.bytes, &bits, sizeof(bits));
		if (!addr_is_free(policy, &addr))
			continue;
		*out = addr;
		return 0;
	}
	return -ENOSPC;
}

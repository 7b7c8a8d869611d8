/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which guests the policy grants, and which address the next one gets. */
#include "policy/guests.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "policy/guests_internal.h"

void pol_name_lower(const char *name, char lower[POLICY_NAME_MAX + 1])
{
	size_t len = strnlen(name, POLICY_NAME_MAX);

	for (size_t i = 0; i < len; i++)
		lower[i] = (char)(name[i] >= 'A' && name[i] <= 'Z' ? name[i] - 'A' + 'a' : name[i]);
	lower[len] = '\0';
}

bool pol_name_head(const struct policy *policy, const char *name, char head[POLICY_NAME_MAX + 1])
{
	size_t len = strcspn(name, ".");

	if (!name[len] || strcasecmp(name + len + 1, policy->cluster) != 0)
		return false;
	memcpy(head, name, len);
	head[len] = '\0';
	return true;
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
static int name_check(const char *name, struct say say)
{
	if (!pol_name_valid(name))
		return refuse(say, "the newcomer's name is no name");
	if (strchr(name, '.'))
		return refuse(say,
		        "the name %s has a dot, so it could be one of the internet: give the new "
		        "node one without",
		        name);
	if (strcasecmp(name, "localhost") == 0)
		return refuse(say, "the name %s means every host itself: give the new node another",
		        name);
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
	ret = name_check(admission->name, say);
	ret = ret ? ret : key_check(policy, token, &admission->key, say);
	return ret ? ret : addr_check(policy, token, &admission->addr4, say);
}

/* ---- what is the policy's own */

static bool is_called(const struct policy *policy, const char *its, const char *name)
{
	char head[POLICY_NAME_MAX + 1];

	return strcasecmp(its, name) == 0 ||
	       (pol_name_head(policy, its, head) && strcasecmp(head, name) == 0);
}

static int taken(struct say say, const char *what, const char *whose, const char *name,
        const struct policy_where *where)
{
	refuse(say, "the %s is that of the %s %s (%s:%u)", what, whose, name, where->file,
	        where->line);
	return -EEXIST;
}

static int name_taken(const struct policy *policy, const char *name, struct say say)
{
	for (size_t i = 0; i < policy->n_failovers; i++)
		if (is_called(policy, policy->failovers[i].name, name))
			return taken(say, "name", "failover address", policy->failovers[i].name,
			        &policy->failovers[i].where);
	for (size_t i = 0; i < policy->n_peers; i++)
		if (is_called(policy, policy->peers[i].name, name))
			return taken(say, "name", "peer", policy->peers[i].name,
			        &policy->peers[i].where);
	return 0;
}

int policy_guest_name_check(const struct policy *policy, const char *name, char *text, size_t size)
{
	struct say say = {text, size};
	int ret = name_check(name, say);

	return ret ? ret : name_taken(policy_written(policy), name, say);
}

int policy_admission_taken(const struct policy *policy, const struct policy_admission *admission,
        char *text, size_t size)
{
	const struct policy *written = policy_written(policy);
	const struct policy_key *key = &admission->key;
	const struct policy_peer *peer = policy_peer_by_key(written, key);
	struct say say = {text, size};
	struct policy_addr addr6;

	peer = peer ? peer : policy_peer_by_old_key(written, key);
	if (peer)
		return taken(say, "key", "peer", peer->name, &peer->where);
	pol_ula_in_prefix(written->cluster, &written->overlay6, key, &addr6);
	peer = policy_peer_by_addr(written, &admission->addr4);
	peer = peer ? peer : policy_peer_by_addr(written, &addr6);
	if (peer)
		return taken(say, "address", "peer", peer->name, &peer->where);
	return name_taken(written, admission->name, say);
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

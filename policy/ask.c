/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Questions to a policy: who is this, may they talk, and why. */
#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <sys/socket.h>

#include "policy/internal.h"

static const struct pol_full *full_of(const struct policy *policy)
{
	return (const struct pol_full *)policy;
}

const struct policy_peer *policy_peer_by_name(const struct policy *policy, const char *name)
{
	size_t low = 0, high = policy->n_peers;

	while (low < high) {
		size_t mid = low + (high - low) / 2;
		int order = strcmp(name, policy->peers[mid].name);

		if (order == 0)
			return &policy->peers[mid];
		if (order < 0)
			high = mid;
		else
			low = mid + 1;
	}
	return NULL;
}

/* Binary search for bytes that stand at `offset` in a peer. */
static const struct policy_peer *peer_search(const struct policy *policy, const uint32_t *index,
        size_t offset, const void *bytes, size_t size)
{
	size_t low = 0, high = policy->n_peers;

	while (low < high) {
		size_t mid = low + (high - low) / 2;
		const struct policy_peer *peer = &policy->peers[index[mid]];
		int order = memcmp(bytes, (const char *)peer + offset, size);

		if (order == 0)
			return peer;
		if (order < 0)
			high = mid;
		else
			low = mid + 1;
	}
	return NULL;
}

const struct policy_peer *policy_peer_by_key(
        const struct policy *policy, const struct policy_key *key)
{
	return peer_search(policy, full_of(policy)->by_key, offsetof(struct policy_peer, key), key,
	        sizeof(*key));
}

const struct policy_peer *policy_peer_by_old_key(
        const struct policy *policy, const struct policy_key *key)
{
	const struct policy_peer *peer;

	if (!full_of(policy)->by_old_key)
		return NULL;
	peer = peer_search(policy, full_of(policy)->by_old_key,
	        offsetof(struct policy_peer, old_key), key, sizeof(*key));
	return peer && peer->has_old_key ? peer : NULL;
}

const struct policy_peer *policy_peer_by_addr(
        const struct policy *policy, const struct policy_addr *addr)
{
	if (!addr->family)
		return NULL;
	if (addr->family == AF_INET)
		return peer_search(policy, full_of(policy)->by_addr4,
		        offsetof(struct policy_peer, addr4), addr, sizeof(*addr));
	return peer_search(policy, full_of(policy)->by_addr6, offsetof(struct policy_peer, addr6),
	        addr, sizeof(*addr));
}

/* The roles of a peer as bits, so that 1,024 rules are judged quickly. */
struct role_bits {
	uint64_t word[POL_ROLE_WORDS];
};

static struct role_bits role_bits(const struct policy_peer *peer)
{
	struct role_bits bits = {{0}};

	for (size_t i = 0; i < peer->n_roles; i++)
		bits.word[peer->roles[i] / 64] |= 1ULL << peer->roles[i] % 64;
	return bits;
}

static bool role_in(const struct role_bits *bits, uint16_t role)
{
	return role == POLICY_ANY || (bits->word[role / 64] >> role % 64 & 1);
}

bool policy_is_seed(const struct policy *policy, const struct policy_peer *peer)
{
	for (size_t i = 0; i < peer->n_roles; i++)
		if (strcmp(policy->roles[peer->roles[i]], POLICY_ROLE_SEED) == 0)
			return true;
	return false;
}

bool policy_mesh_on_demand(const struct policy *policy)
{
	return policy->mesh == POLICY_MESH_ONDEMAND ||
	       (policy->mesh == POLICY_MESH_AUTO && policy->n_peers > POLICY_MESH_AUTO_PEERS);
}

bool policy_on_demand(
        const struct policy *policy, const struct policy_peer *a, const struct policy_peer *b)
{
	return policy_mesh_on_demand(policy) && !policy_is_seed(policy, a) &&
	       !policy_is_seed(policy, b);
}

size_t policy_allows_between(const struct policy *policy, const struct policy_peer *from,
        const struct policy_peer *to, uint64_t *bits)
{
	struct role_bits from_bits = role_bits(from), to_bits = role_bits(to);
	size_t n = 0;

	memset(bits, 0, (policy->n_allows + 63) / 64 * sizeof(*bits));
	if (from == to)
		return 0;
	for (size_t i = 0; i < policy->n_allows; i++) {
		const struct policy_allow *allow = &policy->allows[i];

		if (role_in(&from_bits, allow->from) && role_in(&to_bits, allow->to)) {
			bits[i / 64] |= 1ULL << i % 64;
			n++;
		}
	}
	return n;
}

static bool service_has(
        const struct policy_service *service, enum policy_proto proto, uint16_t port)
{
	for (size_t i = 0; i < service->n_ports; i++) {
		const struct policy_ports *ports = &service->ports[i];

		if (ports->proto == proto &&
		        (proto == POLICY_ICMP || (port >= ports->first && port <= ports->last)))
			return true;
	}
	return false;
}

const char *pol_role_name(const struct policy *policy, uint16_t role)
{
	return role == POLICY_ANY ? "*" : policy->roles[role];
}

__attribute__((format(printf, 2, 3))) static void say(
        struct policy_verdict *out, const char *format, ...)
{
	size_t len = strlen(out->text);
	va_list args;

	va_start(args, format);
	vsnprintf(out->text + len, sizeof(out->text) - len, format, args);
	va_end(args);
}

static void say_rule(
        struct policy_verdict *out, const struct policy *policy, const struct policy_allow *allow)
{
	say(out, "%s:%u: %s -> %s on %s", allow->where.file, allow->where.line,
	        pol_role_name(policy, allow->from), pol_role_name(policy, allow->to),
	        policy->services[allow->service].name);
}

/* How near a rule comes: 0 all fits, 1 the port misses, 2 one role misses, 3 far. */
static int rule_distance(const struct policy *policy, const struct policy_allow *allow,
        const struct role_bits *from, const struct role_bits *to, enum policy_proto proto,
        uint16_t port)
{
	bool is_from = role_in(from, allow->from), is_to = role_in(to, allow->to);
	bool is_port = service_has(&policy->services[allow->service], proto, port);

	if (is_from && is_to)
		return is_port ? 0 : 1;
	return is_port && (is_from || is_to) ? 2 : 3;
}

static void nearest_say(struct policy_verdict *out, const struct policy *policy,
        const struct policy_peer *from, const struct policy_peer *to, const char *what)
{
	const struct policy_allow *near = out->nearest;
	struct role_bits from_bits = role_bits(from), to_bits = role_bits(to);
	const struct policy_service *service;
	char ports[32];

	if (!near)
		return;
	say(out, " Nearest is ");
	say_rule(out, policy, near);
	if (!role_in(&from_bits, near->from)) {
		say(out, ", but %s has not the role %s.", from->name,
		        pol_role_name(policy, near->from));
	} else if (!role_in(&to_bits, near->to)) {
		say(out, ", but %s has not the role %s.", to->name,
		        pol_role_name(policy, near->to));
	} else {
		service = &policy->services[near->service];
		say(out, ", but %s is not in it (", what);
		for (size_t i = 0; i < service->n_ports; i++) {
			pol_ports_print(&service->ports[i], ports, sizeof(ports));
			say(out, "%s%s", i ? ", " : "", i == 6 ? "..." : ports);
			if (i == 6)
				break;
		}
		say(out, ").");
	}
}

/* False, and said so, when the peer is not active at that time. */
static bool active_say(struct policy_verdict *out, const struct policy *policy,
        const struct policy_peer *peer, int64_t now)
{
	char date[40];
	int64_t next;

	if (now == POLICY_ANY_TIME || policy_peer_active(policy, peer, now, &next))
		return true;
	out->allow = false;
	if (peer->has_until && now >= peer->until) {
		pol_until_print(peer->until, date, sizeof(date));
		say(out, "denied: %s (%s:%u) was %s until %s.", peer->name, peer->where.file,
		        peer->where.line, peer->guest ? "let in" : "approved", date);
	} else {
		say(out, "denied: %s (%s:%u) takes part %s only", peer->name, peer->where.file,
		        peer->where.line, peer->hours_text);
		if (next != INT64_MAX) {
			pol_until_print(next, date, sizeof(date));
			say(out, ", next at %s", date);
		}
		say(out, ".");
	}
	return false;
}

/* What stands nowhere: why it is a peer at all. */
static void guest_say(
        struct policy_verdict *out, const struct policy *policy, const struct policy_peer *peer)
{
	if (peer->guest)
		say(out, " %s is a guest of token %s (%s:%u).", peer->name,
		        policy->tokens[peer->token].name, peer->where.file, peer->where.line);
}

int policy_explain(const struct policy *policy, const struct policy_peer *from,
        const struct policy_peer *to, enum policy_proto proto, uint16_t port, int64_t now,
        struct policy_verdict *out)
{
	struct policy_verdict verdict = {.allow = false};
	struct role_bits from_bits, to_bits;
	char what[16];
	int nearest = 3;

	if (!from || !to || from == to || (proto != POLICY_ICMP && port == 0))
		return -EINVAL;
	from_bits = role_bits(from);
	to_bits = role_bits(to);
	if (proto == POLICY_ICMP)
		snprintf(what, sizeof(what), "icmp");
	else
		snprintf(what, sizeof(what), "%s/%u", pol_proto_name(proto), port);
	for (size_t i = 0; i < policy->n_allows && !verdict.rule; i++) {
		const struct policy_allow *allow = &policy->allows[i];
		int distance = rule_distance(policy, allow, &from_bits, &to_bits, proto, port);

		if (distance == 0)
			verdict.rule = allow;
		if (distance < nearest) {
			nearest = distance;
			verdict.nearest = allow;
		}
	}
	verdict.allow = verdict.rule != NULL;
	if (verdict.rule)
		verdict.nearest = NULL;
	if (!active_say(&verdict, policy, from, now) || !active_say(&verdict, policy, to, now)) {
		verdict.nearest = NULL;
	} else if (verdict.rule) {
		say(&verdict, "allowed by ");
		say_rule(&verdict, policy, verdict.rule);
		say(&verdict, " (%s).", what);
	} else {
		say(&verdict, "denied: no rule lets %s open %s on %s.", from->name, what, to->name);
		nearest_say(&verdict, policy, from, to, what);
	}
	guest_say(&verdict, policy, from);
	guest_say(&verdict, policy, to);
	*out = verdict;
	return 0;
}

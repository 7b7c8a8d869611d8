/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a newcomer's host signs, and with what: its request with the node's key, and with a token's
 * secret what the token vouches for. And how long it keeps a ticket.
 */
#include "world_bed.h"

#include "host/join_private.h"

#include "policy/admission.h"

#include <openssl/evp.h>

static const uint8_t secret[32] = {1, 2, 3, 4}, seed_nonce[32] = {9};

static struct policy_key public_of(const uint8_t raw[32])
{
	EVP_PKEY *pkey = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, raw, 32);
	struct policy_key key;
	size_t len = sizeof(key.raw);

	assert_int_equal(EVP_PKEY_get_raw_public_key(pkey, key.raw, &len), 1);
	EVP_PKEY_free(pkey);
	return key;
}

static struct engine_join_ask ask_of(const struct world *world, const char *token)
{
	struct engine_join_ask ask = {.request = {.cluster = "t", .name = "z", .site = "s"}};

	memset(&ask.cluster_key, 5, sizeof(ask.cluster_key));
	memset(&ask.key, 6, sizeof(ask.key));
	memcpy(ask.request.key.raw, world->public_key, sizeof(ask.request.key.raw));
	snprintf(ask.request.token, sizeof(ask.request.token), "%s", token);
	return ask;
}

static int verify_request(const struct engine_join_ask *ask, const struct join_request *r)
{
	uint8_t words[JOIN_WORDS_MAX];

	assert_int_equal(join_request_words(r, &ask->cluster_key, &ask->key, seed_nonce, words), 0);
	return policy_key_verify(&r->key, words, sizeof(words), r->signature);
}

static int verify_token(const struct join_request *r, const struct policy_key *token)
{
	uint8_t words[POLICY_ADMISSION_WORDS_MAX];
	struct policy_admission a = {.key = r->key};
	size_t len;

	memcpy(a.cluster, r->cluster, sizeof(a.cluster));
	memcpy(a.token, r->token, sizeof(a.token));
	memcpy(a.name, r->name, sizeof(a.name));
	len = policy_admission_words_token(&a, words);
	return policy_key_verify(token, words, len, r->by_token);
}

static void the_token_vouches_for_the_request(void **state)
{
	static const uint8_t none[64];
	struct policy_key token = public_of(secret);
	struct join_request r, again;
	struct engine_join_ask ask;
	struct world *world;
	char err[256];

	(void)state;
	world = world_up();
	ask = ask_of(world, "lab");
	assert_int_equal(
	        join_sign_request(world, &ask, secret, seed_nonce, &r, err, sizeof(err)), 0);
	assert_int_equal(verify_request(&ask, &r), 0);
	assert_int_equal(verify_token(&r, &token), 0);
	assert_string_equal(r.release, OVERLAYD_VERSION);
	/* for this name, this key and this token, and by this token alone */
	again = r;
	again.name[0] = 'y';
	assert_int_not_equal(verify_token(&again, &token), 0);
	assert_int_not_equal(verify_request(&ask, &again), 0);
	again = r;
	again.key.raw[0] ^= 1;
	assert_int_not_equal(verify_token(&again, &token), 0);
	again = r;
	again.token[0] = 'x';
	assert_int_not_equal(verify_token(&again, &token), 0);
	assert_int_not_equal(verify_request(&ask, &again), 0);
	token = public_of(seed_nonce);
	assert_int_not_equal(verify_token(&r, &token), 0);
	/* a nonce is never used twice */
	assert_int_equal(
	        join_sign_request(world, &ask, secret, seed_nonce, &again, err, sizeof(err)), 0);
	assert_memory_not_equal(again.nonce, r.nonce, sizeof(r.nonce));
	/* without a token nothing is signed with one */
	ask = ask_of(world, "");
	assert_int_equal(join_sign_request(world, &ask, NULL, seed_nonce, &r, err, sizeof(err)), 0);
	assert_int_equal(verify_request(&ask, &r), 0);
	assert_memory_equal(r.by_token, none, sizeof(none));
	world_free(world);
}

static void ticket_print(char text[POLICY_TICKET_TEXT_MAX])
{
	struct policy_ticket ticket = {
	        .cluster = "t", .port = 4500, .n_seeds = 1, .has_token = true, .token = "lab"};

	memset(ticket.cluster_key.id, 7, sizeof(ticket.cluster_key.id));
	memset(ticket.cluster_key.key, 7, sizeof(ticket.cluster_key.key));
	snprintf(ticket.seeds[0].name, sizeof(ticket.seeds[0].name), "a");
	snprintf(ticket.seeds[0].host, sizeof(ticket.seeds[0].host), "192.0.2.1");
	ticket.seeds[0].key = public_of(seed_nonce);
	ticket.seeds[0].port = 4500;
	memcpy(ticket.secret, secret, sizeof(secret));
	assert_int_equal(policy_ticket_print(&ticket, text), 0);
}

static void a_ticket_is_forgotten_when_joining_is_cancelled(void **state)
{
	char text[POLICY_TICKET_TEXT_MAX], path[160], err[256];
	struct stat st;
	struct world *world;

	(void)state;
	ticket_print(text);
	snprintf(path, sizeof(path), "%s/" JOIN_KEPT, state_dir);
	world = world_up();
	if (join_start(world, text, "z", "s", err, sizeof(err)))
		fail_msg("%s", err);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	world_free(world);
	/* It is gone on with. */
	world = world_up();
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(join_cancel(world, err, sizeof(err)), 0);
	assert_int_equal(stat(path, &st), -1);
	assert_int_equal(join_cancel(world, err, sizeof(err)), -ENOENT);
	world_free(world);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test_setup_teardown(the_token_vouches_for_the_request, setup, teardown),
	        cmocka_unit_test_setup_teardown(
	                a_ticket_is_forgotten_when_joining_is_cancelled, setup, teardown),
	};

	if (geteuid() != 0 || unshare(CLONE_NEWNET | CLONE_NEWNS)) {
		puts("1..0 # SKIP needs root (network namespaces)");
		return 0;
	}
	run("ip link set lo up");
	log_open(LOG_CRIT);
	return cmocka_run_group_tests(tests, NULL, NULL);
}

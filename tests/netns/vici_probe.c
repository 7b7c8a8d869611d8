/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Every typed call of vici-client against two real charons (see vici_charon.sh): arguments are the
 * directory with their sockets and keys, and their pids. Each answer is awaited by a deadline; the
 * first surprise ends the test.
 */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tests/netns/freeze.h"
#include "vici-client/vici.h"

#define SECOND 1000000ull
#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* One charon: a connection for commands, one for events, and what they told. */
struct node {
	const char *name;
	struct vici *commands, *events;
	int closed;
	unsigned int ike_up, ike_down, ike_rekey, child_up, child_down, child_rekey, log;
	uint32_t ike_id, child_id, child_reqid;
	unsigned int rows;
};

static struct node node_a = {.name = "a"}, node_b = {.name = "b"};
static const char *dir;
static unsigned int checks;

/* what the last callback said */
static struct {
	unsigned int calls;
	int error;
	char errmsg[256], id[64];
	uint64_t matches, terminated;
	unsigned int rows;
	bool found;
} last;

#define CHECK(cond)                                                                                \
	do {                                                                                       \
		checks++;                                                                          \
		if (!(cond)) {                                                                     \
			fprintf(stderr, "vici_probe: %s:%d: failed: %s (error %d, \"%s\")\n",      \
			        __FILE__, __LINE__, #cond, last.error, last.errmsg);               \
			exit(1);                                                                   \
		}                                                                                  \
	} while (0)

static uint64_t now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * SECOND + t.tv_nsec / 1000;
}

/* ---- the loop ---- */

static void turn(uint64_t until)
{
	struct vici *all[] = {node_a.commands, node_a.events, node_b.commands, node_b.events};
	struct pollfd fds[COUNT(all)];
	uint64_t now = now_us(), wake = until;
	size_t i;

	for (i = 0; i < COUNT(all); i++) {
		bool open = all[i] && !vici_error(all[i]);

		fds[i] = (struct pollfd){.fd = open ? vici_fd(all[i]) : -1,
		        .events = open ? vici_events(all[i]) : 0};
		if (open && vici_deadline(all[i]) < wake)
			wake = vici_deadline(all[i]);
	}
	poll(fds, COUNT(fds), wake > now ? (wake - now) / 1000 + 1 : 0);
	for (i = 0; i < COUNT(all); i++) {
		if (fds[i].fd >= 0 && (fds[i].revents || vici_deadline(all[i]) <= now_us()))
			vici_process(all[i], fds[i].revents, now_us());
	}
}

#define AWAIT(cond)                                                                                \
	do {                                                                                       \
		uint64_t end_ = now_us() + 20 * SECOND;                                            \
		while (!(cond) && now_us() < end_)                                                 \
			turn(end_);                                                                \
		CHECK(cond);                                                                       \
	} while (0)

/* A call that must be taken, and its one answer. */
#define ASK(call)                                                                                  \
	do {                                                                                       \
		memset(&last, 0, sizeof(last));                                                    \
		CHECK((call) == 0);                                                                \
		CHECK(last.calls == 0);                                                            \
		AWAIT(last.calls > 0);                                                             \
		CHECK(last.calls == 1);                                                            \
	} while (0)
#define ASK_OK(call)                                                                               \
	do {                                                                                       \
		ASK(call);                                                                         \
		CHECK(last.error == 0);                                                            \
	} while (0)

/* ---- callbacks ---- */

static void done(void *user, const struct vici_result *r)
{
	(void)user;
	last.calls++;
	last.error = r->error;
	snprintf(last.errmsg, sizeof(last.errmsg), "%s", r->errmsg);
}

static void key_done(void *user, const struct vici_result *r, const char *id)
{
	done(user, r);
	snprintf(last.id, sizeof(last.id), "%s", id);
}

static void count_done(
        void *user, const struct vici_result *r, uint64_t matches, uint64_t terminated)
{
	done(user, r);
	last.matches = matches;
	last.terminated = terminated;
}

static void version_done(void *user, const struct vici_result *r, const struct vici_version *v)
{
	done(user, r);
	last.found = v && !strcmp(v->daemon, "charon") && v->version[0] >= '5' &&
	             !strcmp(v->sysname, "Linux") && v->release[0] && v->machine[0];
}

static void stats_done(void *user, const struct vici_result *r, const struct vici_stats *s)
{
	const char *const *plugin;

	done(user, r);
	if (!s)
		return;
	CHECK(s->workers_total > 0 && s->workers_idle <= s->workers_total && s->running[0] &&
	        s->since[0]);
	CHECK(s->ike_sas == 0 && s->ike_sas_half_open == 0);
	for (plugin = s->plugins; *plugin; plugin++)
		last.found |= !strcmp(*plugin, "vici");
}

/* user: the name that must be among them */
static void names_done(void *user, const struct vici_result *r, const char *const *names, size_t n)
{
	size_t i;

	done(NULL, r);
	last.rows = n;
	for (i = 0; i < n; i++)
		last.found |= !strcmp(names[i], user);
	CHECK(!names || !names[n]);
}

static void algorithm_row(void *user, const char *type, const char *name, const char *plugin)
{
	(void)user;
	last.rows++;
	if (!strcmp(type, "dh") && !strcmp(name, "CURVE_25519"))
		last.found = plugin[0];
}

static void counter_row(void *user, const char *connection, const char *counter, uint64_t value)
{
	(void)user;
	last.rows++;
	last.found |= !*connection && !strcmp(counter, "ike-init-in-req") && value == 0;
}

static void conn_row(void *user, const struct vici_conn_row *c)
{
	(void)user;
	last.rows++;
	CHECK(!strcmp(c->name, "ovl.peer") && !strcmp(c->version, "IKEv2"));
	CHECK(!strcmp(c->local_addrs[0], "192.0.2.1") && !c->local_addrs[1]);
	CHECK(!strcmp(c->remote_addrs[0], "192.0.2.2") && !c->remote_addrs[1]);
	CHECK(c->rekey_time.set && c->rekey_time.v == 7200 && c->reauth_time.set &&
	        c->reauth_time.v == 0);
	CHECK(!strcmp(c->local_id, "a") && !strcmp(c->remote_id, "b") && c->n_remote == 1 &&
	        c->n_remote_certs == 1);
	CHECK(!strcmp(c->local_class, "public key") && !strcmp(c->remote_class, "public key"));
	CHECK(c->n_children == 1 && !strcmp(c->children[0].name, "net") &&
	        !strcmp(c->children[0].mode, "TUNNEL"));
	CHECK(!strcmp(c->children[0].local_ts[0], "10.77.0.1/32") && !c->children[0].local_ts[1]);
	CHECK(!strcmp(c->children[0].remote_ts[0], "10.77.0.2/32"));
	CHECK(c->children[0].rekey_time.set && c->children[0].rekey_time.v == 3600);
	last.found = true;
}

/* user: the node; both sides are checked */
static void sa_row(void *user, const struct vici_ike_sa *sa)
{
	struct node *node = user;
	bool a = node == &node_a;
	const struct vici_child_sa *c = sa->children;

	last.rows++;
	CHECK(!strcmp(sa->name, "ovl.peer") && !strcmp(sa->state, "ESTABLISHED"));
	CHECK(sa->version.set && sa->version.v == 2 && sa->initiator == a && sa->initiator_spi &&
	        sa->responder_spi);
	CHECK(!strcmp(sa->local_host, a ? "192.0.2.1" : "192.0.2.2") && sa->local_port == 4500);
	CHECK(!strcmp(sa->remote_host, a ? "192.0.2.2" : "192.0.2.1") && sa->remote_port == 4500);
	CHECK(!strcmp(sa->local_id, a ? "a" : "b") && !strcmp(sa->remote_id, a ? "b" : "a"));
	CHECK(sa->established.set && sa->established.v < 60 && sa->rekey_time.set &&
	        sa->rekey_time.v > 6000);
	CHECK(!sa->reauth_time.set && !strcmp(sa->encr_alg, "AES_GCM_16") &&
	        !strcmp(sa->dh_group, "CURVE_25519"));
	CHECK(sa->n_children == 1 && !strcmp(c->name, "net") && !strcmp(c->state, "INSTALLED"));
	CHECK(!strcmp(c->mode, "TUNNEL") && !strcmp(c->protocol, "ESP") && c->encap && c->spi_in &&
	        c->spi_out);
	CHECK(c->reqid && c->uniqueid && !strncmp(c->key, "net-", 4));
	CHECK(c->bytes_in.set && c->bytes_out.set && c->packets_in.set && c->packets_out.set);
	CHECK(c->rekey_time.set && c->life_time.set && c->life_time.v > c->rekey_time.v &&
	        c->install_time.set);
	CHECK(!strcmp(c->local_ts[0], a ? "10.77.0.1/32" : "10.77.0.2/32") && !c->local_ts[1]);
	CHECK(!strcmp(c->remote_ts[0], a ? "10.77.0.2/32" : "10.77.0.1/32") && !c->remote_ts[1]);
	node->ike_id = sa->uniqueid;
	node->child_id = c->uniqueid;
}

/* After a rekeying charon goes on showing the old CHILD_SA for some seconds, so only its IKE_SA is
 * looked at. */
static void sa_count(void *user, const struct vici_ike_sa *sa)
{
	(void)user;
	last.rows++;
	CHECK(!strcmp(sa->name, "ovl.peer") && sa->n_children >= 1 && sa->n_children <= 2);
}

static void on_event(void *user, const struct vici_event *e)
{
	struct node *node = user;

	if (e->type != VICI_EV_LOG)
		CHECK(e->sa && !strcmp(e->sa->name, "ovl.peer"));
	switch (e->type) {
	case VICI_EV_IKE_UPDOWN:
		node->ike_up += e->up;
		node->ike_down += !e->up;
		CHECK(e->sa->uniqueid && e->sa->n_children == 0);
		break;
	case VICI_EV_CHILD_UPDOWN:
		node->child_up += e->up;
		node->child_down += !e->up;
		CHECK(!strcmp(e->child->name, "net") && e->child == &e->sa->children[0]);
		break;
	case VICI_EV_IKE_REKEY:
		node->ike_rekey++;
		CHECK(e->old_sa && e->old_sa->uniqueid && e->old_sa->uniqueid != e->sa->uniqueid);
		CHECK(e->old_sa->initiator_spi != e->sa->initiator_spi);
		node->ike_id = e->sa->uniqueid;
		break;
	case VICI_EV_CHILD_REKEY:
		node->child_rekey++;
		CHECK(e->child && e->old_child && e->child->uniqueid != e->old_child->uniqueid);
		CHECK(e->child->spi_in && e->old_child->spi_in &&
		        e->child->spi_in != e->old_child->spi_in);
		break;
	case VICI_EV_LOG:
		node->log++;
		CHECK(e->log_group[0] && e->log_text[0] && e->log_level.set);
		break;
	case VICI_EV_IKE_UPDATE:
	case VICI_EV_OTHER:
		CHECK(!"an event that was not subscribed to");
	}
}

static void on_closed(void *user, int error, const char *what)
{
	struct node *node = user;

	CHECK(*what);
	node->closed = error;
}

/* ---- steps ---- */

static struct vici *node_connect(struct node *node)
{
	char path[256];
	struct vici_config cfg = {
	        .path = path, .on_event = on_event, .on_closed = on_closed, .user = node};
	struct timespec pause = {.tv_nsec = 20000000};
	uint64_t end = now_us() + 20 * SECOND;
	struct vici *v = NULL;

	snprintf(path, sizeof(path), "%s/%s.vici", dir, node->name);
	while (vici_open(&v, &cfg) && now_us() < end)
		nanosleep(&pause, NULL); /* charon is starting: its socket is the condition */
	CHECK(v);
	return v;
}

static struct vici_blob file_read(const char *name)
{
	static char bufs[8][4096];
	static unsigned int next;
	char path[256], *buf = bufs[next++ % COUNT(bufs)];
	size_t n;
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "re");
	CHECK(f);
	n = fread(buf, 1, sizeof(bufs[0]), f);
	fclose(f);
	CHECK(n > 0);
	return (struct vici_blob){buf, n};
}

static void ask_what_it_is(struct node *node)
{
	struct vici *v = node->commands;

	ASK_OK(vici_get_version(v, version_done, NULL, 0, now_us()));
	CHECK(last.found);
	ASK_OK(vici_get_stats(v, stats_done, NULL, 0, now_us()));
	CHECK(last.found);
	ASK_OK(vici_get_algorithms(v, algorithm_row, done, NULL, 0, now_us()));
	CHECK(last.found && last.rows > 20);
	ASK_OK(vici_get_counters(v, NULL, counter_row, done, NULL, 0, now_us()));
	CHECK(last.found && last.rows > 10);
	ASK(vici_get_counters(v, "nobody", counter_row, done, NULL, 0, now_us()));
	CHECK(last.error == -EREMOTEIO && strstr(last.errmsg, "no counters found"));
}

static void load_keys(struct node *node, const char *file)
{
	struct vici_blob key = file_read(file), spare = file_read("spare.der");
	struct vici *v = node->commands;
	char id[64];

	ASK_OK(vici_load_key(v, "any", key.data, key.len, key_done, NULL, 0, now_us()));
	CHECK(strlen(last.id) == 40);
	memcpy(id, last.id, sizeof(id));
	ASK_OK(vici_get_keys(v, names_done, id, 0, now_us()));
	CHECK(last.found && last.rows == 1);
	ASK_OK(vici_load_key(v, NULL, spare.data, spare.len, key_done, NULL, 0, now_us()));
	memcpy(id, last.id, sizeof(id));
	ASK_OK(vici_unload_key(v, id, done, NULL, 0, now_us()));
	ASK_OK(vici_get_keys(v, names_done, id, 0, now_us()));
	CHECK(!last.found && last.rows == 1);
	ASK(vici_load_key(v, "any", "no key at all", 13, key_done, NULL, 0, now_us()));
	CHECK(last.error == -EREMOTEIO && !last.id[0] && strstr(last.errmsg, "private key failed"));
}

static void load_secrets_and_pools(struct node *node)
{
	static const char *const owners[] = {"join", NULL}, *const dns[] = {"10.77.0.53", NULL};
	const struct vici_shared secret = {
	        .id = "join", .data = "hush", .len = 4, .owners = owners};
	const struct vici_extra attributes[] = {{.key = "dns", .list = dns}};
	const struct vici_pool pool = {.name = "guests",
	        .addrs = "10.78.0.0/24",
	        .extra = attributes,
	        .n_extra = COUNT(attributes)};
	struct vici *v = node->commands;

	ASK_OK(vici_load_shared(v, &secret, done, NULL, 0, now_us()));
	ASK_OK(vici_get_shared(v, names_done, (void *)"join", 0, now_us()));
	CHECK(last.found);
	ASK_OK(vici_unload_shared(v, "join", done, NULL, 0, now_us()));
	ASK_OK(vici_get_shared(v, names_done, (void *)"join", 0, now_us()));
	CHECK(!last.found);
	ASK_OK(vici_load_pool(v, &pool, done, NULL, 0, now_us()));
	ASK_OK(vici_unload_pool(v, "guests", done, NULL, 0, now_us()));
	ASK(vici_unload_pool(v, "guests", done, NULL, 0, now_us()));
	CHECK(last.error == -EREMOTEIO);
}

static void load_connection(
        struct node *node, const char *own_file, const char *pin_file, const char *proposal)
{
	bool a = node == &node_a;
	struct vici_blob own = file_read(own_file), pin = file_read(pin_file);
	const char *const mine[] = {a ? "192.0.2.1" : "192.0.2.2", NULL};
	const char *const theirs[] = {a ? "192.0.2.2" : "192.0.2.1", NULL};
	const char *const my_ts[] = {a ? "10.77.0.1/32" : "10.77.0.2/32", NULL};
	const char *const their_ts[] = {a ? "10.77.0.2/32" : "10.77.0.1/32", NULL};
	const char *const ike[] = {proposal, NULL}, *const esp[] = {"aes256gcm16-x25519", NULL};
	const struct vici_extra extra[] = {{.key = "copy_df", .value = "no"}};
	const struct vici_child child = {.name = "net",
	        .local_ts = my_ts,
	        .remote_ts = their_ts,
	        .esp_proposals = esp,
	        .mode = "tunnel",
	        .start_action = "none",
	        .dpd_action = "none",
	        .close_action = "none",
	        .rekey_time = VICI_NUM(3600),
	        .rand_time = VICI_NUM(0),
	        .extra = extra,
	        .n_extra = COUNT(extra)};
	const struct vici_connection c = {.name = "ovl.peer",
	        .version = VICI_NUM(2),
	        .local_addrs = mine,
	        .remote_addrs = theirs,
	        .local_port = VICI_NUM(4500),
	        .remote_port = VICI_NUM(4500),
	        .proposals = ike,
	        .encap = VICI_YES,
	        .mobike = VICI_NO,
	        .dpd_delay = VICI_NUM(0),
	        .rekey_time = VICI_NUM(7200),
	        .reauth_time = VICI_NUM(0),
	        .rand_time = VICI_NUM(0),
	        .keyingtries = VICI_NUM(1),
	        .unique = "never",
	        .local = {.auth = "pubkey", .id = a ? "a" : "b", .pubkeys = &own, .n_pubkeys = 1},
	        .remote = {.auth = "pubkey", .id = a ? "b" : "a", .pubkeys = &pin, .n_pubkeys = 1},
	        .children = &child,
	        .n_children = 1};

	ASK(vici_load_conn(node->commands, &c, done, NULL, 0, now_us()));
}

static void load_connections(void)
{
	struct vici *v = node_a.commands;

	load_connection(&node_a, "a.pub.pem", "b.pub.der", "no-such-cipher");
	CHECK(last.error == -EREMOTEIO && strstr(last.errmsg, "proposals"));
	ASK_OK(vici_get_conns(v, names_done, (void *)"ovl.peer", 0, now_us()));
	CHECK(!last.found && last.rows == 0);
	load_connection(&node_a, "a.pub.pem", "b.pub.der", "aes256gcm16-prfsha256-x25519");
	CHECK(last.error == 0);
	load_connection(&node_b, "b.pub.der", "a.pub.pem", "aes256gcm16-prfsha256-x25519");
	CHECK(last.error == 0);
	ASK_OK(vici_get_conns(v, names_done, (void *)"ovl.peer", 0, now_us()));
	CHECK(last.found && last.rows == 1);
	ASK_OK(vici_list_conns(v, NULL, conn_row, done, NULL, 0, now_us()));
	CHECK(last.found && last.rows == 1);
	ASK_OK(vici_list_conns(v, "another", conn_row, done, NULL, 0, now_us()));
	CHECK(last.rows == 0);
}

static void subscribe(struct node *node)
{
	static const char *const events[] = {
	        "ike-updown", "ike-rekey", "ike-update", "child-updown", "child-rekey", "log"};
	size_t i;

	for (i = 0; i < COUNT(events); i++)
		ASK_OK(vici_subscribe(node->events, events[i], 0, done, NULL, now_us()));
	CHECK(vici_subscribe(node->events, "log", 0, done, NULL, now_us()) == -EALREADY);
	ASK(vici_subscribe(node->events, "no-such-event", 0, done, NULL, now_us()));
	CHECK(last.error == -ENOENT);
}

static void unknown_command(struct node *node)
{
	const struct vici_call call = {.command = "no-such-command", .done = done};
	const struct vici_call stream = {
	        .command = "no-such-command", .stream = "list-sa", .done = done};

	ASK(vici_call(node->commands, &call, NULL, now_us()));
	CHECK(last.error == -EOPNOTSUPP && strstr(last.errmsg, "no-such-command"));
	ASK(vici_call(node->commands, &stream, NULL, now_us()));
	CHECK(last.error == -EOPNOTSUPP && !vici_error(node->commands));
}

static void bring_up(void)
{
	const struct vici_initiate what = {
	        .ike = "ovl.peer", .child = "net", .timeout_ms = VICI_NUM(-1)};
	const struct vici_initiate nothing = {.child = "another"};

	ASK(vici_initiate(node_a.commands, &nothing, done, NULL, 0, now_us()));
	CHECK(last.error == -EREMOTEIO && strstr(last.errmsg, "not found"));
	ASK_OK(vici_initiate(node_a.commands, &what, done, NULL, 0, now_us()));
	AWAIT(node_a.child_up == 1 && node_b.child_up == 1);
	CHECK(node_a.ike_up == 1 && node_b.ike_up == 1 && node_a.ike_down == 0);
	AWAIT(node_a.log > 0 && node_b.log > 0);
	ASK_OK(vici_list_sas(node_a.commands, NULL, sa_row, done, &node_a, 0, now_us()));
	CHECK(last.rows == 1);
	ASK_OK(vici_list_sas(node_b.commands, NULL, sa_row, done, &node_b, 0, now_us()));
	CHECK(last.rows == 1);
}

static void rekey(void)
{
	const struct vici_select child = {.child_id = VICI_NUM(node_a.child_id)};
	struct vici_select ike = {.ike_id = VICI_NUM(node_a.ike_id)};
	const struct vici_select nothing = {.ike = "another"};

	ASK_OK(vici_rekey(node_a.commands, &child, false, count_done, NULL, 0, now_us()));
	CHECK(last.matches == 1);
	AWAIT(node_a.child_rekey == 1 && node_b.child_rekey == 1);
	ASK_OK(vici_rekey(node_a.commands, &ike, false, count_done, NULL, 0, now_us()));
	AWAIT(node_a.ike_rekey == 1 && node_b.ike_rekey == 1);
	CHECK(node_a.ike_id != (uint32_t)ike.ike_id.v);
	ASK(vici_rekey(node_a.commands, &nothing, false, count_done, NULL, 0, now_us()));
	CHECK(last.error == -EREMOTEIO && last.matches == 0);
}

static void take_down(void)
{
	const struct vici_select sa = {.ike_id = VICI_NUM(node_a.ike_id)};
	const struct vici_select either = {.ike = "ovl.peer", .ike_id = VICI_NUM(node_a.ike_id)};
	const struct vici_select none = {0}, zero = {.ike_id = VICI_NUM(0)};
	struct vici *v = node_a.commands;

	CHECK(vici_terminate(v, &none, true, (struct vici_num){0}, count_done, NULL, 0, now_us()) ==
	        -EINVAL);
	CHECK(vici_terminate(v, &zero, true, (struct vici_num){0}, count_done, NULL, 0, now_us()) ==
	        -EINVAL);
	CHECK(vici_terminate(v, &either, true, (struct vici_num){0}, count_done, NULL, 0,
	              now_us()) == -EINVAL);
	ASK_OK(vici_unload_conn(v, "ovl.peer", done, NULL, 0, now_us()));
	ASK(vici_unload_conn(v, "ovl.peer", done, NULL, 0, now_us()));
	CHECK(last.error == -EREMOTEIO);
	ASK_OK(vici_list_sas(v, &sa, sa_count, done, &node_a, 0, now_us()));
	CHECK(last.rows == 1); /* unloading ends nothing */
	ASK_OK(vici_terminate(v, &sa, true, (struct vici_num){0}, count_done, NULL, 0, now_us()));
	CHECK(last.matches == 1 && last.terminated == 1);
	AWAIT(node_a.ike_down == 1 && node_b.ike_down == 1 && node_a.child_down == 1 &&
	        node_b.child_down == 1);
	ASK_OK(vici_list_sas(v, NULL, sa_count, done, &node_a, 0, now_us()));
	CHECK(last.rows == 0);
	ASK(vici_terminate(v, &sa, true, (struct vici_num){0}, count_done, NULL, 0, now_us()));
	CHECK(last.error == -EREMOTEIO && last.matches == 0);
}

static void unsubscribe(void)
{
	unsigned int log;

	ASK_OK(vici_unsubscribe(node_a.events, "log", 0, done, NULL, now_us()));
	CHECK(vici_unsubscribe(node_a.events, "log", 0, done, NULL, now_us()) == -ENOENT);
	log = node_a.log;
	ASK_OK(vici_get_version(node_a.events, version_done, NULL, 0, now_us()));
	ASK_OK(vici_unload_shared(
	        node_a.commands, "join", done, NULL, 0, now_us())); /* charon logs this */
	ASK_OK(vici_get_version(node_a.events, version_done, NULL, 0, now_us()));
	CHECK(node_a.log == log);
}

/* A frozen charon costs the connection its time limit, a killed one ends it at once. */
static void freeze_and_kill(pid_t frozen, pid_t killed)
{
	uint64_t start;

	node_b.closed = node_a.closed = 0;
	CHECK(process_freeze(frozen) == 0);
	start = now_us();
	memset(&last, 0, sizeof(last));
	CHECK(vici_get_version(node_b.commands, version_done, NULL, SECOND / 2, now_us()) == 0);
	CHECK(vici_get_stats(node_b.commands, stats_done, NULL, SECOND / 2, now_us()) == 0);
	AWAIT(last.calls == 2);
	CHECK(last.error == -ECONNRESET && node_b.closed == -ETIMEDOUT);
	CHECK(now_us() - start >= SECOND / 2 && now_us() - start < 3 * SECOND);
	CHECK(vici_get_stats(node_b.commands, stats_done, NULL, 0, now_us()) == -ENOTCONN);
	CHECK(kill(frozen, SIGCONT) == 0);
	vici_free(node_b.commands);
	node_b.commands = node_connect(&node_b);
	ASK_OK(vici_get_version(node_b.commands, version_done, NULL, 0, now_us()));
	CHECK(kill(killed, SIGKILL) == 0);
	AWAIT(vici_error(node_a.commands) && vici_error(node_a.events));
	CHECK(node_a.closed == -ECONNRESET);
}

/* Many in line at once, in both directions of the socket: order and count are kept. */
static void many(struct node *node)
{
	unsigned int i;

	memset(&last, 0, sizeof(last));
	for (i = 0; i < 1000; i++)
		CHECK(vici_get_stats(node->commands, stats_done, NULL, 0, now_us()) == 0);
	CHECK(vici_pending(node->commands) == 1000);
	AWAIT(last.calls == 1000);
	CHECK(last.error == 0 && vici_pending(node->commands) == 0);
}

static void connect_all(void)
{
	node_a.commands = node_connect(&node_a);
	node_a.events = node_connect(&node_a);
	node_b.commands = node_connect(&node_b);
	node_b.events = node_connect(&node_b);
}

int main(int argc, char **argv)
{
	if (argc != 4) {
		fprintf(stderr, "usage: vici_probe DIRECTORY PID-A PID-B (see vici_charon.sh)\n");
		return 2;
	}
	dir = argv[1];
	connect_all();
	ask_what_it_is(&node_a);
	load_keys(&node_a, "a.pem");
	load_keys(&node_b, "b.der");
	load_secrets_and_pools(&node_a);
	load_connections();
	subscribe(&node_a);
	subscribe(&node_b);
	unknown_command(&node_a);
	bring_up();
	rekey();
	take_down();
	unsubscribe();
	many(&node_a);
	freeze_and_kill(atoi(argv[3]), atoi(argv[2]));
	vici_free(node_a.commands);
	vici_free(node_a.events);
	vici_free(node_b.commands);
	vici_free(node_b.events);
	printf("vici_probe: ok, %u checks\n", checks);
	return 0;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/charon.h"

#include "client/nodekey.h"
#include "client/paths.h"
#include "host/dataplane.h"
#include "host/world.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>

#define RETRY_MIN_US 250000
#define RETRY_MAX_US 5000000
#define TOLD_AGAIN_US (60 * 1000000LL) /* "still waiting" */

enum link_kind { LINK_COMMANDS, LINK_EVENTS, LINKS };

/* One vici connection in the loop. */
struct link {
	struct charon *charon;
	struct vici *v;
	sd_event_source *io;
	sd_event_source *deadline;
};

struct charon {
	struct world *world;
	char *path;
	struct link links[LINKS];
	sd_event_source *retry;
	int64_t backoff_us;
	int64_t told_at_us; /* when the log last said that charon is not there */
	uint64_t generation;
	unsigned int awaited; /* answers that are needed before the engine is told */
	bool opening;
	bool told; /* the engine knows it as connected */
	struct charon_facts facts;
	struct charon_facts next; /* of the connection that is being opened */
};

/* An effect on its way. */
struct request {
	struct charon *charon;
	uint64_t id;
	uint64_t generation;
	enum engine_effect_type type;
	struct charon_rows rows;
};

static void link_update(struct link *link);
static void charon_fail(struct charon *charon, const char *why);

static uint64_t now(void)
{
	return (uint64_t)world_now_us();
}

/* ---- effects --------------------------------------------------------------------------------- */

static struct request *request_new(struct charon *charon, const struct engine_effect *fx)
{
	struct request *req = calloc(1, sizeof(*req));

	if (!req)
		return NULL;
	req->charon = charon;
	req->id = fx->id;
	req->type = fx->type;
	req->generation = charon->generation;
	return req;
}

static void request_free(struct request *req)
{
	charon_rows_clear(&req->rows);
	free(req);
}

/* Ends a request; the error text is charon's, cleaned before people see it. */
static void request_end(struct request *req, int error, const char *text)
{
	char clean[256];

	snprintf(clean, sizeof(clean), "%s", text ? text : "");
	text_sanitise(clean);
	world_result(req->charon->world, req->id, error, clean);
	request_free(req);
}

static void on_done(void *user, const struct vici_result *r)
{
	struct request *req = user;
	int error = r->error;

	/* It is not loaded: that is what was wanted. */
	if (req->type == ENGINE_FX_UNLOAD_CONN && error == -EREMOTEIO &&
	        strstr(r->errmsg, "not found"))
		error = 0;
	request_end(req, error, r->errmsg);
}

static void on_key(void *user, const struct vici_result *r, const char *id)
{
	(void)id;
	request_end(user, r->error, r->errmsg);
}

static void on_terminated(void *user, const struct vici_result *r, uint64_t matches, uint64_t ended)
{
	int error = r->error;

	(void)ended;
	if (error == -EREMOTEIO && matches == 0)
		error = 0;
	request_end(user, error, r->errmsg);
}

static void on_row(void *user, const struct vici_ike_sa *sa)
{
	struct request *req = user;

	charon_rows_add(&req->rows, sa);
}

static void on_rows(void *user, const struct vici_result *r)
{
	struct request *req = user;
	struct engine_event ev = {.type = ENGINE_EV_SAS};
	int error = r->error ? r->error : req->rows.error;

	if (error) {
		request_end(req, error, r->error ? r->errmsg : "out of memory");
		return;
	}
	ev.sas.effect_id = req->id;
	ev.sas.rows = req->rows.rows;
	ev.sas.n = req->rows.n;
	ev.sas.truncated = req->rows.truncated;
	world_event(req->charon->world, &ev);
	if (req->rows.n > 100)
		world_trim_soon(req->charon->world);
	request_free(req);
}

static void on_conns(void *user, const struct vici_result *r, const char *const *names, size_t n)
{
	struct request *req = user;
	struct engine_event ev = {.type = ENGINE_EV_CONNS};

	if (r->error) {
		request_end(req, r->error, r->errmsg);
		return;
	}
	ev.conns.effect_id = req->id;
	ev.conns.names = names;
	ev.conns.n = n < ENGINE_CONNS_MAX ? n : ENGINE_CONNS_MAX;
	ev.conns.truncated = n > ENGINE_CONNS_MAX;
	world_event(req->charon->world, &ev);
	request_free(req);
}

static int run_load_key(
        struct charon *charon, struct vici *v, struct request *req, char *err, size_t err_size)
{
	char path[PATH_MAX];
	uint8_t public_key[32];
	char *pem = NULL;
	int ret;

	snprintf(path, sizeof(path), "%s/" OVERLAY_NODE_KEY, charon->world->options.state_dir);
	ret = nodekey_load_pem(path, &pem, public_key, err, err_size);
	if (ret)
		return ret;
	if (memcmp(public_key, charon->world->public_key, sizeof(public_key)) != 0) {
		snprintf(err, err_size,
		        "the node's key file was replaced while overlayd runs: restart overlayd");
		ret = -ESTALE;
	} else {
		ret = vici_load_key(v, "any", pem, strlen(pem), on_key, req, 0, now());
	}
	nodekey_pem_free(pem);
	return ret;
}

static int run_load_conn(
        struct charon *charon, struct vici *v, const struct engine_conn *conn, struct request *req)
{
	struct charon_load load = {
	        .conn = conn,
	        .own_key = charon->world->public_key,
	        .if_id = dataplane_if_id(charon->world->dataplane),
	        .mlkem = charon->facts.mlkem768,
	        .n_peers = charon->world->n_policy_peers,
	};

	return charon_load_conn(v, &load, on_done, req, now());
}

static int run_terminate(struct vici *v, const struct engine_terminate *end, struct request *req)
{
	struct vici_select which = {.ike = end->conn};

	if (!end->conn)
		which.ike_id = VICI_NUM(end->ike_id);
	return vici_terminate(
	        v, &which, end->force, (struct vici_num){0}, on_terminated, req, 0, now());
}

static int request_start(struct charon *charon, const struct engine_effect *fx, struct request *req,
        char *err, size_t err_size)
{
	struct vici *v = charon->links[LINK_COMMANDS].v;

	switch (fx->type) {
	case ENGINE_FX_LOAD_KEY:
		return run_load_key(charon, v, req, err, err_size);
	case ENGINE_FX_LOAD_CONN:
		return run_load_conn(charon, v, &fx->load, req);
	case ENGINE_FX_UNLOAD_CONN:
		return vici_unload_conn(v, fx->conn, on_done, req, 0, now());
	case ENGINE_FX_INITIATE: {
		struct vici_initiate what = {
		        .ike = fx->conn, .child = ENGINE_CHILD_NAME, .timeout_ms = VICI_NUM(-1)};

		return vici_initiate(v, &what, on_done, req, 0, now());
	}
	case ENGINE_FX_TERMINATE:
		return run_terminate(v, &fx->terminate, req);
	case ENGINE_FX_LIST_SAS: {
		struct vici_select which = {.ike = fx->list.conn};

		return vici_list_sas(
		        v, fx->list.conn ? &which : NULL, on_row, on_rows, req, 0, now());
	}
	case ENGINE_FX_LIST_CONNS:
		return vici_get_conns(v, on_conns, req, 0, now());
	case ENGINE_FX_FW_BASE:
	case ENGINE_FX_FW_ADMIT:
	case ENGINE_FX_FW_REVOKE:
	case ENGINE_FX_KILL_SOCKETS:
	case ENGINE_FX_PLANE:
	case ENGINE_FX_RESOLVE:
	case ENGINE_FX_NOTICE:
		break; /* not charon's */
	}
	return -EINVAL;
}

void charon_run(struct charon *charon, const struct engine_effect *fx)
{
	struct request *req;
	char err[256] = "";
	int ret;

	if (!charon->links[LINK_COMMANDS].v || !charon->told) {
		world_result(charon->world, fx->id, -ENOTCONN, charon->facts.why);
		return;
	}
	req = request_new(charon, fx);
	ret = req ? request_start(charon, fx, req, err, sizeof(err)) : -ENOMEM;
	if (ret) {
		world_result(charon->world, fx->id, ret, err[0] ? err : strerror(-ret));
		if (req)
			request_free(req);
	}
	link_update(&charon->links[LINK_COMMANDS]);
}

/* ---- events ---------------------------------------------------------------------------------- */

static void on_event(void *user, const struct vici_event *ve)
{
	struct charon *charon = ((struct link *)user)->charon;
	struct engine_child_row children[ENGINE_CHILDREN_MAX];
	struct engine_sa_row row;
	struct engine_event ev = {.type = ENGINE_EV_SA};

	if (!charon->told || !ve->sa)
		return; /* the list that follows tells it all */
	charon_row_view(ve->sa, &row, children);
	ev.sa.row = &row;
	switch (ve->type) {
	case VICI_EV_IKE_UPDOWN:
		ev.sa.change = ve->up ? ENGINE_SA_UP : ENGINE_SA_DOWN;
		break;
	case VICI_EV_IKE_REKEY:
		ev.sa.change = ENGINE_SA_REKEYED;
		ev.sa.old_id = ve->old_sa ? ve->old_sa->uniqueid : 0;
		break;
	case VICI_EV_IKE_UPDATE:
		ev.sa.change = ENGINE_SA_UPDATED;
		(void)policy_addr_parse(ve->remote_host ? ve->remote_host : "", &row.remote_host);
		row.remote_port = ve->remote_port;
		break;
	case VICI_EV_CHILD_UPDOWN:
		ev.sa.change = ve->up ? ENGINE_SA_CHILD_UP : ENGINE_SA_CHILD_DOWN;
		break;
	case VICI_EV_CHILD_REKEY:
		if (!ve->child)
			return;
		ev.sa.change = ENGINE_SA_CHILD_REKEYED;
		ev.sa.old_id = ve->old_child ? ve->old_child->uniqueid : 0;
		charon_child_view(ve->child, &children[0]);
		row.n_children = 1;
		break;
	case VICI_EV_OTHER:
	case VICI_EV_LOG:
		return;
	}
	world_event(charon->world, &ev);
}

/* ---- the connections ---------------------------------------------------------------------------
 */

/* Not from within a vici callback: the loop calls it with nothing of libviciclient on the stack. */
static void link_close(struct link *link)
{
	link->io = sd_event_source_disable_unref(link->io);
	link->deadline = sd_event_source_disable_unref(link->deadline);
	struct vici *v = link->v;
	link->v = NULL;
	vici_free(v);
}

static void link_process(struct link *link, short revents)
{
	struct charon *charon = link->charon;
	char why[256];

	if (vici_process(link->v, revents, now()) < 0) {
		snprintf(why, sizeof(why), "%s", vici_error_text(link->v));
		charon_fail(charon, why);
		return;
	}
	link_update(link);
	/* What it told may have made the engine ask on the other one. */
	link_update(&charon->links[LINK_COMMANDS]);
}

static int on_io(sd_event_source *source, int fd, uint32_t revents, void *user)
{
	(void)source, (void)fd;
	link_process(user, (short)(revents & (EPOLLIN | EPOLLOUT | EPOLLHUP | EPOLLERR)));
	return 0;
}

static int on_deadline(sd_event_source *source, uint64_t usec, void *user)
{
	(void)source, (void)usec;
	link_process(user, 0);
	return 0;
}

static void link_update(struct link *link)
{
	uint64_t deadline;

	if (!link->v || !link->io)
		return;
	/* poll(2) and epoll(7) have the same bits for in and out. */
	sd_event_source_set_io_events(link->io, (uint32_t)vici_events(link->v));
	deadline = vici_deadline(link->v);
	if (deadline == VICI_DEADLINE_NONE) {
		sd_event_source_set_enabled(link->deadline, SD_EVENT_OFF);
		return;
	}
	sd_event_source_set_time(link->deadline, deadline);
	sd_event_source_set_enabled(link->deadline, SD_EVENT_ONESHOT);
}

static int link_open(struct link *link)
{
	struct charon *charon = link->charon;
	struct vici_config cfg = {.path = charon->path,
	        .on_event = on_event,
	        .user = link,
	        .max_requests = 65536,
	        .max_bytes = 64U << 20};
	int err = vici_open(&link->v, &cfg);

	if (err)
		return err;
	err = sd_event_add_io(
	        charon->world->event, &link->io, vici_fd(link->v), EPOLLIN, on_io, link);
	if (err >= 0)
		err = sd_event_add_time(charon->world->event, &link->deadline, CLOCK_BOOTTIME,
		        UINT64_MAX, 1000, on_deadline, link);
	return err < 0 ? err : 0;
}

/* ---- opening: subscribe, and learn what charon can do
 * -------------------------------------------- */

static void awaited_done(struct charon *charon, const struct vici_result *r)
{
	struct engine_event ev = {.type = ENGINE_EV_CHARON};

	/* An older charon may lack an event or a command: we do without. The connection's end is
	 * told elsewhere. */
	if (r->error == -ENOENT || r->error == -EOPNOTSUPP || r->error == -EREMOTEIO)
		log_debug("charon: %s", r->errmsg);
	else if (r->error)
		return;
	if (!charon->opening || --charon->awaited)
		return;
	charon->opening = false;
	charon->backoff_us = RETRY_MIN_US;
	charon->told_at_us = 0;
	charon->next.connected = true;
	charon->next.why[0] = 0;
	charon->facts = charon->next;
	charon->generation++;
	charon->told = true;
	log_info("connected to charon %s at %s", charon->facts.version, charon->path);
	dataplane_charon_known(charon->world->dataplane);
	ev.charon.connected = true;
	ev.charon.generation = charon->generation;
	world_event(charon->world, &ev);
}

static void on_subscribed(void *user, const struct vici_result *r)
{
	awaited_done(user, r);
}

static void on_version(void *user, const struct vici_result *r, const struct vici_version *version)
{
	struct charon *charon = user;

	if (version) {
		snprintf(
		        charon->next.version, sizeof(charon->next.version), "%s", version->version);
		text_sanitise(charon->next.version);
	}
	awaited_done(charon, r);
}

static void on_stats(void *user, const struct vici_result *r, const struct vici_stats *stats)
{
	struct charon *charon = user;
	struct charon_facts *next = &charon->next;
	size_t len = 0;

	for (size_t i = 0; stats && stats->plugins[i]; i++) {
		size_t room = sizeof(next->plugins) - len;
		int n = snprintf(next->plugins + len, room, "%s ", stats->plugins[i]);

		if (strcmp(stats->plugins[i], "kernel-libipsec") == 0)
			next->libipsec = true;
		if (n > 0 && (size_t)n < room)
			len += (size_t)n;
		else
			next->plugins[len] = 0;
	}
	if (stats) {
		next->ike_sas = stats->ike_sas;
		next->half_open = stats->ike_sas_half_open;
		text_sanitise(next->plugins);
	}
	awaited_done(charon, r);
}

static void on_algorithm(void *user, const char *type, const char *name, const char *plugin)
{
	struct charon *charon = user;
	struct charon_facts *next = &charon->next;

	(void)plugin, (void)type;
	next->x25519 |= strcmp(name, "CURVE_25519") == 0;
	next->aes_gcm |= strcmp(name, "AES_GCM_16") == 0;
	next->mlkem768 |= strcmp(name, "ML_KEM_768") == 0;
}

static void on_algorithms(void *user, const struct vici_result *r)
{
	awaited_done(user, r);
}

static int charon_ask(struct charon *charon)
{
	static const char *const events[] = {
	        "ike-updown", "child-updown", "ike-rekey", "child-rekey", "ike-update"};
	struct vici *commands = charon->links[LINK_COMMANDS].v;
	int err = 0;

	charon->awaited = 0;
	for (size_t i = 0; i < sizeof(events) / sizeof(events[0]) && !err; i++) {
		err = vici_subscribe(
		        charon->links[LINK_EVENTS].v, events[i], 0, on_subscribed, charon, now());
		charon->awaited++;
	}
	if (!err)
		err = vici_get_version(commands, on_version, charon, 0, now());
	if (!err)
		err = vici_get_stats(commands, on_stats, charon, 0, now());
	if (!err)
		err = vici_get_algorithms(commands, on_algorithm, on_algorithms, charon, 0, now());
	charon->awaited += 3;
	return err;
}

static int charon_open(struct charon *charon)
{
	int err = 0;

	memset(&charon->next, 0, sizeof(charon->next));
	for (int i = 0; i < LINKS && !err; i++)
		err = link_open(&charon->links[i]);
	if (err)
		return err;
	charon->opening = true;
	err = charon_ask(charon);
	for (int i = 0; i < LINKS; i++)
		link_update(&charon->links[i]);
	return err;
}

static void open_why(const struct charon *charon, int err, char *why, size_t size)
{
	if (err == -ENOENT || err == -ECONNREFUSED)
		snprintf(why, size,
		        "charon does not answer at %s: start it (systemctl start "
		        "strongswan-starter, or "
		        "strongswan), with the vici plugin loaded",
		        charon->path);
	else if (err == -EACCES)
		snprintf(why, size, "charon's socket %s: permission denied; run overlayd as root",
		        charon->path);
	else
		snprintf(why, size, "charon's socket %s: %s", charon->path, strerror(-err));
}

static int on_retry(sd_event_source *source, uint64_t usec, void *user)
{
	struct charon *charon = user;
	char why[256];
	int err;

	(void)source, (void)usec;
	err = charon_open(charon);
	if (err) {
		open_why(charon, err, why, sizeof(why));
		charon_fail(charon, why);
	}
	return 0;
}

/* The one way out of a connection: both are closed, the engine is told, and we try again. */
static void charon_fail(struct charon *charon, const char *why)
{
	struct engine_event ev = {.type = ENGINE_EV_CHARON};
	bool told = charon->told;
	int64_t at = world_now_us();

	charon->told = false;
	charon->opening = false;
	for (int i = 0; i < LINKS; i++)
		link_close(&charon->links[i]);
	charon->facts.connected = false;
	snprintf(charon->facts.why, sizeof(charon->facts.why), "%s", why);
	text_sanitise(charon->facts.why);
	if (told || !charon->told_at_us || at - charon->told_at_us > TOLD_AGAIN_US) {
		/* The end of a connection is the engine's to tell. */
		if (!told)
			log_warning("%s; waiting for it", charon->facts.why);
		charon->told_at_us = at;
		ev.charon.text = charon->facts.why;
		ev.charon.generation = charon->generation;
		world_event(charon->world, &ev);
	}
	sd_event_source_set_time(charon->retry, (uint64_t)(at + charon->backoff_us));
	sd_event_source_set_enabled(charon->retry, SD_EVENT_ONESHOT);
	charon->backoff_us *= 2;
	if (charon->backoff_us > RETRY_MAX_US)
		charon->backoff_us = RETRY_MAX_US;
}

int charon_new(struct world *world, const char *path, struct charon **out)
{
	struct charon *charon = calloc(1, sizeof(*charon));
	int err;

	if (!charon)
		return -ENOMEM;
	charon->world = world;
	charon->path = strdup(path);
	charon->backoff_us = RETRY_MIN_US;
	for (int i = 0; i < LINKS; i++)
		charon->links[i].charon = charon;
	snprintf(charon->facts.why, sizeof(charon->facts.why), "not connected to charon yet");
	err = charon->path ? sd_event_add_time(world->event, &charon->retry, CLOCK_BOOTTIME,
	                             UINT64_MAX, 10000, on_retry, charon)
	                   : -ENOMEM;
	if (err >= 0)
		err = sd_event_source_set_enabled(charon->retry, SD_EVENT_OFF);
	if (err < 0) {
		charon_free(charon);
		return err;
	}
	*out = charon;
	return 0;
}

void charon_free(struct charon *charon)
{
	if (!charon)
		return;
	charon->told = false;
	charon->opening = false;
	for (int i = 0; i < LINKS; i++)
		link_close(&charon->links[i]);
	sd_event_source_disable_unref(charon->retry);
	free(charon->path);
	free(charon);
}

void charon_start(struct charon *charon)
{
	sd_event_source_set_time(charon->retry, 0);
	sd_event_source_set_enabled(charon->retry, SD_EVENT_ONESHOT);
}

/* ---- foreign connections ------------------------------------------------------------------------
 */

#define FOREIGN_MAX 64

struct foreign {
	charon_foreign_fn *done;
	void *user;
	char *names[FOREIGN_MAX];
	size_t n;
};

static void on_conn_row(void *user, const struct vici_conn_row *row)
{
	struct foreign *foreign = user;
	char *name;

	/* Only public keys can be stood in for by a raw key that charon knows. */
	if (strncmp(row->name, ENGINE_CONN_PREFIX, strlen(ENGINE_CONN_PREFIX)) == 0 ||
	        row->n_remote_certs || foreign->n == FOREIGN_MAX ||
	        vici_find_section(row->raw, "remote-1.cacerts", &(struct vici_blob){0}) == 0 ||
	        !strstr(row->remote_class, "public key"))
		return;
	name = strdup(row->name);
	if (name)
		foreign->names[foreign->n++] = name;
}

static void on_conn_rows(void *user, const struct vici_result *r)
{
	struct foreign *foreign = user;

	foreign->done(foreign->user, r->error, (const char *const *)foreign->names, foreign->n);
	for (size_t i = 0; i < foreign->n; i++)
		free(foreign->names[i]);
	free(foreign);
}

int charon_list_foreign(struct charon *charon, charon_foreign_fn *done, void *user)
{
	struct foreign *foreign;
	int err;

	if (!charon->told)
		return -ENOTCONN;
	foreign = calloc(1, sizeof(*foreign));
	if (!foreign)
		return -ENOMEM;
	foreign->done = done;
	foreign->user = user;
	err = vici_list_conns(
	        charon->links[LINK_COMMANDS].v, NULL, on_conn_row, on_conn_rows, foreign, 0, now());
	if (err)
		free(foreign);
	link_update(&charon->links[LINK_COMMANDS]);
	return err;
}

const struct charon_facts *charon_facts(const struct charon *charon)
{
	return &charon->facts;
}

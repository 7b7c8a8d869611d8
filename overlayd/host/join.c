/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/join_private.h"

#include "host/charon.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct join {
	struct world *world;
	struct join_serve *serve;
	struct join_ask *ask;
	bool has_ticket;
	struct policy_ticket ticket;
};

/* ---- the ticket ----------------------------------------------------------------------------- */

static void ticket_drop(struct join *join)
{
	policy_ticket_wipe(&join->ticket);
	join->has_ticket = false;
}

static void ticket_tell(struct join *join, const char *name, const char *site)
{
	struct engine_event ev = {.type = ENGINE_EV_TICKET};

	ev.ticket.ticket = join->has_ticket ? &join->ticket : NULL;
	ev.ticket.name = name;
	ev.ticket.site = site;
	world_event(join->world, &ev);
}

/* The host's own name as a node's: up to its first dot, in small letters. */
static void name_own(char *out, size_t size)
{
	char host[256] = "";

	(void)gethostname(host, sizeof(host) - 1);
	host[strcspn(host, ".")] = 0;
	for (char *c = host; *c; c++)
		if (*c >= 'A' && *c <= 'Z')
			*c = (char)(*c - 'A' + 'a');
	snprintf(out, size, "%s", host);
}

/* By the rules of a request: the words that a seed takes. */
static bool name_fits(const char *name, bool site)
{
	struct join_request request = {.cluster = "c", .name = "n"};
	uint8_t bytes[JOIN_REQUEST_MAX];

	if (strlen(name) > POLICY_NAME_MAX)
		return false;
	memcpy(site ? request.site : request.name, name, strlen(name) + 1);
	return join_request_bytes(&request, bytes) != 0;
}

static int names_take(
        struct join_kept *kept, const char *name, const char *site, char *err, size_t err_size)
{
	char own[256];

	name_own(own, sizeof(own));
	if (!name || !*name)
		name = own;
	site = site ? site : "";
	if (!name_fits(name, false) || !name_fits(site, true)) {
		bool which = name_fits(name, false);

		snprintf(err, err_size,
		        "\"%.64s\" cannot be the name of a %s (letters, digits, '.', '-' and '_'; "
		        "at "
		        "most %u)%s",
		        which ? site : name, which ? "site" : "node", POLICY_NAME_MAX,
		        which ? "" : ": say another with --name");
		return -EINVAL;
	}
	memcpy(kept->name, name, strlen(name) + 1);
	memcpy(kept->site, site, strlen(site) + 1);
	return 0;
}

static int refuse_member(const struct world *world, const struct engine_view *view, bool same,
        char *err, size_t err_size)
{
	const char *cluster = view->policy->cluster, *name = view->self->name;

	if (!same)
		snprintf(err, err_size,
		        "this node is a member of the cluster %s already, as %s; the ticket is of "
		        "another cluster",
		        cluster, name);
	else
		snprintf(err, err_size,
		        "this node is a member of the cluster %s already, as %s; if it was revoked "
		        "there since, remove %s/bundle and restart overlayd first",
		        cluster, name, world->options.state_dir);
	return same ? -EALREADY : -EISCONN;
}

/* Who is a member already, or whose own policy is broken, does not join. */
static int may_join(
        const struct world *world, const struct policy_ticket *ticket, char *err, size_t err_size)
{
	struct engine_view view;
	int64_t next;

	engine_look(world->engine, &view);
	/* Whose time is over may come back by another token. */
	if (view.policy && view.self && policy_until_active(view.self, view.wall_s, &next))
		return refuse_member(world, &view, !strcmp(view.policy->cluster, ticket->cluster),
		        err, err_size);
	if (world->has_cluster_key &&
	        !minisign_public_same(&world->cluster_key, &ticket->cluster_key)) {
		snprintf(err, err_size,
		        "%s/cluster.pub is of another cluster than the ticket: remove it, and %s/"
		        "bundle, and restart overlayd if this node is to leave that cluster",
		        world->options.config_dir, world->options.state_dir);
		return -EISCONN;
	}
	if (world->files == WORLD_FILES_BROKEN || world->cluster_error) {
		snprintf(err, err_size,
		        "this node has a policy that cannot be used (overlayctl status says why): "
		        "mend it, or remove it from %s, before it joins",
		        world->options.config_dir);
		return -EINVAL;
	}
	return 0;
}

static int ticket_take(struct join *join, const struct join_kept *kept, char *err, size_t err_size)
{
	struct policy_ticket ticket;
	int ret = policy_ticket_parse(kept->ticket, strlen(kept->ticket), &ticket, err, err_size);

	if (!ret)
		ret = may_join(join->world, &ticket, err, err_size);
	if (!ret) {
		join->ticket = ticket;
		join->has_ticket = true;
	}
	policy_ticket_wipe(&ticket);
	return ret;
}

int join_start(struct world *world, const char *ticket, const char *name, const char *site,
        char *err, size_t err_size)
{
	struct join *join = world->join;
	struct join_kept kept;
	int ret;

	if (snprintf(kept.ticket, sizeof(kept.ticket), "%s", ticket) >= (int)sizeof(kept.ticket)) {
		snprintf(err, err_size, "this is no ticket: it is too long");
		explicit_bzero(&kept, sizeof(kept));
		return -EINVAL;
	}
	/* White space means nothing in it, and would something in the file. */
	for (char *c = kept.ticket; *c; c++)
		if (*c == '\n' || *c == '\r')
			*c = ' ';
	ret = names_take(&kept, name, site, err, err_size);
	if (!ret)
		ret = ticket_take(join, &kept, err, err_size);
	if (!ret) {
		ret = join_keep_write(world->options.state_dir, &kept, err, err_size);
		if (ret)
			ticket_drop(join);
	}
	explicit_bzero(kept.ticket, sizeof(kept.ticket));
	if (!ret)
		ticket_tell(join, kept.name, kept.site);
	return ret;
}

int join_cancel(struct world *world, char *err, size_t err_size)
{
	struct join *join = world->join;
	int ret;

	if (!join->has_ticket) {
		snprintf(err, err_size, "this node does not ask to join any cluster");
		return -ENOENT;
	}
	ticket_drop(join);
	ticket_tell(join, NULL, NULL);
	ret = join_keep_forget(world->options.state_dir);
	if (ret)
		snprintf(err, err_size, "%s/" JOIN_KEPT ": the ticket cannot be removed: %s",
		        world->options.state_dir, strerror(-ret));
	return ret;
}

/* ---- effects -------------------------------------------------------------------------------- */

static void run_serve(struct join *join, const struct engine_effect *fx)
{
	int ret = join_serve_set(join->serve, &fx->join_serve);
	char text[128];

	if (!ret) {
		charon_run(join->world->charon, fx);
		return;
	}
	snprintf(text, sizeof(text), "cannot listen at TCP port %u for newcomers: %s", JOIN_PORT,
	        strerror(-ret));
	world_result(join->world, fx->id, ret, text);
}

/* Answered by an event, and not from within the effect. */
struct signing {
	struct world *world;
	uint64_t id;
	uint8_t signature[64];
};

static int on_signed(sd_event_source *source, uint64_t usec, void *user)
{
	struct engine_event ev = {.type = ENGINE_EV_ADMIT_SIGNED};
	struct signing *signing = user;

	(void)usec;
	ev.admit_signed.effect_id = signing->id;
	memcpy(ev.admit_signed.by_seed, signing->signature, sizeof(signing->signature));
	(void)sd_event_source_set_floating(source, false); /* goes when we return */
	world_event(signing->world, &ev);
	return 0;
}

static void run_sign(struct join *join, const struct engine_effect *fx)
{
	struct signing *signing = calloc(1, sizeof(*signing));
	sd_event_source *source = NULL;
	char err[256] = "";
	int ret = signing ? join_sign(join->world, &fx->admit, signing->signature, err, sizeof(err))
	                  : -ENOMEM;

	if (!ret)
		ret = sd_event_add_time(
		        join->world->event, &source, CLOCK_BOOTTIME, 0, 1, on_signed, signing);
	if (ret < 0) {
		free(signing);
		world_result(join->world, fx->id, ret, err[0] ? err : strerror(-ret));
		return;
	}
	signing->world = join->world;
	signing->id = fx->id;
	sd_event_source_set_destroy_callback(source, free);
	sd_event_source_set_floating(source, true);
	sd_event_source_unref(source);
}

static void run_key(struct join *join, const struct engine_effect *fx)
{
	struct world *world = join->world;
	char err[256] = "";
	int ret = join_keep_key(world, &fx->cluster_key, err, sizeof(err));

	if (!ret) {
		world->cluster_key = fx->cluster_key;
		world->has_cluster_key = true;
		world->cluster_key_gone = false;
	}
	world_result(world, fx->id, ret, err);
}

void join_run(struct join *join, const struct engine_effect *fx)
{
	int ret;

	switch (fx->type) {
	case ENGINE_FX_JOIN_SERVE:
		run_serve(join, fx);
		return;
	case ENGINE_FX_JOIN_ANSWER:
		join_serve_answer(join->serve, &fx->join_answer);
		return;
	case ENGINE_FX_JOIN_ASK:
		join_ask_start(
		        join->ask, fx->id, fx->join_ask, join->has_ticket ? &join->ticket : NULL);
		return;
	case ENGINE_FX_JOIN_STOP:
		join_ask_stop(join->ask, fx->join_stop);
		return;
	case ENGINE_FX_ADMIT_SIGN:
		run_sign(join, fx);
		return;
	case ENGINE_FX_CLUSTER_KEY:
		run_key(join, fx);
		return;
	case ENGINE_FX_TICKET_FORGET:
		ticket_drop(join);
		ret = join_keep_forget(join->world->options.state_dir);
		world_result(join->world, fx->id, ret, ret ? strerror(-ret) : "");
		return;
	default:
		return;
	}
}

/* ---- begin and end -------------------------------------------------------------------------- */

void join_begin(struct join *join)
{
	struct join_kept kept = {.ticket = ""};
	char err[512];
	int ret = join_keep_read(join->world->options.state_dir, &kept, err, sizeof(err));

	if (ret == -ENOENT)
		return;
	if (!ret)
		ret = ticket_take(join, &kept, err, sizeof(err));
	/* Killed after it became a member, and before it forgot. */
	if (ret == -EALREADY) {
		(void)join_keep_forget(join->world->options.state_dir);
	} else if (ret) {
		log_warning("the ticket that was kept is not used: %s", err);
	} else {
		log_notice("this node goes on asking to join the cluster %s", join->ticket.cluster);
		ticket_tell(join, kept.name, kept.site);
	}
	explicit_bzero(kept.ticket, sizeof(kept.ticket));
}

void join_charon(struct join *join)
{
	join_ask_clean(join->ask);
}

int join_new(struct world *world, struct join **out)
{
	struct join *join = calloc(1, sizeof(*join));
	int ret;

	if (!join)
		return -ENOMEM;
	join->world = world;
	ret = join_serve_new(world, &join->serve);
	if (!ret)
		ret = join_ask_new(world, &join->ask);
	if (ret) {
		join_free(join);
		return ret;
	}
	*out = join;
	return 0;
}

void join_free(struct join *join)
{
	if (!join)
		return;
	join_ask_free(join->ask);
	join_serve_free(join->serve);
	ticket_drop(join);
	free(join);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * charon while there is no policy at all.
 *
 * The engine wants nothing and ends nothing as long as it knows no policy. But what an earlier run
 * loaded would go on letting peers in that nobody can name any more: so our connections are
 * unloaded, then our IKE_SAs ended, each time charon comes and each time one of ours comes up.
 */
#include "host/charon_private.h"

#include <string.h>

/* A newcomer's question is asked without a policy, and sees to itself (join_ask.c). */
static bool is_ours(const char *name)
{
	return strncmp(name, ENGINE_CONN_PREFIX, strlen(ENGINE_CONN_PREFIX)) == 0 &&
	       strcmp(name, JOIN_ASK_CONN) != 0;
}

static bool has_policy(const struct charon *charon)
{
	struct engine_view view;

	engine_look(charon->world->engine, &view);
	return view.policy != NULL;
}

static void on_sa(void *user, const struct vici_ike_sa *sa)
{
	struct vici_select which = {.ike_id = VICI_NUM(sa->uniqueid)};
	struct charon *charon = user;

	if (!is_ours(sa->name) || has_policy(charon))
		return;
	log_notice("no policy is in force: ending the tunnel %s", sa->name);
	(void)vici_terminate(charon->links[LINK_COMMANDS].v, &which, true, (struct vici_num){0},
	        NULL, NULL, 0, charon_now());
}

static void on_listed(void *user, const struct vici_result *r)
{
	struct charon *charon = user;

	charon->shutting = false;
	if (r->error)
		log_error("charon did not list its SAs: %s", r->errmsg);
}

static void on_conns(void *user, const struct vici_result *r, const char *const *names, size_t n)
{
	struct charon *charon = user;
	struct vici *v = charon->links[LINK_COMMANDS].v;

	if (r->error)
		log_error("charon did not list its connections: %s", r->errmsg);
	for (size_t i = 0; i < n && !has_policy(charon); i++)
		if (is_ours(names[i]))
			(void)vici_unload_conn(v, names[i], NULL, NULL, 0, charon_now());
	/* One command at a time, in order: no SA can be built any more when these are listed. */
	if (!v || vici_list_sas(v, NULL, on_sa, on_listed, charon, 0, charon_now()))
		charon->shutting = false;
}

void charon_shut(struct charon *charon)
{
	struct vici *v = charon->links[LINK_COMMANDS].v;

	if (!v || charon->shutting || has_policy(charon))
		return;
	charon->shutting = vici_get_conns(v, on_conns, charon, 0, charon_now()) == 0;
	charon_link_update(&charon->links[LINK_COMMANDS]);
}

void charon_shut_event(struct charon *charon, const struct vici_event *event)
{
	if (event->type == VICI_EV_IKE_UPDOWN && event->up && is_ours(event->sa->name))
		charon_shut(charon);
}

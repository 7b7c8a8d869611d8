/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What goes wrong, and the end of it: a calm in which all must come to the desired state. */
#include "tests/sim/guest.h"

static void revive(struct world *w, struct node *n, void *data)
{
	(void)data;
	if (!n->engine)
		host_start(w, n);
}

static void charon_revive(struct world *w, struct node *n, void *data)
{
	(void)data;
	if (!n->charon.up)
		charon_start(w, n);
}

static void strike(struct world *w, struct node *n, void *data)
{
	(void)data;
	if (w->core.calm)
		return;
	switch (rnd_below(w, 15)) {
	case 0:
		admin_change(w);
		break;
	case 1:
		host_kill(w, n);
		at(w, w->core.now + (chance(w, 0.7) ? 100000 : rnd_us(w, US, 300 * US)), n, revive,
		        NULL);
		break;
	case 2:
		if (!n->charon.up)
			break;
		charon_kill(w, n);
		at(w, w->core.now + rnd_us(w, 200000, 20 * US), n, charon_revive, NULL);
		break;
	case 3:
		if (n->engine)
			kernel_stranger(w, n);
		break;
	case 4:
	case 5:
		charon_trouble(w, n);
		break;
	case 6:
		charon_impostor(w);
		break;
	case 7:
		charon_unnamed(w, n);
		break;
	case 8: /* somebody sets the clock */
		n->wall_skew_us = rnd_us(w, -7200 * US, chance(w, 0.1) ? 600 * US : 0);
		if (chance(w, 0.03)) /* years ahead: what is trusted never comes back */
			n->wall_skew_us = 5 * 366 * 86400 * US + rnd_us(w, 0, 86400 * US);
		break;
	case 9: /* keys change hands often enough to be worth a case of their own */
		admin_change(w);
		break;
	case 10:
		if (n->engine) {
			struct engine_event ev = {.type = ENGINE_EV_UNDERLAY};

			ev.underlay.addrs = &n->underlay;
			ev.underlay.n = 1;
			host_event(w, n, &ev);
		}
		break;
	case 12:
		charon_foreign(w, n);
		break;
	case 13:
		charon_hide(w, n);
		break;
	case 14:
		charon_swanctl(w, n);
		break;
	case 11:
		if (n->engine && chance(w, 0.3)) {
			struct engine_event ev = {.type = ENGINE_EV_RECONNECT};

			n->asked_at = w->core.now;
			host_event(w, n, &ev);
		}
		break;
	}
}

static void strikes(struct world *w, struct node *n, void *data)
{
	(void)data;
	if (w->core.calm)
		return;
	strike(w, &w->nodes[rnd_below(w, (uint64_t)w->n_nodes)], NULL);
	at(w, w->core.now + rnd_us(w, 100000, chance(w, 0.5) ? 4 * US : 60 * US), n, strikes, NULL);
}

static void calm(struct world *w, struct node *n, void *data)
{
	(void)n;
	(void)data;
	w->core.calm = true;
	say(w, NULL, "the trouble is over");
	for (int i = 0; i < w->n_nodes; i++) {
		w->nodes[i].wall_skew_us = 0;
		charon_revive(w, &w->nodes[i], NULL);
		charon_show(&w->nodes[i]);
		revive(w, &w->nodes[i], NULL);
		if (chance(w, 0.5))
			w->members[i].hours = -1;
	}
	guest_calm(w);
	join_calm(w);
	admin_publish(w, 2 * US);
}

static void born(struct world *w, struct node *n, void *data)
{
	(void)data;
	charon_start(w, n);
	host_start(w, n);
	charon_dpd(w, n, NULL);
	n->started = true;
}

void trouble_start(struct world *w)
{
	for (int i = 0; i < w->n_nodes; i++)
		at(w, rnd_us(w, 0, 5 * US), &w->nodes[i], born, NULL);
	demand_start(w);
	at(w, 10 * US, NULL, strikes, NULL);
	at(w, w->core.quiet, NULL, calm, NULL);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Keeps the overlay's device, addresses, rules and routes as the engine wants them.
 *
 * The engine says what it wants once (ENGINE_FX_PLANE); from then on whatever vanishes (charon
 * takes its TUN with it, an admin flushes a table) is put back as soon as the kernel tells. The
 * engine hears when the device comes and goes, and of our underlay addresses.
 */
#ifndef OVERLAYD_HOST_DATAPLANE_H
#define OVERLAYD_HOST_DATAPLANE_H

#include "engine/engine.h"

struct world;
struct dataplane;
struct plane;

int dataplane_new(struct world *world, struct dataplane **out, char *err, size_t err_size);
void dataplane_free(struct dataplane *dp);
/* Tells the engine what is there now: device and underlay addresses. */
void dataplane_start(struct dataplane *dp);
/* ENGINE_FX_PLANE */
void dataplane_run(struct dataplane *dp, const struct engine_effect *fx);
/*
 * A node that is no member and asks to be one: this cluster's addresses lead to the device, and
 * nowhere else. NULL: no more. As a member its own spec counts. For a join SA alone: the device has
 * no address of ours. -ENODEV: there is no device (why in err). Also from within an effect.
 */
int dataplane_guest(
        struct dataplane *dp, const struct policy_prefix *overlay6, char *err, size_t err_size);
/* charon was asked what it can do: now the plane can be chosen. */
void dataplane_charon_known(struct dataplane *dp);

/* A tunnel came up or went: the paths in use are others now. May be called within an effect. */
void dataplane_paths_changed(struct dataplane *dp);

/* if_id for SAs, 0: none. */
uint32_t dataplane_if_id(const struct dataplane *dp);
/* A packet may bring an SA up. */
bool dataplane_has_traps(const struct dataplane *dp);
/* charon has just started and has nothing of ours yet: ends what its predecessor left in the kernel
 * that would keep others and traps from noticing. */
void dataplane_leftovers(const struct dataplane *dp);
/* The plane in use, or the one that will be, as it looks: for the firewall. */
const struct plane *dataplane_expects(const struct dataplane *dp);
/* The overlay device's name, as known now or to be expected; never NULL. */
const char *dataplane_device(const struct dataplane *dp);

/*
 * Until when charon should be told nothing new: our address has just been added, and charon must
 * have heard of it from the kernel before it installs what has it as its source (libipsec else
 * fails the CHILD_SA and keeps an IKE_SA without one).
 */
int64_t dataplane_settles_us(const struct dataplane *dp);

struct dataplane_view {
	const struct plane *plane; /* NULL: none yet */
	const char *device;        /* or NULL when it is not there */
	uint32_t mtu;
	uint32_t path; /* bytes that the narrowest underlay path in use carries; 0: not known */
	struct policy_addr path_to; /* the peer's end of it; family 0: not known */
	const char *why;            /* why this plane; or what lacks */
	const char *trouble;        /* what fails now, "" if nothing */
};
void dataplane_look(const struct dataplane *dp, struct dataplane_view *out);

#endif

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * STATE/admissions: the guests that tokens let in (policy/admission.h), beside the bundle that
 * grants them. The first line says what it is, records follow, each behind its length.
 *
 * It goes to the engine before the bundle that was kept, so that both are in force in one step: a
 * restart cuts no guest. Its records prove themselves, so whatever is damaged is worth nothing and
 * does no harm: the other nodes tell of it again.
 */
#ifndef OVERLAYD_HOST_GUESTSFILE_H
#define OVERLAYD_HOST_GUESTSFILE_H

struct engine_effect;
struct world;

/* At start, with a cluster key: what was kept is told to the engine; what is wrong is logged. */
void guestsfile_begin(struct world *world);
/* ENGINE_FX_ADMISSIONS_STORE */
void guestsfile_store(struct world *world, const struct engine_effect *fx);

#endif

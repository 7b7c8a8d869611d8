/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Two clocks. Authority that ends for good (`until`) goes by time that nobody can turn back:
 * trusted = monotonic + offset, and the offset only grows, so that a peer's time never starts anew
 * because a clock was set back, also not over a restart (wall_floor_s). Working hours go by the
 * clock as it stands now: one that once was wrong and then set right must not shift them for ever.
 */
#include "engine/internal.h"

#define RETIME_US 1000000 /* a larger jump moves all timers that follow the wall clock */

static bool is_moved(int64_t a, int64_t b)
{
	return a - b >= RETIME_US || b - a >= RETIME_US;
}

/* Whole seconds come in: what is learned is the largest, unless the clock was set back. */
static void take_present(struct engine *e, int64_t offset)
{
	if (offset > e->present_offset_us || offset < e->present_offset_us - RETIME_US)
		e->present_offset_us = offset;
	if (IMPAIRED(IMPAIR_HOURS_BY_TRUSTED))
		e->present_offset_us = e->wall_offset_us;
}

void clock_take(struct engine *e, struct engine_time now)
{
	int64_t offset;

	if (e->started && now.mono_us < e->now.mono_us)
		now.mono_us = e->now.mono_us;
	if (now.wall_s > INT64_MAX / 4000000)
		now.wall_s = INT64_MAX / 4000000;
	if (now.wall_s < 0)
		now.wall_s = 0;
	offset = now.wall_s * 1000000 - now.mono_us;
	if (!e->started) {
		e->wall_offset_us = e->cfg.wall_floor_s * 1000000 - now.mono_us;
		e->timers_offset_us = e->wall_offset_us;
		e->present_offset_us = e->timers_present_us = offset;
		e->started_us = now.mono_us;
		e->started = true;
	}
	e->now = now;
	if (IMPAIRED(IMPAIR_TRUST_CLOCK))
		e->wall_offset_us = offset;
	if (offset > e->wall_offset_us)
		e->wall_offset_us = offset;
	take_present(e, offset);
	e->now.wall_s = clock_wall_s(e);
	if (is_moved(e->wall_offset_us, e->timers_offset_us) ||
	        is_moved(e->present_offset_us, e->timers_present_us)) {
		e->timers_offset_us = e->wall_offset_us;
		e->timers_present_us = e->present_offset_us;
		if (e->policy)
			peers_judge_all(e);
	}
}

/* What a signer saw when it signed; the timers follow if that is news. */
void clock_learn(struct engine *e, int64_t wall_s)
{
	int64_t offset;

	if (wall_s < 0 || wall_s > INT64_MAX / 4000000 || IMPAIRED(IMPAIR_TRUST_CLOCK))
		return;
	offset = wall_s * 1000000 - e->now.mono_us;
	if (offset <= e->wall_offset_us)
		return;
	e->wall_offset_us = offset;
	e->timers_offset_us = offset;
	e->now.wall_s = clock_wall_s(e);
}

int64_t clock_wall_s(const struct engine *e)
{
	return (e->now.mono_us + e->wall_offset_us) / 1000000;
}

int64_t clock_present_s(const struct engine *e)
{
	return (e->now.mono_us + e->present_offset_us) / 1000000;
}

static int64_t wall_to_mono(int64_t wall_s, int64_t offset_us)
{
	if (wall_s > INT64_MAX / 4000000)
		return ENGINE_NEVER;
	return wall_s * 1000000 - offset_us;
}

int64_t clock_mono_of(const struct engine *e, int64_t wall_s)
{
	return wall_to_mono(wall_s, e->wall_offset_us);
}

/* Active now? And when to ask again: whichever of the two may change first. */
static bool judge_time(
        const struct engine *e, const struct policy_peer *pp, int64_t *mono_us, int64_t *wall_s)
{
	int64_t until, open, open_us;
	bool hours = policy_hours_active(pp, clock_present_s(e), &open);

	*mono_us = *wall_s = ENGINE_NEVER;
	if (!policy_until_active(pp, clock_wall_s(e), &until))
		return false;
	*wall_s = until;
	*mono_us = wall_to_mono(until, e->wall_offset_us);
	open_us = wall_to_mono(open, e->present_offset_us);
	if (open_us < *mono_us) {
		*wall_s = open;
		*mono_us = open_us;
	}
	return hours;
}

void clock_judge_peer(struct engine *e, struct peer *p)
{
	bool was = p->active, ours = peer_joined(p);

	p->timed = p->want && (p->want->has_until || p->want->hours);
	p->change_wall_s = p->change_mono_us = ENGINE_NEVER;
	p->active = p->want != NULL;
	if (p->timed)
		p->active = judge_time(e, p->want, &p->change_mono_us, &p->change_wall_s);
	if (IMPAIRED(IMPAIR_FORGET_EXPIRY)) {
		p->active = p->want != NULL;
		p->change_mono_us = ENGINE_NEVER;
		p->change_wall_s = ENGINE_NEVER;
	}
	p->warn_mono_us = p->active && p->change_mono_us != ENGINE_NEVER
	                          ? p->change_mono_us - e->cfg.warn_us
	                          : ENGINE_NEVER;
	if (p->active && !was)
		p->warned = false;
	if (p->timed && !p->active)
		p->was_timed_out = true;
	if (p->timed && was && !p->active && ours) {
		notice(e, ENGINE_NOTICE, ENGINE_N_TIME_OVER, p->name,
		        "%s's time (until or hours) is over; it is revoked until it opens again.",
		        p->name);
	} else if (p->want && !was && p->active && p->was_timed_out && ours) {
		p->was_timed_out = false;
		notice(e, ENGINE_NOTICE, ENGINE_N_TIME_OPEN, p->name,
		        "%s's time begins; it is admitted.", p->name);
	}
}

void clock_judge_self(struct engine *e)
{
	e->self_active = e->self != NULL;
	e->self_change_us = e->self_change_wall_s = ENGINE_NEVER;
	if (e->self && (e->self->has_until || e->self->hours))
		e->self_active = judge_time(e, e->self, &e->self_change_us, &e->self_change_wall_s);
	rotation_judge_self(e);
	if (IMPAIRED(IMPAIR_FORGET_EXPIRY))
		e->self_change_us = e->self_change_wall_s = ENGINE_NEVER;
}

void clock_warn(struct engine *e, struct peer *p)
{
	int64_t left;

	if (!p->desired || p->warned || p->warn_mono_us == ENGINE_NEVER)
		return;
	if (e->now.mono_us < p->warn_mono_us) {
		peer_wake(p, p->warn_mono_us);
		return;
	}
	p->warned = true;
	left = (p->change_mono_us - e->now.mono_us) / 1000000;
	if (left < 0)
		left = 0;
	notice(e, ENGINE_WARNING, ENGINE_N_TIME_SOON, p->name,
	        "%s's time (until or hours) ends in %lld min %lld s; its connections will be cut "
	        "then.",
	        p->name, (long long)(left / 60), (long long)(left % 60));
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/fwadapt.h"

#include "host/dataplane.h"
#include "host/world.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <uthash.h>

#define SETTLE_US 200000 /* between two foreign changes that are told */
#define SHUT_AGAIN_US 1000000

/* An underlay address and how many peers have it. */
struct endpoint {
	struct fw_addr addr; /* key; zero-padded */
	unsigned int users;
	UT_hash_handle hh;
};

/* Which addresses a peer has brought. */
struct bringer {
	char *peer;
	struct fw_addr *addrs;
	size_t n;
	UT_hash_handle hh;
};

struct fwadapt {
	struct world *world;
	struct fw *fw;
	struct fw_monitor *monitor;
	sd_event_source *io;
	sd_event_source *timer;
	int64_t told_us;
	bool changed;  /* by another, not told yet */
	bool shut_due; /* fwadapt_shut() has failed */

	/* of the last base that was confirmed */
	char (*in)[FWRULES_CLASS_MAX];
	char (*out)[FWRULES_CLASS_MAX];
	size_t n_in, n_out;
	struct endpoint *endpoints;
	struct bringer *bringers;

	struct fw_ruleset *plain; /* of no member, without the guest's part; NULL: of a member */
	struct fwadapt_guest guest;
	bool is_guest;
};

/* ---- underlay addresses of peers --------------------------------------------------------------
 */

/* kernel: false if the kernel has it already (or must not be told). */
static int endpoint_take(struct fwadapt *fa, const struct fw_addr *addr, bool kernel)
{
	struct endpoint *ep;
	int err = 0;

	HASH_FIND(hh, fa->endpoints, addr, sizeof(*addr), ep);
	if (ep) {
		ep->users++;
		return 0;
	}
	if (kernel)
		err = fw_endpoint_add(fa->fw, addr, NULL, NULL);
	if (err)
		return err;
	ep = calloc(1, sizeof(*ep));
	if (!ep)
		return -ENOMEM;
	ep->addr = *addr;
	ep->users = 1;
	HASH_ADD(hh, fa->endpoints, addr, sizeof(ep->addr), ep);
	return 0;
}

/* Another program was faster than its monitor's note: the whole table is compared anew. */
static void look_again(struct fwadapt *fa)
{
	fa->changed = true;
	sd_event_source_set_time(fa->timer, 0);
	sd_event_source_set_enabled(fa->timer, SD_EVENT_ONESHOT);
}

static void endpoint_drop(struct fwadapt *fa, const struct fw_addr *addr, bool kernel)
{
	struct endpoint *ep;

	HASH_FIND(hh, fa->endpoints, addr, sizeof(*addr), ep);
	if (!ep || --ep->users)
		return;
	/* What cannot be taken out now goes with the next whole table. */
	if (kernel && fw_endpoint_remove(fa->fw, addr, NULL, NULL))
		look_again(fa);
	HASH_DEL(fa->endpoints, ep);
	free(ep);
}

static void bringer_forget(struct fwadapt *fa, struct bringer *bringer, bool kernel)
{
	if (!bringer)
		return;
	for (size_t i = 0; i < bringer->n; i++)
		endpoint_drop(fa, &bringer->addrs[i], kernel);
	HASH_DEL(fa->bringers, bringer);
	free(bringer->addrs);
	free(bringer->peer);
	free(bringer);
}

static struct bringer *bringer_find(struct fwadapt *fa, const char *peer)
{
	struct bringer *bringer;

	HASH_FIND_STR(fa->bringers, peer, bringer);
	return bringer;
}

/* Remembers the peer's addresses; those of the same name before are replaced. */
static int bringer_set(struct fwadapt *fa, const struct engine_fw_underlay *peer, bool kernel)
{
	struct bringer *old = bringer_find(fa, peer->peer);
	struct bringer *bringer = calloc(1, sizeof(*bringer));
	int err = 0;

	if (!bringer)
		return -ENOMEM;
	bringer->peer = strdup(peer->peer);
	bringer->addrs = calloc(peer->n ? peer->n : 1, sizeof(*bringer->addrs));
	if (!bringer->peer || !bringer->addrs)
		err = -ENOMEM;
	for (size_t i = 0; i < peer->n && !err; i++) {
		fwrules_addr(&peer->addrs[i], &bringer->addrs[bringer->n]);
		err = endpoint_take(fa, &bringer->addrs[bringer->n], kernel);
		if (!err)
			bringer->n++;
	}
	bringer_forget(fa, old, kernel);
	if (!bringer->peer) {
		free(bringer->addrs);
		free(bringer);
		return err;
	}
	HASH_ADD_KEYPTR(hh, fa->bringers, bringer->peer, strlen(bringer->peer), bringer);
	return err;
}

static void bringers_clear(struct fwadapt *fa)
{
	struct bringer *bringer, *next;

	HASH_ITER(hh, fa->bringers, bringer, next)
		bringer_forget(fa, bringer, false);
}

/* ---- effects ------------------------------------------------------------------------------------
 */

/* From the engine's clock to the kernel's: CLOCK_MONOTONIC, milliseconds. */
static uint64_t expiry_convert(int64_t boot_us)
{
	struct timespec ts;
	int64_t now_ms;
	int64_t left_us;

	if (boot_us == ENGINE_NEVER)
		return 0;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	now_ms = (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
	left_us = boot_us - world_now_us();
	/* 0 would mean "no end": what is over ends at once. */
	return (uint64_t)(now_ms + (left_us > 0 ? left_us / 1000 : 0)) + 1;
}

static int peer_convert(
        const struct fwadapt *fa, const struct engine_fw_peer *in, struct fw_peer *out)
{
	if (in->class_in >= fa->n_in || in->class_out >= fa->n_out)
		return -EINVAL;
	*out = (struct fw_peer){.name = in->peer,
	        .in = fa->in[in->class_in],
	        .out = fa->out[in->class_out],
	        .until_ms = expiry_convert(in->expires_mono_us)};
	fwrules_addr(&in->addr4, &out->v4);
	fwrules_addr(&in->addr6, &out->v6);
	return 0;
}

static int classes_name(struct fwadapt *fa, const struct engine_fw_base *base)
{
	char(*in)[FWRULES_CLASS_MAX] = calloc(base->n_in + 1, sizeof(*in));
	char(*out)[FWRULES_CLASS_MAX] = calloc(base->n_out + 1, sizeof(*out));

	if (!in || !out) {
		free(in);
		free(out);
		return -ENOMEM;
	}
	for (size_t i = 0; base->policy && i < base->n_in; i++)
		fwrules_class_name(base->policy, base->in[i].bits, in[i]);
	for (size_t i = 0; base->policy && i < base->n_out; i++)
		fwrules_class_name(base->policy, base->out[i].bits, out[i]);
	free(fa->in);
	free(fa->out);
	fa->in = in;
	fa->out = out;
	fa->n_in = base->policy ? base->n_in : 0;
	fa->n_out = base->policy ? base->n_out : 0;
	return 0;
}

static int peers_put(struct fwadapt *fa, const struct engine_fw_base *base, struct fw_ruleset *rs)
{
	int err = 0;

	for (size_t i = 0; i < base->n_peers && !err; i++) {
		const struct engine_fw_peer *peer = &base->peers[i];
		struct fw_peer fp;

		err = peer_convert(fa, peer, &fp);
		if (!err)
			err = fw_ruleset_set_peer(rs, &fp);
	}
	for (size_t i = 0; i < base->n_underlays && !err; i++) {
		const struct engine_fw_underlay *u = &base->underlays[i];

		for (size_t k = 0; k < u->n && !err; k++) {
			struct fw_addr addr;

			fwrules_addr(&u->addrs[k], &addr);
			err = fw_ruleset_add_endpoint(rs, &addr);
		}
	}
	return err;
}

/* What the base has brought is in the kernel already: only remembered here. */
static void bringers_refill(struct fwadapt *fa, const struct engine_fw_base *base)
{
	bringers_clear(fa);
	for (size_t i = 0; i < base->n_underlays; i++)
		(void)bringer_set(fa, &base->underlays[i], false);
}

/* Programs whose flows the table lets pass no more, because their peer may do less than before,
 * would hang: their sockets end. That it fails is told, and the table's work is done all the same.
 */
static void denied_end(struct fwadapt *fa, const char *peer)
{
	struct fw_error err = {""};
	int killed = sockdiag_destroy_denied(fw_applied(fa->fw), peer, &err);

	if (killed < 0)
		log_warning("firewall: %s", err.text);
	else if (killed)
		log_info("%s%sended %d TCP sockets that are not allowed any more", peer ? peer : "",
		        peer ? ": " : "", killed);
}

static struct fwrules_world rules_world(const struct fwadapt *fa)
{
	const struct plane *plane = dataplane_expects(fa->world->dataplane);

	return (struct fwrules_world){.device = dataplane_device(fa->world->dataplane),
	        .secpath = plane->secpath,
	        .traps = plane->traps};
}

/* What is of no member is kept, for when it asks to be one. */
static int plain_keep(struct fwadapt *fa, const struct fw_ruleset *rs, bool member)
{
	struct fw_ruleset *plain = NULL;
	int ret = member ? 0 : fw_ruleset_clone(rs, &plain);

	if (ret)
		return ret;
	fw_ruleset_free(fa->plain);
	fa->plain = plain;
	return 0;
}

static int guest_put(struct fwadapt *fa, struct fw_ruleset *rs)
{
	struct fwrules_world rules = rules_world(fa);

	return fa->is_guest ? fwrules_guest(rs, &fa->guest, &rules) : 0;
}

int fwadapt_guest(struct fwadapt *fa, const struct fwadapt_guest *guest, char *err, size_t err_size)
{
	struct fw_ruleset *rs = NULL;
	struct engine_view view;
	struct fw_error fe = {""};
	int ret;

	if (!guest && !fa->is_guest)
		return 0;
	/* Peers' endpoints may have changed since. */
	if (guest && !fa->is_guest && fa->plain && fw_applied(fa->fw) &&
	        plain_keep(fa, fw_applied(fa->fw), false))
		return -ENOMEM;
	fa->is_guest = guest != NULL;
	if (guest)
		fa->guest = *guest;
	engine_look(fa->world->engine, &view);
	if (view.policy && !fa->plain)
		return 0; /* its own table stands, or will */
	ret = fa->plain ? fw_ruleset_clone(fa->plain, &rs) : fw_ruleset_new(&rs);
	if (!ret)
		ret = guest_put(fa, rs);
	if (!ret)
		ret = fw_commit(fa->fw, rs, NULL, &fe);
	fw_ruleset_free(rs);
	if (ret)
		snprintf(err, err_size, "the firewall cannot be set for joining: %s",
		        fe.text[0] ? fe.text : strerror(-ret));
	return ret;
}

static int run_base(
        struct fwadapt *fa, const struct engine_fw_base *base, char *err, size_t err_size)
{
	struct fwrules_world rules = rules_world(fa);
	struct fw_ruleset *rs = NULL;
	struct fw_result res;
	struct fw_error fe = {""};
	int ret;

	/* Without a policy we do not even know what the overlay is: an older table knows better. */
	if (!base->policy && fwadapt_table_is_there(fa->fw))
		return 0;
	ret = fwrules_make(base, &rules, &rs, err, err_size);
	if (ret)
		return ret;
	ret = classes_name(fa, base);
	if (!ret)
		ret = peers_put(fa, base, rs);
	if (!ret)
		ret = plain_keep(fa, rs, base->self != NULL);
	if (!ret && !base->self)
		ret = guest_put(fa, rs);
	if (ret)
		snprintf(
		        err, err_size, "cannot put the peers into the ruleset: %s", strerror(-ret));
	else
		ret = fw_commit(fa->fw, rs, &res, &fe);
	fw_ruleset_free(rs);
	if (fe.text[0])
		snprintf(err, err_size, "%s", fe.text);
	if (ret)
		return ret;
	bringers_refill(fa, base);
	if (res.outcome != FW_UNCHANGED)
		denied_end(fa, NULL);
	log_debug("firewall: table %s, %u messages",
	        res.outcome == FW_UNCHANGED ? "unchanged"
	        : res.outcome == FW_UPDATED ? "updated"
	                                    : "replaced",
	        res.messages);
	return 0;
}

static int run_admit(struct fwadapt *fa, const struct engine_fw_peer *peer, struct fw_error *err)
{
	const struct fw_ruleset *applied = fw_applied(fa->fw);
	const struct fw_peer *old = applied ? fw_ruleset_peer(applied, peer->peer) : NULL;
	struct fw_peer fp;
	bool other = false;
	int ret = peer_convert(fa, peer, &fp);

	if (ret)
		return ret;
	if (old) /* a new admission has no sockets, a renewed one keeps its classes */
		other = !old->in || strcmp(old->in, fp.in) || !old->out || strcmp(old->out, fp.out);
	ret = fw_peer_admit(fa->fw, &fp, NULL, err);
	if (!ret && other)
		denied_end(fa, fp.name);
	return ret;
}

static int run_underlay(struct fwadapt *fa, const struct engine_fw_underlay *peer)
{
	if (peer->n)
		return bringer_set(fa, peer, true);
	bringer_forget(fa, bringer_find(fa, peer->peer), true);
	return 0;
}

static int run_revoke(struct fwadapt *fa, const struct engine_fw_peer *peer, struct fw_error *err)
{
	int ret = fw_peer_revoke(fa->fw, peer->peer, NULL, err);

	return ret == -ENOENT ? 0 : ret;
}

static int run_kill(const struct engine_fw_peer *peer, struct fw_error *err)
{
	const struct policy_addr *addrs[] = {&peer->addr4, &peer->addr6};
	int killed = 0;

	for (size_t i = 0; i < 2; i++) {
		struct fw_addr addr;
		int ret;

		if (!addrs[i]->family)
			continue;
		fwrules_addr(addrs[i], &addr);
		ret = sockdiag_destroy_peer(&addr, NULL, err);
		if (ret < 0)
			return ret;
		killed += ret;
	}
	if (killed)
		log_info("%s: ended %d open TCP sockets", peer->peer, killed);
	return 0;
}

void fwadapt_run(struct fwadapt *fa, const struct engine_effect *fx)
{
	struct fw_error err = {""};
	int ret = -EINVAL;

	if (fx->type == ENGINE_FX_FW_BASE)
		ret = run_base(fa, &fx->fw_base, err.text, sizeof(err.text));
	else if (fx->type == ENGINE_FX_FW_ADMIT)
		ret = run_admit(fa, &fx->fw_peer, &err);
	else if (fx->type == ENGINE_FX_FW_REVOKE)
		ret = run_revoke(fa, &fx->fw_peer, &err);
	else if (fx->type == ENGINE_FX_FW_UNDERLAY)
		ret = run_underlay(fa, &fx->fw_underlay);
	else if (fx->type == ENGINE_FX_KILL_SOCKETS)
		ret = run_kill(&fx->fw_peer, &err);
	if (ret == -ESTALE)
		look_again(fa);
	world_result(fa->world, fx->id, ret, err.text[0] ? err.text : ret ? strerror(-ret) : "");
}

/* ---- what others do to our table
 * -------------------------------------------------------------------- */

static int on_timer(sd_event_source *source, uint64_t usec, void *user)
{
	struct engine_event ev = {.type = ENGINE_EV_FIREWALL};
	struct fwadapt *fa = user;

	(void)source, (void)usec;
	if (fa->shut_due)
		fwadapt_shut(fa);
	if (!fa->changed)
		return 0;
	fa->changed = false;
	fa->told_us = world_now_us();
	fw_forget(fa->fw);
	ev.firewall.seen = ENGINE_FW_FOREIGN;
	world_event(fa->world, &ev);
	return 0;
}

static int on_monitor(sd_event_source *source, int fd, uint32_t revents, void *user)
{
	struct fwadapt *fa = user;
	struct fw_change change;
	int64_t earliest = fa->told_us + SETTLE_US;

	(void)source, (void)fd, (void)revents;
	while (fw_monitor_process(fa->monitor, &change) > 0) {
		if (!fa->changed && change.lost)
			log_warning("firewall: the kernel lost notes for us, the table is looked "
			            "at anew");
		else if (!fa->changed)
			log_warning("firewall: table inet " FW_TABLE
			            " was changed by %s (pid %u): it is "
			            "put back",
			        change.comm[0] ? change.comm : "another program", change.pid);
		fa->changed = true;
	}
	if (fa->changed) {
		sd_event_source_set_time(fa->timer, (uint64_t)earliest);
		sd_event_source_set_enabled(fa->timer, SD_EVENT_ONESHOT);
	}
	return 0;
}

/* ---- begin and end
 * ------------------------------------------------------------------------------------ */

int fwadapt_new(struct world *world, struct fwadapt **out, char *err, size_t err_size)
{
	struct fwadapt *fa = calloc(1, sizeof(*fa));
	struct fw_error fe = {""};
	int ret;

	if (!fa)
		return -ENOMEM;
	fa->world = world;
	ret = fw_open(&fa->fw, &fe);
	if (!ret)
		ret = fw_monitor_open(&fa->monitor, fa->fw, &fe);
	if (!ret)
		ret = sd_event_add_io(
		        world->event, &fa->io, fw_monitor_fd(fa->monitor), EPOLLIN, on_monitor, fa);
	if (ret >= 0)
		ret = sd_event_add_time(
		        world->event, &fa->timer, CLOCK_BOOTTIME, UINT64_MAX, 1000, on_timer, fa);
	if (ret >= 0)
		ret = sd_event_source_set_enabled(fa->timer, SD_EVENT_OFF);
	if (ret < 0) {
		snprintf(err, err_size, "%s", fe.text[0] ? fe.text : strerror(-ret));
		fwadapt_free(fa);
		return ret;
	}
	*out = fa;
	return 0;
}

void fwadapt_free(struct fwadapt *fa)
{
	if (!fa)
		return;
	sd_event_source_disable_unref(fa->io);
	sd_event_source_disable_unref(fa->timer);
	fw_ruleset_free(fa->plain);
	bringers_clear(fa);
	fw_monitor_close(fa->monitor);
	fw_close(fa->fw);
	free(fa->in);
	free(fa->out);
	free(fa);
}

static int denied_nothing(void *ctx, const struct fw_denied *denied)
{
	(void)ctx, (void)denied;
	return 0;
}

bool fwadapt_table_is_there(struct fw *fw)
{
	/* Its sets can be read, or not for want of a table. */
	return fw_denied_read(fw, denied_nothing, NULL, NULL) != -ENOENT;
}

void fwadapt_start(struct fwadapt *fa)
{
	struct engine_event ev = {.type = ENGINE_EV_FIREWALL};

	ev.firewall.seen = fwadapt_table_is_there(fa->fw) ? ENGINE_FW_UNKNOWN : ENGINE_FW_MISSING;
	world_event(fa->world, &ev);
}

void fwadapt_shut(struct fwadapt *fa)
{
	struct fw_error err = {""};
	struct engine_view view;

	engine_look(fa->world->engine, &view);
	fa->shut_due = !view.policy && fw_shut(fa->fw, &err) < 0;
	if (!fa->shut_due)
		return;
	log_error("firewall: the table of an earlier run could not be shut: %s; it is tried again",
	        err.text);
	sd_event_source_set_time(fa->timer, (uint64_t)world_now_us() + SHUT_AGAIN_US);
	sd_event_source_set_enabled(fa->timer, SD_EVENT_ONESHOT);
}

struct fw *fwadapt_fw(const struct fwadapt *fa)
{
	return fa->fw;
}

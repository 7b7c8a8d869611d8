/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * overlayd: arguments, ordered start, the same order backwards to stop.
 *
 *	rights_begin	umask, no core dumps
 *	world_new	state directory, node key, engine, firewall, netlink
 *	world_start	the old table or the guard, policy, watch, admin socket, charon
 *	rights_drop	what start needed and running does not
 *	loop		until SIGTERM
 *	world_free	tunnels, routes and the firewall's table stay: nothing leaks, nothing drops
 */
#include "client/paths.h"
#include "host/log.h"
#include "host/ops.h"
#include "host/policyload.h"
#include "host/rights.h"
#include "host/world.h"

#include <errno.h>
#include <getopt.h>
#include <jansson.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#ifndef OVERLAYD_VICI_PATH
#define OVERLAYD_VICI_PATH "/run/charon.vici"
#endif

enum action { ACTION_RUN, ACTION_CHECK, ACTION_GUARD, ACTION_FLUSH };

struct arguments {
	struct world_options world;
	enum action action;
	int log_level;
};

static const char usage_text[] =
        "usage: overlayd [options]\n"
        "  --config DIR      policy.yaml and peers.d/ (" OVERLAY_CONFIG_DIR ")\n"
        "  --state DIR       node.key and what is kept (" OVERLAY_STATE_DIR ")\n"
        "  --run DIR         the admin socket (" OVERLAY_RUN_DIR ")\n"
        "  --vici PATH       charon's vici socket (" OVERLAYD_VICI_PATH ")\n"
        "  --plane KIND      auto, libipsec or xfrm (auto)\n"
        "  --idle SECONDS    without traffic, until a tunnel on demand ends (600)\n"
        "  --group NAME      who may use the admin socket beside root (" OVERLAY_GROUP ")\n"
        "  --log-level L     err, warning, notice, info or debug (info)\n"
        "  --check           check the policy, print what is wrong, exit\n"
        "  --guard           load the boot guard into nftables, exit\n"
        "  --flush           take tunnels, routes, addresses and the table away, exit\n"
        "  --version, --help\n"
        "Without --check, --guard and --flush it runs in the foreground until SIGTERM.\n"
        "SIGHUP reads the policy again.\n";

static _Noreturn void usage_error(const char *what, const char *arg)
{
	fprintf(stderr, "overlayd: %s%s%s\n%s", what, arg ? ": " : "", arg ? arg : "", usage_text);
	exit(2);
}

static uint32_t idle_parse(const char *text)
{
	char *end;
	unsigned long seconds = strtoul(text, &end, 10);

	if (*text < '0' || *text > '9' || *end || seconds < 1 || seconds > 86400)
		usage_error("--idle is a number of seconds from 1 to 86400, not", text);
	return (uint32_t)seconds;
}

static void arguments_read(int argc, char **argv, struct arguments *args)
{
	static const struct option options[] = {
	        {"config", required_argument, NULL, 'c'},
	        {"state", required_argument, NULL, 's'},
	        {"run", required_argument, NULL, 'r'},
	        {"vici", required_argument, NULL, 'v'},
	        {"plane", required_argument, NULL, 'p'},
	        {"idle", required_argument, NULL, 'i'},
	        {"group", required_argument, NULL, 'g'},
	        {"log-level", required_argument, NULL, 'l'},
	        {"check", no_argument, NULL, 'C'},
	        {"guard", no_argument, NULL, 'G'},
	        {"flush", no_argument, NULL, 'F'},
	        {"foreground", no_argument, NULL, 'f'},
	        {"version", no_argument, NULL, 'V'},
	        {"help", no_argument, NULL, 'h'},
	        {NULL, 0, NULL, 0},
	};
	int opt;

	*args = (struct arguments){.log_level = LOG_INFO,
	        .world = {.config_dir = OVERLAY_CONFIG_DIR,
	                .state_dir = OVERLAY_STATE_DIR,
	                .run_dir = OVERLAY_RUN_DIR,
	                .vici_path = OVERLAYD_VICI_PATH,
	                .group = OVERLAY_GROUP,
	                .idle_s = WORLD_IDLE_S}};
	while ((opt = getopt_long(argc, argv, "", options, NULL)) != -1) {
		int value;

		switch (opt) {
		case 'c':
			args->world.config_dir = optarg;
			break;
		case 's':
			args->world.state_dir = optarg;
			break;
		case 'r':
			args->world.run_dir = optarg;
			break;
		case 'v':
			args->world.vici_path = optarg;
			break;
		case 'g':
			args->world.group = optarg;
			break;
		case 'p':
			value = plane_wish_parse(optarg);
			if (value < 0)
				usage_error("--plane is auto, libipsec or xfrm, not", optarg);
			args->world.plane = (enum plane_wish)value;
			break;
		case 'i':
			args->world.idle_s = idle_parse(optarg);
			break;
		case 'l':
			args->log_level = log_level_parse(optarg);
			if (args->log_level < 0)
				usage_error("there is no log level", optarg);
			break;
		case 'C':
			args->action = ACTION_CHECK;
			break;
		case 'G':
			args->action = ACTION_GUARD;
			break;
		case 'F':
			args->action = ACTION_FLUSH;
			break;
		case 'f':
			break; /* always so; accepted for those who ask for it */
		case 'V':
			puts("overlayd " OVERLAYD_VERSION);
			exit(0);
		case 'h':
			fputs(usage_text, stdout);
			exit(0);
		default:
			usage_error("see above", NULL);
		}
	}
	if (optind < argc)
		usage_error("unexpected argument", argv[optind]);
}

/* ---- one-shot actions -------------------------------------------------------------------------
 */

static int policy_check(const struct arguments *args)
{
	struct policy *policy;
	char *report = NULL;
	bool last_good;
	int err = policyload_read(args->world.config_dir, NULL, &policy, &last_good, &report);

	if (report)
		fputs(report, stderr);
	free(report);
	if (err)
		return 1;
	printf("ok: cluster %s, serial %llu, %zu peers\n", policy->cluster,
	        (unsigned long long)policy->serial, policy->n_peers);
	policy_unref(policy);
	return 0;
}

static int once(const struct arguments *args)
{
	char err[512] = "";
	int ret;

	if (args->action == ACTION_CHECK)
		return policy_check(args);
	ret = args->action == ACTION_GUARD ? world_guard(&args->world, err, sizeof(err))
	                                   : world_flush(&args->world, err, sizeof(err));
	if (ret)
		log_error("%s", err[0] ? err : strerror(-ret));
	return ret ? 1 : 0;
}

/* ---- the daemon ---------------------------------------------------------------------------------
 */

static int on_stop(sd_event_source *source, const struct signalfd_siginfo *info, void *user)
{
	(void)user;
	log_info("%s: stopping; tunnels and firewall stay", strsignal((int)info->ssi_signo));
	sd_notify(0, "STOPPING=1");
	return sd_event_exit(sd_event_source_get_event(source), 0);
}

static int on_hangup(sd_event_source *source, const struct signalfd_siginfo *info, void *user)
{
	(void)source, (void)info;
	(void)ops_reload(user);
	return 0;
}

static int signals_take(struct world *world)
{
	sigset_t mask;
	int err;

	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&mask);
	sigaddset(&mask, SIGTERM);
	sigaddset(&mask, SIGINT);
	sigaddset(&mask, SIGHUP);
	if (sigprocmask(SIG_BLOCK, &mask, NULL) < 0)
		return -errno;
	err = sd_event_add_signal(world->event, NULL, SIGTERM, on_stop, world);
	if (err >= 0)
		err = sd_event_add_signal(world->event, NULL, SIGINT, on_stop, world);
	if (err >= 0)
		err = sd_event_add_signal(world->event, NULL, SIGHUP, on_hangup, world);
	return err < 0 ? err : 0;
}

static int run(const struct arguments *args)
{
	struct world *world = NULL;
	char err[512] = "";
	int ret;

	ret = world_new(&world, &args->world, err, sizeof(err));
	if (!ret)
		ret = signals_take(world);
	if (!ret)
		ret = world_start(world, err, sizeof(err));
	if (!ret)
		ret = rights_drop(err, sizeof(err));
	if (!ret) {
		(void)sd_event_set_watchdog(world->event, true); /* if systemd asks for it */
		sd_notify(0, "READY=1");
		ret = sd_event_loop(world->event);
		if (ret < 0)
			snprintf(err, sizeof(err), "the event loop failed: %s", strerror(-ret));
	}
	if (ret < 0)
		log_error("%s", err[0] ? err : strerror(-ret));
	world_free(world);
	return ret < 0 ? 1 : 0;
}

/* Of what clients say some is secret (a ticket with a token), and no copy of it stays. */
static void wipe_free(void *data)
{
	if (data)
		explicit_bzero(data, malloc_usable_size(data));
	free(data);
}

int main(int argc, char **argv)
{
	struct arguments args;

	rights_begin();
	json_set_alloc_funcs(malloc, wipe_free);
	arguments_read(argc, argv, &args);
	log_open(args.log_level);
	return args.action == ACTION_RUN ? run(&args) : once(&args);
}

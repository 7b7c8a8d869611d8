/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "ctl/ctl.h"
#include "ctl/table.h"

#define REFRESH_MS 2000 /* while watching: counters move without events */
#define SETTLE_MS 100   /* events come in bursts: one look for all of them */
#define BURST_MAX 20

static enum table_colour state_colour(const char *state)
{
	if (!strcmp(state, "up") || !strcmp(state, "ready"))
		return TABLE_GREEN;
	if (!strcmp(state, "down") || !strcmp(state, "degraded"))
		return TABLE_RED;
	if (!strcmp(state, "inactive") || !strcmp(state, "ondemand"))
		return TABLE_DIM;
	return TABLE_YELLOW;
}

/* "  name      text", the text cleaned; nothing when it is empty. */
__attribute__((format(printf, 2, 3))) static void line(const char *name, const char *format, ...)
{
	char text[2048];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	if (!*text)
		return;
	ctl_clean(text);
	printf("  %-9s ", name);
	table_wrap(stdout, text, 12, table_terminal(stdout));
	putchar('\n');
}

/* "what: why", or only one of them. */
static void line_why(const char *name, const char *what, const json_t *part)
{
	const char *why = ctl_string(part, "why", "");

	line(name, "%s%s%s", what, *what && *why ? ": " : "", why);
}

static void tell_node(const json_t *status)
{
	const json_t *node = json_object_get(status, "node");
	const char *v4 = ctl_string(node, "address4", ""), *v6 = ctl_string(node, "address6", "");

	line("address", "%s%s%s", v4, *v4 && *v6 ? ", " : "", v6);
	if (*ctl_string(node, "guest", ""))
		line("guest", "of token %s", ctl_string(node, "guest", ""));
	line("key", "%s", ctl_string(node, "fingerprint", ""));
}

static void tell_parts(const json_t *status)
{
	const json_t *plane = json_object_get(status, "plane");
	const json_t *charon = json_object_get(status, "charon");
	const json_t *firewall = json_object_get(status, "firewall");
	char text[256];

	snprintf(text, sizeof(text), "%s, %s, MTU %" PRId64, ctl_string(plane, "kind", "none"),
	        ctl_string(plane, "device", "no device"), ctl_integer(plane, "mtu", 0));
	line_why("plane", text, plane);
	snprintf(text, sizeof(text), "%s%s",
	        json_is_true(json_object_get(charon, "connected")) ? "" : "not connected, ",
	        ctl_string(charon, "version", "version unknown"));
	line_why("charon", text, charon);
	snprintf(text, sizeof(text), "%s, %s", ctl_string(firewall, "mode", "guard"),
	        json_is_true(json_object_get(firewall, "in_force")) ? "in force" : "not in force");
	line_why("firewall", text, firewall);
}

static void tell_pending(const json_t *status)
{
	int64_t n = ctl_integer(json_object_get(status, "join"), "pending", 0);

	if (n > 0)
		line("pending", "%" PRId64 " newcomer%s: overlayctl pending", n,
		        n == 1 ? " waits" : "s wait");
}

static void tell_bundle(const struct ctl *ctl, const json_t *status)
{
	const json_t *bundle = json_object_get(status, "bundle");
	const char *files = ctl_string(json_object_get(status, "policy"), "files", "");
	bool in_force =
	        json_is_true(json_object_get(json_object_get(status, "policy"), "in_force"));
	bool colour = ctl_colour(ctl, stdout);

	if (!json_is_object(bundle))
		return;
	if (!ctl_integer(bundle, "serial", 0)) {
		line("bundle", in_force ? "none yet: the policy's files are in force until one is "
		                          "signed and loaded"
		                        : "none yet");
		return;
	}
	line("bundle",
	        "serial %" PRId64 ", applied by %" PRId64 " of %" PRId64 " members, %" PRId64
	        " session%s%s",
	        ctl_integer(bundle, "serial", 0), ctl_integer(bundle, "n_applied", 0),
	        ctl_integer(bundle, "n_members", 0), ctl_integer(bundle, "sessions", 0),
	        ctl_integer(bundle, "sessions", 0) == 1 ? "" : "s",
	        json_is_true(json_object_get(bundle, "stored")) ? "" : ", not kept on disk");
	if (json_is_true(json_object_get(bundle, "fork")))
		printf("            %sFORK: another bundle of this serial was signed too%s\n",
		        colour ? table_colour_code(TABLE_RED) : "", colour ? "\033[0m" : "");
	if (!strcmp(files, "differ"))
		line("", "policy files differ from the signed bundle: overlayctl sign --load");
	if (!strcmp(files, "broken"))
		line("", "policy files have errors, the signed bundle stays in force; see: "
		         "overlayctl "
		         "check");
}

static void tell_policy(const struct ctl *ctl, const json_t *status)
{
	const json_t *policy = json_object_get(status, "policy");
	int64_t now = ctl_integer(status, "now", time(NULL));
	int64_t loaded = ctl_integer(policy, "loaded", -1);
	char age[16];

	if (!json_is_true(json_object_get(policy, "in_force")))
		line("policy", "none in force");
	else
		line("policy", "serial %" PRId64 ", in force%s%s", ctl_integer(status, "serial", 0),
		        loaded < 0 ? "" : " for ",
		        loaded < 0 ? "" : ctl_duration(now - loaded, age));
	tell_bundle(ctl, status);
	tell_pending(status);
	if (*ctl_string(policy, "error", "") && strcmp(ctl_string(policy, "files", ""), "none") &&
	        !ctl_integer(json_object_get(status, "bundle"), "serial", 0))
		line("", "the files on disk have errors and were not applied; see: overlayctl "
		         "check");
}

/* "12: 10 up, 1 connecting, 1 down" */
static void tell_counts(const json_t *peers)
{
	static const char *const states[] = {
	        "up", "ondemand", "connecting", "degraded", "down", "inactive"};
	char text[256];
	int len = snprintf(text, sizeof(text), "%zu", json_array_size(peers));

	for (size_t s = 0, any = 0; s < sizeof(states) / sizeof(states[0]); s++) {
		const json_t *peer;
		size_t i, n = 0;

		json_array_foreach(peers, i, peer) {
			n += !strcmp(ctl_string(peer, "state", ""), states[s]);
		}
		if (n)
			len += snprintf(text + len, sizeof(text) - (size_t)len, "%s %zu %s",
			        any++ ? "," : ":", n, states[s]);
	}
	line("peers", "%s", text);
}

static void peer_add(struct table *table, const json_t *peer, int64_t now)
{
	const char *state = ctl_string(peer, "state", "?");
	int64_t since = ctl_integer(peer, "since", -1);
	int64_t in = ctl_integer(peer, "bytes_in", -1), out = ctl_integer(peer, "bytes_out", -1);
	int64_t rekey = ctl_integer(peer, "rekey_s", -1);
	char buf[16];

	table_cell(table, TABLE_PLAIN, ctl_string(peer, "name", "?"));
	table_cell(table, TABLE_PLAIN, ctl_string(peer, "guest", ""));
	table_cell(table, state_colour(state), state);
	table_cell(table, TABLE_PLAIN,
	        since < 0 ? "" : ctl_duration(now > since ? now - since : 0, buf));
	table_cell(
	        table, TABLE_PLAIN, ctl_string(peer, "address4", ctl_string(peer, "address6", "")));
	table_cell(table, TABLE_PLAIN, ctl_string(peer, "link", ""));
	/* Zeros of a peer without a tunnel say nothing. */
	table_cell(table, TABLE_PLAIN, in > 0 || !strcmp(state, "up") ? ctl_bytes(in, buf) : "");
	table_cell(table, TABLE_PLAIN, out > 0 || !strcmp(state, "up") ? ctl_bytes(out, buf) : "");
	table_cell(table, TABLE_PLAIN, rekey < 0 ? "" : ctl_duration(rekey, buf));
	table_cell(table, TABLE_PLAIN, ctl_string(peer, "why", ""));
}

static void tell_peers(const struct ctl *ctl, const json_t *status)
{
	static const char *const heads[] = {"PEER", "GUEST OF", "STATE", ">SINCE", "ADDRESS",
	        "LINK", ">IN", ">OUT", ">REKEY", "WHY"};
	const json_t *peers = json_object_get(status, "peers"), *peer;
	struct table *table = table_new(heads, 10);
	size_t i;

	json_array_foreach(peers, i, peer) {
		peer_add(table, peer, ctl_integer(status, "now", time(NULL)));
	}
	if (json_array_size(peers))
		putchar('\n');
	table_print(table, stdout, ctl_colour(ctl, stdout), table_terminal(stdout));
	table_free(table);
}

static void tell(const struct ctl *ctl, const json_t *status)
{
	const json_t *node = json_object_get(status, "node");
	const char *state = ctl_string(status, "state", "?"), *why = ctl_string(status, "why", "");
	bool colour = ctl_colour(ctl, stdout);
	char head[1024];

	snprintf(head, sizeof(head), "%s of %s", ctl_string(node, "name", "(not in the policy)"),
	        ctl_string(status, "cluster", "no cluster"));
	ctl_print_text(stdout, head);
	printf(": %s%s%s%s", colour ? table_colour_code(state_colour(state)) : "", state,
	        colour ? "\033[0m" : "", *why ? ": " : "");
	ctl_print_text(stdout, why);
	putchar('\n');
	tell_node(status);
	tell_policy(ctl, status);
	tell_parts(status);
	tell_counts(json_object_get(status, "peers"));
	tell_peers(ctl, status);
}

static int exit_of(const json_t *status)
{
	return strcmp(ctl_string(status, "state", ""), "ready") ? CTL_NO : CTL_OK;
}

static int look(struct ctl *ctl, struct overlay *overlay, bool redraw)
{
	json_t *status;
	int rc = ctl_request(ctl, overlay, "status", NULL, &status);

	if (rc)
		return rc;
	rc = exit_of(status);
	if (ctl->json) {
		ctl_print_json(status);
		return rc;
	}
	if (redraw)
		fputs("\033[H\033[J", stdout);
	tell(ctl, status);
	json_decref(status);
	return rc;
}

/* One event per line, as {"event": topic, "data": ...}; a gap is {"event": "gap"}. */
static int print_event(const char *topic, const char *event)
{
	json_t *data = event ? json_loads(event, 0, NULL) : NULL;
	json_t *whole = json_pack("{s:s, s:o*}", "event", topic, "data", data);
	char *text = whole ? json_dumps(whole, JSON_COMPACT) : NULL;

	if (text)
		puts(text);
	free(text);
	json_decref(whole);
	return fflush(stdout) ? -EPIPE : 0;
}

/* 1: something changed; 0: nothing in that time; negative: over. */
static int hear(struct ctl *ctl, struct overlay *overlay, int timeout_ms)
{
	char *topic = NULL, *event = NULL;
	int rc = overlay_event(overlay, &topic, &event, timeout_ms);

	if (rc == -EAGAIN)
		return 0;
	if (rc < 0 && rc != -EOVERFLOW)
		return rc;
	if (ctl->json && print_event(rc ? "gap" : topic, event) < 0)
		rc = -EPIPE;
	else
		rc = 1;
	free(topic);
	free(event);
	return rc;
}

/* Until the daemon goes or the user interrupts. */
static int watch(struct ctl *ctl, struct overlay *overlay)
{
	bool redraw = table_terminal(stdout) > 0 && !ctl->json, due = !ctl->json;
	int rc = overlay_subscribe(overlay, NULL, 5000);

	while (rc >= 0) {
		if (due) {
			int shown = look(ctl, overlay, redraw);

			if (shown > CTL_NO)
				return shown;
			fflush(stdout);
		}
		rc = hear(ctl, overlay, redraw ? REFRESH_MS : -1);
		due = !ctl->json && (rc > 0 || redraw);
		for (int n = 0; due && rc > 0 && n < BURST_MAX; n++)
			rc = hear(ctl, overlay, SETTLE_MS);
	}
	if (rc == -EPIPE)
		return CTL_OK;
	ctl_error(ctl, "%s", overlay_error(overlay));
	return CTL_UNREACHABLE;
}

static int run_status(struct ctl *ctl, int argc, char **argv)
{
	struct overlay *overlay;
	bool watching = false;
	int option, rc;

	while ((option = ctl_option(ctl, argc, argv)) != -1)
		watching = option == 'w';
	if (argc > optind)
		return ctl_usage(ctl, "no arguments are taken");
	rc = ctl_connect(ctl, &overlay);
	if (rc)
		return rc;
	rc = watching ? watch(ctl, overlay) : look(ctl, overlay, false);
	overlay_close(overlay);
	return rc;
}

static const struct option options[] = {{"watch", no_argument, NULL, 'w'}, {0}};

const struct ctl_command ctl_cmd_status = {
        .name = "status",
        .args = "[--watch]",
        .summary = "this node, its parts and its peers",
        .help = "  --watch        stay, and show each change; with --json: one event per line\n\n"
                "Exit code 0: all is ready; 1: degraded or still starting, the reasons are "
                "shown.\n",
        .options = options,
        .run = run_status,
};

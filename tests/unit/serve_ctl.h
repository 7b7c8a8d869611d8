/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A daemon for overlayctl to ask, that answers as control.h says, with what a test puts there. */
#ifndef OVERLAYD_TESTS_SERVE_CTL_H
#define OVERLAYD_TESTS_SERVE_CTL_H

#include "run_ctl.h"

#include <errno.h>
#include <signal.h>
#include <sys/prctl.h>
#include <systemd/sd-event.h>

#include "control/control.h"

static pid_t server;

/* Answers come from files of run_dir, named by their method; "!" in front makes it a refusal. */
static int answer_file(const char *name, struct control_call *call, json_t **out)
{
	char path[PATH_MAX], text[65536];

	snprintf(path, sizeof(path), "%s/%s.answer", run_dir, name);
	run_slurp(path, text, sizeof(text));
	if (text[0] == '!') {
		control_call_why(call, "the new policy is refused");
		control_call_detail(call, json_loads(text + 1, 0, NULL));
		return -EINVAL;
	}
	*out = json_loads(text, 0, NULL);
	return *out ? 0 : -EIO;
}

#define ANSWER(name)                                                                               \
	static int op_##name(                                                                      \
	        void *user, struct control_call *call, const json_t *params, json_t **out)         \
	{                                                                                          \
		(void)user;                                                                        \
		(void)params;                                                                      \
		return answer_file(#name, call, out);                                              \
	}
ANSWER(firewall)
ANSWER(denied)
ANSWER(doctor)
ANSWER(pending)
ANSWER(join)

/* Looked at for the third time a newcomer has got further. */
static int op_status(void *user, struct control_call *call, const json_t *params, json_t **out)
{
	static int asked;

	(void)user, (void)params;
	return answer_file(
	        asked++ > 1 && run_has("status2.answer") ? "status2" : "status", call, out);
}

/* Whom it was about is left in reject.got. */
static int op_reject(void *user, struct control_call *call, const json_t *params, json_t **out)
{
	(void)user;
	run_spit("reject.got", json_string_value(json_object_get(params, "fingerprint")));
	return answer_file("reject", call, out);
}

/* A reload also publishes, as the real one does. */
static int op_reload(void *user, struct control_call *call, const json_t *params, json_t **out)
{
	int rc = answer_file("reload", call, out);

	(void)params;
	if (!rc)
		control_publish(*(struct control **)user, "policy", *out);
	return rc;
}

static int op_explain(void *user, struct control_call *call, const json_t *params, json_t **out)
{
	(void)user;
	(void)call;
	*out = json_pack("{s:b, s:s}", "allow",
	        !strcmp(json_string_value(json_object_get(params, "port")), "tcp/1"), "text",
	        "so says the daemon");
	return 0;
}

/* What came as a file is left in load.got. The answer may be another the next time. */
static int op_load(void *user, struct control_call *call, const json_t *params, json_t **out)
{
	char *data;
	size_t len;
	int rc = control_call_file(call, 1 << 20, &data, &len);

	(void)user, (void)params;
	if (rc)
		return rc;
	run_spit("load.got", data);
	free(data);
	return answer_file("load", call, out);
}

/* Asked again it says members2, so that something happens while one waits. */
static int op_members(void *user, struct control_call *call, const json_t *params, json_t **out)
{
	static int asked;

	(void)user, (void)params;
	return answer_file(
	        asked++ && run_has("members2.answer") ? "members2" : "members", call, out);
}

static int op_bundle(void *user, struct control_call *call, const json_t *params, json_t **out)
{
	(void)user, (void)params;
	if (run_has("bundle.answer"))
		return answer_file("bundle", call, out);
	control_call_why(call, "no signed bundle is in force yet");
	return -ENOENT;
}

/* A daemon that knows no such thing says so. */
static int op_tokens(void *user, struct control_call *call, const json_t *params, json_t **out)
{
	(void)user, (void)params;
	return run_has("tokens.answer") ? answer_file("tokens", call, out) : -ENOSYS;
}

static void serve(const char *group)
{
	static const struct control_ops ops = {.status = op_status,
	        .firewall = op_firewall,
	        .denied = op_denied,
	        .doctor = op_doctor,
	        .reload = op_reload,
	        .load = op_load,
	        .members = op_members,
	        .bundle = op_bundle,
	        .join = op_join,
	        .pending = op_pending,
	        .reject = op_reject,
	        .tokens = op_tokens,
	        .explain = op_explain};
	static struct control *control;
	struct control_options options = {.version = "9.9", .group = group};
	char path[PATH_MAX], err[256];
	int ready[2];
	char byte;
	sd_event *event;

	snprintf(path, sizeof(path), "%s/admin.sock", run_dir);
	options.path = path;
	assert_int_equal(pipe(ready), 0);
	fflush(NULL);
	server = fork();
	if (!server) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (sd_event_new(&event) < 0 || control_new(event, &options, &ops, &control,
		                                        &control, err, sizeof(err)) < 0)
			_exit(1);
		if (write(ready[1], "r", 1) != 1)
			_exit(2);
		_exit(sd_event_loop(event) < 0);
	}
	close(ready[1]);
	assert_int_equal(read(ready[0], &byte, 1), 1);
	close(ready[0]);
}

static int setup(void **state)
{
	server = 0;
	return run_setup(state);
}

static int teardown(void **state)
{
	if (server) {
		kill(server, SIGKILL);
		waitpid(server, NULL, 0);
	}
	return run_teardown(state);
}

#define STATUS_HEAD                                                                                \
	"{\"version\":\"9.9\",\"started\":1000,\"now\":100000,\"cluster\":\"hpc\",\"serial\":7,"   \
	"\"state\":\"%s\",\"why\":\"%s\","                                                         \
	"\"node\":{\"name\":\"head1\",\"fingerprint\":\"SHA256:abc\",\"address4\":\"10.77.0.1\","  \
	"\"address6\":\"fd00::1\"},"                                                               \
	"\"policy\":{\"in_force\":true,\"loaded\":99000,\"error\":null},"                          \
	"\"plane\":{\"kind\":\"libipsec\",\"device\":\"ipsec0\",\"mtu\":1400,"                     \
	"\"why\":\"the kernel has no ESP\"},"                                                      \
	"\"charon\":{\"connected\":true,\"version\":\"5.9.8\",\"why\":\"\"},"                      \
	"\"firewall\":{\"in_force\":true,\"mode\":\"guard\",\"why\":\"\"},\"peers\":"

static inline void status_put(const char *state, const char *why, const char *peers)
{
	char text[8192];

	snprintf(text, sizeof(text), STATUS_HEAD "%s}", state, why, peers);
	run_spit("status.answer", text);
}

#endif

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The local API as a well-behaved client sees it, through liboverlay. */
#include "control_bed.h"

#include <grp.h>

static void test_request(void **state)
{
	struct bed bed;
	struct overlay *o;
	char *text = NULL;
	json_t *value;

	(void)state;
	bed_start(&bed, (struct control_options){.version = "7.7"});
	o = bed_connect(&bed);
	assert_string_equal(overlay_server_version(o), "7.7");
	assert_int_equal(bed_number(o, "status", NULL, "clients"), 1);
	assert_int_equal(bed_number(o, "status", "{}", "uid"), (int)getuid());
	value = bed_ask(o, "version", NULL);
	assert_string_equal(json_string_value(json_object_get(value, "version")), "7.7");
	json_decref(value);

	assert_int_equal(overlay_request(o, "dance", NULL, &text, WAIT_MS), -ENOSYS);
	assert_string_equal(overlay_error(o), "there is no method \"dance\"");
	assert_int_equal(overlay_request(o, "doctor", NULL, &text, WAIT_MS), -ENOSYS);
	assert_int_equal(overlay_request(o, "status", "{", &text, WAIT_MS), -EINVAL);
	assert_null(text);
	/* None of these harmed the connection. */
	assert_int_equal(bed_number(o, "status", NULL, "clients"), 1);
	assert_string_equal(overlay_error(o), "");
	overlay_close(o);
	bed_stop(&bed);
}

/* A large result goes through whole, in as many pieces as the socket makes of it. */
static void test_large(void **state)
{
	struct bed bed;
	struct overlay *o;
	char *text = NULL;
	json_t *value;

	(void)state;
	bed_start(&bed, (struct control_options){0});
	o = bed_connect(&bed);
	value = bed_ask(o, "firewall", "{\"size\":9000000}");
	assert_int_equal(json_string_length(json_object_get(value, "text")), 9000000);
	json_decref(value);
	/* Beyond the wire's limit: an error, not a broken stream. */
	assert_int_equal(
	        overlay_request(o, "firewall", "{\"size\":17000000}", &text, WAIT_MS), -EMSGSIZE);
	assert_string_equal(overlay_error(o), "firewall: the answer is too large");
	assert_int_equal(bed_number(o, "status", NULL, "clients"), 1);
	overlay_close(o);
	bed_stop(&bed);
}

/* An answer that came too late is not taken for the next one's. */
static void test_later(void **state)
{
	struct bed bed;
	struct overlay *a, *b;
	char *text = NULL;

	(void)state;
	bed_start(&bed, (struct control_options){0});
	a = bed_connect(&bed);
	b = bed_connect(&bed);
	assert_int_equal(overlay_request(a, "reload", NULL, &text, 1), -ETIMEDOUT);
	bed_await(b, "kept", 1);
	assert_int_equal(bed_number(b, "explain", NULL, "ended"), 1);
	assert_int_equal(bed_number(a, "status", NULL, "reloads"), 1);
	overlay_close(a);
	overlay_close(b);
	bed_stop(&bed);
}

static void test_later_fails(void **state)
{
	struct bed bed;
	struct overlay *a, *b;
	char *text = NULL;
	pid_t child;
	int status;

	(void)state;
	bed_start(&bed, (struct control_options){0});
	b = bed_connect(&bed);
	fflush(NULL);
	child = fork();
	if (!child) {
		bool ok;

		a = bed_connect(&bed);
		ok = overlay_request(a, "reload", NULL, &text, WAIT_MS) == -EINVAL &&
		     !strcmp(overlay_error(a), "policy.yaml is not what it should be") &&
		     !strcmp(overlay_error_detail(a), "{\"report\":\"1:2: error\"}");
		_exit(ok ? 0 : 1);
	}
	bed_await(b, "kept", 1);
	assert_int_equal(bed_number(b, "explain", "{\"fail\":22}", "ended"), 1);
	waitpid(child, &status, 0);
	assert_int_equal(status, 0);
	overlay_close(b);
	bed_stop(&bed);
}

/* The client goes while its call is kept: the call lives on, told to be for nobody. */
static void test_later_gone(void **state)
{
	struct bed bed;
	struct overlay *a, *b;
	char *text = NULL;

	(void)state;
	bed_start(&bed, (struct control_options){0});
	a = bed_connect(&bed);
	b = bed_connect(&bed);
	assert_int_equal(overlay_request(a, "reload", NULL, &text, 1), -ETIMEDOUT);
	bed_await(b, "kept", 1);
	overlay_close(a);
	bed_await(b, "clients", 1);
	assert_int_equal(bed_number(b, "explain", NULL, "gone"), 1);
	assert_int_equal(bed_number(b, "status", NULL, "kept"), 0);
	/* One more is kept when the server stops. */
	assert_int_equal(overlay_request(b, "reload", NULL, &text, 1), -ETIMEDOUT);
	bed_await(b, "kept", 1);
	overlay_close(b);
	bed_stop(&bed);
}

static void test_events(void **state)
{
	struct bed bed;
	struct overlay *o, *p;
	char *topic, *event;
	struct pollfd pfd;

	(void)state;
	bed_start(&bed, (struct control_options){0});
	o = bed_connect(&bed);
	p = bed_connect(&bed);
	assert_int_equal(overlay_subscribe(o, "[\"peer\",\"nonsense\"]", WAIT_MS), -EINVAL);
	assert_string_equal(overlay_error(o), "topics: there is no topic \"nonsense\"");
	assert_int_equal(overlay_subscribe(o, "[\"peer\",\"policy\"]", WAIT_MS), 0);
	assert_int_equal(overlay_event(o, &topic, &event, 0), -EAGAIN);
	json_decref(bed_ask(p, "denied", "{\"topic\":\"warning\",\"count\":1}")); /* not for us */
	json_decref(bed_ask(p, "denied", "{\"topic\":\"peer\",\"count\":3,\"size\":2}"));
	/* Events that come while a request waits are kept. */
	assert_int_equal(bed_number(o, "status", NULL, "clients"), 2);
	json_decref(bed_ask(p, "denied", "{\"topic\":\"policy\",\"count\":1}"));
	for (int i = 0; i < 4; i++) {
		char want[64];

		if (i == 3) { /* as in a poll loop */
			pfd = (struct pollfd){.fd = overlay_fd(o), .events = POLLIN};
			assert_int_equal(poll(&pfd, 1, WAIT_MS), 1);
		}
		assert_int_equal(overlay_event(o, &topic, &event, 0), 0);
		assert_string_equal(topic, i < 3 ? "peer" : "policy");
		snprintf(want, sizeof(want), "{\"n\":%d,\"pad\":\"%s\"}", i < 3 ? i : 0,
		        i < 3 ? "pp" : "");
		assert_string_equal(event, want);
		free(topic);
		free(event);
	}
	assert_int_equal(overlay_event(o, &topic, &event, 0), -EAGAIN);
	overlay_close(o);
	bed_await(p, "clients", 1);
	{
		json_t *value = bed_ask(p, "denied", "{\"topic\":\"peer\",\"count\":1}");

		assert_true(json_is_false(json_object_get(value, "heard")));
		json_decref(value);
	}
	/* All topics. */
	assert_int_equal(overlay_subscribe(p, NULL, WAIT_MS), 0);
	json_decref(bed_ask(p, "denied", "{\"topic\":\"warning\",\"count\":1}"));
	assert_int_equal(overlay_event(p, &topic, &event, WAIT_MS), 0);
	assert_string_equal(topic, "warning");
	free(topic);
	free(event);
	overlay_close(p);
	bed_stop(&bed);
}

/* A subscriber that does not read loses events, is told so, and hears the later ones. */
static void test_gap(void **state)
{
	struct bed bed;
	struct overlay *o, *p;
	char *topic, *event;
	int n = 0, rc, last = -1;

	(void)state;
	bed_start(&bed, (struct control_options){.queue_max = 1 << 20});
	o = bed_connect(&bed);
	p = bed_connect(&bed);
	assert_int_equal(overlay_subscribe(o, NULL, WAIT_MS), 0);
	json_decref(bed_ask(p, "denied", "{\"topic\":\"peer\",\"count\":500,\"size\":4000}"));
	while (!(rc = overlay_event(o, &topic, &event, WAIT_MS))) {
		assert_int_equal(sscanf(event, "{\"n\":%d,", &last), 1);
		assert_int_equal(last, n++);
		free(topic);
		free(event);
	}
	assert_int_equal(rc, -EOVERFLOW);
	assert_in_range(n, 10, 499);
	assert_int_equal(overlay_event(o, &topic, &event, 0), -EAGAIN);
	json_decref(bed_ask(p, "denied", "{\"topic\":\"peer\",\"count\":1,\"size\":1}"));
	assert_int_equal(overlay_event(o, &topic, &event, WAIT_MS), 0);
	assert_string_equal(event, "{\"n\":0,\"pad\":\"p\"}");
	free(topic);
	free(event);
	overlay_close(o);
	overlay_close(p);
	bed_stop(&bed);
}

static void test_server_gone(void **state)
{
	struct bed bed;
	struct overlay *o, *late;
	char *topic, *event, *text = NULL;
	int status;

	(void)state;
	bed_start(&bed, (struct control_options){0});
	o = bed_connect(&bed);
	kill(bed.server, SIGKILL);
	waitpid(bed.server, &status, 0);
	bed.server = 0;
	assert_int_equal(overlay_event(o, &topic, &event, WAIT_MS), -ECONNRESET);
	assert_int_equal(overlay_request(o, "status", NULL, &text, WAIT_MS), -ECONNRESET);
	overlay_close(o);
	/* It left its socket behind: nobody answers there. */
	assert_int_equal(overlay_connect(&late, bed.path, WAIT_MS), -ECONNREFUSED);
	assert_non_null(strstr(overlay_error(late), "systemctl start overlayd"));
	overlay_close(late);
	unlink(bed.path);
	assert_int_equal(overlay_connect(&late, bed.path, WAIT_MS), -ENOENT);
	overlay_close(late);
	bed_stop(&bed);
}

/* As a user with primary group gid; 0 = as told, else the number of the step that was not. */
static int as_user(const struct bed *bed, uid_t uid, gid_t gid, int (*step)(const struct bed *))
{
	pid_t child;
	int status;

	fflush(NULL);
	child = fork();
	if (!child) {
		if (setgroups(0, NULL) < 0 || setgid(gid) < 0 || setuid(uid) < 0)
			_exit(99);
		_exit(step(bed));
	}
	waitpid(child, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 100;
}

static int step_outsider(const struct bed *bed)
{
	struct overlay *o;

	return overlay_connect(&o, bed->path, WAIT_MS) == -EACCES &&
	                       strstr(overlay_error(o), "permission denied")
	               ? 0
	               : 1;
}

static int step_reader(const struct bed *bed)
{
	struct overlay *o;
	char *text;

	if (overlay_connect(&o, bed->path, WAIT_MS) < 0)
		return 1;
	if (overlay_request(o, "status", NULL, &text, WAIT_MS) < 0)
		return 2;
	if (!strstr(text, "\"uid\":65534"))
		return 3;
	if (overlay_request(o, "firewall", NULL, &text, WAIT_MS) != -EACCES)
		return 4;
	if (overlay_request(o, "reload", NULL, &text, WAIT_MS) != -EACCES)
		return 5;
	return strstr(overlay_error(o), "user 65534 has no right") ? 0 : 6;
}

static void test_rights(void **state)
{
	struct control_options options = {.rights = CONTROL_MAY_LOOK};
	struct group *group = getgrgid(65534);
	struct bed bed;
	struct overlay *o;
	struct stat st;

	(void)state;
	if (getuid() || !group) {
		print_message("needs root and the group 65534\n");
		skip();
	}
	options.group = group->gr_name;
	bed_start(&bed, options);
	assert_int_equal(stat(bed.path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0660);
	assert_int_equal(st.st_uid, 0);
	assert_int_equal(st.st_gid, 65534);
	assert_int_equal(as_user(&bed, 65534, 65533, step_outsider), 0);
	assert_int_equal(as_user(&bed, 65534, 65534, step_reader), 0);
	o = bed_connect(&bed); /* root may all, whatever the socket gives */
	assert_int_equal(bed_number(o, "status", NULL, "reloads"), 0);
	assert_int_equal(bed_number(o, "explain", NULL, "ended"), 0);
	overlay_close(o);
	bed_stop(&bed);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(test_request),
	        cmocka_unit_test(test_large),
	        cmocka_unit_test(test_later),
	        cmocka_unit_test(test_later_fails),
	        cmocka_unit_test(test_later_gone),
	        cmocka_unit_test(test_events),
	        cmocka_unit_test(test_gap),
	        cmocka_unit_test(test_server_gone),
	        cmocka_unit_test(test_rights),
	};

	return cmocka_run_group_tests_name("control_server", tests, NULL, NULL);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/ctl.h"

#define CONNECT_MS 5000
#define ANSWER_MS 60000 /* a reload answers when its plan is done */

int ctl_connect(struct ctl *ctl, struct overlay **out)
{
	struct overlay *overlay;
	int rc = overlay_connect(&overlay, ctl->socket, CONNECT_MS);

	if (rc < 0) {
		ctl_error(ctl, "%s", overlay_error(overlay));
		overlay_close(overlay);
		return ctl_exit_of(rc);
	}
	*out = overlay;
	return CTL_OK;
}

/* The daemon's refusal, with the report that came with it. */
static int tell_refusal(struct overlay *overlay, const char *method, int rc)
{
	const char *text = overlay_error_detail(overlay);
	json_t *detail = text ? json_loads(text, JSON_DECODE_ANY, NULL) : NULL;

	ctl_print_text(stderr, ctl_string(detail, "report", ""));
	fprintf(stderr, "overlayctl %s: ", method);
	ctl_print_text(stderr, overlay_error(overlay));
	fputc('\n', stderr);
	json_decref(detail);
	/* What the daemon says no to is not the same as no daemon. */
	if (rc == -ENOENT || rc == -EBADMSG)
		return CTL_FAILED;
	return ctl_exit_of(rc);
}

/* *text is let go of. */
static int answer_take(struct ctl *ctl, const char *method, char *text, json_t **out)
{
	json_t *value = json_loads(text, JSON_REJECT_DUPLICATES, NULL);

	free(text);
	if (!json_is_object(value)) {
		json_decref(value);
		ctl_error(ctl, "overlayd's answer to %s is not what this program knows", method);
		return CTL_UNREACHABLE;
	}
	*out = value;
	return CTL_OK;
}

int ctl_request(
        struct ctl *ctl, struct overlay *overlay, const char *method, json_t *params, json_t **out)
{
	char *text = NULL, *asked = params ? json_dumps(params, JSON_COMPACT) : NULL;
	int rc;

	json_decref(params);
	rc = overlay_request(overlay, method, asked, &text, ANSWER_MS);
	free(asked);
	return rc < 0 ? tell_refusal(overlay, method, rc) : answer_take(ctl, method, text, out);
}

int ctl_ask_file(struct ctl *ctl, const char *method, const char *data, size_t len, json_t **out)
{
	struct overlay *overlay;
	char *text = NULL;
	int rc = ctl_connect(ctl, &overlay);

	if (rc)
		return rc;
	rc = overlay_request_file(overlay, method, NULL, data, len, &text, ANSWER_MS);
	rc = rc < 0 ? tell_refusal(overlay, method, rc) : answer_take(ctl, method, text, out);
	overlay_close(overlay);
	return rc;
}

json_t *ctl_ask_quietly(struct ctl *ctl, const char *method)
{
	struct overlay *overlay;
	json_t *answer = NULL;
	char *text = NULL;

	if (!overlay_connect(&overlay, ctl->socket, CONNECT_MS) &&
	        !overlay_request(overlay, method, NULL, &text, CONNECT_MS))
		answer = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
	overlay_close(overlay);
	free(text);
	return answer;
}

bool ctl_daemon_runs(struct ctl *ctl)
{
	struct overlay *overlay;
	int rc = overlay_connect(&overlay, ctl->socket, CONNECT_MS);

	overlay_close(overlay);
	return rc != -ENOENT && rc != -ECONNREFUSED;
}

int ctl_ask(struct ctl *ctl, const char *method, json_t *params, json_t **out)
{
	struct overlay *overlay;
	int rc = ctl_connect(ctl, &overlay);

	if (rc) {
		json_decref(params);
		return rc;
	}
	rc = ctl_request(ctl, overlay, method, params, out);
	overlay_close(overlay);
	return rc;
}

int ctl_show(struct ctl *ctl, const char *method,
        void (*tell)(const struct ctl *ctl, const json_t *answer))
{
	json_t *answer;
	int rc = ctl_ask(ctl, method, NULL, &answer);

	if (rc)
		return rc;
	if (ctl->json)
		return ctl_print_json(answer);
	(*tell)(ctl, answer);
	json_decref(answer);
	return CTL_OK;
}

const char *ctl_string(const json_t *object, const char *key, const char *missing)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text ? text : missing;
}

int64_t ctl_integer(const json_t *object, const char *key, int64_t missing)
{
	const json_t *value = json_object_get(object, key);

	return json_is_integer(value) ? json_integer_value(value) : missing;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * liboverlay: speak with the overlayd of this machine.
 *
 *     struct overlay *o;
 *     char *text;
 *     int rc = overlay_connect(&o, NULL, 2000);
 *     if (rc < 0)
 *             return rc;
 *     rc = overlay_request(o, "status", NULL, &text, 5000);
 *     if (rc < 0)
 *             fprintf(stderr, "%s\n", overlay_error(o));
 *     else
 *             puts(text);                     // JSON
 *     free(text);
 *     overlay_close(o);
 *
 * A handle is one connection. It has no threads, no globals and writes nothing to stdout or
 * stderr; use one handle from one thread at a time. Times are milliseconds: 0 means "do not
 * wait", negative means "for ever". Functions return 0 or a negative errno; overlay_error()
 * then has one sentence for a human.
 *
 * In a poll loop: wait for POLLIN on overlay_fd(), then call overlay_event() with timeout 0
 * until it says -EAGAIN. The fd stays the same for the life of the handle.
 *
 * Texts in and out are UTF-8 JSON. What each method takes and gives is told in
 * overlayd/control/control.h and overlayctl(8).
 */
#ifndef OVERLAY_H
#define OVERLAY_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

struct overlay;

/*
 * Connect and agree on a protocol version. path NULL: the default admin socket.
 * -ENOENT or -ECONNREFUSED: overlayd does not run; -EACCES: not your socket; -ETIMEDOUT;
 * -EPROTONOSUPPORT: no common protocol version; -EBADMSG: not overlayd; -EUSERS: too many clients.
 * *out is set also on failure (but for -ENOMEM: NULL), so that overlay_error() can tell why:
 * overlay_close() it in any case.
 */
int overlay_connect(struct overlay **out, const char *path, int timeout_ms);
void overlay_close(struct overlay *overlay);

/*
 * Ask and wait for the answer. params: a JSON object as text, or NULL. *result: the answer as
 * JSON text, NUL-terminated; free() it. Events that come meanwhile are kept for
 * overlay_event().
 * A negative errno of the daemon's (-EACCES: no right, -ENOSYS: unknown method, -EINVAL: params)
 * leaves the connection usable; -ETIMEDOUT too (the late answer is dropped). After -ECONNRESET,
 * -EPIPE or -EBADMSG only overlay_close() is left.
 */
int overlay_request(struct overlay *overlay, const char *method, const char *params, char **result,
        int timeout_ms);

/*
 * The same for a method that takes a file (load): data goes beside the request and may be larger.
 */
int overlay_request_file(struct overlay *overlay, const char *method, const char *params,
        const void *data, size_t len, char **result, int timeout_ms);

/* Ask for events: topics is a JSON array of names as text, or NULL for all. Errors as above. */
int overlay_subscribe(struct overlay *overlay, const char *topics, int timeout_ms);

/*
 * The next event. *topic and *event (JSON text) are the caller's: free() them.
 * -EAGAIN: none came in time. -EOVERFLOW: the daemon dropped events because this client was
 * too slow; look at the whole state again. -ECONNRESET: overlayd went away.
 */
int overlay_event(struct overlay *overlay, char **topic, char **event, int timeout_ms);

int overlay_fd(const struct overlay *overlay);

/* Why the last call failed; "" when it did not. Valid until the next call on the handle. */
const char *overlay_error(const struct overlay *overlay);
/* More about it as JSON text (a check's report, ...), or NULL. Same lifetime. */
const char *overlay_error_detail(const struct overlay *overlay);
/* The daemon's program version, as it said; "" before connect. */
const char *overlay_server_version(const struct overlay *overlay);

#ifdef __cplusplus
}
#endif

#endif

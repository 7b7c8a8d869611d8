/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * control: the local API, server side.
 *
 * A UNIX stream socket (admin.sock, 0660 root:overlayd) that speaks client/wire.h. A client
 * says hello, then sends requests
 *
 *     {"id": 3, "method": "status", "params": {...}}                          (header)
 *
 * and gets, for each, once, in any order
 *
 *     {"id": 3, "ok": true}                       payload: the result, JSON text
 *     {"id": 3, "error": {"errno": 22, "text": "one sentence"}}  payload: detail, JSON text or none
 *
 * and, after "subscribe", events {"event": "peer"} with their JSON text as payload, or
 * {"event": "gap"} when some had to be dropped because the client reads too slowly.
 *
 * The room knows neither engine nor host: it asks through `struct control_ops`, which the host
 * fills. All runs in the given sd_event loop; nothing blocks. Everything a client may cause is
 * bounded: number of clients, bytes in and out, calls in flight, time to say hello, time to
 * read its answer.
 *
 * Who a client is, the kernel tells (SO_PEERCRED). What a method needs is in one table
 * (methods.c). On the admin socket everyone that could open it is an admin: root, the daemon's
 * own user and the socket's group. (A second socket for ordinary users will come with fewer
 * rights: rights are per client, not per server.)
 */
#ifndef OVERLAYD_CONTROL_CONTROL_H
#define OVERLAYD_CONTROL_CONTROL_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <systemd/sd-event.h>

#define CONTROL_TEXT_MAX 1024U /* bytes of an error sentence, NUL included */

/* Rights of a client, as bits; a method needs all that its row names. */
enum control_right {
	CONTROL_MAY_LOOK = 1 << 0,   /* status, members, denied, version, events */
	CONTROL_MAY_ASK = 1 << 1,    /* firewall text, explain, doctor, bundle, pending, tokens:
	                                shows the policy, and who wants in */
	CONTROL_MAY_CHANGE = 1 << 2, /* reload, load, join, reject */
	CONTROL_MAY_ALL = CONTROL_MAY_LOOK | CONTROL_MAY_ASK | CONTROL_MAY_CHANGE,
};

struct control;      /* the server */
struct control_call; /* one request that is not answered yet */

/* Who asks; valid as long as the call is. */
struct control_caller {
	uid_t uid;
	gid_t gid;
	pid_t pid;
	unsigned rights;
};

/*
 * One method of the host. params is an object (perhaps empty), borrowed. Return
 *   0              *out is the result, a new reference that control takes over
 *   -errno         refused or failed; say why with control_call_why() (and _detail())
 *   CONTROL_LATER  keep `call` and end it later, exactly once, with control_call_reply() or
 *                  control_call_fail(). It stays valid until then, even if the client leaves.
 */
#define CONTROL_LATER 1
typedef int control_op(void *user, struct control_call *call, const json_t *params, json_t **out);

/*
 * What the host offers. An op left NULL answers -ENOSYS ("not supported by this daemon").
 * Times of day are integers, seconds since the epoch; durations end in _s or _ms; unknown is null.
 *
 * status -> {
 *   "version": "0.1.0", "started": 1700000000, "now": 1700000100,
 *   "cluster": "hpc", "serial": 7, "digest": "hex SHA-256 of the policy",
 *   "state": "ready" | "degraded" | "starting", "why": "" or one sentence,
 *   "node":   {"name": "head1" or null when the policy does not know our key,
 *              "fingerprint": "SHA256:...", "address4": "10.77.0.1", "address6": "fd...",
 *              "guest": null or the name of the token that let it in},
 *   "policy": {"in_force": true, "loaded": 1700000000, "error": null or the report as text,
 *              "last_good": false, "files": "in force" | "differ" (from the signed bundle) |
 *              "broken" | "none" (a node with a bundle needs none)},
 *   "bundle": null (no cluster key: the files are in force) or
 *             {"key": "minisign's id of the cluster key", "serial": 7 (0: none yet, the files
 *              are), "digest": "hex" or null, "issued": 1700000000 or null, "stored": true,
 *              "why": "" or why it is not kept on disk, "fork": false, "n_members": 12 (active,
 *              this node too), "n_applied": 11, "sessions": 2},
 *   "join":   {"state": "none" | "asking" | "pending" | "refused" | "joining" | "joined",
 *              "cluster", "name", "seed": of the ticket, and asked last; or "", "why": one sentence
 *              or "", "since": 1700000000, "complete": true (a member that may serve as a seed),
 *              "serving": false (newcomers may ask here), "serving_why": "", "pending": 0},
 *   "plane":  {"kind": "xfrm" | "libipsec" | "none", "device": "ipsec0", "mtu": 1400, "why": "",
 *              "path_mtu": 1500, "path_to": "192.0.2.10" (the narrowest underlay path in use)},
 *   "charon": {"connected": true, "version": "5.9.8", "why": ""},
 *   "firewall": {"in_force": true, "mode": "guard" | "lockdown", "why": ""},
 *   "peers": [ {"name": "node17", "fingerprint": "SHA256:...", "address4": ..., "address6": ...,
 *       "site": "aws", "roles": ["exec"], "guest": null or its token,
 *       "state": "up" | "ondemand" (its first packet brings it up) | "connecting" | "down" |
 *                "degraded" | "inactive" (outside until/hours),
 *       "since": 1700000000 or null, "link": "192.0.2.10:4500" or null (the peer's end in use),
 *       "bytes_in": 0, "bytes_out": 0, "rekey_s": 3200 or null, "why": "" or one sentence } ] }
 *   sorted by name; this node is not among its peers. An unknown value may be null anywhere.
 *
 * firewall -> {"text": "table inet overlayd {...}"}
 *
 * denied -> {"total": 12, "since": 1700000000,
 *   "denied": [ {"time": 1700000000 (last seen), "count": 3, "peer": "node17" or null,
 *       "from": "10.77.0.17", "to": "10.77.0.1", "port": "tcp/22", "why": "one sentence"} ] }
 *   newest first; bounded by the host.
 *
 * reload -> {"serial": 7, "changed": true, "rows": [ {"change": "admitted" | "evicted" | "rekeyed"
 *       | "readdressed" | "opened" | "closed" | "setting", "subject": "node18", "text": "..."} ],
 *   "warnings": "" or the report's text}
 *   Answered when the plan that follows is done (or CONTROL_LATER until then). A bad policy:
 *   -EINVAL with detail {"report": "policy.yaml:3:4: error: ...\n..."}; the old one stays.
 *
 * load, with a file -> as reload, and {"verdict": "applied" | "same", "digest": "hex"}
 *   The file is a signed bundle (policy/bundle.h) of up to BUNDLE_FILE_MAX bytes, too large for a
 *   request. So it is passed as a descriptor (SCM_RIGHTS) with the request's first byte: memory
 *   of memfd_create(2), sealed against writing and shrinking, so that reading it cannot hang and
 *   it cannot change meanwhile. One descriptor at a time; liboverlay: overlay_request_file().
 *   Answered when the plan that follows is done. Refused: -ENOKEY (this node has no cluster key,
 *   or another one), -EKEYREJECTED (changed since it was signed), -EPROTONOSUPPORT (a format of
 *   another release), -ESTALE (roll-back, fork, another parent or cluster), -EINVAL (no bundle, or
 *   no file); what is in force stays.
 *
 * bundle -> {"serial": 7, "digest": "hex", "issued": 1700000000, "file": "the file's text"}
 *   The signed bundle in force. -ENOENT: none is.
 *
 * members {"refresh": true} -> {"serial": 7 (0: no bundle is in force), "digest": "hex" or null,
 *   "n_members": 12, "n_applied": 11, "now": 1700000100,
 *   "members": [ {"name": "node17", "self": false, "seed": false, "guest": null or its token,
 *       "fingerprint": "SHA256:...", "address4": ..., "address6": ..., "site": "aws",
 *       "links": ["192.0.2.17:4500"] (where it says it is on the underlay) or null (it has not said),
 *       "serial": 7 or null (it has not said), "applied": true (exactly the one in force here),
 *       "said": 1700000000 or null (when that was heard here), "release": "0.1.0" or "",
 *       "state": as of a peer in status, or "self", or "indirect" (no tunnel joins it with this
 *                node), "session": true, "why": "" or why there is no session} ] }
 *   By each member's own signed word. Sorted by name, this node too. With refresh the seeds are
 *   asked for what they know, and the answer comes 300 ms later.
 *
 * join {"ticket": "ovl1-...", "name": "node17", "site": "aws"}, or {"cancel": true} -> status' join
 *   The ticket is kept, and the seeds in it are asked until this node is a member, also after a
 *   restart. name, site: wanted; without a name the host's. What becomes of it: status. Refused:
 *   -EINVAL (no ticket, no name), -EALREADY (this node is a member), -EISCONN (of another cluster),
 *   -ENOENT (there is nothing to cancel).
 *
 * pending -> {"now": 1700000100, "seed": true (newcomers ask here), "seeds": ["head1"] (all),
 *   "why": "" or why none can ask here, "pending": [ {"kind": "join", "name": "node17",
 *       "fingerprint": "SHA256:...", "key": "ssh-ed25519 ...", "source": "198.51.100.17",
 *       "site": "aws" or "", "links": ["192.0.2.5"], "release": "0.1.0", "since": 1700000000,
 *       "asked": 1700000090 (last), "marks": ["one sentence"]} ] }
 *   or {"kind": "rotate", "name", "fingerprint", "key": the next one, "voucher": "a line" (see
 *       policy/voucher.h), "since", "marks"} of a member that asks to change its key
 *   Sorted by name within a kind. What a newcomer says of itself (name, site, links, release) is its own word.
 *
 * reject {"fingerprint": "SHA256:..."} -> {"name": "node17"}
 *   That key is refused for a day, here. -ENOENT: it is not pending.
 *
 * tokens -> {"now": 1700000100, "tokens": [ {"name": "t1", "fingerprint": "SHA256:...",
 *       "roles": ["exec"], "site": "aws", "range": "10.77.8.0/24", "count": 50,
 *       "used": 3 (of it, as known here; guests that were revoked too), "until": 1700007200,
 *       "over": false (by the trusted clock),
 *       "guests": [ {"name": "n1", "fingerprint": "SHA256:...", "key": "ssh-ed25519 ...",
 *           "address": "10.77.8.3", "seed": "head1" or null (who let it in)} ] } ] }
 *   Those of the policy in force, sorted by name, and so are the guests, this node too.
 *
 * explain {"from": "node17", "to": "head1", "port": "tcp/17001"} ->
 *   {"allow": true, "text": "...", "file": "policy.yaml" or null, "line": 12 or null}
 *   by the policy in force; from and to: names or overlay addresses. Unknown peer: -ENOENT; bad
 *   port: -EINVAL.
 *
 * doctor -> {"checks": [ {"name": "data plane", "level": "ok" | "warn" | "bad",
 *       "text": "kernel-libipsec: the kernel has no ESP", "mend": "" or "how to mend it"} ] }
 *   What only the daemon sees: plane, charon's version, plugins, algorithms and settings,
 *   foreign connections that pin no key, UDP 4500, firewall table, policy in force.
 *   overlayctl adds its own checks.
 *
 * version and subscribe are control's own.
 */
struct control_ops {
	control_op *status;
	control_op *firewall;
	control_op *denied;
	control_op *reload;
	control_op *load;
	control_op *bundle;
	control_op *members;
	control_op *join;
	control_op *pending;
	control_op *reject;
	control_op *tokens;
	control_op *explain;
	control_op *doctor;
	/* A line for the journal; priority as in syslog(3). May be NULL. */
	void (*log)(void *user, int priority, const char *text);
};

/* Limits; 0 means the default in brackets. */
struct control_options {
	const char *path;    /* required; at most 107 bytes; its directory must exist */
	const char *group;   /* owns the socket if it exists; NULL: only the owner's */
	const char *version; /* of the program, told in hello; NULL: OVERLAYD_VERSION */
	unsigned rights; /* [all] of whoever may open this socket, but for root and our own user,
	                    who may do all */
	unsigned clients_max;     /* [64] one more gets -EUSERS and is closed */
	unsigned calls_max;       /* [16] unanswered requests of one client; then it is not read */
	unsigned hello_ms;        /* [5000] from accept to a whole hello */
	unsigned message_ms;      /* [10000] from a message's first byte to its last */
	unsigned idle_ms;         /* [600000] without a request, unless subscribed; then closed */
	unsigned write_ms;        /* [15000] without taking a byte of what waits; then closed */
	size_t queue_max;         /* [24 MiB] bytes waiting for one client; answers beyond it close,
	                             events beyond a 16th of it are dropped with a gap */
	unsigned accept_pause_ms; /* [1000] after EMFILE, ENFILE, ENOBUFS, ENOMEM */
};

/*
 * Open the socket and serve. The directory of `path` must be writable by its owner only (-EPERM).
 * A stale socket is removed, but only if nobody answers on it (-EADDRINUSE).
 * On failure err has one sentence. `ops` is copied, and so are options' strings.
 */
int control_new(sd_event *event, const struct control_options *options,
        const struct control_ops *ops, void *user, struct control **out, char *err,
        size_t err_size);
/* Close all and remove the socket. Calls kept by CONTROL_LATER stay valid; ending them is a no-op
 * towards the client. */
void control_free(struct control *control);

/* The client that asks. */
const struct control_caller *control_call_caller(const struct control_call *call);
/* Has the client gone? Then long work for it may stop; the call must still be ended. */
bool control_call_gone(const struct control_call *call);
/*
 * The file that came with the request: *data is the caller's, NUL behind it. -ENODATA: none came;
 * -EINVAL: it is not sealed memory; -EFBIG: more than max bytes; -ENOMEM, -EIO.
 */
int control_call_file(struct control_call *call, size_t max, char **data, size_t *len);
/* One sentence for the error that is about to be returned. */
__attribute__((format(printf, 2, 3))) void control_call_why(
        struct control_call *call, const char *format, ...);
/* More about it; takes over the reference. */
void control_call_detail(struct control_call *call, json_t *detail);
/* End a call that was kept; both free it. reply takes over the reference. */
void control_call_reply(struct control_call *call, json_t *result);
void control_call_fail(struct control_call *call, int error);

/*
 * Tell subscribers. event is borrowed and must be an object. Topics:
 *   "peer"     one peer of status, once for each change of its state
 *   "status"   {"state", "why"}: the node as a whole, the plane, charon or the firewall changed
 *   "policy"   the result of a reload, whoever asked for it (or {"error": "report"})
 *   "denied"   one row of denied, at a bounded rate
 *   "warning"  {"peer", "text"}: for example "node17 leaves in 10 minutes (hours)"
 */
void control_publish(struct control *control, const char *topic, const json_t *event);
/* Would anyone hear it? Lets the host skip the making of an event. */
bool control_has_subscribers(const struct control *control, const char *topic);
/* How many clients are connected now (for tests and status). */
unsigned control_clients(const struct control *control);

#endif

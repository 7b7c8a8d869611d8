/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vici: whatever comes from charon's socket, no crash; the same packets however the bytes were cut;
 * each request called back exactly once.
 */
#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "vici-client/private.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
	if (!holds)
		abort();
}

/* ---- pure parts ---- */

static size_t touched;

static void sa_row(void *user, const struct vici_ike_sa *sa)
{
	size_t i;

	(void)user;
	touched +=
	        strlen(sa->name) + strlen(sa->state) + strlen(sa->remote_id) + strlen(sa->dh_group);
	for (i = 0; sa->local_vips[i]; i++)
		touched += strlen(sa->local_vips[i]);
	for (i = 0; i < sa->n_children; i++)
		touched += strlen(sa->children[i].key) + strlen(sa->children[i].mode) +
		           !sa->children[i].local_ts[0];
}

static void conn_row(void *user, const struct vici_conn_row *c)
{
	size_t i;

	(void)user;
	touched += strlen(c->name) + strlen(c->remote_id) + strlen(c->local_class) +
	           !c->remote_addrs[0];
	for (i = 0; i < c->n_children; i++)
		touched += strlen(c->children[i].name) + !c->children[i].remote_ts[0];
}

static void event(void *user, const struct vici_event *e)
{
	(void)user;
	if (e->sa)
		sa_row(NULL, e->sa);
	if (e->old_sa)
		sa_row(NULL, e->old_sa);
	if (e->child)
		touched += strlen(e->child->key) + strlen(e->child->state);
	if (e->type == VICI_EV_LOG)
		touched += strlen(e->log_group) + strlen(e->log_text) + strlen(e->log_sa);
}

static void decode(const struct vici_packet *p)
{
	static const char *const events[] = {
	        "ike-updown", "ike-rekey", "ike-update", "child-updown", "child-rekey", "log"};
	struct vici_blob out;
	uint64_t n;
	size_t i;

	require(vici_message_check(p->message) == 0);
	vici_decode_sas(p->message, sa_row, NULL);
	vici_decode_conns(p->message, conn_row, NULL);
	for (i = 0; i < sizeof(events) / sizeof(events[0]); i++)
		vici_decode_event(events[i], p->message, event, NULL);
	vici_find_value(p->message, "a.b.c", &out);
	vici_find_section(p->message, "child-sas.net", &out);
	vici_find_u64(p->message, "ikesas.total", &n);
}

/* Packets taken, and how it ended. */
struct outcome {
	size_t packets, bytes;
	int error;
};

static struct outcome feed(const uint8_t *data, size_t size, size_t chunk, bool look)
{
	struct outcome o = {0};
	struct vici_stream s = {0};
	struct vici_packet p;
	size_t room, n;
	uint8_t *at;

	while (size && !o.error) {
		at = vici_stream_room(&s, &room);
		require(at && room && s.cap <= VICI_SEGMENT_MAX + 4);
		n = size < chunk ? size : chunk;
		n = n < room ? n : room;
		memcpy(at, data, n);
		vici_stream_filled(&s, n);
		data += n;
		size -= n;
		while ((o.error = vici_stream_next(&s, &p)) > 0) {
			o.packets++;
			o.bytes += p.message.len;
			if (look)
				decode(&p);
		}
	}
	vici_stream_fini(&s);
	return o;
}

/* ---- a whole connection ---- */

static unsigned int asked, answered;

static void done(void *user, const struct vici_result *r)
{
	(void)user;
	touched += strlen(r->errmsg);
	answered++;
}

static void version_done(void *user, const struct vici_result *r, const struct vici_version *v)
{
	done(user, r);
	require(!v == !!r->error);
}

static void stats_done(void *user, const struct vici_result *r, const struct vici_stats *s)
{
	done(user, r);
	require(!s == !!r->error);
}

static void names_done(void *user, const struct vici_result *r, const char *const *names, size_t n)
{
	done(user, r);
	require(!names == !!r->error);
	while (n--)
		touched += strlen(names[n]);
}

static void algorithm(void *user, const char *type, const char *name, const char *plugin)
{
	(void)user;
	touched += strlen(type) + strlen(name) + strlen(plugin);
}

static void counter(void *user, const char *connection, const char *name, uint64_t value)
{
	(void)user;
	touched += strlen(connection) + strlen(name) + value;
}

static void count_done(
        void *user, const struct vici_result *r, uint64_t matches, uint64_t terminated)
{
	done(user, r);
	touched += matches + terminated;
}

static void ask(struct vici *v, unsigned int first)
{
	const struct vici_select one = {.ike = "n"};
	unsigned int i;

	for (i = 0; i < 9; i++) {
		int r = 0;

		switch ((first + i) % 9) {
		case 0:
			r = vici_list_sas(v, NULL, sa_row, done, NULL, 0, 0);
			break;
		case 1:
			r = vici_get_version(v, version_done, NULL, 0, 0);
			break;
		case 2:
			r = vici_get_stats(v, stats_done, NULL, 0, 0);
			break;
		case 3:
			r = vici_get_conns(v, names_done, NULL, 0, 0);
			break;
		case 4:
			r = vici_list_conns(v, NULL, conn_row, done, NULL, 0, 0);
			break;
		case 5:
			r = vici_get_algorithms(v, algorithm, done, NULL, 0, 0);
			break;
		case 6:
			r = vici_get_counters(v, NULL, counter, done, NULL, 0, 0);
			break;
		case 7:
			r = vici_subscribe(v, "ike-updown", 0, done, NULL, 0);
			break;
		case 8:
			r = vici_terminate(
			        v, &one, true, (struct vici_num){0}, count_done, NULL, 0, 0);
			break;
		}
		asked += !r;
	}
}

static void connection(const uint8_t *data, size_t size, unsigned int first)
{
	struct vici_config cfg = {.on_event = event};
	struct vici *v;
	int fds[2];

	asked = answered = 0;
	require(!socketpair(AF_UNIX, SOCK_STREAM, 0, fds));
	require(!vici_open_fd(&v, &cfg, fds[0]));
	ask(v, first);
	while (size && !vici_error(v)) {
		size_t n = size < 16384 ? size : 16384;

		if (send(fds[1], data, n, MSG_NOSIGNAL | MSG_DONTWAIT) != (ssize_t)n)
			break;
		data += n;
		size -= n;
		vici_process(v, POLLIN, 1);
	}
	vici_free(v);
	require(asked == answered && asked == 9);
	close(fds[1]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const size_t chunks[] = {1, 2, 3, 7};
	struct outcome whole, cut;

	if (!size)
		return 0;
	whole = feed(data + 1, size - 1, SIZE_MAX, true);
	cut = feed(data + 1, size - 1, chunks[data[0] % 4], false);
	require(whole.packets == cut.packets && whole.bytes == cut.bytes &&
	        whole.error == cut.error);
	connection(data + 1, size - 1, data[0]);
	return 0;
}

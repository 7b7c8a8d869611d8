/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/session_private.h"
#include "host/wireparts.h"

#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAME "overlayd-session"

static const char *const types[] = {
        [SESSION_STATE] = "state",
        [SESSION_BUNDLE] = "bundle",
        [SESSION_WANT] = "want",
        [SESSION_WHO] = "who",
        [SESSION_STATEMENTS] = "statements",
        [SESSION_VOUCHER] = "voucher",
        [SESSION_ADMISSIONS] = "admissions",
        [SESSION_HERE] = "here",
        [SESSION_WHERE] = "where",
        [SESSION_MAP] = "map",
};
#define N_TYPES (sizeof(types) / sizeof(types[0]))

/* ---- parts ---------------------------------------------------------------------------------- */

static json_t *head_make(const struct session_head *head)
{
	char digest[65];

	bundle_digest_print(head->digest, digest);
	return json_pack("{s:I, s:s}", "serial", (json_int_t)head->serial, "digest", digest);
}

static bool head_read(const json_t *value, struct session_head *out)
{
	static const uint8_t none[32];
	const json_t *serial = json_object_get(value, "serial");

	if (!json_is_integer(serial) || json_integer_value(serial) < 0 ||
	        !wirepart_hex_read(
	                json_object_get(value, "digest"), out->digest, sizeof(out->digest)))
		return false;
	out->serial = (uint64_t)json_integer_value(serial);
	return out->serial || !memcmp(out->digest, none, sizeof(none));
}

static json_t *since_make(uint64_t since)
{
	char text[17];

	snprintf(text, sizeof(text), "%016" PRIx64, since);
	return json_string(text);
}

static bool since_read(const json_t *value, uint64_t *out)
{
	uint64_t since;

	if (!wirepart_hex_read(value, (uint8_t *)&since, sizeof(since)))
		return false;
	*out = be64toh(since);
	return true;
}

/* ---- hello ---------------------------------------------------------------------------------- */

json_t *session_hello_make(const struct session_hello *hello)
{
	return json_pack("{s:s, s:I, s:I, s:s, s:s, s:s}", "hello", NAME, "lowest",
	        (json_int_t)hello->lowest, "highest", (json_int_t)hello->highest, "release",
	        hello->release, "cluster", hello->cluster, "node", hello->node);
}

int session_hello_read(const struct wire_msg *wire, struct session_hello *out)
{
	const json_t *h = wire->header, *low = json_object_get(h, "lowest"),
	             *high = json_object_get(h, "highest");
	const char *name = json_string_value(json_object_get(h, "hello"));
	struct session_hello hello;

	if (!name || strcmp(name, NAME) || wire->payload_len || !json_is_integer(low) ||
	        !json_is_integer(high))
		return -EBADMSG;
	hello.lowest = json_integer_value(low);
	hello.highest = json_integer_value(high);
	if (hello.lowest < 1 || hello.highest < hello.lowest ||
	        !wirepart_text_read(
	                json_object_get(h, "release"), hello.release, sizeof(hello.release)) ||
	        !wirepart_text_read(
	                json_object_get(h, "cluster"), hello.cluster, sizeof(hello.cluster)) ||
	        !wirepart_text_read(json_object_get(h, "node"), hello.node, sizeof(hello.node)))
		return -EBADMSG;
	*out = hello;
	return 0;
}

static void range_text(const struct session_hello *hello, char buf[48])
{
	if (hello->lowest == hello->highest)
		snprintf(buf, 48, "version %" PRId64, hello->lowest);
	else
		snprintf(buf, 48, "versions %" PRId64 "-%" PRId64, hello->lowest, hello->highest);
}

int session_hello_judge(const struct session_hello *mine, const struct session_hello *theirs,
        const char *peer, char text[SESSION_TEXT_MAX])
{
	bool behind = theirs->highest < mine->lowest;
	char a[48], b[48];

	if (strcmp(mine->cluster, theirs->cluster)) {
		snprintf(text, SESSION_TEXT_MAX,
		        "%s says it is of the cluster %s, this node is of %s: compare their "
		        "policies",
		        peer, theirs->cluster, mine->cluster);
		return -EXDEV;
	}
	if (!behind && theirs->lowest <= mine->highest)
		return (int)(theirs->highest < mine->highest ? theirs->highest : mine->highest);
	range_text(theirs, a);
	range_text(mine, b);
	snprintf(text, SESSION_TEXT_MAX,
	        "%s (release %s) speaks session %s, this release %s: update overlayd on %s", peer,
	        theirs->release, a, b, behind ? peer : "this node");
	return -EPROTONOSUPPORT;
}

/* ---- out ------------------------------------------------------------------------------------ */

void session_out_clear(struct session_out *out)
{
	if (out)
		free(out->bytes);
}

/* Takes over the header. small: encoded with it; tail: sent behind it by whoever has it. */
static int out_make(json_t *header, const uint8_t *small, size_t small_len, const uint8_t *tail,
        size_t tail_len, struct session_out *out)
{
	struct session_out made = {.tail = tail, .tail_len = tail_len};
	uint32_t payload_len = htobe32((uint32_t)tail_len);
	int rc = header ? wire_encode(header, small, small_len, &made.bytes, &made.len) : -ENOMEM;

	json_decref(header);
	if (rc < 0)
		return rc;
	if (tail_len)
		memcpy(made.bytes + sizeof(payload_len), &payload_len, sizeof(payload_len));
	*out = made;
	return 0;
}

int session_encode_hello(const struct session_hello *hello, struct session_out *out)
{
	return out_make(session_hello_make(hello), NULL, 0, NULL, 0, out);
}

static int encode_bundle(const struct session_msg *msg, struct session_out *out)
{
	json_t *header;

	if (!msg->len || !msg->head.serial || (msg->delta && !msg->base.serial))
		return -EINVAL;
	if (msg->len > BUNDLE_FILE_MAX)
		return -EMSGSIZE;
	header = json_pack("{s:s, s:o}", "msg", "bundle", "head", head_make(&msg->head));
	if (header && msg->delta && json_object_set_new(header, "base", head_make(&msg->base))) {
		json_decref(header);
		header = NULL;
	}
	return out_make(header, NULL, 0, msg->data, msg->len, out);
}

/* Each behind its length in two bytes, and none that cannot be one. */
static int records_judge(const uint8_t *at, size_t left)
{
	if (left > SESSION_SMALL_MAX)
		return -EMSGSIZE;
	while (left) {
		size_t len = left < 2 ? 0 : (size_t)at[0] << 8 | at[1];

		if (!len || len > POLICY_ADMISSION_MAX || left - 2 < len)
			return -EBADMSG;
		at += 2 + len;
		left -= 2 + len;
	}
	return 0;
}

static int encode_admissions(const struct session_msg *msg, struct session_out *out)
{
	char sum[2 * sizeof(msg->sum) + 1];

	if (!msg->head.serial || records_judge(msg->data, msg->len))
		return -EINVAL;
	bundle_digest_print(msg->sum, sum);
	return out_make(json_pack("{s:s, s:o, s:s}", "msg", "admissions", "head",
	                        head_make(&msg->head), "sum", sum),
	        msg->data, msg->len, NULL, 0, out);
}

/* Statements behind each other. */
static int encode_records(json_t *header, const struct session_statement *statements, size_t n,
        struct session_out *out)
{
	uint8_t *records = malloc(n * SESSION_RECORD_MAX + 1);
	size_t len = 0;
	int rc = -ENOMEM;

	if (!records) {
		json_decref(header);
		return rc;
	}
	for (size_t i = 0; i < n; i++)
		len += session_record_write(&statements[i], records + len);
	rc = out_make(header, records, len, NULL, 0, out);
	free(records);
	return rc;
}

int session_encode(const struct session_msg *msg, struct session_out *out)
{
	if (msg->head.serial > INT64_MAX || msg->base.serial > INT64_MAX ||
	        msg->n_statements > SESSION_STATEMENTS_MAX)
		return -EINVAL;
	switch (msg->type) {
	case SESSION_STATE:
		return encode_records(
		        json_pack("{s:s, s:o}", "msg", "state", "head", head_make(&msg->head)),
		        &msg->statement, 1, out);
	case SESSION_BUNDLE:
		return encode_bundle(msg, out);
	case SESSION_WANT:
		return out_make(
		        json_pack("{s:s, s:o}", "msg", "want", "head", head_make(&msg->head)), NULL,
		        0, NULL, 0, out);
	case SESSION_WHO:
	case SESSION_WHERE:
		return out_make(json_pack("{s:s, s:o}", "msg", types[msg->type], "since",
		                        since_make(msg->since)),
		        NULL, 0, NULL, 0, out);
	case SESSION_STATEMENTS:
	case SESSION_MAP:
		return encode_records(json_pack("{s:s, s:o}", "msg", types[msg->type], "since",
		                              since_make(msg->since)),
		        msg->statements, msg->n_statements, out);
	case SESSION_HERE:
		return encode_records(json_pack("{s:s}", "msg", "here"), &msg->statement, 1, out);
	case SESSION_VOUCHER:
		return msg->len < POLICY_VOUCHER_LINE_MAX
		               ? out_make(json_pack("{s:s}", "msg", "voucher"), msg->data, msg->len,
		                         NULL, 0, out)
		               : -EMSGSIZE;
	case SESSION_ADMISSIONS:
		return encode_admissions(msg, out);
	}
	return -EINVAL;
}

/* ---- in ------------------------------------------------------------------------------------- */

void session_in_clear(struct session_in *in)
{
	if (in)
		free(in->statements);
}

/* One statement. */
static int decode_said(const struct wire_msg *wire, struct session_in *in)
{
	const uint8_t *at = wire->payload;
	size_t left = wire->payload_len;

	return session_record_read(&at, &left, &in->msg.statement) == 1 && !left ? 1 : -EBADMSG;
}

static int decode_bundle(const struct wire_msg *wire, struct session_in *in)
{
	const json_t *base = json_object_get(wire->header, "base");
	struct session_msg *msg = &in->msg;

	if (wire->payload_len > BUNDLE_FILE_MAX)
		return -EMSGSIZE;
	msg->delta = base != NULL;
	msg->data = wire->payload;
	msg->len = wire->payload_len;
	if (!msg->len || !head_read(json_object_get(wire->header, "head"), &msg->head) ||
	        !msg->head.serial || (base && (!head_read(base, &msg->base) || !msg->base.serial)))
		return -EBADMSG;
	return 1;
}

static int decode_statements(const struct wire_msg *wire, struct session_in *in)
{
	const uint8_t *at = wire->payload;
	size_t left = wire->payload_len, cap = left / SESSION_RECORD_MIN;
	struct session_msg *msg = &in->msg;

	if (!since_read(json_object_get(wire->header, "since"), &msg->since))
		return -EBADMSG;
	if (cap > SESSION_STATEMENTS_MAX)
		cap = SESSION_STATEMENTS_MAX;
	in->statements = calloc(cap ? cap : 1, sizeof(*in->statements));
	if (!in->statements)
		return -ENOMEM;
	while (left) {
		int rc;

		if (msg->n_statements == cap)
			return left < SESSION_RECORD_MIN ? -EBADMSG : -EMSGSIZE;
		rc = session_record_read(&at, &left, &in->statements[msg->n_statements]);
		if (rc < 0)
			return rc;
		msg->n_statements += (size_t)rc;
	}
	msg->statements = in->statements;
	return 1;
}

static int decode_admissions(const struct wire_msg *wire, struct session_in *in)
{
	struct session_msg *msg = &in->msg;
	int rc = records_judge(wire->payload, wire->payload_len);

	if (rc < 0)
		return rc;
	if (!head_read(json_object_get(wire->header, "head"), &msg->head) || !msg->head.serial ||
	        !wirepart_hex_read(
	                json_object_get(wire->header, "sum"), msg->sum, sizeof(msg->sum)))
		return -EBADMSG;
	msg->data = wire->payload;
	msg->len = wire->payload_len;
	return 1;
}

static int decode_typed(const struct wire_msg *wire, struct session_in *in)
{
	switch (in->msg.type) {
	case SESSION_STATE:
		return head_read(json_object_get(wire->header, "head"), &in->msg.head)
		               ? decode_said(wire, in)
		               : -EBADMSG;
	case SESSION_HERE:
		return decode_said(wire, in);
	case SESSION_BUNDLE:
		return decode_bundle(wire, in);
	case SESSION_STATEMENTS:
	case SESSION_MAP:
		return decode_statements(wire, in);
	case SESSION_VOUCHER:
		in->msg.data = wire->payload;
		in->msg.len = wire->payload_len;
		return in->msg.len < POLICY_VOUCHER_LINE_MAX ? 1 : -EMSGSIZE;
	case SESSION_ADMISSIONS:
		return decode_admissions(wire, in);
	case SESSION_WANT:
		return !wire->payload_len && head_read(json_object_get(wire->header, "head"),
		                                     &in->msg.head)
		               ? 1
		               : -EBADMSG;
	case SESSION_WHO:
	case SESSION_WHERE:
		return !wire->payload_len && since_read(json_object_get(wire->header, "since"),
		                                     &in->msg.since)
		               ? 1
		               : -EBADMSG;
	}
	return 0;
}

int session_decode(const struct wire_msg *wire, struct session_in *out)
{
	const char *type = json_string_value(json_object_get(wire->header, "msg"));
	struct session_in in = {0};
	int rc;

	if (!type)
		return -EBADMSG;
	for (size_t i = SESSION_STATE; i < N_TYPES; i++)
		if (!strcmp(type, types[i]))
			in.msg.type = (enum session_msg_type)i;
	rc = decode_typed(wire, &in);
	if (rc == 1)
		*out = in;
	else
		session_in_clear(&in);
	return rc;
}

/* ---- datagrams ------------------------------------------------------------------------------ */

int session_note_encode(const char *cluster, const struct session_head *head,
        uint8_t buf[SESSION_NOTE_MAX], size_t *len)
{
	json_t *header = json_pack(
	        "{s:s, s:s, s:o}", "note", NAME, "cluster", cluster, "head", head_make(head));
	struct session_out out;
	int rc = head->serial > INT64_MAX ? -EINVAL : out_make(header, NULL, 0, NULL, 0, &out);

	if (head->serial > INT64_MAX)
		json_decref(header);
	if (rc < 0)
		return rc;
	if (out.len <= SESSION_NOTE_MAX) {
		memcpy(buf, out.bytes, out.len);
		*len = out.len;
	} else {
		rc = -EMSGSIZE;
	}
	session_out_clear(&out);
	return rc;
}

static int note_read(const char *cluster, const json_t *header, struct session_head *out)
{
	const char *name = json_string_value(json_object_get(header, "note"));
	const char *theirs = json_string_value(json_object_get(header, "cluster"));
	struct session_head head;

	if (!name || strcmp(name, NAME) || !theirs ||
	        !head_read(json_object_get(header, "head"), &head))
		return -EBADMSG;
	if (strcmp(theirs, cluster))
		return -EXDEV;
	*out = head;
	return 0;
}

int session_note_decode(
        const char *cluster, const uint8_t *data, size_t len, struct session_head *out)
{
	struct wire_reader reader;
	struct wire_msg msg = {0};
	size_t used = 0;
	int rc;

	if (len > SESSION_NOTE_MAX)
		return -EMSGSIZE;
	wire_reader_init(&reader, 0);
	rc = wire_reader_feed(&reader, data, len, &used, &msg);
	if (rc == 1)
		rc = used == len ? note_read(cluster, msg.header, out) : -EBADMSG;
	else if (!rc)
		rc = -EBADMSG; /* it was cut short */
	wire_msg_clear(&msg);
	wire_reader_clear(&reader);
	return rc;
}

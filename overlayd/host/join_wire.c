/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/join_wire.h"

#include "host/wireparts.h"

#include <endian.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const enum join_status statuses[] = {JOIN_PENDING, JOIN_MEMBER, JOIN_REFUSED, JOIN_BUSY};

static bool is_message(const struct wire_msg *wire, const char *type)
{
	const char *said = json_string_value(json_object_get(wire->header, "join"));

	return said && !strcmp(said, type);
}

/* Takes over the header; payload_len: of what the caller sends behind it. */
static int out_make(json_t *header, size_t payload_len, uint8_t **out, size_t *len)
{
	uint32_t be = htobe32((uint32_t)payload_len);
	uint8_t *bytes;
	int rc = header ? wire_encode(header, NULL, 0, &bytes, len) : -ENOMEM;

	json_decref(header);
	if (rc < 0)
		return rc;
	memcpy(bytes + sizeof(be), &be, sizeof(be));
	*out = bytes;
	return 0;
}

/* A reference to value is taken over; false: out of memory, or it was NULL. */
static bool put(json_t *header, const char *key, json_t *value)
{
	return json_object_set_new(header, key, value) == 0;
}

/* ---- challenge ------------------------------------------------------------------------------ */

int join_encode_challenge(const struct join_challenge *challenge, uint8_t **out, size_t *len)
{
	return out_make(json_pack("{s:s, s:I, s:I, s:s, s:o}", "join", "challenge", "lowest",
	                        (json_int_t)challenge->lowest, "highest",
	                        (json_int_t)challenge->highest, "release", challenge->release,
	                        "nonce", wirepart_hex(challenge->nonce, sizeof(challenge->nonce))),
	        0, out, len);
}

int join_decode_challenge(const struct wire_msg *wire, struct join_challenge *out)
{
	const json_t *h = wire->header, *low = json_object_get(h, "lowest"),
	             *high = json_object_get(h, "highest");
	struct join_challenge in;

	if (!is_message(wire, "challenge") || wire->payload_len || !json_is_integer(low) ||
	        !json_is_integer(high))
		return -EBADMSG;
	in.lowest = json_integer_value(low);
	in.highest = json_integer_value(high);
	if (in.lowest < 1 || in.highest < in.lowest ||
	        !wirepart_text_read(
	                json_object_get(h, "release"), in.release, sizeof(in.release)) ||
	        !wirepart_hex_read(json_object_get(h, "nonce"), in.nonce, sizeof(in.nonce)))
		return -EBADMSG;
	*out = in;
	return 0;
}

int join_challenge_judge(const struct join_challenge *challenge, char text[JOIN_TEXT_MAX])
{
	bool behind = challenge->highest < JOIN_VERSION_LOWEST;

	if (!behind && challenge->lowest <= JOIN_VERSION_HIGHEST)
		return (int)(challenge->highest < JOIN_VERSION_HIGHEST ? challenge->highest
		                                                       : JOIN_VERSION_HIGHEST);
	snprintf(text, JOIN_TEXT_MAX,
	        "the seed's overlayd (release %s) speaks another version of joining than this "
	        "one (release " OVERLAYD_VERSION "): update overlayd on %s",
	        challenge->release, behind ? "the seed" : "this node");
	return -EPROTONOSUPPORT;
}

/* ---- request -------------------------------------------------------------------------------- */

static json_t *links_make(const struct join_request *request)
{
	json_t *links = json_array();

	for (size_t i = 0; links && i < request->n_links; i++) {
		char text[64];

		policy_addr_print(&request->links[i], text, sizeof(text));
		json_array_append_new(links, json_string(text));
	}
	return links;
}

int join_encode_request(const struct join_request *request, int version, uint8_t **out, size_t *len)
{
	uint8_t bytes[JOIN_REQUEST_MAX];
	json_t *h;
	bool ok;

	if (!join_request_bytes(request, bytes))
		return -EINVAL;
	h = json_pack("{s:s, s:i, s:s, s:s, s:s, s:s, s:o}", "join", "request", "version", version,
	        "cluster", request->cluster, "name", request->name, "site", request->site,
	        "release", request->release, "links", links_make(request));
	if (!h)
		return -ENOMEM;
	ok = put(h, "key", wirepart_hex(request->key.raw, sizeof(request->key.raw))) &&
	     put(h, "nonce", wirepart_hex(request->nonce, sizeof(request->nonce))) &&
	     put(h, "signature", wirepart_hex(request->signature, sizeof(request->signature)));
	if (ok && request->token[0])
		ok = put(h, "token", json_string(request->token)) &&
		     put(h, "by_token", wirepart_hex(request->by_token, sizeof(request->by_token)));
	if (!ok) {
		json_decref(h);
		return -ENOMEM;
	}
	return out_make(h, 0, out, len);
}

static bool links_read(const json_t *value, struct join_request *out)
{
	size_t n = json_array_size(value);

	if (!json_is_array(value) || n > JOIN_LINKS_MAX)
		return false;
	for (size_t i = 0; i < n; i++) {
		const char *text = json_string_value(json_array_get(value, i));

		if (!text || policy_addr_parse(text, &out->links[i]))
			return false;
	}
	out->n_links = (uint8_t)n;
	return true;
}

static bool token_read(const json_t *h, struct join_request *out)
{
	const json_t *token = json_object_get(h, "token");

	if (!token)
		return !json_object_get(h, "by_token");
	return wirepart_text_read(token, out->token, sizeof(out->token)) && out->token[0] &&
	       wirepart_hex_read(
	               json_object_get(h, "by_token"), out->by_token, sizeof(out->by_token));
}

int join_decode_request(const struct wire_msg *wire, struct join_request *out)
{
	const json_t *h = wire->header, *version = json_object_get(h, "version");
	struct join_request in = {0};
	uint8_t bytes[JOIN_REQUEST_MAX];

	if (!is_message(wire, "request") || wire->payload_len || !json_is_integer(version) ||
	        json_integer_value(version) < JOIN_VERSION_LOWEST ||
	        json_integer_value(version) > JOIN_VERSION_HIGHEST)
		return -EBADMSG;
	if (!wirepart_text_read(json_object_get(h, "cluster"), in.cluster, sizeof(in.cluster)) ||
	        !wirepart_text_read(json_object_get(h, "name"), in.name, sizeof(in.name)) ||
	        !wirepart_text_read(json_object_get(h, "site"), in.site, sizeof(in.site)) ||
	        !wirepart_text_read(
	                json_object_get(h, "release"), in.release, sizeof(in.release)) ||
	        !wirepart_hex_read(json_object_get(h, "key"), in.key.raw, sizeof(in.key.raw)) ||
	        !wirepart_hex_read(json_object_get(h, "nonce"), in.nonce, sizeof(in.nonce)) ||
	        !wirepart_hex_read(
	                json_object_get(h, "signature"), in.signature, sizeof(in.signature)) ||
	        !links_read(json_object_get(h, "links"), &in) || !token_read(h, &in))
		return -EBADMSG;
	if (!join_request_bytes(&in, bytes))
		return -EBADMSG;
	*out = in;
	return 0;
}

/* ---- answer --------------------------------------------------------------------------------- */

static json_t *sizes_make(const struct join_answer *answer)
{
	json_t *sizes = json_array();

	for (size_t i = 0; sizes && i < answer->n_admissions; i++)
		json_array_append_new(sizes, json_integer((json_int_t)answer->admissions[i].len));
	return sizes;
}

int join_encode_answer(const struct join_answer *answer, uint8_t **out, size_t *len)
{
	bool member = answer->status == JOIN_MEMBER;
	size_t payload = answer->len;
	json_t *h;

	if (member != (answer->len > 0) || (!member && answer->n_admissions) ||
	        answer->n_admissions > JOIN_ADMISSIONS_MAX || strlen(answer->text) >= JOIN_TEXT_MAX)
		return -EINVAL;
	if (answer->len > BUNDLE_FILE_MAX)
		return -EMSGSIZE;
	for (size_t i = 0; i < answer->n_admissions; i++) {
		if (!answer->admissions[i].len || answer->admissions[i].len > JOIN_ADMISSION_MAX)
			return -EINVAL;
		payload += answer->admissions[i].len;
	}
	h = json_pack("{s:s, s:s, s:s, s:I}", "join", "answer", "status",
	        join_status_name(answer->status), "text", answer->text, "retry",
	        (json_int_t)answer->retry_s);
	if (h && member &&
	        (!put(h, "bundle", json_integer((json_int_t)answer->len)) ||
	                !put(h, "admissions", sizes_make(answer)))) {
		json_decref(h);
		h = NULL;
	}
	return out_make(h, payload, out, len);
}

/* The payload's parts fill it exactly. */
static bool parts_read(const struct wire_msg *wire, struct join_answer_in *out)
{
	const json_t *bundle = json_object_get(wire->header, "bundle"),
	             *sizes = json_object_get(wire->header, "admissions");
	size_t n = json_array_size(sizes), at;

	if (!json_is_integer(bundle) || json_integer_value(bundle) < 1 || !json_is_array(sizes) ||
	        n > JOIN_ADMISSIONS_MAX ||
	        (uint64_t)json_integer_value(bundle) > wire->payload_len ||
	        json_integer_value(bundle) > BUNDLE_FILE_MAX)
		return false;
	at = (size_t)json_integer_value(bundle);
	out->answer.file = (const char *)wire->payload;
	out->answer.len = at;
	for (size_t i = 0; i < n; i++) {
		const json_t *size = json_array_get(sizes, i);
		json_int_t len = json_integer_value(size);

		if (!json_is_integer(size) || len < 1 || len > JOIN_ADMISSION_MAX ||
		        (size_t)len > wire->payload_len - at)
			return false;
		out->admissions[i] = (struct join_record){wire->payload + at, (size_t)len};
		at += (size_t)len;
	}
	out->answer.n_admissions = n;
	return at == wire->payload_len;
}

static bool status_read(const json_t *value, enum join_status *out)
{
	const char *text = json_string_value(value);

	for (size_t i = 0; text && i < sizeof(statuses) / sizeof(statuses[0]); i++)
		if (!strcmp(text, join_status_name(statuses[i]))) {
			*out = statuses[i];
			return true;
		}
	return false;
}

int join_decode_answer(const struct wire_msg *wire, struct join_answer_in *out)
{
	const json_t *h = wire->header, *retry = json_object_get(h, "retry");
	struct join_answer_in *in = out;

	memset(in, 0, sizeof(*in));
	if (!is_message(wire, "answer") ||
	        !status_read(json_object_get(h, "status"), &in->answer.status) ||
	        !wirepart_text_read(json_object_get(h, "text"), in->text, sizeof(in->text)) ||
	        !json_is_integer(retry) || json_integer_value(retry) < 0 ||
	        json_integer_value(retry) > UINT32_MAX)
		return -EBADMSG;
	in->answer.text = in->text;
	in->answer.retry_s = (uint32_t)json_integer_value(retry);
	in->answer.admissions = in->admissions;
	if (in->answer.status == JOIN_MEMBER ? !parts_read(wire, in) : wire->payload_len != 0)
		return -EBADMSG;
	return 0;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a newcomer and a seed say to each other inside a join SA, as bytes (client/wire.h). Meanings:
 * engine/join.h. One connection, three messages:
 *
 *	seed      {"join":"challenge","lowest":1,"highest":1,"release":"…","nonce":"<64 hex>"}
 *	newcomer  {"join":"request","version":1,"cluster":"…","name":"…","key":"<64 hex>","site":"…",
 *	           "links":["192.0.2.1",…],"nonce":"<64 hex>","release":"…",
 *	           "token":"…","by_token":"<128 hex>",              (both only with a token)
 *	           "signature":"<128 hex>"}
 *	seed      {"join":"answer","status":"pending","text":"…","retry":30}
 *	          {"join":"answer","status":"member","text":"…","retry":0,"bundle":<bytes>,
 *	           "admissions":[<bytes>,…]}  payload: the bundle's file, then the admissions
 *
 * Only an answer that says "member" has a payload. Keys that are not known here are passed over.
 */
#ifndef OVERLAYD_HOST_JOIN_WIRE_H
#define OVERLAYD_HOST_JOIN_WIRE_H

#include "client/wire.h"
#include "engine/join.h"
#include "policy/bundle.h"

#define JOIN_VERSION_LOWEST 1
#define JOIN_VERSION_HIGHEST 1
#define JOIN_PAYLOAD_MAX (BUNDLE_FILE_MAX + JOIN_ADMISSIONS_MAX * JOIN_ADMISSION_MAX)

struct join_challenge {
	int64_t lowest, highest; /* versions that the seed speaks */
	char release[JOIN_RELEASE_MAX + 1];
	uint8_t nonce[32];
};

/*
 * Each makes one whole message; *out is malloc()ed. -EINVAL: something in it is not as it must be;
 * -EMSGSIZE, -ENOMEM. Of an answer with a bundle *out is all but the payload: the caller sends the
 * file and the admissions behind it.
 */
int join_encode_challenge(const struct join_challenge *challenge, uint8_t **out, size_t *len);
int join_encode_request(
        const struct join_request *request, int version, uint8_t **out, size_t *len);
int join_encode_answer(const struct join_answer *answer, uint8_t **out, size_t *len);

/* -EBADMSG: it is not this message. */
int join_decode_challenge(const struct wire_msg *wire, struct join_challenge *out);
/* The version to speak, or -EPROTONOSUPPORT and a sentence in text. */
int join_challenge_judge(const struct join_challenge *challenge, char text[JOIN_TEXT_MAX]);
int join_decode_request(const struct wire_msg *wire, struct join_request *out);

/* What came; its pointers are into itself and the wire message, which must outlive it. */
struct join_answer_in {
	struct join_answer answer;
	char text[JOIN_TEXT_MAX];
	struct join_record admissions[JOIN_ADMISSIONS_MAX];
};
int join_decode_answer(const struct wire_msg *wire, struct join_answer_in *out);

#endif

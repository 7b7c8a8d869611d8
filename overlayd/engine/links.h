/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * links: where a node says it is on the underlay. Together they are the map (design, section 8): a
 * node whom the policy gives no endpoint can be called there all the same.
 *
 * The body of a SESSION_LINKS statement: count (8 bytes), UDP port (2), how many addresses (1), and
 * each address as its family (1 byte: 4 or 6) and 4 or 16 bytes; integers big-endian. None, for who
 * has none or will not say. No address twice, none that can be nobody's.
 *
 * What it says opens nothing: these are further addresses to try, where whoever answers has to prove
 * that it holds the peer's key.
 */
#ifndef OVERLAYD_ENGINE_LINKS_H
#define OVERLAYD_ENGINE_LINKS_H

#include "engine/session.h"

#define SESSION_LINKS_MAX 8U

struct session_links {
	/* Of two statements of one node the one with the higher count is newer. It begins with the
	 * wall clock, which need not be right: who hears that others have a higher one of it goes
	 * beyond that. */
	uint64_t count;
	uint16_t port;
	uint8_t n;
	struct policy_addr addrs[SESSION_LINKS_MAX];
};

/* How many bytes are in body. */
size_t session_links_make(const struct session_links *links, uint8_t body[SESSION_BODY_MAX]);
/* False: it is none. */
bool session_links_read(const uint8_t *body, size_t len, struct session_links *out);
/* Can a node be called there from another machine? Not loopback, multicast, within one link… */
bool session_link_usable(const struct policy_addr *addr);

#endif

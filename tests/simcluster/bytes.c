/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is said, in bytes as the host writes them (host/session_wire.h), without TCP, IP and ESP. */
#include "tests/simcluster/swarm.h"

#include "host/session_wire.h"

size_t msg_bytes(const struct session_msg *msg)
{
	struct session_out out = {0};
	size_t bytes;

	if (session_encode(msg, &out))
		return 0;
	bytes = out.len + out.tail_len;
	session_out_clear(&out);
	return bytes;
}

size_t note_bytes(const struct session_head *head)
{
	uint8_t buf[SESSION_NOTE_MAX];
	size_t len = 0;

	return session_note_encode("swarm", head, buf, &len) ? 0 : len;
}

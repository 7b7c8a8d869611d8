/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "nss/pack.h"

#include <errno.h>
#include <string.h>

struct room {
	char *at;
	size_t left;
};

/* NULL: there is not so much. align: a power of two. */
static void *room_take(struct room *room, size_t size, size_t align)
{
	size_t pad = (size_t)(-(uintptr_t)room->at & (align - 1));
	char *at;

	if (pad > room->left || size > room->left - pad)
		return NULL;
	at = room->at + pad;
	room->at = at + size;
	room->left -= pad + size;
	return at;
}

static char *room_text(struct room *room, const char *text)
{
	size_t size = strlen(text) + 1;
	char *at = room_take(room, size, 1);

	return at ? memcpy(at, text, size) : NULL;
}

static char **room_list(struct room *room, size_t n)
{
	char **list = room_take(room, (n + 1) * sizeof(*list), __alignof__(char *));

	if (list)
		list[n] = NULL;
	return list;
}

/* Programs read an address as struct in_addr or as words. */
static char *room_addr(struct room *room, const struct hosts_addr *addr, size_t size)
{
	char *at = room_take(room, size, __alignof__(uint32_t));

	return at ? memcpy(at, addr->bytes, size) : NULL;
}

int pack_hostent(
        const struct hosts_host *host, int af, char *buffer, size_t buflen, struct hostent *result)
{
	struct room room = {buffer, buflen};
	size_t n_aliases = host->line.n_names - 1;
	struct hostent made = {.h_addrtype = af, .h_length = af == AF_INET ? 4 : 16};

	made.h_aliases = room_list(&room, n_aliases);
	made.h_addr_list = made.h_aliases ? room_list(&room, host->n_addrs) : NULL;
	if (!made.h_addr_list)
		return -ERANGE;
	for (size_t i = 0; i < host->n_addrs; i++) {
		made.h_addr_list[i] = room_addr(&room, &host->addrs[i], (size_t)made.h_length);
		if (!made.h_addr_list[i])
			return -ERANGE;
	}
	made.h_name = room_text(&room, hosts_line_name(&host->line, 0));
	if (!made.h_name)
		return -ERANGE;
	for (size_t i = 0; i < n_aliases; i++) {
		made.h_aliases[i] = room_text(&room, hosts_line_name(&host->line, i + 1));
		if (!made.h_aliases[i])
			return -ERANGE;
	}
	*result = made;
	return 0;
}

int pack_tuples(
        const struct hosts_host *host, char *buffer, size_t buflen, struct gaih_addrtuple **pat)
{
	struct room room = {buffer, buflen};
	struct gaih_addrtuple *tuples = room_take(
	        &room, host->n_addrs * sizeof(*tuples), __alignof__(struct gaih_addrtuple));
	char *name = tuples ? room_text(&room, hosts_line_name(&host->line, 0)) : NULL;

	if (!name)
		return -ERANGE;
	for (size_t i = 0; i < host->n_addrs; i++) {
		tuples[i] = (struct gaih_addrtuple){.name = name,
		        .family = host->addrs[i].family,
		        .next = i + 1 < host->n_addrs ? &tuples[i + 1] : NULL};
		memcpy(tuples[i].addr, host->addrs[i].bytes, sizeof(tuples[i].addr));
	}
	if (*pat)
		**pat = *tuples;
	else
		*pat = tuples;
	return 0;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What was found, put into the caller's buffer in the form that the C library wants. -ERANGE: the
 * buffer is too small; then the outputs are untouched (the buffer is not).
 */
#ifndef NSS_PACK_H
#define NSS_PACK_H

#include "nss/hosts.h"

#include <netdb.h>
#include <nss.h>

/* af: the family of all host->addrs. */
int pack_hostent(
        const struct hosts_host *host, int af, char *buffer, size_t buflen, struct hostent *result);
/* n_addrs is 1 at least. */
int pack_tuples(
        const struct hosts_host *host, char *buffer, size_t buflen, struct gaih_addrtuple **pat);

#endif

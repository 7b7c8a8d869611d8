/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * libnss_overlay.so.2: `overlay` in the hosts line of /etc/nsswitch.conf.
 *
 * What the GNU C Library calls (its manual, "Extending NSS"; <nss.h>). Results lie in the caller's
 * buffer. Status, with *errnop and *h_errnop:
 *
 *	SUCCESS
 *	NOTFOUND	ENOENT; HOST_NOT_FOUND, or NO_DATA where the host has no such address
 *	TRYAGAIN	ERANGE, NETDB_INTERNAL: the buffer is too small; nothing else was written
 *			any other errno, TRY_AGAIN: no descriptor left or the like
 *	UNAVAIL		there is no file of names (overlayd never ran), or it is not to be trusted
 *
 * All may be called from any thread. Only the enumeration (sethostent and its two) keeps anything:
 * one place in the file for the whole process, behind a lock, as that interface has it.
 */
#ifndef NSS_OVERLAY_H
#define NSS_OVERLAY_H

#include <netdb.h>
#include <nss.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

/* Forward, both families. With *pat NULL it is set, else the tuple there is overwritten. */
enum nss_status _nss_overlay_gethostbyname4_r(const char *name, struct gaih_addrtuple **pat,
        char *buffer, size_t buflen, int *errnop, int *h_errnop, int32_t *ttlp);
/* Forward, AF_INET or AF_INET6. ttlp and canonp may be NULL. */
enum nss_status _nss_overlay_gethostbyname3_r(const char *name, int af, struct hostent *result,
        char *buffer, size_t buflen, int *errnop, int *h_errnop, int32_t *ttlp, char **canonp);
enum nss_status _nss_overlay_gethostbyname2_r(const char *name, int af, struct hostent *result,
        char *buffer, size_t buflen, int *errnop, int *h_errnop);
/* Forward, AF_INET. */
enum nss_status _nss_overlay_gethostbyname_r(const char *name, struct hostent *result, char *buffer,
        size_t buflen, int *errnop, int *h_errnop);

/* Reverse; an IPv4 address may come as an IPv6 one (::ffff:10.77.0.17) and stays it. */
enum nss_status _nss_overlay_gethostbyaddr2_r(const void *addr, socklen_t len, int af,
        struct hostent *result, char *buffer, size_t buflen, int *errnop, int *h_errnop,
        int32_t *ttlp);
enum nss_status _nss_overlay_gethostbyaddr_r(const void *addr, socklen_t len, int af,
        struct hostent *result, char *buffer, size_t buflen, int *errnop, int *h_errnop);

/* All lines, one after the other; the file as it was at the first. */
enum nss_status _nss_overlay_sethostent(int stayopen);
enum nss_status _nss_overlay_gethostent_r(
        struct hostent *result, char *buffer, size_t buflen, int *errnop, int *h_errnop);
enum nss_status _nss_overlay_endhostent(void);

#endif

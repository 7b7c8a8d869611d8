/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "nss/nss_overlay.h"

#include "nss/hosts.h"
#include "nss/pack.h"

#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- how it ended --------------------------------------------------------------------------- */

static enum nss_status failed(int err, int *errnop, int *h_errnop)
{
	*errnop = -err;
	switch (-err) {
	case ERANGE:
		*h_errnop = NETDB_INTERNAL;
		return NSS_STATUS_TRYAGAIN;
	case EAGAIN:
	case EINTR:
	case EIO:
	case EMFILE:
	case ENFILE:
	case ENOMEM:
		*h_errnop = TRY_AGAIN;
		return NSS_STATUS_TRYAGAIN;
	}
	/* So that where no other service knows it, the user reads "not known". */
	*h_errnop = HOST_NOT_FOUND;
	return NSS_STATUS_UNAVAIL;
}

static enum nss_status not_found(int why, int *errnop, int *h_errnop)
{
	*errnop = ENOENT;
	*h_errnop = why;
	return NSS_STATUS_NOTFOUND;
}

/* before: errno as the caller had it; it may be what errnop points to. */
static enum nss_status done(int before, int *h_errnop)
{
	errno = before;
	*h_errnop = NETDB_SUCCESS;
	return NSS_STATUS_SUCCESS;
}

/* ---- forward -------------------------------------------------------------------------------- */

static int find_name(const char *name, int family, struct hosts_host *host)
{
	int fd = hosts_open(HOSTS_PATH);
	int rc = fd < 0 ? fd : hosts_find_name(fd, name, family, host);

	if (fd >= 0)
		close(fd);
	return rc;
}

enum nss_status _nss_overlay_gethostbyname4_r(const char *name, struct gaih_addrtuple **pat,
        char *buffer, size_t buflen, int *errnop, int *h_errnop, int32_t *ttlp)
{
	struct hosts_host host;
	int before = errno;
	int rc = find_name(name, AF_UNSPEC, &host);

	if (!rc)
		return not_found(HOST_NOT_FOUND, errnop, h_errnop);
	if (rc > 0)
		rc = pack_tuples(&host, buffer, buflen, pat);
	if (rc < 0)
		return failed(rc, errnop, h_errnop);
	if (ttlp)
		*ttlp = 0;
	return done(before, h_errnop);
}

enum nss_status _nss_overlay_gethostbyname3_r(const char *name, int af, struct hostent *result,
        char *buffer, size_t buflen, int *errnop, int *h_errnop, int32_t *ttlp, char **canonp)
{
	struct hosts_host host;
	int before = errno;
	int rc;

	if (af != AF_INET && af != AF_INET6)
		return failed(-EAFNOSUPPORT, errnop, h_errnop);
	rc = find_name(name, af, &host);
	if (!rc)
		return not_found(HOST_NOT_FOUND, errnop, h_errnop);
	if (rc > 0 && !host.n_addrs)
		return not_found(NO_DATA, errnop, h_errnop);
	if (rc > 0)
		rc = pack_hostent(&host, af, buffer, buflen, result);
	if (rc < 0)
		return failed(rc, errnop, h_errnop);
	if (ttlp)
		*ttlp = 0;
	if (canonp)
		*canonp = result->h_name;
	return done(before, h_errnop);
}

enum nss_status _nss_overlay_gethostbyname2_r(const char *name, int af, struct hostent *result,
        char *buffer, size_t buflen, int *errnop, int *h_errnop)
{
	return _nss_overlay_gethostbyname3_r(
	        name, af, result, buffer, buflen, errnop, h_errnop, NULL, NULL);
}

enum nss_status _nss_overlay_gethostbyname_r(const char *name, struct hostent *result, char *buffer,
        size_t buflen, int *errnop, int *h_errnop)
{
	return _nss_overlay_gethostbyname3_r(
	        name, AF_INET, result, buffer, buflen, errnop, h_errnop, NULL, NULL);
}

/* ---- reverse -------------------------------------------------------------------------------- */

/* As given, and as the file would have it. */
static int addr_take(
        const void *bytes, socklen_t len, int af, struct hosts_addr *given, struct hosts_addr *file)
{
	if (!(af == AF_INET && len == 4) && !(af == AF_INET6 && len == 16))
		return -EAFNOSUPPORT;
	memset(given, 0, sizeof(*given));
	given->family = af;
	memcpy(given->bytes, bytes, len);
	*file = *given;
	if (af == AF_INET6 && IN6_IS_ADDR_V4MAPPED((const struct in6_addr *)given->bytes)) {
		memset(file, 0, sizeof(*file));
		file->family = AF_INET;
		memcpy(file->bytes, given->bytes + 12, 4);
	}
	return 0;
}

enum nss_status _nss_overlay_gethostbyaddr2_r(const void *addr, socklen_t len, int af,
        struct hostent *result, char *buffer, size_t buflen, int *errnop, int *h_errnop,
        int32_t *ttlp)
{
	struct hosts_addr given, file;
	struct hosts_host host;
	int before = errno;
	int rc = addr_take(addr, len, af, &given, &file);
	int fd = rc ? rc : hosts_open(HOSTS_PATH);

	rc = fd < 0 ? fd : hosts_find_addr(fd, &file, &host);
	if (fd >= 0)
		close(fd);
	if (!rc)
		return not_found(HOST_NOT_FOUND, errnop, h_errnop);
	if (rc > 0) {
		host.addrs[0] = given;
		rc = pack_hostent(&host, af, buffer, buflen, result);
	}
	if (rc < 0)
		return failed(rc, errnop, h_errnop);
	if (ttlp)
		*ttlp = 0;
	return done(before, h_errnop);
}

enum nss_status _nss_overlay_gethostbyaddr_r(const void *addr, socklen_t len, int af,
        struct hostent *result, char *buffer, size_t buflen, int *errnop, int *h_errnop)
{
	return _nss_overlay_gethostbyaddr2_r(
	        addr, len, af, result, buffer, buflen, errnop, h_errnop, NULL);
}

/* ---- all of them ---------------------------------------------------------------------------- */

/* The file stays open, so that one that takes its place meanwhile does not mix with it. */
static struct {
	pthread_mutex_t lock;
	bool open;
	int fd;
	dev_t dev;
	ino_t ino;
	off_t offset;
} list = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* A program that closes all descriptors (a daemon at its start) closes ours, and the number may be
 * another's. */
static bool list_stands(void)
{
	struct stat st;

	return list.open && fstat(list.fd, &st) == 0 && st.st_dev == list.dev &&
	       st.st_ino == list.ino;
}

static void list_close(void)
{
	if (list_stands())
		close(list.fd);
	list.open = false;
}

static int list_open(void)
{
	struct stat st;
	int fd;

	list_close();
	fd = hosts_open(HOSTS_PATH);
	if (fd < 0)
		return fd;
	if (fstat(fd, &st) < 0) {
		int err = -errno;

		close(fd);
		return err;
	}
	list.fd = fd;
	list.dev = st.st_dev;
	list.ino = st.st_ino;
	list.offset = 0;
	list.open = true;
	return 0;
}

static int list_next(char *buffer, size_t buflen, struct hostent *result)
{
	struct hosts_reader reader;
	struct hosts_host host;
	int rc = 0;

	if (!list.open)
		rc = list_open();
	else if (!list_stands())
		rc = -EBADF;
	if (rc)
		return rc;
	hosts_begin(&reader, list.fd, list.offset);
	rc = hosts_next(&reader, &host.line);
	if (rc <= 0)
		return rc;
	host.n_addrs = 1;
	host.addrs[0] = host.line.addr;
	rc = pack_hostent(&host, host.line.addr.family, buffer, buflen, result);
	if (rc)
		return rc;
	list.offset = reader.offset;
	return 1;
}

enum nss_status _nss_overlay_sethostent(int stayopen)
{
	int before = errno;
	int err;

	(void)stayopen;
	pthread_mutex_lock(&list.lock);
	err = list_open();
	pthread_mutex_unlock(&list.lock);
	errno = err ? -err : before;
	return err ? NSS_STATUS_UNAVAIL : NSS_STATUS_SUCCESS;
}

enum nss_status _nss_overlay_gethostent_r(
        struct hostent *result, char *buffer, size_t buflen, int *errnop, int *h_errnop)
{
	int before = errno;
	int rc;

	pthread_mutex_lock(&list.lock);
	rc = list_next(buffer, buflen, result);
	pthread_mutex_unlock(&list.lock);
	if (!rc)
		return not_found(HOST_NOT_FOUND, errnop, h_errnop);
	if (rc < 0)
		return failed(rc, errnop, h_errnop);
	return done(before, h_errnop);
}

enum nss_status _nss_overlay_endhostent(void)
{
	int before = errno;

	pthread_mutex_lock(&list.lock);
	list_close();
	pthread_mutex_unlock(&list.lock);
	errno = before;
	return NSS_STATUS_SUCCESS;
}

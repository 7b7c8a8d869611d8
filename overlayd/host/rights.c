/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "host/rights.h"

#include <errno.h>
#include <linux/capability.h>
#include <malloc.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef CAP_LAST_CAP
#define CAP_LAST_CAP 40
#endif

/* Why each is kept. All else goes. The first is needed, others are where we have them. */
static const unsigned int kept[] = {
        CAP_NET_ADMIN,        /* routes, addresses, the nftables table, sock_diag's destroy */
        CAP_NET_BIND_SERVICE, /* sessions: their port is one that ordinary users cannot take */
};

void rights_begin(void)
{
	static const struct rlimit none = {0, 0};

	umask(0077);
	(void)setrlimit(RLIMIT_CORE, &none);
	(void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	/* One arena, and what a big policy took for a moment is given back. */
	(void)mallopt(M_ARENA_MAX, 1);
	(void)mallopt(M_TRIM_THRESHOLD, 128 * 1024);
	(void)mallopt(M_MMAP_THRESHOLD, 128 * 1024);
}

static int caps_set(uint64_t mask)
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2];

	for (int i = 0; i < 2; i++) {
		uint32_t part = (uint32_t)(mask >> (32 * i));

		data[i].effective = part;
		data[i].permitted = part;
		data[i].inheritable = 0;
	}
	return syscall(SYS_capset, &head, data) < 0 ? -errno : 0;
}

static uint64_t caps_get(void)
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2] = {{0}};

	if (syscall(SYS_capget, &head, data) < 0)
		return 0;
	return data[0].permitted | (uint64_t)data[1].permitted << 32;
}

int rights_drop(char *err, size_t err_size)
{
	uint64_t mask = 0;
	int ret;

	for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]); i++)
		mask |= UINT64_C(1) << kept[i];
	mask &= caps_get();
	if (!(mask & UINT64_C(1) << kept[0])) {
		snprintf(err, err_size,
		        "overlayd needs CAP_NET_ADMIN for routes and nftables: run it as root");
		return -EPERM;
	}
	(void)prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	for (unsigned int cap = 0; cap <= CAP_LAST_CAP; cap++)
		if (!(mask & UINT64_C(1) << cap))
			(void)prctl(PR_CAPBSET_DROP, cap, 0, 0, 0);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0) {
		ret = -errno;
		snprintf(err, err_size, "cannot set no_new_privs: %s", strerror(-ret));
		return ret;
	}
	ret = caps_set(mask);
	if (ret)
		snprintf(err, err_size, "cannot give up capabilities: %s", strerror(-ret));
	return ret;
}

void rights_drop_all(void)
{
	(void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	(void)caps_set(0);
}

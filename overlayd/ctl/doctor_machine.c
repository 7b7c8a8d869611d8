/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <linux/xfrm.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/timex.h>
#include <time.h>
#include <unistd.h>

#include "ctl/doctor.h"

#define BUILT_AFTER 1704067200 /* 2024-01-01: an earlier clock is wrong */
#define MTU_LEAST 1280         /* an IPv6 link; with less, inner packets get tiny */

/* Send one small request; the first answer's error (0: it was answered), negative errno. */
static int netlink_ask(int protocol, uint16_t type, const void *payload, size_t len)
{
	struct {
		struct nlmsghdr header;
		uint8_t payload[32];
	} request = {.header = {.nlmsg_len = (uint32_t)NLMSG_LENGTH(len),
	                     .nlmsg_type = type,
	                     .nlmsg_flags = NLM_F_REQUEST}};
	_Alignas(struct nlmsghdr) uint8_t answer[8192];
	const struct nlmsghdr *header = (const struct nlmsghdr *)answer;
	struct timeval timeout = {.tv_sec = 2};
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol);
	int rc = 0;
	ssize_t n;

	if (fd < 0)
		return -errno;
	memcpy(request.payload, payload, len);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
	if (send(fd, &request, NLMSG_LENGTH(len), 0) < 0 ||
	        (n = recv(fd, answer, sizeof(answer), 0)) < 0)
		rc = -errno;
	else if (n >= (ssize_t)NLMSG_LENGTH(sizeof(struct nlmsgerr)) &&
	         header->nlmsg_type == NLMSG_ERROR)
		rc = ((const struct nlmsgerr *)NLMSG_DATA(header))->error;
	close(fd);
	return rc;
}

static void check_nft(json_t *checks)
{
	struct nfgenmsg payload = {.version = NFNETLINK_V0};
	int rc = netlink_ask(NETLINK_NETFILTER, NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETGEN,
	        &payload, sizeof(payload));

	if (rc == -EPERM)
		doctor_add(checks, "nftables", "warn", "run this as root", "not allowed to look");
	else if (rc < 0)
		doctor_add(checks, "nftables", "bad", "modprobe nf_tables, or a kernel that has it",
		        "the kernel has no nf_tables (%s)", strerror(-rc));
	else
		doctor_add(checks, "nftables", "ok", "", "the kernel has nf_tables");
}

static void check_xfrm(json_t *checks)
{
	uint32_t flags = 0;
	int rc = netlink_ask(NETLINK_XFRM, XFRM_MSG_GETSPDINFO, &flags, sizeof(flags));
	int tun = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
	int tun_error = tun < 0 ? errno : 0;

	if (tun >= 0)
		close(tun);
	if (rc == -EPERM || tun_error == EACCES || tun_error == EPERM)
		doctor_add(
		        checks, "xfrm and tun", "warn", "run this as root", "not allowed to look");
	else if (rc < 0 && tun_error)
		doctor_add(checks, "xfrm and tun", "bad", "modprobe xfrm_user, or modprobe tun",
		        "the kernel has neither xfrm (%s) nor TUN (%s): no data plane can work",
		        strerror(-rc), strerror(tun_error));
	else
		doctor_add(checks, "xfrm and tun", "ok", "", "xfrm: %s; TUN: %s",
		        rc < 0 ? strerror(-rc) : "there",
		        tun_error ? strerror(tun_error) : "there");
}

/* Is there a bound UDP socket with that local port in /proc/net/udp or udp6? */
static bool udp_bound(const char *file, unsigned port)
{
	FILE *in = fopen(file, "re");
	char line[512];
	bool found = false;

	while (in && !found && fgets(line, sizeof(line), in)) {
		char address[64];
		unsigned local;

		found = sscanf(line, " %*d: %63[0-9A-Fa-f]:%x ", address, &local) == 2 &&
		        local == port;
	}
	if (in)
		fclose(in);
	return found;
}

void doctor_port(json_t *checks, uint16_t port)
{
	bool v4 = udp_bound("/proc/net/udp", port), v6 = udp_bound("/proc/net/udp6", port);

	if (v4 || v6)
		doctor_add(checks, "UDP port", "ok", "", "UDP %u is bound (%s)", port,
		        v4 && v6 ? "IPv4 and IPv6"
		        : v4     ? "IPv4"
		                 : "IPv6");
	else
		doctor_add(checks, "UDP port", "bad",
		        "systemctl start strongswan; its port_nat_t must be this one",
		        "nobody has bound UDP %u: charon does not run, or uses another port", port);
}

static int mtu_of(const char *name)
{
	char path[PATH_MAX], text[32] = "";
	FILE *in;

	snprintf(path, sizeof(path), "/sys/class/net/%s/mtu", name);
	in = fopen(path, "re");
	if (in && !fgets(text, sizeof(text), in))
		text[0] = '\0';
	if (in)
		fclose(in);
	return atoi(text);
}

/* Of the links that lead out; loopback and our own device are none. */
static void check_mtu(json_t *checks)
{
	DIR *links = opendir("/sys/class/net");
	struct dirent *link;
	int least = INT_MAX;
	char name[256] = "";

	while (links && (link = readdir(links))) {
		int mtu = mtu_of(link->d_name);

		if (link->d_name[0] == '.' || !strcmp(link->d_name, "lo") || mtu <= 0 ||
		        mtu >= least)
			continue;
		if (!strcmp(link->d_name, "ovl0") || !strncmp(link->d_name, "ipsec", 5))
			continue;
		least = mtu;
		snprintf(name, sizeof(name), "%s", link->d_name);
	}
	if (links)
		closedir(links);
	if (least == INT_MAX)
		doctor_add(checks, "MTU", "warn", "", "there is no network link but loopback");
	else if (least < MTU_LEAST)
		doctor_add(checks, "MTU", "warn",
		        "raise the link's MTU, or expect slow transfers through it",
		        "%s has %d, less than %d", name, least, MTU_LEAST);
	else
		doctor_add(checks, "MTU", "ok", "", "the smallest link is %s with %d", name, least);
}

static void check_clock(json_t *checks)
{
	struct timex timex = {0};
	int state = adjtimex(&timex);

	if (time(NULL) < BUILT_AFTER)
		doctor_add(checks, "system clock", "bad",
		        "set it: timedatectl set-time, or an NTP service",
		        "it is before 2024: `until` and `hours` would be judged wrongly");
	else if (state < 0 || state == TIME_ERROR || timex.status & STA_UNSYNC)
		doctor_add(checks, "system clock", "warn",
		        "an NTP service, where peers have until or hours",
		        "not synchronised; only `until` and `hours` need it");
	else
		doctor_add(checks, "system clock", "ok", "", "synchronised");
}

void doctor_machine(json_t *checks)
{
	check_nft(checks);
	check_xfrm(checks);
	check_mtu(checks);
	check_clock(checks);
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * SAs that a charon which died left in the kernel. They live on until they expire, and carry what
 * flowed. So the other end hears from us, asks nothing, and does not find out that its IKE_SA is
 * dead; and where the next charon waits with a trap, the kernel takes such an SA for the trap's
 * (same ends, same reqid: it counts anew), sends each packet into it, and asks for no tunnel.
 *
 * Only outbound ones do that. Which these are say the policies that went with them. The inbound
 * ones are let be: the other end may go on sending until it knows.
 * Source: linux/xfrm.h; net/xfrm/xfrm_state.c, xfrm_state_find().
 */
#include "host/leftovers.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/xfrm.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>

#define OWN_MAX 64 /* addresses of ours from which SAs went */
#define TRIES 5

struct look {
	uint32_t if_id;
	size_t n_own;
	struct {
		uint16_t family;
		xfrm_address_t addr;
	} own[OWN_MAX];
	size_t n, cap;
	struct xfrm_usersa_id *found;
};

static int if_id_read(const struct nlattr *attr, void *data)
{
	if (mnl_attr_get_type(attr) == XFRMA_IF_ID && mnl_attr_validate(attr, MNL_TYPE_U32) >= 0)
		*(uint32_t *)data = mnl_attr_get_u32(attr);
	return MNL_CB_OK;
}

static int template_read(const struct nlattr *attr, void *data)
{
	if (mnl_attr_get_type(attr) == XFRMA_TMPL &&
	        mnl_attr_get_payload_len(attr) >= sizeof(struct xfrm_user_tmpl))
		memcpy(data, mnl_attr_get_payload(attr), sizeof(struct xfrm_user_tmpl));
	return MNL_CB_OK;
}

static bool is_own(const struct look *look, uint16_t family, const xfrm_address_t *addr)
{
	for (size_t i = 0; i < look->n_own; i++)
		if (look->own[i].family == family &&
		        memcmp(&look->own[i].addr, addr, family == AF_INET ? 4 : 16) == 0)
			return true;
	return false;
}

static int policy_row(const struct nlmsghdr *nlh, void *data)
{
	const struct xfrm_userpolicy_info *policy = mnl_nlmsg_get_payload(nlh);
	struct look *look = data;
	struct xfrm_user_tmpl tmpl = {0};
	uint32_t if_id = 0;

	if (nlh->nlmsg_type != XFRM_MSG_NEWPOLICY ||
	        mnl_nlmsg_get_payload_len(nlh) < sizeof(*policy) || policy->dir != XFRM_POLICY_OUT)
		return MNL_CB_OK;
	(void)mnl_attr_parse(nlh, sizeof(*policy), if_id_read, &if_id);
	(void)mnl_attr_parse(nlh, sizeof(*policy), template_read, &tmpl);
	if (if_id != look->if_id || (tmpl.family != AF_INET && tmpl.family != AF_INET6) ||
	        is_own(look, tmpl.family, &tmpl.saddr) || look->n_own == OWN_MAX)
		return MNL_CB_OK;
	look->own[look->n_own].family = tmpl.family;
	look->own[look->n_own++].addr = tmpl.saddr;
	return MNL_CB_OK;
}

static int sa_row(const struct nlmsghdr *nlh, void *data)
{
	const struct xfrm_usersa_info *sa = mnl_nlmsg_get_payload(nlh);
	struct look *look = data;
	uint32_t if_id = 0;

	if (nlh->nlmsg_type != XFRM_MSG_NEWSA || mnl_nlmsg_get_payload_len(nlh) < sizeof(*sa))
		return MNL_CB_OK;
	(void)mnl_attr_parse(nlh, sizeof(*sa), if_id_read, &if_id);
	/* Without an SPI it is a question to charon that waits for its answer. */
	if (if_id != look->if_id || sa->id.proto != IPPROTO_ESP || !sa->id.spi ||
	        !is_own(look, sa->family, &sa->saddr))
		return MNL_CB_OK;
	if (look->n == look->cap) {
		size_t cap = look->cap ? look->cap * 2 : 64;
		struct xfrm_usersa_id *found = realloc(look->found, cap * sizeof(*found));

		if (!found) {
			errno = ENOMEM;
			return MNL_CB_ERROR;
		}
		look->found = found;
		look->cap = cap;
	}
	look->found[look->n++] = (struct xfrm_usersa_id){.daddr = sa->id.daddr,
	        .spi = sa->id.spi,
	        .family = sa->family,
	        .proto = sa->id.proto};
	return MNL_CB_OK;
}

static struct nlmsghdr *message(char *buf, uint16_t type, uint16_t flags)
{
	static unsigned int seq;
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);

	nlh->nlmsg_type = type;
	nlh->nlmsg_flags = NLM_F_REQUEST | flags;
	nlh->nlmsg_seq = ++seq;
	return nlh;
}

static int ask(struct mnl_socket *sock, const struct nlmsghdr *nlh, mnl_cb_t row, void *user)
{
	char buf[32768];
	unsigned int port = mnl_socket_get_portid(sock);
	int more = 1;

	if (mnl_socket_sendto(sock, nlh, nlh->nlmsg_len) < 0)
		return -errno;
	while (more > 0) {
		ssize_t n = mnl_socket_recvfrom(sock, buf, sizeof(buf));

		if (n < 0)
			return -errno;
		more = mnl_cb_run(buf, (size_t)n, nlh->nlmsg_seq, port, row, user);
		if (more < 0)
			return -errno;
	}
	return 0;
}

static int dump(struct mnl_socket *sock, uint16_t type, size_t extra, mnl_cb_t row, void *user)
{
	char buf[512];
	struct nlmsghdr *nlh = message(buf, type, NLM_F_DUMP);

	mnl_nlmsg_put_extra_header(nlh, extra);
	return ask(sock, nlh, row, user);
}

static int look_for(struct mnl_socket *sock, struct look *look)
{
	int err;

	look->n = look->n_own = 0;
	err = dump(sock, XFRM_MSG_GETPOLICY, sizeof(struct xfrm_userpolicy_id), policy_row, look);
	return err ? err : dump(sock, XFRM_MSG_GETSA, sizeof(struct xfrm_usersa_id), sa_row, look);
}

static int end(struct mnl_socket *sock, const struct xfrm_usersa_id *sa)
{
	char buf[512];
	struct nlmsghdr *nlh = message(buf, XFRM_MSG_DELSA, NLM_F_ACK);

	memcpy(mnl_nlmsg_put_extra_header(nlh, sizeof(*sa)), sa, sizeof(*sa));
	return ask(sock, nlh, NULL, NULL);
}

static int look_and_end(struct look *look)
{
	struct mnl_socket *sock = mnl_socket_open2(NETLINK_XFRM, SOCK_CLOEXEC);
	struct timeval limit = {.tv_sec = 5};
	int err, ended = 0;

	if (!sock)
		return -errno;
	setsockopt(mnl_socket_get_fd(sock), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	err = mnl_socket_bind(sock, 0, MNL_SOCKET_AUTOPID) < 0 ? -errno : look_for(sock, look);
	for (size_t i = 0; !err && i < look->n; i++) {
		err = end(sock, &look->found[i]);
		ended += !err;
		if (err == -ESRCH) /* it has expired meanwhile */
			err = 0;
	}
	mnl_socket_close(sock);
	return err ? err : ended;
}

int leftovers_end(uint32_t if_id)
{
	struct look look = {.if_id = if_id};
	int ret = -EINTR;

	/* A dump that changed while it was read may lack rows: it is read again. */
	for (int i = 0; i < TRIES && ret == -EINTR; i++)
		ret = look_and_end(&look);
	free(look.found);
	return ret;
}

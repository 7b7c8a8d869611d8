/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Packets through the chains with 10,000 admitted peers and with 10. For each a pair of namespaces:
 *
 *	we  ipsec0 10.77.0.1 ---- veth ---- p0  ten peers' addresses  they
 *
 * The firewall stands in `we`; the device has an overlay device's name, it does not care what it
 * is. A burst of small UDP datagrams from (or to) ten peers is sent, handled in the sender's own
 * context (veth), and counted at its socket. Short bursts, the worlds in turn, many rounds: what
 * else runs on the machine hits all alike. A third world has no firewall: what the chains cost.
 */
#include "firewall/firewall.h"
#include "tests/bench/bench.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#define PART "chains"
#define ROUNDS 401
#define WARM_UP 10
#define BURST 600
#define SENDERS 10
#define PORT 17001
#define WORLDS 3

struct world {
	unsigned int peers; /* 0: no firewall */
	int we_send[SENDERS], they_take[SENDERS];
	int they_send[SENDERS], we_take;
	struct samples in, out;
};

/* Peers that speak are spread over all that are admitted. */
static unsigned int speaker(const struct world *w, unsigned int i)
{
	return 1 + i * (w->peers ? w->peers / SENDERS : 1);
}

static uint32_t overlay4(unsigned int i)
{
	return htonl(0x0a4d0001u + i);
}

static void firewall_load(unsigned int n)
{
	static const struct fw_ports ports[] = {
	        {IPPROTO_UDP, PORT, PORT}, {IPPROTO_TCP, PORT, PORT}};
	struct fw_addr overlay, self = {.family = AF_INET, .bits = 32};
	struct fw_error err = {""};
	struct fw_ruleset *rs;
	uint32_t a = overlay4(0);
	struct fw *fw;

	memcpy(self.bytes, &a, 4);
	if (fw_ruleset_new(&rs) || fw_addr_parse("10.77.0.0/16", &overlay) ||
	        fw_ruleset_set_device(rs, "ipsec0") || fw_ruleset_add_prefix(rs, &overlay) ||
	        fw_ruleset_add_self(rs, &self, 0) ||
	        fw_ruleset_add_allow(rs, FW_IN, "exec", ports, 2, "exec>head") ||
	        fw_ruleset_add_allow(rs, FW_OUT, "exec", ports, 2, "head>exec"))
		die("cannot make a ruleset");
	for (unsigned int i = 1; i <= n; i++) {
		struct fw_peer p = {.v4 = self, .in = "exec", .out = "exec"};
		char name[16];

		snprintf(name, sizeof(name), "n%05u", i);
		p.name = name;
		a = overlay4(i);
		memcpy(p.v4.bytes, &a, 4);
		if (fw_ruleset_set_peer(rs, &p))
			die("cannot add %s", name);
	}
	if (fw_open(&fw, &err) || fw_commit(fw, rs, NULL, &err))
		die("%s", err.text);
	fw_ruleset_free(rs);
	fw_close(fw);
}

static int udp_socket(uint32_t from, uint16_t port, uint32_t to)
{
	struct sockaddr_in sa = {.sin_family = AF_INET, .sin_port = htons(port)};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), on = 1;
	int room = 64 << 20;

	sa.sin_addr.s_addr = from;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room));
	setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof(room));
	if (fd < 0 || bind(fd, (void *)&sa, sizeof(sa)) < 0)
		die("udp socket: %s", strerror(errno));
	sa.sin_addr.s_addr = to;
	sa.sin_port = htons(PORT);
	if (to && connect(fd, (void *)&sa, sizeof(sa)) < 0)
		die("udp connect: %s", strerror(errno));
	return fd;
}

static void world_make(struct world *w)
{
	int they = namespace_new(), we = namespace_new();

	shell("ip link add ipsec0 type veth peer name p0 netns /proc/%d/fd/%d && ip link set lo up "
	      "&& ip addr add 10.77.0.1/16 dev ipsec0 && ip link set ipsec0 up",
	        getpid(), they);
	namespace_enter(they);
	shell("ip link set lo up && ip link set p0 up");
	for (unsigned int i = 0; i < SENDERS; i++) {
		struct in_addr a = {overlay4(speaker(w, i))};

		shell("ip addr add %s/16 dev p0", inet_ntoa(a));
	}
	for (unsigned int i = 0; i < SENDERS; i++) {
		w->they_take[i] = udp_socket(overlay4(speaker(w, i)), PORT, 0);
		w->they_send[i] =
		        udp_socket(overlay4(speaker(w, i)), (uint16_t)(20000 + i), overlay4(0));
	}
	namespace_enter(we);
	if (w->peers)
		firewall_load(w->peers);
	w->we_take = udp_socket(overlay4(0), PORT, 0);
	for (unsigned int i = 0; i < SENDERS; i++)
		w->we_send[i] =
		        udp_socket(overlay4(0), (uint16_t)(20000 + i), overlay4(speaker(w, i)));
}

/* Reads all there is; how many datagrams. */
static unsigned int drain(int fd)
{
	static char room[64][64];
	struct mmsghdr msgs[64];
	struct iovec iov[64];
	unsigned int total = 0;
	int n;

	do {
		for (int i = 0; i < 64; i++) {
			iov[i] = (struct iovec){room[i], sizeof(room[i])};
			msgs[i] =
			        (struct mmsghdr){.msg_hdr = {.msg_iov = &iov[i], .msg_iovlen = 1}};
		}
		n = recvmmsg(fd, msgs, 64, MSG_DONTWAIT, NULL);
		total += n > 0 ? (unsigned int)n : 0;
	} while (n > 0);
	return total;
}

static void send_burst(const int fds[SENDERS])
{
	static char byte[32];

	for (unsigned int i = 0; i < BURST; i++)
		if (send(fds[i % SENDERS], byte, sizeof(byte), 0) < 0)
			die("send: %s", strerror(errno));
}

/* Packets per second of one burst that arrived; 0: it did not, whole. */
static double burst(const int from[SENDERS], const int *to, unsigned int n_to)
{
	unsigned int got = 0;
	uint64_t t0 = now_ns(), t1;

	send_burst(from);
	t1 = now_ns();
	/* What ksoftirqd has taken over is still on its way. */
	for (unsigned int tries = 0; got < BURST && tries < 2000; tries++) {
		for (unsigned int i = 0; i < n_to; i++)
			got += drain(to[i]);
		if (got < BURST)
			t1 = now_ns();
	}
	if (got != BURST)
		die("%u of %u packets arrived", got, BURST);
	return BURST / ((double)(t1 - t0) / 1e9);
}

static void world_round(struct world *w, bool count)
{
	double in, out;

	in = burst(w->they_send, &w->we_take, 1);
	out = burst(w->we_send, w->they_take, SENDERS);
	if (count) {
		sample(&w->in, in);
		sample(&w->out, out);
	}
}

static void report(struct world w[WORLDS])
{
	row(PART, "packets/s in, 10 admitted peers", median(&w[0].in), "/s", NULL, 0);
	row(PART, "packets/s in, 10,000 admitted peers", median(&w[1].in), "/s", NULL, 0);
	row(PART, "packets/s in, no firewall at all", median(&w[2].in), "/s", NULL, 0);
	row(PART, "packets/s out, 10 admitted peers", median(&w[0].out), "/s", NULL, 0);
	row(PART, "packets/s out, 10,000 admitted peers", median(&w[1].out), "/s", NULL, 0);
	row(PART, "packets/s out, no firewall at all", median(&w[2].out), "/s", NULL, 0);
	row(PART, "in, 10,000 peers : 10 peers", median(&w[1].in) / median(&w[0].in), "x",
	        ">=", 0.95);
	row(PART, "out, 10,000 peers : 10 peers", median(&w[1].out) / median(&w[0].out), "x",
	        ">=", 0.95);
}

int main(void)
{
	static struct world worlds[WORLDS] = {{.peers = 10}, {.peers = 10000}, {.peers = 0}};
	char method[128];
	cpu_set_t one;

	CPU_ZERO(&one);
	CPU_SET(sched_getcpu(), &one);
	sched_setaffinity(0, sizeof(one), &one);
	for (int i = 0; i < WORLDS; i++)
		world_make(&worlds[i]);
	for (unsigned int r = 0; r < WARM_UP + ROUNDS; r++)
		for (unsigned int i = 0; i < WORLDS; i++)
			world_round(&worlds[(i + r) % WORLDS], r >= WARM_UP);
	snprintf(method, sizeof(method),
	        "%d rounds of %d-packet bursts, in turn; medians; every packet counted", ROUNDS,
	        BURST);
	title(PART, "Firewall: packet rate through the chains (UDP, 10 flows)", method);
	report(worlds);
	return 0;
}

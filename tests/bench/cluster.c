/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * cluster key I		node I's private key, as in its state directory
 * cluster addresses A B	for `ip -batch`: the machine on which nodes A..B live
 */
#include "tests/bench/cluster.h"

static void addresses(unsigned int i)
{
	char text[INET6_ADDRSTRLEN];
	struct policy_addr endpoint;
	struct node node;

	node_make(i, &node);
	node_endpoint(i, &endpoint);
	policy_addr_print(&endpoint, text, sizeof(text));
	if (i)
		printf("addr add %s/32 dev lo\n", text);
	policy_addr_print(&node.addr4, text, sizeof(text));
	printf("addr add %s/32 dev lo\n", text);
	policy_addr_print(&node.addr6, text, sizeof(text));
	printf("addr add %s/128 dev lo nodad\n", text);
}

int main(int argc, char **argv)
{
	unsigned int i = argc > 2 ? (unsigned int)strtoul(argv[2], NULL, 10) : 0;
	char pem[512];

	if (argc == 3 && !strcmp(argv[1], "key")) {
		node_secret_pem(i, pem, sizeof(pem));
		fputs(pem, stdout);
		return 0;
	}
	if (argc == 4 && !strcmp(argv[1], "addresses")) {
		for (; i <= (unsigned int)strtoul(argv[3], NULL, 10); i++)
			addresses(i);
		return 0;
	}
	die("usage: cluster key I | addresses A B");
}

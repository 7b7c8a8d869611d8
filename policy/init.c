/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The first policy of a new cluster: a text to learn from. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "policy/policy_edit.h"

static const char head[] =
        "# The policy of this cluster. After a change: `overlayctl check`, then `overlayctl sign\n"
        "# --load`, which brings it to all nodes. Without a cluster key: raise `serial`, and "
        "bring\n"
        "# the same files to every node. A policy with a fault changes nothing.\n"
        "\n"
        "cluster: %s\n"
        "serial: 1                 # rises with every change\n"
        "overlay: %s    # peers get their addresses from this network\n"
        "firewall: guard           # guard: protect the cluster's ports on this overlay\n"
        "                          # lockdown: close the whole host but for `manage`\n"
        "join: true                # seeds let newcomers ask (overlayctl ticket, join, approve)\n"
        "\n"
        "# Where nodes stand. behind_nat: peers there can be reached only by what they began.\n"
        "sites:\n"
        "  main: { timezone: UTC }\n"
        "# cloud: { timezone: Europe/Brussels, behind_nat: true }\n"
        "\n"
        "# Roles that may have no peer for now. Other roles are made by giving them to a peer.\n"
        "# A `seed` passes the signed policy on, and is always connected: two or three are good.\n"
        "roles: [admin, head, exec]\n"
        "\n"
        "# Nothing is open but what stands here: from a role, to a role, a service.\n"
        "# Built in: pbs, slurm, corosync, pacemaker, heartbeat, maas, ssh; `services` adds more,\n"
        "# or replaces them:\n"
        "# services:\n"
        "#   web: { ports: [tcp/80, tcp/443] }\n"
        "services:\n"
        "  ping: { ports: [icmp] }\n"
        "allow:\n"
        "  - { from: exec, to: head, service: pbs }\n"
        "  - { from: head, to: exec, service: pbs }\n"
        "  - { from: admin, to: \"*\", service: ssh }\n"
        "  - { from: \"*\", to: \"*\", service: ping }\n"
        "\n"
        "# Who may reach a host from outside the overlay, in clear:\n"
        "# manage:\n"
        "#   - { from: 192.0.2.0/24, service: ssh }\n"
        "\n"
        "# An address that moves between peers:\n"
        "# failover:\n"
        "#   pbs-server: { address: 10.77.255.1, holders: [head1, head2] }\n"
        "\n"
        "# Peers: each is its key (`overlayctl id` prints the line). `overlayctl approve` puts "
        "each\n"
        "# into a file of its own, peers.d/NAME.yaml. `until` and `hours` bound its time:\n"
        "#   until: 2026-12-31           # through that day\n"
        "#   hours: \"Mon-Fri 18:00-08:00\"  # nights only, in the site's time\n";

static const char tail[] = "\n"
                           "# Tokens let newcomers in without an admin, for a while: `overlayctl "
                           "ticket --token` puts\n"
                           "# each into a file of its own, tokens.d/NAME.yaml.\n"
                           "\n"
                           "# What must hold; checked before any change is taken over:\n"
                           "# tests:\n"
                           "#   - { from: node17, to: head1, port: tcp/17001, expect: allow }\n"
                           "#   - { from: node17, to: head1, port: tcp/22, expect: deny }\n";

/* The first address of the overlay, or the overlay's text when that is none (the check tells). */
static void first_address(const char *overlay, char *buf, size_t size)
{
	struct policy_addr addr;
	size_t len = strcspn(overlay, "/");

	snprintf(buf, size, "%.*s", (int)(len < 40 ? len : 40), overlay);
	if (policy_addr_parse(buf, &addr) == 0) {
		addr.bytes[3]++;
		policy_addr_print(&addr, buf, size);
	}
}

static void start_write(FILE *out, const struct policy_start *start)
{
	const char *overlay = start->overlay ? start->overlay : "10.77.0.0/16";
	char address[64];

	fprintf(out, head, start->cluster ? start->cluster : "cluster", overlay);
	if (start->name) {
		first_address(overlay, address, sizeof(address));
		fprintf(out, "peers:\n  %s:\n    key: \"%s\"\n", start->name,
		        start->key ? start->key : "");
		fprintf(out, "    address: %s\n    site: main\n    roles: [admin, head, seed]\n",
		        address);
		if (start->endpoint)
			fprintf(out, "    endpoints: [\"%s\"]\n", start->endpoint);
	}
	fputs(tail, out);
}

char *policy_init_text(const struct policy_start *start, struct policy_report *report)
{
	struct policy_file file = {.name = "policy.yaml"};
	struct policy *policy;
	char *text = NULL;
	FILE *out = open_memstream(&text, &file.len);

	if (!out)
		return NULL;
	start_write(out, start);
	if (fclose(out))
		goto fail;
	file.data = text;
	if (policy_parse(&file, 1, &policy, report))
		goto fail;
	policy_unref(policy);
	return text;
fail:
	free(text);
	return NULL;
}

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The cluster's names as a file of the run directory, OVERLAY_HOSTS_FILE: what nss/ reads.
 *
 *	10.77.0.17 node17 node17.hpc
 *	fd76:56f9:679d::11 node17 node17.hpc
 *
 * Two such lines for each peer of the policy in force, this node and guests among them; without a
 * policy in force there is but a comment. It is for every user of the node (0644), always whole (a
 * new file takes its place), and written only when it would say something else. It stays when
 * overlayd stops, as tunnels do; --flush takes it away.
 */
#ifndef OVERLAYD_HOST_HOSTSFILE_H
#define OVERLAYD_HOST_HOSTSFILE_H

#include <stdbool.h>
#include <stddef.h>

struct policy;
struct world;
struct hostsfile;

/*
 * What it says of a policy, or of none (NULL). free() it; NULL: out of memory.
 *
 * Upper and lower case are the same in a name, so of peers that differ in nothing else only the first
 * by name has a line; and NAME.CLUSTER is left out where a peer has that very name.
 */
char *hostsfile_text(const struct policy *policy, size_t *len);

/* Writes it once the loop runs. */
int hostsfile_new(struct world *world, struct hostsfile **out);
/* Another policy is in force: soon, at most once in HOSTSFILE_PAUSE_US. Failures are told, and
 * tried again after HOSTSFILE_AGAIN_US. */
void hostsfile_changed(struct hostsfile *file);
/* The last try to write it came to nothing. */
bool hostsfile_failed(const struct hostsfile *file);
void hostsfile_free(struct hostsfile *file);
#define HOSTSFILE_PAUSE_US 200000
#define HOSTSFILE_AGAIN_US 5000000

void hostsfile_remove(const char *run_dir);

#endif

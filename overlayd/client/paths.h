/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Where things are: the one place that the daemon, overlayctl and other clients share.
 * Every path can be changed on the command line of overlayd and overlayctl.
 */
#ifndef OVERLAYD_CLIENT_PATHS_H
#define OVERLAYD_CLIENT_PATHS_H

#define OVERLAY_CONFIG_DIR "/etc/overlayd"    /* policy.yaml, peers.d/, tokens.d/; --config */
#define OVERLAY_STATE_DIR "/var/lib/overlayd" /* node.key; --state */
#define OVERLAY_RUN_DIR "/run/overlayd"       /* --run of the daemon */

#define OVERLAY_POLICY_FILE "policy.yaml"     /* below the config directory */
#define OVERLAY_PEERS_DIR "peers.d"           /* below the config directory */
#define OVERLAY_TOKENS_DIR "tokens.d"         /* below the config directory */
#define OVERLAY_CLUSTER_PUB "cluster.pub"     /* below the config directory */
#define OVERLAY_CLUSTER_KEY "cluster.key"     /* secret; beside it, or elsewhere */
#define OVERLAY_NODE_KEY "node.key"           /* below the state directory */
#define OVERLAY_NODE_KEY_NEXT "node.key.next" /* beside it, while the node changes its key */
#define OVERLAY_ADMIN_SOCKET "admin.sock"     /* below the run directory */
#define OVERLAY_HOSTS_FILE "hosts"            /* names of the overlay; below the run directory */
#define OVERLAY_SOCKET OVERLAY_RUN_DIR "/" OVERLAY_ADMIN_SOCKET /* --socket of overlayctl */

#define OVERLAY_GROUP "overlayd" /* may use the admin socket, where the group exists */

#endif

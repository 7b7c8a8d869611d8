/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Making the cluster's key pair. */
#ifndef OVERLAYD_CTL_CLUSTERKEY_H
#define OVERLAYD_CTL_CLUSTERKEY_H

#include "ctl/ctl.h"
#include "policy/minisign.h"

/* Both files, new; clear: without a passphrase, else it is asked. CTL_OK, or told. */
int clusterkey_make(struct ctl *ctl, const char *path, const char *pub_path, bool clear,
        struct minisign_public *pub_out);

#endif

/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the process may do, cut down to what it needs; each right that is kept has its reason in
 * rights.c.
 */
#ifndef OVERLAYD_HOST_RIGHTS_H
#define OVERLAYD_HOST_RIGHTS_H

#include <stddef.h>

/* First thing in main(): umask, no core dumps (a key may be in memory), small arenas. */
void rights_begin(void);
/* Before the loop runs, after sockets and directories are made. 0, or why not. */
int rights_drop(char *err, size_t err_size);
/* For a helper process that needs none: all capabilities go. */
void rights_drop_all(void);

#endif

/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How a machine can be broken on purpose: the engine is built with ENGINE_IMPAIR here. */
#ifndef TESTS_SIMCLUSTER_IMPAIR_H
#define TESTS_SIMCLUSTER_IMPAIR_H

#include <stdbool.h>
#include <stddef.h>

const char *impair_name(size_t i); /* NULL: no more */
/* From now on every machine is broken so; NULL: none is. False: not known. */
bool impair(const char *name);

#endif

#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# What one approval costs in clusters of 10 to 10,000 nodes, simulated (tests/simcluster/scale.c).
exec "$B/tests/simcluster" --scale --json

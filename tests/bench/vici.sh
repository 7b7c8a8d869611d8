#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Connections into a real charon; the measuring is in vici.c.
. "$(dirname "$0")/bed.sh"
bed "$@"

site hq 192.0.2
bench_node hub hq 10
"$BENCH_BIN/vici" files "$BED_DIR/swanctl" 1000
command=
if command -v swanctl >/dev/null; then
	command="env SWANCTL_DIR=$BED_DIR/swanctl swanctl --load-conns --uri unix:///run/charon.vici"
fi
n hub "$BENCH_BIN/vici" load /run/charon.vici 1000 ${command:+"$command"} || exit 1
charon_stop hub
charon_start hub
n hub "$BENCH_BIN/vici" one /run/charon.vici

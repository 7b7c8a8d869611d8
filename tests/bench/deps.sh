#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Installs what `make bench` compares with, and nothing that is there already: iperf3 (measures the
# tunnels), strace (counts what an unchanged reload sends), nebula and wireguard-go.
set -eu

missing=
for p in iperf3 strace nebula wireguard-go wireguard-tools; do
	case $(dpkg-query -W -f '${Status}' "$p" 2>/dev/null) in
	"install ok installed") ;;
	*) missing="$missing $p" ;;
	esac
done
[ -n "$missing" ] || exit 0
if [ "$(id -u)" != 0 ]; then
	echo "deps-bench: run as root: apt-get install --no-install-recommends$missing" >&2
	exit 1
fi
echo "deps-bench: installing$missing"
export DEBIAN_FRONTEND=noninteractive
apt="apt-get -qq -o DPkg::Lock::Timeout=120"
# shellcheck disable=SC2086
if ! $apt install -y --no-install-recommends $missing >/dev/null 2>&1; then
	$apt update
	$apt install -y --no-install-recommends $missing >/dev/null
fi

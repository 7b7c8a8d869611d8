#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Installs what is missing to build, test and show overlayd on Debian 12 or newer, and nothing
# that is there already. strongSwan's package would start a charon on this machine: it is kept
# from that (a service that was installed before is left as it was).
#
# usage: tests/deps.sh [build|all]      build: only what compiling takes
set -eu

build="gcc libc6-dev make pkg-config libfyaml-dev libnftnl-dev libmnl-dev libsystemd-dev
	libjansson-dev libssl-dev uthash-dev"
# charon: vici is in -swanctl, openssl (Ed25519, X25519, AES-GCM) in -standard-plugins,
# kernel-libipsec in libcharon-extra-plugins.
bed="strongswan-charon strongswan-swanctl libstrongswan-standard-plugins libcharon-extra-plugins
	nftables iproute2 util-linux procps netbase tcpdump socat openssl python3"
# netbase: /etc/protocols, which nft and tcpdump read. clang with its runtime:
# libFuzzer. The man pages: scdoc. The tool whose files we write and read: minisign.
check="libcmocka-dev clang libclang-rt-14-dev clang-format cppcheck scdoc minisign"

case ${1:-all} in
build) want=$build ;;
all) want="$build $bed $check" ;;
*) echo "usage: $0 [build|all]" >&2; exit 2 ;;
esac

if ! command -v dpkg-query >/dev/null; then
	echo "deps: this is not Debian. Install by hand what these packages hold:" $want >&2
	exit 1
fi

missing=
for p in $want; do
	case $(dpkg-query -W -f '${Status}' "$p" 2>/dev/null) in
	"install ok installed") ;;
	*) missing="$missing $p" ;;
	esac
done
if [ -z "$missing" ]; then
	exit 0
fi
if [ "$(id -u)" != 0 ]; then
	echo "deps: these packages are missing:$missing" >&2
	echo "deps: run as root: apt-get install --no-install-recommends$missing" >&2
	exit 1
fi

masked=
starter=strongswan-starter.service
unmask() {
	if [ -n "$masked" ]; then
		systemctl --quiet disable $starter 2>/dev/null || :
		systemctl --quiet --runtime unmask $starter || :
	fi
}
case $missing in
*strongswan*)
	if [ -d /run/systemd/system ] && ! dpkg-query -W strongswan-starter >/dev/null 2>&1; then
		trap unmask EXIT INT TERM
		systemctl --quiet --runtime mask $starter && masked=1
	fi
	;;
esac

echo "deps: installing$missing"
export DEBIAN_FRONTEND=noninteractive
apt="apt-get -qq -o DPkg::Lock::Timeout=120"
# Lists may be old or absent: refresh them only where the install needs it.
# shellcheck disable=SC2086
if ! $apt install -y --no-install-recommends $missing >/dev/null 2>&1; then
	$apt update
	$apt install -y --no-install-recommends $missing >/dev/null
fi

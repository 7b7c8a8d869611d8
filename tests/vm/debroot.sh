#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# debroot.sh DIR: makes DIR/base, a fresh Debian of the host's release from the host's own
# mirrors, with systemd and what overlayd's packages depend on, but none of them: so that a test
# installs our packages without the network. Made once; remove DIR/base to have it anew.
set -euo pipefail
export LC_ALL=C DEBIAN_FRONTEND=noninteractive

dir=$1
base=$dir/base
# Tools that the tests in it use, and strongSwan as a user would have it.
include=systemd,systemd-sysv,udev,kmod,dbus,iproute2,iputils-ping,nftables,procps,bash-completion,man-db
include=$include,python3-minimal,python3,socat,charon-systemd,strongswan-swanctl
include=$include,libstrongswan-extra-plugins,libstrongswan-standard-plugins,libcharon-extra-plugins
include=$include,libfyaml0,libjansson4,libmnl0,libnftnl11,libssl3,libsystemd0,libjansson-dev,strongswan-charon,openssl,tcpdump
[ -e "$base/.done" ] && [ "$(cat "$base/.done")" = "$include" ] && exit 0

mapfile -t mirrors < <(apt-get indextargets --format '$(ORIGIN)|$(REPO_URI)|$(RELEASE)|$(COMPONENT)' \
	'Created-By: Packages' | sed -n 's/^Debian|//p')
IFS='|' read -r uri release _ <<<"${mirrors[0]:-}"
if [ -z "${uri:-}" ]; then
	echo "debroot.sh: apt knows no Debian mirror: run 'apt-get update'" >&2
	exit 1
fi
mkdir -p "$dir"
rm -rf "$base" "$base.part"
if ! debootstrap --variant=minbase "$release" "$base.part" "$uri" >"$dir/debootstrap.log" 2>&1; then
	tail -n 20 "$dir/debootstrap.log" >&2
	exit 1
fi
for mirror in "${mirrors[@]}"; do
	IFS='|' read -r uri release component <<<"$mirror"
	echo "deb $uri $release $component"
done >"$base.part/etc/apt/sources.list"
# Nothing starts in a root that is not running.
printf '#!/bin/sh\nexit 101\n' >"$base.part/usr/sbin/policy-rc.d"
chmod 755 "$base.part/usr/sbin/policy-rc.d"
cp /etc/resolv.conf "$base.part/etc/resolv.conf"
if ! { chroot "$base.part" apt-get -qq update &&
	chroot "$base.part" apt-get -qqy --no-install-recommends install ${include//,/ } &&
	chroot "$base.part" apt-get -qqy upgrade &&
	chroot "$base.part" apt-get clean; } >"$dir/apt.log" 2>&1; then
	tail -n 20 "$dir/apt.log" >&2
	exit 1
fi
# No mirror is needed from here on, and none must be asked.
rm -rf "$base.part"/var/lib/apt/lists/* "$base.part/etc/resolv.conf" "$base.part/etc/apt/sources.list" \
	"$base.part/usr/sbin/policy-rc.d"
echo "$include" >"$base.part/.done"
mv "$base.part" "$base"

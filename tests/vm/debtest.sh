#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# debtest.sh BUILD: tries the packages in BUILD as a user would, in a fresh Debian with systemd as
# init, in a VM: install, first policy, start; kill, flush, upgrade; boot; purge. Two of
# the boots are captured outside, from power-on to power-off: one without overlayd, in which
# the chatter to the overlay must be seen in clear, one with it, in which it must not.
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/tap.sh"
build=$(cd "$1" && pwd)
dir=$build/debtest
logs=$dir/logs
started=$SECONDS
results=$dir/results
mkdir -p "$logs"
: >"$results"

"$here/debroot.sh" "$dir" || exit 1
"$here/image.sh" "$build/vm" || exit 1
kernel=$build/vm/${VM_KERNEL:-cloud-amd64}

# ---- the machine's disk: the fresh Debian, a kernel's modules and the test's own units

work=$(mktemp -d "$dir/work.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM HUP
root=$work/root
cp -a --reflink=auto "$dir/base" "$root"
rm -f "$root/.done"
cp -a "$kernel/lib/modules" "$root/lib/"
install -m 755 "$here/deb/ovl-vm" "$root/usr/local/sbin/"
install -D -m 644 "$here/deb/ovl-chatter.py" "$root/usr/local/lib/ovl-chatter.py"
install -m 644 "$here"/deb/*.service "$root/etc/systemd/system/"
install -m 644 "$here/deb/10-ovl.network" "$root/etc/systemd/network/"
# liboverlay-dev as it lies in the packages: a program is built with it here and run in the machine.
dev=$work/dev
for package in liboverlay0 liboverlay-dev; do dpkg -x "$build/$package"_[0-9]*.deb "$dev"; done
dev_pkg_config() {
	PKG_CONFIG_SYSROOT_DIR=$dev PKG_CONFIG_LIBDIR="$(echo "$dev"/usr/lib/*/pkgconfig):$(echo /usr/lib/*/pkgconfig)" \
		PKG_CONFIG_ALLOW_SYSTEM_CFLAGS=1 PKG_CONFIG_ALLOW_SYSTEM_LIBS=1 pkg-config "$@" liboverlay
}
# shellcheck disable=SC2046
check "a program builds with liboverlay-dev" gcc -std=c11 -pedantic -Wall -Wextra -Werror \
	-o "$root/usr/local/bin/ovl-ask" "$here/deb/ask.c" $(dev_pkg_config --cflags --libs) | tee -a "$results"
# shellcheck disable=SC2046
check "and statically, with what it needs in turn" gcc -o "$work/ask-static" "$here/deb/ask.c" \
	$(dev_pkg_config --static --cflags --libs | sed 's/-loverlay/-l:liboverlay.a/') | tee -a "$results"
echo vm1 >"$root/etc/hostname"
echo 127.0.1.1 vm1 >>"$root/etc/hosts"
echo '/dev/vda / ext4 defaults 0 1' >"$root/etc/fstab"
tr -d - </proc/sys/kernel/random/uuid >"$root/etc/machine-id"
chroot "$root" systemctl -q enable ovl-vm ovl-chatter systemd-networkd nftables strongswan strongswan-starter
# What only costs time in emulation.
chroot "$root" systemctl -q mask apt-daily.timer apt-daily-upgrade.timer man-db.timer e2scrub_reap.service \
	fstrim.timer dpkg-db-backup.timer systemd-timesyncd.service getty@tty1.service serial-getty@ttyS0.service
rm -f "$work/disk"
truncate -s 1500M "$work/disk"
mke2fs -q -t ext4 -O ^has_journal -d "$root" "$work/disk"
rm -rf "$root"

# ---- the boots

debs=$(cd "$build" && ls -- ./*.deb)
boot() { # boot STEP [PCAP]
	echo "== $1"
	VM_PROGRAMS=$debs "$here/run" -b "$build" -t 900 -l "$logs/$1" -r "$work/disk" ${2:+-w "$2"} -- \
		bash tests/vm/deb/guest "$1" | tee -a "$results"
	[ "${PIPESTATUS[0]}" = 0 ]
}
clear() { tcpdump -n -r "$1" 'net 10.77.0.0/16' 2>/dev/null | head -n 5; }
saw_clear() { [ -n "$(clear "$1")" ]; }
saw_no_clear() { [ -s "$1" ] && [ -z "$(clear "$1")" ]; }
saw_only_ike() { # what the guard leaves alone is named: ARP and IGMP, which never leave the link
	local other
	other=$(tcpdump -n -r "$1" 'not arp and not igmp and not udp port 4500' 2>/dev/null | head -n 5)
	[ -z "$other" ] || { echo "$other"; return 1; }
}
saw_ike() { [ -n "$(tcpdump -n -c 1 -r "$1" 'udp port 4500' 2>/dev/null)" ]; }
said() { check "$@" | tee -a "$results"; }

boot clear "$logs/clear.pcap"
said "without overlayd the capture outside sees the chatter" saw_clear "$logs/clear.pcap"
boot install
boot boot "$logs/boot.pcap"
said "with it nothing for the overlay left in clear, from power-on to power-off" saw_no_clear "$logs/boot.pcap"
said "its IKE was seen" saw_ike "$logs/boot.pcap"
said "nor anything else but UDP 4500" saw_only_ike "$logs/boot.pcap"
boot purge

failed=$(grep -c '^not ok' "$results")
echo "time: $((SECONDS - started)) s"
echo "$(grep -c '^ok' "$results") passed, $failed failed, 0 skipped"
[ "$failed" = 0 ] && [ "$(grep -c '^ok' "$results")" -gt 40 ]

#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# kernel.sh DIR [FLAVOUR]: puts Debian's kernel (default: cloud-amd64) under DIR, downloaded with apt
# and unpacked, never installed, and prints the directory it is in. A kernel that is there is
# taken as it is: remove DIR to have the newest.
set -eu

dir=$1
flavour=${2:-cloud-amd64}
mkdir -p "$dir"
dir=$(cd "$dir" && pwd)

if [ ! -e "$dir/$flavour/done" ]; then
	package_of() {
		apt-cache depends "linux-image-$flavour" 2>/dev/null |
			sed -n 's/.*Depends: \(linux-image-[0-9][^ ]*\)$/\1/p' | head -n 1
	}
	package=$(package_of)
	if [ -z "$package" ]; then
		apt-get -qq update >&2
		package=$(package_of)
	fi
	if [ -z "$package" ]; then
		echo "kernel.sh: apt knows no linux-image-$flavour" >&2
		exit 1
	fi
	tmp=$dir/$flavour.part
	rm -rf "$tmp" "${dir:?}/$flavour"
	mkdir -p "$tmp"
	# _apt may not enter our directory; apt then only warns, but let it be silent.
	(cd "$tmp" && apt-get -qq -o APT::Sandbox::User=root download "$package" >&2)
	dpkg -x "$tmp"/linux-image-*.deb "$tmp"
	rm -f "$tmp"/*.deb
	version=$(basename "$tmp"/lib/modules/*)
	mv "$tmp/boot/vmlinuz-$version" "$tmp/vmlinuz"
	rm -rf "$tmp/boot" "$tmp/usr/share"
	/sbin/depmod -b "$tmp" "$version"
	echo "$version" >"$tmp/version"
	touch "$tmp/done"
	mv "$tmp" "$dir/$flavour"
fi
echo "$dir/$flavour"

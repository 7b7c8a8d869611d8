#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# image.sh DIR [FLAVOUR]: makes DIR/FLAVOUR/{vmlinuz,initrd,root.squashfs}, the guest in which the suites
# run. The root is a closure of the host's own files (see packages), read-only, so
# what is tested is what is installed here; nothing of the project is in it (run adds that).
# Made again only when the list or an installed package changed.
set -euo pipefail
export PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C

here=$(cd "$(dirname "$0")" && pwd)
dir=$1
flavour=${2:-cloud-amd64}
kernel=$("$here/kernel.sh" "$dir" "$flavour")
version=$(<"$kernel/version")

python=$(basename "$(readlink -f /usr/bin/python3)")
mapfile -t wanted < <(sed -e 's/#.*//' -e "s/%py/$python/" -e '/^[[:space:]]*$/d' -e 's/[[:space:]]*$//' \
	"$here/packages")
packages=() files=()
for name in "${wanted[@]}"; do
	case $name in
	/*) files+=("$name") ;;
	*) packages+=("$name") ;;
	esac
done

missing=$(dpkg-query -W -f '${binary:Package} ${db:Status-Status}\n' "${packages[@]}" 2>&1 |
	awk '/no packages found/ { print $NF } $2 == "not-installed" { print $1 }')
if [ -n "$missing" ]; then
	echo "image.sh: not installed here: ${missing//$'\n'/ } (make deps-vm installs them)" >&2
	exit 1
fi

stamp=$( { cat "$here/packages" "$here/image.sh" "$here/initrd-init" "$here/init"
	dpkg-query -W; echo "$version"; } | sha256sum)
if [ -e "$kernel/root.squashfs" ] && [ "$stamp" = "$(cat "$kernel/root.stamp" 2>/dev/null)" ]; then
	exit 0
fi

work=$(mktemp -d "$dir/image.XXXXXX")
trap 'rm -rf "$work"' EXIT

# Debian's /bin, /sbin and /lib are links into /usr: list every file under its real directory.
merge() { sed -E 's#^/(bin|sbin|lib|lib32|lib64|libx32)/#/usr/\1/#'; }

list_files() {
	dpkg -L "${packages[@]}" |
		grep -Ev '^/usr/share/(doc|man|info|locale|lintian|bash-completion|zsh|bug|perl|i18n)/' |
		grep -Ev '/(__pycache__|test|idlelib|lib2to3|ensurepip|pydoc_data)/'
	printf '%s\n' "${files[@]}"
	# What update-alternatives points at is not in any package's list.
	find /etc/alternatives -lname '*/mawk'
}

list_files | merge | sort -u | while IFS= read -r path; do
	if [ -L "$path" ] || [ -f "$path" ]; then echo "$path"; fi
done >"$work/files"

# The libraries that these need, and the files that links among them lead to.
tr '\n' '\0' <"$work/files" | xargs -0 file -L --mime-type -F '' -- 2>/dev/null |
	awk '/application\/x-(pie-)?(executable|sharedlib)/ { print $1 }' >"$work/elf"
xargs ldd <"$work/elf" 2>/dev/null |
	awk '$2 == "=>" && $3 ~ /^\// { print $3 } $1 ~ /^\// && $2 ~ /^\(/ { print $1 }' |
	sort -u >"$work/libs"
# shellcheck disable=SC2002
cat "$work/libs" | xargs readlink -f | cat - "$work/libs" "$work/files" | merge | sort -u >"$work/all"

root=$work/root
mkdir -p "$root"/{usr/{bin,sbin,lib,lib64,share/zoneinfo},etc,dev,proc,sys,run,tmp,var/{tmp,lib},root,src,mnt}
for link in bin sbin lib lib64; do ln -s "usr/$link" "$root/$link"; done
ln -s /run "$root/var/run"
tar -C / --no-recursion -c -T <(sed 's#^/##' "$work/all") 2>/dev/null | tar -C "$root" -xp
# Our own few lines of /etc: none of the host's users, hosts or resolver leak into the guest.
printf '%s\n' 'root:x:0:0:root:/root:/bin/bash' 'nobody:x:65534:65534::/:/usr/sbin/nologin' \
	'tcpdump:x:100:100::/:/usr/sbin/nologin' 'user:x:1000:1000::/tmp:/bin/bash' >"$root/etc/passwd"
printf '%s\n' 'root:x:0:' 'nogroup:x:65534:' 'tcpdump:x:100:' 'overlayd:x:101:' 'user:x:1000:' \
	>"$root/etc/group"
echo 'hosts: files' >"$root/etc/nsswitch.conf"
printf '127.0.0.1 localhost\n::1 localhost\n' >"$root/etc/hosts"
echo vm >"$root/etc/hostname"
cp -a "$kernel/lib/modules" "$root/usr/lib/"
install -m 755 "$here/init" "$root/init"
ldconfig -r "$root"
mksquashfs "$root" "$work/root.squashfs" -comp lz4 -no-xattrs -all-root -noappend -quiet -no-progress \
	-processors 2 >/dev/null

# The initramfs only finds the root: busybox and the modules for a disk, squashfs and overlayfs.
initrd=$work/initrd
mkdir -p "$initrd"/{bin,dev,proc,sys,modules,lower,rw,new}
cp /bin/busybox "$initrd/bin/busybox"
install -m 755 "$here/initrd-init" "$initrd/init"
n=10
for module in virtio_pci virtio_blk squashfs overlay; do
	modprobe -d "$kernel" -S "$version" --show-depends "$module"
done | awk '$1 == "insmod" && !seen[$2]++ { print $2 }' | while read -r ko; do
	cp "$ko" "$initrd/modules/$n-$(basename "$ko")"
	n=$((n + 1))
done
(cd "$initrd" && find . | cpio -o -H newc --quiet) >"$work/initrd.img"

mv "$work/initrd.img" "$kernel/initrd"
mv "$work/root.squashfs" "$kernel/root.squashfs"
echo "$stamp" >"$kernel/root.stamp"

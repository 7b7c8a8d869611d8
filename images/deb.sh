#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
#
# deb.sh BUILD: builds the packages out of a copy of the tree, so that nothing is written into it,
# checks them with lintian and leaves them in BUILD. The version is said in two
# places; they must agree.
set -eu

top=$(cd "$(dirname "$0")/.." && pwd)
mkdir -p "$1"
build=$(cd "$1" && pwd)
version=$(sed -n 's/^VERSION *= *//p' "$top/Makefile")
packaged=$(dpkg-parsechangelog -l "$top/debian/changelog" -S Version)
if [ "$version" != "$packaged" ]; then
	echo "deb.sh: Makefile says version $version, debian/changelog $packaged" >&2
	exit 1
fi

rm -rf "$build/deb"
mkdir -p "$build/deb/overlayd-$version"
tar -C "$top" --exclude=./.git --exclude='./build' --exclude='./build-*' -cf - . |
	tar -C "$build/deb/overlayd-$version" -xf -
cd "$build/deb/overlayd-$version"
if ! dpkg-buildpackage -b -us -uc -tc >../log 2>&1; then
	tail -n 40 ../log >&2
	echo "deb.sh: the build failed; all it said is in $build/deb/log" >&2
	exit 1
fi
cd ..
# The project has no mail address: whoever publishes the packages puts theirs into debian/.
lintian --allow-root --fail-on error,warning --tag-display-limit 0 --info \
	--suppress-tags bogus-mail-host,bogus-mail-host-in-debian-changelog ./*.changes
# Debug symbols apart: `apt install ./build/*.deb` is meant for the others.
rm -rf "$build"/*.deb "$build/dbgsym"
mkdir "$build/dbgsym"
mv ./*-dbgsym_*.deb "$build/dbgsym/"
cp ./*.deb "$build/"
rm -rf "overlayd-$version"
(cd "$build" && ls -l ./*.deb | awk '{ print $NF, $5, "bytes" }')

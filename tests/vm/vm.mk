# SPDX-License-Identifier: GPL-2.0-or-later
#
# The suites over kernel ESP, in a VM (QEMU without KVM, Debian's own kernel unpacked, not installed).
# `make check-vm VM_SUITES=tests/netns/t_admit.sh` runs a few; VM_KERNEL=amd64 takes the standard kernel.

DEPS_VM    = qemu-system-x86 squashfs-tools cpio kmod busybox-static file jq psmisc netbase conntrack \
             strongswan-swanctl strongswan-charon libstrongswan-extra-plugins libcharon-extra-plugins \
             nftables iproute2 tcpdump socat iperf3 openssl python3
# t_bed and t_mechanism try the bed and libipsec, on the host.
VM_SUITES ?= tests/vm/t_esp.sh tests/vm/t_plane.sh $(filter-out %/t_bed.sh %/t_mechanism.sh,$(sort $(wildcard tests/netns/t_*.sh)))
VM_LIMIT  ?= 1500

check-vm: $(B)/overlayd $(B)/overlayctl $(BED_PROGRAMS)
	@VM_ENV='$(VM_ENV)' VM_PROGRAMS='$(patsubst $(B)/%,%,$(BED_PROGRAMS))' tests/vm/run -b $(B) -t $(VM_LIMIT) -- tests/vm/suite $(VM_SUITES)

deps-vm:
	@dpkg -s $(DEPS_VM) >/dev/null 2>&1 || { apt-get -qq update && \
		DEBIAN_FRONTEND=noninteractive apt-get -qqy --no-install-recommends install $(DEPS_VM); }

.PHONY: check-vm deps-vm

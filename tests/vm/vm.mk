# SPDX-License-Identifier: GPL-2.0-or-later
#
# The suites over kernel ESP, in a VM (QEMU without KVM, Debian's own kernel unpacked, not installed).
# `make check-vm VM_SUITES=tests/netns/t_admit.sh` runs a few; VM_KERNEL=amd64 takes the standard kernel.

DEPS_VM    = qemu-system-x86 squashfs-tools cpio kmod busybox-static file jq psmisc netbase conntrack \
             strongswan-swanctl strongswan-charon libstrongswan-extra-plugins libcharon-extra-plugins \
             nftables iproute2 tcpdump socat iperf3 openssl python3
# What hangs on the data plane or on the kernel's netfilter, the longest first. The other suites run on the host
# alone: t_bed, t_mechanism and t_childless try the bed and libipsec; of t_files, t_ctl, t_lost, t_time and t_kills
# no answer depends on who seals the packets, and what t_lockdown asks t_firewall asks, too.
VM_NETNS  ?= rekey revoke foreign firewall wire links move survive bulk change unloaded mtu reach
VM_SUITES ?= tests/vm/t_esp.sh tests/vm/t_plane.sh tests/vm/t_ondemand.sh $(VM_NETNS:%=tests/netns/t_%.sh) tests/vm/t_rate.sh
# A scan of all 65,535 ports takes minutes there: a part that holds the allowed ones. So do firewall_table's random
# rulesets. The suites wait more than they compute, so some run beside each other.
VM_JOBS   ?= 2
VM_ENV    ?= REACH_PORTS=14900-17100 REKEY_ROUNDS=1 FIREWALL="kernel underlay flows stale trouble" SUITE_JOBS=$(VM_JOBS) SUITE_LIMIT=900
VM_LIMIT  ?= 1800

check-vm: deps deps-vm
	@$(MAKE) --no-print-directory -j$$(nproc) B=$(B) all bed-programs
	@VM_ENV='$(VM_ENV)' tests/vm/check.sh $(B) $(VM_LIMIT) $(VM_SUITES)

deps-vm:
	@dpkg -s $(DEPS_VM) >/dev/null 2>&1 || { apt-get -qq update && \
		DEBIAN_FRONTEND=noninteractive apt-get -qqy --no-install-recommends install $(DEPS_VM); }

.PHONY: check-vm deps-vm

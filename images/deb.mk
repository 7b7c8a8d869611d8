# SPDX-License-Identifier: GPL-2.0-or-later
#
# `make deb` builds the Debian packages from a copy of the tree; they land in $(B)/*.deb.
# `make check-deb` installs them into a fresh Debian root and, with systemd as init, into a VM.

DEPS_DEB = build-essential debhelper dh-nss dpkg-dev fakeroot lintian scdoc pkg-config libfyaml-dev \
           libjansson-dev libmnl-dev libnftnl-dev libssl-dev libsystemd-dev uthash-dev
DEPS_DEBTEST = debootstrap e2fsprogs $(DEPS_VM)

# The shared client library: only what its version script names is seen from outside.
SONAME      = liboverlay.so.0
SHARED_SRC  = $(filter-out overlayd/client/nodekey.c,$(wildcard overlayd/client/*.c))
SHARED_OBJS = $(patsubst %.c,$(B)/obj/pic/%.o,$(SHARED_SRC))

shared: $(B)/liboverlay.so $(B)/liboverlay.pc

$(B)/obj/pic/%.o: %.c Makefile
	@mkdir -p $(@D)
	@echo "  CC      $< (pic)"
	@$(CC) $(CPPFLAGS) $(CFLAGS) -fPIC -MMD -MP -c -o $@ $<

$(B)/liboverlay.so: $(SHARED_OBJS) overlayd/client/liboverlay.map
	@echo "  LD      $@"
	@$(CC) $(filter-out -pie,$(LDFLAGS)) -shared -Wl,-soname,$(SONAME) -Wl,-z,defs \
		-Wl,--version-script,overlayd/client/liboverlay.map -o $(B)/$(SONAME).$(VERSION) \
		$(SHARED_OBJS) $(shell pkg-config --libs jansson)
	@ln -sf $(SONAME).$(VERSION) $(B)/$(SONAME)
	@ln -sf $(SONAME) $@

$(B)/liboverlay.pc: Makefile
	@printf '%s\n' 'prefix=/usr' 'includedir=$${prefix}/include' 'libdir=@LIBDIR@' '' 'Name: liboverlay' \
		'Description: ask the overlayd of this machine' 'Version: $(VERSION)' \
		'Requires.private: jansson' 'Libs: -L$${libdir} -loverlay' 'Cflags: -I$${includedir}' >$@

deb: deps-deb
	@images/deb.sh $(B)

check-deb: deb deps-debtest
	@tests/vm/debtest.sh $(B)

deps-deb:
	@dpkg -s $(DEPS_DEB) >/dev/null 2>&1 || { apt-get -qq update && \
		DEBIAN_FRONTEND=noninteractive apt-get -qqy --no-install-recommends install $(DEPS_DEB); }

deps-debtest:
	@dpkg -s $(DEPS_DEBTEST) >/dev/null 2>&1 || { apt-get -qq update && \
		DEBIAN_FRONTEND=noninteractive apt-get -qqy --no-install-recommends install $(DEPS_DEBTEST); }

.PHONY: shared deb check-deb deps-deb deps-debtest

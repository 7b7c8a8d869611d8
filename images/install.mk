# SPDX-License-Identifier: GPL-2.0-or-later
#
# `make install DESTDIR=… PREFIX=/usr LIBDIR=/usr/lib/x86_64-linux-gnu`: programs, libraries, pages and
# charon's settings. systemd's units, users and directories are the packages' (`make deb`), which are
# made of this. After it: `ldconfig`, and `overlay` behind `files` in the hosts line of
# /etc/nsswitch.conf.

DESTDIR    ?=
PREFIX     ?= /usr/local
LIBDIR     ?= $(PREFIX)/lib
SYSCONFDIR ?= /etc
SHARE       = $(DESTDIR)$(PREFIX)/share

install: all shared $(B)/liboverlay.a man
	install -d $(DESTDIR)$(LIBDIR)/pkgconfig $(SHARE)/overlayd
	install -D -m 755 -t $(DESTDIR)$(PREFIX)/sbin $(B)/overlayd $(B)/overlayctl
	cp -d $(B)/liboverlay.so* $(DESTDIR)$(LIBDIR)/
	install -m 644 -t $(DESTDIR)$(LIBDIR) $(B)/liboverlay.a $(NSS)
	sed 's#@LIBDIR@#$(LIBDIR)#; s#=/usr$$#=$(PREFIX)#' $(B)/liboverlay.pc >$(DESTDIR)$(LIBDIR)/pkgconfig/liboverlay.pc
	install -D -m 644 -t $(DESTDIR)$(PREFIX)/include overlayd/client/overlay.h
	install -D -m 644 -t $(DESTDIR)$(SYSCONFDIR)/strongswan.d data/strongswan.d/overlayd.conf
	install -D -m 644 -t $(SHARE)/overlayd data/*.json
	install -D -m 644 data/overlayctl.bash-completion $(SHARE)/bash-completion/completions/overlayctl
	for page in $(MANS); do install -D -m 644 -t $(SHARE)/man/man$${page##*.} $$page || exit 1; done

.PHONY: install

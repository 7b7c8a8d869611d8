# SPDX-License-Identifier: GPL-2.0-or-later
#
# overlayd: `sudo make demo` shows the main job, `sudo make check` passes the tests.
# `make help` lists every target. Programs land in $(B), by default build/.

B       ?= build
SAN     ?=
CC      ?= gcc
CLANG   ?= clang
PKGS     = libfyaml libnftnl libmnl libsystemd jansson libcrypto
WARN     = -Wall -Wextra -Werror -Wshadow -Wpointer-arith -Wstrict-prototypes \
           -Wmissing-prototypes -Wvla -Wformat=2 -Wundef -Wwrite-strings
OPT     ?= -O2 -g
HARDEN   = -fstack-protector-strong -D_FORTIFY_SOURCE=2 -fPIE
ifneq ($(SAN),)
HARDEN   = -fPIE
OPT      = -O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined \
           -fno-sanitize-recover=undefined
endif
VERSION  = 0.1.0
CPPFLAGS += -D_GNU_SOURCE -I. -Ioverlayd -DOVERLAYD_VERSION='"$(VERSION)"'
CFLAGS  += -std=gnu11 $(OPT) $(WARN) $(HARDEN) $(shell pkg-config --cflags $(PKGS) 2>/dev/null)
LDFLAGS += -pie -Wl,-z,relro,-z,now $(if $(SAN),-fsanitize=address$(comma)undefined)
comma   := ,
LDLIBS  += $(shell pkg-config --libs $(PKGS) 2>/dev/null)

# One static library per room of the house (design: who may know whom).
objs     = $(patsubst %.c,$(B)/obj/%.o,$(wildcard $(1)/*.c))
LIBS     = $(B)/libhost.a $(B)/libcontrol.a $(B)/libengine.a $(B)/libpolicy.a \
           $(B)/libviciclient.a $(B)/libfirewall.a $(B)/liboverlay.a
UNITS    = $(patsubst tests/unit/%.c,$(B)/tests/unit/%,$(wildcard tests/unit/test_*.c))

all: $(B)/overlayd $(B)/overlayctl $(B)/libnss_overlay.so.2

$(B)/libpolicy.a:     $(call objs,policy)
$(B)/libviciclient.a: $(call objs,vici-client)
$(B)/libfirewall.a:   $(call objs,firewall)
$(B)/libengine.a:     $(call objs,overlayd/engine)
$(B)/libhost.a:       $(call objs,overlayd/host)
$(B)/libcontrol.a:    $(call objs,overlayd/control)
$(B)/liboverlay.a:    $(call objs,overlayd/client)
$(B)/libctl.a:        $(call objs,overlayd/ctl)

$(B)/%.a:
	@rm -f $@
	@$(AR) rcs $@ $^

$(B)/obj/%.o: %.c Makefile
	@mkdir -p $(@D)
	@echo "  CC      $<"
	@$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<

$(B)/overlayd: $(B)/obj/overlayd/main.o $(LIBS)
	@echo "  LD      $@"
	@$(CC) $(LDFLAGS) -o $@ $(B)/obj/overlayd/main.o -Wl,--start-group $(LIBS) -Wl,--end-group $(LDLIBS)

$(B)/overlayctl: $(B)/libctl.a $(B)/liboverlay.a $(B)/libpolicy.a
	@echo "  LD      $@"
	@$(CC) $(LDFLAGS) -o $@ -Wl,--whole-archive $(B)/libctl.a -Wl,--no-whole-archive \
		$(B)/liboverlay.a $(B)/libpolicy.a $(LDLIBS)

# A unit test links only what its name's first word says it tests (test_policy_x: policy).
unit_lib_policy   = $(B)/libpolicy.a
unit_lib_vici     = $(B)/libviciclient.a
unit_lib_firewall = $(B)/libfirewall.a
unit_lib_engine   = $(B)/libengine.a $(B)/libpolicy.a
unit_lib_host     = $(LIBS)
unit_lib_control  = $(B)/libcontrol.a $(B)/liboverlay.a
unit_lib_client   = $(B)/liboverlay.a
unit_lib_nss      = $(LIBS) $(B)/libnss.a
unit_lib_ctl      = $(B)/libctl.a $(B)/liboverlay.a $(B)/libpolicy.a
unit_word         = $(word 2,$(subst _, ,$(notdir $(1))))
.SECONDEXPANSION:
$(B)/tests/unit/%: $(B)/obj/tests/unit/%.o $$(unit_lib_$$(call unit_word,$$@))
	@mkdir -p $(@D)
	@echo "  LD      $@"
	@$(CC) $(LDFLAGS) -o $@ $< -Wl,--start-group $(unit_lib_$(call unit_word,$@)) -Wl,--end-group \
		-lcmocka $(LDLIBS)
# These run the program itself.
$(B)/tests/unit/test_ctl_run $(B)/tests/unit/test_ctl_sign $(B)/tests/unit/test_ctl_token $(B)/tests/unit/test_control_ctl \
	$(B)/tests/unit/test_control_token: | $(B)/overlayctl
$(B)/tests/unit/test_nss_names: | $(B)/libnss_overlay.so.2
.PRECIOUS: $(B)/obj/tests/unit/%.o

units: $(UNITS)

# Manual pages, for packages and `man -l build/man/overlayctl.8`.
MANS     = $(patsubst man/%.scd,$(B)/man/%,$(wildcard man/*.scd))
man: $(MANS)

$(B)/man/%: man/%.scd
	@mkdir -p $(@D)
	@echo "  MAN     $@"
	@scdoc < $< > $@.new && mv $@.new $@

clean:
	rm -rf $(B)

.PHONY: all units man clean
-include $(shell find $(B)/obj -name '*.d' 2>/dev/null)

include nss/nss.mk
include tests/tests.mk
include tests/sim/sim.mk
-include tests/bench/bench.mk
-include tests/vm/vm.mk
-include images/deb.mk
-include images/install.mk

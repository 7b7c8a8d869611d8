# SPDX-License-Identifier: LGPL-2.1-or-later
#
# libnss_overlay.so.2, for `hosts: files overlay dns`. The C library finds it by its name alone, so
# it has no other; only what its version script names is seen from outside.

NSS      = $(B)/libnss_overlay.so.2
NSS_OBJS = $(patsubst %.c,$(B)/obj/pic/%.o,$(wildcard nss/*.c))

nss: $(NSS)

# Apart, for the unit tests and the fuzzer.
$(B)/libnss.a: $(call objs,nss)

$(NSS): $(NSS_OBJS) nss/libnss_overlay.map
	@echo "  LD      $@"
	@$(CC) $(filter-out -pie,$(LDFLAGS)) -shared -Wl,-soname,libnss_overlay.so.2 $(if $(SAN),,-Wl$(comma)-z$(comma)defs) \
		-Wl,--version-script,nss/libnss_overlay.map -o $@ $(NSS_OBJS)

.PHONY: nss

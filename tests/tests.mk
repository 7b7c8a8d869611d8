# SPDX-License-Identifier: GPL-2.0-or-later
#
# Everything that proves: `make check` is all of it; tests/run.sh runs parts.

# FUZZ=1 (with CC=clang SAN=1 and a build directory of its own): coverage for libFuzzer.
ifneq ($(FUZZ),)
OPT += -fsanitize=fuzzer-no-link
endif

FUZZERS      = $(patsubst tests/fuzz/%.c,$(B)/tests/fuzz/%,$(wildcard tests/fuzz/fuzz_*.c))
BED_PROGRAMS = $(patsubst tests/netns/%.c,$(B)/tests/netns/%,$(wildcard tests/netns/*.c)) \
	$(patsubst tests/netns/preload/%.c,$(B)/tests/netns/%.so,$(wildcard tests/netns/preload/*.c))

$(B)/tests/fuzz/%: $(B)/obj/tests/fuzz/%.o $(LIBS) $(B)/libnss.a
	@mkdir -p $(@D)
	@echo "  LD      $@"
	@$(CC) $(LDFLAGS) -fsanitize=fuzzer -o $@ $< -Wl,--start-group $(LIBS) $(B)/libnss.a -Wl,--end-group $(LDLIBS)

$(B)/tests/netns/%: $(B)/obj/tests/netns/%.o $(LIBS)
	@mkdir -p $(@D)
	@echo "  LD      $@"
	@$(CC) $(LDFLAGS) -o $@ $< -Wl,--start-group $(LIBS) -Wl,--end-group -lcmocka $(LDLIBS)

# Goes into other programs, charon among them, so without sanitizers.
$(B)/tests/netns/%.so: tests/netns/preload/%.c
	@mkdir -p $(@D)
	@echo "  LD      $@"
	@$(CC) -std=gnu11 -O2 -Wall -Wextra -Werror -fPIC -shared -o $@ $<

.PRECIOUS: $(B)/obj/tests/fuzz/%.o $(B)/obj/tests/netns/%.o

fuzzers: $(FUZZERS)
bed-programs: $(BED_PROGRAMS)

deps:
	@tests/deps.sh

deps-build:
	@tests/deps.sh build

check: deps
	@tests/run.sh

demo: deps
	@$(MAKE) --no-print-directory -j$$(nproc) all
	@KEEP=$(KEEP) demo/demo.sh

layering:
	@tests/layering.sh

.PHONY: fuzzers bed-programs deps deps-build check demo layering

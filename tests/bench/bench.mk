# SPDX-License-Identifier: GPL-2.0-or-later
#
# `make bench`: what the project promises of its speed, measured here and now, each value beside
# its target. BENCH="policy vici" runs some parts only; results also land in $(B)/bench/.

BENCHES = $(patsubst tests/bench/%.c,$(B)/tests/bench/%,$(wildcard tests/bench/*.c))

$(B)/tests/bench/%: $(B)/obj/tests/bench/%.o $(LIBS)
	@mkdir -p $(@D)
	@echo "  LD      $@"
	@$(CC) $(LDFLAGS) -o $@ $< -Wl,--start-group $(LIBS) -Wl,--end-group $(LDLIBS)

.SECONDARY: $(patsubst tests/bench/%.c,$(B)/obj/tests/bench/%.o,$(wildcard tests/bench/*.c))

bench-programs: $(BENCHES) $(B)/tests/simcluster

bench: deps
	@$(MAKE) --no-print-directory all bench-programs
	@B=$(B) tests/bench/run.sh $(BENCH)

# What the tunnels are compared with.
deps-bench: deps
	@tests/bench/deps.sh

.PHONY: bench bench-programs deps-bench

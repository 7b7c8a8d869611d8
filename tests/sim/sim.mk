# SPDX-License-Identifier: GPL-2.0-or-later
#
# The simulator: the engine's own sources once more, with the switches that break it on purpose.
#
#	make sim SEED=7 NODES=5 HOURS=2 [SEEDS=200]	make sim-broken

SEED  ?= 1
SEEDS ?= 1
NODES ?= 5
HOURS ?= 2

SIM_OBJS = $(patsubst %.c,$(B)/obj/sim/%.o,$(wildcard overlayd/engine/*.c tests/sim/*.c))

$(B)/obj/sim/%.o: %.c Makefile
	@mkdir -p $(@D)
	@echo "  CC      $< (sim)"
	@$(CC) $(CPPFLAGS) -DENGINE_IMPAIR $(CFLAGS) -MMD -MP -c -o $@ $<

$(B)/tests/sim: $(SIM_OBJS) $(B)/libpolicy.a
	@mkdir -p $(@D)
	@echo "  LD      $@"
	@$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS)

simulator: $(B)/tests/sim

sim: $(B)/tests/sim
	@$(B)/tests/sim --seed $(SEED) --seeds $(SEEDS) --nodes $(NODES) --hours $(HOURS)

sim-broken: $(B)/tests/sim
	@$(B)/tests/sim --impairments --seeds 40

.PHONY: simulator sim sim-broken

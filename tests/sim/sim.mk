# SPDX-License-Identifier: GPL-2.0-or-later
#
# The simulators: the engine's own sources once more, with the switches that break it on purpose.
# tests/sim has whole engines, few nodes; tests/simcluster has their policy alone, thousands.
#
#	make sim SEED=7 NODES=5 HOURS=2 [SEEDS=200]	make sim-broken
#	make simcluster SEED=7 SEEDS=20 MINUTES=10	make simcluster-broken	make scale

SEED  ?= 1
SEEDS ?= 1
NODES ?= 5
HOURS ?= 2
MINUTES ?= 10

sim_objs    = $(patsubst %.c,$(B)/obj/sim/%.o,$(wildcard overlayd/engine/*.c $(1)/*.c))
SIM_OBJS    = $(call sim_objs,tests/sim)
SWARM_OBJS  = $(call sim_objs,tests/simcluster) $(patsubst %,$(B)/obj/sim/tests/sim/%.o,core grant)
# Messages are as long as the host writes them.
SWARM_WIRE  = $(patsubst %,$(B)/obj/overlayd/host/%.o,session_wire session_record wireparts)

$(B)/obj/sim/%.o: %.c Makefile
	@mkdir -p $(@D)
	@echo "  CC      $< (sim)"
	@$(CC) $(CPPFLAGS) -DENGINE_IMPAIR $(CFLAGS) -MMD -MP -c -o $@ $<

$(B)/tests/sim: $(SIM_OBJS) $(B)/libpolicy.a
	@mkdir -p $(@D)
	@echo "  LD      $@"
	@$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS)

$(B)/tests/simcluster: $(SWARM_OBJS) $(SWARM_WIRE) $(B)/libpolicy.a $(B)/liboverlay.a
	@mkdir -p $(@D)
	@echo "  LD      $@"
	@$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS)

simulator: $(B)/tests/sim $(B)/tests/simcluster

sim: $(B)/tests/sim
	@$(B)/tests/sim --seed $(SEED) --seeds $(SEEDS) --nodes $(NODES) --hours $(HOURS)

sim-broken: $(B)/tests/sim
	@$(B)/tests/sim --impairments --seeds 40

simcluster: $(B)/tests/simcluster
	@$(B)/tests/simcluster --seed $(SEED) --seeds $(SEEDS) --minutes $(MINUTES)

simcluster-broken: $(B)/tests/simcluster
	@$(B)/tests/simcluster --impairments --seeds 40

scale: $(B)/tests/simcluster
	@$(B)/tests/simcluster --scale

.PHONY: simulator sim sim-broken simcluster simcluster-broken scale

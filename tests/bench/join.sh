#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# What strangers cost a member while joining is on: the round trip of a member's TCP echo through its
# tunnel with a seed, on which 10,000 requests for a join SA come meanwhile from one source. Quiet and
# flooded rounds take turns; each is a few thousand echoes, one every millisecond. And the same while
# many nodes with their own charon ask to join at once, as after a site's power-on.
. "$(dirname "$0")/bed.sh"
. "$BED_HERE/cluster.sh"
bed "$@"
ROUNDS=${ROUNDS:-3}
COUNT=${COUNT:-10000}
RATE=${RATE:-2000}
MANY=${MANY:-50}

site hq 192.0.2
site aws 198.51.100
node seed1 hq 10
node n4 aws 4
node stranger aws 66
for ((i = 1; i <= MANY; i++)); do node "c$i" aws $((100 + i)); done
demo_policy
policy_line 's|^serial: .*|&\njoin: true|; s|^allow:|roles: [exec]\n&|'
peer seed1 "head, seed" 10.77.0.1
peer n4 "exec" 10.77.0.4
for x in seed1 n4; do policy_push $x; done
up seed1 n4
cluster_key seed1 seed1 n4
await 'sign seed1' 10 "the first bundle"
await 'have 1 seed1 n4' 20 "all have it"
tcp_server seed1 10.77.0.1 17001
await 'tcp_open n4 10.77.0.1 17001 0.5' 20 "the echo"
await '[ "$(field seed1 "s[\"join\"][\"serving\"]")" = True ]' 20 "the seed takes joins"

# p99 SECONDS: microseconds
p99() { n n4 python3 "$BED_HERE/tcp.py" rtt 10.77.0.1 17001 "$1"; }
resident() { ps -o rss= "$(<"$BED_DIR/seed1/$1.pid")"; }

title join "Strangers who ask to join" "$COUNT IKE_SA_INITs from one source, $RATE/s, fresh X25519 shares; p99 of a member's TCP echo, median of $ROUNDS rounds"
before=$(resident charon)
for ((i = 0; i < ROUNDS; i++)); do
	p99 $((COUNT / RATE)) >>"$BED_DIR/quiet"
	n stranger python3 "$BED_HERE/ike_flood.py" 192.0.2.10 4500 "$COUNT" "$RATE" >>"$BED_DIR/flood" &
	p99 $((COUNT / RATE)) >>"$BED_DIR/flooded"
	wait $!
	await '[ "$(vici seed1 stats "{}" | sed "s/.*half-open\": \"\([0-9]*\)\".*/\1/")" = 0 ]' 60 "the half-open ones end"
done
quiet=$(median <"$BED_DIR/quiet")
flooded=$(median <"$BED_DIR/flooded")
row join "p99 of the echo, quiet" "$quiet" us
row join "p99 of the echo, flooded" "$flooded" us
row join "flooded / quiet" "$(calc "$flooded / $quiet")" ratio "<=" 2
row join "requests that were answered with a Diffie-Hellman" "$(awk '{s += $2 / $1} END {print s / NR}' "$BED_DIR/flood")" ratio
row join "charon's memory, more than before" "$(($(resident charon) - before))" KiB

# ---------------------------------------------------------------- many at once

ctl seed1 ticket >"$BED_DIR/ticket" 2>/dev/null
for ((i = 1; i <= MANY; i++)); do charon_start "c$i" && overlayd_start "c$i"; done
waiting() { ctl seed1 pending --json | python3 -c 'import json, sys; print(len(json.load(sys.stdin)["pending"]))'; }
rm -f "$BED_DIR/quiet" "$BED_DIR/many"
before=$(resident overlayd)
for ((i = 0; i < ROUNDS; i++)); do
	p99 10 >>"$BED_DIR/quiet"
	p99 10 >>"$BED_DIR/many" &
	echo=$!
	for ((k = 1; k <= MANY; k++)); do ctl "c$k" join --no-wait --file "$BED_DIR/ticket" >/dev/null & done
	wait $echo
	await '[ "$(waiting)" = "$MANY" ]' 60 "all of them wait for an admin"
	for ((k = 1; k <= MANY; k++)); do ctl "c$k" join --cancel >/dev/null; done
done
quiet=$(median <"$BED_DIR/quiet")
many=$(median <"$BED_DIR/many")
row join "p99 of the echo, $MANY idle nodes beside it" "$quiet" us
row join "p99 of the echo, while they ask to join, all at once" "$many" us
row join "asking / quiet" "$(calc "$many / $quiet")" ratio "<=" 2
row join "overlayd's memory on the seed, more than before" "$(($(resident overlayd) - before))" KiB

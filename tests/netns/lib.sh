# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
#
# The bed of the end-to-end tests and of the demo: nodes with a real charon (and a real overlayd)
# each, on sites joined by a router that passes UDP 4500 and nothing else.
#
#       site hq 192.0.2                 router                site aws 198.51.100 [nat]
#   ┌────────────────────┐     ┌──────────────────────┐     ┌───────────────────────┐
#   │ head1   e0 .10     ├──┐  │ br-hq        br-aws  │  ┌──┤ e0 .17      node17    │
#   │ 10.77.0.1 on lo    │  ├──┤ .1               .1  ├──┤  │ 10.77.0.17 on lo      │
#   ├────────────────────┤  │  │   forward: policy    │  │  ├───────────────────────┤
#   │ head2   e0 .11     ├──┘  │   drop, udp 4500     │  └──┤ e0 .18      node18    │
#   └────────────────────┘     │   accept             │     └───────────────────────┘
#                              └──────────────────────┘
#   A site with `nat` has a gateway gw-<site> of its own, which masquerades to 203.0.113.x.
#   IPv6 underlays: 2001:db8:<site's number>::<host>/64 (not behind NAT).
#
# A node is a process (its anchor) with network, mount and host name namespaces of its own; /run is
# its own, so charon's pid file and overlayd's default socket are where they always are. The whole
# test lives in one PID namespace: when it ends, by whatever signal, all that it started ends too,
# and with the processes go namespaces and links. Nothing has a name on the host: several tests
# run beside each other.
#
# A test looks like this:
#
#       . "$(dirname "$0")/lib.sh"
#       bed "$@"                        # become root of a bed (re-executes the script inside)
#       site hq 192.0.2; node head1 hq 10; ...
#       charon_start head1; ...
#       expect_within 'sa_up head1 node17' 5 "head1 and node17 are connected"
#       done_testing
#
# Waiting is done by await/expect_within alone: a condition and a deadline.

BED_HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
BED_ROOT=$(cd "$BED_HERE/../.." && pwd)
BED_B=${B:-build}
case $BED_B in /*) ;; *) BED_B=$BED_ROOT/$BED_B ;; esac
BED_NAME=$(basename "$0" .sh)
BED_SLOW=${BED_SLOW:-1} # deadlines are this much longer: an emulated machine is slow
BED_SLOW_NOT=$((BED_SLOW > 2 ? 2 : BED_SLOW)) # the same where time is spent in full: what must not happen
BED_PASSED=0 BED_FAILED=0 BED_SKIPPED=0 BED_SITES=0

# ---------------------------------------------------------------- into namespaces of our own

# bed ARGS…: outside, run the script again as the first process of a new PID and mount namespace
# and exit with its result; inside, go on. $BED_DIR holds keys, configurations and logs; it is
# removed when the test passed and kept, and named, when it failed.
bed() {
	if [ -n "$BED_DIR" ]; then
		bed_begin
		return
	fi
	if [ "$(id -u)" != 0 ]; then
		echo "1..0 # SKIP $BED_NAME: needs root (namespaces)"
		exit 0
	fi
	local outer rc
	BED_DIR=$(mktemp -d "${TMPDIR:-/tmp}/ovl-$BED_NAME-XXXXXX") || exit 1
	export BED_DIR
	# SIGKILL to unshare reaches the first process inside (--kill-child), and with it all others.
	trap 'bed_interrupted "$outer"' INT TERM HUP
	if [ -n "$KEEP" ]; then
		bed_kept_start "$@"
	fi
	unshare --mount --pid --fork --kill-child --mount-proc bash "$0" "$@" </dev/null &
	outer=$!
	wait "$outer"
	rc=$?
	trap - INT TERM HUP
	if [ $rc != 0 ] || [ -n "$BED_KEEP_LOGS" ]; then
		echo "# $BED_NAME: logs are in $BED_DIR"
	else
		rm -rf "$BED_DIR"
	fi
	exit $rc
}

bed_interrupted() {
	kill -KILL "$1" 2>/dev/null
	wait "$1" 2>/dev/null
	rm -rf "$BED_DIR"
	echo "# $BED_NAME: interrupted, all is cleaned up"
	exit 130
}

# KEEP=1: the bed lives on when its script has said its verdict, so nothing of ours, neither process
# group nor output, may hang on it: it writes to a file, which is shown as it grows.
bed_kept_start() {
	local shown
	: >"$BED_DIR/output"
	setsid unshare --mount --pid --fork --kill-child --mount-proc \
		bash "$0" "$@" </dev/null >"$BED_DIR/output" 2>&1 &
	outer=$!
	while kill -0 $outer 2>/dev/null && [ ! -e "$BED_DIR/verdict" ]; do
		bed_show_more
		sleep 0.1
	done
	bed_show_more
	if [ ! -e "$BED_DIR/verdict" ]; then
		echo "# $BED_NAME: it died; logs are in $BED_DIR"
		exit 1
	fi
	pgrep -P $outer >"$BED_DIR/init"
	exit "$(<"$BED_DIR/verdict")"
}
bed_show_more() {
	tail -c "+$((${shown:-0} + 1))" "$BED_DIR/output" >"$BED_DIR/more"
	shown=$((${shown:-0} + $(stat -c %s "$BED_DIR/more")))
	cat "$BED_DIR/more"
}

bed_begin() {
	mount -t tmpfs tmpfs /run || exit 1 # nothing of the host's /run is ever touched
	mkdir -p "$BED_DIR/router"
	anchor router
	n router sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
	bridge_plain router
	router_rules
	if [ -n "$BED_CAPTURE" ]; then capture_start; fi
}

# Inside a site every packet passes, as through a switch: br_netfilter, where loaded, must not judge.
bridge_plain() {
	n "$1" sh -c 'cd /proc/sys/net/bridge 2>/dev/null || exit 0
		for f in bridge-nf-call-*tables; do echo 0 >$f; done'
}

router_rules() {
	n router nft -f - <<-'END'
		table inet router {
			set blocked { type ifname; }
			chain forward {
				type filter hook forward priority 0; policy drop;
				iifname @blocked drop
				oifname @blocked drop
				udp dport 4500 counter accept
				udp sport 4500 counter accept
				counter log prefix "router dropped "
			}
		}
	END
}

# ---------------------------------------------------------------- sites and nodes

# anchor NAME: the process whose namespaces are the machine NAME.
anchor() {
	local dir=$BED_DIR/$1
	mkdir -p "$dir"
	unshare --net --mount --uts sh -c '
		hostname "$1" && mount -t tmpfs tmpfs /run && ip link set lo up &&
		sysctl -qw net.ipv6.conf.default.accept_dad=0 net.ipv6.conf.all.accept_dad=0 &&
		sysctl -qw net.ipv4.ping_group_range="0 0" && mount -t sysfs sysfs /sys &&
		: >"$2/ready" && exec sleep infinity' anchor "$1" "$dir" &
	echo $! >"$dir/anchor"
	await "[ -e $dir/ready ]" 10 "namespaces of $1"
}

# n NAME COMMAND…: run it on that machine and wait for it.
n() {
	local a
	a=$(<"$BED_DIR/$1/anchor") || return 1
	shift
	nsenter --target "$a" --net --mount --uts --root --wd -- "$@"
}

# spawn NAME TAG LOG COMMAND…: run it there in the background. Its own pid (nothing between it and
# us, so that it can be signalled, frozen and reaped) goes to $BED_DIR/NAME/TAG.pid.
spawn() {
	local name=$1 tag=$2 log=$3 a
	a=$(<"$BED_DIR/$1/anchor") || return 1
	shift 3
	(exec nsenter --target "$a" --net --mount --uts --root --wd -- "$@" >>"$log" 2>&1) &
	echo $! >"$BED_DIR/$name/$tag.pid"
}

# The machine's own /run, seen from here.
run_dir() {
	echo "/proc/$(<"$BED_DIR/$1/anchor")/root/run"
}

# site NAME PREFIX [nat]: three octets of its IPv4 network.
site() {
	local name=$1 prefix=$2 holder=router
	BED_SITES=$((BED_SITES + 1))
	if [ "$3" = nat ]; then
		holder=gw-$name
		anchor "$holder"
		bridge_plain "$holder"
		cable "$holder" up0 router "to-$name"
		n router ip addr add "203.0.113.$((BED_SITES * 4 + 1))/30" dev "to-$name"
		n "$holder" ip addr add "203.0.113.$((BED_SITES * 4 + 2))/30" dev up0
		n "$holder" ip route add default via "203.0.113.$((BED_SITES * 4 + 1))"
		n "$holder" sysctl -qw net.ipv4.ip_forward=1
		n "$holder" nft 'table ip nat {
			chain post {
				type nat hook postrouting priority 100;
				oifname "up0" masquerade
			}
		}'
	fi
	n "$holder" ip link add "br-$name" type bridge
	n "$holder" ip addr add "$prefix.1/24" dev "br-$name"
	n "$holder" ip link set "br-$name" up
	if [ "$3" != nat ]; then
		n "$holder" ip addr add "2001:db8:$BED_SITES::1/64" dev "br-$name" nodad
	fi
	echo "$holder $prefix $BED_SITES $3" >"$BED_DIR/site-$name"
}

# cable A DEV-A B DEV-B: a veth pair, both ends up.
cable() {
	ip link add "$2" netns "$(<"$BED_DIR/$1/anchor")" type veth \
		peer name "$4" netns "$(<"$BED_DIR/$3/anchor")" || return 1
	n "$1" ip link set "$2" up && n "$3" ip link set "$4" up
}

# node NAME SITE HOST: a machine at PREFIX.HOST; $BED_DIR/NAME/{etc,state} are its directories.
node() {
	local name=$1 holder prefix number nat
	read -r holder prefix number nat <"$BED_DIR/site-$2"
	anchor "$name"
	mkdir -p "$BED_DIR/$name/etc/peers.d" "$BED_DIR/$name/state"
	chmod 0700 "$BED_DIR/$name/state"
	cable "$name" e0 "$holder" "p-$name"
	n "$holder" ip link set "p-$name" master "br-$2"
	n "$name" ip addr add "$prefix.$3/24" dev e0
	n "$name" ip route add default via "$prefix.1"
	if [ -z "$nat" ]; then
		n "$name" ip addr add "2001:db8:$number::$3/64" dev e0 nodad
		n "$name" ip -6 route add default via "2001:db8:$number::1"
	fi
	echo "$prefix.$3" >"$BED_DIR/$name/underlay"
	echo "2001:db8:$number::$3" >"$BED_DIR/$name/underlay6"
	echo "$holder" >"$BED_DIR/$name/holder"
	echo "$2" >"$BED_DIR/$name/site"
}

underlay() { cat "$BED_DIR/$1/underlay"; }
underlay6() { cat "$BED_DIR/$1/underlay6"; }

# cable_cut NAME, cable_mend NAME: its cable goes silent in both directions (links stay up: no FIN, no hint).
cable_cut() {
	n "$(<"$BED_DIR/$1/holder")" nft "table bridge cut-$1 {
		chain in {
			type filter hook prerouting priority -300;
			iifname \"p-$1\" drop
		}
		chain out {
			type filter hook postrouting priority 300;
			oifname \"p-$1\" drop
		}
	}"
}
cable_mend() {
	n "$(<"$BED_DIR/$1/holder")" nft delete table bridge "cut-$1"
}

# ---------------------------------------------------------------- waiting and counting

now_ms() {
	local t=${EPOCHREALTIME/./}
	echo $((t / 1000))
}

# poll COND SECONDS: eval COND again and again until it holds. AWAITED is the time in ms.
poll() {
	local start limit
	start=$(now_ms)
	limit=$(awk -v s="$2" -v k="$BED_SLOW" 'BEGIN {print int(s * 1000 * k)}')
	while :; do
		if eval "$1" >/dev/null 2>&1; then
			AWAITED=$(($(now_ms) - start))
			return 0
		fi
		AWAITED=$(($(now_ms) - start))
		if [ $AWAITED -ge "$limit" ]; then return 1; fi
		sleep 0.02
	done
}

# await COND SECONDS WHAT: a step on the way, not a result: only its failure is counted.
await() {
	if poll "$1" "$2"; then return 0; fi
	fail "$3: not within $2 s ($1)"
	return 1
}

# expect_within COND SECONDS WHAT: a result, with the time it took.
expect_within() {
	if poll "$1" "$2"; then
		pass "$3 (${AWAITED} ms)"
		return 0
	fi
	fail "$3: not within $2 s ($1)"
	return 1
}

# expect WHAT COMMAND… / expect_not WHAT COMMAND…: one result from an exit status.
expect() {
	local what=$1
	shift
	if "$@" >"$BED_DIR/last" 2>&1; then pass "$what"; else fail "$what: $* said: $(head -c 400 "$BED_DIR/last")"; fi
}
expect_not() {
	local what=$1 BED_SLOW=$BED_SLOW_NOT
	shift
	if "$@" >"$BED_DIR/last" 2>&1; then fail "$what: $* succeeded: $(head -c 400 "$BED_DIR/last")"; else pass "$what"; fi
}
# expect_said PATTERN WHAT: the command of the last expect or expect_not printed it.
expect_said() {
	if grep -qE -- "$1" "$BED_DIR/last"; then pass "$2"; else fail "$2: /$1/ is not in: $(head -c 400 "$BED_DIR/last")"; fi
}

# expect_for COND SECONDS WHAT: it must hold all the time (for what must NOT happen).
expect_for() {
	local BED_SLOW=$BED_SLOW_NOT
	if poll "! { $1; }" "$2"; then fail "$3: no longer so after ${AWAITED} ms ($1)"; else pass "$3"; fi
}

pass() {
	BED_PASSED=$((BED_PASSED + 1))
	echo "ok - $BED_NAME: $*"
}
fail() {
	BED_FAILED=$((BED_FAILED + 1))
	echo "not ok - $BED_NAME: $*"
}
skip() {
	BED_SKIPPED=$((BED_SKIPPED + 1))
	echo "ok - $BED_NAME: $* # SKIP"
}
note() { echo "# $*"; }

# The last line of a test. Without the plan `1..N` the runner counts a failure: the test died.
done_testing() {
	if [ -n "$BED_CAPTURE" ]; then capture_check "only UDP 4500 was ever on the wire"; fi
	bed_sanitizers
	echo "1..$((BED_PASSED + BED_FAILED + BED_SKIPPED))"
	echo "# $BED_NAME: $BED_PASSED passed, $BED_FAILED failed, $BED_SKIPPED skipped"
	bed_kept
	[ $BED_FAILED = 0 ]
	exit
}

# A report of ASan or UBSan in any log is a failure, whatever the program's exit status was.
bed_sanitizers() {
	local found
	found=$(grep -lE 'ERROR: (Address|Leak)Sanitizer|runtime error:' "$BED_DIR"/*/*.log 2>/dev/null)
	if [ -n "$found" ]; then fail "sanitizer reports in: $found"; fi
}

bed_kept() {
	if [ -z "$KEEP" ]; then return; fi
	echo $((BED_FAILED > 0)) >"$BED_DIR/verdict.new"
	mv "$BED_DIR/verdict.new" "$BED_DIR/verdict" # whole or not there
	exec sleep infinity
}

# ---------------------------------------------------------------- charon

# charon_start NODE [LINES]: extra lines for the charon { } section.
charon_start() {
	local d=$BED_DIR/$1
	charon_conf "$1" "$2" >"$d/strongswan.conf"
	rm -f "$(run_dir "$1")"/charon.{pid,vici}
	spawn "$1" charon "$d/charon.out" env STRONGSWAN_CONF="$d/strongswan.conf" /usr/lib/ipsec/charon
	await "[ -S $(run_dir "$1")/charon.vici ]" 30 "charon of $1"
}

# What Debian's packages load, cut down to what a node needs; then what overlayd ships.
charon_conf() {
	cat <<-END
		charon {
		  load = random nonce openssl kdf pem pkcs1 pkcs8 pubkey sshkey ${BED_LIBIPSEC-kernel-libipsec} kernel-netlink socket-default counters vici
		  port = 0
		  port_nat_t = 4500
		  install_routes = no
		  plugins {
		    kernel-libipsec { load = yes }
		    vici { socket = unix:///run/charon.vici }
		  }
		  filelog { log { path = $BED_DIR/$1/charon.log
		    time_format = %H:%M:%S
		    time_add_ms = yes
		    append = yes
		    flush_line = yes
		    default = 1
		    ${BED_CHARON_LOG:-} } }
		  $2
		}
	END
	echo "include $BED_ROOT/data/strongswan.d/overlayd.conf"
}

# Whether charon's SAs are the kernel's (in the VM), not libipsec's.
kernel_esp() { [ -z "${BED_LIBIPSEC-kernel-libipsec}" ]; }

# charon refuses to start while the pid in its pid file exists, a zombie included: always reap.
charon_end() {
	local pid
	pid=$(<"$BED_DIR/$1/charon.pid")
	kill "-$2" "$pid" && wait "$pid" 2>/dev/null
	rm -f "$(run_dir "$1")"/charon.{pid,vici}
}
charon_stop() { charon_end "$1" TERM; }
charon_kill() { charon_end "$1" KILL; }
charon_freeze() { kill -STOP "$(<"$BED_DIR/$1/charon.pid")"; }
charon_thaw() { kill -CONT "$(<"$BED_DIR/$1/charon.pid")"; }

# vici NODE COMMAND [JSON] [EVENT]: an observer of our own, independent of what is tested.
vici() {
	local node=$1
	shift
	n "$node" python3 "$BED_HERE/vici.py" /run/charon.vici "$@"
}

# sas NODE [PEER]: one line per IKE_SA: name state uniqueid I|R child-states
sas() {
	if [ -x "$BED_B/tests/netns/vici_sas" ]; then
		"$BED_B/tests/netns/vici_sas" "$(run_dir "$1")/charon.vici" ${2:+"ovl.$2"}
	else
		n "$1" python3 "$BED_HERE/vici.py" /run/charon.vici sas ${2:+"ovl.$2"}
	fi
}
sa_up() { sas "$1" "$2" | grep -q ' ESTABLISHED .* INSTALLED'; }
sa_none() { [ -z "$(sas "$1" "$2")" ]; }

# ---------------------------------------------------------------- overlayd

overlayd_start() {
	local d=$BED_DIR/$1
	spawn "$1" overlayd "$d/overlayd.log" "$BED_B/overlayd" --config "$d/etc" --state "$d/state" \
		--run /run/overlayd --vici /run/charon.vici --foreground
	await "[ -S $(run_dir "$1")/overlayd/admin.sock ]" 30 "overlayd of $1"
}
overlayd_end() {
	local pid rc
	pid=$(<"$BED_DIR/$1/overlayd.pid")
	kill "-$2" "$pid" || return 1
	wait "$pid" 2>/dev/null
	rc=$?
	if [ "$2" = TERM ] && [ $rc != 0 ]; then fail "overlayd of $1 ended with status $rc on SIGTERM"; fi
	return 0
}
overlayd_stop() { overlayd_end "$1" TERM; }
overlayd_kill() {
	overlayd_end "$1" KILL
	rm -f "$(run_dir "$1")/overlayd/admin.sock"
}
overlayd_alive() { kill -0 "$(<"$BED_DIR/$1/overlayd.pid")" 2>/dev/null; }

# ctl NODE ARGS…: overlayctl on that node, with its directories; its socket is the default one.
ctl() {
	local node=$1
	shift
	n "$node" "$BED_B/overlayctl" --config "$BED_DIR/$node/etc" --state "$BED_DIR/$node/state" "$@"
}

# ---------------------------------------------------------------- policy
#
# The cluster's policy is kept in $BED_DIR/policy, as an admin keeps it in git, and copied to the
# nodes: policy_push, whole, each file by a rename, policy.yaml last.

# node_key NODE: its public key as OpenSSH writes it; made here if overlayd has not yet.
node_key() {
	local key=$BED_DIR/$1/state/node.key
	if [ ! -e "$key" ]; then
		(umask 077 && openssl genpkey -algorithm ed25519 -out "$key" 2>/dev/null)
	fi
	printf 'ssh-ed25519 %s' "$({
		printf '\0\0\0\13ssh-ed25519\0\0\0\40'
		openssl pkey -in "$key" -pubout -outform DER | tail -c 32
	} | base64 -w0)"
}

# peer NODE ROLES ADDRESS [LINES]: its file in peers.d (more YAML: "until: 2026-12-31, hours: …").
peer() {
	mkdir -p "$BED_DIR/policy/peers.d"
	local where="" site
	site=$(<"$BED_DIR/$1/site")
	if [ -e "$BED_DIR/$1/endpoints" ]; then
		where="endpoints: [$(<"$BED_DIR/$1/endpoints")], "
	elif [ -e "$BED_DIR/$1/underlay" ] && ! grep -q nat "$BED_DIR/site-$site"; then
		where="endpoints: [$(underlay "$1")], "
	fi
	echo "$1: { key: \"$(node_key "$1") $1\", address: $3, site: $site, ${where}roles: [$2]${4:+, $4} }" \
		>"$BED_DIR/policy/peers.d/$1.yaml"
	echo "$3" >"$BED_DIR/$1/inner"
}
unpeer() { rm -f "$BED_DIR/policy/peers.d/$1.yaml"; }
inner() { cat "$BED_DIR/$1/inner"; }

# demo_policy: one head, some exec nodes; what most tests begin with.
demo_policy() {
	mkdir -p "$BED_DIR/policy/peers.d"
	cat >"$BED_DIR/policy/policy.yaml" <<-'END'
		cluster: demo
		serial: 1
		overlay: 10.77.0.0/16
		sites:
		  hq: {}
		  aws: {}
		services:
		  mom: { ports: [tcp/15002-15003] }
		allow:
		  - { from: exec, to: head, service: pbs }
		  - { from: head, to: exec, service: pbs }
		  - { from: exec, to: exec, service: mom }
	END
}

# policy_push NODE…: give the nodes the policy as it is now; they notice by themselves.
policy_push() {
	local x
	for x in "$@"; do
		local to=$BED_DIR/$x/etc
		mkdir -p "$to/peers.d"
		for f in "$BED_DIR"/policy/peers.d/*.yaml; do
			if [ -e "$f" ] && ! cmp -s "$f" "$to/peers.d/${f##*/}"; then
				cp "$f" "$to/peers.d/.new" && mv "$to/peers.d/.new" "$to/peers.d/${f##*/}"
			fi
		done
		for f in "$to"/peers.d/*.yaml; do
			if [ ! -e "$BED_DIR/policy/peers.d/${f##*/}" ]; then rm -f "$f"; fi
		done
		if ! cmp -s "$BED_DIR/policy/policy.yaml" "$to/policy.yaml"; then
			cp "$BED_DIR/policy/policy.yaml" "$to/.new" && mv "$to/.new" "$to/policy.yaml"
		fi
	done
}

# ---------------------------------------------------------------- traffic

# tcp_server NODE ADDRESS PORT: an echo server that knows nothing of overlayd; log: tcp-PORT.log
tcp_server() {
	: >"$BED_DIR/$1/tcp-$3.log"
	spawn "$1" "tcp-$3" "$BED_DIR/$1/tcp-$3.log" python3 "$BED_HERE/tcp.py" server "$2" "$3"
	await "grep -q listening $BED_DIR/$1/tcp-$3.log" 5 "server on $1 $2 port $3"
}
# tcp_client NODE ADDRESS PORT [LABEL]: keeps one connection busy; log: client-LABEL.log
tcp_client() {
	local log=$BED_DIR/$1/client-${4:-$3}.log
	: >"$log"
	spawn "$1" "client-${4:-$3}" "$log" python3 "$BED_HERE/tcp.py" client "$2" "$3"
	await "grep -q established $log" 5 "client on $1 to $2 port $3"
}
client_log() { cat "$BED_DIR/$1/client-$2.log"; }
client_ended() { grep -q ' ended ' "$BED_DIR/$1/client-$2.log"; }
# Echoes so far; a connection flows when the number rises.
client_beats() { awk '/ beat /{b = $3} END {print b + 0}' "$BED_DIR/$1/client-$2.log"; }
client_flows() {
	local b
	b=$(client_beats "$1" "$2")
	poll "[ \$(client_beats $1 $2) -gt $b ]" "${3:-5}"
}

# tcp_open NODE ADDRESS PORT [SECONDS]: 0 when a connection can be made; says what happened.
tcp_open() {
	local seconds=${4:-1}
	if [ "$BED_SLOW" != 1 ]; then seconds=$(awk -v s="$seconds" -v k="$BED_SLOW" 'BEGIN {print s * k}'); fi
	n "$1" python3 "$BED_HERE/tcp.py" probe "$2" "$3" "$seconds"
}
# ping NODE ADDRESS [SIZE]: one echo, whatever packages are installed.
ping() { n "$1" python3 "$BED_HERE/tcp.py" ping "$2" "${3:-56}"; }

# ---------------------------------------------------------------- the wire

# Everything that crosses the router or a site's bridge, in BED_DIR/wire.pcap. What the router and
# the neighbours say to each other is not traffic between nodes: ARP, ND (ICMPv6 130-143), IGMP, MLD.
# Nor is a kernel's "port unreachable" about UDP 4500, while a charon is dead: it quotes sealed bytes.
WIRE_QUIET='not arp and not igmp and not (icmp6 and ip6[40] >= 130 and ip6[40] <= 143) and not ip6 proto 0
	and not (icmp[0] = 3 and icmp[17] = 17 and icmp[30:2] = 4500)
	and not (icmp6 and ip6[40] = 1 and ip6[54] = 17 and ip6[90:2] = 4500)'
capture_start() {
	spawn router tcpdump "$BED_DIR/tcpdump.out" tcpdump -Z root -U -n -i any -s 128 -w "$BED_DIR/wire.pcap"
	await "grep -q listening $BED_DIR/tcpdump.out" 10 "capture on the router"
}
wire() { tcpdump -n -r "$BED_DIR/wire.pcap" "$@" 2>/dev/null; }
wire_clear() { wire "$WIRE_QUIET and not udp port 4500"; }
# capture_check WHAT: something crossed the wire, and all of it was UDP 4500.
capture_check() {
	local good bad
	good=$(wire 'udp port 4500' | wc -l)
	bad=$(wire_clear | wc -l)
	if [ "$good" -gt 0 ] && [ "$bad" = 0 ]; then
		pass "$1 ($good packets)"
	else
		fail "$1: $good packets of UDP 4500, $bad others: $(wire_clear | head -3)"
	fi
}

. "$BED_HERE/scene.sh"

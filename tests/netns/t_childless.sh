#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# An IKE_SA that comes up without its child (the other end's libipsec has not heard of its own
# address yet): it is given up and tried again within seconds, not when all else has timed out.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/scene.sh"
bed "$@"

site hq 192.0.2
node head1 hq 10
node node17 hq 17
demo_policy
peer head1 "head" 10.77.0.1
peer node17 "exec" 10.77.0.17
up head1 node17
expect_within 'sa_up head1 node17' 15 "the tunnel is up"

# node17 without its overlay addresses, and nobody there to put them back.
six=$(inner6 node17)
overlayd_kill node17
n node17 ip addr del 10.77.0.17/32 dev lo
n node17 ip addr del "$six/128" dev lo
vici head1 terminate '{"ike": "ovl.node17", "force": "yes"}' >/dev/null
id() { sas head1 node17 | awk '{print $3}'; }
expect_within '[ -n "$(id)" ] && ! sa_up head1 node17' 5 "an IKE_SA comes up, without a child"
first=$(id)
expect_within '[ "$(id)" -ge $((first + 2)) ]' 8 "it is given up and tried again, twice"
expect_for '[ "$(sas head1 node17 | wc -l)" -lt 3 ]' 3 "they do not pile up"
n node17 ip addr add 10.77.0.17/32 dev lo
n node17 ip addr add "$six/128" dev lo nodad
expect_within 'sa_up head1 node17' 6 "the addresses are back: the tunnel within seconds"
alive head1
done_testing

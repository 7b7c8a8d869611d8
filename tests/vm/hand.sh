# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
#
# An SA set up by hand, with swanctl and an XFRM interface and no overlayd: what overlayd's are
# compared with. For any bed: it is told where files are and how a command runs on a node.

# hand_config DIR SELF KEY PEER PEER-KEY PEER-ADDRESS INNER PEER-INNER ESP [START-ACTION]: the
# directory for SWANCTL_DIR; the keys are files of private ones, names are identities.
hand_config() {
	mkdir -p "$1/private" "$1/pubkey"
	cp "$3" "$1/private/self.pem"
	openssl pkey -in "$3" -pubout -out "$1/pubkey/self.pub"
	openssl pkey -in "$5" -pubout -out "$1/pubkey/peer.pub"
	cat >"$1/swanctl.conf" <<-CONF
		connections { peer {
			remote_addrs = $6
			local_port = 4500
			remote_port = 4500
			encap = yes
			mobike = no
			if_id_in = 77
			if_id_out = 77
			local { auth = pubkey
				id = $2
				pubkeys = self.pub }
			remote { auth = pubkey
				id = $4
				pubkeys = peer.pub }
			children { net {
				local_ts = $7/32
				remote_ts = $8/32
				esp_proposals = $9
				start_action = ${10:-none} } }
		} }
	CONF
}

# hand_device DEVICE INNER MTU COMMAND…: its interface; COMMAND… runs what follows on the node.
hand_device() {
	local dev=$1 inner=$2 mtu=$3
	shift 3
	"$@" ip link add "$dev" type xfrm if_id 77
	"$@" ip addr add "$inner/32" dev "$dev"
	"$@" ip link set "$dev" up mtu "$mtu"
	"$@" ip route add 10.77.0.0/16 dev "$dev" src "$inner"
}

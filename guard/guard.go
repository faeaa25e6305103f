// Package guard holds bridged guests to their own addresses (paper 4.1): nothing
// leaves a guest's TAP for the bridge but with its hardware address and its IP
// addresses, in the Ethernet header, in ARP and in neighbour discovery, and nothing
// that only a router, a DHCP server or a switch says.
//
// It is one table of nftables in the bridge family, "bridge uml", with a number of
// rules that does not grow: what differs from guest to guest is elements of sets,
// keyed by the TAP's name, so that the hundredth guest's packets cost what the
// first one's do. Frames that come from elsewhere cost one comparison, of the group
// of the interface that they came from.
//
// It fails shut: a TAP of the group without elements sends nothing. Within the
// table every packet that no rule lets through is dropped, also one that is too
// short for the kernel to find what a rule asks for.
//
// Who is no port of a bridge is not filtered. Not promised: that it stands while
// somebody empties the host's rules (nft flush ruleset); the next Install restores
// it, and each Admit one guest. It needs Linux 5.12.
//
// It acts in the network namespace of the calling thread.
package guard

import (
	"net"
	"net/netip"
)

// Group is the number of the link group (ip link set group) of the TAPs that the
// filter holds, next to that of routed guests' in package firewall.
const Group = 118

// Table is the table's name, in the bridge family.
const Table = "uml"

// A Guest is who may send what through a TAP. Without an address of a family it
// sends nothing of that family.
type Guest struct {
	TAP string
	MAC net.HardwareAddr
	IP4 []netip.Addr
	IP6 []netip.Addr // the link-local one too
}

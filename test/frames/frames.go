// Package frames builds Ethernet frames as a guest may send them and as it must
// not: each forgery that a host has to stop, published bypasses of other hosts'
// filters among them, and honest traffic of every kind that has to pass. It is for
// tests only, and sends nothing.
package frames

import (
	"fmt"
	"net"
	"net/netip"
)

// A Kind is how a guest is attached. As bits it says which kinds a frame is for: to
// a routed guest's host a wrong hardware address is none of the network's business.
type Kind int

const (
	Routed Kind = 1 << iota
	Bridged
	Both = Routed | Bridged
)

// A Node is somebody that a frame may say it comes from.
type Node struct {
	MAC  net.HardwareAddr
	IP4  netip.Addr
	IP6  netip.Addr
	Link netip.Addr // link-local
}

// A Scene is the link that a guest sends on.
type Scene struct {
	Kind   Kind
	Guest  Node
	Prefix netip.Prefix // the guest's /64, with Guest.IP6 in it
	Host   Node         // its end of the link: of the TAP, with ::1 of Prefix; or of the bridge
	Other  Node         // another guest of the host
	Router Node         // of the network, whom most frames are for
}

// A Frame holds its Mark, which no other has, where routers and bridges leave it
// alone: a receiver finds it by that, whatever else was changed.
type Frame struct {
	Name  string
	Mark  []byte
	Bytes []byte
	Local bool // honest, but ends on its link: no router passes it on
}

// A row is one frame of a table. All calls of build in one table have one scene.
type row struct {
	name  string
	kinds Kind
	local bool
	bytes func(mark []byte) []byte
}

// Forgeries are what the scene's guest must not get past its host.
func Forgeries(s Scene) []Frame {
	var all []row
	all = append(all, s.sources4()...)
	all = append(all, s.sources6()...)
	all = append(all, s.neighbours()...)
	all = append(all, s.routers()...)
	all = append(all, s.servers()...)
	all = append(all, s.resolution()...)
	all = append(all, s.ethernet()...)
	all = append(all, s.routing()...)
	all = append(all, s.onBridge()...)
	all = append(all, s.exactly()...)
	return s.build("forged", all)
}

// Honest is what it may send. A packet larger than size, the link's MTU, is left
// out.
func Honest(s Scene, size int) []Frame {
	var all []Frame
	for _, f := range s.build("honest", append(s.passed(), s.local()...)) {
		if len(f.Bytes) <= size+ethernetHeader {
			all = append(all, f)
		}
	}
	return all
}

const ethernetHeader = 14

func (s Scene) build(word string, rows []row) (all []Frame) {
	for i, r := range rows {
		if r.kinds&s.Kind == 0 {
			continue
		}
		mark := fmt.Appendf(nil, "[%s %07d]", word, i)[:16]
		all = append(all, Frame{r.name, mark, r.bytes(mark), r.local && s.Kind == Routed})
	}
	return all
}

// next is the hardware address that the guest's packets for elsewhere go to.
func (s Scene) next() net.HardwareAddr {
	if s.Kind == Routed {
		return s.Host.MAC
	}
	return s.Router.MAC
}

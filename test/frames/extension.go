package frames

import (
	"encoding/binary"
	"net/netip"
	"slices"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
)

// An extension is an IPv6 header before the last one; next is filled in.
type extension struct {
	protocol layers.IPProtocol
	bytes    []byte
}

var (
	hopByHop    = extension{layers.IPProtocolIPv6HopByHop, []byte{0, 0, 1, 4, 0, 0, 0, 0}} // PadN
	destination = extension{layers.IPProtocolIPv6Destination, []byte{0, 0, 1, 4, 0, 0, 0, 0}}
	long        = extension{layers.IPProtocolIPv6Destination, append([]byte{0, 31, 1, 252}, make([]byte, 252)...)}
	routerAlert = extension{layers.IPProtocolIPv6HopByHop, []byte{0, 0, 5, 2, 0, 0, 1, 0}}
)

// routing leads a packet on to another address (RFC 5095 forbids type 0; type 2 is
// a mobile node's).
func routing(kind byte, on netip.Addr) extension {
	return extension{layers.IPProtocolIPv6Routing, append([]byte{0, 2, kind, 1, 0, 0, 0, 0}, on.AsSlice()...)}
}

// done is a routing header that leads nowhere any more: no segments are left.
func done(x extension) extension {
	x.bytes[3] = 0
	return x
}

// fragment says that the packet is a part: offset in units of 8 bytes.
func fragment(offset uint16, more bool) extension {
	at := offset << 3
	if more {
		at |= 1
	}
	return extension{layers.IPProtocolIPv6Fragment, binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint16([]byte{0, 0}, at), 0x756d6c21)}
}

// extended is the guest's frame with an IPv6 packet behind extension headers. Of a
// later fragment only the mark is there.
func (s Scene) extended(from, to netip.Addr, up upper, all ...extension) func([]byte) []byte {
	return func(mark []byte) []byte {
		h := ip6(from, to, up.protocol)
		rest := up.bytes(h, mark)
		next := up.protocol
		for _, x := range slices.Backward(all) {
			b := slices.Clone(x.bytes)
			b[0] = byte(next)
			if x.protocol == layers.IPProtocolIPv6Fragment && binary.BigEndian.Uint16(b[2:])>>3 > 0 {
				rest = mark
			}
			rest, next = append(b, rest...), x.protocol
		}
		h.NextHeader = next
		return pack(s.eth(to), h, gopacket.Payload(rest))
	}
}

// hidden is a packet whose first fragment holds no more than the extension header
// before its message: who looks at that fragment alone sees no type. It is one
// frame, the second fragment, which holds the message.
func (s Scene) hidden(from, to netip.Addr, up upper) func([]byte) []byte {
	return func(mark []byte) []byte {
		h := ip6(from, to, up.protocol)
		f := fragment(1, false).bytes
		f[0] = byte(layers.IPProtocolIPv6Destination)
		h.NextHeader = layers.IPProtocolIPv6Fragment
		return pack(s.eth(to), h, gopacket.Payload(slices.Concat(f, up.bytes(h, mark))))
	}
}

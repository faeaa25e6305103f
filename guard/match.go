package guard

import (
	"encoding/binary"

	"github.com/google/nftables/expr"
)

// A match is a part of a rule. If one is not met, or the packet too short for it,
// the rule does nothing.
type match []expr.Any

// The registers of a key: after the interface's name, which takes 16 bytes, and
// after the hardware address behind that, which takes 8.
const (
	first  = 1
	second = 2
	third  = 14 // the kernel's name of the 4 bytes at 24
)

// bytes loads n bytes at an offset of a header.
func bytes(base expr.PayloadBase, offset, n, register uint32) match {
	return match{&expr.Payload{DestRegister: register, Base: base, Offset: offset, Len: n}}
}

func is(want ...byte) match {
	return match{&expr.Cmp{Op: expr.CmpOpEq, Register: first, Data: want}}
}

func isNot(than ...byte) match {
	return match{&expr.Cmp{Op: expr.CmpOpNeq, Register: first, Data: than}}
}

func between(low, high byte) match {
	return match{&expr.Range{Op: expr.CmpOpEq, Register: first, FromData: []byte{low}, ToData: []byte{high}}}
}

func masked(mask ...byte) match {
	n := len(mask)
	return match{&expr.Bitwise{SourceRegister: first, DestRegister: first, Len: uint32(n), Mask: mask, Xor: make([]byte, n)}}
}

// in looks the key that was loaded up in a set.
func in(set string) match { return match{&expr.Lookup{SourceRegister: first, SetName: set}} }

func interfaceName() match { return match{&expr.Meta{Key: expr.MetaKeyIIFNAME, Register: first}} }

func group(n uint32) match {
	b := binary.NativeEndian.AppendUint32(nil, n)
	return join(match{&expr.Meta{Key: expr.MetaKeyIIFGROUP, Register: first}}, is(b...))
}

func ethernet(offset, n uint32) match { return bytes(expr.PayloadBaseLLHeader, offset, n, first) }
func network(offset, n uint32) match  { return bytes(expr.PayloadBaseNetworkHeader, offset, n, first) }

// transport must not be asked of a fragment but the first: the kernel's short way for
// 1, 2 and 4 bytes takes what is there for the header (seen on Linux 6.18).
func transport(offset, n uint32) match {
	return bytes(expr.PayloadBaseTransportHeader, offset, n, first)
}

// protocol is that of the transport header, which the kernel finds behind all IPv6
// extension headers. If it finds none, no rule that asks for it is met.
func protocol(than match) match {
	return join(match{&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: first}}, than)
}

// ownMAC: the 6 bytes there are the guest's hardware address.
func ownMAC(base expr.PayloadBase, offset uint32) match {
	return join(interfaceName(), bytes(base, offset, 6, second), bytes(expr.PayloadBaseLLHeader, 12, 2, third), in(speaks))
}

// own4 and own6: the address there, in the network header, is the guest's.
func own4(offset uint32) match {
	return join(interfaceName(), bytes(expr.PayloadBaseNetworkHeader, offset, 4, second), in(owns4))
}

func own6(offset uint32) match {
	return join(interfaceName(), bytes(expr.PayloadBaseNetworkHeader, offset, 16, second), in(owns6))
}

func goTo(chain string) match {
	return match{&expr.Verdict{Kind: expr.VerdictGoto, Chain: chain}}
}

var (
	accept = match{&expr.Verdict{Kind: expr.VerdictAccept}}
	drop   = match{&expr.Verdict{Kind: expr.VerdictDrop}}
)

func join(parts ...match) (whole match) {
	for _, p := range parts {
		whole = append(whole, p...)
	}
	return whole
}

package probe

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"

	"golang.org/x/sys/unix"
)

// A kind is one family's ICMP echo (RFC 792, RFC 4443 4).
type kind struct {
	family         int
	protocol       int
	request, reply byte
}

var (
	echo4 = kind{unix.AF_INET, unix.IPPROTO_ICMP, 8, 0}
	echo6 = kind{unix.AF_INET6, unix.IPPROTO_ICMPV6, 128, 129}
)

const (
	echoHeader = 8
	secretSize = 16
	echoSize   = echoHeader + secretSize
)

// A stamp marks a call's questions. The kernel's filter knows the id; the secret
// tells our answers from those to another process that chose the same id, and
// from forged ones.
type stamp struct {
	id     uint16
	secret [secretSize]byte
}

func newStamp() (s stamp) {
	var id [2]byte
	rand.Read(id[:])
	rand.Read(s.secret[:])
	s.id = binary.BigEndian.Uint16(id[:])
	return s
}

// question is the ICMP message of an echo request. The checksum is IPv4's: for
// IPv6 the kernel writes its own, which covers addresses that only it knows.
func (s stamp) question(k kind, seq uint16) [echoSize]byte {
	b := s.message(k.request, seq)
	binary.BigEndian.PutUint16(b[2:], checksum(b[:]))
	return b
}

// answered is the sequence number of the question that an ICMP message answers.
// The checksum is not looked at: with our secret in it, a damaged answer is one.
func (s stamp) answered(k kind, message []byte) (seq uint16, ok bool) {
	if len(message) != echoSize {
		return 0, false
	}
	seq = binary.BigEndian.Uint16(message[6:])
	want := s.message(k.reply, seq)
	copy(want[2:4], message[2:4])
	return seq, bytes.Equal(want[:], message)
}

func (s stamp) message(kind byte, seq uint16) (b [echoSize]byte) {
	b[0] = kind
	binary.BigEndian.PutUint16(b[4:], s.id)
	binary.BigEndian.PutUint16(b[6:], seq)
	copy(b[echoHeader:], s.secret[:])
	return b
}

// checksum is RFC 1071's, over parts of even length each.
func checksum(parts ...[]byte) uint16 {
	var sum uint32
	for _, b := range parts {
		for i := 0; i+1 < len(b); i += 2 {
			sum += uint32(b[i])<<8 | uint32(b[i+1])
		}
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}

// payload4 is what follows the IPv4 header, options and all; raw sockets of that
// family, and only of that, give the header with every packet.
func payload4(packet []byte) ([]byte, bool) {
	if len(packet) < 20 || packet[0]>>4 != 4 {
		return nil, false
	}
	header := int(packet[0]&0xf) * 4
	if header < 20 || header > len(packet) {
		return nil, false
	}
	return packet[header:], true
}

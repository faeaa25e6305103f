package console

import (
	"encoding/binary"
	"errors"

	"golang.org/x/sys/unix"
)

// Between viewers go packets (unix(7), SOCK_SEQPACKET): a byte that says what it
// is, and the rest.
const (
	output = 'o' // of the guest
	input  = 'i' // typed
	size   = 'w' // of the viewer's window: rows, columns
	notice = 'n' // a line for the viewer
	ended  = 'e' // the last: why
	hand   = 'h' // the viewer is to serve from now on: see hand.go
)

const (
	maxOutput = 32 << 10
	maxInput  = 4 << 10
)

// message is a packet of text.
func message(kind byte, text string) []byte { return append([]byte{kind}, text...) }

func sizePacket(w unix.Winsize) []byte {
	b := binary.NativeEndian.AppendUint16([]byte{size}, w.Row)
	return binary.NativeEndian.AppendUint16(b, w.Col)
}

func parseSize(b []byte) (w unix.Winsize, ok bool) {
	if len(b) != 5 {
		return w, false
	}
	w.Row, w.Col = binary.NativeEndian.Uint16(b[1:]), binary.NativeEndian.Uint16(b[3:])
	return w, w.Row > 0 && w.Col > 0
}

// isSocket says whether it is one for our packets; listening, or joined.
func isSocket(fd int, listening bool) bool {
	domain, err1 := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_DOMAIN)
	kind, err2 := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TYPE)
	accepts, err3 := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ACCEPTCONN)
	return errors.Join(err1, err2, err3) == nil && domain == unix.AF_UNIX && kind == unix.SOCK_SEQPACKET && (accepts == 1) == listening
}

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

// packet is a message of text.
func packet(kind byte, text string) []byte { return append([]byte{kind}, text...) }

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

// send sends one, with descriptors.
func send(sock int, packet []byte, fds []int, flags int) error {
	var rights []byte
	if len(fds) > 0 {
		rights = unix.UnixRights(fds...)
	}
	for {
		err := unix.Sendmsg(sock, packet, rights, nil, flags|unix.MSG_NOSIGNAL)
		if !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// receive receives one into b; 0 bytes are the end.
func receive(sock int, b []byte, flags int) (n int, fds []int, err error) {
	control := make([]byte, unix.CmsgSpace(4*(maxViewers+2)))
	var controls int
	for {
		n, controls, _, _, err = unix.Recvmsg(sock, b, control, flags|unix.MSG_CMSG_CLOEXEC)
		if !errors.Is(err, unix.EINTR) {
			break
		}
	}
	if err != nil || controls == 0 {
		return n, nil, err
	}
	messages, err := unix.ParseSocketControlMessage(control[:controls])
	if err != nil {
		return n, nil, err
	}
	for _, m := range messages {
		some, _ := unix.ParseUnixRights(&m) // another kind of message has none
		fds = append(fds, some...)
	}
	return n, fds, nil
}

func closeAll(fds []int) {
	for _, fd := range fds {
		unix.Close(fd)
	}
}

// isSocket says whether it is one for our packets; listening, or joined.
func isSocket(fd int, listening bool) bool {
	domain, err1 := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_DOMAIN)
	kind, err2 := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TYPE)
	accepts, err3 := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ACCEPTCONN)
	return errors.Join(err1, err2, err3) == nil && domain == unix.AF_UNIX && kind == unix.SOCK_SEQPACKET && (accepts == 1) == listening
}

// Package packet sends and receives packets with descriptors over sockets that
// keep the bounds of what was sent (unix(7), SOCK_SEQPACKET).
package packet

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// MaxFDs is how many descriptors a packet may carry.
const MaxFDs = 18

// Pair is two sockets that are joined.
func Pair() (a, b int, err error) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, -1, fmt.Errorf("make sockets: %w", err)
	}
	return pair[0], pair[1], nil
}

// Send sends one, with copies of fds.
func Send(sock int, b []byte, fds []int, flags int) error {
	var rights []byte
	if len(fds) > 0 {
		rights = unix.UnixRights(fds...)
	}
	for {
		err := unix.Sendmsg(sock, b, rights, nil, flags|unix.MSG_NOSIGNAL)
		if !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// Receive receives one into b; 0 bytes are the end. One that is longer than b, or
// has more descriptors than it may, is EMSGSIZE, and lost.
func Receive(sock int, b []byte, flags int) (n int, fds []int, err error) {
	control := make([]byte, unix.CmsgSpace(4*MaxFDs))
	var controls, got int
	for {
		n, controls, got, _, err = unix.Recvmsg(sock, b, control, flags|unix.MSG_CMSG_CLOEXEC)
		if !errors.Is(err, unix.EINTR) {
			break
		}
	}
	if err != nil {
		return 0, nil, err
	}
	messages, err := unix.ParseSocketControlMessage(control[:controls])
	for _, m := range messages {
		some, _ := unix.ParseUnixRights(&m) // another kind of message has none
		fds = append(fds, some...)
	}
	if err == nil && got&(unix.MSG_TRUNC|unix.MSG_CTRUNC) != 0 {
		err = unix.EMSGSIZE
	}
	if err != nil {
		Close(fds)
		return 0, nil, err
	}
	return n, fds, nil
}

// Close closes descriptors that came with one.
func Close(fds []int) {
	for _, fd := range fds {
		unix.Close(fd)
	}
}

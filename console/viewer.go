package console

import (
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"

	"uml/packet"
)

// A viewer is, for the hub, the connection to one, and what it has not taken yet.
type viewer struct {
	fd     int
	queue  [][]byte
	behind int // bytes in it
	missed int // bytes that it will never see
	window unix.Winsize
	gone   bool
}

func (v *viewer) wants(typed bool) (events int16) {
	if typed {
		events |= unix.POLLIN
	}
	if len(v.queue) > 0 {
		events |= unix.POLLOUT
	}
	return events
}

// tell sends a packet or keeps it for later. A viewer that is far behind the
// fastest misses output: the others are not to wait for it.
func (v *viewer) tell(b []byte) {
	if len(v.queue) == 0 && v.try(b) {
		return
	}
	if v.behind+len(b) > maxBehind && b[0] == output {
		v.missed += len(b) - 1
		return
	}
	v.queue = append(v.queue, slices.Clone(b))
	v.behind += len(b)
}

// try sends a packet; false if there is no room for it.
func (v *viewer) try(b []byte) bool {
	err := packet.Send(v.fd, b, nil, unix.MSG_DONTWAIT)
	if errors.Is(err, unix.EAGAIN) {
		return false
	}
	v.gone = v.gone || err != nil
	return true
}

func (v *viewer) flush() {
	for len(v.queue) > 0 && v.try(v.queue[0]) {
		v.behind -= len(v.queue[0])
		v.queue = v.queue[1:]
	}
	if len(v.queue) == 0 && v.missed > 0 {
		text := fmt.Sprintf("%d bytes were not shown: this viewer reads too slowly", v.missed)
		v.missed = 0
		v.tell(message(notice, text))
	}
}

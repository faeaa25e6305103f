package screen

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// A Wake ends a wait for what is typed: to close the descriptor would not (read(2)),
// and a reader that stays would take what is typed next for another.
type Wake struct{ r, w int }

// NewWake makes one.
func NewWake() (*Wake, error) {
	var pair [2]int
	if err := unix.Pipe2(pair[:], unix.O_CLOEXEC); err != nil {
		return nil, fmt.Errorf("make a pipe: %w", err)
	}
	return &Wake{pair[0], pair[1]}, nil
}

// Up ends the wait, and all that come.
func (w *Wake) Up() { unix.Write(w.w, []byte{0}) }

// Wait waits until fd can be read; false if it was woken.
func (w *Wake) Wait(fd int) bool {
	fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}, {Fd: int32(w.r), Events: unix.POLLIN}}
	for {
		_, err := unix.Poll(fds, -1)
		if !errors.Is(err, unix.EINTR) {
			return fds[1].Revents == 0
		}
	}
}

// Close lets it go.
func (w *Wake) Close() {
	unix.Close(w.r)
	unix.Close(w.w)
}

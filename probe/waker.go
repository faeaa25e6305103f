package probe

import (
	"context"

	"golang.org/x/sys/unix"

	"uml/fault"
)

// A waker is a descriptor that becomes readable when a context ends, so that one
// poll waits for both it and sockets.
type waker struct {
	fd    int
	stop  func() bool
	wrote chan struct{}
}

func newWaker(ctx context.Context) (*waker, error) {
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return nil, fault.Temporary("open an eventfd: %w", err)
	}
	w := &waker{fd: fd, wrote: make(chan struct{})}
	w.stop = context.AfterFunc(ctx, func() {
		unix.Write(fd, []byte{0, 0, 0, 0, 0, 0, 0, 1}) // any number but 0 wakes
		close(w.wrote)
	})
	return w, nil
}

// close waits for a write under way: the number fd may be another file's next.
func (w *waker) close() {
	if !w.stop() {
		<-w.wrote
	}
	unix.Close(w.fd)
}

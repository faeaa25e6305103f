package desk

import (
	"context"
	"errors"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"uml/fault"
	"uml/packet"
	"uml/request"
)

// A conn is one connection. It is read by the runtime's poller, so that one that
// says nothing takes no thread.
type conn struct {
	f   *os.File
	raw syscall.RawConn
}

func newConn(fd int) *conn {
	f := os.NewFile(uintptr(fd), "connection")
	raw, _ := f.SyscallConn() // fails of a closed file only
	return &conn{f, raw}
}

var (
	errHungUp = errors.New("hung up")
	errSilent = fault.Temporary("no request came in %v", patience)
	errLong   = fault.Permanent("a packet of more than %d bytes is no request", request.Max)
	errRights = fault.Permanent("a request has no descriptors")
)

// receive receives a packet. One that has descriptors is looked at and left where it
// is (unix(7), MSG_CTRUNC): to receive it without room for them closes them, and that
// can be made to wait as long as the sender likes (packet.Apart).
func (c *conn) receive() (b []byte, err error) {
	b = make([]byte, request.Max+1)
	var n, flags int
	wrong := c.raw.Read(func(fd uintptr) bool {
		for {
			n, _, flags, _, err = unix.Recvmsg(int(fd), b, nil, unix.MSG_DONTWAIT|unix.MSG_PEEK)
			if err == nil && flags&unix.MSG_CTRUNC == 0 {
				n, _, flags, _, err = unix.Recvmsg(int(fd), b, nil, unix.MSG_DONTWAIT)
			}
			if !errors.Is(err, unix.EINTR) {
				return !errors.Is(err, unix.EAGAIN)
			}
		}
	})
	switch {
	case errors.Is(wrong, os.ErrDeadlineExceeded):
		return nil, errSilent
	case wrong != nil:
		return nil, wrong
	case err != nil:
		return nil, err
	case flags&unix.MSG_CTRUNC != 0:
		return nil, errRights
	case flags&unix.MSG_TRUNC != 0 || n > request.Max:
		return nil, errLong
	case n == 0:
		return nil, errHungUp
	}
	return b[:n], nil
}

// reply waits for nobody: who does not read has no answer.
func (c *conn) reply(a request.Answer, fds ...int) (err error) {
	wrong := c.raw.Control(func(fd uintptr) { err = request.Reply(int(fd), a, fds...) })
	return errors.Join(wrong, err)
}

// watched is a context that ends when the asker hangs up, or says more than one
// request. It has to be cancelled.
func (c *conn) watched() (context.Context, context.CancelFunc) {
	c.f.SetReadDeadline(time.Time{})
	ctx, cancel := context.WithCancelCause(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_, err := c.receive()
		if err == nil {
			err = fault.Permanent("more than one request")
		}
		cancel(err)
	}()
	return ctx, func() {
		c.f.SetReadDeadline(time.Unix(1, 0))
		<-ended
	}
}

// hungUp waits until the asker has hung up. Descriptors that were sent and that he
// does not receive are root's until then, and root without CAP_SYS_RESOURCE may have
// so many and no more (ETOOMANYREFS, net/core/scm.c): so each account has no more of
// them than connections.
//
// What he says meanwhile is not read: each packet wakes us, and his end does.
func (c *conn) hungUp() {
	c.f.SetReadDeadline(time.Time{})
	c.raw.Read(func(fd uintptr) bool {
		now := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLRDHUP}}
		unix.Poll(now, 0)
		return now[0].Revents&(unix.POLLHUP|unix.POLLERR) != 0 // RDHUP: he says no more, and may still hear
	})
}

// close hangs up. What was sent and not read would, at a plain close, take our last
// answer away from the asker (ECONNRESET, net/unix/af_unix.c): so no more is taken,
// and what is there is read first, but for descriptors.
func (c *conn) close() {
	read := true
	c.raw.Control(func(fd uintptr) {
		// With it even an empty packet has a word, and the end has none.
		unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_PASSCRED, 1)
		unix.Shutdown(int(fd), unix.SHUT_RD)
		read = readOut(int(fd))
	})
	if read {
		c.f.Close()
		return
	}
	packet.Apart(func() { c.f.Close() })
}

// readOut reads what is there; false if it came to descriptors, which stay.
func readOut(fd int) bool {
	control := make([]byte, unix.CmsgSpace(unix.SizeofUcred))
	for {
		_, controls, flags, _, err := unix.Recvmsg(fd, nil, control, unix.MSG_DONTWAIT|unix.MSG_PEEK)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil || controls == 0:
			return true
		case flags&unix.MSG_CTRUNC != 0:
			return false
		}
		unix.Recvmsg(fd, nil, control, unix.MSG_DONTWAIT)
	}
}

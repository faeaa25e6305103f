package console

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"uml/packet"
)

// A hub is the one that reads the terminal, and serves all viewers: its own
// process's and those that have joined. It reads only while some viewer has taken
// all there was, so that what nobody reads waits in the guest, which waits too.
type hub struct {
	guest    *Guest
	terminal *terminal
	listener int       // -1: nobody can join
	socket   string    // its name
	viewers  []*viewer // the first is this process's own
	typed    []byte    // what the guest has not taken yet

	nudge  int // milliseconds of silence until the guest's kernel is woken
	came   int // bytes since
	buffer []byte
	over   bool // the terminal has ended before the guest
}

const (
	maxViewers = 16
	maxTyped   = 64 << 10 // then no viewer is heard
	maxBehind  = 1 << 20  // then a viewer misses what comes
	patience   = 2 * time.Second
)

func newHub(g *Guest, t *terminal, listener int, socket string, conns ...int) *hub {
	h := &hub{guest: g, terminal: t, listener: listener, socket: socket, buffer: make([]byte, 1+maxOutput), nudge: 1}
	h.buffer[0] = output
	for _, fd := range conns {
		h.viewers = append(h.viewers, &viewer{fd: fd})
	}
	return h
}

// When nothing has come for so long the guest's kernel is woken, and again, and then
// no more. One that wrote little cannot be waiting: it has room for 64 KB.
var nudges = map[int]int{1: 20, 20: 200, 200: -1}

const little = 4 << 10

// run serves until this process's own viewer leaves or the guest ends.
func (h *hub) run() {
	defer h.close()
	for {
		end := h.turn()
		if h.viewers[0].gone {
			h.flush()
			h.handOver()
			return
		}
		h.sweep()
		if end {
			h.drain()
			why := h.guest.name + ": the guest has ended"
			if h.over {
				why = h.guest.name + ": the guest has closed its console"
			}
			h.tell(message(ended, why))
			h.flush()
			return
		}
	}
}

// turn waits for something to do and does it; end says that no more will come.
func (h *hub) turn() (end bool) {
	fds := []unix.PollFd{
		{Fd: int32(h.guest.process), Events: unix.POLLIN},
		{Fd: int32(h.listener), Events: unix.POLLIN}, // -1 is passed over
		{Fd: int32(h.terminal.fd), Events: h.wants()},
	}
	if fds[2].Events == 0 {
		fds[2].Fd = -1 // a hang-up is said unasked
	}
	for _, v := range h.viewers {
		fds = append(fds, unix.PollFd{Fd: int32(v.fd), Events: v.wants(len(h.typed) < maxTyped)})
	}
	n, err := unix.Poll(fds, h.nudge)
	if err != nil {
		return false // EINTR
	}
	if n == 0 {
		h.guest.wake()
		h.nudge, h.came = nudges[h.nudge], 0
	}
	for i, v := range h.viewers {
		h.attend(v, fds[3+i].Revents)
	}
	if fds[2].Revents&unix.POLLOUT != 0 {
		h.write()
	}
	if fds[2].Revents&(unix.POLLIN|unix.POLLHUP|unix.POLLERR) != 0 {
		h.over = !h.read()
		if h.came > little {
			h.nudge = 1
		}
	}
	if fds[1].Revents != 0 {
		h.accept()
	}
	return fds[0].Revents != 0 || h.over
}

func (h *hub) wants() (events int16) {
	if slices.ContainsFunc(h.viewers, func(v *viewer) bool { return len(v.queue) == 0 }) {
		events |= unix.POLLIN
	}
	if len(h.typed) > 0 {
		events |= unix.POLLOUT
	}
	return events
}

// read passes on what the guest wrote; false if there will be no more. One read
// gives 4 KB at the most (drivers/tty/n_tty.c).
func (h *hub) read() bool {
	n := 1
	for n < len(h.buffer) {
		more, err := unix.Read(h.terminal.fd, h.buffer[n:])
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if more <= 0 {
			h.pass(n)
			return errors.Is(err, unix.EAGAIN)
		}
		n += more
		if more < 2048 { // no more is waiting, as a rule
			break
		}
	}
	h.pass(n)
	return true
}

func (h *hub) pass(n int) {
	if n > 1 {
		h.came += n - 1
		h.tell(h.buffer[:n])
	}
}

func (h *hub) tell(b []byte) {
	for _, v := range h.viewers {
		v.tell(b)
	}
}

func (h *hub) write() {
	n, err := unix.Write(h.terminal.fd, h.typed)
	if err != nil && !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EINTR) {
		n = len(h.typed) // nobody will read it
	}
	h.typed = h.typed[max(0, n):]
}

// attend does what a viewer is ready for.
func (h *hub) attend(v *viewer, ready int16) {
	if ready&unix.POLLOUT != 0 {
		v.flush()
	}
	if ready&(unix.POLLIN|unix.POLLHUP|unix.POLLERR) == 0 {
		return
	}
	b := make([]byte, 1+maxInput)
	n, fds, err := packet.Receive(v.fd, b, unix.MSG_DONTWAIT)
	packet.Close(fds)
	switch {
	case errors.Is(err, unix.EAGAIN):
	case err != nil || n == 0:
		v.gone = true
	case b[0] == input:
		h.typed = append(h.typed, b[1:n]...)
		h.write()
	case b[0] == size:
		if w, ok := parseSize(b[:n]); ok {
			v.window = w
			h.terminal.resize(w)
		}
	}
}

// sweep lets go of the viewers that have left. The window is that of one who is
// still there.
func (h *hub) sweep() {
	left := false
	h.viewers = slices.DeleteFunc(h.viewers, func(v *viewer) bool {
		if v.gone {
			left = left || v.window.Row > 0
			unix.Close(v.fd)
		}
		return v.gone
	})
	for i := len(h.viewers) - 1; left && i >= 0; i-- {
		if w := h.viewers[i].window; w.Row > 0 {
			h.terminal.resize(w)
			return
		}
	}
}

// accept lets a viewer in, if it is root's or the machine's user's.
func (h *hub) accept() {
	fd, _, err := unix.Accept4(h.listener, unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK)
	if err != nil {
		return
	}
	if !h.guest.mayView(fd) {
		unix.Close(fd)
		return
	}
	v := &viewer{fd: fd}
	if len(h.viewers) == maxViewers {
		v.tell(message(ended, fmt.Sprintf("%s: %d view this console already", h.guest.name, maxViewers)))
		unix.Close(fd)
		return
	}
	v.tell(message(notice, fmt.Sprintf("%s: joined; so many others view this console: %d", h.guest.name, len(h.viewers))))
	h.viewers = append(h.viewers, v)
}

// drain passes on what the kernel wrote before its end: it comes through within
// moments. A stray that holds the slave open would keep an end from coming.
func (h *hub) drain() {
	fds := []unix.PollFd{{Fd: int32(h.terminal.fd), Events: unix.POLLIN}}
	for until := time.Now().Add(patience); !h.over && time.Now().Before(until); {
		n, err := unix.Poll(fds, 50)
		if n == 0 && err == nil || n > 0 && !h.read() {
			return
		}
	}
}

// flush gives the viewers what they have not taken yet, and the guest, unless they
// do not take it.
func (h *hub) flush() {
	for until := time.Now().Add(patience); time.Now().Before(until); {
		var fds []unix.PollFd
		for _, v := range h.viewers {
			if v.flush(); len(v.queue) > 0 && !v.gone {
				fds = append(fds, unix.PollFd{Fd: int32(v.fd), Events: unix.POLLOUT})
			}
		}
		if len(h.typed) > 0 && !h.guest.ended(0) {
			h.write()
			fds = append(fds, unix.PollFd{Fd: int32(h.terminal.fd), Events: unix.POLLOUT})
		}
		if len(fds) == 0 {
			return
		}
		unix.Poll(fds, int(time.Until(until).Milliseconds())+1)
	}
}

package console

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"uml/packet"
)

// handOver makes another viewer the one that serves: it is sent the lock, the
// socket that others join by, and the connections of all, its own first. Until it
// has them nobody reads the terminal, so nothing is lost; if it dies meanwhile they
// die with the packet, and the others begin anew.
func (h *hub) handOver() {
	h.join()
	for i, v := range h.viewers {
		if i == 0 || v.gone || len(v.queue) > 0 {
			continue
		}
		fds := []int{h.terminal.slave, v.fd}
		for _, other := range h.viewers[1:] {
			if other != v && !other.gone {
				fds = append(fds, other.fd)
			}
		}
		text := ""
		if h.listener >= 0 {
			fds, text = append(fds, h.listener), "and the socket"
		}
		if packet.Send(v.fd, message(hand, text), fds, unix.MSG_DONTWAIT) == nil {
			h.socket = "" // it is theirs now
			return
		}
	}
}

// join lets in who has knocked already.
func (h *hub) join() {
	fds := []unix.PollFd{{Fd: int32(h.listener), Events: unix.POLLIN}}
	for range maxViewers {
		if n, err := unix.Poll(fds, 0); n <= 0 && !errors.Is(err, unix.EINTR) {
			return
		}
		h.accept()
	}
}

// close lets go of all. The socket's name goes before the lock.
func (h *hub) close() {
	if h.listener >= 0 {
		if h.socket != "" {
			h.guest.unlink(h.socket)
		}
		unix.Close(h.listener)
	}
	for _, v := range h.viewers {
		unix.Close(v.fd)
	}
	h.terminal.close()
}

// adopt makes a hub of what one has handed over. What it sends may be of another
// user: only the terminal that we take ourselves is used, and of the rest only
// what it has to be: the lock the terminal's, the first connection our own. Else it is
// as if the other had gone without a word.
func (g *Guest) adopt(t *terminal, socket string, listening bool, fds []int) (*hub, error) {
	listener := -1
	conns := fds[min(1, len(fds)):]
	if n := len(conns) - 1; listening && n >= 0 {
		listener, conns = conns[n], conns[:n]
	}
	good := len(conns) > 0 && len(conns) <= maxViewers && isOurs(conns[0]) && sameFile(fds[0], t.slave) && (listener < 0 || isSocket(listener, true))
	for _, c := range conns {
		good = good && isSocket(c, false) && g.mayView(c) && unix.SetNonblock(c, true) == nil
	}
	if !good {
		packet.Close(fds)
		t.close()
		return nil, fmt.Errorf("%s: %w, and handed over something else", g.name, errLost)
	}
	if t.slave != t.fd {
		unix.Close(t.slave)
	}
	t.slave = fds[0]
	return newHub(g, t, listener, socket, conns...), nil
}

// isOurs says whether this process has the other end of a connection.
func isOurs(fd int) bool {
	peer, err := unix.GetsockoptUcred(fd, unix.SOL_SOCKET, unix.SO_PEERCRED)
	return err == nil && int(peer.Pid) == os.Getpid()
}

func sameFile(a, b int) bool {
	var x, y unix.Stat_t
	return unix.Fstat(a, &x) == nil && unix.Fstat(b, &y) == nil && x.Dev == y.Dev && x.Ino == y.Ino
}

// mayView says whether the other end of a connection is root's, the machine's
// user's, or our own.
func (g *Guest) mayView(fd int) bool {
	peer, err := unix.GetsockoptUcred(fd, unix.SOL_SOCKET, unix.SO_PEERCRED)
	return err == nil && (peer.Uid == 0 || int(peer.Uid) == g.uid)
}

// connect joins who serves the console already; -1 if nobody does.
func (g *Guest) connect(socket string) (int, error) {
	f, err := g.uml.Open(socket)
	if errors.Is(err, unix.ENOENT) {
		return -1, nil
	}
	if err != nil {
		return -1, err
	}
	defer f.Close()
	if f.Stat.Mode&unix.S_IFMT != unix.S_IFSOCK || int(f.Stat.Uid) != g.uid {
		return -1, nil // serve says what is wrong
	}
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return -1, fmt.Errorf("make a socket: %w", err)
	}
	err = unix.Connect(fd, &unix.SockaddrUnix{Name: fmt.Sprintf("/proc/self/fd/%d", f.Fd())})
	if err == nil && g.mayView(fd) && unix.SetNonblock(fd, false) == nil {
		return fd, nil
	}
	unix.Close(fd)
	return -1, nil // it died, or it is another's
}

// serve makes the socket that others join by: the guest's user's, as mconsole's
// are, so that he and root reach it and nobody else. Who calls has the lock: a
// socket of that name was left by one that was killed.
func (g *Guest) serve(socket string) (int, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return -1, fmt.Errorf("make a socket: %w", err)
	}
	g.unlink(socket)
	err = g.asUser(func() error {
		return unix.Bind(fd, &unix.SockaddrUnix{Name: fmt.Sprintf("/proc/thread-self/fd/%d/%s", g.uml.Fd(), socket)})
	})
	if err == nil {
		err = unix.Listen(fd, maxViewers)
	}
	if err != nil {
		unix.Close(fd)
		return -1, fmt.Errorf("make the socket %s: %w", g.uml.Join(socket), err)
	}
	return fd, nil
}

func (g *Guest) unlink(socket string) {
	g.asUser(func() error { return unix.Unlinkat(g.uml.Fd(), socket, 0) })
}

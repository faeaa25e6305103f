package console

import (
	"context"

	"golang.org/x/sys/unix"

	"uml/handle"
	"uml/packet"
)

// Parts of a guest are what a viewer needs who may not look into its kernel's
// process himself: descriptors of that process (pidfd), of the directory uml/ for
// sockets, and of the channel's terminal pair, master and slave. A terminal that
// has no master for us has its slave twice.
type Parts [4]int

// Parts takes the guest's for channel, for another process; see Close.
func (g *Guest) Parts(ctx context.Context, channel string) (p Parts, err error) {
	t, err := g.take(ctx, channel)
	if err != nil {
		return p, err
	}
	defer t.close()
	for i, fd := range []int{g.process, g.uml.Fd(), t.fd, t.slave} {
		p[i], err = unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 3)
		if err != nil {
			packet.Close(p[:i])
			return p, err
		}
	}
	return p, nil
}

// Close closes all of them.
func (p Parts) Close() { packet.Close(p[:]) }

// Given is the guest name, of the account uid and gid, that these are the parts of,
// which it takes over. The terminal is taken once: again gives others for the next
// time.
func Given(name string, uid, gid int, p Parts, again func(context.Context) (Parts, error)) *Guest {
	return &Guest{
		name: name, uid: uid, gid: gid, process: p[0], uml: handle.Given("uml", p[1]),
		given: &given{&terminal{p[2], p[3]}, again},
	}
}

// given is how the terminals come of a guest that others look into.
type given struct {
	first *terminal // nil: taken
	again func(context.Context) (Parts, error)
}

func (g *given) take(ctx context.Context) (*terminal, error) {
	if t := g.first; t != nil {
		g.first = nil
		return t, nil
	}
	p, err := g.again(ctx)
	if err != nil {
		return nil, err
	}
	packet.Close(p[:2])
	return &terminal{p[2], p[3]}, nil
}

func (g *given) close() {
	if g != nil && g.first != nil {
		g.first.close()
	}
}

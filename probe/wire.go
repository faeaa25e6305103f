package probe

import (
	"errors"
	"net"
	"net/netip"

	"golang.org/x/sys/unix"

	"uml/fault"
)

// A target is an address, and what has been heard of it in all ways.
type target struct {
	address   netip.Addr
	source    netip.Addr // what this host asks it from (IPv4), once known
	asked     bool       // in any way
	ways      way
	mac       net.HardwareAddr // of the first that answered below IP
	rivalMAC  net.HardwareAddr
	elsewhere netip.Addr // the first other address that answered
}

// A wire is a socket and those to be asked on it: one way to ask.
type wire struct {
	how      string
	external string
	fd       int
	asks     []ask
	places   map[netip.Addr]int // in asks
	silent   int                // asks without an answer

	send func(seq uint16, t *target) error

	// read is what a packet shows.
	read func(packet []byte, from unix.Sockaddr) (sign, bool)
}

// An ask is a target on one wire; its place in asks is the sequence number of its
// questions.
type ask struct {
	*target
	answered bool
	sent     bool
	why      error // of the last failed send
}

// A sign is what somebody's packet shows of a target.
type sign struct {
	seq    int
	source netip.Addr // whose answer it is
	way    way
	mac    net.HardwareAddr
}

func newWire(how, external string, fd int, targets []target) *wire {
	w := &wire{how: how, external: external, fd: fd, asks: make([]ask, len(targets)), silent: len(targets)}
	w.places = make(map[netip.Addr]int, len(targets))
	for i := range targets {
		w.asks[i].target = &targets[i]
		w.places[targets[i].address] = i
	}
	return w
}

func (w *wire) close() {
	if w.fd >= 0 {
		unix.Close(w.fd)
	}
}

// sendAll asks all that have not answered.
func (w *wire) sendAll() error {
	for seq := range w.asks {
		a := &w.asks[seq]
		if a.answered {
			continue
		}
		err := w.send(uint16(seq), a.target)
		switch {
		case err == nil:
			a.sent, a.asked = true, true
		case errors.Is(err, unix.EPERM):
			return fault.AddressUnasked.Temporary("%s to %s: the host's own firewall refuses to send it on %s (let it out)", w.how, a.address, w.external)
		case errors.Is(err, unix.ENODEV):
			return fault.NetworkDown.Temporary("%s to %s: interface %s is gone", w.how, a.address, w.external)
		default:
			// No route, a full queue: the next try may have better luck.
			a.why = err
		}
	}
	return nil
}

// receiveAll takes what is queued, but not without end: a flood that passes the
// filter must not hold us beyond the time-out.
func (w *wire) receiveAll() error {
	var packet [1500]byte // an advertisement with its options; the rest is far shorter
	for range len(w.asks) + 256 {
		n, from, err := unix.Recvfrom(w.fd, packet[:], 0)
		switch err {
		case nil:
			if s, ok := w.read(packet[:n], from); ok && s.seq < len(w.asks) {
				w.note(s)
			}
		case unix.EAGAIN:
			return nil
		case unix.EINTR:
		case unix.ENETDOWN: // told once; sending says it too
		default:
			return fault.Temporary("receive answers on %s: %w", w.external, err)
		}
	}
	return nil
}

func (w *wire) note(s sign) {
	a := &w.asks[s.seq]
	if s.source != a.address {
		if !a.elsewhere.IsValid() {
			a.elsewhere = s.source
		}
		return
	}
	a.ways |= s.way
	if s.way&rival != 0 {
		a.rivalMAC = s.mac
		return
	}
	if a.mac == nil {
		a.mac = s.mac
	}
	if !a.answered {
		a.answered = true
		w.silent--
	}
}

// find is the place of an address in asks, or none.
func (w *wire) find(a netip.Addr) (seq int, ok bool) {
	seq, ok = w.places[a]
	return seq, ok
}

package probe

import (
	"errors"
	"net/netip"

	"golang.org/x/sys/unix"

	"uml/fault"
)

// A wire is a socket and those to be asked on it; an address's place in asks is
// the sequence number of its questions. Another way to ask, such as ARP, is
// another how, send and read.
type wire struct {
	how      string
	external string
	fd       int
	asks     []ask
	silent   int // asks without an answer

	send func(seq uint16, to netip.Addr) error

	// read is the sequence number of the question that packet answers, and
	// who answers it.
	read func(packet []byte, from unix.Sockaddr) (seq uint16, source netip.Addr, ok bool)
}

type ask struct {
	address   netip.Addr
	answered  bool
	elsewhere netip.Addr // the first other address that answered
	sent      bool
	why       error // of the last failed send
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
		err := w.send(uint16(seq), a.address)
		switch {
		case err == nil:
			a.sent = true
		case errors.Is(err, unix.EPERM):
			return fault.Temporary("%s to %s: the host's own firewall refuses to send it on %s (let it out)", w.how, a.address, w.external)
		case errors.Is(err, unix.ENODEV):
			return fault.Temporary("%s to %s: interface %s is gone", w.how, a.address, w.external)
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
	var packet [256]byte // longer than any answer to us, with 60 bytes of IP header
	for range len(w.asks) + 256 {
		n, from, err := unix.Recvfrom(w.fd, packet[:], 0)
		switch err {
		case nil:
			w.note(packet[:n], from)
		case unix.EAGAIN:
			return nil
		case unix.EINTR:
		default:
			return fault.Temporary("receive answers on %s: %w", w.external, err)
		}
	}
	return nil
}

func (w *wire) note(packet []byte, from unix.Sockaddr) {
	seq, source, ok := w.read(packet, from)
	if !ok || int(seq) >= len(w.asks) {
		return
	}
	a := &w.asks[seq]
	switch {
	case source != a.address:
		if !a.elsewhere.IsValid() {
			a.elsewhere = source
		}
	case !a.answered:
		a.answered = true
		w.silent--
	}
}

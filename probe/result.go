package probe

import (
	"net"
	"net/netip"
	"strings"
)

// An Answer shows that an address is in use.
type Answer struct {
	Address netip.Addr       // the one that was asked
	From    netip.Addr       // the one that the answer came from
	How     string           // the ways in which it answered: "ARP, ICMP echo"
	MAC     net.HardwareAddr // of the first that answered below IP; nil if none did
}

// An Unasked address could not be asked in one way, in any try.
type Unasked struct {
	Address netip.Addr
	How     string // "ICMP echo", "ARP", "neighbour solicitation"
	Why     error
	Blind   bool // nor in any other: its silence means nothing
}

// A Result is what came of a question, each list in the order of the addresses,
// IPv4 first, no address twice in Answers and Rivals. An address in none of the
// lists was asked and is silent.
type Result struct {
	Answers []Answer

	// Rivals holds addresses that nobody answers for and another host asks for as
	// one that is about to use them (an RFC 5227 probe, a solicitation of
	// duplicate address detection): both standards call it a conflict.
	Rivals []Answer

	// Elsewhere holds answers from an address that was not the one asked. A host
	// must not do so for a unicast address (RFC 1122 3.2.2.6, RFC 4443 4.2), but
	// the answer carries the secret of our question, so somebody was given it: an
	// anycast address, or a host behind a broken translation. That is no proof
	// that the address is in use, and no reason for trust: the caller says so.
	Elsewhere []Answer

	// Unasked addresses prove nothing in that way: no route (for an IPv6 echo), an
	// interface that is down, a broadcast address, no address of our own to be
	// answered at.
	Unasked []Unasked
}

// A way is what an address was heard by.
type way uint8

const (
	byARP way = 1 << iota
	byPublishedARP
	byAdvertisement
	byPublishedAdvertisement
	byEcho
	rivalProbe
	rivalSolicitation

	rival = rivalProbe | rivalSolicitation
)

var wayNames = []string{
	"ARP", "ARP (published?)", "neighbour advertisement", "neighbour advertisement (published?)", "ICMP echo",
	"ARP probe", "neighbour solicitation",
}

// String names the ways. An owner answers the requests that a publishing host
// answers too, and unless all answers to the other form were lost, says so.
func (w way) String() string {
	if w&byARP != 0 {
		w &^= byPublishedARP
	}
	if w&byAdvertisement != 0 {
		w &^= byPublishedAdvertisement
	}
	var names []string
	for i, name := range wayNames {
		if w&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	return strings.Join(names, ", ")
}

func (q *inquiry) result() (r Result) {
	for _, t := range q.targets {
		switch answers := t.ways &^ rival; {
		case answers != 0:
			r.Answers = append(r.Answers, Answer{t.address, t.address, answers.String(), t.mac})
		case t.ways != 0:
			r.Rivals = append(r.Rivals, Answer{t.address, t.address, t.ways.String(), t.rivalMAC})
		}
		if t.elsewhere.IsValid() {
			r.Elsewhere = append(r.Elsewhere, Answer{t.address, t.elsewhere, byEcho.String(), nil})
		}
	}
	for _, w := range q.wires {
		for _, a := range w.asks {
			if !a.sent {
				r.Unasked = append(r.Unasked, Unasked{a.address, w.how, a.why, !a.asked})
			}
		}
	}
	return r
}

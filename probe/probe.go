// Package probe asks whether addresses answer, all at once, before a guest
// claims them: three times each, spread over a time-out that is kept however
// many they are.
//
// It asks by ICMP echo, and on an Ethernet interface, which a bridge is too, also
// below IP, where a guest cannot hide whose firewall drops pings:
//   - ARP as a probe (RFC 5227 2.1.1), which only the address's owner answers;
//   - ARP as an ordinary request, which a host that publishes it answers as well;
//   - for IPv6 the neighbour solicitation of duplicate address detection
//     (RFC 4862 5.4), which both answer, to all nodes.
//
// An old host answers for what it publishes up to 0.8 s late (proxy_delay): a
// time-out of a second hears it, since the first question goes out at once.
//
// Two hosts that start the same guest at once hear each other's probes: the one
// that began first always does, the other while the first still asks. So at
// least one must give up, and both may.
//
// On an interface that is no Ethernet (point to point, InfiniBand) or has ARP
// switched off (ip link set arp off) it asks by ICMP echo alone.
//
// It is not go-ping on purpose: that binds no device, never compares who
// answered with who was asked, comes back up to 100 ms after its time-out, and
// for 40 addresses spends more CPU than all the rest of a start.
//
// What it does not promise: silence is no proof. One whose answer is lost in 3
// tries is silent, and so is one behind an interface without carrier, and one
// on another link that drops pings. This host's own firewall and rp_filter hide
// answers to an echo, but not those below IP. An address of this host answers on
// lo, which is not heard here, and what it publishes itself it does not ask for:
// neither is a conflict. While the host's neighbour table is full (gc_thresh3)
// the kernel drops IPv4 echoes and says nothing. Whoever is on the link can
// forge answers, and so keep a guest from starting.
package probe

import (
	"context"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"uml/fault"
)

// tries: an answer lost so many times is the limit of what is promised.
const tries = 3

// Ask asks each address by way of the interface external, in the network
// namespace of the calling thread. It returns after timeout, sooner only if all
// have answered in all ways, or with the cause of ctx's end as soon as it ends.
func Ask(ctx context.Context, external string, addrs []netip.Addr, timeout time.Duration) (Result, error) {
	start := time.Now()
	q, err := open(external, addrs)
	defer q.close()
	if err != nil {
		return Result{}, err
	}
	wake, err := newWaker(ctx)
	if err != nil {
		return Result{}, err
	}
	defer wake.close()
	for try := range time.Duration(tries) {
		if err := q.send(); err != nil {
			return Result{}, err
		}
		until := start.Add(timeout * (try + 1) / tries)
		if err := q.listen(ctx, wake.fd, until); err != nil {
			return Result{}, err
		}
	}
	return q.result(), nil
}

// An inquiry is who is asked, IPv4 first, and the ways to ask.
type inquiry struct {
	targets []target
	wires   []*wire
}

// open opens the wires that there are to ask on. The inquiry must be closed even
// if there is an error.
func open(external string, addrs []netip.Addr) (*inquiry, error) {
	q := &inquiry{}
	// The kernel takes an empty name for "no interface" and cuts a long one.
	if external == "" || len(external) >= unix.IFNAMSIZ {
		return q, fault.NetworkDown.Permanent("%q is not the name of an interface", external)
	}
	if len(addrs) > 1<<16 {
		return q, fault.Permanent("%d addresses to ask, there are sequence numbers for 65536", len(addrs))
	}
	targets4, targets6 := byFamily(addrs)
	q.targets = append(targets4, targets6...)
	targets4, targets6 = q.targets[:len(targets4)], q.targets[len(targets4):]
	if len(targets4) > 0 {
		if err := q.add(echoWire(echo4, external, targets4)); err != nil {
			return q, err
		}
		if err := q.add(arpWire(external, targets4)); err != nil {
			return q, err
		}
	}
	if len(targets6) > 0 {
		echo, err := echoWire(echo6, external, targets6)
		if err := q.add(echo, err); err != nil {
			return q, err
		}
		return q, q.add(solicitWire(external, targets6, echo.fd))
	}
	return q, nil
}

// add takes a wire, or the reason why there is none. A way that the interface
// does not know is neither.
func (q *inquiry) add(w *wire, err error) error {
	if w != nil {
		q.wires = append(q.wires, w)
	}
	return err
}

// byFamily drops what is named twice, and zones: the interface to ask on is given.
func byFamily(addrs []netip.Addr) (targets4, targets6 []target) {
	seen := make(map[netip.Addr]bool, len(addrs))
	for _, a := range addrs {
		a = a.Unmap().WithZone("")
		switch {
		case seen[a]:
		case a.Is4():
			targets4 = append(targets4, target{address: a})
		default:
			targets6 = append(targets6, target{address: a})
		}
		seen[a] = true
	}
	return targets4, targets6
}

func (q *inquiry) close() {
	for _, w := range q.wires {
		w.close()
	}
}

func (q *inquiry) send() error {
	for _, w := range q.wires {
		if err := w.sendAll(); err != nil {
			return err
		}
	}
	return nil
}

// listen takes what comes in until then. It looks at least once: what came while
// others were being sent counts, even if the sending took all the time there was.
func (q *inquiry) listen(ctx context.Context, wake int, until time.Time) error {
	fds := []unix.PollFd{{Fd: int32(wake), Events: unix.POLLIN}}
	for _, w := range q.wires {
		fds = append(fds, unix.PollFd{Fd: int32(w.fd), Events: unix.POLLIN})
	}
	for !q.allAnswered() {
		left := max(0, time.Until(until))
		wait := unix.NsecToTimespec(left.Nanoseconds())
		if _, err := unix.Ppoll(fds, &wait, nil); err != nil && err != unix.EINTR {
			return fault.Temporary("wait for answers: %w", err)
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		for i, w := range q.wires {
			if fds[i+1].Revents == 0 {
				continue
			}
			if err := w.receiveAll(); err != nil {
				return err
			}
		}
		if left == 0 {
			break
		}
	}
	return nil
}

func (q *inquiry) allAnswered() bool {
	for _, w := range q.wires {
		if w.silent > 0 {
			return false
		}
	}
	return true
}

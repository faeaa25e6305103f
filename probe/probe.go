// Package probe asks whether addresses answer, all at once, before a guest
// claims them: three times each, spread over a time-out that is kept however
// many they are.
//
// It is not go-ping on purpose: that binds no device, never compares who
// answered with who was asked, comes back up to 100 ms after its time-out, and
// for 40 addresses spends more CPU than all the rest of a start.
//
// What it does not promise: silence is no proof. A guest whose firewall drops
// pings is silent, and so is one whose answer is lost three times, one behind an
// interface without carrier, and one whose answer this host's own firewall or
// rp_filter drops. An address of this host answers on lo, which is not heard
// here. While the host's neighbour table is full (gc_thresh3) the kernel drops
// IPv4 questions and says nothing.
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

// An Answer shows that an address is in use.
type Answer struct {
	Address netip.Addr // the one that was asked
	From    netip.Addr // the one that the answer came from
	How     string     // what was asked: "ICMP echo"
}

// An Unasked address is one to which no question could be sent, in any try.
type Unasked struct {
	Address netip.Addr
	Why     error
}

// A Result is what came of a question, each list in the order of the addresses,
// IPv4 first. An address in none of them was asked and is silent.
type Result struct {
	Answers []Answer

	// Elsewhere holds answers from an address that was not the one asked. A host
	// must not do so for a unicast address (RFC 1122 3.2.2.6, RFC 4443 4.2), but
	// the answer carries the secret of our question, so somebody was given it: an
	// anycast address, or a host behind a broken translation. That is no proof
	// that the address is in use, and no reason for trust: the caller says so.
	Elsewhere []Answer

	// Unasked addresses prove nothing: no route (for IPv6), an interface that is
	// down, a broadcast address, no address of our own to be answered at.
	Unasked []Unasked
}

// Ask sends an ICMP echo to each address by way of the interface external, in
// the network namespace of the calling thread. It returns after timeout, sooner
// only if all have answered, or with the cause of ctx's end as soon as it ends.
func Ask(ctx context.Context, external string, addrs []netip.Addr, timeout time.Duration) (Result, error) {
	start := time.Now()
	wires, err := echoes(external, addrs)
	defer closeAll(wires)
	if err != nil {
		return Result{}, err
	}
	wake, err := newWaker(ctx)
	if err != nil {
		return Result{}, err
	}
	defer wake.close()
	for try := range time.Duration(tries) {
		if err := sendAll(wires); err != nil {
			return Result{}, err
		}
		until := start.Add(timeout * (try + 1) / tries)
		if err := listen(ctx, wires, wake.fd, until); err != nil {
			return Result{}, err
		}
	}
	return result(wires), nil
}

func sendAll(wires []*wire) error {
	for _, w := range wires {
		if err := w.sendAll(); err != nil {
			return err
		}
	}
	return nil
}

// listen takes what comes in until then. It looks at least once: what came while
// others were being sent counts, even if the sending took all the time there was.
func listen(ctx context.Context, wires []*wire, wake int, until time.Time) error {
	fds := []unix.PollFd{{Fd: int32(wake), Events: unix.POLLIN}}
	for _, w := range wires {
		fds = append(fds, unix.PollFd{Fd: int32(w.fd), Events: unix.POLLIN})
	}
	for !allAnswered(wires) {
		left := max(0, time.Until(until))
		wait := unix.NsecToTimespec(left.Nanoseconds())
		if _, err := unix.Ppoll(fds, &wait, nil); err != nil && err != unix.EINTR {
			return fault.Temporary("wait for answers: %w", err)
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		for i, w := range wires {
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

func allAnswered(wires []*wire) bool {
	for _, w := range wires {
		if w.silent > 0 {
			return false
		}
	}
	return true
}

func closeAll(wires []*wire) {
	for _, w := range wires {
		w.close()
	}
}

func result(wires []*wire) (r Result) {
	for _, w := range wires {
		for _, a := range w.asks {
			if a.answered {
				r.Answers = append(r.Answers, Answer{a.address, a.address, w.how})
			}
			if a.elsewhere.IsValid() {
				r.Elsewhere = append(r.Elsewhere, Answer{a.address, a.elsewhere, w.how})
			}
			if !a.sent {
				r.Unasked = append(r.Unasked, Unasked{a.address, a.why})
			}
		}
	}
	return r
}

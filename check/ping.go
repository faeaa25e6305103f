package check

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/go-ping/ping"
)

// atOnce bounds how many pings are under way: each has a raw socket, and each
// socket is given every answer.
const atOnce = 256

// tries is how often each is asked within the time-out.
const tries = 3

var errSilent = errors.New("no answer")

// asked is an address to ping, and the host's own to ping it from.
type asked struct {
	address netip.Addr
	source  string
}

// pingAll says why each address did not answer, nil for those that did. A start
// does not ask in this way: see package probe.
func pingAll(ctx context.Context, all []asked, timeout time.Duration) map[netip.Addr]error {
	answered := make(map[netip.Addr]error, len(all))
	var hold sync.Mutex
	var pings sync.WaitGroup
	free := make(chan struct{}, atOnce)
	for _, a := range all {
		free <- struct{}{}
		pings.Go(func() {
			defer func() { <-free }()
			err := pingOne(ctx, a, timeout)
			hold.Lock()
			defer hold.Unlock()
			answered[a.address] = err
		})
	}
	pings.Wait()
	return answered
}

func pingOne(ctx context.Context, a asked, timeout time.Duration) error {
	p := ping.New("")
	p.SetIPAddr(&net.IPAddr{IP: a.address.AsSlice()})
	p.SetPrivileged(true)
	p.SetLogger(ping.NoopLogger{})
	p.Source = a.source
	p.Timeout = timeout
	p.Interval = timeout / tries
	p.OnRecv = func(*ping.Packet) { p.Stop() }
	defer context.AfterFunc(ctx, p.Stop)()
	if err := p.Run(); err != nil {
		return err
	}
	if p.Statistics().PacketsRecv == 0 {
		return errSilent
	}
	return nil
}

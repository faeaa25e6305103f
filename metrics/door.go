package metrics

import (
	"net"
	"slices"
	"sync"
)

// maxConnections are more than any number of Prometheus has.
const maxConnections = 64

// A door has as many within, and lets each who comes in: who has been there for longest
// goes then. Whom it serves it serves in no time, so that is one who says nothing, or does
// not read: of these there may be any number, and nobody stays outside because of them.
type door struct {
	net.Listener
	mu     sync.Mutex
	within []net.Conn // by when they came
}

func (d *door) Accept() (net.Conn, error) {
	c, err := d.Listener.Accept()
	if err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.within) == maxConnections {
		d.within[0].Close()
		d.within = slices.Delete(d.within, 0, 1)
	}
	d.within = append(d.within, c)
	return &visitor{c, d}, nil
}

// A visitor says when he goes.
type visitor struct {
	net.Conn
	from *door
}

func (v *visitor) Close() error {
	v.from.mu.Lock()
	defer v.from.mu.Unlock()
	if i := slices.Index(v.from.within, v.Conn); i >= 0 {
		v.from.within = slices.Delete(v.from.within, i, i+1)
	}
	return v.Conn.Close()
}

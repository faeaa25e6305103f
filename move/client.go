package move

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"uml/estate"
	"uml/fault"
	"uml/version"
	"uml/wire"
)

// Options are what the command line says of a move.
type Options struct {
	estate.Options
	Errand  estate.Errand
	SSH     string // command line of ssh
	Remote  string // what it runs there
	Rate    int64  // bytes a second; 0: as many as there are
	Timeout time.Duration
	Force   bool // end a guest that does not end by itself
	Delete  bool // keep nothing here
}

// A client is one talk with another host.
type client struct {
	o    Options
	line *line
	c    *wire.Conn
	host string
	keep func() bool // from now on ctx does not end it; false: it has
}

// dial calls a host. Until keep, the end of ctx ends the talk.
func (o Options) dial(ctx context.Context, host string) (*client, error) {
	l, err := call(context.WithoutCancel(ctx), o.SSH, host, o.Remote)
	if err != nil {
		return nil, err
	}
	keep := context.AfterFunc(ctx, func() { l.kill() })
	var w io.Writer = l.in
	if o.Rate > 0 {
		w = &limited{w: w, rate: o.Rate}
	}
	c := &client{o: o, line: l, c: wire.New(l.out, w, clientSilence), host: host, keep: keep}
	theirs, err := greet(c.c, o.Options)
	if err != nil {
		return nil, c.failed(err)
	}
	ours, err := self(o.Machines)
	switch {
	case err != nil:
	case theirs.Protocol != Protocol:
		err = fault.PeerRefuses.Permanent("%s speaks protocol %d (uml-machine %s), and this is %d (%s): the same version must be on both", host, theirs.Protocol, theirs.Version, Protocol, version.This())
	case theirs.Self == ours:
		err = fault.Usage.Permanent("%s is this host", host)
	}
	if err != nil {
		c.close()
		return nil, err
	}
	return c, nil
}

// failed ends a talk that is broken, and says why: what ssh says tells more than that nothing
// comes any more. What was heard and is no talk at all lasts until somebody acts.
func (c *client) failed(err error) error {
	c.c.Close()
	said := c.line.hangUp()
	if fault.Code(err) == fault.MustMend {
		return fault.PeerRefuses.Permanent("%s: %w", c.host, err)
	}
	if said != nil {
		return said
	}
	return fault.PeerRefuses.Temporary("%s: %w", c.host, err)
}

func (c *client) close() {
	c.keep()
	c.c.Close()
	c.line.hangUp()
}

// ask is one request and its answer.
func (c *client) ask(q *request) (*answer, error) {
	if err := errors.Join(c.c.SendJSON(kindAsk, q), c.c.Flush()); err != nil {
		return nil, c.failed(err)
	}
	return c.answer(nil)
}

// answer waits for it. Frames of another kind are for other, which may be nil.
func (c *client) answer(other func(kind byte, payload []byte) error) (*answer, error) {
	for {
		kind, payload, err := c.c.Read()
		if err == nil && kind != kindAnswer && other != nil {
			if err = other(kind, payload); err == nil {
				continue
			}
		}
		if err == nil && kind != kindAnswer {
			err = fmt.Errorf("a frame of kind %q where an answer should be", kind)
		}
		a := new(answer)
		if err == nil {
			err = wire.Decode(payload, a)
		}
		if err != nil {
			return nil, c.failed(err)
		}
		return a, a.Fault.told(c.host)
	}
}

package wire

import (
	"io"
	"time"

	"uml/fault"
)

// An ear notes when bytes come: a long frame on a slow wire takes longer than a silence may.
type ear struct {
	r io.Reader
	c *Conn
}

func (e ear) Read(b []byte) (int, error) {
	n, err := e.r.Read(b)
	if n > 0 {
		now := time.Now()
		e.c.heard.Store(&now)
	}
	return n, err
}

// left is how much longer a side may be silent for who waits since begun: before that, what came
// may have lain there.
func (c *Conn) left(begun time.Time) time.Duration {
	if h := *c.heard.Load(); h.After(begun) {
		begun = h
	}
	return c.silence - time.Since(begun)
}

func (c *Conn) silent() error {
	return fault.PeerSilent.Temporary("nothing was heard for %v: the wire is cut, or the other host does not answer", c.silence)
}

// A mouth does not wait for longer than a silence may be: a pipe to an sshd whose wire was cut
// takes nothing, and says so after a quarter of an hour. What it was writing is its own copy,
// which stays with the goroutine that is stuck.
type mouth struct {
	c    *Conn
	todo chan []byte
	done chan wrote
	buf  []byte
}

type wrote struct {
	n   int
	err error
}

const mouthful = 256 << 10

func newMouth(w io.Writer, c *Conn) *mouth {
	m := &mouth{c: c, todo: make(chan []byte), done: make(chan wrote, 1), buf: make([]byte, mouthful)}
	go func() {
		for {
			select {
			case b := <-m.todo:
				n, err := w.Write(b)
				m.done <- wrote{n, err}
			case <-c.closed:
				return
			}
		}
	}()
	return m
}

// Write is called by one at a time, and no more once it has failed.
func (m *mouth) Write(b []byte) (n int, err error) {
	for n < len(b) && err == nil {
		var one wrote
		one, err = m.one(m.buf[:copy(m.buf, b[n:])])
		n += one.n
	}
	return n, err
}

func (m *mouth) one(b []byte) (wrote, error) {
	select {
	case m.todo <- b:
	case <-m.c.closed:
		return wrote{}, io.ErrClosedPipe
	}
	begun := time.Now()
	late := time.NewTimer(m.c.silence)
	defer late.Stop()
	for {
		select {
		case one := <-m.done:
			return one, one.err
		case <-m.c.closed:
			return wrote{}, io.ErrClosedPipe
		case <-late.C:
			left := m.c.left(begun)
			if left <= 0 {
				return wrote{}, m.c.silent()
			}
			late.Reset(left)
		}
	}
}

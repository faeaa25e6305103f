// Package wire is frames over a stream: what two programs say to each other through ssh.
//
// A frame is a byte that says its kind, the length of what follows as four bytes, most significant
// first, and that. No length is believed that is over Most. A side with nothing to say sends
// an empty frame every two seconds, so that the other can tell silence from a wire that was cut
// with nobody told.
package wire

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"uml/fault"
)

// Most is the length of the longest payload, in bytes: a MiB of a disc and where it belongs.
const Most = 1<<20 + 64

const (
	headerLen = 5
	keepAlive = 'P'
	every     = 2 * time.Second
)

// A Conn is one side. One goroutine may read, several may send.
type Conn struct {
	silence time.Duration
	frames  chan frame
	free    chan []byte
	last    []byte
	heard   atomic.Pointer[time.Time] // when bytes last came
	closed  chan struct{}
	once    sync.Once

	mu   sync.Mutex
	w    *bufio.Writer
	sent time.Time // when all that was to be sent last went out
	err  error     // of the first write that failed
}

type frame struct {
	kind    byte
	payload []byte
	err     error
}

// New makes a side of two streams. A Read that hears nothing for longer than silence fails, and so
// does a Send of which nothing can be written meanwhile, whether or not r and w ever return: the
// goroutines that are stuck there end with the process then.
func New(r io.Reader, w io.Writer, silence time.Duration) *Conn {
	c := &Conn{silence: silence, frames: make(chan frame), free: make(chan []byte, 2), closed: make(chan struct{})}
	c.w = bufio.NewWriterSize(newMouth(w, c), mouthful)
	for range cap(c.free) {
		c.free <- nil
	}
	now := time.Now()
	c.heard.Store(&now)
	go c.read(bufio.NewReaderSize(ear{r, c}, 256<<10))
	go c.keepAlive()
	return c
}

// Close ends the side, and whoever waits in it. The streams are left as they are.
func (c *Conn) Close() { c.once.Do(func() { close(c.closed) }) }

// keepAlive is for who has nothing to say, and for who says so little that it would stay in the
// buffer.
func (c *Conn) keepAlive() {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-c.closed:
			return
		case <-tick.C:
		}
		if c.mu.TryLock() { // else somebody sends just now
			if c.err == nil && time.Since(c.sent) >= every {
				c.write(keepAlive)
				c.flush()
			}
			c.mu.Unlock()
		}
	}
}

// Send writes a frame, whose payload is the parts one after the other.
func (c *Conn) Send(kind byte, parts ...[]byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.write(kind, parts...)
}

func (c *Conn) write(kind byte, parts ...[]byte) error {
	n := 0
	for _, p := range parts {
		n += len(p)
	}
	if n > Most {
		return fmt.Errorf("a frame of %d bytes is too long", n)
	}
	var header [headerLen]byte
	header[0] = kind
	binary.BigEndian.PutUint32(header[1:], uint32(n))
	c.put(header[:])
	for _, p := range parts {
		c.put(p)
	}
	return c.err
}

func (c *Conn) put(b []byte) {
	if c.err == nil {
		_, c.err = c.w.Write(b)
	}
}

// Flush has all that was sent go out.
func (c *Conn) Flush() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.flush()
}

func (c *Conn) flush() error {
	if c.err == nil {
		c.err = c.w.Flush()
		c.sent = time.Now()
	}
	return c.err
}

// Broken says whether something could not be written.
func (c *Conn) Broken() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err != nil
}

// SendJSON sends a value.
func (c *Conn) SendJSON(kind byte, v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return c.Send(kind, text)
}

// Decode is for the payload of SendJSON: one value and nothing behind it. Fields that are not
// known are passed over, so that a later version may add some.
func Decode(payload []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(payload))
	if err := d.Decode(v); err != nil {
		return fault.Permanent("what the other side says is not understood: %w", err)
	}
	if _, err := d.Token(); err != io.EOF {
		return fault.Permanent("what the other side says goes on behind its end")
	}
	return nil
}

// Read is the next frame. Its payload stays until the next Read. The end of the stream between two
// frames is io.EOF.
func (c *Conn) Read() (kind byte, payload []byte, err error) {
	if c.last != nil {
		c.free <- c.last
		c.last = nil
	}
	begun := time.Now()
	late := time.NewTimer(c.silence)
	defer late.Stop()
	for {
		select {
		case f, ok := <-c.frames:
			if !ok {
				return 0, nil, io.ErrClosedPipe
			}
			if f.err != nil {
				return 0, nil, f.err
			}
			c.last = f.payload
			return f.kind, f.payload, nil
		case <-late.C:
			left := c.left(begun)
			if left <= 0 {
				return 0, nil, c.silent()
			}
			late.Reset(left)
		case <-c.closed:
			return 0, nil, io.ErrClosedPipe
		}
	}
}

// read goes on until the stream ends, one frame ahead of who reads. What keeps alive is swallowed
// here, so that it counts for who sends for long and reads nothing.
func (c *Conn) read(r *bufio.Reader) {
	defer close(c.frames)
	for {
		buf := <-c.free
		kind, payload, err := next(r, buf)
		if err == nil && kind == keepAlive {
			c.free <- payload
			continue
		}
		select {
		case c.frames <- frame{kind, payload, err}:
		case <-c.closed:
			return
		}
		if err != nil {
			return
		}
	}
}

// next reads one frame into buf, or into a larger one.
func next(r *bufio.Reader, buf []byte) (kind byte, payload []byte, err error) {
	var header [headerLen]byte
	if _, err := io.ReadFull(r, header[:]); err != nil {
		return 0, nil, cut(err)
	}
	n := int64(binary.BigEndian.Uint32(header[1:]))
	if n > Most {
		return 0, nil, fault.Permanent("a frame of %d bytes is too long: what answers speaks another language", n)
	}
	if int64(cap(buf)) < n || buf == nil {
		buf = make([]byte, max(n, 4<<10))
	}
	if _, err := io.ReadFull(r, buf[:n]); err != nil {
		return 0, nil, cut(errors.Join(err, io.ErrUnexpectedEOF))
	}
	return header[0], buf[:n], nil
}

// cut: an end within a frame is no end.
func cut(err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return fault.PeerSilent.Temporary("the wire was cut")
	}
	return err
}

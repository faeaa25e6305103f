package wire

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// pair are two sides that hear each other.
func pair(silence time.Duration, through func(io.Writer) io.Writer) (a, b *Conn, cut func()) {
	ar, bw := io.Pipe()
	br, aw := io.Pipe()
	if through == nil {
		through = func(w io.Writer) io.Writer { return w }
	}
	a, b = New(ar, through(aw), silence), New(br, through(bw), silence)
	return a, b, func() { aw.Close(); bw.Close(); a.Close(); b.Close() }
}

func TestFrames(t *testing.T) {
	t.Parallel()
	a, b, cut := pair(time.Minute, nil)
	defer cut()
	long := bytes.Repeat([]byte("x"), Most)
	go func() {
		a.Send('a')
		a.Send('b', []byte("one"), []byte("two"))
		a.Send('c', long)
		a.SendJSON('d', map[string]int{"n": 3})
		a.Flush()
	}()
	for _, want := range []struct {
		kind    byte
		payload string
	}{{'a', ""}, {'b', "onetwo"}, {'c', string(long)}, {'d', `{"n":3}`}} {
		kind, payload, err := b.Read()
		if err != nil || kind != want.kind || string(payload) != want.payload {
			t.Fatalf("read %q, %d bytes, %v; want %q", kind, len(payload), err, want.kind)
		}
	}
	if err := a.Send('e', long, []byte("x")); err == nil {
		t.Error("a frame over Most was sent")
	}
}

// What comes from the other side is bounded before it is read, and an end within a frame is none.
func TestNext(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ text, want string }{
		{"", "EOF"},
		{"a", "cut"},
		{"a\x00\x00\x00\x02x", "cut"},
		{"a\xff\xff\xff\xff", "too long"},
		{"Last login: today\n", "too long"},
		{"a\x00\x00\x00\x02xy", ""},
	} {
		_, _, err := next(bufio.NewReader(strings.NewReader(c.text)), nil)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: %v, want %q", c.text, err, c.want)
		}
	}
	if _, _, err := next(bufio.NewReader(strings.NewReader("")), nil); !errors.Is(err, io.EOF) {
		t.Errorf("an end between frames: %v", err)
	}
}

// A side that says nothing for long is still heard; one whose wire is cut with nobody told is not
// waited for.
func TestSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b, cut := pair(20*time.Second, nil)
		defer cut()
		go func() {
			time.Sleep(90 * time.Second)
			a.Send('x')
			a.Flush()
		}()
		go io.Copy(io.Discard, readerOf(a))
		if kind, _, err := b.Read(); err != nil || kind != 'x' {
			t.Fatalf("after 90 s with nothing said: %q, %v", kind, err)
		}
		a.Close() // its keep-alive ends
		begun := time.Now()
		_, _, err := b.Read()
		if err == nil || !strings.Contains(err.Error(), "nothing was heard") || time.Since(begun) > 25*time.Second {
			t.Errorf("a silent wire: %v after %v", err, time.Since(begun))
		}
	})
}

// A long frame on a wire that carries little is no silence.
func TestSlowWire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b, cut := pair(20*time.Second, func(w io.Writer) io.Writer { return trickle{w} })
		defer cut()
		go io.Copy(io.Discard, readerOf(a))
		go func() {
			a.Send('x', make([]byte, Most))
			a.Flush()
		}()
		if kind, payload, err := b.Read(); err != nil || kind != 'x' || len(payload) != Most {
			t.Errorf("a MiB in 4 minutes: %q, %d bytes, %v", kind, len(payload), err)
		}
	})
}

// Who sends to a wire that was cut does not wait for ever; who sends to one that is slow to take
// what comes, but lives, waits.
func TestStuck(t *testing.T) {
	for name, lives := range map[string]bool{"cut": false, "busy": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r, w := io.Pipe()
				back, alive := io.Pipe()
				a := New(back, w, 20*time.Second)
				defer func() { r.Close(); alive.Close(); a.Close(); synctest.Wait() }()
				if lives {
					b := New(r, alive, time.Hour) // reads one frame ahead, and no more
					defer b.Close()
					go func() {
						time.Sleep(5 * time.Minute)
						io.Copy(io.Discard, readerOf(b))
					}()
				}
				begun := time.Now()
				var err error
				for range 4 {
					if err == nil {
						err = a.Send('x', make([]byte, Most))
					}
				}
				took := time.Since(begun)
				if lives && (err != nil || took < time.Minute) {
					t.Errorf("%v after %v", err, took)
				}
				if !lives && (err == nil || !strings.Contains(err.Error(), "nothing was heard") || took > 25*time.Second) {
					t.Errorf("%v after %v", err, took)
				}
			})
		})
	}
}

// trickle is a wire that carries 4 KiB a second.
type trickle struct{ w io.Writer }

func (s trickle) Write(b []byte) (n int, err error) {
	for err == nil && n < len(b) {
		time.Sleep(time.Second)
		var k int
		k, err = s.w.Write(b[n:min(n+4096, len(b))])
		n += k
	}
	return n, err
}

// Who says a little all the time, and never that it is all, is heard too.
func TestLittle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b, cut := pair(20*time.Second, nil)
		defer cut()
		done := make(chan struct{})
		defer close(done)
		go func() {
			for {
				select {
				case <-done:
					return
				case <-time.After(1900 * time.Millisecond):
					a.Send('x', []byte("a little"))
				}
			}
		}()
		go io.Copy(io.Discard, readerOf(a))
		if kind, _, err := b.Read(); err != nil || kind != 'x' {
			t.Errorf("%q, %v", kind, err)
		}
	})
}

// readerOf reads all that comes to a side, as its program would.
func readerOf(c *Conn) io.Reader { return reader{c} }

type reader struct{ c *Conn }

func (r reader) Read(b []byte) (int, error) {
	_, _, err := r.c.Read()
	return 0, err
}

func TestDecode(t *testing.T) {
	t.Parallel()
	var v struct{ N int }
	for text, ok := range map[string]bool{`{"n":1}`: true, `{"n":1,"later":2}`: true, `{"n":1}{}`: false, `{"n":`: false, ``: false, `{"n":"x"}`: false} {
		if err := Decode([]byte(text), &v); (err == nil) != ok {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func FuzzNext(f *testing.F) {
	f.Add([]byte("a\x00\x00\x00\x02xyb\x00\x00\x00\x00"))
	f.Add([]byte("a\x00\x10\x00\x41"))
	f.Fuzz(func(t *testing.T, b []byte) {
		r := bufio.NewReader(bytes.NewReader(b))
		var buf []byte
		for n := 0; ; {
			_, payload, err := next(r, buf)
			if err != nil {
				return
			}
			if n += headerLen + len(payload); n > len(b) {
				t.Fatalf("%d bytes of frames in %d", n, len(b))
			}
			buf = payload
		}
	})
}

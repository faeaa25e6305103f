package console

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
	"golang.org/x/term"
)

// A tty is our own end: standard input, output and error.
type tty struct {
	program string
	typed   bool // input is a terminal
	shown   bool // output is
	before  unix.Termios

	mu    sync.Mutex
	isRaw bool
}

func newTTY(program string) *tty {
	s := &tty{program: program}
	if t, err := unix.IoctlGetTermios(0, unix.TCGETS); err == nil {
		s.typed, s.before = true, *t
	}
	_, err := unix.IoctlGetTermios(1, unix.TCGETS)
	s.shown = err == nil
	return s
}

// raw makes the terminal pass on what is typed as it is. One who only watches is
// left his interrupt key.
func (s *tty) raw(watch bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.typed {
		return nil
	}
	s.isRaw = true
	_, err := term.MakeRaw(0)
	if t, again := unix.IoctlGetTermios(0, unix.TCGETS); err == nil && again == nil && watch {
		t.Lflag |= unix.ISIG
		err = unix.IoctlSetTermios(0, unix.TCSETS, t)
	}
	if err != nil {
		return fmt.Errorf("make the terminal raw: %w", err)
	}
	return nil
}

// off is what a guest may have switched on, switched off: a sequence that was cut;
// colours; the other character set, screen, keypad and cursor keys; a hidden
// cursor; mouse, focus and paste reports; keys sent as sequences (the last two, xterm's
// and kitty's), without which Ctrl-C would be none; a locked keyboard, insertion; a scrolling
// region, lines that do not wrap. (ctlseqs of xterm. Not 1049: where it was never on it
// moves the cursor.)
const off = "\x1b\\\x1b[0m\x0f\x1b(B\x1b[?1047l\x1b[?47l\x1b>\x1b[?1l\x1b[?25h" +
	"\x1b[?9l\x1b[?1000l\x1b[?1002l\x1b[?1003l\x1b[?1006l\x1b[?1004l\x1b[?2004l\x1b7\x1b[r\x1b8\x1b[?7h\x1b[2l\x1b[4l\x1b[>4m\x1b[=0u"

// restore gives the terminal back as it was found. It waits for none that takes
// no more output. What the terminal answered to a guest's questions, and nobody
// read, is not left for the shell as if it were typed.
func (s *tty) restore(reset bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if reset && s.shown {
		done := make(chan struct{})
		go func() {
			unix.Write(1, []byte(off))
			close(done)
		}()
		select {
		case <-done:
		case <-time.After(patience / 4):
		}
	}
	if s.isRaw {
		unix.IoctlSetInt(0, unix.TCFLSH, unix.TCIFLUSH)
		unix.IoctlSetTermios(0, unix.TCSETS, &s.before)
		s.isRaw = false
	}
}

// say prints a line of ours to standard error, whatever mode the terminal is in.
func (s *tty) say(line string) {
	s.mu.Lock()
	before, after := "", "\n"
	if s.isRaw {
		before, after = "\r\n", "\r\n"
	}
	s.mu.Unlock()
	fmt.Fprint(os.Stderr, before, s.program, ": ", line, after)
}

// writable says whether a terminal takes output now: who reads what is typed does not
// wait for that, or the escape would not be heard.
func writable(fd int) bool {
	fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}
	n, err := unix.Poll(fds, 0)
	return err == nil && n > 0
}

func (s *tty) window() (w unix.Winsize) {
	for fd := range 2 {
		if got, err := unix.IoctlGetWinsize(fd, unix.TIOCGWINSZ); err == nil && got.Row > 0 {
			return *got
		}
	}
	return w
}

// write writes all of b to standard output, a little at a time: what was not yet
// written when the viewer leaves is not.
func (s *tty) write(b []byte, left func() bool) error {
	for len(b) > 0 && !left() {
		n, err := unix.Write(1, b[:min(len(b), maxOutput/4)])
		switch {
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.EAGAIN):
			unix.Poll([]unix.PollFd{{Fd: 1, Events: unix.POLLOUT}}, -1)
		case err != nil:
			return fmt.Errorf("print what the guest says: %w", err)
		}
		b = b[max(0, n):]
	}
	return nil
}

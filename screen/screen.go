// Package screen draws a table on a terminal again and again, and reads single
// keys. However the program ends by its own doing or by a signal that can be
// caught, the terminal is as it was. It knows no terminal's database: the few
// sequences are those that all of today's share (ECMA-48, xterm's second screen).
package screen

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"time"

	"golang.org/x/sys/unix"
	"golang.org/x/term"
)

const (
	enter = "\x1b[?1049h\x1b[?25l" // the second screen, no cursor
	leave = "\x1b[?25h\x1b[?1049l"
	home  = "\x1b[H"
	rest  = "\x1b[K" // clear to the end of the line
	below = "\x1b[J" // and all below
	bold  = "\x1b[7m%s\x1b[m"
)

// Is says whether f is a terminal.
func Is(f *os.File) bool { return term.IsTerminal(int(f.Fd())) }

// Size is the terminal's, 80 by 24 if it does not say.
func Size(f *os.File) (columns, lines int) {
	w, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
	if err != nil || w.Col == 0 || w.Row == 0 {
		return 80, 24
	}
	return int(w.Col), int(w.Row)
}

// Run draws what text says, every interval and after each key, until a key's
// meaning is to end or the program is told to. The first line stands out.
func Run(in, out *os.File, every time.Duration, text func(columns int) ([]string, error), key func(byte) (end bool)) error {
	before, err := unix.IoctlGetTermios(int(in.Fd()), unix.TCGETS)
	if err != nil {
		return fmt.Errorf("the terminal: %w", err)
	}
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, unix.SIGINT, unix.SIGQUIT, unix.SIGTERM, unix.SIGHUP, unix.SIGWINCH)
	defer signal.Stop(signals)
	raw := *before
	raw.Lflag &^= unix.ICANON | unix.ECHO
	raw.Cc[unix.VMIN], raw.Cc[unix.VTIME] = 1, 0
	raw.Cc[unix.VSUSP] = 0 // none (_POSIX_VDISABLE): the shell would get the second screen
	if err := unix.IoctlSetTermios(int(in.Fd()), unix.TCSETS, &raw); err != nil {
		return fmt.Errorf("the terminal: %w", err)
	}
	defer unix.IoctlSetTermios(int(in.Fd()), unix.TCSETS, before)
	fmt.Fprint(out, enter)
	defer fmt.Fprint(out, leave)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	return loop(out, keys(ctx, in), signals, every, text, key)
}

func loop(out *os.File, pressed <-chan byte, signals <-chan os.Signal, every time.Duration, text func(int) ([]string, error), key func(byte) bool) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		columns, lines := Size(out)
		all, err := text(columns)
		if err != nil {
			return err
		}
		if err := draw(out, all, lines); err != nil {
			return err
		}
		select {
		case <-tick.C:
		case b, ok := <-pressed:
			if !ok || b == 'q' || b == 3 || b == 4 || key(b) {
				return nil
			}
		case s := <-signals:
			if s != unix.SIGWINCH {
				return nil
			}
		}
	}
}

func draw(out *os.File, all []string, lines int) error {
	var b bytes.Buffer
	b.WriteString(home)
	for i, l := range all[:min(len(all), lines)] {
		if i > 0 {
			b.WriteString("\r\n")
		}
		if i == 0 {
			l = fmt.Sprintf(bold, l)
		}
		b.WriteString(l + rest)
	}
	b.WriteString(below)
	_, err := out.Write(b.Bytes())
	return err
}

// keys are the bytes typed, until the terminal goes away. It polls, so that
// nothing typed is taken after the end.
func keys(ctx context.Context, in *os.File) <-chan byte {
	to := make(chan byte)
	go func() {
		defer close(to)
		for ctx.Err() == nil {
			fds := []unix.PollFd{{Fd: int32(in.Fd()), Events: unix.POLLIN}}
			n, err := unix.Poll(fds, 100)
			if errors.Is(err, unix.EINTR) || n == 0 {
				continue
			}
			var b [1]byte
			if n, err := unix.Read(int(in.Fd()), b[:]); n != 1 || err != nil {
				if errors.Is(err, unix.EINTR) || errors.Is(err, unix.EAGAIN) {
					continue
				}
				return
			}
			select {
			case to <- b[0]:
			case <-ctx.Done():
			}
		}
	}()
	return to
}

// Cut makes a line fit.
func Cut(line string, columns int) string {
	r := []rune(line)
	if columns <= 0 || len(r) <= columns {
		return line
	}
	return string(r[:max(0, columns-1)]) + "…"
}

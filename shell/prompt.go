package shell

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"

	"golang.org/x/sys/unix"
	"golang.org/x/term"

	"uml/fault"
	"uml/screen"
)

// prompt obeys line after line until the customer leaves. The terminal is raw only
// while a line is typed: a command that runs is interrupted as anywhere.
func (s *session) prompt(ctx context.Context) error {
	wake, err := screen.NewWake()
	if err != nil {
		return err
	}
	defer wake.Close()
	ctx, stop := signal.NotifyContext(ctx, unix.SIGHUP, unix.SIGTERM)
	defer stop()
	defer context.AfterFunc(ctx, wake.Up)()
	defer quiet()()
	t := term.NewTerminal(&keyboard{wake: wake}, s.machine+"> ")
	t.AutoCompleteCallback = complete
	for ctx.Err() == nil {
		line, err := s.line(t)
		if errors.Is(err, io.EOF) && ctx.Err() == nil {
			fmt.Fprintln(s.out)
			return nil
		}
		if err != nil && ctx.Err() == nil {
			return fault.Temporary("read what is typed: %w", err)
		}
		if ctx.Err() != nil {
			break
		}
		err = s.obey(ctx, line)
		if errors.Is(err, errExit) {
			return err
		}
		fault.Report(os.Stderr, Name, err)
	}
	return fault.Temporary("told to stop")
}

// quiet keeps the keys that would end or stop the shell from doing so between two
// commands.
func quiet() func() {
	c := make(chan os.Signal, 1)
	signal.Notify(c, unix.SIGINT, unix.SIGQUIT, unix.SIGTSTP)
	return func() { signal.Stop(c) }
}

func (s *session) line(t *term.Terminal) (string, error) {
	before, err := term.MakeRaw(0)
	if err != nil {
		return "", err
	}
	defer term.Restore(0, before)
	if w, h, err := term.GetSize(0); err == nil && w > 0 {
		t.SetSize(w, h)
	}
	line, err := t.ReadLine()
	if errors.Is(err, term.ErrPasteIndicator) {
		err = nil
	}
	return line, err
}

// complete gives the rest of a word when Tab is pressed, as far as it is certain.
func complete(line string, pos int, key rune) (string, int, bool) {
	if key != '\t' {
		return "", 0, false
	}
	before, after := line[:pos], line[pos:]
	start := strings.LastIndexByte(before, ' ') + 1
	var may []string
	if first := strings.Fields(before[:start]); len(first) == 0 {
		may = names()
	} else if c, err := find(first[0]); err == nil && len(first) == 1 {
		may = c.next
		if c.name == "help" {
			may = names()
		}
	}
	common, n := "", 0
	for _, m := range may {
		if strings.HasPrefix(m, before[start:]) {
			if n++; n == 1 {
				common = m + " "
			}
			for !strings.HasPrefix(m+" ", common) {
				common = common[:len(common)-1]
			}
		}
	}
	if n == 0 {
		return line, pos, true // a Tab is nothing that a command is made of
	}
	before = before[:start] + common
	return before + after, len(before), true
}

func names() (all []string) {
	for _, c := range commands {
		all = append(all, c.name)
	}
	return all
}

// A keyboard is the terminal, for package term: it takes Ctrl-C for the end of all,
// and here it clears the line.
type keyboard struct {
	wake *screen.Wake // ends it
	held []byte
}

func (k *keyboard) Read(b []byte) (int, error) {
	if len(k.held) == 0 {
		if !k.wake.Wait(0) {
			return 0, io.EOF
		}
		in := make([]byte, 256)
		n, err := unix.Read(0, in)
		if errors.Is(err, unix.EINTR) {
			return 0, nil
		}
		if err != nil {
			return 0, err
		}
		if n == 0 {
			return 0, io.EOF
		}
		k.held = []byte(strings.ReplaceAll(string(in[:n]), "\x03", "\x05\x15")) // to its end, and delete to its beginning
	}
	n := copy(b, k.held)
	k.held = k.held[n:]
	return n, nil
}

func (k *keyboard) Write(b []byte) (int, error) { return os.Stdout.Write(b) }

// script obeys lines that nobody types, to the first that fails.
func (s *session) script(ctx context.Context, from io.Reader) error {
	lines := bufio.NewScanner(from)
	lines.Buffer(nil, maxLine)
	for lines.Scan() {
		if err := s.obey(ctx, lines.Text()); err != nil {
			return err
		}
	}
	if err := lines.Err(); err != nil {
		return fault.Permanent("read a command: %w", err)
	}
	return nil
}

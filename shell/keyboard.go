package shell

import (
	"errors"
	"io"
	"strings"
	"unicode/utf8"

	"golang.org/x/sys/unix"

	"uml/screen"
)

// A keyboard is the terminal's, for package term, whose keys are all that it is given:
// what package term does not know would have it wait for more, or read for ever.
//
// It reads byte by byte, and so nothing beyond the end of a line: what was typed ahead
// is for what that line starts.
type keyboard struct {
	fd   int
	wake *screen.Wake // ends it
	out  io.Writer

	part []byte // of a key or character
	held []byte // whole ones
}

func (k *keyboard) Write(b []byte) (int, error) { return k.out.Write(b) }

func (k *keyboard) Read(b []byte) (int, error) {
	for len(k.held) == 0 {
		if !k.wake.Wait(k.fd) {
			return 0, io.EOF
		}
		var in [1]byte
		n, err := unix.Read(k.fd, in[:])
		switch {
		case errors.Is(err, unix.EINTR), errors.Is(err, unix.EAGAIN):
		case err != nil:
			return 0, err
		case n == 0:
			return 0, io.EOF
		default:
			k.held = k.press(in[0])
		}
	}
	n := copy(b, k.held)
	k.held = k.held[n:]
	return n, nil
}

const (
	ctrlC = 0x03
	esc   = 0x1b
	// known are the control characters that package term obeys.
	known = "\x01\x02\x04\x05\x06\x08\t\n\x0b\x0c\r\x0e\x10\x14\x15\x17\x7f"
	// cleared is to the line's end, and delete to its beginning: package term would
	// take Ctrl-C for the end of all.
	cleared = "\x05\x15"
)

// sequences are what keys send (ctlseqs of xterm, and what others send for the same),
// and what package term knows of it.
var sequences = map[string]string{
	"[A": "\x1b[A", "[B": "\x1b[B", "[C": "\x1b[C", "[D": "\x1b[D", "[H": "\x1b[H", "[F": "\x1b[F", "[3~": "\x1b[3~",
	"OA": "\x1b[A", "OB": "\x1b[B", "OC": "\x1b[C", "OD": "\x1b[D", "OH": "\x1b[H", "OF": "\x1b[F",
	"[1~": "\x1b[H", "[7~": "\x1b[H", "[4~": "\x1b[F", "[8~": "\x1b[F",
	"[1;5C": "\x1b[1;3C", "[1;3C": "\x1b[1;3C", "f": "\x1b[1;3C", "[1;5D": "\x1b[1;3D", "[1;3D": "\x1b[1;3D", "b": "\x1b[1;3D",
}

// press takes the next byte, and gives what package term is to have of it.
func (k *keyboard) press(c byte) []byte {
	if c < ' ' || c == 0x7f {
		k.part = k.part[:0]
		switch {
		case c == esc:
			k.part = append(k.part, c)
		case c == ctrlC:
			return []byte(cleared)
		case strings.IndexByte(known, c) >= 0:
			return []byte{c}
		}
		return nil
	}
	k.part = append(k.part, c)
	if k.part[0] == esc {
		return k.sequence()
	}
	if !utf8.FullRune(k.part) {
		return nil
	}
	whole := k.part
	k.part = nil
	if !utf8.Valid(whole) {
		return []byte("?") // no command has it either
	}
	return whole
}

// sequence ends what Escape began, if it is at its end. A terminal's answers are among
// it: what a guest asked of it at the console may come when the prompt is back.
func (k *keyboard) sequence() []byte {
	s := string(k.part[1:])
	last := s[len(s)-1]
	if strings.IndexByte("P]X^_", s[0]) >= 0 { // 5.6: a string, to the next control character
		k.part = k.part[:2]
		return nil
	}
	if s == "[" || s == "O" || s == "[[" || s[0] == '[' && last < '@' && len(s) < 32 { // ECMA-48, 5.4: parameters
		return nil
	}
	k.part = k.part[:0]
	return []byte(sequences[s])
}

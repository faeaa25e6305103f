package console

import (
	"bytes"
	"strings"

	"uml/fault"
)

// DefaultEscape is ssh's.
const DefaultEscape = "~"

// An escape finds in what is typed what is meant for us and not for the guest, as
// ssh has it: the escape character at the beginning of a line, and the one after.
type escape struct {
	chars []byte // none: nothing is for us

	inLine bool // something was typed since the last line end
	held   bool // the escape character was, and waits for the next
	char   byte // which
}

// An order is what an escape asks for.
type order int

const (
	none order = iota
	leave
	suspend
	help
)

// parseEscape reads "~", "^]" or "none"; of several, "^] ~", each will do.
func parseEscape(s string) (e escape, err error) {
	if s == "none" {
		return e, nil
	}
	for _, c := range strings.Fields(s) {
		switch {
		case len(c) == 1 && c[0] > ' ' && c[0] < 0x7f:
			e.chars = append(e.chars, c[0])
		case len(c) == 2 && c[0] == '^' && c[1] >= '@' && c[1] <= '_' && c != "^M" && c != "^J" && c != "^Z":
			e.chars = append(e.chars, c[1]^'@')
		default:
			return escape{}, fault.Usage.Permanent("--escape: %q is no escape character (try ~, ^] or none)", s)
		}
	}
	if len(e.chars) == 0 {
		return e, fault.Usage.Permanent("--escape: %q is no escape character (try ~, ^] or none)", s)
	}
	return e, nil
}

// next takes what was typed up to the first order in it: what is for the guest
// is added to out, what comes after the order is rest.
func (e *escape) next(out, typed []byte) (_ []byte, _ order, rest []byte) {
	if len(e.chars) == 0 {
		return append(out, typed...), none, nil
	}
	for i, c := range typed {
		if e.held {
			e.held = false
			if o := orders[c]; o != none {
				return out, o, typed[i+1:] // the next line begins with it
			}
			if c != e.char {
				out = append(out, e.char)
			}
			e.inLine = true
		} else if !e.inLine && bytes.IndexByte(e.chars, c) >= 0 {
			e.held, e.char = true, c
			continue
		}
		out = append(out, c)
		e.inLine = c != '\r' && c != '\n'
	}
	return out, none, nil
}

var orders = [256]order{'.': leave, 0x1a: suspend, '?': help}

// end is what is left for the guest when nothing more is typed.
func (e *escape) end() []byte {
	if !e.held {
		return nil
	}
	e.held = false
	return []byte{e.char}
}

// name is the first escape character as it is typed.
func (e *escape) name() string {
	c := e.chars[0]
	if c < ' ' {
		return "^" + string(rune(c^'@'))
	}
	return string(rune(c))
}

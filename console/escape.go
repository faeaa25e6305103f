package console

import (
	"uml/fault"
)

// DefaultEscape is ssh's.
const DefaultEscape = "~"

// An escape finds in what is typed what is meant for us and not for the guest, as
// ssh has it: the escape character at the beginning of a line, and the one after.
type escape struct {
	char byte
	on   bool

	inLine bool // something was typed since the last line end
	held   bool // the escape character was, and waits for the next
}

// An order is what an escape asks for.
type order int

const (
	none order = iota
	leave
	suspend
	help
)

// parseEscape reads "~", "^]" or "none".
func parseEscape(s string) (escape, error) {
	switch {
	case s == "none":
		return escape{}, nil
	case len(s) == 1 && s[0] > ' ' && s[0] < 0x7f:
		return escape{char: s[0], on: true}, nil
	case len(s) == 2 && s[0] == '^' && s[1] >= '@' && s[1] <= '_' && s != "^M" && s != "^J" && s != "^Z":
		return escape{char: s[1] ^ '@', on: true}, nil
	}
	return escape{}, fault.Permanent("--escape: %q is no escape character (try ~, ^] or none)", s)
}

// next takes what was typed up to the first order in it: what is for the guest
// is added to out, what comes after the order is rest.
func (e *escape) next(out, typed []byte) (_ []byte, _ order, rest []byte) {
	if !e.on {
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
		} else if c == e.char && !e.inLine {
			e.held = true
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

// name is the escape character as it is typed.
func (e *escape) name() string {
	if e.char < ' ' {
		return "^" + string(rune(e.char^'@'))
	}
	return string(rune(e.char))
}

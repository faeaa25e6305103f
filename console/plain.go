package console

import (
	"strconv"
	"unicode/utf8"
)

// A plain makes what a guest writes fit for any terminal or file: text, tabs and
// line ends stay as they are, all else is written out, "\x1b" for one. The carriage
// return that a terminal's line ends have is left out. It is mconsole.Clean for a
// stream: a character may come in pieces.
type plain struct {
	part [utf8.UTFMax]byte // the beginning of a character, or a carriage return
	n    int
}

// add adds what b is made to.
func (p *plain) add(out, b []byte) []byte {
	for p.n > 0 && len(b) > 0 { // byte by byte, until the piece is whole or none
		head := append(p.part[:p.n:p.n], b[0])
		b = b[1:]
		p.n = 0
		out = p.whole(out, head)
	}
	return p.whole(out, b)
}

func (p *plain) whole(out, b []byte) []byte {
	for len(b) > 0 {
		n := 0
		for n < len(b) && (b[n] >= ' ' && b[n] < 0x7f || b[n] == '\n' || b[n] == '\t') {
			n++
		}
		out, b = append(out, b[:n]...), b[n:]
		switch {
		case len(b) == 0:
			return out
		case b[0] == '\r' && len(b) > 1 && b[1] == '\n':
			b = b[1:]
			continue
		case b[0] == '\r' && len(b) == 1, !utf8.FullRune(b):
			p.n = copy(p.part[:], b)
			return out
		}
		r, size := utf8.DecodeRune(b)
		out, b = written(out, r, b[:size]), b[size:]
	}
	return out
}

// end is what is left when nothing more comes.
func (p *plain) end(out []byte) []byte {
	for _, c := range p.part[:p.n] {
		out = written(out, utf8.RuneError, []byte{c})
	}
	p.n = 0
	return out
}

func written(out []byte, r rune, b []byte) []byte {
	if strconv.IsPrint(r) && !(r == utf8.RuneError && len(b) == 1) {
		return append(out, b...)
	}
	q := strconv.Quote(string(b))
	return append(out, q[1:len(q)-1]...)
}

package mconsole

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// Clean makes an answer fit to print: of what is not text only line ends and tabs
// are left as they are, so that a guest cannot drive a terminal.
func Clean(s string) string {
	var b strings.Builder
	for len(s) > 0 {
		r, size := utf8.DecodeRuneInString(s)
		if r == '\n' || r == '\t' || strconv.IsPrint(r) && !(r == utf8.RuneError && size == 1) {
			b.WriteString(s[:size])
		} else {
			q := strconv.Quote(s[:size])
			b.WriteString(q[1 : len(q)-1])
		}
		s = s[size:]
	}
	return b.String()
}

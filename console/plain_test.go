package console

import (
	"testing"

	"uml/mconsole"
)

func TestPlain(t *testing.T) {
	for s, want := range map[string]string{
		"login: ":               "login: ",
		"a\r\nb\n\tc":           "a\nb\n\tc",
		"50%\r60%\r\r\n":        `50%\r60%\r` + "\n",
		"\x1b[31mrot\x1b[0m":    `\x1b[31mrot\x1b[0m`,
		"Grüße 世界\u202e":        `Grüße 世界\u202e`,
		"\xff\xe4\xb8x\x00\x7f": `\xff\xe4\xb8x\x00\x7f`,
		"end\r":                 `end\r`,
		"\u009b":                `\u009b`,
	} {
		for piece := 1; piece < 5; piece++ {
			if got := plained(s, piece); got != want {
				t.Errorf("%q in pieces of %d: got %q, want %q", s, piece, got, want)
			}
		}
	}
}

func plained(s string, piece int) string {
	var p plain
	var out []byte
	for len(s) > 0 {
		n := min(piece, len(s))
		out = p.add(out, []byte(s[:n]))
		s = s[n:]
	}
	return string(p.end(out))
}

// A stream in any pieces is the same, and nothing in it can drive a terminal.
func FuzzPlain(f *testing.F) {
	f.Add("a\r\n\xe4\xb8\x1b[0m\r", 2)
	f.Fuzz(func(t *testing.T, s string, piece int) {
		got, whole := plained(s, max(1, piece)), plained(s, max(1, len(s)))
		if got != whole {
			t.Errorf("%q: in pieces of %d %q, whole %q", s, piece, got, whole)
		}
		if clean := mconsole.Clean(got); clean != got {
			t.Errorf("%q: %q is not plain, %q is", s, got, clean)
		}
	})
}

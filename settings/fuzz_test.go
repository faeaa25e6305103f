package settings

import (
	"strings"
	"testing"
)

// fuzz feeds a parser. Nothing may panic, and what parses must print as
// something that parses to the same.
func fuzz(f *testing.F, setting string) {
	f.Helper()
	for in := range good[setting] {
		f.Add(in)
	}
	for in := range bad[setting] {
		f.Add(in)
	}
	parse := parsers[setting]
	f.Fuzz(func(t *testing.T, in string) {
		// A value reaches its parser as splitLines leaves it.
		lines := splitLines(in)
		if len(lines) != 1 {
			return
		}
		out, err := parse(lines[0])
		if err != nil {
			return
		}
		if again, err := parse(out); again != out || err != nil {
			t.Errorf("%q: got %q, which gives %q, %v", lines[0], out, again, err)
		}
		if strings.ContainsAny(out, "\x00\n\x1b") {
			t.Errorf("%q: got %q, which no argument can hold", lines[0], out)
		}
	})
}

func FuzzName(f *testing.F)      { fuzz(f, "name") }
func FuzzInterface(f *testing.F) { fuzz(f, "interface") }
func FuzzArg(f *testing.F)       { fuzz(f, "arg") }
func FuzzRoot(f *testing.F)      { fuzz(f, "root") }
func FuzzChannel(f *testing.F)   { fuzz(f, "con") }
func FuzzPath(f *testing.F)      { fuzz(f, "kernel") }
func FuzzSize(f *testing.F)      { fuzz(f, "size") }
func FuzzTransport(f *testing.F) { fuzz(f, "transport") }
func FuzzSeccomp(f *testing.F)   { fuzz(f, "seccomp") }
func FuzzIP4(f *testing.F)       { fuzz(f, "ip4") }
func FuzzIP6(f *testing.F)       { fuzz(f, "ip6") }
func FuzzMAC(f *testing.F)       { fuzz(f, "mac") }
func FuzzNumber(f *testing.F)    { fuzz(f, "nice") }
func FuzzNet(f *testing.F)       { fuzz(f, "net") }
func FuzzDisc(f *testing.F)      { fuzz(f, "ubd") }
func FuzzStagger(f *testing.F)   { fuzz(f, "stagger") }

// A line is trimmed, and neither empty nor a comment.
func FuzzLines(f *testing.F) {
	for _, s := range []string{"", "\n\n", " 64M \n", "# comment\n64M", "a\r\nb", "a\x00b", "\xff", "\u00a0#"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, in string) {
		for _, l := range splitLines(in) {
			if l == "" || l[0] == '#' || l != strings.TrimSpace(l) || strings.Contains(l, "\n") {
				t.Errorf("%q: got line %q", in, l)
			}
		}
	})
}

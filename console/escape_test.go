package console

import (
	"strings"
	"testing"
)

func TestEscape(t *testing.T) {
	for _, c := range []struct{ escape, typed, want string }{
		{"~", "id\r", "id\r"},
		{"~", "~.", "<leave>"},
		{"~", "a~.", "a~."},
		{"~", "a\r~.b", "a\r<leave>b"},
		{"~", "a\n~?~.", "a\n<help><leave>"},
		{"~", "~~.", "~."},
		{"~", "~~~.", "~~."},
		{"~", "~a~.", "~a~."},
		{"~", "~\r~.", "~\r<leave>"},
		{"~", "~\x1a~", "<suspend>~"},
		{"^]", "~.\r\x1d.", "~.\r<leave>"},
		{"^] ~", "~.\x1d.", "<leave><leave>"},
		{"^] ~", "~\x1d.\r\x1d\x1d.\r~~.", "~\x1d.\r\x1d.\r~."},
		{"none", "~.\r~.", "~.\r~."},
	} {
		for _, piece := range []int{1, 2, 100} {
			e, err := parseEscape(c.escape)
			if err != nil {
				t.Fatal(err)
			}
			if got := typed(&e, c.typed, piece); got != c.want {
				t.Errorf("escape %s, %q in pieces of %d: got %q, want %q", c.escape, c.typed, piece, got, c.want)
			}
		}
	}
	for _, s := range []string{"~~", "", "~ none", "^M", "^J", "\r", "é", " ", "^a"} {
		if _, err := parseEscape(s); err == nil {
			t.Errorf("%q is taken", s)
		}
	}
}

// typed is what becomes of what is typed, in pieces, with the orders written out.
func typed(e *escape, s string, piece int) string {
	var all strings.Builder
	for len(s) > 0 {
		n := min(piece, len(s))
		rest := []byte(s[:n])
		s = s[n:]
		for rest != nil {
			var out []byte
			var o order
			out, o, rest = e.next(nil, rest)
			all.Write(out)
			all.WriteString(map[order]string{leave: "<leave>", suspend: "<suspend>", help: "<help>"}[o])
		}
	}
	all.Write(e.end())
	return all.String()
}

// Nothing is lost or doubled, however it comes: what the guest gets is what was
// typed with the escapes taken out by another rule, line by line.
func FuzzEscape(f *testing.F) {
	f.Add("ls\r~.~~\n~x~\r~?", 3)
	f.Fuzz(func(t *testing.T, s string, piece int) {
		e := escape{chars: []byte{'~'}}
		if got, want := typed(&e, s, max(1, piece)), byLines(s); got != want {
			t.Errorf("%q: got %q, want %q", s, got, want)
		}
	})
}

func byLines(s string) string {
	var all strings.Builder
	for s != "" {
		for order, name := range map[string]string{"~.": "<leave>", "~\x1a": "<suspend>", "~?": "<help>"} {
			if rest, ok := strings.CutPrefix(s, order); ok {
				all.WriteString(name)
				return all.String() + byLines(rest)
			}
		}
		if strings.HasPrefix(s, "~~") {
			s = s[1:]
		}
		end := len(s)
		from := 0
		if s[0] == '~' { // what follows is in the line already, unless it ends it
			from = 1
		}
		if i := strings.IndexAny(s[from:], "\r\n"); i >= 0 {
			end = from + i + 1
		}
		all.WriteString(s[:end])
		s = s[end:]
	}
	return all.String()
}

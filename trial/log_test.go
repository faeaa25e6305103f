package trial

import (
	"io"
	"strings"
	"testing"
	"time"
)

func TestPrompt(t *testing.T) {
	for text, want := range map[string]string{
		"":                          "",
		"a line\n":                  "",
		"Linux version 6.1 (gcc) #": "",
		"\r\nDebian GNU/Linux 12 web tty1\r\n\r\nweb login: ": "web login:",
		"web login: random: crng init done\n":                 "web login:",
		"\nPlease press Enter to activate this console. ":     "activate this console.",
		"\r\n\x1b[1;32m/ # \x1b[6n":                           "/ #",
		"# ":                                                  "#",
		"root@web:~# ":                                        "root@web:~#",
		"user@web:/tmp$ \n":                                   "",
		"loading > ":                                          "loading >",
	} {
		l := &log{}
		w := l.way()
		l.way().Write([]byte("of the other\n"))
		io.WriteString(w, text)
		if got := l.prompt(); got != want && logins.MatchString(text) {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
		w.at = time.Now().Add(-still)
		if got := l.prompt(); got != want {
			t.Errorf("%q, and still: got %q, want %q", text, got, want)
		}
	}
}

// However much a guest says, little of it is kept, and none of it drives a terminal.
func FuzzLog(f *testing.F) {
	f.Add("a\nb\x1b[2J\xff", "login:")
	f.Fuzz(func(t *testing.T, a, b string) {
		l := &log{}
		w := l.way()
		for range 3 {
			io.WriteString(w, a)
			io.WriteString(w, b)
		}
		all := append(l.last(keepLines), l.prompt())
		if len(all) > keepLines+1 || len(w.part) > keepPart {
			t.Errorf("%d lines, %d bytes", len(all), len(w.part))
		}
		if text := strings.Join(all, ""); strings.ContainsFunc(text, func(r rune) bool { return r < ' ' }) {
			t.Errorf("%q", text)
		}
	})
}

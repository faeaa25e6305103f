package logdir

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestParseStamp(t *testing.T) {
	for _, c := range []struct {
		line string
		want string // in UTC; "": no stamp
		rest string
	}{
		{"@400000006b05bf061a20492c hi", "2026-11-24 16:44:44.438323500", " hi"},
		{"@400000000000000a00000000", "1970-01-01 00:00:00.000000000", ""},
		{"@400000000000000900000000 before 1970", "", ""},
		{"@400000006b05bf063b9aca00 1e9 nanoseconds", "", ""},
		{"@400000006B05BF061A20492C capital", "", ""},
		{"@400000006b05bf061a20492", "", ""},
		{"@4000000-6b05bf061a20492c", "", ""},
		{"@ffffffffffffffff1a20492c", "", ""},
		{"@4fffffffffffffff1a20492c", "", ""},
		{"400000006b05bf061a20492c0", "", ""},
		{"", "", ""},
	} {
		at, rest, ok := parseStamp(c.line)
		if c.want == "" {
			if ok || rest != c.line {
				t.Errorf("%q: got %v, %q, want no stamp", c.line, at, rest)
			}
			continue
		}
		if got := at.UTC().Format("2006-01-02 15:04:05.000000000"); !ok || got != c.want || rest != c.rest {
			t.Errorf("%q: got %s, %q, %v", c.line, got, rest, ok)
		}
	}
}

// What is a stamp prints back to the same bytes, and no line drives a terminal.
func FuzzParseStamp(f *testing.F) {
	f.Add("@400000006b05bf061a20492c hi")
	f.Add("@400000006b05bf061a20492c\x1b[0;32m  OK  \x1b[0m\r")
	f.Add("@4000000000000009000000000")
	f.Add("\x1b]0;title\x07\x1b]0;open")
	f.Fuzz(func(t *testing.T, line string) {
		at, rest, ok := parseStamp(line)
		if back := fmt.Sprintf("@%016x%08x", uint64(at.Unix())+epoch, at.Nanosecond()) + rest; ok && back != line {
			t.Errorf("%q became %q", line, back)
		}
		if !ok && rest != line {
			t.Errorf("%q: no stamp, and %q is left", line, rest)
		}
		for _, c := range human(line, 0) {
			if c < ' ' && c != '\t' && c != '\n' || c >= 0x7f && c < 0xa0 {
				t.Errorf("%q became %q", line, human(line, 0))
			}
		}
	})
}

func TestHuman(t *testing.T) {
	for line, want := range map[string]string{
		"plain":                                 "plain",
		"plain\r":                               "plain",
		"a\x1b[2Jb":                             "ab",
		"[\x1b[0;32m  OK  \x1b[0m] Started":     "[  OK  ] Started",
		"\x1b]0;owned\x07text\x1b(B\x1b=":       "text",
		"\x1bP1$r\x1b\\text":                    "text",
		"\x1b]52;c;unfinished":                  `\x1b]52;c;unfinished`,
		"\x1b[\x1b[2J2J":                        `\x1b[2J`,
		"bell\x07 \x9b2J \xff":                  `bell\a \x9b2J \xff`,
		"2026-11-24_16:44:44.67941 of svlogd":   "2026-11-24_16:44:44.67941 of svlogd",
		"@400000006b05bf061a20492 is one short": "@400000006b05bf061a20492 is one short",
	} {
		if got := human(line, 0); got != want {
			t.Errorf("%q: got %q, want %q", line, got, want)
		}
	}
	stamped := human("@400000006b05bf211a20492c hi", leapSeconds*time.Second)
	if want := time.Unix(1795538684, 0).Format(time.DateTime) + ".438 hi"; stamped != want {
		t.Errorf("got %q, want %q", stamped, want)
	}
	if !strings.HasSuffix(human("@400000006b05bf061a20492c", 0), ".438") {
		t.Error("an empty line lost its stamp")
	}
}

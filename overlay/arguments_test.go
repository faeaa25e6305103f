package overlay

import (
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	for line, want := range map[string]arguments{
		"": {"/dev/ubda", "/dev/ubdb", ""},
		"quiet overlay=/dev/ubdc,/dev/ubdd1 init=/bin/sh\n": {"/dev/ubdc", "/dev/ubdd1", "/bin/sh"},
		"init=/a init=/b":            {"/dev/ubda", "/dev/ubdb", "/b"},
		"overlay=/x init= overlay=,": {"/dev/ubda", "/dev/ubdb", ""},
		"a -- init=/x overlay=/a,/b": {"/dev/ubda", "/dev/ubdb", ""},
		"a --":                       {"/dev/ubda", "/dev/ubdb", ""},
	} {
		if got := parse(line); got != want {
			t.Errorf("%q: got %+v, want %+v", line, got, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("quiet overlay=/dev/ubdc,/dev/ubdd1 init=/bin/sh -- x")
	f.Fuzz(func(t *testing.T, line string) {
		if a := parse(line); a.base == "" || a.disc == "" || strings.ContainsAny(a.base+a.disc+a.init, " \n") {
			t.Errorf("%q: got %+v", line, a)
		}
	})
}

package overlay

import (
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	for line, want := range map[string]arguments{
		"": {base: "/dev/ubda", disc: "/dev/ubdb"},
		"quiet overlay=/dev/ubdc,/dev/ubdd1 init=/bin/sh\n": {base: "/dev/ubdc", disc: "/dev/ubdd1", init: "/bin/sh"},
		"init=/a init=/b":            {base: "/dev/ubda", disc: "/dev/ubdb", init: "/b"},
		"overlay=/x init= overlay=,": {base: "/dev/ubda", disc: "/dev/ubdb"},
		"a -- init=/x overlay=/a,/b": {base: "/dev/ubda", disc: "/dev/ubdb"},
		"ro root=/dev/ubdc rw rootfstype=xfs,ext4 rootflags=noatime,a=b -- ro": {base: "/dev/ubda", disc: "/dev/ubdb", root: "/dev/ubdc", kinds: "xfs,ext4", options: "noatime,a=b", writable: true},
		"rw root=98:0 ro": {base: "/dev/ubda", disc: "/dev/ubdb", root: "98:0"},
		"a --":            {base: "/dev/ubda", disc: "/dev/ubdb"},
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

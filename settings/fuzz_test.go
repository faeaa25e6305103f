package settings

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"uml/fault"
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
func FuzzSync(f *testing.F)      { fuzz(f, "sync") }
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

// A file of a machine's settings, whatever its name and text.
func FuzzFile(f *testing.F) {
	for name, text := range map[string]string{
		"user": "web", "mem": "64M", "mem-min": "48M", "swap": "40K", "ip4": "192.0.2.1\n192.0.2.32/29", "ip6": "2001:db8::/64\n2001:db8:1::/48",
		"net": "bridged br0", "mac": "fe:fd:c0:00:02:14", "tap": "tap_web", "transport": "tuntap", "root": "LABEL=root",
		"kernel": "/boot/linux", "args": "quiet\n# one\nloglevel=3", "nofile": "64", "nproc": "16", "nice": "-5", "priority": "99", "spoof": "deny", "isolated": "yes", "lock": "yes", "initrd": "/srv/initrd",
		"cpu": "weight 200\nlimit 1.5", "io": "weight 200\nwrite 20M\nreads 500", "overhead": "64M", "pids": "500", "cgroup": "require",
		"ubd0": "disc,/base flags=rs", "ubd7": "", "con": "", "con15": "null,fd:1", "ssl63": "pts", "con016": "x", "ip5": "",
	} {
		f.Add(name, text)
	}
	f.Fuzz(func(t *testing.T, name, text string) {
		if !known(name) {
			return
		}
		read := func() (any, error) {
			m := &Machine{}
			m.defaults()
			return m, m.set(name, splitLines(text))
		}
		steady(t, name, text, read)
		m, err := read()
		if err == nil {
			unbroken(t, m.(*Machine))
		}
	})
}

// A file of the host's settings, likewise.
func FuzzHostFile(f *testing.F) {
	for name, text := range map[string]string{
		"external": "eth0", "min-uptime": "120", "stagger": "1-600", "ping-timeout": "10", "retry-delay": "0", "publish": "proxy",
		"pace": "4", "pace-limit": "60", "pace-pressure": "cpu 80\nio 60", "radvd-conf": "/etc/radvd.conf", "overcommit": "1.5",
	} {
		f.Add(name, text)
		f.Add(name, text+"\n"+text)
		f.Add(name, "# none\n")
	}
	f.Fuzz(func(t *testing.T, name, text string) {
		if !knownHost(name) {
			return
		}
		steady(t, name, text, func() (any, error) {
			h := &Host{}
			return h, h.set(name, splitLines(text))
		})
	})
}

// steady: what is read twice is the same, and each of its faults is one line.
func steady(t *testing.T, name, text string, read func() (any, error)) {
	t.Helper()
	one, err := read()
	two, again := read()
	if !reflect.DeepEqual(one, two) || fmt.Sprint(err) != fmt.Sprint(again) {
		t.Errorf("%s: %q: got %+v, %v, then %+v, %v", name, text, one, err, two, again)
	}
	for _, e := range fault.Parts(err) {
		if strings.ContainsAny(e.Error(), "\n\r\x00\x1b") {
			t.Errorf("%s: %q: got the fault %q", name, text, e)
		}
	}
}

// unbroken: the kernel takes its arguments apart at spaces.
func unbroken(t *testing.T, m *Machine) {
	t.Helper()
	words := append([]string{m.Root, m.Kernel, m.Initrd, m.TAP, m.Net.Bridge}, m.Args...)
	for _, d := range m.Discs {
		words = append(words, d.File, d.Backing)
	}
	for _, c := range m.Channels {
		words = append(words, c.Device, c.Value)
	}
	for _, w := range words {
		if len(strings.Fields(w+"x")) != 1 || strings.ContainsAny(w, "\x00\"") {
			t.Errorf("got %q, which the kernel would take apart", w)
		}
	}
}

package radvd

import (
	"maps"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"
)

const marked = begin + note + "\n"

func TestRender(t *testing.T) {
	p, err := split("# mine\ninterface eth1 { AdvSendAdvert on; };")
	if err != nil {
		t.Fatal(err)
	}
	got := p.with([]section{had("tap_a", "a", one, fading(two, time.Hour)), had("tap_b", "b", "", fading(two, time.Minute))})
	want := `# mine
interface eth1 { AdvSendAdvert on; };
# BEGIN uml-net radvd (made from the machines' settings; what you write between these lines is lost)
interface tap_a { # a
	AdvSendAdvert on;
	IgnoreIfMissing on;
	prefix 2001:db8:0:1::/64 { };
	prefix 2001:db8:0:2::/64 { AdvPreferredLifetime 0; AdvValidLifetime 7200; }; # until 2026-11-24T13:00:00Z
};
interface tap_b { # b
	AdvSendAdvert on;
	IgnoreIfMissing on;
	AdvDefaultLifetime 0;
	prefix 2001:db8:0:2::/64 { AdvPreferredLifetime 0; AdvValidLifetime 7200; }; # until 2026-11-24T12:01:00Z
};
# END uml-net radvd
`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if err := check(t.Context(), "radvd.conf", got); err != nil {
		t.Error(err)
	}
	again, err := split(got)
	if err != nil || again.with(again.sections) != got {
		t.Errorf("read again, %v:\n%s", err, again.with(again.sections))
	}
}

// What is the administrator's stays, whatever it is; without sections too.
func TestSplit(t *testing.T) {
	block := "interface tap_a { # a\n\tprefix " + one + " { };\n};\n"
	for _, c := range []struct{ text, before, after, sections string }{
		{"", "", "", ""},
		{"\n \x00# END\r\n", "\n \x00# END\r\n", "", ""},
		{marked + "# END uml-net radvd", "", "", ""},
		{"a\n" + marked + block + "# END uml-net radvd\nb", "a\n", "b", "tap_a a " + one},
		{"a\r\n  " + begin + "\r\n" + block + "\t" + end + " \r\n\r\nb\r\n", "a\r\n", "\r\nb\r\n", "tap_a a " + one},
	} {
		p, err := split(c.text)
		if err != nil || p.before != c.before || p.after != c.after || said(p.sections) != c.sections {
			t.Errorf("%q: got %q, %q, %q, %v", c.text, p.before, p.after, said(p.sections), err)
		}
		if got := p.with(nil); got != c.before+c.after {
			t.Errorf("%q: without sections %q", c.text, got)
		}
	}
	for text, want := range map[string]string{
		"a\n" + marked:                                       `line 2: "# BEGIN uml-net radvd" has no END after it`,
		end + "\n":                                           `line 1: "# END uml-net radvd" has no BEGIN before it`,
		end + "\n" + marked + end + "\n":                     `line 1: "# END uml-net radvd" has no BEGIN before it`,
		marked + marked + end + "\n" + end + "\n":            `line 2: "# BEGIN uml-net radvd" stands in line 1 already`,
		marked + end + "\nb\n" + end + "\n":                  `line 4: "# END uml-net radvd" stands twice`,
		marked + end + "\n" + marked + "interface x\n" + end: `line 3: "# BEGIN uml-net radvd" stands in line 1 already`,
	} {
		want += ", so what is the administrator's cannot be told (mend the two lines, or remove both and all between)"
		if _, err := split(text); err == nil || err.Error() != want {
			t.Errorf("%q: got %v, want %s", text, err, want)
		}
	}
}

// Only what is ours is read, however damaged the rest.
func TestParse(t *testing.T) {
	text := `};
	prefix 2001:db8:9::/64 { };
interface tap_a { # a
	AdvSendAdvert off;
	prefix 2001:db8:0:1::/64 { };
	prefix 2001:db8:0:1::/64
	prefix 2001:db8:0:1::1/64 { };
	prefix 192.0.2.0/64 { };
	prefix 2001:db8:0:2::/64 { AdvPreferredLifetime 0; }; # until 2026-11-24T12:01:00+00:00
	prefix 2001:db8:0:3::/64 { AdvPreferredLifetime 0; }; # until tomorrow
interface tap_a { # other
	prefix 2001:db8:0:4::/64 { };
interface prefix { # p
	prefix 2001:db8:0:5::/64 { };
interface tap_b { # no/name
	prefix 2001:db8:0:6::/64 { };
`
	if got, want := said(parse(text)), "tap_a a "+one+" not "+two+" 12:01"; got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestInterfaces(t *testing.T) {
	got := interfaces("#interface no0 {\ninterface # x\n eth0{ prefix ::/64 {};};INTERFACE\teth1{} ;# interface no1\r\ninterface-x no2;interface a#b;\ninterface \"q\" { }; interface")
	if s := slices.Sorted(maps.Keys(got)); strings.Join(s, " ") != "a#b eth0 eth1 q" {
		t.Errorf("got %q", s)
	}
}

// keywords are all of radvd's scanner, 2.20 and later, that the kernel takes for an
// interface's name too. From 2.20 on they are words in any case.
const keywords = `interface prefix route RDNSS DNSSL clients lowpanco abro nat64prefix AdvRASrcAddress
	IgnoreIfMissing AdvSendAdvert AdvManagedFlag AdvLinkMTU AdvRAMTU AdvRetransTimer AdvCurHopLimit
	RemoveAdvOnExit AdvOnLink AdvAutonomous DeprecatePrefix AdvRouterAddr AdvIntervalOpt UnicastOnly
	Base6Interface RemoveRoute AdvRDNSSOpen FlushRDNSS FlushDNSSL AdvContextID AdvLifeTime AdvVersionLow
	AdvVersionHigh Adv6LBRaddress infinity on off low medium high`

// A name that radvd refuses would take the whole file with it.
func TestTellable(t *testing.T) {
	for _, n := range strings.Fields(keywords) {
		if tellable(n) || tellable(strings.ToUpper(n)) {
			t.Errorf("%q is taken for a name", n)
		}
	}
	names := append(strings.Fields(keywords), "12", "1.5", "1.5.3", "1e5", "5x", "tap_a", "tap-1.2", "a", "abc", "onoff")
	for _, n := range names {
		cmd := exec.Command(program(), "-c", "-C", "/proc/self/fd/0")
		cmd.Stdin = strings.NewReader("interface " + n + " { AdvSendAdvert on; };\n")
		if takes := cmd.Run() == nil; tellable(n) && !takes {
			t.Errorf("radvd does not take %q", n)
		} else if !tellable(n) && takes {
			t.Logf("this radvd takes %q", n)
		}
	}
	for _, n := range []string{"tap_a", "tap-1.2", "a", "5x", "1e5", "onoff"} {
		if !tellable(n) {
			t.Errorf("%q is none", n)
		}
	}
}

// Whatever the file holds, the administrator's part comes back, and what was read of
// ours is read again.
func FuzzSplit(f *testing.F) {
	p, _ := split("# mine\n")
	f.Add(p.with([]section{had("tap_a", "a", one, fading(two, time.Hour)), had("tap_b", "b", "", fading(two, time.Minute))}) + "interface eth0 { };")
	f.Add(marked + "interface tap_a { # a\r\nprefix ::/64\n" + end)
	f.Add(end + "\n" + begin)
	f.Fuzz(func(t *testing.T, text string) {
		p, err := split(text)
		interfaces(text)
		if err != nil || !p.marked {
			if err == nil && p.before+p.after != text {
				t.Errorf("%q: without markers %q, %q", text, p.before, p.after)
			}
			return
		}
		if !strings.HasPrefix(text, p.before) || !strings.HasSuffix(text, p.after) {
			t.Errorf("%q: %q, %q", text, p.before, p.after)
		}
		if len(p.sections) == 0 {
			return
		}
		made := p.with(p.sections)
		again, err := split(made)
		if err != nil || again.with(again.sections) != made || again.after != p.after || strings.TrimSuffix(again.before, "\n") != strings.TrimSuffix(p.before, "\n") {
			t.Errorf("%q: made %q, %v", text, made, err)
		}
	})
}

package settings

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"
)

// A parser reads a value and prints it back, as one would write it.
type parser func(string) (string, error)

// parsers by the setting whose values they read. checked values are their own
// print.
var parsers = map[string]parser{
	"name":      checked(CheckName),
	"interface": checked(checkInterface),
	"arg":       checked(checkArg),
	"root":      checked(checkWord),
	"con":       checked(parseChannel),
	"kernel":    checked(func(s string) error { return checkPath(s, true) }),
	"size":      printed(ParseSize),
	"transport": printed(parseTransport),
	"seccomp":   printed(parseSeccomp),
	"ip4":       printed(parseIP4),
	"ip6":       printed(parseIP6),
	"mac":       printed(parseMAC),
	"nice":      func(s string) (string, error) { n, err := parseNumber(s, -20, 19); return strconv.Itoa(n), err },
	"net": func(s string) (string, error) {
		n, err := parseNet(s)
		return strings.TrimSpace(n.Kind.String() + " " + n.Bridge), err
	},
	"ubd": func(s string) (string, error) {
		d, err := parseDisc(3, s)
		return printDisc(d), err
	},
	"sync": func(s string) (string, error) {
		n, yes, err := parseSync(s)
		return printSync(n, yes), err
	},
	"stagger": func(s string) (string, error) {
		low, high, err := parseStagger(s)
		return fmt.Sprintf("%d-%d", low/time.Second, high/time.Second), err
	},
}

func checked(check func(string) error) parser {
	return func(s string) (string, error) { return s, check(s) }
}

func printed[T fmt.Stringer](parse func(string) (T, error)) parser {
	return func(s string) (string, error) {
		v, err := parse(s)
		if err != nil {
			return "", err
		}
		return v.String(), nil
	}
}

func printSync(n int, yes bool) string {
	text := map[bool]string{true: "yes", false: "no"}[yes]
	if n != allDiscs {
		text = fmt.Sprintf("ubd%d %s", n, text)
	}
	return text
}

func printDisc(d Disc) string {
	text := d.File
	if d.Backing != "" {
		text += "," + d.Backing
	}
	flags := ""
	for _, f := range []struct {
		on   bool
		flag string
	}{{d.ReadOnly, "r"}, {d.Sync, "s"}, {d.NoTrim, "t"}} {
		if f.on {
			flags += f.flag
		}
	}
	if flags != "" {
		text += " flags=" + flags
	}
	return text
}

// good are values and how they print: "" as they are.
var good = map[string]map[string]string{
	"name":      {"a": "", "web-1.example_x": "", strings.Repeat("x", 63): "", "0": ""},
	"interface": {"br0": "", "tap_a": "", "a23456789012345": ""},
	"arg":       {"quiet": "", "memory=1": "", "console=tty0": "", "x=a,b:c": "", "rootflags=ro": ""},
	"root":      {"/dev/ubda": "", "98:0": "", "LABEL=x": ""},
	"con":       {"null": "", "none": "", "pts": "", "fd:1": "", "null,fd:1": "", "fd:0,fd:2": ""},
	"kernel":    {"linux": "", "boot/linux-6.1": "", "/usr/bin/linux.uml": ""},
	"size":      {"64M": "", "1024M": "1G", "1g": "1G", "40k": "40K", "8T": "", "0064M": "64M", "1536M": ""},
	"transport": {"auto": "", "vector": "", "tuntap": ""},
	"seccomp":   {"on": "", "kill": "", "log": "", "off": ""},
	"ip4":       {"192.0.2.20": "192.0.2.20/32", "192.0.2.32/29": "", "10.0.0.0/24": "", "192.0.2.0": "192.0.2.0/32"},
	"ip6":       {"2001:db8:0:1::/64": "", "2001:DB8::/48": "2001:db8::/48", "fd00::/64": "", "2000::/16": "", "2001:db8::1": "2001:db8::1/128"},
	"mac":       {"fe:fd:c0:00:02:14": "", "FE-FD-C0-00-02-14": "fe:fd:c0:00:02:14", "fefd.c000.0214": "fe:fd:c0:00:02:14"},
	"nice":      {"0": "", "-20": "", "19": "", "+5": "5"},
	"net":       {"none": "", "routed": "", "bridged br0": "", "bridged   br0": "bridged br0"},
	"ubd":       {"ubd3": "", "discs/x flags=rst": "", "cow,/base": "", "cow,base flags=s": "", "/base flags=r": "", "x flags=d": "x", "x flags=r flags=s": "x flags=rs", "x flags=": "x"},
	"sync":      {"yes": "", "no": "", "ubd0 yes": "", "ubd7  no": "ubd7 no"},
	"stagger":   {"1-600": "", "0": "0-0", "5-5": "", "0-86400": ""},
}

func TestParse(t *testing.T) {
	for setting, values := range good {
		for in, want := range values {
			if want == "" {
				want = in
			}
			if got, err := parsers[setting](in); got != want || err != nil {
				t.Errorf("%s %q: got %q, %v, want %q", setting, in, got, err, want)
			}
		}
	}
}

const (
	noName      = " is no machine name (letters, digits, then also . _ -, at most 63)"
	noInterface = " is no interface name (letters, digits, then also . _ -, at most 15)"
	noSize      = " is not a size (try 64M or 1G)"
	noIP4       = " is no IPv4 address or block (try 192.0.2.20 or 192.0.2.32/29)"
	noIP6       = " is no IPv6 prefix (try 2001:db8:0:1::/64)"
	noMAC       = " is no hardware address (try fe:fd:c0:00:02:14)"
	noNet       = " is no kind of network (try routed, bridged BRIDGE or none)"
	noChannel   = " is no channel that the jail has (try null, pts, fd:1, or null,fd:1)"
	noJail      = " is not a name in the jail (try ubd0)"
	noAbsolute  = " is not a plain absolute path"
	noTimes     = " is neither warn, no nor how many times the host's RAM (try 1.5)"
	noRange     = " is no range of seconds (try 1-600, or 0 for none)"
	noPressure  = " is no pressure (try: cpu 90, io 80, memory 20, one a line; 100 for any)"
	noNice      = " is not a number from -20 to 19"
	noGuest     = " cannot be a guest's address"
	noPrefix    = " cannot be a guest's prefix"
	made        = ": the start makes this argument from the settings"
	noFilter    = " is no way to filter system calls (try on, kill, log or off)"
	noSync      = ": is yes or no for all discs, or for one (try: ubd1 no)"
	noDisc      = ": a disc is FILE or COWFILE,BACKINGFILE, then flags=r; a name cannot hold a space"
)

// bad are values and the text that follows them, quoted, in their fault; or the
// whole text, where the fault is about a part of the value.
var bad = map[string]map[string]string{
	"name": {"": noName, ".x": noName, "-x": noName, "_x": noName, "a b": noName, "a/b": noName, "a:b": noName, "a,b": noName,
		"a\n": noName, "a\x00": noName, "ä": noName, "..": noName, strings.Repeat("x", 64): noName},
	"interface": {"": noInterface, "all": noInterface, "default": noInterface, "lo": noInterface, "a/b": noInterface, "br 0": noInterface,
		"-x": noInterface, "a234567890123456": noInterface, "br0\n": noInterface, "br0:1": noInterface},
	"arg": {"a b": ": a kernel argument cannot hold ' '", `a"b`: ": a kernel argument cannot hold '\"'", "a\x00b": `: a kernel argument cannot hold '\x00'`,
		"é": ": a kernel argument cannot hold 'é'", "\xff": ": a kernel argument cannot hold '�'",
		"mem=1G": made, "mem": made, "umid=x": made, "uml_dir=/": made, "root=/x": made, "ubd0=x": made, "ubd0r=x": made, "con=null": made,
		"con1=pts": made, "ssl2=pts": made, "vec0:transport=tap": made, "eth0=tuntap": made, "noreboot": made, "initrd=/x": made},
	"root":   {"a b": ": a kernel argument cannot hold ' '", "/dev/\x1b": `: a kernel argument cannot hold '\x1b'`, "a\x00": `: a kernel argument cannot hold '\x00'`},
	"con":    {"": noChannel, "pty": noChannel, "tty:/dev/x": noChannel, "xterm": noChannel, "port:9000": noChannel, "fd:3": noChannel, "null,": noChannel, "a,b,c": noChannel, "null,null,null": noChannel},
	"kernel": {"": noJail, ".": noJail, "..": noJail, "../x": noJail, "a/../../x": noJail, "a//b": noJail, "a/": noJail, "./a": noJail, "/": noAbsolute, "/a/../b": noAbsolute, "//a": noAbsolute, "a:b": ": the kernel cannot be given a name with ':' in it", "ü": ": the kernel cannot be given a name with 'ü' in it"},
	"size": {"": noSize, "M": noSize, "64": noSize, "64 M": noSize, "-1M": noSize, "+1M": noSize, "0M": noSize, "1.5G": noSize, "0x1M": noSize, "64MB": noSize, "1_0M": noSize,
		"99999999999999999999M": noSize, "9223372036854775807K": " is larger than any disc", "8388608T": " is larger than any disc"},
	"transport": {"": " is no transport (try auto, vector, tuntap or fd)", "Auto": " is no transport (try auto, vector, tuntap or fd)"},
	"seccomp":   {"": noFilter, "On": noFilter, "1": noFilter},
	"ip4": {"": noIP4, "1.2.3": noIP4, "1.2.3.04": noIP4, "::1": noIP4, "::ffff:1.2.3.4": noIP4, "1.2.3.4/33": noIP4, "1.2.3.4/": noIP4, "1.2.3.4/029": noIP4,
		"192.0.2.33/29": " has bits set outside the block (try 192.0.2.32/29)", "10.0.0.0/8": " is more than 256 addresses, each published by itself (try several /24)",
		"0.0.0.0": noGuest, "127.0.0.1": noGuest, "224.0.0.1": noGuest, "255.255.255.255": noGuest, "0.1.2.3": noGuest},
	"ip6": {"": noIP6, "192.0.2.1": noIP6, "2001:db8::%eth0": noIP6, "2001:db8::/129": noIP6, "::ffff:1.2.3.4": noIP6,
		"2001:db8::1/64": " has bits set outside the prefix (try 2001:db8::/64)",
		"2001:db8::/65":  " is not a /64 or larger (try 2001:db8::/64)", "::/64": noPrefix, "fe80::/64": noPrefix, "ff02::/64": noPrefix},
	"mac":  {"": noMAC, "x": noMAC, "02:00:5e:10:00:00:00:01": noMAC, "ff:ff:ff:ff:ff:ff": " is a multicast address (the first byte must be even)", "00:00:00:00:00:00": " is no hardware address of a device"},
	"nice": {"": noNice, "20": noNice, "-21": noNice, "1e1": noNice, "99999999999999999999": noNice},
	"net":  {"": noNet, "Routed": noNet, "bridged": noNet, "routed br0": noNet, "bridge br0": noNet},
	"ubd": {"a b": noDisc, "a flag=r": noDisc, "a flags=x": ": no flag 'x' (try r, s or t)", "a,": `""` + noJail, ",b": `""` + noJail,
		"a,b,c": `"b,c": the kernel cannot be given a name with ',' in it`, "/x": ": a disc that is written lies in the jail (try ubd0)"},
	"sync": {"1": " is neither yes nor no", "Yes": " is neither yes nor no", "ubd1": " is neither yes nor no", "ubd1 on": `"on" is neither yes nor no`,
		"ubd8 no": noSync, "ubd01 no": noSync, "ubd no": noSync, "swap no": noSync, "ubd1 no no": noSync, "yes no": noSync},
	"stagger": {"": noRange, "5": noRange, "600-1": noRange, "-5": noRange, "1-86401": noRange, "1-2-3": noRange},
}

func TestParseFaults(t *testing.T) {
	for setting, values := range bad {
		for in, want := range values {
			if !strings.HasPrefix(want, `"`) {
				want = strconv.Quote(in) + want
			}
			if got, err := parsers[setting](in); err == nil || err.Error() != want {
				t.Errorf("%s %q: got %q, %v\nwant %s", setting, in, got, err, want)
			}
		}
	}
}

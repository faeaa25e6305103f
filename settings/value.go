package settings

import (
	"fmt"
	"math"
	"path"
	"path/filepath"
	"strconv"
	"strings"
)

// Size counts bytes.
type Size int64

const (
	kib Size = 1 << 10
	mib Size = 1 << 20
	gib Size = 1 << 30
	tib Size = 1 << 40
)

// ParseSize reads a number with one of the units K, M, G, T (powers of 1024). A
// bare number is refused: nobody gives a guest 64 bytes; and so is 0: an empty
// file means none.
func ParseSize(s string) (Size, error) {
	fail := fmt.Errorf("%q is not a size (try 64M or 1G)", s)
	if len(s) < 2 {
		return 0, fail
	}
	var unit Size
	switch s[len(s)-1] {
	case 'k', 'K':
		unit = kib
	case 'm', 'M':
		unit = mib
	case 'g', 'G':
		unit = gib
	case 't', 'T':
		unit = tib
	default:
		return 0, fail
	}
	n, err := strconv.ParseUint(s[:len(s)-1], 10, 63)
	if err != nil || n == 0 {
		return 0, fail
	}
	if n > uint64(math.MaxInt64/unit) {
		return 0, fmt.Errorf("%q is larger than any disc", s)
	}
	return Size(n) * unit, nil
}

// String is the shortest form that ParseSize reads back: "64M".
func (s Size) String() string {
	for _, u := range []struct {
		size   Size
		letter string
	}{{tib, "T"}, {gib, "G"}, {mib, "M"}, {kib, "K"}} {
		if s != 0 && s%u.size == 0 {
			return strconv.FormatInt(int64(s/u.size), 10) + u.letter
		}
	}
	return strconv.FormatInt(int64(s), 10)
}

// NetKind is how a machine reaches the network.
type NetKind int

const (
	None    NetKind = iota // no TAP at all
	Routed                 // host routes to the TAP (paper 4.2)
	Bridged                // TAP is a port of a bridge (paper 4.1)
)

func (k NetKind) String() string {
	return [...]string{"none", "routed", "bridged"}[k]
}

// Net is the setting net.
type Net struct {
	Kind   NetKind
	Bridge string // with Bridged
}

func parseNet(s string) (Net, error) {
	kind, bridge, _ := strings.Cut(s, " ")
	bridge = strings.TrimSpace(bridge)
	switch {
	case s == "none":
		return Net{Kind: None}, nil
	case s == "routed":
		return Net{Kind: Routed}, nil
	case kind == "bridged" && bridge != "":
		if err := checkInterface(bridge); err != nil {
			return Net{}, err
		}
		return Net{Bridged, bridge}, nil
	}
	return Net{}, fmt.Errorf("%q is no kind of network (try routed, bridged BRIDGE or none)", s)
}

// Transport is the driver that the guest's network device uses.
type Transport int

const (
	Auto   Transport = iota // what the image has, vector first
	Vector                  // vec0:transport=tap, kernels from 4.18
	Tuntap                  // eth0=tuntap, kernels to 6.15
	FD                      // vec0:transport=fd: the start opens the TAP
)

func (t Transport) String() string {
	return [...]string{"auto", "vector", "tuntap", "fd"}[t]
}

func parseTransport(s string) (Transport, error) {
	for t := Auto; t <= FD; t++ {
		if s == t.String() {
			return t, nil
		}
	}
	return 0, fmt.Errorf("%q is no transport (try auto, vector, tuntap or fd)", s)
}

// Seccomp is what a system call meets that no kernel has use for.
type Seccomp int

const (
	SeccompOn   Seccomp = iota // it fails with EPERM
	SeccompKill                // it ends the process
	SeccompLog                 // it is done, and in the host's audit log
	SeccompOff                 // it is done
)

func (s Seccomp) String() string {
	return [...]string{"on", "kill", "log", "off"}[s]
}

func parseSeccomp(s string) (Seccomp, error) {
	for v := SeccompOn; v <= SeccompOff; v++ {
		if s == v.String() {
			return v, nil
		}
	}
	return 0, fmt.Errorf("%q is no way to filter system calls (try on, kill, log or off)", s)
}

// A Disc is one of the guest's block devices.
type Disc struct {
	N        int    // /dev/ubdN, also /dev/ubda for 0 and so on
	File     string // below the jail, or an absolute path on the host if ReadOnly
	Backing  string // likewise; the disc is then a COW file on it (paper 5.1)
	ReadOnly bool
	Sync     bool // host file opened O_SYNC
	NoTrim   bool
	Optional bool // not set: there only if the file is
}

// Letter is the n in /dev/ubdn.
func (d Disc) Letter() string { return string(rune('a' + d.N)) }

func parseDisc(n int, s string) (Disc, error) {
	d := Disc{N: n}
	fields := strings.Fields(s)
	for _, f := range fields[1:] {
		flags, ok := strings.CutPrefix(f, "flags=")
		if !ok {
			return d, fmt.Errorf("%q: a disc is FILE or COWFILE,BACKINGFILE, then flags=r; a name cannot hold a space", s)
		}
		for _, c := range flags {
			switch c {
			case 'r':
				d.ReadOnly = true
			case 's':
				d.Sync = true
			case 't':
				d.NoTrim = true
			case 'd': // always given for a raw disc
			default:
				return d, fmt.Errorf("%q: no flag %q (try r, s or t)", s, c)
			}
		}
	}
	file, backing, cow := strings.Cut(fields[0], ",")
	d.File, d.Backing = file, backing
	if err := checkPath(file, d.ReadOnly); err != nil {
		return d, err
	}
	if cow {
		if err := checkPath(backing, true); err != nil {
			return d, err
		}
	}
	return d, nil
}

// checkPath takes a file's name as the kernel gets it. The kernel takes its
// arguments apart at spaces, commas and colons, so no name may hold one.
func checkPath(s string, absolute bool) error {
	for _, r := range s {
		if r <= ' ' || r > '~' || strings.ContainsRune(`,:"'\`, r) {
			return fmt.Errorf("%q: the kernel cannot be given a name with %q in it", s, r)
		}
	}
	if path.IsAbs(s) {
		if !absolute {
			return fmt.Errorf("%q: a disc that is written lies in the jail (try ubd0)", s)
		}
		if s != path.Clean(s) || s == "/" {
			return fmt.Errorf("%q is not a plain absolute path", s)
		}
		return nil
	}
	if s != path.Clean(s) || !filepath.IsLocal(s) || s == "." {
		return fmt.Errorf("%q is not a name in the jail (try ubd0)", s)
	}
	return nil
}

// A Channel says what one of the guest's terminals is on the host (paper 2.3).
type Channel struct {
	Device string // con, con0, ssl3: con and ssl alone are the rest
	Value  string // IN[,OUT] in the kernel's own syntax
}

// Terminal says whether the channel is a terminal of its own, which the start makes.
// For con and ssl alone, of which each may be many, the kernel makes them.
func (c Channel) Terminal() bool {
	_, n := numberedName(c.Device)
	return n >= 0 && c.Value == "pts"
}

func parseChannel(s string) error {
	in, out, two := strings.Cut(s, ",")
	if two && !(oneChannel(in) && oneChannel(out)) || !two && !oneChannel(in) {
		return fmt.Errorf("%q is no channel that the jail has (try null, pts, fd:1, or null,fd:1)", s)
	}
	return nil
}

// The kernel's other channels cannot work: there is no BSD pty on today's hosts,
// and neither a terminal, an X server nor in.telnetd in the jail.
func oneChannel(s string) bool {
	switch s {
	case "null", "none", "pts", "fd:0", "fd:1", "fd:2":
		return true
	}
	return false
}

// plain says whether s is [A-Za-z0-9][A-Za-z0-9._-]* of at most most bytes. No
// regular expression: to compile one costs every start more than to read all
// settings does.
func plain(s string, most int) bool {
	for i := range len(s) {
		if !wordByte(s[i]) && (i == 0 || s[i] != '.' && s[i] != '-') || i == 0 && s[i] == '_' {
			return false
		}
	}
	return s != "" && len(s) <= most
}

// wordByte is a regular expression's \w.
func wordByte(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || c == '_'
}

// CheckName takes a machine's NAME, which becomes umid, TAP and account.
func CheckName(s string) error {
	if !plain(s, 63) {
		return fmt.Errorf("%q is no machine name (letters, digits, then also . _ -, at most 63)", s)
	}
	return nil
}

func checkArg(s string) error {
	if err := checkWord(s); err != nil {
		return err
	}
	if reserved(s) {
		return fmt.Errorf("%q: the start makes this argument from the settings", s)
	}
	return nil
}

// checkWord refuses what would end a kernel argument, or never reach the kernel.
func checkWord(s string) error {
	for _, r := range s {
		if r <= ' ' || r > '~' || r == '"' {
			return fmt.Errorf("%q: a kernel argument cannot hold %q", s, r)
		}
	}
	return nil
}

func parseNumber(s string, low, high int) (int, error) {
	n, err := strconv.Atoi(s)
	if err != nil || n < low || n > high {
		return 0, fmt.Errorf("%q is not a number from %d to %d", s, low, high)
	}
	return n, nil
}

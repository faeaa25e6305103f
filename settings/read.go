package settings

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os/user"
	"path"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"uml/fault"
	"uml/handle"
)

const (
	maxFile  = 64 << 10 // bytes in one setting
	maxFiles = 1000     // names in a settings directory
)

// Read reads the machine directory dir whole. Every fault is permanent and names
// the file, the value and what would be right; all are joined.
func Read(dir *handle.Dir) (*Machine, error) { return readBy(dir, lookup) }

// Read is Read for who reads many machines. Of the account only the user's id is
// looked up.
func (a *Accounts) Read(dir *handle.Dir) (*Machine, error) { return readBy(dir, a.find) }

func readBy(dir *handle.Dir, account func(name string) (Account, error)) (*Machine, error) {
	real, err := dir.Real()
	if err != nil {
		return nil, err
	}
	m := &Machine{Dir: dir.Path, Real: real, Name: path.Base(real)}
	if err := CheckName(m.Name); err != nil {
		return nil, fault.SettingBad.Permanent("%s: %w", real, err)
	}
	m.defaults()
	faults := readDir(dir, "settings", func(name string, lines []string) error {
		return m.set(name, lines)
	}, known)
	// What follows from a setting that could not be read would be a guess, and its
	// faults would seem to last.
	if err := errors.Join(faults...); err != nil && fault.Code(err) == fault.MayPass {
		return m, err
	}
	for _, err := range []error{m.checkMem(), m.checkSeccomp(), m.finish(dir, account), m.checkNet(), m.syncDiscs()} {
		if err != nil {
			faults = append(faults, err)
		}
	}
	return m, errors.Join(faults...)
}

func (m *Machine) defaults() {
	m.User.Name = m.Name
	m.Mem = 64 * mib
	m.Net.Kind = -1
	m.Root = "/dev/ubda"
	m.Kernel = "linux"
	m.NoFile = 1024
	m.NProc = 4096
	m.Priority = 50
	m.CPU.Weight, m.IO.Weight = DefaultWeight, DefaultWeight
	m.Overhead, m.PIDs = -1, -1 // follow from mem and nproc
	for n := range 8 {
		m.Discs = append(m.Discs, Disc{N: n, File: "ubd" + strconv.Itoa(n), Optional: true})
	}
	m.Channels = []Channel{{"con", "null"}, {"con0", "null,fd:1"}, {"con1", "pts"}, {"ssl", "null"}}
}

// known says whether a file of this name is a machine's setting.
func known(name string) bool {
	switch name {
	case "user", "mem", "mem-min", "swap", "ip4", "ip6", "net", "mac", "tap", "transport", "root", "kernel", "args", "seccomp", "nofile", "nproc", "nice", "priority", "spoof", "isolated", "lock", "cow-unsafe", "cow-mend", "initrd", "sync", "cpu", "io", "overhead", "pids", "cgroup":
		return true
	}
	stem, n := numberedName(name)
	switch stem {
	case "ubd":
		return n >= 0 && n < 8
	case "con":
		return n < 16
	case "ssl":
		return n < 64
	}
	return false
}

// numberedName takes "con12" apart; n is -1 for a bare name.
func numberedName(name string) (stem string, n int) {
	stem = strings.TrimRight(name, "0123456789")
	if stem == name {
		return stem, -1
	}
	n, err := strconv.Atoi(name[len(stem):])
	if err != nil || stem+strconv.Itoa(n) != name {
		return "", -1
	}
	return stem, n
}

func (m *Machine) set(name string, lines []string) error {
	switch name {
	case "cpu", "io", "overhead", "pids":
		if len(lines) > 0 { // an empty one asks for no bound
			m.shares = append(m.shares, name)
		}
	}
	switch name {
	case "user":
		m.User.Name = "" // until it is known to be good: no fault twice
	case "ip4":
		return setPrefixes(&m.IP4, lines, parseIP4)
	case "ip6":
		if err := setPrefixes(&m.IP6, lines, parseIP6); err != nil {
			return err
		}
		if len(m.IP6) > 0 && m.IP6[0].Bits() != 64 && m.IP6[0].Bits() != 128 {
			return fmt.Errorf("%q: the first prefix is the one on the link, a /64", m.IP6[0])
		}
		return nil
	case "args":
		return setList(&m.Args, lines, func(s string) (string, error) { return s, checkArg(s) })
	case "sync":
		return m.setSync(lines)
	case "cpu":
		return m.setCPU(lines)
	case "io":
		return m.setIO(lines)
	}
	if len(lines) > 1 {
		return fmt.Errorf("%d values, %q and more: this setting takes one", len(lines), lines[0])
	}
	if len(lines) == 0 {
		return m.setNone(name)
	}
	return m.setOne(name, lines[0])
}

// setNone takes an empty file, which means "none" where there can be none.
func (m *Machine) setNone(name string) error {
	stem, n := numberedName(name)
	switch {
	case name == "swap":
		m.Swap = 0
	case name == "mem-min":
		m.MemMin = 0
	case name == "net":
		m.Net.Kind = None
	case name == "root":
		m.Root = ""
	case name == "initrd":
		m.NoInitrd = true
	case name == "overhead":
		m.Overhead = 0
	case name == "pids":
		m.PIDs = 0
	case stem == "ubd":
		m.Discs = slices.DeleteFunc(m.Discs, func(d Disc) bool { return d.N == n })
	case stem == "con" || stem == "ssl":
		m.setChannel(name, "none")
	default:
		return errEmpty
	}
	return nil
}

var errEmpty = errors.New("is empty, and cannot be none (remove the file for the default)")

func (m *Machine) setOne(name, v string) (err error) {
	switch name {
	case "user":
		m.User.Name = v
	case "mem":
		m.Mem, err = parseMem(v)
	case "mem-min":
		m.MemMin, err = parseMem(v)
	case "swap":
		m.Swap, err = ParseSize(v)
		if err == nil && (m.Swap < 40*kib || m.Swap%(4*kib) != 0 || m.Swap > 8*tib) {
			err = fmt.Errorf("%q is no size of a swap (40K to 8T, whole pages of 4K)", v)
		}
	case "net":
		m.Net, err = parseNet(v)
		m.noNet = err != nil
	case "spoof":
		m.Spoof, err = parseSpoof(v)
		m.ofBridged = append(m.ofBridged, name)
	case "isolated":
		m.Isolated, err = parseYes(v)
		m.ofBridged = append(m.ofBridged, name)
	case "lock":
		m.Lock, err = parseYes(v)
	case "mac":
		m.MAC, err = parseMAC(v)
	case "tap":
		m.TAP, err = v, checkInterface(v)
	case "transport":
		m.Transport, err = parseTransport(v)
	case "root":
		m.Root, err = v, checkWord(v)
	case "kernel":
		m.Kernel, err = v, checkPath(v, true)
	case "initrd":
		m.Initrd, err = v, checkPath(v, true)
	case "cow-unsafe":
		m.CowUnsafe, err = parseCowUnsafe(v)
	case "cow-mend":
		m.CowMend, err = parseYes(v)
	case "seccomp":
		m.Seccomp, err = parseSeccomp(v)
	case "nofile":
		m.NoFile, err = parseNumber(v, 64, 1<<20)
	case "nproc":
		m.NProc, err = parseNumber(v, 16, 1<<22)
	case "overhead":
		m.Overhead, err = ParseSize(v)
		if err == nil && (m.Overhead < 16*mib || m.Overhead > 64*tib) {
			err = fmt.Errorf("%q: a kernel needs 16M beside its guest's RAM, and no host has more than 64T", v)
		}
	case "pids":
		m.PIDs, err = parseNumber(v, kernelThreads, 1<<22)
	case "cgroup":
		m.Groups, err = parseGroups(v)
	case "nice":
		m.Nice, err = parseNumber(v, -20, 19)
	case "priority":
		m.Priority, err = parseNumber(v, 0, 99)
	default:
		stem, n := numberedName(name)
		if stem == "ubd" {
			m.Discs[slices.IndexFunc(m.Discs, func(d Disc) bool { return d.N == n })], err = parseDisc(n, v)
			return err
		}
		err = parseChannel(v)
		m.setChannel(name, v)
	}
	return err
}

// parseMem returns 0 for what is none.
func parseMem(v string) (Size, error) {
	s, err := ParseSize(v)
	switch {
	case err != nil:
		return 0, err
	case s < 8*mib:
		return 0, fmt.Errorf("%q is too little for any kernel (try 64M)", v)
	case s > 64*tib:
		return 0, fmt.Errorf("%q is more than any host has", v)
	}
	return s, nil
}

func (m *Machine) checkMem() error {
	if m.Mem > 0 && m.MemMin > m.Mem {
		return fault.Permanent("%s/settings/mem-min: %v is more than mem, %v", m.Dir, m.MemMin, m.Mem)
	}
	return nil
}

func (m *Machine) setChannel(device, value string) {
	i := slices.IndexFunc(m.Channels, func(c Channel) bool { return c.Device == device })
	if i < 0 {
		m.Channels = append(m.Channels, Channel{device, value})
		return
	}
	m.Channels[i].Value = value
}

// finish makes the defaults that follow from other settings.
func (m *Machine) finish(dir *handle.Dir, account func(name string) (Account, error)) error {
	if m.Net.Kind < 0 {
		m.Net.Kind = None
		if len(m.IP4)+len(m.IP6) > 0 {
			m.Net.Kind = Routed
		}
	}
	if m.MAC == nil {
		m.MAC = m.defaultMAC()
	}
	m.finishShares()
	slices.SortStableFunc(m.Channels, func(a, b Channel) int {
		as, an := numberedName(a.Device)
		bs, bn := numberedName(b.Device)
		return strings.Compare(as, bs)*1000 + an - bn
	})
	if m.User.Name == "" {
		return nil // said already
	}
	user, err := account(m.User.Name)
	if err != nil {
		return fmt.Errorf("%s: %w", dir.Join("settings/user"), err)
	}
	m.User = user
	m.setTAP()
	return nil
}

func (m *Machine) setTAP() {
	switch {
	case m.TAP != "":
	case m.namesTAP():
		m.TAP = "tap_" + m.Name
	default:
		m.TAP = fmt.Sprintf("tap_%x", m.User.UID)
	}
}

// namesTAP says whether the name is short enough for that of an interface.
func (m *Machine) namesTAP() bool { return len("tap_"+m.Name) < unix.IFNAMSIZ }

// defaultMAC is the same on every host: from the first IPv4 address, which no
// other guest of the segment has, else from the name.
func (m *Machine) defaultMAC() net.HardwareAddr {
	if len(m.IP4) > 0 {
		a := m.IP4[0].Addr().As4()
		return net.HardwareAddr{0xfe, 0xfd, a[0], a[1], a[2], a[3]}
	}
	h := sha256.Sum256([]byte(m.Name))
	return net.HardwareAddr{0xfe, 0xfe, h[0], h[1], h[2], h[3]}
}

func lookup(name string) (Account, error) {
	u, err := user.Lookup(name)
	if err != nil && !errors.Is(err, user.UnknownUserError(name)) {
		return Account{}, fault.Temporary("cannot look up the account %q: %w", name, err)
	}
	if err != nil {
		return Account{}, fault.AccountMissing.Permanent("no account %q (try: useradd --system --user-group --shell /usr/sbin/nologin %s)", name, name)
	}
	uid, err := strconv.Atoi(u.Uid)
	if err != nil {
		return Account{}, err
	}
	gid, err := strconv.Atoi(u.Gid)
	if err != nil {
		return Account{}, err
	}
	if uid == 0 || gid == 0 {
		return Account{}, fault.SettingBad.Permanent("%q is root or of root's group: a guest never runs as that", name)
	}
	return Account{name, uid, gid}, nil
}

// maxPrefixes bounds what one machine can claim; each address costs a start some
// system calls.
const maxPrefixes = 256

func setPrefixes(to *[]netip.Prefix, lines []string, parse func(string) (netip.Prefix, error)) error {
	if len(lines) > maxPrefixes {
		return fmt.Errorf("%d lines: a machine has at most %d (a block is one)", len(lines), maxPrefixes)
	}
	if err := setList(to, lines, parse); err != nil {
		return err
	}
	for i, p := range *to {
		for _, q := range (*to)[:i] {
			if p.Overlaps(q) {
				return fmt.Errorf("%q overlaps %q", p, q)
			}
		}
	}
	return nil
}

func setList[T comparable](to *[]T, lines []string, parse func(string) (T, error)) error {
	var errs []error
	seen := map[T]bool{}
	for _, l := range lines {
		v, err := parse(l)
		if err == nil && seen[v] {
			err = fmt.Errorf("%q stands twice", l)
		}
		if err != nil {
			errs = append(errs, err)
			continue
		}
		seen[v] = true
		*to = append(*to, v)
	}
	return errors.Join(errs...)
}

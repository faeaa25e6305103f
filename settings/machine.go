// Package settings reads what a machine's directory and the host's say. It
// reads once, from descriptors, checks everything, reports all faults together,
// and changes nothing. It does not look at what the settings name: whether a
// disc, an account's TAP or an interface is there is found by those who use it.
package settings

import (
	"crypto/sha256"
	"net"
	"net/netip"
	"path"
	"strings"

	"uml/fault"
)

// An Account is the user that a guest kernel runs as.
type Account struct {
	Name     string
	UID, GID int
}

// A Machine is one guest's settings, all of them checked (paper 3.2).
type Machine struct {
	Dir  string // the machine directory as it was named, for messages
	Real string // its absolute path without links
	Name string // last component of Real

	User      Account
	Mem       Size // guest RAM
	MemMin    Size // uml-balance takes the guest no further down; 0: it takes nothing
	Lock      bool // guest RAM is never swapped out by the host (paper 5.4)
	Swap      Size // 0: none
	IP4       []netip.Prefix
	IP6       []netip.Prefix // the first is the /64 on the link, if any
	Net       Net
	MAC       net.HardwareAddr // the guest's end of the TAP
	TAP       string
	Spoof     bool // a bridged guest may use any address
	Isolated  bool // a bridged guest does not reach other isolated ports
	Transport Transport
	Discs     []Disc // by N
	CowUnsafe bool   // a COW disc that the guest's kernel may read wrongly is given to it
	CowMend   bool   // half-written pages of COW discs are filled at each start
	Root      string // "": no root= argument
	Channels  []Channel
	Kernel    string // below the jail, or an absolute path on the host
	Initrd    string // likewise; "": the one beside the kernel, if there is one
	NoInitrd  bool   // not that either
	Args      []string
	Seccomp   Seccomp
	NoFile    int // RLIMIT_NOFILE
	NProc     int // RLIMIT_NPROC: one host process for each guest address space
	Nice      int
	Priority  int // 0 to 99: of starts that wait for each other, the higher first

	Groups   Groups
	CPU      CPUShare
	IO       IOShare
	Overhead Size // memory that it and its kernel may take of the host's besides Mem; 0: any
	PIDs     int  // processes and threads; 0: any

	noNet     bool         // settings/net is at fault
	shares    []string     // settings about shares that are there
	ofBridged []string     // settings that are there, and for bridged machines only
	sync      map[int]bool // by disc, and for allDiscs; nil: no
}

// HandsOver says whether the guest inherits its TAP, opened, in place of opening
// it by name in the host's network namespace.
func (m *Machine) HandsOver() bool { return m.Net.Kind != None && m.Transport == FD }

// Machines is the directory that all machines of this one's root lie in.
func (m *Machine) Machines() string { return path.Dir(m.Real) }

// NoStart is the file that keeps every machine of this root down (paper 3.4).
func (m *Machine) NoStart() string { return path.Dir(m.Real) + "-nostart" }

// GuestSeccomp is what args say of the kernel's own argument seccomp=, by which it
// runs its guest's processes in place of ptrace: on, auto or off; "" if nothing.
func (m *Machine) GuestSeccomp() (value string) {
	for _, a := range m.Args {
		if v, ok := strings.CutPrefix(a, "seccomp="); ok {
			value = v // the kernel takes the last
		}
	}
	return value
}

// UnderSeccomp says whether the kernel may run its guest's processes that way.
func (m *Machine) UnderSeccomp() bool {
	v := m.GuestSeccomp()
	return v == "on" || v == "auto"
}

// checkSeccomp: of two filters that judge a call the harsher wins, so that of the
// jail would end a guest's process for what the kernel's own is to hand over.
func (m *Machine) checkSeccomp() error {
	if m.Seccomp == SeccompKill && m.UnderSeccomp() {
		return fault.SettingBad.Permanent("%s/settings/seccomp: \"kill\" cannot be with seccomp=%s in settings/args: it would end the guest's own processes (try on)", m.Dir, m.GuestSeccomp())
	}
	return nil
}

// Addresses4 lists every single IPv4 address, blocks taken apart.
func (m *Machine) Addresses4() []netip.Addr {
	var all []netip.Addr
	for _, p := range m.IP4 {
		for a := p.Addr(); p.Contains(a); a = a.Next() {
			all = append(all, a)
		}
	}
	return all
}

// Addresses lists every single address that the guest is known to have: of IPv4
// each, of IPv6 ::2 of each prefix, and in the /64 on the link the one that it makes
// for itself. On a bridge each /64 is its segment's, in which it has that one only.
func (m *Machine) Addresses() []netip.Addr {
	all := m.Addresses4()
	for i := range m.IP6 {
		all = append(all, m.Addresses6(i)...)
	}
	return all
}

// Addresses6 are those of prefix i.
func (m *Machine) Addresses6(i int) []netip.Addr {
	p := m.IP6[i]
	if m.Net.Kind == Bridged && p.Bits() == 128 {
		return []netip.Addr{p.Addr()}
	}
	if m.Net.Kind == Bridged {
		return []netip.Addr{m.Autoconfigured(p)}
	}
	if i == 0 {
		return []netip.Addr{Router(p), m.Autoconfigured(p)}
	}
	return []netip.Addr{Router(p)}
}

// HostMAC is the hardware address of the host's end of the TAP: fixed, and the
// same on every host, so that a guest's neighbour cache stays true when it moves
// (paper 2.2.3).
func (m *Machine) HostMAC() net.HardwareAddr {
	h := sha256.Sum256(m.MAC)
	return net.HardwareAddr{0xfe, 0xff, h[0], h[1], h[2], h[3]}
}

// Autoconfigured is the address that the guest makes for itself in a /64 from
// its hardware address (RFC 4291 appendix A).
func (m *Machine) Autoconfigured(p netip.Prefix) netip.Addr {
	b := p.Addr().As16()
	copy(b[8:], []byte{m.MAC[0] ^ 2, m.MAC[1], m.MAC[2], 0xff, 0xfe, m.MAC[3], m.MAC[4], m.MAC[5]})
	return netip.AddrFrom16(b)
}

// Gateway is the host's address in a /64, ::1 (paper 4.3.2).
func Gateway(p netip.Prefix) netip.Addr { return numbered(p, 1) }

// Router is the guest's address in its /64 through which its further prefixes
// are routed, ::2 (paper 4.3.2).
func Router(p netip.Prefix) netip.Addr { return numbered(p, 2) }

func numbered(p netip.Prefix, n byte) netip.Addr {
	b := p.Masked().Addr().As16()
	b[15] = n
	return netip.AddrFrom16(b)
}

// Locate is the machine directory that a command's NAME means: a name in the
// machines root, or with a slash in it a path.
func Locate(machines, name string) (string, error) {
	if strings.Contains(name, "/") {
		return name, nil
	}
	if err := CheckName(name); err != nil {
		return "", fault.Usage.Permanent("%w", err)
	}
	return path.Join(machines, name), nil
}

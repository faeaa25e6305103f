package runscript

import (
	"bufio"
	"bytes"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"

	"uml/netsetup"
)

// Known is what this host knows of those on its external interface: its neighbour
// table, /etc/ethers and /etc/hosts. Nobody is asked for a name: a name server
// that is down would hold the start up.
type Known struct {
	external   string
	neighbours []netsetup.Neighbour
	ethers     []line // hardware address, name
	hosts      []line // address, names
}

type line struct {
	key   string
	names []string
}

// KnownOn looks. Of the addresses that were asked the table knows only what their
// answers taught it. What cannot be read is not known.
func KnownOn(external *netsetup.Interface, asked []netip.Addr) *Known {
	k := &Known{external: external.Name, ethers: lines("/etc/ethers"), hosts: lines("/etc/hosts")}
	all, _ := netsetup.Neighbours(external.Index)
	k.neighbours = slices.DeleteFunc(all, func(n netsetup.Neighbour) bool { return slices.Contains(asked, n.Address) })
	slices.SortFunc(k.neighbours, func(a, b netsetup.Neighbour) int { return a.Address.Compare(b.Address) })
	return k
}

// lines reads a table of hosts(5) or ethers(5).
func lines(path string) (all []line) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil
	}
	for s := bufio.NewScanner(bytes.NewReader(text)); s.Scan(); {
		words, _, _ := strings.Cut(s.Text(), "#")
		if f := strings.Fields(words); len(f) > 1 {
			all = append(all, line{f[0], f[1:]})
		}
	}
	return all
}

// who is the hardware address's host: the names of it that the host has, and of
// the addresses that it has itself the first few.
func (k *Known) who(mac net.HardwareAddr) string {
	names := k.named(mac)
	var addresses []string
	for _, n := range k.neighbours {
		if !bytes.Equal(n.MAC, mac) {
			continue
		}
		if len(addresses) < 3 { // of a host with many guests
			addresses = append(addresses, n.Address.String())
		}
		for _, l := range k.hosts {
			if a, err := netip.ParseAddr(l.key); err == nil && a == n.Address {
				names = append(names, l.names[0])
			}
		}
	}
	slices.Sort(names)
	return strings.Join(append(slices.Compact(names), addresses...), ", ")
}

func (k *Known) named(mac net.HardwareAddr) (names []string) {
	for _, l := range k.ethers {
		if m, err := net.ParseMAC(l.key); err == nil && bytes.Equal(m, mac) { // ethers(5) may leave zeros out; few do
			names = append(names, l.names[0])
		}
	}
	return names
}

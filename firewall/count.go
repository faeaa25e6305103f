package firewall

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// The counts are elements of an ipset, a source address and an interface each. An
// element lives for a day. A guest that forges random sources fills the set: where
// the kernel honours forceadd, old elements make room (6.18 does not); else what is
// new is dropped uncounted. Of one source at most 64 interfaces are counted. So a
// count is what was forged at least.
const (
	CountType     = "hash:net,iface"
	countRevision = 5 // the first with forceadd (3.14)
	countSize     = 16384
	countTimeout  = 86400
)

func (f family) counts() string { return map[family]string{four: "uml-forged4", six: "uml-forged6"}[f] }

// A Source is one from which a guest has sent forged packets.
type Source struct {
	Address        netip.Addr
	Packets, Bytes uint64

	prefix uint8
	family family
	iface  string
}

// Forged lists what guests have forged, by their interface, the most first.
func Forged() (map[string][]Source, error) {
	n, err := dial()
	if err != nil {
		return nil, err
	}
	defer n.Close()
	all := map[string][]Source{}
	for _, f := range families() {
		some, err := n.elements(f, f.counts())
		if err != nil {
			return nil, fmt.Errorf("list ipset %s: %w", f.counts(), err)
		}
		for _, s := range some {
			all[s.iface] = append(all[s.iface], s)
		}
	}
	for _, list := range all {
		slices.SortStableFunc(list, func(a, b Source) int { return cmp.Compare(b.Packets, a.Packets) })
	}
	return all, nil
}

// Forget takes the counts of an interface away.
func Forget(iface string) error {
	all, err := Forged()
	if err != nil || len(all[iface]) == 0 {
		return err
	}
	n, err := dial()
	if err != nil {
		return err
	}
	defer n.Close()
	for _, s := range all[iface] {
		if err := n.forget(s); err != nil && !absent(err) {
			return fmt.Errorf("ipset del %s %v,%s: %w", s.family.counts(), s.Address, iface, err)
		}
	}
	return nil
}

func (n netfilter) elements(f family, set string) (all []Source, err error) {
	msgs, err := n.ipset(nl.IPSET_CMD_LIST, unix.NLM_F_DUMP, f, set)
	if none(err) {
		return nil, nil
	}
	for _, m := range msgs {
		list, _ := nl.ParseRouteAttr(attributes(m[nl.SizeofNfgenmsg:])[nl.IPSET_ATTR_ADT])
		for _, e := range list {
			all = append(all, f.source(attributes(e.Value)))
		}
	}
	return all, err
}

func (f family) source(attrs map[uint16][]byte) Source {
	s := Source{family: f, iface: text(attrs[nl.IPSET_ATTR_IFACE])}
	for _, ip := range attributes(attrs[nl.IPSET_ATTR_IP]) {
		s.Address, _ = netip.AddrFromSlice(ip)
	}
	if v := attrs[nl.IPSET_ATTR_CIDR]; len(v) == 1 {
		s.prefix = v[0]
	}
	s.Packets, s.Bytes = number(attrs[nl.IPSET_ATTR_PACKETS]), number(attrs[nl.IPSET_ATTR_BYTES])
	return s
}

func number(b []byte) uint64 {
	if len(b) != 8 {
		return 0
	}
	return binary.BigEndian.Uint64(b)
}

func (n netfilter) forget(s Source) error {
	data := entryOf(netip.PrefixFrom(s.Address, int(s.prefix)))
	data.AddRtAttr(nl.IPSET_ATTR_IFACE, nl.ZeroTerminated(s.iface))
	_, err := n.ipset(nl.IPSET_CMD_DEL, unix.NLM_F_ACK, s.family, s.family.counts(), data)
	return err
}

// Summary is the counts for a person: how many, and the sources with the most.
func Summary(all []Source) string {
	const most = 3
	var packets, bytes uint64
	var named []string
	for i, s := range all {
		packets, bytes = packets+s.Packets, bytes+s.Bytes
		if i < most {
			named = append(named, fmt.Sprintf("%d from %v", s.Packets, s.Address))
		}
	}
	if len(all) > most {
		named = append(named, fmt.Sprintf("the rest from %d more", len(all)-most))
	}
	return fmt.Sprintf("%d packets (%d bytes): %s", packets, bytes, strings.Join(named, ", "))
}

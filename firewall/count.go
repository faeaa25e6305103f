package firewall

import (
	"cmp"
	"encoding/binary"
	"errors"
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
	SetType     = "hash:net,iface"
	setRevision = 5 // the first with forceadd (3.14)
	setSize     = 16384
	setTimeout  = 86400

	withCounters = 1 << 3 // IPSET_FLAG_WITH_COUNTERS
	withForceadd = 1 << 5 // IPSET_FLAG_WITH_FORCEADD
)

func (f family) createText() string {
	inet := map[family]string{four: "inet", six: "inet6"}[f]
	return fmt.Sprintf("ipset -exist create %s %s family %s counters forceadd maxelem %d timeout %d", f.set(), SetType, inet, setSize, setTimeout)
}

// A Source is one from which a guest has sent forged packets.
type Source struct {
	Address        netip.Addr
	Packets, Bytes uint64

	prefix uint8
	family family
	iface  string
}

// Forged lists what the interface's guest has forged, the most first.
func Forged(iface string) (all []Source, err error) {
	n, err := dial()
	if err != nil {
		return nil, err
	}
	defer n.Close()
	for _, f := range families() {
		some, err := n.sources(f, iface)
		if err != nil {
			return nil, fmt.Errorf("list ipset %s: %w", f.set(), err)
		}
		all = append(all, some...)
	}
	slices.SortStableFunc(all, func(a, b Source) int { return cmp.Compare(b.Packets, a.Packets) })
	return all, nil
}

// Forget takes the counts of an interface away.
func Forget(iface string) error {
	all, err := Forged(iface)
	if err != nil || len(all) == 0 {
		return err
	}
	n, err := dial()
	if err != nil {
		return err
	}
	defer n.Close()
	for _, s := range all {
		if err := n.forget(s); err != nil && !errors.Is(err, unix.ENOENT) && !errors.Is(err, errExist) {
			return fmt.Errorf("ipset del %s %v,%s: %w", s.family.set(), s.Address, iface, err)
		}
	}
	return nil
}

// errExist is IPSET_ERR_EXIST: to a deletion, that there is none.
const errExist = unix.Errno(4103)

func (n netfilter) ipset(kind int, flags uint16, f family, attrs ...*nl.RtAttr) ([][]byte, error) {
	attrs = append([]*nl.RtAttr{
		nl.NewRtAttr(nl.IPSET_ATTR_PROTOCOL, []byte{nl.IPSET_PROTOCOL}),
		nl.NewRtAttr(nl.IPSET_ATTR_SETNAME, nl.ZeroTerminated(f.set())),
	}, attrs...)
	return n.request(unix.NFNL_SUBSYS_IPSET, kind, flags, f, attrs...)
}

// create makes the set, or finds it made alike.
func (n netfilter) create(f family) error {
	data := nl.NewRtAttr(nl.IPSET_ATTR_DATA|unix.NLA_F_NESTED, nil)
	data.AddRtAttr(nl.IPSET_ATTR_MAXELEM|unix.NLA_F_NET_BYTEORDER, big(setSize))
	data.AddRtAttr(nl.IPSET_ATTR_TIMEOUT|unix.NLA_F_NET_BYTEORDER, big(setTimeout))
	data.AddRtAttr(nl.IPSET_ATTR_CADT_FLAGS|unix.NLA_F_NET_BYTEORDER, big(withCounters|withForceadd))
	_, err := n.ipset(nl.IPSET_CMD_CREATE, unix.NLM_F_ACK|unix.NLM_F_CREATE, f,
		nl.NewRtAttr(nl.IPSET_ATTR_TYPENAME, nl.ZeroTerminated(SetType)),
		nl.NewRtAttr(nl.IPSET_ATTR_REVISION, []byte{setRevision}),
		nl.NewRtAttr(nl.IPSET_ATTR_FAMILY, []byte{byte(f)}),
		data)
	return err
}

func (n netfilter) sources(f family, iface string) (all []Source, err error) {
	msgs, err := n.ipset(nl.IPSET_CMD_LIST, unix.NLM_F_DUMP, f)
	if none(err) {
		return nil, nil
	}
	for _, m := range msgs {
		list, _ := nl.ParseRouteAttr(attributes(m[nl.SizeofNfgenmsg:])[nl.IPSET_ATTR_ADT])
		for _, e := range list {
			s := f.source(attributes(e.Value))
			if s.iface == iface {
				all = append(all, s)
			}
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
	data := nl.NewRtAttr(nl.IPSET_ATTR_DATA|unix.NLA_F_NESTED, nil)
	kind := map[family]int{four: nl.IPSET_ATTR_IPADDR_IPV4, six: nl.IPSET_ATTR_IPADDR_IPV6}[s.family]
	data.AddRtAttr(nl.IPSET_ATTR_IP|unix.NLA_F_NESTED, nil).AddRtAttr(kind|unix.NLA_F_NET_BYTEORDER, s.Address.AsSlice())
	data.AddRtAttr(nl.IPSET_ATTR_CIDR, []byte{s.prefix})
	data.AddRtAttr(nl.IPSET_ATTR_IFACE, nl.ZeroTerminated(s.iface))
	_, err := n.ipset(nl.IPSET_CMD_DEL, unix.NLM_F_ACK, s.family, data)
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

package netsetup

import (
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// A link is an interface with what the library leaves out: whether a TAP has a
// group at all, which to the kernel is not the same as group 0.
type link struct {
	Index, Master int
	Lower         int // the interface that a VLAN or macvlan lies on
	Name, Alias   string
	Kind          string // "tun", "veth"; "": a real one
	AltNames      []string
	MAC           net.HardwareAddr
	Flags         uint32
	State         uint8 // RFC 2863, as the kernel numbers it
	PortState     uint8 // of a bridge's port
	MTU           int
	LinkGroup     uint32            // ip link set group
	Port          map[uint16][]byte // IFLA_BRPORT_*, of a bridge's port

	TAP          bool
	Owner, Group int // -1: none
	Persist      bool
	MultiQueue   bool
}

// link looks up one interface by name or by one of its other names. No such: nil.
func (c *conn) link(name string) (*link, error) {
	kind := unix.IFLA_IFNAME
	if len(name) >= unix.IFNAMSIZ {
		kind = unix.IFLA_ALT_IFNAME
	}
	l, err := c.getLink(0, nl.NewRtAttr(kind, nl.ZeroTerminated(name)))
	if kind == unix.IFLA_ALT_IFNAME && errors.Is(err, unix.EINVAL) { // before 5.5: no such names
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("look up interface %s: %w", name, err)
	}
	return l, nil
}

func (c *conn) linkAt(index int) (*link, error) {
	l, err := c.getLink(index)
	if err != nil {
		return nil, fmt.Errorf("look up interface %d: %w", index, err)
	}
	return l, nil
}

const skipStatistics = 1 << 3 // RTEXT_FILTER_SKIP_STATS

func (c *conn) getLink(index int, more ...nl.NetlinkRequestData) (*link, error) {
	m := nl.NewIfInfomsg(unix.AF_UNSPEC)
	m.Index = int32(index)
	parts := []nl.NetlinkRequestData{m, nl.NewRtAttr(unix.IFLA_EXT_MASK, nl.Uint32Attr(skipStatistics))}
	msgs, err := c.request(unix.RTM_GETLINK, 0, append(parts, more...)...)
	if errors.Is(err, unix.ENODEV) {
		return nil, nil
	}
	if err != nil || len(msgs) == 0 {
		return nil, err
	}
	return parseLink(msgs[0]), nil
}

// links lists all interfaces, or those that the kernel is told to pick.
func (c *conn) links(which ...nl.NetlinkRequestData) (all []*link, err error) {
	parts := []nl.NetlinkRequestData{nl.NewIfInfomsg(unix.AF_UNSPEC), nl.NewRtAttr(unix.IFLA_EXT_MASK, nl.Uint32Attr(skipStatistics))}
	msgs, err := whole(func() ([][]byte, error) {
		return c.request(unix.RTM_GETLINK, unix.NLM_F_DUMP, append(parts, which...)...)
	})
	if err != nil {
		return nil, fmt.Errorf("list interfaces: %w", err)
	}
	for _, b := range msgs {
		all = append(all, parseLink(b))
	}
	return all, nil
}

func parseLink(b []byte) *link {
	m := nl.DeserializeIfInfomsg(b)
	attrs := attributes(b[m.Len():])
	info := attributes(attrs[unix.IFLA_LINKINFO])
	l := &link{
		Index: int(m.Index),
		Flags: m.Flags,
		Name:  text(attrs[unix.IFLA_IFNAME]),
		Alias: text(attrs[unix.IFLA_IFALIAS]),
		MAC:   attrs[unix.IFLA_ADDRESS],
		Kind:  text(info[nl.IFLA_INFO_KIND]),
	}
	if v := attrs[unix.IFLA_MTU]; v != nil {
		l.MTU = int(number(v))
	}
	if v := attrs[unix.IFLA_GROUP]; v != nil {
		l.LinkGroup = number(v)
	}
	if v := attrs[unix.IFLA_OPERSTATE]; len(v) == 1 {
		l.State = v[0]
	}
	if v := attrs[unix.IFLA_MASTER]; v != nil {
		l.Master = int(number(v))
	}
	// A veth says so of its other end, another namespace's interface of its own.
	if v := attrs[unix.IFLA_LINK]; (l.Kind == "vlan" || l.Kind == "macvlan") && attrs[unix.IFLA_LINK_NETNSID] == nil && v != nil {
		l.Lower = int(number(v))
	}
	if text(info[nl.IFLA_INFO_SLAVE_KIND]) == "bridge" {
		l.Port = attributes(info[nl.IFLA_INFO_SLAVE_DATA])
		if v := l.Port[unix.IFLA_BRPORT_STATE]; len(v) == 1 {
			l.PortState = v[0]
		}
	}
	names, _ := nl.ParseRouteAttr(attrs[unix.IFLA_PROP_LIST])
	for _, n := range names {
		l.AltNames = append(l.AltNames, text(n.Value))
	}
	if l.Owner, l.Group = -1, -1; l.Kind == "tun" { // each kind numbers its attributes from 1
		l.parseTAP(attributes(info[nl.IFLA_INFO_DATA]))
	}
	return l
}

func (l *link) parseTAP(data map[uint16][]byte) {
	flag := func(kind uint16) bool { return len(data[kind]) == 1 && data[kind][0] != 0 }
	if v := data[nl.IFLA_TUN_OWNER]; v != nil {
		l.Owner = int(number(v))
	}
	if v := data[nl.IFLA_TUN_GROUP]; v != nil {
		l.Group = int(number(v))
	}
	v := data[nl.IFLA_TUN_TYPE]
	l.TAP = len(v) == 1 && v[0] == unix.IFF_TAP
	l.Persist = flag(nl.IFLA_TUN_PERSIST)
	l.MultiQueue = flag(nl.IFLA_TUN_MULTI_QUEUE)
}

// attrs is l as the library wants it.
func (l *link) attrs() netlink.Link {
	a := netlink.NewLinkAttrs()
	a.Index, a.Name = l.Index, l.Name
	return &netlink.GenericLink{LinkAttrs: a, LinkType: l.Kind}
}

func (l *link) has(altname string) bool {
	for _, n := range l.AltNames {
		if n == altname {
			return true
		}
	}
	return false
}

// opened says whether a process holds the TAP: a tap's carrier is that.
func (l *link) opened() bool { return l.Flags&unix.IFF_LOWER_UP != 0 }

func (l *link) up() bool { return l.Flags&unix.IFF_UP != 0 }

// String is the interface as a message names it: with its machine, or its kind.
func (l *link) String() string {
	if dir, ok := strings.CutPrefix(l.Alias, aliasMark); ok {
		if !l.TAP {
			return fmt.Sprintf("%s, the beacon of machine %s", l.Name, dir)
		}
		return fmt.Sprintf("%s, the TAP of machine %s", l.Name, dir)
	}
	return l.Name + ", " + l.kind()
}

func (l *link) kind() string {
	switch {
	case l.TAP && l.Owner >= 0:
		return fmt.Sprintf("a TAP of user id %d", l.Owner)
	case l.TAP:
		return "a TAP without owner"
	case l.Kind != "":
		return "an interface of kind " + l.Kind
	}
	return "an interface of the host"
}

func text(b []byte) string { return strings.TrimRight(string(b), "\x00") }

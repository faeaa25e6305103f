package netsetup

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"uml/settings"
)

// portSteps make the TAP a port: with the bridge's own MTU, since a bridge takes on
// the smallest of its ports'; and down until all is as it must be.
func (l *look) portSteps(bridge *link) (steps []Step, err error) {
	tap, is := l.m.TAP, l.tap.link
	joins := is == nil || is.Master != bridge.Index
	if joins && is != nil && is.up() {
		steps = append(steps, onLink(fmt.Sprintf("ip link set dev %s down", tap), tap,
			func(c *conn, t netlink.Link) error { return c.LinkSetDown(t) }))
		is.Flags &^= unix.IFF_UP
	}
	if is == nil && bridge.MTU != defaultMTU || is != nil && is.MTU != bridge.MTU {
		steps = append(steps, setMTU(tap, bridge.MTU))
	}
	if joins {
		steps = append(steps, onLink(fmt.Sprintf("ip link set dev %s master %s", tap, bridge.Name), tap,
			func(c *conn, t netlink.Link) error { return c.LinkSetMaster(t, bridge.attrs()) }))
	}
	if f := l.flags(joins); len(f) > 0 {
		steps = append(steps, onLink(fmt.Sprintf("ip link set dev %s type bridge_slave %s", tap, flagText(f)), tap,
			func(c *conn, t netlink.Link) error { return c.setFlags(t.Attrs().Index, f) }))
	}
	more, err := l.forwardSteps(bridge)
	return append(steps, more...), err
}

// A flag is one of a bridge's port.
type flag struct {
	attr uint16
	name string
	size int
	want uint16
}

// portFlags: what comes from a guest never goes back to it (hairpin), nor makes it
// part of the spanning tree. Where its addresses are known, its hardware address
// stands in the bridge's table, which then need not learn from its frames, nor send
// it those for hosts not yet known; broadcast and multicast are what ARP and
// neighbour discovery need. Frames to a switch's own addresses pass the filter only
// if the port forwards them: the kernel else takes them before.
func portFlags(m *settings.Machine) []flag {
	var known, isolated, groups uint16 = 1, 0, 0
	if m.Guarded() {
		known, groups = 0, allGroups
	}
	if m.Isolated {
		isolated = 1
	}
	return []flag{
		{unix.IFLA_BRPORT_MODE, "hairpin", 1, 0},
		{unix.IFLA_BRPORT_GUARD, "guard", 1, 1},
		{unix.IFLA_BRPORT_PROTECT, "root_block", 1, 1},
		{unix.IFLA_BRPORT_LEARNING, "learning", 1, known},
		{unix.IFLA_BRPORT_UNICAST_FLOOD, "flood", 1, known},
		{unix.IFLA_BRPORT_MCAST_FLOOD, "mcast_flood", 1, 1},
		{unix.IFLA_BRPORT_BCAST_FLOOD, "bcast_flood", 1, 1},
		{unix.IFLA_BRPORT_ISOLATED, "isolated", 1, isolated},
		{unix.IFLA_BRPORT_GROUP_FWD_MASK, "group_fwd_mask", 2, groups},
	}
}

// allGroups are 01:80:c2:00:00:00 to 0f but 01, Ethernet's pause, which the kernel
// drops by itself.
const allGroups = 0xfffd

func (f flag) bytes() []byte {
	if f.size == 1 {
		return []byte{byte(f.want)}
	}
	return binary.NativeEndian.AppendUint16(nil, f.want)
}

// flags are those that are not as they must be; all of a port that is to be.
func (l *look) flags(joins bool) (all []flag) {
	for _, f := range portFlags(l.m) {
		if joins || string(l.tap.Port[f.attr]) != string(f.bytes()) {
			all = append(all, f)
		}
	}
	return all
}

func flagText(all []flag) string {
	var words []string
	for _, f := range all {
		value := map[uint16]string{0: "off", 1: "on"}[f.want]
		if f.size > 1 {
			value = fmt.Sprintf("%#x", f.want)
		}
		words = append(words, f.name, value)
	}
	return strings.Join(words, " ")
}

func (c *conn) setFlags(index int, all []flag) error {
	m := nl.NewIfInfomsg(unix.AF_UNSPEC)
	m.Index = int32(index)
	info := nl.NewRtAttr(unix.IFLA_LINKINFO, nil)
	info.AddRtAttr(nl.IFLA_INFO_SLAVE_KIND, nl.ZeroTerminated("bridge"))
	data := info.AddRtAttr(nl.IFLA_INFO_SLAVE_DATA, nil)
	for _, f := range all {
		data.AddRtAttr(int(f.attr), f.bytes())
	}
	_, err := c.request(unix.RTM_NEWLINK, unix.NLM_F_ACK, m, info)
	return err
}

// An entry is one of a bridge's table: the port behind which a hardware
// address is.
type entry struct {
	port   int
	static bool // not learned, but set
}

// forwarded looks the guest's hardware address up in the bridge's table, nil for
// one that is not there.
func (l *look) forwarded(bridge *link) (*entry, error) {
	msgs, err := l.request(unix.RTM_GETNEIGH, 0, fdb(bridge.Index, 0, netlink.NTF_SELF), nl.NewRtAttr(netlink.NDA_LLADDR, l.m.MAC))
	if errors.Is(err, unix.ENOENT) {
		return nil, nil
	}
	if err != nil || len(msgs) == 0 {
		return nil, fmt.Errorf("look up %v on bridge %s: %w", l.m.MAC, bridge.Name, err)
	}
	n, err := netlink.NeighDeserialize(msgs[0])
	if err != nil {
		return nil, err
	}
	return &entry{n.LinkIndex, n.State&(netlink.NUD_NOARP|netlink.NUD_PERMANENT) != 0}, nil
}

// fdb is the struct ndmsg of an entry of a bridge's table.
func fdb(index int, state uint16, flags uint8) raw {
	b := proxy(unix.AF_BRIDGE, index, state)
	b[10] = flags
	return b
}

// forwardSteps put the guest's hardware address into the bridge's table.
func (l *look) forwardSteps(bridge *link) ([]Step, error) {
	if !l.m.Guarded() {
		return l.unforward()
	}
	at, err := l.forwarded(bridge)
	if err != nil || at != nil && at.static && l.tap.link != nil && at.port == l.tap.Index && !l.released {
		return nil, err
	}
	tap, mac := l.m.TAP, l.m.MAC
	return []Step{onLink(fmt.Sprintf("bridge fdb replace %v dev %s master static", mac, tap), tap,
		func(c *conn, t netlink.Link) error {
			_, err := c.request(unix.RTM_NEWNEIGH, unix.NLM_F_ACK|unix.NLM_F_CREATE|unix.NLM_F_REPLACE,
				fdb(t.Attrs().Index, netlink.NUD_NOARP, netlink.NTF_MASTER), nl.NewRtAttr(netlink.NDA_LLADDR, mac))
			return err
		})}, nil
}

// unforward takes the guest's hardware address out of the table of the bridge that
// its TAP is a port of: frames to a guest that has moved to another host would go to
// a TAP that nobody has open.
func (l *look) unforward() (steps []Step, err error) {
	for _, t := range l.ours() {
		if t.Master == 0 || t.Port == nil {
			continue
		}
		bridge, err := l.linkAt(t.Master)
		if err != nil || bridge == nil {
			return nil, err
		}
		at, err := l.forwarded(bridge)
		if err != nil {
			return nil, err
		}
		if at == nil || !at.static || at.port != t.Index {
			continue
		}
		mac, index := l.m.MAC, t.Index
		steps = append(steps, Step{fmt.Sprintf("bridge fdb del %v dev %s master", mac, t.Name), true, func(c *conn) error {
			_, err := c.request(unix.RTM_DELNEIGH, unix.NLM_F_ACK, fdb(index, 0, netlink.NTF_MASTER), nl.NewRtAttr(netlink.NDA_LLADDR, mac))
			return gone(err)
		}})
	}
	return steps, nil
}

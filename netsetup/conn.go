package netsetup

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"uml/guard"
	"uml/settings"
)

// A conn is two netlink sockets of the calling thread's network namespace: the
// library's, and one for the requests that it lacks.
type conn struct {
	*netlink.Handle
	own    map[int]*nl.SocketHandle
	filter *guard.Filter   // nil until it is looked at
	ctx    context.Context // of the steps that run: what may wait for others
}

// dial opens both, ours with strict checking: only then does the kernel (4.20)
// filter dumps by interface itself, instead of sending all 1,000 guests' routes.
// The library's requests would not pass it.
func dial() (*conn, error) {
	h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, err
	}
	s, err := nl.GetNetlinkSocketAt(netns.None(), netns.None(), unix.NETLINK_ROUTE)
	if err != nil {
		h.Close()
		return nil, err
	}
	c := &conn{Handle: h, own: map[int]*nl.SocketHandle{unix.NETLINK_ROUTE: {Socket: s}}}
	// An older kernel answers more than was asked; all answers are filtered here too.
	_ = unix.SetsockoptInt(s.GetFd(), unix.SOL_NETLINK, unix.NETLINK_GET_STRICT_CHK, 1)
	return c, nil
}

func (c *conn) Close() {
	c.Handle.Close()
	c.own[unix.NETLINK_ROUTE].Close()
	if c.filter != nil {
		c.filter.Close()
	}
}

func (c *conn) request(kind uint16, flags uint16, parts ...nl.NetlinkRequestData) ([][]byte, error) {
	r := &nl.NetlinkRequest{
		NlMsghdr: unix.NlMsghdr{Len: unix.SizeofNlMsghdr, Type: kind, Flags: unix.NLM_F_REQUEST | flags},
		Sockets:  c.own,
	}
	for _, p := range parts {
		r.AddData(p)
	}
	return r.Execute(unix.NETLINK_ROUTE, 0)
}

// whole repeats a dump that a change elsewhere interrupted: some of it may be
// missing.
func whole[T any](dump func() (T, error)) (all T, err error) {
	for range 20 {
		all, err = dump()
		if !errors.Is(err, netlink.ErrDumpInterrupted) {
			break
		}
	}
	return all, err
}

// published says whether the address is published on the interface: one look,
// not the list of all neighbours.
func (c *conn) published(a netip.Addr, index int) (bool, error) {
	_, err := c.neighbour(unix.RTM_GETNEIGH, 0, a, index)
	if errors.Is(err, unix.ENOENT) {
		return false, nil
	}
	return err == nil, err
}

// publish makes the host answer for the address, by ARP or neighbour discovery. Without PERMANENT the entry
// is lost when the interface loses its carrier.
func (c *conn) publish(a netip.Addr, index int) error {
	_, err := c.neighbour(unix.RTM_NEWNEIGH, netlink.NUD_PERMANENT, a, index,
		nl.NewRtAttr(netlink.NDA_PROTOCOL, []byte{Protocol}))
	return err
}

func (c *conn) unpublish(a netip.Addr, index int) error {
	_, err := c.neighbour(unix.RTM_DELNEIGH, 0, a, index)
	return gone(err)
}

func (c *conn) neighbour(kind, state uint16, a netip.Addr, index int, more ...nl.NetlinkRequestData) ([][]byte, error) {
	flags := uint16(unix.NLM_F_ACK)
	switch kind {
	case unix.RTM_GETNEIGH:
		flags = 0
	case unix.RTM_NEWNEIGH:
		flags |= unix.NLM_F_CREATE | unix.NLM_F_REPLACE
	}
	parts := []nl.NetlinkRequestData{proxy(family(a), index, state), nl.NewRtAttr(netlink.NDA_DST, a.AsSlice())}
	return c.request(kind, flags, append(parts, more...)...)
}

// proxied is a published neighbour.
type proxied struct {
	addr     netip.Addr
	index    int
	protocol uint8 // of who published it
}

// proxies lists every published neighbour of the host, of both families.
func (c *conn) proxies() (all []proxied, err error) {
	msgs, err := whole(func() ([][]byte, error) {
		return c.request(unix.RTM_GETNEIGH, unix.NLM_F_DUMP, proxy(unix.AF_UNSPEC, 0, 0))
	})
	if err != nil {
		return nil, fmt.Errorf("list published neighbours: %w", err)
	}
	for _, b := range msgs {
		if len(b) < ndmsg || b[10]&netlink.NTF_PROXY == 0 {
			continue
		}
		attrs := attributes(b[ndmsg:])
		a, ok := netip.AddrFromSlice(attrs[netlink.NDA_DST])
		if !ok {
			continue
		}
		p := proxied{addr: a, index: int(number(b[4:]))}
		if v := attrs[netlink.NDA_PROTOCOL]; len(v) == 1 {
			p.protocol = v[0]
		}
		all = append(all, p)
	}
	return all, nil
}

// raw is a struct of the kernel's in its own bytes.
type raw []byte

func (r raw) Len() int          { return len(r) }
func (r raw) Serialize() []byte { return r }

const ndmsg = 12

// proxy is the struct ndmsg of a published neighbour. The library's has padding
// that a copy leaves with chance bytes, which strict checking answers with EINVAL.
func proxy(family uint8, index int, state uint16) raw {
	b := make(raw, ndmsg)
	b[0] = family
	binary.NativeEndian.PutUint32(b[4:], uint32(index))
	binary.NativeEndian.PutUint16(b[8:], state)
	b[10] = netlink.NTF_PROXY
	return b
}

// addresses6 lists the IPv6 addresses of one interface that Up may have given:
// ::1 of a /64, made with noprefixroute.
func (c *conn) addresses6(index int) ([]netip.Prefix, error) {
	m := nl.NewIfAddrmsg(unix.AF_INET6)
	m.Index = uint32(index)
	msgs, err := whole(func() ([][]byte, error) { return c.request(unix.RTM_GETADDR, unix.NLM_F_DUMP, m) })
	if err != nil {
		return nil, err
	}
	var all []netip.Prefix
	for _, b := range msgs {
		m := nl.DeserializeIfAddrmsg(b)
		attrs := attributes(b[m.Len():])
		a, ok := netip.AddrFromSlice(attrs[unix.IFA_ADDRESS])
		if !ok || m.Index != uint32(index) || len(attrs[unix.IFA_FLAGS]) != 4 {
			continue
		}
		p := netip.PrefixFrom(a, int(m.Prefixlen))
		if number(attrs[unix.IFA_FLAGS])&unix.IFA_F_NOPREFIXROUTE != 0 && p.Addr() == settings.Gateway(p) {
			all = append(all, p)
		}
	}
	return all, nil
}

func attributes(b []byte) map[uint16][]byte {
	all := map[uint16][]byte{}
	list, err := nl.ParseRouteAttr(b)
	if err != nil {
		return all
	}
	for _, a := range list {
		all[a.Attr.Type&^unix.NLA_F_NESTED] = a.Value
	}
	return all
}

func number(b []byte) uint32 { return binary.NativeEndian.Uint32(b) }

func family(a netip.Addr) uint8 {
	if a.Is4() {
		return unix.AF_INET
	}
	return unix.AF_INET6
}

// gone forgives taking away what is not there any more.
func gone(err error) error {
	for _, e := range []error{unix.ENOENT, unix.ESRCH, unix.ENODEV, unix.EADDRNOTAVAIL} {
		if errors.Is(err, e) {
			return nil
		}
	}
	return err
}

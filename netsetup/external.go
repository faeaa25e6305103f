package netsetup

import (
	"errors"
	"net"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"uml/fault"
	"uml/settings"
)

// An Interface is the host's own, towards the network.
type Interface struct {
	Name  string
	Index int
	MAC   net.HardwareAddr
}

// External finds the interface towards the network: the host's setting, else the
// one with the default route. One without carrier is a temporary fault, since
// silence on it proves nothing.
func External(h *settings.Host) (*Interface, error) {
	c, err := dial()
	if err != nil {
		return nil, err
	}
	defer c.Close()
	l, err := c.external(h)
	if err != nil {
		return nil, err
	}
	if !l.up() {
		return nil, fault.Temporary("external interface %s is down: its silence proves nothing (ip link set dev %s up)", l.Name, l.Name)
	}
	if l.Flags&unix.IFF_LOWER_UP == 0 {
		return nil, fault.Temporary("external interface %s has no carrier: its silence proves nothing", l.Name)
	}
	return &Interface{l.Name, l.Index, l.MAC}, nil
}

// external is External for work that needs no carrier.
func (c *conn) external(h *settings.Host) (*link, error) {
	l, err := c.findExternal(h)
	if err != nil || l.Master == 0 {
		return l, err
	}
	master, err := c.linkAt(l.Master)
	if err != nil || master == nil {
		return nil, errors.Join(err, fault.Permanent("external interface %s is a port of another", l.Name))
	}
	return nil, fault.Permanent("external interface %s is a port of %s: the addresses belong there (set /etc/uml-run/external to %s)", l.Name, master.Name, master.Name)
}

func (c *conn) findExternal(h *settings.Host) (*link, error) {
	if h.External != "" {
		l, err := c.link(h.External)
		if err == nil && l == nil {
			err = fault.Permanent("external interface %s: there is no such interface (mend /etc/uml-run/external)", h.External)
		}
		return l, err
	}
	for _, outside := range outsides {
		if index := c.defaultRoute(outside); index > 0 {
			if l, err := c.linkAt(index); l != nil || err != nil {
				return l, err
			}
		}
	}
	return nil, fault.Permanent("no default route, so no external interface (set /etc/uml-run/external)")
}

// outsides are addresses that nothing but a default route leads to: of the
// reserved class E, and of the last documentation prefix.
var outsides = []net.IP{net.IPv4(240, 0, 0, 1), net.ParseIP("3fff:fff:ffff::1")}

// defaultRoute asks for the entry of the table itself that matches (FIB_MATCH,
// 4.13): one look, where the list of routes grows with every guest.
func (c *conn) defaultRoute(to net.IP) int {
	routes, err := c.RouteGetWithOptions(to, &netlink.RouteGetOptions{FIBMatch: true})
	if err != nil || len(routes) == 0 {
		return 0
	}
	r := routes[0]
	if r.Dst != nil {
		if bits, _ := r.Dst.Mask.Size(); bits > 3 { // 2000::/3 is an old way to say default
			return 0
		}
	}
	if len(r.MultiPath) > 0 {
		return r.MultiPath[0].LinkIndex
	}
	return r.LinkIndex
}

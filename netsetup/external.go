package netsetup

import (
	"errors"
	"net"
	"net/netip"

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
// one with the default route. One that cannot see the network is a temporary
// fault, since silence on it proves nothing.
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
	if err := c.sees("external interface", l); err != nil {
		return nil, err
	}
	return &Interface{l.Name, l.Index, l.MAC}, nil
}

// external is External for work that need not see the network.
func (c *conn) external(h *settings.Host) (*link, error) {
	l, err := c.findExternal(h)
	if err != nil || l.Master == 0 {
		return l, err
	}
	master, err := c.linkAt(l.Master)
	if err != nil || master == nil {
		return nil, errors.Join(err, fault.NetworkDown.Permanent("external interface %s is a port of another", l.Name))
	}
	return nil, fault.NetworkDown.Permanent("external interface %s is a port of %s: the addresses belong there (set %s to %s)",
		l.Name, master.Name, h.File("external"), master.Name)
}

// findExternal: an interface or a default route that is not there may come yet,
// as the host boots; giving up for good then would lose every guest.
func (c *conn) findExternal(h *settings.Host) (*link, error) {
	if h.External != "" {
		l, err := c.link(h.External)
		if err == nil && l == nil {
			err = fault.NetworkDown.Temporary("external interface %s: there is no such interface (mend %s)", h.External, h.File("external"))
		}
		return l, err
	}
	for _, outside := range outsides {
		f, err := c.defaultRoute(outside)
		if err != nil {
			return nil, err
		}
		if f != nil {
			if l, err := c.linkAt(f.index); l != nil || err != nil {
				return l, err
			}
		}
	}
	return nil, fault.NetworkDown.Temporary("no default route, so no external interface (set %s)", h.File("external"))
}

// outsides are addresses that nothing but a default route leads to: of the
// reserved class E, and of the last documentation prefix (RFC 9637).
var outsides = []netip.Addr{netip.MustParseAddr("240.0.0.1"), netip.MustParseAddr("3fff:fff:ffff::1")}

// defaultRoute is nil if the host has none for the outside.
func (c *conn) defaultRoute(outside netip.Addr) (*fact, error) {
	f, err := c.lookUp(outside)
	if err != nil || f == nil || f.to.Bits() > 3 { // 2000::/3 is an old way to say default
		return nil, err
	}
	return f, nil
}

// routers are the addresses that the host's default routes lead to.
func (c *conn) routers() (all []netip.Addr, err error) {
	for _, outside := range outsides {
		f, err := c.defaultRoute(outside)
		if err != nil {
			return nil, err
		}
		if f != nil {
			all = append(all, f.hops...)
		}
	}
	return all, nil
}

const (
	// The kernel takes an interface that is up, but not let into the network yet
	// (802.1X), to be running no more than one without carrier.
	running = unix.IFF_RUNNING

	// stateUnknown is the state (IF_OPER_UNKNOWN of linux/if.h) of a bridge that
	// never had a port. Until then it claims to have a carrier; from then on it
	// has one while a port forwards.
	stateUnknown = 0
)

// sees says why silence on the interface, which is the host's what, would prove
// nothing.
func (c *conn) sees(what string, l *link) error {
	silence := func(why string) error {
		return fault.NetworkDown.Temporary("%s %s: its silence proves nothing", what, l.Name+why)
	}
	switch {
	case !l.up():
		return fault.NetworkDown.Temporary("%s %s is down: its silence proves nothing (ip link set dev %s up)", what, l.Name, l.Name)
	case l.Flags&unix.IFF_LOWER_UP == 0:
		return silence(" has no carrier")
	case l.Flags&running == 0:
		return silence(" has a carrier, but is not let into the network yet (dormant)")
	case l.Kind == "bridge" && l.State == stateUnknown:
		return silence(" has no port")
	case l.Kind == "bridge":
		why, err := c.portsSee(l)
		if err == nil && why != "" {
			err = silence(why)
		}
		return err
	case l.Lower == 0:
		return nil
	}
	// A VLAN has a carrier when what it lies on has: over a bridge without a port too.
	lower, err := c.linkAt(l.Lower)
	if err != nil || lower == nil {
		return err
	}
	return c.sees(what, lower)
}

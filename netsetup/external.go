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

// stateUnknown is the state (IF_OPER_UNKNOWN of linux/if.h) of a bridge that never
// had a port. Until then it claims to have a carrier; from then on it has one
// while a port forwards.
const stateUnknown = 0

// External finds the interface towards the network: the host's setting, else the
// one with the default route. One without carrier is a temporary fault, since
// silence on it proves nothing; so is a bridge of which no port forwards.
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
	if l.Kind == "bridge" && l.State == stateUnknown {
		return nil, fault.Temporary("external interface %s has no port: its silence proves nothing", l.Name)
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

// findExternal: an interface or a default route that is not there may come yet,
// as the host boots; giving up for good then would lose every guest.
func (c *conn) findExternal(h *settings.Host) (*link, error) {
	if h.External != "" {
		l, err := c.link(h.External)
		if err == nil && l == nil {
			err = fault.Temporary("external interface %s: there is no such interface (mend /etc/uml-run/external)", h.External)
		}
		return l, err
	}
	for _, outside := range outsides {
		f, err := c.lookUp(outside)
		if err != nil {
			return nil, err
		}
		if f != nil && f.to.Bits() <= 3 { // 2000::/3 is an old way to say default
			if l, err := c.linkAt(f.index); l != nil || err != nil {
				return l, err
			}
		}
	}
	return nil, fault.Temporary("no default route, so no external interface (set /etc/uml-run/external)")
}

// outsides are addresses that nothing but a default route leads to: of the
// reserved class E, and of the last documentation prefix (RFC 9637).
var outsides = []netip.Addr{netip.MustParseAddr("240.0.0.1"), netip.MustParseAddr("3fff:fff:ffff::1")}

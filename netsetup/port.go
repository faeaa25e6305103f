package netsetup

import (
	"fmt"
	"slices"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// States of a bridge's port (linux/if_bridge.h).
const (
	portListening  = 1
	portLearning   = 2
	portForwarding = 3
)

// portsSee says why a bridge that has a carrier does not see the network. It has
// one while any port forwards, a guest's or a container's too, which says nothing
// of the port to the network: for half a minute that one may listen only, as the
// spanning tree protocol has it, and hears nobody.
func (c *conn) portsSee(bridge *link) (why string, err error) {
	ports, err := c.ports(bridge)
	if err != nil {
		return "", err
	}
	ports = outward(ports)
	sees := false
	for _, p := range ports {
		if p.PortState == portListening || p.PortState == portLearning {
			return fmt.Sprintf(": its port %s does not forward yet", p.Name), nil
		}
		sees = sees || p.PortState == portForwarding
	}
	switch {
	case len(ports) == 0:
		return " has no port but guests' TAPs", nil
	case !sees:
		return ": no port to the network forwards, such as " + ports[0].Name, nil
	}
	return "", nil
}

// outward are the ports that may lead to the network: those that do not end on
// this host, as veths and TAPs mostly do. Where there are only such, one of them
// must, but no guest's.
func outward(ports []*link) []*link {
	inward := func(l *link) bool { return l.Kind == "veth" || l.Kind == "tun" }
	if slices.ContainsFunc(ports, func(l *link) bool { return !inward(l) }) {
		return slices.DeleteFunc(ports, inward)
	}
	return slices.DeleteFunc(ports, marked)
}

// ports lists a bridge's. The kernel picks them out itself.
func (c *conn) ports(bridge *link) ([]*link, error) {
	all, err := c.links(nl.NewRtAttr(unix.IFLA_MASTER, nl.Uint32Attr(uint32(bridge.Index))))
	return slices.DeleteFunc(all, func(l *link) bool { return l.Master != bridge.Index }), err
}

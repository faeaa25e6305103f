package netsetup

import (
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
)

// A Neighbour is whose hardware address the host knows an address by.
type Neighbour struct {
	Address netip.Addr
	MAC     net.HardwareAddr
}

// Neighbours is the host's neighbour table of one interface.
func Neighbours(index int) ([]Neighbour, error) {
	c, err := dial()
	if err != nil {
		return nil, err
	}
	defer c.Close()
	list, err := whole(func() ([]netlink.Neigh, error) { return c.NeighList(index, 0) })
	var all []Neighbour
	for _, n := range list {
		if a, ok := netip.AddrFromSlice(n.IP); ok && len(n.HardwareAddr) > 0 {
			all = append(all, Neighbour{a.Unmap(), n.HardwareAddr})
		}
	}
	return all, err
}

package netsetup

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"uml/fault"
	"uml/settings"
)

// behind is the metric of a beacon's routes: they are taken while the TAP has no
// carrier, and never else.
const behind = 1 << 20

// ioctlOnly is an access mode of open(2) that allows neither reading nor writing:
// who breaks out of the kernel has no way into the host's network by its beacon.
const ioctlOnly = unix.O_WRONLY | unix.O_RDWR

// A beacon is a TUN that lives as long as a descriptor of it. The guest kernel
// inherits that, and can do nothing with it. Routes of the guest's IPv4 addresses
// lead to it behind those to the TAP: so the host answers ARP for them from the
// start's claim on, not only when the guest has booted so far that it opens its
// TAP. In between another host would find the addresses silent, and start the
// guest too. When the kernel ends, the beacon and its routes are gone with it.
type beacon struct {
	name    string
	m       *settings.Machine
	routes  []route
	publish []netip.Addr
	dev     netlink.Link // when it is there
}

func beaconName(m *settings.Machine) string { return fmt.Sprintf("live_%x", m.User.UID) }

// newBeacon is nil where the host does not answer in the guest's place.
func newBeacon(m *settings.Machine, h *settings.Host) *beacon {
	w := wanted(m, h)
	b := &beacon{name: beaconName(m), m: m, publish: w.publish}
	for _, r := range w.routes {
		if r.to.Addr().Is4() {
			b.routes = append(b.routes, r)
		}
	}
	if len(b.routes) == 0 || !h.Publish {
		return nil
	}
	return b
}

// Hold lights the machine's beacon, and publishes its IPv4 addresses: the host
// answers for them until the descriptor is closed. It is the first claim, before Up,
// and takes a few calls only: until it is done, a start on another host hears
// silence. Nil: the host answers for none.
func Hold(m *settings.Machine, h *settings.Host) (*os.File, News, error) {
	b := newBeacon(m, h)
	if b == nil {
		return nil, News{}, nil
	}
	fd, err := openTUN(ioctlOnly)
	if err != nil {
		return nil, News{}, err
	}
	f := os.NewFile(uintptr(fd), b.name)
	news, err := b.light(fd, h)
	if err != nil {
		f.Close()
		return nil, News{}, err
	}
	return f, news, nil
}

func (b *beacon) light(fd int, h *settings.Host) (n News, err error) {
	err = setIFF(fd, b.name, unix.IFF_TUN|unix.IFF_TUN_EXCL)
	if errors.Is(err, unix.EBUSY) {
		return n, fault.TAPBusy.Temporary("%s: is there already, by a process that has it open (end it: the guest is down)", b.name)
	}
	if err != nil {
		return n, fmt.Errorf("make %s: %w", b.name, err)
	}
	c, err := dial()
	if err != nil {
		return n, err
	}
	defer c.Close()
	ext, err := c.external(h)
	if err != nil {
		return n, err
	}
	l, err := c.link(b.name)
	if err != nil {
		return n, err
	}
	if l == nil {
		return n, fault.TAPForeign.Temporary("%s: gone as soon as it was made (somebody else changes it)", b.name)
	}
	b.dev = l.attrs()
	steps, err := b.claim(ext)
	if err != nil {
		return n, err
	}
	return newsOn(ext, b.publish), c.run(context.Background(), steps)
}

// claim: an address is published when all else is there that its answer needs.
func (b *beacon) claim(ext *link) (steps []Step, err error) {
	steps, err = switchSteps(external4(ext.Name), false)
	steps = append(steps, b.steps()...)
	for _, a := range b.publish {
		steps = append(steps, ext.publishStep(a))
	}
	return steps, err
}

// steps make the beacon a dead end, whose routes end with its carrier even if the
// interface does not.
func (b *beacon) steps() (steps []Step) {
	conf := "ipv4/conf/" + b.name + "/"
	list := []sysctl{{conf + "forwarding", "0"}, {conf + "rp_filter", "1"}, {conf + "ignore_routes_with_linkdown", "1"}}
	if ipv6() {
		list = append(list, sysctl{"ipv6/conf/" + b.name + "/disable_ipv6", "1"})
	}
	for _, s := range list {
		steps = append(steps, Step{s.String(), false, func(*conn) error { return s.set() }})
	}
	a := Alias(b.m)
	steps = append(steps,
		Step{fmt.Sprintf("ip link set dev %s alias %q", b.name, a), false,
			func(c *conn) error { return c.LinkSetAlias(b.dev, a) }},
		Step{fmt.Sprintf("ip link set dev %s txqueuelen 1 up", b.name), false,
			func(c *conn) error { return errors.Join(c.LinkSetTxQLen(b.dev, 1), c.LinkSetUp(b.dev)) }})
	for _, r := range b.routes {
		steps = append(steps, Step{fmt.Sprintf("%s metric %d", r.text("add", b.name), behind), false,
			func(c *conn) error {
				n := r.netlink(b.dev.Attrs().Index)
				n.Priority = behind
				return c.RouteAdd(n)
			}})
	}
	return steps
}

// putOut takes away a beacon that outlived its descriptors: the kernel asks no
// privilege of who makes a TUN persistent that he has, and code that was broken out
// can give a descriptor away.
func (l *look) putOut() []Step {
	if l.live == nil {
		return nil
	}
	return []Step{remove(l.live)}
}

// PlanHold is what Hold would do, a command a line; ip(8) makes no TUN that goes
// with its descriptor.
func PlanHold(m *settings.Machine, h *settings.Host) ([]string, error) {
	b := newBeacon(m, h)
	if b == nil {
		return nil, nil
	}
	c, err := dial()
	if err != nil {
		return nil, err
	}
	defer c.Close()
	ext, err := c.external(h)
	if err != nil {
		return nil, err
	}
	steps, err := b.claim(ext)
	return append([]string{fmt.Sprintf("open TUN %s, for the kernel to inherit", b.name)}, texts(steps)...), err
}

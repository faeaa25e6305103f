package trial

import (
	"errors"
	"fmt"
	"net"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// The trial's network: a link that stands for the host's, with nobody on its other end, and
// behind the default route so that every address is somewhere. Ours are on it: that of
// RFC 7600, which no network has, and of IPv6 the host's end of the TAP's.
const (
	external = "ext0"
	nowhere  = "ext1"
	ours     = "192.0.0.8/32"
)

// apart gives the calling thread namespaces of its own.
func apart() error {
	if err := unix.Unshare(unix.CLONE_NEWNS | unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("unshare mount and network namespaces: %w", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make / private: %w", err)
	}
	return nil
}

// show binds one file on another, to be read.
func show(from, to string) error {
	if err := unix.Mount(from, to, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("bind on %s: %w", to, err)
	}
	attr := unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY | unix.MOUNT_ATTR_NODEV | unix.MOUNT_ATTR_NOSUID}
	if err := unix.MountSetattr(unix.AT_FDCWD, to, 0, &attr); err != nil {
		return fmt.Errorf("make %s read-only: %w", to, err)
	}
	return nil
}

func network() error {
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return err
	}
	link := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: external}, PeerName: nowhere}
	if err := errors.Join(netlink.LinkSetUp(lo), netlink.LinkAdd(link)); err != nil {
		return fmt.Errorf("make %s: %w", external, err)
	}
	address, err := netlink.ParseAddr(ours)
	if err != nil {
		return err
	}
	ext, err1 := netlink.LinkByName(external)
	end, err2 := netlink.LinkByName(nowhere)
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	err = errors.Join(netlink.LinkSetUp(end), netlink.LinkSetUp(ext), netlink.AddrAdd(ext, address))
	if err == nil {
		all := &net.IPNet{IP: net.IPv4zero, Mask: net.CIDRMask(0, 32)}
		err = netlink.RouteAdd(&netlink.Route{LinkIndex: ext.Attrs().Index, Dst: all, Scope: netlink.SCOPE_LINK})
	}
	if err != nil {
		return fmt.Errorf("the trial's network: %w", err)
	}
	return nil
}

package netsetup

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// A sysctl is one switch of the kernel. /proc/sys/net shows the network
// namespace of the thread that opens it.
type sysctl struct {
	name  string // below net, with slashes: an interface's name may hold dots
	value string
}

func (s sysctl) path() string { return "/proc/sys/net/" + s.name }

func (s sysctl) get() (string, error) {
	fd, err := unix.Open(s.path(), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", fmt.Errorf("read %s: %w", s.path(), err)
	}
	defer unix.Close(fd)
	var b [64]byte
	n, err := unix.Read(fd, b[:])
	if err != nil {
		return "", fmt.Errorf("read %s: %w", s.path(), err)
	}
	return strings.TrimSpace(string(b[:n])), nil
}

func (s sysctl) set() error {
	fd, err := unix.Open(s.path(), unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	_, err = unix.Write(fd, []byte(s.value))
	return err
}

// String is the sysctl(8) command, in the form with slashes where dots would be
// taken apart.
func (s sysctl) String() string {
	name := "net/" + s.name
	if !strings.Contains(name, ".") {
		name = strings.ReplaceAll(name, "/", ".")
	}
	return "sysctl -w " + name + "=" + s.value
}

// external4 makes the host forward what comes in on ext, by that interface's own
// switch: ip_forward would set those of all others. With proxy_delay a published
// address would be answered for at a random time within 0.8 s.
func external4(ext string) []sysctl {
	return []sysctl{
		{"ipv4/conf/" + ext + "/forwarding", "1"},
		{"ipv4/neigh/" + ext + "/proxy_delay", "0"},
	}
}

// published6 makes the host answer for single IPv6 addresses. Without "all" it does
// not answer what asks for one directly, as neighbours do who knew it before.
func published6(ext string) []sysctl {
	return []sysctl{
		{"ipv6/conf/all/proxy_ndp", "1"},
		{"ipv6/conf/" + ext + "/proxy_ndp", "1"},
		{"ipv6/neigh/" + ext + "/proxy_delay", "0"},
	}
}

// external6 switches forwarding on for all interfaces, since the kernel looks at
// no other switch (before 6.17's force_forwarding). A forwarding interface heeds
// router advertisements only with accept_ra=2: each that heeds them now gets it
// first, or the host would lose its own default route. What comes later goes by
// "default", which stays: a new TAP must not heed any. Nor must one that another
// start is about to switch: until it is up, it looks as if it did.
func (c *conn) external6() (list []sysctl, err error) {
	all := sysctl{"ipv6/conf/all/forwarding", "1"}
	if v, err := all.get(); v == "1" || err != nil {
		return nil, err
	}
	links, err := c.links()
	if err != nil {
		return nil, err
	}
	for _, l := range links {
		conf := "ipv6/conf/" + l.Name + "/"
		ra, err1 := sysctl{name: conf + "accept_ra"}.get()
		fwd, err2 := sysctl{name: conf + "forwarding"}.get()
		switch err := errors.Join(err1, err2); {
		case errors.Is(err, os.ErrNotExist), l.Name == "lo", l.Kind == "tun" && !l.up(): // gone meanwhile, or without IPv6
		case err != nil:
			return nil, err
		case ra == "1" && fwd == "0":
			list = append(list, sysctl{conf + "accept_ra", "2"})
		}
	}
	return append(list, all), nil
}

// tap4 are the TAP's switches. proxy_arp answers the guest at once for whatever
// lies elsewhere, so that "default dev eth0" is all that it need know. rp_filter
// drops what does not come from the guest's own addresses, while the host's "all"
// is not 2; package firewall does the same always. ignore_routes_with_linkdown makes the host stop answering for a guest
// the moment its kernel dies, and answer again when one opens the TAP.
// send_redirects has effect only where "all" is 0 too.
func tap4(tap string) []sysctl {
	conf := "ipv4/conf/" + tap + "/"
	return []sysctl{
		{conf + "forwarding", "1"},
		{conf + "proxy_arp", "1"},
		{"ipv4/neigh/" + tap + "/proxy_delay", "0"},
		{conf + "rp_filter", "1"},
		{conf + "accept_redirects", "0"},
		{conf + "send_redirects", "0"},
		{conf + "accept_source_route", "0"},
		{conf + "ignore_routes_with_linkdown", "1"},
	}
}

// tap6 are set before the TAP is up: a guest's first router advertisement would
// else reconfigure the host (CVE-2020-10749).
func tap6(tap string, on bool) []sysctl {
	conf := "ipv6/conf/" + tap + "/"
	if !on {
		return []sysctl{{conf + "disable_ipv6", "1"}}
	}
	return []sysctl{
		{conf + "accept_ra", "0"},
		{conf + "autoconf", "0"},
		{conf + "accept_redirects", "0"},
		{conf + "forwarding", "1"},
		{conf + "disable_ipv6", "0"},
	}
}

// ipv6 says whether this host's kernel has IPv6 at all. Where that cannot be told,
// what follows will say why.
func ipv6() bool {
	_, err := os.Stat("/proc/sys/net/ipv6/conf/all")
	return !errors.Is(err, os.ErrNotExist)
}

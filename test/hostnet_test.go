package test

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"testing"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"uml/netsetup"
	"uml/test/lab"
)

// A hostNet looks at the network of a lab's host, and starts no process for it.
type hostNet struct {
	*netlink.Handle
	ns netns.NsHandle
}

func openNet(t *testing.T, l *lab.Lab) *hostNet {
	t.Helper()
	ns, err := netns.GetFromPid(l.PID)
	if err != nil {
		t.Fatal(err)
	}
	h, err := netlink.NewHandleAt(ns, unix.NETLINK_ROUTE)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close(); ns.Close() })
	return &hostNet{h, ns}
}

// claims are the machines' routes and the published addresses. A route that leads
// nowhere, since nobody has its TAP open, says so at its end.
func (h *hostNet) claims() (all []string) {
	for _, family := range []int{unix.AF_INET, unix.AF_INET6} {
		routes, err := h.RouteListFiltered(family, &netlink.Route{Protocol: netsetup.Protocol}, netlink.RT_FILTER_PROTOCOL)
		if err != nil {
			panic(err)
		}
		for _, r := range routes {
			end := ""
			if r.Flags&unix.RTNH_F_LINKDOWN != 0 {
				end = " linkdown"
			}
			all = append(all, fmt.Sprintf("route %v%s", r.Dst, end))
		}
		published, err := h.NeighProxyList(0, family)
		if err != nil {
			panic(err)
		}
		for _, n := range published {
			all = append(all, fmt.Sprintf("published %v", n.IP))
		}
	}
	slices.Sort(all)
	return all
}

// reset takes away all that starts have made.
func (h *hostNet) reset(l *lab.Lab) {
	published, err := h.NeighProxyList(0, unix.AF_INET)
	if err != nil {
		panic(err)
	}
	for _, n := range published {
		if err := h.NeighDel(&n); err != nil {
			panic(err)
		}
	}
	if tap, err := h.LinkByName("tap_guest"); err == nil {
		if err := h.LinkDel(tap); err != nil {
			panic(err)
		}
	}
	for name, value := range map[string]string{
		"ipv6/conf/all/forwarding": "0", "ipv4/conf/ext0/forwarding": "0",
		"ipv6/conf/ext0/accept_ra": "1", "ipv4/neigh/ext0/proxy_delay": "80",
	} {
		if err := h.within(func() error { return os.WriteFile("/proc/sys/net/"+name, []byte(value), 0) }); err != nil {
			panic(err)
		}
	}
}

// within does something on a thread in the host's network namespace, which is what
// /proc/sys/net shows. The thread ends with it.
func (h *hostNet) within(do func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		if err := netns.Set(h.ns); err != nil {
			done <- err
			return
		}
		done <- do()
	}()
	return <-done
}

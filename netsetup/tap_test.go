package netsetup

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"uml/fault"
)

// attachChild is the guest's user opening the TAP that descriptor 3 is to become.
func attachChild(flags string) {
	if flags == "up" {
		fmt.Println(up(context.Background(), machine("192.0.2.20/32"), host()))
		os.Exit(0)
	}
	f := uint16(unix.IFF_TAP | unix.IFF_NO_PI)
	if flags == "vnet" {
		f |= unix.IFF_VNET_HDR
	}
	ifr, err := unix.NewIfreq("tap_bara")
	if err == nil {
		ifr.SetUint16(f)
		err = unix.IoctlIfreq(3, unix.TUNSETIFF, ifr)
	}
	fmt.Println(err)
	os.Exit(0)
}

func attach(t *testing.T, s *space, uid uint32, flags string) string {
	t.Helper()
	var out []byte
	var err error
	s.do(func() {
		var tun *os.File
		if tun, err = os.OpenFile("/dev/net/tun", os.O_RDWR, 0); err != nil {
			return
		}
		defer tun.Close()
		cmd := exec.Command("/proc/self/exe")
		cmd.Env = []string{"NETSETUP_TEST_ATTACH=" + flags}
		cmd.ExtraFiles = []*os.File{tun}
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
		out, err = cmd.CombinedOutput()
	})
	if err != nil {
		t.Fatalf("attach as %d: %v\n%s", uid, err, out)
	}
	return strings.TrimSpace(string(out))
}

// Both of UML's network drivers can open the TAP as its user, in any order, and
// nobody else can.
func TestAttach(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.up(t, machine("192.0.2.20/32"))
	for _, c := range []struct {
		uid         uint32
		flags, want string
	}{
		{1001, "vnet", "<nil>"},
		{1001, "plain", "<nil>"},
		{1001, "vnet", "<nil>"},
		{1002, "vnet", "operation not permitted"},
		{1002, "plain", "operation not permitted"},
	} {
		if got := attach(t, w.host, c.uid, c.flags); got != c.want {
			t.Errorf("user %d, %s: got %s, want %s", c.uid, c.flags, got, c.want)
		}
	}
}

func TestNotRoot(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if got := attach(t, w.host, 1001, "up"); got != "only root can change the host's network" {
		t.Errorf("got %s", got)
	}
}

// A host without the driver is told how to get it.
func TestNoTunDevice(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var err error
	w.host.do(func() { // the mount namespace ends with this thread
		if err = unix.Unshare(unix.CLONE_NEWNS); err != nil {
			return
		}
		err = unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, "")
		if err == nil {
			err = unix.Mount("none", "/dev/net", "tmpfs", 0, "")
		}
		if err == nil {
			err = up(context.Background(), machine("192.0.2.20/32"), host())
		}
	})
	refusedAs(t, "Up", err, fault.MustMend,
		"ip tuntap add dev tap_bara mode tap user 1001: open /dev/net/tun: no such file or directory (modprobe tun)")
}

// A TAP that another machine marked is not ours for bearing our other name.
func TestMarkedOtherwise(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	m := machine("192.0.2.20/32")
	w.host.sh("ip tuntap add tap_x mode tap user 1002; ip link set tap_x alias 'uml /machines/x'; ip link property add dev tap_x altname " + machineName(m))
	before := w.snapshot(t)
	w.in(t, "Down", func() error { return Down(m, host()) })
	equal(t, "host", w.snapshot(t), before)
}

// A user's or a TAP's change of name makes the machine's TAP anew.
func TestRemake(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 300)
	for _, c := range []struct {
		name string
		tap  string
		uid  int
		real string
	}{
		{"user", "tap_bara", 1002, ""},
		{"name", "tap_b", 1001, ""},
		{"both", "tap_b", 1002, ""},
		{"both, long path", "tap_b", 1002, "/" + long},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			m := machine("192.0.2.20/32")
			if c.real != "" {
				m.Real = c.real
			}
			w.up(t, m)
			m.TAP, m.User.UID = c.tap, c.uid
			w.up(t, m)
			var all []string
			w.in(t, "look", func() error {
				c, err := dial()
				if err != nil {
					return err
				}
				defer c.Close()
				for _, name := range []string{"tap_bara", "tap_b"} {
					if l, _ := c.link(name); l != nil {
						all = append(all, l.Name+" "+l.kind())
					}
				}
				return nil
			})
			if want := fmt.Sprintf("%s a TAP of user id %d", c.tap, c.uid); lines(all...) != want {
				t.Errorf("got %q, want %q", all, want)
			}
			if got := w.host.sh("ip route show proto 117"); !strings.Contains(got, c.tap) {
				t.Errorf("route: %q", got)
			}
		})
	}
}

// The paper's tunctl made the TAP, by the same name for the same user.
func TestAdopt(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	m := machine("192.0.2.20/32")
	w.host.sh("ip tuntap add tap_bara mode tap user 1001; ip link set tap_bara up; ip route add 192.0.2.20/32 dev tap_bara")
	index := w.host.sh("ip -o link show tap_bara | cut -d: -f1")
	w.up(t, m)
	if again := w.plan(t, m); again != nil {
		t.Errorf("a second Up would do %q", again)
	}
	if got := w.host.sh("ip route show proto 117"); !strings.Contains(got, "192.0.2.20 dev tap_bara") {
		t.Errorf("route: %q", got)
	}
	if now := w.host.sh("ip -o link show tap_bara | cut -d: -f1"); now != index {
		t.Errorf("it was made anew: index %s, was %s", now, index)
	}
}

func TestAlias(t *testing.T) {
	t.Parallel()
	m := machine()
	if got := Alias(m); got != "uml /machines/bara" {
		t.Errorf("got %q", got)
	}
	m.Real = "/a" + strings.Repeat("/machines", 50) + "/bara"
	a := Alias(m)
	m.Real = "/b" + m.Real[2:]
	if b := Alias(m); a == b || len(a) != maxAlias || !strings.HasSuffix(a, "/machines/bara") {
		t.Errorf("long paths: %q and %q", a, b)
	}
}

package netsetup

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// A guest is a namespace whose eth0 is the far end of the TAP, as UML's driver
// makes it: its frames are read from one TAP and written to the other.
type guest struct {
	*space
	tap, eth0 *os.File
}

func (w world) guest(t *testing.T, tap string) *guest {
	t.Helper()
	g := &guest{space: newSpace(t)}
	g.tap = openTAP(t, w.host, tap)
	g.eth0 = openTAP(t, g.space, "eth0")
	t.Cleanup(g.die)
	go forward(g.tap, g.eth0)
	go forward(g.eth0, g.tap)
	g.sh("ip link set lo up; ip link set eth0 address fe:fd:c0:00:02:14 up")
	return g
}

// die is the end of the guest's kernel.
func (g *guest) die() {
	g.tap.Close()
	g.eth0.Close()
}

func openTAP(t *testing.T, s *space, name string) *os.File {
	t.Helper()
	var f *os.File
	var err error
	s.do(func() {
		var fd int
		if fd, err = unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0); err != nil {
			return
		}
		ifr, _ := unix.NewIfreq(name)
		ifr.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI)
		err = unix.IoctlIfreq(fd, unix.TUNSETIFF, ifr)
		f = os.NewFile(uintptr(fd), name)
	})
	if err != nil {
		t.Fatalf("open TAP %s: %v", name, err)
	}
	return f
}

func forward(from, to *os.File) {
	b := make([]byte, 65536)
	for {
		n, err := from.Read(b)
		if err != nil {
			return
		}
		_, _ = to.Write(b[:n]) // an interface that is down yet takes nothing
	}
}

package test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"uml/test/lab"
)

// From nothing to hosted guests, as the README has it: a kernel, a template of Debian's real
// packages, two machines of it. They have nothing in common but what the host has of the
// template, and of that it has one copy.
func TestHosted(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	l.OwnEtc()
	key := l.Key() + ".pub"
	conf := filepath.Join(l.Dir, "radvd.conf")
	l.SetHost("radvd-conf", conf)
	l.Must("uml-kernel", "add", "user-mode-linux", "debian")
	full := debian(t, l)
	var two []made
	for i, name := range []string{"anna", "bert"} {
		two = append(two, newMachine(t, l, "new", name, "--template", "debian", "--cow", "--mem", "128M", "--key", key,
			"--ip4", fmt.Sprintf("192.0.2.2%d", i), "--ip6", fmt.Sprintf("2001:db8:%d::/64", i+1)))
	}
	l.Must("uml-net", "radvd")
	l.Must("radvd", "-C", conf, "-m", "logfile", "-l", filepath.Join(l.Dir, "radvd.log"))
	var said []string
	for i, m := range two {
		machine := l.Machined(m.Name)
		machine.Activate()
		machine.WaitUp(0)
		prefix := fmt.Sprintf("2001:db8:%d:0:", i+1)
		l.Wait("the address that it gave itself", func() bool {
			return strings.Contains(inGuest(t, l, m, "ip -6 addr show scope global"), prefix)
		})
		said = append(said, inGuest(t, l, m, "hostname; cat /etc/machine-id /etc/ssh/ssh_host_*_key.pub; hostname -I; grep ^root: /etc/shadow; systemctl is-system-running --wait"))
	}
	for i, m := range two {
		lines := strings.Split(said[i], "\n")
		if lines[0] != m.Name || lines[1] != m.MachineID || !strings.Contains(said[i], "\nrunning\n") {
			t.Errorf("%s:\n%s", m.Name, said[i])
		}
	}
	for _, line := range strings.Split(said[0], "\n") {
		if line != "" && line != "running" && !strings.HasPrefix(line, "root:*:") && strings.Contains(said[1], line) {
			t.Errorf("both have %q", line)
		}
	}
	image := filepath.Join(l.Dir, "templates", full+".img")
	if base := cached(t, image); base < 20<<20 {
		t.Errorf("the host has %d bytes of the template in memory", base)
	} else {
		for _, m := range two {
			if own := cached(t, filepath.Join(m.Dir, "jail/ubd0")); own > base/2 {
				t.Errorf("the host has %d bytes of the template in memory, and %d of %s alone", base, own, m.Name)
			}
		}
	}
}

// cached is how much of a file the host has in memory, bytes: cachestat(2), Linux 6.5.
func cached(t *testing.T, name string) uint64 {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var all struct{ offset, length uint64 }
	var is struct{ cache, dirty, writeback, evicted, recently uint64 }
	if _, _, e := unix.Syscall6(unix.SYS_CACHESTAT, f.Fd(), uintptr(unsafe.Pointer(&all)), uintptr(unsafe.Pointer(&is)), 0, 0, 0); e != 0 {
		t.Fatalf("cachestat %s: %v", name, e)
	}
	return is.cache * uint64(os.Getpagesize())
}

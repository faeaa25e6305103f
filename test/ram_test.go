package test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"uml/test/lab"
)

// fillMemory has the guest write random data to a tmpfs of its own, of all that is
// available but spare kB, and returns the data's sum.
func fillMemory(m *lab.Machine, spare int) string {
	return strings.TrimSpace(m.Guest(fmt.Sprintf(`
		mkdir -p /tmp/ram
		mount -t tmpfs -o size=100%% ram /tmp/ram
		while read name kb unit; do [ $name = MemAvailable: ] && available=$kb; done </proc/meminfo
		dd if=/dev/urandom bs=64k count=$(((available - %d) / 64)) 2>/dev/null | tee /tmp/ram/file | md5sum
		`, spare)))
}

func sumOfMemory(m *lab.Machine) string {
	return strings.TrimSpace(m.Guest("md5sum </tmp/ram/file"))
}

// The jail has room for the guest's RAM and for nothing else, and a guest that uses all
// of its RAM does not miss any.
func TestRAM(t *testing.T) {
	t.Parallel()
	for mem, size := range map[string]int64{"64M": 64 << 20, "65537K": 65540 << 10} {
		t.Run(mem, func(t *testing.T) {
			t.Parallel()
			l := lab.New(t)
			m := l.Machine("guest", lab.Settings{"ip4": address, "mem": mem})
			m.Activate()
			pid := m.WaitUp(0)
			written := fillMemory(m, 3<<10)
			var fs unix.Statfs_t
			if err := unix.Statfs(l.Proc(pid, "root/tmp"), &fs); err != nil {
				t.Fatal(err)
			}
			if got := int64(fs.Blocks) * fs.Bsize; got != size {
				t.Errorf("the jail's /tmp is for %d bytes, want %d", got, size)
			}
			if used := int64(fs.Blocks-fs.Bfree) * fs.Bsize; used < size-20<<20 {
				t.Errorf("the guest was to use all of its RAM, and has used %d bytes of %d", used, size)
			}
			if got := ramFile(t, l, pid); got > size {
				t.Errorf("the RAM is a file of %d bytes, more than /tmp can hold", got)
			}
			if read := sumOfMemory(m); read != written || len(read) < 32 {
				t.Errorf("what the guest wrote to its RAM is %q, read %q", written, read)
			}
			if now := m.PID(); now != pid {
				t.Errorf("the kernel is process %d, was %d:\n%s", now, pid, m.Log())
			}
		})
	}
}

// ramFile is the size of the file that the kernel has for RAM.
func ramFile(t *testing.T, l *lab.Lab, pid int) int64 {
	t.Helper()
	names, err := filepath.Glob(l.Proc(pid, "fd/*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if to, err := os.Readlink(name); err == nil && strings.HasPrefix(to, jailTmp) {
			st, err := os.Stat(name)
			if err != nil {
				t.Fatal(err)
			}
			return st.Size()
		}
	}
	t.Fatalf("process %d has no file in /tmp", pid)
	return 0
}

const jailTmp = "/room/tmp/"

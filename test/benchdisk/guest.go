package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"uml/test/lab"
)

// guest measures random reads and writes of 4096 bytes past the guest's cache, of a plain
// disc and of a COW disc of the same size.
func guest() {
	lab.Main(func(t lab.TB) {
		l := lab.New(t)
		m := l.Machine("guest", lab.Settings{"ip4": "192.0.2.20", "ubd1": "tool", "ubd2": "plain", "ubd3": "cow,/run/base"})
		own, err := os.ReadFile("/proc/self/exe")
		if err == nil {
			err = os.WriteFile(l.Dir+"/benchdisk", own, 0o755)
		}
		if err != nil {
			t.Fatalf("bench-disk: %v", err)
		}
		l.Must("sh", "-ec", `umask 022; cd $0; mkdir /run/t; cp $1 /run/t; truncate -s 64M tool; mkfs.ext4 -q -b 4096 -d /run/t tool
			head -c 256M /dev/urandom >/run/base; cp /run/base plain; chown guest: plain tool; uml-disk cow create /run/base cow; echo allow >../settings/cow-unsafe; sync`, m.Jail, l.Dir+"/benchdisk")
		m.Activate()
		m.WaitUp(0)
		m.Guest("mount -t ext4 /dev/ubdb /tmp")
		fmt.Println("in a guest, random accesses of 4096 bytes a second, past its cache (reads, writes of new pages, then of pages that are there)")
		var first []float64
		for _, c := range []struct{ name, dev string }{{"plain disc", "ubdc"}, {"COW disc", "ubdd"}} {
			out := m.Guest("/tmp/benchdisk random /dev/" + c.dev)
			var v [3]float64
			if _, err := fmt.Sscan(strings.TrimSpace(out), &v[0], &v[1], &v[2]); err != nil {
				t.Fatalf("bench-disk: %q", out)
			}
			if first == nil {
				first = v[:]
			}
			fmt.Printf("  %-12s %8.0f %8.0f %8.0f   ratio %.2f %.2f %.2f\n", c.name, v[0], v[1], v[2], v[0]/first[0], v[1]/first[1], v[2]/first[2])
		}
	})
}

// random is the program in the guest: it prints three rates.
func random(device string) {
	fd, err := unix.Open(device, unix.O_RDWR|unix.O_DIRECT|unix.O_CLOEXEC, 0)
	if err != nil {
		fatal(err)
	}
	size, err := unix.Seek(fd, 0, unix.SEEK_END)
	if err != nil {
		fatal(err)
	}
	room := make([]byte, 8192)
	skip := 4096 - int(uintptr(unsafe.Pointer(&room[0]))%4096)
	buf := room[skip%4096:][:4096]
	pages := rand.New(rand.NewPCG(1, 2)).Perm(int(size / 4096))
	for _, kind := range []struct {
		io func(fd int, p []byte, off int64) (int, error)
	}{{unix.Pread}, {unix.Pwrite}, {unix.Pwrite}} {
		begin, n := time.Now(), 0
		const rounds = 10000
		for n < rounds && time.Since(begin) < 20*time.Second {
			if _, err := kind.io(fd, buf, int64(pages[n])*4096); err != nil {
				fatal(err)
			}
			n++
		}
		fmt.Println(float64(n) / time.Since(begin).Seconds())
	}
}

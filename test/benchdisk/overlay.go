package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"uml/test/lab"
)

// job is what a guest does in place of all else, by its kernel's argument JOB: what is
// between a begin and an end on its console is measured on the host.
const job = `#!/bin/sh
measure() { echo "begin $1"; shift; "$@" >/dev/null 2>&1; echo "end"; }
seq128() { dd if=/dev/zero of=/new bs=1M count=128 conv=fsync; }
small() { mkdir /small; for i in $(busybox seq 2000); do echo $i >/small/$i; done; sync; }
touch4k() { dd if=/dev/zero of=/big bs=4k count=1 seek=$1 conv=notrunc,fsync; }
over() { dd if=/dev/zero of=/other bs=1M count=64 conv=notrunc,fsync; }
case $JOB in
read) measure read cat /big /other ;;
write)
	measure sequential seq128
	measure small small
	measure first touch4k 100
	measure second touch4k 30000
	measure inplace over
	;;
esac
halt -f
`

// A kind is a way to give two guests the same disc.
type kind struct {
	name  string
	make  string // script: $0 jail, $1 base
	set   func(base string) lab.Settings
	files []string // below the jail, that the host caches
}

var kinds = []kind{
	{"copy", "rm -f ubd0; cp --sparse=always $1 ubd0; chown $2: ubd0; chmod 600 ubd0", func(string) lab.Settings { return nil }, []string{"ubd0"}},
	{"COW pair", "rm -f cow; uml-disk cow create $1 cow", func(base string) lab.Settings { return lab.Settings{"ubd0": "cow," + base} }, []string{"cow"}},
	{"overlay", "rm -f ubd1 ubd1.initrd; uml-disk create --overlay $1 ubd1 1G", func(base string) lab.Settings {
		return lab.Settings{"ubd0": base + " flags=r", "initrd": "ubd1.initrd"}
	}, []string{"ubd1"}},
}

// overlay compares a shared base disc with an overlay in the guest, a COW pair and a plain
// copy: what the host caches when two guests read it all, boot and writing.
func overlay() {
	const turns = 5
	lab.Main(func(t lab.TB) {
		b := newShared(t)
		fmt.Printf("Two guests of 128M share a disc of 512M, 300M of it in files. Median of %d turns, and the range.\n", turns)
		got := map[string]map[string][]float64{}
		for range turns {
			for _, k := range kinds {
				if got[k.name] == nil {
					got[k.name] = map[string][]float64{}
				}
				b.turn(k, func(what string, value float64) { got[k.name][what] = append(got[k.name][what], value) })
			}
		}
		for _, row := range []struct{ what, unit string }{
			{"boot", "s until its init runs"}, {"cached", "MB in the host's cache, both read all"}, {"read", "s to read all, nothing cached"},
			{"sequential", "s, 128M written anew"}, {"small", "s, 2000 files of 5 bytes"}, {"first", "s, 4K into a file of 200M, first"},
			{"second", "s, another 4K"}, {"inplace", "s, 64M over a file of 100M"},
		} {
			fmt.Printf("%-12s", row.what)
			for _, k := range kinds {
				v := got[k.name][row.what]
				slices.Sort(v)
				fmt.Printf("  %s %.2f (%.2f-%.2f)", k.name, v[len(v)/2], v[0], v[len(v)-1])
			}
			fmt.Printf("  %s\n", row.unit)
		}
	})
}

type shared struct {
	*lab.Lab
	base string
	two  map[string][]*lab.Machine
}

func newShared(t lab.TB) *shared {
	l := lab.New(t)
	dir, err := os.MkdirTemp("/var/tmp", "uml-bench-") // a jail has a /tmp of its own
	if err == nil {
		err = os.Chmod(dir, 0o755)
	}
	if err != nil {
		t.Fatalf("bench-disk: %v", err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	b := &shared{l, filepath.Join(dir, "base"), map[string][]*lab.Machine{}}
	for i, k := range kinds {
		for _, n := range []string{"a", "b"} {
			s := lab.Settings{"mem": "128M"}
			for name, value := range k.set(b.base) {
				s[name] = value
			}
			m := l.Machine(fmt.Sprintf("m%d%s", i, n), s)
			b.two[k.name] = append(b.two[k.name], m)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "job"), []byte(job), 0o755); err != nil {
		t.Fatalf("bench-disk: %v", err)
	}
	l.Must("sh", "-ec", `cd $0; cp $1/ubd0 base; chmod 644 base; chown root: base; uml-disk grow base 512M
		head -c 200M /dev/urandom >big; head -c 100M /dev/urandom >other
		for c in 'write big big' 'write other other' 'write job etc/local' 'sif etc/local mode 0100755'; do debugfs -w -R "$c" base 2>/dev/null; done
		rm big other; e2fsck -fn base >/dev/null 2>&1; chmod 444 base`, dir, b.two["copy"][0].Jail)
	for _, all := range b.two {
		for _, m := range all {
			os.Remove(filepath.Join(m.Jail, "ubd0"))
		}
	}
	return b
}

// turn measures one way, on discs made anew.
func (b *shared) turn(k kind, tell func(what string, value float64)) {
	both := b.two[k.name]
	for _, m := range both {
		b.Must("sh", "-ec", "cd $0; "+k.make, m.Jail, b.base, m.Name)
	}
	b.forget(k)
	b.run(both[0], "boot", func(string, float64) {}) // what it writes once, it has written then
	b.run(both[0], "boot", tell)
	b.forget(k)
	var wait sync.WaitGroup
	for i, m := range both {
		wait.Go(func() {
			b.run(m, "read", func(what string, value float64) {
				if i == 0 && what == "read" {
					tell(what, value)
				}
			})
		})
	}
	wait.Wait()
	tell("cached", b.cached(k))
	b.run(both[0], "write", func(what string, value float64) {
		if what != "boot" {
			tell(what, value)
		}
	})
}

// run starts a guest and reads its console until it has halted.
func (b *shared) run(m *lab.Machine, job string, tell func(what string, value float64)) {
	m.Set("args", "quiet\nJOB="+job)
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	cmd := b.Cmd(ctx, m.Dir, "uml-run")
	out, err := cmd.StdoutPipe()
	if err != nil {
		panic(err)
	}
	var said strings.Builder
	cmd.Stderr = &said
	begun := time.Now()
	if err := cmd.Start(); err != nil {
		panic(err)
	}
	what, from, up := "", begun, false
	for s := bufio.NewScanner(out); s.Scan(); {
		line := strings.TrimSpace(s.Text())
		switch {
		case line == "guest up":
			up = true
			tell("boot", time.Since(begun).Seconds())
		case strings.HasPrefix(line, "begin "):
			what, from = line[len("begin "):], time.Now()
		case line == "end":
			tell(what, time.Since(from).Seconds())
		}
	}
	if err := cmd.Wait(); !up || ctx.Err() != nil {
		panic(fmt.Sprintf("%s: %v: %s", m.Name, err, said.String()))
	}
}

// each opens all files that the guests of a kind have.
func (b *shared) each(k kind, do func(f *os.File)) {
	names := []string{b.base}
	for _, m := range b.two[k.name] {
		for _, f := range k.files {
			names = append(names, filepath.Join(m.Jail, f))
		}
	}
	for _, name := range names {
		f, err := os.Open(name)
		if err != nil {
			panic(err)
		}
		do(f)
		f.Close()
	}
}

// forget empties the host's cache of them.
func (b *shared) forget(k kind) {
	b.each(k, func(f *os.File) {
		f.Sync()
		unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED)
	})
}

// cached is how many MB of them the host's cache holds (cachestat(2), Linux 6.5).
func (b *shared) cached(k kind) (mb float64) {
	b.each(k, func(f *os.File) {
		var c unix.Cachestat_t
		if err := unix.Cachestat(uint(f.Fd()), &unix.CachestatRange{}, &c, 0); err != nil {
			panic(err)
		}
		mb += float64(c.Cache) * float64(os.Getpagesize()) / 1e6
	})
	return mb
}

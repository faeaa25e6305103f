package main

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"uml/test/lab"
)

// guests are some that run, and what the host had available before.
type guests struct {
	b      *bench
	all    []*lab.Machine
	pids   []int
	before float64
}

func head() {
	fmt.Printf("%-32s %10s %10s %10s %10s %10s %10s\n", "", "RAM", "processes", "own cache", "base cache", "sum each", "host each")
}

// row prints what a guest takes, on average: of its RAM what the host holds; its processes'
// other memory (PSS without shared memory, and page tables); the host's cache of its own
// discs; the host's cache of the base disc, once for all; the sum, with its part of the base;
// and by how much less the host has available since they were started, its part of that.
func (g *guests) row(name string) {
	n := float64(len(g.all))
	var ram, own, cache float64
	for i, m := range g.all {
		ram += held(g.b.l.Proc(g.pids[i], "root/tmp"))
		own += g.processes(g.pids[i])
		cache += cached(filepath.Join(m.Jail, "ubd0"))
	}
	base := cached(g.b.base)
	fmt.Printf("%-32s %10.1f %10.1f %10.1f %10.1f %10.1f %10.1f\n", name, ram/n, own/n, cache/n, base, (ram+own+cache+base)/n, (g.before-available())/n)
}

// held is what a filesystem in memory takes, MB.
func held(at string) float64 {
	var fs unix.Statfs_t
	if unix.Statfs(at, &fs) != nil {
		return 0
	}
	return float64(int64(fs.Blocks-fs.Bfree)*fs.Bsize) / 1e6
}

// processes is what those of a guest take beside its RAM: its kernel's and all that it has
// started.
func (g *guests) processes(kernel int) (mb float64) {
	uid := g.b.l.Status(kernel).Int("Uid")
	for _, pid := range g.b.l.Processes(func(s lab.Status) bool { return s.Int("Uid") == uid }) {
		mb += fields(g.b.l.Proc(pid, "smaps_rollup"), "Pss_Anon", "Pss_File") + fields(g.b.l.Proc(pid, "status"), "VmPTE")
	}
	return mb
}

// available is the host's MemAvailable, MB, and no more of it is in caches of discs: those
// count as available, and are told by cached.
func available() float64 { return fields("/proc/meminfo", "MemAvailable") }

// fields is the sum of numbers in kB, in MB.
func fields(file string, names ...string) (mb float64) {
	f, err := os.Open(file)
	if err != nil {
		return 0
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		name, rest, _ := strings.Cut(lines.Text(), ":")
		for _, want := range names {
			if name == want {
				kb, _ := strconv.ParseFloat(strings.Fields(rest)[0], 64)
				mb += kb * 1024 / 1e6
			}
		}
	}
	return mb
}

// cached is what of a file is in the host's page cache, MB (cachestat(2), Linux 6.5).
func cached(file string) float64 {
	f, err := os.Open(file)
	if err != nil {
		return 0
	}
	defer f.Close()
	var stat unix.Cachestat_t
	if unix.Cachestat(uint(f.Fd()), &unix.CachestatRange{}, &stat, 0) != nil {
		return 0
	}
	return float64(stat.Cache) * float64(os.Getpagesize()) / 1e6
}

func dropCaches() {
	unix.Sync()
	os.WriteFile("/proc/sys/vm/drop_caches", []byte("3"), 0) // a container may have it read-only
}

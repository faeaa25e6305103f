// Command benchdisk measures uml-disk, each figure beside the tools that do the same job,
// on the same files, in turns and in one run; and in a guest the COW driver beside a plain
// disc. Where a tool does not wait for the host's disc it is measured with sync(1) after
// it, and uml-disk without that by --no-sync beside the tool alone.
package main

import (
	"crypto/rand"
	"flag"
	"fmt"
	mrand "math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

func main() {
	if len(os.Args) == 3 && os.Args[1] == "random" {
		random(os.Args[2])
		return
	}
	n := flag.Int("n", 7, "runs of each")
	dir := flag.String("dir", "", "directory for the files, some 5 GB (default: a new one in the temporary directory)")
	flag.Parse()
	at, err := os.MkdirTemp(*dir, "benchdisk")
	if err != nil {
		fatal(err)
	}
	defer os.RemoveAll(at)
	os.Chmod(at, 0o755)
	os.Chdir(at)
	b := bench{n: *n, disk: filepath.Join(os.Getenv("UML_BIN"), "uml-disk")}
	for _, measure := range []func(){b.create, b.clone, b.merge, b.info} {
		measure()
	}
	guest()
	overlay()
}

func fatal(err error) {
	fmt.Fprintln(os.Stderr, "bench-disk:", err)
	os.Exit(1)
}

type bench struct {
	n    int
	disk string
}

// must runs a shell script.
func must(script string, args ...string) {
	if out, err := exec.Command("sh", append([]string{"-ec", script, "sh"}, args...)...).CombinedOutput(); err != nil {
		fatal(fmt.Errorf("%s: %v: %s", script, err, out))
	}
}

// A way is one tool's to do a job; the first one is ours.
type way struct {
	name   string
	script string
}

// race runs each in turn, after undo, and prints medians and ratios to ours.
func (b bench) race(job string, ways ...way) {
	took := make([][]time.Duration, len(ways))
	var peak int64
	for range b.n {
		for i, w := range ways {
			must("rm -f out*; sync -f .")
			cmd := exec.Command("sh", "-ec", strings.ReplaceAll(w.script, "uml-disk", b.disk))
			begin := time.Now()
			if out, err := cmd.CombinedOutput(); err != nil {
				fatal(fmt.Errorf("%s: %v: %s", w.script, err, out))
			}
			took[i] = append(took[i], time.Since(begin))
			if i == 0 {
				peak = max(peak, cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss)
			}
		}
	}
	ours := median(took[0])
	fmt.Printf("%s\n", job)
	for i, w := range ways {
		m := median(took[i])
		fmt.Printf("  %-34s %9.1f ms  %9.1f to %9.1f  %6.2f\n", w.name, ms(m), ms(slices.Min(took[i])), ms(slices.Max(took[i])), float64(m)/float64(ours))
	}
	fmt.Printf("  uml-disk: at most %.1f MB resident\n", float64(peak)/1024)
}

func median(d []time.Duration) time.Duration {
	s := slices.Sorted(slices.Values(d))
	return s[len(s)/2]
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

func (b bench) create() {
	b.race("create 10 GB sparse, nothing in it", way{"uml-disk create --fs none", "exec uml-disk create out 10G --fs none"}, way{"truncate", "exec truncate -s 10G out"}, way{"qemu-img create", "exec qemu-img create -q -f raw out 10G"})
	b.race("create 10 GB with ext4", way{"uml-disk create", "exec uml-disk create out 10G"}, way{"truncate, mkfs.ext4, sync", "truncate -s 10G out; mkfs.ext4 -q -b 4096 out; sync out"})
}

// data writes random bytes to stretches of a file of that size.
func data(name string, size int64, stretches, each int64) {
	f, err := os.Create(name)
	if err == nil {
		err = f.Truncate(size)
	}
	buf := make([]byte, 1<<20)
	for i := range stretches {
		for at := int64(0); at < each && err == nil; at += int64(len(buf)) {
			rand.Read(buf)
			_, err = f.WriteAt(buf, i*(size/stretches)+at)
		}
	}
	if err == nil {
		err = f.Close()
	}
	if err != nil {
		fatal(err)
	}
}

func (b bench) clone() {
	data("src", 2<<30, 6, 100<<20)
	b.race("clone 2 GB of which 600 MB are data, on the disc", way{"uml-disk clone", "exec uml-disk clone src out"},
		way{"cp --sparse=always, sync", "cp --sparse=always src out; sync out"}, way{"dd conv=sparse,fsync", "dd if=src of=out bs=1M conv=sparse,fsync status=none"},
		way{"qemu-img convert, sync", "qemu-img convert -f raw -O raw src out; sync out"})
	b.race("the same, without waiting for the disc", way{"uml-disk clone --no-sync", "exec uml-disk clone --no-sync src out"},
		way{"cp --sparse=always", "exec cp --sparse=always src out"}, way{"dd conv=sparse", "exec dd if=src of=out bs=1M conv=sparse status=none"},
		way{"qemu-img convert", "exec qemu-img convert -f raw -O raw src out"})
	os.Remove("src")
}

// merge of a pair that a guest has written 250 MB to, most of it in single pages.
func (b bench) merge() {
	data("base", 1<<30, 1, 500<<20)
	must(b.disk + " cow create base cow")
	const pages, bitmapAt, dataAt = 1 << 18, 8192, 8192 + 1<<18
	f, err := os.OpenFile("cow", os.O_RDWR, 0)
	if err != nil {
		fatal(err)
	}
	r := mrand.New(mrand.NewPCG(1, 1))
	bitmap, buf := make([]byte, pages), make([]byte, 64*4096)
	for range 6000 {
		n := []int64{1, 1, 1, 2, 4, 8, 64}[r.IntN(7)]
		at := r.Int64N(pages - n)
		rand.Read(buf[:n*4096])
		if _, err := f.WriteAt(buf[:n*4096], dataAt+at*4096); err != nil {
			fatal(err)
		}
		for i := range n {
			bitmap[at+i] = 0xff
		}
	}
	if _, err := f.WriteAt(bitmap, bitmapAt); err != nil {
		fatal(err)
	}
	f.Close()
	b.race("merge a pair of 1 GB, on the disc", way{"uml-disk cow merge", "exec uml-disk cow merge cow --into out"}, way{"uml_moo, sync", "uml_moo cow out; sync out"})
	b.race("the same, without waiting for the disc", way{"uml-disk cow merge --no-sync", "exec uml-disk cow merge --no-sync cow --into out"}, way{"uml_moo", "exec uml_moo cow out"})
	must("rm -f cow base")
}

// info of a COW file of 100 GB: as it is made, and with all of its bitmap written.
func (b bench) info() {
	must("truncate -s 100G base; " + b.disk + " cow create base cow; cp --sparse=always cow full; head -c 25M /dev/zero | tr '\\000' '\\377' | dd of=full bs=8192 seek=1 conv=notrunc status=none")
	b.race("cow info of 100 GB, new", way{"uml-disk cow info", "exec uml-disk cow info cow"})
	b.race("cow info of 100 GB, every page written", way{"uml-disk cow info", "exec uml-disk cow info full"})
	must("rm -f cow base full")
}
